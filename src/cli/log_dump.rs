//! `ottla log dump`: the batches and records of segment files, in the lines of kafka-dump-log.
//!
//! Promises: reads files only, one batch in memory at a time; a CRC that is wrong is a verdict
//! (`isvalid: false`) and not the end; what can be no batch ends the file with its position and
//! exit code 1. Absent: index files, and batches of magic 0 and 1.

use super::Failure;
use super::log_check::{self, CheckArgs};
use super::log_salvage::{self, SalvageArgs};
use crate::client::batches::{BatchesError, PlacedRecord, visit_batch};
use crate::limits::{CLI_BATCH_BYTES_MAX, CLI_DECOMPRESSED_BYTES_MAX};
use crate::wire::batch::{BatchHeader, HEADER_BYTES, check_stored};
use clap::{Args, Subcommand};
use std::fs::File;
use std::io::{BufReader, Read, Write};
use std::path::{Path, PathBuf};

/// What `ottla log` was asked to do.
#[derive(Args, Debug)]
pub struct LogArgs {
    #[command(subcommand)]
    command: LogCommand,
}

#[derive(Debug, Subcommand)]
enum LogCommand {
    /// Print the batches of segment files, and the verdict on each one's CRC
    Dump(DumpArgs),
    /// Look for what has rotted in a data directory; nothing is changed, and the broker may run
    Check(CheckArgs),
    /// Copy what can still be read of a data directory into a new one that a broker starts with
    Salvage(SalvageArgs),
}

#[derive(Args, Debug)]
struct DumpArgs {
    /// Segment files
    #[arg(value_name = "FILE", required_unless_present = "files")]
    file: Vec<PathBuf>,
    /// Segment files, as in kafka-dump-log
    #[arg(long, value_name = "FILE,...", value_delimiter = ',')]
    files: Vec<PathBuf>,
    /// Print the records too, with their keys and values
    #[arg(long)]
    print_data_log: bool,
    /// Print the records too, without their keys and values
    #[arg(long)]
    deep_iteration: bool,
}

/// Runs the command.
pub fn run(args: &LogArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let args = match &args.command {
        LogCommand::Dump(args) => args,
        LogCommand::Check(args) => return log_check::run(args, out),
        LogCommand::Salvage(args) => return log_salvage::run(args, out),
    };
    let mut invalid = 0;
    for path in args.file.iter().chain(&args.files) {
        writeln!(out, "Dumping {}", path.display())?;
        if let Some(offset) = starting_offset(path) {
            writeln!(out, "Log starting offset: {offset}")?;
        }
        let file = File::open(path).map_err(|error| cannot_read(path, &error))?;
        invalid += dump(args, path, &mut BufReader::new(file), out)?;
    }
    match invalid {
        0 => Ok(()),
        count => Err(Failure::new(format!("{count} batches have a wrong CRC"))),
    }
}

fn cannot_read(path: &Path, error: &std::io::Error) -> Failure {
    Failure::new(format!("cannot read {}: {error}", path.display()))
}

/// The offset that a segment's name tells.
fn starting_offset(path: &Path) -> Option<i64> {
    path.file_stem()?.to_str()?.parse().ok()
}

/// Prints one file; returns how many of its batches have a wrong CRC.
fn dump(
    args: &DumpArgs,
    path: &Path,
    source: &mut impl Read,
    out: &mut dyn Write,
) -> Result<usize, Failure> {
    let (mut position, mut invalid) = (0u64, 0);
    loop {
        let mut batch = Vec::new();
        let error = |error: std::io::Error| cannot_read(path, &error);
        source.take(HEADER_BYTES as u64).read_to_end(&mut batch).map_err(error)?;
        if batch.is_empty() {
            return Ok(invalid);
        }
        // A preallocated segment ends in zeros, which no batch starts with (magic 2).
        if batch.iter().all(|byte| *byte == 0) && rest_is_zero(source).map_err(error)? {
            writeln!(out, "Nothing but zeros from position: {position}")?;
            return Ok(invalid);
        }
        let stop =
            |why: &str| Failure::new(format!("{}: {why} at position {position}", path.display()));
        let header = BatchHeader::read(&batch).map_err(|_| stop("no batch"))?;
        if header.total_bytes > CLI_BATCH_BYTES_MAX {
            return Err(stop("a batch larger than any can be"));
        }
        let rest = (header.total_bytes - HEADER_BYTES) as u64;
        source.take(rest).read_to_end(&mut batch).map_err(error)?;
        if batch.len() < header.total_bytes {
            return Err(stop("a batch that is cut off"));
        }
        let is_valid = check_stored(&batch).is_ok();
        invalid += usize::from(!is_valid);
        writeln!(out, "{}", batch_line(&header, position, is_valid))?;
        if args.print_data_log || args.deep_iteration {
            dump_records(args, &header, &batch, out)?;
        }
        position += batch.len() as u64;
    }
}

fn rest_is_zero(source: &mut impl Read) -> std::io::Result<bool> {
    let mut chunk = [0u8; 4096];
    loop {
        let count = source.read(&mut chunk)?;
        if count == 0 {
            return Ok(true);
        }
        if chunk[..count].iter().any(|byte| *byte != 0) {
            return Ok(false);
        }
    }
}

fn batch_line(header: &BatchHeader, position: u64, is_valid: bool) -> String {
    format!(
        "baseOffset: {} lastOffset: {} count: {} baseSequence: {} lastSequence: {} producerId: {} \
         producerEpoch: {} partitionLeaderEpoch: {} isTransactional: {} isControl: {} \
         deleteHorizonMs: OptionalLong.empty position: {position} {}: {} size: {} magic: 2 \
         compresscodec: {} crc: {} isvalid: {is_valid}",
        header.base_offset,
        header.next_offset().saturating_sub(1),
        header.records_count,
        header.base_sequence,
        header.last_sequence(),
        header.producer_id,
        header.producer_epoch,
        header.partition_leader_epoch,
        header.is_transactional(),
        header.is_control(),
        timestamp_type(header),
        header.max_timestamp,
        header.total_bytes,
        header.codec().map_or("unknown", |codec| codec.name()),
        header.crc,
    )
}

fn timestamp_type(header: &BatchHeader) -> &'static str {
    if header.is_log_append_time() { "LogAppendTime" } else { "CreateTime" }
}

/// Why a batch's records are not printed to the end.
enum Stop {
    Batch(BatchesError),
    Output(Failure),
}

impl From<BatchesError> for Stop {
    fn from(error: BatchesError) -> Self {
        Stop::Batch(error)
    }
}

fn dump_records(
    args: &DumpArgs,
    header: &BatchHeader,
    batch: &[u8],
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let printed = visit_batch(header, batch, CLI_DECOMPRESSED_BYTES_MAX, |placed| {
        let line = record_line(&placed, args.print_data_log)?;
        out.write_all(&line).map_err(|error| Stop::Output(error.into()))
    });
    match printed {
        Ok(()) => Ok(()),
        Err(Stop::Output(failure)) => Err(failure),
        Err(Stop::Batch(error)) => Ok(writeln!(out, "| {error}")?),
    }
}

fn record_line(placed: &PlacedRecord<'_>, with_data: bool) -> Result<Vec<u8>, BatchesError> {
    let (header, record) = (placed.batch, &placed.record);
    let mut header_keys = Vec::new();
    record.headers(|key, _| header_keys.push(key)).map_err(BatchesError::Record)?;
    let size = |bytes: Option<&[u8]>| bytes.map_or(-1, |bytes| bytes.len() as i64);
    let mut line = format!(
        "| offset: {} {}: {} keySize: {} valueSize: {}",
        placed.offset,
        timestamp_type(header),
        placed.timestamp,
        size(record.key),
        size(record.value)
    )
    .into_bytes();
    let mut add = |text: String| line.extend(text.into_bytes());
    if header.base_sequence >= 0 {
        add(format!(" sequence: {}", header.base_sequence.wrapping_add(record.offset_delta)));
    } else {
        add(" sequence: -1".to_owned());
    }
    add(format!(" headerKeys: [{}]", header_keys.join(",")));
    if with_data {
        for (name, bytes) in [(" key: ", record.key), (" payload: ", record.value)] {
            if let Some(bytes) = bytes {
                line.extend(name.bytes().chain(bytes.iter().copied()));
            }
        }
    }
    line.push(b'\n');
    Ok(line)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::record::BatchBuilder;

    fn dumped(bytes: &[u8], print_data_log: bool) -> (String, Result<usize, Failure>) {
        let args =
            DumpArgs { file: Vec::new(), files: Vec::new(), print_data_log, deep_iteration: false };
        let mut out = Vec::new();
        let result = dump(&args, Path::new("f"), &mut &bytes[..], &mut out);
        (String::from_utf8(out).unwrap(), result)
    }

    fn batch() -> Vec<u8> {
        let mut builder = BatchBuilder::new(1_000);
        builder.push(1_000, Some(b"kk"), Some(b"vv"), &[("h1", None), ("h2", Some(b"x"))]);
        builder.push(1_001, None, None, &[]);
        builder.finish()
    }

    #[test]
    fn batches_and_records_read_like_kafka_dump_log() {
        let mut bytes = batch();
        bytes.extend([0; 5_000]);
        let (text, result) = dumped(&bytes, true);
        assert_eq!(result, Ok(0));
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[0].starts_with(
            "baseOffset: 0 lastOffset: 1 count: 2 baseSequence: -1 lastSequence: -1 producerId: -1 \
             producerEpoch: -1 partitionLeaderEpoch: -1 isTransactional: false isControl: false \
             deleteHorizonMs: OptionalLong.empty position: 0 CreateTime: 1001 size: "
        ));
        assert!(lines[0].ends_with("isvalid: true"));
        assert_eq!(
            lines[1],
            "| offset: 0 CreateTime: 1000 keySize: 2 valueSize: 2 sequence: -1 headerKeys: [h1,h2] \
             key: kk payload: vv"
        );
        assert!(lines[2].ends_with("keySize: -1 valueSize: -1 sequence: -1 headerKeys: []"));
        assert!(lines[3].starts_with("Nothing but zeros"));
    }

    #[test]
    fn a_wrong_crc_is_a_verdict_and_the_next_batch_is_still_shown() {
        let mut bytes = batch();
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        bytes.extend(batch());
        let (text, result) = dumped(&bytes, false);
        assert_eq!(result, Ok(1));
        let verdicts: Vec<&str> = text.lines().map(|l| l.rsplit(' ').next().unwrap()).collect();
        assert_eq!(verdicts, ["false", "true"]);
    }

    #[test]
    fn what_is_no_batch_is_a_failure_with_a_position() {
        let mut bytes = batch();
        let at = bytes.len();
        bytes.extend(b"this is not a batch, and long enough to be looked at as one by mistake");
        let failure = dumped(&bytes, false).1.unwrap_err();
        assert_eq!(failure, Failure::Failed(format!("f: no batch at position {at}")));
        let failure = dumped(&batch()[..70], false).1.unwrap_err();
        assert_eq!(failure, Failure::Failed("f: a batch that is cut off at position 0".into()));
    }
}
