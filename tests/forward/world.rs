//! Everything together: the gateway, the network and upstream, in virtual time, one event after
//! the other.

use crate::cluster::Cluster;
use crate::gateway::Gateway;
use crate::network::{Connection, Weather};
use crate::random::Random;
use ottla::forward::{Action, Event};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

/// What is going to happen.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Happening {
    /// A connection is open, or was refused.
    Opened(u64),
    Refused(u64),
    /// Bytes arrive at a server.
    Arrived(u64, Vec<u8>),
    /// A server carries a request out; it has been started so often.
    Carried(u64, u32, Vec<u8>),
    /// Bytes arrive at the gateway, at its process of this number.
    Delivered(u64, Vec<u8>),
    /// The gateway learns that a connection is gone.
    Lost(u64),
    /// The server has let go of a connection.
    Unread(u64),
    /// A socket takes bytes again.
    Writable(u64),
    /// The sync of this start has ended.
    Synced(u64),
}

/// The world.
pub struct World {
    pub now: u64,
    pub gateway: Gateway,
    pub cluster: Cluster,
    pub weather: Weather,
    pub random: Random,
    /// Names that cannot be looked up.
    pub no_names: bool,
    /// How often each server was started.
    pub incarnations: Vec<u32>,
    /// The process dies before its next turn has ended.
    pub doomed: bool,
    /// Upstream is about to forget producers: what is on its way comes before.
    expiring: bool,
    pub sync_ms: (u64, u64),
    pub trace: bool,
    /// Ticks that the machine asked for, and bytes it sent.
    pub wakes: u64,
    pub sent_bytes: u64,
    /// Times that the power went off.
    pub cuts: u64,
    connections: BTreeMap<u64, Connection>,
    links: BTreeMap<u32, u64>,
    next_connection: u64,
    heap: BinaryHeap<Reverse<(u64, u64, Happening)>>,
    order: u64,
}

impl World {
    /// A world in which nothing has happened yet.
    pub fn new(gateway: Gateway, cluster: Cluster, random: Random, trace: bool) -> World {
        World {
            now: 0,
            incarnations: vec![0; cluster.up.len()],
            gateway,
            cluster,
            weather: Weather::fine(),
            random,
            no_names: false,
            doomed: false,
            expiring: false,
            sync_ms: (1, 10),
            trace,
            wakes: 0,
            sent_bytes: 0,
            cuts: 0,
            connections: BTreeMap::new(),
            links: BTreeMap::new(),
            next_connection: 1,
            heap: BinaryHeap::new(),
            order: 0,
        }
    }

    /// Says what happens, if somebody listens.
    pub fn say(&self, what: impl FnOnce() -> String) {
        if self.trace {
            println!("{:8} {}", self.now, what());
        }
    }

    fn plan(&mut self, at: u64, what: Happening) {
        self.order += 1;
        self.heap.push(Reverse((at.max(self.now), self.order, what)));
    }

    /// Runs until a moment.
    pub fn run_until(&mut self, end: u64) {
        let mut steps = 0_u64;
        loop {
            let planned = self.heap.peek().map(|Reverse((at, ..))| *at);
            let upstream = self.cluster.wakes_at();
            let gateway = self.gateway.wakes_at();
            let gateway_at = gateway.map(|(at, _)| at);
            let next = [planned, upstream, gateway_at].into_iter().flatten().min();
            let Some(next) = next.filter(|next| *next <= end) else { break };
            steps = if next > self.now { 0 } else { steps + 1 };
            assert!(
                steps < 1_000_000,
                "nothing but events at {} ms: upstream's at {upstream:?}, the gateway's at \
                 {gateway:?} (or the machine's), behind {:?}",
                self.now,
                self.gateway.disk.operation_log().into_iter().rev().take(5).collect::<Vec<_>>(),
            );
            self.now = self.now.max(next);
            if planned.is_some_and(|at| at <= next) {
                let Reverse((_, _, what)) = self.heap.pop().expect("peeked at");
                self.happen(what);
            } else if upstream.is_some_and(|at| at <= next) {
                self.upstream_tick();
            } else {
                self.gateway_tick(gateway.is_some_and(|(_, machine)| machine));
            }
        }
        self.now = end;
    }

    fn upstream_tick(&mut self) {
        if self.cluster.expiry_due(self.now) {
            // A request that is still on its way when its producer is forgotten could arrive twice
            // whatever a client does. It would have to be on its way for longer than the
            // expiration, which is a day: here it comes before. What was found out before it came
            // is sent behind the check, so that the producer of one that nobody waits for any more
            // is forgotten at the next.
            self.expiring = true;
            let mut late = Vec::new();
            let mut rest = BinaryHeap::new();
            while let Some(Reverse(one)) = self.heap.pop() {
                match &one.2 {
                    Happening::Arrived(..) | Happening::Carried(..) => late.push(one),
                    _ => rest.push(Reverse(one)),
                }
            }
            self.heap = rest;
            late.into_iter().for_each(|(_, _, what)| self.happen(what));
            let carried =
                |one: &Reverse<(u64, u64, Happening)>| matches!(one.0.2, Happening::Carried(..));
            while self.heap.iter().any(carried) {
                let all = std::mem::take(&mut self.heap).into_vec();
                let (due, rest): (Vec<_>, Vec<_>) = all.into_iter().partition(carried);
                self.heap = rest.into();
                due.into_iter().for_each(|Reverse((_, _, what))| self.happen(what));
            }
            self.expiring = false;
        }
        self.cluster.tick(self.now);
        self.spread_answers();
    }

    fn gateway_tick(&mut self, machine: bool) {
        let clock = self.gateway.clock(self.now);
        let Some(running) = &mut self.gateway.running else { return };
        if machine {
            self.wakes += 1;
            running.machine.handle(&mut running.broker, Event::Tick, clock);
        } else if running.broker.poll_timeout().is_some_and(|at| at <= clock.mono) {
            running.broker.handle_timeout(clock);
        }
        self.turn();
    }

    fn happen(&mut self, what: Happening) {
        match what {
            Happening::Opened(id) => {
                let Some(connection) = self.connections.get_mut(&id) else { return };
                if connection.over {
                    return;
                }
                connection.open = true;
                let link = connection.link;
                self.say(|| format!("link {link} is open"));
                self.event(Event::Connected(link));
            }
            Happening::Refused(id) => self.lose(id, "refused"),
            Happening::Lost(id) => self.lose(id, "reset"),
            Happening::Unread(id) => {
                if let Some(connection) = self.connections.get_mut(&id) {
                    connection.read = false;
                    connection.arrived.clear();
                }
            }
            Happening::Arrived(id, bytes) => {
                let Some(connection) = self.connections.get_mut(&id) else { return };
                if connection.read {
                    connection.arrived.extend_from_slice(&bytes);
                    self.take_request(id);
                }
            }
            Happening::Carried(id, incarnation, frame) => {
                let Some(connection) = self.connections.get(&id) else { return };
                let server = connection.server;
                if self.incarnations[server] == incarnation && self.cluster.up[server] {
                    let gone = connection.over;
                    self.say(|| {
                        let key = i16::from_be_bytes([frame[0], frame[1]]);
                        let late = if gone { ", from a connection that is gone" } else { "" };
                        format!("server {server} takes a request {key}{late}")
                    });
                    self.cluster.keeps = gone && self.expiring;
                    self.cluster.handle(server, id, &frame, self.now);
                    self.cluster.keeps = false;
                    self.spread_answers();
                }
            }
            Happening::Delivered(id, bytes) => {
                let Some(connection) = self.connections.get_mut(&id) else { return };
                if !connection.over && connection.open {
                    connection.delivered.extend_from_slice(&bytes);
                    self.receive();
                    self.turn();
                }
            }
            Happening::Writable(id) => {
                if self.connections.get(&id).is_some_and(|connection| !connection.over) {
                    self.turn();
                }
            }
            Happening::Synced(start) => {
                if self.gateway.starts == start {
                    self.gateway.end_sync(self.now);
                    self.turn();
                }
            }
        }
    }

    fn lose(&mut self, id: u64, why: &str) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        if std::mem::replace(&mut connection.over, true) {
            return;
        }
        let link = connection.link;
        self.links.remove(&link);
        self.say(|| format!("link {link} is gone: {why}"));
        self.event(Event::Closed(link, why));
    }

    fn take_request(&mut self, id: u64) {
        let (lowest, highest) = self.weather.thinking_ms;
        let Some(connection) = self.connections.get_mut(&id) else { return };
        if connection.busy {
            return;
        }
        if let Some(frame) = connection.next_frame() {
            connection.busy = true;
            let at = self.now + self.random.between(lowest, highest);
            let incarnation = self.incarnations[connection.server];
            self.plan(at, Happening::Carried(id, incarnation, frame));
        }
    }

    fn spread_answers(&mut self) {
        for (id, bytes) in self.cluster.take_answers() {
            let Some(connection) = self.connections.get_mut(&id) else { continue };
            connection.busy = false;
            if connection.over {
                // The answer cannot be sent, and what is behind its request is not looked at.
                connection.read = false;
                connection.arrived.clear();
                continue;
            }
            let sent = connection.send(false, &bytes, self.now, &mut self.random);
            for (at, piece) in sent.pieces {
                self.plan(at, Happening::Delivered(id, piece));
            }
            if let Some(at) = sent.cut_at {
                self.plan(at, Happening::Lost(id));
                self.plan(self.now, Happening::Unread(id));
            }
            self.take_request(id);
        }
    }

    /// Something happened to the machine.
    fn event(&mut self, event: Event<'_>) {
        let clock = self.gateway.clock(self.now);
        if let Some(running) = &mut self.gateway.running {
            running.machine.handle(&mut running.broker, event, clock);
            self.turn();
        }
    }

    /// What follows from an event: actions, bytes for the sockets, frames for the disk.
    pub fn turn(&mut self) {
        for round in 0.. {
            assert!(round < 1_000, "the machine has something to do for ever");
            if self.gateway.disk.is_cut() {
                return self.power_off();
            }
            let mut acted = self.act();
            acted |= self.receive();
            acted |= self.transmit();
            if let Some(running) = &mut self.gateway.running {
                acted |= running.machine.take_wake();
            }
            if self.gateway.running.is_none() {
                return;
            }
            if self.doomed {
                return self.die();
            }
            if self.gateway.commit(self.now) {
                let at = self.now + self.random.between(self.sync_ms.0, self.sync_ms.1);
                self.plan(at, Happening::Synced(self.gateway.starts));
            }
            if self.gateway.disk.is_cut() {
                return self.power_off();
            }
            let clock = self.gateway.clock(self.now);
            let Some(running) = &mut self.gateway.running else { return };
            if running.broker.forward_pending() {
                running.machine.handle(&mut running.broker, Event::Tick, clock);
            } else if !acted {
                return;
            }
        }
    }

    fn act(&mut self) -> bool {
        let mut acted = false;
        while let Some(running) = &mut self.gateway.running
            && let Some(action) = running.machine.poll_action()
        {
            acted = true;
            match action {
                Action::Connect { link, host, port } => self.connect(link, &host, port),
                Action::Close { link } => {
                    self.say(|| format!("link {link} is closed by the machine"));
                    let id = self.links.remove(&link).expect("a link that is there");
                    self.let_go(id);
                }
            }
        }
        acted
    }

    /// The gateway's side of a connection is gone. What was sent may still arrive, or not.
    fn let_go(&mut self, id: u64) {
        let connection = self.connections.get_mut(&id).expect("a connection");
        connection.over = true;
        if self.random.chance(50) {
            self.plan(self.now, Happening::Unread(id));
        }
    }

    fn connect(&mut self, link: u32, host: &str, port: u16) {
        let id = self.next_connection;
        self.next_connection += 1;
        let server = host.strip_prefix("server-").and_then(|number| number.parse().ok());
        let server = server.filter(|server| port == 9092 + *server as u16);
        let known = server.filter(|server| *server < self.cluster.up.len() && !self.no_names);
        let random = &mut self.random;
        let connection = Connection::new(link, known.unwrap_or(0), &self.weather, random);
        self.connections.insert(id, connection);
        let before = self.links.insert(link, id);
        assert_eq!(before, None, "link {link} was not closed before it is opened again");
        self.say(|| format!("link {link} to {host}:{port}"));
        let (low, high) = self.weather.latency_ms;
        let at = self.now + self.random.between(low, high);
        let (refused, unanswered) = (self.weather.refused_percent, self.weather.unanswered_percent);
        let Some(server) = known else { return self.plan(at, Happening::Refused(id)) };
        match () {
            () if self.random.chance(unanswered) => {}
            () if !self.cluster.up[server] || self.random.chance(refused) => {
                self.plan(at, Happening::Refused(id));
            }
            () => self.plan(at, Happening::Opened(id)),
        }
    }

    /// Gives the machine what it has room for. True when that was something.
    fn receive(&mut self) -> bool {
        let mut received = false;
        let ids: Vec<(u32, u64)> = self.links.iter().map(|(link, id)| (*link, *id)).collect();
        for (link, id) in ids {
            let clock = self.gateway.clock(self.now);
            let Some(running) = &mut self.gateway.running else { return received };
            let Some(connection) = self.connections.get_mut(&id) else { continue };
            while !connection.over && !connection.delivered.is_empty() {
                let room = running.machine.room(link);
                if room == 0 {
                    break;
                }
                received = true;
                let count = room.min(connection.delivered.len());
                let bytes: Vec<u8> = connection.delivered.drain(..count).collect();
                running.machine.handle(&mut running.broker, Event::Received(link, &bytes), clock);
            }
        }
        received
    }

    /// Gives sockets what they take. True when something was sent.
    fn transmit(&mut self) -> bool {
        let mut sent_any = false;
        let ids: Vec<(u32, u64)> = self.links.iter().map(|(link, id)| (*link, *id)).collect();
        for (link, id) in ids {
            let clock = self.gateway.clock(self.now);
            let Some(running) = &mut self.gateway.running else { return sent_any };
            let Some(connection) = self.connections.get_mut(&id) else { continue };
            if !connection.open || connection.over || connection.full_until > self.now {
                continue;
            }
            let bytes = running.machine.transmit(&mut running.broker, link, clock);
            if self.gateway.disk.is_cut() {
                self.power_off();
                return sent_any;
            }
            if bytes.is_empty() || connection.silent && self.random.chance(50) {
                continue;
            }
            let take = connection.takes(bytes.len(), &mut self.random);
            running.machine.transmitted(link, take, clock);
            let full = (take < bytes.len()).then(|| self.now + self.random.between(1, 30));
            connection.full_until = full.unwrap_or(0);
            self.sent_bytes += take as u64;
            sent_any = true;
            let sent = connection.send(true, &bytes[..take], self.now, &mut self.random);
            if let Some(at) = full {
                self.plan(at, Happening::Writable(id));
            }
            for (at, piece) in sent.pieces {
                self.plan(at, Happening::Arrived(id, piece));
            }
            if let Some(at) = sent.cut_at {
                self.plan(at, Happening::Unread(id));
                let later = at + self.random.below(200);
                self.plan(later, Happening::Lost(id));
            }
        }
        sent_any
    }

    /// All connections of the gateway's process end.
    fn leave(&mut self) {
        for (_, id) in std::mem::take(&mut self.links) {
            self.let_go(id);
        }
    }

    /// The power goes off; the disk is what the cut has left.
    pub fn power_off(&mut self) {
        self.cuts += 1;
        let variant =
            if self.random.chance(50) { self.random.below(2) } else { self.random.next() };
        self.say(|| format!("power off, variant {variant}"));
        self.doomed = false;
        self.gateway.running = None;
        self.gateway.disk = self.gateway.disk.after_cut(variant % 1_000_000);
        self.leave();
    }

    /// kill -9: what is in the page cache stays.
    pub fn die(&mut self) {
        self.say(|| "kill -9".to_owned());
        self.doomed = false;
        self.gateway.running = None;
        self.leave();
    }

    /// The orderly end.
    pub fn stop(&mut self) {
        self.say(|| "orderly stop".to_owned());
        self.gateway.stop(self.now);
        if self.gateway.disk.is_cut() {
            return self.power_off();
        }
        self.leave();
    }

    /// Starts the gateway; after cuts during the start, as often as it takes.
    pub fn start(&mut self) {
        assert!(self.start_in(100), "it does not start: {:?}", self.gateway.said);
    }

    /// The same within so many attempts; whether it runs.
    pub fn start_in(&mut self, attempts: u32) -> bool {
        self.say(|| "the gateway starts".to_owned());
        let mut left = attempts;
        while !self.gateway.start(self.now) {
            self.power_off();
            left -= 1;
            if left == 0 {
                return false;
            }
        }
        if let Some(running) = &self.gateway.running {
            running.broker.forwarding().rows().for_each(|row| self.say(|| format!("{row:?}")));
        }
        self.turn();
        true
    }

    /// A server dies, with its connections.
    pub fn server_gone(&mut self, server: usize) {
        self.say(|| format!("server {server} is gone"));
        self.incarnations[server] += 1;
        self.cluster.server_gone(server, self.now);
        self.spread_answers();
        let theirs = |connection: &Connection| connection.server == server;
        let ids = self.connections.iter().filter(|(_, c)| theirs(c)).map(|(id, _)| *id);
        let ids: Vec<u64> = ids.collect();
        for id in ids {
            self.plan(self.now, Happening::Unread(id));
            if self.random.chance(70) {
                self.plan(self.now, Happening::Lost(id));
            } else if let Some(connection) = self.connections.get_mut(&id) {
                connection.silent = true;
            }
        }
    }

    /// It is back.
    pub fn server_back(&mut self, server: usize) {
        self.say(|| format!("server {server} is back"));
        self.cluster.server_back(server, self.now);
        self.spread_answers();
    }

    /// All servers are others than a moment ago.
    pub fn restart_servers(&mut self) {
        self.incarnations.iter_mut().for_each(|count| *count += 1);
        self.cut_all();
    }

    /// Every connection that is open is cut.
    pub fn cut_all(&mut self) {
        let ids: Vec<u64> = self.links.values().copied().collect();
        for id in ids {
            self.plan(self.now, Happening::Unread(id));
            self.plan(self.now, Happening::Lost(id));
        }
    }

    /// From now on everything works.
    pub fn calm(&mut self) {
        self.weather = Weather::fine();
        self.no_names = false;
        self.connections.values_mut().for_each(Connection::spare);
    }

    /// Answers of the cluster that were caused from outside.
    pub fn after_upstream(&mut self) {
        self.spread_answers();
    }
}
