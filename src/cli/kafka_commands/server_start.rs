//! `kafka-server-start.sh [-daemon] server.properties [--override NAME=VALUE]…`.
//!
//! In the foreground it is `ottla serve --config server.properties`. With `-daemon` it starts
//! itself anew in a session of its own, its lines in `$LOG_DIR/server.log`, and returns when the
//! broker accepts connections (0), or has said why it cannot (1): Kafka's script returns at once.
//! Absent: Java's options; `KAFKA_HEAP_OPTS` and its like mean nothing.

use crate::cli::{ServeArgs, note, process, serve};
use crate::limits::LOG_FILE_BYTES_MAX;
use std::ffi::{OsStr, OsString};
use std::fs::{self, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

/// Tells the process that `-daemon` starts to leave the terminal, and where its log is.
const DAEMON_VARIABLE: &str = "OTTLA_DAEMON";

/// What was asked for.
#[derive(Debug, Default, PartialEq, Eq)]
struct Asked {
    daemon: bool,
    config: PathBuf,
    overrides: Vec<String>,
}

/// Reads the words as Kafka's script and class do. `None`: the usage has to be explained.
fn read(words: &[OsString]) -> Option<Asked> {
    let mut asked = Asked::default();
    let mut words = words.iter().peekable();
    asked.daemon = words.next_if(|word| *word == "-daemon").is_some();
    asked.config = PathBuf::from(words.next()?);
    while let Some(word) = words.next() {
        let word = word.to_str()?;
        let value = match word.strip_prefix("--override") {
            Some("") => words.next()?.to_str()?,
            Some(rest) => rest.strip_prefix('=')?,
            None => return None,
        };
        asked.overrides.push(value.to_owned());
    }
    Some(asked)
}

/// Runs the command.
pub fn run(called: &OsStr, words: &[OsString]) -> ExitCode {
    let Some(asked) = read(words) else {
        let called = Path::new(called).display();
        let usage = "[-daemon] server.properties [--override property=value]*";
        writeln!(std::io::stdout(), "USAGE: {called} {usage}").ok();
        return ExitCode::FAILURE;
    };
    if std::env::var_os(DAEMON_VARIABLE).is_some() {
        process::leave_terminal();
    } else if asked.daemon {
        return match start_daemon(called, words) {
            Ok(code) => code,
            Err(error) => {
                note(&format!("ottla: cannot start the broker: {error}"));
                ExitCode::FAILURE
            }
        };
    }
    let args = ServeArgs {
        config: Some(asked.config),
        set: asked.overrides,
        log_level: "info".to_owned(),
        ..ServeArgs::default()
    };
    serve::run(args)
}

/// Where Kafka's script puts its logs: `LOG_DIR`, or `logs` beside the `bin` that it lies in. A
/// `bin` of the system has no such neighbour: then it is `logs` in the current directory.
fn log_directory(log_dir: Option<OsString>, called: &Path) -> PathBuf {
    if let Some(directory) = log_dir.filter(|directory| !directory.is_empty()) {
        return PathBuf::from(directory);
    }
    let bin = called.parent().filter(|bin| bin.ends_with("bin"));
    match bin.and_then(Path::parent) {
        Some(base) if base.as_os_str().is_empty() => PathBuf::from("logs"),
        Some(base) if !matches!(base.to_str(), Some("/" | "/usr" | "/usr/local")) => {
            base.join("logs")
        }
        _ => PathBuf::from("logs"),
    }
}

fn start_daemon(called: &OsStr, words: &[OsString]) -> std::io::Result<ExitCode> {
    let directory = log_directory(std::env::var_os("LOG_DIR"), Path::new(called));
    fs::create_dir_all(&directory).map_err(|error| {
        std::io::Error::other(format!("{}: {error} (LOG_DIR names another)", directory.display()))
    })?;
    let path = directory.join("server.log");
    if fs::metadata(&path).is_ok_and(|log| log.len() > LOG_FILE_BYTES_MAX) {
        fs::rename(&path, directory.join("server.log.1"))?;
    }
    let mut log = OpenOptions::new().create(true).append(true).open(&path)?;
    let from = fs::metadata(&path)?.len();
    let mut command = Command::new(std::env::current_exe()?);
    std::os::unix::process::CommandExt::arg0(&mut command, called);
    command.args(words).env(DAEMON_VARIABLE, "1");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log.try_clone()?);
    let mut child = command.spawn()?;
    // Its first line on standard output comes when it accepts; none does if it cannot start.
    let mut line = String::new();
    if let Some(output) = child.stdout.take() {
        BufReader::new(output).read_line(&mut line)?;
    }
    if line.is_empty() {
        child.wait()?;
        let said = fs::read(&path)?;
        let said = said.get(usize::try_from(from).unwrap_or(0)..).unwrap_or_default();
        std::io::stderr().write_all(said).ok();
        return Ok(ExitCode::FAILURE);
    }
    log.write_all(line.as_bytes())?;
    let shown = path.display();
    writeln!(
        std::io::stdout(),
        "ottla: process {}, log in {shown}: {}",
        child.id(),
        line.trim_end()
    )
    .ok();
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<OsString> {
        line.split_whitespace().map(OsString::from).collect()
    }

    #[test]
    fn the_words_are_those_of_kafkas_script() {
        let asked = read(&words("-daemon c --override a=b --override=c=d")).unwrap();
        let overrides = vec!["a=b".to_owned(), "c=d".to_owned()];
        assert_eq!(asked, Asked { daemon: true, config: "c".into(), overrides });
        assert!(!read(&words("c")).unwrap().daemon);
        for wrong in ["", "-daemon", "c d", "c --override", "c --overridea=b"] {
            assert_eq!(read(&words(wrong)), None, "{wrong}");
        }
    }

    #[test]
    fn the_log_lies_where_kafkas_does() {
        let at = |called: &str| log_directory(None, Path::new(called));
        assert_eq!(at("/opt/kafka/bin/kafka-server-start.sh"), Path::new("/opt/kafka/logs"));
        assert_eq!(at("bin/kafka-server-start.sh"), Path::new("logs"));
        assert_eq!(at("./bin/kafka-server-start.sh"), Path::new("./logs"));
        assert_eq!(at("kafka-server-start.sh"), Path::new("logs"));
        assert_eq!(at("/usr/local/bin/kafka-server-start.sh"), Path::new("logs"));
        let chosen = log_directory(Some("/var/log/kafka".into()), Path::new("x"));
        assert_eq!(chosen, Path::new("/var/log/kafka"));
    }
}
