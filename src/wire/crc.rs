//! CRC-32C (Castagnoli), the checksum of record batches and of our own files.
//!
//! The crate `crc32c` looks once for the CPU's own instructions (x86 since 2008; ARMv8 with `crc`:
//! a Pi 3's Cortex-A53 and all later ones) and takes them in 64-bit programs; a 32-bit ARM program
//! works with eight tables, 8 KiB, which is half of the first-level cache of a Pi Zero.
//!
//! Why not 16 tables (crate `crc`, 16 KiB): they are that whole cache. With cachegrind as an
//! ARM1176 (16 KiB, 4 ways, lines of 32 bytes), 8 KiB of other memory touched before each batch:
//!
//! | tables | instructions a byte | misses a byte: batches of 256 bytes | 1 KiB | 16 KiB |
//! |---|--:|--:|--:|--:|
//! | none | 56 | 0.031 | 0.031 | 0.031 |
//! | 1 (1 KiB) | 6.5 | 0.031 | 0.031 | 0.031 |
//! | 8 (8 KiB) | 3.3 | 0.090 | 0.063 | 0.033 |
//! | 16 (16 KiB) | 3.9 | 0.55 | 0.38 | 0.12 |
//!
//! 0.031 is the batch itself. A miss costs such a CPU some tens of cycles, so that 16 tables lose
//! more than they save in waiting for one another, everywhere below the largest batches; and one
//! table's lookups wait for each other. The instructions were counted on x86.

/// The CRC-32C of `bytes`.
pub fn crc32c(bytes: &[u8]) -> u32 {
    crc32c_parts(&[bytes])
}

/// The CRC-32C of several pieces, as if they stood one behind the other.
pub fn crc32c_parts(parts: &[&[u8]]) -> u32 {
    parts.iter().fold(0, |crc, part| crc32c::crc32c_append(crc, part))
}

/// The CRC-32C of a message whose front has the CRC `front`, 0 for none, and goes on with `bytes`.
pub fn crc32c_append(front: u32, bytes: &[u8]) -> u32 {
    crc32c::crc32c_append(front, bytes)
}

/// The CRC-32C of a message whose front has the CRC `front`, and whose `back_bytes` behind that
/// have the CRC `back`; the bytes themselves are not needed. Linear also where `front` is the
/// difference of two sums, and no bytes have the CRC `back`.
pub fn crc32c_combine(front: u32, back: u32, back_bytes: usize) -> u32 {
    // The crate takes `back` to be 0 then.
    if back_bytes == 0 { front ^ back } else { crc32c::crc32c_combine(front, back, back_bytes) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_sums_combine_to_the_sum_of_both_pieces() {
        let bytes: Vec<u8> = (0..300u32).map(|i| (i * 7 % 251) as u8).collect();
        for at in [0, 1, 40, 299, 300] {
            let (front, back) = bytes.split_at(at);
            let combined = crc32c_combine(crc32c(front), crc32c(back), back.len());
            assert_eq!(combined, crc32c(&bytes), "cut at {at}");
        }
        // The difference of two fronts carried through no bytes is still their difference.
        let difference = crc32c(b"one") ^ crc32c(b"two");
        assert_eq!(crc32c_combine(difference, crc32c(b"one"), 0), crc32c(b"two"));
    }

    #[test]
    fn the_check_value_of_the_castagnoli_polynomial() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
        assert_eq!(crc32c_parts(&[b"1234", b"", b"56789"]), 0xe306_9283);
    }

    /// The definition: a bit at a time.
    fn by_bits(bytes: &[u8]) -> u32 {
        !bytes.iter().fold(!0, |crc, byte| {
            (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0x82f6_3b78 * (crc & 1)))
        })
    }

    #[test]
    fn every_length_and_alignment_comes_to_what_the_definition_says() {
        let bytes: Vec<u8> = (0..3000u32).map(|i| ((i * i) >> 3) as u8).collect();
        for end in (0..200).chain([1023, 1024, 1025, 2999, 3000]) {
            let parts = [&bytes[..end / 3], &bytes[end / 3..end]];
            assert_eq!(crc32c_parts(&parts), by_bits(&bytes[..end]), "{end} bytes");
        }
    }
}
