//! The four codecs of record batches: gzip, snappy (Xerial's framing and bare), LZ4, Zstandard.
//!
//! Promises: decompression stops at a bound that the caller names, whatever the data claims, and
//! no buffer is sized by a number inside it. What [`compress`] writes is read by Apache Kafka.
//! Absent: levels; each codec runs at its fast default.

use crate::wire::batch::Codec;
use core::fmt;
use std::io::{Read, Write};

/// Why records could not be decompressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CodecError {
    /// The data is not what the codec makes.
    Corrupt(Codec),
    /// More bytes than the bound.
    TooLarge(Codec),
}

impl fmt::Display for CodecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CodecError::Corrupt(codec) => write!(f, "corrupt {} data", codec.name()),
            CodecError::TooLarge(codec) => {
                write!(f, "{} data that grows past the bound", codec.name())
            }
        }
    }
}

/// The codec with Kafka's name `name`.
pub fn codec_by_name(name: &str) -> Option<Codec> {
    [Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd]
        .into_iter()
        .find(|codec| codec.name() == name)
}

/// Xerial's magic, version 1, compatible with 1 (`SnappyCodec` of snappy-java).
const XERIAL_HEADER: [u8; 16] =
    [0x82, b'S', b'N', b'A', b'P', b'P', b'Y', 0, 0, 0, 0, 1, 0, 0, 0, 1];
/// Bytes of the magic alone, which is what a reader looks at.
const XERIAL_MAGIC_BYTES: usize = 8;
/// Plain bytes per Xerial block: snappy-java's default.
const XERIAL_BLOCK_BYTES: usize = 32 * 1024;
/// Snappy's densest element turns 3 bytes into 64, so that a longer claim is a lie.
const SNAPPY_RATIO_MAX: usize = 22;

/// Compresses the records of one batch.
pub fn compress(codec: Codec, plain: Vec<u8>) -> Vec<u8> {
    match codec {
        Codec::None => plain,
        Codec::Gzip => {
            let level = flate2::Compression::default();
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), level);
            written(&encoder.write_all(&plain));
            encoder.finish().unwrap_or_default()
        }
        Codec::Snappy => compress_xerial(&plain),
        Codec::Lz4 => {
            let mut encoder = lz4_flex::frame::FrameEncoder::new(Vec::new());
            written(&encoder.write_all(&plain));
            encoder.finish().unwrap_or_default()
        }
        Codec::Zstd => {
            let level = ruzstd::encoding::CompressionLevel::Fastest;
            ruzstd::encoding::compress_to_vec(plain.as_slice(), level)
        }
    }
}

/// Writing into a `Vec` has no way to fail.
fn written(result: &std::io::Result<()>) {
    debug_assert!(result.is_ok(), "{result:?}");
}

fn compress_xerial(plain: &[u8]) -> Vec<u8> {
    let mut out = XERIAL_HEADER.to_vec();
    let mut encoder = snap::raw::Encoder::new();
    for block in plain.chunks(XERIAL_BLOCK_BYTES) {
        // Fails only beyond 4 GiB, which a block is not.
        let compressed = encoder.compress_vec(block).unwrap_or_default();
        out.extend((compressed.len() as u32).to_be_bytes());
        out.extend(compressed);
    }
    out
}

/// Decompresses the records of one batch into at most `bytes_max` bytes.
///
/// # Errors
/// [`CodecError`].
pub fn decompress(codec: Codec, data: &[u8], bytes_max: usize) -> Result<Vec<u8>, CodecError> {
    match codec {
        Codec::None if data.len() > bytes_max => Err(CodecError::TooLarge(codec)),
        Codec::None => Ok(data.to_vec()),
        Codec::Gzip => read_bounded(codec, flate2::read::MultiGzDecoder::new(data), bytes_max),
        Codec::Snappy if data.starts_with(&XERIAL_HEADER[..XERIAL_MAGIC_BYTES]) => {
            decompress_xerial(data, bytes_max)
        }
        Codec::Snappy => decompress_snappy(data, bytes_max),
        Codec::Lz4 => read_bounded(codec, lz4_flex::frame::FrameDecoder::new(data), bytes_max),
        Codec::Zstd => {
            let decoder = ruzstd::decoding::StreamingDecoder::new(data)
                .map_err(|_| CodecError::Corrupt(codec))?;
            read_bounded(codec, decoder, bytes_max)
        }
    }
}

fn read_bounded(codec: Codec, source: impl Read, bytes_max: usize) -> Result<Vec<u8>, CodecError> {
    let mut out = Vec::new();
    let read = source.take(bytes_max as u64 + 1).read_to_end(&mut out);
    if out.len() > bytes_max {
        return Err(CodecError::TooLarge(codec));
    }
    match read {
        Ok(_) => Ok(out),
        Err(_) => Err(CodecError::Corrupt(codec)),
    }
}

fn decompress_snappy(data: &[u8], bytes_max: usize) -> Result<Vec<u8>, CodecError> {
    let corrupt = CodecError::Corrupt(Codec::Snappy);
    let claimed = snap::raw::decompress_len(data).map_err(|_| corrupt)?;
    if claimed > data.len().saturating_mul(SNAPPY_RATIO_MAX) {
        return Err(corrupt);
    }
    if claimed > bytes_max {
        return Err(CodecError::TooLarge(Codec::Snappy));
    }
    snap::raw::Decoder::new().decompress_vec(data).map_err(|_| corrupt)
}

fn decompress_xerial(data: &[u8], bytes_max: usize) -> Result<Vec<u8>, CodecError> {
    let corrupt = CodecError::Corrupt(Codec::Snappy);
    let mut rest = data.get(XERIAL_HEADER.len()..).ok_or(corrupt)?;
    let mut out = Vec::new();
    while let Some((length, behind)) = rest.split_first_chunk::<4>() {
        let length = u32::from_be_bytes(*length) as usize;
        let block = behind.get(..length).ok_or(corrupt)?;
        out.extend(decompress_snappy(block, bytes_max - out.len())?);
        rest = &behind[length..];
    }
    if rest.is_empty() { Ok(out) } else { Err(corrupt) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Codec; 5] = [Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd];

    fn sample(bytes: usize) -> Vec<u8> {
        (0..bytes).map(|at| (at / 7 % 251) as u8).collect()
    }

    #[test]
    fn every_codec_gives_back_what_it_was_given() {
        for codec in ALL {
            for size in [0, 1, 100, 200_000] {
                let plain = sample(size);
                let packed = compress(codec, plain.clone());
                assert_eq!(decompress(codec, &packed, size), Ok(plain), "{codec:?} {size}");
            }
        }
    }

    #[test]
    fn the_bound_holds_in_every_codec() {
        for codec in ALL {
            let packed = compress(codec, sample(100_000));
            let refused = Err(CodecError::TooLarge(codec));
            assert_eq!(decompress(codec, &packed, 99_999), refused, "{codec:?}");
        }
    }

    #[test]
    fn bare_snappy_is_read_as_librdkafka_writes_it() {
        let bare = snap::raw::Encoder::new().compress_vec(b"hello hello hello").unwrap();
        let plain = decompress(Codec::Snappy, &bare, 100).unwrap();
        assert_eq!(plain, b"hello hello hello");
    }

    #[test]
    fn a_claimed_size_of_gigabytes_is_refused_before_anything_is_allocated() {
        let lie = [0xff, 0xff, 0xff, 0xff, 0x0f, 0];
        let refused = Err(CodecError::Corrupt(Codec::Snappy));
        assert_eq!(decompress(Codec::Snappy, &lie, usize::MAX), refused);
    }

    #[test]
    fn flipped_and_truncated_data_never_panics() {
        for codec in ALL {
            let packed = compress(codec, sample(3_000));
            for at in 0..packed.len().min(400) {
                let mut bad = packed.clone();
                bad[at] ^= 0x55;
                decompress(codec, &bad, 10_000).ok();
                decompress(codec, &packed[..at], 10_000).ok();
            }
        }
    }
}
