//! What clients are told to dial.

use crate::support::clients::{produce_texts, read_all, text};
use crate::support::process::Ottla;
use crate::support::raw::{self, Raw};
use std::net::SocketAddr;

#[test]
fn the_advertised_address_is_the_one_that_was_dialled() {
    let dir = tempfile::tempdir().unwrap();
    let ottla = Ottla::start_with(dir.path(), &["--listen", "0.0.0.0:0"]);
    let port = ottla.address.port();
    for host in ["127.0.0.1", "127.0.0.2", "127.1.2.3"] {
        let address: SocketAddr = format!("{host}:{port}").parse().unwrap();
        let mut raw = Raw::connect(address);
        let answer = raw.ask(&raw::metadata(1, "t"));
        assert_eq!(raw::read_advertised(&answer), (host.to_string(), i32::from(port)));
        // FindCoordinator, version 0: error code, node, host, port.
        let answer = raw.ask(&raw::request(10, 0, 2, false, |w| w.string("group")));
        assert_eq!(answer[..2], [0, 0]);
        let mut r = ottla::wire::Reader::new(&answer[6..], 0, false);
        assert_eq!(r.string("host").unwrap(), host);
        assert_eq!(r.i32("port").unwrap(), i32::from(port));
    }
    // A whole client gets along there, too.
    let bootstrap = format!("127.0.0.2:{port}");
    produce_texts(&bootstrap, "t", &["x"]);
    assert_eq!(text(&read_all(&bootstrap, "t", 0)[0]), "x");
}

#[test]
fn advertised_listeners_override_it() {
    let dir = tempfile::tempdir().unwrap();
    let settings = [
        "--listen",
        "0.0.0.0:0",
        "--set",
        "advertised.listeners=PLAINTEXT://gateway.example:19092",
    ];
    let ottla = Ottla::start_with(dir.path(), &settings);
    let mut raw = Raw::connect(SocketAddr::from(([127, 0, 0, 2], ottla.address.port())));
    let answer = raw.ask(&raw::metadata(1, "t"));
    assert_eq!(raw::read_advertised(&answer), ("gateway.example".to_string(), 19092));
}

#[test]
fn an_ipv4_client_of_a_socket_for_both_families_is_told_an_ipv4_address() {
    let dir = tempfile::tempdir().unwrap();
    // Without a host: everything this machine has.
    let ottla = Ottla::start_with(dir.path(), &["--set", "listeners=PLAINTEXT://:0"]);
    let port = ottla.address.port();
    let mut raw = Raw::connect(SocketAddr::from(([127, 0, 0, 1], port)));
    let answer = raw.ask(&raw::metadata(1, "t"));
    assert_eq!(raw::read_advertised(&answer), ("127.0.0.1".to_string(), i32::from(port)));
}

#[test]
fn several_listeners_serve_the_same_broker() {
    let dir = tempfile::tempdir().unwrap();
    let settings = ["--listen", "127.0.0.1:0", "--listen", "127.0.0.2:0"];
    let ottla = Ottla::start_with(dir.path(), &settings);
    let (_, rest) = ottla.line.split_once("accepts on ").unwrap();
    let second = rest.split(", ").nth(1).unwrap();
    produce_texts(&ottla.bootstrap(), "t", &["through the first"]);
    assert_eq!(text(&read_all(second, "t", 0)[0]), "through the first");
}
