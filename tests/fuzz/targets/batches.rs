//! Record batches: what the checks accept is what it says it is, and what is made of it is whole.

use super::input::Input;
use super::memory;
use ottla::client::batches::{BatchesError, visit_batch, visit_from};
use ottla::wire::batch::{self, BatchHeader, Codec, HEADER_BYTES, Stamped};
use ottla::wire::record::Producer;

/// Bytes that a batch may have when it is decompressed.
const UNPACKED_BYTES_MAX: usize = 128 * 1024;
/// What else the codecs hold meanwhile.
const CODEC_BYTES_MAX: usize = 4 * 1024 * 1024;

/// One or more batches, with the right length and CRC if the first byte says so: only that lets a
/// fuzzer see what lies behind those checks.
pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let flags = input.byte();
    let mut bytes = input.rest().to_vec();
    if flags & 1 == 1 {
        sealed(&mut bytes);
    }
    one(&bytes);
    let aborted = [(i64::from(flags), 0), (9, 1)];
    let mut last = i64::MIN;
    memory::bounded("a walk through batches", UNPACKED_BYTES_MAX * 3 + CODEC_BYTES_MAX, || {
        visit_from::<BatchesError>(&bytes, 0, &aborted, UNPACKED_BYTES_MAX, |placed| {
            assert!(placed.offset >= 0, "a record in front of what was asked for");
            last = last.max(placed.offset);
            placed.record.headers(|_, _| ()).ok();
            Ok(())
        })
        .ok()
    });
}

/// Gives a batch the length, magic and CRC that its bytes have.
pub fn sealed(bytes: &mut [u8]) {
    if bytes.len() < HEADER_BYTES {
        return;
    }
    let length = (bytes.len() - batch::LENGTH_OVERHEAD) as u32;
    bytes[8..12].copy_from_slice(&length.to_be_bytes());
    bytes[16] = 2;
    let crc = ottla::wire::crc32c(&bytes[21..]);
    bytes[17..21].copy_from_slice(&crc.to_be_bytes());
}

fn one(bytes: &[u8]) {
    let read = BatchHeader::read(bytes);
    let Ok(header) = batch::check(bytes) else {
        if let Ok(header) = read {
            // Not accepted, but a header: what looks at it has to stay inside of the bytes.
            assert!(batch::records(bytes, &header).count() <= bytes.len());
            batch::missing_max_timestamp(bytes, &header, 5);
        }
        return;
    };
    assert_eq!(read, Ok(header));
    assert_eq!(header.total_bytes, bytes.len());
    assert!(header.records_count >= 1 && header.last_offset_delta == header.records_count - 1);
    assert!(header.next_offset() > header.base_offset || header.base_offset > i64::MAX >> 1);
    if header.codec() == Some(Codec::None) {
        records_are_whole(bytes, &header);
    }
    stamped_is_whole(bytes, &header);
    readdressed_is_whole(bytes, &header);
}

fn records_are_whole(bytes: &[u8], header: &BatchHeader) {
    let mut expected = 0;
    for record in batch::records(bytes, header) {
        let record = record.expect("a batch that was accepted has all of its records");
        assert_eq!(record.offset_delta, expected);
        batch::record_timestamp(header, &record);
        record.headers(|_, _| ()).ok();
        expected += 1;
    }
    assert_eq!(expected, header.records_count);
    let mut visited = 0;
    let bytes_max = UNPACKED_BYTES_MAX;
    let result = visit_batch::<BatchesError>(header, bytes, bytes_max, |_| {
        visited += 1;
        Ok(())
    });
    assert!(result.is_ok() && visited == header.records_count);
}

fn stamped_is_whole(bytes: &[u8], header: &BatchHeader) {
    for append_time in [None, Some(1_700_000_000_000)] {
        let mut stamped = Stamped::new(bytes, 77, 5, append_time).expect("longer than a header");
        if let Some(time) = batch::missing_max_timestamp(bytes, header, 9) {
            stamped = stamped.with_max_timestamp(time);
        }
        let stored = stamped.parts().concat();
        assert_eq!(stored.len(), stamped.len());
        let again = batch::check_stored(&stored).expect("what is stored passes the checks");
        assert_eq!((again.base_offset, again.partition_leader_epoch), (77, 5));
        assert_eq!(stored[HEADER_BYTES..], bytes[HEADER_BYTES..]);
        assert!(append_time.is_none() || again.is_log_append_time());
        assert!(again.max_timestamp >= again.base_timestamp || append_time.is_some());
    }
}

fn readdressed_is_whole(bytes: &[u8], header: &BatchHeader) {
    let Some((front, records)) = bytes.split_first_chunk::<HEADER_BYTES>() else { return };
    let producer = Producer { id: 4_000, epoch: 3, base_sequence: 12 };
    let new = batch::readdressed(front, producer);
    let sent = [&new[..], records].concat();
    let again = batch::check_stored(&sent).expect("its CRC was made from the stored one");
    assert_eq!((again.producer_id, again.producer_epoch, again.base_sequence), (4_000, 3, 12));
    assert_eq!(again.records_count, header.records_count);
    assert!(!again.is_log_append_time());
}
