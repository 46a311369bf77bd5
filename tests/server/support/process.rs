//! The real binary as a child process.
//!
//! Promises: the process is killed and waited for when its handle goes, whatever happened; what it
//! wrote to standard error is shown when the test failed.

use super::{PATIENCE, wait_until};
use rustix::process::{Pid, Signal, kill_process};
use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// A broker that runs.
pub struct Ottla {
    child: Child,
    /// Its data directory.
    pub data: PathBuf,
    /// The first line on standard output.
    pub line: String,
    /// Where it listens.
    pub address: SocketAddr,
    stderr: Arc<Mutex<String>>,
    reader: Option<JoinHandle<()>>,
}

/// The command `ottla serve` on `data`, without a place to listen.
pub fn serve_command(data: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ottla"));
    command.arg("serve").arg("--data").arg(data);
    // A broker that a test starts shall not read what belongs to whoever runs the test.
    command.current_dir(data.parent().unwrap_or(data));
    command
}

impl Ottla {
    /// A broker on a free port of 127.0.0.1.
    pub fn start(data: &Path) -> Ottla {
        Ottla::start_with(data, &["--listen", "127.0.0.1:0"])
    }

    /// A broker on a given port of 127.0.0.1: clients find it again after a restart.
    pub fn start_on(data: &Path, port: u16) -> Ottla {
        Ottla::start_with(data, &["--listen", &format!("127.0.0.1:{port}")])
    }

    /// A broker with these arguments.
    pub fn start_with<S: AsRef<OsStr>>(data: &Path, arguments: &[S]) -> Ottla {
        let mut command = serve_command(data);
        command.args(arguments);
        Ottla::spawn(&mut command, data)
    }

    /// Starts `command`, which serves `data`, and waits until it accepts.
    pub fn spawn(command: &mut Command, data: &Path) -> Ottla {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let stderr = Arc::new(Mutex::new(String::new()));
        let reader = child.stderr.take().map(|pipe| {
            let stderr = stderr.clone();
            std::thread::spawn(move || {
                for line in BufReader::new(pipe).lines().map_while(Result::ok) {
                    let mut all = stderr.lock().expect("nobody panics with it");
                    all.push_str(&line);
                    all.push('\n');
                }
            })
        });
        let stdout = child.stdout.take().expect("a pipe");
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let (data, line) = (data.to_path_buf(), String::new());
        let mut ottla = Ottla { child, data, line, address, stderr, reader };
        BufReader::new(stdout).read_line(&mut ottla.line).expect("text");
        ottla.address = address_in(&ottla.line)
            .unwrap_or_else(|| panic!("no address in {:?}\n{}", ottla.line, ottla.log()));
        ottla
    }

    /// What clients take for `bootstrap.servers`.
    pub fn bootstrap(&self) -> String {
        self.address.to_string()
    }

    /// What it wrote to standard error so far.
    pub fn log(&self) -> String {
        self.stderr.lock().expect("nobody panics with it").clone()
    }

    /// Waits for a line on standard error that contains `text`.
    pub fn wait_for_log(&self, text: &str) {
        wait_until(text, || self.log().contains(text));
    }

    /// SIGTERM; how it ended, how long that took, and what it had written to standard error.
    pub fn terminate(self) -> (ExitStatus, Duration, String) {
        self.end_with(Signal::TERM)
    }

    /// The memory that it had at most, in bytes.
    pub fn peak_memory(&self) -> u64 {
        self.memory("VmHWM")
    }

    /// What the kernel says under this name in `/proc/PID/status`, in bytes.
    pub fn memory(&self, name: &str) -> u64 {
        let path = format!("/proc/{}/status", self.child.id());
        let status = std::fs::read_to_string(path).expect("it runs");
        let value = |line: &str| Some(line.strip_prefix(name)?.strip_prefix(':')?.to_owned());
        let line = status.lines().find_map(value).expect("a line");
        let kib = line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number");
        kib * 1024
    }

    /// The number of its process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal and goes on.
    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("it runs");
    }

    /// Sends a signal that ends it; as [`Ottla::terminate`].
    pub fn end_with(mut self, signal: Signal) -> (ExitStatus, Duration, String) {
        let start = Instant::now();
        self.signal(signal);
        let mut status = None;
        wait_until("the end of the broker", || {
            status = self.child.try_wait().expect("a child");
            status.is_some()
        });
        let took = start.elapsed();
        self.reader.take().map(JoinHandle::join);
        (status.expect("it ended"), took, self.log())
    }

    /// `kill -9`: no chance to do anything more.
    pub fn kill(mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it ends");
    }

    /// Whether it still runs.
    pub fn is_alive(&mut self) -> bool {
        self.child.try_wait().expect("a child").is_none()
    }
}

impl Drop for Ottla {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
        if let Some(reader) = self.reader.take() {
            reader.join().ok();
        }
        if std::thread::panicking() {
            eprintln!("--- standard error of the broker on {}\n{}---", self.address, self.log());
        }
    }
}

fn address_in(line: &str) -> Option<SocketAddr> {
    let (_, rest) = line.split_once("accepts on ")?;
    rest.split(", ").next()?.parse().ok()
}

/// Runs a command that is expected to end by itself; it is killed if it doesn't.
pub fn run_to_end(command: &mut Command) -> Output {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    let start = Instant::now();
    let status = loop {
        match child.try_wait().expect("a child") {
            Some(status) => break status,
            None if start.elapsed() > PATIENCE => {
                child.kill().expect("it runs");
                child.wait().expect("it ends");
                panic!("it did not end by itself");
            }
            None => std::thread::sleep(Duration::from_millis(5)),
        }
    };
    let read = |pipe: Option<&mut dyn Read>| {
        let mut bytes = Vec::new();
        pipe.expect("a pipe").read_to_end(&mut bytes).expect("bytes");
        bytes
    };
    let stdout = read(child.stdout.as_mut().map(|pipe| pipe as &mut dyn Read));
    let stderr = read(child.stderr.as_mut().map(|pipe| pipe as &mut dyn Read));
    Output { status, stdout, stderr }
}

/// A port that nobody has now, below the range from which the kernel takes ports for outgoing
/// connections, so that it is still free when a broker comes back after a restart.
pub fn port_for_restarts() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let first = 12_000 + (std::process::id() % 1_500) as u16 * 10;
    loop {
        let port = first + NEXT.fetch_add(1, Ordering::Relaxed);
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
}
