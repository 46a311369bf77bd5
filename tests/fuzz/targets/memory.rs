//! That memory stays bounded, whatever the bytes say.
//!
//! Counts what this thread allocates (`allocation_counter` is this program's allocator).

use allocation_counter::measure;

/// Runs `work`, which may hold `bytes_max` more bytes at a time than before it, and panics where
/// it held more.
pub fn bounded<T>(what: &str, bytes_max: usize, work: impl FnOnce() -> T) -> T {
    let mut result = None;
    let info = measure(|| result = Some(work()));
    assert!(
        info.bytes_max <= bytes_max as u64,
        "{what} held {} bytes at a time, and {bytes_max} would do",
        info.bytes_max
    );
    result.expect("it ran")
}
