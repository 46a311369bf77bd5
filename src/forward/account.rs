//! What forwarding takes of the memory.
//!
//! Promises: everything that [`Forwarder::new`] allocates has its row, and what it may take later
//! for a moment; with the same board and settings it is the same. Without an upstream cluster in
//! the settings the rows are those of the default settings: a board must have room to switch it on.
//! Absent: what is kept of lanes beside the machine (`state::forward`).

use super::cluster::Cluster;
use super::lane::Lane;
use super::link::Link;
use super::merge::{Merger, whole_bytes_max};
use super::{Action, Forwarder, codec};
use crate::config::ForwardConfig;
use crate::fixed::{List, Ring, Texts};
use crate::limits::{
    FORWARD_ANSWER_BYTES, FORWARD_CONNECTION_BYTES, FORWARD_LINKS_MAX, FORWARD_RECEIVE_BYTES,
    FORWARD_REQUEST_HEAD_BYTES, FORWARD_UNPACK_ZSTD_BYTES, Ledger, Sizes,
};

/// Bytes of a buffer for a request.
pub(super) fn request_bytes(batch_size: u32) -> usize {
    whole_bytes_max(batch_size) + FORWARD_REQUEST_HEAD_BYTES
}

/// Actions that may wait: every link that was open is to be closed, and others to be opened.
pub(super) fn actions(links: usize) -> usize {
    2 * links
}

/// The sizes of a machine that has nothing to do.
pub(super) fn nothing(sizes: &Sizes) -> Sizes {
    Sizes {
        partitions: 0,
        topics: 0,
        name_bytes: 0,
        forward_links: 0,
        forward_requests: 0,
        forward_answer_bytes: 0,
        forward_unpacked_bytes: 0,
        forward_leaders: 0,
        ..*sizes
    }
}

/// Bytes of the settings' texts and lists.
fn setting_bytes(config: &ForwardConfig) -> usize {
    let strings = |list: &[String]| -> usize {
        list.iter().map(|text| size_of::<String>() + text.len()).sum()
    };
    let servers = &config.bootstrap_servers;
    let servers = servers.iter().map(|(host, _)| size_of::<(String, u16)>() + host.len());
    let renames = config.topic_rename.iter();
    let renames = renames.map(|(a, b)| size_of::<(String, String)>() + a.len() + b.len());
    let classes = config.priority.iter();
    let classes = classes.map(|(text, _)| 2 * size_of::<(String, i32)>() + text.len());
    strings(&config.topics)
        + strings(&config.topics_exclude)
        + servers.sum::<usize>()
        + renames.sum::<usize>()
        + classes.sum::<usize>()
        + config.topic_prefix.len()
        + config.client_id.len()
        // The turn of class 0, which always is.
        + size_of::<(i32, usize)>()
}

impl Forwarder {
    /// The rows of the ledger.
    pub fn account(sizes: &Sizes, config: &ForwardConfig, ledger: &mut Ledger) {
        let default;
        let config = match config.bootstrap_servers.is_empty() {
            true => {
                default = ForwardConfig::default();
                &default
            }
            false => config,
        };
        let (batch_size, codec) = (config.batch_size, codec(config.compression_type));
        let links = sizes.forward_links.min(FORWARD_LINKS_MAX);
        let waits = "links take turns";
        ledger.row(
            "forwarded partitions, on their way",
            sizes.partitions,
            List::<Lane>::memory(1),
            "one for each partition",
        );
        let names = Texts::memory(sizes.topics, sizes.name_bytes);
        ledger.row("names of forwarded topics", 1, names, "one for each topic");
        Cluster::account(sizes, ledger);
        let link = List::<Link>::memory(1)
            + List::<Box<[u8]>>::memory(1)
            + FORWARD_ANSWER_BYTES
            + Ring::<Action>::memory(actions(1))
            + FORWARD_CONNECTION_BYTES;
        ledger.row("connections upstream", links, link, "the longest idle one is closed, or wait");
        let request = request_bytes(batch_size) + List::<Vec<u8>>::memory(1);
        ledger.row("requests upstream", sizes.forward_requests, request, waits);
        ledger.row("a long answer from upstream", 1, sizes.forward_answer_bytes, waits);
        let merging = whole_bytes_max(batch_size) + Merger::memory(batch_size, codec, sizes);
        ledger.row("a batch made for upstream", 1, merging, "one is made after the other");
        if sizes.forward_unpacks_zstd {
            let row = "a batch in zstd unpacked";
            ledger.row(row, 1, FORWARD_UNPACK_ZSTD_BYTES, "one is made after the other");
        }
        let own = size_of::<Forwarder>() + setting_bytes(config) + FORWARD_RECEIVE_BYTES;
        ledger.row("the forwarder's own state", 1, own, "there is one");
    }
}
