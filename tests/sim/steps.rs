//! What happens in a life: drawn from its seed before it begins, so that steps can be left out.
//!
//! A step names places by numbers that mean something whatever is there by then: the nth of what
//! there is.

use crate::random::Random;

const SECOND: u64 = 1_000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// A byte of a batch that rots while the power is off.
#[derive(Clone, Copy, Debug)]
pub struct Rot {
    pub lane: u64,
    pub batch: u64,
    pub byte: u64,
    pub bit: u8,
}

/// How the disk answers.
#[derive(Clone, Copy, Debug)]
pub enum Trouble {
    Io,
    NoSpace,
    ReadOnly,
}

/// One thing that happens.
#[derive(Clone, Copy, Debug)]
pub enum Step {
    /// Nothing, for so long.
    Pass { ms: u64 },
    /// `times` batches to one partition, with acks=all or acks=1.
    Append { lane: u64, times: u64, records: u64, bytes: u64, all: bool },
    /// A group commits so far behind the end of a partition.
    Commit { group: u64, lane: u64, behind: u64 },
    /// A consumer reads a whole partition.
    Read { lane: u64 },
    /// DeleteRecords, of so many of a hundred that are there.
    DeleteRecords { lane: u64, percent: u64 },
    /// A topic goes; it is made again with the next records.
    DeleteTopic { topic: u64 },
    /// A checkpoint, due or not.
    Checkpoint,
    /// An orderly stop; the board is off for so long.
    Stop { off_ms: u64 },
    /// kill -9, and a start right after.
    Kill,
    /// The power goes.
    PowerOff { off_ms: u64, rot: Option<Rot> },
    /// The power goes so many disk operations from now.
    CutSoon { operations: u64, off_ms: u64 },
    /// The disk fails so many operations from now.
    Fail { operations: u64, how: Trouble },
    /// Another program fills the disk but for so many bytes.
    Full { left: u64 },
    /// There is room again.
    Room,
    /// The wall clock is so far from the truth from now on.
    Wall { shift_ms: i64 },
    /// The network is like this seed's, or fine.
    Weather { seed: Option<u64> },
    /// Nothing reaches upstream, or does again.
    Link { up: bool },
    /// A leader moves upstream.
    Leader,
    /// A server upstream dies, or comes back.
    Server { number: u64 },
    /// Somebody pauses forwarding, or lets it go on.
    Pause { paused: bool },
}

/// What is fixed for a whole life.
#[derive(Clone, Debug)]
pub struct Shape {
    pub seed: u64,
    pub topics: Vec<(&'static str, i32)>,
    pub by_broker: bool,
    pub journal_rings: u32,
    pub segment_bytes: u32,
    pub segment_ms: u64,
    pub retention_ms: u64,
    pub offsets_retention_minutes: i32,
    pub batch_size: u32,
    pub servers: usize,
    pub sync_ms: (u64, u64),
}

/// A life.
#[derive(Clone, Debug)]
pub struct Plan {
    pub shape: Shape,
    pub steps: Vec<Step>,
}

impl Plan {
    /// The life of a seed.
    pub fn new(seed: u64) -> Plan {
        let random = &mut Random::new(seed);
        let topics = [("alarms", 1), ("metrics", 3), ("logs", 2)];
        let shape = Shape {
            seed,
            topics: topics.into_iter().take(random.between(1, 3) as usize).collect(),
            by_broker: random.chance(25),
            journal_rings: random.pick(&[1, 2, 8]),
            segment_bytes: random.pick(&[4_096, 16_384, 1 << 20]),
            segment_ms: random.pick(&[10 * MINUTE, HOUR, 7 * DAY]),
            retention_ms: random.pick(&[HOUR, DAY, 7 * DAY]),
            offsets_retention_minutes: random.pick(&[60, 1_440, 10_080]),
            batch_size: random.pick(&[1_000, 16_384, 65_536]),
            servers: random.pick(&[1, 3]),
            sync_ms: random.pick(&[(0, 1), (1, 10), (5, 80)]),
        };
        let count = random.between(20, 120);
        let steps = (0..count).map(|_| step(random)).collect();
        Plan { shape, steps }
    }
}

fn step(random: &mut Random) -> Step {
    let lane = random.below(64);
    match random.below(100) {
        0..18 => Step::Pass { ms: pause(random) },
        18..48 => Step::Append {
            lane,
            times: random.pick(&[1, 1, 1, 4, 20]),
            records: random.pick(&[1, 1, 1, 5, 30]),
            bytes: random.pick(&[20, 20, 120, 700, 3_000]),
            all: random.chance(60),
        },
        48..56 => Step::Commit { group: random.below(3), lane, behind: random.below(20) },
        56..59 => Step::Read { lane },
        59..61 => Step::DeleteRecords { lane, percent: random.below(101) },
        61 => Step::DeleteTopic { topic: random.below(8) },
        62..64 => Step::Checkpoint,
        64..66 => Step::Stop { off_ms: off(random) },
        66..68 => Step::Kill,
        68..72 => Step::PowerOff { off_ms: off(random), rot: rot(random) },
        72..77 => {
            let operations = random.pick(&[1, 3, 10, 40, 200]);
            Step::CutSoon { operations: random.below(operations), off_ms: off(random) }
        }
        77..79 => {
            let how = random.pick(&[Trouble::Io, Trouble::NoSpace, Trouble::ReadOnly]);
            Step::Fail { operations: random.below(30), how }
        }
        79..81 => Step::Full { left: random.pick(&[0, 0, 4_096, 50_000]) },
        81..84 => Step::Room,
        84..88 => Step::Wall { shift_ms: wall(random) },
        88..91 => Step::Weather { seed: random.chance(70).then(|| random.below(1 << 32)) },
        91..95 => Step::Link { up: random.chance(60) },
        95 => Step::Leader,
        96..98 => Step::Server { number: random.below(3) },
        _ => Step::Pause { paused: random.chance(40) },
    }
}

fn pause(random: &mut Random) -> u64 {
    let most = random.pick(&[20, 500, 5 * SECOND, MINUTE, HOUR, HOUR, 10 * HOUR]);
    random.between(1, most)
}

fn off(random: &mut Random) -> u64 {
    let most = random.pick(&[SECOND, MINUTE, DAY, 60 * DAY]);
    random.between(1, most)
}

fn rot(random: &mut Random) -> Option<Rot> {
    random.chance(40).then(|| Rot {
        lane: random.below(64),
        batch: random.below(1 << 20),
        byte: random.below(1 << 20),
        bit: random.below(8) as u8,
    })
}

/// 1970, 50 years ahead, a little off, or right.
fn wall(random: &mut Random) -> i64 {
    let year = 365 * DAY as i64;
    random.pick(&[0, 0, -1_700_000_000_000, 50 * year, -year, 3 * DAY as i64, -5_000, 700])
}
