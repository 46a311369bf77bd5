//! One request as a frame, and one frame as the response to it.
//!
//! Promises: the version and the flexibility stand in one place, [`Request::API`]; a response with
//! another correlation id is an error; whatever bytes arrive become a value or a [`FrameError`]
//! that names the field. ApiVersions answers with header v0 in every version (KIP-511).
//! Absent: the four length bytes of a *response* frame, which belong to whoever reads the socket.

use super::api::Api;
use crate::wire::{ReadError, Reader, Writer};
use core::fmt;

/// A request of our client side and the response to it.
pub trait Request {
    /// The API and the versions in which this request can be written.
    const API: Api;
    /// What comes back.
    type Response;

    /// Writes the body in the writer's version.
    fn write(&self, w: &mut Writer<'_>);

    /// Reads the response's body in the reader's version.
    ///
    /// # Errors
    /// The field that is malformed.
    fn read_response(r: &mut Reader<'_>) -> Result<Self::Response, ReadError>;
}

/// Why a frame is not the answer to our request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameError {
    /// The frame answers another request.
    CorrelationId {
        /// What we sent.
        expected: i32,
        /// What came back.
        found: i32,
    },
    /// The frame is malformed.
    Read(ReadError),
}

impl From<ReadError> for FrameError {
    fn from(error: ReadError) -> Self {
        FrameError::Read(error)
    }
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FrameError::CorrelationId { expected, found } => {
                write!(f, "an answer to request {found} where {expected} was asked")
            }
            FrameError::Read(error) => error.fmt(f),
        }
    }
}

/// The whole frame of `request`: length, header, body.
pub fn encode<R: Request>(
    request: &R,
    version: i16,
    correlation_id: i32,
    client_id: &str,
) -> Vec<u8> {
    let mut bytes = Vec::new();
    let head = (R::API, version, correlation_id, client_id);
    write(&mut bytes, usize::MAX, head, |w| request.write(w));
    bytes
}

/// Appends a whole frame to `bytes`, which may have `bytes_max` bytes then; `false` where that is
/// too little, and then nothing was appended. The head: the API, the version, the request's number
/// and the client's name.
pub fn write(
    bytes: &mut Vec<u8>,
    bytes_max: usize,
    (api, version, correlation_id, client_id): (Api, i16, i32, &str),
    body: impl FnOnce(&mut Writer<'_>),
) -> bool {
    let start = bytes.len();
    let mut w = Writer::bounded(bytes, version, false, bytes_max);
    w.i32(0);
    w.i16(api.key);
    w.i16(version);
    w.i32(correlation_id);
    w.string(client_id);
    let mut whole = !w.overflowed();
    let mut w = Writer::bounded(bytes, version, api.is_flexible(version), bytes_max);
    w.tags();
    body(&mut w);
    whole = whole && !w.overflowed();
    if whole {
        let length = (w.position() - start - 4) as i32;
        w.patch_i32(start, length);
    } else {
        bytes.truncate(start);
    }
    whole
}

/// A reader of the response's body in `frame` (without its length bytes).
///
/// # Errors
/// [`FrameError`].
pub fn open(
    api: Api,
    frame: &[u8],
    version: i16,
    correlation_id: i32,
) -> Result<Reader<'_>, FrameError> {
    let mut r = Reader::new(frame, version, api.is_flexible(version));
    let found = r.i32("correlation_id")?;
    if found != correlation_id {
        return Err(FrameError::CorrelationId { expected: correlation_id, found });
    }
    if api.key != Api::API_VERSIONS.key {
        r.tags()?;
    }
    Ok(r)
}

/// The response in `frame` (without its length bytes).
///
/// # Errors
/// [`FrameError`].
pub fn decode<R: Request>(
    frame: &[u8],
    version: i16,
    correlation_id: i32,
) -> Result<R::Response, FrameError> {
    Ok(R::read_response(&mut open(R::API, frame, version, correlation_id)?)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::messages::groups::HeartbeatRequest;

    const BEAT: HeartbeatRequest<'_> = HeartbeatRequest {
        group_id: "g",
        generation_id: 7,
        member_id: "m",
        group_instance_id: None,
    };

    #[test]
    fn a_request_is_length_header_and_body() {
        let bytes = encode(&BEAT, 1, 3, "me");
        let golden = [
            0, 0, 0, 22, 0, 12, 0, 1, 0, 0, 0, 3, 0, 2, b'm', b'e', 0, 1, b'g', 0, 0, 0, 7, 0, 1,
            b'm',
        ];
        assert_eq!(bytes, golden);
        let flexible = encode(&BEAT, 4, 3, "me");
        let golden = [
            0, 0, 0, 23, 0, 12, 0, 4, 0, 0, 0, 3, 0, 2, b'm', b'e', 0, 2, b'g', 0, 0, 0, 7, 2,
            b'm', 0, 0,
        ];
        assert_eq!(flexible, golden);
    }

    #[test]
    fn an_answer_to_another_request_is_refused() {
        let frame = [0, 0, 0, 9, 0, 0, 0, 0, 0, 0];
        let error = decode::<HeartbeatRequest<'_>>(&frame, 1, 3).unwrap_err();
        assert_eq!(error, FrameError::CorrelationId { expected: 3, found: 9 });
    }
}
