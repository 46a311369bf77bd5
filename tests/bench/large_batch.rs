//! From which size on does a batch better skip the journal? `cargo bench --bench large_batch [DIR]`
//!
//! Commits of one batch each, synced one after the other, with the checkpoints that they cause:
//! once carried in the journal (one sync, written twice in the end), once as a reference (two
//! syncs, written once). The two take turns, so that the machine's noise hits both; the figure to
//! look at is the ratio. DIR should be on the card that is meant; default is the target directory.

use ottla::disk::Disk;
use ottla::disk::os::OsDisk;
use ottla::storage::recovery::{Effect, Replay};
use ottla::storage::{Options, PartitionKey, SegmentPolicy, Storage};
use ottla::time::Millis;
use ottla::wire::batch::{BatchHeader, Stamped};
use ottla::wire::record::BatchBuilder;
use std::path::Path;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// Bytes of batches per size and way.
const TOTAL_BYTES: usize = 24 << 20;
/// Turns that the two ways take.
const ROUNDS: usize = 6;

struct Nothing;

impl Replay for Nothing {
    fn snapshot(&mut self, _: &[u8]) -> Result<(), u16> {
        Ok(())
    }
    fn effect(&self, _: &[u8]) -> Effect {
        Effect::None
    }
    fn change(&mut self, _: &[u8]) {}
    fn batch(&mut self, _: PartitionKey, _: &BatchHeader) {}
    fn adopt(&mut self, _: u32, _: &str, _: u32) {}
}

fn sync_all(storage: &mut Storage) {
    storage.want_sync(Millis(0));
    while let Some(file) = storage.start_sync(Millis(0)) {
        storage.finish_sync(file.sync(), Millis(0));
    }
}

fn batch(bytes: usize) -> Vec<u8> {
    let mut builder = BatchBuilder::new(0);
    builder.push(0, None, Some(&vec![b'x'; bytes - 80]), &[]);
    builder.finish()
}

struct Way {
    storage: Storage,
    spent: Duration,
    commits: usize,
}

impl Way {
    fn new(dir: &Path, large_batch_bytes: usize) -> Way {
        let disk: Rc<dyn Disk> = Rc::new(OsDisk::open(dir).expect("the directory"));
        let options = Options {
            journal_bytes: 8 << 20,
            quota_bytes: None,
            flush_interval_ms: 1000,
            flush_pause_ms: 0,
            large_batch_bytes,
            sizes: ottla::limits::Sizes::default(),
        };
        let opened = Storage::open(disk, options, &mut Nothing, Millis(0));
        let (mut storage, _) = opened.expect("a new directory opens");
        storage.add_partition(PartitionKey { topic: 1, partition: 0 }, "bench").expect("room");
        storage.begin_checkpoint(&|_| {}, false, Millis(0)).expect("a checkpoint");
        sync_all(&mut storage);
        Way { storage, spent: Duration::ZERO, commits: 0 }
    }

    fn round(&mut self, batch: &[u8]) {
        let policy = SegmentPolicy { segment_bytes: 16 << 20, segment_s: u32::MAX };
        let start = Instant::now();
        for _ in 0..(TOTAL_BYTES / ROUNDS / batch.len()).max(1) {
            let stamp = |base_offset| Stamped::new(batch, base_offset, 0, None);
            self.storage.append(0, policy, Millis(0), stamp).expect("room");
            sync_all(&mut self.storage);
            if self.storage.checkpoint_due() {
                self.storage.begin_checkpoint(&|_| {}, false, Millis(0)).expect("a checkpoint");
                sync_all(&mut self.storage);
            }
            self.commits += 1;
        }
        self.spent += start.elapsed();
    }

    fn micros(&self) -> f64 {
        self.spent.as_secs_f64() * 1e6 / self.commits as f64
    }
}

fn main() {
    let given = std::env::args().skip(1).find(|arg| !arg.starts_with("--"));
    let parent = given.unwrap_or_else(|| env!("CARGO_TARGET_TMPDIR").to_owned());
    println!("{:>10} {:>14} {:>14} {:>10}", "bytes", "journal us", "reference us", "ratio");
    for kib in [4, 8, 16, 32, 64, 128, 256, 448] {
        let bytes = batch(kib << 10);
        let dir = tempfile::tempdir_in(&parent).expect("a temporary directory");
        let mut inline = Way::new(&dir.path().join("journal"), usize::MAX);
        let mut reference = Way::new(&dir.path().join("reference"), 1);
        for _ in 0..ROUNDS {
            inline.round(&bytes);
            reference.round(&bytes);
        }
        let (a, b) = (inline.micros(), reference.micros());
        println!("{:>10} {a:>14.0} {b:>14.0} {:>10.2}", bytes.len(), b / a);
    }
}
