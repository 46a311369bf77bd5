//! Topics, partitions, producer ids and connections.

use crate::support::clients::{admin, create_topic};
use crate::support::process::Ottla;
use crate::support::raw::{self, Raw, read_produce};
use crate::support::{block_on, wait_until};
use ottla::config::board_named;
use ottla::limits::Sizes;
use ottla::wire::Reader;
use ottla::wire::record::{BatchBuilder, Producer};
use rdkafka::admin::{AdminOptions, NewPartitions, NewTopic, TopicReplication};
use rdkafka::types::RDKafkaErrorCode;
use std::process::Command;
use tempfile::TempDir;

const BOARD: &str = "pi-zero";

fn start() -> (Ottla, Sizes, TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let arguments = ["--listen", "127.0.0.1:0", "--board", BOARD];
    let ottla = Ottla::start_with(directory.path(), &arguments);
    (ottla, Sizes::of(&board_named(BOARD).unwrap()), directory)
}

/// What `ottla status` says of a table: "used/limit".
fn in_use(ottla: &Ottla, what: &str) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ottla"));
    let output = command.args(["status", "--bootstrap-server", &ottla.bootstrap()]).output();
    let text = String::from_utf8(output.unwrap().stdout).unwrap();
    let words: Vec<&str> = text.split([' ', '\n', ',']).filter(|word| !word.is_empty()).collect();
    let at = words.windows(2).position(|pair| pair[0] == what && pair[1].contains('/'));
    at.map_or(text.clone(), |at| words[at + 1].to_owned())
}

#[test]
fn a_real_client_is_told_that_the_boards_partitions_are_taken_and_can_have_those_that_are_freed() {
    let (ottla, sizes, _directory) = start();
    let all = sizes.partitions as i32;
    create_topic(&ottla.bootstrap(), "wide", all - 1, &[]);
    create_topic(&ottla.bootstrap(), "last", 1, &[]);
    assert_eq!(in_use(&ottla, "partitions"), format!("{all}/{all}"));
    let admin = admin(&ottla.bootstrap());
    let options = AdminOptions::new();
    let one = NewTopic::new("more", 1, TopicReplication::Fixed(1));
    let refused = block_on(admin.create_topics([&one], &options)).unwrap();
    let full = RDKafkaErrorCode::PolicyViolation;
    assert_eq!(refused, [Err(("more".to_owned(), full))]);
    let wider = NewPartitions::new("last", 2);
    let refused = block_on(admin.create_partitions([&wider], &options)).unwrap();
    assert_eq!(refused, [Err(("last".to_owned(), full))]);
    // What is there goes on, and what is deleted makes room.
    let mut raw = Raw::connect(ottla.address);
    assert_eq!(read_produce(&raw.ask(&raw::produce(1, -1, "last", b"goes on"))).0, 0);
    block_on(admin.delete_topics(&["wide"], &options)).unwrap();
    wait_until("room for another topic", || {
        block_on(admin.create_topics([&one], &options)).unwrap() == [Ok("more".to_owned())]
    });
}

#[test]
fn a_flood_of_producer_ids_pushes_out_the_silent_and_nobody_who_is_at_work() {
    let (ottla, sizes, _directory) = start();
    create_topic(&ottla.bootstrap(), "t", 1, &[]);
    let mut raw = Raw::connect(ottla.address);
    let mut produce = |id: i64, sequence: i32| {
        let producer = Producer { id, epoch: 0, base_sequence: sequence };
        let mut batch = BatchBuilder::new(1_600_000_000_000).producer(producer);
        batch.push(1_600_000_000_000, None, Some(b"x"), &[]);
        read_produce(&raw.ask(&raw::produce_batch(1, 1, "t", &batch.finish())))
    };
    let (at_work, first) = (7, produce(7, 0).1);
    let mut sequence = 1;
    for id in 1_000..1_000 + 2 * sizes.producers as i64 {
        assert_eq!(produce(id, 0).0, 0);
        if id % 100 == 0 {
            assert_eq!(produce(at_work, sequence).0, 0);
            sequence += 1;
        }
    }
    // A repeated batch of the one at work is recognised, a gap is refused.
    let (error, offset) = produce(at_work, sequence - 1);
    assert!(error == 0 && offset > first && offset == produce(at_work, sequence - 1).1);
    assert_eq!(produce(at_work, sequence + 5).0, 45, "OUT_OF_ORDER_SEQUENCE_NUMBER");
    // The first of the flood is forgotten: it may begin anywhere.
    assert_eq!(produce(1_000, 500).0, 0);
    assert_eq!(in_use(&ottla, "producers"), format!("{0}/{0}", sizes.producers));
}

#[test]
fn one_connection_too_many_takes_the_place_of_the_one_that_never_asked() {
    let (ottla, sizes, _directory) = start();
    let mut clients: Vec<Raw> =
        (1..sizes.connections).map(|_| Raw::connect(ottla.address)).collect();
    for raw in &mut clients {
        raw.ask(&raw::api_versions(1));
    }
    let mut stranger = Raw::connect(ottla.address);
    wait_until("the stranger to be silent for long enough", || {
        let mut newcomer = Raw::connect(ottla.address);
        newcomer.send(&raw::api_versions(1));
        newcomer.receive().is_some()
    });
    assert!(stranger.receive().is_none(), "the one that never asked is closed");
    // All who asked are still there.
    for raw in &mut clients {
        let answer = raw.ask(&raw::metadata(2, "t"));
        Reader::new(&answer, 1, false).array("brokers").unwrap();
    }
}
