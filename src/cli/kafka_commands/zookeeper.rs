//! ZooKeeper's scripts: there is none to start or stop, and that is said in one line.
//!
//! Promises: the lines that scripts look for on standard output (`Mode: standalone`), the
//! explanation on standard error, and success: whoever waits for ZooKeeper goes on.
//! Absent: its port 2181, its four-letter words, its data.

use crate::cli::note;
use std::ffi::OsString;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

fn explain() {
    note(
        "ottla: there is no ZooKeeper, and nothing to start or stop: the broker keeps its \
         metadata itself.",
    );
}

fn say(line: &str) -> ExitCode {
    // Whoever closed our output has seen enough.
    writeln!(std::io::stdout(), "{line}").ok();
    ExitCode::SUCCESS
}

/// `zkServer.sh start|stop|status|…`.
pub fn zk_server(words: &[OsString]) -> ExitCode {
    let line = match words.iter().filter_map(|word| word.to_str()).find(|w| !w.starts_with('-')) {
        Some("start") => "Starting zookeeper ... STARTED",
        Some("start-foreground") => "Starting zookeeper ... nothing to run in the foreground",
        Some("stop") => "Stopping zookeeper ... STOPPED",
        Some("restart") => "Stopping zookeeper ... STOPPED\nStarting zookeeper ... STARTED",
        Some("status") => "Mode: standalone",
        Some("version") => concat!("ottla ", env!("CARGO_PKG_VERSION")),
        _ => {
            note(
                "Usage: zkServer.sh [--config <conf-dir>] \
                 {start|start-foreground|stop|version|restart|status|print-cmd}",
            );
            return ExitCode::FAILURE;
        }
    };
    explain();
    say(line)
}

/// `zookeeper-server-start.sh [-daemon] zookeeper.properties`.
pub fn server_start(called: &OsString, words: &[OsString]) -> ExitCode {
    if words.is_empty() {
        let called = Path::new(called).display();
        say(&format!("USAGE: {called} [-daemon] zookeeper.properties"));
        return ExitCode::FAILURE;
    }
    explain();
    ExitCode::SUCCESS
}

/// `zookeeper-server-stop.sh`.
pub fn server_stop() -> ExitCode {
    explain();
    ExitCode::SUCCESS
}
