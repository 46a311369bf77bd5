//! Sockets and clocks: the one event loop around the broker.
//!
//! ```text
//! listeners ──► a session per connection ──► broker ──► committer ──► helper thread: fdatasync
//!                     ▲ woken when: bytes come, a sync ended, records came, a group moved
//! ```
//!
//! One thread runs everything but `fdatasync`. Sessions share the [`Server`] through `Rc`; the
//! broker is borrowed for the length of one request and never across an `await`.
//!
//! Promises: nobody waits for a card but those who asked for durability; a stop finishes what was
//! answered, syncs, checkpoints and ends within two seconds, unless the card takes longer.
//! Absent: what a request means (`api`), and when bytes are durable (`storage`).

mod buffers;
mod committer;
pub mod connection;
mod gather;
mod helper;
mod session;

use crate::broker::{Broker, Slot};
use crate::config::{BrokerConfig, Listener};
use crate::limits::STOP_MS;
use crate::time::{Millis, Now};
use buffers::LargeBuffers;
use gather::Gather;
use rustix::time::{ClockId, clock_gettime};
use std::cell::{Cell, RefCell};
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::time::Instant;

/// Unix milliseconds as the machine believes them.
///
/// Not the standard library's: on 32-bit musl its seconds end in 2038 (libc's `time_t`).
pub fn wall_ms() -> i64 {
    let since = Duration::try_from(clock_gettime(ClockId::Realtime)).unwrap_or_default();
    since.as_millis() as i64
}

/// The two clocks, read in the event loop and nowhere else.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: Instant,
}

impl Clock {
    /// A clock that starts now.
    pub fn start() -> Clock {
        Clock { start: Instant::now() }
    }

    /// Both times.
    pub fn now(&self) -> Now {
        let mono = Millis(self.start.elapsed().as_millis() as u64);
        Now { mono, wall_ms: wall_ms() }
    }

    /// The moment for the runtime's timers.
    fn instant(&self, at: Millis) -> Instant {
        // A century is never, and does not overflow.
        self.start + Duration::from_millis(at.0.min(100 * 365 * 24 * 3_600_000))
    }

    /// The moment for the runtime's timers at which `at` is due: rounded up.
    fn due(&self, at: Millis) -> Instant {
        self.instant(at) + Duration::from_millis(1)
    }

    /// Waits until `at`, for ever if there is none.
    async fn sleep_until(&self, at: Option<Millis>) {
        match at {
            Some(at) => tokio::time::sleep_until(self.due(at)).await,
            None => std::future::pending().await,
        }
    }
}

/// A listening socket and what its clients are told.
pub struct Bound {
    listener: TcpListener,
    /// Where it really listens.
    pub address: SocketAddr,
    advertised: Option<(String, u16)>,
}

/// Opens the configured listeners.
///
/// # Errors
/// One sentence that names the address.
pub async fn bind(config: &BrokerConfig) -> Result<Vec<Bound>, String> {
    let mut bound = Vec::new();
    for wanted in &config.listeners {
        let listener = bind_one(wanted).await.map_err(|error| {
            let hint = if error.kind() == io::ErrorKind::AddrInUse {
                "; another program (perhaps another broker) has it: choose one with \
                 --listen HOST:PORT"
            } else {
                ""
            };
            format!("cannot listen on {}: {error}{hint}", show(wanted))
        })?;
        let address = listener.local_addr().map_err(|error| error.to_string())?;
        let advertised = config.advertised_for(wanted).and_then(|advertised| {
            let port = if advertised.port == 0 { address.port() } else { advertised.port };
            Some((advertised.host.clone()?, port))
        });
        bound.push(Bound { listener, address, advertised });
    }
    Ok(bound)
}

fn show(listener: &Listener) -> String {
    format!("{}:{}", listener.host.as_deref().unwrap_or("*"), listener.port)
}

async fn bind_one(wanted: &Listener) -> io::Result<TcpListener> {
    match &wanted.host {
        Some(host) => TcpListener::bind((host.as_str(), wanted.port)).await,
        // Both families where the kernel has both.
        None => match TcpListener::bind(("::", wanted.port)).await {
            Ok(listener) => Ok(listener),
            Err(_) => TcpListener::bind(("0.0.0.0", wanted.port)).await,
        },
    }
}

/// A connection's entry in the table.
struct Seat {
    /// Something happened: look again.
    wake: Rc<Notify>,
}

/// What all sessions share.
pub struct Server {
    broker: RefCell<Broker>,
    clock: Clock,
    seats: RefCell<Vec<Option<Seat>>>,
    /// Connections to be woken when the sync that is under way has ended.
    awaiting_sync: RefCell<Vec<Slot>>,
    large_buffers: RefCell<LargeBuffers>,
    gather: RefCell<Gather>,
    /// Everybody whom the last sync answered is back.
    gathered: Notify,
    commit: Notify,
    timers: Notify,
    /// There is something for the forwarder to look at.
    forward: Notify,
    commit_deadline: Cell<Option<Millis>>,
    timers_deadline: Cell<Option<Millis>>,
    /// The committer has said that storage failed.
    failure_told: Cell<bool>,
    stopping: Cell<bool>,
    /// The time for answers under way is over.
    ending: Cell<bool>,
    stop: Notify,
}

impl Server {
    /// A server around an opened broker.
    pub fn new(broker: Broker, clock: Clock) -> Rc<Server> {
        Rc::new(Server {
            broker: RefCell::new(broker),
            clock,
            seats: RefCell::new(Vec::new()),
            awaiting_sync: RefCell::new(Vec::new()),
            large_buffers: RefCell::new(LargeBuffers::new()),
            gather: RefCell::new(Gather::new()),
            gathered: Notify::new(),
            commit: Notify::new(),
            timers: Notify::new(),
            forward: Notify::new(),
            commit_deadline: Cell::new(None),
            timers_deadline: Cell::new(None),
            failure_told: Cell::new(false),
            stopping: Cell::new(false),
            ending: Cell::new(false),
            stop: Notify::new(),
        })
    }

    /// Serves until [`Server::stop`], then ends in order.
    pub async fn run(self: &Rc<Server>, bound: Vec<Bound>) {
        let mut listening = Vec::new();
        for one in bound {
            listening.push(tokio::task::spawn_local(self.clone().accept(one)));
        }
        let committer = tokio::task::spawn_local(committer::run(self.clone()));
        let timers = tokio::task::spawn_local(self.clone().run_timers());
        self.stop.notified().await;
        listening.iter().for_each(tokio::task::JoinHandle::abort);
        self.wake_all();
        let started = self.clock.now().mono;
        // Half of the time for answers under way, the rest for the last sync and the checkpoint.
        while self.connections() > 0 && self.clock.now().mono.since(started) < STOP_MS / 2 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        // A client that does not read its answers shall not cost the last checkpoint.
        self.ending.set(true);
        self.wake_all();
        timers.abort();
        let left = STOP_MS.saturating_sub(self.clock.now().mono.since(started));
        self.commit.notify_one();
        if tokio::time::timeout(Duration::from_millis(left), committer).await.is_err() {
            log::warn!("the card is slow: stopped without a last checkpoint, which costs a replay");
        }
    }

    /// Asks for an orderly end.
    pub fn stop(&self) {
        self.stopping.set(true);
        self.stop.notify_one();
    }

    fn connections(&self) -> usize {
        self.seats.borrow().iter().flatten().count()
    }

    async fn accept(self: Rc<Server>, bound: Bound) {
        let advertised = Rc::new(bound.advertised);
        loop {
            match bound.listener.accept().await {
                Ok((socket, address)) => match self.take_seat() {
                    Some((slot, wake)) => {
                        let advertised = advertised.clone();
                        let session = session::Session::new(self.clone(), slot, wake, advertised);
                        tokio::task::spawn_local(session.run(socket, address));
                    }
                    None => log::warn!("{address}: refused, max.connections is reached"),
                },
                Err(error) => {
                    // Out of descriptors, most likely: wait for some to be given back.
                    log::warn!("cannot accept a connection: {error}");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }

    fn take_seat(&self) -> Option<(Slot, Rc<Notify>)> {
        let mut seats = self.seats.borrow_mut();
        let limit = self.broker.borrow().config().max_connections as usize;
        let free = seats.iter().position(Option::is_none);
        let slot = match free {
            Some(slot) => slot,
            None if seats.len() < limit => {
                seats.push(None);
                seats.len() - 1
            }
            None => return None,
        };
        let wake = Rc::new(Notify::new());
        seats[slot] = Some(Seat { wake: wake.clone() });
        self.broker.borrow_mut().figures.connections += 1;
        Some((slot as Slot, wake))
    }

    fn leave_seat(&self, slot: Slot) {
        self.seats.borrow_mut()[slot as usize] = None;
        let mut broker = self.broker.borrow_mut();
        broker.figures.connections -= 1;
        broker.connection_closed(slot);
        drop(broker);
        self.large_buffers.borrow_mut().forget(slot);
        self.wake_for_buffers();
        if self.ending.get() {
            self.commit.notify_one();
        }
    }

    fn wake(&self, slot: Slot) {
        if let Some(Some(seat)) = self.seats.borrow().get(slot as usize) {
            seat.wake.notify_one();
        }
    }

    fn wake_all(&self) {
        self.seats.borrow().iter().flatten().for_each(|seat| seat.wake.notify_one());
    }

    /// Lends the broker to somebody who is no client: the forwarder.
    pub fn with_broker<R>(&self, work: impl FnOnce(&mut Broker) -> R) -> R {
        work(&mut self.broker.borrow_mut())
    }

    /// Both clocks.
    pub fn now(&self) -> Now {
        self.clock.now()
    }

    /// Waits until a moment of the monotonic clock.
    pub async fn sleep_until(&self, at: Millis) {
        self.clock.sleep_until(Some(at)).await;
    }

    /// Waits until there may be something to forward.
    pub async fn forward_progress(&self) {
        self.forward.notified().await;
    }

    /// After anything that may have moved the broker: wakes whom it concerns.
    pub fn after_work(&self) {
        let mut broker = self.broker.borrow_mut();
        while let Some(slot) = broker.pop_woken() {
            self.wake(slot);
        }
        let sooner = |new: Option<Millis>, known: Option<Millis>| match (new, known) {
            (Some(new), Some(known)) => new < known,
            (Some(_), None) => true,
            (None, _) => false,
        };
        let failed = broker.storage().failed().is_some() && !self.failure_told.get();
        if failed || sooner(broker.storage().sync_deadline(), self.commit_deadline.get()) {
            self.commit.notify_one();
        }
        if sooner(broker.poll_timeout(), self.timers_deadline.get()) {
            self.timers.notify_one();
        }
        if broker.forward_pending() {
            self.forward.notify_one();
        }
    }

    /// Sessions, rebalances, expiry and retention.
    async fn run_timers(self: Rc<Server>) {
        loop {
            let now = self.clock.now();
            let deadline = self.broker.borrow().poll_timeout();
            if deadline.is_some_and(|deadline| deadline <= now.mono) {
                self.broker.borrow_mut().handle_timeout(now);
                self.large_buffers.borrow_mut().trim();
                self.after_work();
                continue;
            }
            self.timers_deadline.set(deadline);
            tokio::select! {
                () = self.clock.sleep_until(deadline) => {}
                () = self.timers.notified() => {}
            }
        }
    }

    /// A large buffer, if there is one left; else `slot` is woken when one is given back, and
    /// those who have one are asked for it.
    fn borrow_large_buffer(&self, slot: Slot) -> Option<Vec<u8>> {
        let buffer = self.large_buffers.borrow_mut().borrow(slot);
        if buffer.is_none() {
            self.large_buffers.borrow().holders().iter().for_each(|holder| self.wake(*holder));
        }
        buffer
    }

    fn give_large_buffer_back(&self, slot: Slot, buffer: Vec<u8>) {
        self.large_buffers.borrow_mut().give_back(slot, buffer);
        self.wake_for_buffers();
    }

    fn wake_for_buffers(&self) {
        self.large_buffers.borrow().next().for_each(|slot| self.wake(slot));
    }
}
