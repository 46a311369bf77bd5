//! A stored batch on its way up: whose it says it is, and which sequence number it has.
//!
//! Promises: the sequence number of a record is a function of its local offset, so that a batch
//! sent again after a crash is the same batch to the broker upstream; the records are not touched,
//! and a bit that rotted in them is still found there.
//! Absent: several batches made one (`merge`).

use crate::wire::batch::{self, HEADER_BYTES};
use crate::wire::record::Producer;

/// The idempotent producer that a lane is to the cluster upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The producer id that upstream gave.
    pub producer_id: i64,
    /// The epoch, which is bumped here (KIP-360).
    pub producer_epoch: i16,
}

impl Identity {
    /// The producer's fields of a batch whose first record has `base_sequence`.
    pub fn producer(self, base_sequence: i32) -> Producer {
        Producer { id: self.producer_id, epoch: self.producer_epoch, base_sequence }
    }
}

/// The sequence number of the record at the local `offset`: counted from `sequence_base`, and from
/// 2^31-1 on to 0, as Kafka's producers do.
pub fn sequence_at(offset: i64, sequence_base: i64) -> i32 {
    offset.wrapping_sub(sequence_base).rem_euclid(1 << 31) as i32
}

/// The header bytes that a stored batch goes up with; what follows them goes as it is.
pub fn readdress(
    header: &[u8; HEADER_BYTES],
    id: Identity,
    base_sequence: i32,
) -> [u8; HEADER_BYTES] {
    batch::readdressed(header, id.producer(base_sequence))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::batch::{BatchError, Stamped, check};
    use crate::wire::record::BatchBuilder;

    const ID: Identity = Identity { producer_id: 4_000, producer_epoch: 7 };

    fn stored(log_append_time: Option<i64>) -> Vec<u8> {
        let mut builder = BatchBuilder::new(1_000);
        for value in 0..5u8 {
            builder.push(1_000 + i64::from(value), Some(b"k"), Some(&[value; 40]), &[]);
        }
        let sent = builder.finish();
        Stamped::new(&sent, 812, 3, log_append_time).unwrap().parts().concat()
    }

    fn sent_on(stored: &[u8]) -> Vec<u8> {
        let (header, rest) = stored.split_first_chunk().unwrap();
        [&readdress(header, ID, 99)[..], rest].concat()
    }

    #[test]
    fn a_readdressed_batch_has_the_crc_that_a_full_sum_gives() {
        for log_append_time in [None, Some(9_000)] {
            let before = stored(log_append_time);
            let header = check(&sent_on(&before)).unwrap();
            assert_eq!((header.base_offset, header.partition_leader_epoch), (0, -1));
            assert_eq!((header.producer_id, header.producer_epoch), (4_000, 7));
            assert_eq!((header.base_sequence, header.records_count), (99, 5));
            assert!(!header.is_log_append_time());
        }
    }

    #[test]
    fn a_bit_that_rotted_in_the_records_is_still_found_behind_the_new_header() {
        let good = stored(None);
        for at in HEADER_BYTES..good.len() {
            for bit in 0..8 {
                let mut rotten = good.clone();
                rotten[at] ^= 1 << bit;
                assert_eq!(check(&sent_on(&rotten)), Err(BatchError::Crc), "bit {bit} of {at}");
            }
        }
    }

    #[test]
    fn a_bit_that_rotted_in_a_kept_field_of_the_header_is_still_found() {
        // Last offset delta, timestamps, count; the producer's fields are replaced.
        let good = stored(None);
        for at in (22..43).chain(57..HEADER_BYTES) {
            let mut rotten = good.clone();
            rotten[at] ^= 1;
            assert!(check(&sent_on(&rotten)).is_err(), "byte {at}");
        }
    }

    #[test]
    fn sequences_follow_offsets_and_wrap_to_zero() {
        assert_eq!(sequence_at(812, 812), 0);
        assert_eq!(sequence_at(813, 812), 1);
        assert_eq!(sequence_at((1 << 31) - 1, 0), i32::MAX);
        assert_eq!(sequence_at(1 << 31, 0), 0);
        assert_eq!(sequence_at((1 << 31) + 5, 0), 5);
    }
}
