//! What a server allocates: all of it when it is made, as the ledger says, and a stated little for
//! each connection that it accepts.

use ottla::broker;
use ottla::config::{BrokerConfig, Listener};
use ottla::disk::os::OsDisk;
use ottla::limits::{Board, CONNECTION_TASK_BYTES, Ledger, Sizes};
use ottla::server::{self, Clock, Server};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

fn config(board: &Board) -> BrokerConfig {
    let host = Some("127.0.0.1".to_owned());
    let listener = Listener { name: "PLAINTEXT".to_owned(), host, port: 0 };
    BrokerConfig { listeners: vec![listener], ..BrokerConfig::of(board) }
}

fn open(directory: &Path, board: &Board) -> (broker::Broker, Clock) {
    let clock = Clock::start();
    let disk = OsDisk::open(directory).expect("a data directory");
    let opened = broker::open(Rc::new(disk), config(board), 42, clock.now());
    (opened.expect("it opens").broker, clock)
}

#[test]
fn opening_a_server_takes_what_the_ledger_says() {
    let small = Board { memory_bytes: 6 << 20, connections: 32, ..Board::DEFAULT };
    for board in [small, Board::DEFAULT, Board::DESKTOP] {
        let directory = tempfile::tempdir().expect("a directory");
        let (broker, clock) = open(directory.path(), &board);
        let sizes = Sizes::of(&board);
        let mut ledger = Ledger::default();
        Server::account(&sizes, &mut ledger);
        let mut server = None;
        let info = allocation_counter::measure(|| server = Some(Server::new(broker, clock)));
        let in_seats = (sizes.connections * CONNECTION_TASK_BYTES) as u64;
        println!("{} connections: {info:?} of {}", sizes.connections, ledger.bytes());
        for row in ledger.rows() {
            println!("  {} {} x {}", row.what, row.count, row.bytes_each);
        }
        // The tasks come with the connections. The broker moves into the server.
        assert!(info.bytes_max <= ledger.bytes() - in_seats, "{info:?}");
        assert!(info.bytes_max * 10 > (ledger.bytes() - in_seats) * 8, "it is accounted for twice");
    }
}

#[test]
fn an_accepted_connection_takes_a_stated_little_and_gives_it_back() {
    const COUNT: usize = 100;
    let directory = tempfile::tempdir().expect("a directory");
    let (broker, clock) = open(directory.path(), &Board::DEFAULT);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime");
    let local = tokio::task::LocalSet::new();
    let (server, running, address) = local.block_on(&runtime, async {
        let bound = server::bind(broker.config()).await.expect("a port");
        let address = bound[0].address;
        let server = Server::new(broker, clock);
        let running = server.clone();
        (server, tokio::task::spawn_local(async move { running.run(bound).await }), address)
    });
    let pause = || {
        local.block_on(&runtime, async { tokio::time::sleep(Duration::from_millis(100)).await });
    };
    let used = || server.usage().next().expect("connections").used as usize;
    let round = || {
        let mut clients = Vec::with_capacity(COUNT);
        let info = allocation_counter::measure(|| {
            for _ in 0..COUNT {
                clients.push(TcpStream::connect(address).expect("a connection"));
            }
            pause();
        });
        assert_eq!(used(), COUNT);
        // ApiVersions, version 0.
        let mut first = &clients[0];
        first.write_all(&[0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 1, 255, 255]).expect("sent");
        pause();
        assert!(first.read(&mut [0; 2_000]).expect("answered") > 100);
        drop(clients);
        pause();
        assert_eq!(used(), 0);
        info
    };
    // The runtime's own lists grow with the first ones.
    let (first, second) = (round(), round());
    println!("{first:?} then {second:?}");
    let each = first.bytes_current.max(second.bytes_current) as usize / COUNT;
    println!("{each} bytes for each connection");
    assert!(each <= CONNECTION_TASK_BYTES, "{each}");
    server.stop();
    local.block_on(&runtime, running).expect("an orderly end");
}
