//! End to end: the real binary in a temporary directory, spoken to by librdkafka and by a bare
//! socket.
//!
//! Promises: nothing but 127.0.0.0/8 and free ports, nothing left behind. Every test starts a
//! broker of its own, so that they run side by side.
//! Absent: what a power cut leaves (`tests/power_cut.rs`); `kill -9` leaves the page cache alone.

#![cfg(not(target_env = "musl"))]
#![expect(clippy::unwrap_used, reason = "a panic is how a test says what is wrong")]

mod addresses;
mod admin;
mod bad_input;
mod bare_socket;
mod crashes;
mod failing_disk;
mod files;
mod forwarding;
mod groups;
mod injected;
mod large_requests;
mod load;
mod produce_consume;
mod quota;
mod rot;
mod salvage;
mod slow_card;
mod start_stop;
mod support;
