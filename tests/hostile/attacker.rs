//! Somebody who means harm, or is broken: connections from an address of its own.
//!
//! Promises: every address of 127.0.0.0/8 is a different client to the broker, so its log tells
//! which attack a line belongs to; nothing here waits for longer than `PATIENCE`.
//! Absent: judging the broker (`victim`).

use rustix::net::{AddressFamily, SocketType, bind, connect, socket, sockopt};
use std::cell::Cell;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

/// How long a read or a write may take before the attacker gives up.
const PATIENCE: Duration = Duration::from_secs(5);

/// One attack's client.
pub struct Attacker {
    pub target: SocketAddr,
    pub from: Ipv4Addr,
    pub connections: Cell<u32>,
    pub requests: Cell<u32>,
}

/// Connections that stay open until the well-behaved client has been asked how it is served.
pub type Held = Vec<TcpStream>;

impl Attacker {
    /// One that comes from 127.0.`group`.`number`.
    pub fn new(target: SocketAddr, number: u8) -> Attacker {
        let from = Ipv4Addr::new(127, 0, 66, number);
        Attacker { target, from, connections: Cell::new(0), requests: Cell::new(0) }
    }

    /// A connection.
    pub fn connect(&self) -> TcpStream {
        self.connect_with_window(0)
    }

    /// A connection whose kernel takes few bytes that nobody reads; 0 is the kernel's choice.
    pub fn connect_with_window(&self, receive_bytes: usize) -> TcpStream {
        let socket = socket(AddressFamily::INET, SocketType::STREAM, None).expect("a socket");
        if receive_bytes > 0 {
            sockopt::set_socket_recv_buffer_size(&socket, receive_bytes).expect("a socket");
        }
        bind(&socket, &SocketAddr::from((self.from, 0))).expect("an address of this machine");
        connect(&socket, &self.target).expect("it accepts");
        let stream = TcpStream::from(socket);
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
        stream.set_write_timeout(Some(PATIENCE)).expect("a socket");
        stream.set_nodelay(true).expect("a socket");
        self.connections.set(self.connections.get() + 1);
        stream
    }

    /// Counts requests that were sent.
    pub fn sent(&self, requests: usize) {
        self.requests.set(self.requests.get() + requests as u32);
    }

    /// A connection, these bytes, and nothing more: what is answered until the broker closes.
    pub fn one_shot(&self, bytes: &[u8]) -> Vec<u8> {
        let mut stream = self.connect();
        self.sent(1);
        // The broker may close before it has everything.
        stream.write_all(bytes).ok();
        stream.shutdown(Shutdown::Write).ok();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).ok();
        answer
    }

    /// A connection on which these bytes were sent, as far as the broker took them.
    pub fn send(&self, bytes: &[u8]) -> TcpStream {
        let mut stream = self.connect();
        self.sent(1);
        stream.write_all(bytes).ok();
        stream
    }

    /// Sends requests one behind the other and reads their answers meanwhile: how many came.
    pub fn pipeline(&self, requests: &[Vec<u8>]) -> usize {
        let mut stream = self.connect();
        self.sent(requests.len());
        let all = requests.concat();
        let mut writer = stream.try_clone().expect("a socket");
        let writing = std::thread::spawn(move || writer.write_all(&all).is_ok());
        let count = (0..requests.len()).take_while(|_| read_frame(&mut stream).is_some()).count();
        stream.shutdown(Shutdown::Both).ok();
        writing.join().ok();
        count
    }
}

/// The next answer, without its length.
pub fn read_frame(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let mut length = [0; 4];
    stream.read_exact(&mut length).ok()?;
    let mut frame = vec![0; i32::from_be_bytes(length) as usize];
    stream.read_exact(&mut frame).ok()?;
    Some(frame)
}

/// A linear congruential generator: the same bytes in every run.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u32 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as u32
    }

    /// Fewer than `bytes_max` bytes.
    pub fn bytes(&mut self, bytes_max: u32) -> Vec<u8> {
        (0..self.next() % bytes_max).map(|_| self.next() as u8).collect()
    }
}
