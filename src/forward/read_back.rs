//! A fetched piece of upstream's log, looked at while it comes: whose batches are in it.
//!
//! Upstream keeps the producer id, the epoch and the sequence in every batch's header, also when
//! it compresses anew, so that 61 bytes of each batch tell everything; the records are passed over
//! and never held. That is how a batch of any size costs no memory here.
//!
//! Promises: whatever arrives becomes figures or an error in words.
//! Absent: Fetch 12 and later: flexible fields have nothing for us, and every broker serves 4–11.

use super::link::AnswerWords;
use crate::wire::batch::{BatchHeader, HEADER_BYTES};
use crate::wire::{ErrorCode, Reader, Writer};

/// Bytes of an answer before its records: a name of 249 bytes fits. Aborted transactions are not
/// named to whom reads everything.
const HEAD_BYTES_MAX: usize = 384;

/// Writes the body of a Fetch request of version 4–11 for one partition.
pub fn write_fetch(
    w: &mut Writer<'_>,
    topic: &str,
    partition: i32,
    offset: i64,
    bytes_max: i32,
    wait_ms: i32,
) {
    w.i32(-1);
    w.i32(wait_ms);
    w.i32(1);
    w.i32(bytes_max);
    w.i8(0);
    w.since(7, |w| w.i32(0));
    w.since(7, |w| w.i32(-1));
    w.array(1);
    w.string(topic);
    w.array(1);
    w.i32(partition);
    w.since(9, |w| w.i32(-1));
    w.i64(offset);
    w.since(5, |w| w.i64(-1));
    w.i32(bytes_max);
    w.since(7, |w| w.array(0));
    w.since(11, |w| w.string(""));
}

/// What one answer has shown.
#[derive(Debug)]
pub struct Scanner {
    producer_id: i64,
    producer_epoch: i16,
    /// What went wrong.
    pub error: ErrorCode,
    /// Upstream's high watermark.
    pub high_watermark: i64,
    /// The upstream offset behind the last whole batch, or where the question began.
    pub next: i64,
    /// The last sequence number of our last batch.
    pub last_sequence: Option<i32>,
    head: heapless::Vec<u8, HEAD_BYTES_MAX>,
    in_records: bool,
    /// Bytes of a batch's records still to pass over.
    skip: usize,
    /// Upstream offset behind the batch that is being passed over.
    behind: i64,
}

impl Scanner {
    /// Looks for batches of this id and epoch, in what comes from upstream offset `from` on.
    pub fn new(producer_id: i64, producer_epoch: i16, from: i64) -> Scanner {
        Scanner {
            producer_id,
            producer_epoch,
            error: ErrorCode::None,
            high_watermark: -1,
            next: from,
            last_sequence: None,
            head: heapless::Vec::new(),
            in_records: false,
            skip: 0,
            behind: from,
        }
    }

    /// Takes the next bytes of the frame behind its length; `last` with the last of them.
    ///
    /// # Errors
    /// What cannot be, in words.
    pub fn feed(
        &mut self,
        mut bytes: &[u8],
        version: i16,
        correlation: i32,
        last: bool,
    ) -> Result<(), AnswerWords> {
        if !self.in_records {
            let held = self.head.len();
            self.head.extend_from_slice(&bytes[..bytes.len().min(HEAD_BYTES_MAX - held)]).ok();
            match self.read_head(version, correlation) {
                Ok(Some(consumed)) => {
                    self.in_records = true;
                    self.head.clear();
                    bytes = bytes.get(consumed.saturating_sub(held)..).unwrap_or_default();
                }
                Ok(None) => return Ok(()),
                Err(_) if !last && self.head.len() < HEAD_BYTES_MAX => return Ok(()),
                Err(words) => return Err(words),
            }
        }
        while !bytes.is_empty() {
            if self.skip > 0 {
                let passed = self.skip.min(bytes.len());
                bytes = &bytes[passed..];
                self.skip -= passed;
                if self.skip == 0 {
                    self.next = self.next.max(self.behind);
                }
                continue;
            }
            let missing = (HEADER_BYTES - self.head.len()).min(bytes.len());
            self.head.extend_from_slice(&bytes[..missing]).ok();
            bytes = &bytes[missing..];
            if self.head.len() == HEADER_BYTES {
                self.batch()?;
                self.head.clear();
            }
        }
        Ok(())
    }

    /// The bytes up to the records, once they are all there.
    fn read_head(&mut self, version: i16, correlation: i32) -> Result<Option<usize>, AnswerWords> {
        let mut r = Reader::new(&self.head, version, false);
        let words = |e: crate::wire::ReadError| {
            AnswerWords::of(format_args!("sent a Fetch answer without {e}"))
        };
        if r.i32("correlation_id").map_err(words)? != correlation {
            return Err("answered another request than the one that was asked".into());
        }
        r.i32("throttle_time_ms").map_err(words)?;
        let error = r.since(7, 0, |r| r.i16("error_code")).map_err(words)?;
        r.since(7, 0, |r| r.i32("session_id")).map_err(words)?;
        if r.array("topics").map_err(words)? == 0 {
            self.error = ErrorCode::from_i16(error).unwrap_or(ErrorCode::UnknownServerError);
            return Ok(None);
        }
        r.string("topic").map_err(words)?;
        r.array("partitions").map_err(words)?;
        r.i32("partition_index").map_err(words)?;
        let partition_error = r.i16("error_code").map_err(words)?;
        let high_watermark = r.i64("high_watermark").map_err(words)?;
        r.i64("last_stable_offset").map_err(words)?;
        r.since(5, 0, |r| r.i64("log_start_offset")).map_err(words)?;
        let aborted = r.nullable_array("aborted_transactions").map_err(words)?.unwrap_or(0);
        r.take("aborted_transactions", aborted.saturating_mul(16)).map_err(words)?;
        r.since(11, 0, |r| r.i32("preferred_read_replica")).map_err(words)?;
        r.i32("records").map_err(words)?;
        let code = if error == 0 { partition_error } else { error };
        self.error = ErrorCode::from_i16(code).unwrap_or(ErrorCode::UnknownServerError);
        self.high_watermark = high_watermark;
        Ok(Some(r.position()))
    }

    fn batch(&mut self) -> Result<(), AnswerWords> {
        // Only magic 2 carries producer ids; upstream converts nothing for Fetch 4 and later.
        let words = |_| AnswerWords::from("sent a record batch that cannot be read");
        let header = BatchHeader::read(&self.head).map_err(words)?;
        if header.producer_id == self.producer_id && header.producer_epoch == self.producer_epoch {
            // The highest: a request that the link held back may have come in behind a later one.
            let last = header.last_sequence();
            let before = self.last_sequence.unwrap_or(last);
            let ahead = (i64::from(last) - i64::from(before)).rem_euclid(1 << 31) < 1 << 30;
            self.last_sequence = Some(if ahead { last } else { before });
        }
        self.skip = header.total_bytes.saturating_sub(HEADER_BYTES);
        self.behind = header.next_offset();
        if self.skip == 0 {
            self.next = self.next.max(self.behind);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::record::{BatchBuilder, Producer};

    fn batch(base_offset: i64, producer_id: i64, sequence: i32) -> Vec<u8> {
        let producer = Producer { id: producer_id, epoch: 3, base_sequence: sequence };
        let mut builder = BatchBuilder::new(5).producer(producer);
        builder.push(5, None, Some(&[7; 300]), &[]);
        builder.push(6, None, Some(b"more"), &[]);
        let mut bytes = builder.finish();
        bytes[..8].copy_from_slice(&base_offset.to_be_bytes());
        bytes
    }

    fn answer(version: i16, error: i16, records: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut w = Writer::new(&mut bytes, version, false);
        w.i32(9);
        w.i32(0);
        w.since(7, |w| w.i16(0));
        w.since(7, |w| w.i32(0));
        w.array(1);
        w.string("site17.sensors");
        w.array(1);
        w.i32(2);
        w.i16(error);
        w.i64(77);
        w.i64(77);
        w.since(5, |w| w.i64(1));
        w.nullable_array(None);
        w.since(11, |w| w.i32(-1));
        w.i32(records.len() as i32);
        w.raw(records);
        bytes
    }

    #[test]
    fn our_last_batch_is_found_however_the_bytes_come() {
        let records = [batch(70, 4, 0), batch(72, 41, 8), batch(74, 41, 10), batch(76, 4, 2)];
        let mut records = records.concat();
        // The last batch is cut off: it does not count.
        records.truncate(records.len() - 9);
        for version in [4, 5, 7, 9, 11] {
            let bytes = answer(version, 0, &records);
            for piece in [1, 7, 61, 100, bytes.len()] {
                let mut scanner = Scanner::new(41, 3, 70);
                let count = bytes.len().div_ceil(piece);
                for (n, part) in bytes.chunks(piece).enumerate() {
                    scanner.feed(part, version, 9, n + 1 == count).unwrap();
                }
                assert_eq!(scanner.error, ErrorCode::None);
                assert_eq!(scanner.high_watermark, 77);
                assert_eq!(scanner.last_sequence, Some(11), "v{version} in {piece}s");
                assert_eq!(scanner.next, 76);
            }
        }
    }

    #[test]
    fn errors_and_nonsense_are_told_apart() {
        let mut scanner = Scanner::new(41, 3, 70);
        scanner.feed(&answer(11, 29, &[]), 11, 9, true).unwrap();
        assert_eq!(scanner.error, ErrorCode::TopicAuthorizationFailed);
        let mut scanner = Scanner::new(41, 3, 70);
        assert!(scanner.feed(&answer(11, 0, &[]), 11, 8, true).is_err());
        let mut scanner = Scanner::new(41, 3, 70);
        assert!(scanner.feed(&[0; 20], 11, 0, true).is_err() || scanner.next == 70);
        let mut scanner = Scanner::new(41, 3, 70);
        assert!(scanner.feed(&answer(11, 0, &[1; 90]), 11, 9, true).is_err());
    }
}
