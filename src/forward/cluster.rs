//! What upstream looks like: its brokers, and who leads the partitions that our lanes go to.
//!
//! Promises: what was asked for once and is still believed is not asked for again; what an error
//! made doubtful is stale until the next answer. Everything is in tables that are allocated once:
//! of upstream's brokers those are kept that lead what we forward, then others; of its topics those
//! that we forward; of their leaders as many as the board has places for.
//! Absent: connections (`link`), and what a lane makes of a change (`lane`).

use crate::client::messages::metadata::Seen;
use crate::fixed::{List, Text, Texts};
use crate::limits::{
    FORWARD_HOST_BYTES_MAX, FORWARD_HOSTS_BYTES, FORWARD_METADATA_MS, FORWARD_NODES_MAX, Ledger,
    Sizes,
};
use crate::state::forward::{ClusterId, UpstreamName};
use crate::time::Millis;
use crate::wire::ErrorCode;

/// One upstream broker.
#[derive(Clone, Copy, Debug)]
pub struct Node {
    /// Its node id.
    pub id: i32,
    /// Its advertised host.
    host: Text,
    /// Its advertised port.
    pub port: u16,
    /// It stands in the answer that is being learned.
    seen: bool,
    /// Failures to connect in a row, and when the next try may be.
    pub attempts: u32,
    /// See `attempts`.
    pub not_before: Millis,
}

/// One upstream topic, as far as it is known.
#[derive(Clone, Debug)]
pub struct UpstreamTopic {
    /// Its name.
    pub name: UpstreamName,
    /// What the last answer said; `UnknownTopicOrPartition` for a topic that is not there.
    pub error: ErrorCode,
    /// Its id; zero where the broker is older than 2.8.
    pub id: [u8; 16],
    /// How many partitions it has.
    pub partitions: usize,
    /// Where the leaders of the first of them stand in the table of leaders, and of how many.
    first: usize,
    kept: usize,
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

impl UpstreamTopic {
    fn new(name: &UpstreamName) -> UpstreamTopic {
        UpstreamTopic {
            name: name.clone(),
            error: ErrorCode::LeaderNotAvailable,
            id: [0; 16],
            partitions: 0,
            first: 0,
            kept: 0,
            stale: true,
            partial: false,
            not_before: Millis(0),
            attempts: 0,
            create_at: Millis(0),
        }
    }

    /// Whether there was no place for the leader of this partition.
    pub fn is_beyond(&self, partition: i32) -> bool {
        usize::try_from(partition).is_ok_and(|at| at < self.partitions && at >= self.kept)
    }

    fn is_due(&self, now: Millis) -> bool {
        (self.stale || self.partial) && self.not_before <= now
    }
}

/// Upstream, as far as it is known.
#[derive(Debug)]
pub struct Cluster {
    /// The cluster's id; `None` before the first answer.
    pub id: Option<ClusterId>,
    /// The node id of the controller, or -1.
    pub controller: i32,
    /// The brokers.
    pub nodes: List<Node>,
    hosts: Texts,
    /// In the order of their names.
    topics: List<UpstreamTopic>,
    /// The leader of each partition, -1 for none; topic by topic, in no order.
    leaders: List<i32>,
    refreshed: Millis,
    /// Counts changes of what is known of topics: whoever looked since need not look again.
    pub version: u64,
}

impl Cluster {
    /// Nothing is known yet.
    pub fn new(sizes: &Sizes) -> Cluster {
        Cluster {
            id: None,
            controller: 0,
            nodes: List::new(FORWARD_NODES_MAX),
            hosts: Texts::new(FORWARD_NODES_MAX, FORWARD_HOSTS_BYTES),
            topics: List::new(sizes.topics),
            leaders: List::new(sizes.forward_leaders),
            refreshed: Millis(0),
            version: 0,
        }
    }

    /// The rows of the ledger.
    pub fn account(sizes: &Sizes, ledger: &mut Ledger) {
        let hosts = Texts::memory(FORWARD_NODES_MAX, FORWARD_HOSTS_BYTES);
        let node = List::<Node>::memory(1) + hosts / FORWARD_NODES_MAX;
        let waits = "partitions of the others wait";
        ledger.row("brokers upstream", FORWARD_NODES_MAX, node, waits);
        let topic = List::<UpstreamTopic>::memory(1);
        ledger.row("topics upstream", sizes.topics, topic, "one for each topic");
        let leader = List::<i32>::memory(1);
        ledger.row("leaders upstream", sizes.forward_leaders, leader, "further partitions wait");
    }

    fn find(&self, name: &str) -> Result<usize, usize> {
        self.topics.binary_search_by(|topic| topic.name.as_str().cmp(name))
    }

    fn topic_mut(&mut self, name: &str) -> Option<&mut UpstreamTopic> {
        let at = self.find(name).ok()?;
        self.topics.get_mut(at)
    }

    /// A topic, if it was ever asked for.
    pub fn topic(&self, name: &str) -> Option<&UpstreamTopic> {
        self.find(name).ok().map(|at| &self.topics[at])
    }

    /// A broker.
    pub fn node(&self, id: i32) -> Option<&Node> {
        self.nodes.iter().find(|node| node.id == id)
    }

    /// A broker, to note a failure.
    pub fn node_mut(&mut self, id: i32) -> Option<&mut Node> {
        self.nodes.iter_mut().find(|node| node.id == id)
    }

    /// A broker's advertised host.
    pub fn host(&self, node: &Node) -> &str {
        self.hosts.str(node.host)
    }

    fn leaders_of(&self, topic: &UpstreamTopic) -> &[i32] {
        self.leaders.get(topic.first..topic.first + topic.kept).unwrap_or_default()
    }

    /// The leader of a partition, if it is known and believed.
    pub fn leader(&self, topic: &str, partition: i32) -> Option<i32> {
        let topic = self.topic(topic).filter(|topic| !topic.stale)?;
        let leader = *self.leaders_of(topic).get(usize::try_from(partition).ok()?)?;
        (leader >= 0).then_some(leader)
    }

    /// Somebody wants to know about `topic`.
    pub fn want(&mut self, topic: &UpstreamName) {
        if let Err(at) = self.find(topic) {
            // A place for every local topic, and one name for each.
            self.topics.insert(at, UpstreamTopic::new(topic)).ok();
            self.version += 1;
        }
    }

    /// What is known about `topic` was wrong; ask again, but not before `at`.
    pub fn doubt(&mut self, topic: &str, at: Millis) {
        self.version += 1;
        if let Some(topic) = self.topic_mut(topic) {
            topic.stale = true;
            topic.not_before = topic.not_before.max(at);
        }
    }

    /// A leader that is not among the brokers: ask again, but not before `at`.
    pub fn doubt_leader(&mut self, node: i32, at: Millis) {
        self.version += 1;
        let Cluster { topics, leaders, .. } = self;
        for topic in topics.iter_mut() {
            let led = leaders.get(topic.first..topic.first + topic.kept).unwrap_or_default();
            if led.contains(&node) {
                topic.stale = true;
                topic.not_before = topic.not_before.max(at);
            }
        }
    }

    /// Everything is to be asked for again: a link was lost.
    pub fn doubt_all(&mut self) {
        self.version += 1;
        self.topics.iter_mut().for_each(|topic| topic.stale = true);
    }

    /// Forgets the topics that `used` does not know.
    pub fn retain(&mut self, used: impl Fn(&str) -> bool) {
        while let Some(at) = self.topics.iter().position(|topic| !used(&topic.name)) {
            self.place_leaders(at, 0);
            self.topics.remove(at);
        }
    }

    /// Once in [`FORWARD_METADATA_MS`] while there is work: partitions may have been added.
    pub fn age(&mut self, now: Millis) {
        if now.since(self.refreshed) >= FORWARD_METADATA_MS {
            self.refreshed = now;
            self.doubt_all();
        }
    }

    /// The topics to ask for now.
    pub fn stale(&self, now: Millis) -> impl Iterator<Item = &UpstreamTopic> + Clone {
        self.topics.iter().filter(move |topic| topic.is_due(now))
    }

    /// When the next stale topic may be asked for.
    pub fn stale_due(&self) -> Option<Millis> {
        self.topics.iter().filter(|t| t.stale || t.partial).map(|t| t.not_before).min()
    }

    /// The topic that could be created now: it is not there, and that is no news.
    pub fn missing(&self) -> impl Iterator<Item = &UpstreamTopic> {
        let missing = |topic: &&UpstreamTopic| {
            topic.error == ErrorCode::UnknownTopicOrPartition && topic.attempts > 0
        };
        self.topics.iter().filter(missing)
    }

    /// A missing topic is being created; not again before `at`.
    pub fn creating(&mut self, name: &str, at: Millis) {
        if let Some(topic) = self.topic_mut(name) {
            topic.create_at = at;
        }
    }

    /// A topic was created: ask for it now.
    pub fn created(&mut self, name: &str, now: Millis) {
        self.version += 1;
        if let Some(topic) = self.topic_mut(name) {
            topic.stale = true;
            topic.not_before = now;
        }
    }

    /// The answer is about this cluster.
    pub fn learn_cluster(&mut self, id: Option<&str>, controller_id: i32, now: Millis) {
        self.version += 1;
        self.controller = controller_id;
        self.refreshed = if self.id.is_none() { now } else { self.refreshed };
        self.id = Some(id.unwrap_or_default().into());
    }

    /// Gives a topic places for the leaders of so many partitions, none of them known.
    fn place_leaders(&mut self, at: usize, partitions: usize) {
        let (first, kept) = (self.topics[at].first, self.topics[at].kept);
        if partitions != self.topics[at].partitions || kept < partitions {
            drop(self.leaders.drain(first..first + kept));
            self.topics.iter_mut().filter(|t| t.first > first).for_each(|t| t.first -= kept);
            let room = self.leaders.capacity() - self.leaders.len();
            let topic = &mut self.topics[at];
            topic.partitions = partitions;
            topic.kept = partitions.min(room);
            topic.first = self.leaders.len();
            for _ in 0..topic.kept {
                self.leaders.push(-1).ok();
            }
        }
        let topic = &self.topics[at];
        let (first, kept) = (topic.first, topic.kept);
        self.leaders[first..first + kept].fill(-1);
    }

    /// Takes in what an answer says of topics. `visit` reads it, from its beginning; `pause_ms`
    /// tells how long to wait after so many useless answers.
    pub fn learn_topics(
        &mut self,
        visit: impl FnOnce(&mut dyn FnMut(Seen<'_>)),
        now: Millis,
        mut pause_ms: impl FnMut(u32) -> u64,
    ) {
        let mut learning = None;
        visit(&mut |seen| match seen {
            Seen::Topic { error_code, name, id, partitions } => {
                learning = self.find(name).ok();
                let Some(at) = learning else { return };
                self.topics[at].error = error_code;
                self.topics[at].id = id;
                if error_code == ErrorCode::None {
                    self.place_leaders(at, partitions);
                }
            }
            Seen::Partition { index, leader_id } => {
                let Some(topic) = learning.map(|at| &self.topics[at]) else { return };
                let index = usize::try_from(index).unwrap_or(usize::MAX);
                if topic.error == ErrorCode::None && index < topic.kept {
                    let at = topic.first + index;
                    self.leaders[at] = leader_id;
                }
            }
            Seen::TopicEnd => {
                if let Some(at) = learning.take() {
                    self.judge(at, now, &mut pause_ms);
                }
            }
            Seen::Broker { .. } | Seen::Cluster { .. } => {}
        });
    }

    /// What an answer about a topic is worth.
    fn judge(&mut self, at: usize, now: Millis, pause_ms: &mut impl FnMut(u32) -> u64) {
        let topic = &self.topics[at];
        let leaders = self.leaders_of(topic);
        let whole = topic.error == ErrorCode::None;
        let useful = whole && topic.partitions > 0 && leaders.iter().all(|leader| *leader >= 0);
        // With some leaders it is of use to the lanes that go there, and asked for again.
        let some = useful || leaders.iter().any(|leader| *leader >= 0);
        let topic = &mut self.topics[at];
        topic.stale = !(whole && some);
        topic.partial = !topic.stale && !useful;
        topic.attempts = if useful { 0 } else { topic.attempts.saturating_add(1) };
        topic.not_before = if useful { now } else { now.saturating_add(pause_ms(topic.attempts)) };
    }

    fn is_needed(&self, id: i32) -> bool {
        id == self.controller
            || self.topics.iter().any(|topic| self.leaders_of(topic).contains(&id))
    }

    /// Takes in what an answer says of brokers, once its topics are known. `visit` reads it, from
    /// its beginning, as often as it is called.
    pub fn learn_nodes(&mut self, visit: impl Fn(&mut dyn FnMut(Seen<'_>))) {
        self.nodes.iter_mut().for_each(|node| node.seen = false);
        visit(&mut |seen| {
            if let Seen::Broker { node_id, host, port } = seen
                && let Some(node) = self.nodes.iter_mut().find(|node| node.id == node_id)
            {
                node.port = u16::try_from(port).unwrap_or(0);
                let fits = host.len() <= FORWARD_HOST_BYTES_MAX;
                node.seen = fits && self.hosts.replace(node.host, host.as_bytes());
            }
        });
        while let Some(at) = self.nodes.iter().position(|node| !node.seen) {
            self.forget_node(at);
        }
        for needed in [true, false] {
            visit(&mut |seen| {
                if let Seen::Broker { node_id, host, port } = seen
                    && self.node(node_id).is_none()
                    && (!needed || self.is_needed(node_id))
                {
                    self.add_node(node_id, host, port, needed);
                }
            });
        }
    }

    fn forget_node(&mut self, at: usize) {
        if let Some(node) = self.nodes.remove(at) {
            self.hosts.free(node.host);
        }
    }

    /// A broker that was not there; one that is `needed` takes the place of another that is not.
    fn add_node(&mut self, id: i32, host: &str, port: i32, needed: bool) {
        if needed
            && self.nodes.is_full()
            && let Some(at) = self.nodes.iter().position(|node| !self.is_needed(node.id))
        {
            self.forget_node(at);
        }
        if self.nodes.is_full() || host.len() > FORWARD_HOST_BYTES_MAX {
            return;
        }
        let Some(host) = self.hosts.put(host.as_bytes()) else { return };
        let port = u16::try_from(port).unwrap_or(0);
        let node = Node { id, host, port, seen: true, attempts: 0, not_before: Millis(0) };
        // There is room.
        self.nodes.push(node).ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::Board;

    fn answer<'a>(
        nodes: &'a [(i32, &'a str)],
        topics: &'a [(&'a str, &'a [i32])],
    ) -> impl Fn(&mut dyn FnMut(Seen<'_>)) + 'a {
        move |visit: &mut dyn FnMut(Seen<'_>)| {
            for (node_id, host) in nodes {
                visit(Seen::Broker { node_id: *node_id, host, port: 9092 });
            }
            for (name, leaders) in topics {
                let partitions = leaders.len();
                let error_code = ErrorCode::None;
                visit(Seen::Topic { error_code, name, id: [0; 16], partitions });
                for (index, leader_id) in leaders.iter().enumerate() {
                    visit(Seen::Partition { index: index as i32, leader_id: *leader_id });
                }
                visit(Seen::TopicEnd);
            }
        }
    }

    fn learn(cluster: &mut Cluster, nodes: &[(i32, &str)], topics: &[(&str, &[i32])]) {
        cluster.learn_cluster(Some("id"), -1, Millis(5));
        cluster.learn_topics(answer(nodes, topics), Millis(5), |_| 100);
        cluster.learn_nodes(answer(nodes, topics));
    }

    fn small() -> Sizes {
        Sizes { forward_leaders: 10, ..Sizes::of(&Board::DEFAULT) }
    }

    #[test]
    fn leaders_are_known_by_partition_however_topics_grow_and_go() {
        let mut cluster = Cluster::new(&small());
        ["b", "a", "c"].iter().for_each(|name| cluster.want(&(*name).into()));
        let nodes = [(1, "one"), (2, "two")];
        learn(&mut cluster, &nodes, &[("a", &[1, 2]), ("b", &[2]), ("c", &[1, 1, -1])]);
        assert_eq!(cluster.leader("a", 1), Some(2));
        assert_eq!((cluster.leader("c", 1), cluster.leader("c", 2)), (Some(1), None));
        assert!(cluster.topic("c").unwrap().partial && !cluster.topic("a").unwrap().stale);
        learn(&mut cluster, &nodes, &[("a", &[2, 2, 1])]);
        assert_eq!(cluster.leader("a", 2), Some(1));
        assert_eq!((cluster.leader("b", 0), cluster.leader("c", 0)), (Some(2), Some(1)));
        cluster.retain(|name| name != "b");
        assert_eq!((cluster.leader("a", 0), cluster.leader("c", 1)), (Some(2), Some(1)));
        assert_eq!(cluster.leader("b", 0), None);
    }

    #[test]
    fn partitions_beyond_the_table_have_no_leader_until_there_is_room() {
        let mut cluster = Cluster::new(&small());
        ["a", "b"].iter().for_each(|name| cluster.want(&(*name).into()));
        let nodes = [(1, "one")];
        learn(&mut cluster, &nodes, &[("a", &[1; 8]), ("b", &[1; 4])]);
        assert_eq!((cluster.leader("b", 1), cluster.leader("b", 2)), (Some(1), None));
        let b = cluster.topic("b").unwrap();
        assert!(b.is_beyond(2) && !b.is_beyond(1) && !b.is_beyond(4) && !b.stale && !b.partial);
        cluster.retain(|name| name != "a");
        learn(&mut cluster, &nodes, &[("b", &[1; 4])]);
        assert_eq!(cluster.leader("b", 3), Some(1));
    }

    #[test]
    fn of_many_brokers_those_are_kept_that_lead_something() {
        let mut cluster = Cluster::new(&small());
        cluster.want(&"a".into());
        let long = "x".repeat(40);
        let all: Vec<(i32, &str)> = (0..200).map(|id| (id, long.as_str())).collect();
        learn(&mut cluster, &all, &[("a", &[3, 190])]);
        assert_eq!(cluster.nodes.len(), FORWARD_NODES_MAX);
        assert!(cluster.node(190).is_some() && cluster.node(3).is_some());
        cluster.node_mut(190).unwrap().attempts = 7;
        learn(&mut cluster, &all, &[("a", &[190, 199])]);
        assert_eq!(cluster.node(190).map(|node| node.attempts), Some(7));
        assert!(cluster.node(199).is_some());
        learn(&mut cluster, &[(190, "other")], &[("a", &[190, 199])]);
        assert_eq!(cluster.nodes.len(), 1);
        assert_eq!(cluster.host(cluster.node(190).unwrap()), "other");
    }
}
