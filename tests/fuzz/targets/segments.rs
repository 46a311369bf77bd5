//! Segment files and their indexes, whatever stands in them.

use super::input::Input;
use super::memory;
use ottla::disk::sim::SimDisk;
use ottla::disk::{Disk, FileRef, Open};
use ottla::storage::index::{Entry, Index};
use ottla::storage::segment::{Window, read_batch, read_header};
use ottla::wire::batch;

/// Where the files lie.
const LOG: &str = "00000000000000000000.log";
const INDEX: &str = "00000000000000000000.index";
/// What a look at them may hold.
const BYTES_MAX: usize = 512 * 1024;

/// First the length of the log in two bytes, then log and index.
pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let length = usize::from(input.word());
    let limit = u32::from(input.word());
    let mut log = input.take(length).to_vec();
    if length & 1 == 1 {
        super::batches::sealed(&mut log);
    }
    let disk = SimDisk::new();
    let write = |name: &str, bytes: &[u8]| {
        let file = disk.open(name, Open::CreateEmpty).expect("a simulated disk");
        file.write_at(&[bytes], 0).expect("a simulated disk");
        file
    };
    let file = write(LOG, &log);
    write(INDEX, input.rest());
    memory::bounded("a segment and its index", BYTES_MAX, || {
        walk(&file, limit);
        index(&disk, limit);
    });
}

/// The walk of recovery: header after header, none beyond the limit.
fn walk(file: &FileRef, limit: u32) {
    let mut window = Window::new(file, limit);
    let (mut position, mut buffer) = (0, Vec::new());
    while let Ok(header) = window.header(position) {
        assert!(u64::from(position) + header.total_bytes as u64 <= u64::from(limit));
        assert_eq!(read_header(file, position, limit).ok(), Some(header));
        if read_batch(file, position, &header, &mut buffer).is_ok() {
            assert_eq!(buffer.len(), header.total_bytes);
            batch::check_stored(&buffer).ok();
        }
        position += header.total_bytes as u32;
    }
}

/// Whatever the file held, what is left of it ascends, and every answer is within the segment.
fn index(disk: &SimDisk, limit: u32) {
    let mut index = Index::open(disk, INDEX, 0, limit);
    let mut last = None;
    for position in [0, 1, limit / 2, limit, u32::MAX] {
        let found = index.last_where(|entry| entry.position <= position);
        assert!(found.position <= position && (found.position < limit || found.position == 0));
        last = last.max(Some(found.position));
    }
    let after =
        Entry { relative_offset: u32::MAX, position: u32::MAX, max_timestamp_before: i64::MAX };
    if index.wants(u32::MAX) {
        index.add(after);
        assert_eq!(index.last_where(|_| true), after);
    }
    index.clear();
    assert_eq!(index.last_where(|_| true).position, 0);
}
