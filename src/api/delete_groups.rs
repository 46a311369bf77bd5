//! DeleteGroups (42): groups without members go, and with them what they committed.
//!
//! Versions 0–2. v1 nothing new · v2 flexible.
//!
//! The answer waits until the deletions survive a power cut. A group named twice is not found the
//! second time; Apache Kafka answers once, and no client names one twice.

use super::list::List;
use super::{Api, Context, Outcome, Reply, code_of_commit};
use crate::storage::Lsn;
use crate::wire::{ErrorCode, ReadError, Reader};

/// The row.
pub const API: Api =
    Api { key: 42, name: "DeleteGroups", versions: (0, 2), advertised_min: 0, flexible: 2, handle };

fn handle(
    context: &mut Context<'_>,
    mut r: Reader<'_>,
    reply: &mut Reply<'_>,
) -> Result<Outcome, ReadError> {
    let group_ids = List::read(&mut r, "groups_names", |r| r.string("group_name"))?;
    r.tags()?;
    let w = &mut reply.w;
    let mut last: Option<Lsn> = None;
    w.i32(0);
    w.array(group_ids.len());
    for group_id in group_ids {
        let done = context.broker.delete_group(group_id, context.now);
        w.string(group_id);
        w.error(done.map_or_else(code_of_commit, |_| ErrorCode::None));
        w.tags();
        last = last.max(done.ok());
    }
    w.tags();
    Ok(last.map_or(Outcome::Now, Outcome::AfterSync))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::testing::{Golden, TestBroker, golden};
    use crate::state::offsets::Commit;
    use crate::wire::Writer;

    const GOLDEN: &[Golden] = &[
        (
            0..=0,
            "0000000300036f6c6400016700026e6e",
            "000000000000000300036f6c640000000167004400026e6e0045",
        ),
        (
            1..=1,
            "0000000300036f6c6400016700026e6e",
            "000000000000000300036f6c640000000167004400026e6e0045",
        ),
        (2..=2, "04046f6c640267036e6e00", "0000000004046f6c640000000267004400036e6e00450000"),
    ];

    /// A group "g" with a member, and a group "old" that only committed.
    fn with_groups() -> TestBroker {
        let mut test = TestBroker::new();
        test.create_topic("t");
        test.member();
        let commit = Commit { offset: 5, leader_epoch: 3, metadata: "m", retention_ms: None };
        test.broker.commit_offset("old", "t", 0, commit, test.now).unwrap();
        test.sync();
        test
    }

    #[test]
    fn every_version_reads_and_writes_as_kafka_does() {
        golden(&API, with_groups, GOLDEN);
    }

    #[test]
    fn the_answer_waits_until_the_deletion_is_durable() {
        let mut test = with_groups();
        let mut delete = |name: &str| {
            let write = |w: &mut Writer<'_>| {
                w.array(1);
                w.string(name);
            };
            test.ask(42, 1, write).0
        };
        assert_eq!(delete("nn"), Outcome::Now);
        assert!(matches!(delete("old"), Outcome::AfterSync(_)));
        assert!(test.broker.groups.describe("old").is_none());
        assert!(test.broker.groups.offsets().is_empty());
    }
}
