//! Everything about forwarding that is not the machine: what is kept of each lane, what a person
//! asked for, and what a person is shown.
//!
//! A *lane* is one local partition's way to the upstream cluster, its *row* what is kept of it in
//! the journal and the coordinator file. A row may come back older than it last was in memory, but
//! never older than when it was last made durable.
//!
//! Promises: one row, one set of figures and at most one waiting command per lane, in tables for as
//! many lanes as there may be partitions, allocated once.
//! Absent: sending (`forward`), making rows durable (`broker`).

use crate::fixed::{List, Ring, Words};
use crate::limits::{
    FORWARD_CLUSTER_ID_BYTES_MAX, FORWARD_ERROR_BYTES_MAX, FORWARD_NAME_BYTES_MAX, FORWARD_RATE_MS,
    Ledger, Sizes, Usage,
};
use crate::time::{Millis, Now};
use serde::{Deserialize, Serialize};

/// A lane's name: the local topic's number and the partition's index.
pub type LaneName = (u32, u32);

/// A topic's name upstream.
pub type UpstreamName = Words<FORWARD_NAME_BYTES_MAX>;

/// What went wrong, as a person is told.
pub type ErrorWords = Words<FORWARD_ERROR_BYTES_MAX>;

/// The upstream cluster's id.
pub type ClusterId = Words<FORWARD_CLUSTER_ID_BYTES_MAX>;

/// What is kept of a lane.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForwardRow {
    /// The local topic's number.
    pub topic: u32,
    /// The local partition.
    pub partition: u32,
    /// The topic's name upstream.
    pub upstream_topic: UpstreamName,
    /// Its id there; zero while unknown.
    pub upstream_topic_id: [u8; 16],
    /// The partition there; -1 while none is chosen.
    pub upstream_partition: i32,
    /// The lane's own producer id; -1 while it has none.
    pub producer_id: i64,
    /// Its epoch; -1 while it has none.
    pub producer_epoch: i16,
    /// The local offset that has sequence number 0 in this epoch.
    pub sequence_base: i64,
    /// The next local offset that upstream has to acknowledge.
    pub cursor: i64,
    /// The offset upstream behind the last acknowledged record; -1 while unknown.
    pub upstream_offset: i64,
    /// Nothing that was sent is unanswered.
    pub settled: bool,
    /// Records that were set aside.
    pub rejected: u64,
    /// Records that may be twice upstream.
    pub repeated: u64,
    /// `forward.on.rejected=stop` has stopped it.
    pub stopped: bool,
}

impl ForwardRow {
    /// A lane that has sent nothing yet and will begin at `cursor`.
    pub fn new(topic: u32, partition: u32, cursor: i64) -> ForwardRow {
        ForwardRow {
            topic,
            partition,
            upstream_topic: UpstreamName::new(),
            upstream_topic_id: [0; 16],
            upstream_partition: -1,
            producer_id: -1,
            producer_epoch: -1,
            sequence_base: cursor,
            cursor,
            upstream_offset: -1,
            settled: true,
            rejected: 0,
            repeated: 0,
            stopped: false,
        }
    }

    /// Whose row it is.
    pub fn lane(&self) -> LaneName {
        (self.topic, self.partition)
    }
}

/// What is kept of forwarding as a whole.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForwardHead {
    /// The upstream cluster's id; empty while unknown.
    pub cluster_id: ClusterId,
    /// A person has said that nothing shall be sent.
    pub paused: bool,
}

/// What a person asked the forwarder to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ForwardCommand {
    /// A lane goes on from `offset`, which lies within the log.
    Seek {
        /// The local topic's number.
        topic: u32,
        /// The local partition.
        partition: u32,
        /// The next offset to be sent.
        offset: i64,
    },
}

impl ForwardCommand {
    fn lane(&self) -> LaneName {
        let ForwardCommand::Seek { topic, partition, .. } = *self;
        (topic, partition)
    }
}

/// How the way to the upstream cluster is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LinkState {
    /// Nothing is configured, or nothing runs yet.
    #[default]
    Off,
    /// The first connection is being tried.
    Connecting,
    /// At least one broker upstream answers.
    Up,
    /// Tried in vain, waiting for the next try.
    Down,
}

impl LinkState {
    /// The state in one word.
    pub const fn as_text(self) -> &'static str {
        match self {
            LinkState::Off => "off",
            LinkState::Connecting => "connecting",
            LinkState::Up => "up",
            LinkState::Down => "down",
        }
    }
}

/// What a lane is doing, from the best to the worst.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum LaneState {
    /// Everything is upstream.
    #[default]
    Idle,
    /// Batches go up.
    Sending,
    /// It has records, and waits for a link, for its leader or for its turn.
    Waiting,
    /// It asks upstream what has arrived there.
    InDoubt,
    /// Upstream refuses for now; it tries again.
    Retrying,
    /// It has stopped (`forward.on.rejected=stop`).
    Stopped,
}

impl LaneState {
    /// The state in words.
    pub const fn as_text(self) -> &'static str {
        match self {
            LaneState::Idle => "up to date",
            LaneState::Sending => "sending",
            LaneState::Waiting => "waiting",
            LaneState::InDoubt => "asking what arrived",
            LaneState::Retrying => "retrying",
            LaneState::Stopped => "stopped",
        }
    }
}

/// Bytes per second lately: over the present window of [`FORWARD_RATE_MS`] and what of the one
/// before is less than a window old.
#[derive(Clone, Copy, Debug, Default)]
pub struct Meter {
    window: u64,
    before: u64,
    present: u64,
}

impl Meter {
    /// So many bytes went up just now.
    pub fn add(&mut self, bytes: u64, now: Millis) {
        let window = now.0 / FORWARD_RATE_MS;
        if window != self.window {
            self.before = if window == self.window + 1 { self.present } else { 0 };
            self.present = 0;
            self.window = window;
        }
        self.present = self.present.saturating_add(bytes);
    }

    /// Bytes per second.
    pub fn rate(&self, now: Millis) -> u64 {
        let mut moved = *self;
        moved.add(0, now);
        let left_ms = FORWARD_RATE_MS - now.0 % FORWARD_RATE_MS;
        let of_before =
            u128::from(moved.before) * u128::from(left_ms) / u128::from(FORWARD_RATE_MS);
        (moved.present + of_before as u64) * 1000 / FORWARD_RATE_MS
    }
}

/// A lane's figures since the start.
#[derive(Clone, Copy, Debug, Default)]
pub struct LaneFigures {
    /// What it is doing.
    pub state: LaneState,
    /// Kafka's code of what upstream refused with last; 0 when it takes what it gets.
    pub error: i16,
    /// Records that upstream acknowledged.
    pub records_up: u64,
    /// Bytes of batches that upstream acknowledged, as they went up.
    pub bytes_up: u64,
    /// The same, lately.
    pub rate: Meter,
}

/// Everything about forwarding that is not the machine.
#[derive(Debug)]
pub struct Forwarding {
    /// In the order of their lanes.
    rows: List<ForwardRow>,
    /// In the order of their lanes.
    lanes: List<(LaneName, LaneFigures)>,
    head: ForwardHead,
    commands: Ring<ForwardCommand>,
    error: ErrorWords,
    today: i64,
    bytes_today: u64,
    /// The coordinator file was lost, and rows with it: what has gone up before is unknown.
    pub rows_lost: bool,
    /// How the link is.
    pub link: LinkState,
    /// Since when, in milliseconds since 1970 by the machine's clock.
    pub since_wall_ms: i64,
    /// The forwarder waits for this frame of the journal to be durable.
    pub awaits: Option<u64>,
    /// When the next try is due, while the link is down.
    pub next_try: Option<Millis>,
    /// Bytes written to sockets since the start.
    pub bytes_up: u64,
    /// The same, lately.
    pub rate: Meter,
}

impl Forwarding {
    /// Tables for as many lanes as there may be partitions.
    pub fn new(sizes: &Sizes) -> Forwarding {
        Forwarding {
            rows: List::new(sizes.partitions),
            lanes: List::new(sizes.partitions),
            head: ForwardHead::default(),
            commands: Ring::new(sizes.partitions),
            error: ErrorWords::new(),
            today: 0,
            bytes_today: 0,
            rows_lost: false,
            link: LinkState::default(),
            since_wall_ms: 0,
            awaits: None,
            next_try: None,
            bytes_up: 0,
            rate: Meter::default(),
        }
    }

    /// The rows of the ledger.
    pub fn account(sizes: &Sizes, ledger: &mut Ledger) {
        let each = List::<ForwardRow>::memory(1)
            + List::<(LaneName, LaneFigures)>::memory(1)
            + Ring::<ForwardCommand>::memory(1);
        ledger.row("forwarded partitions, kept", sizes.partitions, each, "one for each partition");
    }

    /// How full the table is.
    pub fn usage(&self) -> Usage {
        Usage::new("forward.rows", self.rows.len(), self.rows.capacity())
    }

    fn find(&self, lane: LaneName) -> Result<usize, usize> {
        self.rows.binary_search_by_key(&lane, ForwardRow::lane)
    }

    /// What is kept of a lane.
    pub fn row(&self, lane: LaneName) -> Option<&ForwardRow> {
        self.find(lane).ok().and_then(|at| self.rows.get(at))
    }

    /// What is kept of all lanes.
    pub fn rows(&self) -> impl Iterator<Item = &ForwardRow> {
        self.rows.iter()
    }

    /// Replaces what is kept of a lane; in memory only, see `Broker::save_forward`. A row more than
    /// there are places can only be of a partition that is gone, or the file has made it up.
    pub fn note(&mut self, row: &ForwardRow) {
        match self.find(row.lane()) {
            Ok(at) => self.rows[at].clone_from(row),
            Err(at) => drop(self.rows.insert(at, row.clone())),
        }
    }

    /// What is kept of forwarding as a whole.
    pub fn head(&self) -> &ForwardHead {
        &self.head
    }

    /// Replaces it; in memory only, see `Broker::save_forward_head`.
    pub fn note_head(&mut self, head: ForwardHead) {
        self.head = head;
    }

    /// A topic is gone, and with it its rows, figures and commands.
    pub fn forget_topic(&mut self, topic: u32) {
        self.rows.retain(|row| row.topic != topic);
        self.lanes.retain(|(lane, _)| lane.0 != topic);
        self.commands.retain(|command| command.lane().0 != topic);
    }

    /// Drops rows of partitions that are not there.
    pub fn retain(&mut self, mut exists: impl FnMut(LaneName) -> bool) {
        self.rows.retain(|row| exists(row.lane()));
    }

    /// A person wants this; it takes the place of what was wanted of the same lane before.
    pub fn command(&mut self, command: ForwardCommand) {
        self.commands.retain(|known| known.lane() != command.lane());
        // One place for each lane.
        self.commands.push_back(command).ok();
    }

    /// The oldest command that nobody took yet.
    pub fn take_command(&mut self) -> Option<ForwardCommand> {
        self.commands.pop_front()
    }

    /// Whether a command waits.
    pub fn has_command(&self) -> bool {
        !self.commands.is_empty()
    }

    /// The link's state has changed, unless it is the same as before.
    pub fn set_link(&mut self, link: LinkState, now: Now) {
        if self.link != link {
            self.link = link;
            self.since_wall_ms = now.wall_ms;
        }
    }

    /// What went wrong last, in words; empty if nothing did.
    pub fn error(&self) -> &str {
        &self.error
    }

    /// Something went wrong, in words of which [`FORWARD_ERROR_BYTES_MAX`] are kept.
    pub fn set_error(&mut self, words: &str) {
        self.error.set(words);
    }

    /// A lane's figures, to be changed; `None` where there is no place for one more lane.
    pub fn lane_mut(&mut self, lane: LaneName) -> Option<&mut LaneFigures> {
        let at = match self.lanes.binary_search_by_key(&lane, |(name, _)| *name) {
            Ok(at) => at,
            Err(at) => {
                self.lanes.insert(at, (lane, LaneFigures::default())).ok()?;
                at
            }
        };
        Some(&mut self.lanes[at].1)
    }

    /// A lane's figures.
    pub fn lane(&self, lane: LaneName) -> LaneFigures {
        let at = self.lanes.binary_search_by_key(&lane, |(name, _)| *name);
        at.ok().map(|at| self.lanes[at].1).unwrap_or_default()
    }

    /// Upstream acknowledged a batch.
    pub fn acknowledged(&mut self, lane: LaneName, records: u64, bytes: u64, now: Now) {
        let Some(figures) = self.lane_mut(lane) else { return };
        figures.records_up += records;
        figures.bytes_up += bytes;
        figures.rate.add(bytes, now.mono);
    }

    /// A socket took bytes.
    pub fn sent(&mut self, bytes: u64, now: Now) {
        self.turn_day(now);
        self.bytes_up += bytes;
        self.bytes_today += bytes;
        self.rate.add(bytes, now.mono);
    }

    fn turn_day(&mut self, now: Now) {
        let today = now.wall_ms.div_euclid(86_400_000);
        if today != self.today {
            self.today = today;
            self.bytes_today = 0;
        }
    }

    /// Bytes written to sockets on this day (UTC, by the machine's clock) since the start.
    pub fn bytes_today(&self, now: Now) -> u64 {
        let today = now.wall_ms.div_euclid(86_400_000);
        if today == self.today { self.bytes_today } else { 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(mono: u64) -> Now {
        Now { mono: Millis(mono), wall_ms: mono as i64 }
    }

    #[test]
    fn a_noted_row_takes_the_place_of_the_one_before() {
        let mut forwarding = Forwarding::new(&Sizes::default());
        let mut row = ForwardRow::new(1, 2, 7);
        assert!(row.settled && row.cursor == 7 && row.producer_id == -1);
        forwarding.note(&row);
        row.cursor = 9;
        row.upstream_topic = "up".into();
        forwarding.note(&row);
        assert_eq!(forwarding.row((1, 2)), Some(&row));
        assert_eq!(forwarding.rows().count(), 1);
        forwarding.note(&ForwardRow::new(2, 0, 0));
        forwarding.retain(|lane| lane == (2, 0));
        assert_eq!(forwarding.row((1, 2)), None);
    }

    #[test]
    fn a_deleted_topic_takes_everything_along() {
        let mut forwarding = Forwarding::new(&Sizes::default());
        for topic in [1, 2] {
            forwarding.note(&ForwardRow::new(topic, 0, 0));
            forwarding.lane_mut((topic, 0)).unwrap().records_up = 5;
            forwarding.command(ForwardCommand::Seek { topic, partition: 0, offset: 0 });
        }
        forwarding.forget_topic(1);
        assert_eq!(forwarding.row((1, 0)), None);
        assert_eq!([1, 2].map(|topic| forwarding.lane((topic, 0)).records_up), [0, 5]);
        let left = ForwardCommand::Seek { topic: 2, partition: 0, offset: 0 };
        assert_eq!(forwarding.take_command(), Some(left));
        assert!(!forwarding.has_command());
    }

    #[test]
    fn of_one_lane_the_last_command_counts_and_they_come_in_order() {
        let mut forwarding = Forwarding::new(&Sizes::default());
        let seek = |partition, offset| ForwardCommand::Seek { topic: 1, partition, offset };
        for command in [seek(0, 1), seek(1, 2), seek(0, 3)] {
            forwarding.command(command);
        }
        assert_eq!(forwarding.take_command(), Some(seek(1, 2)));
        assert_eq!(forwarding.take_command(), Some(seek(0, 3)));
        assert_eq!(forwarding.take_command(), None);
    }

    #[test]
    fn the_rate_is_of_the_last_window_and_fades_to_nothing() {
        let mut meter = Meter::default();
        for second in 0..30 {
            meter.add(1_000, Millis(second * 1_000));
        }
        let windows = |n: u64| Millis(20_000 + n * FORWARD_RATE_MS);
        assert_eq!(meter.rate(windows(1)), 1_000);
        let half = Millis(windows(1).0 + FORWARD_RATE_MS / 2);
        assert_eq!(meter.rate(half), 500);
        assert_eq!(meter.rate(windows(2)), 0);
        assert_eq!(Meter::default().rate(Millis(0)), 0);
    }

    #[test]
    fn todays_bytes_begin_anew_with_the_day() {
        let mut forwarding = Forwarding::new(&Sizes::default());
        forwarding.sent(5, at(86_400_000 - 1));
        assert_eq!(forwarding.bytes_today(at(86_400_000 - 1)), 5);
        assert_eq!(forwarding.bytes_today(at(86_400_000)), 0);
        forwarding.sent(7, at(86_400_000));
        assert_eq!((forwarding.bytes_today(at(86_400_001)), forwarding.bytes_up), (7, 12));
    }

    #[test]
    fn an_errors_words_are_cut_between_two_characters() {
        let mut forwarding = Forwarding::new(&Sizes::default());
        forwarding.set_error(&"é".repeat(FORWARD_ERROR_BYTES_MAX));
        assert_eq!(forwarding.error().len(), FORWARD_ERROR_BYTES_MAX / 2 * 2);
        forwarding.set_error("");
        assert_eq!(forwarding.error(), "");
    }

    #[test]
    fn since_when_the_link_is_as_it_is() {
        let mut forwarding = Forwarding::new(&Sizes::default());
        forwarding.set_link(LinkState::Down, at(3));
        forwarding.set_link(LinkState::Down, at(5));
        assert_eq!((forwarding.link.as_text(), forwarding.since_wall_ms), ("down", 3));
    }
}
