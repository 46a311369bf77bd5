//! AlterConfigs (33): a topic's settings, replaced as a whole.
//!
//! Versions 0–2. v2 flexible. Deprecated since Kafka 2.3, and all that Java 2.1.0's admin has.
//! [`alter`] serves IncrementalAlterConfigs (44) as well, which differs by one field.
//!
//! Promises: a resource is changed whole or not at all, and each on its own; the answer waits until
//! the changes would survive a power cut.
//! Absent: changing the broker's own settings while it runs, but for what steers forwarding, which
//! is no setting of the file (`forwarding`), and which only IncrementalAlterConfigs takes.

use super::shared::{
    RESOURCE_BROKER, RESOURCE_TOPIC, Refused, error_of, named_once, sort_names, with_names,
};
use super::{Api, Context, Outcome, Reply, forwarding};
use crate::broker::{Names, Refusal};
use crate::config::{AlterOperation, TopicOverrides};
use crate::state::topics::check_name;
use crate::storage::Lsn;
use crate::wire::{ErrorCode, ReadError, Reader};

/// The row.
pub const API: Api =
    Api { key: 33, name: "AlterConfigs", versions: (0, 2), advertised_min: 0, flexible: 2, handle };

fn handle(
    context: &mut Context<'_>,
    r: Reader<'_>,
    reply: &mut Reply<'_>,
) -> Result<Outcome, ReadError> {
    alter(context, r, reply, Way::Replace)
}

/// How settings are changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// What is not named goes back to its default.
    Replace,
    /// What is not named stays as it is, and every setting has an operation (KIP-339).
    Incremental,
}

/// One setting's change: its name, what to do, and the value.
type Change<'a> = (&'a str, AlterOperation, Option<&'a str>);

/// One resource of a request.
struct Resource<'a> {
    kind: i8,
    name: &'a str,
    /// The changes that stand at the cursor, and how many they are.
    operations: Result<(usize, Reader<'a>), Refused>,
}

/// A setting's name, the operation's number, and the value.
fn read_change<'a>(
    r: &mut Reader<'a>,
    way: Way,
) -> Result<(&'a str, i8, Option<&'a str>), ReadError> {
    let config = r.string("config name")?;
    let number = match way {
        Way::Replace => AlterOperation::Set as i8,
        Way::Incremental => r.i8("config_operation")?,
    };
    let value = r.nullable_string("config value")?;
    r.tags()?;
    Ok((config, number, value))
}

/// Changes that were looked at by [`read_resource`].
fn changes(count: usize, mut r: Reader<'_>, way: Way) -> impl Iterator<Item = Change<'_>> {
    (0..count).map_while(move |_| {
        let (config, number, value) = read_change(&mut r, way).ok()?;
        Some((config, AlterOperation::from_i8(number)?, value))
    })
}

fn read_resource<'a>(r: &mut Reader<'a>, way: Way) -> Result<Resource<'a>, ReadError> {
    let kind = r.i8("resource_type")?;
    let name = r.string("resource_name")?;
    let count = r.array("configs")?;
    let mut operations = Ok((count, *r));
    for _ in 0..count {
        let (config, number, _) = read_change(r, way)?;
        if operations.is_ok() && AlterOperation::from_i8(number).is_none() {
            let message = format!("{config}: there is no operation {number}");
            operations = Err(Refused::new(ErrorCode::InvalidRequest, message));
        }
    }
    r.tags()?;
    Ok(Resource { kind, name, operations })
}

/// Type and name of the resource at a cursor.
fn key(mut r: Reader<'_>) -> (i8, &str) {
    let kind = r.i8("resource_type").unwrap_or_default();
    (kind, r.string("resource_name").unwrap_or_default())
}

/// Serves both APIs.
///
/// # Errors
/// [`ReadError`].
pub fn alter(
    context: &mut Context<'_>,
    r: Reader<'_>,
    reply: &mut Reply<'_>,
    way: Way,
) -> Result<Outcome, ReadError> {
    with_names(context, |context, names| alter_with(context, names, r, reply, way))
}

fn alter_with(
    context: &mut Context<'_>,
    names: &mut Names,
    mut r: Reader<'_>,
    reply: &mut Reply<'_>,
    way: Way,
) -> Result<Outcome, ReadError> {
    let count = r.array("resources")?;
    let mut resources = r;
    let skip = |r: &mut Reader<'_>| read_resource(r, way).map(|_| ());
    let fits = sort_names(names, &mut r, count, skip, key)?;
    let validate_only = r.bool("validate_only")?;
    r.tags()?;
    let w = &mut reply.w;
    w.i32(0);
    w.array(count);
    let mut last = None;
    for _ in 0..count {
        let resource = read_resource(&mut resources, way)?;
        let (kind, name) = (resource.kind, resource.name);
        let twice = "the request names this resource more than once";
        let once = named_once(names, fits, &(kind, name), resources, key, twice);
        let result = once.and_then(|()| change(context, resource, way, validate_only));
        let (code, message) = error_of(&result);
        w.error(code);
        w.nullable_string(message);
        w.i8(kind);
        w.string(name);
        w.tags();
        last = last.max(result.ok().flatten());
    }
    w.tags();
    Ok(last.map_or(Outcome::Now, Outcome::AfterSync))
}

fn change(
    context: &mut Context<'_>,
    resource: Resource<'_>,
    way: Way,
    validate_only: bool,
) -> Result<Option<Lsn>, Refused> {
    match resource.kind {
        RESOURCE_TOPIC => {}
        RESOURCE_BROKER => {
            let node_id = context.node_id();
            let this = resource.name.is_empty() || resource.name.parse() == Ok(node_id);
            if way == Way::Incremental && this {
                let (count, r) = resource.operations?;
                let operations: Vec<Change<'_>> = changes(count, r, way).collect();
                if let Some(steered) = forwarding::steer(context, &operations, validate_only) {
                    return steered;
                }
            }
            let message = "the broker's settings are in its file and on its command line; change \
                           them there and restart it";
            return Err(Refused::new(ErrorCode::InvalidRequest, message));
        }
        kind => {
            let message = format!("resources of type {kind} have no settings here");
            return Err(Refused::new(ErrorCode::InvalidRequest, message));
        }
    }
    check_name(resource.name).map_err(Refusal::InvalidTopicName)?;
    let topic = context.broker.topics().find(resource.name);
    let topic = topic.ok_or(Refusal::UnknownTopicOrPartition)?;
    let number = topic.number;
    let nothing = TopicOverrides::default();
    let before = if way == Way::Incremental { topic.overrides } else { &nothing };
    let (count, r) = resource.operations?;
    let after = before.altered(changes(count, r, way), context.broker.config())?;
    if validate_only {
        return Ok(None);
    }
    Ok(Some(context.broker.configure_topic(number, after, context.now)?))
}

#[cfg(test)]
mod tests {
    use super::API;
    use crate::api::Outcome;
    use crate::api::testing::{Golden, TestBroker, body, golden};

    fn with_topics() -> TestBroker {
        let mut test = TestBroker::new();
        test.topic("t", 1);
        test.topic("u", 1);
        let number = test.broker.topics().find("t").unwrap().number;
        let mut before = crate::config::TopicOverrides::default();
        before.set("segment.ms", "9000").unwrap();
        test.broker.configure_topic(number, before, test.now).unwrap();
        test.sync();
        test
    }

    #[test]
    fn every_version_is_read_and_written_as_kafkas_own_classes_do() {
        golden(&API, with_topics, GOLDEN);
    }

    /// Sets `retention.ms` of each topic, in version 0.
    fn ask(test: &mut TestBroker, topics: &[&str], value: &str, validate_only: bool) -> Outcome {
        let (outcome, _) = test.ask(33, 0, |w| {
            w.array(topics.len());
            for topic in topics {
                w.i8(2);
                w.string(topic);
                w.array(1);
                w.string("retention.ms");
                w.nullable_string(Some(value));
            }
            w.bool(validate_only);
        });
        outcome
    }

    fn own(test: &TestBroker, topic: &str, name: &str) -> Option<String> {
        test.broker.topics().find(topic)?.overrides.get(name).map(str::to_owned)
    }

    #[test]
    fn what_is_not_named_goes_back_to_its_default() {
        let mut test = with_topics();
        assert!(matches!(ask(&mut test, &["t"], "7", false), Outcome::AfterSync(_)));
        assert_eq!(own(&test, "t", "retention.ms").as_deref(), Some("7"));
        assert_eq!(own(&test, "t", "segment.ms"), None, "was set before");
    }

    #[test]
    fn a_refused_validated_or_doubled_change_changes_nothing() {
        let mut test = with_topics();
        assert_eq!(ask(&mut test, &["t"], "soon", false), Outcome::Now);
        assert_eq!(ask(&mut test, &["t"], "7", true), Outcome::Now);
        assert_eq!(ask(&mut test, &["t", "t"], "7", false), Outcome::Now);
        assert_eq!(own(&test, "t", "retention.ms"), None);
        assert_eq!(own(&test, "t", "segment.ms").as_deref(), Some("9000"));
        assert!(matches!(ask(&mut test, &["t", "u"], "7", false), Outcome::AfterSync(_)));
        assert_eq!(own(&test, "u", "retention.ms").as_deref(), Some("7"));
    }

    #[test]
    fn a_name_that_no_topic_can_have_is_told_from_one_that_is_not_there() {
        let mut test = with_topics();
        for (name, code) in [("a/b", 17), ("missing", 3)] {
            let (_, bytes) = test.ask(33, 0, |w| {
                w.array(1);
                w.i8(2);
                w.string(name);
                w.array(0);
                w.bool(false);
            });
            let mut r = body(&bytes, 33, 0);
            r.i32("throttle_time_ms").unwrap();
            assert_eq!(r.array("responses"), Ok(1));
            assert_eq!(r.i16("error_code"), Ok(code), "{name}");
        }
    }

    /// Made with kafka-clients 4.3.0: its message classes wrote both sides.
    const GOLDEN: &[Golden] = &[
        (
            0..=1,
            "000000040200017400000001000d7365676d656e742e62797465730007313034383537360200076d6973\
             73696e6700000001000c726574656e74696f6e2e6d730001310400013100000001000e6e756d2e706172\
             746974696f6e73000132100001780000000100017900013200",
            "00000000000000040000ffff02000174000300237468657265206973206e6f207375636820746f706963\
             206f7220706172746974696f6e0200076d697373696e67002a005f7468652062726f6b65722773207365\
             7474696e67732061726520696e206974732066696c6520616e64206f6e2069747320636f6d6d616e6420\
             6c696e653b206368616e6765207468656d20746865726520616e64207265737461727420697404000131\
             002a002a7265736f7572636573206f6620747970652031362068617665206e6f2073657474696e677320\
             6865726510000178",
        ),
        (
            2..=2,
            "05020274020e7365676d656e742e62797465730831303438353736000002086d697373696e67020d7265\
             74656e74696f6e2e6d7302310000040231020f6e756d2e706172746974696f6e73023200001002780202\
             79023200000000",
            "0000000005000000020274000003247468657265206973206e6f207375636820746f706963206f722070\
             6172746974696f6e02086d697373696e6700002a607468652062726f6b657227732073657474696e6773\
             2061726520696e206974732066696c6520616e64206f6e2069747320636f6d6d616e64206c696e653b20\
             6368616e6765207468656d20746865726520616e64207265737461727420697404023100002a2b726573\
             6f7572636573206f6620747970652031362068617665206e6f2073657474696e67732068657265100278\
             0000",
        ),
    ];
}
