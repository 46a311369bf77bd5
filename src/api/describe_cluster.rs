//! DescribeCluster (60): this one node (KIP-700).
//!
//! Versions 0–1, flexible from the start. v1 endpoint_type (KIP-919).
//!
//! The node is the controller as well, but answers as a broker: asked for controllers it says so.

use super::shared::{OPERATIONS_CLUSTER, operations_if};
use super::{Api, Context, Outcome, Reply};
use crate::wire::{ErrorCode, ReadError, Reader};

/// The row.
pub const API: Api = Api {
    key: 60,
    name: "DescribeCluster",
    versions: (0, 1),
    advertised_min: 0,
    flexible: 0,
    handle,
};

const ENDPOINT_BROKER: i8 = 1;
const ENDPOINT_CONTROLLER: i8 = 2;

fn handle(
    context: &mut Context<'_>,
    mut r: Reader<'_>,
    reply: &mut Reply<'_>,
) -> Result<Outcome, ReadError> {
    let asked = r.bool("include_cluster_authorized_operations")?;
    let endpoint_type = r.since(1, ENDPOINT_BROKER, |r| r.i8("endpoint_type"))?;
    r.tags()?;
    let (code, message) = match endpoint_type {
        ENDPOINT_BROKER => (ErrorCode::None, None),
        ENDPOINT_CONTROLLER => {
            (ErrorCode::MismatchedEndpointType, Some("this is a broker; ask for brokers"))
        }
        _ => (ErrorCode::UnsupportedEndpointType, Some("there is no such endpoint type")),
    };
    let w = &mut reply.w;
    w.i32(0);
    w.error(code);
    w.nullable_string(message);
    w.since(1, |w| w.i8(ENDPOINT_BROKER));
    if code == ErrorCode::None {
        w.string(context.broker.cluster_id());
        w.i32(context.node_id());
        w.array(1);
        w.i32(context.node_id());
        context.write_address(w);
        w.nullable_string(None);
        w.tags();
    } else {
        w.string("");
        w.i32(-1);
        w.array(0);
    }
    w.i32(operations_if(asked && code == ErrorCode::None, OPERATIONS_CLUSTER));
    w.tags();
    Ok(Outcome::Now)
}

#[cfg(test)]
mod tests {
    use super::API;
    use crate::api::testing::{Golden, TestBroker, golden};

    #[test]
    fn every_version_is_read_and_written_as_kafkas_own_classes_do() {
        golden(&API, TestBroker::new, GOLDEN);
    }

    /// Made with kafka-clients 4.3.0: its message classes wrote both sides.
    const GOLDEN: &[Golden] = &[
        (
            0..=0,
            "0000",
            "0000000000000017766463794a695f7254705769494b67356578334e72770000000102000000010a3132\
             372e302e302e310000238400008000000000",
        ),
        (
            1..=1,
            "010100",
            "000000000000000117766463794a695f7254705769494b67356578334e72770000000102000000010a31\
             32372e302e302e3100002384000000001fa000",
        ),
        (
            1..=1,
            "000200",
            "000000000072227468697320697320612062726f6b65723b2061736b20666f722062726f6b6572730101\
             ffffffff018000000000",
        ),
        (
            1..=1,
            "000300",
            "0000000000731f7468657265206973206e6f207375636820656e64706f696e7420747970650101ffffff\
             ff018000000000",
        ),
    ];
}
