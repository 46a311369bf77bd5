//! One function per promise: what must hold of the broker at any moment, of upstream at the end.
//!
//! A record may be gone for a reason only: somebody deleted it, it had its time (in time that
//! really passed) and is upstream, the disk was full and it is upstream, or its own bytes rotted.

use crate::records::Plain;
use crate::truth::{Lane, Local};
use ottla::broker::{Broker, PartitionView};
use ottla::storage::PartitionKey;
use ottla::wire::batch;
use std::collections::{BTreeMap, BTreeSet};

/// What is known of a partition beside the log that its producers know.
#[derive(Clone, Debug, Default)]
pub struct Book {
    /// When each batch was appended, in time that really passed.
    pub appended_at: BTreeMap<i64, u64>,
    /// Before this, somebody wants the records deleted.
    pub deleted_to: i64,
    /// Consumers have seen everything before this.
    pub seen: i64,
    /// Batches of which a bit rotted.
    pub rotten: BTreeSet<i64>,
}

/// The circumstances.
#[derive(Clone, Copy, Debug)]
pub struct Circumstances {
    pub now: u64,
    pub retention_ms: u64,
    /// The disk has been full at some time.
    pub was_full: bool,
}

/// Where a lane is.
pub fn view(broker: &Broker, lane: &Lane) -> Option<PartitionView> {
    let topic = broker.topics().iter().find(|topic| topic.id == lane.topic_id)?;
    broker.partition(topic, lane.partition)
}

/// Whoever saw a record sees it again; none is gone without a reason.
pub fn log(broker: &Broker, lane: &Lane, book: &mut Book, all: Circumstances) {
    let Some(view) = view(broker, lane) else { return };
    let (number, seen) = (lane.number, book.seen);
    assert!(
        view.high_watermark >= seen,
        "lane {number}: {seen} was seen, and now ends at {view:?}"
    );
    book.seen = view.high_watermark;
    let key = PartitionKey { topic: lane.topic_number, partition: lane.partition as u32 };
    let cursor = broker.forward_row(key).map_or(0, |row| row.cursor);
    for gone in lane.batches.iter().take_while(|batch| batch.next <= view.log_start_offset) {
        if gone.next <= book.deleted_to {
            continue;
        }
        let age_ms = all.now - book.appended_at.get(&gone.base).copied().unwrap_or(all.now);
        let upstream = cursor >= gone.next || gone.optional;
        let (base, keep_ms) = (gone.base, all.retention_ms);
        assert!(
            upstream,
            "lane {number}: the batch at {base} is deleted and not upstream: {view:?}"
        );
        let had_its_time = age_ms >= all.retention_ms;
        assert!(
            had_its_time || all.was_full,
            "lane {number}: the batch at {base} is deleted after {age_ms} ms of {keep_ms}"
        );
    }
}

/// Every record can be read that is there, as it was sent, and nothing else can.
pub fn reads(broker: &mut Broker, lane: &Lane, book: &Book) {
    let Some(view) = view(broker, lane) else { return };
    let (start, end) = (view.log_start_offset, view.high_watermark);
    let there = |batch: &&Local| batch.next > start && batch.next <= end;
    let mut wanted = lane.batches.iter().filter(there).peekable();
    let mut offset = start;
    while offset < end {
        let slice = match broker.read(view.index, offset, 50_000, true) {
            Ok(slice) => slice,
            Err(error) => panic!("lane {} cannot be read at {offset}: {error:?}", lane.number),
        };
        // A gap goes on to the end.
        let Some(slice) = slice.filter(|slice| slice.bytes > 0) else { break };
        let mut bytes = vec![0; slice.bytes as usize];
        slice.file.read_exact_at(&mut bytes, u64::from(slice.position)).expect("what is there");
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let header = batch::check_stored(rest).expect("a wrong byte is served");
            while let Some(missing) = wanted.next_if(|batch| batch.base < header.base_offset) {
                is_excused(lane, book, missing);
            }
            let sent = wanted.next_if(|batch| batch.base == header.base_offset);
            let same = sent.is_some_and(|sent| *sent.stored == rest[..header.total_bytes]);
            assert!(same, "lane {}: other bytes are served at {header:?}", lane.number);
            rest = &rest[header.total_bytes..];
            offset = header.next_offset();
        }
        assert!(slice.next_offset >= offset, "a slice that ends before its batches do");
        offset = slice.next_offset.max(offset);
    }
    wanted.for_each(|missing| is_excused(lane, book, missing));
}

fn is_excused(lane: &Lane, book: &Book, missing: &Local) {
    let (number, base) = (lane.number, missing.base);
    assert!(book.rotten.contains(&base), "lane {number}: the batch at {base} is not served");
}

/// After everything works again, every record that had to is upstream, once and in order.
pub fn upstream(lane: &Lane, got: &[Plain], times_may_differ: bool) {
    let mut wanted = lane.batches.iter().flat_map(|batch| {
        let must = !batch.optional && !lane.deleted;
        batch.records.iter().map(move |record| (record, must))
    });
    let same = |record: &Plain, other: &Plain| {
        *record == Plain { timestamp: record.timestamp, ..other.clone() }
            && (times_may_differ || record.timestamp == other.timestamp)
    };
    for record in got {
        loop {
            let Some((next, must)) = wanted.next() else {
                panic!(
                    "lane {}: {:?} is upstream and repeated, or nobody's",
                    lane.number,
                    record.mark()
                );
            };
            if same(next, record) {
                break;
            }
            let (name, here) = (next.mark(), record.mark());
            assert!(!must, "lane {}: {name:?} is not upstream where {here:?} is", lane.number);
        }
    }
    if let Some((record, _)) = wanted.find(|(_, must)| *must) {
        panic!("lane {}: {:?} and all behind it is not upstream", lane.number, record.mark());
    }
}

/// A committed offset: the values it was given since it was certain.
#[derive(Clone, Debug, Default)]
pub struct Committed {
    values: Vec<Commit>,
    /// Its topic is deleted, or is back because the power went too soon: then it has what it had.
    loose: bool,
}

/// One value.
#[derive(Clone, Copy, Debug)]
pub struct Commit {
    pub offset: i64,
    pub lsn: u64,
    pub durable: bool,
    pub at: u64,
}

impl Committed {
    /// A commit was taken.
    pub fn put(&mut self, commit: Commit) {
        self.values.push(commit);
    }

    /// Its topic goes, and the offset with it, unless the power does before that is durable.
    pub fn forget(&mut self) {
        self.values.clear();
        self.loose = true;
    }

    /// What is durable now is a promise.
    pub fn progress(&mut self, durable: u64) {
        self.values.iter_mut().for_each(|commit| commit.durable |= commit.lsn <= durable);
        self.loose &= self.values.iter().all(|commit| !commit.durable);
    }

    /// What a start found: the last one that was acknowledged, or a later one.
    pub fn recovered(&mut self, found: Option<i64>, now: u64, kept_ms: u64, what: &str) {
        let first = self.values.iter().rposition(|commit| commit.durable);
        let may = &self.values[first.unwrap_or(0)..];
        let known = may.iter().rev().find(|commit| Some(commit.offset) == found).copied();
        let last = self.values.iter().rev().find(|commit| commit.durable);
        let had_its_time = last.is_none_or(|commit| now - commit.at >= kept_ms);
        let excused = self.loose || known.is_some() || found.is_none() && had_its_time;
        assert!(excused, "the offset of {what} is {found:?}, of {:?}", self.values);
        let known = known.map(|commit| Commit { durable: true, ..commit });
        self.values = known.into_iter().collect();
    }
}
