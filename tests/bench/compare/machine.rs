//! The machine's own figures, which everything else stands beside.

use super::limit::{echo, thread_cpu};
use super::options::Options;
use super::report::Report;
use super::slow::Syncs;
use super::stats::Series;
use std::hint::black_box;
use std::time::{Duration, Instant};

/// Runs the section.
pub fn run(options: &Options, report: &mut Report) {
    report.say("## The machine");
    let time = Duration::from_secs_f64(options.seconds / 2.0);
    let mut measured: [Series; 6] = Default::default();
    for _ in 0..options.rounds {
        let figures = [
            checksum(ottla::wire::crc::crc32c, time / 4),
            checksum(crc32c::crc32c, time / 4),
            echo(1, 1, time),
            echo(1, 5, time),
            echo(32, 1, time),
            Syncs::Own.seconds(&options.data, time) * 1e6,
        ];
        measured.iter_mut().zip(figures).for_each(|(series, figure)| series.push(figure));
    }
    let names = [
        "CRC-32C, the broker's way: ns/byte",
        "CRC-32C, the processor's instruction: ns/byte",
        "epoll echo of 200 B, one client: µs CPU/request",
        "the same, five in flight: µs CPU/request",
        "the same, 32 clients of one: µs CPU/request",
        "fdatasync of a small write: µs",
    ];
    let row = |(name, series): (&str, &Series)| vec![name.to_owned(), series.to_string()];
    let rows: Vec<Vec<String>> = names.into_iter().zip(&measured).map(row).collect();
    report.table(&["limit", "figure"], &rows);
}

/// CPU nanoseconds per byte of 16 KiB that lie in the cache.
fn checksum(crc: fn(&[u8]) -> u32, time: Duration) -> f64 {
    let block = vec![7; 16 << 10];
    let (began, before, mut blocks) = (Instant::now(), thread_cpu(), 0u64);
    while began.elapsed() < time {
        for _ in 0..16 {
            black_box(crc(black_box(&block)));
        }
        blocks += 16;
    }
    (thread_cpu() - before) / (blocks * block.len() as u64) as f64
}
