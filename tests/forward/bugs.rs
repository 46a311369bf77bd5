//! Planted bugs around the machine: one notes what it has sent as acknowledged, one forgets at a
//! start that something may be unanswered.

use crate::gateway::{Machine, honest};
use ottla::broker::Broker;
use ottla::forward::{Action, Event, Forwarder, LinkId};
use ottla::state::forward::ForwardRow;
use ottla::storage::PartitionKey;
use ottla::time::{Millis, Now};

/// Rows that say what the machine would like to be true.
fn change_rows(broker: &mut Broker, now: Now, change: impl Fn(&Broker, &mut ForwardRow)) {
    let rows: Vec<ForwardRow> = broker.forwarding().rows().cloned().collect();
    for mut row in rows {
        change(broker, &mut row);
        broker.save_forward(&row, now).ok();
    }
}

struct Ahead(Forwarder);

impl Machine for Ahead {
    fn handle(&mut self, broker: &mut Broker, event: Event<'_>, now: Now) {
        self.0.handle(broker, event, now);
    }

    fn poll_action(&mut self) -> Option<Action> {
        self.0.poll_action()
    }

    fn transmit(&mut self, broker: &mut Broker, link: LinkId, now: Now) -> Vec<u8> {
        let bytes = self.0.transmit(broker, link, now).to_vec();
        if bytes.len() > 60 {
            change_rows(broker, now, |broker, row| {
                let key = PartitionKey { topic: row.topic, partition: row.partition };
                let index = broker.storage().find(key).expect("a partition");
                let log = broker.storage().partition(index).expect("a log");
                if row.producer_id >= 0 && row.cursor < log.high_watermark {
                    row.cursor = log.high_watermark;
                    row.settled = true;
                }
            });
        }
        bytes
    }

    fn transmitted(&mut self, link: LinkId, bytes: usize, now: Now) {
        self.0.transmitted(link, bytes, now);
    }

    fn poll_timeout(&self) -> Option<Millis> {
        self.0.poll_timeout()
    }

    fn room(&self, link: LinkId) -> usize {
        self.0.room(link)
    }

    fn take_wake(&mut self) -> bool {
        self.0.take_wake()
    }

    fn stop(&mut self, broker: &mut Broker, now: Now) {
        self.0.stop(broker, now);
    }
}

/// Advances the cursor before the acknowledgement.
pub fn ahead(broker: &mut Broker, seed: u64, now: Now) -> Box<dyn Machine> {
    Box::new(Ahead(Forwarder::new(broker, seed, now)))
}

/// Forgets at a start that something may be unanswered.
pub fn hasty(broker: &mut Broker, seed: u64, now: Now) -> Box<dyn Machine> {
    change_rows(broker, now, |_, row| row.settled = true);
    honest(broker, seed, now)
}
