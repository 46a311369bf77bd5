//! `ottla supervise`: runs the broker, and starts it again whenever it ends.
//!
//! For machines whose init does not do that, or not with pauses (SysV, OpenRC, busybox, procd).
//! It is to the broker what systemd is: `NOTIFY_SOCKET`, a watchdog, back-off. In the run
//! directory stand `pid`, locked for as long as it runs, and `state`, for scripts: `starting`,
//! `ready ID`, `failed WHY`; a broker that ends as it was asked to leaves none.
//!
//! Promises: one supervisor per run directory; it never gives up; a broker does not outlive it
//! (`process::end_with_supervisor`). Absent: more than one broker, and going into the background,
//! which takes a fork: the init script does that.

use super::supervise_log::LogFile;
use super::{Failure, install, process};
use crate::limits::{
    RESTART_PAUSE_MS_MAX, RESTART_PAUSE_MS_MIN, RESTART_SETTLED_MS, START_MS_MAX, STOP_MS_MAX,
    WATCHDOG_MS,
};
use clap::Args;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;
use tokio::net::UnixDatagram;
use tokio::net::unix::pipe::Receiver;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{Instant, sleep_until};

/// What `ottla supervise` was asked to do.
#[derive(Args, Debug)]
pub struct SuperviseArgs {
    /// Become this user first
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// Where pid, state and notify are kept while it runs
    #[arg(long, value_name = "DIR", default_value = "/run/ottla")]
    run_dir: PathBuf,
    /// Append what the broker says to this file, at most 1 MiB of it, and keep one older file
    #[arg(long, value_name = "FILE")]
    log: Option<PathBuf>,
    /// Take a broker whose event loop says nothing for so many milliseconds for hung
    #[arg(long, value_name = "MS", default_value_t = WATCHDOG_MS,
          value_parser = clap::value_parser!(u64).range(100..))]
    watchdog_ms: u64,
    /// The arguments of `ottla serve`
    #[arg(last = true, value_name = "ARGUMENTS")]
    serve: Vec<String>,
}

/// Supervises until it is asked to end.
pub fn run(args: &SuperviseArgs) -> Result<(), Failure> {
    if let Some(user) = args.user.as_deref().filter(|_| process::is_root()) {
        return Err(become_user(args, user));
    }
    fs::create_dir_all(&args.run_dir)
        .map_err(|error| Failure::new(format!("cannot make {}: {error}", shown(&args.run_dir))))?;
    let _locked = lock(&args.run_dir)?;
    process::leave_terminal();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|e| Failure::new(format!("no event loop: {e}")))?;
    let told = runtime.block_on(async { Supervisor::new(args)?.supervise().await });
    for name in ["state", "notify", "pid"] {
        fs::remove_file(args.run_dir.join(name)).ok();
    }
    told.map_err(|error| Failure::new(format!("cannot supervise: {error}")))
}

fn shown(path: &Path) -> std::path::Display<'_> {
    path.display()
}

/// Runs this program anew as `user`, who gets the directories that it will write to. Returns only
/// why not.
fn become_user(args: &SuperviseArgs, user: &str) -> Failure {
    let Some((uid, gid)) = install::user::find(Path::new("/"), user) else {
        return Failure::new(format!("there is no user {user}; 'ottla install' makes it"));
    };
    let log_directory = args.log.as_deref().and_then(Path::parent);
    for directory in [Some(args.run_dir.as_path()), log_directory].into_iter().flatten() {
        let made = fs::create_dir_all(directory).and_then(|()| {
            // Somebody else's directory (/var/log itself) is not given away.
            let empty = fs::read_dir(directory)?.next().is_none();
            if empty { chown(directory, Some(uid), Some(gid)) } else { Ok(()) }
        });
        if let Err(error) = made {
            return Failure::new(format!("cannot make {}: {error}", shown(directory)));
        }
    }
    let program = match std::env::current_exe() {
        Ok(program) => program,
        Err(error) => return Failure::new(format!("cannot find this program: {error}")),
    };
    let mut again = Command::new(program);
    again.args(["supervise", "--run-dir"]).arg(&args.run_dir);
    if let Some(log) = &args.log {
        again.arg("--log").arg(log);
    }
    again.arg("--watchdog-ms").arg(args.watchdog_ms.to_string()).arg("--").args(&args.serve);
    let error = again.uid(uid).gid(gid).exec();
    Failure::new(format!("cannot become {user}: {error}"))
}

/// Writes and locks the file with our process id. The lock ends with the process, however it ends.
fn lock(run_dir: &Path) -> Result<File, Failure> {
    let path = run_dir.join("pid");
    let failed = |error| Failure::new(format!("cannot write {}: {error}", shown(&path)));
    let open = OpenOptions::new().create(true).truncate(false).write(true).open(&path);
    let mut file = open.map_err(failed)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let id = fs::read_to_string(&path).unwrap_or_default();
            return Err(Failure::new(format!("ottla is supervised already, by {}", id.trim())));
        }
        Err(TryLockError::Error(error)) => return Err(failed(error)),
    }
    let id = std::process::id();
    file.set_len(0).and_then(|()| writeln!(file, "{id}")).map_err(failed)?;
    Ok(file)
}

/// The pauses between starts.
struct BackOff {
    pause_ms: u64,
}

impl BackOff {
    /// The pause after a broker that ran for `ran_ms`.
    fn after(&mut self, ran_ms: u64) -> u64 {
        if ran_ms >= RESTART_SETTLED_MS {
            self.pause_ms = 0;
        }
        self.pause_ms = (self.pause_ms * 2).clamp(RESTART_PAUSE_MS_MIN, RESTART_PAUSE_MS_MAX);
        self.pause_ms
    }
}

/// Why there is no broker any more.
enum End {
    /// It ended by itself.
    Failed(String),
    /// We were asked to end it.
    Stopped,
}

struct Supervisor<'a> {
    args: &'a SuperviseArgs,
    /// Where this program stood at the start: an upgrade puts a new one there.
    program: PathBuf,
    notify: UnixDatagram,
    log: Option<LogFile>,
    terminate: Signal,
    interrupt: Signal,
    ended: Signal,
}

impl Supervisor<'_> {
    fn new(args: &SuperviseArgs) -> std::io::Result<Supervisor<'_>> {
        let path = args.run_dir.join("notify");
        // We hold the lock, so whoever made it is gone.
        fs::remove_file(&path).ok();
        Ok(Supervisor {
            args,
            program: std::env::current_exe()?,
            notify: UnixDatagram::bind(&path)?,
            log: args.log.as_deref().map(LogFile::open),
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            ended: signal(SignalKind::child())?,
        })
    }

    async fn supervise(&mut self) -> std::io::Result<()> {
        let mut back_off = BackOff { pause_ms: 0 };
        loop {
            let started = Instant::now();
            self.state("starting");
            let why = match self.start() {
                Ok((child, output)) => match self.life(child, output).await {
                    End::Stopped => return Ok(()),
                    End::Failed(why) => why,
                },
                Err(error) => format!("the broker cannot be started: {error}"),
            };
            let pause_ms = back_off.after(started.elapsed().as_millis() as u64);
            self.state(&format!("failed {why}"));
            self.say(&format!("{why}; it is started again in {pause_ms} ms"));
            tokio::select! {
                () = tokio::time::sleep(Duration::from_millis(pause_ms)) => {}
                _ = self.terminate.recv() => return Ok(()),
                _ = self.interrupt.recv() => return Ok(()),
            }
        }
    }

    fn start(&self) -> std::io::Result<(Child, Option<Receiver>)> {
        let mut command = Command::new(&self.program);
        command
            .arg("serve")
            .args(&self.args.serve)
            .env("NOTIFY_SOCKET", self.args.run_dir.join("notify"))
            .env("WATCHDOG_USEC", (self.args.watchdog_ms * 1000).to_string())
            .env(process::SUPERVISOR_VARIABLE, std::process::id().to_string())
            .stdin(Stdio::null());
        if self.log.is_none() {
            return Ok((command.spawn()?, None));
        }
        // Lines on standard output say the same as the log does, but where it listens.
        let (reader, writer) = std::io::pipe()?;
        command.stdout(writer.try_clone()?).stderr(writer);
        let child = command.spawn()?;
        Ok((child, Some(Receiver::from_owned_fd(OwnedFd::from(reader))?)))
    }

    /// A broker from its start to its end.
    async fn life(&mut self, mut child: Child, mut output: Option<Receiver>) -> End {
        let in_ms = |ms| Some(Instant::now() + Duration::from_millis(ms));
        let mut deadline = in_ms(START_MS_MAX);
        let (mut stopping, mut hung) = (false, false);
        let (mut word, mut line) = ([0; 512], [0; 4096]);
        loop {
            tokio::select! {
                _ = self.ended.recv() => {
                    if let Ok(Some(status)) = child.try_wait() {
                        self.drain(&mut output);
                        return told(status, stopping, hung);
                    }
                }
                _ = self.terminate.recv() => {
                    stopping = true;
                    deadline = in_ms(STOP_MS_MAX);
                    process::terminate(&child);
                }
                _ = self.interrupt.recv() => {
                    stopping = true;
                    deadline = in_ms(STOP_MS_MAX);
                    process::terminate(&child);
                }
                Ok(bytes) = self.notify.recv(&mut word) => {
                    let lines = word[..bytes].split(|byte| *byte == b'\n');
                    let said = |what: &[u8]| lines.clone().any(|line| line == what);
                    if said(b"READY=1") {
                        self.state(&format!("ready {}", child.id()));
                    }
                    if !stopping && (said(b"READY=1") || said(b"WATCHDOG=1")) {
                        deadline = in_ms(self.args.watchdog_ms);
                    }
                }
                bytes = read(&mut output, &mut line) => self.log_bytes(&line[..bytes]),
                () = until(deadline) => {
                    hung = true;
                    self.say("the broker does not answer, and is killed");
                    child.kill().ok();
                    // A process in the middle of a card's stall ends when the card does.
                    deadline = None;
                }
            }
        }
    }

    /// What the broker said before it ended.
    fn drain(&mut self, output: &mut Option<Receiver>) {
        let mut line = [0; 4096];
        let Some(output) = output else { return };
        while let Ok(bytes) = output.try_read(&mut line) {
            if bytes == 0 {
                return;
            }
            self.log_bytes(&line[..bytes]);
        }
    }

    fn log_bytes(&mut self, bytes: &[u8]) {
        if let Some(log) = &mut self.log {
            log.write(bytes);
        }
    }

    /// A line of our own.
    fn say(&mut self, text: &str) {
        match &mut self.log {
            Some(log) => log.write(format!("ottla supervise: {text}\n").as_bytes()),
            None => super::note(&format!("ottla supervise: {text}")),
        }
    }

    /// Scripts that read it see the old state or the new one.
    fn state(&self, text: &str) {
        let path = self.args.run_dir.join("state");
        let new = self.args.run_dir.join("state.new");
        fs::write(&new, format!("{text}\n")).and_then(|()| fs::rename(&new, &path)).ok();
    }
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

/// What the broker says. Never ends once the broker has closed its end.
async fn read(output: &mut Option<Receiver>, line: &mut [u8]) -> usize {
    while let Some(receiver) = output {
        if receiver.readable().await.is_err() {
            break;
        }
        match receiver.try_read(line) {
            Ok(0) => *output = None,
            Ok(bytes) => return bytes,
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(_) => *output = None,
        }
    }
    std::future::pending().await
}

fn told(status: ExitStatus, stopping: bool, hung: bool) -> End {
    match (stopping, hung) {
        (true, _) => End::Stopped,
        (false, true) => End::Failed("the broker hung".to_owned()),
        (false, false) => End::Failed(format!("the broker ended ({status})")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_minute_and_begin_anew_behind_a_broker_that_worked() {
        let mut back_off = BackOff { pause_ms: 0 };
        let pauses: Vec<u64> = (0..8).map(|_| back_off.after(10)).collect();
        assert_eq!(pauses, [1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000]);
        assert_eq!(back_off.after(RESTART_SETTLED_MS), 1000);
        assert_eq!(back_off.after(0), 2000);
    }

    #[test]
    fn there_is_one_supervisor_per_run_directory() {
        let directory = tempfile::tempdir().unwrap();
        let first = lock(directory.path()).unwrap();
        let id = std::process::id();
        let refused = Failure::new(format!("ottla is supervised already, by {id}"));
        assert_eq!(lock(directory.path()).map(|_| ()), Err(refused));
        drop(first);
        assert!(lock(directory.path()).is_ok());
    }
}
