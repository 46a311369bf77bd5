//! Appending to, reading from and trimming the logs.

use super::forward::move_log_start;
use super::{Broker, Refusal, Slot, clock};
use crate::config::{EffectiveTopicConfig, SyncPolicy, TimestampType};
use crate::disk::DiskError;
use crate::limits::SCRUB_TURN_MS;
use crate::state::producers::{Claim, SequenceError, Verdict};
use crate::state::topics::Topic;
use crate::storage::partition::{LogError, Slice};
use crate::storage::retention::{self, Policy};
use crate::storage::rot::LEADER_EPOCH;
use crate::storage::{Lsn, PartitionIndex, SegmentPolicy, WriteError};
use crate::time::Now;
use crate::wire::batch::{self, BatchHeader, Codec, Stamped};

/// A partition's offsets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartitionView {
    /// Storage's handle.
    pub index: PartitionIndex,
    /// First offset that is served.
    pub log_start_offset: i64,
    /// Offset behind the last durable record; also the last stable offset.
    pub high_watermark: i64,
    /// Offset behind the last record.
    pub log_end_offset: i64,
    /// Always [`LEADER_EPOCH`].
    pub leader_epoch: i32,
}

/// A batch that is in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Produced {
    /// Offset of its first record.
    pub base_offset: i64,
    /// The broker's time, where the topic's timestamps are the broker's; else -1.
    pub log_append_time_ms: i64,
    /// First offset of the log.
    pub log_start_offset: i64,
    /// Durable together with this frame.
    pub lsn: Lsn,
    /// When the topic's records are synced.
    pub sync: SyncPolicy,
}

/// Why a batch is not in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProduceError {
    /// No such topic or partition.
    UnknownTopicOrPartition,
    /// Larger than the topic's `max.message.bytes`.
    MessageTooLarge,
    /// What is wrong with it, in words.
    InvalidRecord(&'static str),
    /// A record without a key, for a compacted topic.
    KeyMissing,
    /// A transactional batch: transactions are not there.
    Transactional,
    /// Too far in the future or the past for this topic.
    InvalidTimestamp,
    /// Does not follow the producer's last batch.
    OutOfOrderSequence,
    /// The producer's epoch is over.
    InvalidProducerEpoch,
    /// No room just now; try again.
    Busy,
    /// The disk is full or failed.
    Storage(WriteError),
}

/// Why nothing can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FetchError {
    /// No such topic or partition.
    UnknownTopicOrPartition,
    /// Outside the log.
    OffsetOutOfRange,
    /// The disk failed, or the bytes on it are not batches.
    Storage,
}

impl From<LogError> for FetchError {
    fn from(error: LogError) -> Self {
        match error {
            LogError::OutOfRange => FetchError::OffsetOutOfRange,
            LogError::Disk(_) | LogError::Rotten { .. } => FetchError::Storage,
        }
    }
}

fn key_missing(bytes: &[u8], header: &BatchHeader) -> bool {
    batch::records(bytes, header).any(|record| record.is_ok_and(|r| r.key.is_none()))
}

/// What is wrong with a batch that passed [`batch::check`], for this topic.
fn verdict(
    topic: Topic<'_>,
    bytes: &[u8],
    header: &BatchHeader,
    now: Now,
) -> Result<(), ProduceError> {
    let config = topic.config;
    if bytes.len() > config.max_message_bytes as usize {
        return Err(ProduceError::MessageTooLarge);
    }
    if header.base_offset != 0 {
        return Err(ProduceError::InvalidRecord("a new batch begins at offset 0"));
    }
    if header.is_control() {
        return Err(ProduceError::InvalidRecord("clients may not write control records"));
    }
    if header.is_transactional() {
        return Err(ProduceError::Transactional);
    }
    if header.has_producer_id() && (header.base_sequence < 0 || header.producer_epoch < 0) {
        return Err(ProduceError::InvalidRecord(
            "a batch with a producer id needs an epoch and a sequence number",
        ));
    }
    let by_client = config.message_timestamp_type == TimestampType::CreateTime;
    // A clock that was never set cannot tell what is too old or too new.
    if by_client && header.max_timestamp >= 0 && clock::is_set(now.wall_ms) {
        let ahead = header.max_timestamp.saturating_sub(now.wall_ms);
        let behind = now.wall_ms.saturating_sub(header.max_timestamp);
        if ahead > config.message_timestamp_after_max_ms
            || behind > config.message_timestamp_before_max_ms
        {
            return Err(ProduceError::InvalidTimestamp);
        }
    }
    // Compressed records are not looked into: that would take memory that the sender chooses.
    if config.cleanup_policy.compact
        && header.codec() == Some(Codec::None)
        && key_missing(bytes, header)
    {
        return Err(ProduceError::KeyMissing);
    }
    Ok(())
}

/// How a topic's partitions want to be written.
pub(super) fn segment_policy(config: &EffectiveTopicConfig) -> SegmentPolicy {
    SegmentPolicy {
        segment_bytes: config.segment_bytes,
        segment_s: u32::try_from(config.segment_ms / 1000).unwrap_or(u32::MAX).max(1),
    }
}

impl Broker {
    /// The offsets of a partition.
    pub fn partition(&self, topic: Topic<'_>, partition: i32) -> Option<PartitionView> {
        let index = *topic.partitions.get(usize::try_from(partition).ok()?)?;
        let log = self.storage.partition(index)?;
        Some(PartitionView {
            index,
            log_start_offset: log.log_start,
            high_watermark: log.high_watermark,
            log_end_offset: log.log_end,
            leader_epoch: LEADER_EPOCH,
        })
    }

    /// The topic of this name and the offsets of one of its partitions.
    pub fn find_partition(
        &self,
        topic: &str,
        partition: i32,
    ) -> Option<(Topic<'_>, PartitionView)> {
        let topic = self.topics.find(topic)?;
        Some((topic, self.partition(topic, partition)?))
    }

    /// Appends one batch that passed [`batch::check`], unless it is there already.
    ///
    /// # Errors
    /// [`ProduceError`]; the log is as before.
    pub fn append(
        &mut self,
        topic: &str,
        partition: i32,
        bytes: &[u8],
        header: &BatchHeader,
        now: Now,
    ) -> Result<Produced, ProduceError> {
        let found = self.find_partition(topic, partition);
        let (topic, view) = found.ok_or(ProduceError::UnknownTopicOrPartition)?;
        let by_broker = topic.config.message_timestamp_type == TimestampType::LogAppendTime;
        let missing = batch::missing_max_timestamp(bytes, header, now.wall_ms);
        let max_timestamp = missing.filter(|_| !by_broker);
        let header =
            BatchHeader { max_timestamp: max_timestamp.unwrap_or(header.max_timestamp), ..*header };
        verdict(topic, bytes, &header, now)?;
        let name = (topic.number, partition as u32);
        let config = *topic.config;
        let claim = Claim {
            id: header.producer_id,
            epoch: header.producer_epoch,
            first_sequence: header.base_sequence,
            last_sequence: header.last_sequence(),
        };
        if header.has_producer_id() {
            match self.producers.check(name, claim) {
                Ok(Verdict::New) => {}
                Ok(Verdict::Duplicate(first)) => {
                    return Ok(Produced {
                        base_offset: first.base_offset,
                        log_append_time_ms: if by_broker { first.timestamp } else { -1 },
                        log_start_offset: view.log_start_offset,
                        // The first copy may not be durable yet: wait for all that is staged.
                        lsn: self.storage.wanted(),
                        sync: config.sync,
                    });
                }
                Err(SequenceError::InvalidEpoch) => return Err(ProduceError::InvalidProducerEpoch),
                Err(SequenceError::OutOfOrder) => return Err(ProduceError::OutOfOrderSequence),
            }
        }
        // A clock that was set back must not make times run backwards within a log.
        let log_append_time =
            by_broker.then(|| now.wall_ms.max(self.storage.last_append_time(view.index)));
        let policy = segment_policy(&config);
        let appended = self.storage.append(view.index, policy, now.mono, |base_offset| {
            let stamped = Stamped::new(bytes, base_offset, LEADER_EPOCH, log_append_time)?;
            Some(max_timestamp.map_or(stamped, |time| stamped.with_max_timestamp(time)))
        });
        let full = config.full_policy;
        let appended = appended.map_err(|error| match self.or_busy(error, full, now) {
            WriteError::Busy => ProduceError::Busy,
            other => {
                self.note_refused(other, now);
                ProduceError::Storage(other)
            }
        })?;
        if header.has_producer_id() {
            let time = log_append_time.unwrap_or(header.max_timestamp);
            self.producers.record(name, claim, appended.base_offset, time);
        }
        if self.waiting.any(view.index) && config.sync == SyncPolicy::Always {
            self.storage.hurry(view.index);
        }
        self.figures.records_in += header.records_count.max(0) as u64;
        self.figures.bytes_in += bytes.len() as u64;
        Ok(Produced {
            base_offset: appended.base_offset,
            log_append_time_ms: log_append_time.unwrap_or(-1),
            log_start_offset: view.log_start_offset,
            lsn: appended.lsn,
            sync: config.sync,
        })
    }

    /// Says once that the disk is full.
    fn note_refused(&mut self, error: WriteError, now: Now) {
        if error == WriteError::Disk(DiskError::NoSpace) && self.space.refused(now.mono) {
            let what = match self.storage.quota().quota() {
                Some(_) => "disk.quota.bytes is used up",
                None => "the disk is full",
            };
            log::error!(
                "{what}: records are refused until there is room (full.policy says what may go \
                 for new ones); consuming, committing, forwarding and deleting go on"
            );
        }
    }

    /// Says once that it is not full any more.
    pub(super) fn look_for_space(&mut self, now: Now) {
        let storage = &mut self.storage;
        let over = self.space.look(now.mono, || storage.has_room_again(now.mono));
        if let Some((took_ms, refused)) = over {
            let took_s = took_ms / 1000;
            log::info!("there is room for records, after {took_s} s and {refused} refused batches");
        }
    }

    /// Batches from the one that holds `offset` on; `None` at the high watermark.
    ///
    /// # Errors
    /// [`FetchError`].
    pub fn read(
        &mut self,
        index: PartitionIndex,
        offset: i64,
        bytes_max: u32,
        at_least_one: bool,
    ) -> Result<Option<Slice>, FetchError> {
        let slice = self.storage.read(index, offset, bytes_max, at_least_one);
        self.tell_gaps();
        Ok(slice?)
    }

    /// A turn of the background search for rot.
    pub(super) fn scrub(&mut self, now: Now) {
        let a_second = u64::from(self.config.log_scrub_bytes_per_second);
        let bytes = (a_second * SCRUB_TURN_MS / 1000).clamp(1, u64::from(u32::MAX)) as u32;
        let ended = self.storage.scrub(bytes);
        self.tell_gaps();
        let pause = if ended { self.config.log_scrub_interval_ms } else { SCRUB_TURN_MS };
        self.scrub_due = Some(now.mono.saturating_add(pause));
    }

    /// Says what was found to be rotten, once.
    fn tell_gaps(&mut self) {
        while let Some(gap) = self.storage.take_untold_gap() {
            let Some(partition) = self.storage.find(gap.key) else { continue };
            let Some(partition) = self.storage.partition(partition) else { continue };
            log::error!(
                "{}/{:020}.log: bytes {} to {} are not what was written there; the records with \
                 offsets {} to {} are lost, and readers go on behind them",
                partition.dir,
                gap.segment_base,
                gap.position,
                gap.end,
                gap.first,
                gap.next - 1,
            );
        }
    }

    /// A fetch waits at the end of a partition: wake `slot` when there is more to read, and sync
    /// soon what is there already, unless the topic's records are synced at intervals.
    pub fn wait_for_records(&mut self, index: PartitionIndex, slot: Slot) {
        self.waiting.wait(index, slot);
        let topic = self.storage.partition(index).map_or(0, |partition| partition.key.topic);
        let sync = self.topics.get(topic).map(|topic| topic.config.sync);
        if sync != Some(SyncPolicy::Interval) {
            self.storage.hurry(index);
        }
    }

    /// The first record at or after `timestamp` (milliseconds since 1970): its offset and its
    /// timestamp. In an uncompressed batch that is exact; a compressed one is not looked into:
    /// its first record stands for it, so that a reader starts at most one batch early. The
    /// timestamp given then is the batch's largest, unless its first record fits.
    ///
    /// # Errors
    /// [`FetchError`].
    pub fn offset_for_time(
        &mut self,
        index: PartitionIndex,
        timestamp: i64,
    ) -> Result<Option<(i64, i64)>, FetchError> {
        let log_start = self.storage.partition(index).map_or(0, |p| p.log_start);
        let found = self.storage.record_at_time(index, timestamp, log_start)?;
        Ok(found.map(|found| (found.offset, found.timestamp)))
    }

    /// The offset and timestamp of the record with the largest timestamp (ListOffsets -3).
    ///
    /// # Errors
    /// [`FetchError`].
    pub fn offset_of_max_timestamp(
        &mut self,
        index: PartitionIndex,
    ) -> Result<Option<(i64, i64)>, FetchError> {
        let Some(partition) = self.storage.partition(index) else {
            return Err(FetchError::UnknownTopicOrPartition);
        };
        if partition.log_start == partition.high_watermark {
            return Ok(None);
        }
        let largest = partition.segments.all().iter().map(|s| s.max_timestamp).max();
        let Some(largest) = largest.filter(|largest| *largest >= 0) else { return Ok(None) };
        // The segments' largest may belong to a record that is not durable yet, or not in the log
        // any more. Whether there is a visible record at or after a moment is monotone, so the
        // last such moment is found by halving: mostly at the first look, after 63 at the latest.
        let (mut low, mut high, mut middle) = (0, largest, largest);
        let mut found = None;
        while low <= high {
            match self.offset_for_time(index, middle)? {
                Some((offset, timestamp)) => {
                    found = Some((offset, timestamp));
                    if timestamp >= high {
                        break;
                    }
                    low = timestamp.max(middle) + 1;
                }
                None => high = middle - 1,
            }
            middle = low + (high - low) / 2;
        }
        Ok(found)
    }

    /// DeleteRecords: the log starts at `offset` from now on (-1: at the high watermark).
    /// Returns the new start and the frame.
    ///
    /// # Errors
    /// [`Refusal`].
    pub fn delete_records(
        &mut self,
        index: PartitionIndex,
        offset: i64,
        now: Now,
    ) -> Result<(i64, Lsn), Refusal> {
        let partition = self.storage.partition(index).ok_or(Refusal::UnknownTopicOrPartition)?;
        let offset = if offset == -1 { partition.high_watermark } else { offset };
        if offset < 0 || offset > partition.high_watermark {
            return Err(Refusal::OffsetOutOfRange);
        }
        let (storage, bytes) = (&mut self.storage, &mut self.change_bytes);
        let lsn = move_log_start(storage, &self.forwarding, bytes, (index, offset), now)?;
        self.storage.want_sync(now.mono);
        let start = self.storage.partition(index).map_or(offset, |p| p.log_start);
        Ok((start, lsn))
    }

    /// What is remembered of the producers of a partition.
    pub fn producers_of(
        &self,
        topic: Topic<'_>,
        partition: i32,
    ) -> impl Iterator<Item = &crate::state::producers::ProducerRow> {
        self.producers.of_partition((topic.number, partition as u32))
    }

    /// Deletes segments that have had their time, but for what is still to be forwarded.
    pub(super) fn apply_retention(&mut self, now: Now) {
        let age_s = self.storage.age_s(now.mono);
        for topic in self.topics.iter() {
            for (number, index) in topic.partitions.iter().enumerate() {
                let policy = Policy {
                    age_ms: topic.config.delete_after_ms(),
                    bytes: topic.config.delete_beyond_bytes(),
                    protected_from: self.protected_from(topic, number),
                };
                let Some(partition) = self.storage.partition(*index) else { continue };
                let Some(start) = retention::new_log_start(partition, policy, age_s) else {
                    continue;
                };
                let (storage, bytes) = (&mut self.storage, &mut self.change_bytes);
                let place = (*index, start);
                if move_log_start(storage, &self.forwarding, bytes, place, now).is_ok() {
                    let name = topic.name;
                    log::info!("{name}: retention moved the log's start to offset {start}");
                }
            }
        }
    }
}
