//! The rules of a classic group as a small machine of its own: who is in, what is owed to whom.
//!
//! Written from what Apache Kafka does (`GroupMetadataManager`, `ClassicGroup`), not from ottla's
//! `state/group.rs`. Where the rules leave a choice (which member leads, which of two protocols
//! with as many votes), [`Choices`] is asked, and every choice makes a world of its own
//! (`worlds.rs`). A member is known by a key; its id is whatever the broker makes up, bound to the
//! key when an answer tells it (`names.rs`).
//!
//! Absent: the delay of a first rebalance, which is set to 0.

use crate::choices::Choices;
use crate::codes::*;
use crate::differences::{Broker, Difference};
use crate::messages::{Answer, Join, Request, Sent};
use crate::names::{Id, Key, Names, Owed, OwedJoin};
use std::collections::{BTreeMap, BTreeSet};

/// A connection of the life.
pub type Conn = u32;

/// Where a request waited whose connection is no more.
pub const NOBODY: Conn = 0;

/// Milliseconds since the life began.
pub type Ms = u64;

/// How long a member that has no id yet may wait for its JoinGroup
/// (`group.new.member.join.timeout.ms`).
const NEW_MEMBER_JOIN_TIMEOUT_MS: Ms = 5 * 60 * 1000;

/// Where a group stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Empty,
    Preparing,
    Completing,
    Stable,
}

impl State {
    pub fn name(self) -> &'static str {
        match self {
            State::Empty => "Empty",
            State::Preparing => "PreparingRebalance",
            State::Completing => "CompletingRebalance",
            State::Stable => "Stable",
        }
    }
}

/// A request that waits: where, and in which version its answer is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wait {
    pub conn: Conn,
    pub version: i16,
}

impl Wait {
    pub fn is_open(&self) -> bool {
        self.conn != NOBODY
    }
}

/// A member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    pub key: Key,
    pub instance_id: Option<String>,
    /// Of the request that added it; a static member keeps it when it comes back.
    pub client_id: String,
    pub protocols: Vec<(String, Vec<u8>)>,
    pub assignment: Vec<u8>,
    pub session_timeout_ms: Ms,
    pub rebalance_timeout_ms: Ms,
    pub join: Option<Wait>,
    pub sync: Option<Wait>,
    pub owes_sync: bool,
    pub is_new: bool,
    /// Not before then; none after it fired while the member waited.
    pub session_ends: Option<Ms>,
}

impl Member {
    pub fn metadata(&self, protocol: &str) -> Vec<u8> {
        let found = self.protocols.iter().find(|(name, _)| name == protocol);
        found.map(|(_, metadata)| metadata.clone()).unwrap_or_default()
    }

    fn offers(&self, protocol: &str) -> bool {
        self.protocols.iter().any(|(name, _)| name == protocol)
    }
}

/// One way in which the group can be what it was seen to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct World {
    pub broker: Broker,
    /// Whether the broker knows the group.
    pub exists: bool,
    pub state: State,
    pub generation: i32,
    pub protocol_type: Option<String>,
    pub protocol_name: Option<String>,
    /// None in an empty group, and while it is open who follows a leader that has gone.
    pub leader: Option<Key>,
    pub members: Vec<Member>,
    /// Ids that were handed out, and until when they are kept at least.
    pub pending: Vec<(Key, Ms)>,
    pub join_timer: Option<Ms>,
    pub sync_timer: Option<Ms>,
    pub names: Names,
    pub owed: BTreeMap<Conn, Owed>,
    /// Committed offsets by partition.
    pub offsets: BTreeMap<i32, i64>,
    /// Differences to the other broker that made a difference here.
    pub met: BTreeSet<Difference>,
    /// A request that is on its way, since when: something may happen before it arrives.
    pub inbox: Option<(Ms, Conn, Sent)>,
    /// What happened by itself so far.
    pub fired: BTreeSet<&'static str>,
    /// When the event that is being dealt with was begun.
    pub now: Ms,
}

impl World {
    /// A broker that has never heard of the group.
    pub fn new(broker: Broker) -> World {
        World {
            broker,
            exists: false,
            state: State::Empty,
            generation: 0,
            protocol_type: None,
            protocol_name: None,
            leader: None,
            members: Vec::new(),
            pending: Vec::new(),
            join_timer: None,
            sync_timer: None,
            names: Names::default(),
            owed: BTreeMap::new(),
            offsets: BTreeMap::new(),
            met: BTreeSet::new(),
            inbox: None,
            fired: BTreeSet::new(),
            now: 0,
        }
    }

    /// The request in the inbox arrives.
    pub fn arrive(&mut self, choices: &mut Choices) {
        let Some((at, conn, sent)) = self.inbox.take() else { return };
        self.now = self.now.max(at);
        let wait = Wait { conn, version: sent.version };
        match &sent.request {
            Request::Join(join) => self.join(wait, &sent.client_id, join, choices),
            Request::Sync(sync) => self.sync(wait, sync),
            Request::Heartbeat(who) => {
                let code = self.heartbeat(who);
                self.owe(wait, Owed::Exactly(Answer::Code(code)));
            }
            Request::Leave(leavers) => self.leave(wait, leavers, choices),
            Request::Commit(who, partition, offset) => {
                let code = self.commit(who, *partition, *offset);
                self.owe(wait, Owed::Exactly(Answer::Code(code)));
            }
            Request::Delete => {
                let code = self.delete();
                self.owe(wait, Owed::Exactly(Answer::Code(code)));
            }
            Request::DeleteOffset(partition) => {
                let code = self.delete_offset(*partition);
                self.owe(wait, Owed::Exactly(Answer::Code(code)));
            }
        }
    }

    /// A connection is closed: who joined over it has joined all the same.
    pub fn close(&mut self, conn: Conn) {
        self.owed.remove(&conn);
        for member in &mut self.members {
            let waits = [&mut member.join, &mut member.sync].into_iter().flatten();
            waits.filter(|wait| wait.conn == conn).for_each(|wait| wait.conn = NOBODY);
        }
    }

    /// Whether to do here as Kafka does.
    pub fn as_kafka(&mut self, difference: Difference) -> bool {
        self.met.insert(difference);
        self.broker == Broker::Kafka
    }

    pub fn owe(&mut self, wait: Wait, owed: Owed) {
        if wait.conn == NOBODY {
            return;
        }
        let before = self.owed.insert(wait.conn, owed);
        assert!(before.is_none(), "two answers at once for connection {}", wait.conn);
    }

    pub fn by_id(&self, member_id: &str) -> Option<usize> {
        self.members.iter().position(|it| self.names.is(it.key, member_id))
    }

    pub fn by_instance(&self, instance_id: &str) -> Option<usize> {
        self.members.iter().position(|it| it.instance_id.as_deref() == Some(instance_id))
    }

    pub fn pending_id(&self, member_id: &str) -> Option<usize> {
        self.pending.iter().position(|(key, _)| self.names.is(*key, member_id))
    }

    /// KIP-345: an instance belongs to one member id, and whoever comes with another is fenced.
    pub fn validate(&self, member_id: &str, instance_id: Option<&str>) -> Result<usize, i16> {
        if let Some(instance_id) = instance_id {
            let owner = self.by_instance(instance_id).ok_or(UNKNOWN_MEMBER_ID)?;
            if !self.names.is(self.members[owner].key, member_id) {
                return Err(FENCED_INSTANCE_ID);
            }
        }
        self.by_id(member_id).ok_or(UNKNOWN_MEMBER_ID)
    }

    pub fn touch(&mut self, index: usize) {
        let member = &mut self.members[index];
        member.session_ends = Some(self.now + member.session_timeout_ms);
    }

    fn refuse_join(&mut self, wait: Wait, error: i16, member_id: Id) {
        self.owe(wait, Owed::Joined(OwedJoin::refused(wait.version, error, member_id)));
    }

    fn join(&mut self, wait: Wait, client_id: &str, join: &Join, choices: &mut Choices) {
        if !(SESSION_TIMEOUT_MS_MIN..=SESSION_TIMEOUT_MS_MAX).contains(&join.session_timeout_ms) {
            let echo = Id::Text(join.member_id.clone());
            return self.refuse_join(wait, INVALID_SESSION_TIMEOUT, echo);
        }
        self.join_group(wait, client_id, join, choices);
        let never_had_members = self.state == State::Empty && self.protocol_type.is_none();
        let is_useless = never_had_members && self.pending.is_empty() && self.offsets.is_empty();
        if self.exists && is_useless {
            self.exists = self.as_kafka(Difference::GroupOfARefusedJoin);
        }
    }

    fn join_group(&mut self, wait: Wait, client_id: &str, join: &Join, choices: &mut Choices) {
        let echo = Id::Text(join.member_id.clone());
        let unknown = join.member_id.is_empty();
        if !self.exists && !unknown {
            return self.refuse_join(wait, UNKNOWN_MEMBER_ID, echo);
        }
        self.exists = true;
        if !self.accepts(join) {
            // Nobody is told, and a round that waits for the member goes on waiting.
            if let Some(key) = self.key_of(&join.member_id) {
                self.remove(key);
            }
            let none = Id::Text(String::new());
            return self.refuse_join(wait, GROUP_MAX_SIZE_REACHED, none);
        }
        if !self.supports(join) {
            return self.refuse_join(wait, INCONSISTENT_GROUP_PROTOCOL, echo);
        }
        if !unknown {
            return self.join_known(wait, client_id, join, choices);
        }
        let prefix = join.instance_id.as_deref().unwrap_or(client_id);
        let key = self.names.add(prefix);
        let returning = join.instance_id.as_deref().and_then(|it| self.by_instance(it));
        match returning {
            Some(index) => self.join_returning(wait, index, key, join, choices),
            None if join.instance_id.is_none() && wait.version >= 4 => {
                // KIP-394: come back with this id.
                self.pending.push((key, self.now + join.session_timeout_ms as Ms));
                self.refuse_join(wait, MEMBER_ID_REQUIRED, Id::Of(key));
            }
            None => self.add(wait, client_id, key, join, choices),
        }
    }

    fn key_of(&self, member_id: &str) -> Option<Key> {
        let member = self.by_id(member_id).map(|index| self.members[index].key);
        member.or_else(|| self.pending_id(member_id).map(|index| self.pending[index].0))
    }

    /// `group.max.size`: during a round the first to come are the ones that stay.
    fn accepts(&mut self, join: &Join) -> bool {
        let known = self.by_id(&join.member_id);
        let joined = self.members.iter().filter(|member| member.join.is_some()).count();
        let fits = match self.state {
            State::Empty => true,
            State::Preparing => {
                known.is_some_and(|index| self.members[index].join.is_some())
                    || joined < GROUP_SIZE_MAX
            }
            _ => known.is_some() || self.members.len() < GROUP_SIZE_MAX,
        };
        let instance_id = join.instance_id.as_deref().filter(|_| join.member_id.is_empty());
        let place = instance_id.and_then(|it| self.by_instance(it));
        let returns = place.is_some_and(|index| {
            self.state != State::Preparing || self.members[index].join.is_some()
        });
        fits || (returns && !self.as_kafka(Difference::ReturnToAFullGroup))
    }

    fn supports(&self, join: &Join) -> bool {
        if self.state == State::Empty {
            return !join.protocol_type.is_empty() && !join.protocols.is_empty();
        }
        let in_common = |name: &str| self.members.iter().all(|member| member.offers(name));
        self.protocol_type.as_ref() == Some(&join.protocol_type)
            && join.protocols.iter().any(|(name, _)| in_common(name))
    }

    fn add(&mut self, wait: Wait, client_id: &str, key: Key, join: &Join, choices: &mut Choices) {
        self.pending.retain(|(pending, _)| *pending != key);
        if self.members.is_empty() {
            self.protocol_type = Some(join.protocol_type.clone());
            self.leader = Some(key);
        }
        self.members.push(Member {
            key,
            instance_id: join.instance_id.clone(),
            client_id: client_id.to_owned(),
            protocols: Vec::new(),
            assignment: Vec::new(),
            session_timeout_ms: 0,
            rebalance_timeout_ms: 0,
            join: None,
            sync: None,
            owes_sync: false,
            is_new: true,
            session_ends: Some(self.now + NEW_MEMBER_JOIN_TIMEOUT_MS),
        });
        self.update(self.members.len() - 1, wait, join);
        self.rebalance_or_complete(choices);
    }

    /// What the member says now counts, and its JoinGroup waits.
    fn update(&mut self, index: usize, wait: Wait, join: &Join) {
        let member = &mut self.members[index];
        member.protocols = join.protocols.clone();
        member.session_timeout_ms = join.session_timeout_ms as Ms;
        // KAFKA-8653: v0 has one timeout for both.
        let rebalance_timeout_ms =
            if wait.version >= 1 { join.rebalance_timeout_ms } else { join.session_timeout_ms };
        member.rebalance_timeout_ms = rebalance_timeout_ms as Ms;
        let outdone = member.join.replace(wait);
        if let Some(older) = outdone.filter(Wait::is_open)
            && !self.as_kafka(Difference::JoinOutdoneByANewerOne)
        {
            self.refuse_join(older, UNKNOWN_MEMBER_ID, Id::Text(String::new()));
        }
    }

    fn join_known(&mut self, wait: Wait, client_id: &str, join: &Join, choices: &mut Choices) {
        let echo = Id::Text(join.member_id.clone());
        if let Some(index) = self.pending_id(&join.member_id) {
            if join.instance_id.is_none() {
                let key = self.pending[index].0;
                return self.add(wait, client_id, key, join, choices);
            }
            if self.as_kafka(Difference::PendingIdWithAnInstance) {
                return self.refuse_join(wait, UNKNOWN_SERVER_ERROR, Id::Text(String::new()));
            }
        }
        let index = match self.validate(&join.member_id, join.instance_id.as_deref()) {
            Ok(index) => index,
            Err(error) => return self.refuse_join(wait, error, echo),
        };
        let member = &self.members[index];
        let unchanged = member.protocols == join.protocols;
        let leads = self.leader == Some(member.key);
        // Asking again changes nothing, unless a leader of a stable group asks for a new round.
        if unchanged && (self.state == State::Completing || (self.state == State::Stable && !leads))
        {
            let owed = self.joined(index, wait.version);
            return self.owe(wait, Owed::Joined(owed));
        }
        self.update(index, wait, join);
        self.rebalance_or_complete(choices);
    }

    /// KIP-345: a static member that was restarted gets a new id, and its old one is fenced.
    fn join_returning(
        &mut self,
        wait: Wait,
        index: usize,
        key: Key,
        join: &Join,
        choices: &mut Choices,
    ) {
        let old_key = std::mem::replace(&mut self.members[index].key, key);
        let old_leader = self.leader;
        let member = &mut self.members[index];
        let (old_join, old_sync) = (member.join.take(), member.sync.take());
        member.is_new = false;
        if let Some(old) = old_join.filter(Wait::is_open) {
            let as_kafka = self.as_kafka(Difference::IdOfAFencedJoin);
            let id = if as_kafka { Id::Of(old_key) } else { Id::Text(String::new()) };
            self.refuse_join(old, FENCED_INSTANCE_ID, id);
        }
        if let Some(old) = old_sync {
            self.owe(old, Owed::refused_sync(FENCED_INSTANCE_ID));
        }
        if self.leader == Some(old_key) {
            self.leader = Some(key);
        }
        self.update(index, wait, join);
        self.touch(index);
        match self.state {
            State::Stable if self.elect(choices) == self.protocol_name => {
                self.members[index].join = None;
                let mut owed = self.joined(index, wait.version);
                if wait.version >= 9 {
                    // KIP-800: the leader need not assign anew.
                    owed.skip_assignment = self.leader == Some(key);
                } else {
                    // It must not find itself to be the leader.
                    owed.leader = Id::Of(old_leader.expect("a stable group has a leader"));
                    owed.members.clear();
                }
                self.owe(wait, Owed::Joined(owed));
            }
            State::Stable | State::Completing => self.prepare(choices),
            _ => self.complete_if_all_joined(choices),
        }
    }

    /// What a member of the current generation is told.
    fn joined(&self, index: usize, version: i16) -> OwedJoin {
        let member = &self.members[index];
        let protocol = self.protocol_name.clone().expect("a generation has a protocol");
        let leads = self.leader == Some(member.key);
        let list = if leads { &self.members[..] } else { &[] };
        let row = |it: &Member| {
            let instance_id = it.instance_id.clone().filter(|_| version >= 5);
            (it.key, instance_id, it.metadata(&protocol))
        };
        OwedJoin {
            error: 0,
            generation: self.generation,
            protocol_type: self.protocol_type.clone().filter(|_| version >= 7),
            members: list.iter().map(row).collect(),
            protocol_name: Some(protocol),
            leader: Id::Of(self.leader.expect("a generation has a leader")),
            skip_assignment: false,
            member_id: Id::Of(member.key),
        }
    }

    pub fn rebalance_or_complete(&mut self, choices: &mut Choices) {
        if self.state == State::Preparing {
            self.complete_if_all_joined(choices);
        } else {
            self.prepare(choices);
        }
    }

    pub fn complete_if_all_joined(&mut self, choices: &mut Choices) {
        let all = self.members.iter().all(|member| member.join.is_some());
        if self.state == State::Preparing && all && self.pending.is_empty() {
            self.complete(choices);
        }
    }

    /// A new round begins: everybody is to join again.
    pub fn prepare(&mut self, choices: &mut Choices) {
        if self.state == State::Completing {
            for index in 0..self.members.len() {
                self.members[index].assignment.clear();
                if let Some(wait) = self.members[index].sync.take() {
                    self.owe(wait, Owed::refused_sync(REBALANCE_IN_PROGRESS));
                    self.touch(index);
                }
            }
        }
        self.sync_timer = None;
        self.members.iter_mut().for_each(|member| member.owes_sync = false);
        let is_first = self.state == State::Empty;
        self.state = State::Preparing;
        if is_first {
            // Its delay is 0, and it does not wait for ids that were handed out.
            return self.complete(choices);
        }
        self.complete_if_all_joined(choices);
        if self.state == State::Preparing {
            self.restart_join_timer();
            if self.members.is_empty() {
                // Nobody's rebalance timeout is over at once.
                self.complete(choices);
            }
        }
    }

    fn rebalance_timeout_ms(&self) -> Ms {
        self.members.iter().map(|member| member.rebalance_timeout_ms).max().unwrap_or(0)
    }

    fn restart_join_timer(&mut self) {
        self.join_timer = Some(self.now + self.rebalance_timeout_ms());
    }

    /// The round ends: who has joined is the next generation.
    pub fn complete(&mut self, choices: &mut Choices) {
        self.join_timer = None;
        let stays = |it: &Member| it.join.is_some() || it.instance_id.is_some();
        let gone = self.members.iter().filter(|it| !stays(it)).map(|it| it.key);
        for key in gone.collect::<Vec<_>>() {
            self.remove(key);
        }
        if self.members.is_empty() {
            self.generation += 1;
            self.protocol_name = None;
            self.state = State::Empty;
            return;
        }
        let joined = |it: &&Member| it.join.is_some();
        let listening: Vec<Key> = self.members.iter().filter(joined).map(|it| it.key).collect();
        if listening.is_empty() {
            // Static members that stayed away have until their sessions end.
            return self.restart_join_timer();
        }
        if !self.leader.is_some_and(|leader| listening.contains(&leader)) {
            self.leader = Some(listening[choices.pick(listening.len())]);
        }
        self.generation += 1;
        self.protocol_name = self.elect(choices);
        self.state = State::Completing;
        for index in 0..self.members.len() {
            if let Some(wait) = self.members[index].join.take() {
                let owed = self.joined(index, wait.version);
                self.owe(wait, Owed::Joined(owed));
            }
            self.members[index].is_new = false;
            self.members[index].owes_sync = true;
            self.touch(index);
        }
        self.sync_timer = Some(self.now + self.rebalance_timeout_ms());
    }

    /// Of the protocols that all offer, the one that most prefer to the others.
    fn elect(&self, choices: &mut Choices) -> Option<String> {
        let offered = self.members.first()?.protocols.iter().map(|(name, _)| name.clone());
        let all_offer = |name: &String| self.members.iter().all(|member| member.offers(name));
        let candidates: BTreeSet<String> = offered.filter(all_offer).collect();
        let vote = |member: &Member| {
            member.protocols.iter().map(|(name, _)| name.clone()).find(|it| candidates.contains(it))
        };
        let mut votes: BTreeMap<String, usize> = BTreeMap::new();
        self.members.iter().filter_map(vote).for_each(|name| *votes.entry(name).or_default() += 1);
        let most = *votes.values().max()?;
        let mut winners: Vec<String> =
            votes.into_iter().filter(|(_, count)| *count == most).map(|(name, _)| name).collect();
        let chosen = if winners.len() > 1 { choices.pick(winners.len()) } else { 0 };
        Some(winners.swap_remove(chosen))
    }

    /// A member or a pending id goes; a parked JoinGroup of it is answered.
    pub fn remove(&mut self, key: Key) {
        self.pending.retain(|(pending, _)| *pending != key);
        let Some(index) = self.members.iter().position(|member| member.key == key) else { return };
        let member = self.members.remove(index);
        if self.leader == Some(key) {
            self.leader = None;
        }
        if let Some(wait) = member.join {
            self.refuse_join(wait, UNKNOWN_MEMBER_ID, Id::Text(String::new()));
        }
        if let Some(wait) = member.sync.filter(Wait::is_open)
            && !self.as_kafka(Difference::SyncOfARemovedMember)
        {
            self.owe(wait, Owed::refused_sync(UNKNOWN_MEMBER_ID));
        }
    }
}
