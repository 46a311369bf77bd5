//! DeleteTopics (20): topics and everything in them.
//!
//! Versions 1–6. v3 TOPIC_DELETION_DISABLED · v4 flexible · v5 error_message · v6 by name or by id.
//!
//! Promises: the answer waits until the deletion would survive a power cut; only then do the files
//! go. With `delete.topic.enable = false` nothing is deleted.

use super::shared::{Refused, error_of, repeated};
use super::{Api, Context, Outcome, Reply};
use crate::broker::Refusal;
use crate::storage::Lsn;
use crate::wire::{ErrorCode, ReadError, Reader, Uuid, Writer};
use std::collections::BTreeSet;

/// The row.
pub const API: Api =
    Api { key: 20, name: "DeleteTopics", versions: (1, 6), advertised_min: 1, flexible: 4, handle };

const NO_ID: Uuid = [0; 16];

/// How a request names a topic.
type Named<'a> = (Option<&'a str>, Uuid);

fn read_topic<'a>(r: &mut Reader<'a>) -> Result<Named<'a>, ReadError> {
    if r.version() < 6 {
        return Ok((Some(r.string("topic_names")?), NO_ID));
    }
    let named = (r.nullable_string("name")?, r.uuid("topic_id")?);
    r.tags()?;
    Ok(named)
}

fn handle(
    context: &mut Context<'_>,
    mut r: Reader<'_>,
    reply: &mut Reply<'_>,
) -> Result<Outcome, ReadError> {
    let count = r.array("topics")?;
    let mut topics = r;
    let twice = repeated((0..count).map(|_| read_topic(&mut r)))?;
    r.i32("timeout_ms")?;
    r.tags()?;
    let w = &mut reply.w;
    w.i32(0);
    w.array(count);
    let mut last = None;
    for _ in 0..count {
        let named = read_topic(&mut topics)?;
        let found = find(context, w.version(), named, &twice);
        let (name, id) = match &found {
            Ok((_, name, id)) => (Some(name.as_str()), *id),
            Err(_) => named,
        };
        let deleted = found.as_ref().map_err(Clone::clone).and_then(|(number, _, _)| {
            let lsn = context.broker.delete_topic(*number, context.now)?;
            Ok(lsn)
        });
        write_result(w, name, &id, &deleted);
        last = last.max(deleted.ok());
    }
    w.tags();
    Ok(last.map_or(Outcome::Now, Outcome::AfterSync))
}

/// Number, name and id of a topic that may be deleted.
fn find(
    context: &Context<'_>,
    version: i16,
    named: Named<'_>,
    twice: &BTreeSet<Named<'_>>,
) -> Result<(u32, String, Uuid), Refused> {
    if !context.broker.config().delete_topic_enable {
        // The code is known to clients since version 3.
        let code = match version {
            3.. => ErrorCode::TopicDeletionDisabled,
            _ => ErrorCode::InvalidRequest,
        };
        return Err(Refused::new(code, "delete.topic.enable is false here"));
    }
    let invalid = |message| Err(Refused::new(ErrorCode::InvalidRequest, message));
    let topics = context.broker.topics();
    let topic = match named {
        (Some(_), id) if id != NO_ID => {
            return invalid("a topic is named either by its name or by its id");
        }
        (None, NO_ID) => return invalid("neither name nor id of the topic is given"),
        _ if twice.contains(&named) => {
            return invalid("the request names this topic more than once");
        }
        (Some(name), _) => topics.find(name).ok_or(Refusal::UnknownTopicOrPartition)?,
        (None, id) => topics.find_id(&id).ok_or(Refusal::UnknownTopicId)?,
    };
    Ok((topic.number, topic.name.clone(), topic.id))
}

fn write_result(w: &mut Writer<'_>, name: Option<&str>, id: &Uuid, deleted: &Result<Lsn, Refused>) {
    let (code, message) = error_of(deleted);
    w.nullable_string(name);
    w.since(6, |w| w.uuid(id));
    w.error(code);
    w.since(5, |w| w.nullable_string(message));
    w.tags();
}
