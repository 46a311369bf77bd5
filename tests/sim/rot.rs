//! A byte of a batch that changes while the power is off.

use crate::canaries::Bug;
use crate::check;
use crate::gateway::Gateway;
use crate::life::Life;
use crate::steps::Rot;
use ottla::disk::{Disk, Open};

/// Where a batch stands on the disk.
pub struct Place {
    lane: usize,
    batch: i64,
    path: String,
    position: u64,
    byte: u64,
    bit: u8,
    stored: Vec<u8>,
}

impl Life {
    /// Where a batch stands that is going to rot: the file, its first byte, which one, and so on.
    pub fn place(&mut self, rot: Rot) -> Option<Place> {
        let at = self.lane(rot.lane)?;
        let Gateway { running, truth, disk, .. } = &mut self.world.gateway;
        let (lane, broker) = (&truth.lanes[at], &mut running.as_mut()?.broker);
        let view = check::view(broker, lane)?;
        let there = |batch: &&crate::truth::Local| {
            batch.durable
                && batch.base >= view.log_start_offset
                && batch.next <= view.high_watermark
        };
        let batches: Vec<_> = lane.batches.iter().filter(there).collect();
        let batch = *batches.get(rot.batch as usize % batches.len().max(1))?;
        let slice = broker.read(view.index, batch.base, 1, true).ok()??;
        if slice.first.base_offset != batch.base || disk.is_cut() {
            return None;
        }
        let dir = format!("topics/{}-{}", lane.topic, lane.partition);
        let names = disk.list(&dir).ok()?;
        let bases = names.iter().filter_map(|(name, _)| name.strip_suffix(".log"));
        let bases = bases.filter_map(|base| Some((base.parse::<i64>().ok()?, base)));
        let (_, base) = bases.filter(|(base, _)| *base <= batch.base).max()?;
        Some(Place {
            lane: at,
            batch: batch.base,
            path: format!("{dir}/{base}.log"),
            position: u64::from(slice.position),
            byte: rot.byte % batch.stored.len() as u64,
            bit: rot.bit,
            stored: batch.stored.to_vec(),
        })
    }

    /// It rots, if it is there.
    pub fn rot(&mut self, place: &Place) {
        let disk = &self.world.gateway.disk;
        let Ok(file) = disk.open(&place.path, Open::Write) else { return };
        let mut bytes = vec![0; place.stored.len()];
        let same = file.read_exact_at(&mut bytes, place.position).is_ok() && bytes == place.stored;
        if !same {
            return;
        }
        let at = place.byte as usize;
        bytes[at] ^= 1 << place.bit;
        file.write_at(&[&bytes[at..=at]], place.position + place.byte).expect("a sound disk");
        if self.bug == Bug::CutAtRot {
            file.set_length(place.position).expect("a sound disk");
        }
        file.sync().expect("a sound disk");
        self.lived.rotten += 1;
        let lane = &mut self.world.gateway.truth.lanes[place.lane];
        let batch = lane.batches.iter_mut().find(|batch| batch.base == place.batch);
        batch.expect("it was there").optional = true;
        self.books.entry(lane.number).or_default().rotten.insert(place.batch);
        let number = lane.number;
        self.world.say(|| format!("lane {number}: the batch at {} rots", place.batch));
    }
}
