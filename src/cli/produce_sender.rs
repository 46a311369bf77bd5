//! Records on their way to their partitions' leaders, batched, tried again, never doubled.
//!
//! Promises: with `acks=all` an idempotent producer (KIP-98) sends, so that a batch that is tried
//! again is stored once. One batch per partition is on its way at a time. A batch that the broker
//! finds too large is halved, as Java's producer does it. What is not acknowledged in the end is
//! counted and said. Absent: transactions.

use super::cluster::Cluster;
use super::connection::CallError;
use super::produce_lines::LineRecord;
use super::{Failure, note};
use crate::client::codec::compress;
use crate::client::messages::ByTopic;
use crate::client::messages::produce::{
    InitProducerIdRequest, PartitionBatch, ProduceRequest, ProduceResult,
};
use crate::client::partitioner::partition_for_key;
use crate::limits::{CLI_PENDING_BYTES_MAX, CLI_RETRY_PAUSE_MS_MAX};
use crate::wire::ErrorCode;
use crate::wire::batch::Codec;
use crate::wire::record::{BatchBuilder, Producer};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

/// How to send.
#[derive(Clone, Debug)]
pub struct Settings {
    /// 0, 1 or -1.
    pub acks: i16,
    /// How long the broker may take.
    pub timeout_ms: i32,
    /// The codec of the batches.
    pub codec: Codec,
    /// Bytes of records after which a batch is sent.
    pub batch_bytes: usize,
    /// How often a batch is tried again.
    pub retries: u32,
    /// Milliseconds before the first of these.
    pub retry_backoff_ms: u64,
    /// Whether a batch that is tried again must be stored once only.
    pub idempotent: bool,
}

/// A record with its time.
type Timed = (i64, LineRecord);

/// The records of one batch, and the partition they go to.
type Batch = (i32, Vec<Timed>);

/// The sender to one topic.
#[derive(Debug)]
pub struct Sender {
    cluster: Cluster,
    topic: String,
    settings: Settings,
    /// Partition numbers, in order.
    partitions: Vec<i32>,
    leaders: HashMap<i32, i32>,
    producer: Option<(i64, i16)>,
    sequences: HashMap<i32, i32>,
    /// The next round starts with a new producer id.
    renew: bool,
    /// The open batches, and the bytes of each.
    waiting: BTreeMap<i32, (Vec<Timed>, usize)>,
    waiting_bytes: usize,
    sticky: usize,
    /// Records that are acknowledged.
    pub acknowledged: u64,
    /// Records that are not.
    pub refused: u64,
}

/// What to do with a batch after an answer.
enum Verdict {
    Done,
    Again(String),
    Halve,
    Refused(String),
}

impl Sender {
    /// Looks the topic up, which creates it where the broker does that.
    pub fn new(cluster: Cluster, topic: &str, settings: Settings) -> Result<Sender, Failure> {
        let mut sender = Sender {
            cluster,
            topic: topic.to_owned(),
            settings,
            partitions: Vec::new(),
            leaders: HashMap::new(),
            producer: None,
            sequences: HashMap::new(),
            renew: false,
            waiting: BTreeMap::new(),
            waiting_bytes: 0,
            sticky: 0,
            acknowledged: 0,
            refused: 0,
        };
        sender.look_up()?;
        Ok(sender)
    }

    fn look_up(&mut self) -> Result<(), Failure> {
        let topic = self.cluster.topic(&self.topic, true)?;
        self.leaders = topic.partitions.iter().map(|p| (p.partition_index, p.leader_id)).collect();
        self.partitions = self.leaders.keys().copied().collect();
        self.partitions.sort_unstable();
        if self.partitions.is_empty() {
            return Err(Failure::new(format!("Topic '{}' has no partitions", self.topic)));
        }
        Ok(())
    }

    /// Whether something waits to be sent.
    pub fn has_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Takes a record; sends when a batch is full.
    pub fn push(&mut self, record: LineRecord, timestamp: i64) -> Result<(), Failure> {
        let at = match &record.key {
            Some(key) => partition_for_key(key, self.partitions.len()),
            None => self.sticky % self.partitions.len(),
        };
        let partition = self.partitions[at];
        let record_bytes = record.bytes();
        self.waiting_bytes += record_bytes;
        let (batch, bytes) = self.waiting.entry(partition).or_default();
        batch.push((timestamp, record));
        *bytes += record_bytes;
        if *bytes >= self.settings.batch_bytes || self.waiting_bytes >= CLI_PENDING_BYTES_MAX {
            self.flush()?;
        }
        Ok(())
    }

    /// Sends everything that waits, and returns when it is decided.
    pub fn flush(&mut self) -> Result<(), Failure> {
        let mut batches: Vec<Batch> = std::mem::take(&mut self.waiting)
            .into_iter()
            .map(|(partition, (records, _))| (partition, records))
            .collect();
        self.waiting_bytes = 0;
        // Records without a key go to the next partition with the next batch (KIP-480).
        self.sticky = self.sticky.wrapping_add(1);
        let mut tries = 0;
        while !batches.is_empty() {
            let (left, why) = self.send_once(batches)?;
            batches = left;
            let Some(why) = why else { continue };
            if tries == self.settings.retries {
                self.give_up(&batches, &why);
                return Err(Failure::new(why));
            }
            let pause = self.settings.retry_backoff_ms << tries.min(16);
            std::thread::sleep(Duration::from_millis(pause.min(CLI_RETRY_PAUSE_MS_MAX)));
            tries += 1;
            self.look_up().ok();
        }
        Ok(())
    }

    /// After a batch whose fate is unknown, its sequence numbers must never be used again.
    fn give_up(&mut self, batches: &[Batch], why: &str) {
        let count: usize = batches.iter().map(|(_, records)| records.len()).sum();
        self.refused += count as u64;
        self.renew = true;
        note(&format!("{count} records were not acknowledged: {why}"));
    }

    /// Sends each batch once; returns those to send again, and why where a pause is due.
    fn send_once(&mut self, batches: Vec<Batch>) -> Result<(Vec<Batch>, Option<String>), Failure> {
        if let Err(error) = self.ensure_producer_id() {
            return self.after_error(error).map(|why| (batches, Some(why)));
        }
        let (mut left, mut why) = (Vec::new(), None);
        let mut by_leader: BTreeMap<i32, Vec<Batch>> = BTreeMap::new();
        let mut taken = HashSet::new();
        for (partition, records) in batches {
            // One batch per partition and round: sequence numbers follow from the one before.
            if !taken.insert(partition) {
                left.push((partition, records));
                continue;
            }
            let leader = self.leaders.get(&partition).copied().unwrap_or(-1);
            by_leader.entry(leader).or_default().push((partition, records));
        }
        for (leader, batches) in by_leader {
            match self.call(leader, &batches) {
                Ok(results) => {
                    for (partition, records) in batches {
                        let verdict = judge(partition, &results);
                        why = self.settle(verdict, partition, records, &mut left).or(why);
                    }
                }
                Err(error) => {
                    why = Some(self.after_error(error)?);
                    // In front of what waits behind it: the order within a partition is kept.
                    left.splice(0..0, batches);
                }
            }
        }
        Ok((left, why))
    }

    /// Does what the verdict says; what is to be sent again goes to the front of `left`, and the
    /// answer is why, where a pause is due.
    fn settle(
        &mut self,
        verdict: Verdict,
        partition: i32,
        mut records: Vec<Timed>,
        left: &mut Vec<Batch>,
    ) -> Option<String> {
        match verdict {
            Verdict::Done => self.accept(partition, records.len()),
            Verdict::Again(reason) => {
                left.insert(0, (partition, records));
                return Some(reason);
            }
            Verdict::Halve if records.len() > 1 => {
                let behind = records.split_off(records.len() / 2);
                left.insert(0, (partition, behind));
                left.insert(0, (partition, records));
            }
            Verdict::Halve => {
                let reason = "the record is larger than the broker takes (MESSAGE_TOO_LARGE)";
                self.give_up(&[(partition, records)], reason);
            }
            Verdict::Refused(reason) => self.give_up(&[(partition, records)], &reason),
        }
        None
    }

    fn accept(&mut self, partition: i32, count: usize) {
        let sequence = self.sequences.entry(partition).or_default();
        *sequence = ((i64::from(*sequence) + count as i64) % (i64::from(i32::MAX) + 1)) as i32;
        self.acknowledged += count as u64;
    }

    fn after_error(&mut self, error: CallError) -> Result<String, Failure> {
        match error {
            CallError::Broken(why) => {
                self.cluster.reset();
                Ok(why)
            }
            error => Err(error.into()),
        }
    }

    fn ensure_producer_id(&mut self) -> Result<(), CallError> {
        if std::mem::take(&mut self.renew) {
            self.producer = None;
            self.sequences.clear();
        }
        if !self.settings.idempotent || self.settings.acks != -1 || self.producer.is_some() {
            return Ok(());
        }
        let answer = self.cluster.call(&InitProducerIdRequest)?;
        match answer.error_code {
            ErrorCode::None => {
                self.producer = Some((answer.producer_id, answer.producer_epoch));
                Ok(())
            }
            code => Err(CallError::Broken(format!("no producer id: {code}"))),
        }
    }

    fn call(&mut self, leader: i32, batches: &[Batch]) -> Result<Vec<ProduceResult>, CallError> {
        if leader < 0 {
            return Err(CallError::Broken("a partition has no leader".to_owned()));
        }
        let built: Vec<(i32, Vec<u8>)> = batches
            .iter()
            .map(|(partition, records)| (*partition, self.build(*partition, records)))
            .collect();
        let entries = built.iter().map(|(index, records)| {
            (self.topic.as_str(), PartitionBatch { index: *index, records })
        });
        let request = ProduceRequest {
            acks: self.settings.acks,
            timeout_ms: self.settings.timeout_ms,
            topics: ByTopic::group(entries),
        };
        let connection = self.cluster.node(leader)?;
        if self.settings.acks == 0 {
            connection.send(&request)?;
            let done = |index| ProduceResult {
                index,
                error_code: ErrorCode::None,
                base_offset: -1,
                log_append_time_ms: -1,
                record_errors: Vec::new(),
                error_message: None,
            };
            return Ok(built.iter().map(|(index, _)| done(*index)).collect());
        }
        let answer = connection.call(&request)?;
        Ok(answer.into_iter().flat_map(|topic| topic.partitions).collect())
    }

    fn build(&self, partition: i32, records: &[Timed]) -> Vec<u8> {
        let first = records.first().map_or(0, |(timestamp, _)| *timestamp);
        let mut builder = BatchBuilder::new(first);
        if let Some((id, epoch)) = self.producer {
            let base_sequence = self.sequences.get(&partition).copied().unwrap_or(0);
            builder = builder.producer(Producer { id, epoch, base_sequence });
        }
        for (timestamp, record) in records {
            let headers: Vec<(&str, Option<&[u8]>)> =
                record.headers.iter().map(|(k, v)| (k.as_str(), v.as_deref())).collect();
            builder.push(*timestamp, record.key.as_deref(), record.value.as_deref(), &headers);
        }
        let codec = self.settings.codec;
        builder.finish_with(codec as i16, |plain| compress(codec, plain))
    }
}

/// What an answer means for the batch of a partition.
fn judge(partition: i32, results: &[ProduceResult]) -> Verdict {
    let Some(result) = results.iter().find(|result| result.index == partition) else {
        return Verdict::Again(format!("the broker says nothing of partition {partition}"));
    };
    let text = || result.error_message.clone().unwrap_or_else(|| result.error_code.to_string());
    match result.error_code {
        ErrorCode::None | ErrorCode::DuplicateSequenceNumber => Verdict::Done,
        ErrorCode::MessageTooLarge | ErrorCode::RecordListTooLarge => Verdict::Halve,
        ErrorCode::NotLeaderOrFollower
        | ErrorCode::LeaderNotAvailable
        | ErrorCode::UnknownTopicOrPartition
        | ErrorCode::RequestTimedOut
        | ErrorCode::NotEnoughReplicas
        | ErrorCode::NotEnoughReplicasAfterAppend
        | ErrorCode::CoordinatorLoadInProgress
        | ErrorCode::ThrottlingQuotaExceeded
        | ErrorCode::CorruptMessage => Verdict::Again(text()),
        _ => Verdict::Refused(text()),
    }
}
