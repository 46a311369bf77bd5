//! Settings in every spelling: what is read is legal, and reads the same when it is said again.

use super::memory;
use ottla::config::{
    AlterOperation, BrokerConfig, Described, EffectiveTopicConfig, TOPIC_KEYS, TopicOverrides, load,
};
use ottla::limits::Board;

/// What reading a file may hold for each of its bytes, and in all.
const BYTES_EACH_MAX: usize = 512;
const BYTES_MAX: usize = 1024 * 1024;
/// The largest file that is tried; a larger one is refused before it is looked at.
const FILE_BYTES_MAX: usize = 16 * 1024;

/// First byte: how the rest is given; parts of it end at zero bytes.
pub fn run(data: &[u8]) {
    let Some((kind, rest)) = data.split_first() else { return };
    let rest = &rest[..rest.len().min(FILE_BYTES_MAX)];
    let text = String::from_utf8_lossy(rest);
    let parts: Vec<String> = text.split('\0').map(str::to_owned).collect();
    let most = BYTES_MAX + BYTES_EACH_MAX * rest.len();
    memory::bounded("a configuration", most, || match kind & 3 {
        0 => broker("ottla.toml", &parts[0], &parts[1..]),
        1 => broker("server.properties", &parts[0], &parts[1..]),
        2 => broker("", "", &parts),
        _ => topic(&parts),
    });
}

fn broker(file: &str, text: &str, sets: &[String]) {
    match load(&Board::default(), file, text, sets, &[], None) {
        Ok((config, notes)) => {
            notes.iter().for_each(|note| assert!(!note.to_string().is_empty()));
            assert!(!config.listeners.is_empty(), "a broker listens somewhere");
            Described::new(&config).broker().for_each(drop);
            said_again_is_the_same(&config);
        }
        Err(errors) => {
            assert!(!errors.is_empty(), "no errors, and no configuration");
            errors.iter().for_each(|error| assert!(!error.to_string().is_empty()));
        }
    }
}

/// What was given, in the spelling that it was understood in, makes the same configuration.
fn said_again_is_the_same(config: &BrokerConfig) {
    let mut said: Vec<String> = Vec::new();
    for (key, value) in config.given.iter().rev() {
        if !said.iter().any(|set| set.starts_with(&format!("{key}="))) {
            said.push(format!("{key}={value}"));
        }
    }
    let (again, _) = load(&Board::default(), "", "", &said, &[], None).unwrap_or_else(|errors| {
        panic!("{said:?} was understood, and now it is not: {errors:?}");
    });
    let plain = |config: &BrokerConfig| BrokerConfig { given: Vec::new(), ..config.clone() };
    assert_eq!(plain(&again), plain(config), "{said:?}");
}

fn topic(parts: &[String]) {
    let broker = BrokerConfig::default();
    let pairs = parts.iter().filter_map(|part| part.split_once('='));
    let mut overrides = TopicOverrides::default();
    for (at, (key, value)) in pairs.clone().enumerate() {
        match at % 3 {
            0 => overrides.set(key, value).ok(),
            1 => overrides.append(key, value, &broker).ok(),
            _ => overrides.subtract(key, value, &broker).ok(),
        };
    }
    let changes = pairs.enumerate().map(|(at, (key, value))| {
        let operation = AlterOperation::from_i8((at % 4) as i8).expect("there are four");
        (key, operation, Some(value))
    });
    for kept in [overrides.altered(changes, &broker).ok(), Some(overrides)].into_iter().flatten() {
        legal(&kept, &broker);
    }
}

/// What is kept of a topic's settings can be used, and kept again.
fn legal(kept: &TopicOverrides, broker: &BrokerConfig) {
    let effective = EffectiveTopicConfig::new(broker, kept);
    effective.delete_after_ms();
    effective.delete_beyond_bytes();
    Described::new(broker).topic(kept).for_each(drop);
    let mut again = TopicOverrides::default();
    for (name, value) in kept.iter() {
        assert!(TOPIC_KEYS.iter().any(|key| key.name == name));
        again.set(name, value).expect("what was kept is legal");
    }
    assert_eq!(again, *kept);
}
