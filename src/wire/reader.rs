//! A checked cursor over one message, which knows its version and whether it is flexible.
//!
//! Promises: never reads past the end, never allocates, and every error names the field it was
//! about. A count is refused when there are fewer bytes left than elements, so that a loop over
//! it is bounded by the bytes that really arrived; or, for one that is read while it still arrives,
//! by those that its length announces. There `Truncated` says that the field is not all here yet,
//! every other error that it never will be right.
//! Absent: a check for trailing bytes. librdkafka 2.x sends stray bytes behind Metadata and
//! ListGroups, and Apache Kafka ignores them (protocol.md 3).

use super::Uuid;
use core::fmt;

/// What was wrong with a message, and in which field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadError {
    /// The field's name in Kafka's message definition, in snake case.
    pub field: &'static str,
    /// What was wrong with it.
    pub problem: Problem,
}

/// The ways in which a field can be unreadable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Problem {
    /// The message ends inside the field.
    Truncated,
    /// A length or count is negative, or larger than what is left of the message.
    BadLength,
    /// The field may not be null in this version.
    Null,
    /// A string is not UTF-8.
    NotUtf8,
    /// A variable-length integer has more bytes than its type holds.
    VarintTooLong,
    /// A value outside the field's range.
    BadValue,
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let problem = match self.problem {
            Problem::Truncated => "is cut off",
            Problem::BadLength => "has an impossible length",
            Problem::Null => "may not be null",
            Problem::NotUtf8 => "is not UTF-8",
            Problem::VarintTooLong => "is a variable-length integer without end",
            Problem::BadValue => "has an impossible value",
        };
        write!(f, "field {} {problem}", self.field)
    }
}

/// The result of reading one field.
pub type Read<T> = Result<T, ReadError>;

/// The cursor. Copying it is a bookmark: a handler may read a list twice.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    beyond: usize,
    version: i16,
    flexible: bool,
}

impl<'a> Reader<'a> {
    /// A cursor at the start of `bytes`, for `version` of a message.
    pub const fn new(bytes: &'a [u8], version: i16, flexible: bool) -> Self {
        Reader { bytes, at: 0, beyond: 0, version, flexible }
    }

    /// The same over a message that goes on for `beyond` bytes which are not here yet.
    pub const fn with_beyond(self, beyond: usize) -> Self {
        Reader { beyond, ..self }
    }

    /// How many bytes of the message are not here yet.
    pub const fn beyond(&self) -> usize {
        self.beyond
    }

    /// The message's version.
    pub const fn version(&self) -> i16 {
        self.version
    }

    /// Whether the message uses compact lengths and tag buffers (KIP-482).
    pub const fn flexible(&self) -> bool {
        self.flexible
    }

    /// How many bytes have been read.
    pub const fn position(&self) -> usize {
        self.at
    }

    /// The same cursor at another place of the message.
    pub fn moved_to(self, position: usize) -> Self {
        Reader { at: position.min(self.bytes.len()), ..self }
    }

    /// The bytes not read yet.
    pub fn rest(&self) -> &'a [u8] {
        &self.bytes[self.at..]
    }

    /// The next `count` bytes.
    pub fn take(&mut self, field: &'static str, count: usize) -> Read<&'a [u8]> {
        let rest = self.rest();
        if count > rest.len() {
            return Err(ReadError { field, problem: Problem::Truncated });
        }
        self.at += count;
        Ok(&rest[..count])
    }

    fn fixed<const N: usize>(&mut self, field: &'static str) -> Read<[u8; N]> {
        match self.rest().first_chunk::<N>() {
            Some(chunk) => {
                self.at += N;
                Ok(*chunk)
            }
            None => Err(ReadError { field, problem: Problem::Truncated }),
        }
    }

    /// A signed byte.
    pub fn i8(&mut self, field: &'static str) -> Read<i8> {
        Ok(i8::from_be_bytes(self.fixed(field)?))
    }

    /// A big-endian `int16`.
    pub fn i16(&mut self, field: &'static str) -> Read<i16> {
        Ok(i16::from_be_bytes(self.fixed(field)?))
    }

    /// A big-endian `int32`.
    pub fn i32(&mut self, field: &'static str) -> Read<i32> {
        Ok(i32::from_be_bytes(self.fixed(field)?))
    }

    /// A big-endian `int64`.
    pub fn i64(&mut self, field: &'static str) -> Read<i64> {
        Ok(i64::from_be_bytes(self.fixed(field)?))
    }

    /// A boolean: any byte but 0 is true, as in Kafka.
    pub fn bool(&mut self, field: &'static str) -> Read<bool> {
        Ok(self.i8(field)? != 0)
    }

    /// A UUID: 16 raw bytes.
    pub fn uuid(&mut self, field: &'static str) -> Read<Uuid> {
        self.fixed(field)
    }

    /// An unsigned variable-length integer of at most five bytes.
    pub fn unsigned_varint(&mut self, field: &'static str) -> Read<u32> {
        let mut value = 0u64;
        for shift in (0..35).step_by(7) {
            let [byte] = self.fixed(field)?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return u32::try_from(value)
                    .map_err(|_| ReadError { field, problem: Problem::VarintTooLong });
            }
        }
        Err(ReadError { field, problem: Problem::VarintTooLong })
    }

    /// A zigzag variable-length `int32`, as in records.
    pub fn varint(&mut self, field: &'static str) -> Read<i32> {
        let raw = self.unsigned_varint(field)?;
        Ok(((raw >> 1) as i32) ^ -((raw & 1) as i32))
    }

    /// A zigzag variable-length `int64`, as in records.
    pub fn varlong(&mut self, field: &'static str) -> Read<i64> {
        let mut raw = 0u64;
        for shift in (0..70).step_by(7) {
            let [byte] = self.fixed(field)?;
            if shift == 63 && byte > 1 {
                break;
            }
            raw |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(((raw >> 1) as i64) ^ -((raw & 1) as i64));
            }
        }
        Err(ReadError { field, problem: Problem::VarintTooLong })
    }

    /// A length in this message's encoding; `None` is null.
    fn length(&mut self, field: &'static str, wide: bool) -> Read<Option<usize>> {
        let length = if self.flexible {
            i64::from(self.unsigned_varint(field)?) - 1
        } else if wide {
            i64::from(self.i32(field)?)
        } else {
            i64::from(self.i16(field)?)
        };
        match length {
            -1 => Ok(None),
            n if n < 0 || n > (self.rest().len() + self.beyond) as i64 => {
                Err(ReadError { field, problem: Problem::BadLength })
            }
            n => Ok(Some(n as usize)),
        }
    }

    fn text(&mut self, field: &'static str, length: usize) -> Read<&'a str> {
        let bytes = self.take(field, length)?;
        core::str::from_utf8(bytes).map_err(|_| ReadError { field, problem: Problem::NotUtf8 })
    }

    /// A string that may not be null.
    pub fn string(&mut self, field: &'static str) -> Read<&'a str> {
        self.nullable_string(field)?.ok_or(ReadError { field, problem: Problem::Null })
    }

    /// A string that may be null.
    pub fn nullable_string(&mut self, field: &'static str) -> Read<Option<&'a str>> {
        match self.length(field, false)? {
            Some(length) => self.text(field, length).map(Some),
            None => Ok(None),
        }
    }

    /// A string with an `int16` length whatever the version: only the header's client id.
    pub fn legacy_nullable_string(&mut self, field: &'static str) -> Read<Option<&'a str>> {
        let flexible = core::mem::replace(&mut self.flexible, false);
        let result = self.nullable_string(field);
        self.flexible = flexible;
        result
    }

    /// Bytes that may not be null.
    pub fn bytes(&mut self, field: &'static str) -> Read<&'a [u8]> {
        self.nullable_bytes(field)?.ok_or(ReadError { field, problem: Problem::Null })
    }

    /// Bytes (or `RECORDS`) that may be null.
    pub fn nullable_bytes(&mut self, field: &'static str) -> Read<Option<&'a [u8]>> {
        match self.length(field, true)? {
            Some(length) => self.take(field, length).map(Some),
            None => Ok(None),
        }
    }

    /// The length of a `RECORDS` field whose bytes are taken by [`Reader::take`]; `None` is null.
    pub fn records_length(&mut self, field: &'static str) -> Read<Option<usize>> {
        self.length(field, true)
    }

    /// The element count of an array that may not be null. Never more than the bytes left.
    pub fn array(&mut self, field: &'static str) -> Read<usize> {
        self.nullable_array(field)?.ok_or(ReadError { field, problem: Problem::Null })
    }

    /// The element count of an array that may be null. Never more than the bytes left.
    pub fn nullable_array(&mut self, field: &'static str) -> Read<Option<usize>> {
        self.length(field, true)
    }

    /// The tag buffer that ends a struct in flexible versions; unknown tags are skipped.
    pub fn tags(&mut self) -> Read<()> {
        self.tags_with(|_, _| Ok(()))
    }

    /// The tag buffer, with each tag's number and bytes given to `visit`.
    pub fn tags_with(&mut self, mut visit: impl FnMut(u32, &'a [u8]) -> Read<()>) -> Read<()> {
        if !self.flexible {
            return Ok(());
        }
        let count = self.unsigned_varint("tags")?;
        for _ in 0..count {
            let tag = self.unsigned_varint("tag")?;
            let size = self.unsigned_varint("tag size")? as usize;
            visit(tag, self.take("tag value", size)?)?;
        }
        Ok(())
    }

    /// A field that exists since `version`; before that it is `default`.
    pub fn since<T>(
        &mut self,
        version: i16,
        default: T,
        read: impl FnOnce(&mut Self) -> Read<T>,
    ) -> Read<T> {
        if self.version >= version { read(self) } else { Ok(default) }
    }

    /// A field that exists from version `first` to version `last`; outside it is `default`.
    pub fn within<T>(
        &mut self,
        first: i16,
        last: i16,
        default: T,
        read: impl FnOnce(&mut Self) -> Read<T>,
    ) -> Read<T> {
        if (first..=last).contains(&self.version) { read(self) } else { Ok(default) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_larger_than_the_message_is_refused() {
        let mut r = Reader::new(&[0x7f, 0xff, 0xff, 0xff, 0], 0, false);
        assert_eq!(
            r.array("topics"),
            Err(ReadError { field: "topics", problem: Problem::BadLength })
        );
        let mut r = Reader::new(&[0xff, 0xff, 0xff, 0xff, 0x0f], 9, true);
        assert_eq!(
            r.array("topics"),
            Err(ReadError { field: "topics", problem: Problem::BadLength })
        );
    }

    #[test]
    fn what_is_not_here_yet_is_truncated_and_what_cannot_come_is_a_bad_length() {
        let r = Reader::new(&[0, 0, 0, 9, 1, 2], 0, false);
        let read = |beyond| r.with_beyond(beyond).nullable_bytes("b").map_err(|e| e.problem);
        assert_eq!(read(6), Err(Problem::BadLength));
        assert_eq!(read(7), Err(Problem::Truncated));
        let mut r = r.with_beyond(7);
        assert_eq!(r.records_length("b"), Ok(Some(9)));
        assert_eq!(r.rest(), [1, 2]);
    }

    #[test]
    fn null_and_empty_differ_in_both_encodings() {
        assert_eq!(Reader::new(&[0xff, 0xff], 0, false).nullable_string("s"), Ok(None));
        assert_eq!(Reader::new(&[0, 0], 0, false).nullable_string("s"), Ok(Some("")));
        assert_eq!(Reader::new(&[0], 0, true).nullable_string("s"), Ok(None));
        assert_eq!(Reader::new(&[1], 0, true).nullable_string("s"), Ok(Some("")));
    }

    #[test]
    fn varints_agree_with_the_writer_over_the_whole_range() {
        for value in [0, 1, -1, 63, 64, -64, -65, 300, i32::MAX, i32::MIN] {
            let mut bytes = Vec::new();
            crate::wire::Writer::new(&mut bytes, 0, false).varint(value);
            assert_eq!(Reader::new(&bytes, 0, false).varint("v"), Ok(value));
        }
        for value in [0, 1, -1, i64::from(i32::MAX) + 1, i64::MAX, i64::MIN] {
            let mut bytes = Vec::new();
            crate::wire::Writer::new(&mut bytes, 0, false).varlong(value);
            assert_eq!(Reader::new(&bytes, 0, false).varlong("v"), Ok(value));
        }
    }

    #[test]
    fn endless_varints_are_refused() {
        assert!(Reader::new(&[0xff; 12], 0, false).unsigned_varint("v").is_err());
        assert!(Reader::new(&[0xff; 12], 0, false).varlong("v").is_err());
    }

    #[test]
    fn unknown_tags_are_skipped_and_truncated_ones_refused() {
        let mut r = Reader::new(&[1, 9, 2, 0xaa, 0xbb, 7], 3, true);
        assert_eq!(r.tags(), Ok(()));
        assert_eq!(r.rest(), &[7]);
        assert!(Reader::new(&[1, 9, 3, 0xaa, 0xbb], 3, true).tags().is_err());
    }

    fn xorshift(seed: &mut u64) -> u64 {
        *seed ^= *seed << 13;
        *seed ^= *seed >> 7;
        *seed ^= *seed << 17;
        *seed
    }

    /// Whether `part` lies inside `whole`, as memory.
    fn inside(part: &[u8], whole: &[u8]) -> bool {
        let (part, whole) = (part.as_ptr_range(), whole.as_ptr_range());
        whole.start <= part.start && part.end <= whole.end
    }

    /// Calls method `which` and tells how many bytes it handed out. All that it hands out lies in
    /// what was unread before, and no count is larger than what is unread after it.
    fn call(r: &mut Reader<'_>, which: u64, seed: &mut u64) -> Read<usize> {
        let unread = r.rest();
        let slice = |part: &[u8]| {
            assert!(part.is_empty() || inside(part, unread));
            part.len()
        };
        match which {
            0 => r.i8("f").map(|_| 1),
            1 => r.i16("f").map(|_| 2),
            2 => r.i32("f").map(|_| 4),
            3 => r.i64("f").map(|_| 8),
            4 => r.bool("f").map(|_| 1),
            5 => r.uuid("f").map(|id| id.len()),
            6 => r.unsigned_varint("f").map(|_| 1),
            7 => r.varint("f").map(|_| 1),
            8 => r.varlong("f").map(|_| 1),
            9 => r.string("f").map(|s| slice(s.as_bytes())),
            10 => r.nullable_string("f").map(|s| slice(s.unwrap_or_default().as_bytes())),
            11 => r.legacy_nullable_string("f").map(|s| slice(s.unwrap_or_default().as_bytes())),
            12 => r.bytes("f").map(slice),
            13 => r.nullable_bytes("f").map(|b| slice(b.unwrap_or_default())),
            14 => r.array("f").inspect(|count| assert!(*count <= r.rest().len())).map(|_| 1),
            15 => {
                let count = r.nullable_array("f")?.unwrap_or_default();
                assert!(count <= r.rest().len());
                Ok(1)
            }
            16 => r.tags().map(|()| 0),
            17 => {
                let mut handed_out = 0;
                r.tags_with(|_, value| {
                    handed_out += slice(value);
                    Ok(())
                })?;
                Ok(handed_out)
            }
            18 => r.since(5, 0, |r| r.i64("f").map(|_| 8)),
            19 => r.within(0, 5, 0, |r| r.i16("f").map(|_| 2)),
            _ => r.take("f", xorshift(seed) as usize % 64).map(slice),
        }
    }

    #[test]
    fn random_bytes_never_panic_and_never_give_more_than_was_there() {
        let mut seed = 0x9e37_79b9_7f4a_7c15;
        let (mut good, mut refused) = ([0u32; 21], [0u32; 21]);
        for round in 0..60_000u64 {
            let mut bytes = [0u8; 48];
            // Small numbers are often right as lengths, large ones hardly ever: some of each.
            let mask = if round % 3 == 0 { 0xff } else { 0x03 };
            bytes.iter_mut().for_each(|byte| *byte = xorshift(&mut seed) as u8 & mask);
            let length = xorshift(&mut seed) as usize % (bytes.len() + 1);
            let bytes = &bytes[..length];
            let version = (xorshift(&mut seed) % 10) as i16;
            let mut r = Reader::new(bytes, version, round % 2 == 0);
            for _ in 0..12 {
                let which = xorshift(&mut seed) % 21;
                let before = r.position();
                match call(&mut r, which, &mut seed) {
                    Ok(handed_out) => {
                        good[which as usize] += 1;
                        assert!(r.position() - before >= handed_out, "method {which}");
                    }
                    Err(_) => refused[which as usize] += 1,
                }
                assert!((before..=bytes.len()).contains(&r.position()), "method {which}");
                assert_eq!(r.rest(), &bytes[r.position()..]);
            }
        }
        // The chaos is worth something only if each method saw both.
        assert!(good.iter().chain(&refused).all(|count| *count > 100), "{good:?} {refused:?}");
    }

    #[test]
    fn every_truncation_of_a_good_message_is_refused_in_both_encodings() {
        for flexible in [false, true] {
            let mut bytes = Vec::new();
            let mut w = crate::wire::Writer::new(&mut bytes, 3, flexible);
            w.i64(1);
            w.string("topic");
            w.nullable_string(None);
            w.array(1);
            w.bytes(b"value");
            w.uuid(&[9; 16]);
            w.varlong(i64::MIN);
            w.bool(true);
            w.tags();
            let read = |bytes: &[u8]| -> Read<usize> {
                let mut r = Reader::new(bytes, 3, flexible);
                r.i64("a")?;
                assert_eq!(r.string("b")?, "topic");
                assert_eq!(r.nullable_string("c")?, None);
                assert_eq!(r.array("d")?, 1);
                assert_eq!(r.bytes("e")?, b"value");
                assert_eq!(r.uuid("f")?, [9; 16]);
                assert_eq!(r.varlong("g")?, i64::MIN);
                assert!(r.bool("h")?);
                r.tags()?;
                Ok(r.position())
            };
            assert_eq!(read(&bytes), Ok(bytes.len()));
            for end in 0..bytes.len() {
                assert!(read(&bytes[..end]).is_err(), "flexible: {flexible}, {end} bytes");
            }
        }
    }
}
