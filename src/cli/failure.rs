//! Why a command did not do what it was asked: one sentence, and which exit code it means.

use std::fmt;

/// Why a command ends early.
#[derive(Debug, PartialEq, Eq)]
pub enum Failure {
    /// It was tried and failed: exit code 1.
    Failed(String),
    /// The command line makes no sense: exit code 2.
    Usage(String),
    /// Everything is said already; the exit code says how bad it is.
    Code(u8),
    /// Whoever read our output has seen enough: exit code 0, and not a word.
    PipeClosed,
}

impl Failure {
    /// A failure with its sentence.
    pub fn new(message: impl fmt::Display) -> Failure {
        Failure::Failed(message.to_string())
    }

    /// A command line that makes no sense.
    pub fn usage(message: impl fmt::Display) -> Failure {
        Failure::Usage(message.to_string())
    }
}

/// Only our own output comes here unexplained; sockets and files name themselves where they fail.
impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        if error.kind() == std::io::ErrorKind::BrokenPipe {
            return Failure::PipeClosed;
        }
        Failure::Failed(format!("cannot write the output: {error}"))
    }
}
