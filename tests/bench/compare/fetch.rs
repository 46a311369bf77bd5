//! Fetch: reading what is there beside `sendfile` alone, and waiting at the end of a topic.

use super::broker::{Broker, Contender, start_all};
use super::limit::send_files;
use super::load::{Batch, Client};
use super::options::Options;
use super::report::{Report, settings_of};
use super::slow::Syncs;
use super::stats::{Series, bytes, quantile, short};
use super::warm::warm_up;
use ottla::client::frame::encode;
use ottla::client::messages::ByTopic;
use ottla::client::messages::fetch::{FetchPartition, FetchRequest};
use ottla::wire::reader::Read;
use ottla::wire::{Reader, batch::BatchHeader};
use rustix::net::SendFlags;
use std::io::Write;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// The version before the flexible ones; ottla and Apache Kafka 4 both serve it.
const VERSION: i16 = 11;
/// Between two records at the tail: longer than any of the brokers takes for one.
const TAIL_PAUSE: Duration = Duration::from_millis(5);

/// A consumer of partition 0.
struct Consumer {
    client: Client,
    topic: String,
    offset: i64,
    frame: Vec<u8>,
}

impl Consumer {
    fn new(broker: &Broker, topic: &str, offset: i64) -> Consumer {
        let client = Client::connect(broker.address);
        Consumer { client, topic: topic.to_owned(), offset, frame: Vec::new() }
    }

    /// One fetch of at most `bytes_max` bytes; the records that it brought.
    fn fetch(&mut self, bytes_max: usize, max_wait_ms: i32) -> &[u8] {
        let (partition_max_bytes, max_bytes) = (bytes_max as i32, bytes_max as i32);
        let fetch_offset = self.offset;
        let partition = FetchPartition { partition: 0, fetch_offset, partition_max_bytes };
        let topics = vec![ByTopic { name: &self.topic, partitions: vec![partition] }];
        let request =
            FetchRequest { max_wait_ms, min_bytes: 1, max_bytes, isolation_level: 0, topics };
        let request = encode(&request, VERSION, 1, "bench");
        self.client.socket.write_all(&request).expect("the broker reads");
        self.client.receive(&mut self.frame).expect("an answer");
        records(&self.frame).expect("an answer to Fetch")
    }
}

/// The records in an answer, which are not copied.
fn records(frame: &[u8]) -> Read<&[u8]> {
    let mut r = Reader::new(frame, VERSION, false);
    r.i32("correlation_id")?;
    r.i32("throttle_time_ms")?;
    assert_eq!(r.i16("error_code")?, 0, "a fetch failed");
    r.i32("session_id")?;
    assert_eq!(r.array("responses")?, 1);
    r.string("topic")?;
    assert_eq!(r.array("partitions")?, 1);
    r.i32("partition_index")?;
    assert_eq!(r.i16("partition error_code")?, 0, "a partition's fetch failed");
    for field in ["high_watermark", "last_stable_offset", "log_start_offset"] {
        r.i64(field)?;
    }
    r.nullable_array("aborted_transactions")?;
    r.i32("preferred_read_replica")?;
    Ok(r.nullable_bytes("records")?.unwrap_or_default())
}

/// A topic full of equal batches behind the one record that its creation has left.
struct Filled {
    topic: String,
    batch: Batch,
    bytes: usize,
}

/// The first offset of the equal batches.
const FIRST: i64 = 1;

fn fill(broker: &Broker, bytes_wanted: usize) -> Filled {
    let mut client = Client::connect(broker.address);
    let topic = client.create_topic(&[]);
    let batch = Batch::of_bytes(16 << 10, 1024);
    let request = batch.request(&topic, -1);
    let mut sent = 0;
    while sent < bytes_wanted {
        sent += client.pipeline(&request, 5, Duration::from_millis(100)).requests as usize
            * batch.bytes.len();
    }
    Filled { topic, batch, bytes: sent }
}

/// What no server of files can avoid, and what the bytes before the records add.
const LIMITS: [(&str, Option<SendFlags>); 3] = [
    ("sendfile", None),
    ("a header, sendfile", Some(SendFlags::empty())),
    ("a header with MSG_MORE, sendfile", Some(SendFlags::MORE)),
];

/// CPU nanoseconds per byte and per answer, and bytes per second.
fn catch_up(broker: &Broker, filled: &Filled, answer: usize, time: Duration) -> [f64; 3] {
    let mut consumer = Consumer::new(broker, &filled.topic, FIRST);
    let end = FIRST + (filled.bytes / filled.batch.bytes.len() * filled.batch.records) as i64;
    let (began, before) = (Instant::now(), broker.cpu());
    let (mut fetched, mut answers) = (0, 0);
    while began.elapsed() < time {
        let count = consumer.fetch(answer, 0).len();
        let whole = count / filled.batch.bytes.len();
        assert_ne!(whole, 0, "no records at offset {} of {end}", consumer.offset);
        consumer.offset += (whole * filled.batch.records) as i64;
        // The last answer before the end is a short one; leave it out of the rounds.
        if consumer.offset + (answer / 1024) as i64 >= end {
            consumer.offset = FIRST;
        }
        fetched += count;
        answers += 1;
    }
    let seconds = began.elapsed().as_secs_f64();
    let spent = before.until(&broker.cpu());
    [spent / fetched as f64, spent / f64::from(answers), fetched as f64 / seconds]
}

/// Runs both parts.
pub fn run(options: &Options, contenders: &[Contender], report: &mut Report) {
    let brokers = start_all(contenders, &options.data, Syncs::Own);
    brokers.iter().for_each(|broker| warm_up(broker, options));
    catching_up(options, &brokers, report);
    tail(options, &brokers, report);
}

fn catching_up(options: &Options, brokers: &[Broker], report: &mut Report) {
    report.say("## Fetch, catching up");
    report.say(
        "CPU time of the broker alone for one consumer that reads what lies in the page cache, in \
         batches of 16 KiB, one answer after the other. The limit is one blocking thread: receive \
         a request of 64 B, sendfile.",
    );
    // How its records were synced makes no difference to a reader: each process once.
    let brokers: Vec<&Broker> = brokers.iter().filter(|b| b.topic_settings.is_empty()).collect();
    let filled: Vec<Filled> = brokers.iter().map(|broker| fill(broker, 64 << 20)).collect();
    let time = Duration::from_secs_f64(options.seconds);
    // What was compiled for producing is not what fetching needs.
    for (broker, filled) in brokers.iter().zip(&filled).filter(|(broker, _)| broker.is_kafka) {
        catch_up(broker, filled, 64 << 10, time * 5);
        catch_up(broker, filled, 2 << 20, time * 2);
    }
    let mut rows = Vec::new();
    for answer in [64 << 10, 1 << 20, 2 << 20] {
        let mut limits: [Series; 3] = Default::default();
        let mut measured: Vec<[Series; 3]> = brokers.iter().map(|_| Default::default()).collect();
        for _ in 0..options.rounds {
            for (limit, (_, header)) in limits.iter_mut().zip(LIMITS) {
                let per_answer = send_files(answer, header, &options.data, time / 2);
                limit.push(per_answer / answer as f64);
            }
            for ((broker, filled), into) in brokers.iter().zip(&filled).zip(&mut measured) {
                let figures = catch_up(broker, filled, answer, time);
                into.iter_mut().zip(figures).for_each(|(series, figure)| series.push(figure));
            }
        }
        let size = bytes(answer);
        for (limit, (name, _)) in limits.iter().zip(LIMITS) {
            let per_answer = limit.scaled(answer as f64 * 1e-3).to_string();
            let mut row = vec![size.clone(), name.to_owned(), limit.to_string(), per_answer];
            row.push(limit.ratio(&limits[0]).to_string());
            row.extend(["–".to_owned(), "–".to_owned()]);
            rows.push(row);
        }
        for (broker, [per_byte, per_answer, rate]) in brokers.iter().zip(&measured) {
            rows.push(vec![
                size.clone(),
                broker.name.clone(),
                per_byte.to_string(),
                per_answer.scaled(1e-3).to_string(),
                per_byte.ratio(&limits[0]).to_string(),
                per_byte.ratio(&measured[0][0]).to_string(),
                rate.scaled(1e-6).to_string(),
            ]);
        }
        let kafka = brokers.iter().position(|broker| broker.is_kafka);
        let times = |series: Series| short(series.median());
        report.figure(
            format!("fetch, answers of {size} from the page cache"),
            format!("{} × the CPU time of sendfile", times(measured[0][0].ratio(&limits[0]))),
            kafka.map(|at| {
                format!("{} × ottla's CPU time", times(measured[at][0].ratio(&measured[0][0])))
            }),
        );
        eprintln!("fetch of {size}: {} ns/byte", measured[0][0]);
    }
    report
        .table(&["answer", "who", "ns/byte", "µs/answer", "× sendfile", "× ottla", "MB/s"], &rows);
}

/// Seconds from before the record is sent until it is there, each record.
fn tail_latencies(broker: &Broker, acks: i16, count: usize) -> Vec<f64> {
    let mut producer = Client::connect(broker.address);
    let topic = producer.create_topic(broker.topic_settings);
    let mut consumer = Consumer::new(broker, &topic, FIRST);
    let sent = Mutex::new(Vec::with_capacity(count));
    let request = Batch::of_records(1, 100).request(&topic, acks);
    let latencies = std::thread::scope(|scope| {
        let reader = scope.spawn(|| read_tail(&mut consumer, &sent, count));
        let mut answer = Vec::new();
        for _ in 0..count {
            sent.lock().expect("nobody panics with it").push(Instant::now());
            producer.socket.write_all(&request).expect("the broker reads");
            producer.receive(&mut answer).expect("an answer");
            std::thread::sleep(TAIL_PAUSE);
        }
        reader.join().expect("the consumer ends")
    });
    producer.delete_topic(&topic);
    latencies
}

fn read_tail(consumer: &mut Consumer, sent: &Mutex<Vec<Instant>>, count: usize) -> Vec<f64> {
    let mut latencies = Vec::with_capacity(count);
    while latencies.len() < count {
        let records = consumer.fetch(1 << 20, 500);
        let now = Instant::now();
        let (mut rest, mut next) = (records, None);
        while let Ok(header) = BatchHeader::read(rest) {
            let sent = sent.lock().expect("nobody panics with it");
            let since = sent.get((header.base_offset - FIRST) as usize);
            latencies.extend(since.map(|since| (now - *since).as_secs_f64()));
            next = Some(header.base_offset + 1);
            rest = rest.get(header.total_bytes..).unwrap_or_default();
        }
        consumer.offset = next.unwrap_or(consumer.offset);
    }
    latencies
}

fn tail(options: &Options, brokers: &[Broker], report: &mut Report) {
    report.say("## Fetch, at the tail");
    report.say(
        "Milliseconds from before a record of 100 B is sent until a waiting consumer has it; the \
         next record follows 5 ms after the answer. An ottla shows no record before it is synced, \
         an Apache Kafka with its default settings does.",
    );
    let count = (options.seconds / TAIL_PAUSE.as_secs_f64()).max(100.0) as usize;
    let mut rows = Vec::new();
    for broker in brokers.iter().filter(|broker| broker.is_kafka) {
        tail_latencies(broker, -1, count);
    }
    for acks in [1, -1] {
        let mut measured: Vec<[Series; 2]> = brokers.iter().map(|_| Default::default()).collect();
        for _ in 0..options.rounds {
            for (broker, [p50, p99]) in brokers.iter().zip(&mut measured) {
                let latencies = tail_latencies(broker, acks, count);
                p50.push(quantile(&latencies, 0.5));
                p99.push(quantile(&latencies, 0.99));
            }
        }
        let acks = if acks == 1 { "acks=1" } else { "acks=all" };
        for (broker, [p50, p99]) in brokers.iter().zip(&measured) {
            rows.push(vec![
                acks.to_owned(),
                broker.name.clone(),
                p50.scaled(1e3).to_string(),
                p99.scaled(1e3).to_string(),
                p50.ratio(&measured[0][0]).to_string(),
            ]);
        }
        // acks=all is compared with what syncs as well.
        let synced = |broker: &Broker| broker.topic_settings.is_empty() == (acks == "acks=1");
        let kafka = brokers.iter().position(|broker| broker.is_kafka && synced(broker));
        report.figure(
            format!("from produce to a waiting consumer, {acks}, p50"),
            format!("{} ms", short(measured[0][0].median() * 1e3)),
            kafka.map(|at| {
                let times = measured[at][0].ratio(&measured[0][0]).median();
                format!("{} ×{}", short(times), settings_of(&brokers[at]))
            }),
        );
        eprintln!("tail, {acks}: {} ms", measured[0][0].scaled(1e3));
    }
    report.table(&["tail", "broker", "p50, ms", "p99, ms", "p50 × ottla"], &rows);
}
