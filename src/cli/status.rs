//! `ottla status`: how a broker is doing, and how full its tables are.
//!
//! Kafka's protocol has no request for this, and we invent none: ottla tells its figures as
//! read-only settings named `ottla.status.*` of its broker resource (DescribeConfigs), and the rest
//! comes from Metadata and the groups. With Apache Kafka the lines without a figure are left out.

use super::Failure;
use super::args::BootstrapArgs;
use super::cluster::Cluster;
use super::figures::{Figures, bytes_text, figures, settings, take_number};
use super::forward;
use super::groups_describe::{GroupOffsets, group_offsets};
use super::time_text::{format_utc, span};
use crate::client::messages::groups::ListGroupsRequest;
use crate::client::messages::metadata::MetadataResponse;
use clap::Args;
use std::io::Write;

/// What `ottla status` was asked to do.
#[derive(Args, Debug)]
pub struct StatusArgs {
    #[command(flatten)]
    bootstrap: BootstrapArgs,
}

/// Runs the command.
pub fn run(args: &StatusArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let mut cluster = Cluster::new(&args.bootstrap, "ottla-status")?;
    let metadata = cluster.metadata(None, false)?;
    let settings = match metadata.brokers.first() {
        Some(broker) => settings(&mut cluster, broker.node_id)?,
        None => Figures::new(),
    };
    let figures = figures(settings);
    let listed = cluster.call(&ListGroupsRequest::default())?;
    let mut groups = Vec::new();
    for group in &listed.groups {
        groups.push(group_offsets(&mut cluster, &group.group_id)?);
    }
    for line in lines(&metadata, figures, &groups) {
        writeln!(out, "{line}")?;
    }
    Ok(())
}

fn lines(
    metadata: &MetadataResponse,
    mut figures: Figures,
    groups: &[GroupOffsets],
) -> Vec<String> {
    let mut lines = Vec::new();
    let mut say = |label: &str, text: String| lines.push(format!("{label:<12} {text}"));
    for broker in &metadata.brokers {
        let version = figures.remove("version").map_or(String::new(), |v| format!(", ottla {v}"));
        say("broker", format!("{} at {}:{}{version}", broker.node_id, broker.host, broker.port));
    }
    say("cluster", metadata.cluster_id.clone().unwrap_or_else(|| "-".to_owned()));
    // How long is told by the clock that never jumps, since when by the one that may be wrong.
    let up_ms = take_number(&mut figures, "up.ms");
    let up = up_ms.map(span);
    match (take_number(&mut figures, "started.at.ms"), up) {
        (Some(at), Some(up)) => say("up since", format!("{} ({up})", format_utc(at))),
        (None, Some(up)) => say("up", up),
        _ => {}
    }
    if let Some(directory) = figures.remove("data.dir") {
        let bytes = take_number(&mut figures, "store.bytes");
        let size = bytes.map_or(String::new(), |bytes| format!(", {}", bytes_text(bytes)));
        say("data", format!("{directory}{size}"));
    }
    if let Some(text) = disk(&mut figures) {
        say("disk", text);
    }
    if let Some(storage) = figures.remove("storage") {
        say("storage", storage);
    }
    if let Some(ago) = take_number(&mut figures, "last.sync.ago.ms") {
        let counted =
            figures.remove("syncs").map_or(String::new(), |n| format!(", {n} since start"));
        let took = take_number(&mut figures, "last.sync.took.ms");
        let took = took.map_or(String::new(), |ms| format!(", took {ms} ms"));
        let text = if ago < 0 { "none yet".to_owned() } else { format!("{} ago", span(ago)) };
        say("last sync", text + &took + &counted);
    }
    let mut lost = rot(&mut figures).into_iter();
    if let Some(first) = lost.next() {
        say("rot", first);
        lost.for_each(|line| say("", line));
    }
    let taken = take_number(&mut figures, "bytes.in");
    if let Some(written) = take_number(&mut figures, "written.bytes") {
        say("written", written_text(written, taken, up_ms));
    }
    if let Some(text) = clock(&mut figures) {
        say("clock", text);
    }
    if let Some(text) = traffic(&mut figures, taken) {
        say("since start", text);
    }
    if let Some(text) = forward::summary(&mut figures) {
        say("forwarding", text);
        let error = figures.remove("forward.error").filter(|error| !error.is_empty());
        if let Some(error) = error {
            say("", error);
        }
    }
    let partitions: usize = metadata.topics.iter().map(|topic| topic.partitions.len()).sum();
    say("topics", format!("{} with {partitions} partitions", metadata.topics.len()));
    say("groups", groups_text(groups));
    let mut lagging: Vec<&GroupOffsets> = groups.iter().filter(|group| group.lag() > 0).collect();
    let limits = figures.remove("limits").unwrap_or_default();
    for (at, line) in wrapped(&limits).into_iter().enumerate() {
        say(if at == 0 { "in use" } else { "" }, line);
    }
    lagging.sort_by_key(|group| std::cmp::Reverse(group.lag()));
    for group in lagging.iter().take(LAGGING_GROUPS_SHOWN) {
        let (name, lag, state) = (&group.group_id, group.lag(), &group.state);
        say("lag", format!("{name} is {lag} records behind ({state})"));
    }
    lines
}

/// A list with commas, in lines that a terminal shows.
fn wrapped(list: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for item in list.split(", ").filter(|item| !item.is_empty()) {
        match lines.last_mut() {
            Some(line) if line.len() + item.len() + 2 <= LIMITS_COLUMNS => {
                line.push_str(", ");
                line.push_str(item);
            }
            _ => lines.push(item.to_owned()),
        }
    }
    lines
}

/// What went to the device, what it is beside what came in, and what a day costs at this rate: how
/// long a card lasts.
fn written_text(written: i64, taken: Option<i64>, up_ms: Option<i64>) -> String {
    let mut text = format!("{} to the device", bytes_text(written));
    if let Some(taken) = taken.filter(|taken| *taken > 0) {
        text += &format!(", {:.1} bytes per byte taken in", written as f64 / taken as f64);
    }
    if let Some(up_ms) = up_ms.filter(|up_ms| *up_ms >= 60_000) {
        let a_day = written as f64 / up_ms as f64 * 86_400_000.0;
        text += &format!(", {} a day at this rate", bytes_text(a_day as i64));
    }
    text
}

/// How full the disk is, and what went for want of room.
fn disk(figures: &mut Figures) -> Option<String> {
    let mut take = |name: &str| take_number(figures, name);
    let (used, quota) = (take("disk.used.bytes"), take("disk.quota.bytes"));
    let (free, reserve) = (take("disk.free.bytes")?, take("disk.reserve.bytes")?);
    let full = take("disk.full") == Some(1);
    let dropped = (take("disk.dropped.segments"), take("disk.dropped.bytes"));
    let mut text = match (used, quota) {
        (Some(used), Some(quota)) => format!(
            "{} of disk.quota.bytes = {} used, {} free on the file system",
            bytes_text(used),
            bytes_text(quota),
            bytes_text(free)
        ),
        _ => format!("{} free on the file system", bytes_text(free)),
    };
    text += &format!(", {} kept back", bytes_text(reserve));
    if full {
        text += "; FULL: new records are refused";
    }
    if let (Some(segments @ 1..), Some(bytes)) = dropped {
        text += &format!("; {segments} segments with {} went for room", bytes_text(bytes));
    }
    Some(text)
}

/// What has rotted, and how far the search for it is.
fn rot(figures: &mut Figures) -> Vec<String> {
    let gaps = figures.remove("rot").unwrap_or_default();
    let mut take = |name: &str| take_number(figures, name);
    let (records, further) = (take("rot.records"), take("rot.further"));
    let (Some(passes), Some(bytes)) = (take("scrub.passes"), take("scrub.bytes")) else {
        return Vec::new();
    };
    let looked = match (passes, bytes) {
        (0, bytes) => format!("{} looked at since start", bytes_text(bytes)),
        (1, 0) => "all looked at since start".to_owned(),
        (passes, 0) => format!("all looked at {passes} times since start"),
        (passes, bytes) => format!("{} looked at, {passes} times all before", bytes_text(bytes)),
    };
    if gaps.is_empty() {
        return vec![format!("none found, {looked}")];
    }
    let records = records.unwrap_or_default();
    let more = match further.unwrap_or_default() {
        0 => String::new(),
        _ => " and more than are remembered: replace the card".to_owned(),
    };
    let mut lines = vec![format!("{records} records are lost{more}; {looked}")];
    lines.extend(wrapped(&gaps));
    lines
}

/// What the machine's clock does.
fn clock(figures: &mut Figures) -> Option<String> {
    let state = figures.remove("clock")?;
    let mut take = |name: &str| take_number(figures, name);
    let jumps = match (take("clock.jumps"), take("clock.jump.ms"), take("clock.jump.ago.ms")) {
        (Some(count @ 1..), Some(jump), Some(ago)) => {
            let sign = if jump < 0 { '-' } else { '+' };
            let jump = span(i64::try_from(jump.unsigned_abs()).unwrap_or(i64::MAX));
            let times = if count == 1 { "once".to_owned() } else { format!("{count} times") };
            format!(", jumped {times} since start, by {sign}{jump}, {} ago", span(ago))
        }
        _ => String::new(),
    };
    Some(state + &jumps)
}

/// Columns of a line of limits.
const LIMITS_COLUMNS: usize = 84;

/// What came in and went out, in one line of what is known of it.
fn traffic(figures: &mut Figures, bytes_in: Option<i64>) -> Option<String> {
    let mut take = |name: &str| take_number(figures, name);
    let parts = [
        take("records.in").map(|count| format!("{count} records in")),
        bytes_in.map(|bytes| format!("{} in", bytes_text(bytes))),
        take("records.out").map(|count| format!("{count} records out")),
        take("bytes.out").map(|bytes| format!("{} out", bytes_text(bytes))),
        take("connections").map(|count| format!("{count} connections now")),
    ];
    let known: Vec<String> = parts.into_iter().flatten().collect();
    (!known.is_empty()).then(|| known.join(", "))
}

/// Groups named in the status; `ottla groups --describe --all-groups` names them all.
const LAGGING_GROUPS_SHOWN: usize = 3;

fn groups_text(groups: &[GroupOffsets]) -> String {
    let active = groups.iter().filter(|group| !group.members.is_empty()).count();
    let lag: i64 = groups.iter().map(GroupOffsets::lag).sum();
    format!("{} ({active} with members), lag {lag} records in all", groups.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::messages::metadata::Broker;

    #[test]
    fn what_is_known_is_said_and_what_is_not_is_left_out() {
        let broker = Broker { node_id: 1, host: "h".into(), port: 9092, rack: None };
        let metadata = MetadataResponse {
            brokers: vec![broker],
            cluster_id: Some("c".into()),
            controller_id: 1,
            topics: Vec::new(),
        };
        let figures: Figures = [
            ("version", "0.1.0"),
            ("started.at.ms", "0"),
            ("up.ms", "61000"),
            ("data.dir", "d"),
            ("store.bytes", "2048"),
            ("disk.used.bytes", "3072"),
            ("disk.quota.bytes", "1048576"),
            ("disk.free.bytes", "2097152"),
            ("disk.reserve.bytes", "65536"),
            ("disk.full", "1"),
            ("disk.dropped.segments", "2"),
            ("disk.dropped.bytes", "1024"),
            ("storage", "ok"),
            ("records.in", "5"),
            ("rot", "t-0 5-9, t-1 17-17"),
            ("rot.records", "6"),
            ("rot.further", "0"),
            ("scrub.passes", "0"),
            ("scrub.bytes", "2048"),
            ("bytes.in", "700"),
            ("written.bytes", "2100"),
            ("clock", "set"),
            ("clock.jumps", "2"),
            ("clock.jump.ms", "-61000"),
            ("clock.jump.ago.ms", "120000"),
            ("bytes.out", "1024"),
            ("connections", "2"),
            ("last.sync.ago.ms", "70"),
            ("syncs", "27"),
            ("something.new", "x"),
            ("limits", "connections 2/128, partitions 9/256"),
            ("forward.state", "down"),
            ("forward.error", "k:9092: connection refused"),
        ]
        .map(|(k, v)| (k.to_owned(), v.to_owned()))
        .into();
        assert_eq!(
            lines(&metadata, figures, &[]),
            [
                "broker       1 at h:9092, ottla 0.1.0",
                "cluster      c",
                "up since     1970-01-01T00:00:00.000Z (1 min 1 s)",
                "data         d, 2.0 KiB",
                "disk         3.0 KiB of disk.quota.bytes = 1.0 MiB used, 2.0 MiB free on the file \
                 system, 64.0 KiB kept back; FULL: new records are refused; 2 segments with \
                 1.0 KiB went for room",
                "storage      ok",
                "last sync    70 ms ago, 27 since start",
                "rot          6 records are lost; 2.0 KiB looked at since start",
                "             t-0 5-9, t-1 17-17",
                "written      2.1 KiB to the device, 3.0 bytes per byte taken in, 2.8 MiB a day at \
                 this rate",
                "clock        set, jumped 2 times since start, by -1 min 1 s, 2 min 0 s ago",
                "since start  5 records in, 700 B in, 1.0 KiB out, 2 connections now",
                "forwarding   down, to go: nothing, all is upstream",
                "             k:9092: connection refused",
                "topics       0 with 0 partitions",
                "groups       0 (0 with members), lag 0 records in all",
                "in use       connections 2/128, partitions 9/256",
            ]
        );
        assert_eq!(lines(&metadata, Figures::new(), &[]).len(), 4);
    }
}
