//! A block device that remembers everything: one file of a FUSE file system, for a loop device.
//!
//! Every write and every flush is recorded in the order in which the kernel sent it. Promises: a
//! flush is recorded before it is answered, so that whoever was told of its end finds it there.
//! Absent: whatever a loop device does not ask for.

use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use std::ffi::CString;
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

/// What came.
pub enum Event {
    /// Bytes for a place.
    Write(u64, Vec<u8>),
    /// Everything before is durable.
    Flush,
}

#[derive(Default)]
struct State {
    image: Vec<u8>,
    events: Vec<Event>,
}

/// The device; unmounted when it goes.
pub struct Device {
    state: Arc<Mutex<State>>,
    directory: PathBuf,
    server: Option<JoinHandle<()>>,
}

const ROOT: u64 = 1;
const DISK: u64 = 2;
const WRITE_MAX: u32 = 128 * 1024;
const NO_ENTRY: i32 = -2;
const NOT_A_CALL: i32 = -38;

impl Device {
    /// A device with this content, as the file `disk` in `directory`.
    ///
    /// # Errors
    /// What this machine does not allow.
    pub fn mount(directory: &Path, image: Vec<u8>) -> Result<Device, String> {
        let fuse = OpenOptions::new().read(true).write(true).open("/dev/fuse");
        let fuse = fuse.map_err(|error| format!("/dev/fuse: {error}"))?;
        let data = format!("fd={},rootmode=40000,user_id=0,group_id=0", fuse.as_raw_fd());
        let data = CString::new(data).map_err(|error| error.to_string())?;
        let flags = MountFlags::NOSUID | MountFlags::NODEV;
        mount("ottla-test", directory, "fuse", flags, &*data)
            .map_err(|error| format!("mounting FUSE: {error}"))?;
        let state = Arc::new(Mutex::new(State { image, events: Vec::new() }));
        let shared = state.clone();
        let server = std::thread::spawn(move || serve(fuse, &shared));
        Ok(Device { state, directory: directory.to_path_buf(), server: Some(server) })
    }

    /// How much was recorded so far, whoever asks.
    pub fn counter(&self) -> impl Fn() -> usize + Send + Sync + Clone + 'static {
        let state = self.state.clone();
        move || state.lock().expect("the server lives").events.len()
    }

    /// Everything that was recorded.
    pub fn take(&self) -> Vec<Event> {
        std::mem::take(&mut self.state.lock().expect("the server lives").events)
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        unmount(&self.directory, UnmountFlags::DETACH).ok();
        self.server.take().map(JoinHandle::join);
    }
}

fn number(bytes: &[u8], at: usize, size: usize) -> u64 {
    bytes[at..at + size].iter().rev().fold(0, |sum, byte| sum << 8 | u64::from(*byte))
}

/// Answers until the file system is unmounted.
fn serve(mut fuse: File, state: &Mutex<State>) {
    let mut buffer = vec![0; WRITE_MAX as usize + 4096];
    while let Ok(bytes) = fuse.read(&mut buffer) {
        let request = &buffer[..bytes];
        // FORGET, INTERRUPT, BATCH_FORGET: nobody waits for an answer.
        if bytes < 40 || matches!(number(request, 4, 4), 2 | 36 | 42) {
            continue;
        }
        let mut body = Vec::new();
        let error = answer(request, state, &mut body).err().unwrap_or(0);
        if error != 0 {
            body.clear();
        }
        let mut reply = (16 + body.len() as u32).to_le_bytes().to_vec();
        reply.extend(error.to_le_bytes());
        reply.extend(&request[8..16]);
        reply.extend(body);
        fuse.write_all(&reply).ok();
    }
}

/// One answer; the numbers are those of `linux/fuse.h`.
fn answer(request: &[u8], state: &Mutex<State>, out: &mut Vec<u8>) -> Result<(), i32> {
    let node = number(request, 16, 8);
    let body = &request[40..];
    let mut state = state.lock().expect("nobody panics with it");
    let words = |out: &mut Vec<u8>, words: &[u32]| {
        words.iter().for_each(|word| out.extend(word.to_le_bytes()));
    };
    match number(request, 4, 4) {
        // LOOKUP
        1 if body == b"disk\0" => {
            words(out, &[DISK as u32, 0, 0, 0, 3600, 0, 3600, 0, 0, 0]);
            attributes(out, DISK, state.image.len() as u64);
        }
        1 => return Err(NO_ENTRY),
        // GETATTR, SETATTR
        3 | 4 => {
            words(out, &[3600, 0, 0, 0]);
            attributes(out, node, state.image.len() as u64);
        }
        // OPEN, OPENDIR
        14 | 27 => words(out, &[0; 4]),
        // READ
        15 => {
            let from = (number(body, 8, 8) as usize).min(state.image.len());
            let to = (from + number(body, 16, 4) as usize).min(state.image.len());
            out.extend(&state.image[from..to]);
        }
        // WRITE
        16 => {
            let (at, count) = (number(body, 8, 8), number(body, 16, 4));
            let bytes = &body[40..40 + count as usize];
            state.image[at as usize..at as usize + bytes.len()].copy_from_slice(bytes);
            state.events.push(Event::Write(at, bytes.to_vec()));
            words(out, &[count as u32, 0]);
        }
        // RELEASE, FLUSH (of a closed descriptor, not of the device), RELEASEDIR, DESTROY
        18 | 25 | 29 | 38 => {}
        // FSYNC
        20 => state.events.push(Event::Flush),
        // INIT: version 7.31, large writes
        26 => words(
            out,
            &[7, 31, WRITE_MAX, 1 << 5 | 1 << 22, 8 << 16 | 16, WRITE_MAX, 1, 32, 0, 0, 0, 0]
                .into_iter()
                .chain([0; 4])
                .collect::<Vec<u32>>(),
        ),
        _ => return Err(NOT_A_CALL),
    }
    Ok(())
}

fn attributes(out: &mut Vec<u8>, node: u64, size: u64) {
    let mode: u32 = if node == ROOT { 0o040_755 } else { 0o100_600 };
    for word in [node, size, size / 512, 0, 0, 0] {
        out.extend(word.to_le_bytes());
    }
    for word in [0, 0, 0, mode, 1, 0, 0, 0, 4096, 0] {
        out.extend(word.to_le_bytes());
    }
}
