//! A member as a client sees itself: what it was told, what it offers, what it does next.
//!
//! Promises: what it does depends on the dice and on what it was told alone.

use crate::messages::{Answer, Identity, Join, Joined, Request, Sent, Sync, TOPIC};
use crate::rules::Conn;

/// Marsaglia's xorshift64.
pub struct Dice(u64);

impl Dice {
    /// Equal seeds roll equally.
    pub fn new(seed: u64) -> Dice {
        let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        (0..4).for_each(|_| {
            dice.roll(2);
        });
        dice
    }

    /// 0 to `sides` - 1.
    pub fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % sides
    }

    /// True in that many of a hundred cases.
    pub fn percent(&mut self, percent: usize) -> bool {
        self.roll(100) < percent
    }

    /// One of them.
    pub fn one<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.roll(of.len())]
    }
}

/// Which versions go together: of JoinGroup, SyncGroup, Heartbeat, LeaveGroup and OffsetCommit.
pub struct Era {
    pub join: i16,
    pub sync: i16,
    pub heartbeat: i16,
    pub leave: i16,
    pub commit: i16,
}

const fn era(join: i16, sync: i16, heartbeat: i16, leave: i16, commit: i16) -> Era {
    Era { join, sync, heartbeat, leave, commit }
}

/// One era for each version of JoinGroup.
pub const ERAS: [Era; 10] = [
    era(0, 0, 0, 0, 2),
    era(1, 0, 0, 0, 2),
    era(2, 1, 1, 1, 3),
    era(3, 2, 2, 2, 4),
    era(4, 2, 2, 2, 5),
    era(5, 3, 3, 3, 7),
    era(6, 4, 4, 4, 8),
    era(7, 5, 4, 4, 8),
    era(8, 5, 4, 5, 8),
    era(9, 5, 4, 5, 8),
];

/// The first era with static members.
pub const STATIC_ERA: usize = 5;

/// What clients offer: Java's default, a cooperative one alone (franz-go), librdkafka's, the same
/// in another order, Kafka Connect, nothing, and no protocol type.
pub const OFFERS: [(&str, &[&str]); 7] = [
    ("consumer", &["range", "cooperative-sticky"]),
    ("consumer", &["cooperative-sticky"]),
    ("consumer", &["range", "roundrobin"]),
    ("consumer", &["roundrobin", "range"]),
    ("connect", &["sessioned", "compatible", "default"]),
    ("consumer", &[]),
    ("", &["range"]),
];

/// What a client is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doing {
    /// It has to join.
    Outside,
    /// It knows of its generation and has to ask for its share.
    Told,
    Working,
}

/// A client process.
#[derive(Debug)]
pub struct Actor {
    pub era: usize,
    pub instance_id: Option<String>,
    /// Empty if it has none.
    pub member_id: String,
    /// Ids that it had before.
    pub former_ids: Vec<String>,
    pub doing: Doing,
    pub generation: i32,
    pub protocol_type: Option<String>,
    pub protocol_name: Option<String>,
    /// Whom it has to give their shares, if it leads.
    pub followers: Option<Vec<String>>,
    pub offers: usize,
    /// Goes into its metadata.
    pub taste: u8,
    pub session_timeout_ms: i32,
    pub rebalance_timeout_ms: i32,
    /// The connection that it speaks over.
    pub conn: Option<Conn>,
}

impl Actor {
    /// One that was just started.
    pub fn new(era: usize, instance_id: Option<String>, offers: usize) -> Actor {
        Actor {
            era,
            instance_id,
            member_id: String::new(),
            former_ids: Vec::new(),
            doing: Doing::Outside,
            generation: -1,
            protocol_type: None,
            protocol_name: None,
            followers: None,
            offers,
            taste: 0,
            session_timeout_ms: 60_000,
            rebalance_timeout_ms: 120_000,
            conn: None,
        }
    }

    /// It knows nothing of its former life, but which instance it is.
    pub fn restart(&mut self) {
        self.forget_id();
        self.doing = Doing::Outside;
        self.generation = -1;
    }

    fn forget_id(&mut self) {
        let former = std::mem::take(&mut self.member_id);
        if !former.is_empty() {
            self.former_ids.push(former);
        }
    }

    pub fn versions(&self) -> &'static Era {
        &ERAS[self.era]
    }

    /// Whom it says it is.
    pub fn identity(&self) -> Identity {
        Identity {
            member_id: self.member_id.clone(),
            instance_id: self.instance_id.clone(),
            generation: self.generation,
        }
    }

    /// The JoinGroup that it would send.
    pub fn join(&self) -> Join {
        let (protocol_type, names) = OFFERS[self.offers];
        let protocol = |name: &&str| ((*name).to_owned(), self.metadata(name));
        Join {
            member_id: self.member_id.clone(),
            instance_id: self.instance_id.clone(),
            protocol_type: protocol_type.to_owned(),
            protocols: names.iter().map(protocol).collect(),
            session_timeout_ms: self.session_timeout_ms,
            rebalance_timeout_ms: self.rebalance_timeout_ms,
        }
    }

    /// A subscription as consumers send it: version, topics, user data.
    fn metadata(&self, protocol: &str) -> Vec<u8> {
        let mut bytes = vec![0, 0, 0, 0, 0, 1, 0, TOPIC.len() as u8];
        bytes.extend(TOPIC.as_bytes());
        bytes.extend([0, 0, 0, 2, protocol.len() as u8, self.taste]);
        bytes
    }

    /// The SyncGroup that it would send; a leader gives everybody a share.
    pub fn sync(&self, dice: &mut Dice) -> Sync {
        let followers = self.followers.iter().flatten();
        let share = |id: &String| (id.clone(), vec![dice.roll(256) as u8; dice.roll(3) + 1]);
        Sync {
            member_id: self.member_id.clone(),
            instance_id: self.instance_id.clone(),
            generation: self.generation,
            protocol_type: self.protocol_type.clone(),
            protocol_name: self.protocol_name.clone(),
            assignments: followers.map(share).collect(),
        }
    }

    /// What a client does that does nothing wrong.
    pub fn proper(&self, dice: &mut Dice) -> Request {
        match self.doing {
            Doing::Outside => Request::Join(self.join()),
            Doing::Told => Request::Sync(self.sync(dice)),
            Doing::Working if dice.percent(20) => {
                Request::Commit(self.identity(), dice.roll(3) as i32, dice.roll(1_000) as i64)
            }
            Doing::Working => Request::Heartbeat(self.identity()),
        }
    }

    /// It is told.
    pub fn hears(&mut self, sent: &Sent, answer: &Answer) {
        match (&sent.request, answer) {
            (Request::Join(_), Answer::Joined(joined)) => self.hears_joined(joined),
            (Request::Sync(_), Answer::Synced(synced)) if synced.error == 0 => {
                self.doing = Doing::Working;
            }
            (Request::Sync(_), Answer::Synced(synced)) => self.is_refused(synced.error),
            (Request::Heartbeat(who) | Request::Commit(who, ..), Answer::Code(code))
                if *who == self.identity() && *code != 0 =>
            {
                self.is_refused(*code);
            }
            _ => {}
        }
    }

    fn hears_joined(&mut self, joined: &Joined) {
        if joined.error != 0 {
            if joined.error == crate::codes::MEMBER_ID_REQUIRED {
                self.forget_id();
                self.member_id = joined.member_id.clone();
            }
            return self.is_refused(joined.error);
        }
        if self.member_id != joined.member_id {
            self.forget_id();
        }
        self.member_id = joined.member_id.clone();
        self.generation = joined.generation;
        let (protocol_type, _) = OFFERS[self.offers];
        self.protocol_type = Some(protocol_type.to_owned());
        self.protocol_name = joined.protocol_name.clone();
        let leads = joined.leader == joined.member_id && !joined.skip_assignment;
        self.followers =
            leads.then(|| joined.members.iter().map(|it| it.member_id.clone()).collect());
        self.doing = Doing::Told;
    }

    fn is_refused(&mut self, error: i16) {
        use crate::codes::*;
        self.doing = Doing::Outside;
        if matches!(error, UNKNOWN_MEMBER_ID | FENCED_INSTANCE_ID) {
            self.restart();
        }
    }
}
