//! A connection's tests: bytes in, bytes out, no socket.

use super::*;
use crate::api::testing::{TestBroker, request};
use crate::limits::TOPIC_MESSAGE_BYTES_MAX;
use crate::wire::record::BatchBuilder;

struct Wire {
    test: TestBroker,
    connection: Connection,
    sent: Vec<u8>,
}

impl Wire {
    fn new() -> Wire {
        let mut test = TestBroker::new();
        test.topic("t", 1);
        let address = "127.0.0.1:4000".parse().unwrap();
        let local = "127.0.0.1:9092".parse().unwrap();
        let peer = Peer { slot: 0, address, local };
        Wire { test, connection: Connection::new(peer), sent: Vec::new() }
    }

    fn work(&mut self) -> Result<Worked, Fault> {
        let storage = self.test.broker.storage();
        self.connection.release(storage.written(), storage.durable());
        let worked = self.connection.work(&mut self.test.broker, self.test.now, None)?;
        let storage = self.test.broker.storage();
        self.connection.release(storage.written(), storage.durable());
        Ok(worked)
    }

    /// Bytes arrive, in pieces of at most `step`, and are worked on as they come.
    fn arrive(&mut self, mut bytes: &[u8], step: usize) -> Result<(), Fault> {
        while !bytes.is_empty() {
            if self.connection.needs_large_buffer()? {
                self.connection.give_large_buffer(Vec::new());
            }
            let room = self.connection.room(false)?;
            let count = room.len().min(bytes.len()).min(step);
            assert!(count > 0, "no room though nothing is in the way");
            room[..count].copy_from_slice(&bytes[..count]);
            self.connection.received(count);
            bytes = &bytes[count..];
            self.work()?;
        }
        Ok(())
    }

    /// Takes what may be sent, a few bytes at a time.
    fn drain(&mut self) -> usize {
        let before = self.sent.len();
        loop {
            let count = match self.connection.next_send() {
                Send::Nothing => return self.sent.len() - before,
                Send::Bytes(bytes) => {
                    let count = bytes.len().min(7);
                    self.sent.extend_from_slice(&bytes[..count]);
                    count
                }
                Send::File { piece, position, count } => {
                    let mut part = vec![0; count.min(11)];
                    piece.slice.file.read_exact_at(&mut part, position).unwrap();
                    self.sent.extend_from_slice(&part);
                    part.len()
                }
            };
            self.connection.sent(count);
        }
    }

    /// The correlation ids of whole answers that were sent.
    fn answered(&self) -> Vec<i32> {
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

fn frame(
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
    let mut builder = BatchBuilder::new(0);
    builder.push(0, None, Some(value), &[]);
    let batch = builder.finish();
    frame(id, 0, 7, |w| {
        w.nullable_string(None);
        w.i16(acks);
        w.i32(1000);
        w.array(1);
        w.string("t");
        w.array(1);
        w.i32(0);
        w.bytes(&batch);
    })
}

fn versions(id: i32) -> Vec<u8> {
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
    assert!(!wire.connection.can_work());
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
fn a_large_request_borrows_a_buffer_that_grows_with_what_arrives() {
    let mut wire = Wire::new();
    let large = produce(1, 1, &vec![1; 30_000]);
    wire.arrive(&large[..5_000], 4096).unwrap();
    assert!(wire.connection.input.bytes.len() < 20_000, "only a claim so far");
    wire.arrive(&large[5_000..], 4096).unwrap();
    wire.test.sync();
    wire.work().unwrap();
    wire.drain();
    assert_eq!(wire.answered(), [1]);
    assert!(wire.connection.take_large_buffer().is_some());
}

#[test]
fn a_topic_may_take_larger_batches_than_the_broker_up_to_a_limit() {
    let mut wire = Wire::new();
    for (topic, bytes) in [("large", 3 << 20), ("huge", i32::MAX)] {
        let create = frame(1, 19, 2, |w| {
            w.array(1);
            w.string(topic);
            w.i32(1);
            w.i16(1);
            w.array(0);
            w.array(1);
            w.string("max.message.bytes");
            w.nullable_string(Some(&bytes.to_string()));
            w.i32(1000);
            w.bool(false);
        });
        wire.arrive(&create, 4096).unwrap();
        let limit = TOPIC_MESSAGE_BYTES_MAX.min(bytes as u32) as usize + REQUEST_OVERHEAD_BYTES;
        assert_eq!(wire.connection.request_bytes_max, limit);
    }
}

#[test]
fn impossible_frame_lengths_are_faults() {
    for length in [-1, 0, 7, 1_048_588 + (1 << 20) + 1, i32::MAX, i32::MIN] {
        let mut wire = Wire::new();
        let result = wire.arrive(&length.to_be_bytes(), 4);
        assert!(matches!(result, Err(Fault::FrameLength(l)) if l == length), "{length}");
    }
}
