//! What a broker takes while nothing happens, and for a thousand of something.

use super::broker::{Broker, Contender};
use super::load::{Batch, Client};
use super::options::Options;
use super::produce::IN_FLIGHT;
use super::report::Report;
use super::slow::Syncs;
use super::stats::{Series, short};
use super::warm::warm_up;
use std::time::Duration;

/// Steps at which connections and topics are looked at: a linear cost is the same in each.
const STEPS: [usize; 4] = [0, 250, 500, 1000];

/// Runs the section.
pub fn run(options: &Options, contenders: &[Contender], report: &mut Report) {
    ottla::disk::os::raise_descriptor_limit();
    starting(options, contenders, report);
    connections(options, contenders, report);
    topics(options, contenders, report);
}

fn starting(options: &Options, contenders: &[Contender], report: &mut Report) {
    report.say("## Starting and idling");
    report.say(
        "From exec to the first answer, on an empty directory and again after kill -9; then \
         nothing for some seconds.",
    );
    let seconds = if options.quick { 2.0 } else { 10.0 };
    let (mut rows, mut facts) = (Vec::new(), Vec::new());
    for contender in contenders {
        let [mut first, mut again] = [Series::default(), Series::default()];
        let mut last = None;
        let rounds = if contender.is_kafka { 1 } else { options.rounds };
        for _ in 0..rounds {
            let broker = contender.start(&options.data, Syncs::Own);
            first.push(broker.start.as_secs_f64() * 1e3);
            let broker = contender.restart(broker, Syncs::Own);
            again.push(broker.start.as_secs_f64() * 1e3);
            last = Some(broker);
        }
        let Some(broker) = last else { continue };
        std::thread::sleep(Duration::from_secs(2));
        let (cpu, wakes) = (broker.cpu(), broker.wakes());
        std::thread::sleep(Duration::from_secs_f64(seconds));
        let spent = cpu.until(&broker.cpu()) / 1e3 / seconds;
        let woken = (broker.wakes() - wakes) as f64 / seconds;
        let peak = after_load(&broker, options);
        facts.push([first.median(), woken, spent, peak].map(short));
        rows.push(vec![
            contender.name.clone(),
            first.to_string(),
            again.to_string(),
            short(woken),
            short(spent),
            short(broker.status("VmRSS") as f64 / 1024.0),
            short(broker.status("RssAnon") as f64 / 1024.0),
            short(peak),
        ]);
    }
    let kafka = contenders.iter().position(|contender| contender.is_kafka);
    let names = [
        "from exec to the first answer, ms",
        "wakes per second, idle",
        "µs of CPU time per second, idle",
        "MiB of memory at most, after load",
    ];
    for (at, name) in names.into_iter().enumerate() {
        let kafka = kafka.map(|kafka| facts[kafka][at].clone());
        report.figure(name.to_owned(), facts[0][at].clone(), kafka);
    }
    report.table(
        &[
            "broker",
            "first start, ms",
            "again, ms",
            "wakes/s",
            "µs CPU/s",
            "resident, MiB",
            "of that its own",
            "peak after load, MiB",
        ],
        &rows,
    );
}

/// MiB of `VmHWM` after large and small batches.
fn after_load(broker: &Broker, options: &Options) -> f64 {
    warm_up(broker, options);
    let mut client = Client::connect(broker.address);
    let topic = client.create_topic(&[]);
    for batch in [Batch::of_records(1, 100), Batch::of_bytes(256 << 10, 1024)] {
        let request = batch.request(&topic, -1);
        client.pipeline(&request, IN_FLIGHT, Duration::from_secs_f64(options.seconds));
    }
    broker.status("VmHWM") as f64 / 1024.0
}

/// What one step cost: KiB of memory and µs of CPU time for each of what was added.
struct Step {
    memory: f64,
    cpu: f64,
}

fn step(broker: &Broker, added: usize, add: impl FnOnce()) -> Step {
    let (cpu, memory) = (broker.cpu(), broker.status("VmRSS"));
    add();
    let added = added as f64;
    let cpu = cpu.until(&broker.cpu()) / added / 1e3;
    Step { memory: (broker.status("VmRSS") as f64 - memory as f64) / added, cpu }
}

fn step_cells(name: &str, what: String, step: &Step, request: f64) -> Vec<String> {
    vec![name.to_owned(), what, short(step.memory), short(step.cpu), short(request)]
}

/// µs of CPU time of a request with one record, while whatever there is stands by.
fn one_record(broker: &Broker, topic: &str, time: Duration) -> f64 {
    let mut client = Client::connect(broker.address);
    let request = Batch::of_records(1, 100).request(topic, 1);
    let before = broker.cpu();
    let sent = client.pipeline(&request, IN_FLIGHT, time);
    before.until(&broker.cpu()) / sent.requests as f64 / 1e3
}

fn connections(options: &Options, contenders: &[Contender], report: &mut Report) {
    report.say("## A thousand connections");
    report.say(
        "Each has asked for the metadata once and stays open. The last column is what a produce \
         request of one record costs while they are.",
    );
    let time = Duration::from_secs_f64(options.seconds);
    let mut rows = Vec::new();
    for contender in contenders {
        let more = contender.with("max.connections=1100");
        let broker = more.as_ref().unwrap_or(contender).start(&options.data, Syncs::Own);
        warm_up(&broker, options);
        let topic = Client::connect(broker.address).create_topic(&[]);
        one_record(&broker, &topic, time);
        let mut open = Vec::new();
        for pair in STEPS.windows(2) {
            let cost = step(&broker, pair[1] - pair[0], || {
                open.extend((pair[0]..pair[1]).map(|_| Client::connect(broker.address)));
            });
            let request = one_record(&broker, &topic, time);
            let what = format!("{} to {}", pair[0], pair[1]);
            rows.push(step_cells(&contender.name, what, &cost, request));
        }
    }
    report
        .table(&["broker", "connections", "KiB each", "µs CPU each", "µs CPU per request"], &rows);
}

fn topics(options: &Options, contenders: &[Contender], report: &mut Report) {
    report.say("## A thousand topics");
    report.say(
        "Created one by one, each with a first record. The last column is what a produce request \
         of one record costs while they are there.",
    );
    let time = Duration::from_secs_f64(options.seconds);
    let (mut rows, mut starts) = (Vec::new(), Vec::new());
    for contender in contenders {
        // With a desktop's board: a gateway's has no room for so many.
        let more = contender.with("max.connections=1000");
        let broker = more.as_ref().unwrap_or(contender).start(&options.data, Syncs::Own);
        warm_up(&broker, options);
        let mut client = Client::connect(broker.address);
        let topic = client.create_topic(&[]);
        one_record(&broker, &topic, time);
        for pair in STEPS.windows(2) {
            let cost = step(&broker, pair[1] - pair[0], || {
                (pair[0]..pair[1]).for_each(|_| drop(client.create_topic(&[])));
            });
            let request = one_record(&broker, &topic, time);
            let what = format!("{} to {}", pair[0], pair[1]);
            rows.push(step_cells(&contender.name, what, &cost, request));
        }
        let broker = more.as_ref().unwrap_or(contender).restart(broker, Syncs::Own);
        let memory = broker.status("VmRSS") as f64 / 1024.0;
        let start = broker.start.as_secs_f64() * 1e3;
        starts.push(vec![contender.name.clone(), short(start), short(memory)]);
    }
    report.table(&["broker", "topics", "KiB each", "µs CPU each", "µs CPU per request"], &rows);
    report.table(&["after kill -9 with them", "start, ms", "resident, MiB"], &starts);
}
