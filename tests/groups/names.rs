//! Member ids, which only the broker knows until it tells them; and the answers that speak of them.
//!
//! Promises: an id is bound to one member for good when it is first told, must begin with the
//! member's client or instance id, and belongs to nobody else.

use crate::messages::{Answer, Joined, JoinedMember, Synced};
use std::collections::BTreeMap;
use std::fmt::Debug;

/// A member or an id that was handed out; never used again.
pub type Key = u32;

/// What an answer says of a member id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Id {
    /// Exactly this.
    Text(String),
    /// The id of this member.
    Of(Key),
}

/// All ids that the broker made up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    /// What each id begins with, and the whole once it was told.
    known: BTreeMap<Key, (String, Option<String>)>,
}

impl Names {
    /// A new one, made from a client or instance id.
    pub fn add(&mut self, prefix: &str) -> Key {
        let key = self.known.len() as Key;
        self.known.insert(key, (prefix.to_owned(), None));
        key
    }

    /// The id, if it was told.
    pub fn text(&self, key: Key) -> Option<&str> {
        self.known[&key].1.as_deref()
    }

    /// Whether the member's id is known to be this.
    pub fn is(&self, key: Key, text: &str) -> bool {
        self.text(key) == Some(text)
    }

    /// The broker calls the member so.
    pub fn bind(&mut self, key: Key, text: &str) -> Result<(), String> {
        let (prefix, known) = &self.known[&key];
        if let Some(known) = known {
            return ensure(known == text, || format!("member id {text}, not {known}"));
        }
        let unique = text.strip_prefix(prefix.as_str()).and_then(|it| it.strip_prefix('-'));
        ensure(unique.is_some_and(is_uuid), || format!("member id {text}, not {prefix}-UUID"))?;
        let taken = self.known.values().any(|(_, known)| known.as_deref() == Some(text));
        ensure(!taken, || format!("member id {text}, which is somebody else's"))?;
        self.known.insert(key, (prefix.clone(), Some(text.to_owned())));
        Ok(())
    }

    fn check(&mut self, what: &str, expected: &Id, text: &str) -> Result<(), String> {
        match expected {
            Id::Text(expected) => differ(what, expected.as_str(), text),
            Id::Of(key) => self.bind(*key, text).map_err(|it| format!("{what}: {it}")),
        }
    }
}

fn is_uuid(text: &str) -> bool {
    text.len() == 36 && text.chars().all(|it| it == '-' || it.is_ascii_hexdigit())
}

/// `Err` with the text unless it holds.
pub fn ensure(holds: bool, what: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(what()) }
}

/// `Err` if the two are not the same.
pub fn differ<T: PartialEq + Debug + Copy>(
    what: &str,
    expected: T,
    found: T,
) -> Result<(), String> {
    ensure(expected == found, || format!("{what}: {expected:?} expected, {found:?} found"))
}

/// A JoinGroup's answer that is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwedJoin {
    pub error: i16,
    pub generation: i32,
    pub protocol_type: Option<String>,
    pub protocol_name: Option<String>,
    pub leader: Id,
    pub skip_assignment: bool,
    pub member_id: Id,
    /// In no particular order.
    pub members: Vec<(Key, Option<String>, Vec<u8>)>,
}

impl OwedJoin {
    /// A refusal.
    pub fn refused(version: i16, error: i16, member_id: Id) -> OwedJoin {
        OwedJoin {
            error,
            generation: -1,
            protocol_type: None,
            // Nullable since v7 only.
            protocol_name: if version < 7 { Some(String::new()) } else { None },
            leader: Id::Text(String::new()),
            skip_assignment: false,
            member_id,
            members: Vec::new(),
        }
    }
}

/// An answer that is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Owed {
    Joined(OwedJoin),
    Exactly(Answer),
}

impl Owed {
    /// A SyncGroup that is refused.
    pub fn refused_sync(error: i16) -> Owed {
        Owed::Exactly(Answer::Synced(Synced {
            error,
            protocol_type: None,
            protocol_name: None,
            assignment: Vec::new(),
        }))
    }

    /// Whether the answer is what is due.
    pub fn check(&self, names: &mut Names, answer: &Answer) -> Result<(), String> {
        match (self, answer) {
            (Owed::Joined(owed), Answer::Joined(joined)) => check_joined(owed, names, joined),
            (Owed::Exactly(owed), answer) => differ("answer", owed, answer),
            (owed, answer) => Err(format!("{owed:?} expected, {answer:?} found")),
        }
    }
}

fn check_joined(owed: &OwedJoin, names: &mut Names, joined: &Joined) -> Result<(), String> {
    differ("error", owed.error, joined.error)?;
    differ("generation", owed.generation, joined.generation)?;
    differ("protocol type", &owed.protocol_type, &joined.protocol_type)?;
    differ("protocol name", &owed.protocol_name, &joined.protocol_name)?;
    differ("skip assignment", owed.skip_assignment, joined.skip_assignment)?;
    names.check("own id", &owed.member_id, &joined.member_id)?;
    names.check("leader", &owed.leader, &joined.leader)?;
    differ("number of members", owed.members.len(), joined.members.len())?;
    for (key, instance_id, metadata) in &owed.members {
        let member = find_member(names, *key, instance_id.as_deref(), &joined.members)?;
        names.bind(*key, &member.member_id)?;
        differ("instance of a member", instance_id, &member.instance_id)?;
        differ("metadata of a member", metadata, &member.metadata)?;
    }
    Ok(())
}

fn find_member<'a>(
    names: &Names,
    key: Key,
    instance_id: Option<&str>,
    members: &'a [JoinedMember],
) -> Result<&'a JoinedMember, String> {
    let (prefix, text) = &names.known[&key];
    let is_it = |id: &str| match text {
        Some(text) => text == id,
        // Every client id of a life is used once, and an instance's next id comes with a new key.
        None => id.strip_prefix(prefix.as_str()).is_some_and(|rest| rest.starts_with('-')),
    };
    let found = members.iter().find(|member| is_it(&member.member_id));
    found.ok_or_else(|| format!("member {prefix} ({text:?}, {instance_id:?}) is not listed"))
}
