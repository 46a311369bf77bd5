//! Tables at their limits, and what storage takes of the memory.

use super::*;
use crate::config::TopicOverrides;
use crate::disk::Disk;
use crate::disk::os::OsDisk;
use crate::disk::sim::SimDisk;
use crate::storage::Options;
use crate::storage::recovery::{Nothing, OpenError, TooLarge};
use crate::wire::batch::{self, BatchHeader};
use crate::wire::record::BatchBuilder;
use std::rc::Rc;

const NOW: Now = Now { mono: Millis(1_000), wall_ms: 1_700_000_000_000 };

fn config(sizes: Sizes) -> BrokerConfig {
    BrokerConfig { journal_bytes: 1 << 20, sizes, ..BrokerConfig::default() }
}

fn start(disk: Rc<dyn Disk>, sizes: Sizes) -> Broker {
    open(disk, config(sizes), 7, NOW).map(|opened| opened.broker).unwrap()
}

fn sync(broker: &mut Broker) {
    broker.checkpoint(false, false, NOW).ok();
    broker.storage_mut().sync_all(NOW.mono).ok();
    broker.pop_woken();
}

fn create(broker: &mut Broker, name: &str, partitions: i32) -> Result<Lsn, Refusal> {
    let overrides = TopicOverrides::default();
    broker.create_topic(NewTopic { name, partitions, replication_factor: 1, overrides }, NOW)
}

fn bytes_of(value: &[u8]) -> (Vec<u8>, BatchHeader) {
    let mut builder = BatchBuilder::new(NOW.wall_ms);
    builder.push(NOW.wall_ms, None, Some(value), &[]);
    let bytes = builder.finish();
    let header = batch::check(&bytes).unwrap();
    (bytes, header)
}

#[test]
fn topics_and_their_names_and_partitions_end_where_the_board_does() {
    let sizes = Sizes { topics: 3, partitions: 5, name_bytes: 12, ..Sizes::default() };
    let mut broker = start(Rc::new(SimDisk::new()), sizes);
    assert_eq!(create(&mut broker, "a", 6), Err(Refusal::NoRoom("partitions", 5)));
    create(&mut broker, "a", 4).unwrap();
    assert_eq!(create(&mut broker, "b", 2), Err(Refusal::NoRoom("partitions", 5)));
    let long = "x".repeat(12);
    assert_eq!(create(&mut broker, &long, 1), Err(Refusal::NoRoom("bytes of names", 12)));
    create(&mut broker, "b", 1).unwrap();
    let number = broker.topics().find("a").unwrap().number;
    let more = broker.add_partitions(number, 5, NOW);
    assert_eq!(more, Err(Refusal::NoRoom("partitions", 5)));
    broker.delete_topic(number, NOW).unwrap();
    assert_eq!(create(&mut broker, "c", 2), Err(Refusal::TopicGoing), "its files are still there");
    sync(&mut broker);
    create(&mut broker, "c", 2).unwrap();
    create(&mut broker, "d", 1).unwrap();
    assert_eq!(create(&mut broker, "e", 1), Err(Refusal::NoRoom("topics", 3)));
    let used: Vec<_> = broker.usage().map(|u| (u.name, u.used, u.limit)).collect();
    assert!(used.contains(&("topics", 3, 3)) && used.contains(&("partitions", 4, 5)), "{used:?}");
    assert!(used.contains(&("topics.name.bytes", 3, 12)), "{used:?}");
}

#[test]
fn where_segments_have_no_row_the_last_one_grows_and_nothing_is_refused() {
    let sizes = Sizes { segments: 3, ..Sizes::default() };
    let disk = SimDisk::new();
    let mut broker = start(Rc::new(disk.clone()), sizes);
    let mut overrides = TopicOverrides::default();
    overrides.set("segment.bytes", "4096").unwrap();
    let new = NewTopic { name: "t", partitions: 1, replication_factor: 1, overrides };
    broker.create_topic(new, NOW).unwrap();
    sync(&mut broker);
    let (bytes, header) = bytes_of(&[7; 1500]);
    for round in 0..40 {
        broker.append("t", 0, &bytes, &header, NOW).unwrap();
        if round % 8 == 7 {
            broker.checkpoint(true, false, NOW).unwrap();
        }
        sync(&mut broker);
    }
    let all = |broker: &Broker| {
        let (_, log) = broker.storage().partitions().next().unwrap();
        (log.segments.len(), log.log_start, log.high_watermark, log.bytes())
    };
    assert_eq!(all(&broker), (3, 0, 40, 40 * bytes.len() as u64));
    drop(broker);
    let broker = start(Rc::new(disk.after_cut(0)), sizes);
    assert_eq!(all(&broker), (3, 0, 40, 40 * bytes.len() as u64));
}

#[test]
fn a_directory_of_a_larger_board_is_refused_in_a_sentence_and_nothing_is_lost() {
    let disk = SimDisk::new();
    let mut broker = start(Rc::new(disk.clone()), Sizes::default());
    create(&mut broker, "t", 5).unwrap();
    sync(&mut broker);
    broker.checkpoint(true, true, NOW).unwrap();
    sync(&mut broker);
    drop(broker);
    let before = disk.operations();
    let small = Sizes { partitions: 4, ..Sizes::default() };
    let Err(error) = open(Rc::new(disk.clone()), config(small), 7, NOW) else { panic!("opened") };
    assert_eq!(error, OpenError::TooLarge(TooLarge { what: "partitions", found: 5 }));
    assert!(error.to_string().contains("5 partitions, more than this board"), "{error}");
    assert!(disk.operations() <= before + 1, "at most a sync of the directory");
    let broker = start(Rc::new(disk), Sizes::default());
    assert_eq!(broker.topics().partitions(), 5);
}

#[test]
fn topics_and_names_of_a_larger_board_are_refused_too() {
    let disk = SimDisk::new();
    let mut broker = start(Rc::new(disk.clone()), Sizes::default());
    create(&mut broker, &"x".repeat(200), 2).unwrap();
    let number = broker.topics().iter().next().map(|topic| topic.number).unwrap();
    let mut overrides = TopicOverrides::default();
    overrides.set("retention.ms", "60000").unwrap();
    broker.configure_topic(number, overrides, NOW).unwrap();
    sync(&mut broker);
    drop(broker);
    for (sizes, what, found) in [
        (Sizes { topics: 0, ..Sizes::default() }, "topics", 1),
        (Sizes { name_bytes: 199, ..Sizes::default() }, "bytes of topics' names", 200),
    ] {
        let opened = open(Rc::new(disk.fork()), config(sizes), 7, NOW);
        let error = opened.map(|_| ()).unwrap_err();
        assert_eq!(error, OpenError::TooLarge(TooLarge { what, found }));
    }
    let enough = Sizes { topics: 1, partitions: 2, name_bytes: 200, ..Sizes::default() };
    start(Rc::new(disk), enough);
}

#[test]
fn storage_takes_what_the_ledger_says_and_appends_and_syncs_take_nothing_more() {
    let sizes = Sizes::default();
    let mut ledger = Ledger::default();
    Storage::account(&sizes, &mut ledger);
    let directory = tempfile::tempdir().unwrap();
    let disk: Rc<dyn Disk> = Rc::new(OsDisk::open(directory.path()).unwrap());
    let options = Options {
        journal_bytes: 1 << 20,
        quota_bytes: None,
        flush_interval_ms: 1_000,
        flush_pause_ms: 0,
        large_batch_bytes: 128 * 1024,
        sizes,
    };
    let mut opened = None;
    let made = allocation_counter::measure(|| {
        opened = Storage::open(disk.clone(), options, &mut Nothing, NOW.mono).ok();
    });
    assert!(made.bytes_max <= ledger.bytes(), "{made:?}, {} accounted", ledger.bytes());
    drop(opened);

    let mut broker = start(disk, sizes);
    create(&mut broker, "t", 2).unwrap();
    sync(&mut broker);
    let (bytes, header) = bytes_of(&[7; 500]);
    let round = |broker: &mut Broker| {
        for partition in [0, 1, 0, 0, 1] {
            broker.append("t", partition, &bytes, &header, NOW).unwrap();
        }
        broker.storage_mut().want_sync(NOW.mono);
        while let Some(file) = broker.storage_mut().start_sync(NOW.mono) {
            broker.storage_mut().finish_sync(file.sync(), NOW.mono);
        }
        broker.pop_woken();
    };
    (0..3).for_each(|_| round(&mut broker));
    let mut checkpoints = 0;
    for _ in 0..1_000 {
        if broker.storage().checkpoint_due() {
            let seen = allocation_counter::measure(|| {
                broker.checkpoint(false, false, NOW).unwrap();
                round(&mut broker);
            });
            // Two for each file that is opened: the new coordinator file and directories.
            assert!(seen.count_total <= 16 && seen.bytes_max < 4096, "a checkpoint: {seen:?}");
            checkpoints += 1;
        }
        let seen = allocation_counter::measure(|| round(&mut broker));
        assert_eq!(seen.count_total, 0, "{seen:?}");
    }
    assert!(checkpoints > 2);
}
