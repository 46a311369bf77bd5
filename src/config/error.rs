//! What is wrong with a setting, and what is merely worth knowing about one.
//!
//! Promises: either prints as one line that names the place, the setting, and what to do.

use super::value::unit;
use std::fmt;

/// Why a setting was refused; `api` maps it to a Kafka error code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// No setting has this name: INVALID_CONFIG (40).
    UnknownKey,
    /// The value is not allowed: INVALID_CONFIG (40).
    InvalidValue,
    /// The request itself makes no sense: INVALID_REQUEST (42).
    InvalidRequest,
    /// It asks for something that is not there yet, and would be dangerous to ignore.
    NotThereYet,
    /// The file cannot be read as what it is.
    Syntax,
}

/// A setting that was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// File and line, or flag; empty where a client asked.
    pub place: String,
    /// The name of the setting; empty where the file itself is wrong.
    pub key: String,
    /// The kind of refusal.
    pub reason: Reason,
    /// What is wrong and what is allowed, as the rest of a sentence that begins with `key`.
    pub message: String,
}

impl ConfigError {
    /// A refusal without a place.
    pub fn new(key: &str, reason: Reason, message: &str) -> ConfigError {
        let (key, message) = (key.to_string(), message.to_string());
        ConfigError { place: String::new(), key, reason, message }
    }

    /// A value outside of what is allowed.
    pub fn illegal(key: &str, given: &str, allowed: &str) -> ConfigError {
        let given: String = given.chars().take(GIVEN_CHARS_SHOWN).collect();
        let mut message = format!("{given:?} is not possible; it takes {allowed}");
        if !unit(key).is_empty() {
            message.push_str(&format!(" ({})", unit(key)));
        }
        ConfigError::new(key, Reason::InvalidValue, &message)
    }

    /// The same refusal, with its place.
    pub fn at(self, place: &str) -> ConfigError {
        ConfigError { place: place.to_string(), ..self }
    }
}

/// How much of a wrong value a message repeats: enough to recognise it, short enough for a line.
const GIVEN_CHARS_SHOWN: usize = 80;

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        line(f, &self.place, &self.key, &self.message)
    }
}

impl std::error::Error for ConfigError {}

/// How much a note matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// As it should be, but worth a line.
    Info,
    /// Probably not what was meant.
    Warning,
}

/// Something about a setting that a person should know; the broker starts all the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// File and line, or flag.
    pub place: String,
    /// The name of the setting.
    pub key: String,
    /// How much it matters.
    pub level: Level,
    /// What to know and what to do, as the rest of a sentence that begins with `key`.
    pub message: String,
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        line(f, &self.place, &self.key, &self.message)
    }
}

fn line(f: &mut fmt::Formatter<'_>, place: &str, key: &str, message: &str) -> fmt::Result {
    for part in [place, key] {
        if !part.is_empty() {
            // Names come from files and clients: nothing in them may break the line.
            write!(f, "{}: ", part.escape_debug())?;
        }
    }
    f.write_str(message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_one_line_with_place_name_value_and_range() {
        let error = ConfigError::illegal("log.retention.ms", "a\nb", "a whole number");
        let expected = "x.toml:3: log.retention.ms: \"a\\nb\" is not possible; it takes a whole \
                        number (milliseconds)";
        assert_eq!(error.at("x.toml:3").to_string(), expected);
        assert!(!ConfigError::new("a\nb", Reason::UnknownKey, "x").to_string().contains('\n'));
    }

    #[test]
    fn a_long_value_is_cut() {
        let error = ConfigError::illegal("k", &"x".repeat(100_000), "less");
        assert!(error.to_string().len() < 200);
    }
}
