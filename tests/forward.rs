//! The forwarder's life: the machine on a simulated disk, network, clock and upstream cluster.
#![expect(clippy::unwrap_used, reason = "a panic is how a test says what is wrong")]

#[path = "forward/answers.rs"]
mod answers;
#[path = "forward/cluster.rs"]
mod cluster;
#[path = "forward/codes.rs"]
mod codes;
#[path = "forward/network.rs"]
mod network;
#[path = "forward/partition.rs"]
mod partition;
#[path = "forward/producers.rs"]
mod producers;
#[path = "forward/random.rs"]
mod random;
#[path = "forward/records.rs"]
mod records;
#[path = "forward/requests.rs"]
mod requests;
#[path = "forward/upstream_tests.rs"]
mod upstream_tests;
