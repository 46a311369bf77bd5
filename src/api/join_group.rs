//! JoinGroup (11): a member comes, or comes back, and learns who leads.
//!
//! Versions 0–9. v1 rebalance_timeout_ms (before: the session timeout, KAFKA-8653) ·
//! v2 throttle_time_ms · v4 member ids are asked back (KIP-394) · v5 group_instance_id (KIP-345) ·
//! v6 flexible · v7 protocol_type in the answer, protocol_name nullable (KIP-559) ·
//! v8 reason · v9 skip_assignment (KIP-800).
//!
//! The request is parked until the group has agreed on a generation; run again, it only looks up
//! what became of it. All rules are the group's (`state/group.rs`). The reason is read over.

use super::list::List;
use super::{Api, Context, Outcome, Parked, Reply, Waiting, code_of_group};
use crate::limits::CLIENT_HOST_BYTES_MAX;
use crate::state::groups::{JoinAnswer, JoinRequest, JoinResult, JoinVerdict, Refusal};
use crate::wire::{ErrorCode, ReadError, Reader, Writer};
use std::fmt::Write as _;

/// The row.
pub const API: Api =
    Api { key: 11, name: "JoinGroup", versions: (0, 9), advertised_min: 0, flexible: 6, handle };

fn handle(
    context: &mut Context<'_>,
    r: Reader<'_>,
    reply: &mut Reply<'_>,
) -> Result<Outcome, ReadError> {
    if let Some(parked @ Parked { waiting: Waiting::Join(ticket), .. }) = context.parked {
        match context.broker.groups.join_result(ticket) {
            JoinResult::Pending => return Ok(Outcome::Park(parked)),
            JoinResult::Refused(refusal) => write_refused(&mut reply.w, refusal, ""),
            JoinResult::Joined(answer) => write_joined(&mut reply.w, &answer),
        }
        context.broker.groups.release(context.peer.slot);
        return Ok(Outcome::Now);
    }
    let mut client_host = heapless::String::<CLIENT_HOST_BYTES_MAX>::new();
    // As Java's InetAddress prints itself, and so what scripts expect of `--describe --members`.
    write!(client_host, "/{}", context.peer.address.ip().to_canonical()).ok();
    let mut request = read_request(r)?;
    request.client_id = context.client_id;
    request.client_host = &client_host;
    request.waiter = context.peer.slot;
    match context.broker.groups.join(request, context.now) {
        JoinVerdict::Refused(refusal, member_id) => {
            write_refused(&mut reply.w, refusal, member_id);
        }
        JoinVerdict::Joined(answer) => write_joined(&mut reply.w, &answer),
        JoinVerdict::Parked(ticket) => {
            return Ok(Outcome::Park(Parked { waiting: Waiting::Join(ticket), deadline: None }));
        }
    }
    Ok(Outcome::Now)
}

type Protocols<'a> = List<'a, (&'a str, &'a [u8])>;

/// What the bytes say; who asks is filled in by the caller.
fn read_request(mut r: Reader<'_>) -> Result<JoinRequest<'_, Protocols<'_>>, ReadError> {
    let version = r.version();
    let group_id = r.string("group_id")?;
    let session_timeout_ms = r.i32("session_timeout_ms")?;
    let request = JoinRequest {
        group_id,
        session_timeout_ms,
        rebalance_timeout_ms: r.since(1, session_timeout_ms, |r| r.i32("rebalance_timeout_ms"))?,
        member_id: r.string("member_id")?,
        instance_id: r.since(5, None, |r| r.nullable_string("group_instance_id"))?,
        protocol_type: r.string("protocol_type")?,
        protocols: List::read(&mut r, "protocols", |r| {
            let name = r.string("name")?;
            let metadata = r.bytes("metadata")?;
            r.tags()?;
            Ok((name, metadata))
        })?,
        require_known_member_id: version >= 4,
        supports_skip_assignment: version >= 9,
        client_id: "",
        client_host: "",
        waiter: 0,
    };
    r.since(8, None, |r| r.nullable_string("reason"))?;
    r.tags()?;
    Ok(request)
}

fn write_refused(w: &mut Writer<'_>, refusal: Refusal, member_id: &str) {
    w.since(2, |w| w.i32(0));
    w.error(code_of_group(refusal));
    w.i32(-1);
    w.since(7, |w| w.nullable_string(None));
    // The protocol's name may be null since v7 only, and is.
    w.nullable_string(if w.version() < 7 { Some("") } else { None });
    w.string("");
    w.since(9, |w| w.bool(false));
    w.string(member_id);
    w.array(0);
    w.tags();
}

fn write_joined(w: &mut Writer<'_>, answer: &JoinAnswer<'_>) {
    w.since(2, |w| w.i32(0));
    w.error(ErrorCode::None);
    w.i32(answer.generation);
    w.since(7, |w| w.nullable_string(Some(answer.protocol_type)));
    w.string(answer.protocol_name);
    w.string(answer.leader);
    w.since(9, |w| w.bool(answer.skip_assignment));
    w.string(answer.member_id);
    let members = answer.members();
    w.array(members.len());
    for member in members {
        w.string(member.member_id);
        w.since(5, |w| w.nullable_string(member.instance_id));
        w.bytes(member.metadata);
        w.tags();
    }
    w.tags();
}

#[cfg(test)]
mod tests {
    use crate::api::testing::{Golden, TestBroker, golden, hex};

    const GOLDEN: &[Golden] = &[
        (
            0..=0,
            "0001670000271000000008636f6e73756d657200000002000572616e6765000000020102000272720000\
         000103",
            "000000000001000572616e67650029746573742d33346434373565312d393363352d343365612d383937\
         622d3737396561343634313534340029746573742d33346434373565312d393363352d343365612d3839\
         37622d373739656134363431353434000000010029746573742d33346434373565312d393363352d3433\
         65612d383937622d373739656134363431353434000000020102",
        ),
        (
            1..=1,
            "0001670000271000004e2000000008636f6e73756d657200000002000572616e67650000000201020002\
         72720000000103",
            "000000000001000572616e67650029746573742d33346434373565312d393363352d343365612d383937\
         622d3737396561343634313534340029746573742d33346434373565312d393363352d343365612d3839\
         37622d373739656134363431353434000000010029746573742d33346434373565312d393363352d3433\
         65612d383937622d373739656134363431353434000000020102",
        ),
        (
            2..=2,
            "0001670000271000004e2000000008636f6e73756d657200000002000572616e67650000000201020002\
         72720000000103",
            "00000000000000000001000572616e67650029746573742d33346434373565312d393363352d34336561\
         2d383937622d3737396561343634313534340029746573742d33346434373565312d393363352d343365\
         612d383937622d373739656134363431353434000000010029746573742d33346434373565312d393363\
         352d343365612d383937622d373739656134363431353434000000020102",
        ),
        (
            3..=3,
            "0001670000271000004e2000000008636f6e73756d657200000002000572616e67650000000201020002\
         72720000000103",
            "00000000000000000001000572616e67650029746573742d33346434373565312d393363352d34336561\
         2d383937622d3737396561343634313534340029746573742d33346434373565312d393363352d343365\
         612d383937622d373739656134363431353434000000010029746573742d33346434373565312d393363\
         352d343365612d383937622d373739656134363431353434000000020102",
        ),
        (
            4..=4,
            "0001670000271000004e200029746573742d34323661363737392d376136362d346431612d386262382d\
         3939313332313063313632640008636f6e73756d657200000002000572616e6765000000020102000272\
         720000000103",
            "00000000000000000001000572616e67650029746573742d34323661363737392d376136362d34643161\
         2d386262382d3939313332313063313632640029746573742d34323661363737392d376136362d346431\
         612d386262382d393931333231306331363264000000010029746573742d34323661363737392d376136\
         362d346431612d386262382d393931333231306331363264000000020102",
        ),
        (
            5..=5,
            "0001670000271000004e2000000001690008636f6e73756d657200000002000572616e67650000000201\
         02000272720000000103",
            "00000000000000000001000572616e67650026692d33346434373565312d393363352d343365612d3839\
         37622d3737396561343634313534340026692d33346434373565312d393363352d343365612d38393762\
         2d373739656134363431353434000000010026692d33346434373565312d393363352d343365612d3839\
         37622d373739656134363431353434000169000000020102",
        ),
        (
            6..=6,
            "02670000271000004e2001026909636f6e73756d6572030672616e67650301020003727202030000",
            "000000000000000000010672616e676527692d33346434373565312d393363352d343365612d38393762\
         2d37373965613436343135343427692d33346434373565312d393363352d343365612d383937622d3737\
         396561343634313534340227692d33346434373565312d393363352d343365612d383937622d37373965\
         613436343135343402690301020000",
        ),
        (
            7..=7,
            "02670000271000004e2001026909636f6e73756d6572030672616e67650301020003727202030000",
            "0000000000000000000109636f6e73756d65720672616e676527692d33346434373565312d393363352d\
         343365612d383937622d37373965613436343135343427692d33346434373565312d393363352d343365\
         612d383937622d3737396561343634313534340227692d33346434373565312d393363352d343365612d\
         383937622d37373965613436343135343402690301020000",
        ),
        (
            8..=8,
            "02670000271000004e2001026909636f6e73756d6572030672616e676503010200037272020300047768\
         7900",
            "0000000000000000000109636f6e73756d65720672616e676527692d33346434373565312d393363352d\
         343365612d383937622d37373965613436343135343427692d33346434373565312d393363352d343365\
         612d383937622d3737396561343634313534340227692d33346434373565312d393363352d343365612d\
         383937622d37373965613436343135343402690301020000",
        ),
        (
            9..=9,
            "02670000271000004e2001026909636f6e73756d6572030672616e676503010200037272020300047768\
         7900",
            "0000000000000000000109636f6e73756d65720672616e676527692d33346434373565312d393363352d\
         343365612d383937622d3737396561343634313534340027692d33346434373565312d393363352d3433\
         65612d383937622d3737396561343634313534340227692d33346434373565312d393363352d34336561\
         2d383937622d37373965613436343135343402690301020000",
        ),
    ];

    const REFUSED: &[Golden] = &[
        (
            0..=0,
            "000167000027100001780008636f6e73756d657200000002000572616e67650000000201020002727200\
         00000103",
            "0019ffffffff0000000000017800000000",
        ),
        (
            1..=1,
            "0001670000271000004e200001780008636f6e73756d657200000002000572616e676500000002010200\
         0272720000000103",
            "0019ffffffff0000000000017800000000",
        ),
        (
            2..=2,
            "0001670000271000004e200001780008636f6e73756d657200000002000572616e676500000002010200\
         0272720000000103",
            "000000000019ffffffff0000000000017800000000",
        ),
        (
            3..=3,
            "0001670000271000004e200001780008636f6e73756d657200000002000572616e676500000002010200\
         0272720000000103",
            "000000000019ffffffff0000000000017800000000",
        ),
        (
            4..=4,
            "0001670000271000004e200001780008636f6e73756d657200000002000572616e676500000002010200\
         0272720000000103",
            "000000000019ffffffff0000000000017800000000",
        ),
        (
            5..=5,
            "0001670000271000004e20000178ffff0008636f6e73756d657200000002000572616e67650000000201\
         02000272720000000103",
            "000000000019ffffffff0000000000017800000000",
        ),
        (
            6..=6,
            "02670000271000004e2002780009636f6e73756d6572030672616e67650301020003727202030000",
            "000000000019ffffffff010102780100",
        ),
        (
            7..=7,
            "02670000271000004e2002780009636f6e73756d6572030672616e67650301020003727202030000",
            "000000000019ffffffff00000102780100",
        ),
        (
            8..=8,
            "02670000271000004e2002780009636f6e73756d6572030672616e6765030102000372720203000000",
            "000000000019ffffffff00000102780100",
        ),
        (
            9..=9,
            "02670000271000004e2002780009636f6e73756d6572030672616e6765030102000372720203000000",
            "000000000019ffffffff0000010002780100",
        ),
    ];

    /// An id was handed out and not used yet: version 4 comes back with it.
    fn with_pending_id() -> TestBroker {
        let mut test = TestBroker::new();
        let (_, answer) = test.ask(11, 4, |w| w.raw(&hex(GOLDEN[3].1)));
        assert_eq!(answer[4..6], [0, 79]);
        test
    }

    #[test]
    fn every_version_reads_and_writes_as_kafka_does() {
        golden(&super::API, with_pending_id, GOLDEN);
    }

    #[test]
    fn a_refusal_has_an_empty_protocol_name_before_version_7_and_none_since() {
        golden(&super::API, TestBroker::new, REFUSED);
    }

    #[test]
    fn since_version_4_a_member_is_sent_away_to_come_back_with_its_id() {
        for version in 0..=3 {
            let mut test = TestBroker::new();
            test.ask(11, version, |w| w.raw(&hex(GOLDEN[version as usize].1)));
            assert_eq!(test.broker.groups.describe("g").unwrap().members().len(), 1);
        }
        let mut test = with_pending_id();
        assert_eq!(test.broker.groups.describe("g").unwrap().members().len(), 0);
        test.ask(11, 4, |w| w.raw(&hex(GOLDEN[4].1)));
        assert_eq!(test.broker.groups.describe("g").unwrap().members().len(), 1);
    }

    #[test]
    fn a_client_is_shown_where_it_calls_from_as_java_prints_it() {
        let mut test = TestBroker::new();
        test.member();
        let group = test.broker.groups.describe("g").unwrap();
        assert_eq!(group.members().next().unwrap().client_host, "/127.0.0.1");
    }
}
