//! Forwarding with real sockets: a second broker is the upstream. Real Kafka clusters are asked in
//! `tests/clients/forward`, every order of events in `tests/forward.rs`.

use crate::rot::spoil;
use crate::support::clients::{Producer, create_topic, read_all, text, topic_exists};
use crate::support::process::{Ottla, port_for_restarts};
use crate::support::{ottla, status, wait_until};
use std::path::Path;
use std::time::Duration;

/// A gateway that forwards to 127.0.0.1:`upstream`, with more `--set`s.
fn gateway(data: &Path, port: u16, upstream: u16, settings: &[&str]) -> Ottla {
    let mut arguments = vec!["--listen".to_owned(), format!("127.0.0.1:{port}")];
    let servers = format!("forward.bootstrap.servers=127.0.0.1:{upstream}");
    let fixed = ["forward.create.topics=true", "forward.retry.backoff.ms=50", &servers];
    for setting in fixed.iter().chain(["forward.linger.ms=5"].iter()).chain(settings) {
        arguments.extend(["--set".to_owned(), (*setting).to_owned()]);
    }
    Ottla::start_with(data, &arguments)
}

fn upstream_values(upstream: &Ottla, topic: &str) -> Vec<String> {
    let records = read_all(&upstream.bootstrap(), topic, 0);
    records.iter().map(|record| text(record).to_owned()).collect()
}

fn numbers(count: usize) -> Vec<String> {
    (0..count).map(|n| n.to_string()).collect()
}

/// Waits until so many records are upstream.
fn wait_for_upstream(upstream: &Ottla, topic: &str, count: usize) {
    wait_until("records upstream", || {
        let known = topic_exists(&upstream.bootstrap(), topic);
        known && upstream_values(upstream, topic).len() >= count
    });
}

fn send(ottla: &Ottla, topic: &str, range: std::ops::Range<usize>) {
    let producer = Producer::new(&ottla.bootstrap(), &[("acks", "all"), ("linger.ms", "1")]);
    for n in range {
        producer.send_text(topic, n, &n.to_string());
        if n % 40 == 0 {
            producer.flush();
        }
    }
    producer.flush_all_ok();
}

#[test]
fn records_go_up_once_and_in_order_while_both_sides_are_killed() {
    let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (port, up_port) = (port_for_restarts(), port_for_restarts());
    let mut upstream = Ottla::start_on(there.path(), up_port);
    let mut ottla = gateway(here.path(), port, up_port, &[]);
    for round in 0..4 {
        send(&ottla, "sensors", round * 600..(round + 1) * 600);
        if round % 2 == 0 {
            upstream.kill();
            std::thread::sleep(Duration::from_millis(50));
            upstream = Ottla::start_on(there.path(), up_port);
        } else {
            ottla.kill();
            ottla = gateway(here.path(), port, up_port, &[]);
        }
    }
    wait_for_upstream(&upstream, "sensors", 2_400);
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(upstream_values(&upstream, "sensors"), numbers(2_400));
    assert!(!ottla.log().contains("may be repeated"), "{}", ottla.log());
}

#[test]
fn an_orderly_restart_asks_upstream_nothing_and_repeats_nothing() {
    let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (port, up_port) = (port_for_restarts(), port_for_restarts());
    let upstream = Ottla::start_on(there.path(), up_port);
    let ottla = gateway(here.path(), port, up_port, &[]);
    send(&ottla, "sensors", 0..500);
    wait_for_upstream(&upstream, "sensors", 500);
    let (status, ..) = ottla.terminate();
    assert!(status.success());
    let ottla = gateway(here.path(), port, up_port, &[]);
    send(&ottla, "sensors", 500..700);
    wait_for_upstream(&upstream, "sensors", 700);
    assert_eq!(upstream_values(&upstream, "sensors"), numbers(700));
}

#[test]
fn without_an_upstream_it_starts_serves_and_catches_up_later() {
    let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (port, up_port) = (port_for_restarts(), port_for_restarts());
    let settings =
        ["forward.topics=s*", "forward.topics.exclude=secret", "forward.topic.prefix=site17."];
    let ottla = gateway(here.path(), port, up_port, &settings);
    create_topic(&ottla.bootstrap(), "other", 1, &[]);
    for topic in ["sensors", "secret", "other"] {
        send(&ottla, topic, 0..50);
    }
    ottla.wait_for_log("connection refused");
    let upstream = Ottla::start_on(there.path(), up_port);
    wait_for_upstream(&upstream, "site17.sensors", 50);
    assert_eq!(upstream_values(&upstream, "site17.sensors"), numbers(50));
    for topic in ["site17.secret", "site17.other", "sensors"] {
        assert!(!topic_exists(&upstream.bootstrap(), topic), "{topic}");
    }
}

#[test]
fn a_record_that_upstream_refuses_is_set_aside_and_the_rest_goes_on() {
    let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (port, up_port) = (port_for_restarts(), port_for_restarts());
    let upstream = Ottla::start_with(there.path(), &["--listen", &format!("127.0.0.1:{up_port}")]);
    create_topic(&upstream.bootstrap(), "sensors", 1, &[("max.message.bytes", "20000")]);
    let ottla = gateway(here.path(), port, up_port, &[]);
    let large = "x".repeat(30_000);
    let producer = Producer::new(&ottla.bootstrap(), &[("acks", "all"), ("linger.ms", "0")]);
    for (n, value) in ["one", &large, "two"].into_iter().enumerate() {
        producer.send_text("sensors", n, value);
        producer.flush();
    }
    producer.flush_all_ok();
    wait_for_upstream(&upstream, "sensors", 2);
    assert_eq!(upstream_values(&upstream, "sensors"), ["one", "two"]);
    let aside = read_all(&ottla.bootstrap(), "sensors.rejected", 0);
    assert_eq!(aside.iter().map(text).collect::<Vec<_>>(), [large.as_str()]);
    ottla.wait_for_log("set aside in sensors.rejected");
}

#[test]
fn what_has_rotted_here_is_passed_and_all_else_goes_up_once_and_in_order() {
    let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (port, up_port) = (port_for_restarts(), port_for_restarts());
    let value = |n: usize| format!("<record {n}>");
    let all_but = |lost: &[usize], count: usize| -> Vec<String> {
        (0..count).filter(|n| !lost.contains(n)).map(value).collect()
    };
    let send = |gateway: &Ottla, range: std::ops::Range<usize>| {
        let producer = Producer::new(&gateway.bootstrap(), &[("acks", "all")]);
        for n in range {
            // Each in a batch of its own, with its number for an offset.
            producer.send_text("sensors", n, &value(n));
            producer.flush();
        }
        producer.flush_all_ok();
    };
    // Nothing is upstream yet.
    let gateway_one = gateway(here.path(), port, up_port, &[]);
    create_topic(&gateway_one.bootstrap(), "sensors", 1, &[]);
    send(&gateway_one, 0..30);
    // In order, so that nothing is written again from the journal.
    assert!(gateway_one.terminate().0.success());
    for rotten in [7, 19] {
        spoil(here.path(), "sensors", &value(rotten));
    }
    let upstream = Ottla::start_on(there.path(), up_port);
    let gateway_two = gateway(here.path(), port, up_port, &[]);
    wait_for_upstream(&upstream, "sensors", 28);
    gateway_two.wait_for_log("the local records 7..8 were gone before they went up");
    gateway_two.wait_for_log("the local records 19..20 were gone before they went up");
    wait_until("both gaps in the status, and nothing that waits", || {
        let told = status(&gateway_two);
        let bootstrap = gateway_two.bootstrap();
        let (_, link) = ottla(&["forward", "--status", "--bootstrap-server", &bootstrap]);
        told.contains("2 records are lost")
            && told.contains("sensors-0 7-7, sensors-0 19-19")
            && link.contains("nothing, all is upstream")
    });
    send(&gateway_two, 30..40);
    wait_for_upstream(&upstream, "sensors", 38);
    // Another start finds the gaps behind the place it has come to: nothing goes up again.
    gateway_two.kill();
    let gateway_three = gateway(here.path(), port, up_port, &[]);
    send(&gateway_three, 40..50);
    wait_for_upstream(&upstream, "sensors", 48);
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(upstream_values(&upstream, "sensors"), all_but(&[7, 19], 50));
    assert!(!gateway_three.log().contains("may be repeated"), "{}", gateway_three.log());
}
