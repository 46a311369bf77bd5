//! Every input that the fuzz targets were ever given, again: no nightly and no libFuzzer needed.
//!
//! - `tests/fuzz/targets/` — what is done with an input, and what must hold
//! - `tests/fuzz/corpus/` — inputs that reach something, and those that once broke something
//! - `tests/fuzz/run` — the same under libFuzzer, which looks for more
//!
//! `FUZZ_INPUT=file FUZZ_TARGET=name cargo test --test fuzz_replay` runs one input.

#[path = "differential/batch.rs"]
#[expect(dead_code, reason = "most of it is for scripts")]
mod batch;
#[path = "differential/codec.rs"]
mod codec;
#[path = "differential/cursor.rs"]
#[expect(dead_code, reason = "most of it is for scripts")]
mod cursor;
#[path = "differential/message.rs"]
#[expect(dead_code, reason = "answers are not compared here")]
mod message;
#[path = "fuzz/targets/mod.rs"]
mod targets;
#[path = "differential/value.rs"]
mod value;

use std::path::{Path, PathBuf};
use targets::{TARGETS, is_answered, run, texts};

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus")
}

/// The files of a target, in order.
fn inputs(target: &str) -> Vec<PathBuf> {
    let directory = corpus().join(target);
    let entries = std::fs::read_dir(&directory).unwrap_or_else(|e| panic!("{directory:?}: {e}"));
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    files.sort();
    files
}

fn replay(target: &str, file: &Path) {
    let bytes = std::fs::read(file).unwrap_or_else(|e| panic!("{file:?}: {e}"));
    if let Err(what) = std::panic::catch_unwind(|| run(target, &bytes)) {
        eprintln!("target {target}, input {}", file.display());
        std::panic::resume_unwind(what);
    }
}

/// All of them, a part on each thread.
fn replay_all() -> usize {
    let all = TARGETS.iter().flat_map(|(name, _)| inputs(name).into_iter().map(move |f| (name, f)));
    let all: Vec<_> = all.collect();
    let threads = std::thread::available_parallelism().map_or(1, |n| n.get());
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|first| {
                let part = all.iter().skip(first).step_by(threads);
                scope.spawn(|| part.for_each(|(name, file)| replay(name, file)))
            })
            .collect();
        for worker in workers {
            worker.join().unwrap_or_else(|what| std::panic::resume_unwind(what));
        }
    });
    all.len()
}

#[test]
fn every_kept_input_is_taken_as_promised() {
    if let (Ok(target), Ok(file)) = (std::env::var("FUZZ_TARGET"), std::env::var("FUZZ_INPUT")) {
        return replay(&target, Path::new(&file));
    }
    let count = replay_all();
    assert!(count >= 10 * TARGETS.len(), "{count} inputs are hardly any");
}

/// `tests/fuzz/capture.py` names them after client, API key and version.
#[test]
fn every_request_that_a_real_client_sent_is_answered() {
    let mut clients = std::collections::BTreeMap::<String, usize>::new();
    for file in inputs("requests") {
        let name = file.file_name().expect("a name").to_string_lossy().into_owned();
        let Some((client, _)) = name.rsplit_once('-').and_then(|(name, _)| name.rsplit_once('-'))
        else {
            continue;
        };
        eprintln!("{name}");
        is_answered(&std::fs::read(&file).expect("a kept input"));
        *clients.entry(client.to_owned()).or_default() += 1;
    }
    for client in ["franz-go", "kafka-go", "sarama"] {
        assert!(clients.get(client).is_some_and(|count| *count >= 20), "{clients:?}");
    }
}

#[test]
fn a_message_that_is_made_for_a_target_is_what_a_script_would_ask() {
    let mut text = cursor::Cursor::new("a test", "{name: \"t\" batch: batch {values: [\"v\"]}}");
    let value = value::evaluate(&value::read(&mut text), &value::Names::new());
    let batch = value.field("batch").map(value::bytes).expect("a batch");
    assert!(ottla::wire::batch::check(batch).is_ok(), "both make batches of the same kind");
    assert_eq!(value.field("name").and_then(value::Value::text), Some("t"));
}

#[test]
fn every_target_has_a_binary_and_a_corpus_and_nothing_else_has() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz");
    let names: Vec<&str> = TARGETS.iter().map(|(name, _)| *name).collect();
    let binaries = texts(&here.join("fuzz_targets"));
    let binaries: Vec<&str> =
        binaries.iter().filter_map(|(name, _)| name.strip_suffix(".rs")).collect();
    assert_eq!(binaries, names);
    let manifest = std::fs::read_to_string(here.join("Cargo.toml")).expect("the manifest");
    for name in &names {
        assert!(manifest.contains(&format!("name = \"{name}\"")), "no binary {name}");
        assert!(corpus().join(name).exists(), "no corpus of {name}");
    }
}
