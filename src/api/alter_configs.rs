//! AlterConfigs (33): a topic's settings, replaced as a whole.
//!
//! Versions 0–2. v2 flexible. Deprecated since Kafka 2.3, and all that Java 2.1.0's admin has.
//! [`alter`] serves IncrementalAlterConfigs (44) as well, which differs by one field.
//!
//! Promises: a resource is changed whole or not at all, and each on its own; the answer waits until
//! the changes would survive a power cut.
//! Absent: changing the broker's own settings while it runs.

use super::shared::{RESOURCE_BROKER, RESOURCE_TOPIC, Refused, error_of, repeated};
use super::{Api, Context, Outcome, Reply};
use crate::broker::Refusal;
use crate::config::{AlterOperation, TopicOverrides};
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

/// One resource of a request.
struct Resource<'a> {
    kind: i8,
    name: &'a str,
    operations: Result<Vec<(&'a str, AlterOperation, Option<&'a str>)>, Refused>,
}

fn read_resource<'a>(r: &mut Reader<'a>, way: Way) -> Result<Resource<'a>, ReadError> {
    let kind = r.i8("resource_type")?;
    let name = r.string("resource_name")?;
    let mut operations = Ok(Vec::new());
    for _ in 0..r.array("configs")? {
        let config = r.string("config name")?;
        let number = match way {
            Way::Replace => AlterOperation::Set as i8,
            Way::Incremental => r.i8("config_operation")?,
        };
        let value = r.nullable_string("config value")?;
        r.tags()?;
        match (AlterOperation::from_i8(number), &mut operations) {
            (Some(operation), Ok(list)) => list.push((config, operation, value)),
            (None, Ok(_)) => {
                let message = format!("{config}: there is no operation {number}");
                operations = Err(Refused::new(ErrorCode::InvalidRequest, message));
            }
            (_, Err(_)) => {}
        }
    }
    r.tags()?;
    Ok(Resource { kind, name, operations })
}

/// Serves both APIs.
///
/// # Errors
/// [`ReadError`].
pub fn alter(
    context: &mut Context<'_>,
    mut r: Reader<'_>,
    reply: &mut Reply<'_>,
    way: Way,
) -> Result<Outcome, ReadError> {
    let count = r.array("resources")?;
    let mut resources = r;
    let twice = repeated((0..count).map(|_| {
        let resource = read_resource(&mut r, way)?;
        Ok((resource.kind, resource.name))
    }))?;
    let validate_only = r.bool("validate_only")?;
    r.tags()?;
    let w = &mut reply.w;
    w.i32(0);
    w.array(count);
    let mut last = None;
    for _ in 0..count {
        let resource = read_resource(&mut resources, way)?;
        let (kind, name) = (resource.kind, resource.name);
        let result = if twice.contains(&(kind, name)) {
            let message = "the request names this resource more than once";
            Err(Refused::new(ErrorCode::InvalidRequest, message))
        } else {
            change(context, resource, way, validate_only)
        };
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
    let invalid = |message: String| Err(Refused::new(ErrorCode::InvalidRequest, message));
    match resource.kind {
        RESOURCE_TOPIC => {}
        RESOURCE_BROKER => {
            return invalid(
                "the broker's settings are in its file and on its command line; change them \
                 there and restart it"
                    .to_owned(),
            );
        }
        kind => return invalid(format!("resources of type {kind} have no settings here")),
    }
    let topic = context.broker.topics().find(resource.name);
    let topic = topic.ok_or(Refusal::UnknownTopicOrPartition)?;
    let number = topic.number;
    let nothing = TopicOverrides::default();
    let before = if way == Way::Incremental { &topic.overrides } else { &nothing };
    let after = before.altered(resource.operations?, context.broker.config())?;
    if validate_only {
        return Ok(None);
    }
    Ok(Some(context.broker.configure_topic(number, after, context.now)?))
}
