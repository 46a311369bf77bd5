//! The members of all groups, each group's in the order in which they came.
//!
//! A row keeps what JoinGroup said and what the leader assigned, and which answers its member is
//! owed. Rows and strings are allocated once at start: a group is a chain through the rows, and
//! what a member says or is given lies in one block of memory, packed. Rules live in `group.rs`;
//! here is only the table: lookups by member id, instance id and key, the votes for a protocol, the
//! bytes in use.

mod names;
mod protocols;

use super::group::tickets::Ticket;
use super::group::{JoinRequest, Protocols};
use crate::fixed::{Slab, Text, Texts};
use crate::limits::{CLIENT_ID_BYTES_KEPT, MEMBER_PROTOCOLS_MAX, Sizes};
use crate::time::Millis;
use names::{Lengths, Names};

pub(super) use protocols::bytes as protocols_bytes;

/// Strings of a member: its names, its protocols, its assignment.
const TEXTS_PER_MEMBER: usize = 3;

/// Names a row for as long as it exists; never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct MemberKey {
    row: u32,
    number: u64,
}

/// One member.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) key: MemberKey,
    /// The row of the member that came after it, and of the one before.
    next: Option<u32>,
    previous: Option<u32>,
    names: Text,
    lengths: Lengths,
    /// In the order of the member's preference.
    protocols: Text,
    assignment: Text,
    pub(super) session_timeout_ms: u64,
    pub(super) rebalance_timeout_ms: u64,
    /// The JoinGroup that waits for the rebalance to end. It stays when the connection goes: the
    /// member counts as joined, as in Kafka, and its session decides afterwards.
    pub(super) join: Option<Ticket>,
    /// The SyncGroup that waits for the leader's.
    pub(super) sync: Option<Ticket>,
    /// Its first join has not ended yet.
    pub(super) is_new: bool,
    /// It was told of the latest generation and has not sent SyncGroup since.
    pub(super) sync_pending: bool,
    pub(super) is_static: bool,
    pub(super) session_deadline: Millis,
    /// When something was last heard of it, or said to it.
    pub(super) heard_at: Millis,
}

impl Member {
    /// Kafka's `hasSatisfiedHeartbeat`: who waits for us cannot be blamed for silence, except for
    /// new members.
    fn is_excused(&self) -> bool {
        !self.is_new && (self.join.is_some() || self.sync.is_some())
    }

    /// When its session ends, if it can end now.
    pub(super) fn deadline(&self) -> Option<Millis> {
        (!self.is_excused()).then_some(self.session_deadline)
    }

    /// Starts its session anew.
    pub(super) fn touch(&mut self, now: Millis) {
        self.session_deadline = now.saturating_add(self.session_timeout_ms);
        self.heard_at = now;
    }
}

/// The longest prefix of `text` that keeps the limit.
pub(super) fn kept(text: &str) -> &str {
    let mut end = text.len().min(CLIENT_ID_BYTES_KEPT);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// Whose rows a group's are.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Roll {
    first: Option<u32>,
    last: Option<u32>,
    len: u32,
}

impl Roll {
    pub(super) fn len(&self) -> usize {
        self.len as usize
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }
}

/// What a member that was taken out is still owed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Owed {
    pub(super) join: Option<Ticket>,
    pub(super) sync: Option<Ticket>,
}

/// The table.
#[derive(Debug)]
pub(super) struct Members {
    rows: Slab<Member>,
    texts: Texts,
    bytes_max: usize,
    /// The next key's number.
    numbers: u64,
}

/// The members of one group, in the order in which they came.
#[derive(Clone, Debug)]
pub(super) struct Iter<'a> {
    members: Option<&'a Members>,
    next: Option<u32>,
    left: usize,
}

impl Iter<'_> {
    /// Nobody.
    pub(super) const NONE: Iter<'static> = Iter { members: None, next: None, left: 0 };
}

impl<'a> Iterator for Iter<'a> {
    type Item = &'a Member;

    fn next(&mut self) -> Option<&'a Member> {
        let member = self.members?.rows.get(self.next?)?;
        self.next = member.next;
        self.left = self.left.saturating_sub(1);
        Some(member)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for Iter<'_> {}

impl Members {
    pub(super) fn new(sizes: &Sizes) -> Members {
        Members {
            rows: Slab::new(sizes.members),
            texts: Texts::new(TEXTS_PER_MEMBER * sizes.members, sizes.member_bytes),
            bytes_max: sizes.member_bytes,
            numbers: 0,
        }
    }

    /// Bytes of one row, with the places of its strings.
    pub(super) fn row_memory() -> usize {
        Slab::<Member>::memory(1) + Texts::memory(TEXTS_PER_MEMBER, 0)
    }

    /// Rows in use, and how many there are.
    pub(super) fn rows_used(&self) -> (usize, usize) {
        (self.rows.len(), self.rows.capacity())
    }

    /// Bytes that all rows hold, and how many there are.
    pub(super) fn bytes_used(&self) -> (usize, usize) {
        // What each string takes beside its own bytes was allotted beside them, too.
        let heads = Texts::HEAD_BYTES * self.texts.len();
        (self.texts.used_bytes() - heads, self.bytes_max)
    }

    /// Bytes that one row holds.
    #[cfg(test)]
    pub(super) fn row_bytes(&self, member: &Member) -> usize {
        let texts = [member.names, member.protocols, member.assignment];
        texts.iter().map(|text| self.texts.get(*text).len()).sum()
    }

    /// How many bytes more all rows together may hold.
    pub(super) fn bytes_free(&self) -> usize {
        let (used, max) = self.bytes_used();
        max.saturating_sub(used)
    }

    pub(super) fn is_full(&self) -> bool {
        self.rows.is_full()
    }

    pub(super) fn iter(&self, roll: Roll) -> Iter<'_> {
        Iter { members: Some(self), next: roll.first, left: roll.len() }
    }

    /// Does something to every member of a group.
    pub(super) fn each(&mut self, roll: Roll, mut work: impl FnMut(&mut Member)) {
        let mut at = roll.first;
        while let Some(member) = at.and_then(|row| self.rows.get_mut(row)) {
            work(member);
            at = member.next;
        }
    }

    pub(super) fn get(&self, key: MemberKey) -> Option<&Member> {
        self.rows.get(key.row).filter(|member| member.key == key)
    }

    pub(super) fn get_mut(&mut self, key: MemberKey) -> Option<&mut Member> {
        self.rows.get_mut(key.row).filter(|member| member.key == key)
    }

    pub(super) fn by_id(&self, roll: Roll, member_id: &str) -> Option<&Member> {
        self.iter(roll).find(|member| self.names(member).has_member_id(member_id))
    }

    pub(super) fn by_instance(&self, roll: Roll, instance_id: &str) -> Option<&Member> {
        self.iter(roll).find(|member| self.instance_id(member) == Some(instance_id))
    }

    fn names(&self, member: &Member) -> Names<'_> {
        Names::new(self.texts.get(member.names), member.lengths)
    }

    pub(super) fn member_id(&self, member: &Member) -> &str {
        self.names(member).member_id()
    }

    pub(super) fn instance_id(&self, member: &Member) -> Option<&str> {
        member.is_static.then(|| self.names(member).instance_id())
    }

    pub(super) fn client_id(&self, member: &Member) -> &str {
        self.names(member).client_id()
    }

    pub(super) fn client_host(&self, member: &Member) -> &str {
        self.names(member).client_host()
    }

    /// What the leader gave it.
    pub(super) fn assignment(&self, member: &Member) -> &[u8] {
        self.texts.get(member.assignment)
    }

    /// What it said under the protocol `name`.
    pub(super) fn metadata(&self, member: &Member, name: &[u8]) -> Option<&[u8]> {
        let mut protocols = self.protocols(member);
        protocols.find(|(known, _)| *known == name).map(|(_, metadata)| metadata)
    }

    fn protocols(&self, member: &Member) -> protocols::Iter<'_> {
        protocols::Iter::new(self.texts.get(member.protocols))
    }

    /// Bytes that its protocols take.
    pub(super) fn protocols_bytes(&self, member: &Member) -> usize {
        self.texts.get(member.protocols).len()
    }

    /// Whether `protocols` says, in the same order, what the member said before.
    pub(super) fn matches<'a>(&self, member: &Member, mut protocols: impl Protocols<'a>) -> bool {
        let same = |(name, metadata): (&[u8], &[u8])| {
            protocols.next().is_some_and(|it| (it.0.as_bytes(), it.1) == (name, metadata))
        };
        self.protocols(member).all(same) && protocols.next().is_none()
    }

    /// Adds a new member at the end; `None` if there is no room. The caller checked that the ids
    /// are new.
    pub(super) fn add<'a, P: Protocols<'a>>(
        &mut self,
        roll: &mut Roll,
        member_id: &str,
        request: &JoinRequest<'a, P>,
    ) -> Option<MemberKey> {
        let instance_id = request.instance_id.unwrap_or("");
        let parts = [member_id, instance_id, kept(request.client_id), kept(request.client_host)];
        let protocols = request.protocols.clone();
        let count = protocols_bytes(protocols.clone());
        if names::bytes(&parts) + count > self.bytes_free() || self.rows.is_full() {
            return None;
        }
        let names = self.texts.put_with(names::bytes(&parts), |room| names::pack(&parts, room))?;
        let protocols = self.texts.put_with(count, |room| protocols::pack(protocols, room))?;
        let assignment = self.texts.put(&[])?;
        self.numbers += 1;
        let row = Member {
            // The row is not known yet.
            key: MemberKey { row: 0, number: self.numbers },
            next: None,
            previous: roll.last,
            names,
            lengths: Lengths::of(&parts),
            protocols,
            assignment,
            session_timeout_ms: request.session_timeout(),
            rebalance_timeout_ms: request.rebalance_timeout(),
            join: None,
            sync: None,
            is_new: true,
            sync_pending: false,
            is_static: request.instance_id.is_some(),
            session_deadline: Millis::MAX,
            heard_at: Millis::MAX,
        };
        let row = self.rows.insert(row).ok()?;
        if let Some(previous) = roll.last.and_then(|last| self.rows.get_mut(last)) {
            previous.next = Some(row);
        }
        *roll = Roll { first: roll.first.or(Some(row)), last: Some(row), len: roll.len + 1 };
        let member = self.rows.get_mut(row)?;
        member.key.row = row;
        Some(member.key)
    }

    /// Takes over timeouts and protocols of a new JoinGroup. The caller checked that there is room.
    pub(super) fn update<'a, P: Protocols<'a>>(
        &mut self,
        key: MemberKey,
        request: &JoinRequest<'a, P>,
    ) {
        let Some(member) = self.get_mut(key) else { return };
        member.session_timeout_ms = request.session_timeout();
        member.rebalance_timeout_ms = request.rebalance_timeout();
        let text = member.protocols;
        let protocols = request.protocols.clone();
        let count = protocols_bytes(protocols.clone());
        let fits = self.texts.replace_with(text, count, |room| protocols::pack(protocols, room));
        debug_assert!(fits, "the caller checked");
    }

    /// Another process takes over the row of a static member, under a new id and key.
    pub(super) fn rename(&mut self, key: MemberKey, member_id: &str) -> Option<MemberKey> {
        let number = self.numbers + 1;
        let member = self.get_mut(key)?;
        // Both ids are the instance id and an UUID.
        if usize::from(member.lengths.member_id) != member_id.len() {
            return None;
        }
        member.key.number = number;
        let (key, text) = (member.key, member.names);
        self.numbers = number;
        let whole = self.texts.get(text).len();
        let renamed = self.texts.replace_with(text, whole, |room| {
            room[..member_id.len()].copy_from_slice(member_id.as_bytes());
        });
        renamed.then_some(key)
    }

    /// Gives every member of a group what `given_to` says of its id. The caller checked that there
    /// is room, and took the old ones back.
    pub(super) fn assign_each<'a>(&mut self, roll: Roll, given_to: impl Fn(&str) -> &'a [u8]) {
        let mut at = roll.first;
        while let Some(member) = at.and_then(|row| self.rows.get(row)) {
            let assignment = given_to(self.member_id(member));
            let fits = self.texts.replace(member.assignment, assignment);
            debug_assert!(fits, "the caller checked");
            at = member.next;
        }
    }

    /// Takes the assignments of a group back.
    pub(super) fn unassign(&mut self, roll: Roll) {
        let mut at = roll.first;
        while let Some(member) = at.and_then(|row| self.rows.get(row)) {
            let emptied = self.texts.replace(member.assignment, &[]);
            debug_assert!(emptied, "less always fits");
            at = member.next;
        }
    }

    /// Takes a row out; the others keep their order.
    pub(super) fn remove(&mut self, roll: &mut Roll, key: MemberKey) -> Option<Owed> {
        self.get(key)?;
        let member = self.rows.remove(key.row)?;
        match member.previous.and_then(|row| self.rows.get_mut(row)) {
            Some(previous) => previous.next = member.next,
            None => roll.first = member.next,
        }
        match member.next.and_then(|row| self.rows.get_mut(row)) {
            Some(next) => next.previous = member.previous,
            None => roll.last = member.previous,
        }
        roll.len -= 1;
        for text in [member.names, member.protocols, member.assignment] {
            self.texts.free(text);
        }
        Some(Owed { join: member.join, sync: member.sync })
    }

    /// The first row of a group that `wanted` picks.
    pub(super) fn find_key(
        &self,
        roll: Roll,
        wanted: impl Fn(&Member) -> bool,
    ) -> Option<MemberKey> {
        self.iter(roll).find(|member| wanted(member)).map(|member| member.key)
    }

    /// How many wait for a join to end.
    pub(super) fn joined_count(&self, roll: Roll) -> usize {
        self.iter(roll).filter(|member| member.join.is_some()).count()
    }

    /// The longest rebalance timeout among the members (Kafka's `rebalanceTimeoutMs`).
    pub(super) fn rebalance_timeout_ms(&self, roll: Roll) -> u64 {
        self.iter(roll).map(|member| member.rebalance_timeout_ms).max().unwrap_or(0)
    }

    /// Whether all members offer the protocol `name`.
    pub(super) fn all_offer(&self, roll: Roll, name: &[u8]) -> bool {
        self.iter(roll).all(|member| self.metadata(member, name).is_some())
    }

    /// The protocol of the next generation: among those that all offer, every member votes for its
    /// first. Kafka leaves a tie to chance; here the longest-standing member's preference decides.
    pub(super) fn select_protocol(&self, roll: Roll) -> Option<&[u8]> {
        let candidates = self.protocols(self.iter(roll).next()?).map(|(name, _)| name);
        let mut votes = [None; MEMBER_PROTOCOLS_MAX];
        for (candidate, vote) in candidates.clone().zip(&mut votes) {
            *vote = self.all_offer(roll, candidate).then_some(0usize);
        }
        for member in self.iter(roll) {
            let index_of = |name: &[u8]| {
                let found = candidates.clone().position(|candidate| candidate == name);
                found.filter(|index| votes[*index].is_some())
            };
            let choice = self.protocols(member).find_map(|(offered, _)| index_of(offered));
            if let Some(count) = choice.and_then(|index| votes[index].as_mut()) {
                *count += 1;
            }
        }
        // The first of those with the most votes.
        let mut best: Option<(&[u8], usize)> = None;
        for (candidate, vote) in candidates.zip(votes) {
            let Some(count) = vote else { continue };
            if best.is_none_or(|(_, most)| count > most) {
                best = Some((candidate, count));
            }
        }
        best.map(|(candidate, _)| candidate)
    }

    /// The row that was silent for longest, of all that `wanted` picks.
    pub(super) fn most_silent(&self, wanted: impl Fn(&Member) -> bool) -> Option<MemberKey> {
        let rows = self.rows.iter().map(|(_, member)| member);
        rows.filter(|member| wanted(member))
            .min_by_key(|member| member.heard_at)
            .map(|member| member.key)
    }
}
