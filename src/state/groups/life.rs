//! A random life: processes join, work, change their minds, hang, die and come back, thousands of
//! steps per seed, and after each step somebody checks what must hold whatever happens.
//!
//! What must hold: a ticket is answered within the longest rebalance timeout, and its connection
//! woken exactly then; all members of a generation are told the same generation, protocol and
//! leader; an assignment belongs to the generation and to the member that gets it; at most one
//! generation has live members; the books agree with what they describe. In the end everybody
//! behaves, and the group must become stable with exactly those who live.

use std::collections::{HashMap, HashSet};

use super::scripts::{Join, Joined, Offer, Script, Sync, offer};
use super::*;

const SESSION_TIMEOUTS_MS: [i32; 3] = [6_000, 12_000, 40_000];
const REBALANCE_TIMEOUTS_MS: [i32; 3] = [3_000, 10_000, 30_000];
const REBALANCE_TIMEOUT_MS_MAX: u64 = 30_000;
/// How late the event loop may be.
const LATE_MS_MAX: u64 = 40;

/// Marsaglia's xorshift64.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }
}

#[derive(Debug)]
enum Doing {
    /// Silent for ever, or until it is started again.
    Dead,
    /// About to send JoinGroup.
    Outside,
    Joining(JoinTicket, u64),
    /// About to send SyncGroup.
    Told(Joined),
    Syncing(SyncTicket, u64, Joined),
    Working(Joined),
}

/// One client process with one connection.
#[derive(Debug)]
struct Process {
    waiter: Waiter,
    member_id: String,
    instance_id: Option<String>,
    metadata: [u8; 1],
    preference: usize,
    session_timeout_ms: i32,
    rebalance_timeout_ms: i32,
    doing: Doing,
}

/// What was told about one generation.
#[derive(Debug)]
struct Told {
    protocol: String,
    leader: String,
}

struct Life {
    script: Script,
    dice: Dice,
    processes: Vec<Process>,
    /// Connections whose process hangs: they may be woken, and nobody listens.
    ghosts: HashSet<Waiter>,
    waiters: Waiter,
    told: HashMap<i32, Told>,
    newest_generation: i32,
    /// How often each kind of thing happened, to know that the dice reach everything.
    seen: HashMap<&'static str, u64>,
}

const PREFERENCES: [[&str; 2]; 3] = [["range", "sticky"], ["sticky", "range"], ["range", "robin"]];

impl Life {
    fn new(seed: u64) -> Life {
        let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        let delay = [0, 0, 500, 3_000][dice.roll(4) as usize];
        let config = GroupsConfig {
            initial_rebalance_delay_ms: delay,
            size_max: 4 + dice.roll(5) as usize,
            ..GroupsConfig::default()
        };
        let mut life = Life {
            script: Script::with(config),
            dice,
            processes: Vec::new(),
            ghosts: HashSet::new(),
            waiters: 0,
            told: HashMap::new(),
            newest_generation: 0,
            seen: HashMap::new(),
        };
        for index in 0..7 {
            let instance_id = (index % 3 == 0).then(|| format!("fixed{index}"));
            life.processes.push(Process {
                waiter: 0,
                member_id: String::new(),
                instance_id,
                metadata: [0],
                preference: life.dice.roll(3) as usize,
                session_timeout_ms: SESSION_TIMEOUTS_MS[life.dice.roll(3) as usize],
                rebalance_timeout_ms: REBALANCE_TIMEOUTS_MS[life.dice.roll(3) as usize],
                doing: Doing::Dead,
            });
            life.start(index);
        }
        life
    }

    fn note(&mut self, what: &'static str) {
        *self.seen.entry(what).or_default() += 1;
    }

    /// A fresh process in the place of `index`: no id, a new connection.
    fn start(&mut self, index: usize) {
        self.waiters += 1;
        let process = &mut self.processes[index];
        process.waiter = self.waiters;
        process.member_id.clear();
        process.doing = Doing::Outside;
    }

    fn die(&mut self, index: usize) {
        let process = &mut self.processes[index];
        process.doing = Doing::Dead;
        if self.dice.roll(2) == 0 {
            self.script.groups.connection_closed(process.waiter);
        } else {
            self.ghosts.insert(process.waiter);
        }
    }

    fn now(&self) -> u64 {
        self.script.now.mono.0
    }

    /// Time goes on, with the event loop on time or a little late.
    fn pass(&mut self, ms: u64) {
        if self.dice.roll(3) == 0 {
            let late = ms.min(self.dice.roll(LATE_MS_MAX));
            self.script.at(self.now() + ms - late);
            self.script.now.mono = self.script.now.mono.saturating_add(late);
            self.script.groups.handle_timeout(self.script.now, |_, _, _| true);
        } else {
            self.script.at(self.now() + ms);
        }
        self.deliver();
    }

    /// Reads the answers of those who are woken, and looks that nobody was forgotten or is late.
    fn deliver(&mut self) {
        let mut named = HashSet::new();
        while let Some(waiter) = self.script.groups.pop_woken() {
            assert!(named.insert(waiter), "woken twice");
            match self.processes.iter().position(|process| process.waiter == waiter) {
                Some(index) if !self.ghosts.contains(&waiter) => self.read(index),
                _ => assert!(self.ghosts.contains(&waiter), "a closed connection was woken"),
            }
        }
        for process in &self.processes {
            let (ready, since) = match &process.doing {
                Doing::Joining(ticket, since) => (self.script.join_result(*ticket), *since),
                Doing::Syncing(ticket, since, _) => {
                    let ready = self.script.sync_result(*ticket);
                    (ready.map(|it| Join::Refused(Refusal::GroupsFull, format!("{it:?}"))), *since)
                }
                _ => continue,
            };
            assert_eq!(ready, None, "an answer was ready and nobody woken: {process:?}");
            let waited = self.now() - since;
            assert!(
                waited <= REBALANCE_TIMEOUT_MS_MAX + LATE_MS_MAX,
                "waits {waited}: {process:?}"
            );
        }
    }

    fn read(&mut self, index: usize) {
        let waiter = self.processes[index].waiter;
        let doing = std::mem::replace(&mut self.processes[index].doing, Doing::Outside);
        match doing {
            Doing::Joining(ticket, _) => {
                let answer = self.script.join_result(ticket).expect("woken for an answer");
                self.took_join(index, answer);
            }
            Doing::Syncing(ticket, _, joined) => {
                let answer = self.script.sync_result(ticket).expect("woken for an answer");
                self.took_sync(index, joined, answer);
            }
            other => panic!("woken while {other:?}"),
        }
        self.script.groups.release(waiter);
    }

    fn took_join(&mut self, index: usize, answer: Join) {
        match answer {
            Join::Parked(ticket) => {
                self.note("join parked");
                self.processes[index].doing = Doing::Joining(ticket, self.now());
            }
            Join::Refused(refusal, member_id) => self.refused(index, refusal, &member_id),
            Join::Joined(joined) => {
                self.check_join(index, &joined);
                self.processes[index].member_id.clone_from(&joined.me);
                self.processes[index].doing = Doing::Told(joined);
            }
        }
    }

    fn check_join(&mut self, index: usize, joined: &Joined) {
        let generation = joined.generation;
        assert!(joined.generation >= self.newest_generation || self.told.contains_key(&generation));
        self.newest_generation = self.newest_generation.max(generation);
        let known = self.processes[index].member_id.as_str();
        assert!(known.is_empty() || known == joined.me, "the id changed");
        if joined.skip {
            // A static leader came back under a new id.
            assert_eq!(joined.leader, joined.me);
            let told = self.told.get_mut(&generation).expect("a generation that was told");
            told.leader.clone_from(&joined.leader);
            *self.seen.entry("leader returned").or_default() += 1;
        }
        let told = self.told.entry(generation).or_insert_with(|| Told {
            protocol: joined.protocol.clone(),
            leader: joined.leader.clone(),
        });
        assert_eq!((&told.protocol, &told.leader), (&joined.protocol, &joined.leader));
        let ids: HashSet<_> = joined.members.iter().map(|(id, _)| id).collect();
        assert_eq!(ids.len(), joined.members.len(), "nobody is named twice");
        assert_eq!(
            !ids.is_empty(),
            joined.leader == joined.me,
            "the leader, and only it, knows all"
        );
        assert!(ids.is_empty() || ids.contains(&joined.me));
        self.note("joined");
    }

    fn took_sync(&mut self, index: usize, joined: Joined, answer: Sync) {
        match answer {
            Sync::Parked(ticket) => {
                self.note("sync parked");
                self.processes[index].doing = Doing::Syncing(ticket, self.now(), joined);
            }
            Sync::Refused(refusal) => self.refused(index, refusal, ""),
            Sync::Assigned(assignment) => {
                let text = String::from_utf8(assignment).unwrap();
                let (generation, owner) = text.split_once(' ').expect("leaders forget nobody");
                assert_eq!(generation, joined.generation.to_string(), "of another generation");
                let process = &self.processes[index];
                // A static member that came back has what its former id was given.
                let name = process.instance_id.as_deref().unwrap_or(&joined.me);
                assert!(owner.starts_with(name), "{owner} is not {name}");
                self.note("assigned");
                self.processes[index].doing = Doing::Working(joined);
            }
        }
    }

    /// What the Java client does with each refusal.
    fn refused(&mut self, index: usize, refusal: Refusal, member_id: &str) {
        let process = &mut self.processes[index];
        process.doing = Doing::Outside;
        let what = match refusal {
            Refusal::MemberIdRequired => {
                member_id.clone_into(&mut process.member_id);
                "member id required"
            }
            Refusal::RebalanceInProgress => "rebalance in progress",
            Refusal::UnknownMemberId | Refusal::IllegalGeneration => {
                process.member_id.clear();
                "unknown member"
            }
            Refusal::FencedInstanceId | Refusal::GroupMaxSizeReached => {
                self.die(index);
                "fatal"
            }
            other => panic!("{other:?}"),
        };
        self.note(what);
    }

    fn join(&mut self, index: usize) {
        let process = &self.processes[index];
        let names = PREFERENCES[process.preference];
        let protocols = names.map(|name| (name, &process.metadata[..]));
        let request: JoinRequest<'_, Offer<'_>> = JoinRequest {
            group_id: "g",
            member_id: &process.member_id,
            instance_id: process.instance_id.as_deref(),
            client_id: "client",
            client_host: "/10.0.0.1",
            protocol_type: "consumer",
            protocols: offer(&protocols),
            session_timeout_ms: process.session_timeout_ms,
            rebalance_timeout_ms: process.rebalance_timeout_ms,
            require_known_member_id: !process.waiter.is_multiple_of(3),
            supports_skip_assignment: true,
            waiter: process.waiter,
        };
        let answer = self.script.join(request);
        self.took_join(index, answer);
    }

    fn sync(&mut self, index: usize) {
        let doing = std::mem::replace(&mut self.processes[index].doing, Doing::Outside);
        let (Doing::Told(joined) | Doing::Working(joined)) = doing else { panic!("{doing:?}") };
        let give = |id: &String| (id.clone(), format!("{} {id}", joined.generation));
        let gives: Vec<_> = match joined.skip {
            true => Vec::new(),
            false => joined.members.iter().map(|(id, _)| give(id)).collect(),
        };
        let gives: Vec<_> = gives.iter().map(|it| (it.0.as_str(), it.1.as_bytes())).collect();
        let process = &self.processes[index];
        let request = SyncRequest {
            group_id: "g",
            member_id: &joined.me,
            instance_id: process.instance_id.as_deref(),
            generation: joined.generation,
            protocol_type: Some("consumer"),
            protocol_name: Some(&joined.protocol),
            assignments: offer(&gives),
            waiter: process.waiter,
        };
        let answer = match self.script.groups.sync(request, self.script.now) {
            SyncVerdict::Refused(refusal) => Sync::Refused(refusal),
            SyncVerdict::Parked(ticket) => Sync::Parked(ticket),
            SyncVerdict::Assigned(answer) => Sync::Assigned(answer.assignment.to_owned()),
        };
        self.took_sync(index, joined, answer);
    }

    fn beat(&mut self, index: usize) -> bool {
        let process = &self.processes[index];
        let (Doing::Working(joined) | Doing::Told(joined)) = &process.doing else { return false };
        let (me, generation) = (joined.me.clone(), joined.generation);
        let instance_id = process.instance_id.clone();
        let (groups, now) = (&mut self.script.groups, self.script.now);
        let verdict = match self.dice.roll(2) {
            0 => groups.heartbeat("g", &me, instance_id.as_deref(), generation, now),
            _ => match groups.validate_commit("g", &me, instance_id.as_deref(), generation, now) {
                // Refused between join and sync, and nothing to worry about then.
                Err(Refusal::RebalanceInProgress) => Ok(()),
                verdict => verdict,
            },
        };
        match verdict {
            Ok(()) => {
                let current = self.script.groups.describe("g").unwrap().generation();
                assert_eq!(generation, current, "two generations are alive");
            }
            Err(refusal) => self.refused(index, refusal, ""),
        }
        true
    }

    fn leave(&mut self, index: usize) {
        let process = &self.processes[index];
        let name = process.instance_id.as_deref();
        let member = match (self.dice.roll(2), name) {
            (0, Some(_)) => ("", name),
            _ => (process.member_id.as_str(), name),
        };
        let now = self.script.now;
        self.script.groups.leave("g", [member].into_iter(), now, |_, _, _| ()).unwrap();
        self.note("left");
    }

    /// One thing that a process does.
    fn act(&mut self, index: usize) {
        let roll = self.dice.roll(100);
        let chaos = self.dice.roll(60);
        match &self.processes[index].doing {
            Doing::Dead if roll < 30 => self.start(index),
            Doing::Dead => {}
            _ if chaos == 0 => self.die(index),
            _ if chaos == 1 => {
                // Restarted at once, the old connection still open.
                self.ghosts.insert(self.processes[index].waiter);
                self.start(index);
            }
            _ if chaos == 2 => {
                self.leave(index);
                self.deliver();
                if !matches!(self.processes[index].doing, Doing::Dead) {
                    self.die(index);
                }
            }
            Doing::Outside => self.join(index),
            Doing::Told(_) if roll < 60 => self.sync(index),
            Doing::Working(_) if roll < 6 => {
                self.processes[index].metadata = [self.dice.roll(4) as u8];
                self.join(index);
            }
            Doing::Working(_) if roll < 9 => self.sync_again(index),
            Doing::Told(_) | Doing::Working(_) => {
                self.beat(index);
            }
            Doing::Joining(..) | Doing::Syncing(..) => {}
        }
        self.deliver();
        self.script.audit();
        let open = self.processes.len() + self.ghosts.len();
        assert!(self.script.groups.tickets.len() <= open);
    }

    /// The answer was lost, the client asks again.
    fn sync_again(&mut self, index: usize) {
        let Doing::Working(joined) = &self.processes[index].doing else { return };
        let quiet = joined.leader != joined.me || joined.skip;
        if quiet {
            self.sync(index);
        }
    }

    /// Everybody who lives behaves; the dead stay dead.
    fn settle(&mut self) {
        for _ in 0..200 {
            for index in 0..self.processes.len() {
                match &self.processes[index].doing {
                    Doing::Outside => self.join(index),
                    Doing::Told(_) => self.sync(index),
                    Doing::Working(_) => {
                        self.beat(index);
                    }
                    _ => {}
                }
                self.deliver();
            }
            self.pass(1_000);
        }
        let alive = |process: &&Process| !matches!(process.doing, Doing::Dead);
        let mut alive: Vec<_> =
            self.processes.iter().filter(alive).map(|it| it.member_id.clone()).collect();
        for process in self.processes.iter().filter(|it| !matches!(it.doing, Doing::Dead)) {
            assert!(matches!(process.doing, Doing::Working(_)), "never came to work: {process:?}");
        }
        let group = self.script.groups.describe("g");
        let state = group.map_or(GroupState::Dead, |group| group.state());
        let mut members: Vec<_> =
            group.iter().flat_map(GroupView::members).map(|it| it.member_id.to_owned()).collect();
        alive.sort();
        members.sort();
        assert_eq!(members, alive);
        let stable = if alive.is_empty() { GroupState::Empty } else { GroupState::Stable };
        assert!(state == stable || alive.is_empty() && state == GroupState::Dead);
    }
}

fn live(seed: u64, steps: u64) -> HashMap<&'static str, u64> {
    let mut life = Life::new(seed);
    for _ in 0..steps {
        if life.dice.roll(3) == 0 {
            let ms = [1, 100, 900, 2_500][life.dice.roll(4) as usize];
            let ms = life.dice.roll(ms) + 1;
            life.pass(ms);
        }
        let index = life.dice.roll(life.processes.len() as u64) as usize;
        life.act(index);
    }
    life.settle();
    life.seen
}

#[test]
fn whatever_processes_do_the_group_keeps_its_word() {
    let mut seen: HashMap<&str, u64> = HashMap::new();
    for seed in 1..=120 {
        let result = std::panic::catch_unwind(|| live(seed, 3_000));
        match result {
            Ok(counts) => {
                counts.into_iter().for_each(|(what, n)| *seen.entry(what).or_default() += n);
            }
            Err(panic) => {
                eprintln!("seed {seed}");
                std::panic::resume_unwind(panic);
            }
        }
    }
    for what in [
        "join parked",
        "sync parked",
        "joined",
        "assigned",
        "member id required",
        "rebalance in progress",
        "unknown member",
        "fatal",
        "left",
        "leader returned",
    ] {
        assert!(seen.get(what).is_some_and(|count| *count > 20), "{what} hardly happens: {seen:?}");
    }
}
