//! The way to the upstream cluster, step by step: name, connection, versions, topics.
//!
//! Promises: the first step that fails is named; nothing is created there. Absent: a look at what
//! the forwarder itself is doing, which `ottla forward --status` tells.

use super::finding::Finding;
use crate::cli::connection::Connection;
use crate::client::messages::metadata::{MetadataRequest, TopicMetadata};
use crate::config::{BrokerConfig, ForwardConfig};
use crate::disk::os::OsDisk;
use crate::limits::CLI_CONNECT_TIMEOUT_MS;
use crate::state::coordinator_file::Snapshot;
use crate::storage::coordinator::{self, Found};
use crate::storage::layout;
use crate::wire::ErrorCode;
use std::net::ToSocketAddrs;
use std::path::Path;
use std::time::Duration;

/// Its own topics: what the configuration names literally, and what the coordinator file knows.
fn topics(config: &ForwardConfig, data: &Path) -> Vec<String> {
    let literal = config.topics.iter().filter(|name| !name.contains('*')).cloned();
    let mut all: Vec<String> = literal.collect();
    if let Ok(disk) = OsDisk::open_read_only(data)
        && let Found::Whole(file) = coordinator::read(&disk, layout::COORDINATOR)
        && let Ok(snapshot) = Snapshot::decode(&file.state)
    {
        all.extend(snapshot.topics.into_iter().map(|topic| topic.name.into_owned()));
    }
    all.retain(|topic| config.forwards(topic));
    let mut upstream: Vec<String> = all.iter().map(|topic| config.upstream_topic(topic)).collect();
    upstream.sort();
    upstream.dedup();
    upstream
}

/// All there is to say.
pub fn check(config: &BrokerConfig) -> Vec<Finding> {
    let forward = &config.forward;
    if forward.bootstrap_servers.is_empty() {
        let text = "not configured: records stay on this machine";
        return vec![Finding::ok("upstream", text)];
    }
    let mut findings = Vec::new();
    let mut reached = None;
    for (host, port) in &forward.bootstrap_servers {
        match dial(host, *port, &forward.client_id) {
            Err(finding) => findings.push(finding),
            Ok(connection) => {
                let text = format!("{host}:{port}: found, connected, speaks Kafka's protocol");
                findings.push(Finding::ok("upstream", text));
                reached = reached.or(Some(connection));
            }
        }
    }
    let Some(mut connection) = reached else { return findings };
    let wanted = topics(forward, &config.log_dir);
    if wanted.is_empty() {
        let text = "no topic that would be forwarded is known yet";
        findings.push(Finding::note("upstream", text, ""));
        return findings;
    }
    let names = wanted.iter().map(String::as_str).collect();
    let request = MetadataRequest { topics: Some(names), allow_auto_topic_creation: false };
    match connection.call(&request) {
        Ok(answer) => findings.push(judge_topics(&wanted, &answer.topics, forward.create_topics)),
        Err(error) => findings.push(Finding::warn(
            "upstream",
            format!("it does not say which topics it has: {error}"),
            "See the log of the upstream broker.",
        )),
    }
    findings
}

fn dial(host: &str, port: u16, client_id: &str) -> Result<Connection, Finding> {
    let advice = "Records wait on this machine meanwhile; retention leaves them alone.";
    if (host, port).to_socket_addrs().map_or(0, Iterator::count) == 0 {
        let text = format!("{host}:{port}: no address is known for this name");
        let advice = format!("Mend the name, or the DNS (/etc/resolv.conf, /etc/hosts). {advice}");
        return Err(Finding::warn("upstream", text, &advice));
    }
    let address =
        if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
    let timeout = Duration::from_millis(CLI_CONNECT_TIMEOUT_MS);
    Connection::open(&address, client_id, timeout).map_err(|error| {
        let text = error.to_string();
        let text = text.split("; is `ottla").next().unwrap_or_default();
        Finding::warn("upstream", text, &format!("See the link, the port and its TLS. {advice}"))
    })
}

/// What upstream says of the topics that would be forwarded to.
fn judge_topics(wanted: &[String], found: &[TopicMetadata], create: bool) -> Finding {
    let there = |name: &String| {
        found.iter().any(|topic| topic.name == *name && topic.error_code == ErrorCode::None)
    };
    let missing: Vec<&str> =
        wanted.iter().filter(|name| !there(name)).map(String::as_str).collect();
    let names = missing.join(", ");
    match (missing.len(), create) {
        (0, _) => Finding::ok("upstream", format!("all {} topics are there", wanted.len())),
        (_, true) => Finding::note(
            "upstream",
            format!("not there yet: {names}"),
            "The forwarder creates them (forward.create.topics).",
        ),
        (_, false) => Finding::warn(
            "upstream",
            format!("not there, so that their records wait: {names}"),
            "Create them upstream, or set forward.create.topics = true.",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::doctor::finding::Level;

    #[test]
    fn topics_are_there_or_made_or_missed() {
        let topic = |name: &str, error_code| TopicMetadata {
            error_code,
            name: name.to_owned(),
            topic_id: [0; 16],
            is_internal: false,
            partitions: Vec::new(),
        };
        let wanted = ["a".to_owned(), "b".to_owned()];
        let a = topic("a", ErrorCode::None);
        let b = topic("b", ErrorCode::UnknownTopicOrPartition);
        let both = [a.clone(), topic("b", ErrorCode::None)];
        assert_eq!(judge_topics(&wanted, &both, false).level, Level::Ok);
        let missing = judge_topics(&wanted, &[a.clone(), b], false);
        assert!(missing.level == Level::Warn && missing.text.ends_with(": b"));
        assert_eq!(judge_topics(&wanted, &[a], true).level, Level::Note);
    }

    #[test]
    fn a_name_and_a_port_that_are_not_there_are_two_sentences() {
        let unknown = dial("no-such-host.invalid", 9092, "t").unwrap_err();
        assert!(unknown.text.contains("no address is known"), "{}", unknown.text);
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let refused = dial("127.0.0.1", port, "t").unwrap_err();
        assert!(refused.text.ends_with("connection refused"), "{}", refused.text);
    }
}
