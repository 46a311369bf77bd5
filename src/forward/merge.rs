//! Stored batches made into the one batch that goes up: as they are, cut, merged, compressed.
//!
//! Promises: the records of what is sent have the keys, values, headers and timestamps that a
//! reader of the local log sees, in order, numbered without a gap. A batch is at most as large as
//! `batch_size` or as the one stored batch in it, and never larger than there is room for. The
//! buffers are allocated once. A stored batch whose CRC is wrong is never merged: it goes alone,
//! its CRC still wrong, for upstream to refuse. A compressed batch whose records must be changed
//! goes up compressed with the codec that is set, or with LZ4, which takes a table of 16 KiB where
//! the others take ten times that; where it does not fit into the buffer, it goes up whole, and
//! `unchanged` says so.
//! Absent: the choice of what to send (`machine`), and transactions, which this broker has not.

use super::batch::{Identity, readdress, sequence_at};
use super::compress::{self, Compressor};
use super::unpack::{INFLATE_BYTES, Unpacker};
use crate::limits::{FORWARD_COMPRESS_SLACK_BYTES, FORWARD_REQUEST_BYTES_MIN, Sizes};
use crate::wire::batch::{self, BatchError, BatchHeader, Codec, HEADER_BYTES};
use crate::wire::reader::{Read, Reader};
use crate::wire::writer::Writer;

/// Bytes of the longest record's front: a length, the attributes, a time, an offset.
const RECORD_FRONT_BYTES_MAX: usize = 5 + 1 + 10 + 5;

/// What [`Merger::pack`] appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packed {
    /// Local offset of the first record. It lies before the offset asked for where a compressed
    /// batch could not be cut: then the records between the two go up a second time.
    pub first: i64,
    /// Local offset behind the last record.
    pub next: i64,
    /// Sequence number of the first record.
    pub base_sequence: i32,
    /// Stored batches that are in it.
    pub batches: u32,
    /// Bytes read: these batches, and those before the offset asked for.
    pub bytes_read: usize,
    /// Bytes appended to `out`.
    pub bytes: usize,
    /// Largest timestamp of the records, milliseconds since 1970.
    pub max_timestamp: i64,
    /// How the appended batch is compressed.
    pub codec: Codec,
    /// Its records should have been changed and are not: there was no room for that behind what
    /// `out` had, or there is none at all.
    pub unchanged: bool,
}

/// Why nothing was appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PackError {
    /// The first batch is not all there: so many bytes from its start on are needed, at least.
    Cut {
        /// Bytes that must be read from the start of the piece that was given.
        needed: usize,
    },
    /// The offset asked for is not there any more; the next one that is.
    Gap {
        /// Base offset of the first batch.
        next: i64,
    },
    /// What stands there is no batch at all.
    Batch(BatchError),
}

/// Bytes of the largest stored batch that is read whole, and of the largest merged one.
pub fn whole_bytes_max(batch_size: u32) -> usize {
    FORWARD_REQUEST_BYTES_MIN.max(batch_size as usize)
}

fn scratch_bytes(batch_size: u32, codec: Codec, sizes: &Sizes) -> usize {
    let compressed = if codec == Codec::None { 0 } else { whole_bytes_max(batch_size) };
    compressed.max(sizes.forward_unpacked_bytes) + HEADER_BYTES + FORWARD_COMPRESS_SLACK_BYTES
}

/// Makes batches for upstream; its buffers are allocated once.
#[derive(Debug)]
pub struct Merger {
    batch_size: usize,
    compressor: Compressor,
    /// For batches whose own codec must be undone while none is set.
    lz4: Compressor,
    unpacker: Unpacker,
    /// Room for records that are decompressed, and then for those that are compressed.
    scratch: Box<[u8]>,
    /// Bytes that `out` may have.
    out_bytes_max: usize,
    /// Bytes of the records that are compressed at most: what the codec takes grows with them.
    plain_bytes_max: usize,
    /// The front of one record, before it is appended.
    front: Vec<u8>,
    /// Whoever gets the batches knows Zstandard (KIP-110: Produce 7, Kafka 2.1).
    knows_zstd: bool,
}

/// What of a log is to be made a batch, and whose.
#[derive(Clone, Copy)]
struct Wanted<'a> {
    bytes: &'a [u8],
    first: BatchHeader,
    from: i64,
    id: Identity,
    sequence_base: i64,
    unmerged: bool,
}

/// A batch under construction behind what `out` had before.
struct Merged {
    start: usize,
    next: i64,
    batches: u32,
    bytes_read: usize,
    base_timestamp: i64,
    max_timestamp: i64,
}

impl Merger {
    /// A merger of batches of at most `batch_size` bytes. `codec` is what they are compressed with;
    /// with none they keep the compression they have.
    pub fn new(batch_size: u32, codec: Codec) -> Merger {
        let sizes = Sizes::of(&crate::limits::Board::DESKTOP);
        Merger { plain_bytes_max: usize::MAX, ..Merger::sized(batch_size, codec, &sizes) }
    }

    /// The same with the buffers of a board; what is larger than `batch_size` is not compressed.
    pub fn sized(batch_size: u32, codec: Codec, sizes: &Sizes) -> Merger {
        Merger {
            batch_size: batch_size as usize,
            compressor: Compressor::new(codec),
            lz4: Compressor::new(if codec == Codec::Lz4 { Codec::None } else { Codec::Lz4 }),
            unpacker: Unpacker::new(sizes.forward_unpacks_zstd),
            scratch: crate::fixed::bytes(scratch_bytes(batch_size, codec, sizes)),
            out_bytes_max: usize::MAX,
            plain_bytes_max: batch_size as usize,
            front: Vec::with_capacity(RECORD_FRONT_BYTES_MAX),
            knows_zstd: true,
        }
    }

    /// Bytes that [`Merger::sized`] takes, and everything that comes later.
    pub fn memory(batch_size: u32, codec: Codec, sizes: &Sizes) -> usize {
        scratch_bytes(batch_size, codec, sizes)
            + compress::memory(codec, batch_size as usize)
            + if codec == Codec::Lz4 { 0 } else { compress::memory(Codec::Lz4, 0) }
            + INFLATE_BYTES
            + RECORD_FRONT_BYTES_MAX
    }

    /// What is appended from now on may fill `out` up to so many bytes.
    pub fn set_room(&mut self, out_bytes_max: usize) {
        self.out_bytes_max = out_bytes_max;
    }

    /// Whether the next batches go to a broker that knows Zstandard; else they are not compressed
    /// with it.
    pub fn set_knows_zstd(&mut self, knows: bool) {
        self.knows_zstd = knows;
    }

    /// What batches are compressed with.
    fn codec(&self) -> Codec {
        match self.compressor.codec() {
            Codec::Zstd if !self.knows_zstd => Codec::None,
            codec => codec,
        }
    }

    /// Reads consecutive whole batches from `bytes`, a piece of a log from the batch that holds
    /// the offset `from` on, and appends one batch to `out`, ready to be sent: as many of them as
    /// fit and can be merged, at least the first. With `unmerged` the first one only, and with the
    /// compression that it has.
    ///
    /// # Errors
    /// [`PackError`]; then nothing was appended.
    pub fn pack(
        &mut self,
        bytes: &[u8],
        from: i64,
        id: Identity,
        sequence_base: i64,
        unmerged: bool,
        out: &mut Vec<u8>,
    ) -> Result<Packed, PackError> {
        let (skipped, first) = first_batch(bytes, from)?;
        let bytes = &bytes[skipped..];
        let wanted = Wanted { bytes, first, from, id, sequence_base, unmerged };
        let start = out.len();
        let packed = if wanted.is_changed() && first.codec() != Some(Codec::None) {
            self.unpacked(&wanted, out)
        } else if wanted.is_changed() || self.merges(&wanted) {
            self.merged(&wanted, out)
        } else {
            None
        };
        let unchanged = wanted.is_changed() && packed.is_none();
        let packed = packed.or_else(|| {
            out.truncate(start);
            self.compressed(&wanted, out)
        });
        let packed = packed.unwrap_or_else(|| {
            out.truncate(start);
            wanted.as_it_is(out)
        });
        Ok(Packed { bytes_read: skipped + packed.bytes_read, unchanged, ..packed })
    }

    /// Whether the first two batches become one, as far as their headers tell.
    fn merges(&self, wanted: &Wanted<'_>) -> bool {
        let rest = wanted.bytes.get(wanted.first.total_bytes..).unwrap_or_default();
        let Ok(second) = BatchHeader::read(rest) else { return false };
        let both = wanted.first.total_bytes + second.total_bytes - HEADER_BYTES;
        !wanted.unmerged
            && is_mergeable(&wanted.first)
            && is_mergeable(&second)
            && second.base_offset == wanted.first.next_offset()
            && second.total_bytes <= rest.len()
            && both <= self.batch_size
    }

    /// Several batches as one, or one with other records or timestamps than it is stored with.
    fn merged(&mut self, wanted: &Wanted<'_>, out: &mut Vec<u8>) -> Option<Packed> {
        let merged = self.merge(wanted, out);
        // One batch that needs no change is not written anew: its CRC may tell of rot.
        if merged.batches < if wanted.is_changed() { 1 } else { 2 } {
            return None;
        }
        let codec = match wanted.unmerged {
            true => Codec::None,
            false => self.compress(merged.start + HEADER_BYTES, false, out),
        };
        Some(merged.finish(wanted, codec, &mut out[..]))
    }

    /// Compresses the records that `out` ends with, where that makes them fewer; `regardless` of
    /// whether a codec is set.
    fn compress(&mut self, records: usize, regardless: bool, out: &mut Vec<u8>) -> Codec {
        let plain = &out[records..];
        let fits = plain.len() <= self.plain_bytes_max;
        let compressor = match self.codec() {
            Codec::Lz4 => &mut self.compressor,
            Codec::Gzip | Codec::Zstd | Codec::Snappy if fits => &mut self.compressor,
            _ if regardless => &mut self.lz4,
            _ => return Codec::None,
        };
        match compressor.compress(plain, &mut self.scratch) {
            Some(bytes) if bytes < plain.len() => {
                out.truncate(records);
                out.extend_from_slice(&self.scratch[..bytes]);
                compressor.codec()
            }
            _ => Codec::None,
        }
    }

    /// One batch as it is but compressed.
    fn compressed(&mut self, wanted: &Wanted<'_>, out: &mut Vec<u8>) -> Option<Packed> {
        let batch = &wanted.bytes[..wanted.first.total_bytes];
        let codec = self.codec();
        if wanted.unmerged || codec == Codec::None || !is_mergeable(&wanted.first) {
            return None;
        }
        if batch.len() - HEADER_BYTES > self.plain_bytes_max && codec != Codec::Lz4 {
            return None;
        }
        let header = batch::check_stored(batch).ok()?;
        let start = out.len();
        let bytes = self.compressor.compress(&batch[HEADER_BYTES..], &mut self.scratch)?;
        if HEADER_BYTES + bytes >= batch.len() || start + batch.len() > self.out_bytes_max {
            return None;
        }
        out.resize(start + HEADER_BYTES, 0);
        out.extend_from_slice(&self.scratch[..bytes]);
        let header = BatchHeader { attributes: codec as i16, ..header };
        Some(wanted.sealed(header.base_offset, header, 1, header.total_bytes, &mut out[start..]))
    }

    /// One compressed batch whose records must be changed.
    fn unpacked(&mut self, wanted: &Wanted<'_>, out: &mut Vec<u8>) -> Option<Packed> {
        let mut scratch = core::mem::take(&mut self.scratch);
        let merged = self.unpacked_into(wanted, &mut scratch, out);
        self.scratch = scratch;
        let (merged, total_bytes) = merged?;
        let codec = self.compress(merged.start + HEADER_BYTES, true, out);
        let merged = Merged { bytes_read: total_bytes, ..merged };
        Some(merged.finish(wanted, codec, &mut out[..]))
    }

    /// Its records as they are to be, plain.
    fn unpacked_into(
        &mut self,
        wanted: &Wanted<'_>,
        scratch: &mut [u8],
        out: &mut Vec<u8>,
    ) -> Option<(Merged, usize)> {
        let header = batch::check_stored(wanted.bytes).ok()?;
        let stored = header.codec().filter(|_| !header.is_control())?;
        let records = &wanted.bytes[HEADER_BYTES..header.total_bytes];
        let room = scratch.len() - FORWARD_COMPRESS_SLACK_BYTES;
        let plain = self.unpacker.unpack(stored, records, &mut scratch[HEADER_BYTES..room])?;
        let bytes = &mut scratch[..HEADER_BYTES + plain];
        let timestamp_type = header.attributes & !(stored as i16);
        batch::seal(bytes, &BatchHeader { attributes: timestamp_type, ..header });
        let first = BatchHeader::read(bytes).ok()?;
        let merged = self.merge(&Wanted { bytes, first, unmerged: true, ..*wanted }, out);
        (merged.batches > 0).then_some((merged, header.total_bytes))
    }

    /// Appends room for a header, and the records of as many batches as can be merged.
    fn merge(&mut self, wanted: &Wanted<'_>, out: &mut Vec<u8>) -> Merged {
        let by_broker = wanted.first.is_log_append_time();
        let first = &wanted.first;
        let mut merged = Merged {
            start: out.len(),
            next: wanted.from,
            batches: 0,
            bytes_read: 0,
            base_timestamp: if by_broker { first.max_timestamp } else { first.base_timestamp },
            max_timestamp: i64::MIN,
        };
        if merged.start + HEADER_BYTES > self.out_bytes_max {
            return merged;
        }
        out.resize(merged.start + HEADER_BYTES, 0);
        while let Ok(header) = batch::check_stored(&wanted.bytes[merged.bytes_read..]) {
            let end = out.len();
            let batch = &wanted.bytes[merged.bytes_read..][..header.total_bytes];
            let is_next = merged.batches == 0 || header.base_offset == merged.next;
            if !is_next
                || !is_mergeable(&header)
                || self.append(batch, &header, wanted.from, &merged, out).is_none()
                // A batch that is larger than what batches are merged up to may still go alone.
                || merged.batches > 0 && out.len() - merged.start > self.batch_size
            {
                out.truncate(end);
                break;
            }
            merged.next = header.next_offset();
            merged.max_timestamp = merged.max_timestamp.max(largest_timestamp(&header));
            merged.batches += 1;
            merged.bytes_read += header.total_bytes;
            if wanted.unmerged {
                break;
            }
        }
        merged
    }

    /// Appends the records of one batch from `merged.next` on; `None` where they are not what the
    /// header says, or too far apart for their numbers.
    fn append(
        &mut self,
        batch: &[u8],
        header: &BatchHeader,
        from: i64,
        merged: &Merged,
        out: &mut Vec<u8>,
    ) -> Option<()> {
        let mut r = Reader::new(batch.get(HEADER_BYTES..)?, 0, false);
        for index in 0..=header.last_offset_delta {
            let record = RawRecord::read(&mut r).ok()?;
            if record.offset_delta != index {
                return None;
            }
            let offset = header.base_offset + i64::from(index);
            if offset < merged.next {
                continue;
            }
            let timestamp = if header.is_log_append_time() {
                header.max_timestamp
            } else {
                header.base_timestamp.checked_add(record.timestamp_delta)?
            };
            let timestamp_delta = timestamp.checked_sub(merged.base_timestamp)?;
            let offset_delta = i32::try_from(offset - from).ok()?;
            self.put(&RawRecord { timestamp_delta, offset_delta, ..record }, out)?;
        }
        r.rest().is_empty().then_some(())
    }

    /// Appends a record; `None` where there is no room for it.
    fn put(&mut self, record: &RawRecord<'_>, out: &mut Vec<u8>) -> Option<()> {
        self.front.clear();
        let mut w = Writer::new(&mut self.front, 0, false);
        w.i8(record.attributes);
        w.varlong(record.timestamp_delta);
        w.varint(record.offset_delta);
        let mut w = Writer::bounded(out, 0, false, self.out_bytes_max);
        w.varint((self.front.len() + record.rest.len()) as i32);
        w.raw(&self.front);
        w.raw(record.rest);
        (!w.overflowed()).then_some(())
    }
}

impl Merged {
    fn finish(self, wanted: &Wanted<'_>, codec: Codec, out: &mut [u8]) -> Packed {
        let count = (self.next - wanted.from) as i32;
        let header = BatchHeader {
            attributes: codec as i16,
            last_offset_delta: count - 1,
            base_timestamp: self.base_timestamp,
            max_timestamp: self.max_timestamp,
            records_count: count,
            ..wanted.first
        };
        let batch = &mut out[self.start..];
        wanted.sealed(wanted.from, header, self.batches, self.bytes_read, batch)
    }
}

impl Wanted<'_> {
    /// Whether the first batch cannot go as it is stored: upstream has its first records already,
    /// or its timestamps are the broker's.
    fn is_changed(&self) -> bool {
        self.from > self.first.base_offset || self.first.is_log_append_time()
    }

    /// Gives `batch` a header like `header` in the name of the producer, and its CRC.
    fn sealed(
        &self,
        first: i64,
        header: BatchHeader,
        batches: u32,
        bytes_read: usize,
        batch: &mut [u8],
    ) -> Packed {
        let base_sequence = sequence_at(first, self.sequence_base);
        let header = BatchHeader {
            base_offset: 0,
            partition_leader_epoch: -1,
            producer_id: self.id.producer_id,
            producer_epoch: self.id.producer_epoch,
            base_sequence,
            ..header
        };
        batch::seal(batch, &header);
        Packed {
            first,
            next: first + i64::from(header.last_offset_delta) + 1,
            base_sequence,
            batches,
            bytes_read,
            bytes: batch.len(),
            max_timestamp: largest_timestamp(&header),
            codec: header.codec().unwrap_or(Codec::None),
            unchanged: false,
        }
    }

    /// Appends the first batch with another header and nothing else changed.
    fn as_it_is(&self, out: &mut Vec<u8>) -> Packed {
        let header = &self.first;
        let base_sequence = sequence_at(header.base_offset, self.sequence_base);
        if let Some((front, rest)) = self.bytes[..header.total_bytes].split_first_chunk() {
            out.extend_from_slice(&readdress(front, self.id, base_sequence));
            out.extend_from_slice(rest);
        }
        Packed {
            first: header.base_offset,
            next: header.next_offset(),
            base_sequence,
            batches: 1,
            bytes_read: header.total_bytes,
            bytes: header.total_bytes,
            max_timestamp: largest_timestamp(header),
            codec: header.codec().unwrap_or(Codec::None),
            unchanged: false,
        }
    }
}

/// Whether a batch's records are there to be read, and anybody's.
fn is_mergeable(header: &BatchHeader) -> bool {
    header.codec() == Some(Codec::None) && !header.is_control() && !header.is_transactional()
}

/// A record as bytes, but for the numbers that change when it moves to another batch.
#[derive(Clone, Copy)]
struct RawRecord<'a> {
    attributes: i8,
    timestamp_delta: i64,
    offset_delta: i32,
    /// Key, value and headers.
    rest: &'a [u8],
}

impl<'a> RawRecord<'a> {
    fn read(r: &mut Reader<'a>) -> Read<Self> {
        let length = r.varint("record length")?;
        let body = r.take("record", usize::try_from(length).unwrap_or(usize::MAX))?;
        let mut r = Reader::new(body, 0, false);
        Ok(RawRecord {
            attributes: r.i8("record attributes")?,
            timestamp_delta: r.varlong("timestamp_delta")?,
            offset_delta: r.varint("offset_delta")?,
            rest: r.rest(),
        })
    }
}

/// The largest timestamp that a batch's header names; sarama 1.43 leaves it out.
fn largest_timestamp(header: &BatchHeader) -> i64 {
    header.max_timestamp.max(header.base_timestamp)
}

/// The batch that holds `from`, which must be all there, and how many bytes stand before it.
fn first_batch(bytes: &[u8], from: i64) -> Result<(usize, BatchHeader), PackError> {
    let mut skipped = 0;
    loop {
        let rest = &bytes[skipped..];
        let header = match BatchHeader::read(rest) {
            Ok(header) => header,
            Err(BatchError::Cut) => return Err(PackError::Cut { needed: skipped + HEADER_BYTES }),
            Err(error) => return Err(PackError::Batch(error)),
        };
        if header.next_offset() > from {
            if header.base_offset > from {
                return Err(PackError::Gap { next: header.base_offset });
            }
            if header.total_bytes > rest.len() {
                return Err(PackError::Cut { needed: skipped + header.total_bytes });
            }
            return Ok((skipped, header));
        }
        skipped = bytes.len().min(skipped + header.total_bytes);
    }
}

#[cfg(test)]
mod random_logs;

#[cfg(test)]
mod tests;
