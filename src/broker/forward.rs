//! What the forwarder needs of the broker: rows that last, wakes, and a place for what upstream
//! refuses for good.
//!
//! A row goes three ways: noted (memory, and the next checkpoint), journalled (with the next sync,
//! whoever wants it), or saved (a sync soon, and the frame to wait for). In the journal a row
//! stands in front of whatever was staged later, so that retention never moves a log's start
//! beyond what the rows of the same journal call forwarded.
//!
//! Promises: nothing is collected while forwarding is off; wakes are one flag per partition and
//! allocate nothing. Absent: sending (`forward`), and what rows mean (`state::forward`).

mod figures;

use super::logs::segment_policy;
use super::{Broker, LEADER_EPOCH, NewTopic, Refusal};
use crate::fixed::List;
use crate::limits::{Ledger, Sizes};
use crate::state::coordinator_file::Change;
use crate::state::forward::{ForwardHead, ForwardRow, Forwarding, LaneName};
use crate::state::topics::Topic;
use crate::storage::recovery::Report;
use crate::storage::{Lsn, PartitionIndex, PartitionKey, Storage, WriteError};
use crate::time::Now;
use crate::wire::batch::{self, Stamped};
use std::borrow::Cow;

pub use figures::{Backlog, TopicFigures};

/// What stands behind a topic's name in that of the topic for what upstream refused.
pub const REJECTED_SUFFIX: &str = ".rejected";

/// What is due for the forwarder to look at.
#[derive(Debug)]
pub(super) struct Wakes {
    /// By partition: whether it is forwarded, and whether it is listed.
    followed: Box<[bool]>,
    listed: Box<[bool]>,
    list: List<PartitionIndex>,
    /// The version of the topics that the forwarder has seen.
    topics_seen: u64,
    /// A person paused or resumed.
    head_changed: bool,
}

impl Wakes {
    /// Flags for as many partitions as there may be.
    pub fn new(sizes: &Sizes) -> Wakes {
        let flags = || vec![false; sizes.partitions].into_boxed_slice();
        Wakes {
            followed: flags(),
            listed: flags(),
            list: List::new(sizes.partitions),
            topics_seen: 0,
            head_changed: false,
        }
    }

    /// The rows of the ledger.
    pub fn account(sizes: &Sizes, ledger: &mut Ledger) {
        let each = 2 * size_of::<bool>() + List::<PartitionIndex>::memory(1);
        ledger.row("partitions to look at", sizes.partitions, each, "one for each partition");
    }

    /// A partition has this handle now.
    pub fn follow(&mut self, index: PartitionIndex, forwarded: bool) {
        if let Some(followed) = self.followed.get_mut(index) {
            *followed = forwarded;
        }
    }

    /// A partition's high watermark has moved.
    pub fn wake(&mut self, index: PartitionIndex) {
        if self.followed.get(index) == Some(&true)
            && !core::mem::replace(&mut self.listed[index], true)
        {
            // A place for each flag.
            self.list.push(index).ok();
        }
    }
}

/// Stages a row with the next sync.
pub(super) fn stage_row(
    storage: &mut Storage,
    bytes: &mut Vec<u8>,
    row: &ForwardRow,
    now: Now,
) -> Result<Lsn, WriteError> {
    Change::Forwarded(Cow::Borrowed(row)).encode_into(bytes);
    storage.stage_lazily(bytes, now.mono)
}

/// Moves a log's start. 1. The partition's row, which may have been noted in memory only. A cut
/// behind it: nothing is gone yet. 2. The start. In the other order a cut between them would make
/// what is gone look as if it had never been forwarded.
pub(super) fn move_log_start(
    storage: &mut Storage,
    forwarding: &Forwarding,
    bytes: &mut Vec<u8>,
    (index, offset): (PartitionIndex, i64),
    now: Now,
) -> Result<Lsn, WriteError> {
    let key = storage.partition(index).map(|partition| partition.key);
    if let Some(row) = key.and_then(|key| forwarding.row(lane(key))) {
        stage_row(storage, bytes, row, now)?;
    }
    storage.move_log_start(index, offset, now.mono)
}

fn lane(key: PartitionKey) -> LaneName {
    (key.topic, key.partition)
}

impl Broker {
    /// Everything about forwarding that is not the machine.
    pub fn forwarding(&self) -> &Forwarding {
        &self.forwarding
    }

    /// The same: for figures and commands only, rows have their own ways.
    pub fn forwarding_mut(&mut self) -> &mut Forwarding {
        &mut self.forwarding
    }

    /// What is kept of a lane.
    pub fn forward_row(&self, key: PartitionKey) -> Option<&ForwardRow> {
        self.forwarding.row(lane(key))
    }

    /// Keeps a row in memory, and in the next checkpoint. One of a partition that is gone is
    /// forgotten.
    pub fn note_forward(&mut self, row: &ForwardRow) {
        if self.has_lane(row) {
            self.forwarding.note(row);
        }
    }

    fn has_lane(&self, row: &ForwardRow) -> bool {
        let ForwardRow { topic, partition, .. } = *row;
        self.storage.find(PartitionKey { topic, partition }).is_some()
    }

    /// Keeps a row, in a frame that rides along with the next sync and wants none itself.
    ///
    /// # Errors
    /// [`Refusal`]; nothing has changed then.
    pub fn journal_forward(&mut self, row: &ForwardRow, now: Now) -> Result<(), Refusal> {
        if !self.has_lane(row) {
            return Err(Refusal::UnknownTopicOrPartition);
        }
        stage_row(&mut self.storage, &mut self.change_bytes, row, now)?;
        self.forwarding.note(row);
        Ok(())
    }

    /// Keeps a row; it is durable together with the returned frame, for which a sync begins as
    /// soon as the one that is under way has ended.
    ///
    /// # Errors
    /// [`Refusal`]; nothing has changed then.
    pub fn save_forward(&mut self, row: &ForwardRow, now: Now) -> Result<Lsn, Refusal> {
        if !self.has_lane(row) {
            return Err(Refusal::UnknownTopicOrPartition);
        }
        let lsn = stage_row(&mut self.storage, &mut self.change_bytes, row, now)?;
        self.storage.want_sync(now.mono);
        self.forwarding.note(row);
        Ok(lsn)
    }

    /// Keeps what there is about forwarding as a whole, durable together with the returned frame.
    ///
    /// # Errors
    /// [`Refusal`]; nothing has changed then.
    pub fn save_forward_head(&mut self, head: ForwardHead, now: Now) -> Result<Lsn, Refusal> {
        let lsn = self.stage(&Change::ForwardHead(Cow::Borrowed(&head)), now)?;
        self.wakes.head_changed |= self.forwarding.head().paused != head.paused;
        self.forwarding.note_head(head);
        Ok(lsn)
    }

    /// After a start: rows of partitions that are not there go, and where a log is shorter than
    /// what upstream acknowledged of it (a card that lost what it had promised), the lane gets a
    /// new producer id. The next records get the offsets of the lost ones, and with them their
    /// sequence numbers: under the old id upstream would take them for repeated, and drop them.
    pub(super) fn mend_forward_rows(&mut self, report: &mut Report) {
        self.forwarding.rows_lost = report.rebuilt;
        let storage = &self.storage;
        let find = |(topic, partition)| storage.find(PartitionKey { topic, partition });
        self.forwarding.retain(|lane| find(lane).is_some());
        let end_of = |lane| Some(storage.partition(find(lane)?)?.log_end);
        let short = |row: &ForwardRow| {
            let end = end_of(row.lane()).filter(|end| *end < row.cursor)?;
            Some(ForwardRow {
                producer_id: -1,
                producer_epoch: -1,
                cursor: end,
                sequence_base: end,
                settled: true,
                ..row.clone()
            })
        };
        let mended: Vec<ForwardRow> = self.forwarding.rows().filter_map(short).collect();
        for row in &mended {
            report.note(format!(
                "topic number {} partition {}: the log ends at {}, before what was forwarded; \
                 forwarding goes on from there with a new producer id",
                row.topic, row.partition, row.cursor
            ));
            self.forwarding.note(row);
        }
    }

    /// Whether this topic is forwarded.
    pub fn forwards(&self, topic: Topic<'_>) -> bool {
        self.config.forward.forwards(topic.name)
    }

    /// Names the forwarded partitions whose high watermark moved since this was last called, and
    /// takes note that the forwarder knows everything that [`Broker::forward_pending`] is about,
    /// but for commands.
    pub fn take_forward_wakes(&mut self, mut wake: impl FnMut(PartitionKey)) {
        self.collect_advanced();
        while let Some(index) = self.wakes.list.pop() {
            self.wakes.listed[index] = false;
            if let Some(partition) = self.storage.partition(index) {
                wake(partition.key);
            }
        }
        self.wakes.topics_seen = self.topics_version;
        self.wakes.head_changed = false;
    }

    /// Whether a wake, a command, a new or a deleted topic, a pause or its end, or the frame that
    /// it waits for is there for the forwarder.
    pub fn forward_pending(&self) -> bool {
        let durable = self.storage.durable();
        let waits = !self.wakes.list.is_empty()
            || self.forwarding.awaits.is_some_and(|lsn| lsn <= durable)
            || self.forwarding.has_command()
            || self.wakes.topics_seen != self.topics_version
            || self.wakes.head_changed;
        waits && !self.config.forward.bootstrap_servers.is_empty()
    }

    /// Counts topics that were created, deleted or given more partitions in this process.
    pub fn topics_version(&self) -> u64 {
        self.topics_version
    }

    /// High watermarks have moved: wakes fetches that wait, and tells the forwarder.
    pub(super) fn collect_advanced(&mut self) {
        let (waiting, wakes) = (&mut self.waiting, &mut self.wakes);
        self.storage.take_advanced(|index| {
            waiting.wake(index);
            wakes.wake(index);
        });
    }

    /// What retention may not take of a partition.
    pub(super) fn protected_from(&self, topic: Topic<'_>, partition: usize) -> Option<i64> {
        // No row yet: nothing of it was ever sent.
        let row = || self.forwarding.row((topic.number, partition as u32));
        self.forwards(topic).then(|| row().map_or(0, |row| row.cursor))
    }

    /// Appends a batch that upstream refuses for good to the same partition of
    /// `<topic>.rejected`, byte for byte but for base offset and leader epoch. The topic is
    /// created, or gets as many partitions as this one has, where that is missing.
    ///
    /// # Errors
    /// [`Refusal`], of which only `Busy` and `TopicGoing` pass by themselves. `CorruptBatch`: it
    /// has rotted here, and its bytes must not be put behind a CRC that would vouch for them.
    pub fn set_aside(
        &mut self,
        topic: u32,
        partition: u32,
        batch: &[u8],
        now: Now,
    ) -> Result<Lsn, Refusal> {
        let header = batch::check_stored(batch).map_err(|_| Refusal::CorruptBatch)?;
        let batch = batch.get(..header.total_bytes).ok_or(Refusal::CorruptBatch)?;
        let from = self.topics.get(topic).ok_or(Refusal::UnknownTopicOrPartition)?;
        let count = from.partitions.len() as i32;
        let name = format!("{}{REJECTED_SUFFIX}", from.name);
        match self.topics.find(&name) {
            None => {
                let new = NewTopic { name: &name, partitions: count, ..NewTopic::default() };
                self.create_topic(NewTopic { replication_factor: -1, ..new }, now)?;
            }
            Some(known) if known.partitions.len() <= partition as usize => {
                self.add_partitions(known.number, count, now)?;
            }
            Some(_) => {}
        }
        let (to, view) =
            self.find_partition(&name, partition as i32).ok_or(Refusal::UnknownTopicOrPartition)?;
        let (policy, full) = (segment_policy(to.config), to.config.full_policy);
        let appended = self.storage.append(view.index, policy, now.mono, |base_offset| {
            Stamped::new(batch, base_offset, LEADER_EPOCH, None)
        });
        let appended = appended.map_err(|error| self.or_busy(error, full, now))?;
        self.storage.want_sync(now.mono);
        Ok(appended.lsn)
    }

    /// Whether this is the last batch that was set aside of a partition: a crash behind
    /// [`Broker::set_aside`] may have left it there without anybody's taking note of it.
    pub fn is_set_aside(&mut self, topic: u32, partition: u32, batch: &[u8]) -> bool {
        let mut same = || {
            let name = format!("{}{REJECTED_SUFFIX}", self.topics.get(topic)?.name);
            let (_, view) = self.find_partition(&name, partition as i32)?;
            let last = view.high_watermark.checked_sub(1).filter(|it| *it >= 0)?;
            let slice = self.storage.read(view.index, last, 1, true).ok()??;
            let mut found = vec![0; slice.first.total_bytes];
            slice.file.read_exact_at(&mut found, u64::from(slice.position)).ok()?;
            // Everything from the length on, but for the leader epoch.
            let rest = |bytes: &[u8]| Some([bytes.get(8..12)?, bytes.get(16..)?].concat());
            Some(rest(&found)? == rest(batch)?)
        };
        same().unwrap_or(false)
    }
}

#[cfg(test)]
mod tests;
