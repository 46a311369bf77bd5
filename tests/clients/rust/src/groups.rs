//! Groups: offsets, members that come and go.

use crate::check::{PATIENCE, Suite, eventually, good, refused, same};
use crate::steps::{numbered, same_records, take, write, written};
use crate::{Consumer, Group, Membership, Placed, Record, Result, Settings};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// A member that polls, and commits what it has seen, on a thread of its own.
pub struct Live {
    seen: Arc<Mutex<Vec<Placed>>>,
    leaving: Arc<AtomicBool>,
    thread: JoinHandle<Result<()>>,
}

impl Live {
    /// `stubborn`: errors are expected while the broker is away.
    pub fn start(suite: &Suite, membership: &Membership, stubborn: bool) -> Live {
        let consumer = good(suite.client.member(membership));
        Live::run(consumer, stubborn, true)
    }

    pub fn run(mut consumer: Box<dyn Consumer>, stubborn: bool, commits: bool) -> Live {
        let (seen, leaving) = (Arc::<Mutex<Vec<Placed>>>::default(), Arc::<AtomicBool>::default());
        let (shared, leave) = (Arc::clone(&seen), Arc::clone(&leaving));
        let thread = std::thread::spawn(move || {
            let mut result = Ok(());
            while !leave.load(Ordering::Relaxed) {
                let records = match consumer.poll(Duration::from_millis(100)) {
                    Ok(records) => records,
                    Err(failure) => {
                        result = result.and(Err(failure));
                        continue;
                    }
                };
                let some = !records.is_empty();
                shared.lock().unwrap_or_else(PoisonError::into_inner).extend(records);
                if some && commits {
                    result = result.and(consumer.commit());
                }
            }
            if stubborn { Ok(()) } else { result }
        });
        Live { seen, leaving, thread }
    }

    pub fn seen(&self) -> Vec<Placed> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Leaves the group; what went wrong before fails the step.
    pub fn leave(self) -> Vec<Placed> {
        self.leaving.store(true, Ordering::Relaxed);
        let seen = self.seen();
        good(self.thread.join().expect("the member's thread did not panic"));
        seen
    }
}

/// Waits until the members of a stable group own these numbers of partitions, fewest first.
fn await_members(suite: &Suite, group: &str, partitions: &[usize]) -> Group {
    let end = Instant::now() + PATIENCE;
    loop {
        let seen = suite.client.group(group);
        if let Ok(mut seen) = seen {
            seen.partitions.sort_unstable();
            if seen.state == "Stable" && seen.partitions == partitions {
                return seen;
            }
            assert!(Instant::now() < end, "expected {partitions:?}, seen {seen:?}");
        }
        assert!(Instant::now() < end, "expected {partitions:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

pub fn groups(suite: &Suite) {
    suite.step("groups: commit, stop and resume", resume);
    suite.step("groups: second member joins and leaves", |suite| {
        second_member(suite, Membership { topic: suite.name("second"), ..Membership::default() });
    });
    suite.step("groups: cooperative", |suite| {
        let topic = suite.name("cooperative");
        let membership = Membership { topic, cooperative: true, ..Membership::default() };
        let group = second_member(suite, membership);
        same(group.protocol.as_str(), "cooperative-sticky", "protocol");
    });
    suite.step("groups: static member", static_member);
    suite.step("groups: list, describe, delete", |suite| {
        let group = suite.name("resume");
        let listed = || good(suite.client.groups()).contains(&group);
        assert!(listed(), "not listed");
        let described = good(suite.client.group(&group));
        same(described.state.as_str(), "Empty", "state");
        same(described.partitions.len(), 0, "members");
        good(suite.client.delete_group(&group));
        assert!(!listed(), "still listed");
    });
    suite.step("errors: delete a group with members", |suite| {
        let group = suite.topic("busy", 1);
        let membership =
            Membership { group: group.clone(), topic: group.clone(), ..Membership::default() };
        let member = Live::start(suite, &membership, false);
        await_members(suite, &group, &[1]);
        refused(suite.client.delete_group(&group), 68);
        member.leave();
    });
}

fn resume(suite: &Suite) {
    let topic = suite.topic("resume", 1);
    let membership =
        Membership { group: topic.clone(), topic: topic.clone(), ..Membership::default() };
    written(suite, &topic, numbered(0..60));
    let mut first = good(suite.client.member(&membership));
    same_records(&take(&mut *first, 60), &numbered(0..60));
    good(first.commit());
    drop(first);
    same(good(suite.client.committed(&topic, &topic)), 60, "committed offset");
    written(suite, &topic, numbered(60..100));
    let mut second = good(suite.client.member(&membership));
    same_records(&take(&mut *second, 40), &numbered(60..100));
    good(second.commit());
}

/// 25 records in each of 4 partitions.
fn spread(from: usize) -> Vec<(i32, Vec<Record>)> {
    (0..4)
        .map(|partition| {
            (partition as i32, numbered(from + partition * 25..from + partition * 25 + 25))
        })
        .collect()
}

/// Fails unless these together are the records of [`spread`], each once.
fn saw_all(until: usize, seen: impl Fn() -> Vec<Placed>) {
    let values = || {
        let mut values: Vec<_> = seen().into_iter().map(|placed| placed.record.value).collect();
        values.sort_unstable();
        values
    };
    let mut expected: Vec<_> = numbered(0..until).into_iter().map(|record| record.value).collect();
    expected.sort_unstable();
    eventually("all records seen", PATIENCE, || values().len() >= expected.len());
    assert!(values() == expected, "not each record once, {} seen", values().len());
}

fn second_member(suite: &Suite, mut membership: Membership) -> Group {
    let topic = membership.topic.clone();
    membership.group.clone_from(&topic);
    good(suite.client.create_topic(&topic, 4, &[]));
    let first = Live::start(suite, &membership, false);
    await_members(suite, &topic, &[4]);
    let second = Live::start(suite, &membership, false);
    let group = await_members(suite, &topic, &[2, 2]);
    good(write(suite, &topic, &spread(0), Settings::default()));
    saw_all(100, || [first.seen(), second.seen()].concat());
    same(first.seen().len(), 50, "records of the first member");
    let seconds = second.leave();
    await_members(suite, &topic, &[4]);
    good(write(suite, &topic, &spread(100), Settings::default()));
    saw_all(200, || [first.seen(), seconds.clone()].concat());
    first.leave();
    group
}

/// A static member that comes back within its session has its partitions again.
fn static_member(suite: &Suite) {
    let topic = suite.topic("static", 4);
    let member = |instance| {
        let (group, topic) = (topic.clone(), topic.clone());
        let membership = Membership { group, topic, instance: Some(instance), cooperative: false };
        Live::start(suite, &membership, false)
    };
    let one = member("one");
    await_members(suite, &topic, &[4]);
    let two = member("two");
    await_members(suite, &topic, &[2, 2]);
    two.leave();
    std::thread::sleep(Duration::from_secs(1));
    await_members(suite, &topic, &[2, 2]);
    good(write(suite, &topic, &spread(0), Settings::default()));
    let again = member("two");
    saw_all(100, || [one.seen(), again.seen()].concat());
    same(again.seen().len(), 50, "records of the member that came back");
    one.leave();
    again.leave();
}
