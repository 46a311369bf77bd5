//! "Did you mean": the known name that is nearest to a mistyped one.
//!
//! Promises: bounded work, whatever the name; no suggestion rather than a far-fetched one.

use crate::limits::CONFIG_NAME_BYTES_MAX;

/// The candidate with the fewest edits, if that is at most a third of the name.
pub fn nearest<'a>(name: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    if name.is_empty() || name.len() > CONFIG_NAME_BYTES_MAX {
        return None;
    }
    let name = name.to_ascii_lowercase();
    let name = name.as_bytes();
    let most = (name.len() / 3).min(EDITS_MAX);
    candidates
        .map(|candidate| (edits(name, candidate.as_bytes()), candidate))
        .filter(|(edits, _)| *edits <= most)
        .min_by_key(|(edits, _)| *edits)
        .map(|(_, candidate)| candidate)
}

/// More edits than this is another word.
const EDITS_MAX: usize = 5;

/// Levenshtein's distance, with `_`, `-` and `.` taken for the same.
fn edits(left: &[u8], right: &[u8]) -> usize {
    let same = |a: u8, b: u8| a == b || (b"_-.".contains(&a) && b"_-.".contains(&b));
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (index, a) in left.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = index + 1;
        for (column, b) in right.iter().enumerate() {
            let substituted = diagonal + usize::from(!same(*a, *b));
            diagonal = row[column + 1];
            row[column + 1] = substituted.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: [&str; 3] = ["log.retention.ms", "log.retention.bytes", "listeners"];

    #[test]
    fn typing_mistakes_find_their_name() {
        for (typed, meant) in [
            ("log.retension.ms", "log.retention.ms"),
            ("log_retention_ms", "log.retention.ms"),
            ("LOG.RETENTION.MS", "log.retention.ms"),
            ("listener", "listeners"),
            ("log.retention.byte", "log.retention.bytes"),
        ] {
            assert_eq!(nearest(typed, NAMES.into_iter()), Some(meant), "{typed}");
        }
    }

    #[test]
    fn other_words_find_nothing() {
        for typed in ["", "x", "ssl", "entirely.different.thing", &"l".repeat(1 << 20)] {
            assert_eq!(nearest(typed, NAMES.into_iter()), None);
        }
    }

    #[test]
    fn edits_are_counted() {
        assert_eq!(edits(b"kitten", b"sitting"), 3);
        assert_eq!(edits(b"", b"abc"), 3);
        assert_eq!(edits(b"abc", b"abc"), 0);
    }
}
