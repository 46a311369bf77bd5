//! The command line of the bench.
//!
//! Promises: an argument that is not known ends the program with the usage. Absent: clap, because
//! what cargo itself passes (`--bench`) has to be let through.

use std::path::PathBuf;

/// What a reader of `--help` is told.
const USAGE: &str = "\
cargo bench --bench compare|forward -- [OPTIONS]
  --quick         fewer and shorter rounds: shows that it works, the figures are rough
  --only NAMES    only these sections, separated by commas
  --kafka[=PATH]  beside Apache Kafka; PATH is the script that starts it (tests/kafka/kafka)
  --ottla PATH    this binary instead of the one just built; given again: both, as two contenders
  --set KEY=VALUE for every ottla
  --rounds N      rounds of each measurement
  --seconds S     length of one measurement
  --data DIR      data directories are made here: choose the disk that is meant
  --out DIR       report.md and the plots [target/bench]
  --readme        writes the figures into README.md, and the plots into tests/bench/plots";

/// What was asked for.
#[derive(Clone, Debug)]
pub struct Options {
    /// Rough and short.
    pub quick: bool,
    /// The sections to run; all if empty.
    pub only: Vec<String>,
    /// The script that starts Apache Kafka, if it takes part.
    pub kafka: Option<PathBuf>,
    /// The binaries of ottla.
    pub ottla: Vec<PathBuf>,
    /// Settings for every ottla.
    pub set: Vec<String>,
    /// Rounds of each measurement.
    pub rounds: usize,
    /// Seconds of one measurement.
    pub seconds: f64,
    /// Where data directories are made.
    pub data: PathBuf,
    /// Where the report goes.
    pub out: PathBuf,
    /// Whether the README's figures are written.
    pub readme: bool,
}

/// Ends the program with the usage.
fn refuse(argument: &str) -> ! {
    eprintln!("{argument}\n{USAGE}");
    std::process::exit(2);
}

fn number<T: std::str::FromStr>(name: &str, value: &str) -> T {
    value.parse().unwrap_or_else(|_| refuse(&format!("{name} {value}: not a number")))
}

impl Options {
    /// Reads the command line.
    pub fn read() -> Options {
        let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
        let mut options = Options {
            quick: false,
            only: Vec::new(),
            kafka: None,
            ottla: Vec::new(),
            set: Vec::new(),
            rounds: 0,
            seconds: 0.0,
            data: PathBuf::from(env!("CARGO_TARGET_TMPDIR")),
            out: root.join("target/bench"),
            readme: false,
        };
        let mut arguments = std::env::args().skip(1);
        while let Some(argument) = arguments.next() {
            let (name, given) = match argument.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (argument.as_str(), None),
            };
            let mut value = || {
                let next = given.clone().or_else(|| arguments.next());
                next.unwrap_or_else(|| refuse(&format!("{name} needs a value")))
            };
            match name {
                "--bench" => {}
                "--quick" => options.quick = true,
                "--only" => options.only = value().split(',').map(str::to_owned).collect(),
                "--kafka" => {
                    let script = given.map_or(root.join("tests/kafka/kafka"), PathBuf::from);
                    options.kafka = Some(script);
                }
                "--ottla" => options.ottla.push(PathBuf::from(value())),
                "--set" => options.set.push(value()),
                "--rounds" => options.rounds = number(name, &value()),
                "--seconds" => options.seconds = number(name, &value()),
                "--data" => options.data = PathBuf::from(value()),
                "--out" => options.out = PathBuf::from(value()),
                "--readme" => options.readme = true,
                _ => refuse(&argument),
            }
        }
        options.fill();
        options
    }

    fn fill(&mut self) {
        if self.ottla.is_empty() {
            self.ottla.push(PathBuf::from(env!("CARGO_BIN_EXE_ottla")));
        }
        if self.rounds == 0 {
            self.rounds = if self.quick { 3 } else { 5 };
        }
        if self.seconds <= 0.0 {
            self.seconds = if self.quick { 0.25 } else { 1.0 };
        }
        // Brokers are started in their data directories, where a relative path means another file.
        for path in self.ottla.iter_mut().chain(&mut self.kafka).chain([&mut self.data]) {
            match path.canonicalize() {
                Ok(absolute) => *path = absolute,
                Err(error) => refuse(&format!("{}: {error}", path.display())),
            }
        }
    }

    /// Whether a section shall run.
    pub fn wants(&self, section: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|name| name == section)
    }
}
