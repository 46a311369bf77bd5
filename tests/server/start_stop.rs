//! The process: its one line, its end, its lock.

use crate::support::clients::{create_topic, produce_texts, read_all, reader, take, text};
use crate::support::process::{Ottla, port_for_restarts, run_to_end, serve_command};
use crate::support::raw::{self, Raw, read_fetch};
use crate::support::wait_until;
use rdkafka::Offset;
use rustix::process::Signal;
use std::path::Path;
use std::time::Duration;

/// The two seconds that are promised, and one for the machine that runs the tests.
const STOP: Duration = Duration::from_secs(3);

fn cluster_id(line: &str) -> &str {
    line.split_once("cluster id ").unwrap().1.split(',').next().unwrap()
}

#[test]
fn one_line_tells_address_directory_and_cluster_id() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("made by ottla");
    let ottla = Ottla::start(&data);
    assert!(ottla.line.contains(data.to_str().unwrap()), "{}", ottla.line);
    assert!(ottla.line.contains("recovered in "), "{}", ottla.line);
    assert_eq!(cluster_id(&ottla.line).len(), 22, "{}", ottla.line);
    assert_ne!(ottla.address.port(), 0);
    assert!(data.is_dir());
}

#[test]
fn sigterm_ends_it_in_order_with_clients_connected() {
    let dir = tempfile::tempdir().unwrap();
    let port = port_for_restarts();
    let ottla = Ottla::start_on(dir.path(), port);
    let first = cluster_id(&ottla.line).to_string();
    produce_texts(&ottla.bootstrap(), "kept", &["a", "b", "c"]);
    // One client polls for long, one sits idle, one is in the middle of a frame.
    let mut waiting = Raw::connect(ottla.address);
    waiting.send(&raw::fetch(1, "kept", 3, 1, 20_000));
    let mut idle = Raw::connect(ottla.address);
    idle.ask(&raw::api_versions(1));
    let mut halfway = Raw::connect(ottla.address);
    halfway.send(&raw::api_versions(1)[..9]);
    let (status, took, log) = ottla.terminate();
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(took < STOP, "{took:?}");
    assert!(log.contains("SIGTERM"), "{log}");
    let ottla = Ottla::start_on(dir.path(), port);
    assert_eq!(cluster_id(&ottla.line), first);
    let records = read_all(&ottla.bootstrap(), "kept", 0);
    assert_eq!(records.iter().map(text).collect::<Vec<_>>(), ["a", "b", "c"]);
    // After an orderly end there is nothing to recover.
    assert!(!ottla.log().contains("recovered:"), "{}", ottla.log());
}

/// A broker whose orderly end takes a while: it has answers for somebody who does not take them.
fn with_a_client_that_does_not_read(dir: &Path) -> (Ottla, Raw) {
    let ottla = Ottla::start(dir);
    let mut lazy = Raw::connect(ottla.address);
    lazy.ask(&raw::metadata(1, "t"));
    lazy.ask(&raw::produce(2, -1, "t", &vec![b'x'; 900_000]));
    // More than the sockets' buffers take.
    (0..40).for_each(|n| lazy.send(&raw::fetch(n, "t", 0, 1, 0)));
    Raw::connect(ottla.address).ask(&raw::api_versions(1));
    (ottla, lazy)
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let (ottla, _lazy) = with_a_client_that_does_not_read(dir.path());
    ottla.signal(Signal::TERM);
    ottla.wait_for_log("stopping");
    let (status, _, log) = ottla.end_with(Signal::INT);
    assert_eq!(status.code(), Some(1), "{log}");
    assert!(!log.contains("stopped"), "{log}");
}

#[test]
fn a_client_that_does_not_read_costs_no_checkpoint_at_the_end() {
    let dir = tempfile::tempdir().unwrap();
    let (ottla, _lazy) = with_a_client_that_does_not_read(dir.path());
    let (status, took, log) = ottla.terminate();
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(took < STOP, "{took:?}");
    assert!(!log.contains("without a last checkpoint"), "{log}");
    let ottla = Ottla::start(dir.path());
    assert!(!ottla.log().contains("recovered:"), "{}", ottla.log());
}

#[test]
fn a_rotten_segment_is_one_line_however_often_it_is_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let ottla = Ottla::start(dir.path());
    let mut raw = Raw::connect(ottla.address);
    raw.ask(&raw::metadata(1, "t"));
    (0..2).for_each(|n| drop(raw.ask(&raw::produce(n, -1, "t", b"x"))));
    let segment = dir.path().join("topics/t-0/00000000000000000000.log");
    let bytes = std::fs::read(&segment).unwrap();
    std::fs::write(&segment, vec![0xff; bytes.len()]).unwrap();
    // All that was there is lost: no error that clients would retry for ever.
    (0..20).for_each(|n| {
        assert_eq!(read_fetch(&raw.ask(&raw::fetch(n, "t", 0, 1, 0))).error, 0);
    });
    let (_, _, log) = ottla.terminate();
    assert_eq!(log.matches("are not what was written there").count(), 1, "{log}");
}

#[test]
fn sigint_ends_it_in_order_with_nobody_connected() {
    let dir = tempfile::tempdir().unwrap();
    let ottla = Ottla::start(dir.path());
    let (status, took, log) = ottla.end_with(Signal::INT);
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(took < STOP, "{took:?}");
    assert!(log.contains("SIGINT"), "{log}");
}

#[test]
fn clients_survive_a_restart_in_the_middle() {
    let dir = tempfile::tempdir().unwrap();
    let port = port_for_restarts();
    let ottla = Ottla::start_on(dir.path(), port);
    let bootstrap = ottla.bootstrap();
    create_topic(&bootstrap, "on", 1, &[]);
    let consumer = reader(&bootstrap, "on", 0, Offset::Beginning);
    produce_texts(&bootstrap, "on", &["before"]);
    assert_eq!(text(&take(&consumer, 1)[0]), "before");
    let (status, ..) = ottla.terminate();
    assert!(status.success());
    let _ottla = Ottla::start_on(dir.path(), port);
    produce_texts(&bootstrap, "on", &["after"]);
    assert_eq!(text(&take(&consumer, 1)[0]), "after");
}

#[test]
fn a_second_broker_on_the_same_directory_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let mut first = Ottla::start(dir.path());
    let second = run_to_end(serve_command(dir.path()).args(["--listen", "127.0.0.1:0"]));
    assert_eq!(second.status.code(), Some(1));
    assert!(second.stdout.is_empty());
    let stderr = String::from_utf8(second.stderr).unwrap();
    let sentence = "another ottla is running on the data directory";
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    assert!(stderr.contains(sentence) && stderr.contains(dir.path().to_str().unwrap()), "{stderr}");
    assert!(first.is_alive());
    // The kernel holds the lock: it is free when its holder is gone, however that went.
    first.kill();
    drop(Ottla::start(dir.path()));
}

#[test]
fn a_start_waits_for_one_that_was_killed_and_still_holds_the_directory() {
    let dir = tempfile::tempdir().unwrap();
    Ottla::start(dir.path()).kill();
    // Whoever took the lock is dead, and the kernel keeps it for a while: here for a child's sake.
    let script = "exec 9<>\"$0/lock\"; flock 9 || exit 1; sleep 1 >/dev/null 2>&1 & exit 0";
    let status = std::process::Command::new("sh").args(["-c", script]).arg(dir.path()).status();
    assert!(status.unwrap().success());
    let ottla = Ottla::start(dir.path());
    ottla.wait_for_log("is still ending: waiting for it");
    ottla.terminate();
}

#[test]
fn a_port_that_is_taken_is_a_clear_sentence() {
    let dir = tempfile::tempdir().unwrap();
    let first = Ottla::start(&dir.path().join("first"));
    let address = first.bootstrap();
    let second = run_to_end(serve_command(&dir.path().join("second")).args(["--listen", &address]));
    assert_eq!(second.status.code(), Some(1));
    let stderr = String::from_utf8(second.stderr).unwrap();
    let sentence = format!("cannot listen on {address}");
    assert!(stderr.contains(&sentence) && stderr.contains("--listen HOST:PORT"), "{stderr}");
}

#[test]
fn a_client_that_sends_half_a_frame_and_leaves_is_forgotten() {
    let dir = tempfile::tempdir().unwrap();
    let settings = ["--listen", "127.0.0.1:0", "--set", "max.connections=2"];
    let ottla = Ottla::start_with(dir.path(), &settings);
    for _ in 0..20 {
        let mut raw = Raw::connect(ottla.address);
        raw.send(&raw::api_versions(1)[..7]);
    }
    // Its places are free again.
    wait_until("a free place", || {
        let mut raw = Raw::connect(ottla.address);
        raw.send(&raw::api_versions(1));
        raw.receive().is_some()
    });
}
