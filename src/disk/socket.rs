//! What is sent from files to sockets, and what announces it: the calls that no socket type has.
//!
//! Promises: nothing blocks if the socket doesn't.
//! Absent: everything else about sockets (`server`).

use super::DiskError;
use rustix::fs;
use rustix::io::Errno;
use rustix::net::{SendFlags, send};
use std::os::fd::{BorrowedFd, OwnedFd};

/// Sends `bytes` to a socket and says that more follows at once: they leave in one packet with it.
///
/// # Errors
/// What the kernel said; `WouldBlock` when the socket takes nothing now.
pub fn send_with_more(socket: BorrowedFd<'_>, bytes: &[u8]) -> std::io::Result<usize> {
    loop {
        match send(socket, bytes, SendFlags::MORE | SendFlags::NOSIGNAL | SendFlags::DONTWAIT) {
            Err(Errno::INTR) => {}
            other => return Ok(other?),
        }
    }
}

/// What became of [`send_file`].
#[derive(Debug)]
pub enum SendFile {
    /// This many bytes went out.
    Sent(usize),
    /// The socket takes nothing now.
    Full,
    /// The other end is gone.
    Gone,
    /// The file ended early, or could not be read.
    File(DiskError),
}

/// Sends up to `count` bytes of `file`, from `position` on, to a socket, straight from the page
/// cache.
pub fn send_file(socket: BorrowedFd<'_>, file: &OwnedFd, position: u64, count: usize) -> SendFile {
    let mut offset = position;
    loop {
        return match fs::sendfile(socket, file, Some(&mut offset), count) {
            Ok(0) => SendFile::File(DiskError::UnexpectedEnd),
            Ok(sent) => SendFile::Sent(sent),
            Err(Errno::INTR) => continue,
            Err(Errno::AGAIN) => SendFile::Full,
            Err(Errno::IO) => SendFile::File(DiskError::Io),
            Err(_) => SendFile::Gone,
        };
    }
}
