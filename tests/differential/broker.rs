//! The broker under test: the real binary, on a free port and an empty directory.
//!
//! Promises: it is gone when its handle goes.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, ChildStdout, Command, Stdio};

/// A broker that runs.
pub struct Ottla {
    child: Child,
    pub address: SocketAddr,
    _stdout: BufReader<ChildStdout>,
    _directory: tempfile::TempDir,
}

impl Ottla {
    /// Starts it and waits until it accepts.
    pub fn start() -> Ottla {
        let directory = tempfile::tempdir().expect("a directory");
        let mut child = Command::new(env!("CARGO_BIN_EXE_ottla"))
            .args(["serve", "--listen", "127.0.0.1:0", "--board", "desktop", "--data"])
            .arg(directory.path().join("data"))
            .current_dir(directory.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the binary starts");
        let mut stdout = BufReader::new(child.stdout.take().expect("a pipe"));
        let mut line = String::new();
        stdout.read_line(&mut line).expect("text");
        let address = line.split_once("accepts on ").and_then(|(_, rest)| {
            rest.split(", ").next().and_then(|address| address.trim().parse().ok())
        });
        let Some(address) = address else {
            child.kill().ok();
            child.wait().ok();
            panic!("no address in {line:?}");
        };
        Ottla { child, address, _stdout: stdout, _directory: directory }
    }
}

impl Drop for Ottla {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
