//! A card that stalls: only who asked for durability waits for it.
//!
//! The server runs inside the test here, because a real disk does not stall on demand.

use crate::support::raw::{self, Raw, read_fetch, read_produce};
use ottla::broker;
use ottla::config;
use ottla::disk::os::{OsDisk, random_seed};
use ottla::server::{Clock, Server, bind};
use std::net::SocketAddr;
use std::path::Path;
use std::rc::Rc;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// A server in a thread of its own, whose every sync takes `STALL` longer.
struct Stalling {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

const STALL: Duration = Duration::from_secs(5);

/// What has nothing to do with the card is answered within this.
const PROMPTLY: Duration = Duration::from_secs(1);

impl Stalling {
    fn start(data: &Path, stall: Duration) -> Stalling {
        let (tell, told) = mpsc::channel();
        let (stop, stopped) = oneshot::channel();
        let data = data.to_path_buf();
        let thread = std::thread::spawn(move || serve(&data, stall, &tell, stopped));
        let address = told.recv().expect("it starts");
        Stalling { address, stop: Some(stop), thread: Some(thread) }
    }
}

impl Drop for Stalling {
    fn drop(&mut self) {
        self.stop.take().map(|stop| stop.send(()));
        self.thread.take().map(JoinHandle::join);
    }
}

fn serve(
    data: &Path,
    stall: Duration,
    tell: &mpsc::Sender<SocketAddr>,
    stopped: oneshot::Receiver<()>,
) {
    // As `cli/serve.rs` does it: one thread, and one helper.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(1)
        .build()
        .expect("a runtime");
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, async {
        let listen = ["127.0.0.1:0".to_string()];
        let (config, _) =
            config::load(&ottla::limits::Board::DESKTOP, "", "", &[], &listen, Some(data))
                .expect("settings");
        let clock = Clock::start();
        let disk = OsDisk::open(data).expect("a directory").with_sync_delay(stall);
        let seed = random_seed();
        let opened = broker::open(Rc::new(disk), config, seed, clock.now()).expect("a broker");
        let bound = bind(opened.broker.config()).await.expect("a port");
        tell.send(bound[0].address).expect("the test waits");
        let server = Server::new(opened.broker, clock);
        let stopper = server.clone();
        tokio::task::spawn_local(async move {
            stopped.await.ok();
            stopper.stop();
        });
        server.run(bound).await;
    });
    runtime.shutdown_background();
}

/// Heartbeat of version 0 from a member that the broker does not know.
fn heartbeat(correlation_id: i32) -> Vec<u8> {
    raw::request(12, 0, correlation_id, false, |w| {
        w.string("group");
        w.i32(1);
        w.string("nobody");
    })
}

#[test]
fn nobody_else_waits_for_a_card_that_stalls() {
    let dir = tempfile::tempdir().unwrap();
    {
        // The topic with one record is made while the card is well.
        let well = Stalling::start(dir.path(), Duration::ZERO);
        let mut raw = Raw::connect(well.address);
        raw.ask(&raw::metadata(1, "t"));
        assert_eq!(read_produce(&raw.ask(&raw::produce(2, -1, "t", b"early"))), (0, 0));
    }
    let stalling = Stalling::start(dir.path(), STALL);
    let mut producer = Raw::connect(stalling.address);
    let mut other = Raw::connect(stalling.address);
    other.ask(&raw::api_versions(1));
    let start = Instant::now();
    producer.send(&raw::produce(3, -1, "t", b"late"));
    let mut rounds = 0;
    while start.elapsed() + PROMPTLY < STALL {
        let asked = Instant::now();
        // UNKNOWN_MEMBER_ID is an answer, too.
        assert_eq!(other.ask(&heartbeat(10))[..2], [0, 25]);
        other.ask(&raw::metadata(11, "t"));
        let fetched = read_fetch(&other.ask(&raw::fetch(12, "t", 0, 1, 0)));
        // What is not synced is not shown.
        assert_eq!((fetched.error, fetched.high_watermark), (0, 1));
        assert!(fetched.records.ends_with(b"early\0"));
        // A record that asks for less than durability is acknowledged meanwhile.
        assert_eq!(read_produce(&other.ask(&raw::produce(13, 1, "t", b"quick"))).0, 0);
        assert!(asked.elapsed() < PROMPTLY, "{:?}", asked.elapsed());
        rounds += 1;
        assert!(producer.is_silent(Duration::from_millis(50)), "acknowledged before the sync");
    }
    assert!(rounds > 3, "only {rounds} rounds");
    let (correlation_id, answer) = producer.receive().unwrap();
    assert_eq!((correlation_id, read_produce(&answer).0), (3, 0));
    assert!(start.elapsed() >= STALL, "acknowledged after {:?}", start.elapsed());
}
