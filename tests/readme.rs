//! The README tells the truth where a program can check it: its tables of APIs, of forwarding's
//! settings and of the boards' ledgers are the code's, and the configurations that it shows are
//! the files that `tests/clients/edge/` runs programs with.
//!
//! `UPDATE_README=1 cargo test --test readme` writes them anew. `tests/clients/run` keeps the table
//! of clients.

use ottla::config::{self, BROKER_KEYS, BrokerConfig};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
const APIS_BEGIN: &str = "<!-- apis -->\n";
const APIS_END: &str = "<!-- /apis -->";
const FORWARD_BEGIN: &str = "<!-- forward -->\n";
const FORWARD_END: &str = "<!-- /forward -->";
const BOARDS_BEGIN: &str = "<!-- boards -->\n";
const BOARDS_END: &str = "<!-- /boards -->";
/// Which cell of a row of the table of boards has its memory, and which the ledger's sum.
const BOARD_MEMORY: usize = 2;
const BOARD_LEDGER: usize = 7;
const FILE_BEGIN: &str = "<!-- file ";
const FILE_END: &str = "<!-- /file -->";

/// Where a broker listens that nobody configured; the suites put their own broker's in its place.
const ADDRESS: &str = "127.0.0.1:9092";

/// One test at a time reads, and perhaps writes, the README.
static README: Mutex<()> = Mutex::new(());

/// The README is what `made` makes of it, or it becomes that.
fn is_made_by(made: impl FnOnce(&str) -> String) {
    let _one_at_a_time = README.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let path = Path::new(ROOT).join("README.md");
    let found = fs::read_to_string(&path).expect("the README");
    let expected = made(&found);
    if std::env::var_os("UPDATE_README").is_some() {
        fs::write(path, expected).expect("the README is written");
        return;
    }
    for (found, expected) in found.lines().zip(expected.lines()) {
        assert_eq!(found, expected, "run UPDATE_README=1 cargo test --test readme");
    }
    assert_eq!(found, expected, "run UPDATE_README=1 cargo test --test readme");
}

/// The path and the fenced block of every file that the README shows, as they stand there.
fn files_shown(readme: &str) -> Vec<(&str, &str)> {
    let mut shown = Vec::new();
    for part in readme.split(FILE_BEGIN).skip(1) {
        let (path, rest) = part.split_once(" -->\n").expect("the path's end");
        let (block, _) = rest.split_once(FILE_END).expect("the file's end");
        shown.push((path, block));
    }
    shown
}

fn block_of(path: &str) -> String {
    let text = fs::read_to_string(Path::new(ROOT).join(path)).expect("the file that is shown");
    let language = match path.rsplit_once('.') {
        Some((_, "json")) => "json",
        _ => "",
    };
    format!("```{language}\n{text}```\n")
}

#[test]
fn the_table_of_apis_is_the_one_that_dispatches() {
    let output = Command::new(env!("CARGO_BIN_EXE_ottla")).args(["apis", "--markdown"]).output();
    let output = output.expect("ottla apis runs");
    assert!(output.status.success());
    let table = String::from_utf8(output.stdout).expect("text");
    is_made_by(|readme| {
        let (before, rest) = readme.split_once(APIS_BEGIN).expect("the table's begin");
        let (_, after) = rest.split_once(APIS_END).expect("the table's end");
        format!("{before}{APIS_BEGIN}{table}{APIS_END}{after}")
    });
}

/// The last line of `ottla limits`: the sum and the memory in MiB.
#[cfg(target_pointer_width = "64")]
fn ledger_of(board: &str) -> (String, String) {
    let mut limits = Command::new(env!("CARGO_BIN_EXE_ottla"));
    let output = limits.args(["limits", "--board", board]).output().expect("ottla limits runs");
    assert!(output.status.success(), "{board}");
    let text = String::from_utf8(output.stdout).expect("text");
    let last = text.lines().last().expect("a sum");
    let (sum, memory) = last.split_once(" MiB of ").expect("the sum of the memory");
    let memory = memory.strip_suffix(".00 MiB").expect("whole MiB");
    (sum.to_owned(), format!("{memory} MiB"))
}

#[test]
#[cfg(target_pointer_width = "64")]
fn the_table_of_boards_has_the_sums_of_their_ledgers() {
    is_made_by(|readme| {
        let (before, rest) = readme.split_once(BOARDS_BEGIN).expect("the table's begin");
        let (table, after) = rest.split_once(BOARDS_END).expect("the table's end");
        let mut made = String::new();
        for line in table.lines() {
            let mut cells: Vec<String> = line.split('|').map(str::to_owned).collect();
            if let Some(board) = cells[1].trim().strip_prefix('`').and_then(|c| c.split('`').next())
            {
                let (sum, memory) = ledger_of(board);
                cells[BOARD_LEDGER] = format!(" {sum} ");
                cells[BOARD_MEMORY] = format!(" {memory} ");
            }
            made += &format!("{}\n", cells.join("|"));
        }
        format!("{before}{BOARDS_BEGIN}{made}{BOARDS_END}{after}")
    });
}

#[test]
fn the_settings_of_forwarding_are_those_that_are_read() {
    let default = BrokerConfig::default();
    let mut table = "| key | default | takes | unit | what it does |\n".to_owned();
    table.push_str("|---|---|---|---|---|\n");
    for key in BROKER_KEYS.iter().filter(|key| key.name.starts_with("forward.")) {
        let value = (key.read)(&default).map_or("not set".to_owned(), |value| format!("`{value}`"));
        let doc = key.doc.trim_end_matches(" (ottla)").replace('*', "\\*");
        let (name, takes, unit) = (key.name, key.takes(), key.unit());
        table.push_str(&format!("| `{name}` | {value} | {takes} | {unit} | {doc} |\n"));
    }
    is_made_by(|readme| {
        let (before, rest) = readme.split_once(FORWARD_BEGIN).expect("the table's begin");
        let (_, after) = rest.split_once(FORWARD_END).expect("the table's end");
        format!("{before}{FORWARD_BEGIN}{table}{FORWARD_END}{after}")
    });
}

#[test]
fn the_example_of_forwardings_settings_is_read_without_a_remark() {
    let readme = fs::read_to_string(Path::new(ROOT).join("README.md")).expect("the README");
    let (_, behind) = readme.split_once("In a TOML file (`ottla.toml`").expect("the example");
    let lines = behind.lines().skip(2).take_while(|line| line.starts_with("    "));
    let example: Vec<&str> = lines.collect();
    assert!(example.len() > 5, "{example:?}");
    let (config, notes) = config::load(
        &ottla::limits::Board::DESKTOP,
        "ottla.toml",
        &example.join("\n"),
        &[],
        &[],
        None,
    )
    .expect("legal settings");
    assert_eq!(notes, []);
    assert_eq!(config.given.len(), example.len());
}

#[test]
fn the_configurations_are_the_ones_that_the_suites_run() {
    is_made_by(|readme| {
        let mut made = readme.to_string();
        for (path, block) in files_shown(readme) {
            let marker = format!("{FILE_BEGIN}{path} -->\n");
            made =
                made.replace(&format!("{marker}{block}"), &format!("{marker}{}", block_of(path)));
        }
        made
    });
}

#[test]
fn every_configuration_is_shown_and_has_the_default_address() {
    let readme = fs::read_to_string(Path::new(ROOT).join("README.md")).expect("the README");
    let shown: BTreeSet<String> =
        files_shown(&readme).iter().map(|(path, _)| (*path).to_string()).collect();
    let folder = "tests/clients/edge";
    let entries = fs::read_dir(Path::new(ROOT).join(folder)).expect("the folder");
    let names = entries.map(|entry| entry.expect("an entry").file_name());
    let names = names.map(|name| name.into_string().expect("UTF-8"));
    let is_configuration = |name: &String| name.ends_with(".conf") || name.ends_with(".json");
    let there: BTreeSet<String> =
        names.filter(is_configuration).map(|name| format!("{folder}/{name}")).collect();
    assert_eq!(shown, there);
    for path in &there {
        assert!(block_of(path).contains(ADDRESS), "{path} does not name {ADDRESS}");
    }
}
