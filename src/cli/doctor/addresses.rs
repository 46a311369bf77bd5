//! Who can reach the broker, from which network, and under which address.
//!
//! Promises: the machine's addresses are the kernel's (`/proc/net`), nothing is asked of the
//! network but the names in the configuration. Absent: firewalls, and what lies behind a router.

use super::finding::Finding;
use super::sockets;
use crate::config::{BrokerConfig, Listener};
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, ToSocketAddrs};

/// An interface's name, if it is known, and an address of it.
type Interface = (String, IpAddr);

/// IPv4: `/proc/net/fib_trie` has the addresses, `/proc/net/route` the names of their networks.
fn interfaces4(fib_trie: &str, route: &str) -> Vec<Interface> {
    let mut found: Vec<Interface> = Vec::new();
    let mut last = None;
    for line in fib_trie.lines().map(str::trim) {
        if let Some(address) = line.strip_prefix("|-- ") {
            last = address.parse::<Ipv4Addr>().ok();
        } else if let Some(address) = last.filter(|_| line == "/32 host LOCAL") {
            let known = found.iter().any(|(_, one)| *one == IpAddr::V4(address));
            if !known && !address.is_loopback() {
                found.push((network_name(route, address), IpAddr::V4(address)));
            }
        }
    }
    found
}

/// The interface whose network has this address.
fn network_name(route: &str, address: Ipv4Addr) -> String {
    let word = u32::from_ne_bytes(address.octets());
    let row = |line: &str| {
        let cells: Vec<&str> = line.split_whitespace().collect();
        let hexadecimal = |at: usize| u32::from_str_radix(cells.get(at)?, 16).ok();
        let (network, mask) = (hexadecimal(1)?, hexadecimal(7)?);
        (mask != 0 && word & mask == network).then(|| (*cells.first().unwrap_or(&"")).to_owned())
    };
    route.lines().find_map(row).unwrap_or_else(|| "an interface".to_owned())
}

/// IPv6: `/proc/net/if_inet6`, without what counts on its own link only.
fn interfaces6(table: &str) -> Vec<Interface> {
    let row = |line: &str| {
        let cells: Vec<&str> = line.split_whitespace().collect();
        let [address, _, _, scope, _, name] = cells[..] else { return None };
        let bits = u128::from_str_radix(address, 16).ok()?;
        (scope == "00").then(|| (name.to_owned(), IpAddr::V6(Ipv6Addr::from(bits))))
    };
    table.lines().filter_map(row).collect()
}

fn interfaces() -> Vec<Interface> {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let mut all = interfaces4(&read("/proc/net/fib_trie"), &read("/proc/net/route"));
    all.extend(interfaces6(&read("/proc/net/if_inet6")));
    all
}

fn resolve(host: &str) -> Vec<IpAddr> {
    let found = (host, 0).to_socket_addrs();
    found.map(|all| all.map(|address| address.ip()).collect()).unwrap_or_default()
}

/// All there is to say. `holder` is the broker that runs.
pub fn check(config: &BrokerConfig, holder: Option<i32>) -> Vec<Finding> {
    let interfaces = interfaces();
    let sockets = sockets::all();
    let mut findings = Vec::new();
    for listener in &config.listeners {
        let addresses = listener.host.as_deref().filter(|_| !listener.is_wildcard()).map(resolve);
        findings.push(reach(listener, addresses.as_deref(), &interfaces));
        let address = addresses.and_then(|all| all.first().copied());
        let taken = sockets::in_the_way(&sockets, address, listener.port);
        let owner = taken.map(|one| sockets::owner(one.inode));
        findings.push(port(listener, owner, holder));
    }
    let open = config.listeners.iter().any(|one| {
        one.is_wildcard()
            || one.host.as_deref().is_some_and(|h| resolve(h).iter().any(|a| !a.is_loopback()))
    });
    let ports: Vec<u16> = config.listeners.iter().map(|one| one.port).collect();
    if config.advertised_listeners.is_empty() {
        let text = "not set, which is best: every client is told the address that it dialled";
        findings.push(Finding::ok("advertised", text));
    }
    for one in &config.advertised_listeners {
        let addresses = resolve(one.host.as_deref().unwrap_or_default());
        findings.push(advertised(one, &addresses, open, &ports, &interfaces));
    }
    findings
}

/// Who can reach a listener. `addresses`: of its host, or `None` for every interface.
fn reach(listener: &Listener, addresses: Option<&[IpAddr]>, interfaces: &[Interface]) -> Finding {
    let port = listener.port;
    let Some(addresses) = addresses else {
        let all: Vec<String> = interfaces
            .iter()
            .map(|(name, address)| format!("{} from {name}", with_port(*address, port)))
            .collect();
        let all =
            if all.is_empty() { "no network has an address now".into() } else { all.join(", ") };
        let text = format!("{listener}: open on every interface: {all}");
        return Finding::ok("listen", text);
    };
    if addresses.is_empty() {
        return Finding::fail(
            "listen",
            format!("{listener}: no address is known for this name, so nobody can listen there"),
            "Write an address of this machine, or 0.0.0.0 for all of them, into listeners.",
        );
    }
    if addresses.iter().all(IpAddr::is_loopback) {
        let advice = format!("To open it to the network: listeners = \"0.0.0.0:{port}\".");
        let text = format!("{listener}: only programs on this machine can connect");
        return Finding::note("listen", text, &advice);
    }
    match interfaces.iter().find(|(_, address)| addresses.contains(address)) {
        Some((name, address)) => {
            let shown = with_port(*address, port);
            Finding::ok("listen", format!("{listener}: reached at {shown}, from {name} only"))
        }
        None => Finding::fail(
            "listen",
            format!("{listener}: this machine has no such address now"),
            "Write 0.0.0.0 instead, or give the interface this address before the broker starts.",
        ),
    }
}

fn with_port(address: IpAddr, port: u16) -> String {
    std::net::SocketAddr::new(address, port).to_string()
}

/// Whether the port is free. `owner`: somebody listens, and who, if that can be seen.
fn port(listener: &Listener, owner: Option<Option<i32>>, holder: Option<i32>) -> Finding {
    let port = listener.port;
    match (owner, holder) {
        (None, None) => Finding::ok("port", format!("{port} is free")),
        (None, Some(_)) => Finding::warn(
            "port",
            format!("nobody listens on {port}, though a broker runs on this data directory"),
            "It runs with other settings: give its file with -c, or start it anew.",
        ),
        (Some(Some(owner)), Some(holder)) if owner == holder => {
            Finding::ok("port", format!("{port} is the running broker's"))
        }
        // Another user's socket, and a broker of that user's: no reason to doubt.
        (Some(None), Some(_)) => Finding::ok("port", format!("somebody listens on {port}")),
        (Some(owner), _) => Finding::fail(
            "port",
            match owner {
                Some(id) => format!("{port} is taken by {}", sockets::process_text(id)),
                None => format!("{port} is taken by another user's process (root sees whose)"),
            },
            "End that program, or choose another port in listeners.",
        ),
    }
}

/// What clients are told. `open`: other machines can reach us at all.
fn advertised(
    one: &Listener,
    addresses: &[IpAddr],
    open: bool,
    ports: &[u16],
    interfaces: &[Interface],
) -> Finding {
    let subject = "advertised";
    let remove = "Remove advertised.listeners, unless clients are behind a NAT.";
    if addresses.is_empty() {
        let text = format!("{one}: this machine does not know the name; do the clients?");
        return Finding::warn(subject, text, remove);
    }
    if open && addresses.iter().all(IpAddr::is_loopback) {
        let text = format!("{one}: other machines are told to connect to themselves");
        return Finding::warn(subject, text, remove);
    }
    if !addresses.iter().any(|a| a.is_loopback() || interfaces.iter().any(|(_, own)| own == a)) {
        let text = format!("{one}: is no address of this machine; right only behind a NAT");
        return Finding::note(subject, text, remove);
    }
    if !ports.contains(&one.port) {
        let text = format!("{one}: no listener has this port; right only behind a NAT");
        return Finding::note(subject, text, remove);
    }
    Finding::ok(subject, format!("{one}: clients are told an address of this machine"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::doctor::finding::Level;

    const FIB_TRIE: &str = "Main:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 127.0.0.1\n        /32 host \
        LOCAL\n     |-- 192.168.1.0\n        /24 link UNICAST\n     |-- 192.168.1.7\n        /32 \
        host LOCAL\nLocal:\n     |-- 192.168.1.7\n        /32 host LOCAL\n";

    fn own() -> Vec<Interface> {
        let word = |octets: [u8; 4]| format!("{:08X}", u32::from_ne_bytes(octets));
        let route = format!(
            "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\nwlan0\t{}\t{}\t0003\t0\
             \t0\t0\t{}\nwlan0\t{}\t{}\t0001\t0\t0\t0\t{}\n",
            word([0; 4]),
            word([192, 168, 1, 1]),
            word([0; 4]),
            word([192, 168, 1, 0]),
            word([0; 4]),
            word([255, 255, 255, 0]),
        );
        interfaces4(FIB_TRIE, &route)
    }

    #[test]
    fn the_kernels_tables_name_interfaces_and_addresses() {
        assert_eq!(own(), [("wlan0".to_owned(), IpAddr::from([192, 168, 1, 7]))]);
        let table = "fe800000000000000000000000000001 02 40 20 80 eth0\n\
                     20010db8000000000000000000000007 02 40 00 80 eth0\n\
                     00000000000000000000000000000001 01 80 10 80 lo\n";
        let expected: IpAddr = "2001:db8::7".parse().unwrap();
        assert_eq!(interfaces6(table), [("eth0".to_owned(), expected)]);
    }

    #[test]
    fn a_listener_is_explained_by_who_can_reach_it() {
        let level = |host: &str, addresses: Option<&[IpAddr]>| {
            reach(&Listener::plain(host, 9092), addresses, &own())
        };
        let local = IpAddr::from([127, 0, 0, 1]);
        let open = level("0.0.0.0", None);
        assert!(open.level == Level::Ok && open.text.contains("192.168.1.7:9092 from wlan0"));
        assert_eq!(level("127.0.0.1", Some(&[local])).level, Level::Note);
        assert_eq!(level("192.168.1.7", Some(&[own()[0].1])).level, Level::Ok);
        assert_eq!(level("10.0.0.1", Some(&[IpAddr::from([10, 0, 0, 1])])).level, Level::Fail);
        assert_eq!(level("nowhere", Some(&[])).level, Level::Fail);
    }

    #[test]
    fn a_port_is_free_or_the_brokers_or_somebody_elses() {
        let level = |owner, holder| port(&Listener::plain("h", 9092), owner, holder).level;
        assert_eq!(level(None, None), Level::Ok);
        assert_eq!(level(Some(Some(7)), Some(7)), Level::Ok);
        assert_eq!(level(Some(Some(1)), Some(7)), Level::Fail);
        assert_eq!(level(Some(None), None), Level::Fail);
        assert_eq!(level(None, Some(7)), Level::Warn);
    }

    #[test]
    fn an_advertised_address_has_to_lead_back_here() {
        let level = |addresses: &[IpAddr], open, port| {
            advertised(&Listener::plain("h", port), addresses, open, &[9092], &own()).level
        };
        let local = IpAddr::from([127, 0, 0, 1]);
        assert_eq!(level(&[], true, 9092), Level::Warn);
        assert_eq!(level(&[local], true, 9092), Level::Warn);
        assert_eq!(level(&[local], false, 9092), Level::Ok);
        assert_eq!(level(&[IpAddr::from([8, 8, 8, 8])], true, 9092), Level::Note);
        assert_eq!(level(&[own()[0].1], true, 9093), Level::Note);
        assert_eq!(level(&[own()[0].1], true, 9092), Level::Ok);
    }
}
