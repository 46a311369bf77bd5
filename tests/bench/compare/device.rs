//! A block device of its own for each broker, whose counters say what really reached it.
//!
//! Promises: it is unmounted and detached when its handle goes. Absent: a way without root; the
//! caller has to do with what the kernel counts for a process.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tempfile::TempDir;

/// Bytes of the device. Its file is sparse: only what is written takes room.
const DEVICE_BYTES: u64 = 2 << 30;

/// An ext4 file system on a loop device.
pub struct Device {
    name: String,
    mount: PathBuf,
    // Goes last, with the image in it.
    _directory: TempDir,
}

/// What a device has done so far.
#[derive(Clone, Copy, Debug)]
pub struct Done {
    /// Bytes written.
    pub bytes: u64,
    /// Flushes of its cache.
    pub flushes: u64,
}

/// Runs a command; its output if it succeeded.
fn run(program: &str, arguments: &[&str]) -> Option<String> {
    let mut command = Command::new(program);
    let output = command.args(arguments).stdin(Stdio::null()).stderr(Stdio::null()).output();
    let output = output.ok().filter(|output| output.status.success())?;
    Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

impl Device {
    /// A fresh one, its image in `parent`; `None` without the right to mount.
    pub fn create(parent: &Path) -> Option<Device> {
        let directory = tempfile::tempdir_in(parent).ok()?;
        let (image, mount) = (directory.path().join("image"), directory.path().join("mount"));
        let file = std::fs::File::create(&image).ok()?;
        file.set_len(DEVICE_BYTES).ok()?;
        std::fs::create_dir(&mount).ok()?;
        let image = image.to_str()?;
        // Or the kernel goes on making the file system while brokers are measured.
        let eager = "lazy_itable_init=0,lazy_journal_init=0";
        run("mkfs.ext4", &["-q", "-E", eager, image])?;
        let device = run("losetup", &["--find", "--show", image])?;
        let name = device.rsplit('/').next()?.to_owned();
        let created = Device { name, mount, _directory: directory };
        run("mount", &[&device, created.mount.to_str()?])?;
        Some(created)
    }

    /// Where it is mounted.
    pub fn path(&self) -> &Path {
        &self.mount
    }

    /// What it has done, once everything that still was in memory has been written, too.
    pub fn done(&self) -> Done {
        run("sync", &["-f", &self.mount.to_string_lossy()]);
        let text = std::fs::read_to_string(format!("/sys/block/{}/stat", self.name));
        let text = text.unwrap_or_default();
        let field = |at: usize| text.split_whitespace().nth(at).and_then(|text| text.parse().ok());
        Done { bytes: field(6).unwrap_or(0) * 512, flushes: field(15).unwrap_or(0) }
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        // A tracer outlives its broker for a moment, and has a file open here.
        let unmount = || run("umount", &[&self.mount.to_string_lossy()]).is_some();
        for _ in 0..50 {
            if unmount() {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        run("losetup", &["--detach", &format!("/dev/{}", self.name)]);
    }
}
