//! FindCoordinator (10): which node keeps a group. It is this one.
//!
//! Versions 0–4. v1 key_type, throttle_time_ms, error_message · v3 flexible · v4 several keys at
//! once (KIP-699).
//!
//! A transaction's coordinator is refused for good: the "not available" that one might expect here
//! would be asked again for ever. The code is INVALID_REQUEST; up to v2, though, which is what
//! librdkafka speaks, it is TRANSACTIONAL_ID_AUTHORIZATION_FAILED, because that client asks again
//! on every other code (`rd_kafka_txn_handle_FindCoordinator`). Java takes both as final. Any group
//! id finds its coordinator, the empty one too, as in Apache Kafka: JoinGroup is what refuses it.

use super::list::List;
use super::{Api, Context, Outcome, Reply};
use crate::wire::{ErrorCode, ReadError, Reader, Writer};

/// The row.
pub const API: Api = Api {
    key: 10,
    name: "FindCoordinator",
    versions: (0, 4),
    advertised_min: 0,
    flexible: 3,
    handle,
};

const GROUP: i8 = 0;
const TRANSACTION: i8 = 1;

const NO_TRANSACTIONS: &str = "transactions are not supported by ottla";

type Refused = (ErrorCode, &'static str);

fn handle(
    context: &mut Context<'_>,
    mut r: Reader<'_>,
    reply: &mut Reply<'_>,
) -> Result<Outcome, ReadError> {
    let batched = r.version() >= 4;
    if !batched {
        r.string("key")?;
    }
    let key_type = r.since(1, GROUP, |r| r.i8("key_type"))?;
    let refused = match key_type {
        GROUP => None,
        TRANSACTION if r.version() <= 2 => {
            Some((ErrorCode::TransactionalIdAuthorizationFailed, NO_TRANSACTIONS))
        }
        TRANSACTION => Some((ErrorCode::InvalidRequest, NO_TRANSACTIONS)),
        _ => Some((ErrorCode::InvalidRequest, "there is no coordinator of this type")),
    };
    let w = &mut reply.w;
    w.since(1, |w| w.i32(0));
    if batched {
        let keys = List::read(&mut r, "coordinator_keys", |r| r.string("coordinator_key"))?;
        w.array(keys.len());
        for key in keys {
            w.string(key);
            write_node(context, w, refused);
            write_error(w, refused);
            w.tags();
        }
    } else {
        write_error(w, refused);
        write_node(context, w, refused);
    }
    r.tags()?;
    w.tags();
    Ok(Outcome::Now)
}

fn write_error(w: &mut Writer<'_>, refused: Option<Refused>) {
    // What Apache Kafka says where there is nothing to say; it is never null there.
    let nothing = if w.version() < 4 { "NONE" } else { "" };
    w.error(refused.map_or(ErrorCode::None, |(code, _)| code));
    w.since(1, |w| w.nullable_string(Some(refused.map_or(nothing, |(_, message)| message))));
}

fn write_node(context: &Context<'_>, w: &mut Writer<'_>, refused: Option<Refused>) {
    if refused.is_some() {
        w.i32(-1);
        w.string("");
        w.i32(-1);
    } else {
        w.i32(context.node_id());
        context.write_address(w);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::testing::{Golden, TestBroker, golden};

    const GOLDEN: &[Golden] = &[
        (0..=0, "000167", "00000000000100093132372e302e302e3100002384"),
        (1..=1, "00016700", "00000000000000044e4f4e450000000100093132372e302e302e3100002384"),
        (
            1..=1,
            "00016701",
            "00000000003500277472616e73616374696f6e7320617265206e6f7420737570706f7274656420627920\
         6f74746c61ffffffff0000ffffffff",
        ),
        (2..=2, "00016700", "00000000000000044e4f4e450000000100093132372e302e302e3100002384"),
        (
            2..=2,
            "00016701",
            "00000000003500277472616e73616374696f6e7320617265206e6f7420737570706f7274656420627920\
         6f74746c61ffffffff0000ffffffff",
        ),
        (3..=3, "02670000", "000000000000054e4f4e45000000010a3132372e302e302e310000238400"),
        (
            3..=3,
            "02670100",
            "00000000002a287472616e73616374696f6e7320617265206e6f7420737570706f72746564206279206f\
         74746c61ffffffff01ffffffff00",
        ),
        (
            4..=4,
            "00030267026800",
            "00000000030267000000010a3132372e302e302e3100002384000001000268000000010a3132372e302e\
         302e31000023840000010000",
        ),
        (
            4..=4,
            "01030267026800",
            "00000000030267ffffffff01ffffffff002a287472616e73616374696f6e7320617265206e6f74207375\
         70706f72746564206279206f74746c61000268ffffffff01ffffffff002a287472616e73616374696f6e\
         7320617265206e6f7420737570706f72746564206279206f74746c610000",
        ),
    ];

    #[test]
    fn every_version_reads_and_writes_as_kafka_does() {
        golden(&API, TestBroker::new, GOLDEN);
    }

    #[test]
    fn the_empty_group_finds_its_coordinator_and_an_unknown_type_does_not() {
        let mut test = TestBroker::new();
        let mut ask = |key: &str, key_type: i8| {
            let write = |w: &mut Writer<'_>| {
                w.string(key);
                w.i8(key_type);
            };
            test.ask(10, 2, write).1[4..6].to_vec()
        };
        assert_eq!(ask("", 0), [0, 0]);
        assert_eq!(ask("g", 2), [0, 42], "share groups are not there");
        assert_eq!(ask("g", 9), [0, 42]);
    }
}
