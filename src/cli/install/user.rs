//! The user that the service runs as.
//!
//! Promises: made with whatever tool the system has, or a sentence that says what to do.
//! Absent: removing it without being asked, and users of the network (`getent`).

use super::steps::Steps;
use crate::cli::Failure;
use std::fs;
use std::path::Path;

/// The user and the group of the service.
pub const USER: &str = "ottla";

/// The ids of a user and of its first group, if there is such a user in `/etc/passwd` below `root`.
pub fn find(root: &Path, name: &str) -> Option<(u32, u32)> {
    let text = fs::read_to_string(root.join("etc/passwd")).ok()?;
    ids(&text, name)
}

fn ids(passwd: &str, name: &str) -> Option<(u32, u32)> {
    let line = passwd.lines().find(|line| line.split(':').next() == Some(name))?;
    let mut fields = line.split(':').skip(2).map(str::parse);
    Some((fields.next()?.ok()?, fields.next()?.ok()?))
}

/// Makes the user, unless it is there.
pub fn make(steps: &mut Steps<'_>) -> Result<(), Failure> {
    if find(&steps.root, USER).is_some() {
        return steps.unchanged(&format!("user {USER}"));
    }
    if steps.below_root() {
        return steps
            .left(&format!("user {USER}"), "made by 'ottla install' on the machine itself");
    }
    for command in commands(&steps.root)? {
        steps.run(&command)?;
    }
    Ok(())
}

/// Removes the user, if it is there.
pub fn remove(steps: &mut Steps<'_>) -> Result<(), Failure> {
    if find(&steps.root, USER).is_none() || steps.below_root() {
        return Ok(());
    }
    let tool = tool(&steps.root, &["userdel", "deluser"]);
    let Some(tool) = tool else {
        return steps.left(&format!("user {USER}"), "there is neither userdel nor deluser");
    };
    steps.run(&[tool.to_owned(), USER.to_owned()])
}

fn tool(root: &Path, names: &[&'static str]) -> Option<&'static str> {
    let directories = ["usr/sbin", "sbin", "usr/bin", "bin"];
    let is_there = |name: &&&str| directories.iter().any(|d| root.join(d).join(name).exists());
    names.iter().find(is_there).copied()
}

/// What makes the user and its group.
fn commands(root: &Path) -> Result<Vec<Vec<String>>, Failure> {
    let shells = ["/usr/sbin/nologin", "/sbin/nologin", "/bin/false"];
    let shell = shells.iter().find(|shell| root.join(&shell[1..]).exists());
    let shell = shell.unwrap_or(&"/bin/false");
    let home = super::settings_text::DATA_DIRECTORY;
    let lines = match tool(root, &["useradd", "adduser"]) {
        Some("useradd") => vec![format!(
            "useradd --system --user-group --home-dir {home} --no-create-home --shell {shell} \
             {USER}"
        )],
        // Debian's is a program in Perl and makes the group itself; the other one is busybox.
        Some("adduser")
            if !root.join("usr/sbin/adduser").is_symlink()
                && root.join("etc/adduser.conf").exists() =>
        {
            vec![format!(
                "adduser --system --group --home {home} --no-create-home --shell {shell} {USER}"
            )]
        }
        Some("adduser") => vec![
            format!("addgroup -S {USER}"),
            format!("adduser -S -D -H -h {home} -s {shell} -G {USER} {USER}"),
        ],
        _ => {
            return Err(Failure::new(format!(
                "there is neither useradd nor adduser: add a line like \
                 {USER}:x:900:900::{home}:/bin/false to /etc/passwd and one like {USER}:x:900: to \
                 /etc/group, then install again."
            )));
        }
    };
    Ok(lines.iter().map(|line| line.split(' ').map(str::to_owned).collect()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_found_by_its_whole_name() {
        let passwd =
            "root:x:0:0:root:/root:/bin/sh\nottla2:x:7:8::/:\nottla:x:901:902::/:\nbad:x\n";
        assert_eq!(ids(passwd, "ottla"), Some((901, 902)));
        assert_eq!(ids(passwd, "root"), Some((0, 0)));
        assert_eq!((ids(passwd, "ott"), ids(passwd, "bad")), (None, None));
    }

    #[test]
    fn the_tool_that_is_there_makes_the_user() {
        let root = tempfile::tempdir().unwrap();
        let sentence = commands(root.path()).unwrap_err();
        assert!(matches!(sentence, Failure::Failed(text) if text.contains("/etc/passwd")));
        fs::create_dir_all(root.path().join("usr/sbin")).unwrap();
        fs::write(root.path().join("usr/sbin/adduser"), "").unwrap();
        assert_eq!(commands(root.path()).unwrap()[0], ["addgroup", "-S", "ottla"]);
        fs::create_dir_all(root.path().join("etc")).unwrap();
        fs::write(root.path().join("etc/adduser.conf"), "").unwrap();
        assert_eq!(commands(root.path()).unwrap()[0][1], "--system");
        fs::write(root.path().join("usr/sbin/useradd"), "").unwrap();
        assert_eq!(commands(root.path()).unwrap()[0][0], "useradd");
    }
}
