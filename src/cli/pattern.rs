//! Topic patterns: the small part of regular expressions that people use for topic names.
//!
//! Understood: literals, `.`, `*`, `+`, `?`, `[abc]`, `[^a-z]`, `(…)`, `|` and `\`; a comma
//! means `|`, as in Kafka's tools. A pattern matches whole names.
//! Absent: counted repetition, anchors, classes by name. A pattern with them is refused.

use super::Failure;
use crate::limits::CLI_PATTERN_NESTING_MAX;

/// A parsed pattern.
#[derive(Debug)]
pub struct Pattern {
    alternatives: Vec<Sequence>,
}

type Sequence = Vec<Piece>;

/// One element and how often it may stand there.
#[derive(Debug)]
struct Piece {
    atom: Atom,
    least: usize,
    most: usize,
}

#[derive(Debug)]
enum Atom {
    Any,
    Char(char),
    Class { negated: bool, ranges: Vec<(char, char)> },
    Group(Vec<Sequence>),
}

impl Pattern {
    /// Reads a pattern.
    pub fn new(source: &str) -> Result<Pattern, Failure> {
        let mut parser = Parser { chars: source.chars().collect(), at: 0, depth: 0 };
        let parsed = parser.alternatives();
        match parsed {
            Some(alternatives) if parser.at == parser.chars.len() => Ok(Pattern { alternatives }),
            _ => Err(Failure::usage(format!("'{source}' is not a pattern ottla understands"))),
        }
    }

    /// Whether the whole of `name` matches.
    pub fn matches(&self, name: &str) -> bool {
        let name: Vec<char> = name.chars().collect();
        ends(&self.alternatives, &name, &[0]).contains(&name.len())
    }

    /// The names that match.
    pub fn select<'a>(&self, names: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
        names.into_iter().filter(|name| self.matches(name)).collect()
    }
}

/// Where the alternatives can end when they start at any of `starts`: sets of positions, so that
/// no pattern takes exponential time.
fn ends(alternatives: &[Sequence], name: &[char], starts: &[usize]) -> Vec<usize> {
    let mut all = Vec::new();
    for sequence in alternatives {
        let mut positions = starts.to_vec();
        for piece in sequence {
            positions = repeat(piece, name, positions);
        }
        all.extend(positions);
    }
    all.sort_unstable();
    all.dedup();
    all
}

fn repeat(piece: &Piece, name: &[char], starts: Vec<usize>) -> Vec<usize> {
    let mut reached = if piece.least == 0 { starts.clone() } else { Vec::new() };
    let mut front = starts;
    for count in 1..=piece.most.min(name.len() + 1) {
        front = step(&piece.atom, name, &front);
        let known = reached.len();
        if count >= piece.least {
            reached.extend(
                front
                    .iter()
                    .filter(|at| !reached[..known].contains(at))
                    .copied()
                    .collect::<Vec<_>>(),
            );
        }
        if front.is_empty() || (count > piece.least && reached.len() == known) {
            break;
        }
    }
    reached
}

fn step(atom: &Atom, name: &[char], starts: &[usize]) -> Vec<usize> {
    if let Atom::Group(alternatives) = atom {
        return ends(alternatives, name, starts);
    }
    let fits = |c: char| match atom {
        Atom::Any => true,
        Atom::Char(wanted) => c == *wanted,
        Atom::Class { negated, ranges } => {
            ranges.iter().any(|(low, high)| (*low..=*high).contains(&c)) != *negated
        }
        Atom::Group(_) => false,
    };
    starts.iter().filter(|at| name.get(**at).is_some_and(|c| fits(*c))).map(|at| at + 1).collect()
}

struct Parser {
    chars: Vec<char>,
    at: usize,
    depth: usize,
}

impl Parser {
    fn peek(&self) -> Option<char> {
        self.chars.get(self.at).copied()
    }

    fn next(&mut self) -> Option<char> {
        let c = self.peek();
        self.at += usize::from(c.is_some());
        c
    }

    fn alternatives(&mut self) -> Option<Vec<Sequence>> {
        let mut all = vec![self.sequence()?];
        while let Some('|' | ',') = self.peek() {
            self.at += 1;
            all.push(self.sequence()?);
        }
        Some(all)
    }

    fn sequence(&mut self) -> Option<Sequence> {
        let mut pieces = Vec::new();
        while let Some(c) = self.peek() {
            if matches!(c, '|' | ',' | ')') {
                break;
            }
            let atom = self.atom()?;
            let (least, most) = match self.peek() {
                Some('*') => (0, usize::MAX),
                Some('+') => (1, usize::MAX),
                Some('?') => (0, 1),
                _ => (1, 1),
            };
            self.at += usize::from((least, most) != (1, 1));
            pieces.push(Piece { atom, least, most });
        }
        Some(pieces)
    }

    fn atom(&mut self) -> Option<Atom> {
        match self.next()? {
            '.' => Some(Atom::Any),
            '\\' => self.next().filter(|c| !c.is_ascii_alphanumeric()).map(Atom::Char),
            '[' => self.class(),
            '(' => {
                self.depth += 1;
                if self.depth > CLI_PATTERN_NESTING_MAX {
                    return None;
                }
                let group = self.alternatives()?;
                self.depth -= 1;
                (self.next()? == ')').then_some(Atom::Group(group))
            }
            '*' | '+' | '?' | '{' | '}' | '^' | '$' | ']' => None,
            c => Some(Atom::Char(c)),
        }
    }

    fn class(&mut self) -> Option<Atom> {
        let negated = self.peek() == Some('^');
        self.at += usize::from(negated);
        let mut ranges = Vec::new();
        loop {
            let low = match self.next()? {
                ']' => return Some(Atom::Class { negated, ranges }),
                '\\' => self.next()?,
                c => c,
            };
            if self.peek() == Some('-') && self.chars.get(self.at + 1).is_some_and(|c| *c != ']') {
                self.at += 1;
                ranges.push((low, self.next()?));
            } else {
                ranges.push((low, low));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, name: &str) -> bool {
        Pattern::new(pattern).unwrap().matches(name)
    }

    #[test]
    fn the_patterns_people_write_match_whole_names() {
        for (pattern, yes, no) in [
            ("foo", "foo", "foo2"),
            ("foo.*", "foobar", "afoo"),
            ("a|b,c", "c", "d"),
            ("t[0-9]+", "t42", "t"),
            ("t[^0-9]?", "tx", "t1"),
            ("(ab)*c", "ababc", "abac"),
            (r"a\.b", "a.b", "axb"),
            (".*", "anything", ""),
        ] {
            assert!(matches(pattern, yes), "{pattern} {yes}");
            assert!(no.is_empty() || !matches(pattern, no), "{pattern} {no}");
        }
    }

    #[test]
    fn what_we_do_not_understand_is_refused_rather_than_misread() {
        for pattern in ["a{2}", "^a$", "(a", "a)", "[a", "*", r"\d", &"(".repeat(5_000)] {
            assert!(Pattern::new(pattern).is_err(), "{pattern}");
        }
    }

    #[test]
    fn no_pattern_takes_exponential_time() {
        assert!(!matches("(a*)*(a*)*(a*)*b", &"a".repeat(200)));
        assert!(matches("((a?)*)*b", &("a".repeat(100) + "b")));
    }
}
