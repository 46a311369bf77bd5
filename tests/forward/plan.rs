//! What a life is made of: everything that is fixed before it begins, drawn from its seed.

use crate::cluster::{Age, Settings};
use crate::partition::Replication;
use crate::random::Random;
use ottla::config::{
    BrokerConfig, ForwardCompression, ForwardConfig, ForwardPartitions, OnRejected, TimestampType,
};
use ottla::limits::RING_BYTES_MIN;

/// What a life is about, where the usual promise has an exception.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Theme {
    /// Nothing that a client could not be safe from: once, in order, all of it.
    Usual,
    /// Nobody may read upstream: what is repeated is counted.
    WriteOnly,
    /// Somebody moves lanes by hand.
    Seek,
    /// Topics come and go here.
    Topics,
    /// Topics upstream are deleted and made anew.
    Recreated,
    /// Upstream elects leaders that lack what was acknowledged, or is set back to a backup.
    Forgetful,
    /// Another cluster answers at the same addresses.
    OtherCluster,
}

impl Theme {
    /// The theme of a seed: the usual one in ten of sixteen.
    pub fn of(seed: u64) -> Theme {
        match seed % 16 {
            10 => Theme::WriteOnly,
            11 => Theme::Seek,
            12 => Theme::Topics,
            13 => Theme::Recreated,
            14 => Theme::Forgetful,
            15 => Theme::OtherCluster,
            _ => Theme::Usual,
        }
    }
}

/// A local topic.
#[derive(Clone, Debug)]
pub struct TopicPlan {
    pub name: String,
    pub partitions: i32,
    pub upstream_name: String,
    pub upstream_partitions: usize,
    /// When somebody creates it upstream; `None` leaves it to the machine.
    pub upstream_at: Option<u64>,
}

/// A life.
#[derive(Clone, Debug)]
pub struct Plan {
    pub theme: Theme,
    pub config: BrokerConfig,
    pub settings: Settings,
    pub topics: Vec<TopicPlan>,
    /// Things that happen.
    pub steps: u64,
    /// Milliseconds between two of them at most.
    pub pause_ms_max: u64,
    /// Of a hundred records, so many are of a kind that upstream refuses.
    pub poison_percent: u64,
    /// Of all batches, how many come compressed, and plain are as large as a client on a busy
    /// machine makes them.
    pub packed_percent: u64,
    /// How far the wall clock is off, and how far records are dated back.
    pub wall_shift_ms: i64,
    pub dated_back_ms: i64,
    pub sync_ms: (u64, u64),
}

/// What the cluster is like.
fn settings(theme: Theme, random: &mut Random) -> Settings {
    let servers = random.pick(&[1, 2, 3, 3]);
    let age = random.pick(&[Age::Old, Age::Middle, Age::New, Age::New]);
    let replication = Replication {
        factor: servers,
        in_sync_min: random.between(1, servers as u64) as usize,
        fetch_ms: random.pick(&[1, 10, 60]),
        lag_ms_max: random.pick(&[500, 3_000]),
    };
    let second = 1_000;
    Settings {
        age,
        servers,
        replication,
        expiration_ms: random.pick(&[second, 5 * second, 60 * second, 86_400 * second]),
        expiry_check_ms: random.pick(&[300, 1_000, 3_000]),
        message_bytes_max: random.pick(&[1_500, 4_000, 100_000]),
        metadata_lag_ms: random.pick(&[0, 0, 300, 2_000]),
        write_only: theme == Theme::WriteOnly,
        creates_topics: random.chance(80),
    }
}

fn forward(settings: &Settings, random: &mut Random) -> ForwardConfig {
    let mut servers: Vec<(String, u16)> =
        (0..settings.servers).map(|at| (format!("server-{at}"), 9092 + at as u16)).collect();
    if random.chance(20) {
        servers.insert(0, ("nowhere".to_owned(), 9092));
    }
    let retry_backoff_ms = random.pick(&[10, 100, 500]);
    ForwardConfig {
        bootstrap_servers: servers,
        topic_prefix: random.pick(&["", "", "site17."]).to_owned(),
        partitions: random.pick(&[
            ForwardPartitions::Same,
            ForwardPartitions::Same,
            ForwardPartitions::Pinned,
        ]),
        create_topics: settings.creates_topics && settings.age != Age::Old,
        bandwidth_bytes_per_second: random.pick(&[0, 0, 0, 0, 0, 5_000]),
        priority: if random.chance(30) { vec![("b*".to_owned(), 3)] } else { Vec::new() },
        batch_size: random.pick(&[200, 1_000, 65_536]),
        linger_ms: random.pick(&[0, 5, 100]),
        compression_type: random.pick(&[
            ForwardCompression::Producer,
            ForwardCompression::Producer,
            ForwardCompression::Gzip,
            ForwardCompression::Lz4,
            ForwardCompression::Zstd,
        ]),
        retry_backoff_ms,
        retry_backoff_max_ms: retry_backoff_ms * random.pick(&[1, 10, 60]),
        request_timeout_ms: random.pick(&[300, 1_000, 5_000]),
        on_rejected: if random.chance(15) { OnRejected::Stop } else { OnRejected::SetAside },
        ..ForwardConfig::default()
    }
}

impl Plan {
    /// Makes it a life of clients that are busy: their batches are large before they are
    /// compressed, and as often as not the broker's times are to be written into them.
    pub fn pack(&mut self, random: &mut Random) {
        self.packed_percent = random.pick(&[30, 60]);
        if random.chance(50) {
            self.config.log_message_timestamp_type = TimestampType::LogAppendTime;
            self.config.forward.batch_size = random.pick(&[1_000, 16_384, 65_536]);
        }
    }

    /// The plan of a seed.
    pub fn new(theme: Theme, random: &mut Random) -> Plan {
        let settings = settings(theme, random);
        let forward = forward(&settings, random);
        let by_broker = random.chance(10);
        let config = BrokerConfig {
            journal_bytes: (RING_BYTES_MIN as u32) * random.pick(&[2, 4, 16]),
            log_segment_bytes: random.pick(&[4_096, 20_000, 1 << 20]),
            log_flush_interval_ms: random.pick(&[20, 300, 1_000]),
            log_message_timestamp_type: match by_broker {
                true => TimestampType::LogAppendTime,
                false => TimestampType::CreateTime,
            },
            forward,
            ..BrokerConfig::default()
        };
        let topics = ["a", "b"].iter().take(random.between(1, 2) as usize);
        let steps = random.between(10, 60);
        let pause_ms_max = random.pick(&[20, 200, 1_000]);
        let topics = topics.map(|name| {
            let partitions = random.between(1, 3) as i32;
            let same = random.chance(60);
            let other = random.between(1, 4) as usize;
            let upstream_partitions = if same { partitions as usize } else { other };
            let waits = random.chance(20);
            let late = random.below(steps * pause_ms_max / 2 + 1);
            let upstream_at = match (waits, config.forward.create_topics && random.chance(50)) {
                (_, true) => None,
                (true, _) => Some(late),
                _ => Some(0),
            };
            TopicPlan {
                name: (*name).to_owned(),
                partitions,
                upstream_name: config.forward.upstream_topic(name),
                upstream_partitions,
                upstream_at,
            }
        });
        let topics = topics.collect();
        Plan {
            theme,
            topics,
            settings,
            steps,
            pause_ms_max,
            packed_percent: 0,
            poison_percent: random.pick(&[0, 0, 0, 3, 20]),
            wall_shift_ms: random.pick(&[0, 0, 0, -1_690_000_000_000, 86_400_000]),
            dated_back_ms: random.pick(&[0, 0, 10_000_000, 200_000_000]),
            sync_ms: random.pick(&[(0, 1), (1, 10), (5, 200)]),
            config,
        }
    }
}
