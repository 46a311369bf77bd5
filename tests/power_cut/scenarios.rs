//! What the broker is in the middle of when the power goes: one short script each.
//!
//! All run from the first start on, on a journal of 16 KiB, so that batches of 1 KiB and more are
//! large ones and half a dozen commits of the others make a checkpoint due.

use crate::driver::{Driver, Keep};
use ottla::config::BrokerConfig;
use ottla::limits::{RING_BYTES_MIN, SEGMENT_BYTES_MIN};

/// A script and the configuration it runs with.
pub struct Scenario {
    /// Its name.
    pub name: &'static str,
    /// The broker's configuration.
    pub config: fn() -> BrokerConfig,
    /// What happens.
    pub script: fn(&mut Driver),
}

/// All of them.
pub const ALL: &[Scenario] = &[
    Scenario { name: "first start", config: plain, script: first_start },
    Scenario { name: "group commit", config: plain, script: group_commit },
    Scenario { name: "pipelined appends", config: plain, script: pipelined },
    Scenario { name: "large batches", config: plain, script: large_batches },
    Scenario { name: "small and large mixed", config: plain, script: mixed },
    Scenario { name: "large before references", config: plain, script: large_ahead },
    Scenario { name: "mixed, large ahead", config: plain, script: mixed_ahead },
    Scenario { name: "rolls, large ahead", config: small_segments, script: rolls_ahead },
    Scenario { name: "segment roll", config: small_segments, script: segment_roll },
    Scenario { name: "ring around", config: plain, script: ring_around },
    Scenario {
        name: "checkpoint in commits",
        config: small_segments,
        script: checkpoint_in_commits,
    },
    Scenario { name: "topics come and go", config: small_segments, script: topics_come_and_go },
    Scenario { name: "offset commits", config: plain, script: offset_commits },
    Scenario { name: "idempotent producers", config: plain, script: idempotent_producers },
    Scenario { name: "delete records", config: small_segments, script: delete_records },
    Scenario { name: "retention", config: little_kept, script: retention },
    Scenario { name: "forwarding", config: forwarded, script: forwarding },
    Scenario { name: "orderly stops", config: plain, script: orderly_stops },
    Scenario { name: "kills", config: small_segments, script: kills },
];

/// Scenario by name.
pub fn named(name: &str) -> &'static Scenario {
    ALL.iter().find(|scenario| scenario.name == name).expect("a scenario's name")
}

fn plain() -> BrokerConfig {
    BrokerConfig { journal_bytes: RING_BYTES_MIN as u32, ..BrokerConfig::default() }
}

fn small_segments() -> BrokerConfig {
    BrokerConfig { log_segment_bytes: SEGMENT_BYTES_MIN, ..plain() }
}

fn little_kept() -> BrokerConfig {
    BrokerConfig { log_retention_bytes: 6_000, ..small_segments() }
}

fn forwarded() -> BrokerConfig {
    let mut config = little_kept();
    config.forward.bootstrap_servers = vec![("upstream".to_owned(), 9092)];
    config
}

fn first_start(d: &mut Driver) {
    d.create("t", 1);
    d.write();
    d.append("t", 0, 1, 100);
    d.flush();
    d.append("t", 0, 2, 100);
    d.flush();
}

fn group_commit(d: &mut Driver) {
    d.create("a", 2);
    d.create("b", 2);
    d.flush();
    for round in 1..=5 {
        for partition in 0..2 {
            d.append("a", partition, round, 60 * round as usize);
            d.append("b", partition, 1, 40);
        }
        // Acks of 1 are answered when the frames are in the page cache.
        d.write();
        d.append("a", 0, 1, 30);
        d.flush();
    }
}

fn pipelined(d: &mut Driver) {
    d.create("a", 2);
    d.flush();
    for round in 0..7 {
        d.append("a", 0, 1, 100);
        d.begin_sync();
        d.append("a", 0, 2, 200);
        d.append("a", 1, 1, 100);
        if round % 2 == 0 {
            d.write();
        }
        d.append("a", 1, 1, 300);
        d.end_sync();
        d.append("a", 0, 1, 50);
    }
    d.flush();
}

fn large_batches(d: &mut Driver) {
    d.create("a", 2);
    d.flush();
    for _ in 0..4 {
        d.append("a", 0, 3, 3_000);
        d.append("a", 1, 1, 1_500);
        d.begin_sync();
        d.append("a", 0, 1, 2_000);
        d.end_sync();
        d.append("a", 1, 2, 5_000);
        d.flush();
    }
}

fn mixed(d: &mut Driver) {
    d.create("a", 2);
    d.create("b", 1);
    d.flush();
    for round in 0..5 {
        d.append("b", 0, 1, 80);
        d.append("a", 0, 1, 2_000);
        d.append("a", 0, 1, 90);
        d.append("a", 1, 1, 100);
        if round % 2 == 1 {
            d.write();
        }
        d.begin_sync();
        // While the segment is synced: one more of each kind, small ones last.
        if round < 3 {
            d.append("a", 1, 2, 2_500);
        }
        d.append("b", 0, 3, 200);
        d.end_sync();
        d.begin_sync();
        d.append("a", 0, 1, 60);
        d.end_sync();
        d.flush();
    }
    d.append("a", 1, 2, 2_500);
    d.delete("a");
    d.append("b", 0, 1, 70);
    d.flush();
}

fn large_ahead(d: &mut Driver) {
    d.use_ahead();
    d.create("a", 2);
    d.create("b", 1);
    d.flush();
    for round in 0..6 {
        d.append("b", 0, 1, 80);
        d.append("a", 0, 3, 3_000);
        d.append("a", 0, 1, 1_900);
        if round % 2 == 0 {
            d.begin_sync();
        }
        d.append("a", 1, 1, 1_500);
        d.append("a", 1, 1, 60);
        d.end_sync();
        if round == 2 {
            d.restart();
        }
    }
    d.flush();
}

fn mixed_ahead(d: &mut Driver) {
    d.use_ahead();
    mixed(d);
}

fn rolls_ahead(d: &mut Driver) {
    d.use_ahead();
    d.create("a", 2);
    d.flush();
    for round in 0..7 {
        d.append("a", 1, 1, 60);
        d.append("a", 0, 1, 2_500);
        d.append("a", 0, 1, 300);
        d.append("a", 1, 2, 1_700);
        if round % 3 == 0 {
            d.checkpoint();
        }
    }
    d.flush();
}

fn segment_roll(d: &mut Driver) {
    d.create("a", 2);
    d.flush();
    for round in 0..9 {
        d.append("a", 0, 2, 800);
        d.append("a", 0, 1, 700);
        d.append("a", 1, 1, if round % 3 == 0 { 3_900 } else { 300 });
        d.flush();
    }
}

fn ring_around(d: &mut Driver) {
    d.create("a", 1);
    d.create("b", 1);
    for round in 0..40 {
        d.append("a", 0, 1, 700 + round * 5);
        d.append("b", 0, 1, 900 - round * 7);
        d.flush();
    }
}

fn checkpoint_in_commits(d: &mut Driver) {
    d.create("a", 3);
    d.flush();
    for round in 0..5 {
        for partition in 0..3 {
            d.append("a", partition, 1, 500);
        }
        // Begun with frames that are staged and not written, and with syncs of its own in
        // between those of commits.
        d.checkpoint();
        d.append("a", 0, 1, 1_500);
        for _ in 0..3 + round {
            if d.begin_sync() {
                d.append("a", 1, 1, 900);
                d.append("a", 2, 1, 100);
                d.end_sync();
            }
        }
        d.commit("a", 0, round);
        d.flush();
    }
}

fn topics_come_and_go(d: &mut Driver) {
    d.create("keep", 1);
    d.flush();
    for round in 0..4 {
        d.create("t", 2);
        d.append("t", 0, 2, 600);
        d.flush();
        d.append("t", 0, 1, 3_000);
        d.append("t", 1, 1, 2_500);
        d.append("t", 0, 1, 700);
        d.commit("t", 0, 1);
        d.append("keep", 0, 1, 100);
        if round % 2 == 0 {
            d.flush();
            d.checkpoint();
        }
        d.delete("t");
        if round == 1 {
            d.flush();
        }
    }
    d.create("t", 1);
    d.append("t", 0, 1, 50);
    d.flush();
}

fn offset_commits(d: &mut Driver) {
    d.create("a", 2);
    d.flush();
    for offset in 1..=12 {
        d.commit("a", 0, offset);
        d.commit("a", 1, offset * 2);
        if offset % 3 == 0 {
            d.checkpoint();
        }
        d.begin_sync();
        d.commit("a", 1, offset * 2 + 1);
        d.end_sync();
    }
    d.flush();
}

fn idempotent_producers(d: &mut Driver) {
    d.create("a", 2);
    let one = d.producer_id();
    let two = d.producer_id();
    for round in 0..9 {
        d.append_as("a", 0, 2, 300, Some(one));
        d.append_as("a", 0, 1, 200, Some(two));
        d.append_as("a", 1, 1, 1_400, Some(one));
        if round % 4 == 3 {
            d.checkpoint();
        }
        d.flush();
    }
    d.producer_id();
}

fn delete_records(d: &mut Driver) {
    d.create("a", 2);
    d.flush();
    for round in 0..4 {
        for _ in 0..4 {
            d.append("a", 0, 2, 900);
            d.append("a", 1, 1, 1_300);
        }
        d.flush();
        d.delete_records("a", 0, round * 8 + 3);
        if round % 2 == 0 {
            d.checkpoint();
        }
        d.flush();
        // Everything, so that no segment is left.
        d.delete_records("a", 1, -1);
        d.append("a", 1, 1, 200);
        d.flush();
    }
}

fn retention(d: &mut Driver) {
    d.create("a", 1);
    d.create("b", 1);
    d.flush();
    for round in 0..10 {
        d.append("a", 0, 3, 1_800);
        d.append("b", 0, 1, 900);
        d.flush();
        if round % 2 == 1 {
            d.retention();
        }
        d.append("a", 0, 1, 900);
        d.flush();
    }
}

fn forwarding(d: &mut Driver) {
    d.create("a", 2);
    d.create("gone", 1);
    d.flush();
    d.append("gone", 0, 1, 100);
    d.forward("gone", 0, Keep::Saved);
    for round in 0..6 {
        d.append("a", 0, 3, 1_800);
        d.append("a", 0, 1, 2_900);
        d.append("a", 1, 1, 900);
        d.flush();
        // Retention goes by what is only noted yet.
        d.forward("a", 0, if round % 3 == 2 { Keep::Saved } else { Keep::Noted });
        d.forward("a", 1, Keep::Journalled);
        d.retention();
        if round == 2 {
            d.delete("gone");
        }
        d.begin_sync();
        d.forward("a", 1, Keep::Journalled);
        d.append("a", 1, 1, 100);
        d.end_sync();
        if round % 2 == 0 {
            d.checkpoint();
        }
        d.forward("a", 1, Keep::Saved);
        d.flush();
    }
}

fn orderly_stops(d: &mut Driver) {
    for round in 0..4 {
        d.create(["a", "b", "c", "d"][round], 1);
        d.append("a", 0, 1, 300);
        d.commit("a", 0, 7);
        d.stop();
        d.restart();
        d.append("a", 0, 1, 1_200);
        d.producer_id();
        d.flush();
        if round % 2 == 0 {
            d.stop();
            d.restart();
        }
    }
}

fn kills(d: &mut Driver) {
    d.create("a", 2);
    d.flush();
    for round in 0..6 {
        d.append("a", 0, 1, 400);
        d.append("a", 1, 1, 1_500);
        d.write();
        d.append("a", 0, 1, 900);
        if round % 2 == 0 {
            d.checkpoint();
        }
        for _ in 0..round {
            d.begin_sync();
            d.append("a", 0, 1, 500);
            d.write();
            d.end_sync();
        }
        d.restart();
        d.append("a", 0, 1, 200);
        d.append("a", 1, 1, 3_000);
        d.flush();
    }
}
