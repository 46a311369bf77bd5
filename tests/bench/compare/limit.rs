//! What the machine itself takes for the work that no broker can avoid.
//!
//! Promises: each limit is one blocking thread of this process with nothing but the system calls
//! in question; its CPU time is the thread's own clock.

use mio::{Events, Interest, Poll, Token};
use rustix::fs::sendfile;
use rustix::net::{SendFlags, send};
use rustix::time::{ClockId, clock_gettime};
use std::fs::File;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

/// The journal's size: the second write goes around in so much.
const RING_BYTES: u64 = 8 << 20;
/// The segment's size: the first write begins a new file after so much.
const SEGMENT_BYTES: u64 = 64 << 20;

/// CPU nanoseconds of the calling thread.
pub fn thread_cpu() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 * 1e9 + time.tv_nsec as f64
}

/// What the receiving thread does with each batch.
#[derive(Clone, Copy, Debug)]
pub struct Work {
    /// The checksum, if any.
    pub crc: Option<fn(&[u8]) -> u32>,
    /// 0; 1: a segment; 2: a segment and the journal's ring.
    pub writes: usize,
    /// Whether each batch is answered with a few bytes, five being under way.
    pub answers: bool,
}

/// Two connected sockets.
pub fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let near = TcpStream::connect(listener.local_addr().expect("an address")).expect("loopback");
    let (far, _) = listener.accept().expect("a connection");
    near.set_nodelay(true).expect("a socket");
    far.set_nodelay(true).expect("a socket");
    (near, far)
}

/// CPU nanoseconds per batch of receiving `batch`, and of the work with it.
pub fn receive(batch: &[u8], work: Work, directory: &Path, time: Duration) -> f64 {
    let (mut near, far) = pair();
    let directory = tempfile::tempdir_in(directory).expect("a directory");
    let batch_bytes = batch.len();
    let server = std::thread::spawn(move || serve(far, batch_bytes, work, directory.path()));
    let began = Instant::now();
    let mut answer = [0; 64 * 5];
    let mut waiting = 0;
    while began.elapsed() < time {
        near.write_all(batch).expect("the thread reads");
        waiting += 1;
        while work.answers && waiting >= 5 {
            waiting -= near.read(&mut answer).expect("an answer") / 64;
        }
    }
    near.shutdown(std::net::Shutdown::Write).expect("a socket");
    server.join().expect("the thread ends")
}

fn serve(mut socket: TcpStream, batch_bytes: usize, work: Work, directory: &Path) -> f64 {
    let mut buffer = vec![0; batch_bytes];
    let create = |name: &str| File::create(directory.join(name)).expect("a file");
    let (mut segment, ring) = (create("segment"), create("ring"));
    let (mut written, mut batches) = (0, 0u64);
    let mut sum = 0;
    let began = thread_cpu();
    while socket.read_exact(&mut buffer).is_ok() {
        if let Some(crc) = work.crc {
            sum ^= crc(&buffer);
        }
        if work.writes > 0 {
            segment.write_all(&buffer).expect("the disk has room");
        }
        if work.writes > 1 {
            ring.write_all_at(&buffer, written % RING_BYTES).expect("the disk has room");
        }
        written += buffer.len() as u64;
        if written >= SEGMENT_BYTES {
            segment = create("segment");
            written = 0;
        }
        if work.answers && socket.write_all(&[1; 64]).is_err() {
            break;
        }
        batches += 1;
    }
    std::hint::black_box(sum);
    (thread_cpu() - began) / batches as f64
}

/// Bytes of the file that [`send_files`] sends, again and again.
const SENT_FILE_BYTES: u64 = 64 << 20;

/// Bytes of an answer to Fetch before its records.
const HEADER_BYTES: usize = 80;

/// CPU nanoseconds per answer of `answer_bytes` out of a file, each asked for with 64 bytes; with
/// `header`, behind some bytes of memory that are sent in these flags.
pub fn send_files(
    answer_bytes: usize,
    header: Option<SendFlags>,
    directory: &Path,
    time: Duration,
) -> f64 {
    let (mut near, mut far) = pair();
    let file = tempfile::tempfile_in(directory).expect("a file");
    let block = vec![1; 1 << 20];
    for at in (0..SENT_FILE_BYTES).step_by(block.len()) {
        file.write_all_at(&block, at).expect("the disk has room");
    }
    let server = std::thread::spawn(move || {
        let (mut request, mut at, mut answers) = ([0; 64], 0, 0u64);
        let began = thread_cpu();
        while far.read_exact(&mut request).is_ok() {
            if let Some(flags) = header {
                send(&far, &[5; HEADER_BYTES], flags).expect("the client reads");
            }
            let end = at + answer_bytes as u64;
            while at < end {
                let left = (end - at) as usize;
                sendfile(&far, &file, Some(&mut at), left).expect("the file is there");
            }
            at = if end + answer_bytes as u64 > SENT_FILE_BYTES { 0 } else { end };
            answers += 1;
        }
        (thread_cpu() - began) / answers as f64
    });
    let (began, mut answer) = (Instant::now(), vec![0; answer_bytes]);
    answer.resize(answer_bytes + header.map_or(0, |_| HEADER_BYTES), 0);
    while began.elapsed() < time {
        near.write_all(&[2; 64]).expect("the thread reads");
        near.read_exact(&mut answer).expect("an answer");
    }
    near.shutdown(std::net::Shutdown::Write).expect("a socket");
    server.join().expect("the thread ends")
}

/// Bytes of a request that is sent back, about those of a record of 100 B in its request.
const ECHO_BYTES: usize = 200;

/// CPU microseconds per request of one thread that waits with epoll, reads and writes back.
pub fn echo(clients: usize, in_flight: usize, time: Duration) -> f64 {
    let pairs: Vec<(TcpStream, TcpStream)> = (0..clients).map(|_| pair()).collect();
    let (near, far): (Vec<TcpStream>, Vec<TcpStream>) = pairs.into_iter().unzip();
    let server = std::thread::spawn(move || echo_server(far));
    let requests = std::thread::scope(|scope| {
        let run = |socket| scope.spawn(move || echo_client(socket, in_flight, time));
        let clients: Vec<_> = near.into_iter().map(run).collect();
        clients.into_iter().map(|client| client.join().expect("it ends")).sum::<u64>()
    });
    server.join().expect("the thread ends") / requests as f64 / 1e3
}

fn echo_client(mut socket: TcpStream, in_flight: usize, time: Duration) -> u64 {
    let (request, mut answers) = ([3; ECHO_BYTES], vec![0; ECHO_BYTES * in_flight]);
    let (began, mut requests, mut bytes) = (Instant::now(), 0, 0);
    for _ in 0..in_flight {
        socket.write_all(&request).expect("the thread reads");
    }
    while began.elapsed() < time {
        bytes += socket.read(&mut answers).expect("an answer");
        while bytes >= ECHO_BYTES {
            bytes -= ECHO_BYTES;
            requests += 1;
            socket.write_all(&request).expect("the thread reads");
        }
    }
    requests
}

/// CPU nanoseconds until all clients are gone.
fn echo_server(sockets: Vec<TcpStream>) -> f64 {
    let mut poll = Poll::new().expect("epoll");
    let mut sockets: Vec<mio::net::TcpStream> = sockets
        .into_iter()
        .map(|socket| {
            socket.set_nonblocking(true).expect("a socket");
            mio::net::TcpStream::from_std(socket)
        })
        .collect();
    for (at, socket) in sockets.iter_mut().enumerate() {
        poll.registry().register(socket, Token(at), Interest::READABLE).expect("epoll");
    }
    let (mut events, mut buffer) = (Events::with_capacity(256), [0; 4096]);
    let (began, mut open) = (thread_cpu(), sockets.len());
    while open > 0 {
        poll.poll(&mut events, None).expect("epoll");
        for event in &events {
            let socket = &mut sockets[event.token().0];
            // Its end may come in one event with its last request.
            match socket.read(&mut buffer) {
                Ok(count) if count > 0 && !event.is_read_closed() => {
                    drop(socket.write_all(&buffer[..count]));
                }
                _ => {
                    open -= 1;
                    poll.registry().deregister(socket).expect("epoll");
                }
            }
        }
    }
    thread_cpu() - began
}
