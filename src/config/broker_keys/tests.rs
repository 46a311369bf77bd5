//! Tests of the table of the broker's settings.

use super::super::value::normalise;
use super::*;

#[test]
fn names_are_unique_and_every_row_is_documented() {
    for (index, row) in BROKER_KEYS.iter().enumerate() {
        assert!(BROKER_KEYS[..index].iter().all(|other| other.name != row.name));
        assert!(row.doc.ends_with('.') || row.doc.ends_with(')'), "{}", row.name);
        assert!(std::ptr::eq(find(row.name).unwrap(), row));
    }
    assert!(find("log.retention").is_none());
}

#[test]
fn every_number_survives_its_field_at_both_ends_of_its_range() {
    for row in BROKER_KEYS {
        let Range(low, high) = row.allowed else { continue };
        for end in [low, high] {
            let shown = end.to_string();
            let text = normalise(row.kind, row.allowed, &shown).unwrap().into_owned();
            assert_eq!(text, shown, "the range of {} exceeds its type", row.name);
            let mut config = BrokerConfig::default();
            (row.write)(&mut config, &text);
            config.given.push((row.name, text.clone()));
            let shown = (row.read)(&config);
            if row.name == "broker.id" && end == -1 {
                assert_eq!(shown.as_deref(), Some("1"));
            } else {
                assert_eq!(shown, Some(text), "{}", row.name);
            }
        }
    }
}

#[test]
fn every_default_is_a_legal_value_and_writes_back_to_itself() {
    let default = BrokerConfig::default();
    for row in BROKER_KEYS {
        let Some(text) = (row.read)(&default) else { continue };
        assert_eq!(normalise(row.kind, row.allowed, &text).as_deref(), Ok(&*text), "{}", row.name);
        let mut config = default.clone();
        (row.write)(&mut config, &text);
        assert_eq!(config, default, "{}", row.name);
    }
}

#[test]
fn every_row_that_is_not_a_number_writes_what_it_reads() {
    let samples = [
        ("listeners", "A://h:1,B://h:2"),
        ("advertised.listeners", "A://h:1"),
        ("log.dirs", "/data"),
        ("auto.create.topics.enable", "false"),
        ("delete.topic.enable", "false"),
        ("replication.factor.accept.any", "true"),
        ("log.cleanup.policy", "compact"),
        ("compression.type", "zstd"),
        ("log.message.timestamp.type", "LogAppendTime"),
    ];
    for (name, value) in samples {
        let row = find(name).unwrap();
        let mut config = BrokerConfig::default();
        assert_ne!((row.read)(&config).as_deref(), Some(value));
        (row.write)(&mut config, &normalise(row.kind, row.allowed, value).unwrap());
        assert_eq!((row.read)(&config).as_deref(), Some(value));
    }
}

#[test]
fn a_table_can_say_what_a_setting_takes() {
    let takes = |name| (find(name).unwrap().takes(), find(name).unwrap().unit());
    let expected = [
        ("forward.linger.ms", "0 to 60000", "milliseconds"),
        ("forward.bandwidth.bytes.per.second", "0, 1024 or more", "bytes per second"),
        ("forward.partitions", "same, pinned", ""),
        ("num.partitions", "1 or more", ""),
        ("listeners", "", ""),
    ];
    for (name, range, unit) in expected {
        assert_eq!(takes(name), (range.to_string(), unit));
    }
}

#[test]
fn retention_counts_in_hours_minutes_and_for_ever() {
    let mut config = BrokerConfig::default();
    let mut write = |name, value| {
        (find(name).unwrap().write)(&mut config, value);
        config.log_retention_ms
    };
    assert_eq!(write("log.retention.hours", "2"), 7_200_000);
    assert_eq!(write("log.retention.minutes", "3"), 180_000);
    assert_eq!(write("log.retention.hours", "-1"), -1);
    assert_eq!(write("log.retention.hours", "2147483647"), 2_147_483_647 * HOUR_MS);
}
