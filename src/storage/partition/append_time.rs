//! The time of the last batch that the broker stamped itself (`LogAppendTime`).
//!
//! Promises: known without memory or a walk through the log, also after a restart; times that
//! clients gave don't count, nor does what has rotted: every later batch is stamped at least as
//! late, so that one wrong bit would stay in the log for ever. Absent: stamping (`broker`).

use super::Partition;
use crate::disk::Disk;
use crate::storage::rot::Rot;
use crate::storage::segment::Window;

impl Partition {
    /// Milliseconds since 1970 at which the broker stamped the last batch; `i64::MIN` if the last
    /// one has its producer's times, or nothing behind the last index entry is sound.
    pub fn last_append_time(&mut self, disk: &dyn Disk, rot: &mut Rot) -> i64 {
        let found = self.append_time.or_else(|| self.find_append_time(disk, rot));
        let known = found.unwrap_or(i64::MIN);
        self.append_time = Some(known);
        known
    }

    fn find_append_time(&mut self, disk: &dyn Disk, rot: &mut Rot) -> Option<i64> {
        let at = self.segments.all().iter().rposition(|segment| segment.bytes > 0)?;
        let limit = self.segments.get(at)?.bytes;
        let open = self.open_at(disk, at).ok()?;
        let mut position = open.index.last_where(|entry| entry.position < limit).position;
        let (mut window, mut last) = (Window::new(&open.log, limit), None);
        while position < limit {
            let Ok(header) = window.header(position) else { break };
            let end = position + header.total_bytes as u32;
            if rot.check(&open.log, position, end, header.base_offset).ok()?.all {
                last = Some(header);
            }
            position = end;
        }
        last.filter(|header| header.is_log_append_time()).map(|header| header.max_timestamp)
    }
}
