//! Tests over all messages at once: random and truncated bytes into every decoder in every
//! version, and golden bytes for the layouts that change most from version to version.

use super::ByTopic;
use super::api_versions::ApiVersionsRequest;
use super::configs::{DescribeConfigsRequest, IncrementalAlterConfigsRequest};
use super::fetch::{FetchPartition, FetchRequest};
use super::groups::{
    DeleteGroupsRequest, DescribeGroupsRequest, HeartbeatRequest, JoinGroupRequest,
    LeaveGroupRequest, ListGroupsRequest, SyncGroupRequest,
};
use super::metadata::{DescribeClusterRequest, FindCoordinatorRequest, MetadataRequest};
use super::offsets::{
    DeleteRecordsRequest, ListOffsetsRequest, OffsetCommitRequest, OffsetDeleteRequest,
    OffsetFetchRequest,
};
use super::produce::{InitProducerIdRequest, ProduceRequest};
use super::topics::{CreatePartitionsRequest, CreateTopicsRequest, DeleteTopicsRequest};
use crate::client::Request;
use crate::client::frame::decode;
use crate::wire::{ErrorCode, Reader, Writer};

/// A xorshift generator: the same bytes in every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// Mostly small bytes, so that counts and lengths are often plausible.
    fn bytes(&mut self) -> Vec<u8> {
        let length = self.next() % 160;
        (0..length)
            .map(|_| match self.next() % 4 {
                0 => self.next() as u8,
                1 => (self.next() % 6) as u8,
                _ => 0,
            })
            .collect()
    }
}

fn throw_bytes_at<R: Request>(random: &mut Random) -> usize {
    let mut decoded = 0;
    for version in R::API.version_min..=R::API.version_max {
        for _ in 0..1_500 {
            let mut frame = vec![0, 0, 0, 1];
            frame.extend(random.bytes());
            decoded += usize::from(decode::<R>(&frame, version, 1).is_ok());
        }
    }
    decoded
}

#[test]
fn random_bytes_never_panic_in_any_decoder_and_some_decode() {
    let r = &mut Random(0x9e37_79b9_7f4a_7c15);
    let decoded = [
        throw_bytes_at::<ApiVersionsRequest<'_>>(r),
        throw_bytes_at::<MetadataRequest<'_>>(r),
        throw_bytes_at::<DescribeClusterRequest>(r),
        throw_bytes_at::<FindCoordinatorRequest<'_>>(r),
        throw_bytes_at::<ProduceRequest<'_>>(r),
        throw_bytes_at::<InitProducerIdRequest>(r),
        throw_bytes_at::<FetchRequest<'_>>(r),
        throw_bytes_at::<ListOffsetsRequest<'_>>(r),
        throw_bytes_at::<OffsetCommitRequest<'_>>(r),
        throw_bytes_at::<OffsetFetchRequest<'_>>(r),
        throw_bytes_at::<OffsetDeleteRequest<'_>>(r),
        throw_bytes_at::<DeleteRecordsRequest<'_>>(r),
        throw_bytes_at::<CreateTopicsRequest<'_>>(r),
        throw_bytes_at::<DeleteTopicsRequest<'_>>(r),
        throw_bytes_at::<CreatePartitionsRequest<'_>>(r),
        throw_bytes_at::<DescribeConfigsRequest<'_>>(r),
        throw_bytes_at::<IncrementalAlterConfigsRequest<'_>>(r),
        throw_bytes_at::<JoinGroupRequest<'_>>(r),
        throw_bytes_at::<SyncGroupRequest<'_>>(r),
        throw_bytes_at::<HeartbeatRequest<'_>>(r),
        throw_bytes_at::<LeaveGroupRequest<'_>>(r),
        throw_bytes_at::<DescribeGroupsRequest<'_>>(r),
        throw_bytes_at::<ListGroupsRequest<'_>>(r),
        throw_bytes_at::<DeleteGroupsRequest<'_>>(r),
    ];
    assert!(decoded.iter().all(|count| *count > 0), "{decoded:?}");
}

fn body<R: Request>(request: &R, version: i16) -> Vec<u8> {
    let mut bytes = Vec::new();
    request.write(&mut Writer::new(&mut bytes, version, R::API.is_flexible(version)));
    bytes
}

#[test]
fn metadata_asks_for_one_topic_in_both_encodings() {
    let request = MetadataRequest { topics: Some(vec!["t"]), allow_auto_topic_creation: true };
    assert_eq!(body(&request, 4), [0, 0, 0, 1, 0, 1, b't', 1]);
    let mut golden = vec![2];
    golden.extend([0; 16]);
    golden.extend([2, b't', 0, 1, 0, 0]);
    assert_eq!(body(&request, 12), golden);
    let all = MetadataRequest { topics: None, allow_auto_topic_creation: false };
    assert_eq!(body(&all, 4), [0xff, 0xff, 0xff, 0xff, 0]);
    assert_eq!(body(&all, 9), [0, 0, 0, 0, 0]);
}

#[test]
fn fetch_has_no_session_in_any_version() {
    let partition = FetchPartition { partition: 2, fetch_offset: 5, partition_max_bytes: 9 };
    let request = FetchRequest {
        max_wait_ms: 1,
        min_bytes: 2,
        max_bytes: 3,
        isolation_level: 0,
        topics: ByTopic::group([("t", partition)]),
    };
    let head = [0xff, 0xff, 0xff, 0xff, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0];
    let mut v4 = head.to_vec();
    v4.extend([0, 0, 0, 1, 0, 1, b't', 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 5]);
    v4.extend([0, 0, 0, 9]);
    assert_eq!(body(&request, 4), v4);
    let mut v12 = head.to_vec();
    v12.extend([0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff]);
    v12.extend([2, 2, b't', 2, 0, 0, 0, 2, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 5]);
    v12.extend([0xff; 12]);
    v12.extend([0, 0, 0, 9, 0, 0, 1, 1, 0]);
    assert_eq!(body(&request, 12), v12);
}

#[test]
fn leaving_names_one_member_in_both_shapes() {
    let request = LeaveGroupRequest { group_id: "g", member_id: "m", group_instance_id: None };
    assert_eq!(body(&request, 1), [0, 1, b'g', 0, 1, b'm']);
    assert_eq!(
        body(&request, 3),
        [0, 1, b'g', 0, 0, 0, 1, 0, 1, b'm', 0xff, 0xff],
        "v3 has a list of members"
    );
    let mut r =
        Reader::new(&[0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 1, b'm', 0xff, 0xff, 0, 25], 3, false);
    let answer = LeaveGroupRequest::read_response(&mut r);
    assert_eq!(answer, Ok(ErrorCode::UnknownMemberId));
}

#[test]
fn an_unsupported_api_versions_answer_is_read_in_the_layout_of_v0() {
    let frame = [0, 0, 0, 1, 0, 35, 0, 0, 0, 1, 0, 18, 0, 0, 0, 3];
    let answer = decode::<ApiVersionsRequest<'_>>(&frame, 3, 1).unwrap();
    assert_eq!(answer.error_code, ErrorCode::UnsupportedVersion);
    assert_eq!((answer.api_keys[0].api_key, answer.api_keys[0].max_version), (18, 3));
}

#[test]
fn partitions_are_grouped_by_topic_in_the_order_of_their_first_mention() {
    let topics = ByTopic::group([("b", 1), ("a", 2), ("b", 3)]);
    assert_eq!(topics[0], ByTopic { name: "b", partitions: vec![1, 3] });
    assert_eq!(topics[1], ByTopic { name: "a", partitions: vec![2] });
}
