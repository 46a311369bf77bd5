//! The data directory: who has it, who may write it, and whether its files can be read.
//!
//! Promises: everything is opened for reading only; a directory that a broker is writing to gives
//! the same answers. Absent: records; `ottla log dump` and the broker's own start read those.

use super::finding::Finding;
use super::sockets::process_text;
use crate::disk::os::{LOCK_NAME, OsDisk};
use crate::disk::{Disk, DiskError, Open};
use crate::storage::coordinator::{self, Found};
use crate::storage::journal::{FileHeader, read_file_header};
use crate::storage::layout;
use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// What the lock means.
pub fn check_lock(directory: &Path, holder: Option<i32>) -> Vec<Finding> {
    let shown = directory.display();
    vec![match holder {
        Some(id) => Finding::ok("broker", format!("{} runs on {shown}", process_text(id))),
        None if directory.join(LOCK_NAME).exists() => Finding::ok(
            "broker",
            format!("none runs on {shown}; the file lock in it is the last one's, and harmless"),
        ),
        None => Finding::ok("broker", format!("none runs on {shown}")),
    }]
}

/// What is wrong with the owner and the mode of one file, as seen from its directory's owner.
fn wrong(found: &Metadata, owner: u32) -> Option<&'static str> {
    let needed = if found.is_dir() { 0o700 } else { 0o600 };
    if found.uid() != owner {
        Some("belongs to another user than the data directory")
    } else if found.mode() & needed != needed {
        Some("may not be read and written by its owner")
    } else if found.mode() & 0o002 != 0 {
        Some("may be written by every user of this machine")
    } else {
        None
    }
}

/// All files below a directory, itself first. Topics have partitions, which have files.
fn walk(directory: &Path, depth: usize, all: &mut Vec<(PathBuf, Metadata)>) {
    let Ok(found) = fs::symlink_metadata(directory) else { return };
    let is_dir = found.is_dir();
    all.push((directory.to_path_buf(), found));
    if is_dir && depth > 0 {
        for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
            walk(&entry.path(), depth - 1, all);
        }
    }
}

fn permissions(directory: &Path) -> Finding {
    let subject = "permissions";
    let mut all = Vec::new();
    walk(directory, 4, &mut all);
    let owner = all.first().map_or(0, |(_, found)| found.uid());
    let mut bad =
        all.iter().filter_map(|(path, found)| Some((path, wrong(found, owner)?))).peekable();
    let Some((path, why)) = bad.peek().copied() else {
        let own = fs::metadata("/proc/self").map_or(0, |own| own.uid());
        let text = format!("{} files, all of them the same user's ({owner})", all.len());
        return match own == 0 || own == owner {
            true => Finding::ok(subject, text),
            false => Finding::note(subject, format!("{text}, who is not you ({own})"), ""),
        };
    };
    let count = bad.count();
    let shown = path.display();
    let text = format!("{shown} {why}; {count} of {} files are wrong", all.len());
    let top = directory.display();
    let advice = format!("chown -R {owner} {top}; chmod -R u+rwX,o-w {top}");
    match why.contains("every user") {
        true => Finding::warn(subject, text, &advice),
        false => Finding::fail(subject, text, &advice),
    }
}

/// Owners, modes, and what can be read of the files that the broker starts from.
pub fn check_files(directory: &Path, holder: Option<i32>) -> Vec<Finding> {
    if !directory.exists() {
        let text = format!("{} is not there yet; the broker makes it", directory.display());
        return vec![Finding::note("data", text, "")];
    }
    let mut findings = vec![permissions(directory)];
    let disk = match OsDisk::open_read_only(directory) {
        Ok(disk) => disk,
        Err(error) => {
            let text = format!("{} cannot be opened: {error}", directory.display());
            findings.push(Finding::fail("data", text, "Ask as root, or as the broker's user."));
            return findings;
        }
    };
    let found = [layout::COORDINATOR, layout::COORDINATOR_NEW, layout::COORDINATOR_PREVIOUS]
        .map(|path| coordinator::read(&disk, path));
    findings.push(judge_coordinator(&found));
    findings.push(journal(&disk));
    if disk.open(layout::SYNC_FAILED, Open::Read).is_ok() && holder.is_none() {
        findings.push(Finding::warn(
            "data",
            "the last broker stopped because the disk refused a sync",
            "See dmesg for errors of the card, and replace it if there are some.",
        ));
    }
    findings
}

/// `found`: the file, the one that is being written, and the one before.
fn judge_coordinator(found: &[Found; 3]) -> Finding {
    let newer = found.iter().find_map(|one| match one {
        Found::Newer(version) => Some(version),
        _ => None,
    });
    let whole = found.iter().any(|one| matches!(one, Found::Whole(_)));
    match &found[0] {
        _ if newer.is_some() => Finding::fail(
            "coordinator",
            format!("a newer ottla wrote format {}", newer.unwrap_or(&0)),
            "Run that version again, or a later one.",
        ),
        Found::Whole(file) => Finding::ok(
            "coordinator",
            format!("can be read: checkpoint {}", file.storage.checkpoint),
        ),
        _ if whole => Finding::warn(
            "coordinator",
            "the file cannot be read, the copy before it can: the broker starts from that",
            "Start it once. If it happens again, the card is failing.",
        ),
        Found::Missing if matches!(found[1..], [Found::Missing, Found::Missing]) => {
            Finding::note("coordinator", "not there: no broker has run here yet", "")
        }
        // A first file that is not finished: nothing was promised before it.
        Found::Missing if matches!(found[2], Found::Missing) => {
            Finding::note("coordinator", "the first one is not finished yet", "")
        }
        _ => Finding::fail(
            "coordinator",
            "no copy can be read: topics are found again by their directories, groups are not",
            "Copy the whole data directory away before you start the broker.",
        ),
    }
}

fn journal(disk: &OsDisk) -> Finding {
    let header = disk.open(layout::JOURNAL, Open::Read).and_then(|file| read_file_header(&file));
    match header {
        Ok(FileHeader::Ring(bytes)) => {
            Finding::ok("journal", format!("can be read: {} MiB", bytes >> 20))
        }
        Ok(FileHeader::Newer(version)) => Finding::fail(
            "journal",
            format!("a newer ottla wrote format {version}"),
            "Run that version again, or a later one.",
        ),
        Err(DiskError::NotFound) => {
            Finding::note("journal", "not there: no broker has run here yet", "")
        }
        Ok(FileHeader::Unreadable) => Finding::fail(
            "journal",
            "its first block is rotten: what was acknowledged last may be lost",
            "Copy the whole data directory away before you start the broker.",
        ),
        Err(error) => Finding::fail(
            "journal",
            format!("cannot be read: {error}"),
            "See dmesg for errors of the card; ask as root, or as the broker's user.",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::doctor::finding::Level;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_lock_that_nobody_holds_is_harmless() {
        let directory = tempfile::tempdir().unwrap();
        drop(OsDisk::open(directory.path()).unwrap());
        let text = &check_lock(directory.path(), None)[0].text;
        assert!(text.contains("harmless"), "{text}");
    }

    #[test]
    fn permissions_are_those_of_the_owner_for_every_file() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("f");
        fs::write(&file, "").unwrap();
        let set = |mode| fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
        for (mode, level) in [(0o640, Level::Ok), (0o440, Level::Fail), (0o666, Level::Warn)] {
            set(mode);
            assert_eq!(permissions(directory.path()).level, level, "{mode:o}");
        }
    }

    #[test]
    fn a_coordinator_file_is_whole_or_has_a_copy_or_is_not_there_yet() {
        let level = |found| judge_coordinator(&found).level;
        assert_eq!(level([Found::Missing, Found::Missing, Found::Missing]), Level::Note);
        assert_eq!(level([Found::Unreadable, Found::Missing, Found::Missing]), Level::Fail);
        assert_eq!(level([Found::Missing, Found::Unreadable, Found::Missing]), Level::Note);
        assert_eq!(level([Found::Missing, Found::Missing, Found::Unreadable]), Level::Fail);
        assert_eq!(level([Found::Missing, Found::Missing, Found::Newer(9)]), Level::Fail);
    }
}
