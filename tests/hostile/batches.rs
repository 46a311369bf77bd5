//! Record batches whose header lies.

use crate::attacker::{Attacker, Held, Random};
use crate::support::raw;
use ottla::wire::crc::crc32c;
use ottla::wire::record::BatchBuilder;

/// Where the fields of a batch's header stand.
mod at {
    pub const BASE_OFFSET: usize = 0;
    pub const BATCH_LENGTH: usize = 8;
    pub const MAGIC: usize = 16;
    pub const CRC: usize = 17;
    pub const ATTRIBUTES: usize = 21;
    pub const LAST_OFFSET_DELTA: usize = 23;
    pub const BASE_TIMESTAMP: usize = 27;
    pub const MAX_TIMESTAMP: usize = 35;
    pub const PRODUCER_ID: usize = 43;
    pub const BASE_SEQUENCE: usize = 53;
    pub const RECORDS_COUNT: usize = 57;
}

fn batch(values: usize) -> Vec<u8> {
    let mut batch = BatchBuilder::new(1_600_000_000_000);
    for n in 0..values {
        batch.push(1_600_000_000_000 + n as i64, Some(b"key"), Some(&[7; 50]), &[]);
    }
    batch.finish()
}

fn sealed(mut batch: Vec<u8>) -> Vec<u8> {
    let crc = crc32c(&batch[at::ATTRIBUTES..]);
    batch[at::CRC..at::CRC + 4].copy_from_slice(&crc.to_be_bytes());
    batch
}

fn with(batch: &[u8], place: usize, bytes: &[u8]) -> Vec<u8> {
    let mut batch = batch.to_vec();
    batch[place..place + bytes.len()].copy_from_slice(bytes);
    batch
}

/// Wrong CRC, length, count, magic, times, producers, and all attribute bits.
pub fn lying_batches(attacker: &Attacker) -> Held {
    let good = batch(3);
    let mut requests = Vec::new();
    let mut ask = |records: &[u8]| {
        let id = requests.len() as i32;
        requests.push(raw::produce_batch(id, [-1, 1][id as usize % 2], "hostile", records));
    };
    ask(&with(&good, at::CRC, &[1, 2, 3, 4]));
    let numbers = [0, 1, 2, 4, 48, 49, good.len() as i32 - 13, good.len() as i32, -1, i32::MIN];
    let places = [at::BATCH_LENGTH, at::RECORDS_COUNT, at::LAST_OFFSET_DELTA, at::BASE_SEQUENCE];
    for place in places {
        for number in numbers.into_iter().chain([i32::MAX, 1 << 30]) {
            ask(&with(&good, place, &number.to_be_bytes()));
            ask(&sealed(with(&good, place, &number.to_be_bytes())));
        }
    }
    for magic in [-1i8, 0, 1, 3, i8::MIN, i8::MAX] {
        ask(&with(&good, at::MAGIC, &magic.to_be_bytes()));
    }
    for attributes in (0..16).map(|bit| 1u16 << bit).chain([0xffff, 5, 6, 7]) {
        ask(&sealed(with(&good, at::ATTRIBUTES, &attributes.to_be_bytes())));
    }
    for place in [at::BASE_OFFSET, at::BASE_TIMESTAMP, at::MAX_TIMESTAMP, at::PRODUCER_ID] {
        for number in [0, -1, -2, i64::MAX, i64::MIN, 1 << 40] {
            ask(&sealed(with(&good, place, &number.to_be_bytes())));
        }
    }
    for end in (0..good.len()).step_by(3) {
        ask(&good[..end]);
    }
    ask(&[&good[..], &good[..]].concat());
    ask(&[&good[..], &[0; 100]].concat());
    let mut random = Random(5);
    for _ in 0..300 {
        let mut noisy = good.clone();
        for _ in 0..3 {
            let place = random.next() as usize % noisy.len();
            noisy[place] = random.next() as u8;
        }
        ask(&sealed(noisy));
    }
    attacker.pipeline(&[raw::metadata(0, "hostile")]);
    let answered = attacker.pipeline(&requests);
    assert_eq!(answered, requests.len(), "a damaged batch costs nobody the connection");
    // What was taken, whatever it claims, can be asked for.
    for offset in [0, 1, 1_000, 1 << 30, i64::MAX, -1, i64::MIN] {
        attacker.one_shot(&raw::fetch(1, "hostile", offset, 1, 0));
    }
    Held::new()
}
