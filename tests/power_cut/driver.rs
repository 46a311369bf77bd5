//! A client and an event loop in one: asks the broker for things, runs its syncs by hand, and
//! keeps the model of what the answers promised.
//!
//! A sync's effect on the disk happens at its beginning and its result arrives whenever the script
//! says: what is written in between is not covered by it. That is the worst that a helper thread
//! may do.

use crate::model::{LogKey, Model, Moment, Promise, Sent};
use ottla::broker::{self, Broker, NewTopic, ProduceError, Refusal};
use ottla::config::BrokerConfig;
use ottla::disk::sim::SimDisk;
use ottla::disk::{Disk, DiskResult};
use ottla::state::forward::ForwardRow;
use ottla::state::offsets::Commit;
use ottla::storage::Lsn;
use ottla::storage::recovery::Report;
use ottla::time::{Millis, Now};
use ottla::wire::batch::{self, Stamped};
use ottla::wire::record::{BatchBuilder, Producer};
use std::collections::BTreeMap;
use std::rc::Rc;

/// When the driver takes something for acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acknowledge {
    /// When the broker says that it is durable.
    Durable,
    /// Deliberately wrong: when it is in the page cache.
    Written,
}

/// How a run is set up.
#[derive(Clone)]
pub struct Setup {
    /// The broker's configuration.
    pub config: BrokerConfig,
    /// When to acknowledge.
    pub acknowledge: Acknowledge,
    /// What stands between the broker and the disk.
    pub wrap: fn(&SimDisk) -> Rc<dyn Disk>,
}

/// The driver.
pub struct Driver {
    /// The disk.
    pub disk: SimDisk,
    /// The broker, unless it could not be started.
    pub broker: Option<Broker>,
    /// The model of this run of the broker.
    pub model: Model,
    /// Models of earlier runs, and until when each counted.
    pub past: Vec<(Moment, Model)>,
    /// Whether anything went wrong that was asked for (a planned fault).
    pub troubled: bool,
    /// Reports of all starts.
    pub reports: Vec<Report>,
    setup: Setup,
    now: Now,
    pending: Vec<(Lsn, Promise)>,
    syncing: Option<DiskResult<()>>,
    /// Large batches are synced before anything refers to them.
    ahead: bool,
    values: u64,
    sequences: BTreeMap<(i64, LogKey), i32>,
}

/// The time at the first start.
pub fn start_time() -> Now {
    Now { mono: Millis(1_000), wall_ms: 1_700_000_000_000 }
}

/// How long a row of a lane has to last.
#[derive(Clone, Copy, Debug)]
pub enum Keep {
    /// Until something else makes it last.
    Noted,
    /// From the next sync on.
    Journalled,
    /// From a sync of its own on.
    Saved,
}

impl Driver {
    /// Starts a broker on a disk.
    pub fn start(disk: &SimDisk, setup: &Setup) -> Driver {
        let mut driver = Driver {
            disk: disk.clone(),
            broker: None,
            model: Model::default(),
            past: Vec::new(),
            troubled: false,
            reports: Vec::new(),
            setup: setup.clone(),
            now: start_time(),
            pending: Vec::new(),
            syncing: None,
            ahead: false,
            values: 0,
            sequences: BTreeMap::new(),
        };
        driver.open();
        driver
    }

    /// Goes on with a broker that was started already.
    pub fn adopt(disk: &SimDisk, setup: &Setup, broker: Broker, model: Model) -> Driver {
        Driver {
            disk: disk.clone(),
            broker: Some(broker),
            model,
            past: Vec::new(),
            troubled: false,
            reports: Vec::new(),
            setup: setup.clone(),
            now: start_time(),
            pending: Vec::new(),
            syncing: None,
            ahead: false,
            // Values unlike those of the run before.
            values: 1_000_000,
            sequences: BTreeMap::new(),
        }
    }

    fn open(&mut self) {
        let seed = u128::from(self.disk.operations()) + 77;
        let disk = (self.setup.wrap)(&self.disk);
        match broker::open(disk, self.setup.config.clone(), seed, self.now) {
            Ok(opened) => {
                // One that could write nothing has promised nothing new.
                let model = match opened.broker.storage().failed() {
                    None => self.model.recovered(&opened.broker, self.moment()),
                    Some(_) => self.model.clone(),
                };
                let old = std::mem::replace(&mut self.model, model);
                self.past.push((self.moment(), old));
                self.broker = Some(opened.broker);
                if self.ahead {
                    self.use_ahead();
                }
                self.reports.push(opened.report);
                self.progress();
            }
            Err(_) => self.troubled = true,
        }
    }

    /// The moment that comes next.
    pub fn moment(&self) -> Moment {
        self.disk.operations()
    }

    /// The model that counts for an end at `at`.
    pub fn model_at(&self, at: Moment) -> &Model {
        let past = self.past.iter().find(|(until, _)| at < *until);
        past.map_or(&self.model, |(_, model)| model)
    }

    fn tick(&mut self) -> Now {
        self.pass(1)
    }

    /// Lets time pass.
    pub fn pass(&mut self, ms: u64) -> Now {
        self.now.mono = self.now.mono.saturating_add(ms);
        self.now.wall_ms += ms as i64;
        self.now
    }

    fn promise(&mut self, lsn: Lsn, promise: Promise) {
        self.pending.push((lsn, promise));
    }

    /// Takes up what became true and what consumers can see now.
    fn progress(&mut self) {
        let at = self.moment();
        let Some(broker) = &mut self.broker else { return };
        while broker.pop_woken().is_some() {}
        let (written, mut durable) = (broker.storage().written(), broker.storage().durable());
        if self.setup.acknowledge == Acknowledge::Written {
            durable = written;
        }
        let model = &mut self.model;
        self.pending.retain(|(lsn, promise)| {
            if *lsn <= written {
                model.keep(promise, at, *lsn <= durable);
            }
            *lsn > durable
        });
        for topic in broker.topics().iter() {
            for partition in 0..topic.partitions.len() as i32 {
                let Some(view) = broker.partition(topic, partition) else { continue };
                let log = model.logs.entry((topic.id, partition)).or_default();
                if log.seen.last().is_none_or(|(_, seen)| *seen < view.high_watermark) {
                    log.seen.push((at, view.high_watermark));
                }
            }
        }
    }

    /// Creates a topic.
    pub fn create(&mut self, name: &str, partitions: i32) {
        for _ in 0..3 {
            let (asked, now) = (self.moment(), self.tick());
            let Some(broker) = &mut self.broker else { return };
            let new = NewTopic { name, partitions, replication_factor: 1, ..NewTopic::default() };
            match broker.create_topic(new, now) {
                Ok(lsn) => {
                    let id = broker.topics().find(name).expect("just created").id;
                    for partition in 0..partitions {
                        self.model.logs.insert((id, partition), Default::default());
                    }
                    let register = self.model.topics.entry(name.to_owned());
                    let register = register.or_insert_with(|| crate::model::Register::new(None));
                    let step = register.ask(asked, Some(id));
                    return self.promise(lsn, Promise::Topic(name.to_owned(), step));
                }
                Err(Refusal::Busy | Refusal::TopicGoing) => self.flush(),
                Err(_) => self.troubled = true,
            }
        }
        self.troubled = true;
    }

    /// Deletes a topic.
    pub fn delete(&mut self, name: &str) {
        let (asked, now) = (self.moment(), self.tick());
        let Some(broker) = &mut self.broker else { return };
        let Some(number) = broker.topics().find(name).map(|t| t.number) else { return };
        let Ok(lsn) = broker.delete_topic(number, now) else {
            self.troubled = true;
            return;
        };
        let register = self.model.topics.get_mut(name).expect("it was created");
        let step = register.ask(asked, None);
        self.promise(lsn, Promise::Topic(name.to_owned(), step));
        for gone in self.model.forget_offsets(name, asked) {
            self.promise(lsn, gone);
        }
    }

    /// Appends a batch of `records`, about `bytes` long in all.
    pub fn append(&mut self, topic: &str, partition: i32, records: i32, bytes: usize) {
        self.append_as(topic, partition, records, bytes, None);
    }

    /// The same from an idempotent producer.
    pub fn append_as(
        &mut self,
        topic: &str,
        partition: i32,
        records: i32,
        bytes: usize,
        producer_id: Option<i64>,
    ) {
        let Some(broker) = &self.broker else { return };
        let Some(id) = broker.topics().find(topic).map(|t| t.id) else { return };
        let key = (id, partition);
        let sequence = producer_id.map(|id| self.next_sequence(id, key));
        let raw = self.build(records, bytes, producer_id.zip(sequence));
        let header = batch::check(&raw).expect("a well-formed batch");
        for _ in 0..16 {
            let (asked, now) = (self.moment(), self.tick());
            let Some(broker) = &mut self.broker else { return };
            match broker.append(topic, partition, &raw, &header, now) {
                Ok(produced) => {
                    let stamped = Stamped::new(&raw, produced.base_offset, 0, None);
                    let stored = stamped.expect("long enough").parts().concat();
                    let header = batch::check(&stored).expect("as good as before");
                    let sent = Sent {
                        base_offset: produced.base_offset,
                        raw: raw.into(),
                        stored: stored.into(),
                        header,
                    };
                    let log = self.model.logs.entry(key).or_default();
                    log.batches.push(crate::model::Step {
                        asked,
                        written: None,
                        durable: None,
                        value: sent,
                    });
                    let step = log.batches.len() - 1;
                    if let Some(producer_id) = producer_id {
                        self.sequences.insert((producer_id, key), header.last_sequence() + 1);
                    }
                    return self.promise(produced.lsn, Promise::Batch(key, step));
                }
                Err(ProduceError::Busy) if broker.storage().goes_on() => {}
                Err(ProduceError::Busy) if broker.storage().wants_ahead() => self.sync_ahead(),
                Err(ProduceError::Busy) => self.flush(),
                Err(_) => {
                    self.troubled = true;
                    return;
                }
            }
        }
        self.troubled = true;
    }

    fn next_sequence(&self, producer_id: i64, key: LogKey) -> i32 {
        let known = self.sequences.get(&(producer_id, key)).copied();
        let of_log = || {
            let log = self.model.logs.get(&key)?;
            let mine = |s: &&crate::model::Step<Sent>| s.value.header.producer_id == producer_id;
            Some(log.batches.iter().rev().find(mine)?.value.header.last_sequence() + 1)
        };
        known.or_else(of_log).unwrap_or(0)
    }

    fn build(&mut self, records: i32, bytes: usize, producer: Option<(i64, i32)>) -> Vec<u8> {
        let mut builder = BatchBuilder::new(self.now.wall_ms);
        if let Some((id, base_sequence)) = producer {
            builder = builder.producer(Producer { id, epoch: 0, base_sequence });
        }
        for _ in 0..records {
            self.values += 1;
            let mut value = format!("{:08}", self.values).into_bytes();
            // Not compressible to zeros and unlike any other value, so that mixed-up sectors show.
            let mut noise = self.values;
            while value.len() < bytes / records as usize {
                noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                value.extend_from_slice(&noise.to_le_bytes());
            }
            builder.push(self.now.wall_ms, None, Some(&value), &[]);
        }
        builder.finish()
    }

    /// Commits an offset of group "g".
    pub fn commit(&mut self, topic: &str, partition: i32, offset: i64) {
        let (asked, now) = (self.moment(), self.tick());
        let Some(broker) = &mut self.broker else { return };
        let commit = Commit { offset, leader_epoch: -1, metadata: "note", retention_ms: None };
        let Ok(lsn) = broker.commit_offset("g", topic, partition, commit, now) else {
            self.troubled = true;
            return;
        };
        let key = ("g".to_owned(), topic.to_owned(), partition);
        let register = self.model.offsets.entry(key.clone());
        let register = register.or_insert_with(|| crate::model::Register::new(None));
        let step = register.ask(asked, Some(offset));
        self.promise(lsn, Promise::Offset(key, step));
    }

    /// Everything visible of a partition is upstream by now; how long the row has to last is
    /// `keep`'s.
    pub fn forward(&mut self, topic: &str, partition: i32, keep: Keep) {
        for _ in 0..3 {
            let (asked, now) = (self.moment(), self.tick());
            let Some(broker) = &mut self.broker else { return };
            let Some((found, view)) = broker.find_partition(topic, partition) else { return };
            let key = (found.id, partition);
            let row = ForwardRow {
                upstream_topic: format!("site17.{topic}").into(),
                ..ForwardRow::new(found.number, partition as u32, view.high_watermark)
            };
            let done = match keep {
                Keep::Noted => {
                    broker.note_forward(&row);
                    Ok(None)
                }
                Keep::Journalled => {
                    let staged = broker.journal_forward(&row, now);
                    staged.map(|()| Some(broker.storage().last()))
                }
                Keep::Saved => broker.save_forward(&row, now).map(Some),
            };
            match done {
                Ok(lsn) => {
                    let register = self.model.cursors.entry(key);
                    let register = register.or_insert_with(|| crate::model::Register::new(None));
                    let step = register.ask(asked, Some(row.cursor));
                    if let Some(lsn) = lsn {
                        self.promise(lsn, Promise::Cursor(key, step));
                    }
                    return;
                }
                Err(Refusal::Busy) => self.flush(),
                Err(_) => self.troubled = true,
            }
        }
        self.troubled = true;
    }

    /// DeleteRecords.
    pub fn delete_records(&mut self, topic: &str, partition: i32, offset: i64) {
        let (asked, now) = (self.moment(), self.tick());
        let Some(broker) = &mut self.broker else { return };
        let Some(topic) = broker.topics().find(topic) else { return };
        let id = topic.id;
        let Some(view) = broker.partition(topic, partition) else { return };
        match broker.delete_records(view.index, offset, now) {
            Ok((start, lsn)) => {
                let log = self.model.logs.entry((id, partition)).or_default();
                let step = log.start.ask(asked, start);
                self.promise(lsn, Promise::Start((id, partition), step));
            }
            Err(_) => self.troubled = true,
        }
    }

    /// Lets the broker look for what has had its time.
    pub fn retention(&mut self) {
        let (asked, now) = (self.moment(), self.pass(10_000));
        let Some(broker) = &mut self.broker else { return };
        broker.handle_timeout(now);
        let lsn = broker.storage().last();
        let mut moved = Vec::new();
        for topic in broker.topics().iter() {
            for partition in 0..topic.partitions.len() as i32 {
                let Some(view) = broker.partition(topic, partition) else { continue };
                moved.push(((topic.id, partition), view.log_start_offset));
            }
        }
        for (key, start) in moved {
            let log = self.model.logs.entry(key).or_default();
            if *log.start.last() < start {
                let step = log.start.ask(asked, start);
                self.promise(lsn, Promise::Start(key, step));
            }
        }
    }

    /// Asks for a producer id; it may be used once it is acknowledged.
    pub fn producer_id(&mut self) -> i64 {
        let now = self.tick();
        let Some(broker) = &mut self.broker else { return 0 };
        match broker.init_producer_id(now) {
            Ok((id, lsn)) => {
                self.promise(lsn, Promise::ProducerId(id));
                self.flush();
                id
            }
            Err(_) => {
                self.troubled = true;
                0
            }
        }
    }

    /// Hands staged frames to the page cache: the end of an event loop's turn.
    pub fn write(&mut self) {
        let Some(broker) = &mut self.broker else { return };
        self.troubled |= broker.storage_mut().write_staged().is_err();
        self.progress();
    }

    /// Begins a checkpoint, due or not.
    pub fn checkpoint(&mut self) {
        let now = self.tick();
        let Some(broker) = &mut self.broker else { return };
        if !broker.storage().is_checkpointing() {
            self.troubled |= broker.checkpoint(true, false, now).is_err();
        }
    }

    /// Begins the next sync; false when there is nothing to sync.
    pub fn begin_sync(&mut self) -> bool {
        let now = self.tick();
        let Some(broker) = &mut self.broker else { return false };
        assert!(self.syncing.is_none(), "the script begins one sync at a time");
        broker.storage_mut().want_sync(now.mono);
        let Some(file) = broker.storage_mut().start_sync(now.mono) else {
            self.troubled |= broker.storage().failed().is_some();
            return false;
        };
        self.progress();
        self.syncing = Some(file.sync());
        true
    }

    /// The result of the sync arrives.
    pub fn end_sync(&mut self) {
        let now = self.tick();
        let (Some(result), Some(broker)) = (self.syncing.take(), &mut self.broker) else { return };
        self.troubled |= result.is_err();
        broker.storage_mut().finish_sync(result, now.mono);
        self.progress();
    }

    /// From now on large batches are synced before anything refers to them.
    pub fn use_ahead(&mut self) {
        self.ahead = true;
        if let Some(broker) = &mut self.broker {
            broker.storage_mut().sync_ahead();
        }
    }

    /// Syncs a large batch that stands behind the end of its log. In the middle of that the journal
    /// is synced, as on another thread.
    fn sync_ahead(&mut self) {
        let Some(broker) = &mut self.broker else { return };
        let Some(file) = broker.storage_mut().start_ahead() else {
            self.troubled |= broker.storage().failed().is_some();
            return;
        };
        let result = file.sync();
        if self.syncing.is_none() && self.begin_sync() {
            self.end_sync();
        }
        self.troubled |= result.is_err();
        if let Some(broker) = &mut self.broker {
            broker.storage_mut().finish_ahead(result);
        }
    }

    /// Runs syncs, and checkpoints that are due, until nothing is left to do.
    pub fn flush(&mut self) {
        loop {
            if self.syncing.is_some() {
                self.end_sync();
            }
            if self.ahead {
                self.sync_ahead();
            }
            let now = self.tick();
            let Some(broker) = &mut self.broker else { return };
            self.troubled |= broker.checkpoint(false, false, now).is_err();
            if !self.begin_sync() && !self.wait_for_space() {
                break;
            }
        }
        self.progress();
        self.check_settled();
    }

    /// A checkpoint that found the disk full is tried again a second later.
    fn wait_for_space(&mut self) -> bool {
        let storage = self.broker.as_ref().map(Broker::storage);
        let waits = storage.is_some_and(|s| s.is_checkpointing() && s.failed().is_none());
        if waits {
            self.pass(ottla::limits::CHECKPOINT_RETRY_MS);
        }
        waits
    }

    /// After everything was synced, everything is acknowledged and visible.
    fn check_settled(&self) {
        let Some(broker) = &self.broker else { return };
        if self.troubled {
            return;
        }
        let storage = broker.storage();
        assert_eq!(storage.durable(), storage.last(), "frames were left behind");
        assert!(!storage.is_checkpointing(), "a checkpoint was left behind");
        for (_, partition) in storage.partitions() {
            let (seen, there) = (partition.high_watermark, partition.log_end);
            assert_eq!(seen, there, "{}: records that nobody gets to see", partition.dir);
        }
    }

    /// Stops the broker in order.
    pub fn stop(&mut self) {
        self.flush();
        let now = self.tick();
        let Some(broker) = &mut self.broker else { return };
        self.troubled |= broker.checkpoint(true, true, now).is_err();
        self.flush();
        self.broker = None;
        self.pending.clear();
    }

    /// Starts again on the same disk: after a stop, or after the process was killed.
    pub fn restart(&mut self) {
        self.broker = None;
        self.pending.clear();
        self.syncing = None;
        self.sequences.clear();
        self.open();
    }
}
