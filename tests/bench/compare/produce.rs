//! Produce: what a batch costs the broker, beside what the machine takes for its bytes alone.

use super::broker::{Broker, Contender, start_all};
use super::limit::{Work, receive};
use super::load::{Batch, Client};
use super::options::Options;
use super::plot::{Plot, Unit};
use super::report::Report;
use super::slow::Syncs;
use super::stats::{Series, bytes, short};
use super::warm::warm_up;
use std::path::Path;
use std::time::Duration;

/// Requests that are under way at once: `max.in.flight.requests.per.connection` of clients.
pub const IN_FLIGHT: usize = 5;

/// One shape of load.
struct Case {
    name: String,
    batch: Batch,
    acks: i16,
    in_flight: usize,
}

impl Case {
    fn records(records: usize, record_bytes: usize, acks: i16) -> Case {
        let name = format!("{records} × {}, acks={}", bytes(record_bytes), acks_name(acks));
        let batch = Batch::of_records(records, record_bytes);
        Case { name, batch, acks, in_flight: IN_FLIGHT }
    }

    fn bytes(batch_bytes: usize, record_bytes: usize, acks: i16) -> Case {
        let (size, record) = (bytes(batch_bytes), bytes(record_bytes));
        let name = format!("{size} of {record}, acks={}", acks_name(acks));
        let batch = Batch::of_bytes(batch_bytes, record_bytes);
        Case { name, batch, acks, in_flight: IN_FLIGHT }
    }
}

fn acks_name(acks: i16) -> String {
    if acks == -1 { "all".to_owned() } else { acks.to_string() }
}

fn cases(quick: bool) -> Vec<Case> {
    let mut alone = Case::records(1, 100, 1);
    alone.in_flight = 1;
    alone.name.push_str(", one in flight");
    let mut cases = vec![alone];
    let counts: &[usize] = if quick { &[1, 10] } else { &[1, 10, 100] };
    let acks: &[i16] = if quick { &[1] } else { &[1, -1] };
    for acks in acks.iter().copied() {
        for record_bytes in [100, 1024] {
            let of = |records: &usize| Case::records(*records, record_bytes, acks);
            cases.extend(counts.iter().filter(|count| !quick || **count < 1024).map(of));
        }
        cases.push(Case::bytes(16 << 10, 100, acks));
        cases.push(Case::bytes(16 << 10, 1024, acks));
        cases.push(Case::bytes(256 << 10, 1024, acks));
    }
    cases
}

/// One contender's rounds of one case.
#[derive(Default)]
struct Measured {
    cpu_per_request: Series,
    requests_per_second: Series,
}

fn measure(broker: &Broker, case: &Case, time: Duration, into: &mut Measured) {
    let mut client = Client::connect(broker.address);
    let topic = client.create_topic(broker.topic_settings);
    let request = case.batch.request(&topic, case.acks);
    // The first requests make the topic's files, and tell the JVM what is hot.
    client.pipeline(&request, case.in_flight, time / 10);
    let before = broker.cpu();
    let sent = client.pipeline(&request, case.in_flight, time);
    let spent = before.until(&broker.cpu());
    into.cpu_per_request.push(spent / sent.requests as f64);
    into.requests_per_second.push(sent.requests as f64 / sent.seconds);
    client.delete_topic(&topic);
}

/// The limits of one batch size, round by round.
struct Limits {
    one_write: Series,
    two_writes: Series,
    hardware: Series,
    answered: Series,
}

impl Limits {
    fn new() -> Limits {
        let none = Series::default;
        Limits { one_write: none(), two_writes: none(), hardware: none(), answered: none() }
    }

    fn round(&mut self, batch: &[u8], directory: &Path, time: Duration) {
        let ours = Work { crc: Some(ottla::wire::crc::crc32c), writes: 1, answers: false };
        let run = |work| receive(batch, work, directory, time);
        self.one_write.push(run(ours));
        self.two_writes.push(run(Work { writes: 2, ..ours }));
        self.hardware.push(run(Work { crc: Some(crc32c::crc32c), writes: 2, ..ours }));
        self.answered.push(run(Work { writes: 2, answers: true, ..ours }));
    }
}

/// Runs the section.
pub fn run(options: &Options, contenders: &[Contender], report: &mut Report) {
    report.say("## Produce");
    report.say(
        "CPU time of the broker alone. One connection, five requests in flight unless said \
         otherwise, each a write of its own. The limits are one blocking thread: receive a batch, \
         CRC-32C, write it to a file that grows (and to a ring of 8 MiB), with the broker's own \
         CRC code unless said otherwise; no answers are sent but in the last column.",
    );
    let brokers = start_all(contenders, &options.data, Syncs::Own);
    brokers.iter().for_each(|broker| warm_up(broker, options));
    let time = Duration::from_secs_f64(options.seconds);
    let (mut limit_rows, mut rows) = (Vec::new(), Vec::new());
    let mut plots = Plots::new();
    for case in cases(options.quick) {
        let mut limits = Limits::new();
        let mut measured: Vec<Measured> = brokers.iter().map(|_| Measured::default()).collect();
        for _ in 0..options.rounds {
            limits.round(&case.batch.bytes, &options.data, time / 4);
            for (broker, into) in brokers.iter().zip(&mut measured) {
                measure(broker, &case, time, into);
            }
        }
        limit_rows.push(limit_row(&case, &limits));
        for (at, broker) in brokers.iter().enumerate() {
            rows.push(row(&case, broker, &measured, at, &limits));
        }
        plots.points(&case, &brokers, &measured, &limits);
        figures(&case, &brokers, &measured, &limits, report);
        eprintln!("{}: {} µs", case.name, measured[0].cpu_per_request.scaled(1e-3));
    }
    report.table(
        &["limit, ns/byte", "bytes", "one write", "two writes", "CRC instruction", "answers"],
        &limit_rows,
    );
    report.table(
        &[
            "batch",
            "broker",
            "µs/request",
            "ns/byte",
            "× one write",
            "× two writes",
            "× ottla",
            "MB/s",
            "records/s",
        ],
        &rows,
    );
    report.plot(plots.rate);
    report.plot(plots.cpu);
}

/// Two charts over the size of a batch, acks=1, five requests in flight.
struct Plots {
    rate: Plot,
    cpu: Plot,
}

impl Plots {
    fn new() -> Plots {
        let plot = |file, title: &str| Plot::new(file, title.to_owned(), "batch", Unit::Bytes);
        Plots {
            rate: plot("produce-rate.svg", "Produce, acks=1: MB/s of one connection"),
            cpu: plot("produce-cpu.svg", "Produce, acks=1: MB per second of the broker's CPU time"),
        }
    }

    fn points(&mut self, case: &Case, brokers: &[Broker], all: &[Measured], limits: &Limits) {
        if case.acks != 1 || case.in_flight == 1 {
            return;
        }
        let size = case.batch.bytes.len() as f64;
        for (broker, measured) in brokers.iter().zip(all) {
            let rate = measured.requests_per_second.median();
            self.rate.point(&broker.name, size, rate * size / 1e6);
            self.cpu.point(&broker.name, size, size * 1e3 / measured.cpu_per_request.median());
        }
        let limit = "receive, CRC, two writes";
        self.cpu.point(limit, size, size * 1e3 / limits.two_writes.median());
    }
}

/// The README's lines.
fn figures(
    case: &Case,
    brokers: &[Broker],
    all: &[Measured],
    limits: &Limits,
    report: &mut Report,
) {
    if case.acks != 1 || case.in_flight == 1 {
        return;
    }
    let ours = &all[0].cpu_per_request;
    let kafka = brokers.iter().position(|broker| broker.is_kafka);
    let kafka = kafka.map(|at| {
        format!("{} × ottla's CPU time", short(all[at].cpu_per_request.ratio(ours).median()))
    });
    let size = case.batch.bytes.len();
    let beside = |limit: &Series, name| {
        format!("{} × the CPU time of receive + CRC + {name}", short(ours.ratio(limit).median()))
    };
    let figure = match size {
        0..200 => format!("{} µs of CPU time", short(ours.median() / 1e3)),
        15_000..20_000 if case.batch.records < 20 => beside(&limits.two_writes, "two writes"),
        200_000.. => beside(&limits.one_write, "one write"),
        _ => return,
    };
    report.figure(format!("produce, {}", case.name), figure, kafka);
}

fn limit_row(case: &Case, limits: &Limits) -> Vec<String> {
    let size = case.batch.bytes.len();
    let per_byte = |series: &Series| series.scaled(1.0 / size as f64).to_string();
    vec![
        case.name.clone(),
        size.to_string(),
        per_byte(&limits.one_write),
        per_byte(&limits.two_writes),
        per_byte(&limits.hardware),
        per_byte(&limits.answered),
    ]
}

fn row(case: &Case, broker: &Broker, all: &[Measured], at: usize, limits: &Limits) -> Vec<String> {
    let size = case.batch.bytes.len() as f64;
    let Measured { cpu_per_request, requests_per_second } = &all[at];
    vec![
        case.name.clone(),
        broker.name.clone(),
        cpu_per_request.scaled(1e-3).to_string(),
        cpu_per_request.scaled(1.0 / size).to_string(),
        cpu_per_request.ratio(&limits.one_write).to_string(),
        cpu_per_request.ratio(&limits.two_writes).to_string(),
        cpu_per_request.ratio(&all[0].cpu_per_request).to_string(),
        requests_per_second.scaled(size / 1e6).to_string(),
        requests_per_second.scaled(case.batch.records as f64).to_string(),
    ]
}
