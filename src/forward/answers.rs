//! What an answer means: for the table of upstream's brokers, and for the lane that asked.

use super::Forwarder;
use super::lane::{Phase, ReadBack};
use super::link::{AnswerWords, Ask, Came, InFlight, LaneRef, LaneRefs, LinkId, Served, State};
use crate::broker::Broker;
use crate::client::messages::api_versions::visit_api_versions;
use crate::client::messages::metadata::{Seen, visit_metadata};
use crate::client::messages::offsets::visit_listed;
use crate::client::messages::produce::InitProducerIdRequest;
use crate::client::messages::producers::visit_described;
use crate::client::messages::topics::visit_created;
use crate::client::{Api, FrameError, frame};
use crate::limits::FORWARD_METADATA_TOPICS_MAX;
use crate::state::forward::ErrorWords;
use crate::time::{Millis, Now};
use crate::wire::{ErrorCode, ReadError, Reader};

/// What cannot be, in words.
type Answered = Result<(), AnswerWords>;

fn illegible(error: FrameError) -> AnswerWords {
    AnswerWords::of(format_args!("sent an answer that cannot be read: {error}"))
}

impl Forwarder {
    /// Bytes from a link, in whatever pieces the network made of them.
    pub(super) fn received(&mut self, broker: &mut Broker, id: LinkId, mut bytes: &[u8], now: Now) {
        let deadline = now.mono.saturating_add(self.config.request_timeout_ms);
        while !bytes.is_empty() {
            let Some(at) = self.link_at(id) else { return };
            let (used, came) = self.links[at].receive(bytes, &mut self.shared, deadline);
            bytes = &bytes[used..];
            if !matches!(came, Came::Nothing) {
                self.links[at].used = now.mono;
            }
            let result = match came {
                Came::Nothing if used == 0 => Err("sent more than there is room for".into()),
                Came::Nothing => Ok(()),
                Came::Broken(words) => Err(words),
                Came::Answer(flight, length) => {
                    let frame = core::mem::take(&mut self.links[at].small);
                    let result = self.answered(broker, at, flight, &frame[..length], now);
                    self.links[at].small = frame;
                    result
                }
                Came::LongAnswer(flight, length) => {
                    let frame = core::mem::take(&mut self.shared.bytes);
                    let result = self.answered(broker, at, flight, &frame[..length], now);
                    self.shared.bytes = frame;
                    self.shared.release(id);
                    self.wake = true;
                    result
                }
                Came::Scanned(flight) => {
                    if let Ask::ReadBack(lane, scanner) = flight.ask {
                        self.scanned(broker, lane, &scanner, now);
                    }
                    Ok(())
                }
                Came::Skipped(flight) => self.answered_at_length(&flight.ask, now),
            };
            if let Err(words) = result {
                self.lose_link(id, &words, true, now);
                return;
            }
        }
    }

    /// An answer was longer than the buffer for it.
    fn answered_at_length(&mut self, ask: &Ask, now: Now) -> Answered {
        match ask {
            Ask::Producers(lanes) => {
                // Others share the partition, thousands of them: its log tells as well.
                for reference in lanes {
                    if let Some(lane) = self.lane(*reference)
                        && lane.flight.take().is_some()
                        && lane.phase == Phase::Doubt
                        && let Some(at) = self.lane_at(reference.key)
                    {
                        self.not_remembered(at);
                    }
                }
                Ok(())
            }
            _ if self.metadata_topics > 1 => {
                self.metadata_topics /= 2;
                Ok(())
            }
            _ => {
                self.metadata_topics = FORWARD_METADATA_TOPICS_MAX;
                let pause = self.pause(6, now);
                let topics = self.cluster.stale(now.mono).next().map(|topic| topic.name.clone());
                if let Some(name) = topics {
                    // The others first.
                    self.cluster.doubt(&name, pause);
                }
                Err("says more about one topic than this board has room for".into())
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
    ) -> Answered {
        let InFlight { correlation, version, ask, .. } = flight;
        let open = |api: Api| frame::open(api, frame, version, correlation).map_err(illegible);
        let unread = |error| illegible(FrameError::Read(error));
        match ask {
            Ask::Versions => {
                let mut served = Served::default();
                let mut r = open(Api::API_VERSIONS)?;
                let code = visit_api_versions(&mut r, |api| served.note(api)).map_err(unread)?;
                self.greeted(at, version, code, served)?;
            }
            Ask::Metadata => self.told(broker, at, &open(Api::METADATA)?, now)?,
            Ask::CreateTopic(name) => {
                let r = open(Api::CREATE_TOPICS)?;
                visit_created(&mut r.clone(), |_, _, _| {}).map_err(unread)?;
                visit_created(&mut r.clone(), |_, code, message| {
                    self.created(&name, code, message, now);
                })
                .map_err(unread)?;
            }
            Ask::ProducerId(lane) => {
                let answer = frame::decode::<InitProducerIdRequest>(frame, version, correlation);
                let answer = answer.inspect_err(|_| self.forget_question(lane));
                let answer = answer.map_err(illegible)?;
                let id = (answer.producer_id, answer.producer_epoch);
                self.got_producer_id(lane, answer.error_code, id, now);
            }
            Ask::Offsets { lanes, start } => {
                let read = open(Api::LIST_OFFSETS).and_then(|r| {
                    visit_listed(&mut r.clone(), |_, _| {}).map_err(unread)?;
                    visit_listed(&mut r.clone(), |topic, found| {
                        if let Some(lane) = self.take(&lanes, topic, found.partition_index) {
                            let (code, offset) = (found.error_code, found.offset);
                            self.got_offset(broker, lane, code, offset, start, now);
                        }
                    })
                    .map_err(unread)
                });
                self.forget_questions(&lanes);
                read?;
            }
            Ask::Producers(lanes) => {
                let read = open(Api::DESCRIBE_PRODUCERS).and_then(|r| {
                    visit_described(&mut r.clone(), |_, _, _| {}).map_err(unread)?;
                    self.remembered(broker, &lanes, &r, now).map_err(unread)
                });
                self.forget_questions(&lanes);
                read?;
            }
            Ask::Produce(lanes) => {
                let mut r = Reader::new(frame, version, false);
                // The number was looked at when the frame was complete.
                r.i32("correlation_id").ok();
                self.produced(broker, lanes, &mut r, now).map_err(unread)?;
            }
            Ask::ReadBack(lane, _) => self.forget_question(lane),
        }
        Ok(())
    }

    /// Who is where.
    fn told(&mut self, broker: &mut Broker, at: usize, r: &Reader<'_>, now: Now) -> Answered {
        let (mut id, mut controller) = (None, -1);
        let read = visit_metadata(&mut r.clone(), |seen| {
            if let Seen::Cluster { id: found, controller_id } = seen {
                (id, controller) = (found, controller_id);
            }
        });
        read.map_err(|error| illegible(FrameError::Read(error)))?;
        if id == Some(self.cluster_id.as_str()) {
            // Records would go round for ever. Only the longest pause is long enough.
            self.bootstrap.attempts = u32::MAX;
            return Err("this is the very broker that forwards; name the upstream cluster \
                        in forward.bootstrap.servers"
                .into());
        }
        let (first, longest) = (self.config.retry_backoff_ms, self.config.retry_backoff_max_ms);
        let jitter = &mut self.jitter;
        // It was read to its end already.
        let visit = |visit: &mut dyn FnMut(Seen<'_>)| {
            visit_metadata(&mut r.clone(), visit).ok();
        };
        self.cluster.learn_cluster(id, controller, now.mono);
        self.cluster.learn_topics(visit, now.mono, |n| jitter.pause_ms(n, first, longest));
        self.cluster.learn_nodes(visit);
        self.adopt(at);
        self.check_cluster(broker, now);
        self.topic_trouble(now);
        Ok(())
    }

    /// What leaders remember of our producers.
    fn remembered(
        &mut self,
        broker: &mut Broker,
        lanes: &LaneRefs,
        r: &Reader<'_>,
        now: Now,
    ) -> Result<(), ReadError> {
        let mut ours = None;
        visit_described(&mut r.clone(), |topic, partition, found| match found {
            Ok(producer) => {
                // Only one lane waits for an answer about this partition.
                let of_lane = |reference: &LaneRef| {
                    let row = self.lane_at(reference.key).map(|at| &self.lanes[at].row);
                    row.is_some_and(|row| {
                        row.producer_id == producer.producer_id
                            && row.upstream_topic == topic
                            && row.upstream_partition == partition
                    })
                };
                if ours.is_none() && lanes.iter().any(of_lane) {
                    ours = Some(producer);
                }
            }
            Err(code) => {
                let ours = ours.take();
                if let Some(at) = self.take(lanes, topic, partition) {
                    self.described(broker, at, code, ours, now);
                }
            }
        })
    }

    fn greeted(&mut self, at: usize, version: i16, code: ErrorCode, served: Served) -> Answered {
        if code == ErrorCode::UnsupportedVersion && version > 0 {
            self.greet_again(at);
            return Ok(());
        }
        if code != ErrorCode::None {
            let words = format_args!("does not say what it serves: {}", code.name());
            return Err(AnswerWords::of(words));
        }
        let link = &mut self.links[at];
        link.versions = served;
        link.state = State::Ready;
        for api in [Api::PRODUCE, Api::METADATA, Api::INIT_PRODUCER_ID, Api::LIST_OFFSETS] {
            if link.versions.pick(api).is_none() {
                let name = api.name;
                return Err(AnswerWords::of(format_args!(
                    "serves no {name} that we know; Kafka 1.0 is the oldest"
                )));
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
        let found =
            nodes.find(|node| link.host == self.cluster.host(node) && node.port == link.port);
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
                let code = code.name();
                let words = match message {
                    Some(message) => ErrorWords::of(format_args!(
                        "the upstream topic {name} cannot be created: {code}: {message}"
                    )),
                    None => ErrorWords::of(format_args!(
                        "the upstream topic {name} cannot be created: {code}"
                    )),
                };
                let again = self.pause(6, now);
                self.cluster.creating(name, again);
                for at in 0..self.lanes.len() {
                    if self.lanes[at].row.upstream_topic == name {
                        self.fail(at, &words, now.mono);
                    }
                }
            }
        }
    }

    /// The lane of `lanes` that goes to this upstream partition; it waits for no answer any more.
    fn take(&mut self, lanes: &LaneRefs, topic: &str, partition: i32) -> Option<usize> {
        for reference in lanes {
            let Some(at) = self.lane_at(reference.key) else { continue };
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

    pub(super) fn forget_question(&mut self, reference: LaneRef) {
        if let Some(lane) = self.lane(reference) {
            lane.flight = None;
        }
    }

    pub(super) fn forget_questions(&mut self, lanes: &LaneRefs) {
        lanes.iter().for_each(|lane| self.forget_question(*lane));
    }

    fn got_producer_id(
        &mut self,
        reference: LaneRef,
        code: ErrorCode,
        (id, epoch): (i64, i16),
        now: Now,
    ) {
        let Some(at) = self.lane_at(reference.key) else { return };
        self.forget_question(reference);
        if self.lanes[at].serial != reference.serial || self.lanes[at].phase != Phase::ProducerId {
            return;
        }
        if code != ErrorCode::None || id < 0 {
            let words = format_args!("upstream gives no producer id: {}", code.name());
            self.fail_lane(at, &ErrorWords::of(words), now);
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
    pub(super) fn passing(&mut self, at: usize, code: ErrorCode, now: Now) -> bool {
        if code == ErrorCode::None {
            return false;
        }
        let words = format_args!("upstream says {}", code.name());
        self.fail_lane(at, &ErrorWords::of(words), now);
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
            Phase::UpstreamEnd if !start => self.upstream_ends(broker, at, offset, now),
            Phase::ReadBack(back) if start => {
                if offset > back.at {
                    // Upstream has deleted what we would have read.
                    let back = ReadBack { at: offset, partial: true, ask_start: false, ..back };
                    lane.phase = Phase::ReadBack(back);
                } else {
                    // It was cut, or restored to an older state: our last batch in what is left
                    // tells where to go on.
                    lane.phase = Phase::ReadBack(back.cut_at(offset, lane.row.upstream_offset));
                }
            }
            _ => {}
        }
    }
}
