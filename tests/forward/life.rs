//! One life: what happens to the gateway, to upstream and in between, until it is quiet at last.

use crate::check;
use crate::cluster::Cluster;
use crate::codes::{CLUSTER_AUTHORIZATION_FAILED, COORDINATOR_LOAD_IN_PROGRESS};
use crate::gateway::{Gateway, Make};
use crate::network::Weather;
use crate::plan::{Plan, Theme};
use crate::random::Random;
use crate::records;
use crate::world::World;
use ottla::broker::{LEADER_EPOCH, NewTopic, ProduceError};
use ottla::client::codec;
use ottla::config::OnRejected;
use ottla::state::forward::{ForwardCommand, ForwardHead};
use ottla::storage::PartitionKey;
use ottla::wire::batch::{self, Codec, Stamped};
use ottla::wire::record::{BatchBuilder, Producer};
use std::collections::BTreeMap;

/// What came of a life.
#[derive(Debug, Default)]
pub struct Lived {
    pub records: u64,
    pub rejected: u64,
    pub repeated: u64,
    pub cuts: u64,
    pub virtual_ms: u64,
    /// What upstream answered: API key and error code; -1 stands for appends: new ones (0) and
    /// repeated ones (1).
    pub answered: BTreeMap<(i16, i16), u64>,
    /// Milliseconds from the end of all trouble to the end of the backlog.
    pub drained_ms: u64,
}

/// The backlog must be gone so long after everything works again.
const DRAIN_MS_MAX: u64 = 240_000;

/// A life in progress.
pub struct Life {
    pub world: World,
    pub plan: Plan,
    pub random: Random,
    packing: Random,
    /// A state of upstream that it may be set back to.
    backup: Option<Cluster>,
    /// Upstream has refused access for a while.
    pub forbidden: bool,
    foreign: u32,
    local_producers: i64,
    /// What upstream had and lost, for the checks of themes with exceptions.
    pub graveyard: Vec<Cluster>,
}

/// Lives the life of a seed, and checks it. `tamper` does something to upstream at the beginning
/// (`false`) and before the check (`true`).
pub fn live(seed: u64, make: Make, tamper: fn(&mut Cluster, bool), trace: bool) -> Lived {
    let mut life = Life::new(seed, Theme::of(seed), make, trace);
    tamper(&mut life.world.cluster, false);
    life.storm();
    life.quiet(tamper)
}

impl Life {
    /// The beginning.
    pub fn new(seed: u64, theme: Theme, make: Make, trace: bool) -> Life {
        let mut random = Random::new(seed);
        let mut plan = Plan::new(theme, &mut random);
        // Drawn elsewhere: the lives that are remembered stay what they were.
        let mut packing = Random::new(!seed);
        if seed.is_multiple_of(5) {
            plan.pack(&mut packing);
        }
        let mut gateway = Gateway::new(plan.config.clone(), make);
        gateway.wall_shift_ms = plan.wall_shift_ms;
        let cluster = Cluster::new(plan.settings.clone(), 1, random.fork());
        let mut world = World::new(gateway, cluster, random.fork(), trace);
        world.sync_ms = plan.sync_ms;
        world.cluster.trace = trace;
        world.say(|| format!("{plan:?}"));
        for topic in plan.topics.iter().filter(|topic| topic.upstream_at == Some(0)) {
            world.cluster.create(&topic.upstream_name, topic.upstream_partitions, 0);
        }
        Life {
            world,
            plan,
            random,
            packing,
            backup: None,
            forbidden: false,
            foreign: 0,
            local_producers: 5,
            graveyard: Vec::new(),
        }
    }

    /// Everything that may go wrong.
    pub fn storm(&mut self) {
        self.world.start();
        self.create_topics();
        self.world.weather = Weather::any(&mut self.random);
        for _ in 0..self.plan.steps {
            let pause = self.random.below(self.plan.pause_ms_max);
            let pause = if self.random.chance(5) { pause * 10 } else { pause };
            self.world.run_until(self.world.now + pause);
            self.create_topics();
            self.create_upstream();
            if self.world.gateway.running.is_none() && self.random.chance(70) {
                if self.random.chance(15) {
                    self.cut_soon();
                }
                self.world.start();
                continue;
            }
            match self.random.below(100) {
                0..50 => self.append_some(),
                50..64 => self.disturb_gateway(),
                64..80 => self.disturb_upstream(),
                80..90 => self.world.weather = Weather::any(&mut self.random),
                90..94 => self.special(),
                94..96 => self.world.no_names ^= true,
                _ => self.world.cut_all(),
            }
        }
    }

    fn create_topics(&mut self) {
        for topic in self.plan.topics.clone() {
            let clock = self.world.gateway.clock(self.world.now);
            let Some(running) = &mut self.world.gateway.running else { return };
            if running.broker.topics().find(&topic.name).is_none() {
                let partitions = topic.partitions;
                let new = NewTopic { name: &topic.name, partitions, ..NewTopic::default() };
                let new = NewTopic { replication_factor: 1, ..new };
                if running.broker.create_topic(new, clock).is_ok() {
                    let Gateway { truth, running, .. } = &mut self.world.gateway;
                    let broker = &running.as_ref().expect("it runs").broker;
                    truth.add_lanes(broker, &topic.name);
                }
                self.world.turn();
            }
        }
    }

    fn create_upstream(&mut self) {
        for topic in &self.plan.topics {
            let due = topic.upstream_at.is_some_and(|at| at <= self.world.now);
            if due && !self.world.cluster.topics.contains_key(&topic.upstream_name) {
                let ready_at = self.world.now + self.random.below(100);
                let partitions = topic.upstream_partitions;
                self.world.cluster.create(&topic.upstream_name, partitions, ready_at);
            }
        }
    }

    fn cut_soon(&mut self) {
        let disk = &self.world.gateway.disk;
        disk.cut_at(disk.operations() + self.random.below(self.random.clone().pick(&[1, 6, 40])));
    }

    fn append_some(&mut self) {
        let times = if self.random.chance(20) { self.random.between(5, 25) } else { 1 };
        let lanes = self.world.gateway.truth.lanes.len();
        if lanes == 0 {
            return;
        }
        let mut lane = self.random.below(lanes as u64) as usize;
        for _ in 0..times {
            self.append(lane);
            if self.random.chance(40) {
                lane = self.random.below(lanes as u64) as usize;
            }
        }
        if self.random.chance(70) {
            let clock = self.world.gateway.clock(self.world.now);
            if let Some(running) = &mut self.world.gateway.running {
                running.broker.storage_mut().want_sync(clock.mono);
            }
        }
        self.world.turn();
    }

    fn build(&mut self, lane: usize, wall_ms: i64) -> Vec<u8> {
        let random = &mut self.random;
        let lane = &mut self.world.gateway.truth.lanes[lane];
        let packed = self.packing.chance(self.plan.packed_percent);
        let count = match random.below(10) {
            _ if packed => self.packing.between(60, 120),
            0..6 => 1,
            6..9 => random.between(2, 6),
            _ => random.between(7, 40),
        };
        let dated = wall_ms - random.pick(&[0, self.plan.dated_back_ms]);
        let mut builder = BatchBuilder::new(dated);
        if random.chance(20) {
            self.local_producers += 1;
            let id = self.local_producers;
            builder = builder.producer(Producer { id, epoch: 0, base_sequence: 0 });
        }
        for _ in 0..count {
            let letter = match random.chance(self.plan.poison_percent) {
                true => random.pick(&[records::INVALID, records::UNTIMELY]),
                false => records::GOOD,
            };
            let mut value = records::mark(lane.number, lane.next_record, letter);
            lane.next_record += 1;
            let filling = match random.below(20) {
                _ if packed => 100,
                0 => random.between(500, 3_000),
                1..10 => 0,
                _ => random.below(120),
            };
            value.resize(value.len() + filling as usize, b'a' + random.below(26) as u8);
            let key = random.chance(30).then_some(&b"key"[..]);
            let headers: &[(&str, Option<&[u8]>)] =
                if random.chance(15) { &[("one", Some(b"1")), ("none", None)] } else { &[] };
            let time = dated + random.pick(&[0, 0, 0, 1, 700, -40]);
            builder.push(time, key, Some(&value), headers);
        }
        let codec = match random.below(if packed { 3 } else { 40 }) {
            0 => Codec::Gzip,
            1 => Codec::Snappy,
            2 => Codec::Lz4,
            3 => Codec::Zstd,
            _ => return builder.finish(),
        };
        builder.finish_with(codec as i16, |plain| codec::compress(codec, plain))
    }

    fn append(&mut self, lane: usize) {
        let clock = self.world.gateway.clock(self.world.now);
        let known = &self.world.gateway.truth.lanes[lane];
        if !known.there || known.deleted || self.world.gateway.running.is_none() {
            return;
        }
        let (topic, partition) = (known.topic.clone(), known.partition);
        let raw = self.build(lane, clock.wall_ms);
        let header = batch::check(&raw).expect("well-formed");
        let Gateway { running, truth, .. } = &mut self.world.gateway;
        let broker = &mut running.as_mut().expect("it runs").broker;
        match broker.append(&topic, partition, &raw, &header, clock) {
            Ok(produced) => {
                let time = produced.log_append_time_ms;
                let time = (time >= 0).then_some(time);
                let stored = Stamped::new(&raw, produced.base_offset, LEADER_EPOCH, time);
                let stored = stored.expect("long enough").parts().concat();
                truth.lanes[lane].appended(&stored, produced.lsn);
            }
            Err(ProduceError::Busy | ProduceError::Storage(_)) => {}
            Err(error) => panic!("the gateway refuses a batch: {error:?}"),
        }
    }

    fn disturb_gateway(&mut self) {
        if self.world.gateway.running.is_none() {
            return;
        }
        match self.random.below(12) {
            0..4 => self.cut_soon(),
            4 => self.world.power_off(),
            5 => self.world.die(),
            6 => self.world.doomed = true,
            7 => self.world.stop(),
            8 => self.delete_records(),
            9 => {
                let paused = self.random.chance(50);
                self.pause(paused);
            }
            10 => {
                let shifts = [0, -1_690_000_000_000, 5_000, -5_000, 86_400_000];
                self.world.gateway.wall_shift_ms = self.random.pick(&shifts);
            }
            _ => {
                let clock = self.world.gateway.clock(self.world.now);
                if let Some(running) = &mut self.world.gateway.running {
                    running.broker.checkpoint(true, false, clock).ok();
                }
                self.world.turn();
            }
        }
        self.random.next();
    }

    fn pause(&mut self, paused: bool) -> bool {
        let clock = self.world.gateway.clock(self.world.now);
        let Some(running) = &mut self.world.gateway.running else { return false };
        let head = ForwardHead { paused, ..running.broker.forwarding().head().clone() };
        let done = running.broker.save_forward_head(head, clock).is_ok();
        self.world.say(|| format!("paused: {paused} {done}"));
        self.world.turn();
        done
    }

    fn some_lane(&mut self) -> Option<usize> {
        let lanes = self.world.gateway.truth.lanes.len() as u64;
        let at = (lanes > 0).then(|| self.random.below(lanes) as usize)?;
        let lane = &self.world.gateway.truth.lanes[at];
        (lane.there && !lane.deleted && self.world.gateway.running.is_some()).then_some(at)
    }

    fn delete_records(&mut self) {
        let Some(at) = self.some_lane() else { return };
        let clock = self.world.gateway.clock(self.world.now);
        let Gateway { running, truth, .. } = &mut self.world.gateway;
        let broker = &mut running.as_mut().expect("it runs").broker;
        let lane = &mut truth.lanes[at];
        let Some((_, view)) = broker.find_partition(&lane.topic, lane.partition) else { return };
        let span = (view.high_watermark - view.log_start_offset) as u64;
        let offset = view.log_start_offset + self.random.between(0, span) as i64;
        if broker.delete_records(view.index, offset, clock).is_ok() {
            lane.make_optional(0, offset);
        }
        let number = lane.number;
        self.world.say(|| format!("lane {number}: records before {offset} are deleted"));
        self.world.turn();
    }

    fn disturb_upstream(&mut self) {
        let now = self.world.now;
        let servers = self.plan.settings.servers;
        let server = self.random.below(servers as u64) as usize;
        match self.random.below(12) {
            0..3 => {
                self.world.say(|| "a leader moves".to_owned());
                self.world.cluster.move_leader(false, now);
            }
            3..5 => match self.world.cluster.up[server] {
                true => self.world.server_gone(server),
                false => self.world.server_back(server),
            },
            5 => {
                let until = now + self.random.below(4_000);
                let topics = self.world.cluster.topics.values_mut();
                for partition in topics.flat_map(|topic| &mut topic.partitions) {
                    partition.replicas[server].stalled_until = until;
                }
            }
            6..8 => self.world.cluster.moody_percent = self.random.pick(&[0, 5, 30]),
            8 => {
                let errors = [CLUSTER_AUTHORIZATION_FAILED, COORDINATOR_LOAD_IN_PROGRESS];
                let refused = self.random.chance(50).then(|| self.random.pick(&errors));
                self.world.cluster.ids_refused = refused;
            }
            9 if self.random.chance(50) => {
                let until = now + self.random.below(3_000);
                self.forbidden = true;
                for topic in self.world.cluster.topics.values_mut() {
                    topic.allowed_at = until;
                }
            }
            10 => self.foreign(),
            _ => {
                let factor = self.plan.settings.replication.factor;
                let topics = &mut self.world.cluster.topics;
                if let Some((_, topic)) = topics.iter_mut().next()
                    && topic.partitions.len() < 5
                {
                    let at = topic.partitions.len() % factor;
                    topic.partitions.push(crate::partition::Partition::new(factor, at));
                }
            }
        }
        self.world.after_upstream();
    }

    /// Somebody else writes to our topics.
    fn foreign(&mut self) {
        self.foreign += 1;
        let mark = records::mark(0xffff, self.foreign, records::GOOD);
        let mut builder = BatchBuilder::new(crate::cluster::WALL_START_MS);
        builder.push(crate::cluster::WALL_START_MS, None, Some(&mark), &[]);
        let bytes = builder.finish();
        let replication = self.plan.settings.replication;
        let topics = self.world.cluster.topics.values_mut();
        for partition in topics.flat_map(|topic| &mut topic.partitions) {
            if partition.leader.is_some() {
                let sizes = (1, crate::cluster::WALL_START_MS);
                partition.append(&bytes, None, sizes, false, replication).ok();
            }
        }
    }

    /// What only some lives know.
    fn special(&mut self) {
        match self.plan.theme {
            Theme::Usual | Theme::WriteOnly => self.append_some(),
            Theme::Seek => self.seek(),
            Theme::Topics => self.delete_topic(),
            Theme::Recreated => self.recreate(),
            Theme::Forgetful => self.forget(),
            Theme::OtherCluster => self.other_cluster(),
        }
    }

    fn seek(&mut self) {
        let Some(at) = self.some_lane() else { return };
        let Gateway { running, truth, .. } = &mut self.world.gateway;
        let broker = &mut running.as_mut().expect("it runs").broker;
        let lane = &mut truth.lanes[at];
        let Some((_, view)) = broker.find_partition(&lane.topic, lane.partition) else { return };
        let span = (view.high_watermark - view.log_start_offset) as u64;
        let offset = view.log_start_offset + self.random.between(0, span) as i64;
        let (topic, partition) = (lane.topic_number, lane.partition as u32);
        lane.sought(offset);
        let command = ForwardCommand::Seek { topic, partition, offset };
        broker.forwarding_mut().command(command);
        self.world.say(|| format!("{command:?}"));
        self.world.turn();
    }

    fn delete_topic(&mut self) {
        let Some(at) = self.some_lane() else { return };
        let clock = self.world.gateway.clock(self.world.now);
        let Gateway { running, truth, .. } = &mut self.world.gateway;
        let broker = &mut running.as_mut().expect("it runs").broker;
        let number = truth.lanes[at].topic_number;
        if broker.delete_topic(number, clock).is_ok() {
            truth.lanes.iter_mut().filter(|lane| lane.topic_number == number).for_each(|lane| {
                lane.deleted = true;
            });
        }
        self.world.say(|| format!("topic number {number} is deleted"));
        self.world.turn();
    }

    fn recreate(&mut self) {
        let Some(topic) = self.world.cluster.topics.keys().next().cloned() else { return };
        self.graveyard.push(self.world.cluster.clone());
        let gone = self.world.cluster.topics.remove(&topic).expect("found");
        self.world.say(|| format!("{topic} is made anew upstream"));
        let ready_at = self.world.now + self.random.below(500);
        self.world.cluster.create(&topic, gone.partitions.len(), ready_at);
        self.world.after_upstream();
    }

    fn forget(&mut self) {
        if self.random.chance(50) {
            self.graveyard.push(self.world.cluster.clone());
            self.world.say(|| "an unclean election".to_owned());
            self.world.cluster.move_leader(true, self.world.now);
            self.world.after_upstream();
        } else if let Some(backup) = self.backup.take() {
            self.world.say(|| "upstream is set back".to_owned());
            let backup = backup.adopt_ids(&self.world.cluster, self.world.now);
            self.graveyard.push(std::mem::replace(&mut self.world.cluster, backup));
            self.world.restart_servers();
        } else {
            self.backup = Some(self.world.cluster.clone());
        }
    }

    fn other_cluster(&mut self) {
        let settings = self.plan.settings.clone();
        let number = 2 + self.graveyard.len() as u64;
        let mut other = Cluster::new(settings, number, self.random.fork());
        for topic in self.plan.topics.iter().filter(|topic| topic.upstream_at.is_some()) {
            other.create(&topic.upstream_name, topic.upstream_partitions, 0);
        }
        self.world.say(|| format!("cluster {number} answers now"));
        self.graveyard.push(std::mem::replace(&mut self.world.cluster, other));
        self.world.restart_servers();
    }

    /// Everything works from now on; the backlog goes, and then it is quiet.
    pub fn quiet(mut self, tamper: fn(&mut Cluster, bool)) -> Lived {
        self.world.say(|| "everything works from now on".to_owned());
        let began = self.world.now;
        self.world.gateway.disk.cut_at(u64::MAX);
        self.world.doomed = false;
        self.world.calm();
        for server in 0..self.plan.settings.servers {
            if !self.world.cluster.up[server] {
                self.world.server_back(server);
            }
        }
        for topic in &mut self.plan.topics {
            topic.upstream_at = topic.upstream_at.map(|_| 0);
        }
        self.create_upstream();
        let cluster = &mut self.world.cluster;
        cluster.moody_percent = 0;
        cluster.ids_refused = None;
        for topic in cluster.topics.values_mut() {
            topic.allowed_at = 0;
            for replica in topic.partitions.iter_mut().flat_map(|p| &mut p.replicas) {
                replica.stalled_until = 0;
            }
        }
        self.world.after_upstream();
        if self.world.gateway.running.is_none() {
            self.world.start();
        }
        self.create_topics();
        while !self.pause(false) {
            self.world.run_until(self.world.now + 20);
        }
        while !self.drained() {
            let waited = self.world.now - began;
            assert!(waited < DRAIN_MS_MAX, "{}", self.backlog());
            self.world.run_until(self.world.now + 250);
        }
        let drained_ms = self.world.now - began;
        // A first contact may still be tried, even with nothing to forward.
        self.world.run_until(self.world.now + 15_000);
        self.idle();
        let answered = self.world.cluster.answered.clone();
        let mut lived = Lived {
            cuts: self.world.cuts,
            virtual_ms: self.world.now,
            drained_ms,
            answered,
            ..Lived::default()
        };
        tamper(&mut self.world.cluster, true);
        check::everything(&mut self, &mut lived);
        lived
    }

    /// Nothing to do: nothing is done.
    fn idle(&mut self) {
        self.world.say(|| "nothing to do".to_owned());
        let (wakes, bytes) = (self.world.wakes, self.world.sent_bytes);
        let for_ms = 20_000;
        self.world.run_until(self.world.now + for_ms);
        let (wakes, bytes) = (self.world.wakes - wakes, self.world.sent_bytes - bytes);
        assert!(wakes <= for_ms / 1_000, "{wakes} wakes in {for_ms} ms with nothing to do");
        // Without topic ids nobody is told of a topic that was made anew: what upstream remembers
        // of the producer and what is found in its log may never come together.
        let blind = self.plan.theme == Theme::Recreated;
        assert!(bytes == 0 || blind && bytes < 1_000, "{bytes} bytes sent with nothing to do");
    }

    fn drained(&self) -> bool {
        let Gateway { running, truth, .. } = &self.world.gateway;
        let Some(running) = running else { return false };
        let stops = self.plan.config.forward.on_rejected == OnRejected::Stop;
        truth.lanes.iter().filter(|lane| lane.there && !lane.deleted).all(|lane| {
            let key = PartitionKey { topic: lane.topic_number, partition: lane.partition as u32 };
            let row = running.broker.forward_row(key);
            let view = running.broker.find_partition(&lane.topic, lane.partition);
            let start = view.map_or(0, |(_, view)| view.log_start_offset);
            let done = row.map_or(0, |row| row.cursor).max(start) >= lane.end();
            done || (stops && row.is_some_and(|row| row.stopped))
        })
    }

    fn backlog(&self) -> String {
        let mut text = format!("the backlog does not go away within {DRAIN_MS_MAX} ms:");
        let Gateway { running, truth, .. } = &self.world.gateway;
        let Some(running) = running else { return text + " the gateway does not run" };
        for lane in &truth.lanes {
            let key = PartitionKey { topic: lane.topic_number, partition: lane.partition as u32 };
            let row = running.broker.forward_row(key);
            let view = running.broker.find_partition(&lane.topic, lane.partition);
            let watermark = view.map(|(_, view)| view.high_watermark);
            let end = lane.end();
            text += &format!("\n  lane {} ends at {end}, {watermark:?}: {row:?}", lane.number);
        }
        text + &format!("\n  last error: {}", running.broker.forwarding().error())
    }
}
