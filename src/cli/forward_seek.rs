//! `ottla forward --seek`: the forwarder goes on from another offset.
//!
//! Promises: what it means is said partition by partition, with the number of records that go up
//! again or never; an offset outside of what the broker holds is refused before anything changes.

use super::Failure;
use super::figures::records_text;
use super::forward::{Forwarder, topics};
use super::groups::named_partitions;
use super::table::{row, width};
use crate::client::messages::offsets::{EARLIEST, LATEST};
use crate::wire::ErrorCode;
use std::collections::HashMap;
use std::io::Write;

/// Where to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Target {
    Earliest,
    Latest,
    Offset(i64),
}

fn parse_target(text: &str) -> Result<Target, Failure> {
    match text {
        "earliest" | "-2" => Ok(Target::Earliest),
        "latest" | "-1" => Ok(Target::Latest),
        number => match number.parse() {
            Ok(offset) if offset >= 0 => Ok(Target::Offset(offset)),
            _ => Err(Failure::usage(format!("--to {text}: must be earliest, latest or an offset"))),
        },
    }
}

/// One partition's step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Step {
    partition: i32,
    /// Where it would have gone on; unknown where the broker does not tell.
    before: Option<i64>,
    after: i64,
}

/// Runs `--seek`.
pub fn run(
    forwarder: &mut Forwarder,
    topic: &str,
    to: &str,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let target = parse_target(to)?;
    let partitions = named_partitions(&[topic.to_owned()], &mut forwarder.cluster)?;
    let Some(name) = partitions.first().map(|(name, _)| name.clone()) else {
        return Err(Failure::usage("--seek needs a topic"));
    };
    let topics = topics(&forwarder.figures);
    let Some(known) = topics.iter().find(|topic| topic.name == name) else {
        // A topic that is not there at all has its own sentence.
        forwarder.cluster.topic(&name, false)?;
        return Err(Failure::new(format!(
            "Topic '{name}' is not forwarded; see forward.topics and forward.topics.exclude."
        )));
    };
    let partitions: Vec<i32> = partitions.iter().map(|(_, partition)| *partition).collect();
    let bounds = bounds(forwarder, &name, &partitions)?;
    let steps = plan(&name, &known.next, &partitions, target, &bounds)?;
    let parts: Vec<String> = steps.iter().map(|step| command(&name, step, target)).collect();
    forwarder.set("ottla.forward.seek", &parts.join(","))?;
    for line in lines(&name, &steps) {
        writeln!(out, "{line}")?;
    }
    Ok(())
}

/// What the broker is told; the ends by their names, since they may move until it reads this.
fn command(topic: &str, step: &Step, target: Target) -> String {
    let offset = match target {
        Target::Earliest => EARLIEST,
        Target::Latest => LATEST,
        Target::Offset(offset) => offset,
    };
    format!("{topic}:{}:{offset}", step.partition)
}

/// The first offset and the end of each partition.
fn bounds(
    forwarder: &mut Forwarder,
    topic: &str,
    partitions: &[i32],
) -> Result<HashMap<i32, (i64, i64)>, Failure> {
    let mut bounds = HashMap::new();
    for time in [EARLIEST, LATEST] {
        let entries: Vec<_> = partitions.iter().map(|index| (topic, *index, time)).collect();
        for (_, listed) in forwarder.cluster.list_offsets(&entries)? {
            if listed.error_code != ErrorCode::None {
                let (index, code) = (listed.partition_index, listed.error_code);
                return Err(Failure::new(format!("{topic}-{index}: {code}")));
            }
            let (first, end) = bounds.entry(listed.partition_index).or_insert((0, 0));
            *(if time == EARLIEST { first } else { end }) = listed.offset;
        }
    }
    Ok(bounds)
}

fn plan(
    topic: &str,
    next: &[i64],
    partitions: &[i32],
    target: Target,
    bounds: &HashMap<i32, (i64, i64)>,
) -> Result<Vec<Step>, Failure> {
    let mut steps = Vec::new();
    for partition in partitions {
        let name = format!("{topic}-{partition}");
        let Some((first, end)) = bounds.get(partition) else {
            return Err(Failure::new(format!("{name} does not exist; nothing was changed.")));
        };
        let after = match target {
            Target::Earliest => *first,
            Target::Latest => *end,
            Target::Offset(offset) if (*first..=*end).contains(&offset) => offset,
            Target::Offset(offset) => {
                return Err(Failure::new(format!(
                    "{name} holds the offsets {first} to {end}, and {offset} is not among them; \
                     nothing was changed."
                )));
            }
        };
        let before = usize::try_from(*partition).ok().and_then(|at| next.get(at)).copied();
        steps.push(Step { partition: *partition, before, after });
    }
    Ok(steps)
}

fn lines(topic: &str, steps: &[Step]) -> Vec<String> {
    let topics = width(5, [topic]);
    let line = |topic: &str, partition: &str, before: &str, after: &str, words: &str| {
        row(&[(topic, topics), (partition, 9), (before, 12), (after, 12), (words, 0)])
    };
    let mut lines = vec![line("TOPIC", "PARTITION", "FROM-OFFSET", "TO-OFFSET", "MEANS")];
    let (mut again, mut never) = (0, 0);
    for step in steps {
        let moved = step.before.map(|before| step.after - before);
        let words = match moved {
            None => "not known where it was".to_owned(),
            Some(0) => "no change".to_owned(),
            Some(moved) if moved < 0 => {
                again -= moved;
                format!("{} will be sent again", records_text(-moved))
            }
            Some(moved) => {
                never += moved;
                format!("{} will not be sent", records_text(moved))
            }
        };
        let before = step.before.map_or("-".to_owned(), |before| before.to_string());
        let (partition, after) = (step.partition.to_string(), step.after.to_string());
        lines.push(line(topic, &partition, &before, &after, &words));
    }
    if again > 0 {
        let again = records_text(again);
        lines.push(format!("{again} will be sent again, and then be twice upstream."));
    }
    if never > 0 {
        let never = records_text(never);
        lines.push(format!("{never} will never be sent, unless you seek back."));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bounds() -> HashMap<i32, (i64, i64)> {
        [(0, (5, 100)), (1, (0, 7))].into()
    }

    #[test]
    fn targets_are_words_or_offsets() {
        assert_eq!(parse_target("earliest"), Ok(Target::Earliest));
        assert_eq!(parse_target("-1"), Ok(Target::Latest));
        assert_eq!(parse_target("0"), Ok(Target::Offset(0)));
        for wrong in ["", "-3", "newest", "1.5"] {
            assert!(matches!(parse_target(wrong), Err(Failure::Usage(_))), "{wrong}");
        }
    }

    #[test]
    fn a_step_back_says_how_many_go_up_again_and_a_step_forward_how_many_never() {
        let steps = plan("t", &[90, 3], &[0, 1], Target::Offset(6), &bounds()).unwrap();
        assert_eq!(
            lines("t", &steps),
            [
                "TOPIC PARTITION FROM-OFFSET  TO-OFFSET    MEANS",
                "t     0         90           6            84 records will be sent again",
                "t     1         3            6            3 records will not be sent",
                "84 records will be sent again, and then be twice upstream.",
                "3 records will never be sent, unless you seek back.",
            ]
        );
        let parts: Vec<_> = steps.iter().map(|s| command("t", s, Target::Offset(6))).collect();
        assert_eq!(parts, ["t:0:6", "t:1:6"]);
        assert_eq!(command("t", &steps[0], Target::Earliest), "t:0:-2");
    }

    #[test]
    fn what_the_broker_does_not_hold_is_refused() {
        let offset = |offset| plan("t", &[], &[1], Target::Offset(offset), &bounds());
        let Err(Failure::Failed(said)) = offset(8) else { panic!("8 is behind the end") };
        assert!(said.contains("t-1 holds the offsets 0 to 7, and 8 is not"), "{said}");
        assert!(offset(7).is_ok(), "the end itself is where nothing waits");
        assert!(plan("t", &[], &[2], Target::Latest, &bounds()).is_err());
    }

    #[test]
    fn a_broker_that_does_not_tell_where_it_was_is_taken_as_it_is() {
        let steps = plan("t", &[], &[0], Target::Latest, &bounds()).unwrap();
        assert_eq!(steps, [Step { partition: 0, before: None, after: 100 }]);
        assert_eq!(lines("t", &steps).len(), 2);
    }
}
