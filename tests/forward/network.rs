//! Connections between the machine and upstream: slow, in pieces, cut anywhere, or silent.
//!
//! A connection is two streams of bytes that arrive in order after a while. A server takes one
//! request of a connection at a time, as Kafka's does, and what it has taken it carries out, even
//! when the connection is gone by then.

use crate::random::Random;

/// What connections may expect, for a while.
#[derive(Clone, Debug)]
pub struct Weather {
    /// Of a hundred attempts, so many are refused.
    pub refused_percent: u64,
    /// Nobody answers at all.
    pub unanswered_percent: u64,
    /// Of a hundred connections, so many are cut somewhere.
    pub cut_percent: u64,
    /// They are cut within so many bytes.
    pub cut_bytes: u64,
    /// Of those that are cut, so many fall silent instead.
    pub silent_percent: u64,
    /// Milliseconds of a way.
    pub latency_ms: (u64, u64),
    /// Milliseconds that a server takes before it carries out a request.
    pub thinking_ms: (u64, u64),
    /// Of a hundred connections, so many deliver byte by byte.
    pub bytewise_percent: u64,
    /// Of a hundred connections, so many deliver in pieces.
    pub pieces_percent: u64,
    /// Of a hundred connections, so many take only pieces of what is to be sent.
    pub narrow_percent: u64,
}

impl Weather {
    /// Everything works.
    pub fn fine() -> Weather {
        Weather {
            refused_percent: 0,
            unanswered_percent: 0,
            cut_percent: 0,
            cut_bytes: 1,
            silent_percent: 0,
            latency_ms: (1, 3),
            thinking_ms: (0, 1),
            bytewise_percent: 0,
            pieces_percent: 10,
            narrow_percent: 0,
        }
    }

    /// Any weather.
    pub fn any(random: &mut Random) -> Weather {
        if random.chance(20) {
            return Weather::fine();
        }
        let low = random.between(0, 20);
        let zombies = random.chance(40);
        Weather {
            refused_percent: random.pick(&[0, 0, 10, 50]),
            unanswered_percent: random.pick(&[0, 0, 0, 20]),
            cut_percent: random.pick(&[0, 20, 60, 100]),
            cut_bytes: random.pick(&[200, 2_000, 20_000]),
            silent_percent: random.pick(&[0, 0, 20, 50]),
            latency_ms: (low, low + random.pick(&[1, 30, 300])),
            thinking_ms: (0, if zombies { random.pick(&[50, 500, 3_000]) } else { 2 }),
            bytewise_percent: random.pick(&[0, 0, 3]),
            pieces_percent: random.pick(&[0, 30, 100]),
            narrow_percent: random.pick(&[0, 0, 30]),
        }
    }
}

/// How a stream is cut into pieces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pieces {
    Whole,
    Some,
    Bytes,
}

/// One direction.
#[derive(Clone, Debug)]
struct Stream {
    /// Bytes until it is cut.
    left: u64,
    /// When the last byte that is under way arrives.
    last_at: u64,
}

/// A connection.
#[derive(Clone, Debug)]
pub struct Connection {
    pub link: u32,
    pub server: usize,
    /// Open, as the machine knows it.
    pub open: bool,
    /// The machine has let go of it, or it was told that it is gone.
    pub over: bool,
    /// The server still reads from it.
    pub read: bool,
    /// A request of it is being carried out.
    pub busy: bool,
    /// Nothing gets through any more, and nobody is told.
    pub silent: bool,
    /// The socket takes nothing before this.
    pub full_until: u64,
    /// Bytes that arrived at the server.
    pub arrived: Vec<u8>,
    /// Bytes that the machine has not taken yet.
    pub delivered: Vec<u8>,
    up: Stream,
    down: Stream,
    becomes_silent: bool,
    pieces: Pieces,
    narrow: bool,
    latency_ms: (u64, u64),
}

/// What becomes of bytes that were sent.
pub struct Sent {
    /// Pieces and when they arrive.
    pub pieces: Vec<(u64, Vec<u8>)>,
    /// The connection is cut behind them, then.
    pub cut_at: Option<u64>,
}

impl Connection {
    /// A connection as the weather has it.
    pub fn new(link: u32, server: usize, weather: &Weather, random: &mut Random) -> Connection {
        let is_cut = random.chance(weather.cut_percent);
        let mut limit = || if is_cut { random.below(weather.cut_bytes) } else { u64::MAX };
        let (mut up, mut down) = (limit(), limit());
        if is_cut {
            // One of the two is met first; often, the other not at all.
            match random.below(3) {
                0 => up = u64::MAX,
                1 => down = u64::MAX,
                _ => {}
            }
        }
        let pieces = match () {
            () if random.chance(weather.bytewise_percent) => Pieces::Bytes,
            () if random.chance(weather.pieces_percent) => Pieces::Some,
            () => Pieces::Whole,
        };
        Connection {
            link,
            server,
            open: false,
            over: false,
            read: true,
            busy: false,
            silent: false,
            full_until: 0,
            arrived: Vec::new(),
            delivered: Vec::new(),
            up: Stream { left: up, last_at: 0 },
            down: Stream { left: down, last_at: 0 },
            becomes_silent: random.chance(weather.silent_percent),
            pieces,
            narrow: random.chance(weather.narrow_percent),
            latency_ms: weather.latency_ms,
        }
    }

    /// No plans to cut it any more.
    pub fn spare(&mut self) {
        self.up.left = u64::MAX;
        self.down.left = u64::MAX;
        self.latency_ms = (1, 3);
        self.narrow = false;
    }

    /// How many of `bytes` the socket takes now.
    pub fn takes(&self, bytes: usize, random: &mut Random) -> usize {
        if self.narrow && bytes > 1 { random.between(1, bytes as u64) as usize } else { bytes }
    }

    /// Sends bytes one way.
    pub fn send(&mut self, upwards: bool, bytes: &[u8], now: u64, random: &mut Random) -> Sent {
        let mut sent = Sent { pieces: Vec::new(), cut_at: None };
        if self.silent || self.over {
            return sent;
        }
        let latency_ms = random.between(self.latency_ms.0, self.latency_ms.1);
        let pieces = self.pieces;
        let stream = if upwards { &mut self.up } else { &mut self.down };
        let take = (bytes.len() as u64).min(stream.left) as usize;
        stream.left -= if stream.left == u64::MAX { 0 } else { take as u64 };
        let mut at = stream.last_at.max(now + latency_ms);
        let mut rest = &bytes[..take];
        // Our own parser is tried byte by byte; upstream's is not what is tested.
        while !rest.is_empty() {
            let size = match pieces {
                Pieces::Bytes if !upwards && rest.len() < 400 => 1,
                Pieces::Some | Pieces::Bytes if !upwards || random.chance(30) => {
                    random.between(1, rest.len() as u64) as usize
                }
                _ => rest.len(),
            };
            sent.pieces.push((at, rest[..size].to_vec()));
            rest = &rest[size..];
            at += random.below(2);
        }
        stream.last_at = at;
        if take < bytes.len() {
            if self.becomes_silent {
                self.silent = true;
            } else {
                sent.cut_at = Some(at);
            }
        }
        sent
    }

    /// The next whole request that arrived.
    pub fn next_frame(&mut self) -> Option<Vec<u8>> {
        let length = self.arrived.first_chunk::<4>()?;
        let length = u32::from_be_bytes(*length) as usize;
        assert!(length < 8 << 20, "a request of {length} bytes");
        let frame = self.arrived.get(4..4 + length)?.to_vec();
        self.arrived.drain(..4 + length);
        Some(frame)
    }
}
