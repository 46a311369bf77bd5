//! ApiVersions (key 18): what a broker serves.
//!
//! A broker that does not know our version answers `UNSUPPORTED_VERSION` in the layout of v0
//! (KIP-511); the reader therefore falls back to v0 when it sees that code.

use super::{read_error, visit_list};
use crate::client::{Api, Request};
use crate::wire::reader::Read;
use crate::wire::{ErrorCode, Reader, Writer};

/// Asks a broker what it serves.
#[derive(Clone, Copy, Debug)]
pub struct ApiVersionsRequest<'a> {
    /// The client's name, for the broker's log.
    pub client_software_name: &'a str,
    /// The client's version.
    pub client_software_version: &'a str,
}

/// One API of a broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ApiVersion {
    /// The API key.
    pub api_key: i16,
    /// The lowest version served.
    pub min_version: i16,
    /// The highest version served.
    pub max_version: i16,
}

/// What a broker serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiVersionsResponse {
    /// `UNSUPPORTED_VERSION` when the request's own version is not served.
    pub error_code: ErrorCode,
    /// The APIs.
    pub api_keys: Vec<ApiVersion>,
}

impl Request for ApiVersionsRequest<'_> {
    const API: Api = Api::API_VERSIONS;
    type Response = ApiVersionsResponse;

    fn write(&self, w: &mut Writer<'_>) {
        w.since(3, |w| w.string(self.client_software_name));
        w.since(3, |w| w.string(self.client_software_version));
        w.tags();
    }

    fn read_response(r: &mut Reader<'_>) -> Read<ApiVersionsResponse> {
        let mut api_keys = Vec::new();
        let error_code = visit_api_versions(r, |api| api_keys.push(api))?;
        Ok(ApiVersionsResponse { error_code, api_keys })
    }
}

/// Reads the response, and holds none of it.
///
/// # Errors
/// The field that is malformed.
pub fn visit_api_versions(
    r: &mut Reader<'_>,
    mut visit: impl FnMut(ApiVersion),
) -> Read<ErrorCode> {
    let error_code = read_error(r, "error_code")?;
    let mut fallback = Reader::new(r.rest(), 0, false);
    let unsupported = error_code == ErrorCode::UnsupportedVersion;
    let r = if unsupported { &mut fallback } else { r };
    if unsupported && r.rest().is_empty() {
        return Ok(error_code);
    }
    visit_list(r, "api_keys", |r| {
        visit(ApiVersion {
            api_key: r.i16("api_key")?,
            min_version: r.i16("min_version")?,
            max_version: r.i16("max_version")?,
        });
        r.tags()
    })?;
    Ok(error_code)
}
