//! `ottla log salvage`: a card that was pulled out of a running board, and has rotted since.

use crate::support::clients::{consumer, create_topic, produce_texts, read_all, text};
use crate::support::process::{Ottla, run_to_end};
use rdkafka::consumer::{CommitMode, Consumer};
use rdkafka::{Message, Offset, TopicPartitionList};
use std::collections::BTreeMap;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

fn salvage(from: &Path, to: &Path) -> (Option<i32>, String, String) {
    let arguments = ["log", "salvage", "--data", from.to_str().unwrap(), "--to"];
    let mut command = Command::new(env!("CARGO_BIN_EXE_ottla"));
    let output = run_to_end(command.args(arguments).arg(to));
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

/// Offsets and values.
fn records(broker: &Ottla, topic: &str) -> BTreeMap<i64, String> {
    let all = read_all(&broker.bootstrap(), topic, 0);
    all.iter().map(|record| (record.offset(), text(record).to_owned())).collect()
}

/// Every file below a directory, with what is in it.
fn files(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in dir.read_dir().unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.insert(path.display().to_string(), std::fs::read(&path).unwrap());
        }
    }
    found
}

fn committed(broker: &Ottla) -> Option<Offset> {
    let group = consumer(&broker.bootstrap(), &[("group.id", "readers")]);
    let mut asked = TopicPartitionList::new();
    asked.add_partition("sealed", 0);
    let found = group.committed_offsets(asked, Duration::from_secs(10)).unwrap();
    Some(found.find_partition("sealed", 0)?.offset())
}

#[test]
fn what_can_be_read_of_a_spoilt_card_is_in_the_copy_and_what_cannot_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let (card, copy) = (dir.path().join("card"), dir.path().join("copy"));
    let broker = Ottla::start_with(&card, &["--listen", "127.0.0.1:0"]);
    let bootstrap = broker.bootstrap();
    create_topic(
        &bootstrap,
        "sealed",
        1,
        &[("segment.bytes", "4096"), ("retention.ms", "77777777")],
    );
    create_topic(&bootstrap, "journalled", 1, &[]);
    for n in 0..40 {
        produce_texts(&bootstrap, "sealed", &[format!("sealed {n} {}", "x".repeat(400))]);
    }
    produce_texts(&bootstrap, "journalled", &["one", "two", "three"]);
    let group = consumer(&bootstrap, &[("group.id", "readers")]);
    let mut commits = TopicPartitionList::new();
    commits.add_partition_offset("sealed", 0, Offset::Offset(17)).unwrap();
    group.commit(&commits, CommitMode::Sync).unwrap();
    let (code, _, said) = salvage(&card, &copy);
    assert_eq!(code, Some(1));
    assert!(said.contains("a broker runs on") && !copy.exists(), "{said}");
    let before = [records(&broker, "sealed"), records(&broker, "journalled")];
    broker.kill();

    // As it is, nothing is lost.
    let (code, said, errors) = salvage(&card, &copy);
    assert_eq!((code, errors.as_str()), (Some(0), ""), "{said}");
    assert!(said.contains("nothing has rotted"), "{said}");
    let again = Ottla::start_with(&copy, &["--listen", "127.0.0.1:0"]);
    assert_eq!([records(&again, "sealed"), records(&again, "journalled")], before);
    assert_eq!(committed(&again), Some(Offset::Offset(17)));
    again.terminate();
    let (code, _, said) = salvage(&card, &copy);
    assert_eq!(code, Some(1));
    assert!(said.contains("is not empty"), "{said}");

    // A spoilt record, and no coordinator file any more.
    let mut segments: Vec<_> =
        card.join("topics/sealed-0").read_dir().unwrap().flatten().map(|e| e.path()).collect();
    segments.retain(|path| path.extension().is_some_and(|it| it == "log"));
    segments.sort();
    let first = std::fs::read(&segments[1]).unwrap();
    let at = first.windows(8).position(|part| part == b"xxxxxxxx").unwrap();
    let file = std::fs::OpenOptions::new().write(true).open(&segments[1]).unwrap();
    file.write_all_at(b"ROT", at as u64).unwrap();
    for name in ["coordinator", "coordinator.previous"] {
        std::fs::remove_file(card.join(name)).ok();
    }
    let as_it_was = files(&card);
    let second = dir.path().join("second");
    let (code, said, _) = salvage(&card, &second);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("sealed-0: offsets ") && said.contains("are lost"), "{said}");
    assert_eq!(files(&card), as_it_was, "nothing was written to the card");
    let again = Ottla::start_with(&second, &["--listen", "127.0.0.1:0"]);
    let found = records(&again, "sealed");
    let missing: Vec<_> = before[0].keys().filter(|offset| !found.contains_key(offset)).collect();
    assert_eq!(missing.len(), 1, "{missing:?}");
    assert!(found.iter().all(|(offset, value)| before[0].get(offset) == Some(value)));
    assert_eq!(records(&again, "journalled"), before[1]);
    again.terminate();

    let nothing = dir.path().join("nothing");
    std::fs::create_dir(&nothing).unwrap();
    let (code, _, said) = salvage(&nothing, &dir.path().join("third"));
    assert_eq!(code, Some(1));
    assert!(said.contains("holds nothing of a broker's"), "{said}");
}
