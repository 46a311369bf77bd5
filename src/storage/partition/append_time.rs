//! The time of the last batch that the broker stamped itself (`LogAppendTime`).
//!
//! Promises: known without memory or a walk through the log, also after a restart; times that
//! clients gave don't count, nor does what has rotted: every later batch is stamped at least as
//! late, so that one wrong bit would stay in the log for ever. Where the end has rotted, the last
//! batch that is sound counts, wherever that is: times run back for no reader. Absent: stamping
//! (`broker`).

use super::Partition;
use super::read::Walk;
use crate::disk::Disk;
use crate::storage::rot::Rot;
use crate::storage::segment::LogError;
use crate::wire::batch::BatchHeader;

impl Partition {
    /// Milliseconds since 1970 at which the broker stamped the last batch that is sound;
    /// `i64::MIN` if that one has its producer's times, or there is none.
    pub fn last_append_time(&mut self, disk: &dyn Disk, rot: &mut Rot) -> i64 {
        let found = self.append_time.or_else(|| self.find_append_time(disk, rot));
        let known = found.unwrap_or(i64::MIN);
        self.append_time = Some(known);
        known
    }

    fn find_append_time(&mut self, disk: &dyn Disk, rot: &mut Rot) -> Option<i64> {
        for at in (0..self.segments.len()).rev() {
            let (base, limit) = (self.base_of(at), self.readable(at));
            let near_end = self.open_at(disk, at).ok().map(|open| {
                let entry = open.index.last_where(|entry| entry.position < limit);
                let expected = base + i64::from(entry.relative_offset);
                Walk::begin(at, entry.position, expected, entry.position > 0)
            });
            let whole = Walk::begin(at, 0, base, false);
            for walk in [near_end.filter(|walk| walk.position > 0), Some(whole)] {
                let Some(walk) = walk else { continue };
                if let Some(last) = self.last_sound(disk, rot, walk).ok()? {
                    return last.is_log_append_time().then_some(last.max_timestamp);
                }
            }
        }
        None
    }

    /// The last batch of a segment that is sound, from where the walk stands.
    fn last_sound(
        &mut self,
        disk: &dyn Disk,
        rot: &mut Rot,
        mut walk: Walk,
    ) -> Result<Option<BatchHeader>, LogError> {
        let mut last = None;
        while let Some(header) = self.look(disk, rot, &mut walk)? {
            let end = walk.position + header.total_bytes as u32;
            if self.sound(disk, rot, &walk, end, header.next_offset())?.all {
                last = Some(header);
                walk.step(&header);
            } else {
                let gap = self.find_gap(disk, rot, walk.at, walk.position, walk.expected)?;
                walk.pass(&gap);
            }
        }
        Ok(last)
    }
}
