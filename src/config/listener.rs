//! A listener: the name, host and port of one entry in `listeners` or `advertised.listeners`.
//!
//! Promises: what is shown parses to the same listener again; IPv6 addresses stand in brackets
//! as in Kafka, and need none where nothing is ambiguous.
//!
//! Absent: resolving names and opening sockets.

use super::value::items;
use crate::limits::LISTENERS_MAX;
use std::fmt;

/// The listener name, and security protocol, of a plain connection.
pub const PLAINTEXT: &str = "PLAINTEXT";

/// One entry of `listeners` or `advertised.listeners`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// The name before `://`; `PLAINTEXT` where none was given.
    pub name: String,
    /// A host name or address; `None` listens on every interface.
    pub host: Option<String>,
    /// The port; 0 lets the system choose one.
    pub port: u16,
}

impl Listener {
    /// A plain listener on `host` and `port`.
    pub fn plain(host: &str, port: u16) -> Listener {
        Listener { name: PLAINTEXT.to_string(), host: Some(host.to_string()), port }
    }

    /// Reads `NAME://host:port`, `host:port` or `:port`.
    pub fn parse(text: &str) -> Result<Listener, String> {
        let text = text.trim();
        let (name, address) = text.split_once("://").unwrap_or((PLAINTEXT, text));
        let legal = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.');
        if name.is_empty() || !name.bytes().all(legal) {
            return Err(format!("a listener name before :// in {text:?}"));
        }
        let Some((host, port)) = address.rsplit_once(':') else {
            return Err(format!("NAME://host:port or host:port, but {text:?} has no port"));
        };
        let Ok(port) = port.parse::<u16>() else {
            return Err(format!("a port from 0 to 65535 in {text:?}"));
        };
        let host = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
        let illegal = |c: char| c.is_whitespace() || c.is_control() || "/[]@,".contains(c);
        if host.contains(illegal) {
            return Err(format!("a host name or address in {text:?}"));
        }
        let host = (!host.is_empty() && host != "*").then(|| host.to_string());
        Ok(Listener { name: name.to_ascii_uppercase(), host, port })
    }

    /// Whether this address says "every interface", which no client could connect to.
    pub fn is_wildcard(&self) -> bool {
        matches!(self.host.as_deref(), None | Some("0.0.0.0" | "::"))
    }
}

impl fmt::Display for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = self.host.as_deref().unwrap_or_default();
        if host.contains(':') {
            write!(f, "{}://[{host}]:{}", self.name, self.port)
        } else {
            write!(f, "{}://{host}:{}", self.name, self.port)
        }
    }
}

/// Reads a list with commas; an empty one is an empty list.
pub fn parse_list(text: &str) -> Result<Vec<Listener>, String> {
    let listeners = items(text).map(Listener::parse).collect::<Result<Vec<_>, _>>()?;
    if listeners.len() > LISTENERS_MAX {
        return Err(format!("at most {LISTENERS_MAX} listeners"));
    }
    for (index, listener) in listeners.iter().enumerate() {
        let same = |other: &Listener| other.host == listener.host && other.port == listener.port;
        if listener.port != 0 && listeners[..index].iter().any(same) {
            return Err(format!("each address once, but {listener} is there twice"));
        }
    }
    Ok(listeners)
}

/// Writes the list as Kafka writes it.
pub fn show_list(listeners: &[Listener]) -> String {
    listeners.iter().map(Listener::to_string).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_usual_forms_are_understood() {
        let read = |text| Listener::parse(text).unwrap();
        assert_eq!(read("127.0.0.1:9092"), Listener::plain("127.0.0.1", 9092));
        assert_eq!(read("PLAINTEXT://127.0.0.1:0"), Listener::plain("127.0.0.1", 0));
        assert_eq!(read("PLAINTEXT://:9092").host, None);
        assert_eq!(read(":9092").host, None);
        assert_eq!(read("*:9092").host, None);
        assert_eq!(read("internal://gateway.local:1").name, "INTERNAL");
        assert_eq!(read("PLAINTEXT://[::1]:9092").host.as_deref(), Some("::1"));
        assert_eq!(read("::1:9092").host.as_deref(), Some("::1"));
    }

    #[test]
    fn what_is_shown_parses_again() {
        for text in ["A://h:1", "PLAINTEXT://[::1]:9092", "PLAINTEXT://:9092"] {
            let listener = Listener::parse(text).unwrap();
            assert_eq!(listener.to_string(), text);
            assert_eq!(Listener::parse(&listener.to_string()).unwrap(), listener);
        }
    }

    #[test]
    fn wrong_listeners_are_refused_with_a_sentence() {
        for wrong in ["", "9092", "host", "h:99999", "h:-1", "://h:1", "A B://h:1", "a/b:1"] {
            let sentence = Listener::parse(wrong).unwrap_err();
            assert!(sentence.contains(&format!("{wrong:?}")), "{sentence}");
        }
        assert!(parse_list("a:1,b:1,a:1").unwrap_err().contains("twice"));
        assert!(parse_list("a:0,a:0").is_ok());
        assert!(parse_list("").unwrap().is_empty());
        let many = vec!["h:0"; LISTENERS_MAX + 1].join(",");
        assert!(parse_list(&many).is_err());
    }

    #[test]
    fn wildcards_are_recognised() {
        for wild in [":1", "0.0.0.0:1", "[::]:1"] {
            assert!(Listener::parse(wild).unwrap().is_wildcard(), "{wild}");
        }
        assert!(!Listener::plain("127.0.0.1", 1).is_wildcard());
    }
}
