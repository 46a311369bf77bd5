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

#[cfg(test)]
mod tests {
    use super::API;
    use crate::api::Outcome;
    use crate::api::testing::{Golden, TestBroker, golden, hex, request};

    #[test]
    fn every_version_is_read_and_written_as_kafkas_own_classes_do() {
        golden(&API, TestBroker::new, GOLDEN);
    }

    #[test]
    fn a_version_from_the_future_is_answered_in_version_0_with_this_apis_range_alone() {
        let mut test = TestBroker::new();
        let (outcome, body) = test.ask_raw(&request(18, 9, |w| w.raw(&[0xff; 3])));
        assert_eq!(outcome, Outcome::Now);
        assert_eq!(body, hex("0023 00000001 0012 0000 0004"));
    }

    /// Made with kafka-clients 4.3.0: its message classes wrote both sides.
    const GOLDEN: &[Golden] = &[
        (
            0..=0,
            "",
            "00000000001c00000000000900010003000c00020001000700030000000c000800020008000900010008\
             000a00000004000b00000009000c00000004000d00000005000e00000005000f00000005001000000004\
             001200000004001300020007001400010006001500000002001600000004001700020004002000010004\
             002100000002002500000003002a00000002002c00000001002f00000000003c00000001003d00000000\
             004b00000000",
        ),
        (
            1..=2,
            "",
            "00000000001c00000000000900010003000c00020001000700030000000c000800020008000900010008\
             000a00000004000b00000009000c00000004000d00000005000e00000005000f00000005001000000004\
             001200000004001300020007001400010006001500000002001600000004001700020004002000010004\
             002100000002002500000003002a00000002002c00000001002f00000000003c00000001003d00000000\
             004b0000000000000000",
        ),
        (
            3..=4,
            "076120622fc3a90100",
            "00001d0000000000090000010003000c000002000100070000030000000c000008000200080000090001\
             000800000a0000000400000b0000000900000c0000000400000d0000000500000e0000000500000f0000\
             000500001000000004000012000000040000130002000700001400010006000015000000020000160000\
             00040000170002000400002000010004000021000000020000250000000300002a0000000200002c0000\
             000100002f0000000000003c0000000100003d0000000000004b00000000000000000000",
        ),
    ];
}
