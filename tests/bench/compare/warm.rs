//! Brokers before they are measured: a JVM is not itself until it has compiled what is hot.

use super::broker::Broker;
use super::load::{Batch, Client};
use super::options::Options;
use super::produce::IN_FLIGHT;
use std::time::{Duration, Instant};

/// A second like the best one before is one in which nothing was compiled: within so much.
const SETTLED: f64 = 1.1;
/// So many settled seconds, one after the other, and it is warm.
const SETTLED_SECONDS: usize = 3;
/// Seconds after which it is taken as it is.
const SECONDS_MAX: u64 = 30;
const SECONDS_MAX_QUICK: u64 = 8;

/// Sends small and large batches, under both acks, until they get no cheaper.
pub fn warm_up(broker: &Broker, options: &Options) {
    // The same process has been warmed up as another contender, or needs no warming up.
    if !broker.is_kafka || !broker.topic_settings.is_empty() {
        return;
    }
    let mut client = Client::connect(broker.address);
    let topic = client.create_topic(&[]);
    let requests: Vec<Vec<u8>> = [(1, 1), (-1, 1), (1, 15), (-1, 150)]
        .iter()
        .map(|(acks, records)| Batch::of_records(*records, 1024).request(&topic, *acks))
        .collect();
    let maximum = if options.quick { SECONDS_MAX_QUICK } else { SECONDS_MAX };
    let (began, mut best, mut settled) = (Instant::now(), f64::MAX, 0);
    while settled < SETTLED_SECONDS && began.elapsed().as_secs() < maximum {
        let (before, mut sent) = (broker.cpu(), 0);
        for request in &requests {
            sent += client.pipeline(request, IN_FLIGHT, Duration::from_millis(250)).requests;
        }
        let cost = before.until(&broker.cpu()) / sent as f64;
        settled = if cost < best * SETTLED { settled + 1 } else { 0 };
        best = best.min(cost);
    }
    client.delete_topic(&topic);
}
