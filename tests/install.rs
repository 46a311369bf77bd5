//! `ottla install`, the init script and the supervisor, as a machine meets them: files below a
//! temporary root, and real processes that are started, killed, hung and upgraded.
//!
//! Promises: no test needs root, and what runs is ended by its process id. Absent: process 1. The
//! package's whole life in a Debian of its own is `cross/try-deb`.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on may panic")]

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

const OTTLA: &str = env!("CARGO_BIN_EXE_ottla");

/// Long enough for two cores that do other things as well.
const PATIENCE: Duration = Duration::from_secs(40);

fn run(command: &mut Command) -> Output {
    command.stdin(Stdio::null()).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Waits until `look` finds something.
fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let begin = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(begin.elapsed() < PATIENCE, "it never came: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A directory that stands for a machine's `/`, with what an init is known by.
struct Machine {
    root: tempfile::TempDir,
}

/// Every init, and what a machine has that has it. A trailing slash is a directory.
const INITS: [(&str, &[&str]); 5] = [
    ("systemd", &["run/systemd/system/", "etc/init.d/", "etc/rc3.d/"]),
    ("procd", &["sbin/procd", "etc/rc.common", "etc/init.d/", "etc/inittab", "bin/busybox"]),
    ("openrc", &["sbin/openrc-run", "etc/init.d/", "etc/inittab", "bin/busybox"]),
    ("sysv", &["etc/init.d/", "etc/rc3.d/", "etc/inittab"]),
    ("busybox", &["etc/init.d/", "etc/inittab", "bin/busybox"]),
];

impl Machine {
    fn with(init: &str) -> Machine {
        let root = tempfile::tempdir().unwrap();
        let (_, paths) = INITS.iter().find(|(name, _)| *name == init).unwrap();
        for path in *paths {
            let at = root.path().join(path);
            fs::create_dir_all(if path.ends_with('/') { &at } else { at.parent().unwrap() })
                .unwrap();
            if !path.ends_with('/') {
                fs::write(at, "::sysinit:/bin/true\n").unwrap();
            }
        }
        fs::write(root.path().join("program"), "#!/bin/sh\nexit 1\n").unwrap();
        Machine { root }
    }

    fn at(&self, path: &str) -> PathBuf {
        self.root.path().join(path)
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(OTTLA);
        command.args(arguments).arg("--root").arg(self.root.path());
        if arguments[0] == "install" {
            command.arg("--binary").arg(self.at("program"));
        }
        run(&mut command)
    }

    fn install(&self, more: &[&str]) -> String {
        let output = self.run(&[&["install"], more].concat());
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        text(&output.stdout)
    }

    /// Every file, directory and link, with mode and content.
    fn everything(&self) -> Vec<String> {
        fn walk(at: &Path, found: &mut Vec<String>) {
            for entry in fs::read_dir(at).unwrap() {
                let path = entry.unwrap().path();
                let about = fs::symlink_metadata(&path).unwrap();
                let content = match fs::read_link(&path) {
                    Ok(target) => target.display().to_string(),
                    Err(_) => fs::read_to_string(&path).unwrap_or_default(),
                };
                found.push(format!("{} {:o} {content}", path.display(), about.mode()));
                if about.is_dir() {
                    walk(&path, found);
                }
            }
        }
        let mut found = Vec::new();
        walk(self.root.path(), &mut found);
        found.sort();
        found
    }
}

#[test]
fn every_init_gets_its_service_once_and_loses_it_again() {
    for (init, files) in [
        (
            "systemd",
            &[
                "etc/systemd/system/ottla.service",
                "etc/systemd/system/multi-user.target.wants/ottla.service",
            ][..],
        ),
        ("procd", &["etc/init.d/ottla", "usr/local/lib/ottla/service", "etc/rc.d/S90ottla"]),
        (
            "openrc",
            &["etc/init.d/ottla", "usr/local/lib/ottla/service", "etc/runlevels/default/ottla"],
        ),
        ("sysv", &["etc/init.d/ottla", "etc/rc3.d/S85ottla", "etc/rc6.d/K15ottla"]),
        ("busybox", &["etc/init.d/ottla"]),
    ] {
        let machine = Machine::with(init);
        let before = machine.everything();
        machine.install(&["--kafka-commands", "--board", "pi-zero"]);
        for file in files {
            assert!(machine.at(file).is_symlink() || machine.at(file).exists(), "{init}: {file}");
        }
        let data = if init == "procd" { "srv/ottla" } else { "var/lib/ottla" };
        assert_eq!(fs::metadata(machine.at(data)).unwrap().mode() & 0o7777, 0o750, "{init}");
        let link = machine.at("usr/local/bin/kafka-topics.sh");
        assert_eq!(fs::read_link(link).unwrap(), Path::new("ottla"));
        let defaults = fs::read_to_string(machine.at("etc/default/ottla")).unwrap();
        assert!(defaults.contains("\nOTTLA_ARGS=\"--board pi-zero\"\n"), "{defaults}");
        let service = fs::read_to_string(machine.at(files[0])).unwrap();
        assert!(!service.contains('@') || init == "systemd", "{service}");
        assert!(!service.contains("@BIN@"), "{service}");
        let inittab = fs::read_to_string(machine.at("etc/inittab")).unwrap_or_default();
        assert_eq!(inittab.contains("::respawn:/etc/init.d/ottla run"), init == "busybox");

        let once = machine.everything();
        let said = machine.install(&["--kafka-commands"]);
        assert_eq!(machine.everything(), once, "{init}");
        for line in said.lines() {
            assert!(line.starts_with("unchanged ") || line.contains("user ottla"), "{line}");
        }

        let output = machine.run(&["uninstall"]);
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        assert!(machine.at("etc/ottla/ottla.toml").exists() && machine.at(data).exists());
        assert!(!machine.at("usr/local/bin/ottla").exists());
        machine.run(&["uninstall", "--purge"]);
        let files = |all: Vec<String>| -> Vec<String> {
            // Empty directories that were made on the way may stay.
            all.into_iter().filter(|line| !line.ends_with(' ')).collect()
        };
        assert_eq!(files(machine.everything()), files(before), "{init}");
    }
}

#[test]
fn an_image_loses_the_services_of_inits_that_are_not_found_in_it() {
    for inits in [&["systemd", "sysv"][..], &["procd"], &["openrc"], &["busybox"]] {
        let machine = Machine { root: tempfile::tempdir().unwrap() };
        fs::write(machine.at("program"), "").unwrap();
        let more: Vec<&str> = inits.iter().flat_map(|init| ["--init", init]).collect();
        machine.install(&more);
        let output = machine.run(&["uninstall", "--purge"]);
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        let stays = [machine.at("program"), machine.at("etc/inittab")];
        for line in machine.everything() {
            let is_directory = line.contains(" 40755 ");
            let may_stay = stays.iter().any(|path| line.starts_with(&*path.to_string_lossy()));
            assert!(is_directory || may_stay, "{inits:?}: {line}");
        }
        assert!(!machine.at("srv/ottla").exists() && !machine.at("var/lib/ottla").exists());
        let inittab = fs::read_to_string(stays[1].as_path()).unwrap_or_default();
        assert_eq!(inittab, "", "{inits:?}");
    }
}

#[test]
fn a_dry_run_tells_path_mode_and_owner_and_does_nothing() {
    for (init, _) in INITS {
        let machine = Machine::with(init);
        let before = machine.everything();
        let said = machine.install(&["--dry-run", "--kafka-commands"]);
        assert_eq!(machine.everything(), before);
        for line in [
            "write     /usr/local/bin/ottla  0755 root:root",
            "write     /etc/ottla/ottla.toml  0644 root:root",
            "ottla  0750 ottla:ottla",
            "link      /usr/local/bin/zkServer.sh -> ottla",
        ] {
            assert!(said.contains(line), "{init}: {line} is not in\n{said}");
        }
        machine.install(&[]);
        let before = machine.everything();
        let output = machine.run(&["uninstall", "--dry-run", "--purge"]);
        assert!(text(&output.stdout).contains("remove    /usr/local/bin/ottla"));
        assert_eq!(machine.everything(), before);
    }
}

#[test]
fn settings_that_somebody_changed_are_left_alone() {
    let machine = Machine::with("sysv");
    machine.install(&[]);
    let settings = machine.at("etc/ottla/ottla.toml");
    let changed = fs::read_to_string(&settings).unwrap().replace("#\"node.id\" = 1", "node.id = 7");
    fs::write(&settings, &changed).unwrap();
    machine.install(&[]);
    assert_eq!(fs::read_to_string(&settings).unwrap(), changed);
    assert!(!machine.at("etc/ottla/ottla.toml.new").exists());

    // One that an older version wrote does not know everything.
    fs::write(&settings, "node.id = 7\n").unwrap();
    assert!(machine.install(&[]).contains("write     /etc/ottla/ottla.toml.new"));
    assert_eq!(fs::read_to_string(&settings).unwrap(), "node.id = 7\n");
    assert!(machine.install(&[]).contains("unchanged /etc/ottla/ottla.toml.new"));
}

#[test]
fn an_upgrade_keeps_the_program_that_last_proved_itself() {
    let machine = Machine::with("sysv");
    let (now, old) = (machine.at("usr/local/bin/ottla"), machine.at("usr/local/bin/ottla.old"));
    for (version, kept) in [("1", None), ("1", None), ("2", Some("1")), ("3", Some("1"))] {
        fs::write(machine.at("program"), version).unwrap();
        machine.install(&[]);
        assert_eq!(fs::read_to_string(&now).unwrap(), version);
        assert_eq!(fs::read_to_string(&old).ok().as_deref(), kept);
    }
}

#[test]
fn other_programs_of_the_same_names_are_left_alone() {
    let machine = Machine::with("sysv");
    fs::create_dir_all(machine.at("usr/local/bin")).unwrap();
    fs::write(machine.at("usr/local/bin/kafka-topics.sh"), "Kafka's own").unwrap();
    symlink("elsewhere", machine.at("usr/local/bin/zkServer.sh")).unwrap();
    let said = machine.install(&["--kafka-commands"]);
    assert_eq!(said.matches("left      /usr/local/bin/").count(), 2, "{said}");
    machine.run(&["uninstall"]);
    assert!(machine.at("usr/local/bin/kafka-topics.sh").exists());
    assert!(machine.at("usr/local/bin/zkServer.sh").is_symlink());
    assert!(!machine.at("usr/local/bin/kafka-configs.sh").is_symlink());
}

#[test]
fn without_root_it_is_one_sentence() {
    let mut command = Command::new(OTTLA);
    command.args(["install", "--prefix", "/nonexistent/prefix"]);
    if fs::metadata("/proc/self").unwrap().uid() == 0 {
        command.uid(65_534).gid(65_534);
    }
    // Where the build directory is root's alone, nobody else can start the program.
    let Ok(output) = command.stdin(Stdio::null()).output() else { return };
    assert_eq!(output.status.code(), Some(1));
    let said = text(&output.stderr);
    assert!(said.contains("run it as root") && said.lines().count() == 1, "{said}");
    assert!(!Path::new("/nonexistent").exists());
}

/// A machine with the real program, whose init script is run by hand.
struct Service {
    machine: Machine,
    watchdog_ms: &'static str,
}

impl Service {
    fn new() -> Service {
        let machine = Machine::with("sysv");
        machine.install(&[]);
        fs::create_dir_all(machine.at("bin")).unwrap();
        symlink(OTTLA, machine.at("bin/ottla")).unwrap();
        let settings = format!(
            "listeners = \"PLAINTEXT://127.0.0.1:0\"\nlog.dirs = \"{}\"\njournal.bytes = 2097152\n",
            machine.at("data").display()
        );
        fs::write(machine.at("ottla.toml"), settings).unwrap();
        fs::create_dir(machine.at("data")).unwrap();
        Service { machine, watchdog_ms: "60000" }
    }

    fn script(&self, verb: &str) -> Output {
        let at = |path: &str| self.machine.at(path);
        let own = fs::metadata("/proc/self").unwrap().uid();
        let user = if own == 0 { "root" } else { "nobody" };
        let mut command = Command::new("sh");
        command
            .arg(at("etc/init.d/ottla"))
            .arg(verb)
            .env("OTTLA_BINARY", at("bin/ottla"))
            .env("OTTLA_CONFIG", at("ottla.toml"))
            .env("OTTLA_DATA", at("data"))
            .env("OTTLA_RUN", at("run"))
            .env("OTTLA_LOG", at("log/ottla.log"))
            .env("OTTLA_USER", user);
        run(&mut command)
    }

    fn said(&self, verb: &str, code: i32) -> String {
        let output = self.script(verb);
        let said = text(&output.stdout) + &text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{verb}: {said}\n{}", self.log());
        said
    }

    fn log(&self) -> String {
        fs::read_to_string(self.machine.at("log/ottla.log")).unwrap_or_default()
    }

    fn supervisor(&self) -> Option<u32> {
        fs::read_to_string(self.machine.at("run/pid")).ok()?.trim().parse().ok()
    }

    /// The broker's process id, once it is ready.
    fn broker(&self) -> Option<u32> {
        let state = fs::read_to_string(self.machine.at("run/state")).ok()?;
        state.strip_prefix("ready ")?.trim().parse().ok()
    }

    /// A supervisor without the script.
    fn supervise(&self) -> Child {
        let mut command = Command::new(self.machine.at("bin/ottla"));
        command
            .args(["supervise", "--watchdog-ms", self.watchdog_ms, "--run-dir"])
            .arg(self.machine.at("run"))
            .arg("--log")
            .arg(self.machine.at("log.txt"))
            .args(["--", "--config"])
            .arg(self.machine.at("ottla.toml"));
        command.stdin(Stdio::null()).spawn().unwrap()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.script("stop");
    }
}

fn signal(name: &str, id: u32) {
    assert!(run(Command::new("kill").arg(name).arg(id.to_string())).status.success());
}

fn is_gone(id: u32) -> Option<()> {
    // A process that ended and was not yet asked for has no command line.
    let line = fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
    line.is_empty().then_some(())
}

#[test]
fn the_init_script_starts_once_restarts_after_a_crash_and_stops() {
    let service = Service::new();
    assert!(service.said("status", 3).contains("does not run"));
    assert!(service.said("stop", 0).contains("does not run"));
    assert!(service.said("start", 0).contains("started"));
    let (supervisor, first) = (service.supervisor().unwrap(), service.broker().unwrap());
    assert!(service.said("status", 0).contains(&format!("process {supervisor} (ready {first})")));

    assert!(service.said("start", 0).contains("runs already"));
    assert_eq!((service.supervisor(), service.broker()), (Some(supervisor), Some(first)));

    signal("-KILL", first);
    let second = until("another broker", || service.broker().filter(|id| *id != first));
    assert_eq!(service.supervisor(), Some(supervisor));
    let log = service.log();
    assert!(log.contains("signal: 9") && log.contains("started again in 1000 ms"), "{log}");

    assert!(service.said("restart", 0).contains("started"));
    assert!(is_gone(second).is_some());
    let (supervisor, third) = (service.supervisor().unwrap(), service.broker().unwrap());
    assert!(service.said("stop", 0).contains("stopped"));
    assert!(is_gone(third).is_some() && is_gone(supervisor).is_some());
    assert!(service.log().contains("SIGTERM"), "the broker was asked");
    service.said("status", 3);
}

#[test]
fn a_pid_file_that_names_somebody_else_is_not_believed() {
    let service = Service::new();
    fs::create_dir(service.machine.at("run")).unwrap();
    fs::write(service.machine.at("run/pid"), std::process::id().to_string()).unwrap();
    assert!(service.said("status", 1).contains("does not run"));
    service.said("start", 0);
    assert_ne!(service.supervisor(), Some(std::process::id()));
    service.said("stop", 0);
}

#[test]
fn a_broker_does_not_outlive_its_supervisor_and_the_next_start_finds_the_data_free() {
    let service = Service::new();
    service.said("start", 0);
    let (supervisor, broker) = (service.supervisor().unwrap(), service.broker().unwrap());
    signal("-KILL", supervisor);
    until("the broker's end", || is_gone(broker));
    service.said("status", 1);
    service.said("start", 0);
    assert_ne!(service.broker(), Some(broker));
}

#[test]
fn a_second_supervisor_gives_way() {
    let service = Service::new();
    service.said("start", 0);
    let broker = service.broker();
    assert_eq!(service.supervise().wait().unwrap().code(), Some(1));
    assert_eq!(service.broker(), broker);
}

#[test]
fn a_broker_that_hangs_is_killed_and_started_again() {
    let mut service = Service::new();
    service.watchdog_ms = "1500";
    let mut supervisor = service.supervise();
    let first = until("a broker", || service.broker());
    // It lives for longer than the watchdog's time as long as its loop turns.
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(service.broker(), Some(first));
    signal("-STOP", first);
    until("another broker", || service.broker().filter(|id| *id != first));
    let log = fs::read_to_string(service.machine.at("log.txt")).unwrap();
    assert!(log.contains("does not answer") && log.contains("the broker hung"), "{log}");
    signal("-TERM", supervisor.id());
    assert_eq!(supervisor.wait().unwrap().code(), Some(0));
}

#[test]
fn a_new_program_that_does_not_start_makes_way_for_the_old_one() {
    let service = Service::new();
    service.said("start", 0);
    let (now, old) = (service.machine.at("bin/ottla"), service.machine.at("bin/ottla.old"));

    // One that works: the old one goes.
    fs::rename(&now, &old).unwrap();
    symlink(OTTLA, &now).unwrap();
    assert!(service.said("restart", 0).contains("the new one is kept"));
    assert!(!old.exists());

    // One that supervises, and whose broker fails: what it makes of the settings is an error.
    let settings = service.machine.at("ottla.toml");
    let good = service.machine.at("good.toml");
    fs::copy(&settings, &good).unwrap();
    fs::write(&settings, "node.id = \"wrong\"\n").unwrap();
    let (run_dir, good) = (service.machine.at("run"), good.display().to_string());
    let run_dir = run_dir.display();
    let proved =
        format!("#!/bin/sh\nexec {OTTLA} supervise --run-dir {run_dir} -- --config {good}\n");
    fs::write(&old, proved).unwrap();
    fs::set_permissions(&old, fs::Permissions::from_mode(0o755)).unwrap();
    let said = service.said("restart", 1);
    assert!(said.contains("the old one is put back") && said.contains("runs again"), "{said}");
    assert!(said.contains("exit status: 1") && !old.exists(), "{said}");
    assert!(service.log().contains("node.id"), "why it failed is in the log");

    // One that does not even begin.
    fs::rename(&now, &old).unwrap();
    fs::write(&now, "#!/bin/sh\nexit 7\n").unwrap();
    fs::set_permissions(&now, fs::Permissions::from_mode(0o755)).unwrap();
    let said = service.said("restart", 1);
    assert!(said.contains("the old one is put back") && said.contains("runs again"), "{said}");
    assert!(!old.exists() && service.broker().is_some());
}

/// What the broker sends until `wanted` has come.
fn hear(socket: &UnixDatagram, wanted: &str) -> Vec<String> {
    let mut heard = Vec::new();
    let mut buffer = [0; 512];
    loop {
        let bytes = socket.recv(&mut buffer).unwrap_or_else(|e| panic!("no {wanted}: {e}"));
        heard.push(text(&buffer[..bytes]));
        if heard.last().unwrap().lines().any(|line| line == wanted) {
            return heard;
        }
    }
}

#[test]
fn systemd_hears_ready_then_the_watchdog_then_the_end() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut broker = Command::new(OTTLA)
        .args(["serve", "--listen", "127.0.0.1:0", "--set", "journal.bytes=2097152", "--data"])
        .arg(directory.path().join("data"))
        .env("NOTIFY_SOCKET", &path)
        .env("WATCHDOG_USEC", "400000")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let heard = hear(&socket, "READY=1");
    let status = heard.last().unwrap().lines().nth(1).unwrap();
    let address = status.strip_prefix("STATUS=accepts on ").unwrap();
    // It is true.
    let _client = std::net::TcpStream::connect(address).unwrap();

    let begin = Instant::now();
    for _ in 0..5 {
        hear(&socket, "WATCHDOG=1");
    }
    let heard = hear(&socket, "WATCHDOG=1");
    assert!(heard[0].contains("STATUS=1 connections"), "{heard:?}");
    assert!(begin.elapsed() >= Duration::from_millis(900), "at half of the time, not at once");

    // A loop that stands still says nothing.
    signal("-STOP", broker.id());
    std::thread::sleep(Duration::from_millis(100));
    socket.set_nonblocking(true).unwrap();
    let mut buffer = [0; 512];
    while socket.recv(&mut buffer).is_ok() {}
    std::thread::sleep(Duration::from_secs(1));
    assert!(socket.recv(&mut buffer).is_err());
    socket.set_nonblocking(false).unwrap();

    signal("-CONT", broker.id());
    signal("-TERM", broker.id());
    hear(&socket, "STOPPING=1");
    assert_eq!(broker.wait().unwrap().code(), Some(0));
}
