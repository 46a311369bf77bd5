//! A disk that fails: whoever waits for it is told at once, not after its own timeout.
//!
//! The server runs inside the test here, on the simulated disk.

use crate::support::raw::{self, Raw, read_produce};
use ottla::broker;
use ottla::config;
use ottla::disk::DiskError;
use ottla::disk::sim::SimDisk;
use ottla::server::{Clock, Server, bind};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// What the second of two producers gets when operation `after` from then on (0 is the next) fails.
fn answer_when_operation_fails(after: u64) -> Option<i16> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, async {
        let dir = tempfile::tempdir().unwrap();
        let listen = ["127.0.0.1:0".to_string()];
        let (config, _) =
            config::load(&ottla::limits::Board::DESKTOP, "", "", &[], &listen, Some(dir.path()))
                .unwrap();
        let clock = Clock::start();
        let disk = SimDisk::new();
        let opened = broker::open(Rc::new(disk.clone()), config, 7, clock.now()).unwrap();
        let bound = bind(opened.broker.config()).await.unwrap();
        let address = bound[0].address;
        let server = Server::new(opened.broker, clock);
        let (ready, is_ready) = oneshot::channel();
        let (go, may_go) = oneshot::channel();
        let client = tokio::task::spawn_blocking(move || client(address, ready, may_go));
        let stopper = server.clone();
        let told = tokio::task::spawn_local(async move {
            is_ready.await.unwrap();
            disk.fail_at(disk.operations() + after, DiskError::Io);
            go.send(()).unwrap();
            let told = client.await;
            stopper.stop();
            told.unwrap()
        });
        server.run(bound).await;
        told.await.unwrap()
    })
}

fn client(
    address: SocketAddr,
    ready: oneshot::Sender<()>,
    may_go: oneshot::Receiver<()>,
) -> Option<i16> {
    let mut raw = Raw::connect(address);
    raw.ask(&raw::metadata(1, "t"));
    assert_eq!(read_produce(&raw.ask(&raw::produce(2, -1, "t", b"well"))), (0, 0));
    ready.send(()).unwrap();
    may_go.blocking_recv().unwrap();
    raw.send(&raw::produce(3, -1, "t", b"late"));
    raw.receive().map(|(_, answer)| read_produce(&answer).0)
}

#[test]
fn a_producer_hears_of_a_failing_disk_at_once() {
    let started = Instant::now();
    let answers: Vec<_> = (0..=3).map(answer_when_operation_fails).collect();
    assert!(started.elapsed() < Duration::from_secs(4), "{:?}", started.elapsed());
    // The journal's write, the segment's and the sync: the connection is closed, as nobody knows
    // what became of the record. The last of these operations comes after the answer.
    assert_eq!(answers, [None, None, None, Some(0)]);
}
