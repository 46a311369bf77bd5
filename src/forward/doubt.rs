//! How doubt ends: what upstream remembers of a lane, or else what its log shows.
//!
//! Promises: a lane leaves doubt with a cursor that upstream's own words or bytes prove, or, where
//! upstream lets neither be asked, with its records counted as "may be repeated" and said.
//! Absent: asking (`asking`), and the bytes of the log (`read_back`).

use super::Forwarder;
use super::lane::{Phase, ReadBack, offset_behind};
use super::link::LaneRef;
use super::read_back::Scanner;
use crate::broker::Broker;
use crate::client::messages::producers::ActiveProducer;
use crate::limits::FORWARD_REFUSED_READS_MAX;
use crate::time::{Millis, Now};
use crate::wire::ErrorCode;

impl Forwarder {
    /// What the leader remembers of a lane's producer id.
    pub(super) fn described(
        &mut self,
        broker: &mut Broker,
        at: usize,
        code: ErrorCode,
        ours: Option<ActiveProducer>,
        now: Now,
    ) {
        if self.lanes[at].phase != Phase::Doubt {
            return;
        }
        let refused = matches!(
            code,
            ErrorCode::TopicAuthorizationFailed
                | ErrorCode::ClusterAuthorizationFailed
                | ErrorCode::UnsupportedVersion
                | ErrorCode::InvalidRequest
        );
        if !refused && self.passing(at, code, now) {
            return;
        }
        let end = self.lanes[at].high_watermark(broker);
        let lane = &mut self.lanes[at];
        let epoch = i32::from(lane.row.producer_epoch);
        let Some(ours) = ours.filter(|ours| ours.last_sequence >= 0 && !refused) else {
            self.not_remembered(at);
            return;
        };
        if ours.producer_epoch > epoch {
            self.somebody_else(broker, at, now);
            return;
        }
        if ours.producer_epoch < epoch {
            // Nothing of this epoch has arrived.
            if lane.row.cursor > lane.row.sequence_base {
                let base = lane.row.sequence_base;
                self.lost(broker, at, base, now);
                return;
            }
            lane.next = lane.row.cursor;
            self.certain(broker, at, now);
            return;
        }
        let next = offset_behind(ours.last_sequence, lane.row.sequence_base, lane.row.cursor);
        if next > end || next <= lane.row.sequence_base {
            self.somebody_else(broker, at, now);
        } else if next < lane.row.cursor && lane.row.upstream_offset >= 0 {
            // Lost, or a request that the link held back came in behind later ones when the id was
            // forgotten: its log tells which.
            lane.next = lane.row.cursor;
            lane.new_epoch = true;
            self.search_cut_log(at);
        } else if next < lane.row.cursor {
            self.lost(broker, at, next, now);
        } else if next == lane.row.cursor {
            lane.next = next;
            // Its idea of our sequence is ours: whatever the error was, it is over.
            if lane.attempts < 3 {
                lane.new_epoch = false;
            }
            self.certain(broker, at, now);
        } else {
            // The leader has it. Its followers may not: the cursor waits.
            lane.next = next;
            if next < end && !lane.new_epoch {
                lane.phase = Phase::Ready;
                lane.pending = Some(Millis(0));
            } else {
                self.read_back(at);
            }
        }
    }

    /// Upstream does not remember a lane's producer id, or does not say. Where nothing is
    /// unanswered only one thing can be wrong: a log that ends before what it had acknowledged.
    pub(super) fn not_remembered(&mut self, at: usize) {
        let lane = &mut self.lanes[at];
        if lane.sent <= lane.row.cursor && lane.next == lane.row.cursor {
            lane.phase = Phase::UpstreamEnd;
        } else {
            self.read_back(at);
        }
    }

    /// Upstream's log may be shorter than what it acknowledged: where it begins is asked for, then
    /// it is searched.
    fn search_cut_log(&mut self, at: usize) {
        self.read_back(at);
        if let Phase::ReadBack(back) = &mut self.lanes[at].phase {
            back.ask_start = true;
        }
    }

    /// The end of upstream's log, where nothing is unanswered.
    pub(super) fn upstream_ends(&mut self, broker: &mut Broker, at: usize, end: i64, now: Now) {
        if end >= self.lanes[at].row.upstream_offset {
            self.certain(broker, at, now);
            return;
        }
        self.search_cut_log(at);
    }

    /// What was acknowledged is gone upstream: it goes up again from `next` on, as far as it is
    /// still here.
    fn sent_back(&mut self, broker: &mut Broker, at: usize, next: i64, now: Now) {
        let lane = &self.lanes[at];
        let start = lane.log_start(broker);
        let first = next.max(start).min(lane.row.cursor);
        let lane = &mut self.lanes[at];
        lane.sent = lane.sent.max(lane.row.cursor);
        // Not from where it was: that may be behind upstream's end now.
        lane.row.upstream_offset = -1;
        lane.row.settled = true;
        self.new_epoch(broker, at, first, now);
        let lane = &mut self.lanes[at];
        if let Phase::Saving(_) | Phase::Save = lane.phase {
            lane.phase = Phase::UpstreamOffset;
        }
    }

    fn somebody_else(&mut self, broker: &mut Broker, at: usize, now: Now) {
        let lane = &mut self.lanes[at];
        let doubtful = lane.sent.max(lane.next) - lane.row.cursor;
        log::error!(
            "forwarding {}-{}: somebody else sends under our producer id {} (a copy of this card \
             in another gateway?). Goes on under a new one; {doubtful} records may be repeated",
            self.names.str(lane.name),
            lane.key.partition,
            lane.row.producer_id,
        );
        lane.row.repeated += doubtful.max(0) as u64;
        lane.start_anew();
        broker.save_forward(&lane.row, now).ok();
    }

    /// It is known what upstream has: exactly what comes before the cursor.
    fn certain(&mut self, broker: &mut Broker, at: usize, now: Now) {
        let lane = &mut self.lanes[at];
        lane.next = lane.row.cursor;
        lane.sent = lane.row.cursor;
        lane.phase = Phase::Ready;
        lane.pending = Some(Millis(0));
        lane.dirty.get_or_insert(now.mono);
        broker.note_forward(&lane.row);
        if lane.new_epoch {
            let first = lane.row.cursor;
            self.new_epoch(broker, at, first, now);
        }
    }

    /// A piece of upstream's log was looked at.
    pub(super) fn scanned(
        &mut self,
        broker: &mut Broker,
        reference: LaneRef,
        scanner: &Scanner,
        now: Now,
    ) {
        let Some(at) = self.lane_at(reference.key) else { return };
        self.forget_question(reference);
        if self.lanes[at].serial != reference.serial {
            return;
        }
        let Phase::ReadBack(mut back) = self.lanes[at].phase else { return };
        let probed = core::mem::replace(&mut back.probe, -1);
        match scanner.error {
            ErrorCode::None if probed >= 0 => {
                if back.limit == i64::MAX {
                    back.probe = back.at.saturating_add((probed - back.at).saturating_mul(2));
                }
                self.lanes[at].phase = Phase::ReadBack(back);
                if back.limit < i64::MAX {
                    self.fail_lane(at, "upstream has not replicated its last records yet", now);
                }
                return;
            }
            ErrorCode::OffsetOutOfRange if probed == back.at + 1 => {
                self.found(broker, at, back, now);
                return;
            }
            ErrorCode::OffsetOutOfRange if probed >= 0 => {
                back.limit = back.limit.min(probed - 1);
                self.lanes[at].phase = Phase::ReadBack(back);
                return;
            }
            ErrorCode::None => {}
            ErrorCode::OffsetOutOfRange if back.start >= 0 => {
                self.look_further_back(broker, at, back, now);
                return;
            }
            ErrorCode::OffsetOutOfRange => {
                back.ask_start = true;
                self.lanes[at].phase = Phase::ReadBack(back);
                return;
            }
            ErrorCode::TopicAuthorizationFailed | ErrorCode::ClusterAuthorizationFailed => {
                // Permissions come and go; a repeated record stays.
                let lane = &mut self.lanes[at];
                lane.refused = lane.refused.saturating_add(1);
                if lane.refused < FORWARD_REFUSED_READS_MAX {
                    lane.phase = Phase::ReadBack(back);
                    self.passing(at, scanner.error, now);
                    return;
                }
                self.unreadable(at, "the upstream topic may not be read");
                self.repeat(broker, at, now);
                return;
            }
            code => {
                self.lanes[at].phase = Phase::ReadBack(back);
                self.passing(at, code, now);
                return;
            }
        }
        let lane = &mut self.lanes[at];
        lane.refused = 0;
        if let Some(last) = scanner.last_sequence {
            let near = lane.row.cursor.max(back.found);
            back.seen = back.seen.max(offset_behind(last, lane.row.sequence_base, near));
            back.found = back.found.max(back.seen);
        }
        let moved = scanner.next > back.at;
        back.at = scanner.next;
        lane.phase = Phase::ReadBack(back);
        if back.at >= scanner.high_watermark && back.at >= back.limit {
            self.found(broker, at, back, now);
        } else if back.at >= scanner.high_watermark {
            // The leader may hold more than its followers have, and nobody is shown that: our batch
            // may be in it, to be seen after it was sent once more. A fetch from beyond the log's
            // end is refused, though, and one from between watermark and end is just empty
            // (`LocalLog.read`): so the end is felt for. Others may write meanwhile; whatever was
            // there at one moment is enough.
            back.probe = back.at + 1;
            lane.phase = Phase::ReadBack(back);
        } else if !moved {
            self.fail_lane(at, "the upstream log cannot be read on", now);
        }
    }

    /// Upstream's log was read to its high watermark.
    fn found(&mut self, broker: &mut Broker, at: usize, back: ReadBack, now: Now) {
        let end = self.lanes[at].high_watermark(broker);
        let lane = &mut self.lanes[at];
        if back.found > end {
            self.somebody_else(broker, at, now);
            return;
        }
        if back.start >= 0 && back.seen < lane.row.cursor {
            if back.seen < 0 {
                self.look_further_back(broker, at, back, now);
            } else {
                self.lost(broker, at, back.seen, now);
            }
            return;
        }
        let tentative = lane.next;
        lane.row.cursor = lane.row.cursor.max(back.found);
        lane.row.upstream_offset = back.at;
        if tentative > lane.row.cursor {
            // The leader has more, which its followers have not yet: ask again.
            lane.next = lane.row.cursor;
            lane.phase = Phase::Doubt;
            broker.note_forward(&lane.row);
            self.fail_lane(at, "upstream has not replicated our last records yet", now);
            return;
        }
        if back.partial && lane.sent > lane.row.cursor {
            self.unreadable(at, "upstream has deleted the records in question");
            self.repeat(broker, at, now);
            return;
        }
        self.works(at);
        self.certain(broker, at, now);
    }

    /// Nothing of ours in the end of an upstream log that was cut: earlier, if there is any.
    fn look_further_back(&mut self, broker: &mut Broker, at: usize, back: ReadBack, now: Now) {
        let lane = &mut self.lanes[at];
        match back.further(lane.row.upstream_offset) {
            Some(back) => lane.phase = Phase::ReadBack(back),
            None => {
                // Nothing of this epoch is left.
                let base = lane.row.sequence_base;
                self.lost(broker, at, base, now);
            }
        }
    }

    /// Upstream does not have any more what it acknowledged from local offset `next` on.
    fn lost(&mut self, broker: &mut Broker, at: usize, next: i64, now: Now) {
        let lane = &self.lanes[at];
        log::warn!(
            "forwarding {}-{}: upstream has lost the records {next}..{} that it had acknowledged \
             (an unclean election, or a backup)",
            self.names.str(lane.name),
            lane.key.partition,
            lane.row.cursor,
        );
        self.sent_back(broker, at, next, now);
    }

    /// It cannot be known what upstream has.
    pub(super) fn unreadable(&mut self, at: usize, why: &str) {
        let lane = &mut self.lanes[at];
        let doubtful = (lane.sent.max(lane.next) - lane.row.cursor).max(0);
        lane.row.repeated += doubtful as u64;
        log::warn!(
            "forwarding {}-{}: {why}, so that it cannot be known whether the {doubtful} records \
             from offset {} on have arrived; they are sent, and may be repeated",
            self.names.str(lane.name),
            lane.key.partition,
            lane.row.cursor,
        );
        lane.next = lane.row.cursor;
        lane.phase = Phase::Ready;
    }

    /// Sends again what may have arrived, once the count of such records survives a crash.
    fn repeat(&mut self, broker: &mut Broker, at: usize, now: Now) {
        self.certain(broker, at, now);
        if self.lanes[at].phase == Phase::Ready {
            self.save(broker, at, now);
        }
    }
}
