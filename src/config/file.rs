//! A configuration file as a list of settings with their lines: TOML with Kafka's dotted keys.
//!
//! Promises: `log.retention.ms = 1000`, `"log.retention.ms" = 1000` and `[log.retention]` with
//! `ms = 1000` are the same setting; what cannot be read is an error with its line. A file whose
//! name ends in `.properties` goes to `properties` instead.
//!
//! Absent: what the settings mean.

use super::error::{ConfigError, Reason};
use super::properties;
use crate::limits::CONFIG_FILE_BYTES_MAX;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// One setting as the file has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The name, with dots.
    pub key: String,
    /// The value as text; a TOML array has commas between its items.
    pub value: String,
    /// The line of the name, from 1.
    pub line: usize,
}

/// Reads a file in the format that its name says.
pub fn read(file_name: &str, text: &str) -> Result<Vec<Entry>, ConfigError> {
    if text.len() > CONFIG_FILE_BYTES_MAX {
        let said = format!("a configuration file has at most {CONFIG_FILE_BYTES_MAX} bytes");
        return Err(ConfigError::new("", Reason::Syntax, &said).at(file_name));
    }
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let entries = if file_name.to_ascii_lowercase().ends_with(".properties") {
        properties::read(text)
    } else {
        read_toml(text)
    };
    entries.map_err(|(line, said)| {
        ConfigError::new("", Reason::Syntax, &said).at(&format!("{file_name}:{line}"))
    })
}

/// A line that cannot be read, and why.
pub type Unreadable = (usize, String);

fn read_toml(text: &str) -> Result<Vec<Entry>, Unreadable> {
    let lines = Lines::new(text);
    let table = DeTable::parse(text).map_err(|error| {
        let line = error.span().map_or(1, |span| lines.number(span.start));
        (line, explain(error.message()))
    })?;
    let mut entries = Vec::new();
    flatten(table.get_ref(), "", &lines, &mut entries)?;
    // The table is sorted by name; whatever is said about it should follow the file.
    entries.sort_by_key(|entry| entry.line);
    Ok(entries)
}

/// The parser's message, with what it means for dotted settings.
fn explain(message: &str) -> String {
    let message = message.trim();
    if message.contains("dotted key") || message.contains("duplicate key") {
        return format!(
            "{message}: the setting is there twice, or is also the beginning of a longer one, as \
             broker.id is of broker.id.generation.enable; in that case write the shorter one in \
             quotes: \"broker.id\" = 1"
        );
    }
    format!(
        "{message} (this is read as TOML; Kafka's server.properties is read if the name of the \
         file ends in .properties)"
    )
}

/// Collects what is below `prefix`. The parser itself bounds the depth.
fn flatten(
    table: &DeTable<'_>,
    prefix: &str,
    lines: &Lines,
    entries: &mut Vec<Entry>,
) -> Result<(), Unreadable> {
    for (name, value) in table {
        let line = lines.number(name.span().start);
        let name = name.get_ref();
        let key = if prefix.is_empty() { name.to_string() } else { format!("{prefix}.{name}") };
        if let DeValue::Table(inner) = value.get_ref() {
            flatten(inner, &key, lines, entries)?;
            continue;
        }
        let Some(value) = text_of(value) else {
            return Err((line, format!("{key} takes text, a number, true, false, or [a, list]")));
        };
        entries.push(Entry { key, value, line });
    }
    Ok(())
}

fn text_of(value: &Spanned<DeValue<'_>>) -> Option<String> {
    let DeValue::Array(array) = value.get_ref() else { return scalar(value.get_ref()) };
    let texts = array.iter().map(|item| scalar(item.get_ref())).collect::<Option<Vec<_>>>();
    texts.map(|texts| texts.join(","))
}

fn scalar(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.to_string()),
        // A number of more than 64 bits stays text, and is refused with its setting's range.
        DeValue::Integer(number) => Some(
            i64::from_str_radix(number.as_str(), number.radix())
                .map_or_else(|_| number.as_str().to_string(), |number| number.to_string()),
        ),
        DeValue::Float(number) => Some(number.as_str().to_string()),
        DeValue::Boolean(flag) => Some(flag.to_string()),
        DeValue::Datetime(_) | DeValue::Array(_) | DeValue::Table(_) => None,
    }
}

/// Where each line starts.
struct Lines(Vec<usize>);

impl Lines {
    fn new(text: &str) -> Lines {
        Lines(text.match_indices('\n').map(|(at, _)| at + 1).collect())
    }

    /// The line, from 1, that holds this byte.
    fn number(&self, offset: usize) -> usize {
        self.0.partition_point(|start| *start <= offset) + 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn toml(text: &str) -> Vec<(String, String, usize)> {
        let entries = read("ottla.toml", text).unwrap();
        entries.into_iter().map(|e| (e.key, e.value, e.line)).collect()
    }

    fn row(key: &str, value: &str, line: usize) -> (String, String, usize) {
        (key.to_string(), value.to_string(), line)
    }

    #[test]
    fn quoted_dotted_and_nested_names_are_the_same() {
        let text = "# a comment\nlog.dirs = \"/data\"\n\"log.segment.bytes\" = 1_048_576\n\n\
                    [log.retention]\nms = -1\n[group]\nmin.session.timeout.ms = 0x10\n";
        let expected = [
            row("log.dirs", "/data", 2),
            row("log.segment.bytes", "1048576", 3),
            row("log.retention.ms", "-1", 6),
            row("group.min.session.timeout.ms", "16", 8),
        ];
        assert_eq!(toml(text), expected);
    }

    #[test]
    fn every_kind_of_value_becomes_text() {
        let text = "listeners = [\"a:1\",\n \"b:2\"]\nflag = true\nratio = 0.5\n\
                    log = { dirs = 'x' }\nbig = 99999999999999999999";
        let expected = [
            row("listeners", "a:1,b:2", 1),
            row("flag", "true", 3),
            row("ratio", "0.5", 4),
            row("log.dirs", "x", 5),
            row("big", "99999999999999999999", 6),
        ];
        assert_eq!(toml(text), expected);
    }

    #[test]
    fn a_name_that_is_also_a_prefix_needs_quotes_and_the_error_says_so() {
        for text in [
            "broker.id = 1\nbroker.id.generation.enable = true\n",
            "broker.id.generation.enable = true\nbroker.id = 1\n",
        ] {
            let error = read("o.toml", text).unwrap_err();
            assert_eq!(error.place, "o.toml:2", "{error}");
            assert!(error.message.contains("quotes"), "{error}");
        }
        let quoted = "\"broker.id\" = 1\nbroker.id.generation.enable = true\n";
        assert_eq!(toml(quoted)[0], row("broker.id", "1", 1));
    }

    #[test]
    fn what_is_no_toml_is_an_error_with_its_line() {
        for (text, line) in [
            ("\nlisteners=PLAINTEXT://:9092\n", 2),
            ("a = 1\n\na = 2\n", 3),
            ("x = 1979-05-27\n", 1),
            ("x = 1\n[[y]]\nz = 1\n", 2),
            ("x = [[1]]\n", 1),
            ("x = \"", 1),
        ] {
            let error = read("o.toml", text).unwrap_err();
            assert_eq!(error.place, format!("o.toml:{line}"), "{error}");
            assert!(!error.to_string().contains('\n'), "{error}");
        }
    }

    #[test]
    fn deep_and_large_files_are_refused() {
        let deep = format!("{}x = 1", "a.".repeat(100_000));
        assert!(read("o.toml", &deep).is_err());
        let deep = format!("x = {}", "[".repeat(100_000));
        assert!(read("o.toml", &deep).is_err());
        assert!(read("o.toml", &" ".repeat(CONFIG_FILE_BYTES_MAX + 1)).is_err());
    }
}
