//! Arguments that all tools share: where the broker is, and property files.

use super::{Failure, note};
use clap::Args;
use std::path::{Path, PathBuf};

/// Where the tools look for a broker unless told otherwise.
pub const BOOTSTRAP_DEFAULT: &str = "localhost:9092";

/// Where the broker is.
#[derive(Args, Clone, Debug, Default)]
pub struct BootstrapArgs {
    /// The broker(s) to ask first [default: localhost:9092]
    #[arg(long, alias = "bootstrap-servers", value_name = "HOST:PORT,...")]
    pub bootstrap_server: Option<String>,
    /// The old name of --bootstrap-server
    #[arg(long, value_name = "HOST:PORT,...")]
    broker_list: Option<String>,
    /// Understood for old scripts' sake, but there is no ZooKeeper: localhost:9092 is asked, or
    /// whatever --bootstrap-server names
    #[arg(long, value_name = "HOST:PORT")]
    zookeeper: Option<String>,
    /// Understood for old scripts' sake: every tool is the new one
    #[arg(long, hide = true)]
    new_consumer: bool,
    /// A file of client properties (client.id is used, security.protocol must be PLAINTEXT)
    #[arg(long, value_name = "FILE", alias = "producer.config", alias = "consumer.config")]
    pub command_config: Option<PathBuf>,
    /// Give up on a broker that does not answer for so many milliseconds
    #[arg(long, value_name = "MS", default_value_t = 30_000)]
    pub request_timeout_ms: u32,
}

impl BootstrapArgs {
    /// The addresses to ask, in order. Flags of old scripts are answered with one line.
    pub fn addresses(&self) -> Vec<String> {
        let chosen = self.bootstrap_server.as_deref().or(self.broker_list.as_deref());
        let chosen = chosen.unwrap_or(BOOTSTRAP_DEFAULT);
        if let Some(zookeeper) = &self.zookeeper {
            note(&format!(
                "ottla: --zookeeper {zookeeper} is not used, there is no ZooKeeper any more; \
                 asking the broker at {chosen} (--bootstrap-server)."
            ));
        } else if self.broker_list.is_some() {
            note(&format!(
                "ottla: --broker-list is the old name of --bootstrap-server; asking {chosen}."
            ));
        }
        chosen.split(',').map(str::trim).filter(|a| !a.is_empty()).map(str::to_owned).collect()
    }

    /// Whether only ZooKeeper was named: a script older than `kafka-topics --bootstrap-server`
    /// (2.2), which takes lines of that time apart.
    pub fn is_zookeepers(&self) -> bool {
        self.zookeeper.is_some() && self.bootstrap_server.is_none()
    }

    /// The properties of `--command-config`.
    pub fn properties(&self) -> Result<Vec<(String, String)>, Failure> {
        let Some(path) = &self.command_config else { return Ok(Vec::new()) };
        let properties = read_properties(path)?;
        check_security(&properties)?;
        Ok(properties)
    }
}

/// Refuses what we cannot do rather than talk in the clear to a port that expects TLS.
pub fn check_security(properties: &[(String, String)]) -> Result<(), Failure> {
    match last(properties, "security.protocol") {
        Some(protocol) if protocol != "PLAINTEXT" => Err(Failure::new(format!(
            "security.protocol={protocol} is not there: the tools speak PLAINTEXT only."
        ))),
        _ => Ok(()),
    }
}

/// Reads a Java properties file: `key=value` or `key: value`, `#` and `!` for comments.
pub fn read_properties(path: &Path) -> Result<Vec<(String, String)>, Failure> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| Failure::new(format!("cannot read {}: {error}", path.display())))?;
    Ok(text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with(['#', '!']))
        .map(|line| {
            let (key, value) = line.split_once(['=', ':']).unwrap_or((line, ""));
            (key.trim().to_owned(), value.trim().to_owned())
        })
        .collect())
}

/// Splits `key=value` arguments at their first `=`. A key without `=` is a usage error.
pub fn parse_properties(arguments: &[String]) -> Result<Vec<(String, String)>, Failure> {
    arguments
        .iter()
        .map(|argument| {
            let (key, value) = argument.split_once('=').ok_or_else(|| {
                Failure::usage(format!("'{argument}' is not of the form key=value"))
            })?;
            Ok((key.trim().to_owned(), value.to_owned()))
        })
        .collect()
}

/// The last value of a key: later arguments win.
pub fn last<'a>(properties: &'a [(String, String)], key: &str) -> Option<&'a str> {
    properties.iter().rev().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
}

/// A boolean property; absent is `false`.
pub fn is_true(properties: &[(String, String)], key: &str) -> bool {
    last(properties, key).is_some_and(|value| value.trim().eq_ignore_ascii_case("true"))
}

/// A number among properties.
pub fn number<T: std::str::FromStr>(
    properties: &[(String, String)],
    key: &str,
) -> Result<Option<T>, Failure> {
    last(properties, key)
        .map(|value| {
            let refusal = || Failure::usage(format!("{key}={value}: not a number that fits"));
            value.trim().parse().map_err(|_| refusal())
        })
        .transpose()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn properties_split_at_the_first_equals_sign_and_the_last_one_wins() {
        let arguments = ["key.separator==".to_owned(), "a=1".to_owned(), "a=2".to_owned()];
        let properties = parse_properties(&arguments).unwrap();
        assert_eq!(last(&properties, "key.separator"), Some("="));
        assert_eq!(last(&properties, "a"), Some("2"));
        assert_eq!(number::<i32>(&properties, "a"), Ok(Some(2)));
        assert!(number::<i32>(&properties, "key.separator").is_err());
        assert!(parse_properties(&["nothing".to_owned()]).is_err());
    }

    #[test]
    fn zookeeper_alone_means_the_default_broker() {
        let mut args = BootstrapArgs { zookeeper: Some("z:2181".into()), ..Default::default() };
        assert_eq!(args.addresses(), ["localhost:9092"]);
        args.broker_list = Some("a:1, b:2,".into());
        assert_eq!(args.addresses(), ["a:1", "b:2"]);
        args.bootstrap_server = Some("c:3".into());
        assert_eq!(args.addresses(), ["c:3"]);
    }

    #[test]
    fn a_properties_file_is_read_as_java_does() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "# c\n! d\nclient.id = x\nsecurity.protocol: SSL\n").unwrap();
        let properties = read_properties(file.path()).unwrap();
        assert_eq!(last(&properties, "client.id"), Some("x"));
        assert!(check_security(&properties).is_err());
    }
}
