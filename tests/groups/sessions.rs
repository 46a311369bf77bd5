//! The rules of everything but JoinGroup: SyncGroup, Heartbeat, LeaveGroup, OffsetCommit,
//! DeleteGroups, and what happens when a time is over.

use crate::choices::Choices;
use crate::codes::*;
use crate::differences::Difference;
use crate::messages::{Answer, Identity, Leaver, Sync, Synced};
use crate::names::{Key, Owed};
use crate::rules::{Ms, State, Wait, World};

/// Something that happens by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timer {
    Session(Key),
    Pending(Key),
    Join,
    Sync,
}

impl Timer {
    fn name(self, world: &World) -> &'static str {
        let is_static =
            |key: Key| world.members.iter().any(|it| it.key == key && it.instance_id.is_some());
        match self {
            Timer::Session(key) if is_static(key) => "session of a static member",
            Timer::Session(_) => "session",
            Timer::Pending(_) => "id that was handed out",
            Timer::Join if world.members.iter().any(|it| it.join.is_some()) => "rebalance",
            Timer::Join => "rebalance that nobody joined",
            Timer::Sync if world.state == State::Stable => "sync of a follower",
            Timer::Sync => "sync of the leader",
        }
    }
}

impl World {
    pub fn sync(&mut self, wait: Wait, sync: &Sync) {
        let index = match self.check_sync(wait.version, sync) {
            Ok(index) => index,
            Err(error) => return self.owe(wait, Owed::refused_sync(error)),
        };
        self.members[index].owes_sync = false;
        self.stop_sync_timer();
        if self.state == State::Stable {
            let owed = self.assigned(index, wait.version);
            return self.owe(wait, owed);
        }
        let outdone = self.members[index].sync.replace(wait);
        if let Some(older) = outdone.filter(Wait::is_open)
            && !self.as_kafka(Difference::SyncOutdoneByANewerOne)
        {
            self.owe(older, Owed::refused_sync(REBALANCE_IN_PROGRESS));
        }
        if self.leader == Some(self.members[index].key) {
            self.assign(&sync.assignments);
        }
    }

    fn check_sync(&self, version: i16, sync: &Sync) -> Result<usize, i16> {
        // KIP-559: both are nullable in the schema, and asked for all the same.
        if version >= 5 && (sync.protocol_type.is_none() || sync.protocol_name.is_none()) {
            return Err(INCONSISTENT_GROUP_PROTOCOL);
        }
        if !self.exists || self.state == State::Empty {
            return Err(UNKNOWN_MEMBER_ID);
        }
        let index = self.validate(&sync.member_id, sync.instance_id.as_deref())?;
        if sync.generation != self.generation {
            return Err(ILLEGAL_GENERATION);
        }
        let differs = |theirs: &Option<String>, ours: &Option<String>| {
            version >= 5 && ours.is_some() && theirs != ours
        };
        if differs(&sync.protocol_type, &self.protocol_type)
            || differs(&sync.protocol_name, &self.protocol_name)
        {
            return Err(INCONSISTENT_GROUP_PROTOCOL);
        }
        if self.state == State::Preparing { Err(REBALANCE_IN_PROGRESS) } else { Ok(index) }
    }

    fn stop_sync_timer(&mut self) {
        if !self.members.iter().any(|member| member.owes_sync) {
            self.sync_timer = None;
        }
    }

    fn assigned(&self, index: usize, version: i16) -> Owed {
        let typed = version >= 5;
        Owed::Exactly(Answer::Synced(Synced {
            error: 0,
            protocol_type: self.protocol_type.clone().filter(|_| typed),
            protocol_name: self.protocol_name.clone().filter(|_| typed),
            assignment: self.members[index].assignment.clone(),
        }))
    }

    /// The leader has spoken: everybody has a share, an empty one if it was forgotten.
    fn assign(&mut self, assignments: &[(String, Vec<u8>)]) {
        self.state = State::Stable;
        for index in 0..self.members.len() {
            let key = self.members[index].key;
            let given = assignments.iter().rfind(|(member_id, _)| self.names.is(key, member_id));
            let assignment = given.map(|(_, bytes)| bytes.clone()).unwrap_or_default();
            self.members[index].assignment = assignment;
            if let Some(wait) = self.members[index].sync.take() {
                let owed = self.assigned(index, wait.version);
                self.owe(wait, owed);
                self.touch(index);
            }
        }
    }

    pub fn heartbeat(&mut self, who: &Identity) -> i16 {
        let index = match self.validate(&who.member_id, who.instance_id.as_deref()) {
            Ok(index) => index,
            Err(error) => return error,
        };
        if who.generation != self.generation {
            return ILLEGAL_GENERATION;
        }
        self.touch(index);
        if self.state == State::Preparing { REBALANCE_IN_PROGRESS } else { 0 }
    }

    pub fn leave(&mut self, wait: Wait, leavers: &[Leaver], choices: &mut Choices) {
        let mut each = Vec::new();
        let mut left = Vec::new();
        for leaver in leavers {
            match self.find_leaver(leaver) {
                Ok(key) => {
                    left.push(self.members.iter().any(|member| member.key == key));
                    self.remove(key);
                    each.push((leaver.clone(), 0));
                }
                Err(error) => each.push((leaver.clone(), error)),
            }
        }
        let owed = if wait.version < 3 { Answer::Code(each[0].1) } else { Answer::Left(0, each) };
        self.owe(wait, Owed::Exactly(owed));
        if left.is_empty() {
            return;
        }
        if self.state == State::Preparing {
            self.complete_if_all_joined(choices);
        } else if self.state != State::Empty
            && (left.contains(&true) || self.as_kafka(Difference::OnlyAPendingIdLeft))
        {
            self.prepare(choices);
        }
    }

    fn find_leaver(&self, leaver: &Leaver) -> Result<Key, i16> {
        if leaver.member_id.is_empty() {
            let instance_id = leaver.instance_id.as_deref().ok_or(UNKNOWN_MEMBER_ID)?;
            let index = self.by_instance(instance_id).ok_or(UNKNOWN_MEMBER_ID)?;
            return Ok(self.members[index].key);
        }
        if let Some(index) = self.pending_id(&leaver.member_id) {
            return Ok(self.pending[index].0);
        }
        let index = self.validate(&leaver.member_id, leaver.instance_id.as_deref())?;
        Ok(self.members[index].key)
    }

    pub fn commit(&mut self, who: &Identity, partition: i32, offset: i64) -> i16 {
        match self.check_commit(who) {
            Ok(()) => {
                self.exists = true;
                self.offsets.insert(partition, offset);
                0
            }
            Err(error) => error,
        }
    }

    fn check_commit(&mut self, who: &Identity) -> Result<(), i16> {
        if !self.exists && who.generation >= 0 {
            return Err(ILLEGAL_GENERATION);
        }
        if who.generation < 0 && self.state == State::Empty {
            return Ok(());
        }
        let index = self.validate(&who.member_id, who.instance_id.as_deref())?;
        if who.generation != self.generation {
            return Err(ILLEGAL_GENERATION);
        }
        if self.state == State::Completing {
            return Err(REBALANCE_IN_PROGRESS);
        }
        self.touch(index);
        Ok(())
    }

    pub fn delete(&mut self) -> i16 {
        if !self.exists {
            return GROUP_ID_NOT_FOUND;
        }
        if self.state != State::Empty {
            return NON_EMPTY_GROUP;
        }
        *self = World {
            names: std::mem::take(&mut self.names),
            owed: std::mem::take(&mut self.owed),
            met: std::mem::take(&mut self.met),
            fired: std::mem::take(&mut self.fired),
            now: self.now,
            ..World::new(self.broker)
        };
        0
    }

    /// All members of consumer groups subscribe to the topic.
    pub fn delete_offset(&mut self, partition: i32) -> i16 {
        if !self.exists {
            return GROUP_ID_NOT_FOUND;
        }
        if self.state == State::Empty {
            self.offsets.remove(&partition);
            return 0;
        }
        let is_consumer_group = self.protocol_type.as_deref() == Some("consumer");
        if is_consumer_group { GROUP_SUBSCRIBED_TO_TOPIC } else { NON_EMPTY_GROUP }
    }

    /// What may happen by itself from then on.
    pub fn timers(&self) -> Vec<(Ms, Timer)> {
        let sessions = self
            .members
            .iter()
            .filter(|member| member.is_new || (member.join.is_none() && member.sync.is_none()))
            .filter_map(|member| Some((member.session_ends?, Timer::Session(member.key))));
        let pending = self.pending.iter().map(|(key, until)| (*until, Timer::Pending(*key)));
        let join = self.join_timer.map(|at| (at, Timer::Join));
        let sync = self.sync_timer.map(|at| (at, Timer::Sync));
        sessions.chain(pending).chain(join).chain(sync).collect()
    }

    /// It happens.
    pub fn fire(&mut self, at: Ms, timer: Timer, choices: &mut Choices) {
        self.now = self.now.max(at);
        self.fired.insert(timer.name(self));
        match timer {
            Timer::Session(key) => {
                self.remove(key);
                match self.state {
                    State::Stable | State::Completing => self.prepare(choices),
                    _ => self.complete_if_all_joined(choices),
                }
            }
            Timer::Pending(key) => {
                self.remove(key);
                self.complete_if_all_joined(choices);
            }
            Timer::Join => self.complete(choices),
            Timer::Sync => {
                let late = self.members.iter().filter(|member| member.owes_sync);
                for key in late.map(|member| member.key).collect::<Vec<_>>() {
                    self.remove(key);
                }
                self.prepare(choices);
            }
        }
    }
}
