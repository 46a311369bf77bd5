//! Store and forward: what this broker holds is carried up to another Kafka cluster.
//!
//! Promises: exactly once and in order, whatever happens to the link, to the other cluster or to
//! this machine's power.
//! Absent: the wire format itself (`wire`), and what is remembered (`state`, `broker`).

pub mod batch;
pub mod compress;
pub mod merge;
