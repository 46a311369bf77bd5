//! One frame of the journal: its layout, its checks, and what its payload can be.
//!
//! ```text
//!  0 magic u32 "OtJ1"   |  4 header_crc u32: CRC-32C of bytes 8..48
//!  8 sequence u64       | 16 durable u64: the last sequence known durable when this was staged
//! 24 generation u32     | 28 payload_bytes u32
//! 32 payload_crc u32    | 36 kind u8 | 37..40 zero | 40 age_s u32 | 44..48 zero | 48 payload
//! ```
//! All little-endian; a frame starts at a multiple of 8. `header_crc` vouches for the length, so
//! that a rotten payload does not hide the frame behind it. `age_s` is the store's own clock:
//! seconds that a broker was seen running on this directory, whatever the wall clock said.
//!
//! A batch's payload is a [`BatchPlace`] and the batch (`KIND_BATCH`), or a place and the batch's
//! first 61 bytes (`KIND_REFERENCE`, the batch itself having been synced in its segment before).
//! Of an inline batch `payload_crc` covers the place and the batch up to its own CRC field: the
//! rest is covered by that one, which was checked when the batch arrived. So it is summed once.

use crate::limits::{COUNT_PLAUSIBLE_MAX, NUMBER_PLAUSIBLE_MAX, OFFSET_PLAUSIBLE_MAX};
use crate::wire::batch::{self, BatchHeader, HEADER_BYTES};
use crate::wire::crc::{crc32c, crc32c_parts};

/// Bytes of a frame before its payload.
pub const FRAME_HEADER_BYTES: usize = 48;
/// Frames start at multiples of this.
pub const FRAME_ALIGN: u64 = 8;
/// What is written after a sync starts at a multiple of this: a torn sector holds only frames
/// that nobody was promised.
pub const COMMIT_ALIGN: u64 = 512;

/// How every frame begins.
pub const MAGIC: &[u8; 4] = b"OtJ1";
/// Bytes of a batch that the frame's CRC covers: up to the end of the batch's own CRC field.
const BATCH_COVERED: usize = 21;

/// The first frame of a generation, written and synced before anything else is.
pub const KIND_OPENED: u8 = 1;
/// A record batch, whole.
pub const KIND_BATCH: u8 = 2;
/// A record batch that lies synced in its segment.
pub const KIND_REFERENCE: u8 = 3;
/// A change of what the coordinator file holds; opaque to storage.
pub const KIND_CHANGE: u8 = 4;
/// A partition's log start offset moved.
pub const KIND_LOG_START: u8 = 5;

/// A partition's permanent name: topics are numbered at creation and no number is used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PartitionKey {
    /// The topic's number.
    pub topic: u32,
    /// The partition's index.
    pub partition: u32,
}

impl PartitionKey {
    /// The least key behind this one.
    pub const fn following(self) -> PartitionKey {
        match self.partition.checked_add(1) {
            Some(partition) => PartitionKey { partition, ..self },
            None => PartitionKey { topic: self.topic.saturating_add(1), partition: 0 },
        }
    }
}

/// Where a batch lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchPlace {
    /// Whose batch it is.
    pub key: PartitionKey,
    /// Base offset of the segment.
    pub segment_base: i64,
    /// Byte position in that segment.
    pub position: u32,
}

/// Bytes of a [`BatchPlace`] in a payload.
pub const PLACE_BYTES: usize = 24;

impl BatchPlace {
    /// The place as it stands in a payload: key, segment base, position, four zeros.
    pub fn encode(&self) -> [u8; PLACE_BYTES] {
        let mut bytes = [0; PLACE_BYTES];
        bytes[0..4].copy_from_slice(&self.key.topic.to_le_bytes());
        bytes[4..8].copy_from_slice(&self.key.partition.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.segment_base.to_le_bytes());
        bytes[16..20].copy_from_slice(&self.position.to_le_bytes());
        bytes
    }

    /// Whether a batch of this header can lie here.
    fn fits(&self, header: &BatchHeader) -> bool {
        let end = u64::from(self.position) + header.total_bytes as u64;
        let offsets = [self.segment_base, header.base_offset];
        offsets.iter().all(|offset| (0..=OFFSET_PLAUSIBLE_MAX).contains(offset))
            && self.segment_base <= header.base_offset
            && u32::try_from(end).is_ok()
            && self.key.topic <= NUMBER_PLAUSIBLE_MAX
    }

    fn decode(bytes: &[u8]) -> Option<(BatchPlace, &[u8])> {
        let (place, rest) = bytes.split_first_chunk::<PLACE_BYTES>()?;
        let key = PartitionKey { topic: le32(place, 0), partition: le32(place, 4) };
        let segment_base = le64(place, 8) as i64;
        Some((BatchPlace { key, segment_base, position: le32(place, 16) }, rest))
    }
}

fn le32(bytes: &[u8], at: usize) -> u32 {
    let mut raw = [0; 4];
    raw.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(raw)
}

fn le64(bytes: &[u8], at: usize) -> u64 {
    let mut raw = [0; 8];
    raw.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(raw)
}

/// The header of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameHeader {
    /// The frame's number, counting from 1 without gaps over the journal's whole life.
    pub sequence: u64,
    /// The last sequence known durable when this frame was staged.
    pub durable: u64,
    /// Which start of the broker wrote it.
    pub generation: u32,
    /// Bytes of the payload.
    pub payload_bytes: u32,
    /// CRC of the payload (of a batch: of its first bytes).
    pub payload_crc: u32,
    /// What the payload is.
    pub kind: u8,
    /// Seconds of observed running time.
    pub age_s: u32,
}

impl FrameHeader {
    /// The header in front of a payload given in `parts`.
    pub fn seal(mut self, parts: &[&[u8]]) -> [u8; FRAME_HEADER_BYTES] {
        self.payload_bytes = parts.iter().map(|p| p.len()).sum::<usize>() as u32;
        self.payload_crc = match (self.kind, parts) {
            (KIND_BATCH, [place, batch, ..]) => {
                crc32c_parts(&[place, &batch[..BATCH_COVERED.min(batch.len())]])
            }
            _ => crc32c_parts(parts),
        };
        let mut h = [0; FRAME_HEADER_BYTES];
        h[0..4].copy_from_slice(MAGIC);
        h[8..16].copy_from_slice(&self.sequence.to_le_bytes());
        h[16..24].copy_from_slice(&self.durable.to_le_bytes());
        h[24..28].copy_from_slice(&self.generation.to_le_bytes());
        h[28..32].copy_from_slice(&self.payload_bytes.to_le_bytes());
        h[32..36].copy_from_slice(&self.payload_crc.to_le_bytes());
        h[36] = self.kind;
        h[40..44].copy_from_slice(&self.age_s.to_le_bytes());
        let crc = crc32c(&h[8..]);
        h[4..8].copy_from_slice(&crc.to_le_bytes());
        h
    }

    /// The header in `bytes`, if there is a whole and undamaged one.
    pub fn read(bytes: &[u8]) -> Option<FrameHeader> {
        let h = bytes.get(..FRAME_HEADER_BYTES)?;
        if h[0..4] != *MAGIC || le32(h, 4) != crc32c(&h[8..]) {
            return None;
        }
        // Numbers that no journal comes to, whatever the sum says: nothing counts on from them.
        let counts = [le64(h, 8), le64(h, 16)].into_iter().all(|n| n <= COUNT_PLAUSIBLE_MAX);
        let numbers = [le32(h, 24), le32(h, 40)].into_iter().all(|n| n <= NUMBER_PLAUSIBLE_MAX);
        if !counts || !numbers {
            return None;
        }
        Some(FrameHeader {
            sequence: le64(h, 8),
            durable: le64(h, 16),
            generation: le32(h, 24),
            payload_bytes: le32(h, 28),
            payload_crc: le32(h, 32),
            kind: h[36],
            age_s: le32(h, 40),
        })
    }

    /// Bytes from this frame's start to the earliest start of the next.
    pub fn frame_bytes(&self) -> u64 {
        (FRAME_HEADER_BYTES as u64 + u64::from(self.payload_bytes)).next_multiple_of(FRAME_ALIGN)
    }
}

/// What a frame says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Payload<'a> {
    /// A generation begins.
    Opened,
    /// A batch; `bytes` is all of it (inline), or `None` where the segment has it.
    Batch {
        /// Where it lies.
        place: BatchPlace,
        /// Its header.
        header: BatchHeader,
        /// The whole batch, if the frame carries it.
        bytes: Option<&'a [u8]>,
    },
    /// A change of the coordinator's state.
    Change(&'a [u8]),
    /// A partition's log begins later now.
    LogStart {
        /// Whose log.
        key: PartitionKey,
        /// Its new first offset.
        offset: i64,
    },
    /// A kind that this version of ottla does not know.
    Unknown,
}

/// Checks a payload against its header and takes it apart; `None` is rot.
pub fn open_payload<'a>(header: &FrameHeader, payload: &'a [u8]) -> Option<Payload<'a>> {
    if payload.len() != header.payload_bytes as usize {
        return None;
    }
    let covered = match header.kind {
        KIND_BATCH => payload.get(..PLACE_BYTES + BATCH_COVERED)?,
        _ => payload,
    };
    if crc32c(covered) != header.payload_crc {
        return None;
    }
    Some(match header.kind {
        KIND_BATCH => {
            let (place, bytes) = BatchPlace::decode(payload)?;
            let header = batch::check_stored(bytes).ok().filter(|header| place.fits(header))?;
            Payload::Batch { place, header, bytes: Some(bytes) }
        }
        KIND_REFERENCE => {
            let (place, bytes) = BatchPlace::decode(payload)?;
            let header = BatchHeader::read(bytes.get(..HEADER_BYTES)?).ok();
            let header = header.filter(|header| place.fits(header))?;
            Payload::Batch { place, header, bytes: None }
        }
        KIND_OPENED => Payload::Opened,
        KIND_CHANGE => Payload::Change(payload),
        KIND_LOG_START => {
            let raw = payload.first_chunk::<16>()?;
            let key = PartitionKey { topic: le32(raw, 0), partition: le32(raw, 4) };
            let offset = le64(raw, 8) as i64;
            (0..=OFFSET_PLAUSIBLE_MAX).contains(&offset).then_some(())?;
            Payload::LogStart { key, offset }
        }
        _ => Payload::Unknown,
    })
}

/// The payload of a `KIND_LOG_START` frame.
pub fn log_start_payload(key: PartitionKey, offset: i64) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[0..4].copy_from_slice(&key.topic.to_le_bytes());
    bytes[4..8].copy_from_slice(&key.partition.to_le_bytes());
    bytes[8..16].copy_from_slice(&offset.to_le_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::record::BatchBuilder;

    fn header(kind: u8) -> FrameHeader {
        FrameHeader {
            sequence: 7,
            durable: 5,
            generation: 2,
            payload_bytes: 0,
            payload_crc: 0,
            kind,
            age_s: 90,
        }
    }

    fn sample_batch() -> Vec<u8> {
        let mut builder = BatchBuilder::new(5);
        builder.push(5, None, Some(b"hello"), &[]);
        builder.finish()
    }

    #[test]
    fn numbers_that_nothing_can_count_on_from_are_no_frame() {
        let good = header(KIND_OPENED);
        for bad in [
            FrameHeader { sequence: u64::MAX, ..good },
            FrameHeader { durable: COUNT_PLAUSIBLE_MAX + 1, ..good },
            FrameHeader { generation: u32::MAX, ..good },
            FrameHeader { age_s: u32::MAX, ..good },
        ] {
            assert_eq!(FrameHeader::read(&bad.seal(&[])), None, "{bad:?}");
        }
        assert!(FrameHeader::read(&good.seal(&[])).is_some());
    }

    #[test]
    fn a_batch_frame_comes_back_and_every_flipped_bit_of_it_is_found() {
        let key = PartitionKey { topic: 3, partition: 1 };
        let place = BatchPlace { key, segment_base: 0, position: 123 };
        let batch = sample_batch();
        let sealed = header(KIND_BATCH).seal(&[&place.encode(), &batch]);
        let payload = [&place.encode()[..], &batch].concat();
        let read = FrameHeader::read(&sealed).unwrap();
        assert_eq!((read.sequence, read.durable, read.generation, read.age_s), (7, 5, 2, 90));
        let Some(Payload::Batch { place: found, bytes: Some(bytes), .. }) =
            open_payload(&read, &payload)
        else {
            panic!("not a batch")
        };
        assert_eq!((found, bytes), (place, &batch[..]));
        for bit in 0..sealed.len() * 8 {
            let mut bad = sealed;
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(FrameHeader::read(&bad), None, "bit {bit} of the header");
        }
        for bit in 0..payload.len() * 8 {
            let mut bad = payload.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(open_payload(&read, &bad), None, "bit {bit} of the payload");
        }
    }

    #[test]
    fn a_reference_carries_the_batch_header_alone() {
        let key = PartitionKey { topic: 3, partition: 1 };
        let place = BatchPlace { key, segment_base: 0, position: 123 };
        let batch = sample_batch();
        let payload = [&place.encode()[..], &batch[..HEADER_BYTES]].concat();
        let sealed = header(KIND_REFERENCE).seal(&[&place.encode(), &batch[..HEADER_BYTES]]);
        let read = FrameHeader::read(&sealed).unwrap();
        assert!(matches!(open_payload(&read, &payload), Some(Payload::Batch { bytes: None, .. })));
    }

    #[test]
    fn a_batch_in_front_of_its_own_segment_is_no_frame() {
        let key = PartitionKey { topic: 3, partition: 1 };
        let batch = sample_batch();
        let opened = |segment_base| {
            let place = BatchPlace { key, segment_base, position: 0 }.encode();
            let read = FrameHeader::read(&header(KIND_BATCH).seal(&[&place, &batch])).unwrap();
            open_payload(&read, &[&place[..], &batch].concat()).is_some()
        };
        let base_offset = BatchHeader::read(&batch).unwrap().base_offset;
        assert!(opened(base_offset) && !opened(base_offset + 1));
    }

    #[test]
    fn a_log_start_frame_comes_back() {
        let key = PartitionKey { topic: 9, partition: 0 };
        let payload = log_start_payload(key, 77);
        let read = FrameHeader::read(&header(KIND_LOG_START).seal(&[&payload])).unwrap();
        assert_eq!(open_payload(&read, &payload), Some(Payload::LogStart { key, offset: 77 }));
    }
}
