//! DescribeConfigs (32): the settings of topics and of the broker, and the broker's figures.
//!
//! Versions 1–4. v1 config_source, synonyms · v3 config_type, documentation · v4 flexible.
//!
//! Promises: every known setting is listed, set or not, since clients that read, modify and write
//! back would lose the others. A resource that has no settings here is refused on its own, the
//! connection stays (UIs ask for loggers and groups).
//! The broker's settings are followed by read-only figures named `ottla.status.*`, which
//! `ottla status` shows; those of forwarding come from `forwarding`.

use super::shared::{
    RESOURCE_BROKER, RESOURCE_TOPIC, Refused, error_of, name_first, sort_names, too_many_names,
    with_names, write_config,
};
use super::{Api, Context, Outcome, Reply, forwarding};
use crate::broker::{Broker, Names, Refusal};
use crate::config::{ConfigEntry, ValueType, figure};
use crate::disk::DiskError;
use crate::state::topics::check_name;
use crate::wire::{ErrorCode, ReadError, Reader, Writer};
use core::fmt::{self, Write};

/// The row.
pub const API: Api = Api {
    key: 32,
    name: "DescribeConfigs",
    versions: (1, 4),
    advertised_min: 1,
    flexible: 4,
    handle,
};

/// One resource of a request.
struct Resource<'a> {
    kind: i8,
    name: &'a str,
    /// How many names of settings stand at the cursor; none for all settings, as in Kafka
    /// (`ConfigHelper.describeConfigs`).
    keys: (usize, Reader<'a>),
}

fn read_resource<'a>(r: &mut Reader<'a>) -> Result<Resource<'a>, ReadError> {
    let kind = r.i8("resource_type")?;
    let name = r.string("resource_name")?;
    let count = r.nullable_array("configuration_keys")?.unwrap_or(0);
    let keys = (count, *r);
    for _ in 0..count {
        r.string("configuration_keys")?;
    }
    r.tags()?;
    Ok(Resource { kind, name, keys })
}

/// What of each setting is told.
#[derive(Clone, Copy)]
struct Include {
    synonyms: bool,
    documentation: bool,
}

fn handle(
    context: &mut Context<'_>,
    mut r: Reader<'_>,
    reply: &mut Reply<'_>,
) -> Result<Outcome, ReadError> {
    let count = r.array("resources")?;
    let mut resources = r;
    for _ in 0..count {
        read_resource(&mut r)?;
    }
    let synonyms = r.bool("include_synonyms")?;
    let documentation = r.since(3, false, |r| r.bool("include_documentation"))?;
    let include = Include { synonyms, documentation };
    r.tags()?;
    let w = &mut reply.w;
    w.i32(0);
    w.array(count);
    for _ in 0..count {
        let resource = read_resource(&mut resources)?;
        with_names(context, |context, names| describe(context, names, w, &resource, include))?;
        if w.overflowed() {
            // The connection is closed anyway: no work for what nobody will see.
            break;
        }
    }
    w.tags();
    Ok(Outcome::Now)
}

/// Writes the answer for one resource.
fn describe(
    context: &mut Context<'_>,
    names: &mut Names,
    w: &mut Writer<'_>,
    resource: &Resource<'_>,
    include: Include,
) -> Result<(), ReadError> {
    let (count, mut keys) = resource.keys;
    let list = keys;
    let skip = |r: &mut Reader<'_>| r.string("configuration_keys").map(|_| ());
    let fits = sort_names(names, &mut keys, count, skip, name_first)?;
    let result = match fits {
        true => check(context, resource),
        false => Err(too_many_names()),
    };
    let (code, message) = error_of(&result);
    w.error(code);
    w.nullable_string(message);
    w.i8(resource.kind);
    w.string(resource.name);
    let wanted =
        |name: &str| count == 0 || names.count(|at| name_first(list.moved_to(at)).cmp(name)) > 0;
    match result {
        Err(_) => w.array(0),
        Ok(()) if resource.kind == RESOURCE_TOPIC => {
            let topic = context.broker.topics().find(resource.name);
            let described = context.broker.described();
            let entries = topic.into_iter().flat_map(|topic| described.topic(topic.overrides));
            let entries = entries.filter(|entry| wanted(entry.name));
            w.array(entries.clone().count());
            entries.for_each(|entry| write_entry(w, &entry, include));
        }
        Ok(()) => describe_broker(context, w, wanted, include),
    }
    w.tags();
    Ok(())
}

/// Whether there is such a resource, with settings.
fn check(context: &Context<'_>, resource: &Resource<'_>) -> Result<(), Refused> {
    let invalid = |message: String| Err(Refused::new(ErrorCode::InvalidRequest, message));
    match resource.kind {
        RESOURCE_TOPIC => {
            check_name(resource.name).map_err(Refusal::InvalidTopicName)?;
            let topic = context.broker.topics().find(resource.name);
            topic.ok_or(Refusal::UnknownTopicOrPartition)?;
            Ok(())
        }
        RESOURCE_BROKER => {
            let node_id = context.node_id();
            let this = resource.name.parse() == Ok(node_id);
            if !this && !resource.name.is_empty() {
                return invalid(format!("this is node {node_id}, and there is no other"));
            }
            Ok(())
        }
        kind => invalid(format!("resources of type {kind} have no settings here")),
    }
}

fn describe_broker(
    context: &mut Context<'_>,
    w: &mut Writer<'_>,
    wanted: impl Fn(&str) -> bool,
    include: Include,
) {
    let mut text = context.broker.take_text();
    let entries = context.broker.described().broker().filter(|entry| wanted(entry.name));
    let mut count = entries.clone().count() + forwarding::topics_wanted(context, &wanted);
    let mut one_more = |name: &str, _, _: fmt::Arguments<'_>, _| count += usize::from(wanted(name));
    status(context, &mut one_more);
    forwarding::figures(context, &mut one_more);
    w.array(count);
    entries.for_each(|entry| write_entry(w, &entry, include));
    let mut write = |name: &str, kind, value: fmt::Arguments<'_>, doc| {
        if wanted(name) {
            text.clear();
            // What does not fit is cut off.
            Cut(&mut text).write_fmt(value).ok();
            write_entry(w, &figure(name, kind, &text, doc), include);
        }
    };
    status(context, &mut write);
    forwarding::figures(context, &mut write);
    forwarding::topics(context, &wanted, &mut write);
    context.broker.give_text(text);
}

/// Text that ends where its memory does.
struct Cut<'a>(&'a mut String);

impl Write for Cut<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = self.0.capacity() - self.0.len();
        let fits = |end: &usize| text.is_char_boundary(*end);
        let end = (0..=room.min(text.len())).rev().find(fits).unwrap_or(0);
        self.0.push_str(&text[..end]);
        if end == text.len() { Ok(()) } else { Err(fmt::Error) }
    }
}

fn write_entry(w: &mut Writer<'_>, entry: &ConfigEntry<'_>, include: Include) {
    write_config(w, entry);
    let synonyms = entry.synonyms().take(if include.synonyms { usize::MAX } else { 0 });
    w.array(synonyms.len());
    for (name, value, source) in synonyms {
        w.string(name);
        w.nullable_string(Some(value));
        w.i8(source as i8);
        w.tags();
    }
    w.since(3, |w| {
        w.i8(entry.kind as i8);
        w.nullable_string(include.documentation.then_some(entry.documentation));
    });
    w.tags();
}

/// What is in use of every table and pool.
struct Limits<'a>(&'a Broker);

impl fmt::Display for Limits<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.usage().enumerate().try_for_each(|(at, it)| {
            let comma = if at == 0 { "" } else { ", " };
            write!(f, "{comma}{} {}/{}", it.name, it.used, it.limit)
        })
    }
}

/// Which records have rotted.
struct Gaps<'a>(&'a Broker);

impl fmt::Display for Gaps<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rot = self.0.storage().rot();
        rot.gaps().iter().enumerate().try_for_each(|(at, gap)| {
            let comma = if at == 0 { "" } else { ", " };
            let topic = self.0.topics().get(gap.key.topic).map_or("?", |topic| topic.name);
            write!(f, "{comma}{topic}-{} {}-{}", gap.key.partition, gap.first, gap.next - 1)
        })
    }
}

/// How the disk does.
struct StorageWords(Option<DiskError>);

impl fmt::Display for StorageWords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            None => f.write_str("ok"),
            Some(error) => write!(f, "{error}; nothing is acknowledged until a restart"),
        }
    }
}

/// Takes a figure's name, its type, its value and what it is.
pub(super) type Visit<'a> = &'a mut dyn FnMut(&str, ValueType, fmt::Arguments<'_>, &'static str);

/// The figures that `ottla status` shows.
fn status(context: &Context<'_>, visit: Visit<'_>) {
    let broker = &context.broker;
    let (storage, figures, started) = (broker.storage(), broker.figures, broker.started());
    let counters = storage.counters();
    let now = context.now.mono;
    let store_bytes: u64 = storage.partitions().map(|(_, partition)| partition.bytes()).sum();
    let last_sync = counters.last_sync.map_or(-1, |at| now.since(at) as i64);
    let mut text =
        |name, value: fmt::Arguments<'_>, doc| visit(name, ValueType::String, value, doc);
    let version = env!("CARGO_PKG_VERSION");
    text("ottla.status.version", format_args!("{version}"), "This program's version.");
    let data_dir = broker.config().log_dir.display();
    text("ottla.status.data.dir", format_args!("{data_dir}"), "Where the data is.");
    text("ottla.status.cluster.id", format_args!("{}", broker.cluster_id()), "The cluster's id.");
    let words = StorageWords(storage.failed());
    text("ottla.status.storage", format_args!("{words}"), "ok, or what failed.");
    let gaps = Gaps(broker);
    text("ottla.status.rot", format_args!("{gaps}"), "Places in segments that have rotted.");
    let limits = Limits(broker);
    let doc = "What is in use of every table and pool, and all.";
    text("ottla.status.limits", format_args!("{limits}"), doc);
    let forwarding = broker.forward_state();
    let doc = "off, paused, connecting, up or down.";
    text("ottla.status.forward.state", format_args!("{forwarding}"), doc);
    let set = if broker.clock().is_set() { "set" } else { "not set" };
    text("ottla.status.clock", format_args!("{set}"), "Whether the machine's clock was ever set.");
    let mut number = |name, value: i128, doc| {
        visit(name, ValueType::Long, format_args!("{value}"), doc);
    };
    let mut count = |name, value: u64, doc| number(name, i128::from(value), doc);
    count("ottla.status.up.ms", now.since(started.mono), "Milliseconds since the start.");
    count("ottla.status.records.in", figures.records_in, "Records appended since start.");
    count("ottla.status.bytes.in", figures.bytes_in, "Bytes appended since start.");
    count("ottla.status.records.out", figures.records_out, "Records fetched since start.");
    count("ottla.status.bytes.out", figures.bytes_out, "Bytes fetched since start.");
    count("ottla.status.connections", figures.connections, "Connections open now.");
    count("ottla.status.topics", broker.topics().len() as u64, "Topics.");
    count("ottla.status.partitions", broker.topics().partitions() as u64, "Partitions.");
    count("ottla.status.groups", broker.groups.len() as u64, "Consumer groups.");
    count("ottla.status.store.bytes", store_bytes, "Bytes of all segments.");
    let rot = storage.rot();
    count("ottla.status.rot.records", rot.records_lost(), "Records that have rotted.");
    let doc = "How often rot was met of which there was no room to remember.";
    count("ottla.status.rot.further", rot.further(), doc);
    let scrubbed = storage.scrubbed();
    count("ottla.status.scrub.passes", scrubbed.passes, "Searches of all segments for rot.");
    let doc = "Bytes that the present search for rot has looked at.";
    count("ottla.status.scrub.bytes", scrubbed.bytes, doc);
    let doc = "Milliseconds that the last sync took.";
    count("ottla.status.last.sync.took.ms", counters.last_sync_took_ms, doc);
    count("ottla.status.syncs", counters.syncs, "Syncs since start.");
    count("ottla.status.checkpoints", counters.checkpoints, "Checkpoints since start.");
    let quota = storage.quota();
    if let (Some(bytes), Some(used)) = (quota.quota(), quota.used()) {
        count("ottla.status.disk.quota.bytes", bytes, "disk.quota.bytes.");
        let doc = "Bytes that all files take of the disk, at most.";
        count("ottla.status.disk.used.bytes", used, doc);
    }
    if let Ok(free) = storage.disk().free_bytes() {
        count("ottla.status.disk.free.bytes", free, "Bytes that are free on the file system.");
    }
    let doc = "Bytes that are kept for what is no record.";
    count("ottla.status.disk.reserve.bytes", quota.reserve(), doc);
    let refuses = u64::from(broker.space().is_full());
    count("ottla.status.disk.full", refuses, "1 while records are refused for want of room.");
    let (segments, bytes) = broker.space().dropped_in_all();
    let doc = "Segments that went for want of room since the start.";
    count("ottla.status.disk.dropped.segments", segments, doc);
    count("ottla.status.disk.dropped.bytes", bytes, "Their bytes.");
    if let Some(written) = storage.disk().written_bytes() {
        count("ottla.status.written.bytes", written, "Bytes written to devices since start.");
    }
    let clock = broker.clock();
    count("ottla.status.clock.jumps", clock.jumps(), "Jumps of the machine's clock since start.");
    if let Some((at, jump)) = clock.last_jump() {
        let doc = "Milliseconds since the last jump of the machine's clock was seen.";
        count("ottla.status.clock.jump.ago.ms", now.since(at), doc);
        let doc = "Milliseconds by which the machine's clock jumped the last time.";
        number("ottla.status.clock.jump.ms", i128::from(jump), doc);
    }
    let doc = "The start, in milliseconds since 1970 by the machine's clock.";
    number("ottla.status.started.at.ms", i128::from(started.wall_ms), doc);
    let doc = "Milliseconds since the last sync; -1 if there was none since start.";
    number("ottla.status.last.sync.ago.ms", i128::from(last_sync), doc);
}

#[cfg(test)]
mod tests {
    use super::API;
    use crate::api::testing::{Golden, TestBroker, body, golden};
    use crate::config::{BROKER_KEYS, TopicOverrides};

    fn with_topic() -> TestBroker {
        let mut test = TestBroker::new();
        test.topic("t", 1);
        let number = test.broker.topics().find("t").unwrap().number;
        let config = test.broker.config().clone();
        let own = TopicOverrides::from_pairs([("retention.ms", Some("5000"))], &config).unwrap();
        test.broker.configure_topic(number, own, test.now).unwrap();
        test.sync();
        test
    }

    #[test]
    fn every_version_is_read_and_written_as_kafkas_own_classes_do() {
        golden(&API, with_topic, GOLDEN);
    }

    /// Names of the entries of one resource, asked without a filter, with their documentation.
    fn names(test: &mut TestBroker, kind: i8, name: &str) -> Vec<String> {
        let (_, bytes) = test.ask(32, 4, |w| {
            w.array(1);
            w.i8(kind);
            w.string(name);
            w.nullable_array(None);
            w.tags();
            w.bool(false);
            w.bool(true);
            w.tags();
        });
        let mut r = body(&bytes, 32, 4);
        r.i32("throttle_time_ms").unwrap();
        assert_eq!(r.array("results"), Ok(1));
        assert_eq!(r.i16("error_code"), Ok(0));
        assert_eq!(r.nullable_string("error_message"), Ok(None));
        assert_eq!((r.i8("resource_type"), r.string("resource_name")), (Ok(kind), Ok(name)));
        let count = r.array("configs").unwrap();
        let mut names = Vec::new();
        for _ in 0..count {
            names.push(r.string("name").unwrap().to_owned());
            r.nullable_string("value").unwrap();
            r.bool("read_only").unwrap();
            r.i8("config_source").unwrap();
            r.bool("is_sensitive").unwrap();
            assert_eq!(r.array("synonyms"), Ok(0));
            assert!((1..=9).contains(&r.i8("config_type").unwrap()));
            assert!(!r.string("documentation").unwrap().is_empty());
            r.tags().unwrap();
        }
        assert_eq!(r.rest(), [0, 0]);
        names
    }

    #[test]
    fn without_a_filter_every_known_setting_is_listed_and_the_brokers_figures_too() {
        let mut test = with_topic();
        assert_eq!(names(&mut test, 2, "t").len(), 35);
        for broker in ["1", ""] {
            let names = names(&mut test, 4, broker);
            let figures = names.iter().filter(|name| name.starts_with("ottla.status.")).count();
            assert_eq!((names.len() - figures, figures), (BROKER_KEYS.len(), 33));
        }
    }

    /// Made with kafka-clients 4.3.0: its message classes wrote both sides.
    const GOLDEN: &[Golden] = &[
        (
            1..=2,
            "000000050200017400000002000d7365676d656e742e6279746573000c726574656e74696f6e2e6d7304\
             00013100000002000e6e756d2e706172746974696f6e7300146f74746c612e7374617475732e73746f72\
             6167650200076d697373696e67ffffffff08000131ffffffff04000132ffffffff01",
            "00000000000000050000ffff0200017400000002000c726574656e74696f6e2e6d730004353030300001\
             0000000002000c726574656e74696f6e2e6d730004353030300100106c6f672e726574656e74696f6e2e\
             6d73000936303438303030303005000d7365676d656e742e627974657300083136373737323136000500\
             0000000100116c6f672e7365676d656e742e627974657300083136373737323136050000ffff04000131\
             00000002000e6e756d2e706172746974696f6e7300013101050000000001000e6e756d2e706172746974\
             696f6e730001310500146f74746c612e7374617475732e73746f7261676500026f6b0105000000000000\
             0300237468657265206973206e6f207375636820746f706963206f7220706172746974696f6e0200076d\
             697373696e6700000000002a00297265736f7572636573206f66207479706520382068617665206e6f20\
             73657474696e677320686572650800013100000000002a002574686973206973206e6f646520312c2061\
             6e64207468657265206973206e6f206f746865720400013200000000",
        ),
        (
            1..=2,
            "000000050200017400000002000d7365676d656e742e6279746573000c726574656e74696f6e2e6d7304\
             00013100000002000e6e756d2e706172746974696f6e7300146f74746c612e7374617475732e73746f72\
             6167650200076d697373696e67ffffffff08000131ffffffff04000132ffffffff00",
            "00000000000000050000ffff0200017400000002000c726574656e74696f6e2e6d730004353030300001\
             0000000000000d7365676d656e742e627974657300083136373737323136000500000000000000ffff04\
             00013100000002000e6e756d2e706172746974696f6e730001310105000000000000146f74746c612e73\
             74617475732e73746f7261676500026f6b01050000000000000300237468657265206973206e6f207375\
             636820746f706963206f7220706172746974696f6e0200076d697373696e6700000000002a0029726573\
             6f7572636573206f66207479706520382068617665206e6f2073657474696e6773206865726508000131\
             00000000002a002574686973206973206e6f646520312c20616e64207468657265206973206e6f206f74\
             6865720400013200000000",
        ),
        (
            3..=3,
            "000000050200017400000002000d7365676d656e742e6279746573000c726574656e74696f6e2e6d7304\
             00013100000002000e6e756d2e706172746974696f6e7300146f74746c612e7374617475732e73746f72\
             6167650200076d697373696e67ffffffff08000131ffffffff04000132ffffffff0100",
            "00000000000000050000ffff0200017400000002000c726574656e74696f6e2e6d730004353030300001\
             0000000002000c726574656e74696f6e2e6d730004353030300100106c6f672e726574656e74696f6e2e\
             6d7300093630343830303030300505ffff000d7365676d656e742e627974657300083136373737323136\
             0005000000000100116c6f672e7365676d656e742e6279746573000831363737373231360503ffff0000\
             ffff0400013100000002000e6e756d2e706172746974696f6e7300013101050000000001000e6e756d2e\
             706172746974696f6e730001310503ffff00146f74746c612e7374617475732e73746f7261676500026f\
             6b0105000000000002ffff000300237468657265206973206e6f207375636820746f706963206f722070\
             6172746974696f6e0200076d697373696e6700000000002a00297265736f7572636573206f6620747970\
             6520382068617665206e6f2073657474696e677320686572650800013100000000002a00257468697320\
             6973206e6f646520312c20616e64207468657265206973206e6f206f746865720400013200000000",
        ),
        (
            3..=3,
            "000000050200017400000002000d7365676d656e742e6279746573000c726574656e74696f6e2e6d7304\
             00013100000002000e6e756d2e706172746974696f6e7300146f74746c612e7374617475732e73746f72\
             6167650200076d697373696e67ffffffff08000131ffffffff04000132ffffffff0000",
            "00000000000000050000ffff0200017400000002000c726574656e74696f6e2e6d730004353030300001\
             000000000005ffff000d7365676d656e742e6279746573000831363737373231360005000000000003ff\
             ff0000ffff0400013100000002000e6e756d2e706172746974696f6e730001310105000000000003ffff\
             00146f74746c612e7374617475732e73746f7261676500026f6b0105000000000002ffff000300237468\
             657265206973206e6f207375636820746f706963206f7220706172746974696f6e0200076d697373696e\
             6700000000002a00297265736f7572636573206f66207479706520382068617665206e6f207365747469\
             6e677320686572650800013100000000002a002574686973206973206e6f646520312c20616e64207468\
             657265206973206e6f206f746865720400013200000000",
        ),
        (
            4..=4,
            "06020274030e7365676d656e742e62797465730d726574656e74696f6e2e6d7300040231030f6e756d2e\
             706172746974696f6e73156f74746c612e7374617475732e73746f726167650002086d697373696e6700\
             0008023100000402320000010000",
            "0000000006000000020274030d726574656e74696f6e2e6d730535303030000100030d726574656e7469\
             6f6e2e6d7305353030300100116c6f672e726574656e74696f6e2e6d730a363034383030303030050005\
             00000e7365676d656e742e627974657309313637373732313600050002126c6f672e7365676d656e742e\
             6279746573093136373737323136050003000000000000040231030f6e756d2e706172746974696f6e73\
             0231010500020f6e756d2e706172746974696f6e7302310500030000156f74746c612e7374617475732e\
             73746f72616765036f6b01050001020000000003247468657265206973206e6f207375636820746f7069\
             63206f7220706172746974696f6e02086d697373696e670100002a2a7265736f7572636573206f662074\
             79706520382068617665206e6f2073657474696e677320686572650802310100002a2674686973206973\
             206e6f646520312c20616e64207468657265206973206e6f206f74686572040232010000",
        ),
        (
            4..=4,
            "06020274030e7365676d656e742e62797465730d726574656e74696f6e2e6d7300040231030f6e756d2e\
             706172746974696f6e73156f74746c612e7374617475732e73746f726167650002086d697373696e6700\
             0008023100000402320000000000",
            "0000000006000000020274030d726574656e74696f6e2e6d730535303030000100010500000e7365676d\
             656e742e62797465730931363737373231360005000103000000000000040231030f6e756d2e70617274\
             6974696f6e73023101050001030000156f74746c612e7374617475732e73746f72616765036f6b010500\
             01020000000003247468657265206973206e6f207375636820746f706963206f7220706172746974696f\
             6e02086d697373696e670100002a2a7265736f7572636573206f66207479706520382068617665206e6f\
             2073657474696e677320686572650802310100002a2674686973206973206e6f646520312c20616e6420\
             7468657265206973206e6f206f74686572040232010000",
        ),
    ];
}
