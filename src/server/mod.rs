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

mod committer;
pub mod connection;
mod gather;
mod helper;
mod input;
mod notes;
mod output;
mod pool;
mod seats;
mod session;
pub mod shared;

use crate::broker::{Broker, Slot};
use crate::config::{BrokerConfig, Listener};
use crate::fixed::List;
use crate::limits::{Ledger, SEATS_YIELDS, STOP_MS, SYNC_STACK_BYTES, Sizes, Usage};
use crate::time::{Millis, Now};
use gather::Gather;
use notes::{Kind, LeftOut, Notes};
use seats::Seats;
use shared::{SeatMemory, Shared};
use std::cell::{Cell, RefCell};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::time::Instant;

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
        Now { mono, wall_ms: crate::disk::os::wall_ms() }
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

/// What all sessions share.
pub struct Server {
    broker: RefCell<Broker>,
    clock: Clock,
    seats: RefCell<Seats>,
    /// Connections to be woken when the sync that is under way has ended, and those of the last
    /// one, while they are being woken.
    awaiting_sync: RefCell<List<Slot>>,
    shared: RefCell<Shared>,
    notes: RefCell<Notes>,
    gather: RefCell<Gather>,
    /// Everybody whom the last sync answered is back.
    gathered: Notify,
    commit: Notify,
    /// A large batch wants its sync.
    ahead: Notify,
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
        let sizes = broker.config().sizes;
        let shared = Shared::new(&sizes, &**broker.storage().disk());
        let server = Rc::new(Server {
            broker: RefCell::new(broker),
            clock,
            seats: RefCell::new(Seats::new(&sizes)),
            awaiting_sync: RefCell::new(List::new(sizes.connections)),
            shared: RefCell::new(shared),
            notes: RefCell::new(Notes::new()),
            gather: RefCell::new(Gather::new()),
            gathered: Notify::new(),
            commit: Notify::new(),
            ahead: Notify::new(),
            timers: Notify::new(),
            forward: Notify::new(),
            commit_deadline: Cell::new(None),
            timers_deadline: Cell::new(None),
            failure_told: Cell::new(false),
            stopping: Cell::new(false),
            ending: Cell::new(false),
            stop: Notify::new(),
        });
        server.note_usage();
        server
    }

    /// What a server of these sizes takes, in the ledger's rows.
    pub fn account(sizes: &Sizes, ledger: &mut Ledger) {
        Shared::account(sizes, ledger);
        let at_limit = "see connections";
        ledger.row("seats", sizes.connections, Seats::memory(), at_limit);
        Notes::account(ledger);
        let rest = size_of::<Server>() + 2 * size_of::<helper::Helper>();
        ledger.row("the server's own state", 1, rest + 2 * SYNC_STACK_BYTES, "there is one");
    }

    /// How full seats and pools are.
    pub fn usage(&self) -> impl Iterator<Item = Usage> + use<> {
        let (used, limit) = self.seats.borrow().taken();
        let mut usages = self.shared.borrow().usages();
        usages[0] = Usage::new("connections", used, limit);
        usages.into_iter()
    }

    /// Puts that among the figures that clients may ask for.
    fn note_usage(&self) {
        let mut broker = self.broker.borrow_mut();
        for (place, usage) in broker.figures.server.iter_mut().zip(self.usage()) {
            *place = usage;
        }
    }

    /// Serves until [`Server::stop`], then ends in order.
    pub async fn run(self: &Rc<Server>, bound: Vec<Bound>) {
        let mut listening = Vec::new();
        for one in bound {
            listening.push(tokio::task::spawn_local(self.clone().accept(one)));
        }
        let committer = tokio::task::spawn_local(committer::run(self.clone()));
        let ahead = tokio::task::spawn_local(committer::run_ahead(self.clone()));
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
        ahead.abort();
    }

    /// Asks for an orderly end.
    pub fn stop(&self) {
        self.stopping.set(true);
        self.stop.notify_one();
    }

    fn connections(&self) -> usize {
        self.seats.borrow().taken().0
    }

    async fn accept(self: Rc<Server>, bound: Bound) {
        let advertised = Rc::new(bound.advertised);
        loop {
            match bound.listener.accept().await {
                Ok((socket, address)) => {
                    let Some((slot, wake, memory)) = self.find_seat(address).await else {
                        continue;
                    };
                    let advertised = advertised.clone();
                    let session = session::Session::new(self.clone(), slot, wake, advertised);
                    tokio::task::spawn_local(session.run(socket, address, memory));
                }
                Err(error) => {
                    // Out of descriptors, most likely: wait for some to be given back.
                    if let Some(left_out) = self.note(None, Kind::Accept) {
                        log::warn!("cannot accept a connection: {error}{left_out}");
                    }
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }

    /// A seat for a new client; if all are taken, that of somebody who is idle.
    async fn find_seat(&self, address: SocketAddr) -> Option<(Slot, Rc<Notify>, SeatMemory)> {
        if let Some(seat) = self.take_seat(address.ip()) {
            return Some(seat);
        }
        let now = self.clock.now().mono;
        let displaced = self.seats.borrow_mut().displace(address.ip(), now);
        if let Some(slot) = displaced {
            self.wake(slot);
            // It leaves as soon as it is its turn.
            for _ in 0..SEATS_YIELDS {
                tokio::task::yield_now().await;
                if let Some(seat) = self.take_seat(address.ip()) {
                    return Some(seat);
                }
            }
        }
        self.broker.borrow_mut().figures.connections_refused += 1;
        if let Some(left_out) = self.note(Some(address.ip()), Kind::Refused) {
            let limit = self.seats.borrow().taken().1;
            log::warn!("{address}: refused, max.connections ({limit}) is reached{left_out}");
        }
        None
    }

    fn take_seat(&self, address: IpAddr) -> Option<(Slot, Rc<Notify>, SeatMemory)> {
        let seat = self.seats.borrow_mut().take(address, self.clock.now().mono)?;
        self.broker.borrow_mut().figures.connections += 1;
        self.note_usage();
        Some(seat)
    }

    fn leave_seat(&self, slot: Slot, memory: SeatMemory) {
        self.seats.borrow_mut().leave(slot, memory);
        self.awaiting_sync.borrow_mut().retain(|waiting| *waiting != slot);
        let mut broker = self.broker.borrow_mut();
        broker.figures.connections -= 1;
        broker.connection_closed(slot);
        drop(broker);
        self.note_usage();
        self.wake_for_shared();
        if self.ending.get() {
            self.commit.notify_one();
        }
    }

    /// Whether an event of a client belongs into the log now, and how many were left out.
    fn note(&self, address: Option<IpAddr>, kind: Kind) -> Option<LeftOut> {
        let now = self.clock.now().mono;
        self.notes.borrow_mut().note(address, kind, now).map(LeftOut)
    }

    fn wake(&self, slot: Slot) {
        self.seats.borrow().wake(slot);
    }

    fn wake_all(&self) {
        self.seats.borrow().wake_all();
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
        if broker.storage().wants_ahead() {
            self.ahead.notify_one();
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

    /// After anything that may have moved the pools: wakes those for whom there is something, and
    /// those who have what others wait for.
    fn wake_for_shared(&self) {
        let mut shared = self.shared.borrow_mut();
        let Shared { read, batch, answer, spill, .. } = &mut *shared;
        let mut moved = false;
        for pool in [read, batch, answer] {
            if !pool.take_moved() {
                continue;
            }
            moved = true;
            pool.next().for_each(|slot| self.wake(slot));
            if pool.is_wanted() {
                pool.holders().iter().for_each(|slot| self.wake(*slot));
            }
        }
        if spill.take_moved() {
            moved = true;
            spill.next().for_each(|slot| self.wake(slot));
            if spill.is_wanted() {
                spill.holders().iter().for_each(|slot| self.wake(*slot));
            }
        }
        drop(shared);
        if moved {
            self.note_usage();
        }
    }
}
