//! ottla: a Kafka-protocol broker for small ARM boards.

pub mod disk;
pub mod wire;
