//! Settings of Apache Kafka's brokers (2.1 to 4.3) that ottla does not have, and why.
//!
//! Promises: every setting that either version knows is in `broker_keys`, in `load`, or here, so
//! that a `server.properties` that worked there yields no "unknown" (the tests carry both lists).
//! What would be dangerous to ignore, because it asks for a closed door, is refused.

use super::error::Level;

/// What becomes of a setting that ottla does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is passed over, with this remark.
    Ignored(Level, &'static str),
    /// It must not be passed over; this says why.
    Refused(&'static str),
}

/// Finds `name` with this value, if either Kafka knew it.
pub fn look_up(name: &str, value: &str) -> Option<Verdict> {
    let name = without_listener(name);
    let starts = |prefix: &&str| name.starts_with(prefix);
    if let Some((_, why)) = REFUSED.iter().find(|(prefix, _)| name.starts_with(prefix)) {
        return Some(if asks_for_nothing(name, value) {
            Verdict::Ignored(Level::Info, NOTHING_ASKED)
        } else {
            Verdict::Refused(why)
        });
    }
    if let Some((_, instead)) = RENAMED.iter().find(|(old, _)| *old == name) {
        return Some(Verdict::Ignored(Level::Warning, instead));
    }
    IGNORED
        .iter()
        .find(|(names, _)| names.iter().any(starts))
        .map(|(_, why)| Verdict::Ignored(Level::Info, why))
}

/// Kafka lets most settings be given for one listener: `listener.name.internal.ssl.…`.
fn without_listener(name: &str) -> &str {
    let inner = name.strip_prefix("listener.name.").and_then(|rest| rest.split_once('.'));
    inner.map_or(name, |(_, inner)| inner)
}

/// Values by which stock files say "no TLS", "no ACLs": nobody is let down by passing them over.
fn asks_for_nothing(name: &str, value: &str) -> bool {
    let value = value.trim();
    value.is_empty()
        || (name == "ssl.client.auth" && value == "none")
        || (name == "forward.security.protocol" && value == "PLAINTEXT")
        || (name == "allow.everyone.if.no.acl.found" && value.eq_ignore_ascii_case("true"))
}

const NOTHING_ASKED: &str = "does nothing here, and asks for nothing";
const NO_TLS: &str = "asks for TLS, which is not there yet; remove it, and let only a network that \
    you trust, or a TLS proxy, reach the listener";
const NO_SASL: &str = "asks for SASL, which is not there yet; remove it, and let only a network \
    that you trust reach the listener";
const NO_TLS_UPSTREAM: &str = "asks for TLS or SASL towards the upstream cluster, which is not \
    there yet; remove it, and use a plain listener there, through a tunnel where the network is \
    not trusted";
const NO_ACLS: &str = "asks for access control, which is not there yet; remove it, and let only a \
    network that you trust reach the listener";

/// Beginnings of names that ask for security.
const REFUSED: &[(&str, &str)] = &[
    ("ssl.", NO_TLS),
    ("sasl.", NO_SASL),
    ("delegation.token.", NO_SASL),
    ("forward.ssl.", NO_TLS_UPSTREAM),
    ("forward.sasl.", NO_TLS_UPSTREAM),
    ("forward.security.protocol", NO_TLS_UPSTREAM),
    ("authorizer.class.name", NO_ACLS),
    ("super.users", NO_ACLS),
    ("allow.everyone.if.no.acl.found", NO_ACLS),
];

/// Whole names whose task another setting has.
const RENAMED: &[(&str, &str)] = &[
    ("host.name", "is not read, Kafka dropped it in 3.0; write listeners = \"HOST:PORT\""),
    ("port", "is not read, Kafka dropped it in 3.0; write listeners = \"HOST:PORT\""),
    (
        "advertised.host.name",
        "is not read, Kafka dropped it in 3.0; write advertised.listeners = \"HOST:PORT\", or \
         nothing: clients are told the address that they dialled",
    ),
    (
        "advertised.port",
        "is not read, Kafka dropped it in 3.0; write advertised.listeners = \"HOST:PORT\", or \
         nothing: clients are told the address that they dialled",
    ),
    (
        "log.message.timestamp.difference.max.ms",
        "is not read, Kafka dropped it in 4.0; write log.message.timestamp.before.max.ms and \
         log.message.timestamp.after.max.ms",
    ),
    ("create.topic.policy.class.name", "is not obeyed: it names a Java class, and there is no JVM"),
    ("alter.config.policy.class.name", "is not obeyed: it names a Java class, and there is no JVM"),
];

/// Beginnings of names, and what all that begin so have in common.
const IGNORED: &[(&[&str], &str)] = &[
    (
        &["zookeeper.", "broker.id.generation.enable", "reserved.broker.max.id"],
        "does nothing here: there is no ZooKeeper, ottla keeps its metadata in its data directory",
    ),
    (
        &[
            "process.roles",
            "controller.",
            "metadata.log.",
            "metadata.max.",
            "broker.heartbeat.interval.ms",
            "broker.session.timeout.ms",
            "initial.broker.registration.timeout.ms",
            "early.start.listeners",
            "internal.metadata.",
            "unstable.",
            "server.max.startup.time.ms",
        ],
        "does nothing here: there is no KRaft controller, ottla keeps its metadata in its data \
         directory",
    ),
    (
        &[
            "num.network.threads",
            "num.io.threads",
            "num.recovery.threads.per.data.dir",
            "num.replica.",
            "background.threads",
            "queued.max.",
            "log.flush.scheduler.interval.ms",
            "log.flush.offset.checkpoint.interval.ms",
            "log.flush.start.offset.checkpoint.interval.ms",
            "log.initial.task.delay.ms",
            "fetch.purgatory.",
            "producer.purgatory.",
            "delete.records.purgatory.",
        ],
        "does nothing here: one thread serves everything",
    ),
    (
        &["log.flush.interval.messages"],
        "does nothing here: acks=all waits for the sync, log.flush.interval.ms bounds the rest",
    ),
    (
        &[
            "socket.connection.setup.",
            "socket.listen.backlog.size",
            "socket.receive.buffer.bytes",
            "socket.send.buffer.bytes",
            "connection.failed.authentication.delay.ms",
            "max.connection.creation.rate",
            "max.connections.per.ip",
            "fetch.max.bytes",
            "max.incremental.fetch.session.cache.slots",
            "max.request.partition.size.limit",
            "request.timeout.ms",
        ],
        "does nothing here: buffers and connections are sized at start",
    ),
    (
        &[
            "replica.",
            "replication.quota.",
            "inter.broker.",
            "security.inter.broker.protocol",
            "auto.leader.rebalance.enable",
            "leader.imbalance.",
            "unclean.leader.election.",
            "controlled.shutdown.",
            "follower.",
            "leader.replication.",
            "alter.log.dirs.replication.",
            "broker.rack",
            "cordoned.log.dirs",
            "log.dir.failure.timeout.ms",
        ],
        "does nothing here: one node replicates nothing",
    ),
    (
        &["offsets.topic.", "offsets.commit.", "offsets.load.", "group.coordinator."],
        "does nothing here: committed offsets are kept in the journal, not in a topic",
    ),
    (
        &["transaction.", "transactional.", "add.partitions.to.txn."],
        "does nothing here: there are no transactions yet",
    ),
    (
        &["producer.id.expiration."],
        "does nothing here: producers are remembered while there is room, the latest ones longest",
    ),
    (
        &["group.consumer.", "group.share.", "group.streams.", "share."],
        "does nothing here: groups follow the classic protocol",
    ),
    (&["log.cleaner."], "does nothing here: compaction is not there yet"),
    (&["remote.", "log.local.retention."], "does nothing here: there is no tiered storage"),
    (
        &["log.message.format.version", "log.message.downconversion.enable"],
        "does nothing here: records are always of version 2",
    ),
    (
        &["compression.gzip.level", "compression.lz4.level", "compression.zstd.level"],
        "does nothing here: batches stay compressed as the producer sent them",
    ),
    (
        &["log.index.", "log.preallocate", "log.segment.delete.delay.ms", "log.roll.jitter."],
        "does nothing here: the storage differs from Kafka's; segments are always preallocated, \
         and deleted at once",
    ),
    (&["quota.", "client.quota."], "does nothing here: there are no quotas"),
    (
        &[
            "metric.reporters",
            "metrics.",
            "kafka.metrics.",
            "auto.include.jmx.reporter",
            "telemetry.",
            "client.metrics.",
            "confluent.",
            "config.providers",
            "password.encoder.",
            "security.providers",
            "principal.builder.class",
            "connections.max.reauth.ms",
        ],
        "does nothing here: there is no JVM to load it",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn security_is_refused_unless_nothing_is_asked() {
        for name in ["ssl.keystore.location", "sasl.enabled.mechanisms", "authorizer.class.name"] {
            assert!(matches!(look_up(name, "x"), Some(Verdict::Refused(_))), "{name}");
            assert!(matches!(look_up(name, " "), Some(Verdict::Ignored(..))), "{name}");
        }
        let inner = "listener.name.internal.sasl.jaas.config";
        assert!(matches!(look_up(inner, "x"), Some(Verdict::Refused(_))));
        assert!(matches!(look_up("ssl.client.auth", "required"), Some(Verdict::Refused(_))));
        assert!(matches!(look_up("ssl.client.auth", "none"), Some(Verdict::Ignored(..))));
    }

    #[test]
    fn a_renamed_setting_is_a_warning_that_names_the_new_one() {
        let Some(Verdict::Ignored(Level::Warning, said)) = look_up("port", "9093") else {
            panic!("the port is passed over in silence");
        };
        assert!(said.contains("listeners"));
    }

    #[test]
    fn other_names_are_not_known() {
        for name in ["", "porto", "log.retention", "zookeeper", "listener.name.", "x.ssl."] {
            assert_eq!(look_up(name, "x"), None, "{name}");
        }
    }
}
