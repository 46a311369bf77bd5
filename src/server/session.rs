//! One client's connection: its socket, and when to look at it.

use super::Server;
use super::connection::{Connection, Fault, Send};
use super::gather::Expected;
use super::notes::Kind;
use super::seats::State;
use super::shared::SeatMemory;
use crate::api::Peer;
use crate::broker::Slot;
use crate::disk::socket::{SendFile, send_file, send_with_more};
use crate::limits::{
    LARGE_BUFFER_KEEP_MS, REQUEST_STALL_MS, SHARED_BYTES_PER_S, SHARED_STALL_MS, TURN_BYTES,
    TURN_REQUESTS,
};
use crate::time::{Millis, Now};
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use tokio::io::{AsyncRead, Interest, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::Sleep;

/// What a connection did since others had their turn.
#[derive(Clone, Copy, Debug, Default)]
struct Turn {
    bytes: usize,
    requests: usize,
}

/// Since when others wait for what a connection has, and what it moved meanwhile.
#[derive(Clone, Copy, Debug, Default)]
struct Pressure {
    since: Option<Millis>,
    bytes: u64,
}

impl Pressure {
    /// Others are waiting, or not. Until when it may keep what they wait for.
    fn press(&mut self, wanted: bool, now: Millis) -> Option<Millis> {
        if !wanted {
            self.since = None;
            return None;
        }
        if self.since.is_none() {
            *self = Pressure { since: Some(now), bytes: 0 };
        }
        let bought_ms = self.bytes * 1_000 / SHARED_BYTES_PER_S;
        self.since.map(|since| since.saturating_add(SHARED_STALL_MS + bought_ms))
    }
}

/// How it goes.
#[derive(Clone, Copy, Debug, Default)]
struct Going {
    /// When the socket last moved a byte.
    moved: Millis,
    /// A whole request has come.
    asked: bool,
    turn: Turn,
    input: Pressure,
    output: Pressure,
}

impl Going {
    fn sent(&mut self, count: usize, now: Millis) {
        if count > 0 {
            self.moved = now;
            self.turn.bytes += count;
            self.output.bytes += count as u64;
        }
    }

    fn received(&mut self, count: usize, now: Millis) {
        if count > 0 {
            self.moved = now;
            self.turn.bytes += count;
            self.input.bytes += count as u64;
        }
    }

    fn answered(&mut self, requests: usize) {
        self.asked |= requests > 0;
        self.turn.requests += requests;
    }

    fn had_its_turn(&self) -> bool {
        self.turn.bytes >= TURN_BYTES || self.turn.requests >= TURN_REQUESTS
    }
}

/// A session before it has its socket.
pub struct Session {
    server: Rc<Server>,
    slot: Slot,
    wake: Rc<Notify>,
    advertised: Rc<Option<(String, u16)>>,
}

/// How a session ends.
enum End {
    /// The client closed, or its network did.
    Gone,
    /// Nothing came and nothing went for `connections.max.idle.ms`.
    Idle,
    /// Another client needed the seat.
    Displaced,
    /// The client stopped in the middle of something.
    Stalled,
    /// The client was slow with what others waited for.
    Slow,
    /// The server stops.
    Stopping,
    /// The client is cut off.
    Fault(Fault),
    /// A file that was being sent has failed.
    File(io::Error),
    /// A sync failed while answers were waiting for it: they will never be given.
    SyncFailed,
}

impl From<Fault> for End {
    fn from(fault: Fault) -> Self {
        End::Fault(fault)
    }
}

impl Session {
    /// A session in seat `slot`, woken through `wake`.
    pub fn new(
        server: Rc<Server>,
        slot: Slot,
        wake: Rc<Notify>,
        advertised: Rc<Option<(String, u16)>>,
    ) -> Session {
        Session { server, slot, wake, advertised }
    }

    /// Serves the connection to its end, with its seat's memory.
    pub async fn run(self, mut socket: TcpStream, address: SocketAddr, memory: SeatMemory) {
        let mut expected = Expected::default();
        let local = socket.set_nodelay(true).and_then(|()| socket.local_addr());
        let peer = Peer { slot: self.slot, address, local: *local.as_ref().unwrap_or(&address) };
        let mut connection = Connection::new(peer, memory);
        let end = match local {
            Ok(_) => self.serve(&mut socket, &mut connection, &mut expected).await,
            Err(_) => End::Gone,
        };
        let memory = connection.end(&mut self.server.shared.borrow_mut());
        if self.server.gather.borrow_mut().left(&mut expected) {
            self.server.gathered.notify_one();
        }
        // The descriptor is given back before the seat is.
        drop(socket);
        self.server.leave_seat(self.slot, memory);
        self.server.after_work();
        self.tell(end, address);
    }

    /// Says why a connection has ended, if that was not said a moment ago.
    fn tell(&self, end: End, address: SocketAddr) {
        let kind = match end {
            End::Gone | End::Stopping | End::Idle => {
                let idle = if matches!(end, End::Idle) {
                    ", idle for connections.max.idle.ms"
                } else {
                    ""
                };
                return log::debug!("{address}: closed{idle}");
            }
            End::Displaced => Kind::Displaced,
            End::Stalled => Kind::Stalled,
            End::Slow => Kind::Slow,
            End::Fault(_) => Kind::Fault,
            End::SyncFailed | End::File(_) => Kind::Disk,
        };
        if matches!(kind, Kind::Displaced) {
            self.server.broker.borrow_mut().figures.connections_displaced += 1;
        }
        let Some(more) = self.server.note(Some(address.ip()), kind) else { return };
        match end {
            End::Displaced => {
                log::warn!("{address}: closed to make room, max.connections is reached{more}");
            }
            End::Slow => log::warn!(
                "{address}: cut off, too slow for a buffer that others were waiting for{more}"
            ),
            End::Fault(fault) => log::warn!("{address}: cut off: {fault}{more}"),
            End::SyncFailed => {
                log::warn!("{address}: cut off, what it sent cannot be made durable{more}");
            }
            End::File(error) => {
                log::error!("{address}: cut off, a file cannot be sent: {error}{more}");
            }
            _ => log::warn!(
                "{address}: cut off, stopped in the middle of a request or an answer{more}"
            ),
        }
    }

    async fn serve(
        &self,
        socket: &mut TcpStream,
        connection: &mut Connection,
        expected: &mut Expected,
    ) -> End {
        // One timer for the connection's whole life: nearly all waits end before it does.
        let timer = tokio::time::sleep_until(self.server.clock.due(self.server.clock.now().mono));
        tokio::pin!(timer);
        let mut going = Going { moved: self.server.clock.now().mono, ..Going::default() };
        loop {
            let now = self.server.clock.now();
            let worked = self.work(connection, expected, now);
            match self.send(socket, connection) {
                Ok(count) => going.sent(count, now.mono),
                Err(end) => return end,
            }
            match worked {
                Ok(requests) => going.answered(requests),
                Err(fault) => return fault.into(),
            }
            if let Some(end) = self.asked_to_end(connection) {
                return end;
            }
            let keep = going.moved.saturating_add(LARGE_BUFFER_KEEP_MS);
            self.spare_buffer(connection, keep <= now.mono);
            let received = match self.receive(socket, connection) {
                Ok(count) => count,
                Err(end) => return end,
            };
            going.received(received, now.mono);
            self.server.wake_for_shared();
            let more = connection.can_work(&self.server.shared.borrow());
            if going.had_its_turn() || (received == 0 && more) {
                // A client that never stops is one among others.
                going.turn = Turn::default();
                tokio::task::yield_now().await;
                if self.seated(connection, &going) {
                    return End::Displaced;
                }
                continue;
            }
            if received > 0 {
                continue;
            }
            going.turn = Turn::default();
            let patience = self.patience(connection, &mut going, now.mono);
            let patience = match patience {
                Some((at, end)) if at <= now.mono => return end,
                patience => patience.map(|(at, _)| at),
            };
            if self.seated(connection, &going) {
                return End::Displaced;
            }
            let keep = connection.can_spare_buffer().then_some(keep);
            let deadlines = [connection.deadline(), patience, keep];
            let deadline = deadlines.into_iter().flatten().min();
            if let Err(end) = self.wait(socket, connection, timer.as_mut(), deadline).await {
                return end;
            }
        }
    }

    /// Whether the server or the disk wants this connection to end.
    fn asked_to_end(&self, connection: &Connection) -> Option<End> {
        if connection.awaits_sync() && self.server.broker.borrow().storage().failed().is_some() {
            return Some(End::SyncFailed);
        }
        let done = connection.is_parked() || connection.is_flushed();
        let stopping = self.server.ending.get() || (self.server.stopping.get() && done);
        stopping.then_some(End::Stopping)
    }

    /// Tells the seats how it goes. Whether somebody else needs this one.
    fn seated(&self, connection: &Connection, going: &Going) -> bool {
        let state = if connection.is_clients_turn() {
            State::Client
        } else if connection.is_polling() {
            State::Others
        } else {
            State::Work
        };
        self.server.seats.borrow_mut().note(self.slot, going.moved, going.asked, state)
    }

    /// Gives a shared buffer back that holds nothing, if others wait for one or it was kept for
    /// long enough.
    fn spare_buffer(&self, connection: &mut Connection, kept: bool) {
        let mut shared = self.server.shared.borrow_mut();
        if kept || connection.input_is_wanted(&shared) {
            connection.spare_buffer(&mut shared);
        }
    }

    /// Until when the client may go on as it does, and what it gets then; `None` while it waits
    /// for us.
    fn patience(
        &self,
        connection: &mut Connection,
        going: &mut Going,
        now: Millis,
    ) -> Option<(Millis, End)> {
        let shared = self.server.shared.borrow();
        let turn = connection.is_clients_turn();
        if connection.input_is_wanted(&shared) {
            connection.hurry(now);
        }
        let wanted = turn && !connection.can_spare_buffer() && connection.input_is_wanted(&shared);
        let input = going.input.press(wanted, now);
        let sends = !matches!(connection.next_send(), Send::Nothing);
        let output = going.output.press(sends && connection.output_is_wanted(&shared), now);
        drop(shared);
        let pressed = [input, output].into_iter().flatten().min().map(|at| (at, End::Slow));
        let patience = turn.then(|| self.patience_ms(connection)).flatten();
        let patience = patience.map(|ms| {
            let end = if connection.is_idle() { End::Idle } else { End::Stalled };
            (going.moved.saturating_add(ms), end)
        });
        [pressed, patience].into_iter().flatten().min_by_key(|(at, _)| *at)
    }

    /// How long the client may do nothing from now on.
    fn patience_ms(&self, connection: &Connection) -> Option<u64> {
        let idle_ms = self.server.broker.borrow().config().connections_max_idle_ms;
        let idle_ms = u64::try_from(idle_ms).ok();
        let holds_buffer = connection.has_shared_buffer() && !connection.is_idle();
        if holds_buffer || connection.is_midway() {
            return Some(idle_ms.map_or(REQUEST_STALL_MS, |ms| ms.min(REQUEST_STALL_MS)));
        }
        idle_ms
    }

    /// Answers what there is to answer.
    fn work(
        &self,
        connection: &mut Connection,
        expected: &mut Expected,
        now: Now,
    ) -> Result<usize, Fault> {
        let advertised = self.advertised.as_ref().as_ref().map(|(host, port)| (&**host, *port));
        let mut broker = self.server.broker.borrow_mut();
        let storage = broker.storage();
        let answered = connection.release(storage.written(), storage.durable());
        if answered > 0 {
            self.server.gather.borrow_mut().answered(expected, answered);
        }
        let mut shared = self.server.shared.borrow_mut();
        let worked = connection.work(&mut broker, now, advertised, &mut shared);
        drop(shared);
        // A fault may come right behind records with acks=0 that were taken.
        if worked.map_or(true, |worked| worked.must_write) {
            // A record with acks=1 survives the death of this process once it is acknowledged.
            // Held-back frames (references) wait for their segment's sync, so ask for one.
            if broker.storage_mut().write_staged().is_ok()
                && broker.storage().written() < broker.storage().last()
            {
                broker.storage_mut().want_sync(now.mono);
            }
        }
        let storage = broker.storage();
        connection.release(storage.written(), storage.durable());
        drop(broker);
        let after_sync = worked.map_or(0, |worked| worked.after_sync);
        if after_sync > 0 && self.server.gather.borrow_mut().returned(expected, after_sync) {
            self.server.gathered.notify_one();
        }
        if connection.awaits_sync()
            && self.server.seats.borrow_mut().begins_to_await_sync(self.slot)
        {
            // There is a place for every connection.
            self.server.awaiting_sync.borrow_mut().push(self.slot).ok();
        }
        self.server.after_work();
        worked.map(|worked| worked.requests)
    }

    /// Sends what is released, as far as the socket takes it and in one turn; how many bytes those
    /// were.
    fn send(&self, socket: &TcpStream, connection: &mut Connection) -> Result<usize, End> {
        let mut total = 0;
        while total < TURN_BYTES {
            let sent = match connection.next_send() {
                Send::Nothing => return Ok(total),
                Send::Bytes { bytes, more: false } => socket.try_write(bytes),
                Send::Bytes { bytes, more: true } => {
                    socket.try_io(Interest::WRITABLE, || send_with_more(socket.as_fd(), bytes))
                }
                Send::File { file, position, count } => {
                    let Some(file) = file.descriptor() else { return Ok(total) };
                    let count = count.min(TURN_BYTES);
                    let out = || match send_file(socket.as_fd(), file, position, count) {
                        SendFile::Sent(count) => Ok(count),
                        SendFile::Full => Err(io::ErrorKind::WouldBlock.into()),
                        SendFile::Gone => Err(io::ErrorKind::BrokenPipe.into()),
                        SendFile::File(error) => {
                            Err(io::Error::new(io::ErrorKind::InvalidData, error))
                        }
                    };
                    socket.try_io(Interest::WRITABLE, out)
                }
            };
            match sent {
                Ok(count) => {
                    connection.sent(count, &mut self.server.shared.borrow_mut());
                    total += count;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(total),
                Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                    return Err(End::File(error));
                }
                Err(_) => return Err(End::Gone),
            }
        }
        Ok(total)
    }

    /// Reads what has come, once; 0 is nothing now.
    fn receive(&self, socket: &mut TcpStream, connection: &mut Connection) -> Result<usize, End> {
        let mut shared = self.server.shared.borrow_mut();
        if !connection.take_buffer(&mut shared)? {
            return Ok(0);
        }
        let ahead = !connection.input_is_wanted(&shared);
        drop(shared);
        let room = connection.room(ahead)?;
        if room.is_empty() {
            return Ok(0);
        }
        // Unlike `try_read`, this knows that a read which did not fill the room has emptied the
        // socket: no second call only to hear that. Who is to be woken, `wait` says.
        let mut buffer = ReadBuf::new(room);
        let mut context = Context::from_waker(Waker::noop());
        match Pin::new(socket).poll_read(&mut context, &mut buffer) {
            Poll::Pending => Ok(0),
            Poll::Ready(Ok(())) => match buffer.filled().len() {
                0 => Err(End::Gone),
                count => {
                    connection.received(count);
                    Ok(count)
                }
            },
            Poll::Ready(Err(_)) => Err(End::Gone),
        }
    }

    async fn wait(
        &self,
        socket: &TcpStream,
        connection: &mut Connection,
        mut timer: Pin<&mut Sleep>,
        deadline: Option<Millis>,
    ) -> Result<(), End> {
        let wants_room = connection.needs_buffer()?.is_none() && !connection.room(true)?.is_empty();
        let has_output = !matches!(connection.next_send(), Send::Nothing);
        let ready = poll_fn(|context| {
            if wants_room && let Poll::Ready(ready) = socket.poll_read_ready(context) {
                return Poll::Ready(ready);
            }
            if has_output {
                return socket.poll_write_ready(context);
            }
            Poll::Pending
        });
        if let Some(at) = deadline {
            let at = self.server.clock.due(at);
            // One that is due too early costs a look.
            if timer.is_elapsed() || timer.deadline() > at {
                timer.as_mut().reset(at);
            }
        }
        tokio::select! {
            biased;
            ready = ready => ready.map_err(|_| End::Gone),
            () = self.wake.notified() => Ok(()),
            () = timer, if deadline.is_some() => Ok(()),
        }
    }
}
