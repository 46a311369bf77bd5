//! Many lives at once: each a seed, on whichever processor is free.

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

/// Lives one life; a panic is the verdict.
pub fn guarded<T>(live: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(live)).map_err(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|s| (*s).to_owned()));
        text.unwrap_or_default()
    })
}

/// Lives many: what came of them, and which went wrong, in the order of their seeds.
pub fn live_all<T: Send>(
    seeds: Range<u64>,
    live: impl Fn(u64) -> T + Sync,
) -> (Vec<T>, Vec<(u64, String)>) {
    let next = AtomicU64::new(seeds.start);
    let (good, bad) = (Mutex::new(Vec::new()), Mutex::new(Vec::new()));
    let threads = std::thread::available_parallelism().map_or(1, |n| n.get());
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end {
                        break;
                    }
                    match guarded(|| live(seed)) {
                        Ok(lived) => good.lock().expect("no panic here").push(lived),
                        Err(what) => bad.lock().expect("no panic here").push((seed, what)),
                    }
                }
            });
        }
    });
    let _ = std::panic::take_hook();
    let mut bad = bad.into_inner().expect("no panic here");
    bad.sort();
    (good.into_inner().expect("no panic here"), bad)
}
