//! Produce in pieces: wherever a request is cut, its answer and the log are those of the whole.

use super::*;
use crate::api::testing::{TestBroker, body, peer, random, request};
use crate::api::{Broken, Buffers, Frame, answer, go_on};
use crate::config::BrokerConfig;
use crate::limits::RESPONSE_BYTES_MAX;
use crate::wire::Writer;
use crate::wire::record::BatchBuilder;

/// The largest batch of these brokers.
const MESSAGE_BYTES_MAX: u32 = 200;

fn broker() -> TestBroker {
    let config = TestBroker::config();
    let mut test =
        TestBroker::with(BrokerConfig { message_max_bytes: MESSAGE_BYTES_MAX, ..config });
    test.topic("t", 3);
    test.topic("other", 1);
    test
}

fn batch(bytes: usize) -> Vec<u8> {
    let mut batch = BatchBuilder::new(1_000);
    batch.push(1_000, Some(b"k"), Some(&vec![7; bytes]), &[]);
    batch.finish()
}

/// The tag buffer of a client that knows more than we do.
fn tags(w: &mut Writer<'_>) {
    if w.flexible() {
        w.raw(&[2, 9, 3, 1, 2, 3, 10, 0]);
    }
}

/// Topics with their partitions and records, in order.
type Topics<'a> = &'a [(&'a str, &'a [(i32, Option<&'a [u8]>)])];

fn frame(version: i16, acks: i16, topics: Topics<'_>) -> Vec<u8> {
    request(0, version, |w| {
        w.nullable_string(None);
        w.i16(acks);
        w.i32(30_000);
        w.array(topics.len());
        for (name, partitions) in topics {
            w.string(name);
            w.array(partitions.len());
            for (index, records) in *partitions {
                w.i32(*index);
                w.nullable_bytes(*records);
                tags(w);
            }
            tags(w);
        }
        tags(w);
    })
}

/// Of everything something: good batches, refused ones, one too large, empty topics.
fn mixed(version: i16, acks: i16) -> Vec<u8> {
    let (small, large, huge) = (batch(3), batch(90), batch(300));
    let mut broken = batch(20);
    broken[80] ^= 1;
    let topics: Topics<'_> = &[
        ("t", &[(0, Some(&small)), (1, Some(&huge)), (2, Some(&large))]),
        ("missing", &[(0, Some(&small)), (1, Some(&huge))]),
        ("empty", &[]),
        ("other", &[(0, Some(&broken)), (9, Some(&small)), (0, None), (0, Some(&small))]),
        ("t", &[(0, Some(&large)), (1, Some(&small))]),
    ];
    let mut frame = frame(version, acks, topics);
    frame.extend_from_slice(b"stray");
    frame
}

/// What a request came to: outcome, answer, and how often it had to be gone on with.
type Came = Result<(Outcome, Vec<u8>, usize), Broken>;

/// A request that arrives in pieces, which `next` cuts off: it is told how much is needed. While it
/// is parked, `wake` is called.
fn arrive(
    test: &mut TestBroker,
    frame: &[u8],
    mut next: impl FnMut(usize) -> usize,
    mut wake: impl FnMut(&mut TestBroker, Parked),
) -> Came {
    // The server waits for the header as a whole.
    let mut here = header_bytes(frame).min(frame.len());
    let (mut bytes, mut pieces) = (b"before".to_vec(), Vec::new());
    let start = bytes.len();
    let (mut done, mut rounds) = (0, 0);
    let mut begun: Option<Partly> = None;
    loop {
        let part = Frame::of(&frame[done..here], frame.len() - done);
        let buffers = Buffers { bytes: &mut bytes, pieces: &mut pieces };
        let (broker, now) = (&mut test.broker, test.now);
        let outcome = match begun {
            Some(partly) => go_on(broker, now, peer(0), partly.stream, part, start, buffers),
            None => answer(broker, now, peer(0), None, None, part, buffers),
        };
        assert!(bytes.starts_with(b"before"));
        let Outcome::Partly(partly) = outcome.inspect_err(|_| assert_eq!(bytes, b"before"))? else {
            return Ok((outcome?, bytes.split_off(start), rounds));
        };
        rounds += 1;
        done += partly.consumed;
        begun = Some(partly);
        assert!(done <= here);
        match partly.parked {
            Some(parked) => wake(test, parked),
            None => {
                assert!(here < frame.len(), "all of it is here");
                assert!(here - done < partly.needed, "what was needed was here");
                here = (here + next(partly.needed - (here - done)).max(1)).min(frame.len());
            }
        }
    }
}

fn header_bytes(frame: &[u8]) -> usize {
    let flexible = frame[3] >= 9;
    14 + usize::from(flexible)
}

fn no_park(_: &mut TestBroker, parked: Parked) {
    panic!("{parked:?}");
}

/// All that the partitions hold.
fn stored(test: &mut TestBroker) -> Vec<u8> {
    test.sync();
    let mut all = Vec::new();
    for (name, partition) in [("t", 0), ("t", 1), ("t", 2), ("other", 0)] {
        let (_, view) = test.broker.find_partition(name, partition).unwrap();
        all.extend_from_slice(&view.log_end_offset.to_be_bytes());
        if view.log_end_offset > 0 {
            let slice = test.broker.read(view.index, 0, 1 << 20, true).unwrap().unwrap();
            let mut bytes = vec![0; slice.bytes as usize];
            slice.file.read_exact_at(&mut bytes, u64::from(slice.position)).unwrap();
            all.extend_from_slice(&bytes);
        }
    }
    all
}

/// What the whole comes to: the answer and the log.
fn whole(frame: &[u8]) -> (Outcome, Vec<u8>, Vec<u8>) {
    let mut test = broker();
    let (mut bytes, mut pieces) = (Vec::new(), Vec::new());
    let buffers = Buffers { bytes: &mut bytes, pieces: &mut pieces };
    let part = Frame::whole(frame);
    let outcome = answer(&mut test.broker, test.now, peer(0), None, None, part, buffers);
    (outcome.unwrap(), bytes, stored(&mut test))
}

fn codes(answer: &[u8], version: i16) -> Vec<i16> {
    let header = 8 + usize::from(version >= 9);
    let mut r = body(&answer[header..], 0, version);
    let mut codes = Vec::new();
    for _ in 0..r.array("responses").unwrap() {
        r.string("name").unwrap();
        for _ in 0..r.array("partition_responses").unwrap() {
            r.i32("index").unwrap();
            codes.push(r.i16("error_code").unwrap());
            r.take("offset and time", 16).unwrap();
            r.since(5, -1, |r| r.i64("log_start_offset")).unwrap();
            r.since(8, 0, |r| r.array("record_errors")).unwrap();
            r.since(8, None, |r| r.nullable_string("error_message")).unwrap();
            r.tags().unwrap();
        }
        r.tags().unwrap();
    }
    codes
}

#[test]
fn the_whole_request_is_answered_partition_by_partition() {
    for version in 3..=9 {
        let (outcome, answer, _) = whole(&mixed(version, -1));
        assert!(matches!(outcome, Outcome::AfterSync(_)));
        assert_eq!(codes(&answer, version), [0, 10, 0, 3, 3, 2, 3, 87, 0, 0, 0], "v{version}");
    }
}

#[test]
fn wherever_a_request_is_cut_in_two_answer_and_log_are_those_of_the_whole() {
    for version in [7, 9] {
        let frame = mixed(version, -1);
        let expected = whole(&frame);
        let header = header_bytes(&frame);
        for cut in header + 1..frame.len() {
            let mut test = broker();
            let mut pieces = [cut - header, usize::MAX >> 1].into_iter();
            let came = arrive(&mut test, &frame, |_| pieces.next().unwrap(), no_park);
            let (outcome, answer, rounds) = came.unwrap();
            assert_eq!(rounds, 2, "v{version} cut at {cut}");
            let came = (outcome, answer, stored(&mut test));
            assert!(came == expected, "v{version} cut at {cut}: {came:?}");
        }
    }
}

#[test]
fn byte_by_byte_or_in_any_pieces_it_is_the_same() {
    let mut state = 7;
    for (version, acks) in [(3, -1), (5, 1), (8, -1), (9, 1)] {
        let frame = mixed(version, acks);
        let expected = whole(&frame);
        for piece in (1..40).chain([usize::MAX >> 1]) {
            let mut test = broker();
            let next = |_| match piece {
                1 => 1,
                most => random(&mut state) as usize % most,
            };
            let (outcome, answer, _) = arrive(&mut test, &frame, next, no_park).unwrap();
            let came = (outcome, answer, stored(&mut test));
            assert!(came == expected, "v{version}, pieces below {piece}: {came:?}");
        }
    }
}

#[test]
fn a_batch_is_asked_for_in_one_go() {
    for version in [7, 9] {
        let large = batch(90);
        let partitions = vec![(0, Some(&large[..])); 50];
        let frame = frame(version, -1, &[("t", &partitions)]);
        let came = arrive(&mut broker(), &frame, |needed| needed, no_park);
        let (_, answer, rounds) = came.unwrap();
        assert_eq!(codes(&answer, version), [0; 50]);
        // Five bytes of a partition one by one, its batch, and its unknown tags.
        assert!(rounds < 50 * 20, "{rounds}");
    }
}

#[test]
fn with_acks_0_there_is_no_answer_and_a_refusal_closes() {
    let small = batch(3);
    let good = frame(9, 0, &[("t", &[(0, Some(&small)), (1, Some(&small))])]);
    let mut test = broker();
    let (outcome, answer, _) = arrive(&mut test, &good, |_| 5, no_park).unwrap();
    assert_eq!((outcome, answer), (Outcome::Silent, Vec::new()));
    let came = arrive(&mut broker(), &mixed(9, 0), |_| 5, no_park);
    assert!(matches!(came, Err(Broken::Refused(_))), "{came:?}");
}

#[test]
fn other_acks_refuse_all_partitions_however_large() {
    let frame = mixed(9, 2);
    let expected = whole(&frame);
    assert_eq!(codes(&expected.1, 9), [21; 11]);
    let mut test = broker();
    let (outcome, answer, _) = arrive(&mut test, &frame, |_| 5, no_park).unwrap();
    assert!((outcome, answer, stored(&mut test)) == expected);
}

#[test]
fn a_request_that_ends_too_early_is_malformed_and_what_was_appended_stays() {
    let frame = mixed(9, -1);
    let mut ends = Vec::new();
    for length in header_bytes(&frame)..frame.len() - b"stray".len() {
        let mut test = broker();
        let came = arrive(&mut test, &frame[..length], |_| 50, no_park);
        assert!(matches!(came, Err(Broken::Malformed(0, _))), "{length}: {came:?}");
        ends.push(stored(&mut test).len());
    }
    assert!(ends.is_sorted());
    assert!(ends.first() < ends.last());
}

#[test]
fn without_room_it_is_parked_midway_and_appends_nothing_twice() {
    let four_kib = {
        let mut batch = BatchBuilder::new(0);
        batch.push(0, None, Some(&[7; 4096]), &[]);
        batch.finish()
    };
    let mut state = 3;
    for version in [7, 9] {
        let partitions = vec![(0, Some(&four_kib[..])); 200];
        let frame = frame(version, -1, &[("t", &partitions)]);
        let mut test = TestBroker::new();
        test.topic("t", 1);
        let mut parks = 0;
        let wake = |test: &mut TestBroker, parked: Parked| {
            assert_eq!(parked.waiting, Waiting::Room);
            // Woken in vain at first, every other time.
            if parks % 2 == 1 {
                test.broker.checkpoint(true, false, test.now).unwrap();
                test.sync();
            }
            parks += 1;
        };
        let next = |_| random(&mut state) as usize % 9_000;
        let (outcome, answer, _) = arrive(&mut test, &frame, next, wake).unwrap();
        assert_eq!(outcome, Outcome::AfterSync(test.broker.storage().last()));
        assert_eq!(codes(&answer, version), [0; 200]);
        assert!(parks > 3, "{parks}");
        let (_, view) = test.broker.find_partition("t", 0).unwrap();
        assert_eq!(view.log_end_offset, 200);
    }
}

#[test]
fn a_name_or_tags_without_end_are_not_waited_for() {
    let huge = vec![b'x'; 2 * PRODUCE_ELEMENT_BYTES_MAX];
    let name = request(0, 9, |w| {
        w.nullable_string(None);
        w.i16(-1);
        w.i32(30_000);
        w.array(1);
        w.string(core::str::from_utf8(&huge).unwrap());
        w.array(0);
    });
    let small = batch(3);
    let mut tags = frame(9, -1, &[("t", &[(0, Some(&small))])]);
    // In front of two other tag buffers.
    tags.truncate(tags.len() - 3 * 8);
    tags.extend_from_slice(&[1, 9, 0x80, 0x80, 0x08]);
    tags.extend_from_slice(&huge);
    for frame in [name, tags] {
        let mut test = broker();
        let mut arrived = 0;
        let next = |_| {
            arrived += 1_000;
            1_000
        };
        let came = arrive(&mut test, &frame, next, no_park);
        assert!(matches!(came, Err(Broken::Malformed(0, _))), "{came:?}");
        assert!(arrived < PRODUCE_ELEMENT_BYTES_MAX + 3_000, "{arrived}");
    }
}

#[test]
fn an_answer_that_grows_too_large_ends_the_request_before_all_is_appended() {
    let small = batch(3);
    let mut partitions = vec![(0, None); RESPONSE_BYTES_MAX / 50];
    partitions.push((0, Some(&small[..])));
    let frame = frame(8, -1, &[("t", &partitions)]);
    let mut test = broker();
    let came = arrive(&mut test, &frame, |_| 50_000, no_park);
    assert_eq!(came, Err(Broken::TooLarge(0)));
    let (_, view) = test.broker.find_partition("t", 0).unwrap();
    assert_eq!(view.log_end_offset, 0);
}
