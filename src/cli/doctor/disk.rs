//! What the data directory lies on: file system, options, room, medium.
//!
//! Promises: read from `/proc/self/mountinfo` and `/sys`; only `sync` writes, and only into a data
//! directory that is there. Absent: SMART and the wear counters of eMMC.

use super::finding::Finding;
use super::sync;
use crate::cli::figures::bytes_text;
use crate::config::BrokerConfig;
use crate::disk::Disk;
use crate::disk::os::OsDisk;
use std::fs;
use std::path::{Path, PathBuf};

/// What kind of medium it is, as far as it bounds the time of a sync.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Medium {
    /// A disk that turns.
    Turns,
    /// An SD card or an eMMC.
    Card,
    /// An SSD, a virtual disk, or not known.
    Other,
}

/// A line of `mountinfo`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Mount {
    point: String,
    device: String,
    options: String,
    kind: String,
    source: String,
}

/// The mount that `path` lies on: the longest point, and of equal ones the last.
fn mount_of(mountinfo: &str, path: &Path) -> Option<Mount> {
    let row = |line: &str| {
        let (front, behind) = line.split_once(" - ")?;
        let front: Vec<&str> = front.split(' ').collect();
        let mut behind = behind.split(' ');
        let (kind, source) = (behind.next()?, behind.next()?);
        let own = behind.next().unwrap_or_default();
        Some(Mount {
            // Blanks and such are octal there.
            point: front.get(4)?.replace("\\040", " "),
            device: (*front.get(2)?).to_owned(),
            options: format!("{},{own}", front.get(5)?),
            kind: kind.to_owned(),
            source: source.to_owned(),
        })
    };
    let under = mountinfo.lines().filter_map(row).filter(|mount| path.starts_with(&mount.point));
    under.max_by_key(|mount| mount.point.len())
}

/// What the file system and its options mean.
fn judge_mount(mount: &Mount) -> Vec<Finding> {
    let Mount { point, kind, source, .. } = mount;
    let has = |option: &str| mount.options.split(',').any(|one| one == option);
    let what = format!("{kind} on {source}, mounted at {point}");
    let mut findings = vec![match kind.as_str() {
        "ext4" | "ext3" | "xfs" | "btrfs" | "f2fs" => Finding::ok("disk", what),
        "tmpfs" | "ramfs" => Finding::warn(
            "disk",
            format!("{what}: this is memory; nothing outlives a reboot"),
            "Put the data directory on a disk or a card (log.dirs).",
        ),
        "overlay" => Finding::warn(
            "disk",
            format!("{what}: a layer of a container or a read-only image, often thrown away"),
            "Mount a volume, or a partition, at the data directory.",
        ),
        "vfat" | "exfat" | "ntfs" | "ntfs3" | "fuseblk" => Finding::warn(
            "disk",
            format!("{what}: a file system without a journal, which a power cut can break"),
            "Use a partition with ext4.",
        ),
        "nfs" | "nfs4" | "cifs" | "smb3" | "9p" => Finding::warn(
            "disk",
            format!("{what}: a network's file system; locks and syncs are what it says they are"),
            "Use a disk or a card of this machine.",
        ),
        _ => Finding::note("disk", format!("{what}: not known here"), ""),
    }];
    let mut say = |finding| findings.push(finding);
    if has("ro") {
        say(Finding::fail(
            "mount",
            format!("{point} is mounted read-only: nothing can be stored"),
            &format!("mount -o remount,rw {point}; see dmesg for errors of the card first."),
        ));
    }
    if has("nobarrier") || has("barrier=0") {
        say(Finding::warn(
            "mount",
            "nobarrier: a sync does not reach the medium; a power cut takes acknowledged records",
            "Remove the option from /etc/fstab.",
        ));
    }
    if has("data=writeback") {
        say(Finding::warn(
            "mount",
            "data=writeback: after a power cut new files may hold old blocks of others",
            "Remove the option from /etc/fstab; data=ordered is the default.",
        ));
    }
    if has("sync") {
        say(Finding::note(
            "mount",
            "sync: every write is a sync, which is slow and wears the flash",
            "Remove the option from /etc/fstab: the broker syncs what has to be.",
        ));
    }
    if !has("noatime") && !has("relatime") && !has("ro") {
        say(Finding::note(
            "mount",
            "no noatime: every read writes the time of reading",
            "Add noatime to the options in /etc/fstab.",
        ));
    }
    findings
}

/// Whether there is room for the journal and some segments.
fn judge_room(free: u64, config: &BrokerConfig) -> Finding {
    let (journal, segment) = (u64::from(config.journal_bytes), u64::from(config.log_segment_bytes));
    let text = format!("{} free", bytes_text(i64::try_from(free).unwrap_or(i64::MAX)));
    if free < journal {
        let advice = "Make room, or lower retention (log.retention.bytes, log.retention.hours).";
        return Finding::fail("room", format!("{text}: producers are refused"), advice);
    }
    if free < journal + 4 * segment {
        let advice = "Lower log.segment.bytes and log.retention.bytes, or make room.";
        return Finding::warn("room", format!("{text}: not even four segments"), advice);
    }
    Finding::ok("room", text)
}

/// The medium below a mount.
fn medium(mount: &Mount) -> (Medium, String) {
    let by_number = fs::canonicalize(Path::new("/sys/dev/block").join(&mount.device));
    let by_name = || {
        let name = mount.source.rsplit('/').next().unwrap_or_default();
        fs::canonicalize(Path::new("/sys/class/block").join(name))
    };
    let Ok(path) = by_number.or_else(|_| by_name()) else { return (Medium::Other, String::new()) };
    // A partition lies in its disk's directory.
    let disks = [Some(path.as_path()), path.parent()].into_iter().flatten();
    let rotational = disks
        .filter_map(|disk| fs::read_to_string(disk.join("queue/rotational")).ok())
        .next()
        .unwrap_or_default();
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
    let name = name.unwrap_or_default();
    (kind_of(&name, rotational.trim()), name)
}

fn kind_of(name: &str, rotational: &str) -> Medium {
    // Virtual disks say that they turn, and do not.
    match (name, rotational) {
        (name, _) if name.starts_with("mmcblk") => Medium::Card,
        (name, "1") if !name.starts_with("vd") && !name.starts_with("loop") => Medium::Turns,
        _ => Medium::Other,
    }
}

/// The nearest directory that is there.
pub fn existing(path: &Path) -> PathBuf {
    let whole = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
    let found = whole.ancestors().find(|one| one.exists()).unwrap_or(Path::new("/"));
    fs::canonicalize(found).unwrap_or_else(|_| found.to_path_buf())
}

/// All there is to say.
pub fn check(config: &BrokerConfig) -> Vec<Finding> {
    let directory = existing(&config.log_dir);
    let mountinfo = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let mut findings = Vec::new();
    let mut kind = Medium::Other;
    if let Some(mount) = mount_of(&mountinfo, &directory) {
        findings.extend(judge_mount(&mount));
        let (found, name) = medium(&mount);
        kind = found;
        let what = match found {
            Medium::Turns => "a disk that turns",
            Medium::Card => "an SD card or eMMC",
            Medium::Other => "no card and no turning disk, as far as the kernel says",
        };
        if !name.is_empty() {
            findings.push(Finding::ok("medium", format!("{name}: {what}")));
        }
    }
    if let Ok(free) = OsDisk::open_read_only(&directory).and_then(|disk| disk.free_bytes()) {
        findings.push(judge_room(free, config));
    }
    if !config.log_dir.is_dir() {
        let text = "not measured: there is no data directory yet";
        findings.push(Finding::note("sync", text, "Ask again when the broker has run once."));
        return findings;
    }
    match sync::measure(&config.log_dir) {
        Ok(measured) => findings.extend(sync::judge(measured, kind)),
        Err(error) => findings.push(Finding::fail(
            "sync",
            format!("nothing can be written to {}: {error}", config.log_dir.display()),
            "Make it writable for the user that runs the broker; ask as that user, or as root.",
        )),
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::doctor::finding::Level;

    fn mount(kind: &str, options: &str) -> Mount {
        let text = |text: &str| text.to_owned();
        let (point, device, source) = (text("/"), text("179:2"), text("/dev/mmcblk0p2"));
        Mount { point, device, options: text(options), kind: text(kind), source }
    }

    #[test]
    fn the_longest_mount_point_is_the_one() {
        let table = "22 1 179:2 / / rw,noatime shared:1 - ext4 /dev/mmcblk0p2 rw,data=ordered\n\
                     23 22 8:1 / /var/my\\040data rw,relatime - vfat /dev/sda1 rw\n\
                     24 22 0:3 / /var/lib rw - tmpfs tmpfs rw\n";
        let found = |path: &str| mount_of(table, Path::new(path)).unwrap();
        assert_eq!(found("/var/library").kind, "ext4");
        assert_eq!(found("/var/library").options, "rw,noatime,rw,data=ordered");
        assert_eq!(found("/var/lib/ottla").kind, "tmpfs");
        assert_eq!(found("/var/my data/x").source, "/dev/sda1");
        assert_eq!(mount_of("nonsense", Path::new("/")), None);
    }

    #[test]
    fn file_systems_and_options_are_judged() {
        let worst = |kind: &str, options: &str| {
            judge_mount(&mount(kind, options)).iter().map(|finding| finding.level).max().unwrap()
        };
        assert_eq!(worst("ext4", "rw,noatime"), Level::Ok);
        assert_eq!(worst("ext4", "rw,relatime"), Level::Ok);
        assert_eq!(worst("ext4", "rw"), Level::Note);
        assert_eq!(worst("ext4", "rw,noatime,nobarrier"), Level::Warn);
        assert_eq!(worst("ext4", "rw,noatime,data=writeback"), Level::Warn);
        assert_eq!(worst("ext4", "ro,noatime"), Level::Fail);
        assert_eq!(worst("ext4", "rw,noatime,errors=remount-ro"), Level::Ok);
        for kind in ["tmpfs", "overlay", "vfat", "nfs4"] {
            assert_eq!(worst(kind, "rw,noatime"), Level::Warn, "{kind}");
        }
        assert_eq!(worst("zfs", "rw,noatime"), Level::Note);
    }

    #[test]
    fn room_is_counted_in_segments() {
        let config = BrokerConfig::default();
        let level = |free| judge_room(free, &config).level;
        assert_eq!(level(0), Level::Fail);
        assert_eq!(level(u64::from(config.journal_bytes)), Level::Warn);
        assert_eq!(level(u64::MAX), Level::Ok);
    }

    #[test]
    fn a_medium_is_known_by_its_name_and_whether_it_turns() {
        assert_eq!(kind_of("mmcblk0p2", "0"), Medium::Card);
        assert_eq!(kind_of("sda1", "1"), Medium::Turns);
        assert_eq!(kind_of("sda1", "0"), Medium::Other);
        assert_eq!(kind_of("vda", "1"), Medium::Other);
        assert_eq!(kind_of("", ""), Medium::Other);
    }
}
