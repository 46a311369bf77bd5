//! The link: a proxy on this machine that counts what goes through.
//!
//! Promises: counts the bytes of the TCP streams, both ways, of every connection, as they are
//! passed on. Absent: headers of TCP and IP, which are the same for everybody who sends as often.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::thread;

/// Bytes that went through.
#[derive(Default)]
struct Counts {
    up: AtomicU64,
    down: AtomicU64,
}

/// A proxy that runs until the program ends.
pub struct Proxy {
    /// Where it listens.
    pub address: SocketAddr,
    target: Arc<OnceLock<SocketAddr>>,
    counts: Arc<Counts>,
}

impl Proxy {
    /// A proxy without a target: what connects is hung up on.
    pub fn start() -> Proxy {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address = listener.local_addr().expect("an address");
        let (target, counts) = (Arc::new(OnceLock::new()), Arc::new(Counts::default()));
        let (to, counted) = (Arc::clone(&target), Arc::clone(&counts));
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if let Some(server) = to.get().and_then(|to| TcpStream::connect(to).ok()) {
                    join(client, server, &counted);
                }
            }
        });
        Proxy { address, target, counts }
    }

    /// Where connections lead from now on.
    pub fn lead_to(&self, target: SocketAddr) {
        self.target.set(target).expect("it is said once");
    }

    /// Bytes so far: up, and down.
    pub fn counts(&self) -> [u64; 2] {
        [self.counts.up.load(Relaxed), self.counts.down.load(Relaxed)]
    }
}

fn join(client: TcpStream, server: TcpStream, counts: &Arc<Counts>) {
    let clones = (client.try_clone().expect("a socket"), server.try_clone().expect("a socket"));
    client.set_nodelay(true).and(server.set_nodelay(true)).ok();
    let counted = Arc::clone(counts);
    thread::spawn(move || pass(client, server, &counted.up));
    let counted = Arc::clone(counts);
    thread::spawn(move || pass(clones.1, clones.0, &counted.down));
}

fn pass(mut from: TcpStream, mut to: TcpStream, count: &AtomicU64) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(bytes @ 1..) = from.read(&mut buffer) {
        count.fetch_add(bytes as u64, Relaxed);
        if to.write_all(&buffer[..bytes]).is_err() {
            break;
        }
    }
    to.shutdown(Shutdown::Write).ok();
    from.shutdown(Shutdown::Read).ok();
}
