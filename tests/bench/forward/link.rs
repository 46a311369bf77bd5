//! Bytes on the link per record of 100 B that a sensor sends in a batch of its own.

use super::broker::Broker;
use super::load::Client;
use super::options::Options;
use super::report::Report;
use super::slow::Syncs;
use super::stats::{Series, short};
use super::upstream::{Load, World, create_topic, flush, now_ms, reading, send};
use ottla::wire::record::BatchBuilder;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Records per second: `linger.ms=100` gathers a hundred.
const RECORDS_PER_SECOND: u64 = 1000;
/// The codecs, as both sides call them.
const CODECS: [&str; 4] = ["none", "gzip", "lz4", "zstd"];
/// How long the link must be silent to count as at rest.
const REST: Duration = Duration::from_millis(500);

/// Calls `each` for as many records as the time has, each at its moment.
fn paced(records: u64, mut each: impl FnMut(u64)) {
    let began = Instant::now();
    for number in 0..records {
        let due = Duration::from_micros(number * 1_000_000 / RECORDS_PER_SECOND);
        sleep(due.saturating_sub(began.elapsed()));
        each(number);
    }
}

/// One sensor's batch of one record.
fn batch(number: u64) -> Vec<u8> {
    let now = now_ms();
    let mut builder = BatchBuilder::new(now);
    builder.push(now, None, Some(&reading(number)), &[]);
    builder.finish()
}

/// Bytes per record that `work` has caused, up and down; it sends `records`.
fn per_record(world: &World, records: u64, work: impl FnOnce()) -> [f64; 2] {
    sleep(REST);
    let before = world.proxy.counts();
    work();
    sleep(REST);
    let after = world.proxy.counts();
    [0, 1].map(|way| (after[way] - before[way]) as f64 / records as f64)
}

fn by_ottla(world: &World, topic: &str, codec: &str, records: u64) -> [f64; 2] {
    let codec = if codec == "none" { "producer" } else { codec };
    let compression = format!("forward.compression.type={codec}");
    let gateway = world.forwarding(topic, &["forward.linger.ms=100", &compression]);
    let broker: Broker = gateway.start(&world.data, Syncs::Own);
    create_topic(&mut Client::connect(broker.address), topic, 1);
    let mut load = Load::on(&broker);
    // The first one makes both sides acquainted, which is not paid per record.
    load.send(&Load::request(topic, &[batch(0)], -1));
    load.finish();
    world.wait_for(topic, 1, 1);
    per_record(world, records, || {
        paced(records, |number| load.send(&Load::request(topic, &[batch(number)], -1)));
        load.finish();
        world.wait_for(topic, 1, records + 1);
    })
}

fn by_librdkafka(world: &World, topic: &str, codec: &str, records: u64) -> [f64; 2] {
    let producer = world.librdkafka(&[("linger.ms", "100"), ("compression.type", codec)]);
    send(&producer, topic, 0, &reading(0));
    flush(&producer);
    per_record(world, records, || {
        paced(records, |number| send(&producer, topic, 0, &reading(number)));
        flush(&producer);
        world.wait_for(topic, 1, records + 1);
    })
}

/// Runs the section.
pub fn run(options: &Options, world: &World, report: &mut Report) {
    let records = if options.quick { 1_500 } else { 5_000 };
    report.say("## Bytes on the link per record");
    report.say(&format!(
        "One sensor, {records} records of 100 B at {RECORDS_PER_SECOND} a second, each in a batch \
         of its own, with acks=all (others are durable, and forwarded, up to log.flush.interval.ms \
         later); linger 100 ms on both sides. Bytes of the TCP streams, requests (up) and \
         answers (down)."
    ));
    let mut rows = Vec::new();
    for codec in CODECS {
        let mut measured: [Series; 5] = Default::default();
        for round in 0..options.rounds.min(3) {
            let topic = |who: &str| format!("link-{codec}-{round}-{who}");
            let (ours, theirs) = (topic("ottla"), topic("librdkafka"));
            world.create_topic(&ours, 1);
            world.create_topic(&theirs, 1);
            let ours = by_ottla(world, &ours, codec, records);
            let theirs = by_librdkafka(world, &theirs, codec, records);
            let figures = [ours[0], theirs[0], ours[0] / theirs[0], ours[1], theirs[1]];
            measured.iter_mut().zip(figures).for_each(|(series, figure)| series.push(figure));
        }
        let mut row = vec![codec.to_owned()];
        row.extend(measured.iter().map(|series| short(series.median())));
        rows.push(row);
    }
    report.table(
        &["codec", "ottla up", "librdkafka up", "ratio", "ottla down", "librdkafka down"],
        &rows,
    );
}
