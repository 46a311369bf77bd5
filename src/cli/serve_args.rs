//! The arguments of `ottla serve`.

use clap::Args;
use std::path::PathBuf;

/// What `ottla serve` was asked to do. Nothing is required: without arguments it keeps its data in
/// `./ottla-data` and listens on 127.0.0.1:9092.
#[derive(Args, Clone, Debug, Default)]
pub struct ServeArgs {
    /// A TOML file with Kafka's dotted keys, or Kafka's own server.properties
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// How much memory, and how many of everything: a board profile, by name or as a file
    /// [default: the one for this machine's memory]
    #[arg(long, value_name = "NAME|FILE")]
    pub board: Option<String>,
    /// The data directory [default: ./ottla-data]
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Listen here; may be given several times; port 0 takes a free one [default: 127.0.0.1:9092]
    #[arg(long, value_name = "HOST:PORT")]
    pub listen: Vec<String>,
    /// Set one key of the configuration, over whatever the file says; may be given several times
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// How much to say on standard error
    #[arg(long, value_name = "LEVEL", default_value = "info",
          value_parser = ["off", "error", "warn", "info", "debug", "trace"])]
    pub log_level: String,
}
