//! Groups and what they committed: who may commit and delete, what comes back after a restart, what
//! expires.
//!
//! Absent: the rows (`offsets.rs`), and making them durable (`broker`).

use super::Groups;
use crate::limits::OFFSETS_RETENTION_CHECK_INTERVAL_MS;
use crate::state::group::Refusal;
use crate::state::offsets::{Commit, OffsetRow, Offsets};
use crate::time::Now;

impl Groups {
    /// Whether an OffsetCommit is to be taken. A member's commit counts as a heartbeat; one without
    /// generation (-1) makes the group if need be.
    ///
    /// An unknown group with a generation is ILLEGAL_GENERATION, which is right up to v8 of the
    /// API.
    pub fn validate_commit(
        &mut self,
        group_id: &str,
        member_id: &str,
        instance_id: Option<&str>,
        generation: i32,
        now: Now,
    ) -> Result<(), Refusal> {
        let slot = match self.find(group_id) {
            Some(slot) => slot,
            None if generation < 0 => self.create(group_id, now)?,
            None => return Err(Refusal::IllegalGeneration),
        };
        self.on_session(slot, |group, tables| {
            group.validate_commit(member_id, instance_id, generation, tables, now.mono)
        })
    }

    /// Stores one offset of a commit that [`Groups::validate_commit`] let through.
    pub fn commit_offset(
        &mut self,
        group_id: &str,
        topic: &str,
        partition: i32,
        commit: Commit<'_>,
        now: Now,
    ) -> Result<(), Refusal> {
        if self.find(group_id).is_none() {
            self.create(group_id, now)?;
        }
        self.offsets.commit(group_id, topic, partition, commit, now)
    }

    /// Puts back a row from the coordinator file or the journal; its age starts now.
    pub fn restore_offset(&mut self, row: &OffsetRow<'_>, now: Now) -> Result<(), Refusal> {
        let commit = Commit {
            offset: row.offset,
            leader_epoch: row.leader_epoch,
            metadata: row.metadata,
            retention_ms: row.retention_ms,
        };
        let then = Now { wall_ms: row.commit_wall_ms, ..now };
        self.commit_offset(row.group_id, row.topic, row.partition, commit, then)
    }

    /// The committed offsets, for OffsetFetch and for the coordinator file. An unknown group has
    /// none.
    #[must_use]
    pub fn offsets(&self) -> &Offsets {
        &self.offsets
    }

    /// Forgets one row unconditionally (the replay of an OffsetDelete); says whether it was there.
    pub fn remove_offset(&mut self, group_id: &str, topic: &str, partition: i32) -> bool {
        self.offsets.remove(group_id, topic, partition)
    }

    /// A topic was deleted: what was committed for it goes. Says how many rows.
    pub fn topic_deleted(&mut self, topic: &str) -> usize {
        self.offsets.remove_topic(topic)
    }

    /// Whether OffsetDelete may touch the group at all; per topic [`Groups::delete_offset`]
    /// decides.
    pub fn validate_offset_delete(&self, group_id: &str) -> Result<(), Refusal> {
        let group = self.get(group_id).ok_or(Refusal::GroupIdNotFound)?;
        group.validate_offset_delete(&self.tables)
    }

    /// OffsetDelete of one partition, in a group that [`Groups::validate_offset_delete`] allowed;
    /// says whether there was a row.
    pub fn delete_offset(
        &mut self,
        group_id: &str,
        topic: &str,
        partition: i32,
    ) -> Result<bool, Refusal> {
        self.validate_offset_delete(group_id)?;
        if self.get(group_id).is_some_and(|group| group.is_subscribed(topic, &self.tables)) {
            return Err(Refusal::GroupSubscribedToTopic);
        }
        Ok(self.offsets.remove(group_id, topic, partition))
    }

    /// Forgets offsets that are too old, and then groups that have nothing left (Kafka's
    /// `cleanupGroupMetadata`). What `forget` says no to stays until the next time.
    pub(super) fn sweep(&mut self, now: Now, mut forget: impl FnMut(&str, &str, i32) -> bool) {
        let retention_ms = self.config.offsets_retention_ms;
        for slot in 0..self.groups.keys_end() {
            let Some(group) = self.groups.get(slot) else { continue };
            let tables = &self.tables;
            if let Some(base) = group.offsets_age_base(tables) {
                let group_id = group.id(tables);
                self.offsets.retain_in(group_id, |topic, partition, row| {
                    !row.is_expired(base, retention_ms, now.mono)
                        || group.is_subscribed(topic, tables)
                        || !forget(group_id, topic, partition)
                });
            }
            if self.is_useless(slot) {
                self.remove(slot);
            }
        }
        let next_sweep = now.mono.saturating_add(OFFSETS_RETENTION_CHECK_INTERVAL_MS);
        self.next_sweep = (!self.groups.is_empty()).then_some(next_sweep);
    }
}
