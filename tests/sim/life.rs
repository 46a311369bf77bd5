//! One life: its steps carried out, one after the other, then the calm after the storm.

use crate::canaries::Bug;
use crate::check::{self, Book, Circumstances, Commit, Committed};
use crate::cluster::{Age, Cluster, Settings};
use crate::gateway::Gateway;
use crate::lived::Lived;
use crate::network::Weather;
use crate::partition::Replication;
use crate::random::Random;
use crate::records;
use crate::steps::{Plan, Shape, Step, Trouble};
use crate::world::World;
use ottla::broker::{CommitError, LEADER_EPOCH, NewTopic, ProduceError};
use ottla::config::{BrokerConfig, TimestampType};
use ottla::disk::{Disk, DiskError};
use ottla::limits::RING_BYTES_MIN;
use ottla::state::forward::ForwardHead;
use ottla::state::offsets;
use ottla::wire::batch::{self, Stamped};
use ottla::wire::record::BatchBuilder;
use std::collections::BTreeMap;

/// Nobody fills that.
const ROOMY_BYTES: u64 = 1 << 40;
const GROUPS: [&str; 3] = ["dashboard", "archive", "alerts"];

/// A life in progress.
pub struct Life {
    pub world: World,
    pub shape: Shape,
    pub bug: Bug,
    random: Random,
    /// By the lane's number.
    pub books: BTreeMap<u16, Book>,
    offsets: BTreeMap<(&'static str, String, i32), Committed>,
    was_full: bool,
    /// The board stays off for so long when the power goes next.
    off_ms: u64,
    pub lived: Lived,
}

/// Lives these steps, and checks all along.
pub fn live(plan: &Plan, steps: &[Step], bug: Bug, trace: bool) -> Lived {
    let mut life = Life::new(&plan.shape, bug, trace);
    life.start();
    for step in steps {
        life.world.say(|| format!("-- {step:?}"));
        life.step(*step);
        life.look();
    }
    life.calm();
    life.lived
}

fn config(shape: &Shape) -> BrokerConfig {
    let mut config = BrokerConfig {
        journal_bytes: RING_BYTES_MIN as u32 * shape.journal_rings,
        log_segment_bytes: shape.segment_bytes,
        log_roll_ms: shape.segment_ms as i64,
        log_retention_ms: shape.retention_ms as i64,
        offsets_retention_minutes: shape.offsets_retention_minutes,
        log_message_timestamp_type: match shape.by_broker {
            true => TimestampType::LogAppendTime,
            false => TimestampType::CreateTime,
        },
        ..BrokerConfig::default()
    };
    config.forward.bootstrap_servers =
        (0..shape.servers).map(|at| (format!("server-{at}"), 9092 + at as u16)).collect();
    config.forward.batch_size = shape.batch_size;
    config.forward.retry_backoff_max_ms = 5_000;
    config.forward.request_timeout_ms = 2_000;
    config
}

fn settings(shape: &Shape) -> Settings {
    Settings {
        age: Age::New,
        servers: shape.servers,
        replication: Replication {
            factor: shape.servers,
            in_sync_min: shape.servers.div_ceil(2),
            fetch_ms: 10,
            lag_ms_max: 3_000,
        },
        expiration_ms: 86_400_000,
        expiry_check_ms: 600_000,
        message_bytes_max: 1 << 20,
        metadata_lag_ms: 500,
        write_only: false,
        creates_topics: false,
    }
}

impl Life {
    fn new(shape: &Shape, bug: Bug, trace: bool) -> Life {
        let mut random = Random::new(!shape.seed);
        let mut gateway = Gateway::new(config(shape), bug.machine());
        gateway.disk.set_capacity(ROOMY_BYTES);
        gateway.may_fail = true;
        gateway.hasty = bug == Bug::AcknowledgedWhenWritten;
        gateway.leap_ms = (bug == Bug::TimeOfTheWall).then_some(0);
        gateway.wrap = bug.disk();
        let mut cluster = Cluster::new(settings(shape), 1, random.fork());
        for (name, partitions) in &shape.topics {
            cluster.create(name, *partitions as usize, 0);
        }
        let mut world = World::new(gateway, cluster, random.fork(), trace);
        world.sync_ms = shape.sync_ms;
        Life {
            world,
            shape: shape.clone(),
            bug,
            random,
            books: BTreeMap::new(),
            offsets: BTreeMap::new(),
            was_full: false,
            off_ms: 0,
            lived: Lived::default(),
        }
    }

    fn step(&mut self, step: Step) {
        if self.world.gateway.running.is_none() {
            let off_ms = std::mem::take(&mut self.off_ms);
            self.world.run_until(self.world.now + off_ms);
            self.start();
        }
        match step {
            Step::Pass { ms } => self.pass(ms),
            Step::Append { lane, times, records, bytes, all } => {
                self.create_topics();
                for _ in 0..times {
                    self.append(lane, records, bytes, all);
                }
            }
            Step::Commit { group, lane, behind } => self.commit(group, lane, behind),
            Step::Read { lane } => self.read(lane),
            Step::DeleteRecords { lane, percent } => self.delete_records(lane, percent),
            Step::DeleteTopic { topic } => self.delete_topic(topic),
            Step::Checkpoint => {
                let clock = self.world.gateway.clock(self.world.now);
                if let Some(running) = &mut self.world.gateway.running {
                    running.broker.checkpoint(true, false, clock).ok();
                }
                self.world.turn();
            }
            Step::Stop { off_ms } => {
                self.off_ms = off_ms;
                self.world.stop();
            }
            Step::Kill => {
                self.lived.kills += 1;
                self.die();
            }
            Step::PowerOff { off_ms, rot } => {
                self.off_ms = off_ms;
                let place = rot.and_then(|rot| self.place(rot));
                self.world.power_off();
                if let Some(place) = place {
                    self.rot(&place);
                }
            }
            Step::CutSoon { operations, off_ms } => {
                self.off_ms = off_ms;
                let disk = &self.world.gateway.disk;
                disk.cut_at(disk.operations() + operations);
            }
            Step::Fail { operations, how } => self.fail(operations, how),
            Step::Full { left } => {
                let disk = &self.world.gateway.disk;
                let used = disk.used_bytes().unwrap_or(0);
                disk.set_capacity(used + left);
                self.world.gateway.full_at_bytes = Some(used + left);
                self.was_full = true;
                self.lived.full += 1;
            }
            Step::Room => self.room(),
            Step::Wall { shift_ms } => self.wall(shift_ms),
            Step::Weather { seed } => {
                let any = |seed| Weather::any(&mut Random::new(seed));
                self.world.weather = seed.map_or_else(Weather::fine, any);
            }
            Step::Link { up } => {
                self.world.no_names = !up;
                if !up {
                    self.world.cut_all();
                }
            }
            Step::Leader => {
                self.world.cluster.move_leader(false, self.world.now);
                self.world.after_upstream();
            }
            Step::Server { number } => {
                let server = number as usize % self.shape.servers;
                match self.world.cluster.up[server] {
                    true => self.world.server_gone(server),
                    false => self.world.server_back(server),
                }
            }
            Step::Pause { paused } => {
                self.pause(paused);
            }
        }
    }

    /// Another program fills the disk.
    fn is_full(&self) -> bool {
        self.world.gateway.full_at_bytes.is_some()
    }

    /// Nobody does any more; whether it was full.
    pub fn make_room(&mut self) -> bool {
        self.world.gateway.disk.set_capacity(ROOMY_BYTES);
        self.world.gateway.full_at_bytes.take().is_some()
    }

    /// Time passes. A broker that runs undisturbed has synced within a second what it took.
    fn pass(&mut self, ms: u64) {
        let starts = self.world.gateway.starts;
        self.world.run_until(self.world.now + ms);
        let undisturbed = self.world.gateway.starts == starts && !self.is_full() && ms > 5_000;
        let Gateway { running, truth, .. } = &self.world.gateway;
        let Some(running) = running.as_ref().filter(|_| undisturbed) else { return };
        if running.broker.storage().failed().is_some() {
            return;
        }
        for lane in truth.lanes.iter().filter(|lane| lane.there && !lane.deleted) {
            let hidden = lane.batches.iter().find(|batch| !batch.durable);
            assert!(hidden.is_none(), "lane {}: not synced after {ms} ms", lane.number);
        }
    }

    /// Every promise that can be looked at without an answer from anybody.
    pub fn look(&mut self) {
        let all = Circumstances {
            now: self.world.now,
            retention_ms: self.shape.retention_ms,
            was_full: self.was_full,
        };
        let Gateway { running, truth, disk, .. } = &self.world.gateway;
        let Some(running) = running else { return };
        if disk.is_cut() {
            return;
        }
        for lane in truth.lanes.iter().filter(|lane| lane.there && !lane.deleted) {
            check::log(&running.broker, lane, self.books.entry(lane.number).or_default(), all);
        }
        let durable = running.broker.storage().durable();
        self.offsets.values_mut().for_each(|committed| committed.progress(durable));
        if running.broker.storage().failed().is_some() {
            // It said so, and writes nothing more: somebody starts it again.
            self.lived.read_only += 1;
            let lanes = truth.lanes.len();
            (0..lanes as u64).for_each(|lane| self.read(lane));
            self.die();
        }
    }

    fn die(&mut self) {
        let running = self.world.gateway.running.as_ref();
        match running.is_some_and(|running| running.broker.storage().failed().is_some()) {
            // Where a directory could not be synced, journalling file systems go read-only; the
            // simulated one goes on, and a broker that starts again would believe it.
            true => self.world.power_off(),
            false => self.world.die(),
        }
    }

    /// It starts, whatever happened. Where not even what is known has room on a full disk, it
    /// says so and serves the rest; then somebody makes room.
    pub fn start(&mut self) {
        while !self.world.start_in(20) {
            let was_full = self.make_room();
            assert!(was_full, "it does not start: {:?}", self.world.gateway.said);
            self.lived.without_room += 1;
        }
        let now = self.world.now;
        let kept_ms = self.shape.offsets_retention_minutes as u64 * 60_000;
        let Some(running) = &self.world.gateway.running else { return };
        for ((group, topic, partition), committed) in &mut self.offsets {
            let found = running.broker.groups.offsets().get(group, topic, *partition);
            let what = format!("{group}, {topic}-{partition}");
            committed.recovered(found.map(|row| row.offset), now, kept_ms, &what);
        }
        let lanes = self.world.gateway.truth.lanes.len() as u64;
        (0..lanes).for_each(|lane| self.read(lane));
    }

    pub fn create_topics(&mut self) {
        for (name, partitions) in self.shape.topics.clone() {
            let clock = self.world.gateway.clock(self.world.now);
            let Some(running) = &mut self.world.gateway.running else { return };
            if running.broker.topics().find(name).is_some() {
                continue;
            }
            let new = NewTopic { name, partitions, replication_factor: 1, ..NewTopic::default() };
            if running.broker.create_topic(new, clock).is_ok() {
                let Gateway { truth, running, .. } = &mut self.world.gateway;
                truth.add_lanes(&running.as_ref().expect("it runs").broker, name);
            }
            self.world.turn();
        }
    }

    /// The nth lane of those that are there.
    pub fn lane(&self, nth: u64) -> Option<usize> {
        let lanes = &self.world.gateway.truth.lanes;
        let there: Vec<usize> =
            (0..lanes.len()).filter(|at| lanes[*at].there && !lanes[*at].deleted).collect();
        self.world.gateway.running.as_ref()?;
        there.get(nth as usize % there.len().max(1)).copied()
    }

    fn append(&mut self, nth: u64, records: u64, bytes: u64, all: bool) -> bool {
        let clock = self.world.gateway.clock(self.world.now);
        let Some(at) = self.lane(nth) else { return false };
        let Gateway { running, truth, .. } = &mut self.world.gateway;
        let lane = &mut truth.lanes[at];
        let wall_ms = clock.wall_ms.max(0);
        let mut builder = BatchBuilder::new(wall_ms);
        for _ in 0..records {
            let mut value = records::mark(lane.number, lane.next_record, records::GOOD);
            lane.next_record += 1;
            value.resize(value.len() + bytes as usize, b'a' + self.random.below(26) as u8);
            builder.push(wall_ms, None, Some(&value), &[]);
        }
        let raw = builder.finish();
        let header = batch::check(&raw).expect("well-formed");
        let broker = &mut running.as_mut().expect("it runs").broker;
        let taken = match broker.append(&lane.topic, lane.partition, &raw, &header, clock) {
            Ok(produced) => {
                let time = produced.log_append_time_ms;
                let time = (time >= 0).then_some(time);
                let stored = Stamped::new(&raw, produced.base_offset, LEADER_EPOCH, time);
                lane.appended(&stored.expect("long enough").parts().concat(), produced.lsn);
                if all {
                    broker.storage_mut().want_sync(clock.mono);
                }
                let book = self.books.entry(lane.number).or_default();
                book.appended_at.insert(produced.base_offset, self.world.now);
                book.rotten.remove(&produced.base_offset);
                self.lived.records += records;
                true
            }
            Err(ProduceError::Busy | ProduceError::Storage(_)) => false,
            Err(error) => panic!("a batch is refused: {error:?}"),
        };
        self.world.turn();
        taken
    }

    /// A commit is taken, also while the disk is full, or there is a reason that passes.
    fn commit(&mut self, group: u64, nth: u64, behind: u64) {
        let group = GROUPS[group as usize];
        for attempt in 0.. {
            let clock = self.world.gateway.clock(self.world.now);
            let starts = self.world.gateway.starts;
            let Some(at) = self.lane(nth) else { return };
            let Gateway { running, truth, .. } = &mut self.world.gateway;
            let (lane, broker) = (&truth.lanes[at], &mut running.as_mut().expect("it runs").broker);
            let Some(view) = check::view(broker, lane) else { return };
            let offset = (view.high_watermark - behind as i64).max(0);
            let commit =
                offsets::Commit { offset, leader_epoch: -1, metadata: "", retention_ms: None };
            let (topic, partition) = (lane.topic.clone(), lane.partition);
            match broker.commit_offset(group, &topic, partition, commit, clock) {
                Ok(lsn) => {
                    let commit = Commit { offset, lsn, durable: false, at: self.world.now };
                    self.offsets.entry((group, topic, partition)).or_default().put(commit);
                    self.lived.commits += 1;
                    return self.world.turn();
                }
                Err(CommitError::Storage(_)) if attempt < 5 => {}
                Err(error) => {
                    let failed = broker.storage().failed().is_some();
                    let excused = failed || self.world.gateway.started_full;
                    assert!(excused, "no commit is taken: {error:?}");
                    return;
                }
            }
            self.world.run_until(self.world.now + 1_000);
            if self.world.gateway.starts != starts || self.world.gateway.running.is_none() {
                return;
            }
        }
    }

    fn read(&mut self, nth: u64) {
        let Some(at) = self.lane(nth) else { return };
        let Gateway { running, truth, disk, .. } = &mut self.world.gateway;
        let (lane, broker) = (&truth.lanes[at], &mut running.as_mut().expect("it runs").broker);
        if !disk.is_cut() {
            check::reads(broker, lane, self.books.entry(lane.number).or_default());
        }
    }

    fn delete_records(&mut self, nth: u64, percent: u64) {
        let clock = self.world.gateway.clock(self.world.now);
        let Some(at) = self.lane(nth) else { return };
        let Gateway { running, truth, .. } = &mut self.world.gateway;
        let (lane, broker) = (&mut truth.lanes[at], &mut running.as_mut().expect("it runs").broker);
        let Some(view) = check::view(broker, lane) else { return };
        let there = view.high_watermark - view.log_start_offset;
        let offset = view.log_start_offset + there * percent as i64 / 100;
        if broker.delete_records(view.index, offset, clock).is_ok() {
            lane.make_optional(0, offset);
            let book = self.books.entry(lane.number).or_default();
            book.deleted_to = book.deleted_to.max(offset);
        }
        self.world.turn();
    }

    fn delete_topic(&mut self, nth: u64) {
        let clock = self.world.gateway.clock(self.world.now);
        let (name, _) = self.shape.topics[nth as usize % self.shape.topics.len()];
        let Gateway { running, truth, .. } = &mut self.world.gateway;
        let Some(running) = running else { return };
        let Some(number) = running.broker.topics().find(name).map(|topic| topic.number) else {
            return;
        };
        if running.broker.delete_topic(number, clock).is_ok() {
            let lanes = truth.lanes.iter_mut().filter(|lane| lane.there && lane.topic == name);
            lanes.for_each(|lane| lane.deleted = true);
            let gone = self.offsets.iter_mut().filter(|((_, topic, _), _)| topic == name);
            gone.for_each(|(_, committed)| committed.forget());
        }
        self.world.turn();
    }

    /// There is room again: within two seconds records are taken again.
    fn room(&mut self) {
        if !self.make_room() {
            return;
        }
        let starts = self.world.gateway.starts;
        self.world.run_until(self.world.now + 2_000);
        let there = self.world.gateway.truth.lanes.len() as u64;
        for nth in 0..there {
            let taken = (0..5).any(|_| {
                let taken = self.append(nth, 1, 20, true);
                self.world.run_until(self.world.now + 200);
                taken
            });
            let Some(running) = &self.world.gateway.running else { return };
            let excused = self.world.gateway.starts != starts
                || running.broker.storage().failed().is_some()
                || self.lane(nth).is_none();
            assert!(taken || excused, "there is room, and no record is taken");
        }
    }

    fn wall(&mut self, shift_ms: i64) {
        let gateway = &mut self.world.gateway;
        let ahead = shift_ms.saturating_sub(gateway.wall_shift_ms);
        gateway.wall_shift_ms = shift_ms;
        if self.bug == Bug::TimeOfTheWall {
            let leap_ms = gateway.leap_ms.unwrap_or(0) + ahead.max(0) as u64;
            gateway.leap_ms = Some(leap_ms);
        }
    }

    fn fail(&mut self, operations: u64, how: Trouble) {
        let error = match how {
            Trouble::Io => DiskError::Io,
            Trouble::NoSpace => {
                self.was_full = true;
                DiskError::NoSpace
            }
            Trouble::ReadOnly => DiskError::ReadOnly,
        };
        let disk = &self.world.gateway.disk;
        disk.fail_at(disk.operations() + operations, error);
        self.lived.failures += 1;
    }

    pub fn pause(&mut self, paused: bool) -> bool {
        let clock = self.world.gateway.clock(self.world.now);
        let Some(running) = &mut self.world.gateway.running else { return false };
        let head = ForwardHead { paused, ..running.broker.forwarding().head().clone() };
        let done = running.broker.save_forward_head(head, clock).is_ok();
        self.world.turn();
        done
    }
}
