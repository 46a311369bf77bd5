//! DescribeProducers (61): what a leader remembers of the producers of its partitions (KIP-664,
//! Kafka 2.8).

use super::{
    ByTopic, TopicResult, read_error, read_list, read_nullable, read_topics, visit_list,
    visit_topics, write_by_topic,
};
use crate::client::{Api, Request};
use crate::wire::reader::Read;
use crate::wire::{ErrorCode, Reader, Writer};

/// Asks the leader of partitions for its producers.
#[derive(Clone, Debug)]
pub struct DescribeProducersRequest<'a> {
    /// The partitions.
    pub topics: Vec<ByTopic<'a, i32>>,
}

/// One producer that is remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ActiveProducer {
    /// Its id.
    pub producer_id: i64,
    /// Its epoch.
    pub producer_epoch: i32,
    /// The sequence number of its last record, or -1.
    pub last_sequence: i32,
    /// The largest timestamp of its last batch, milliseconds since 1970.
    pub last_timestamp: i64,
}

/// The producers of one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DescribedProducers {
    /// The partition.
    pub partition_index: i32,
    /// What went wrong.
    pub error_code: ErrorCode,
    /// The same in words.
    pub error_message: Option<String>,
    /// The producers.
    pub active_producers: Vec<ActiveProducer>,
}

impl Request for DescribeProducersRequest<'_> {
    const API: Api = Api::DESCRIBE_PRODUCERS;
    type Response = Vec<TopicResult<DescribedProducers>>;

    fn write(&self, w: &mut Writer<'_>) {
        w.array(self.topics.len());
        for topic in &self.topics {
            w.string(topic.name);
            w.array(topic.partitions.len());
            topic.partitions.iter().for_each(|partition| w.i32(*partition));
            w.tags();
        }
        w.tags();
    }

    fn read_response(r: &mut Reader<'_>) -> Read<Self::Response> {
        r.i32("throttle_time_ms")?;
        read_topics(r, |r| {
            let described = DescribedProducers {
                partition_index: r.i32("partition_index")?,
                error_code: read_error(r, "error_code")?,
                error_message: read_nullable(r, "error_message")?,
                active_producers: read_list(r, "active_producers", read_producer)?,
            };
            r.tags()?;
            Ok(described)
        })
    }
}

fn read_producer(r: &mut Reader<'_>) -> Read<ActiveProducer> {
    let producer = ActiveProducer {
        producer_id: r.i64("producer_id")?,
        producer_epoch: r.i32("producer_epoch")?,
        last_sequence: r.i32("last_sequence")?,
        last_timestamp: r.i64("last_timestamp")?,
    };
    r.i32("coordinator_epoch")?;
    r.i64("current_txn_start_offset")?;
    r.tags()?;
    Ok(producer)
}

/// Writes the question for these partitions.
pub fn write_describe_producers<'n>(
    w: &mut Writer<'_>,
    partitions: &(impl Iterator<Item = (&'n str, i32)> + Clone),
) {
    write_by_topic(w, partitions, |w, partition| w.i32(partition));
    w.tags();
}

/// Reads the answer and holds none of it: each producer of each partition comes by, and behind its
/// last one the partition with its error.
///
/// # Errors
/// The field that is malformed.
pub fn visit_described<'a>(
    r: &mut Reader<'a>,
    mut visit: impl FnMut(&'a str, i32, Result<ActiveProducer, ErrorCode>),
) -> Read<()> {
    r.i32("throttle_time_ms")?;
    visit_topics(r, |r, topic| {
        let partition = r.i32("partition_index")?;
        let error_code = read_error(r, "error_code")?;
        r.nullable_string("error_message")?;
        visit_list(r, "active_producers", |r| {
            visit(topic, partition, Ok(read_producer(r)?));
            Ok(())
        })?;
        r.tags()?;
        visit(topic, partition, Err(error_code));
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::frame;

    #[test]
    fn a_question_and_its_answer() {
        let topics = ByTopic::group([("t", 0), ("t", 3)]);
        let bytes = frame::encode(&DescribeProducersRequest { topics }, 0, 5, "me");
        let golden = [
            0, 0, 0, 29, 0, 61, 0, 0, 0, 0, 0, 5, 0, 2, b'm', b'e', 0, 2, 2, b't', 3, 0, 0, 0, 0,
            0, 0, 0, 3, 0, 0,
        ];
        assert_eq!(bytes[4..], golden[4..]);
        let mut answer = Vec::new();
        let mut w = Writer::new(&mut answer, 0, true);
        w.i32(5);
        w.tags();
        w.i32(0);
        w.array(1);
        w.string("t");
        w.array(1);
        w.i32(3);
        w.i16(0);
        w.nullable_string(None);
        w.array(1);
        w.i64(41);
        w.i32(2);
        w.i32(99);
        w.i64(1234);
        w.i32(-1);
        w.i64(-1);
        (0..4).for_each(|_| w.tags());
        let read = frame::decode::<DescribeProducersRequest<'_>>(&answer, 0, 5).unwrap();
        let producer = ActiveProducer {
            producer_id: 41,
            producer_epoch: 2,
            last_sequence: 99,
            last_timestamp: 1234,
        };
        assert_eq!(read[0].partitions[0].active_producers, [producer]);
    }
}
