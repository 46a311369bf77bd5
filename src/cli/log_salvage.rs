//! `ottla log salvage`: all that can still be read of a data directory, in a new one that a broker
//! starts with.
//!
//! For a card that dies: nothing is written to the old directory, which may be mounted read-only;
//! where its device gives up on a block, zeros take its place, and the broker's own recovery does
//! the rest in the copy, as after a power cut: journal, coordinator files, segments; and where
//! one of them is lost, what the others know. Offsets stay what they were, with gaps.
//!
//! Promises: every intact batch is in the copy; what is lost is said. Exit code 0: nothing is lost
//! that was there; 1: something is. Absent: a running broker's directory, which is refused, and the
//! indexes, which are made anew.

use super::Failure;
use super::lock;
use super::log_check::{self, CheckArgs};
use crate::broker::{self, Opened};
use crate::config::{BrokerConfig, board_named};
use crate::disk::os::{OsDisk, random_seed, wall_ms};
use crate::disk::{Disk, DiskError, FileRef, Open};
use crate::limits::{SALVAGE_BLOCK_BYTES, SALVAGE_PIECE_BYTES};
use crate::state::coordinator_file::Snapshot;
use crate::storage::coordinator::{self, Found};
use crate::storage::layout;
use crate::time::{Millis, Now};
use clap::Args;
use std::io::Write;
use std::path::PathBuf;
use std::rc::Rc;

/// What `ottla log salvage` was asked to do.
#[derive(Args, Debug)]
pub struct SalvageArgs {
    /// The data directory, or a copy of it; nothing is written to it
    #[arg(long, value_name = "DIR", default_value = "./ottla-data")]
    data: PathBuf,
    /// The new data directory; it must be empty, or not there yet
    #[arg(long, value_name = "DIR")]
    to: PathBuf,
}

/// The broker's files in the data directory itself.
const FILES: [&str; 4] =
    [layout::COORDINATOR, layout::COORDINATOR_PREVIOUS, layout::COORDINATOR_NEW, layout::JOURNAL];

/// Runs the command.
pub fn run(args: &SalvageArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let (from, to) = (args.data.display(), args.to.display());
    if lock::holder(&args.data).is_some() {
        let said = format!("a broker runs on {from}: stop it first, or copy the card");
        return Err(Failure::new(said));
    }
    let source = OsDisk::open_read_only(&args.data)
        .map_err(|error| Failure::new(format!("cannot read the directory {from}: {error}")))?;
    let partitions = partitions(&source)?;
    let there = |path: &&str| source.open(path, Open::Read).is_ok();
    if partitions.is_empty() && !FILES.iter().any(&there) {
        return Err(Failure::new(format!("{from} holds nothing of a broker's")));
    }
    let taken = std::fs::read_dir(&args.to).is_ok_and(|mut entries| entries.next().is_some());
    if taken {
        return Err(Failure::new(format!("{to} is not empty: name a new directory with --to")));
    }
    let copy = OsDisk::open(&args.to)
        .map_err(|error| Failure::new(format!("cannot write to the directory {to}: {error}")))?;
    let mut lost = false;
    for path in FILES.iter().filter(|path| there(path)) {
        lost |= copy_file(&source, &copy, path, out)?;
    }
    let failed = |path: &str, error| Failure::new(format!("cannot write {path} in {to}: {error}"));
    copy.create_dir(layout::TOPICS).map_err(|error| failed(layout::TOPICS, error))?;
    for dir in &partitions {
        copy.create_dir(dir).map_err(|error| failed(dir, error))?;
        let names = match source.list(dir) {
            Ok(names) => names,
            Err(error) => {
                lost = true;
                writeln!(out, "{dir}: cannot be listed: {error}")?;
                continue;
            }
        };
        for (name, _) in names.iter().filter(|(name, _)| layout::segment_base(name).is_some()) {
            lost |= copy_file(&source, &copy, &format!("{dir}/{name}"), out)?;
        }
        let synced = copy.open_dir(dir).and_then(|dir| dir.sync());
        synced.map_err(|error| failed(dir, error))?;
    }
    for dir in [layout::TOPICS, ""] {
        let synced = copy.open_dir(dir).and_then(|dir| dir.sync());
        synced.map_err(|error| failed(dir, error))?;
    }
    lost |= recover(copy, out)?;
    writeln!(out, "ottla serve --data {to} starts with what there is")?;
    let check = CheckArgs::of(args.to.clone());
    match log_check::run(&check, out) {
        Ok(()) if !lost => Ok(()),
        Ok(()) => Err(Failure::Code(1)),
        other => other,
    }
}

/// The directories of partitions.
fn partitions(source: &dyn Disk) -> Result<Vec<String>, Failure> {
    let names = match source.list(layout::TOPICS) {
        Err(DiskError::NotFound) => Vec::new(),
        listed => listed
            .map_err(|error| Failure::new(format!("cannot read {}: {error}", layout::TOPICS)))?,
    };
    let known = |(name, is_dir): &(String, bool)| *is_dir && layout::partition_of(name).is_some();
    let dirs = names.iter().filter(|entry| known(entry));
    let mut dirs: Vec<String> =
        dirs.map(|(name, _)| format!("{}/{name}", layout::TOPICS)).collect();
    dirs.sort();
    Ok(dirs)
}

/// Copies one file; says whether some of it could not be read.
fn copy_file(
    source: &dyn Disk,
    copy: &dyn Disk,
    path: &str,
    out: &mut dyn Write,
) -> Result<bool, Failure> {
    let opened = source.open(path, Open::Read).and_then(|file| Ok((file.length()?, file)));
    let (length, from) = match opened {
        Ok(opened) => opened,
        Err(error) => {
            writeln!(out, "{path}: cannot be opened: {error}")?;
            return Ok(true);
        }
    };
    let failed = |error| Failure::new(format!("cannot write the copy of {path}: {error}"));
    let to = copy.open(path, Open::CreateEmpty).map_err(failed)?;
    let (mut at, mut unreadable) = (0, 0);
    let mut piece = vec![0; SALVAGE_PIECE_BYTES];
    while at < length {
        let bytes = (length - at).min(piece.len() as u64) as usize;
        let piece = &mut piece[..bytes];
        unreadable += read_piece(&from, piece, at);
        to.write_at(&[piece], at).map_err(failed)?;
        at += bytes as u64;
    }
    to.sync().map_err(failed)?;
    if unreadable > 0 {
        writeln!(out, "{path}: {unreadable} bytes of {length} cannot be read from the device")?;
    }
    Ok(unreadable > 0)
}

/// Reads a piece, and block by block where that fails; zeros stand for what cannot be read. How
/// many bytes those are.
fn read_piece(file: &FileRef, piece: &mut [u8], at: u64) -> usize {
    if file.read_exact_at(piece, at).is_ok() {
        return 0;
    }
    let mut unreadable = 0;
    for (number, block) in piece.chunks_mut(SALVAGE_BLOCK_BYTES).enumerate() {
        let start = at + (number * SALVAGE_BLOCK_BYTES) as u64;
        if file.read_exact_at(block, start).is_err() {
            block.fill(0);
            unreadable += block.len();
        }
    }
    unreadable
}

/// Lets the broker recover the copy, and stops it in order. Says whether it missed anything.
fn recover(copy: OsDisk, out: &mut dyn Write) -> Result<bool, Failure> {
    let largest = board_named("desktop").ok_or_else(|| Failure::new("no board for the copy"))?;
    let mut config = BrokerConfig::of(&largest);
    // Whose number it is stays.
    let known = [layout::COORDINATOR, layout::COORDINATOR_PREVIOUS].iter().find_map(|path| {
        match coordinator::read(&copy, path) {
            Found::Whole(file) => Snapshot::decode(&file.state).ok().map(|known| known.node_id),
            _ => None,
        }
    });
    config.node_id = known.unwrap_or(config.node_id);
    let now = Now { mono: Millis(0), wall_ms: wall_ms() };
    let Opened { mut broker, report } = broker::open(Rc::new(copy), config, random_seed(), now)
        .map_err(|error| Failure::new(format!("the copy cannot be recovered: {error}")))?;
    for note in &report.notes {
        writeln!(out, "{note}")?;
    }
    let mut synced = broker.storage_mut().sync_all(now.mono);
    if synced.is_ok() {
        broker.checkpoint(true, true, now).ok();
        synced = broker.storage_mut().sync_all(now.mono);
    }
    synced.map_err(|error| Failure::new(format!("the copy cannot be written: {error}")))?;
    Ok(!report.notes.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::sim::SimDisk;

    #[test]
    fn zeros_take_the_place_of_what_the_device_does_not_give_and_of_nothing_else() {
        let (card, copy) = (SimDisk::new(), SimDisk::new());
        let bytes: Vec<u8> = (0..3 * SALVAGE_PIECE_BYTES + 700).map(|n| n as u8 | 1).collect();
        card.open("journal", Open::CreateEmpty).unwrap().write_at(&[&bytes], 0).unwrap();
        // The second piece fails as a whole; read block by block, its third and last fail. What
        // fails is read twice.
        let blocks = (SALVAGE_PIECE_BYTES / SALVAGE_BLOCK_BYTES) as u64;
        for read in [1, 2 + 3, 3 + blocks] {
            card.fail_read_at(read, DiskError::Io);
            card.fail_read_at(read + 1, DiskError::Io);
        }
        let mut out = Vec::new();
        let lost = copy_file(&card, &copy, "journal", &mut out);
        assert!(lost.unwrap_or(false));
        let said = String::from_utf8(out).unwrap();
        assert_eq!(said, "journal: 8192 bytes of 3146428 cannot be read from the device\n");
        let mut found = vec![0; bytes.len()];
        copy.open("journal", Open::Read).unwrap().read_exact_at(&mut found, 0).unwrap();
        let mut expected = bytes;
        for block in [2, blocks as usize - 1] {
            let at = SALVAGE_PIECE_BYTES + block * SALVAGE_BLOCK_BYTES;
            expected[at..at + SALVAGE_BLOCK_BYTES].fill(0);
        }
        assert!(found == expected);
        let full = SimDisk::with_capacity(1 << 20);
        let failed = copy_file(&card, &full, "journal", &mut Vec::new());
        assert!(
            failed.is_err_and(|failure| format!("{failure:?}").contains("cannot write the copy"))
        );
    }
}
