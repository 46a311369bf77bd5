//! What groups are asked, in the newest versions, and which error code the answer has to have.

pub use crate::requests::list_groups;
use crate::requests::{Ask, after_throttle};
use ottla::wire::{ReadError, Reader};

/// Milliseconds.
pub const SESSION_TIMEOUT_MS: u64 = 10_000;

/// To a heartbeat: join again.
pub const REBALANCE_IN_PROGRESS: i16 = 27;
/// To a first JoinGroup.
pub const MEMBER_ID_REQUIRED: i16 = 79;

/// 0 where that code is what is expected.
fn expecting(code: i16) -> fn(&mut Reader<'_>) -> Result<i16, ReadError> {
    match code {
        REBALANCE_IN_PROGRESS => |r| Ok(after_throttle(r)? - REBALANCE_IN_PROGRESS),
        MEMBER_ID_REQUIRED => |r| Ok(after_throttle(r)? - MEMBER_ID_REQUIRED),
        _ => after_throttle,
    }
}

/// JoinGroup, by a member that offers two protocols.
pub fn join(group_id: &str, member_id: &str, code: i16) -> Ask {
    Ask::new(11, expecting(code), |w| {
        w.string(group_id);
        w.i32(SESSION_TIMEOUT_MS as i32);
        w.i32(60_000);
        w.string(member_id);
        w.nullable_string(None);
        w.string("consumer");
        w.array(2);
        for name in ["range", "cooperative-sticky"] {
            w.string(name);
            // A subscription to "t", and owned partitions of another size each time.
            w.bytes(&[0, 1, 0, 0, 0, 1, 0, 1, b't']);
            w.tags();
        }
        w.nullable_string(Some("because"));
        w.tags();
    })
}

/// The member id in the answer to a JoinGroup.
pub fn member_id_in(answer: &[u8]) -> String {
    let mut r = join("", "", 0).body(answer);
    let mut read = || {
        after_throttle(&mut r)?;
        r.i32("generation_id")?;
        r.nullable_string("protocol_type")?;
        r.nullable_string("protocol_name")?;
        r.string("leader")?;
        r.bool("skip_assignment")?;
        r.string("member_id")
    };
    read().expect("a good answer").to_owned()
}

/// SyncGroup; the leader's gives everybody a share.
pub fn sync(group_id: &str, member_id: &str, generation: i32, gives: &[(&str, &[u8])]) -> Ask {
    Ask::new(14, after_throttle, |w| {
        w.string(group_id);
        w.i32(generation);
        w.string(member_id);
        w.nullable_string(None);
        w.nullable_string(Some("consumer"));
        w.nullable_string(Some("range"));
        w.array(gives.len());
        for (id, share) in gives {
            w.string(id);
            w.bytes(share);
            w.tags();
        }
        w.tags();
    })
}

/// Heartbeat.
pub fn beat(group_id: &str, member_id: &str, generation: i32, code: i16) -> Ask {
    Ask::new(12, expecting(code), |w| {
        w.string(group_id);
        w.i32(generation);
        w.string(member_id);
        w.nullable_string(None);
        w.tags();
    })
}

/// LeaveGroup.
pub fn leave(group_id: &str, member_id: &str) -> Ask {
    Ask::new(13, after_throttle, |w| {
        w.string(group_id);
        w.array(1);
        w.string(member_id);
        w.nullable_string(None);
        w.nullable_string(Some("the consumer is being closed"));
        w.tags();
        w.tags();
    })
}

/// OffsetCommit by nobody in particular.
pub fn simple_commit(group_id: &str, offset: i64, metadata: &str) -> Ask {
    let error_of = |r: &mut Reader<'_>| {
        r.i32("throttle_time_ms")?;
        r.array("topics")?;
        r.string("name")?;
        r.array("partitions")?;
        r.i32("partition_index")?;
        r.i16("error_code")
    };
    Ask::new(8, error_of, |w| {
        w.string(group_id);
        w.i32(-1);
        w.string("");
        w.nullable_string(None);
        w.array(1);
        w.string("t");
        w.array(1);
        w.i32(0);
        w.i64(offset);
        w.i32(-1);
        w.nullable_string(Some(metadata));
        w.tags();
        w.tags();
        w.tags();
    })
}

/// OffsetFetch of one partition, or of everything that the group committed.
pub fn offset_fetch(group_id: &str, all: bool) -> Ask {
    let error_of = |r: &mut Reader<'_>| {
        r.i32("throttle_time_ms")?;
        r.array("groups")?;
        r.string("group_id")?;
        r.array("topics")?;
        r.string("name")?;
        r.array("partitions")?;
        r.i32("partition_index")?;
        assert_eq!(r.i64("committed_offset")?, 2);
        r.i32("committed_leader_epoch")?;
        r.nullable_string("metadata")?;
        r.i16("error_code")
    };
    Ask::new(9, error_of, |w| {
        w.array(1);
        w.string(group_id);
        if all {
            w.nullable_array(None);
        } else {
            w.array(1);
            w.string("t");
            w.array(1);
            w.i32(0);
            w.tags();
        }
        w.tags();
        w.bool(true);
        w.tags();
    })
}

/// OffsetDelete of one partition.
pub fn offset_delete(group_id: &str) -> Ask {
    let error_of = |r: &mut Reader<'_>| {
        let error = r.i16("error_code")?;
        r.i32("throttle_time_ms")?;
        r.array("topics")?;
        r.string("name")?;
        r.array("partitions")?;
        r.i32("partition_index")?;
        Ok(error | r.i16("error_code")?)
    };
    Ask::new(47, error_of, |w| {
        w.string(group_id);
        w.array(1);
        w.string("t");
        w.array(1);
        w.i32(0);
    })
}

/// DeleteGroups of one group.
pub fn delete_group(group_id: &str) -> Ask {
    let error_of = |r: &mut Reader<'_>| {
        r.i32("throttle_time_ms")?;
        r.array("results")?;
        r.string("group_id")?;
        r.i16("error_code")
    };
    Ask::new(42, error_of, |w| {
        w.array(1);
        w.string(group_id);
        w.tags();
    })
}

/// DescribeGroups of these.
pub fn describe_groups(group_ids: &[&str]) -> Ask {
    let error_of = |r: &mut Reader<'_>| {
        r.i32("throttle_time_ms")?;
        r.array("groups")?;
        let error = r.i16("error_code")?;
        r.string("group_id")?;
        assert_eq!(r.string("group_state")?, "Stable");
        Ok(error)
    };
    Ask::new(15, error_of, |w| {
        w.array(group_ids.len());
        for group_id in group_ids {
            w.string(group_id);
        }
        w.bool(true);
        w.tags();
    })
}
