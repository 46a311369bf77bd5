//! `ottla coordinator show`: what the coordinator file of a broker that does not run says.

use super::Failure;
use super::time_text::format_utc;
use crate::broker::base64;
use crate::disk::os::OsDisk;
use crate::state::coordinator_file::Snapshot;
use crate::state::forward::ForwardHead;
use crate::storage::coordinator::{self, CoordinatorFile, Found};
use crate::storage::layout;
use clap::{Args, Subcommand};
use std::io::Write;
use std::path::{Path, PathBuf};

/// What `ottla coordinator` was asked to do.
#[derive(Args, Debug)]
pub struct CoordinatorArgs {
    #[command(subcommand)]
    command: CoordinatorCommand,
}

#[derive(Debug, Subcommand)]
enum CoordinatorCommand {
    /// Print topics, groups, offsets, producers and lanes as they stand in the file
    Show {
        /// The data directory
        #[arg(long, value_name = "DIR", default_value = "./ottla-data")]
        data: PathBuf,
    },
}

/// Runs the command.
pub fn run(args: &CoordinatorArgs, out: &mut dyn Write) -> Result<(), Failure> {
    match &args.command {
        CoordinatorCommand::Show { data } => show(data, out),
    }
}

/// Prints the newest whole one of the three files. What the journal has on top of it is not
/// looked at: this is the file, not the broker.
fn show(data: &Path, out: &mut dyn Write) -> Result<(), Failure> {
    let shown = data.display();
    let disk = OsDisk::open_read_only(data)
        .map_err(|error| Failure::new(format!("cannot read the directory {shown}: {error}")))?;
    let mut best: Option<(&str, Box<CoordinatorFile>)> = None;
    for path in [layout::COORDINATOR, layout::COORDINATOR_NEW, layout::COORDINATOR_PREVIOUS] {
        match coordinator::read(&disk, path) {
            Found::Whole(file) => {
                let newer = |(_, known): &(&str, Box<CoordinatorFile>)| {
                    known.storage.checkpoint < file.storage.checkpoint
                };
                if best.as_ref().is_none_or(newer) {
                    best = Some((path, file));
                }
            }
            Found::Missing => {}
            // Space for the next one, or half of it.
            Found::Unreadable if path == layout::COORDINATOR_NEW => {}
            Found::Unreadable => writeln!(out, "{path}: unreadable")?,
            Found::Newer(version) => {
                writeln!(out, "{path}: format {version}, which a newer ottla wrote")?;
            }
        }
    }
    let Some((path, file)) = best else {
        return Err(Failure::new(format!("{shown} has no readable coordinator file")));
    };
    print(path, &file, out)
}

fn print(path: &str, file: &CoordinatorFile, out: &mut dyn Write) -> Result<(), Failure> {
    let storage = &file.storage;
    let end = if storage.clean { "an orderly stop" } else { "in the middle of work" };
    writeln!(out, "{path}: checkpoint {} ({end})", storage.checkpoint)?;
    writeln!(
        out,
        "journal: replay from position {}, frame {}, generation {}",
        storage.head, storage.next_sequence, storage.generation
    )?;
    writeln!(out, "observed running time: {} s", storage.age_s)?;
    let snapshot = Snapshot::decode(&file.state)
        .map_err(|version| Failure::new(format!("the state has the unknown version {version}")))?;
    writeln!(out, "cluster id: {}, node id: {}", snapshot.cluster_id, snapshot.node_id)?;
    writeln!(out, "next producer id: {}", snapshot.next_producer_id)?;
    for topic in &snapshot.topics {
        let overrides: Vec<_> = topic.overrides.iter().map(|(k, v)| format!("{k}={v}")).collect();
        let settings = if overrides.is_empty() { "-".to_owned() } else { overrides.join(",") };
        let (name, id) = (&topic.name, base64(&topic.id));
        writeln!(out, "topic {name} (number {}, id {id}): settings {settings}", topic.number)?;
        for p in storage.partitions.iter().filter(|p| p.topic == topic.number) {
            let bytes: u64 = p.segments.iter().map(|s| u64::from(s.bytes)).sum();
            writeln!(
                out,
                "  partition {}: offsets {}..{}, {} segments, {bytes} bytes",
                p.partition,
                p.log_start,
                p.log_end,
                p.segments.len()
            )?;
        }
    }
    for row in &snapshot.offsets {
        writeln!(
            out,
            "group {}: {}-{} at {} (committed {}) {}",
            row.group_id,
            row.topic,
            row.partition,
            row.offset,
            format_utc(row.commit_wall_ms),
            row.metadata
        )?;
    }
    for producer in &snapshot.producers {
        let last = producer.batches.last().map_or(-1, |batch| batch.last_sequence);
        writeln!(
            out,
            "producer {} epoch {} on topic {} partition {}: last sequence {last}",
            producer.id, producer.epoch, producer.topic, producer.partition
        )?;
    }
    print_forwarding(&snapshot, out)
}

/// What is kept of forwarding; nothing where nothing ever was forwarded.
fn print_forwarding(snapshot: &Snapshot<'_>, out: &mut dyn Write) -> Result<(), Failure> {
    if snapshot.forward_head != ForwardHead::default() {
        let ForwardHead { cluster_id, paused } = &snapshot.forward_head;
        let paused = if *paused { ", paused" } else { "" };
        writeln!(out, "forwarding: upstream cluster id: {cluster_id}{paused}")?;
    }
    for row in &snapshot.forward_rows {
        let settled = if row.settled { "settled" } else { "in doubt" };
        let stopped = if row.stopped { ", stopped" } else { "" };
        writeln!(
            out,
            "forward topic {} partition {}: next offset {}, to {}-{} at {} ({settled}{stopped}), \
             producer {} epoch {} with sequence 0 at {}, {} rejected, {} may be repeated",
            row.topic,
            row.partition,
            row.cursor,
            row.upstream_topic,
            row.upstream_partition,
            row.upstream_offset,
            row.producer_id,
            row.producer_epoch,
            row.sequence_base,
            row.rejected,
            row.repeated
        )?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::forward::ForwardRow;

    #[test]
    fn what_is_kept_of_forwarding_is_a_line_per_lane() {
        let mut out = Vec::new();
        print_forwarding(&Snapshot::default(), &mut out).unwrap();
        assert_eq!(out, b"");
        let row = ForwardRow {
            settled: false,
            upstream_topic: "up".into(),
            upstream_partition: 4,
            ..ForwardRow::new(2, 1, 7)
        };
        let snapshot = Snapshot {
            forward_head: ForwardHead { cluster_id: "c".into(), paused: true },
            forward_rows: vec![row],
            ..Snapshot::default()
        };
        print_forwarding(&snapshot, &mut out).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "forwarding: upstream cluster id: c, paused\n\
             forward topic 2 partition 1: next offset 7, to up-4 at -1 (in doubt), \
             producer -1 epoch -1 with sequence 0 at 7, 0 rejected, 0 may be repeated\n"
        );
    }
}
