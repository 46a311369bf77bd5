//! Every table at its limit and one past it: the real binary with a small board, asked over the
//! wire.
//!
//! Promises: at the limit everything that is in goes on, one more is answered as documented in
//! `limits`, and room that is made can be used at once. The numbers are those of the board.
//! Absent: attacks (`tests/hostile`).

#![expect(clippy::unwrap_used, reason = "a panic is how a test says what is wrong")]

#[path = "limits/groups.rs"]
mod groups;
#[expect(dead_code, reason = "the other end-to-end tests use the rest")]
#[path = "server/support/mod.rs"]
mod support;
#[path = "limits/tables.rs"]
mod tables;
