//! `ottla groups --reset-offsets`: puts an inactive group somewhere else.
//!
//! Promises: the arithmetic is Kafka's: an offset outside the partition becomes its nearest end, a
//! time after the last record becomes the end. Nothing is written without `--execute`.

use super::cluster::{Cluster, Partition};
use super::groups::{GroupsArgs, named_partitions};
use super::groups_describe::describe_group;
use super::table::{row, width};
use super::time_text::{parse_datetime, parse_duration};
use super::{Failure, note};
use crate::client::messages::ByTopic;
use crate::client::messages::offsets::{
    CommitPartition, EARLIEST, LATEST, OffsetCommitRequest, OffsetFetchRequest,
};
use crate::disk::os::wall_ms;
use crate::wire::ErrorCode;
use std::collections::HashMap;
use std::io::Write;

/// Where to.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Target {
    Earliest,
    Latest,
    Offset(i64),
    Shift(i64),
    Time(i64),
    Current,
    Given(HashMap<Partition, i64>),
}

/// Runs `--reset-offsets`.
pub fn run(
    args: &GroupsArgs,
    groups: &[String],
    cluster: &mut Cluster,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let target = target(args)?;
    if !args.execute && !args.dry_run {
        note("WARN: No action will be performed as the --execute option is missing.");
    }
    let mut lines = Vec::new();
    for group_id in groups {
        let state = describe_group(cluster, group_id).map_or_else(
            |_| "Dead".to_owned(), // An unknown group is made by the commit, as in Kafka.
            |group| group.state,
        );
        if !matches!(state.as_str(), "Empty" | "Dead") {
            return Err(Failure::new(format!(
                "\nError: Assignments can only be reset if the group '{group_id}' is inactive, but \
                 the current state is {state}."
            )));
        }
        let committed = committed(cluster, group_id)?;
        let partitions = scope(args, &target, &committed, cluster)?;
        let plan = plan(cluster, &partitions, &target, &committed)?;
        if args.execute {
            commit(cluster, group_id, &plan)?;
        }
        lines.extend(plan.into_iter().map(|(partition, offset)| (group_id, partition, offset)));
    }
    if args.export {
        for (group, (topic, partition), offset) in &lines {
            let prefix = if groups.len() > 1 { format!("{group},") } else { String::new() };
            writeln!(out, "{prefix}{topic},{partition},{offset}")?;
        }
        return Ok(());
    }
    let names = width(15, groups.iter().map(String::as_str));
    let topics = width(15, lines.iter().map(|(_, (topic, _), _)| topic.as_str()));
    let line = |group: &str, topic: &str, partition: &str, offset: &str| {
        row(&[(group, names), (topic, topics), (partition, 10), (offset, 0)])
    };
    writeln!(out, "\n{}", line("GROUP", "TOPIC", "PARTITION", "NEW-OFFSET"))?;
    for (group, (topic, partition), offset) in &lines {
        writeln!(out, "{}", line(group, topic, &partition.to_string(), &offset.to_string()))?;
    }
    Ok(())
}

fn target(args: &GroupsArgs) -> Result<Target, Failure> {
    if let Some(text) = &args.to_datetime {
        return parse_datetime(text).map(Target::Time).ok_or_else(|| {
            Failure::usage(format!("--to-datetime {text}: not of the form YYYY-MM-DDThh:mm:ss.sss"))
        });
    }
    if let Some(text) = &args.by_duration {
        return parse_duration(text).map(|ago| Target::Time(wall_ms() - ago)).ok_or_else(|| {
            Failure::usage(format!("--by-duration {text}: not of the form PnDTnHnMnS"))
        });
    }
    if let Some(path) = &args.from_file {
        let text = std::fs::read_to_string(path)
            .map_err(|error| Failure::new(format!("cannot read {}: {error}", path.display())))?;
        return parse_csv(&text).map(Target::Given).map_err(|line| {
            Failure::new(format!("{}:{line}: not topic,partition,offset", path.display()))
        });
    }
    match (args.to_offset, args.shift_by) {
        (Some(offset), _) => Ok(Target::Offset(offset)),
        (_, Some(shift)) => Ok(Target::Shift(shift)),
        _ if args.to_earliest => Ok(Target::Earliest),
        _ if args.to_latest => Ok(Target::Latest),
        _ if args.to_current => Ok(Target::Current),
        _ => Err(Failure::usage(
            "--reset-offsets needs one of --to-earliest, --to-latest, --to-offset, --shift-by, \
             --to-datetime, --by-duration, --to-current, --from-file",
        )),
    }
}

/// The offsets of a CSV file, or the number of the line that is none.
fn parse_csv(text: &str) -> Result<HashMap<Partition, i64>, usize> {
    let mut offsets = HashMap::new();
    for (at, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let cells: Vec<&str> = line.split(',').map(str::trim).collect();
        // With several groups Kafka puts the group in front.
        let cells = if cells.len() == 4 { &cells[1..] } else { &cells[..] };
        let entry = match cells {
            [topic, partition, offset] => partition
                .parse()
                .ok()
                .zip(offset.parse().ok())
                .map(|(p, o)| ((topic.to_string(), p), o)),
            _ => None,
        };
        let (partition, offset) = entry.ok_or(at + 1)?;
        offsets.insert(partition, offset);
    }
    Ok(offsets)
}

fn committed(cluster: &mut Cluster, group_id: &str) -> Result<HashMap<Partition, i64>, Failure> {
    let response =
        cluster.call_coordinator(group_id, &OffsetFetchRequest { group_id, topics: None })?;
    let mut committed = HashMap::new();
    for topic in response.topics {
        for offset in topic.partitions.iter().filter(|offset| offset.committed_offset >= 0) {
            committed.insert((topic.name.clone(), offset.partition_index), offset.committed_offset);
        }
    }
    Ok(committed)
}

/// The partitions that a reset is about, in order.
fn scope(
    args: &GroupsArgs,
    target: &Target,
    committed: &HashMap<Partition, i64>,
    cluster: &mut Cluster,
) -> Result<Vec<Partition>, Failure> {
    let mut partitions: Vec<Partition> = if !args.topic.is_empty() {
        named_partitions(&args.topic, cluster)?
    } else if let Target::Given(offsets) = target {
        offsets.keys().cloned().collect()
    } else if args.all_topics {
        // Kafka takes all partitions of every topic in which the group has an offset.
        let mut topics: Vec<String> = committed.keys().map(|(topic, _)| topic.clone()).collect();
        topics.sort();
        topics.dedup();
        named_partitions(&topics, cluster)?
    } else {
        return Err(Failure::usage("One of --topic and --all-topics is needed"));
    };
    partitions.sort();
    partitions.dedup();
    Ok(partitions)
}

/// Where each partition shall stand.
fn plan(
    cluster: &mut Cluster,
    partitions: &[Partition],
    target: &Target,
    committed: &HashMap<Partition, i64>,
) -> Result<Vec<(Partition, i64)>, Failure> {
    let mut ask = |time: i64| -> Result<HashMap<Partition, i64>, Failure> {
        let entries: Vec<_> = partitions.iter().map(|(t, p)| (t.as_str(), *p, time)).collect();
        let listed = cluster.list_offsets(&entries)?;
        Ok(listed
            .into_iter()
            .map(|(t, found)| ((t, found.partition_index), found.offset))
            .collect())
    };
    let (earliest, latest) = (ask(EARLIEST)?, ask(LATEST)?);
    let at_time = if let Target::Time(time) = target { ask(*time)? } else { HashMap::new() };
    let mut plan = Vec::new();
    for partition in partitions {
        let (Some(first), Some(end)) = (earliest.get(partition), latest.get(partition)) else {
            let (topic, index) = partition;
            return Err(Failure::new(format!("Partition {topic}-{index} does not exist.")));
        };
        let current = committed.get(partition).copied();
        let found = at_time.get(partition).copied();
        let given = if let Target::Given(g) = target { g.get(partition).copied() } else { None };
        match new_offset(target, *first, *end, current, found.or(given)) {
            Some(offset) => plan.push((partition.clone(), offset)),
            None => {
                let (topic, index) = partition;
                return Err(Failure::new(format!(
                    "Cannot shift offset for partition {topic}-{index} since there is no current \
                     committed offset"
                )));
            }
        }
    }
    Ok(plan)
}

/// The new offset of one partition that reaches from `first` to `end`. `found` is what a time or a
/// file says of it.
fn new_offset(
    target: &Target,
    first: i64,
    end: i64,
    current: Option<i64>,
    found: Option<i64>,
) -> Option<i64> {
    let wanted = match target {
        Target::Earliest => first,
        Target::Latest => end,
        Target::Offset(offset) => *offset,
        Target::Shift(shift) => current?.saturating_add(*shift),
        Target::Current => current.unwrap_or(end),
        // No record is as young as that: the end.
        Target::Time(_) => found.filter(|offset| *offset >= 0).unwrap_or(end),
        Target::Given(_) => found.unwrap_or(end),
    };
    Some(wanted.clamp(first, end.max(first)))
}

fn commit(cluster: &mut Cluster, group_id: &str, plan: &[(Partition, i64)]) -> Result<(), Failure> {
    let topics = ByTopic::group(plan.iter().map(|((topic, partition), offset)| {
        let entry = CommitPartition {
            partition_index: *partition,
            committed_offset: *offset,
            committed_metadata: Some(""),
        };
        (topic.as_str(), entry)
    }));
    let request = OffsetCommitRequest {
        group_id,
        generation_id: -1,
        member_id: "",
        group_instance_id: None,
        topics,
    };
    for topic in cluster.call_coordinator(group_id, &request)? {
        for (index, code) in topic.partitions {
            if code != ErrorCode::None {
                let name = &topic.name;
                return Err(Failure::new(format!("Offset of {name}-{index} is not reset: {code}")));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_outside_the_partition_become_its_nearest_end() {
        let at = |target: Target| new_offset(&target, 10, 100, Some(50), None);
        assert_eq!(at(Target::Earliest), Some(10));
        assert_eq!(at(Target::Latest), Some(100));
        assert_eq!(at(Target::Offset(5)), Some(10));
        assert_eq!(at(Target::Offset(70)), Some(70));
        assert_eq!(at(Target::Offset(1_000)), Some(100));
        assert_eq!(at(Target::Shift(-20)), Some(30));
        assert_eq!(at(Target::Shift(i64::MAX)), Some(100));
        assert_eq!(at(Target::Shift(i64::MIN)), Some(10));
        assert_eq!(at(Target::Current), Some(50));
    }

    #[test]
    fn a_time_behind_the_last_record_is_the_end_and_a_shift_needs_an_offset() {
        assert_eq!(new_offset(&Target::Time(0), 10, 100, None, Some(42)), Some(42));
        assert_eq!(new_offset(&Target::Time(0), 10, 100, None, Some(-1)), Some(100));
        assert_eq!(new_offset(&Target::Shift(1), 10, 100, None, None), None);
        assert_eq!(new_offset(&Target::Current, 10, 100, None, None), Some(100));
    }

    #[test]
    fn a_csv_file_has_three_columns_or_the_group_in_front() {
        let offsets = parse_csv("t,0,5\n\ng,u,1,7\n").unwrap();
        assert_eq!(offsets[&("t".to_owned(), 0)], 5);
        assert_eq!(offsets[&("u".to_owned(), 1)], 7);
        assert_eq!(parse_csv("t,0,5\nt,x,5"), Err(2));
    }
}
