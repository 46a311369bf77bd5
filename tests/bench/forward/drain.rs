//! How fast a backlog drains, what memory that takes, and what local clients feel of it.

use super::broker::Broker;
use super::load::Client;
use super::options::Options;
use super::report::Report;
use super::slow::Syncs;
use super::stats::{Series, quantile, short};
use super::upstream::{Load, World, create_topic, flush, now_ms, send};
use ottla::client::messages::ByTopic;
use ottla::client::messages::fetch::{FetchPartition, FetchRequest};
use ottla::client::messages::produce::{PartitionBatch, ProduceRequest};
use ottla::wire::ErrorCode;
use ottla::wire::record::BatchBuilder;
use rdkafka::producer::BaseProducer;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// What librdkafka must be told to be as careful as the forwarder.
const IDEMPOTENT: &[(&str, &str)] = &[("enable.idempotence", "true")];
/// Partitions of the backlog.
const PARTITIONS: i32 = 4;
/// The topic of the local clients, which is not forwarded.
const LOCAL: &str = "local";
/// How long to look at what a process has in memory when it does nothing.
const REST: Duration = Duration::from_secs(1);
/// Pause between two local requests.
const PACE: Duration = Duration::from_millis(5);

/// What the backlog is made of.
#[derive(Clone, Copy)]
struct Backlog {
    name: &'static str,
    record_bytes: usize,
    records_per_batch: usize,
    bytes: usize,
}

/// What a gateway collects from programs, and what it collects from sensors.
const BACKLOGS: [Backlog; 2] = [
    Backlog {
        name: "1 KiB in 16 KiB",
        record_bytes: 1024,
        records_per_batch: 15,
        bytes: 200_000_000,
    },
    Backlog { name: "100 B alone", record_bytes: 100, records_per_batch: 1, bytes: 40_000_000 },
];

impl Backlog {
    fn value(&self) -> Vec<u8> {
        (0..self.record_bytes).map(|at| (at * 31 % 251) as u8).collect()
    }

    /// Rounds of one batch per partition.
    fn rounds(&self, options: &Options) -> usize {
        let bytes = if options.quick { self.bytes / 10 } else { self.bytes };
        bytes / (self.record_bytes * self.records_per_batch * PARTITIONS as usize)
    }

    fn records(&self, options: &Options) -> u64 {
        (self.rounds(options) * self.records_per_batch * PARTITIONS as usize) as u64
    }

    /// A gateway that does not forward yet, and has it.
    fn collect(&self, world: &World, topic: &str, options: &Options) -> Broker {
        let broker = world.ottla.start(&world.data, Syncs::Own);
        let mut client = Client::connect(broker.address);
        create_topic(&mut client, topic, PARTITIONS);
        create_topic(&mut client, LOCAL, 1);
        let (now, value) = (now_ms(), self.value());
        let batch = || {
            let mut builder = BatchBuilder::new(now);
            (0..self.records_per_batch).for_each(|_| builder.push(now, None, Some(&value), &[]));
            builder.finish()
        };
        let batches: Vec<Vec<u8>> = (0..PARTITIONS).map(|_| batch()).collect();
        let request = Load::request(topic, &batches, 1);
        let mut load = Load::on(&broker);
        (0..self.rounds(options)).for_each(|_| load.send(&request));
        load.finish();
        // Everything must be durable, or the restart would lose it.
        sleep(REST);
        broker
    }

    /// Bytes per second of a librdkafka producer with the same records.
    fn by_librdkafka(&self, world: &World, topic: &str, options: &Options) -> f64 {
        world.create_topic(topic, PARTITIONS);
        let records = self.records(options);
        let producer = world.librdkafka(IDEMPOTENT);
        // It connects and learns who leads before the clock starts; the gateway does so after.
        send(&producer, topic, 0, &self.value());
        flush(&producer);
        let began = Instant::now();
        self.feed(&producer, topic, records);
        let seconds = began.elapsed().as_secs_f64();
        world.wait_for(topic, PARTITIONS, records + 1);
        records as f64 * self.record_bytes as f64 / seconds
    }

    fn feed(&self, producer: &BaseProducer, topic: &str, records: u64) {
        let value = self.value();
        for number in 0..records {
            send(producer, topic, (number % PARTITIONS as u64) as i32, &value);
            if number % 1024 == 0 {
                producer.poll(Duration::ZERO);
            }
        }
        flush(producer);
    }
}

/// One contender's figures.
#[derive(Default)]
struct Measured {
    ottla: Series,
    librdkafka: Series,
    share: Series,
    resident: [Series; 2],
    peak: [Series; 2],
}

fn measure(backlog: &Backlog, round: usize, world: &World, options: &Options, into: &mut Measured) {
    let topic = format!("drain-{}-{round}", backlog.record_bytes);
    let librdkafka = backlog.by_librdkafka(world, &format!("{topic}-librdkafka"), options);
    world.create_topic(&topic, PARTITIONS);
    let broker = backlog.collect(world, &topic, options);
    // The same data, opened by one that does not forward, and by one that does.
    let still = world.ottla.restart(broker, Syncs::Own);
    sleep(REST);
    into.resident[0].push(still.status("VmRSS") as f64);
    into.peak[0].push(still.status("VmHWM") as f64);
    let began = Instant::now();
    let broker = world.forwarding(&topic, &[]).restart(still, Syncs::Own);
    world.wait_for(&topic, PARTITIONS, backlog.records(options));
    let bytes = backlog.records(options) as f64 * backlog.record_bytes as f64;
    let ottla = bytes / began.elapsed().as_secs_f64();
    sleep(REST);
    into.resident[1].push(broker.status("VmRSS") as f64);
    into.peak[1].push(broker.status("VmHWM") as f64);
    into.ottla.push(ottla / 1e6);
    into.librdkafka.push(librdkafka / 1e6);
    into.share.push(100.0 * ottla / librdkafka);
}

/// Runs the section on the drain rate and the memory.
pub fn run(options: &Options, world: &World, report: &mut Report) {
    report.say("## A backlog drains");
    report.say(
        "Four partitions, one upstream broker on the same machine, no codec. MB/s of values from \
         the start of the process until the last record is upstream; librdkafka is idempotent, \
         otherwise as it comes, and connected before its time begins. Memory in KiB: the \
         same data opened by an ottla that does not forward, and by the one that has drained it.",
    );
    let mut rows = Vec::new();
    for backlog in &BACKLOGS {
        let mut measured = Measured::default();
        // Kafka's compiler gets warm.
        backlog.by_librdkafka(world, &format!("warm-{}", backlog.record_bytes), options);
        for round in 0..options.rounds.min(3) {
            measure(backlog, round, world, options, &mut measured);
        }
        rows.push(vec![
            backlog.name.to_owned(),
            measured.ottla.to_string(),
            measured.librdkafka.to_string(),
            measured.share.to_string(),
            format!("{:.0} → {:.0}", measured.resident[0].median(), measured.resident[1].median()),
            format!("{:.0} → {:.0}", measured.peak[0].median(), measured.peak[1].median()),
        ]);
    }
    let head = ["backlog", "ottla", "librdkafka", "share, %", "VmRSS", "VmHWM"];
    report.table(&head, &rows);
}

/// Seconds that local requests took.
#[derive(Default)]
struct Felt {
    produce: Vec<f64>,
    fetch: Vec<f64>,
}

/// Asks a broker while `goes_on` says so: one durable record, and that record back.
fn feel(broker: &Broker, mut goes_on: impl FnMut() -> bool) -> Felt {
    let mut client = Client::connect(broker.address);
    let mut felt = Felt::default();
    while goes_on() {
        let now = now_ms();
        let mut builder = BatchBuilder::new(now);
        builder.push(now, None, Some(&[b'x'; 100]), &[]);
        let records = builder.finish();
        let topics = ByTopic::group([(LOCAL, PartitionBatch { index: 0, records: &records })]);
        let began = Instant::now();
        let request = ProduceRequest { acks: -1, timeout_ms: 30_000, topics };
        let answer = client.ask(&request, 9);
        felt.produce.push(began.elapsed().as_secs_f64());
        let produced = &answer[0].partitions[0];
        assert_eq!(produced.error_code, ErrorCode::None);
        let fetch = FetchPartition {
            partition: 0,
            fetch_offset: produced.base_offset,
            partition_max_bytes: 1 << 20,
        };
        let topics = ByTopic::group([(LOCAL, fetch)]);
        let request = FetchRequest {
            max_wait_ms: 1000,
            min_bytes: 1,
            max_bytes: 1 << 20,
            isolation_level: 0,
            topics,
        };
        let began = Instant::now();
        let answer = client.ask(&request, 11);
        felt.fetch.push(began.elapsed().as_secs_f64());
        assert!(!answer.topics[0].partitions[0].records.is_empty(), "the record is there");
        sleep(PACE);
    }
    felt
}

/// Runs the section on what local clients feel.
pub fn run_felt(options: &Options, world: &World, report: &mut Report) {
    report.say("## Local clients while a backlog drains");
    report.say(
        "One local client: a record of 100 B with acks=all (the disk's sync is in it), and the \
         fetch of that record; in ms. Kafka, the proxy and the bench share the processors with \
         the gateway, so the same feed by librdkafka past a gateway that does not forward stands \
         beside it.",
    );
    let backlog = &BACKLOGS[0];
    let records = backlog.records(options);
    let mut rows = Vec::new();
    let mut row = |name: &str, felt: &Felt| {
        let ms = |values: &[f64], share| short(quantile(values, share) * 1e3);
        let mut cells = vec![name.to_owned(), felt.produce.len().to_string()];
        for values in [&felt.produce, &felt.fetch] {
            cells.extend([0.5, 0.99].map(|share| ms(values, share)));
        }
        rows.push(cells);
    };
    let topic = "felt";
    world.create_topic(topic, PARTITIONS);
    let broker = world.ottla.restart(backlog.collect(world, topic, options), Syncs::Own);
    let began = Instant::now();
    let time = Duration::from_secs_f64(2.0 * options.seconds);
    row("at rest, not forwarding", &feel(&broker, || began.elapsed() < time));
    world.create_topic("felt-beside", PARTITIONS);
    let fed = AtomicBool::new(false);
    let producer = world.librdkafka(IDEMPOTENT);
    let felt = std::thread::scope(|scope| {
        scope.spawn(|| {
            backlog.feed(&producer, "felt-beside", records);
            fed.store(true, Ordering::Relaxed);
        });
        feel(&broker, || !fed.load(Ordering::Relaxed))
    });
    row("librdkafka feeds Kafka beside it", &felt);
    // Each goes on with what the one before has left.
    let broker = world
        .forwarding(topic, &["forward.bandwidth.bytes.per.second=1000000"])
        .restart(broker, Syncs::Own);
    let began = Instant::now();
    row("draining, 1 MB/s allowed", &feel(&broker, || began.elapsed() < time));
    let broker = world.forwarding(topic, &[]).restart(broker, Syncs::Own);
    let mut looked = Instant::now();
    let drains = || {
        if looked.elapsed() < REST / 10 {
            return true;
        }
        looked = Instant::now();
        world.arrived(topic, PARTITIONS) < records
    };
    row("draining, as fast as it can", &feel(&broker, drains));
    let head = ["", "requests", "produce p50", "p99", "fetch p50", "p99"];
    report.table(&head, &rows);
}
