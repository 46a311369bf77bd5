//! The command line as a person meets it: the real binary, its exit codes, its lines.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on may panic")]

use ottla::wire::batch::Stamped;
use ottla::wire::record::BatchBuilder;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

fn ottla(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ottla"));
    command.args(arguments).stdin(Stdio::null());
    command
}

fn run(arguments: &[&str]) -> Output {
    ottla(arguments).output().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn every_command_explains_itself() {
    for (command, flag) in [
        (&[][..], "consume"),
        (&["serve"], "--listen"),
        (&["topics"], "--replication-factor"),
        (&["produce"], "parse.key"),
        (&["consume"], "--from-beginning"),
        (&["groups"], "--reset-offsets"),
        (&["configs"], "--add-config"),
        (&["offsets"], "--time"),
        (&["delete-records"], "--offset-json-file"),
        (&["groups"], "ottla forward --status"),
        (&["forward"], "no consumer group"),
        (&["status"], "--bootstrap-server"),
        (&["coordinator", "show"], "--data"),
        (&["log", "dump"], "--print-data-log"),
        (&["apis"], "--markdown"),
    ] {
        let output = run(&[command, &["--help"]].concat());
        assert_eq!(output.status.code(), Some(0), "{command:?}");
        assert!(stdout(&output).contains(flag), "{command:?} does not explain {flag}");
    }
    assert!(stdout(&run(&["--version"])).starts_with("ottla "));
}

#[test]
fn each_board_has_room_for_the_codecs_that_the_readme_promises_it() {
    // (board, codec, batch size): README, "Limits", and whether it fits.
    for (board, codec, batch, fits) in [
        ("pi-zero", "lz4", "65536", true),
        ("pi-zero", "gzip", "65536", false),
        ("gateway-256m", "gzip", "65536", true),
        ("gateway-256m", "zstd", "65536", true),
        ("pi-zero-2w", "gzip", "65536", true),
        ("pi-zero-2w", "zstd", "16384", true),
        ("gateway-1g", "gzip", "65536", true),
        ("gateway-1g", "zstd", "16384", true),
        ("gateway-1g", "zstd", "65536", false),
        ("pi-3", "zstd", "65536", true),
    ] {
        let codec = format!("forward.compression.type={codec}");
        let batch = format!("forward.batch.size={batch}");
        let forward = ["--set", "forward.bootstrap.servers=h:9", "--set", "forward.topics=*"];
        let arguments = ["limits", "--board", board, "--set", &codec, "--set", &batch];
        let output = run(&[&arguments[..], &forward].concat());
        assert_eq!(output.status.success(), fits, "{board} {codec} {batch}: {}", stderr(&output));
    }
}

#[test]
fn a_command_line_that_makes_no_sense_is_exit_code_2() {
    for arguments in [
        &["nonsense"][..],
        &[],
        &["topics"],
        &["topics", "--create", "--list"],
        &["topics", "--create", "--partitions", "many"],
        &["produce"],
        &["produce", "--topic", "t", "--request-required-acks", "7"],
        &["produce", "--topic", "t", "--property", "parse.key"],
        &["consume", "--from-beginning"],
        &["groups", "--describe"],
        &["configs", "--describe"],
        &["forward"],
        &["forward", "--status", "--pause"],
        &["forward", "--seek", "t"],
        &["forward", "--to", "latest"],
        &["log", "dump"],
    ] {
        let output = run(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", stderr(&output));
        assert!(!output.stderr.is_empty());
    }
}

/// An address on which nobody listens.
fn closed_address() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().to_string()
}

#[test]
fn a_broker_that_is_not_there_is_one_sentence_and_exit_code_1() {
    let address = closed_address();
    let sentence =
        format!("{address} does not answer: connection refused; is `ottla serve` running?");
    for command in [&["status"][..], &["topics", "--list"], &["consume", "--topic", "t"]] {
        let output = run(&[command, &["--bootstrap-server", &address]].concat());
        assert_eq!(output.status.code(), Some(1));
        assert!(stderr(&output).contains(&sentence), "{}", stderr(&output));
    }
}

#[test]
fn zookeeper_is_answered_with_one_line_and_the_command_goes_on() {
    let address = closed_address();
    let output =
        run(&["topics", "--list", "--zookeeper", "zk:2181", "--broker-list", address.as_str()]);
    let text = stderr(&output);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 2, "{text}");
    assert!(lines[0].contains("no ZooKeeper") && lines[0].contains(&address));
    assert!(lines[1].contains("does not answer"));
}

/// A segment file of `count` batches of one record each.
fn write_segment(path: &Path, count: i64) -> Vec<u8> {
    let mut bytes = Vec::new();
    for offset in 0..count {
        let mut builder = BatchBuilder::new(1_000 + offset);
        builder.push(1_000 + offset, Some(b"k"), Some(b"some value"), &[]);
        let sent = builder.finish();
        bytes.extend(Stamped::new(&sent, offset, 0, None).unwrap().parts().concat());
    }
    std::fs::write(path, &bytes).unwrap();
    bytes
}

#[test]
fn log_dump_reads_a_segment_and_gives_its_verdict() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("00000000000000000000.log");
    let mut bytes = write_segment(&path, 2);
    let name = path.to_str().unwrap();
    let output = run(&["log", "dump", name, "--print-data-log"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let text = stdout(&output);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], format!("Dumping {name}"));
    assert_eq!(lines[1], "Log starting offset: 0");
    assert!(lines[2].starts_with("baseOffset: 0 lastOffset: 0 count: 1 "));
    assert!(lines[3].ends_with("key: k payload: some value"));
    assert!(lines[4].starts_with("baseOffset: 1 ") && lines[4].ends_with("isvalid: true"));
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    let output = run(&["log", "dump", "--files", name]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stdout(&output).ends_with("isvalid: false\n"));
    assert_eq!(run(&["log", "dump", "/nowhere"]).status.code(), Some(1));
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("0.log");
    write_segment(&path, 5_000);
    let mut child =
        ottla(&["log", "dump", path.to_str().unwrap()]).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    let mut reader = BufReader::new(child.stdout.take().unwrap());
    reader.read_line(&mut line).unwrap();
    drop(reader);
    assert!(line.starts_with("Dumping"));
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

/// A running broker, which ends with its test.
struct Broker {
    child: Child,
    address: String,
}

impl Broker {
    fn start(data: &Path) -> Broker {
        Broker::start_with(data, &[])
    }

    fn start_with(data: &Path, more: &[&str]) -> Broker {
        let arguments = ["serve", "--listen", "127.0.0.1:0", "--data", data.to_str().unwrap()];
        let mut child = ottla(&[&arguments, more].concat())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let behind = line.split_once("accepts on ").unwrap_or_else(|| panic!("{line}")).1;
        let address = behind.split(',').next().unwrap().to_owned();
        Broker { child, address }
    }

    fn run(&self, arguments: &[&str], input: &str) -> Output {
        let mut child = ottla(&[arguments, &["--bootstrap-server", &self.address]].concat())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", stderr(&output));
        output
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

#[test]
fn lines_that_are_produced_are_consumed_and_the_group_stands_behind_them() {
    let directory = tempfile::tempdir().unwrap();
    let broker = Broker::start(directory.path());
    let created = broker.run(&["topics", "--create", "--topic", "t", "--partitions", "2"], "");
    assert_eq!(stdout(&created), "Created topic t.\n");
    let keyed = ["--property", "parse.key=true", "--property", "key.separator=:"];
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
        let produce = ["produce", "--topic", "t", "--compression-codec", codec];
        broker.run(&[&produce[..], &keyed].concat(), &format!("a:{codec}-1\nb:{codec}-2\n"));
    }
    let consume = ["consume", "--topic", "t", "--from-beginning", "--max-messages", "10"];
    let consumed = broker.run(&[&consume[..], &["--property", "print.key=true"]].concat(), "");
    let text = stdout(&consumed);
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines.len(), 10);
    assert_eq!((lines[0], lines[9]), ("a\tgzip-1", "b\tzstd-2"));
    assert!(stderr(&consumed).contains("Processed a total of 10 messages"));
    broker.run(&[&consume[..], &["--group", "g"]].concat(), "");
    let described = stdout(&broker.run(&["groups", "--describe", "--group", "g"], ""));
    assert!(described.contains("GROUP           TOPIC           PARTITION  CURRENT-OFFSET"));
    let rest = broker.run(&["consume", "--topic", "t", "--group", "g", "--timeout-ms", "500"], "");
    assert_eq!(stdout(&rest), "", "the group has consumed everything");
    let reset = ["groups", "--reset-offsets", "--group", "g", "--all-topics"];
    broker.run(&[&reset[..], &["--to-earliest", "--execute"]].concat(), "");
    let again = broker.run(&[&consume[..], &["--group", "g"]].concat(), "");
    assert_eq!(stdout(&again).lines().count(), 10);
    let offsets = stdout(&broker.run(&["offsets", "--topic", "t"], ""));
    let sum: i64 =
        offsets.lines().map(|line| line.rsplit(':').next().unwrap().parse::<i64>().unwrap()).sum();
    assert_eq!(sum, 10);
    assert!(stdout(&broker.run(&["status"], "")).contains("topics       1 with 2 partitions"));
}

#[test]
fn a_broker_that_forwards_nothing_says_so_in_one_sentence() {
    let directory = tempfile::tempdir().unwrap();
    let broker = Broker::start(directory.path());
    for action in ["--status", "--pause", "--resume"] {
        let output = run(&["forward", action, "--bootstrap-server", &broker.address]);
        assert_eq!(output.status.code(), Some(1));
        let said = stderr(&output);
        assert!(said.starts_with("Forwarding is off") && said.lines().count() == 1, "{said}");
    }
    assert!(!stdout(&broker.run(&["status"], "")).contains("forwarding"));
}

#[test]
fn the_forwarder_tells_what_waits_and_is_paused_and_moved_without_an_upstream() {
    let directory = tempfile::tempdir().unwrap();
    let upstream = format!("forward.bootstrap.servers={}", closed_address());
    let settings = ["--set", &upstream, "--set", "forward.topic.prefix=site17."];
    let broker = Broker::start_with(directory.path(), &settings);
    broker.run(&["topics", "--create", "--topic", "t", "--partitions", "2"], "");
    let keyed = ["--property", "parse.key=true", "--property", "key.separator=:"];
    broker.run(&[&["produce", "--topic", "t"], &keyed[..]].concat(), "a:1\nb:2\nc:3\n");
    let text = stdout(&broker.run(&["forward", "--status"], ""));
    assert!(text.contains("last error   127.0.0.1:"), "{text}");
    assert!(text.contains("\nbacklog      3 records, "), "{text}");
    let line = text.lines().find(|line| line.starts_with("t ")).unwrap();
    let cells: Vec<&str> = line.split_whitespace().collect();
    assert_eq!(cells[..3], ["t", "site17.t", "3"]);
    let text = stdout(&broker.run(&["status"], ""));
    assert!(text.contains(", to go: 3 records, "), "{text}");

    let moved = stdout(&broker.run(&["forward", "--seek", "t", "--to", "latest"], ""));
    assert!(moved.ends_with("3 records will never be sent, unless you seek back.\n"), "{moved}");
    let text = stdout(&broker.run(&["forward", "--status"], ""));
    assert!(text.contains("backlog      nothing"), "{text}");
    let moved = stdout(&broker.run(&["forward", "--seek", "t:0,1", "--to", "earliest"], ""));
    assert!(moved.ends_with("3 records will be sent again, and then be twice upstream.\n"));
    let seek = ["forward", "--seek", "t:0", "--to", "99", "--bootstrap-server", &broker.address];
    let refused = run(&seek);
    assert_eq!(refused.status.code(), Some(1));
    assert!(stderr(&refused).contains("99 is not among them; nothing was changed"));

    broker.run(&["forward", "--pause"], "");
    drop(broker);
    let broker = Broker::start_with(directory.path(), &settings);
    let text = stdout(&broker.run(&["forward", "--status"], ""));
    assert!(text.starts_with("link         paused\n"), "{text}");
    assert!(text.contains("\nbacklog      3 records, "), "{text}");
    broker.run(&["forward", "--resume"], "");
    let text = stdout(&broker.run(&["forward", "--status"], ""));
    assert!(!text.contains("paused"), "{text}");
}

#[test]
fn a_broker_that_is_its_own_upstream_by_another_name_forwards_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let address = closed_address();
    let port = address.rsplit(':').next().unwrap();
    // Not an address that the settings could tell from another machine's.
    let upstream = format!("forward.bootstrap.servers=127.0.0.2:{port}");
    let listeners = format!("0.0.0.0:{port}");
    let settings = ["--listen", &listeners, "--set", &upstream];
    let mut broker = Broker::start_with(directory.path(), &settings);
    broker.address = address;
    broker.run(&["topics", "--create", "--topic", "t"], "");
    broker.run(&["produce", "--topic", "t"], "1\n2\n3\n");
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    loop {
        let text = stdout(&broker.run(&["forward", "--status"], ""));
        if text.contains("this is the very broker that forwards") {
            assert!(text.contains("backlog      3 records"), "{text}");
            break;
        }
        assert!(std::time::Instant::now() < deadline, "{text}");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    // Nor does it ask again and again whether it still is.
    std::thread::sleep(std::time::Duration::from_millis(300));
    let text = stdout(&broker.run(&["forward", "--status"], ""));
    assert!(text.contains(" B since start"), "{text}");
    assert_eq!(stdout(&broker.run(&["offsets", "--topic", "t"], "")), "t:0:3\n");
}
