//! What upstream answers, honestly or not: the forwarder stays bounded, and the gateway serves.
//!
//! Upstream is a broker of our own, so that a conversation gets somewhere; the input says which of
//! its answers are changed, made up field by field, or replaced by any bytes.

use super::gateway::{Gateway, config};
use super::input::Input;
use super::{memory, schema};
use ottla::api::{API_VERSIONS_KEY, find};
use ottla::config::BrokerConfig;
use ottla::disk::sim::SimDisk;
use ottla::forward::{Action, Event, Forwarder, LinkId};
use std::collections::{BTreeMap, VecDeque};

/// Events of one input.
const EVENTS_MAX: usize = 48;
/// Looks at a link that has something to send, and things to be done, after one event.
const TURNS_MAX: usize = 64;
/// What one event may make the gateway hold.
const EVENT_BYTES_MAX: usize = 8 * 1024 * 1024;

/// A connection to upstream.
#[derive(Default)]
struct Line {
    connected: bool,
    /// Bytes that were sent and make no whole request yet.
    sent: Vec<u8>,
    /// Requests, each without its length, that are not answered yet.
    asked: VecDeque<Vec<u8>>,
}

struct Play {
    gateway: Gateway,
    machine: Forwarder,
    upstream: Gateway,
    lines: BTreeMap<LinkId, Line>,
}

thread_local! {
    static LOCAL: SimDisk = {
        let disk = SimDisk::new();
        let mut gateway = Gateway::open(&disk, forwarding(0));
        for (name, partitions) in [("t", 2), ("u", 1), ("probe", 1)] {
            gateway.topic(name, partitions);
        }
        gateway.records("t", 0, 3);
        gateway.records("t", 1, 1);
        gateway.records("u", 0, 2);
        disk
    };
    static UPSTREAM: SimDisk = {
        let disk = SimDisk::new();
        let mut upstream = Gateway::open_as(&disk, config(), 7);
        upstream.topic("t", 2);
        disk
    };
}

fn forwarding(choice: u8) -> BrokerConfig {
    let mut config = config();
    config.forward.bootstrap_servers = vec![("upstream".to_owned(), 9092)];
    if choice & 1 == 1 {
        config.forward.batch_size = 0;
    }
    config
}

/// First byte: the configuration; then what happens.
pub fn run(data: &[u8]) {
    schema::forget();
    let mut input = Input::new(data);
    let mut gateway = Gateway::open(&LOCAL.with(SimDisk::fork), forwarding(input.byte()));
    let upstream = Gateway::open_as(&UPSTREAM.with(SimDisk::fork), config(), 7);
    let machine = Forwarder::new(&mut gateway.broker, 3, gateway.now);
    let mut play = Play { gateway, machine, upstream, lines: BTreeMap::new() };
    play.settle();
    for _ in 0..EVENTS_MAX {
        if input.is_empty() {
            break;
        }
        play.event(&mut input);
        play.settle();
    }
    play.gateway.still_serves();
}

impl Play {
    fn handle(&mut self, event: Event<'_>) {
        let Play { gateway, machine, .. } = self;
        memory::bounded("an event", EVENT_BYTES_MAX, || {
            machine.handle(&mut gateway.broker, event, gateway.now);
        });
    }

    /// Does what the machine wants done, sends what it sends, and syncs.
    fn settle(&mut self) {
        for _ in 0..TURNS_MAX {
            let mut moved = false;
            while let Some(action) = self.machine.poll_action() {
                moved = true;
                match action {
                    Action::Connect { link, .. } => {
                        let before = self.lines.insert(link, Line::default());
                        assert!(before.is_none(), "link {link} is there already");
                    }
                    Action::Close { link } => {
                        self.lines.remove(&link);
                    }
                }
                assert!(self.lines.len() <= 64, "links without end");
            }
            let links: Vec<LinkId> = self.lines.keys().copied().collect();
            for link in links {
                moved |= self.send(link);
            }
            if !moved {
                break;
            }
        }
        self.gateway.sync();
        let due = self.machine.poll_timeout();
        if due.is_some_and(|at| at <= self.gateway.now.mono) {
            self.handle(Event::Tick);
        }
    }

    fn send(&mut self, link: LinkId) -> bool {
        let Some(line) = self.lines.get_mut(&link).filter(|line| line.connected) else {
            return false;
        };
        let Gateway { broker, now, .. } = &mut self.gateway;
        let bytes = self.machine.transmit(broker, link, *now);
        if bytes.is_empty() {
            return false;
        }
        line.sent.extend_from_slice(bytes);
        let count = bytes.len();
        self.machine.transmitted(link, count, *now);
        while let Some(length) = line.sent.first_chunk::<4>() {
            let length = u32::from_be_bytes(*length) as usize;
            let Some(request) = line.sent.get(4..4 + length) else { break };
            assert!(find(key_of(request)).is_some(), "a request of no API that is known");
            line.asked.push_back(request.to_vec());
            line.sent.drain(..4 + length);
        }
        true
    }

    fn event(&mut self, input: &mut Input<'_>) {
        let how = input.byte();
        let waiting = self.lines.iter().find(|(_, line)| !line.connected).map(|(link, _)| *link);
        let open: Vec<LinkId> =
            self.lines.iter().filter(|(_, line)| line.connected).map(|(link, _)| *link).collect();
        let link = open.get(usize::from(how >> 6) % open.len().max(1)).copied();
        match (how & 15, waiting, link) {
            (15, Some(link), _) => {
                self.lines.remove(&link);
                self.handle(Event::Closed(link, "refused"));
            }
            (0..=11, Some(link), _) => {
                self.lines.get_mut(&link).expect("it waits").connected = true;
                self.handle(Event::Connected(link));
            }
            (14, _, Some(link)) => {
                self.lines.remove(&link);
                self.handle(Event::Closed(link, "gone"));
            }
            (13, ..) => self.gateway.records("t", 0, 1 + i64::from(how >> 4)),
            (12, _, Some(link)) => {
                let length = usize::from(input.byte());
                let bytes = input.take(length);
                self.handle(Event::Received(link, bytes));
            }
            (0..=11, None, Some(link)) if !self.lines[&link].asked.is_empty() => {
                self.answer(link, how, input);
            }
            _ => {
                let until = self.machine.poll_timeout().map(|at| at.since(self.gateway.now.mono));
                self.gateway.pass(until.unwrap_or(100).clamp(1, 100_000));
                self.handle(Event::Tick);
            }
        }
    }

    fn answer(&mut self, link: LinkId, how: u8, input: &mut Input<'_>) {
        let Some(line) = self.lines.get_mut(&link) else { return };
        let Some(request) = line.asked.pop_front() else { return };
        let mut answer = match how & 15 {
            // Made up.
            8 | 9 => made_up(&request, input),
            _ => self.upstream.ask(1, &request).ok().flatten(),
        }
        .unwrap_or_default();
        if matches!(how & 15, 6 | 7) {
            for _ in 0..=how >> 6 {
                let at = usize::from(input.word()) % answer.len().max(1);
                if let Some(byte) = answer.get_mut(at) {
                    *byte = input.byte();
                }
            }
        }
        if how & 15 == 5 {
            answer.truncate(usize::from(input.byte()));
        }
        let mut bytes = (answer.len() as u32).to_be_bytes().to_vec();
        bytes.extend(answer);
        let cut = if how & 0x10 == 0 { bytes.len() } else { input.below(bytes.len()) };
        let (first, second) = bytes.split_at(cut);
        for part in [first, second] {
            if !part.is_empty() && self.lines.contains_key(&link) {
                self.handle(Event::Received(link, part));
                self.settle();
            }
        }
    }
}

fn key_of(request: &[u8]) -> i16 {
    i16::from_be_bytes([request[0], request[1]])
}

/// A well-formed answer whose fields are the input's.
fn made_up(request: &[u8], input: &mut Input<'_>) -> Option<Vec<u8>> {
    let (key, version) = (key_of(request), i16::from_be_bytes([request[2], request[3]]));
    let mut answer = request[4..8].to_vec();
    let flexible = find(key).is_some_and(|api| version >= api.flexible);
    if flexible && key != API_VERSIONS_KEY {
        answer.push(0);
    }
    answer.extend(schema::response(key, version, input)?);
    Some(answer)
}
