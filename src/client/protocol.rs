//! The consumer protocol: what members of a group tell each other through the coordinator.
//!
//! Subscriptions and assignments are bytes to the broker. We write version 0, which every client
//! since 2015 reads, and read any version, whose fields only grow at the end (KIP-429).
//! Promises: the assignment of [`assign_range`] is that of Kafka's `RangeAssignor`.
//! Absent: cooperative rebalancing, rack awareness.

use crate::client::messages::TopicResult;
use crate::wire::reader::Read;
use crate::wire::{Reader, Writer};

/// The name of the assignor that we speak.
pub const RANGE: &str = "range";

/// The subscription to `topics`, as a member joins with it.
pub fn write_subscription<S: AsRef<str>>(topics: &[S]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut w = Writer::new(&mut bytes, 0, false);
    w.i16(0);
    w.array(topics.len());
    for topic in topics {
        w.string(topic.as_ref());
    }
    w.nullable_bytes(None);
    bytes
}

/// The topics of a subscription.
///
/// # Errors
/// The field that is malformed.
pub fn read_subscription(bytes: &[u8]) -> Read<Vec<String>> {
    let mut r = Reader::new(bytes, 0, false);
    r.i16("subscription version")?;
    let count = r.array("topics")?;
    let mut topics = Vec::new();
    for _ in 0..count {
        topics.push(r.string("topic")?.to_owned());
    }
    Ok(topics)
}

/// An assignment: partitions by topic.
pub type Assignment = Vec<TopicResult<i32>>;

/// The bytes of an assignment.
pub fn write_assignment(assignment: &Assignment) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut w = Writer::new(&mut bytes, 0, false);
    w.i16(0);
    w.array(assignment.len());
    for topic in assignment {
        w.string(&topic.name);
        w.array(topic.partitions.len());
        for partition in &topic.partitions {
            w.i32(*partition);
        }
    }
    w.nullable_bytes(None);
    bytes
}

/// The partitions of an assignment. No bytes at all are an empty assignment.
///
/// # Errors
/// The field that is malformed.
pub fn read_assignment(bytes: &[u8]) -> Read<Assignment> {
    if bytes.is_empty() {
        return Ok(Vec::new());
    }
    let mut r = Reader::new(bytes, 0, false);
    r.i16("assignment version")?;
    let mut assignment = Vec::new();
    for _ in 0..r.array("topics")? {
        let name = r.string("topic")?.to_owned();
        let count = r.array("partitions")?;
        let mut partitions = Vec::new();
        for _ in 0..count {
            partitions.push(r.i32("partition")?);
        }
        assignment.push(TopicResult { name, partitions });
    }
    Ok(assignment)
}

/// A member and what it subscribed to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscriber<'a> {
    /// Its member id.
    pub member_id: &'a str,
    /// Its static name, which orders it before its member id does.
    pub group_instance_id: Option<&'a str>,
    /// Its topics.
    pub topics: Vec<String>,
}

/// Kafka's range assignment: per topic, members in order get consecutive partitions, the first
/// ones one more where it does not come out even. `partitions` tells how many a topic has.
pub fn assign_range<'a>(
    members: &[Subscriber<'a>],
    partitions: impl Fn(&str) -> i32,
) -> Vec<(&'a str, Assignment)> {
    let mut order: Vec<&Subscriber<'a>> = members.iter().collect();
    // Static members stand before the others, by their names (AbstractPartitionAssignor).
    order.sort_by_key(|member| {
        (member.group_instance_id.is_none(), member.group_instance_id, member.member_id)
    });
    let mut result: Vec<(&'a str, Assignment)> =
        order.iter().map(|member| (member.member_id, Vec::new())).collect();
    let mut topics: Vec<&String> = members.iter().flat_map(|member| &member.topics).collect();
    topics.sort();
    topics.dedup();
    for topic in topics {
        let subscribed: Vec<usize> =
            (0..order.len()).filter(|at| order[*at].topics.contains(topic)).collect();
        let count = partitions(topic).max(0) as usize;
        let (each, extra) = (count / subscribed.len(), count % subscribed.len());
        let mut next = 0;
        for (nth, at) in subscribed.into_iter().enumerate() {
            let share = each + usize::from(nth < extra);
            if share > 0 {
                let partitions = (next..next + share).map(|p| p as i32).collect();
                result[at].1.push(TopicResult { name: topic.clone(), partitions });
            }
            next += share;
        }
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member<'a>(member_id: &'a str, topics: &[&str]) -> Subscriber<'a> {
        let topics = topics.iter().map(|topic| (*topic).to_owned()).collect();
        Subscriber { member_id, group_instance_id: None, topics }
    }

    fn topic(name: &str, partitions: &[i32]) -> TopicResult<i32> {
        TopicResult { name: name.to_owned(), partitions: partitions.to_vec() }
    }

    #[test]
    fn the_first_members_get_the_odd_partitions_of_every_topic() {
        let members = [member("b", &["t", "u"]), member("a", &["t", "u"])];
        let assigned = assign_range(&members, |_| 3);
        assert_eq!(assigned[0], ("a", vec![topic("t", &[0, 1]), topic("u", &[0, 1])]));
        assert_eq!(assigned[1], ("b", vec![topic("t", &[2]), topic("u", &[2])]));
    }

    #[test]
    fn members_without_a_share_and_topics_that_are_missing_are_left_out() {
        let members = [member("a", &["t"]), member("b", &["t", "gone"])];
        let assigned = assign_range(&members, |name| i32::from(name == "t"));
        assert_eq!(assigned, [("a", vec![topic("t", &[0])]), ("b", vec![])]);
    }

    #[test]
    fn static_members_come_first_by_their_names() {
        let mut z = member("z", &["t"]);
        z.group_instance_id = Some("first");
        let assigned = assign_range(&[member("a", &["t"]), z], |_| 1);
        assert_eq!(assigned[0], ("z", vec![topic("t", &[0])]));
    }

    #[test]
    fn subscriptions_and_assignments_come_back() {
        assert_eq!(read_subscription(&write_subscription(&["a", "b"])).unwrap(), ["a", "b"]);
        let assignment = vec![topic("t", &[0, 5])];
        assert_eq!(read_assignment(&write_assignment(&assignment)).unwrap(), assignment);
        assert_eq!(read_assignment(&[]).unwrap(), []);
        assert!(read_assignment(&[0, 0, 0x7f, 0xff, 0xff, 0xff]).is_err());
    }
}
