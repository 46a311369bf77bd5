//! The compressors of what is forwarded: kept, and begun anew for each batch.
//!
//! Promises: their memory is allocated by [`Compressor::new`] (zstd's grows once to what batches of
//! the largest size need, and takes some 10 KB for a moment per batch). What comes out is read by
//! Apache Kafka and its clients: one gzip member, one LZ4 frame of independent blocks, one zstd
//! frame. A zstd frame was decompressed by another library, and compared, before it is given out.
//! Absent: snappy, which is never smaller than LZ4, and levels that a person could choose.

use crate::limits::FORWARD_LZ4_BLOCK_BYTES;
use crate::wire::batch::Codec;
use flate2::{Compress, Compression, Crc, FlushCompress, Status};
use lz4_flex::block::{CompressTable, compress_into_with_table};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};
use std::io::Read;

/// The level of gzip: what librdkafka and Java's producer have by default.
const GZIP_LEVEL: u32 = 6;

/// The level of zstd. The third, which is what the clients have by default, is no smaller in this
/// library and takes eight times the memory.
const ZSTD_LEVEL: i32 = 1;

/// A gzip member's front: magic, deflate, no flags, no time, no hint, unknown system (RFC 1952).
const GZIP_FRONT: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];

/// An LZ4 frame's front: magic, version 1 with independent blocks and no checksums, blocks of
/// 64 KiB, and the checksum of these two bytes (as `Lz4BlockOutputStream` of Kafka's clients).
const LZ4_FRONT: [u8; 7] = [0x04, 0x22, 0x4d, 0x18, 0x60, 0x40, 0x82];

/// The bit of an LZ4 block's length which says that the block is not compressed.
const LZ4_PLAIN: u32 = 1 << 31;

/// Bytes that a decompressed frame is compared by.
const COMPARED_BYTES: usize = 1024;

/// One codec with what it needs.
pub enum Compressor {
    /// Nothing is compressed.
    None,
    /// gzip.
    Gzip(Box<Compress>),
    /// LZ4.
    Lz4(Box<CompressTable>),
    /// Zstandard, and what its frames are read back with.
    Zstd(Box<zrip::CompressContext>, Box<FrameDecoder>),
}

impl core::fmt::Debug for Compressor {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.codec().name())
    }
}

/// Bytes that gzip's state takes; measured below.
const GZIP_BYTES: usize = 312 * 1024;
/// Bytes that LZ4's table takes.
const LZ4_BYTES: usize = 17 * 1024;

/// Bytes that the compressor of `codec` takes at most with batches of `batch_bytes`, at their
/// worst moment; measured below. Zstandard's grow with the batch, up to its window.
pub fn memory(codec: Codec, batch_bytes: usize) -> usize {
    match codec {
        Codec::None | Codec::Snappy => 0,
        Codec::Gzip => GZIP_BYTES,
        Codec::Lz4 => LZ4_BYTES,
        Codec::Zstd => {
            // Between the sizes that were measured it grows in a straight line at most.
            let known = ZSTD_BYTES.iter().find(|(bytes, _)| batch_bytes <= *bytes);
            known.unwrap_or(&ZSTD_BYTES[ZSTD_BYTES.len() - 1]).1
        }
    }
}

/// By bytes of a batch, what Zstandard takes.
const ZSTD_BYTES: [(usize, usize); 4] =
    [(16 << 10, 448 << 10), (64 << 10, 1 << 20), (256 << 10, 2_176 << 10), (1 << 20, 3_456 << 10)];

impl Compressor {
    /// The compressor of `codec`; snappy is not made here and counts as none.
    pub fn new(codec: Codec) -> Compressor {
        match codec {
            Codec::None | Codec::Snappy => Compressor::None,
            Codec::Gzip => {
                let deflate = Compress::new(Compression::new(GZIP_LEVEL), false);
                Compressor::Gzip(Box::new(deflate))
            }
            Codec::Lz4 => Compressor::Lz4(Box::new(CompressTable::large())),
            Codec::Zstd => match zrip::CompressContext::new(ZSTD_LEVEL) {
                Ok(mut context) => {
                    // The batch has a CRC of its own.
                    context.set_content_checksum(false);
                    Compressor::Zstd(Box::new(context), Box::new(FrameDecoder::new()))
                }
                Err(_) => Compressor::None,
            },
        }
    }

    /// What [`Compressor::compress`] makes.
    pub fn codec(&self) -> Codec {
        match self {
            Compressor::None => Codec::None,
            Compressor::Gzip(_) => Codec::Gzip,
            Compressor::Lz4(_) => Codec::Lz4,
            Compressor::Zstd(..) => Codec::Zstd,
        }
    }

    /// Compresses the records of one batch into `out` and returns how many bytes they take there;
    /// `None` where they do not fit, or are not compressed at all. LZ4 wants room for
    /// [`FORWARD_COMPRESS_SLACK_BYTES`](crate::limits::FORWARD_COMPRESS_SLACK_BYTES) more than
    /// `plain` has.
    pub fn compress(&mut self, plain: &[u8], out: &mut [u8]) -> Option<usize> {
        match self {
            Compressor::None => None,
            Compressor::Gzip(deflate) => gzip(deflate, plain, out),
            Compressor::Lz4(table) => lz4(table, plain, out),
            Compressor::Zstd(context, decoder) => {
                let bytes = context.compress_into(plain, out).ok()?;
                if is_frame_of(decoder, &out[..bytes], plain) {
                    return Some(bytes);
                }
                log::error!("a zstd frame of {} bytes reads back wrong: sent plain", plain.len());
                None
            }
        }
    }
}

fn gzip(deflate: &mut Compress, plain: &[u8], out: &mut [u8]) -> Option<usize> {
    let (front, rest) = out.split_first_chunk_mut()?;
    *front = GZIP_FRONT;
    deflate.reset();
    match deflate.compress(plain, rest, FlushCompress::Finish) {
        Ok(Status::StreamEnd) => {}
        _ => return None,
    }
    let deflated = deflate.total_out() as usize;
    let mut crc = Crc::new();
    crc.update(plain);
    let back = rest.get_mut(deflated..deflated + 8)?;
    back[..4].copy_from_slice(&crc.sum().to_le_bytes());
    back[4..].copy_from_slice(&(plain.len() as u32).to_le_bytes());
    Some(GZIP_FRONT.len() + deflated + 8)
}

fn lz4(table: &mut CompressTable, plain: &[u8], out: &mut [u8]) -> Option<usize> {
    out.get_mut(..LZ4_FRONT.len())?.copy_from_slice(&LZ4_FRONT);
    let mut end = LZ4_FRONT.len();
    for block in plain.chunks(FORWARD_LZ4_BLOCK_BYTES) {
        let (head, room) = out.get_mut(end..)?.split_first_chunk_mut::<4>()?;
        let mut bytes = compress_into_with_table(block, room, table).ok()?;
        if bytes < block.len() {
            *head = (bytes as u32).to_le_bytes();
        } else {
            bytes = block.len();
            *head = (bytes as u32 | LZ4_PLAIN).to_le_bytes();
            room.get_mut(..bytes)?.copy_from_slice(block);
        }
        end += 4 + bytes;
    }
    // A block of no bytes ends the frame.
    out.get_mut(end..end + 4)?.fill(0);
    Some(end + 4)
}

/// Whether the zstd frame `frame` decompresses to `plain`.
fn is_frame_of(decoder: &mut FrameDecoder, frame: &[u8], plain: &[u8]) -> bool {
    let mut source = frame;
    let mut rest = plain;
    if decoder.reset(&mut source).is_err() {
        return false;
    }
    let mut chunk = [0; COMPARED_BYTES];
    loop {
        let more = decoder.decode_blocks(&mut source, BlockDecodingStrategy::UptoBlocks(1));
        if more.is_err() {
            return false;
        }
        while let Ok(bytes @ 1..) = decoder.read(&mut chunk) {
            match rest.strip_prefix(&chunk[..bytes]) {
                Some(behind) => rest = behind,
                None => return false,
            }
        }
        if decoder.is_finished() && decoder.can_collect() == 0 {
            return rest.is_empty() && source.is_empty();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::codec;
    use crate::limits::FORWARD_COMPRESS_SLACK_BYTES;

    const ALL: [Codec; 3] = [Codec::Gzip, Codec::Lz4, Codec::Zstd];

    fn sample(bytes: usize) -> Vec<u8> {
        let line = |at: usize| format!("{{\"sensor\":\"t-{}\",\"value\":{}}}\n", at % 20, at * at);
        let mut plain: Vec<u8> = (0..).flat_map(|at| line(at).into_bytes()).take(bytes).collect();
        // Half of it does not compress.
        let mut seed = 0x9e37_79b9_7f4a_7c15u64;
        for byte in plain.iter_mut().skip(bytes / 2) {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            *byte = seed as u8;
        }
        plain
    }

    #[test]
    fn what_is_compressed_is_read_by_other_libraries_again_and_again() {
        for codec in ALL {
            let mut compressor = Compressor::new(codec);
            assert_eq!(compressor.codec(), codec);
            for size in [1, 100, 65_535, 65_536, 65_537, 300_000, 7] {
                let plain = sample(size);
                let mut out = vec![0; size + FORWARD_COMPRESS_SLACK_BYTES];
                let bytes = compressor.compress(&plain, &mut out).unwrap();
                let back = codec::decompress(codec, &out[..bytes], size);
                assert_eq!(back, Ok(plain), "{codec:?} {size}");
            }
        }
    }

    #[test]
    fn what_does_not_fit_is_not_compressed_and_the_next_one_is() {
        for codec in ALL {
            let mut compressor = Compressor::new(codec);
            let plain = sample(5_000);
            let mut out = vec![0; 14_000];
            let bytes = compressor.compress(&plain, &mut out).unwrap();
            for room in [0, 1, 6, 7, 9, 10, 11, bytes / 2, bytes - 9, bytes - 1] {
                let made = compressor.compress(&plain, &mut out[..room]);
                assert_eq!(made, None, "{codec:?} into {room} of {bytes}");
            }
            let slack = if codec == Codec::Lz4 { FORWARD_COMPRESS_SLACK_BYTES } else { 0 };
            let made = compressor.compress(&plain, &mut out[..bytes + slack]);
            assert_eq!(made, Some(bytes), "{codec:?}");
        }
        assert_eq!(Compressor::new(Codec::None).compress(b"plain", &mut [0; 100]), None);
    }

    #[test]
    fn every_compressor_takes_what_is_accounted_for() {
        for codec in ALL {
            for size in [16 << 10, 64 << 10, 256 << 10, 1 << 20] {
                let mut out = vec![0; size + FORWARD_COMPRESS_SLACK_BYTES];
                let plains = [sample(size), vec![7; size]];
                let taken = allocation_counter::measure(|| {
                    let mut compressor = Compressor::new(codec);
                    for plain in plains.iter().cycle().take(6) {
                        compressor.compress(plain, &mut out);
                    }
                });
                println!("{codec:?} {size}: {taken:?}");
                assert!(taken.bytes_max as usize <= memory(codec, size), "{codec:?} {size}");
            }
        }
    }

    #[test]
    fn a_zstd_frame_of_something_else_is_noticed() {
        let plain = sample(3_000);
        let mut other = plain.clone();
        other[1_000] ^= 1;
        let mut decoder = FrameDecoder::new();
        let frame = codec::compress(Codec::Zstd, plain.clone());
        assert!(is_frame_of(&mut decoder, &frame, &plain));
        assert!(!is_frame_of(&mut decoder, &frame, &other));
        assert!(!is_frame_of(&mut decoder, &frame, &plain[..2_999]));
        assert!(!is_frame_of(&mut decoder, &frame[..frame.len() - 1], &plain));
        assert!(!is_frame_of(&mut decoder, &[&frame[..], b"x"].concat(), &plain));
        assert!(is_frame_of(&mut decoder, &frame, &plain), "and the decoder goes on");
    }
}
