//! What a broker has promised so far, and when: the yardstick for what a power cut leaves.
//!
//! "When" is the number of the next disk operation, so that one recorded run gives the promises
//! that held at any moment of it. Whatever can change is a [`Register`]: a list of values, each
//! with the moment it was asked for, written, and acknowledged. After a cut the register must read
//! as the last acknowledged value or as a later one that was asked for.

use ottla::broker::Broker;
use ottla::wire::batch::BatchHeader;
use std::collections::BTreeMap;
use std::rc::Rc;

/// A disk operation's number, taken as a moment.
pub type Moment = u64;

/// What took the broker down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The power: what was synced survives.
    Power,
    /// The process was killed: what was written survives.
    Process,
}

/// One step of something that changes.
#[derive(Clone, Debug)]
pub struct Step<T> {
    /// When it was asked for.
    pub asked: Moment,
    /// When it was in the page cache, if it is something that is answered then: batches, acks of 1.
    pub written: Option<Moment>,
    /// When it was acknowledged as durable.
    pub durable: Option<Moment>,
    /// What it is.
    pub value: T,
}

impl<T> Step<T> {
    fn new(asked: Moment, value: T) -> Step<T> {
        Step { asked, written: None, durable: None, value }
    }

    /// A step that lies safely in the past.
    pub fn settled(value: T) -> Step<T> {
        Step { asked: 0, written: Some(0), durable: Some(0), value }
    }

    fn survives(&self, at: Moment, end: End) -> bool {
        let since = match end {
            End::Power => self.durable,
            End::Process => self.written.or(self.durable),
        };
        since.is_some_and(|since| since <= at)
    }
}

/// Something that changes, oldest step first.
#[derive(Clone, Debug)]
pub struct Register<T> {
    /// The steps.
    pub steps: Vec<Step<T>>,
}

impl<T> Register<T> {
    /// A register that read `value` from the beginning.
    pub fn new(value: T) -> Register<T> {
        Register { steps: vec![Step::settled(value)] }
    }

    /// A change is asked for; returns its number.
    pub fn ask(&mut self, asked: Moment, value: T) -> usize {
        self.steps.push(Step::new(asked, value));
        self.steps.len() - 1
    }

    /// What may be read after an end at `at`.
    pub fn allowed(&self, at: Moment, end: End) -> impl Iterator<Item = &T> {
        let first = self.steps.iter().rposition(|step| step.survives(at, end)).unwrap_or(0);
        self.steps[first..].iter().filter(move |step| step.asked <= at).map(|step| &step.value)
    }

    /// The value asked for last.
    pub fn last(&self) -> &T {
        &self.steps.last().expect("a register has a first value").value
    }
}

/// A batch that was sent.
#[derive(Clone, Debug)]
pub struct Sent {
    /// Its first offset.
    pub base_offset: i64,
    /// As the client sent it.
    pub raw: Rc<[u8]>,
    /// As it is stored.
    pub stored: Rc<[u8]>,
    /// Its header as it is stored.
    pub header: BatchHeader,
}

/// One partition of one topic.
#[derive(Clone, Debug)]
pub struct Log {
    /// Its batches in order.
    pub batches: Vec<Step<Sent>>,
    /// Its first offset.
    pub start: Register<i64>,
    /// High watermarks that consumers have seen, and when.
    pub seen: Vec<(Moment, i64)>,
}

impl Default for Log {
    fn default() -> Log {
        Log { batches: Vec::new(), start: Register::new(0), seen: Vec::new() }
    }
}

impl Log {
    /// How many batches must be there after an end at `at`, and how many can be.
    pub fn bounds(&self, at: Moment, end: End) -> (usize, usize) {
        let safe = self.batches.iter().rposition(|step| step.survives(at, end));
        let asked = self.batches.iter().take_while(|step| step.asked <= at).count();
        (safe.map_or(0, |n| n + 1), asked)
    }

    /// Offset behind the first `count` batches.
    pub fn end_of(&self, count: usize) -> i64 {
        count.checked_sub(1).map_or(0, |n| self.batches[n].value.header.next_offset())
    }
}

/// A topic's id.
pub type TopicId = [u8; 16];
/// One partition of one topic, whatever else had the name before.
pub type LogKey = (TopicId, i32);
/// Group, topic, partition.
pub type OffsetKey = (String, String, i32);

/// Everything promised so far.
#[derive(Clone, Debug, Default)]
pub struct Model {
    /// Which topic has a name.
    pub topics: BTreeMap<String, Register<Option<TopicId>>>,
    /// All logs.
    pub logs: BTreeMap<LogKey, Log>,
    /// Committed offsets.
    pub offsets: BTreeMap<OffsetKey, Register<Option<i64>>>,
    /// Cursors of lanes to an upstream cluster.
    pub cursors: BTreeMap<LogKey, Register<Option<i64>>>,
    /// Producer ids that were handed out, and when.
    pub producer_ids: Vec<(Moment, i64)>,
}

/// One promise that waits for its frame.
#[derive(Clone, Debug)]
pub enum Promise {
    /// A step of [`Model::topics`].
    Topic(String, usize),
    /// A step of a log's batches.
    Batch(LogKey, usize),
    /// A step of a log's start.
    Start(LogKey, usize),
    /// A step of [`Model::offsets`].
    Offset(OffsetKey, usize),
    /// A step of [`Model::cursors`].
    Cursor(LogKey, usize),
    /// A producer id.
    ProducerId(i64),
}

fn mark<T>(step: &mut Step<T>, at: Moment, durable: bool) {
    if durable {
        step.durable.get_or_insert(at);
    }
}

impl Model {
    /// A promise came true: in the page cache, or on the disk.
    pub fn keep(&mut self, promise: &Promise, at: Moment, durable: bool) {
        match promise {
            Promise::Topic(name, n) => {
                if let Some(register) = self.topics.get_mut(name) {
                    mark(&mut register.steps[*n], at, durable);
                }
            }
            Promise::Batch(key, n) => {
                if let Some(log) = self.logs.get_mut(key) {
                    log.batches[*n].written.get_or_insert(at);
                    mark(&mut log.batches[*n], at, durable);
                }
            }
            Promise::Start(key, n) => {
                if let Some(log) = self.logs.get_mut(key) {
                    mark(&mut log.start.steps[*n], at, durable);
                }
            }
            Promise::Offset(key, n) => {
                if let Some(register) = self.offsets.get_mut(key) {
                    mark(&mut register.steps[*n], at, durable);
                }
            }
            Promise::Cursor(key, n) => {
                if let Some(register) = self.cursors.get_mut(key) {
                    mark(&mut register.steps[*n], at, durable);
                }
            }
            Promise::ProducerId(id) => {
                if durable {
                    self.producer_ids.push((at, *id));
                }
            }
        }
    }

    /// A deleted topic takes its committed offsets along: a step in each of their registers.
    pub fn forget_offsets(&mut self, topic: &str, asked: Moment) -> Vec<Promise> {
        let of_topic = self.offsets.iter_mut().filter(|((_, name, _), _)| name == topic);
        of_topic
            .map(|(key, register)| Promise::Offset(key.clone(), register.ask(asked, None)))
            .collect()
    }

    /// The model of a broker that has just started: what it found is what it promises from now on.
    pub fn recovered(&self, broker: &Broker, at: Moment) -> Model {
        let mut model = Model::default();
        for topic in broker.topics().iter() {
            model.topics.insert(topic.name.to_owned(), Register::new(Some(topic.id)));
            for partition in 0..topic.partitions.len() as i32 {
                let key = (topic.id, partition);
                let old = self.logs.get(&key).cloned().unwrap_or_default();
                let Some(view) = broker.partition(topic, partition) else { continue };
                let there = |step: &&Step<Sent>| step.value.base_offset < view.log_end_offset;
                let kept = old.batches.iter().filter(there);
                let log = Log {
                    batches: kept.map(|step| Step::settled(step.value.clone())).collect(),
                    start: Register::new(view.log_start_offset),
                    seen: vec![(0, view.high_watermark)],
                };
                model.logs.insert(key, log);
            }
        }
        for row in broker.groups.offsets().rows() {
            let key = (row.group_id.to_owned(), row.topic.to_owned(), row.partition);
            model.offsets.insert(key, Register::new(Some(row.offset)));
        }
        for row in broker.forwarding().rows() {
            if let Some(topic) = broker.topics().get(row.topic) {
                let register = Register::new(Some(row.cursor));
                model.cursors.insert((topic.id, row.partition as i32), register);
            }
        }
        let handed_out = self.producer_ids.iter().filter(|(since, _)| *since <= at);
        model.producer_ids = handed_out.map(|(_, id)| (0, *id)).collect();
        model
    }
}
