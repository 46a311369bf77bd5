//! What upstream understands: requests, read as strictly as Kafka's own generated code reads them.
//!
//! Written from Kafka's message definitions, not from `src/client`. Promises: a byte too many or
//! too few, an unknown tag, a version that was not offered, or a field whose value no client
//! of Kafka would send is a panic, which is how a life says that it went wrong.

use ottla::wire::Reader;

/// API keys.
pub mod key {
    pub const PRODUCE: i16 = 0;
    pub const FETCH: i16 = 1;
    pub const LIST_OFFSETS: i16 = 2;
    pub const METADATA: i16 = 3;
    pub const API_VERSIONS: i16 = 18;
    pub const CREATE_TOPICS: i16 = 19;
    pub const INIT_PRODUCER_ID: i16 = 22;
    pub const DESCRIBE_PRODUCERS: i16 = 61;
}

/// The first flexible version of each API that is served at all.
pub const FLEXIBLE_SINCE: &[(i16, i16)] = &[
    (key::PRODUCE, 9),
    (key::FETCH, 12),
    (key::LIST_OFFSETS, 6),
    (key::METADATA, 9),
    (key::API_VERSIONS, 3),
    (key::CREATE_TOPICS, 5),
    (key::INIT_PRODUCER_ID, 2),
    (key::DESCRIBE_PRODUCERS, 0),
];

/// Whether a version of an API has compact lengths and tags.
pub fn is_flexible(key: i16, version: i16) -> bool {
    let found = FLEXIBLE_SINCE.iter().find(|(known, _)| *known == key);
    version >= found.unwrap_or_else(|| panic!("API key {key} is not served")).1
}

/// The header of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    pub key: i16,
    pub version: i16,
    pub correlation_id: i32,
    pub client_id: String,
}

/// A topic to be created.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewTopic {
    pub name: String,
    pub partitions: i32,
    pub replication_factor: i16,
}

/// One partition of ListOffsets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OffsetWanted {
    pub topic: String,
    pub partition: i32,
    pub leader_epoch: i32,
    pub timestamp: i64,
}

/// One partition of Fetch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    pub topic: String,
    pub partition: i32,
    pub leader_epoch: i32,
    pub offset: i64,
    pub bytes_max: i32,
}

/// One partition of Produce.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    pub topic: String,
    pub partition: i32,
    pub records: Vec<u8>,
}

/// A request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    ApiVersions,
    /// `None` asks for all topics.
    Metadata(Option<Vec<String>>),
    InitProducerId {
        producer_id: i64,
        producer_epoch: i16,
    },
    CreateTopics(Vec<NewTopic>),
    ListOffsets(Vec<OffsetWanted>),
    Fetch {
        wait_ms_max: i32,
        bytes_min: i32,
        bytes_max: i32,
        wanted: Vec<Wanted>,
    },
    DescribeProducers(Vec<(String, Vec<i32>)>),
    Produce {
        timeout_ms: i32,
        sent: Vec<Sent>,
    },
}

/// Reads a frame. `offered` says which versions of a key were offered; ApiVersions may be asked in
/// any version, which is answered with UNSUPPORTED_VERSION.
pub fn read(frame: &[u8], offered: impl Fn(i16) -> Option<(i16, i16)>) -> (Header, Request) {
    let mut r = Reader::new(frame, 1, false);
    let key = r.i16("api_key").unwrap();
    let version = r.i16("api_version").unwrap();
    let correlation_id = r.i32("correlation_id").unwrap();
    let client_id = r.legacy_nullable_string("client_id").unwrap();
    let client_id = client_id.expect("a client id").to_owned();
    let mut r = Reader::new(r.rest(), version, is_flexible(key, version));
    end(&mut r);
    let header = Header { key, version, correlation_id, client_id };
    let (first, last) = offered(key).unwrap_or_else(|| panic!("key {key} was not offered"));
    if !(first..=last).contains(&version) {
        assert_eq!(key, key::API_VERSIONS, "version {version} of {key} was not offered");
        return (header, Request::ApiVersions);
    }
    let request = match key {
        key::API_VERSIONS => api_versions(&mut r),
        key::METADATA => metadata(&mut r),
        key::INIT_PRODUCER_ID => init_producer_id(&mut r),
        key::CREATE_TOPICS => create_topics(&mut r),
        key::LIST_OFFSETS => list_offsets(&mut r),
        key::FETCH => fetch(&mut r),
        key::DESCRIBE_PRODUCERS => describe_producers(&mut r),
        key::PRODUCE => produce(&mut r),
        _ => panic!("key {key} is not served"),
    };
    end(&mut r);
    assert!(r.rest().is_empty(), "{} bytes behind {header:?}", r.rest().len());
    (header, request)
}

/// The tag buffer of a struct; none of these requests has a tag that we would send.
fn end(r: &mut Reader<'_>) {
    r.tags_with(|tag, _| panic!("tag {tag}")).unwrap();
}

fn each<T>(r: &mut Reader<'_>, field: &'static str, read: impl Fn(&mut Reader<'_>) -> T) -> Vec<T> {
    let count = r.array(field).unwrap();
    (0..count).map(|_| read(r)).collect()
}

/// An array of structs that each hold a topic's name and an array of structs.
fn topics<T>(
    r: &mut Reader<'_>,
    fields: impl Fn(&mut Reader<'_>, &str) -> T,
) -> impl Iterator<Item = T> {
    let read = each(r, "topics", |r| {
        let name = r.string("name").unwrap().to_owned();
        let inner = each(r, "partitions", |r| {
            let field = fields(r, &name);
            end(r);
            field
        });
        end(r);
        inner
    });
    read.into_iter().flatten()
}

fn api_versions(r: &mut Reader<'_>) -> Request {
    if r.version() >= 3 {
        for field in ["client_software_name", "client_software_version"] {
            let text = r.string(field).unwrap();
            // Apache Kafka: "[a-zA-Z0-9](?:[a-zA-Z0-9\\-.]*[a-zA-Z0-9])?" (ApiVersionsRequest).
            let fits = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.';
            assert!(!text.is_empty() && text.chars().all(fits), "{field} is {text:?}");
        }
    }
    Request::ApiVersions
}

fn metadata(r: &mut Reader<'_>) -> Request {
    let version = r.version();
    let count = r.nullable_array("topics").unwrap();
    let topics = count.map(|count| {
        let name = |_| {
            if version >= 10 {
                assert_eq!(r.uuid("topic_id").unwrap(), [0; 16], "topics are asked for by name");
            }
            let name = r.string("name").unwrap().to_owned();
            end(r);
            name
        };
        (0..count).map(name).collect()
    });
    if version >= 4 {
        let creates = r.bool("allow_auto_topic_creation").unwrap();
        assert!(!creates, "asking for a topic must not create it");
    }
    if (8..=10).contains(&version) {
        r.bool("include_cluster_authorized_operations").unwrap();
    }
    if version >= 8 {
        r.bool("include_topic_authorized_operations").unwrap();
    }
    Request::Metadata(topics)
}

fn init_producer_id(r: &mut Reader<'_>) -> Request {
    assert_eq!(r.nullable_string("transactional_id").unwrap(), None);
    r.i32("transaction_timeout_ms").unwrap();
    let (mut producer_id, mut producer_epoch) = (-1, -1);
    if r.version() >= 3 {
        producer_id = r.i64("producer_id").unwrap();
        producer_epoch = r.i16("producer_epoch").unwrap();
    }
    Request::InitProducerId { producer_id, producer_epoch }
}

fn create_topics(r: &mut Reader<'_>) -> Request {
    let topics = each(r, "topics", |r| {
        let name = r.string("name").unwrap().to_owned();
        let partitions = r.i32("num_partitions").unwrap();
        let replication_factor = r.i16("replication_factor").unwrap();
        assert_eq!(r.array("assignments").unwrap(), 0);
        assert_eq!(r.array("configs").unwrap(), 0);
        end(r);
        NewTopic { name, partitions, replication_factor }
    });
    r.i32("timeout_ms").unwrap();
    if r.version() >= 1 {
        assert!(!r.bool("validate_only").unwrap());
    }
    Request::CreateTopics(topics)
}

fn list_offsets(r: &mut Reader<'_>) -> Request {
    assert_eq!(r.i32("replica_id").unwrap(), -1);
    let version = r.version();
    if version >= 2 {
        assert!((0..=1).contains(&r.i8("isolation_level").unwrap()));
    }
    let wanted = topics(r, |r, topic| {
        let partition = r.i32("partition").unwrap();
        let leader_epoch = if version >= 4 { r.i32("current_leader_epoch").unwrap() } else { -1 };
        let timestamp = r.i64("timestamp").unwrap();
        OffsetWanted { topic: topic.to_owned(), partition, leader_epoch, timestamp }
    });
    Request::ListOffsets(wanted.collect())
}

fn fetch(r: &mut Reader<'_>) -> Request {
    assert_eq!(r.i32("replica_id").unwrap(), -1);
    let version = r.version();
    let wait_ms_max = r.i32("max_wait_ms").unwrap();
    let bytes_min = r.i32("min_bytes").unwrap();
    let bytes_max = r.i32("max_bytes").unwrap();
    assert!((0..=1).contains(&r.i8("isolation_level").unwrap()));
    if version >= 7 {
        assert_eq!(r.i32("session_id").unwrap(), 0, "no sessions");
        assert_eq!(r.i32("session_epoch").unwrap(), -1, "no sessions");
    }
    let wanted = topics(r, |r, topic| {
        let partition = r.i32("partition").unwrap();
        let leader_epoch = if version >= 9 { r.i32("current_leader_epoch").unwrap() } else { -1 };
        let offset = r.i64("fetch_offset").unwrap();
        if version >= 12 {
            assert_eq!(r.i32("last_fetched_epoch").unwrap(), -1);
        }
        if version >= 5 {
            assert_eq!(r.i64("log_start_offset").unwrap(), -1, "only followers know it");
        }
        let bytes_max = r.i32("partition_max_bytes").unwrap();
        Wanted { topic: topic.to_owned(), partition, leader_epoch, offset, bytes_max }
    });
    let wanted = wanted.collect();
    if version >= 7 {
        assert_eq!(r.array("forgotten_topics_data").unwrap(), 0);
    }
    if version >= 11 {
        r.string("rack_id").unwrap();
    }
    Request::Fetch { wait_ms_max, bytes_min, bytes_max, wanted }
}

fn describe_producers(r: &mut Reader<'_>) -> Request {
    let topics = each(r, "topics", |r| {
        let name = r.string("name").unwrap().to_owned();
        let partitions = each(r, "partition_indexes", |r| r.i32("partition").unwrap());
        end(r);
        (name, partitions)
    });
    Request::DescribeProducers(topics)
}

fn produce(r: &mut Reader<'_>) -> Request {
    assert_eq!(r.nullable_string("transactional_id").unwrap(), None);
    assert_eq!(r.i16("acks").unwrap(), -1, "exactly once needs acks=all");
    let timeout_ms = r.i32("timeout_ms").unwrap();
    assert!(timeout_ms > 0, "a timeout of {timeout_ms} ms");
    let sent = topics(r, |r, topic| Sent {
        topic: topic.to_owned(),
        partition: r.i32("index").unwrap(),
        records: r.bytes("records").unwrap().to_vec(),
    });
    let sent: Vec<Sent> = sent.collect();
    for (at, one) in sent.iter().enumerate() {
        let same = |other: &Sent| (&other.topic, other.partition) == (&one.topic, one.partition);
        assert!(!sent[..at].iter().any(same), "a partition twice in one request");
    }
    assert!(!sent.is_empty(), "a Produce request without records");
    Request::Produce { timeout_ms, sent }
}
