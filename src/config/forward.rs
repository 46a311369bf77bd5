//! The settings of forwarding to an upstream cluster, as values that the rest of the program reads.
//!
//! Promises: [`ForwardConfig::default`] is complete and forwards nothing; a topic's class, name
//! upstream and whether it goes there at all depend on nothing but its name.
//!
//! Absent: parsing and checking.

/// Which upstream partition a local one goes to (`forward.partitions`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ForwardPartitions {
    /// The one with the same number, modulo the count if upstream has fewer.
    #[default]
    Same,
    /// One chosen by a hash of cluster id and partition, and remembered.
    Pinned,
}

/// How merged batches are compressed (`forward.compression.type`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ForwardCompression {
    /// As stored.
    #[default]
    Producer,
    /// gzip.
    Gzip,
    /// lz4, in its frame format.
    Lz4,
    /// zstd.
    Zstd,
}

/// What happens to a batch that upstream will never take (`forward.on.rejected`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnRejected {
    /// It goes into the local topic `<topic>.rejected`, and the rest goes on.
    #[default]
    SetAside,
    /// The topic's forwarding stops.
    Stop,
}

/// All settings of forwarding; each is the setting `forward.…` of the same name.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the table of settings documents each once")]
pub struct ForwardConfig {
    /// Empty: no forwarding.
    pub bootstrap_servers: Vec<(String, u16)>,
    pub topics: Vec<String>,
    pub topics_exclude: Vec<String>,
    pub topic_prefix: String,
    pub topic_rename: Vec<(String, String)>,
    pub partitions: ForwardPartitions,
    pub create_topics: bool,
    /// 0: no cap.
    pub bandwidth_bytes_per_second: u64,
    /// The first pattern that fits counts; a topic without one is of class 0, higher goes first.
    pub priority: Vec<(String, i32)>,
    pub batch_size: u32,
    pub linger_ms: u64,
    pub compression_type: ForwardCompression,
    pub retry_backoff_ms: u64,
    pub retry_backoff_max_ms: u64,
    pub request_timeout_ms: u64,
    pub on_rejected: OnRejected,
    pub client_id: String,
}

impl Default for ForwardConfig {
    fn default() -> ForwardConfig {
        ForwardConfig {
            bootstrap_servers: Vec::new(),
            topics: vec!["*".to_owned()],
            topics_exclude: Vec::new(),
            topic_prefix: String::new(),
            topic_rename: Vec::new(),
            partitions: ForwardPartitions::Same,
            create_topics: false,
            bandwidth_bytes_per_second: 0,
            priority: Vec::new(),
            batch_size: 65_536,
            linger_ms: 100,
            compression_type: ForwardCompression::Producer,
            retry_backoff_ms: 500,
            retry_backoff_max_ms: 60_000,
            request_timeout_ms: 30_000,
            on_rejected: OnRejected::SetAside,
            client_id: "ottla-forward".to_owned(),
        }
    }
}

/// Whether `name` fits `pattern`, in which `*` stands for any characters.
fn fits(pattern: &str, name: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else { return pattern == name };
    let Some(name) = name.strip_prefix(head) else { return false };
    (0..=name.len()).filter_map(|at| name.get(at..)).any(|tail| fits(rest, tail))
}

impl ForwardConfig {
    /// Whether this topic goes upstream. `*.rejected` topics only do when named literally.
    pub fn forwards(&self, topic: &str) -> bool {
        let named = |pattern: &String| match topic.ends_with(".rejected") {
            true => pattern == topic,
            false => fits(pattern, topic),
        };
        !self.bootstrap_servers.is_empty()
            && self.topics.iter().any(named)
            && !self.topics_exclude.iter().any(|pattern| fits(pattern, topic))
    }

    /// The topic's name upstream.
    pub fn upstream_topic(&self, topic: &str) -> String {
        let renamed = self.topic_rename.iter().find(|(from, _)| from == topic);
        match renamed {
            Some((_, to)) => to.clone(),
            None => format!("{}{topic}", self.topic_prefix),
        }
    }

    /// The topic's class: higher goes first.
    pub fn priority_of(&self, topic: &str) -> i32 {
        let found = self.priority.iter().find(|(pattern, _)| fits(pattern, topic));
        found.map_or(0, |(_, class)| *class)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_say_what_goes_upstream() {
        let one = vec![("up".to_owned(), 9092)];
        let mut config = ForwardConfig { bootstrap_servers: one, ..ForwardConfig::default() };
        assert!(config.forwards("a") && !config.forwards("a.rejected"));
        config.topics = vec!["s*.x".into(), "a.rejected".into()];
        config.topics_exclude = vec!["sb*".into()];
        assert!(config.forwards("sa.x") && config.forwards("a.rejected"));
        assert!(!config.forwards("sb.x") && !config.forwards("sa.y") && !config.forwards("a"));
        assert!(!ForwardConfig::default().forwards("a"));
    }
}
