//! Who listens on a port: the kernel's table of TCP sockets, and whose descriptors they are.
//!
//! Promises: nothing is bound to find out. Absent: the processes of other users, unless root asks.

use std::fs;
use std::net::{IpAddr, Ipv4Addr};

/// A listening socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listening {
    /// The address; `None` is every interface, or an IPv6 address.
    pub address: Option<Ipv4Addr>,
    pub port: u16,
    pub inode: u64,
}

/// Reads `/proc/net/tcp` or `tcp6`.
pub fn listening(table: &str) -> Vec<Listening> {
    let row = |line: &str| {
        let cells: Vec<&str> = line.split_whitespace().collect();
        // State 0A is LISTEN.
        if *cells.get(3)? != "0A" {
            return None;
        }
        let (address, port) = cells.get(1)?.split_once(':')?;
        let port = u16::from_str_radix(port, 16).ok()?;
        // The kernel prints the word as it lies in memory, which is in network order.
        let word = if address.len() == 8 { u32::from_str_radix(address, 16).ok()? } else { 0 };
        let address = (word != 0).then(|| Ipv4Addr::from(word.to_ne_bytes()));
        Some(Listening { address, port, inode: cells.get(9)?.parse().ok()? })
    };
    table.lines().filter_map(row).collect()
}

/// All of this machine's.
pub fn all() -> Vec<Listening> {
    ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .filter_map(|path| fs::read_to_string(path).ok())
        .flat_map(|table| listening(&table))
        .collect()
}

/// The one that keeps others from listening on `address` (`None`: everywhere) and `port`.
pub fn in_the_way(all: &[Listening], address: Option<IpAddr>, port: u16) -> Option<Listening> {
    all.iter().copied().find(|one| {
        let apart = match (one.address, address) {
            (Some(theirs), Some(IpAddr::V4(ours))) => theirs != ours,
            _ => false,
        };
        one.port == port && !apart
    })
}

/// The process that has a socket.
pub fn owner(inode: u64) -> Option<i32> {
    let wanted = format!("socket:[{inode}]");
    fs::read_dir("/proc").ok()?.flatten().find_map(|entry| {
        let id: i32 = entry.file_name().to_str()?.parse().ok()?;
        let descriptors = fs::read_dir(entry.path().join("fd")).ok()?;
        descriptors
            .flatten()
            .any(|fd| fs::read_link(fd.path()).is_ok_and(|link| link.as_os_str() == &*wanted))
            .then_some(id)
    })
}

/// A process as people know it: its name and its id.
pub fn process_text(id: i32) -> String {
    match fs::read_to_string(format!("/proc/{id}/comm")) {
        Ok(name) => format!("{} (process {id})", name.trim()),
        Err(_) => format!("process {id}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The kernel prints words as they lie in memory.
    fn word(address: [u8; 4]) -> String {
        format!("{:08X}", u32::from_ne_bytes(address))
    }

    #[test]
    fn the_kernels_table_is_read() {
        let table = format!(
            "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  \
             timeout inode\n   0: {}:2384 00000000:0000 0A 00000000:00000000 00:00000000 00000000  \
             1000        0 71 1 0 100\n   1: {}:2384 0100007F:1234 01 00000000:00000000 \
             00:00000000 00000000  1000        0 72 1\n",
            word([127, 0, 0, 1]),
            word([127, 0, 0, 1])
        );
        let found = listening(&table);
        let local = Ipv4Addr::LOCALHOST;
        assert_eq!(found, [Listening { address: Some(local), port: 0x2384, inode: 71 }]);
        assert!(in_the_way(&found, None, 0x2384).is_some());
        assert!(in_the_way(&found, Some(local.into()), 0x2384).is_some());
        assert!(in_the_way(&found, Some(Ipv4Addr::new(10, 0, 0, 1).into()), 0x2384).is_none());
        assert!(in_the_way(&found, None, 1).is_none());
    }

    #[test]
    fn a_port_of_ours_is_known_to_be_ours() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let found = in_the_way(&all(), Some(address.ip()), address.port()).unwrap();
        assert_eq!(owner(found.inode), Some(std::process::id() as i32));
    }
}
