//! The figures that a broker tells as read-only settings named `ottla.status.*` of its broker
//! resource, and how they are written for a person.
//!
//! Promises: a broker that tells none, such as Apache Kafka, is no error: there are no figures.

use super::Failure;
use super::cluster::Cluster;
use crate::client::Api;
use crate::client::messages::configs::{DescribeConfigsRequest, ResourceType};
use std::collections::BTreeMap;

/// What the settings that carry figures are called.
pub const PREFIX: &str = "ottla.status.";

/// Values by name.
pub type Figures = BTreeMap<String, String>;

/// All settings of a broker that have a value, its figures among them.
pub fn settings(cluster: &mut Cluster, node_id: i32) -> Result<Figures, Failure> {
    if cluster.any()?.version_of(Api::DESCRIBE_CONFIGS).is_err() {
        return Ok(Figures::new());
    }
    let name = node_id.to_string();
    let resources = vec![(ResourceType::Broker, name.as_str())];
    let request = DescribeConfigsRequest { resources, include_synonyms: false };
    let described = cluster.node(node_id)?.call(&request)?;
    let configs = described.into_iter().flat_map(|described| described.configs);
    Ok(configs.filter_map(|config| Some((config.name, config.value?))).collect())
}

/// The figures among a broker's settings, by the name behind the prefix.
pub fn figures(settings: Figures) -> Figures {
    let named = |(name, value): (String, String)| Some((name.strip_prefix(PREFIX)?.into(), value));
    settings.into_iter().filter_map(named).collect()
}

/// Takes a figure that is a number.
pub fn take_number(figures: &mut Figures, name: &str) -> Option<i64> {
    let number = figures.get(name)?.parse().ok()?;
    figures.remove(name);
    Some(number)
}

/// Bytes in the largest unit that fits.
pub fn bytes_text(bytes: i64) -> String {
    const UNITS: [&str; 4] = ["B", "KiB", "MiB", "GiB"];
    let (mut value, mut unit) = (bytes as f64, 0);
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{bytes} B") } else { format!("{value:.1} {}", UNITS[unit]) }
}

/// A count of records.
pub fn records_text(count: i64) -> String {
    if count == 1 { "1 record".to_owned() } else { format!("{count} records") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_and_records_read_well() {
        assert_eq!(bytes_text(512), "512 B");
        assert_eq!(bytes_text(1_572_864), "1.5 MiB");
        assert_eq!([records_text(1), records_text(2)], ["1 record", "2 records"]);
    }

    #[test]
    fn figures_lose_their_prefix_and_settings_are_none() {
        let pairs = [("ottla.status.syncs", "27"), ("log.dirs", "d"), ("ottla.status.x", "-")];
        let mut figures = figures(pairs.map(|(k, v)| (k.to_owned(), v.to_owned())).into());
        assert_eq!(take_number(&mut figures, "syncs"), Some(27));
        assert_eq!(take_number(&mut figures, "syncs"), None);
        assert_eq!(take_number(&mut figures, "x"), None);
        assert_eq!(figures.len(), 1);
    }
}
