//! The four codecs: what was compressed comes back, and what claims to be compressed stays bounded.

use super::input::Input;
use super::memory;
use ottla::client::codec::{CodecError, compress, decompress};
use ottla::forward::compress::Compressor;
use ottla::wire::batch::Codec;

/// Bytes that anything may become.
const UNPACKED_BYTES_MAX: usize = 64 * 1024;
/// What a decoder may hold beside what it has made: gzip's and LZ4's tables, zstd's window.
const DECODER_BYTES_MAX: usize = 2 * 1024 * 1024;

/// First byte: which codec, and whether the rest is to be packed or unpacked.
pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let choice = input.byte();
    let codec = [Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd][usize::from(choice & 3)];
    let bytes = input.rest();
    if choice & 4 == 0 {
        unpack(codec, bytes);
    } else {
        pack(codec, bytes, choice & 8 == 0);
    }
}

fn unpack(codec: Codec, bytes: &[u8]) {
    let most = UNPACKED_BYTES_MAX * 3 + DECODER_BYTES_MAX;
    let result =
        memory::bounded(codec.name(), most, || decompress(codec, bytes, UNPACKED_BYTES_MAX));
    if let Ok(plain) = result {
        assert!(plain.len() <= UNPACKED_BYTES_MAX);
    }
}

fn pack(codec: Codec, plain: &[u8], small: bool) {
    // Long enough for copies, with something that is not the same.
    let plain: Vec<u8> = plain.repeat(if small { 1 } else { 7 });
    let packed = compress(codec, plain.clone());
    assert_eq!(decompress(codec, &packed, plain.len()).as_deref(), Ok(&plain[..]));
    if let Some(less) = plain.len().checked_sub(1) {
        assert_eq!(decompress(codec, &packed, less), Err(CodecError::TooLarge(codec)));
    }
    forwarded(codec, &plain);
}

fn forwarded(codec: Codec, plain: &[u8]) {
    let mut out = vec![0; plain.len() + plain.len() / 2 + 100];
    let mut compressor = Compressor::new(codec);
    if let Some(bytes) = compressor.compress(plain, &mut out) {
        assert_eq!(decompress(codec, &out[..bytes], plain.len()).as_deref(), Ok(plain));
    }
}
