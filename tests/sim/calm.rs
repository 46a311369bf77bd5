//! The calm after the storm: everything works again, and every promise can be seen to be kept.

use crate::check;
use crate::found::upstream;
use crate::gateway::Gateway;
use crate::life::Life;
use ottla::storage::PartitionKey;

/// The backlog must be gone so long after everything works again.
const DRAIN_MS_MAX: u64 = 600_000;

impl Life {
    /// From now on everything works: the backlog goes, and what had its time goes, too.
    pub fn calm(&mut self) {
        self.world.say(|| "-- everything works again".to_owned());
        self.world.calm();
        self.make_room();
        let now = self.world.now;
        (0..self.shape.servers).for_each(|server| {
            if !self.world.cluster.up[server] {
                self.world.server_back(server);
            }
        });
        self.look();
        if self.world.gateway.running.is_some() {
            // What was planned for the disk is not to come any more.
            self.world.stop();
        }
        self.world.gateway.disk = self.world.gateway.disk.after_cut(1);
        self.start();
        self.create_topics();
        while !self.pause(false) {
            self.world.run_until(self.world.now + 20);
        }
        while !self.is_drained() {
            let waited = self.world.now - now;
            assert!(waited < DRAIN_MS_MAX, "the backlog does not go away: {}", self.backlog());
            self.world.run_until(self.world.now + 500);
        }
        self.look();
        let found = upstream(&self.world.cluster);
        for lane in &self.world.gateway.truth.lanes {
            let got = found.get(&lane.number).map(Vec::as_slice).unwrap_or_default();
            check::upstream(lane, got, self.shape.by_broker);
        }
        let kept_ms = self.shape.retention_ms + self.shape.segment_ms.min(self.shape.retention_ms);
        self.count_gone();
        self.world.run_until(self.world.now + kept_ms + 60_000);
        self.look();
        self.nothing_is_kept_for_ever();
        self.lived.virtual_ms = self.world.now;
        self.lived.cuts = self.world.cuts;
    }

    fn count_gone(&mut self) {
        let Gateway { running, truth, .. } = &self.world.gateway;
        let broker = &running.as_ref().expect("it runs").broker;
        for lane in truth.lanes.iter().filter(|lane| lane.there && !lane.deleted) {
            let (Some(view), Some(book)) =
                (check::view(broker, lane), self.books.get(&lane.number))
            else {
                continue;
            };
            for gone in lane.batches.iter().filter(|batch| batch.next <= view.log_start_offset) {
                let at = book.appended_at.get(&gone.base).copied().unwrap_or_default();
                let aged = self.world.now - at >= self.shape.retention_ms;
                self.lived.aged_out += u64::from(aged && gone.next > book.deleted_to);
                self.lived.dropped += u64::from(!aged && gone.next > book.deleted_to);
            }
        }
    }

    /// Everything was upstream, and had its time and more.
    fn nothing_is_kept_for_ever(&self) {
        let Gateway { running, truth, .. } = &self.world.gateway;
        let broker = &running.as_ref().expect("it runs").broker;
        for lane in truth.lanes.iter().filter(|lane| lane.there && !lane.deleted) {
            let view = check::view(broker, lane).expect("it is there");
            let left = view.high_watermark - view.log_start_offset;
            assert!(left == 0, "lane {}: {left} records are kept for ever: {view:?}", lane.number);
        }
    }

    fn is_drained(&self) -> bool {
        let Gateway { running, truth, .. } = &self.world.gateway;
        let Some(running) = running else { return false };
        truth.lanes.iter().filter(|lane| lane.there && !lane.deleted).all(|lane| {
            let key = PartitionKey { topic: lane.topic_number, partition: lane.partition as u32 };
            let cursor = running.broker.forward_row(key).map_or(0, |row| row.cursor);
            let start = check::view(&running.broker, lane).map_or(0, |view| view.log_start_offset);
            cursor.max(start) >= lane.end()
        })
    }

    fn backlog(&self) -> String {
        let Gateway { running, truth, .. } = &self.world.gateway;
        let Some(running) = running else { return "it does not run".to_owned() };
        let rows: Vec<String> = truth
            .lanes
            .iter()
            .filter(|lane| lane.there)
            .map(|lane| {
                let key =
                    PartitionKey { topic: lane.topic_number, partition: lane.partition as u32 };
                let view = check::view(&running.broker, lane);
                format!(
                    "{} to {}: {view:?} {:?}",
                    lane.number,
                    lane.end(),
                    running.broker.forward_row(key)
                )
            })
            .collect();
        format!("{} {}", running.broker.forwarding().error(), rows.join("; "))
    }
}
