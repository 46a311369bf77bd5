//! The cursor that every message is read with: it stays inside of its bytes, and what it has read
//! is read again when it was written.

use super::input::Input;
use ottla::wire::{Reader, Writer};

/// Fields of one message.
const FIELDS_MAX: usize = 64;

/// First byte: how many kinds of fields follow, and whether they are flexible; then the kinds, then
/// the bytes that they are read from.
pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let choice = input.byte();
    let flexible = choice & 1 == 1;
    let kinds = input.take(usize::from(choice >> 1) % FIELDS_MAX);
    let bytes = input.rest();
    let mut written = Vec::new();
    let mut read = Reader::new(bytes, 3, flexible);
    let mut count = 0;
    for kind in kinds {
        let before = read.position();
        let mut w = Writer::new(&mut written, 3, flexible);
        let whole = field(*kind, &mut read, &mut w).is_some();
        assert!(read.position() >= before && read.position() <= bytes.len());
        assert_eq!(read.rest().len(), bytes.len() - read.position());
        if !whole {
            break;
        }
        count += 1;
    }
    // What was written says the same, and writes the same.
    let mut again = Vec::new();
    let mut read = Reader::new(&written, 3, flexible);
    for kind in &kinds[..count] {
        let mut w = Writer::new(&mut again, 3, flexible);
        field(*kind, &mut read, &mut w).expect("what was written can be read");
    }
    assert_eq!(again, written);
}

/// Reads one field and writes it; `None` where it cannot be read, and then nothing is written.
fn field(kind: u8, r: &mut Reader<'_>, w: &mut Writer<'_>) -> Option<()> {
    match kind % 20 {
        0 => w.i8(r.i8("f").ok()?),
        1 => w.i16(r.i16("f").ok()?),
        2 => w.i32(r.i32("f").ok()?),
        3 => w.i64(r.i64("f").ok()?),
        4 => w.bool(r.bool("f").ok()?),
        5 => w.uuid(&r.uuid("f").ok()?),
        6 => w.unsigned_varint(r.unsigned_varint("f").ok()?),
        7 => w.varint(r.varint("f").ok()?),
        8 => w.varlong(r.varlong("f").ok()?),
        9 => w.string(r.string("f").ok()?),
        10 => w.nullable_string(r.nullable_string("f").ok()?),
        11 => w.bytes(r.bytes("f").ok()?),
        12 => w.nullable_bytes(r.nullable_bytes("f").ok()?),
        13..=15 => elements(kind, r, w)?,
        16 => {
            let length = r.records_length("f").ok()?.unwrap_or_default();
            let records = r.take("f", length).ok()?;
            w.records_length(length);
            w.raw(records);
        }
        17 => {
            let text = r.legacy_nullable_string("f").ok()?.unwrap_or_default();
            w.i16(i16::try_from(text.len()).expect("its length is an int16"));
            w.raw(text.as_bytes());
        }
        18 => {
            r.tags_with(|_, _| Ok(())).ok()?;
            w.tags();
        }
        _ => {
            r.tags().ok()?;
            w.tags();
        }
    }
    Some(())
}

/// An array of bytes: a count that is believed is at most what is there.
fn elements(kind: u8, r: &mut Reader<'_>, w: &mut Writer<'_>) -> Option<()> {
    let mut ahead = *r;
    let count = if kind % 20 == 13 {
        Some(ahead.array("f").ok()?)
    } else {
        ahead.nullable_array("f").ok()?
    };
    let bytes = ahead.take("f", count.unwrap_or(0)).ok()?;
    *r = ahead;
    match kind % 20 {
        13 => w.array(bytes.len()),
        _ => w.nullable_array(count),
    }
    w.raw(bytes);
    Some(())
}
