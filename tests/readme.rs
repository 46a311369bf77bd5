//! The README tells the truth where a program can check it: its table of APIs is the code's.
//!
//! `UPDATE_README=1 cargo test --test readme` writes the table anew.

use std::process::Command;

const BEGIN: &str = "<!-- apis -->\n";
const END: &str = "<!-- /apis -->";

#[test]
fn the_table_of_apis_is_the_one_that_dispatches() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/README.md");
    let readme = std::fs::read_to_string(path).expect("the README");
    let output = Command::new(env!("CARGO_BIN_EXE_ottla")).args(["apis", "--markdown"]).output();
    let output = output.expect("ottla apis runs");
    assert!(output.status.success());
    let table = String::from_utf8(output.stdout).expect("text");
    let (before, rest) = readme.split_once(BEGIN).expect("the table's begin");
    let (found, after) = rest.split_once(END).expect("the table's end");
    if std::env::var_os("UPDATE_README").is_some() {
        let updated = format!("{before}{BEGIN}{table}{END}{after}");
        std::fs::write(path, updated).expect("the README is written");
        return;
    }
    assert_eq!(found, table, "run UPDATE_README=1 cargo test --test readme");
}
