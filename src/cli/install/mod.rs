//! `ottla install` and `ottla uninstall`: from one copied file to a service, and back.
//!
//! The program, its settings, its user, its data directory, and the service for whatever init the
//! machine has. `--root` puts the same below a directory, for packages and images.
//!
//! Promises: every step is idempotent and told with path, mode and owner; a settings file that
//! somebody changed is never written to; `uninstall` leaves settings and data without `--purge`.
//! Upgrade: the old program stays as `ottla.old` until the new one has accepted connections once;
//! the service itself (`templates/`) removes it then, or puts it back, at whatever time the first
//! start is. Absent: fetching anything, and starting a service that did not run.

mod init;
mod settings_text;
mod steps;
pub mod user;

use super::kafka_commands::KAFKA_COMMANDS;
use super::{Failure, process};
use crate::config;
use clap::{Args, ValueEnum};
use init::{Init, Places};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;
use steps::{Owner, Steps};

const SETTINGS: &str = "/etc/ottla/ottla.toml";
const MANUAL: &str = include_str!("templates/ottla.1");
const DEFAULTS: &str = "/etc/default/ottla";

/// Seconds that an upgrade waits for a broker to accept connections again.
const BACK_SECONDS: u64 = 60;

/// What both commands are told.
#[derive(Args, Debug)]
struct Where {
    /// Programs go to DIR/bin
    #[arg(long, value_name = "DIR", default_value = "/usr/local")]
    prefix: String,
    /// Take this directory for /, for a package or an image of another machine
    #[arg(long, value_name = "DIR", default_value = "/")]
    root: PathBuf,
    /// Which init the machine has; may be given several times [default: what is found]
    #[arg(long, value_name = "INIT")]
    init: Vec<Init>,
    /// Tell every step and do none
    #[arg(long)]
    dry_run: bool,
}

/// What `ottla install` was asked to do.
#[derive(Args, Debug)]
pub struct InstallArgs {
    #[command(flatten)]
    place: Where,
    /// Link the names of Kafka's commands (kafka-topics.sh, …) to it
    #[arg(long)]
    kafka_commands: bool,
    /// The board to run as, instead of one that is chosen by the machine's memory
    #[arg(long, value_name = "NAME")]
    board: Option<String>,
    /// Install this program instead of the one that runs
    #[arg(long, value_name = "FILE")]
    binary: Option<PathBuf>,
    /// Don't have the service start at boot
    #[arg(long)]
    no_enable: bool,
}

/// What `ottla uninstall` was asked to do.
#[derive(Args, Debug)]
pub struct UninstallArgs {
    #[command(flatten)]
    place: Where,
    /// Remove settings, data, log and user as well
    #[arg(long)]
    purge: bool,
}

/// What is done where.
struct Plan {
    places: Places,
    inits: Vec<Init>,
}

impl Where {
    fn plan(&self) -> Result<Plan, Failure> {
        let prefix = self.prefix.trim_end_matches('/');
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
        if !prefix.starts_with('/') || !prefix.chars().all(is_plain) {
            return Err(Failure::usage(format!(
                "--prefix {prefix}: not an absolute path of letters, digits, '.', '_' and '-'"
            )));
        }
        let root = &self.root;
        if !root.is_dir() {
            return Err(Failure::new(format!("--root {}: no directory", root.display())));
        }
        let below_root = root != Path::new("/");
        if !below_root && !self.dry_run && !process::is_root() {
            return Err(Failure::new(
                "this writes to /etc and /usr: run it as root (sudo), or see with --dry-run what \
                 it would do",
            ));
        }
        let package = Path::new("/var/lib/dpkg/info/ottla.list");
        if !below_root && package.exists() {
            return Err(Failure::new(
                "ottla is installed as a Debian package here: upgrade with dpkg -i FILE.deb, \
                 remove with dpkg -r ottla",
            ));
        }
        let inits = match self.init.as_slice() {
            [] => init::detect(root).into_iter().collect(),
            given => given.to_vec(),
        };
        Ok(Plan { places: Places { prefix: prefix.to_owned() }, inits })
    }

    fn steps<'a>(&self, out: &'a mut dyn Write) -> Result<Steps<'a>, Failure> {
        if self.dry_run {
            writeln!(out, "What would be done; nothing is.")?;
        }
        Ok(Steps::new(&self.root, self.dry_run, out))
    }
}

/// Installs, or upgrades.
pub fn run(args: &InstallArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let Plan { places, inits } = args.place.plan()?;
    check_board(args.board.as_deref())?;
    let program = read_program(args.binary.as_deref())?;
    let mut steps = args.place.steps(out)?;
    let runs = inits.iter().copied().find(|init| init.is_running(&steps));
    user::make(&mut steps)?;
    let upgraded = binary(&mut steps, &places, &program)?;
    if args.kafka_commands {
        for name in KAFKA_COMMANDS {
            steps.link(&format!("{}/{name}", places.bin()), "ottla")?;
        }
    }
    steps.file(&places.manual(), 0o644, MANUAL.as_bytes())?;
    let data = inits.first().map_or(settings_text::DATA_DIRECTORY, |init| init.data_directory());
    steps.directory("/etc/ottla", 0o755, Owner::Root)?;
    settings(&mut steps, data)?;
    defaults(&mut steps, args.board.as_deref())?;
    steps.directory(data, 0o750, Owner::Service)?;
    let mut changed = upgraded;
    for init in &inits {
        for (path, mode, text) in init.files(&places) {
            changed |= steps.file(&path, mode, text.as_bytes())?;
        }
        if !args.no_enable {
            init.enable(&mut steps, &places)?;
        }
        if changed {
            init.reload(&mut steps)?;
        }
    }
    match runs {
        Some(init) if changed => restart(&mut steps, init, &places, &program),
        runs => last_words(&mut steps, &inits, &places, runs.is_some()),
    }
}

/// The service would not start with a board that there is not.
fn check_board(name: Option<&str>) -> Result<(), Failure> {
    match name {
        Some(name) if config::board_named(name).is_none() && !Path::new(name).is_file() => {
            Err(Failure::usage(format!(
                "--board {name}: there is no such board, and no such file; it takes one of {}, or \
                 a file",
                config::board_names()
            )))
        }
        _ => Ok(()),
    }
}

fn read_program(given: Option<&Path>) -> Result<Vec<u8>, Failure> {
    let path = match given {
        Some(path) => path.to_owned(),
        None => std::env::current_exe()
            .map_err(|error| Failure::new(format!("cannot find this program: {error}")))?,
    };
    fs::read(&path)
        .map_err(|error| Failure::new(format!("cannot read {}: {error}", path.display())))
}

/// The program. One that is there already is kept until this one has started.
fn binary(steps: &mut Steps<'_>, places: &Places, program: &[u8]) -> Result<bool, Failure> {
    let (path, old) = (places.binary(), format!("{}.old", places.binary()));
    let found = fs::read(steps.at(&path)).ok();
    // Of two upgrades without a start between them, the first one's old program has proved itself.
    if found.is_some_and(|found| found != program) && !steps.at(&old).exists() {
        steps.rename(&path, &old)?;
    }
    steps.file(&path, 0o755, program)
}

fn settings(steps: &mut Steps<'_>, data: &str) -> Result<(), Failure> {
    let text = settings_text::text(data);
    let new = format!("{SETTINGS}.new");
    match fs::read_to_string(steps.at(SETTINGS)) {
        Ok(found) if found == text => steps.unchanged(SETTINGS),
        Ok(found) if settings_text::is_complete(&found) => steps.left(SETTINGS, "it was changed"),
        Ok(_) => {
            steps.left(SETTINGS, "it was changed; all settings there are now stand in the next")?;
            steps.file(&new, 0o644, text.as_bytes()).map(|_| ())
        }
        Err(_) => steps.file(SETTINGS, 0o644, text.as_bytes()).map(|_| ()),
    }
}

/// The arguments of `ottla serve`, which survive upgrades.
fn defaults(steps: &mut Steps<'_>, board: Option<&str>) -> Result<(), Failure> {
    let found = fs::read_to_string(steps.at(DEFAULTS)).ok();
    let line = match board {
        Some(board) => format!("OTTLA_ARGS=\"--board {board}\"\n"),
        None => "#OTTLA_ARGS=\"--log-level info\"\n".to_owned(),
    };
    let text = match found {
        Some(found) if board.is_none() || found.contains(&line) => {
            return steps.unchanged(DEFAULTS);
        }
        Some(found) if found.lines().any(|line| line.starts_with("OTTLA_ARGS=")) => {
            let why =
                format!("it sets OTTLA_ARGS: add --board {} there", board.unwrap_or_default());
            return steps.left(DEFAULTS, &why);
        }
        Some(found) => format!("{found}{line}"),
        None => format!("# Arguments of 'ottla serve', beside the settings in {SETTINGS}.\n{line}"),
    };
    steps.file(DEFAULTS, 0o644, text.as_bytes()).map(|_| ())
}

/// Restarts a service that runs, and looks whether it came back, with which program.
fn restart(
    steps: &mut Steps<'_>,
    init: Init,
    places: &Places,
    program: &[u8],
) -> Result<(), Failure> {
    let came_back = steps.try_run(&init.command("restart"))?;
    if steps.dry {
        return Ok(());
    }
    let old = steps.at(&format!("{}.old", places.binary()));
    for _ in 0..BACK_SECONDS {
        if init.is_up(steps) && !old.exists() {
            break;
        }
        std::thread::sleep(Duration::from_secs(1));
    }
    let is_new = fs::read(steps.at(&places.binary())).is_ok_and(|found| found == program);
    if !is_new {
        return Err(Failure::new(
            "the new program did not start: the old one is back, and runs. What the new one said \
             is in the log of the service.",
        ));
    }
    if !came_back || old.exists() {
        return Err(Failure::new("the service does not run yet; what it says is in its log."));
    }
    steps.say("The service was restarted, and accepts connections.")
}

fn last_words(
    steps: &mut Steps<'_>,
    inits: &[Init],
    places: &Places,
    runs: bool,
) -> Result<(), Failure> {
    let Some(init) = inits.first() else {
        return steps.say(&format!(
            "No init was found that starts services. This runs the broker, and starts it again \
             when it ends: {} supervise --user {} -- --config {SETTINGS}",
            places.binary(),
            user::USER,
        ));
    };
    if steps.dry || steps.below_root() {
        return Ok(());
    }
    if steps.changes == 0 {
        return steps.say("Everything was as it should be.");
    }
    if runs {
        return Ok(());
    }
    let start = match init {
        Init::Busybox => "It is started now.".to_owned(),
        init => format!("Start: {}", init.command("start").join(" ")),
    };
    steps.say(&format!("Installed for {}. Settings: {SETTINGS}. {start}", init.name()))
}

/// Where `install` made the data directory: what its settings say, else where the init has it.
fn data_directory(steps: &Steps<'_>, inits: &[Init]) -> &'static str {
    let settings = fs::read_to_string(steps.at(SETTINGS)).unwrap_or_default();
    let is_said = |data: &&str| settings.contains(&settings_text::data_line(data));
    let mut known = Init::value_variants().iter().map(|init| init.data_directory());
    known.find(is_said).unwrap_or_else(|| {
        inits.first().map_or(settings_text::DATA_DIRECTORY, |init| init.data_directory())
    })
}

/// Removes what `install` made.
pub fn run_uninstall(args: &UninstallArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let Plan { places, mut inits } = args.place.plan()?;
    let mut steps = args.place.steps(out)?;
    if args.place.init.is_empty() {
        // An image may have been given another one than what is found in it.
        let more = Init::value_variants().iter().filter(|init| !inits.contains(init));
        let more = more.filter(|init| init.is_installed(&steps, &places));
        inits.extend(more.copied().collect::<Vec<_>>());
    }
    for init in &inits {
        if init.is_running(&steps) && !steps.try_run(&init.command("stop"))? {
            return Err(Failure::new("the service cannot be stopped; nothing was removed"));
        }
        init.disable(&mut steps, &places)?;
        for (path, _, _) in init.files(&places) {
            steps.remove(&path)?;
        }
        init.reload(&mut steps)?;
    }
    for name in KAFKA_COMMANDS {
        steps.unlink(&format!("{}/{name}", places.bin()), "ottla")?;
    }
    steps.remove(&places.lib())?;
    steps.remove(&places.manual())?;
    steps.remove(&format!("{}.old", places.binary()))?;
    steps.remove(&places.binary())?;
    // What waits for this file to go finds no program any more.
    steps.remove("/run/ottla.stopped")?;
    let data = data_directory(&steps, &inits);
    if args.purge {
        for path in ["/etc/ottla", DEFAULTS, data, "/var/log/ottla", "/run/ottla"] {
            steps.remove(path)?;
        }
        user::remove(&mut steps)?;
    } else {
        for path in ["/etc/ottla", data] {
            if steps.at(path).exists() {
                steps.left(path, "--purge removes it")?;
            }
        }
    }
    if steps.changes == 0 { steps.say("There was nothing to remove.") } else { Ok(()) }
}
