//! stub
use super::{BrokerConfig, ConfigError, Note};
use std::path::Path;

/// stub
pub fn load(
    _file_name: &str,
    _text: &str,
    _sets: &[String],
    _listens: &[String],
    _data: Option<&Path>,
) -> Result<(BrokerConfig, Vec<Note>), Vec<ConfigError>> {
    Ok((BrokerConfig::default(), Vec::new()))
}
