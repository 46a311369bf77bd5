//! The steps of an installation, each done, found done, or only told.
//!
//! Promises: one line a step with path, mode and owner; what is already as it should be is left
//! alone and said to be so; files change in one moment, under their old name or the new one, and
//! are on the disk when that is said. Told only (`--dry-run`), nothing changes.
//! Absent: which steps there are.

use crate::cli::Failure;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Who owns what is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// The administrator.
    Root,
    /// The service.
    Service,
}

/// Does the steps below one directory.
pub struct Steps<'a> {
    /// `/`, or the directory that stands for it.
    pub root: PathBuf,
    /// Tell only.
    pub dry: bool,
    /// Things that changed, or would.
    pub changes: usize,
    out: &'a mut dyn Write,
}

impl<'a> Steps<'a> {
    /// Steps below `root`, told to `out`.
    pub fn new(root: &Path, dry: bool, out: &'a mut dyn Write) -> Steps<'a> {
        Steps { root: root.to_owned(), dry, changes: 0, out }
    }

    /// Whether all this is for another machine, or a package.
    pub fn below_root(&self) -> bool {
        self.root != Path::new("/")
    }

    /// Where an absolute path is, below the root.
    pub fn at(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    fn tell(&mut self, verb: &str, what: &str) -> Result<(), Failure> {
        Ok(writeln!(self.out, "{verb:9} {what}")?)
    }

    /// A line to the reader.
    pub fn say(&mut self, line: &str) -> Result<(), Failure> {
        Ok(writeln!(self.out, "{line}")?)
    }

    /// Says that there is nothing to do.
    pub fn unchanged(&mut self, what: &str) -> Result<(), Failure> {
        self.tell("unchanged", what)
    }

    /// Says that something is not touched, and why.
    pub fn left(&mut self, what: &str, why: &str) -> Result<(), Failure> {
        self.tell("left", &format!("{what}  ({why})"))
    }

    /// Begins a change: says it, and returns whether to do it.
    fn begin(&mut self, verb: &str, what: &str) -> Result<bool, Failure> {
        self.changes += 1;
        self.tell(verb, what)?;
        Ok(!self.dry)
    }

    fn owner(&self, owner: Owner) -> Option<(u32, u32)> {
        match owner {
            // Below a root that is not the machine's, whoever runs this owns everything.
            _ if self.below_root() => None,
            Owner::Root => Some((0, 0)),
            Owner::Service => super::user::find(&self.root, super::user::USER),
        }
    }

    /// A directory with this mode and owner.
    pub fn directory(&mut self, path: &str, mode: u32, owner: Owner) -> Result<(), Failure> {
        let (at, what) = (self.at(path), described(path, mode, owner));
        let ids = self.owner(owner);
        let right = fs::metadata(&at).is_ok_and(|found| {
            found.is_dir()
                && found.mode() & 0o7777 == mode
                && ids.is_none_or(|ids| ids == (found.uid(), found.gid()))
        });
        if right {
            return self.unchanged(&what);
        }
        if !self.begin("make", &what)? {
            return Ok(());
        }
        let made = fs::create_dir_all(&at)
            .and_then(|()| fs::set_permissions(&at, fs::Permissions::from_mode(mode)))
            .and_then(|()| ids.map_or(Ok(()), |(uid, gid)| chown(&at, Some(uid), Some(gid))));
        made.map_err(|error| failed("make", &at, &error))
    }

    /// A file of root's with this content. Returns whether it is new.
    pub fn file(&mut self, path: &str, mode: u32, content: &[u8]) -> Result<bool, Failure> {
        let (at, what) = (self.at(path), described(path, mode, Owner::Root));
        let same = fs::read(&at).is_ok_and(|found| found == content)
            && fs::metadata(&at).is_ok_and(|found| found.mode() & 0o7777 == mode);
        if same {
            self.unchanged(&what)?;
            return Ok(false);
        }
        if self.begin("write", &what)? {
            let mut new = at.clone().into_os_string();
            new.push(".installing");
            write_whole(&at, Path::new(&new), mode, content)
                .map_err(|error| failed("write", &at, &error))?;
        }
        Ok(true)
    }

    /// A symbolic link. A file that is in its way stays, and that is said.
    pub fn link(&mut self, path: &str, target: &str) -> Result<(), Failure> {
        let (at, what) = (self.at(path), format!("{path} -> {target}"));
        match fs::read_link(&at) {
            Ok(found) if found == Path::new(target) => return self.unchanged(&what),
            Ok(_) => return self.left(path, "a link to something else has this name"),
            Err(_) if at.exists() => return self.left(path, "another program has this name"),
            Err(_) => {}
        }
        if !self.begin("link", &what)? {
            return Ok(());
        }
        let made = at.parent().map_or(Ok(()), fs::create_dir_all);
        made.and_then(|()| symlink(target, &at)).map_err(|error| failed("link", &at, &error))
    }

    /// A second name for a file, over whatever had it.
    pub fn rename(&mut self, path: &str, new: &str) -> Result<(), Failure> {
        if self.begin("keep", &format!("{path} as {new}"))? {
            // Linked, not moved: there is a program under the old name at every moment.
            let (at, new) = (self.at(path), self.at(new));
            fs::remove_file(&new).ok();
            fs::hard_link(&at, &new)
                .or_else(|_| fs::copy(&at, &new).map(|_| ()))
                .map_err(|error| failed("keep", &at, &error))?;
        }
        Ok(())
    }

    /// No file, link or directory of this name, if there is one.
    pub fn remove(&mut self, path: &str) -> Result<(), Failure> {
        let at = self.at(path);
        let Ok(found) = fs::symlink_metadata(&at) else { return Ok(()) };
        if !self.begin("remove", path)? {
            return Ok(());
        }
        let all = if found.is_dir() { fs::remove_dir_all(&at) } else { fs::remove_file(&at) };
        all.map_err(|error| failed("remove", &at, &error))
    }

    /// No link of this name, if it leads to `target`.
    pub fn unlink(&mut self, path: &str, target: &str) -> Result<(), Failure> {
        match fs::read_link(self.at(path)) {
            Ok(found) if found == Path::new(target) => self.remove(path),
            _ => Ok(()),
        }
    }

    /// A command of the system, which has to succeed.
    pub fn run(&mut self, command: &[impl AsRef<str>]) -> Result<(), Failure> {
        match self.try_run(command)? {
            true => Ok(()),
            false => Err(Failure::new(format!("'{}' failed", joined(command)))),
        }
    }

    /// A command of the system. Returns whether it succeeded.
    pub fn try_run(&mut self, command: &[impl AsRef<str>]) -> Result<bool, Failure> {
        if !self.begin("run", &joined(command))? {
            return Ok(true);
        }
        self.out.flush()?;
        Ok(succeeds(command, true))
    }

    /// Whether a command of the system says yes, without a word.
    pub fn asks(&self, command: &[&str]) -> bool {
        !self.below_root() && succeeds(command, false)
    }
}

fn joined(command: &[impl AsRef<str>]) -> String {
    command.iter().map(AsRef::as_ref).collect::<Vec<_>>().join(" ")
}

fn succeeds(command: &[impl AsRef<str>], heard: bool) -> bool {
    let [program, arguments @ ..] = command else { return false };
    let output = || if heard { Stdio::inherit() } else { Stdio::null() };
    let status = Command::new(program.as_ref())
        .args(arguments.iter().map(|argument| OsString::from(argument.as_ref())))
        .stdin(Stdio::null())
        .stdout(output())
        .stderr(output())
        .status();
    status.is_ok_and(|status| status.success())
}

/// `content` under its name at once, or the old file as it was.
fn write_whole(at: &Path, new: &Path, mode: u32, content: &[u8]) -> std::io::Result<()> {
    if let Some(directory) = at.parent() {
        fs::create_dir_all(directory)?;
    }
    fs::remove_file(new).ok();
    let mut file = File::options().write(true).create_new(true).mode(mode).open(new)?;
    // What the umask took away.
    file.set_permissions(fs::Permissions::from_mode(mode))?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(new, at)?;
    at.parent().map_or(Ok(()), |directory| File::open(directory)?.sync_all())
}

fn failed(verb: &str, path: &Path, error: &std::io::Error) -> Failure {
    Failure::new(format!("cannot {verb} {}: {error}", path.display()))
}

fn described(path: &str, mode: u32, owner: Owner) -> String {
    let owner = match owner {
        Owner::Root => "root",
        Owner::Service => super::user::USER,
    };
    format!("{path}  {mode:04o} {owner}:{owner}")
}
