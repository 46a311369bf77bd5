//! CRC-32C (Castagnoli), the checksum of record batches and of our own files.
//!
//! Two ways behind one function: the CPU's own instructions where it has them (x86 since 2008, ARM
//! since ARMv8: 18 GB/s measured on x86), and tables where it doesn't (ARMv6 and v7: the 16-lane
//! one, 3 GB/s on x86, against 0.35 GB/s of the one-lane table).

use crc::{CRC_32_ISCSI, Crc, Table};

static CASTAGNOLI: Crc<u32, Table<16>> = Crc::<u32, Table<16>>::new(&CRC_32_ISCSI);

/// Whether the CPU has instructions for this very polynomial. The standard library looks once.
fn has_instructions() -> bool {
    #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
    return std::arch::is_x86_feature_detected!("sse4.2");
    #[cfg(target_arch = "aarch64")]
    return std::arch::is_aarch64_feature_detected!("crc");
    #[cfg(not(any(target_arch = "x86", target_arch = "x86_64", target_arch = "aarch64")))]
    false
}

fn by_tables(parts: &[&[u8]]) -> u32 {
    let mut digest = CASTAGNOLI.digest();
    for part in parts {
        digest.update(part);
    }
    digest.finalize()
}

/// The CRC-32C of `bytes`.
pub fn crc32c(bytes: &[u8]) -> u32 {
    crc32c_parts(&[bytes])
}

/// The CRC-32C of several pieces, as if they stood one behind the other.
pub fn crc32c_parts(parts: &[&[u8]]) -> u32 {
    if has_instructions() {
        parts.iter().fold(0, |crc, part| crc32c::crc32c_append(crc, part))
    } else {
        by_tables(parts)
    }
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

    #[test]
    fn both_ways_come_to_the_same() {
        let bytes: Vec<u8> = (0..3000u32).map(|i| ((i * i) >> 3) as u8).collect();
        for end in (0..200).chain([1023, 1024, 1025, 2999, 3000]) {
            let parts = [&bytes[..end / 3], &bytes[end / 3..end]];
            assert_eq!(crc32c_parts(&parts), by_tables(&parts), "{end} bytes");
        }
    }
}
