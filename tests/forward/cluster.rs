//! The simulated upstream cluster: servers, topics, and what each request is answered.
//!
//! Promises: what a client sees is what Kafka lets it see. A batch is answered when it is
//! committed, or with the error that Kafka has for it; producers are judged by Kafka's rules and
//! forgotten by the time stamp of their last batch.
//! Absent: groups, transactions, quotas, fetch sessions.

use crate::answers::{Node, PartitionRow, Produced, Response, TopicRow};
use crate::codes::*;
use crate::partition::{Partition, Replication};
use crate::random::Random;
use crate::records;
use crate::requests::{self, Header, NewTopic, Request, Sent, Wanted, key};
use std::collections::{BTreeMap, BTreeSet};

/// Unix milliseconds at virtual time 0, by upstream's clocks.
pub const WALL_START_MS: i64 = 1_700_000_000_000;

/// How old the servers are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Age {
    /// Kafka 1.0: no key 61, unknown producers must begin at 0.
    Old,
    /// Kafka 2.4 or so: no key 61, no topic ids.
    Middle,
    /// Kafka 4.
    New,
}

/// How the cluster behaves for the whole of a life.
#[derive(Clone, Debug)]
pub struct Settings {
    pub age: Age,
    pub servers: usize,
    pub replication: Replication,
    pub expiration_ms: i64,
    pub expiry_check_ms: u64,
    pub message_bytes_max: usize,
    /// After a leader has moved, servers may name the old one for so long.
    pub metadata_lag_ms: u64,
    /// Nobody may read: principals of producers often cannot.
    pub write_only: bool,
    /// A key 61 that is answered with CLUSTER_AUTHORIZATION_FAILED or so.
    pub creates_topics: bool,
}

/// A topic.
#[derive(Clone, Debug)]
pub struct Topic {
    pub id: [u8; 16],
    pub partitions: Vec<Partition>,
    /// There is no leader before this.
    pub ready_at: u64,
    /// Nobody may write or read before this.
    pub allowed_at: u64,
}

/// Where an answer goes.
pub type Token = u64;

#[derive(Clone, Debug)]
struct Part {
    answer: Produced,
    leader_epoch: i32,
    required: i64,
    settled: bool,
}

#[derive(Clone, Debug)]
enum Wait {
    Commit(Vec<Part>),
    Fetch(Vec<Wanted>, usize),
}

#[derive(Clone, Debug)]
struct Waiting {
    token: Token,
    server: usize,
    header: Header,
    deadline: u64,
    wait: Wait,
}

/// The cluster.
#[derive(Clone)]
pub struct Cluster {
    pub settings: Settings,
    pub cluster_id: String,
    pub up: Vec<bool>,
    pub topics: BTreeMap<String, Topic>,
    /// Of a hundred partitions in Produce requests, so many are answered with a passing error.
    pub moody_percent: u64,
    /// InitProducerId is refused with this.
    pub ids_refused: Option<i16>,
    /// Ids that were handed out, to whom else but us.
    pub handed_out: BTreeSet<i64>,
    /// What was answered: for the books, and to see that lives come by everything.
    pub answered: BTreeMap<(i16, i16), u64>,
    /// Of a hundred batches, so many are acknowledged and dropped: a planted bug.
    pub drop_percent: u64,
    /// Somebody listens.
    pub trace: bool,
    /// The producers of batches that are taken now are not forgotten at the next check.
    pub keeps: bool,
    kept: BTreeSet<i64>,
    versions: Vec<(i16, i16, i16)>,
    waiting: Vec<Waiting>,
    answers: Vec<(Token, Vec<u8>)>,
    next_producer_id: i64,
    expires_at: u64,
    random: Random,
    topics_made: u8,
}

/// The offered versions, by age.
fn versions(age: Age, random: &mut Random) -> Vec<(i16, i16, i16)> {
    let table: &[(i16, i16, i16)] = match age {
        Age::Old => &[
            (key::PRODUCE, 0, 5),
            (key::FETCH, 0, 6),
            (key::LIST_OFFSETS, 0, 2),
            (key::METADATA, 0, 5),
            (key::API_VERSIONS, 0, 1),
            (key::CREATE_TOPICS, 0, 2),
            (key::INIT_PRODUCER_ID, 0, 0),
        ],
        Age::Middle => &[
            (key::PRODUCE, 0, 8),
            (key::FETCH, 0, 11),
            (key::LIST_OFFSETS, 0, 5),
            (key::METADATA, 0, 9),
            (key::API_VERSIONS, 0, 3),
            (key::CREATE_TOPICS, 0, 5),
            (key::INIT_PRODUCER_ID, 0, 2),
        ],
        Age::New => &[
            (key::PRODUCE, 0, 13),
            (key::FETCH, 4, 18),
            (key::LIST_OFFSETS, 1, 11),
            (key::METADATA, 0, 13),
            (key::API_VERSIONS, 0, 4),
            (key::CREATE_TOPICS, 2, 7),
            (key::INIT_PRODUCER_ID, 0, 6),
            (key::DESCRIBE_PRODUCERS, 0, 0),
        ],
    };
    let mut table = table.to_vec();
    // Versions in between, as other releases and other people's brokers have them.
    for (key, first, last) in &mut table {
        let floor = match *key {
            key::PRODUCE => 3,
            key::FETCH | key::METADATA => 4,
            key::LIST_OFFSETS => 1,
            key::CREATE_TOPICS => 2,
            _ => 0,
        };
        if random.chance(25) && *last > floor && *key != key::API_VERSIONS {
            *last = random.between(floor as u64, *last as u64) as i16;
            *first = (*first).min(*last);
        }
    }
    // Nobody expects ApiVersions to come first, or sorted, or alone.
    if random.chance(50) {
        table.push((8, 0, 7));
        table.reverse();
    }
    table
}

impl Cluster {
    /// A cluster without topics.
    pub fn new(settings: Settings, number: u64, mut random: Random) -> Cluster {
        Cluster {
            versions: versions(settings.age, &mut random),
            cluster_id: format!("cluster-{number}"),
            up: vec![true; settings.servers],
            topics: BTreeMap::new(),
            moody_percent: 0,
            ids_refused: None,
            handed_out: BTreeSet::new(),
            answered: BTreeMap::new(),
            drop_percent: 0,
            trace: false,
            keeps: false,
            kept: BTreeSet::new(),
            waiting: Vec::new(),
            answers: Vec::new(),
            next_producer_id: 0,
            expires_at: settings.expiry_check_ms,
            random,
            topics_made: (number as u8).wrapping_mul(16),
            settings,
        }
    }

    /// Creates a topic.
    pub fn create(&mut self, name: &str, partitions: usize, ready_at: u64) {
        self.topics_made = self.topics_made.wrapping_add(1);
        let mut id = [self.topics_made; 16];
        id[0] = 0xee;
        let factor = self.settings.replication.factor;
        let servers = self.settings.servers;
        let one = |at: usize| Partition::new(factor.min(servers), at % factor.min(servers));
        let partitions = (0..partitions).map(one).collect();
        let topic = Topic { id, partitions, ready_at, allowed_at: 0 };
        self.topics.insert(name.to_owned(), topic);
    }

    /// What is to be sent, and to whom.
    pub fn take_answers(&mut self) -> Vec<(Token, Vec<u8>)> {
        std::mem::take(&mut self.answers)
    }

    fn answer(&mut self, token: Token, header: &Header, response: &Response) {
        if self.trace {
            let text = format!("{response:?}");
            let text =
                text.split("records: [").map(|part| part.chars().take(900).collect::<String>());
            let text = text.collect::<Vec<_>>().join("records: [");
            println!("{:8}   answer for {token}: {:.900}", "", text);
        }
        let mut count = |error: i16| *self.answered.entry((header.key, error)).or_default() += 1;
        match response {
            Response::Produce(rows) => rows.iter().for_each(|row| count(row.error)),
            Response::Fetch(rows) => rows.iter().for_each(|row| count(row.error)),
            Response::DescribeProducers(rows) => rows.iter().for_each(|row| count(row.2)),
            Response::InitProducerId { error, .. } => count(*error),
            _ => count(0),
        }
        self.answers.push((token, crate::answers::write(header, response)));
    }

    /// Takes a request that arrived at a server.
    pub fn handle(&mut self, server: usize, token: Token, frame: &[u8], now: u64) {
        let offered = |key: i16| {
            let row = self.versions.iter().find(|row| row.0 == key);
            row.map(|(_, first, last)| (*first, *last))
        };
        let (header, request) = requests::read(frame, offered);
        let supported = offered(header.key).is_some_and(|(_, last)| header.version <= last);
        let response = match request {
            Request::ApiVersions if !supported => {
                // Since 2.4 the answer names the versions of ApiVersions, before it is empty.
                let named = |row: &&(i16, i16, i16)| row.0 == key::API_VERSIONS;
                let versions = self.versions.iter().filter(named).copied();
                let versions = versions.filter(|_| self.settings.age != Age::Old).collect();
                Response::ApiVersions { error: UNSUPPORTED_VERSION, versions }
            }
            Request::ApiVersions => {
                Response::ApiVersions { error: NONE, versions: self.versions.clone() }
            }
            Request::Metadata(names) => self.metadata(names, now),
            Request::InitProducerId { .. } => self.init_producer_id(),
            Request::CreateTopics(topics) => self.create_topics(topics, header.version, now),
            Request::ListOffsets(wanted) => self.list_offsets(server, wanted, header.version, now),
            Request::DescribeProducers(topics) => self.describe_producers(server, topics, now),
            Request::Fetch { wait_ms_max, bytes_min, bytes_max, wanted } => {
                let bytes_max = bytes_max.max(0) as usize;
                let rows = self.fetch(server, &wanted, bytes_max, now);
                let bytes: usize = rows.iter().map(|row| row.records.len()).sum();
                let enough = bytes as i64 >= i64::from(bytes_min);
                if !enough && wait_ms_max > 0 && rows.iter().all(|row| row.error == NONE) {
                    let deadline = now + wait_ms_max as u64;
                    let wait = Wait::Fetch(wanted, bytes_max);
                    self.waiting.push(Waiting { token, server, header, deadline, wait });
                    return;
                }
                Response::Fetch(rows)
            }
            Request::Produce { timeout_ms, sent } => {
                let parts = sent.into_iter().map(|sent| self.produce(server, sent, now)).collect();
                let deadline = now + timeout_ms as u64;
                let wait = Wait::Commit(parts);
                self.waiting.push(Waiting { token, server, header, deadline, wait });
                return self.settle(now);
            }
        };
        self.answer(token, &header, &response);
    }

    fn metadata(&mut self, names: Option<Vec<String>>, now: u64) -> Response {
        let nodes = (0..self.up.len()).filter(|at| self.up[*at]).map(|at| Node {
            id: at as i32 + 1,
            host: format!("server-{at}"),
            port: 9092 + at as i32,
        });
        let nodes = nodes.collect();
        let names = names.unwrap_or_else(|| self.topics.keys().cloned().collect());
        let topics = names.into_iter().map(|name| self.topic_row(name, now)).collect();
        Response::Metadata { nodes, cluster_id: self.cluster_id.clone(), topics }
    }

    fn topic_row(&mut self, name: String, now: u64) -> TopicRow {
        let mut row = TopicRow { error: 0, name, id: [0; 16], partitions: Vec::new() };
        let Some(topic) = self.topics.get(&row.name) else {
            row.error = UNKNOWN_TOPIC_OR_PARTITION;
            return row;
        };
        if topic.allowed_at > now {
            row.error = TOPIC_AUTHORIZATION_FAILED;
            return row;
        }
        row.id = topic.id;
        let lag_ms = self.settings.metadata_lag_ms;
        for (index, partition) in topic.partitions.iter().enumerate() {
            let lags = partition.moved_at + lag_ms > now && partition.led_before.is_some();
            let stale = lags && self.random.chance(50);
            let leader = if stale { partition.led_before } else { partition.leader };
            let leader = leader.filter(|_| topic.ready_at <= now);
            row.partitions.push(PartitionRow {
                error: if leader.is_some() { NONE } else { LEADER_NOT_AVAILABLE },
                index: index as i32,
                leader: leader.map_or(-1, |at| at as i32 + 1),
                leader_epoch: partition.leader_epoch - i32::from(stale),
                replicas: (1..=partition.replicas.len() as i32).collect(),
            });
        }
        row
    }

    fn init_producer_id(&mut self) -> Response {
        if let Some(error) = self.ids_refused {
            return Response::InitProducerId { error, producer_id: -1, producer_epoch: -1 };
        }
        // Others ask, too, and a server that restarts begins a new block.
        self.next_producer_id += self.random.pick(&[1, 1, 1, 2, 1000]);
        self.handed_out.insert(self.next_producer_id);
        let producer_id = self.next_producer_id;
        Response::InitProducerId { error: NONE, producer_id, producer_epoch: 0 }
    }

    fn create_topics(&mut self, topics: Vec<NewTopic>, version: i16, now: u64) -> Response {
        let mut rows = Vec::new();
        for topic in topics {
            let known = self.topics.contains_key(&topic.name);
            // KIP-464: the default replication can be asked for since version 4.
            let default_known = version >= 4 || topic.replication_factor > 0;
            let error = match (known, self.settings.creates_topics, default_known) {
                (true, ..) => TOPIC_ALREADY_EXISTS,
                (_, false, _) => CLUSTER_AUTHORIZATION_FAILED,
                (.., false) => INVALID_REPLICATION_FACTOR,
                _ => NONE,
            };
            if error == NONE {
                assert!(topic.partitions > 0, "{topic:?}");
                let ready_at = now + self.random.between(0, 300);
                self.create(&topic.name, topic.partitions as usize, ready_at);
            }
            let id = self.topics.get(&topic.name).map_or([0; 16], |topic| topic.id);
            rows.push((topic.name, error, topic.partitions, id));
        }
        Response::CreateTopics(rows)
    }

    fn produce(&mut self, server: usize, sent: Sent, now: u64) -> Part {
        let Sent { topic, partition, records } = sent;
        let answer =
            Produced { topic, partition, error: NONE, base_offset: -1, record_errors: Vec::new() };
        let mut part = Part { answer, leader_epoch: 0, required: 0, settled: true };
        let moody = self.random.chance(self.moody_percent);
        let mood = self.random.pick(&[
            UNKNOWN_SERVER_ERROR,
            UNKNOWN_TOPIC_OR_PARTITION,
            NOT_LEADER_OR_FOLLOWER,
            NOT_ENOUGH_REPLICAS,
            KAFKA_STORAGE_ERROR,
            REQUEST_TIMED_OUT,
        ]);
        // A server may fail before the append or behind it, and say the same.
        if moody && self.random.chance(60) {
            part.answer.error = mood;
            return part;
        }
        if self.drop_percent > 0 && self.random.chance(self.drop_percent) {
            part.answer.base_offset = 0;
            return part;
        }
        if let Err(error) = self.append(server, &mut part, &records, now) {
            part.answer.error = error;
            part.settled = true;
        } else if moody {
            let after = [UNKNOWN_SERVER_ERROR, REQUEST_TIMED_OUT, NOT_LEADER_OR_FOLLOWER];
            part.answer.error = self.random.pick(&after);
            part.answer.base_offset = -1;
            part.settled = true;
        }
        part
    }

    /// Whether the servers take Zstandard: since Produce 7 (KIP-110).
    pub fn knows_zstd(&self) -> bool {
        self.versions.iter().any(|(key, _, highest)| *key == 0 && *highest >= 7)
    }

    fn append(
        &mut self,
        server: usize,
        part: &mut Part,
        bytes: &[u8],
        now: u64,
    ) -> Result<(), i16> {
        let (name, index) = (&part.answer.topic, part.answer.partition);
        self.led(server, name, index, now)?;
        let looked_at = records::look_at(bytes);
        assert_eq!(looked_at.base_offset, 0, "a client's batch begins at 0");
        // Kafka before 2.1 answers a whole request with UNKNOWN_SERVER_ERROR for one such batch.
        let zstd = records::is_zstd(bytes) && !self.knows_zstd();
        assert!(!zstd, "a broker that does not know zstd was sent some");
        if bytes.len() > self.settings.message_bytes_max {
            return Err(MESSAGE_TOO_LARGE);
        }
        if let Some((index, error)) = looked_at.guilty {
            part.answer.record_errors.push(index);
            return Err(error);
        }
        if let Some(claim) = looked_at.claim {
            let known = self.handed_out.contains(&claim.id);
            assert!(known, "producer id {} was not handed out here", claim.id);
        }
        let old = self.settings.age == Age::Old;
        let topic = self.topics.get_mut(name).expect("found above");
        let partition = &mut topic.partitions[index as usize];
        let sizes = (looked_at.records, looked_at.timestamp);
        let done =
            partition.append(bytes, looked_at.claim, sizes, old, self.settings.replication)?;
        *self.answered.entry((-1, i16::from(done.duplicate))).or_default() += 1;
        self.kept.extend(looked_at.claim.filter(|_| self.keeps).map(|claim| claim.id));
        if self.trace {
            println!("{now:8}   {name}-{index}: {:?} is {done:?}", looked_at.claim);
        }
        part.answer.base_offset = done.base;
        part.required = done.next;
        part.leader_epoch = partition.leader_epoch;
        part.settled = false;
        Ok(())
    }

    /// Answers those who wait for a commit that has come, or in vain.
    fn settle(&mut self, now: u64) {
        let mut waiting = std::mem::take(&mut self.waiting);
        waiting.retain_mut(|one| match &mut one.wait {
            Wait::Commit(parts) => {
                for part in parts.iter_mut().filter(|part| !part.settled) {
                    let state = self.commit_state(one.server, part);
                    let late = one.deadline <= now;
                    if let Some(error) = state.or(late.then_some(REQUEST_TIMED_OUT)) {
                        part.settled = true;
                        part.answer.error = error;
                        if error != NONE {
                            part.answer.base_offset = -1;
                        }
                    }
                }
                let done = parts.iter().all(|part| part.settled);
                if done {
                    let rows = parts.iter().map(|part| part.answer.clone()).collect();
                    self.answer(one.token, &one.header, &Response::Produce(rows));
                }
                !done
            }
            Wait::Fetch(wanted, bytes_max) => {
                let done = one.deadline <= now;
                if done {
                    let rows = self.fetch(one.server, wanted, *bytes_max, now);
                    self.answer(one.token, &one.header, &Response::Fetch(rows));
                }
                !done
            }
        });
        self.waiting.append(&mut waiting);
    }

    /// The error code of a batch whose fate is known (`DelayedProduce`).
    fn commit_state(&self, server: usize, part: &Part) -> Option<i16> {
        let topic = self.topics.get(&part.answer.topic);
        let found = topic.and_then(|topic| topic.partitions.get(part.answer.partition as usize));
        let Some(partition) = found else { return Some(UNKNOWN_TOPIC_OR_PARTITION) };
        if partition.leader != Some(server) || partition.leader_epoch != part.leader_epoch {
            return Some(NOT_LEADER_OR_FOLLOWER);
        }
        if partition.high_watermark() < part.required {
            return None;
        }
        let enough = partition.in_sync_count() >= self.settings.replication.in_sync_min;
        Some(if enough { NONE } else { NOT_ENOUGH_REPLICAS_AFTER_APPEND })
    }

    /// Whether producers are about to be forgotten: requests still on their way come before.
    pub fn expiry_due(&self, now: u64) -> bool {
        self.expires_at <= now
    }

    /// Lets followers fetch, producers expire, and those who waited long enough go.
    pub fn tick(&mut self, now: u64) {
        for topic in self.topics.values_mut() {
            for partition in &mut topic.partitions {
                if partition.replicates_at(&self.up).is_some_and(|at| at <= now) {
                    partition.replicate(now, &self.up, self.settings.replication);
                }
            }
        }
        if self.expires_at <= now {
            self.expires_at = now + self.settings.expiry_check_ms;
            let wall_ms = WALL_START_MS + now as i64;
            for topic in self.topics.values_mut() {
                for replica in topic.partitions.iter_mut().flat_map(|p| &mut p.replicas) {
                    replica.producers.expire(wall_ms, self.settings.expiration_ms, &self.kept);
                }
            }
            self.kept.clear();
        }
        self.settle(now);
    }

    /// When [`Cluster::tick`] has something to do.
    pub fn wakes_at(&self) -> Option<u64> {
        let partitions = self.topics.values().flat_map(|topic| &topic.partitions);
        let replicates = partitions.filter_map(|partition| partition.replicates_at(&self.up)).min();
        let waits = self.waiting.iter().map(|one| one.deadline).min();
        let remembers = self.topics.values().flat_map(|topic| &topic.partitions);
        let mut remembers = remembers.flat_map(|partition| &partition.replicas);
        let any = remembers.any(|replica| !replica.producers.entries.is_empty());
        [replicates, waits, any.then_some(self.expires_at)].into_iter().flatten().min()
    }

    /// A server is gone; nobody who waited there is answered.
    pub fn server_gone(&mut self, server: usize, now: u64) {
        self.up[server] = false;
        self.waiting.retain(|one| one.server != server);
        let up = self.up.clone();
        for partition in self.topics.values_mut().flat_map(|topic| &mut topic.partitions) {
            if server < partition.replicas.len() {
                partition.server_gone(server, &up, now);
            }
        }
        self.settle(now);
    }

    /// It is back.
    pub fn server_back(&mut self, server: usize, now: u64) {
        self.up[server] = true;
        let wall_ms = WALL_START_MS + now as i64;
        let expires = self.random.chance(50);
        for partition in self.topics.values_mut().flat_map(|topic| &mut topic.partitions) {
            if server < partition.replicas.len() {
                partition.server_back(server, now);
                if expires {
                    // Snapshots are loaded without those that have expired.
                    let producers = &mut partition.replicas[server].producers;
                    producers.expire(wall_ms, self.settings.expiration_ms, &BTreeSet::new());
                }
            }
        }
        self.settle(now);
    }

    /// Another replica in sync leads a partition from now on; or any, if that is meant.
    pub fn move_leader(&mut self, unclean: bool, now: u64) {
        let names: Vec<String> = self.topics.keys().cloned().collect();
        if names.is_empty() {
            return;
        }
        let name = &names[self.random.below(names.len() as u64) as usize];
        let (up, random) = (&self.up, &mut self.random);
        let topic = self.topics.get_mut(name).expect("a topic");
        let index = random.below(topic.partitions.len() as u64) as usize;
        let partition = &mut topic.partitions[index];
        let able = |at: &usize| up[*at] && (unclean || partition.in_sync[*at]);
        let able: Vec<usize> = (0..partition.replicas.len()).filter(able).collect();
        if !able.is_empty() {
            partition.elect(Some(random.pick(&able)), now);
        }
        self.settle(now);
    }

    /// Set back to this state: ids that were handed out since are still ours.
    pub fn adopt_ids(mut self, later: &Cluster, now: u64) -> Cluster {
        self.handed_out.extend(&later.handed_out);
        self.waiting.clear();
        self.answers.clear();
        self.answered.clone_from(&later.answered);
        self.expires_at = later.expires_at;
        for server in 0..self.up.len() {
            if !self.up[server] {
                self.server_back(server, now);
            }
        }
        self
    }
}
