//! The table of differences that stay, `tests/differential/differences`, each with its reason.
//!
//! ```text
//! == Title of the reason
//! A sentence or two: why.
//! API | versions | step | field | Apache Kafka's value | ottla's value
//! ```
//!
//! Each column is a pattern: `*` stands for anything (but in a value not for `absent`, which is
//! what `any` is for), `{a,b}` for one of them.
//! Promises: a row that matches no difference is a mistake, and so is a difference that no row
//! matches.

use super::recording::{ABSENT, Difference};

/// A reason and its rows.
pub struct Reason {
    pub title: String,
    pub text: String,
    pub rows: Vec<Row>,
}

/// Patterns.
pub struct Row {
    pub line: usize,
    columns: [String; 6],
}

impl Row {
    /// Whether it speaks of this difference.
    pub fn matches(&self, one: &Difference) -> bool {
        let [api, versions, step, field, kafka, ottla] = &self.columns;
        let value = |pattern: &str, value: &str| {
            pattern == "any" || (pattern != "*" || value != ABSENT) && matches(pattern, value)
        };
        let versions_match = versions == "*"
            || super::recording::ranges([one.version]) == *versions
            || in_range(versions, one.version);
        matches(api, &one.api)
            && versions_match
            && matches(step, &one.title)
            && matches(field, &one.path)
            && value(kafka, &one.kafka)
            && value(ottla, &one.ottla)
    }
}

fn in_range(versions: &str, version: i16) -> bool {
    let bounds = match (versions.strip_suffix('+'), versions.split_once('-')) {
        (Some(low), _) => low.parse::<i16>().ok().map(|low| (low, i16::MAX)),
        (_, Some((low, high))) => low.parse().ok().zip(high.parse().ok()),
        _ => None,
    };
    bounds.is_some_and(|(low, high)| (low..=high).contains(&version))
}

/// Whether `text` is what `pattern` says.
pub fn matches(pattern: &str, text: &str) -> bool {
    if let Some((before, rest)) = pattern.split_once('{') {
        let (choices, after) = rest.split_once('}').expect("a brace is closed");
        return choices.split(',').any(|one| matches(&format!("{before}{one}{after}"), text));
    }
    let Some((before, after)) = pattern.split_once('*') else { return pattern == text };
    let Some(rest) = text.strip_prefix(before) else { return false };
    (0..=rest.len()).any(|at| rest.is_char_boundary(at) && matches(after, &rest[at..]))
}

/// Reads the table.
pub fn read(text: &str) -> Vec<Reason> {
    let mut reasons: Vec<Reason> = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(title) = line.strip_prefix("== ") {
            let (title, text) = (title.to_owned(), String::new());
            reasons.push(Reason { title, text, rows: Vec::new() });
            continue;
        }
        let reason = reasons.last_mut().expect("a reason stands above");
        let columns: Vec<String> = line.split(" | ").map(|part| part.trim().to_owned()).collect();
        match <[String; 6]>::try_from(columns) {
            Ok(columns) => reason.rows.push(Row { line: at + 1, columns }),
            Err(parts) => {
                assert_eq!(parts.len(), 1, "line {}: six columns", at + 1);
                reason.text += if reason.text.is_empty() { "" } else { " " };
                reason.text += line;
            }
        }
    }
    reasons
}

/// What is left without a reason, and the lines of rows that match nothing.
pub fn judge(reasons: &[Reason], differences: &[Difference]) -> (Vec<Difference>, Vec<usize>) {
    let rows = || reasons.iter().flat_map(|reason| &reason.rows);
    let unexplained = |one: &&Difference| !rows().any(|row| row.matches(one));
    let dead = |row: &&Row| !differences.iter().any(|one| row.matches(one));
    let left = differences.iter().filter(unexplained).cloned().collect();
    (left, rows().filter(dead).map(|row| row.line).collect())
}

/// The table for the README: an item for each reason.
pub fn markdown(reasons: &[Reason]) -> String {
    let item = |reason: &Reason| {
        let text = format!("**{}.** {}", reason.title, reason.text);
        let mut lines = vec![String::from("-")];
        for word in text.split_whitespace() {
            let last = lines.last_mut().expect("a line");
            if last.chars().count() + 1 + word.chars().count() > 120 {
                lines.push(format!("  {word}"));
            } else {
                last.push(' ');
                last.push_str(word);
            }
        }
        lines.join("\n") + "\n"
    };
    reasons.iter().map(item).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn difference(path: &str, version: i16, kafka: &str, ottla: &str) -> Difference {
        let (path, kafka, ottla) = (path.to_owned(), kafka.to_owned(), ottla.to_owned());
        let (title, api) = ("block / step".to_owned(), "Fetch".to_owned());
        Difference { title, api, path, kafka, ottla, version }
    }

    #[test]
    fn a_planted_difference_is_found_and_a_row_that_matches_nothing_too() {
        let reasons = read("== Why\nBecause.\nFetch | 4+ | * / step | *[{a,b}].code | 3 | *\n");
        let row = &reasons[0].rows[0];
        assert_eq!((reasons[0].text.as_str(), row.line), ("Because.", 3));
        let known = difference("topics[b].code", 5, "3", "0");
        assert_eq!(judge(&reasons, std::slice::from_ref(&known)), (vec![], vec![]));
        for other in [
            difference("topics[c].code", 5, "3", "0"),
            difference("topics[b].code", 3, "3", "0"),
            difference("topics[b].code", 5, "4", "0"),
            difference("topics[b].code", 5, "3", ABSENT),
        ] {
            let (left, dead) = judge(&reasons, std::slice::from_ref(&other));
            assert_eq!((left, dead), (vec![other], vec![3]));
        }
    }
}
