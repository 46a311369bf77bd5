//! Real requests in which one field lies.

use crate::attacker::{Attacker, Held, Random, read_frame};
use crate::corpus::{Mark, Request, Width, corpus, set_frame_length};

/// `bytes` with what stands at a mark replaced.
fn replaced(request: &Request, at: usize, length: usize, new: &[u8]) -> Vec<u8> {
    let mut bytes = request.bytes.clone();
    bytes.splice(at..at + length, new.iter().copied());
    set_frame_length(&mut bytes);
    bytes
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

/// What a length or a count is replaced with: 0, -1, the largest, and just past the end.
fn lies(request: &Request, mark: Mark) -> Vec<Vec<u8>> {
    let width = match mark.width {
        Width::I16 => 2,
        Width::I32 => 4,
        Width::Compact | Width::Tags => 1,
    };
    let rest = request.bytes.len() - mark.at - width;
    match mark.width {
        Width::I16 => [0, -1, -2, i16::MAX, i16::MIN, rest as i16 + 1]
            .map(|value| value.to_be_bytes().to_vec())
            .to_vec(),
        Width::I32 => [0, -1, -2, i32::MAX, i32::MIN, rest as i32 + 1, 1 << 20]
            .map(|value| value.to_be_bytes().to_vec())
            .to_vec(),
        Width::Compact => {
            let mut lies: Vec<_> =
                [0, 1, 1 << 31, (1 << 31) - 1, u64::from(u32::MAX), u64::MAX, rest as u64 + 2]
                    .map(varint)
                    .to_vec();
            lies.push(vec![0xff; 11]);
            lies.push(vec![0x80, 0x80, 0x80, 0x80, 0]);
            lies
        }
        Width::Tags => Vec::new(),
    }
}

/// Every length and count of every API in every version.
pub fn lengths(attacker: &Attacker) -> Held {
    for request in corpus() {
        // It has to be a real one, or the lies in it would prove nothing.
        let mut stream = attacker.send(&request.bytes);
        let waits = request.name == "JoinGroup";
        let name = (&request.name, request.version);
        assert!(waits || read_frame(&mut stream).is_some(), "{name:?} is no real request");
        for mark in request.marks.iter().filter(|mark| mark.width != Width::Tags) {
            let width = match mark.width {
                Width::I16 => 2,
                Width::I32 => 4,
                Width::Compact | Width::Tags => 1,
            };
            for lie in lies(&request, *mark) {
                attacker.one_shot(&replaced(&request, mark.at, width, &lie));
            }
        }
    }
    Held::new()
}

/// Tag buffers that are too long, too many, in no order, or that lie.
pub fn tags(attacker: &Attacker) -> Held {
    let pair = |tag: u64, length: u64| [varint(tag), varint(length)].concat();
    let many: Vec<u8> =
        (0..1_000).flat_map(|tag| [varint(tag), varint(1), vec![0]].concat()).collect();
    let huge: Vec<u8> = (0..300_000).flat_map(|tag| [varint(tag), varint(0)].concat()).collect();
    let bodies = [
        varint(u64::from(u32::MAX)),
        varint(1 << 31),
        vec![0xff; 11],
        [varint(1), pair(0, 0)].concat(),
        [varint(1), pair(0, 1 << 31)].concat(),
        [varint(1), pair(0, u64::from(u32::MAX))].concat(),
        [varint(1), pair(u64::from(u32::MAX), 1), vec![9]].concat(),
        [varint(2), pair(1, 1), vec![9], pair(1, 1), vec![9]].concat(),
        [varint(2), pair(5, 1), vec![9], pair(1, 1), vec![9]].concat(),
        [varint(1_000), many].concat(),
    ];
    let mut last_key = None;
    for request in corpus().iter().rev() {
        for mark in request.marks.iter().filter(|mark| mark.width == Width::Tags) {
            for body in &bodies {
                attacker.one_shot(&replaced(request, mark.at, 1, body));
            }
        }
        // One of each API, in its newest version, with more tags than fit into a small buffer.
        if last_key != Some(request.key)
            && let Some(mark) = request.marks.iter().rfind(|mark| mark.width == Width::Tags)
        {
            last_key = Some(request.key);
            let body = [varint(300_000), huge.clone()].concat();
            attacker.one_shot(&replaced(request, mark.at, 1, &body));
        }
    }
    Held::new()
}

/// A line that somebody else's name stands in, if a name is logged as it came.
pub const FORGED: &str = "forged";

/// Names that lead out of a directory, end a line, are too long or no text.
pub fn names(attacker: &Attacker) -> Held {
    let bad: [&[u8]; 14] = [
        b"..",
        b".",
        b"",
        b"../../../../../../../../tmp/hostile",
        b"a/b",
        b"/etc/passwd",
        b"a\0b",
        b"\n2026-01-01T00:00:00.000Z WARN  127.0.0.9:1: forged\n",
        b"\x1b[2J\x1b[31m",
        b"\xff\xfe",
        b"\xc0\xaf\xc0\xae",
        b"\xed\xa0\x80",
        b"%s%n%x{}",
        &[b'x'; 300],
    ];
    for request in corpus() {
        for mark in &request.marks {
            let Some(length) = mark.text else { continue };
            for name in bad {
                let (width, head) = match mark.width {
                    Width::I16 => (2, (name.len() as i16).to_be_bytes().to_vec()),
                    _ => (1, varint(name.len() as u64 + 1)),
                };
                let new = [&head[..], name].concat();
                attacker.one_shot(&replaced(&request, mark.at, width + length, &new));
            }
        }
    }
    Held::new()
}

/// Real requests with one byte in a hundred changed.
pub fn noise(attacker: &Attacker) -> Held {
    let mut random = Random(11);
    for request in corpus() {
        for _ in 0..4 {
            let mut bytes = request.bytes.clone();
            for byte in bytes.iter_mut().skip(8) {
                if random.next().is_multiple_of(100) {
                    *byte = random.next() as u8;
                }
            }
            attacker.one_shot(&bytes);
        }
    }
    Held::new()
}
