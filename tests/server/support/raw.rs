//! A bare socket that speaks just enough Kafka, to say what no client library says.
//!
//! Promises: reading waits at most `PATIENCE`, and tells an answer from a closed connection.

use super::PATIENCE;
use ottla::wire::record::BatchBuilder;
use ottla::wire::{Reader, Writer};
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// A connection.
pub struct Raw {
    socket: TcpStream,
}

/// One request, its frame length included. `body` writes what follows the header.
pub fn request(
    key: i16,
    version: i16,
    correlation_id: i32,
    flexible: bool,
    body: impl FnOnce(&mut Writer<'_>),
) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut w = Writer::new(&mut bytes, version, flexible);
    w.i32(0);
    w.i16(key);
    w.i16(version);
    w.i32(correlation_id);
    // The client id keeps its int16 length in flexible versions.
    w.i16(3);
    w.raw(b"raw");
    w.tags();
    body(&mut w);
    let length = w.position() - 4;
    w.patch_i32(0, length as i32);
    bytes
}

/// ApiVersions, version 0.
pub fn api_versions(correlation_id: i32) -> Vec<u8> {
    request(18, 0, correlation_id, false, |_| {})
}

/// Metadata of one topic, which is created if need be. Version 1.
pub fn metadata(correlation_id: i32, topic: &str) -> Vec<u8> {
    request(3, 1, correlation_id, false, |w| {
        w.array(1);
        w.string(topic);
    })
}

/// Produce of one record to partition 0. Version 3.
pub fn produce(correlation_id: i32, acks: i16, topic: &str, value: &[u8]) -> Vec<u8> {
    let mut batch = BatchBuilder::new(1_600_000_000_000);
    batch.push(1_600_000_000_000, None, Some(value), &[]);
    produce_batch(correlation_id, acks, topic, &batch.finish())
}

/// Produce of these bytes to partition 0. Version 3.
pub fn produce_batch(correlation_id: i32, acks: i16, topic: &str, records: &[u8]) -> Vec<u8> {
    request(0, 3, correlation_id, false, |w| {
        w.nullable_string(None);
        w.i16(acks);
        w.i32(10_000);
        w.array(1);
        w.string(topic);
        w.array(1);
        w.i32(0);
        w.bytes(records);
    })
}

/// Fetch of partition 0 from `offset` on. Version 4.
pub fn fetch(
    correlation_id: i32,
    topic: &str,
    offset: i64,
    min_bytes: i32,
    max_wait_ms: i32,
) -> Vec<u8> {
    request(1, 4, correlation_id, false, |w| {
        w.i32(-1);
        w.i32(max_wait_ms);
        w.i32(min_bytes);
        w.i32(1 << 20);
        w.i8(0);
        w.array(1);
        w.string(topic);
        w.array(1);
        w.i32(0);
        w.i64(offset);
        w.i32(1 << 20);
    })
}

/// What a fetch of one partition brought.
pub struct Fetched {
    pub error: i16,
    pub high_watermark: i64,
    pub records: Vec<u8>,
}

/// The answer to [`fetch`], without its length and correlation id.
pub fn read_fetch(answer: &[u8]) -> Fetched {
    let mut r = Reader::new(answer, 4, false);
    let mut read = || {
        r.i32("throttle_time_ms")?;
        assert_eq!(r.array("responses")?, 1);
        r.string("topic")?;
        assert_eq!(r.array("partitions")?, 1);
        r.i32("partition_index")?;
        let error = r.i16("error_code")?;
        let high_watermark = r.i64("high_watermark")?;
        r.i64("last_stable_offset")?;
        r.nullable_array("aborted_transactions")?;
        let records = r.nullable_bytes("records")?.unwrap_or_default().to_vec();
        Ok::<_, ottla::wire::ReadError>(Fetched { error, high_watermark, records })
    };
    read().expect("a Fetch answer")
}

/// The answer to [`produce`]: error code and base offset.
pub fn read_produce(answer: &[u8]) -> (i16, i64) {
    let mut r = Reader::new(answer, 3, false);
    let mut read = || {
        assert_eq!(r.array("responses")?, 1);
        r.string("name")?;
        assert_eq!(r.array("partition_responses")?, 1);
        r.i32("index")?;
        Ok::<_, ottla::wire::ReadError>((r.i16("error_code")?, r.i64("base_offset")?))
    };
    read().expect("a Produce answer")
}

/// The broker's host and port in the answer to [`metadata`].
pub fn read_advertised(answer: &[u8]) -> (String, i32) {
    let mut r = Reader::new(answer, 1, false);
    let mut read = || {
        assert_eq!(r.array("brokers")?, 1);
        r.i32("node_id")?;
        Ok::<_, ottla::wire::ReadError>((r.string("host")?.to_string(), r.i32("port")?))
    };
    read().expect("a Metadata answer")
}

impl Raw {
    /// Connects.
    pub fn connect(address: SocketAddr) -> Raw {
        let socket = TcpStream::connect(address).expect("it accepts");
        socket.set_nodelay(true).expect("a socket");
        socket.set_read_timeout(Some(PATIENCE)).expect("a socket");
        Raw { socket }
    }

    /// Sends bytes. A broker that has closed already is not this function's business.
    pub fn send(&mut self, bytes: &[u8]) {
        self.socket.write_all(bytes).ok();
    }

    /// The next answer: its correlation id and what follows, or `None` if the broker closed.
    pub fn receive(&mut self) -> Option<(i32, Vec<u8>)> {
        let mut length = [0; 4];
        match self.socket.read_exact(&mut length) {
            Ok(()) => {}
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset | ErrorKind::BrokenPipe
                ) =>
            {
                return None;
            }
            Err(error) => panic!("no answer: {error}"),
        }
        let mut frame = vec![0; i32::from_be_bytes(length) as usize];
        self.socket.read_exact(&mut frame).expect("a whole answer");
        let body = frame.split_off(4);
        let correlation_id = i32::from_be_bytes(frame.try_into().expect("four bytes"));
        Some((correlation_id, body))
    }

    /// Sends a request and returns the body of its answer.
    pub fn ask(&mut self, request: &[u8]) -> Vec<u8> {
        self.send(request);
        let (correlation_id, body) = self.receive().expect("an answer");
        assert_eq!(request[8..12], correlation_id.to_be_bytes(), "the answer to another request");
        body
    }

    /// Whether nothing at all arrives within `time`, and the connection stays open.
    pub fn is_silent(&mut self, time: Duration) -> bool {
        self.socket.set_read_timeout(Some(time)).expect("a socket");
        let result = self.socket.read(&mut [0]);
        self.socket.set_read_timeout(Some(PATIENCE)).expect("a socket");
        let kind = result.err().map(|error| error.kind());
        matches!(kind, Some(ErrorKind::WouldBlock | ErrorKind::TimedOut))
    }
}
