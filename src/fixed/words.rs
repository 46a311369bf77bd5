//! A line of text for a person, or a name, in a place of its own size.

use core::fmt;
use core::ops::Deref;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// At most `BYTES` bytes of text; what is longer is cut between two characters.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Words<const BYTES: usize>(heapless::String<BYTES>);

impl<const BYTES: usize> Words<BYTES> {
    /// No text.
    pub const fn new() -> Words<BYTES> {
        Words(heapless::String::new())
    }

    /// What `format_args!` says.
    pub fn of(text: fmt::Arguments<'_>) -> Words<BYTES> {
        let mut words = Words::new();
        fmt::Write::write_fmt(&mut words, text).ok();
        words
    }

    /// Replaces the text.
    pub fn set(&mut self, text: &str) {
        self.0.clear();
        self.add(text);
    }

    /// Takes the text away.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn add(&mut self, text: &str) {
        let mut end = text.len().min(BYTES - self.0.len());
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        self.0.push_str(&text[..end]).ok();
    }
}

impl<const BYTES: usize> fmt::Write for Words<BYTES> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.add(text);
        Ok(())
    }
}

impl<const BYTES: usize> Deref for Words<BYTES> {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl<const BYTES: usize> From<&str> for Words<BYTES> {
    fn from(text: &str) -> Words<BYTES> {
        let mut words = Words::new();
        words.add(text);
        words
    }
}

impl<const BYTES: usize> From<String> for Words<BYTES> {
    fn from(text: String) -> Words<BYTES> {
        text.as_str().into()
    }
}

impl<const BYTES: usize> PartialEq<str> for Words<BYTES> {
    fn eq(&self, other: &str) -> bool {
        self.as_str() == other
    }
}

impl<const BYTES: usize> PartialEq<&str> for Words<BYTES> {
    fn eq(&self, other: &&str) -> bool {
        self.as_str() == *other
    }
}

impl<const BYTES: usize> fmt::Display for Words<BYTES> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self)
    }
}

impl<const BYTES: usize> fmt::Debug for Words<BYTES> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

/// As a `String`'s.
impl<const BYTES: usize> Serialize for Words<BYTES> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self)
    }
}

impl<'de, const BYTES: usize> Deserialize<'de> for Words<BYTES> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(<&str>::deserialize(deserializer)?.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_long_is_cut_between_two_characters_and_is_a_string_on_the_disk() {
        let mut words = Words::<5>::of(format_args!("é{}", "éé"));
        assert_eq!(words, "éé");
        fmt::Write::write_str(&mut words, "x").unwrap();
        assert_eq!((words.as_str(), words.to_string()), ("ééx", "ééx".to_owned()));
        words.set("ab");
        let bytes = postcard::to_stdvec(&words).unwrap();
        assert_eq!(bytes, postcard::to_stdvec("ab").unwrap());
        assert_eq!(postcard::from_bytes::<Words<1>>(&bytes).unwrap(), "a");
    }
}
