//! `ottla limits`: the memory ledger, row by row, before anything is allocated.
//!
//! Promises: the rows are those by which `ottla serve` with the same board and settings allocates;
//! exit code 1 when they do not fit into the board's memory, as `serve` would not start.
//! Absent: how full the tables of a running broker are; `ottla status` says that.

use super::board::{self, Chosen, mebibytes};
use super::table::width;
use super::{Failure, serve};
use crate::config::BrokerConfig;
use crate::limits::{Ledger, PROGRAM_BYTES};
use clap::Args;
use std::io::Write;
use std::path::PathBuf;

/// What `ottla limits` was asked to do.
#[derive(Args, Clone, Debug, Default)]
pub struct LimitsArgs {
    /// A board profile, by name or as a file [default: the one for this machine's memory]
    #[arg(long, value_name = "NAME|FILE")]
    board: Option<String>,
    /// The broker's configuration: some settings cost memory
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Set one key of the configuration; may be given several times
    #[arg(long = "set", value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// As a table in Markdown
    #[arg(long)]
    markdown: bool,
}

/// Prints the ledger.
pub fn run(args: &LimitsArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let serve_args = super::ServeArgs {
        board: args.board.clone(),
        config: args.config.clone(),
        set: args.set.clone(),
        ..super::ServeArgs::default()
    };
    let (chosen, config, _) =
        serve::settings(&serve_args).map_err(|said| Failure::new(said.join("\n")))?;
    let ledger = board::ledger(&config);
    for line in lines(&chosen, &config, &ledger, args.markdown) {
        writeln!(out, "{line}")?;
    }
    board::check_memory(&chosen, &config).map_err(Failure::new)
}

fn lines(chosen: &Chosen, config: &BrokerConfig, ledger: &Ledger, markdown: bool) -> Vec<String> {
    let mut lines = Vec::new();
    let heads = ["WHAT", "COUNT", "BYTES EACH", "BYTES", "AT THE LIMIT"];
    let mut rows: Vec<[String; 5]> = Vec::new();
    for row in ledger.rows() {
        let numbers = [row.count, row.bytes_each, row.bytes()].map(|number| number.to_string());
        let [count, bytes_each, bytes] = numbers;
        rows.push([row.what.to_owned(), count, bytes_each, bytes, row.at_limit.to_owned()]);
    }
    let program = [
        "program, stacks and event loop".to_owned(),
        "1".to_owned(),
        PROGRAM_BYTES.to_string(),
        PROGRAM_BYTES.to_string(),
        String::new(),
    ];
    rows.push(program);
    let sum = ledger.bytes() + PROGRAM_BYTES;
    if markdown {
        lines.push("| what | count | bytes each | bytes | at the limit |".to_owned());
        lines.push("|---|--:|--:|--:|---|".to_owned());
        lines.extend(rows.iter().map(|row| format!("| {} |", row.join(" | "))));
        return lines;
    }
    let memory = mebibytes(config.sizes.memory_bytes);
    lines.push(format!("board {} ({}): {memory} in all", chosen.name, chosen.reason));
    let column = |at: usize| width(heads[at].len(), rows.iter().map(|row| row[at].as_str()));
    let widths: [usize; 4] = [0, 1, 2, 3].map(column);
    let show = |cells: [&str; 5]| {
        let first = format!("{:<1$}", cells[0], widths[0]);
        let numbers = (1..4).map(|at| format!("{:>1$}", cells[at], widths[at]));
        let line = format!("{first} {} {}", numbers.collect::<Vec<_>>().join(" "), cells[4]);
        line.trim_end().to_owned()
    };
    lines.push(show(heads));
    for row in &rows {
        let [what, count, each, bytes, at_limit] = row;
        lines.push(show([what, count, each, bytes, at_limit]));
    }
    lines.push(format!("{} of {memory}", mebibytes(sum)));
    lines
}
