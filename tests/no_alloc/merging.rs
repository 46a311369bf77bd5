//! Batches made for upstream: what they take from the heap, at the start and then each time.
//!
//! Promises: merging, gzip and LZ4 take nothing once they are there; zstd takes a little for a
//! moment and gives it back.
//! Absent: batches whose stored compression must be undone, which allocate by design.

use crate::NONE;
use crate::client::Count;
use ottla::forward::batch::Identity;
use ottla::forward::merge::Merger;
use ottla::limits::Sizes;
use ottla::wire::batch::{Codec, Stamped};
use ottla::wire::record::BatchBuilder;

/// Bytes of a merged batch: the default of `forward.batch.size`.
const BATCH_SIZE: u32 = 64 * 1024;
/// Batches that are made and counted.
const ROUNDS: usize = 100;
/// Bytes that zstd may take for the time of one batch.
const FOR_A_MOMENT_BYTES_MAX: u64 = 32 * 1024;

/// A log of batches of one record of 100 bytes each, longer than one merged batch.
fn log() -> Vec<u8> {
    let stored = |offset: i64| {
        let value =
            format!("{{\"sensor\":\"t-{:03}\",\"value\":{:>70}}}", offset % 20, offset * 7919);
        let mut builder = BatchBuilder::new(offset);
        builder.push(offset, None, Some(value.as_bytes()), &[]);
        let batch = builder.finish();
        Stamped::new(&batch, offset, 0, None)
            .map(|batch| batch.parts().concat())
            .unwrap_or_default()
    };
    (0..1_000).flat_map(stored).collect()
}

#[test]
fn batches_are_merged_and_compressed_in_memory_that_is_there() {
    let log = log();
    let id = Identity { producer_id: 1, producer_epoch: 0 };
    for codec in [Codec::None, Codec::Gzip, Codec::Lz4, Codec::Zstd] {
        let mut merger = None;
        let held = allocation_counter::measure(|| {
            let mut new = Merger::new(BATCH_SIZE, codec);
            let mut out = Vec::with_capacity(2 * BATCH_SIZE as usize);
            new.pack(&log, 0, id, 0, false, &mut out).unwrap();
            merger = Some(new);
        });
        let mut merger = merger.unwrap();
        let mut out = Vec::with_capacity(2 * BATCH_SIZE as usize);
        let mut pack = || {
            out.clear();
            let packed = merger.pack(&log, 0, id, 0, false, &mut out).unwrap();
            assert!(packed.batches > 400 && packed.codec == codec, "{packed:?}");
        };
        pack();
        let each = allocation_counter::measure(|| (0..ROUNDS).for_each(|_| pack()));
        println!(
            "{codec:?}: holds {} bytes, then {} for a moment",
            held.bytes_current, each.bytes_max
        );
        let accounted = Merger::memory(BATCH_SIZE, codec, &Sizes::default());
        assert!(held.bytes_current as usize <= accounted, "{codec:?}: {held:?} of {accounted}");
        assert!(each.bytes_max <= FOR_A_MOMENT_BYTES_MAX && each.bytes_current == 0, "{each:?}");
        if codec != Codec::Zstd {
            assert_eq!(Count::of(|| (0..ROUNDS).for_each(|_| pack())), NONE, "{codec:?}");
        }
    }
}
