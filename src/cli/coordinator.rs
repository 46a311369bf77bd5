//! `ottla coordinator show`: what the coordinator file of a broker that does not run says.

use super::Failure;
use clap::{Args, Subcommand};
use std::io::Write;
use std::path::{Path, PathBuf};

/// What `ottla coordinator` was asked to do.
#[derive(Args, Debug)]
pub struct CoordinatorArgs {
    #[command(subcommand)]
    command: CoordinatorCommand,
}

#[derive(Debug, Subcommand)]
enum CoordinatorCommand {
    /// Print topics, groups, offsets and producers as they stand in the file
    Show {
        /// The data directory
        #[arg(long, value_name = "DIR", default_value = "./ottla-data")]
        data: PathBuf,
    },
}

/// Runs the command.
pub fn run(args: &CoordinatorArgs, out: &mut dyn Write) -> Result<(), Failure> {
    match &args.command {
        CoordinatorCommand::Show { data } => show(data, out),
    }
}

/// TO WIRE: prints the coordinator file of `data` in lines.
fn show(data: &Path, _out: &mut dyn Write) -> Result<(), Failure> {
    Err(Failure::new(format!(
        "cannot read the coordinator file of {}: not built yet",
        data.display()
    )))
}
