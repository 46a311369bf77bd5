//! Lines of standard input as records: the properties and rules of Kafka's `LineMessageReader`.
//!
//! A line is `[headers<TAB>][key<TAB>]value`; what stands there and what separates it is set by
//! properties. Promises: pure, and byte for byte: a line need not be UTF-8.

use super::Failure;
use super::args::{is_true, last};

/// How lines are taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LineFormat {
    parse_key: bool,
    parse_headers: bool,
    key_separator: Vec<u8>,
    headers_delimiter: Vec<u8>,
    headers_separator: Vec<u8>,
    headers_key_separator: Vec<u8>,
    null_marker: Option<Vec<u8>>,
    ignore_error: bool,
}

/// A header's key and value.
pub type Header = (String, Option<Vec<u8>>);

/// A record without topic and partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LineRecord {
    /// The key, or null.
    pub key: Option<Vec<u8>>,
    /// The value, or null.
    pub value: Option<Vec<u8>>,
    /// The headers.
    pub headers: Vec<Header>,
}

impl LineRecord {
    /// About how many bytes it takes in a batch.
    pub fn bytes(&self) -> usize {
        let length = |bytes: &Option<Vec<u8>>| bytes.as_ref().map_or(0, Vec::len);
        let headers: usize = self.headers.iter().map(|(k, v)| k.len() + length(v) + 4).sum();
        length(&self.key) + length(&self.value) + headers + 12
    }
}

impl LineFormat {
    /// The format that properties describe.
    pub fn new(properties: &[(String, String)]) -> Result<LineFormat, Failure> {
        let text =
            |key: &str, default: &str| last(properties, key).unwrap_or(default).as_bytes().to_vec();
        let format = LineFormat {
            parse_key: is_true(properties, "parse.key"),
            parse_headers: is_true(properties, "parse.headers"),
            key_separator: text("key.separator", "\t"),
            headers_delimiter: text("headers.delimiter", "\t"),
            headers_separator: text("headers.separator", ","),
            headers_key_separator: text("headers.key.separator", ":"),
            null_marker: last(properties, "null.marker").map(|marker| marker.as_bytes().to_vec()),
            ignore_error: is_true(properties, "ignore.error"),
        };
        let separators = [
            ("key.separator", &format.key_separator),
            ("headers.delimiter", &format.headers_delimiter),
            ("headers.separator", &format.headers_separator),
            ("headers.key.separator", &format.headers_key_separator),
        ];
        match separators.iter().find(|(_, separator)| separator.is_empty()) {
            Some((name, _)) => Err(Failure::usage(format!("{name} may not be empty"))),
            None => Ok(format),
        }
    }

    /// Takes a line apart.
    pub fn parse(&self, line: &[u8], number: u64) -> Result<LineRecord, Failure> {
        let (headers, rest) = self.part(
            self.parse_headers,
            line,
            &self.headers_delimiter,
            "headers delimiter",
            number,
        )?;
        let (key, value) =
            self.part(self.parse_key, rest, &self.key_separator, "key separator", number)?;
        Ok(LineRecord {
            key: key.and_then(|key| self.unless_null(key)),
            value: self.unless_null(value),
            headers: match headers.and_then(|headers| self.unless_null(headers)) {
                Some(headers) => self.parse_headers(&headers, number)?,
                None => Vec::new(),
            },
        })
    }

    /// What stands in front of the first separator, and what behind it.
    fn part<'a>(
        &self,
        wanted: bool,
        line: &'a [u8],
        separator: &[u8],
        name: &str,
        number: u64,
    ) -> Result<(Option<&'a [u8]>, &'a [u8]), Failure> {
        if !wanted {
            return Ok((None, line));
        }
        match split_once(line, separator) {
            Some((front, behind)) => Ok((Some(front), behind)),
            None if self.ignore_error => Ok((None, line)),
            None => Err(Failure::new(format!(
                "No {name} found on line number {number}: '{}'",
                String::from_utf8_lossy(line)
            ))),
        }
    }

    fn unless_null(&self, bytes: &[u8]) -> Option<Vec<u8>> {
        (self.null_marker.as_deref() != Some(bytes)).then(|| bytes.to_vec())
    }

    fn parse_headers(&self, headers: &[u8], number: u64) -> Result<Vec<Header>, Failure> {
        let mut parsed = Vec::new();
        let mut rest = Some(headers);
        while let Some(pairs) = rest {
            let (pair, behind) = match split_once(pairs, &self.headers_separator) {
                Some((pair, behind)) => (pair, Some(behind)),
                None => (pairs, None),
            };
            rest = behind;
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            match split_once(pair, &self.headers_key_separator) {
                Some((key, value)) => parsed.push((text(key), self.unless_null(value))),
                None if self.ignore_error => parsed.push((text(pair), None)),
                None => {
                    return Err(Failure::new(format!(
                        "No header key separator found in pair '{}' on line number {number}",
                        text(pair)
                    )));
                }
            }
        }
        Ok(parsed)
    }
}

/// Splits at the first `separator`, which is not empty.
fn split_once<'a>(bytes: &'a [u8], separator: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let at = bytes.windows(separator.len()).position(|window| window == separator)?;
    Some((&bytes[..at], &bytes[at + separator.len()..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn format(properties: &[(&str, &str)]) -> LineFormat {
        let owned: Vec<_> =
            properties.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        LineFormat::new(&owned).unwrap()
    }

    #[test]
    fn without_properties_the_line_is_the_value() {
        let record = format(&[]).parse(b"a\tb", 1).unwrap();
        assert_eq!((record.key, record.value), (None, Some(b"a\tb".to_vec())));
    }

    #[test]
    fn the_key_ends_at_the_first_separator() {
        let format = format(&[("parse.key", "true"), ("key.separator", "::")]);
        let record = format.parse(b"k::v::w", 1).unwrap();
        assert_eq!(record.key.as_deref(), Some(&b"k"[..]));
        assert_eq!(record.value.as_deref(), Some(&b"v::w"[..]));
        let failure = format.parse(b"novalue", 7).unwrap_err();
        let sentence = "No key separator found on line number 7: 'novalue'";
        assert_eq!(failure, Failure::Failed(sentence.into()));
    }

    #[test]
    fn headers_stand_in_front_of_the_key() {
        let format =
            format(&[("parse.key", "true"), ("parse.headers", "true"), ("null.marker", "N")]);
        let record = format.parse(b"h1:a,h2:N\tN\tv", 1).unwrap();
        let headers = [("h1".to_owned(), Some(b"a".to_vec())), ("h2".to_owned(), None)];
        assert_eq!(record.headers, headers);
        assert_eq!((record.key, record.value), (None, Some(b"v".to_vec())));
        assert_eq!(format.parse(b"N\tk\tN", 1).unwrap().headers, []);
        assert!(format.parse(b"h1\tk\tv", 1).is_err());
    }

    #[test]
    fn errors_can_be_ignored_as_in_kafka() {
        let format = format(&[("parse.key", "true"), ("ignore.error", "true")]);
        let record = format.parse(b"novalue", 1).unwrap();
        assert_eq!((record.key, record.value), (None, Some(b"novalue".to_vec())));
    }
}
