//! What is asked to look on: DescribeGroups, ListGroups, OffsetFetch; and the topic to commit for.
//!
//! Promises: looking changes nothing in the group.

use crate::codec::{Put, Take};
use crate::connection::{Connection, PATIENCE};
use crate::messages::TOPIC;
use std::time::{Duration, Instant};

/// A member in DescribeGroups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DescribedMember {
    pub member_id: String,
    /// Since v4.
    pub instance_id: Option<String>,
    pub client_id: String,
    pub client_host: String,
    pub metadata: Vec<u8>,
    pub assignment: Vec<u8>,
}

/// A group in DescribeGroups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Described {
    pub version: i16,
    pub error: i16,
    pub state: String,
    pub protocol_type: String,
    pub protocol_data: String,
    pub members: Vec<DescribedMember>,
}

/// A group in ListGroups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    pub protocol_type: String,
    /// Since v4.
    pub state: Option<String>,
}

/// A committed offset and its metadata; -1 where there is none.
pub type Fetched = Vec<(i64, String)>;

/// There and back: ApiVersions v0.
pub fn ping(connection: &mut Connection) {
    connection.ask(18, 0, 3, |_| {});
}

/// DescribeGroups, v0 to v5.
pub fn describe(connection: &mut Connection, version: i16, group_id: &str) -> Described {
    let bytes = connection.ask(15, version, 5, |p| {
        p.array(1);
        p.string(group_id);
        if version >= 3 {
            p.i8(0);
        }
        p.tags();
    });
    let mut t = Take::answer(&bytes, version, 5);
    if version >= 1 {
        t.i32("throttle_time_ms");
    }
    let mut groups = t.array("groups", take_described);
    t.tags();
    t.end();
    assert_eq!(groups.len(), 1);
    groups.remove(0)
}

fn take_described(t: &mut Take<'_>) -> Described {
    let version = t.version;
    let error = t.i16("error_code");
    t.string("group_id");
    let described = Described {
        version,
        error,
        state: t.string("group_state"),
        protocol_type: t.string("protocol_type"),
        protocol_data: t.string("protocol_data"),
        members: t.array("members", |t| DescribedMember {
            member_id: t.string("member_id"),
            instance_id: if version >= 4 { t.nullable_string("group_instance_id") } else { None },
            client_id: t.string("client_id"),
            client_host: t.string("client_host"),
            metadata: t.bytes("member_metadata"),
            assignment: t.bytes("member_assignment"),
        }),
    };
    if version >= 3 {
        t.i32("authorized_operations");
    }
    described
}

/// ListGroups, v0 to v4: the row of one group.
pub fn list(connection: &mut Connection, version: i16, group_id: &str) -> Option<Listed> {
    let bytes = connection.ask(16, version, 3, |p| {
        if version >= 4 {
            p.array(0);
        }
        p.tags();
    });
    let mut t = Take::answer(&bytes, version, 3);
    if version >= 1 {
        t.i32("throttle_time_ms");
    }
    assert_eq!(t.i16("error_code"), 0);
    let groups = t.array("groups", |t| {
        let id = t.string("group_id");
        let protocol_type = t.string("protocol_type");
        let state = (version >= 4).then(|| t.string("group_state"));
        (id, Listed { protocol_type, state })
    });
    t.tags();
    t.end();
    groups.into_iter().find(|(id, _)| id == group_id).map(|(_, listed)| listed)
}

/// OffsetFetch, v1 to v7, of the first partitions.
pub fn fetch(
    connection: &mut Connection,
    version: i16,
    group_id: &str,
    partitions: usize,
) -> Fetched {
    let bytes = connection.ask(9, version, 6, |p| {
        p.string(group_id);
        p.array(1);
        p.string(TOPIC);
        p.array(partitions);
        (0..partitions).for_each(|partition| p.i32(partition as i32));
        p.tags();
        if version >= 7 {
            p.i8(0);
        }
        p.tags();
    });
    let mut t = Take::answer(&bytes, version, 6);
    if version >= 3 {
        t.i32("throttle_time_ms");
    }
    let mut topics = t.array("topics", |t| {
        assert_eq!(t.string("name"), TOPIC);
        t.array("partitions", |t| {
            t.i32("partition_index");
            let offset = t.i64("committed_offset");
            if version >= 5 {
                t.i32("committed_leader_epoch");
            }
            let metadata = t.nullable_string("metadata");
            assert_eq!(t.i16("error_code"), 0);
            (offset, metadata.unwrap_or_default())
        })
    });
    if version >= 2 {
        assert_eq!(t.i16("error_code"), 0);
    }
    t.tags();
    t.end();
    topics.remove(0)
}

/// CreateTopics v2: the topic of all lives, if it is not there yet.
pub fn create_topic(connection: &mut Connection, partitions: usize) {
    let bytes = connection.ask(19, 2, 5, |p: &mut Put| {
        p.array(1);
        p.string(TOPIC);
        p.i32(partitions as i32);
        p.i16(1);
        p.array(0);
        p.array(0);
        p.i32(30_000);
        p.i8(0);
    });
    let mut t = Take::answer(&bytes, 2, 5);
    t.i32("throttle_time_ms");
    let codes = t.array("topics", |t| {
        t.string("name");
        let code = t.i16("error_code");
        t.nullable_string("error_message");
        code
    });
    // TOPIC_ALREADY_EXISTS is as good.
    assert!(codes == [0] || codes == [36], "{codes:?}");
}

/// Makes sure that there is a coordinator (FindCoordinator v0, then DescribeGroups until it is
/// loaded): Apache Kafka makes its topic of offsets when it is first asked.
pub fn await_coordinator(connection: &mut Connection) {
    let begun = Instant::now();
    loop {
        connection.ask(10, 0, 3, |p| p.string("any"));
        if describe(connection, 0, "any").error == 0 {
            return;
        }
        assert!(begun.elapsed() < 2 * PATIENCE, "no coordinator");
        std::thread::sleep(Duration::from_millis(100));
    }
}
