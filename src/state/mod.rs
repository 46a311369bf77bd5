//! State machines: (state, event, now) → verdict.
//!
//! Nothing here waits, reads a clock, touches a file or knows the wire format; refusals are mapped
//! to Kafka's error codes by `api`.

pub mod coordinator_file;
pub mod forward;
pub mod group;
pub mod groups;
pub mod members;
pub mod offsets;
pub mod producers;
pub mod topics;
