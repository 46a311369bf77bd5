//! Produce, byte for byte in every version, and each thing that it accepts or refuses.

use super::*;
use crate::api::testing::{Golden, TestBroker, body, golden, peer, request};
use crate::api::{Broken, Buffers, Frame, Parked, Partly, Waiting, answer};
use crate::broker::NewTopic;
use crate::config::TopicOverrides;
use crate::limits::PRODUCE_ROOM_WAIT_MS;
use crate::wire::crc32c;
use crate::wire::record::{BatchBuilder, Producer};

/// The broker's wall clock in tests.
const NOW_MS: i64 = 1_700_000_000_000;

/// What the answer says of one partition.
#[derive(Debug, PartialEq)]
struct Answer {
    code: i16,
    base_offset: i64,
    log_append_time_ms: i64,
    log_start_offset: i64,
    message: Option<String>,
    /// Which records of the batch were refused.
    refused: Vec<i32>,
}

type Part<'a> = (&'a str, i32, Option<&'a [u8]>);

fn frame(version: i16, transactional_id: Option<&str>, acks: i16, parts: &[Part<'_>]) -> Vec<u8> {
    request(0, version, |w| {
        w.nullable_string(transactional_id);
        w.i16(acks);
        w.i32(30_000);
        w.array(parts.len());
        for (topic, partition, records) in parts {
            w.string(topic);
            w.array(1);
            w.i32(*partition);
            w.nullable_bytes(*records);
            w.tags();
            w.tags();
        }
        w.tags();
    })
}

fn answers(bytes: &[u8], version: i16) -> Vec<Answer> {
    let mut r = body(bytes, 0, version);
    let mut all = Vec::new();
    for _ in 0..r.array("responses").unwrap() {
        r.string("name").unwrap();
        assert_eq!(r.array("partition_responses"), Ok(1));
        r.i32("index").unwrap();
        let mut refused = Vec::new();
        all.push(Answer {
            code: r.i16("error_code").unwrap(),
            base_offset: r.i64("base_offset").unwrap(),
            log_append_time_ms: r.i64("log_append_time_ms").unwrap(),
            log_start_offset: r.since(5, -1, |r| r.i64("log_start_offset")).unwrap(),
            message: r
                .since(8, None, |r| {
                    for _ in 0..r.array("record_errors")? {
                        refused.push(r.i32("batch_index")?);
                        assert_eq!(r.nullable_string("batch_index_error_message")?, None);
                        r.tags()?;
                    }
                    r.nullable_string("error_message")
                })
                .unwrap()
                .map(str::to_owned),
            refused,
        });
        r.tags().unwrap();
        r.tags().unwrap();
    }
    assert_eq!(r.i32("throttle_time_ms"), Ok(0));
    r.tags().unwrap();
    assert_eq!(r.rest(), b"");
    all
}

/// Sends one batch to partition 0 of a topic, with acks=-1: the error code and the base offset.
fn send(test: &mut TestBroker, version: i16, topic: &str, records: &[u8]) -> (i16, i64) {
    let (_, bytes) = test.ask_raw(&frame(version, None, -1, &[(topic, 0, Some(records))]));
    let answer = answers(&bytes, version).remove(0);
    (answer.code, answer.base_offset)
}

/// The same in the newest version.
fn code(test: &mut TestBroker, topic: &str, records: &[u8]) -> i16 {
    send(test, 9, topic, records).0
}

/// A broker with topic "t" of two partitions.
fn broker() -> TestBroker {
    let mut test = TestBroker::new();
    test.topic("t", 2);
    test
}

/// A broker with topic "t", which has a setting of its own.
fn broker_with(name: &str, value: &str) -> TestBroker {
    let mut test = TestBroker::new();
    configured(&mut test, "t", name, value);
    test
}

fn configured(test: &mut TestBroker, topic: &str, name: &str, value: &str) {
    let mut overrides = TopicOverrides::default();
    overrides.set(name, value).unwrap();
    let new = NewTopic { name: topic, partitions: 1, replication_factor: 1, overrides };
    test.broker.create_topic(new, test.now).unwrap();
    test.sync();
}

fn log_end(test: &TestBroker, partition: i32) -> i64 {
    let topic = test.broker.topics().find("t").unwrap();
    test.broker.partition(topic, partition).unwrap().log_end_offset
}

fn builder() -> BatchBuilder {
    let mut batch = BatchBuilder::new(1_000);
    batch.push(1_000, Some(b"k"), Some(b"one"), &[]);
    batch.push(1_001, Some(b"k"), Some(b"two"), &[]);
    batch
}

/// Two records with keys.
fn good() -> Vec<u8> {
    builder().finish()
}

/// Overwrites bytes of a batch and makes its CRC right again.
fn bent(mut batch: Vec<u8>, at: usize, bytes: &[u8]) -> Vec<u8> {
    batch[at..at + bytes.len()].copy_from_slice(bytes);
    let crc = crc32c(&batch[21..]);
    batch[17..21].copy_from_slice(&crc.to_be_bytes());
    batch
}

/// A batch of an idempotent producer with one record.
fn idempotent(epoch: i16, base_sequence: i32) -> Vec<u8> {
    let mut batch = BatchBuilder::new(0).producer(Producer { id: 1_000, epoch, base_sequence });
    batch.push(0, None, Some(b"v"), &[]);
    batch.finish()
}

#[test]
fn each_version_answers_as_kafkas_classes_do() {
    let prepare = || {
        let mut test = TestBroker::new();
        test.topic("t", 1);
        test.three_records("t", 0);
        configured(&mut test, "stamped", "message.timestamp.type", "LogAppendTime");
        test
    };
    golden(&API, prepare, GOLDEN);
}

#[test]
fn acks_all_waits_for_the_sync_and_acks_1_for_the_write_of_its_last_frame() {
    let mut test = broker();
    let batch = good();
    let parts: [Part<'_>; 2] = [("t", 0, Some(&batch)), ("t", 1, Some(&batch))];
    let before = test.broker.storage().last();
    let (outcome, bytes) = test.ask_raw(&frame(9, None, -1, &parts));
    let last = test.broker.storage().last();
    assert!(last > before && last > test.broker.storage().durable());
    assert_eq!(outcome, Outcome::AfterSync(last));
    assert_eq!(answers(&bytes, 9).iter().map(|a| a.code).collect::<Vec<_>>(), [0, 0]);
    // Somebody waits: the sync is due at once.
    assert_eq!(test.broker.storage().sync_deadline(), Some(test.now.mono));
    test.sync();
    let (outcome, _) = test.ask_raw(&frame(9, None, 1, &parts));
    assert_eq!(outcome, Outcome::AfterWrite(test.broker.storage().last()));
    // Nobody does, so it may take its time.
    assert!(test.broker.storage().sync_deadline().unwrap() > test.now.mono);
    assert_eq!((log_end(&test, 0), log_end(&test, 1)), (4, 4));
}

#[test]
fn a_topic_that_is_synced_at_intervals_answers_acks_all_as_acks_1_and_holds_up_no_other() {
    let mut test = broker();
    configured(&mut test, "lazy", "sync", "interval");
    let batch = good();
    let (lazy, strict) = (("lazy", 0, Some(&batch[..])), ("t", 0, Some(&batch[..])));
    let (outcome, bytes) = test.ask_raw(&frame(9, None, -1, &[lazy]));
    assert_eq!(outcome, Outcome::AfterWrite(test.broker.storage().last()));
    assert_eq!(answers(&bytes, 9)[0].code, 0);
    let by = test.now.mono.saturating_add(test.broker.config().log_flush_interval_ms);
    assert_eq!(test.broker.storage().sync_deadline(), Some(by));
    // A consumer that waits does not hurry it, and sees nothing before it.
    let view = test.broker.find_partition("lazy", 0).unwrap().1;
    test.broker.wait_for_records(view.index, 7);
    assert_eq!(test.broker.storage().sync_deadline(), Some(by));
    assert_eq!((view.high_watermark, view.log_end_offset), (0, 2));
    // In one request the strict topic decides.
    let (outcome, _) = test.ask_raw(&frame(9, None, -1, &[lazy, strict]));
    assert_eq!(outcome, Outcome::AfterSync(test.broker.storage().last()));
    assert_eq!(test.broker.storage().sync_deadline(), Some(test.now.mono));
}

#[test]
fn acks_0_is_never_answered_and_an_error_closes_the_connection() {
    let mut test = broker();
    let batch = good();
    let (outcome, bytes) = test.ask_raw(&frame(9, None, 0, &[("t", 0, Some(&batch))]));
    assert_eq!((outcome, bytes.len()), (Outcome::Silent, 0));
    assert_eq!(log_end(&test, 0), 2);
    let frame = frame(9, None, 0, &[("t", 0, Some(&batch)), ("missing", 0, Some(&batch))]);
    let (mut bytes, mut pieces) = (Vec::new(), Vec::new());
    let buffers = Buffers { bytes: &mut bytes, pieces: &mut pieces };
    let frame = Frame::whole(&frame);
    let result = answer(&mut test.broker, test.now, peer(0), None, None, frame, buffers);
    assert!(matches!(result, Err(Broken::Refused(_))), "{result:?}");
    assert_eq!(bytes, b"");
    assert_eq!(log_end(&test, 0), 4);
}

#[test]
fn other_acks_are_refused_for_every_partition_and_nothing_is_appended() {
    let mut test = broker();
    let batch = good();
    let parts: [Part<'_>; 2] = [("t", 0, Some(&batch)), ("t", 1, Some(&batch))];
    for acks in [2, -2, i16::MAX, i16::MIN] {
        let (outcome, bytes) = test.ask_raw(&frame(9, None, acks, &parts));
        assert_eq!(outcome, Outcome::Now);
        assert!(answers(&bytes, 9).iter().all(|a| a.code == 21 && a.base_offset == -1));
    }
    assert_eq!((log_end(&test, 0), log_end(&test, 1)), (0, 0));
}

#[test]
fn a_transactional_id_is_refused_for_every_partition_with_a_message() {
    let mut test = broker();
    let batch = good();
    let parts: [Part<'_>; 2] = [("t", 0, Some(&batch)), ("missing", 1, Some(&batch))];
    let (outcome, bytes) = test.ask_raw(&frame(9, Some("tx"), -1, &parts));
    assert_eq!(outcome, Outcome::Now);
    let answers = answers(&bytes, 9);
    assert_eq!(answers.iter().map(|a| a.code).collect::<Vec<_>>(), [42, 42]);
    assert!(answers.iter().all(|a| a.message.is_some()));
    assert_eq!(log_end(&test, 0), 0);
}

#[test]
fn unknown_topics_and_partitions_do_not_keep_the_others_from_being_written() {
    let mut test = broker();
    let batch = good();
    let b = Some(&batch[..]);
    let parts = [("missing", 0, b), ("t", 2, b), ("t", -1, b), ("t", i32::MAX, b), ("t", 1, b)];
    let (outcome, bytes) = test.ask_raw(&frame(9, None, -1, &parts));
    assert!(matches!(outcome, Outcome::AfterSync(_)));
    let codes: Vec<_> = answers(&bytes, 9).iter().map(|a| a.code).collect();
    assert_eq!(codes, [3, 3, 3, 3, 0]);
    assert_eq!(log_end(&test, 1), 2);
}

#[test]
fn null_and_empty_records_are_invalid() {
    let mut test = broker();
    let parts = [("t", 0, None), ("t", 0, Some(&b""[..]))];
    let (outcome, bytes) = test.ask_raw(&frame(9, None, -1, &parts));
    assert_eq!(outcome, Outcome::Now);
    let codes: Vec<_> = answers(&bytes, 9).iter().map(|a| a.code).collect();
    assert_eq!(codes, [87, 87]);
}

#[test]
fn a_broken_batch_gets_the_code_of_the_first_check_that_fails() {
    let mut test = broker();
    let good = good();
    let cases: &[(&str, Vec<u8>, i16)] = &[
        ("cut short", good[..good.len() - 1].to_vec(), 87),
        ("only a header's half", good[..30].to_vec(), 87),
        ("a length below the header's", bent(good.clone(), 8, &48i32.to_be_bytes()), 2),
        ("a negative length", bent(good.clone(), 8, &(-1i32).to_be_bytes()), 2),
        ("a length too long", bent(good.clone(), 8, &i32::MAX.to_be_bytes()), 2),
        ("magic 1", bent(good.clone(), 16, &[1]), 87),
        ("magic 3", bent(good.clone(), 16, &[3]), 87),
        ("too large a record count", bent(good.clone(), 57, &3i32.to_be_bytes()), 87),
        ("no records at all", bent(good.clone(), 57, &0i32.to_be_bytes()), 87),
        ("a negative last offset", bent(good.clone(), 23, &(-1i32).to_be_bytes()), 87),
        ("codec 5", bent(good.clone(), 21, &5i16.to_be_bytes()), 76),
        ("a second batch", [good.clone(), good.clone()].concat(), 87),
        ("a first offset", bent(good.clone(), 0, &77i64.to_be_bytes()), 87),
        ("a stray byte", [&good[..], b"x"].concat(), 87),
    ];
    for (what, batch, expected) in cases {
        assert_eq!(code(&mut test, "t", batch), *expected, "{what}");
    }
    let mut flipped = good.clone();
    flipped[70] ^= 1;
    assert_eq!(code(&mut test, "t", &flipped), 2);
    assert_eq!(log_end(&test, 0), 0);
    assert_eq!(send(&mut test, 9, "t", &good), (0, 0));
}

#[test]
fn zstandard_is_refused_below_version_7() {
    let mut test = broker();
    let zstd = builder().finish_with(4, |records| records);
    for version in 3..=9 {
        let expected = if version < 7 { 76 } else { 0 };
        assert_eq!(send(&mut test, version, "t", &zstd).0, expected, "v{version}");
    }
    let gzip = builder().finish_with(1, |records| records);
    assert_eq!(send(&mut test, 3, "t", &gzip).0, 0);
}

#[test]
fn a_batch_may_be_as_large_as_max_message_bytes_and_not_a_byte_larger() {
    let batch = good();
    let mut test = broker_with("max.message.bytes", &batch.len().to_string());
    assert_eq!(code(&mut test, "t", &batch), 0);
    let mut larger = BatchBuilder::new(1_000);
    larger.push(1_000, Some(b"k"), Some(b"one"), &[]);
    larger.push(1_001, Some(b"k"), Some(b"two!"), &[]);
    let larger = larger.finish();
    assert_eq!(larger.len(), batch.len() + 1);
    assert_eq!(code(&mut test, "t", &larger), 10);
    assert_eq!(log_end(&test, 0), 2);
}

#[test]
fn control_and_transactional_batches_are_refused() {
    let mut test = broker();
    let control = builder().finish_with(0x20, |records| records);
    assert_eq!(code(&mut test, "t", &control), 87);
    let transactional = builder().finish_with(0x10, |records| records);
    assert_eq!(code(&mut test, "t", &transactional), 48);
    assert_eq!(log_end(&test, 0), 0);
}

#[test]
fn a_producer_id_without_epoch_or_sequence_is_refused() {
    let mut test = broker();
    assert_eq!(code(&mut test, "t", &idempotent(0, -1)), 87);
    assert_eq!(code(&mut test, "t", &idempotent(-1, 0)), 87);
    assert_eq!(log_end(&test, 0), 0);
}

#[test]
fn a_repeated_batch_succeeds_with_its_first_offset_and_is_not_written_again() {
    let mut test = broker();
    for (sequence, offset) in [(0, 0), (1, 1), (2, 2)] {
        assert_eq!(send(&mut test, 9, "t", &idempotent(0, sequence)), (0, offset));
    }
    let batch = idempotent(0, 1);
    let (outcome, bytes) = test.ask_raw(&frame(9, None, -1, &[("t", 0, Some(&batch))]));
    let answer = answers(&bytes, 9).remove(0);
    assert_eq!((answer.code, answer.base_offset), (0, 1));
    // The first copy is not durable yet, so the second one's answer waits for it.
    assert_eq!(outcome, Outcome::AfterSync(test.broker.storage().last()));
    assert_eq!(log_end(&test, 0), 3);
}

#[test]
fn gaps_get_45_and_old_epochs_47() {
    let mut test = broker();
    assert_eq!(code(&mut test, "t", &idempotent(0, 0)), 0);
    assert_eq!(code(&mut test, "t", &idempotent(0, 5)), 45);
    assert_eq!(code(&mut test, "t", &idempotent(1, 1)), 45);
    assert_eq!(code(&mut test, "t", &idempotent(1, 0)), 0);
    assert_eq!(code(&mut test, "t", &idempotent(0, 1)), 47);
    assert_eq!(log_end(&test, 0), 2);
}

#[test]
fn with_log_append_time_the_broker_stamps_the_batch_and_says_so() {
    let mut test = broker_with("message.timestamp.type", "LogAppendTime");
    let batch = good();
    let (_, bytes) = test.ask_raw(&frame(9, None, -1, &[("t", 0, Some(&batch))]));
    let answer = answers(&bytes, 9).remove(0);
    assert_eq!((answer.code, answer.log_append_time_ms), (0, NOW_MS));
    test.sync();
    let topic = test.broker.topics().find("t").unwrap();
    let index = test.broker.partition(topic, 0).unwrap().index;
    let slice = test.broker.read(index, 0, 1 << 20, true).unwrap().unwrap();
    let mut stored = vec![0; slice.bytes as usize];
    slice.file.read_exact_at(&mut stored, u64::from(slice.position)).unwrap();
    let header = batch::check(&stored).expect("its CRC is right");
    assert_eq!(header.attributes, 8);
    assert_eq!(header.max_timestamp, NOW_MS);
    assert_eq!(stored[61..], batch[61..]);
}

#[test]
fn with_create_time_the_answer_has_no_log_append_time() {
    let mut test = broker();
    let batch = good();
    let (_, bytes) = test.ask_raw(&frame(9, None, -1, &[("t", 0, Some(&batch))]));
    assert_eq!(answers(&bytes, 9)[0].log_append_time_ms, -1);
}

#[test]
fn timestamps_are_checked_only_where_that_was_configured() {
    let at = |time: i64| {
        let mut batch = BatchBuilder::new(time);
        batch.push(time, None, Some(b"v"), &[]);
        batch.finish()
    };
    let mut test = broker();
    for time in [0, 1, NOW_MS + 1_000_000_000_000, i64::MAX] {
        assert_eq!(code(&mut test, "t", &at(time)), 0, "{time}");
    }
    let mut test = broker_with("message.timestamp.after.max.ms", "1000");
    assert_eq!(code(&mut test, "t", &at(NOW_MS + 1_000)), 0);
    assert_eq!(code(&mut test, "t", &at(NOW_MS + 1_001)), 32);
    let mut test = broker_with("message.timestamp.before.max.ms", "1000");
    assert_eq!(code(&mut test, "t", &at(NOW_MS - 1_000)), 0);
    assert_eq!(code(&mut test, "t", &at(NOW_MS - 1_001)), 32);
    // -1 is "no timestamp", which is not too old.
    assert_eq!(code(&mut test, "t", &at(-1)), 0);
}

#[test]
fn a_compacted_topic_takes_no_record_without_a_key() {
    let mut test = broker_with("cleanup.policy", "compact");
    let mut batch = builder();
    batch.push(1_000, None, Some(b"keyless"), &[]);
    batch.push(1_000, Some(b"k"), Some(b"keyed"), &[]);
    batch.push(1_000, None, Some(b"keyless too"), &[]);
    let batch = batch.finish();
    assert_eq!(code(&mut test, "t", &batch), 87);
    assert_eq!(log_end(&test, 0), 0);
    for version in [8, 9] {
        let request = frame(version, None, -1, &[("t", 0, Some(&batch))]);
        let (_, bytes) = test.ask_raw(&request);
        assert_eq!(answers(&bytes, version)[0].refused, [2, 4], "which records they were");
    }
    assert_eq!(code(&mut test, "t", &good()), 0);
}

/// A batch of about 4 KiB.
fn four_kib() -> Vec<u8> {
    let mut batch = BatchBuilder::new(0);
    batch.push(0, None, Some(&[7; 4096]), &[]);
    batch.finish()
}

/// Appends without a checkpoint until a request is parked: the broker, and what was parked.
fn broker_without_room() -> (TestBroker, Vec<u8>, Parked) {
    let mut test = broker();
    let batch = four_kib();
    let frame = frame(9, None, -1, &[("t", 0, Some(&batch))]);
    for _ in 0..200 {
        if let (Outcome::Partly(Partly { parked: Some(parked), .. }), _) = test.ask_raw(&frame) {
            return (test, frame, parked);
        }
        test.sync();
    }
    panic!("the journal has room without end");
}

#[test]
fn a_request_without_room_in_the_journal_is_parked_and_answered_once_there_is_some() {
    let (mut test, frame, parked) = broker_without_room();
    let deadline = Some(test.now.mono.saturating_add(PRODUCE_ROOM_WAIT_MS));
    assert_eq!(parked, Parked { waiting: Waiting::Room, deadline });
    let end = log_end(&test, 0);
    test.now.mono = test.now.mono.saturating_add(PRODUCE_ROOM_WAIT_MS - 1);
    // Looked at again and still without room, it keeps its deadline.
    let outcome = test.again(&frame).0;
    assert!(matches!(outcome, Outcome::Partly(partly) if partly.parked == Some(parked)));
    test.broker.checkpoint(true, false, test.now).unwrap();
    test.sync();
    let (outcome, bytes) = test.again(&frame);
    assert_eq!(outcome, Outcome::AfterSync(test.broker.storage().last()));
    let answer = answers(&bytes, 9).remove(0);
    assert_eq!((answer.code, answer.base_offset), (0, end));
}

#[test]
fn a_parked_request_times_out_with_a_retriable_code() {
    let (mut test, frame, parked) = broker_without_room();
    let end = log_end(&test, 0);
    test.now.mono = parked.deadline.unwrap();
    let (outcome, bytes) = test.again(&frame);
    assert_eq!(outcome, Outcome::Now);
    assert_eq!(answers(&bytes, 9)[0].code, 7);
    assert_eq!(log_end(&test, 0), end);
}

#[test]
fn a_request_is_parked_in_the_middle_and_goes_on_with_the_batch_that_found_no_room() {
    let mut test = broker();
    let batch = four_kib();
    let parts = vec![("t", 0, Some(&batch[..])); 200];
    let frame = frame(9, None, -1, &parts);
    let mut parks = 0;
    let (mut outcome, mut bytes) = test.ask_raw(&frame);
    while let Outcome::Partly(partly) = outcome {
        assert!(partly.parked.is_some());
        let end = log_end(&test, 0);
        assert!(end > 0 && end < 200);
        assert!(matches!(test.again(&frame).0, Outcome::Partly(_)), "there still is no room");
        assert_eq!(log_end(&test, 0), end);
        test.broker.checkpoint(true, false, test.now).unwrap();
        test.sync();
        // Each batch has its own patience.
        test.now.mono = test.now.mono.saturating_add(PRODUCE_ROOM_WAIT_MS - 1);
        (outcome, bytes) = test.again(&frame);
        parks += 1;
    }
    assert!(parks > 1, "{parks}");
    assert_eq!(outcome, Outcome::AfterSync(test.broker.storage().last()));
    let answers = answers(&bytes, 9);
    assert!(answers.iter().map(|a| (a.code, a.base_offset)).eq((0..200).map(|n| (0, n))));
    assert_eq!(log_end(&test, 0), 200);
}

#[test]
fn a_batch_that_waits_in_vain_ends_the_waiting_of_those_behind_it() {
    let mut test = broker();
    let batch = four_kib();
    let parts = vec![("t", 0, Some(&batch[..])); 200];
    let frame = frame(9, None, -1, &parts);
    let Outcome::Partly(Partly { parked: Some(parked), .. }) = test.ask_raw(&frame).0 else {
        panic!("the journal has room without end");
    };
    let end = log_end(&test, 0);
    test.now.mono = parked.deadline.unwrap();
    let (outcome, bytes) = test.again(&frame);
    assert_eq!(outcome, Outcome::AfterSync(test.broker.storage().last()));
    let codes: Vec<_> = answers(&bytes, 9).iter().map(|a| a.code).collect();
    let appended = codes.iter().take_while(|code| **code == 0).count();
    assert!(appended as i64 == end && appended < 200);
    assert!(codes[appended..].iter().all(|code| *code == 7), "{codes:?}");
    assert_eq!(log_end(&test, 0), end);
}

/// Made with kafka-clients 4.3.0: its message classes wrote both sides, and its record classes the
/// batches.
const GOLDEN: &[Golden] = &[
    (
        3..=4,
        "ffffffff000075300000000200017400000003000000000000005700000000000000000000004bffffff\
         ff02e35b7bfa00000000000200000000000003e80000000000000bb8ffffffffffffffffffffffffffff\
         000000030e000000010276001000d00f02010276001000a01f0401027600000000090000005700000000\
         000000000000004bffffffff02e35b7bfa00000000000200000000000003e80000000000000bb8ffffff\
         ffffffffffffffffffffff000000030e000000010276001000d00f02010276001000a01f040102760000\
         000000ffffffff00077374616d70656400000001000000000000005700000000000000000000004bffff\
         ffff02e35b7bfa00000000000200000000000003e80000000000000bb8ffffffffffffffffffffffffff\
         ff000000030e000000010276001000d00f02010276001000a01f0401027600",
        "00000002000174000000030000000000000000000000000003ffffffffffffffff000000090003ffffff\
         ffffffffffffffffffffffffff000000000057ffffffffffffffffffffffffffffffff00077374616d70\
         65640000000100000000000000000000000000000000018bcfe5680000000000",
    ),
    (
        5..=7,
        "ffffffff000075300000000200017400000003000000000000005700000000000000000000004bffffff\
         ff02e35b7bfa00000000000200000000000003e80000000000000bb8ffffffffffffffffffffffffffff\
         000000030e000000010276001000d00f02010276001000a01f0401027600000000090000005700000000\
         000000000000004bffffffff02e35b7bfa00000000000200000000000003e80000000000000bb8ffffff\
         ffffffffffffffffffffff000000030e000000010276001000d00f02010276001000a01f040102760000\
         000000ffffffff00077374616d70656400000001000000000000005700000000000000000000004bffff\
         ffff02e35b7bfa00000000000200000000000003e80000000000000bb8ffffffffffffffffffffffffff\
         ff000000030e000000010276001000d00f02010276001000a01f0401027600",
        "00000002000174000000030000000000000000000000000003ffffffffffffffff000000000000000000\
         0000090003ffffffffffffffffffffffffffffffffffffffffffffffff000000000057ffffffffffffff\
         ffffffffffffffffffffffffffffffffff00077374616d70656400000001000000000000000000000000\
         00000000018bcfe56800000000000000000000000000",
    ),
    (
        8..=8,
        "ffffffff000075300000000200017400000003000000000000005700000000000000000000004bffffff\
         ff02e35b7bfa00000000000200000000000003e80000000000000bb8ffffffffffffffffffffffffffff\
         000000030e000000010276001000d00f02010276001000a01f0401027600000000090000005700000000\
         000000000000004bffffffff02e35b7bfa00000000000200000000000003e80000000000000bb8ffffff\
         ffffffffffffffffffffff000000030e000000010276001000d00f02010276001000a01f040102760000\
         000000ffffffff00077374616d70656400000001000000000000005700000000000000000000004bffff\
         ffff02e35b7bfa00000000000200000000000003e80000000000000bb8ffffffffffffffffffffffffff\
         ff000000030e000000010276001000d00f02010276001000a01f0401027600",
        "00000002000174000000030000000000000000000000000003ffffffffffffffff000000000000000000\
         000000ffff000000090003ffffffffffffffffffffffffffffffffffffffffffffffff00000000ffff00\
         0000000057ffffffffffffffffffffffffffffffffffffffffffffffff00000000001874686572652069\
         73206e6f207265636f726420626174636800077374616d70656400000001000000000000000000000000\
         00000000018bcfe56800000000000000000000000000ffff00000000",
    ),
    (
        9..=9,
        "00ffff0000753003027404000000005800000000000000000000004bffffffff02e35b7bfa0000000000\
         0200000000000003e80000000000000bb8ffffffffffffffffffffffffffff000000030e000000010276\
         001000d00f02010276001000a01f040102760000000000095800000000000000000000004bffffffff02\
         e35b7bfa00000000000200000000000003e80000000000000bb8ffffffffffffffffffffffffffff0000\
         00030e000000010276001000d00f02010276001000a01f04010276000000000000000000087374616d70\
         656402000000005800000000000000000000004bffffffff02e35b7bfa00000000000200000000000003\
         e80000000000000bb8ffffffffffffffffffffffffffff000000030e000000010276001000d00f020102\
         76001000a01f0401027600000000",
        "030274040000000000000000000000000003ffffffffffffffff00000000000000000100000000000900\
         03ffffffffffffffffffffffffffffffffffffffffffffffff010000000000000057ffffffffffffffff\
         ffffffffffffffffffffffffffffffff01197468657265206973206e6f207265636f7264206261746368\
         0000087374616d7065640200000000000000000000000000000000018bcfe56800000000000000000001\
         0000000000000000",
    ),
];
