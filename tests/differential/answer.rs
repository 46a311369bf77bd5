//! Answers made comparable: a line for each field, with what differs from run to run replaced.
//!
//! `topics[t].partitions[0].error_code = 0`. Elements of an array with a key are named by it,
//! others are counted. An id that the broker gives is `<new id>` at first, and
//! `<id: title of the step>` or `<id: $name>`, if the script captured it, in later steps; a time of
//! day is `<now>`; the block's version in names is `$v`.

use super::batch;
use super::message::{Class, Field, Kind};
use super::value::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Path → value, in words.
pub type Lines = BTreeMap<String, String>;

/// What was replaced so far in this block.
pub struct Scrubber {
    /// The block's version.
    version: i16,
    /// The port that was dialled.
    port: u16,
    /// Ids that were seen, and what they are called.
    ids: BTreeMap<String, String>,
    /// Those of the step that is being read.
    new_ids: Vec<String>,
}

impl Scrubber {
    pub fn new(version: i16, port: u16) -> Scrubber {
        Scrubber { version, port, ids: BTreeMap::new(), new_ids: Vec::new() }
    }

    /// All lines of a step's answer.
    pub fn lines(&mut self, step: &str, fields: &[Field], value: &Value) -> Lines {
        let mut lines = Lines::new();
        self.fields(fields, value, "", &mut lines);
        for (at, id) in std::mem::take(&mut self.new_ids).into_iter().enumerate() {
            let which = if at == 0 { String::new() } else { format!(", number {}", at + 1) };
            self.ids.insert(id, format!("<id: {step}{which}>"));
        }
        lines
    }

    /// The script calls this value so from now on.
    pub fn name(&mut self, name: &str, value: &Value) {
        let id = match value {
            Value::Text(id) => id.clone(),
            Value::Int(id) => id.to_string(),
            _ => return,
        };
        if self.ids.contains_key(&id) {
            self.ids.insert(id, format!("<id: ${name}>"));
        }
    }

    fn fields(&mut self, fields: &[Field], value: &Value, prefix: &str, lines: &mut Lines) {
        let Value::Struct(values) = value else { panic!("{value:?} is no struct") };
        for (name, value) in values {
            let field = fields.iter().find(|field| field.name == *name).expect("a known field");
            let path = format!("{prefix}{name}");
            match (&field.kind, value) {
                (Kind::Structs(inner), Value::List(elements)) if !elements.is_empty() => {
                    self.elements(inner, elements, &path, lines);
                }
                (Kind::Struct(inner), Value::Struct(_)) => {
                    self.fields(inner, value, &format!("{path}."), lines);
                }
                (Kind::Records, Value::Bytes(bytes)) if !bytes.is_empty() => {
                    for (at, batch) in batch::describe(bytes).into_iter().enumerate() {
                        lines.insert(format!("{path}[#{at}]"), batch);
                    }
                }
                _ => {
                    let text = self.text(field.class, value);
                    lines.insert(path, text);
                }
            }
        }
    }

    fn elements(&mut self, fields: &[Field], elements: &[Value], path: &str, lines: &mut Lines) {
        let key = fields.iter().find(|field| field.is_key);
        let mut seen = BTreeSet::new();
        for (at, element) in elements.iter().enumerate() {
            let mut name = match key.and_then(|key| element.field(&key.name).zip(Some(key))) {
                Some((value, key)) => self.text(key.class, value),
                None => format!("#{at}"),
            };
            while !seen.insert(name.clone()) {
                name.push('+');
            }
            let rest: Vec<_> = fields.iter().filter(|field| !field.is_key).cloned().collect();
            let Value::Struct(values) = element else { panic!("{element:?} is no struct") };
            let known = |name: &String| rest.iter().any(|field| field.name == *name);
            let values: Vec<_> = values.iter().filter(|(name, _)| known(name)).cloned().collect();
            if values.is_empty() {
                lines.insert(format!("{path}[{name}]"), "is there".to_owned());
            }
            self.fields(&rest, &Value::Struct(values), &format!("{path}[{name}]."), lines);
        }
    }

    /// A value in words.
    fn text(&mut self, class: Class, value: &Value) -> String {
        match (class, value) {
            (Class::Time, Value::Int(time)) if *time >= 0 => batch::time_text(*time),
            (Class::Port, Value::Int(port)) if *port == i64::from(self.port) => "<port>".to_owned(),
            (Class::Cluster, Value::Text(id)) if id.len() == 22 => "<cluster>".to_owned(),
            (Class::Counter, Value::Int(0..)) => "<counter>".to_owned(),
            (Class::Session, Value::Int(id)) if *id > 0 => "<session>".to_owned(),
            (Class::Id, Value::Int(id)) if *id >= 0 => self.id(id.to_string()),
            (Class::Id, Value::Text(id)) if is_given(id) => self.id(id.clone()),
            (_, Value::Null) => "null".to_owned(),
            (_, Value::Bool(value)) => value.to_string(),
            (_, Value::Int(value)) => value.to_string(),
            (Class::Id, Value::Text(id)) if id.len() == 32 && id.chars().all(|c| c == '0') => {
                "no id".to_owned()
            }
            (_, Value::Text(text)) if text.is_empty() => "\"\"".to_owned(),
            (_, Value::Text(text)) => {
                let text = text.replace(&format!(".v{}", self.version), "$v");
                tidy(format!("{text:?}").trim_matches('"'))
            }
            (_, Value::Bytes(bytes)) => format!("hex {}", batch::short(bytes)),
            (_, Value::List(values)) => {
                let texts: Vec<_> = values.iter().map(|value| self.text(class, value)).collect();
                format!("[{}]", texts.join(" "))
            }
            (_, Value::Struct(_)) => panic!("a struct has no text of its own"),
        }
    }

    fn id(&mut self, id: String) -> String {
        if let Some(name) = self.ids.get(&id) {
            return name.clone();
        }
        if !self.new_ids.contains(&id) {
            self.new_ids.push(id);
        }
        "<new id>".to_owned()
    }
}

/// Sentences name times and counters of their own: what is as long as a time is left out of them. A
/// name of 249 characters is told by its beginning.
fn tidy(text: &str) -> String {
    let is_sentence = text.contains(' ');
    let mut result = String::new();
    let mut digits = String::new();
    for c in text.chars().chain([' ']) {
        if c.is_ascii_digit() {
            digits.push(c);
            continue;
        }
        result += if digits.len() < 13 || !is_sentence { &digits } else { "<number>" };
        digits.clear();
        result.push(c);
    }
    result.pop();
    if result.len() > 100 && !is_sentence {
        return format!("{}… ({} bytes)", &result[..20], text.len());
    }
    result
}

/// Whether the broker made this id, and not the script: a topic's, which is not zero, or a member's
/// with 36 characters of a UUID at its end.
fn is_given(id: &str) -> bool {
    let is_hex = |text: &str| text.chars().all(|c| c.is_ascii_hexdigit());
    if id.len() == 32 && is_hex(id) {
        return id.chars().any(|c| c != '0');
    }
    let tail = id.len().checked_sub(36).and_then(|at| id.get(at..));
    tail.is_some_and(|tail| {
        tail.split('-').map(str::len).eq([8, 4, 4, 4, 12]) && is_hex(&tail.replace('-', ""))
    })
}
