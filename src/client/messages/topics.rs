//! CreateTopics (19), DeleteTopics (20), CreatePartitions (37).

use super::{read_error, read_list, read_nullable, visit_list, write_strings};
use crate::client::{Api, Request};
use crate::wire::reader::Read;
use crate::wire::{ErrorCode, Reader, Uuid, Writer};

/// A topic to create.
#[derive(Clone, Debug)]
pub struct NewTopic<'a> {
    /// Its name.
    pub name: &'a str,
    /// How many partitions, or -1 for the broker's default.
    pub num_partitions: i32,
    /// How many replicas, or -1 for the broker's default.
    pub replication_factor: i16,
    /// Its own settings.
    pub configs: Vec<(&'a str, &'a str)>,
}

/// Creates topics.
#[derive(Clone, Debug)]
pub struct CreateTopicsRequest<'a> {
    /// The topics.
    pub topics: Vec<NewTopic<'a>>,
    /// How long the broker may take.
    pub timeout_ms: i32,
    /// Only say what would happen.
    pub validate_only: bool,
}

/// What became of a topic, a group or a setting: a name, a code, and the code in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedResult {
    /// The name.
    pub name: String,
    /// What went wrong.
    pub error_code: ErrorCode,
    /// The same in words.
    pub error_message: Option<String>,
}

impl Request for CreateTopicsRequest<'_> {
    const API: Api = Api::CREATE_TOPICS;
    type Response = Vec<NamedResult>;

    fn write(&self, w: &mut Writer<'_>) {
        write_create_topics(w, &self.topics, self.timeout_ms, self.validate_only);
    }

    fn read_response(r: &mut Reader<'_>) -> Read<Self::Response> {
        let mut results = Vec::new();
        visit_created(r, |name, error_code, message| {
            let (name, error_message) = (name.to_owned(), message.map(str::to_owned));
            results.push(NamedResult { name, error_code, error_message });
        })?;
        Ok(results)
    }
}

/// Writes the order for these topics.
pub fn write_create_topics(
    w: &mut Writer<'_>,
    topics: &[NewTopic<'_>],
    timeout_ms: i32,
    validate_only: bool,
) {
    w.array(topics.len());
    for topic in topics {
        w.string(topic.name);
        w.i32(topic.num_partitions);
        w.i16(topic.replication_factor);
        w.array(0);
        w.array(topic.configs.len());
        for (name, value) in &topic.configs {
            w.string(name);
            w.nullable_string(Some(value));
            w.tags();
        }
        w.tags();
    }
    w.i32(timeout_ms);
    w.bool(validate_only);
    w.tags();
}

/// Reads the answer topic by topic, and holds none of it.
///
/// # Errors
/// The field that is malformed.
pub fn visit_created<'a>(
    r: &mut Reader<'a>,
    mut visit: impl FnMut(&'a str, ErrorCode, Option<&'a str>),
) -> Read<()> {
    r.i32("throttle_time_ms")?;
    visit_list(r, "topics", |r| {
        let name = r.string("name")?;
        r.since(7, Uuid::default(), |r| r.uuid("topic_id"))?;
        let error_code = read_error(r, "error_code")?;
        let message = r.nullable_string("error_message")?;
        r.since(5, -1, |r| r.i32("num_partitions"))?;
        r.since(5, -1, |r| r.i16("replication_factor"))?;
        r.since(5, (), |r| visit_list(r, "configs", skip_config))?;
        r.tags()?;
        visit(name, error_code, message);
        Ok(())
    })
}

fn skip_config(r: &mut Reader<'_>) -> Read<()> {
    r.string("config name")?;
    r.nullable_string("config value")?;
    r.bool("read_only")?;
    r.i8("config_source")?;
    r.bool("is_sensitive")?;
    r.tags()
}

/// Deletes topics.
#[derive(Clone, Debug)]
pub struct DeleteTopicsRequest<'a> {
    /// Their names.
    pub topic_names: Vec<&'a str>,
    /// How long the broker may take.
    pub timeout_ms: i32,
}

impl Request for DeleteTopicsRequest<'_> {
    const API: Api = Api::DELETE_TOPICS;
    type Response = Vec<NamedResult>;

    fn write(&self, w: &mut Writer<'_>) {
        write_strings(w, &self.topic_names);
        w.i32(self.timeout_ms);
        w.tags();
    }

    fn read_response(r: &mut Reader<'_>) -> Read<Self::Response> {
        r.i32("throttle_time_ms")?;
        read_list(r, "responses", |r| {
            let name = r.string("name")?.to_owned();
            let error_code = read_error(r, "error_code")?;
            let error_message = r.since(5, None, |r| read_nullable(r, "error_message"))?;
            r.tags()?;
            Ok(NamedResult { name, error_code, error_message })
        })
    }
}

/// Adds partitions.
#[derive(Clone, Debug)]
pub struct CreatePartitionsRequest<'a> {
    /// Each topic and how many partitions it shall have in all.
    pub topics: Vec<(&'a str, i32)>,
    /// How long the broker may take.
    pub timeout_ms: i32,
}

impl Request for CreatePartitionsRequest<'_> {
    const API: Api = Api::CREATE_PARTITIONS;
    type Response = Vec<NamedResult>;

    fn write(&self, w: &mut Writer<'_>) {
        w.array(self.topics.len());
        for (name, count) in &self.topics {
            w.string(name);
            w.i32(*count);
            w.nullable_array(None);
            w.tags();
        }
        w.i32(self.timeout_ms);
        w.bool(false);
        w.tags();
    }

    fn read_response(r: &mut Reader<'_>) -> Read<Self::Response> {
        r.i32("throttle_time_ms")?;
        read_list(r, "results", |r| {
            let name = r.string("name")?.to_owned();
            let error_code = read_error(r, "error_code")?;
            let error_message = read_nullable(r, "error_message")?;
            r.tags()?;
            Ok(NamedResult { name, error_code, error_message })
        })
    }
}
