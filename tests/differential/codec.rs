//! Requests to bytes and bytes to answers, driven by the descriptions of `message`.
//!
//! Promises: an answer is read strictly. Every byte belongs to a field, a null stands only where it
//! may, a bool is 0 or 1, varints are as short as they can be, tags ascend and are known.
//! Absent: anything of `src/wire`, on purpose.

use super::message::{Field, Kind};
use super::value::{Value, bytes_of_hex, hex_of_bytes};

/// Writes a request's body.
pub struct Encoder {
    pub bytes: Vec<u8>,
    pub version: i16,
    pub flexible: bool,
}

impl Encoder {
    /// All fields of a struct. What `value` does not name gets its default.
    pub fn fields(&mut self, fields: &[Field], value: &Value) {
        let Value::Struct(given) = value else { panic!("{value:?} is no struct") };
        for (name, _) in given {
            let known = fields.iter().any(|field| field.name == *name);
            assert!(known, "there is no field {name}");
        }
        let version = self.version;
        for field in fields.iter().filter(|field| field.is_in(version)) {
            if field.tag.is_none() {
                match value.field(&field.name) {
                    Some(value) => self.value(field, value),
                    None => self.value(field, &default_of(field, self.version)),
                }
            }
        }
        if self.flexible {
            // No field of a request that is asked here is tagged.
            self.bytes.push(0);
        }
    }

    fn value(&mut self, field: &Field, value: &Value) {
        if *value == Value::Null {
            assert!(field.is_nullable(self.version), "{} cannot be null", field.name);
        }
        self.kind(&field.kind, value);
    }

    fn kind(&mut self, kind: &Kind, value: &Value) {
        match (kind, value) {
            (Kind::Bool, Value::Bool(value)) => self.bytes.push(u8::from(*value)),
            (Kind::I8, Value::Int(value)) => self.bytes.push(*value as u8),
            (Kind::I16, Value::Int(value)) => self.bytes.extend((*value as i16).to_be_bytes()),
            (Kind::I32, Value::Int(value)) => self.bytes.extend((*value as i32).to_be_bytes()),
            (Kind::I64, Value::Int(value)) => self.bytes.extend(value.to_be_bytes()),
            (Kind::Uuid, Value::Text(digits)) => self.bytes.extend(bytes_of_hex(digits)),
            (Kind::Text, Value::Text(text)) => {
                self.length(text.len(), 2);
                self.bytes.extend(text.as_bytes());
            }
            (Kind::Text, Value::Null) => self.null(2),
            (Kind::Bytes | Kind::Records, Value::Bytes(bytes)) => {
                self.length(bytes.len(), 4);
                self.bytes.extend(bytes);
            }
            (Kind::Bytes | Kind::Records, Value::Null) => self.null(4),
            (Kind::Structs(fields), Value::List(values)) => {
                self.length(values.len(), 4);
                values.iter().for_each(|value| self.fields(fields, value));
            }
            (Kind::Array(kind), Value::List(values)) => {
                self.length(values.len(), 4);
                values.iter().for_each(|value| self.kind(kind, value));
            }
            (Kind::Structs(_) | Kind::Array(_), Value::Null) => self.null(4),
            (Kind::Struct(_), Value::Null) => self.bytes.push(0xff),
            (Kind::Struct(fields), value) => {
                self.bytes.push(1);
                self.fields(fields, value);
            }
            _ => panic!("{value:?} is not of type {kind:?}"),
        }
    }

    fn length(&mut self, length: usize, width: usize) {
        match (self.flexible, width) {
            (true, _) => self.varint(length as u64 + 1),
            (false, 2) => self.bytes.extend((length as i16).to_be_bytes()),
            (false, _) => self.bytes.extend((length as i32).to_be_bytes()),
        }
    }

    fn null(&mut self, width: usize) {
        match self.flexible {
            true => self.bytes.push(0),
            false => self.bytes.extend([0xff; 4].iter().take(width)),
        }
    }

    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.bytes.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.bytes.push(value as u8);
    }
}

/// What a field holds if nobody says anything: its own default, or zero, empty, null.
fn default_of(field: &Field, version: i16) -> Value {
    if let Some(default) = field.default {
        return Value::Int(default);
    }
    match &field.kind {
        Kind::Bool => Value::Bool(false),
        Kind::I8 | Kind::I16 | Kind::I32 | Kind::I64 => Value::Int(0),
        Kind::Uuid => Value::Text("0".repeat(32)),
        _ if field.is_nullable(version) => Value::Null,
        Kind::Text => Value::Text(String::new()),
        Kind::Bytes | Kind::Records => Value::Bytes(Vec::new()),
        Kind::Structs(_) | Kind::Array(_) => Value::List(Vec::new()),
        Kind::Struct(_) => panic!("{} must be given", field.name),
    }
}

/// Reads an answer's body.
pub struct Decoder<'a> {
    pub bytes: &'a [u8],
    pub version: i16,
    pub flexible: bool,
}

type Read<T> = Result<T, String>;

impl<'a> Decoder<'a> {
    /// All fields, and the end of the bytes.
    pub fn message(mut self, fields: &[Field]) -> Read<Value> {
        let value = self.fields(fields)?;
        if !self.bytes.is_empty() {
            return Err(format!("{} bytes too many", self.bytes.len()));
        }
        Ok(value)
    }

    fn fields(&mut self, fields: &[Field]) -> Read<Value> {
        let mut values = Vec::new();
        let version = self.version;
        for field in fields.iter().filter(|field| field.is_in(version)) {
            if field.tag.is_none() {
                values.push((field.name.clone(), self.value(field)?));
            }
        }
        if self.flexible {
            self.tagged(fields, &mut values)?;
        }
        Ok(Value::Struct(values))
    }

    fn tagged(&mut self, fields: &[Field], values: &mut Vec<(String, Value)>) -> Read<()> {
        let mut last = None;
        for _ in 0..self.varint()? {
            let tag = self.varint()?;
            if last.is_some_and(|last| last >= tag) {
                return Err("tags do not ascend".to_owned());
            }
            last = Some(tag);
            let known = |field: &&Field| field.tag == Some(tag) && field.is_in(self.version);
            let field =
                fields.iter().find(known).ok_or_else(|| format!("tag {tag} is not known"))?;
            let length = self.varint()? as usize;
            let bytes = self.take(length, &field.name)?;
            let mut inner = Decoder { bytes, version: self.version, flexible: true };
            // A struct in a tag has no sign in front of it that says that it is there.
            let value = match &field.kind {
                Kind::Struct(fields) => inner.fields(fields)?,
                _ => inner.value(field)?,
            };
            if !inner.bytes.is_empty() {
                return Err(format!("{}: the tag is longer than its field", field.name));
            }
            values.push((field.name.clone(), value));
        }
        Ok(())
    }

    fn value(&mut self, field: &Field) -> Read<Value> {
        let value = self.kind(&field.kind).map_err(|what| format!("{}: {what}", field.name))?;
        if value == Value::Null && !field.is_nullable(self.version) {
            return Err(format!("{} is null", field.name));
        }
        Ok(value)
    }

    fn kind(&mut self, kind: &Kind) -> Read<Value> {
        Ok(match kind {
            Kind::Bool => match self.take(1, "bool")?[0] {
                0 => Value::Bool(false),
                1 => Value::Bool(true),
                other => return Err(format!("{other} is no bool")),
            },
            Kind::I8 => Value::Int(self.int(1)?),
            Kind::I16 => Value::Int(self.int(2)?),
            Kind::I32 => Value::Int(self.int(4)?),
            Kind::I64 => Value::Int(self.int(8)?),
            Kind::Uuid => Value::Text(hex_of_bytes(self.take(16, "uuid")?)),
            Kind::Text => match self.length(2)? {
                None => Value::Null,
                Some(length) => {
                    let bytes = self.take(length, "string")?.to_vec();
                    Value::Text(String::from_utf8(bytes).map_err(|error| error.to_string())?)
                }
            },
            Kind::Bytes | Kind::Records => match self.length(4)? {
                None => Value::Null,
                Some(length) => Value::Bytes(self.take(length, "bytes")?.to_vec()),
            },
            Kind::Structs(fields) => match self.length(4)? {
                None => Value::Null,
                Some(count) => {
                    Value::List((0..count).map(|_| self.fields(fields)).collect::<Result<_, _>>()?)
                }
            },
            Kind::Array(kind) => match self.length(4)? {
                None => Value::Null,
                Some(count) => {
                    Value::List((0..count).map(|_| self.kind(kind)).collect::<Result<_, _>>()?)
                }
            },
            Kind::Struct(fields) => match self.int(1)? {
                -1 => Value::Null,
                1 => self.fields(fields)?,
                other => return Err(format!("{other} is no sign of a struct")),
            },
        })
    }

    fn length(&mut self, width: usize) -> Read<Option<usize>> {
        let length = match self.flexible {
            true => self.varint()? as i64 - 1,
            false => self.int(width)?,
        };
        match length {
            -1 => Ok(None),
            0.. => Ok(Some(length as usize)),
            _ => Err(format!("{length} is no length")),
        }
    }

    fn int(&mut self, width: usize) -> Read<i64> {
        let bytes = self.take(width, "number")?;
        let negative = bytes[0] >= 0x80;
        let start = if negative { -1_i64 } else { 0 };
        Ok(bytes.iter().fold(start, |value, byte| value << 8 | i64::from(*byte)))
    }

    fn varint(&mut self) -> Read<u64> {
        let mut value = 0;
        for at in 0..10 {
            let byte = self.take(1, "varint")?[0];
            value |= u64::from(byte & 0x7f) << (7 * at);
            if byte < 0x80 {
                if byte == 0 && at > 0 {
                    return Err("a varint is longer than it must be".to_owned());
                }
                return Ok(value);
            }
        }
        Err("a varint does not end".to_owned())
    }

    fn take(&mut self, count: usize, what: &str) -> Read<&'a [u8]> {
        let bytes = self.bytes;
        let Some((taken, rest)) = bytes.split_at_checked(count) else {
            return Err(format!("{what} wants {count} of {} bytes", bytes.len()));
        };
        self.bytes = rest;
        Ok(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{Api, read_api};

    fn api() -> Api {
        let text = "api A 1 versions 0-1 flexible 1
            request { a: i16 b: string? c: [ d: i32 = -1 ] }
            response { a: i16 b: string? c: [ d: i32 ] e: bool 1+ tag 0 }";
        read_api(&mut crate::cursor::Cursor::new("a test", text))
    }

    fn decode(version: i16, digits: &str) -> Read<Value> {
        let bytes = bytes_of_hex(digits);
        let decoder = Decoder { bytes: &bytes, version, flexible: version >= 1 };
        decoder.message(&api().response)
    }

    #[test]
    fn both_encodings_are_as_kafkas_guide_to_the_protocol_says() {
        for (version, digits) in
            [(0, "0007 ffff 00000001 ffffffff"), (1, "0007 00 02 ffffffff 00 00")]
        {
            let mut encoder = Encoder { bytes: Vec::new(), version, flexible: version >= 1 };
            let element = Value::Struct(Vec::new());
            let fields = [("a", Value::Int(7)), ("c", Value::List(vec![element]))];
            let fields = fields.map(|(name, value)| (name.to_owned(), value)).to_vec();
            encoder.fields(&api().request, &Value::Struct(fields));
            assert_eq!(encoder.bytes, bytes_of_hex(digits), "version {version}");
            let value = decode(version, digits).expect("an answer of the same fields");
            assert_eq!(value.field("b"), Some(&Value::Null));
        }
    }

    #[test]
    fn an_answer_is_read_strictly() {
        for (version, digits, complaint) in [
            (0, "0007 ffff 00000000 00", "1 bytes too many"),
            (0, "0007 ffff 00000001 0000", "c: d: number wants 4 of 2 bytes"),
            (0, "0007 ffff ffffffff", "c is null"),
            (0, "0007 fffe 00000000", "b: -2 is no length"),
            (1, "0007 00 8100 00", "c: a varint is longer than it must be"),
            (1, "0007 00 01 01 01 01 00", "tag 1 is not known"),
            (1, "0007 00 01 01 00 01 02", "e: 2 is no bool"),
            (1, "0007 00 01 01 00 02 01 00", "e: the tag is longer than its field"),
        ] {
            assert_eq!(decode(version, digits), Err(complaint.to_owned()), "{digits}");
        }
        assert!(decode(1, "0007 00 01 01 00 01 01").is_ok());
    }
}
