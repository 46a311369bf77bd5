//! Which segments have had their time: by age and by size, whole segments only.
//!
//! Age is time that really elapsed: seconds on the store's own clock since the segment's last
//! append, whatever the records' timestamps or the wall clock say (architecture.md 7). The clock
//! stands still while the broker is off, so a record is kept at least as long as asked for.
//! Size is of the whole partition, the oldest segment going first, as `retention.bytes` in Kafka.
//!
//! Absent: moving the log start and deleting (`Storage::move_log_start`).

use super::partition::Partition;

/// How long and how much to keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Milliseconds; `None` for ever.
    pub age_ms: Option<u64>,
    /// Bytes per partition; `None` without bound.
    pub bytes: Option<u64>,
    /// Nothing at this offset or behind it may go, however old or large; `None` protects nothing.
    pub protected_from: Option<i64>,
}

/// The offset before which everything may go, if that is more than nothing. Never above the high
/// watermark: what is not durable yet cannot be too old; and never beyond what is protected.
pub fn new_log_start(partition: &Partition, policy: Policy, age_s: u32) -> Option<i64> {
    let mut start = partition.log_start;
    let mut left = partition.bytes();
    let limit = partition.high_watermark.min(policy.protected_from.unwrap_or(i64::MAX));
    let segments = partition.segments.all();
    for (at, segment) in segments.iter().enumerate() {
        let end = segments.get(at + 1).map_or(partition.log_end, |s| s.base_offset);
        let silent_s = u64::from(age_s.saturating_sub(segment.appended_age_s));
        let too_old = policy.age_ms.is_some_and(|age_ms| silent_s.saturating_mul(1000) > age_ms);
        let too_much = policy
            .bytes
            .is_some_and(|bytes| left.saturating_sub(u64::from(segment.bytes)) >= bytes);
        if segment.bytes == 0 || !(too_old || too_much) || end > limit {
            break;
        }
        left -= u64::from(segment.bytes);
        start = end;
    }
    (start > partition.log_start).then_some(start)
}

#[cfg(test)]
mod tests {
    use super::super::journal_frame::PartitionKey;
    use super::super::partition::Segment;
    use super::super::segments::Segments;
    use super::*;

    fn partition() -> Partition {
        let segments = Segments::new(8, 1);
        let mut p =
            Partition::new(PartitionKey { topic: 1, partition: 0 }, "t", &segments).unwrap();
        for n in 0..4 {
            p.segments.push(Segment {
                base_offset: n * 10,
                bytes: 100,
                max_timestamp: 0,
                created_age_s: n as u32 * 60,
                appended_age_s: n as u32 * 60 + 59,
            });
        }
        p.log_end = 40;
        p.all_durable();
        p
    }

    const FOREVER: Policy = Policy { age_ms: None, bytes: None, protected_from: None };

    #[test]
    fn age_counts_from_a_segments_last_append() {
        let policy = Policy { age_ms: Some(100_000), ..FOREVER };
        assert_eq!(new_log_start(&partition(), policy, 159), None);
        assert_eq!(new_log_start(&partition(), policy, 160), Some(10));
        assert_eq!(new_log_start(&partition(), policy, 10_000), Some(40));
        assert_eq!(new_log_start(&partition(), FOREVER, u32::MAX), None);
    }

    #[test]
    fn size_keeps_at_least_what_was_asked_for() {
        let keep = |bytes| Policy { bytes: Some(bytes), ..FOREVER };
        assert_eq!(new_log_start(&partition(), keep(400), 0), None);
        assert_eq!(new_log_start(&partition(), keep(301), 0), None);
        assert_eq!(new_log_start(&partition(), keep(300), 0), Some(10));
        assert_eq!(new_log_start(&partition(), keep(1), 0), Some(30));
    }

    #[test]
    fn what_is_protected_stays_with_its_whole_segment() {
        let policy =
            |offset| Policy { age_ms: Some(0), bytes: Some(0), protected_from: Some(offset) };
        for (offset, start) in
            [(0, None), (9, None), (10, Some(10)), (29, Some(20)), (99, Some(40))]
        {
            assert_eq!(new_log_start(&partition(), policy(offset), 10_000), start, "{offset}");
        }
    }

    #[test]
    fn what_is_not_durable_stays() {
        let mut p = partition();
        p.high_watermark = 15;
        let policy = Policy { age_ms: Some(0), ..FOREVER };
        assert_eq!(new_log_start(&p, policy, 10_000), Some(10));
    }
}
