//! The gateway under test: the real broker and the real machine, on a disk that may lose power.

use crate::cluster::WALL_START_MS;
use crate::truth::Truth;
use ottla::broker::{self, Broker};
use ottla::config::BrokerConfig;
use ottla::disk::sim::SimDisk;
use ottla::disk::{Disk, DiskFile, DiskResult};
use ottla::forward::{Action, Event, Forwarder, LinkId};
use ottla::time::{Millis, Now};
use std::rc::Rc;

/// What is driven: the forwarder, or one with a planted bug around it.
pub trait Machine {
    fn handle(&mut self, broker: &mut Broker, event: Event<'_>, now: Now);
    fn poll_action(&mut self) -> Option<Action>;
    fn transmit(&mut self, broker: &mut Broker, link: LinkId, now: Now) -> Vec<u8>;
    fn transmitted(&mut self, link: LinkId, bytes: usize, now: Now);
    fn poll_timeout(&self) -> Option<Millis>;
    fn room(&self, link: LinkId) -> usize;
    fn take_wake(&mut self) -> bool;
    fn stop(&mut self, broker: &mut Broker, now: Now);
}

impl Machine for Forwarder {
    fn handle(&mut self, broker: &mut Broker, event: Event<'_>, now: Now) {
        Forwarder::handle(self, broker, event, now);
    }

    fn poll_action(&mut self) -> Option<Action> {
        Forwarder::poll_action(self)
    }

    fn transmit(&mut self, broker: &mut Broker, link: LinkId, now: Now) -> Vec<u8> {
        Forwarder::transmit(self, broker, link, now).to_vec()
    }

    fn transmitted(&mut self, link: LinkId, bytes: usize, now: Now) {
        Forwarder::transmitted(self, link, bytes, now);
    }

    fn poll_timeout(&self) -> Option<Millis> {
        Forwarder::poll_timeout(self)
    }

    fn room(&self, link: LinkId) -> usize {
        Forwarder::room(self, link)
    }

    fn take_wake(&mut self) -> bool {
        Forwarder::take_wake(self)
    }

    fn stop(&mut self, broker: &mut Broker, now: Now) {
        Forwarder::stop(self, broker, now);
    }
}

/// Makes a machine for a broker.
pub type Make = fn(&mut Broker, u64, Now) -> Box<dyn Machine>;

/// The machine as it is.
pub fn honest(broker: &mut Broker, seed: u64, now: Now) -> Box<dyn Machine> {
    Box::new(Forwarder::new(broker, seed, now))
}

/// A process.
pub struct Running {
    pub broker: Broker,
    pub machine: Box<dyn Machine>,
    /// The result of the sync that is under way.
    syncing: Option<DiskResult<()>>,
    started_at: u64,
}

/// The gateway.
pub struct Gateway {
    pub disk: SimDisk,
    pub config: BrokerConfig,
    pub running: Option<Running>,
    pub truth: Truth,
    pub make: Make,
    /// How far the wall clock is from the truth.
    pub wall_shift_ms: i64,
    pub starts: u64,
    /// What stands between the broker and the disk.
    pub wrap: fn(&SimDisk) -> Rc<dyn Disk>,
    /// Planted bugs: what is written counts as acknowledged, and time passes as the wall says.
    pub hasty: bool,
    pub leap_ms: Option<u64>,
    /// The disk fails now and then: a start may come to nothing.
    pub may_fail: bool,
    /// The disk's size while another program fills it.
    pub full_at_bytes: Option<u64>,
    /// What the last start that came to nothing said.
    pub said: Vec<String>,
    /// The disk was full when the process started: it has kept no space for hard times.
    pub started_full: bool,
}

impl Gateway {
    /// One that was never started.
    pub fn new(config: BrokerConfig, make: Make) -> Gateway {
        Gateway {
            disk: SimDisk::new(),
            config,
            running: None,
            truth: Truth::default(),
            make,
            wall_shift_ms: 0,
            starts: 0,
            wrap: |disk| Rc::new(disk.clone()),
            hasty: false,
            leap_ms: None,
            may_fail: false,
            full_at_bytes: None,
            said: Vec::new(),
            started_full: false,
        }
    }

    /// Both clocks, as this process sees them.
    pub fn clock(&self, now: u64) -> Now {
        let started_at = self.running.as_ref().map_or(now, |running| running.started_at);
        Now {
            mono: Millis(now - started_at + 1_000 + self.leap_ms.unwrap_or(0)),
            wall_ms: WALL_START_MS + self.wall_shift_ms + now as i64,
        }
    }

    /// Starts a process; false when the power went off meanwhile.
    pub fn start(&mut self, now: u64) -> bool {
        self.starts += 1;
        self.running = None;
        let clock = self.clock(now);
        if let Some(bytes) = self.full_at_bytes {
            // A file whose removal the power cut took back has its place: nobody else had it.
            let used = self.disk.used_bytes().unwrap_or(0);
            self.disk.set_capacity(bytes.max(used));
        }
        self.started_full = self.full_at_bytes.is_some();
        let disk = (self.wrap)(&self.disk);
        let seed = u128::from(self.starts) * 7_919 + 3;
        match broker::open(disk, self.config.clone(), seed, clock) {
            Ok(mut opened) => {
                if self.disk.is_cut() {
                    return false;
                }
                if let Some(failed) = opened.broker.storage().failed() {
                    assert!(self.may_fail, "a start without trouble: {failed}");
                    self.said = opened.report.notes;
                    self.said.extend(self.disk.operation_log().into_iter().rev().take(6));
                    return false;
                }
                self.truth.recovered(&opened.broker);
                let machine = (self.make)(&mut opened.broker, self.starts, clock);
                let broker = opened.broker;
                self.running = Some(Running { broker, machine, syncing: None, started_at: now });
                true
            }
            Err(error) => {
                let excused = self.disk.is_cut() || self.may_fail;
                assert!(excused, "the gateway does not start: {error:?}");
                false
            }
        }
    }

    /// The end of a turn: frames go to the page cache, and a sync begins if one is due. True when
    /// one began, whose result is to be given to [`Gateway::end_sync`].
    pub fn commit(&mut self, now: u64) -> bool {
        let clock = self.clock(now);
        let Some(running) = &mut self.running else { return false };
        running.broker.storage_mut().write_staged().ok();
        while running.broker.pop_woken().is_some() {}
        if running.syncing.is_some() {
            return false;
        }
        running.broker.checkpoint(false, false, clock).ok();
        let Some(file) = running.broker.storage_mut().start_sync(clock.mono) else { return false };
        running.syncing = Some(DiskFile::sync(&*file));
        true
    }

    /// The sync that is under way has ended.
    pub fn end_sync(&mut self, now: u64) {
        let clock = self.clock(now);
        let Some(running) = &mut self.running else { return };
        let Some(result) = running.syncing.take() else { return };
        if self.disk.is_cut() {
            return;
        }
        running.broker.storage_mut().finish_sync(result, clock.mono);
        self.truth.progress(&running.broker, self.hasty);
    }

    /// When the process has something to do by itself, and whether that is the machine.
    pub fn wakes_at(&self) -> Option<(u64, bool)> {
        let running = self.running.as_ref()?;
        let ahead = 1_000 + self.leap_ms.unwrap_or(0);
        let virtual_time =
            |at: Millis| at.0.saturating_add(running.started_at).saturating_sub(ahead);
        let machine = running.machine.poll_timeout().map(|at| (virtual_time(at), true));
        let broker = &running.broker;
        let sync = broker.storage().sync_deadline().filter(|_| running.syncing.is_none());
        let others = [sync, broker.poll_timeout()].into_iter().flatten();
        let others = others.map(|at| (virtual_time(at), false)).min();
        [machine, others].into_iter().flatten().min()
    }

    /// The orderly end, as the server does it.
    pub fn stop(&mut self, now: u64) {
        let clock = self.clock(now);
        let Some(running) = &mut self.running else { return };
        running.machine.stop(&mut running.broker, clock);
        self.flush(now, true);
        if let Some(running) = &mut self.running
            && !self.disk.is_cut()
        {
            self.truth.progress(&running.broker, self.hasty);
            self.running = None;
        }
    }

    /// Syncs everything at once, with a last checkpoint if that is meant.
    pub fn flush(&mut self, now: u64, last: bool) {
        let clock = self.clock(now);
        let Some(running) = &mut self.running else { return };
        let mut checkpoints = u32::from(last);
        for _ in 0..1_000 {
            let storage = running.broker.storage_mut();
            if let Some(result) = running.syncing.take() {
                storage.finish_sync(result, clock.mono);
            }
            storage.want_sync(clock.mono);
            if let Some(file) = storage.start_sync(clock.mono) {
                running.syncing = Some(DiskFile::sync(&*file));
            } else if checkpoints > 0 {
                checkpoints -= 1;
                running.broker.checkpoint(true, true, clock).ok();
            } else {
                break;
            }
            if self.disk.is_cut() {
                return;
            }
        }
        self.truth.progress(&running.broker, self.hasty);
    }
}
