//! Records into requests, and upstream's answers about them into cursors.

use super::Forwarder;
use super::asking::{begin_frame, end_frame};
use super::batch::{Identity, readdress, sequence_at};
use super::lane::{Flight, Lane, Phase};
use super::link::{Ask, Body, LaneRef, LaneRefs};
use super::merge::{PackError, whole_bytes_max};
use crate::broker::{Broker, FetchError};
use crate::client::Api;
use crate::disk::DiskResult;
use crate::limits::{FORWARD_CHUNK_BYTES, FORWARD_CLASS_WAIT_MS, FORWARD_LANES_PER_REQUEST};
use crate::storage::partition::Slice;
use crate::time::{Millis, Now};
use crate::wire::Writer;
use crate::wire::batch::{Codec, HEADER_BYTES};

/// The last version without flexible fields; 8 brought the errors of single records (KIP-467).
const PRODUCE_VERSION_MAX: i16 = 8;

/// The first version whose brokers know Zstandard (KIP-110, Kafka 2.1).
const ZSTD_SINCE: i16 = 7;

/// Where the counts of a request under construction stand.
#[derive(Default)]
struct Open {
    topics_at: usize,
    topics: i32,
    partitions_at: usize,
    partitions: i32,
}

impl Forwarder {
    /// Records for the broker behind a free link, if a lane that it leads has some to send.
    pub(super) fn begin_produce(&mut self, broker: &mut Broker, at: usize, now: Now) {
        let Some(version) = self.links[at].version(Api::PRODUCE, PRODUCE_VERSION_MAX) else {
            return;
        };
        let candidates = self.candidates(broker, at, now);
        if candidates.is_empty() {
            return;
        }
        let link = &mut self.links[at];
        let correlation = link.correlation();
        link.clear_out();
        // Room for this much, and for the first batch behind it, is in every buffer.
        begin_frame(&mut link.out, Api::PRODUCE.key, version, correlation, &self.config.client_id);
        let mut w = Writer::new(&mut link.out, version, false);
        w.nullable_string(None);
        w.i16(-1);
        w.i32(i32::try_from(self.config.request_timeout_ms).unwrap_or(i32::MAX));
        let mut open = Open { topics_at: w.position(), ..Open::default() };
        w.i32(0);
        let knows_zstd = version >= ZSTD_SINCE;
        self.merger.set_knows_zstd(knows_zstd);
        self.merger.set_room(link.out.capacity());
        let budget = link.out.len() + self.bucket.request_bytes(self.config.batch_size as usize);
        let mut taken = LaneRefs::new();
        for lane in candidates {
            let room = budget.saturating_sub(self.links[at].out.len());
            if !taken.is_empty() && room < HEADER_BYTES * 2 || self.links[at].body.is_some() {
                break;
            }
            if self.add_lane(
                broker,
                at,
                lane,
                &taken,
                &mut open,
                (room, correlation, knows_zstd),
                now,
            ) {
                let row = &self.lanes[lane];
                taken.push(LaneRef { key: row.key, serial: row.serial }).ok();
                let class = self.lanes[lane].class;
                if let Some(rotor) = self.rotors.iter_mut().find(|(of, _)| *of == class) {
                    rotor.1 = lane + 1;
                }
            }
        }
        let link = &mut self.links[at];
        if taken.is_empty() {
            link.clear_out();
            link.out_at = 0;
            return;
        }
        let mut w = Writer::new(&mut link.out, version, false);
        w.patch_i32(open.topics_at, open.topics);
        w.patch_i32(open.partitions_at, open.partitions);
        end_frame(&mut link.out);
        if let Some(body) = &link.body {
            let length = (link.out.len() - 4 + body.left) as i32;
            Writer::new(&mut link.out, version, false).patch_i32(0, length);
        }
        link.begun(correlation, version, Ask::Produce(taken), now.mono);
    }

    /// The lanes to be asked for records, the most urgent class first, in turns within a class.
    fn candidates(
        &mut self,
        broker: &mut Broker,
        at: usize,
        now: Now,
    ) -> heapless::Vec<usize, FORWARD_LANES_PER_REQUEST> {
        let mut chosen = heapless::Vec::new();
        let count = self.lanes.len();
        let node = self.links[at].node;
        let (mut class, mut any_class, mut held_until) = (None, None, None);
        for lane in 0..count {
            let known = Some(self.lanes[lane].class);
            if self.is_due(broker, lane, now) {
                any_class = any_class.max(known);
                if self.is_led_by(lane, node) {
                    class = class.max(known);
                }
            } else if self.bucket.is_capped()
                && known > any_class
                && let Some(until) = self.goes_on(broker, lane, now)
            {
                (any_class, held_until) = (known, Some(until));
            }
        }
        // With a cap the classes share one bucket: what is more urgent goes first, elsewhere as
        // well, and also where it only waits for an answer before it goes on.
        if self.bucket.is_capped() && class != any_class {
            if let Some(until) = held_until.filter(|_| class.is_some()) {
                self.timeout = Some(self.timeout.map_or(until, |timeout| timeout.min(until)));
            }
            return chosen;
        }
        // Before its class has its turn: others may have something small at every turn.
        let first = (0..count).find(|lane| {
            self.lanes[*lane].first
                && (!self.bucket.is_capped() || Some(self.lanes[*lane].class) == class)
                && self.is_due_now(broker, *lane, now)
                && self.is_led_by(*lane, node)
        });
        chosen.extend(first);
        while let Some(of) = class {
            class = None;
            let rotor = self.rotors.iter().find(|(class, _)| *class == of);
            let rotor = rotor.map_or(0, |(_, next)| *next);
            for turn in 0..count {
                let lane = (rotor + turn) % count;
                let chosen_before = Some(lane) == first;
                if chosen_before
                    || !self.is_due_now(broker, lane, now)
                    || !self.is_led_by(lane, node)
                {
                    continue;
                }
                let known = self.lanes[lane].class;
                if known == of && chosen.push(lane).is_err() {
                    return chosen;
                }
                if known < of {
                    class = class.max(Some(known));
                }
            }
            if self.bucket.is_capped() {
                break;
            }
        }
        chosen
    }

    /// Whether a lane has more to send once an answer is there that can't be long in coming: until
    /// when that may be said of it.
    fn goes_on(&self, broker: &Broker, lane: usize, now: Now) -> Option<Millis> {
        let lane = &self.lanes[lane];
        let flight = lane.flight.filter(|flight| flight.next < lane.high_watermark(broker))?;
        let link = self.links.iter().find(|link| link.id == flight.link)?;
        let asked = link.flights.iter().find(|asked| asked.correlation == flight.correlation)?;
        if !asked.sent {
            return Some(Millis::MAX);
        }
        let rest_ms = self.config.request_timeout_ms.saturating_sub(FORWARD_CLASS_WAIT_MS);
        let until = Millis(asked.deadline.0.saturating_sub(rest_ms));
        (now.mono < until).then_some(until)
    }

    fn is_due_now(&self, broker: &Broker, lane: usize, now: Now) -> bool {
        let lane = &self.lanes[lane];
        lane.phase == Phase::Ready
            && lane.flight.is_none()
            && lane.not_before <= now.mono
            && lane.next < lane.high_watermark(broker)
            && lane
                .pending
                .is_some_and(|since| lane.full || now.mono.since(since) >= self.config.linger_ms)
    }

    /// Whether a lane has records that have waited long enough, or enough of them.
    fn is_due(&mut self, broker: &mut Broker, at: usize, now: Now) -> bool {
        let lane = &mut self.lanes[at];
        if lane.check_full && lane.phase == Phase::Ready && lane.flight.is_none() {
            lane.check_full = false;
            let read = broker.read(lane.index, lane.next, self.config.batch_size, true);
            let end = lane.high_watermark(broker);
            lane.full = read.is_ok_and(|slice| slice.is_some_and(|s| s.next_offset < end));
        }
        self.is_due_now(broker, at, now)
    }

    /// Adds a lane's next batch to the request; `false` when there is none for it.
    #[expect(clippy::too_many_arguments, reason = "the request under construction, piece by piece")]
    fn add_lane(
        &mut self,
        broker: &mut Broker,
        at: usize,
        lane_at: usize,
        taken: &LaneRefs,
        open: &mut Open,
        (room, correlation, knows_zstd): (usize, i32, bool),
        now: Now,
    ) -> bool {
        let Some(fresh) = self.place(lane_at, taken) else { return false };
        let limit = room.min(self.config.batch_size as usize);
        let from = self.readable_from(broker, lane_at);
        let lane = &mut self.lanes[lane_at];
        let read = broker.read(lane.index, from, limit as u32, taken.is_empty());
        let slice = match read {
            Ok(Some(slice)) if slice.bytes > 0 => slice,
            // It does not fit behind those of others.
            Ok(Some(_)) => {
                lane.first = true;
                return false;
            }
            Ok(None) => {
                // What is left of the log has rotted.
                let end = lane.high_watermark(broker);
                if from < end {
                    self.gap(broker, lane_at, end, now);
                }
                return false;
            }
            Err(error) => {
                self.cannot_read(broker, lane_at, &error, now);
                return false;
            }
        };
        if slice.first.base_offset > lane.next {
            self.gap(broker, lane_at, slice.first.base_offset, now);
            return false;
        }
        if slice.first.codec() == Some(Codec::Zstd) && !knows_zstd {
            // Such a broker answers the whole request with UNKNOWN_SERVER_ERROR.
            self.rejected_here(broker, lane_at, slice.first.next_offset(), now);
            return false;
        }
        let large = slice.first.total_bytes > self.config.batch_size as usize;
        if large && !taken.is_empty() {
            self.lanes[lane_at].first = true;
            return false;
        }
        let out = &mut self.links[at].out;
        let mark = out.len();
        let mut w = Writer::new(out, 0, false);
        let row = &self.lanes[lane_at].row;
        if fresh {
            w.string(&row.upstream_topic);
        }
        let partitions_at = w.position();
        if fresh {
            w.i32(0);
        }
        w.i32(row.upstream_partition);
        let batch_at = w.position();
        w.i32(0);
        // The broker's own timestamps are in the header only: such records must be written anew.
        let rewritten = slice.first.is_log_append_time()
            && slice.first.total_bytes <= whole_bytes_max(self.config.batch_size);
        let flight = if large && !rewritten {
            self.stream(broker, at, lane_at, &slice, now)
        } else {
            self.pack(broker, at, lane_at, &slice, !taken.is_empty(), now)
        };
        let link = &mut self.links[at];
        let Some(flight) = flight else {
            link.out.truncate(mark);
            return false;
        };
        let bytes = link.out.len() - batch_at - 4 + link.body.as_ref().map_or(0, |b| b.left);
        let mut w = Writer::new(&mut link.out, 0, false);
        w.patch_i32(batch_at, bytes as i32);
        if fresh {
            if open.topics > 0 {
                w.patch_i32(open.partitions_at, open.partitions);
            }
            *open = Open { topics: open.topics + 1, partitions_at, partitions: 0, ..*open };
        }
        open.partitions += 1;
        let lane = &mut self.lanes[lane_at];
        let end = lane.high_watermark(broker);
        lane.flight = Some(Flight { link: link.id, correlation, bytes: bytes as u64, ..flight });
        lane.sent = lane.sent.max(flight.next);
        (lane.full, lane.first) = (false, false);
        // What is left behind was there before, or belongs to a backlog: it does not linger.
        lane.pending = (flight.next < end).then_some(Millis(0));
        true
    }

    /// Whether a lane begins a new topic in the request; `None` where it cannot be in it: a
    /// request names a topic once, and has one batch for a partition.
    fn place(&self, lane: usize, taken: &LaneRefs) -> Option<bool> {
        let row = &self.lanes[lane].row;
        let mut fresh = true;
        for other in taken {
            let other = &self.lanes[self.lane_at(other.key)?].row;
            let same = other.upstream_topic == row.upstream_topic;
            if same && other.upstream_partition == row.upstream_partition || !fresh && !same {
                return None;
            }
            fresh = fresh && !same;
        }
        Some(fresh)
    }

    /// Small batches, made one; none where the first must be changed, and the batches of others
    /// that are `behind` left no room for that.
    fn pack(
        &mut self,
        broker: &mut Broker,
        at: usize,
        lane_at: usize,
        slice: &Slice,
        behind: bool,
        now: Now,
    ) -> Option<Flight> {
        // Never: what is longer is streamed, see `add_lane`.
        let piece = self.piece.get_mut(..slice.bytes as usize)?;
        if slice.file.read_exact_at(piece, u64::from(slice.position)).is_err() {
            self.fail_lane(lane_at, "a local segment could not be read", now);
            return None;
        }
        let lane = &mut self.lanes[lane_at];
        let stored = lane.next < lane.alone_until;
        let id = identity(lane);
        let out = &mut self.links[at].out;
        let base = lane.row.sequence_base;
        let piece = &self.piece[..slice.bytes as usize];
        let packed = self.merger.pack(piece, lane.next, id, base, stored, out);
        let packed = match packed {
            Ok(packed) => packed,
            Err(PackError::Gap { next }) => {
                self.gap(broker, lane_at, next, now);
                return None;
            }
            Err(PackError::Cut { .. } | PackError::Batch(_)) => {
                self.fail_lane(lane_at, "the local log has a batch that is none", now);
                return None;
            }
        };
        if packed.unchanged && behind {
            lane.first = true;
            return None;
        }
        if packed.first < lane.next {
            self.overlap(broker, lane_at, packed.first, now);
            return None;
        }
        let (first, next, batches) = (packed.first, packed.next, packed.batches);
        Some(Flight { first, next, batches, stored, ..Flight::default() })
    }

    /// A large batch: its header is made here, the rest goes from the file as the socket takes it.
    fn stream(
        &mut self,
        broker: &mut Broker,
        at: usize,
        lane_at: usize,
        slice: &Slice,
        now: Now,
    ) -> Option<Flight> {
        let lane = &mut self.lanes[lane_at];
        if slice.first.base_offset < lane.next {
            self.overlap(broker, lane_at, slice.first.base_offset, now);
            return None;
        }
        let mut header = [0; HEADER_BYTES];
        let position = u64::from(slice.position);
        if slice.file.read_exact_at(&mut header, position).is_err() {
            self.fail_lane(lane_at, "a local segment could not be read", now);
            return None;
        }
        let sequence = sequence_at(slice.first.base_offset, lane.row.sequence_base);
        let link = &mut self.links[at];
        link.out.extend_from_slice(&readdress(&header, identity(lane), sequence));
        link.body = Some(Body {
            file: slice.file.clone(),
            position: position + HEADER_BYTES as u64,
            left: slice.first.total_bytes - HEADER_BYTES,
        });
        let (first, next) = (slice.first.base_offset, slice.first.next_offset());
        Some(Flight { first, next, batches: 1, stored: true, ..Flight::default() })
    }

    /// Moves the next piece of a streamed batch into an empty buffer.
    pub(super) fn refill(&mut self, at: usize) -> DiskResult<()> {
        let link = &mut self.links[at];
        let Some(body) = link.body.as_mut().filter(|_| link.out_at == link.out.len()) else {
            return Ok(());
        };
        let bytes = body.left.min(FORWARD_CHUNK_BYTES).min(link.out.capacity());
        link.out.resize(bytes, 0);
        link.out_at = 0;
        body.file.read_exact_at(&mut link.out, body.position)?;
        body.position += bytes as u64;
        body.left -= bytes;
        if body.left == 0 {
            link.body = None;
        }
        Ok(())
    }

    /// Local offsets are missing: deleted by retention or by a client, or rotten. Sequence numbers
    /// go on without a gap upstream, so that the records behind it get a new epoch.
    fn gap(&mut self, broker: &mut Broker, lane_at: usize, next: i64, now: Now) {
        let lane = &mut self.lanes[lane_at];
        if lane.next != lane.row.cursor {
            // First it must be certain that upstream has replicated what comes before the gap.
            self.read_back(lane_at);
            return;
        }
        log::warn!(
            "forwarding {}-{}: the local records {}..{next} were gone before they went up",
            self.names.str(lane.name),
            lane.key.partition,
            lane.row.cursor,
        );
        self.new_epoch(broker, lane_at, next, now);
    }

    /// A batch that cannot be cut begins before the next offset: its first records go once more.
    fn overlap(&mut self, broker: &mut Broker, lane_at: usize, first: i64, now: Now) {
        let lane = &mut self.lanes[lane_at];
        if lane.next != lane.row.cursor {
            self.read_back(lane_at);
            return;
        }
        // Those that were deleted here did not go before.
        let start = lane.log_start(broker);
        lane.row.repeated += (lane.next - first.max(start)).max(0) as u64;
        lane.whole = first;
        self.new_epoch(broker, lane_at, first, now);
    }

    /// Where the local log is read for what comes next: there, but for a batch that goes whole
    /// and that the log begins within.
    fn readable_from(&self, broker: &Broker, lane_at: usize) -> i64 {
        let lane = &self.lanes[lane_at];
        let start = lane.log_start(broker);
        if lane.next == lane.whole { lane.next.max(start) } else { lane.next }
    }

    /// From local offset `first` on, sequences begin at 0 again, once that is durable.
    pub(super) fn new_epoch(&mut self, broker: &mut Broker, lane_at: usize, first: i64, now: Now) {
        let lane = &mut self.lanes[lane_at];
        if !lane.raise_epoch(first) {
            lane.start_anew();
        }
        self.save(broker, lane_at, now);
    }

    /// Makes a lane's row durable before anything else of it is sent.
    pub(super) fn save(&mut self, broker: &mut Broker, lane_at: usize, now: Now) {
        let lane = &mut self.lanes[lane_at];
        match broker.save_forward(&lane.row, now) {
            Ok(lsn) => {
                lane.dirty = None;
                let awaits = &mut broker.forwarding_mut().awaits;
                *awaits = Some(awaits.map_or(lsn, |known| known.min(lsn)));
                lane.phase = match lane.phase {
                    Phase::Target | Phase::Stopped => lane.phase,
                    _ => Phase::Saving(lsn),
                };
            }
            Err(_) => {
                // The journal is full before the sync that is under way has ended, or the disk
                // is: the lane does not go on before its row is there.
                lane.phase =
                    if lane.phase == Phase::Stopped { Phase::Stopped } else { Phase::Save };
                lane.not_before = now.mono.saturating_add(crate::limits::FORWARD_SAVE_RETRY_MS);
            }
        }
    }

    pub(super) fn fail_lane(&mut self, lane_at: usize, words: &str, now: Now) {
        let attempts = self.lanes[lane_at].attempts.saturating_add(1);
        let not_before = self.pause(attempts, now);
        self.fail(lane_at, words, not_before);
    }

    fn cannot_read(&mut self, broker: &mut Broker, lane_at: usize, error: &FetchError, now: Now) {
        if let FetchError::OffsetOutOfRange = error {
            let lane = &self.lanes[lane_at];
            let start = lane.log_start(broker);
            if start > lane.next {
                self.gap(broker, lane_at, start, now);
                return;
            }
        }
        self.fail_lane(lane_at, "the local log cannot be read here", now);
    }
}

fn identity(lane: &Lane) -> Identity {
    let row = &lane.row;
    Identity { producer_id: row.producer_id, producer_epoch: row.producer_epoch }
}
