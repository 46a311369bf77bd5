//! The steps of the client matrix for Rust's clients, written once.
//!
//! A program (`src/bin/`) implements [`Client`] and calls [`run`]. Each step prints one line,
//! `client | area: detail | ok (ms)`, `FAILED why` or `skipped why`; a step that hangs ends the
//! program. What was read is compared with what was written: key, value, headers, time, order.

pub mod check;
mod groups;
mod restarts;
mod steps;

use std::collections::BTreeMap;
use std::sync::mpsc::Sender;
use std::time::Duration;

/// What is written, and what has to be read back.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Record {
    pub key: Option<Vec<u8>>,
    pub value: Vec<u8>,
    /// One value for each name: rskafka has no more.
    pub headers: BTreeMap<String, Vec<u8>>,
    pub time_ms: i64,
}

/// A record with its place.
#[derive(Clone, Debug)]
pub struct Placed {
    pub partition: i32,
    pub offset: i64,
    pub record: Record,
}

/// What went wrong, with Kafka's error code, 0 if the client named none.
#[derive(Clone, Debug)]
pub struct Failure {
    pub code: i16,
    pub text: String,
}

pub type Result<T> = std::result::Result<T, Failure>;

/// Settings of a producer.
#[derive(Clone, Copy)]
pub struct Settings {
    pub codec: &'static str,
    pub acks: &'static str,
    pub idempotent: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Settings { codec: "none", acks: "all", idempotent: false }
    }
}

/// What became of the record of this number.
pub type Answer = (usize, Result<()>);

pub trait Producer: Send {
    /// Hands over records, each with a number; each number comes back once.
    fn send(
        &self,
        topic: &str,
        partition: i32,
        records: Vec<(usize, Record)>,
        answers: &Sender<Answer>,
    );
}

pub trait Consumer: Send {
    /// Waits at most that long for records.
    fn poll(&mut self, wait: Duration) -> Result<Vec<Placed>>;
    /// Commits what `poll` has returned; members only.
    fn commit(&mut self) -> Result<()>;
}

/// How a consumer takes part in a group.
#[derive(Clone, Default)]
pub struct Membership {
    pub group: String,
    pub topic: String,
    pub instance: Option<&'static str>,
    pub cooperative: bool,
}

/// What is told of a group: its state, its protocol, and how many partitions each member has.
#[derive(Debug, Default)]
pub struct Group {
    pub state: String,
    pub protocol: String,
    pub partitions: Vec<usize>,
}

/// A client under test. What it cannot do is in `skip`, and is not called.
pub trait Client: Send + Sync + 'static {
    /// Name with version, as the README shows it.
    fn name(&self) -> String;
    fn prefix(&self) -> &'static str;
    /// Steps that the client has no means for, with the reason.
    fn skip(&self) -> &'static [(&'static str, &'static str)];
    fn create_topic(&self, topic: &str, partitions: i32, settings: &[(&str, &str)]) -> Result<()>;
    fn topics(&self) -> Result<BTreeMap<String, usize>>;
    fn settings(&self, topic: &str) -> Result<BTreeMap<String, String>>;
    fn alter(&self, topic: &str, key: &str, value: &str) -> Result<()>;
    fn add_partitions(&self, topic: &str, total: usize) -> Result<()>;
    /// Deletes what is before this offset of partition 0.
    fn delete_records(&self, topic: &str, before: i64) -> Result<()>;
    fn delete_topic(&self, topic: &str) -> Result<()>;
    /// The first record at or after this time in partition 0.
    fn offset_at(&self, topic: &str, time_ms: i64) -> Result<i64>;
    fn groups(&self) -> Result<Vec<String>>;
    fn group(&self, group: &str) -> Result<Group>;
    fn committed(&self, group: &str, topic: &str) -> Result<i64>;
    fn delete_group(&self, group: &str) -> Result<()>;
    fn producer(&self, settings: Settings) -> Result<Box<dyn Producer>>;
    /// Reads one partition from an offset on.
    fn reader(&self, topic: &str, partition: i32, offset: i64) -> Result<Box<dyn Consumer>>;
    fn member(&self, membership: &Membership) -> Result<Box<dyn Consumer>>;
}

/// The broker's address.
pub fn bootstrap() -> String {
    std::env::var("OTTLA_BOOTSTRAP").unwrap_or_default()
}

/// The version of a crate that this program was built with.
pub fn locked(name: &str) -> &'static str {
    let found =
        include_str!("../Cargo.lock").split_once(&format!("name = \"{name}\"\nversion = \""));
    found.and_then(|(_, rest)| rest.split_once('"')).map_or("of unknown version", |(v, _)| v)
}

/// Runs all steps, and ends the program.
pub fn run(client: impl Client) -> ! {
    let suite = check::Suite::new(client);
    steps::topics(&suite);
    steps::produce(&suite);
    steps::consume(&suite);
    groups::groups(&suite);
    steps::errors(&suite);
    steps::topics_end(&suite);
    restarts::restarts(&suite);
    std::process::exit(i32::from(suite.failed()));
}
