//! Metadata (3), DescribeCluster (60) and FindCoordinator (10): who is where.

use super::{read_error, read_list, read_nullable, visit_list};
use crate::client::{Api, Request};
use crate::wire::reader::Read;
use crate::wire::{ErrorCode, Reader, Uuid, Writer};

/// Asks for topics and brokers.
#[derive(Clone, Debug)]
pub struct MetadataRequest<'a> {
    /// The topics asked for; all of them if `None`.
    pub topics: Option<Vec<&'a str>>,
    /// Whether a missing topic may be created by this question.
    pub allow_auto_topic_creation: bool,
}

/// One broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broker {
    /// Its node id.
    pub node_id: i32,
    /// Its advertised host.
    pub host: String,
    /// Its advertised port.
    pub port: i32,
    /// Its rack.
    pub rack: Option<String>,
}

/// One partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionMetadata {
    /// What is wrong with it.
    pub error_code: ErrorCode,
    /// Its number.
    pub partition_index: i32,
    /// The node id of its leader, or -1.
    pub leader_id: i32,
    /// The leader's epoch, or -1.
    pub leader_epoch: i32,
    /// The nodes that hold it.
    pub replica_nodes: Vec<i32>,
    /// The nodes that are in sync.
    pub isr_nodes: Vec<i32>,
}

/// One topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicMetadata {
    /// What is wrong with it.
    pub error_code: ErrorCode,
    /// Its name.
    pub name: String,
    /// Its id; zero before v10.
    pub topic_id: Uuid,
    /// Whether it is one of Kafka's own.
    pub is_internal: bool,
    /// Its partitions.
    pub partitions: Vec<PartitionMetadata>,
}

/// Topics and brokers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetadataResponse {
    /// The brokers.
    pub brokers: Vec<Broker>,
    /// The cluster's id.
    pub cluster_id: Option<String>,
    /// The node id of the controller, or -1.
    pub controller_id: i32,
    /// The topics.
    pub topics: Vec<TopicMetadata>,
}

impl Request for MetadataRequest<'_> {
    const API: Api = Api::METADATA;
    type Response = MetadataResponse;

    fn write(&self, w: &mut Writer<'_>) {
        let names = self.topics.as_ref().map(|topics| topics.iter().copied());
        write_metadata(w, names, self.allow_auto_topic_creation);
    }

    fn read_response(r: &mut Reader<'_>) -> Read<MetadataResponse> {
        r.since(3, 0, |r| r.i32("throttle_time_ms"))?;
        let brokers = read_list(r, "brokers", read_broker)?;
        let response = MetadataResponse {
            brokers,
            cluster_id: r.since(2, None, |r| read_nullable(r, "cluster_id"))?,
            controller_id: r.i32("controller_id")?,
            topics: read_list(r, "topics", read_topic)?,
        };
        Ok(response)
    }
}

fn read_broker(r: &mut Reader<'_>) -> Read<Broker> {
    let broker = Broker {
        node_id: r.i32("node_id")?,
        host: r.string("host")?.to_owned(),
        port: r.i32("port")?,
        rack: read_nullable(r, "rack")?,
    };
    r.tags()?;
    Ok(broker)
}

fn read_topic(r: &mut Reader<'_>) -> Read<TopicMetadata> {
    let topic = TopicMetadata {
        error_code: read_error(r, "topic error_code")?,
        name: read_nullable(r, "topic name")?.unwrap_or_default(),
        topic_id: r.since(10, Uuid::default(), |r| r.uuid("topic_id"))?,
        is_internal: r.bool("is_internal")?,
        partitions: read_list(r, "partitions", read_partition)?,
    };
    r.since(8, 0, |r| r.i32("topic_authorized_operations"))?;
    r.tags()?;
    Ok(topic)
}

fn read_partition(r: &mut Reader<'_>) -> Read<PartitionMetadata> {
    let partition = PartitionMetadata {
        error_code: read_error(r, "partition error_code")?,
        partition_index: r.i32("partition_index")?,
        leader_id: r.i32("leader_id")?,
        leader_epoch: r.since(7, -1, |r| r.i32("leader_epoch"))?,
        replica_nodes: read_list(r, "replica_nodes", |r| r.i32("replica_node"))?,
        isr_nodes: read_list(r, "isr_nodes", |r| r.i32("isr_node"))?,
    };
    r.since(5, Vec::new(), |r| read_list(r, "offline_replicas", |r| r.i32("offline_replica")))?;
    r.tags()?;
    Ok(partition)
}

/// Writes the question for these topics, or for all.
pub fn write_metadata<'n>(
    w: &mut Writer<'_>,
    topics: Option<impl Iterator<Item = &'n str> + Clone>,
    allow_auto_topic_creation: bool,
) {
    w.nullable_array(topics.as_ref().map(|topics| topics.clone().count()));
    for name in topics.into_iter().flatten() {
        w.since(10, |w| w.raw(&Uuid::default()));
        w.string(name);
        w.tags();
    }
    w.since(4, |w| w.bool(allow_auto_topic_creation));
    w.within(8, 10, |w| w.bool(false));
    w.since(8, |w| w.bool(false));
    w.tags();
}

/// A piece of the answer, in the answer's order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen<'a> {
    /// A broker.
    Broker {
        /// Its node id.
        node_id: i32,
        /// Its advertised host.
        host: &'a str,
        /// Its advertised port.
        port: i32,
    },
    /// The cluster, behind all brokers.
    Cluster {
        /// Its id.
        id: Option<&'a str>,
        /// The node id of the controller, or -1.
        controller_id: i32,
    },
    /// A topic.
    Topic {
        /// What is wrong with it.
        error_code: ErrorCode,
        /// Its name.
        name: &'a str,
        /// Its id; zero before v10.
        id: Uuid,
        /// How many partitions follow.
        partitions: usize,
    },
    /// A partition of the last topic.
    Partition {
        /// Its number.
        index: i32,
        /// The node id of its leader, or -1.
        leader_id: i32,
    },
    /// Behind the last partition of a topic.
    TopicEnd,
}

/// Reads the answer piece by piece, and holds none of it.
///
/// # Errors
/// The field that is malformed.
pub fn visit_metadata<'a>(r: &mut Reader<'a>, mut visit: impl FnMut(Seen<'a>)) -> Read<()> {
    r.since(3, 0, |r| r.i32("throttle_time_ms"))?;
    visit_list(r, "brokers", |r| {
        let (node_id, host) = (r.i32("node_id")?, r.string("host")?);
        visit(Seen::Broker { node_id, host, port: r.i32("port")? });
        r.nullable_string("rack")?;
        r.tags()
    })?;
    let id = r.since(2, None, |r| r.nullable_string("cluster_id"))?;
    visit(Seen::Cluster { id, controller_id: r.i32("controller_id")? });
    visit_list(r, "topics", |r| {
        let error_code = read_error(r, "topic error_code")?;
        let name = r.nullable_string("topic name")?.unwrap_or_default();
        let id = r.since(10, Uuid::default(), |r| r.uuid("topic_id"))?;
        r.bool("is_internal")?;
        let partitions = r.nullable_array("partitions")?.unwrap_or(0);
        visit(Seen::Topic { error_code, name, id, partitions });
        for _ in 0..partitions {
            read_error(r, "partition error_code")?;
            let (index, leader_id) = (r.i32("partition_index")?, r.i32("leader_id")?);
            visit(Seen::Partition { index, leader_id });
            r.since(7, -1, |r| r.i32("leader_epoch"))?;
            let node = |r: &mut Reader<'a>| r.i32("node").map(|_| ());
            visit_list(r, "replica_nodes", node)?;
            visit_list(r, "isr_nodes", node)?;
            r.since(5, (), |r| visit_list(r, "offline_replicas", node))?;
            r.tags()?;
        }
        visit(Seen::TopicEnd);
        r.since(8, 0, |r| r.i32("topic_authorized_operations"))?;
        r.tags()
    })
}

/// Asks what the cluster is.
#[derive(Clone, Copy, Debug)]
pub struct DescribeClusterRequest;

/// What the cluster is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DescribeClusterResponse {
    /// What went wrong.
    pub error_code: ErrorCode,
    /// The same in words.
    pub error_message: Option<String>,
    /// The cluster's id.
    pub cluster_id: String,
    /// The node id of the controller, or -1.
    pub controller_id: i32,
    /// The brokers.
    pub brokers: Vec<Broker>,
}

impl Request for DescribeClusterRequest {
    const API: Api = Api::DESCRIBE_CLUSTER;
    type Response = DescribeClusterResponse;

    fn write(&self, w: &mut Writer<'_>) {
        w.bool(false);
        w.since(1, |w| w.i8(1));
        w.tags();
    }

    fn read_response(r: &mut Reader<'_>) -> Read<DescribeClusterResponse> {
        r.i32("throttle_time_ms")?;
        let error_code = read_error(r, "error_code")?;
        let error_message = read_nullable(r, "error_message")?;
        r.since(1, 1, |r| r.i8("endpoint_type"))?;
        Ok(DescribeClusterResponse {
            error_code,
            error_message,
            cluster_id: r.string("cluster_id")?.to_owned(),
            controller_id: r.i32("controller_id")?,
            brokers: read_list(r, "brokers", read_broker)?,
        })
    }
}

/// Asks which broker coordinates a group.
#[derive(Clone, Copy, Debug)]
pub struct FindCoordinatorRequest<'a> {
    /// The group.
    pub group_id: &'a str,
}

/// Which broker coordinates the group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FindCoordinatorResponse {
    /// What went wrong.
    pub error_code: ErrorCode,
    /// The same in words.
    pub error_message: Option<String>,
    /// The coordinator.
    pub coordinator: Broker,
}

impl Request for FindCoordinatorRequest<'_> {
    const API: Api = Api::FIND_COORDINATOR;
    type Response = FindCoordinatorResponse;

    fn write(&self, w: &mut Writer<'_>) {
        w.string(self.group_id);
        w.i8(0);
        w.tags();
    }

    fn read_response(r: &mut Reader<'_>) -> Read<FindCoordinatorResponse> {
        r.i32("throttle_time_ms")?;
        Ok(FindCoordinatorResponse {
            error_code: read_error(r, "error_code")?,
            error_message: read_nullable(r, "error_message")?,
            coordinator: Broker {
                node_id: r.i32("node_id")?,
                host: r.string("host")?.to_owned(),
                port: r.i32("port")?,
                rack: None,
            },
        })
    }
}
