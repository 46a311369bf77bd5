//! What an answer means: for the table of upstream's brokers, and for the lane that asked.

use super::Forwarder;
use super::lane::{Phase, ReadBack, offset_behind};
use super::link::{Ask, Came, InFlight, LaneRef, LaneRefs, LinkId, State};
use super::read_back::Scanner;
use crate::broker::Broker;
use crate::client::messages::api_versions::{ApiVersionsRequest, ApiVersionsResponse};
use crate::client::messages::metadata::MetadataRequest;
use crate::client::messages::offsets::ListOffsetsRequest;
use crate::client::messages::produce::InitProducerIdRequest;
use crate::client::messages::producers::{ActiveProducer, DescribeProducersRequest};
use crate::client::messages::topics::CreateTopicsRequest;
use crate::client::{Api, FrameError, Versions, frame};
use crate::state::forward::shortened;
use crate::time::{Millis, Now};
use crate::wire::{ErrorCode, Reader};

impl Forwarder {
    /// Bytes from a link, in whatever pieces the network made of them.
    pub(super) fn received(&mut self, broker: &mut Broker, id: LinkId, mut bytes: &[u8], now: Now) {
        while !bytes.is_empty() {
            let Some(at) = self.link_at(id) else { return };
            let (used, came) = self.links[at].receive(bytes);
            bytes = &bytes[used..];
            let result = match came {
                Came::Nothing if used == 0 => return,
                Came::Nothing => Ok(()),
                Came::Broken(words) => Err(words),
                Came::Answer(flight, frame) => {
                    self.links[at].used = now.mono;
                    let result = self.answered(broker, at, flight, &frame, now);
                    if let Some(at) = self.link_at(id) {
                        self.links[at].give_back(frame);
                    }
                    result
                }
                Came::Scanned(flight) => {
                    self.links[at].used = now.mono;
                    if let Ask::ReadBack(lane, scanner) = flight.ask {
                        self.scanned(broker, lane, &scanner, now);
                    }
                    Ok(())
                }
            };
            if let Err(words) = result {
                self.lose_link(id, &words, true, now);
                return;
            }
        }
    }

    fn answered(
        &mut self,
        broker: &mut Broker,
        at: usize,
        flight: InFlight,
        frame: &[u8],
        now: Now,
    ) -> Result<(), String> {
        let InFlight { correlation, version, ask, .. } = flight;
        let illegible = |error: FrameError| format!("sent an answer that cannot be read: {error}");
        match ask {
            Ask::Versions => {
                let answer = frame::decode::<ApiVersionsRequest<'_>>(frame, version, correlation);
                self.greeted(at, version, &answer.map_err(illegible)?, now)?;
            }
            Ask::Metadata => {
                let answer = frame::decode::<MetadataRequest<'_>>(frame, version, correlation);
                let answer = answer.map_err(illegible)?;
                if answer.cluster_id.as_ref() == Some(&self.cluster_id) {
                    // Records would go round for ever. Only the longest pause is long enough.
                    self.bootstrap.attempts = u32::MAX;
                    return Err(
                        "this is the very broker that forwards; name the upstream cluster \
                                in forward.bootstrap.servers"
                            .to_owned(),
                    );
                }
                let (first, longest) =
                    (self.config.retry_backoff_ms, self.config.retry_backoff_max_ms);
                let jitter = &mut self.jitter;
                self.cluster.learn(answer, now.mono, |n| jitter.pause_ms(n, first, longest));
                self.adopt(at);
                self.check_cluster(broker, now);
                self.topic_trouble(now);
            }
            Ask::CreateTopic(name) => {
                let answer = frame::decode::<CreateTopicsRequest<'_>>(frame, version, correlation);
                for topic in answer.map_err(illegible)? {
                    self.created(&name, topic.error_code, topic.error_message.as_deref(), now);
                }
            }
            Ask::ProducerId(lane) => {
                let answer = frame::decode::<InitProducerIdRequest>(frame, version, correlation);
                let answer = answer.inspect_err(|_| self.forget_question(lane));
                let answer = answer.map_err(illegible)?;
                let id = (answer.producer_id, answer.producer_epoch);
                self.got_producer_id(lane, answer.error_code, id, now);
            }
            Ask::Offsets { lanes, start } => {
                let answer = frame::decode::<ListOffsetsRequest<'_>>(frame, version, correlation);
                let answer = answer.inspect_err(|_| self.forget_questions(&lanes));
                for topic in answer.map_err(illegible)? {
                    for found in topic.partitions {
                        let lane = self.take(&lanes, &topic.name, found.partition_index);
                        let Some(lane) = lane else { continue };
                        self.got_offset(broker, lane, found.error_code, found.offset, start, now);
                    }
                }
                self.forget_questions(&lanes);
            }
            Ask::Producers(lanes) => {
                let answer =
                    frame::decode::<DescribeProducersRequest<'_>>(frame, version, correlation);
                let answer = answer.inspect_err(|_| self.forget_questions(&lanes));
                for topic in answer.map_err(illegible)? {
                    for found in topic.partitions {
                        let lane = self.take(&lanes, &topic.name, found.partition_index);
                        let Some(lane) = lane else { continue };
                        let id = self.lanes[lane].row.producer_id;
                        let mut ours = found.active_producers.iter();
                        let ours = ours.find(|producer| producer.producer_id == id).copied();
                        self.described(broker, lane, found.error_code, ours, now);
                    }
                }
                self.forget_questions(&lanes);
            }
            Ask::Produce(lanes) => {
                let mut r = Reader::new(frame, version, false);
                // The number was looked at when the frame was complete.
                r.i32("correlation_id").ok();
                let read = self.produced(broker, lanes, &mut r, now);
                read.map_err(|error| illegible(FrameError::Read(error)))?;
            }
            Ask::ReadBack(lane, _) => self.forget_question(lane),
        }
        Ok(())
    }

    fn greeted(
        &mut self,
        at: usize,
        version: i16,
        answer: &ApiVersionsResponse,
        now: Now,
    ) -> Result<(), String> {
        if answer.error_code == ErrorCode::UnsupportedVersion && version > 0 {
            self.greet_again(at, now);
            return Ok(());
        }
        if answer.error_code != ErrorCode::None {
            return Err(format!("does not say what it serves: {}", answer.error_code.name()));
        }
        let link = &mut self.links[at];
        link.versions = Versions::new(answer);
        link.state = State::Ready;
        for api in [Api::PRODUCE, Api::METADATA, Api::INIT_PRODUCER_ID, Api::LIST_OFFSETS] {
            if link.versions.pick(api).is_none() {
                let name = api.name;
                return Err(format!("serves no {name} that we know; Kafka 1.0 is the oldest"));
            }
        }
        match link.node {
            Some(id) => {
                if let Some(node) = self.cluster.node_mut(id) {
                    (node.attempts, node.not_before) = (0, Millis(0));
                }
            }
            None => self.bootstrap.attempts = 0,
        }
        self.shown.up();
        Ok(())
    }

    /// A link to an address of the configuration turns out to lead to a broker that lanes need.
    fn adopt(&mut self, at: usize) {
        let link = &self.links[at];
        if link.node.is_some() {
            return;
        }
        let mut nodes = self.cluster.nodes.iter();
        let found = nodes.find(|node| node.host == link.host && node.port == link.port);
        let Some(id) = found.map(|node| node.id) else { return };
        if self.links.iter().all(|link| link.node != Some(id)) {
            self.links[at].node = Some(id);
        }
    }

    fn created(&mut self, name: &str, code: ErrorCode, message: Option<&str>, now: Now) {
        match code {
            ErrorCode::None | ErrorCode::TopicAlreadyExists => {
                log::info!("forwarding: the upstream topic {name} was created");
                self.cluster.created(name, now.mono);
            }
            code => {
                let mut words =
                    format!("the upstream topic {name} cannot be created: {}", code.name());
                if let Some(message) = message {
                    words.push_str(": ");
                    words.push_str(message);
                }
                words.truncate(shortened(&words).len());
                let again = self.pause(6, now);
                self.cluster.creating(name, again);
                for at in 0..self.lanes.len() {
                    if self.lanes[at].row.upstream_topic == name {
                        self.lanes[at].fail(words.clone(), now.mono);
                    }
                }
            }
        }
    }

    /// The lane of `lanes` that goes to this upstream partition; it waits for no answer any more.
    fn take(&mut self, lanes: &LaneRefs, topic: &str, partition: i32) -> Option<usize> {
        for reference in lanes {
            let Some(at) = self.by_key.get(&reference.key).copied() else { continue };
            let lane = &mut self.lanes[at];
            if lane.serial == reference.serial
                && lane.row.upstream_topic == topic
                && lane.row.upstream_partition == partition
                && lane.flight.take().is_some()
            {
                return Some(at);
            }
        }
        None
    }

    fn forget_question(&mut self, reference: LaneRef) {
        if let Some(lane) = self.lane(reference) {
            lane.flight = None;
        }
    }

    fn forget_questions(&mut self, lanes: &LaneRefs) {
        lanes.iter().for_each(|lane| self.forget_question(*lane));
    }

    fn got_producer_id(
        &mut self,
        reference: LaneRef,
        code: ErrorCode,
        (id, epoch): (i64, i16),
        now: Now,
    ) {
        let Some(at) = self.by_key.get(&reference.key).copied() else { return };
        self.forget_question(reference);
        if self.lanes[at].serial != reference.serial || self.lanes[at].phase != Phase::ProducerId {
            return;
        }
        if code != ErrorCode::None || id < 0 {
            let words = format!("upstream gives no producer id: {}", code.name());
            self.fail_lane(at, words, now);
            return;
        }
        let lane = &mut self.lanes[at];
        lane.row.producer_id = id;
        lane.row.producer_epoch = epoch;
        lane.row.sequence_base = lane.row.cursor;
        lane.row.settled = true;
        lane.next = lane.row.cursor;
        lane.phase = lane.next_phase();
    }

    /// An error that is about who leads, or about a passing trouble; `false` for none.
    fn passing(&mut self, at: usize, code: ErrorCode, now: Now) -> bool {
        if code == ErrorCode::None {
            return false;
        }
        self.fail_lane(at, format!("upstream says {}", code.name()), now);
        self.lanes[at].error = code as i16;
        let lane = &self.lanes[at];
        self.cluster.doubt(&lane.row.upstream_topic, lane.not_before);
        true
    }

    fn got_offset(
        &mut self,
        broker: &mut Broker,
        at: usize,
        code: ErrorCode,
        offset: i64,
        start: bool,
        now: Now,
    ) {
        if self.passing(at, code, now) {
            return;
        }
        let lane = &mut self.lanes[at];
        match lane.phase {
            Phase::UpstreamOffset if !start => {
                lane.row.upstream_offset = offset.max(0);
                lane.phase = lane.next_phase();
            }
            Phase::ReadBack(back) if start => {
                if offset > back.at {
                    // Upstream has deleted what we would have read.
                    let back = ReadBack { at: offset, partial: true, ask_start: false, ..back };
                    lane.phase = Phase::ReadBack(back);
                } else {
                    log::warn!(
                        "forwarding {}-{}: the upstream log ends before offset {}, which upstream \
                         has acknowledged: it was cut or restored. Goes on from the cursor",
                        lane.topic,
                        lane.key.partition,
                        back.at,
                    );
                    self.found(broker, at, ReadBack { at: -1, ..back }, now);
                }
            }
            _ => {}
        }
    }

    /// What the leader remembers of a lane's producer id.
    fn described(
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
            if !refused && lane.sent <= lane.row.cursor && lane.next == lane.row.cursor {
                // Forgotten, but nothing was ever sent beyond what it has acknowledged.
                self.certain(broker, at, now);
            } else {
                self.read_back(at);
            }
            return;
        };
        if ours.producer_epoch > epoch {
            self.somebody_else(broker, at, now);
            return;
        }
        if ours.producer_epoch < epoch {
            // Nothing of this epoch has arrived.
            if lane.row.cursor > lane.row.sequence_base {
                log::warn!(
                    "forwarding {}-{}: upstream has lost the records that it acknowledged since \
                     offset {} at least",
                    lane.topic,
                    lane.key.partition,
                    lane.row.sequence_base,
                );
                self.sent_back(broker, at, self.lanes[at].row.sequence_base, now);
                return;
            }
            lane.next = lane.row.cursor;
            self.certain(broker, at, now);
            return;
        }
        let next = offset_behind(ours.last_sequence, lane.row.sequence_base, lane.row.cursor);
        if next > end || next <= lane.row.sequence_base {
            self.somebody_else(broker, at, now);
        } else if next < lane.row.cursor {
            log::warn!(
                "forwarding {}-{}: upstream has lost the records {next}..{} that it had \
                 acknowledged (an unclean election, or a backup)",
                lane.topic,
                lane.key.partition,
                lane.row.cursor,
            );
            self.sent_back(broker, at, next, now);
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

    /// What was acknowledged is gone upstream: it goes up again from `next` on, as far as it is
    /// still here.
    fn sent_back(&mut self, broker: &mut Broker, at: usize, next: i64, now: Now) {
        let lane = &self.lanes[at];
        let start = broker.storage().partition(lane.index).map_or(0, |log| log.log_start);
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
            lane.topic,
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
    fn scanned(&mut self, broker: &mut Broker, reference: LaneRef, scanner: &Scanner, now: Now) {
        let Some(at) = self.by_key.get(&reference.key).copied() else { return };
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
                    self.fail_lane(
                        at,
                        "upstream has not replicated its last records yet".into(),
                        now,
                    );
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
            ErrorCode::OffsetOutOfRange => {
                back.ask_start = true;
                self.lanes[at].phase = Phase::ReadBack(back);
                return;
            }
            ErrorCode::TopicAuthorizationFailed | ErrorCode::ClusterAuthorizationFailed => {
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
        if let Some(last) = scanner.last_sequence {
            let near = lane.row.cursor.max(back.found);
            back.found = back.found.max(offset_behind(last, lane.row.sequence_base, near));
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
            self.fail_lane(at, "the upstream log cannot be read on".into(), now);
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
        let tentative = lane.next;
        lane.row.cursor = lane.row.cursor.max(back.found);
        lane.row.upstream_offset = back.at;
        if back.at < 0 {
            lane.row.settled = true;
        }
        if tentative > lane.row.cursor {
            // The leader has more, which its followers have not yet: ask again.
            lane.next = lane.row.cursor;
            lane.phase = Phase::Doubt;
            broker.note_forward(&lane.row);
            self.fail_lane(at, "upstream has not replicated our last records yet".into(), now);
            return;
        }
        if back.partial && lane.sent > lane.row.cursor {
            self.unreadable(at, "upstream has deleted the records in question");
            self.repeat(broker, at, now);
            return;
        }
        lane.works();
        self.certain(broker, at, now);
        if back.at < 0 {
            self.lanes[at].phase = Phase::UpstreamOffset;
        }
    }

    /// It cannot be known what upstream has.
    pub(super) fn unreadable(&mut self, at: usize, why: &str) {
        let lane = &mut self.lanes[at];
        let doubtful = (lane.sent.max(lane.next) - lane.row.cursor).max(0);
        lane.row.repeated += doubtful as u64;
        log::warn!(
            "forwarding {}-{}: {why}, so that it cannot be known whether the {doubtful} records \
             from offset {} on have arrived; they are sent, and may be repeated",
            lane.topic,
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
