//! What the coordinator file and the journal's change frames say about everything but the logs.
//!
//! [`Snapshot`] is the state's part of the coordinator file, [`Change`] one step from a snapshot
//! to the next. Both are `postcard`; new kinds of change go at the end of the enum, so that the
//! numbers of the old ones stay, and a snapshot begins with its own version. Version 1 ends with
//! the producers; version 2 goes on with what is kept of forwarding.
//!
//! Absent: applying them (`broker`), and the bytes around them (`storage`).

use super::forward::{ForwardHead, ForwardRow};
use super::offsets::OffsetRow;
use super::producers::ProducerRow;
use super::topics::check_name;
use crate::config::TopicOverrides;
use crate::limits::{NUMBER_PLAUSIBLE_MAX, OFFSET_PLAUSIBLE_MAX, TOPIC_PARTITIONS_PLAUSIBLE_MAX};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// The version of [`Snapshot`] that this binary writes, and the newest that it reads.
pub const SNAPSHOT_VERSION: u16 = 2;

/// The state's part of the coordinator file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot<'a> {
    /// [`SNAPSHOT_VERSION`] of the writer.
    pub version: u16,
    /// The cluster's id: 22 characters of base64, as Kafka's.
    pub cluster_id: String,
    /// The node's id.
    pub node_id: i32,
    /// The number that the next topic gets.
    pub next_topic: u32,
    /// The id that the next producer gets.
    pub next_producer_id: i64,
    /// All topics.
    pub topics: Vec<TopicRow<'a>>,
    /// All committed offsets.
    #[serde(borrow)]
    pub offsets: Vec<OffsetRow<'a>>,
    /// What is remembered of producers.
    pub producers: Vec<ProducerRow>,
    /// What is kept of lanes to the upstream cluster. Since version 2, behind all the others.
    #[serde(skip)]
    pub forward_rows: Vec<ForwardRow>,
    /// What is kept of forwarding as a whole. Since version 2, at the end.
    #[serde(skip)]
    pub forward_head: ForwardHead,
}

/// One topic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TopicRow<'a> {
    /// Its permanent number.
    pub number: u32,
    /// Its name; borrowed where it is written.
    pub name: Cow<'a, str>,
    /// Its id.
    pub id: [u8; 16],
    /// How many partitions it has.
    pub partitions: u32,
    /// Settings of its own.
    pub overrides: TopicOverrides,
}

impl TopicRow<'_> {
    /// The same with a name of its own.
    pub fn into_owned(self) -> TopicRow<'static> {
        TopicRow { name: Cow::Owned(self.name.into_owned()), ..self }
    }

    fn is_plausible(&self) -> bool {
        check_name(&self.name).is_ok()
            && self.number <= NUMBER_PLAUSIBLE_MAX
            && self.partitions <= TOPIC_PARTITIONS_PLAUSIBLE_MAX
    }
}

/// One change. Borrowed, because it is encoded on the request path and decoded at start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Change<'a> {
    /// A topic was created.
    TopicCreated(TopicRow<'a>),
    /// A topic was deleted.
    TopicDeleted {
        /// Its number.
        number: u32,
    },
    /// A topic has more partitions now.
    PartitionsAdded {
        /// Its number.
        number: u32,
        /// How many there are now.
        partitions: u32,
    },
    /// A topic's own settings changed.
    TopicConfigured {
        /// Its number.
        number: u32,
        /// All of its own settings.
        overrides: TopicOverrides,
    },
    /// An offset was committed.
    OffsetCommitted(OffsetRow<'a>),
    /// A committed offset was deleted or has expired.
    OffsetRemoved {
        /// The group.
        group_id: &'a str,
        /// The topic.
        topic: &'a str,
        /// The partition.
        partition: i32,
    },
    /// A group was deleted with all its offsets.
    GroupRemoved {
        /// The group.
        group_id: &'a str,
    },
    /// Producer ids below this one may have been handed out.
    ProducerIds {
        /// The first that was not.
        next: i64,
    },
    /// What is kept of a lane to the upstream cluster.
    Forwarded(Cow<'a, ForwardRow>),
    /// What is kept of forwarding as a whole.
    ForwardHead(Cow<'a, ForwardHead>),
}

impl Change<'_> {
    /// Puts the bytes for a journal frame into `bytes`, in place of what was there: a buffer that
    /// is kept, because a commit of an offset allocates nothing.
    pub fn encode_into(&self, bytes: &mut Vec<u8>) {
        bytes.clear();
        *bytes = postcard::to_extend(self, core::mem::take(bytes)).unwrap_or_default();
    }

    /// Reads a journal frame's bytes; `None` for a kind that this version does not know.
    /// So is one that names what cannot be.
    pub fn decode(bytes: &[u8]) -> Option<Change<'_>> {
        postcard::from_bytes(bytes).ok().filter(Change::is_plausible)
    }

    /// Whether the state can count on from its numbers.
    fn is_plausible(&self) -> bool {
        match self {
            Change::TopicCreated(row) => row.is_plausible(),
            Change::PartitionsAdded { partitions, .. } => {
                *partitions <= TOPIC_PARTITIONS_PLAUSIBLE_MAX
            }
            Change::ProducerIds { next } => (0..=OFFSET_PLAUSIBLE_MAX).contains(next),
            Change::Forwarded(row) => row.topic <= NUMBER_PLAUSIBLE_MAX,
            _ => true,
        }
    }
}

impl<'a> Snapshot<'a> {
    /// The bytes of the coordinator file, all at once: for tests. `Broker::checkpoint` writes the
    /// same field by field.
    pub fn encode(&self) -> Vec<u8> {
        let since_2 = (&self.forward_rows, &self.forward_head);
        let bytes = postcard::to_stdvec(self);
        bytes.and_then(|bytes| postcard::to_extend(&since_2, bytes)).unwrap_or_default()
    }

    /// Reads the coordinator file's bytes.
    ///
    /// # Errors
    /// The snapshot's version when it is newer than this binary, or 0 when the bytes are no
    /// snapshot.
    pub fn decode(bytes: &'a [u8]) -> Result<Snapshot<'a>, u16> {
        match postcard::take_from_bytes::<u16>(bytes) {
            Ok((version, _)) if version > SNAPSHOT_VERSION => return Err(version),
            Ok(_) => {}
            Err(_) => return Err(0),
        }
        let (mut snapshot, rest) =
            postcard::take_from_bytes::<Snapshot<'_>>(bytes).map_err(|_| 0u16)?;
        if snapshot.version >= 2 {
            (snapshot.forward_rows, snapshot.forward_head) =
                postcard::from_bytes(rest).map_err(|_| 0u16)?;
        }
        let plausible = snapshot.next_topic <= NUMBER_PLAUSIBLE_MAX
            && (0..=OFFSET_PLAUSIBLE_MAX).contains(&snapshot.next_producer_id)
            && snapshot.topics.iter().all(TopicRow::is_plausible);
        if plausible { Ok(snapshot) } else { Err(0) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &str, number: u32, partitions: u32) -> TopicRow<'_> {
        let overrides = TopicOverrides::default();
        TopicRow { number, name: name.into(), id: [7; 16], partitions, overrides }
    }

    #[test]
    fn what_nothing_can_count_on_from_is_not_believed() {
        let created = |row| {
            let mut bytes = Vec::new();
            Change::TopicCreated(row).encode_into(&mut bytes);
            Change::decode(&bytes).is_some()
        };
        let snapshot = |row| {
            let snapshot = Snapshot { version: 2, topics: vec![row], ..Snapshot::default() };
            Snapshot::decode(&snapshot.encode()).is_ok()
        };
        for (row, good) in [
            (named("t", 1, 3), true),
            (named("../t", 1, 3), false),
            (named("t", u32::MAX, 3), false),
            (named("t", 1, u32::MAX), false),
        ] {
            assert_eq!((created(row.clone()), snapshot(row.clone())), (good, good), "{row:?}");
        }
        let next = Snapshot { version: 2, next_topic: u32::MAX, ..Snapshot::default() };
        assert_eq!(Snapshot::decode(&next.encode()), Err(0));
    }

    /// What the binary before version 2 wrote: a topic, a committed offset, a producer.
    const VERSION_1: &[u8] = b"\x01\x16abcdefghijklmnopqrstuv\x02\x03\xd0\x0f\
        \x01\x02\x01t\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x04\
        \x01\x1b\x04\x35\x30\x30\x30\
        \x01\x01g\x01t\x06\x0e\x01\x04note\x0a\x01\x09\
        \x01\x02\x01\x0a\x04\x01\x02\x04\x06\x08";

    #[test]
    fn a_snapshot_of_version_1_is_still_read_and_knows_nothing_of_forwarding() {
        let snapshot = Snapshot::decode(VERSION_1).unwrap();
        assert_eq!((snapshot.version, snapshot.cluster_id.as_str()), (1, "abcdefghijklmnopqrstuv"));
        assert_eq!((snapshot.next_topic, snapshot.next_producer_id), (3, 1000));
        let own: Vec<_> = snapshot.topics[0].overrides.iter().collect();
        assert_eq!((snapshot.topics[0].partitions, own), (4, vec![("retention.ms", "5000")]));
        assert_eq!((snapshot.offsets[0].offset, snapshot.offsets[0].metadata), (7, "note"));
        assert_eq!(snapshot.producers[0].batches.len(), 1);
        assert!(snapshot.forward_rows.is_empty());
        assert_eq!(snapshot.forward_head, ForwardHead::default());
        // Version 2 has the same bytes up to there.
        let bytes = Snapshot { version: 2, ..snapshot }.encode();
        assert_eq!(bytes[1..VERSION_1.len()], VERSION_1[1..]);
        assert_eq!(Snapshot::decode(&bytes[..VERSION_1.len()]), Err(0), "its end is missing");
    }

    #[test]
    fn what_is_kept_of_forwarding_comes_back() {
        let row = ForwardRow { upstream_topic: "up".into(), ..ForwardRow::new(1, 2, i64::MAX) };
        let head = ForwardHead { cluster_id: "c".into(), paused: true };
        let snapshot = Snapshot {
            version: SNAPSHOT_VERSION,
            forward_rows: vec![row.clone(), ForwardRow::new(1, 3, 0)],
            forward_head: head.clone(),
            ..Snapshot::default()
        };
        assert_eq!(Snapshot::decode(&snapshot.encode()), Ok(snapshot));
        let mut bytes = Vec::new();
        for change in
            [Change::Forwarded(Cow::Borrowed(&row)), Change::ForwardHead(Cow::Borrowed(&head))]
        {
            change.encode_into(&mut bytes);
            assert_eq!(Change::decode(&bytes), Some(change));
        }
    }

    #[test]
    fn the_kinds_of_change_keep_their_numbers() {
        let row = ForwardRow::new(0, 0, 0);
        for (number, change) in [
            (0, Change::TopicCreated(TopicRow { id: [0; 16], ..named("t", 1, 1) })),
            (1, Change::TopicDeleted { number: 0 }),
            (7, Change::ProducerIds { next: 0 }),
            (8, Change::Forwarded(Cow::Borrowed(&row))),
            (9, Change::ForwardHead(Cow::Owned(ForwardHead::default()))),
        ] {
            let mut bytes = Vec::new();
            change.encode_into(&mut bytes);
            assert_eq!(bytes[0], number);
        }
    }

    #[test]
    fn changes_and_snapshots_come_back() {
        let change = Change::OffsetCommitted(OffsetRow {
            group_id: "g",
            topic: "t",
            partition: 3,
            offset: 7,
            leader_epoch: -1,
            metadata: "note",
            commit_wall_ms: 5,
            retention_ms: None,
        });
        let mut bytes = b"an older change, and a longer one than what comes now".to_vec();
        change.encode_into(&mut bytes);
        assert_eq!(Change::decode(&bytes), Some(change));
        let snapshot =
            Snapshot { version: SNAPSHOT_VERSION, cluster_id: "c".into(), ..Snapshot::default() };
        assert_eq!(Snapshot::decode(&snapshot.encode()), Ok(snapshot));
        assert_eq!(Snapshot::decode(&[9]), Err(9));
        assert_eq!(Snapshot::decode(&[1]), Err(0));
    }
}
