//! The command line: arguments in, lines out, an exit code.
//!
//! Promises: the flags, columns and formats of Kafka's own tools, so that fingers and scripts need
//! not relearn. Exit codes: 0 done, 1 failed (with one sentence on standard error), 2 a command
//! line that cannot be understood. A reader that closes our output early (`| head -1`) is no
//! error. Absent: TLS, SASL and ACLs, and with them Kafka's flags for them.

mod apis;
mod args;
mod board;
mod cluster;
mod configs;
mod connection;
mod consume;
mod consume_format;
mod consume_member;
mod coordinator;
mod doctor;
mod failure;
mod figures;
mod forward;
mod forward_seek;
mod groups;
mod groups_describe;
mod groups_reset;
mod install;
pub mod kafka_commands;
mod limits;
mod lock;
mod log_check;
mod log_dump;
mod log_ends;
mod log_salvage;
mod logger;
mod offsets;
pub mod pattern;
mod process;
mod produce;
mod produce_lines;
mod produce_sender;
pub mod serve;
pub mod serve_args;
mod serve_notify;
mod status;
mod stop;
mod supervise;
mod supervise_log;
mod table;
mod time_text;
mod topics;

pub use failure::Failure;
pub use serve_args::ServeArgs;

use clap::{Parser, Subcommand};
use std::ffi::OsString;
use std::io::{BufWriter, Write};
use std::process::ExitCode;

/// Kafka's little sister: a Kafka-protocol broker for small ARM boards, and its tools.
#[derive(Debug, Parser)]
#[command(name = "ottla", version, infer_long_args = true, args_override_self = true)]
#[command(after_help = "The tools work with any Kafka cluster. They ask localhost:9092 unless \
                        --bootstrap-server says otherwise.\n\
                        Exit codes: 0 done, 1 failed, 2 the command line cannot be understood.")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the broker
    Serve(ServeArgs),
    /// Create, list, describe, alter or delete topics (as kafka-topics)
    Topics(topics::TopicsArgs),
    /// Send lines from standard input to a topic (as kafka-console-producer)
    Produce(Box<produce::ProduceArgs>),
    /// Print the records of a topic (as kafka-console-consumer)
    Consume(Box<consume::ConsumeArgs>),
    /// List, describe or delete consumer groups, or reset their offsets (as kafka-consumer-groups)
    Groups(Box<groups::GroupsArgs>),
    /// Describe or change settings of topics and brokers (as kafka-configs)
    Configs(configs::ConfigsArgs),
    /// Print offsets of partitions, or delete records in front of one (as kafka-get-offsets)
    Offsets(offsets::OffsetsArgs),
    /// Delete records in front of the offsets in a JSON file (as kafka-delete-records)
    DeleteRecords(offsets::DeleteRecordsArgs),
    /// Say how forwarding to the upstream cluster is doing; pause, resume or move it
    Forward(forward::ForwardArgs),
    /// Say how a broker is doing, and how full its tables are
    Status(status::StatusArgs),
    /// Look into the coordinator file of a broker that does not run
    Coordinator(coordinator::CoordinatorArgs),
    /// Look into segment files of a broker that does not run (as kafka-dump-log)
    Log(log_dump::LogArgs),
    /// Look at machine, disk, data and network, and say what is wrong and what to do
    Doctor(doctor::DoctorArgs),
    /// Print what the broker takes memory for, on a board
    Limits(limits::LimitsArgs),
    /// Make this program a service of this machine, or upgrade the one that is there
    Install(Box<install::InstallArgs>),
    /// Remove the service; settings and data stay
    Uninstall(install::UninstallArgs),
    /// Run the broker and start it again whenever it ends, where the init does not
    Supervise(supervise::SuperviseArgs),
    /// List the APIs and versions that this binary, or a running broker, serves
    Apis(apis::ApisArgs),
}

/// The whole program: reads the arguments, runs the command, and says how it went.
pub fn main() -> ExitCode {
    kafka_commands::run().unwrap_or_else(|| parse_and_run(std::env::args_os(), Manners::OURS))
}

/// How it is said that something failed.
#[derive(Clone, Copy, Debug)]
struct Manners {
    /// The exit code of a command line that cannot be understood.
    usage_code: u8,
    /// A failure's sentence goes to standard output, where some of Kafka's tools have theirs.
    aloud: bool,
    /// What the broker refused is said, and no failure: kafka-consumer-groups answers 0 then.
    forgiving: bool,
}

impl Manners {
    const OURS: Manners = Manners { usage_code: 2, aloud: false, forgiving: false };
}

/// Runs the command of these words.
fn parse_and_run(words: impl Iterator<Item = OsString>, manners: Manners) -> ExitCode {
    let cli = match Cli::try_parse_from(words) {
        Ok(cli) => cli,
        Err(error) => {
            // Printing help to a closed pipe is no reason to fail.
            error.print().ok();
            let code = if error.exit_code() == 0 { 0 } else { manners.usage_code };
            return ExitCode::from(code);
        }
    };
    if let Command::Serve(args) = cli.command {
        return serve::run(args);
    }
    let mut out = BufWriter::new(std::io::stdout());
    let result = run(cli.command, &mut out);
    let flushed = out.flush().map_err(Failure::from);
    match result.and(flushed) {
        Ok(()) | Err(Failure::PipeClosed) => ExitCode::SUCCESS,
        Err(Failure::Code(code)) => ExitCode::from(code),
        Err(Failure::Failed(message)) => {
            if manners.aloud {
                writeln!(std::io::stdout(), "{message}").ok();
            } else {
                note(&message);
            }
            ExitCode::from(u8::from(!(manners.forgiving && message.starts_with("\nError:"))))
        }
        Err(Failure::Usage(message)) => {
            note(&message);
            ExitCode::from(manners.usage_code)
        }
    }
}

fn run(command: Command, out: &mut dyn Write) -> Result<(), Failure> {
    match command {
        Command::Serve(_) => Ok(()),
        Command::Topics(args) => topics::run(&args, out),
        Command::Produce(args) => produce::run(&args, out),
        Command::Consume(args) => consume::run(&args, out),
        Command::Groups(args) => groups::run(&args, out),
        Command::Configs(args) => configs::run(&args, out),
        Command::Offsets(args) => offsets::run(&args, out),
        Command::DeleteRecords(args) => offsets::run_delete_records(&args, out),
        Command::Forward(args) => forward::run(&args, out),
        Command::Status(args) => status::run(&args, out),
        Command::Coordinator(args) => coordinator::run(&args, out),
        Command::Log(args) => log_dump::run(&args, out),
        Command::Doctor(args) => doctor::run(&args, out),
        Command::Limits(args) => limits::run(&args, out),
        Command::Install(args) => install::run(&args, out),
        Command::Uninstall(args) => install::run_uninstall(&args, out),
        Command::Supervise(args) => supervise::run(&args),
        Command::Apis(args) => apis::run(&args, out),
    }
}

/// One line on standard error. That nobody reads it is no error.
fn note(line: &str) {
    writeln!(std::io::stderr(), "{line}").ok();
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_definition_of_the_arguments_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn what_fingers_type_for_kafkas_tools_is_understood() {
        for line in [
            "topics --zookeeper localhost:2181 --create --topic t --partitions 3 \
             --replication-factor 1",
            "topics --bootstrap-server h:9092 --create --if-not-exists --topic t \
             --config a=b --config c=d",
            "topics --describe",
            "topics --list --exclude-internal",
            "topics --delete --topic t",
            "topics --alter --topic t --partitions 4 --bootstrap-server=h:1",
            "produce --broker-list localhost:9092 --topic t --property parse.key=true \
             --property key.separator=:",
            "produce --topic t --compression-codec --batch-size 200 --producer-property acks=1",
            "produce --topic t --request-required-acks all --sync --compression-codec zstd",
            "consume --topic t --from-beginning --max-messages 1 --timeout-ms 1000 \
             --property print.key=true",
            "consume --topic t --partition 0 --offset 7",
            "consume --topic t --partition 0 --offset -2",
            "consume --include a|b --group g --consumer-property client.id=x",
            "groups --list --state",
            "groups --list --state stable,empty",
            "groups --describe --all-groups --members --verbose",
            "groups --describe --group g --group h --offsets",
            "groups --reset-offsets --group g --topic t:0,1 --shift-by -5 --execute",
            "groups --delete-offsets --group g --topic t",
            "groups --delete --group g",
            "configs --alter --entity-type topics --entity-name t --add-config \
             a=b,c=[d,e] --delete-config x",
            "configs --describe --topic t --all",
            "configs --describe --broker 1",
            "offsets --topic t --time -1 --partitions 0,2",
            "offsets --topic t --time earliest",
            "offsets --delete-records --topic t --partition 0 --before-offset 3",
            "delete-records --offset-json-file f",
            "forward --status",
            "forward --pause --bootstrap-server h:1",
            "forward --resume",
            "forward --seek t --to earliest",
            "forward --seek t:0,1 --to 42",
            "forward --seek t --to -2",
            "status",
            "coordinator show --data d",
            "log dump --files a,b --print-data-log",
            "log dump a b",
            "apis --markdown",
            "install --prefix /usr --root d --init systemd --init sysv --dry-run --kafka-commands",
            "install --board pi-zero --binary f --no-enable",
            "uninstall --purge --dry-run",
            "supervise --user u --run-dir d --log f --watchdog-ms 1000 -- --config c --data d",
            "serve --data d --listen 127.0.0.1:0 --listen [::1]:0 --set a=b --config \
             c --log-level info",
        ] {
            let words = std::iter::once("ottla").chain(line.split(' '));
            if let Err(error) = Cli::try_parse_from(words) {
                panic!("{line}: {error}");
            }
        }
    }

    #[test]
    fn what_cannot_be_understood_is_a_usage_error() {
        for line in
            ["", "topics", "topics --create --list --topic t", "produce", "nonsense", "groups"]
        {
            let words = std::iter::once("ottla").chain(line.split_whitespace());
            assert_eq!(Cli::try_parse_from(words).unwrap_err().exit_code(), 2, "{line}");
        }
    }
}
