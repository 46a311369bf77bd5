//! Our own client side: what the command line says to a broker, and later the forwarder.
//!
//! Promises: sans I/O. A request becomes bytes, bytes become a plain struct, and every API is
//! spoken in a small range of versions that Apache Kafka 2.1 to 4.3 and ottla serve alike
//! ([`Api`]). Errors are values; nothing here prints, waits or reads a clock, and no response
//! makes it panic or allocate by a count that the network names.
//! Absent: sockets (the callers own them), metadata caches, retries, TLS and SASL.

pub mod api;
pub mod batches;
pub mod codec;
pub mod frame;
pub mod messages;
pub mod partitioner;
pub mod protocol;

pub use api::{Api, Versions};
pub use frame::{FrameError, Request};
