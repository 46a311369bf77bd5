//! One life: the dice decide who does what, the broker answers, the worlds judge.
//!
//! Promises: one thing is done at a time, and the next not before all that it must cause has been
//! seen; what must not come is looked for after each. A life that goes wrong is printed in full.

use crate::actors::{Actor, Dice, Doing, ERAS, OFFERS, STATIC_ERA};
use crate::connection::{Connection, PATIENCE};
use crate::differences::{Broker, Difference};
use crate::looks;
use crate::messages::{Identity, Leaver, Request, Sent};
use crate::rules::{Conn, Ms, State};
use crate::worlds::{Event, LATE_MS, Worlds};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// Partitions that offsets are committed for.
pub const PARTITIONS: usize = 3;

/// Which offers the members of one life choose from. Most are alike; in some they cannot agree.
const KINDS: [&[usize]; 5] = [&[0, 0, 1], &[0, 2, 3], &[2, 3], &[4], &[0, 1, 2, 4]];

/// A life to be lived.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    pub seed: u64,
    pub steps: usize,
    /// Whether sessions and rebalances may run out.
    pub timed: bool,
    pub broker: Broker,
    pub address: SocketAddr,
}

/// What came of it.
pub struct Lived {
    pub events: Vec<(Ms, Event)>,
    pub met: BTreeSet<Difference>,
    /// What happened by itself.
    pub fired: BTreeSet<&'static str>,
}

impl Lived {
    /// Every answer: to which request, and with which code.
    pub fn answers(&self) -> impl Iterator<Item = (&'static str, i16)> {
        let mut sent = BTreeMap::new();
        self.events.iter().filter_map(move |(_, event)| match event {
            Event::Sent(conn, request) => {
                sent.insert(*conn, request.name());
                None
            }
            Event::Answered(conn, answer) => Some((sent[conn], answer.code())),
            _ => None,
        })
    }
}

/// A connection and the request that it waits for.
struct Line {
    connection: Connection,
    sent: Option<Sent>,
    /// None for a request that its sender has given up.
    actor: Option<usize>,
}

pub struct Life {
    plan: Plan,
    group_id: String,
    start: Instant,
    dice: Dice,
    actors: Vec<Actor>,
    lines: BTreeMap<Conn, Line>,
    onlooker: Connection,
    worlds: Worlds,
    events: Vec<(Ms, Event)>,
    conns: Conn,
    requests: u32,
}

/// Everything went as the rules say, or why not.
type Verdict = Result<(), String>;

/// Lives it; `Err` says what went wrong, after the whole story.
pub fn live(plan: Plan) -> Result<Lived, String> {
    let mut life = Life::new(plan);
    let verdict = life.run();
    if let Err(complaint) = verdict {
        return Err(format!("{}seed {}: {complaint}", life.story(), plan.seed));
    }
    let (met, fired) = life.worlds.tally();
    Ok(Lived { events: std::mem::take(&mut life.events), met, fired })
}

impl Drop for Life {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}seed {}", self.story(), self.plan.seed);
        }
    }
}

impl Life {
    fn new(plan: Plan) -> Life {
        let mut dice = Dice::new(plan.seed);
        // Most lives have one kind of client; in some they cannot agree.
        let kinds = *dice.one(&KINDS);
        let count = dice.roll(4) + 2;
        let actors = (0..count).map(|n| new_actor(&mut dice, n, kinds, plan)).collect();
        let started = std::time::UNIX_EPOCH.elapsed().expect("a clock").as_nanos();
        Life {
            plan,
            group_id: format!("life-{}-{started}", plan.seed),
            start: Instant::now(),
            dice,
            actors,
            lines: BTreeMap::new(),
            onlooker: Connection::open(plan.address),
            worlds: Worlds::new(plan.broker, "/127.0.0.1"),
            events: Vec::new(),
            conns: 0,
            requests: 0,
        }
    }

    fn story(&self) -> String {
        self.events.iter().map(|(at, event)| format!("{at:6} ms  {event}\n")).collect()
    }

    fn run(&mut self) -> Verdict {
        for _ in 0..self.plan.steps {
            self.act()?;
            if self.dice.percent(10) {
                self.look_closer()?;
            }
        }
        self.end()
    }

    fn now(&self) -> Ms {
        self.start.elapsed().as_millis() as Ms
    }

    fn event(&mut self, event: Event) -> Verdict {
        let now = self.now();
        self.events.push((now, event));
        let (at, event) = &self.events[self.events.len() - 1];
        self.worlds.event(*at, event)
    }

    /// One thing that one of them does.
    fn act(&mut self) -> Verdict {
        self.drop_forgotten();
        if self.plan.timed && self.dice.percent(8) {
            return self.wait();
        }
        let actor = self.dice.roll(self.actors.len());
        if self.is_waiting(actor) {
            return match self.dice.roll(100) {
                0..6 => self.vanish(actor),
                6..16 => self.lose_patience(actor),
                16..26 => self.evict(),
                // Somebody else, then. If nobody can, somebody stands in the way.
                _ => match (0..self.actors.len()).find(|other| !self.is_waiting(*other)) {
                    Some(other) => self.do_something(other),
                    None if self.plan.timed => self.wait(),
                    None => self.evict(),
                },
            };
        }
        self.do_something(actor)
    }

    fn do_something(&mut self, actor: usize) -> Verdict {
        match self.dice.roll(100) {
            0..60 => {
                let request = self.actors[actor].proper(&mut self.dice);
                self.send(actor, request)
            }
            60..92 => {
                let request = self.odd_request(actor);
                self.send(actor, request)
            }
            92..95 => self.evict(),
            _ => self.vanish(actor),
        }
    }

    fn is_waiting(&self, actor: usize) -> bool {
        let line = self.actors[actor].conn.and_then(|conn| self.lines.get(&conn));
        line.is_some_and(|line| line.sent.is_some())
    }

    /// Something that a client does seldom, or should not do.
    fn odd_request(&mut self, actor: usize) -> Request {
        let dice = &mut self.dice;
        let all_ids: Vec<String> = self
            .actors
            .iter()
            .flat_map(|actor| actor.former_ids.iter().chain([&actor.member_id]))
            .cloned()
            .chain(["nobody".to_owned()])
            .collect();
        let any_id = dice.one(&all_ids).clone();
        let it = &mut self.actors[actor];
        let mut join = it.join();
        let mut sync = it.sync(dice);
        let mut who = it.identity();
        match dice.roll(18) {
            0 => {
                it.taste = it.taste.wrapping_add(1);
                return Request::Join(it.join());
            }
            1 => join.member_id = String::new(),
            2 => join.member_id = any_id,
            3 => {
                it.offers = dice.roll(OFFERS.len());
                join = it.join();
                // Bad offers are made once, not for ever.
                it.offers = it.offers.min(4);
            }
            4 if dice.percent(30) => join.session_timeout_ms = *dice.one(&[0, 99, 1_800_001]),
            4 | 5 => {}
            6 => {
                join.protocols.reverse();
            }
            7 => {
                sync.generation += *dice.one(&[-1, 1]);
                return Request::Sync(sync);
            }
            8 => {
                sync.member_id = any_id;
                return Request::Sync(sync);
            }
            9 => {
                let value = dice.percent(50).then(|| "other".to_owned());
                if dice.percent(50) {
                    sync.protocol_type = value;
                } else {
                    sync.protocol_name = value;
                }
                return Request::Sync(sync);
            }
            10 => return Request::Sync(sync),
            11 => {
                who.generation += *dice.one(&[-1, 1]);
                return Request::Heartbeat(who);
            }
            12 => {
                who.member_id = any_id;
                return Request::Heartbeat(who);
            }
            13 => return Request::Commit(odd_identity(dice, who, any_id), 0, 7),
            14 if it.doing == Doing::Told => return Request::Commit(who, 1, 8),
            14 if dice.percent(50) => return Request::DeleteOffset(dice.roll(PARTITIONS) as i32),
            14 => return Request::Delete,
            15 if it.era >= STATIC_ERA => join.instance_id = Some(format!("i{}", dice.roll(5))),
            _ => return self.odd_leave(actor, any_id),
        }
        Request::Join(join)
    }

    fn odd_leave(&mut self, actor: usize, any_id: String) -> Request {
        let dice = &mut self.dice;
        let it = &self.actors[actor];
        let own = Leaver { member_id: it.member_id.clone(), instance_id: it.instance_id.clone() };
        if it.versions().leave < 3 {
            return Request::Leave(vec![own]);
        }
        let mut instance_id = Some(format!("i{}", dice.roll(3)));
        let of_another = instance_id.clone().filter(|_| dice.percent(50));
        let by_id = Leaver { member_id: any_id, instance_id: of_another };
        if dice.percent(5) {
            instance_id = None;
        }
        let by_instance = Leaver { member_id: String::new(), instance_id };
        let mut leavers = vec![own, by_id, by_instance];
        leavers.truncate(dice.roll(3) + 1);
        let at = dice.roll(leavers.len());
        leavers.swap(0, at);
        leavers.truncate(dice.roll(3) + 1);
        Request::Leave(leavers)
    }

    fn send(&mut self, actor: usize, request: Request) -> Verdict {
        let versions = self.actors[actor].versions();
        let version = match &request {
            Request::Join(_) => versions.join,
            Request::Sync(_) => versions.sync,
            Request::Heartbeat(_) => versions.heartbeat,
            Request::Leave(_) => versions.leave,
            Request::Commit(..) => versions.commit,
            Request::Delete => self.dice.roll(3) as i16,
            Request::DeleteOffset(_) => 0,
        };
        let conn = match self.actors[actor].conn {
            Some(conn) => conn,
            None => self.open(Some(actor)),
        };
        self.actors[actor].conn = Some(conn);
        self.send_over(conn, version, request)
    }

    fn open(&mut self, actor: Option<usize>) -> Conn {
        self.conns += 1;
        let mut connection = Connection::open(self.plan.address);
        // From here on what it says is heard at once.
        looks::ping(&mut connection);
        self.lines.insert(self.conns, Line { connection, sent: None, actor });
        self.conns
    }

    fn send_over(&mut self, conn: Conn, version: i16, request: Request) -> Verdict {
        self.requests += 1;
        let line = self.lines.get_mut(&conn).expect("an open connection");
        let client_id = format!("c{conn}n{}", self.requests);
        let sent = Sent { version, client_id, request };
        line.sent = Some(sent.clone());
        // Before it goes out: a timer that it sets cannot fire earlier than counted from here.
        self.event(Event::Sent(conn, sent.clone()))?;
        let line = self.lines.get_mut(&conn).expect("an open connection");
        line.connection.send(|id| sent.encode(&self.group_id, id));
        self.settle()
    }

    /// Its process dies; a new one takes its place.
    fn vanish(&mut self, actor: usize) -> Verdict {
        if let Some(conn) = self.actors[actor].conn.take() {
            self.close(conn)?;
        }
        // Some remember who they were, as after a broken connection.
        if self.dice.percent(70) {
            self.actors[actor].restart();
        }
        self.settle()
    }

    fn close(&mut self, conn: Conn) -> Verdict {
        self.lines.remove(&conn);
        self.event(Event::Closed(conn))
    }

    /// It asks again over another connection, and leaves the first request be.
    fn lose_patience(&mut self, actor: usize) -> Verdict {
        let Some(conn) = self.actors[actor].conn.take() else { return Ok(()) };
        let line = self.lines.get_mut(&conn).expect("an open connection");
        line.actor = None;
        let request = line.sent.as_ref().map(|sent| sent.request.clone());
        self.send(actor, request.expect("it waits"))
    }

    /// An administrator puts somebody out whom the others may be waiting for.
    fn evict(&mut self) -> Verdict {
        let world = self.worlds.any();
        let mut keys: Vec<u32> = world.pending.iter().map(|(key, _)| *key).collect();
        let idle = world.members.iter().filter(|member| member.join.is_none());
        keys.extend(idle.map(|member| member.key));
        let known = keys.iter().filter_map(|key| world.names.text(*key)).collect::<Vec<_>>();
        if known.is_empty() {
            return Ok(());
        }
        let member_id = (*self.dice.one(&known)).to_owned();
        let version = self.dice.roll(6) as i16;
        self.administer(version, Request::Leave(vec![Leaver { member_id, instance_id: None }]))
    }

    /// A request from outside the group.
    fn administer(&mut self, version: i16, request: Request) -> Verdict {
        let conn = self.open(None);
        self.send_over(conn, version, request)?;
        self.close(conn)
    }

    /// Until something happens by itself.
    fn wait(&mut self) -> Verdict {
        let Some(at) = self.worlds.next_timer() else { return Ok(()) };
        let now = self.now();
        if at > now + 2_000 {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(at.saturating_sub(now) + 5));
        self.settle()
    }

    /// Everything that must come now is awaited, and it is made sure that nothing else came.
    fn settle(&mut self) -> Verdict {
        loop {
            self.hear_what_is_certain()?;
            if self.lines.values().any(|line| line.sent.is_some()) {
                // Of two requests that arrive together the newer one may be read first. The answer
                // to this one proves that what was sent before it is dealt with before the next.
                looks::ping(&mut self.onlooker);
            }
            self.describe()?;
            if self.hear_more(Duration::ZERO)? {
                continue;
            }
            // Where it is open whether an answer comes, a moment tells.
            if self.worlds.maybe_owed() && self.hear_more(Duration::from_millis(100))? {
                continue;
            }
            if self.worlds.certainly_owed().is_none() {
                return self.event(Event::Quiet);
            }
        }
    }

    fn hear_what_is_certain(&mut self) -> Verdict {
        let begun = Instant::now();
        while let Some(conn) = self.worlds.certainly_owed() {
            let line = self.lines.get_mut(&conn).expect("an open connection");
            if let Some(bytes) = line.connection.receive(Duration::from_millis(50)) {
                self.heard(conn, &bytes)?;
                continue;
            }
            if begun.elapsed() > PATIENCE {
                return Err(format!("no answer over connection {conn}"));
            }
            // It is certain no longer if something may have happened before the request arrived.
            self.worlds.let_time_pass(self.now(), false)?;
        }
        Ok(())
    }

    /// DescribeGroups, until it shows what the rules allow: a timer of 0 ms fires a little later.
    fn describe(&mut self) -> Verdict {
        let version = self.dice.roll(6) as i16;
        let begun = Instant::now();
        loop {
            let described = looks::describe(&mut self.onlooker, version, &self.group_id);
            let event = Event::Described(described);
            if self.worlds.clone().event(self.now(), &event).is_ok()
                || begun.elapsed() > Duration::from_millis(LATE_MS / 2)
            {
                return self.event(event);
            }
            self.hear_more(Duration::from_millis(2))?;
        }
    }

    /// What has arrived or does so in time; says whether there was anything.
    fn hear_more(&mut self, patience: Duration) -> Result<bool, String> {
        let mut heard = false;
        let waiting = self.lines.iter().filter(|(_, line)| line.sent.is_some());
        for conn in waiting.map(|(conn, _)| *conn).collect::<Vec<_>>() {
            let line = self.lines.get_mut(&conn).expect("just seen");
            if let Some(bytes) = line.connection.receive(patience) {
                self.heard(conn, &bytes)?;
                heard = true;
            }
        }
        Ok(heard)
    }

    fn heard(&mut self, conn: Conn, bytes: &[u8]) -> Verdict {
        let line = self.lines.get_mut(&conn).expect("an open connection");
        let sent = line.sent.take().expect("it waits");
        let answer = sent.decode(bytes);
        if let Some(actor) = line.actor {
            self.actors[actor].hears(&sent, &answer);
        }
        self.event(Event::Answered(conn, answer))
    }

    /// Requests that will never be answered are given up.
    fn drop_forgotten(&mut self) {
        let hung = |(conn, line): (&Conn, &Line)| {
            (line.sent.is_some() && !self.worlds.may_answer(*conn)).then_some(*conn)
        };
        for conn in self.lines.iter().filter_map(hung).collect::<Vec<_>>() {
            let line = self.lines.remove(&conn).expect("just seen");
            if let Some(actor) = line.actor {
                self.actors[actor].conn = None;
                self.actors[actor].doing = Doing::Outside;
            }
        }
    }

    /// ListGroups and OffsetFetch.
    fn look_closer(&mut self) -> Verdict {
        let version = self.dice.roll(5) as i16;
        let listed = looks::list(&mut self.onlooker, version, &self.group_id);
        self.event(Event::Listed(listed))?;
        let version = self.dice.roll(7) as i16 + 1;
        let fetched = looks::fetch(&mut self.onlooker, version, &self.group_id, PARTITIONS);
        self.event(Event::Fetched(fetched))
    }

    /// All are put out, come back as they should, and the group must become stable with all.
    fn end(&mut self) -> Verdict {
        self.empty()?;
        for actor in 0..self.actors.len() {
            if let Some(conn) = self.actors[actor].conn.take() {
                self.close(conn)?;
            }
            let it = &mut self.actors[actor];
            let instance_id = it.instance_id.take().map(|_| format!("i{actor}"));
            *it = Actor::new(it.era, instance_id, 0);
        }
        let mut rounds = 0;
        while self.worlds.any().state != State::Stable
            || self.worlds.any().members.len() != self.actors.len()
            || self.actors.iter().any(|actor| actor.doing != Doing::Working)
        {
            rounds += 1;
            if rounds > 20 {
                return Err("all behave, and the group does not become stable".to_owned());
            }
            for actor in 0..self.actors.len() {
                if !self.is_waiting(actor) {
                    let request = self.actors[actor].proper(&mut self.dice);
                    self.send(actor, request)?;
                }
            }
        }
        self.look_closer()?;
        self.administer(2, Request::Delete)?;
        self.empty()?;
        self.administer(1, Request::Delete)?;
        self.look_closer()
    }

    /// Everybody is put out.
    fn empty(&mut self) -> Verdict {
        loop {
            let leaver = |member_id| Leaver { member_id, instance_id: None };
            let leavers: Vec<Leaver> = self.worlds.ids().into_iter().map(leaver).collect();
            if leavers.is_empty() {
                return Ok(());
            }
            self.administer(3, Request::Leave(leavers))?;
        }
    }
}

fn new_actor(dice: &mut Dice, n: usize, kinds: &[usize], plan: Plan) -> Actor {
    // Kafka 4 has no JoinGroup v0 and v1 any more (KIP-896).
    let oldest = if plan.broker == Broker::Kafka { 2 } else { 0 };
    let era = dice.roll(ERAS.len()).max(oldest);
    let is_static = dice.percent(40) && era >= STATIC_ERA;
    // Sometimes two processes claim to be the same instance.
    let instance_id = is_static.then(|| format!("i{}", if dice.percent(90) { n } else { 0 }));
    let mut actor = Actor::new(era, instance_id, *dice.one(kinds));
    if plan.timed {
        actor.session_timeout_ms = *dice.one(&[150, 400, 60_000]);
        actor.rebalance_timeout_ms = *dice.one(&[300, 700, 60_000]);
    }
    actor
}

fn odd_identity(dice: &mut Dice, who: Identity, any_id: String) -> Identity {
    match dice.roll(5) {
        0 => Identity { generation: who.generation - 1, ..who },
        1 => Identity { generation: who.generation + 1, ..who },
        2 => Identity { member_id: any_id, ..who },
        3 => Identity { generation: -1, ..who },
        _ => Identity { member_id: String::new(), instance_id: None, generation: -1 },
    }
}
