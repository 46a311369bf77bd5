//! The forwarder's sockets, names and clock: one task for the machine, one for each connection.
//!
//! Promises: a turn is one request's work, and other tasks run between two turns; names are looked
//! up anew for every connection, on the runtime's one thread for that, so that a dead name server
//! holds up nobody.
//! Absent: every decision (`Forwarder`).

use super::{Action, Event, Forwarder, Host as HostName, LinkId};
use crate::broker::Broker;
use crate::fixed::List;
use crate::limits::{FORWARD_LINKS_MAX, FORWARD_RECEIVE_BYTES, FORWARD_STOP_MS};
use crate::state::forward::ErrorWords;
use crate::time::{Millis, Now};
use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

/// What the driver needs of the server that it runs in.
pub trait Host: 'static {
    /// Lends the broker.
    fn with_broker<R>(&self, work: impl FnOnce(&mut Broker) -> R) -> R;
    /// The broker was worked with: syncs may be due, others may have to be woken.
    fn after_work(&self);
    /// Both clocks.
    fn now(&self) -> Now;
    /// Waits until a moment of the monotonic clock.
    fn sleep_until(&self, at: Millis) -> impl Future<Output = ()>;
    /// Waits until there may be something to forward: records, syncs, commands, topics.
    fn progress(&self) -> impl Future<Output = ()>;
}

/// A connection's task.
struct Socket {
    task: JoinHandle<()>,
    /// There may be something to write.
    wake: Rc<Notify>,
}

/// The machine with its surroundings.
struct Driver<H> {
    host: H,
    machine: RefCell<Forwarder>,
    sockets: RefCell<List<(LinkId, Socket)>>,
    /// What a socket has just given.
    received: RefCell<Box<[u8]>>,
    /// The machine has moved: its deadline may be another.
    moved: Notify,
    stopped: Cell<bool>,
}

/// A handle for the orderly end.
pub struct Forwarding<H> {
    driver: Rc<Driver<H>>,
    task: JoinHandle<()>,
}

/// Starts forwarding; `None` where `forward.bootstrap.servers` is empty. Must be called inside a
/// `LocalSet`.
pub fn start<H: Host>(host: H, seed: u64) -> Option<Forwarding<H>> {
    let now = host.now();
    let machine = host.with_broker(|broker| Forwarder::new(broker, seed, now));
    if !machine.is_on() {
        return None;
    }
    let driver = Rc::new(Driver {
        host,
        machine: RefCell::new(machine),
        sockets: RefCell::new(List::new(FORWARD_LINKS_MAX)),
        received: RefCell::new(crate::fixed::bytes(FORWARD_RECEIVE_BYTES)),
        moved: Notify::new(),
        stopped: Cell::new(false),
    });
    let task = tokio::task::spawn_local(driver.clone().run());
    Some(Forwarding { driver, task })
}

impl<H: Host> Forwarding<H> {
    /// Ends in order: waits [`FORWARD_STOP_MS`] for answers that are under way, then what is known
    /// is handed to the broker, to be synced with everything else.
    pub async fn stop(self) {
        let driver = self.driver;
        driver.machine.borrow_mut().quiesce();
        let until = driver.host.now().mono.saturating_add(FORWARD_STOP_MS);
        while !driver.machine.borrow().is_quiet() && driver.host.now().mono < until {
            let soon = driver.host.now().mono.saturating_add(5);
            driver.host.sleep_until(soon).await;
        }
        self.task.abort();
        driver.stopped.set(true);
        let now = driver.host.now();
        let mut machine = driver.machine.borrow_mut();
        driver.host.with_broker(|broker| machine.stop(broker, now));
        drop(machine);
        driver.sockets.borrow_mut().iter().for_each(|(_, socket)| socket.task.abort());
        driver.sockets.borrow_mut().clear();
        driver.host.after_work();
    }
}

impl<H: Host> Driver<H> {
    async fn run(self: Rc<Self>) {
        self.event(Event::Tick);
        loop {
            let due = self.machine.borrow().poll_timeout();
            let sleep = async {
                match due {
                    Some(due) => self.host.sleep_until(due).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = sleep => self.event(Event::Tick),
                () = self.host.progress() => self.event(Event::Tick),
                // The machine has seen what happened; only its deadline may be another now.
                () = self.moved.notified() => {}
            }
        }
    }

    fn event(self: &Rc<Self>, event: Event<'_>) {
        if self.stopped.get() {
            return;
        }
        let now = self.host.now();
        let mut machine = self.machine.borrow_mut();
        self.host.with_broker(|broker| machine.handle(broker, event, now));
        drop(machine);
        self.follow();
        // Whatever happened, any link may have something to write now, or room to be read.
        self.wake_all();
    }

    fn wake_all(&self) {
        self.machine.borrow_mut().take_wake();
        self.sockets.borrow().iter().for_each(|(_, socket)| socket.wake.notify_one());
    }

    fn take_socket(&self, link: LinkId) -> Option<Socket> {
        let mut sockets = self.sockets.borrow_mut();
        let at = sockets.iter().position(|(id, _)| *id == link)?;
        sockets.swap_remove(at).map(|(_, socket)| socket)
    }

    /// Does what the machine wants done, and lets the broker go on.
    fn follow(self: &Rc<Self>) {
        loop {
            let action = self.machine.borrow_mut().poll_action();
            match action {
                Some(Action::Connect { link, host, port }) => {
                    let wake = Rc::new(Notify::new());
                    let task = self.clone().connection(link, host, port, wake.clone());
                    let task = tokio::task::spawn_local(task);
                    // The machine has no more links than there are places.
                    self.sockets.borrow_mut().push((link, Socket { task, wake })).ok();
                }
                Some(Action::Close { link }) => {
                    if let Some(socket) = self.take_socket(link) {
                        socket.task.abort();
                    }
                }
                None => break,
            }
        }
        self.host.after_work();
        self.moved.notify_one();
    }

    async fn connection(self: Rc<Self>, link: LinkId, host: HostName, port: u16, wake: Rc<Notify>) {
        let why = match TcpStream::connect((host.as_str(), port)).await {
            Ok(socket) => {
                socket.set_nodelay(true).ok();
                self.event(Event::Connected(link));
                self.serve(link, &socket, &wake).await
            }
            Err(error) => words(&error),
        };
        // Before the event: a `Close` that answers it must not end this task in the middle.
        drop(self.take_socket(link));
        self.event(Event::Closed(link, &why));
    }

    /// Moves bytes until the connection is gone; says why.
    async fn serve(self: &Rc<Self>, link: LinkId, socket: &TcpStream, wake: &Notify) -> ErrorWords {
        loop {
            let blocked = match self.write(link, socket) {
                Ok(blocked) => blocked,
                Err(error) => return words(&error),
            };
            let room = self.machine.borrow().room(link);
            match self.read(link, socket, room) {
                Ok(None) => {}
                Ok(Some(0)) => return "closed by the broker".into(),
                Ok(Some(_)) => {
                    // Local clients first.
                    tokio::task::yield_now().await;
                    continue;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return words(&error),
            }
            tokio::select! {
                ready = socket.readable(), if room > 0 => {
                    if let Err(error) = ready {
                        return words(&error);
                    }
                }
                ready = socket.writable(), if blocked => {
                    if let Err(error) = ready {
                        return words(&error);
                    }
                }
                () = wake.notified() => {}
            }
        }
    }

    /// Hands on what the socket has, up to `room` bytes; how many they were. `None`: no room.
    fn read(
        self: &Rc<Self>,
        link: LinkId,
        socket: &TcpStream,
        room: usize,
    ) -> io::Result<Option<usize>> {
        if room == 0 {
            return Ok(None);
        }
        let mut buffer = self.received.borrow_mut();
        let room = room.min(buffer.len());
        let count = socket.try_read(&mut buffer[..room])?;
        if count > 0 {
            self.event(Event::Received(link, &buffer[..count]));
        }
        Ok(Some(count))
    }

    /// Gives the socket one request's bytes at most; `true` when it takes no more.
    fn write(self: &Rc<Self>, link: LinkId, socket: &TcpStream) -> io::Result<bool> {
        let now = self.host.now();
        let mut machine = self.machine.borrow_mut();
        let written = self.host.with_broker(|broker| {
            let bytes = machine.transmit(broker, link, now);
            if bytes.is_empty() { Ok(0) } else { socket.try_write(bytes) }
        });
        let blocked = match written {
            Ok(0) => false,
            Ok(count) => {
                machine.transmitted(link, count, now);
                // There may be more, after the others had their turn.
                let sockets = self.sockets.borrow();
                if let Some((_, socket)) = sockets.iter().find(|(id, _)| *id == link) {
                    socket.wake.notify_one();
                }
                false
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => true,
            Err(error) => return Err(error),
        };
        let others = machine.take_wake();
        drop(machine);
        if others {
            self.wake_all();
        }
        // It may have lost a link or staged a row.
        self.follow();
        Ok(blocked)
    }
}

fn words(error: &io::Error) -> ErrorWords {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "connection refused".into(),
        io::ErrorKind::TimedOut => "no answer from this address".into(),
        io::ErrorKind::ConnectionReset => "connection reset".into(),
        _ => ErrorWords::of(format_args!("{error}")),
    }
}
