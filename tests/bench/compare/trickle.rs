//! Fifty sensors with a record each per second: what that costs a flash chip.

use super::broker::{Broker, Contender};
use super::device::Device;
use super::load::{Batch, Client};
use super::options::Options;
use super::report::{Report, settings_of};
use super::slow::Syncs;
use super::stats::{Series, quantile, short};
use std::io::Write;
use std::time::{Duration, Instant};

/// Topics, each of which gets a record per second.
const TOPICS: usize = 50;
/// Bytes of a record.
const RECORD_BYTES: usize = 200;
/// Settings that trade for flash: latency (how long a sync is put off to be shared), or the last
/// second.
const SPARING: [&str; 2] = ["log.flush.pause.ms=100", "log.sync=interval"];

/// A broker on a device of its own, and its topics.
struct Place {
    broker: Broker,
    topics: Vec<String>,
    // Goes last: a device in use cannot be unmounted.
    device: Option<Device>,
}

impl Place {
    /// Bytes and flushes of the device; bytes of the process alone if there is none.
    fn done(&self) -> [f64; 2] {
        match &self.device {
            Some(device) => {
                let done = device.done();
                [done.bytes as f64, done.flushes as f64]
            }
            None => [self.broker.written() as f64, f64::NAN],
        }
    }
}

/// One contender's rounds.
#[derive(Default)]
struct Measured {
    bytes_per_byte: Series,
    flushes: Series,
    syncs: Series,
    cpu: Series,
    latencies: Vec<f64>,
}

fn places(options: &Options, contenders: &[Contender], syncs: Syncs) -> Vec<Place> {
    let start = |contender: &Contender| {
        let device = Device::create(&options.data);
        let directory = device.as_ref().map_or(&*options.data, Device::path);
        Place { broker: contender.start(directory, syncs), topics: Vec::new(), device }
    };
    let mut places = Vec::new();
    for contender in contenders {
        places.push(start(contender));
        if contender.is_kafka {
            let mut place = start(contender);
            place.broker = place.broker.synced();
            places.push(place);
        }
        for setting in SPARING {
            let Some(contender) = contender.with(setting) else { continue };
            let mut place = start(&contender);
            place.broker.name = format!("{}, {setting}", place.broker.name);
            places.extend((!place.broker.ignores_a_setting()).then_some(place));
        }
    }
    for Place { broker, topics, .. } in &mut places {
        let mut client = Client::connect(broker.address);
        topics.extend((0..TOPICS).map(|_| client.create_topic(broker.topic_settings)));
    }
    places
}

/// Sends the records, evenly spread over each second; seconds until each was acknowledged.
fn send(place: &Place, seconds: usize) -> Vec<f64> {
    let batch = Batch::of_records(1, RECORD_BYTES);
    let started = Instant::now();
    std::thread::scope(|scope| {
        let sensor = |(at, topic): (usize, &String)| {
            let request = batch.request(topic, -1);
            let mut client = Client::connect(place.broker.address);
            scope.spawn(move || {
                let (mut answer, mut latencies) = (Vec::new(), Vec::new());
                for second in 0..seconds {
                    let due = Duration::from_millis((second * 1000 + at * 1000 / TOPICS) as u64);
                    std::thread::sleep(due.saturating_sub(started.elapsed()));
                    let sent = Instant::now();
                    client.socket.write_all(&request).expect("the broker reads");
                    client.receive(&mut answer).expect("an answer");
                    latencies.push(sent.elapsed().as_secs_f64());
                }
                latencies
            })
        };
        let sensors: Vec<_> = place.topics.iter().enumerate().map(sensor).collect();
        sensors.into_iter().flat_map(|sensor| sensor.join().expect("it ends")).collect()
    })
}

fn measure(place: &Place, seconds: usize, into: &mut Measured) {
    let [bytes, flushes] = place.done();
    let (cpu, syncs) = (place.broker.cpu(), place.broker.syncs());
    into.latencies.extend(send(place, seconds));
    let records = (TOPICS * seconds) as f64;
    into.cpu.push(cpu.until(&place.broker.cpu()) / records);
    into.syncs.push((place.broker.syncs() - syncs) as f64 / seconds as f64);
    let [bytes_after, flushes_after] = place.done();
    into.bytes_per_byte.push((bytes_after - bytes) / (records * RECORD_BYTES as f64));
    into.flushes.push((flushes_after - flushes) / seconds as f64);
}

/// Runs the section.
pub fn run(options: &Options, contenders: &[Contender], report: &mut Report) {
    let seconds = if options.quick { 4 } else { 20 };
    let syncs = if Syncs::Counted.is_possible() { Syncs::Counted } else { Syncs::Own };
    let places = places(options, contenders, syncs);
    report.say("## Fifty topics, a record of 200 B each per second");
    report.say(&format!(
        "acks=all, {seconds} s, every topic at its own moment of the second. {}",
        device_sentence(places.iter().all(|place| place.device.is_some()))
    ));
    let mut measured: Vec<Measured> = places.iter().map(|_| Measured::default()).collect();
    for _ in 0..options.rounds.min(3) {
        for (place, into) in places.iter().zip(&mut measured) {
            measure(place, seconds, into);
        }
    }
    figures(&places, &measured, report);
    let row = |(place, measured): (&Place, &Measured)| {
        let ms = |share| short(quantile(&measured.latencies, share) * 1e3);
        vec![
            place.broker.name.clone(),
            measured.bytes_per_byte.to_string(),
            measured.syncs.to_string(),
            measured.flushes.to_string(),
            ms(0.5),
            ms(0.99),
            measured.cpu.scaled(1e-3).to_string(),
        ]
    };
    let rows: Vec<Vec<String>> = places.iter().zip(&measured).map(row).collect();
    report.table(
        &[
            "broker",
            "device bytes per payload byte",
            "syncs/s",
            "flushes/s",
            "p50, ms",
            "p99, ms",
            "µs CPU/record",
        ],
        &rows,
    );
}

fn device_sentence(has_devices: bool) -> &'static str {
    if has_devices {
        "Bytes are those that reached a loop device with ext4 of the broker's own, with what was \
         left in memory at the end."
    } else {
        "Without the right to mount a device: bytes are those that the kernel counts for the \
         process (write_bytes), without the file system's own."
    }
}

/// The README's lines: one for each ottla.
fn figures(places: &[Place], all: &[Measured], report: &mut Report) {
    let both = || places.iter().map(|place| &place.broker).zip(all);
    let figure = |measured: &Measured| short(measured.bytes_per_byte.median());
    let kafka: Vec<String> = both()
        .filter(|(broker, _)| broker.is_kafka)
        .map(|(broker, measured)| format!("{}{}", figure(measured), settings_of(broker)))
        .collect();
    for (broker, measured) in both().filter(|(broker, _)| !broker.is_kafka) {
        let name = broker.name.strip_prefix("ottla").unwrap_or_default();
        report.figure(
            "50 topics × 1 record of 200 B per second: device bytes per payload byte".to_owned(),
            format!("{}{name}", figure(measured)),
            (!kafka.is_empty()).then(|| kafka.join("; ")),
        );
    }
}
