//! Requests as bytes, several over several connections: every one is answered well or refused.

use super::gateway::{Gateway, frame};
use super::input::Input;
use ottla::api::TABLE;

/// Requests of one input.
const REQUESTS_MAX: usize = 32;

/// Each request: a byte that says how it is given, two for its length, and its bytes; with or
/// without a header of its own.
pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let mut gateway = Gateway::prepared();
    for _ in 0..REQUESTS_MAX {
        if input.is_empty() {
            break;
        }
        let how = input.byte();
        let slot = (how & 3).into();
        match how >> 2 & 7 {
            0 => gateway.broker.connection_closed(slot),
            1 => gateway.pass(u64::from(input.word())),
            2 => gateway.sync(),
            3..=5 => {
                let length = usize::from(input.word());
                let bytes = input.take(length);
                gateway.ask(slot, bytes).ok();
            }
            _ => {
                let api = input.pick(TABLE_ROWS);
                let (low, high) = TABLE[api].versions;
                let version = low + i16::from(input.byte()) % (high - low + 1);
                let length = usize::from(input.word());
                let bytes = input.take(length);
                gateway.ask(slot, &frame(TABLE[api].key, version, |w| w.raw(bytes))).ok();
            }
        }
    }
    gateway.still_serves();
}

/// A request that a real client sent, as the only item: it is answered, or waits, and is never
/// taken for broken.
pub fn is_answered(data: &[u8]) {
    let mut input = Input::new(data);
    let how = input.byte();
    assert_eq!(how >> 2 & 7, 3, "a request with its own header");
    let length = usize::from(input.word());
    let frame = input.take(length);
    assert!(frame.len() == length && input.is_empty(), "one request and nothing else");
    Gateway::prepared().ask(1, frame).expect("a real client's request");
}

/// The rows of the table of APIs.
const TABLE_ROWS: &[usize] = &{
    let mut rows = [0; TABLE.len()];
    let mut at = 0;
    while at < rows.len() {
        rows[at] = at;
        at += 1;
    }
    rows
};
