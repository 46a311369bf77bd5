//! Records in, the same records out.

use crate::support::PATIENCE;
use crate::support::clients::{
    self, Producer, create_topic, poll, produce_texts, read_all, reader, take, text,
    wait_for_high_watermark,
};
use crate::support::process::Ottla;
use rdkafka::consumer::Consumer;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, Headers, Message, OwnedHeaders, Timestamp};
use rdkafka::producer::{BaseRecord, Producer as _};
use rdkafka::{Offset, TopicPartitionList};

const TIME: i64 = 1_600_000_000_000;

fn keys_headers_and_timestamps_survive(codec: &str) {
    let dir = tempfile::tempdir().unwrap();
    let ottla = Ottla::start(dir.path());
    // A long linger makes batches, which is what compression needs to be worth anything.
    let settings = [("compression.type", codec), ("linger.ms", "50"), ("acks", "all")];
    let producer = Producer::new(&ottla.bootstrap(), &settings);
    let value = |n: usize| format!("record {n} {}", "again and again ".repeat(n % 50));
    for n in 0..300 {
        let headers = OwnedHeaders::new()
            .insert(Header { key: "number", value: Some(&n.to_string()) })
            .insert(Header { key: "number", value: Some("the same key twice") })
            .insert(Header::<&[u8]> { key: "nothing", value: None });
        let (key, value) = (format!("key {n}"), value(n));
        let record = BaseRecord::with_opaque_to("kept", Box::new(n))
            .partition(0)
            .key(key.as_bytes())
            .payload(value.as_bytes())
            .timestamp(TIME + n as i64)
            .headers(headers);
        producer.send(record);
    }
    producer.flush_all_ok();
    let records = read_all(&ottla.bootstrap(), "kept", 0);
    assert_eq!(records.len(), 300);
    for (n, record) in records.iter().enumerate() {
        assert_eq!(record.offset(), n as i64);
        assert_eq!(record.key(), Some(format!("key {n}").as_bytes()));
        assert_eq!(text(record), value(n));
        assert_eq!(record.timestamp(), Timestamp::CreateTime(TIME + n as i64));
        let headers = record.headers().unwrap();
        assert_eq!(headers.count(), 3);
        assert_eq!(headers.get(0).value, Some(n.to_string().as_bytes()));
        assert_eq!(headers.get(1).key, "number");
        assert_eq!(headers.get(2).value, None);
    }
}

#[test]
fn uncompressed_records_come_back_as_they_went() {
    keys_headers_and_timestamps_survive("none");
}

#[test]
fn gzip_records_come_back_as_they_went() {
    keys_headers_and_timestamps_survive("gzip");
}

#[test]
fn snappy_records_come_back_as_they_went() {
    keys_headers_and_timestamps_survive("snappy");
}

#[test]
fn lz4_records_come_back_as_they_went() {
    keys_headers_and_timestamps_survive("lz4");
}

#[test]
fn zstd_records_come_back_as_they_went() {
    keys_headers_and_timestamps_survive("zstd");
}

#[test]
fn null_keys_and_null_values_stay_null() {
    let dir = tempfile::tempdir().unwrap();
    let ottla = Ottla::start(dir.path());
    let producer = Producer::new(&ottla.bootstrap(), &[]);
    producer.send(BaseRecord::with_opaque_to("t", Box::new(0)).partition(0).key(b"tombstone"));
    producer.send(BaseRecord::with_opaque_to("t", Box::new(1)).partition(0).payload(b""));
    producer.flush_all_ok();
    let records = read_all(&ottla.bootstrap(), "t", 0);
    assert_eq!((records[0].key(), records[0].payload()), (Some(&b"tombstone"[..]), None));
    assert_eq!((records[1].key(), records[1].payload()), (None, Some(&b""[..])));
}

#[test]
fn every_acks_gets_its_records_in() {
    let dir = tempfile::tempdir().unwrap();
    let ottla = Ottla::start(dir.path());
    for acks in ["0", "1", "all"] {
        let topic = format!("acks-{acks}");
        let producer = Producer::new(&ottla.bootstrap(), &[("acks", acks)]);
        (0..100).for_each(|n| producer.send_text(&topic, n, &format!("{n}")));
        let places = producer.flush_all_ok();
        assert_eq!(places.len(), 100);
        if acks != "0" {
            // With acks=0 nobody tells the client which offset a record got.
            assert!(places.iter().all(|(n, _, offset)| *offset == *n as i64), "{places:?}");
        }
        wait_for_high_watermark(&ottla.bootstrap(), &topic, 100);
        let records = read_all(&ottla.bootstrap(), &topic, 0);
        let values: Vec<&str> = records.iter().map(text).collect();
        assert_eq!(values, (0..100).map(|n| n.to_string()).collect::<Vec<_>>());
    }
}

#[test]
fn an_idempotent_producer_fills_several_partitions_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let ottla = Ottla::start(dir.path());
    create_topic(&ottla.bootstrap(), "parts", 4, &[]);
    let producer = Producer::new(&ottla.bootstrap(), &[("enable.idempotence", "true")]);
    for n in 0..2_000 {
        let value = n.to_string();
        let record = BaseRecord::with_opaque_to("parts", Box::new(n));
        producer.send(record.partition((n % 4) as i32).payload(value.as_bytes()));
    }
    assert_eq!(producer.flush_all_ok().len(), 2_000);
    for partition in 0..4 {
        let records = read_all(&ottla.bootstrap(), "parts", partition as i32);
        let values: Vec<&str> = records.iter().map(text).collect();
        let sent: Vec<String> =
            (0..2_000).filter(|n| n % 4 == partition).map(|n: usize| n.to_string()).collect();
        assert_eq!(values, sent);
    }
}

#[test]
fn a_consumer_seeks_by_timestamp() {
    let dir = tempfile::tempdir().unwrap();
    let ottla = Ottla::start(dir.path());
    let producer = Producer::new(&ottla.bootstrap(), &[("linger.ms", "20")]);
    for n in 0..100 {
        let value = n.to_string();
        let record = BaseRecord::with_opaque_to("times", Box::new(n)).partition(0);
        producer.send(record.payload(value.as_bytes()).timestamp(TIME + 1000 * n as i64));
    }
    producer.flush_all_ok();
    let consumer = clients::consumer(&ottla.bootstrap(), &[]);
    let offset_at = |time: i64| {
        let mut times = TopicPartitionList::new();
        times.add_partition_offset("times", 0, Offset::Offset(time)).unwrap();
        let found = consumer.offsets_for_times(times, PATIENCE).unwrap();
        found.find_partition("times", 0).unwrap().offset()
    };
    assert_eq!(offset_at(TIME - 1), Offset::Offset(0));
    assert_eq!(offset_at(TIME + 42_000), Offset::Offset(42));
    assert_eq!(offset_at(TIME + 41_001), Offset::Offset(42));
    assert_eq!(offset_at(TIME + 99_001), Offset::End);
    // And the consumer that seeks there reads on from there.
    let consumer = reader(&ottla.bootstrap(), "times", 0, Offset::Beginning);
    assert_eq!(text(&take(&consumer, 1)[0]), "0");
    consumer.seek("times", 0, Offset::Offset(42), PATIENCE).unwrap();
    assert_eq!(text(&take(&consumer, 1)[0]), "42");
}

#[test]
fn a_consumer_beyond_the_end_is_reset_as_it_wishes() {
    let dir = tempfile::tempdir().unwrap();
    let ottla = Ottla::start(dir.path());
    produce_texts(&ottla.bootstrap(), "short", &["a", "b"]);
    let consumer = reader(&ottla.bootstrap(), "short", 0, Offset::Offset(1_000));
    assert_eq!(text(&take(&consumer, 1)[0]), "a");
}

#[test]
fn a_record_of_900_kb_passes_and_one_beyond_the_limit_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let ottla = Ottla::start(dir.path());
    // The client's own limit is lifted, so that it is the broker who refuses.
    let settings = [("message.max.bytes", "3000000"), ("acks", "all")];
    let producer = Producer::new(&ottla.bootstrap(), &settings);
    let large: Vec<u8> = (0..900_000u32).map(|n| (n % 251) as u8).collect();
    producer.send(BaseRecord::with_opaque_to("large", Box::new(0)).partition(0).payload(&large));
    producer.flush();
    let too_large = vec![b'x'; 1_200_000];
    let record = BaseRecord::with_opaque_to("large", Box::new(1)).partition(0);
    producer.send(record.payload(&too_large));
    producer.flush();
    producer.send_text("large", 2, "small again");
    producer.flush();
    let deliveries = producer.deliveries.all();
    assert_eq!(deliveries[0], (0, Ok((0, 0))));
    let error = KafkaError::MessageProduction(RDKafkaErrorCode::MessageSizeTooLarge);
    assert_eq!(deliveries[1], (1, Err(error)));
    assert_eq!(deliveries[2], (2, Ok((0, 1))));
    let records = read_all(&ottla.bootstrap(), "large", 0);
    assert!(records[0].payload() == Some(&large[..]));
    assert_eq!(text(&records[1]), "small again");
}

#[test]
fn many_large_batches_pass_through_the_journal_and_beside_it() {
    let dir = tempfile::tempdir().unwrap();
    // A small journal, so that there are many checkpoints, and small segments, so that they roll.
    let settings = ["--listen", "127.0.0.1:0", "--set", "journal.bytes=2097152"];
    let ottla = Ottla::start_with(dir.path(), &settings);
    create_topic(&ottla.bootstrap(), "bulk", 1, &[("segment.bytes", "1000000")]);
    let producer = Producer::new(&ottla.bootstrap(), &[("enable.idempotence", "true")]);
    let payload = |n: usize| vec![(n % 251) as u8; 1_000 + (n * 7919) % 200_000];
    for n in 0..150 {
        let payload = payload(n);
        let record = BaseRecord::with_opaque_to("bulk", Box::new(n)).partition(0);
        producer.send(record.payload(&payload));
    }
    producer.flush_all_ok();
    let records = read_all(&ottla.bootstrap(), "bulk", 0);
    assert_eq!(records.len(), 150);
    for (n, record) in records.iter().enumerate() {
        assert!(record.payload() == Some(&payload(n)[..]), "record {n} differs");
    }
}

#[test]
fn a_transactional_producer_fails_at_once_and_for_good() {
    let dir = tempfile::tempdir().unwrap();
    let ottla = Ottla::start(dir.path());
    let producer = Producer::new(&ottla.bootstrap(), &[("transactional.id", "tx")]);
    let start = std::time::Instant::now();
    let error = producer.inner().init_transactions(PATIENCE).expect_err("no transactions here");
    assert!(start.elapsed() < PATIENCE / 3, "it took {:?}: {error}", start.elapsed());
    let KafkaError::Transaction(error) = error else { panic!("{error}") };
    assert!(error.is_fatal() && !error.is_retriable(), "{error:?}");
}

#[test]
fn a_consumer_at_the_end_gets_what_comes_while_it_waits() {
    let dir = tempfile::tempdir().unwrap();
    // With this interval only the waiting fetch can be the reason for a sync.
    let settings = ["--listen", "127.0.0.1:0", "--set", "log.flush.interval.ms=10000"];
    let ottla = Ottla::start_with(dir.path(), &settings);
    create_topic(&ottla.bootstrap(), "live", 1, &[]);
    let consumer = reader(&ottla.bootstrap(), "live", 0, Offset::Beginning);
    assert!(poll(&consumer, std::time::Duration::from_millis(300)).is_none());
    let producer = Producer::new(&ottla.bootstrap(), &[("acks", "1")]);
    for n in 0..5 {
        let start = std::time::Instant::now();
        producer.send_text("live", n, &n.to_string());
        assert_eq!(text(&take(&consumer, 1)[0]), n.to_string());
        assert!(start.elapsed().as_millis() < 2_000, "visible after {:?}", start.elapsed());
    }
}
