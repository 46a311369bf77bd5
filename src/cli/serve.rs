//! `ottla serve`: a stand-in until the server is wired.

use super::{ServeArgs, note};
use std::process::ExitCode;

/// Runs the broker.
#[expect(clippy::needless_pass_by_value, reason = "the broker will own its arguments")]
pub fn run(_args: ServeArgs) -> ExitCode {
    note("ottla serve: not built yet");
    ExitCode::FAILURE
}
