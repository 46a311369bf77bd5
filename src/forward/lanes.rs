//! The table of lanes: kept in step with the local topics, and brought forward by what is known.

use super::Forwarder;
use super::lane::{Lane, Phase};
use super::link::LaneRef;
use crate::broker::Broker;
use crate::client::partitioner::murmur2;
use crate::config::ForwardPartitions;
use crate::limits::{FORWARD_LATE_MS, FORWARD_ROW_LAG_MS, FORWARD_ROW_RIDE_MS};
use crate::state::forward::{ForwardCommand, ForwardRow, UpstreamName};
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
}

/// A sum of words that is hardly ever that of others (FNV-1a); never 0.
fn sum_of(words: &str) -> u64 {
    let sum = words.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |sum, byte| {
        (sum ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    sum.max(1)
}

impl Forwarder {
    /// Where the lane of a partition stands.
    pub(super) fn lane_at(&self, key: PartitionKey) -> Option<usize> {
        self.lanes.binary_search_by_key(&key, |lane| lane.key).ok()
    }

    /// The lane that a request was about, if it is still the same one.
    pub(super) fn lane(&mut self, lane: LaneRef) -> Option<&mut Lane> {
        let at = self.lane_at(lane.key)?;
        self.lanes.get_mut(at).filter(|found| found.serial == lane.serial)
    }

    /// Something failed with a lane; said once until it is over.
    pub(super) fn fail(&mut self, at: usize, words: &str, not_before: Millis) {
        let lane = &mut self.lanes[at];
        lane.not_before = not_before;
        lane.attempts = lane.attempts.saturating_add(1);
        let sum = sum_of(words);
        lane.trouble_told &= lane.trouble == sum;
        lane.trouble = sum;
        if !core::mem::replace(&mut lane.trouble_told, true) {
            let topic = self.names.str(lane.name);
            log::warn!("forwarding {topic}-{}: {words}", lane.key.partition);
        }
    }

    /// Whether these were the last words about what is wrong with a lane.
    pub(super) fn has_failed(&self, at: usize, words: &str) -> bool {
        self.lanes[at].trouble == sum_of(words)
    }

    /// A lane works again.
    pub(super) fn works(&mut self, at: usize) {
        let lane = &mut self.lanes[at];
        lane.attempts = 0;
        lane.error = 0;
        lane.trouble = 0;
        if core::mem::take(&mut lane.trouble_told) {
            let topic = self.names.str(lane.name);
            log::info!("forwarding {topic}-{}: goes on", lane.key.partition);
        }
    }

    /// Makes lanes for new partitions, forgets those of deleted ones, and does what it was told.
    pub(super) fn sync_lanes(&mut self, broker: &mut Broker, now: Now) {
        let lanes = &mut self.lanes;
        broker.take_forward_wakes(|key| {
            if let Ok(at) = lanes.binary_search_by_key(&key, |lane| lane.key) {
                lanes[at].woken(now.mono);
            }
        });
        if self.topics_version != Some(broker.topics_version()) {
            self.topics_version = Some(broker.topics_version());
            self.list_lanes(broker, now);
        }
        while let Some(command) = broker.forwarding_mut().take_command() {
            let ForwardCommand::Seek { topic, partition, offset } = command;
            if let Some(at) = self.lane_at(PartitionKey { topic, partition }) {
                self.lanes[at].seek = Some(offset);
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

    /// Lanes stand in the order of their keys, those of a topic side by side.
    fn list_lanes(&mut self, broker: &Broker, now: Now) {
        let Forwarder { lanes, names, config, .. } = self;
        let mut last = None;
        lanes.retain(|lane| {
            let number = lane.key.topic;
            match last {
                Some((topic, kept)) if topic == number => return kept,
                _ => {}
            }
            let topic = broker.topics().get(number);
            let kept = topic.is_some_and(|topic| config.forwards(topic.name));
            if !kept {
                names.free(lane.name);
            }
            last = Some((number, kept));
            kept
        });
        for topic in broker.topics().in_order_of_numbers() {
            if !self.config.forwards(topic.name) {
                continue;
            }
            for (partition, index) in topic.partitions.iter().enumerate() {
                let key = PartitionKey { topic: topic.number, partition: partition as u32 };
                let found = self.lanes.binary_search_by_key(&key, |lane| lane.key);
                if let Err(at) = found
                    && let Some(mut lane) = self.new_lane(broker, key, *index, topic.name, at)
                {
                    // The process before this one may have lost a connection with its end.
                    lane.lost = (!lane.row.settled).then_some((now.mono, lane.sent));
                    // A place for each partition.
                    self.lanes.insert(at, lane).ok();
                }
            }
        }
        let lanes = &self.lanes;
        self.cluster.retain(|name| lanes.iter().any(|lane| lane.row.upstream_topic == name));
    }

    /// A lane for the place `at` in the table.
    fn new_lane(
        &mut self,
        broker: &Broker,
        key: PartitionKey,
        index: PartitionIndex,
        name: &str,
        at: usize,
    ) -> Option<Lane> {
        let before = at.checked_sub(1).and_then(|at| self.lanes.get(at));
        let beside = before.filter(|lane| lane.key.topic == key.topic).map(|lane| lane.name);
        // Room for the names of as many topics as there may be.
        let text = match beside {
            Some(text) => text,
            None => self.names.put(name.as_bytes())?,
        };
        let serial = self.next_serial;
        self.next_serial = self.next_serial.wrapping_add(1);
        let class = self.config.priority_of(name);
        let [prefix, rest] = self.config.upstream_topic_parts(name);
        let upstream_topic = UpstreamName::of(format_args!("{prefix}{rest}"));
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
            return Some(Lane::new(row, index, serial, text, class));
        };
        let mut lane = Lane::new(row.clone(), index, serial, text, class);
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
        Some(lane)
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
                let (topic, partition) = (self.names.str(lane.name), lane.key.partition);
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
            self.names.str(lane.name),
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
        let Ok(count) = i32::try_from(topic.partitions) else { return true };
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
                self.names.str(lane.name),
                lane.key.partition,
                lane.row.upstream_topic,
                lane.row.cursor,
                self.names.str(lane.name),
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
            if let Some((lost, sent)) = lane.lost.take() {
                // What was not found there may still be on its way, from a connection that is
                // gone: nobody at the new place would know it again. So not now, and not without
                // having asked once more.
                let wait = self.config.request_timeout_ms.max(FORWARD_LATE_MS);
                lane.not_before = lane.not_before.max(lost.saturating_add(wait));
                lane.sent = lane.sent.max(sent);
                lane.phase = Phase::Doubt;
                return false;
            }
            log::info!(
                "forwarding {}-{}: goes to partition {target} of {} from now on, which has {count}",
                self.names.str(lane.name),
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
        for lane in self.lanes.iter_mut() {
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
        let known = self.cluster.id.clone().filter(|id| !id.is_empty());
        let Some(id) = known else { return };
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
            for lane in self.lanes.iter_mut() {
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
