//! OffsetFetch (9): how far groups have read.
//!
//! Versions 1–8. v2 null topics for all of them, top-level error_code · v3 throttle_time_ms ·
//! v5 committed_leader_epoch · v6 flexible · v7 require_stable (KIP-447) · v8 several groups.
//!
//! What was never committed, in a group that may not exist, is offset -1 without an error. Nothing
//! here is ever unstable, since there are no transactions. A commit that is not synced yet may be
//! shown: a power cut that takes it back sets the group back a few records, as one that came a
//! moment earlier would have.

use super::list::List;
use super::{Api, Context, Outcome, Reply};
use crate::state::offsets::{CommittedOffset, Offsets};
use crate::wire::{ErrorCode, ReadError, Reader, Writer};

/// The row.
pub const API: Api =
    Api { key: 9, name: "OffsetFetch", versions: (1, 8), advertised_min: 1, flexible: 6, handle };

fn handle(
    context: &mut Context<'_>,
    mut r: Reader<'_>,
    reply: &mut Reply<'_>,
) -> Result<Outcome, ReadError> {
    let offsets = context.broker.groups.offsets();
    let w = &mut reply.w;
    w.since(3, |w| w.i32(0));
    if r.version() < 8 {
        let group_id = r.string("group_id")?;
        write_group(offsets, group_id, &mut r, w)?;
        w.since(2, |w| w.error(ErrorCode::None));
    } else {
        let groups = r.array("groups")?;
        w.array(groups);
        for _ in 0..groups {
            let group_id = r.string("group_id")?;
            w.string(group_id);
            write_group(offsets, group_id, &mut r, w)?;
            r.tags()?;
            w.error(ErrorCode::None);
            w.tags();
        }
    }
    r.since(7, false, |r| r.bool("require_stable"))?;
    r.tags()?;
    w.tags();
    Ok(Outcome::Now)
}

/// Reads the topics asked for and writes what was committed for them.
fn write_group(
    offsets: &Offsets,
    group_id: &str,
    r: &mut Reader<'_>,
    w: &mut Writer<'_>,
) -> Result<(), ReadError> {
    let topics =
        if r.version() < 2 { Some(r.array("topics")?) } else { r.nullable_array("topics")? };
    let Some(topics) = topics else {
        write_all(offsets, group_id, w);
        return Ok(());
    };
    w.array(topics);
    for _ in 0..topics {
        let topic = r.string("name")?;
        let partitions = List::read(r, "partition_indexes", |r| r.i32("partition_index"))?;
        r.tags()?;
        w.string(topic);
        w.array(partitions.len());
        for partition in partitions {
            write_partition(w, partition, offsets.get(group_id, topic, partition));
        }
        w.tags();
    }
    Ok(())
}

fn write_all(offsets: &Offsets, group_id: &str, w: &mut Writer<'_>) {
    let topics = offsets.topics_of_group(group_id);
    w.array(topics.len());
    for (topic, partitions) in topics {
        w.string(topic);
        w.array(partitions.len());
        for (partition, committed) in partitions.iter() {
            write_partition(w, partition, Some(committed));
        }
        w.tags();
    }
}

fn write_partition(w: &mut Writer<'_>, partition: i32, committed: Option<CommittedOffset<'_>>) {
    w.i32(partition);
    w.i64(committed.map_or(-1, |it| it.offset));
    w.since(5, |w| w.i32(committed.map_or(-1, |it| it.leader_epoch)));
    w.nullable_string(Some(committed.map_or("", |it| it.metadata)));
    w.error(ErrorCode::None);
    w.tags();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::testing::{Golden, TestBroker, golden, hex};
    use crate::limits::Sizes;
    use crate::state::offsets::Commit;

    const GOLDEN: &[Golden] = &[
        (
            1..=1,
            "00016700000001000174000000020000000000000001",
            "000000010001740000000200000000000000000000000500016d000000000001ffffffffffffffff0000\
         0000",
        ),
        (
            2..=2,
            "00016700000001000174000000020000000000000001",
            "000000010001740000000200000000000000000000000500016d000000000001ffffffffffffffff0000\
         00000000",
        ),
        (2..=2, "000167ffffffff", "000000010001740000000100000000000000000000000500016d00000000"),
        (
            3..=3,
            "00016700000001000174000000020000000000000001",
            "00000000000000010001740000000200000000000000000000000500016d000000000001ffffffffffff\
         ffff000000000000",
        ),
        (
            3..=3,
            "000167ffffffff",
            "00000000000000010001740000000100000000000000000000000500016d00000000",
        ),
        (
            4..=4,
            "00016700000001000174000000020000000000000001",
            "00000000000000010001740000000200000000000000000000000500016d000000000001ffffffffffff\
         ffff000000000000",
        ),
        (
            4..=4,
            "000167ffffffff",
            "00000000000000010001740000000100000000000000000000000500016d00000000",
        ),
        (
            5..=5,
            "00016700000001000174000000020000000000000001",
            "0000000000000001000174000000020000000000000000000000050000000300016d000000000001ffff\
         ffffffffffffffffffff000000000000",
        ),
        (
            5..=5,
            "000167ffffffff",
            "0000000000000001000174000000010000000000000000000000050000000300016d00000000",
        ),
        (
            6..=6,
            "02670202740300000000000000010000",
            "000000000202740300000000000000000000000500000003026d00000000000001ffffffffffffffffff\
         ffffff0100000000000000",
        ),
        (6..=6, "02670000", "000000000202740200000000000000000000000500000003026d00000000000000"),
        (
            7..=7,
            "0267020274030000000000000001000100",
            "000000000202740300000000000000000000000500000003026d00000000000001ffffffffffffffffff\
         ffffff0100000000000000",
        ),
        (7..=7, "0267000100", "000000000202740200000000000000000000000500000003026d00000000000000"),
        (
            8..=8,
            "040267000002670202740300000000000000010000036e6e00000100",
            "000000000402670202740200000000000000000000000500000003026d00000000000000026702027403\
         00000000000000000000000500000003026d00000000000001ffffffffffffffffffffffff0100000000\
         000000036e6e0100000000",
        ),
    ];

    fn with_commit() -> TestBroker {
        let mut test = TestBroker::new();
        test.create_topic("t");
        let commit = Commit { offset: 5, leader_epoch: 3, metadata: "m", retention_ms: None };
        test.broker.commit_offset("g", "t", 0, commit, test.now).unwrap();
        test
    }

    #[test]
    fn every_version_reads_and_writes_as_kafka_does() {
        golden(&API, with_commit, GOLDEN);
    }

    #[test]
    fn null_topics_are_refused_in_version_1_which_has_none() {
        let null_topics = hex("000167 ffffffff");
        let mut r = Reader::new(&null_topics, 1, false);
        let mut bytes = Vec::new();
        let mut w = Writer::new(&mut bytes, 1, false);
        let group_id = r.string("group_id").unwrap();
        assert!(write_group(&Offsets::new(&Sizes::default()), group_id, &mut r, &mut w).is_err());
    }
}
