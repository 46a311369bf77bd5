//! The coordinator file, the snapshot in it, and the changes in the journal.
//!
//! Promise: what can be read and is written again says the same.

use super::input::Input;
use super::memory;
use ottla::state::coordinator_file::{Change, Snapshot};
use ottla::storage::coordinator::{CoordinatorFile, Found, decode, encode};
use ottla::wire::crc::crc32c_parts;

/// Bytes of the file before its payload.
const HEADER_BYTES: usize = 20;
/// What reading may hold: rows of names, of which each byte in the file makes a few dozen.
const BYTES_MAX: usize = 4 * 1024 * 1024;

/// First byte: a whole file, a payload to be sealed, a snapshot, or a change.
pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let kind = input.byte() & 3;
    let bytes = input.rest();
    let most = BYTES_MAX + 64 * bytes.len();
    memory::bounded("a coordinator file", most, || match kind {
        0 => file(bytes),
        1 => file(&sealed(bytes)),
        2 => snapshot(bytes),
        _ => change(bytes),
    });
}

/// A file of format 1 around a payload, as `storage::coordinator` describes it.
pub fn sealed(payload: &[u8]) -> Vec<u8> {
    let mut bytes = b"OTLCOORD".to_vec();
    bytes.extend(1_u32.to_le_bytes());
    bytes.extend((payload.len() as u32).to_le_bytes());
    let crc = crc32c_parts(&[&bytes[8..HEADER_BYTES - 4], payload]);
    bytes.extend(crc.to_le_bytes());
    bytes.extend(payload);
    bytes
}

fn file(bytes: &[u8]) {
    let Found::Whole(found) = decode(bytes) else { return };
    let found: CoordinatorFile = *found;
    match decode(&encode(&found)) {
        Found::Whole(again) => assert_eq!(*again, found),
        other => panic!("what was written cannot be read: {other:?}"),
    }
    snapshot(&found.state);
}

fn snapshot(bytes: &[u8]) {
    let Ok(found) = Snapshot::decode(bytes) else { return };
    let written = found.encode();
    if found.version >= 2 {
        assert_eq!(Snapshot::decode(&written).as_ref(), Ok(&found));
    }
}

fn change(bytes: &[u8]) {
    let Some(found) = Change::decode(bytes) else { return };
    let mut written = Vec::new();
    found.encode_into(&mut written);
    assert_eq!(Change::decode(&written).as_ref(), Some(&found));
}
