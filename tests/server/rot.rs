//! Bytes that change on the card, before a start and while the broker runs.

use crate::support::clients::{create_topic, produce_texts, read_all, text};
use crate::support::process::Ottla;
use crate::support::{ottla, status, wait_until};
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Overwrites some bytes of a topic's first segment, in the middle of a value.
pub fn spoil(data: &Path, topic: &str, value: &str) {
    let path = data.join(format!("topics/{topic}-0/{:020}.log", 0));
    let bytes = std::fs::read(&path).unwrap();
    let at = bytes.windows(value.len()).position(|part| part == value.as_bytes()).unwrap();
    let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
    file.write_all_at(b"ROT", at as u64 + 2).unwrap();
}

fn values(ottla: &Ottla, topic: &str) -> Vec<String> {
    let records = read_all(&ottla.bootstrap(), topic, 0);
    records.iter().map(|record| text(record).to_owned()).collect()
}

#[test]
fn a_consumer_goes_on_behind_what_has_rotted_and_everybody_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().to_owned();
    let ottla_one = Ottla::start(&data);
    for topic in ["before", "while"] {
        create_topic(&ottla_one.bootstrap(), topic, 1, &[]);
        for n in 0..9 {
            produce_texts(&ottla_one.bootstrap(), topic, &[format!("{topic} record {n}")]);
        }
    }
    let (ended, ..) = ottla_one.terminate();
    assert!(ended.success());
    spoil(&data, "before", "before record 4");
    let (sound, said) = ottla(&["log", "check", "--data", data.to_str().unwrap()]);
    assert!(!sound);
    assert!(said.starts_with("before-0: offsets 4 to 4 are lost"), "{said}");
    // Searching again every second.
    let settings = ["--listen", "127.0.0.1:0", "--set", "log.scrub.interval.ms=1000"];
    let broker = Ottla::start_with(&data, &settings);
    let all_but = |topic: &str, lost: usize| -> Vec<String> {
        (0..9).filter(|n| *n != lost).map(|n| format!("{topic} record {n}")).collect()
    };
    assert_eq!(values(&broker, "before"), all_but("before", 4));
    broker.wait_for_log("the records with offsets 4 to 4 are lost");
    spoil(&data, "while", "while record 7");
    broker.wait_for_log("the records with offsets 7 to 7 are lost");
    assert_eq!(values(&broker, "while"), all_but("while", 7));
    wait_until("both in the status", || {
        let said = status(&broker);
        said.contains("2 records are lost") && said.contains("before-0 4-4, while-0 7-7")
    });
    let told = broker.log().matches("are not what was written there").count();
    assert_eq!(told, 2, "{}", broker.log());
    produce_texts(&broker.bootstrap(), "before", &["one more"]);
    assert_eq!(values(&broker, "before").last().unwrap(), "one more");
    let (status, ..) = broker.terminate();
    assert!(status.success());
}

#[test]
fn a_rotten_end_is_told_too_and_what_was_deleted_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let check = || ottla(&["log", "check", "--data", data.to_str().unwrap()]);
    let broker = Ottla::start(&data);
    for topic in ["kept", "deleted", "emptied"] {
        create_topic(&broker.bootstrap(), topic, 1, &[]);
        for n in 0..5 {
            produce_texts(&broker.bootstrap(), topic, &[format!("{topic} record {n}")]);
        }
    }
    assert!(broker.terminate().0.success());
    let (sound, said) = check();
    assert!(sound && said.ends_with("nothing has rotted\n"), "{said}");
    spoil(&data, "kept", "kept record 4");
    let (sound, said) = check();
    assert!(!sound && said.starts_with("kept-0: offsets 4 to 4 are lost, at byte "), "{said}");
    assert!(said.ends_with("1 gaps with 1 records\n"), "{said}");
    let copy = dir.path().join("copy");
    let paths = [data.to_str().unwrap(), copy.to_str().unwrap()];
    let (whole, said) = ottla(&["log", "salvage", "--data", paths[0], "--to", paths[1]]);
    assert!(!whole && said.contains("kept-0: offsets 4 to 4 are lost"), "{said}");

    // What is deleted since the last checkpoint is not missing, and what the journal still has is
    // written again.
    let broker = Ottla::start(&data);
    let bootstrap = broker.bootstrap();
    let server = ["--bootstrap-server", bootstrap.as_str()];
    let topics = ["topics", "--delete", "--topic", "deleted"];
    assert!(ottla(&[&topics[..], &server[..]].concat()).0);
    create_topic(&bootstrap, "deleted", 1, &[]);
    produce_texts(&bootstrap, "deleted", &["one"]);
    let json = dir.path().join("offsets.json");
    let offsets = r#"{"partitions":[{"topic":"emptied","partition":0,"offset":5}],"version":1}"#;
    std::fs::write(&json, offsets).unwrap();
    let records = ["delete-records", "--offset-json-file", json.to_str().unwrap()];
    assert!(ottla(&[&records[..], &server[..]].concat()).0);
    produce_texts(&bootstrap, "kept", &["kept record 5"]);
    broker.kill();
    spoil(&data, "kept", "kept record 5");
    let (_, said) = check();
    assert!(said.ends_with("1 gaps with 1 records\n"), "{said}");
    let broker = Ottla::start(&data);
    let expected: Vec<String> = [0, 1, 2, 3, 5].map(|n| format!("kept record {n}")).into();
    assert_eq!(values(&broker, "kept"), expected);
    broker.wait_for_log("the records with offsets 4 to 4 are lost");
    assert!(broker.terminate().0.success());

    // Cut short, and gone.
    let kept = data.join(format!("topics/kept-0/{:020}.log", 0));
    let file = std::fs::OpenOptions::new().write(true).open(&kept).unwrap();
    file.set_len(100).unwrap();
    assert!(check().1.starts_with("kept-0: offsets 1 to 5 are lost, at byte "), "{}", check().1);
    std::fs::remove_file(&kept).unwrap();
    let said = check().1;
    assert!(said.starts_with("kept-0: offsets 0 to 5 are lost, their segment is gone"), "{said}");
}
