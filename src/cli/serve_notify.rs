//! What `ottla serve` tells whoever started it: systemd, or `ottla supervise`.
//!
//! The protocol of sd_notify(3): lines in a datagram to the socket that `NOTIFY_SOCKET` names, a
//! path or, with `@` in front, an abstract name. `READY=1` once it accepts, `STOPPING=1` when it
//! was asked to end, `STATUS=` for people, and `WATCHDOG=1` at half of `WATCHDOG_USEC`.
//!
//! Promises: the watchdog's line comes from the event loop itself and has been through the broker,
//! so it fails to come if the loop hangs, and comes in time while a card takes seconds to sync,
//! which is not the loop's work. Nothing waits for the reader of the socket.
//! Absent: sockets of virtual machines (`vsock:`), file descriptors, and everybody's `unset_env`:
//! the broker starts no programs that could inherit the variables.

use crate::server::Server;
use std::env;
use std::ffi::OsStr;
use std::fmt::Write;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::rc::Rc;
use std::time::Duration;
use tokio::time::MissedTickBehavior;

/// Says that the server accepts connections, and from now on that its event loop runs.
pub fn start(notifier: &Rc<Notifier>, server: &Rc<Server>, addresses: &str) {
    notifier.ready(&format!("accepts on {addresses}"));
    let (notifier, server) = (notifier.clone(), server.clone());
    tokio::task::spawn_local(async move { notifier.watch(&server).await });
}

/// Somebody who wants to know how the broker is, or nobody.
pub struct Notifier {
    socket: Option<(UnixDatagram, SocketAddr)>,
    watchdog: Option<Duration>,
}

impl Notifier {
    /// What the environment names.
    pub fn from_environment() -> Notifier {
        let socket = env::var_os("NOTIFY_SOCKET");
        let variable = |name| env::var(name).ok();
        let own = variable("WATCHDOG_PID").is_none_or(|id| id == std::process::id().to_string());
        let watchdog = variable("WATCHDOG_USEC").filter(|_| own);
        Notifier::new(socket.as_deref(), watchdog.as_deref())
    }

    fn new(socket: Option<&OsStr>, watchdog_usec: Option<&str>) -> Notifier {
        let watchdog = watchdog_usec.and_then(|text| text.parse().ok()).filter(|usec| *usec > 0);
        let socket = socket.and_then(address).and_then(|address| {
            let socket = UnixDatagram::unbound().ok()?;
            socket.set_nonblocking(true).ok()?;
            Some((socket, address))
        });
        Notifier { socket, watchdog: watchdog.map(Duration::from_micros) }
    }

    /// It accepts connections.
    fn ready(&self, status: &str) {
        self.send(&format!("READY=1\nSTATUS={status}"));
    }

    /// It was asked to end.
    pub fn stopping(&self) {
        self.send("STOPPING=1\nSTATUS=stopping: what was sent is being synced");
    }

    /// A word about something that takes long.
    pub fn status(&self, status: &str) {
        self.send(&format!("STATUS={status}"));
    }

    /// Says for ever that the event loop runs, if somebody asked for that.
    async fn watch(&self, server: &Rc<Server>) {
        let (Some(timeout), Some(_)) = (self.watchdog, &self.socket) else {
            return std::future::pending().await;
        };
        let mut ticks = tokio::time::interval(timeout / 2);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // Written anew each time, in the same memory.
        let mut text = String::with_capacity(128);
        loop {
            ticks.tick().await;
            text.clear();
            server
                .with_broker(|broker| match broker.storage().failed() {
                    None => {
                        let connections = broker.figures.connections;
                        let records = broker.figures.records_in;
                        write!(
                            text,
                            "WATCHDOG=1\nSTATUS={connections} connections, {records} records"
                        )
                    }
                    Some(_) => {
                        write!(text, "WATCHDOG=1\nSTATUS=the disk failed: nothing is acknowledged")
                    }
                })
                .ok();
            self.send(&text);
        }
    }

    fn send(&self, text: &str) {
        if let Some((socket, address)) = &self.socket {
            // A reader that is gone, or full, does not keep us from serving.
            socket.send_to_addr(text.as_bytes(), address).ok();
        }
    }
}

fn address(name: &OsStr) -> Option<SocketAddr> {
    match name.as_bytes() {
        [b'@', abstract_name @ ..] => SocketAddr::from_abstract_name(abstract_name).ok(),
        [b'/', ..] => SocketAddr::from_pathname(name).ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn received(socket: &UnixDatagram) -> String {
        socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let mut buffer = [0; 256];
        let bytes = socket.recv(&mut buffer).unwrap();
        String::from_utf8(buffer[..bytes].to_vec()).unwrap()
    }

    #[test]
    fn a_path_and_an_abstract_name_are_both_reached() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notify");
        let name = format!("@ottla-test-{}", std::process::id());
        let by_path = UnixDatagram::bind(&path).unwrap();
        let by_name = UnixDatagram::bind_addr(&address(OsStr::new(&name)).unwrap()).unwrap();
        for (name, socket) in [(path.as_os_str(), by_path), (OsStr::new(&name), by_name)] {
            Notifier::new(Some(name), None).ready("accepts");
            assert_eq!(received(&socket), "READY=1\nSTATUS=accepts");
        }
    }

    #[test]
    fn a_socket_that_is_not_there_or_cannot_be_is_nobody() {
        for name in ["", "relative", "vsock:2:1234", "/nonexistent/notify"] {
            Notifier::new(Some(OsStr::new(name)), Some("1000")).stopping();
        }
        assert!(Notifier::new(Some(OsStr::new("relative")), None).socket.is_none());
    }

    #[test]
    fn a_watchdog_needs_a_time() {
        assert_eq!(Notifier::new(None, Some("2000000")).watchdog, Some(Duration::from_secs(2)));
        for text in [None, Some(""), Some("0"), Some("-1"), Some("soon")] {
            assert_eq!(Notifier::new(None, text).watchdog, None);
        }
    }
}
