//! What is asked, byte by byte, and whether the answer is a good one.
//!
//! Promises: the newest version of each request; an answer with an error fails the test, so that
//! nobody counts refusals. Building a request allocates, checking an answer does not.

use ottla::api::{API_VERSIONS_KEY, find};
use ottla::wire::record::{BatchBuilder, Producer};
use ottla::wire::{ReadError, Reader, Writer};

/// Finds the error code in an answer's body.
pub type ErrorOf = fn(&mut Reader<'_>) -> Result<i16, ReadError>;

/// A request.
pub struct Ask {
    key: i16,
    version: i16,
    /// The whole frame.
    pub frame: Vec<u8>,
    error_of: ErrorOf,
    /// Bytes that a good answer has at least.
    bytes_min: usize,
    /// The offset that is read, by a fetch.
    pub offset: Option<i64>,
}

impl Ask {
    /// A request in the newest version.
    pub fn new(key: i16, error_of: ErrorOf, write: impl FnOnce(&mut Writer<'_>)) -> Ask {
        let api = find(key).expect("it is served");
        Ask::in_version(key, api.versions.1, error_of, write)
    }

    /// A request in a version of one's choice.
    pub fn in_version(
        key: i16,
        version: i16,
        error_of: ErrorOf,
        write: impl FnOnce(&mut Writer<'_>),
    ) -> Ask {
        let flexible = find(key).is_some_and(|api| version >= api.flexible);
        let mut frame = Vec::new();
        let mut w = Writer::new(&mut frame, version, false);
        w.i32(0);
        w.i16(key);
        w.i16(version);
        w.i32(7);
        w.string("counting");
        let mut w = Writer::new(&mut frame, version, flexible);
        w.tags();
        write(&mut w);
        let length = w.position() as i32 - 4;
        w.patch_i32(0, length);
        Ask { key, version, frame, error_of, bytes_min: 0, offset: None }
    }

    /// The body of an answer, given with its frame length.
    pub fn body<'a>(&self, answer: &'a [u8]) -> Reader<'a> {
        let flexible = find(self.key).is_some_and(|api| self.version >= api.flexible);
        let mut r = Reader::new(&answer[8..], self.version, flexible);
        if self.key != API_VERSIONS_KEY {
            r.tags().expect("the header's tags");
        }
        r
    }

    /// Panics unless the answer is a good one.
    pub fn check(&self, answer: &[u8]) {
        let error = (self.error_of)(&mut self.body(answer));
        assert_eq!(error, Ok(0), "the error code of API key {}", self.key);
        assert!(answer.len() >= self.bytes_min, "{} bytes", answer.len());
    }
}

/// The error code of the first partition of the first topic.
fn of_partition(r: &mut Reader<'_>) -> Result<i16, ReadError> {
    r.array("topics")?;
    r.string("name")?;
    r.array("partitions")?;
    r.i32("index")?;
    r.i16("error_code")
}

fn of_partition_after_throttle(r: &mut Reader<'_>) -> Result<i16, ReadError> {
    r.i32("throttle_time_ms")?;
    of_partition(r)
}

/// The error code that stands behind the throttle time.
pub fn after_throttle(r: &mut Reader<'_>) -> Result<i16, ReadError> {
    r.i32("throttle_time_ms")?;
    r.i16("error_code")
}

/// One topic "t" with its partition 0, around what `write` says of that.
fn partition_0(w: &mut Writer<'_>, write: impl FnOnce(&mut Writer<'_>)) {
    w.array(1);
    w.string("t");
    w.array(1);
    w.i32(0);
    write(w);
    w.tags();
    w.tags();
}

/// An idempotent producer.
pub struct Producing {
    id: i64,
    acks: i16,
    value: Vec<u8>,
    sequence: i32,
}

impl Producing {
    /// One that sends records of so many bytes, one a batch.
    pub fn new(acks: i16, record_bytes: usize) -> Producing {
        Producing { id: 7, acks, value: vec![b'v'; record_bytes], sequence: 0 }
    }

    /// One that goes on with this sequence number, under an id of its own.
    pub fn starting_at(acks: i16, record_bytes: usize, sequence: i32) -> Producing {
        Producing { id: 8, acks, value: vec![b'v'; record_bytes], sequence }
    }

    /// Its next request.
    pub fn next(&mut self) -> Ask {
        let producer = Producer { id: self.id, epoch: 0, base_sequence: self.sequence };
        let mut batch = BatchBuilder::new(1_000).producer(producer);
        batch.push(1_000, None, Some(&self.value), &[]);
        self.sequence += 1;
        produce(self.acks, &batch.finish())
    }
}

/// A Produce request with this batch.
pub fn produce(acks: i16, batch: &[u8]) -> Ask {
    Ask::new(0, of_partition, |w| {
        w.nullable_string(None);
        w.i16(acks);
        w.i32(30_000);
        partition_0(w, |w| w.bytes(batch));
        w.tags();
    })
}

/// A Produce request of `records` records with ascending timestamps, `bytes` each, that are
/// called compressed by this codec.
pub fn produce_large(records: i64, bytes: usize, first_timestamp: i64, codec: i16) -> Ask {
    let mut batch = BatchBuilder::new(first_timestamp);
    let value = vec![b'v'; bytes];
    (0..records).for_each(|n| batch.push(first_timestamp + n, None, Some(&value), &[]));
    produce(-1, &batch.finish_with(codec, |records| records))
}

/// A fetch of the record at `offset`, which waits for it at most so long.
pub fn fetch(offset: i64, max_wait_ms: i32) -> Ask {
    let error_of = |r: &mut Reader<'_>| {
        r.i32("throttle_time_ms")?;
        r.i16("error_code")?;
        r.i32("session_id")?;
        of_partition(r)
    };
    let mut ask = Ask::new(1, error_of, |w| {
        w.i32(-1);
        w.i32(max_wait_ms);
        w.i32(1);
        w.i32(50 << 20);
        w.i8(0);
        w.i32(0);
        w.i32(-1);
        partition_0(w, |w| {
            w.i32(-1);
            w.i64(offset);
            w.i32(-1);
            w.i64(-1);
            w.i32(1);
        });
        w.array(0);
        w.string("");
        w.tags();
    });
    // A record is in it.
    ask.bytes_min = 160;
    ask.offset = Some(offset);
    ask
}

/// Metadata of the one topic.
pub fn metadata() -> Ask {
    let error_of = |r: &mut Reader<'_>| {
        r.i32("throttle_time_ms")?;
        r.array("brokers")?;
        r.i32("node_id")?;
        r.string("host")?;
        r.i32("port")?;
        r.nullable_string("rack")?;
        r.tags()?;
        r.nullable_string("cluster_id")?;
        r.i32("controller_id")?;
        r.array("topics")?;
        r.i16("error_code")
    };
    Ask::new(3, error_of, |w| {
        w.array(1);
        w.uuid(&[0; 16]);
        w.nullable_string(Some("t"));
        w.tags();
        w.bool(false);
        w.bool(false);
        w.tags();
    })
}

/// ListOffsets of the partition, for a moment or one of its ends.
pub fn list_offsets(timestamp: i64) -> Ask {
    Ask::new(2, of_partition_after_throttle, |w| {
        w.i32(-1);
        w.i8(0);
        partition_0(w, |w| {
            w.i32(-1);
            w.i64(timestamp);
        });
        w.tags();
    })
}

/// Heartbeat of the group's member.
pub fn heartbeat(member: &str) -> Ask {
    Ask::new(12, after_throttle, |w| {
        w.string("g");
        w.i32(1);
        w.string(member);
        w.nullable_string(None);
        w.tags();
    })
}

/// OffsetCommit of the group's member.
pub fn offset_commit(member: &str, offset: i64) -> Ask {
    Ask::new(8, of_partition_after_throttle, |w| {
        w.string("g");
        w.i32(1);
        w.string(member);
        w.nullable_string(None);
        partition_0(w, |w| {
            w.i64(offset);
            w.i32(-1);
            w.nullable_string(Some("so far"));
        });
        w.tags();
    })
}

/// OffsetFetch of one partition.
pub fn offset_fetch() -> Ask {
    let error_of = |r: &mut Reader<'_>| {
        r.i32("throttle_time_ms")?;
        r.array("groups")?;
        r.string("group_id")?;
        r.array("topics")?;
        r.string("name")?;
        r.array("partitions")?;
        r.i32("partition_index")?;
        r.i64("committed_offset")?;
        r.i32("committed_leader_epoch")?;
        r.nullable_string("metadata")?;
        r.i16("error_code")
    };
    Ask::new(9, error_of, |w| {
        w.array(1);
        w.string("g");
        w.array(1);
        w.string("t");
        w.array(1);
        w.i32(0);
        w.tags();
        w.tags();
        w.bool(true);
        w.tags();
    })
}

/// FindCoordinator of the group.
pub fn find_coordinator() -> Ask {
    let error_of = |r: &mut Reader<'_>| {
        r.i32("throttle_time_ms")?;
        r.array("coordinators")?;
        r.string("key")?;
        r.i32("node_id")?;
        r.string("host")?;
        r.i32("port")?;
        r.i16("error_code")
    };
    Ask::new(10, error_of, |w| {
        w.i8(0);
        w.array(1);
        w.string("g");
        w.tags();
    })
}

/// ApiVersions.
pub fn api_versions() -> Ask {
    let error_of = |r: &mut Reader<'_>| r.i16("error_code");
    Ask::new(API_VERSIONS_KEY, error_of, |w| {
        w.string("counting");
        w.string("1.0");
        w.tags();
    })
}

/// InitProducerId.
pub fn init_producer_id() -> Ask {
    Ask::new(22, after_throttle, |w| {
        w.nullable_string(None);
        w.i32(60_000);
        w.i64(-1);
        w.i16(-1);
        w.tags();
    })
}

/// JoinGroup of the one member.
pub fn join_group() -> Ask {
    Ask::in_version(11, 3, after_throttle, |w| {
        w.string("g");
        w.i32(1_800_000);
        w.i32(1_800_000);
        w.string("");
        w.string("consumer");
        w.array(1);
        w.string("range");
        w.bytes(&[1]);
    })
}

/// SyncGroup of the one member, which gives itself everything.
pub fn sync_group(member: &str) -> Ask {
    Ask::in_version(14, 2, after_throttle, |w| {
        w.string("g");
        w.i32(1);
        w.string(member);
        w.array(1);
        w.string(member);
        w.bytes(&[9]);
    })
}

/// A fetch that waits so long and gets nothing.
pub fn fetch_in_vain(offset: i64, max_wait_ms: i32) -> Ask {
    Ask { bytes_min: 0, ..fetch(offset, max_wait_ms) }
}

/// ListGroups.
pub fn list_groups() -> Ask {
    Ask::new(16, after_throttle, |w| {
        w.since(4, |w| w.array(0));
        w.since(5, |w| w.array(0));
        w.tags();
    })
}

/// DescribeGroups of one group.
pub fn describe_groups() -> Ask {
    let error_of = |r: &mut Reader<'_>| {
        r.i32("throttle_time_ms")?;
        r.array("groups")?;
        r.i16("error_code")
    };
    Ask::new(15, error_of, |w| {
        w.array(1);
        w.string("g");
        w.bool(false);
        w.tags();
    })
}

/// DescribeCluster.
pub fn describe_cluster() -> Ask {
    Ask::new(60, after_throttle, |w| {
        w.bool(false);
        w.since(1, |w| w.i8(1));
        w.since(2, |w| w.bool(false));
        w.tags();
    })
}

/// OffsetForLeaderEpoch of the partition.
pub fn offset_for_leader_epoch() -> Ask {
    let error_of = |r: &mut Reader<'_>| {
        r.i32("throttle_time_ms")?;
        r.array("topics")?;
        r.string("topic")?;
        r.array("partitions")?;
        r.i16("error_code")
    };
    Ask::new(23, error_of, |w| {
        w.i32(-1);
        partition_0(w, |w| {
            w.i32(-1);
            w.i32(0);
        });
        w.tags();
    })
}

/// DescribeProducers of the partition.
pub fn describe_producers() -> Ask {
    Ask::new(61, of_partition_after_throttle, |w| {
        w.array(1);
        w.string("t");
        w.array(1);
        w.i32(0);
        w.tags();
        w.tags();
    })
}

/// DescribeTopicPartitions of the topic.
pub fn describe_topic_partitions() -> Ask {
    let error_of = |r: &mut Reader<'_>| {
        r.i32("throttle_time_ms")?;
        r.array("topics")?;
        r.i16("error_code")
    };
    Ask::new(75, error_of, |w| {
        w.array(1);
        w.string("t");
        w.tags();
        w.i32(100);
        w.i8(-1);
        w.tags();
    })
}
