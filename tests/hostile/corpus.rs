//! Real requests of every API in every version, and where their lengths, counts and tags stand.
//!
//! Promises: built from the descriptions of `tests/differential/messages`, which know nothing of
//! `src/`; every array has an element and every text a value, so that a reader gets to each field.

#[path = "../differential/cursor.rs"]
mod cursor;
#[path = "../differential/message.rs"]
mod message;

use message::{Api, Field, Kind};
use ottla::wire::record::BatchBuilder;
use std::path::Path;

/// How a length or a count is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Width {
    I16,
    I32,
    /// One more than it, as a varint of one byte.
    Compact,
    /// The number of tagged fields, which is 0.
    Tags,
}

/// A length or a count.
#[derive(Clone, Copy, Debug)]
pub struct Mark {
    pub at: usize,
    pub width: Width,
    /// It is a text's, of so many bytes.
    pub text: Option<usize>,
}

/// A request, its frame length included.
pub struct Request {
    pub name: String,
    pub key: i16,
    pub version: i16,
    pub bytes: Vec<u8>,
    pub marks: Vec<Mark>,
}

/// Names that belong to the attackers.
pub const TOPIC: &str = "hostile";

fn texts(directory: &Path) -> Vec<(String, String)> {
    let mut texts = Vec::new();
    for entry in std::fs::read_dir(directory).expect("a directory of this repository") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        texts.push((name, std::fs::read_to_string(&path).expect("UTF-8")));
    }
    texts.sort();
    texts
}

/// All of them.
pub fn corpus() -> Vec<Request> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/differential");
    let mut requests = Vec::new();
    for api in message::read_all(&directory) {
        requests.extend((api.versions.0..=api.versions.1).map(|version| build(&api, version)));
    }
    requests
}

fn build(api: &Api, version: i16) -> Request {
    let flexible = version >= api.flexible;
    let mut writer = Writer { bytes: vec![0; 4], marks: Vec::new(), version, flexible: false };
    writer.bytes.extend(api.key.to_be_bytes());
    writer.bytes.extend(version.to_be_bytes());
    writer.bytes.extend(7i32.to_be_bytes());
    // The client id keeps its int16 length in flexible versions.
    writer.text("hostile");
    writer.flexible = flexible;
    writer.tags();
    writer.fields(&api.request);
    let Writer { bytes, marks, .. } = writer;
    let name = api.name.clone();
    let mut request = Request { name, key: api.key, version, bytes, marks };
    set_frame_length(&mut request.bytes);
    request
}

/// Makes the frame length what it really is.
pub fn set_frame_length(bytes: &mut [u8]) {
    let length = bytes.len() as i32 - 4;
    bytes[..4].copy_from_slice(&length.to_be_bytes());
}

struct Writer {
    bytes: Vec<u8>,
    marks: Vec<Mark>,
    version: i16,
    flexible: bool,
}

impl Writer {
    fn fields(&mut self, fields: &[Field]) {
        let version = self.version;
        for field in fields.iter().filter(|field| field.is_in(version) && field.tag.is_none()) {
            self.kind(&field.name, &field.kind, field.default);
        }
        self.tags();
    }

    fn tags(&mut self) {
        if self.flexible {
            self.marks.push(Mark { at: self.bytes.len(), width: Width::Tags, text: None });
            self.bytes.push(0);
        }
    }

    fn kind(&mut self, name: &str, kind: &Kind, default: Option<i64>) {
        let int = || default.unwrap_or_else(|| int_of(name));
        match kind {
            Kind::Bool => self.bytes.push(0),
            Kind::I8 => self.bytes.push(int() as u8),
            Kind::I16 => self.bytes.extend((int() as i16).to_be_bytes()),
            Kind::I32 => self.bytes.extend((int() as i32).to_be_bytes()),
            Kind::I64 => self.bytes.extend(int().to_be_bytes()),
            Kind::Uuid => self.bytes.extend([0; 16]),
            Kind::Text => self.text(text_of(name)),
            Kind::Bytes => self.block(b"\0\0 some bytes", 4, None),
            Kind::Records => self.block(&batch(), 4, None),
            Kind::Array(kind) => {
                self.length(1, 4, None);
                self.kind(name, kind, None);
            }
            Kind::Structs(fields) => {
                self.length(1, 4, None);
                self.fields(fields);
            }
            Kind::Struct(fields) => {
                self.bytes.push(1);
                self.fields(fields);
            }
        }
    }

    fn text(&mut self, text: &str) {
        self.block(text.as_bytes(), 2, Some(text.len()));
    }

    fn block(&mut self, bytes: &[u8], width: usize, text: Option<usize>) {
        self.length(bytes.len(), width, text);
        self.bytes.extend(bytes);
    }

    fn length(&mut self, length: usize, width: usize, text: Option<usize>) {
        let at = self.bytes.len();
        let width = match (self.flexible, width) {
            (true, _) => {
                // What stands here is short.
                assert!(length < 127);
                self.bytes.push(length as u8 + 1);
                Width::Compact
            }
            (false, 2) => {
                self.bytes.extend((length as i16).to_be_bytes());
                Width::I16
            }
            (false, _) => {
                self.bytes.extend((length as i32).to_be_bytes());
                Width::I32
            }
        };
        self.marks.push(Mark { at, width, text });
    }
}

fn batch() -> Vec<u8> {
    let mut batch = BatchBuilder::new(1_600_000_000_000);
    batch.push(1_600_000_000_000, None, Some(b"value"), &[]);
    batch.finish()
}

fn int_of(name: &str) -> i64 {
    match name {
        "acks" | "generation_id" | "member_epoch" | "replica_id" | "timestamp" => -1,
        "resource_type" | "count" => 2,
        "session_timeout_ms" | "rebalance_timeout_ms" => 6_000,
        _ => 0,
    }
}

fn text_of(name: &str) -> &'static str {
    match name {
        "group_id" | "key" | "coordinator_keys" | "groups" | "groups_names" => "hostile-group",
        "member_id" | "group_instance_id" | "transactional_id" => "",
        "protocol_type" => "consumer",
        "protocol_name" => "range",
        "configuration_keys" => "retention.ms",
        "value" => "60000",
        _ => TOPIC,
    }
}
