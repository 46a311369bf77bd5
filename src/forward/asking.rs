//! What a link that is free should ask next: who is where, then what lanes have to know, then
//! records. One request a call.

use super::Forwarder;
use super::cluster::UpstreamTopic;
use super::lane::{Flight, Phase};
use super::link::{Ask, LaneRef, LaneRefs, State};
use super::read_back::{Scanner, write_fetch};
use crate::broker::Broker;
use crate::client::messages::api_versions::ApiVersionsRequest;
use crate::client::messages::metadata::write_metadata;
use crate::client::messages::offsets::{EARLIEST, LATEST, write_list_offsets};
use crate::client::messages::produce::InitProducerIdRequest;
use crate::client::messages::producers::write_describe_producers;
use crate::client::messages::topics::{NewTopic, write_create_topics};
use crate::client::{Api, Request};
use crate::limits::{FORWARD_NAME_BYTES_MAX, FORWARD_READ_BACK_BYTES, FORWARD_READ_BACK_WAIT_MS};
use crate::state::forward::ErrorWords;
use crate::time::Now;
use crate::wire::{ErrorCode, Writer};

/// The last versions without flexible fields: fewer bytes, and a layout that is known beforehand.
const FETCH_VERSION_MAX: i16 = 11;

/// Bytes in front of a request's topics, at most, and of one topic in it.
const REQUEST_FRONT_BYTES: usize = 512;
const TOPIC_BYTES: usize = FORWARD_NAME_BYTES_MAX + 32;

/// A question that lanes have for the leader of their upstream partition.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Question {
    Producers,
    End,
    Start,
}

impl Forwarder {
    /// Puts the next request into a free link's buffer, if there is something to ask.
    pub(super) fn begin_request(&mut self, broker: &mut Broker, at: usize, now: Now) {
        if self.quiet || broker.forwarding().head().paused {
            return;
        }
        if self.ask_metadata(broker, at, now) || self.ask_topic(broker, at, now) {
            return;
        }
        if self.links[at].node.is_none() {
            return;
        }
        self.doubt_new_link(broker, at);
        if self.ask_producer_id(broker, at, now)
            || self.ask_leader(broker, at, Question::Producers, now)
            || self.ask_leader(broker, at, Question::End, now)
            || self.ask_leader(broker, at, Question::Start, now)
            || self.ask_read_back(broker, at, now)
        {
            return;
        }
        self.begin_produce(broker, at, now);
    }

    /// Before the first batch on a new connection: is everything still there? Whoever restored
    /// upstream from a backup has restarted it. Costs a question per lane and connection.
    fn doubt_new_link(&mut self, broker: &Broker, at: usize) {
        let (link, node) = (self.links[at].id, self.links[at].node);
        for lane in 0..self.lanes.len() {
            let new = self.lanes[lane].asked_on != Some(link);
            if new
                && self.lanes[lane].phase == Phase::Ready
                && self.lanes[lane].flight.is_none()
                && self.lanes[lane].wants(broker)
                && self.is_led_by(lane, node)
            {
                self.lanes[lane].phase = Phase::Doubt;
            }
        }
    }

    fn is_asking(&self, is: impl Fn(&Ask) -> bool) -> bool {
        self.links.iter().any(|link| link.flights.iter().any(|flight| is(&flight.ask)))
    }

    /// What is said first.
    pub(super) fn greet(&mut self, at: usize, version: i16, now: Now) {
        let request = ApiVersionsRequest {
            client_software_name: "ottla",
            client_software_version: env!("CARGO_PKG_VERSION"),
        };
        let (api, client_id) = ((Api::API_VERSIONS, version), &self.config.client_id);
        let write = |w: &mut Writer<'_>| request.write(w);
        self.links[at].ask(api, client_id, Ask::Versions, now.mono, write);
    }

    fn ask_metadata(&mut self, broker: &Broker, at: usize, now: Now) -> bool {
        let first = self.cluster.id.is_none();
        if !first && self.cluster.stale(now.mono).next().is_none()
            || self.is_asking(|ask| matches!(ask, Ask::Metadata))
        {
            return false;
        }
        let Some(version) = self.links[at].version(Api::METADATA, i16::MAX) else { return false };
        let needed = |topic: &&UpstreamTopic| {
            let mut lanes = self.lanes.iter().filter(|l| l.row.upstream_topic == topic.name);
            lanes.any(|lane| lane.wants(broker))
        };
        let topics = self.cluster.stale(now.mono).filter(needed);
        let fit = self.links[at].out.capacity().saturating_sub(REQUEST_FRONT_BYTES) / TOPIC_BYTES;
        let topics = topics.map(|topic| topic.name.as_str()).take(self.metadata_topics.min(fit));
        if !first && topics.clone().next().is_none() {
            return false;
        }
        let (api, client_id) = ((Api::METADATA, version), &self.config.client_id);
        let write = |w: &mut Writer<'_>| write_metadata(w, Some(topics), false);
        self.links[at].ask(api, client_id, Ask::Metadata, now.mono, write).is_some()
    }

    fn ask_topic(&mut self, broker: &Broker, at: usize, now: Now) -> bool {
        let link = &self.links[at];
        let is_controller =
            self.cluster.controller < 0 || link.node == Some(self.cluster.controller);
        if !self.config.create_topics || !is_controller || link.node.is_none() {
            return false;
        }
        let missing = self.cluster.missing().find(|topic| topic.create_at <= now.mono);
        let Some(name) = missing.map(|topic| topic.name.clone()) else { return false };
        // As many partitions as the local topic with the most has.
        let lanes = self.lanes.iter().filter(|lane| lane.row.upstream_topic == name);
        let topics = lanes.filter_map(|lane| broker.topics().get(lane.key.topic));
        let Some(count) = topics.map(|topic| topic.partitions.len()).max() else { return false };
        let Some(version) = link.version(Api::CREATE_TOPICS, i16::MAX) else { return false };
        // "The broker's default" came with version 4 (KIP-464, Kafka 2.4).
        let nodes = i16::try_from(self.cluster.nodes.len().clamp(1, 3)).unwrap_or(1);
        let replication_factor = if version >= 4 { -1 } else { nodes };
        let topic = NewTopic {
            name: &name,
            num_partitions: count as i32,
            replication_factor,
            configs: Vec::new(),
        };
        let timeout_ms = i32::try_from(self.config.request_timeout_ms).unwrap_or(i32::MAX);
        let pause = self.pause(2, now);
        self.cluster.creating(&name, pause);
        let (api, ask) = ((Api::CREATE_TOPICS, version), Ask::CreateTopic(name.clone()));
        let write = |w: &mut Writer<'_>| write_create_topics(w, &[topic], timeout_ms, false);
        self.links[at].ask(api, &self.config.client_id, ask, now.mono, write).is_some()
    }

    /// A lane that may ask something now: it has records, and waits for nothing.
    fn may_ask(&self, broker: &Broker, lane: usize, now: Now) -> bool {
        let lane = &self.lanes[lane];
        lane.flight.is_none() && lane.not_before <= now.mono && lane.wants(broker)
    }

    pub(super) fn is_led_by(&self, lane: usize, node: Option<i32>) -> bool {
        node.is_some() && self.leader_of(lane) == node
    }

    fn reference(&self, lane: usize) -> LaneRef {
        LaneRef { key: self.lanes[lane].key, serial: self.lanes[lane].serial }
    }

    /// Marks a lane as waiting for an answer that carries no records.
    fn asked(&mut self, lane: usize, link: usize, correlation: i32) {
        let link = self.links[link].id;
        let lane = &mut self.lanes[lane];
        lane.asked_on = Some(link);
        let (first, next) = (lane.next, lane.next);
        lane.flight = Some(Flight { link, correlation, first, next, ..Flight::default() });
    }

    fn ask_producer_id(&mut self, broker: &Broker, at: usize, now: Now) -> bool {
        let wants = |lane: &usize| {
            self.lanes[*lane].phase == Phase::ProducerId
                && self.may_ask(broker, *lane, now)
                && self.is_led_by(*lane, self.links[at].node)
        };
        let Some(lane) = (0..self.lanes.len()).find(wants) else { return false };
        let api = InitProducerIdRequest::API;
        let Some(version) = self.links[at].version(api, i16::MAX) else { return false };
        let ask = Ask::ProducerId(self.reference(lane));
        let (api, client_id) = ((api, version), &self.config.client_id);
        let write = |w: &mut Writer<'_>| InitProducerIdRequest.write(w);
        let asked = self.links[at].ask(api, client_id, ask, now.mono, write);
        if let Some(correlation) = asked {
            self.asked(lane, at, correlation);
        }
        asked.is_some()
    }

    /// One question for as many lanes as have it for this broker.
    fn ask_leader(&mut self, broker: &Broker, at: usize, question: Question, now: Now) -> bool {
        let node = self.links[at].node;
        let asks = |phase: Phase| match question {
            Question::Producers => phase == Phase::Doubt,
            Question::End => matches!(phase, Phase::UpstreamOffset | Phase::UpstreamEnd),
            Question::Start => matches!(phase, Phase::ReadBack(back) if back.ask_start),
        };
        let mut chosen = LaneRefs::new();
        let mut places: heapless::Vec<usize, { crate::limits::FORWARD_LANES_PER_REQUEST }> =
            heapless::Vec::new();
        for lane in 0..self.lanes.len() {
            let fits = asks(self.lanes[lane].phase)
                && self.may_ask(broker, lane, now)
                && self.is_led_by(lane, node);
            let row = &self.lanes[lane].row;
            // Two lanes may share an upstream partition: one question each.
            let twice = places.iter().any(|other| {
                let other = &self.lanes[*other].row;
                other.upstream_topic == row.upstream_topic
                    && other.upstream_partition == row.upstream_partition
            });
            if fits && !twice && places.push(lane).is_ok() {
                chosen.push(self.reference(lane)).ok();
            }
        }
        if chosen.is_empty() {
            return false;
        }
        let api = if question == Question::Producers {
            Api::DESCRIBE_PRODUCERS
        } else {
            Api::LIST_OFFSETS
        };
        let Some(version) = self.links[at].version(api, i16::MAX) else {
            // Kafka before 2.8 has no such question.
            for lane in places {
                self.not_remembered(lane);
            }
            return self.ask_leader(broker, at, Question::End, now)
                || self.ask_read_back(broker, at, now);
        };
        let lanes = &self.lanes;
        let rows = places.iter().map(|lane| &lanes[*lane].row);
        let partitions = rows.map(|row| (row.upstream_topic.as_str(), row.upstream_partition));
        let (client_id, link, api) = (&self.config.client_id, &mut self.links[at], (api, version));
        let asked = match question {
            Question::Producers => {
                let write = |w: &mut Writer<'_>| write_describe_producers(w, &partitions);
                link.ask(api, client_id, Ask::Producers(chosen), now.mono, write)
            }
            Question::End | Question::Start => {
                let start = question == Question::Start;
                let time = if start { EARLIEST } else { LATEST };
                let write = |w: &mut Writer<'_>| write_list_offsets(w, &partitions, time);
                let ask = Ask::Offsets { lanes: chosen, start };
                link.ask(api, client_id, ask, now.mono, write)
            }
        };
        // There is room for so few in every buffer.
        let Some(correlation) = asked else { return false };
        for lane in places {
            self.asked(lane, at, correlation);
        }
        true
    }

    fn ask_read_back(&mut self, broker: &Broker, at: usize, now: Now) -> bool {
        let wants = |lane: &usize| {
            matches!(self.lanes[*lane].phase, Phase::ReadBack(back) if !back.ask_start)
                && self.may_ask(broker, *lane, now)
                && self.is_led_by(*lane, self.links[at].node)
        };
        let Some(lane) = (0..self.lanes.len()).find(wants) else { return false };
        let Phase::ReadBack(back) = self.lanes[lane].phase else { return false };
        let Some(version) = self.links[at].version(Api::FETCH, FETCH_VERSION_MAX) else {
            self.unreadable(lane, "the upstream broker serves no Fetch that we know");
            return false;
        };
        let row = &self.lanes[lane].row;
        let scanner = Scanner::new(row.producer_id, row.producer_epoch, back.at);
        let reference = self.reference(lane);
        let link = &mut self.links[at];
        let correlation = link.correlation();
        link.clear_out();
        begin_frame(&mut link.out, Api::FETCH.key, version, correlation, &self.config.client_id);
        let row = &self.lanes[lane].row;
        write_fetch(
            &mut Writer::new(&mut link.out, version, false),
            &row.upstream_topic,
            row.upstream_partition,
            if back.probe >= 0 { back.probe } else { back.at },
            FORWARD_READ_BACK_BYTES,
            if back.probe >= 0 { 0 } else { FORWARD_READ_BACK_WAIT_MS },
        );
        end_frame(&mut link.out);
        let ask = Ask::ReadBack(reference, scanner);
        link.begun(correlation, version, ask, now.mono);
        self.asked(lane, at, correlation);
        true
    }

    /// A lane's leader cannot tell what it has: its log must.
    pub(super) fn read_back(&mut self, lane: usize) {
        let lane = &mut self.lanes[lane];
        lane.phase = Phase::ReadBack(super::lane::ReadBack {
            at: lane.row.upstream_offset,
            found: lane.row.cursor,
            partial: false,
            ask_start: false,
            probe: -1,
            limit: i64::MAX,
            seen: -1,
            start: -1,
            step: 0,
        });
    }

    /// Asks a broker that refused our version of ApiVersions once more, in the oldest one.
    pub(super) fn greet_again(&mut self, at: usize) {
        self.links[at].greet_in = Some(0);
        debug_assert_eq!(self.links[at].state, State::Greeting);
    }

    /// Why the topic of a lane cannot be used, in words.
    pub(super) fn topic_trouble(&mut self, now: Now) {
        let creates = self.config.create_topics;
        for at in 0..self.lanes.len() {
            let row = &self.lanes[at].row;
            let Some(topic) = self.cluster.topic(&row.upstream_topic) else { continue };
            let beyond = topic.is_beyond(row.upstream_partition) && !topic.stale;
            if topic.attempts == 0 && !beyond || self.lanes[at].phase == Phase::Stopped {
                continue;
            }
            let name = &topic.name;
            let words = match topic.error {
                ErrorCode::None if beyond => ErrorWords::of(format_args!(
                    "the upstream topic {name} has more partitions than this board has places \
                     for their leaders"
                )),
                ErrorCode::None => continue,
                ErrorCode::UnknownTopicOrPartition if creates => ErrorWords::of(format_args!(
                    "the upstream topic {name} does not exist and is being created"
                )),
                ErrorCode::UnknownTopicOrPartition => ErrorWords::of(format_args!(
                    "the upstream topic {name} does not exist: create it there, or set \
                     forward.create.topics=true"
                )),
                other => ErrorWords::of(format_args!(
                    "upstream says {} about the topic {name}",
                    other.name()
                )),
            };
            if !self.has_failed(at, &words) {
                self.fail(at, &words, now.mono);
            }
        }
    }
}

/// The header of a request that is written by hand; its length comes with [`end_frame`].
pub(super) fn begin_frame(
    out: &mut Vec<u8>,
    key: i16,
    version: i16,
    correlation: i32,
    client_id: &str,
) {
    let mut w = Writer::new(out, version, false);
    w.i32(0);
    w.i16(key);
    w.i16(version);
    w.i32(correlation);
    w.string(client_id);
}

/// The length of the frame that fills `out`.
pub(super) fn end_frame(out: &mut Vec<u8>) {
    let length = (out.len() - 4) as i32;
    Writer::new(out, 0, false).patch_i32(0, length);
}
