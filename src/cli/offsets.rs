//! `ottla offsets` and `ottla delete-records`: kafka-get-offsets and kafka-delete-records.

use super::Failure;
use super::args::BootstrapArgs;
use super::cluster::Cluster;
use super::pattern::Pattern;
use crate::client::messages::ByTopic;
use crate::client::messages::offsets::{DeleteRecordsRequest, EARLIEST, LATEST, MAX_TIMESTAMP};
use crate::wire::ErrorCode;
use clap::Args;
use std::io::Write;
use std::path::PathBuf;

/// What `ottla offsets` was asked to do.
#[derive(Args, Debug)]
pub struct OffsetsArgs {
    #[command(flatten)]
    bootstrap: BootstrapArgs,
    /// The topic, or a pattern (a|b.*); all topics if absent
    #[arg(long, value_name = "TOPIC")]
    topic: Option<String>,
    /// The partitions; all if absent
    #[arg(long, value_name = "0,1,...", alias = "partition", value_delimiter = ',')]
    partitions: Vec<i32>,
    /// Topics and partitions: t, t:0, t:0-2 (without 2), t:3- (and all behind), :0, a|b.*:0
    #[arg(long, value_name = "TOPIC:PARTITIONS,...", conflicts_with_all = ["topic", "partitions"])]
    topic_partitions: Option<String>,
    /// Milliseconds since 1970, or -1/latest, -2/earliest, -3/max-timestamp
    #[arg(long, value_name = "TIME", default_value = "latest", allow_hyphen_values = true)]
    time: String,
    /// Leave out Kafka's own topics
    #[arg(long)]
    exclude_internal_topics: bool,
    /// Understood for old scripts' sake
    #[arg(long, hide = true, value_name = "N")]
    offsets: Option<u32>,
    /// Understood for old scripts' sake
    #[arg(long, hide = true, value_name = "MS")]
    max_wait_ms: Option<u64>,
    /// Delete the records in front of --before-offset (needs --topic and --partitions)
    #[arg(long, requires = "before_offset", requires = "topic")]
    delete_records: bool,
    /// The first offset to keep; -1 keeps none
    #[arg(long, value_name = "OFFSET", allow_negative_numbers = true, requires = "delete_records")]
    before_offset: Option<i64>,
}

/// What `ottla delete-records` was asked to do.
#[derive(Args, Debug)]
pub struct DeleteRecordsArgs {
    #[command(flatten)]
    bootstrap: BootstrapArgs,
    /// {"partitions":[{"topic":"t","partition":0,"offset":3}],"version":1}
    #[arg(long, value_name = "FILE")]
    offset_json_file: PathBuf,
}

/// How long a broker may take to delete.
const TIMEOUT_MS: i32 = 30_000;

fn parse_time(text: &str) -> Result<i64, Failure> {
    match text {
        "latest" => Ok(LATEST),
        "earliest" => Ok(EARLIEST),
        "max-timestamp" => Ok(MAX_TIMESTAMP),
        number => number.parse().map_err(|_| {
            Failure::usage(format!(
                "--time {text}: must be latest, earliest, max-timestamp or milliseconds since 1970"
            ))
        }),
    }
}

/// One item of `--topic-partitions`: a pattern, the first partition, and the first not wanted.
struct Wanted {
    topic: Option<Pattern>,
    from: i32,
    to: i32,
}

impl Wanted {
    fn names(&self, topic: &str, partition: i32) -> bool {
        let named = self.topic.as_ref().is_none_or(|pattern| pattern.matches(topic));
        named && (self.from..self.to).contains(&partition)
    }
}

/// Reads what Kafka's GetOffsetShell reads: `topic`, `topic:N`, `topic:N-M`, `topic:N-`,
/// `topic:-M`, all of it without the topic, several with commas between.
fn parse_wanted(text: &str) -> Result<Vec<Wanted>, Failure> {
    let item = |text: &str| {
        let (topic, partitions) = text.split_once(':').unwrap_or((text, ""));
        let number = |text: &str, default| if text.is_empty() { Ok(default) } else { text.parse() };
        let range = match partitions.split_once('-') {
            Some((from, to)) => number(from, 0).and_then(|from| Ok((from, number(to, i32::MAX)?))),
            None if partitions.is_empty() => Ok((0, i32::MAX)),
            None => partitions.parse().map(|one: i32| (one, one.saturating_add(1))),
        };
        let (from, to) = range.map_err(|_| {
            Failure::usage(format!("--topic-partitions {text}: not of the form topic:0-2"))
        })?;
        let topic = if topic.is_empty() { None } else { Some(Pattern::new(topic)?) };
        Ok(Wanted { topic, from, to })
    };
    text.split(',').map(item).collect()
}

/// Runs `ottla offsets`.
pub fn run(args: &OffsetsArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let mut cluster = Cluster::new(&args.bootstrap, "ottla-offsets")?;
    if let (true, Some(topic), Some(before)) =
        (args.delete_records, &args.topic, args.before_offset)
    {
        if args.partitions.is_empty() {
            return Err(Failure::usage("--delete-records needs --partitions"));
        }
        let entries: Vec<_> =
            args.partitions.iter().map(|p| (topic.as_str(), *p, before)).collect();
        return delete_records(&mut cluster, &entries, out);
    }
    let time = parse_time(&args.time)?;
    let pattern = args.topic.as_deref().map(Pattern::new).transpose()?;
    let wanted = args.topic_partitions.as_deref().map(parse_wanted).transpose()?;
    let mut topics = cluster.metadata(None, false)?.topics;
    topics.sort_by(|a, b| a.name.cmp(&b.name));
    let mut entries = Vec::new();
    for topic in &topics {
        let named = pattern.as_ref().is_none_or(|pattern| pattern.matches(&topic.name));
        if !named || (args.exclude_internal_topics && topic.is_internal) {
            continue;
        }
        let mut partitions: Vec<i32> =
            topic.partitions.iter().map(|partition| partition.partition_index).collect();
        partitions.sort_unstable();
        partitions.retain(|p| args.partitions.is_empty() || args.partitions.contains(p));
        partitions.retain(|p| {
            wanted.as_ref().is_none_or(|all| all.iter().any(|one| one.names(&topic.name, *p)))
        });
        entries.extend(partitions.into_iter().map(|p| (topic.name.as_str(), p, time)));
    }
    if entries.is_empty() {
        let message = "Could not match any topic-partitions with the specified filters";
        return Err(Failure::new(format!("Error occurred: {message}")));
    }
    for (topic, listed) in cluster.list_offsets(&entries)? {
        match listed.error_code {
            ErrorCode::None if listed.offset >= 0 => {
                writeln!(out, "{topic}:{}:{}", listed.partition_index, listed.offset)?;
            }
            // Kafka's tool leaves partitions out that have no record as young as that.
            ErrorCode::None => {}
            code => super::note(&format!(
                "Skip getting offsets for topic-partition {topic}-{} due to: {code}",
                listed.partition_index
            )),
        }
    }
    Ok(())
}

/// Runs `ottla delete-records`.
pub fn run_delete_records(args: &DeleteRecordsArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let path = &args.offset_json_file;
    let text = std::fs::read_to_string(path)
        .map_err(|error| Failure::new(format!("cannot read {}: {error}", path.display())))?;
    let parsed = parse_offsets(&text).ok_or_else(|| {
        Failure::new(format!(
            "{} is not of the form \
             {{\"partitions\":[{{\"topic\":\"t\",\"partition\":0,\"offset\":3}}]}}",
            path.display()
        ))
    })?;
    let entries: Vec<_> = parsed.iter().map(|(t, p, offset)| (t.as_str(), *p, *offset)).collect();
    let mut cluster = Cluster::new(&args.bootstrap, "ottla-delete-records")?;
    delete_records(&mut cluster, &entries, out)
}

fn delete_records(
    cluster: &mut Cluster,
    entries: &[(&str, i32, i64)],
    out: &mut dyn Write,
) -> Result<(), Failure> {
    writeln!(out, "Executing records delete operation")?;
    let answers = cluster.call_leaders(entries, |list| DeleteRecordsRequest {
        topics: ByTopic::group(list.iter().map(|(t, p, offset)| (*t, (*p, *offset)))),
        timeout_ms: TIMEOUT_MS,
    })?;
    writeln!(out, "Records delete operation completed:")?;
    let mut failed = 0;
    for (topic, partition, _) in entries {
        let mut results = answers.iter().flatten().filter(|answer| answer.name == **topic);
        let result = results
            .find_map(|answer| answer.partitions.iter().find(|p| p.partition_index == *partition));
        let code = result.map_or(ErrorCode::UnknownTopicOrPartition, |result| result.error_code);
        match (result, code) {
            (Some(result), ErrorCode::None) => {
                let low_watermark = result.low_watermark;
                writeln!(out, "partition: {topic}-{partition}\tlow_watermark: {low_watermark}")?;
            }
            _ => {
                failed += 1;
                writeln!(out, "partition: {topic}-{partition}\terror: {code}")?;
            }
        }
    }
    match failed {
        0 => Ok(()),
        count => Err(Failure::new(format!("{count} of {} partitions failed", entries.len()))),
    }
}

/// The entries of Kafka's offset file. A JSON reader for exactly this: objects of strings and
/// numbers in any order of their members, inside one list called `partitions`.
fn parse_offsets(text: &str) -> Option<Vec<(String, i32, i64)>> {
    let list = &text[text.find("\"partitions\"")?..];
    let list = &list[list.find('[')? + 1..];
    let list = &list[..list.find(']')?];
    let mut entries = Vec::new();
    for object in list.split('}').map(str::trim).filter(|object| !object.is_empty()) {
        let object = object.trim_start_matches(',').trim().strip_prefix('{')?;
        let (mut topic, mut partition, mut offset) = (None, None, None);
        for member in object.split(',') {
            let (name, value) = member.split_once(':')?;
            let value = value.trim();
            match name.trim() {
                "\"topic\"" => topic = value.strip_prefix('"')?.strip_suffix('"'),
                "\"partition\"" => partition = value.parse().ok(),
                "\"offset\"" => offset = value.parse().ok(),
                _ => {}
            }
        }
        entries.push((topic?.to_owned(), partition?, offset?));
    }
    (!entries.is_empty()).then_some(entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_words_or_numbers() {
        assert_eq!(parse_time("latest"), Ok(-1));
        assert_eq!(parse_time("-2"), Ok(-2));
        assert_eq!(parse_time("max-timestamp"), Ok(-3));
        assert_eq!(parse_time("1542880800500"), Ok(1_542_880_800_500));
        assert!(parse_time("yesterday").is_err());
    }

    #[test]
    fn topic_partitions_are_kafkas() {
        for (text, topic, partition, wanted) in [
            ("t", "t", 7, true),
            ("t:0", "t", 0, true),
            ("t:0", "t", 1, false),
            ("t:1-3", "t", 2, true),
            ("t:1-3", "t", 3, false),
            ("t:2-", "t", 1, false),
            ("t:-2", "t", 1, true),
            (":0,u", "x", 0, true),
            (":0,u", "x", 1, false),
            ("a|b:1", "b", 1, true),
            ("a|b:1", "c", 1, false),
        ] {
            let all = parse_wanted(text).unwrap();
            assert_eq!(all.iter().any(|one| one.names(topic, partition)), wanted, "{text}");
        }
        assert!(parse_wanted("t:x").is_err());
    }

    #[test]
    fn kafkas_offset_file_is_read() {
        let text = r#"{ "version":1, "partitions": [
            {"topic": "a.b", "partition": 1, "offset": 7},
            {"offset":-1,"partition":0,"topic":"c"} ] }"#;
        let expected = vec![("a.b".to_owned(), 1, 7), ("c".to_owned(), 0, -1)];
        assert_eq!(parse_offsets(text), Some(expected));
        for bad in ["", "{}", r#"{"partitions":[]}"#, r#"{"partitions":[{"topic":"a"}]}"#] {
            assert_eq!(parse_offsets(bad), None, "{bad}");
        }
    }
}
