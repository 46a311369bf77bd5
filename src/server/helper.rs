//! The helper thread: it syncs one file at a time, while the event loop goes on.
//!
//! A thread of its own instead of the runtime's pool: a job and its result pass through slots that
//! exist from the start, so that a sync allocates nothing.
//!
//! Promises: a sync that panics has failed, and so has one for which there is no thread; nobody
//! waits for the thread at the end, so that a stalled card does not hold up a stop.
//! Absent: which file, and when (`committer`).

use crate::disk::{DiskError, DiskResult, SyncJob};
use crate::limits::SYNC_STACK_BYTES;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use tokio::sync::Notify;

/// The event loop's side of the helper thread. The thread ends with it.
pub struct Helper {
    jobs: SyncSender<SyncJob>,
    results: Receiver<DiskResult<()>>,
    done: Arc<Notify>,
}

impl Helper {
    /// Starts the thread. If the system refuses one, that is said, and all syncs fail.
    pub fn start() -> Helper {
        let (jobs, inbox) = sync_channel(1);
        let (outbox, results) = sync_channel(1);
        let done = Arc::new(Notify::new());
        let told = done.clone();
        let started = std::thread::Builder::new()
            .name("ottla-sync".to_owned())
            .stack_size(SYNC_STACK_BYTES)
            .spawn(move || work(&inbox, &outbox, &told));
        if let Err(error) = started {
            log::error!("there is no thread for syncs: {error}");
        }
        Helper { jobs, results, done }
    }

    /// Hands a sync over; [`Helper::end`] has to be waited for before the next one.
    pub fn begin(&self, job: SyncJob) {
        // If nobody takes it, `end` says so.
        self.jobs.try_send(job).ok();
    }

    /// Waits for the sync that was begun.
    ///
    /// # Errors
    /// What the device said, or [`DiskError::Io`] for a sync that nobody ran to its end.
    pub async fn end(&self) -> DiskResult<()> {
        loop {
            match self.results.try_recv() {
                Ok(result) => return result,
                Err(TryRecvError::Disconnected) => return Err(DiskError::Io),
                Err(TryRecvError::Empty) => self.done.notified().await,
            }
        }
    }
}

fn work(inbox: &Receiver<SyncJob>, outbox: &SyncSender<DiskResult<()>>, done: &Notify) {
    while let Ok(job) = inbox.recv() {
        if outbox.send(guarded(|| job.run())).is_err() {
            return;
        }
        done.notify_one();
    }
}

/// A panic is no acknowledgement.
fn guarded(sync: impl FnOnce() -> DiskResult<()>) -> DiskResult<()> {
    catch_unwind(AssertUnwindSafe(sync)).unwrap_or(Err(DiskError::Io))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn block_on<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
    }

    #[test]
    fn each_sync_gets_its_own_result() {
        let helper = Helper::start();
        for result in [Ok(()), Err(DiskError::NoSpace), Ok(()), Err(DiskError::Io)] {
            helper.begin(SyncJob::Done(result));
            assert_eq!(block_on(helper.end()), result);
        }
    }

    #[test]
    fn the_event_loop_goes_on_while_a_sync_runs() {
        let file = std::fs::File::open("Cargo.toml").unwrap();
        let helper = Helper::start();
        helper.begin(SyncJob::Slow(Duration::from_millis(100), Arc::new(file.into())));
        block_on(async {
            let turns = async {
                for _ in 0..10 {
                    tokio::task::yield_now().await;
                }
            };
            tokio::select! {
                biased;
                _ = helper.end() => panic!("it takes longer"),
                () = turns => {}
            }
            assert_eq!(helper.end().await, Ok(()));
        });
    }

    #[test]
    fn a_sync_that_panics_has_failed() {
        assert_eq!(guarded(|| panic!("in the middle of it")), Err(DiskError::Io));
        assert_eq!(guarded(|| Ok(())), Ok(()));
    }

    #[test]
    fn without_a_thread_all_syncs_fail() {
        let (jobs, _) = sync_channel(1);
        let (_, results) = sync_channel(1);
        let helper = Helper { jobs, results, done: Arc::new(Notify::new()) };
        helper.begin(SyncJob::Done(Ok(())));
        assert_eq!(block_on(helper.end()), Err(DiskError::Io));
    }
}
