//! Fetched bytes as records: whole batches, checked, decompressed, one record after the other.
//!
//! Promises: a batch that is cut off at the end (a broker may do that) is not an error but simply
//! not there yet; control batches are passed over but their offsets count; records in front of the
//! offset asked for (a broker sends whole batches) are not shown.
//! Absent: magic 0 and 1. No broker since 0.11 sends them to a Fetch of version 4.

use super::codec::{self, CodecError};
use crate::wire::batch::{self, BatchError, BatchHeader, Codec, HEADER_BYTES};
use crate::wire::reader::ReadError;
use crate::wire::record::{Record, Records};
use core::fmt;

/// Why fetched bytes cannot be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BatchesError {
    /// A batch fails a check.
    Batch(BatchError),
    /// Its records cannot be decompressed.
    Codec(CodecError),
    /// A record is malformed.
    Record(ReadError),
}

impl fmt::Display for BatchesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BatchesError::Batch(BatchError::Cut | BatchError::Length) => {
                f.write_str("a batch of impossible length")
            }
            BatchesError::Batch(BatchError::Magic) => {
                f.write_str("a batch in a format older than Kafka 0.11")
            }
            BatchesError::Batch(BatchError::Crc) => f.write_str("a batch whose CRC is wrong"),
            BatchesError::Batch(BatchError::Codec) => f.write_str("an unknown compression codec"),
            BatchesError::Batch(_) => f.write_str("a batch with an impossible record count"),
            BatchesError::Codec(error) => error.fmt(f),
            BatchesError::Record(error) => error.fmt(f),
        }
    }
}

/// A record with its place in the partition.
#[derive(Clone, Copy, Debug)]
pub struct PlacedRecord<'a> {
    /// Its offset.
    pub offset: i64,
    /// Its timestamp, milliseconds since 1970.
    pub timestamp: i64,
    /// The batch it came in.
    pub batch: &'a BatchHeader,
    /// Key, value and headers.
    pub record: Record<'a>,
}

/// The header of the batch at the start of `bytes` and all of its bytes, or `None` when it is cut
/// off.
///
/// # Errors
/// [`BatchError`] when what is there can be no batch.
pub fn next_batch(bytes: &[u8]) -> Result<Option<(BatchHeader, &[u8])>, BatchError> {
    if bytes.len() < HEADER_BYTES {
        return Ok(None);
    }
    let header = BatchHeader::read(bytes)?;
    Ok(bytes.get(..header.total_bytes).map(|batch| (header, batch)))
}

/// Shows the records of one whole `batch` to `visit`.
///
/// # Errors
/// [`BatchesError`], or whatever `visit` returns.
pub fn visit_batch<E: From<BatchesError>>(
    header: &BatchHeader,
    batch: &[u8],
    decompressed_bytes_max: usize,
    mut visit: impl FnMut(PlacedRecord<'_>) -> Result<(), E>,
) -> Result<(), E> {
    let codec = header.codec().ok_or(BatchesError::Batch(BatchError::Codec))?;
    let packed = batch.get(HEADER_BYTES..).unwrap_or_default();
    let unpacked;
    let plain = if codec == Codec::None {
        packed
    } else {
        unpacked = codec::decompress(codec, packed, decompressed_bytes_max)
            .map_err(BatchesError::Codec)?;
        &unpacked
    };
    for record in Records::new(plain, header.records_count) {
        let record = record.map_err(BatchesError::Record)?;
        visit(PlacedRecord {
            offset: header.base_offset.saturating_add(i64::from(record.offset_delta)),
            timestamp: batch::record_timestamp(header, &record),
            batch: header,
            record,
        })?;
    }
    Ok(())
}

/// Shows every record of `bytes` from `offset` on to `visit`, and returns the offset to fetch
/// next. `aborted` names producer id and first offset of each aborted transaction, whose records
/// are passed over; a fetch of isolation level 0 has none.
///
/// # Errors
/// [`BatchesError`], or whatever `visit` returns.
pub fn visit_from<E: From<BatchesError>>(
    mut bytes: &[u8],
    offset: i64,
    aborted: &[(i64, i64)],
    decompressed_bytes_max: usize,
    mut visit: impl FnMut(PlacedRecord<'_>) -> Result<(), E>,
) -> Result<i64, E> {
    let mut next = offset;
    // Which of the aborted transactions have ended again, by their place in `aborted`.
    let mut ended = vec![false; aborted.len()];
    while let Some((header, batch)) = next_batch(bytes).map_err(BatchesError::Batch)? {
        bytes = &bytes[batch.len()..];
        if header.next_offset() <= offset {
            continue;
        }
        batch::check_stored(batch).map_err(BatchesError::Batch)?;
        let mut transactions = aborted.iter().zip(&mut ended);
        let aborting = transactions.find(|((producer_id, first_offset), ended)| {
            !**ended && *producer_id == header.producer_id && *first_offset < header.next_offset()
        });
        if header.is_control() {
            // A producer has one transaction at a time, so that its next marker ends this one.
            if let Some((_, ended)) = aborting {
                *ended = true;
            }
        } else if aborting.is_none() || !header.is_transactional() {
            visit_batch(&header, batch, decompressed_bytes_max, |placed| {
                if placed.offset >= offset { visit(placed) } else { Ok(()) }
            })?;
        }
        next = next.max(header.next_offset());
    }
    Ok(next)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::batch::Stamped;
    use crate::wire::record::BatchBuilder;

    fn two_records(codec: Codec, base_offset: i64) -> Vec<u8> {
        let mut builder = BatchBuilder::new(1_000);
        builder.push(1_000, Some(b"k"), Some(b"one"), &[]);
        builder.push(1_007, None, Some(b"two"), &[]);
        let sent = builder.finish_with(codec as i16, |plain| codec::compress(codec, plain));
        Stamped::new(&sent, base_offset, 0, None).unwrap().parts().concat()
    }

    fn seen(bytes: &[u8], offset: i64) -> (Vec<(i64, i64)>, Result<i64, BatchesError>) {
        seen_without(bytes, offset, &[])
    }

    fn seen_without(
        bytes: &[u8],
        offset: i64,
        aborted: &[(i64, i64)],
    ) -> (Vec<(i64, i64)>, Result<i64, BatchesError>) {
        let mut seen = Vec::new();
        let next = visit_from(bytes, offset, aborted, 1_000, |placed| {
            seen.push((placed.offset, placed.timestamp));
            Ok(())
        });
        (seen, next)
    }

    #[test]
    fn records_of_every_codec_are_shown_with_their_offsets() {
        for codec in [Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
            let (records, next) = seen(&two_records(codec, 7), 7);
            assert_eq!(records, [(7, 1_000), (8, 1_007)], "{codec:?}");
            assert_eq!(next, Ok(9));
        }
    }

    #[test]
    fn records_in_front_of_the_offset_and_a_cut_off_batch_are_not_shown() {
        let mut bytes = two_records(Codec::None, 7);
        bytes.extend(&two_records(Codec::None, 9)[..70]);
        let (records, next) = seen(&bytes, 8);
        assert_eq!(records, [(8, 1_007)]);
        assert_eq!(next, Ok(9));
    }

    #[test]
    fn a_flipped_bit_is_an_error() {
        let mut bytes = two_records(Codec::None, 0);
        bytes[70] ^= 1;
        assert_eq!(seen(&bytes, 0).1, Err(BatchesError::Batch(BatchError::Crc)));
    }

    /// A batch of producer 9, with `attributes` beside the codec.
    fn of_producer(attributes: i16, base_offset: i64) -> Vec<u8> {
        let producer = crate::wire::record::Producer { id: 9, epoch: 0, base_sequence: 0 };
        let mut builder = BatchBuilder::new(0).producer(producer);
        builder.push(0, Some(&[0, 0, 0, 0]), Some(b"x"), &[]);
        let sent = builder.finish_with(attributes, |plain| plain);
        Stamped::new(&sent, base_offset, 0, None).unwrap().parts().concat()
    }

    #[test]
    fn records_of_an_aborted_transaction_are_passed_over_until_its_marker() {
        const TRANSACTIONAL: i16 = 0x10;
        const CONTROL: i16 = 0x30;
        let mut bytes = of_producer(TRANSACTIONAL, 0);
        bytes.extend(of_producer(TRANSACTIONAL, 1));
        bytes.extend(of_producer(CONTROL, 2));
        bytes.extend(of_producer(TRANSACTIONAL, 3));
        let (records, next) = seen_without(&bytes, 0, &[(9, 1)]);
        assert_eq!(records.iter().map(|(offset, _)| *offset).collect::<Vec<_>>(), [0, 3]);
        assert_eq!(next, Ok(4));
        assert_eq!(seen(&bytes, 0).0.len(), 3, "uncommitted readers see all but the marker");
    }
}
