//! The broker: owns the state and the storage, and keeps them in step.
//!
//! Every change that must survive goes the same way: checked, staged as a journal frame, applied
//! in memory, and answered once the frame is durable. What a method returns as an [`Lsn`] is that
//! frame; the caller waits for it.
//!
//! Promises: one thread, no I/O of its own, no clock: `now` is an argument. Nothing is applied
//! that was not staged. Absent: the wire (`api`), sockets and timers (`server`).

mod clock;
#[cfg(test)]
mod clock_tests;
mod forward;
mod full;
#[cfg(test)]
mod full_tests;
mod ids;
mod logs;
mod names;
mod recover;
#[cfg(test)]
mod rot_tests;
mod space;
#[cfg(test)]
mod space_tests;
mod topics;
mod waiting;

pub use crate::storage::rot::LEADER_EPOCH;
pub use forward::{Backlog, REJECTED_SUFFIX, TopicFigures};
pub use logs::{FetchError, PartitionView, ProduceError, Produced};
pub use names::Names;
pub use recover::{Opened, open};
pub use topics::NewTopic;

use crate::config::{BrokerConfig, Described};
use crate::limits::{
    AGE_NOTE_S, CHANGE_BYTES, COMMIT_SYNC_MS, FIGURE_BYTES_MAX, Ledger, PRODUCER_ID_BLOCK,
    RETENTION_CHECK_S, SERVER_USAGES, Sizes, Usage,
};
use crate::state::coordinator_file::{Change, SNAPSHOT_VERSION};
use crate::state::forward::Forwarding;
use crate::state::groups::{Groups, Refusal as GroupRefusal};
use crate::state::offsets::{Commit, OffsetRow};
use crate::state::producers::Producers;
use crate::state::topics::Topics;
use crate::storage::coordinator::Pieces;
use crate::storage::{Lsn, Storage, WriteError};
use crate::time::{Millis, Now};
use clock::WallClock;
use forward::Wakes;
use ids::Ids;
use space::Space;
use waiting::Waiting;

pub use ids::base64;
pub use waiting::Slot;

/// Why a request about topics, partitions or producers is refused. `api` gives each its code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// No such topic or partition.
    UnknownTopicOrPartition,
    /// No topic with this id.
    UnknownTopicId,
    /// There is one of this name already.
    TopicExists,
    /// Deleted a moment ago, its files are still going.
    TopicGoing,
    /// Not a legal name; the reason in words.
    InvalidTopicName(&'static str),
    /// A partition count below 1, or not above the present one.
    InvalidPartitions,
    /// More than one replica on one node.
    InvalidReplicationFactor,
    /// All topics together may have so many of these on this board.
    NoRoom(&'static str, usize),
    /// Outside the log.
    OffsetOutOfRange,
    /// No room just now; try again.
    Busy,
    /// A batch whose CRC is not that of its bytes.
    CorruptBatch,
    /// The disk failed, or the bytes on it are not what they should be.
    Storage,
}

impl From<WriteError> for Refusal {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::Busy => Refusal::Busy,
            WriteError::Disk(_) | WriteError::ReadOnly => Refusal::Storage,
        }
    }
}

/// Figures for `ottla status`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Figures {
    /// Records appended since start.
    pub records_in: u64,
    /// Bytes of batches appended since start.
    pub bytes_in: u64,
    /// Records handed to fetches since start.
    pub records_out: u64,
    /// Bytes of batches handed to fetches since start.
    pub bytes_out: u64,
    /// Connections open now.
    pub connections: u64,
    /// Connections that found no seat since start.
    pub connections_refused: u64,
    /// Connections that were closed because they were idle and others came.
    pub connections_displaced: u64,
    /// How full the server's seats and pools of buffers are.
    pub server: [Usage; SERVER_USAGES],
}

/// The broker.
pub struct Broker {
    config: BrokerConfig,
    cluster_id: String,
    storage: Storage,
    topics: Topics,
    /// All settings in words, as DescribeConfigs shows them.
    described: Described,
    names: Names,
    text: String,
    producers: Producers,
    /// Consumer groups. Offsets are committed through [`Broker::commit_offset`], which makes them
    /// durable; everything else about groups is in memory only, as their members rejoin.
    pub groups: Groups,
    next_topic: u32,
    /// The frame of the newest change to any topic.
    topics_lsn: Lsn,
    next_producer_id: i64,
    producer_ids_set_aside: i64,
    ids: Ids,
    /// Where changes are encoded: as large as the largest one so far, a few KiB at most.
    change_bytes: Vec<u8>,
    waiting: Waiting,
    forwarding: Forwarding,
    wakes: Wakes,
    topics_version: u64,
    retention_due: Millis,
    scrub_due: Option<Millis>,
    started: Now,
    clock: WallClock,
    space: Space,
    /// Figures for `ottla status`.
    pub figures: Figures,
}

impl Broker {
    /// The configuration.
    pub fn config(&self) -> &BrokerConfig {
        &self.config
    }

    /// The cluster's id.
    pub fn cluster_id(&self) -> &str {
        &self.cluster_id
    }

    /// When this broker was opened.
    pub fn started(&self) -> Now {
        self.started
    }

    /// What the wall clock has done since then.
    pub fn clock(&self) -> &WallClock {
        &self.clock
    }

    /// What became of a full disk.
    pub fn space(&self) -> &Space {
        &self.space
    }

    /// The storage, for syncing and for its figures.
    pub fn storage(&self) -> &Storage {
        &self.storage
    }

    /// The storage, for syncing.
    pub fn storage_mut(&mut self) -> &mut Storage {
        &mut self.storage
    }

    /// Bytes of the largest batch that is taken: by the broker's setting, or by a topic's own up to
    /// what the board has buffers for.
    pub fn message_bytes_max(&self) -> usize {
        let board = self.config.sizes.message_bytes as u32;
        let topics = self.topics.message_bytes_max().min(board);
        self.config.message_max_bytes.max(topics).min(board) as usize
    }

    /// The topics.
    pub fn topics(&self) -> &Topics {
        &self.topics
    }

    /// All settings in words.
    pub fn described(&self) -> &Described {
        &self.described
    }

    /// The list in which a request's names are sorted; to be given back with
    /// [`Broker::give_names`]. Meanwhile there is one without room.
    pub fn take_names(&mut self) -> Names {
        core::mem::take(&mut self.names)
    }

    /// Takes it back.
    pub fn give_names(&mut self, names: Names) {
        self.names = names;
    }

    /// The buffer in which a figure becomes text, in the same way.
    pub fn take_text(&mut self) -> String {
        core::mem::take(&mut self.text)
    }

    /// Takes it back.
    pub fn give_text(&mut self, text: String) {
        self.text = text;
    }

    /// The frame that whoever is told about topics has to wait for, if it is not durable yet:
    /// a topic that was announced survives a power cut.
    pub fn unsynced_topics(&self) -> Option<Lsn> {
        let waits = self.topics_lsn > self.storage.durable() && self.storage.failed().is_none();
        waits.then_some(self.topics_lsn)
    }

    /// Stages a change; it is synced as soon as the sync that is under way has ended.
    fn stage(&mut self, change: &Change<'_>, now: Now) -> Result<Lsn, Refusal> {
        change.encode_into(&mut self.change_bytes);
        let lsn = self.storage.stage_change(&self.change_bytes, now.mono)?;
        self.storage.want_sync(now.mono);
        Ok(lsn)
    }

    /// Hands out a producer id that was never handed out before. It may be used once the frame,
    /// if there is one, is durable.
    ///
    /// # Errors
    /// [`Refusal::Busy`], [`Refusal::Storage`].
    pub fn init_producer_id(&mut self, now: Now) -> Result<(i64, Lsn), Refusal> {
        let mut lsn = self.storage.durable();
        if self.next_producer_id >= self.producer_ids_set_aside {
            let next = self.next_producer_id.saturating_add(PRODUCER_ID_BLOCK);
            lsn = self.stage(&Change::ProducerIds { next }, now)?;
            self.producer_ids_set_aside = next;
        } else if self.storage.durable() < self.storage.last() {
            // The block's own frame may still be on its way.
            lsn = self.storage.last();
            self.storage.want_sync(now.mono);
        }
        let id = self.next_producer_id;
        self.next_producer_id += 1;
        Ok((id, lsn))
    }

    /// Commits an offset that [`Groups::validate_commit`] let through. The answer waits for the
    /// returned frame; a sync starts after [`COMMIT_SYNC_MS`] at the latest.
    ///
    /// # Errors
    /// The group's refusal, or storage's.
    pub fn commit_offset(
        &mut self,
        group_id: &str,
        topic: &str,
        partition: i32,
        commit: Commit<'_>,
        now: Now,
    ) -> Result<Lsn, CommitError> {
        let row = OffsetRow {
            group_id,
            topic,
            partition,
            offset: commit.offset,
            leader_epoch: commit.leader_epoch,
            metadata: commit.metadata,
            commit_wall_ms: now.wall_ms,
            retention_ms: commit.retention_ms,
        };
        // Room first: what is applied must also be staged.
        self.storage.room_for_change(row.metadata.len() + group_id.len() + topic.len() + 64)?;
        self.groups.commit_offset(group_id, topic, partition, commit, now)?;
        Change::OffsetCommitted(row).encode_into(&mut self.change_bytes);
        let lsn = self.storage.stage_change(&self.change_bytes, now.mono)?;
        self.storage.want_sync(now.mono.saturating_add(COMMIT_SYNC_MS));
        Ok(lsn)
    }

    /// OffsetDelete of one partition, after [`Groups::validate_offset_delete`].
    ///
    /// # Errors
    /// The group's refusal, or storage's.
    pub fn delete_offset(
        &mut self,
        group_id: &str,
        topic: &str,
        partition: i32,
        now: Now,
    ) -> Result<Lsn, CommitError> {
        self.storage.room_for_change(group_id.len() + topic.len() + 64)?;
        self.groups.delete_offset(group_id, topic, partition)?;
        Ok(self.stage(&Change::OffsetRemoved { group_id, topic, partition }, now)?)
    }

    /// DeleteGroups of one group.
    ///
    /// # Errors
    /// The group's refusal, or storage's.
    pub fn delete_group(&mut self, group_id: &str, now: Now) -> Result<Lsn, CommitError> {
        self.storage.room_for_change(group_id.len() + 64)?;
        self.groups.delete_group(group_id)?;
        Ok(self.stage(&Change::GroupRemoved { group_id }, now)?)
    }

    /// Begins a checkpoint if one is due, or regardless; `clean` says that it is the last one.
    ///
    /// # Errors
    /// [`Refusal::Busy`] while one is under way, [`Refusal::Storage`]; it is tried again later.
    pub fn checkpoint(&mut self, regardless: bool, clean: bool, now: Now) -> Result<(), Refusal> {
        if !self.storage.checkpoint_due() && !regardless {
            return Ok(());
        }
        let Broker { storage, topics, producers, groups, forwarding, cluster_id, .. } = self;
        let head = (self.config.node_id, self.next_topic, self.producer_ids_set_aside);
        // In the order of `Snapshot`'s fields.
        let state = |pieces: &mut Pieces<'_>| {
            pieces.put(&(SNAPSHOT_VERSION, cluster_id.as_str()));
            pieces.put(&head);
            pieces.put_count(topics.len());
            for topic in topics.in_order_of_numbers() {
                let partitions = topic.partitions.len() as u32;
                pieces.put(&(topic.number, topic.name, topic.id, partitions));
                pieces.put(topic.overrides);
            }
            pieces.put_count(groups.offsets().rows().count());
            groups.offsets().rows().for_each(|row| pieces.put(&row));
            pieces.put_count(producers.len());
            producers.rows().for_each(|row| pieces.put(row));
            pieces.put_count(forwarding.rows().count());
            forwarding.rows().for_each(|row| pieces.put(row));
            pieces.put(forwarding.head());
        };
        Ok(storage.begin_checkpoint(&state, clean, now.mono)?)
    }

    /// The rows of the ledger for storage and the tables beside it.
    pub fn account(sizes: &Sizes, ledger: &mut Ledger) {
        Storage::account(sizes, ledger);
        Producers::account(sizes, ledger);
        Topics::account(sizes, ledger);
        Names::account(sizes, ledger);
        Described::account(ledger);
        ledger.row("a figure as text", 1, FIGURE_BYTES_MAX, "it is cut off");
        Waiting::account(sizes, ledger);
        Groups::account(sizes, ledger);
        Forwarding::account(sizes, ledger);
        Wakes::account(sizes, ledger);
        ledger.row("a change on its way to the journal", 1, CHANGE_BYTES, "never larger");
    }

    /// How full the tables are, the server's included.
    pub fn usage(&self) -> impl Iterator<Item = Usage> {
        let storage = self.storage.usage();
        let tables = storage.chain(self.topics.usage(&self.config.sizes));
        let server = self.figures.server.iter().copied();
        let producers = [self.producers.usage()];
        let forwarding = [self.forwarding.usage()];
        tables.chain(producers).chain(self.groups.usage()).chain(forwarding).chain(server)
    }

    /// When [`Broker::handle_timeout`] has something to do. Syncs have their own deadline.
    pub fn poll_timeout(&self) -> Option<Millis> {
        let space = self.space.poll_timeout();
        [self.groups.poll_timeout(), Some(self.retention_due), self.scrub_due, space]
            .into_iter()
            .flatten()
            .min()
    }

    /// Lets everything happen that is due: sessions, rebalances, expiry, retention.
    pub fn handle_timeout(&mut self, now: Now) {
        // An offset that expired without a word in the journal would be back after a restart, in a
        // place that may be another's by then.
        let (storage, bytes) = (&mut self.storage, &mut self.change_bytes);
        self.groups.handle_timeout(now, |group_id, topic, partition| {
            Change::OffsetRemoved { group_id, topic, partition }.encode_into(bytes);
            storage.stage_change(bytes, now.mono).is_ok()
        });
        self.look_for_space(now);
        if self.retention_due <= now.mono {
            let configured = self.config.log_retention_check_interval_ms;
            let interval = configured.min(RETENTION_CHECK_S * 1000);
            self.retention_due = now.mono.saturating_add(interval);
            self.apply_retention(now);
            self.storage.measure();
            self.keep_quota(now);
            self.clock.look(now);
            self.note_age(now);
        }
        if self.scrub_due.is_some_and(|due| due <= now.mono) {
            self.scrub(now);
        }
    }

    /// Lets the journal know that time has passed, if nothing else did for long: after a power cut
    /// only what it knows counts.
    fn note_age(&mut self, now: Now) {
        let silent_s = self.storage.age_s(now.mono).saturating_sub(self.storage.age_noted_s());
        if silent_s >= AGE_NOTE_S && !self.topics.is_empty() {
            // Any frame does; this one says what is known.
            let next = self.producer_ids_set_aside;
            self.stage(&Change::ProducerIds { next }, now).ok();
        }
    }

    /// Connections whose parked request should be looked at again.
    pub fn pop_woken(&mut self) -> Option<Slot> {
        self.collect_advanced();
        self.waiting.pop().or_else(|| self.groups.pop_woken())
    }

    /// A connection is gone: nobody waits there any more.
    pub fn connection_closed(&mut self, slot: Slot) {
        self.waiting.forget(slot);
        self.groups.connection_closed(slot);
    }
}

/// Why an offset was not committed or a group not deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommitError {
    /// The group refuses.
    Group(GroupRefusal),
    /// Storage refuses.
    Storage(Refusal),
}

impl From<GroupRefusal> for CommitError {
    fn from(refusal: GroupRefusal) -> Self {
        CommitError::Group(refusal)
    }
}

impl From<Refusal> for CommitError {
    fn from(refusal: Refusal) -> Self {
        CommitError::Storage(refusal)
    }
}

impl From<WriteError> for CommitError {
    fn from(error: WriteError) -> Self {
        CommitError::Storage(error.into())
    }
}

#[cfg(test)]
mod room_tests;
