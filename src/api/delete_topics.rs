//! DeleteTopics (20): topics and everything in them.
//!
//! Versions 1–6. v3 TOPIC_DELETION_DISABLED · v4 flexible · v5 error_message · v6 by name or by id.
//!
//! Promises: the answer waits until the deletion would survive a power cut; only then do the files
//! go. With `delete.topic.enable = false` nothing is deleted.

use super::shared::{Refused, TOPIC_TWICE, error_of, named_once, sort_names, with_names};
use super::{Api, Context, Outcome, Reply};
use crate::broker::{Names, Refusal};
use crate::state::topics::Topic;
use crate::wire::{ErrorCode, ReadError, Reader, Uuid};

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
    r: Reader<'_>,
    reply: &mut Reply<'_>,
) -> Result<Outcome, ReadError> {
    with_names(context, |context, names| handle_with(context, names, r, reply))
}

fn handle_with(
    context: &mut Context<'_>,
    names: &mut Names,
    mut r: Reader<'_>,
    reply: &mut Reply<'_>,
) -> Result<Outcome, ReadError> {
    let count = r.array("topics")?;
    let mut topics = r;
    let fits = sort_names(names, &mut r, count, |r| read_topic(r).map(|_| ()), read_or_nothing)?;
    r.i32("timeout_ms")?;
    r.tags()?;
    let w = &mut reply.w;
    w.i32(0);
    w.array(count);
    let mut last = None;
    for _ in 0..count {
        let named = read_topic(&mut topics)?;
        let once = || named_once(names, fits, &named, topics, read_or_nothing, TOPIC_TWICE);
        let found = find(context, w.version(), named, once);
        let (name, id) = match &found {
            Ok(topic) => (Some(topic.name), topic.id),
            Err(_) => named,
        };
        w.nullable_string(name);
        w.since(6, |w| w.uuid(&id));
        let deleted = found.map(|topic| topic.number).and_then(|number| {
            let lsn = context.broker.delete_topic(number, context.now)?;
            Ok(lsn)
        });
        let (code, message) = error_of(&deleted);
        w.error(code);
        w.since(5, |w| w.nullable_string(message));
        w.tags();
        last = last.max(deleted.ok());
    }
    w.tags();
    Ok(last.map_or(Outcome::Now, Outcome::AfterSync))
}

/// What [`read_topic`] reads, of a list that was read once before.
fn read_or_nothing(mut r: Reader<'_>) -> Named<'_> {
    read_topic(&mut r).unwrap_or((None, NO_ID))
}

/// A topic that may be deleted.
fn find<'a>(
    context: &'a Context<'_>,
    version: i16,
    named: Named<'_>,
    once: impl FnOnce() -> Result<(), Refused>,
) -> Result<Topic<'a>, Refused> {
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
    match named {
        (Some(_), id) if id != NO_ID => {
            return invalid("a topic is named either by its name or by its id");
        }
        (None, NO_ID) => return invalid("neither name nor id of the topic is given"),
        _ => once()?,
    }
    Ok(match named {
        (Some(name), _) => topics.find(name).ok_or(Refusal::UnknownTopicOrPartition)?,
        (None, id) => topics.find_id(&id).ok_or(Refusal::UnknownTopicId)?,
    })
}

#[cfg(test)]
mod tests {
    use super::API;
    use crate::api::Outcome;
    use crate::api::testing::{Golden, TestBroker, golden};
    use crate::config::BrokerConfig;

    fn with_topic() -> TestBroker {
        let mut test = TestBroker::new();
        test.topic("t", 1);
        test
    }

    #[test]
    fn every_version_is_read_and_written_as_kafkas_own_classes_do() {
        golden(&API, with_topic, GOLDEN);
    }

    fn ask(test: &mut TestBroker, version: i16, names: &[&str]) -> (Outcome, Vec<u8>) {
        test.ask(20, version, |w| {
            w.array(names.len());
            names.iter().for_each(|name| w.string(name));
            w.i32(1000);
        })
    }

    #[test]
    fn where_deletion_is_disabled_nothing_is_deleted() {
        let config = BrokerConfig { delete_topic_enable: false, ..TestBroker::config() };
        let mut test = TestBroker::with(config);
        test.topic("t", 1);
        for (version, code) in [(1, 42), (3, 73)] {
            let (outcome, bytes) = ask(&mut test, version, &["t"]);
            assert_eq!((outcome, bytes.last()), (Outcome::Now, Some(&code)));
        }
        assert_eq!(test.broker.topics().len(), 1);
    }

    #[test]
    fn a_topic_that_is_named_twice_stays() {
        let mut test = with_topic();
        let (outcome, bytes) = ask(&mut test, 1, &["t", "t"]);
        assert_eq!((outcome, bytes.last()), (Outcome::Now, Some(&42)));
        assert!(test.broker.topics().find("t").is_some());
    }

    #[test]
    fn the_answer_waits_for_the_deletion() {
        let mut test = with_topic();
        assert!(matches!(ask(&mut test, 1, &["t", "u"]).0, Outcome::AfterSync(lsn) if lsn > 0));
        assert!(test.broker.topics().is_empty());
    }

    /// Made with kafka-clients 4.3.0: its message classes wrote both sides.
    const GOLDEN: &[Golden] = &[
        (
            1..=3,
            "0000000200017400076d697373696e6700001388",
            "0000000000000002000174000000076d697373696e670003",
        ),
        (4..=4, "030274086d697373696e670000138800", "00000000030274000000086d697373696e6700030000"),
        (
            5..=5,
            "030274086d697373696e670000138800",
            "0000000003027400000000086d697373696e670003247468657265206973206e6f207375636820746f70\
             6963206f7220706172746974696f6e0000",
        ),
        (
            6..=6,
            "0302740000000000000000000000000000000000086d697373696e670000000000000000000000000000\
             0000000000138800",
            "0000000003027428efe333b2664103ae789e6aa1b965f400000000086d697373696e6700000000000000\
             0000000000000000000003247468657265206973206e6f207375636820746f706963206f722070617274\
             6974696f6e0000",
        ),
        (
            6..=6,
            "050028efe333b2664103ae789e6aa1b965f4000047526757130f4f5286c45d188009454f000000000000\
             00000000000000000000000000027428efe333b2664103ae789e6aa1b965f4000000138800",
            "0000000005027428efe333b2664103ae789e6aa1b965f4000000000047526757130f4f5286c45d188009\
             454f00641f7468657265206973206e6f20746f7069632077697468207468697320696400000000000000\
             0000000000000000000000002a2a6e656974686572206e616d65206e6f72206964206f66207468652074\
             6f70696320697320676976656e00027428efe333b2664103ae789e6aa1b965f4002a316120746f706963\
             206973206e616d65642065697468657220627920697473206e616d65206f722062792069747320696400\
             00",
        ),
    ];
}
