//! `kill -9` and restarts in the middle of work: what was acknowledged is there.

use crate::support::clients::{Producer, read_all, text, wait_for_high_watermark};
use crate::support::process::{Ottla, port_for_restarts};
use crate::support::wait_until;

/// Sends `count` numbered records, and lets `again` happen to the broker whenever another
/// `count / 4` of them are acknowledged. All must arrive, in order, each once.
fn nothing_is_lost_or_doubled(count: usize, mut again: impl FnMut(Ottla, u16) -> Ottla) {
    let dir = tempfile::tempdir().unwrap();
    let port = port_for_restarts();
    let mut ottla = Ottla::start_on(dir.path(), port);
    let settings = [
        ("enable.idempotence", "true"),
        ("acks", "all"),
        ("batch.num.messages", "20"),
        ("retry.backoff.ms", "20"),
    ];
    let producer = Producer::new(&ottla.bootstrap(), &settings);
    let deliveries = producer.deliveries.clone();
    let sender = std::thread::spawn(move || {
        for n in 0..count {
            producer.send_text("steady", n, &n.to_string());
            if n % 50 == 0 {
                // Slow enough that something is always under way.
                std::thread::sleep(std::time::Duration::from_millis(2));
            }
        }
        producer.flush_all_ok()
    });
    for round in 1..=3 {
        wait_until("acknowledged records", || deliveries.len() >= round * count / 4);
        ottla = again(ottla, port);
    }
    let places = sender.join().unwrap();
    assert_eq!(places.len(), count);
    let records = read_all(&ottla.bootstrap(), "steady", 0);
    let values: Vec<usize> = records.iter().map(|record| text(record).parse().unwrap()).collect();
    assert_eq!(values, (0..count).collect::<Vec<_>>());
    for (n, _, offset) in places {
        // The client does not learn the offset of a batch that it had to repeat.
        assert!(offset == n as i64 || offset < 0, "record {n} was said to be at {offset}");
    }
}

#[test]
fn an_idempotent_producer_goes_on_over_kill_9_exactly_once() {
    nothing_is_lost_or_doubled(8_000, |ottla, port| {
        let data = ottla.data.clone();
        ottla.kill();
        Ottla::start_on(&data, port)
    });
}

#[test]
fn an_idempotent_producer_goes_on_over_orderly_restarts_exactly_once() {
    nothing_is_lost_or_doubled(8_000, |ottla, port| {
        let data = ottla.data.clone();
        let (status, ..) = ottla.terminate();
        assert!(status.success());
        Ottla::start_on(&data, port)
    });
}

/// Kills the broker under a producer that does not try again: what it was told is there.
fn acknowledged_records_survive_kill_9(acks: &str) {
    let dir = tempfile::tempdir().unwrap();
    let port = port_for_restarts();
    // So long that no sync could have saved what acks=1 was told.
    let late = "log.flush.interval.ms=10000";
    let listen = format!("127.0.0.1:{port}");
    let ottla = Ottla::start_with(dir.path(), &["--listen", &listen, "--set", late]);
    let settings = [("acks", acks), ("retries", "0"), ("message.timeout.ms", "4000")];
    let producer = Producer::new(&ottla.bootstrap(), &settings);
    let deliveries = producer.deliveries.clone();
    let sender = std::thread::spawn(move || {
        for n in 0..3_000 {
            producer.send_text("told", n, &n.to_string());
            if n % 20 == 0 {
                std::thread::sleep(std::time::Duration::from_millis(2));
            }
        }
        producer.flush();
    });
    wait_until("acknowledged records", || deliveries.len() >= 1_000);
    ottla.kill();
    sender.join().unwrap();
    let ottla = Ottla::start_on(dir.path(), port);
    let told: Vec<(usize, i64)> = deliveries
        .all()
        .into_iter()
        .filter_map(|(n, result)| result.ok().map(|(_, offset)| (n, offset)))
        .collect();
    assert!(told.len() >= 1_000 && told.len() < 3_000, "{} were acknowledged", told.len());
    let last = told.iter().map(|(_, offset)| *offset).max().unwrap();
    wait_for_high_watermark(&ottla.bootstrap(), "told", last + 1);
    let records = read_all(&ottla.bootstrap(), "told", 0);
    for (n, offset) in told {
        assert_eq!(text(&records[offset as usize]), n.to_string());
    }
}

#[test]
fn what_acks_1_was_told_survives_kill_9() {
    acknowledged_records_survive_kill_9("1");
}

#[test]
fn what_acks_all_was_told_survives_kill_9() {
    acknowledged_records_survive_kill_9("all");
}

#[test]
fn one_kill_after_another_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    for round in 0..6 {
        let ottla = Ottla::start(dir.path());
        let producer = Producer::new(&ottla.bootstrap(), &[("acks", "all")]);
        producer.send_text("rounds", round, &round.to_string());
        assert_eq!(producer.flush_all_ok(), [(round, 0, round as i64)]);
        ottla.kill();
    }
    let ottla = Ottla::start(dir.path());
    let records = read_all(&ottla.bootstrap(), "rounds", 0);
    assert_eq!(records.iter().map(text).collect::<Vec<_>>(), ["0", "1", "2", "3", "4", "5"]);
}
