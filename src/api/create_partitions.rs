//! CreatePartitions (37): more partitions for a topic.
//!
//! Versions 0–3. v2 flexible.
//!
//! Promises: the answer waits until the partitions would survive a power cut. A manual assignment
//! is accepted if it names this node for every new partition.

use super::shared::{
    Refused, TOPIC_TWICE, error_of, name_first, named_once, read_assignment, sort_names, with_names,
};
use super::{Api, Context, Outcome, Reply};
use crate::broker::{Names, Refusal};
use crate::storage::Lsn;
use crate::wire::{ErrorCode, ReadError, Reader};

/// The row.
pub const API: Api = Api {
    key: 37,
    name: "CreatePartitions",
    versions: (0, 3),
    advertised_min: 0,
    flexible: 2,
    handle,
};

/// One topic of a request.
struct Wanted<'a> {
    name: &'a str,
    count: i32,
    /// How many partitions the manual assignment has; `None` if there is no assignment.
    assigned: Result<Option<usize>, Refused>,
}

fn read_topic<'a>(r: &mut Reader<'a>, node_id: i32) -> Result<Wanted<'a>, ReadError> {
    let name = r.string("name")?;
    let count = r.i32("count")?;
    let assignments = r.nullable_array("assignments")?;
    let mut assigned = Ok(assignments);
    for _ in 0..assignments.unwrap_or(0) {
        let one = read_assignment(r, node_id)?;
        assigned = assigned.and_then(|count| one.map(|()| count));
        r.tags()?;
    }
    r.tags()?;
    Ok(Wanted { name, count, assigned })
}

fn handle(
    context: &mut Context<'_>,
    r: Reader<'_>,
    reply: &mut Reply<'_>,
) -> Result<Outcome, ReadError> {
    with_names(context, |context, names| handle_with(context, names, r, reply))
}

fn handle_with(
    context: &mut Context<'_>,
    names: &mut Names,
    mut r: Reader<'_>,
    reply: &mut Reply<'_>,
) -> Result<Outcome, ReadError> {
    let node_id = context.node_id();
    let count = r.array("topics")?;
    let mut topics = r;
    let skip = |r: &mut Reader<'_>| read_topic(r, node_id).map(|_| ());
    let fits = sort_names(names, &mut r, count, skip, name_first)?;
    r.i32("timeout_ms")?;
    let validate_only = r.bool("validate_only")?;
    r.tags()?;
    let w = &mut reply.w;
    w.i32(0);
    w.array(count);
    let mut last = None;
    for _ in 0..count {
        let wanted = read_topic(&mut topics, node_id)?;
        let name = wanted.name;
        let once = named_once(names, fits, &name, topics, name_first, TOPIC_TWICE);
        let result = once.and_then(|()| create(context, wanted, validate_only));
        let (code, message) = error_of(&result);
        w.string(name);
        w.error(code);
        w.nullable_string(message);
        w.tags();
        last = last.max(result.ok().flatten());
    }
    w.tags();
    Ok(last.map_or(Outcome::Now, Outcome::AfterSync))
}

fn create(
    context: &mut Context<'_>,
    wanted: Wanted<'_>,
    validate_only: bool,
) -> Result<Option<Lsn>, Refused> {
    let topic = context.broker.topics().find(wanted.name);
    let topic = topic.ok_or(Refusal::UnknownTopicOrPartition)?;
    let (number, before) = (topic.number, topic.partitions.len());
    let count = context.broker.check_partitions(number, wanted.count).map_err(|refusal| {
        let mut refused = Refused::from(refusal);
        if refusal == Refusal::InvalidPartitions {
            refused.message =
                format!("the topic has {before} partitions, and there can only be more of them")
                    .into();
        }
        refused
    })?;
    let new = count as usize - before;
    if let Some(assigned) = wanted.assigned?
        && assigned != new
    {
        let message = format!("{new} partitions are new, but {assigned} are assigned");
        return Err(Refused::new(ErrorCode::InvalidReplicaAssignment, message));
    }
    if validate_only {
        return Ok(None);
    }
    Ok(Some(context.broker.add_partitions(number, wanted.count, context.now)?))
}

#[cfg(test)]
mod tests {
    use super::API;
    use crate::api::Outcome;
    use crate::api::testing::{Golden, TestBroker, golden};

    fn with_topics() -> TestBroker {
        let mut test = TestBroker::new();
        test.topic("t", 2);
        ["u", "v", "w", "x"].iter().for_each(|name| test.topic(name, 1));
        test
    }

    #[test]
    fn every_version_is_read_and_written_as_kafkas_own_classes_do() {
        golden(&API, with_topics, GOLDEN);
    }

    fn ask(test: &mut TestBroker, topics: &[&str], validate_only: bool) -> Outcome {
        let (outcome, _) = test.ask(37, 0, |w| {
            w.array(topics.len());
            for topic in topics {
                w.string(topic);
                w.i32(5);
                w.nullable_array(None);
            }
            w.i32(1000);
            w.bool(validate_only);
        });
        outcome
    }

    #[test]
    fn a_validated_or_doubled_request_adds_nothing_and_any_other_is_waited_for() {
        let mut test = with_topics();
        let count = |test: &TestBroker| test.broker.topics().find("t").map(|t| t.partitions.len());
        assert_eq!((ask(&mut test, &["t"], true), count(&test)), (Outcome::Now, Some(2)));
        assert_eq!((ask(&mut test, &["t", "t"], false), count(&test)), (Outcome::Now, Some(2)));
        assert!(matches!(ask(&mut test, &["t"], false), Outcome::AfterSync(lsn) if lsn > 0));
        assert_eq!(count(&test), Some(5));
    }

    /// Made with kafka-clients 4.3.0: its message classes wrote both sides.
    const GOLDEN: &[Golden] = &[
        (
            0..=1,
            "0000000600017400000004000000020000000100000001000000010000000100017500000002ffffffff\
             00017600000001ffffffff00017700000003000000010000000100000001000178000000020000000100\
             000002000000010000000200076d697373696e6700000002ffffffff0000138800",
            "00000000000000060001740000ffff0001750000ffff0001760025003e74686520746f70696320686173\
             203120706172746974696f6e732c20616e642074686572652063616e206f6e6c79206265206d6f726520\
             6f66207468656d000177002700283220706172746974696f6e7320617265206e65772c20627574203120\
             6172652061737369676e65640001780027002a7468657265206973206e6f206e6f646520323b20746865\
             206f6e6c79206f6e652068657265206973203100076d697373696e67000300237468657265206973206e\
             6f207375636820746f706963206f7220706172746974696f6e",
        ),
        (
            2..=3,
            "070274000000040302000000010002000000010000027500000002000002760000000100000277000000\
             030202000000010000027800000002020300000001000000020000086d697373696e6700000002000000\
             0013880000",
            "0000000007027400000000027500000000027600253f74686520746f7069632068617320312070617274\
             6974696f6e732c20616e642074686572652063616e206f6e6c79206265206d6f7265206f66207468656d\
             0002770027293220706172746974696f6e7320617265206e65772c206275742031206172652061737369\
             676e656400027800272b7468657265206973206e6f206e6f646520323b20746865206f6e6c79206f6e65\
             2068657265206973203100086d697373696e670003247468657265206973206e6f207375636820746f70\
             6963206f7220706172746974696f6e0000",
        ),
    ];
}
