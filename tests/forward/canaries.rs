//! Planted bugs: what the lives are for is seen by them, also where the promise has exceptions.
//!
//! Two are put around the machine (`bugs`). Four are done to upstream: acknowledged batches that
//! are dropped, and logs in which a batch is missing, there twice, or before the one it follows.

use crate::bugs::{ahead, hasty};
use crate::cluster::Cluster;
use crate::gateway::{Make, honest};
use crate::partition::Replica;
use crate::plan::Theme;
use crate::records;
use crate::{Tamper, live_all};
use ottla::wire::batch;
use std::rc::Rc;

fn dropped(cluster: &mut Cluster, at_the_end: bool) {
    cluster.drop_percent = if at_the_end { 0 } else { 3 };
}

/// The first leader with two batches of one lane behind one another, and where.
fn two_of_a_lane(cluster: &mut Cluster) -> Option<(&mut Replica, usize)> {
    let lane = |stored: &crate::partition::Stored| {
        let header = batch::check_stored(&stored.bytes).expect("as it was taken");
        records::decode(&stored.bytes, &header)[0].mark().0
    };
    let partitions = cluster.topics.values_mut().flat_map(|topic| &mut topic.partitions);
    for partition in partitions {
        let Some(leader) = partition.leader else { continue };
        let log = &partition.replicas[leader].log;
        let ours = |at: &usize| {
            let (one, other) = (lane(&log[*at]), lane(&log[*at + 1]));
            one == other && one != 0xffff
        };
        if let Some(at) = (0..log.len().saturating_sub(1)).find(ours) {
            return Some((&mut partition.replicas[leader], at));
        }
    }
    None
}

fn lost(cluster: &mut Cluster, at_the_end: bool) {
    if let Some((leader, at)) = two_of_a_lane(cluster).filter(|_| at_the_end) {
        leader.log.remove(at + 1);
    }
}

fn repeated(cluster: &mut Cluster, at_the_end: bool) {
    if let Some((leader, at)) = two_of_a_lane(cluster).filter(|_| at_the_end) {
        let twice = leader.log[at].clone();
        leader.log.insert(at + 1, twice);
    }
}

fn swapped(cluster: &mut Cluster, at_the_end: bool) {
    if let Some((leader, at)) = two_of_a_lane(cluster).filter(|_| at_the_end) {
        leader.log.swap(at, at + 1);
    }
}

fn altered(cluster: &mut Cluster, at_the_end: bool) {
    let Some((leader, at)) = two_of_a_lane(cluster).filter(|_| at_the_end) else { return };
    let stored = &mut leader.log[at];
    let header = batch::check_stored(&stored.bytes).expect("as it was taken");
    let mut bytes = stored.bytes.to_vec();
    // A timestamp moves by a millisecond, and the batch is sealed again.
    bytes[34] ^= 1;
    let header = batch::BatchHeader { base_timestamp: header.base_timestamp ^ 1, ..header };
    batch::seal(&mut bytes, &header);
    stored.bytes = Rc::from(bytes);
}

fn nothing(_: &mut Cluster, _: bool) {}

/// The bug, and of how many lives so many at least must see it.
const PLANTED: &[(&str, Make, Tamper, u64, usize)] = &[
    ("cursors ahead of acknowledgements", ahead, nothing, 160, 20),
    ("nothing is in doubt after a start", hasty, nothing, 800, 1),
    ("acknowledged and dropped", honest, dropped, 64, 16),
    ("a batch is lost", honest, lost, 64, 20),
    ("a batch is there twice", honest, repeated, 64, 20),
    ("two batches are swapped", honest, swapped, 64, 20),
    ("a timestamp is another", honest, altered, 64, 20),
];

#[test]
fn planted_bugs_are_caught() {
    let mut missed = Vec::new();
    for (bug, make, tamper, lives, at_least) in PLANTED {
        let (_, failed) = live_all(0..*lives, *make, *tamper);
        println!("{bug}: caught by {} of {lives} lives", failed.len());
        for (_, what) in failed.iter().take(2) {
            println!("    {}", what.lines().next().unwrap_or_default());
        }
        if failed.len() < *at_least {
            missed.push(*bug);
        }
    }
    assert!(missed.is_empty(), "not caught: {missed:?}");
}

/// What lives must see where somebody moves lanes by hand, though records may be there repeatedly
/// then and in another order.
const PLANTED_IN_SEEKS: &[(&str, Make, Tamper, usize)] = &[
    ("cursors ahead of acknowledgements", ahead, nothing, 10),
    ("acknowledged and dropped", honest, dropped, 10),
    ("a batch is lost", honest, lost, 10),
    ("a batch is there twice", honest, repeated, 10),
    ("two batches are swapped", honest, swapped, 10),
    ("a timestamp is another", honest, altered, 20),
];

#[test]
fn planted_bugs_are_caught_where_somebody_moves_lanes() {
    let seeds = (0..1_600).filter(|seed| Theme::of(*seed) == Theme::Seek).collect::<Vec<_>>();
    for (bug, make, tamper, at_least) in PLANTED_IN_SEEKS {
        let fails = |seed: &&u64| !live_all(**seed..**seed + 1, *make, *tamper).1.is_empty();
        let failed = seeds.iter().filter(fails).count();
        println!("{bug}: caught by {failed} of {} lives", seeds.len());
        assert!(failed >= *at_least, "{bug}: caught by {failed}");
    }
}
