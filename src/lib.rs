//! ottla: a Kafka-protocol broker for small ARM boards.

pub mod api;
pub mod broker;
pub mod cli;
pub mod client;
pub mod config;
pub mod disk;
pub mod limits;
pub mod server;
pub mod state;
pub mod storage;
pub mod time;
pub mod wire;
