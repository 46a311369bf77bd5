//! A cursor over the texts of this test: messages, scripts, recordings.
//!
//! Promises: a mistake in a text is named with file and line, and ends the test.
//! Absent: any grammar; that stands beside what it describes.

/// Where reading stands.
#[derive(Clone)]
pub struct Cursor<'a> {
    name: &'a str,
    text: &'a str,
    at: usize,
}

impl<'a> Cursor<'a> {
    /// At the start of `text`, which is called `name` in messages.
    pub fn new(name: &'a str, text: &'a str) -> Cursor<'a> {
        Cursor { name, text, at: 0 }
    }

    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    /// Skips white space, and comments from `#` to the end of a line.
    pub fn skip_space(&mut self) {
        loop {
            let trimmed = self.rest().trim_start();
            self.at = self.text.len() - trimmed.len();
            if !trimmed.starts_with('#') {
                return;
            }
            self.at += trimmed.find('\n').unwrap_or(trimmed.len());
        }
    }

    /// The next character that is no white space.
    pub fn peek(&mut self) -> Option<char> {
        self.skip_space();
        self.rest().chars().next()
    }

    /// The very next character.
    pub fn peek_here(&self) -> Option<char> {
        self.rest().chars().next()
    }

    /// Whether everything is read.
    pub fn is_done(&mut self) -> bool {
        self.peek().is_none()
    }

    /// Takes `wanted` if it comes next.
    pub fn take(&mut self, wanted: char) -> bool {
        let found = self.peek() == Some(wanted);
        if found {
            self.at += wanted.len_utf8();
        }
        found
    }

    /// Takes `wanted`, which must come next.
    pub fn expect(&mut self, wanted: char) {
        if !self.take(wanted) {
            self.fail(&format!("{wanted:?} is missing"));
        }
    }

    /// The word that comes next, without taking it; empty if none does.
    pub fn peek_word(&mut self) -> &'a str {
        self.skip_space();
        let rest = self.rest();
        let is_word = |c: char| c.is_ascii_alphanumeric() || "_.-+$~/".contains(c);
        &rest[..rest.find(|c| !is_word(c)).unwrap_or(rest.len())]
    }

    /// Takes the next word.
    pub fn word(&mut self) -> &'a str {
        let word = self.peek_word();
        if word.is_empty() {
            self.fail("a word is missing");
        }
        self.at += word.len();
        word
    }

    /// Takes `wanted` if it is the next word.
    pub fn take_word(&mut self, wanted: &str) -> bool {
        let found = self.peek_word() == wanted;
        if found {
            self.at += wanted.len();
        }
        found
    }

    /// A text in double quotes; `\"`, `\\` and `\n` are known inside.
    pub fn quoted(&mut self) -> String {
        self.expect('"');
        let mut text = String::new();
        let mut chars = self.rest().char_indices();
        while let Some((at, c)) = chars.next() {
            match c {
                '"' => {
                    self.at += at + 1;
                    return text;
                }
                '\\' => match chars.next().map(|(_, c)| c) {
                    Some('n') => text.push('\n'),
                    Some(c) => text.push(c),
                    None => break,
                },
                c => text.push(c),
            }
        }
        self.fail("a text does not end")
    }

    /// Everything up to the next white space.
    pub fn token(&mut self) -> &'a str {
        self.skip_space();
        let text = self.rest().split_whitespace().next().unwrap_or_default();
        self.at += text.len();
        text
    }

    /// The rest of this line.
    pub fn line(&mut self) -> &'a str {
        let line = self.rest().lines().next().unwrap_or_default();
        self.at += line.len();
        line.trim()
    }

    /// Ends the test: the text is wrong here.
    pub fn fail(&self, what: &str) -> ! {
        let line = self.text[..self.at].matches('\n').count() + 1;
        panic!("{}:{line}: {what}", self.name)
    }
}

/// An inclusive range of versions: `4`, `3-9`, `5+`.
pub type Versions = (i16, i16);

/// Reads such a range.
pub fn versions(r: &mut Cursor<'_>) -> Versions {
    let word = r.word();
    let number = |text: &str| text.parse::<i16>().ok();
    let range = match (word.strip_suffix('+'), word.split_once('-')) {
        (Some(low), _) => number(low).map(|low| (low, i16::MAX)),
        (None, Some((low, high))) => number(low).zip(number(high)),
        (None, None) => number(word).map(|only| (only, only)),
    };
    range.unwrap_or_else(|| r.fail(&format!("{word} is no range of versions")))
}
