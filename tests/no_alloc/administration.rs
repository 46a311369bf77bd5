//! Topics and settings: what an administrator asks, in rounds, in the newest versions.
//!
//! Promises: after the first rounds no request of these touches the heap: topics are created, get
//! partitions and settings, are shown in every way, and are deleted, again and again.
//! Opening a file is not in a round: no records are written to these topics.

use crate::NONE;
use crate::client::World;
use crate::requests::{Ask, after_throttle, describe_topic_partitions};
use ottla::wire::{ReadError, Reader};

/// Rounds that are counted, and those before.
const ROUNDS: usize = 1_200;
/// See `crate::WARM_UP`.
const FIRST_ROUNDS: usize = 400;

/// The error code behind the throttle time, a count and a name.
fn of_first(r: &mut Reader<'_>) -> Result<i16, ReadError> {
    r.i32("throttle_time_ms")?;
    r.array("results")?;
    r.string("name")?;
    r.i16("error_code")
}

/// The error code behind the throttle time and a count.
fn of_resource(r: &mut Reader<'_>) -> Result<i16, ReadError> {
    r.i32("throttle_time_ms")?;
    r.array("results")?;
    r.i16("error_code")
}

/// CreateTopics of these, two partitions and two settings each.
pub fn create_topics(names: &[&str], assigned: bool) -> Ask {
    let error_of = |r: &mut Reader<'_>| {
        r.i32("throttle_time_ms")?;
        r.array("topics")?;
        r.string("name")?;
        r.uuid("topic_id")?;
        r.i16("error_code")
    };
    Ask::new(19, error_of, |w| {
        w.array(names.len());
        for name in names {
            w.string(name);
            w.i32(if assigned { -1 } else { 2 });
            w.i16(-1);
            w.array(if assigned { 2 } else { 0 });
            for index in (0..2).filter(|_| assigned) {
                w.i32(1 - index);
                w.array(1);
                w.i32(1);
                w.tags();
            }
            w.array(2);
            for (key, value) in [("retention.ms", "5000"), ("cleanup.policy", "delete")] {
                w.string(key);
                w.nullable_string(Some(value));
                w.tags();
            }
            w.tags();
        }
        w.i32(1_000);
        w.bool(false);
        w.tags();
    })
}

/// CreatePartitions of one topic.
pub fn create_partitions(name: &str, count: i32) -> Ask {
    Ask::new(37, of_first, |w| {
        w.array(1);
        w.string(name);
        w.i32(count);
        w.nullable_array(None);
        w.tags();
        w.i32(1_000);
        w.bool(false);
        w.tags();
    })
}

/// AlterConfigs of one topic.
pub fn alter_configs(name: &str) -> Ask {
    Ask::new(33, of_resource, |w| {
        w.array(1);
        w.i8(2);
        w.string(name);
        w.array(2);
        for (key, value) in [("segment.bytes", "1048576"), ("min.cleanable.dirty.ratio", "0.25")] {
            w.string(key);
            w.nullable_string(Some(value));
            w.tags();
        }
        w.tags();
        w.bool(false);
        w.tags();
    })
}

/// IncrementalAlterConfigs of one topic: one setting set, one taken back.
pub fn incremental_alter_configs(name: &str) -> Ask {
    Ask::new(44, of_resource, |w| {
        w.array(1);
        w.i8(2);
        w.string(name);
        w.array(2);
        w.string("retention.bytes");
        w.i8(0);
        w.nullable_string(Some("100000"));
        w.tags();
        w.string("segment.bytes");
        w.i8(1);
        w.nullable_string(None);
        w.tags();
        w.tags();
        w.bool(false);
        w.tags();
    })
}

/// DescribeConfigs of a topic or of the broker, of these settings or of all.
pub fn describe_configs(kind: i8, name: &str, keys: Option<&[&str]>) -> Ask {
    Ask::new(32, of_resource, |w| {
        w.array(1);
        w.i8(kind);
        w.string(name);
        w.nullable_array(keys.map(<[&str]>::len));
        keys.into_iter().flatten().for_each(|key| w.string(key));
        w.tags();
        w.bool(true);
        w.bool(true);
        w.tags();
    })
}

/// DeleteTopics of these.
pub fn delete_topics(names: &[&str]) -> Ask {
    let error_of = |r: &mut Reader<'_>| {
        r.i32("throttle_time_ms")?;
        r.array("responses")?;
        r.nullable_string("name")?;
        r.uuid("topic_id")?;
        r.i16("error_code")
    };
    Ask::new(20, error_of, |w| {
        w.array(names.len());
        for name in names {
            w.nullable_string(Some(name));
            w.uuid(&[0; 16]);
            w.tags();
        }
        w.i32(1_000);
        w.tags();
    })
}

/// DeleteRecords of partition 0 of a topic.
pub fn delete_records(name: &str, offset: i64) -> Ask {
    let error_of = |r: &mut Reader<'_>| {
        r.i32("throttle_time_ms")?;
        r.array("topics")?;
        r.string("name")?;
        r.array("partitions")?;
        r.i32("partition_index")?;
        r.i64("low_watermark")?;
        r.i16("error_code")
    };
    Ask::new(21, error_of, |w| {
        w.array(1);
        w.string(name);
        w.array(1);
        w.i32(0);
        w.i64(offset);
        w.tags();
        w.tags();
        w.i32(1_000);
        w.tags();
    })
}

#[test]
fn topics_that_are_created_changed_shown_and_deleted() {
    let mut world = World::new();
    let mut cost = NONE;
    for round in 0..FIRST_ROUNDS + ROUNDS {
        // Names of many lengths: places are found for all of them.
        let first = format!("first-{}", "x".repeat(round * 31 % 200));
        let second = format!("a-second-{round}");
        let lines = [
            create_topics(&[&first, &second], round % 2 == 0),
            create_partitions(&second, 5),
            alter_configs(&first),
            incremental_alter_configs(&first),
            describe_configs(2, &first, None),
            describe_configs(2, &second, Some(&["segment.bytes", "cleanup.policy"])),
            describe_topic_partitions(),
            delete_records(&first, -1),
            delete_topics(&[&second, &first]),
        ];
        for ask in lines {
            let mut count = world.scene(&[(0, ask)]);
            world.checkpoint();
            count += world.pass(1);
            if round >= FIRST_ROUNDS {
                cost += count;
            }
        }
    }
    assert_eq!(cost, NONE);
}

#[test]
fn the_brokers_settings_and_figures() {
    let mut world = World::forwarding();
    world.fill(20);
    world.scene(&[(0, create_topics(&["more", "still-more"], false))]);
    let mut cost = NONE;
    for round in 0..2_000 {
        let some = ["ottla.status.limits", "num.partitions", "ottla.status.up.ms"];
        let forwarded = ["ottla.status.forward.topic.t", "ottla.status.forward.rejected"];
        for keys in [None, Some(&some[..]), Some(&forwarded[..])] {
            let count = world.scene(&[(0, describe_configs(4, "1", keys))]);
            if round > 0 {
                cost += count;
            }
        }
    }
    let told = String::from_utf8_lossy(world.answers(0)).into_owned();
    assert!(told.contains("upstream=t;records="), "{told}");
    assert_eq!(cost, NONE);
}

/// A flood of names that are there or not, and of names that are no names: refusals in words that
/// are made for them are the only thing that is allocated, one at a time.
#[test]
fn what_is_not_there_costs_nothing_either() {
    let refused = |key: i16, write: &dyn Fn(&mut ottla::wire::Writer<'_>)| {
        Ask::new(key, |_| Ok(0), |w| write(w))
    };
    let mut world = World::new();
    let mut cost = NONE;
    for round in 0..1_000 {
        let asks = [
            refused(20, &|w| {
                w.array(2);
                for name in ["nobody", "nobody"] {
                    w.nullable_string(Some(name));
                    w.uuid(&[0; 16]);
                    w.tags();
                }
                w.i32(1_000);
                w.tags();
            }),
            refused(32, &|w| {
                w.array(1);
                w.i8(2);
                w.string("nobody");
                w.nullable_array(None);
                w.tags();
                w.bool(false);
                w.bool(false);
                w.tags();
            }),
            create_topics_refused(),
        ];
        for ask in asks {
            let count = world.scene(&[(0, ask)]);
            if round > 0 {
                cost += count;
            }
        }
    }
    assert_eq!(cost, NONE);
}

fn create_topics_refused() -> Ask {
    Ask::new(19, after_throttle_is_fine, |w| {
        w.array(1);
        w.string("t");
        w.i32(1);
        w.i16(1);
        w.array(0);
        w.array(0);
        w.tags();
        w.i32(1_000);
        w.bool(false);
        w.tags();
    })
}

fn after_throttle_is_fine(r: &mut Reader<'_>) -> Result<i16, ReadError> {
    after_throttle(r).map(|_| 0)
}

/// Records that go, by age and by request, with the segments that they are in.
#[test]
fn retention_and_delete_records_take_segments_away() {
    let mut world = World::new();
    world.fill(5_000);
    let before = world.segments();
    let count = world.scene(&[(0, delete_records("t", 2_500))]);
    world.checkpoint();
    assert!(world.segments() < before, "whole segments have gone");
    println!("DeleteRecords over several segments: {count:?}");
    assert_eq!(count.allocations, 0);
    // The settings of the topic let all but the last segment go, a check later.
    let short = Ask::new(44, of_resource, |w| {
        w.array(1);
        w.i8(2);
        w.string("t");
        w.array(1);
        w.string("retention.bytes");
        w.i8(0);
        w.nullable_string(Some("1"));
        w.tags();
        w.tags();
        w.bool(false);
        w.tags();
    });
    world.scene(&[(0, short)]);
    let before = world.segments();
    let mut count = NONE;
    for _ in 0..400 {
        count += world.pass(1_000);
    }
    count += world.scene(&[(0, crate::requests::metadata())]);
    assert!(world.segments() < before, "retention has run");
    println!("retention over several segments: {count:?}");
    assert_eq!(count.allocations, 0);
}
