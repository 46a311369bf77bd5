//! Fetch, byte for byte in every version, and what it shows of a log and when.

use super::*;
use crate::api::testing::{Golden, TestBroker, body, golden, request};
use crate::limits::{FETCH_SYNC_PAUSE_MS, RESPONSE_FILES_MAX};
use crate::wire::batch;

/// One partition of a request: topic, partition, offset, partition_max_bytes, known leader epoch.
type Part<'a> = (&'a str, i32, i64, i32, i32);

/// What the answer says of one partition.
#[derive(Debug, PartialEq)]
struct Answer {
    code: i16,
    high_watermark: i64,
    log_start_offset: i64,
    records: Vec<u8>,
}

/// What a request asks for beside its partitions.
#[derive(Clone, Copy)]
struct Ask {
    max_wait_ms: i32,
    min_bytes: i32,
    max_bytes: i32,
    session: (i32, i32),
}

/// As much as there is, at once.
const ALL: Ask = Ask { max_wait_ms: 0, min_bytes: 1, max_bytes: 1 << 20, session: (0, -1) };

/// For half a second until a byte is there.
const WAIT: Ask = Ask { max_wait_ms: 500, ..ALL };

const MIB: i32 = 1 << 20;

fn frame(ask: Ask, parts: &[Part<'_>]) -> Vec<u8> {
    request(1, 11, |w| {
        w.i32(-1);
        w.i32(ask.max_wait_ms);
        w.i32(ask.min_bytes);
        w.i32(ask.max_bytes);
        w.i8(0);
        w.i32(ask.session.0);
        w.i32(ask.session.1);
        w.array(parts.len());
        for (topic, partition, offset, max, epoch) in parts {
            w.string(topic);
            w.array(1);
            w.i32(*partition);
            w.i32(*epoch);
            w.i64(*offset);
            w.i64(-1);
            w.i32(*max);
        }
        w.array(0);
        w.string("");
    })
}

/// The answer's own error code, and those of its partitions.
fn answers(bytes: &[u8]) -> (i16, Vec<Answer>) {
    let mut r = body(bytes, 1, 11);
    assert_eq!(r.i32("throttle_time_ms"), Ok(0));
    let code = r.i16("error_code").unwrap();
    assert_eq!(r.i32("session_id"), Ok(0));
    let mut all = Vec::new();
    for _ in 0..r.array("responses").unwrap() {
        r.string("topic").unwrap();
        assert_eq!(r.array("partitions"), Ok(1));
        r.i32("partition_index").unwrap();
        let code = r.i16("error_code").unwrap();
        let high_watermark = r.i64("high_watermark").unwrap();
        assert_eq!(r.i64("last_stable_offset"), Ok(high_watermark));
        let log_start_offset = r.i64("log_start_offset").unwrap();
        assert_eq!(r.array("aborted_transactions"), Ok(0));
        assert_eq!(r.i32("preferred_read_replica"), Ok(-1));
        let records = r.bytes("records").unwrap().to_vec();
        all.push(Answer { code, high_watermark, log_start_offset, records });
    }
    assert_eq!(r.rest(), b"");
    (code, all)
}

/// Asks, and expects an answer at once.
fn fetch(test: &mut TestBroker, ask: Ask, parts: &[Part<'_>]) -> Vec<Answer> {
    let (outcome, bytes) = test.ask_raw(&frame(ask, parts));
    assert_eq!(outcome, Outcome::Now);
    let (code, all) = answers(&bytes);
    assert_eq!((code, all.len()), (0, parts.len()));
    all
}

/// Everything from an offset of partition 0 of "t" on.
fn from(test: &mut TestBroker, offset: i64) -> Answer {
    fetch(test, ALL, &[("t", 0, offset, MIB, -1)]).remove(0)
}

/// Base offsets of the batches, every one of which must be whole.
fn bases(mut records: &[u8]) -> Vec<i64> {
    let mut bases = Vec::new();
    while !records.is_empty() {
        let header = batch::check_stored(records).expect("a whole batch");
        bases.push(header.base_offset);
        records = &records[header.total_bytes..];
    }
    bases
}

/// A broker with topic "t" of three partitions, and the bytes of a batch of `three_records`.
fn broker() -> (TestBroker, i32) {
    let mut test = TestBroker::new();
    test.topic("t", 3);
    test.three_records("t", 2);
    let bytes = fetch(&mut test, ALL, &[("t", 2, 0, MIB, -1)])[0].records.len();
    (test, bytes as i32)
}

fn unsynced(test: &mut TestBroker) {
    let mut batch = crate::wire::record::BatchBuilder::new(0);
    for _ in 0..3 {
        batch.push(0, None, Some(b"v"), &[]);
    }
    test.produce("t", 0, &batch.finish());
}

fn woken(test: &mut TestBroker) -> Vec<u32> {
    core::iter::from_fn(|| test.broker.pop_woken()).collect()
}

#[test]
fn each_version_answers_as_kafkas_classes_do() {
    let prepare = || {
        let mut test = TestBroker::new();
        test.topic("t", 1);
        test.three_records("t", 0);
        test
    };
    golden(&API, prepare, GOLDEN);
}

#[test]
fn an_offset_inside_a_batch_gets_the_whole_batch() {
    let (mut test, _) = broker();
    test.three_records("t", 0);
    test.three_records("t", 0);
    for (offset, expected) in [(0, vec![0, 3]), (1, vec![0, 3]), (2, vec![0, 3]), (4, vec![3])] {
        let answer = from(&mut test, offset);
        assert_eq!((answer.code, answer.high_watermark), (0, 6));
        assert_eq!(bases(&answer.records), expected, "offset {offset}");
    }
}

#[test]
fn the_first_batch_is_sent_though_larger_than_both_limits_and_only_the_first() {
    let (mut test, _) = broker();
    test.three_records("t", 1);
    test.three_records("t", 1);
    // Partition 0 is empty, so partition 1 is the first one with data.
    for (max_bytes, partition_max_bytes) in [(1, 1), (0, 0), (-1, -1), (MIB, 1), (1, MIB)] {
        let ask = Ask { max_bytes, ..ALL };
        let part = |partition| ("t", partition, 0, partition_max_bytes, -1);
        let all = fetch(&mut test, ask, &[part(0), part(1), part(2)]);
        let bases: Vec<_> = all.iter().map(|a| bases(&a.records)).collect();
        assert_eq!(bases, [vec![], vec![0], vec![]], "{max_bytes}, {partition_max_bytes}");
        assert!(all.iter().all(|a| a.code == 0));
    }
}

#[test]
fn no_batch_is_cut_at_a_limit() {
    let (mut test, bytes) = broker();
    for _ in 0..3 {
        test.three_records("t", 0);
    }
    for (limit, count) in [(2 * bytes - 1, 1), (2 * bytes, 2), (3 * bytes - 1, 2), (3 * bytes, 3)] {
        let by_partition = fetch(&mut test, ALL, &[("t", 0, 0, limit, -1)]).remove(0);
        assert_eq!(bases(&by_partition.records).len(), count, "{limit}");
        let ask = Ask { max_bytes: limit, ..ALL };
        let by_request = fetch(&mut test, ask, &[("t", 0, 0, MIB, -1)]).remove(0);
        assert_eq!(by_request, by_partition);
    }
}

#[test]
fn the_partitions_of_a_request_share_max_bytes() {
    let (mut test, bytes) = broker();
    test.three_records("t", 0);
    test.three_records("t", 1);
    let parts = [0, 1, 2].map(|partition| ("t", partition, 0, MIB, -1));
    for (max_bytes, with_data) in [(3 * bytes, 3), (3 * bytes - 1, 2), (2 * bytes, 2), (bytes, 1)] {
        let all = fetch(&mut test, Ask { max_bytes, ..ALL }, &parts);
        let lengths: Vec<_> = all.iter().map(|a| a.records.len() as i32).collect();
        let expected: Vec<_> = (0..3).map(|n| if n < with_data { bytes } else { 0 }).collect();
        assert_eq!(lengths, expected, "{max_bytes}");
        assert!(all.iter().all(|a| (a.code, a.high_watermark) == (0, 3)));
    }
}

#[test]
fn at_the_high_watermark_there_is_nothing_and_outside_the_log_an_error() {
    let (mut test, _) = broker();
    test.three_records("t", 0);
    test.three_records("t", 0);
    let empty = Answer { code: 0, high_watermark: 6, log_start_offset: 0, records: vec![] };
    assert_eq!(from(&mut test, 6), empty);
    let outside = Answer { code: 1, high_watermark: -1, log_start_offset: -1, records: vec![] };
    for offset in [7, -1, i64::MAX, i64::MIN] {
        assert_eq!(from(&mut test, offset), outside, "offset {offset}");
    }
    let topic = test.broker.topics().find("t").unwrap();
    let index = test.broker.partition(topic, 0).unwrap().index;
    test.broker.delete_records(index, 4, test.now).unwrap();
    assert_eq!(from(&mut test, 3), outside);
    let answer = from(&mut test, 4);
    assert_eq!((answer.code, answer.log_start_offset), (0, 4));
    assert_eq!(bases(&answer.records), [3]);
}

#[test]
fn an_offset_outside_the_log_is_an_error_also_when_the_limit_is_used_up() {
    let (mut test, _) = broker();
    let ask = Ask { max_bytes: 1, ..ALL };
    let all = fetch(&mut test, ask, &[("t", 2, 0, MIB, -1), ("t", 0, 5, MIB, -1)]);
    assert_eq!(all.iter().map(|a| a.code).collect::<Vec<_>>(), [0, 1]);
}

#[test]
fn nothing_is_shown_before_it_is_synced() {
    let (mut test, _) = broker();
    unsynced(&mut test);
    let empty = Answer { code: 0, high_watermark: 0, log_start_offset: 0, records: vec![] };
    for offset in 0..=3 {
        assert_eq!(from(&mut test, offset), empty, "offset {offset}");
    }
    assert_eq!(from(&mut test, 4).code, 1);
    test.sync();
    assert_eq!(bases(&from(&mut test, 0).records), [0]);
}

#[test]
fn sessions_are_not_given_out_and_their_ids_not_known() {
    let (mut test, bytes) = broker();
    for session in [(0, 0), (0, -1), (7, -1), (7, 0)] {
        // That the answer's session id is 0 is checked where it is read.
        let all = fetch(&mut test, Ask { session, ..ALL }, &[("t", 2, 0, MIB, -1)]);
        assert_eq!(all[0].records.len() as i32, bytes, "{session:?}");
    }
    for ask in [Ask { session: (7, 3), ..ALL }, Ask { session: (7, 1), ..WAIT }] {
        let (outcome, bytes) = test.ask_raw(&frame(ask, &[("t", 2, 0, MIB, -1)]));
        assert_eq!(outcome, Outcome::Now);
        assert_eq!(answers(&bytes), (70, vec![]));
    }
}

#[test]
fn leader_epochs_that_are_not_the_partitions_are_refused() {
    let (mut test, _) = broker();
    for (epoch, code) in [(-1, 0), (0, 0), (1, 75), (i32::MAX, 75), (-2, 74)] {
        let all = fetch(&mut test, ALL, &[("t", 2, 0, MIB, epoch)]);
        assert_eq!((all[0].code, all[0].records.is_empty()), (code, code != 0), "{epoch}");
    }
}

#[test]
fn a_fetch_at_the_end_is_parked_until_there_is_a_record_that_is_synced() {
    let (mut test, _) = broker();
    let frame = frame(WAIT, &[("t", 0, 0, MIB, -1)]);
    let deadline = Some(test.now.mono.saturating_add(500));
    let parked = Outcome::Park(Parked { waiting: Waiting::Fetch, deadline });
    assert_eq!(test.ask_raw(&frame), (parked, vec![]));
    woken(&mut test);
    assert_eq!(test.again(&frame), (parked, vec![]));
    test.now.mono = test.now.mono.saturating_add(100);
    unsynced(&mut test);
    assert_eq!(woken(&mut test), [0u32; 0]);
    // It brings the sync forward, at once after a silence, and keeps its first deadline when it is
    // looked at again.
    assert_eq!(test.broker.storage().sync_deadline(), Some(test.now.mono));
    assert_eq!(test.again(&frame), (parked, vec![]));
    test.sync();
    assert_eq!(woken(&mut test), [0]);
    let (outcome, answer) = test.again(&frame);
    assert_eq!(outcome, Outcome::Now);
    assert_eq!(bases(&answers(&answer).1[0].records), [0]);
    // The next record comes right behind it: the disk rests a little.
    unsynced(&mut test);
    let rested = test.now.mono.saturating_add(FETCH_SYNC_PAUSE_MS.0);
    let index = test.broker.find_partition("t", 0).unwrap().1.index;
    test.broker.wait_for_records(index, 0);
    assert_eq!(test.broker.storage().sync_deadline(), Some(rested));
}

#[test]
fn a_fetch_that_comes_after_unsynced_records_brings_their_sync_forward() {
    let (mut test, _) = broker();
    unsynced(&mut test);
    let soon = test.now.mono.saturating_add(FETCH_SYNC_PAUSE_MS.1);
    assert!(test.broker.storage().sync_deadline().unwrap() > soon);
    assert!(matches!(test.ask_raw(&frame(WAIT, &[("t", 0, 0, MIB, -1)])).0, Outcome::Park(_)));
    assert!(test.broker.storage().sync_deadline().unwrap() <= soon);
}

#[test]
fn a_fetch_that_does_not_wait_brings_the_sync_of_what_it_asked_for_forward_too() {
    let (mut test, _) = broker();
    unsynced(&mut test);
    let soon = test.now.mono.saturating_add(FETCH_SYNC_PAUSE_MS.1);
    // Who reads what is synced asks for no sync.
    let other = fetch(&mut test, ALL, &[("t", 2, 0, MIB, -1)]).remove(0);
    assert_eq!(bases(&other.records), [0]);
    assert!(test.broker.storage().sync_deadline().unwrap() > soon);
    // Partition 2 has something, so that this one is not parked, whatever it is ready to wait.
    let parts = [("t", 2, 0, MIB, -1), ("t", 0, 0, MIB, -1)];
    assert!(fetch(&mut test, WAIT, &parts)[1].records.is_empty());
    assert!(test.broker.storage().sync_deadline().unwrap() <= soon);
}

#[test]
fn at_its_deadline_a_parked_fetch_is_answered_with_what_there_is() {
    let (mut test, bytes) = broker();
    let ask = Ask { min_bytes: bytes + 1, ..WAIT };
    let frame = frame(ask, &[("t", 2, 0, MIB, -1), ("t", 0, 0, MIB, -1)]);
    assert!(matches!(test.ask_raw(&frame).0, Outcome::Park(_)));
    test.now.mono = test.now.mono.saturating_add(499);
    assert!(matches!(test.again(&frame).0, Outcome::Park(_)));
    test.now.mono = test.now.mono.saturating_add(1);
    let (outcome, answer) = test.again(&frame);
    assert_eq!(outcome, Outcome::Now);
    let lengths: Vec<_> = answers(&answer).1.iter().map(|a| a.records.len() as i32).collect();
    assert_eq!(lengths, [bytes, 0]);
}

#[test]
fn min_bytes_counts_all_partitions_together() {
    let (mut test, bytes) = broker();
    test.three_records("t", 1);
    let parts = [("t", 1, 0, MIB, -1), ("t", 2, 0, MIB, -1)];
    let all = fetch(&mut test, Ask { min_bytes: 2 * bytes, ..WAIT }, &parts);
    assert!(all.iter().all(|a| a.records.len() as i32 == bytes));
    let ask = Ask { min_bytes: 2 * bytes + 1, ..WAIT };
    assert!(matches!(test.ask_raw(&frame(ask, &parts)).0, Outcome::Park(_)));
}

#[test]
fn a_fetch_does_not_wait_for_more_than_its_answer_could_hold() {
    let (mut test, bytes) = broker();
    test.three_records("t", 1);
    let parts = [("t", 1, 0, MIB, -1), ("t", 2, 0, MIB, -1)];
    // Full to the byte; full, because the next batch is too large; nothing taken of the second.
    for max_bytes in [2 * bytes, 2 * bytes - 1, bytes, 1] {
        let ask = Ask { min_bytes: MIB, max_bytes, ..WAIT };
        assert_eq!(bases(&fetch(&mut test, ask, &parts)[0].records), [0], "{max_bytes}");
    }
    test.three_records("t", 1);
    let ask = Ask { min_bytes: MIB, ..WAIT };
    let cut = fetch(&mut test, ask, &[("t", 1, 0, 2 * bytes - 1, -1)]);
    assert_eq!(bases(&cut[0].records), [0]);
    // There is room for more, but no more: that is what waiting is for.
    assert!(matches!(test.ask_raw(&frame(ask, &parts)).0, Outcome::Park(_)));
}

#[test]
fn a_fetch_at_the_end_of_an_old_segment_does_not_wait() {
    let mut test = TestBroker::new();
    let mut overrides = crate::config::TopicOverrides::default();
    overrides.set("segment.bytes", "4096").unwrap();
    let new =
        crate::broker::NewTopic { name: "t", partitions: 1, replication_factor: 1, overrides };
    test.broker.create_topic(new, test.now).unwrap();
    test.sync();
    for _ in 0..60 {
        test.three_records("t", 0);
    }
    let ask = Ask { min_bytes: MIB, ..WAIT };
    let first = fetch(&mut test, ask, &[("t", 0, 0, MIB, -1)]).remove(0);
    let in_segment = bases(&first.records).len() as i64;
    assert!((1..60).contains(&in_segment));
    let rest = frame(ask, &[("t", 0, 3 * in_segment, MIB, -1)]);
    assert!(matches!(test.ask_raw(&rest).0, Outcome::Park(_)));
}

#[test]
fn requests_that_need_not_wait_are_answered_at_once() {
    let (mut test, _) = broker();
    let end = [("t", 0, 0, MIB, -1)];
    assert_eq!(fetch(&mut test, Ask { min_bytes: 0, ..WAIT }, &end)[0].code, 0);
    assert_eq!(fetch(&mut test, Ask { max_wait_ms: 0, ..WAIT }, &end)[0].code, 0);
    assert_eq!(fetch(&mut test, Ask { max_wait_ms: -1, ..WAIT }, &end)[0].code, 0);
    assert_eq!(fetch(&mut test, WAIT, &[]), []);
}

#[test]
fn an_unknown_topic_or_partition_is_an_error_at_once() {
    let (mut test, _) = broker();
    for unknown in [("missing", 0), ("t", 3), ("t", -1)] {
        let parts = [("t", 0, 0, MIB, -1), (unknown.0, unknown.1, 0, MIB, -1)];
        let all = fetch(&mut test, WAIT, &parts);
        assert_eq!(all.iter().map(|a| a.code).collect::<Vec<_>>(), [0, 3]);
    }
}

#[test]
fn a_fetch_is_woken_when_its_topic_is_deleted_and_told_so() {
    let (mut test, _) = broker();
    let frame = frame(WAIT, &[("t", 0, 0, MIB, -1)]);
    assert!(matches!(test.ask_raw(&frame).0, Outcome::Park(_)));
    woken(&mut test);
    assert!(matches!(test.again(&frame).0, Outcome::Park(_)));
    let number = test.broker.topics().find("t").unwrap().number;
    test.broker.delete_topic(number, test.now).unwrap();
    assert_eq!(woken(&mut test), [0]);
    let (outcome, answer) = test.again(&frame);
    assert_eq!(outcome, Outcome::Now);
    assert_eq!(answers(&answer).1[0].code, 3);
}

#[test]
fn partitions_beyond_the_limit_of_files_come_back_empty_and_not_as_errors() {
    let mut test = TestBroker::new();
    let count = RESPONSE_FILES_MAX as i32 + 3;
    test.topic("t", count);
    for partition in 0..count {
        test.three_records("t", partition);
    }
    let parts: Vec<_> = (0..count).map(|partition| ("t", partition, 0, MIB, -1)).collect();
    let all = fetch(&mut test, ALL, &parts);
    assert!(all.iter().all(|a| (a.code, a.high_watermark) == (0, 3)));
    let with_data = all.iter().take_while(|a| bases(&a.records) == [0]).count();
    assert_eq!(with_data, RESPONSE_FILES_MAX);
    assert!(all[with_data..].iter().all(|a| a.records.is_empty()));
    let rest = fetch(&mut test, ALL, &parts[with_data..]);
    assert!(rest.iter().all(|a| bases(&a.records) == [0]));
}

/// Made with kafka-clients 4.3.0: its message classes wrote both sides, and its record classes the
/// batch. Version 3, which it does not have any more, is version 4 without isolation_level,
/// last_stable_offset and aborted_transactions.
const GOLDEN: &[Golden] = &[
    (
        3..=3,
        "ffffffff000001f400000001032000000000000200017400000004000000000000000000000001001000\
         000000000000000000000000030010000000000000000000000000000900100000000000090000000000\
         0000000010000000076d697373696e670000000100000000000000000000000000100000",
        "000000000000000200017400000004000000000000000000000000000300000057000000000000000000\
         00004b0000000002e35b7bfa00000000000200000000000003e80000000000000bb8ffffffffffffffff\
         ffffffffffff000000030e000000010276001000d00f02010276001000a01f0401027600000000000000\
         000000000000000300000000000000000001ffffffffffffffff00000000000000090003ffffffffffff\
         ffff0000000000076d697373696e6700000001000000000003ffffffffffffffff00000000",
    ),
    (
        4..=4,
        "ffffffff000001f400000001032000000000000002000174000000040000000000000000000000010010\
         000000000000000000000000000300100000000000000000000000000009001000000000000900000000\
         000000000010000000076d697373696e670000000100000000000000000000000000100000",
        "000000000000000200017400000004000000000000000000000000000300000000000000030000000000\
         00005700000000000000000000004b0000000002e35b7bfa00000000000200000000000003e800000000\
         00000bb8ffffffffffffffffffffffffffff000000030e000000010276001000d00f02010276001000a0\
         1f0401027600000000000000000000000000000300000000000000030000000000000000000000000001\
         ffffffffffffffffffffffffffffffff0000000000000000000000090003ffffffffffffffffffffffff\
         ffffffff000000000000000000076d697373696e6700000001000000000003ffffffffffffffffffffff\
         ffffffffff0000000000000000",
    ),
    (
        5..=6,
        "ffffffff000001f40000000103200000000000000200017400000004000000000000000000000001ffff\
         ffffffffffff00100000000000000000000000000003ffffffffffffffff001000000000000000000000\
         00000009ffffffffffffffff00100000000000090000000000000000ffffffffffffffff001000000007\
         6d697373696e6700000001000000000000000000000000ffffffffffffffff00100000",
        "000000000000000200017400000004000000000000000000000000000300000000000000030000000000\
         000000000000000000005700000000000000000000004b0000000002e35b7bfa00000000000200000000\
         000003e80000000000000bb8ffffffffffffffffffffffffffff000000030e000000010276001000d00f\
         02010276001000a01f040102760000000000000000000000000000030000000000000003000000000000\
         00000000000000000000000000000001ffffffffffffffffffffffffffffffffffffffffffffffff0000\
         000000000000000000090003ffffffffffffffffffffffffffffffffffffffffffffffff000000000000\
         000000076d697373696e6700000001000000000003ffffffffffffffffffffffffffffffffffffffffff\
         ffffff0000000000000000",
    ),
    (
        7..=8,
        "ffffffff000001f400000001032000000000000000000000000000000200017400000004000000000000\
         000000000001ffffffffffffffff00100000000000000000000000000003ffffffffffffffff00100000\
         000000000000000000000009ffffffffffffffff00100000000000090000000000000000ffffffffffff\
         ffff0010000000076d697373696e6700000001000000000000000000000000ffffffffffffffff001000\
         0000000000",
        "000000000000000000000000000200017400000004000000000000000000000000000300000000000000\
         030000000000000000000000000000005700000000000000000000004b0000000002e35b7bfa00000000\
         000200000000000003e80000000000000bb8ffffffffffffffffffffffffffff000000030e0000000102\
         76001000d00f02010276001000a01f040102760000000000000000000000000000030000000000000003\
         00000000000000000000000000000000000000000001ffffffffffffffffffffffffffffffffffffffff\
         ffffffff0000000000000000000000090003ffffffffffffffffffffffffffffffffffffffffffffffff\
         000000000000000000076d697373696e6700000001000000000003ffffffffffffffffffffffffffffff\
         ffffffffffffffffff0000000000000000",
    ),
    (
        9..=10,
        "ffffffff000001f40000000103200000000000000000000000000000020001740000000400000000ffff\
         ffff0000000000000001ffffffffffffffff0010000000000000ffffffff0000000000000003ffffffff\
         ffffffff0010000000000000ffffffff0000000000000009ffffffffffffffff0010000000000009ffff\
         ffff0000000000000000ffffffffffffffff0010000000076d697373696e670000000100000000ffffff\
         ff0000000000000000ffffffffffffffff0010000000000000",
        "000000000000000000000000000200017400000004000000000000000000000000000300000000000000\
         030000000000000000000000000000005700000000000000000000004b0000000002e35b7bfa00000000\
         000200000000000003e80000000000000bb8ffffffffffffffffffffffffffff000000030e0000000102\
         76001000d00f02010276001000a01f040102760000000000000000000000000000030000000000000003\
         00000000000000000000000000000000000000000001ffffffffffffffffffffffffffffffffffffffff\
         ffffffff0000000000000000000000090003ffffffffffffffffffffffffffffffffffffffffffffffff\
         000000000000000000076d697373696e6700000001000000000003ffffffffffffffffffffffffffffff\
         ffffffffffffffffff0000000000000000",
    ),
    (
        11..=11,
        "ffffffff000001f40000000103200000000000000000000000000000020001740000000400000000ffff\
         ffff0000000000000001ffffffffffffffff0010000000000000ffffffff0000000000000003ffffffff\
         ffffffff0010000000000000ffffffff0000000000000009ffffffffffffffff0010000000000009ffff\
         ffff0000000000000000ffffffffffffffff0010000000076d697373696e670000000100000000ffffff\
         ff0000000000000000ffffffffffffffff0010000000000000000172",
        "000000000000000000000000000200017400000004000000000000000000000000000300000000000000\
         03000000000000000000000000ffffffff0000005700000000000000000000004b0000000002e35b7bfa\
         00000000000200000000000003e80000000000000bb8ffffffffffffffffffffffffffff000000030e00\
         0000010276001000d00f02010276001000a01f0401027600000000000000000000000000000300000000\
         00000003000000000000000000000000ffffffff00000000000000000001ffffffffffffffffffffffff\
         ffffffffffffffffffffffff00000000ffffffff00000000000000090003ffffffffffffffffffffffff\
         ffffffffffffffffffffffff00000000ffffffff0000000000076d697373696e67000000010000000000\
         03ffffffffffffffffffffffffffffffffffffffffffffffff00000000ffffffff00000000",
    ),
    (
        12..=12,
        "ffffffff000001f400000001032000000000000000000000000302740500000000ffffffff0000000000\
         000001ffffffffffffffffffffffff001000000000000000ffffffff0000000000000003ffffffffffff\
         ffffffffffff001000000000000000ffffffff0000000000000009ffffffffffffffffffffffff001000\
         000000000009ffffffff0000000000000000ffffffffffffffffffffffff001000000000086d69737369\
         6e670200000000ffffffff0000000000000000ffffffffffffffffffffffff00100000000001027200",
        "000000000000000000000302740500000000000000000000000000030000000000000003000000000000\
         000001ffffffff5800000000000000000000004b0000000002e35b7bfa00000000000200000000000003\
         e80000000000000bb8ffffffffffffffffffffffffffff000000030e000000010276001000d00f020102\
         76001000a01f040102760000000000000000000000000000000300000000000000030000000000000000\
         01ffffffff0100000000000001ffffffffffffffffffffffffffffffffffffffffffffffff01ffffffff\
         0100000000090003ffffffffffffffffffffffffffffffffffffffffffffffff01ffffffff010000086d\
         697373696e6702000000000003ffffffffffffffffffffffffffffffffffffffffffffffff01ffffffff\
         01000000",
    ),
];
