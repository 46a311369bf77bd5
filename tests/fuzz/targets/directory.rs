//! A data directory in which anything may have rotted: the broker starts, serves what is readable,
//! takes new records, and starts again.
//!
//! The directory is that of a broker which was killed: with a checkpoint, a journal behind it,
//! several segments, topics that came and went, offsets and producers. The input says what becomes
//! of its files; sums may be made good again, so that what lies behind them is reached.

use super::gateway::{Gateway, start_time};
use super::input::Input;
use super::memory;
use ottla::broker::{self, Broker, NewTopic};
use ottla::config::BrokerConfig;
use ottla::disk::sim::SimDisk;
use ottla::disk::{Disk, FileRef, Open};
use ottla::limits::{RING_BYTES_MIN, SEGMENT_BYTES_MIN};
use ottla::storage::layout;
use ottla::storage::recovery::OpenError;
use ottla::wire::batch::{self, BatchHeader, HEADER_BYTES};
use ottla::wire::crc32c;
use ottla::wire::record::{BatchBuilder, Producer};
use std::rc::Rc;

/// Changes of one input.
const CHANGES_MAX: usize = 16;
/// What a start may hold.
const START_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Slices that are read of one partition.
const READS_MAX: usize = 400;
/// Bytes of the journal's first block, and of a frame's header.
const JOURNAL_HEADER_BYTES: usize = 4096;
const FRAME_HEADER_BYTES: usize = 48;

fn config() -> BrokerConfig {
    BrokerConfig {
        journal_bytes: RING_BYTES_MIN as u32,
        log_segment_bytes: SEGMENT_BYTES_MIN,
        ..super::gateway::config()
    }
}

thread_local! {
    static LEFT: SimDisk = {
        let disk = SimDisk::new();
        let mut gateway = Gateway::open(&disk, config());
        for (name, partitions) in [("t", 2), ("u", 1), ("gone", 1), ("probe", 1)] {
            gateway.topic(name, partitions);
        }
        gateway.records("gone", 0, 4);
        for round in 0..24 {
            gateway.records("t", 0, 1 + round % 9);
            if round % 3 == 0 {
                idempotent(&mut gateway, round as i32 / 3);
            }
        }
        let number = gateway.broker.topics().find("gone").expect("created").number;
        gateway.broker.delete_topic(number, gateway.now).expect("deleted");
        let commit = super::gateway::frame(8, 2, |w| {
            w.string("g");
            w.i32(-1);
            w.string("");
            w.i64(-1);
            w.array(1);
            w.string("t");
            w.array(1);
            w.i32(0);
            w.i64(7);
            w.nullable_string(Some("note"));
        });
        gateway.ask(0, &commit).expect("a good request");
        gateway.sync();
        gateway.broker.checkpoint(true, false, gateway.now).expect("a checkpoint");
        gateway.sync();
        gateway.records("u", 0, 3);
        gateway.records("t", 1, 2);
        gateway.records("probe", 0, 1);
        disk
    };
}

fn idempotent(gateway: &mut Gateway, base_sequence: i32) {
    let mut batch = BatchBuilder::new(9_000).producer(Producer { id: 5, epoch: 0, base_sequence });
    batch.push(9_000, None, Some(&[b'v'; 700]), &[]);
    let bytes = batch.finish();
    let header = batch::check(&bytes).expect("a good batch");
    gateway.broker.append("t", 1, &bytes, &header, gateway.now).expect("appended");
    gateway.sync();
}

/// First byte: whether the sums are made good at the end, and whether one start is enough, for
/// the second costs as much as the first; then changes.
pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let disk = LEFT.with(SimDisk::fork);
    let choice = input.byte();
    let good_sums = choice & 1 == 1;
    for _ in 0..CHANGES_MAX {
        if input.is_empty() {
            break;
        }
        change(&disk, &mut input);
    }
    if good_sums {
        files(&disk).iter().for_each(|path| make_good(&disk, path));
    }
    let Some(mut gateway) = start(&disk) else { return };
    reads_what_is_there(&mut gateway.broker);
    if gateway.broker.topics().find("probe").is_none() {
        let new = NewTopic { name: "probe", partitions: 1, ..NewTopic::default() };
        gateway.broker.create_topic(new, gateway.now).ok();
        gateway.sync();
    }
    if gateway.broker.storage().failed().is_some() {
        return;
    }
    gateway.still_serves();
    if choice & 2 == 2 {
        return;
    }
    let end = |gateway: &Gateway| {
        gateway.broker.find_partition("probe", 0).map(|(_, view)| view.log_end_offset)
    };
    let before = end(&gateway);
    let mut again = start(&gateway.disk.fork()).expect("it has started before");
    // A forged checkpoint may name a place in the journal where older frames count on from it: only
    // where no sum was forged, the next start has to find what the last one promised.
    assert!(good_sums || end(&again) == before, "what was durable is gone after the next start");
    reads_what_is_there(&mut again.broker);
}

/// It always starts; only a file of a newer version is a reason not to, or names and numbers of
/// more topics than the board has room for.
fn start(disk: &SimDisk) -> Option<Gateway> {
    let now = start_time();
    let shared: Rc<dyn Disk> = Rc::new(disk.clone());
    let opened =
        memory::bounded("a start", START_BYTES_MAX, || broker::open(shared, config(), 42, now));
    match opened {
        Ok(opened) => Some(Gateway { disk: disk.clone(), broker: opened.broker, now }),
        Err(OpenError::Newer { .. } | OpenError::TooLarge(_)) => None,
        Err(error) => panic!("it does not start: {error}"),
    }
}

/// Every partition from its beginning, up to what cannot be read.
fn reads_what_is_there(broker: &mut Broker) {
    let views: Vec<_> = broker
        .topics()
        .iter()
        .flat_map(|topic| (0..topic.partitions.len() as i32).map(move |p| (topic, p)))
        .filter_map(|(topic, partition)| broker.partition(topic, partition))
        .collect();
    for view in views {
        assert!(view.log_start_offset <= view.log_end_offset, "{view:?}");
        assert!(view.high_watermark <= view.log_end_offset, "{view:?}");
        let mut offset = view.log_start_offset;
        for _ in 0..READS_MAX {
            let Ok(Some(slice)) = broker.read(view.index, offset, 2_000, true) else { break };
            let mut bytes = vec![0; slice.bytes as usize];
            let from = u64::from(slice.position);
            slice.file.read_exact_at(&mut bytes, from).expect("what is offered can be read");
            let next = slice.first.next_offset();
            assert!(next > offset, "a batch that ends at {next} for {offset}");
            offset = next;
        }
        broker.offset_for_time(view.index, 1_001).ok();
        broker.offset_of_max_timestamp(view.index).ok();
    }
}

/// All files, in order.
fn files(disk: &SimDisk) -> Vec<String> {
    let (mut files, mut directories) = (Vec::new(), vec![String::new()]);
    while let Some(directory) = directories.pop() {
        for (name, is_directory) in disk.list(&directory).unwrap_or_default() {
            let path = if directory.is_empty() { name } else { format!("{directory}/{name}") };
            if is_directory { directories.push(path) } else { files.push(path) }
        }
    }
    files.sort();
    files
}

fn open(disk: &SimDisk, path: &str) -> FileRef {
    disk.open(path, Open::Write).expect("a file that is there")
}

fn bytes_of(disk: &SimDisk, path: &str) -> Vec<u8> {
    let file = open(disk, path);
    let mut bytes = vec![0; file.length().unwrap_or(0) as usize];
    file.read_exact_at(&mut bytes, 0).expect("a simulated disk");
    bytes
}

fn write(disk: &SimDisk, path: &str, bytes: &[u8]) {
    let file = disk.open(path, Open::CreateEmpty).expect("a simulated disk");
    file.write_at(&[bytes], 0).expect("a simulated disk");
}

fn change(disk: &SimDisk, input: &mut Input<'_>) {
    let files = files(disk);
    if files.is_empty() {
        return;
    }
    let how = input.byte();
    let path = &files[input.below(files.len())];
    let mut bytes = bytes_of(disk, path);
    let from = usize::from(input.word()) % (bytes.len() + 1);
    match how % 9 {
        0 => disk.remove_file(path).expect("a simulated disk"),
        1 => bytes.truncate(from),
        2 => {
            let end = (from + 512).min(bytes.len());
            bytes[from..end].fill(0);
        }
        3 => {
            let other = &files[input.below(files.len())];
            bytes = bytes_of(disk, other);
        }
        4 => {
            let piece = bytes[from..(from + 600).min(bytes.len())].to_vec();
            let to = usize::from(input.word()) % (bytes.len() + 1);
            bytes.splice(to..(to + piece.len()).min(bytes.len()), piece);
        }
        5 => {
            let length = usize::from(input.word());
            bytes = input.take(length).to_vec();
        }
        6 => {
            strange_name(disk, path, input);
            return;
        }
        7 => {
            // A number of eight bytes, as it is dangerous.
            let number = input.integer(64).to_le_bytes();
            let end = (from + 8).min(bytes.len());
            bytes[from..end].copy_from_slice(&number[..end - from]);
        }
        _ => {
            let count = input.below(8) + 1;
            for (byte, new) in bytes[from..].iter_mut().zip(input.take(count)) {
                *byte = *new;
            }
        }
    }
    if !how.is_multiple_of(9) {
        write(disk, path, &bytes);
    }
}

/// The same file under another name, where names mean something.
fn strange_name(disk: &SimDisk, path: &str, input: &mut Input<'_>) {
    let bytes = bytes_of(disk, path);
    let (directory, _) = path.rsplit_once('/').unwrap_or(("topics/t-0", path));
    let kind = input.below(6);
    let number = input.integer(if kind == 5 { 33 } else { 64 });
    let name = match kind {
        0 => format!("{directory}/{number:020}.log"),
        1 => format!("{directory}/{number:020}.index"),
        2 => layout::COORDINATOR_NEW.to_owned(),
        3 => layout::SYNC_FAILED.to_owned(),
        4 => layout::COORDINATOR_PREVIOUS.to_owned(),
        _ => {
            let directory = format!("topics/n-{number}");
            disk.create_dir(&directory).expect("a simulated disk");
            format!("{directory}/{:020}.log", 0)
        }
    };
    if let Ok(file) = disk.open(&name, Open::CreateEmpty) {
        file.write_at(&[&bytes], 0).expect("a simulated disk");
    }
}

/// Gives a file the sums that its bytes have.
fn make_good(disk: &SimDisk, path: &str) {
    let mut bytes = bytes_of(disk, path);
    if path == layout::JOURNAL {
        journal(&mut bytes);
    } else if path.starts_with(layout::COORDINATOR) {
        let Some(payload) = bytes.get(20..) else { return };
        bytes = super::coordinator::sealed(payload);
    } else if path.ends_with(".log") {
        batches(&mut bytes);
    }
    write(disk, path, &bytes);
}

fn put(bytes: &mut [u8], at: usize, number: u32) {
    bytes[at..at + 4].copy_from_slice(&number.to_le_bytes());
}

fn le32(bytes: &[u8], at: usize) -> usize {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]) as usize
}

fn journal(bytes: &mut [u8]) {
    if bytes.len() < JOURNAL_HEADER_BYTES {
        return;
    }
    let sum = crc32c(&bytes[..20]);
    put(bytes, 20, sum);
    let mut at = JOURNAL_HEADER_BYTES;
    while at + FRAME_HEADER_BYTES <= bytes.len() {
        if bytes[at..].starts_with(ottla::storage::journal_frame::MAGIC) {
            let payload = at + FRAME_HEADER_BYTES;
            let length = le32(bytes, at + 28).min(bytes.len() - payload);
            let inline = bytes[at + 36] == ottla::storage::journal_frame::KIND_BATCH;
            if inline && length > 24 {
                super::batches::sealed(&mut bytes[payload + 24..payload + length]);
            }
            let covered = if inline { length.min(24 + 21) } else { length };
            let sum = crc32c(&bytes[payload..payload + covered]);
            put(bytes, at + 32, sum);
            let sum = crc32c(&bytes[at + 8..payload]);
            put(bytes, at + 4, sum);
        }
        at += 8;
    }
}

fn batches(bytes: &mut [u8]) {
    let mut at = 0;
    while at + HEADER_BYTES <= bytes.len() {
        let Ok(header) = BatchHeader::read(&bytes[at..]) else { return };
        let end = (at + header.total_bytes).min(bytes.len());
        if end - at < header.total_bytes {
            return;
        }
        super::batches::sealed(&mut bytes[at..end]);
        at = end;
    }
}
