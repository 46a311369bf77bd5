//! Every board profile, filled to its limits and one past each of them, by the real process: its
//! high-water mark stays within what `ottla limits` prints.
//!
//! Promises: the load fills every table (topics, partitions, producer ids, groups, members,
//! offsets) and every pool of buffers (connections, large requests under way, answers that nobody
//! reads), with the real binary; then, in another process, full tables and all kinds of clients at
//! the same time (`worst`); what is measured is `VmHWM` of that process, and `VmStk`, which never
//! shrinks: its stack at the deepest. `OTTLA=path` takes
//! another binary, such as a board's static one; a table of figures goes to standard output
//! (`-- --nocapture`).
//! Absent: time. Nothing here passes or fails by how long it took.

#![expect(clippy::unwrap_used, reason = "a panic is how a test says what is wrong")]

#[path = "memory/load.rs"]
mod load;
#[path = "server/support/mod.rs"]
#[expect(dead_code, reason = "the end-to-end tests use the rest")]
mod support;
#[path = "memory/worst.rs"]
mod worst;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};
use support::process::Ottla;

/// What a test binary has beside a released one: no size optimisation, debug sections, and a libc
/// of its own whose pages count.
const DEBUG_BYTES: u64 = 12 << 20;
/// After this time a start is over.
const SETTLED: Duration = Duration::from_millis(500);
/// How long everything goes on at once.
const WORST_TIME: Duration = Duration::from_secs(4);

fn binary() -> PathBuf {
    std::env::var_os("OTTLA").map_or_else(|| env!("CARGO_BIN_EXE_ottla").into(), PathBuf::from)
}

/// The broker on a board, with these further arguments, limited to `address_space` bytes if given.
fn serve(board: &str, data: &std::path::Path, address_space: Option<u64>) -> Command {
    let mut command = Command::new("sh");
    let limit =
        address_space.map_or(String::new(), |bytes| format!("ulimit -v {} && ", bytes / 1024));
    command.arg("-c").arg(format!("{limit}exec \"$0\" \"$@\"")).arg(binary());
    command.args(["serve", "--listen", "127.0.0.1:0", "--board", board, "--data"]).arg(data);
    command.current_dir(data.parent().unwrap_or(data));
    command
}

/// Bytes that `ottla limits` prints in its last line, as MiB, and those of the board.
fn promised(board: &str) -> (u64, u64) {
    let output = Command::new(binary()).args(["limits", "--board", board]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{board}: {text}{error}");
    let last = text.lines().last().unwrap();
    let mut numbers = last.split(' ').filter_map(|word| word.parse::<f64>().ok());
    let mut next = || (numbers.next().unwrap() * f64::from(1 << 20)) as u64;
    (next(), next())
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

/// Fills the board with nothing else going on, and then a new broker with everything at once.
fn fill(board: &str) {
    measure(board, "filled", &load::fill);
    measure(board, "worst", &|address| worst::worst(address, WORST_TIME));
}

fn measure(board: &str, name: &str, work: &dyn Fn(SocketAddr) -> String) {
    let (sum, memory) = promised(board);
    assert!(sum <= memory, "{board}: {sum} of {memory}");
    let dir = tempfile::tempdir().unwrap();
    let ottla = Ottla::spawn(&mut serve(board, dir.path(), None), dir.path());
    // It says that it accepts before the event loop and the threads for syncs have run once.
    std::thread::sleep(SETTLED);
    let idle = ottla.peak_memory();
    let started = Instant::now();
    let filled = work(ottla.address);
    let peak = ottla.peak_memory();
    let stack = ottla.memory("VmStk");
    println!(
        "{board:<13} {name:<6} board {:>5.2} ledger {:>5.2} idle {:>5.2} peak {:>5.2} MiB, stack \
         {} KiB, in {:.0} s  {filled}",
        mib(memory),
        mib(sum),
        mib(idle),
        mib(peak),
        stack / 1024,
        started.elapsed().as_secs_f64(),
    );
    assert!(stack <= ottla::limits::STACK_BYTES, "{board}: {stack} bytes of stack");
    let released = std::env::var_os("OTTLA").is_some();
    let allowed = if released { memory } else { sum + DEBUG_BYTES };
    assert!(peak <= allowed, "{board}: {peak} bytes at the peak, {allowed} allowed");
    // What the tables took beyond the start is what the ledger says, whatever the binary.
    let program = ottla::limits::PROGRAM_BYTES;
    assert!(peak - idle <= sum - program + program / 2, "{board}: grew by {} bytes", peak - idle);
    if let Ok(most) = std::env::var("OTTLA_IDLE_MAX") {
        let most: u64 = most.parse().unwrap();
        assert!(idle <= most, "{board}: {idle} bytes resident at rest, {most} allowed");
    }
    load::is_served(ottla.address);
}

#[test]
fn a_pi_zero_filled_to_the_brim_stays_within_its_ledger() {
    fill("pi-zero");
}

#[test]
fn the_default_board_filled_to_the_brim_stays_within_its_ledger() {
    fill("gateway-1g");
}

/// The others, which take longer: `cargo test --test memory -- --include-ignored`.
#[test]
#[ignore = "some minutes"]
fn every_other_board_filled_to_the_brim_stays_within_its_ledger() {
    for (board, _) in ottla::config::BOARDS {
        if !matches!(board, "pi-zero" | "gateway-1g") {
            fill(board);
            fill_with_limited_address_space(board);
        }
    }
}

#[test]
fn a_limit_on_its_address_space_does_not_break_it() {
    fill_with_limited_address_space("gateway-1g");
}

fn fill_with_limited_address_space(board: &str) {
    let (sum, _) = promised(board);
    // Address space is not memory: the binary's unused parts and two stacks count as well.
    let size = std::fs::metadata(binary()).unwrap().len();
    let room = sum + size + (24 << 20);
    let dir = tempfile::tempdir().unwrap();
    let ottla = Ottla::spawn(&mut serve(board, dir.path(), Some(room)), dir.path());
    load::fill(ottla.address);
    load::is_served(ottla.address);
    println!("{board:<13} ulimit -v {} KiB: serves when it is full", room / 1024);
}

#[test]
fn a_board_that_is_too_small_for_its_numbers_is_refused_in_one_sentence() {
    let dir = tempfile::tempdir().unwrap();
    let board = dir.path().join("mine.toml");
    std::fs::write(&board, "like = \"pi-zero\"\npartitions = 60000\n").unwrap();
    let mut command = Command::new(binary());
    command.args(["serve", "--listen", "127.0.0.1:0", "--data"]).arg(dir.path().join("data"));
    let output = support::process::run_to_end(command.arg("--board").arg(&board));
    assert!(!output.status.success());
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("6.00 MiB of memory") && said.contains("partitions"), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(!dir.path().join("data").exists(), "nothing was touched");
}
