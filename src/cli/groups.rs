//! `ottla groups`: the flags and lines of kafka-consumer-groups.

use super::Failure;
use super::args::BootstrapArgs;
use super::cluster::Cluster;
use super::table::{row, width};
use super::{groups_describe, groups_reset};
use crate::client::messages::ByTopic;
use crate::client::messages::groups::{DeleteGroupsRequest, ListGroupsRequest, ListedGroup};
use crate::client::messages::offsets::OffsetDeleteRequest;
use crate::wire::ErrorCode;
use clap::Args;
use std::io::Write;

/// What `ottla groups` was asked to do.
#[derive(Args, Debug)]
#[command(group(clap::ArgGroup::new("action").required(true)))]
#[command(group(clap::ArgGroup::new("target")))]
#[command(after_help = "The forwarder to an upstream cluster is no consumer group, so it is not \
                        listed here: see `ottla forward --status`.")]
pub struct GroupsArgs {
    #[command(flatten)]
    bootstrap: BootstrapArgs,
    /// List all groups
    #[arg(long, group = "action")]
    list: bool,
    /// Describe groups: offsets and lag, or --members, or --state
    #[arg(long, group = "action")]
    describe: bool,
    /// Delete groups with all their offsets
    #[arg(long, group = "action")]
    delete: bool,
    /// Delete a group's offsets of some topics
    #[arg(long, group = "action")]
    delete_offsets: bool,
    /// Put a group's offsets somewhere else; the group must be inactive
    #[arg(long, group = "action")]
    reset_offsets: bool,
    /// The group; may be given several times
    #[arg(long, value_name = "GROUP", action = clap::ArgAction::Append)]
    pub group: Vec<String>,
    /// All groups
    #[arg(long)]
    all_groups: bool,
    /// With --describe: print the members
    #[arg(long)]
    pub members: bool,
    /// With --describe: print offsets and lag (the default)
    #[arg(long)]
    offsets: bool,
    /// With --describe: print the states; with --list: print them, or only groups in these
    #[arg(long, value_name = "STATE,...", num_args = 0..=1, default_missing_value = "")]
    pub state: Option<String>,
    /// With --describe --members: print assignments too
    #[arg(long)]
    pub verbose: bool,
    /// A topic, all its partitions or some (t:0,1); may be given several times
    #[arg(long, value_name = "TOPIC[:P,...]", action = clap::ArgAction::Append)]
    pub topic: Vec<String>,
    /// All topics the group has offsets of
    #[arg(long)]
    pub all_topics: bool,
    /// Reset to the first offset there is
    #[arg(long, group = "target")]
    pub to_earliest: bool,
    /// Reset to the end
    #[arg(long, group = "target")]
    pub to_latest: bool,
    /// Reset to this offset
    #[arg(long, group = "target", value_name = "OFFSET", allow_negative_numbers = true)]
    pub to_offset: Option<i64>,
    /// Move the offsets by so many records, back if negative
    #[arg(long, group = "target", value_name = "N", allow_negative_numbers = true)]
    pub shift_by: Option<i64>,
    /// Reset to the first record of this time or later: YYYY-MM-DDThh:mm:ss.sss (UTC, unless it
    /// ends in a zone)
    #[arg(long, group = "target", value_name = "DATETIME")]
    pub to_datetime: Option<String>,
    /// Reset to the first record not older than this: PnDTnHnMnS
    #[arg(long, group = "target", value_name = "DURATION")]
    pub by_duration: Option<String>,
    /// Reset to where the group is
    #[arg(long, group = "target")]
    pub to_current: bool,
    /// Reset to the offsets in a CSV file of topic,partition,offset
    #[arg(long, group = "target", value_name = "FILE")]
    pub from_file: Option<std::path::PathBuf>,
    /// Only print what a reset would do (the default)
    #[arg(long, conflicts_with = "execute")]
    pub dry_run: bool,
    /// Do the reset
    #[arg(long)]
    pub execute: bool,
    /// Print the reset as CSV, for --from-file
    #[arg(long)]
    pub export: bool,
    /// Understood: classic and consumer groups are listed alike
    #[arg(long, hide = true, value_name = "TYPE", num_args = 0..=1)]
    r#type: Option<Option<String>>,
    /// Understood for old scripts' sake; see --request-timeout-ms
    #[arg(long, value_name = "MS", hide = true)]
    timeout: Option<i64>,
}

/// Runs the command.
pub fn run(args: &GroupsArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let mut cluster = Cluster::new(&args.bootstrap, "ottla-groups")?;
    if args.list {
        return list(args, &mut cluster, out);
    }
    let groups = if args.all_groups {
        let listed = cluster.call(&ListGroupsRequest::default())?;
        let mut names: Vec<String> = listed.groups.into_iter().map(|g| g.group_id).collect();
        names.sort();
        names
    } else if args.group.is_empty() {
        return Err(Failure::usage("One of --group and --all-groups is needed"));
    } else {
        args.group.clone()
    };
    if args.describe {
        groups_describe::run(args, &groups, &mut cluster, out)
    } else if args.delete {
        delete(&groups, &mut cluster, out)
    } else if args.delete_offsets {
        delete_offsets(args, &groups, &mut cluster, out)
    } else {
        groups_reset::run(args, &groups, &mut cluster, out)
    }
}

fn list(args: &GroupsArgs, cluster: &mut Cluster, out: &mut dyn Write) -> Result<(), Failure> {
    let response = cluster.call(&ListGroupsRequest::default())?;
    if response.error_code != ErrorCode::None {
        return Err(Failure::new(format!("cannot list the groups: {}", response.error_code)));
    }
    let mut groups = response.groups;
    groups.retain(|g| g.protocol_type.is_empty() || g.protocol_type == "consumer");
    groups.sort_by(|a, b| a.group_id.cmp(&b.group_id));
    let Some(states) = &args.state else {
        for group in &groups {
            writeln!(out, "{}", group.group_id)?;
        }
        return Ok(());
    };
    let wanted: Vec<String> =
        states.split(',').map(|s| s.trim().to_lowercase()).filter(|s| !s.is_empty()).collect();
    groups.retain(|g| wanted.is_empty() || wanted.contains(&g.state.to_lowercase()));
    for line in state_lines(&groups) {
        writeln!(out, "{line}")?;
    }
    Ok(())
}

fn state_lines(groups: &[ListedGroup]) -> Vec<String> {
    let names = width(15, groups.iter().map(|group| group.group_id.as_str())) + 10;
    let line = |group: &str, state: &str| row(&[(group, names), (state, 20)]);
    std::iter::once(line("GROUP", "STATE"))
        .chain(groups.iter().map(|group| line(&group.group_id, &group.state)))
        .collect()
}

/// What Kafka's tools say to a code, where they have a sentence for it.
pub fn sentence(code: ErrorCode) -> String {
    match code {
        ErrorCode::NonEmptyGroup => "The group is not empty.".to_owned(),
        ErrorCode::GroupIdNotFound => "The group id does not exist.".to_owned(),
        ErrorCode::GroupSubscribedToTopic => {
            "Deleting offsets of a topic is forbidden while the consumer group is actively \
             subscribed to it."
                .to_owned()
        }
        ErrorCode::UnknownTopicOrPartition => {
            "This server does not host this topic-partition.".to_owned()
        }
        code => code.to_string(),
    }
}

fn delete(groups: &[String], cluster: &mut Cluster, out: &mut dyn Write) -> Result<(), Failure> {
    let (mut deleted, mut failed) = (Vec::new(), Vec::new());
    for group in groups {
        let request = DeleteGroupsRequest { groups_names: vec![group] };
        for (name, code) in cluster.call_coordinator(group, &request)? {
            match code {
                ErrorCode::None => deleted.push(format!("'{name}'")),
                code => failed.push(format!(
                    "* Group '{name}' could not be deleted due to: {}",
                    sentence(code)
                )),
            }
        }
    }
    if failed.is_empty() {
        let names = deleted.join(", ");
        writeln!(out, "Deletion of requested consumer groups ({names}) was successful.")?;
        return Ok(());
    }
    let mut message =
        format!("\nError: Deletion of some consumer groups failed:\n{}", failed.join("\n"));
    if !deleted.is_empty() {
        message +=
            &format!("\n\nThese consumer groups were deleted successfully: {}", deleted.join(", "));
    }
    Err(Failure::new(message))
}

/// A topic argument: the topic and the partitions named behind the colon, if any.
pub fn parse_topic(argument: &str) -> Result<(&str, Option<Vec<i32>>), Failure> {
    let Some((topic, list)) = argument.split_once(':') else { return Ok((argument, None)) };
    let partitions: Result<Vec<i32>, _> = list.split(',').map(|p| p.trim().parse()).collect();
    match partitions {
        Ok(partitions) => Ok((topic, Some(partitions))),
        Err(_) => Err(Failure::usage(format!("--topic {argument}: not of the form topic:0,1,2"))),
    }
}

/// The partitions that `--topic` arguments name, in order; missing topics are an error.
pub fn named_partitions(
    arguments: &[String],
    cluster: &mut Cluster,
) -> Result<Vec<(String, i32)>, Failure> {
    let mut all = Vec::new();
    for argument in arguments {
        let (topic, named) = parse_topic(argument)?;
        let partitions = match named {
            Some(partitions) => partitions,
            None => {
                let mut partitions: Vec<i32> = cluster
                    .topic(topic, false)?
                    .partitions
                    .iter()
                    .map(|p| p.partition_index)
                    .collect();
                partitions.sort_unstable();
                partitions
            }
        };
        all.extend(partitions.into_iter().map(|partition| (topic.to_owned(), partition)));
    }
    Ok(all)
}

fn delete_offsets(
    args: &GroupsArgs,
    groups: &[String],
    cluster: &mut Cluster,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let [group_id] = groups else {
        return Err(Failure::usage("--delete-offsets needs exactly one --group"));
    };
    if args.topic.is_empty() {
        return Err(Failure::usage("--delete-offsets needs --topic"));
    }
    let partitions = named_partitions(&args.topic, cluster)?;
    let topics = ByTopic::group(partitions.iter().map(|(topic, p)| (topic.as_str(), *p)));
    let response = cluster.call_coordinator(group_id, &OffsetDeleteRequest { group_id, topics })?;
    if response.error_code != ErrorCode::None {
        let why = sentence(response.error_code);
        return Err(Failure::new(format!("\nError: Deletion of offsets failed due to: {why}")));
    }
    let results: Vec<(&str, i32, ErrorCode)> = response
        .topics
        .iter()
        .flat_map(|t| t.partitions.iter().map(|(index, code)| (t.name.as_str(), *index, *code)))
        .collect();
    let failed = results.iter().any(|(_, _, code)| *code != ErrorCode::None);
    match failed {
        true => writeln!(
            out,
            "\nError: Encountered some partition-level error, see the follow-up details."
        )?,
        false => writeln!(out, "Request succeeded for deleting offsets from group {group_id}.")?,
    }
    let line = |topic: &str, partition: &str, status: &str| {
        row(&[(topic, 15), (partition, 10), (status, 15)])
    };
    writeln!(out, "\n{}", line("TOPIC", "PARTITION", "STATUS"))?;
    for (topic, partition, code) in results {
        let status = match code {
            ErrorCode::None => "Successful".to_owned(),
            code => format!("Error: {}", sentence(code)),
        };
        writeln!(out, "{}", line(topic, &partition.to_string(), &status))?;
    }
    if failed { Err(Failure::new("Some offsets were not deleted.")) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topic_arguments_name_all_partitions_or_some() {
        assert_eq!(parse_topic("t"), Ok(("t", None)));
        assert_eq!(parse_topic("t:0,2"), Ok(("t", Some(vec![0, 2]))));
        assert!(parse_topic("t:x").is_err());
        assert!(parse_topic("t:").is_err());
    }

    #[test]
    fn states_are_listed_in_kafkas_columns() {
        let group = |group_id: &str, state: &str| ListedGroup {
            group_id: group_id.into(),
            protocol_type: "consumer".into(),
            state: state.into(),
        };
        let lines = state_lines(&[group("console-consumer-87253", "Empty"), group("g2", "Stable")]);
        assert_eq!(lines[0], "GROUP                            STATE               ");
        assert_eq!(lines[2], "g2                               Stable              ");
    }
}
