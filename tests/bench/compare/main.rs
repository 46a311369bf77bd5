//! ottla beside Apache Kafka and beside what the machine itself can do.
//!
//! `cargo bench --bench compare -- --help` names the options. Without any, ottla is measured beside
//! the physical limits; with `--kafka`, beside Apache Kafka as well (default settings, and with
//! `log.flush.interval.messages=1`), under the same load.
//!
//! Promises: within each round everybody is measured in turn, so that the machine's noise hits all
//! of them; every figure comes with its spread, and every ratio is taken within a round.
//! Absent: thresholds. Nothing here passes or fails by time.

mod broker;
mod device;
mod durable;
mod fetch;
mod idle;
mod limit;
mod load;
mod machine;
mod options;
mod plot;
mod produce;
mod report;
mod slow;
mod stats;
mod trickle;
mod warm;

fn main() {
    if slow::was_asked_to_sync() {
        return;
    }
    let options = options::Options::read();
    let contenders = broker::contenders(&options);
    let mut report = report::Report::default();
    report.say("# ottla, measured");
    let machine = report::machine();
    report.say(&machine);
    if options.wants("machine") {
        machine::run(&options, &mut report);
    }
    if options.wants("produce") {
        produce::run(&options, &contenders, &mut report);
    }
    if options.wants("fetch") {
        fetch::run(&options, &contenders, &mut report);
    }
    if options.wants("durable") {
        durable::run(&options, &contenders, &mut report);
    }
    if options.wants("trickle") {
        trickle::run(&options, &contenders, &mut report);
    }
    if options.wants("idle") {
        idle::run(&options, &contenders, &mut report);
    }
    report.write(&options.out);
    if options.readme {
        report.write_readme(&machine);
    }
}
