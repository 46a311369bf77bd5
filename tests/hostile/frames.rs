//! Bytes that are no requests, or no whole ones.

use crate::attacker::{Attacker, Held, Random};
use crate::support::raw;
use std::io::Write;
use std::time::Duration;

/// Frame sizes that no request has.
pub fn sizes(attacker: &Attacker) -> Held {
    for size in [0, -1, i32::MIN, i32::MAX, i32::MAX - 3, 1, 2, 7, (100 << 20) + 1] {
        for body in [0, 1, 100, 5_000] {
            attacker.one_shot(&[&size.to_be_bytes()[..], &vec![0; body]].concat());
        }
    }
    // A claim that may be true, and nothing after it: held, as many as take all seats but some.
    let claims = [1 << 20, 100 << 20, 60_000, 5_000, 13];
    (0..50).map(|n| attacker.send(&i32::to_be_bytes(claims[n % 5]))).collect()
}

/// Requests that end before their end, at every byte.
pub fn truncated(attacker: &Attacker) -> Held {
    let mut held = Held::new();
    for request in [raw::produce(1, -1, "hostile", b"value"), raw::fetch(1, "hostile", 0, 1, 10)] {
        for end in 0..request.len() {
            attacker.one_shot(&request[..end]);
            if end % 5 == 0 {
                held.push(attacker.send(&request[..end]));
            }
        }
    }
    held
}

/// Requests that come byte by byte.
pub fn dripping(attacker: &Attacker) -> Held {
    let request = raw::produce(1, -1, "hostile", &vec![7; 20_000]);
    let mut held: Held = (0..40).map(|_| attacker.send(&[])).collect();
    for byte in request.iter().take(100) {
        held.iter_mut().for_each(|stream| drop(stream.write_all(&[*byte])));
        std::thread::sleep(Duration::from_millis(10));
    }
    // Large enough to have a shared buffer now, and going on.
    for byte in request[100..].chunks(6_000).take(2) {
        held.iter_mut().for_each(|stream| drop(stream.write_all(byte)));
    }
    held
}

/// Other protocols: TLS, HTTP, and nothing but zeros.
pub fn others(attacker: &Attacker) -> Held {
    let mut hello = vec![0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3];
    hello.resize(517, 0x5a);
    let http = b"GET / HTTP/1.1\r\nHost: localhost:9092\r\nAccept: */*\r\n\r\n".to_vec();
    let ssh = b"SSH-2.0-OpenSSH_9.9\r\n".to_vec();
    let zeros = vec![0; 1 << 20];
    let noise = Random(3).bytes(1 << 20);
    for bytes in [hello, http, ssh, zeros, noise] {
        (0..5).for_each(|_| drop(attacker.one_shot(&bytes)));
    }
    Held::new()
}

/// Every API key, known or not, in every version, known or not, with bytes that mean nothing.
pub fn random_bodies(attacker: &Attacker) -> Held {
    let mut random = Random(7);
    for key in 0..=100 {
        for version in 0..=20 {
            let body = random.bytes(300);
            let flexible = random.next().is_multiple_of(2);
            attacker.one_shot(&raw::request(key, version, 1, flexible, |w| w.raw(&body)));
        }
    }
    for (key, version) in [(-1, 0), (i16::MAX, 0), (i16::MIN, 0), (0, -1), (18, i16::MAX), (3, -9)]
    {
        attacker.one_shot(&raw::request(key, version, 1, false, |w| w.raw(&[1; 64])));
    }
    Held::new()
}
