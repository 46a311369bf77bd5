//! Group commit: one sync after the other, for everybody who waits.
//!
//! Requests that arrive while a sync runs share the next one, and those of clients that the last
//! one answered, if waiting for them pays (`gather`). The sync itself runs on the helper thread;
//! this task only starts it, takes its result, and wakes whom it concerns. Large batches are synced
//! on a thread of their own, so that small ones need not wait for them.

use super::Server;
use super::helper::Helper;
use crate::disk::DiskResult;
use crate::limits::GATHER_LOOKS_MAX;
use std::rc::Rc;
use std::time::Duration;
use tokio::time::Instant;

/// The resolution of the runtime's timers.
const TIMER_STEP: Duration = Duration::from_millis(1);

/// Runs until the server stops and everything is synced and checkpointed.
pub async fn run(server: Rc<Server>) {
    let helper = Helper::start();
    let mut last_checkpoint = false;
    let mut checkpoint_refused = false;
    loop {
        let now = server.clock.now();
        let stopping = server.stopping.get();
        let file = {
            let mut broker = server.broker.borrow_mut();
            let refused = broker.checkpoint(false, false, now).is_err();
            if refused && !checkpoint_refused {
                log::error!("a checkpoint could not be begun; it is tried again with every sync");
            }
            checkpoint_refused = refused;
            if stopping {
                broker.storage_mut().want_sync(now.mono);
            }
            broker.storage_mut().start_sync(now.mono)
        };
        tell_of_failure(&server);
        if let Some(file) = file {
            server.commit_deadline.set(None);
            let began = Instant::now();
            let durable = server.broker.borrow().storage().durable();
            helper.begin(file.sync_job());
            // While the disk is busy, the page cache is not. A failure is seen below.
            server.broker.borrow_mut().storage_mut().write_segments().ok();
            finish(&server, helper.end().await);
            if server.broker.borrow().storage().durable() > durable && !stopping {
                gather(&server, began.elapsed()).await;
            }
            continue;
        }
        let deadline = server.broker.borrow().storage().sync_deadline();
        if stopping && server.connections() == 0 && server.broker.borrow().storage().lacks_space() {
            // Everything is in the journal; the next start replays it.
            log::warn!("no space for the last checkpoint: the next start takes a little longer");
            return;
        }
        let ahead = server.broker.borrow().storage().is_syncing_ahead();
        if stopping && deadline.is_none() && !ahead && server.connections() == 0 {
            if last_checkpoint || server.broker.borrow().storage().failed().is_some() {
                return;
            }
            last_checkpoint = true;
            if server.broker.borrow_mut().checkpoint(true, true, now).is_err() {
                return;
            }
            continue;
        }
        server.commit_deadline.set(deadline);
        tokio::select! {
            () = server.clock.sleep_until(deadline) => {}
            () = server.commit.notified() => {}
        }
    }
}

/// Syncs large batches beside all that, until it is aborted.
pub async fn run_ahead(server: Rc<Server>) {
    let helper = Helper::start();
    server.broker.borrow_mut().storage_mut().sync_ahead();
    loop {
        let file = server.broker.borrow_mut().storage_mut().start_ahead();
        let Some(file) = file else {
            server.ahead.notified().await;
            continue;
        };
        helper.begin(file.sync_job());
        let result = helper.end().await;
        server.broker.borrow_mut().storage_mut().finish_ahead(result);
        tell_of_failure(&server);
        // A commit or a checkpoint may have waited for it.
        server.commit.notify_one();
        wake_waiting(&server);
    }
}

/// Gives those whom a sync has just answered, `took` long, time to send their next requests.
async fn gather(server: &Server, took: Duration) {
    let pause = server.gather.borrow_mut().sync_ended(took);
    // They were woken: their answers go out now.
    tokio::task::yield_now().await;
    // What is shorter than the runtime's timers can tell is spent looking at the sockets.
    let looks = pause < TIMER_STEP;
    let until = Instant::now() + if looks { pause.min(GATHER_LOOKS_MAX) } else { pause };
    while server.gather.borrow().is_incomplete() && Instant::now() < until {
        if looks {
            tokio::task::yield_now().await;
            continue;
        }
        tokio::select! {
            () = server.gathered.notified() => {}
            () = tokio::time::sleep_until(until) => {}
        }
    }
}

/// Once: says that storage has failed, wherever that was found, and wakes whom nothing else would
/// wake any more. Their connections are closed.
fn tell_of_failure(server: &Server) {
    let Some(error) = server.broker.borrow().storage().failed() else { return };
    if server.failure_told.replace(true) {
        return;
    }
    log::error!(
        "the disk failed ({error}): nothing is acknowledged any more; what was acknowledged is \
         safe. Check the card, then restart ottla"
    );
    wake_waiting(server);
}

fn finish(server: &Server, result: DiskResult<()>) {
    let now = server.clock.now();
    server.broker.borrow_mut().storage_mut().finish_sync(result, now.mono);
    wake_waiting(server);
    server.after_work();
}

fn wake_waiting(server: &Server) {
    let mut waiting = server.awaiting_sync.borrow_mut();
    let mut seats = server.seats.borrow_mut();
    waiting.drain(..).for_each(|slot| seats.sync_ended(slot));
}
