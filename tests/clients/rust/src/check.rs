//! A step is a line: runs it with a time limit, and says what became of it.

use crate::{Client, Failure, Result};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

const STEP_MAX: Duration = Duration::from_secs(60);

/// How long anything may take.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A run of all steps of a client.
#[derive(Clone)]
pub struct Suite {
    pub client: Arc<dyn Client>,
    failed: Arc<AtomicBool>,
}

impl Suite {
    pub fn new(client: impl Client) -> Suite {
        // A failed step is told in its line.
        std::panic::set_hook(Box::new(|_| ()));
        Suite { client: Arc::new(client), failed: Arc::default() }
    }

    pub fn failed(&self) -> bool {
        self.failed.load(Ordering::Relaxed)
    }

    /// A topic's or a group's name in this suite.
    pub fn name(&self, what: &str) -> String {
        format!("{}-{what}", self.client.prefix())
    }

    pub fn topic(&self, what: &str, partitions: i32) -> String {
        let topic = self.name(what);
        good(self.client.create_topic(&topic, partitions, &[]));
        topic
    }

    pub fn skipped(&self, name: &str) -> Option<&'static str> {
        self.client.skip().iter().find(|(step, _)| *step == name).map(|(_, why)| *why)
    }

    pub fn print(&self, name: &str, result: &str) {
        let words: Vec<_> = result.split_whitespace().collect();
        println!("{} | {name} | {}", self.client.name(), words.join(" "));
    }

    /// Runs one step; one that hangs ends the program.
    pub fn step(&self, name: &str, body: impl FnOnce(&Suite) + Send + 'static) {
        if let Some(why) = self.skipped(name) {
            self.print(name, &format!("skipped {why}"));
            return;
        }
        let (done, result) = mpsc::channel();
        let (suite, start) = (self.clone(), Instant::now());
        std::thread::spawn(move || {
            let ended = catch_unwind(AssertUnwindSafe(|| body(&suite)));
            let why = ended.err().map(|why| match why.downcast::<String>() {
                Ok(text) => *text,
                Err(why) => {
                    why.downcast::<&str>().map_or("a panic".into(), |text| text.to_string())
                }
            });
            done.send(why).ok();
        });
        match result.recv_timeout(STEP_MAX) {
            Ok(None) => self.print(name, &format!("ok ({} ms)", start.elapsed().as_millis())),
            Ok(Some(why)) => {
                self.failed.store(true, Ordering::Relaxed);
                self.print(name, &format!("FAILED {why}"));
            }
            Err(_) => {
                self.print(name, "FAILED not done after 60 s; the steps after it were not run");
                std::process::exit(1);
            }
        }
    }
}

/// What a call returned; the step fails if that is an error.
#[track_caller]
pub fn good<T>(result: Result<T>) -> T {
    match result {
        Ok(value) => value,
        Err(Failure { code, text }) => {
            let line = std::panic::Location::caller().line();
            panic!("line {line}: error {code}: {text}")
        }
    }
}

pub fn same<T: PartialEq + std::fmt::Debug>(seen: T, expected: T, what: &str) {
    if seen != expected {
        let (mut seen, mut expected) = (format!("{seen:?}"), format!("{expected:?}"));
        seen.truncate(seen.floor_char_boundary(300));
        expected.truncate(expected.floor_char_boundary(300));
        panic!("{what}: expected {expected}, seen {seen}");
    }
}

/// Fails unless the call was refused with this code.
pub fn refused(result: Result<()>, code: i16) {
    match result {
        Ok(()) => panic!("expected error {code}, but it went well"),
        Err(failure) if failure.code == code => {}
        Err(failure) => panic!("expected error {code}, seen {failure:?}"),
    }
}

pub fn eventually(what: &str, within: Duration, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + within;
    while !holds() {
        assert!(Instant::now() < end, "not within {within:?}: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// The program that starts, stops and kills the broker; empty if there is none.
pub fn control_program() -> String {
    std::env::var("OTTLA_CTL").unwrap_or_default()
}

pub fn control(verb: &str) {
    let output = Command::new(control_program()).arg(verb).output().expect("ctl runs");
    assert!(output.status.success(), "ctl {verb}: {}", String::from_utf8_lossy(&output.stderr));
}
