//! Brokers as child processes, and what the kernel says of them.
//!
//! Promises: every contender is started the same way, on a data directory of its own that vanishes
//! with it; it is killed when its handle goes. CPU time is the sum over the threads of the broker
//! alone, in nanoseconds (`/proc/PID/task/*/schedstat`).
//! Absent: a stop in good order; nobody needs the data any more.

use super::load::Client;
use super::options::Options;
use super::slow::Syncs;
use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::rc::Rc;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// How long a broker may take to accept. A JVM on a busy machine is slow.
const START_PATIENCE: Duration = Duration::from_secs(90);

/// What can be started.
#[derive(Clone, Debug)]
pub struct Contender {
    /// Its name in the tables.
    pub name: String,
    /// Whether it is an Apache Kafka.
    pub is_kafka: bool,
    program: PathBuf,
    /// Settings that it is started with, `name=value`.
    pub settings: Vec<String>,
}

/// What makes an Apache Kafka sync before it acknowledges: `log.flush.interval.messages=1` for one
/// topic, so that one JVM serves both ways and has compiled what is hot for both.
const SYNCED: &[(&str, &str)] = &[("flush.messages", "1")];

/// Everybody who takes part.
pub fn contenders(options: &Options) -> Vec<Contender> {
    let ottla = options.ottla.iter().enumerate().map(|(at, program)| {
        let name = if at == 0 { "ottla".to_owned() } else { format!("ottla {}", at + 1) };
        let settings = options.set.clone();
        Contender { name, program: program.clone(), is_kafka: false, settings }
    });
    let kafka = options.kafka.iter().map(|script| {
        let (name, program) = ("Kafka".to_owned(), script.clone());
        Contender { name, program, is_kafka: true, settings: Vec::new() }
    });
    ottla.chain(kafka).collect()
}

/// Starts everybody on the same disk; an Apache Kafka stands there twice, see [`SYNCED`].
pub fn start_all(contenders: &[Contender], parent: &Path, syncs: Syncs) -> Vec<Broker> {
    let mut brokers = Vec::new();
    for contender in contenders {
        let broker = contender.start(parent, syncs);
        let synced = broker.is_kafka.then(|| broker.synced());
        brokers.push(broker);
        brokers.extend(synced);
    }
    brokers
}

impl Contender {
    /// The same with one more setting, if it is an ottla.
    pub fn with(&self, setting: &str) -> Option<Contender> {
        let mut changed = self.clone();
        changed.settings.push(setting.to_owned());
        (!self.is_kafka).then_some(changed)
    }

    /// Starts it with a data directory below `parent`.
    pub fn start(&self, parent: &Path, syncs: Syncs) -> Broker {
        let data = tempfile::tempdir_in(parent).expect("a data directory");
        self.start_in(Rc::new(data), syncs)
    }

    /// Kills a broker and starts it again on the same data.
    pub fn restart(&self, broker: Broker, syncs: Syncs) -> Broker {
        let data = broker.process.data.clone();
        drop(broker);
        self.start_in(data, syncs)
    }

    fn start_in(&self, data: Rc<TempDir>, syncs: Syncs) -> Broker {
        let port = free_port();
        let mut command = syncs.command(&data.path().join("syncs"), &self.program);
        if self.is_kafka {
            command.arg("broker").arg(port.to_string()).arg(data.path().join("kafka"));
            command.args(&self.settings);
        } else {
            command.args(["serve", "--log-level", "warn", "--data"]).arg(data.path().join("data"));
            command.arg("--listen").arg(format!("127.0.0.1:{port}"));
            command.args(self.settings.iter().flat_map(|setting| ["--set", setting]));
            // A thousand connections are no gateway's: the default board refuses to start for them.
            if self.settings.iter().any(|setting| setting.starts_with("max.connections=")) {
                command.args(["--board", "desktop"]);
            }
        }
        let log = std::fs::File::create(data.path().join("log")).expect("a log file");
        let output = log.try_clone().expect("a file");
        command.current_dir(data.path()).stdin(Stdio::null()).stdout(output).stderr(log);
        let began = Instant::now();
        let child = command.spawn().unwrap_or_else(|error| {
            panic!("{} does not start: {error}", self.program.display());
        });
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let (name, is_kafka) = (self.name.clone(), self.is_kafka);
        let process = Process { child, data };
        // Looking twenty times a second would measure the looking, in those that start at once.
        let pause = Duration::from_micros(if is_kafka { 20_000 } else { 200 });
        process.wait_until_it_serves(address, &name, began, pause);
        let (start, process) = (began.elapsed(), Rc::new(process));
        Broker { name, is_kafka, address, topic_settings: &[], start, process }
    }
}

/// A port that is free now, and the one behind it (Kafka's controller wants one, too).
fn free_port() -> u16 {
    loop {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let next = port.checked_add(1);
        if next.is_some_and(|next| TcpListener::bind((Ipv4Addr::LOCALHOST, next)).is_ok()) {
            return port;
        }
    }
}

/// A broker that runs, and how it is used.
pub struct Broker {
    /// Its name in the tables.
    pub name: String,
    /// Whether it is an Apache Kafka.
    pub is_kafka: bool,
    /// Where it listens.
    pub address: SocketAddr,
    /// What its topics are created with.
    pub topic_settings: &'static [(&'static str, &'static str)],
    /// From `exec` until it has answered the first request.
    pub start: Duration,
    process: Rc<Process>,
}

/// The child, and the directory that goes with it.
struct Process {
    child: Child,
    data: Rc<TempDir>,
}

/// CPU time of every thread.
#[derive(Clone, Debug)]
pub struct CpuTimes(HashMap<u32, u64>);

impl Process {
    fn wait_until_it_serves(
        &self,
        address: SocketAddr,
        name: &str,
        began: Instant,
        pause: Duration,
    ) {
        while Client::try_connect(address).is_none() {
            // A child that has ended is a zombie until it is waited for.
            let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()));
            let ended = status.is_ok_and(|status| status.contains("State:\tZ"));
            if ended || began.elapsed() > START_PATIENCE {
                let log = std::fs::read_to_string(self.data.path().join("log"));
                panic!("{name} on {address} serves nobody\n{log:?}");
            }
            std::thread::sleep(pause);
        }
    }
}

impl Broker {
    /// The same process with topics that are synced before anything is acknowledged.
    pub fn synced(&self) -> Broker {
        let name = format!("{}, flush.messages=1", self.name);
        let process = self.process.clone();
        Broker { name, topic_settings: SYNCED, process, ..*self }
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.process.child.id()
    }

    /// Syncs so far, if they are traced.
    pub fn syncs(&self) -> usize {
        let trace =
            std::fs::read_to_string(self.process.data.path().join("syncs")).unwrap_or_default();
        trace.lines().filter(|line| line.contains("sync(")).count()
    }

    /// CPU time so far.
    pub fn cpu(&self) -> CpuTimes {
        let directory = format!("/proc/{}/task", self.pid());
        let mut times = HashMap::new();
        for entry in std::fs::read_dir(directory).expect("it runs").flatten() {
            let text = std::fs::read_to_string(entry.path().join("schedstat"));
            let spent: Option<u64> =
                text.ok().and_then(|text| text.split(' ').next()?.parse().ok());
            let thread: Option<u32> = entry.file_name().to_str().and_then(|name| name.parse().ok());
            // A thread that has just ended has no figure any more.
            times.extend(thread.zip(spent));
        }
        CpuTimes(times)
    }

    /// A field of `/proc/PID/status`, such as `VmHWM` in KiB.
    pub fn status(&self, field: &str) -> u64 {
        number(&format!("/proc/{}/status", self.pid()), field)
    }

    /// Bytes that it has made the kernel write to any device.
    pub fn written(&self) -> u64 {
        number(&format!("/proc/{}/io", self.pid()), "write_bytes")
    }

    /// How often its threads went to sleep, which is how often they were woken.
    pub fn wakes(&self) -> u64 {
        let threads = std::fs::read_dir(format!("/proc/{}/task", self.pid())).expect("it runs");
        let paths = threads.flatten().map(|thread| thread.path().join("status"));
        let field = "voluntary_ctxt_switches";
        paths.map(|path| number(&path.to_string_lossy(), field)).sum()
    }

    /// Whether one of its settings is one that it does not know.
    pub fn ignores_a_setting(&self) -> bool {
        let log = std::fs::read_to_string(self.process.data.path().join("log"));
        log.is_ok_and(|log| log.contains("is not known and is ignored"))
    }
}

/// The figure behind `field` in a file of `/proc`; 0 if its thread has just ended.
fn number(path: &str, field: &str) -> u64 {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

impl CpuTimes {
    /// Nanoseconds between the two. What a thread that is gone had spent is not in it.
    pub fn until(&self, later: &CpuTimes) -> f64 {
        let spent = |(thread, after): (&u32, &u64)| {
            after.saturating_sub(self.0.get(thread).copied().unwrap_or(0)) as f64
        };
        later.0.iter().map(spent).sum()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
