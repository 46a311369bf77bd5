//! Figures and steering, asked with bytes.

use crate::api::Outcome;
use crate::api::testing::{TestBroker, body};
use crate::config::BrokerConfig;
use crate::limits::FORWARD_RATE_MS;
use crate::state::forward::{ForwardCommand, ForwardHead, ForwardRow, LaneState, LinkState};
use crate::time::Millis;
use std::collections::BTreeMap;

/// A broker that forwards everything but "private", with three records in each topic's first
/// partition.
fn forwarding() -> TestBroker {
    let mut config = TestBroker::config();
    config.forward.bootstrap_servers = vec![("up".to_owned(), 9092)];
    config.forward.topics_exclude = vec!["private".to_owned()];
    config.forward.topic_prefix = "site17.".to_owned();
    with(config)
}

fn with(config: BrokerConfig) -> TestBroker {
    let mut test = TestBroker::with(config);
    for (topic, partitions) in [("t", 2), ("private", 1)] {
        test.topic(topic, partitions);
        test.three_records(topic, 0);
    }
    test.broker.take_forward_wakes(|_| ());
    test
}

fn number(test: &TestBroker, topic: &str) -> u32 {
    test.broker.topics().find(topic).unwrap().number
}

/// The figures whose names begin with `ottla.status.forward.`, without that.
fn figures(test: &mut TestBroker) -> BTreeMap<String, String> {
    let (_, bytes) = test.ask(32, 4, |w| {
        w.array(1);
        w.i8(4);
        w.string("1");
        w.nullable_array(None);
        w.tags();
        w.bool(false);
        w.bool(false);
        w.tags();
    });
    let mut r = body(&bytes, 32, 4);
    r.i32("throttle_time_ms").unwrap();
    assert_eq!(r.array("results"), Ok(1));
    assert_eq!(r.i16("error_code"), Ok(0));
    r.nullable_string("error_message").unwrap();
    r.i8("resource_type").unwrap();
    r.string("resource_name").unwrap();
    let mut figures = BTreeMap::new();
    for _ in 0..r.array("configs").unwrap() {
        let name = r.string("name").unwrap().to_owned();
        let value = r.nullable_string("value").unwrap().unwrap_or_default().to_owned();
        let read_only = r.bool("read_only").unwrap();
        r.i8("config_source").unwrap();
        r.bool("is_sensitive").unwrap();
        r.array("synonyms").unwrap();
        r.i8("config_type").unwrap();
        r.nullable_string("documentation").unwrap();
        r.tags().unwrap();
        if let Some(name) = name.strip_prefix("ottla.status.forward.") {
            assert!(read_only);
            figures.insert(name.to_owned(), value);
        }
    }
    figures
}

/// Sets settings of the broker resource "1" with `operation`: outcome, code and sentence.
fn alter(
    test: &mut TestBroker,
    settings: &[(&str, i8, &str)],
    validate_only: bool,
) -> (Outcome, i16, String) {
    let (outcome, bytes) = test.ask(44, 0, |w| {
        w.array(1);
        w.i8(4);
        w.string("1");
        w.array(settings.len());
        for (name, operation, value) in settings {
            w.string(name);
            w.i8(*operation);
            w.nullable_string(Some(value));
        }
        w.bool(validate_only);
    });
    let mut r = body(&bytes, 44, 0);
    r.i32("throttle_time_ms").unwrap();
    assert_eq!(r.array("responses"), Ok(1));
    let code = r.i16("error_code").unwrap();
    let message = r.nullable_string("error_message").unwrap().unwrap_or_default().to_owned();
    (outcome, code, message)
}

fn set(test: &mut TestBroker, name: &str, value: &str) -> (i16, String) {
    let (_, code, message) = alter(test, &[(name, 0, value)], false);
    (code, message)
}

#[test]
fn where_nothing_is_forwarded_that_is_all_there_is_to_say() {
    let mut test = with(TestBroker::config());
    assert_eq!(figures(&mut test), [("state".to_owned(), "off".to_owned())].into());
    let (code, message) = set(&mut test, "ottla.forward.paused", "true");
    assert_eq!(code, 40);
    assert!(message.contains("forward.bootstrap.servers"), "{message}");
}

#[test]
fn the_figures_are_the_forwarders_and_what_rows_and_logs_come_to() {
    let mut test = forwarding();
    let (t, now) = (number(&test, "t"), test.now);
    let row = ForwardRow { rejected: 2, repeated: 1, ..ForwardRow::new(t, 0, 1) };
    test.broker.note_forward(&row);
    let head = ForwardHead { cluster_id: "upstream".into(), paused: false };
    test.broker.save_forward_head(head, now).unwrap();
    let forwarding = test.broker.forwarding_mut();
    forwarding.set_link(LinkState::Down, now);
    forwarding.set_error("nobody answers");
    forwarding.next_try = Some(now.mono.saturating_add(1_500));
    forwarding.sent(10_000, now);
    forwarding.acknowledged((t, 0), 3, 5_000, now);
    forwarding.lane_mut((t, 0)).unwrap().state = LaneState::Waiting;
    forwarding.lane_mut((t, 1)).unwrap().state = LaneState::Retrying;
    forwarding.lane_mut((t, 1)).unwrap().error = 19;
    test.now.mono = Millis(FORWARD_RATE_MS - 1);
    let found = figures(&mut test);
    let log = test.broker.find_partition("t", 0).unwrap().1;
    let bytes = test.broker.storage().partition(log.index).unwrap().bytes();
    // Of three records one is upstream; they have the timestamps 1000, 2000 and 3000, all in one
    // batch, which stands for them.
    let topic = format!(
        "upstream=site17.t;records=2;bytes={};oldest.ms={};rate=500;sent=5000;rejected=2;\
         repeated=1;next=1,0;state=retrying, NOT_ENOUGH_REPLICAS",
        bytes * 2 / 3,
        now.wall_ms - 1_000,
    );
    let expected = [
        ("state", "down".to_owned()),
        ("since.ms", now.wall_ms.to_string()),
        ("next.try.ms", (now.mono.0 + 1_500).saturating_sub(FORWARD_RATE_MS - 1).to_string()),
        ("error", "nobody answers".to_owned()),
        ("upstream", "upstream".to_owned()),
        ("bytes.up", "10000".to_owned()),
        ("bytes.today", "10000".to_owned()),
        ("rate", "1000".to_owned()),
        ("backlog.records", "2".to_owned()),
        ("backlog.bytes", (bytes * 2 / 3).to_string()),
        ("rejected", "2".to_owned()),
        ("repeated", "1".to_owned()),
        ("topic.t", topic),
    ];
    assert_eq!(found, expected.map(|(name, value)| (name.to_owned(), value)).into());
}

#[test]
fn a_stopped_lane_is_shown_so_and_one_without_backlog_has_no_oldest_record() {
    let mut test = forwarding();
    let t = number(&test, "t");
    test.broker.note_forward(&ForwardRow { stopped: true, ..ForwardRow::new(t, 0, 3) });
    let found = figures(&mut test);
    assert_eq!(found["next.try.ms"], "-1");
    assert_eq!(
        found["topic.t"],
        "upstream=site17.t;records=0;bytes=0;oldest.ms=-1;rate=0;sent=0;rejected=0;repeated=0;\
         next=3,0;state=stopped"
    );
}

#[test]
fn a_pause_lasts_and_is_told() {
    let mut test = forwarding();
    let (outcome, code, _) = alter(&mut test, &[("ottla.forward.paused", 0, "true")], false);
    assert!(matches!(outcome, Outcome::AfterSync(_)));
    assert_eq!((code, figures(&mut test)["state"].as_str()), (0, "paused"));
    assert!(test.broker.forward_pending());
    // Going back to the default is to go on.
    let (_, code, _) = alter(&mut test, &[("ottla.forward.paused", 1, "")], false);
    assert_eq!((code, figures(&mut test)["state"].as_str()), (0, "connecting"));
    set(&mut test, "ottla.forward.paused", "TRUE");
    assert!(test.broker.forwarding().head().paused);
    set(&mut test, "ottla.forward.paused", "false");
    assert!(!test.broker.forwarding().head().paused);
}

#[test]
fn a_seek_is_an_order_to_the_forwarder_with_its_offset_resolved() {
    let mut test = forwarding();
    let t = number(&test, "t");
    assert_eq!(set(&mut test, "ottla.forward.seek", "t:0:-1, t:1:-2").0, 0);
    let seek = |partition, offset| ForwardCommand::Seek { topic: t, partition, offset };
    assert!(test.broker.forward_pending());
    assert_eq!(test.broker.forwarding_mut().take_command(), Some(seek(0, 3)));
    assert_eq!(test.broker.forwarding_mut().take_command(), Some(seek(1, 0)));
    assert_eq!(set(&mut test, "ottla.forward.seek", "t:0:2").0, 0);
    assert_eq!(test.broker.forwarding_mut().take_command(), Some(seek(0, 2)));
}

#[test]
fn what_cannot_be_is_refused_with_a_reason_and_nothing_is_done() {
    let mut test = forwarding();
    for (name, value, words) in [
        ("ottla.forward.paused", "perhaps", "true or false"),
        ("ottla.forward.seek", "", "topic:partition:offset"),
        ("ottla.forward.seek", "t:0", "topic:partition:offset"),
        ("ottla.forward.seek", "t:0:1:2", "topic:partition:offset"),
        ("ottla.forward.seek", "t:x:1", "no partition"),
        ("ottla.forward.seek", "t:0:soon", "no offset"),
        ("ottla.forward.seek", "missing:0:1", "there is no topic \"missing\""),
        ("ottla.forward.seek", "t:2:0", "t has no partition 2"),
        ("ottla.forward.seek", "t:4294967295:0", "t has no partition"),
        ("ottla.forward.seek", "private:0:0", "not forwarded"),
        ("ottla.forward.seek", "t:0:4", "the offsets 0 to 3, not 4"),
        ("ottla.forward.seek", "t:0:-3", "the offsets 0 to 3, not -3"),
        ("ottla.forward.seek", "t:0:1,t:0:2", "named twice"),
        ("ottla.forward.seek", "t:0:1,t:1:9", "the offsets 0 to 0, not 9"),
    ] {
        let (code, message) = set(&mut test, name, value);
        assert_eq!(code, 40, "{name} = {value}");
        assert!(message.contains(words), "{name} = {value}: {message}");
    }
    for (settings, words) in [
        (&[("ottla.forward.seek", 2, "t:0:1")][..], "can only be set"),
        (&[("ottla.forward.seek", 1, "")], "can only be set"),
        (&[("ottla.forward.paused", 0, "true"), ("ottla.forward.paused", 0, "true")], "twice"),
        (&[("ottla.forward.paused", 0, "true"), ("ottla.forward.seek", 0, "x")], "must be topic"),
    ] {
        let (outcome, code, message) = alter(&mut test, settings, false);
        assert_eq!((outcome, code), (Outcome::Now, 40));
        assert!(message.contains(words), "{message}");
    }
    let mixed = [("ottla.forward.paused", 0, "true"), ("num.partitions", 0, "2")];
    assert_eq!(alter(&mut test, &mixed, false).1, 42);
    let both = [("ottla.forward.paused", 0, "true"), ("ottla.forward.seek", 0, "t:0:1")];
    assert_eq!(alter(&mut test, &both, true).1, 0, "only validated");
    assert!(!test.broker.forwarding().head().paused);
    assert!(!test.broker.forward_pending());
    assert_eq!(alter(&mut test, &both, false).1, 0);
    assert!(test.broker.forwarding().head().paused && test.broker.forwarding().has_command());
}

#[test]
fn settings_are_not_replaced_and_other_nodes_not_steered() {
    let mut test = forwarding();
    let (_, bytes) = test.ask(33, 0, |w| {
        w.array(1);
        w.i8(4);
        w.string("1");
        w.array(1);
        w.string("ottla.forward.paused");
        w.nullable_string(Some("true"));
        w.bool(false);
    });
    let mut r = body(&bytes, 33, 0);
    r.i32("throttle_time_ms").unwrap();
    assert_eq!((r.array("responses"), r.i16("error_code")), (Ok(1), Ok(42)));
    let (_, bytes) = test.ask(44, 0, |w| {
        w.array(1);
        w.i8(4);
        w.string("2");
        w.array(1);
        w.string("ottla.forward.paused");
        w.i8(0);
        w.nullable_string(Some("true"));
        w.bool(false);
    });
    let mut r = body(&bytes, 44, 0);
    r.i32("throttle_time_ms").unwrap();
    assert_eq!((r.array("responses"), r.i16("error_code")), (Ok(1), Ok(42)));
    assert!(!test.broker.forwarding().head().paused);
}
