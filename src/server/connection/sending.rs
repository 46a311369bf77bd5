//! What of a connection's output may leave, and what is sent next.

use super::{Connection, Release};
use crate::api::FilePiece;
use crate::disk::FileRef;
use crate::server::output::Run;
use crate::server::shared::Shared;
use crate::storage::Lsn;

/// What may be sent next.
pub enum Send<'a> {
    /// These bytes.
    Bytes {
        /// The bytes.
        bytes: &'a [u8],
        /// Part of a file follows at once.
        more: bool,
    },
    /// This part of a file: `count` bytes from `position` on.
    File {
        /// The file.
        file: &'a FileRef,
        /// Where to go on.
        position: u64,
        /// How much is left.
        count: usize,
    },
    /// Nothing now.
    Nothing,
}

impl Connection {
    /// Frames up to `written` survive the process, up to `durable` a power cut: releases the
    /// answers that waited for that. Returns how many of them waited for a sync.
    pub fn release(&mut self, written: Lsn, durable: Lsn) -> u32 {
        let mut synced = 0;
        while let Some(mark) = self.marks.front().copied() {
            let free = match mark.release {
                Release::Now => true,
                Release::Written(lsn) => lsn <= written,
                Release::Synced(lsn) => lsn <= durable,
            };
            if !free {
                break;
            }
            synced += u32::from(matches!(mark.release, Release::Synced(_)));
            self.released = mark.end;
            self.marks.pop_front();
        }
        synced
    }

    /// What to send next.
    pub fn next_send(&self) -> Send<'_> {
        let first = self.pieces.list().first();
        if let Some(piece) = first.filter(|piece| self.is_next(piece)) {
            return Send::File {
                file: &piece.file,
                position: u64::from(piece.position) + u64::from(self.piece_sent),
                count: (piece.bytes - self.piece_sent) as usize,
            };
        }
        let stop = first.map_or(self.released, |piece| piece.at.min(self.released));
        if stop <= self.sent {
            return Send::Nothing;
        }
        match self.output.run(self.sent, stop) {
            Run::File(file, position, count) => Send::File { file, position, count },
            Run::Memory([]) => Send::Nothing,
            Run::Memory(bytes) => {
                let more = self.sent + bytes.len() < stop || first.is_some_and(|p| p.at == stop);
                Send::Bytes { bytes, more }
            }
        }
    }

    /// Whether it is this piece's turn. No answer begins with a piece, so one that stands where
    /// the released bytes end belongs to a released answer.
    fn is_next(&self, piece: &FilePiece) -> bool {
        piece.at == self.sent && piece.at <= self.released
    }

    /// `count` bytes of what [`Connection::next_send`] named have been sent.
    pub fn sent(&mut self, count: usize, shared: &mut Shared) {
        match self.pieces.list().first() {
            Some(piece) if self.is_next(piece) => {
                self.piece_sent += count as u32;
                if self.piece_sent == piece.bytes {
                    self.pieces.list_mut().remove(0);
                    self.piece_sent = 0;
                }
            }
            _ => self.sent += count,
        }
        self.tidy(shared);
    }

    /// Gives the output's memory back once it is sent.
    pub(super) fn tidy(&mut self, shared: &mut Shared) {
        if self.sent == self.output.length() && self.pieces.list().is_empty() {
            self.output.clear(self.peer.slot, shared);
            self.pieces.tidy(self.peer.slot, &mut shared.tables);
            (self.sent, self.released) = (0, 0);
        }
    }
}
