//! DescribeConfigs (32): the settings of topics and of the broker, and the broker's figures.
//!
//! Versions 1–4. v1 config_source, synonyms · v3 config_type, documentation · v4 flexible.
//!
//! Promises: every known setting is listed, set or not, since clients that read, modify and write
//! back would lose the others. A resource that has no settings here is refused on its own, the
//! connection stays (UIs ask for loggers and groups).
//! The broker's settings are followed by read-only figures named `ottla.status.*`, which
//! `ottla status` shows.

use super::shared::{RESOURCE_BROKER, RESOURCE_TOPIC, Refused, error_of, write_config};
use super::{Api, Context, Outcome, Reply};
use crate::broker::Refusal;
use crate::config::{ConfigEntry, ConfigSource, ValueType, describe_broker, describe_topic};
use crate::state::topics::check_name;
use crate::wire::{ErrorCode, ReadError, Reader, Writer};
use std::collections::BTreeSet;

/// The row.
pub const API: Api = Api {
    key: 32,
    name: "DescribeConfigs",
    versions: (1, 4),
    advertised_min: 1,
    flexible: 4,
    handle,
};

/// One resource of a request.
struct Resource<'a> {
    kind: i8,
    name: &'a str,
    /// Empty for all settings, as in Kafka (`ConfigHelper.describeConfigs`).
    keys: BTreeSet<&'a str>,
}

fn read_resource<'a>(r: &mut Reader<'a>) -> Result<Resource<'a>, ReadError> {
    let kind = r.i8("resource_type")?;
    let name = r.string("resource_name")?;
    let count = r.nullable_array("configuration_keys")?.unwrap_or(0);
    let keys = (0..count).map(|_| r.string("configuration_keys")).collect::<Result<_, _>>()?;
    r.tags()?;
    Ok(Resource { kind, name, keys })
}

fn handle(
    context: &mut Context<'_>,
    mut r: Reader<'_>,
    reply: &mut Reply<'_>,
) -> Result<Outcome, ReadError> {
    let count = r.array("resources")?;
    let mut resources = r;
    for _ in 0..count {
        read_resource(&mut r)?;
    }
    let include_synonyms = r.bool("include_synonyms")?;
    let include_documentation = r.since(3, false, |r| r.bool("include_documentation"))?;
    r.tags()?;
    let w = &mut reply.w;
    w.i32(0);
    w.array(count);
    for _ in 0..count {
        let resource = read_resource(&mut resources)?;
        let result = describe(context, &resource);
        let (code, message) = error_of(&result);
        w.error(code);
        w.nullable_string(message);
        w.i8(resource.kind);
        w.string(resource.name);
        let mut entries = result.unwrap_or_default();
        entries.retain(|entry| resource.keys.is_empty() || resource.keys.contains(entry.name));
        w.array(entries.len());
        for entry in &entries {
            write_entry(w, entry, include_synonyms, include_documentation);
        }
        w.tags();
        if w.overflowed() {
            // The connection is closed anyway: no work for what nobody will see.
            break;
        }
    }
    w.tags();
    Ok(Outcome::Now)
}

fn describe(context: &Context<'_>, resource: &Resource<'_>) -> Result<Vec<ConfigEntry>, Refused> {
    let invalid = |message: String| Err(Refused::new(ErrorCode::InvalidRequest, message));
    let config = context.broker.config();
    match resource.kind {
        RESOURCE_TOPIC => {
            check_name(resource.name).map_err(Refusal::InvalidTopicName)?;
            let topic = context.broker.topics().find(resource.name);
            let topic = topic.ok_or(Refusal::UnknownTopicOrPartition)?;
            Ok(describe_topic(config, &topic.overrides).collect())
        }
        RESOURCE_BROKER => {
            let node_id = context.node_id();
            let this = resource.name.parse() == Ok(node_id);
            if !this && !resource.name.is_empty() {
                return invalid(format!("this is node {node_id}, and there is no other"));
            }
            Ok(describe_broker(config).chain(status(context)).collect())
        }
        kind => invalid(format!("resources of type {kind} have no settings here")),
    }
}

fn write_entry(
    w: &mut Writer<'_>,
    entry: &ConfigEntry,
    include_synonyms: bool,
    include_documentation: bool,
) {
    write_config(w, entry);
    let synonyms = if include_synonyms { &entry.synonyms[..] } else { &[] };
    w.array(synonyms.len());
    for synonym in synonyms {
        w.string(synonym.name);
        w.nullable_string(Some(&synonym.value));
        w.i8(synonym.source as i8);
        w.tags();
    }
    w.since(3, |w| {
        w.i8(entry.kind as i8);
        w.nullable_string(include_documentation.then_some(entry.documentation));
    });
    w.tags();
}

/// The figures that `ottla status` shows.
fn status(context: &Context<'_>) -> Vec<ConfigEntry> {
    let broker = &context.broker;
    let (storage, figures, started) = (broker.storage(), broker.figures, broker.started());
    let counters = storage.counters();
    let now = context.now.mono;
    let segments = storage.partitions().flat_map(|(_, partition)| &partition.segments);
    let store_bytes: u64 = segments.map(|segment| u64::from(segment.bytes)).sum();
    let last_sync = counters.last_sync.map_or(-1, |at| now.since(at) as i64);
    let text = |name, value: &str, doc| figure(name, ValueType::String, value.to_owned(), doc);
    let number = |name, value: u64, doc| figure(name, ValueType::Long, value.to_string(), doc);
    let storage_words = match storage.failed() {
        None => "ok".to_owned(),
        Some(error) => format!("{error}; nothing is acknowledged until a restart"),
    };
    let data_dir = broker.config().log_dir.display().to_string();
    vec![
        text("ottla.status.version", env!("CARGO_PKG_VERSION"), "This program's version."),
        number("ottla.status.up.ms", now.since(started.mono), "Milliseconds since the start."),
        figure(
            "ottla.status.started.at.ms",
            ValueType::Long,
            started.wall_ms.to_string(),
            "The start, in milliseconds since 1970 by the machine's clock.",
        ),
        text("ottla.status.data.dir", &data_dir, "Where the data is."),
        text("ottla.status.cluster.id", broker.cluster_id(), "The cluster's id."),
        number("ottla.status.records.in", figures.records_in, "Records appended since start."),
        number("ottla.status.bytes.in", figures.bytes_in, "Bytes appended since start."),
        number("ottla.status.bytes.out", figures.bytes_out, "Bytes fetched since start."),
        number("ottla.status.connections", figures.connections, "Connections open now."),
        number("ottla.status.topics", broker.topics().len() as u64, "Topics."),
        number("ottla.status.partitions", broker.topics().partitions() as u64, "Partitions."),
        number("ottla.status.groups", broker.groups.len() as u64, "Consumer groups."),
        number("ottla.status.store.bytes", store_bytes, "Bytes of all segments."),
        figure(
            "ottla.status.last.sync.ago.ms",
            ValueType::Long,
            last_sync.to_string(),
            "Milliseconds since the last sync; -1 if there was none since start.",
        ),
        number("ottla.status.syncs", counters.syncs, "Syncs since start."),
        number("ottla.status.checkpoints", counters.checkpoints, "Checkpoints since start."),
        text("ottla.status.storage", &storage_words, "ok, or what failed."),
    ]
}

fn figure(
    name: &'static str,
    kind: ValueType,
    value: String,
    documentation: &'static str,
) -> ConfigEntry {
    ConfigEntry {
        name,
        value: Some(value),
        source: ConfigSource::Default,
        is_default: true,
        read_only: true,
        is_sensitive: false,
        kind,
        documentation,
        synonyms: Vec::new(),
    }
}
