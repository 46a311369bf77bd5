//! A connection's answers where room is scarce: small buffers, shared ones, files.

use super::tests::{Wire, frame, log_end, produce_many, versions};
use super::*;
use crate::api::testing::TestBroker;
use crate::config::BrokerConfig;
use crate::limits::Board;
use crate::server::pool::Pool;

/// A broker with so many partitions that Metadata of them all takes more than an answer buffer.
fn many_partitions() -> Wire {
    let config = BrokerConfig { sizes: Sizes::of(&Board::DESKTOP), ..TestBroker::config() };
    let mut wire = Wire::with(config);
    wire.test.topic("many", 3_000);
    wire
}

fn metadata(id: i32) -> Vec<u8> {
    frame(id, 3, 1, |w| w.nullable_array(None))
}

#[test]
fn an_answer_larger_than_a_buffer_goes_through_a_file_and_is_the_same() {
    let mut wire = many_partitions();
    let (_, body) = wire.test.ask(3, 1, |w| w.nullable_array(None));
    assert!(body.len() > OUTPUT_BYTES_MAX + 10_000, "{}", body.len());
    wire.arrive(&[versions(1), metadata(2)].concat(), 4096).unwrap();
    // What stands before a large answer leaves first.
    wire.drain();
    wire.work().unwrap();
    assert!(wire.connection.output.is_spilled());
    wire.arrive(&[versions(3), metadata(4)].concat(), 4096).unwrap();
    for _ in 0..4 {
        wire.drain();
        wire.work().unwrap();
    }
    assert_eq!(wire.answered(), [1, 2, 3, 4]);
    let answers = wire.sent.windows(body.len()).filter(|part| *part == body).count();
    assert_eq!(answers, 2);
    assert!(wire.connection.is_idle());
    assert!(wire.shared.usages().iter().all(|usage| usage.used == 0));
}

/// Others have them all.
fn all_of<T>(pool: &mut Pool<T>) -> Vec<(u32, T)> {
    let mut taken = Vec::new();
    for slot in 100.. {
        match pool.take(slot) {
            Some(one) => taken.push((slot, one)),
            None => {
                pool.forget(slot);
                break;
            }
        }
    }
    taken
}

#[test]
fn without_a_buffer_an_answer_waits_for_its_turn_and_small_ones_do_not() {
    let mut wire = many_partitions();
    let taken = all_of(&mut wire.shared.answer);
    wire.arrive(&[versions(1), metadata(2)].concat(), 4096).unwrap();
    wire.drain();
    wire.work().unwrap();
    wire.drain();
    assert_eq!(wire.answered(), [1]);
    assert!(!wire.connection.can_work(&wire.shared) && !wire.connection.is_clients_turn());
    for (slot, block) in taken {
        wire.shared.answer.give_back(slot, block);
    }
    assert_eq!(wire.shared.answer.next().collect::<Vec<_>>(), [0]);
    wire.work().unwrap();
    wire.drain();
    assert_eq!(wire.answered(), [1, 2]);
}

#[test]
fn without_a_file_too() {
    let mut wire = many_partitions();
    let taken = all_of(&mut wire.shared.spill);
    wire.arrive(&metadata(1), 4096).unwrap();
    assert!(!wire.connection.can_work(&wire.shared));
    assert_eq!(wire.shared.spill.next().count(), 0);
    for (slot, file) in taken {
        wire.shared.spill.give_back(slot, file);
    }
    wire.work().unwrap();
    wire.drain();
    assert_eq!(wire.answered(), [1]);
}

#[test]
fn what_changes_something_is_not_begun_without_room_for_its_answer() {
    let mut wire = Wire::new();
    let taken = all_of(&mut wire.shared.answer);
    let create = frame(1, 19, 2, |w| {
        w.array(1);
        w.string("new");
        w.i32(1);
        w.i16(1);
        w.array(0);
        w.array(0);
        w.i32(1000);
        w.bool(false);
    });
    wire.arrive(&create, 4096).unwrap();
    assert!(wire.test.broker.find_partition("new", 0).is_none());
    for (slot, block) in taken {
        wire.shared.answer.give_back(slot, block);
    }
    wire.work().unwrap();
    assert!(wire.test.broker.find_partition("new", 0).is_some());
}

#[test]
fn a_produce_answer_that_finds_no_room_stops_between_two_batches() {
    let mut wire = Wire::new();
    let taken = all_of(&mut wire.shared.answer);
    let all = produce_many(1, -1, &[&[7; 10][..]; 200]);
    let mut at = 0;
    while at < all.len() && wire.connection.begun.is_none() {
        at += wire.read(&all[at..]).unwrap();
        wire.work().unwrap();
    }
    let appended = log_end(&wire);
    assert!((20..100).contains(&appended), "{appended}");
    for (slot, block) in taken {
        wire.shared.answer.give_back(slot, block);
    }
    wire.work().unwrap();
    wire.arrive(&all[at..], 4096).unwrap();
    assert_eq!(log_end(&wire), 200);
    wire.test.sync();
    wire.work().unwrap();
    wire.drain();
    assert_eq!(wire.answered(), [1]);
}

#[test]
fn a_join_that_waits_keeps_no_shared_buffer() {
    let mut wire = Wire::new();
    let join = frame(1, 11, 3, |w| {
        w.string("g");
        w.i32(10_000);
        w.i32(10_000);
        w.string("");
        w.string("consumer");
        w.array(1);
        w.string("range");
        w.bytes(&vec![1; 20_000]);
    });
    // Somebody else is in the group, so that this one waits for it.
    wire.test.stable_member();
    wire.arrive(&join, 4096).unwrap();
    assert!(wire.connection.is_parked());
    assert_eq!(wire.connection.input.size(), Size::Own);
    wire.arrive(&versions(2), 4096).unwrap();
    wire.test.now.mono = Millis(1_000_000);
    wire.test.broker.handle_timeout(wire.test.now);
    wire.work().unwrap();
    wire.drain();
    assert_eq!(wire.answered(), [1, 2]);
}
