//! Upstream's answers about records: cursors that move, batches that are tried again or set aside.
//!
//! Promises: a lane's cursor moves here by an answer without error and by nothing else; a batch
//! that nobody answered for leaves its lane in doubt.
//! Absent: how doubt ends (`answers`), and what a code means (`verdict`).

use super::Forwarder;
use super::lane::{Flight, Phase};
use super::link::{Ask, InFlight, LaneRef, LaneRefs};
use super::verdict::{self, Verdict};
use crate::broker::{Broker, Refusal};
use crate::config::OnRejected;
use crate::limits::FORWARD_SAVE_RETRY_MS;
use crate::state::forward::ErrorWords;
use crate::time::{Millis, Now};
use crate::wire::{ErrorCode, Reader};

impl Forwarder {
    /// A request without its answer: the connection is gone.
    pub(super) fn unanswered(&mut self, flight: InFlight, now: Now) {
        let lanes = match flight.ask {
            Ask::Produce(lanes) => {
                for reference in lanes {
                    if let Some(lane) = self.lane(reference)
                        && lane.flight.take().is_some()
                    {
                        lane.pending = Some(Millis(0));
                        // What the socket did not take whole, upstream cannot have taken.
                        if flight.sent {
                            lane.lost = Some((now.mono, lane.sent));
                            if lane.phase == Phase::Ready {
                                lane.phase = Phase::Doubt;
                            }
                        }
                    }
                }
                return;
            }
            Ask::Offsets { lanes, .. } | Ask::Producers(lanes) => lanes,
            Ask::ProducerId(lane) | Ask::ReadBack(lane, _) => LaneRefs::from_iter([lane]),
            Ask::Versions | Ask::Metadata | Ask::CreateTopic(_) => return,
        };
        self.forget_questions(&lanes);
    }

    /// Upstream's answer to a request with records.
    pub(super) fn produced(
        &mut self,
        broker: &mut Broker,
        lanes: LaneRefs,
        r: &mut Reader<'_>,
        now: Now,
    ) -> Result<(), crate::wire::ReadError> {
        let mut left = lanes;
        let read = read_answers(r, |topic, answer| {
            let is_it = |lane: &LaneRef| {
                let row = self.lane_at(lane.key).map(|at| &self.lanes[at].row);
                row.is_some_and(|row| {
                    row.upstream_topic == topic && row.upstream_partition == answer.partition
                })
            };
            if let Some(at) = left.iter().position(is_it) {
                let reference = left.swap_remove(at);
                self.judged(broker, reference, &answer, now);
            }
        });
        // What was not answered, or not legibly, may be there.
        for reference in left {
            if let Some(lane) = self.lane(reference)
                && lane.flight.take().is_some()
                && lane.phase == Phase::Ready
            {
                lane.phase = Phase::Doubt;
                lane.pending = Some(Millis(0));
            }
        }
        read
    }

    fn judged(&mut self, broker: &mut Broker, reference: LaneRef, answer: &Answer<'_>, now: Now) {
        let Some(at) = self.lane_at(reference.key) else { return };
        if self.lanes[at].serial != reference.serial {
            return;
        }
        let Some(flight) = self.lanes[at].flight.take() else { return };
        if self.lanes[at].phase != Phase::Ready {
            return;
        }
        let mut verdict = verdict::of(answer.error);
        if verdict == Verdict::Corrupt {
            let before = core::mem::replace(&mut self.lanes[at].corrupt, flight.first);
            verdict = if before == flight.first {
                Verdict::Rejected
            } else {
                Verdict::Retry { metadata: false }
            };
        }
        match verdict {
            Verdict::Done => {
                let lane = &mut self.lanes[at];
                let upstream = (answer.base_offset >= 0)
                    .then(|| answer.base_offset + (flight.next - flight.first));
                lane.acknowledged(flight.next, upstream, now.mono);
                self.works(at);
                broker.note_forward(&self.lanes[at].row);
                let records = (flight.next - flight.first) as u64;
                let name = (reference.key.topic, reference.key.partition);
                broker.forwarding_mut().acknowledged(name, records, flight.bytes, now);
                return;
            }
            Verdict::Rejected if !flight.stored => {
                // A batch that we made: the stored ones one by one, to find the guilty one.
                self.lanes[at].alone_until = flight.next;
            }
            Verdict::Rejected => self.rejected(broker, at, flight, answer, now),
            Verdict::Retry { metadata } => {
                self.refused(at, answer, now);
                if metadata {
                    let lane = &self.lanes[at];
                    self.cluster.doubt(&lane.row.upstream_topic, lane.not_before);
                }
            }
            Verdict::Doubt { metadata, epoch } => {
                self.refused(at, answer, now);
                let lane = &mut self.lanes[at];
                if metadata {
                    self.cluster.doubt(&lane.row.upstream_topic, lane.not_before);
                }
                lane.phase = Phase::Doubt;
                lane.new_epoch |= epoch;
            }
            Verdict::Corrupt => {}
        }
        self.lanes[at].pending = Some(Millis(0));
    }

    fn refused(&mut self, at: usize, answer: &Answer<'_>, now: Now) {
        let name = answer.error.name();
        let words = match answer.message {
            Some(message) => ErrorWords::of(format_args!("upstream says {name}: {message}")),
            None => ErrorWords::of(format_args!("upstream says {name}")),
        };
        self.fail_lane(at, &words, now);
        self.lanes[at].error = answer.error as i16;
    }

    /// A stored batch up to local offset `next`, compressed with Zstandard, for an upstream broker
    /// that does not know it: refused as a newer one would.
    pub(super) fn rejected_here(&mut self, broker: &mut Broker, at: usize, next: i64, now: Now) {
        let first = self.lanes[at].next;
        let flight = Flight { first, next, batches: 1, stored: true, ..Flight::default() };
        let answer = Answer {
            partition: self.lanes[at].row.upstream_partition,
            error: ErrorCode::UnsupportedCompressionType,
            base_offset: -1,
            message: Some("the broker is older than Kafka 2.1 and does not know zstd"),
        };
        self.rejected(broker, at, flight, &answer, now);
    }

    /// A stored batch that upstream will never take.
    fn rejected(
        &mut self,
        broker: &mut Broker,
        at: usize,
        flight: Flight,
        answer: &Answer<'_>,
        now: Now,
    ) {
        let lane = &self.lanes[at];
        let (topic, partition) = (self.names.str(lane.name), lane.key.partition);
        let range = flight.first..flight.next;
        let message = answer.message.unwrap_or_default();
        let said = ErrorWords::of(format_args!("{} {message}", answer.error.name()));
        let said = said.trim_end();
        if lane.next != lane.row.cursor {
            // First it must be certain that upstream has replicated what comes before it.
            self.read_back(at);
            return;
        }
        if self.config.on_rejected == OnRejected::Stop {
            log::error!(
                "forwarding {topic}-{partition}: stopped, upstream refuses the records {range:?} \
                 for good: {said}. `ottla forward --seek {topic}:{partition} --to {}` passes over \
                 them, `ottla forward --pause` and `--resume` tries again",
                flight.next,
            );
            let lane = &mut self.lanes[at];
            lane.row.stopped = true;
            lane.phase = Phase::Stopped;
            if broker.save_forward(&lane.row, now).is_err() {
                broker.note_forward(&lane.row);
            }
            return;
        }
        log::warn!(
            "forwarding {topic}-{partition}: the records {range:?} are set aside in \
             {topic}.rejected, upstream refuses them for good: {said}",
        );
        self.lanes[at].phase = Phase::Aside { first: flight.first, next: flight.next };
        self.put_aside(broker, at, now);
    }

    /// Puts a refused batch into the local topic for such, and its row behind it in the journal.
    /// Where that does not work the lane waits with it: it is not sent again to be refused again.
    pub(super) fn put_aside(&mut self, broker: &mut Broker, at: usize, now: Now) {
        let Phase::Aside { first, next } = self.lanes[at].phase else { return };
        let key = self.lanes[at].key;
        let log = broker.storage().partition(self.lanes[at].index);
        if log.is_some_and(|log| log.log_start >= next) {
            // It was deleted while upstream looked at it: there is nothing to keep.
            self.lanes[at].phase = Phase::Ready;
            self.new_epoch(broker, at, next, now);
            return;
        }
        // A crash between the two frames leaves the batch there and the row as it was.
        let again = !self.lanes[at].moved;
        let aside = match self.stored_batch(broker, at, first) {
            Some(batch) if again && broker.is_set_aside(key.topic, key.partition, &batch) => Ok(0),
            Some(batch) => broker.set_aside(key.topic, key.partition, &batch, now),
            None => Err(Refusal::CorruptBatch),
        };
        let words = match aside {
            Ok(_) => {
                self.lanes[at].moved = true;
                self.lanes[at].row.rejected += (next - first) as u64;
                self.lanes[at].phase = Phase::Ready;
                self.new_epoch(broker, at, next, now);
                return;
            }
            Err(Refusal::Busy | Refusal::TopicGoing) => {
                let soon = now.mono.saturating_add(FORWARD_SAVE_RETRY_MS);
                self.lanes[at].not_before = soon;
                return;
            }
            Err(Refusal::InvalidTopicName(_)) => "the name with .rejected behind it is too long",
            Err(Refusal::NoRoom(..)) => "there is no room for one more topic here",
            Err(Refusal::CorruptBatch) => "it cannot be read here any more",
            Err(_) => "the local log takes nothing",
        };
        let words = format_args!("a batch that upstream refuses cannot be set aside: {words}");
        self.fail_lane(at, &ErrorWords::of(words), now);
    }

    /// The stored batch at `offset`, byte for byte.
    fn stored_batch(&self, broker: &mut Broker, at: usize, offset: i64) -> Option<Vec<u8>> {
        // The log may begin within it by now.
        let log = broker.storage().partition(self.lanes[at].index);
        let from = log.map_or(offset, |log| log.log_start.max(offset));
        let slice = broker.read(self.lanes[at].index, from, 1, true).ok()??;
        if slice.first.base_offset > offset {
            return None;
        }
        let mut batch = vec![0; slice.first.total_bytes];
        slice.file.read_exact_at(&mut batch, u64::from(slice.position)).ok()?;
        Some(batch)
    }
}

/// What upstream says about one batch.
struct Answer<'a> {
    partition: i32,
    error: ErrorCode,
    base_offset: i64,
    message: Option<&'a str>,
}

/// Reads the body of a Produce response of version 3–8 without holding any of it.
fn read_answers<'a>(
    r: &mut Reader<'a>,
    mut visit: impl FnMut(&str, Answer<'a>),
) -> Result<(), crate::wire::ReadError> {
    for _ in 0..r.array("topics")? {
        let topic = r.string("topic")?;
        for _ in 0..r.array("partitions")? {
            let partition = r.i32("index")?;
            let error = r.i16("error_code")?;
            let base_offset = r.i64("base_offset")?;
            r.i64("log_append_time_ms")?;
            r.since(5, -1, |r| r.i64("log_start_offset"))?;
            let mut message = None;
            if r.version() >= 8 {
                for _ in 0..r.array("record_errors")? {
                    r.i32("batch_index")?;
                    message = message.or(r.nullable_string("batch_index_error_message")?);
                }
                message = r.nullable_string("error_message")?.or(message);
            }
            let error = ErrorCode::from_i16(error).unwrap_or(ErrorCode::UnknownServerError);
            visit(topic, Answer { partition, error, base_offset, message });
        }
    }
    Ok(())
}
