//! Random logs, forwarded and compared record by record.
//!
//! Promises: the same seed makes the same log; every kind of batch that is ever stored is in it.
//! Absent: what a machine does between two batches.

use super::*;
use crate::client::batches::{BatchesError, visit_batch};
use crate::client::codec;
use crate::wire::batch::{Stamped, check};
use crate::wire::record::BatchBuilder;

const ID: Identity = Identity { producer_id: 4_000, producer_epoch: 7 };

/// What a reader sees of one record.
#[derive(Clone, Debug, PartialEq)]
struct Seen {
    offset: i64,
    timestamp: i64,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: Vec<(String, Option<Vec<u8>>)>,
}

fn read(batch: &[u8], seen: &mut Vec<Seen>) -> BatchHeader {
    let header = check(batch).unwrap();
    visit_batch(&header, batch, 1 << 24, |placed| {
        let mut headers = Vec::new();
        let mut visit = |key: &str, value: Option<&[u8]>| {
            headers.push((key.to_owned(), value.map(<[u8]>::to_vec)));
        };
        placed.record.headers(&mut visit).unwrap();
        seen.push(Seen {
            offset: placed.offset,
            timestamp: placed.timestamp,
            key: placed.record.key.map(<[u8]>::to_vec),
            value: placed.record.value.map(<[u8]>::to_vec),
            headers,
        });
        Ok::<(), BatchesError>(())
    })
    .unwrap();
    header
}

/// Random numbers below a bound, the same for the same seed.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }

    fn bytes(&mut self, bytes_max: u64) -> Option<Vec<u8>> {
        let length = self.below(bytes_max + 1);
        (self.below(8) > 0).then(|| (0..length).map(|at| b"sensor"[at as usize % 6]).collect())
    }

    /// A stored batch as any client may have sent it.
    fn batch(&mut self, base_offset: i64) -> Vec<u8> {
        let base = [1_700_000_000_000, 0, -1][self.below(3) as usize];
        let mut builder = BatchBuilder::new(base);
        let bytes_max = [10, 100, 3_000][self.below(3) as usize];
        for _ in 0..=self.below(4) {
            let time = base + self.below(1 << 20) as i64 - (1 << 19);
            let key = self.bytes(10);
            let value = self.bytes(bytes_max);
            let header = self.bytes(5);
            let headers = [("a", header.as_deref()), ("b", Some(&b"x"[..]))];
            let count = self.below(3) as usize;
            builder.push(time, key.as_deref(), value.as_deref(), &headers[..count]);
        }
        let all = [Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd];
        let used = all.get(self.below(12) as usize).copied().unwrap_or(Codec::None);
        let sent = builder.finish_with(used as i16, |plain| codec::compress(used, plain));
        let append_time = (self.below(4) == 0).then(|| self.below(1 << 40) as i64);
        Stamped::new(&sent, base_offset, 3, append_time).unwrap().parts().concat()
    }
}

/// Forwards a random log from a random offset on, and compares what arrives.
fn forwards_a_random_log(seed: u64, codec: Codec) -> u32 {
    let mut random = Random(seed);
    let (mut log, mut wanted, mut next) = (Vec::new(), Vec::new(), 1_000);
    for _ in 0..random.below(40) + 1 {
        let batch = random.batch(next);
        next = read(&batch, &mut wanted).next_offset();
        log.extend(batch);
        next += i64::from(random.below(20) == 0);
    }
    let mut merger = Merger::new(4_096, codec);
    let mut from = wanted[random.below(wanted.len() as u64) as usize].offset;
    wanted.retain(|record| record.offset >= from);
    let mut sequence_base = from - random.below(1 << 33) as i64;
    let (mut seen, mut at, mut merged) = (Vec::new(), 0, 0);
    while at < log.len() {
        let unmerged = random.below(6) == 0;
        let mut out = b"before".to_vec();
        let packed = match merger.pack(&log[at..], from, ID, sequence_base, unmerged, &mut out) {
            Ok(packed) => packed,
            Err(PackError::Gap { next }) => {
                (from, sequence_base) = (next, next);
                continue;
            }
            Err(error) => panic!("{error:?} at {at} of {}", log.len()),
        };
        assert_eq!((packed.first, packed.bytes), (from, out.len() - 6));
        let before = seen.len();
        let header = read(&out[6..], &mut seen);
        for record in &mut seen[before..] {
            record.offset += from;
        }
        assert_eq!((header.base_offset, header.partition_leader_epoch), (0, -1));
        assert_eq!((header.producer_id, header.producer_epoch), (4_000, 7));
        assert_eq!(i64::from(header.base_sequence), (from - sequence_base) % (1 << 31));
        assert_eq!(header.codec(), Some(packed.codec));
        let largest = seen[before..].iter().map(|record| record.timestamp).max().unwrap();
        assert!(largest <= packed.max_timestamp && header.max_timestamp >= largest);
        assert!(packed.batches == 1 || !unmerged && packed.bytes <= 4_096, "{packed:?}");
        assert!(packed.bytes <= packed.bytes_read.max(4_096) + 64, "{packed:?}");
        merged += u32::from(packed.batches > 1);
        at += packed.bytes_read;
        from = packed.next;
    }
    assert_eq!(seen, wanted, "seed {seed} {codec:?}");
    merged
}

#[test]
fn random_logs_arrive_record_by_record_with_every_codec() {
    for codec in [Codec::None, Codec::Gzip, Codec::Lz4, Codec::Zstd] {
        let merged: u32 = (1..100).map(|seed| forwards_a_random_log(seed, codec)).sum();
        assert!(merged > 100, "{merged} merged batches");
    }
}

#[test]
fn a_batch_larger_than_the_size_is_compressed_alone() {
    let value = "sensor ".repeat(3_000);
    let mut builder = BatchBuilder::new(0);
    builder.push(0, None, Some(value.as_bytes()), &[]);
    let log = builder.finish();
    for codec in [Codec::Gzip, Codec::Lz4, Codec::Zstd] {
        let mut out = Vec::new();
        let packed = Merger::new(4_096, codec).pack(&log, 0, ID, 0, false, &mut out).unwrap();
        assert_eq!((packed.batches, packed.codec), (1, codec));
        assert!(packed.bytes < 1_000, "{packed:?}");
        let mut seen = Vec::new();
        read(&out, &mut seen);
        assert_eq!(seen[0].value.as_deref(), Some(value.as_bytes()));
    }
}
