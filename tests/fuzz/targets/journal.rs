//! The journal: frames, and the walk over a ring of them.
//!
//! The input is a list of frames, each sealed as a broker would and then spoilt as the fuzzer
//! likes. Promise: the walk ends, its numbers ascend without a gap that it does not tell of, and
//! no frame is shown whose payload is not what was sealed.

use super::input::Input;
use super::memory;
use ottla::disk::sim::SimDisk;
use ottla::disk::{Disk, FileRef, Open};
use ottla::storage::journal::{FileHeader, JOURNAL_HEADER_BYTES, create_file, read_file_header};
use ottla::storage::journal_frame::{
    BatchPlace, COMMIT_ALIGN, FRAME_ALIGN, FRAME_HEADER_BYTES, FrameHeader, KIND_BATCH,
    KIND_CHANGE, KIND_LOG_START, KIND_OPENED, KIND_REFERENCE, PartitionKey, Payload,
    log_start_payload, open_payload,
};
use ottla::storage::layout;
use ottla::storage::scan::{Scan, Step};

/// Bytes of the ring.
const RING_BYTES: u64 = 16 * 1024;
/// What the walk holds: a window of 64 KiB, and a payload.
const WALK_BYTES_MAX: usize = 512 * 1024;
/// Frames that are laid down at most.
const FRAMES_MAX: usize = 64;

/// First byte: raw bytes of a frame, a whole file, or frames in a ring.
pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    match input.byte() & 3 {
        0 => one_frame(input.rest()),
        1 => file(input.rest()),
        _ => ring(&mut input),
    }
}

/// A frame as it stands.
fn one_frame(bytes: &[u8]) {
    let Some(header) = FrameHeader::read(bytes) else { return };
    assert!(header.frame_bytes() >= FRAME_HEADER_BYTES as u64 + u64::from(header.payload_bytes));
    assert_eq!(header.frame_bytes() % FRAME_ALIGN, 0);
    let payload = bytes.get(FRAME_HEADER_BYTES..).unwrap_or_default();
    shown(&header, payload.get(..header.payload_bytes as usize).unwrap_or(payload));
}

fn shown(header: &FrameHeader, payload: &[u8]) {
    if let Some(Payload::Batch { header: batch, bytes, .. }) = open_payload(header, payload)
        && let Some(bytes) = bytes
    {
        assert_eq!(batch.total_bytes, bytes.len());
    }
}

/// A journal's file as it stands, taken from a disk.
fn file(bytes: &[u8]) {
    let disk = SimDisk::new();
    let file = disk.open(layout::JOURNAL, Open::CreateEmpty).expect("a simulated disk");
    file.write_at(&[bytes], 0).expect("a simulated disk");
    if let Ok(FileHeader::Ring(ring_bytes)) = read_file_header(&file) {
        walk(&file, ring_bytes.min(1 << 20).next_multiple_of(COMMIT_ALIGN), 0, 1, 1);
    }
}

fn payload(kind: u8, input: &mut Input<'_>) -> Vec<u8> {
    let key = PartitionKey { topic: u32::from(input.byte()), partition: 0 };
    match kind {
        KIND_BATCH | KIND_REFERENCE => {
            let place = BatchPlace { key, segment_base: input.integer(64), position: input.long() };
            let length = usize::from(input.byte()) * 2;
            let mut batch = input.take(length).to_vec();
            super::batches::sealed(&mut batch);
            if kind == KIND_REFERENCE {
                batch.truncate(61);
            }
            [&place.encode()[..], &batch].concat()
        }
        KIND_LOG_START => log_start_payload(key, input.integer(64)).to_vec(),
        _ => {
            let length = usize::from(input.byte()) * 2;
            input.take(length).to_vec()
        }
    }
}

fn ring(input: &mut Input<'_>) {
    let disk = SimDisk::new();
    let file = create_file(&disk, RING_BYTES).expect("a simulated disk");
    let head = u64::from(input.byte()) * COMMIT_ALIGN;
    let (mut at, mut sequence, mut generation, mut durable) = (head, 1_u64, 1_u32, 0_u64);
    for _ in 0..FRAMES_MAX {
        if input.is_empty() {
            break;
        }
        let how = input.byte();
        let kinds = [KIND_OPENED, KIND_BATCH, KIND_REFERENCE, KIND_CHANGE, KIND_LOG_START, 6];
        let kind = kinds[usize::from(how & 7) % kinds.len()];
        if how & 0x08 != 0 {
            durable = sequence.saturating_sub(1);
        }
        if how & 0x10 != 0 {
            at = at.next_multiple_of(COMMIT_ALIGN);
        }
        if how & 0x20 != 0 {
            generation += 1;
        }
        if how & 0x40 != 0 {
            sequence = sequence.wrapping_add_signed(input.integer(16)).max(1);
        }
        let payload = payload(kind, input);
        let header = FrameHeader {
            sequence,
            durable,
            generation,
            payload_bytes: 0,
            payload_crc: 0,
            kind,
            age_s: u32::from(input.byte()),
        };
        let place = payload.split_at(payload.len().min(24));
        let sealed = header.seal(&[place.0, place.1]);
        let mut frame = [&sealed[..], &payload].concat();
        if how & 0x80 != 0 {
            let spoilt = usize::from(input.word()) % frame.len();
            frame[spoilt] ^= input.byte();
        }
        let left = RING_BYTES - at % RING_BYTES;
        if frame.len() as u64 > left {
            at += left;
        }
        file.write_at(&[&frame], JOURNAL_HEADER_BYTES + at % RING_BYTES).expect("a disk");
        at = (at + frame.len() as u64).next_multiple_of(FRAME_ALIGN);
        sequence = sequence.saturating_add(1);
    }
    walk(&file, RING_BYTES, head, 1, 1);
}

/// Walks as recovery does; the ring bounds how long that takes.
fn walk(file: &FileRef, ring_bytes: u64, head: u64, next_sequence: u64, generation: u32) {
    memory::bounded("a walk through the journal", WALK_BYTES_MAX, || {
        let mut scan = Scan::new(file, ring_bytes, head, next_sequence, generation);
        let mut next = next_sequence;
        // A rotten place begins the walk around the ring anew, so that there may be two.
        let most = 4 * ring_bytes / FRAME_HEADER_BYTES as u64 + 8;
        for _ in 0..most {
            match scan.step() {
                Step::Frame { header, payload } => {
                    assert_eq!(header.sequence, next, "frames come in order");
                    if let Payload::Batch { header, bytes: Some(bytes), .. } = payload {
                        assert_eq!(header.total_bytes, bytes.len());
                    }
                    next = header.sequence.saturating_add(1);
                }
                Step::Rot { first, last } => {
                    assert!(first == next && last >= first, "{first}..={last} after {next}");
                    next = last + 1;
                }
                Step::End => {
                    assert!(matches!(scan.step(), Step::End), "the end stays the end");
                    return;
                }
            }
        }
        panic!("the walk does not end");
    });
}
