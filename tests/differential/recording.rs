//! Answers as they are kept in `tests/differential/recorded/`, and how two runs differ.
//!
//! ```text
//! == title of the block / title of the step: API 3-9
//! topics[t$v].partitions[0].error_code = 0
//! topics[t$v].partitions[0].log_start_offset (5-9) = 0
//! ```
//!
//! Promises: a line for each field and each value that it had, with the versions where it is not
//! all of them; what is written is what is read again.

use super::answer::Lines;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;

/// One step in all its versions.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Recorded {
    pub title: String,
    pub api: String,
    pub answers: BTreeMap<i16, Lines>,
}

/// All steps, by file, in the order of the script.
#[derive(Default)]
pub struct Recording {
    pub files: BTreeMap<String, Vec<Recorded>>,
    /// API and version of every answer.
    pub answered: BTreeSet<(String, i16)>,
    /// Where the script could not go on.
    pub trouble: Vec<String>,
}

/// A field in which two runs differ.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Difference {
    pub title: String,
    pub api: String,
    pub path: String,
    pub kafka: String,
    pub ottla: String,
    pub version: i16,
}

/// What stands for a field that is not there.
pub const ABSENT: &str = "absent";

const OUTCOME: &str = "outcome";

impl Recording {
    /// Notes the answer of a step in a version.
    pub fn note(&mut self, file: &str, title: &str, api: &str, version: i16, lines: Lines) {
        let steps = self.files.entry(file.to_owned()).or_default();
        let at = steps.iter().position(|step| step.title == title).unwrap_or_else(|| {
            let (title, api) = (title.to_owned(), api.to_owned());
            steps.push(Recorded { title, api, answers: BTreeMap::new() });
            steps.len() - 1
        });
        steps[at].answers.insert(version, lines);
    }

    /// Writes a file for each file of the script.
    pub fn write(&self, directory: &Path) {
        for (name, steps) in &self.files {
            let mut text = String::from(
                "# The answers of Apache Kafka 4.3.0, \
                 written by tests/differential/live --record.\n",
            );
            steps.iter().for_each(|step| write_step(&mut text, step));
            std::fs::write(directory.join(name), text).expect("the recording is written");
        }
    }

    /// Reads what [`Recording::write`] wrote.
    pub fn read(directory: &Path) -> Recording {
        let mut recording = Recording::default();
        for (name, text) in super::texts(directory) {
            let mut steps: Vec<Recorded> = Vec::new();
            for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
                match line.strip_prefix("== ") {
                    Some(heading) => steps.push(read_heading(heading)),
                    None => read_line(steps.last_mut().expect("a heading"), line),
                }
            }
            recording.files.insert(name, steps);
        }
        recording
    }
}

/// `3-5,7`.
pub fn ranges(versions: impl IntoIterator<Item = i16>) -> String {
    let mut runs: Vec<(i16, i16)> = Vec::new();
    for version in versions {
        match runs.last_mut() {
            Some(run) if run.1 + 1 == version => run.1 = version,
            _ => runs.push((version, version)),
        }
    }
    let text = |(low, high): &(i16, i16)| match low == high {
        true => low.to_string(),
        false => format!("{low}-{high}"),
    };
    runs.iter().map(text).collect::<Vec<_>>().join(",")
}

fn versions_of(ranges: &str) -> Vec<i16> {
    let number = |text: &str| text.parse::<i16>().expect("a version");
    let run = |run: &str| match run.split_once('-') {
        Some((low, high)) => number(low)..=number(high),
        None => number(run)..=number(run),
    };
    ranges.split(',').flat_map(run).collect()
}

fn write_step(text: &mut String, step: &Recorded) {
    let all = ranges(step.answers.keys().copied());
    writeln!(text, "\n== {}: {} {all}", step.title, step.api).expect("a string");
    let mut values: BTreeMap<(&str, &str), Vec<i16>> = BTreeMap::new();
    for (version, lines) in &step.answers {
        for (path, value) in lines {
            values.entry((path, value)).or_default().push(*version);
        }
    }
    for ((path, value), versions) in values {
        let some = ranges(versions);
        let suffix = if some == all { String::new() } else { format!(" ({some})") };
        writeln!(text, "{path}{suffix} = {value}").expect("a string");
    }
}

fn read_heading(heading: &str) -> Recorded {
    let (title, rest) = heading.rsplit_once(": ").expect("a title");
    let (api, versions) = rest.rsplit_once(' ').expect("an API");
    let answers = versions_of(versions).into_iter().map(|version| (version, Lines::new()));
    Recorded { title: title.to_owned(), api: api.to_owned(), answers: answers.collect() }
}

fn read_line(step: &mut Recorded, line: &str) {
    let (path, value) = line.split_once(" = ").expect("a value");
    let (path, versions) = match path.strip_suffix(')').and_then(|path| path.rsplit_once(" (")) {
        Some((path, versions)) => (path, versions_of(versions)),
        None => (path, step.answers.keys().copied().collect()),
    };
    for version in versions {
        let lines = step.answers.get_mut(&version).expect("a version of the step");
        lines.insert(path.to_owned(), value.to_owned());
    }
}

/// Every field in which they differ. Steps that only one of them has differ in their outcome.
pub fn differences(kafka: &Recording, ottla: &Recording) -> Vec<Difference> {
    let mut found = Vec::new();
    let nothing = Vec::new();
    let files: BTreeSet<&String> = kafka.files.keys().chain(ottla.files.keys()).collect();
    for file in files {
        let of = |side: &Recording| steps_by_version(side.files.get(file).unwrap_or(&nothing));
        let (kafka, ottla) = (of(kafka), of(ottla));
        let keys: BTreeSet<_> = kafka.keys().chain(ottla.keys()).cloned().collect();
        for (title, api, version) in keys {
            let key = (title, api, version);
            for (path, kafka, ottla) in compare(kafka.get(&key), ottla.get(&key)) {
                let (title, api, version) = key.clone();
                found.push(Difference { title, api, path, kafka, ottla, version });
            }
        }
    }
    found.sort();
    found
}

type Key = (String, String, i16);

fn steps_by_version(steps: &[Recorded]) -> BTreeMap<Key, Lines> {
    let each = |step: &Recorded| {
        let key = |version: i16| (step.title.clone(), step.api.clone(), version);
        let lines = step.answers.iter().map(|(version, lines)| (key(*version), lines.clone()));
        lines.collect::<Vec<_>>()
    };
    steps.iter().flat_map(each).collect()
}

fn compare(kafka: Option<&Lines>, ottla: Option<&Lines>) -> Vec<(String, String, String)> {
    let outcome = |lines: Option<&Lines>| match lines {
        None => "not recorded".to_owned(),
        Some(lines) => lines.get(OUTCOME).cloned().unwrap_or_else(|| "answered".to_owned()),
    };
    let outcomes = (outcome(kafka), outcome(ottla));
    let (Some(kafka), Some(ottla), true) = (kafka, ottla, outcomes.0 == outcomes.1) else {
        return vec![(OUTCOME.to_owned(), outcomes.0, outcomes.1)];
    };
    let paths: BTreeSet<&String> = kafka.keys().chain(ottla.keys()).collect();
    let value = |lines: &Lines, path| lines.get(path).cloned().unwrap_or_else(|| ABSENT.to_owned());
    let each = paths.into_iter().map(|path| (path.clone(), value(kafka, path), value(ottla, path)));
    each.filter(|(_, kafka, ottla)| kafka != ottla).collect()
}

/// Differences in words, versions taken together.
pub fn in_words(differences: &[Difference]) -> String {
    let mut merged: BTreeMap<_, Vec<i16>> = BTreeMap::new();
    for one in differences {
        let key = (&one.title, &one.api, &one.path, &one.kafka, &one.ottla);
        merged.entry(key).or_default().push(one.version);
    }
    let mut text = String::new();
    let mut last = None;
    for ((title, api, path, kafka, ottla), versions) in merged {
        if last != Some((title, api)) {
            writeln!(text, "\n{title}: {api}").expect("a string");
            last = Some((title, api));
        }
        let versions = ranges(versions);
        writeln!(text, "  {versions} {path}: Kafka {kafka} · ottla {ottla}").expect("a string");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(value: &str) -> Lines {
        Lines::from([("a b.c".to_owned(), value.to_owned()), ("d".to_owned(), "[1 2]".to_owned())])
    }

    #[test]
    fn what_is_written_is_what_is_read_again() {
        let mut recording = Recording::default();
        for (version, value) in [(3, "x = (y)"), (4, "x = (y)"), (6, "z"), (7, "x = (y)")] {
            recording.note("file", "block / step: more", "Api", version, lines(value));
        }
        recording.note(
            "file",
            "block / closed",
            "Api",
            3,
            Lines::from([(OUTCOME.into(), "no".into())]),
        );
        let directory = tempfile::tempdir().expect("a directory");
        recording.write(directory.path());
        let text = std::fs::read_to_string(directory.path().join("file")).expect("the file");
        assert!(text.contains("a b.c (3-4,7) = x = (y)\na b.c (6) = z\nd = [1 2]\n"), "{text}");
        let again = Recording::read(directory.path());
        assert_eq!(again.files, recording.files);
        assert_eq!(differences(&again, &recording), []);
        recording.files.get_mut("file").expect("the file")[0].answers.remove(&6);
        let [missing] = &differences(&again, &recording)[..] else { panic!("one difference") };
        assert_eq!((missing.version, missing.ottla.as_str()), (6, "not recorded"));
    }
}
