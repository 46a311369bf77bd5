//! What a file, flags and a board come to.

use super::*;

fn run(name: &str, text: &str, flags: &[&str]) -> (BrokerConfig, Vec<String>) {
    let sets: Vec<String> = flags.iter().map(|flag| flag.to_string()).collect();
    let (config, notes) = load(&Board::DEFAULT, name, text, &sets, &[], None).unwrap();
    (config, notes.iter().map(Note::to_string).collect())
}

fn errors(name: &str, text: &str) -> Vec<String> {
    let errors = load(&Board::DEFAULT, name, text, &[], &[], None).unwrap_err();
    errors.iter().map(ConfigError::to_string).collect()
}

#[test]
fn nothing_at_all_is_the_default_without_a_remark() {
    assert_eq!(
        load(&Board::DEFAULT, "", "", &[], &[], None),
        Ok((BrokerConfig::default(), Vec::new()))
    );
}

/// The lines of Kafka 2.1's config/server.properties that are no comments.
const STOCK_2_1: &str = "broker.id=0\nnum.network.threads=3\nnum.io.threads=8\n\
    socket.send.buffer.bytes=102400\nsocket.receive.buffer.bytes=102400\n\
    socket.request.max.bytes=104857600\nlog.dirs=/tmp/kafka-logs\nnum.partitions=1\n\
    num.recovery.threads.per.data.dir=1\noffsets.topic.replication.factor=1\n\
    transaction.state.log.replication.factor=1\ntransaction.state.log.min.isr=1\n\
    log.retention.hours=168\nlog.segment.bytes=1073741824\n\
    log.retention.check.interval.ms=300000\nzookeeper.connect=localhost:2181\n\
    zookeeper.connection.timeout.ms=6000\ngroup.initial.rebalance.delay.ms=0\n";

#[test]
fn the_stock_file_of_kafka_2_1_is_understood() {
    let (config, notes) = run("server.properties", STOCK_2_1, &[]);
    assert_eq!((config.node_id, config.log_segment_bytes), (0, 1 << 30));
    assert_eq!(config.log_dir, Path::new("/tmp/kafka-logs"));
    assert_eq!(config.socket_request_max_bytes, 100 << 20);
    assert_eq!(notes.len(), 10, "{notes:#?}");
    let expected = "server.properties:16: zookeeper.connect: does nothing here: there is no \
                    ZooKeeper, ottla keeps its metadata in its data directory";
    assert!(notes.iter().any(|note| note == expected), "{notes:#?}");
    assert!(notes.iter().all(|note| note.contains("does nothing here")), "{notes:#?}");
}

/// The same of Kafka 4.3, but for what 2.1 has too.
const STOCK_4_3: &str = "process.roles=broker,controller\nnode.id=1\n\
    controller.quorum.bootstrap.servers=localhost:9093\n\
    listeners=PLAINTEXT://:9092,CONTROLLER://:9093\ninter.broker.listener.name=PLAINTEXT\n\
    advertised.listeners=PLAINTEXT://localhost:9092,CONTROLLER://localhost:9093\n\
    controller.listener.names=CONTROLLER\nlistener.security.protocol.map=CONTROLLER:\
    PLAINTEXT,PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT,SASL_SSL:SASL_SSL\n\
    log.dirs=/tmp/kraft-combined-logs\nshare.coordinator.state.topic.min.isr=1\n";

#[test]
fn the_stock_file_of_kafka_4_3_loses_its_controller_and_works() {
    let (config, notes) = run("server.properties", STOCK_4_3, &[]);
    assert_eq!(config.listeners, [Listener::parse(":9092").unwrap()]);
    assert_eq!(config.advertised_listeners, [Listener::plain("localhost", 9092)]);
    assert_eq!(notes.len(), 5, "{notes:#?}");
    assert!(notes.iter().any(|note| note.contains("CONTROLLER://:9093 is not opened")));
}

#[test]
fn every_setting_of_kafka_2_1_and_4_3_is_known() {
    let names = include_str!("../kafka_settings.txt").lines().filter(|l| !l.starts_with('#'));
    let mut count = 0;
    for name in names {
        count += 1;
        let elsewhere = elsewhere::look_up(name, "x").is_some();
        let here = [PROTOCOL_MAP, CONTROLLER_NAMES].contains(&name);
        let in_table = broker_keys::find(name).is_some();
        assert!(in_table != elsewhere || here, "{name}");
    }
    assert!(count > 360);
}

#[test]
fn the_command_line_wins_over_the_file() {
    let text = "log.retention.ms = 5\nnum.partitions = 2\nlisteners = \"a:1\"\n";
    let sets = ["log.retention.hours=1".to_string(), "num.partitions = 3".to_string()];
    let listens = ["127.0.0.1:0".to_string(), "[::1]:0".to_string()];
    let data = Path::new("/mnt/card, the second");
    let (config, notes) =
        load(&Board::DEFAULT, "o.toml", text, &sets, &listens, Some(data)).unwrap();
    assert_eq!((config.log_retention_ms, config.num_partitions), (3_600_000, 3));
    assert_eq!(config.listeners, [Listener::plain("127.0.0.1", 0), Listener::plain("::1", 0)]);
    assert_eq!(config.log_dir, data);
    assert_eq!(config.given("log.dirs"), Some("/mnt/card, the second"));
    assert!(notes.is_empty());
}

#[test]
fn ms_wins_over_minutes_over_hours_in_any_order() {
    let all = "log.retention.ms=7\nlog.retention.minutes=2\nlog.retention.hours=1\n";
    assert_eq!(run("s.properties", all, &[]).0.log_retention_ms, 7);
    let two = "log.retention.minutes=2\nlog.retention.hours=1\n";
    assert_eq!(run("s.properties", two, &[]).0.log_retention_ms, 120_000);
    assert_eq!(run("", "", &["log.retention.hours=-1"]).0.log_retention_ms, -1);
    assert_eq!(run("", "", &["log.roll.ms=5", "log.roll.hours=1"]).0.log_roll_ms, 5);
    assert_eq!(run("", "", &["broker.id=5", "node.id=6"]).0.node_id, 6);
    assert_eq!(run("", "", &["broker.id=-1"]).0.node_id, 1);
    assert_eq!(run("", "", &["log.dir=/a"]).0.log_dir, Path::new("/a"));
    assert_eq!(run("", "", &["log.dirs=/b", "log.dir=/a"]).0.log_dir, Path::new("/b"));
    let config = run("", "", &["message.timestamp.type=LogAppendTime"]).0;
    assert_eq!(config.log_message_timestamp_type.as_text(), "LogAppendTime");
}

#[test]
fn typing_mistakes_are_warnings_with_line_and_suggestion() {
    let text = "\nlog.retension.ms = 1\nretention.ms = 2\nwhat.is.this = 3\nport = 9093\n";
    let (config, notes) = run("o.toml", text, &[]);
    assert_eq!(config, BrokerConfig::default());
    let expected = [
        "o.toml:2: log.retension.ms: is not known and is ignored; did you mean \
         log.retention.ms?",
        "o.toml:3: retention.ms: is a setting of topics and is ignored here; the broker's is \
         log.retention.ms",
        "o.toml:4: what.is.this: is not known and is ignored; check the spelling, or remove it",
    ];
    assert_eq!(notes[..3], expected);
    assert!(notes[3].starts_with("o.toml:5: port: is not read"));
}

#[test]
fn the_later_of_two_lines_counts_and_a_warning_says_so() {
    let (config, notes) = run("s.properties", "num.partitions=2\nnum.partitions=3\n", &[]);
    assert_eq!(config.num_partitions, 3);
    let expected = "s.properties:2: num.partitions: counts here, and not in s.properties:1";
    assert_eq!(notes, [expected]);
}

#[test]
fn all_illegal_values_are_found_in_one_go() {
    let text = "num.partitions = 0\nlog.dirs = \"/a,/b\"\nlog.flush.interval.ms = 'soon'\n\
                auto.create.topics.enable = 1\ngroup.max.session.timeout.ms = 5\n\
                disk.quota.bytes = 1000000\nlog.full.policy = 'drop'\n";
    let found = errors("o.toml", text);
    assert_eq!(found.len(), 7, "{found:#?}");
    for (line, part) in [
        (1, "num.partitions: \"0\" is not possible; it takes a whole number from 1"),
        (2, "exactly one directory"),
        (3, "a whole number, at least 1 (milliseconds)"),
        (4, "true or false"),
        (5, "less than group.min.session.timeout.ms"),
        (6, "-1 (what is free on the file system) or 1048576 bytes and more"),
        (7, "drop-oldest"),
    ] {
        let place = format!("o.toml:{line}: ");
        assert!(found.iter().any(|e| e.starts_with(&place) && e.contains(part)), "{found:#?}");
    }
}

#[test]
fn security_that_is_not_there_is_an_error_that_shows_no_secret() {
    let text = "ssl.keystore.password=hunter2\nauthorizer.class.name=kafka.Acl\n\
                listener.name.x.sasl.jaas.config=hunter2\n";
    let found = errors("s.properties", text);
    assert_eq!(found.len(), 3);
    assert!(found.iter().all(|error| error.contains("not there yet")), "{found:?}");
    assert!(!found.iter().any(|error| error.contains("hunter2")));
}

#[test]
fn listeners_speak_plainly_or_are_refused() {
    let map = "listener.security.protocol.map=IN:PLAINTEXT,OUT:SASL_SSL\nlisteners=";
    let (config, _) = run("s.properties", &format!("{map}IN://:1"), &[]);
    assert_eq!(config.listeners[0].name, "IN");
    for (listeners, part) in [
        ("OUT://:1", "asks for SASL_SSL, which is not there yet"),
        ("SSL://:1", "asks for SSL, which is not there yet"),
        ("LAN://:1", "listener.security.protocol.map = \"LAN:PLAINTEXT\""),
        ("", "at least one address"),
        ("h", "has no port"),
    ] {
        let found = errors("s.properties", &format!("{map}{listeners}"));
        assert!(found[0].contains(part) && found[0].contains("s.properties:2"), "{found:?}");
    }
    let found = errors("s.properties", "listener.security.protocol.map=A:B");
    assert!(found[0].contains("NAME:PROTOCOL"), "{found:?}");
}

#[test]
fn advertised_addresses_must_be_reachable() {
    for wrong in ["0.0.0.0:9092", ":9092", "host:0"] {
        assert!(
            load(&Board::DEFAULT, "", "", &[format!("advertised.listeners={wrong}")], &[], None)
                .is_err()
        );
    }
    let (_, notes) = run("", "", &["advertised.listeners=OTHER://h:1"]);
    assert!(notes[0].contains("no listener has this name"), "{notes:?}");
}

#[test]
fn what_is_stored_but_not_obeyed_is_remarked_once() {
    let flags = ["default.replication.factor=3", "min.insync.replicas=2"];
    let more = ["log.cleanup.policy=compact", "compression.type=zstd"];
    let (config, notes) = run("", "", &[flags, more].concat());
    assert_eq!(config.default_replication_factor, 3);
    assert_eq!(notes.len(), 4, "{notes:#?}");
    let any = ["default.replication.factor=3", "replication.factor.accept.any=true"];
    assert!(run("", "", &any).1.is_empty());
}

#[test]
fn flags_that_are_no_pairs_are_errors() {
    let found =
        load(&Board::DEFAULT, "", "", &["num.partitions".to_string()], &["x".to_string()], None);
    let found: Vec<String> = found.unwrap_err().iter().map(ConfigError::to_string).collect();
    assert_eq!(found.len(), 2, "{found:?}");
    assert_eq!(found[0], "--set: takes KEY=VALUE, not \"num.partitions\"");
    assert!(found[1].starts_with("--listen: listeners: \"x\" is not possible"), "{found:?}");
}

/// Pieces that files are made of, so that garbage gets past the first byte.
const PIECES: [&str; 40] = [
    "listeners",
    "log.retention.ms",
    "log.dirs",
    "broker.id",
    "\"",
    "'",
    "=",
    ":",
    "\n",
    "\r\n",
    " ",
    ".",
    ",",
    "\\",
    "\\u00",
    "#",
    "[",
    "]",
    "{",
    "}",
    "-1",
    "0",
    "99999999999999999999",
    "1e9",
    "true",
    "PLAINTEXT://",
    "SSL://",
    ":9092",
    "[::1]",
    "é",
    "\u{feff}",
    "\0",
    "ssl.",
    "advertised.listeners",
    "listener.security.protocol.map",
    "controller.listener.names",
    "\"\"\"",
    "1979-05-27",
    "cleanup.policy",
    "zookeeper.",
];

#[test]
fn garbage_yields_errors_of_one_line_or_a_legal_configuration() {
    let mut seed = 0x9E37_79B9_7F4A_7C15u64;
    let mut next = |bound: usize| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        (seed % bound as u64) as usize
    };
    let (mut legal, mut refused) = (0, 0);
    for round in 0..6_000 {
        let mut text = String::new();
        for _ in 0..next(14) {
            text.push_str(PIECES[next(PIECES.len())]);
        }
        let name = if round % 2 == 0 { "o.toml" } else { "s.properties" };
        let flags = if next(4) == 0 { vec![text.clone()] } else { Vec::new() };
        match load(&Board::DEFAULT, name, &text, &flags, &flags, None) {
            Err(errors) => {
                refused += 1;
                assert!(!errors.is_empty());
                assert!(errors.iter().all(|e| !e.to_string().contains('\n')), "{errors:?}");
            }
            Ok((config, notes)) => {
                legal += 1;
                assert!(notes.iter().all(|n| !n.to_string().contains('\n')), "{notes:?}");
                for key in BROKER_KEYS {
                    let Some(text) = (key.read)(&config) else { continue };
                    assert!(value::normalise(key.kind, key.allowed, &text).is_ok());
                }
            }
        }
    }
    assert!(legal > 500 && refused > 500, "{legal} legal, {refused} refused");
}
