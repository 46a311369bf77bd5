//! Forwarding, measured: bytes on the link, how fast a backlog drains, memory, and who feels it.
//!
//! `cargo bench --bench forward -- --help` names the options; the sections are `link`, `drain` and
//! `felt`. A real Apache Kafka (`tests/kafka/kafka`) is upstream, behind a proxy that counts bytes,
//! and librdkafka is the producer that everything stands beside.
//!
//! Promises: both sides send the same records to the same Kafka over the same proxy; every figure
//! is the middle one of its rounds. Absent: thresholds. Nothing here passes or fails by time.

#[expect(dead_code, reason = "shared with the bench `compare`, which uses more of it")]
#[path = "../compare/broker.rs"]
mod broker;
mod drain;
mod link;
#[expect(dead_code, reason = "shared with the bench `compare`, which uses more of it")]
#[path = "../compare/load.rs"]
mod load;
#[path = "../compare/options.rs"]
mod options;
#[expect(dead_code, reason = "shared with the bench `compare`, which uses more of it")]
#[path = "../compare/plot.rs"]
mod plot;
mod proxy;
#[expect(dead_code, reason = "shared with the bench `compare`, which uses more of it")]
#[path = "../compare/report.rs"]
mod report;
#[expect(dead_code, reason = "shared with the bench `compare`, which uses more of it")]
#[path = "../compare/slow.rs"]
mod slow;
#[expect(dead_code, reason = "shared with the bench `compare`, which uses more of it")]
#[path = "../compare/stats.rs"]
mod stats;
mod upstream;

use std::path::Path;

fn main() {
    let mut options = options::Options::read();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/kafka/kafka");
    options.kafka.get_or_insert(script);
    let mut report = report::Report::default();
    report.say("# Forwarding, measured");
    report.say(&report::machine());
    let world = upstream::World::start(&options);
    if options.wants("link") {
        link::run(&options, &world, &mut report);
    }
    if options.wants("drain") {
        drain::run(&options, &world, &mut report);
    }
    if options.wants("felt") {
        drain::run_felt(&options, &world, &mut report);
    }
    report.write(&options.out.join("forward"));
}
