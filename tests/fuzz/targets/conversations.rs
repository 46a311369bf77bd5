//! Conversations of well-formed requests, made field by field: what lies behind the readers.
//!
//! Member ids and topic ids are those that answers told, so that groups come together and topics
//! go again.

use super::gateway::{Gateway, frame};
use super::input::Input;
use super::schema;
use ottla::api::TABLE;
use ottla::disk::sim::SimDisk;

/// Requests of one input.
const REQUESTS_MAX: usize = 24;

/// Each request: who asks what in which version, and what its fields are made of.
pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let mut gateway = Gateway::prepared();
    for _ in 0..REQUESTS_MAX {
        if input.is_empty() {
            break;
        }
        let how = input.byte();
        let slot = (how & 3).into();
        if how >= 0xf0 {
            aside(&mut gateway, how, slot, &mut input);
            continue;
        }
        let api = &TABLE[usize::from(how >> 2) % TABLE.len()];
        let (low, high) = api.versions;
        let version = high - i16::from(input.byte()) % (high - low + 1);
        let Some(body) = schema::request(api.key, version, &mut input) else { continue };
        let frame = frame(api.key, version, |w| w.raw(&body));
        if let Err(broken) = gateway.ask(slot, &frame) {
            let text = broken.to_string();
            // A record with acks=0 has no other way to be refused.
            assert!(api.key == 0, "{} v{version} is well formed: {text}", api.name);
        }
    }
    gateway.still_serves();
}

fn aside(gateway: &mut Gateway, how: u8, slot: ottla::broker::Slot, input: &mut Input<'_>) {
    match how {
        0xf0..=0xf3 => gateway.broker.connection_closed(slot),
        0xf4..=0xf7 => gateway.pass(u64::from(input.word())),
        0xf8..=0xfb => gateway.sync(),
        _ => {
            // The power goes off, in one of the ways it may.
            let disk: SimDisk = gateway.disk.after_cut(u64::from(input.byte()));
            let now = gateway.now;
            *gateway = Gateway::open(&disk, super::gateway::config());
            gateway.now.wall_ms = now.wall_ms;
        }
    }
}
