//! One blocking connection to one broker: frames out, frames in, versions agreed.
//!
//! Promises: nothing waits without a deadline; every error is one sentence that names the address;
//! a response's buffer grows with the bytes that arrive, up to a bound. A Ctrl-C ends the wait of
//! an interruptible connection. Absent: pipelining; a tool asks one thing at a time.

use super::{Failure, stop};
use crate::client::frame::{decode, encode};
use crate::client::messages::api_versions::{ApiVersionsRequest, ApiVersionsResponse};
use crate::client::{Api, Request, Versions};
use crate::limits::{CLI_CONNECT_TIMEOUT_MS, CLI_RESPONSE_BYTES_MAX};
use crate::wire::ErrorCode;
use std::fmt;
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

/// How often a waiting read looks at the clock and at the stop flag.
const POLL: Duration = Duration::from_millis(100);

/// The port of a broker that is named without one.
const PORT_DEFAULT: u16 = 9092;

/// Why a call did not bring an answer.
#[derive(Debug, PartialEq, Eq)]
pub enum CallError {
    /// The connection is gone or was never there; another try may succeed.
    Broken(String),
    /// The other side and we have no version in common, or it sends what is no answer.
    Hopeless(String),
    /// A signal asked us to stop.
    Stopped,
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CallError::Broken(message) | CallError::Hopeless(message) => f.write_str(message),
            CallError::Stopped => f.write_str("interrupted"),
        }
    }
}

impl From<CallError> for Failure {
    fn from(error: CallError) -> Self {
        Failure::new(error)
    }
}

/// An open connection whose versions are known.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    address: String,
    client_id: String,
    versions: Versions,
    correlation_id: i32,
    timeout: Duration,
    interruptible: bool,
}

/// Host and port of an address as people write it: with or without port or `PLAINTEXT://`.
pub fn split_address(address: &str) -> Option<(&str, u16)> {
    let address = address.split_once("://").map_or(address, |(_, rest)| rest);
    let (host, port) = match address.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') || host.ends_with(']') => {
            (host, port.parse().ok()?)
        }
        _ => (address, PORT_DEFAULT),
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    (!host.is_empty()).then_some((host, port))
}

/// The reason of an I/O error in plain words, without the operating system's number.
fn reason(error: &std::io::Error) -> String {
    match error.kind() {
        ErrorKind::ConnectionRefused => "connection refused".to_owned(),
        ErrorKind::ConnectionReset => "connection reset".to_owned(),
        ErrorKind::BrokenPipe => "connection closed".to_owned(),
        ErrorKind::TimedOut | ErrorKind::WouldBlock => "timed out".to_owned(),
        ErrorKind::UnexpectedEof => "it closed the connection".to_owned(),
        _ => {
            let text = error.to_string();
            text.split(" (os error").next().unwrap_or_default().to_lowercase()
        }
    }
}

impl Connection {
    /// Connects and asks which versions are served.
    pub fn open(address: &str, client_id: &str, timeout: Duration) -> Result<Self, CallError> {
        let stream = dial(address)?;
        let mut connection = Connection {
            stream,
            address: address.to_owned(),
            client_id: client_id.to_owned(),
            versions: Versions::default(),
            correlation_id: 0,
            timeout,
            interruptible: false,
        };
        let versions = connection.ask_versions()?;
        connection.versions = Versions::new(&versions);
        Ok(connection)
    }

    /// Lets a signal end waits on this connection.
    pub fn interruptible(mut self) -> Self {
        self.interruptible = true;
        self
    }

    /// What the broker serves.
    pub fn versions(&self) -> &Versions {
        &self.versions
    }

    fn ask_versions(&mut self) -> Result<ApiVersionsResponse, CallError> {
        let request = ApiVersionsRequest {
            client_software_name: "ottla",
            client_software_version: env!("CARGO_PKG_VERSION"),
        };
        let newest = self.exchange(&request, Api::API_VERSIONS.version_max, self.timeout)?;
        if newest.error_code != ErrorCode::UnsupportedVersion {
            return Ok(newest);
        }
        self.exchange(&request, 0, self.timeout)
    }

    /// The version in which this broker and we speak an API.
    pub fn version_of(&self, api: Api) -> Result<i16, CallError> {
        self.versions.pick(api).ok_or_else(|| {
            let name = api.name;
            let address = &self.address;
            CallError::Hopeless(match self.versions.range(api.key) {
                None => format!("{address} does not serve {name}"),
                Some((min, max)) => format!(
                    "{address} serves {name} in versions {min} to {max}, ottla speaks {} to {}",
                    api.version_min, api.version_max
                ),
            })
        })
    }

    /// Asks and waits for the answer.
    pub fn call<R: Request>(&mut self, request: &R) -> Result<R::Response, CallError> {
        self.call_within(request, self.timeout)
    }

    /// Asks and waits for the answer, which may take `timeout`.
    pub fn call_within<R: Request>(
        &mut self,
        request: &R,
        timeout: Duration,
    ) -> Result<R::Response, CallError> {
        let version = self.version_of(R::API)?;
        self.exchange(request, version, timeout)
    }

    /// Sends what gets no answer (Produce with acks=0).
    pub fn send<R: Request>(&mut self, request: &R) -> Result<(), CallError> {
        let version = self.version_of(R::API)?;
        self.correlation_id = self.correlation_id.wrapping_add(1);
        self.write(&encode(request, version, self.correlation_id, &self.client_id))
    }

    fn exchange<R: Request>(
        &mut self,
        request: &R,
        version: i16,
        timeout: Duration,
    ) -> Result<R::Response, CallError> {
        self.correlation_id = self.correlation_id.wrapping_add(1);
        self.write(&encode(request, version, self.correlation_id, &self.client_id))?;
        let frame = self.read_frame(Instant::now() + timeout)?;
        decode::<R>(&frame, version, self.correlation_id).map_err(|error| {
            let name = R::API.name;
            CallError::Hopeless(format!("{} answers {name} with {error}", self.address))
        })
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), CallError> {
        self.stream.write_all(bytes).map_err(|error| self.broken(&error))
    }

    fn broken(&self, error: &std::io::Error) -> CallError {
        CallError::Broken(format!("lost the connection to {}: {}", self.address, reason(error)))
    }

    fn read_frame(&mut self, deadline: Instant) -> Result<Vec<u8>, CallError> {
        let mut frame = Vec::new();
        self.fill(&mut frame, 4, deadline)?;
        let length = frame.first_chunk().map_or(-1, |bytes| i32::from_be_bytes(*bytes));
        match usize::try_from(length) {
            Ok(length) if length <= CLI_RESPONSE_BYTES_MAX => {
                frame.clear();
                self.fill(&mut frame, length, deadline)?;
                Ok(frame)
            }
            _ => Err(CallError::Hopeless(format!(
                "{} does not speak Kafka's protocol (or expects TLS): \
                 it sends a frame of {length} bytes",
                self.address
            ))),
        }
    }

    /// Reads until `buffer` holds `length` bytes; it grows only with what arrives.
    fn fill(
        &mut self,
        buffer: &mut Vec<u8>,
        length: usize,
        deadline: Instant,
    ) -> Result<(), CallError> {
        let mut chunk = [0u8; 16 * 1024];
        while buffer.len() < length {
            let wanted = chunk.len().min(length - buffer.len());
            match self.stream.read(&mut chunk[..wanted]) {
                Ok(0) => return Err(self.broken(&ErrorKind::UnexpectedEof.into())),
                Ok(count) => buffer.extend_from_slice(&chunk[..count]),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error)
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) =>
                {
                    if self.interruptible && stop::requested() {
                        return Err(CallError::Stopped);
                    }
                    if Instant::now() >= deadline {
                        let address = &self.address;
                        let message = format!("{address} accepts connections but does not answer");
                        return Err(CallError::Broken(message));
                    }
                }
                Err(error) => return Err(self.broken(&error)),
            }
        }
        Ok(())
    }
}

fn dial(address: &str) -> Result<TcpStream, CallError> {
    let Some((host, port)) = split_address(address) else {
        return Err(CallError::Hopeless(format!("'{address}' is not an address (HOST:PORT)")));
    };
    let timeout = Duration::from_millis(CLI_CONNECT_TIMEOUT_MS);
    let unreachable = |why: String| {
        CallError::Broken(format!("{address} does not answer: {why}; is `ottla serve` running?"))
    };
    let resolved = (host, port).to_socket_addrs().map_err(|_| {
        CallError::Broken(format!("{address} does not answer: no host of the name {host} is known"))
    })?;
    let mut why = "no address behind the name".to_owned();
    for target in resolved {
        match TcpStream::connect_timeout(&target, timeout) {
            Ok(stream) => {
                let ready = stream
                    .set_nodelay(true)
                    .and_then(|()| stream.set_read_timeout(Some(POLL)))
                    .and_then(|()| stream.set_write_timeout(Some(timeout)));
                return ready.map(|()| stream).map_err(|error| unreachable(reason(&error)));
            }
            Err(error) => why = reason(&error),
        }
    }
    Err(unreachable(why))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_people_write_them() {
        assert_eq!(split_address("h:1"), Some(("h", 1)));
        assert_eq!(split_address("h"), Some(("h", 9092)));
        assert_eq!(split_address("PLAINTEXT://h:1"), Some(("h", 1)));
        assert_eq!(split_address("[::1]:1"), Some(("::1", 1)));
        assert_eq!(split_address("::1"), Some(("::1", 9092)));
        assert_eq!(split_address("h:x"), None);
        assert_eq!(split_address(":1"), None);
    }

    #[test]
    fn a_closed_port_is_one_sentence() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        drop(listener);
        let error = Connection::open(&address, "t", Duration::from_secs(1)).unwrap_err();
        let expected =
            format!("{address} does not answer: connection refused; is `ottla serve` running?");
        assert_eq!(error, CallError::Broken(expected));
    }

    #[test]
    fn what_is_no_kafka_broker_is_named_and_never_sizes_a_buffer() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").unwrap();
            // Whatever it asks, it gets no other answer.
            assert!(stream.read(&mut [0; 100]).is_ok());
        });
        let error = Connection::open(&address, "t", Duration::from_secs(5)).unwrap_err();
        assert!(error.to_string().contains("does not speak Kafka's protocol"), "{error}");
        server.join().unwrap();
    }
}
