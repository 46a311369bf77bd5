//! What is said about clients: each kind of event of one address at most once a minute.
//!
//! Promises: the table never grows; what was left out is counted, and told with the next line of
//! its kind. When the table is full of fresh events, those of further addresses share one line.
//! Absent: what is worth a line (`session`), and the logger.

use crate::fixed::List;
use crate::limits::{CLIENT_NOTE_MS, CLIENT_NOTES, Ledger};
use crate::time::Millis;
use core::mem::size_of;
use std::net::IpAddr;

/// A kind of event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// No seat was free.
    Refused,
    /// An idle connection made room.
    Displaced,
    /// What it sent cannot be answered.
    Fault,
    /// It stopped in the middle of something.
    Stalled,
    /// It kept what others waited for.
    Slow,
    /// What it sent cannot be made durable, or what it asked for cannot be read.
    Disk,
    /// The system gave no connection.
    Accept,
}

struct Note {
    address: Option<IpAddr>,
    kind: Kind,
    since: Millis,
    left_out: u32,
}

/// The events of the last minutes.
pub struct Notes {
    notes: List<Note>,
}

impl Default for Notes {
    fn default() -> Notes {
        Notes::new()
    }
}

impl Notes {
    /// None yet. The last place is that of all who find no place of their own.
    pub fn new() -> Notes {
        Notes { notes: List::new(CLIENT_NOTES) }
    }

    /// Bytes of the table.
    pub fn account(ledger: &mut Ledger) {
        let at_limit = "events of further addresses share a line in the log";
        ledger.row("what was said about clients", CLIENT_NOTES, size_of::<Note>(), at_limit);
    }

    /// Whether to log an event now, and how many like it were left out since the last line; `None`
    /// if it is left out itself.
    pub fn note(&mut self, address: Option<IpAddr>, kind: Kind, now: Millis) -> Option<u32> {
        let address = address.map(|address| address.to_canonical());
        let old = |note: &Note| now.since(note.since) >= CLIENT_NOTE_MS;
        let same = |note: &&mut Note| note.address == address && note.kind == kind;
        if let Some(note) = self.notes.iter_mut().find(same) {
            if !old(note) {
                note.left_out = note.left_out.saturating_add(1);
                return None;
            }
            note.since = now;
            return Some(core::mem::take(&mut note.left_out));
        }
        let new = Note { address, kind, since: now, left_out: 0 };
        let Err(new) = self.notes.push(new) else { return Some(0) };
        if address.is_some()
            && let Some(note) = self.notes.iter_mut().find(|note| old(note))
        {
            *note = new;
            return Some(0);
        }
        let shared = self.notes.last_mut()?;
        if shared.address.is_some() {
            *shared = Note { address: None, ..new };
            return Some(0);
        }
        if !old(shared) {
            shared.left_out = shared.left_out.saturating_add(1);
            return None;
        }
        *shared = Note { address: None, left_out: 0, ..new };
        Some(shared.left_out)
    }
}

/// " (and so many more like it in the last minute)", or nothing.
pub struct LeftOut(pub u32);

impl core::fmt::Display for LeftOut {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self.0 {
            0 => Ok(()),
            1 => f.write_str(" (and once more since this was last said)"),
            count => write!(f, " (and {count} times more since this was last said)"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(last: u32) -> Option<IpAddr> {
        Some(IpAddr::from((0x0a00_0000 + last).to_be_bytes()))
    }

    #[test]
    fn one_line_a_minute_for_each_address_and_kind_and_then_a_count() {
        let mut notes = Notes::new();
        assert_eq!(notes.note(ip(1), Kind::Fault, Millis(0)), Some(0));
        assert_eq!(notes.note(ip(2), Kind::Fault, Millis(0)), Some(0));
        assert_eq!(notes.note(ip(1), Kind::Stalled, Millis(0)), Some(0));
        for at in 1..=500 {
            assert_eq!(notes.note(ip(1), Kind::Fault, Millis(at)), None);
        }
        assert_eq!(notes.note(ip(1), Kind::Fault, Millis(CLIENT_NOTE_MS)), Some(500));
        assert_eq!(notes.note(ip(1), Kind::Fault, Millis(2 * CLIENT_NOTE_MS)), Some(0));
        assert_eq!(LeftOut(500).to_string(), " (and 500 times more since this was last said)");
    }

    #[test]
    fn ten_thousand_addresses_fill_neither_memory_nor_the_log() {
        let mut notes = Notes::new();
        let mut lines = 0;
        for at in 0..10_000 {
            lines += usize::from(notes.note(ip(at), Kind::Refused, Millis(1)).is_some());
        }
        assert!((CLIENT_NOTES..=CLIENT_NOTES + 1).contains(&lines), "{lines}");
        // A minute later each has a line again.
        assert_eq!(notes.note(ip(20_000), Kind::Refused, Millis(1 + CLIENT_NOTE_MS)), Some(0));
    }
}
