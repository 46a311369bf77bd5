//! Clients that take what everybody shares, and do not give it back.

use crate::attacker::{Attacker, Held};
use crate::support::raw;
use ottla::wire::record::BatchBuilder;
use std::io::Write;
use std::net::Shutdown;
use std::time::Duration;

/// Fetch of all there is and more, in answers of 2^31-1 bytes.
fn greedy_fetch(correlation_id: i32) -> Vec<u8> {
    raw::request(1, 4, correlation_id, false, |w| {
        w.i32(-1);
        w.i32(i32::MAX);
        w.i32(1);
        w.i32(i32::MAX);
        w.i8(0);
        w.array(1);
        w.string("hostile-large");
        w.array(1);
        w.i32(0);
        w.i64(0);
        w.i32(i32::MAX);
    })
}

/// Consumers that ask for 2^31-1 bytes, ten times each, and read nothing.
pub fn consumers(attacker: &Attacker) -> Held {
    attacker.pipeline(&[raw::metadata(0, "hostile-large")]);
    let large = vec![b'x'; 1_000_000];
    let produce: Vec<_> = (0..12).map(|n| raw::produce(n, 1, "hostile-large", &large)).collect();
    assert_eq!(attacker.pipeline(&produce), 12);
    (0..30)
        .map(|_| {
            let mut stream = attacker.connect_with_window(4_096);
            attacker.sent(10);
            (0..10).for_each(|n| drop(stream.write_all(&greedy_fetch(n))));
            stream
        })
        .collect()
}

/// Clients that ask for large answers from tables (metadata, settings) and read nothing.
pub fn askers(attacker: &Attacker) -> Held {
    // DescribeConfigs of the broker and of a topic, with all that is known of each setting.
    let describe = raw::request(32, 3, 1, false, |w| {
        w.array(40);
        for n in 0..40 {
            w.i8(if n % 2 == 0 { 4 } else { 2 });
            w.string(if n % 2 == 0 { "1" } else { "hostile" });
            w.nullable_array(None);
        }
        w.bool(true);
        w.bool(true);
    });
    (0..30)
        .map(|_| {
            let mut stream = attacker.connect_with_window(4_096);
            stream.set_write_timeout(Some(Duration::from_millis(50))).ok();
            attacker.sent(20);
            (0..20).for_each(|_| drop(stream.write_all(&describe)));
            stream
        })
        .collect()
}

/// Producers that send 99 of 100 bytes of a large batch, of a stream of batches, of a request.
pub fn producers(attacker: &Attacker) -> Held {
    let mut batch = BatchBuilder::new(0);
    batch.push(0, None, Some(&vec![b'y'; 1_000_000]), &[]);
    let one = raw::produce_batch(1, -1, "hostile", &batch.finish());
    let small = raw::produce(1, -1, "hostile", &vec![b'z'; 30_000]);
    let mut stream = one[..one.len() * 99 / 100].to_vec();
    // The same, as the start of a request of 50 MiB.
    stream[..4].copy_from_slice(&(50i32 << 20).to_be_bytes());
    let mut held = Held::new();
    for n in 0..60 {
        let bytes = [&one[..one.len() * 99 / 100], &stream, &small[..small.len() * 99 / 100]];
        let mut stream = attacker.connect();
        attacker.sent(1);
        // Those who find no buffer are not read, so that their bytes stay here.
        stream.set_write_timeout(Some(Duration::from_millis(20))).ok();
        stream.write_all(bytes[n % 3]).ok();
        held.push(stream);
    }
    held
}

/// Connections that say nothing, that were half closed, and that were left in the middle.
pub fn half_open(attacker: &Attacker) -> Held {
    let mut held: Held = (0..30).map(|_| attacker.connect()).collect();
    for n in 0..30 {
        // A question that waits for records, from somebody who will send nothing more.
        let stream = attacker.send(&raw::fetch(n, "good", 1 << 40, 1, i32::MAX));
        stream.shutdown(Shutdown::Write).ok();
        held.push(stream);
    }
    for n in 0..300 {
        // Closed with bytes unread, which is a reset.
        let asking = [raw::api_versions(n), raw::api_versions(n)].concat();
        let stream = attacker.send(&asking);
        if n % 2 == 0 {
            std::thread::sleep(Duration::from_millis(1));
        }
        drop(stream);
    }
    held
}

/// More connections than there are seats.
pub fn two_thousand(attacker: &Attacker) -> Held {
    (0..2_000).map(|_| attacker.connect()).collect()
}

/// The same, each with a request that waits, or with a part of one.
pub fn two_thousand_asking(attacker: &Attacker) -> Held {
    let asking =
        [raw::fetch(1, "good", 1 << 40, 1, i32::MAX), raw::produce(1, -1, "hostile", b"x")];
    (0..2_000)
        .map(|n| {
            let bytes = &asking[n % 2];
            attacker.send(&bytes[..bytes.len() - n % 3])
        })
        .collect()
}
