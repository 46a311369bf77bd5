//! The whole server on one thread, asked over a real socket.
//!
//! Promises: the event loop, its timers and sockets, and handing syncs to the helper thread are in
//! the count, and so is a client that is a task of the same event loop. Starting, connecting and
//! stopping are not.

use crate::administration::{
    alter_configs, create_partitions, create_topics, delete_topics, describe_configs,
    incremental_alter_configs,
};
use crate::client::Count;
use crate::requests::{self, Ask, Producing};
use ottla::broker::{self, NewTopic};
use ottla::config::{BrokerConfig, Listener};
use ottla::disk::os::OsDisk;
use ottla::server::{self, Clock, Server};
use std::io::ErrorKind;
use std::path::Path;
use std::rc::Rc;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

/// Requests before those that are counted.
const FIRST: usize = 2_000;
/// Requests that are counted.
const REQUESTS: usize = 3_000;
/// Bytes of the journal: large enough for no checkpoint to be due, since each sync takes 4 KiB.
const JOURNAL_BYTES: u32 = 64 << 20;

/// Sends a request and waits for its answer.
async fn ask(socket: &TcpStream, ask: &Ask, answer: &mut [u8]) {
    let mut sent = 0;
    while sent < ask.frame.len() {
        socket.writable().await.expect("the server is there");
        match socket.try_write(&ask.frame[sent..]) {
            Ok(count) => sent += count,
            Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
        }
    }
    let mut received = 0;
    loop {
        let head = answer[..received].first_chunk::<4>();
        let whole = head.map(|length| 4 + i32::from_be_bytes(*length) as usize);
        if whole == Some(received) {
            return ask.check(&answer[..received]);
        }
        socket.readable().await.expect("the server is there");
        match socket.try_read(&mut answer[received..]) {
            Ok(0) => panic!("the server has closed"),
            Ok(count) => received += count,
            Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
        }
    }
}

/// What these requests do to the heap, the server's part and the client's, but for the first
/// `FIRST` of them.
fn cost(asks: &[Ask]) -> Count {
    let directory = tempfile::tempdir().expect("a directory");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime");
    let local = tokio::task::LocalSet::new();
    let (server, running, socket) = local.block_on(&runtime, start(directory.path()));
    let mut answer = vec![0; 64 * 1024];
    let mut send = |asks: &[Ask]| {
        local.block_on(&runtime, async {
            for one in asks {
                ask(&socket, one, &mut answer).await;
            }
        });
    };
    send(&asks[..FIRST]);
    let count = Count::of(|| send(&asks[FIRST..]));
    drop(socket);
    server.stop();
    local.block_on(&runtime, running).expect("an orderly end");
    count
}

/// A server that runs, and a connection to it.
async fn start(directory: &Path) -> (Rc<Server>, JoinHandle<()>, TcpStream) {
    let clock = Clock::start();
    let disk = OsDisk::open(directory).expect("a data directory");
    let host = Some("127.0.0.1".to_owned());
    let listener = Listener { name: "PLAINTEXT".to_owned(), host, port: 0 };
    let config = BrokerConfig {
        listeners: vec![listener],
        journal_bytes: JOURNAL_BYTES,
        ..BrokerConfig::default()
    };
    let opened = broker::open(Rc::new(disk), config, 42, clock.now());
    let mut broker = opened.expect("it opens").broker;
    let new = NewTopic { name: "t", partitions: 1, replication_factor: 1, ..NewTopic::default() };
    broker.create_topic(new, clock.now()).expect("a new topic");
    let bound = server::bind(broker.config()).await.expect("a port");
    let address = bound[0].address;
    let server = Server::new(broker, clock);
    let running = server.clone();
    let running = tokio::task::spawn_local(async move { running.run(bound).await });
    let socket = TcpStream::connect(address).await.expect("a connection");
    (server, running, socket)
}

/// What the requests of a cycle do to the heap, repeated until they are `requests`, after the first
/// `FIRST`; the log has some records then.
fn cost_of_cycle(cycle: &[Ask], requests: usize) -> Count {
    let directory = tempfile::tempdir().expect("a directory");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime");
    let local = tokio::task::LocalSet::new();
    let (server, running, socket) = local.block_on(&runtime, start(directory.path()));
    let mut answer = vec![0; 64 * 1024];
    let mut producing = Producing::new(-1, 100);
    let records: Vec<Ask> = (0..10).map(|_| producing.next()).collect();
    let mut send = |asks: &[Ask], count: usize| {
        local.block_on(&runtime, async {
            for one in asks.iter().cycle().take(count) {
                ask(&socket, one, &mut answer).await;
            }
        });
    };
    send(&records, records.len());
    send(cycle, FIRST.min(requests));
    let count = Count::of(|| send(cycle, requests));
    drop(socket);
    server.stop();
    local.block_on(&runtime, running).expect("an orderly end");
    count
}

fn asks(mut next: impl FnMut() -> Ask) -> Vec<Ask> {
    (0..FIRST + REQUESTS).map(|_| next()).collect()
}

/// A call of `block_on` makes a list of the tasks that yielded in it, at the first of them. That is
/// all, however many requests there are.
fn assert_nothing_per_request(count: Count) {
    assert!(count.allocations <= 1 && count.frees <= 1, "{REQUESTS} requests: {count:?}");
}

#[test]
fn produce_over_a_socket_that_waits_for_a_sync() {
    let mut producing = Producing::new(-1, 100);
    assert_nothing_per_request(cost(&asks(|| producing.next())));
}

#[test]
fn produce_over_a_socket_that_waits_for_no_sync() {
    let mut producing = Producing::new(1, 100);
    assert_nothing_per_request(cost(&asks(|| producing.next())));
}

#[test]
fn metadata_over_a_socket() {
    assert_nothing_per_request(cost(&asks(requests::metadata)));
}

/// Every API key that only asks, or changes what is changed back, one after the other.
#[test]
fn a_hundred_thousand_requests_of_all_keys_over_a_socket() {
    let cycle = [
        requests::fetch(3, 0),
        requests::list_offsets(-1),
        requests::metadata(),
        requests::find_coordinator(),
        requests::api_versions(),
        requests::init_producer_id(),
        requests::offset_for_leader_epoch(),
        requests::describe_cluster(),
        requests::list_groups(),
        requests::describe_groups(),
        requests::offset_fetch(),
        requests::describe_producers(),
        requests::describe_topic_partitions(),
        describe_configs(4, "1", None),
        describe_configs(2, "t", None),
        create_topics(&["u", "v"], false),
        create_partitions("v", 3),
        alter_configs("u"),
        incremental_alter_configs("v"),
        delete_topics(&["v", "u"]),
    ];
    let count = cost_of_cycle(&cycle, 100_000);
    assert!(count.allocations <= 1 && count.frees <= 1, "{count:?}");
}

#[test]
fn long_polls_over_a_socket() {
    let count = cost_of_cycle(&[requests::fetch_in_vain(10, 1)], 3_000);
    assert!(count.allocations <= 1 && count.frees <= 1, "{count:?}");
}
