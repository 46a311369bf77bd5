//! ottla: a Kafka-protocol broker for small ARM boards.
//!
//! # The map
//!
//! ```text
//! cli        argv → work → exit code          server     sockets, clocks, the event loop
//!  │                                            │
//!  ├── forward  to the upstream cluster ──┐    api      one file per API key, one table
//!  ├── client   our own client side       │     │
//!  └────────────────────┐                 └── broker     state and storage, kept in step
//!                       │                      │    └───────────┐
//!                     wire  bytes ↔ values   storage           state (state, event, now) → verdict
//!                                              │                 │
//!                                             disk   the only file system calls
//! limits · time · config: used by everyone
//! ```
//!
//! A layer imports what stands below it and nothing else; `tests/tidy.rs` has the table.
//!
//! # Principles
//!
//! 1. An acknowledged record is on the flash: `acks=all` is answered after the sync, and the high
//!    watermark *is* the synced offset (`storage`).
//! 2. It always starts; what cannot be read is said, not died of (`storage::recovery`).
//! 3. The core knows no I/O and no clock. Sockets, timers and clocks live in `server`, `cli` and
//!    `forward::driver`; everything else takes `now` and bytes, and runs the same on a simulated
//!    disk, network and upstream.
//! 4. Every bound has a name, a unit and a reason, in `limits`.
//! 5. Hostile bytes cost nothing: a cursor that cannot leave its message, buffers that grow by what
//!    arrived and not by what was claimed.
//! 6. A field is declared once, a table stands once, and the rest derives from it (`api::TABLE`,
//!    `config::BROKER_KEYS`).
//!
//! # Reading order
//!
//! `limits`, `wire::reader`, `wire::batch`; then `storage` (its `mod.rs` tells a record's way, then
//! `journal_frame`, `sync`, `recovery`); `state::group`; `broker`; `api::produce`; `server`.

pub mod api;
pub mod broker;
pub mod cli;
pub mod client;
pub mod config;
pub mod disk;
pub mod fixed;
pub mod forward;
pub mod limits;
pub mod server;
pub mod state;
pub mod storage;
pub mod time;
pub mod wire;
