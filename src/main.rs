//! The `ottla` binary: argv in, exit code out. Everything else is the library's.

use std::process::ExitCode;

fn main() -> ExitCode {
    ottla::cli::main()
}
