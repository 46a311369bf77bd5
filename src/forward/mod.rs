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
//! as "may be repeated" and said, never guessed silently. All tables and buffers are allocated by
//! [`Forwarder::new`], as [`Forwarder::account`] says, and nothing afterwards, but for what
//! Zstandard takes for a moment (accounted), a batch that is set aside, which is read into memory
//! of its own (`message.max.bytes` at most, and hardly ever), and the event loop's part of a
//! connection.
//! Absent: TLS and SASL, transactions, more than one upstream cluster.

mod account;
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
mod links;
pub mod merge;
pub mod pacing;
mod produce;
mod read_back;
mod show;
mod unpack;
mod verdict;

pub use link::{Host, LinkId};

use crate::broker::Broker;
use crate::client::Api;
use crate::config::{ForwardCompression, ForwardConfig};
use crate::fixed::{List, Ring, Texts};
use crate::limits::{
    FORWARD_ANSWER_BYTES, FORWARD_LINK_IDLE_MS, FORWARD_LINKS_MAX, FORWARD_METADATA_TOPICS_MAX,
};
use crate::state::forward::ClusterId;
use crate::time::{Millis, Now};
use crate::wire::batch::Codec;
use cluster::Cluster;
use lane::Lane;
use link::{Link, Shared, State};
use merge::{Merger, whole_bytes_max};
use pacing::{Jitter, TokenBucket};

/// What happened outside.
#[derive(Clone, Copy, Debug)]
pub enum Event<'a> {
    /// The connection that [`Action::Connect`] asked for is open.
    Connected(LinkId),
    /// It could not be opened, or is gone. The words are for a person.
    Closed(LinkId, &'a str),
    /// Bytes came: at most [`Forwarder::room`].
    Received(LinkId, &'a [u8]),
    /// Time passed, records became durable, topics changed, or somebody steers.
    Tick,
}

/// What is to be done outside.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "there are places for a handful; none is allocated")]
pub enum Action {
    /// Open a connection; the host may be a name, to be looked up anew.
    Connect {
        /// Its name in events.
        link: LinkId,
        /// Name or address.
        host: Host,
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

/// So many buffers, in a list that has room for all of them.
fn buffers<T>(count: usize, new: impl Fn() -> T) -> List<T> {
    let mut list = List::new(count);
    for _ in 0..count {
        list.push(new()).ok();
    }
    list
}

/// A turn for each class that there can be.
fn rotors(config: &ForwardConfig) -> List<(i32, usize)> {
    let mut rotors = List::new(config.priority.len() + 1);
    for class in config.priority.iter().map(|(_, class)| *class).chain([0]) {
        if rotors.iter().all(|(known, _)| *known != class) {
            rotors.push((class, 0)).ok();
        }
    }
    rotors
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
    cluster_id: ClusterId,
    cluster: Cluster,
    bootstrap: Bootstrap,
    links: List<Link>,
    next_link: LinkId,
    /// Small buffers for answers, of links that are not there.
    smalls: List<Box<[u8]>>,
    /// The buffer for long answers.
    shared: Shared,
    /// Buffers for requests that nobody is writing.
    requests: List<Vec<u8>>,
    /// The next turn for one of them.
    next_turn: u64,
    /// Somebody who waited can go on.
    wake: bool,
    /// Topics to ask for at once: fewer where the answers are too long.
    metadata_topics: usize,
    actions: Ring<Action>,
    /// In the order of their keys.
    lanes: List<Lane>,
    /// The names of local topics.
    names: Texts,
    next_serial: u32,
    topics_version: Option<u64>,
    was_paused: bool,
    /// Nothing new is begun: the end is near.
    quiet: bool,
    /// Where the next request begins to look for a lane with records, for each class: takes turns.
    rotors: List<(i32, usize)>,
    bucket: TokenBucket,
    merger: Merger,
    /// A piece of a local log on its way into a request.
    piece: Box<[u8]>,
    jitter: Jitter,
    timeout: Option<Millis>,
    shown: show::Shown,
}

impl Forwarder {
    /// A forwarder that goes on where the broker's rows stand, or one that does nothing when
    /// `forward.bootstrap.servers` is empty.
    pub fn new(broker: &mut Broker, seed: u64, now: Now) -> Forwarder {
        let config = broker.config().forward.clone();
        let sizes = match config.bootstrap_servers.is_empty() {
            true => account::nothing(&broker.config().sizes),
            false => broker.config().sizes,
        };
        let batch_size = config.batch_size;
        let links = sizes.forward_links.min(FORWARD_LINKS_MAX);
        let request_bytes = account::request_bytes(batch_size);
        let mut forwarder = Forwarder {
            cluster_id: broker.cluster_id().into(),
            cluster: Cluster::new(&sizes),
            bootstrap: Bootstrap::default(),
            links: List::new(links),
            next_link: 1,
            smalls: buffers(links, || crate::fixed::bytes(FORWARD_ANSWER_BYTES)),
            shared: Shared { bytes: crate::fixed::bytes(sizes.forward_answer_bytes), holder: None },
            requests: buffers(sizes.forward_requests, || Vec::with_capacity(request_bytes)),
            next_turn: 1,
            wake: false,
            metadata_topics: FORWARD_METADATA_TOPICS_MAX,
            actions: Ring::new(account::actions(links)),
            lanes: List::new(sizes.partitions),
            names: Texts::new(sizes.topics, sizes.name_bytes),
            next_serial: 1,
            topics_version: None,
            was_paused: false,
            quiet: false,
            rotors: rotors(&config),
            bucket: TokenBucket::new(config.bandwidth_bytes_per_second, now.mono),
            merger: Merger::sized(batch_size, codec(config.compression_type), &sizes),
            piece: crate::fixed::bytes(whole_bytes_max(batch_size)),
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
        self.something_happened();
        match event {
            Event::Connected(id) => {
                if let Some(at) = self.link_at(id) {
                    self.links[at].state = State::Greeting;
                    self.links[at].greet_in = Some(Api::API_VERSIONS.version_max);
                    self.links[at].used = now.mono;
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
        let wants = self.links[at].greet_in.is_some() || self.links[at].is_ready();
        if wants && self.take_request(at) {
            if let Some(version) = self.links[at].greet_in.take() {
                self.greet(at, version, now);
            } else if self.links[at].is_ready() {
                self.begin_request(broker, at, now);
            }
            self.links[at].idle = self.links[at].unsent() == 0;
            self.give_request_back(at);
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
        self.give_request_back(at);
        if let Some(due) = self.links[at].deadline(self.config.request_timeout_ms) {
            self.timeout = Some(self.timeout.map_or(due, |timeout| timeout.min(due)));
        }
    }

    /// Bytes that [`Event::Received`] may have now. While it is 0 the socket is not to be read: the
    /// answer waits for the buffer that another link has.
    pub fn room(&self, link: LinkId) -> usize {
        self.link_at(link).map_or(0, |at| self.links[at].room(&self.shared))
    }

    /// Whether a link that had to wait for a buffer need not any more: every link is to be asked
    /// for bytes again, and to be read.
    pub fn take_wake(&mut self) -> bool {
        core::mem::take(&mut self.wake)
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
        for lane in self.lanes.iter_mut() {
            let unanswered = lane.in_doubt() || lane.next != lane.row.cursor;
            if !unanswered && lane.row.producer_id >= 0 {
                lane.row.settled = true;
                broker.save_forward(&lane.row, now).ok();
            } else {
                broker.note_forward(&lane.row);
            }
        }
        while !self.links.is_empty() {
            let link = self.remove_link(0);
            self.close(link);
        }
        self.timeout = None;
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
        for link in self.links.iter() {
            link.deadline(timeout_ms).into_iter().for_each(&mut at);
            match link.state {
                State::Opening | State::Greeting if link.flights.is_empty() => {
                    at(link.used.saturating_add(timeout_ms));
                }
                State::Ready if link.flights.is_empty() => {
                    at(link.used.saturating_add(FORWARD_LINK_IDLE_MS));
                }
                _ => {}
            }
            self.bucket.due(link.unsent(), now.mono).into_iter().for_each(&mut at);
        }
        let paused = broker.forwarding().head().paused;
        let mut working = self.cluster.id.is_none();
        for lane in self.lanes.iter() {
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
                self.cluster.missing().for_each(|topic| at(topic.create_at));
            }
        }
        next
    }
}
