//! One client's connection: its socket, and when to look at it.

use super::Server;
use super::connection::{Connection, Fault, Send};
use super::gather::Expected;
use crate::api::Peer;
use crate::broker::Slot;
use crate::disk::socket::{SendFile, send_file, send_with_more};
use crate::limits::{LARGE_BUFFER_KEEP_MS, REQUEST_STALL_MS, TURN_BYTES};
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
    /// The client stopped in the middle of something.
    Stalled,
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

    /// Serves the connection to its end.
    pub async fn run(self, mut socket: TcpStream, address: SocketAddr) {
        let mut expected = Expected::default();
        let end = match socket.set_nodelay(true).and_then(|()| socket.local_addr()) {
            Ok(local) => {
                let peer = Peer { slot: self.slot, address, local };
                let mut connection = Connection::new(peer);
                let end = self.serve(&mut socket, &mut connection, &mut expected).await;
                if let Some(buffer) = connection.take_large_buffer() {
                    self.server.give_large_buffer_back(self.slot, buffer);
                }
                end
            }
            Err(_) => End::Gone,
        };
        if self.server.gather.borrow_mut().left(&mut expected) {
            self.server.gathered.notify_one();
        }
        self.server.leave_seat(self.slot);
        self.server.after_work();
        match end {
            End::Gone | End::Stopping => log::debug!("{address}: closed"),
            End::Idle => log::debug!("{address}: closed, idle for connections.max.idle.ms"),
            End::Stalled => {
                log::warn!("{address}: cut off, stopped in the middle of a request or an answer");
            }
            End::Fault(fault) => log::warn!("{address}: cut off: {fault}"),
            End::SyncFailed => {
                log::warn!("{address}: cut off, what it sent cannot be made durable");
            }
            End::File(error) => {
                log::error!("{address}: cut off, a segment cannot be sent: {error}");
            }
        }
    }

    async fn serve(
        &self,
        socket: &mut TcpStream,
        connection: &mut Connection,
        expected: &mut Expected,
    ) -> End {
        let mut last_moved = self.server.clock.now().mono;
        // One timer for the connection's whole life: nearly all waits end before it does.
        let timer = tokio::time::sleep_until(self.server.clock.due(last_moved));
        tokio::pin!(timer);
        let mut turn_bytes = 0;
        loop {
            let now = self.server.clock.now();
            let worked = self.work(connection, expected, now);
            match self.send(socket, connection) {
                Ok(0) => {}
                Ok(_) => last_moved = now.mono,
                Err(end) => return end,
            }
            if let Err(fault) = worked {
                return fault.into();
            }
            if connection.awaits_sync() && self.server.broker.borrow().storage().failed().is_some()
            {
                return End::SyncFailed;
            }
            let done = connection.is_parked() || connection.is_flushed();
            if self.server.ending.get() || (self.server.stopping.get() && done) {
                return End::Stopping;
            }
            let keep = last_moved.saturating_add(LARGE_BUFFER_KEEP_MS);
            self.spare_large_buffer(connection, keep <= now.mono);
            match self.receive(socket, connection) {
                Ok(0) => {}
                Ok(count) => {
                    last_moved = now.mono;
                    turn_bytes += count;
                    if turn_bytes >= TURN_BYTES {
                        // A client that never stops sending is one among others.
                        turn_bytes = 0;
                        tokio::task::yield_now().await;
                    }
                    continue;
                }
                Err(end) => return end,
            }
            turn_bytes = 0;
            if connection.can_work() {
                // Sending or writing has made room for the next request, which is here already.
                tokio::task::yield_now().await;
                continue;
            }
            let patience = self.patience_ms(connection).map(|ms| last_moved.saturating_add(ms));
            if patience.is_some_and(|at| at <= now.mono) {
                return if connection.is_idle() { End::Idle } else { End::Stalled };
            }
            let keep = connection.can_spare_large_buffer().then_some(keep);
            let deadlines = [connection.deadline().or(patience), keep];
            let deadline = deadlines.into_iter().flatten().min();
            if let Err(end) = self.wait(socket, connection, timer.as_mut(), deadline).await {
                return end;
            }
        }
    }

    /// Gives a large buffer back that holds nothing, if others wait for one or it was kept for
    /// long enough.
    fn spare_large_buffer(&self, connection: &mut Connection, kept: bool) {
        let spare = connection.can_spare_large_buffer()
            && (kept || self.server.large_buffers.borrow().are_wanted());
        if spare && let Some(buffer) = connection.take_large_buffer() {
            self.server.give_large_buffer_back(self.slot, buffer);
        }
    }

    /// How long the client may do nothing from now on; `None` while it waits for us.
    fn patience_ms(&self, connection: &Connection) -> Option<u64> {
        if !connection.is_clients_turn() {
            return None;
        }
        let idle_ms = self.server.broker.borrow().config().connections_max_idle_ms;
        let idle_ms = u64::try_from(idle_ms).ok();
        let holds_large_buffer = connection.has_large_buffer() && !connection.is_idle();
        if holds_large_buffer || connection.is_midway() {
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
    ) -> Result<(), Fault> {
        let advertised = self.advertised.as_ref().as_ref().map(|(host, port)| (&**host, *port));
        let mut broker = self.server.broker.borrow_mut();
        let storage = broker.storage();
        let answered = connection.release(storage.written(), storage.durable());
        if answered > 0 {
            self.server.gather.borrow_mut().answered(expected, answered);
        }
        let worked = connection.work(&mut broker, now, advertised);
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
        if connection.awaits_sync() {
            let mut awaiting = self.server.awaiting_sync.borrow_mut();
            if !awaiting.contains(&self.slot) {
                awaiting.push(self.slot);
            }
        }
        self.server.after_work();
        worked.map(|_| ())
    }

    /// Sends what is released, as far as the socket takes it; how many bytes those were.
    fn send(&self, socket: &TcpStream, connection: &mut Connection) -> Result<usize, End> {
        let mut total = 0;
        loop {
            let sent = match connection.next_send() {
                Send::Nothing => return Ok(total),
                Send::Bytes { bytes, more: false } => socket.try_write(bytes),
                Send::Bytes { bytes, more: true } => {
                    socket.try_io(Interest::WRITABLE, || send_with_more(socket.as_fd(), bytes))
                }
                Send::File { piece, position, count } => {
                    let file = piece.slice.file.descriptor();
                    let Some(file) = file else { return Ok(total) };
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
                    connection.sent(count);
                    total += count;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(total),
                Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                    return Err(End::File(error));
                }
                Err(_) => return Err(End::Gone),
            }
        }
    }

    /// Reads what has come, once; 0 is nothing now.
    fn receive(&self, socket: &mut TcpStream, connection: &mut Connection) -> Result<usize, End> {
        if connection.needs_large_buffer()? {
            match self.server.borrow_large_buffer(self.slot) {
                Some(buffer) => connection.give_large_buffer(buffer),
                None => return Ok(0),
            }
        }
        let ahead = !self.server.large_buffers.borrow().are_wanted();
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
        let wants_room = !connection.needs_large_buffer()? && !connection.room(true)?.is_empty();
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
