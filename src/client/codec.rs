//! The four codecs of record batches: gzip, snappy (Xerial's framing and bare), LZ4, Zstandard.
//!
//! Promises: decompression stops at a bound that the caller names, whatever the data claims, and
//! no buffer is sized by a number inside it. What [`compress`] writes is read by Apache Kafka.
//! Absent: levels; each codec runs at its fast default.

use crate::wire::batch::Codec;
use core::fmt;
use lz4_flex::block::DecompressError;
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};
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

/// How an LZ4 frame begins, and how far behind a copy of a linked block may lie.
const LZ4_MAGIC: [u8; 4] = [0x04, 0x22, 0x4d, 0x18];
const LZ4_WINDOW_BYTES: usize = 64 * 1024;

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
        Codec::Lz4 => decompress_lz4(data, bytes_max),
        Codec::Zstd => decompress_zstd(data, bytes_max),
    }
}

/// Frames of LZ4, one behind the other.
///
/// Not by the crate's own reader of frames: that one holds three times the largest block that a
/// frame may have, and sarama's frames name 4 MiB for records of some bytes. Its sums of the
/// contents are not looked at, for a batch has one of its own.
fn decompress_lz4(mut data: &[u8], bytes_max: usize) -> Result<Vec<u8>, CodecError> {
    let corrupt = CodecError::Corrupt(Codec::Lz4);
    let mut out = Vec::new();
    while !data.is_empty() {
        let (head, rest) = data.split_at_checked(6).ok_or(corrupt)?;
        let [flags, block] = [head[4], head[5] >> 4 & 7];
        // Version 1, no dictionary, and one of the four block sizes.
        if !head.starts_with(&LZ4_MAGIC) || flags & 0xc1 != 0x40 || block < 4 {
            return Err(corrupt);
        }
        let size_bytes = if flags & 8 != 0 { 8 } else { 0 };
        data = rest.get(size_bytes + 1..).ok_or(corrupt)?;
        let frame = Lz4Frame { flags, block_bytes: 1 << (8 + 2 * block), start: out.len() };
        while let Some((length, rest)) = data.split_first_chunk::<4>() {
            let length = u32::from_le_bytes(*length);
            if length == 0 {
                data = rest.get(if flags & 4 != 0 { 4 } else { 0 }..).ok_or(corrupt)?;
                break;
            }
            let plain = length >> 31 == 1;
            let length = (length & 0x7fff_ffff) as usize;
            let (block, rest) = rest.split_at_checked(length).ok_or(corrupt)?;
            data = rest.get(if flags & 16 != 0 { 4 } else { 0 }..).ok_or(corrupt)?;
            frame.unpack(block, plain, &mut out, bytes_max)?;
        }
        if data.len() < 4 && !data.is_empty() {
            return Err(corrupt);
        }
    }
    Ok(out)
}

/// What the blocks of one LZ4 frame have in common.
struct Lz4Frame {
    flags: u8,
    block_bytes: usize,
    /// Where its plain bytes begin: linked blocks copy from what is behind it.
    start: usize,
}

impl Lz4Frame {
    fn unpack(
        &self,
        block: &[u8],
        plain: bool,
        out: &mut Vec<u8>,
        bytes_max: usize,
    ) -> Result<(), CodecError> {
        let left = bytes_max - out.len();
        if plain {
            out.extend_from_slice(block.get(..left.min(block.len())).unwrap_or_default());
            let fits = block.len() <= left;
            return if fits { Ok(()) } else { Err(CodecError::TooLarge(Codec::Lz4)) };
        }
        let end = out.len();
        // A byte of a block stands for 255 at most.
        let room = self.block_bytes.min(block.len().saturating_mul(255)).min(left);
        out.resize(end + room, 0);
        let (before, behind) = out.split_at_mut(end);
        let linked = self.flags & 0x20 == 0;
        let from = end.saturating_sub(LZ4_WINDOW_BYTES).max(self.start);
        let dictionary = if linked { &before[from..] } else { &[] };
        match lz4_flex::block::decompress_into_with_dict(block, behind, dictionary) {
            Ok(count) => out.truncate(end + count),
            Err(DecompressError::OutputTooSmall { .. }) if room == left => {
                return Err(CodecError::TooLarge(Codec::Lz4));
            }
            Err(_) => return Err(CodecError::Corrupt(Codec::Lz4)),
        }
        Ok(())
    }
}

/// One frame of Zstandard.
///
/// Not as a stream: a stream gives nothing out until it holds a whole window, and a frame may name
/// one of any size, which a few bytes that stand for a block of 128 KiB each would then fill.
fn decompress_zstd(mut data: &[u8], bytes_max: usize) -> Result<Vec<u8>, CodecError> {
    let corrupt = |_| CodecError::Corrupt(Codec::Zstd);
    let mut decoder = FrameDecoder::new();
    decoder.init(&mut data).map_err(corrupt)?;
    let most = BlockDecodingStrategy::UptoBytes(bytes_max.saturating_add(1));
    let is_whole = decoder.decode_blocks(&mut data, most).map_err(corrupt)?;
    let count = decoder.can_collect();
    if !is_whole || count > bytes_max {
        return Err(CodecError::TooLarge(Codec::Zstd));
    }
    let mut out = Vec::with_capacity(count);
    decoder.collect_to_writer(&mut out).map_err(|_| CodecError::Corrupt(Codec::Zstd))?;
    Ok(out)
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
    fn a_window_of_gigabytes_holds_no_more_than_the_bound() {
        // A window of 1 GiB, and blocks of four bytes that stand for 128 KiB of zeros each. With
        // a stream's decoder this took 26 GB.
        let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0, 20 << 3];
        for _ in 0..200_000 {
            frame.extend([0b010, 0, 0x10, 0]);
        }
        let refused = Err(CodecError::TooLarge(Codec::Zstd));
        assert_eq!(decompress(Codec::Zstd, &frame, 100_000), refused);
        // The same window is no reason to refuse what is small.
        let small = [&frame[..6], &[0b010, 0, 0x10, 0, 0b011 | 7 << 3, 0, 0, b'x']].concat();
        let plain = decompress(Codec::Zstd, &small, 200_000).unwrap();
        assert_eq!((plain.len(), plain[131_072..].as_ref()), (131_079, &b"xxxxxxx"[..]));
        assert_eq!(decompress(Codec::Zstd, &small, 131_078), refused);
    }

    #[test]
    fn lz4_frames_of_every_kind_are_read_up_to_the_bound() {
        use lz4_flex::frame::{BlockMode, BlockSize, FrameEncoder, FrameInfo};
        let plain =
            [sample(150_000), (0..90_000_u32).flat_map(u32::to_le_bytes).collect()].concat();
        for size in [BlockSize::Max64KB, BlockSize::Max256KB, BlockSize::Max4MB] {
            for (mode, sums) in [(BlockMode::Linked, true), (BlockMode::Independent, false)] {
                let info = FrameInfo::new().block_size(size).block_mode(mode);
                let info = info.block_checksums(sums).content_checksum(sums);
                let mut encoder = FrameEncoder::with_frame_info(info, Vec::new());
                encoder.write_all(&plain).unwrap();
                let packed = encoder.finish().unwrap();
                let read = decompress(Codec::Lz4, &packed, plain.len());
                assert!(read == Ok(plain.clone()), "{size:?} {mode:?}");
                let twice = [&packed[..], &packed].concat();
                let read = decompress(Codec::Lz4, &twice, 2 * plain.len());
                assert!(read == Ok(plain.repeat(2)), "{size:?} {mode:?}");
                let refused = Err(CodecError::TooLarge(Codec::Lz4));
                assert_eq!(decompress(Codec::Lz4, &packed, plain.len() - 1), refused);
                assert_eq!(decompress(Codec::Lz4, &twice, plain.len()), refused);
            }
        }
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
