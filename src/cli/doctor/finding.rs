//! What was found: how bad, about what, what it means, and what to do.

use std::fmt;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// As it should be.
    Ok,
    /// Worth knowing.
    Note,
    /// It works, but not as well or as safely as it could.
    Warn,
    /// It does not work.
    Fail,
}

/// One line, and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub level: Level,
    pub subject: &'static str,
    pub text: String,
    pub advice: String,
}

impl Finding {
    fn new(level: Level, subject: &'static str, text: impl fmt::Display, advice: &str) -> Finding {
        Finding { level, subject, text: text.to_string(), advice: advice.to_owned() }
    }

    /// As it should be.
    pub fn ok(subject: &'static str, text: impl fmt::Display) -> Finding {
        Finding::new(Level::Ok, subject, text, "")
    }

    /// Worth knowing.
    pub fn note(subject: &'static str, text: impl fmt::Display, advice: &str) -> Finding {
        Finding::new(Level::Note, subject, text, advice)
    }

    /// Could be better.
    pub fn warn(subject: &'static str, text: impl fmt::Display, advice: &str) -> Finding {
        Finding::new(Level::Warn, subject, text, advice)
    }

    /// Does not work.
    pub fn fail(subject: &'static str, text: impl fmt::Display, advice: &str) -> Finding {
        Finding::new(Level::Fail, subject, text, advice)
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let level = match self.level {
            Level::Ok => "OK",
            Level::Note => "NOTE",
            Level::Warn => "WARN",
            Level::Fail => "FAIL",
        };
        writeln!(f, "{level:<5} {:<11} {}", self.subject, self.text)?;
        if !self.advice.is_empty() {
            writeln!(f, "{:18}-> {}", "", self.advice)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_to_do_stands_below_what_it_means() {
        let finding = Finding::warn("clock", "it is 1970", "Set it.");
        let indented = " ".repeat(18);
        assert_eq!(
            finding.to_string(),
            format!("WARN  clock       it is 1970\n{indented}-> Set it.\n")
        );
        assert_eq!(Finding::ok("disk", "fine").to_string(), "OK    disk        fine\n");
        assert!(Level::Fail > Level::Warn && Level::Warn > Level::Note);
    }
}
