//! One connection of a life: a request goes out, an answer comes back, sooner or later or never.
//!
//! Promises: nothing waits longer than it was told; what has arrived can be asked for without
//! waiting; a closed connection is told from silence.

use crate::codec::Put;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// How long an answer may take that is due at once. Machines that run tests are busy.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A connection.
pub struct Connection {
    socket: TcpStream,
    arrived: Vec<u8>,
    correlation_id: i32,
}

impl Connection {
    /// Connects.
    pub fn open(address: SocketAddr) -> Connection {
        let socket = TcpStream::connect(address).expect("it accepts");
        socket.set_nodelay(true).expect("a socket");
        Connection { socket, arrived: Vec::new(), correlation_id: 0 }
    }

    /// Sends what `encode` makes of a new correlation id.
    pub fn send(&mut self, encode: impl FnOnce(i32) -> Vec<u8>) {
        self.correlation_id += 1;
        let bytes = encode(self.correlation_id);
        self.socket.write_all(&bytes).expect("it reads");
    }

    /// The answer to the last request, without its correlation id, once it has come.
    pub fn receive(&mut self, patience: Duration) -> Option<Vec<u8>> {
        let end = Instant::now() + patience;
        loop {
            if let Some(body) = self.frame() {
                return Some(body);
            }
            let left = end.saturating_duration_since(Instant::now());
            self.socket.set_nonblocking(left.is_zero()).expect("a socket");
            if !left.is_zero() {
                self.socket.set_read_timeout(Some(left)).expect("a socket");
            }
            let mut bytes = [0; 4096];
            let read = self.socket.read(&mut bytes);
            self.socket.set_nonblocking(false).expect("a socket");
            match read {
                Ok(0) => panic!("the broker closed the connection"),
                Ok(count) => self.arrived.extend(&bytes[..count]),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error)
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) =>
                {
                    if left.is_zero() {
                        return None;
                    }
                }
                Err(error) => panic!("the connection broke: {error}"),
            }
        }
    }

    fn frame(&mut self) -> Option<Vec<u8>> {
        let length = u32::from_be_bytes(*self.arrived.first_chunk()?) as usize;
        if self.arrived.len() < 4 + length {
            return None;
        }
        let frame: Vec<u8> = self.arrived.drain(..4 + length).skip(4).collect();
        let (id, body) = frame.split_first_chunk().expect("a correlation id");
        assert_eq!(i32::from_be_bytes(*id), self.correlation_id, "an answer nobody waits for");
        Some(body.to_vec())
    }

    /// Sends a request that is answered at once.
    pub fn ask(
        &mut self,
        key: i16,
        version: i16,
        flexible_since: i16,
        body: impl FnOnce(&mut Put),
    ) -> Vec<u8> {
        self.send(|id| {
            let mut p = Put::request(key, version, flexible_since, id, "onlooker");
            body(&mut p);
            p.finish()
        });
        self.receive(PATIENCE).unwrap_or_else(|| panic!("no answer to key {key} v{version}"))
    }
}
