//! The texts of forwarding's settings: addresses, patterns, renames, classes, and names.
//!
//! Promises: what is shown parses to the same value again; what cannot be is refused with a
//! sentence that says what to write instead. A name that upstream could not take is refused here,
//! at start, and not when its first record is due.
//!
//! Absent: resolving host names, and which topics there are.

use super::value::items;
use crate::limits::{FORWARD_CLIENT_ID_BYTES_MAX, TOPIC_NAME_BYTES_MAX};
use std::net::Ipv6Addr;

/// Kafka's port, where an address names none.
pub const PORT_DEFAULT: u16 = 9092;

/// Reads `host`, `host:port`, `[::1]:port`, with commas between several; each counts once.
pub fn parse_addresses(text: &str) -> Result<Vec<(String, u16)>, String> {
    let mut addresses = Vec::new();
    for item in items(text) {
        let address = parse_address(item)?;
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    Ok(addresses)
}

fn parse_address(item: &str) -> Result<(String, u16), String> {
    let (protocol, address) = item.split_once("://").unwrap_or(("PLAINTEXT", item));
    if !protocol.eq_ignore_ascii_case("PLAINTEXT") {
        return Err(format!(
            "host:port, and {item:?} asks for {protocol}, which is not there yet; name a plain \
             listener of the upstream cluster, through a tunnel where the network is not trusted"
        ));
    }
    let (host, port) = match address.strip_prefix('[').map(|rest| rest.split_once(']')) {
        Some(Some((host, ""))) => (host, None),
        Some(Some((host, rest))) => (host, Some(rest.strip_prefix(':').unwrap_or_default())),
        Some(None) => return Err(format!("[address]:port, but {item:?} has no closing bracket")),
        None => match address.rsplit_once(':') {
            Some((host, _)) if host.contains(':') => {
                return Err(format!(
                    "an IPv6 address in brackets, as in [::1]:{PORT_DEFAULT}, not {item:?}"
                ));
            }
            Some((host, port)) => (host, Some(port)),
            None => (address, None),
        },
    };
    let legal = if address.starts_with('[') {
        // Behind a percent sign stands the interface of a link-local address.
        host.split('%').next().is_some_and(|address| address.parse::<Ipv6Addr>().is_ok())
    } else {
        let legal = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
        !host.is_empty() && host.bytes().all(legal)
    };
    if !legal {
        return Err(format!("host:port with a host name or address, not {item:?}"));
    }
    let port = match port.map(str::parse::<u16>) {
        None => PORT_DEFAULT,
        Some(Ok(port)) if port > 0 => port,
        Some(_) => return Err(format!("host:port with a port from 1 to 65535, not {item:?}")),
    };
    Ok((host.to_string(), port))
}

/// Writes addresses as [`parse_addresses`] reads them, the port always there.
pub fn show_addresses(addresses: &[(String, u16)]) -> String {
    let shown = addresses.iter().map(|(host, port)| match host.contains(':') {
        true => format!("[{host}]:{port}"),
        false => format!("{host}:{port}"),
    });
    shown.collect::<Vec<_>>().join(",")
}

/// Reads topic names in which `*` stands for any characters, with commas between several.
pub fn parse_patterns(text: &str) -> Result<Vec<String>, String> {
    let mut patterns: Vec<String> = Vec::new();
    for item in items(text) {
        check_pattern(item)?;
        if !patterns.iter().any(|pattern| pattern == item) {
            patterns.push(item.to_string());
        }
    }
    Ok(patterns)
}

/// Kafka's alphabet of topic names, and the star.
fn check_pattern(item: &str) -> Result<(), String> {
    let legal = |b: u8| is_in_names(b) || b == b'*';
    if item.is_empty() || item.len() > TOPIC_NAME_BYTES_MAX || !item.bytes().all(legal) {
        return Err(format!(
            "topic names, in which * stands for any characters and commas stand in between, not \
             {item:?}"
        ));
    }
    if item.starts_with(".*") {
        return Err(format!(
            "topic names, in which * alone stands for any characters: {item:?} is a regular \
             expression, write {:?}",
            item.replace(".*", "*")
        ));
    }
    Ok(())
}

/// Reads `sensors -> site17.sensors`, with commas between several.
pub fn parse_renames(text: &str) -> Result<Vec<(String, String)>, String> {
    let mut renames: Vec<(String, String)> = Vec::new();
    for item in items(text) {
        let Some((from, to)) = item.split_once("->") else {
            return Err(format!(
                "\"topic -> topic upstream\", with commas in between, not {item:?}"
            ));
        };
        let (from, to) = (from.trim(), to.trim());
        for name in [from, to] {
            check_name(name).map_err(|why| format!("whole topic names, and {name:?} {why}"))?;
        }
        if renames.iter().any(|(before, _)| before == from) {
            return Err(format!("each topic once, and {from:?} is there twice"));
        }
        renames.push((from.to_string(), to.to_string()));
    }
    Ok(renames)
}

/// Writes renames as [`parse_renames`] reads them.
pub fn show_renames(renames: &[(String, String)]) -> String {
    let shown = renames.iter().map(|(from, to)| format!("{from} -> {to}"));
    shown.collect::<Vec<_>>().join(",")
}

/// Reads `alarms*=10`, with commas between several; the order stays, since the first one counts.
pub fn parse_priorities(text: &str) -> Result<Vec<(String, i32)>, String> {
    let mut priorities: Vec<(String, i32)> = Vec::new();
    for item in items(text) {
        let parts = item.split_once('=').map(|(pattern, class)| (pattern.trim(), class.trim()));
        let Some((pattern, Ok(class))) = parts.map(|(p, class)| (p, class.parse::<i32>())) else {
            return Err(format!("pattern=number, as in alarms*=10, logs*=-1, not {item:?}"));
        };
        check_pattern(pattern)?;
        if priorities.iter().any(|(before, _)| before == pattern) {
            return Err(format!("each pattern once, and {pattern:?} is there twice"));
        }
        priorities.push((pattern.to_string(), class));
    }
    Ok(priorities)
}

/// Writes classes as [`parse_priorities`] reads them.
pub fn show_priorities(priorities: &[(String, i32)]) -> String {
    let shown = priorities.iter().map(|(pattern, class)| format!("{pattern}={class}"));
    shown.collect::<Vec<_>>().join(",")
}

/// The beginning of a topic's name, or nothing.
pub fn parse_prefix(text: &str) -> Result<String, String> {
    if text.len() < TOPIC_NAME_BYTES_MAX && text.bytes().all(is_in_names) {
        return Ok(text.to_string());
    }
    Err("the beginning of topic names: ASCII letters, digits, '.', '_' and '-', fewer than 249"
        .to_string())
}

/// What the forwarder calls itself in requests.
pub fn parse_client_id(text: &str) -> Result<String, String> {
    let length = 1..=FORWARD_CLIENT_ID_BYTES_MAX;
    if length.contains(&text.len()) && !text.contains(char::is_control) {
        return Ok(text.to_string());
    }
    Err(format!("a name of 1 to {FORWARD_CLIENT_ID_BYTES_MAX} bytes"))
}

fn is_in_names(b: u8) -> bool {
    b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-')
}

/// Kafka's rule for topic names (`Topic.validate`): what is wrong with a name, as the rest of a
/// sentence that begins with it.
pub fn check_name(name: &str) -> Result<(), String> {
    match name {
        "" => Err("is empty".to_string()),
        "." | ".." => Err("is reserved".to_string()),
        name if name.len() > TOPIC_NAME_BYTES_MAX => Err(format!(
            "has {} characters, where Kafka's topics have {TOPIC_NAME_BYTES_MAX} at most",
            name.len()
        )),
        name if !name.bytes().all(is_in_names) => {
            Err("may only hold ASCII letters, digits, '.', '_' and '-'".to_string())
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(text: &str) -> String {
        show_addresses(&parse_addresses(text).unwrap())
    }

    #[test]
    fn addresses_have_kafkas_port_unless_they_name_one_and_are_shown_as_they_are_read() {
        for (text, shown) in [
            ("", ""),
            ("kafka.example.com", "kafka.example.com:9092"),
            ("a:1 , b", "a:1,b:9092"),
            ("a,a:9092,b", "a:9092,b:9092"),
            ("[::1]", "[::1]:9092"),
            ("[2001:db8::7]:19092", "[2001:db8::7]:19092"),
            ("[fe80::1%eth0]:1", "[fe80::1%eth0]:1"),
            ("PLAINTEXT://a:1", "a:1"),
        ] {
            assert_eq!(addresses(text), shown, "{text}");
            assert_eq!(addresses(shown), shown);
        }
        assert_eq!(parse_addresses("[::1]:7").unwrap(), [("::1".to_string(), 7)]);
    }

    #[test]
    fn wrong_addresses_are_refused_with_what_to_write() {
        for (wrong, part) in [
            ("a:0", "from 1 to 65535"),
            ("a:99999", "from 1 to 65535"),
            ("a:", "from 1 to 65535"),
            ("[::1]7", "from 1 to 65535"),
            (":9092", "a host name"),
            ("a b:1", "a host name"),
            ("[a]:1", "a host name"),
            ("[::1", "no closing bracket"),
            ("::1:9092", "in brackets"),
            ("::1", "in brackets"),
            ("SSL://a:1", "asks for SSL"),
            ("http://a/b", "asks for http"),
        ] {
            let said = parse_addresses(wrong).unwrap_err();
            assert!(said.contains(part) && said.contains(&format!("{wrong:?}")), "{said}");
        }
    }

    #[test]
    fn patterns_are_names_with_stars_and_no_regular_expressions() {
        assert_eq!(parse_patterns("a*, b.c ,a*").unwrap(), ["a*", "b.c"]);
        assert!(parse_patterns("").unwrap().is_empty());
        for wrong in ["a b", "a|b", "(a)", "é", "^a"] {
            assert!(parse_patterns(wrong).unwrap_err().contains(&format!("{wrong:?}")), "{wrong}");
        }
        assert!(parse_patterns(".*").unwrap_err().ends_with("write \"*\""));
        assert!(parse_patterns(".*-raw").unwrap_err().ends_with("write \"*-raw\""));
        assert_eq!(parse_patterns("site17.*").unwrap(), ["site17.*"]);
    }

    #[test]
    fn renames_are_pairs_of_whole_names_that_upstream_can_take() {
        let text = "sensors -> site17.sensors, a->b,c- -> d";
        let renames = parse_renames(text).unwrap();
        assert_eq!(show_renames(&renames), "sensors -> site17.sensors,a -> b,c- -> d");
        assert_eq!(parse_renames(&show_renames(&renames)).unwrap(), renames);
        assert_eq!(parse_renames("a-->b").unwrap(), [("a-".to_string(), "b".to_string())]);
        let long = format!("a -> {}", "x".repeat(250));
        for (wrong, part) in [
            ("a", "topic -> topic upstream"),
            ("a ->", "\"\" is empty"),
            ("-> b", "\"\" is empty"),
            ("a* -> b", "\"a*\" may only hold"),
            ("a -> b -> c", "may only hold"),
            ("a -> ..", "reserved"),
            ("a -> b, a -> c", "twice"),
            (&long, "has 250 characters, where Kafka's topics have 249"),
        ] {
            let said = parse_renames(wrong).unwrap_err();
            assert!(said.contains(part), "{wrong}: {said}");
        }
    }

    #[test]
    fn classes_keep_their_order_because_the_first_one_counts() {
        let priorities = parse_priorities("alarms*=10, logs* = -1,*=0").unwrap();
        assert_eq!(show_priorities(&priorities), "alarms*=10,logs*=-1,*=0");
        for wrong in ["a", "a=", "=1", "a=x", "a=1.5", "a=99999999999", "a=1,a=2", "a b=1"] {
            assert!(parse_priorities(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn prefixes_and_client_ids_are_checked() {
        assert_eq!(parse_prefix("site17."), Ok("site17.".to_string()));
        assert_eq!(parse_prefix(""), Ok(String::new()));
        assert!(parse_prefix("a/").is_err() && parse_prefix(&"x".repeat(249)).is_err());
        assert!(parse_client_id("site 17").is_ok());
        assert!(parse_client_id("").is_err() && parse_client_id("a\nb").is_err());
        assert!(parse_client_id(&"x".repeat(250)).is_err());
    }
}
