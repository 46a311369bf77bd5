//! What must hold at the end: upstream has what the gateway has, once, in order.

use crate::cluster::Cluster;
use crate::found::upstream;
use crate::life::{Life, Lived};
use crate::plan::Theme;
use crate::records::{self, GOOD, MARK_BYTES, Plain};
use crate::truth::{Lane, Local};
use ottla::broker::Broker;
use ottla::config::{OnRejected, TimestampType};
use ottla::forward::merge::whole_bytes_max;
use ottla::storage::PartitionKey;
use ottla::wire::batch::{self, HEADER_BYTES};
use std::collections::{BTreeMap, BTreeSet};

/// Bytes of a record's lengths and numbers, which are small ones here; and of a header's.
const RECORD_BYTES_BESIDE: usize = 20;

/// A record in words.
fn name(record: &Plain) -> String {
    let value = record.value.as_deref().unwrap_or_default();
    String::from_utf8_lossy(&value[..MARK_BYTES]).into_owned()
}

/// Whether upstream refuses this batch whatever happens, or may.
fn is_poison(batch: &Local) -> bool {
    batch
        .records
        .iter()
        .any(|record| record.value.as_deref().is_some_and(|value| value[MARK_BYTES - 1] != GOOD))
}

/// The batches of `<topic>.rejected`, with base offset and leader epoch left out.
fn set_aside(broker: &mut Broker, lane: &Lane) -> Vec<Vec<u8>> {
    let name = format!("{}.rejected", lane.topic);
    let Some((_, view)) = broker.find_partition(&name, lane.partition) else { return Vec::new() };
    let mut batches = Vec::new();
    let mut offset = view.log_start_offset;
    while offset < view.high_watermark {
        let slice = broker.read(view.index, offset, 1, true).unwrap().expect("a batch");
        let mut bytes = vec![0; slice.bytes as usize];
        slice.file.read_exact_at(&mut bytes, u64::from(slice.position)).unwrap();
        let header = batch::check_stored(&bytes).unwrap();
        bytes.truncate(header.total_bytes);
        offset = header.next_offset();
        batches.push(bare(&bytes));
    }
    batches
}

/// Bytes of a batch without compression, or a few more.
fn plain_bytes_at_most(batch: &Local) -> usize {
    let bytes = |text: &Option<Vec<u8>>| text.as_ref().map_or(0, Vec::len);
    let record = |record: &Plain| {
        let headers = record.headers.iter().map(|(key, value)| key.len() + bytes(value) + 4);
        bytes(&record.key) + bytes(&record.value) + headers.sum::<usize>() + RECORD_BYTES_BESIDE
    };
    HEADER_BYTES + batch.records.iter().map(record).sum::<usize>()
}

/// The records of a batch that could not be written anew go up with the times that their producers
/// gave them, not with the broker's.
fn forget_time(record: &mut Plain, timeless: &BTreeSet<(u16, u32)>) {
    if timeless.contains(&record.mark()) {
        record.timestamp = 0;
    }
}

fn bare(stored: &[u8]) -> Vec<u8> {
    let mut bytes = stored.to_vec();
    bytes[..8].fill(0);
    bytes[12..16].fill(0);
    bytes
}

/// Checks everything.
pub fn everything(life: &mut Life, lived: &mut Lived) {
    let mut found = upstream(&life.world.cluster);
    let theme = life.plan.theme;
    let stops = life.plan.config.forward.on_rejected == OnRejected::Stop;
    let bytes_max = life.plan.settings.message_bytes_max;
    // The other cluster may be another Kafka.
    let certain = theme != Theme::OtherCluster;
    let knows_zstd = certain.then(|| life.world.cluster.knows_zstd());
    let mut lanes = life.world.gateway.truth.lanes.clone();
    let timestamp_type = life.plan.config.log_message_timestamp_type;
    let by_broker = timestamp_type == TimestampType::LogAppendTime;
    let mut timeless = BTreeSet::new();
    if by_broker {
        let whole = whole_bytes_max(life.plan.config.forward.batch_size);
        let unpacks_zstd = life.plan.config.sizes.forward_unpacks_zstd;
        for batch in lanes.iter().flat_map(|lane| &lane.batches) {
            let zstd = records::is_zstd(&batch.stored);
            if zstd && !unpacks_zstd || plain_bytes_at_most(batch) > whole {
                timeless.extend(batch.records.iter().map(Plain::mark));
            }
        }
        for batch in lanes.iter_mut().flat_map(|lane| &mut lane.batches) {
            batch.records.iter_mut().for_each(|record| forget_time(record, &timeless));
        }
        found.values_mut().flatten().for_each(|record| forget_time(record, &timeless));
    }
    let broker = &mut life.world.gateway.running.as_mut().expect("it runs").broker;
    let mut aside: BTreeMap<(String, i32), Vec<Vec<u8>>> = BTreeMap::new();
    for lane in &lanes {
        // A topic that a power cut took away has left its number to another.
        let key = PartitionKey { topic: lane.topic_number, partition: lane.partition as u32 };
        let row = broker.forward_row(key).filter(|_| lane.there).cloned();
        let place = (lane.topic.clone(), lane.partition);
        let aside = aside.entry(place).or_insert_with(|| set_aside(broker, lane));
        let got = found.get(&lane.number).map(Vec::as_slice).unwrap_or_default();
        lived.records += got.len() as u64;
        let (rejected, repeated) = row.as_ref().map_or((0, 0), |row| (row.rejected, row.repeated));
        lived.repeated += repeated;
        let mut judge = Judge {
            lane,
            aside,
            rejected: 0,
            rejected_in_part: false,
            repeats: repeated > 0,
            bytes_max,
            by_broker,
            knows_zstd,
            missing: Vec::new(),
        };
        let stopped = row.as_ref().is_some_and(|row| row.stopped);
        let ends = lane.deleted || (stops && stopped);
        let wanted = judge.wanted(ends);
        let rejected_here = judge.rejected;
        let missing = std::mem::take(&mut judge.missing);
        lived.rejected += rejected_here;
        let verdict = match theme {
            // Whoever may not read for a while may not be able to know.
            Theme::Usual | Theme::Topics if repeated > 0 && life.forbidden => {
                with_repeats(&wanted, got, repeated, u64::MAX)
            }
            Theme::Usual | Theme::Topics => exactly_once(&wanted, got),
            Theme::WriteOnly => with_repeats(&wanted, got, repeated, u64::MAX),
            Theme::Seek => {
                // What was on its way when the lane was moved may arrive behind what was sent then.
                // How often a record may be there, each knows by itself.
                let breaks_max = if repeated > 0 { u64::MAX } else { 2 * u64::from(lane.seeks) };
                with_repeats(&wanted, got, u64::MAX, breaks_max)
            }
            Theme::Recreated | Theme::Forgetful | Theme::OtherCluster => {
                with_losses(&wanted, got, &life.graveyard, (lane.number, &timeless)).and_then(
                    |()| {
                        // What is there is there once and in order, but for what is counted.
                        // Without topic ids nobody is told of a topic that was made anew, and an
                        // offset of the old one means nothing in it.
                        let blind = theme == Theme::Recreated;
                        let may: Vec<Want<'_>> = wanted
                            .iter()
                            .map(|want| Want {
                                must: false,
                                times_max: if blind { u64::MAX } else { want.times_max },
                                ..*want
                            })
                            .collect();
                        let breaks_max = if repeated > 0 || blind { u64::MAX } else { 0 };
                        with_repeats(&may, got, if blind { u64::MAX } else { repeated }, breaks_max)
                    },
                )
            }
        };
        let verdict = verdict.and_then(|()| match missing.first() {
            Some(batch) if !ends => Err(format!("{batch} is not in the topic for rejected ones")),
            _ => Ok(()),
        });
        let usual = matches!(theme, Theme::Usual | Theme::Topics);
        let verdict = verdict.and_then(|()| match usual && !lane.deleted {
            true if repeated > 0 && !life.forbidden => {
                Err(format!("{repeated} records may be repeated, it says"))
            }
            true if lane.there && !judge.rejected_in_part && rejected != rejected_here => {
                Err(format!("{rejected} records rejected, it says, but {rejected_here} are"))
            }
            _ => Ok(()),
        });
        if let Err(what) = verdict {
            let got = got.iter().map(name).collect::<Vec<_>>().join(" ");
            for batch in &lane.batches {
                let names = batch.records.iter().map(name).collect::<Vec<_>>().join(" ");
                let optional = if batch.optional { " (optional)" } else { "" };
                life.world.say(|| format!("{}..{}{optional}: {names}", batch.base, batch.next));
            }
            panic!("lane {}: {what}\n  row: {row:?}\n  upstream: {got}", lane.number);
        }
    }
    for ((topic, partition), left) in aside {
        let names = left.iter().flat_map(|bytes| {
            records::decode(bytes, &batch::check_stored(bytes).unwrap()).into_iter().next()
        });
        let names: Vec<String> = names.map(|record| name(&record)).collect();
        assert!(names.is_empty(), "{topic}.rejected-{partition} has {names:?} too often");
    }
}

/// Finds out what has to be upstream.
struct Judge<'a> {
    lane: &'a Lane,
    aside: &'a mut Vec<Vec<u8>>,
    rejected: u64,
    rejected_in_part: bool,
    repeats: bool,
    bytes_max: usize,
    /// The broker's timestamps are written into the records on the way up.
    by_broker: bool,
    knows_zstd: Option<bool>,
    missing: Vec<String>,
}

/// A record that may be upstream, and whether it must be.
#[derive(Clone, Copy)]
struct Want<'a> {
    record: &'a Plain,
    must: bool,
    /// So often at most, where nothing is counted as perhaps repeated.
    times_max: u64,
    /// As often as the record before it: they went up together or not at all.
    together: bool,
}

impl<'a> Judge<'a> {
    /// All records that may be upstream, in order. `ends`: any beginning of them will do.
    fn wanted(&mut self, ends: bool) -> Vec<Want<'a>> {
        let mut wanted = Vec::new();
        for batch in &self.lane.batches {
            let bare = bare(&batch.stored);
            let zstd = records::is_zstd(&batch.stored);
            let poison = is_poison(batch) || zstd && self.knows_zstd == Some(false);
            let copies = self.aside.iter().filter(|aside| **aside == bare).count();
            // Whoever goes back over a batch sends it or sets it aside, once more.
            let times_max = 1 + u64::from(batch.again);
            let unbounded = self.repeats.then_some(u64::MAX);
            let mut want = |must, times_max, whole| {
                wanted.extend(batch.records.iter().enumerate().map(|(at, record)| Want {
                    record,
                    must,
                    times_max: unbounded.unwrap_or(times_max),
                    together: whole && at > 0,
                }));
            };
            if copies > 0 {
                let may = poison
                    || zstd && self.knows_zstd.is_none()
                    || batch.stored.len() > self.bytes_max
                    // Written anew it may be compressed less.
                    || self.by_broker && plain_bytes_at_most(batch) > self.bytes_max;
                assert!(may, "{} was set aside without need", name(&batch.records[0]));
                let copies = times_max.min(copies as u64);
                for _ in 0..copies {
                    let at = self.aside.iter().position(|aside| *aside == bare);
                    self.aside.remove(at.expect("counted"));
                }
                self.rejected += batch.records.len() as u64;
                self.rejected_in_part |= batch.optional;
                if batch.optional {
                    want(false, times_max, false);
                } else if !poison && (self.repeats || copies < times_max) {
                    // Sent again alone, a batch may be too large that went up with others,
                    // compressed, before somebody went back over it; or the other way round.
                    want(false, times_max - copies, true);
                }
                continue;
            } else if poison && !batch.optional {
                self.missing.push(name(&batch.records[0]));
                continue;
            }
            // Of a batch that begins with deleted records, the rest may go up alone.
            want(!batch.optional && !ends, times_max, false);
        }
        wanted
    }
}

/// Every wanted record once, in order, and nothing else.
fn exactly_once(wanted: &[Want<'_>], got: &[Plain]) -> Result<(), String> {
    let mut at = 0;
    for record in got {
        loop {
            let Some(next) = wanted.get(at) else {
                let known = wanted.iter().any(|want| want.record == record);
                let what = if known { "repeated or out of order" } else { "unheard of" };
                return Err(format!("{} is {what}", name(record)));
            };
            at += 1;
            if next.record == record {
                break;
            }
            if name(next.record) == name(record) {
                return Err(format!("{:?} has become {record:?}", next.record));
            }
            if next.must {
                let later = got.iter().any(|record| record == next.record);
                let what = if later { "out of order" } else { "lost" };
                let here = name(record);
                return Err(format!("{} is {what}: {here} is in its place", name(next.record)));
            }
        }
    }
    match wanted[at..].iter().find(|want| want.must) {
        Some(want) => Err(format!("{} and all behind it is lost", name(want.record))),
        None => Ok(()),
    }
}

/// In order but for so many steps back, with at most so many records more than once, and none more
/// often than it may be.
fn with_repeats(
    wanted: &[Want<'_>],
    got: &[Plain],
    repeats_max: u64,
    breaks_max: u64,
) -> Result<(), String> {
    let position = |record: &Plain| wanted.iter().position(|want| want.record == record);
    let (mut seen, mut repeats, mut breaks) = (vec![0_u64; wanted.len()], 0, 0);
    let mut last: Option<usize> = None;
    for record in got {
        let Some(at) = position(record) else {
            return Err(format!("{} is unheard of", name(record)));
        };
        breaks += u64::from(last.is_some_and(|last| at <= last));
        repeats += u64::from(seen[at] > 0);
        seen[at] += 1;
        if seen[at] > wanted[at].times_max {
            return Err(format!("{} is there {} times", name(record), seen[at]));
        }
        last = Some(at);
    }
    let parted = |at: &usize| wanted[*at].together && seen[*at] != seen[*at - 1];
    if let Some(at) = (1..wanted.len()).find(parted) {
        return Err(format!("a part of its batch is there without {}", name(wanted[at].record)));
    }
    if repeats > repeats_max || breaks > breaks_max {
        return Err(format!("{repeats} records repeated, {breaks} steps back"));
    }
    match wanted.iter().zip(&seen).find(|(want, seen)| want.must && **seen == 0) {
        Some((want, _)) => Err(format!("{} is lost", name(want.record))),
        None => Ok(()),
    }
}

/// What upstream once had, it may have lost; nothing else.
fn with_losses(
    wanted: &[Want<'_>],
    got: &[Plain],
    graveyard: &[Cluster],
    (lane, timeless): (u16, &BTreeSet<(u16, u32)>),
) -> Result<(), String> {
    let mut had: Vec<Plain> = Vec::new();
    for cluster in graveyard {
        had.extend(upstream_with_tails(cluster, lane));
    }
    had.iter_mut().for_each(|record| forget_time(record, timeless));
    had.extend_from_slice(got);
    for want in wanted.iter().filter(|want| want.must) {
        if !had.contains(want.record) {
            return Err(format!("{} never was upstream", name(want.record)));
        }
    }
    for record in got {
        if !wanted.iter().any(|want| want.record == record) {
            return Err(format!("{} is unheard of", name(record)));
        }
    }
    Ok(())
}

/// Everything that any replica had of a lane.
fn upstream_with_tails(cluster: &Cluster, lane: u16) -> Vec<Plain> {
    let mut found = Vec::new();
    for partition in cluster.topics.values().flat_map(|topic| &topic.partitions) {
        for stored in partition.replicas.iter().flat_map(|replica| &replica.log) {
            let header = batch::check_stored(&stored.bytes).expect("as it was taken");
            let records = records::decode(&stored.bytes, &header);
            found.extend(records.into_iter().filter(|record| record.mark().0 == lane));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use ottla::wire::batch::Stamped;
    use ottla::wire::record::BatchBuilder;

    /// A lane of three batches with two records each, the middle one `letter`ed.
    fn lane(letter: u8) -> Lane {
        let mut lane = Lane {
            number: 7,
            topic: "a".to_owned(),
            topic_id: [1; 16],
            topic_number: 1,
            partition: 0,
            batches: Vec::new(),
            next_record: 0,
            there: true,
            deleted: false,
            seeks: 0,
        };
        for at in 0..3_u32 {
            let mut builder = BatchBuilder::new(1_000);
            for number in [2 * at, 2 * at + 1] {
                let letter = if at == 1 { letter } else { GOOD };
                builder.push(1_000, None, Some(&records::mark(7, number, letter)), &[]);
            }
            let raw = builder.finish();
            let stamped = Stamped::new(&raw, i64::from(2 * at), 0, None).unwrap();
            lane.appended(&stamped.parts().concat(), 0);
        }
        lane
    }

    /// The verdict about a lane whose middle batch was set aside so often, and was larger than
    /// upstream takes; upstream has the records of these numbers.
    fn verdict(lane: &Lane, copies: usize, numbers: &[usize]) -> Result<(), String> {
        let mut aside = vec![bare(&lane.batches[1].stored); copies];
        let mut judge = Judge {
            lane,
            aside: &mut aside,
            rejected: 0,
            rejected_in_part: false,
            repeats: false,
            bytes_max: 1,
            by_broker: false,
            knows_zstd: None,
            missing: Vec::new(),
        };
        let wanted = judge.wanted(false);
        let all: Vec<&Plain> = lane.batches.iter().flat_map(|batch| &batch.records).collect();
        let got: Vec<Plain> = numbers.iter().map(|number| all[*number].clone()).collect();
        let verdict = with_repeats(&wanted, &got, u64::MAX, 2 * u64::from(lane.seeks));
        if let Some(batch) = judge.missing.first() {
            return Err(format!("{batch} is missing"));
        }
        if aside.is_empty() { verdict } else { Err("too often".to_owned()) }
    }

    #[test]
    fn a_batch_that_was_set_aside_is_upstream_only_where_somebody_went_back_over_it() {
        let mut lane = lane(GOOD);
        verdict(&lane, 1, &[0, 1, 4, 5]).unwrap();
        verdict(&lane, 1, &[0, 1, 2, 3, 4, 5]).unwrap_err();
        verdict(&lane, 2, &[0, 1, 4, 5]).unwrap_err();
        // Behind it: that changes nothing.
        lane.sought(4);
        lane.batches.iter_mut().for_each(|batch| batch.optional = false);
        verdict(&lane, 1, &[0, 1, 2, 3, 4, 5]).unwrap_err();
        lane.sought(0);
        verdict(&lane, 1, &[0, 1, 4, 5]).unwrap();
        verdict(&lane, 1, &[0, 1, 2, 3, 4, 5, 0, 1, 4, 5]).unwrap();
        verdict(&lane, 2, &[0, 1, 4, 5, 0, 1, 4, 5]).unwrap();
        verdict(&lane, 2, &[0, 1, 4, 5, 0, 1, 2, 3, 4, 5]).unwrap_err();
        verdict(&lane, 1, &[0, 1, 2, 3, 4, 5, 0, 1, 2, 3, 4, 5]).unwrap_err();
        verdict(&lane, 3, &[0, 1, 4, 5]).unwrap_err();
    }

    #[test]
    fn half_of_a_batch_that_was_set_aside_is_never_upstream() {
        let mut lane = lane(GOOD);
        lane.sought(0);
        verdict(&lane, 1, &[0, 1, 2, 3, 4, 5]).unwrap();
        verdict(&lane, 1, &[0, 1, 2, 4, 5]).unwrap_err();
        verdict(&lane, 1, &[0, 1, 3, 4, 5]).unwrap_err();
    }

    #[test]
    fn what_upstream_never_takes_is_never_there_however_often_somebody_goes_back() {
        let mut lane = lane(records::INVALID);
        lane.sought(0);
        verdict(&lane, 1, &[0, 1, 4, 5]).unwrap();
        verdict(&lane, 2, &[0, 1, 4, 5]).unwrap();
        verdict(&lane, 1, &[0, 1, 2, 3, 4, 5]).unwrap_err();
        verdict(&lane, 0, &[0, 1, 4, 5]).unwrap_err();
    }

    #[test]
    fn a_record_is_there_once_and_once_more_for_each_time_that_somebody_went_back() {
        let mut lane = lane(GOOD);
        verdict(&lane, 0, &[0, 1, 2, 3, 4, 5]).unwrap();
        lane.sought(0);
        verdict(&lane, 0, &[0, 1, 2, 3, 4, 5, 0, 1, 2, 3, 4, 5]).unwrap();
        verdict(&lane, 0, &[0, 1, 2, 3, 2, 3, 2, 3, 4, 5]).unwrap_err();
        verdict(&lane, 0, &[0, 1, 4, 5]).unwrap_err();
    }
}
