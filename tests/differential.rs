//! The same answer as Apache Kafka: one script of requests, every served API in every version.
//!
//! - `tests/differential/messages/` — what requests and responses are made of
//! - `tests/differential/script/` — what is asked
//! - `tests/differential/recorded/` — what Apache Kafka 4.3.0 answered, field by field
//! - `tests/differential/differences` — where ottla answers otherwise, and why
//!
//! `cargo test --test differential` plays the script against ottla and compares with the recording:
//! every field that differs must stand in the table, and every row of the table must be needed.
//! `tests/differential/live` plays it against a real Apache Kafka and compares with the recording;
//! `tests/differential/live --record` writes the recording anew.
//!
//! Promises: codec and script know nothing of `src/`. Absent: behaviour that needs time to pass
//! (session timeouts, retention) and more than a few members; `tests/server.rs` has those.

#[path = "differential/answer.rs"]
mod answer;
#[path = "differential/batch.rs"]
mod batch;
#[path = "differential/broker.rs"]
mod broker;
#[path = "differential/codec.rs"]
mod codec;
#[path = "differential/cursor.rs"]
mod cursor;
#[path = "differential/message.rs"]
mod message;
#[path = "differential/play.rs"]
mod play;
#[path = "differential/recording.rs"]
mod recording;
#[path = "differential/script.rs"]
mod script;
#[path = "differential/table.rs"]
mod table;
#[path = "differential/value.rs"]
mod value;

use recording::{Recording, differences, in_words};
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/differential")
}

/// All files of a directory, by name.
fn texts(directory: &Path) -> Vec<(String, String)> {
    let mut texts = Vec::new();
    for entry in std::fs::read_dir(directory).expect("a directory of this repository") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        texts.push((name, std::fs::read_to_string(&path).expect("UTF-8")));
    }
    texts.sort();
    texts
}

fn play_all(address: SocketAddr) -> Recording {
    let recording =
        play::play(&message::read_all(&directory()), &script::read_all(&directory()), address);
    let trouble = &recording.trouble;
    assert!(trouble.is_empty(), "the script cannot go on:\n{}", trouble.join("\n"));
    recording
}

fn table() -> Vec<table::Reason> {
    table::read(&std::fs::read_to_string(directory().join("differences")).expect("the table"))
}

/// What ottla answers. The script is played once for all tests.
fn answers() -> &'static Recording {
    static ANSWERS: OnceLock<Recording> = OnceLock::new();
    ANSWERS.get_or_init(|| play_all(broker::Ottla::start().address))
}

#[test]
fn the_answers_are_kafkas_or_the_table_says_why_not() {
    let found = differences(&Recording::read(&directory().join("recorded")), answers());
    let (left, dead) = table::judge(&table(), &found);
    assert!(left.is_empty(), "{} differences without a reason:\n{}", left.len(), in_words(&left));
    assert!(dead.is_empty(), "rows of tests/differential/differences that match nothing: {dead:?}");
}

#[test]
fn every_served_version_is_asked() {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_ottla")).arg("apis").output();
    let text = String::from_utf8(output.expect("ottla apis runs").stdout).expect("text");
    let messages = message::read_all(&directory());
    let answered = &answers().answered;
    let mut missing = Vec::new();
    let mut rows = 0;
    for line in text.lines() {
        let mut words = line.split_whitespace();
        let Some(key) = words.next().and_then(|word| word.parse::<i16>().ok()) else { continue };
        let name = words.next().expect("a name");
        let versions = words.next().expect("versions").replace('–', "-");
        let (low, high) = versions.split_once('-').unwrap_or((&versions, &versions));
        let number = |text: &str| text.parse::<i16>().expect("a version");
        let described = messages.iter().find(|api| api.key == key && api.name == name);
        // Produce 0 to 2 are named for old clients that look for them, and not served.
        let range = (number(low).max(if key == 0 { 3 } else { 0 }), number(high));
        match described {
            Some(api) if api.versions.0 <= range.0 && range.1 <= api.versions.1 => {}
            _ => missing.push(format!("{name} {versions} is not described")),
        }
        rows += 1;
        for version in range.0..=range.1 {
            if !answered.contains(&(name.to_owned(), version)) {
                missing.push(format!("{name} {version} is not asked"));
            }
        }
    }
    assert!(rows > 20, "{text}");
    assert!(missing.is_empty(), "{}", missing.join("\n"));
}

/// `OTTLA_DIFFERENTIAL_KAFKA=host:port` says where a fresh Apache Kafka 4.3.0 is; without it there
/// is nothing to do. `OTTLA_DIFFERENTIAL_RECORD=1` writes the recording.
#[test]
fn live_kafka_answers_as_it_was_recorded() {
    let Ok(address) = std::env::var("OTTLA_DIFFERENTIAL_KAFKA") else { return };
    let address = address.to_socket_addrs().expect("host:port").next().expect("an address");
    let answers = play_all(address);
    let recorded = directory().join("recorded");
    if std::env::var_os("OTTLA_DIFFERENTIAL_RECORD").is_some() {
        answers.write(&recorded);
        return;
    }
    let found = differences(&answers, &Recording::read(&recorded));
    let words = in_words(&found).replace("ottla", "recorded");
    assert!(found.is_empty(), "Apache Kafka answers otherwise than it was recorded:\n{words}");
}

const BEGIN: &str = "<!-- differences -->\n";
const END: &str = "<!-- /differences -->";

/// `UPDATE_README=1 cargo test --test differential` writes the list anew.
#[test]
fn the_readme_lists_the_differences() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/README.md");
    let readme = std::fs::read_to_string(path).expect("the README");
    let (before, rest) = readme.split_once(BEGIN).expect("the list's begin");
    let (found, after) = rest.split_once(END).expect("the list's end");
    let list = table::markdown(&table());
    if std::env::var_os("UPDATE_README").is_some() {
        std::fs::write(path, format!("{before}{BEGIN}{list}{END}{after}")).expect("is written");
        return;
    }
    assert_eq!(found, list, "run UPDATE_README=1 cargo test --test differential");
}
