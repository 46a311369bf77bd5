//! `ottla consume`: the records of a topic as lines, with the flags of kafka-console-consumer.
//!
//! Promises: what is printed is flushed before the next fetch; with `--group`, what is committed
//! has been printed. Ctrl-C leaves the group and says how many records there were. A broker that
//! goes away is waited for (15 s), and reading goes on where it stopped.
//! Absent: formatters and deserializers in Java; values are printed byte for byte.

use super::args::{BootstrapArgs, check_security, last, number, parse_properties, read_properties};
use super::cluster::{Cluster, Partition, pause};
use super::connection::CallError;
use super::consume_format::RecordFormat;
use super::consume_member::{Member, MemberSettings, Step};
use super::pattern::Pattern;
use super::{Failure, note, stop};
use crate::client::batches::{BatchesError, visit_from};
use crate::client::messages::ByTopic;
use crate::client::messages::fetch::{FetchPartition, FetchRequest, FetchedPartition};
use crate::client::messages::offsets::{EARLIEST, LATEST};
use crate::limits::{CLI_DECOMPRESSED_BYTES_MAX, CLI_FETCH_BYTES_MAX, CLI_RETRIES_MAX};
use crate::wire::ErrorCode;
use clap::Args;
use std::collections::BTreeMap;
use std::io::Write;
use std::time::{Duration, Instant};

/// What `ottla consume` was asked to do.
#[derive(Args, Debug)]
#[command(group(clap::ArgGroup::new("what").required(true)))]
pub struct ConsumeArgs {
    #[command(flatten)]
    bootstrap: BootstrapArgs,
    /// The topic
    #[arg(long, value_name = "TOPIC", group = "what")]
    topic: Option<String>,
    /// All topics that match a pattern (a|b.*)
    #[arg(long, value_name = "PATTERN", group = "what", alias = "whitelist")]
    include: Option<String>,
    /// Only this partition, from its end unless --offset is given
    #[arg(long, value_name = "N", requires = "topic", conflicts_with = "group")]
    partition: Option<i32>,
    /// Where to start in --partition: a number, earliest or latest
    #[arg(long, value_name = "OFFSET", requires = "partition", allow_hyphen_values = true)]
    offset: Option<String>,
    /// Start with the first record there is, unless the group has an offset
    #[arg(long)]
    from_beginning: bool,
    /// Consume as a member of this group, and commit
    #[arg(long, value_name = "GROUP")]
    group: Option<String>,
    /// End after so many records
    #[arg(long, value_name = "N")]
    max_messages: Option<u64>,
    /// End when no record comes for so many milliseconds
    #[arg(long, value_name = "MS", allow_negative_numbers = true)]
    timeout_ms: Option<i64>,
    /// What to print: print.timestamp, print.partition, print.offset, print.epoch, print.headers,
    /// print.key, print.value (true/false), key.separator, line.separator, headers.separator,
    /// null.literal
    #[arg(long, value_name = "KEY=VALUE", alias = "formatter-property")]
    #[arg(action = clap::ArgAction::Append)]
    property: Vec<String>,
    /// How to consume: group.id, group.instance.id, auto.offset.reset, enable.auto.commit,
    /// auto.commit.interval.ms, session.timeout.ms, heartbeat.interval.ms, max.poll.interval.ms,
    /// isolation.level, client.id
    #[arg(long, value_name = "KEY=VALUE", alias = "command-property")]
    #[arg(action = clap::ArgAction::Append)]
    consumer_property: Vec<String>,
    /// A file with such --property lines
    #[arg(long, value_name = "FILE")]
    formatter_config: Option<std::path::PathBuf>,
    /// Kafka's DefaultMessageFormatter (the default) or NoOpMessageFormatter
    #[arg(long, value_name = "CLASS")]
    formatter: Option<String>,
    /// How keys are written as text: Kafka's String-, Integer-, Long- or DoubleDeserializer, …
    #[arg(long, value_name = "CLASS")]
    key_deserializer: Option<String>,
    /// How values are written as text
    #[arg(long, value_name = "CLASS")]
    value_deserializer: Option<String>,
    /// read_uncommitted or read_committed
    #[arg(long, value_name = "LEVEL", value_parser = ["read_uncommitted", "read_committed"])]
    isolation_level: Option<String>,
    /// Skip a record that cannot be printed instead of ending
    #[arg(long)]
    skip_message_on_error: bool,
    /// Understood for old scripts' sake
    #[arg(long, hide = true)]
    enable_systest_events: bool,
}

/// How long a fetch waits for records: heartbeats and the stop flag are looked at in between.
const FETCH_WAIT_MS: i32 = 500;

/// Where we are in each partition.
type Positions = BTreeMap<Partition, i64>;

/// Why printing stops.
enum Stop {
    /// Enough records.
    Enough,
    Failed(Failure),
    Batch(BatchesError),
}

impl From<BatchesError> for Stop {
    fn from(error: BatchesError) -> Self {
        Stop::Batch(error)
    }
}

/// The consumer.
struct Consumer<'a> {
    cluster: Cluster,
    format: RecordFormat,
    positions: Positions,
    /// The positions behind what whoever reads our output has been handed.
    flushed: Positions,
    leaders: BTreeMap<Partition, i32>,
    reset: i64,
    isolation_level: i8,
    printed: u64,
    printed_max: u64,
    silence: Option<Duration>,
    heard_at: Instant,
    skip_errors: bool,
    broken: u32,
    out: &'a mut dyn Write,
}

/// Runs the command.
pub fn run(args: &ConsumeArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let mut properties = args.bootstrap.properties()?;
    properties.extend(parse_properties(&args.consumer_property)?);
    check_security(&properties)?;
    stop::watch();
    let client_id = last(&properties, "client.id");
    let cluster = || -> Result<Cluster, Failure> {
        let cluster = Cluster::new(&args.bootstrap, "ottla-consumer")?;
        Ok(cluster.interruptible(true).with_client_id(client_id))
    };
    let mut consumer = consumer(args, &properties, cluster()?, out)?;
    let group = args.group.as_deref().or(last(&properties, "group.id"));
    let result = match group {
        Some(group) if args.partition.is_none() => {
            let mut settings = member_settings(group, &properties)?;
            settings.group_instance_id = last(&properties, "group.instance.id").map(str::to_owned);
            // The arguments' one line about old flags is said already.
            let member = Member::new(consumer.cluster.another(), settings);
            consumer.run_in_group(args, &properties, member)
        }
        _ => consumer.run_alone(args),
    };
    if result != Err(Failure::PipeClosed) {
        note(&format!("Processed a total of {} messages", consumer.printed));
    }
    result
}

fn consumer<'a>(
    args: &ConsumeArgs,
    properties: &[(String, String)],
    cluster: Cluster,
    out: &'a mut dyn Write,
) -> Result<Consumer<'a>, Failure> {
    let mut printing = match &args.formatter_config {
        Some(path) => read_properties(path)?,
        None => Vec::new(),
    };
    printing.extend(parse_properties(&args.property)?);
    let flags = [
        ("formatter", &args.formatter),
        ("key.deserializer", &args.key_deserializer),
        ("value.deserializer", &args.value_deserializer),
    ];
    let given = flags.into_iter().filter_map(|(name, value)| Some((name, value.clone()?)));
    printing.extend(given.map(|(name, value)| (name.to_owned(), value)));
    let reset = match last(properties, "auto.offset.reset") {
        Some("earliest") => EARLIEST,
        Some("latest") | None if !args.from_beginning => LATEST,
        Some("latest") | None => EARLIEST,
        Some(other) => {
            return Err(Failure::usage(format!("auto.offset.reset={other}: earliest or latest")));
        }
    };
    let isolation = args.isolation_level.as_deref().or(last(properties, "isolation.level"));
    let silence = args.timeout_ms.and_then(|ms| u64::try_from(ms).ok());
    Ok(Consumer {
        cluster,
        format: RecordFormat::new(&printing)?,
        positions: Positions::new(),
        flushed: Positions::new(),
        leaders: BTreeMap::new(),
        reset,
        isolation_level: i8::from(isolation == Some("read_committed")),
        printed: 0,
        printed_max: args.max_messages.unwrap_or(u64::MAX),
        silence: silence.map(Duration::from_millis),
        heard_at: Instant::now(),
        skip_errors: args.skip_message_on_error,
        broken: 0,
        out,
    })
}

fn member_settings(
    group: &str,
    properties: &[(String, String)],
) -> Result<MemberSettings, Failure> {
    let heartbeat = number(properties, "heartbeat.interval.ms")?.unwrap_or(3_000);
    Ok(MemberSettings {
        group_id: group.to_owned(),
        group_instance_id: None,
        session_timeout_ms: number(properties, "session.timeout.ms")?.unwrap_or(45_000),
        rebalance_timeout_ms: number(properties, "max.poll.interval.ms")?.unwrap_or(300_000),
        heartbeat_interval: Duration::from_millis(heartbeat),
    })
}

impl Consumer<'_> {
    /// The topics that the arguments name. A missing one is created where the broker does that.
    fn topics(&mut self, args: &ConsumeArgs) -> Result<Vec<String>, Failure> {
        if let Some(pattern) = &args.include {
            let pattern = Pattern::new(pattern)?;
            let metadata = self.cluster.metadata(None, false)?;
            let shown = metadata.topics.iter().filter(|topic| !topic.is_internal);
            let names = pattern.select(shown.map(|topic| topic.name.as_str()));
            return Ok(names.into_iter().map(str::to_owned).collect());
        }
        let topic = args.topic.clone().unwrap_or_default();
        self.cluster.topic(&topic, true)?;
        Ok(vec![topic])
    }

    /// Consumes partitions without a group.
    fn run_alone(&mut self, args: &ConsumeArgs) -> Result<(), Failure> {
        let mut partitions = Vec::new();
        for topic in self.topics(args)? {
            for partition in self.cluster.topic(&topic, false)?.partitions {
                partitions.push((topic.clone(), partition.partition_index));
            }
        }
        if let Some(wanted) = args.partition {
            partitions.retain(|(_, partition)| *partition == wanted);
            if partitions.is_empty() {
                return Err(Failure::new(format!("Partition {wanted} does not exist.")));
            }
        }
        match args.offset.as_deref() {
            None | Some("latest" | "-1") if !args.from_beginning => {
                self.seek(&partitions, LATEST)?;
            }
            None | Some("earliest" | "-2") => self.seek(&partitions, EARLIEST)?,
            Some(offset) => {
                let offset =
                    offset.parse().ok().filter(|offset| *offset >= 0).ok_or_else(|| {
                        let usage = "must be earliest, latest or a number that is not negative";
                        Failure::usage(format!("--offset {offset}: {usage}"))
                    })?;
                self.positions.extend(partitions.into_iter().map(|partition| (partition, offset)));
            }
        }
        while self.poll()? {}
        Ok(())
    }

    /// Consumes as a member of a group.
    fn run_in_group(
        &mut self,
        args: &ConsumeArgs,
        properties: &[(String, String)],
        mut member: Member,
    ) -> Result<(), Failure> {
        let auto_commit = last(properties, "enable.auto.commit") != Some("false");
        let interval = number(properties, "auto.commit.interval.ms")?.unwrap_or(5_000);
        let topics = self.topics(args)?;
        let consumed = self.member_loop(
            &mut member,
            &topics,
            auto_commit.then_some(Duration::from_millis(interval)),
        );
        let offsets = if auto_commit { self.offsets() } else { Vec::new() };
        let closed = member.close(&offsets);
        consumed.and(closed)
    }

    fn member_loop(
        &mut self,
        member: &mut Member,
        topics: &[String],
        commit_every: Option<Duration>,
    ) -> Result<(), Failure> {
        'rejoin: loop {
            self.positions.clear();
            self.flushed.clear();
            let Step::Done(assignment) = member.join(topics)? else { return Ok(()) };
            let committed = match member.committed(&assignment)? {
                Step::Done(committed) => committed,
                Step::Rejoin => continue,
                Step::Stopped => return Ok(()),
            };
            let all = assignment
                .iter()
                .flat_map(|topic| topic.partitions.iter().map(|p| (topic.name.clone(), *p)));
            let (known, unknown): (Vec<_>, Vec<_>) =
                all.partition(|partition| committed.contains_key(partition));
            self.seek(&unknown, self.reset)?;
            self.positions.extend(known.into_iter().map(|p| {
                let offset = committed.get(&p).copied().unwrap_or_default();
                (p, offset)
            }));
            self.heard_at = Instant::now();
            let mut commit_at = commit_every.map(|every| Instant::now() + every);
            loop {
                if !self.poll()? {
                    return Ok(());
                }
                let mut steps = vec![member.heartbeat()?];
                if commit_at.is_some_and(|at| Instant::now() >= at) {
                    commit_at = commit_every.map(|every| Instant::now() + every);
                    steps.push(member.commit(&self.offsets())?);
                }
                if steps.contains(&Step::Stopped) {
                    return Ok(());
                }
                if steps.contains(&Step::Rejoin) {
                    if commit_every.is_some() {
                        // What this cannot save is printed again, by whoever gets the partition.
                        member.commit(&self.offsets())?;
                    }
                    continue 'rejoin;
                }
            }
        }
    }

    fn offsets(&self) -> Vec<(Partition, i64)> {
        self.flushed.iter().map(|(partition, offset)| (partition.clone(), *offset)).collect()
    }

    /// Puts partitions to their start or end.
    fn seek(&mut self, partitions: &[Partition], time: i64) -> Result<(), Failure> {
        let entries: Vec<_> = partitions.iter().map(|(t, p)| (t.as_str(), *p, time)).collect();
        if entries.is_empty() {
            return Ok(());
        }
        for (topic, listed) in self.cluster.list_offsets(&entries)? {
            self.positions.insert((topic, listed.partition_index), listed.offset.max(0));
        }
        Ok(())
    }

    /// Fetches and prints once. `false`: it is over.
    fn poll(&mut self) -> Result<bool, Failure> {
        if stop::requested() || self.printed >= self.printed_max {
            return Ok(false);
        }
        let goes_on = match self.fetch() {
            Ok(goes_on) => goes_on,
            Err(Stop::Enough) => false,
            Err(Stop::Failed(failure)) => return Err(failure),
            Err(Stop::Batch(error)) => return Err(Failure::new(error)),
        };
        self.out.flush()?;
        if self.flushed != self.positions {
            self.flushed.clone_from(&self.positions);
        }
        if self.silence.is_some_and(|silence| self.heard_at.elapsed() >= silence) {
            return Ok(false);
        }
        Ok(goes_on)
    }

    fn wait_ms(&self) -> i32 {
        let Some(silence) = self.silence else { return FETCH_WAIT_MS };
        let left = silence.saturating_sub(self.heard_at.elapsed());
        i32::try_from(left.as_millis()).unwrap_or(FETCH_WAIT_MS).clamp(1, FETCH_WAIT_MS)
    }

    fn fetch(&mut self) -> Result<bool, Stop> {
        if self.positions.is_empty() {
            // A member without a part waits for the next rebalance.
            std::thread::sleep(Duration::from_millis(100));
            return Ok(true);
        }
        if self.positions.keys().any(|partition| !self.leaders.contains_key(partition)) {
            let mut names: Vec<&str> = self.positions.keys().map(|(t, _)| t.as_str()).collect();
            names.dedup();
            let leaders = self.cluster.leaders(names).map_err(Stop::Failed);
            match leaders {
                Ok(leaders) => self.leaders = leaders.into_iter().collect(),
                Err(stop) => return self.after_broken(stop),
            }
        }
        let mut by_node: BTreeMap<i32, Vec<(Partition, i64)>> = BTreeMap::new();
        for (partition, offset) in &self.positions {
            let leader = self.leaders.get(partition).copied().unwrap_or(-1);
            by_node.entry(leader).or_default().push((partition.clone(), *offset));
        }
        let wait_ms = self.wait_ms() / by_node.len().max(1) as i32;
        for (node, partitions) in by_node {
            if node < 0 {
                self.leaders.clear();
                pause();
                continue;
            }
            let entries = partitions.iter().map(|((topic, partition), offset)| {
                let entry = FetchPartition {
                    partition: *partition,
                    fetch_offset: *offset,
                    partition_max_bytes: CLI_FETCH_BYTES_MAX,
                };
                (topic.as_str(), entry)
            });
            let request = FetchRequest {
                max_wait_ms: wait_ms,
                min_bytes: 1,
                max_bytes: CLI_FETCH_BYTES_MAX,
                isolation_level: self.isolation_level,
                topics: ByTopic::group(entries),
            };
            let answer = self.cluster.node(node).and_then(|connection| connection.call(&request));
            let response = match answer {
                Ok(response) => response,
                Err(CallError::Stopped) => return Ok(false),
                Err(CallError::Broken(why)) => {
                    return self.after_broken(Stop::Failed(Failure::Failed(why)));
                }
                Err(error) => return Err(Stop::Failed(error.into())),
            };
            self.broken = 0;
            for topic in response.topics {
                for partition in &topic.partitions {
                    self.take(&topic.name, partition)?;
                }
            }
        }
        Ok(true)
    }

    /// A broker that is gone may come back; one that does not is a failure.
    fn after_broken(&mut self, stop: Stop) -> Result<bool, Stop> {
        self.broken += 1;
        if self.broken >= CLI_RETRIES_MAX {
            return Err(stop);
        }
        self.cluster.reset();
        self.leaders.clear();
        pause();
        Ok(true)
    }

    fn take(&mut self, topic: &str, fetched: &FetchedPartition) -> Result<(), Stop> {
        let partition = (topic.to_owned(), fetched.partition_index);
        let Some(offset) = self.positions.get(&partition).copied() else { return Ok(()) };
        match fetched.error_code {
            ErrorCode::None => self.print(&partition, offset, fetched),
            ErrorCode::OffsetOutOfRange => {
                let reset = if self.reset == LATEST { "end" } else { "start" };
                note(&format!(
                    "Offset {offset} of {topic}-{} does not exist (any more); \
                     going on from the {reset}.",
                    fetched.partition_index
                ));
                let time = self.reset;
                self.seek(&[partition], time).map_err(Stop::Failed)
            }
            ErrorCode::NotLeaderOrFollower
            | ErrorCode::LeaderNotAvailable
            | ErrorCode::UnknownTopicOrPartition
            | ErrorCode::FencedLeaderEpoch
            | ErrorCode::UnknownLeaderEpoch
            | ErrorCode::ReplicaNotAvailable
            | ErrorCode::OffsetNotAvailable => {
                self.leaders.clear();
                pause();
                Ok(())
            }
            code => {
                let index = fetched.partition_index;
                Err(Stop::Failed(Failure::new(format!("Fetching {topic}-{index}: {code}"))))
            }
        }
    }

    fn print(
        &mut self,
        partition: &Partition,
        offset: i64,
        fetched: &FetchedPartition,
    ) -> Result<(), Stop> {
        let mut next = offset;
        let walked = visit_from(
            &fetched.records,
            offset,
            &fetched.aborted_transactions,
            CLI_DECOMPRESSED_BYTES_MAX,
            |placed| {
                if self.printed >= self.printed_max {
                    return Err(Stop::Enough);
                }
                match self.format.line(&placed, partition.1) {
                    Ok(line) => {
                        self.out.write_all(&line).map_err(|e| Stop::Failed(e.into()))?;
                        self.printed += 1;
                        self.heard_at = Instant::now();
                    }
                    Err(_) if self.skip_errors => {}
                    Err(error) => return Err(Stop::Batch(BatchesError::Record(error))),
                }
                next = placed.offset + 1;
                Ok(())
            },
        );
        let result = match walked {
            Ok(after) => {
                next = next.max(after);
                Ok(())
            }
            Err(Stop::Batch(error)) => {
                let (topic, index) = partition;
                let why = format!("{topic}-{index} at offset {next}: {error}");
                Err(Stop::Failed(Failure::new(why)))
            }
            Err(stop) => Err(stop),
        };
        self.positions.insert(partition.clone(), next);
        result
    }
}
