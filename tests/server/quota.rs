//! A quota for the disk, with the real binary on a real file system: what `du` counts stays below
//! it, whatever comes in.

use crate::support::clients::{Producer, admin, create_topic, produce_texts, read_all};
use crate::support::process::Ottla;
use crate::support::{block_on, status, wait_until};
use rdkafka::Message;
use rdkafka::admin::AdminOptions;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

const QUOTA: u64 = 4 << 20;
/// Between two counts of the files.
const LOOK: Duration = Duration::from_millis(2);

/// What `du` counts. Files that go meanwhile are not there.
fn du(path: &Path) -> u64 {
    let Ok(entry) = path.symlink_metadata() else { return 0 };
    let within = path.read_dir().into_iter().flatten().flatten();
    entry.blocks() * 512 + within.map(|entry| du(&entry.path())).sum::<u64>()
}

/// Sends records of 1 KB with acks=all: how many were acknowledged.
fn send(broker: &Ottla, topic: &str, count: usize) -> usize {
    let settings = [("acks", "all"), ("message.timeout.ms", "3000"), ("batch.size", "65536")];
    let producer = Producer::new(&broker.bootstrap(), &settings);
    for number in 0..count {
        producer.send_text(topic, number, &"x".repeat(1_000));
    }
    producer.flush();
    producer.deliveries.all().iter().filter(|(_, result)| result.is_ok()).count()
}

#[test]
fn files_never_take_more_than_the_quota_and_the_policy_of_each_topic_holds() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let setting = format!("disk.quota.bytes={QUOTA}");
    let broker = Ottla::start_with(&data, &["--listen", "127.0.0.1:0", "--set", &setting]);
    let bootstrap = broker.bootstrap();
    create_topic(&bootstrap, "newest", 1, &[("full.policy", "drop-oldest")]);
    create_topic(&bootstrap, "kept", 1, &[("full.policy", "reject")]);
    let (stop, most) = (AtomicBool::new(false), AtomicU64::new(0));
    let (newest, kept) = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                most.fetch_max(du(&data), Ordering::Relaxed);
                std::thread::sleep(LOOK);
            }
        });
        let first = send(&broker, "kept", 500);
        let newest = send(&broker, "newest", 20_000);
        let kept = first + send(&broker, "kept", 3_000);
        stop.store(true, Ordering::Relaxed);
        (newest, kept)
    });
    let most = most.into_inner();
    assert!(most <= QUOTA && most > QUOTA * 3 / 4, "{most} of {QUOTA}");
    assert_eq!(newest, 20_000, "the oldest made room");
    assert!((500..3_500).contains(&kept), "{kept} were taken, then no more");
    broker.wait_for_log("disk.quota.bytes is used up: records are refused");
    let said = status(&broker);
    assert!(said.contains("of disk.quota.bytes = 4.0 MiB used"), "{said}");
    assert!(said.contains("FULL: new records are refused") && said.contains("for room"), "{said}");
    assert_eq!(read_all(&bootstrap, "kept", 0).len(), kept);
    // Only the oldest are gone.
    let left = read_all(&bootstrap, "newest", 0);
    assert!(
        !left.is_empty() && left.windows(2).all(|pair| pair[0].offset() + 1 == pair[1].offset())
    );
    // Deleting makes room, at once.
    let client = admin(&bootstrap);
    let options = AdminOptions::new();
    let deleted = block_on(client.delete_topics(&["newest"], &options));
    assert!(deleted.unwrap()[0].is_ok());
    produce_texts(&bootstrap, "kept", &["taken again"]);
    wait_until("the end of it is told", || broker.log().contains("there is room for records"));
    let (status, ..) = broker.terminate();
    assert!(status.success());
    assert!(du(&data) <= QUOTA);
    let broker = Ottla::start_with(&data, &["--listen", "127.0.0.1:0", "--set", &setting]);
    assert_eq!(read_all(&broker.bootstrap(), "kept", 0).len(), kept + 1);
    broker.terminate();
}
