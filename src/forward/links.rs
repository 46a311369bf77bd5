//! Connections: opened for whom needs them, closed when they are late or idle; and the buffers that
//! they take in turns.
//!
//! Promises: a link that waits for a buffer gets the next one that is free, before any that came
//! later; nothing is allocated here.
//! Absent: what goes over a link (`asking`, `produce`, `answers`).

use super::cluster::UpstreamTopic;
use super::link::{Host, Link, LinkId, State};
use super::{Action, Forwarder};
use crate::broker::Broker;
use crate::limits::{FORWARD_LINK_IDLE_MS, FORWARD_LINKS_MAX};
use crate::state::forward::ErrorWords;
use crate::time::Now;

impl Forwarder {
    /// Links that keep us waiting for longer than `forward.request.timeout.ms`, and links that
    /// nobody has used for long.
    pub(super) fn drop_late_links(&mut self, now: Now) {
        let timeout_ms = self.config.request_timeout_ms;
        while let Some(late) = self.links.iter().find(|link| {
            link.deadline(timeout_ms).is_some_and(|due| due <= now.mono)
                || link.state != State::Ready
                    && link.flights.is_empty()
                    && now.mono.since(link.used) >= timeout_ms
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
            let link = self.remove_link(at);
            self.close(link);
        }
    }

    /// A link is gone. `close`: by us.
    pub(super) fn lose_link(&mut self, id: LinkId, why: &str, close: bool, now: Now) {
        let Some(at) = self.link_at(id) else { return };
        let link = &mut self.links[at];
        let idle = !close && link.state == State::Ready && link.flights.is_empty();
        while let Some(flight) = self.links[at].flights.pop_front() {
            self.unanswered(flight, now);
        }
        let (node, port) = (self.links[at].node, self.links[at].port);
        let host = self.links[at].host.clone();
        self.remove_link(at);
        if close {
            self.close(id);
        }
        // Whoever answers there next may be somebody else.
        self.cluster.doubt_all();
        if idle {
            // Upstream closes what is unused (connections.max.idle.ms): no failure.
            log::debug!("upstream {host}:{port}: closed, nothing was under way");
            return;
        }
        let attempts = match node.and_then(|id| self.cluster.node_mut(id)) {
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
        match node.and_then(|id| self.cluster.node_mut(id)) {
            Some(node) => node.not_before = not_before,
            None => self.bootstrap.not_before = not_before,
        }
        let words = ErrorWords::of(format_args!("{host}:{port}: {why}"));
        self.shown.failed(&words, not_before);
    }

    /// Opens the links that somebody needs.
    pub(super) fn connect(&mut self, broker: &Broker, now: Now) {
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
        let creates = |topic: &UpstreamTopic| topic.create_at <= now.mono;
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
            let (host, port) = (Host::from(self.cluster.host(node)), node.port);
            self.open_link(Some(id), &host, port, now);
        }
        let asks =
            lost && (self.cluster.id.is_none() || self.cluster.stale(now.mono).next().is_some());
        // Somebody who answers can be asked; a link that is only being tried may never be open.
        let answers = |link: &Link| link.node.is_none() || link.state == State::Ready;
        let nobody = !self.links.iter().any(answers);
        if asks && nobody && self.bootstrap.not_before <= now.mono {
            let servers = &self.config.bootstrap_servers;
            let (host, port) = &servers[self.bootstrap.next % servers.len()];
            let (host, port) = (Host::from(host.as_str()), *port);
            self.bootstrap.next = self.bootstrap.next.wrapping_add(1);
            self.open_link(None, &host, port, now);
        }
    }

    fn open_link(&mut self, node: Option<i32>, host: &Host, port: u16, now: Now) {
        if self.links.is_full() {
            // The one that was not used for longest, if any is idle; else it has to wait.
            let idle =
                |(_, link): &(usize, &Link)| link.flights.is_empty() && link.state == State::Ready;
            let links = self.links.iter().enumerate();
            let oldest = links.filter(idle).min_by_key(|(_, link)| link.used);
            let Some(at) = oldest.map(|(at, _)| at) else { return };
            let link = self.remove_link(at);
            self.close(link);
        }
        let Some(small) = self.smalls.pop() else { return };
        let id = self.next_link;
        self.next_link = self.next_link.wrapping_add(1);
        let link = Link::new(id, node, host, port, small, now.mono);
        // There is room for both.
        self.links.push(link).ok();
        self.actions.push_back(Action::Connect { link: id, host: host.clone(), port }).ok();
    }

    pub(super) fn link_at(&self, id: LinkId) -> Option<usize> {
        self.links.iter().position(|link| link.id == id)
    }

    /// Forgets a link; its buffers are for others.
    pub(super) fn remove_link(&mut self, at: usize) -> LinkId {
        let Some(link) = self.links.swap_remove(at) else { return 0 };
        self.smalls.push(link.small).ok();
        self.shared.release(link.id);
        self.keep_request(link.out);
        self.wake = true;
        self.something_happened();
        link.id
    }

    /// Its socket is to be closed. One that nobody has begun to open need not be.
    pub(super) fn close(&mut self, id: LinkId) {
        let before = self.actions.len();
        self.actions
            .retain(|action| !matches!(action, Action::Connect { link, .. } if *link == id));
        if self.actions.len() == before {
            // A place for each link that was opened, and for each that is to be.
            self.actions.push_back(Action::Close { link: id }).ok();
        }
    }

    /// Gives a link a buffer for a request, when it is its turn; `false` when it has to wait.
    pub(super) fn take_request(&mut self, at: usize) -> bool {
        let turn = self.links[at].turn;
        let earlier = |link: &&Link| link.turn != 0 && (turn == 0 || link.turn < turn);
        let ahead = self.links.iter().filter(earlier).count();
        if self.requests.len() <= ahead {
            // Those with nothing to say would queue behind each other for ever, each waking the
            // next, while a socket that takes nothing holds the other buffers.
            if turn == 0 && !self.links[at].idle {
                self.links[at].turn = self.next_turn;
                self.next_turn += 1;
            }
            return false;
        }
        self.links[at].turn = 0;
        self.links[at].out = self.requests.pop().unwrap_or_default();
        self.links[at].clear_out();
        true
    }

    /// Takes the buffer back when all of the request is with the socket.
    pub(super) fn give_request_back(&mut self, at: usize) {
        let link = &mut self.links[at];
        if link.unsent() == 0 && link.out.capacity() > 0 {
            link.out_at = 0;
            let out = core::mem::take(&mut link.out);
            self.keep_request(out);
        }
    }

    /// Links that had nothing to say may have something now.
    pub(super) fn something_happened(&mut self) {
        self.links.iter_mut().for_each(|link| link.idle = false);
    }

    fn keep_request(&mut self, out: Vec<u8>) {
        if out.capacity() > 0 {
            // One place for each.
            self.requests.push(out).ok();
            self.wake |= self.links.iter().any(|link| link.turn != 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::open;
    use crate::config::{BrokerConfig, ForwardConfig};
    use crate::disk::sim::SimDisk;
    use crate::time::Millis;
    use std::rc::Rc;

    #[test]
    fn links_with_nothing_to_say_do_not_wake_each_other_for_ever() {
        let now = Now { mono: Millis(1_000), wall_ms: 1_700_000_000_000 };
        let bootstrap_servers = vec![("one".to_owned(), 9092)];
        let forward = ForwardConfig { bootstrap_servers, ..ForwardConfig::default() };
        let config = BrokerConfig { forward, ..BrokerConfig::default() };
        let mut broker = open(Rc::new(SimDisk::new()), config, 42, now).unwrap().broker;
        let mut forwarder = Forwarder::new(&mut broker, 3, now);
        assert_eq!(forwarder.requests.len(), 2);
        while !forwarder.links.is_empty() {
            forwarder.remove_link(0);
        }
        for id in 101..105 {
            let small = forwarder.smalls.pop().unwrap();
            let link = Link::new(id, None, "one", 9092, small, now.mono);
            forwarder.links.push(link).ok();
            forwarder.links.last_mut().unwrap().state = State::Ready;
        }
        // Nobody begins a request any more. One link's socket has taken no byte of its last one,
        // another's takes its request while a third one waits.
        forwarder.quiesce();
        for at in [3, 0] {
            assert!(forwarder.take_request(at));
            forwarder.links[at].out.extend_from_slice(b"a request");
        }
        assert!(forwarder.transmit(&mut broker, 102, now).is_empty());
        assert_ne!(forwarder.links[1].turn, 0);
        forwarder.transmitted(101, 9, now);
        let mut rounds = 0;
        while forwarder.take_wake() {
            rounds += 1;
            assert!(rounds < 10, "they wake each other for ever");
            for id in 101..104 {
                assert!(forwarder.transmit(&mut broker, id, now).is_empty());
            }
        }
        assert!(rounds > 0, "who waited was woken");
        assert!(forwarder.links.iter().all(|link| link.turn == 0), "nobody waits");
    }
}
