//! One client's connection: its socket, and when to look at it.

use super::Server;
use super::connection::{Connection, Fault, Send};
use crate::api::Peer;
use crate::broker::Slot;
use crate::disk::os::{SendFile, send_file};
use crate::limits::REQUEST_STALL_MS;
use crate::time::Millis;
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::rc::Rc;
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::sync::Notify;

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
    pub async fn run(self, socket: TcpStream, address: SocketAddr) {
        let end = match socket.set_nodelay(true).and_then(|()| socket.local_addr()) {
            Ok(local) => {
                let peer = Peer { slot: self.slot, address, local };
                let mut connection = Connection::new(peer);
                let end = self.serve(&socket, &mut connection).await;
                if let Some(buffer) = connection.reclaim_large_buffer() {
                    self.server.give_large_buffer_back(buffer);
                }
                end
            }
            Err(_) => End::Gone,
        };
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

    async fn serve(&self, socket: &TcpStream, connection: &mut Connection) -> End {
        let mut last_moved = self.server.clock.now().mono;
        loop {
            let worked = self.work(connection);
            match self.send(socket, connection) {
                Ok(0) => {}
                Ok(_) => last_moved = self.server.clock.now().mono,
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
            match self.receive(socket, connection) {
                Ok(0) => {}
                Ok(_) => {
                    last_moved = self.server.clock.now().mono;
                    // A client that never stops sending is one among others.
                    tokio::task::yield_now().await;
                    continue;
                }
                Err(end) => return end,
            }
            if connection.can_work() {
                // Sending or writing has made room for the next request, which is here already.
                tokio::task::yield_now().await;
                continue;
            }
            let patience = self.patience_ms(connection).map(|ms| last_moved.saturating_add(ms));
            if patience.is_some_and(|at| at <= self.server.clock.now().mono) {
                return if connection.is_idle() { End::Idle } else { End::Stalled };
            }
            let deadline = connection.deadline().or(patience);
            if let Err(end) = self.wait(socket, connection, deadline).await {
                return end;
            }
        }
    }

    /// How long the client may do nothing from now on; `None` while it waits for us.
    fn patience_ms(&self, connection: &Connection) -> Option<u64> {
        if !connection.is_clients_turn() {
            return None;
        }
        let idle_ms = self.server.broker.borrow().config().connections_max_idle_ms;
        let idle_ms = u64::try_from(idle_ms).ok();
        if connection.has_large_buffer() && !connection.is_idle() {
            return Some(idle_ms.map_or(REQUEST_STALL_MS, |ms| ms.min(REQUEST_STALL_MS)));
        }
        idle_ms
    }

    /// Answers what there is to answer.
    fn work(&self, connection: &mut Connection) -> Result<(), Fault> {
        let now = self.server.clock.now();
        let advertised = self.advertised.as_ref().as_ref().map(|(host, port)| (&**host, *port));
        let mut broker = self.server.broker.borrow_mut();
        let storage = broker.storage();
        connection.release(storage.written(), storage.durable());
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
                Send::Bytes(bytes) => socket.try_write(bytes),
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
    fn receive(&self, socket: &TcpStream, connection: &mut Connection) -> Result<usize, End> {
        if let Some(buffer) = connection.take_large_buffer() {
            self.server.give_large_buffer_back(buffer);
        }
        if connection.needs_large_buffer()? {
            match self.server.borrow_large_buffer(self.slot) {
                Some(buffer) => connection.give_large_buffer(buffer),
                None => return Ok(0),
            }
        }
        let room = connection.room()?;
        if room.is_empty() {
            return Ok(0);
        }
        match socket.try_read(room) {
            Ok(0) => Err(End::Gone),
            Ok(count) => {
                connection.received(count);
                Ok(count)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
            Err(_) => Err(End::Gone),
        }
    }

    async fn wait(
        &self,
        socket: &TcpStream,
        connection: &mut Connection,
        deadline: Option<Millis>,
    ) -> Result<(), End> {
        let wants_room = !connection.needs_large_buffer()? && !connection.room()?.is_empty();
        let has_output = !matches!(connection.next_send(), Send::Nothing);
        let interest = match (wants_room, has_output) {
            (true, true) => Some(Interest::READABLE | Interest::WRITABLE),
            (true, false) => Some(Interest::READABLE),
            (false, true) => Some(Interest::WRITABLE),
            (false, false) => None,
        };
        let ready = async {
            match interest {
                Some(interest) => socket.ready(interest).await.map(|_| ()),
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            ready = ready => ready.map_err(|_| End::Gone),
            () = self.wake.notified() => Ok(()),
            () = self.server.clock.sleep_until(deadline) => Ok(()),
        }
    }
}
