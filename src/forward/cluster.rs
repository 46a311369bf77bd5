//! What upstream looks like: its brokers, and who leads the partitions that our lanes go to.
//!
//! Promises: what was asked for once and is still believed is not asked for again; what an error
//! made doubtful is stale until the next answer. Bounded by the brokers that upstream has and the
//! topics that we forward.
//! Absent: connections (`link`), and what a lane makes of a change (`lane`).

use crate::client::messages::metadata::MetadataResponse;
use crate::limits::{FORWARD_METADATA_MS, FORWARD_METADATA_TOPICS_MAX};
use crate::time::Millis;
use crate::wire::ErrorCode;
use std::collections::BTreeMap;

/// One upstream broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Its node id.
    pub id: i32,
    /// Its advertised host.
    pub host: String,
    /// Its advertised port.
    pub port: u16,
    /// Failures to connect in a row, and when the next try may be.
    pub attempts: u32,
    /// See `attempts`.
    pub not_before: Millis,
}

/// One upstream topic, as far as it is known.
#[derive(Clone, Debug)]
pub struct UpstreamTopic {
    /// What the last answer said; `UnknownTopicOrPartition` for a topic that is not there.
    pub error: ErrorCode,
    /// Its id; zero where the broker is older than 2.8.
    pub id: [u8; 16],
    /// The leader of each partition, -1 for none.
    pub leaders: Vec<i32>,
    /// To be asked for before it is used again.
    pub stale: bool,
    /// Some partitions have no leader: to be asked for again, the others are of use meanwhile.
    pub partial: bool,
    /// Not to be asked for before this.
    pub not_before: Millis,
    /// Answers in a row that were of no use.
    pub attempts: u32,
    /// Where it is missing: when it may be created.
    pub create_at: Millis,
}

/// Upstream, as far as it is known.
#[derive(Debug, Default)]
pub struct Cluster {
    /// The cluster's id; `None` before the first answer.
    pub id: Option<String>,
    /// The node id of the controller, or -1.
    pub controller: i32,
    /// The brokers.
    pub nodes: Vec<Node>,
    topics: BTreeMap<String, UpstreamTopic>,
    refreshed: Millis,
    /// Counts changes of what is known of topics: whoever looked since need not look again.
    pub version: u64,
}

impl Cluster {
    /// A topic, if it was ever asked for.
    pub fn topic(&self, name: &str) -> Option<&UpstreamTopic> {
        self.topics.get(name)
    }

    /// A broker.
    pub fn node(&self, id: i32) -> Option<&Node> {
        self.nodes.iter().find(|node| node.id == id)
    }

    /// A broker, to note a failure.
    pub fn node_mut(&mut self, id: i32) -> Option<&mut Node> {
        self.nodes.iter_mut().find(|node| node.id == id)
    }

    /// The leader of a partition, if it is known and believed.
    pub fn leader(&self, topic: &str, partition: i32) -> Option<i32> {
        let topic = self.topics.get(topic).filter(|topic| !topic.stale)?;
        let leader = *topic.leaders.get(usize::try_from(partition).ok()?)?;
        (leader >= 0).then_some(leader)
    }

    /// Somebody wants to know about `topic`.
    pub fn want(&mut self, topic: &str) {
        if !self.topics.contains_key(topic) {
            let unknown = UpstreamTopic {
                error: ErrorCode::LeaderNotAvailable,
                id: [0; 16],
                leaders: Vec::new(),
                stale: true,
                partial: false,
                not_before: Millis(0),
                attempts: 0,
                create_at: Millis(0),
            };
            self.topics.insert(topic.to_owned(), unknown);
            self.version += 1;
        }
    }

    /// What is known about `topic` was wrong; ask again, but not before `at`.
    pub fn doubt(&mut self, topic: &str, at: Millis) {
        self.version += 1;
        if let Some(topic) = self.topics.get_mut(topic) {
            topic.stale = true;
            topic.not_before = topic.not_before.max(at);
        }
    }

    /// A leader that is not among the brokers: ask again, but not before `at`.
    pub fn doubt_leader(&mut self, node: i32, at: Millis) {
        self.version += 1;
        for topic in self.topics.values_mut().filter(|topic| topic.leaders.contains(&node)) {
            topic.stale = true;
            topic.not_before = topic.not_before.max(at);
        }
    }

    /// Everything is to be asked for again: a link was lost.
    pub fn doubt_all(&mut self) {
        self.version += 1;
        self.topics.values_mut().for_each(|topic| topic.stale = true);
    }

    /// Forgets the topics that `used` does not know.
    pub fn retain(&mut self, used: impl Fn(&str) -> bool) {
        self.topics.retain(|name, _| used(name));
    }

    /// Once in [`FORWARD_METADATA_MS`] while there is work: partitions may have been added.
    pub fn age(&mut self, now: Millis) {
        if now.since(self.refreshed) >= FORWARD_METADATA_MS {
            self.refreshed = now;
            self.doubt_all();
        }
    }

    /// The topics to ask for now, a few at a time.
    pub fn stale(&self, now: Millis) -> Vec<&str> {
        let stale =
            self.topics.iter().filter(|(_, t)| (t.stale || t.partial) && t.not_before <= now);
        stale.map(|(name, _)| name.as_str()).take(FORWARD_METADATA_TOPICS_MAX).collect()
    }

    /// When the next stale topic may be asked for.
    pub fn stale_due(&self) -> Option<Millis> {
        self.topics.values().filter(|t| t.stale || t.partial).map(|t| t.not_before).min()
    }

    /// The topic that could be created now: it is not there, and that is no news.
    pub fn missing(&self) -> impl Iterator<Item = (&str, &UpstreamTopic)> {
        let missing = |topic: &UpstreamTopic| {
            topic.error == ErrorCode::UnknownTopicOrPartition && topic.attempts > 0
        };
        self.topics.iter().filter(move |(_, t)| missing(t)).map(|(name, t)| (name.as_str(), t))
    }

    /// A missing topic is being created; not again before `at`.
    pub fn creating(&mut self, name: &str, at: Millis) {
        if let Some(topic) = self.topics.get_mut(name) {
            topic.create_at = at;
        }
    }

    /// A topic was created: ask for it now.
    pub fn created(&mut self, name: &str, now: Millis) {
        self.version += 1;
        if let Some(topic) = self.topics.get_mut(name) {
            topic.stale = true;
            topic.not_before = now;
        }
    }

    /// Takes an answer in. `pause_ms` tells how long to wait after so many useless answers.
    pub fn learn(
        &mut self,
        response: MetadataResponse,
        now: Millis,
        mut pause_ms: impl FnMut(u32) -> u64,
    ) {
        self.version += 1;
        self.controller = response.controller_id;
        self.refreshed = if self.id.is_none() { now } else { self.refreshed };
        self.id = response.cluster_id.or_else(|| Some(String::new()));
        let known = core::mem::take(&mut self.nodes);
        for broker in response.brokers {
            let port = u16::try_from(broker.port).unwrap_or(0);
            let same = known.iter().find(|node| node.id == broker.node_id);
            let (attempts, not_before) =
                same.map_or((0, Millis(0)), |node| (node.attempts, node.not_before));
            self.nodes.push(Node {
                id: broker.node_id,
                host: broker.host,
                port,
                attempts,
                not_before,
            });
        }
        for found in response.topics {
            let Some(topic) = self.topics.get_mut(&found.name) else { continue };
            topic.error = found.error_code;
            topic.id = found.topic_id;
            if found.error_code == ErrorCode::None {
                topic.leaders.clear();
                topic.leaders.resize(found.partitions.len(), -1);
                for partition in &found.partitions {
                    let at = usize::try_from(partition.partition_index).unwrap_or(usize::MAX);
                    if let Some(leader) = topic.leaders.get_mut(at) {
                        *leader = partition.leader_id;
                    }
                }
            }
            let useful = found.error_code == ErrorCode::None
                && !topic.leaders.is_empty()
                && topic.leaders.iter().all(|leader| *leader >= 0);
            // With some leaders it is of use to the lanes that go there, and asked for again.
            let some = topic.leaders.iter().any(|leader| *leader >= 0);
            topic.stale = !(found.error_code == ErrorCode::None && some);
            topic.partial = !topic.stale && !useful;
            topic.attempts = if useful { 0 } else { topic.attempts.saturating_add(1) };
            topic.not_before =
                if useful { now } else { now.saturating_add(pause_ms(topic.attempts)) };
        }
    }
}
