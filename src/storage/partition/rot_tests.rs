//! Bytes that change on the card: what is lost, and that nothing else is.

use super::tests::{KEY, Log, batch};
use super::*;
use crate::storage::rot::Rot;
use crate::storage::scrub;
use crate::wire::batch::{Stamped, check_stored};

/// Reads the whole log from `offset` on; checks every batch and returns their base offsets.
fn served(log: &Log, partition: &mut Partition, rot: &mut Rot, bytes_max: u32) -> Vec<i64> {
    let (mut offset, mut bases) = (0, Vec::new());
    while let Some(slice) = partition.read(&log.disk, rot, offset, bytes_max, true).unwrap() {
        let mut bytes = vec![0; slice.bytes as usize];
        slice.file.read_exact_at(&mut bytes, u64::from(slice.position)).unwrap();
        let mut left = &bytes[..];
        let mut next = slice.first.base_offset;
        assert!(next >= offset && !left.is_empty());
        while !left.is_empty() {
            let header = check_stored(left).expect("a sound batch");
            assert_eq!((header.base_offset, header.partition_leader_epoch), (next, 0));
            let known = log.batches.iter().find(|(base, _, _)| *base == next);
            assert_eq!(known, Some(&(next, header.next_offset(), header.total_bytes)));
            bases.push(next);
            next = header.next_offset();
            left = &left[header.total_bytes..];
        }
        assert_eq!(next, slice.next_offset);
        offset = next;
    }
    bases
}

/// A few batches in three segments, and where each stands: segment, start, end.
fn small() -> (Log, Vec<(i64, u64, u64)>) {
    let mut log = Log::new();
    for n in 0..7 {
        log.append(1 + n % 3, 20 + n as usize * 7, i64::from(n) * 10, 500);
    }
    log.partition.all_durable();
    assert!(log.partition.segments.len() >= 3);
    let mut places = Vec::new();
    for (base, _, bytes) in &log.batches {
        let segments = log.partition.segments.all();
        let segment = segments.iter().rfind(|s| s.base_offset <= *base).unwrap().base_offset;
        let start = match places.last() {
            Some((last, _, end)) if *last == segment => *end,
            _ => 0,
        };
        places.push((segment, start, start + *bytes as u64));
    }
    (log, places)
}

#[test]
fn whichever_bit_flips_at_most_its_batch_is_lost_and_nothing_wrong_is_served() {
    let (log, places) = small();
    let all: Vec<i64> = log.batches.iter().map(|(base, _, _)| *base).collect();
    assert_eq!(served(&log, &mut log.reopened(), &mut Rot::new(), 1 << 20), all);
    for (touched, (segment, start, end)) in places.iter().enumerate() {
        let path = layout::segment_file("topics/t-0", *segment);
        let file = log.disk.open(&path, Open::Write).unwrap();
        let expected: Vec<i64> =
            all.iter().enumerate().filter(|(n, _)| *n != touched).map(|(_, base)| *base).collect();
        for bit in start * 8..end * 8 {
            let mut byte = [0];
            file.read_exact_at(&mut byte, bit / 8).unwrap();
            file.write_at(&[&[byte[0] ^ 1 << (bit % 8)]], bit / 8).unwrap();
            for bytes_max in [1, 1 << 20] {
                let mut rot = Rot::new();
                let found = served(&log, &mut log.reopened(), &mut rot, bytes_max);
                assert_eq!(found, expected, "bit {bit} of segment {segment}");
                let (base, next, bytes) = log.batches[touched];
                let [gap] = rot.gaps() else { panic!("bit {bit}: {:?}", rot.gaps()) };
                assert_eq!((gap.first, gap.next), (base, next), "bit {bit}");
                assert_eq!(
                    (u64::from(gap.position), gap.end - gap.position),
                    (*start, bytes as u32)
                );
            }
            // Who begins in the middle finds the same.
            let (base, next, _) = log.batches[touched];
            for offset in base..next {
                let slice =
                    log.reopened().read(&log.disk, &mut Rot::new(), offset, 1, true).unwrap();
                assert_eq!(slice.map(|s| s.first.base_offset), all.get(touched + 1).copied());
            }
            file.write_at(&[&byte], bit / 8).unwrap();
        }
    }
}

#[test]
fn blocks_of_zeros_cuts_and_lost_files_cost_what_they_touched() {
    let (log, places) = small();
    let all: Vec<i64> = log.batches.iter().map(|(base, _, _)| *base).collect();
    let lost_between = |segment: i64, from: u64, to: u64| -> Vec<i64> {
        let touched = |n: usize| {
            let (of, start, end) = places[n];
            of == segment && start < to && end > from
        };
        (0..all.len()).filter(|n| !touched(*n)).map(|n| all[n]).collect()
    };
    for segment in [places[0].0, places[3].0, places[6].0] {
        let path = layout::segment_file("topics/t-0", segment);
        let file = log.disk.open(&path, Open::Write).unwrap();
        let length = file.length().unwrap();
        let mut kept = vec![0; length as usize];
        file.read_exact_at(&mut kept, 0).unwrap();
        for from in (0..length).step_by(13) {
            for to in [from + 1, from + 100, length] {
                let to = to.min(length);
                if kept[from as usize..to as usize].iter().all(|byte| *byte == 0) {
                    continue;
                }
                file.write_at(&[&vec![0; (to - from) as usize]], from).unwrap();
                let found = served(&log, &mut log.reopened(), &mut Rot::new(), 200);
                let expected = lost_between(segment, from, to);
                // A batch that is touched in zeros only is whole; one between two that lost
                // their lengths may be lost with them.
                assert!(expected.iter().all(|base| found.contains(base)), "{segment} {from}-{to}");
                file.write_at(&[&kept], 0).unwrap();
            }
        }
        let is_last = segment == places[6].0;
        for cut in 0..=length {
            file.set_length(cut).unwrap();
            let found = served(&log, &mut log.reopened(), &mut Rot::new(), 1 << 20);
            // The active segment gets zeros for what it lacks, and the last byte may be one.
            let zeros = kept[cut as usize..].iter().take_while(|byte| **byte == 0).count();
            let from = if is_last { cut + zeros as u64 } else { cut };
            assert_eq!(found, lost_between(segment, from, length), "{segment} cut to {cut}");
            file.set_length(length).unwrap();
            file.write_at(&[&kept], 0).unwrap();
        }
        log.disk.remove_file(&path).unwrap();
        let found = served(&log, &mut log.reopened(), &mut Rot::new(), 1 << 20);
        assert_eq!(found, lost_between(segment, 0, length), "without {segment}");
        let file = log.disk.open(&path, Open::CreateEmpty).unwrap();
        file.write_at(&[&kept], 0).unwrap();
    }
}

#[test]
fn more_gaps_than_are_remembered_are_passed_all_the_same() {
    let mut log = Log::new();
    let count = crate::limits::ROT_GAPS_MAX as i32 * 3;
    for n in 0..count {
        log.append(1, 50, i64::from(n), 4_000);
    }
    log.partition.all_durable();
    // Every other batch.
    let mut expected = Vec::new();
    let (mut segment, mut at) = (0, 0_u64);
    for (n, (base, _, bytes)) in log.batches.iter().enumerate() {
        if log.partition.segments.all().iter().any(|s| s.base_offset == *base) {
            (segment, at) = (*base, 0);
        }
        if n % 2 == 0 {
            let path = layout::segment_file("topics/t-0", segment);
            let file = log.disk.open(&path, Open::Write).unwrap();
            file.write_at(&[b"rot"], at + 70).unwrap();
        } else {
            expected.push(*base);
        }
        at += *bytes as u64;
    }
    let mut partition = log.reopened();
    let mut rot = Rot::new();
    for _ in 0..2 {
        assert_eq!(served(&log, &mut partition, &mut rot, 1 << 20), expected);
        assert_eq!(rot.gaps().len(), crate::limits::ROT_GAPS_MAX);
        assert!(rot.further() > 0);
    }
}

#[test]
fn a_batch_inside_a_rotten_one_is_not_taken_for_one_of_the_log() {
    let mut log = Log::new();
    log.append(1, 30, 1, 1 << 20);
    // A record whose value is a whole log of batches with offsets that would fit.
    let mut inner = Vec::new();
    for offset in 2..5 {
        let raw = batch(1, 10, 7);
        let stamped = Stamped::new(&raw, offset, 0, None).unwrap();
        inner.extend_from_slice(&stamped.parts().concat());
    }
    let mut builder = crate::wire::record::BatchBuilder::new(2);
    builder.push(2, None, Some(&inner), &[]);
    log.append_batch(&builder.finish(), 1 << 20, None);
    for n in 3..9 {
        log.append(1, 30, n, 1 << 20);
    }
    log.partition.all_durable();
    let at = log.batches[0].2 as u64;
    let file = log.disk.open(&layout::segment_file("topics/t-0", 0), Open::Write).unwrap();
    // Its length and its magic.
    file.write_at(&[&[0x7f]], at + 8).unwrap();
    let found = served(&log, &mut log.reopened(), &mut Rot::new(), 1 << 20);
    let expected: Vec<i64> =
        log.batches.iter().map(|(base, _, _)| *base).filter(|base| *base != 1).collect();
    assert_eq!(found, expected);
}

#[test]
fn a_background_search_finds_what_a_reader_would_whatever_it_reads_at_a_time() {
    let (log, places) = small();
    for (touched, (segment, start, _)) in places.iter().enumerate() {
        let path = layout::segment_file("topics/t-0", *segment);
        let file = log.disk.open(&path, Open::Write).unwrap();
        let mut byte = [0];
        file.read_exact_at(&mut byte, start + 65).unwrap();
        file.write_at(&[&[byte[0] ^ 4]], start + 65).unwrap();
        for bytes_max in [1, 150, 1 << 20] {
            let (mut partition, mut rot) = (log.reopened(), Rot::new());
            let mut place = scrub::Place { key: KEY, ..scrub::START };
            let mut turns = 0;
            while let Some((next, _)) = partition.scrub(&log.disk, &mut rot, place, bytes_max) {
                assert!(next != place);
                (place, turns) = (next, turns + 1);
            }
            assert!(turns >= if bytes_max == 1 { log.batches.len() } else { 3 });
            let (base, next, _) = log.batches[touched];
            let found: Vec<_> = rot.gaps().iter().map(|gap| (gap.first, gap.next)).collect();
            assert_eq!(found, [(base, next)]);
            // Whoever reads now does not look again.
            let all = served(&log, &mut partition, &mut rot, 1 << 20);
            assert!(!all.contains(&base) && all.len() == log.batches.len() - 1);
        }
        file.write_at(&[&byte], start + 65).unwrap();
    }
}

#[test]
fn a_search_by_time_finds_what_is_left_whichever_byte_is_rotten() {
    let (log, places) = small();
    for (touched, (segment, start, end)) in places.iter().enumerate() {
        let file =
            log.disk.open(&layout::segment_file("topics/t-0", *segment), Open::Write).unwrap();
        for at in *start..*end {
            let mut byte = [0];
            file.read_exact_at(&mut byte, at).unwrap();
            file.write_at(&[&[byte[0] ^ 0x11]], at).unwrap();
            let (mut partition, mut rot) = (log.reopened(), Rot::new());
            for n in 0..places.len() {
                let expected = if n == touched { n + 1 } else { n };
                let time = n as i64 * 10;
                let found = partition.record_at_time(&log.disk, &mut rot, time, 0).unwrap();
                let expected = log.batches.get(expected).map(|(base, _, _)| *base);
                assert_eq!(found.map(|found| found.offset), expected, "byte {at} of {segment}");
            }
            file.write_at(&[&byte], at).unwrap();
        }
    }
}

#[test]
fn a_rotten_time_of_the_last_batch_is_not_what_later_ones_are_stamped_with() {
    let mut log = Log::new();
    for time in [1_000, 2_000, 3_000] {
        log.append_batch(&batch(1, 50, 5), 1 << 20, Some(time));
    }
    log.partition.all_durable();
    assert_eq!(log.reopened().last_append_time(&log.disk, &mut Rot::new()), 3_000);
    let last = log.batches[2].2 as u64;
    let start = u64::from(log.partition.segments.all()[0].bytes) - last;
    let path = layout::segment_file("topics/t-0", 0);
    let file = log.disk.open(&path, Open::Write).unwrap();
    for bit in start * 8..(start + last) * 8 {
        let mut byte = [0];
        file.read_exact_at(&mut byte, bit / 8).unwrap();
        file.write_at(&[&[byte[0] ^ 1 << (bit % 8)]], bit / 8).unwrap();
        let found = log.reopened().last_append_time(&log.disk, &mut Rot::new());
        // The base offset's bits are for the chain: they say nothing of the time.
        let is_offset = bit < (start + 8) * 8;
        assert!(found == 2_000 || is_offset && found == 3_000, "bit {bit}: {found}");
        file.write_at(&[&byte], bit / 8).unwrap();
    }
}
