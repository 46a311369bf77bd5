//! All that the group can be after what was seen: each event leaves the worlds that allow it.
//!
//! Promises: as long as the broker keeps the rules one world is left; a broker that breaks one
//! leaves none, and is told what each world expected.

use crate::choices::Choices;
use crate::differences::{Broker, Difference};
use crate::looks::{Described, Fetched, Listed};
use crate::messages::{Answer, Sent};
use crate::names::{differ, ensure};
use crate::rules::{Conn, Ms, State, World};
use std::collections::BTreeSet;

/// How late a timer may be on a machine that is busy.
pub const LATE_MS: Ms = 10_000;

/// How much earlier a timer may be than counted from when the request was sent: clocks are read in
/// whole milliseconds on both sides.
const EARLY_MS: Ms = 3;

/// More than that many worlds at a time are a mistake of the test.
const WORLDS_MAX: usize = 1_000;

/// Something that was done to the broker, or seen of it.
#[derive(Clone, Debug)]
pub enum Event {
    Sent(Conn, Sent),
    Answered(Conn, Answer),
    /// The connection is no more; nothing can come over it.
    Closed(Conn),
    Described(Described),
    Listed(Option<Listed>),
    Fetched(Fetched),
    /// Nothing more is on its way.
    Quiet,
}

impl std::fmt::Display for Event {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Event::Sent(conn, sent) => {
                write!(f, "{conn} → v{} {:?} ({})", sent.version, sent.request, sent.client_id)
            }
            Event::Answered(conn, answer) => write!(f, "{conn} ← {answer:?}"),
            Event::Described(it) => {
                let ids = it.members.iter().map(|member| member.member_id.as_str());
                let ids = ids.collect::<Vec<_>>().join(", ");
                write!(f, "        {} {} [{ids}]", it.state, it.protocol_data)
            }
            other => write!(f, "{other:?}"),
        }
    }
}

/// Whatever is possible.
#[derive(Clone)]
pub struct Worlds {
    worlds: Vec<World>,
    /// Client addresses in DescribeGroups.
    host: String,
}

impl Worlds {
    /// A broker that has never heard of the group. `host` is where all requests come from.
    pub fn new(broker: Broker, host: &str) -> Worlds {
        Worlds { worlds: vec![World::new(broker)], host: host.to_owned() }
    }

    /// One of them.
    pub fn any(&self) -> &World {
        &self.worlds[0]
    }

    /// The ids of all who may be in the group or about to come.
    pub fn ids(&self) -> BTreeSet<String> {
        let of = |world: &World| {
            let members = world.members.iter().map(|member| member.key);
            let keys = members.chain(world.pending.iter().map(|(key, _)| *key));
            keys.filter_map(|key| world.names.text(key)).map(str::to_owned).collect::<Vec<_>>()
        };
        self.worlds.iter().flat_map(of).collect()
    }

    /// The differences that certainly were met, and what certainly happened by itself.
    pub fn tally(&self) -> (BTreeSet<Difference>, BTreeSet<&'static str>) {
        let first = (self.worlds[0].met.clone(), self.worlds[0].fired.clone());
        let rest = self.worlds[1..].iter();
        rest.fold(first, |(met, fired), world| (&met & &world.met, &fired & &world.fired))
    }

    /// A connection over which an answer is due, whatever is true.
    pub fn certainly_owed(&self) -> Option<Conn> {
        let conns = self.worlds[0].owed.keys();
        let is_owed = |world: &World, conn: &Conn| {
            let on_its_way = world.inbox.as_ref().is_some_and(|(_, of, _)| of == conn);
            on_its_way || world.owed.contains_key(conn)
        };
        let certain = |conn: &Conn| self.worlds.iter().all(|world| is_owed(world, conn));
        conns.copied().find(certain)
    }

    /// Whether an answer may be due.
    pub fn maybe_owed(&self) -> bool {
        self.worlds.iter().any(|world| !world.owed.is_empty())
    }

    /// Whether an answer to the last request over it may still come some day.
    pub fn may_answer(&self, conn: Conn) -> bool {
        let waits = |world: &World| {
            let of = |wait: Option<crate::rules::Wait>| wait.is_some_and(|it| it.conn == conn);
            world.owed.contains_key(&conn)
                || world.members.iter().any(|member| of(member.join) || of(member.sync))
        };
        self.worlds.iter().any(waits)
    }

    /// When the next timer may fire, and whether one is late for which somebody waits.
    pub fn next_timer(&self) -> Option<Ms> {
        let all = self.worlds.iter().flat_map(World::timers);
        all.map(|(at, _)| at).min()
    }

    /// The event happened by `now`; `Err` says why no world allows it.
    pub fn event(&mut self, now: Ms, event: &Event) -> Result<(), String> {
        // The answer to one request does not prove that another has arrived; looking on does.
        let arrived = !matches!(event, Event::Answered(..));
        self.let_time_pass(now, arrived)?;
        match event {
            Event::Sent(conn, sent) => {
                self.send(now, *conn, sent);
                return Ok(());
            }
            Event::Closed(conn) => {
                self.step(|world, _| world.close(*conn));
                return Ok(());
            }
            _ => {}
        }
        let host = self.host.clone();
        self.keep(|world| match event {
            Event::Answered(conn, answer) => {
                let owed = world.owed.remove(conn).ok_or("no answer was due")?;
                owed.check(&mut world.names, answer)
            }
            Event::Described(described) => check_described(world, described, &host),
            Event::Listed(listed) => check_listed(world, listed.as_ref()),
            Event::Fetched(fetched) => check_fetched(world, fetched),
            _ => ensure(world.owed.is_empty(), || format!("no answer came: {:?}", world.owed)),
        })
    }

    fn keep(&mut self, check: impl Fn(&mut World) -> Result<(), String>) -> Result<(), String> {
        let mut complaints = Vec::new();
        let mut kept = Vec::new();
        for mut world in self.worlds.drain(..) {
            match check(&mut world) {
                Ok(()) => kept.push(world),
                Err(complaint) => {
                    complaints.push(format!("{complaint}\n    where {}", short(&world)));
                }
            }
        }
        self.worlds = kept;
        ensure(!self.worlds.is_empty(), || complaints.join("\n  or "))
    }

    /// The request arrives, or will have by the next event: something may happen before.
    fn send(&mut self, now: Ms, conn: Conn, sent: &Sent) {
        self.worlds.iter_mut().for_each(|world| world.inbox = Some((now, conn, sent.clone())));
        let may_wait = |world: &&World| world.timers().iter().any(|(at, _)| *at < now + LATE_MS);
        let on_its_way: Vec<World> = self.worlds.iter().filter(may_wait).cloned().collect();
        self.step(World::arrive);
        self.worlds.extend(on_its_way);
    }

    /// Each world goes on in every way that the rules leave open.
    fn step(&mut self, step: impl Fn(&mut World, &mut Choices)) {
        let mut next = Vec::new();
        for world in &self.worlds {
            for_each_choice(world, &step, &mut next);
        }
        self.worlds = next;
        assert!(self.worlds.len() <= WORLDS_MAX, "{} worlds", self.worlds.len());
    }

    /// Whatever may have happened by itself has or has not, unless it is late. `arrived` says that
    /// no request is on its way any longer.
    pub fn let_time_pass(&mut self, now: Ms, arrived: bool) -> Result<(), String> {
        let due = |world: &World| {
            let timers = world.timers().into_iter();
            timers.filter(|(at, _)| *at <= now + EARLY_MS).collect::<Vec<_>>()
        };
        let mut open: Vec<World> = std::mem::take(&mut self.worlds);
        let mut done: Vec<World> = Vec::new();
        while let Some(world) = open.pop() {
            if world.inbox.is_some() {
                for_each_choice(&world, &World::arrive, &mut open);
            }
            for (at, timer) in due(&world) {
                let fire = |world: &mut World, choices: &mut Choices| {
                    world.fire(at, timer, choices);
                };
                for_each_choice(&world, &fire, &mut open);
            }
            let is_late = due(&world).iter().any(|(at, _)| at + LATE_MS < now);
            let is_behind = arrived && world.inbox.is_some();
            if !is_behind && !is_late && !done.contains(&world) {
                done.push(world);
            }
            assert!(open.len() + done.len() <= WORLDS_MAX, "too many worlds");
        }
        self.worlds = done;
        ensure(!self.worlds.is_empty(), || "a timer did not fire".to_owned())
    }
}

fn for_each_choice(world: &World, step: &impl Fn(&mut World, &mut Choices), next: &mut Vec<World>) {
    let mut choices = Choices::default();
    loop {
        let mut copy = world.clone();
        step(&mut copy, &mut choices);
        if !next.contains(&copy) {
            next.push(copy);
        }
        if !choices.advance() {
            return;
        }
    }
}

/// A world in a few words.
fn short(world: &World) -> String {
    let members = world.members.iter().map(|member| {
        let waits = match (member.join, member.sync) {
            (Some(wait), _) => format!(" joins over {}", wait.conn),
            (_, Some(wait)) => format!(" syncs over {}", wait.conn),
            _ => String::new(),
        };
        let id = world.names.text(member.key).unwrap_or(&member.client_id);
        format!("{id}{waits}")
    });
    let leader = world.leader.and_then(|key| world.names.text(key));
    format!(
        "{} generation {}, protocol {:?}, leader {leader:?}, members [{}], pending {:?}",
        world.state.name(),
        world.generation,
        world.protocol_name,
        members.collect::<Vec<_>>().join(", "),
        world.pending.iter().filter_map(|(key, _)| world.names.text(*key)).collect::<Vec<_>>(),
    )
}

fn check_described(world: &mut World, described: &Described, host: &str) -> Result<(), String> {
    differ("error", 0, described.error)?;
    if !world.exists {
        differ("state", "Dead", &described.state)?;
    } else {
        differ("state", world.state.name(), &described.state)?;
    }
    let stable = world.state == State::Stable;
    let protocol = world.protocol_name.clone().filter(|_| stable).unwrap_or_default();
    let protocol_type = world.protocol_type.as_deref().unwrap_or("");
    differ("protocol type", protocol_type, &described.protocol_type)?;
    differ("protocol data", protocol.as_str(), &described.protocol_data)?;
    differ("number of members", world.members.len(), described.members.len())?;
    for member in &world.members {
        let with_instance = described.version >= 4;
        let is_it = |id: &str, client_id: &str| match world.names.text(member.key) {
            Some(text) => text == id,
            // An instance keeps the client id of its first life.
            None => client_id == member.client_id,
        };
        let row = described.members.iter().find(|it| is_it(&it.member_id, &it.client_id));
        let row = row.ok_or_else(|| format!("member {} is not described", member.client_id))?;
        world.names.bind(member.key, &row.member_id)?;
        let instance_id = member.instance_id.clone().filter(|_| with_instance);
        differ("instance of a member", &instance_id, &row.instance_id)?;
        differ("client of a member", &member.client_id, &row.client_id)?;
        differ("host of a member", host, &row.client_host)?;
        let metadata = if stable { member.metadata(&protocol) } else { Vec::new() };
        differ("metadata of a member", &metadata, &row.metadata)?;
        differ("assignment of a member", &member.assignment, &row.assignment)?;
    }
    Ok(())
}

fn check_listed(world: &World, listed: Option<&Listed>) -> Result<(), String> {
    differ("whether it is listed", world.exists, listed.is_some())?;
    let Some(listed) = listed else { return Ok(()) };
    let protocol_type = world.protocol_type.as_deref().unwrap_or("");
    differ("listed protocol type", protocol_type, &listed.protocol_type)?;
    let state = listed.state.as_deref().unwrap_or(world.state.name());
    differ("listed state", world.state.name(), state)
}

fn check_fetched(world: &World, fetched: &Fetched) -> Result<(), String> {
    for (partition, (offset, metadata)) in fetched.iter().enumerate() {
        let expected = world.offsets.get(&(partition as i32)).copied();
        differ("committed offset", expected.unwrap_or(-1), *offset)?;
        let text = if expected.is_some() { "so far" } else { "" };
        differ("committed metadata", text, metadata)?;
    }
    Ok(())
}
