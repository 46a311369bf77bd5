//! Values: what a script says, what goes into a request, what comes out of an answer.
//!
//! ```text
//! null true false -1 "text with $name" $name  [value…]  {name: value…}
//! hex "00ff"   repeat {text: "x" times: 300}   batch {…}   subscription {topics: [..]}
//! ```
//!
//! Promises: `$name` is what a step before captured, or what the block's version is (`$v`).

use super::batch;
use super::cursor::Cursor;
use std::collections::BTreeMap;

/// A value of a message.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Null,
    Bool(bool),
    Int(i64),
    /// A string, or a UUID in hexadecimal.
    Text(String),
    Bytes(Vec<u8>),
    List(Vec<Value>),
    Struct(Vec<(String, Value)>),
}

impl Value {
    /// The field of a struct.
    pub fn field(&self, wanted: &str) -> Option<&Value> {
        let Value::Struct(fields) = self else { return None };
        fields.iter().find(|(name, _)| name == wanted).map(|(_, value)| value)
    }

    /// A number, if it is one.
    pub fn int(&self) -> Option<i64> {
        if let Value::Int(value) = self { Some(*value) } else { None }
    }

    /// A text, if it is one.
    pub fn text(&self) -> Option<&str> {
        if let Value::Text(text) = self { Some(text) } else { None }
    }

    /// The elements of a list; none if it is something else.
    pub fn list(&self) -> &[Value] {
        if let Value::List(values) = self { values } else { &[] }
    }
}

/// What a script says, before the names in it are replaced.
#[derive(Clone, Debug)]
pub enum Expression {
    Plain(Value),
    Text(String),
    Name(String),
    List(Vec<Expression>),
    Struct(Vec<(String, Expression)>),
    Call(String, Box<Expression>),
}

/// Names and what they stand for now.
pub type Names = BTreeMap<String, Value>;

/// Reads one expression.
pub fn read(r: &mut Cursor<'_>) -> Expression {
    match r.peek() {
        Some('"') => Expression::Text(r.quoted()),
        Some('[') => {
            r.expect('[');
            let mut values = Vec::new();
            while !r.take(']') {
                values.push(read(r));
                r.take(',');
            }
            Expression::List(values)
        }
        Some('{') => {
            r.expect('{');
            let mut fields = Vec::new();
            while !r.take('}') {
                let name = r.word().to_owned();
                r.expect(':');
                fields.push((name, read(r)));
                r.take(',');
            }
            Expression::Struct(fields)
        }
        _ => read_word(r),
    }
}

fn read_word(r: &mut Cursor<'_>) -> Expression {
    let word = r.word();
    if let Some(name) = word.strip_prefix('$') {
        return Expression::Name(name.to_owned());
    }
    Expression::Plain(match word {
        "null" => Value::Null,
        "true" => Value::Bool(true),
        "false" => Value::Bool(false),
        "hex" | "repeat" | "batch" | "subscription" | "join" => {
            return Expression::Call(word.to_owned(), Box::new(read(r)));
        }
        _ => match word.parse() {
            Ok(number) => Value::Int(number),
            Err(_) => r.fail(&format!("{word} is no value")),
        },
    })
}

/// Replaces names and carries out calls.
pub fn evaluate(expression: &Expression, names: &Names) -> Value {
    match expression {
        Expression::Plain(value) => value.clone(),
        Expression::Text(text) => Value::Text(interpolate(text, names)),
        Expression::Name(name) => {
            names.get(name).unwrap_or_else(|| panic!("nothing captured ${name}")).clone()
        }
        Expression::List(values) => {
            Value::List(values.iter().map(|value| evaluate(value, names)).collect())
        }
        Expression::Struct(fields) => {
            let field = |(name, value): &(String, _)| (name.clone(), evaluate(value, names));
            Value::Struct(fields.iter().map(field).collect())
        }
        Expression::Call(function, argument) => call(function, &evaluate(argument, names)),
    }
}

/// Replaces `$name` in a text. `$v` becomes `.v` and the version, so that it can be found again.
pub fn interpolate(text: &str, names: &Names) -> String {
    let mut parts = text.split('$');
    let mut result = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let end = part.find(|c: char| !c.is_ascii_lowercase()).unwrap_or(part.len());
        let (name, rest) = part.split_at(end);
        match names.get(name) {
            Some(Value::Int(version)) if name == "v" => result += &format!(".v{version}"),
            Some(Value::Int(number)) => result += &number.to_string(),
            Some(Value::Text(text)) => result += text,
            _ => panic!("nothing captured ${name}, or it cannot stand in a text"),
        }
        result += rest;
    }
    result
}

fn call(function: &str, argument: &Value) -> Value {
    match function {
        "hex" => Value::Bytes(bytes_of_hex(argument.text().expect("hex takes a text"))),
        "repeat" => {
            let text = argument.field("text").and_then(Value::text).expect("repeat takes a text");
            let times = argument.field("times").and_then(Value::int).expect("and how often");
            Value::Text(text.repeat(times as usize))
        }
        "batch" => Value::Bytes(batch::build(argument)),
        // Several batches, or anything of bytes, back to back.
        "join" => Value::Bytes(argument.list().iter().flat_map(bytes).copied().collect()),
        "subscription" => Value::Bytes(subscription(argument)),
        _ => panic!("{function} is no function"),
    }
}

/// The bytes of a value that has some.
pub fn bytes(value: &Value) -> &[u8] {
    match value {
        Value::Bytes(bytes) => bytes,
        Value::Text(text) => text.as_bytes(),
        _ => panic!("{value:?} has no bytes"),
    }
}

/// What a consumer tells of itself when it joins (ConsumerProtocolSubscription, version 0).
fn subscription(argument: &Value) -> Vec<u8> {
    let topics = argument.field("topics").expect("subscription takes topics").list();
    let mut bytes = vec![0, 0];
    bytes.extend((topics.len() as i32).to_be_bytes());
    for topic in topics.iter().filter_map(Value::text) {
        bytes.extend((topic.len() as i16).to_be_bytes());
        bytes.extend(topic.as_bytes());
    }
    bytes.extend((-1_i32).to_be_bytes());
    bytes
}

/// Bytes from hexadecimal digits; blanks do not count.
pub fn bytes_of_hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> =
        text.chars().filter_map(|c| c.to_digit(16)).map(|digit| digit as u8).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

/// Hexadecimal digits of bytes.
pub fn hex_of_bytes(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
