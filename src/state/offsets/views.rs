//! Committed offsets as others walk through them: by group, topic and partition.

use super::{CommittedOffset, OffsetRow, Offsets, Row};

impl Offsets {
    fn rows_at<'a>(&'a self, places: &'a [u32]) -> impl Iterator<Item = &'a Row> + Clone {
        places.iter().filter_map(|place| self.rows.get(*place))
    }

    /// Everything `group_id` committed, by topic and partition.
    pub fn of_group<'a>(
        &'a self,
        group_id: &str,
    ) -> impl Iterator<Item = (&'a str, i32, CommittedOffset<'a>)> + use<'a> {
        let rows = self.rows_at(self.rows_of(group_id));
        rows.map(|row| (self.topics.get(row.topic), row.partition, row.shown(&self.metadata)))
    }

    /// The topics that `group_id` committed for, each with its partitions: the shape of an
    /// OffsetFetch answer.
    pub fn topics_of_group<'a>(&'a self, group_id: &str) -> Topics<'a> {
        let rows = self.rows_of(group_id);
        let left = rows.chunk_by(|one, other| self.is_same_topic(*one, *other)).count();
        Topics { offsets: self, rows, left }
    }

    fn is_same_topic(&self, one: u32, other: u32) -> bool {
        let topic = |place| self.rows.get(place).map(|row| row.topic);
        topic(one) == topic(other)
    }

    /// Everything, for the coordinator file.
    pub fn rows(&self) -> impl Iterator<Item = OffsetRow<'_>> + Clone {
        self.rows_at(&self.order).map(|row| OffsetRow {
            group_id: self.groups.get(row.group),
            topic: self.topics.get(row.topic),
            partition: row.partition,
            offset: row.offset,
            leader_epoch: row.leader_epoch,
            metadata: row.shown(&self.metadata).metadata,
            commit_wall_ms: row.commit_wall_ms,
            retention_ms: u64::try_from(row.retention_ms).ok(),
        })
    }
}

/// The topics of a group.
#[derive(Clone, Debug)]
pub struct Topics<'a> {
    offsets: &'a Offsets,
    rows: &'a [u32],
    left: usize,
}

impl<'a> Iterator for Topics<'a> {
    type Item = (&'a str, Partitions<'a>);

    fn next(&mut self) -> Option<(&'a str, Partitions<'a>)> {
        let offsets = self.offsets;
        let first = *self.rows.first()?;
        let count = self.rows.partition_point(|row| offsets.is_same_topic(first, *row));
        let (rows, rest) = self.rows.split_at(count);
        (self.rows, self.left) = (rest, self.left.saturating_sub(1));
        let topic = offsets.rows.get(first).map_or("", |row| offsets.topics.get(row.topic));
        Some((topic, Partitions { offsets, rows }))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for Topics<'_> {}

/// The rows of one topic in one group, by partition.
#[derive(Clone, Copy, Debug)]
pub struct Partitions<'a> {
    offsets: &'a Offsets,
    rows: &'a [u32],
}

impl<'a> Partitions<'a> {
    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there is none, which never happens.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Each partition with what was committed for it.
    pub fn iter(&self) -> impl Iterator<Item = (i32, CommittedOffset<'a>)> + use<'a> {
        let offsets = self.offsets;
        offsets.rows_at(self.rows).map(|row| (row.partition, row.shown(&offsets.metadata)))
    }
}
