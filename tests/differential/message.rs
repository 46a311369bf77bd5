//! What a request and its response are made of, as `tests/differential/messages/` tells it.
//!
//! ```text
//! api NAME KEY versions 3-9 flexible 9       (flexible never)
//! request  { field… }
//! response { field… }
//! field   NAME: TYPE [?] [versions] [tag N] [= default] [~class]
//! type    bool i8 i16 i32 i64 uuid string bytes records · [ field… ] · [i32] · ( field… )
//! ```
//!
//! `NAME*` is the key of an array's elements, whose order means nothing then. `?` says that null is
//! possible, `?7` from version 7 on; `( … )` is a struct that stands alone. A class says how a
//! value is made comparable (`answer`).
//!
//! Promises: independent of `src/wire`, so that it cannot share its mistakes.

use super::cursor::{Cursor, Versions, versions};
use std::path::Path;

/// The type of a field.
#[derive(Clone, Debug)]
pub enum Kind {
    Bool,
    I8,
    I16,
    I32,
    I64,
    Uuid,
    Text,
    Bytes,
    Records,
    /// An array of structs.
    Structs(Vec<Field>),
    /// An array of something simple.
    Array(Box<Kind>),
    /// A struct that stands alone.
    Struct(Vec<Field>),
}

/// How a value of the answer is made comparable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// As it is.
    Plain,
    /// A time of day: that it is now.
    Time,
    /// An id that the broker gives: the how-manieth it is.
    Id,
    /// The id of a fetch session: whether there is one.
    Session,
    /// The port that was dialled.
    Port,
    /// A number that counts something inside of the broker.
    Counter,
    /// The name of the cluster.
    Cluster,
}

/// One field.
#[derive(Clone, Debug)]
pub struct Field {
    pub name: String,
    /// Names the element of an array.
    pub is_key: bool,
    pub kind: Kind,
    pub versions: Versions,
    /// First version in which it may be null.
    pub nullable: Option<i16>,
    pub tag: Option<u64>,
    /// What a script that does not name it means.
    pub default: Option<i64>,
    pub class: Class,
}

/// One API.
pub struct Api {
    pub name: String,
    pub key: i16,
    pub versions: Versions,
    pub flexible: i16,
    pub request: Vec<Field>,
    pub response: Vec<Field>,
}

impl Field {
    pub fn is_in(&self, version: i16) -> bool {
        (self.versions.0..=self.versions.1).contains(&version)
    }

    pub fn is_nullable(&self, version: i16) -> bool {
        self.nullable.is_some_and(|since| version >= since)
    }
}

/// All files of `messages/`.
pub fn read_all(directory: &Path) -> Vec<Api> {
    let mut apis = Vec::new();
    for (name, text) in super::texts(&directory.join("messages")) {
        let mut r = Cursor::new(&name, &text);
        while !r.is_done() {
            apis.push(read_api(&mut r));
        }
    }
    apis
}

/// One description.
pub fn read_api(r: &mut Cursor<'_>) -> Api {
    keyword(r, "api");
    let name = r.word().to_owned();
    let key = r.word();
    let key = key.parse().unwrap_or_else(|_| r.fail("a key is a number"));
    keyword(r, "versions");
    let versions = versions(r);
    keyword(r, "flexible");
    let flexible = match r.word() {
        "never" => i16::MAX,
        word => word.parse().unwrap_or_else(|_| r.fail("a version is a number")),
    };
    keyword(r, "request");
    r.expect('{');
    let request = read_fields(r, '}');
    keyword(r, "response");
    r.expect('{');
    let response = read_fields(r, '}');
    Api { name, key, versions, flexible, request, response }
}

fn keyword(r: &mut Cursor<'_>, wanted: &str) {
    if !r.take_word(wanted) {
        r.fail(&format!("{wanted} is missing"));
    }
}

fn read_fields(r: &mut Cursor<'_>, end: char) -> Vec<Field> {
    let mut fields = Vec::new();
    while !r.take(end) {
        fields.push(read_field(r));
    }
    fields
}

fn read_field(r: &mut Cursor<'_>) -> Field {
    let name = r.word().to_owned();
    let is_key = r.take('*');
    r.expect(':');
    let kind = read_kind(r);
    let mut field = Field {
        name,
        is_key,
        kind,
        versions: (0, i16::MAX),
        nullable: None,
        tag: None,
        default: None,
        class: Class::Plain,
    };
    if r.take('?') {
        let digits = r.peek_here().is_some_and(|c| c.is_ascii_digit());
        field.nullable = Some(if digits { versions(r).0 } else { 0 });
    }
    while read_modifier(r, &mut field) {}
    field
}

fn read_modifier(r: &mut Cursor<'_>, field: &mut Field) -> bool {
    if r.take('=') {
        let word = r.word();
        field.default = Some(word.parse().unwrap_or_else(|_| r.fail("a default is a number")));
        return true;
    }
    let word = r.peek_word();
    let class = match word {
        "~time" => Class::Time,
        "~id" => Class::Id,
        "~counter" => Class::Counter,
        "~session" => Class::Session,
        "~port" => Class::Port,
        "~cluster" => Class::Cluster,
        word if word.starts_with(|c: char| c.is_ascii_digit()) => {
            field.versions = versions(r);
            return true;
        }
        "tag" => {
            r.word();
            let number = r.word();
            field.tag = Some(number.parse().unwrap_or_else(|_| r.fail("a tag is a number")));
            return true;
        }
        _ => return false,
    };
    r.word();
    field.class = class;
    true
}

fn read_kind(r: &mut Cursor<'_>) -> Kind {
    if r.take('(') {
        return Kind::Struct(read_fields(r, ')'));
    }
    if !r.take('[') {
        let word = r.word();
        return simple(word).unwrap_or_else(|| r.fail(&format!("{word} is no type")));
    }
    if let Some(kind) = simple(r.peek_word()) {
        let before = r.clone();
        r.word();
        if r.take(']') {
            return Kind::Array(Box::new(kind));
        }
        *r = before;
    }
    Kind::Structs(read_fields(r, ']'))
}

fn simple(word: &str) -> Option<Kind> {
    Some(match word {
        "bool" => Kind::Bool,
        "i8" => Kind::I8,
        "i16" => Kind::I16,
        "i32" => Kind::I32,
        "i64" => Kind::I64,
        "uuid" => Kind::Uuid,
        "string" => Kind::Text,
        "bytes" => Kind::Bytes,
        "records" => Kind::Records,
        _ => return None,
    })
}
