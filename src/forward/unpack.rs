//! Stored records without their compression, into a buffer that is there.
//!
//! Promises: gzip, snappy and LZ4 allocate nothing once this is there; Zstandard takes
//! [`FORWARD_UNPACK_ZSTD_BYTES`] for a moment, on boards that have them
//! (`Sizes::forward_unpacks_zstd`). No number inside the data sizes anything. What does not fit, or
//! is not what the codec makes, is `None`, and the batch goes up as it is.
//! Absent: checksums inside the codecs' frames; the batch has a CRC of its own.
//!
//! [`FORWARD_UNPACK_ZSTD_BYTES`]: crate::limits::FORWARD_UNPACK_ZSTD_BYTES

use crate::wire::batch::Codec;
use flate2::{Decompress, FlushDecompress, Status};
use lz4_flex::block::{decompress_into, decompress_into_with_dict};
use std::io::Read;

/// Bytes that the state of gzip takes: its window, and its tables.
pub const INFLATE_BYTES: usize = 44 * 1024;

/// Xerial's magic, as in `client::codec`.
const XERIAL_MAGIC: [u8; 8] = [0x82, b'S', b'N', b'A', b'P', b'P', b'Y', 0];
/// The magic, and two versions.
const XERIAL_HEADER_BYTES: usize = 16;

/// Bytes that a later block of an LZ4 frame may refer back to.
const LZ4_WINDOW_BYTES: usize = 64 * 1024;

/// The decompressors.
pub struct Unpacker {
    inflate: Box<Decompress>,
    zstd: bool,
}

impl core::fmt::Debug for Unpacker {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Unpacker")
    }
}

impl Unpacker {
    /// Decompressors of all codecs, of Zstandard if `zstd` says so.
    pub fn new(zstd: bool) -> Unpacker {
        Unpacker { inflate: Box::new(Decompress::new(false)), zstd }
    }

    /// Decompresses the records of one batch into `out`; how many bytes they have.
    pub fn unpack(&mut self, codec: Codec, data: &[u8], out: &mut [u8]) -> Option<usize> {
        match codec {
            Codec::None => {
                out.get_mut(..data.len())?.copy_from_slice(data);
                Some(data.len())
            }
            Codec::Gzip => self.gzip(data, out),
            Codec::Snappy if data.starts_with(&XERIAL_MAGIC) => xerial(data, out),
            Codec::Snappy => snappy(data, out),
            Codec::Lz4 => lz4(data, out),
            Codec::Zstd if self.zstd => zstd(data, out),
            Codec::Zstd => None,
        }
    }

    /// One member behind the other (RFC 1952).
    fn gzip(&mut self, mut data: &[u8], out: &mut [u8]) -> Option<usize> {
        let mut end = 0;
        while !data.is_empty() {
            let deflated = behind_gzip_front(data)?;
            self.inflate.reset(false);
            let status =
                self.inflate.decompress(deflated, out.get_mut(end..)?, FlushDecompress::Finish);
            if !matches!(status, Ok(Status::StreamEnd)) {
                return None;
            }
            end += self.inflate.total_out() as usize;
            // Behind it a CRC, and a length.
            data = deflated.get(self.inflate.total_in() as usize..)?.get(8..)?;
        }
        Some(end)
    }
}

/// What follows the header of a gzip member.
fn behind_gzip_front(data: &[u8]) -> Option<&[u8]> {
    let (front, mut rest) = data.split_first_chunk::<10>()?;
    if front[..3] != [0x1f, 0x8b, 8] {
        return None;
    }
    let flags = front[3];
    if flags & 4 != 0 {
        let (length, behind) = rest.split_first_chunk::<2>()?;
        rest = behind.get(usize::from(u16::from_le_bytes(*length))..)?;
    }
    // A name, and a comment; each ends with a zero.
    for flag in [8, 16] {
        if flags & flag != 0 {
            let end = rest.iter().position(|byte| *byte == 0)?;
            rest = &rest[end + 1..];
        }
    }
    rest.get(if flags & 2 != 0 { 2 } else { 0 }..)
}

fn snappy(data: &[u8], out: &mut [u8]) -> Option<usize> {
    snap::raw::Decoder::new().decompress(data, out).ok()
}

fn xerial(data: &[u8], out: &mut [u8]) -> Option<usize> {
    let mut rest = data.get(XERIAL_HEADER_BYTES..)?;
    let mut end = 0;
    while let Some((length, behind)) = rest.split_first_chunk::<4>() {
        let length = u32::from_be_bytes(*length) as usize;
        end += snappy(behind.get(..length)?, out.get_mut(end..)?)?;
        rest = &behind[length..];
    }
    rest.is_empty().then_some(end)
}

/// One LZ4 frame (its blocks may refer to those before them).
fn lz4(data: &[u8], out: &mut [u8]) -> Option<usize> {
    let rest = data.strip_prefix(&[0x04, 0x22, 0x4d, 0x18])?;
    let (front, mut rest) = rest.split_first_chunk::<2>()?;
    let flags = front[0];
    // Version 1, and no dictionary from outside.
    if flags & 0b1100_0001 != 0b0100_0000 {
        return None;
    }
    let (independent, block_sums) = (flags & 0b10_0000 != 0, flags & 0b1_0000 != 0);
    let length_bytes = if flags & 0b1000 != 0 { 8 } else { 0 };
    rest = rest.get(length_bytes + 1..)?;
    let mut end = 0;
    loop {
        let (head, behind) = rest.split_first_chunk::<4>()?;
        let head = u32::from_le_bytes(*head);
        if head == 0 {
            return Some(end);
        }
        let length = (head & 0x7fff_ffff) as usize;
        let block = behind.get(..length)?;
        let (before, room) = out.split_at_mut(end);
        if head != head & 0x7fff_ffff {
            room.get_mut(..length)?.copy_from_slice(block);
            end += length;
        } else if independent {
            end += decompress_into(block, room).ok()?;
        } else {
            let window = &before[end.saturating_sub(LZ4_WINDOW_BYTES)..];
            end += decompress_into_with_dict(block, room, window).ok()?;
        }
        rest = behind.get(length + if block_sums { 4 } else { 0 }..)?;
    }
}

fn zstd(data: &[u8], out: &mut [u8]) -> Option<usize> {
    let mut decoder = ruzstd::decoding::StreamingDecoder::new(data).ok()?;
    let mut end = 0;
    loop {
        if end == out.len() {
            // Nothing may follow.
            return (decoder.read(&mut [0]).ok()? == 0).then_some(end);
        }
        match decoder.read(&mut out[end..]).ok()? {
            0 => return Some(end),
            count => end += count,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::codec;
    use crate::limits::{Board, FORWARD_UNPACK_ZSTD_BYTES, Sizes};
    use std::io::Write;

    const ALL: [Codec; 5] = [Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd];

    fn sample(bytes: usize) -> Vec<u8> {
        let line = |at: usize| format!("{{\"sensor\":\"t-{}\",\"value\":{}}}\n", at % 20, at * at);
        (0..).flat_map(|at| line(at).into_bytes()).take(bytes).collect()
    }

    #[test]
    fn every_codec_is_undone_where_there_is_room_and_nowhere_else() {
        let mut unpacker = Unpacker::new(true);
        for codec in ALL {
            for size in [1, 100, 65_535, 65_536, 65_537, 300_000, 7] {
                let plain = sample(size);
                let packed = codec::compress(codec, plain.clone());
                let mut out = vec![0; size + 10];
                assert_eq!(unpacker.unpack(codec, &packed, &mut out), Some(size), "{codec:?}");
                assert_eq!(&out[..size], plain);
                assert_eq!(unpacker.unpack(codec, &packed, &mut out[..size]), Some(size));
                let less = unpacker.unpack(codec, &packed, &mut out[..size - 1]);
                assert_eq!(less, None, "{codec:?} {size}");
            }
        }
        let packed = codec::compress(Codec::Zstd, sample(10));
        assert_eq!(Unpacker::new(false).unpack(Codec::Zstd, &packed, &mut [0; 99]), None);
    }

    #[test]
    fn other_writers_frames_are_read_too() {
        let plain = sample(200_000);
        let mut out = vec![0; plain.len()];
        let mut unpacker = Unpacker::new(true);
        let info = lz4_flex::frame::FrameInfo::new()
            .block_mode(lz4_flex::frame::BlockMode::Linked)
            .block_checksums(true)
            .content_checksum(true)
            .content_size(Some(plain.len() as u64));
        let mut encoder = lz4_flex::frame::FrameEncoder::with_frame_info(info, Vec::new());
        encoder.write_all(&plain).unwrap();
        let linked = encoder.finish().unwrap();
        assert_eq!(unpacker.unpack(Codec::Lz4, &linked, &mut out), Some(plain.len()));
        assert_eq!(out, plain);
        let mut named = flate2::GzBuilder::new().filename("n").comment("c").extra(vec![1; 9]);
        named = named.mtime(3);
        let mut encoder = named.write(Vec::new(), flate2::Compression::fast());
        encoder.write_all(&plain[..100_000]).unwrap();
        let second = codec::compress(Codec::Gzip, plain[100_000..].to_vec());
        let members = [encoder.finish().unwrap(), second].concat();
        out.fill(0);
        assert_eq!(unpacker.unpack(Codec::Gzip, &members, &mut out), Some(plain.len()));
        assert_eq!(out, plain);
        let bare = snap::raw::Encoder::new().compress_vec(&plain).unwrap();
        assert_eq!(unpacker.unpack(Codec::Snappy, &bare, &mut out), Some(plain.len()));
    }

    #[test]
    fn damaged_data_is_none_or_other_bytes_and_never_a_panic() {
        let mut unpacker = Unpacker::new(true);
        let mut out = vec![0; 4_000];
        for codec in ALL {
            let packed = codec::compress(codec, sample(3_000));
            for at in 0..packed.len().min(400) {
                let mut bad = packed.clone();
                bad[at] ^= 0x55;
                unpacker.unpack(codec, &bad, &mut out);
                unpacker.unpack(codec, &packed[..at], &mut out);
            }
        }
    }

    #[test]
    fn it_takes_what_is_accounted_for() {
        let made = allocation_counter::measure(|| drop(Unpacker::new(true)));
        assert!(made.bytes_max as usize <= INFLATE_BYTES, "{made:?}");
        let mut unpacker = Unpacker::new(true);
        let plain = sample(Sizes::of(&Board::DESKTOP).forward_unpacked_bytes);
        let mut out = vec![0; plain.len()];
        for codec in ALL {
            let packed = codec::compress(codec, plain.clone());
            let taken = allocation_counter::measure(|| {
                assert_eq!(unpacker.unpack(codec, &packed, &mut out), Some(plain.len()));
            });
            println!("{codec:?}: {taken:?}");
            let most = if codec == Codec::Zstd { FORWARD_UNPACK_ZSTD_BYTES as u64 } else { 0 };
            assert!(taken.bytes_max <= most && taken.bytes_current == 0, "{codec:?} {taken:?}");
        }
    }
}
