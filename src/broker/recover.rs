//! Opening a data directory: what storage replays becomes the broker's state.

use super::clock::WallClock;
use super::forward::Wakes;
use super::ids::Ids;
use super::names::Names;
use super::space::Space;
use super::waiting::Waiting;
use super::{Broker, Figures};
use crate::config::{BrokerConfig, Described};
use crate::disk::Disk;
use crate::limits::{
    CHANGE_BYTES, FIGURE_BYTES_MAX, LARGE_BATCH_BYTES, PRODUCER_ID_PLAUSIBLE_MAX, SCRUB_TURN_MS,
    Sizes,
};
use crate::state::coordinator_file::{Change, Snapshot, TopicRow};
use crate::state::forward::Forwarding;
use crate::state::groups::{Groups, GroupsConfig};
use crate::state::offsets::OffsetRow;
use crate::state::producers::{Claim, Producers};
use crate::state::topics::Topics;
use crate::storage::recovery::{Effect, OpenError, Replay, Report, TooLarge};
use crate::storage::{Options, PartitionKey, Storage};
use crate::time::Now;
use crate::wire::batch::BatchHeader;
use std::collections::BTreeMap;
use std::rc::Rc;

/// A broker, and what start-up found.
pub struct Opened {
    /// The broker, ready to serve. At a first start its coordinator file is still to be written:
    /// the first syncs do that.
    pub broker: Broker,
    /// What was found.
    pub report: Report,
}

/// The state while it is being replayed.
struct Recovering {
    cluster_id: Option<String>,
    node_id: Option<i32>,
    topics: BTreeMap<u32, TopicRow<'static>>,
    groups: Groups,
    /// Committed offsets for which there was no room.
    offsets_lost: u64,
    producers: Producers,
    forwarding: Forwarding,
    next_topic: u32,
    next_producer_id: i64,
    has_snapshot: bool,
    ids: Ids,
    now: Now,
}

impl Replay for Recovering {
    fn snapshot(&mut self, bytes: &[u8]) -> Result<(), u16> {
        let snapshot = match Snapshot::decode(bytes) {
            Ok(snapshot) => snapshot,
            // The file's own CRC was right, so this can only be a bug of the writer; the logs
            // are still worth serving.
            Err(0) => return Ok(()),
            Err(version) => return Err(version),
        };
        self.has_snapshot = true;
        self.cluster_id = Some(snapshot.cluster_id);
        self.node_id = Some(snapshot.node_id);
        self.next_topic = snapshot.next_topic;
        self.next_producer_id = snapshot.next_producer_id;
        for row in snapshot.topics {
            self.topics.insert(row.number, row.into_owned());
        }
        snapshot.offsets.iter().for_each(|row| self.restore_offset(row));
        snapshot.producers.into_iter().for_each(|row| self.producers.restore(row));
        snapshot.forward_rows.iter().for_each(|row| self.forwarding.note(row));
        self.forwarding.note_head(snapshot.forward_head);
        Ok(())
    }

    fn effect(&self, change: &[u8]) -> Effect {
        match Change::decode(change) {
            Some(Change::TopicCreated(row)) => {
                let name = row.name.into_owned();
                Effect::Create { topic: row.number, name, partitions: row.partitions }
            }
            Some(Change::PartitionsAdded { number, partitions }) => {
                Effect::Grow { topic: number, partitions }
            }
            Some(Change::TopicDeleted { number }) => Effect::Remove { topic: number },
            Some(Change::TopicConfigured { number, .. }) => Effect::Names { topic: number },
            Some(Change::Forwarded(row)) => Effect::Names { topic: row.topic },
            _ => Effect::None,
        }
    }

    fn change(&mut self, change: &[u8]) {
        match Change::decode(change) {
            Some(Change::TopicCreated(row)) => {
                self.next_topic = self.next_topic.max(row.number + 1);
                self.topics.insert(row.number, row.into_owned());
            }
            Some(Change::TopicDeleted { number }) => {
                if let Some(row) = self.topics.remove(&number) {
                    self.groups.topic_deleted(&row.name);
                }
                self.producers.forget_topic(number);
                self.forwarding.forget_topic(number);
            }
            Some(Change::PartitionsAdded { number, partitions }) => {
                if let Some(row) = self.topics.get_mut(&number) {
                    row.partitions = row.partitions.max(partitions);
                }
            }
            Some(Change::TopicConfigured { number, overrides }) => {
                if let Some(row) = self.topics.get_mut(&number) {
                    row.overrides = overrides;
                }
            }
            Some(Change::OffsetCommitted(row)) => self.restore_offset(&row),
            Some(Change::OffsetRemoved { group_id, topic, partition }) => {
                self.groups.remove_offset(group_id, topic, partition);
            }
            Some(Change::GroupRemoved { group_id }) => {
                self.groups.delete_group(group_id).ok();
            }
            Some(Change::ProducerIds { next }) => {
                self.next_producer_id = self.next_producer_id.max(next);
            }
            Some(Change::Forwarded(row)) => self.forwarding.note(&row),
            Some(Change::ForwardHead(head)) => self.forwarding.note_head(head.into_owned()),
            None => {}
        }
    }

    fn batch(&mut self, key: PartitionKey, header: &BatchHeader) {
        if !header.has_producer_id() || header.is_control() {
            return;
        }
        let claim = Claim {
            id: header.producer_id,
            epoch: header.producer_epoch,
            first_sequence: header.base_sequence,
            last_sequence: header.last_sequence(),
        };
        let name = (key.topic, key.partition);
        self.producers.record(name, claim, header.base_offset, header.max_timestamp);
        // The counter itself is in the coordinator file and in the journal. Where both are lost,
        // what producers used tells where to go on; but they may write what they like there.
        if !self.has_snapshot && header.producer_id < PRODUCER_ID_PLAUSIBLE_MAX {
            self.next_producer_id = self.next_producer_id.max(header.producer_id + 1);
        }
    }

    fn adopt(&mut self, number: u32, name: &str, partitions: u32) {
        self.next_topic = self.next_topic.max(number + 1);
        let row = TopicRow {
            number,
            name: name.to_owned().into(),
            id: self.ids.uuid(),
            partitions,
            overrides: crate::config::TopicOverrides::default(),
        };
        self.topics.insert(number, row);
    }
}

impl Recovering {
    fn restore_offset(&mut self, row: &OffsetRow<'_>) {
        let restored = self.groups.restore_offset(row, self.now);
        self.offsets_lost += u64::from(restored.is_err());
    }
}

/// Whether the topics of a directory, which a larger board may have written, have room on this one.
fn check_room(topics: &BTreeMap<u32, TopicRow<'static>>, sizes: &Sizes) -> Result<(), OpenError> {
    let sum = |of: fn(&TopicRow<'static>) -> usize| topics.values().map(of).sum();
    for (what, found, room) in [
        ("topics", topics.len(), sizes.topics),
        ("partitions", sum(|row| row.partitions as usize), sizes.partitions),
        ("bytes of topics' names", sum(|row| row.name.len()), sizes.name_bytes),
    ] {
        if found > room {
            return Err(OpenError::TooLarge(TooLarge { what, found }));
        }
    }
    Ok(())
}

/// Opens a data directory. `seed` makes ids unlike those of other brokers.
///
/// # Errors
/// [`OpenError`].
pub fn open(
    disk: Rc<dyn Disk>,
    config: BrokerConfig,
    seed: u128,
    now: Now,
) -> Result<Opened, OpenError> {
    let groups_config = GroupsConfig {
        session_timeout_ms_min: config.group_min_session_timeout_ms,
        session_timeout_ms_max: config.group_max_session_timeout_ms,
        initial_rebalance_delay_ms: u64::try_from(config.group_initial_rebalance_delay_ms)
            .unwrap_or(0),
        size_max: usize::try_from(config.group_max_size).unwrap_or(usize::MAX),
        offsets_retention_ms: u64::try_from(config.offsets_retention_minutes).unwrap_or(0) * 60_000,
    };
    let mut recovering = Recovering {
        cluster_id: None,
        node_id: None,
        topics: BTreeMap::new(),
        groups: Groups::new(groups_config, &config.sizes, seed),
        offsets_lost: 0,
        producers: Producers::new(config.sizes.producers),
        forwarding: Forwarding::new(&config.sizes),
        next_topic: 1,
        next_producer_id: 0,
        has_snapshot: false,
        ids: Ids::new(seed),
        now,
    };
    let options = Options {
        journal_bytes: u64::from(config.journal_bytes),
        flush_interval_ms: config.log_flush_interval_ms,
        quota_bytes: u64::try_from(config.disk_quota_bytes).ok(),
        flush_pause_ms: config.log_flush_pause_ms,
        large_batch_bytes: LARGE_BATCH_BYTES,
        sizes: config.sizes,
    };
    let (storage, mut report) = Storage::open(disk, options, &mut recovering, now.mono)?;
    if let Some(node_id) = recovering.node_id.filter(|id| *id != config.node_id) {
        report.note(format!(
            "node.id was {node_id} in this directory and is {} now; clients will notice",
            config.node_id
        ));
    }
    if recovering.offsets_lost > 0 {
        report.note(format!(
            "{} commits of offsets found no room: this board keeps fewer groups or offsets than \
             the one before; their consumers begin where auto.offset.reset says",
            recovering.offsets_lost
        ));
    }
    let mut ids = recovering.ids;
    let cluster_id = recovering.cluster_id.unwrap_or_else(|| ids.cluster_id());
    let waiting = Waiting::new(&config.sizes);
    let scrubs = config.log_scrub_bytes_per_second > 0;
    let wakes = Wakes::new(&config.sizes);
    let change_bytes = Vec::with_capacity(CHANGE_BYTES);
    check_room(&recovering.topics, &config.sizes)?;
    let topics = Topics::new(&config.sizes);
    let described = Described::new(&config);
    let names = Names::new(&config.sizes);
    let mut broker = Broker {
        config,
        cluster_id,
        storage,
        topics,
        described,
        names,
        text: String::with_capacity(FIGURE_BYTES_MAX),
        producers: recovering.producers,
        groups: recovering.groups,
        next_topic: recovering.next_topic,
        topics_lsn: 0,
        next_producer_id: recovering.next_producer_id,
        producer_ids_set_aside: recovering.next_producer_id,
        ids,
        change_bytes,
        waiting,
        forwarding: recovering.forwarding,
        wakes,
        topics_version: 0,
        retention_due: now.mono,
        scrub_due: scrubs.then(|| now.mono.saturating_add(SCRUB_TURN_MS)),
        started: now,
        clock: WallClock::new(now),
        space: Space::default(),
        figures: Figures::default(),
    };
    for row in recovering.topics.values() {
        if !broker.insert_topic(row) {
            // Storage has partitions of no topic that is known: more than the topics' own.
            return Err(OpenError::TooLarge(TooLarge::PARTITIONS));
        }
    }
    broker.mend_forward_rows(&mut report);
    let begins = report.first_start || report.rebuilt || report.journal_lost;
    if begins && broker.checkpoint(true, false, now).is_err() {
        report.note("the coordinator file could not be begun".into());
    }
    Ok(Opened { broker, report })
}

#[cfg(test)]
mod tests;
