//! The settings of forwarding to an upstream cluster, as values that the rest of the program reads.
//!
//! Promises: [`ForwardConfig::default`] is complete and forwards nothing; a topic's class, name
//! upstream and whether it goes there at all depend on nothing but its name.
//!
//! Absent: parsing (`forward_values`) and the table (`forward_keys`).

/// Which upstream partition a local one goes to (`forward.partitions`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ForwardPartitions {
    /// The one with the same number, modulo the count if upstream has fewer.
    #[default]
    Same,
    /// One chosen by a hash of cluster id and partition, and remembered.
    Pinned,
}

impl ForwardPartitions {
    /// The words of `forward.partitions`.
    pub const WORDS: &'static [&'static str] = &["same", "pinned"];

    /// Reads one of the words.
    pub fn from_text(text: &str) -> ForwardPartitions {
        match text {
            "pinned" => ForwardPartitions::Pinned,
            _ => ForwardPartitions::Same,
        }
    }

    /// The word for it.
    pub fn as_text(self) -> &'static str {
        match self {
            ForwardPartitions::Same => "same",
            ForwardPartitions::Pinned => "pinned",
        }
    }
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

impl ForwardCompression {
    /// The words of `forward.compression.type`.
    pub const WORDS: &'static [&'static str] = &["producer", "gzip", "lz4", "zstd"];

    /// Reads one of the words.
    pub fn from_text(text: &str) -> ForwardCompression {
        match text {
            "gzip" => ForwardCompression::Gzip,
            "lz4" => ForwardCompression::Lz4,
            "zstd" => ForwardCompression::Zstd,
            _ => ForwardCompression::Producer,
        }
    }

    /// The word for it.
    pub fn as_text(self) -> &'static str {
        match self {
            ForwardCompression::Producer => "producer",
            ForwardCompression::Gzip => "gzip",
            ForwardCompression::Lz4 => "lz4",
            ForwardCompression::Zstd => "zstd",
        }
    }
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

impl OnRejected {
    /// The words of `forward.on.rejected`.
    pub const WORDS: &'static [&'static str] = &["set-aside", "stop"];

    /// Reads one of the words.
    pub fn from_text(text: &str) -> OnRejected {
        match text {
            "stop" => OnRejected::Stop,
            _ => OnRejected::SetAside,
        }
    }

    /// The word for it.
    pub fn as_text(self) -> &'static str {
        match self {
            OnRejected::SetAside => "set-aside",
            OnRejected::Stop => "stop",
        }
    }
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
///
/// Only the last star that was passed is ever gone back to, so that no pattern takes more than
/// the product of both lengths.
fn fits(pattern: &str, name: &str) -> bool {
    let (pattern, name) = (pattern.as_bytes(), name.as_bytes());
    let (mut at, mut from) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while from < name.len() {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at, from));
                at += 1;
            }
            Some(same) if *same == name[from] => (at, from) = (at + 1, from + 1),
            _ => {
                let Some((behind, taken)) = star else { return false };
                star = Some((behind, taken + 1));
                (at, from) = (behind + 1, taken + 1);
            }
        }
    }
    pattern[at..].iter().all(|b| *b == b'*')
}

/// How the topics end in which batches are set aside.
pub const REJECTED_SUFFIX: &str = ".rejected";

impl ForwardConfig {
    /// Whether this topic goes upstream; none does without an upstream cluster. What was set
    /// aside does only when it is named literally, since upstream has refused it once.
    pub fn forwards(&self, topic: &str) -> bool {
        let named = |pattern: &String| match topic.ends_with(REJECTED_SUFFIX) {
            true => pattern == topic,
            false => fits(pattern, topic),
        };
        !self.bootstrap_servers.is_empty()
            && self.topics.iter().any(named)
            && !self.topics_exclude.iter().any(|pattern| fits(pattern, topic))
    }

    /// The topic's name upstream. With a long prefix it may be longer than Kafka takes.
    pub fn upstream_topic(&self, topic: &str) -> String {
        self.upstream_topic_parts(topic).concat()
    }

    /// The same in two parts, one behind the other.
    pub fn upstream_topic_parts<'a>(&'a self, topic: &'a str) -> [&'a str; 2] {
        match self.topic_rename.iter().find(|(from, _)| from == topic) {
            Some((_, to)) => ["", to],
            None => [&self.topic_prefix, topic],
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
    fn a_star_stands_for_any_characters_also_for_none() {
        for (pattern, name) in [
            ("*", "a"),
            ("*", ""),
            ("a*", "a"),
            ("a*c", "abcbc"),
            ("*b*", "abc"),
            ("a**", "a"),
            ("a.b", "a.b"),
            ("*.x", "a.x.x"),
        ] {
            assert!(fits(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in
            [("", "a"), ("a", "ab"), ("a", ""), ("a*c", "abcb"), ("a.b", "axb"), ("*x", "xa")]
        {
            assert!(!fits(pattern, name), "{pattern} {name}");
        }
    }

    #[test]
    fn a_hostile_pattern_takes_no_time() {
        assert!(!fits(&"*a".repeat(120), &"b".repeat(249)));
        assert!(!fits(&format!("{}b", "a*".repeat(120)), &"a".repeat(249)));
    }

    #[test]
    fn patterns_say_what_goes_upstream() {
        let one = vec![("up".to_owned(), 9092)];
        let mut config = ForwardConfig { bootstrap_servers: one, ..ForwardConfig::default() };
        assert!(config.forwards("a") && !config.forwards("a.rejected"));
        config.topics = vec!["s*.x".into(), "a.rejected".into(), "*.rejected".into()];
        config.topics_exclude = vec!["sb*".into()];
        assert!(config.forwards("sa.x") && config.forwards("a.rejected"));
        assert!(!config.forwards("sb.x") && !config.forwards("sa.y") && !config.forwards("a"));
        assert!(!config.forwards("b.rejected"));
        assert!(!ForwardConfig::default().forwards("a"));
    }

    #[test]
    fn a_rename_wins_over_the_prefix_and_the_first_class_over_the_others() {
        let config = ForwardConfig {
            topic_prefix: "site17.".into(),
            topic_rename: vec![("a".into(), "b".into())],
            priority: vec![("a*".into(), 3), ("ab".into(), 9), ("c".into(), -1)],
            ..ForwardConfig::default()
        };
        assert_eq!(["a", "ab"].map(|topic| config.upstream_topic(topic)), ["b", "site17.ab"]);
        assert_eq!(["ab", "c", "x"].map(|topic| config.priority_of(topic)), [3, -1, 0]);
    }

    #[test]
    fn every_word_is_read_back() {
        for word in ForwardPartitions::WORDS {
            assert_eq!(ForwardPartitions::from_text(word).as_text(), *word);
        }
        for word in ForwardCompression::WORDS {
            assert_eq!(ForwardCompression::from_text(word).as_text(), *word);
        }
        for word in OnRejected::WORDS {
            assert_eq!(OnRejected::from_text(word).as_text(), *word);
        }
    }
}
