//! The table of topics: names, numbers, ids, partition handles and settings.
//!
//! Promises: a topic's number and id are never used twice, so that a re-created topic is another
//! one to everybody (KIP-516); names are valid by Kafka's rule before they get here. All memory is
//! allocated at start, for as many topics as the board has.
//! Absent: the logs themselves; a partition is a handle here.

use crate::config::{BrokerConfig, EffectiveTopicConfig, TopicOverrides};
use crate::fixed::{List, Slab, Text, Texts};
use crate::limits::{Ledger, Sizes, TOPIC_NAME_BYTES_MAX, Usage};

/// Storage's handle of one partition.
pub type PartitionHandle = usize;

/// One topic, as it is now.
#[derive(Clone, Copy, Debug)]
pub struct Topic<'a> {
    /// Its number: permanent, local, never used twice.
    pub number: u32,
    /// Its name.
    pub name: &'a str,
    /// Its id (KIP-516): random, permanent, never zero.
    pub id: [u8; 16],
    /// Storage's handle of each partition.
    pub partitions: &'a [PartitionHandle],
    /// Settings of its own.
    pub overrides: &'a TopicOverrides,
    /// All settings, as they take effect.
    pub config: &'a EffectiveTopicConfig,
}

/// What a topic is before it is in the table.
#[derive(Clone, Copy, Debug)]
pub struct NewRow<'a> {
    /// Its number.
    pub number: u32,
    /// Its name.
    pub name: &'a str,
    /// Its id.
    pub id: [u8; 16],
    /// Settings of its own.
    pub overrides: TopicOverrides,
    /// All settings, as they take effect.
    pub config: EffectiveTopicConfig,
}

#[derive(Debug)]
struct Row {
    number: u32,
    name: Text,
    id: [u8; 16],
    /// Where its handles stand among those of all.
    first: u32,
    partitions: u32,
    overrides: TopicOverrides,
    config: EffectiveTopicConfig,
}

/// All topics.
#[derive(Debug)]
pub struct Topics {
    rows: Slab<Row>,
    /// Keys of rows, sorted by the names.
    by_name: List<u32>,
    /// Keys of rows, sorted by the numbers.
    by_number: List<u32>,
    names: Texts,
    name_bytes: usize,
    /// The handles of all, each topic's together.
    handles: List<PartitionHandle>,
    message_bytes_max: u32,
}

impl Topics {
    /// An empty table for so many topics.
    pub fn new(sizes: &Sizes) -> Topics {
        Topics {
            rows: Slab::new(sizes.topics),
            by_name: List::new(sizes.topics),
            by_number: List::new(sizes.topics),
            names: Texts::new(sizes.topics, sizes.name_bytes),
            name_bytes: 0,
            handles: List::new(sizes.partitions),
            message_bytes_max: 0,
        }
    }

    /// The rows of the ledger.
    pub fn account(sizes: &Sizes, ledger: &mut Ledger) {
        let policy = "POLICY_VIOLATION (44), with a message";
        let each = Slab::<Row>::memory(1) + 2 * List::<u32>::memory(1);
        ledger.row("topics, with settings of their own", sizes.topics, each, policy);
        let handles = List::<PartitionHandle>::memory(1);
        ledger.row("handles of topics' partitions", sizes.partitions, handles, policy);
        let names = Texts::memory(sizes.topics, sizes.name_bytes);
        ledger.row("names of topics", 1, names, policy);
    }

    /// How many topics there are.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// How many partitions all topics have.
    pub fn partitions(&self) -> usize {
        self.handles.len()
    }

    /// Bytes of all names.
    pub fn name_bytes(&self) -> usize {
        self.name_bytes
    }

    /// How full the tables are.
    pub fn usage(&self, sizes: &Sizes) -> [Usage; 2] {
        [
            ("topics", self.len(), sizes.topics),
            ("topics.name.bytes", self.name_bytes, sizes.name_bytes),
        ]
        .map(|(name, used, limit)| Usage::new(name, used, limit))
    }

    /// Bytes of the largest batch that any topic takes (`max.message.bytes`); 0 without topics.
    pub fn message_bytes_max(&self) -> u32 {
        self.message_bytes_max
    }

    fn note_sizes(&mut self) {
        let sizes = self.rows.iter().map(|(_, row)| row.config.max_message_bytes);
        self.message_bytes_max = sizes.max().unwrap_or(0);
    }

    fn show<'a>(&'a self, row: &'a Row) -> Topic<'a> {
        let (first, count) = (row.first as usize, row.partitions as usize);
        Topic {
            number: row.number,
            name: self.names.str(row.name),
            id: row.id,
            partitions: self.handles.get(first..first + count).unwrap_or_default(),
            overrides: &row.overrides,
            config: &row.config,
        }
    }

    fn at(&self, key: u32) -> Option<Topic<'_>> {
        self.rows.get(key).map(|row| self.show(row))
    }

    fn place_of_name(&self, name: &str) -> Result<usize, usize> {
        self.by_name.binary_search_by(|key| {
            self.rows.get(*key).map_or("", |row| self.names.str(row.name)).cmp(name)
        })
    }

    fn place_of_number(&self, number: u32) -> Result<usize, usize> {
        self.by_number
            .binary_search_by_key(&number, |key| self.rows.get(*key).map_or(0, |row| row.number))
    }

    fn row_mut(&mut self, number: u32) -> Option<&mut Row> {
        let at = self.place_of_number(number).ok()?;
        self.rows.get_mut(self.by_number[at])
    }

    /// The topic of this name.
    pub fn find(&self, name: &str) -> Option<Topic<'_>> {
        let at = self.place_of_name(name).ok()?;
        self.at(self.by_name[at])
    }

    /// The topic with this id.
    pub fn find_id(&self, id: &[u8; 16]) -> Option<Topic<'_>> {
        let (_, row) = self.rows.iter().find(|(_, row)| row.id == *id)?;
        Some(self.show(row))
    }

    /// The topic with this number.
    pub fn get(&self, number: u32) -> Option<Topic<'_>> {
        let at = self.place_of_number(number).ok()?;
        self.at(self.by_number[at])
    }

    /// All topics in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = Topic<'_>> + Clone {
        self.by_name.iter().filter_map(|key| self.at(*key))
    }

    /// The topic at this place in the order of their names: for who changes the broker on the way.
    pub fn nth(&self, place: usize) -> Option<Topic<'_>> {
        self.at(*self.by_name.get(place)?)
    }

    /// All topics in the order of their numbers.
    pub fn in_order_of_numbers(&self) -> impl Iterator<Item = Topic<'_>> + Clone {
        self.by_number.iter().filter_map(|key| self.at(*key))
    }

    /// Adds a topic without partitions; false if there is no room, or one of this name or number.
    #[must_use]
    pub fn insert(&mut self, new: &NewRow<'_>) -> bool {
        let (Err(by_name), Err(by_number)) =
            (self.place_of_name(new.name), self.place_of_number(new.number))
        else {
            return false;
        };
        if self.by_name.is_full() {
            return false;
        }
        let Some(name) = self.names.put(new.name.as_bytes()) else { return false };
        let NewRow { number, id, overrides, config, .. } = *new;
        let first = self.handles.len() as u32;
        let row = Row { number, name, id, first, partitions: 0, overrides, config };
        // All four have the same capacity, which is looked at above.
        let Ok(key) = self.rows.insert(row) else { return false };
        self.by_name.insert(by_name, key).ok();
        self.by_number.insert(by_number, key).ok();
        self.name_bytes += new.name.len();
        self.note_sizes();
        true
    }

    /// Removes a topic; its handles are visited before.
    pub fn remove(&mut self, number: u32, mut visit: impl FnMut(PartitionHandle)) {
        let Ok(by_number) = self.place_of_number(number) else { return };
        let Some(key) = self.by_number.remove(by_number) else { return };
        if let Some(at) = self.by_name.iter().position(|known| *known == key) {
            self.by_name.remove(at);
        }
        let Some(row) = self.rows.remove(key) else { return };
        self.name_bytes -= self.names.get(row.name).len();
        self.names.free(row.name);
        let range = row.first as usize..(row.first + row.partitions) as usize;
        self.handles.drain(range).for_each(&mut visit);
        for (_, other) in self.rows.iter_mut().filter(|(_, other)| other.first > row.first) {
            other.first -= row.partitions;
        }
        self.note_sizes();
    }

    /// Adds a partition to a topic; false if there is no room.
    #[must_use]
    pub fn extend(&mut self, number: u32, handle: PartitionHandle) -> bool {
        let Some(row) = self.row_mut(number) else { return false };
        let end = row.first + row.partitions;
        if self.handles.insert(end as usize, handle).is_err() {
            return false;
        }
        for (_, row) in self.rows.iter_mut() {
            if row.number == number {
                row.partitions += 1;
            } else if row.first >= end {
                row.first += 1;
            }
        }
        true
    }

    /// Replaces a topic's own settings.
    pub fn configure(&mut self, number: u32, broker: &BrokerConfig, overrides: TopicOverrides) {
        if let Some(row) = self.row_mut(number) {
            row.config = EffectiveTopicConfig::new(broker, &overrides);
            row.overrides = overrides;
        }
        self.note_sizes();
    }
}

/// Kafka's rule for topic names (`Topic.validate`): what is wrong with `name`, in words.
///
/// # Errors
/// One sentence for a person.
pub fn check_name(name: &str) -> Result<(), &'static str> {
    let legal = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    if name.is_empty() {
        Err("the empty string is not allowed as a topic name")
    } else if name == "." || name == ".." {
        Err("'.' and '..' are not allowed as topic names")
    } else if name.len() > TOPIC_NAME_BYTES_MAX {
        Err("a topic name may not be longer than 249 characters")
    } else if !name.bytes().all(legal) {
        Err("a topic name may only hold ASCII letters, digits, '.', '_' and '-'")
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_kafkas_rule() {
        for good in ["a", "A.b_c-9", &"x".repeat(249)] {
            assert_eq!(check_name(good), Ok(()));
        }
        for bad in ["", ".", "..", "a/b", "a b", "é", "a\0", &"x".repeat(250)] {
            assert!(check_name(bad).is_err(), "{bad:?}");
        }
    }

    fn config() -> EffectiveTopicConfig {
        EffectiveTopicConfig::new(&BrokerConfig::default(), &TopicOverrides::default())
    }

    fn row(number: u32, name: &str, config: EffectiveTopicConfig) -> NewRow<'_> {
        let overrides = TopicOverrides::default();
        NewRow { number, name, id: [number as u8; 16], overrides, config }
    }

    #[test]
    fn opening_takes_what_the_ledger_says_and_topics_that_come_and_go_take_nothing() {
        let sizes = Sizes::default();
        let mut ledger = Ledger::default();
        Topics::account(&sizes, &mut ledger);
        let mut topics = None;
        let made = allocation_counter::measure(|| topics = Some(Topics::new(&sizes)));
        assert!(made.bytes_total <= ledger.bytes(), "{made:?}");
        assert!(made.bytes_total * 10 > ledger.bytes() * 9, "{made:?} of {}", ledger.bytes());
        let (mut topics, config) = (topics.unwrap(), config());
        let used = allocation_counter::measure(|| {
            for round in 0..2_000 {
                assert!(topics.insert(&row(round, ["b", "a", "c"][round as usize % 3], config)));
                assert!(topics.extend(round, round as usize));
                if round >= 2 {
                    topics.remove(round - 2, |_| ());
                }
            }
        });
        assert_eq!((used.count_total, topics.len()), (0, 2));
    }

    #[test]
    fn handles_stay_with_their_topic_whoever_comes_grows_and_goes() {
        let sizes = Sizes { topics: 5, partitions: 40, ..Sizes::default() };
        let mut topics = Topics::new(&sizes);
        let mut model: std::collections::BTreeMap<u32, Vec<usize>> = Default::default();
        let names = ["m", "k", "z", "a", "q", "b", "x"];
        let mut state = 7u64;
        let mut next = |end: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 33) % end
        };
        let mut handle = 0;
        for _ in 0..20_000 {
            let number = next(7) as u32;
            match next(8) {
                0 => {
                    let took = topics.insert(&row(number, names[number as usize], config()));
                    assert_eq!(took, !model.contains_key(&number) && model.len() < 5);
                    if took {
                        model.insert(number, Vec::new());
                    }
                }
                1 => {
                    let mut gone = Vec::new();
                    topics.remove(number, |handle| gone.push(handle));
                    assert_eq!(gone, model.remove(&number).unwrap_or_default());
                }
                _ => {
                    handle += 1;
                    let room = model.values().map(Vec::len).sum::<usize>() < 40;
                    let took = topics.extend(number, handle);
                    assert_eq!(took, room && model.contains_key(&number));
                    if took {
                        model.get_mut(&number).unwrap().push(handle);
                    }
                }
            }
            let seen: Vec<_> =
                topics.in_order_of_numbers().map(|t| (t.number, t.partitions.to_vec())).collect();
            assert_eq!(seen, model.clone().into_iter().collect::<Vec<_>>());
            assert!(topics.iter().map(|t| t.name).is_sorted());
            assert!(topics.iter().all(|t| topics.find(t.name).unwrap().number == t.number));
        }
    }
}
