//! Bytes ↔ values: Kafka's primitive types, headers, error codes and record batches.
//!
//! Promises: pure, and no input makes it panic or allocate. Whatever a length field says is
//! checked against the bytes that are there before anything is done with it.
//! Absent: the messages themselves. A request's layout stands in its `api/` file, declared once,
//! in Kafka's order.

pub mod batch;
pub mod crc;
pub mod error_code;
pub mod header;
pub mod reader;
pub mod record;
pub mod writer;

pub use batch::{BatchError, BatchHeader};
pub use crc::crc32c;
pub use error_code::ErrorCode;
pub use header::RequestHeader;
pub use reader::{ReadError, Reader};
pub use writer::{Sink, Writer};

/// A UUID as it stands on the wire: 16 raw bytes, all zero meaning "none" (KIP-516).
pub type Uuid = [u8; 16];
