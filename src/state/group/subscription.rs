//! Which topics a member of a consumer group subscribed to: a look into its otherwise opaque
//! metadata.
//!
//! Every version of the consumer protocol begins like version 0 (Kafka's `ConsumerProtocol`), and
//! nothing after the topics is looked at:
//!
//! ```text
//! ┌─────────┬───────────────┬──────────────────────────────┬─────────┐
//! │ version │ topics: count │ count × (length i16 │ bytes) │ ignored │
//! │   i16   │      i32      │                              │         │
//! └─────────┴───────────────┴──────────────────────────────┴─────────┘
//! ```

/// Whether the subscription in `metadata` names `topic`; `None` if it cannot be read.
pub(super) fn names_topic(metadata: &[u8], topic: &str) -> Option<bool> {
    let (version, mut rest) = metadata.split_first_chunk()?;
    if i16::from_be_bytes(*version) < 0 {
        return None;
    }
    let mut found = false;
    let count = i32::from_be_bytes(*take(&mut rest)?);
    if count < 0 {
        return None;
    }
    for _ in 0..count {
        let length = usize::try_from(i16::from_be_bytes(*take(&mut rest)?)).ok()?;
        let (name, after) = rest.split_at_checked(length)?;
        rest = after;
        found |= name == topic.as_bytes();
    }
    Some(found)
}

fn take<'a, const N: usize>(rest: &mut &'a [u8]) -> Option<&'a [u8; N]> {
    let (head, after) = rest.split_first_chunk()?;
    *rest = after;
    Some(head)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SUBSCRIPTION: &[u8] = b"\0\x01\0\0\0\x02\0\x01a\0\x03bcd\0\0\0\x05owned";

    #[test]
    fn topics_are_found_in_any_version() {
        assert_eq!(names_topic(SUBSCRIPTION, "a"), Some(true));
        assert_eq!(names_topic(SUBSCRIPTION, "bcd"), Some(true));
        assert_eq!(names_topic(SUBSCRIPTION, "bc"), Some(false));
        assert_eq!(names_topic(b"\0\0\0\0\0\0", "a"), Some(false));
    }

    #[test]
    fn what_is_cut_short_or_lies_about_its_length_is_unreadable() {
        for length in 0..14 {
            assert_eq!(names_topic(&SUBSCRIPTION[..length], "a"), None, "cut at {length}");
        }
        assert_eq!(names_topic(b"\0\0\xff\xff\xff\xff", "a"), None);
        assert_eq!(names_topic(b"\0\0\0\0\0\x01\xff\xffa", "a"), None);
        assert_eq!(names_topic(b"\0\0\x7f\xff\xff\xff\0\x01a", "a"), None);
        assert_eq!(names_topic(b"\xff\xff\0\0\0\0", "a"), None);
    }
}
