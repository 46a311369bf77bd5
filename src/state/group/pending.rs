//! Member ids that were handed out and not used yet (KIP-394), of all groups, the oldest first.
//!
//! There are few at any time: an id is pending for one round trip of its client. A flood of clients
//! that never come back costs its own group the oldest ones, and where all places are taken the
//! group with the most. Absent: what a group does when one goes (`group.rs`).

use crate::fixed::List;
use crate::limits::{CLIENT_ID_BYTES_KEPT, Usage};
use crate::time::Millis;

/// `-` and an UUID in text.
pub(in crate::state) const UUID_BYTES: usize = 37;

/// Bytes of the longest id that is handed out so: static members get theirs at once.
const PENDING_ID_BYTES_MAX: usize = CLIENT_ID_BYTES_KEPT + UUID_BYTES;

/// A member id that was handed out.
#[derive(Debug)]
struct PendingMember {
    /// The group's place.
    group: u32,
    deadline: Millis,
    member_id: heapless::String<PENDING_ID_BYTES_MAX, u8>,
}

/// The table.
#[derive(Debug)]
pub(in crate::state) struct Pending {
    rows: List<PendingMember>,
}

impl Pending {
    pub(in crate::state) fn new(count: usize) -> Pending {
        Pending { rows: List::new(count) }
    }

    /// Bytes of one row.
    pub(in crate::state) fn row_memory() -> usize {
        List::<PendingMember>::memory(1)
    }

    pub(in crate::state) fn usage(&self) -> Usage {
        Usage::new("group.members.pending", self.rows.len(), self.rows.capacity())
    }

    fn of(&self, group: u32) -> impl Iterator<Item = &PendingMember> {
        self.rows.iter().filter(move |row| row.group == group)
    }

    pub(in crate::state) fn is_full(&self) -> bool {
        self.rows.is_full()
    }

    pub(in crate::state) fn count(&self, group: u32) -> usize {
        self.of(group).count()
    }

    /// Whether nobody is about to come to the group.
    pub(in crate::state) fn is_none(&self, group: u32) -> bool {
        self.of(group).next().is_none()
    }

    /// When the next one of the group is given up.
    pub(in crate::state) fn deadline(&self, group: u32) -> Option<Millis> {
        self.of(group).map(|row| row.deadline).min()
    }

    /// Notes an id; says whether there was room.
    pub(in crate::state) fn add(&mut self, group: u32, member_id: &str, deadline: Millis) -> bool {
        let Ok(member_id) = member_id.try_into() else { return false };
        self.rows.push(PendingMember { group, deadline, member_id }).is_ok()
    }

    /// Forgets an id; says whether it was there.
    pub(in crate::state) fn remove(&mut self, group: u32, member_id: &str) -> bool {
        self.remove_first(|row| row.group == group && row.member_id == member_id)
    }

    /// Forgets the oldest one of the group that is due then.
    pub(in crate::state) fn remove_due(&mut self, group: u32, due: Millis) -> bool {
        self.remove_first(|row| row.group == group && row.deadline == due)
    }

    /// Forgets the oldest one of the group.
    pub(in crate::state) fn remove_oldest(&mut self, group: u32) -> bool {
        self.remove_first(|row| row.group == group)
    }

    fn remove_first(&mut self, unwanted: impl Fn(&PendingMember) -> bool) -> bool {
        let found = self.rows.iter().position(unwanted);
        found.and_then(|index| self.rows.remove(index)).is_some()
    }

    /// The group is no more.
    pub(in crate::state) fn remove_group(&mut self, group: u32) {
        self.rows.retain(|row| row.group != group);
    }

    /// The group that has the most; of several the one with the oldest id.
    pub(in crate::state) fn greediest(&self) -> Option<u32> {
        let mut most: Option<(u32, usize)> = None;
        for row in self.rows.iter() {
            let count = self.count(row.group);
            if most.is_none_or(|(_, known)| count > known) {
                most = Some((row.group, count));
            }
        }
        most.map(|(group, _)| group)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_go_by_name_by_age_and_by_group() {
        let mut pending = Pending::new(4);
        for (group, id, due) in [(1, "a", 50), (2, "b", 40), (2, "c", 30), (1, "d", 20)] {
            assert!(pending.add(group, id, Millis(due)));
        }
        assert!(pending.is_full() && !pending.add(3, "e", Millis(0)));
        assert_eq!(pending.greediest(), Some(1), "as many, and older");
        assert_eq!(pending.deadline(2), Some(Millis(30)));
        assert!(!pending.remove(1, "b") && pending.remove(2, "b"));
        assert!(pending.remove_due(1, Millis(20)) && !pending.remove_due(1, Millis(20)));
        assert!(pending.remove_oldest(1) && !pending.remove_oldest(1));
        assert!(pending.is_none(1) && pending.count(2) == 1);
        pending.remove_group(2);
        assert_eq!((pending.greediest(), pending.usage().used), (None, 0));
    }

    #[test]
    fn the_longest_id_fits() {
        let mut pending = Pending::new(1);
        let long = "x".repeat(PENDING_ID_BYTES_MAX);
        assert!(pending.add(1, &long, Millis(0)) && pending.remove(1, &long));
        assert!(!pending.add(1, &(long + "x"), Millis(0)));
    }
}
