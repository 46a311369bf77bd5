//! CreateTopics (19): new topics.
//!
//! Versions 2–7. v4 allows -1 for partitions and replication factor · v5 flexible, answers with
//! partitions, replicas and settings · v7 topic_id.
//!
//! Promises: the answer waits until the topics would survive a power cut; a topic is created whole
//! or not at all, and each on its own. `timeout_ms` has no meaning: nothing here takes long.
//! A manual assignment is accepted if every partition's only replica is this node.
//! Absent: quotas, and the collision of `a.b` with `a_b`, which are one name only in Apache
//! Kafka's metrics.

use super::shared::{
    Refused, TOPIC_TWICE, error_of, name_first, named_once, read_assignment, sort_names,
    with_names, write_config,
};
use super::{Api, Context, Outcome, Reply};
use crate::broker::{Names, NewTopic};
use crate::config::TopicOverrides;
use crate::limits::{TOPIC_CONFIGS_MAX, TOPIC_PARTITIONS_PLAUSIBLE_MAX};
use crate::storage::Lsn;
use crate::wire::{ErrorCode, ReadError, Reader, Uuid, Writer};

/// The row.
pub const API: Api =
    Api { key: 19, name: "CreateTopics", versions: (2, 7), advertised_min: 2, flexible: 5, handle };

/// One topic of a request.
struct Creatable<'a> {
    name: &'a str,
    num_partitions: i32,
    replication_factor: i16,
    /// How many partitions the manual assignment has; `None` if there is no assignment.
    assigned: Result<Option<i32>, Refused>,
    /// How many settings stand at the cursor.
    configs: (usize, Reader<'a>),
}

/// What was created, or would have been.
struct Created {
    lsn: Option<Lsn>,
    id: Uuid,
    partitions: u32,
    overrides: TopicOverrides,
}

/// One setting of a request.
type Config<'a> = (&'a str, Option<&'a str>);

fn read_config<'a>(r: &mut Reader<'a>) -> Result<Config<'a>, ReadError> {
    let config = (r.string("config name")?, r.nullable_string("config value")?);
    r.tags()?;
    Ok(config)
}

fn read_topic<'a>(r: &mut Reader<'a>, node_id: i32) -> Result<Creatable<'a>, ReadError> {
    let name = r.string("name")?;
    let num_partitions = r.i32("num_partitions")?;
    let replication_factor = r.i16("replication_factor")?;
    let assigned = read_assignments(r, node_id)?;
    let configs = (r.array("configs")?, *r);
    for _ in 0..configs.0 {
        read_config(r)?;
    }
    r.tags()?;
    Ok(Creatable { name, num_partitions, replication_factor, assigned, configs })
}

/// A bit for each partition that a topic can have.
const PARTITION_WORDS: usize = TOPIC_PARTITIONS_PLAUSIBLE_MAX as usize / 64;

fn read_assignments(
    r: &mut Reader<'_>,
    node_id: i32,
) -> Result<Result<Option<i32>, Refused>, ReadError> {
    let mut seen = [0u64; PARTITION_WORDS];
    let mut wrong = None;
    let count = r.array("assignments")?;
    // Each index once and none left out.
    let mut each_once = true;
    for _ in 0..count {
        let index = r.i32("partition_index")?;
        let index = usize::try_from(index).ok().filter(|index| *index < count);
        each_once &= index.is_some_and(|index| {
            let bit = 1 << (index % 64);
            seen.get_mut(index / 64).is_some_and(|word| {
                let first = *word & bit == 0;
                *word |= bit;
                first
            })
        });
        wrong = wrong.or(read_assignment(r, node_id)?.err());
        r.tags()?;
    }
    if let Some(refused) = wrong {
        return Ok(Err(refused));
    }
    if !each_once {
        let message = "the assigned partitions must count from 0, each named once";
        return Ok(Err(Refused::new(ErrorCode::InvalidReplicaAssignment, message)));
    }
    Ok(Ok((count > 0).then_some(count as i32)))
}

fn handle(
    context: &mut Context<'_>,
    r: Reader<'_>,
    reply: &mut Reply<'_>,
) -> Result<Outcome, ReadError> {
    with_names(context, |context, names| handle_with(context, names, r, reply))
}

fn handle_with(
    context: &mut Context<'_>,
    names: &mut Names,
    mut r: Reader<'_>,
    reply: &mut Reply<'_>,
) -> Result<Outcome, ReadError> {
    let node_id = context.node_id();
    let count = r.array("topics")?;
    let mut topics = r;
    let skip = |r: &mut Reader<'_>| read_topic(r, node_id).map(|_| ());
    let fits = sort_names(names, &mut r, count, skip, name_first)?;
    r.i32("timeout_ms")?;
    let validate_only = r.bool("validate_only")?;
    r.tags()?;
    let w = &mut reply.w;
    w.i32(0);
    w.array(count);
    let mut last = None;
    for _ in 0..count {
        let topic = read_topic(&mut topics, node_id)?;
        let name = topic.name;
        let once = named_once(names, fits, &name, topics, name_first, TOPIC_TWICE);
        let result = once.and_then(|()| create(context, topic, validate_only));
        last = last.max(result.as_ref().ok().and_then(|created| created.lsn));
        write_result(context, w, name, &result);
        if w.overflowed() {
            // The connection is closed anyway: no work for what nobody will see.
            break;
        }
    }
    w.tags();
    Ok(last.map_or(Outcome::Now, Outcome::AfterSync))
}

/// The settings of a new topic.
fn overrides_of(configs: (usize, Reader<'_>)) -> Result<TopicOverrides, Refused> {
    let (count, mut r) = configs;
    if count > TOPIC_CONFIGS_MAX {
        let message = "the request has more settings for this topic than there are";
        return Err(Refused::new(ErrorCode::InvalidConfig, message));
    }
    let pairs = (0..count).map_while(move |_| read_config(&mut r).ok());
    if let Some((config, _)) = pairs.clone().find(|(_, value)| value.is_none()) {
        // A new topic has no value that null could take away; Apache Kafka 4.3 says the same.
        let message = format!("{config}: a null value is not possible");
        return Err(Refused::new(ErrorCode::InvalidConfig, message));
    }
    // Of a setting that stands there twice the last one counts, as in Apache Kafka.
    Ok(TopicOverrides::from_last(pairs.filter_map(|(name, value)| Some((name, value?))))?)
}

fn create(
    context: &mut Context<'_>,
    topic: Creatable<'_>,
    validate_only: bool,
) -> Result<Created, Refused> {
    let mut partitions = topic.num_partitions;
    if let Some(assigned) = topic.assigned? {
        if topic.num_partitions != -1 || topic.replication_factor != -1 {
            let message = "with a manual assignment, partitions and replication factor must be -1";
            return Err(Refused::new(ErrorCode::InvalidRequest, message));
        }
        partitions = assigned;
    }
    let mut new = NewTopic {
        name: topic.name,
        partitions,
        replication_factor: topic.replication_factor,
        overrides: TopicOverrides::default(),
    };
    let partitions = context.broker.check_new_topic(&new)?;
    let overrides = overrides_of(topic.configs)?;
    new.overrides = overrides;
    if validate_only {
        return Ok(Created { lsn: None, id: [0; 16], partitions, overrides });
    }
    let lsn = context.broker.create_topic(new, context.now)?;
    let id = context.broker.topics().find(topic.name).map_or([0; 16], |topic| topic.id);
    Ok(Created { lsn: Some(lsn), id, partitions, overrides })
}

fn write_result(
    context: &Context<'_>,
    w: &mut Writer<'_>,
    name: &str,
    result: &Result<Created, Refused>,
) {
    let created = result.as_ref().ok();
    let (code, message) = error_of(result);
    w.string(name);
    w.since(7, |w| w.uuid(&created.map_or([0; 16], |created| created.id)));
    w.error(code);
    w.nullable_string(message);
    w.since(5, |w| {
        w.i32(created.map_or(-1, |created| created.partitions as i32));
        w.i16(created.map_or(-1, |_| 1));
        let described = context.broker.described();
        let configs = created.into_iter().flat_map(|created| described.topic(&created.overrides));
        w.array(configs.clone().count());
        for entry in configs {
            write_config(w, &entry);
            w.tags();
        }
    });
    w.tags();
}

#[cfg(test)]
mod tests {
    use super::API;
    use crate::api::Outcome;
    use crate::api::testing::{Golden, TestBroker, body, golden, hex};
    use crate::config::BrokerConfig;
    use crate::wire::Writer;

    fn with_topic() -> TestBroker {
        let mut test = TestBroker::new();
        test.topic("t", 1);
        test
    }

    #[test]
    fn every_version_is_read_and_written_as_kafkas_own_classes_do() {
        golden(&API, with_topic, GOLDEN);
    }

    #[test]
    fn from_version_5_on_the_settings_of_the_new_topic_are_told() {
        for (versions, request, head) in SUCCESS {
            for version in versions.clone() {
                let mut test = with_topic();
                let (outcome, bytes) = test.ask(19, version, |w| w.raw(&hex(request)));
                assert!(matches!(outcome, Outcome::AfterSync(_)));
                // Behind the golden head: a count (0 there), and two tag buffers at the end.
                let head = hex(head);
                let head = &head[..head.len() - 3];
                assert_eq!(&bytes[..head.len()], head, "version {version}");
                let mut r = body(&bytes[head.len()..], 19, version);
                let count = r.array("configs").unwrap();
                let mut found = 0;
                for _ in 0..count {
                    let name = r.string("name").unwrap();
                    let value = r.nullable_string("value").unwrap();
                    let (read_only, source) = (r.bool("ro").unwrap(), r.i8("source").unwrap());
                    assert!(!read_only && !r.bool("is_sensitive").unwrap());
                    r.tags().unwrap();
                    found += i32::from((name, value, source) == ("retention.ms", Some("5000"), 1));
                }
                assert_eq!((count, found, r.rest()), (35, 1, &[0, 0][..]));
            }
        }
    }

    /// One topic with replication factor `factor` and perhaps a setting, in version 4.
    fn ask(
        test: &mut TestBroker,
        names: &[&str],
        factor: i16,
        config: Option<(&str, Option<&str>)>,
        validate_only: bool,
    ) -> (Outcome, i16) {
        let (outcome, bytes) = test.ask(19, 4, |w: &mut Writer<'_>| {
            w.array(names.len());
            for name in names {
                w.string(name);
                w.i32(1);
                w.i16(factor);
                w.array(0);
                w.array(usize::from(config.is_some()));
                if let Some((name, value)) = config {
                    w.string(name);
                    w.nullable_string(value);
                }
            }
            w.i32(1000);
            w.bool(validate_only);
        });
        let mut r = body(&bytes, 19, 4);
        r.i32("throttle_time_ms").unwrap();
        assert_eq!(r.array("topics"), Ok(names.len()));
        r.string("name").unwrap();
        (outcome, r.i16("error_code").unwrap())
    }

    #[test]
    fn a_request_that_only_validates_creates_nothing() {
        let mut test = TestBroker::new();
        assert_eq!(ask(&mut test, &["x"], 1, None, true), (Outcome::Now, 0));
        assert!(test.broker.topics().is_empty());
    }

    #[test]
    fn a_topic_that_is_named_twice_or_has_wrong_settings_is_not_created() {
        let mut test = TestBroker::new();
        assert_eq!(ask(&mut test, &["x", "y", "x"], 1, None, false).1, 42);
        assert!(test.broker.topics().find("x").is_none());
        assert!(test.broker.topics().find("y").is_some());
        for (config, code) in [
            (("nope", Some("1")), 40),
            (("retention.ms", Some("soon")), 40),
            (("retention.ms", None), 40),
            (("cleanup.policy", Some("compact")), 0),
        ] {
            assert_eq!(ask(&mut test, &["x"], -1, Some(config), false).1, code, "{config:?}");
        }
    }

    #[test]
    fn of_a_setting_that_is_named_twice_the_last_one_counts() {
        let mut test = TestBroker::new();
        test.ask(19, 4, |w: &mut Writer<'_>| {
            w.array(1);
            w.string("x");
            w.i32(1);
            w.i16(1);
            w.array(0);
            w.array(2);
            for value in ["1000", "2000"] {
                w.string("retention.ms");
                w.nullable_string(Some(value));
            }
            w.i32(1000);
            w.bool(false);
        });
        let topic = test.broker.topics().find("x").expect("created");
        assert_eq!(topic.overrides.get("retention.ms"), Some("2000"));
    }

    #[test]
    fn any_replication_factor_is_accepted_where_the_broker_says_so() {
        let any = BrokerConfig { replication_factor_accept_any: true, ..TestBroker::config() };
        let mut test = TestBroker::with(any);
        assert_eq!(ask(&mut test, &["x"], 3, None, false).1, 0);
        assert_eq!(ask(&mut test, &["y"], 0, None, false).1, 38);
    }

    /// The same, with an empty list in place of the settings.
    const SUCCESS: &[Golden] = &[
        (
            5..=6,
            "02046e6577ffffffffffff04000000020200000001000000000102000000010000000000020000000100\
             020d726574656e74696f6e2e6d7305353030300000000075300000",
            "0000000002046e6577000000000000030001010000",
        ),
        (
            7..=7,
            "02046e6577ffffffffffff04000000020200000001000000000102000000010000000000020000000100\
             020d726574656e74696f6e2e6d7305353030300000000075300000",
            "0000000002046e657747526757130f4f5286c45d188009454f000000000000030001010000",
        ),
    ];

    /// Made with kafka-clients 4.3.0: its message classes wrote both sides.
    const GOLDEN: &[Golden] = &[
        (
            2..=4,
            "000000050001740000000100010000000000000000000361206200000001000100000000000000000004\
             7a65726f0000000000010000000000000000000574687265650000000100030000000000000000000366\
             6172ffffffffffff00000001000000000000000100000009000000000000753000",
            "0000000000000005000174002400236120746f706963206f662074686973206e616d6520616c72656164\
             79206578697374730003612062001100426120746f706963206e616d65206d6179206f6e6c7920686f6c\
             64204153434949206c6574746572732c206469676974732c20272e272c20275f2720616e6420272d2700\
             047a65726f0025002b746865206e756d626572206f6620706172746974696f6e73206d75737420626520\
             6174206c65617374203100057468726565002600ad74686973206973206f6e65206e6f64652c20776869\
             6368206b65657073206f6e65207265706c6963613a2061736b20666f722061207265706c69636174696f\
             6e20666163746f72206f662031206f72202d312c206f7220736574207265706c69636174696f6e2e6661\
             63746f722e6163636570742e616e79203d20747275652c20616e6420616e7920666163746f7220697320\
             616363657074656420616e64207265706f72746564206173203100036661720027002a74686572652069\
             73206e6f206e6f646520393b20746865206f6e6c79206f6e6520686572652069732031",
        ),
        (
            2..=4,
            "0000000100036e6577ffffffffffff000000030000000200000001000000010000000100000001000000\
             0100000000000000010000000100000001000c726574656e74696f6e2e6d730004353030300000753000",
            "000000000000000100036e65770000ffff",
        ),
        (
            5..=6,
            "06027400000001000101010004612062000000010001010100057a65726f000000000001010100067468\
             72656500000001000301010004666172ffffffffffff02000000000200000009000100000075300000",
            "000000000602740024246120746f706963206f662074686973206e616d6520616c726561647920657869\
             737473ffffffffffff0100046120620011436120746f706963206e616d65206d6179206f6e6c7920686f\
             6c64204153434949206c6574746572732c206469676974732c20272e272c20275f2720616e6420272d27\
             ffffffffffff0100057a65726f00252c746865206e756d626572206f6620706172746974696f6e73206d\
             757374206265206174206c656173742031ffffffffffff01000674687265650026ae0174686973206973\
             206f6e65206e6f64652c207768696368206b65657073206f6e65207265706c6963613a2061736b20666f\
             722061207265706c69636174696f6e20666163746f72206f662031206f72202d312c206f722073657420\
             7265706c69636174696f6e2e666163746f722e6163636570742e616e79203d20747275652c20616e6420\
             616e7920666163746f7220697320616363657074656420616e64207265706f727465642061732031ffff\
             ffffffff01000466617200272b7468657265206973206e6f206e6f646520393b20746865206f6e6c7920\
             6f6e6520686572652069732031ffffffffffff010000",
        ),
        (
            7..=7,
            "06027400000001000101010004612062000000010001010100057a65726f000000000001010100067468\
             72656500000001000301010004666172ffffffffffff02000000000200000009000100000075300000",
            "00000000060274000000000000000000000000000000000024246120746f706963206f66207468697320\
             6e616d6520616c726561647920657869737473ffffffffffff0100046120620000000000000000000000\
             00000000000011436120746f706963206e616d65206d6179206f6e6c7920686f6c64204153434949206c\
             6574746572732c206469676974732c20272e272c20275f2720616e6420272d27ffffffffffff0100057a\
             65726f0000000000000000000000000000000000252c746865206e756d626572206f6620706172746974\
             696f6e73206d757374206265206174206c656173742031ffffffffffff01000674687265650000000000\
             00000000000000000000000026ae0174686973206973206f6e65206e6f64652c207768696368206b6565\
             7073206f6e65207265706c6963613a2061736b20666f722061207265706c69636174696f6e2066616374\
             6f72206f662031206f72202d312c206f7220736574207265706c69636174696f6e2e666163746f722e61\
             63636570742e616e79203d20747275652c20616e6420616e7920666163746f7220697320616363657074\
             656420616e64207265706f727465642061732031ffffffffffff01000466617200000000000000000000\
             00000000000000272b7468657265206973206e6f206e6f646520393b20746865206f6e6c79206f6e6520\
             686572652069732031ffffffffffff010000",
        ),
    ];
}
