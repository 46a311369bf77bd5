//! A Java `.properties` file as a list of settings with their lines.
//!
//! Promises: comments, the three separators, continued lines and escapes are those of
//! `java.util.Properties.load`, so that Kafka's own `server.properties` reads as it does there.
//!
//! Absent: a carriage return alone as the end of a line; and the file is UTF-8, not Latin-1.

use super::file::{Entry, Unreadable};

/// Reads all settings; the line of one is where it begins.
pub fn read(text: &str) -> Result<Vec<Entry>, Unreadable> {
    let mut entries = Vec::new();
    let mut lines = text.lines().enumerate();
    while let Some((index, first)) = lines.next() {
        let first = first.trim_start_matches(is_blank);
        // A comment is one line, whatever it ends in.
        if first.is_empty() || first.starts_with(['#', '!']) {
            continue;
        }
        let mut logical = first.to_string();
        while continues(&logical) {
            logical.pop();
            let Some((_, next)) = lines.next() else { break };
            logical.push_str(next.trim_start_matches(is_blank));
        }
        let line = index + 1;
        let (key, value) = split(&logical);
        let key = unescape(key).map_err(|said| (line, said))?;
        let value = unescape(value).map_err(|said| (line, said))?;
        if key.is_empty() && value.is_empty() {
            continue;
        }
        entries.push(Entry { key, value, line });
    }
    Ok(entries)
}

fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\x0c')
}

/// Whether the line ends in a backslash that is not itself escaped.
fn continues(line: &str) -> bool {
    line.bytes().rev().take_while(|b| *b == b'\\').count() % 2 == 1
}

/// Splits at the first `=`, `:` or blank that is not escaped.
fn split(line: &str) -> (&str, &str) {
    let mut escaped = false;
    let is_end = |c: char| {
        let end = !escaped && (is_blank(c) || c == '=' || c == ':');
        escaped = !escaped && c == '\\';
        end
    };
    let (key, rest) = line.split_at(line.find(is_end).unwrap_or(line.len()));
    let rest = rest.trim_start_matches(is_blank);
    let rest = rest.strip_prefix(['=', ':']).unwrap_or(rest);
    (key, rest.trim_start_matches(is_blank))
}

fn unescape(text: &str) -> Result<String, String> {
    let mut plain = String::with_capacity(text.len());
    let mut units: Vec<u16> = Vec::new();
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        if c == '\\' && rest.as_str().starts_with('u') {
            let Some(unit) = rest.as_str().get(1..5).and_then(code_unit) else {
                return Err("four hexadecimal digits must follow \\u".to_string());
            };
            units.push(unit);
            rest.nth(4);
            continue;
        }
        // Java's escapes are UTF-16: two in a row may be one character.
        plain.push_str(&String::from_utf16_lossy(&units));
        units.clear();
        match if c == '\\' { rest.next() } else { Some(c) } {
            Some('t') if c == '\\' => plain.push('\t'),
            Some('n') if c == '\\' => plain.push('\n'),
            Some('r') if c == '\\' => plain.push('\r'),
            Some('f') if c == '\\' => plain.push('\x0c'),
            Some(itself) => plain.push(itself),
            None => {}
        }
    }
    plain.push_str(&String::from_utf16_lossy(&units));
    Ok(plain)
}

fn code_unit(digits: &str) -> Option<u16> {
    // from_str_radix alone would take a sign.
    let hexadecimal = digits.bytes().all(|b| b.is_ascii_hexdigit());
    if hexadecimal { u16::from_str_radix(digits, 16).ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(text: &str) -> Vec<(String, String, usize)> {
        read(text).unwrap().into_iter().map(|e| (e.key, e.value, e.line)).collect()
    }

    fn row(key: &str, value: &str, line: usize) -> (String, String, usize) {
        (key.to_string(), value.to_string(), line)
    }

    #[test]
    fn the_three_separators_and_two_comments() {
        let text = "# one\n! two\\\na=1\n  b : 2\r\nc 3\nd\n\ne==5\nf = : 6\n";
        let expected = [
            row("a", "1", 3),
            row("b", "2", 4),
            row("c", "3", 5),
            row("d", "", 6),
            row("e", "=5", 8),
            row("f", ": 6", 9),
        ];
        assert_eq!(rows(text), expected);
    }

    #[test]
    fn a_line_goes_on_after_an_odd_number_of_backslashes() {
        let text = "a = x,\\\n    y,\\\n  # z\nb = 1\\\\\nc = 2\\";
        assert_eq!(rows(text), [row("a", "x,y,# z", 1), row("b", "1\\", 4), row("c", "2", 5)]);
    }

    #[test]
    fn escapes_are_javas() {
        let text = r"a\ b\=c = \t\u0041\ud83d\ude00\q\\";
        assert_eq!(rows(text), [row("a b=c", "\tA😀q\\", 1)]);
        assert_eq!(rows(r"a = \ud83d"), [row("a", "\u{fffd}", 1)]);
        for wrong in [r"a=\u12", r"a=\u+123", "a=\\u12é4", r"\u=1"] {
            assert_eq!(read(&format!("\n{wrong}")).unwrap_err().0, 2, "{wrong}");
        }
    }

    #[test]
    fn values_keep_what_is_behind_them_but_not_before_them() {
        assert_eq!(rows("a =  x y \n"), [row("a", "x y ", 1)]);
    }
}
