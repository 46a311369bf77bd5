//! The broker goes away under a producer and a consumer that are at work.

use crate::check::{PATIENCE, Suite, control, control_program, eventually, good, same};
use crate::groups::Live;
use crate::steps::FIRST_TIME_MS;
use crate::{Answer, Membership, Placed, Producer, Record, Settings};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

const PARTITIONS: usize = 3;

pub fn restarts(suite: &Suite) {
    let kill = || {
        control("kill9");
        std::thread::sleep(Duration::from_millis(300));
        control("start");
    };
    let steps: [(&str, &str, fn()); 2] = [
        ("restarted", "broker restarted", || control("restart")),
        ("killed", "broker killed", kill),
    ];
    for (what, detail, again) in steps {
        let name = format!("restarts: {detail}");
        if control_program().is_empty() {
            suite.print(&name, "skipped no broker to restart");
            continue;
        }
        suite.step(&name, move |suite| survives(suite, &suite.name(what), again));
    }
}

/// Sends numbered records until it is told to stop: how many, and which were acknowledged.
fn flow(
    producer: Box<dyn Producer>,
    topic: &str,
    stop: &AtomicBool,
    acknowledged: &AtomicUsize,
) -> (usize, BTreeSet<usize>, Vec<String>) {
    let (answers, results) = mpsc::channel::<Answer>();
    let (mut sent, mut acked, mut failed) = (0, BTreeSet::new(), Vec::new());
    let mut note = |(at, result): Answer| match result {
        Ok(()) => {
            acked.insert(at);
            acknowledged.store(acked.len(), Ordering::Relaxed);
        }
        Err(failure) => failed.push(failure.text),
    };
    let mut answered = 0;
    while !stop.load(Ordering::Relaxed) {
        let value = sent.to_string().into_bytes();
        let record = Record { value, time_ms: FIRST_TIME_MS, ..Record::default() };
        producer.send(topic, (sent % PARTITIONS) as i32, vec![(sent, record)], &answers);
        sent += 1;
        results.try_iter().for_each(|answer| {
            answered += 1;
            note(answer);
        });
        std::thread::sleep(Duration::from_millis(1));
    }
    while answered < sent {
        match results.recv_timeout(PATIENCE) {
            Ok(answer) => note(answer),
            Err(_) => panic!("no answer for {} records", sent - answered),
        }
        answered += 1;
    }
    (sent, acked, failed)
}

fn survives(suite: &Suite, topic: &str, again: fn()) {
    good(suite.client.create_topic(topic, PARTITIONS as i32, &[]));
    let idempotent = suite.skipped("produce: idempotent").is_none();
    let producer = good(suite.client.producer(Settings { idempotent, ..Settings::default() }));
    let consumers: Vec<Live> = if suite.skipped("groups: commit, stop and resume").is_none() {
        let (group, topic) = (topic.to_owned(), topic.to_owned());
        vec![Live::start(suite, &Membership { group, topic, ..Membership::default() }, true)]
    } else {
        let reader = |at| good(suite.client.reader(topic, at as i32, 0));
        (0..PARTITIONS).map(|at| Live::run(reader(at), true, false)).collect()
    };
    let seen = || consumers.iter().map(|consumer| consumer.seen().len()).sum::<usize>();
    let (stop, acknowledged) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
    let flow = {
        let (stop, acknowledged) = (Arc::clone(&stop), Arc::clone(&acknowledged));
        let topic = topic.to_owned();
        std::thread::spawn(move || flow(producer, &topic, &stop, &acknowledged))
    };
    let more = |when: &str| {
        let before = (acknowledged.load(Ordering::Relaxed), seen());
        let what = format!("100 more records acknowledged, and 100 more seen {when}");
        eventually(&what, Duration::from_secs(30), || {
            acknowledged.load(Ordering::Relaxed) > before.0 + 100 && seen() > before.1 + 100
        });
    };
    more("at first");
    again();
    more("after the broker came back");
    stop.store(true, Ordering::Relaxed);
    let (sent, acked, failed) = flow.join().expect("every record is answered");
    assert!(failed.is_empty(), "{} of {sent} records failed: {}", failed.len(), failed[0]);
    same(acked.len(), sent, "records acknowledged");
    let stored = stored(suite, topic, sent);
    in_order("the log has", &stored);
    let values = distinct(&stored);
    let missing = acked.iter().find(|at| !values.contains(*at));
    assert!(missing.is_none(), "record {missing:?} was acknowledged and is not there");
    if idempotent {
        same(stored.len(), values.len(), "records stored");
    }
    let all = || -> Vec<_> { consumers.iter().flat_map(Live::seen).collect() };
    eventually("every record is seen", PATIENCE, || distinct(&all()).len() == values.len());
    in_order("the consumer saw", &all());
    consumers.into_iter().for_each(|consumer| drop(consumer.leave()));
}

/// Everything in the log, up to the last record of each partition.
fn stored(suite: &Suite, topic: &str, sent: usize) -> Vec<Placed> {
    let mut all = Vec::new();
    for partition in 0..PARTITIONS {
        let last = (0..sent).rev().find(|at| at % PARTITIONS == partition).unwrap_or_default();
        let mut reader = good(suite.client.reader(topic, partition as i32, 0));
        let end = Instant::now() + PATIENCE;
        loop {
            let records = good(reader.poll(Duration::from_millis(200)));
            let at_end = records.last().is_some_and(|placed| number(placed) == last);
            all.extend(records);
            if at_end {
                break;
            }
            assert!(Instant::now() < end, "record {last} was acknowledged and is not there");
        }
    }
    all
}

fn number(placed: &Placed) -> usize {
    String::from_utf8_lossy(&placed.record.value).parse().expect("a number")
}

fn distinct(records: &[Placed]) -> BTreeSet<usize> {
    records.iter().map(number).collect()
}

/// Fails unless the first appearances of a partition's records are in the order of sending.
fn in_order(who: &str, records: &[Placed]) {
    let (mut last, mut known) = (BTreeMap::new(), BTreeSet::new());
    for placed in records {
        let at = number(placed);
        if known.insert(at)
            && let Some(before) = last.insert(placed.partition, at)
        {
            assert!(at == before + PARTITIONS, "{who} {at} right after {before}");
        }
    }
}
