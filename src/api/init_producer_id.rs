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
