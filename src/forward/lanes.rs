//! The table of lanes: kept in step with the local topics, and brought forward by what is known.

use super::Forwarder;
use super::lane::{Lane, Phase};
use super::link::LaneRef;
use crate::broker::Broker;
use crate::client::partitioner::murmur2;
use crate::config::ForwardPartitions;
use crate::limits::{FORWARD_ROW_LAG_MS, FORWARD_ROW_RIDE_MS};
use crate::state::forward::{ForwardCommand, ForwardRow};
use crate::storage::{PartitionIndex, PartitionKey};
use crate::time::{Millis, Now};
use crate::wire::ErrorCode;

impl Lane {
    /// The local high watermark; 0 for a partition that is gone.
    pub fn high_watermark(&self, broker: &Broker) -> i64 {
        broker.storage().partition(self.index).map_or(0, |log| log.high_watermark)
    }

    /// Where the local log begins; 0 for a partition that is gone.
    pub fn log_start(&self, broker: &Broker) -> i64 {
        broker.storage().partition(self.index).map_or(0, |log| log.log_start)
    }

    /// Whether there is anything that upstream has not acknowledged.
    pub fn wants(&self, broker: &Broker) -> bool {
        self.phase != Phase::Stopped && self.high_watermark(broker) > self.row.cursor
    }

    /// When the row has to be in the journal, whether anybody else syncs or not.
    pub fn row_due(&self) -> Option<Millis> {
        self.dirty.map(|since| since.saturating_add(FORWARD_ROW_LAG_MS))
    }

    /// Something failed; said once until it is over.
    pub fn fail(&mut self, words: String, not_before: Millis) {
        self.not_before = not_before;
        self.attempts = self.attempts.saturating_add(1);
        if self.trouble != words {
            self.trouble = words;
            self.trouble_told = false;
        }
        if !self.trouble_told {
            self.trouble_told = true;
            log::warn!("forwarding {}-{}: {}", self.topic, self.key.partition, self.trouble);
        }
    }

    /// It works again.
    pub fn works(&mut self) {
        self.attempts = 0;
        self.error = 0;
        if self.trouble_told {
            log::info!("forwarding {}-{}: goes on", self.topic, self.key.partition);
        }
        self.trouble.clear();
        self.trouble_told = false;
    }
}

impl Forwarder {
    /// The lane that a request was about, if it is still the same one.
    pub(super) fn lane(&mut self, lane: LaneRef) -> Option<&mut Lane> {
        let at = *self.by_key.get(&lane.key)?;
        self.lanes.get_mut(at).filter(|found| found.serial == lane.serial)
    }

    /// Makes lanes for new partitions, forgets those of deleted ones, and does what it was told.
    pub(super) fn sync_lanes(&mut self, broker: &mut Broker, now: Now) {
        let by_key = &self.by_key;
        let lanes = &mut self.lanes;
        broker.take_forward_wakes(|key| {
            if let Some(at) = by_key.get(&key) {
                lanes[*at].woken(now.mono);
            }
        });
        if self.topics_version != Some(broker.topics_version()) {
            self.topics_version = Some(broker.topics_version());
            self.list_lanes(broker);
        }
        while let Some(command) = broker.forwarding_mut().take_command() {
            let ForwardCommand::Seek { topic, partition, offset } = command;
            if let Some(at) = self.by_key.get(&PartitionKey { topic, partition }) {
                self.lanes[*at].seek = Some(offset);
            }
        }
        let paused = broker.forwarding().head().paused;
        if self.was_paused && !paused {
            // Whoever lets it go on has seen why it stopped.
            for lane in self.lanes.iter_mut().filter(|lane| lane.row.stopped) {
                lane.row.stopped = false;
                lane.phase = Phase::Target;
                broker.save_forward(&lane.row, now).ok();
            }
        }
        self.was_paused = paused;
    }

    fn list_lanes(&mut self, broker: &mut Broker) {
        let mut known: Vec<Option<Lane>> =
            core::mem::take(&mut self.lanes).into_iter().map(Some).collect();
        let by_key = core::mem::take(&mut self.by_key);
        let mut found = Vec::new();
        for topic in broker.topics().iter().filter(|t| self.config.forwards(t.name)) {
            for (partition, index) in topic.partitions.iter().enumerate() {
                let key = PartitionKey { topic: topic.number, partition: partition as u32 };
                found.push((key, *index, topic.name.to_owned()));
            }
        }
        for (key, index, name) in found {
            let lane = by_key.get(&key).and_then(|at| known[*at].take());
            let lane = lane.unwrap_or_else(|| self.new_lane(broker, key, index, &name));
            self.by_key.insert(key, self.lanes.len());
            self.lanes.push(lane);
        }
        let lanes = &self.lanes;
        self.cluster.retain(|name| lanes.iter().any(|lane| lane.row.upstream_topic == name));
    }

    fn new_lane(
        &mut self,
        broker: &Broker,
        key: PartitionKey,
        index: PartitionIndex,
        name: &str,
    ) -> Lane {
        let serial = self.next_serial;
        self.next_serial = self.next_serial.wrapping_add(1);
        let class = self.config.priority_of(name);
        let upstream_topic = self.config.upstream_topic(name);
        let log = broker.storage().partition(index);
        let (start, end) = log.map_or((0, 0), |log| (log.log_start, log.high_watermark));
        let Some(row) = broker.forward_row(key) else {
            let mut row = ForwardRow::new(key.topic, key.partition, start);
            row.upstream_topic = upstream_topic;
            if broker.forwarding().rows_lost && end > start {
                row.repeated = (end - start) as u64;
                log::warn!(
                    "forwarding {name}-{}: what has gone up before is not known any more; its \
                     {} records go up, and may be repeated",
                    key.partition,
                    end - start,
                );
            }
            return Lane::new(row, index, serial, name, class);
        };
        let mut lane = Lane::new(row.clone(), index, serial, name, class);
        if !lane.row.settled {
            // What the process before this one has sent is not known: nothing beyond this.
            lane.sent = lane.row.cursor.max(end);
        }
        if lane.row.upstream_topic != upstream_topic {
            let before = &lane.row.upstream_topic;
            log::info!("forwarding {name}: goes to {upstream_topic} from now on, not {before}");
            lane.row.upstream_topic = upstream_topic;
            lane.row.upstream_partition = -1;
            lane.start_anew();
        }
        lane
    }

    /// Brings every lane as far as it gets without asking anybody.
    pub(super) fn advance_lanes(&mut self, broker: &mut Broker, now: Now) {
        let durable = broker.storage().durable();
        let mut working = false;
        for at in 0..self.lanes.len() {
            let lane = &mut self.lanes[at];
            if lane.flight.is_some() {
                continue;
            }
            if let Phase::Saving(lsn) = lane.phase
                && lsn <= durable
            {
                lane.phase = Phase::Ready;
            }
            if let Some(offset) = lane.seek.take() {
                lane.row.cursor = offset;
                lane.row.stopped = false;
                lane.pending = Some(Millis(0));
                lane.alone_until = 0;
                lane.phase = Phase::Target;
                lane.start_anew();
                lane.sent = offset;
                broker.save_forward(&lane.row, now).ok();
                let (topic, partition) = (&lane.topic, lane.key.partition);
                log::info!("forwarding {topic}-{partition}: goes on at offset {offset}, as told");
            }
            if !lane.wants(broker) {
                self.behind_the_log(broker, at, now);
                continue;
            }
            working = true;
            let lane = &mut self.lanes[at];
            if lane.phase == Phase::Target || lane.leader.0 != self.cluster.version {
                self.cluster.want(&lane.row.upstream_topic);
                let aimed = self.aim(at);
                let row = &self.lanes[at].row;
                let leader = self.cluster.leader(&row.upstream_topic, row.upstream_partition);
                // Not aimed yet: once more as soon as it is settled.
                let version = if aimed { self.cluster.version } else { 0 };
                self.lanes[at].leader = (version, leader);
            }
            self.prepare(broker, at, now);
        }
        if working {
            self.cluster.age(now.mono);
        }
        let saving = self.lanes.iter().filter_map(|lane| match lane.phase {
            Phase::Saving(lsn) => Some(lsn),
            _ => None,
        });
        broker.forwarding_mut().awaits = saving.min();
    }

    /// A cursor beyond the local log: the log was lost and begun anew, or a card was put back to
    /// an older state. What comes at those offsets now is not what upstream acknowledged.
    fn behind_the_log(&mut self, broker: &mut Broker, at: usize, now: Now) {
        let lane = &mut self.lanes[at];
        let end = lane.high_watermark(broker);
        if lane.row.cursor <= end || lane.phase == Phase::Stopped {
            return;
        }
        log::warn!(
            "forwarding {}-{}: upstream has acknowledged up to offset {}, but the local log ends \
             at {end}: it was lost and begun anew. Goes on at {end}, under a new producer id",
            lane.topic,
            lane.key.partition,
            lane.row.cursor,
        );
        lane.row.cursor = end;
        lane.sent = end;
        lane.start_anew();
        broker.save_forward(&lane.row, now).ok();
    }

    /// Who leads the upstream partition of a lane, if that is known and believed.
    pub(super) fn leader_of(&self, at: usize) -> Option<i32> {
        let lane = &self.lanes[at];
        let (version, leader) = lane.leader;
        if version == self.cluster.version {
            return leader;
        }
        self.cluster.leader(&lane.row.upstream_topic, lane.row.upstream_partition)
    }

    /// Which upstream partition a lane goes to, from what is known of the topic. `false`: it will
    /// go to another one when what it has sent is settled.
    fn aim(&mut self, at: usize) -> bool {
        let lane = &mut self.lanes[at];
        let Some(topic) = self.cluster.topic(&lane.row.upstream_topic) else { return true };
        if topic.stale || topic.error != ErrorCode::None {
            return true;
        }
        let Ok(count) = i32::try_from(topic.leaders.len()) else { return true };
        if count == 0 {
            return true;
        }
        let row = &mut lane.row;
        let created_anew = row.upstream_topic_id != [0; 16]
            && topic.id != [0; 16]
            && row.upstream_topic_id != topic.id;
        let target = match self.config.partitions {
            ForwardPartitions::Same => row.partition as i32 % count,
            ForwardPartitions::Pinned if (0..count).contains(&row.upstream_partition) => {
                row.upstream_partition
            }
            ForwardPartitions::Pinned => pinned(&self.cluster_id, row.partition, count),
        };
        let id = topic.id;
        if created_anew {
            log::warn!(
                "forwarding {}-{}: the upstream topic {} was deleted and created anew; goes on \
                 from offset {}. `ottla forward --seek {} --to earliest` sends what is still here",
                lane.topic,
                lane.key.partition,
                lane.row.upstream_topic,
                lane.row.cursor,
                lane.topic,
            );
            // What is unanswered may have arrived in the new one: its whole log is ours to look at.
            lane.next = lane.row.cursor;
            lane.row.upstream_offset = 0;
            lane.row.upstream_partition = target;
            lane.new_epoch = true;
            if lane.phase != Phase::Target && lane.row.producer_id >= 0 {
                lane.row.settled = false;
                lane.phase = Phase::Doubt;
            }
        } else if lane.row.upstream_partition != target && lane.row.upstream_partition >= 0 {
            let settled = lane.phase == Phase::Ready && lane.next == lane.row.cursor;
            if !settled && lane.row.upstream_partition < count {
                // First it must be known what the old one has.
                if lane.phase == Phase::Target {
                    lane.phase = lane.next_phase();
                }
                return false;
            }
            log::info!(
                "forwarding {}-{}: goes to partition {target} of {} from now on, which has {count}",
                lane.topic,
                lane.key.partition,
                lane.row.upstream_topic,
            );
            lane.start_anew();
        }
        lane.row.upstream_partition = target;
        lane.row.upstream_topic_id = id;
        if lane.phase == Phase::Target {
            lane.phase = lane.next_phase();
        }
        true
    }

    /// What a lane that is ready has to do before its next batch.
    fn prepare(&mut self, broker: &mut Broker, at: usize, now: Now) {
        let end = self.lanes[at].high_watermark(broker);
        let lane = &mut self.lanes[at];
        match lane.phase {
            Phase::Save if lane.not_before <= now.mono => {
                lane.phase = Phase::Ready;
                self.save(broker, at, now);
            }
            Phase::Aside { .. } if lane.not_before <= now.mono => self.put_aside(broker, at, now),
            Phase::Ready if lane.next > lane.row.cursor && (lane.next >= end || lane.new_epoch) => {
                // The leader said that it has them. Nothing more will be answered: its log tells.
                self.read_back(at);
            }
            Phase::Ready if lane.new_epoch => {
                let first = lane.row.cursor;
                self.new_epoch(broker, at, first, now);
            }
            Phase::Ready if lane.row.settled => {
                // From here on the next start has something to ask.
                lane.row.settled = false;
                self.save(broker, at, now);
            }
            _ => {}
        }
    }

    /// Writes rows down: along with somebody else's sync, or once in [`FORWARD_ROW_LAG_MS`].
    pub(super) fn keep_rows(&mut self, broker: &mut Broker, now: Now) {
        let riding = broker.storage().last() > broker.storage().durable();
        for lane in &mut self.lanes {
            let Some(since) = lane.dirty else { continue };
            let age = now.mono.since(since);
            let kept = if age >= FORWARD_ROW_LAG_MS {
                broker.save_forward(&lane.row, now).is_ok()
            } else if riding && age >= FORWARD_ROW_RIDE_MS {
                broker.journal_forward(&lane.row, now).is_ok()
            } else {
                false
            };
            if kept {
                lane.dirty = None;
            } else if age >= FORWARD_ROW_LAG_MS {
                // The disk is full or read-only: later, and without asking every moment.
                lane.dirty = Some(now.mono);
            }
        }
    }

    /// Another cluster answers, or the first one.
    pub(super) fn check_cluster(&mut self, broker: &mut Broker, now: Now) {
        let Some(id) = self.cluster.id.clone().filter(|id| !id.is_empty()) else { return };
        let mut head = broker.forwarding().head().clone();
        if head.cluster_id == id {
            return;
        }
        if head.cluster_id.is_empty() {
            log::info!("forwarding to the cluster {id}");
        } else {
            log::warn!(
                "forwarding: another cluster answers behind the same address: it was {} and is \
                 {id} now. Everything goes on from where the old one had it; \
                 `ottla forward --seek TOPIC --to earliest` sends all that is here to the new one",
                head.cluster_id,
            );
            for lane in &mut self.lanes {
                if lane.in_doubt() {
                    lane.row.repeated += (lane.sent.max(lane.next) - lane.row.cursor) as u64;
                }
                lane.flight = None;
                lane.row.upstream_partition = -1;
                lane.start_anew();
                broker.save_forward(&lane.row, now).ok();
            }
        }
        head.cluster_id = id;
        broker.save_forward_head(head, now).ok();
    }
}

/// Which upstream partition is ours: the same for ever, and spread evenly over many gateways.
fn pinned(cluster_id: &str, partition: u32, count: i32) -> i32 {
    let mut name = [0; 64];
    let bytes = cluster_id.as_bytes();
    let length = bytes.len().min(60);
    name[..length].copy_from_slice(&bytes[..length]);
    name[length..length + 4].copy_from_slice(&partition.to_be_bytes());
    let hash = murmur2(&name[..length + 4]) & 0x7fff_ffff;
    (hash % count.unsigned_abs().max(1)) as i32
}
