//! The fuzz targets as a library, for libFuzzer's binaries; `tests/fuzz_replay.rs` has the same
//! modules under the same names.
//!
//! Absent: any target; they stand in `targets/`.

#[path = "../differential/batch.rs"]
#[expect(dead_code, reason = "most of it is for scripts")]
mod batch;
#[path = "../differential/codec.rs"]
mod codec;
#[path = "../differential/cursor.rs"]
#[expect(dead_code, reason = "most of it is for scripts")]
mod cursor;
#[path = "../differential/message.rs"]
#[expect(dead_code, reason = "most of it is for scripts")]
mod message;
pub mod targets;
#[path = "../differential/value.rs"]
#[expect(dead_code, reason = "most of it is for scripts")]
mod value;

use std::path::Path;

/// The text files of a directory by name, in order.
fn texts(directory: &Path) -> Vec<(String, String)> {
    targets::texts(directory)
}
