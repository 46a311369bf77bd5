//! Record batches (magic 2): built from what a script says, and told from what an answer holds.
//!
//! A script may set every field of the header, so that it can be wrong in every way:
//! `batch {values: ["a" "b"]  records: [{key: "k" value: null headers: [{key: "h" value: "1"}]}]
//! producer_id producer_epoch base_sequence attributes base_timestamp max_timestamp base_offset
//! leader_epoch magic last_offset_delta count length_add crc_xor payload}`.
//!
//! Promises: own CRC, own varints; nothing of `src/wire`.

use super::value::{Value, bytes, hex_of_bytes};
use std::time::{SystemTime, UNIX_EPOCH};

/// Milliseconds since 1970, of this machine's clock.
pub fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock").as_millis() as i64
}

/// How a time is told: it is now, or it is a certain one, which a script has given.
pub fn time_text(time: i64) -> String {
    const DAY_MS: i64 = 24 * 3600 * 1000;
    if (time - now_ms()).abs() < DAY_MS { "<now>".to_owned() } else { time.to_string() }
}

/// CRC-32C, bit by bit.
pub fn crc32c(bytes: &[u8]) -> u32 {
    let step = |crc: u32| if crc & 1 == 1 { crc >> 1 ^ 0x82f6_3b78 } else { crc >> 1 };
    !bytes.iter().fold(!0, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), |crc, _| step(crc)))
}

fn put_varint(bytes: &mut Vec<u8>, value: i64) {
    let mut rest = ((value << 1) ^ (value >> 63)) as u64;
    while rest >= 0x80 {
        bytes.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    bytes.push(rest as u8);
}

fn put_bytes(to: &mut Vec<u8>, value: Option<&Value>) {
    match value {
        None | Some(Value::Null) => put_varint(to, -1),
        Some(value) => {
            put_varint(to, bytes(value).len() as i64);
            to.extend(bytes(value));
        }
    }
}

fn record(at: usize, key: Option<&Value>, value: Option<&Value>, more: &Value) -> Vec<u8> {
    let int = |name| more.field(name).and_then(Value::int);
    let mut body = vec![0];
    put_varint(&mut body, int("timestamp_delta").unwrap_or(0));
    put_varint(&mut body, int("offset_delta").unwrap_or(at as i64));
    put_bytes(&mut body, key);
    put_bytes(&mut body, value);
    let headers = more.field("headers").map_or(&[][..], Value::list);
    put_varint(&mut body, headers.len() as i64);
    for header in headers {
        put_bytes(&mut body, header.field("key"));
        put_bytes(&mut body, header.field("value"));
    }
    let mut whole = Vec::new();
    put_varint(&mut whole, body.len() as i64);
    whole.extend(body);
    whole
}

/// The bytes of a batch.
pub fn build(spec: &Value) -> Vec<u8> {
    let int = |name: &str, default: i64| spec.field(name).and_then(Value::int).unwrap_or(default);
    let values = spec.field("values").map_or(&[][..], Value::list);
    let records = spec.field("records").map_or(&[][..], Value::list);
    let mut payload = Vec::new();
    for (at, value) in values.iter().enumerate() {
        payload.extend(record(at, None, Some(value), &Value::Null));
    }
    for (at, spec) in records.iter().enumerate() {
        payload.extend(record(at, spec.field("key"), spec.field("value"), spec));
    }
    if let Some(raw) = spec.field("payload") {
        payload = bytes(raw).to_vec();
    }
    let count = (values.len() + records.len()) as i64;
    let base_timestamp = int("base_timestamp", now_ms());
    let mut tail = Vec::new();
    tail.extend((int("attributes", 0) as i16).to_be_bytes());
    tail.extend((int("last_offset_delta", count - 1) as i32).to_be_bytes());
    tail.extend(base_timestamp.to_be_bytes());
    tail.extend(int("max_timestamp", base_timestamp).to_be_bytes());
    tail.extend(int("producer_id", -1).to_be_bytes());
    tail.extend((int("producer_epoch", -1) as i16).to_be_bytes());
    tail.extend((int("base_sequence", -1) as i32).to_be_bytes());
    tail.extend((int("count", count) as i32).to_be_bytes());
    tail.extend(payload);
    let mut batch = Vec::new();
    batch.extend(int("base_offset", 0).to_be_bytes());
    batch.extend((tail.len() as i32 + 9 + int("length_add", 0) as i32).to_be_bytes());
    batch.extend((int("leader_epoch", 0) as i32).to_be_bytes());
    batch.push(int("magic", 2) as u8);
    batch.extend((crc32c(&tail) ^ int("crc_xor", 0) as u32).to_be_bytes());
    batch.extend(tail);
    batch
}

/// One line for each batch, with what a consumer could notice of it.
pub fn describe(mut rest: &[u8]) -> Vec<String> {
    let mut lines = Vec::new();
    while !rest.is_empty() {
        let length = rest.get(8..12).map(|bytes| number(bytes) as usize + 12);
        let whole = length.and_then(|length| rest.split_at_checked(length));
        let Some((batch, after)) = whole else {
            lines.push("part of a batch".to_owned());
            return lines;
        };
        lines.push(describe_batch(batch));
        rest = after;
    }
    lines
}

fn number(bytes: &[u8]) -> i64 {
    let start = if bytes[0] >= 0x80 { -1 } else { 0 };
    bytes.iter().fold(start, |value, byte| value << 8 | i64::from(*byte))
}

fn describe_batch(batch: &[u8]) -> String {
    if batch.len() < 61 {
        return format!("{} bytes that are no batch", batch.len());
    }
    let crc = if crc32c(&batch[21..]) == number(&batch[17..21]) as u32 { "good" } else { "bad" };
    let time = |at: usize| match number(&batch[at..at + 8]) {
        -1 => "-1".to_owned(),
        time => time_text(time),
    };
    format!(
        "offset {} epoch {} magic {} crc {crc} attributes {} delta {} times {} {} producer {}:{} \
         sequence {} count {} records {}",
        number(&batch[..8]),
        number(&batch[12..16]),
        batch[16],
        number(&batch[21..23]),
        number(&batch[23..27]),
        time(27),
        time(35),
        if number(&batch[43..51]) < 0 { "none" } else { "some" },
        number(&batch[51..53]),
        number(&batch[53..57]),
        number(&batch[57..61]),
        short(&batch[61..]),
    )
}

/// Short bytes in full, long ones by length and checksum.
pub fn short(bytes: &[u8]) -> String {
    match bytes.len() {
        0..=40 => hex_of_bytes(bytes),
        length => format!("{length} bytes {:08x}", crc32c(bytes)),
    }
}
