//! Configuration files: TOML with Kafka's keys, and Kafka's own `server.properties`.

use crate::support::clients::{produce_texts, read_all};
use crate::support::process::{Ottla, port_for_restarts, run_to_end, serve_command};
use std::path::{Path, PathBuf};

fn write(dir: &Path, name: &str, text: &str) -> PathBuf {
    let path = dir.join(name);
    std::fs::write(&path, text).unwrap();
    path
}

fn a_file_is_read(name: &str, text: impl Fn(u16) -> String) {
    let dir = tempfile::tempdir().unwrap();
    let port = port_for_restarts();
    let config = write(dir.path(), name, &text(port));
    let data = dir.path().join("data");
    let ottla = Ottla::start_with(&data, &[Path::new("--config"), &config]);
    assert_eq!(ottla.address.port(), port);
    produce_texts(&ottla.bootstrap(), "t", &["x"]);
    // Three partitions are in the file as well.
    assert_eq!(read_all(&ottla.bootstrap(), "t", 2).len(), 0);
}

#[test]
fn a_toml_file_is_read() {
    a_file_is_read("ottla.toml", |port| {
        format!("listeners = \"PLAINTEXT://127.0.0.1:{port}\"\nnum.partitions = 3\n")
    });
}

#[test]
fn a_server_properties_is_read_with_what_stands_in_kafkas_own() {
    a_file_is_read("server.properties", |port| {
        format!(
            "# from an old broker\nbroker.id=0\nlisteners=PLAINTEXT://127.0.0.1:{port}\n\
             num.network.threads=3\nsocket.send.buffer.bytes=102400\nnum.partitions=3\n\
             offsets.topic.replication.factor=1\nlog.retention.hours=168\n\
             zookeeper.connect=localhost:2181\nzookeeper.connection.timeout.ms=18000\n"
        )
    });
}

/// Warns about an unknown key, as Apache Kafka does, and starts: each is one line, with `part`.
fn is_warned_about(name: &str, text: &str, part: &str) {
    let dir = tempfile::tempdir().unwrap();
    let config = write(dir.path(), name, text);
    let ottla = Ottla::start_with(&dir.path().join("data"), &[Path::new("--config"), &config]);
    let (status, _, log) = ottla.terminate();
    assert!(status.success(), "{log}");
    let lines: Vec<&str> = log.lines().filter(|line| line.contains("WARN")).collect();
    assert_eq!(lines.len(), 1, "{log}");
    assert!(lines[0].contains(part), "{part:?} is not in {}", lines[0]);
}

#[test]
fn an_unknown_key_is_one_line_with_key_and_line_number() {
    let text = "listeners = \"PLAINTEXT://127.0.0.1:0\"\n\nlog.retention.our = 3\n";
    is_warned_about("ottla.toml", text, "ottla.toml:3: log.retention.our: ");
    let text = "listeners=PLAINTEXT://127.0.0.1:0\nnum.partitons=3\n";
    is_warned_about("server.properties", text, "server.properties:2: num.partitons: ");
}

#[test]
fn every_wrong_value_gets_its_own_line_and_nothing_is_started() {
    let dir = tempfile::tempdir().unwrap();
    let text = "num.partitions = \"many\"\n\nlog.segment.bytes = -5\n";
    let config = write(dir.path(), "ottla.toml", text);
    let data = dir.path().join("data");
    let output = run_to_end(serve_command(&data).arg("--config").arg(&config));
    assert_eq!(output.status.code(), Some(1));
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(stderr.lines().count(), 2, "{stderr}");
    assert!(stderr.contains("ottla.toml:1: num.partitions: "), "{stderr}");
    assert!(stderr.contains("ottla.toml:3: log.segment.bytes: "), "{stderr}");
    assert!(!data.exists(), "a refused start leaves nothing behind");
}

#[test]
fn a_file_that_is_not_there_is_a_sentence() {
    let dir = tempfile::tempdir().unwrap();
    let missing = dir.path().join("missing.toml");
    let data = dir.path().join("data");
    let output = run_to_end(serve_command(&data).arg("--config").arg(&missing));
    assert_eq!(output.status.code(), Some(1));
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(stderr.contains("missing.toml"), "{stderr}");
}

#[test]
fn set_overrides_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let text = "listeners = \"PLAINTEXT://127.0.0.1:0\"\nauto.create.topics.enable = false\n";
    let config = write(dir.path(), "ottla.toml", text);
    let config = config.to_str().unwrap();
    let set = ["--config", config, "--set", "auto.create.topics.enable=true"];
    let ottla = Ottla::start_with(&dir.path().join("data"), &set);
    produce_texts(&ottla.bootstrap(), "t", &["x"]);
}
