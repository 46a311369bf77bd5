//! Requests take no memory and give none back: allocations and frees are counted, one by one.
//!
//! `client` drives a broker on the real disk through its connections, bytes in and bytes out,
//! with every sync in between; `requests` is what it is asked, in the newest versions;
//! `over_sockets` counts the whole server. After a warm-up, in which lists and buffers grow to what
//! the load needs, each of `REQUESTS` requests may do nothing to the heap.
//!
//! Counted apart, with a number of their own, because they are rare and allocate by design: a
//! checkpoint (it encodes the whole state), and a request that begins a segment or opens an older
//! one (it opens two files, by name).
//! `merging` counts what forwarding takes to make its batches.
//! Absent: memory that the kernel takes, and the helper thread of a real server, which only syncs.

mod administration;
mod client;
mod every_key;
mod forwarder;
mod group_requests;
mod groups;
mod merging;
mod over_sockets;
mod requests;
mod server;

use client::{Count, World};
use requests::{Ask, Producing};

/// Requests of each kind that are counted, unless `NO_ALLOC_REQUESTS` in the environment says how
/// many.
const REQUESTS: usize = 10_000;
/// Requests of each kind before that. The journal's memory has its largest size when a frame had to
/// be moved from the ring's end to its start at the wrong moment, once in about 500 records.
const WARM_UP: usize = 3_000;
/// Requests that a client has in flight where the answer waits for a sync: as Kafka's producer.
const IN_FLIGHT: usize = 5;
/// Bytes of a record.
const RECORD_BYTES: usize = 16 * 1024;
/// Nothing.
const NONE: Count = Count { allocations: 0, frees: 0 };

/// How many requests of each kind are counted.
fn requests_counted() -> usize {
    let wanted = std::env::var("NO_ALLOC_REQUESTS").ok();
    wanted.map_or(REQUESTS, |count| count.parse().expect("NO_ALLOC_REQUESTS is a number"))
}

/// What requests cost: those counted by themselves, and those that opened a segment.
struct Costs {
    plain: Count,
    opening: Vec<Count>,
    checkpoints: Vec<Count>,
}

/// Sends requests, `in_flight` at a time, and counts after the warm-up.
fn costs(
    world: &mut World,
    requests: usize,
    in_flight: usize,
    mut next: impl FnMut(&World) -> Ask,
) -> Costs {
    let mut costs = Costs { plain: NONE, opening: Vec::new(), checkpoints: Vec::new() };
    let mut sent = 0;
    while sent < WARM_UP.min(requests) + requests {
        let asks: Vec<Ask> = (0..in_flight).map(|_| next(world)).collect();
        let (count, opened) = world.round(&asks);
        let checkpoint = world.checkpoint();
        sent += in_flight;
        if sent <= WARM_UP.min(requests) {
            continue;
        }
        costs.checkpoints.extend(checkpoint);
        match opened {
            true => costs.opening.push(count),
            false => costs.plain += count,
        }
    }
    costs
}

/// The same for requests that wait for nothing and open nothing.
fn cost(next: impl FnMut(&World) -> Ask) -> Count {
    let mut world = World::new();
    world.fill(20);
    let costs = costs(&mut world, REQUESTS, 1, next);
    assert!(costs.opening.is_empty());
    costs.plain
}

/// The largest number of allocations among these.
fn most(counts: &[Count]) -> Option<u64> {
    counts.iter().map(|count| count.allocations).max()
}

fn produce(acks: i16) {
    let mut world = World::new();
    let mut producing = Producing::new(acks, RECORD_BYTES);
    let costs = costs(&mut world, REQUESTS, IN_FLIGHT, |_| producing.next());
    assert_eq!(costs.plain, NONE);
    assert!(!costs.opening.is_empty() && !costs.checkpoints.is_empty());
    println!(
        "acks={acks}: {} segments begun, {:?} allocations at most, {} checkpoints, {:?} at most",
        costs.opening.len(),
        most(&costs.opening),
        costs.checkpoints.len(),
        most(&costs.checkpoints),
    );
    assert!(most(&costs.opening) <= Some(client::SEGMENT_ALLOCATIONS_MAX));
    assert!(most(&costs.checkpoints) <= Some(client::CHECKPOINT_ALLOCATIONS_MAX));
}

#[test]
fn the_counter_sees_a_single_allocation_and_a_single_free() {
    let kept = std::hint::black_box(vec![0_u8; 100]);
    let count = Count::of(|| drop(std::hint::black_box(vec![0_u8; 10])));
    assert_eq!(count, Count { allocations: 1, frees: 1 });
    assert_eq!(Count::of(|| drop(kept)), Count { allocations: 0, frees: 1 });
}

#[test]
fn produce_that_waits_for_no_sync() {
    produce(1);
}

#[test]
fn produce_that_waits_for_a_sync() {
    produce(-1);
}

#[test]
fn produce_of_batches_that_skip_the_journal() {
    let mut world = World::new();
    let mut producing = Producing::new(-1, 150 * 1024);
    let costs = costs(&mut world, 200, 2, |_| producing.next());
    assert_eq!(costs.plain, NONE);
    assert!(!costs.opening.is_empty());
}

#[test]
fn fetch_of_what_is_there() {
    let mut world = World::new();
    let records = 3_000;
    world.fill(records);
    let mut number = 0;
    let costs = costs(&mut world, REQUESTS, 1, |_| {
        number += 1;
        requests::fetch(number % records as i64, 0)
    });
    assert_eq!(costs.plain, NONE);
    println!(
        "{} segments opened, {:?} allocations at most",
        costs.opening.len(),
        most(&costs.opening)
    );
    assert!(!costs.opening.is_empty(), "it went through several segments");
    assert!(most(&costs.opening) <= Some(client::SEGMENT_ALLOCATIONS_MAX));
}

#[test]
fn fetch_that_waits_for_records() {
    let mut world = World::new();
    let mut producing = Producing::new(1, 100);
    let (mut fetches, mut cost) = (0, NONE);
    while fetches < WARM_UP + REQUESTS {
        let count = world.wait_and_wake(&producing.next());
        world.checkpoint();
        fetches += client::CONSUMERS;
        if fetches > WARM_UP {
            cost += count;
        }
    }
    assert_eq!(cost, NONE);
}

#[test]
fn metadata_of_one_topic() {
    assert_eq!(cost(|_| requests::metadata()), NONE);
}

#[test]
fn list_offsets_of_the_ends() {
    assert_eq!(cost(|_| requests::list_offsets(-1)), NONE);
    assert_eq!(cost(|_| requests::list_offsets(-2)), NONE);
}

/// In small batches, in one of nearly a megabyte, in the middle of that and behind it, and in a
/// compressed one; and the largest moment, which is searched for.
#[test]
fn list_offsets_of_a_moment() {
    let mut world = World::new();
    world.fill(20);
    let large = |first, codec| requests::produce_large(900, 1_000, first, codec);
    for ask in [large(10_000, 0), large(20_000, 2), large(30_000, 0)] {
        world.round(&[ask]);
    }
    for moment in [1_000, 10_000, 10_450, 10_899, 10_900, 20_500, 30_899, 31_000, -3] {
        let ask = |_: &World| requests::list_offsets(moment);
        let costs = costs(&mut world, 1_000, 1, ask);
        assert_eq!(costs.plain, NONE, "{moment}");
        assert!(costs.opening.is_empty());
    }
}

#[test]
fn heartbeat() {
    assert_eq!(cost(|world| requests::heartbeat(&world.member)), NONE);
}

#[test]
fn offset_commit() {
    let mut world = World::new();
    let mut offset = 0;
    let costs = costs(&mut world, REQUESTS, IN_FLIGHT, |world| {
        offset += 1;
        requests::offset_commit(&world.member, offset)
    });
    assert_eq!(costs.plain, NONE);
}

#[test]
fn offset_fetch() {
    assert_eq!(cost(|_| requests::offset_fetch()), NONE);
}

#[test]
fn find_coordinator() {
    assert_eq!(cost(|_| requests::find_coordinator()), NONE);
}

#[test]
fn api_versions() {
    assert_eq!(cost(|_| requests::api_versions()), NONE);
}

#[test]
fn init_producer_id() {
    assert_eq!(cost(|_| requests::init_producer_id()), NONE);
}
