//! Consumer groups: members come and go, positions stay.

use crate::support::clients::{self, consumer, create_topic, poll, produce_texts, take, text};
use crate::support::process::{Ottla, port_for_restarts};
use crate::support::raw::{self, Raw};
use crate::support::{PATIENCE, block_on};
use rdkafka::admin::AdminOptions;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::message::Message;
use rdkafka::producer::BaseRecord;
use rdkafka::{Offset, TopicPartitionList};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// Polls all members until `done`, and keeps what they read.
fn poll_until(
    members: &[&BaseConsumer],
    read: &mut Vec<(i32, i64)>,
    what: &str,
    done: impl Fn(&[(i32, i64)]) -> bool,
) {
    let start = Instant::now();
    while !done(read) {
        assert!(start.elapsed() < PATIENCE, "waited in vain for: {what}");
        for member in members {
            if let Some(message) = poll(member, Duration::from_millis(20)) {
                read.push((message.partition(), message.offset()));
            }
        }
    }
}

fn partitions_of(member: &BaseConsumer) -> BTreeSet<i32> {
    let assignment = member.assignment().unwrap();
    assignment.elements().iter().map(|element| element.partition()).collect()
}

fn a_second_member_joins_and_leaves(strategy: &str) {
    let dir = tempfile::tempdir().unwrap();
    let ottla = Ottla::start(dir.path());
    let bootstrap = ottla.bootstrap();
    create_topic(&bootstrap, "work", 4, &[]);
    let settings = [
        ("group.id", "team"),
        ("partition.assignment.strategy", strategy),
        ("heartbeat.interval.ms", "100"),
        ("session.timeout.ms", "10000"),
        ("enable.auto.commit", "true"),
        ("auto.commit.interval.ms", "100"),
    ];
    let produce_round = |round: i32| {
        let producer = clients::Producer::new(&bootstrap, &[]);
        for n in 0..40 {
            let value = format!("{round} {n}");
            let record = BaseRecord::with_opaque_to("work", Box::new(n as usize));
            producer.send(record.partition(n % 4).payload(value.as_bytes()));
        }
        producer.flush_all_ok();
    };
    let whole = BTreeSet::from([0, 1, 2, 3]);
    let first = consumer(&bootstrap, &settings);
    first.subscribe(&["work"]).unwrap();
    let mut read = Vec::new();
    produce_round(0);
    poll_until(&[&first], &mut read, "the first round", |read| read.len() == 40);
    assert_eq!(partitions_of(&first), whole);

    let second = consumer(&bootstrap, &settings);
    second.subscribe(&["work"]).unwrap();
    let both = |_: &[(i32, i64)]| {
        partitions_of(&first).len() == 2
            && partitions_of(&second).len() == 2
            && &partitions_of(&first) | &partitions_of(&second) == whole
    };
    poll_until(&[&first, &second], &mut read, "two partitions for each", both);
    produce_round(1);
    poll_until(&[&first, &second], &mut read, "the second round", |read| read.len() >= 80);

    drop(second);
    poll_until(&[&first], &mut read, "all for the first again", |_| partitions_of(&first) == whole);
    produce_round(2);
    let all = |read: &[(i32, i64)]| read.iter().collect::<BTreeSet<_>>().len() == 120;
    poll_until(&[&first], &mut read, "the third round", all);
}

#[test]
fn a_second_member_takes_its_share_and_gives_it_back_eagerly() {
    a_second_member_joins_and_leaves("range");
}

#[test]
fn a_second_member_takes_its_share_and_gives_it_back_cooperatively() {
    a_second_member_joins_and_leaves("cooperative-sticky");
}

#[test]
fn a_member_that_vanishes_loses_its_partitions_after_its_session() {
    let dir = tempfile::tempdir().unwrap();
    let settings = ["--listen", "127.0.0.1:0", "--set", "group.min.session.timeout.ms=500"];
    let ottla = Ottla::start_with(dir.path(), &settings);
    let bootstrap = ottla.bootstrap();
    create_topic(&bootstrap, "work", 2, &[]);
    let settings = [
        ("group.id", "team"),
        ("heartbeat.interval.ms", "100"),
        ("session.timeout.ms", "1000"),
        // A member that does not poll for so long leaves by itself; that is not tested here.
        ("max.poll.interval.ms", "300000"),
    ];
    let first = consumer(&bootstrap, &settings);
    first.subscribe(&["work"]).unwrap();
    // This one joins by hand, and is never heard of again.
    let mut vanished = Raw::connect(ottla.address);
    let member_id = join_by_hand(&mut vanished);
    assert!(!member_id.is_empty());
    let mut none = Vec::new();
    let both = |_: &[(i32, i64)]| partitions_of(&first).len() == 2;
    poll_until(&[&first], &mut none, "both partitions", both);
    drop(vanished);
}

/// JoinGroup of version 0 with a session of one second; the member id that it got.
fn join_by_hand(connection: &mut Raw) -> String {
    let request = raw::request(11, 0, 1, false, |w| {
        w.string("team");
        w.i32(1_000);
        w.string("");
        w.string("consumer");
        w.array(1);
        w.string("range");
        // A subscription: version, topics, user data.
        let mut subscription = vec![0, 0, 0, 0, 0, 1, 0, 4];
        subscription.extend_from_slice(b"work");
        subscription.extend_from_slice(&[0xff; 4]);
        w.bytes(&subscription);
    });
    let answer = connection.ask(&request);
    let mut r = ottla::wire::Reader::new(&answer, 0, false);
    assert_eq!(r.i16("error_code").unwrap(), 0);
    r.i32("generation_id").unwrap();
    r.string("protocol_name").unwrap();
    r.string("leader").unwrap();
    r.string("member_id").unwrap().to_string()
}

fn commit(consumer: &BaseConsumer, topic: &str, offset: i64, metadata: &str) {
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic, 0, Offset::Offset(offset)).unwrap();
    list.find_partition(topic, 0).unwrap().set_metadata(metadata);
    consumer.commit(&list, CommitMode::Sync).unwrap();
}

/// Reads some, commits, lets `between` happen to the broker, and goes on where it was.
fn a_group_resumes_after(between: impl FnOnce(Ottla, u16) -> Ottla) {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().to_path_buf();
    let port = port_for_restarts();
    let ottla = Ottla::start_on(&data, port);
    let bootstrap = ottla.bootstrap();
    let texts: Vec<String> = (0..20).map(|n| n.to_string()).collect();
    produce_texts(&bootstrap, "positions", &texts);
    let settings = [("group.id", "readers"), ("session.timeout.ms", "6000")];
    let first = consumer(&bootstrap, &settings);
    first.subscribe(&["positions"]).unwrap();
    take(&first, 7);
    commit(&first, "positions", 7, "seven of them");
    drop(first);
    let ottla = between(ottla, port);
    let second = consumer(&bootstrap, &settings);
    second.subscribe(&["positions"]).unwrap();
    let rest: Vec<String> = take(&second, 13).iter().map(|m| text(m).to_string()).collect();
    assert_eq!(rest, texts[7..]);
    let mut asked = TopicPartitionList::new();
    asked.add_partition("positions", 0);
    let committed = second.committed_offsets(asked, PATIENCE).unwrap();
    let committed = committed.find_partition("positions", 0).unwrap();
    assert_eq!(committed.offset(), Offset::Offset(7));
    assert_eq!(committed.metadata(), "seven of them");
    drop(ottla);
}

#[test]
fn a_group_resumes_where_it_committed() {
    a_group_resumes_after(|ottla, _| ottla);
}

#[test]
fn a_group_resumes_where_it_committed_after_a_restart() {
    a_group_resumes_after(|ottla, port| {
        let data = ottla.data.clone();
        let (status, ..) = ottla.terminate();
        assert!(status.success());
        Ottla::start_on(&data, port)
    });
}

#[test]
fn a_group_resumes_where_it_committed_after_kill_9() {
    a_group_resumes_after(|ottla, port| {
        let data = ottla.data.clone();
        ottla.kill();
        Ottla::start_on(&data, port)
    });
}

#[test]
fn a_member_goes_on_over_a_restart_of_the_broker() {
    let dir = tempfile::tempdir().unwrap();
    let port = port_for_restarts();
    let ottla = Ottla::start_on(dir.path(), port);
    let bootstrap = ottla.bootstrap();
    produce_texts(&bootstrap, "on", &["before"]);
    let settings = [
        ("group.id", "steady"),
        ("heartbeat.interval.ms", "100"),
        ("enable.auto.commit", "true"),
        ("auto.commit.interval.ms", "50"),
    ];
    let member = consumer(&bootstrap, &settings);
    member.subscribe(&["on"]).unwrap();
    assert_eq!(text(&take(&member, 1)[0]), "before");
    ottla.kill();
    let _ottla = Ottla::start_on(dir.path(), port);
    produce_texts(&bootstrap, "on", &["after"]);
    // At least once: what was not committed before the kill may come again.
    let mut last = take(&member, 1);
    while text(&last[0]) == "before" {
        last = take(&member, 1);
    }
    assert_eq!(text(&last[0]), "after");
    // Before the broker: a member that cannot say goodbye tries for a whole session.
    drop(member);
}

#[test]
fn groups_are_listed_and_deleted() {
    let dir = tempfile::tempdir().unwrap();
    let ottla = Ottla::start(dir.path());
    let bootstrap = ottla.bootstrap();
    produce_texts(&bootstrap, "seen", &["a", "b"]);
    let member = consumer(&bootstrap, &[("group.id", "short-lived")]);
    member.subscribe(&["seen"]).unwrap();
    take(&member, 2);
    commit(&member, "seen", 2, "");
    let groups = member.fetch_group_list(Some("short-lived"), PATIENCE).unwrap();
    let group = &groups.groups()[0];
    assert_eq!((group.name(), group.state(), group.members().len()), ("short-lived", "Stable", 1));
    drop(member);
    let admin = clients::admin(&bootstrap);
    let deleted = block_on(admin.delete_groups(&["short-lived"], &AdminOptions::new())).unwrap();
    assert_eq!(deleted, [Ok("short-lived".to_string())]);
    let other = consumer(&bootstrap, &[("group.id", "another")]);
    assert!(other.fetch_group_list(None, PATIENCE).unwrap().groups().is_empty());
}
