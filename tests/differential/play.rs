//! Plays the script against a broker, whichever it is, and notes the answers.
//!
//! Promises: an answer that does not come within five seconds is a failure that names the step; a
//! connection that the broker closed is opened anew for the next step. What is set up (topics,
//! coordinators) is waited for, since Apache Kafka answers before it is ready.

use super::answer::{Lines, Scrubber};
use super::codec::{Decoder, Encoder};
use super::message::{Api, Field};
use super::recording::Recording;
use super::script::{Ask, Block, Body, Script, Step};
use super::value::{Names, Value, bytes_of_hex, evaluate, interpolate};
use std::collections::{BTreeMap, VecDeque};
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(5);
/// How long a step that Apache Kafka never answers is given.
const UNANSWERED_AFTER: Duration = Duration::from_millis(1_500);
const UNANSWERED: &str = "never answered";
const PAUSE: Duration = Duration::from_millis(20);
const ATTEMPTS: usize = 500;

/// What the client calls itself: Apache Kafka begins the ids of members with it.
const CLIENT_ID: &str = "differential";

/// How a request ended.
enum Outcome {
    Answer(Vec<u8>),
    Closed,
    Silent,
    /// Neither an answer nor a close, and it should have been one of them.
    Never,
}

struct Connection {
    socket: TcpStream,
    correlation_id: i32,
    /// Requests without an answer yet, which the script awaits later.
    owed: VecDeque<usize>,
}

impl Connection {
    fn open(address: SocketAddr) -> Connection {
        let socket = TcpStream::connect(address).expect("the broker accepts");
        socket.set_nodelay(true).expect("a socket");
        socket.set_read_timeout(Some(PATIENCE)).expect("a socket");
        Connection { socket, correlation_id: 0, owed: VecDeque::new() }
    }

    /// Header versions 1 and 2 are told apart by `flexible`.
    fn send(&mut self, key: i16, version: i16, flexible: bool, body: &[u8]) {
        self.correlation_id += 1;
        let mut frame = Vec::new();
        frame.extend(key.to_be_bytes());
        frame.extend(version.to_be_bytes());
        frame.extend(self.correlation_id.to_be_bytes());
        frame.extend((CLIENT_ID.len() as i16).to_be_bytes());
        frame.extend(CLIENT_ID.as_bytes());
        if flexible {
            frame.push(0);
        }
        frame.extend(body);
        let mut whole = (frame.len() as i32).to_be_bytes().to_vec();
        whole.extend(frame);
        // A broker that has closed already is noticed when its answer is read.
        self.socket.write_all(&whole).ok();
    }

    /// The next answer, with its correlation id; `None` if the broker closed.
    fn receive(&mut self) -> Result<Option<Vec<u8>>, String> {
        let mut length = [0; 4];
        match self.socket.read_exact(&mut length) {
            Ok(()) => {}
            Err(error) => {
                return match error.kind() {
                    ErrorKind::UnexpectedEof
                    | ErrorKind::ConnectionReset
                    | ErrorKind::BrokenPipe => Ok(None),
                    // An answer that comes later would be taken for another request's.
                    ErrorKind::WouldBlock | ErrorKind::TimedOut => Err(UNANSWERED.to_owned()),
                    _ => Err(format!("no answer: {error}")),
                };
            }
        }
        let mut frame = vec![0; i32::from_be_bytes(length) as usize];
        self.socket.read_exact(&mut frame).map_err(|error| format!("half an answer: {error}"))?;
        Ok(Some(frame))
    }
}

/// A run.
pub struct Player<'a> {
    apis: &'a [Api],
    address: SocketAddr,
    recording: Recording,
}

/// One version of one block.
struct Round<'a> {
    block: &'a Block,
    version: i16,
    names: Names,
    scrubber: Scrubber,
    connections: BTreeMap<String, Connection>,
}

/// Plays all of it.
pub fn play(apis: &[Api], scripts: &[Script], address: SocketAddr) -> Recording {
    let mut player = Player { apis, address, recording: Recording::default() };
    player.wait_for_coordinators();
    for script in scripts {
        for block in &script.blocks {
            for version in block.versions.0..=block.versions.1 {
                let names = Names::from([("v".to_owned(), Value::Int(version.into()))]);
                let mut round = Round {
                    block,
                    version,
                    names,
                    scrubber: Scrubber::new(version, address.port()),
                    connections: BTreeMap::new(),
                };
                for at in 0..block.steps.len() {
                    if let Err(what) = player.step(&script.name, &mut round, at) {
                        let title = title_of(block, at);
                        player
                            .recording
                            .trouble
                            .push(format!("{title}, version {version}: {what}"));
                        break;
                    }
                }
            }
        }
    }
    player.recording
}

fn title_of(block: &Block, at: usize) -> String {
    let title = match &block.steps[at] {
        Step::Ask(ask) => ask.title.clone(),
        _ => None,
    };
    let step = title.unwrap_or_else(|| format!("(step {})", at + 1));
    format!("{} / {step}", block.title)
}

impl Player<'_> {
    fn api(&self, name: &str) -> Option<&Api> {
        self.apis.iter().find(|api| api.name == name)
    }

    fn step(&mut self, file: &str, round: &mut Round<'_>, at: usize) -> Result<(), String> {
        match &round.block.steps[at] {
            Step::Topic { name, partitions, settings } => {
                let name = interpolate(name, &round.names);
                self.create_topic(&name, *partitions, settings)
            }
            Step::Await { connection } => {
                let open = round.connections.get_mut(connection).ok_or("not connected")?;
                let owed = open.owed.pop_front().ok_or("it owes nothing")?;
                let outcome = open.receive()?.map_or(Outcome::Closed, Outcome::Answer);
                let Step::Ask(ask) = &round.block.steps[owed] else { unreachable!() };
                self.note(file, round, owed, ask, &outcome)
            }
            Step::Ask(ask) => {
                let (low, high) = ask.only.unwrap_or((0, i16::MAX));
                if (low..=high).contains(&round.version) {
                    self.ask(file, round, at, ask)?;
                }
                Ok(())
            }
        }
    }

    fn ask(
        &mut self,
        file: &str,
        round: &mut Round<'_>,
        at: usize,
        ask: &Ask,
    ) -> Result<(), String> {
        for _ in 0..ATTEMPTS {
            let outcome = self.send(round, at, ask)?;
            let Some(outcome) = outcome else { return Ok(()) };
            if let Some((path, wanted)) = &ask.until {
                let Outcome::Answer(frame) = &outcome else { return Err("closed".to_owned()) };
                let answer = self.decode(ask, round.version, frame)?.1;
                let found = find(&answer, path).map(show).ok();
                if found != Some(interpolate(wanted, &round.names)) {
                    std::thread::sleep(PAUSE);
                    continue;
                }
            }
            return self.note(file, round, at, ask, &outcome);
        }
        Err("what it waits for never came".to_owned())
    }

    /// Sends a request and receives its answer, if that is wanted now.
    fn send(
        &mut self,
        round: &mut Round<'_>,
        at: usize,
        ask: &Ask,
    ) -> Result<Option<Outcome>, String> {
        let (key, version, flexible, body) = self.encode(ask, round);
        let address = self.address;
        let open = || Connection::open(address);
        let connection = round.connections.entry(ask.connection.clone()).or_insert_with(open);
        connection.send(key, version, flexible, &body);
        if ask.later {
            connection.owed.push_back(at);
            return Ok(None);
        }
        let sent = connection.correlation_id;
        if ask.silent {
            connection.send(18, 0, false, &[]);
        }
        if ask.unanswered {
            connection.socket.set_read_timeout(Some(UNANSWERED_AFTER)).expect("a socket");
        }
        let received = match connection.receive() {
            Err(what) if ask.unanswered && what == UNANSWERED => {
                round.connections.remove(&ask.connection);
                return Ok(Some(Outcome::Never));
            }
            received => received?,
        };
        connection.socket.set_read_timeout(Some(PATIENCE)).expect("a socket");
        let outcome = match received {
            None => Outcome::Closed,
            Some(frame) if ask.silent && frame[..4] != sent.to_be_bytes() => Outcome::Silent,
            Some(frame) => Outcome::Answer(frame),
        };
        if let Outcome::Closed = outcome {
            round.connections.remove(&ask.connection);
        } else if let (true, Outcome::Answer(_)) = (ask.silent, &outcome) {
            connection.receive()?;
        }
        Ok(Some(outcome))
    }

    fn encode(&self, ask: &Ask, round: &Round<'_>) -> (i16, i16, bool, Vec<u8>) {
        let version = ask.version.unwrap_or(round.version);
        let api = self.api(&ask.api);
        let unknown = || ask.api.parse().unwrap_or_else(|_| panic!("there is no API {}", ask.api));
        let key = api.map_or_else(unknown, |api| api.key);
        let flexible = api.is_some_and(|api| version >= api.flexible);
        let mut body = match &ask.body {
            Body::Raw(digits) => bytes_of_hex(digits),
            Body::Fields(fields) => {
                let api = api.expect("a known API");
                let mut encoder = Encoder { bytes: Vec::new(), version, flexible };
                encoder.fields(&api.request, &evaluate(fields, &round.names));
                encoder.bytes
            }
        };
        body.extend(bytes_of_hex(&ask.trailing));
        (key, version, flexible, body)
    }

    fn decode(&self, ask: &Ask, version: i16, frame: &[u8]) -> Result<(&[Field], Value), String> {
        let version = ask.version.unwrap_or(version);
        let api = self.api(&ask.api).ok_or("an answer from an API that is not there")?;
        // An unknown version of ApiVersions is answered in version 0 (KIP-511), and its header
        // never has tags.
        let negotiating = api.key == 18;
        let known = version <= api.versions.1 || !negotiating;
        let version = if known { version } else { 0 };
        let flexible = version >= api.flexible;
        let mut bytes = &frame[4..];
        if flexible && !negotiating {
            bytes = bytes.strip_prefix(&[0]).ok_or("the header has tags")?;
        }
        let decoder = Decoder { bytes, version, flexible };
        let value = decoder.message(&api.response).map_err(|what| {
            format!("{} {version} cannot be read: {what}; {}", api.name, super::batch::short(frame))
        })?;
        Ok((&api.response, value))
    }

    fn note(
        &mut self,
        file: &str,
        round: &mut Round<'_>,
        at: usize,
        ask: &Ask,
        outcome: &Outcome,
    ) -> Result<(), String> {
        let Outcome::Answer(frame) = outcome else {
            let text = match outcome {
                Outcome::Closed => "closed",
                Outcome::Silent => "no answer",
                _ => UNANSWERED,
            };
            if ask.title.is_none() {
                return Err(format!("the set-up ended with: {text}"));
            }
            let lines = Lines::from([("outcome".to_owned(), text.to_owned())]);
            let title = title_of(round.block, at);
            self.recording.note(file, &title, &ask.api, round.version, lines);
            return Ok(());
        };
        let (fields, answer) = self.decode(ask, round.version, frame)?;
        let step = ask.title.as_deref().unwrap_or("set-up");
        let mut lines = round.scrubber.lines(step, fields, &answer);
        let version = ask.version.unwrap_or(round.version);
        if ask.title.is_some() {
            if let Some((array, prefix)) = &ask.among {
                let array = format!("{array}[");
                lines.retain(|path, _| {
                    path.split_once(&array).is_none_or(|(_, key)| key.starts_with(prefix))
                });
            }
            if let Some(array) = &ask.without {
                lines.retain(|path, _| !path.contains(&format!(".{array}[")));
            }
            let title = title_of(round.block, at);
            self.recording.answered.insert((ask.api.clone(), version));
            self.recording.note(file, &title, &ask.api, round.version, lines);
        } else if let Some((path, code)) =
            lines.iter().find(|(path, value)| path.ends_with("error_code") && *value != "0")
        {
            return Err(format!("the set-up failed: {path} = {code}"));
        }
        for (name, path) in &ask.captures {
            let value = find(&answer, path)?.clone();
            round.scrubber.name(name, &value);
            round.names.insert(name.clone(), value);
        }
        Ok(())
    }

    /// Asks on a connection of its own, outside of the script.
    fn once(&self, api: &str, version: i16, body: &Value) -> Result<Value, String> {
        let api = self.api(api).expect("a known API");
        let flexible = version >= api.flexible;
        let mut encoder = Encoder { bytes: Vec::new(), version, flexible };
        encoder.fields(&api.request, body);
        let mut connection = Connection::open(self.address);
        connection.send(api.key, version, flexible, &encoder.bytes);
        let frame = connection.receive()?.ok_or("closed")?;
        let bytes = &frame[if flexible { 5 } else { 4 }..];
        Decoder { bytes, version, flexible }.message(&api.response)
    }

    fn create_topic(
        &self,
        name: &str,
        partitions: i32,
        settings: &[(String, String)],
    ) -> Result<(), String> {
        let text = |text: &str| Value::Text(text.to_owned());
        let setting =
            |(key, value): &(String, String)| record([("name", text(key)), ("value", text(value))]);
        let topic = record([
            ("name", text(name)),
            ("num_partitions", Value::Int(partitions.into())),
            ("replication_factor", Value::Int(1)),
            ("configs", Value::List(settings.iter().map(setting).collect())),
        ]);
        let answer =
            self.once("CreateTopics", 4, &record([("topics", Value::List(vec![topic]))]))?;
        let code = find(&answer, "topics.0.error_code")?;
        if *code != Value::Int(0) {
            return Err(format!("{name} is not created: {answer:?}"));
        }
        let ends: Vec<Value> = (0..partitions)
            .map(|at| {
                record([("partition_index", Value::Int(at.into())), ("timestamp", Value::Int(-1))])
            })
            .collect();
        let topic = record([("name", text(name)), ("partitions", Value::List(ends))]);
        let body = record([("topics", Value::List(vec![topic]))]);
        self.until_good(|| {
            let answer = self.once("ListOffsets", 4, &body)?;
            let partitions = find(&answer, "topics.0.partitions")?.list();
            Ok(partitions.iter().all(|one| one.field("error_code") == Some(&Value::Int(0))))
        })
    }

    /// Apache Kafka creates the topics of its coordinators when they are asked for first.
    fn wait_for_coordinators(&self) {
        let group =
            record([("group_id", Value::Text("prelude".to_owned())), ("topics", Value::Null)]);
        let key = record([("key", Value::Text("prelude".to_owned()))]);
        let producer = record([("transactional_id", Value::Null)]);
        let transaction =
            record([("key", Value::Text("prelude".to_owned())), ("key_type", Value::Int(1))]);
        // A broker without transactions answers this with an error that waiting does not change.
        for _ in 0..ATTEMPTS {
            let answer = self.once("FindCoordinator", 1, &transaction).expect("an answer");
            match find(&answer, "error_code") {
                Ok(Value::Int(15)) => std::thread::sleep(PAUSE),
                _ => break,
            }
        }
        let asks = [
            ("FindCoordinator", 1, key),
            ("OffsetFetch", 2, group),
            ("InitProducerId", 0, producer),
        ];
        for (api, version, body) in asks {
            let good = || {
                let answer = self.once(api, version, &body)?;
                Ok(find(&answer, "error_code")? == &Value::Int(0))
            };
            self.until_good(good).unwrap_or_else(|what| panic!("{api}: {what}"));
        }
    }

    fn until_good(&self, good: impl Fn() -> Result<bool, String>) -> Result<(), String> {
        for _ in 0..ATTEMPTS {
            if good()? {
                return Ok(());
            }
            std::thread::sleep(PAUSE);
        }
        Err("it is not ready after 10 s".to_owned())
    }
}

fn record<const N: usize>(fields: [(&str, Value); N]) -> Value {
    Value::Struct(fields.map(|(name, value)| (name.to_owned(), value)).to_vec())
}

/// The value at `topics.0.name`.
fn find<'a>(value: &'a Value, path: &str) -> Result<&'a Value, String> {
    path.split('.').try_fold(value, |value, part| {
        let found = match part.parse::<usize>() {
            Ok(at) => value.list().get(at),
            Err(_) => value.field(part),
        };
        found.ok_or_else(|| format!("the answer has no {path}: {value:?}"))
    })
}

fn show(value: &Value) -> String {
    match value {
        Value::Text(text) => text.clone(),
        Value::Int(number) => number.to_string(),
        Value::Null => "null".to_owned(),
        other => format!("{other:?}"),
    }
}
