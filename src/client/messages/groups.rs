//! JoinGroup (11), Heartbeat (12), LeaveGroup (13), SyncGroup (14), DescribeGroups (15),
//! ListGroups (16), DeleteGroups (42): the classic group protocol from the member's side.

use super::{read_error, read_list, read_nullable, write_strings};
use crate::client::{Api, Request};
use crate::wire::reader::Read;
use crate::wire::{ErrorCode, Reader, Writer};

/// Joins a group.
#[derive(Clone, Debug)]
pub struct JoinGroupRequest<'a> {
    /// The group.
    pub group_id: &'a str,
    /// The member is out when it is not heard of for so long.
    pub session_timeout_ms: i32,
    /// How long the others may take to join again.
    pub rebalance_timeout_ms: i32,
    /// The member id of a previous answer, or empty.
    pub member_id: &'a str,
    /// The static member's name.
    pub group_instance_id: Option<&'a str>,
    /// `consumer`.
    pub protocol_type: &'a str,
    /// Assignors that the member supports, the liked one first, each with its metadata.
    pub protocols: Vec<(&'a str, Vec<u8>)>,
}

/// A member as the leader sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinedMember {
    /// Its id.
    pub member_id: String,
    /// Its static name.
    pub group_instance_id: Option<String>,
    /// Its subscription.
    pub metadata: Vec<u8>,
}

/// The answer to a join.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinGroupResponse {
    /// What went wrong; `MEMBER_ID_REQUIRED` asks to join again with `member_id` (KIP-394).
    pub error_code: ErrorCode,
    /// The new generation.
    pub generation_id: i32,
    /// The assignor that the group settled on.
    pub protocol_name: Option<String>,
    /// Who assigns.
    pub leader: String,
    /// The leader shall keep the assignment it has (KIP-814).
    pub skip_assignment: bool,
    /// Who we are.
    pub member_id: String,
    /// Everybody, for the leader only.
    pub members: Vec<JoinedMember>,
}

impl Request for JoinGroupRequest<'_> {
    const API: Api = Api::JOIN_GROUP;
    type Response = JoinGroupResponse;

    fn write(&self, w: &mut Writer<'_>) {
        w.string(self.group_id);
        w.i32(self.session_timeout_ms);
        w.i32(self.rebalance_timeout_ms);
        w.string(self.member_id);
        w.since(5, |w| w.nullable_string(self.group_instance_id));
        w.string(self.protocol_type);
        w.array(self.protocols.len());
        for (name, metadata) in &self.protocols {
            w.string(name);
            w.bytes(metadata);
            w.tags();
        }
        w.since(8, |w| w.nullable_string(None));
        w.tags();
    }

    fn read_response(r: &mut Reader<'_>) -> Read<JoinGroupResponse> {
        r.i32("throttle_time_ms")?;
        let error_code = read_error(r, "error_code")?;
        let generation_id = r.i32("generation_id")?;
        r.since(7, None, |r| r.nullable_string("protocol_type"))?;
        Ok(JoinGroupResponse {
            error_code,
            generation_id,
            protocol_name: read_nullable(r, "protocol_name")?,
            leader: r.string("leader")?.to_owned(),
            skip_assignment: r.since(9, false, |r| r.bool("skip_assignment"))?,
            member_id: r.string("member_id")?.to_owned(),
            members: read_list(r, "members", |r| {
                let member = JoinedMember {
                    member_id: r.string("member_id")?.to_owned(),
                    group_instance_id: r
                        .since(5, None, |r| read_nullable(r, "group_instance_id"))?,
                    metadata: r.bytes("metadata")?.to_vec(),
                };
                r.tags()?;
                Ok(member)
            })?,
        })
    }
}

/// Hands out (as leader) and receives the assignment.
#[derive(Clone, Debug)]
pub struct SyncGroupRequest<'a> {
    /// The group.
    pub group_id: &'a str,
    /// The generation joined.
    pub generation_id: i32,
    /// Who we are.
    pub member_id: &'a str,
    /// The static member's name.
    pub group_instance_id: Option<&'a str>,
    /// The assignor that the group settled on.
    pub protocol_name: Option<&'a str>,
    /// Each member's part; empty but for the leader.
    pub assignments: Vec<(&'a str, Vec<u8>)>,
}

/// The member's part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyncGroupResponse {
    /// What went wrong.
    pub error_code: ErrorCode,
    /// The assignment.
    pub assignment: Vec<u8>,
}

impl Request for SyncGroupRequest<'_> {
    const API: Api = Api::SYNC_GROUP;
    type Response = SyncGroupResponse;

    fn write(&self, w: &mut Writer<'_>) {
        w.string(self.group_id);
        w.i32(self.generation_id);
        w.string(self.member_id);
        w.since(3, |w| w.nullable_string(self.group_instance_id));
        w.since(5, |w| w.nullable_string(Some("consumer")));
        w.since(5, |w| w.nullable_string(self.protocol_name));
        w.array(self.assignments.len());
        for (member_id, assignment) in &self.assignments {
            w.string(member_id);
            w.bytes(assignment);
            w.tags();
        }
        w.tags();
    }

    fn read_response(r: &mut Reader<'_>) -> Read<SyncGroupResponse> {
        r.i32("throttle_time_ms")?;
        let error_code = read_error(r, "error_code")?;
        r.since(5, None, |r| r.nullable_string("protocol_type"))?;
        r.since(5, None, |r| r.nullable_string("protocol_name"))?;
        Ok(SyncGroupResponse { error_code, assignment: r.bytes("assignment")?.to_vec() })
    }
}

/// Says that a member is alive.
#[derive(Clone, Copy, Debug)]
pub struct HeartbeatRequest<'a> {
    /// The group.
    pub group_id: &'a str,
    /// The generation.
    pub generation_id: i32,
    /// Who we are.
    pub member_id: &'a str,
    /// The static member's name.
    pub group_instance_id: Option<&'a str>,
}

impl Request for HeartbeatRequest<'_> {
    const API: Api = Api::HEARTBEAT;
    type Response = ErrorCode;

    fn write(&self, w: &mut Writer<'_>) {
        w.string(self.group_id);
        w.i32(self.generation_id);
        w.string(self.member_id);
        w.since(3, |w| w.nullable_string(self.group_instance_id));
        w.tags();
    }

    fn read_response(r: &mut Reader<'_>) -> Read<ErrorCode> {
        r.i32("throttle_time_ms")?;
        read_error(r, "error_code")
    }
}

/// Leaves a group.
#[derive(Clone, Copy, Debug)]
pub struct LeaveGroupRequest<'a> {
    /// The group.
    pub group_id: &'a str,
    /// Who leaves.
    pub member_id: &'a str,
    /// The static member's name.
    pub group_instance_id: Option<&'a str>,
}

impl Request for LeaveGroupRequest<'_> {
    const API: Api = Api::LEAVE_GROUP;
    type Response = ErrorCode;

    fn write(&self, w: &mut Writer<'_>) {
        w.string(self.group_id);
        w.within(0, 2, |w| w.string(self.member_id));
        w.since(3, |w| {
            w.array(1);
            w.string(self.member_id);
            w.nullable_string(self.group_instance_id);
            w.since(5, |w| w.nullable_string(None));
            w.tags();
        });
        w.tags();
    }

    fn read_response(r: &mut Reader<'_>) -> Read<ErrorCode> {
        r.i32("throttle_time_ms")?;
        let error_code = read_error(r, "error_code")?;
        let members = r.since(3, Vec::new(), |r| {
            read_list(r, "members", |r| {
                r.string("member_id")?;
                r.nullable_string("group_instance_id")?;
                let error_code = read_error(r, "member error_code")?;
                r.tags()?;
                Ok(error_code)
            })
        })?;
        // One member asked, so its own code is the answer where the whole request succeeded.
        let own = members.first().copied().unwrap_or(ErrorCode::None);
        Ok(if error_code == ErrorCode::None { own } else { error_code })
    }
}

/// Asks for groups in detail.
#[derive(Clone, Debug)]
pub struct DescribeGroupsRequest<'a> {
    /// The groups.
    pub groups: Vec<&'a str>,
}

/// A member in detail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DescribedMember {
    /// Its id.
    pub member_id: String,
    /// Its static name.
    pub group_instance_id: Option<String>,
    /// What its client calls itself.
    pub client_id: String,
    /// From where it comes.
    pub client_host: String,
    /// Its subscription.
    pub metadata: Vec<u8>,
    /// Its assignment.
    pub assignment: Vec<u8>,
}

/// A group in detail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DescribedGroup {
    /// What went wrong.
    pub error_code: ErrorCode,
    /// The group.
    pub group_id: String,
    /// `Stable`, `Empty`, `Dead`, …
    pub state: String,
    /// `consumer`, `connect`, …
    pub protocol_type: String,
    /// The assignor.
    pub protocol: String,
    /// The members.
    pub members: Vec<DescribedMember>,
}

impl Request for DescribeGroupsRequest<'_> {
    const API: Api = Api::DESCRIBE_GROUPS;
    type Response = Vec<DescribedGroup>;

    fn write(&self, w: &mut Writer<'_>) {
        write_strings(w, &self.groups);
        w.since(3, |w| w.bool(false));
        w.tags();
    }

    fn read_response(r: &mut Reader<'_>) -> Read<Self::Response> {
        r.i32("throttle_time_ms")?;
        read_list(r, "groups", |r| {
            let group = DescribedGroup {
                error_code: read_error(r, "error_code")?,
                group_id: r.string("group_id")?.to_owned(),
                state: r.string("group_state")?.to_owned(),
                protocol_type: r.string("protocol_type")?.to_owned(),
                protocol: r.string("protocol_data")?.to_owned(),
                members: read_list(r, "members", read_member)?,
            };
            r.since(3, 0, |r| r.i32("authorized_operations"))?;
            r.tags()?;
            Ok(group)
        })
    }
}

fn read_member(r: &mut Reader<'_>) -> Read<DescribedMember> {
    let member = DescribedMember {
        member_id: r.string("member_id")?.to_owned(),
        group_instance_id: r.since(4, None, |r| read_nullable(r, "group_instance_id"))?,
        client_id: r.string("client_id")?.to_owned(),
        client_host: r.string("client_host")?.to_owned(),
        metadata: r.bytes("member_metadata")?.to_vec(),
        assignment: r.bytes("member_assignment")?.to_vec(),
    };
    r.tags()?;
    Ok(member)
}

/// Asks for all groups.
#[derive(Clone, Debug, Default)]
pub struct ListGroupsRequest<'a> {
    /// Only groups in these states (v4); all if empty.
    pub states_filter: Vec<&'a str>,
}

/// A group in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedGroup {
    /// The group.
    pub group_id: String,
    /// `consumer`, `connect`, …
    pub protocol_type: String,
    /// `Stable`, `Empty`, … or empty before v4.
    pub state: String,
}

/// All groups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListGroupsResponse {
    /// What went wrong.
    pub error_code: ErrorCode,
    /// The groups.
    pub groups: Vec<ListedGroup>,
}

impl Request for ListGroupsRequest<'_> {
    const API: Api = Api::LIST_GROUPS;
    type Response = ListGroupsResponse;

    fn write(&self, w: &mut Writer<'_>) {
        w.since(4, |w| write_strings(w, &self.states_filter));
        w.tags();
    }

    fn read_response(r: &mut Reader<'_>) -> Read<ListGroupsResponse> {
        r.i32("throttle_time_ms")?;
        let error_code = read_error(r, "error_code")?;
        let groups = read_list(r, "groups", |r| {
            let group = ListedGroup {
                group_id: r.string("group_id")?.to_owned(),
                protocol_type: r.string("protocol_type")?.to_owned(),
                state: r.since(4, String::new(), |r| Ok(r.string("group_state")?.to_owned()))?,
            };
            r.tags()?;
            Ok(group)
        })?;
        Ok(ListGroupsResponse { error_code, groups })
    }
}

/// Deletes groups and their offsets.
#[derive(Clone, Debug)]
pub struct DeleteGroupsRequest<'a> {
    /// The groups.
    pub groups_names: Vec<&'a str>,
}

impl Request for DeleteGroupsRequest<'_> {
    const API: Api = Api::DELETE_GROUPS;
    type Response = Vec<(String, ErrorCode)>;

    fn write(&self, w: &mut Writer<'_>) {
        write_strings(w, &self.groups_names);
        w.tags();
    }

    fn read_response(r: &mut Reader<'_>) -> Read<Self::Response> {
        r.i32("throttle_time_ms")?;
        read_list(r, "results", |r| {
            let result = (r.string("group_id")?.to_owned(), read_error(r, "error_code")?);
            r.tags()?;
            Ok(result)
        })
    }
}
