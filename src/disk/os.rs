//! A data directory on a real file system, through `rustix`.
//!
//! Every path is resolved relative to the descriptor of the data directory, and none can leave it:
//! an absolute path or a `..` is [`DiskError::Denied`]. The directory belongs to one process: the
//! kernel holds an exclusive `flock` on the file `lock` for as long as the [`OsDisk`] lives, so
//! that nothing has to be cleaned up after a `kill -9`. Short writes and `EINTR` are finished here.
//!
//! Deliberately absent: a page cache of its own, `O_DIRECT`, retries after an error, threads.

use core::mem::MaybeUninit;
use core::time::Duration;
use std::ffi::CStr;
use std::io::IoSlice;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

use rustix::fs::{
    self, AtFlags, CWD, Dir, FallocateFlags, FileType, FlockOperation, Mode, OFlags, RawDir,
};
use rustix::io::{self, Errno};

use super::{Disk, DiskError, DiskFile, DiskResult, FileRef, Open, SyncJob, confined};
use crate::limits::WRITE_PARTS_MAX;

/// The file in the data directory that carries the lock. [`Disk::list`] hides it.
pub const LOCK_NAME: &str = "lock";

/// The name that a file of [`Disk::temporary`] has for a moment where it cannot do without.
const TEMPORARY_NAME: &str = "temporary";

/// Files: read and written by the broker's user, read by its group (backups, inspection).
const FILE_MODE: Mode = Mode::from_raw_mode(0o640);

/// Directories: the same, with the right to enter.
const DIRECTORY_MODE: Mode = Mode::from_raw_mode(0o750);

/// A data directory on the machine's file system.
#[derive(Debug)]
pub struct OsDisk {
    root: OwnedFd,
    /// The lock lives in this open file description; `None` for a reader without the lock.
    lock: Option<OwnedFd>,
    sync_delay: Option<Duration>,
}

impl OsDisk {
    /// Opens the data directory, creates it with its parents where missing, and locks it.
    ///
    /// # Errors
    /// [`DiskError::Locked`] when another [`OsDisk`] has it, or what the system said.
    pub fn open(path: &Path) -> DiskResult<OsDisk> {
        create_with_parents(path)?;
        let root = open_directory(CWD, path)?;
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC;
        let lock = finish(|| fs::openat(&root, LOCK_NAME, flags, FILE_MODE))?;
        match finish(|| fs::flock(&lock, FlockOperation::NonBlockingLockExclusive)) {
            Ok(()) => Ok(OsDisk { root, lock: Some(lock), sync_delay: None }),
            Err(DiskError::Other(errno)) if errno == Errno::WOULDBLOCK.raw_os_error() => {
                Err(DiskError::Locked)
            }
            Err(error) => Err(error),
        }
    }

    /// Opens a data directory for reading, locked by somebody or not; whatever would change it
    /// answers [`DiskError::ReadOnly`].
    ///
    /// # Errors
    /// [`DiskError::NotFound`], or what the system said.
    pub fn open_read_only(path: &Path) -> DiskResult<OsDisk> {
        Ok(OsDisk { root: open_directory(CWD, path)?, lock: None, sync_delay: None })
    }

    /// Makes every [`DiskFile::sync_job`] sleep first: a card that stalls, for tests.
    #[must_use]
    pub fn with_sync_delay(self, delay: Duration) -> OsDisk {
        OsDisk { sync_delay: Some(delay), ..self }
    }

    fn file(&self, descriptor: OwnedFd) -> FileRef {
        Rc::new(OsFile { descriptor: Arc::new(descriptor), sync_delay: self.sync_delay })
    }

    fn check_writable(&self) -> DiskResult<()> {
        if self.lock.is_some() { Ok(()) } else { Err(DiskError::ReadOnly) }
    }
}

impl Disk for OsDisk {
    fn open(&self, path: &str, mode: Open) -> DiskResult<FileRef> {
        if mode != Open::Read {
            self.check_writable()?;
        }
        let path = SystemPath::new(confined(path)?)?;
        let path = path.get()?;
        let flags = OFlags::CLOEXEC
            | match mode {
                Open::Read => OFlags::RDONLY,
                Open::Write => OFlags::RDWR,
                Open::CreateEmpty => OFlags::RDWR | OFlags::CREATE | OFlags::TRUNC,
                Open::CreateOrKeep => OFlags::RDWR | OFlags::CREATE,
            };
        Ok(self.file(finish(|| fs::openat(&self.root, path, flags, FILE_MODE))?))
    }

    fn open_dir(&self, path: &str) -> DiskResult<FileRef> {
        let path = SystemPath::new(here_if_empty(confined(path)?))?;
        Ok(self.file(open_directory(&self.root, path.get()?)?))
    }

    fn create_dir(&self, path: &str) -> DiskResult<()> {
        self.check_writable()?;
        let path = SystemPath::new(confined(path)?)?;
        let path = path.get()?;
        match finish(|| fs::mkdirat(&self.root, path, DIRECTORY_MODE)) {
            // EEXIST is also what a *file* of that name gives, which is not fine.
            Err(DiskError::Exists) => open_directory(&self.root, path).map(drop),
            result => result,
        }
    }

    fn remove_file(&self, path: &str) -> DiskResult<()> {
        self.check_writable()?;
        let path = SystemPath::new(confined(path)?)?;
        let path = path.get()?;
        fine_if_missing(finish(|| fs::unlinkat(&self.root, path, AtFlags::empty())))
    }

    fn remove_dir(&self, path: &str) -> DiskResult<()> {
        self.check_writable()?;
        let path = SystemPath::new(confined(path)?)?;
        let path = path.get()?;
        fine_if_missing(finish(|| fs::unlinkat(&self.root, path, AtFlags::REMOVEDIR)))
    }

    fn rename(&self, from: &str, to: &str) -> DiskResult<()> {
        self.check_writable()?;
        let (from, to) = (SystemPath::new(confined(from)?)?, SystemPath::new(confined(to)?)?);
        let (from, to) = (from.get()?, to.get()?);
        finish(|| fs::renameat(&self.root, from, &self.root, to))
    }

    fn list(&self, path: &str) -> DiskResult<Vec<(String, bool)>> {
        let path = confined(path)?;
        let directory = open_directory(&self.root, here_if_empty(path))?;
        let mut names = Vec::new();
        for entry in Dir::read_from(&directory).map_err(from_errno)? {
            let entry = entry.map_err(from_errno)?;
            // A name that is not UTF-8 is none of ours: we could not have written it.
            let Ok(name) = entry.file_name().to_str() else { continue };
            if name == "." || name == ".." || (path.is_empty() && name == LOCK_NAME) {
                continue;
            }
            let Some(is_directory) = entry_is_directory(&directory, &entry)? else { continue };
            names.push((name.to_owned(), is_directory));
        }
        Ok(names)
    }

    fn temporary(&self) -> DiskResult<FileRef> {
        self.check_writable()?;
        let unnamed = OFlags::RDWR | OFlags::TMPFILE | OFlags::CLOEXEC;
        if let Ok(descriptor) = finish(|| fs::openat(&self.root, c".", unnamed, FILE_MODE)) {
            return Ok(self.file(descriptor));
        }
        // A file system without such files (FAT, some network ones): it loses its name at once.
        let file = self.open(TEMPORARY_NAME, Open::CreateEmpty)?;
        self.remove_file(TEMPORARY_NAME)?;
        Ok(file)
    }

    fn used_bytes(&self) -> DiskResult<u64> {
        // A descriptor of its own: how far it is read is kept with it.
        let root = open_directory(&self.root, c".")?;
        let mut sum = blocks(&finish(|| fs::fstat(&root))?);
        // Three levels are all there are; deeper ones are nobody's here.
        sum += entries_bytes(&root, |name| {
            let Ok(topics) = open_directory(&root, name) else { return Ok(0) };
            entries_bytes(&topics, |name| {
                let Ok(partition) = open_directory(&topics, name) else { return Ok(0) };
                entries_bytes(&partition, |_| Ok(0))
            })
        })?;
        Ok(sum)
    }

    fn free_bytes(&self) -> DiskResult<u64> {
        let status = finish(|| fs::fstatvfs(&self.root))?;
        if status.f_blocks == 0 {
            // File systems in user space that do not count: nobody knows.
            return Err(from_errno(Errno::NOSYS));
        }
        // f_bavail, not f_bfree: the blocks that are reserved for root are not ours.
        Ok(status.f_bavail.saturating_mul(status.f_frsize))
    }

    fn written_bytes(&self) -> Option<u64> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let file = finish(|| fs::openat(CWD, c"/proc/self/io", flags, Mode::empty())).ok()?;
        let mut buffer = [0; IO_FIGURES_BYTES];
        let count = finish(|| io::read(&file, &mut buffer)).ok()?;
        let text = core::str::from_utf8(&buffer[..count]).ok()?;
        let line = text.lines().find_map(|line| line.strip_prefix("write_bytes: "))?;
        line.trim().parse().ok()
    }
}

/// An open file or directory of an [`OsDisk`].
struct OsFile {
    descriptor: Arc<OwnedFd>,
    sync_delay: Option<Duration>,
}

impl DiskFile for OsFile {
    fn read_at(&self, buffer: &mut [u8], at: u64) -> DiskResult<usize> {
        finish(|| io::pread(&self.descriptor, &mut *buffer, at))
    }

    fn write_at(&self, parts: &[&[u8]], at: u64) -> DiskResult<()> {
        write_parts(parts, at, |slices, at| io::pwritev(&self.descriptor, slices, at))
    }

    fn reserve(&self, at: u64, bytes: u64) -> DiskResult<bool> {
        if bytes == 0 {
            return Ok(true); // fallocate answers EINVAL.
        }
        loop {
            match fs::fallocate(&self.descriptor, FallocateFlags::KEEP_SIZE, at, bytes) {
                // vfat, older f2fs, NFS 3: the write itself will find out whether there is space.
                Err(Errno::OPNOTSUPP | Errno::NOSYS) => return Ok(false),
                Ok(()) => return Ok(true),
                Err(Errno::INTR) => {}
                Err(errno) => return Err(from_errno(errno)),
            }
        }
    }

    fn forget(&self, at: u64, bytes: u64) {
        let bytes = core::num::NonZeroU64::new(bytes);
        fs::fadvise(&self.descriptor, at, bytes, fs::Advice::DontNeed).ok();
    }

    fn set_length(&self, length: u64) -> DiskResult<()> {
        finish(|| fs::ftruncate(&self.descriptor, length))
    }

    fn length(&self) -> DiskResult<u64> {
        let status = finish(|| fs::fstat(&self.descriptor))?;
        u64::try_from(status.st_size).map_err(|_| DiskError::Io)
    }

    fn sync(&self) -> DiskResult<()> {
        sync_descriptor(&self.descriptor)
    }

    fn sync_job(&self) -> SyncJob {
        let descriptor = Arc::clone(&self.descriptor);
        match self.sync_delay {
            Some(delay) => SyncJob::Slow(delay, descriptor),
            None => SyncJob::Os(descriptor),
        }
    }

    fn descriptor(&self) -> Option<&Arc<OwnedFd>> {
        Some(&self.descriptor)
    }
}

/// Writes all of `parts` from `at` on, with as many calls of `write` as it takes.
///
/// # Errors
/// What `write` said, or [`DiskError::Io`] where it makes no progress.
fn write_parts(
    parts: &[&[u8]],
    at: u64,
    mut write: impl FnMut(&[IoSlice<'_>], u64) -> io::Result<usize>,
) -> DiskResult<()> {
    let mut at = at;
    // So many whole parts are written, and so many bytes of the next one.
    let (mut part, mut within) = (0, 0);
    loop {
        let mut slices = [IoSlice::new(&[]); WRITE_PARTS_MAX];
        let mut count = 0;
        for (index, bytes) in parts.iter().enumerate().skip(part).take(WRITE_PARTS_MAX) {
            slices[count] = IoSlice::new(if index == part { &bytes[within..] } else { bytes });
            count += 1;
        }
        if count == 0 {
            return Ok(());
        }
        let asked: usize = slices[..count].iter().map(|slice| slice.len()).sum();
        let mut written = 0;
        if asked > 0 {
            written = finish(|| write(&slices[..count], at))?;
            if written == 0 {
                // No progress and no reason given: looping would never end.
                return Err(DiskError::Io);
            }
        }
        at += written as u64;
        within += written;
        while part < parts.len() && within >= parts[part].len() {
            within -= parts[part].len();
            part += 1;
        }
    }
}

/// Makes a file's data, or a directory's names, durable.
///
/// A file takes `fdatasync`: the length and the blocks come along, the timestamps don't, and on a
/// file that is overwritten in place that saves the file system's journal commit. A directory takes
/// `fsync`: ext4 commits for `fdatasync` only up to the transaction that last changed the inode's
/// *size* (`i_datasync_tid`, `need_datasync` in `ext4_do_update_inode`), and a name added to a
/// block that was there already does not change it, so `fdatasync` could return with the name in
/// memory only. The `fstat` that tells the two apart costs nothing next to either.
///
/// # Errors
/// What the device said. `EINTR` is repeated (nothing was given up yet); no other error is, because
/// after one the kernel takes the pages for clean.
pub fn sync_descriptor(descriptor: &OwnedFd) -> DiskResult<()> {
    let status = finish(|| fs::fstat(descriptor))?;
    if FileType::from_raw_mode(status.st_mode) == FileType::Directory {
        finish(|| fs::fsync(descriptor))
    } else {
        finish(|| fs::fdatasync(descriptor))
    }
}

/// Creates a directory with its parents, each durable in its own parent: a data directory that a
/// power cut takes away takes every acknowledged record with it.
fn create_with_parents(path: &Path) -> DiskResult<()> {
    let missing: Vec<&Path> = path
        .ancestors()
        .take_while(|ancestor| !ancestor.as_os_str().is_empty() && !ancestor.exists())
        .collect();
    for directory in missing.into_iter().rev() {
        match finish(|| fs::mkdirat(CWD, directory, DIRECTORY_MODE)) {
            Ok(()) | Err(DiskError::Exists) => {}
            Err(error) => return Err(error),
        }
        let parent = match directory.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        sync_descriptor(&open_directory(CWD, parent)?)?;
    }
    Ok(())
}

fn open_directory<P: rustix::path::Arg + Copy>(
    at: impl std::os::fd::AsFd,
    path: P,
) -> DiskResult<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    finish(|| fs::openat(&at, path, flags, Mode::empty()))
}

/// `None` when the entry vanished between being listed and being looked at.
fn entry_is_directory(directory: &OwnedFd, entry: &fs::DirEntry) -> DiskResult<Option<bool>> {
    if entry.file_type() != FileType::Unknown {
        return Ok(Some(entry.file_type() == FileType::Directory));
    }
    // Some file systems leave the type out of the entry, and then the inode has to be asked.
    let name: &CStr = entry.file_name();
    match finish(|| fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW)) {
        Ok(status) => Ok(Some(FileType::from_raw_mode(status.st_mode) == FileType::Directory)),
        Err(DiskError::NotFound) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Bytes that a file takes of its device.
fn blocks(status: &fs::Stat) -> u64 {
    u64::try_from(status.st_blocks).unwrap_or(0).saturating_mul(512)
}

/// Bytes that everything in a directory takes; `within` adds what is in a directory of this name.
fn entries_bytes(
    directory: &OwnedFd,
    within: impl Fn(&CStr) -> DiskResult<u64>,
) -> DiskResult<u64> {
    let mut sum = 0;
    let mut buffer = [MaybeUninit::uninit(); ENTRIES_BYTES];
    let mut entries = RawDir::new(directory, &mut buffer);
    while let Some(entry) = entries.next() {
        let entry = entry.map_err(from_errno)?;
        let name = entry.file_name();
        if name == c"." || name == c".." {
            continue;
        }
        let status = match finish(|| fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW)) {
            Err(DiskError::NotFound) => continue,
            other => other?,
        };
        sum += blocks(&status);
        if FileType::from_raw_mode(status.st_mode) == FileType::Directory {
            sum += within(name)?;
        }
    }
    Ok(sum)
}

/// A path as the system takes it, on the stack: `rustix` would allocate for one of more than 255
/// bytes, and a topic's name alone may have 249.
struct SystemPath {
    bytes: [u8; PATH_BYTES],
}

/// The longest path that anybody here needs, and its end: `topics/<249>-<10>/<20>.index`.
const PATH_BYTES: usize = 304;

/// Bytes for a directory's entries, read some at a time, on the stack.
const ENTRIES_BYTES: usize = 2048;

/// Bytes of `/proc/self/io`: seven names and numbers.
const IO_FIGURES_BYTES: usize = 512;

impl SystemPath {
    fn new(path: &str) -> DiskResult<SystemPath> {
        let mut bytes = [0; PATH_BYTES];
        let fits = path.len() < PATH_BYTES && !path.contains('\0');
        let room = bytes.get_mut(..path.len()).filter(|_| fits);
        room.ok_or(DiskError::Denied)?.copy_from_slice(path.as_bytes());
        Ok(SystemPath { bytes })
    }

    fn get(&self) -> DiskResult<&CStr> {
        let path = CStr::from_bytes_until_nul(&self.bytes).map_err(|_| DiskError::Denied)?;
        Ok(path)
    }
}

fn here_if_empty(path: &str) -> &str {
    if path.is_empty() { "." } else { path }
}

fn fine_if_missing(result: DiskResult<()>) -> DiskResult<()> {
    match result {
        Err(DiskError::NotFound) => Ok(()),
        result => result,
    }
}

/// Repeats a system call for as long as a signal interrupts it, and translates its error.
fn finish<T>(call: impl FnMut() -> io::Result<T>) -> DiskResult<T> {
    io::retry_on_intr(call).map_err(from_errno)
}

fn from_errno(errno: Errno) -> DiskError {
    match errno {
        Errno::NOSPC | Errno::DQUOT => DiskError::NoSpace,
        Errno::IO => DiskError::Io,
        Errno::ROFS => DiskError::ReadOnly,
        Errno::NOENT => DiskError::NotFound,
        Errno::EXIST | Errno::NOTEMPTY => DiskError::Exists,
        Errno::ACCESS | Errno::PERM => DiskError::Denied,
        errno => DiskError::Other(errno.raw_os_error()),
    }
}

/// Lets this process have as many open files as the system allows it: each written partition has
/// two, and the usual soft limit is 1,024. Failing is no reason not to start.
pub fn raise_descriptor_limit() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).ok();
}

/// How many files this process may have open; `None` without a limit.
pub fn descriptor_limit() -> Option<u64> {
    rustix::process::getrlimit(rustix::process::Resource::Nofile).current
}

/// Unix milliseconds as the machine believes them.
///
/// Not the standard library's: on 32-bit musl its seconds end in 2038 (libc's `time_t`).
pub fn wall_ms() -> i64 {
    let since = Duration::try_from(rustix::time::clock_gettime(rustix::time::ClockId::Realtime))
        .unwrap_or_default();
    since.as_millis() as i64
}

/// Random bytes from the kernel, for ids that are unlike those of other machines. Early at boot,
/// when it has none yet, the clock and the process id have to do.
pub fn random_seed() -> u128 {
    let mut bytes = [0; 16];
    match rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::NONBLOCK) {
        Ok(16) => u128::from_le_bytes(bytes),
        _ => {
            let clock = rustix::time::clock_gettime(rustix::time::ClockId::Realtime);
            let pid = u128::from(std::process::id());
            (pid << 96) | ((clock.tv_sec as u128) << 32) | clock.tv_nsec as u128
        }
    }
}

#[cfg(test)]
mod tests;
