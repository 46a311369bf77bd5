//! Batches as both sides see them: what is in them, who is to blame, and whose they are.
//!
//! A value begins with the lane and the number of its record, `0007-000042`, and a letter that
//! upstream may dislike. Records of others begin with `ffff`.

use crate::codes::{INVALID_RECORD, INVALID_TIMESTAMP};
use crate::producers::Claim;
use ottla::client::codec;
use ottla::wire::batch::{self, BatchHeader, Codec, HEADER_BYTES};
use ottla::wire::record::Records;

/// What is wrong with a record, as upstream sees it.
pub const GOOD: u8 = b'.';
/// Upstream answers INVALID_RECORD.
pub const INVALID: u8 = b'!';
/// Upstream answers INVALID_TIMESTAMP.
pub const UNTIMELY: u8 = b'~';

/// Bytes in front of the filling of a value.
pub const MARK_BYTES: usize = 12;

/// A record, whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plain {
    pub timestamp: i64,
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    pub headers: Vec<(String, Option<Vec<u8>>)>,
}

/// The beginning of a value.
pub fn mark(lane: u16, number: u32, letter: u8) -> Vec<u8> {
    let mut value = format!("{lane:04x}-{number:06}").into_bytes();
    value.push(letter);
    value
}

impl Plain {
    /// The lane it came from and its number there.
    pub fn mark(&self) -> (u16, u32) {
        let value = self.value.as_deref().expect("a value");
        let text = std::str::from_utf8(&value[..MARK_BYTES]).expect("a mark");
        let lane = u16::from_str_radix(&text[..4], 16).expect("a lane");
        (lane, text[5..11].parse().expect("a number"))
    }

    fn letter(&self) -> u8 {
        self.value.as_deref().and_then(|value| value.get(MARK_BYTES - 1).copied()).unwrap_or(GOOD)
    }
}

/// The records of a batch, decompressed.
pub fn decode(bytes: &[u8], header: &BatchHeader) -> Vec<Plain> {
    let codec = header.codec().expect("a codec that Kafka has");
    let body = &bytes[HEADER_BYTES..header.total_bytes];
    let unpacked;
    let body = if codec == Codec::None {
        body
    } else {
        unpacked = codec::decompress(codec, body, 16 << 20).expect("well compressed");
        &unpacked
    };
    let records = Records::new(body, header.records_count);
    assert!(records.clone().are_complete(), "records are missing, or out of order: {header:?}");
    let plain = records.map(|record| {
        let record = record.unwrap();
        let mut headers = Vec::new();
        let visit = |key: &str, value: Option<&[u8]>| {
            headers.push((key.to_owned(), value.map(<[u8]>::to_vec)));
        };
        record.headers(visit).unwrap();
        Plain {
            timestamp: batch::record_timestamp(header, &record),
            key: record.key.map(<[u8]>::to_vec),
            value: record.value.map(<[u8]>::to_vec),
            headers,
        }
    });
    plain.collect()
}

/// What upstream's validator finds out about a batch.
#[derive(Debug)]
pub struct LookedAt {
    pub base_offset: i64,
    pub records: i64,
    pub timestamp: i64,
    pub claim: Option<Claim>,
    /// The first record that is refused, and how.
    pub guilty: Option<(i32, i16)>,
}

/// Whether a batch is compressed with Zstandard.
pub fn is_zstd(batch: &[u8]) -> bool {
    BatchHeader::read(batch).is_ok_and(|header| header.codec() == Some(Codec::Zstd))
}

/// Looks at a batch that arrived: it must be exactly one, and in order.
pub fn look_at(bytes: &[u8]) -> LookedAt {
    let header = batch::check(bytes).expect("one well-formed batch");
    assert!(!header.is_transactional() && !header.is_control(), "{header:?}");
    assert!(!header.is_log_append_time(), "clients send CreateTime (LogValidator)");
    let plain = decode(bytes, &header);
    let largest = plain.iter().map(|record| record.timestamp).max();
    let verdict = |record: &Plain| match record.letter() {
        INVALID => Some(INVALID_RECORD),
        UNTIMELY => Some(INVALID_TIMESTAMP),
        _ => None,
    };
    let mut verdicts = plain.iter().enumerate();
    let guilty = verdicts.find_map(|(at, record)| Some((at as i32, verdict(record)?)));
    let claim = header.has_producer_id().then(|| Claim {
        id: header.producer_id,
        epoch: header.producer_epoch,
        first: header.base_sequence,
        last: header.last_sequence(),
    });
    if let Some(claim) = claim {
        assert!(claim.first >= 0 && claim.epoch >= 0, "{claim:?}");
    }
    LookedAt {
        base_offset: header.base_offset,
        records: i64::from(header.records_count),
        timestamp: largest.expect("a record"),
        claim,
        guilty,
    }
}
