//! Tests of the module above.

use super::*;
use std::os::unix::fs::PermissionsExt;

fn disk() -> (tempfile::TempDir, OsDisk) {
    let directory = tempfile::tempdir().unwrap();
    let disk = OsDisk::open(directory.path()).unwrap();
    (directory, disk)
}

fn content(disk: &OsDisk, path: &str) -> Vec<u8> {
    let file = disk.open(path, Open::Read).unwrap();
    let mut bytes = vec![0; usize::try_from(file.length().unwrap()).unwrap()];
    file.read_exact_at(&mut bytes, 0).unwrap();
    bytes
}

#[test]
fn used_bytes_are_what_du_counts_each_time() {
    let (directory, disk) = disk();
    let du = || {
        let output = std::process::Command::new("du")
            .args(["-s", "--block-size=1"])
            .arg(directory.path())
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        text.split_whitespace().next().unwrap().parse::<u64>().unwrap()
    };
    disk.create_dir("topics").unwrap();
    for n in 0..40 {
        let path = format!("topics/{n:0200}");
        disk.create_dir(&path).unwrap();
        let file = disk.open(&format!("{path}/log"), Open::CreateEmpty).unwrap();
        file.reserve(0, 5_000 * n).unwrap();
        file.write_at(&[&[1; 100]], 20_000 * (n % 3)).unwrap();
        assert_eq!(disk.used_bytes(), Ok(du()), "{n}");
    }
    disk.remove_file(&format!("topics/{:0200}/log", 39)).unwrap();
    assert_eq!((disk.used_bytes(), disk.used_bytes()), (Ok(du()), Ok(du())));
}

#[test]
fn a_second_open_is_refused_until_the_first_is_gone_and_a_reader_is_not() {
    let (directory, disk) = disk();
    disk.create_dir("topics").unwrap();
    assert_eq!(OsDisk::open(directory.path()).err(), Some(DiskError::Locked));
    let reader = OsDisk::open_read_only(directory.path()).unwrap();
    assert_eq!(reader.list("").unwrap(), [("topics".to_owned(), true)]);
    drop(disk);
    OsDisk::open(directory.path()).unwrap();
}

#[test]
fn a_reader_changes_nothing_and_creates_nothing() {
    let (directory, disk) = disk();
    disk.open("a", Open::CreateEmpty).unwrap().write_at(&[b"kept"], 0).unwrap();
    let reader = OsDisk::open_read_only(directory.path()).unwrap();
    for mode in [Open::Write, Open::CreateEmpty, Open::CreateOrKeep] {
        assert_eq!(reader.open("a", mode).err(), Some(DiskError::ReadOnly));
    }
    assert_eq!(reader.create_dir("b"), Err(DiskError::ReadOnly));
    assert_eq!(reader.remove_file("a"), Err(DiskError::ReadOnly));
    assert_eq!(reader.remove_dir("a"), Err(DiskError::ReadOnly));
    assert_eq!(reader.rename("a", "b"), Err(DiskError::ReadOnly));
    assert_eq!(content(&reader, "a"), b"kept");
    let nowhere = directory.path().join("nowhere");
    assert_eq!(OsDisk::open_read_only(&nowhere).err(), Some(DiskError::NotFound));
    assert!(!nowhere.exists());
}

#[test]
fn the_directory_is_created_with_its_parents_for_owner_and_group() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("one/two/three");
    let disk = OsDisk::open(&path).unwrap();
    disk.open("file", Open::CreateEmpty).unwrap();
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
    // The process's umask may take rights away, and never adds any.
    assert_eq!(mode(&path) & !0o750, 0);
    assert_eq!(mode(&path) & 0o700, 0o700);
    assert_eq!(mode(&path.join("file")) & !0o640, 0);
    assert_eq!(mode(&path.join("file")) & 0o600, 0o600);
}

#[test]
fn a_data_directory_that_is_a_file_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    std::fs::write(&path, b"").unwrap();
    let not_a_directory = DiskError::Other(Errno::NOTDIR.raw_os_error());
    assert_eq!(OsDisk::open(&path).err(), Some(not_a_directory));
}

#[test]
fn parts_are_written_one_behind_the_other_however_many_and_however_empty() {
    let (_directory, disk) = disk();
    let file = disk.open("a", Open::CreateEmpty).unwrap();
    let pieces: Vec<Vec<u8>> = (0..100_u8).map(|n| vec![n; usize::from(n % 7)]).collect();
    let parts: Vec<&[u8]> = pieces.iter().map(Vec::as_slice).collect();
    file.write_at(&parts, 3).unwrap();
    file.write_at(&[], 1_000_000).unwrap();
    file.write_at(&[b"", b""], 1_000_000).unwrap();
    let mut expected = vec![0; 3];
    expected.extend(pieces.concat());
    assert_eq!(content(&disk, "a"), expected);
}

#[test]
fn positions_beyond_four_gigabytes_work_and_reads_stop_at_the_end() {
    let (_directory, disk) = disk();
    let file = disk.open("a", Open::CreateEmpty).unwrap();
    let far = 5 << 30;
    file.write_at(&[b"far"], far).unwrap();
    assert_eq!(file.length(), Ok(far + 3));
    let mut buffer = [9; 8];
    assert_eq!(file.read_at(&mut buffer, far + 1), Ok(2));
    assert_eq!(&buffer[..3], b"ar\x09");
    assert_eq!(file.read_at(&mut buffer, far + 3), Ok(0));
    assert_eq!(file.read_exact_at(&mut buffer, far), Err(DiskError::UnexpectedEnd));
    file.set_length(1).unwrap();
    assert_eq!(file.length(), Ok(1));
}

#[test]
fn reserving_keeps_the_length() {
    let (directory, disk) = disk();
    let file = disk.open("a", Open::CreateEmpty).unwrap();
    file.write_at(&[b"abc"], 0).unwrap();
    file.reserve(0, 1 << 20).unwrap();
    file.reserve(7, 0).unwrap();
    assert_eq!(file.length(), Ok(3));
    assert_eq!(content(&disk, "a"), b"abc");
    drop(directory);
}

#[test]
fn what_is_opened_for_reading_cannot_be_written() {
    let (_directory, disk) = disk();
    disk.open("a", Open::CreateEmpty).unwrap().write_at(&[b"abc"], 0).unwrap();
    let file = disk.open("a", Open::Read).unwrap();
    let bad_descriptor = DiskError::Other(Errno::BADF.raw_os_error());
    assert_eq!(file.write_at(&[b"x"], 0), Err(bad_descriptor));
    assert_eq!(file.reserve(0, 10), Err(bad_descriptor));
    assert_eq!(file.set_length(0), Err(DiskError::Other(Errno::INVAL.raw_os_error())));
    assert_eq!(content(&disk, "a"), b"abc");
}

#[test]
fn the_four_ways_to_open_differ_as_they_should() {
    let (_directory, disk) = disk();
    assert_eq!(disk.open("a", Open::Read).err(), Some(DiskError::NotFound));
    assert_eq!(disk.open("a", Open::Write).err(), Some(DiskError::NotFound));
    disk.open("a", Open::CreateOrKeep).unwrap().write_at(&[b"abc"], 0).unwrap();
    disk.open("a", Open::CreateOrKeep).unwrap();
    disk.open("a", Open::Write).unwrap().write_at(&[b"d"], 3).unwrap();
    assert_eq!(content(&disk, "a"), b"abcd");
    disk.open("a", Open::CreateEmpty).unwrap();
    assert_eq!(content(&disk, "a"), b"");
}

#[test]
fn names_are_renamed_replaced_and_removed_while_an_open_file_stays_readable() {
    let (_directory, disk) = disk();
    disk.create_dir("t").unwrap();
    disk.create_dir("t").unwrap();
    let old = disk.open("t/a", Open::CreateEmpty).unwrap();
    old.write_at(&[b"old"], 0).unwrap();
    disk.open("t/b", Open::CreateEmpty).unwrap().write_at(&[b"new"], 0).unwrap();
    disk.rename("t/b", "t/a").unwrap();
    assert_eq!(disk.list("t").unwrap(), [("a".to_owned(), false)]);
    assert_eq!(content(&disk, "t/a"), b"new");
    let mut buffer = [0; 3];
    old.read_exact_at(&mut buffer, 0).unwrap();
    assert_eq!(&buffer, b"old");
    assert_eq!(disk.remove_dir("t"), Err(DiskError::Exists));
    disk.open_dir("t").unwrap().sync().unwrap();
    disk.remove_file("t/a").unwrap();
    disk.remove_file("t/a").unwrap();
    disk.remove_dir("t").unwrap();
    disk.remove_dir("t").unwrap();
    assert_eq!(disk.list("").unwrap(), []);
    assert_eq!(disk.list("t").err(), Some(DiskError::NotFound));
}

#[test]
fn a_directory_in_the_way_or_a_file_in_the_way_is_told() {
    let (_directory, disk) = disk();
    disk.open("a", Open::CreateEmpty).unwrap();
    let not_a_directory = DiskError::Other(Errno::NOTDIR.raw_os_error());
    assert_eq!(disk.create_dir("a"), Err(not_a_directory));
    assert_eq!(disk.open_dir("a").err(), Some(not_a_directory));
    assert_eq!(disk.create_dir("no/parent"), Err(DiskError::NotFound));
}

#[test]
fn no_path_leaves_the_data_directory() {
    let (_directory, disk) = disk();
    for path in ["/etc/passwd", "..", "../x", "t/../../x"] {
        assert_eq!(disk.open(path, Open::CreateOrKeep).err(), Some(DiskError::Denied));
        assert_eq!(disk.rename("a", path), Err(DiskError::Denied));
        assert_eq!(disk.list(path), Err(DiskError::Denied));
    }
}

#[test]
fn files_and_directories_sync_in_place_by_job_and_slowly() {
    let (_directory, disk) = disk();
    let file = disk.open("a", Open::CreateEmpty).unwrap();
    file.sync().unwrap();
    file.sync_job().run().unwrap();
    disk.open_dir("").unwrap().sync_job().run().unwrap();
    assert!(file.descriptor().is_some());

    let slow = disk.with_sync_delay(Duration::from_millis(30));
    let job = slow.open("a", Open::Write).unwrap().sync_job();
    let start = std::time::Instant::now();
    std::thread::spawn(|| job.run()).join().unwrap().unwrap();
    assert!(start.elapsed() >= Duration::from_millis(30));
}

#[test]
fn there_is_free_space_to_report() {
    let (_directory, disk) = disk();
    assert!(disk.free_bytes().unwrap() > 0);
}

#[test]
fn a_full_device_is_no_space() {
    let Ok(full) = OsDisk::open_read_only(Path::new("/dev")) else { return };
    let writer = OsDisk { lock: full.root.try_clone().ok(), ..full };
    let file = writer.open("full", Open::Write).unwrap();
    assert_eq!(file.write_at(&[b"x"], 0), Err(DiskError::NoSpace));
}

/// Writes parts to a file of bytes that takes what `answers` say: so many bytes of what is asked,
/// or an error. Returns the file and how it ended.
fn written(
    parts: &[&[u8]],
    answers: impl IntoIterator<Item = Result<usize, Errno>>,
) -> (Vec<u8>, DiskResult<()>) {
    let (mut file, mut answers) = (vec![0; 5], answers.into_iter());
    let result = write_parts(parts, 5, |slices, at| {
        let most = answers.next().unwrap_or(Ok(usize::MAX))?;
        let asked: Vec<u8> = slices.iter().flat_map(|slice| slice.iter().copied()).collect();
        assert_eq!(at, file.len() as u64, "each call goes on where the last one ended");
        file.extend_from_slice(&asked[..most.min(asked.len())]);
        Ok(most.min(asked.len()))
    });
    (file, result)
}

#[test]
fn a_short_write_goes_on_where_it_ended_whatever_its_length() {
    let pieces: Vec<Vec<u8>> = (1..=40_u8).map(|n| vec![n; usize::from(n % 9)]).collect();
    let parts: Vec<&[u8]> = pieces.iter().map(Vec::as_slice).collect();
    let mut expected = vec![0; 5];
    expected.extend(pieces.concat());
    for first in 1..expected.len() {
        for then in [1, 3, 8, usize::MAX] {
            let answers = std::iter::once(Ok(first)).chain(std::iter::repeat(Ok(then)));
            assert_eq!(written(&parts, answers), (expected.clone(), Ok(())), "{first}, {then}");
        }
    }
}

#[test]
fn an_interrupted_write_is_made_again_and_every_other_error_ends_it() {
    let parts: [&[u8]; 2] = [b"abc", b"def"];
    let interrupted = [Err(Errno::INTR), Ok(4), Err(Errno::INTR), Err(Errno::INTR), Ok(2)];
    assert_eq!(written(&parts, interrupted), (b"\0\0\0\0\0abcdef".to_vec(), Ok(())));
    for (errno, error) in [
        (Errno::IO, DiskError::Io),
        (Errno::NOSPC, DiskError::NoSpace),
        (Errno::ROFS, DiskError::ReadOnly),
    ] {
        let (file, result) = written(&parts, [Ok(4), Err(errno), Ok(2)]);
        assert_eq!((file, result), (b"\0\0\0\0\0abcd".to_vec(), Err(error)));
    }
    // Nothing written and no reason: an error, not a loop.
    assert_eq!(written(&parts, [Ok(4), Ok(0)]).1, Err(DiskError::Io));
}

#[test]
fn calls_that_are_interrupted_are_made_again() {
    let mut answers = [Err(Errno::INTR), Err(Errno::INTR), Ok(7)].into_iter();
    assert_eq!(finish(|| answers.next().unwrap()), Ok(7));
    let mut answers = [Err(Errno::INTR), Err(Errno::IO), Ok(7)].into_iter();
    assert_eq!(finish(|| answers.next().unwrap()), Err(DiskError::Io));
    assert_eq!(answers.len(), 1, "no other error is");
}
