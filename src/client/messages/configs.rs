//! DescribeConfigs (32) and IncrementalAlterConfigs (44): settings of topics and brokers.

use super::topics::NamedResult;
use super::{read_error, read_list, read_nullable};
use crate::client::{Api, Request};
use crate::wire::reader::Read;
use crate::wire::{ErrorCode, Reader, Writer};

/// What a setting belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i8)]
pub enum ResourceType {
    /// A topic.
    Topic = 2,
    /// A broker; the empty name is the default of all brokers.
    Broker = 4,
}

/// Where a value comes from (`DescribeConfigsResponse.ConfigSource`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConfigSource(pub i8);

impl ConfigSource {
    /// Set for this topic.
    pub const DYNAMIC_TOPIC: ConfigSource = ConfigSource(1);
    /// Set for this broker while it runs.
    pub const DYNAMIC_BROKER: ConfigSource = ConfigSource(2);
    /// Set for all brokers while they run.
    pub const DYNAMIC_DEFAULT_BROKER: ConfigSource = ConfigSource(3);
    /// From the configuration file.
    pub const STATIC_BROKER: ConfigSource = ConfigSource(4);
    /// The built-in default.
    pub const DEFAULT: ConfigSource = ConfigSource(5);

    /// Kafka's name of the source, as its tools print it.
    pub const fn name(self) -> &'static str {
        match self.0 {
            1 => "DYNAMIC_TOPIC_CONFIG",
            2 => "DYNAMIC_BROKER_CONFIG",
            3 => "DYNAMIC_DEFAULT_BROKER_CONFIG",
            4 => "STATIC_BROKER_CONFIG",
            5 => "DEFAULT_CONFIG",
            6 => "DYNAMIC_BROKER_LOGGER_CONFIG",
            7 => "DYNAMIC_CLIENT_METRICS_CONFIG",
            8 => "DYNAMIC_GROUP_CONFIG",
            _ => "UNKNOWN",
        }
    }
}

/// Asks for settings.
#[derive(Clone, Debug)]
pub struct DescribeConfigsRequest<'a> {
    /// The resources.
    pub resources: Vec<(ResourceType, &'a str)>,
    /// Whether to tell the values that the effective one hides.
    pub include_synonyms: bool,
}

/// A value that may be hidden behind another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigSynonym {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: Option<String>,
    /// Where it comes from.
    pub source: ConfigSource,
}

/// One setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigEntry {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: Option<String>,
    /// Whether it can be changed at all.
    pub read_only: bool,
    /// Where it comes from.
    pub source: ConfigSource,
    /// Whether its value is kept back.
    pub is_sensitive: bool,
    /// Itself and the values behind it.
    pub synonyms: Vec<ConfigSynonym>,
}

/// The settings of one resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DescribedConfigs {
    /// The resource, and what went wrong with it.
    pub resource: NamedResult,
    /// The settings.
    pub configs: Vec<ConfigEntry>,
}

impl Request for DescribeConfigsRequest<'_> {
    const API: Api = Api::DESCRIBE_CONFIGS;
    type Response = Vec<DescribedConfigs>;

    fn write(&self, w: &mut Writer<'_>) {
        w.array(self.resources.len());
        for (resource_type, name) in &self.resources {
            w.i8(*resource_type as i8);
            w.string(name);
            w.nullable_array(None);
            w.tags();
        }
        w.bool(self.include_synonyms);
        w.since(3, |w| w.bool(false));
        w.tags();
    }

    fn read_response(r: &mut Reader<'_>) -> Read<Self::Response> {
        r.i32("throttle_time_ms")?;
        read_list(r, "results", |r| {
            let (error_code, error_message) = read_code_and_message(r)?;
            r.i8("resource_type")?;
            let name = r.string("resource_name")?.to_owned();
            let configs = read_list(r, "configs", read_entry)?;
            r.tags()?;
            let resource = NamedResult { name, error_code, error_message };
            Ok(DescribedConfigs { resource, configs })
        })
    }
}

fn read_code_and_message(r: &mut Reader<'_>) -> Read<(ErrorCode, Option<String>)> {
    Ok((read_error(r, "error_code")?, read_nullable(r, "error_message")?))
}

fn read_entry(r: &mut Reader<'_>) -> Read<ConfigEntry> {
    let entry = ConfigEntry {
        name: r.string("config name")?.to_owned(),
        value: read_nullable(r, "config value")?,
        read_only: r.bool("read_only")?,
        source: ConfigSource(r.i8("config_source")?),
        is_sensitive: r.bool("is_sensitive")?,
        synonyms: read_list(r, "synonyms", |r| {
            let synonym = ConfigSynonym {
                name: r.string("synonym name")?.to_owned(),
                value: read_nullable(r, "synonym value")?,
                source: ConfigSource(r.i8("synonym source")?),
            };
            r.tags()?;
            Ok(synonym)
        })?,
    };
    r.since(3, 0, |r| r.i8("config_type"))?;
    r.since(3, None, |r| r.nullable_string("documentation"))?;
    r.tags()?;
    Ok(entry)
}

/// One change of one setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alteration<'a> {
    /// Sets it.
    Set(&'a str),
    /// Back to the default.
    Delete,
}

/// Changes settings of one resource, leaving all others as they are (KIP-339).
#[derive(Clone, Debug)]
pub struct IncrementalAlterConfigsRequest<'a> {
    /// What it is.
    pub resource_type: ResourceType,
    /// Its name.
    pub resource_name: &'a str,
    /// The changes.
    pub alterations: Vec<(&'a str, Alteration<'a>)>,
}

impl Request for IncrementalAlterConfigsRequest<'_> {
    const API: Api = Api::INCREMENTAL_ALTER_CONFIGS;
    type Response = Vec<NamedResult>;

    fn write(&self, w: &mut Writer<'_>) {
        w.array(1);
        w.i8(self.resource_type as i8);
        w.string(self.resource_name);
        w.array(self.alterations.len());
        for (name, alteration) in &self.alterations {
            w.string(name);
            let (operation, value) = match alteration {
                Alteration::Set(value) => (0, Some(*value)),
                Alteration::Delete => (1, None),
            };
            w.i8(operation);
            w.nullable_string(value);
            w.tags();
        }
        w.tags();
        w.bool(false);
        w.tags();
    }

    fn read_response(r: &mut Reader<'_>) -> Read<Self::Response> {
        r.i32("throttle_time_ms")?;
        read_list(r, "responses", |r| {
            let (error_code, error_message) = read_code_and_message(r)?;
            r.i8("resource_type")?;
            let name = r.string("resource_name")?.to_owned();
            r.tags()?;
            Ok(NamedResult { name, error_code, error_message })
        })
    }
}
