//! The requests of a group's life and their answers, in every version that a life uses.
//!
//! Promises: a field that a version lacks decodes as `None`, `false` or empty, and nothing else is
//! made up. Absent: everything that is asked only to look on (`looks.rs`).

use crate::codec::{Put, Take};

/// A JoinGroup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Join {
    pub member_id: String,
    pub instance_id: Option<String>,
    pub protocol_type: String,
    pub protocols: Vec<(String, Vec<u8>)>,
    pub session_timeout_ms: i32,
    pub rebalance_timeout_ms: i32,
}

/// A SyncGroup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sync {
    pub member_id: String,
    pub instance_id: Option<String>,
    pub generation: i32,
    pub protocol_type: Option<String>,
    pub protocol_name: Option<String>,
    pub assignments: Vec<(String, Vec<u8>)>,
}

/// Who beats or commits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    pub member_id: String,
    pub instance_id: Option<String>,
    pub generation: i32,
}

/// One member of a LeaveGroup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leaver {
    pub member_id: String,
    pub instance_id: Option<String>,
}

/// A request for the group of the life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    Join(Join),
    Sync(Sync),
    Heartbeat(Identity),
    /// Exactly one before v3, which cannot name an instance.
    Leave(Vec<Leaver>),
    /// Partition and offset, of the topic of all lives.
    Commit(Identity, i32, i64),
    /// DeleteGroups.
    Delete,
    /// OffsetDelete of this partition.
    DeleteOffset(i32),
}

/// A request as it goes out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    pub version: i16,
    pub client_id: String,
    pub request: Request,
}

/// A member in the answer to the leader's JoinGroup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinedMember {
    pub member_id: String,
    pub instance_id: Option<String>,
    pub metadata: Vec<u8>,
}

/// The answer to a JoinGroup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Joined {
    pub error: i16,
    pub generation: i32,
    pub protocol_type: Option<String>,
    pub protocol_name: Option<String>,
    pub leader: String,
    pub skip_assignment: bool,
    pub member_id: String,
    pub members: Vec<JoinedMember>,
}

/// The answer to a SyncGroup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Synced {
    pub error: i16,
    pub protocol_type: Option<String>,
    pub protocol_name: Option<String>,
    pub assignment: Vec<u8>,
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    Joined(Joined),
    Synced(Synced),
    /// To everything that is answered with a code.
    Code(i16),
    /// To LeaveGroup since v3: the whole, and each member's.
    Left(i16, Vec<(Leaver, i16)>),
}

/// The topic that offsets are committed for.
pub const TOPIC: &str = "lives";

impl Answer {
    /// The error code; of LeaveGroup the first member's.
    pub fn code(&self) -> i16 {
        match self {
            Answer::Joined(joined) => joined.error,
            Answer::Synced(synced) => synced.error,
            Answer::Code(code) => *code,
            Answer::Left(code, each) => each.first().map_or(*code, |(_, code)| *code),
        }
    }
}

impl Sent {
    /// Kafka's name of the request.
    pub fn name(&self) -> &'static str {
        match self.request {
            Request::Join(_) => "JoinGroup",
            Request::Sync(_) => "SyncGroup",
            Request::Heartbeat(_) => "Heartbeat",
            Request::Leave(_) => "LeaveGroup",
            Request::Commit(..) => "OffsetCommit",
            Request::Delete => "DeleteGroups",
            Request::DeleteOffset(_) => "OffsetDelete",
        }
    }

    /// API key and first flexible version.
    fn api(&self) -> (i16, i16) {
        match self.request {
            Request::Join(_) => (11, 6),
            Request::Sync(_) => (14, 4),
            Request::Heartbeat(_) => (12, 4),
            Request::Leave(_) => (13, 4),
            Request::Commit(..) => (8, 8),
            Request::Delete => (42, 2),
            Request::DeleteOffset(_) => (47, i16::MAX),
        }
    }

    /// The bytes, with frame length and header.
    pub fn encode(&self, group_id: &str, correlation_id: i32) -> Vec<u8> {
        let (key, flexible) = self.api();
        let mut p = Put::request(key, self.version, flexible, correlation_id, &self.client_id);
        match &self.request {
            Request::Join(join) => put_join(&mut p, group_id, join),
            Request::Sync(sync) => put_sync(&mut p, group_id, sync),
            Request::Heartbeat(who) => {
                p.string(group_id);
                put_identity(&mut p, who, 3);
            }
            Request::Leave(leavers) => put_leave(&mut p, group_id, leavers),
            Request::Commit(who, partition, offset) => {
                put_commit(&mut p, group_id, who, *partition, *offset);
            }
            Request::Delete => {
                p.array(1);
                p.string(group_id);
            }
            Request::DeleteOffset(partition) => {
                p.string(group_id);
                p.array(1);
                p.string(TOPIC);
                p.array(1);
                p.i32(*partition);
            }
        }
        p.tags();
        p.finish()
    }

    /// What came back.
    pub fn decode(&self, bytes: &[u8]) -> Answer {
        let (key, flexible) = self.api();
        // ApiVersions apart, the answer's header is flexible when its body is.
        let mut t = Take::answer(bytes, self.version, flexible);
        let has_throttle_time = match key {
            11 => 2,
            8 => 3,
            42 => 0,
            // Its error code comes first.
            47 => i16::MAX,
            _ => 1,
        };
        if self.version >= has_throttle_time {
            assert_eq!(t.i32("throttle_time_ms"), 0);
        }
        let answer = match &self.request {
            Request::Join(_) => take_joined(&mut t),
            Request::Sync(_) => take_synced(&mut t),
            Request::Heartbeat(_) => Answer::Code(t.i16("error_code")),
            Request::Leave(_) => take_left(&mut t),
            Request::Commit(_, partition, _) => take_committed(&mut t, *partition),
            Request::Delete => {
                let results = t.array("results", |t| (t.string("group_id"), t.i16("error_code")));
                assert_eq!(results.len(), 1);
                Answer::Code(results[0].1)
            }
            Request::DeleteOffset(_) => {
                let whole = t.i16("error_code");
                assert_eq!(t.i32("throttle_time_ms"), 0);
                let topics = t.array("topics", |t| {
                    assert_eq!(t.string("name"), TOPIC);
                    t.array("partitions", |t| (t.i32("partition_index"), t.i16("error_code")))
                });
                let each = topics.first().map(|partitions| partitions[0].1);
                assert!(whole == 0 || each.is_none(), "{topics:?}");
                Answer::Code(each.unwrap_or(whole))
            }
        };
        t.tags();
        t.end();
        answer
    }
}

fn put_join(p: &mut Put, group_id: &str, join: &Join) {
    p.string(group_id);
    p.i32(join.session_timeout_ms);
    if p.version >= 1 {
        p.i32(join.rebalance_timeout_ms);
    }
    p.string(&join.member_id);
    if p.version >= 5 {
        p.nullable_string(join.instance_id.as_deref());
    }
    p.string(&join.protocol_type);
    p.array(join.protocols.len());
    for (name, metadata) in &join.protocols {
        p.string(name);
        p.bytes(metadata);
        p.tags();
    }
    if p.version >= 8 {
        p.nullable_string(Some("because"));
    }
}

fn put_sync(p: &mut Put, group_id: &str, sync: &Sync) {
    p.string(group_id);
    p.i32(sync.generation);
    p.string(&sync.member_id);
    if p.version >= 3 {
        p.nullable_string(sync.instance_id.as_deref());
    }
    if p.version >= 5 {
        p.nullable_string(sync.protocol_type.as_deref());
        p.nullable_string(sync.protocol_name.as_deref());
    }
    p.array(sync.assignments.len());
    for (member_id, assignment) in &sync.assignments {
        p.string(member_id);
        p.bytes(assignment);
        p.tags();
    }
}

fn put_identity(p: &mut Put, who: &Identity, instance_since: i16) {
    p.i32(who.generation);
    p.string(&who.member_id);
    if p.version >= instance_since {
        p.nullable_string(who.instance_id.as_deref());
    }
}

fn put_leave(p: &mut Put, group_id: &str, leavers: &[Leaver]) {
    p.string(group_id);
    if p.version < 3 {
        assert_eq!(leavers.len(), 1);
        p.string(&leavers[0].member_id);
        return;
    }
    p.array(leavers.len());
    for leaver in leavers {
        p.string(&leaver.member_id);
        p.nullable_string(leaver.instance_id.as_deref());
        if p.version >= 5 {
            p.nullable_string(None);
        }
        p.tags();
    }
}

fn put_commit(p: &mut Put, group_id: &str, who: &Identity, partition: i32, offset: i64) {
    p.string(group_id);
    put_identity(p, who, 7);
    if (2..=4).contains(&p.version) {
        p.i64(-1);
    }
    p.array(1);
    p.string(TOPIC);
    p.array(1);
    p.i32(partition);
    p.i64(offset);
    if p.version >= 6 {
        p.i32(-1);
    }
    p.nullable_string(Some("so far"));
    p.tags();
    p.tags();
}

fn take_joined(t: &mut Take<'_>) -> Answer {
    let version = t.version;
    Answer::Joined(Joined {
        error: t.i16("error_code"),
        generation: t.i32("generation_id"),
        protocol_type: if version >= 7 { t.nullable_string("protocol_type") } else { None },
        protocol_name: if version >= 7 {
            t.nullable_string("protocol_name")
        } else {
            Some(t.string("protocol_name"))
        },
        leader: t.string("leader"),
        skip_assignment: version >= 9 && t.bool("skip_assignment"),
        member_id: t.string("member_id"),
        members: t.array("members", |t| JoinedMember {
            member_id: t.string("member_id"),
            instance_id: if version >= 5 { t.nullable_string("group_instance_id") } else { None },
            metadata: t.bytes("metadata"),
        }),
    })
}

fn take_synced(t: &mut Take<'_>) -> Answer {
    let error = t.i16("error_code");
    let typed = t.version >= 5;
    Answer::Synced(Synced {
        error,
        protocol_type: if typed { t.nullable_string("protocol_type") } else { None },
        protocol_name: if typed { t.nullable_string("protocol_name") } else { None },
        assignment: t.bytes("assignment"),
    })
}

fn take_left(t: &mut Take<'_>) -> Answer {
    let error = t.i16("error_code");
    if t.version < 3 {
        return Answer::Code(error);
    }
    let each = t.array("members", |t| {
        let member_id = t.string("member_id");
        let instance_id = t.nullable_string("group_instance_id");
        (Leaver { member_id, instance_id }, t.i16("error_code"))
    });
    Answer::Left(error, each)
}

fn take_committed(t: &mut Take<'_>, partition: i32) -> Answer {
    let topics = t.array("topics", |t| {
        let name = t.string("name");
        let partitions = t.array("partitions", |t| (t.i32("partition_index"), t.i16("error_code")));
        (name, partitions)
    });
    let [(name, partitions)] = &topics[..] else { panic!("{topics:?}") };
    assert_eq!(name, TOPIC);
    assert_eq!(partitions.len(), 1);
    assert_eq!(partitions[0].0, partition);
    Answer::Code(partitions[0].1)
}
