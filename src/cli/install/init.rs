//! What starts programs on this machine, and what it wants to have where.
//!
//! ```text
//! systemd   /etc/systemd/system/ottla.service    Type=notify, watchdog and restarts are systemd's
//! sysv      /etc/init.d/ottla                    LSB and chkconfig headers; `ottla supervise`
//! openrc    /etc/init.d/ottla, lib/ottla/service the same script below OpenRC's
//! busybox   /etc/init.d/ottla, /etc/inittab      respawned by init: the script's `run`
//! procd     /etc/init.d/ottla, lib/ottla/service the same script, run by procd
//! ```
//!
//! Promises: found by what exists below a root, which may be another machine's; the service is
//! enabled by the links that the init's own tools would make, or by those tools where an order
//! has to be computed. Absent: starting it for the first time: its settings come first.

use super::steps::Steps;
use crate::cli::Failure;
use clap::ValueEnum;
use std::fs;
use std::path::Path;

const UNIT: &str = include_str!("templates/ottla.service");

/// Whose system calls the unit lets through: a 32-bit ARM program also runs on a 64-bit system,
/// where they are not the native ones.
const ARCHITECTURES: &str = if cfg!(target_arch = "arm") { "native arm" } else { "native" };
const SCRIPT: &str = include_str!("templates/service.sh");
const OPENRC: &str = include_str!("templates/openrc.sh");
const PROCD: &str = include_str!("templates/procd.sh");

/// The lines of busybox' inittab.
const INITTAB: &str = "\
::respawn:/etc/init.d/ottla run
::shutdown:/etc/init.d/ottla stop
";

const INIT_SCRIPT: &str = "/etc/init.d/ottla";

/// A program with the process id 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Init {
    /// Most distributions.
    Systemd,
    /// OpenWrt.
    Procd,
    /// Alpine, Gentoo.
    Openrc,
    /// Scripts in `/etc/rc?.d`.
    Sysv,
    /// Buildroot and images made by hand: busybox and its inittab.
    Busybox,
}

/// Where our own files are.
#[derive(Clone, Debug)]
pub struct Places {
    /// The prefix, absolute.
    pub prefix: String,
}

impl Places {
    /// The directory of programs.
    pub fn bin(&self) -> String {
        format!("{}/bin", self.prefix)
    }

    /// The program.
    pub fn binary(&self) -> String {
        format!("{}/bin/ottla", self.prefix)
    }

    /// The directory of what is no program of its own.
    pub fn lib(&self) -> String {
        format!("{}/lib/ottla", self.prefix)
    }

    /// The page that `man ottla` shows.
    pub fn manual(&self) -> String {
        format!("{}/share/man/man1/ottla.1", self.prefix)
    }

    /// Where systemd looks for units: packages' below `/usr`, the administrator's in `/etc`.
    fn unit(&self) -> String {
        let directory = if self.prefix == "/usr" { "/usr/lib" } else { "/etc" };
        format!("{directory}/systemd/system/ottla.service")
    }
}

/// What runs as process 1 of the machine below `root`, or will.
pub fn detect(root: &Path) -> Option<Init> {
    let is_there = |path: &str| root.join(path).exists();
    let any = |paths: &[&str]| paths.iter().any(|path| is_there(path));
    let boots = |name: &str| {
        let target = fs::read_link(root.join("sbin/init"));
        target.is_ok_and(|target| target.ends_with(name))
    };
    if is_there("run/systemd/system") || boots("systemd") {
        return Some(Init::Systemd);
    }
    if is_there("sbin/procd") && is_there("etc/rc.common") {
        return Some(Init::Procd);
    }
    if any(&["sbin/openrc-run", "usr/sbin/openrc-run"]) {
        return Some(Init::Openrc);
    }
    if is_there("etc/init.d") && any(&["etc/rc3.d", "etc/rc.d/rc3.d"]) && !boots("busybox") {
        return Some(Init::Sysv);
    }
    (is_there("etc/inittab") && any(&["bin/busybox", "sbin/busybox", "usr/bin/busybox"]))
        .then_some(Init::Busybox)
}

impl Init {
    /// As people call it.
    pub fn name(self) -> &'static str {
        match self {
            Init::Systemd => "systemd",
            Init::Procd => "procd",
            Init::Openrc => "OpenRC",
            Init::Sysv => "SysV init",
            Init::Busybox => "busybox init",
        }
    }

    /// Where the broker's data is.
    pub fn data_directory(self) -> &'static str {
        match self {
            // OpenWrt's /var is in memory.
            Init::Procd => "/srv/ottla",
            _ => super::settings_text::DATA_DIRECTORY,
        }
    }

    /// The files of the service: path, mode, content.
    pub fn files(self, places: &Places) -> Vec<(String, u32, String)> {
        let own_script = format!("{}/service", places.lib());
        let script = || INIT_SCRIPT.to_owned();
        let files = match self {
            Init::Systemd => vec![(places.unit(), 0o644, UNIT)],
            Init::Sysv | Init::Busybox => vec![(script(), 0o755, SCRIPT)],
            Init::Openrc => vec![(own_script, 0o755, SCRIPT), (script(), 0o755, OPENRC)],
            Init::Procd => vec![(own_script, 0o755, SCRIPT), (script(), 0o755, PROCD)],
        };
        let filled = |text: &str| {
            text.replace("@BIN@", &places.bin())
                .replace("@LIB@", &places.lib())
                .replace("@DATA@", self.data_directory())
                .replace("@SCRIPT@", INIT_SCRIPT)
                .replace("@ARCHITECTURES@", ARCHITECTURES)
        };
        files.into_iter().map(|(path, mode, text)| (path, mode, filled(text))).collect()
    }

    /// Whether the service is there for this init: what it reads, as `install` writes it, or what
    /// has it start that at boot.
    pub fn is_installed(self, steps: &Steps<'_>, places: &Places) -> bool {
        let same = |(path, _, text): &(String, u32, String)| {
            fs::read_to_string(steps.at(path)).is_ok_and(|found| found == *text)
        };
        let linked = |(path, target): &(String, String)| {
            fs::read_link(steps.at(path)).is_ok_and(|found| found == Path::new(target))
        };
        match self {
            // The script alone is also that of SysV init.
            Init::Busybox => inittab(steps).contains(INITTAB),
            // The last file is the init's own; the one before it, two of them share.
            _ => {
                self.files(places).last().is_some_and(same) || self.links(places).iter().any(linked)
            }
        }
    }

    /// The links that start the service at boot: path, target.
    fn links(self, places: &Places) -> Vec<(String, String)> {
        let pair = |path: &str, target: &str| (path.to_owned(), target.to_owned());
        match self {
            Init::Systemd => {
                let wanted = "/etc/systemd/system/multi-user.target.wants/ottla.service";
                vec![pair(wanted, &places.unit())]
            }
            Init::Openrc => vec![pair("/etc/runlevels/default/ottla", INIT_SCRIPT)],
            Init::Procd => vec![
                pair("/etc/rc.d/S90ottla", "../init.d/ottla"),
                pair("/etc/rc.d/K10ottla", "../init.d/ottla"),
            ],
            Init::Sysv | Init::Busybox => Vec::new(),
        }
    }

    /// Has the service start at boot.
    pub fn enable(self, steps: &mut Steps<'_>, places: &Places) -> Result<(), Failure> {
        for (path, target) in self.links(places) {
            steps.link(&path, &target)?;
        }
        match self {
            Init::Sysv => enable_sysv(steps),
            Init::Busybox => {
                let text = inittab(steps);
                if text.contains(INITTAB) {
                    return steps.unchanged("/etc/inittab");
                }
                let line = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
                edit_inittab(steps, &format!("{text}{line}{INITTAB}"))
            }
            Init::Systemd | Init::Openrc | Init::Procd => Ok(()),
        }
    }

    /// The other way round; the service has stopped.
    pub fn disable(self, steps: &mut Steps<'_>, places: &Places) -> Result<(), Failure> {
        for (path, target) in self.links(places) {
            steps.unlink(&path, &target)?;
        }
        match self {
            Init::Sysv => disable_sysv(steps),
            Init::Busybox => {
                let text = inittab(steps);
                if !text.contains(INITTAB) {
                    return Ok(());
                }
                edit_inittab(steps, &text.replace(INITTAB, ""))
            }
            Init::Systemd | Init::Openrc | Init::Procd => Ok(()),
        }
    }

    /// Has the init see that files of the service have changed.
    pub fn reload(self, steps: &mut Steps<'_>) -> Result<(), Failure> {
        if self == Init::Systemd && is_booted(steps) {
            return steps.run(&["systemctl", "daemon-reload"]);
        }
        Ok(())
    }

    /// Whether the service runs on this machine.
    pub fn is_running(self, steps: &Steps<'_>) -> bool {
        match self {
            Init::Systemd if !is_booted(steps) => false,
            // A unit that waits for its next start counts, too.
            Init::Systemd => {
                steps.asks(&["sh", "-c", "systemctl is-active ottla | grep -q ^activ"])
            }
            Init::Procd => steps.asks(&[INIT_SCRIPT, "running"]),
            _ => steps.asks(&[INIT_SCRIPT, "status"]),
        }
    }

    /// Whether the service is up after a start: systemd's own word for it is there at READY.
    pub fn is_up(self, steps: &Steps<'_>) -> bool {
        match self {
            Init::Systemd => steps.asks(&["systemctl", "is-active", "--quiet", "ottla"]),
            _ => self.is_running(steps),
        }
    }

    /// What a person types.
    pub fn command(self, verb: &'static str) -> Vec<&'static str> {
        match self {
            Init::Systemd => vec!["systemctl", verb, "ottla"],
            Init::Openrc => vec!["rc-service", "ottla", verb],
            Init::Procd | Init::Sysv | Init::Busybox => vec![INIT_SCRIPT, verb],
        }
    }
}

fn is_booted(steps: &Steps<'_>) -> bool {
    !steps.below_root() && Path::new("/run/systemd/system").exists()
}

fn inittab(steps: &Steps<'_>) -> String {
    fs::read_to_string(steps.at("/etc/inittab")).unwrap_or_default()
}

fn edit_inittab(steps: &mut Steps<'_>, text: &str) -> Result<(), Failure> {
    use std::os::unix::fs::MetadataExt;
    let mode = fs::metadata(steps.at("/etc/inittab")).map_or(0o644, |found| found.mode() & 0o7777);
    steps.file("/etc/inittab", mode, text.as_bytes())?;
    if steps.below_root() { Ok(()) } else { steps.run(&["kill", "-HUP", "1"]) }
}

/// Runlevels, and whether the service runs in them.
const RUNLEVELS: [(&str, &str); 7] = [
    ("0", "K15ottla"),
    ("1", "K15ottla"),
    ("2", "S85ottla"),
    ("3", "S85ottla"),
    ("4", "S85ottla"),
    ("5", "S85ottla"),
    ("6", "K15ottla"),
];

/// Where the runlevels' directories are.
fn runlevels(steps: &Steps<'_>) -> &'static str {
    if steps.at("/etc/rc.d/rc3.d").exists() { "/etc/rc.d" } else { "/etc" }
}

/// The tool that knows about the order of scripts, if this is its machine.
fn sysv_tool(steps: &Steps<'_>) -> Option<&'static str> {
    let is_there =
        |name: &&&str| ["/sbin", "/usr/sbin"].iter().any(|d| Path::new(d).join(name).exists());
    let tools: &[&'static str] =
        if steps.below_root() { &[] } else { &["chkconfig", "update-rc.d"] };
    tools.iter().find(is_there).copied()
}

fn enable_sysv(steps: &mut Steps<'_>) -> Result<(), Failure> {
    let level = steps.at(&format!("{}/rc3.d", runlevels(steps)));
    let names = fs::read_dir(level).into_iter().flatten().flatten().map(|entry| entry.file_name());
    let is_ours = |name: &str| name.starts_with('S') && name.get(3..) == Some("ottla");
    if names.into_iter().any(|name| name.to_str().is_some_and(is_ours)) {
        return steps.unchanged("links in the runlevels");
    }
    match sysv_tool(steps) {
        Some("chkconfig") => steps.run(&["chkconfig", "--add", "ottla"]),
        Some(tool) => steps.run(&[tool, "ottla", "defaults"]),
        None => {
            for (level, name) in RUNLEVELS {
                let path = format!("{}/rc{level}.d/{name}", runlevels(steps));
                let up = if runlevels(steps) == "/etc" { "../init.d" } else { "../../init.d" };
                steps.link(&path, &format!("{up}/ottla"))?;
            }
            Ok(())
        }
    }
}

fn disable_sysv(steps: &mut Steps<'_>) -> Result<(), Failure> {
    match sysv_tool(steps) {
        Some("chkconfig") => steps.run(&["chkconfig", "--del", "ottla"]),
        Some(tool) => steps.run(&[tool, "-f", "ottla", "remove"]),
        None => {
            for (level, name) in RUNLEVELS {
                steps.remove(&format!("{}/rc{level}.d/{name}", runlevels(steps)))?;
            }
            Ok(())
        }
    }
}
