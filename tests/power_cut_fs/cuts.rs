//! Crash states of a file system: what a recorded device can hold after a cut, mounted anew.

use crate::fuse::{Device, Event};
use crate::load::{Load, Told, check};
use crate::process::Ottla;
use crate::{Random, wait_until};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The device's size: journal, segments of 1 MiB and ext4's own journal.
const DEVICE_BYTES: usize = 96 << 20;

/// Bytes that a device writes as a whole.
const SECTOR_BYTES: usize = 512;

const ARGUMENTS: [&str; 6] = [
    "--listen",
    "127.0.0.1:0",
    "--set",
    "log.segment.bytes=1048576",
    "--set",
    "journal.bytes=1048576",
];

fn run(program: &str, arguments: &[&str]) -> Result<String, String> {
    let output = Command::new(program).args(arguments).output();
    let output = output.map_err(|error| format!("{program}: {error}"))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_string();
    if output.status.success() {
        Ok(text(&output.stdout))
    } else {
        Err(format!("{program} {}: {}", arguments.join(" "), text(&output.stderr)))
    }
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path of this test")
}

/// A file on a loop device that is mounted as ext4, until it goes.
struct Mounted {
    device: String,
    directory: PathBuf,
}

impl Mounted {
    fn new(file: &Path, directory: &Path) -> Result<Mounted, String> {
        fs::create_dir_all(directory).map_err(|error| error.to_string())?;
        let device = run("losetup", &["--find", "--show", text(file)])?;
        let mounted = Mounted { device, directory: directory.to_path_buf() };
        // Commits of ext4's own every second, as if there were more time.
        run("mount", &["-t", "ext4", "-o", "commit=1", &mounted.device, text(directory)])?;
        Ok(mounted)
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        run("umount", &[text(&self.directory)]).ok();
        run("losetup", &["--detach", &self.device]).ok();
    }
}

/// What was seen of one life: the device before, everything it was sent, and who was told what.
pub struct Recording {
    before: Vec<u8>,
    events: Vec<Event>,
    told: Vec<Told>,
    /// The flushes among the events.
    pub flushes: usize,
}

/// One life of the real binary with real clients, until `records` are acknowledged.
///
/// # Errors
/// What this machine does not allow.
pub fn record(scratch: &Path, records: usize) -> Result<Recording, String> {
    let image = scratch.join("image");
    let file = fs::File::create(&image).and_then(|file| file.set_len(DEVICE_BYTES as u64));
    file.map_err(|error| error.to_string())?;
    run("mkfs.ext4", &["-q", "-F", text(&image)])?;
    let before = fs::read(&image).map_err(|error| error.to_string())?;
    let (fuse, directory) = (scratch.join("fuse"), scratch.join("recorded"));
    fs::create_dir_all(&fuse).map_err(|error| error.to_string())?;
    let device = Device::mount(&fuse, before.clone())?;
    let mounted = Mounted::new(&fuse.join("disk"), &directory)?;
    let ottla = Ottla::start_with(&directory.join("data"), &ARGUMENTS);
    let load = Load::start(ottla.address, "cut", 4, &[-1], device.counter());
    wait_until("acknowledged records", || load.count() >= records);
    let told = load.end();
    ottla.kill();
    drop(mounted);
    let events = device.take();
    let flushes = events.iter().filter(|event| matches!(event, Event::Flush)).count();
    Ok(Recording { before, events, told, flushes })
}

impl Recording {
    /// How much the device was sent.
    pub fn len(&self) -> usize {
        self.events.len()
    }

    /// How many records were acknowledged.
    pub fn told(&self) -> usize {
        self.told.len()
    }

    /// Starts the broker on `states` devices that a cut can have left, and looks for every record
    /// that had been acknowledged by then; returns how many there were to find. A device that
    /// lies has forgotten what it was sent since the tenth flush before.
    ///
    /// # Errors
    /// The first record that is missing.
    pub fn replay(&self, scratch: &Path, states: usize, lies: bool) -> Result<usize, String> {
        let mut random = Random(states as u64 + 17);
        let mut cuts: Vec<usize> =
            (0..states).map(|_| 1 + random.below(self.events.len())).collect();
        cuts.sort_unstable();
        let (mut durable, mut done) = (self.before.clone(), 0);
        let image = scratch.join("crashed");
        let (mut found, mut unmountable) = (0, 0);
        for (number, cut) in cuts.into_iter().enumerate() {
            let is_flush = |event: &Event| matches!(event, Event::Flush);
            let flushes = (0..cut).rev().filter(|at| is_flush(&self.events[*at]));
            let flushed = flushes.take(if lies { 10 } else { 1 }).last().unwrap_or(0);
            for event in &self.events[done..flushed.max(done)] {
                apply(&mut durable, event, |_| true);
            }
            done = done.max(flushed);
            let mut device = durable.clone();
            let variant = if lies { 0 } else { number % 4 };
            for event in &self.events[done..cut] {
                let written = variant == 1 || (variant > 1 && random.below(2) == 0);
                match variant {
                    // Each sector by itself: torn.
                    3 => apply(&mut device, event, |_| random.below(2) == 0),
                    _ => apply(&mut device, event, |_| written),
                }
            }
            fs::write(&image, &device).map_err(|error| error.to_string())?;
            let told = self.told.iter().filter(|it| it.at <= cut);
            let result = start_and_check(&image, scratch, told);
            if variant == 3 && result.as_ref().is_err_and(|what| what.starts_with("mount ")) {
                // Torn at 512 bytes, ext4 itself may be gone: nothing of ottla's was asked yet.
                unmountable += 1;
                println!("state {number}: {result:?}");
                if unmountable > 1 + states / 100 {
                    return Err(format!("{unmountable} devices that ext4 cannot mount"));
                }
                continue;
            }
            found += result.map_err(|what| {
                format!("state {number}, cut at {cut} of {}, variant {variant}: {what}", self.len())
            })?;
        }
        Ok(found)
    }
}

fn apply(device: &mut [u8], event: &Event, mut survives: impl FnMut(usize) -> bool) {
    let Event::Write(at, bytes) = event else { return };
    for (number, sector) in bytes.chunks(SECTOR_BYTES).enumerate() {
        if survives(number) {
            let at = *at as usize + number * SECTOR_BYTES;
            device[at..at + sector.len()].copy_from_slice(sector);
        }
    }
}

fn start_and_check<'a>(
    image: &Path,
    scratch: &Path,
    told: impl Iterator<Item = &'a Told>,
) -> Result<usize, String> {
    let directory = scratch.join("mounted");
    let mounted = Mounted::new(image, &directory)?;
    let ottla = Ottla::start_with(&directory.join("data"), &ARGUMENTS);
    let found = check(ottla.address, told).map_err(|what| format!("{what}\n{}", ottla.log()));
    ottla.kill();
    drop(mounted);
    found
}
