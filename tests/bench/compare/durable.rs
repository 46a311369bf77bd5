//! Durable produce: clients that wait for each record's sync, on an ordinary and on a slow disk.

use super::broker::{Broker, Contender, start_all};
use super::load::{Answers, Batch, Client};
use super::options::Options;
use super::plot::{Plot, Unit};
use super::report::{Report, settings_of};
use super::slow::{Syncs, memory_directory};
use super::stats::{Series, quantile, short};
use super::warm::warm_up;
use mio::{Events, Interest, Poll, Token};
use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

/// Milliseconds of a sync on the slow disk: an ordinary SD card.
const SLOW_SYNC_MS: u32 = 10;

/// One shape of load.
#[derive(Clone, Copy, Debug)]
struct Case {
    clients: usize,
    in_flight: usize,
    topics: usize,
}

impl Case {
    fn name(&self) -> String {
        let clients = match self.clients {
            1 => "1 client".to_owned(),
            many => format!("{many} clients"),
        };
        let each = match self.in_flight {
            1 => String::new(),
            many => format!(", {many} in flight"),
        };
        let topics = if self.topics > 1 { ", a topic each" } else { "" };
        format!("{clients}{each}{topics}")
    }

    fn under_way(&self) -> usize {
        self.clients * self.in_flight
    }
}

fn cases(quick: bool) -> Vec<Case> {
    let counts: &[usize] = if quick { &[1, 8, 32] } else { &[1, 4, 8, 16, 32, 64] };
    let of = |clients: &usize| Case { clients: *clients, in_flight: 1, topics: 1 };
    let mut cases: Vec<Case> = counts.iter().map(of).collect();
    cases.push(Case { clients: 1, in_flight: 8, topics: 1 });
    if !quick {
        cases.push(Case { clients: 16, in_flight: 1, topics: 16 });
    }
    cases
}

/// What the clients saw in one round.
struct Round {
    acknowledged: usize,
    seconds: f64,
    latencies: Vec<f64>,
}

/// A client of the closed loop.
struct Waiting {
    socket: mio::net::TcpStream,
    answers: Answers,
    request: Vec<u8>,
    /// When each request that is under way was sent, oldest first.
    sent: std::collections::VecDeque<Instant>,
}

impl Waiting {
    fn connect(address: SocketAddr, request: Vec<u8>) -> Waiting {
        let socket = Client::connect(address).socket;
        socket.set_nonblocking(true).expect("a socket");
        let socket = mio::net::TcpStream::from_std(socket);
        Waiting { socket, answers: Answers::default(), request, sent: Default::default() }
    }

    fn send(&mut self) {
        // A request of 200 bytes fits into an empty socket buffer.
        self.sent.push_back(Instant::now());
        self.socket.write_all(&self.request).expect("the broker reads");
    }
}

/// Runs the clients, all in one thread.
fn closed_loop(address: SocketAddr, case: Case, topics: &[String], time: Duration) -> Round {
    let batch = Batch::of_records(1, 100);
    let request = |at: usize| batch.request(&topics[at % topics.len()], -1);
    let mut clients: Vec<Waiting> =
        (0..case.clients).map(|at| Waiting::connect(address, request(at))).collect();
    let mut poll = Poll::new().expect("epoll");
    let mut events = Events::with_capacity(case.clients);
    for (at, client) in clients.iter_mut().enumerate() {
        let registry = poll.registry();
        registry.register(&mut client.socket, Token(at), Interest::READABLE).expect("epoll");
    }
    let settle = Instant::now() + time / 5;
    clients.iter_mut().for_each(|client| (0..case.in_flight).for_each(|_| client.send()));
    let mut round = Round { acknowledged: 0, seconds: 0.0, latencies: Vec::new() };
    let end = settle + time;
    while Instant::now() < end {
        poll.poll(&mut events, Some(Duration::from_millis(20))).expect("epoll");
        for event in &events {
            let client = &mut clients[event.token().0];
            for _ in 0..client.answers.read(&mut client.socket) {
                let sent = client.sent.pop_front().expect("it was sent");
                // What began before everybody was at it is not looked at.
                if sent >= settle {
                    round.latencies.push(sent.elapsed().as_secs_f64());
                }
                round.acknowledged += usize::from(Instant::now() >= settle);
                client.send();
            }
        }
    }
    round.seconds = time.as_secs_f64();
    round
}

/// One contender's rounds of one case.
#[derive(Default)]
struct Measured {
    per_second: Series,
    cpu: Series,
    syncs: Series,
    latencies: Vec<f64>,
}

fn measure(broker: &Broker, case: Case, time: Duration, into: &mut Measured) {
    let mut client = Client::connect(broker.address);
    let topics: Vec<String> =
        (0..case.topics).map(|_| client.create_topic(broker.topic_settings)).collect();
    let (before, syncs) = (broker.cpu(), broker.syncs());
    let round = closed_loop(broker.address, case, &topics, time);
    // The time before everybody was at it is in the CPU time, so divide by all of it.
    let share = 1.0 / 1.2;
    let spent = before.until(&broker.cpu()) * share;
    into.cpu.push(spent / round.acknowledged as f64);
    into.per_second.push(round.acknowledged as f64 / round.seconds);
    into.syncs.push((broker.syncs() - syncs) as f64 * share / round.seconds);
    into.latencies.extend(round.latencies);
    topics.iter().for_each(|topic| client.delete_topic(topic));
}

/// Runs the section.
pub fn run(options: &Options, contenders: &[Contender], report: &mut Report) {
    report.say("## Durable produce");
    report.say(
        "Each client has one request in flight unless said otherwise: one record of 100 B, \
         acks=all. K/d is what a perfect group commit gives to K clients on a disk whose sync \
         takes d; latencies are in sync times. Apache Kafka with its default settings \
         acknowledges before any sync. On the slow disk every fdatasync and fsync is held up by \
         strace, in a file system in memory.",
    );
    let slow = Syncs::Slow(SLOW_SYNC_MS);
    if slow.is_possible() {
        let directory = memory_directory(&options.data);
        disk(options, contenders, report, "10 ms", slow, &directory);
    } else {
        report.say("No slow disk: strace with --seccomp-bpf is not there, or not allowed.");
    }
    disk(options, contenders, report, "ordinary", Syncs::Own, &options.data);
}

fn disk(
    options: &Options,
    contenders: &[Contender],
    report: &mut Report,
    name: &str,
    syncs: Syncs,
    directory: &Path,
) {
    let time = Duration::from_secs_f64(options.seconds.max(0.5));
    let brokers = start_all(contenders, directory, syncs);
    brokers.iter().for_each(|broker| warm_up(broker, options));
    let title = format!("Durable produce on a disk whose sync takes {name}: acknowledged/s");
    let mut plot = Plot::new("durable.svg", title, "clients of one request in flight", Unit::Count);
    let (mut rows, mut sync_seconds) = (Vec::new(), Series::default());
    for case in cases(options.quick) {
        let mut measured: Vec<Measured> = brokers.iter().map(|_| Measured::default()).collect();
        let mut d = Series::default();
        for _ in 0..options.rounds {
            d.push(syncs.seconds(directory, time / 5));
            for (broker, into) in brokers.iter().zip(&mut measured) {
                measure(broker, case, time, into);
            }
        }
        sync_seconds.extend(&d);
        for (broker, measured) in brokers.iter().zip(&measured) {
            rows.push(row(case, broker, measured, &d, syncs != Syncs::Own));
        }
        if syncs != Syncs::Own {
            points(&mut plot, case, &brokers, &measured, &d);
        }
        if syncs != Syncs::Own && matches!(case, Case { clients: 32, topics: 1, .. }) {
            figures(&brokers, &measured, &d.scaled(1.0 / 32.0), report);
        }
        eprintln!("{name} disk, {}: {}/s", case.name(), measured[0].per_second);
    }
    report.say(&format!(
        "Disk: {name}; a sync of a small write takes {} ms.",
        sync_seconds.scaled(1e3)
    ));
    report.table(
        &[
            "clients",
            "broker",
            "acknowledged/s",
            "share of K/d",
            "p50, syncs",
            "p99, syncs",
            "µs CPU/record",
            "syncs/s",
        ],
        &rows,
    );
    if syncs != Syncs::Own {
        report.plot(plot);
    }
}

fn points(plot: &mut Plot, case: Case, brokers: &[Broker], all: &[Measured], d: &Series) {
    if case.in_flight > 1 || case.topics > 1 {
        return;
    }
    let clients = case.clients as f64;
    for (broker, measured) in brokers.iter().zip(all) {
        plot.point(&broker.name, clients, measured.per_second.median());
    }
    plot.point("K/d", clients, clients / d.median());
}

/// The README's line.
fn figures(brokers: &[Broker], all: &[Measured], ideal: &Series, report: &mut Report) {
    let share = |at: usize| all[at].per_second.times(ideal).median();
    let kafka = brokers.iter().position(|broker| !broker.topic_settings.is_empty());
    report.figure(
        format!("durable, 32 clients of one request in flight, a sync takes {SLOW_SYNC_MS} ms"),
        format!("{} of 32 per sync", short(share(0))),
        kafka.map(|at| format!("{} of 32 per sync{}", short(share(at)), settings_of(&brokers[at]))),
    );
}

fn row(case: Case, broker: &Broker, measured: &Measured, d: &Series, counted: bool) -> Vec<String> {
    let ideal: Series = d.scaled(1.0 / case.under_way() as f64);
    let in_syncs = |share| short(quantile(&measured.latencies, share) / d.median());
    vec![
        case.name(),
        broker.name.clone(),
        measured.per_second.to_string(),
        measured.per_second.times(&ideal).to_string(),
        in_syncs(0.5),
        in_syncs(0.99),
        measured.cpu.scaled(1e-3).to_string(),
        if counted { measured.syncs.to_string() } else { "–".to_owned() },
    ]
}
