//! ApiVersions (18): what is served, and in which versions.
//!
//! Versions 0–4. v1 throttle_time_ms · v3 flexible, client software name and version · v4 allows a
//! feature to begin at version 0 (there are none). The response header stays v0 for ever.
//!
//! Promises: the request's body is not looked at, so that no odd `client_software_name` ever keeps
//! a client out (Apache Kafka answers INVALID_REQUEST); a version that is not served gets its
//! answer in `api/mod.rs`.
//! Absent: the tagged features. Without `transaction.version` clients stay with what is served
//! here (protocol.md 2.3).

use super::{Api, Context, Outcome, Reply, TABLE, write_range};
use crate::wire::{ErrorCode, ReadError, Reader};

/// The row.
pub const API: Api =
    Api { key: 18, name: "ApiVersions", versions: (0, 4), advertised_min: 0, flexible: 3, handle };

#[expect(clippy::unnecessary_wraps, reason = "the signature of all handlers")]
fn handle(
    _context: &mut Context<'_>,
    _r: Reader<'_>,
    reply: &mut Reply<'_>,
) -> Result<Outcome, ReadError> {
    let w = &mut reply.w;
    w.error(ErrorCode::None);
    w.array(TABLE.len());
    TABLE.iter().for_each(|api| write_range(w, api));
    w.since(1, |w| w.i32(0));
    w.tags();
    Ok(Outcome::Now)
}
