//! What an answer means: for the table of upstream's brokers, and for the lane that asked.

use super::Forwarder;
use super::lane::{Phase, ReadBack};
use super::link::{Ask, Came, InFlight, LaneRef, LaneRefs, LinkId, State};
use crate::broker::Broker;
use crate::client::messages::api_versions::{ApiVersionsRequest, ApiVersionsResponse};
use crate::client::messages::metadata::MetadataRequest;
use crate::client::messages::offsets::ListOffsetsRequest;
use crate::client::messages::produce::InitProducerIdRequest;
use crate::client::messages::producers::DescribeProducersRequest;
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
    pub(super) fn passing(&mut self, at: usize, code: ErrorCode, now: Now) -> bool {
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
