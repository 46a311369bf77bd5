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
        for (partition, committed) in partitions {
            write_partition(w, *partition, Some(committed));
        }
        w.tags();
    }
}

fn write_partition(w: &mut Writer<'_>, partition: i32, committed: Option<&CommittedOffset>) {
    w.i32(partition);
    w.i64(committed.map_or(-1, |it| it.offset));
    w.since(5, |w| w.i32(committed.map_or(-1, |it| it.leader_epoch)));
    w.nullable_string(Some(committed.map_or("", |it| &it.metadata)));
    w.error(ErrorCode::None);
    w.tags();
}
