//! `ottla configs`: the flags and lines of kafka-configs, for topics and brokers.

use super::Failure;
use super::args::{BootstrapArgs, read_properties};
use super::cluster::Cluster;
use crate::client::messages::configs::{
    Alteration, ConfigEntry, ConfigSource, DescribeConfigsRequest, IncrementalAlterConfigsRequest,
    ResourceType,
};
use crate::wire::ErrorCode;
use clap::Args;
use std::io::Write;

/// What `ottla configs` was asked to do.
#[derive(Args, Debug)]
#[command(group(clap::ArgGroup::new("action").required(true)))]
pub struct ConfigsArgs {
    #[command(flatten)]
    bootstrap: BootstrapArgs,
    /// Print settings that differ from the defaults
    #[arg(long, group = "action")]
    describe: bool,
    /// Change settings
    #[arg(long, group = "action")]
    alter: bool,
    /// With --describe: print all settings
    #[arg(long)]
    all: bool,
    /// topics or brokers
    #[arg(long, value_name = "TYPE", value_parser = ["topics", "topic", "brokers", "broker"])]
    entity_type: Option<String>,
    /// The topic's name or the broker's id
    #[arg(long, value_name = "NAME")]
    entity_name: Option<String>,
    /// The default of all brokers
    #[arg(long)]
    entity_default: bool,
    /// Short for --entity-type brokers --entity-default
    #[arg(long)]
    broker_defaults: bool,
    /// Short for --entity-type topics --entity-name
    #[arg(long, value_name = "TOPIC")]
    topic: Option<String>,
    /// Short for --entity-type brokers --entity-name
    #[arg(long, value_name = "ID")]
    broker: Option<String>,
    /// Settings to change: a=b,c=[d,e]
    #[arg(long, value_name = "NAME=VALUE,...")]
    add_config: Option<String>,
    /// A properties file with settings to change
    #[arg(long, value_name = "FILE", conflicts_with = "add_config")]
    add_config_file: Option<std::path::PathBuf>,
    /// Settings to put back to their defaults: a,b
    #[arg(long, value_name = "NAME,...")]
    delete_config: Option<String>,
    /// Understood for old scripts' sake
    #[arg(long, hide = true)]
    force: bool,
}

/// What the arguments mean: a kind, and the name if one was given.
fn entity(args: &ConfigsArgs) -> Result<(ResourceType, Option<&str>), Failure> {
    if let Some(topic) = &args.topic {
        return Ok((ResourceType::Topic, Some(topic)));
    }
    if let Some(broker) = &args.broker {
        return Ok((ResourceType::Broker, Some(broker)));
    }
    if args.broker_defaults {
        return Ok((ResourceType::Broker, Some("")));
    }
    let name = if args.entity_default { Some("") } else { args.entity_name.as_deref() };
    match args.entity_type.as_deref() {
        Some("topics" | "topic") => Ok((ResourceType::Topic, name)),
        Some(_) => Ok((ResourceType::Broker, name)),
        None => Err(Failure::usage(
            "At least one of --entity-type, --topic or --broker must be specified",
        )),
    }
}

/// Kafka's word for one resource of a kind.
fn word(kind: ResourceType) -> &'static str {
    match kind {
        ResourceType::Topic => "topic",
        ResourceType::Broker => "broker",
    }
}

/// Runs the command.
pub fn run(args: &ConfigsArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let (kind, name) = entity(args)?;
    let mut cluster = Cluster::new(&args.bootstrap, "ottla-configs")?;
    if args.alter {
        let Some(name) = name else {
            return Err(Failure::usage("--alter needs --entity-name (or --topic, --broker)"));
        };
        return alter(args, &mut cluster, kind, name, out);
    }
    let names = match name {
        Some(name) => vec![name.to_owned()],
        None => all_names(&mut cluster, kind)?,
    };
    for name in names {
        describe(args, &mut cluster, kind, &name, out)?;
    }
    Ok(())
}

fn all_names(cluster: &mut Cluster, kind: ResourceType) -> Result<Vec<String>, Failure> {
    let metadata = cluster.metadata(None, false)?;
    let mut names: Vec<String> = match kind {
        ResourceType::Topic => metadata.topics.into_iter().map(|topic| topic.name).collect(),
        ResourceType::Broker => metadata.brokers.iter().map(|b| b.node_id.to_string()).collect(),
    };
    names.sort();
    Ok(names)
}

/// Broker settings are each broker's own, so that broker must be asked.
fn call_for<R: crate::client::Request>(
    cluster: &mut Cluster,
    kind: ResourceType,
    name: &str,
    request: &R,
) -> Result<R::Response, Failure> {
    match (kind, name.parse::<i32>()) {
        (ResourceType::Broker, Ok(id)) => Ok(cluster.node(id)?.call(request)?),
        (ResourceType::Broker, Err(_)) if !name.is_empty() => {
            Err(Failure::usage(format!("'{name}' is not a broker's id")))
        }
        _ => Ok(cluster.call(request)?),
    }
}

fn describe(
    args: &ConfigsArgs,
    cluster: &mut Cluster,
    kind: ResourceType,
    name: &str,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let request = DescribeConfigsRequest { resources: vec![(kind, name)], include_synonyms: true };
    let results = call_for(cluster, kind, name, &request)?;
    let Some(result) = results.into_iter().next() else { return Ok(()) };
    match result.resource.error_code {
        ErrorCode::None => {}
        ErrorCode::UnknownTopicOrPartition => {
            writeln!(out, "The topic '{name}' doesn't exist and doesn't have dynamic config.")?;
            return Ok(());
        }
        code => {
            let message = result.resource.error_message.unwrap_or(code.to_string());
            return Err(Failure::new(message));
        }
    }
    let wanted = match (kind, name) {
        (ResourceType::Topic, _) => ConfigSource::DYNAMIC_TOPIC,
        (ResourceType::Broker, "") => ConfigSource::DYNAMIC_DEFAULT_BROKER,
        (ResourceType::Broker, _) => ConfigSource::DYNAMIC_BROKER,
    };
    writeln!(out, "{}", heading(args.all, kind, name))?;
    let mut configs = result.configs;
    configs.sort_by(|a, b| a.name.cmp(&b.name));
    for config in configs.iter().filter(|config| args.all || config.source == wanted) {
        writeln!(out, "{}", line(config))?;
    }
    Ok(())
}

fn heading(all: bool, kind: ResourceType, name: &str) -> String {
    match (name, all) {
        ("", _) => format!("Default configs for {}s in the cluster are:", word(kind)),
        (_, true) => format!("All configs for {} {name} are:", word(kind)),
        (_, false) => format!("Dynamic configs for {} {name} are:", word(kind)),
    }
}

fn line(config: &ConfigEntry) -> String {
    let text = |value: &Option<String>| value.as_deref().unwrap_or("null").to_owned();
    let synonyms: Vec<String> = config
        .synonyms
        .iter()
        .map(|s| format!("{}:{}={}", s.source.name(), s.name, text(&s.value)))
        .collect();
    format!(
        "  {}={} sensitive={} synonyms={{{}}}",
        config.name,
        text(&config.value),
        config.is_sensitive,
        synonyms.join(", ")
    )
}

fn alter(
    args: &ConfigsArgs,
    cluster: &mut Cluster,
    kind: ResourceType,
    name: &str,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let added = match &args.add_config_file {
        Some(path) => read_properties(path)?,
        None => parse_added(args.add_config.as_deref().unwrap_or_default())?,
    };
    let deleted = args.delete_config.as_deref().unwrap_or_default();
    let deleted = deleted.split(',').map(str::trim).filter(|name| !name.is_empty());
    let mut alterations: Vec<(&str, Alteration<'_>)> =
        added.iter().map(|(name, value)| (name.as_str(), Alteration::Set(value))).collect();
    alterations.extend(deleted.map(|name| (name, Alteration::Delete)));
    if alterations.is_empty() {
        return Err(Failure::usage("--alter needs --add-config or --delete-config"));
    }
    let request =
        IncrementalAlterConfigsRequest { resource_type: kind, resource_name: name, alterations };
    for result in call_for(cluster, kind, name, &request)? {
        if result.error_code != ErrorCode::None {
            let message = result.error_message.unwrap_or(result.error_code.to_string());
            return Err(Failure::new(message));
        }
    }
    match name {
        "" => {
            writeln!(out, "Completed updating default config for {}s in the cluster.", word(kind))?;
        }
        name => writeln!(out, "Completed updating config for {} {name}.", word(kind))?,
    }
    Ok(())
}

/// Reads `a=b,c=[d,e]`: commas inside square brackets belong to the value.
fn parse_added(text: &str) -> Result<Vec<(String, String)>, Failure> {
    let (mut parts, mut depth) = (vec![String::new()], 0usize);
    for c in text.chars() {
        match c {
            '[' => depth += 1,
            ']' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                parts.push(String::new());
                continue;
            }
            _ => {}
        }
        if let Some(part) = parts.last_mut() {
            part.push(c);
        }
    }
    let parts = parts.iter().map(|part| part.trim()).filter(|part| !part.is_empty());
    parts
        .map(|part| {
            let (name, value) = part.split_once('=').ok_or_else(|| {
                Failure::usage(format!("--add-config: '{part}' is not of the form name=value"))
            })?;
            let value = value.trim();
            let inner = value.strip_prefix('[').and_then(|value| value.strip_suffix(']'));
            Ok((name.trim().to_owned(), inner.unwrap_or(value).to_owned()))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::messages::configs::ConfigSynonym;

    #[test]
    fn commas_in_square_brackets_belong_to_the_value() {
        let parsed = parse_added("a=b,cleanup.policy=[compact,delete], e=f=g").unwrap();
        let expected = [("a", "b"), ("cleanup.policy", "compact,delete"), ("e", "f=g")];
        assert_eq!(parsed, expected.map(|(k, v)| (k.to_owned(), v.to_owned())));
        assert!(parse_added("a").is_err());
        assert_eq!(parse_added("").unwrap(), []);
    }

    #[test]
    fn a_setting_is_printed_as_kafka_prints_it() {
        let synonym = |source, value: &str| ConfigSynonym {
            name: if source == ConfigSource::DEFAULT {
                "log.segment.bytes"
            } else {
                "segment.bytes"
            }
            .to_owned(),
            value: Some(value.to_owned()),
            source,
        };
        let config = ConfigEntry {
            name: "segment.bytes".into(),
            value: Some("1048576".into()),
            read_only: false,
            source: ConfigSource::DYNAMIC_TOPIC,
            is_sensitive: false,
            synonyms: vec![
                synonym(ConfigSource::DYNAMIC_TOPIC, "1048576"),
                synonym(ConfigSource::DEFAULT, "1073741824"),
            ],
        };
        assert_eq!(
            line(&config),
            "  segment.bytes=1048576 sensitive=false \
             synonyms={DYNAMIC_TOPIC_CONFIG:segment.bytes=1048576, \
             DEFAULT_CONFIG:log.segment.bytes=1073741824}"
        );
        let nothing = ConfigEntry { value: None, synonyms: Vec::new(), ..config };
        assert_eq!(line(&nothing), "  segment.bytes=null sensitive=false synonyms={}");
    }
}
