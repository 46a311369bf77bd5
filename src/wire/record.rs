//! Records inside a batch: a bounds-checked iterator, and a builder for our own client side.
//!
//! Promises: the iterator yields at most as many records as bytes are there, whatever the batch
//! claims, and stops at the first error. Absent: compression; a caller hands in plain records.

use super::crc::crc32c;
use super::reader::{Problem, Read, ReadError, Reader};
use super::writer::Writer;

/// One record of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// Milliseconds after the batch's base timestamp.
    pub timestamp_delta: i64,
    /// Offset relative to the batch's base offset.
    pub offset_delta: i32,
    /// The key, or null.
    pub key: Option<&'a [u8]>,
    /// The value, or null (a tombstone).
    pub value: Option<&'a [u8]>,
    /// How many headers follow in `headers`.
    pub headers_count: i32,
    headers: &'a [u8],
}

impl<'a> Record<'a> {
    /// Calls `visit` with each header's key and value.
    ///
    /// # Errors
    /// The field that is malformed.
    pub fn headers(&self, mut visit: impl FnMut(&'a str, Option<&'a [u8]>)) -> Read<()> {
        let mut r = Reader::new(self.headers, 0, false);
        for _ in 0..self.headers_count {
            let key = nullable(&mut r, "header key")?.unwrap_or_default();
            let value = nullable(&mut r, "header value")?;
            visit(core::str::from_utf8(key).unwrap_or("?"), value);
        }
        Ok(())
    }
}

fn nullable<'a>(r: &mut Reader<'a>, field: &'static str) -> Read<Option<&'a [u8]>> {
    match r.varint(field)? {
        length if length < 0 => Ok(None),
        length => r.take(field, length as usize).map(Some),
    }
}

/// Where and when a record is, without what it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordHead {
    /// Bytes of the whole record, its length included.
    pub total_bytes: usize,
    /// Milliseconds after the batch's base timestamp.
    pub timestamp_delta: i64,
    /// Offset relative to the batch's base offset.
    pub offset_delta: i32,
}

impl RecordHead {
    /// Bytes in which every head fits: two numbers of 32 bits, one of 64, and the attributes.
    pub const BYTES_MAX: usize = 5 + 1 + 10 + 5;

    /// Reads the head of the record that begins `bytes`, of which the rest need not be there.
    ///
    /// # Errors
    /// The field that is malformed.
    pub fn read(bytes: &[u8]) -> Read<RecordHead> {
        let mut r = Reader::new(bytes, 0, false);
        let (field, problem) = ("record length", Problem::BadLength);
        let length = usize::try_from(r.varint(field)?).map_err(|_| ReadError { field, problem })?;
        let body = r.position();
        r.i8("record attributes")?;
        let head = RecordHead {
            total_bytes: body + length,
            timestamp_delta: r.varlong("timestamp_delta")?,
            offset_delta: r.varint("offset_delta")?,
        };
        // No field may lie behind the record's own end.
        if r.position() > head.total_bytes {
            return Err(ReadError { field, problem });
        }
        Ok(head)
    }
}

/// The records of an uncompressed (or decompressed) batch.
#[derive(Clone, Debug)]
pub struct Records<'a> {
    r: Reader<'a>,
    left: i32,
}

impl<'a> Records<'a> {
    /// An iterator over `count` records in `bytes`.
    pub fn new(bytes: &'a [u8], count: i32) -> Self {
        Records { r: Reader::new(bytes, 0, false), left: if bytes.is_empty() { 0 } else { count } }
    }

    /// Whether there are as many records as claimed, numbered from 0 without a gap, and nothing
    /// behind the last one (`LogValidator` of Apache Kafka asks the same).
    pub fn are_complete(mut self) -> bool {
        let mut expected = 0;
        for record in self.by_ref() {
            if record.is_ok_and(|record| record.offset_delta == expected) {
                expected += 1;
            } else {
                return false;
            }
        }
        self.r.rest().is_empty()
    }

    fn read(&mut self) -> Result<Record<'a>, ReadError> {
        let length = self.r.varint("record length")?;
        let body = self.r.take("record", usize::try_from(length).unwrap_or(usize::MAX))?;
        let mut r = Reader::new(body, 0, false);
        r.i8("record attributes")?;
        Ok(Record {
            timestamp_delta: r.varlong("timestamp_delta")?,
            offset_delta: r.varint("offset_delta")?,
            key: nullable(&mut r, "key")?,
            value: nullable(&mut r, "value")?,
            headers_count: r.varint("headers_count")?,
            headers: r.rest(),
        })
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<Record<'a>, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.left <= 0 {
            return None;
        }
        self.left -= 1;
        let record = self.read();
        if record.is_err() {
            self.left = 0;
        }
        Some(record)
    }
}

/// Who wrote a batch, for idempotent producers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Producer {
    /// Producer id.
    pub id: i64,
    /// Producer epoch.
    pub epoch: i16,
    /// Sequence number of the batch's first record.
    pub base_sequence: i32,
}

/// Builds one batch for our own client side and for tests.
pub struct BatchBuilder {
    base_timestamp: i64,
    max_timestamp: i64,
    count: i32,
    producer: Option<Producer>,
    records: Vec<u8>,
}

impl BatchBuilder {
    /// An empty batch; timestamps are in milliseconds since 1970.
    pub fn new(base_timestamp: i64) -> Self {
        BatchBuilder {
            base_timestamp,
            max_timestamp: base_timestamp,
            count: 0,
            producer: None,
            records: Vec::new(),
        }
    }

    /// Makes it an idempotent producer's batch.
    pub fn producer(mut self, producer: Producer) -> Self {
        self.producer = Some(producer);
        self
    }

    /// How many records it holds.
    pub fn count(&self) -> i32 {
        self.count
    }

    /// Adds a record.
    pub fn push(
        &mut self,
        timestamp: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[(&str, Option<&[u8]>)],
    ) {
        let mut body = Vec::new();
        let mut w = Writer::new(&mut body, 0, false);
        w.i8(0);
        w.varlong(timestamp - self.base_timestamp);
        w.varint(self.count);
        put(&mut w, key);
        put(&mut w, value);
        w.varint(headers.len() as i32);
        for (key, value) in headers {
            put(&mut w, Some(key.as_bytes()));
            put(&mut w, *value);
        }
        let mut w = Writer::new(&mut self.records, 0, false);
        w.varint(body.len() as i32);
        w.raw(&body);
        self.count += 1;
        self.max_timestamp = self.max_timestamp.max(timestamp);
    }

    /// The uncompressed batch.
    pub fn finish(self) -> Vec<u8> {
        self.finish_with(0, |records| records)
    }

    /// The batch with its records sent through `compress`, and that codec's number as attributes.
    pub fn finish_with(
        self,
        attributes: i16,
        compress: impl FnOnce(Vec<u8>) -> Vec<u8>,
    ) -> Vec<u8> {
        let records = compress(self.records);
        let producer = self.producer.unwrap_or(Producer { id: -1, epoch: -1, base_sequence: -1 });
        let mut covered = Vec::with_capacity(40 + records.len());
        let mut w = Writer::new(&mut covered, 0, false);
        w.i16(attributes);
        w.i32(self.count - 1);
        w.i64(self.base_timestamp);
        w.i64(self.max_timestamp);
        w.i64(producer.id);
        w.i16(producer.epoch);
        w.i32(producer.base_sequence);
        w.i32(self.count);
        w.raw(&records);
        let mut bytes = Vec::with_capacity(21 + covered.len());
        let mut w = Writer::new(&mut bytes, 0, false);
        w.i64(0);
        w.i32(covered.len() as i32 + 9);
        w.i32(-1);
        w.i8(2);
        w.i32(crc32c(&covered) as i32);
        w.raw(&covered);
        bytes
    }
}

fn put(w: &mut Writer<'_>, bytes: Option<&[u8]>) {
    w.varint(bytes.map_or(-1, |b| b.len() as i32));
    w.raw(bytes.unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_come_back() {
        let mut builder = BatchBuilder::new(0);
        builder.push(0, None, None, &[("a", Some(b"1")), ("b", None)]);
        let bytes = builder.finish();
        let record = Records::new(&bytes[61..], 1).next().unwrap().unwrap();
        let mut seen = Vec::new();
        record.headers(|key, value| seen.push((key, value))).unwrap();
        assert_eq!(seen, [("a", Some(&b"1"[..])), ("b", None)]);
    }

    #[test]
    fn a_batch_that_claims_more_records_than_it_has_ends_with_one_error() {
        let mut builder = BatchBuilder::new(0);
        builder.push(0, None, Some(b"x"), &[]);
        let bytes = builder.finish();
        let all: Vec<_> = Records::new(&bytes[61..], i32::MAX).collect();
        assert_eq!(all.len(), 2);
        assert!(all[1].is_err());
    }

    #[test]
    fn heads_are_those_of_the_records_and_none_is_longer_than_its_record() {
        let mut builder = BatchBuilder::new(1_000);
        for (n, time) in [1_000, 999, i64::MAX, 0].into_iter().enumerate() {
            builder.push(time, Some(b"key"), Some(&vec![7; 200 * n]), &[("h", None)]);
        }
        let bytes = builder.finish();
        let (mut at, mut seen) = (61, Vec::new());
        while at < bytes.len() {
            let end = bytes.len().min(at + RecordHead::BYTES_MAX);
            let head = RecordHead::read(&bytes[at..end]).unwrap();
            seen.push((head.timestamp_delta, head.offset_delta));
            at += head.total_bytes;
        }
        assert_eq!(at, bytes.len());
        let records = Records::new(&bytes[61..], 4).map(Result::unwrap);
        let expected: Vec<_> = records.map(|r| (r.timestamp_delta, r.offset_delta)).collect();
        assert_eq!(seen, expected);
        // A length of 2 ends in front of the offset; one of -1 is none.
        assert!(RecordHead::read(&[4, 0, 0, 0]).is_err());
        assert!(RecordHead::read(&[1, 0, 0, 0]).is_err());
        assert!(RecordHead::read(&[6, 0, 0]).is_err(), "it is cut off");
    }

    #[test]
    fn random_bytes_never_panic() {
        let mut seed = 0x9e37_79b9_7f4a_7c15u64;
        for _ in 0..20_000 {
            let mut bytes = [0u8; 40];
            for byte in &mut bytes {
                seed ^= seed << 13;
                seed ^= seed >> 7;
                seed ^= seed << 17;
                *byte = seed as u8;
            }
            for record in Records::new(&bytes, 100).flatten() {
                record.headers(|_, _| ()).ok();
            }
            RecordHead::read(&bytes).ok();
        }
    }
}
