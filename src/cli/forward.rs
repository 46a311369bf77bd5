//! `ottla forward`: how the way to the upstream cluster is, and three things to do about it.
//!
//! The figures come as `ottla status` gets them; what is to be done is told to the broker as the
//! settings `ottla.forward.paused` and `ottla.forward.seek` of its broker resource
//! (IncrementalAlterConfigs): Kafka's protocol has no word for a forwarder, and we invent none.
//!
//! Absent: settings; `forward.*` is read from the broker's file and not changed while it runs.

use super::Failure;
use super::args::BootstrapArgs;
use super::cluster::Cluster;
use super::figures::{Figures, bytes_text, figures, records_text, settings, take_number};
use super::forward_seek;
use super::table::{row, width};
use super::time_text::{format_utc, span};
use crate::client::messages::configs::{Alteration, IncrementalAlterConfigsRequest, ResourceType};
use crate::disk::os::wall_ms;
use crate::wire::ErrorCode;
use clap::Args;
use std::io::Write;

/// What `ottla forward` was asked to do.
#[derive(Args, Debug)]
#[command(group(clap::ArgGroup::new("action").required(true)))]
#[command(
    after_help = "The forwarder is no consumer group: it keeps its place in the broker's own \
                        journal, so `ottla groups` does not list it. Look here instead.\n\
                        Settings are forward.* in the broker's file, or --set."
)]
pub struct ForwardArgs {
    #[command(flatten)]
    bootstrap: BootstrapArgs,
    /// Print how the link is, and what waits of each topic
    #[arg(long, group = "action")]
    status: bool,
    /// Send nothing until --resume, also not after a restart of the broker
    #[arg(long, group = "action")]
    pause: bool,
    /// Go on sending
    #[arg(long, group = "action")]
    resume: bool,
    /// Go on from another offset, in all partitions of a topic or in some (t:0,1). Backwards,
    /// records go up again; forwards, the ones in between never do
    #[arg(long, group = "action", value_name = "TOPIC[:P,...]", requires = "to")]
    pub seek: Option<String>,
    /// With --seek: the next offset to send, or earliest, or latest
    #[arg(long, value_name = "OFFSET", requires = "seek", allow_negative_numbers = true)]
    pub to: Option<String>,
}

/// A forwarding broker, with what it tells of itself.
pub struct Forwarder {
    /// The cluster, which is this one broker.
    pub cluster: Cluster,
    node_id: i32,
    address: String,
    /// Its figures.
    pub figures: Figures,
}

/// Runs the command.
pub fn run(args: &ForwardArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let mut forwarder = ask(&args.bootstrap)?;
    if args.status {
        for line in link_lines(&mut forwarder.figures, &forwarder.address, wall_ms())
            .into_iter()
            .chain(topic_lines(&topics(&forwarder.figures)))
        {
            writeln!(out, "{line}")?;
        }
        return Ok(());
    }
    if let (Some(topic), Some(to)) = (&args.seek, &args.to) {
        return forward_seek::run(&mut forwarder, topic, to, out);
    }
    let waiting = take_number(&mut forwarder.figures, "forward.backlog.records").unwrap_or(0);
    let paused = if args.pause { "true" } else { "false" };
    forwarder.set("ottla.forward.paused", paused)?;
    let waiting = records_text(waiting);
    match args.pause {
        true => writeln!(
            out,
            "Paused: nothing goes up until `ottla forward --resume`, also not after a restart. \
             {waiting} to go."
        )?,
        false => writeln!(out, "Resumed. {waiting} to go.")?,
    }
    Ok(())
}

/// Asks a broker for its figures; one that does not forward is an error with its sentence.
fn ask(args: &BootstrapArgs) -> Result<Forwarder, Failure> {
    let mut cluster = Cluster::new(args, "ottla-forward")?;
    let metadata = cluster.metadata(Some(Vec::new()), false)?;
    let Some(broker) = metadata.brokers.first() else {
        return Err(Failure::new("The cluster names no broker."));
    };
    let (node_id, place) = (broker.node_id, format!("{}:{}", broker.host, broker.port));
    let mut settings = settings(&mut cluster, node_id)?;
    let upstream = settings.remove("forward.bootstrap.servers");
    let figures = figures(settings);
    if !figures.contains_key("forward.state") {
        return Err(Failure::new(match figures.get("version") {
            Some(version) => format!("ottla {version} at {place} cannot forward; update it."),
            None => format!(
                "The broker at {place} is not ottla, so there is no forwarder in it; ask the \
                 gateway's broker (--bootstrap-server)."
            ),
        }));
    }
    let Some(address) = upstream.filter(|address| !address.is_empty()) else {
        return Err(Failure::new(format!(
            "Forwarding is off: the broker at {place} has no forward.bootstrap.servers; name the \
             upstream cluster there and restart it."
        )));
    };
    Ok(Forwarder { cluster, node_id, address, figures })
}

impl Forwarder {
    /// Tells the broker what to do, in a setting.
    pub fn set(&mut self, name: &str, value: &str) -> Result<(), Failure> {
        let node = self.node_id.to_string();
        let request = IncrementalAlterConfigsRequest {
            resource_type: ResourceType::Broker,
            resource_name: &node,
            alterations: vec![(name, Alteration::Set(value))],
        };
        for result in self.cluster.node(self.node_id)?.call(&request)? {
            if result.error_code != ErrorCode::None {
                let message = result.error_message.unwrap_or(result.error_code.to_string());
                return Err(Failure::new(message));
            }
        }
        Ok(())
    }
}

/// One topic's figures.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct TopicFigures {
    /// Its name here.
    pub name: String,
    /// Its name upstream.
    pub upstream: String,
    records: i64,
    bytes: i64,
    oldest_ms: Option<i64>,
    rate: i64,
    sent: i64,
    rejected: i64,
    repeated: i64,
    /// The next offset to be sent, by partition; none where the broker does not tell.
    pub next: Vec<i64>,
    state: String,
}

const TOPIC: &str = "forward.topic.";

/// The topics that go up, by name.
pub fn topics(figures: &Figures) -> Vec<TopicFigures> {
    let named = figures.iter().filter_map(|(name, value)| Some((name.strip_prefix(TOPIC)?, value)));
    named.map(|(name, value)| read_topic(name, value)).collect()
}

/// Reads `upstream=…;records=…;…`. What is unknown is passed over, so that a newer broker may tell
/// more.
fn read_topic(name: &str, value: &str) -> TopicFigures {
    let mut topic = TopicFigures { name: name.to_owned(), ..TopicFigures::default() };
    for (key, value) in value.split(';').filter_map(|part| part.split_once('=')) {
        let number = || value.parse().unwrap_or(0);
        match key {
            "upstream" => value.clone_into(&mut topic.upstream),
            "records" => topic.records = number(),
            "bytes" => topic.bytes = number(),
            "oldest.ms" => topic.oldest_ms = value.parse().ok().filter(|age: &i64| *age >= 0),
            "rate" => topic.rate = number(),
            "sent" => topic.sent = number(),
            "rejected" => topic.rejected = number(),
            "repeated" => topic.repeated = number(),
            "next" => topic.next = value.split(',').filter_map(|next| next.parse().ok()).collect(),
            "state" => value.clone_into(&mut topic.state),
            _ => {}
        }
    }
    topic
}

/// How the link is, in words: `up`, `paused`, `down`, …
fn state_words(state: &str) -> &str {
    match state {
        // The driver has not looked at it yet.
        "off" => "starting",
        state => state,
    }
}

/// What there is to say of the link, a line each.
fn link_lines(figures: &mut Figures, address: &str, now: i64) -> Vec<String> {
    let oldest = oldest_ms(figures);
    let mut lines = Vec::new();
    let mut say = |label: &str, text: String| lines.push(format!("{label:<12} {text}"));
    let state = figures.remove("forward.state").unwrap_or_default();
    // It is the link's; nobody notes when somebody has paused it.
    let is_shown = |since: &i64| *since > 0 && state != "paused";
    let since = take_number(figures, "forward.since.ms").filter(is_shown);
    // Our clock need not be the broker's: nothing is said of a future.
    let ago = since.filter(|since| *since <= now).map(|since| format!(" ({})", span(now - since)));
    let since = since.map_or(String::new(), |since| format!(" since {}", format_utc(since)));
    say("link", format!("{}{since}{}", state_words(&state), ago.unwrap_or_default()));
    let cluster = figures.remove("forward.upstream").filter(|cluster| !cluster.is_empty());
    let cluster = cluster.map_or(", never reached yet".to_owned(), |id| format!(", cluster {id}"));
    say("upstream", format!("{address}{cluster}"));
    if let Some(next) = take_number(figures, "forward.next.try.ms").filter(|next| *next >= 0) {
        say("next try", format!("in {}", span(next)));
    }
    if let Some(error) = figures.remove("forward.error").filter(|error| !error.is_empty()) {
        say("last error", error);
    }
    let mut take = |name: &str| take_number(figures, &format!("forward.{name}")).unwrap_or(0);
    let [up, today, rate] = ["bytes.up", "bytes.today", "rate"].map(&mut take).map(bytes_text);
    say("sent", format!("{up} since start, {today} today (UTC), {rate}/s lately"));
    let (records, bytes) = (take("backlog.records"), take("backlog.bytes"));
    say("backlog", backlog_text(records, bytes, oldest));
    say("set aside", records_text(take("rejected")));
    say("maybe twice", records_text(take("repeated")));
    lines
}

fn backlog_text(records: i64, bytes: i64, oldest_ms: Option<i64>) -> String {
    if records == 0 {
        return "nothing, all is upstream".to_owned();
    }
    let oldest = oldest_ms.map_or(String::new(), |age| format!(", the oldest {} old", span(age)));
    format!("{}, {}{oldest}", records_text(records), bytes_text(bytes))
}

/// The age of the oldest record that waits.
fn oldest_ms(figures: &Figures) -> Option<i64> {
    topics(figures).iter().filter_map(|topic| topic.oldest_ms).max()
}

fn topic_lines(topics: &[TopicFigures]) -> Vec<String> {
    if topics.is_empty() {
        return vec!["No topic goes up yet; see forward.topics.".to_owned()];
    }
    const TITLES: [&str; 10] = [
        "TOPIC",
        "UPSTREAM",
        "RECORDS",
        "BYTES",
        "OLDEST",
        "RATE",
        "SENT",
        "SET-ASIDE",
        "MAYBE-TWICE",
        "STATE",
    ];
    let mut rows = vec![TITLES.map(str::to_owned)];
    rows.extend(topics.iter().map(|topic| {
        [
            topic.name.clone(),
            topic.upstream.clone(),
            topic.records.to_string(),
            bytes_text(topic.bytes),
            topic.oldest_ms.map_or("-".to_owned(), span),
            format!("{}/s", bytes_text(topic.rate)),
            bytes_text(topic.sent),
            topic.rejected.to_string(),
            topic.repeated.to_string(),
            topic.state.clone(),
        ]
    }));
    let last = TITLES.len() - 1;
    let widths: Vec<usize> = (0..=last)
        .map(|column| width(0, rows.iter().map(|cells| cells[column].as_str())))
        .collect();
    let line = |cells: &[String; 10]| {
        let padded: Vec<(&str, usize)> = cells
            .iter()
            .zip(&widths)
            .enumerate()
            .map(|(at, (text, width))| (text.as_str(), if at == last { 0 } else { *width }))
            .collect();
        row(&padded)
    };
    std::iter::once(String::new()).chain(rows.iter().map(line)).collect()
}

/// What `ottla status` says about forwarding; nothing where it is off.
pub fn summary(figures: &mut Figures) -> Option<String> {
    let state = figures.get("forward.state").filter(|state| *state != "off")?.clone();
    let records = take_number(figures, "forward.backlog.records").unwrap_or(0);
    let bytes = take_number(figures, "forward.backlog.bytes").unwrap_or(0);
    let backlog = backlog_text(records, bytes, oldest_ms(figures));
    Some(format!("{}, to go: {backlog}", state_words(&state)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&str, &str)]) -> Figures {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    fn busy() -> Figures {
        map(&[
            ("forward.state", "down"),
            ("forward.since.ms", "60000"),
            ("forward.next.try.ms", "12345"),
            ("forward.error", "kafka:9092: connection refused"),
            ("forward.upstream", "abc"),
            ("forward.bytes.up", "2048"),
            ("forward.bytes.today", "1024"),
            ("forward.rate", "0"),
            ("forward.backlog.records", "7"),
            ("forward.backlog.bytes", "700"),
            ("forward.rejected", "1"),
            ("forward.repeated", "0"),
            (
                "forward.topic.sensors",
                "upstream=site17.sensors;records=5;bytes=500;oldest.ms=61000;rate=10;sent=2048;\
                 rejected=1;repeated=0;next=3,4;something.new=x;state=waiting",
            ),
            (
                "forward.topic.a",
                "upstream=a;records=0;bytes=0;oldest.ms=-1;rate=0;rejected=0;repeated=0;\
                 state=up to date",
            ),
        ])
    }

    #[test]
    fn a_link_that_is_down_says_since_when_why_and_what_waits() {
        let mut figures = busy();
        let lines = link_lines(&mut figures, "kafka:9092", 121_000);
        assert_eq!(
            lines,
            [
                "link         down since 1970-01-01T00:01:00.000Z (1 min 1 s)",
                "upstream     kafka:9092, cluster abc",
                "next try     in 12 s",
                "last error   kafka:9092: connection refused",
                "sent         2.0 KiB since start, 1.0 KiB today (UTC), 0 B/s lately",
                "backlog      7 records, 700 B, the oldest 1 min 1 s old",
                "set aside    1 record",
                "maybe twice  0 records",
            ]
        );
    }

    #[test]
    fn a_link_that_is_up_and_idle_says_little_and_a_wrong_clock_says_nothing_of_a_span() {
        let mut figures = map(&[("forward.state", "up"), ("forward.since.ms", "60000")]);
        let lines = link_lines(&mut figures, "k:1", 0);
        assert_eq!(lines[0], "link         up since 1970-01-01T00:01:00.000Z");
        assert_eq!(lines[1], "upstream     k:1, never reached yet");
        assert!(lines.contains(&"backlog      nothing, all is upstream".to_owned()));
        assert_eq!(lines.len(), 6);
        let mut paused = map(&[("forward.state", "paused"), ("forward.since.ms", "60000")]);
        assert_eq!(link_lines(&mut paused, "k:1", 121_000)[0], "link         paused");
    }

    #[test]
    fn each_topic_has_a_line_under_its_titles() {
        let lines = topic_lines(&topics(&busy()));
        assert_eq!(
            lines,
            [
                "",
                "TOPIC   UPSTREAM       RECORDS BYTES OLDEST    RATE   SENT    SET-ASIDE \
                 MAYBE-TWICE STATE",
                "a       a              0       0 B   -         0 B/s  0 B     0         0  \
                 \x20        up to date",
                "sensors site17.sensors 5       500 B 1 min 1 s 10 B/s 2.0 KiB 1         0  \
                 \x20        waiting",
            ]
        );
        assert_eq!(topics(&busy())[1].next, [3, 4]);
        assert!(topic_lines(&[])[0].contains("forward.topics"));
    }

    #[test]
    fn the_status_has_a_line_of_it_where_it_is_on() {
        let expected = "down, to go: 7 records, 700 B, the oldest 1 min 1 s old";
        assert_eq!(summary(&mut busy()).as_deref(), Some(expected));
        assert_eq!(summary(&mut map(&[("forward.state", "off")])), None);
        assert_eq!(summary(&mut Figures::new()), None);
    }
}
