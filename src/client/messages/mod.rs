//! Requests written and responses read, one file per family, fields in Kafka's order.
//!
//! Promises: each layout can be held against Kafka's message JSON line by line. A response is a
//! plain struct that owns what it holds; its lists grow as elements are really read, never by the
//! count in front of them. A code that our table of error codes does not know reads as
//! `UNKNOWN_SERVER_ERROR`.
//! Absent: fields that only brokers send each other, and those that a client has no use for.

pub mod api_versions;
pub mod configs;
pub mod fetch;
pub mod groups;
pub mod metadata;
pub mod offsets;
pub mod produce;
pub mod producers;
pub mod topics;

use crate::wire::reader::Read;
use crate::wire::{ErrorCode, Reader, Writer};

/// A topic's name and what a request says of each of its partitions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ByTopic<'a, P> {
    /// The topic.
    pub name: &'a str,
    /// One entry per partition.
    pub partitions: Vec<P>,
}

impl<'a, P> ByTopic<'a, P> {
    /// Groups entries by topic, keeping the order in which topics first appear.
    pub fn group(entries: impl IntoIterator<Item = (&'a str, P)>) -> Vec<ByTopic<'a, P>> {
        let mut topics: Vec<ByTopic<'a, P>> = Vec::new();
        for (name, partition) in entries {
            match topics.iter_mut().find(|topic| topic.name == name) {
                Some(topic) => topic.partitions.push(partition),
                None => topics.push(ByTopic { name, partitions: vec![partition] }),
            }
        }
        topics
    }
}

/// A topic's name and what a response says of each of its partitions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicResult<P> {
    /// The topic.
    pub name: String,
    /// One entry per partition.
    pub partitions: Vec<P>,
}

/// Writes an array of topics, each with an array of partitions.
fn write_topics<P>(
    w: &mut Writer<'_>,
    topics: &[ByTopic<'_, P>],
    mut partition: impl FnMut(&mut Writer<'_>, &P),
) {
    w.array(topics.len());
    for topic in topics {
        w.string(topic.name);
        w.array(topic.partitions.len());
        for entry in &topic.partitions {
            partition(w, entry);
        }
        w.tags();
    }
}

/// Reads an array of topics, each with an array of partitions.
fn read_topics<P>(
    r: &mut Reader<'_>,
    mut partition: impl FnMut(&mut Reader<'_>) -> Read<P>,
) -> Read<Vec<TopicResult<P>>> {
    read_list(r, "topics", |r| {
        let topic = TopicResult {
            name: r.string("topic name")?.to_owned(),
            partitions: read_list(r, "partitions", &mut partition)?,
        };
        r.tags()?;
        Ok(topic)
    })
}

/// Reads an array; the list grows with the elements that are really there.
fn read_list<'a, T>(
    r: &mut Reader<'a>,
    field: &'static str,
    mut element: impl FnMut(&mut Reader<'a>) -> Read<T>,
) -> Read<Vec<T>> {
    let count = r.nullable_array(field)?.unwrap_or(0);
    let mut list = Vec::new();
    for _ in 0..count {
        list.push(element(r)?);
    }
    Ok(list)
}

/// Visits the elements of an array, and holds none of them.
fn visit_list<'a>(
    r: &mut Reader<'a>,
    field: &'static str,
    mut element: impl FnMut(&mut Reader<'a>) -> Read<()>,
) -> Read<()> {
    let count = r.nullable_array(field)?.unwrap_or(0);
    (0..count).try_for_each(|_| element(r))
}

/// Visits an array of topics, each with an array of partitions, and holds none of them.
fn visit_topics<'a>(
    r: &mut Reader<'a>,
    mut partition: impl FnMut(&mut Reader<'a>, &'a str) -> Read<()>,
) -> Read<()> {
    visit_list(r, "topics", |r| {
        let name = r.string("topic name")?;
        visit_list(r, "partitions", |r| partition(r, name))?;
        r.tags()
    })
}

/// Writes an array of topics with their partitions, from entries of which those of one topic need
/// not stand together. It goes through them once for each, and holds nothing.
fn write_by_topic<'n, P: 'n>(
    w: &mut Writer<'_>,
    entries: &(impl Iterator<Item = (&'n str, P)> + Clone),
    mut partition: impl FnMut(&mut Writer<'_>, P),
) {
    let is_first = |(at, (name, _)): &(usize, (&str, P))| {
        !entries.clone().take(*at).any(|(other, _)| other == *name)
    };
    let firsts = || entries.clone().enumerate().filter(is_first);
    w.array(firsts().count());
    for (_, (name, _)) in firsts() {
        let of_topic = || entries.clone().filter(|(other, _)| *other == name);
        w.string(name);
        w.array(of_topic().count());
        of_topic().for_each(|(_, entry)| partition(w, entry));
        w.tags();
    }
}

/// Writes an array of strings.
fn write_strings<S: AsRef<str>>(w: &mut Writer<'_>, strings: &[S]) {
    w.array(strings.len());
    for string in strings {
        w.string(string.as_ref());
    }
}

/// Reads an error code.
fn read_error(r: &mut Reader<'_>, field: &'static str) -> Read<ErrorCode> {
    Ok(ErrorCode::from_i16(r.i16(field)?).unwrap_or(ErrorCode::UnknownServerError))
}

/// Reads a nullable string into one that is owned.
fn read_nullable(r: &mut Reader<'_>, field: &'static str) -> Read<Option<String>> {
    Ok(r.nullable_string(field)?.map(str::to_owned))
}

#[cfg(test)]
mod tests;
