//! A Produce request as a machine: fed with what has arrived, it answers batch by batch.
//!
//! ```text
//! in:   request | topic | partition + batch | partition + batch | topic | ...
//!                 ▲ taken one by one, each as soon as it is whole
//! out:  the answer grows with them
//! ```
//!
//! Clients put up to 100 MiB into one request (franz-go, sarama, kafkajs), and memory for one batch
//! must do. A request that is here as a whole goes through the same steps in one go.
//!
//! Promises: the answer and the log do not depend on where the request was cut into pieces. No
//! batch is appended twice: one that finds no room in the journal parks the request, and it goes on
//! with that very batch. Records of more bytes than any topic takes are refused by their length and
//! passed over without being kept. Nothing is allocated but the answer.
//! Absent: what a batch is checked for (`produce`), waiting, and the connection's buffers
//! (`server`).

use super::{API, Refused, append, write_partition};
use crate::api::{Context, Outcome, Parked, Reply, Waiting};
use crate::broker::Produced;
use crate::config::SyncPolicy;
use crate::limits::{
    PRODUCE_ANSWER_BYTES_MAX, PRODUCE_ELEMENT_BYTES_MAX, PRODUCE_ROOM_WAIT_MS, TOPIC_NAME_BYTES_MAX,
};
use crate::storage::Lsn;
use crate::time::Millis;
use crate::wire::reader::Problem;
use crate::wire::{ErrorCode, ReadError, Reader};

const ACKS_ALL: i16 = -1;

/// What comes next in the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    /// What stands in front of the topics.
    Request,
    /// A topic's name, or what stands behind the last topic.
    Topic,
    /// A partition and its batch, or what stands behind a topic's last partition.
    Partition,
    /// So many bytes of records that are answered already.
    Skipping(usize),
    /// What stands behind such records.
    Skipped,
    /// Stray bytes behind the request, which Apache Kafka ignores, too.
    Rest,
}

/// What a step came to.
enum Step {
    /// The element is done with.
    Next,
    /// It is not here yet: so many bytes are needed, counted from its first one.
    Needs(usize),
    /// There is no room for it yet.
    Park(Parked),
    /// There is no room for its answer yet.
    Full,
    /// The request is answered.
    Done,
}

/// A Produce request under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stream {
    version: i16,
    at: At,
    acks: i16,
    /// Why every partition is refused.
    refused: Option<Refused>,
    topics_left: usize,
    partitions_left: usize,
    /// Where in the answer the topic's name stands.
    name: (usize, usize),
    /// Until when the next batch waits for room, once it does.
    deadline: Option<Millis>,
    /// A batch has waited in vain: no other one waits.
    gave_up: bool,
    /// The last frame that one of the batches is part of.
    last: Lsn,
    failed: bool,
    appended: bool,
    /// One of the batches is of a topic whose records are synced before they are acknowledged.
    syncs: bool,
}

/// A request that has to be gone on with: once more of it has arrived, or once it is woken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Partly {
    /// How far it is.
    pub stream: Stream,
    /// Bytes, of those that were given, that are done with.
    pub consumed: usize,
    /// Bytes behind these that have to be here before it gets on; 0 where its answer waits for
    /// room.
    pub needed: usize,
    /// What it is parked for, if it is.
    pub parked: Option<Parked>,
}

impl Stream {
    /// The machine in front of a request's body.
    pub fn new(version: i16) -> Stream {
        Stream {
            version,
            at: At::Request,
            acks: 0,
            refused: None,
            topics_left: 0,
            partitions_left: 0,
            name: (0, 0),
            deadline: None,
            gave_up: false,
            last: Lsn::default(),
            failed: false,
            appended: false,
            syncs: false,
        }
    }

    /// The request's version.
    pub fn version(&self) -> i16 {
        self.version
    }

    /// Whether that is a flexible one.
    pub fn flexible(&self) -> bool {
        self.version >= API.flexible
    }

    /// Goes as far as it gets. The answer so far stands in `reply`.
    ///
    /// # Errors
    /// [`ReadError`]: what was appended stays, and there is no answer.
    pub fn go_on(
        mut self,
        context: &mut Context<'_>,
        mut r: Reader<'_>,
        reply: &mut Reply<'_>,
    ) -> Result<Outcome, ReadError> {
        let given = r.rest().len();
        loop {
            let element = r;
            let here = element.rest().len();
            let (needed, parked) = match self.step(context, &mut r, reply) {
                // An answer that is too large will not be sent: append no more.
                Ok(Step::Next) if reply.w.overflowed() => return Ok(Outcome::Now),
                Ok(Step::Next) => continue,
                Ok(Step::Done) => return Ok(self.outcome(context)),
                Ok(Step::Needs(needed)) => (needed, None),
                Ok(Step::Park(parked)) => (0, Some(parked)),
                Ok(Step::Full) => (0, None),
                Err(error)
                    if error.problem == Problem::Truncated
                        && r.beyond() > 0
                        && here < self.element_bytes_max(context) =>
                {
                    (here + 1, None)
                }
                Err(error) => return Err(error),
            };
            let consumed = given - here;
            return Ok(Outcome::Partly(Partly { stream: self, consumed, needed, parked }));
        }
    }

    /// Bytes up to which an element is waited for.
    fn element_bytes_max(&self, context: &Context<'_>) -> usize {
        let batch = match self.at {
            At::Partition => context.broker.message_bytes_max(),
            _ => 0,
        };
        batch + PRODUCE_ELEMENT_BYTES_MAX
    }

    /// One element. It writes only when the whole element is read.
    fn step(
        &mut self,
        context: &mut Context<'_>,
        r: &mut Reader<'_>,
        reply: &mut Reply<'_>,
    ) -> Result<Step, ReadError> {
        match self.at {
            At::Request => self.request(r, reply)?,
            At::Topic if self.topics_left == 0 => {
                r.tags()?;
                reply.w.since(1, |w| w.i32(0));
                reply.w.tags();
                self.at = At::Rest;
            }
            At::Topic => return self.topic(r, reply),
            At::Partition if self.partitions_left == 0 => {
                r.tags()?;
                reply.w.tags();
                self.at = At::Topic;
            }
            At::Partition => return self.partition(context, r, reply),
            At::Skipping(bytes) => {
                let here = r.rest().len().clamp(1, bytes.max(1));
                r.take("records", here)?;
                let left = bytes.saturating_sub(here);
                self.at = if left == 0 { At::Skipped } else { At::Skipping(left) };
            }
            At::Skipped => {
                r.tags()?;
                self.partitions_left -= 1;
                self.at = At::Partition;
            }
            At::Rest if r.beyond() == 0 => return Ok(Step::Done),
            At::Rest => {
                r.take("stray bytes", r.rest().len().max(1))?;
            }
        }
        Ok(Step::Next)
    }

    fn request(&mut self, r: &mut Reader<'_>, reply: &mut Reply<'_>) -> Result<(), ReadError> {
        let transactional_id = r.since(3, None, |r| r.nullable_string("transactional_id"))?;
        self.acks = r.i16("acks")?;
        let _timeout_ms = r.i32("timeout_ms")?;
        self.topics_left = r.array("topic_data")?;
        if !matches!(self.acks, -1..=1) {
            let message = "acks must be 0, 1 or -1 (all)";
            self.refused = Some((ErrorCode::InvalidRequiredAcks, Some(message)));
        } else if transactional_id.is_some() {
            let message = "transactions are not supported by ottla";
            self.refused = Some((ErrorCode::InvalidRequest, Some(message)));
        }
        reply.w.array(self.topics_left);
        self.at = At::Topic;
        Ok(())
    }

    fn topic(&mut self, r: &mut Reader<'_>, reply: &mut Reply<'_>) -> Result<Step, ReadError> {
        let name = r.string("name")?;
        let partitions = r.array("partition_data")?;
        if !reply.w.ensure(name.len() + PRODUCE_ANSWER_BYTES_MAX) {
            return Ok(Step::Full);
        }
        self.partitions_left = partitions;
        reply.w.string(name);
        // The answer remembers the name while the partitions arrive.
        let end = reply.w.position() - reply.start;
        self.name = (end - name.len().min(end), end);
        reply.w.array(self.partitions_left);
        self.topics_left -= 1;
        self.at = At::Partition;
        Ok(Step::Next)
    }

    fn partition(
        &mut self,
        context: &mut Context<'_>,
        r: &mut Reader<'_>,
        reply: &mut Reply<'_>,
    ) -> Result<Step, ReadError> {
        let start = r.position();
        let index = r.i32("index")?;
        let bytes = r.records_length("records")?.unwrap_or_default();
        if !reply.w.ensure(PRODUCE_ANSWER_BYTES_MAX) {
            return Ok(Step::Full);
        }
        let mut name = [0; TOPIC_NAME_BYTES_MAX];
        let name = self.topic_name(reply, &mut name);
        if bytes > context.broker.message_bytes_max() {
            let result = self.refused.unwrap_or_else(|| too_large(context, name, index));
            self.note(Err(result));
            write_partition(reply, index, &[], Err(result));
            self.at = At::Skipping(bytes);
            return Ok(Step::Next);
        }
        if r.rest().len() < bytes {
            // With the tags behind it, which nearly always are one byte, it is whole.
            return Ok(Step::Needs(r.position() - start + bytes + usize::from(r.flexible())));
        }
        let records = r.take("records", bytes)?;
        r.tags()?;
        let result = match self.refused {
            Some(refused) => Err(refused),
            None => append(context, self.version, name, index, records, self.deadline.is_some()),
        };
        if matches!(result, Err((ErrorCode::RequestTimedOut, _))) {
            self.gave_up |= self.deadline.is_some_and(|at| at <= context.now.mono);
            if !self.gave_up {
                return Ok(Step::Park(self.park(context)));
            }
        }
        self.deadline = None;
        self.note(result);
        write_partition(reply, index, records, result);
        self.partitions_left -= 1;
        Ok(Step::Next)
    }

    /// The topic's name as the answer has it. A longer one than any topic's is none.
    fn topic_name<'b>(
        &self,
        reply: &Reply<'_>,
        buffer: &'b mut [u8; TOPIC_NAME_BYTES_MAX],
    ) -> &'b str {
        let (from, to) = self.name;
        let Some(buffer) = buffer.get_mut(..to - from) else { return "" };
        core::str::from_utf8(reply.w.read_back(reply.start + from, buffer)).unwrap_or_default()
    }

    fn note(&mut self, result: Result<Produced, Refused>) {
        match result {
            Ok(produced) => {
                self.appended = true;
                self.syncs |= produced.sync == SyncPolicy::Always;
                self.last = self.last.max(produced.lsn);
            }
            Err(_) => self.failed = true,
        }
    }

    fn park(&mut self, context: &mut Context<'_>) -> Parked {
        let now = context.now.mono;
        let goes_on = context.broker.storage().goes_on();
        if !goes_on {
            context.broker.storage_mut().want_sync(now);
        }
        let deadline = self.deadline.unwrap_or(now.saturating_add(PRODUCE_ROOM_WAIT_MS));
        self.deadline = Some(deadline);
        let waiting = if goes_on { Waiting::Turn } else { Waiting::Room };
        Parked { waiting, deadline: Some(deadline) }
    }

    fn outcome(&self, context: &mut Context<'_>) -> Outcome {
        match self.acks {
            0 if self.failed => Outcome::Close("a record sent with acks=0 was refused"),
            0 => Outcome::Silent,
            _ if !self.appended => Outcome::Now,
            ACKS_ALL if self.syncs => {
                context.broker.storage_mut().want_sync(context.now.mono);
                Outcome::AfterSync(self.last)
            }
            _ => Outcome::AfterWrite(self.last),
        }
    }
}

/// The refusal of a batch that is larger than any topic takes, by its length alone. As in Apache
/// Kafka, a topic that is not there comes first.
fn too_large(context: &Context<'_>, topic: &str, partition: i32) -> Refused {
    match context.broker.find_partition(topic, partition) {
        Some(_) => super::TOO_LARGE,
        None => (ErrorCode::UnknownTopicOrPartition, None),
    }
}

#[cfg(test)]
mod tests;
