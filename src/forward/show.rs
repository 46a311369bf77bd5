//! What a person is told about the forwarder: the link, the lanes, and a few lines in the log.
//!
//! Backlogs and rates are reckoned by the broker when somebody asks.

use super::Forwarder;
use super::lane::Phase;
use super::link::State;
use crate::broker::Broker;
use crate::limits::FORWARD_SHOW_MS;
use crate::state::forward::{ErrorWords, LaneState, LinkState};
use crate::time::{Millis, Now};

/// What is not with the broker yet.
#[derive(Debug, Default)]
pub(super) struct Shown {
    bytes: u64,
    error: ErrorWords,
    error_is_new: bool,
    next_try: Option<Millis>,
    connected: bool,
    /// When the lanes were shown last.
    lanes_at: Millis,
}

impl Shown {
    /// A socket took bytes.
    pub fn sent(&mut self, bytes: u64) {
        self.bytes += bytes;
    }

    /// A broker answers.
    pub fn up(&mut self) {
        if !self.connected {
            log::info!("forwarding: connected");
        }
        self.connected = true;
        self.next_try = None;
        self.error.clear();
        self.error_is_new = true;
    }

    /// A link could not be opened, or was lost.
    pub fn failed(&mut self, words: &str, next_try: Millis) {
        // Once, not with every try: a link may be away for weeks.
        if self.error != words {
            log::warn!("forwarding: {words}");
        }
        self.connected = false;
        self.error.set(words);
        self.error_is_new = true;
        self.next_try = Some(next_try);
    }
}

impl Forwarder {
    /// Brings the broker's figures up to date.
    pub(super) fn show(&mut self, broker: &mut Broker, now: Now) {
        let up = self.links.iter().any(|link| link.state == State::Ready);
        let state = if up || self.shown.connected {
            LinkState::Up
        } else if self.links.is_empty() || self.shown.next_try.is_some() {
            LinkState::Down
        } else {
            LinkState::Connecting
        };
        let forwarding = broker.forwarding_mut();
        forwarding.set_link(state, now);
        forwarding.next_try = self.shown.next_try.filter(|_| state != LinkState::Up);
        if core::mem::take(&mut self.shown.error_is_new) {
            forwarding.set_error(&self.shown.error);
        }
        let bytes = core::mem::take(&mut self.shown.bytes);
        if bytes > 0 {
            forwarding.sent(bytes, now);
        }
        let since = now.mono.since(self.shown.lanes_at);
        if since < FORWARD_SHOW_MS {
            // Later, once for many changes.
            let due = now.mono.saturating_add(FORWARD_SHOW_MS - since);
            self.timeout = Some(self.timeout.map_or(due, |timeout| timeout.min(due)));
            return;
        }
        self.shown.lanes_at = now.mono;
        for at in 0..self.lanes.len() {
            let lane = &self.lanes[at];
            let state = match lane.phase {
                Phase::Stopped => LaneState::Stopped,
                _ if !lane.wants(broker) => LaneState::Idle,
                _ if lane.attempts > 0 => LaneState::Retrying,
                Phase::Doubt | Phase::UpstreamEnd | Phase::ReadBack(_) => LaneState::InDoubt,
                Phase::Ready if lane.flight.is_some() => LaneState::Sending,
                _ => LaneState::Waiting,
            };
            let error = if state >= LaneState::Retrying { lane.error } else { 0 };
            let name = (lane.key.topic, lane.key.partition);
            if let Some(figures) = broker.forwarding_mut().lane_mut(name) {
                (figures.state, figures.error) = (state, error);
            }
        }
    }
}
