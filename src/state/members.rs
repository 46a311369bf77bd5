//! The members of one group, in the order in which they came.
//!
//! A row keeps what JoinGroup said and what the leader assigned, and which answers its member is
//! owed. Buffers are kept and refilled when a member joins again. Rules live in `group.rs`; here is
//! only the table: lookups by member id, instance id and key, the votes for a protocol, the bytes
//! in use.

use super::group::tickets::Ticket;
use super::group::{JoinRequest, Protocols};
use crate::limits::{CLIENT_ID_BYTES_KEPT, MEMBER_PROTOCOLS_MAX};
use crate::time::Millis;

/// Names a row for as long as it exists; never used again within its group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct MemberKey(u64);

/// One protocol that a member offers.
#[derive(Debug, Default)]
struct Protocol {
    name: String,
    metadata: Vec<u8>,
}

/// One member.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) key: MemberKey,
    pub(super) member_id: String,
    pub(super) instance_id: Option<String>,
    pub(super) client_id: String,
    pub(super) client_host: String,
    pub(super) session_timeout_ms: u64,
    pub(super) rebalance_timeout_ms: u64,
    /// In the order of the member's preference.
    protocols: Vec<Protocol>,
    pub(super) assignment: Vec<u8>,
    /// The JoinGroup that waits for the rebalance to end. It stays when the connection goes: the
    /// member counts as joined, as in Kafka, and its session decides afterwards.
    pub(super) join: Option<Ticket>,
    /// The SyncGroup that waits for the leader's.
    pub(super) sync: Option<Ticket>,
    /// Its first join has not ended yet.
    pub(super) is_new: bool,
    /// It was told of the latest generation and has not sent SyncGroup since.
    pub(super) sync_pending: bool,
    pub(super) session_deadline: Millis,
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
    }

    /// What it said under the protocol `name`.
    pub(super) fn metadata(&self, name: &str) -> Option<&[u8]> {
        let found = self.protocols.iter().find(|protocol| protocol.name == name)?;
        Some(&found.metadata)
    }

    fn offers(&self, name: &str) -> bool {
        self.metadata(name).is_some()
    }

    /// Whether `protocols` says, in the same order, what the member said before.
    pub(super) fn matches<'a>(&self, mut protocols: impl Protocols<'a>) -> bool {
        let same = |known: &Protocol| {
            protocols.next().is_some_and(|(name, metadata)| {
                known.name == name && known.metadata.as_slice() == metadata
            })
        };
        self.protocols.iter().all(same) && protocols.next().is_none()
    }

    /// Takes over timeouts and protocols of a new JoinGroup.
    pub(super) fn update<'a, P: Protocols<'a>>(&mut self, request: &JoinRequest<'a, P>) {
        self.session_timeout_ms = request.session_timeout();
        self.rebalance_timeout_ms = request.rebalance_timeout();
        let mut count = 0;
        for (name, metadata) in request.protocols.clone() {
            if count == self.protocols.len() {
                self.protocols.push(Protocol::default());
            }
            let slot = &mut self.protocols[count];
            slot.name.clear();
            slot.name.push_str(name);
            slot.metadata.clear();
            slot.metadata.reserve_exact(metadata.len());
            slot.metadata.extend_from_slice(metadata);
            count += 1;
        }
        self.protocols.truncate(count);
    }

    /// Bytes it holds, for the limit on all groups.
    pub(super) fn bytes(&self) -> usize {
        let ids = self.member_id.len() + self.instance_id.as_ref().map_or(0, String::len);
        let client = self.client_id.len() + self.client_host.len();
        size_of::<Member>() + ids + client + self.protocols_bytes() + self.assignment.len()
    }

    /// The share of its protocols in [`Member::bytes`].
    pub(super) fn protocols_bytes(&self) -> usize {
        self.protocols.iter().map(|it| protocol_bytes(&it.name, &it.metadata)).sum()
    }
}

/// What one protocol takes.
pub(super) fn protocol_bytes(name: &str, metadata: &[u8]) -> usize {
    size_of::<Protocol>() + name.len() + metadata.len()
}

/// The longest prefix of `text` that keeps the limit.
pub(super) fn kept(text: &str) -> &str {
    let mut end = text.len().min(CLIENT_ID_BYTES_KEPT);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// The table.
#[derive(Debug, Default)]
pub(super) struct Members {
    rows: Vec<Member>,
    keys: u64,
}

impl Members {
    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    pub(super) fn iter(&self) -> std::slice::Iter<'_, Member> {
        self.rows.iter()
    }

    pub(super) fn iter_mut(&mut self) -> std::slice::IterMut<'_, Member> {
        self.rows.iter_mut()
    }

    pub(super) fn get(&self, key: MemberKey) -> Option<&Member> {
        self.rows.iter().find(|member| member.key == key)
    }

    pub(super) fn get_mut(&mut self, key: MemberKey) -> Option<&mut Member> {
        self.rows.iter_mut().find(|member| member.key == key)
    }

    pub(super) fn by_id(&self, member_id: &str) -> Option<&Member> {
        self.rows.iter().find(|member| member.member_id == member_id)
    }

    pub(super) fn by_instance(&self, instance_id: &str) -> Option<&Member> {
        self.rows.iter().find(|member| member.instance_id.as_deref() == Some(instance_id))
    }

    /// A fresh key, for a row to add or for one whose owner changes.
    pub(super) fn next_key(&mut self) -> MemberKey {
        self.keys += 1;
        MemberKey(self.keys)
    }

    /// Adds a new member. The caller checked the limits and that the ids are new.
    pub(super) fn add<'a, P: Protocols<'a>>(
        &mut self,
        member_id: String,
        request: &JoinRequest<'a, P>,
    ) -> &mut Member {
        let key = self.next_key();
        let mut member = Member {
            key,
            member_id,
            instance_id: request.instance_id.map(str::to_owned),
            client_id: kept(request.client_id).to_owned(),
            client_host: kept(request.client_host).to_owned(),
            session_timeout_ms: 0,
            rebalance_timeout_ms: 0,
            protocols: Vec::new(),
            assignment: Vec::new(),
            join: None,
            sync: None,
            is_new: true,
            sync_pending: false,
            session_deadline: Millis::MAX,
        };
        member.update(request);
        self.rows.push(member);
        self.rows.last_mut().expect("pushed above")
    }

    /// Takes a row out; the others keep their order.
    pub(super) fn remove(&mut self, key: MemberKey) -> Option<Member> {
        let index = self.rows.iter().position(|member| member.key == key)?;
        Some(self.rows.remove(index))
    }

    /// Takes out the first row that `unwanted` picks.
    pub(super) fn find_key(&self, wanted: impl Fn(&Member) -> bool) -> Option<MemberKey> {
        self.rows.iter().find(|member| wanted(member)).map(|member| member.key)
    }

    /// How many wait for a join to end.
    pub(super) fn joined_count(&self) -> usize {
        self.rows.iter().filter(|member| member.join.is_some()).count()
    }

    /// The longest rebalance timeout among the members (Kafka's `rebalanceTimeoutMs`).
    pub(super) fn rebalance_timeout_ms(&self) -> u64 {
        self.rows.iter().map(|member| member.rebalance_timeout_ms).max().unwrap_or(0)
    }

    /// Whether all members offer the protocol `name`.
    pub(super) fn all_offer(&self, name: &str) -> bool {
        self.rows.iter().all(|member| member.offers(name))
    }

    /// The protocol of the next generation: among those that all offer, every member votes for its
    /// first. Kafka leaves a tie to chance; here the longest-standing member's preference decides.
    pub(super) fn select_protocol(&self) -> Option<&str> {
        let candidates = &self.rows.first()?.protocols;
        let mut votes = [None; MEMBER_PROTOCOLS_MAX];
        for (candidate, vote) in candidates.iter().zip(&mut votes) {
            *vote = self.all_offer(&candidate.name).then_some(0usize);
        }
        for member in &self.rows {
            let index_of = |name: &str| {
                let found = candidates.iter().position(|candidate| candidate.name == name);
                found.filter(|index| votes[*index].is_some())
            };
            let choice = member.protocols.iter().find_map(|offered| index_of(&offered.name));
            if let Some(count) = choice.and_then(|index| votes[index].as_mut()) {
                *count += 1;
            }
        }
        let counted = candidates.iter().zip(votes).rev().filter(|(_, vote)| vote.is_some());
        counted.max_by_key(|(_, vote)| *vote).map(|(candidate, _)| candidate.name.as_str())
    }

    /// Bytes that all rows hold.
    pub(super) fn bytes(&self) -> usize {
        self.rows.iter().map(Member::bytes).sum()
    }
}
