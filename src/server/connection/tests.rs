//! A connection's tests: bytes in, bytes out, no socket.

use super::*;
use crate::api::testing::{TestBroker, request};
use crate::config::BrokerConfig;
use crate::limits::{Board, Sizes};
use crate::wire::record::BatchBuilder;

pub(super) struct Wire {
    pub test: TestBroker,
    pub connection: Connection,
    pub shared: Shared,
    pub sent: Vec<u8>,
}

impl Wire {
    pub fn new() -> Wire {
        Wire::with(TestBroker::config())
    }

    pub fn with(config: BrokerConfig) -> Wire {
        let mut test = TestBroker::with(config);
        test.topic("t", 1);
        let address = "127.0.0.1:4000".parse().unwrap();
        let local = "127.0.0.1:9092".parse().unwrap();
        let peer = Peer { slot: 0, address, local };
        let sizes = test.broker.config().sizes;
        let shared = Shared::new(&sizes, &**test.broker.storage().disk());
        let memory = SeatMemory::for_all(&sizes).next().unwrap();
        Wire { test, connection: Connection::new(peer, memory), shared, sent: Vec::new() }
    }

    pub fn work(&mut self) -> Result<Worked, Fault> {
        let storage = self.test.broker.storage();
        self.connection.release(storage.written(), storage.durable());
        let mut sum = Worked::default();
        loop {
            let (broker, now) = (&mut self.test.broker, self.test.now);
            let worked = self.connection.work(broker, now, None, &mut self.shared)?;
            sum.requests += worked.requests;
            if worked.requests < TURN_REQUESTS {
                break;
            }
        }
        let storage = self.test.broker.storage();
        self.connection.release(storage.written(), storage.durable());
        Ok(sum)
    }

    /// Bytes arrive, in pieces of at most `step`, and are worked on as they come.
    pub fn arrive(&mut self, mut bytes: &[u8], step: usize) -> Result<(), Fault> {
        while !bytes.is_empty() {
            let count = self.read(&bytes[..bytes.len().min(step)])?;
            assert!(count > 0, "no room though nothing is in the way");
            bytes = &bytes[count..];
            self.work()?;
        }
        Ok(())
    }

    /// As many of these bytes arrive as there is room for.
    pub fn read(&mut self, bytes: &[u8]) -> Result<usize, Fault> {
        assert!(self.connection.take_buffer(&mut self.shared)?, "nobody else has one");
        let room = self.connection.room(false)?;
        let count = room.len().min(bytes.len());
        room[..count].copy_from_slice(&bytes[..count]);
        self.connection.received(count);
        Ok(count)
    }

    /// Takes what may be sent, a few bytes at a time.
    pub fn drain(&mut self) -> usize {
        let before = self.sent.len();
        loop {
            let count = match self.connection.next_send() {
                Send::Nothing => return self.sent.len() - before,
                Send::Bytes { bytes, .. } => {
                    let count = bytes.len().min(7);
                    self.sent.extend_from_slice(&bytes[..count]);
                    count
                }
                Send::File { file, position, count } => {
                    let mut part = vec![0; count.min(11)];
                    file.read_exact_at(&mut part, position).unwrap();
                    self.sent.extend_from_slice(&part);
                    part.len()
                }
            };
            self.connection.sent(count, &mut self.shared);
        }
    }

    /// The correlation ids of whole answers that were sent.
    pub fn answered(&self) -> Vec<i32> {
        let (mut at, mut ids) = (0, Vec::new());
        while at < self.sent.len() {
            let word = |at: usize| {
                let mut raw = [0; 4];
                raw.copy_from_slice(&self.sent[at..at + 4]);
                i32::from_be_bytes(raw)
            };
            ids.push(word(at + 4));
            at += 4 + word(at) as usize;
        }
        assert_eq!(at, self.sent.len(), "a whole number of answers");
        ids
    }
}

pub(super) fn frame(
    id: i32,
    key: i16,
    version: i16,
    body: impl FnOnce(&mut crate::wire::Writer<'_>),
) -> Vec<u8> {
    let mut bytes = request(key, version, body);
    bytes[4..8].copy_from_slice(&id.to_be_bytes());
    let mut framed = (bytes.len() as i32).to_be_bytes().to_vec();
    framed.append(&mut bytes);
    framed
}

fn produce(id: i32, acks: i16, value: &[u8]) -> Vec<u8> {
    produce_many(id, acks, &[value])
}

/// A batch for each of `values`.
pub(super) fn produce_many(id: i32, acks: i16, values: &[&[u8]]) -> Vec<u8> {
    frame(id, 0, 7, |w| {
        w.nullable_string(None);
        w.i16(acks);
        w.i32(1000);
        w.array(1);
        w.string("t");
        w.array(values.len());
        for value in values {
            let mut builder = BatchBuilder::new(0);
            builder.push(0, None, Some(value), &[]);
            w.i32(0);
            w.bytes(&builder.finish());
        }
    })
}

pub(super) fn versions(id: i32) -> Vec<u8> {
    frame(id, 18, 0, |_| ())
}

fn fetch(id: i32, offset: i64) -> Vec<u8> {
    frame(id, 1, 4, |w| {
        w.i32(-1);
        w.i32(500);
        w.i32(1);
        w.i32(1 << 20);
        w.i8(0);
        w.array(1);
        w.string("t");
        w.array(1);
        w.i32(0);
        w.i64(offset);
        w.i32(1 << 20);
    })
}

#[test]
fn requests_may_come_byte_by_byte_or_all_at_once() {
    let all: Vec<u8> = (0..9).flat_map(versions).collect();
    for step in [1, 3, 100, 4096] {
        let mut wire = Wire::new();
        wire.arrive(&all, step).unwrap();
        wire.drain();
        assert_eq!(wire.answered(), (0..9).collect::<Vec<_>>());
        assert!(wire.connection.is_idle());
    }
}

#[test]
fn an_answer_that_waits_for_a_sync_holds_back_those_behind_it() {
    let mut wire = Wire::new();
    let all = [versions(1), produce(2, -1, b"x"), versions(3), produce(4, 1, b"y")].concat();
    wire.arrive(&all, 4096).unwrap();
    wire.drain();
    assert_eq!(wire.answered(), [1]);
    assert!(wire.connection.awaits_sync());
    wire.test.sync();
    wire.work().unwrap();
    wire.drain();
    assert_eq!(wire.answered(), [1, 2, 3, 4]);
}

#[test]
fn no_more_than_the_limit_wait_at_once_and_the_rest_follows() {
    let mut wire = Wire::new();
    let count = PRODUCE_IN_FLIGHT_MAX as i32 + 5;
    let all: Vec<u8> = (0..count).flat_map(|id| produce(id, -1, b"x")).collect();
    wire.arrive(&all, 4096).unwrap();
    assert!(!wire.connection.can_work(&wire.shared));
    wire.test.sync();
    wire.work().unwrap();
    wire.test.sync();
    wire.work().unwrap();
    wire.drain();
    assert_eq!(wire.answered(), (0..count).collect::<Vec<_>>());
}

#[test]
fn files_stand_between_the_bytes_of_their_answers() {
    let mut wire = Wire::new();
    wire.arrive(&produce(1, -1, &[7; 900]), 4096).unwrap();
    wire.test.sync();
    wire.work().unwrap();
    let all = [fetch(2, 0), fetch(3, 0), versions(4)].concat();
    wire.arrive(&all, 4096).unwrap();
    assert!(wire.drain() > 2 * 900);
    assert_eq!(wire.answered(), [1, 2, 3, 4]);
    assert_eq!(wire.sent.iter().filter(|byte| **byte == 7).count() / 900, 2);
}

#[test]
fn a_parked_fetch_keeps_its_place_and_its_bytes() {
    let mut wire = Wire::new();
    wire.arrive(&[fetch(1, 0), versions(2)].concat(), 4096).unwrap();
    wire.drain();
    assert!(wire.connection.is_parked() && wire.answered().is_empty());
    wire.test.now.mono = wire.connection.deadline().unwrap();
    wire.work().unwrap();
    wire.drain();
    assert_eq!(wire.answered(), [1, 2]);
}

#[test]
fn a_large_request_borrows_a_buffer_that_is_large_enough() {
    let mut wire = Wire::new();
    for (bytes, size) in [(30_000, Size::Read), (200_000, Size::Batch)] {
        let large = produce(1, 1, &vec![1; bytes]);
        wire.arrive(&large[..5_000], 4096).unwrap();
        assert_eq!(wire.connection.input.size(), size);
        wire.arrive(&large[5_000..], 4096).unwrap();
        wire.test.sync();
        wire.work().unwrap();
        wire.drain();
        assert!(wire.connection.can_spare_buffer());
        wire.connection.spare_buffer(&mut wire.shared);
        assert_eq!(wire.connection.input.size(), Size::Own);
    }
    assert_eq!(wire.answered(), [1, 1]);
    assert!(wire.shared.usages().iter().all(|usage| usage.used == 0));
}

#[test]
fn a_topic_may_take_larger_batches_than_the_broker_as_far_as_the_buffers_go() {
    for (board, wanted, most) in [
        (Board::DEFAULT, 3 << 20, Board::DEFAULT.message_bytes),
        (Board::DESKTOP, 3 << 20, 3 << 20),
        (Board::DESKTOP, i32::MAX, Board::DESKTOP.message_bytes),
    ] {
        let config = BrokerConfig { sizes: Sizes::of(&board), ..TestBroker::config() };
        let mut wire = Wire::with(config);
        let create = frame(1, 19, 2, |w| {
            w.array(1);
            w.string("large");
            w.i32(1);
            w.i16(1);
            w.array(0);
            w.array(1);
            w.string("max.message.bytes");
            w.nullable_string(Some(&wanted.to_string()));
            w.i32(1000);
            w.bool(false);
        });
        wire.arrive(&create, 4096).unwrap();
        assert_eq!(wire.test.broker.message_bytes_max(), most as usize);
    }
}

#[test]
fn impossible_frame_lengths_are_faults() {
    for length in [-1, 0, 7, (100 << 20) + 1, i32::MAX, i32::MIN] {
        let mut wire = Wire::new();
        let result = wire.arrive(&length.to_be_bytes(), 4);
        assert!(matches!(result, Err(Fault::FrameLength(l)) if l == length), "{length}");
    }
}

#[test]
fn only_a_produce_request_may_be_larger_than_a_batch_buffer() {
    let most = Sizes::default().batch_buffer_bytes as i32 - 4;
    for (length, key, fits) in [(most, 1, true), (most + 1, 1, false), (100 << 20, 0, true)] {
        let bytes = [&i32::to_be_bytes(length)[..], &i16::to_be_bytes(key)].concat();
        for step in [1, 6] {
            let mut wire = Wire::new();
            let result = wire.arrive(&bytes, step);
            assert_eq!(result.is_ok(), fits, "{length} {key}");
        }
    }
}

/// A broker whose batches have 10,000 bytes at most.
fn small_batches(journal_bytes: u32) -> Wire {
    let config = BrokerConfig { message_max_bytes: 10_000, ..TestBroker::config() };
    Wire::with(BrokerConfig { journal_bytes, ..config })
}

pub(super) fn log_end(wire: &Wire) -> i64 {
    let broker = &wire.test.broker;
    broker.find_partition("t", 0).unwrap().1.log_end_offset
}

#[test]
fn a_produce_request_of_any_size_needs_room_for_one_batch_and_keeps_its_place() {
    let value = [7; 9_000];
    let large = produce_many(3, -1, &[&value[..]; 200]);
    for step in [100, 4_096, 1 << 20] {
        let mut wire = small_batches(8 << 20);
        let all = [versions(1), produce(2, -1, b"x"), large.clone(), versions(4)].concat();
        wire.arrive(&all[..all.len() / 2], step).unwrap();
        assert!(wire.connection.is_midway() && !wire.connection.is_idle());
        assert!(wire.connection.input.size() <= Size::Read, "step {step}");
        let appended = log_end(&wire);
        assert!((90..110).contains(&appended), "{appended}");
        // The answers before it do not wait for it.
        wire.test.sync();
        wire.work().unwrap();
        wire.drain();
        assert_eq!(wire.answered(), [1, 2]);
        assert!(wire.connection.is_flushed());
        wire.arrive(&all[all.len() / 2..], step).unwrap();
        assert!(!wire.connection.is_midway());
        wire.drain();
        assert_eq!(wire.answered(), [1, 2], "it waits for its sync");
        wire.test.sync();
        wire.work().unwrap();
        wire.drain();
        assert_eq!(wire.answered(), [1, 2, 3, 4]);
        assert_eq!(log_end(&wire), 201);
        assert!(wire.connection.is_idle());
        assert!(wire.connection.can_spare_buffer());
    }
}

#[test]
fn a_large_request_that_finds_no_room_is_parked_midway_and_goes_on() {
    let mut wire = small_batches(256 * 1024);
    let all = [produce_many(1, -1, &[&[7; 9_000][..]; 300]), versions(2)].concat();
    let (mut at, mut parks) = (0, 0);
    while at < all.len() {
        if wire.connection.is_parked() {
            parks += 1;
            assert!(wire.connection.is_midway() && wire.connection.awaits_sync());
            let before = log_end(&wire);
            wire.work().unwrap();
            assert_eq!(log_end(&wire), before, "woken in vain");
            wire.test.broker.checkpoint(true, false, wire.test.now).unwrap();
            wire.test.sync();
            wire.work().unwrap();
            continue;
        }
        at += wire.read(&all[at..all.len().min(at + 1_000)]).unwrap();
        wire.work().unwrap();
    }
    wire.test.sync();
    wire.work().unwrap();
    wire.drain();
    assert!(parks > 1, "{parks}");
    assert_eq!(wire.answered(), [1, 2]);
    assert_eq!(log_end(&wire), 300);
}

#[test]
fn a_batch_too_large_for_any_topic_is_passed_over_without_being_kept() {
    let mut wire = small_batches(8 << 20);
    let large = vec![7; 3_000_000];
    let all = [produce_many(1, -1, &[b"x", &large, b"y"]), versions(2)].concat();
    wire.arrive(&all[..1_000_000], 4_096).unwrap();
    assert!(wire.connection.input.size() <= Size::Read, "nothing is kept");
    wire.arrive(&all[1_000_000..], 100_000).unwrap();
    wire.test.sync();
    wire.work().unwrap();
    wire.drain();
    assert_eq!(wire.answered(), [1, 2]);
    let code = |n: usize| i16::from_be_bytes([wire.sent[23 + 30 * n], wire.sent[24 + 30 * n]]);
    assert_eq!([code(0), code(1), code(2)], [0, 10, 0]);
    assert_eq!(log_end(&wire), 2);
}

#[test]
fn a_large_request_without_an_answer_leaves_nothing_behind() {
    let mut wire = small_batches(8 << 20);
    let large = produce_many(2, 0, &[&[7; 9_000][..]; 50]);
    wire.arrive(&[versions(1), large[..200_000].to_vec()].concat(), 4_096).unwrap();
    wire.drain();
    assert_eq!(wire.answered(), [1]);
    wire.arrive(&large[200_000..], 4_096).unwrap();
    assert!(wire.connection.is_idle() && wire.connection.is_flushed());
    assert_eq!(log_end(&wire), 50);
}

#[test]
fn while_others_wait_the_large_buffer_is_free_between_two_batches() {
    let mut wire = small_batches(8 << 20);
    let all = produce_many(1, -1, &[&[7; 9_000][..]; 50]);
    let (mut at, mut spared) = (0, 0);
    while at < all.len() {
        if wire.connection.can_spare_buffer() {
            wire.connection.spare_buffer(&mut wire.shared);
            spared += 1;
        }
        at += wire.read(&all[at..]).unwrap();
        wire.work().unwrap();
    }
    assert!(spared >= 49, "{spared}");
    assert_eq!(log_end(&wire), 50);
}
