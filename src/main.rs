//! The `ottla` binary: argv in, exit code out. Everything else is the library's.

fn main() {}
