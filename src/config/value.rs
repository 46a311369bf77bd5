//! One setting's value: its Kafka type, what it may hold, and its normal form.
//!
//! Promises: whatever text comes in, [`normalise`] answers either the form in which Kafka itself
//! would report it back (" 5000 " is `5000`, `TRUE` is `true`, `1e-1` is `0.1`; asked of Apache
//! Kafka 4.3.0), or a sentence that says what is allowed. Nothing panics.
//!
//! Absent: names, defaults and files; they are next door.

use super::listener;
use crate::limits::{CONFIG_VALUE_BYTES_MAX, FORWARD_LIST_BYTES_MAX};
use core::fmt;
use std::borrow::Cow;

/// The type of a setting as the DescribeConfigs answer encodes it (KIP-569).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i8)]
pub enum ValueType {
    /// `true` or `false`, in any case.
    Boolean = 1,
    /// Free text, or one of a few words.
    String = 2,
    /// A whole number of 32 bits.
    Int = 3,
    /// A whole number of 16 bits.
    Short = 4,
    /// A whole number of 64 bits.
    Long = 5,
    /// A decimal number.
    Double = 6,
    /// Words with commas between them.
    List = 7,
    /// The name of a Java class; ottla has none.
    Class = 8,
    /// A secret; ottla has none.
    Password = 9,
}

/// What a value of some type may be, beyond its type.
#[derive(Clone, Copy, Debug)]
pub enum Allowed {
    /// Everything of the type.
    Any,
    /// A whole number between these two, both included.
    Range(i64, i64),
    /// Zero, or a whole number between these two, both included.
    ZeroOr(i64, i64),
    /// A decimal number between these two, both included.
    Decimal(f64, f64),
    /// Exactly one of these words, as they are written.
    OneOf(&'static [&'static str]),
    /// A list of any of these words, also an empty one.
    Words(&'static [&'static str]),
    /// `*`, or a list of `partition:broker`.
    Replicas,
    /// One directory name.
    Directory,
    /// A list of `NAME://host:port`.
    Listeners,
    /// What this makes a normal form of; otherwise it says what is allowed.
    Parsed(fn(&str) -> Result<String, String>),
}

/// Brings `text` into its normal form, or says what is allowed instead. What is in it already takes
/// no memory.
pub fn normalise(kind: ValueType, allowed: Allowed, text: &str) -> Result<Cow<'_, str>, String> {
    let text = text.trim();
    let bytes_max = match allowed {
        Allowed::Parsed(_) => FORWARD_LIST_BYTES_MAX,
        _ => CONFIG_VALUE_BYTES_MAX,
    };
    if text.len() > bytes_max {
        return Err(format!("at most {bytes_max} bytes of text"));
    }
    if let Allowed::Parsed(parse) = allowed {
        return parse(text).map(Cow::Owned);
    }
    match kind {
        ValueType::Boolean => boolean(text),
        ValueType::Int => whole(text, allowed, i64::from(i32::MIN), i64::from(i32::MAX)),
        ValueType::Short => whole(text, allowed, i64::from(i16::MIN), i64::from(i16::MAX)),
        ValueType::Long => whole(text, allowed, i64::MIN, i64::MAX),
        ValueType::Double => decimal(text, allowed),
        ValueType::List => list(text, allowed),
        ValueType::String | ValueType::Class | ValueType::Password => word(text, allowed),
    }
}

/// The items of a list value, trimmed, without empty ones.
pub fn items(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|item| !item.is_empty())
}

/// Takes what is written into it for as long as it says the same as `rest`.
struct Same<'a> {
    rest: &'a str,
}

impl fmt::Write for Same<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.rest = self.rest.strip_prefix(text).ok_or(fmt::Error)?;
        Ok(())
    }
}

/// `shown` as text, which is borrowed if `text` says the same already.
fn as_shown<'a>(text: &'a str, shown: fmt::Arguments<'_>) -> Cow<'a, str> {
    let mut same = Same { rest: text };
    match fmt::Write::write_fmt(&mut same, shown) {
        Ok(()) if same.rest.is_empty() => Cow::Borrowed(text),
        _ => Cow::Owned(shown.to_string()),
    }
}

fn boolean(text: &str) -> Result<Cow<'_, str>, String> {
    if text.eq_ignore_ascii_case("true") {
        return Ok(Cow::Borrowed("true"));
    }
    if text.eq_ignore_ascii_case("false") {
        return Ok(Cow::Borrowed("false"));
    }
    Err("true or false".to_string())
}

fn whole(text: &str, allowed: Allowed, least: i64, most: i64) -> Result<Cow<'_, str>, String> {
    let (zero, least, most) = match allowed {
        Allowed::Range(low, high) => (false, low.max(least), high.min(most)),
        Allowed::ZeroOr(low, high) => (true, low.max(least), high.min(most)),
        _ => (false, least, most),
    };
    let or_zero = if zero { "0, or " } else { "" };
    match text.parse::<i64>() {
        Ok(0) if zero => Ok(Cow::Borrowed("0")),
        Ok(number) if (least..=most).contains(&number) => {
            Ok(as_shown(text, format_args!("{number}")))
        }
        _ if most == i64::MAX => Err(format!("{or_zero}a whole number, at least {least}")),
        _ => Err(format!("{or_zero}a whole number from {least} to {most}")),
    }
}

fn decimal(text: &str, allowed: Allowed) -> Result<Cow<'_, str>, String> {
    let (least, most) = match allowed {
        Allowed::Decimal(low, high) => (low, high),
        _ => (f64::MIN, f64::MAX),
    };
    match text.parse::<f64>() {
        // Debug keeps the ".0" of whole numbers, as Java does.
        Ok(number) if (least..=most).contains(&number) => {
            Ok(as_shown(text, format_args!("{number:?}")))
        }
        _ => Err(format!("a number from {least:?} to {most:?}")),
    }
}

fn word(text: &str, allowed: Allowed) -> Result<Cow<'_, str>, String> {
    match allowed {
        Allowed::OneOf(words) if !words.contains(&text) => {
            Err(format!("one of {} (mind the case)", words.join(", ")))
        }
        Allowed::Directory if text.is_empty() || text.contains('\0') => {
            Err("the name of a directory".to_string())
        }
        Allowed::Directory if text.contains(',') => {
            Err("exactly one directory: ottla keeps all its data in one place".to_string())
        }
        _ => Ok(Cow::Borrowed(text)),
    }
}

/// Whether a list has neither blanks, nor empty items, nor one twice.
fn is_plain(text: &str) -> bool {
    let raw = || text.split(',');
    text.is_empty()
        || raw().enumerate().all(|(at, item)| {
            !item.is_empty() && item == item.trim() && !raw().take(at).any(|before| before == item)
        })
}

fn list(text: &str, allowed: Allowed) -> Result<Cow<'_, str>, String> {
    if let Allowed::Listeners = allowed {
        let listeners = listener::parse_list(text)?;
        return Ok(Cow::Owned(listener::show_list(&listeners)));
    }
    match allowed {
        Allowed::Words(words) if items(text).any(|item| !words.contains(&item)) => {
            return Err(format!("a list of any of: {}", words.join(", ")));
        }
        Allowed::Replicas if !items(text).all(|i| i == "*") && !items(text).all(is_replica) => {
            return Err("* or partition:broker,partition:broker,…".to_string());
        }
        _ => {}
    }
    if is_plain(text) {
        return Ok(Cow::Borrowed(text));
    }
    let mut kept: Vec<&str> = Vec::new();
    for item in items(text) {
        // Kafka 4.3 keeps the first of equal items (KIP-1161).
        if !kept.contains(&item) {
            kept.push(item);
        }
    }
    Ok(Cow::Owned(kept.join(",")))
}

fn is_replica(item: &str) -> bool {
    let number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    item.split_once(':').is_some_and(|(partition, broker)| number(partition) && number(broker))
}

/// The unit of a setting, read off the end of its name; empty for none.
pub fn unit(name: &str) -> &'static str {
    const UNITS: [(&str, &str); 6] = [
        (".ms", "milliseconds"),
        (".bytes", "bytes"),
        (".batch.size", "bytes"),
        (".bytes.per.second", "bytes per second"),
        (".minutes", "minutes"),
        (".hours", "hours"),
    ];
    UNITS.iter().find(|(end, _)| name.ends_with(end)).map_or("", |(_, unit)| unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_take_the_form_that_kafka_reports_back() {
        let long = |text| normalise(ValueType::Long, Allowed::Range(-1, i64::MAX), text);
        assert_eq!(long(" 5000 ").as_deref(), Ok("5000"));
        assert_eq!(long("+7").as_deref(), Ok("7"));
        assert_eq!(long("-1").as_deref(), Ok("-1"));
        assert!(long("-2").unwrap_err().contains("at least -1"));
        for wrong in ["", "abc", "1e7", "0x10", "9223372036854775808", "1 000", "1_000"] {
            assert!(long(wrong).is_err(), "{wrong}");
        }
        let flag = |text| normalise(ValueType::Boolean, Allowed::Any, text);
        assert_eq!(flag("TRUE").as_deref(), Ok("true"));
        assert!(flag("yes").is_err());
        let ratio = |text| normalise(ValueType::Double, Allowed::Decimal(0.0, 1.0), text);
        assert_eq!(ratio("1e-1").as_deref(), Ok("0.1"));
        assert_eq!(ratio("1").as_deref(), Ok("1.0"));
        assert!(ratio("2").is_err());
        assert!(ratio("NaN").is_err());
    }

    #[test]
    fn types_bound_what_their_range_leaves_open() {
        assert!(normalise(ValueType::Int, Allowed::Any, "2147483648").is_err());
        assert!(normalise(ValueType::Short, Allowed::Any, "32768").is_err());
        assert!(normalise(ValueType::Int, Allowed::Range(0, i64::MAX), "2147483647").is_ok());
    }

    #[test]
    fn lists_are_trimmed_and_lose_doubles() {
        let policy =
            |text| normalise(ValueType::List, Allowed::Words(&["compact", "delete"]), text);
        assert_eq!(policy("delete , compact").as_deref(), Ok("delete,compact"));
        assert_eq!(policy("delete,delete").as_deref(), Ok("delete"));
        assert_eq!(policy("").as_deref(), Ok(""));
        assert!(policy("none").is_err());
        let replicas = |text| normalise(ValueType::List, Allowed::Replicas, text);
        assert_eq!(replicas("0:1,1:2").as_deref(), Ok("0:1,1:2"));
        assert_eq!(replicas("*").as_deref(), Ok("*"));
        for wrong in ["x", "1:", ":1", "1:2:3", "*,0:1", "-1:0"] {
            assert!(replicas(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn words_are_taken_as_they_are_written() {
        let kind = |text| normalise(ValueType::String, Allowed::OneOf(&["CreateTime"]), text);
        assert!(kind("CreateTime").is_ok());
        assert!(kind("createtime").unwrap_err().contains("CreateTime"));
        let place = |text| normalise(ValueType::String, Allowed::Directory, text);
        assert_eq!(place("/data").as_deref(), Ok("/data"));
        assert!(place("/a,/b").unwrap_err().contains("exactly one"));
        assert!(place("").is_err());
    }

    #[test]
    fn units_are_read_off_names() {
        for (name, expected) in [
            ("retention.ms", "milliseconds"),
            ("forward.batch.size", "bytes"),
            ("forward.bandwidth.bytes.per.second", "bytes per second"),
            ("group.max.size", ""),
            ("num.partitions", ""),
        ] {
            assert_eq!(unit(name), expected, "{name}");
        }
    }

    #[test]
    fn a_value_that_is_too_long_is_refused() {
        let long = "x".repeat(CONFIG_VALUE_BYTES_MAX + 1);
        assert!(normalise(ValueType::String, Allowed::Any, &long).is_err());
        assert!(normalise(ValueType::String, Allowed::Any, &long[1..]).is_ok());
    }
}
