//! `ottla groups --describe`: offsets and lag, members, or states, in kafka-consumer-groups'
//! columns.

use super::cluster::{Cluster, Partition};
use super::groups::GroupsArgs;
use super::table::{or_dash, row, width};
use super::{Failure, note};
use crate::client::messages::groups::{DescribeGroupsRequest, DescribedGroup, DescribedMember};
use crate::client::messages::metadata::Broker;
use crate::client::messages::offsets::{LATEST, OffsetFetchRequest};
use crate::client::protocol::{Assignment, read_assignment};
use crate::wire::ErrorCode;
use std::collections::BTreeMap;
use std::io::Write;

/// A group, its members, and where it stands in every partition that it has to do with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupOffsets {
    /// The group.
    pub group_id: String,
    /// `Stable`, `Empty`, `Dead`, …
    pub state: String,
    /// The assignor.
    pub assignor: String,
    /// The members.
    pub members: Vec<DescribedMember>,
    /// Where it stands, by topic and partition.
    pub rows: Vec<OffsetRow>,
}

/// Where a group stands in one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OffsetRow {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// The next offset to consume.
    pub current: Option<i64>,
    /// The end of the partition.
    pub end: Option<i64>,
    /// The index of the member that has the partition.
    pub member: Option<usize>,
}

impl OffsetRow {
    /// How many records are not consumed yet.
    pub fn lag(&self) -> Option<i64> {
        Some((self.end? - self.current?).max(0))
    }
}

impl GroupOffsets {
    /// How many records are not consumed yet, over all partitions.
    pub fn lag(&self) -> i64 {
        self.rows.iter().filter_map(OffsetRow::lag).sum()
    }
}

/// Asks a group's coordinator for the group.
pub fn describe_group(cluster: &mut Cluster, group_id: &str) -> Result<DescribedGroup, Failure> {
    let request = DescribeGroupsRequest { groups: vec![group_id] };
    let groups = cluster.call_coordinator(group_id, &request)?;
    match groups.into_iter().next() {
        Some(group) if group.error_code == ErrorCode::None => Ok(group),
        Some(group) if group.error_code != ErrorCode::GroupIdNotFound => {
            Err(Failure::new(format!("Group '{group_id}': {}", group.error_code)))
        }
        _ => Err(not_found(group_id)),
    }
}

fn not_found(group_id: &str) -> Failure {
    let why = format!("Group {group_id} not found.");
    Failure::new(format!("\nError: Executing consumer group command failed due to {why}"))
}

/// The partitions a member has; bytes that are no assignment of the consumer protocol (Connect's)
/// are none.
fn assignment(member: &DescribedMember) -> Assignment {
    read_assignment(&member.assignment).unwrap_or_default()
}

/// Asks for everything about a group's offsets.
pub fn group_offsets(cluster: &mut Cluster, group_id: &str) -> Result<GroupOffsets, Failure> {
    let group = describe_group(cluster, group_id)?;
    let request = OffsetFetchRequest { group_id, topics: None };
    let fetched = cluster.call_coordinator(group_id, &request)?;
    let mut rows: BTreeMap<Partition, OffsetRow> = BTreeMap::new();
    let empty = |topic: &str, partition: i32| OffsetRow {
        topic: topic.to_owned(),
        partition,
        current: None,
        end: None,
        member: None,
    };
    for topic in fetched.topics {
        for offset in topic.partitions.iter().filter(|offset| offset.committed_offset >= 0) {
            let index = offset.partition_index;
            let mut entry = empty(&topic.name, index);
            entry.current = Some(offset.committed_offset);
            rows.insert((topic.name.clone(), index), entry);
        }
    }
    for (at, member) in group.members.iter().enumerate() {
        for topic in assignment(member) {
            for index in topic.partitions {
                let key = (topic.name.clone(), index);
                let entry = rows.entry(key).or_insert_with(|| empty(&topic.name, index));
                entry.member = Some(at);
            }
        }
    }
    let mut rows: Vec<OffsetRow> = rows.into_values().collect();
    let wanted: Vec<_> = rows.iter().map(|r| (r.topic.as_str(), r.partition, LATEST)).collect();
    let listed = if wanted.is_empty() { Vec::new() } else { cluster.list_offsets(&wanted)? };
    for entry in &mut rows {
        entry.end = listed
            .iter()
            .find(|(topic, l)| *topic == entry.topic && l.partition_index == entry.partition)
            .filter(|(_, listed)| listed.error_code == ErrorCode::None)
            .map(|(_, listed)| listed.offset);
    }
    Ok(GroupOffsets {
        group_id: group.group_id,
        state: group.state,
        assignor: group.protocol,
        members: group.members,
        rows,
    })
}

/// Runs `--describe`.
pub fn run(
    args: &GroupsArgs,
    groups: &[String],
    cluster: &mut Cluster,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    for group_id in groups {
        let lines = if args.members || args.state.is_some() {
            let group = describe_group(cluster, group_id)?;
            comment(&group.group_id, &group.state, group.members.len())?;
            if args.members {
                member_lines(&group, args.verbose)
            } else {
                state_lines(&group, &cluster.coordinator(group_id)?)
            }
        } else {
            let group = group_offsets(cluster, group_id)?;
            comment(&group.group_id, &group.state, group.members.len())?;
            if group.rows.is_empty() { Vec::new() } else { offset_lines(&group) }
        };
        if !lines.is_empty() {
            writeln!(out)?;
        }
        for line in lines {
            writeln!(out, "{line}")?;
        }
    }
    Ok(())
}

/// Says on standard error what a person should know about a group's state.
fn comment(group_id: &str, state: &str, members: usize) -> Result<(), Failure> {
    match state {
        // Before version 6 of DescribeGroups a group that does not exist is a dead one.
        "Dead" => {
            let why = format!("\nError: Consumer group '{group_id}' does not exist.");
            return Err(Failure::new(why));
        }
        "Empty" => note(&format!("\nConsumer group '{group_id}' has no active members.")),
        "PreparingRebalance" | "CompletingRebalance" => {
            note(&format!("\nWarning: Consumer group '{group_id}' is rebalancing."));
        }
        _ if members == 0 => {
            note(&format!("\nConsumer group '{group_id}' has no active members."));
        }
        _ => {}
    }
    Ok(())
}

fn offset_lines(group: &GroupOffsets) -> Vec<String> {
    const DASH: &str = "-";
    let member_of = |entry: &OffsetRow| entry.member.and_then(|at| group.members.get(at));
    let topics = width(15, group.rows.iter().map(|entry| entry.topic.as_str()));
    let ids = width(15, group.rows.iter().filter_map(&member_of).map(|m| m.member_id.as_str()));
    let hosts = width(15, group.rows.iter().filter_map(&member_of).map(|m| m.client_host.as_str()));
    let names = width(15, [group.group_id.as_str()]);
    let line = |cells: [&str; 9]| {
        let widths = [names, topics, 10, 15, 15, 15, ids, hosts, 0];
        let cells: Vec<(&str, usize)> = cells.into_iter().zip(widths).collect();
        row(&cells)
    };
    let mut lines = vec![line([
        "GROUP",
        "TOPIC",
        "PARTITION",
        "CURRENT-OFFSET",
        "LOG-END-OFFSET",
        "LAG",
        "CONSUMER-ID",
        "HOST",
        "CLIENT-ID",
    ])];
    for entry in &group.rows {
        let member = member_of(entry);
        lines.push(line([
            &group.group_id,
            &entry.topic,
            &entry.partition.to_string(),
            &or_dash(entry.current),
            &or_dash(entry.end),
            &or_dash(entry.lag()),
            member.map_or(DASH, |member| &member.member_id),
            member.map_or(DASH, |member| &member.client_host),
            member.map_or(DASH, |member| &member.client_id),
        ]));
    }
    lines
}

fn member_lines(group: &DescribedGroup, verbose: bool) -> Vec<String> {
    let members = &group.members;
    let names = width(15, [group.group_id.as_str()]);
    let ids = width(15, members.iter().map(|member| member.member_id.as_str()));
    let hosts = width(15, members.iter().map(|member| member.client_host.as_str()));
    let clients = width(15, members.iter().map(|member| member.client_id.as_str()));
    let instance = |m: &DescribedMember| m.group_instance_id.clone().unwrap_or_default();
    let instances: Vec<String> = members.iter().map(instance).collect();
    let has_instances = instances.iter().any(|instance| !instance.is_empty());
    let instance_width = width(17, instances.iter().map(String::as_str));
    let line = |cells: [&str; 6], assignment: [&str; 4]| {
        let [group, id, instance, host, client, partitions] = cells;
        let mut all = vec![(group, names), (id, ids)];
        if has_instances {
            all.push((instance, instance_width));
        }
        all.extend([(host, hosts), (client, clients), (partitions, 15)]);
        if verbose {
            all.extend(assignment.into_iter().zip([15, 20, 15, 20]));
        }
        let text = row(&all);
        // Kafka's short form ends in one more space.
        if verbose { text } else { text + " " }
    };
    let mut lines = vec![line(
        ["GROUP", "CONSUMER-ID", "GROUP-INSTANCE-ID", "HOST", "CLIENT-ID", "#PARTITIONS"],
        ["CURRENT-EPOCH", "CURRENT-ASSIGNMENT", "TARGET-EPOCH", "TARGET-ASSIGNMENT"],
    )];
    let mut described: Vec<_> = members.iter().zip(&instances).collect();
    let count = |member: &DescribedMember| -> usize {
        assignment(member).iter().map(|topic| topic.partitions.len()).sum()
    };
    described.sort_by_key(|(member, _)| std::cmp::Reverse(count(member)));
    for (member, instance) in described {
        let partitions = count(member).to_string();
        let assigned = assignment_text(&assignment(member));
        lines.push(line(
            [
                &group.group_id,
                &member.member_id,
                instance,
                &member.client_host,
                &member.client_id,
                &partitions,
            ],
            ["-", &assigned, "-", "-"],
        ));
    }
    lines
}

/// `a:0,1;b:2`, or `-` for nothing.
fn assignment_text(assignment: &Assignment) -> String {
    let mut topics: Vec<_> = assignment.iter().collect();
    topics.sort_by(|a, b| a.name.cmp(&b.name));
    let texts: Vec<String> = topics
        .into_iter()
        .map(|topic| {
            let mut partitions = topic.partitions.clone();
            partitions.sort_unstable();
            let numbers: Vec<String> = partitions.iter().map(i32::to_string).collect();
            format!("{}:{}", topic.name, numbers.join(","))
        })
        .collect();
    if texts.is_empty() { "-".to_owned() } else { texts.join(";") }
}

fn state_lines(group: &DescribedGroup, coordinator: &Broker) -> Vec<String> {
    let names = width(15, [group.group_id.as_str()]);
    let address = format!("{}:{}  ({})", coordinator.host, coordinator.port, coordinator.node_id);
    let assignor = if group.protocol.is_empty() { "-" } else { &group.protocol };
    let members = group.members.len().to_string();
    let coordinators = width(25, [address.as_str()]);
    let line = |cells: [&str; 5]| {
        let cells: Vec<(&str, usize)> =
            cells.into_iter().zip([names, coordinators, 20, 20, 0]).collect();
        row(&cells)
    };
    vec![
        line(["GROUP", "COORDINATOR (ID)", "ASSIGNMENT-STRATEGY", "STATE", "#MEMBERS"]),
        line([&group.group_id, &address, assignor, &group.state, &members]),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::messages::TopicResult;
    use crate::client::protocol::write_assignment;

    fn member() -> DescribedMember {
        let assigned = vec![TopicResult { name: "foo".into(), partitions: vec![0, 1, 2] }];
        DescribedMember {
            member_id: "cc-3fa75fc2-56b3-451e-88ac-640c720ce67a".into(),
            group_instance_id: None,
            client_id: "cc".into(),
            client_host: "/127.0.0.1".into(),
            metadata: Vec::new(),
            assignment: write_assignment(&assigned),
        }
    }

    fn group() -> DescribedGroup {
        DescribedGroup {
            error_code: ErrorCode::None,
            group_id: "g2".into(),
            state: "Stable".into(),
            protocol_type: "consumer".into(),
            protocol: "range".into(),
            members: vec![member()],
        }
    }

    #[test]
    fn offsets_stand_in_kafkas_columns() {
        let taken = OffsetRow {
            topic: "foo".into(),
            partition: 0,
            current: Some(2),
            end: Some(5),
            member: Some(0),
        };
        let free = OffsetRow { partition: 1, current: None, member: None, ..taken.clone() };
        let group = GroupOffsets {
            group_id: "g2".into(),
            state: "Stable".into(),
            assignor: "range".into(),
            members: vec![member()],
            rows: vec![taken, free],
        };
        assert_eq!(group.lag(), 3);
        assert_eq!(
            offset_lines(&group),
            [
                "GROUP           TOPIC           PARTITION  CURRENT-OFFSET  LOG-END-OFFSET  \
                 LAG             CONSUMER-ID                             HOST            \
                 CLIENT-ID",
                "g2              foo             0          2               5               \
                 3               cc-3fa75fc2-56b3-451e-88ac-640c720ce67a /127.0.0.1      cc",
                "g2              foo             1          -               5               \
                 -               -                                       -               -",
            ]
        );
    }

    #[test]
    fn members_stand_in_kafkas_columns() {
        assert_eq!(
            member_lines(&group(), false),
            [
                "GROUP           CONSUMER-ID                             HOST            \
                 CLIENT-ID       #PARTITIONS     ",
                "g2              cc-3fa75fc2-56b3-451e-88ac-640c720ce67a /127.0.0.1      \
                 cc              3               ",
            ]
        );
        assert_eq!(
            member_lines(&group(), true),
            [
                "GROUP           CONSUMER-ID                             HOST            \
                 CLIENT-ID       #PARTITIONS     CURRENT-EPOCH   CURRENT-ASSIGNMENT   \
                 TARGET-EPOCH    TARGET-ASSIGNMENT   ",
                "g2              cc-3fa75fc2-56b3-451e-88ac-640c720ce67a /127.0.0.1      \
                 cc              3               -               foo:0,1,2            \
                 -               -                   ",
            ]
        );
    }

    #[test]
    fn states_stand_in_kafkas_columns() {
        let coordinator = Broker { node_id: 1, host: "127.0.0.1".into(), port: 39192, rack: None };
        assert_eq!(
            state_lines(&group(), &coordinator),
            [
                "GROUP           COORDINATOR (ID)          ASSIGNMENT-STRATEGY  \
                 STATE                #MEMBERS",
                "g2              127.0.0.1:39192  (1)      range                \
                 Stable               1",
            ]
        );
    }
}
