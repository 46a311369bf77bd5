//! `ottla log check`: every segment of a data directory read to its end, and what of it has rotted.
//!
//! Promises: reads only, in a memory that is the broker's own for this; finds what the broker would
//! (`storage::rot`), and says it in the broker's words: which offsets are lost. A log's start and
//! end are those of the last checkpoint (`log_ends`). Absent: what lies behind that and behind the
//! last sound batch: reserved space, or what a start writes again from the journal, or what a power
//! cut left of a batch that nobody was promised; and the ends of a running broker, which move.

use super::Failure;
use super::figures::bytes_text;
use super::lock;
use super::log_ends::{self, Known};
use crate::disk::os::OsDisk;
use crate::disk::{Disk, DiskError, FileRef, Open};
use crate::storage::PartitionKey;
use crate::storage::layout;
use crate::storage::rot::{Rot, Stretch};
use clap::Args;
use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;

/// What `ottla log check` was asked to do.
#[derive(Args, Debug)]
pub struct CheckArgs {
    /// The data directory
    #[arg(long, value_name = "DIR", default_value = "./ottla-data")]
    data: PathBuf,
}

impl CheckArgs {
    /// Of this directory.
    pub fn of(data: PathBuf) -> CheckArgs {
        CheckArgs { data }
    }
}

/// What was found in all.
#[derive(Default)]
struct Sum {
    segments: u64,
    bytes: u64,
    gaps: u64,
    records: u64,
}

/// Runs the command.
pub fn run(args: &CheckArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let shown = args.data.display();
    let disk = OsDisk::open_read_only(&args.data)
        .map_err(|error| Failure::new(format!("cannot read the directory {shown}: {error}")))?;
    let topics = match disk.list(layout::TOPICS) {
        Err(DiskError::NotFound) => Vec::new(),
        listed => listed.map_err(|error| failure(layout::TOPICS, error))?,
    };
    let mut partitions: Vec<String> =
        topics.into_iter().filter(|(_, is_dir)| *is_dir).map(|(name, _)| name).collect();
    partitions.sort();
    let ends = match lock::holder(&args.data) {
        Some(_) => BTreeMap::new(),
        None => log_ends::known(&disk),
    };
    let (mut rot, mut sum) = (Rot::new(), Sum::default());
    for partition in &partitions {
        check_partition(&disk, &mut rot, (partition, ends.get(partition)), &mut sum, out)?;
    }
    writeln!(
        out,
        "{} partitions, {} segments, {} read: {}",
        partitions.len(),
        sum.segments,
        bytes_text(i64::try_from(sum.bytes).unwrap_or(i64::MAX)),
        match sum.gaps {
            0 => "nothing has rotted".to_owned(),
            gaps => format!("{gaps} gaps with {} records", sum.records),
        }
    )?;
    // The lines have said it.
    if sum.gaps == 0 { Ok(()) } else { Err(Failure::Code(1)) }
}

fn failure(path: &str, error: DiskError) -> Failure {
    Failure::new(format!("cannot read {path}: {error}"))
}

impl Sum {
    /// Counts and says a gap; `at`: byte and segment where it begins.
    fn lost(
        &mut self,
        partition: &str,
        (first, next): (i64, i64),
        at: Option<(u32, i64)>,
        out: &mut dyn Write,
    ) -> Result<(), Failure> {
        self.gaps += 1;
        self.records += next.abs_diff(first);
        let place = at.map_or("their segment is gone".to_owned(), |(position, base)| {
            format!("at byte {position} of {base:020}.log")
        });
        Ok(writeln!(out, "{partition}: offsets {first} to {} are lost, {place}", next - 1)?)
    }
}

fn check_partition(
    disk: &OsDisk,
    rot: &mut Rot,
    (partition, known): (&str, Option<&Known>),
    sum: &mut Sum,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let dir = format!("{}/{partition}", layout::TOPICS);
    let names = disk.list(&dir).map_err(|error| failure(&dir, error))?;
    let mut bases: Vec<i64> =
        names.iter().filter_map(|(name, _)| layout::segment_base(name)).collect();
    bases.sort_unstable();
    bases.dedup();
    // The offset behind what was looked at.
    let mut reached = known.map_or(i64::MAX, |known| known.start);
    if let Some(first) = bases.first().filter(|first| **first > reached) {
        sum.lost(partition, (reached, *first), None, out)?;
    }
    for (at, base) in bases.iter().enumerate() {
        let next = bases.get(at + 1).copied();
        let path = layout::segment_file(&dir, *base);
        let log = match disk.open(&path, Open::Read) {
            Ok(log) => log,
            // Retention was faster.
            Err(DiskError::NotFound) => continue,
            Err(error) => return Err(failure(&path, error)),
        };
        let length = log.length().map_err(|error| failure(&path, error))?;
        let length = u32::try_from(length).unwrap_or(u32::MAX);
        // The newest segment's end at the checkpoint; behind that it may go on.
        let end = known.filter(|known| next.is_none() && known.last.is_some_and(|l| l.0 == *base));
        let end = end.and_then(|known| Some((known.last?.1.min(length), known.end)));
        let place = (partition, *base);
        let mut from = (0, *base);
        if let Some(end) = end {
            check_stretch(&log, rot, place, (from, (end.0, Some(end.1))), sum, out)?;
            from = end;
        }
        reached = check_stretch(&log, rot, place, (from, (length, next)), sum, out)?;
        sum.segments += 1;
        sum.bytes += u64::from(length);
    }
    // The newest segment of the checkpoint, if its file is gone and no later one is there.
    if let Some(known) = known
        && let Some((base, 1..)) = known.last
        && bases.last().is_none_or(|last| *last < base)
    {
        let first = reached.max(known.start);
        if first < known.end {
            sum.lost(partition, (first, known.end), None, out)?;
        }
    }
    Ok(())
}

/// A byte and the offset that begins there.
type At<O> = (u32, O);

/// Checks a segment's batches from a place to another, whose offset may be unknown; the offset
/// behind them.
fn check_stretch(
    log: &FileRef,
    rot: &mut Rot,
    (partition, base): (&str, i64),
    (from, to): (At<i64>, At<Option<i64>>),
    sum: &mut Sum,
    out: &mut dyn Write,
) -> Result<i64, Failure> {
    let failed = |error| Failure::new(format!("cannot read {partition}/{base:020}.log: {error}"));
    let ((mut position, mut expected), (limit, next)) = (from, to);
    while position < limit {
        let checked = rot.check(log, position, limit, expected).map_err(failed)?;
        (position, expected) = (checked.end, checked.next);
        if checked.all {
            break;
        }
        let stretch = Stretch {
            log: Some(log),
            key: PartitionKey { topic: 0, partition: 0 },
            segment_base: base,
            limit,
            next: next.unwrap_or(i64::MAX),
        };
        let gap = rot.measure(&stretch, position, expected).map_err(failed)?;
        if gap.end == limit {
            break;
        }
        sum.lost(partition, (gap.first, gap.next), Some((position, base)), out)?;
        (position, expected) = (gap.end, gap.next);
    }
    if let Some(next) = next.filter(|next| *next > expected) {
        sum.lost(partition, (expected, next), Some((position, base)), out)?;
    }
    Ok(next.unwrap_or(expected))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::batch::Stamped;
    use crate::wire::record::BatchBuilder;

    fn batch(offset: i64, value: &str) -> Vec<u8> {
        let mut builder = BatchBuilder::new(7);
        builder.push(7, None, Some(value.as_bytes()), &[]);
        Stamped::new(&builder.finish(), offset, 0, None).unwrap().parts().concat()
    }

    fn checked(data: &std::path::Path) -> (bool, String) {
        let mut out = Vec::new();
        let result = run(&CheckArgs { data: data.to_owned() }, &mut out);
        (result.is_ok(), String::from_utf8(out).unwrap())
    }

    #[test]
    fn what_is_rotten_is_named_and_the_end_of_the_last_segment_is_not() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(
            checked(dir.path()),
            (true, "0 partitions, 0 segments, 0 B read: nothing has rotted\n".to_owned())
        );
        let partition = dir.path().join("topics/t-0");
        std::fs::create_dir_all(&partition).unwrap();
        let first = [batch(0, "a"), batch(1, "b"), batch(2, "c")];
        let mut last = [batch(3, "d"), batch(4, "e")].concat();
        last.resize(4096, 0);
        let path = partition.join(format!("{:020}.log", 0));
        std::fs::write(&path, first.concat()).unwrap();
        std::fs::write(partition.join(format!("{:020}.log", 3)), &last).unwrap();
        let size = first[0].len();
        let read = bytes_text((3 * size + 4096) as i64);
        let (sound, said) = checked(dir.path());
        assert_eq!(said, format!("1 partitions, 2 segments, {read} read: nothing has rotted\n"));
        assert!(sound);
        let mut spoilt = first.concat();
        spoilt[size + 66] ^= 1;
        std::fs::write(&path, &spoilt).unwrap();
        let (sound, said) = checked(dir.path());
        assert!(!sound);
        let expected = format!(
            "t-0: offsets 1 to 1 are lost, at byte {size} of 00000000000000000000.log\n\
             1 partitions, 2 segments, {read} read: 1 gaps with 1 records\n"
        );
        assert_eq!(said, expected);
        std::fs::write(&path, &spoilt[..size]).unwrap();
        let (_, said) = checked(dir.path());
        assert!(said.starts_with("t-0: offsets 1 to 2 are lost"), "{said}");
    }
}
