//! `ottla apis`: which APIs in which versions, of this binary or of a running broker.

use super::Failure;
use super::args::BootstrapArgs;
use super::cluster::Cluster;
use super::table::{row, width};
use crate::client::api;
use crate::client::messages::api_versions::ApiVersionsRequest;
use clap::Args;
use std::io::Write;

/// What `ottla apis` was asked to do.
#[derive(Args, Debug)]
pub struct ApisArgs {
    #[command(flatten)]
    bootstrap: BootstrapArgs,
    /// As a table in Markdown
    #[arg(long)]
    markdown: bool,
}

/// One API and the versions that are served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiRow {
    /// The API key.
    pub key: i16,
    /// Kafka's name of it.
    pub name: String,
    /// The lowest version advertised.
    pub version_min: i16,
    /// The highest version advertised.
    pub version_max: i16,
}

/// The rows of this binary's own table of APIs.
fn own_table() -> Vec<ApiRow> {
    let row = |api: &crate::api::Api| ApiRow {
        key: api.key,
        name: api.name.to_owned(),
        version_min: api.advertised_min,
        version_max: api.versions.1,
    };
    crate::api::TABLE.iter().map(row).collect()
}

/// Runs the command. Without `--bootstrap-server` it speaks of this binary.
pub fn run(args: &ApisArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let rows =
        if args.bootstrap.bootstrap_server.is_some() { ask(&args.bootstrap)? } else { own_table() };
    for line in lines(&rows, args.markdown) {
        writeln!(out, "{line}")?;
    }
    Ok(())
}

fn ask(bootstrap: &BootstrapArgs) -> Result<Vec<ApiRow>, Failure> {
    let mut cluster = Cluster::new(bootstrap, "ottla-apis")?;
    let request = ApiVersionsRequest {
        client_software_name: "ottla",
        client_software_version: env!("CARGO_PKG_VERSION"),
    };
    let response = cluster.call(&request)?;
    let mut rows: Vec<ApiRow> = response
        .api_keys
        .iter()
        .map(|api| ApiRow {
            key: api.api_key,
            name: api::name(api.api_key).unwrap_or("(unknown)").to_owned(),
            version_min: api.min_version,
            version_max: api.max_version,
        })
        .collect();
    rows.sort_by_key(|row| row.key);
    Ok(rows)
}

fn lines(rows: &[ApiRow], markdown: bool) -> Vec<String> {
    let versions = |row: &ApiRow| match row.version_min == row.version_max {
        true => row.version_min.to_string(),
        false => format!("{}–{}", row.version_min, row.version_max),
    };
    let mut lines = Vec::new();
    if markdown {
        lines.push("| key | API | versions |".to_owned());
        lines.push("|----:|-----|----------|".to_owned());
        let line = |row: &ApiRow| format!("| {} | {} | {} |", row.key, row.name, versions(row));
        lines.extend(rows.iter().map(line));
        return lines;
    }
    let names = width("API".len(), rows.iter().map(|row| row.name.as_str()));
    lines.push(row(&[("KEY", 4), ("API", names), ("VERSIONS", 0)]));
    for api in rows {
        let (key, versions) = (api.key.to_string(), versions(api));
        lines.push(row(&[(&key, 4), (&api.name, names), (&versions, 0)]));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_printed_as_columns_and_as_markdown() {
        let rows = [
            ApiRow { key: 0, name: "Produce".into(), version_min: 0, version_max: 9 },
            ApiRow { key: 47, name: "OffsetDelete".into(), version_min: 0, version_max: 0 },
        ];
        assert_eq!(
            lines(&rows, false),
            ["KEY  API          VERSIONS", "0    Produce      0–9", "47   OffsetDelete 0"]
        );
        assert_eq!(lines(&rows, true)[2..], ["| 0 | Produce | 0–9 |", "| 47 | OffsetDelete | 0 |"]);
    }
}
