//! Settings: text in, values and remarks out.
//!
//! Settings carry Kafka's names, units and ranges. They come from a file (TOML with Kafka's
//! dotted keys, or a `server.properties`), from `--set`, `--listen` and `--data`, in this order;
//! topics add their own. Reading order: `value`, `broker_keys`, `topic_keys`, `topic`, `load`.
//!
//! Promises: [`BrokerConfig::default`] is complete; whatever text comes in, the answer is a
//! legal configuration or a list of errors that name place, setting and what is allowed.
//!
//! Absent: opening files, and changing the broker's settings while it runs.

mod board;
mod broker;
mod broker_keys;
mod describe;
mod elsewhere;
mod error;
mod file;
mod forward;
mod forward_keys;
mod forward_values;
mod listener;
mod load;
mod properties;
mod suggest;
mod topic;
mod topic_keys;
mod value;

pub use board::{BOARD_DEFAULT, BOARDS, board_for, board_named, board_names, read_board};
pub use broker::{BrokerConfig, CleanupPolicy, FullPolicy, SyncPolicy, TimestampType};
pub use broker_keys::{BROKER_KEYS, BrokerKey};
pub use describe::{ConfigEntry, ConfigSource, Described, Synonym, figure};
pub use error::{ConfigError, Level, Note, Reason};
pub use forward::{ForwardCompression, ForwardConfig, ForwardPartitions, OnRejected};
pub use listener::Listener;
pub use load::load;
pub use topic::{AlterOperation, EffectiveTopicConfig, TopicOverrides};
pub use topic_keys::{TOPIC_KEYS, TopicKey};
pub use value::{Allowed, ValueType};
