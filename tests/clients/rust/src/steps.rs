//! Topics, records, errors.

use crate::check::{PATIENCE, Suite, eventually, good, refused, same};
use crate::{Consumer, Failure, Placed, Record, Result, Settings};
use std::ops::Range;
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// Far enough from now that a client which invents times is found out.
pub const FIRST_TIME_MS: i64 = 1_600_000_000_000;

/// Records with keys, headers and times that tell them apart.
pub fn numbered(range: Range<usize>) -> Vec<Record> {
    let header = |name: &str, value: String| (name.to_owned(), value.into_bytes());
    range
        .map(|at| Record {
            key: Some(format!("k{at}").into_bytes()),
            value: format!("value {at}").into_bytes(),
            headers: [header("at", at.to_string()), header("empty", String::new())].into(),
            time_ms: FIRST_TIME_MS + at as i64 * 10,
        })
        .collect()
}

/// Sends with a producer of its own and waits for every answer; the first error is returned.
pub fn write(
    suite: &Suite,
    topic: &str,
    parts: &[(i32, Vec<Record>)],
    settings: Settings,
) -> Result<()> {
    let producer = good(suite.client.producer(settings));
    let (answers, results) = mpsc::channel();
    let mut count = 0;
    for (partition, records) in parts {
        let numbers = records.iter().map(|record| (0, record.clone())).collect();
        producer.send(topic, *partition, numbers, &answers);
        count += records.len();
    }
    let mut first = Ok(());
    for _ in 0..count {
        let (_, result) = results
            .recv_timeout(PATIENCE)
            .map_err(|_| Failure { code: 0, text: "no answer for a record".into() })?;
        first = first.and(result);
    }
    first
}

/// Writes to partition 0 what has to arrive.
pub fn written(suite: &Suite, topic: &str, records: Vec<Record>) {
    good(write(suite, topic, &[(0, records)], Settings::default()));
}

/// Polls until there are that many records.
pub fn take(consumer: &mut dyn Consumer, count: usize) -> Vec<Placed> {
    let (mut taken, end) = (Vec::new(), Instant::now() + PATIENCE);
    while taken.len() < count {
        taken.extend(good(consumer.poll(Duration::from_millis(200))));
        assert!(Instant::now() < end, "expected {count} records, seen {}", taken.len());
    }
    taken
}

pub fn read(suite: &Suite, topic: &str, partition: i32, offset: i64, count: usize) -> Vec<Placed> {
    take(&mut *good(suite.client.reader(topic, partition, offset)), count)
}

/// Compares everything; offsets have to be without a gap.
pub fn same_records(seen: &[Placed], expected: &[Record]) {
    same(seen.len(), expected.len(), "records");
    for (at, (seen_one, expected)) in seen.iter().zip(expected).enumerate() {
        same(&seen_one.record, expected, &format!("record {at}"));
        same(seen_one.offset, seen[0].offset + at as i64, "offset");
    }
}

pub fn topics(suite: &Suite) {
    let topic = suite.name("made");
    let partitions = |suite: &Suite| {
        good(suite.client.topics()).get(&suite.name("made")).copied().unwrap_or_default()
    };
    let name = topic.clone();
    suite.step("topics: create", move |suite| {
        let settings: &[(&str, &str)] = match suite.skipped("topics: describe") {
            None => &[("retention.ms", "7200000")],
            Some(_) => &[],
        };
        good(suite.client.create_topic(&name, 3, settings));
    });
    suite.step("topics: list", move |suite| {
        eventually("3 partitions are listed", PATIENCE, || partitions(suite) == 3);
    });
    let name = topic.clone();
    suite.step("topics: describe", move |suite| {
        let settings = good(suite.client.settings(&name));
        same(settings["retention.ms"].as_str(), "7200000", "retention.ms");
        same(settings["cleanup.policy"].as_str(), "delete", "cleanup.policy");
    });
    let name = topic.clone();
    suite.step("topics: alter settings", move |suite| {
        good(suite.client.alter(&name, "segment.bytes", "2097152"));
        same(good(suite.client.settings(&name))["segment.bytes"].as_str(), "2097152", "altered");
    });
    let name = topic.clone();
    suite.step("topics: add partitions", move |suite| {
        good(suite.client.add_partitions(&name, 5));
        eventually("5 partitions", PATIENCE, || partitions(suite) == 5);
    });
    suite.step("topics: delete records", move |suite| {
        written(suite, &topic, numbered(0..20));
        good(suite.client.delete_records(&topic, 15));
        same(read(suite, &topic, 0, 15, 5)[0].offset, 15, "first offset that is left");
        same(good(suite.client.offset_at(&topic, 0)), 15, "offset of the oldest record");
    });
}

/// Late, so that the topic was there for all others.
pub fn topics_end(suite: &Suite) {
    suite.step("topics: delete", |suite| {
        let topic = suite.name("made");
        good(suite.client.delete_topic(&topic));
        eventually("no longer listed", PATIENCE, || {
            !good(suite.client.topics()).contains_key(&topic)
        });
    });
}

fn round_trip(suite: &Suite, what: &str, records: Vec<Record>, settings: Settings) {
    let topic = suite.topic(what, 1);
    good(write(suite, &topic, &[(0, records.clone())], settings));
    same_records(&read(suite, &topic, 0, 0, records.len()), &records);
}

/// Bytes that do not repeat themselves.
fn large(seed: u64, count: usize) -> Vec<u8> {
    let mut state = seed + 1;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 33) as u8
    };
    (0..count).map(|_| next()).collect()
}

pub fn produce(suite: &Suite) {
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
        suite.step(&format!("produce: {codec}"), move |suite| {
            let settings = Settings { codec, ..Settings::default() };
            round_trip(suite, codec, numbered(0..1000), settings);
        });
    }
    for acks in ["0", "1", "all"] {
        suite.step(&format!("produce: acks {acks}"), move |suite| {
            let settings = Settings { acks, ..Settings::default() };
            round_trip(suite, &format!("acks-{acks}"), numbered(0..200), settings);
        });
    }
    suite.step("produce: idempotent", |suite| {
        let settings = Settings { idempotent: true, ..Settings::default() };
        round_trip(suite, "idempotent", numbered(0..2000), settings);
    });
    suite.step("produce: record of 900 kB", |suite| {
        let topic = suite.topic("large", 1);
        let record = Record { value: large(0, 900_000), ..numbered(0..1).remove(0) };
        for _ in 0..3 {
            written(suite, &topic, vec![record.clone()]);
        }
        let expected = vec![record; 3];
        same_records(&read(suite, &topic, 0, 0, 3), &expected);
    });
    suite.step("produce: 50 partitions of 200 kB at once", |suite| {
        let topic = suite.topic("many", 50);
        let records = |partition: i32| -> Vec<_> {
            (0..20)
                .map(|at| Record {
                    value: large(partition as u64 * 20 + at, 10_000),
                    ..numbered(0..1).remove(0)
                })
                .collect()
        };
        let parts: Vec<_> = (0..50).map(|partition| (partition, records(partition))).collect();
        good(write(suite, &topic, &parts, Settings::default()));
        for partition in [0, 24, 49] {
            same_records(&read(suite, &topic, partition, 0, 20), &records(partition));
        }
    });
}

pub fn consume(suite: &Suite) {
    suite.step("consume: from the beginning", |suite| {
        let topic = suite.topic("times", 1);
        written(suite, &topic, numbered(0..100));
        same_records(&read(suite, &topic, 0, 0, 100), &numbered(0..100));
        // From the middle of a batch: nothing before it is seen.
        same_records(&read(suite, &topic, 0, 42, 58), &numbered(42..100));
    });
    suite.step("consume: seek to timestamp", |suite| {
        let topic = suite.name("times");
        let offset = good(suite.client.offset_at(&topic, FIRST_TIME_MS + 495));
        same(offset, 50, "first offset at or after the time");
        same_records(&read(suite, &topic, 0, offset, 50), &numbered(50..100));
    });
}

pub fn errors(suite: &Suite) {
    suite.step("errors: unknown topic", |suite| {
        refused(suite.client.delete_topic(&suite.name("missing")), 3);
    });
    suite.step("errors: topic exists", |suite| {
        let topic = suite.topic("exists", 1);
        refused(suite.client.create_topic(&topic, 1, &[]), 36);
    });
    suite.step("errors: record too large", |suite| {
        let topic = suite.name("small");
        let limit: &[(&str, &str)] = match suite.skipped("topics: describe") {
            None => &[("max.message.bytes", "10000")],
            // Larger than the broker's own limit.
            Some(_) => &[],
        };
        good(suite.client.create_topic(&topic, 1, limit));
        let count = if limit.is_empty() { 1_500_000 } else { 50_000 };
        let record = Record { value: large(0, count), ..numbered(0..1).remove(0) };
        refused(write(suite, &topic, &[(0, vec![record])], Settings::default()), 10);
        written(suite, &topic, numbered(0..3));
        same_records(&read(suite, &topic, 0, 0, 3), &numbered(0..3));
    });
}
