//! Messages made field by field from a fuzzer's bytes, by the descriptions of `differential/`.
//!
//! Promises: what is made is a well-formed message of its version, so that a fuzzer spends its time
//! behind the readers. Absent: anything of `src/wire`.

use super::input::Input;
use crate::codec::{Decoder, Encoder};
use crate::message::{Api, Field, Kind, read_all};
use crate::value::Value;
use ottla::wire::record::{BatchBuilder, Producer};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::Path;

/// Elements of an array, and levels of arrays within arrays.
const ELEMENTS_MAX: usize = 3;

/// Texts that lead somewhere.
const TEXTS: [&str; 12] = [
    "t",
    "u",
    "probe",
    "g",
    "",
    "range",
    "consumer",
    "retention.ms",
    "1000",
    "new",
    "0",
    "compact",
];

thread_local! {
    static APIS: BTreeMap<i16, Api> = {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let places = [here.join("tests/differential"), here.join("../differential")];
        let directory = places.iter().find(|place| place.exists()).expect("this repository");
        read_all(directory).into_iter().map(|api| (api.key, api)).collect()
    };
    /// Texts and ids that answers held: member ids above all.
    static HEARD: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// Forgets what answers said: every input begins anew.
pub fn forget() {
    HEARD.with_borrow_mut(Vec::clear);
}

/// The body of a request; `None` for an API or a version that no description has.
pub fn request(key: i16, version: i16, input: &mut Input<'_>) -> Option<Vec<u8>> {
    body(key, version, input, |api| &api.request)
}

/// The body of a response.
pub fn response(key: i16, version: i16, input: &mut Input<'_>) -> Option<Vec<u8>> {
    body(key, version, input, |api| &api.response)
}

fn body(
    key: i16,
    version: i16,
    input: &mut Input<'_>,
    fields: fn(&Api) -> &[Field],
) -> Option<Vec<u8>> {
    APIS.with(|apis| {
        let api = apis.get(&key)?;
        if !(api.versions.0..=api.versions.1).contains(&version) {
            return None;
        }
        let flexible = version >= api.flexible;
        let value = struct_of(fields(api), version, input);
        let mut encoder = Encoder { bytes: Vec::new(), version, flexible };
        encoder.fields(fields(api), &value);
        Some(encoder.bytes)
    })
}

/// Reads an answer's body strictly, and remembers what it said. An API without a description
/// passes.
pub fn is_well_formed(key: i16, version: i16, body: &[u8]) -> Result<(), String> {
    APIS.with(|apis| {
        let Some(api) = apis.get(&key) else { return Ok(()) };
        let flexible = version >= api.flexible;
        let value = Decoder { bytes: body, version, flexible }.message(&api.response)?;
        hear(&value, "");
        Ok(())
    })
}

fn hear(value: &Value, name: &str) {
    match value {
        Value::Struct(fields) => fields.iter().for_each(|(name, value)| hear(value, name)),
        Value::List(values) => values.iter().for_each(|value| hear(value, name)),
        Value::Text(text) if name == "member_id" || name == "topic_id" => {
            HEARD.with_borrow_mut(|heard| {
                if heard.len() < 16 && !text.is_empty() && !heard.contains(text) {
                    heard.push(text.clone());
                }
            });
        }
        _ => {}
    }
}

fn struct_of(fields: &[Field], version: i16, input: &mut Input<'_>) -> Value {
    let here = fields.iter().filter(|field| field.is_in(version) && field.tag.is_none());
    let value = |field: &Field| (field.name.clone(), field_of(field, version, input));
    Value::Struct(here.map(value).collect())
}

fn field_of(field: &Field, version: i16, input: &mut Input<'_>) -> Value {
    if field.is_nullable(version) && input.byte() % 4 == 1 {
        return Value::Null;
    }
    value_of(&field.kind, &field.name, version, input)
}

fn value_of(kind: &Kind, name: &str, version: i16, input: &mut Input<'_>) -> Value {
    match kind {
        Kind::Bool => Value::Bool(input.byte() & 1 == 1),
        Kind::I8 => Value::Int(input.integer(8)),
        Kind::I16 => Value::Int(input.integer(16)),
        Kind::I32 => Value::Int(input.integer(32)),
        Kind::I64 => Value::Int(input.integer(64)),
        Kind::Uuid => Value::Text(uuid(input)),
        Kind::Text => Value::Text(text(name, input)),
        Kind::Bytes => {
            let count = input.below(64);
            Value::Bytes(input.take(count).to_vec())
        }
        Kind::Records => Value::Bytes(records(input)),
        Kind::Structs(fields) => {
            let count = input.below(ELEMENTS_MAX + 1);
            Value::List((0..count).map(|_| struct_of(fields, version, input)).collect())
        }
        Kind::Array(kind) => {
            let count = input.below(ELEMENTS_MAX + 1);
            Value::List((0..count).map(|_| value_of(kind, name, version, input)).collect())
        }
        Kind::Struct(fields) => struct_of(fields, version, input),
    }
}

fn uuid(input: &mut Input<'_>) -> String {
    let choice = input.byte();
    HEARD.with_borrow(|heard| {
        let mut ids = heard.iter().filter(|text| is_uuid(text)).cycle();
        match ids.nth(usize::from(choice >> 2)) {
            Some(id) if choice & 3 != 0 => id.clone(),
            _ => format!("{:032x}", u128::from(choice >> 2)),
        }
    })
}

fn is_uuid(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn text(name: &str, input: &mut Input<'_>) -> String {
    let choice = input.byte();
    if name.contains("member_id") && choice & 0x80 == 0 {
        let member = HEARD.with_borrow(|heard| {
            let members: Vec<&String> = heard.iter().filter(|text| !is_uuid(text)).collect();
            members.get(usize::from(choice) % members.len().max(1)).map(|text| (*text).clone())
        });
        return member.unwrap_or_default();
    }
    match choice {
        0xf0..=0xf7 => "n".repeat(usize::from(input.byte()) + 1),
        0xf8..=0xff => {
            let count = input.below(24);
            String::from_utf8_lossy(input.take(count)).into_owned()
        }
        // What most fields of this name want comes first.
        _ if choice & 1 == 0 => match name {
            _ if name.contains("group") => "g",
            _ if name.contains("protocol_type") => "consumer",
            _ if name.contains("protocol") => "range",
            "value" | "metadata" => "1000",
            _ => "t",
        }
        .to_owned(),
        _ => TEXTS[usize::from(choice >> 1) % TEXTS.len()].to_owned(),
    }
}

/// A batch that is accepted, or bytes.
fn records(input: &mut Input<'_>) -> Vec<u8> {
    let choice = input.byte();
    if choice & 7 == 7 {
        let count = usize::from(input.byte());
        return input.take(count).to_vec();
    }
    let base_timestamp = input.integer(64) / 2;
    let mut batch = BatchBuilder::new(base_timestamp);
    if choice & 8 != 0 {
        let (id, epoch) = (i64::from(input.byte() & 3), i16::from(input.byte() & 1));
        batch = batch.producer(Producer { id, epoch, base_sequence: i32::from(input.byte() & 7) });
    }
    let base = base_timestamp + i64::from(input.byte());
    for at in 0..=i64::from(choice >> 6) {
        let length = input.below(40);
        let bytes = input.take(length);
        batch.push(base + at, (choice & 16 == 0).then_some(bytes), Some(bytes), &[]);
    }
    let mut bytes = batch.finish();
    if choice & 7 == 6 {
        let at = usize::from(input.byte()) % bytes.len();
        bytes[at] ^= input.byte();
        super::batches::sealed(&mut bytes);
    }
    bytes
}
