//! Each promise of the simulated disk, one test.

use super::*;
use crate::disk::DiskFile;

/// Variants that a test looks at where "any of them" matters.
const VARIANTS: u64 = 300;

fn sync_dir(disk: &SimDisk, path: &str) {
    disk.open_dir(path).unwrap().sync().unwrap();
}

fn write(disk: &SimDisk, path: &str, bytes: &[u8]) -> FileRef {
    let file = disk.open(path, Open::CreateOrKeep).unwrap();
    file.write_at(&[bytes], 0).unwrap();
    file
}

/// A file that is durable with its name.
fn durable(disk: &SimDisk, path: &str, bytes: &[u8]) -> FileRef {
    let file = write(disk, path, bytes);
    file.sync().unwrap();
    sync_dir(disk, path.rsplit_once('/').map_or("", |(parent, _)| parent));
    file
}

fn read(file: &dyn DiskFile) -> Vec<u8> {
    let mut bytes = vec![0; file.length().unwrap() as usize];
    file.read_exact_at(&mut bytes, 0).unwrap();
    bytes
}

fn content(disk: &SimDisk, path: &str) -> Option<Vec<u8>> {
    match disk.open(path, Open::Read) {
        Ok(file) => Some(read(file.as_ref())),
        Err(error) => {
            assert_eq!(error, DiskError::NotFound);
            None
        }
    }
}

/// What a file holds in all variants, each content once.
fn outcomes(disk: &SimDisk, path: &str) -> Vec<Option<Vec<u8>>> {
    let mut all: Vec<_> = (0..VARIANTS).map(|n| content(&disk.after_cut(n), path)).collect();
    all.sort();
    all.dedup();
    all
}

fn some(bytes: &[u8]) -> Option<Vec<u8>> {
    Some(bytes.to_vec())
}

#[test]
fn what_was_written_is_read_at_once_and_by_every_clone() {
    let disk = SimDisk::new();
    let file = disk.open("a", Open::CreateEmpty).unwrap();
    file.write_at(&[b"one", b"", b"two"], 5).unwrap();
    assert_eq!(content(&disk.clone(), "a"), some(b"\0\0\0\0\0onetwo"));
    let mut buffer = [0; 9];
    assert_eq!(file.read_at(&mut buffer, 8), Ok(3));
    assert_eq!(file.read_at(&mut buffer, 11), Ok(0));
    assert_eq!(file.read_exact_at(&mut buffer, 3), Err(DiskError::UnexpectedEnd));
    assert!(file.descriptor().is_none());
}

#[test]
fn what_was_synced_with_its_name_survives_every_cut() {
    let disk = SimDisk::new();
    disk.create_dir("t").unwrap();
    sync_dir(&disk, "");
    durable(&disk, "t/a", b"kept");
    assert_eq!(disk.unsynced(), 0);
    assert_eq!(outcomes(&disk, "t/a"), [some(b"kept")]);
}

#[test]
fn nothing_loses_all_that_is_unsynced_and_everything_keeps_it() {
    let disk = SimDisk::new();
    let file = durable(&disk, "a", b"old");
    file.write_at(&[b"new!"], 0).unwrap();
    file.set_length(10).unwrap();
    write(&disk, "b", b"b");
    assert_eq!(disk.unsynced(), 4);
    let nothing = disk.crash(Crash::Nothing);
    assert_eq!((content(&nothing, "a"), content(&nothing, "b")), (some(b"old"), None));
    let everything = disk.crash(Crash::Everything);
    assert_eq!(content(&everything, "a"), some(b"new!\0\0\0\0\0\0"));
    assert_eq!(content(&everything, "b"), some(b"b"));
    assert_eq!((everything.unsynced(), everything.operations()), (0, 0));
}

#[test]
fn a_synced_file_whose_name_is_not_durable_may_be_gone_with_its_data() {
    let disk = SimDisk::new();
    write(&disk, "a", b"data").sync().unwrap();
    assert_eq!(outcomes(&disk, "a"), [None, some(b"data")]);
}

#[test]
fn a_durable_name_says_nothing_about_the_data() {
    let disk = SimDisk::new();
    write(&disk, "a", b"data");
    sync_dir(&disk, "");
    let outcomes = outcomes(&disk, "a");
    assert_eq!(outcomes, [some(b""), some(b"\0\0\0\0"), some(b"data")]);
}

#[test]
fn everything_in_a_directory_whose_own_name_is_not_durable_may_be_gone() {
    let disk = SimDisk::new();
    disk.create_dir("t").unwrap();
    durable(&disk, "t/a", b"data");
    assert_eq!(outcomes(&disk, "t/a"), [None, some(b"data")]);
}

#[test]
fn a_removed_file_may_be_back_until_its_directory_is_synced() {
    let disk = SimDisk::new();
    let file = durable(&disk, "a", b"old");
    disk.remove_file("a").unwrap();
    assert_eq!(content(&disk, "a"), None);
    assert_eq!(read(file.as_ref()), b"old");
    file.write_at(&[b"more"], 3).unwrap();
    assert_eq!(read(file.as_ref()), b"oldmore");
    assert_eq!(content(&disk.crash(Crash::Nothing), "a"), some(b"old"));
    assert_eq!(content(&disk.crash(Crash::DataOnly), "a"), some(b"oldmore"));
    sync_dir(&disk, "");
    assert_eq!(outcomes(&disk, "a"), [None]);
}

#[test]
fn a_file_made_again_under_its_old_name_is_another_and_a_cut_leaves_either_or_none() {
    let disk = SimDisk::new();
    let old = durable(&disk, "a", b"old");
    disk.remove_file("a").unwrap();
    let new = write(&disk, "a", b"new");
    new.sync().unwrap();
    assert_eq!(read(old.as_ref()), b"old");
    assert_eq!(outcomes(&disk, "a"), [None, some(b"new"), some(b"old")]);
}

#[test]
fn a_rename_happens_wholly_or_not_and_never_loses_both() {
    let disk = SimDisk::new();
    durable(&disk, "a", b"old");
    write(&disk, "a.new", b"new").sync().unwrap();
    disk.rename("a.new", "a").unwrap();
    assert_eq!((content(&disk, "a"), content(&disk, "a.new")), (some(b"new"), None));
    assert_eq!(outcomes(&disk, "a"), [some(b"new"), some(b"old")]);
    for number in 0..VARIANTS {
        let found = disk.after_cut(number);
        let both = content(&found, "a") == some(b"new") && content(&found, "a.new").is_some();
        assert!(!both, "two names for one file in variant {number}");
    }
    sync_dir(&disk, "");
    assert_eq!(outcomes(&disk, "a"), [some(b"new")]);
    assert_eq!(outcomes(&disk, "a.new"), [None]);
}

#[test]
fn a_rename_without_a_sync_before_may_leave_a_name_without_data() {
    let disk = SimDisk::new();
    durable(&disk, "a", b"old");
    write(&disk, "a.new", b"new");
    disk.rename("a.new", "a").unwrap();
    sync_dir(&disk, "");
    assert!(outcomes(&disk, "a").contains(&some(b"\0\0\0")));
    assert!(outcomes(&disk, "a").contains(&some(b"")));
}

#[test]
fn a_rename_across_directories_is_one_change_for_both() {
    let disk = SimDisk::new();
    disk.create_dir("t").unwrap();
    sync_dir(&disk, "");
    durable(&disk, "t/a", b"a");
    disk.rename("t/a", "b").unwrap();
    for number in 0..VARIANTS {
        let found = disk.after_cut(number);
        let copies = [content(&found, "t/a"), content(&found, "b")];
        assert_eq!(copies.iter().flatten().count(), 1, "variant {number}");
    }
    sync_dir(&disk, "t");
    assert_eq!(outcomes(&disk, "b"), [some(b"a")]);
}

#[test]
fn a_removed_directory_comes_back_with_what_it_had_or_empty() {
    let disk = SimDisk::new();
    disk.create_dir("t").unwrap();
    sync_dir(&disk, "");
    durable(&disk, "t/a", b"a");
    assert_eq!(disk.remove_dir("t"), Err(DiskError::Exists));
    disk.remove_file("t/a").unwrap();
    disk.remove_dir("t").unwrap();
    let mut seen = [false; 3];
    for number in 0..VARIANTS {
        let found = disk.after_cut(number);
        let state = found.list("t").map_or(0, |names| 1 + names.len());
        seen[state] = true;
    }
    assert_eq!(seen, [true; 3], "gone, empty and full are all possible");
    sync_dir(&disk, "");
    assert_eq!(disk.after_cut(0).list("").unwrap(), []);
}

#[test]
fn names_in_a_directory_survive_in_order_unless_the_disk_is_asked_to_be_harsh() {
    let disk = SimDisk::new();
    for name in ["a", "b", "c"] {
        disk.open(name, Open::CreateEmpty).unwrap();
    }
    let names = |crash| -> Vec<String> {
        disk.crash(crash).list("").unwrap().into_iter().map(|(name, _)| name).collect()
    };
    let mut counts = [0; 4];
    for seed in 0..VARIANTS {
        let survivors = names(Crash::Subset(seed));
        counts[survivors.len()] += 1;
        assert_eq!(survivors, ["a", "b", "c"][..survivors.len()]);
    }
    assert!(counts.iter().all(|count| *count > 0), "{counts:?}");
    assert!((0..VARIANTS).any(|seed| names(Crash::Torn(seed)) == ["c"]));
}

#[test]
fn a_prefix_keeps_the_first_changes_across_files_and_names() {
    let disk = SimDisk::new();
    let a = durable(&disk, "a", b"");
    let b = durable(&disk, "b", b"");
    a.write_at(&[b"1"], 0).unwrap();
    b.write_at(&[b"2"], 0).unwrap();
    disk.rename("b", "c").unwrap();
    a.write_at(&[b"3"], 1).unwrap();
    let found = |count| {
        let disk = disk.crash(Crash::Prefix(count));
        [content(&disk, "a"), content(&disk, "b"), content(&disk, "c")]
    };
    assert_eq!(disk.unsynced(), 4);
    assert_eq!(found(0), [some(b""), some(b""), None]);
    assert_eq!(found(1), [some(b"1"), some(b""), None]);
    assert_eq!(found(2), [some(b"1"), some(b"2"), None]);
    assert_eq!(found(3), [some(b"1"), None, some(b"2")]);
    assert_eq!(found(4), [some(b"13"), None, some(b"2")]);
}

#[test]
fn the_last_write_may_survive_alone_and_so_may_the_data_of_one_file() {
    let disk = SimDisk::new();
    let a = durable(&disk, "a", b"");
    let b = durable(&disk, "b", b"");
    a.write_at(&[b"xy"], 0).unwrap();
    b.write_at(&[b"z"], 0).unwrap();
    a.write_at(&[b"w"], 2).unwrap();
    let found = disk.crash(Crash::LastWrite);
    assert_eq!((content(&found, "a"), content(&found, "b")), (some(b"\0\0w"), some(b"")));
    let mut seen = Vec::new();
    for seed in 0..20 {
        let found = disk.crash(Crash::OneFile(seed));
        seen.push((content(&found, "a"), content(&found, "b")));
    }
    seen.sort();
    seen.dedup();
    assert_eq!(seen, [(some(b""), some(b"z")), (some(b"xyw"), some(b""))]);
}

#[test]
fn writes_tear_at_sector_borders_of_the_file_and_nowhere_else() {
    let disk = SimDisk::new();
    let file = durable(&disk, "a", &[1; 2000]);
    file.write_at(&[&[2; 1500]], 100).unwrap();
    let borders = [(100, 512), (512, 1024), (1024, 1536), (1536, 1600)];
    for harsh in [Crash::Torn, Crash::Writeback] {
        let mut patterns = Vec::new();
        for seed in 0..VARIANTS {
            let bytes = content(&disk.crash(harsh(seed)), "a").unwrap();
            assert!(bytes[..100] == [1; 100] && bytes[1600..] == [1; 400]);
            let mut pattern = 0;
            for (from, to) in borders {
                assert!(bytes[from..to].iter().all(|byte| *byte == bytes[from]));
                pattern = pattern * 2 + bytes[from] - 1;
            }
            patterns.push(pattern);
        }
        patterns.sort_unstable();
        patterns.dedup();
        assert_eq!(patterns.len(), 16, "every combination of the four sectors");
    }
}

#[test]
fn writes_survive_out_of_order() {
    let disk = SimDisk::new();
    let file = durable(&disk, "a", &[0; 2]);
    file.write_at(&[b"1"], 0).unwrap();
    file.write_at(&[b"2"], 1).unwrap();
    let all = [some(b"\0\0"), some(b"\x002"), some(b"1\0"), some(b"12")];
    assert_eq!(outcomes(&disk, "a"), all);
}

#[test]
fn writeback_leaves_each_sector_as_it_was_at_some_time() {
    let disk = SimDisk::new();
    let file = durable(&disk, "a", b"--");
    file.write_at(&[b"1"], 0).unwrap();
    file.write_at(&[b"2"], 1).unwrap();
    for seed in 0..VARIANTS {
        let found = content(&disk.crash(Crash::Writeback(seed)), "a");
        assert_ne!(found, some(b"-2"), "both bytes are in one sector");
    }
}

#[test]
fn a_longer_length_may_survive_without_data_and_data_not_beyond_the_length() {
    let disk = SimDisk::new();
    let file = durable(&disk, "a", b"abc");
    file.write_at(&[b"def"], 3).unwrap();
    let all = outcomes(&disk, "a");
    assert_eq!(all, [some(b"abc"), some(b"abc\0\0\0"), some(b"abcdef")]);
    assert_eq!(content(&disk.crash(Crash::MetadataOnly), "a"), some(b"abc\0\0\0"));
}

#[test]
fn a_shortened_file_may_have_its_old_length_back() {
    let disk = SimDisk::new();
    let file = durable(&disk, "a", b"abcdef");
    file.set_length(3).unwrap();
    assert_eq!(outcomes(&disk, "a"), [some(b"abc"), some(b"abcdef")]);
    file.set_length(5).unwrap();
    assert_eq!(content(&disk, "a"), some(b"abc\0\0"));
    file.sync().unwrap();
    assert_eq!(outcomes(&disk, "a"), [some(b"abc\0\0")]);
}

#[test]
fn a_failed_sync_makes_nothing_durable_nor_does_the_next_that_works() {
    let disk = SimDisk::new();
    let file = durable(&disk, "a", b"old");
    file.write_at(&[b"new"], 0).unwrap();
    disk.fail_at(disk.operations(), DiskError::Io);
    assert_eq!(file.sync_job().run(), Err(DiskError::Io));
    assert_eq!(content(&disk, "a"), some(b"new"));
    file.write_at(&[b"more"], 3).unwrap();
    file.sync().unwrap();
    assert_eq!(content(&disk, "a"), some(b"newmore"));
    assert_eq!(outcomes(&disk, "a"), [some(b"newmore"), some(b"oldmore")]);
    file.write_at(&[b"NEW"], 0).unwrap();
    file.sync().unwrap();
    assert_eq!(outcomes(&disk, "a"), [some(b"NEWmore")], "what is written again is durable");
}

#[test]
fn a_failed_directory_sync_leaves_its_names_in_doubt() {
    let disk = SimDisk::new();
    write(&disk, "a", b"a").sync().unwrap();
    disk.fail_at(disk.operations(), DiskError::Io);
    assert_eq!(disk.open_dir("").unwrap().sync(), Err(DiskError::Io));
    sync_dir(&disk, "");
    assert_eq!(outcomes(&disk, "a"), [None, some(b"a")]);
    durable(&disk, "b", b"b");
    assert_eq!(outcomes(&disk, "b"), [some(b"b")], "a later name is durable all the same");
}

#[test]
fn the_power_goes_off_at_the_operation_asked_for_and_stays_off() {
    let disk = SimDisk::new();
    let file = durable(&disk, "a", b"old");
    assert_eq!(disk.operation_log(), ["create a", "write a 0+3", "sync a", "sync "]);
    disk.cut_at(5);
    file.write_at(&[b"new"], 0).unwrap();
    assert!(!disk.is_cut());
    assert_eq!(file.sync(), Err(DiskError::Io));
    assert!(disk.is_cut());
    assert_eq!(disk.operations(), 5);
    let failed = Some(DiskError::Io);
    assert_eq!(file.read_at(&mut [0], 0).err(), failed);
    assert_eq!(file.write_at(&[b"x"], 0).err(), failed);
    assert_eq!(file.length().err(), failed);
    assert_eq!(disk.open("a", Open::Read).err(), failed);
    assert_eq!(disk.open_dir("").err(), failed);
    assert_eq!(disk.list("").err(), failed);
    assert_eq!(disk.rename("a", "b").err(), failed);
    assert_eq!(disk.remove_file("a").err(), failed);
    assert_eq!(disk.free_bytes().err(), failed);
    assert_eq!(outcomes(&disk, "a"), [some(b"new"), some(b"old")]);
    assert!(disk.fork().is_cut());
    write(&disk.after_cut(0), "a", b"the next start is not cut");
}

#[test]
fn operations_fail_on_demand_once_and_a_failed_write_is_half_done() {
    let disk = SimDisk::new();
    let file = durable(&disk, "a", b"----");
    disk.fail_at(disk.operations(), DiskError::NoSpace);
    assert_eq!(file.write_at(&[b"12", b"34"], 0), Err(DiskError::NoSpace));
    assert_eq!(content(&disk, "a"), some(b"12--"));
    disk.fail_at(disk.operations(), DiskError::Io);
    assert_eq!(disk.rename("a", "b"), Err(DiskError::Io));
    disk.fail_at(disk.operations(), DiskError::NoSpace);
    assert_eq!(disk.create_dir("t"), Err(DiskError::NoSpace));
    disk.fail_at(disk.operations(), DiskError::NoSpace);
    assert_eq!(file.reserve(0, 1), Err(DiskError::NoSpace));
    assert_eq!(disk.list("").unwrap(), [("a".to_owned(), false)]);
    disk.rename("a", "b").unwrap();
    disk.fail_read_at(disk.reads() + 1, DiskError::Io);
    assert_eq!(file.read_at(&mut [0], 0), Ok(1));
    assert_eq!(file.read_at(&mut [0], 0), Err(DiskError::Io));
    assert_eq!(file.read_at(&mut [0], 0), Ok(1));
}

#[test]
fn what_changes_nothing_has_no_number() {
    let disk = SimDisk::new();
    disk.create_dir("t").unwrap();
    let file = durable(&disk, "a", b"a");
    let before = disk.operations();
    disk.create_dir("t").unwrap();
    disk.remove_file("nothing").unwrap();
    disk.remove_file("no/thing").unwrap();
    disk.remove_dir("nothing").unwrap();
    disk.open("a", Open::CreateOrKeep).unwrap();
    disk.open("a", Open::Read).unwrap();
    file.write_at(&[b""], 0).unwrap();
    file.reserve(0, 0).unwrap();
    assert_eq!(disk.operations(), before);
}

#[test]
fn a_full_disk_is_full_for_writing_and_reserving_and_removing_makes_room() {
    let disk = SimDisk::with_capacity(16 << 10);
    let a = disk.open("a", Open::CreateEmpty).unwrap();
    a.reserve(0, 8 << 10).unwrap();
    assert_eq!((a.length(), disk.free_bytes()), (Ok(0), Ok(8 << 10)));
    let b = disk.open("b", Open::CreateEmpty).unwrap();
    assert_eq!(b.write_at(&[&[1; 8193]], 0), Err(DiskError::NoSpace));
    b.write_at(&[&[1; 8192]], 0).unwrap();
    assert_eq!(b.reserve(8192, 1), Err(DiskError::NoSpace));
    a.write_at(&[&[1; 8192]], 0).unwrap();
    assert_eq!(a.write_at(&[b"x"], 8192), Err(DiskError::NoSpace));
    b.write_at(&[b"overwriting takes no space"], 0).unwrap();
    disk.remove_file("b").unwrap();
    assert_eq!(disk.free_bytes(), Ok(0), "the handle keeps it");
    drop(b);
    assert_eq!(disk.free_bytes(), Ok(8 << 10));
    a.set_length(4096).unwrap();
    assert_eq!(disk.free_bytes(), Ok(12 << 10));
    assert_eq!(disk.crash(Crash::Everything).free_bytes(), Ok(12 << 10));
}

#[test]
fn a_fork_goes_its_own_way_with_what_is_unsynced() {
    let disk = SimDisk::new();
    let file = durable(&disk, "a", b"old");
    file.write_at(&[b"new"], 0).unwrap();
    let fork = disk.fork();
    assert_eq!((fork.operations(), fork.unsynced()), (disk.operations(), 1));
    file.sync().unwrap();
    disk.remove_file("a").unwrap();
    assert_eq!(content(&fork, "a"), some(b"new"));
    assert_eq!(outcomes(&fork, "a"), [some(b"new"), some(b"old")]);
    fork.open("a", Open::Write).unwrap().write_at(&[b"fork"], 0).unwrap();
    assert_eq!(read(file.as_ref()), b"new");
}

#[test]
fn a_recorded_state_is_what_a_cut_at_that_operation_leaves() {
    let scenario = |disk: &SimDisk| -> DiskResult<()> {
        disk.create_dir("t")?;
        let file = disk.open("t/a", Open::CreateEmpty)?;
        for step in 0..6_u8 {
            file.write_at(&[&[step; 700]], u64::from(step) * 700)?;
            if step % 2 == 1 {
                file.sync()?;
            }
        }
        disk.open_dir("t")?.sync()?;
        disk.rename("t/a", "t/b")?;
        disk.open_dir("")?.sync()
    };
    let recorder = SimDisk::new();
    recorder.record();
    scenario(&recorder).unwrap();
    for number in 0..=recorder.operations() {
        let cut = SimDisk::new();
        cut.cut_at(number);
        assert_eq!(scenario(&cut).is_err(), number < recorder.operations());
        let recorded = recorder.recorded(number).unwrap();
        assert_eq!(recorded.operations(), number);
        for variant in 0..20 {
            let (one, other) = (cut.after_cut(variant), recorded.after_cut(variant));
            for path in ["t/a", "t/b"] {
                assert!(content(&one, path) == content(&other, path), "{number} {variant}");
            }
        }
    }
    assert!(recorder.recorded(recorder.operations() + 1).is_none());
}

#[test]
fn a_variant_is_the_same_every_time() {
    let disk = SimDisk::new();
    for name in ["a", "b", "c"] {
        write(&disk, name, &[1; 3000]);
    }
    for number in 0..VARIANTS {
        let (one, other) = (disk.after_cut(number), disk.after_cut(number));
        for name in ["a", "b", "c"] {
            assert!(content(&one, name) == content(&other, name));
        }
    }
}

#[test]
fn handles_refuse_what_they_were_not_opened_for() {
    let disk = SimDisk::new();
    durable(&disk, "a", b"abc");
    let file = disk.open("a", Open::Read).unwrap();
    assert_eq!(file.write_at(&[b"x"], 0), Err(DiskError::Other(9)));
    assert_eq!(file.reserve(0, 10), Err(DiskError::Other(9)));
    assert_eq!(file.set_length(0), Err(DiskError::Other(22)));
    file.sync().unwrap();
    disk.create_dir("t").unwrap();
    assert_eq!(disk.open("t", Open::Write).err(), Some(IS_A_DIRECTORY));
    assert_eq!(disk.open_dir("a").err(), Some(NOT_A_DIRECTORY));
    assert_eq!(disk.create_dir("a"), Err(NOT_A_DIRECTORY));
    assert_eq!(disk.remove_file("t"), Err(IS_A_DIRECTORY));
    assert_eq!(disk.remove_dir("a"), Err(NOT_A_DIRECTORY));
    assert_eq!(disk.open("x/a", Open::CreateEmpty).err(), Some(DiskError::NotFound));
    assert_eq!(disk.open("../a", Open::Read).err(), Some(DiskError::Denied));
    let file = disk.open("a", Open::Write).unwrap();
    assert_eq!(file.write_at(&[b"x"], u64::MAX), Err(DiskError::Other(27)));
}

#[test]
fn a_crash_state_costs_a_small_part_of_the_disk_that_it_is_of() {
    let disk = SimDisk::new();
    let journal = durable(&disk, "journal", &vec![1; 1 << 20]);
    for number in 0..20_u64 {
        let path = format!("segment-{number}");
        durable(&disk, &path, &vec![2; 40_000]);
        write(&disk, &path, &[3; 9_000]);
        journal.write_at(&[&[4; 5_000]], number * 5_000).unwrap();
    }
    let states = 500;
    let seen = allocation_counter::measure(|| {
        for number in 0..states {
            let found = disk.after_cut(number);
            found.open("journal", Open::Write).unwrap().write_at(&[b"x"], 0).unwrap();
        }
    });
    let each = seen.bytes_total / states;
    // There are 1.8 MiB on it, and tens of thousands of states to look at.
    assert!(each < 400 * 1024, "{each} bytes each");
}
