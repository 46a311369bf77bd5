//! What a person is told about forwarding, reckoned when somebody asks.
//!
//! Backlogs come from rows and logs, the rest from what the forwarder has set. Bytes of a segment
//! that is partly forwarded are counted by the share of its offsets. How old the oldest record is,
//! its own timestamp says: one header is read per lane that has a backlog.

use crate::broker::Broker;
use crate::state::forward::{LaneFigures, LaneState, LinkState};
use crate::state::topics::Topic;
use crate::storage::PartitionIndex;
use crate::storage::partition::Partition;
use crate::time::Now;

/// What still has to go up, and what did not as it should.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backlog {
    /// Records.
    pub records: u64,
    /// Bytes as they are stored, about.
    pub bytes: u64,
    /// Milliseconds since the oldest of them by its own timestamp, at least 0; `None` without one.
    pub oldest_ms: Option<u64>,
    /// Records that were set aside.
    pub rejected: u64,
    /// Records that may be twice upstream.
    pub repeated: u64,
}

impl Backlog {
    fn add(&mut self, other: &Backlog) {
        self.records += other.records;
        self.bytes += other.bytes;
        self.oldest_ms = self.oldest_ms.max(other.oldest_ms);
        self.rejected += other.rejected;
        self.repeated += other.repeated;
    }
}

/// One topic's figures, or the sum of all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TopicFigures {
    /// What still has to go up.
    pub backlog: Backlog,
    /// Bytes of batches that upstream acknowledged since the start.
    pub bytes_up: u64,
    /// The same per second, lately.
    pub rate: u64,
    /// The worst lane's state.
    pub state: LaneState,
    /// Kafka's code of what upstream refused that lane with; 0 for nothing.
    pub error: i16,
}

/// How many records and about how many bytes of a log lie at `cursor` and behind it, as far as
/// they are durable.
fn rest_of(partition: &Partition, cursor: i64) -> (u64, u64) {
    let from = cursor.max(partition.log_start);
    let records = u64::try_from(partition.high_watermark.saturating_sub(from)).unwrap_or(0);
    if records == 0 {
        return (0, 0);
    }
    let mut bytes = 0;
    let segments = partition.segments.all();
    for (at, segment) in segments.iter().enumerate() {
        let end = segments.get(at + 1).map_or(partition.log_end, |s| s.base_offset);
        let (all, left) = (end - segment.base_offset, end - from.max(segment.base_offset));
        if all > 0 && left > 0 {
            let share = i128::from(segment.bytes) * i128::from(left) / i128::from(all);
            bytes += u64::try_from(share).unwrap_or(0);
        }
    }
    (records, bytes)
}

impl Broker {
    /// How forwarding is, in one word.
    pub fn forward_state(&self) -> &'static str {
        let link = self.forwarding.link;
        if self.config.forward.bootstrap_servers.is_empty() {
            LinkState::Off.as_text()
        } else if self.forwarding.head().paused {
            "paused"
        } else if link == LinkState::Off {
            LinkState::Connecting.as_text()
        } else {
            link.as_text()
        }
    }

    /// The topics that are forwarded, in the order of their names.
    pub fn forwarded_topics(&self) -> impl Iterator<Item = Topic<'_>> + Clone {
        self.topics.iter().filter(|topic| self.forwards(*topic))
    }

    /// What still has to go up of all topics, but for how old it is.
    pub fn forward_backlog(&self) -> Backlog {
        let mut sum = Backlog::default();
        for topic in self.forwarded_topics() {
            for (partition, index) in topic.partitions.iter().enumerate() {
                sum.add(&self.backlog((topic.number, partition as u32), *index));
            }
        }
        sum
    }

    /// The figures of one topic; `None` if there is none of this number.
    pub fn forward_figures(&mut self, topic: u32, now: Now) -> Option<TopicFigures> {
        let mut figures = TopicFigures::default();
        for partition in 0..self.topics.get(topic)?.partitions.len() {
            let Some(index) = self.topics.get(topic)?.partitions.get(partition).copied() else {
                break;
            };
            let lane = (topic, partition as u32);
            let mut backlog = self.backlog(lane, index);
            if backlog.records > 0
                && let Some(cursor) = self.cursor(lane, index)
            {
                let start = self.storage.partition(index).map_or(0, |log| log.log_start);
                backlog.oldest_ms = self.age_ms(index, cursor.max(start), now);
            }
            figures.backlog.add(&backlog);
            let LaneFigures { mut state, error, bytes_up, rate, .. } = self.forwarding.lane(lane);
            if self.forwarding.row(lane).is_some_and(|row| row.stopped) {
                state = LaneState::Stopped;
            }
            if state > figures.state {
                (figures.state, figures.error) = (state, error);
            }
            figures.bytes_up += bytes_up;
            figures.rate += rate.rate(now.mono);
        }
        Some(figures)
    }

    /// The next offset that upstream has to acknowledge, by partition.
    pub fn forward_next(&self, topic: &Topic<'_>) -> impl Iterator<Item = i64> {
        let partitions = topic.partitions.iter().enumerate();
        partitions.filter_map(|(at, index)| self.cursor((topic.number, at as u32), *index))
    }

    fn cursor(&self, lane: (u32, u32), index: PartitionIndex) -> Option<i64> {
        let log_start = self.storage.partition(index)?.log_start;
        Some(self.forwarding.row(lane).map_or(log_start, |row| row.cursor))
    }

    fn backlog(&self, lane: (u32, u32), index: PartitionIndex) -> Backlog {
        let log = self.storage.partition(index);
        let (Some(log), Some(cursor)) = (log, self.cursor(lane, index)) else {
            return Backlog::default();
        };
        let row = self.forwarding.row(lane);
        let (records, bytes) = rest_of(log, cursor);
        let rejected = row.map_or(0, |row| row.rejected);
        let repeated = row.map_or(0, |row| row.repeated);
        Backlog { records, bytes, oldest_ms: None, rejected, repeated }
    }

    /// Milliseconds since the record at `offset`, by its batch's first timestamp.
    fn age_ms(&mut self, index: PartitionIndex, offset: i64, now: Now) -> Option<u64> {
        let first = self.read(index, offset, 1, true).ok()??.first;
        let by_broker = first.is_log_append_time();
        let time = if by_broker { first.max_timestamp } else { first.base_timestamp };
        (time >= 0).then(|| u64::try_from(now.wall_ms.saturating_sub(time)).unwrap_or(0))
    }
}
