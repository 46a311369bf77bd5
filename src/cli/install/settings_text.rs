//! `/etc/ottla/ottla.toml` as it is installed: every setting with what it does, switched off.
//!
//! Promises: generated from the table that the broker reads (`config::BROKER_KEYS`), so it neither
//! lacks nor invents a setting; with every line switched on it is the default configuration. The
//! one line that is switched on says where the data is.
//! Absent: settings of topics, which `ottla configs` changes.

use crate::config::{BOARD_DEFAULT, BROKER_KEYS, BrokerConfig, BrokerKey, ValueType};

/// Where the service keeps its data.
pub const DATA_DIRECTORY: &str = "/var/lib/ottla";

/// Characters of a line.
const COLUMNS: usize = 98;

const HEAD: &str = "\
# The settings of ottla. Each stands here with its default and a # in front: take the # away to
# change it, then restart the service. Names and units are Kafka's. 'ottla install' never changes
# this file; what a newer ottla knows besides is then in ottla.toml.new.
# Where the board decides ('ottla limits', and --board in /etc/default/ottla), the default here is
# that of the board";

/// The whole file, for data in this directory.
pub fn text(data: &str) -> String {
    let default = BrokerConfig::default();
    let mut text = format!("{HEAD} {BOARD_DEFAULT}.\n");
    for key in BROKER_KEYS {
        text.push('\n');
        wrapped(&mut text, key.doc.trim_end_matches(" (ottla)"));
        let more = [("It takes", key.takes()), ("Unit:", key.unit().to_owned())];
        let more = more.iter().filter(|(_, said)| !said.is_empty());
        let more: Vec<String> = more.map(|(word, said)| format!("{word} {said}.")).collect();
        wrapped(&mut text, &more.join(" "));
        if key.name == "log.dirs" {
            wrapped(&mut text, "Under systemd, another directory has to be allowed as well:");
            text.push_str(
                "#   systemctl edit ottla, with [Service] and ReadWritePaths=DIRECTORY\n",
            );
            text.push_str(&data_line(data));
            continue;
        }
        match (key.read)(&default) {
            Some(value) => {
                text.push_str(&format!("#{} = {}\n", quoted(key.name), toml(key, &value)));
            }
            None => text.push_str(&format!("# (not set)\n#{} =\n", quoted(key.name))),
        }
    }
    text
}

/// The line that says where the data is.
pub fn data_line(data: &str) -> String {
    format!("\"log.dirs\" = \"{data}\"\n")
}

/// Whether a file that somebody has changed still speaks of every setting there is.
pub fn is_complete(text: &str) -> bool {
    BROKER_KEYS.iter().all(|key| text.contains(key.name))
}

/// Quotes spare people TOML's rule that `a.b` and `a.b.c` cannot both have values.
fn quoted(name: &str) -> String {
    format!("\"{name}\"")
}

fn toml(key: &BrokerKey, value: &str) -> String {
    match key.kind {
        ValueType::String | ValueType::List => format!("\"{value}\""),
        _ => value.to_owned(),
    }
}

fn wrapped(text: &mut String, said: &str) {
    let mut column = 0;
    for word in said.split_whitespace() {
        let columns = word.chars().count() + 1;
        if column == 0 || column + columns > COLUMNS {
            if column > 0 {
                text.push('\n');
            }
            text.push('#');
            column = 1;
        }
        text.push(' ');
        text.push_str(word);
        column += columns;
    }
    if column > 0 {
        text.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;
    use crate::limits::Board;

    #[test]
    fn as_it_is_installed_it_says_where_the_data_is_and_nothing_else() {
        let (config, notes) =
            config::load(&Board::DEFAULT, "ottla.toml", &text(DATA_DIRECTORY), &[], &[], None)
                .unwrap();
        assert_eq!(notes, []);
        assert_eq!(config.given, [("log.dirs", DATA_DIRECTORY.to_owned())]);
    }

    #[test]
    fn every_setting_that_is_switched_on_is_its_default() {
        let default = BrokerConfig::default();
        for key in BROKER_KEYS.iter().filter(|key| key.name != "log.dirs") {
            let name = format!("#\"{}\" =", key.name);
            let text = text(DATA_DIRECTORY);
            assert_eq!(text.matches(&name).count(), 1, "{}", key.name);
            let Some(value) = (key.read)(&default) else { continue };
            let changed = text.replace(&name, &name[1..]);
            let loaded = config::load(&Board::DEFAULT, "ottla.toml", &changed, &[], &[], None);
            let (config, _) = loaded.unwrap_or_else(|e| panic!("{}: {e:?}", key.name));
            assert_eq!(config.given(key.name), Some(value.as_str()), "{}", key.name);
        }
    }

    #[test]
    fn all_settings_at_once_do_not_get_in_each_others_way() {
        let on: Vec<String> =
            text(DATA_DIRECTORY).lines().map(|l| l.replace("#\"", "\"")).collect();
        let on: Vec<&str> = on.iter().map(String::as_str).filter(|l| !l.ends_with(" =")).collect();
        config::load(&Board::DEFAULT, "ottla.toml", &on.join("\n"), &[], &[], None).unwrap();
    }

    #[test]
    fn lines_are_short_and_a_file_that_lacks_a_setting_is_found_out() {
        for line in text(DATA_DIRECTORY).lines() {
            assert!(line.chars().count() <= 100, "{line}");
        }
        assert!(is_complete(&text(DATA_DIRECTORY)));
        assert!(!is_complete(&text(DATA_DIRECTORY).replace("journal.bytes", "")));
    }
}
