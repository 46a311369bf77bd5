//! InitProducerId (22): an id for an idempotent producer.
//!
//! Versions 0–4. v2 flexible · v3 producer_id, producer_epoch · v4 PRODUCER_FENCED, which only
//! transactions need.
//!
//! Every id is handed out once, for ever, and always with epoch 0. A producer that names the id it
//! had (after an error, KIP-360) gets a fresh one as well, as in Apache Kafka, where only a
//! transactional id keeps its producer id.
//! Absent: transactions. A transactional id is refused with INVALID_REQUEST, which no client
//! retries.

use super::{Api, Context, Outcome, Reply, code_of};
use crate::storage::Lsn;
use crate::wire::{ErrorCode, ReadError, Reader};

/// The row.
pub const API: Api = Api {
    key: 22,
    name: "InitProducerId",
    versions: (0, 4),
    advertised_min: 0,
    flexible: 2,
    handle,
};

fn handle(
    context: &mut Context<'_>,
    mut r: Reader<'_>,
    reply: &mut Reply<'_>,
) -> Result<Outcome, ReadError> {
    let transactional_id = r.nullable_string("transactional_id")?;
    r.i32("transaction_timeout_ms")?;
    let producer_id = r.since(3, -1, |r| r.i64("producer_id"))?;
    let producer_epoch = r.since(3, -1, |r| r.i16("producer_epoch"))?;
    r.tags()?;
    // Both or neither (`KafkaApis.handleInitProducerIdRequest`).
    let half_named = (producer_id == -1) != (producer_epoch == -1);
    let result = if transactional_id.is_some() || half_named {
        Err(ErrorCode::InvalidRequest)
    } else {
        context.broker.init_producer_id(context.now).map_err(code_of)
    };
    let (code, id, epoch) = match result {
        Ok((id, _)) => (ErrorCode::None, id, 0),
        Err(code) => (code, -1, -1),
    };
    let w = &mut reply.w;
    w.i32(0);
    w.error(code);
    w.i64(id);
    w.i16(epoch);
    w.tags();
    Ok(result.map_or(Outcome::Now, |(_, lsn): (i64, Lsn)| Outcome::AfterSync(lsn)))
}

#[cfg(test)]
mod tests {
    use super::API;
    use crate::api::Outcome;
    use crate::api::testing::{Golden, TestBroker, body, golden};

    #[test]
    fn every_version_is_read_and_written_as_kafkas_own_classes_do() {
        golden(&API, TestBroker::new, GOLDEN);
    }

    #[test]
    fn no_id_is_given_out_twice_and_the_first_waits_for_its_block() {
        let mut test = TestBroker::new();
        let mut ask = || {
            let (outcome, bytes) = test.ask(22, 1, |w| {
                w.nullable_string(None);
                w.i32(1);
            });
            let mut r = body(&bytes, 22, 1);
            r.i32("throttle_time_ms").unwrap();
            assert_eq!(r.i16("error_code"), Ok(0));
            (outcome, r.i64("producer_id").unwrap())
        };
        let ((first, a), (second, b)) = (ask(), ask());
        assert_eq!((a, b), (0, 1));
        assert_eq!(first, second, "the second id is of the same block, which is not durable yet");
        assert!(matches!(first, Outcome::AfterSync(lsn) if lsn > 0));
    }

    #[test]
    fn half_an_identity_is_refused() {
        let mut test = TestBroker::new();
        let (outcome, bytes) = test.ask(22, 4, |w| {
            w.nullable_string(None);
            w.i32(1);
            w.i64(5);
            w.i16(-1);
            w.tags();
        });
        assert_eq!((outcome, &bytes[4..6]), (Outcome::Now, &[0, 42][..]));
    }

    /// Made with kafka-clients 4.3.0: its message classes wrote both sides.
    const GOLDEN: &[Golden] = &[
        (0..=1, "ffff7fffffff", "00000000000000000000000000000000"),
        (0..=1, "000274780000ea60", "00000000002affffffffffffffffffff"),
        (2..=2, "007fffffff00", "0000000000000000000000000000000000"),
        (2..=2, "0374780000ea6000", "00000000002affffffffffffffffffff00"),
        (3..=4, "007fffffff000000000000004d000300", "0000000000000000000000000000000000"),
        (3..=4, "0374780000ea60ffffffffffffffffffff00", "00000000002affffffffffffffffffff00"),
    ];
}
