//! What upstream holds in the end.

use crate::cluster::Cluster;
use crate::records::{self, Plain};
use ottla::wire::batch;
use std::collections::BTreeMap;

/// What upstream has of each lane, in the order of its logs.
pub fn upstream(cluster: &Cluster) -> BTreeMap<u16, Vec<Plain>> {
    let mut found: BTreeMap<u16, Vec<Plain>> = BTreeMap::new();
    for partition in cluster.topics.values().flat_map(|topic| &topic.partitions) {
        let Some(leader) = partition.leading() else { continue };
        for stored in leader.log.iter().filter(|stored| stored.next <= leader.high_watermark) {
            let header = batch::check_stored(&stored.bytes).expect("as it was taken");
            for record in records::decode(&stored.bytes, &header) {
                let (lane, _) = record.mark();
                if lane != 0xffff {
                    found.entry(lane).or_default().push(record);
                }
            }
        }
    }
    found
}
