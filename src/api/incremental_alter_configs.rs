//! IncrementalAlterConfigs (44): some of a topic's settings (KIP-339).
//!
//! Versions 0–1. v1 flexible. The work is done in [`alter_configs`].
//!
//! [`alter_configs`]: super::alter_configs

use super::alter_configs::{Way, alter};
use super::{Api, Context, Outcome, Reply};
use crate::wire::{ReadError, Reader};

/// The row.
pub const API: Api = Api {
    key: 44,
    name: "IncrementalAlterConfigs",
    versions: (0, 1),
    advertised_min: 0,
    flexible: 1,
    handle,
};

fn handle(
    context: &mut Context<'_>,
    r: Reader<'_>,
    reply: &mut Reply<'_>,
) -> Result<Outcome, ReadError> {
    alter(context, r, reply, Way::Incremental)
}

#[cfg(test)]
mod tests {
    use super::API;
    use crate::api::Outcome;
    use crate::api::testing::{Golden, TestBroker, golden, hex};

    fn with_topics() -> TestBroker {
        let mut test = TestBroker::new();
        test.topic("t", 1);
        test.topic("u", 1);
        let number = test.broker.topics().find("t").unwrap().number;
        let mut before = crate::config::TopicOverrides::default();
        before.set("segment.ms", "9000").unwrap();
        before.set("retention.ms", "1").unwrap();
        test.broker.configure_topic(number, before, test.now).unwrap();
        test.sync();
        test
    }

    #[test]
    fn every_version_is_read_and_written_as_kafkas_own_classes_do() {
        golden(&API, with_topics, GOLDEN);
    }

    #[test]
    fn what_is_not_named_stays() {
        let mut test = with_topics();
        let (_, request, _) = &GOLDEN[0];
        let (outcome, _) = test.ask(44, 0, |w| w.raw(&hex(request)));
        assert!(matches!(outcome, Outcome::AfterSync(_)));
        let topic = test.broker.topics().find("t").unwrap();
        let own: Vec<_> = topic.overrides.iter().collect();
        assert_eq!(own, [("cleanup.policy", "delete,compact"), ("segment.ms", "9000")]);
    }

    /// Made with kafka-clients 4.3.0: its message classes wrote both sides.
    const GOLDEN: &[Golden] = &[
        (
            0..=0,
            "000000020200017400000002000c726574656e74696f6e2e6d7301ffff000e636c65616e75702e706f6c\
             696379020007636f6d706163740200017500000001000c726574656e74696f6e2e6d730400013100",
            "00000000000000020000ffff02000174002a0025726574656e74696f6e2e6d733a207468657265206973\
             206e6f206f7065726174696f6e203402000175",
        ),
        (
            1..=1,
            "03020274030d726574656e74696f6e2e6d730100000f636c65616e75702e706f6c6963790208636f6d70\
             6163740000020275020d726574656e74696f6e2e6d7304023100000000",
            "000000000300000002027400002a26726574656e74696f6e2e6d733a207468657265206973206e6f206f\
             7065726174696f6e20340202750000",
        ),
    ];
}
