//! What our own client side reads: answers of any broker, and what group members tell each other.

use super::input::Input;
use super::memory;
use super::schema;
use core::fmt::Debug;
use ottla::client::frame::{Request, decode};
use ottla::client::messages::api_versions::ApiVersionsRequest;
use ottla::client::messages::configs::{DescribeConfigsRequest, IncrementalAlterConfigsRequest};
use ottla::client::messages::fetch::FetchRequest;
use ottla::client::messages::groups::{
    DeleteGroupsRequest, DescribeGroupsRequest, HeartbeatRequest, JoinGroupRequest,
    LeaveGroupRequest, ListGroupsRequest, SyncGroupRequest,
};
use ottla::client::messages::metadata::{
    DescribeClusterRequest, FindCoordinatorRequest, MetadataRequest,
};
use ottla::client::messages::offsets::{
    DeleteRecordsRequest, ListOffsetsRequest, OffsetCommitRequest, OffsetDeleteRequest,
    OffsetFetchRequest,
};
use ottla::client::messages::produce::{InitProducerIdRequest, ProduceRequest};
use ottla::client::messages::producers::DescribeProducersRequest;
use ottla::client::messages::topics::{
    CreatePartitionsRequest, CreateTopicsRequest, DeleteTopicsRequest,
};
use ottla::client::protocol;

/// What an answer may become in memory for each of its bytes, and in all: an array's element of
/// one byte (an empty tag buffer) is a row of some strings.
const BYTES_EACH_MAX: usize = 512;
const BYTES_MAX: usize = 256 * 1024;

/// Reads a frame as the answer to one request.
type Read = fn(&mut Input<'_>);

const READERS: &[Read] = &[
    answer::<ApiVersionsRequest<'_>>,
    answer::<DescribeConfigsRequest<'_>>,
    answer::<IncrementalAlterConfigsRequest<'_>>,
    answer::<FetchRequest<'_>>,
    answer::<JoinGroupRequest<'_>>,
    answer::<SyncGroupRequest<'_>>,
    answer::<HeartbeatRequest<'_>>,
    answer::<LeaveGroupRequest<'_>>,
    answer::<DescribeGroupsRequest<'_>>,
    answer::<ListGroupsRequest<'_>>,
    answer::<DeleteGroupsRequest<'_>>,
    answer::<MetadataRequest<'_>>,
    answer::<DescribeClusterRequest>,
    answer::<FindCoordinatorRequest<'_>>,
    answer::<ListOffsetsRequest<'_>>,
    answer::<OffsetCommitRequest<'_>>,
    answer::<OffsetFetchRequest<'_>>,
    answer::<OffsetDeleteRequest<'_>>,
    answer::<DeleteRecordsRequest<'_>>,
    answer::<ProduceRequest<'_>>,
    answer::<InitProducerIdRequest>,
    answer::<DescribeProducersRequest<'_>>,
    answer::<CreateTopicsRequest<'_>>,
    answer::<DeleteTopicsRequest<'_>>,
    answer::<CreatePartitionsRequest<'_>>,
    members,
];

/// First byte: an answer to what; second: its version, and whether the rest is its bytes or what
/// its fields are made of.
pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let read = input.pick(READERS);
    read(&mut input);
}

fn answer<R: Request>(input: &mut Input<'_>)
where
    R::Response: Debug,
{
    let choice = input.byte();
    let (low, high) = (R::API.version_min, R::API.version_max);
    let version = low + i16::from(choice >> 1) % (high - low + 1);
    if choice & 1 == 0 {
        let frame = input.rest();
        let most = BYTES_MAX + BYTES_EACH_MAX * frame.len();
        let id = frame.first_chunk::<4>().map_or(0, |id| i32::from_be_bytes(*id));
        memory::bounded(R::API.name, most, || decode::<R>(frame, version, id).is_ok());
        return;
    }
    // A whole answer is read, whatever its fields say.
    let Some(body) = schema::response(R::API.key, version, input) else { return };
    let mut frame = 7_i32.to_be_bytes().to_vec();
    if R::API.is_flexible(version) && R::API.key != ottla::api::API_VERSIONS_KEY {
        frame.push(0);
    }
    frame.extend(body);
    let read = decode::<R>(&frame, version, 7);
    // UNSUPPORTED_VERSION to ApiVersions is followed by the fields of version 0 (KIP-511).
    let other_version = R::API.key == ottla::api::API_VERSIONS_KEY && body_starts_with_35(&frame);
    assert!(other_version || read.is_ok(), "{} v{version}: {:?}", R::API.name, read.err());
}

fn body_starts_with_35(frame: &[u8]) -> bool {
    frame.get(4..6) == Some(&[0, 35])
}

/// Subscriptions and assignments, which any member may have written.
fn members(input: &mut Input<'_>) {
    let bytes = input.rest();
    let most = BYTES_MAX + BYTES_EACH_MAX * bytes.len();
    memory::bounded("a member's words", most, || {
        if let Ok(topics) = protocol::read_subscription(bytes) {
            let written = protocol::write_subscription(&topics);
            assert_eq!(protocol::read_subscription(&written), Ok(topics));
        }
        if let Ok(assignment) = protocol::read_assignment(bytes) {
            let written = protocol::write_assignment(&assignment);
            assert_eq!(protocol::read_assignment(&written), Ok(assignment));
        }
    });
}
