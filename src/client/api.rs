//! The APIs our client side speaks, each with the versions it can write and read.
//!
//! Promises: one table; a version is chosen as the highest that both sides have, so that the same
//! code serves Apache Kafka 2.1 (2018) and 4.3 and ottla itself.
//! Absent: versions that change a message's shape without giving us anything (OffsetFetch 8,
//! FindCoordinator 4, DeleteTopics 6, and the topic ids of Fetch 13 and Produce 13).

use super::messages::api_versions::ApiVersionsResponse;

/// One API as our client side speaks it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Api {
    /// The API key.
    pub key: i16,
    /// Kafka's name of the API.
    pub name: &'static str,
    /// The lowest version we write.
    pub version_min: i16,
    /// The highest version we write.
    pub version_max: i16,
    /// The first version with compact lengths and tag buffers (KIP-482).
    pub flexible_since: i16,
}

impl Api {
    /// Whether `version` has the flexible encoding.
    pub const fn is_flexible(&self, version: i16) -> bool {
        version >= self.flexible_since
    }

    const fn new(key: i16, name: &'static str, versions: (i16, i16), flexible_since: i16) -> Self {
        Api { key, name, version_min: versions.0, version_max: versions.1, flexible_since }
    }
}

/// No version of the API is flexible.
const NEVER: i16 = i16::MAX;

#[expect(missing_docs, reason = "each constant is the API of its name")]
impl Api {
    pub const PRODUCE: Api = Api::new(0, "Produce", (3, 9), 9);
    pub const FETCH: Api = Api::new(1, "Fetch", (4, 12), 12);
    pub const LIST_OFFSETS: Api = Api::new(2, "ListOffsets", (1, 7), 6);
    pub const METADATA: Api = Api::new(3, "Metadata", (4, 12), 9);
    pub const OFFSET_COMMIT: Api = Api::new(8, "OffsetCommit", (2, 8), 8);
    pub const OFFSET_FETCH: Api = Api::new(9, "OffsetFetch", (2, 7), 6);
    pub const FIND_COORDINATOR: Api = Api::new(10, "FindCoordinator", (1, 3), 3);
    pub const JOIN_GROUP: Api = Api::new(11, "JoinGroup", (2, 9), 6);
    pub const HEARTBEAT: Api = Api::new(12, "Heartbeat", (1, 4), 4);
    pub const LEAVE_GROUP: Api = Api::new(13, "LeaveGroup", (1, 5), 4);
    pub const SYNC_GROUP: Api = Api::new(14, "SyncGroup", (1, 5), 4);
    pub const DESCRIBE_GROUPS: Api = Api::new(15, "DescribeGroups", (1, 5), 5);
    pub const LIST_GROUPS: Api = Api::new(16, "ListGroups", (1, 4), 3);
    pub const API_VERSIONS: Api = Api::new(18, "ApiVersions", (0, 3), 3);
    pub const CREATE_TOPICS: Api = Api::new(19, "CreateTopics", (2, 7), 5);
    pub const DELETE_TOPICS: Api = Api::new(20, "DeleteTopics", (1, 5), 4);
    pub const DELETE_RECORDS: Api = Api::new(21, "DeleteRecords", (0, 2), 2);
    pub const INIT_PRODUCER_ID: Api = Api::new(22, "InitProducerId", (0, 4), 2);
    pub const DESCRIBE_CONFIGS: Api = Api::new(32, "DescribeConfigs", (1, 4), 4);
    pub const CREATE_PARTITIONS: Api = Api::new(37, "CreatePartitions", (0, 3), 2);
    pub const DELETE_GROUPS: Api = Api::new(42, "DeleteGroups", (0, 2), 2);
    pub const INCREMENTAL_ALTER_CONFIGS: Api = Api::new(44, "IncrementalAlterConfigs", (0, 1), 1);
    pub const OFFSET_DELETE: Api = Api::new(47, "OffsetDelete", (0, 0), NEVER);
    pub const DESCRIBE_CLUSTER: Api = Api::new(60, "DescribeCluster", (0, 1), 0);
    pub const DESCRIBE_PRODUCERS: Api = Api::new(61, "DescribeProducers", (0, 0), 0);
}

/// Kafka's names of the API keys that a broker may advertise to a client, 4.3 and before.
const NAMES: &[(i16, &str)] = &[
    (0, "Produce"),
    (1, "Fetch"),
    (2, "ListOffsets"),
    (3, "Metadata"),
    (4, "LeaderAndIsr"),
    (5, "StopReplica"),
    (6, "UpdateMetadata"),
    (7, "ControlledShutdown"),
    (8, "OffsetCommit"),
    (9, "OffsetFetch"),
    (10, "FindCoordinator"),
    (11, "JoinGroup"),
    (12, "Heartbeat"),
    (13, "LeaveGroup"),
    (14, "SyncGroup"),
    (15, "DescribeGroups"),
    (16, "ListGroups"),
    (17, "SaslHandshake"),
    (18, "ApiVersions"),
    (19, "CreateTopics"),
    (20, "DeleteTopics"),
    (21, "DeleteRecords"),
    (22, "InitProducerId"),
    (23, "OffsetForLeaderEpoch"),
    (24, "AddPartitionsToTxn"),
    (25, "AddOffsetsToTxn"),
    (26, "EndTxn"),
    (27, "WriteTxnMarkers"),
    (28, "TxnOffsetCommit"),
    (29, "DescribeAcls"),
    (30, "CreateAcls"),
    (31, "DeleteAcls"),
    (32, "DescribeConfigs"),
    (33, "AlterConfigs"),
    (34, "AlterReplicaLogDirs"),
    (35, "DescribeLogDirs"),
    (36, "SaslAuthenticate"),
    (37, "CreatePartitions"),
    (38, "CreateDelegationToken"),
    (39, "RenewDelegationToken"),
    (40, "ExpireDelegationToken"),
    (41, "DescribeDelegationToken"),
    (42, "DeleteGroups"),
    (43, "ElectLeaders"),
    (44, "IncrementalAlterConfigs"),
    (45, "AlterPartitionReassignments"),
    (46, "ListPartitionReassignments"),
    (47, "OffsetDelete"),
    (48, "DescribeClientQuotas"),
    (49, "AlterClientQuotas"),
    (50, "DescribeUserScramCredentials"),
    (51, "AlterUserScramCredentials"),
    (55, "DescribeQuorum"),
    (57, "UpdateFeatures"),
    (60, "DescribeCluster"),
    (61, "DescribeProducers"),
    (64, "UnregisterBroker"),
    (65, "DescribeTransactions"),
    (66, "ListTransactions"),
    (68, "ConsumerGroupHeartbeat"),
    (69, "ConsumerGroupDescribe"),
    (71, "GetTelemetrySubscriptions"),
    (72, "PushTelemetry"),
    (74, "ListConfigResources"),
    (75, "DescribeTopicPartitions"),
    (76, "ShareGroupHeartbeat"),
    (77, "ShareGroupDescribe"),
    (78, "ShareFetch"),
    (79, "ShareAcknowledge"),
    (80, "AddRaftVoter"),
    (81, "RemoveRaftVoter"),
    (83, "InitializeShareGroupState"),
    (84, "ReadShareGroupState"),
    (85, "WriteShareGroupState"),
    (86, "DeleteShareGroupState"),
    (87, "ReadShareGroupStateSummary"),
    (88, "StreamsGroupHeartbeat"),
    (89, "StreamsGroupDescribe"),
    (90, "DescribeShareGroupOffsets"),
    (91, "AlterShareGroupOffsets"),
    (92, "DeleteShareGroupOffsets"),
];

/// Kafka's name of an API key, if it is one that a client may meet.
pub fn name(key: i16) -> Option<&'static str> {
    NAMES.iter().find(|(number, _)| *number == key).map(|(_, name)| *name)
}

/// What a broker said it serves.
#[derive(Clone, Debug, Default)]
pub struct Versions {
    ranges: Vec<(i16, i16, i16)>,
}

impl Versions {
    /// The versions in an ApiVersions response.
    pub fn new(response: &ApiVersionsResponse) -> Self {
        let ranges = response.api_keys.iter();
        Versions { ranges: ranges.map(|k| (k.api_key, k.min_version, k.max_version)).collect() }
    }

    /// The range a broker serves of an API.
    pub fn range(&self, key: i16) -> Option<(i16, i16)> {
        self.ranges.iter().find(|(k, _, _)| *k == key).map(|(_, min, max)| (*min, *max))
    }

    /// The highest version that both sides have.
    pub fn pick(&self, api: Api) -> Option<i16> {
        let (min, max) = self.range(api.key)?;
        let version = max.min(api.version_max);
        (version >= min.max(api.version_min)).then_some(version)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_common_version_is_picked_and_a_gap_is_none() {
        let versions = Versions { ranges: vec![(1, 4, 18), (3, 0, 5), (0, 10, 13)] };
        assert_eq!(versions.pick(Api::FETCH), Some(12));
        assert_eq!(versions.pick(Api::METADATA), Some(5));
        assert_eq!(versions.pick(Api::PRODUCE), None);
        assert_eq!(versions.pick(Api::HEARTBEAT), None);
    }

    #[test]
    fn our_names_are_the_tables_names() {
        for api in [Api::PRODUCE, Api::OFFSET_DELETE, Api::DESCRIBE_CLUSTER, Api::API_VERSIONS] {
            assert_eq!(name(api.key), Some(api.name));
        }
        assert_eq!(name(5000), None);
    }
}
