//! What upstream answers: the bytes of each response in each version that is served.
//!
//! Written from Kafka's message definitions. Absent: what a producer without transactions never
//! gets to see.

use crate::requests::{Header, is_flexible, key};
use ottla::wire::Writer;

/// A broker in Metadata.
#[derive(Clone, Debug)]
pub struct Node {
    pub id: i32,
    pub host: String,
    pub port: i32,
}

/// A partition in Metadata.
#[derive(Clone, Debug)]
pub struct PartitionRow {
    pub error: i16,
    pub index: i32,
    pub leader: i32,
    pub leader_epoch: i32,
    pub replicas: Vec<i32>,
}

/// A topic in Metadata.
#[derive(Clone, Debug)]
pub struct TopicRow {
    pub error: i16,
    pub name: String,
    pub id: [u8; 16],
    pub partitions: Vec<PartitionRow>,
}

/// A producer in DescribeProducers.
#[derive(Clone, Copy, Debug)]
pub struct ProducerRow {
    pub id: i64,
    pub epoch: i32,
    pub last_sequence: i32,
    pub last_timestamp: i64,
}

/// What one partition is answered in Produce.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Produced {
    pub topic: String,
    pub partition: i32,
    pub error: i16,
    pub base_offset: i64,
    /// The records that are to blame, by their number in the batch.
    pub record_errors: Vec<i32>,
}

/// What one partition is answered in Fetch.
#[derive(Clone, Debug)]
pub struct Fetched {
    pub topic: String,
    pub partition: i32,
    pub error: i16,
    pub high_watermark: i64,
    pub log_start_offset: i64,
    pub records: Vec<u8>,
}

/// A response.
#[derive(Clone, Debug)]
pub enum Response {
    ApiVersions { error: i16, versions: Vec<(i16, i16, i16)> },
    Metadata { nodes: Vec<Node>, cluster_id: String, topics: Vec<TopicRow> },
    InitProducerId { error: i16, producer_id: i64, producer_epoch: i16 },
    CreateTopics(Vec<(String, i16, i32, [u8; 16])>),
    ListOffsets(Vec<(String, i32, i16, i64, i32)>),
    Fetch(Vec<Fetched>),
    DescribeProducers(Vec<(String, i32, i16, Vec<ProducerRow>)>),
    Produce(Vec<Produced>),
}

/// The frame that answers a request, with its length.
pub fn write(header: &Header, response: &Response) -> Vec<u8> {
    let mut version = header.version;
    if let Response::ApiVersions { error: 35, .. } = response {
        version = 0;
    }
    let flexible = is_flexible(header.key, version);
    let mut frame = vec![0; 4];
    let mut w = Writer::new(&mut frame, version, flexible);
    w.i32(header.correlation_id);
    // ApiVersions is answered with the old header for ever (KIP-511).
    if header.key != key::API_VERSIONS {
        w.tags();
    }
    body(&mut w, response);
    w.tags();
    let length = frame.len() as i32 - 4;
    frame[..4].copy_from_slice(&length.to_be_bytes());
    frame
}

fn body(w: &mut Writer<'_>, response: &Response) {
    match response {
        Response::ApiVersions { error, versions } => api_versions(w, *error, versions),
        Response::Metadata { nodes, cluster_id, topics } => metadata(w, nodes, cluster_id, topics),
        Response::InitProducerId { error, producer_id, producer_epoch } => {
            w.i32(0);
            w.i16(*error);
            w.i64(*producer_id);
            w.i16(*producer_epoch);
        }
        Response::CreateTopics(topics) => create_topics(w, topics),
        Response::ListOffsets(rows) => list_offsets(w, rows),
        Response::Fetch(rows) => fetch(w, rows),
        Response::DescribeProducers(rows) => describe_producers(w, rows),
        Response::Produce(rows) => produce(w, rows),
    }
}

fn api_versions(w: &mut Writer<'_>, error: i16, versions: &[(i16, i16, i16)]) {
    w.i16(error);
    w.array(versions.len());
    for (key, first, last) in versions {
        w.i16(*key);
        w.i16(*first);
        w.i16(*last);
        w.tags();
    }
    w.since(1, |w| w.i32(0));
}

fn metadata(w: &mut Writer<'_>, nodes: &[Node], cluster_id: &str, topics: &[TopicRow]) {
    w.since(3, |w| w.i32(0));
    w.array(nodes.len());
    for node in nodes {
        w.i32(node.id);
        w.string(&node.host);
        w.i32(node.port);
        w.since(1, |w| w.nullable_string(None));
        w.tags();
    }
    w.since(2, |w| w.nullable_string(Some(cluster_id)));
    w.since(1, |w| w.i32(nodes.first().map_or(-1, |node| node.id)));
    w.array(topics.len());
    for topic in topics {
        w.i16(topic.error);
        w.nullable_string(Some(&topic.name));
        w.since(10, |w| w.uuid(&topic.id));
        w.since(1, |w| w.bool(false));
        w.array(topic.partitions.len());
        for partition in &topic.partitions {
            w.i16(partition.error);
            w.i32(partition.index);
            w.i32(partition.leader);
            w.since(7, |w| w.i32(partition.leader_epoch));
            for _ in ["replica_nodes", "isr_nodes"] {
                w.array(partition.replicas.len());
                partition.replicas.iter().for_each(|replica| w.i32(*replica));
            }
            w.since(5, |w| w.array(0));
            w.tags();
        }
        w.since(8, |w| w.i32(i32::MIN));
        w.tags();
    }
    w.within(8, 10, |w| w.i32(i32::MIN));
}

fn create_topics(w: &mut Writer<'_>, topics: &[(String, i16, i32, [u8; 16])]) {
    w.since(2, |w| w.i32(0));
    w.array(topics.len());
    for (name, error, partitions, id) in topics {
        w.string(name);
        w.since(7, |w| w.uuid(id));
        w.i16(*error);
        w.since(1, |w| w.nullable_string((*error != 0).then_some("no")));
        w.since(5, |w| {
            w.i32(*partitions);
            w.i16(1);
            w.nullable_array(None);
        });
        w.tags();
    }
}

/// Writes rows grouped by topic, in the order in which the topics came first.
fn by_topic<T>(
    w: &mut Writer<'_>,
    rows: &[T],
    topic_of: impl Fn(&T) -> &str,
    write: impl Fn(&mut Writer<'_>, &T),
) {
    let mut names: Vec<&str> = Vec::new();
    for row in rows {
        if !names.contains(&topic_of(row)) {
            names.push(topic_of(row));
        }
    }
    w.array(names.len());
    for name in names {
        w.string(name);
        let of_topic = || rows.iter().filter(|row| topic_of(row) == name);
        w.array(of_topic().count());
        for row in of_topic() {
            write(w, row);
            w.tags();
        }
        w.tags();
    }
}

fn list_offsets(w: &mut Writer<'_>, rows: &[(String, i32, i16, i64, i32)]) {
    w.since(2, |w| w.i32(0));
    by_topic(
        w,
        rows,
        |row| &row.0,
        |w, (_, partition, error, offset, leader_epoch)| {
            w.i32(*partition);
            w.i16(*error);
            w.since(1, |w| {
                w.i64(-1);
                w.i64(*offset);
            });
            w.since(4, |w| w.i32(*leader_epoch));
        },
    );
}

fn fetch(w: &mut Writer<'_>, rows: &[Fetched]) {
    w.since(1, |w| w.i32(0));
    w.since(7, |w| {
        w.i16(0);
        w.i32(0);
    });
    by_topic(
        w,
        rows,
        |row| &row.topic,
        |w, row| {
            w.i32(row.partition);
            w.i16(row.error);
            w.i64(row.high_watermark);
            w.since(4, |w| w.i64(row.high_watermark));
            w.since(5, |w| w.i64(row.log_start_offset));
            w.since(4, |w| w.nullable_array(None));
            w.since(11, |w| w.i32(-1));
            w.nullable_bytes(Some(&row.records));
        },
    );
}

fn describe_producers(w: &mut Writer<'_>, rows: &[(String, i32, i16, Vec<ProducerRow>)]) {
    w.i32(0);
    by_topic(
        w,
        rows,
        |row| &row.0,
        |w, (_, partition, error, producers)| {
            w.i32(*partition);
            w.i16(*error);
            w.nullable_string(None);
            w.array(producers.len());
            for producer in producers {
                w.i64(producer.id);
                w.i32(producer.epoch);
                w.i32(producer.last_sequence);
                w.i64(producer.last_timestamp);
                w.i32(-1);
                w.i64(-1);
                w.tags();
            }
        },
    );
}

fn produce(w: &mut Writer<'_>, rows: &[Produced]) {
    by_topic(
        w,
        rows,
        |row| &row.topic,
        |w, row| {
            w.i32(row.partition);
            w.i16(row.error);
            w.i64(row.base_offset);
            w.since(2, |w| w.i64(-1));
            w.since(5, |w| w.i64(if row.error == 0 { 0 } else { -1 }));
            w.since(8, |w| {
                w.array(row.record_errors.len());
                for index in &row.record_errors {
                    w.i32(*index);
                    w.nullable_string(Some("not this one"));
                    w.tags();
                }
                w.nullable_string((row.error != 0).then_some("no"));
            });
        },
    );
    w.since(1, |w| w.i32(0));
}
