//! `ottla doctor`: looks at the machine, the data directory and the network, and says what it
//! means and what to do.
//!
//! Promises: it changes nothing (its one scratch file for the sync times has no name while it
//! exists), works whether a broker runs or not, and waits for nobody longer than the tools do.
//! Exit code 0: all is well, or remarks only; 1: warnings; 2: something that keeps the broker from
//! its work. Absent: mending; and any proof that a card keeps what it acknowledged, which only a
//! power cut gives.

mod addresses;
mod data;
mod disk;
mod finding;
mod machine;
mod sockets;
mod sync;
mod upstream;

use super::board::{self, Chosen};
use super::lock::holder;
use super::{Failure, ServeArgs, serve};
use crate::config::BrokerConfig;
use clap::Args;
use finding::{Finding, Level};
use std::io::Write;
use std::path::{Path, PathBuf};

/// What `ottla doctor` was asked to do.
#[derive(Args, Debug)]
pub struct DoctorArgs {
    /// The broker's configuration [default: /etc/ottla/ottla.toml if it is there]
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The data directory [default: the configuration's]
    #[arg(long, value_name = "DIR", alias = "data")]
    data_dir: Option<PathBuf>,
    /// A board profile, by name or as a file
    #[arg(long, value_name = "NAME|FILE")]
    board: Option<String>,
    /// Set one key of the configuration; may be given several times
    #[arg(long = "set", value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Where the broker listens, as `ottla serve` has it; may be given several times
    #[arg(long, value_name = "HOST:PORT")]
    listen: Vec<String>,
}

/// The configuration of an installed service.
const INSTALLED_CONFIG: &str = "/etc/ottla/ottla.toml";

/// Runs the command.
pub fn run(args: &DoctorArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let installed = Path::new(INSTALLED_CONFIG);
    let found = (args.data_dir.is_none() && installed.exists()).then(|| installed.to_path_buf());
    let serve_args = ServeArgs {
        config: args.config.clone().or(found),
        board: args.board.clone(),
        data: args.data_dir.clone(),
        listen: args.listen.clone(),
        set: args.set.clone(),
        ..ServeArgs::default()
    };
    let mut worst = Level::Ok;
    let mut say = |findings: Vec<Finding>| -> Result<(), Failure> {
        for finding in findings {
            worst = worst.max(finding.level);
            write!(out, "{finding}")?;
        }
        // The next check may take a while: what is known shall be seen.
        Ok(out.flush()?)
    };
    let subject = "settings";
    match serve::settings(&serve_args) {
        Err(said) => {
            let advice = "Mend this line; the broker does not start before.";
            say(said.into_iter().map(|s| Finding::fail(subject, s, advice)).collect())?;
        }
        Ok((chosen, config, notes)) => {
            let name = serve_args.config.as_deref().map(|path| path.display().to_string());
            let name = name.unwrap_or_else(|| "no file, the defaults".to_owned());
            say(vec![Finding::ok(subject, format!("{name}: can be read"))])?;
            let notes = notes.iter().filter(|note| note.level == crate::config::Level::Warning);
            let advice = "See the README, chapter Settings.";
            say(notes.map(|note| Finding::warn(subject, note, advice)).collect())?;
            checks(&chosen, &config, &mut say)?;
        }
    }
    match worst {
        Level::Ok | Level::Note => Ok(()),
        Level::Warn => Err(Failure::Code(1)),
        Level::Fail => Err(Failure::Code(2)),
    }
}

/// All checks, those that take long last.
fn checks(
    chosen: &Chosen,
    config: &BrokerConfig,
    say: &mut dyn FnMut(Vec<Finding>) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let holder = holder(&config.log_dir);
    say(data::check_lock(&config.log_dir, holder))?;
    say(data::check_files(&config.log_dir, holder))?;
    say(addresses::check(config, holder))?;
    say(limits(chosen, config))?;
    say(machine::check(config))?;
    say(disk::check(config))?;
    say(upstream::check(config))
}

/// The memory ledger.
fn limits(chosen: &Chosen, config: &BrokerConfig) -> Vec<Finding> {
    vec![match board::check_memory(chosen, config) {
        Ok(()) => Finding::ok(
            "limits",
            format!(
                "board {} ({}): never more than {}; `ottla limits` has the list",
                chosen.name,
                chosen.reason,
                board::mebibytes(config.sizes.memory_bytes)
            ),
        ),
        Err(said) => Finding::fail("limits", said, "The broker does not start before."),
    }]
}
