//! Stored batches that are merged, cut, or go as they are.

use super::*;
use crate::wire::batch::{Stamped, check, record_timestamp, records};
use crate::wire::record::BatchBuilder;

const ID: Identity = Identity { producer_id: 4_000, producer_epoch: 7 };

/// A stored batch of `values.len()` records from `base_offset` on.
fn stored(base_offset: i64, time: i64, values: &[&str], append_time: Option<i64>) -> Vec<u8> {
    let mut builder = BatchBuilder::new(time);
    for (index, value) in values.iter().enumerate() {
        builder.push(time + index as i64, None, Some(value.as_bytes()), &[("h", None)]);
    }
    let sent = builder.finish();
    Stamped::new(&sent, base_offset, 0, append_time).unwrap().parts().concat()
}

fn seen(batch: &[u8]) -> Vec<(i64, String)> {
    let header = check(batch).unwrap();
    let value = |value: Option<&[u8]>| String::from_utf8(value.unwrap().to_vec()).unwrap();
    records(batch, &header)
        .map(Result::unwrap)
        .map(|record| (record_timestamp(&header, &record), value(record.value)))
        .collect()
}

fn owned(records: &[(i64, &str)]) -> Vec<(i64, String)> {
    records.iter().map(|(time, value)| (*time, (*value).to_owned())).collect()
}

#[test]
fn batches_of_one_record_become_one_batch() {
    let log = [
        stored(10, 500, &["a"], None),
        stored(11, 300, &["b", "c"], None),
        stored(13, 700, &["d"], Some(900)),
    ]
    .concat();
    let mut out = b"before".to_vec();
    let mut merger = Merger::new(65_536, Codec::None);
    let packed = merger.pack(&log, 10, ID, 8, false, &mut out).unwrap();
    assert_eq!(
        (packed.first, packed.next, packed.batches, packed.bytes_read, packed.base_sequence),
        (10, 14, 3, log.len(), 2)
    );
    assert_eq!((packed.bytes, packed.max_timestamp), (out.len() - 6, 900));
    assert_eq!(seen(&out[6..]), owned(&[(500, "a"), (300, "b"), (301, "c"), (900, "d")]));
}

#[test]
fn a_batch_is_cut_where_upstream_has_its_first_records() {
    let log = stored(10, 500, &["a", "b", "c"], None);
    let mut out = Vec::new();
    let packed = Merger::new(65_536, Codec::None).pack(&log, 11, ID, 8, true, &mut out);
    assert_eq!(packed.map(|packed| (packed.first, packed.base_sequence)), Ok((11, 3)));
    assert_eq!(seen(&out), owned(&[(501, "b"), (502, "c")]));
}

#[test]
fn a_gap_a_cut_batch_and_bytes_that_are_none_are_told_apart() {
    let log = [stored(10, 500, &["a"], None), stored(12, 600, &["b"], None)].concat();
    let mut merger = Merger::new(65_536, Codec::None);
    let mut out = Vec::new();
    let mut pack = |bytes: &[u8], from| {
        merger.pack(bytes, from, ID, 0, false, &mut out).map(|packed| packed.next)
    };
    assert_eq!(pack(&log, 10), Ok(11), "the gap ends the merged batch");
    assert_eq!(pack(&log, 11), Err(PackError::Gap { next: 12 }));
    assert_eq!(pack(&log, 12), Ok(13));
    let half = log.len() / 2;
    assert_eq!(pack(&log[..half + 7], 12), Err(PackError::Cut { needed: half + 61 }));
    assert_eq!(pack(&log[..half + 65], 12), Err(PackError::Cut { needed: 2 * half }));
    assert_eq!(pack(&log[5..], 10), Err(PackError::Batch(BatchError::Length)));
}

#[test]
fn a_rotten_batch_goes_alone_with_its_wrong_crc() {
    for codec in [Codec::None, Codec::Zstd] {
        let batches = [10, 11, 12, 13].map(|at| stored(at, 500, &["value"], None));
        let mut log = batches.concat();
        log[2 * batches[0].len() + 70] ^= 1;
        let mut merger = Merger::new(65_536, codec);
        let (mut from, mut at, mut sizes) = (10, 0, Vec::new());
        while at < log.len() {
            let mut out = Vec::new();
            let packed = merger.pack(&log[at..], from, ID, 0, false, &mut out).unwrap();
            let verdict = batch::check_stored(&out).map(|_| packed.batches);
            sizes.push(verdict);
            (from, at) = (packed.next, at + packed.bytes_read);
        }
        assert_eq!(sizes, [Ok(2), Err(BatchError::Crc), Ok(1)], "{codec:?}");
    }
}

#[test]
fn a_batch_that_has_no_room_to_be_changed_in_says_so() {
    let value = "v".repeat(90);
    for append_time in [None, Some(9_000)] {
        let plain = stored(10, 500, &[value.as_str(); 20], append_time);
        let mut merger = Merger::new(65_536, Codec::None);
        merger.set_room(3_000);
        for before in [0, 1_000, 2_000] {
            let mut out = vec![0; before];
            let packed = merger.pack(&plain, 10, ID, 0, false, &mut out).unwrap();
            let stamped = seen(&out[before..]).iter().all(|(time, _)| *time == 9_000);
            assert_eq!((packed.first, packed.next), (10, 30));
            match append_time {
                None => assert!(!packed.unchanged, "nothing is to be changed: behind {before}"),
                Some(_) => assert_eq!((packed.unchanged, stamped), (before > 999, before < 1_000)),
            }
        }
    }
}
