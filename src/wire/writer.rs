//! Writes one message into a connection's output, knowing its version and flexibility.
//!
//! Promises: the output grows to at most `limit` bytes; past that, and where the output has no room
//! now, the writer drops what it is given and says so through [`Writer::overflowed`], so that no
//! handler needs a check per field.
//! Absent: the meaning of any field, and where the bytes are kept ([`Sink`]).

use super::{ErrorCode, Uuid};

/// Where a message goes: memory, or memory and a file behind it.
pub trait Sink {
    /// Bytes that are in it.
    fn length(&self) -> usize;

    /// Appends `bytes`; false where there is no room for all of them, and then any part of them may
    /// be in it.
    fn append(&mut self, bytes: &[u8]) -> bool;

    /// Overwrites what was appended, from `position` on.
    fn overwrite(&mut self, position: usize, bytes: &[u8]);

    /// Reads back what was appended, from `position` on; how many bytes there were.
    fn read_back(&self, position: usize, buffer: &mut [u8]) -> usize;

    /// Forgets everything behind `position`.
    fn cut(&mut self, position: usize);

    /// Makes sure that so many more bytes find room; false: not now.
    fn ensure(&mut self, _bytes: usize) -> bool {
        true
    }
}

impl Sink for Vec<u8> {
    fn length(&self) -> usize {
        self.len()
    }

    fn append(&mut self, bytes: &[u8]) -> bool {
        self.extend_from_slice(bytes);
        true
    }

    fn overwrite(&mut self, position: usize, bytes: &[u8]) {
        if let Some(place) = self.get_mut(position..position + bytes.len()) {
            place.copy_from_slice(bytes);
        }
    }

    fn read_back(&self, position: usize, buffer: &mut [u8]) -> usize {
        let there = self.get(position..).unwrap_or_default();
        let count = there.len().min(buffer.len());
        buffer[..count].copy_from_slice(&there[..count]);
        count
    }

    fn cut(&mut self, position: usize) {
        self.truncate(position);
    }
}

/// A message under construction, appended to what its [`Sink`] holds.
pub struct Writer<'a> {
    bytes: &'a mut dyn Sink,
    version: i16,
    flexible: bool,
    limit: usize,
    overflowed: bool,
}

impl<'a> Writer<'a> {
    /// A writer behind what `bytes` holds already, without a limit of its own.
    pub fn new(bytes: &'a mut dyn Sink, version: i16, flexible: bool) -> Self {
        Writer { bytes, version, flexible, limit: usize::MAX, overflowed: false }
    }

    /// A writer that lets `bytes` grow to `limit` bytes.
    pub fn bounded(bytes: &'a mut dyn Sink, version: i16, flexible: bool, limit: usize) -> Self {
        Writer { bytes, version, flexible, limit, overflowed: false }
    }

    /// The message's version.
    pub fn version(&self) -> i16 {
        self.version
    }

    /// Whether the message uses compact lengths and tag buffers (KIP-482).
    pub fn flexible(&self) -> bool {
        self.flexible
    }

    /// Whether something was dropped because there was no room for it.
    pub fn overflowed(&self) -> bool {
        self.overflowed
    }

    /// Where the next byte goes, counted from the start of the buffer.
    pub fn position(&self) -> usize {
        self.bytes.length()
    }

    /// What was written before, from `position` on, as far as it goes into `buffer`.
    pub fn read_back<'b>(&self, position: usize, buffer: &'b mut [u8]) -> &'b [u8] {
        let count = self.bytes.read_back(position, buffer);
        &buffer[..count]
    }

    /// Makes sure that so many more bytes will find room. If not, the answer waits for it.
    pub fn ensure(&mut self, bytes: usize) -> bool {
        self.bytes.ensure(bytes)
    }

    /// Forgets everything behind `position`: a handler changed its mind.
    pub fn rewind(&mut self, position: usize) {
        self.bytes.cut(position);
        self.overflowed = false;
    }

    /// Raw bytes.
    pub fn raw(&mut self, bytes: &[u8]) {
        let fits = bytes.len() <= self.limit.saturating_sub(self.bytes.length());
        // What follows something that was dropped would be nonsense.
        self.overflowed = self.overflowed || !fits || !self.bytes.append(bytes);
    }

    /// A signed byte.
    pub fn i8(&mut self, value: i8) {
        self.raw(&value.to_be_bytes());
    }

    /// A big-endian `int16`.
    pub fn i16(&mut self, value: i16) {
        self.raw(&value.to_be_bytes());
    }

    /// A big-endian `int32`.
    pub fn i32(&mut self, value: i32) {
        self.raw(&value.to_be_bytes());
    }

    /// A big-endian `int64`.
    pub fn i64(&mut self, value: i64) {
        self.raw(&value.to_be_bytes());
    }

    /// A boolean.
    pub fn bool(&mut self, value: bool) {
        self.i8(i8::from(value));
    }

    /// A UUID.
    pub fn uuid(&mut self, value: &Uuid) {
        self.raw(value);
    }

    /// An error code.
    pub fn error(&mut self, value: ErrorCode) {
        self.i16(value as i16);
    }

    /// An unsigned variable-length integer.
    pub fn unsigned_varint(&mut self, mut value: u32) {
        let mut encoded = [0u8; 5];
        let mut length = 0;
        while value >= 0x80 {
            encoded[length] = (value as u8) | 0x80;
            value >>= 7;
            length += 1;
        }
        encoded[length] = value as u8;
        self.raw(&encoded[..=length]);
    }

    /// A zigzag variable-length `int32`, as in records.
    pub fn varint(&mut self, value: i32) {
        self.unsigned_varint(((value << 1) ^ (value >> 31)) as u32);
    }

    /// A zigzag variable-length `int64`, as in records.
    pub fn varlong(&mut self, value: i64) {
        let mut raw = ((value << 1) ^ (value >> 63)) as u64;
        let mut encoded = [0u8; 10];
        let mut length = 0;
        while raw >= 0x80 {
            encoded[length] = (raw as u8) | 0x80;
            raw >>= 7;
            length += 1;
        }
        encoded[length] = raw as u8;
        self.raw(&encoded[..=length]);
    }

    /// A length or count in this message's encoding.
    fn length(&mut self, length: Option<usize>, wide: bool) {
        match (length, self.flexible) {
            (length, true) => self.unsigned_varint(length.map_or(0, |n| n as u32 + 1)),
            (length, false) if wide => self.i32(length.map_or(-1, |n| n as i32)),
            (length, false) => self.i16(length.map_or(-1, |n| n as i16)),
        }
    }

    /// A string.
    pub fn string(&mut self, value: &str) {
        self.nullable_string(Some(value));
    }

    /// A string or null.
    pub fn nullable_string(&mut self, value: Option<&str>) {
        self.length(value.map(str::len), false);
        self.raw(value.unwrap_or_default().as_bytes());
    }

    /// Bytes.
    pub fn bytes(&mut self, value: &[u8]) {
        self.nullable_bytes(Some(value));
    }

    /// Bytes or null.
    pub fn nullable_bytes(&mut self, value: Option<&[u8]>) {
        self.length(value.map(<[u8]>::len), true);
        self.raw(value.unwrap_or_default());
    }

    /// The length of a `RECORDS` field whose `length` bytes follow by another way (`sendfile`).
    pub fn records_length(&mut self, length: usize) {
        self.length(Some(length), true);
    }

    /// The count of an array whose elements follow.
    pub fn array(&mut self, count: usize) {
        self.length(Some(count), true);
    }

    /// The count of an array whose elements follow, or null.
    pub fn nullable_array(&mut self, count: Option<usize>) {
        self.length(count, true);
    }

    /// The empty tag buffer that ends a struct in flexible versions.
    pub fn tags(&mut self) {
        if self.flexible {
            self.raw(&[0]);
        }
    }

    /// Writes a field that exists since `version`.
    pub fn since(&mut self, version: i16, write: impl FnOnce(&mut Self)) {
        if self.version >= version {
            write(self);
        }
    }

    /// Writes a field that exists from version `first` to version `last`.
    pub fn within(&mut self, first: i16, last: i16, write: impl FnOnce(&mut Self)) {
        if (first..=last).contains(&self.version) {
            write(self);
        }
    }

    /// Overwrites an `int32` written before, at `position`.
    pub fn patch_i32(&mut self, position: usize, value: i32) {
        self.bytes.overwrite(position, &value.to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_holds_and_is_reported() {
        let mut bytes = Vec::new();
        let mut w = Writer::bounded(&mut bytes, 0, false, 6);
        w.i32(1);
        assert!(!w.overflowed());
        w.i32(2);
        assert!(w.overflowed());
        w.i16(3);
        assert_eq!(bytes, [0, 0, 0, 1], "nothing follows what was dropped");
    }

    #[test]
    fn strings_and_arrays_in_both_encodings() {
        let mut bytes = Vec::new();
        let mut w = Writer::new(&mut bytes, 0, false);
        w.string("ab");
        w.nullable_string(None);
        w.nullable_array(None);
        w.tags();
        assert_eq!(bytes, [0, 2, b'a', b'b', 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]);
        bytes.clear();
        let mut w = Writer::new(&mut bytes, 0, true);
        w.string("ab");
        w.nullable_string(None);
        w.array(0);
        w.tags();
        assert_eq!(bytes, [3, b'a', b'b', 0, 1, 0]);
    }
}
