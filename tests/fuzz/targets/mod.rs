//! The fuzz targets: each takes any bytes and panics where something is not as promised.
//!
//! `tests/fuzz/` runs them under libFuzzer, `tests/fuzz_replay.rs` with every kept input. Each
//! checks a property, not only that nothing panics; its file says which.
//!
//! Promises: one input is one run of its own, with the same result every time.
//! Absent: sockets and real disks; `tests/hostile.rs` attacks the real server.

mod answers;
mod batches;
mod codecs;
mod configuration;
mod conversations;
mod coordinator;
mod directory;
mod gateway;
mod input;
mod journal;
mod memory;
mod patterns;
mod produce_stream;
mod reader;
mod requests;
mod schema;
mod segments;
mod upstream;

use std::path::Path;

/// A target: takes any bytes.
pub type Target = fn(&[u8]);

/// All targets by name; each has a binary in `fuzz_targets/` and a directory in `corpus/`.
pub const TARGETS: &[(&str, Target)] = &[
    ("answers", answers::run),
    ("batches", batches::run),
    ("codecs", codecs::run),
    ("configuration", configuration::run),
    ("conversations", conversations::run),
    ("coordinator", coordinator::run),
    ("directory", directory::run),
    ("journal", journal::run),
    ("patterns", patterns::run),
    ("produce_stream", produce_stream::run),
    ("reader", reader::run),
    ("requests", requests::run),
    ("segments", segments::run),
    ("upstream", upstream::run),
];

/// Runs the target of this name.
pub fn run(name: &str, data: &[u8]) {
    let (_, target) = TARGETS.iter().find(|(known, _)| *known == name).expect("a target's name");
    target(data);
}

/// Gives a broker one request that a real client sent, which it answers.
pub fn is_answered(data: &[u8]) {
    requests::is_answered(data);
}

/// The text files of a directory by name, in order.
pub fn texts(directory: &Path) -> Vec<(String, String)> {
    let mut texts = Vec::new();
    for entry in std::fs::read_dir(directory).expect("a directory of this repository") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        texts.push((name, std::fs::read_to_string(&path).expect("UTF-8")));
    }
    texts.sort();
    texts
}
