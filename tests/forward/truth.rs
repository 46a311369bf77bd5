//! What the gateway holds, as its producers know it: the log of every lane, with what was promised.
//!
//! A record that was appended and is not durable may be lost with the power, and its offset is
//! given to another one then. One that is durable is never lost: that is checked at each start.

use crate::records::{Plain, decode};
use ottla::broker::Broker;
use ottla::storage::Lsn;
use ottla::wire::batch;
use std::rc::Rc;

/// A batch in a local log.
#[derive(Clone, Debug)]
pub struct Local {
    pub base: i64,
    pub next: i64,
    pub lsn: Lsn,
    pub durable: bool,
    pub stored: Rc<[u8]>,
    pub records: Vec<Plain>,
    /// It was skipped or deleted by somebody: it may be missing upstream, in whole or in part.
    pub optional: bool,
    /// How often somebody has moved its lane to before its end: so often it may go once more.
    pub again: u32,
}

/// A local partition, for as long as its topic lives.
#[derive(Clone, Debug)]
pub struct Lane {
    pub number: u16,
    pub topic: String,
    pub topic_id: [u8; 16],
    pub topic_number: u32,
    pub partition: i32,
    pub batches: Vec<Local>,
    /// Number of the next record.
    pub next_record: u32,
    /// Its topic is there.
    pub there: bool,
    /// Somebody has asked for the topic's deletion.
    pub deleted: bool,
    /// How often somebody has moved it to another offset.
    pub seeks: u32,
}

impl Lane {
    /// Takes note of a batch that was appended.
    pub fn appended(&mut self, stored: &[u8], lsn: Lsn) {
        let header = batch::check_stored(stored).expect("well-formed");
        self.batches.push(Local {
            base: header.base_offset,
            next: header.next_offset(),
            lsn,
            durable: false,
            stored: stored.into(),
            records: decode(stored, &header),
            optional: false,
            again: 0,
        });
    }

    /// The offset behind the last record.
    pub fn end(&self) -> i64 {
        self.batches.last().map_or(0, |batch| batch.next)
    }

    /// Records before this may be missing upstream.
    pub fn make_optional(&mut self, from: i64, to: i64) {
        for batch in &mut self.batches {
            batch.optional |= batch.base < to && batch.next > from;
        }
    }

    /// Somebody moves the lane to `offset`: what lies before it may never go, and what lies behind
    /// it may go once more.
    pub fn sought(&mut self, offset: i64) {
        self.seeks += 1;
        self.make_optional(0, offset);
        for batch in &mut self.batches {
            batch.again += u32::from(batch.next > offset);
        }
    }
}

/// All lanes that ever were.
#[derive(Clone, Debug, Default)]
pub struct Truth {
    pub lanes: Vec<Lane>,
}

impl Truth {
    /// Takes note of a topic's new partitions.
    pub fn add_lanes(&mut self, broker: &Broker, topic: &str) {
        let Some(topic) = broker.topics().find(topic) else { return };
        for partition in 0..topic.partitions.len() as i32 {
            let known = |lane: &Lane| lane.topic_id == topic.id && lane.partition == partition;
            if self.lanes.iter().any(known) {
                continue;
            }
            self.lanes.push(Lane {
                number: self.lanes.len() as u16,
                topic: topic.name.to_owned(),
                topic_id: topic.id,
                topic_number: topic.number,
                partition,
                batches: Vec::new(),
                next_record: 0,
                there: true,
                deleted: false,
                seeks: 0,
            });
        }
    }

    /// What is durable now is a promise; to the `hasty`, what is written.
    pub fn progress(&mut self, broker: &Broker, hasty: bool) {
        let storage = broker.storage();
        let durable = if hasty { storage.written() } else { storage.durable() };
        for batch in self.lanes.iter_mut().flat_map(|lane| &mut lane.batches) {
            batch.durable |= batch.lsn <= durable;
        }
    }

    /// The gateway has started again: what was not durable may be gone, everything else is there.
    pub fn recovered(&mut self, broker: &Broker) {
        for lane in &mut self.lanes {
            let topic = broker.topics().iter().find(|topic| topic.id == lane.topic_id);
            let view = topic.and_then(|topic| broker.partition(topic, lane.partition));
            lane.there = view.is_some();
            let end = view.map_or(0, |view| view.log_end_offset);
            lane.deleted &= view.is_none();
            if lane.deleted {
                continue;
            }
            while let Some(last) = lane.batches.last().filter(|last| last.next > end) {
                assert!(!last.durable, "the gateway lost {last:?} of lane {}", lane.number);
                assert!(last.base >= end, "half of a batch is there: {last:?}");
                lane.batches.pop();
            }
            // What a start finds, it has made durable.
            lane.batches.iter_mut().for_each(|batch| batch.durable = true);
        }
    }
}
