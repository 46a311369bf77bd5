//! The rows of `broker_keys` that forwarding has, in the order in which a person would write them.
//!
//! Promises: as `broker_keys`. None of these names is Kafka's, which has no forwarder; they follow
//! its producer's and MirrorMaker's where those have a word for it.
//!
//! Absent: what the settings do (`forward`).

use super::broker::BrokerConfig;
use super::broker_keys::{BrokerKey, flag, key, number, show};
use super::forward::{ForwardCompression, ForwardPartitions, OnRejected};
use super::forward_values as values;
use super::value::{Allowed, ValueType};
use crate::limits::{
    FORWARD_BACKOFF_MS_MIN, FORWARD_BANDWIDTH_MIN, FORWARD_BATCH_SIZE_MAX, FORWARD_BATCH_SIZE_MIN,
    FORWARD_LINGER_MS_MAX, FORWARD_TIMEOUT_MS_MIN,
};
use Allowed::{Any, OneOf, Parsed, Range, ZeroOr};
use ValueType::{Boolean, Int, List, Long, String as Text};

const LONG_MAX: i64 = i64::MAX;

/// An empty list shows as Kafka's null where nothing is set by default.
fn unless_empty(text: String) -> Option<String> {
    Some(text).filter(|text| !text.is_empty())
}

/// All of them.
pub const FORWARD_KEYS: &[BrokerKey] = &[
    key(
        "forward.bootstrap.servers",
        List,
        Parsed(|text| values::parse_addresses(text).map(|all| values::show_addresses(&all))),
        |c| unless_empty(values::show_addresses(&c.forward.bootstrap_servers)),
        |c, v| c.forward.bootstrap_servers = values::parse_addresses(v).unwrap_or_default(),
        "The upstream cluster: host:port of one of its brokers, better of several, with commas in \
         between; IPv6 addresses in brackets, port 9092 where none is named. Names are resolved \
         anew at each connect. Not set: nothing is forwarded. (ottla)",
    ),
    key(
        "forward.topics",
        List,
        Parsed(|text| values::parse_patterns(text).map(|all| all.join(","))),
        |c| Some(c.forward.topics.join(",")),
        |c, v| c.forward.topics = values::parse_patterns(v).unwrap_or_default(),
        "The topics that go up, with commas in between; * stands for any characters. \
         TOPIC.rejected, where batches are set aside, goes up only if its whole name is here. \
         (ottla)",
    ),
    key(
        "forward.topics.exclude",
        List,
        Parsed(|text| values::parse_patterns(text).map(|all| all.join(","))),
        |c| unless_empty(c.forward.topics_exclude.join(",")),
        |c, v| c.forward.topics_exclude = values::parse_patterns(v).unwrap_or_default(),
        "The topics that do not, whatever forward.topics says. In a TOML file that has both, \
         write \"forward.topics\" in quotes. (ottla)",
    ),
    key(
        "forward.topic.prefix",
        Text,
        Parsed(values::parse_prefix),
        |c| unless_empty(c.forward.topic_prefix.clone()),
        |c, v| c.forward.topic_prefix = v.to_string(),
        "What stands before each topic's name upstream: site17. makes site17.sensors of sensors. \
         (ottla)",
    ),
    key(
        "forward.topic.rename",
        List,
        Parsed(|text| values::parse_renames(text).map(|all| values::show_renames(&all))),
        |c| unless_empty(values::show_renames(&c.forward.topic_rename)),
        |c, v| c.forward.topic_rename = values::parse_renames(v).unwrap_or_default(),
        "Whole names of topics and what they are called upstream, without the prefix: sensors -> \
         site17.sensors, with commas between several. (ottla)",
    ),
    key(
        "forward.partitions",
        Text,
        OneOf(ForwardPartitions::WORDS),
        |c| show(&c.forward.partitions.as_text()),
        |c, v| c.forward.partitions = ForwardPartitions::from_text(v),
        "same: partition 3 goes to partition 3, modulo the count if upstream has fewer. pinned: \
         each partition goes to one upstream partition, chosen by a hash of this broker's \
         cluster id and the partition's number, and kept; for many gateways that share a topic. \
         (ottla)",
    ),
    key(
        "forward.create.topics",
        Boolean,
        Any,
        |c| show(&c.forward.create_topics),
        |c, v| c.forward.create_topics = flag(v),
        "Whether a topic that upstream lacks is created there, with as many partitions as here \
         and that cluster's default replication. Otherwise its records wait until it is there. \
         (ottla)",
    ),
    key(
        "forward.bandwidth.bytes.per.second",
        Long,
        ZeroOr(FORWARD_BANDWIDTH_MIN, LONG_MAX),
        |c| show(&c.forward.bandwidth_bytes_per_second),
        |c, v| c.forward.bandwidth_bytes_per_second = number(v),
        "The most that goes up in a second, all connections and requests together; 0 is no cap. \
         (ottla)",
    ),
    key(
        "forward.priority",
        List,
        Parsed(|text| values::parse_priorities(text).map(|all| values::show_priorities(&all))),
        |c| unless_empty(values::show_priorities(&c.forward.priority)),
        |c, v| c.forward.priority = values::parse_priorities(v).unwrap_or_default(),
        "Which topics go first: pattern=number, as in alarms*=10, logs*=-1. The first pattern \
         that fits counts, a topic without one has 0. While a higher one has something to send, \
         a lower one waits; equal ones take turns. (ottla)",
    ),
    key(
        "forward.batch.size",
        Int,
        Range(FORWARD_BATCH_SIZE_MIN, FORWARD_BATCH_SIZE_MAX),
        |c| show(&c.forward.batch_size),
        |c, v| c.forward.batch_size = number(v),
        "Bytes of a batch that is merged of smaller ones, before compression. A larger batch \
         goes up as it is. (ottla)",
    ),
    key(
        "forward.linger.ms",
        Long,
        Range(0, FORWARD_LINGER_MS_MAX),
        |c| show(&c.forward.linger_ms),
        |c, v| c.forward.linger_ms = number(v),
        "How long a record waits for others to go up with, while less than forward.batch.size is \
         there. (ottla)",
    ),
    key(
        "forward.compression.type",
        Text,
        OneOf(ForwardCompression::WORDS),
        |c| show(&c.forward.compression_type.as_text()),
        |c, v| c.forward.compression_type = ForwardCompression::from_text(v),
        "How uncompressed batches are compressed on their way: producer leaves them as they are \
         stored. What is stored compressed goes up as it is. (ottla)",
    ),
    key(
        "forward.retry.backoff.ms",
        Long,
        Range(FORWARD_BACKOFF_MS_MIN, LONG_MAX),
        |c| show(&c.forward.retry_backoff_ms),
        |c, v| c.forward.retry_backoff_ms = number(v),
        "The pause before a second try, of a connection or a batch. It doubles with each further \
         one, and chance has a part in it, so that gateways do not come back together. (ottla)",
    ),
    key(
        "forward.retry.backoff.max.ms",
        Long,
        Range(FORWARD_BACKOFF_MS_MIN, LONG_MAX),
        |c| show(&c.forward.retry_backoff_max_ms),
        |c, v| c.forward.retry_backoff_max_ms = number(v),
        "The longest pause. It is never given up. (ottla)",
    ),
    key(
        "forward.request.timeout.ms",
        Long,
        Range(FORWARD_TIMEOUT_MS_MIN, i32::MAX as i64),
        |c| show(&c.forward.request_timeout_ms),
        |c, v| c.forward.request_timeout_ms = number(v),
        "How long a connect, or an answer, is waited for before the connection is closed. (ottla)",
    ),
    key(
        "forward.on.rejected",
        Text,
        OneOf(OnRejected::WORDS),
        |c| show(&c.forward.on_rejected.as_text()),
        |c, v| c.forward.on_rejected = OnRejected::from_text(v),
        "What becomes of a batch that upstream will never take, because it is too large, say. \
         set-aside: it is stored in the local topic TOPIC.rejected, and the rest goes on. stop: \
         its topic stops, loudly. (ottla)",
    ),
    key(
        "forward.client.id",
        Text,
        Parsed(values::parse_client_id),
        |c| show(&c.forward.client_id),
        |c, v| c.forward.client_id = v.to_string(),
        "What the forwarder calls itself upstream, in logs, metrics and quotas. (ottla)",
    ),
];

/// What no value alone shows, as pairs of a setting and the rest of a sentence: first what must
/// not be, then what was probably not meant.
pub fn contradictions(config: &BrokerConfig) -> [Vec<(&'static str, String)>; 2] {
    let (mut refusals, mut remarks) = (Vec::new(), Vec::new());
    let forward = &config.forward;
    let (least, most) = (forward.retry_backoff_ms, forward.retry_backoff_max_ms);
    if most < least {
        let said = format!("{most} is less than forward.retry.backoff.ms, which is {least}");
        refusals.push(("forward.retry.backoff.max.ms", said));
    }
    for address in &forward.bootstrap_servers {
        if is_own_address(config, address) {
            let shown = values::show_addresses(std::slice::from_ref(address));
            let said = format!(
                "{shown} is this broker itself, and its records would go round for ever; name \
                 the upstream cluster's address"
            );
            refusals.push(("forward.bootstrap.servers", said));
        }
    }
    for topic in forward.topics.iter().filter(|topic| !topic.contains('*')) {
        let name = forward.upstream_topic(topic);
        if let Err(why) = values::check_name(&name) {
            let said = format!("with it, {topic} would be called {name} upstream, which {why}");
            refusals.push(("forward.topic.prefix", said));
        }
    }
    let first = config.given.iter().find(|(name, _)| name.starts_with("forward."));
    if let (true, Some((name, _))) = (forward.bootstrap_servers.is_empty(), first) {
        let said = "does nothing while forward.bootstrap.servers names no upstream cluster";
        remarks.push((*name, said.to_string()));
    } else if forward.topics.is_empty() {
        remarks.push(("forward.topics", "names no topic, so nothing is forwarded".to_string()));
    }
    for (from, _) in &forward.topic_rename {
        if !forward.bootstrap_servers.is_empty() && !forward.forwards(from) {
            let said = format!("{from} does not go up, since forward.topics leaves it out");
            remarks.push(("forward.topic.rename", said));
        }
    }
    [refusals, remarks]
}

/// Whether one of our own listeners is reached at this address, as far as its text tells.
fn is_own_address(config: &BrokerConfig, (host, port): &(String, u16)) -> bool {
    const THIS_MACHINE: [&str; 3] = ["localhost", "127.0.0.1", "::1"];
    let local = |host: &str| THIS_MACHINE.contains(&host);
    config.listeners.iter().chain(&config.advertised_listeners).any(|listener| {
        let same = match listener.host.as_deref() {
            _ if listener.is_wildcard() => local(host),
            Some(own) => own.eq_ignore_ascii_case(host) || (local(own) && local(host)),
            None => false,
        };
        same && listener.port == *port
    })
}

#[cfg(test)]
mod tests {
    use super::super::{ConfigError, Note, load};
    use super::*;

    fn run(text: &str) -> (BrokerConfig, Vec<String>) {
        let (config, notes) =
            load(&crate::limits::Board::DEFAULT, "o.toml", text, &[], &[], None).unwrap();
        (config, notes.iter().map(Note::to_string).collect())
    }

    fn errors(text: &str) -> Vec<String> {
        let errors =
            load(&crate::limits::Board::DEFAULT, "o.toml", text, &[], &[], None).unwrap_err();
        errors.iter().map(ConfigError::to_string).collect()
    }

    const ALL: &str = r#"
        forward.bootstrap.servers = ["kafka1.example.com", "[2001:db8::7]:19092"]
        "forward.topics" = ["sensors*", "alarms"]
        forward.topics.exclude = "sensors.debug*, sensors.x"
        forward.topic.prefix = "site17."
        forward.topic.rename = ["alarms -> all.alarms"]
        forward.partitions = "pinned"
        forward.create.topics = true
        forward.bandwidth.bytes.per.second = 32768
        forward.priority = ["alarms*=10", "sensors.slow*=-1"]
        forward.batch.size = 16384
        forward.linger.ms = 0
        forward.compression.type = "zstd"
        forward.retry.backoff.ms = 10
        forward.retry.backoff.max.ms = 10
        forward.request.timeout.ms = 1000
        forward.on.rejected = "stop"
        forward.client.id = "site 17"
    "#;

    #[test]
    fn a_file_with_every_setting_is_read_and_shown_as_it_was_meant() {
        let (config, notes) = run(ALL);
        assert!(notes.is_empty(), "{notes:?}");
        let forward = &config.forward;
        let server = |host: &str, port| (host.to_string(), port);
        let servers = [server("kafka1.example.com", 9092), server("2001:db8::7", 19092)];
        assert_eq!(forward.bootstrap_servers, servers);
        assert!(forward.forwards("sensors.a") && forward.forwards("alarms"));
        assert!(!forward.forwards("sensors.debug.a") && !forward.forwards("alarms2"));
        assert_eq!(forward.upstream_topic("sensors.a"), "site17.sensors.a");
        assert_eq!(forward.upstream_topic("alarms"), "all.alarms");
        assert_eq!([forward.priority_of("alarms"), forward.priority_of("x")], [10, 0]);
        assert_eq!(forward.partitions, ForwardPartitions::Pinned);
        assert_eq!(forward.compression_type, ForwardCompression::Zstd);
        assert_eq!(forward.on_rejected, OnRejected::Stop);
        assert!(forward.create_topics);
        let numbers = [forward.bandwidth_bytes_per_second, forward.linger_ms];
        assert_eq!((numbers, forward.batch_size), ([32_768, 0], 16_384));
        assert_eq!((forward.retry_backoff_ms, forward.retry_backoff_max_ms), (10, 10));
        assert_eq!((forward.request_timeout_ms, &*forward.client_id), (1000, "site 17"));

        // Every row was given, is not the default, and comes back from what it shows.
        let mut again = BrokerConfig::default();
        for row in FORWARD_KEYS {
            let shown = (row.read)(&config);
            assert_eq!(config.given(row.name), shown.as_deref(), "{}", row.name);
            assert_ne!(shown, (row.read)(&again), "{}", row.name);
            (row.write)(&mut again, &shown.unwrap());
        }
        assert_eq!(again.forward, config.forward);
    }

    #[test]
    fn the_same_settings_come_from_the_command_line_and_from_properties() {
        let sets = [
            "forward.bootstrap.servers=kafka1,[::1]:1",
            "forward.topic.rename=a -> b, c->d",
            "forward.priority=alarms*=10,logs*=-1",
        ];
        let from_flags =
            load(&crate::limits::Board::DEFAULT, "", "", &sets.map(str::to_string), &[], None)
                .unwrap();
        let from_file =
            load(&crate::limits::Board::DEFAULT, "s.properties", &sets.join("\n"), &[], &[], None)
                .unwrap();
        assert_eq!(from_flags.0.forward, from_file.0.forward);
        assert_eq!(from_flags.0.forward.upstream_topic("c"), "d");
        assert_eq!(from_flags.0.forward.priority_of("logs.x"), -1);
    }

    #[test]
    fn values_out_of_range_are_errors_that_name_the_setting_and_what_it_takes() {
        for (line, part) in [
            ("bandwidth.bytes.per.second = 1023", "0, or a whole number, at least 1024"),
            ("bandwidth.bytes.per.second = -1", "0, or a whole number, at least 1024"),
            ("linger.ms = 60001", "from 0 to 60000 (milliseconds)"),
            ("batch.size = 1023", "from 1024 to 1048576"),
            ("batch.size = 1048577", "from 1024 to 1048576"),
            ("request.timeout.ms = 999", "from 1000 to"),
            ("retry.backoff.ms = 9", "at least 10"),
            (
                "retry.backoff.max.ms = 400",
                "400 is less than forward.retry.backoff.ms, which is 500",
            ),
            ("compression.type = 'snappy'", "one of producer, gzip, lz4, zstd"),
            ("partitions = 'modulo'", "one of same, pinned"),
            ("on.rejected = 'drop'", "one of set-aside, stop"),
            ("bootstrap.servers = '::1'", "in brackets"),
            ("topics = '.*'", "write \"*\""),
            ("priority = 'alarms'", "pattern=number"),
            ("topic.rename = 'a'", "topic -> topic upstream"),
            ("ssl.truststore.location = 'x'", "not there yet"),
            ("sasl.mechanism = 'x'", "not there yet"),
            ("security.protocol = 'SSL'", "not there yet"),
        ] {
            let name = line.split(' ').next().unwrap();
            let found = errors(&format!("\nforward.{line}\n"));
            let begin = format!("o.toml:2: forward.{name}: ");
            assert!(found[0].starts_with(&begin) && found[0].contains(part), "{found:?}");
            assert_eq!(found.len(), 1, "{found:?}");
        }
        assert_eq!(run("forward.security.protocol = 'PLAINTEXT'").1.len(), 1);
    }

    #[test]
    fn a_name_that_is_too_long_with_its_prefix_is_found_at_start() {
        let text = |prefix: usize| {
            let prefix = "x".repeat(prefix);
            format!("forward.topic.prefix = '{prefix}'\nforward.topics = 'sensors'\n")
        };
        let found = errors(&text(243));
        assert!(found[0].starts_with("o.toml:1: forward.topic.prefix: with it, sensors"));
        assert!(found[0].contains("has 250 characters"), "{found:?}");
        run(&text(242));
    }

    #[test]
    fn a_broker_is_not_its_own_upstream() {
        for (listener, upstream) in
            [("127.0.0.1:9092", "localhost"), (":9092", "[::1]"), ("gateway:9092", "GATEWAY:9092")]
        {
            let listener = format!("listeners = '{listener}'\n");
            let found = errors(&format!("{listener}forward.bootstrap.servers = '{upstream}'"));
            assert!(found[0].contains("is this broker itself"), "{found:?}");
            run(&format!("{listener}forward.bootstrap.servers = 'other:9092,localhost:9093'"));
        }
    }

    #[test]
    fn settings_that_do_nothing_are_remarked() {
        let (_, notes) = run("forward.linger.ms = 1\n");
        let expected = "o.toml:1: forward.linger.ms: does nothing while forward.bootstrap.servers \
                        names no upstream cluster";
        assert_eq!(notes, [expected]);
        let (_, notes) = run("forward.bootstrap.servers = 'k'\nforward.topics = ''\n");
        assert!(notes[0].contains("nothing is forwarded"), "{notes:?}");
        let text = "forward.bootstrap.servers = 'k'\nforward.topics = 'a'\n\
                    forward.topic.rename = 'b -> c'";
        assert!(run(text).1[0].contains("b does not go up"));
    }

    #[test]
    fn the_one_name_that_begins_another_gets_quotes_in_toml_and_the_error_says_so() {
        let found = errors("forward.topics = 'a'\nforward.topics.exclude = 'b'\n");
        assert!(found[0].contains("quotes"), "{found:?}");
    }
}
