//! To the upstream cluster: every record that the gateway holds, once, in order, over a bad link.
//!
//! ```text
//!   broker: logs, rows ──► lanes (one per partition) ──► links (one per upstream broker) ──► bytes
//!                            ▲                               │
//!                            └── verdicts, cursors ◄─────────┘
//! ```
//!
//! The forwarder is an idempotent producer whose producer ids outlive it: the sequence number of a
//! record is its local offset less a base that is durable before the first batch goes, so that
//! upstream itself recognises what is sent twice. After a power cut, a lost link or an answer that
//! leaves it open, a lane asks upstream what it has (DescribeProducers, KIP-664) and, where the
//! producer id was forgotten (upstream expires it by the time of its last *record*: with an old
//! backlog within minutes), reads upstream's log back from its last acknowledged record.
//!
//! [`Forwarder`] is a machine without I/O: events and the time go in, [`Action`]s and bytes come
//! out; the broker is lent for every call. [`driver`] has the sockets and the clock.
//!
//! Promises: order holds per partition, because a lane has one batch in flight (many lanes share a
//! request, and five requests a link); a step does the work of one request; nothing is sent, asked
//! or woken up for when there is nothing to forward; what cannot be known for certain is counted
//! as "may be repeated" and said, never guessed silently.
//! Absent: TLS and SASL, transactions, more than one upstream cluster.

mod answers;
mod asking;
pub mod batch;
mod cluster;
pub mod compress;
mod doubt;
pub mod driver;
mod judge;
mod lane;
mod lanes;
mod link;
pub mod merge;
pub mod pacing;
mod produce;
mod read_back;
mod show;
mod verdict;

pub use link::LinkId;

use crate::broker::Broker;
use crate::config::{ForwardCompression, ForwardConfig};
use crate::limits::{FORWARD_LINK_IDLE_MS, FORWARD_LINKS_MAX};
use crate::time::{Millis, Now};
use crate::wire::batch::Codec;
use cluster::Cluster;
use lane::Lane;
use link::{Link, State};
use merge::Merger;
use pacing::{Jitter, TokenBucket};
use std::collections::{BTreeMap, VecDeque};

/// What happened outside.
#[derive(Clone, Copy, Debug)]
pub enum Event<'a> {
    /// The connection that [`Action::Connect`] asked for is open.
    Connected(LinkId),
    /// It could not be opened, or is gone. The words are for a person.
    Closed(LinkId, &'a str),
    /// Bytes came.
    Received(LinkId, &'a [u8]),
    /// Time passed, records became durable, topics changed, or somebody steers.
    Tick,
}

/// What is to be done outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Open a connection; the host may be a name, to be looked up anew.
    Connect {
        /// Its name in events.
        link: LinkId,
        /// Name or address.
        host: String,
        /// Port.
        port: u16,
    },
    /// Close it; no event follows.
    Close {
        /// Its name.
        link: LinkId,
    },
}

fn codec(wanted: ForwardCompression) -> Codec {
    match wanted {
        ForwardCompression::Producer => Codec::None,
        ForwardCompression::Gzip => Codec::Gzip,
        ForwardCompression::Lz4 => Codec::Lz4,
        ForwardCompression::Zstd => Codec::Zstd,
    }
}

/// Trying to reach the addresses of the configuration.
#[derive(Debug, Default)]
struct Bootstrap {
    next: usize,
    attempts: u32,
    not_before: Millis,
}

/// The machine.
pub struct Forwarder {
    config: ForwardConfig,
    /// The local cluster's id, for `pinned`.
    cluster_id: String,
    cluster: Cluster,
    bootstrap: Bootstrap,
    links: Vec<Link>,
    /// How many there may be on this board.
    links_max: usize,
    next_link: LinkId,
    actions: VecDeque<Action>,
    lanes: Vec<Lane>,
    by_key: BTreeMap<crate::storage::PartitionKey, usize>,
    next_serial: u32,
    topics_version: Option<u64>,
    was_paused: bool,
    /// Nothing new is begun: the end is near.
    quiet: bool,
    /// Where the next request begins to look for a lane with records, for each class: takes turns.
    rotors: BTreeMap<i32, usize>,
    bucket: TokenBucket,
    merger: Merger,
    /// A piece of a local log on its way into a request.
    piece: Vec<u8>,
    jitter: Jitter,
    timeout: Option<Millis>,
    shown: show::Shown,
}

impl Forwarder {
    /// A forwarder that goes on where the broker's rows stand, or one that does nothing when
    /// `forward.bootstrap.servers` is empty.
    pub fn new(broker: &mut Broker, seed: u64, now: Now) -> Forwarder {
        let config = broker.config().forward.clone();
        let merger = Merger::new(config.batch_size, codec(config.compression_type));
        let mut forwarder = Forwarder {
            cluster_id: broker.cluster_id().to_owned(),
            cluster: Cluster::default(),
            bootstrap: Bootstrap::default(),
            links: Vec::new(),
            links_max: broker.config().sizes.forward_links.min(FORWARD_LINKS_MAX),
            next_link: 1,
            actions: VecDeque::new(),
            lanes: Vec::new(),
            by_key: BTreeMap::new(),
            next_serial: 1,
            topics_version: None,
            was_paused: false,
            quiet: false,
            rotors: BTreeMap::new(),
            bucket: TokenBucket::new(config.bandwidth_bytes_per_second, now.mono),
            merger,
            piece: Vec::new(),
            jitter: Jitter::new(seed),
            timeout: None,
            shown: show::Shown::default(),
            config,
        };
        forwarder.work(broker, now);
        forwarder
    }

    /// Whether there is anything to forward to.
    pub fn is_on(&self) -> bool {
        !self.config.bootstrap_servers.is_empty()
    }

    /// Takes an event in.
    pub fn handle(&mut self, broker: &mut Broker, event: Event<'_>, now: Now) {
        match event {
            Event::Connected(id) => {
                if let Some(at) = self.link_at(id) {
                    let version = crate::client::Api::API_VERSIONS.version_max;
                    self.links[at].greet(version, &self.config.client_id, now.mono);
                }
            }
            Event::Closed(id, why) => self.lose_link(id, why, false, now),
            Event::Received(id, bytes) => self.received(broker, id, bytes, now),
            Event::Tick => {}
        }
        self.work(broker, now);
    }

    /// The next thing to be done outside; to be asked until there is none.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// When [`Event::Tick`] is due, if nothing happens before.
    pub fn poll_timeout(&self) -> Option<Millis> {
        self.timeout
    }

    /// The bytes that a link's socket may be given now. Empty when there are none, or when
    /// `forward.bandwidth.bytes.per.second` says later.
    pub fn transmit(&mut self, broker: &mut Broker, link: LinkId, now: Now) -> &[u8] {
        let Some(at) = self.link_at(link) else { return &[] };
        if self.links[at].is_ready() {
            self.begin_request(broker, at, now);
        }
        if self.refill(at).is_err() {
            // The rest of a request that was begun cannot be read: there is no other way out.
            self.lose_link(link, "a local segment could not be read", true, now);
            return &[];
        }
        let Some(at) = self.link_at(link) else { return &[] };
        let wanted = self.links[at].unsent();
        let allowed = self.bucket.allowed(wanted, now.mono);
        if let Some(due) = self.bucket.due(wanted, now.mono) {
            self.timeout = Some(self.timeout.map_or(due, |timeout| timeout.min(due)));
        }
        let link = &mut self.links[at];
        if allowed > 0 {
            link.offered.get_or_insert(now.mono);
            // A socket that takes nothing for so long is dead; see `work`.
            let late = now.mono.saturating_add(self.config.request_timeout_ms);
            self.timeout = Some(self.timeout.map_or(late, |timeout| timeout.min(late)));
        }
        let end = link.out.len().min(link.out_at + allowed);
        &link.out[link.out_at..end]
    }

    /// The socket took the first `bytes` of what [`Forwarder::transmit`] gave.
    pub fn transmitted(&mut self, link: LinkId, bytes: usize, now: Now) {
        let Some(at) = self.link_at(link) else { return };
        self.bucket.take(bytes);
        self.shown.sent(bytes as u64);
        self.links[at].transmitted(bytes, self.config.request_timeout_ms, now.mono);
        if let Some(due) = self.links[at].deadline(self.config.request_timeout_ms) {
            self.timeout = Some(self.timeout.map_or(due, |timeout| timeout.min(due)));
        }
    }

    /// Begins nothing new: an orderly end waits a moment for what is under way.
    pub fn quiesce(&mut self) {
        self.quiet = true;
    }

    /// Whether no batch is on its way.
    pub fn is_quiet(&self) -> bool {
        self.lanes.iter().all(|lane| lane.flight.is_none_or(|flight| flight.batches == 0))
    }

    /// The orderly end: what is known is written down, so that the next start has nothing to ask.
    pub fn stop(&mut self, broker: &mut Broker, now: Now) {
        for lane in &mut self.lanes {
            let unanswered = lane.in_doubt() || lane.next != lane.row.cursor;
            if !unanswered && lane.row.producer_id >= 0 {
                lane.row.settled = true;
                broker.save_forward(&lane.row, now).ok();
            } else {
                broker.note_forward(&lane.row);
            }
        }
        for link in self.links.drain(..) {
            self.actions.push_back(Action::Close { link: link.id });
        }
        self.timeout = None;
    }

    fn link_at(&self, id: LinkId) -> Option<usize> {
        self.links.iter().position(|link| link.id == id)
    }

    fn pause(&mut self, attempts: u32, now: Now) -> Millis {
        let (first, longest) = (self.config.retry_backoff_ms, self.config.retry_backoff_max_ms);
        now.mono.saturating_add(self.jitter.pause_ms(attempts, first, longest))
    }

    /// Everything that follows from what is known now.
    fn work(&mut self, broker: &mut Broker, now: Now) {
        if !self.is_on() {
            return;
        }
        self.drop_late_links(now);
        self.sync_lanes(broker, now);
        self.advance_lanes(broker, now);
        self.keep_rows(broker, now);
        self.connect(broker, now);
        self.timeout = self.next_timeout(broker, now);
        self.show(broker, now);
    }

    /// Links that keep us waiting for longer than `forward.request.timeout.ms`, and links that
    /// nobody has used for long.
    fn drop_late_links(&mut self, now: Now) {
        let timeout_ms = self.config.request_timeout_ms;
        while let Some(late) = self.links.iter().find(|link| {
            link.deadline(timeout_ms).is_some_and(|due| due <= now.mono)
                || link.state == State::Opening && now.mono.since(link.used) >= timeout_ms
        }) {
            let id = late.id;
            self.lose_link(id, "no answer within forward.request.timeout.ms", true, now);
        }
        let unused = |link: &Link| {
            link.state == State::Ready
                && link.flights.is_empty()
                && link.unsent() == 0
                && now.mono.since(link.used) >= FORWARD_LINK_IDLE_MS
        };
        while let Some(at) = self.links.iter().position(unused) {
            let link = self.links.swap_remove(at);
            self.actions.push_back(Action::Close { link: link.id });
        }
    }

    /// A link is gone. `close`: by us.
    fn lose_link(&mut self, id: LinkId, why: &str, close: bool, now: Now) {
        let Some(at) = self.link_at(id) else { return };
        let mut link = self.links.swap_remove(at);
        if close {
            self.actions.push_back(Action::Close { link: id });
        }
        let idle = !close && link.state == State::Ready && link.flights.is_empty();
        while let Some(flight) = link.flights.pop_front() {
            self.unanswered(flight);
        }
        // Whoever answers there next may be somebody else.
        self.cluster.doubt_all();
        if idle {
            // Upstream closes what is unused (connections.max.idle.ms): no failure.
            log::debug!("upstream {}:{}: closed, nothing was under way", link.host, link.port);
            return;
        }
        let attempts = match link.node.and_then(|id| self.cluster.node_mut(id)) {
            Some(node) => {
                node.attempts = node.attempts.saturating_add(1);
                node.attempts
            }
            None => {
                self.bootstrap.attempts = self.bootstrap.attempts.saturating_add(1);
                // Through all the addresses before the pause grows.
                self.bootstrap.attempts.div_ceil(self.config.bootstrap_servers.len().max(1) as u32)
            }
        };
        let not_before = self.pause(attempts, now);
        match link.node.and_then(|id| self.cluster.node_mut(id)) {
            Some(node) => node.not_before = not_before,
            None => self.bootstrap.not_before = not_before,
        }
        let words = format!("{}:{}: {why}", link.host, link.port);
        self.shown.failed(&words, not_before);
    }

    /// Opens the links that somebody needs.
    fn connect(&mut self, broker: &Broker, now: Now) {
        if broker.forwarding().head().paused {
            return;
        }
        let mut wanted: heapless::Vec<i32, FORWARD_LINKS_MAX> = heapless::Vec::new();
        let mut lost = self.cluster.id.is_none();
        for at in 0..self.lanes.len() {
            let lane = &self.lanes[at];
            if !lane.wants(broker) || lane.not_before > now.mono {
                continue;
            }
            match self.leader_of(at) {
                Some(node) if !wanted.contains(&node) => {
                    wanted.push(node).ok();
                }
                Some(_) => {}
                None => lost = true,
            }
        }
        // Only the controller creates topics (NOT_CONTROLLER), and it may lead nothing of ours.
        let creates = |(_, topic): (&str, &cluster::UpstreamTopic)| topic.create_at <= now.mono;
        let controller = self.cluster.controller;
        if self.config.create_topics
            && self.cluster.node(controller).is_some()
            && self.cluster.missing().any(creates)
            && !wanted.contains(&controller)
        {
            wanted.push(controller).ok();
        }
        for id in wanted {
            let Some(node) = self.cluster.node(id) else {
                // A leader that is not among the brokers: the answer was half an answer.
                let again = self.pause(1, now);
                self.cluster.doubt_leader(id, again);
                lost = true;
                continue;
            };
            if node.not_before > now.mono || self.links.iter().any(|link| link.node == Some(id)) {
                continue;
            }
            let (host, port) = (node.host.clone(), node.port);
            self.open_link(Some(id), host, port, now);
        }
        let asks = lost && (self.cluster.id.is_none() || !self.cluster.stale(now.mono).is_empty());
        // Somebody who answers can be asked; a link that is only being tried may never be open.
        let answers = |link: &Link| link.node.is_none() || link.state == State::Ready;
        let nobody = !self.links.iter().any(answers);
        if asks && nobody && self.bootstrap.not_before <= now.mono {
            let servers = &self.config.bootstrap_servers;
            let (host, port) = servers[self.bootstrap.next % servers.len()].clone();
            self.bootstrap.next = self.bootstrap.next.wrapping_add(1);
            self.open_link(None, host, port, now);
        }
    }

    fn open_link(&mut self, node: Option<i32>, host: String, port: u16, now: Now) {
        if self.links.len() >= self.links_max {
            // The one that was not used for longest, if any is idle; else it has to wait.
            let idle = |link: &Link| link.flights.is_empty() && link.state == State::Ready;
            let oldest = self.links.iter().filter(|l| idle(l)).min_by_key(|l| l.used);
            let Some(id) = oldest.map(|link| link.id) else { return };
            self.links.retain(|link| link.id != id);
            self.actions.push_back(Action::Close { link: id });
        }
        let id = self.next_link;
        self.next_link = self.next_link.wrapping_add(1);
        self.actions.push_back(Action::Connect { link: id, host: host.clone(), port });
        self.links.push(Link::new(id, node, host, port, now.mono));
    }

    /// The next moment at which [`Forwarder::work`] has something to do.
    fn next_timeout(&mut self, broker: &Broker, now: Now) -> Option<Millis> {
        let timeout_ms = self.config.request_timeout_ms;
        let mut next: Option<Millis> = None;
        let mut at = |due: Millis| {
            // What is due already waits for something else: a link, an answer, a sync.
            if due > now.mono && due < Millis::MAX {
                next = Some(next.map_or(due, |known| known.min(due)));
            }
        };
        for link in &self.links {
            link.deadline(timeout_ms).into_iter().for_each(&mut at);
            match link.state {
                State::Opening => at(link.used.saturating_add(timeout_ms)),
                State::Ready if link.flights.is_empty() => {
                    at(link.used.saturating_add(FORWARD_LINK_IDLE_MS));
                }
                _ => {}
            }
            self.bucket.due(link.unsent(), now.mono).into_iter().for_each(&mut at);
        }
        let paused = broker.forwarding().head().paused;
        let mut working = self.cluster.id.is_none();
        for lane in &self.lanes {
            lane.row_due().into_iter().for_each(&mut at);
            if paused || lane.flight.is_some() || !lane.wants(broker) {
                continue;
            }
            working = true;
            at(lane.not_before);
            if let Some(since) = lane.pending {
                at(since.saturating_add(self.config.linger_ms));
            }
        }
        if working && !paused {
            at(self.bootstrap.not_before);
            self.cluster.nodes.iter().for_each(|node| at(node.not_before));
            self.cluster.stale_due().into_iter().for_each(&mut at);
            if self.config.create_topics {
                self.cluster.missing().for_each(|(_, topic)| at(topic.create_at));
            }
        }
        next
    }
}
