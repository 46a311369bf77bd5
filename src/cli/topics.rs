//! `ottla topics`: the flags and lines of kafka-topics.

use super::Failure;
use super::args::{BootstrapArgs, parse_properties};
use super::cluster::Cluster;
use super::pattern::Pattern;
use crate::client::api::Api;
use crate::client::messages::configs::{
    Alteration, ConfigEntry, ConfigSource, DescribeConfigsRequest, IncrementalAlterConfigsRequest,
    ResourceType,
};
use crate::client::messages::metadata::{PartitionMetadata, TopicMetadata};
use crate::client::messages::topics::{
    CreatePartitionsRequest, CreateTopicsRequest, DeleteTopicsRequest, NamedResult, NewTopic,
};
use crate::wire::{ErrorCode, Uuid};
use clap::Args;
use std::io::Write;

/// What `ottla topics` was asked to do.
#[derive(Args, Debug)]
#[command(group(clap::ArgGroup::new("action").required(true)))]
pub struct TopicsArgs {
    #[command(flatten)]
    bootstrap: BootstrapArgs,
    /// Create a topic
    #[arg(long, group = "action")]
    create: bool,
    /// List all topics
    #[arg(long, group = "action")]
    list: bool,
    /// Describe topics: partitions, leaders, settings of their own
    #[arg(long, group = "action")]
    describe: bool,
    /// Give a topic more partitions
    #[arg(long, group = "action")]
    alter: bool,
    /// Delete topics
    #[arg(long, group = "action")]
    delete: bool,
    /// The topic; a pattern (a|b.*) except with --create
    #[arg(long, value_name = "TOPIC")]
    topic: Option<String>,
    /// How many partitions it shall have
    #[arg(long, value_name = "N")]
    partitions: Option<i32>,
    /// How many replicas each partition shall have
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    replication_factor: Option<i16>,
    /// Which brokers shall have each partition: counted only, there is one broker
    #[arg(long, value_name = "0:1,1:0", conflicts_with_all = ["partitions", "replication_factor"])]
    replica_assignment: Option<String>,
    /// A setting of the new topic, or of the altered one; may be given several times
    #[arg(long, value_name = "NAME=VALUE", action = clap::ArgAction::Append)]
    config: Vec<String>,
    /// With --alter: a setting to put back to its default; may be given several times
    #[arg(long, value_name = "NAME", action = clap::ArgAction::Append)]
    delete_config: Vec<String>,
    /// Not an error if the topic to create exists
    #[arg(long)]
    if_not_exists: bool,
    /// Not an error if the topic to alter, delete or describe does not exist
    #[arg(long)]
    if_exists: bool,
    /// With --describe: the topic of this id
    #[arg(long, value_name = "ID")]
    topic_id: Option<String>,
    /// Leave out Kafka's own topics
    #[arg(long)]
    exclude_internal: bool,
    /// Describe only topics with settings of their own
    #[arg(long)]
    topics_with_overrides: bool,
    /// Describe only partitions that lack replicas
    #[arg(long)]
    under_replicated_partitions: bool,
    /// Describe only partitions without a leader
    #[arg(long)]
    unavailable_partitions: bool,
    /// Describe only partitions with as many replicas in sync as min.insync.replicas asks for
    #[arg(long)]
    at_min_isr_partitions: bool,
    /// Describe only partitions with less replicas in sync than min.insync.replicas asks for
    #[arg(long)]
    under_min_isr_partitions: bool,
    /// Understood for old scripts' sake
    #[arg(long, hide = true)]
    disable_rack_aware: bool,
    /// Understood for old scripts' sake
    #[arg(long, hide = true)]
    force: bool,
    /// Understood for old scripts' sake
    #[arg(long, hide = true, value_name = "N")]
    partition_size_limit_per_response: Option<u32>,
}

/// How long a broker may take to create or delete.
const TIMEOUT_MS: i32 = 30_000;

/// Runs the command.
pub fn run(args: &TopicsArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let mut cluster = Cluster::new(&args.bootstrap, "ottla-topics")?;
    let result = if args.create {
        create(args, &mut cluster, out)
    } else if args.list {
        list(args, &mut cluster, out)
    } else if args.describe {
        describe(args, &mut cluster, out)
    } else if args.alter {
        alter(args, &mut cluster, out)
    } else {
        delete(args, &mut cluster, out)
    };
    result.map_err(|failure| match failure {
        Failure::Failed(message) => {
            Failure::Failed(format!("Error while executing topic command : {message}"))
        }
        other => other,
    })
}

fn check(result: &NamedResult) -> Result<(), Failure> {
    match result.error_code {
        ErrorCode::None => Ok(()),
        code => Err(Failure::new(result.error_message.clone().unwrap_or(code.to_string()))),
    }
}

fn required_topic(args: &TopicsArgs) -> Result<&str, Failure> {
    args.topic.as_deref().ok_or_else(|| Failure::usage("Missing required argument \"--topic\""))
}

fn create(args: &TopicsArgs, cluster: &mut Cluster, out: &mut dyn Write) -> Result<(), Failure> {
    let name = required_topic(args)?;
    let mut configs = Vec::new();
    for config in &args.config {
        configs.push(config.split_once('=').ok_or_else(|| {
            Failure::usage(format!("--config {config}: settings must be given as name=value"))
        })?);
    }
    if name.contains('.') || name.contains('_') {
        writeln!(
            out,
            "WARNING: Due to limitations in metric names, topics with a period ('.') or underscore \
             ('_') could collide. To avoid issues it is best to use either, but not both."
        )?;
    }
    let assigned = args.replica_assignment.as_deref().map(counts);
    let (partitions, replicas) =
        assigned.map_or((args.partitions, args.replication_factor), |(p, r)| (Some(p), Some(r)));
    let topic = NewTopic {
        name,
        num_partitions: partitions.unwrap_or(-1),
        replication_factor: replicas.unwrap_or(-1),
        configs,
    };
    let request =
        CreateTopicsRequest { topics: vec![topic], timeout_ms: TIMEOUT_MS, validate_only: false };
    for result in cluster.call_controller(&request)? {
        if result.error_code == ErrorCode::TopicAlreadyExists && args.if_not_exists {
            return Ok(());
        }
        check(&result)?;
        match args.bootstrap.is_zookeepers() {
            true => writeln!(out, "Created topic \"{}\".", result.name)?,
            false => writeln!(out, "Created topic {}.", result.name)?,
        }
    }
    Ok(())
}

/// Partitions and replicas of `0:1,1:2`: two partitions of two replicas. More do not fit into a
/// request that a broker would take.
fn counts(assignment: &str) -> (i32, i16) {
    let partitions = assignment.split(',').count();
    let replicas = assignment.split(',').next().map_or(1, |first| first.split(':').count());
    (i32::try_from(partitions).unwrap_or(i32::MAX), i16::try_from(replicas).unwrap_or(i16::MAX))
}

/// The topics that the arguments select, by name. A plain name that is missing is an error unless
/// `--if-exists` stands there.
fn select(args: &TopicsArgs, cluster: &mut Cluster) -> Result<Vec<TopicMetadata>, Failure> {
    let mut topics = cluster.metadata(None, false)?.topics;
    topics.sort_by(|a, b| a.name.cmp(&b.name));
    topics.retain(|topic| !(args.exclude_internal && topic.is_internal));
    if let Some(id) = &args.topic_id {
        topics.retain(|topic| uuid_text(&topic.topic_id) == *id);
        if topics.is_empty() && !args.if_exists {
            return Err(Failure::new(format!("TopicId '{id}' does not exist as expected")));
        }
    }
    if let Some(source) = &args.topic {
        let pattern = Pattern::new(source)?;
        topics.retain(|topic| pattern.matches(&topic.name));
        if topics.is_empty() && !args.if_exists {
            return Err(Failure::new(format!("Topic '{source}' does not exist as expected")));
        }
    }
    Ok(topics)
}

fn list(args: &TopicsArgs, cluster: &mut Cluster, out: &mut dyn Write) -> Result<(), Failure> {
    let mut topics = cluster.metadata(None, false)?.topics;
    topics.sort_by(|a, b| a.name.cmp(&b.name));
    let pattern = args.topic.as_deref().map(Pattern::new).transpose()?;
    for topic in topics {
        let wanted = pattern.as_ref().is_none_or(|pattern| pattern.matches(&topic.name));
        if wanted && !(args.exclude_internal && topic.is_internal) {
            writeln!(out, "{}", topic.name)?;
        }
    }
    Ok(())
}

fn alter(args: &TopicsArgs, cluster: &mut Cluster, out: &mut dyn Write) -> Result<(), Failure> {
    required_topic(args)?;
    let settings = !args.config.is_empty() || !args.delete_config.is_empty();
    if !settings && args.partitions.is_none() {
        return Err(Failure::usage("--alter needs --partitions; settings are `ottla configs`"));
    }
    let topics = select(args, cluster)?;
    if topics.is_empty() {
        return Ok(());
    }
    if settings {
        alter_settings(args, &topics, cluster, out)?;
    }
    let Some(partitions) = args.partitions else { return Ok(()) };
    if args.bootstrap.is_zookeepers() {
        writeln!(
            out,
            "WARNING: If partitions are increased for a topic that has a key, the partition logic \
             or ordering of the messages will be affected"
        )?;
    }
    let topics = topics.iter().map(|topic| (topic.name.as_str(), partitions)).collect();
    let request = CreatePartitionsRequest { topics, timeout_ms: TIMEOUT_MS };
    cluster.call_controller(&request)?.iter().try_for_each(check)?;
    if args.bootstrap.is_zookeepers() {
        writeln!(out, "Adding partitions succeeded!")?;
    }
    Ok(())
}

/// `--alter --config`, as Kafka's tool did it until 2.8.
fn alter_settings(
    args: &TopicsArgs,
    topics: &[TopicMetadata],
    cluster: &mut Cluster,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let added = parse_properties(&args.config)?;
    let deleted = args.delete_config.iter().map(|name| (name.as_str(), Alteration::Delete));
    for topic in topics {
        let set = added.iter().map(|(name, value)| (name.as_str(), Alteration::Set(value)));
        let request = IncrementalAlterConfigsRequest {
            resource_type: ResourceType::Topic,
            resource_name: &topic.name,
            alterations: set.chain(deleted.clone()).collect(),
        };
        for result in cluster.call(&request)? {
            if result.error_code != ErrorCode::None {
                let message = result.error_message.unwrap_or(result.error_code.to_string());
                return Err(Failure::new(message));
            }
        }
        writeln!(out, "Updated config for topic {}.", topic.name)?;
    }
    Ok(())
}

fn delete(args: &TopicsArgs, cluster: &mut Cluster, out: &mut dyn Write) -> Result<(), Failure> {
    required_topic(args)?;
    let topics = select(args, cluster)?;
    if topics.is_empty() {
        return Ok(());
    }
    let topic_names = topics.iter().map(|topic| topic.name.as_str()).collect();
    let request = DeleteTopicsRequest { topic_names, timeout_ms: TIMEOUT_MS };
    cluster.call_controller(&request)?.iter().try_for_each(check)?;
    if args.bootstrap.is_zookeepers() {
        for topic in &topics {
            writeln!(out, "Topic {} is marked for deletion.", topic.name)?;
            let note = "This will have no impact if delete.topic.enable is not set to true.";
            writeln!(out, "Note: {note}")?;
        }
    }
    Ok(())
}

fn describe(args: &TopicsArgs, cluster: &mut Cluster, out: &mut dyn Write) -> Result<(), Failure> {
    let topics = select(args, cluster)?;
    let resources: Vec<_> =
        topics.iter().map(|topic| (ResourceType::Topic, topic.name.as_str())).collect();
    let described = if resources.is_empty() {
        Vec::new()
    } else {
        cluster.call(&DescribeConfigsRequest { resources, include_synonyms: false })?
    };
    let partitions_only = args.under_replicated_partitions
        || args.unavailable_partitions
        || args.at_min_isr_partitions
        || args.under_min_isr_partitions;
    let old = args.bootstrap.is_zookeepers();
    // Kafka fills these two columns since DescribeTopicPartitions came (KIP-966), and says N/A to
    // a cluster that does not have it.
    let knows_elr = cluster.any()?.versions().range(DESCRIBE_TOPIC_PARTITIONS).is_some();
    for topic in &topics {
        let found = described.iter().find(|d| d.resource.name == topic.name);
        let configs = found.map_or(&[][..], |described| &described.configs);
        if args.topics_with_overrides {
            if configs.iter().any(|config| config.source == ConfigSource::DYNAMIC_TOPIC) {
                writeln!(out, "{}", topic_line(topic, configs, old))?;
            }
            continue;
        }
        if !partitions_only {
            writeln!(out, "{}", topic_line(topic, configs, old))?;
        }
        let mut partitions: Vec<_> = topic.partitions.iter().collect();
        partitions.sort_by_key(|partition| partition.partition_index);
        let least = configs.iter().find(|config| config.name == "min.insync.replicas");
        let least = least.and_then(|config| config.value.as_deref()?.parse().ok()).unwrap_or(1);
        for partition in partitions {
            let shown = !partitions_only
                || (args.unavailable_partitions && partition.leader_id < 0)
                || (args.under_replicated_partitions
                    && partition.isr_nodes.len() < partition.replica_nodes.len())
                || (args.at_min_isr_partitions && partition.isr_nodes.len() == least)
                || (args.under_min_isr_partitions && partition.isr_nodes.len() < least);
            if shown {
                writeln!(out, "{}", partition_line(&topic.name, partition, knows_elr, old))?;
            }
        }
    }
    Ok(())
}

/// The API key of DescribeTopicPartitions.
const DESCRIBE_TOPIC_PARTITIONS: i16 = 75;
const _: () = assert!(Api::METADATA.version_max >= 10, "topic ids come with Metadata v10");

/// A topic's line; `old` is that of Kafka 2.1, which scripts with `--zookeeper` take apart.
fn topic_line(topic: &TopicMetadata, configs: &[ConfigEntry], old: bool) -> String {
    // ZooKeeper knew of the topic's own settings only.
    let shown = |source| match old {
        true => source == ConfigSource::DYNAMIC_TOPIC,
        false => source != ConfigSource::DEFAULT,
    };
    let own: Vec<String> = configs
        .iter()
        .filter(|config| shown(config.source))
        .map(|config| format!("{}={}", config.name, config.value.as_deref().unwrap_or("null")))
        .collect();
    let replicas = topic.partitions.first().map_or(0, |p| p.replica_nodes.len());
    if old {
        let (name, count) = (&topic.name, topic.partitions.len());
        let own = own.join(",");
        return format!(
            "Topic:{name}\tPartitionCount:{count}\tReplicationFactor:{replicas}\tConfigs:{own}"
        );
    }
    format!(
        "Topic: {}\tTopicId: {}\tPartitionCount: {}\tReplicationFactor: {replicas}\tConfigs: {}",
        topic.name,
        uuid_text(&topic.topic_id),
        topic.partitions.len(),
        own.join(",")
    )
}

fn partition_line(
    topic: &str,
    partition: &PartitionMetadata,
    knows_elr: bool,
    old: bool,
) -> String {
    let leader = match partition.leader_id {
        id if id < 0 => "none".to_owned(),
        id => id.to_string(),
    };
    let elr = match (old, knows_elr) {
        (true, _) => "",
        (false, true) => "\tElr: \tLastKnownElr: ",
        (false, false) => "\tElr: N/A\tLastKnownElr: N/A",
    };
    format!(
        "\tTopic: {topic}\tPartition: {}\tLeader: {leader}\tReplicas: {}\tIsr: {}{elr}",
        partition.partition_index,
        nodes(&partition.replica_nodes),
        nodes(&partition.isr_nodes),
    )
}

fn nodes(ids: &[i32]) -> String {
    ids.iter().map(i32::to_string).collect::<Vec<_>>().join(",")
}

/// Kafka's text of a UUID: base64 of its bytes with `-` and `_`, without padding.
pub fn uuid_text(uuid: &Uuid) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::new();
    for chunk in uuid.chunks(3) {
        let bits = chunk.iter().fold(0u32, |bits, byte| (bits << 8) | u32::from(*byte));
        let bits = bits << (8 * (3 - chunk.len()));
        for digit in 0..=chunk.len() {
            text.push(char::from(DIGITS[(bits >> (18 - 6 * digit)) as usize & 63]));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uuids_are_kafkas_base64() {
        assert_eq!(uuid_text(&[0; 16]), "AAAAAAAAAAAAAAAAAAAAAA");
        assert_eq!(uuid_text(&[0xff; 16]), "_____________________w");
        let bytes = [0xa1, 0x96, 0x9b, 0x8d, 0x38, 0x95, 0x44, 0x6d];
        let mut uuid = [0; 16];
        uuid[..8].copy_from_slice(&bytes);
        assert!(uuid_text(&uuid).starts_with("oZabjTiVRG0"));
    }

    #[test]
    fn the_lines_of_describe_are_those_of_kafka_4_3() {
        let partition = PartitionMetadata {
            error_code: ErrorCode::None,
            partition_index: 1,
            leader_id: 1,
            leader_epoch: 0,
            replica_nodes: vec![1],
            isr_nodes: vec![1],
        };
        assert_eq!(
            partition_line("foo", &partition, true, false),
            "\tTopic: foo\tPartition: 1\tLeader: 1\tReplicas: 1\tIsr: 1\tElr: \tLastKnownElr: "
        );
        let topic = TopicMetadata {
            error_code: ErrorCode::None,
            name: "foo".into(),
            topic_id: [0; 16],
            is_internal: false,
            partitions: vec![partition],
        };
        let config = ConfigEntry {
            name: "retention.ms".into(),
            value: Some("60000".into()),
            read_only: false,
            source: ConfigSource::DYNAMIC_TOPIC,
            is_sensitive: false,
            synonyms: Vec::new(),
        };
        let default = ConfigEntry { source: ConfigSource::DEFAULT, ..config.clone() };
        assert_eq!(
            topic_line(&topic, &[config.clone(), default], false),
            "Topic: foo\tTopicId: AAAAAAAAAAAAAAAAAAAAAA\tPartitionCount: 1\tReplicationFactor: 1\
             \tConfigs: retention.ms=60000"
        );
        assert_eq!(
            topic_line(&topic, &[config], true),
            "Topic:foo\tPartitionCount:1\tReplicationFactor:1\tConfigs:retention.ms=60000"
        );
        assert_eq!(
            partition_line("foo", &topic.partitions[0], true, true),
            "\tTopic: foo\tPartition: 1\tLeader: 1\tReplicas: 1\tIsr: 1"
        );
    }

    #[test]
    fn an_assignment_is_counted() {
        assert_eq!(counts("0:1:2,0:1:2,1:2:0"), (3, 3));
        assert_eq!(counts("0"), (1, 1));
    }
}
