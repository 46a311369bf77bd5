//! Finding batches, rolling, trimming and coming back of one partition's log.

use super::*;
use crate::disk::sim::SimDisk;
use crate::limits::INDEX_INTERVAL_BYTES;
use crate::storage::rot::Rot;
use crate::wire::batch::Stamped;
use crate::wire::record::BatchBuilder;

pub(super) const KEY: PartitionKey = PartitionKey { topic: 1, partition: 0 };

pub(super) struct Log {
    pub(super) disk: SimDisk,
    pub(super) partition: Partition,
    /// Base offset, next offset and bytes of every batch.
    pub(super) batches: Vec<(i64, i64, usize)>,
}

pub(super) fn batch(records: i32, bytes: usize, timestamp: i64) -> Vec<u8> {
    let mut builder = BatchBuilder::new(timestamp);
    for _ in 0..records {
        builder.push(timestamp, None, Some(&vec![7; bytes]), &[]);
    }
    builder.finish()
}

impl Log {
    pub(super) fn new() -> Log {
        let partition = Partition::new(KEY, "t", &Segments::new(64, 1)).unwrap();
        Log { disk: SimDisk::new(), partition, batches: Vec::new() }
    }

    pub(super) fn append(
        &mut self,
        records: i32,
        bytes: usize,
        timestamp: i64,
        segment_bytes: u32,
    ) {
        self.append_batch(&batch(records, bytes, timestamp), segment_bytes, None);
    }

    pub(super) fn append_batch(
        &mut self,
        raw: &[u8],
        segment_bytes: u32,
        log_append_time: Option<i64>,
    ) {
        let stamped = Stamped::new(raw, self.partition.log_end, 0, log_append_time).unwrap();
        let header = stamped.header().unwrap();
        if self.partition.must_roll(raw.len(), segment_bytes, u32::MAX, 0) {
            self.partition.roll(&self.disk, 0).unwrap();
        }
        self.partition.append(&self.disk, &stamped, &header, 0, How::Now).unwrap();
        self.batches.push((header.base_offset, header.next_offset(), raw.len()));
    }

    /// Batches of changing sizes in segments of 40 KiB, so that there are index entries.
    fn filled() -> Log {
        Log::filled_from(0)
    }

    fn filled_from(first: i64) -> Log {
        let mut log = Log::new();
        (log.partition.log_start, log.partition.log_end) = (first, first);
        for n in 0..400 {
            log.append(1 + n % 3, 200 + (n as usize * 131) % 900, i64::from(n) * 10, 160 * 1024);
        }
        log.partition.all_durable();
        assert!(log.partition.segments.len() > 2);
        log
    }

    /// As after a restart: the same segments, nothing open, no bookmarks.
    pub(super) fn reopened(&self) -> Partition {
        let mut again = Partition::new(KEY, "t", &Segments::new(64, 1)).unwrap();
        self.partition.segments.all().iter().for_each(|s| assert!(again.segments.push(*s)));
        again.log_start = self.partition.log_start;
        again.log_end = self.partition.log_end;
        again.all_durable();
        again
    }

    fn check_every_offset(&self, partition: &mut Partition) {
        for (base, next, bytes) in &self.batches {
            for offset in *base..*next {
                let slice =
                    partition.read(&self.disk, &mut Rot::new(), offset, 1, true).unwrap().unwrap();
                assert_eq!((slice.first.base_offset, slice.bytes as usize), (*base, *bytes));
            }
        }
    }
}

#[test]
fn every_offset_is_found_with_and_without_index_and_bookmarks() {
    let mut log = Log::filled();
    let mut partition = log.reopened();
    log.check_every_offset(&mut partition);
    // Backwards, so that no bookmark helps.
    for (base, _, _) in log.batches.iter().rev() {
        let slice = partition.read(&log.disk, &mut Rot::new(), *base, 1, true).unwrap().unwrap();
        assert_eq!(slice.first.base_offset, *base);
    }
    let mut spoiled = 0;
    for (name, _) in log.disk.list("topics/t-0").unwrap() {
        if name.ends_with(".index") {
            let file = log.disk.open(&format!("topics/t-0/{name}"), Open::Write).unwrap();
            spoiled += usize::from(file.length().unwrap() >= 32);
            // Entries that ascend and point into the middle of batches.
            for entry in 0..2u64 {
                let position = (entry as u32 + 1) * INDEX_INTERVAL_BYTES + 13;
                let mut bytes = [0; 16];
                bytes[0..4].copy_from_slice(&(entry as u32 + 1).to_le_bytes());
                bytes[4..8].copy_from_slice(&position.to_le_bytes());
                file.write_at(&[&bytes], 16 + entry * 16).unwrap();
            }
        }
    }
    assert!(spoiled > 0, "there are entries to spoil");
    let mut partition = log.reopened();
    log.check_every_offset(&mut partition);
    log.partition = partition;
}

#[test]
fn of_a_segment_that_was_cut_off_the_whole_batches_are_served_and_nothing_beyond() {
    let log = Log::filled();
    let first = log.partition.segments.get(0).unwrap();
    let path = layout::segment_file("topics/t-0", first.base_offset);
    let file = log.disk.open(&path, Open::Write).unwrap();
    let mut ends = log.batches.iter().scan(0, |end, (_, next, bytes)| {
        *end += *bytes as u64;
        Some((*next, *end))
    });
    let (last, end) = ends.by_ref().take_while(|(_, end)| *end < 90_000).last().unwrap();
    for length in [end, end + 1, end + 70] {
        file.set_length(length).unwrap();
        let mut partition = log.reopened();
        let slice = partition.read(&log.disk, &mut Rot::new(), 0, 1 << 20, true).unwrap().unwrap();
        assert_eq!((u64::from(slice.bytes), slice.next_offset), (end, last), "of {length}");
        let mut rot = Rot::new();
        let behind = partition.read(&log.disk, &mut rot, last, 1 << 20, true).unwrap().unwrap();
        let other = log.partition.segments.get(1).unwrap().base_offset;
        assert_eq!(behind.first.base_offset, other, "a reader goes on behind what is missing");
        let gap = rot.gaps()[0];
        assert_eq!((gap.first, gap.next, u64::from(gap.position)), (last, other, end));
    }
}

#[test]
fn a_read_ends_at_a_batch_boundary_and_never_beyond_what_was_asked_for() {
    let log = Log::filled();
    let mut partition = log.reopened();
    for bytes_max in [1, 500, 3_000, 20_000, 1 << 20] {
        let mut offset = 0;
        let mut at = 0;
        while let Some(slice) =
            partition.read(&log.disk, &mut Rot::new(), offset, bytes_max, true).unwrap()
        {
            let mut left = slice.bytes as usize;
            assert!(left <= (bytes_max as usize).max(log.batches[at].2), "{bytes_max} at {offset}");
            assert_eq!(slice.first.base_offset, log.batches[at].0);
            let next_offset = slice.next_offset;
            while left > 0 {
                let (_, next, bytes) = log.batches[at];
                left = left.checked_sub(bytes).expect("whole batches");
                offset = next;
                at += 1;
            }
            assert_eq!(offset, next_offset);
        }
        assert_eq!((offset, at), (partition.high_watermark, log.batches.len()));
    }
    let none = partition.read(&log.disk, &mut Rot::new(), 0, 1, false).unwrap().unwrap();
    assert_eq!(none.bytes, 0, "the first batch is larger than asked for");
}

#[test]
fn nothing_above_the_high_watermark_is_read() {
    let mut log = Log::new();
    log.append(1, 100, 1, 4096);
    log.partition.all_durable();
    log.append(1, 100, 2, 4096);
    log.append(1, 5_000, 3, 4096);
    let p = &mut log.partition;
    let slice = p.read(&log.disk, &mut Rot::new(), 0, 1 << 20, true).unwrap().unwrap();
    assert_eq!(slice.bytes as usize, log.batches[0].2);
    assert!(p.read(&log.disk, &mut Rot::new(), 1, 1, true).unwrap().is_none());
    assert!(matches!(p.read(&log.disk, &mut Rot::new(), 2, 1, true), Err(LogError::OutOfRange)));
    assert!(p.record_at_time(&log.disk, &mut Rot::new(), 2, 0).unwrap().is_none());
}

#[test]
fn a_batch_is_found_by_time_and_a_late_one_does_not_hide_it() {
    let mut log = Log::filled();
    // One that is older than all before: times need not ascend.
    log.append(1, 100, 5, 40 * 1024);
    log.append(1, 100, 9_999, 40 * 1024);
    log.partition.all_durable();
    let mut partition = log.reopened();
    let mut at = |time| {
        let found = partition.record_at_time(&log.disk, &mut Rot::new(), time, 0).unwrap();
        found.map(|found| found.timestamp)
    };
    for time in [0, 1, 10, 555, 3_989, 3_990] {
        assert_eq!(at(time), Some((time + 9) / 10 * 10), "time {time}");
    }
    assert_eq!(at(3_991), Some(9_999));
    assert_eq!(at(10_000), None);
    let from = log.batches[50].0;
    let found = partition.record_at_time(&log.disk, &mut Rot::new(), 0, from).unwrap();
    assert_eq!(found.map(|found| found.offset), Some(from));
}

#[test]
fn in_a_batch_larger_than_the_window_every_record_is_found_by_its_own_time() {
    let mut log = Log::new();
    let mut records = Vec::new();
    for base in [1_000, 500_000, 100_000] {
        let mut builder = BatchBuilder::new(base);
        // Heads stand wherever the window may end, and some records are larger than it is. Times
        // do not ascend.
        for number in 0..700i64 {
            let value = vec![7; [0, 1, 130, 900, 4_090, 9_000][number as usize % 6]];
            let time = base + number * 5 - number % 4 * 7;
            builder.push(time, Some(b"k"), Some(&value), &[("h", Some(b"v"))]);
            records.push((records.len() as i64, time));
        }
        log.append_batch(&builder.finish(), 1 << 24, None);
    }
    log.partition.all_durable();
    assert!(log.batches.iter().all(|(_, _, bytes)| *bytes > 1 << 20));
    let mut partition = log.reopened();
    let mut times: Vec<i64> = records.iter().flat_map(|(_, t)| [t - 1, *t, t + 1]).collect();
    times.extend([0, i64::MAX]);
    for from in [0, 333, 1_400, 2_099] {
        for time in times.iter().step_by(if from == 0 { 1 } else { 17 }) {
            let expected = records.iter().find(|(offset, t)| *offset >= from && t >= time);
            let found = partition.record_at_time(&log.disk, &mut Rot::new(), *time, from).unwrap();
            let found = found.map(|found| (found.offset, found.timestamp));
            assert_eq!(found, expected.copied(), "time {time} from {from}");
        }
    }
}

#[test]
fn a_compressed_batch_is_stood_for_by_its_first_record_and_the_brokers_time_is_all_records() {
    let mut log = Log::new();
    let large = || {
        let mut builder = BatchBuilder::new(100);
        (0..20).for_each(|n| builder.push(100 + n, None, Some(&[7; 1_000]), &[]));
        builder
    };
    // Random enough: nobody looks into it.
    log.append_batch(&large().finish_with(1, |bytes| bytes), 1 << 20, None);
    log.append_batch(&large().finish(), 1 << 20, Some(900));
    log.partition.all_durable();
    let mut partition = log.reopened();
    let mut at = |time, from| {
        let found = partition.record_at_time(&log.disk, &mut Rot::new(), time, from).unwrap();
        found.map(|found| (found.offset, found.timestamp))
    };
    assert_eq!(at(99, 0), Some((0, 100)));
    assert_eq!(at(110, 0), Some((0, 119)), "somewhere in it");
    assert_eq!(at(110, 7), Some((7, 119)), "the log's start is in its middle");
    assert_eq!(at(120, 0), Some((20, 900)));
    assert_eq!(at(900, 25), Some((25, 900)));
    assert_eq!(at(901, 0), None);
}

#[test]
fn a_search_by_time_passes_a_batch_that_was_cut_off() {
    let mut log = Log::new();
    let mut builder = BatchBuilder::new(100);
    (0..20).for_each(|n| builder.push(100 + n, None, Some(&[7; 1_000]), &[]));
    log.append_batch(&builder.finish(), 1 << 20, None);
    log.append(1, 10, 500, 1 << 20);
    log.append(1, 10, 600, 160);
    log.partition.all_durable();
    let path = layout::segment_file("topics/t-0", 0);
    log.disk.open(&path, Open::Write).unwrap().set_length(10_000).unwrap();
    let (mut partition, mut rot) = (log.reopened(), Rot::new());
    for time in [105, 119, 500, 600] {
        let found = partition.record_at_time(&log.disk, &mut rot, time, 0).unwrap();
        assert_eq!(found.map(|found| (found.offset, found.timestamp)), Some((21, 600)));
    }
    assert_eq!(rot.gaps().iter().map(|gap| (gap.first, gap.next)).collect::<Vec<_>>(), [(0, 21)]);
}

fn given_up(partition: &mut Partition) -> Vec<i64> {
    core::iter::from_fn(|| partition.take_given_up()).collect()
}

#[test]
fn segments_before_the_start_go_and_the_log_goes_on_when_all_are_gone() {
    let mut log = Log::filled();
    let bases: Vec<i64> = log.partition.segments.all().iter().map(|s| s.base_offset).collect();
    log.partition.log_start = bases[1] + 1;
    assert!(log.partition.drop_before_start() && !log.partition.drop_before_start());
    assert_eq!(given_up(&mut log.partition), [bases[0]]);
    log.partition.log_start = log.partition.log_end;
    assert!(log.partition.drop_before_start());
    assert_eq!(given_up(&mut log.partition), bases[1..]);
    assert!(
        log.partition
            .read(&log.disk, &mut Rot::new(), log.partition.log_end, 1, true)
            .unwrap()
            .is_none()
    );
    let end = log.partition.log_end;
    log.append(2, 50, 7, 4096);
    log.partition.all_durable();
    for mut partition in [log.reopened(), log.partition] {
        let slice = partition.read(&log.disk, &mut Rot::new(), end + 1, 1, true).unwrap().unwrap();
        assert_eq!(slice.first.base_offset, end);
        assert!(matches!(
            partition.read(&log.disk, &mut Rot::new(), end - 1, 1, true),
            Err(LogError::OutOfRange)
        ));
    }
}

#[test]
fn a_failed_append_leaves_the_log_as_it_was() {
    let mut log = Log::new();
    log.append(1, 100, 1, 4096);
    for _ in 0..2 {
        let before = (log.partition.log_end, log.partition.end_place());
        let raw = batch(1, 300, 2);
        let stamped = Stamped::new(&raw, 1, 0, None).unwrap();
        log.disk.fail_at(log.disk.operations(), DiskError::NoSpace);
        let failed =
            log.partition.append(&log.disk, &stamped, &stamped.header().unwrap(), 0, How::Now);
        assert_eq!(failed, Err(DiskError::NoSpace));
        assert_eq!((log.partition.log_end, log.partition.end_place()), before);
    }
    log.disk.fail_at(log.disk.operations() + 1, DiskError::NoSpace);
    assert_eq!(log.partition.roll(&log.disk, 0), Err(DiskError::NoSpace));
    assert_eq!(log.partition.segments.len(), 1);
    log.append(1, 100, 3, 4096);
    log.partition.all_durable();
    log.check_every_offset(&mut log.reopened());
}

#[test]
fn what_lies_behind_the_end_after_a_cut_is_cut_off_and_its_index_entries_are_not_believed() {
    let mut log = Log::new();
    for n in 0..60 {
        log.append(1, 1_000, n, 1 << 20);
    }
    // The journal only knows of the first ten batches.
    let mut again = log.reopened();
    let (_, next, _) = log.batches[9];
    let bytes = log.batches[..10].iter().map(|(_, _, bytes)| *bytes as u32).sum();
    again.segments.change_last(|segment| segment.bytes = bytes);
    again.log_end = next;
    again.all_durable();
    log.batches.truncate(10);
    log.partition = again;
    for n in 0..90 {
        log.append(1, 333, 100 + n, 1 << 20);
    }
    log.partition.all_durable();
    log.check_every_offset(&mut log.reopened());
    let found = log.reopened().record_at_time(&log.disk, &mut Rot::new(), 111, 0).unwrap();
    assert_eq!(found.map(|found| found.timestamp), Some(111));
}

#[test]
fn a_replay_passes_over_a_segment_that_was_deleted_before_the_cut() {
    let mut log = Log::new();
    log.append(1, 100, 1, 4096);
    let mut partition = log.reopened();
    let reference = |base_offset: i64, position: u32, segment_base: i64| {
        let raw = batch(1, 300, 5);
        let stamped = Stamped::new(&raw, base_offset, 0, None).unwrap();
        (Place { segment_base, position }, stamped.header().unwrap(), stamped.parts().concat())
    };
    let first = layout::segment_file(&partition.dir, 0);
    log.disk.remove_file(&first).unwrap();
    // A batch that only the deleted segment had, and one behind it that the journal has.
    let (place, header, _) = reference(1, partition.segments.first().unwrap().bytes, 0);
    partition.restore(&log.disk, place, &header, None, 0, false).unwrap();
    let (place, header, bytes) = reference(2, 0, 2);
    partition.restore(&log.disk, place, &header, Some(&bytes), 0, false).unwrap();
    partition.log_start = 2;
    partition.drop_before_start();
    partition.all_durable();
    let read = partition.read(&log.disk, &mut Rot::new(), 2, u32::MAX, true).unwrap().unwrap();
    assert_eq!((read.first.base_offset, read.next_offset), (2, 3));
    assert!(matches!(log.disk.open(&first, Open::Read), Err(DiskError::NotFound)));
}

#[test]
fn offsets_on_both_sides_of_32_bits_are_found_like_small_ones() {
    let mut log = Log::filled_from((1 << 32) - 300);
    assert!(log.batches.first().unwrap().0 < 1 << 32 && log.batches.last().unwrap().0 > 1 << 32);
    log.check_every_offset(&mut log.reopened());
    let other = Partition::new(KEY, "other", &Segments::new(64, 1)).unwrap();
    let mut partition = std::mem::replace(&mut log.partition, other);
    log.check_every_offset(&mut partition);
}
