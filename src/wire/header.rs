//! The header in front of every request.
//!
//! Request header v1 is key, version, correlation id and client id; v2 (flexible versions) adds a
//! tag buffer. The client id keeps its old `int16` length in both (`RequestHeader.json`).
//! Response headers are written by `api/`: v0 is the correlation id alone, v1 adds a tag buffer,
//! and ApiVersions always answers with v0.

use super::reader::{Read, Reader};

/// What a request says about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestHeader<'a> {
    /// Which API.
    pub api_key: i16,
    /// In which version.
    pub api_version: i16,
    /// Echoed in the response.
    pub correlation_id: i32,
    /// What the client calls itself; empty when it sent null.
    pub client_id: &'a str,
}

impl<'a> RequestHeader<'a> {
    /// Reads the header; `flexible` tells whether an API key has a flexible encoding in a version.
    /// The returned cursor stands at the body.
    pub fn read(
        frame: &'a [u8],
        flexible: impl FnOnce(i16, i16) -> bool,
    ) -> Read<(RequestHeader<'a>, Reader<'a>)> {
        let mut r = Reader::new(frame, 1, false);
        let api_key = r.i16("api_key")?;
        let api_version = r.i16("api_version")?;
        let correlation_id = r.i32("correlation_id")?;
        let client_id = r.legacy_nullable_string("client_id")?.unwrap_or_default();
        let flexible = flexible(api_key, api_version);
        let mut body = Reader::new(r.rest(), api_version, flexible);
        body.tags()?;
        Ok((RequestHeader { api_key, api_version, correlation_id, client_id }, body))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_client_id_keeps_its_int16_length_in_flexible_versions() {
        let frame = [0, 18, 0, 3, 0, 0, 0, 7, 0, 2, b'm', b'e', 0, 42];
        let (header, body) = RequestHeader::read(&frame, |_, version| version >= 3).unwrap();
        assert_eq!(header.client_id, "me");
        assert_eq!(header.correlation_id, 7);
        assert_eq!(body.rest(), &[42]);
    }

    #[test]
    fn a_null_client_id_is_empty() {
        let frame = [0, 18, 0, 0, 0, 0, 0, 7, 0xff, 0xff];
        let (header, _) = RequestHeader::read(&frame, |_, _| false).unwrap();
        assert_eq!(header.client_id, "");
    }

    #[test]
    fn every_truncation_of_a_header_is_refused() {
        let frame = [0, 18, 0, 3, 0, 0, 0, 7, 0, 2, b'm', b'e', 1, 5, 2, 0xaa, 0xbb];
        let (_, body) = RequestHeader::read(&frame, |_, _| true).unwrap();
        assert_eq!(body.rest(), b"");
        for end in 0..frame.len() {
            assert!(RequestHeader::read(&frame[..end], |_, _| true).is_err(), "{end} bytes");
        }
    }

    #[test]
    fn random_headers_never_panic_and_the_body_is_the_frames_end() {
        let mut seed = 0x9e37_79b9_7f4a_7c15u64;
        let (mut good, mut refused) = (0, 0);
        for round in 0..50_000 {
            let mut frame = [0u8; 40];
            for byte in &mut frame {
                seed ^= seed << 13;
                seed ^= seed >> 7;
                seed ^= seed << 17;
                *byte = seed as u8 & if round % 2 == 0 { 0xff } else { 0x03 };
            }
            // A client id of a length that is possible, every other time.
            frame[8] &= if round % 4 < 3 { 0 } else { 0xff };
            let frame = &frame[..(seed >> 32) as usize % (frame.len() + 1)];
            match RequestHeader::read(frame, |key, version| (key ^ version) & 1 == 0) {
                Ok((header, body)) => {
                    good += 1;
                    assert!(frame.ends_with(body.rest()));
                    assert!(10 + header.client_id.len() + body.rest().len() <= frame.len());
                    assert_eq!(body.version(), header.api_version);
                }
                Err(_) => refused += 1,
            }
        }
        assert!(good > 1_000 && refused > 1_000, "{good} {refused}");
    }
}
