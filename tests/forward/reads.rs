//! What upstream answers to those who only ask: offsets, producers, records.
//!
//! Promises: only a leader answers, and nothing beyond the high watermark is shown; whether its log
//! goes on there is, as in Kafka, told only by which offsets are out of range.

use crate::answers::{Fetched, ProducerRow, Response};
use crate::cluster::Cluster;
use crate::codes::*;
use crate::partition::Partition;
use crate::requests::{OffsetWanted, Wanted};

impl Cluster {
    /// The partition, if this server leads it and the client may see it.
    pub fn led(
        &self,
        server: usize,
        topic: &str,
        partition: i32,
        now: u64,
    ) -> Result<&Partition, i16> {
        let topic = self.topics.get(topic).ok_or(UNKNOWN_TOPIC_OR_PARTITION)?;
        if topic.allowed_at > now {
            return Err(TOPIC_AUTHORIZATION_FAILED);
        }
        let found = topic.partitions.get(usize::try_from(partition).unwrap_or(usize::MAX));
        let partition = found.ok_or(UNKNOWN_TOPIC_OR_PARTITION)?;
        let leads = partition.leader == Some(server) && topic.ready_at <= now;
        if leads { Ok(partition) } else { Err(NOT_LEADER_OR_FOLLOWER) }
    }

    /// The same for those who read.
    fn readable(
        &self,
        server: usize,
        (topic, partition): (&str, i32),
        leader_epoch: i32,
        now: u64,
    ) -> Result<&Partition, i16> {
        if self.settings.write_only {
            return Err(TOPIC_AUTHORIZATION_FAILED);
        }
        let partition = self.led(server, topic, partition, now)?;
        match leader_epoch {
            -1 => Ok(partition),
            it if it < partition.leader_epoch => Err(FENCED_LEADER_EPOCH),
            it if it > partition.leader_epoch => Err(UNKNOWN_LEADER_EPOCH),
            _ => Ok(partition),
        }
    }

    pub fn list_offsets(
        &self,
        server: usize,
        wanted: Vec<OffsetWanted>,
        version: i16,
        now: u64,
    ) -> Response {
        let row = |wanted: OffsetWanted| {
            let OffsetWanted { topic, partition, leader_epoch, timestamp } = wanted;
            let found = if self.settings.write_only {
                // DESCRIBE is enough here, and WRITE implies it.
                self.led(server, &topic, partition, now)
            } else {
                self.readable(server, (&topic, partition), leader_epoch, now)
            };
            let (error, offset, leader_epoch) = match found {
                Err(error) => (error, -1, -1),
                // KIP-207.
                Ok(found) if timestamp == -1 && !found.watermark_is_current() => {
                    let old = version < 5;
                    (if old { LEADER_NOT_AVAILABLE } else { OFFSET_NOT_AVAILABLE }, -1, -1)
                }
                Ok(found) if timestamp == -1 => (NONE, found.high_watermark(), found.leader_epoch),
                Ok(found) if timestamp == -2 => (NONE, found.log_start, found.leader_epoch),
                Ok(_) => panic!("a search by time: {timestamp}"),
            };
            (topic, partition, error, offset, leader_epoch)
        };
        Response::ListOffsets(wanted.into_iter().map(row).collect())
    }

    pub fn describe_producers(
        &self,
        server: usize,
        topics: Vec<(String, Vec<i32>)>,
        now: u64,
    ) -> Response {
        let mut rows = Vec::new();
        for (topic, partitions) in topics {
            for index in partitions {
                let found = self.readable(server, (&topic, index), -1, now);
                let producers = found.map(|partition| {
                    let entries = partition.leading().into_iter();
                    let entries = entries.flat_map(|leader| &leader.producers.entries);
                    let row = |(id, entry): (&i64, &crate::producers::Entry)| ProducerRow {
                        id: *id,
                        epoch: i32::from(entry.epoch),
                        last_sequence: entry.last(),
                        last_timestamp: entry.last_timestamp,
                    };
                    entries.map(row).collect()
                });
                let error = producers.as_ref().err().copied().unwrap_or(NONE);
                rows.push((topic.clone(), index, error, producers.unwrap_or_default()));
            }
        }
        Response::DescribeProducers(rows)
    }

    pub fn fetch(
        &self,
        server: usize,
        wanted: &[Wanted],
        bytes_max: usize,
        now: u64,
    ) -> Vec<Fetched> {
        let mut left = bytes_max;
        let mut rows = Vec::new();
        for Wanted { topic, partition, leader_epoch, offset, bytes_max } in wanted {
            let mut row = Fetched {
                topic: topic.clone(),
                partition: *partition,
                error: NONE,
                high_watermark: -1,
                log_start_offset: -1,
                records: Vec::new(),
            };
            match self.readable(server, (topic, *partition), *leader_epoch, now) {
                Err(error) => row.error = error,
                Ok(found) => {
                    let leader = found.leading().expect("it leads");
                    if !(found.log_start..=leader.end()).contains(offset) {
                        row.error = OFFSET_OUT_OF_RANGE;
                        rows.push(row);
                        continue;
                    }
                    row.high_watermark = leader.high_watermark;
                    row.log_start_offset = found.log_start;
                    let visible = leader.log.iter().filter(|batch| {
                        batch.next > *offset && batch.next <= leader.high_watermark
                    });
                    let limit = left.min(usize::try_from(*bytes_max).unwrap_or(0));
                    let first_of_all = rows.iter().all(|row: &Fetched| row.records.is_empty());
                    let mut limit_met = false;
                    for batch in visible {
                        let room = limit.saturating_sub(row.records.len());
                        // The first batch comes whole; the last one may be cut anywhere (KIP-74).
                        let whole = batch.bytes.len() <= room;
                        let must = first_of_all && row.records.is_empty();
                        if limit_met || (!whole && !must && room == 0) {
                            break;
                        }
                        let take = if whole || must { batch.bytes.len() } else { room };
                        row.records.extend_from_slice(&batch.bytes[..take]);
                        limit_met = !whole;
                    }
                    left = left.saturating_sub(row.records.len());
                }
            }
            rows.push(row);
        }
        rows
    }
}
