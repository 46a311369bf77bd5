//! Who makes room where a table is full: those that nobody misses, in the order in which they would
//! be missed least.
//!
//! Promises: a flood of groups, of members or of member ids that are never used takes the places of
//! those who work only if these were silent for [`MEMBER_SILENT_MS`], and shuts out newcomers for
//! no longer than that after it has ended. What has committed offsets stays: whoever floods the
//! broker with commits fills it until they expire or are deleted, as in Kafka.
//! Absent: bounds of a single group (`group/join.rs`).

use super::{Group, Groups};
use crate::limits::{Ledger, MEMBER_SILENT_MS, Sizes, Usage};
use crate::state::group::join::JoinRequest;
use crate::state::group::pending::Pending;
use crate::state::group::tickets::{Ticket, Tickets};
use crate::state::group::{Protocols, Tables};
use crate::state::members::{Member, Members};
use crate::state::offsets::Offsets;
use crate::time::{Millis, Now};

impl Groups {
    /// What [`Groups::new`] allocates.
    pub fn account(sizes: &Sizes, ledger: &mut Ledger) {
        let place = size_of::<u32>() + size_of::<Option<Millis>>();
        let group = crate::fixed::Slab::<Group>::memory(1) + place + Tables::names_memory();
        let join = "JoinGroup: GROUP_MAX_SIZE_REACHED";
        ledger.row("groups", sizes.groups, group, join);
        ledger.row("members of groups", sizes.members, Members::row_memory(), join);
        ledger.row("names, metadata and assignments of members", sizes.member_bytes, 1, join);
        let oldest = "the oldest is forgotten";
        ledger.row("member ids handed out", sizes.pending_members, Pending::row_memory(), oldest);
        let waits = Tickets::memory(sizes.connections);
        ledger.row("waits for groups, one per connection", waits, 1, "never reached");
        Offsets::account(sizes, ledger);
    }

    /// How full the tables are.
    pub fn usage(&self) -> impl Iterator<Item = Usage> {
        let usage = |name, (used, limit)| Usage::new(name, used, limit);
        let members = &self.tables.members;
        let own = [
            usage("groups", (self.groups.len(), self.groups.capacity())),
            usage("group.members", members.rows_used()),
            usage("group.members.bytes", members.bytes_used()),
            self.tables.pending.usage(),
            self.tickets.usage(),
        ];
        own.into_iter().chain(self.offsets.usage())
    }

    /// All groups are taken: says whether one could go.
    pub(super) fn make_room_for_group(&mut self, now: Now) -> bool {
        let of_first = self.groups.iter().map(|(slot, _)| slot).find(|slot| self.is_useless(*slot));
        let found = of_first.or_else(|| self.oldest_promise()).or_else(|| self.most_silent(now));
        if let Some(slot) = found {
            self.remove(slot);
        }
        found.is_some()
    }

    /// Of the groups that consist of handed out ids only, and of nothing else, the oldest.
    fn oldest_promise(&self) -> Option<u32> {
        let promises = self.groups.iter().filter(|(_, group)| {
            group.is_empty() && !self.offsets.has_group(group.id(&self.tables))
        });
        promises.min_by_key(|(_, group)| group.number()).map(|(slot, _)| slot)
    }

    /// Of the groups that have committed nothing, and whose members were all silent for too long,
    /// the one that was for longest.
    fn most_silent(&self, now: Now) -> Option<u32> {
        let silent = self.groups.iter().filter_map(|(slot, group)| {
            let mut members = self.tables.members.iter(group.roll());
            let quiet = members.clone().all(|member| self.is_silent(member, now));
            let heard_at = members.by_ref().map(|member| member.heard_at).max();
            let bare = !self.offsets.has_group(group.id(&self.tables));
            (quiet && bare).then_some((heard_at, slot))
        });
        silent.min().map(|(_, slot)| slot)
    }

    /// A waiting member counts as heard of as long as its connection is there to be answered.
    fn is_silent(&self, member: &Member, now: Now) -> bool {
        let waits = [member.join, member.sync].into_iter().flatten().any(|it| self.is_open(it));
        !waits && now.mono.since(member.heard_at) >= MEMBER_SILENT_MS
    }

    /// Its first join was never answered and never will be: nobody knows its id.
    fn is_orphan(&self, member: &Member) -> bool {
        member.is_new && member.join.is_some_and(|ticket| !self.is_open(ticket))
    }

    fn is_open(&self, ticket: Ticket) -> bool {
        self.tickets.get(ticket).is_some()
    }

    /// Before a JoinGroup: while a table of all groups lacks room for it, somebody goes.
    pub(super) fn make_room_to_join<'a, P: Protocols<'a>>(
        &mut self,
        slot: u32,
        request: &JoinRequest<'a, P>,
        now: Now,
    ) {
        let asks_for_id = request.require_known_member_id
            && request.member_id.is_empty()
            && request.instance_id.is_none();
        let pending = &self.tables.pending;
        let full = asks_for_id && pending.is_full();
        if let Some(greediest) = full.then(|| pending.greediest()).flatten() {
            self.on_group(greediest, now, Group::forget_pending);
        }
        // It ends: each turn takes a member out.
        while self.groups.get(slot).is_some_and(|it| it.lacks_room(request, &self.tables)) {
            if !self.expel_one(request.member_id, now) {
                return;
            }
        }
    }

    /// Takes one member out that nobody misses, but not the one that is asking.
    fn expel_one(&mut self, asking: &str, now: Now) -> bool {
        let members = &self.tables.members;
        let others = |member: &Member| members.member_id(member) != asking;
        let orphan = members.most_silent(|member| self.is_orphan(member) && others(member));
        let silent = || members.most_silent(|it| self.is_silent(it, now) && others(it));
        let Some(key) = orphan.or_else(silent) else { return false };
        let of_group = |group: &Group| members.iter(group.roll()).any(|member| member.key == key);
        let Some((slot, _)) = self.groups.iter().find(|(_, group)| of_group(group)) else {
            return false;
        };
        self.on_group(slot, now, |group, cx| group.expel(key, cx));
        true
    }
}
