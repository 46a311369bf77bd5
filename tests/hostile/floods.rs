//! Too much of what would be welcome.

use crate::attacker::{Attacker, Held, read_frame};
use crate::support::raw;
use ottla::wire::record::{BatchBuilder, Producer};
use std::io::Write;
use std::time::Duration;

/// 10,000 requests one behind the other, of several kinds; and as many that nobody reads.
pub fn pipelined(attacker: &Attacker) -> Held {
    attacker.pipeline(&[raw::metadata(0, "hostile")]);
    let ask = |n: i32| match n % 5 {
        0 => raw::produce(n, -1, "hostile", b"pipelined"),
        1 => raw::produce(n, 1, "hostile", b"pipelined"),
        2 => raw::metadata(n, "hostile"),
        3 => raw::fetch(n, "hostile", 0, 1, 0),
        _ => raw::api_versions(n),
    };
    let requests: Vec<_> = (0..10_000).map(ask).collect();
    assert_eq!(attacker.pipeline(&requests), requests.len(), "answers to what was pipelined");
    let mut unread = attacker.connect_with_window(4_096);
    unread.set_write_timeout(Some(Duration::from_millis(300))).ok();
    attacker.sent(requests.len());
    unread.write_all(&requests.concat()).ok();
    vec![unread]
}

fn join(group: &str, member: usize, metadata: &[u8]) -> Vec<u8> {
    let id = member as i32;
    raw::request(11, 3, id, false, |w| {
        w.string(group);
        w.i32(30_000);
        w.i32(30_000);
        w.string("");
        w.string("consumer");
        w.array(1);
        w.string("range");
        w.bytes(metadata);
    })
}

/// Members of one group, of many groups, with large metadata, and with ids asked for and not used.
pub fn joins(attacker: &Attacker) -> Held {
    let mut held = Held::new();
    for n in 0..100 {
        // One that waits for its rebalance keeps its connection.
        let group = if n < 50 { "hostile-one".to_owned() } else { format!("hostile-{n}") };
        held.push(attacker.send(&join(&group, n, &vec![7; 50 * n])));
    }
    let fresh = |n: usize| {
        raw::request(11, 5, n as i32, false, |w| {
            w.string(&format!("hostile-pending-{}", n / 3));
            w.i32(30_000);
            w.i32(30_000);
            w.string("");
            w.nullable_string(None);
            w.string("consumer");
            w.array(1);
            w.string("range");
            w.bytes(&[0; 100]);
        })
    };
    let requests: Vec<_> = (0..5_000).map(fresh).collect();
    assert_eq!(attacker.pipeline(&requests), requests.len(), "answers to joins");
    // 5,000 groups that only commit an offset, with metadata.
    let commit = |n: usize| {
        raw::request(8, 2, n as i32, false, |w| {
            w.string(&format!("hostile-commit-{n}"));
            w.i32(-1);
            w.string("");
            w.i64(-1);
            w.array(1);
            w.string("hostile");
            w.array(1);
            w.i32(0);
            w.i64(n as i64);
            w.nullable_string(Some(&"m".repeat(1_000)));
        })
    };
    let requests: Vec<_> = (0..5_000).map(commit).collect();
    assert_eq!(attacker.pipeline(&requests), requests.len(), "answers to commits");
    held
}

fn create(id: i32, names: &[String], partitions: i32) -> Vec<u8> {
    raw::request(19, 4, id, false, |w| {
        w.array(names.len());
        for name in names {
            w.string(name);
            w.i32(partitions);
            w.i16(1);
            w.array(0);
            w.array(0);
        }
        w.i32(1_000);
        w.bool(false);
    })
}

/// Topics until there is no room for more, then far more; and topics of far too many partitions.
pub fn topics(attacker: &Attacker) -> Held {
    let name = |n: usize| format!("hostile-topic-{n:05}-{}", "x".repeat(200));
    for partitions in [i32::MAX, 100_000, 5_000, 0, -2, i32::MIN] {
        attacker.pipeline(&[create(0, &[name(99_999)], partitions)]);
    }
    let names: Vec<_> = (0..400).map(name).collect();
    for (n, names) in names.chunks(50).enumerate() {
        attacker.pipeline(&[create(n as i32, names, 1)]);
    }
    // By asking for them, too.
    let requests: Vec<_> = (400..800).map(|n| raw::metadata(n as i32, &name(n))).collect();
    attacker.pipeline(&requests);
    // All gone again, as far as they came to be.
    let delete = |names: &[String]| {
        raw::request(20, 1, 9, false, |w| {
            w.array(names.len());
            names.iter().for_each(|name| w.string(name));
            w.i32(1_000);
        })
    };
    let names: Vec<_> = (0..800).map(name).collect();
    for names in names.chunks(50) {
        attacker.pipeline(&[delete(names)]);
    }
    Held::new()
}

/// Ids for producers, and producers who name ids that nobody gave them.
pub fn producer_ids(attacker: &Attacker) -> Held {
    let init = |n: i32| {
        raw::request(22, 0, n, false, |w| {
            w.nullable_string(None);
            w.i32(1_000);
        })
    };
    let requests: Vec<_> = (0..10_000).map(init).collect();
    assert_eq!(attacker.pipeline(&requests), requests.len(), "answers to InitProducerId");
    let produce = |n: i32| {
        let producer = Producer { id: 1_000_000 + i64::from(n), epoch: 0, base_sequence: 0 };
        let mut batch = BatchBuilder::new(0).producer(producer);
        batch.push(0, None, Some(b"x"), &[]);
        raw::produce_batch(n, 1, "hostile", &batch.finish())
    };
    let requests: Vec<_> = (0..10_000).map(produce).collect();
    assert_eq!(attacker.pipeline(&requests), requests.len(), "answers to producers");
    Held::new()
}

/// A producer that fills no table but asks without end, beside one who only wants to know: 20
/// connections, each 500 times.
pub fn tight_loops(attacker: &Attacker) -> Held {
    let mut held: Held = (0..20).map(|_| attacker.connect()).collect();
    for n in 0..500 {
        for stream in &mut held {
            stream.write_all(&raw::metadata(n, "hostile")).ok();
        }
        for stream in &mut held {
            read_frame(stream);
        }
        attacker.sent(20);
    }
    held
}
