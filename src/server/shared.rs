//! All memory of connections, allocated at the start: seats' own buffers, and what they share.
//!
//! ```text
//! input:   own 4 KiB ──► read buffer 64 KiB ──► batch buffer
//! output:  own 2 KiB ──► answer buffer 64 KiB ──► spill file without a name
//! ```
//!
//! Promises: one block for all buffers of a kind, so that one which nobody ever used takes no page.
//! The blocks live as long as the process, and so does the server.
//! Absent: who uses which (`input`, `output`).

use super::pool::Pool;
use crate::api::FilePiece;
use crate::disk::{Disk, FileRef};
use crate::fixed::{self, List};
use crate::limits::{
    CONNECTION_FILES, CONNECTION_TASK_BYTES, Ledger, OUTPUT_BYTES_MAX, READ_BUFFER_BYTES,
    RESPONSE_FILES_MAX, SERVER_USAGES, Sizes, Usage,
};

/// A buffer.
pub type Block = &'static mut [u8];

/// Bytes of a handle of a spill file and of what the disk layer keeps about it.
const SPILL_FILE_BYTES: usize = 128;

/// What a connection has of its own, whoever sits there.
pub struct SeatMemory {
    /// Where requests arrive.
    pub input: Block,
    /// Where answers are written.
    pub output: Block,
    /// Parts of files that belong into them.
    pub pieces: List<FilePiece>,
}

impl SeatMemory {
    /// For each seat.
    pub fn for_all(sizes: &Sizes) -> impl Iterator<Item = SeatMemory> {
        let input = blocks(sizes.connections, sizes.connection_in_bytes);
        let output = blocks(sizes.connections, sizes.connection_out_bytes);
        input.zip(output).map(|(input, output)| SeatMemory {
            input,
            output,
            pieces: List::new(CONNECTION_FILES),
        })
    }

    /// Bytes for one seat.
    pub const fn memory(sizes: &Sizes) -> usize {
        sizes.connection_in_bytes
            + sizes.connection_out_bytes
            + List::<FilePiece>::memory(CONNECTION_FILES)
    }
}

/// What connections share.
pub struct Shared {
    /// Buffers for requests of up to [`READ_BUFFER_BYTES`], and pieces of larger ones.
    pub read: Pool<Block>,
    /// Buffers for one batch each.
    pub batch: Pool<Block>,
    /// Buffers for answers.
    pub answer: Pool<Block>,
    /// Places for parts of files.
    pub tables: Pool<List<FilePiece>>,
    /// Files for answers.
    pub spill: Pool<FileRef>,
}

/// `count` buffers in one block.
fn blocks(count: usize, bytes: usize) -> std::slice::ChunksExactMut<'static, u8> {
    Box::leak(fixed::bytes(count * bytes)).chunks_exact_mut(bytes.max(1))
}

impl Shared {
    /// Everything that a board has of it. Spill files are opened on `disk`.
    pub fn new(sizes: &Sizes, disk: &dyn Disk) -> Shared {
        let seats = sizes.connections;
        let mut files = List::new(sizes.spill_files);
        for _ in 0..sizes.spill_files {
            match disk.temporary() {
                Ok(file) => drop(files.push(file)),
                Err(error) => {
                    log::warn!("no file for answers above 64 KiB, they are not given: {error}");
                    break;
                }
            }
        }
        let count = files.len();
        let tables = (0..sizes.answer_buffers).map(|_| List::new(RESPONSE_FILES_MAX));
        Shared {
            read: Pool::new(blocks(sizes.read_buffers, READ_BUFFER_BYTES), seats),
            batch: Pool::new(blocks(sizes.batch_buffers, sizes.batch_buffer_bytes), seats),
            answer: Pool::new(blocks(sizes.answer_buffers, OUTPUT_BYTES_MAX), seats),
            tables: Pool::new(tables, 0),
            spill: Pool::new(files.drain(..count).collect::<Vec<_>>().into_iter(), seats),
        }
    }

    /// What all of this takes.
    pub fn account(sizes: &Sizes, ledger: &mut Ledger) {
        let queue = |count| Pool::<Block>::memory(count, sizes.connections);
        let own = SeatMemory::memory(sizes) + CONNECTION_TASK_BYTES;
        let at_limit = "one that was idle makes room, or the new connection is refused";
        ledger.row("connections", sizes.connections, own, at_limit);
        let at_limit = "the connection is not read until it is its turn";
        ledger.row("read buffers", sizes.read_buffers, READ_BUFFER_BYTES, at_limit);
        ledger.row("batch buffers", sizes.batch_buffers, sizes.batch_buffer_bytes, at_limit);
        let at_limit = "the request is not executed until it is its turn";
        let table = List::<FilePiece>::memory(RESPONSE_FILES_MAX);
        ledger.row("answer buffers", sizes.answer_buffers, OUTPUT_BYTES_MAX + table, at_limit);
        ledger.row("files for large answers", sizes.spill_files, SPILL_FILE_BYTES, at_limit);
        let queues = queue(sizes.read_buffers)
            + queue(sizes.batch_buffers)
            + queue(sizes.answer_buffers)
            + Pool::<List<FilePiece>>::memory(sizes.answer_buffers, 0)
            + 2 * Pool::<FileRef>::memory(sizes.spill_files, sizes.connections);
        ledger.row("queues for them", 1, queues, "there is a place for every connection");
    }

    /// How full the pools are; the first figure is left for the seats.
    pub fn usages(&self) -> [Usage; SERVER_USAGES] {
        [
            Usage::default(),
            self.read.usage("read.buffers"),
            self.batch.usage("batch.buffers"),
            self.answer.usage("answer.buffers"),
            self.spill.usage("spill.files"),
        ]
    }

    /// The connection in `slot` waits for nothing more.
    pub fn forget(&mut self, slot: u32) {
        self.read.forget(slot);
        self.batch.forget(slot);
        self.answer.forget(slot);
        self.spill.forget(slot);
    }
}
