//! A record batch (magic 2): its header, its checks, and the few bytes a broker rewrites.
//!
//! ```text
//!  0 base_offset i64        | 8 batch_length i32   | 12 partition_leader_epoch i32 | 16 magic i8
//! 17 crc u32 (of 21..end)   | 21 attributes i16    | 23 last_offset_delta i32
//! 27 base_timestamp i64     | 35 max_timestamp i64 | 43 producer_id i64
//! 51 producer_epoch i16     | 53 base_sequence i32 | 57 records_count i32          | 61 records
//! ```
//!
//! Promises: [`check`] has looked at length, magic, CRC-32C and counts, in that order, and never
//! past the bytes it was given. A stored batch is byte for byte what the client sent, but for base
//! offset and leader epoch, which lie outside the CRC; [`Stamped`] holds the rewritten header so
//! that the request's own bytes are not touched. With `LogAppendTime` the timestamp type bit,
//! the maximum timestamp and with them the CRC change too.
//! Absent: decompression. Authority: KIP-98, `DefaultRecordBatch`.

use super::crc::{crc32c, crc32c_combine, crc32c_parts};
use super::record::{Producer, Record, Records};

/// Where each field stands.
mod field {
    pub const BASE_OFFSET: usize = 0;
    pub const BATCH_LENGTH: usize = 8;
    pub const LEADER_EPOCH: usize = 12;
    pub const MAGIC: usize = 16;
    pub const CRC: usize = 17;
    pub const ATTRIBUTES: usize = 21;
    pub const LAST_OFFSET_DELTA: usize = 23;
    pub const BASE_TIMESTAMP: usize = 27;
    pub const MAX_TIMESTAMP: usize = 35;
    pub const PRODUCER_ID: usize = 43;
    pub const PRODUCER_EPOCH: usize = 51;
    pub const BASE_SEQUENCE: usize = 53;
    pub const RECORDS_COUNT: usize = 57;
}

/// Bytes of a batch before its records.
pub const HEADER_BYTES: usize = 61;

/// Where the bytes begin that a batch's CRC covers; they end with the batch.
pub const CRC_FROM: usize = field::ATTRIBUTES;

/// Bytes that `batch_length` does not count: base offset and the length itself.
pub const LENGTH_OVERHEAD: usize = 12;

/// Attribute bits 0–2: the codec.
const CODEC_MASK: i16 = 0x07;
/// Attribute bit 3: timestamps are the broker's.
const LOG_APPEND_TIME: i16 = 0x08;
/// Attribute bit 4: the batch is part of a transaction.
const TRANSACTIONAL: i16 = 0x10;
/// Attribute bit 5: the batch is a control batch (transaction marker).
const CONTROL: i16 = 0x20;

/// How the records of a batch are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Codec {
    /// Not at all.
    None = 0,
    /// gzip.
    Gzip = 1,
    /// Snappy, mostly in Xerial's framing.
    Snappy = 2,
    /// LZ4 frames.
    Lz4 = 3,
    /// Zstandard (KIP-110: Produce 7, Fetch 10).
    Zstd = 4,
}

impl Codec {
    /// Kafka's name of the codec, as in `compression.type`.
    pub const fn name(self) -> &'static str {
        match self {
            Codec::None => "none",
            Codec::Gzip => "gzip",
            Codec::Snappy => "snappy",
            Codec::Lz4 => "lz4",
            Codec::Zstd => "zstd",
        }
    }
}

/// Why a batch is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BatchError {
    /// Fewer bytes than the header or than `batch_length` says.
    Cut,
    /// A length that cannot be.
    Length,
    /// A magic other than 2. Kafka 4 has no others any more (KIP-724).
    Magic,
    /// The CRC-32C does not match.
    Crc,
    /// `records_count` below 1, not `last_offset_delta + 1`, or not what the records come to.
    Count,
    /// A codec number that Kafka does not have.
    Codec,
    /// More bytes follow the batch: since Produce v3 a partition carries exactly one.
    Trailing,
}

/// The fields of a batch's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchHeader {
    /// Offset of the first record.
    pub base_offset: i64,
    /// Bytes of the whole batch, header and length field included.
    pub total_bytes: usize,
    /// The leader epoch under which it was appended.
    pub partition_leader_epoch: i32,
    /// CRC-32C of everything from the attributes on.
    pub crc: u32,
    /// Codec, timestamp type, transactional and control bits.
    pub attributes: i16,
    /// Offset of the last record, relative to the base offset.
    pub last_offset_delta: i32,
    /// Timestamp of the first record, milliseconds since 1970.
    pub base_timestamp: i64,
    /// Largest timestamp of the records, milliseconds since 1970.
    pub max_timestamp: i64,
    /// Producer id, or -1.
    pub producer_id: i64,
    /// Producer epoch, or -1.
    pub producer_epoch: i16,
    /// Sequence number of the first record, or -1.
    pub base_sequence: i32,
    /// How many records the batch claims to hold.
    pub records_count: i32,
}

fn array<const N: usize>(bytes: &[u8; HEADER_BYTES], at: usize) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(&bytes[at..at + N]);
    out
}

impl BatchHeader {
    /// Reads the header and checks what can be checked without the rest: length, magic, counts.
    ///
    /// # Errors
    /// [`BatchError::Cut`], [`BatchError::Length`], [`BatchError::Magic`], [`BatchError::Count`].
    pub fn read(bytes: &[u8]) -> Result<BatchHeader, BatchError> {
        let h: &[u8; HEADER_BYTES] = bytes.first_chunk().ok_or(BatchError::Cut)?;
        let length = i32::from_be_bytes(array(h, field::BATCH_LENGTH));
        let length = usize::try_from(length).map_err(|_| BatchError::Length)?;
        if length < HEADER_BYTES - LENGTH_OVERHEAD || length > i32::MAX as usize - LENGTH_OVERHEAD {
            return Err(BatchError::Length);
        }
        if h[field::MAGIC] != 2 {
            return Err(BatchError::Magic);
        }
        let header = BatchHeader {
            base_offset: i64::from_be_bytes(array(h, field::BASE_OFFSET)),
            total_bytes: length + LENGTH_OVERHEAD,
            partition_leader_epoch: i32::from_be_bytes(array(h, field::LEADER_EPOCH)),
            crc: u32::from_be_bytes(array(h, field::CRC)),
            attributes: i16::from_be_bytes(array(h, field::ATTRIBUTES)),
            last_offset_delta: i32::from_be_bytes(array(h, field::LAST_OFFSET_DELTA)),
            base_timestamp: i64::from_be_bytes(array(h, field::BASE_TIMESTAMP)),
            max_timestamp: i64::from_be_bytes(array(h, field::MAX_TIMESTAMP)),
            producer_id: i64::from_be_bytes(array(h, field::PRODUCER_ID)),
            producer_epoch: i16::from_be_bytes(array(h, field::PRODUCER_EPOCH)),
            base_sequence: i32::from_be_bytes(array(h, field::BASE_SEQUENCE)),
            records_count: i32::from_be_bytes(array(h, field::RECORDS_COUNT)),
        };
        if header.last_offset_delta < 0 {
            return Err(BatchError::Count);
        }
        Ok(header)
    }

    /// Offset behind the last record.
    pub const fn next_offset(&self) -> i64 {
        self.base_offset.saturating_add(self.last_offset_delta as i64 + 1)
    }

    /// Sequence number of the last record; wraps from 2^31-1 to 0 as Kafka's does.
    pub const fn last_sequence(&self) -> i32 {
        if self.base_sequence < 0 {
            return self.base_sequence;
        }
        let sum = self.base_sequence as i64 + self.last_offset_delta as i64;
        (sum % (i32::MAX as i64 + 1)) as i32
    }

    /// The codec, if the number is one that Kafka has.
    pub const fn codec(&self) -> Option<Codec> {
        match self.attributes & CODEC_MASK {
            0 => Some(Codec::None),
            1 => Some(Codec::Gzip),
            2 => Some(Codec::Snappy),
            3 => Some(Codec::Lz4),
            4 => Some(Codec::Zstd),
            _ => None,
        }
    }

    /// Whether timestamps are the broker's.
    pub const fn is_log_append_time(&self) -> bool {
        self.attributes & LOG_APPEND_TIME != 0
    }

    /// The timestamp of the record with this delta, milliseconds since 1970.
    pub const fn timestamp(&self, timestamp_delta: i64) -> i64 {
        match self.is_log_append_time() {
            true => self.max_timestamp,
            false => self.base_timestamp.saturating_add(timestamp_delta),
        }
    }

    /// Whether the batch is part of a transaction.
    pub const fn is_transactional(&self) -> bool {
        self.attributes & TRANSACTIONAL != 0
    }

    /// Whether the batch is a control batch, which only brokers write.
    pub const fn is_control(&self) -> bool {
        self.attributes & CONTROL != 0
    }

    /// Whether an idempotent or transactional producer wrote it.
    pub const fn has_producer_id(&self) -> bool {
        self.producer_id >= 0
    }
}

/// Writes `header` over the first bytes of `batch`, with the length and CRC that its bytes have.
/// A batch shorter than a header is left alone.
pub fn seal(batch: &mut [u8], header: &BatchHeader) {
    let length = (batch.len().saturating_sub(LENGTH_OVERHEAD)) as i32;
    let Some((front, records)) = batch.split_first_chunk_mut::<HEADER_BYTES>() else { return };
    let mut put = |at: usize, bytes: &[u8]| front[at..at + bytes.len()].copy_from_slice(bytes);
    put(field::BASE_OFFSET, &header.base_offset.to_be_bytes());
    put(field::BATCH_LENGTH, &length.to_be_bytes());
    put(field::LEADER_EPOCH, &header.partition_leader_epoch.to_be_bytes());
    put(field::MAGIC, &[2]);
    put(field::ATTRIBUTES, &header.attributes.to_be_bytes());
    put(field::LAST_OFFSET_DELTA, &header.last_offset_delta.to_be_bytes());
    put(field::BASE_TIMESTAMP, &header.base_timestamp.to_be_bytes());
    put(field::MAX_TIMESTAMP, &header.max_timestamp.to_be_bytes());
    put(field::PRODUCER_ID, &header.producer_id.to_be_bytes());
    put(field::PRODUCER_EPOCH, &header.producer_epoch.to_be_bytes());
    put(field::BASE_SEQUENCE, &header.base_sequence.to_be_bytes());
    put(field::RECORDS_COUNT, &header.records_count.to_be_bytes());
    let crc = crc32c_parts(&[&front[field::ATTRIBUTES..], records]);
    front[field::CRC..field::ATTRIBUTES].copy_from_slice(&crc.to_be_bytes());
}

/// The header under which a stored batch is sent on to another broker as `producer`'s: base offset
/// 0, no leader epoch, timestamps of the records (a client may not send a batch with
/// `LogAppendTime`: `LogValidator` answers INVALID_TIMESTAMP).
///
/// The new CRC is the stored one with the header's share taken out and the new header's put in, so
/// that the records need not be read, and a bit that rotted in them is still found by the receiver.
pub fn readdressed(header: &[u8; HEADER_BYTES], producer: Producer) -> [u8; HEADER_BYTES] {
    let mut new = *header;
    let mut put = |at: usize, bytes: &[u8]| new[at..at + bytes.len()].copy_from_slice(bytes);
    put(field::BASE_OFFSET, &0i64.to_be_bytes());
    put(field::LEADER_EPOCH, &(-1i32).to_be_bytes());
    put(field::PRODUCER_ID, &producer.id.to_be_bytes());
    put(field::PRODUCER_EPOCH, &producer.epoch.to_be_bytes());
    put(field::BASE_SEQUENCE, &producer.base_sequence.to_be_bytes());
    new[field::ATTRIBUTES + 1] &= !(LOG_APPEND_TIME as u8);
    // The sums of old and new header differ by what their difference becomes when it is carried
    // through the records, which are the same: CRCs are linear.
    let difference = crc32c(&new[field::ATTRIBUTES..]) ^ crc32c(&header[field::ATTRIBUTES..]);
    let length = i32::from_be_bytes(array(header, field::BATCH_LENGTH));
    let records_bytes =
        usize::try_from(length).unwrap_or(0).saturating_sub(HEADER_BYTES - LENGTH_OVERHEAD);
    let stored = u32::from_be_bytes(array(header, field::CRC));
    let crc = crc32c_combine(difference, stored, records_bytes);
    new[field::CRC..field::ATTRIBUTES].copy_from_slice(&crc.to_be_bytes());
    new
}

/// Checks one whole batch as a client sent it: length, magic, CRC, counts, codec, and of an
/// uncompressed one that its records are there.
///
/// # Errors
/// The first check that failed; nothing is trusted before the one that guards it.
pub fn check(bytes: &[u8]) -> Result<BatchHeader, BatchError> {
    let header = check_stored(bytes)?;
    if bytes.len() > header.total_bytes {
        return Err(BatchError::Trailing);
    }
    if header.records_count < 1 || header.records_count - 1 != header.last_offset_delta {
        return Err(BatchError::Count);
    }
    match header.codec() {
        None => Err(BatchError::Codec),
        // A claim of two billion records would move the log's end by as many. Compressed records
        // are not looked into: that would take memory that the sender chooses.
        Some(Codec::None) if !has_all_records(bytes, &header) => Err(BatchError::Count),
        // Whatever the codec is, nothing does not become a record.
        Some(_) if bytes.len() == HEADER_BYTES => Err(BatchError::Count),
        Some(_) => Ok(header),
    }
}

fn has_all_records(bytes: &[u8], header: &BatchHeader) -> bool {
    bytes.len() > HEADER_BYTES && records(bytes, header).are_complete()
}

/// Reads what may be the header of a stored batch. Refuses what is none at a glance, so that it can
/// be asked for every byte of a file.
///
/// # Errors
/// The first check that failed.
pub fn read_stored(bytes: &[u8], leader_epoch: i32) -> Result<BatchHeader, BatchError> {
    let glance = bytes.get(field::LEADER_EPOCH..=field::MAGIC).ok_or(BatchError::Cut)?;
    if glance[4] != 2 || glance[..4] != leader_epoch.to_be_bytes() {
        return Err(BatchError::Magic);
    }
    BatchHeader::read(bytes)
}

/// Checks the batch at the start of `bytes`, which may go on behind it: length, magic, CRC.
///
/// # Errors
/// The first check that failed.
pub fn check_stored(bytes: &[u8]) -> Result<BatchHeader, BatchError> {
    let header = BatchHeader::read(bytes)?;
    let Some(batch) = bytes.get(..header.total_bytes) else {
        return Err(BatchError::Cut);
    };
    if crc32c(&batch[field::ATTRIBUTES..]) != header.crc {
        return Err(BatchError::Crc);
    }
    Ok(header)
}

/// The records of an uncompressed batch; of a compressed one there are none to see.
pub fn records<'a>(batch: &'a [u8], header: &BatchHeader) -> Records<'a> {
    let bytes = if header.codec() == Some(Codec::None) {
        batch.get(HEADER_BYTES..header.total_bytes).unwrap_or_default()
    } else {
        &[]
    };
    Records::new(bytes, header.records_count)
}

/// The timestamp of `record`, milliseconds since 1970.
pub fn record_timestamp(header: &BatchHeader, record: &Record<'_>) -> i64 {
    header.timestamp(record.timestamp_delta)
}

/// The largest timestamp of a batch's records where its header names one that is less than that of
/// the first record. sarama 1.43 leaves it out; Apache Kafka computes it for every batch
/// (`LogValidator`). A compressed batch is not looked into: its records are taken to be from before
/// `arrived_ms`, so that a search by time finds it too early rather than too late.
pub fn missing_max_timestamp(bytes: &[u8], header: &BatchHeader, arrived_ms: i64) -> Option<i64> {
    if header.max_timestamp >= header.base_timestamp {
        return None;
    }
    let times = records(bytes, header).filter_map(Result::ok);
    let largest = times.map(|record| record_timestamp(header, &record)).max();
    Some(largest.unwrap_or(arrived_ms).max(header.base_timestamp))
}

/// A batch as it is stored: a rewritten header, and the rest as it arrived.
#[derive(Clone, Copy)]
pub struct Stamped<'a> {
    header: [u8; HEADER_BYTES],
    rest: &'a [u8],
}

impl<'a> Stamped<'a> {
    /// Gives the checked batch `bytes` its place in the log. `log_append_time` is the broker's
    /// time in milliseconds since 1970 where the topic's `message.timestamp.type` asks for it.
    ///
    /// Returns `None` when `bytes` is shorter than a header, which [`check`] rules out.
    pub fn new(
        bytes: &'a [u8],
        base_offset: i64,
        leader_epoch: i32,
        log_append_time: Option<i64>,
    ) -> Option<Self> {
        let (header, rest) = bytes.split_first_chunk::<HEADER_BYTES>()?;
        let mut header = *header;
        let mut put = |at: usize, bytes: &[u8]| header[at..at + bytes.len()].copy_from_slice(bytes);
        put(field::BASE_OFFSET, &base_offset.to_be_bytes());
        put(field::LEADER_EPOCH, &leader_epoch.to_be_bytes());
        if let Some(now) = log_append_time {
            header[field::ATTRIBUTES + 1] |= LOG_APPEND_TIME as u8;
            return Some(Stamped { header, rest }.with_max_timestamp(now));
        }
        Some(Stamped { header, rest })
    }

    /// The same with another largest timestamp.
    #[must_use]
    pub fn with_max_timestamp(mut self, max_timestamp: i64) -> Self {
        let mut put =
            |at: usize, bytes: &[u8]| self.header[at..at + bytes.len()].copy_from_slice(bytes);
        put(field::MAX_TIMESTAMP, &max_timestamp.to_be_bytes());
        let crc = crc32c_parts(&[&self.header[field::ATTRIBUTES..], self.rest]);
        self.header[field::CRC..field::CRC + 4].copy_from_slice(&crc.to_be_bytes());
        self
    }

    /// The two pieces, to be written one behind the other.
    pub fn parts(&self) -> [&[u8]; 2] {
        [&self.header, self.rest]
    }

    /// Bytes of the whole batch.
    pub fn len(&self) -> usize {
        HEADER_BYTES + self.rest.len()
    }

    /// Never true: a batch has a header.
    pub fn is_empty(&self) -> bool {
        false
    }

    /// The header as it will be stored.
    pub fn header(&self) -> Result<BatchHeader, BatchError> {
        BatchHeader::read(&self.header)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::record::BatchBuilder;

    fn sample() -> Vec<u8> {
        let mut builder = BatchBuilder::new(1_000);
        builder.push(1_000, Some(b"k"), Some(b"one"), &[]);
        builder.push(1_007, None, Some(b"two"), &[("h", Some(b"v"))]);
        builder.finish()
    }

    #[test]
    fn a_built_batch_passes_the_checks_and_its_records_come_back() {
        let bytes = sample();
        let header = check(&bytes).unwrap();
        assert_eq!((header.records_count, header.max_timestamp), (2, 1_007));
        let all: Vec<_> = records(&bytes, &header).map(Result::unwrap).collect();
        assert_eq!(all[0].value, Some(&b"one"[..]));
        assert_eq!(record_timestamp(&header, &all[1]), 1_007);
    }

    #[test]
    fn every_flipped_bit_behind_the_crc_is_found() {
        let good = sample();
        for at in field::CRC..good.len() {
            for bit in 0..8 {
                let mut bad = good.clone();
                bad[at] ^= 1 << bit;
                assert!(check(&bad).is_err(), "bit {bit} of byte {at}");
            }
        }
    }

    #[test]
    fn every_truncation_and_a_trailing_byte_are_refused() {
        let good = sample();
        for end in 0..good.len() {
            assert_eq!(check(&good[..end]), Err(BatchError::Cut));
        }
        let mut longer = good;
        longer.push(0);
        assert_eq!(check(&longer), Err(BatchError::Trailing));
    }

    #[test]
    fn an_uncompressed_batch_holds_the_records_it_claims() {
        let with = |count: i32, spoil: fn(&mut Vec<u8>)| {
            let mut covered = sample().split_off(field::ATTRIBUTES);
            let at = |field: usize| field - field::ATTRIBUTES;
            let delta = at(field::LAST_OFFSET_DELTA);
            covered[delta..delta + 4].copy_from_slice(&(count - 1).to_be_bytes());
            let counted = at(field::RECORDS_COUNT);
            covered[counted..counted + 4].copy_from_slice(&count.to_be_bytes());
            spoil(&mut covered);
            let mut bytes = sample()[..field::CRC].to_vec();
            let length = (covered.len() + 9) as i32;
            bytes[field::BATCH_LENGTH..field::LEADER_EPOCH].copy_from_slice(&length.to_be_bytes());
            bytes.extend_from_slice(&crc32c(&covered).to_be_bytes());
            bytes.extend_from_slice(&covered);
            check(&bytes).map(|header| header.records_count)
        };
        assert_eq!(with(2, |_| ()), Ok(2));
        for count in [1, 3, i32::MAX] {
            assert_eq!(with(count, |_| ()), Err(BatchError::Count), "{count} claimed");
        }
        assert_eq!(with(2, |covered| covered.push(0)), Err(BatchError::Count), "a byte more");
        // The first record's offset delta: behind length, attributes and timestamp delta.
        assert_eq!(with(2, |covered| covered[43] = 2), Err(BatchError::Count), "numbered from 1");
        assert_eq!(with(1, |covered| covered.truncate(40)), Err(BatchError::Count), "none there");
    }

    #[test]
    fn stamping_keeps_the_crc_valid_and_all_else_as_it_was() {
        let sent = sample();
        let stamped = Stamped::new(&sent, 41, 3, None).unwrap();
        let stored = stamped.parts().concat();
        let header = check(&stored).unwrap();
        assert_eq!((header.base_offset, header.partition_leader_epoch), (41, 3));
        assert_eq!(stored[16..], sent[16..]);
        let stamped = Stamped::new(&sent, 41, 3, Some(5_000)).unwrap();
        let header = check(&stamped.parts().concat()).unwrap();
        assert!(header.is_log_append_time());
        assert_eq!(header.max_timestamp, 5_000);
    }

    #[test]
    fn sequences_wrap_to_zero() {
        let mut header = check(&sample()).unwrap();
        header.base_sequence = i32::MAX;
        assert_eq!(header.last_sequence(), 0);
        header.base_sequence = -1;
        assert_eq!(header.last_sequence(), -1);
    }

    #[test]
    fn random_batches_never_panic_whichever_check_they_pass() {
        let mut seed = 0x9e37_79b9_7f4a_7c15u64;
        let mut random = || {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            seed
        };
        let good = sample();
        let (mut passed, mut refused) = (0, 0);
        for round in 0..30_000 {
            // Pure noise finds little; mostly a good batch with a few bytes changed, and half of
            // those with a CRC that is right again, so that the checks behind it are reached.
            let mut bytes = good.clone();
            if round % 8 == 0 {
                bytes.iter_mut().for_each(|byte| *byte = random() as u8);
            }
            for _ in 0..random() % 4 {
                let at = random() as usize % bytes.len();
                bytes[at] = random() as u8;
            }
            if round % 2 == 0 {
                let crc = crc32c(&bytes[field::ATTRIBUTES..]);
                bytes[field::CRC..field::ATTRIBUTES].copy_from_slice(&crc.to_be_bytes());
            }
            if round % 5 == 0 {
                bytes.truncate(random() as usize % (bytes.len() + 1));
            }
            BatchHeader::read(&bytes).ok();
            if let Some(stamped) = Stamped::new(&bytes, i64::MAX, -1, Some(i64::MIN)) {
                assert_eq!(stamped.parts().concat().len(), bytes.len());
                stamped.header().ok();
            }
            if let Ok(header) = check_stored(&bytes) {
                assert!(header.total_bytes <= bytes.len());
            }
            let Ok(header) = check(&bytes) else {
                refused += 1;
                continue;
            };
            passed += 1;
            assert_eq!(header.total_bytes, bytes.len());
            assert!(header.codec().is_some() && header.records_count >= 1);
            assert!(header.next_offset() >= header.base_offset);
            // No more records than bytes, whatever the header says.
            let all: Vec<_> = records(&bytes, &header).collect();
            assert!(all.len() <= bytes.len() - HEADER_BYTES + 1);
            for record in all.iter().flatten() {
                record_timestamp(&header, record);
                record.headers(|_, _| ()).ok();
            }
        }
        assert!(passed > 1_000 && refused > 1_000, "{passed} {refused}");
    }

    #[test]
    fn a_largest_timestamp_that_the_producer_left_out_is_found_again() {
        let mut builder = BatchBuilder::new(1_000);
        for time in [1_000, 4_000, 3_000] {
            builder.push(time, None, Some(b"v"), &[]);
        }
        let good = builder.finish();
        let header = check(&good).unwrap();
        assert_eq!(missing_max_timestamp(&good, &header, 9_000), None);
        let without = Stamped::new(&good, 0, 0, None).unwrap().with_max_timestamp(-1);
        let bytes = without.parts().concat();
        let header = check(&bytes).unwrap();
        assert_eq!(missing_max_timestamp(&bytes, &header, 9_000), Some(4_000));
        // Nobody looks into a compressed one.
        let compressed = BatchHeader { attributes: 1, ..header };
        assert_eq!(missing_max_timestamp(&bytes, &compressed, 9_000), Some(9_000));
        assert_eq!(missing_max_timestamp(&bytes, &compressed, 500), Some(1_000));
    }
}
