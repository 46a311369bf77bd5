//! OffsetForLeaderEpoch (23): where an epoch ends, for consumers that look for truncation
//! (KIP-320).
//!
//! Versions 2–4. v2 current_leader_epoch, throttle_time_ms · v3 replica_id · v4 flexible.
//!
//! There is one epoch, and it has not ended: it ends, for those who ask, at the high watermark, up
//! to which nothing that a consumer read is ever taken back. An epoch that never was gets (-1, -1),
//! as `LeaderEpochFileCache.endOffsetFor` answers.

use super::fetch::find_at_epoch;
use super::{Api, Context, Outcome, Reply};
use crate::wire::{ErrorCode, ReadError, Reader};

/// The row.
pub const API: Api = Api {
    key: 23,
    name: "OffsetForLeaderEpoch",
    versions: (2, 4),
    advertised_min: 2,
    flexible: 4,
    handle,
};

fn handle(
    context: &mut Context<'_>,
    mut r: Reader<'_>,
    reply: &mut Reply<'_>,
) -> Result<Outcome, ReadError> {
    r.since(3, -2, |r| r.i32("replica_id"))?;
    let w = &mut reply.w;
    w.i32(0);
    let topics = r.array("topics")?;
    w.array(topics);
    for _ in 0..topics {
        let topic = r.string("topic")?;
        w.string(topic);
        let partitions = r.array("partitions")?;
        w.array(partitions);
        for _ in 0..partitions {
            let partition = r.i32("partition")?;
            let current_leader_epoch = r.i32("current_leader_epoch")?;
            let leader_epoch = r.i32("leader_epoch")?;
            r.tags()?;
            let result = find(context, topic, partition, current_leader_epoch, leader_epoch);
            let (epoch, end_offset) = result.unwrap_or((-1, -1));
            w.error(result.err().unwrap_or(ErrorCode::None));
            w.i32(partition);
            w.i32(epoch);
            w.i64(end_offset);
            w.tags();
        }
        r.tags()?;
        w.tags();
    }
    r.tags()?;
    w.tags();
    Ok(Outcome::Now)
}

/// The largest epoch up to `leader_epoch` and the offset at which it ends.
fn find(
    context: &Context<'_>,
    topic: &str,
    partition: i32,
    current_leader_epoch: i32,
    leader_epoch: i32,
) -> Result<(i32, i64), ErrorCode> {
    let view = find_at_epoch(context, topic, partition, current_leader_epoch)?;
    if leader_epoch != view.leader_epoch {
        return Ok((-1, -1));
    }
    Ok((view.leader_epoch, view.high_watermark))
}

#[cfg(test)]
mod tests {
    use super::API;
    use crate::api::testing::{Golden, TestBroker, golden};

    #[test]
    fn every_version_is_read_and_written_as_kafkas_own_classes_do() {
        golden(&API, || TestBroker::with_records(1), GOLDEN);
    }

    /// Made with kafka-clients 4.3.0: its message classes wrote both sides.
    const GOLDEN: &[Golden] = &[
        (
            2..=2,
            "000000010001740000000400000000ffffffff0000000000000000000000000000000500000000000000\
             030000000000000009ffffffff00000000",
            "000000000000000100017400000004000000000000000000000000000000000003000000000000ffffff\
             ffffffffffffffffff004b00000000ffffffffffffffffffffffff000300000009ffffffffffffffffff\
             ffffff",
        ),
        (
            3..=3,
            "ffffffff000000010001740000000400000000ffffffff00000000000000000000000000000005000000\
             00000000030000000000000009ffffffff00000000",
            "000000000000000100017400000004000000000000000000000000000000000003000000000000ffffff\
             ffffffffffffffffff004b00000000ffffffffffffffffffffffff000300000009ffffffffffffffffff\
             ffffff",
        ),
        (
            4..=4,
            "ffffffff0202740500000000ffffffff0000000000000000000000000000000005000000000000000003\
             000000000000000009ffffffff00000000000000",
            "000000000202740500000000000000000000000000000000000300000000000000ffffffffffffffffff\
             ffffff00004b00000000ffffffffffffffffffffffff00000300000009ffffffffffffffffffffffff00\
             0000",
        ),
    ];
}
