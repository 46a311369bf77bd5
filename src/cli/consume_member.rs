//! A member of a consumer group, as `ottla consume --group` is one: join, sync, heartbeat, commit,
//! leave, by the classic protocol with the range assignor.
//!
//! Promises: a rebalance is found out by the next heartbeat at the latest; a member that is told to
//! stop commits and leaves, so that the others need not wait for its session to expire.
//! Absent: a thread of its own for heartbeats. They go out between two fetches, which take half a
//! second; who blocks our output for longer than the session timeout is put out of the group and
//! joins again.

use super::cluster::{Cluster, Partition, pause};
use super::connection::CallError;
use super::{Failure, stop};
use crate::client::Request;
use crate::client::messages::ByTopic;
use crate::client::messages::groups::{
    HeartbeatRequest, JoinGroupRequest, JoinGroupResponse, LeaveGroupRequest, SyncGroupRequest,
};
use crate::client::messages::offsets::{CommitPartition, OffsetCommitRequest, OffsetFetchRequest};
use crate::client::protocol::{
    Assignment, RANGE, Subscriber, assign_range, read_assignment, read_subscription,
    write_assignment, write_subscription,
};
use crate::limits::CLI_RETRIES_MAX;
use crate::wire::ErrorCode;
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// Settings of a member, Kafka's names.
#[derive(Clone, Debug)]
pub struct MemberSettings {
    /// `group.id`
    pub group_id: String,
    /// `group.instance.id`
    pub group_instance_id: Option<String>,
    /// `session.timeout.ms`
    pub session_timeout_ms: i32,
    /// `max.poll.interval.ms`: how long the others wait for us in a rebalance.
    pub rebalance_timeout_ms: i32,
    /// `heartbeat.interval.ms`
    pub heartbeat_interval: Duration,
}

/// The member.
#[derive(Debug)]
pub struct Member {
    /// Connections of its own, so that a fetch never stands in the way.
    cluster: Cluster,
    settings: MemberSettings,
    member_id: String,
    generation_id: i32,
    coordinator: Option<i32>,
    heartbeat_at: Instant,
}

/// What a step of the protocol came to.
#[derive(Debug, PartialEq, Eq)]
pub enum Step<T> {
    /// It worked.
    Done(T),
    /// The group rebalances, or has put us out: join again.
    Rejoin,
    /// A signal asked us to stop.
    Stopped,
}

impl Member {
    /// A member that has not joined yet.
    pub fn new(cluster: Cluster, settings: MemberSettings) -> Member {
        Member {
            cluster: cluster.interruptible(true),
            settings,
            member_id: String::new(),
            generation_id: -1,
            coordinator: None,
            heartbeat_at: Instant::now(),
        }
    }

    /// Asks the coordinator, and finds it (again) where needed. `None`: we are to stop.
    fn call<R: Request>(
        &mut self,
        request: &R,
        timeout: Duration,
    ) -> Result<Option<R::Response>, Failure> {
        let mut tries = 0;
        loop {
            let result = self.call_once(request, timeout);
            match result {
                Ok(response) => return Ok(Some(response)),
                Err(CallError::Stopped) => return Ok(None),
                Err(CallError::Broken(why)) => {
                    self.forget_coordinator();
                    tries += 1;
                    if tries == CLI_RETRIES_MAX {
                        return Err(Failure::new(why));
                    }
                    if stop::requested() {
                        return Ok(None);
                    }
                    pause();
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn call_once<R: Request>(
        &mut self,
        request: &R,
        timeout: Duration,
    ) -> Result<R::Response, CallError> {
        let node = match self.coordinator {
            Some(node) => node,
            None => {
                let found = self.cluster.coordinator(&self.settings.group_id);
                let found = found.map_err(|failure| match failure {
                    Failure::Failed(why) | Failure::Usage(why) => CallError::Broken(why),
                    Failure::PipeClosed | Failure::Code(_) => CallError::Stopped,
                })?;
                *self.coordinator.insert(found.node_id)
            }
        };
        self.cluster.node(node)?.call_within(request, timeout)
    }

    fn forget_coordinator(&mut self) {
        self.coordinator = None;
        self.cluster.reset();
    }

    /// What a member does about a code that is not about its request.
    fn react(&mut self, code: ErrorCode) -> Result<(), Failure> {
        match code {
            ErrorCode::UnknownMemberId | ErrorCode::IllegalGeneration => {
                self.member_id.clear();
                self.generation_id = -1;
            }
            ErrorCode::NotCoordinator
            | ErrorCode::CoordinatorNotAvailable
            | ErrorCode::CoordinatorLoadInProgress => {
                self.forget_coordinator();
                pause();
            }
            ErrorCode::RebalanceInProgress => {}
            code => {
                let group = &self.settings.group_id;
                return Err(Failure::new(format!("Group '{group}': {code}")));
            }
        }
        Ok(())
    }

    /// Joins the group and returns our part.
    pub fn join(&mut self, topics: &[String]) -> Result<Step<Assignment>, Failure> {
        loop {
            if stop::requested() {
                return Ok(Step::Stopped);
            }
            let Some(joined) = self.send_join(topics)? else { return Ok(Step::Stopped) };
            match joined.error_code {
                ErrorCode::None => {}
                // The coordinator gives us an id first, so that it knows whom it waits for.
                ErrorCode::MemberIdRequired => {
                    self.member_id = joined.member_id;
                    continue;
                }
                code => {
                    self.react(code)?;
                    continue;
                }
            }
            self.member_id.clone_from(&joined.member_id);
            self.generation_id = joined.generation_id;
            match self.sync(&joined)? {
                Step::Done(assignment) => {
                    self.heartbeat_at = Instant::now() + self.settings.heartbeat_interval;
                    return Ok(Step::Done(assignment));
                }
                Step::Rejoin => {}
                Step::Stopped => return Ok(Step::Stopped),
            }
        }
    }

    fn send_join(&mut self, topics: &[String]) -> Result<Option<JoinGroupResponse>, Failure> {
        let settings = self.settings.clone();
        let member_id = self.member_id.clone();
        let request = JoinGroupRequest {
            group_id: &settings.group_id,
            session_timeout_ms: settings.session_timeout_ms,
            rebalance_timeout_ms: settings.rebalance_timeout_ms,
            member_id: &member_id,
            group_instance_id: settings.group_instance_id.as_deref(),
            protocol_type: "consumer",
            protocols: vec![(RANGE, write_subscription(topics))],
        };
        // The answer comes when everybody is there, or when the coordinator no longer waits.
        let patience = Duration::from_millis(settings.rebalance_timeout_ms.max(0) as u64);
        self.call(&request, patience + self.cluster.timeout)
    }

    fn sync(&mut self, joined: &JoinGroupResponse) -> Result<Step<Assignment>, Failure> {
        let assignments = if joined.leader == joined.member_id && !joined.skip_assignment {
            self.assign(joined)?
        } else {
            Vec::new()
        };
        let settings = self.settings.clone();
        let request = SyncGroupRequest {
            group_id: &settings.group_id,
            generation_id: joined.generation_id,
            member_id: &joined.member_id,
            group_instance_id: settings.group_instance_id.as_deref(),
            protocol_name: joined.protocol_name.as_deref(),
            assignments: assignments.iter().map(|(id, a)| (id.as_str(), a.clone())).collect(),
        };
        let patience = Duration::from_millis(settings.rebalance_timeout_ms.max(0) as u64);
        let Some(synced) = self.call(&request, patience + self.cluster.timeout)? else {
            return Ok(Step::Stopped);
        };
        match synced.error_code {
            ErrorCode::None => {
                read_assignment(&synced.assignment).map(Step::Done).map_err(|error| {
                    Failure::new(format!("Group '{}': the assignment: {error}", settings.group_id))
                })
            }
            code => self.react(code).map(|()| Step::Rejoin),
        }
    }

    /// The leader's work: everybody's part.
    fn assign(&mut self, joined: &JoinGroupResponse) -> Result<Vec<(String, Vec<u8>)>, Failure> {
        let members: Vec<Subscriber<'_>> = joined
            .members
            .iter()
            .map(|member| Subscriber {
                member_id: &member.member_id,
                group_instance_id: member.group_instance_id.as_deref(),
                topics: read_subscription(&member.metadata).unwrap_or_default(),
            })
            .collect();
        let mut names: Vec<&str> =
            members.iter().flat_map(|m| m.topics.iter().map(String::as_str)).collect();
        names.sort_unstable();
        names.dedup();
        let metadata = self.cluster.metadata(Some(names), false)?;
        let counts: HashMap<&str, i32> =
            metadata.topics.iter().map(|t| (t.name.as_str(), t.partitions.len() as i32)).collect();
        let assigned = assign_range(&members, |topic| counts.get(topic).copied().unwrap_or(0));
        Ok(assigned
            .into_iter()
            .map(|(id, part)| (id.to_owned(), write_assignment(&part)))
            .collect())
    }

    /// Sends a heartbeat if one is due.
    pub fn heartbeat(&mut self) -> Result<Step<()>, Failure> {
        if Instant::now() < self.heartbeat_at {
            return Ok(Step::Done(()));
        }
        self.heartbeat_at = Instant::now() + self.settings.heartbeat_interval;
        let settings = self.settings.clone();
        let member_id = self.member_id.clone();
        let request = HeartbeatRequest {
            group_id: &settings.group_id,
            generation_id: self.generation_id,
            member_id: &member_id,
            group_instance_id: settings.group_instance_id.as_deref(),
        };
        match self.call(&request, self.cluster.timeout)? {
            None => Ok(Step::Stopped),
            Some(ErrorCode::None) => Ok(Step::Done(())),
            Some(code) => self.react(code).map(|()| Step::Rejoin),
        }
    }

    /// Where the group stands in each partition of our part; absent where it has no offset.
    pub fn committed(
        &mut self,
        assignment: &Assignment,
    ) -> Result<Step<HashMap<Partition, i64>>, Failure> {
        let group_id = self.settings.group_id.clone();
        let entries = assignment
            .iter()
            .flat_map(|topic| topic.partitions.iter().map(|p| (topic.name.as_str(), *p)));
        let topics = Some(ByTopic::group(entries));
        let request = OffsetFetchRequest { group_id: &group_id, topics };
        let Some(fetched) = self.call(&request, self.cluster.timeout)? else {
            return Ok(Step::Stopped);
        };
        if fetched.error_code != ErrorCode::None {
            return self.react(fetched.error_code).map(|()| Step::Rejoin);
        }
        let mut committed = HashMap::new();
        for topic in fetched.topics {
            for offset in topic.partitions.iter().filter(|offset| offset.committed_offset >= 0) {
                let partition = (topic.name.clone(), offset.partition_index);
                committed.insert(partition, offset.committed_offset);
            }
        }
        Ok(Step::Done(committed))
    }

    /// Commits the next offset of each partition.
    pub fn commit(&mut self, offsets: &[(Partition, i64)]) -> Result<Step<()>, Failure> {
        if offsets.is_empty() {
            return Ok(Step::Done(()));
        }
        let settings = self.settings.clone();
        let member_id = self.member_id.clone();
        let entries = offsets.iter().map(|((topic, partition), offset)| {
            let entry = CommitPartition {
                partition_index: *partition,
                committed_offset: *offset,
                committed_metadata: Some(""),
            };
            (topic.as_str(), entry)
        });
        let request = OffsetCommitRequest {
            group_id: &settings.group_id,
            generation_id: self.generation_id,
            member_id: &member_id,
            group_instance_id: settings.group_instance_id.as_deref(),
            topics: ByTopic::group(entries),
        };
        let Some(answer) = self.call(&request, self.cluster.timeout)? else {
            return Ok(Step::Stopped);
        };
        let codes = answer.iter().flat_map(|topic| topic.partitions.iter().map(|(_, code)| *code));
        match codes.into_iter().find(|code| *code != ErrorCode::None) {
            None => Ok(Step::Done(())),
            Some(code) => self.react(code).map(|()| Step::Rejoin),
        }
    }

    /// Commits and leaves, whatever state a signal found us in. A static member stays in the
    /// group, to find its part again when it is back within the session timeout (KIP-345).
    pub fn close(mut self, offsets: &[(Partition, i64)]) -> Result<(), Failure> {
        // A call that a signal ended leaves an answer behind on its connection.
        self.cluster.reset();
        self.cluster = self.cluster.interruptible(false);
        self.coordinator = None;
        let committed =
            if self.generation_id >= 0 { self.commit(offsets) } else { Ok(Step::Done(())) };
        if !self.member_id.is_empty() && self.settings.group_instance_id.is_none() {
            let settings = self.settings.clone();
            let member_id = self.member_id.clone();
            let request = LeaveGroupRequest {
                group_id: &settings.group_id,
                member_id: &member_id,
                group_instance_id: None,
            };
            self.call(&request, self.cluster.timeout)?;
        }
        match committed? {
            Step::Done(()) => Ok(()),
            _ => Err(Failure::new("The last offsets were not committed: the group rebalances.")),
        }
    }
}
