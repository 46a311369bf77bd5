//! Canaries: a real life is told again with one lie in it, and every lie has to be found out.
//!
//! Promises: each field of each answer of the life is altered once, each answer left out once and
//! given twice once.

use crate::differences::Broker;
use crate::life::Lived;
use crate::messages::{Answer, Joined, Synced};
use crate::rules::Ms;
use crate::worlds::{Event, Worlds};

/// An event with a lie in it, and what the lie is.
type Lie = (&'static str, Event);

/// How many lies were told, or the first that was believed.
pub fn tell_lies(life: &Lived) -> Result<usize, String> {
    let mut worlds = Worlds::new(Broker::Ottla, "/127.0.0.1");
    let mut told = 0;
    for (at, (now, event)) in life.events.iter().enumerate() {
        let rest = &life.events[at + 1..];
        let twice = [(*now, event.clone()), (*now, event.clone())];
        let mut stories: Vec<(&str, Vec<(Ms, Event)>)> =
            lies(event).into_iter().map(|(what, lie)| (what, vec![(*now, lie)])).collect();
        if matches!(event, Event::Answered(..)) {
            stories.push(("an answer that did not come", Vec::new()));
            stories.push(("an answer twice", twice.to_vec()));
        }
        for (what, story) in stories {
            told += 1;
            if is_believed(worlds.clone(), story.iter().chain(rest)) {
                return Err(format!("{what} was believed, event {at}: {event}"));
            }
        }
        worlds.event(*now, event).map_err(|it| format!("the truth was not believed: {it}"))?;
    }
    Ok(told)
}

fn is_believed<'a>(mut worlds: Worlds, mut story: impl Iterator<Item = &'a (Ms, Event)>) -> bool {
    story.all(|(now, event)| worlds.event(*now, event).is_ok())
}

fn lies(event: &Event) -> Vec<Lie> {
    match event {
        Event::Answered(conn, answer) => {
            let lie = |(what, answer)| (what, Event::Answered(*conn, answer));
            lies_of_answer(answer).into_iter().map(lie).collect()
        }
        Event::Described(described) => {
            let mut lies = Vec::new();
            let mut lie = |what, alter: &dyn Fn(&mut crate::looks::Described)| {
                let mut altered = described.clone();
                alter(&mut altered);
                lies.push((what, Event::Described(altered)));
            };
            lie("a described error", &|it| it.error = 16);
            lie("a described state", &|it| {
                it.state = if it.state == "Stable" { "Empty" } else { "Stable" }.to_owned();
            });
            lie("a described protocol type", &|it| it.protocol_type.push('x'));
            lie("a described protocol", &|it| it.protocol_data.push('x'));
            if !described.members.is_empty() {
                lie("one member too few", &|it| it.members.truncate(it.members.len() - 1));
                lie("a described id", &|it| it.members[0].member_id.push('x'));
                lie("a described client", &|it| it.members[0].client_id.push('x'));
                lie("a described host", &|it| it.members[0].client_host.push('x'));
                lie("described metadata", &|it| it.members[0].metadata.push(9));
                lie("a described assignment", &|it| it.members[0].assignment.push(9));
                lie("a described instance", &|it| it.members[0].instance_id = Some("x".into()));
            }
            lies
        }
        Event::Listed(Some(listed)) => {
            let mut altered = listed.clone();
            altered.protocol_type.push('x');
            let typed = ("a listed type", Event::Listed(Some(altered)));
            vec![("a group that is not listed", Event::Listed(None)), typed]
        }
        Event::Fetched(fetched) => {
            let (mut offset, mut metadata) = (fetched.clone(), fetched.clone());
            offset[0].0 += 1;
            metadata[0].1.push('x');
            vec![("an offset", Event::Fetched(offset)), ("its metadata", Event::Fetched(metadata))]
        }
        _ => Vec::new(),
    }
}

fn lies_of_answer(answer: &Answer) -> Vec<(&'static str, Answer)> {
    match answer {
        Answer::Joined(joined) => lies_of_joined(joined),
        Answer::Synced(synced) => lies_of_synced(synced),
        Answer::Code(code) => [0, 22, 25, 27, 82]
            .into_iter()
            .filter(|other| other != code)
            .map(|other| ("a code", Answer::Code(other)))
            .collect(),
        Answer::Left(code, each) => {
            let (mut codes, mut fewer) = (each.clone(), each.clone());
            codes[0].1 = if codes[0].1 == 0 { 25 } else { 0 };
            fewer.pop();
            vec![
                ("the code of a LeaveGroup", Answer::Left(code + 25, each.clone())),
                ("the code of one who left", Answer::Left(*code, codes)),
                ("one too few who left", Answer::Left(*code, fewer)),
            ]
        }
    }
}

fn lies_of_joined(joined: &Joined) -> Vec<(&'static str, Answer)> {
    let mut lies = Vec::new();
    let mut lie = |what, alter: &dyn Fn(&mut Joined)| {
        let mut altered = joined.clone();
        alter(&mut altered);
        lies.push((what, Answer::Joined(altered)));
    };
    lie("the error of a JoinGroup", &|it| it.error = if it.error == 0 { 27 } else { 0 });
    lie("a generation", &|it| it.generation += 1);
    lie("a protocol type", &|it| it.protocol_type = Some("other".to_owned()));
    lie("a protocol", &|it| it.protocol_name = Some("other".to_owned()));
    lie("a leader", &|it| it.leader = "somebody".to_owned());
    lie("whether to skip the assignment", &|it| it.skip_assignment = !it.skip_assignment);
    lie("an own id", &|it| it.member_id = "somebody".to_owned());
    if !joined.members.is_empty() {
        lie("one member too few", &|it| it.members.truncate(it.members.len() - 1));
        lie("a member's id", &|it| it.members[0].member_id.push('x'));
        lie("a member's instance", &|it| it.members[0].instance_id = Some("x".to_owned()));
        lie("a member's metadata", &|it| it.members[0].metadata.push(9));
    }
    lies
}

fn lies_of_synced(synced: &Synced) -> Vec<(&'static str, Answer)> {
    let mut lies = Vec::new();
    let mut lie = |what, alter: &dyn Fn(&mut Synced)| {
        let mut altered = synced.clone();
        alter(&mut altered);
        lies.push((what, Answer::Synced(altered)));
    };
    lie("the error of a SyncGroup", &|it| it.error = if it.error == 0 { 25 } else { 0 });
    lie("a protocol type", &|it| it.protocol_type = Some("other".to_owned()));
    lie("a protocol", &|it| it.protocol_name = Some("other".to_owned()));
    lie("an assignment", &|it| it.assignment.push(9));
    lies
}
