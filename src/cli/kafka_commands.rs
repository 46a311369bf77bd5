//! The binary under the names of Kafka's and ZooKeeper's scripts: what a tutorial of 2018 types.
//!
//! Promises: called `kafka-topics.sh` (by a link or a copy, with or without `.sh`), it is that
//! tool: its flags of 2.1.0 and of today, its lines, its exit codes (1 where our own tools say 2).
//! What ZooKeeper was asked for is answered with one line and success: there is nothing to start.
//! Absent: Kafka's other scripts, and `kafka-run-class.sh` for classes that are no tool of ours.

mod broker_process;
mod server_start;
mod server_stop;
mod zookeeper;

use super::{Manners, note, parse_and_run};
use std::ffi::OsString;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

/// The names, as `ottla install --kafka-commands` links them.
pub const KAFKA_COMMANDS: [&str; 15] = [
    "kafka-topics.sh",
    "kafka-console-producer.sh",
    "kafka-console-consumer.sh",
    "kafka-consumer-groups.sh",
    "kafka-configs.sh",
    "kafka-get-offsets.sh",
    "kafka-delete-records.sh",
    "kafka-dump-log.sh",
    "kafka-run-class.sh",
    "kafka-storage.sh",
    "kafka-server-start.sh",
    "kafka-server-stop.sh",
    "zkServer.sh",
    "zookeeper-server-start.sh",
    "zookeeper-server-stop.sh",
];

/// What stands behind a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tool {
    /// A command of ours, whose flags are those of Kafka's tool.
    Ours(&'static [&'static str]),
    RunClass,
    Storage,
    ServerStart,
    ServerStop,
    ZkServer,
    ZooKeeperStart,
    ZooKeeperStop,
}

/// The tool of a name, which may carry a path and may lack `.sh`.
fn tool(called: &Path) -> Option<Tool> {
    let name = called.file_name()?.to_str()?;
    let name = name.strip_suffix(".sh").unwrap_or(name);
    Some(match name {
        "kafka-topics" => Tool::Ours(&["topics"]),
        "kafka-console-producer" => Tool::Ours(&["produce"]),
        "kafka-console-consumer" => Tool::Ours(&["consume"]),
        "kafka-consumer-groups" => Tool::Ours(&["groups"]),
        "kafka-configs" => Tool::Ours(&["configs"]),
        "kafka-get-offsets" => Tool::Ours(&["offsets"]),
        "kafka-delete-records" => Tool::Ours(&["delete-records"]),
        "kafka-dump-log" => Tool::Ours(&["log", "dump"]),
        "kafka-run-class" => Tool::RunClass,
        "kafka-storage" => Tool::Storage,
        "kafka-server-start" => Tool::ServerStart,
        "kafka-server-stop" => Tool::ServerStop,
        "zkServer" => Tool::ZkServer,
        "zookeeper-server-start" => Tool::ZooKeeperStart,
        "zookeeper-server-stop" => Tool::ZooKeeperStop,
        _ => return None,
    })
}

/// The tool behind the last part of a Java class's name: packages changed with the versions.
fn tool_of_class(class: &str) -> Option<Tool> {
    Some(match class.rsplit('.').next()? {
        "TopicCommand" => Tool::Ours(&["topics"]),
        "ConsoleProducer" => Tool::Ours(&["produce"]),
        "ConsoleConsumer" => Tool::Ours(&["consume"]),
        "ConsumerGroupCommand" => Tool::Ours(&["groups"]),
        "ConfigCommand" => Tool::Ours(&["configs"]),
        "GetOffsetShell" => Tool::Ours(&["offsets"]),
        "DeleteRecordsCommand" => Tool::Ours(&["delete-records"]),
        "DumpLogSegments" => Tool::Ours(&["log", "dump"]),
        "Kafka" => Tool::ServerStart,
        "StorageTool" => Tool::Storage,
        _ => return None,
    })
}

/// Runs the tool that the program was called as; `None` if it was called by its own name.
pub fn run() -> Option<ExitCode> {
    let mut words = std::env::args_os();
    let called = words.next()?;
    let tool = tool(Path::new(&called))?;
    Some(run_tool(tool, &called, words.collect()))
}

fn run_tool(tool: Tool, called: &OsString, mut words: Vec<OsString>) -> ExitCode {
    match tool {
        Tool::Ours(command) => run_ours(command, words),
        Tool::RunClass => {
            let class = if words.is_empty() { OsString::new() } else { words.remove(0) };
            match class.to_str().and_then(tool_of_class) {
                Some(tool) => run_tool(tool, called, words),
                None => {
                    note(&format!(
                        "ottla: there is no JVM, and no tool of ours for the class '{}'",
                        class.to_string_lossy()
                    ));
                    ExitCode::FAILURE
                }
            }
        }
        Tool::Storage => storage(&words),
        Tool::ServerStart => server_start::run(called, &words),
        Tool::ServerStop => server_stop::run(),
        Tool::ZkServer => zookeeper::zk_server(&words),
        Tool::ZooKeeperStart => zookeeper::server_start(called, &words),
        Tool::ZooKeeperStop => zookeeper::server_stop(),
    }
}

/// Kafka's tools know one exit code for everything that goes wrong, and the failures of two of
/// them stand on standard output, where scripts look for them (`| grep 'already exists'`).
fn run_ours(command: &'static [&'static str], words: Vec<OsString>) -> ExitCode {
    if let [only] = &words[..]
        && only == "--version"
    {
        writeln!(std::io::stdout(), "ottla {}", env!("CARGO_PKG_VERSION")).ok();
        return ExitCode::SUCCESS;
    }
    let groups = *command == ["groups"];
    let manners =
        Manners { usage_code: 1, aloud: groups || *command == ["topics"], forgiving: groups };
    let own = std::iter::once("ottla").chain(command.iter().copied()).map(OsString::from);
    let words = own.chain(words.into_iter().map(two_dashes));
    parse_and_run(words, manners)
}

/// Kafka's options may have one dash only (joptsimple): `-topic`. Numbers are values.
fn two_dashes(word: OsString) -> OsString {
    match word.to_str().map(str::as_bytes) {
        Some([b'-', b'a'..=b'z', b'a'..=b'z', ..]) => {
            let mut longer = OsString::from("-");
            longer.push(word);
            longer
        }
        _ => word,
    }
}

/// `kafka-storage.sh`, which the quickstarts since 3.0 call first: nothing has to be formatted.
fn storage(words: &[OsString]) -> ExitCode {
    match words.first().and_then(|word| word.to_str()) {
        Some("random-uuid") => {
            let bytes = crate::disk::os::random_seed().to_be_bytes();
            writeln!(std::io::stdout(), "{}", super::topics::uuid_text(&bytes)).ok();
        }
        Some("format") => note(
            "ottla: nothing has to be formatted; the broker makes its data directory at its \
             first start, with a cluster id of its own.",
        ),
        _ => {
            note("usage: kafka-storage.sh random-uuid | format (which has nothing to do)");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_that_is_linked_has_a_tool_with_and_without_its_ending_and_a_path() {
        for name in KAFKA_COMMANDS {
            let found = tool(Path::new(name));
            assert!(found.is_some(), "{name}");
            let short = name.strip_suffix(".sh").unwrap();
            assert_eq!(tool(Path::new(short)), found);
            assert_eq!(tool(&Path::new("/opt/kafka/bin").join(name)), found);
        }
        for other in ["ottla", "/usr/bin/ottla.old", "kafka", "kafka-topics.sh.bak", ".sh", "/"] {
            assert_eq!(tool(Path::new(other)), None, "{other}");
        }
    }

    #[test]
    fn classes_are_known_by_the_last_part_of_their_names() {
        for class in ["kafka.tools.GetOffsetShell", "org.apache.kafka.tools.GetOffsetShell"] {
            assert_eq!(tool_of_class(class), Some(Tool::Ours(&["offsets"])));
        }
        assert_eq!(tool_of_class("kafka.tools.MirrorMaker"), None);
        assert_eq!(tool_of_class(""), None);
    }

    #[test]
    fn one_dash_is_as_good_as_two_but_numbers_stay() {
        let two = |text: &str| two_dashes(OsString::from(text));
        assert_eq!(two("-topic"), "--topic");
        assert_eq!(two("--topic"), "--topic");
        assert_eq!(two("-2"), "-2");
        assert_eq!(two("-h"), "-h");
        assert_eq!(two("topic"), "topic");
    }
}
