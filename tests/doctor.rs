//! `ottla doctor` over real data directories, ports and upstreams: the lines and the exit code.
//!
//! The machine that runs this may deserve a warning of its own (a container's layers, a slow disk),
//! so tests ask for the line they are about, and for the exit code only where it is 2.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on may panic")]

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// A running broker, which ends with its test.
struct Broker {
    child: Child,
    address: String,
}

impl Broker {
    fn start(data: &Path) -> Broker {
        let mut child = Command::new(env!("CARGO_BIN_EXE_ottla"))
            .args(["serve", "--listen", "127.0.0.1:0", "--data", data.to_str().unwrap()])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let behind = line.split_once("accepts on ").unwrap_or_else(|| panic!("{line}")).1;
        Broker { child, address: behind.split(',').next().unwrap().to_owned() }
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// What the doctor says of a data directory, and the exit code.
fn doctor(data: &Path, more: &[&str]) -> (String, i32) {
    let output = Command::new(env!("CARGO_BIN_EXE_ottla"))
        .args(["doctor", "--data-dir", data.to_str().unwrap()])
        .args(more)
        .output()
        .unwrap();
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    (String::from_utf8(output.stdout).unwrap(), output.status.code().unwrap())
}

/// Whether a line says so, of this level and subject.
fn says(text: &str, level: &str, subject: &str, what: &str) -> bool {
    let start = format!("{level:<5} {subject:<11} ");
    text.lines().any(|line| line.starts_with(&start) && line.contains(what))
}

fn free_port() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

/// Names and lengths of all files below.
fn listing(directory: &Path) -> Vec<String> {
    let mut all: Vec<String> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| {
            let entry = entry.unwrap();
            format!("{:?} {}", entry.file_name(), entry.metadata().unwrap().len())
        })
        .collect();
    all.sort();
    all
}

#[test]
fn a_healthy_directory_is_found_well_with_and_without_its_broker() {
    let data = tempfile::tempdir().unwrap();
    let broker = Broker::start(data.path());
    let (text, code) = doctor(data.path(), &["--listen", &broker.address]);
    assert!(code < 2, "{text}");
    let id = broker.child.id();
    assert!(says(&text, "OK", "broker", &format!("(process {id}) runs on ")), "{text}");
    assert!(says(&text, "OK", "port", "is the running broker's"), "{text}");
    assert!(says(&text, "NOTE", "listen", "only programs on this machine"), "{text}");
    assert!(says(&text, "OK", "journal", "can be read"), "{text}");
    assert!(says(&text, "OK", "limits", "never more than"), "{text}");
    assert!(text.contains(" ms, p99 "), "{text}");
    let address = broker.address.clone();
    drop(broker);

    let before = listing(data.path());
    let (text, code) = doctor(data.path(), &["--listen", &address]);
    assert!(code < 2, "{text}");
    assert!(says(&text, "OK", "broker", "none runs on"), "{text}");
    assert!(says(&text, "OK", "port", "is free"), "{text}");
    assert!(says(&text, "OK", "coordinator", "checkpoint"), "{text}");
    assert!(says(&text, "OK", "permissions", "the same user's"), "{text}");
    assert!(says(&text, "OK", "upstream", "not configured"), "{text}");
    assert_eq!(listing(data.path()), before, "it changes nothing");
}

#[test]
fn what_keeps_the_broker_from_its_work_is_exit_code_2() {
    let data = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let (text, code) = doctor(data.path(), &["--listen", &address]);
    assert_eq!(code, 2);
    let own = format!("is taken by {}", "doctor");
    assert!(says(&text, "FAIL", "port", &own), "{text}");

    let free = free_port();
    fs::set_permissions(data.path(), fs::Permissions::from_mode(0o555)).unwrap();
    let (text, code) = doctor(data.path(), &["--listen", &free]);
    fs::set_permissions(data.path(), fs::Permissions::from_mode(0o755)).unwrap();
    assert_eq!(code, 2);
    assert!(says(&text, "FAIL", "permissions", "may not be read and written"), "{text}");
    assert!(text.contains("-> chown"), "{text}");

    fs::write(data.path().join("journal"), [0xa5; 4096]).unwrap();
    let (text, code) = doctor(data.path(), &["--listen", &free]);
    assert_eq!(code, 2);
    assert!(says(&text, "FAIL", "journal", "rotten"), "{text}");

    let (text, code) = doctor(data.path(), &["--set", "log.segment.bytes=many"]);
    assert_eq!(code, 2);
    assert!(says(&text, "FAIL", "settings", "log.segment.bytes"), "{text}");
}

#[test]
fn a_directory_that_is_not_there_is_no_fault_and_is_not_made() {
    let above = tempfile::tempdir().unwrap();
    let data = above.path().join("data");
    let (text, code) = doctor(&data, &["--listen", &free_port()]);
    assert!(code < 2, "{text}");
    assert!(says(&text, "NOTE", "data", "is not there yet"), "{text}");
    assert!(says(&text, "NOTE", "sync", "not measured"), "{text}");
    assert!(!data.exists());
}

#[test]
fn the_way_upstream_is_walked_step_by_step() {
    let (data, upstream) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let free = free_port();
    let ask = |server: &str| {
        let servers = format!("forward.bootstrap.servers={server}");
        let topics = "forward.topics=sensors";
        doctor(data.path(), &["--listen", &free, "--set", &servers, "--set", topics])
    };
    let (text, code) = ask(&free_port());
    assert!(code >= 1 && says(&text, "WARN", "upstream", "connection refused"), "{text}");
    let (text, code) = ask("no-such-host.invalid:9092");
    assert!(code >= 1 && says(&text, "WARN", "upstream", "no address is known"), "{text}");
    let broker = Broker::start(upstream.path());
    let (text, code) = ask(&broker.address);
    assert!(says(&text, "OK", "upstream", "speaks Kafka's protocol"), "{text}");
    assert!(code >= 1 && says(&text, "WARN", "upstream", "wait: sensors"), "{text}");
}
