//! Removes what a power cut brought back: files of deleted topics and of segments given up.
//!
//! Removals are not synced one by one; a cut may undo them, and the journal that would repeat them
//! may be given up by then. So every start after anything but an orderly stop looks through the
//! partition directories once. That costs a directory listing per partition, whatever lies in them.
//!
//! Promises: nothing is touched that is not named like a file of ours; what cannot be removed
//! stays until the next time. Called when all that was replayed is durable, not before.

use super::{Storage, layout};
use std::collections::BTreeSet;

impl Storage {
    pub(super) fn sweep(&self) {
        let mut known = BTreeSet::new();
        for (_, partition) in self.partitions() {
            known.insert(partition.dir.as_str());
            let bases = partition.segments.all().iter().map(|s| s.base_offset).collect();
            self.sweep_dir(&partition.dir, &bases);
        }
        for (name, is_dir) in self.disk.list(layout::TOPICS).unwrap_or_default() {
            let dir = format!("{}/{name}", layout::TOPICS);
            if is_dir && layout::partition_of(&name).is_some() && !known.contains(dir.as_str()) {
                self.sweep_dir(&dir, &BTreeSet::new());
                self.disk.remove_dir(&dir).ok();
            }
        }
    }

    fn sweep_dir(&self, dir: &str, keep: &BTreeSet<i64>) {
        for (name, _) in self.disk.list(dir).unwrap_or_default() {
            let stem = name.strip_suffix(".index").map(|stem| format!("{stem}.log"));
            let base = layout::segment_base(stem.as_ref().unwrap_or(&name));
            if base.is_some_and(|base| !keep.contains(&base)) {
                self.disk.remove_file(&format!("{dir}/{name}")).ok();
            }
        }
    }
}
