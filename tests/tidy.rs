//! The rules that no compiler checks: who may import whom, words that stay in their layer, sizes.
//!
//! Promises: one table per rule; comments and strings count for nothing; every broken rule is
//! reported with file and line, all of them in one run.
//! Absent: what rustc, rustfmt and clippy see already, and taste.

use std::fs;
use std::path::{Path, PathBuf};

/// Who may import whom, beside itself. A layer that is not here may not exist.
///
/// `time` and `limits` know nobody, so everybody may know them, as far as there is a use for it.
/// `state` must not know `wire`: it returns refusals, and `api` makes error codes of them.
const LAYERS: &[(&str, &[&str])] = &[
    ("limits", &[]),
    ("fixed", &[]),
    ("time", &["limits"]),
    ("config", &["limits", "fixed", "time"]),
    ("wire", &["limits", "fixed"]),
    ("disk", &["limits", "fixed"]),
    ("storage", &["limits", "fixed", "time", "config", "wire", "disk"]),
    ("state", &["limits", "fixed", "time", "config", "disk"]),
    ("broker", &["limits", "fixed", "time", "config", "wire", "disk", "storage", "state"]),
    ("api", &["limits", "fixed", "time", "config", "wire", "disk", "storage", "state", "broker"]),
    (
        "server",
        &["limits", "fixed", "time", "config", "wire", "disk", "storage", "state", "broker", "api"],
    ),
    ("client", &["limits", "fixed", "wire"]),
    (
        "forward",
        &[
            "limits", "fixed", "time", "config", "wire", "disk", "storage", "state", "broker",
            "client",
        ],
    ),
    (
        "cli",
        &[
            "limits", "fixed", "time", "config", "wire", "disk", "storage", "state", "broker",
            "api", "server", "client", "forward",
        ],
    ),
];

/// Words that may stand in some places only: files or directories below `src`, and test modules
/// where the last column says so.
const CONFINED: &[(&str, &[&str], bool)] = &[
    ("rustix", &["disk/os.rs", "disk/socket.rs", "cli/process.rs"], false),
    ("tokio", &["server/", "forward/", "cli/"], false),
    ("async", &["server/", "forward/", "cli/"], false),
    ("await", &["server/", "forward/", "cli/"], false),
    ("Instant", &["server/", "forward/", "cli/"], true),
    ("SystemTime", &["server/", "forward/", "cli/"], false),
    ("TcpStream", &["server/", "forward/", "cli/"], false),
    ("TcpListener", &["server/", "forward/", "cli/"], false),
    ("postcard", &["storage/coordinator.rs", "state/coordinator_file.rs"], true),
    ("println", &["cli/"], true),
    ("eprintln", &["cli/"], true),
    ("unsafe", &[], false),
    ("todo", &[], false),
    ("unimplemented", &[], false),
    ("dbg", &[], false),
];

/// Lines of a file, its tests included. What is longer says more than one thing.
const LINES_MAX: usize = 600;

/// Characters of a line, as in `.rustfmt.toml`, which leaves comments and strings alone.
const COLUMNS_MAX: usize = 100;

/// A word of the code, or one character of punctuation.
#[derive(Debug, PartialEq)]
struct Token<'a> {
    text: &'a str,
    line: usize,
}

/// Splits source text into tokens. Comments, strings and characters are none.
fn tokens(source: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    let mut line = 1;
    let mut rest = source;
    while let Some(first) = rest.chars().next() {
        let skipped = skipped_bytes(rest);
        let is_word = |c: char| c.is_alphanumeric() || c == '_';
        let bytes = if skipped > 0 {
            skipped
        } else if is_word(first) {
            rest.find(|c| !is_word(c)).unwrap_or(rest.len())
        } else {
            first.len_utf8()
        };
        let text = &rest[..bytes];
        if skipped == 0 && !first.is_whitespace() {
            tokens.push(Token { text, line });
        }
        line += text.matches('\n').count();
        rest = &rest[bytes..];
    }
    tokens
}

/// Bytes of the comment, the string or the character at the start of `rest`; 0 if none is there.
fn skipped_bytes(rest: &str) -> usize {
    if rest.starts_with("//") {
        return rest.find('\n').unwrap_or(rest.len());
    }
    if rest.starts_with("/*") {
        return rest.find("*/").map_or(rest.len(), |at| at + 2);
    }
    // The letters in front of a string: b"", c"", r"", br#""#.
    let prefix = rest.find(|c| !matches!(c, 'b' | 'c' | 'r')).unwrap_or(0).min(2);
    let quoted = &rest[prefix..];
    if rest[..prefix].contains('r') {
        let hashes = quoted.find(|c| c != '#').unwrap_or(0);
        if quoted[hashes..].starts_with('"') {
            let end = format!("\"{}", "#".repeat(hashes));
            let body = prefix + hashes + 1;
            return rest[body..].find(&end).map_or(rest.len(), |at| body + at + end.len());
        }
    }
    if quoted.starts_with('"') {
        return prefix + quoted_bytes(quoted, '"');
    }
    // A character, and not a lifetime: something, or an escape, and the closing quote.
    let mut chars = quoted.chars();
    if chars.next() == Some('\'') && (chars.next() == Some('\\') || chars.next() == Some('\'')) {
        return prefix + quoted_bytes(quoted, '\'');
    }
    0
}

fn quoted_bytes(quoted: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in quoted.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == quote => return at + 1,
            _ => {}
        }
    }
    quoted.len()
}

/// A file below `src`.
struct Source {
    /// With slashes, below `src`.
    name: String,
    text: String,
}

impl Source {
    /// The layer it belongs to; `None` for `lib.rs` and `main.rs`.
    fn layer(&self) -> Option<&str> {
        let top = self.name.split('/').next().unwrap_or_default();
        let top = top.strip_suffix(".rs").unwrap_or(top);
        (top != "lib" && top != "main").then_some(top)
    }

    /// Modules from the crate's root to this file: 1 for `broker/mod.rs`, 2 for `broker/ids.rs`.
    fn depth(&self) -> usize {
        let parts = self.name.split('/').count();
        if self.name.ends_with("/mod.rs") { parts - 1 } else { parts }
    }

    /// Whether the whole file is a test module.
    fn is_test(&self) -> bool {
        let tests = ["/tests.rs", "/tests/", "/testing.rs", "/scripts.rs", "/scripts/"];
        tests.iter().any(|part| self.name.contains(part)) || self.name.ends_with("/life.rs")
    }
}

/// Where the inline test module at the end of the file begins, as an index of `tokens`.
fn tests_begin(tokens: &[Token<'_>]) -> usize {
    let opening = ["#", "[", "cfg", "(", "test", ")", "]", "mod"];
    let begins = |window: &[Token<'_>]| window.iter().map(|token| token.text).eq(opening);
    let found = tokens.windows(opening.len()).position(begins);
    // `mod tests;` is a file of its own.
    let inline = |at: &usize| tokens.get(at + opening.len() + 1).is_some_and(|t| t.text == "{");
    found.filter(inline).unwrap_or(tokens.len())
}

/// The top-level modules that the code names, each with its line.
fn imports<'a>(source: &Source, tokens: &[Token<'a>]) -> Vec<(&'a str, usize)> {
    let mut found = Vec::new();
    let tests = tests_begin(tokens);
    let text = |at: usize| tokens.get(at).map_or("", |token| token.text);
    let follows = |at: usize| text(at) == ":" && text(at + 1) == ":";
    let mut at = 0;
    while at < tokens.len() {
        let start = at;
        let mut to_root = text(at) == "crate";
        let mut climbed = 0;
        while text(at) == "super" && follows(at + 1) {
            climbed += 1;
            at += 3;
        }
        if climbed > 0 {
            at -= 3;
            to_root = climbed >= source.depth() + usize::from(start >= tests);
        }
        if to_root && follows(at + 1) {
            at += 3;
            match text(at) {
                "{" => found.extend(heads(tokens, at)),
                name => found.push((name, tokens[at].line)),
            }
        }
        at += 1;
    }
    // `broker::{self, …}` of a `use crate::{…}` has been seen; a macro's `$crate` has not.
    found.retain(|(name, _)| name.starts_with(char::is_lowercase));
    found
}

/// The first names inside of braces: `{a::b, c::{d, e}}` has `a` and `c`.
fn heads<'a>(tokens: &[Token<'a>], open: usize) -> Vec<(&'a str, usize)> {
    let mut heads = Vec::new();
    let mut depth = 0;
    for at in open..tokens.len() {
        match tokens[at].text {
            "{" => depth += 1,
            "}" => depth -= 1,
            name if depth == 1 && matches!(tokens[at - 1].text, "{" | ",") => {
                heads.push((name, tokens[at].line));
            }
            _ => {}
        }
        if depth == 0 {
            break;
        }
    }
    heads
}

fn broken_imports(source: &Source) -> Vec<String> {
    let Some(layer) = source.layer() else { return Vec::new() };
    let Some((_, allowed)) = LAYERS.iter().find(|(name, _)| *name == layer) else {
        return vec![format!("{}: the layer {layer} is not in the table", source.name)];
    };
    let tokens = tokens(&source.text);
    let broken = imports(source, &tokens)
        .into_iter()
        .filter(|(name, _)| *name != layer && !allowed.contains(name));
    broken.map(|(name, line)| format!("{}:{line}: {layer} imports {name}", source.name)).collect()
}

fn misplaced_words(source: &Source) -> Vec<String> {
    let tokens = tokens(&source.text);
    let tests = if source.is_test() { 0 } else { tests_begin(&tokens) };
    let mut broken = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        let Some((word, places, in_tests)) = CONFINED.iter().find(|row| row.0 == token.text) else {
            continue;
        };
        let placed = places.iter().any(|place| source.name.starts_with(place));
        let tested = *in_tests && at >= tests;
        if !placed && !tested {
            broken.push(format!("{}:{}: {word} does not belong here", source.name, token.line));
        }
    }
    broken
}

fn wrong_sizes(name: &str, text: &str) -> Vec<String> {
    let mut broken = Vec::new();
    let lines = text.lines().count();
    if lines > LINES_MAX {
        broken.push(format!("{name}: {lines} lines; {LINES_MAX} are the limit"));
    }
    for (at, line) in text.lines().enumerate() {
        let columns = line.chars().count();
        if columns > COLUMNS_MAX {
            broken.push(format!("{name}:{}: {columns} characters in the line", at + 1));
        }
    }
    if !text.starts_with("//!") {
        broken.push(format!("{name}: does not begin with //!, what it is"));
    }
    broken
}

/// Limits whose doc says neither why they have this value nor what happens at them.
fn bare_limits(text: &str) -> Vec<String> {
    let mut broken = Vec::new();
    let mut doc = String::new();
    for line in text.lines() {
        if let Some(more) = line.strip_prefix("///") {
            doc.push_str(more);
            doc.push(' ');
            continue;
        }
        if let Some(rest) = line.strip_prefix("pub const ") {
            let name = rest.split(':').next().unwrap_or_default();
            if !doc.contains("Why: ") && !doc.contains("At the limit: ") {
                broken.push(format!("limits.rs: {name} says neither why nor what happens at it"));
            }
        }
        doc.clear();
    }
    broken
}

fn rust_files(directory: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let entries = fs::read_dir(directory).expect("a directory of this repository");
    for path in entries.map(|entry| entry.expect("an entry").path()) {
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files.sort();
    files
}

fn sources(directory: &str) -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(directory);
    let read = |path: PathBuf| {
        let name = path.strip_prefix(&root).expect("below").to_string_lossy().replace('\\', "/");
        Source { name, text: fs::read_to_string(&path).expect("UTF-8") }
    };
    let sources: Vec<Source> = rust_files(&root).into_iter().map(read).collect();
    assert!(!sources.is_empty(), "nothing in {}", root.display());
    sources
}

fn expect_none(broken: &[String]) {
    assert!(broken.is_empty(), "\n{}\n", broken.join("\n"));
}

#[test]
fn every_layer_imports_only_what_it_may() {
    expect_none(&sources("src").iter().flat_map(broken_imports).collect::<Vec<_>>());
}

#[test]
fn words_stay_in_their_layers() {
    expect_none(&sources("src").iter().flat_map(misplaced_words).collect::<Vec<_>>());
}

#[test]
fn files_begin_with_what_they_are_and_keep_their_sizes() {
    let of = |directory: &'static str| {
        let sizes = move |source: Source| {
            wrong_sizes(&format!("{directory}/{}", source.name), &source.text)
        };
        sources(directory).into_iter().flat_map(sizes)
    };
    expect_none(&of("src").chain(of("tests")).collect::<Vec<_>>());
}

#[test]
fn every_limit_says_why_or_what_happens_at_it() {
    let sources = sources("src");
    let limits = sources.iter().find(|source| source.name == "limits.rs").expect("limits.rs");
    expect_none(&bare_limits(&limits.text));
}

#[test]
fn the_table_has_no_circles() {
    // Every layer may import only layers above it in the table.
    for (at, (layer, allowed)) in LAYERS.iter().enumerate() {
        for name in *allowed {
            let place = LAYERS.iter().position(|(known, _)| known == name);
            assert!(place.is_some_and(|place| place < at), "{layer} may import {name}");
        }
    }
}

#[test]
fn comments_and_strings_are_no_code() {
    let text = r##"
        // use crate::server;
        /* use crate::server; */
        let a = "crate::server \" unsafe"; let b = 'u'; let c = '\''; let d: &'static str;
        let e = r#"unsafe " todo"#; let f = b"unsafe"; let g = b'"'; brr();
    "##;
    let found: Vec<&str> = tokens(text).iter().map(|token| token.text).collect();
    assert!(!found.contains(&"crate") && !found.contains(&"unsafe") && !found.contains(&"todo"));
    assert!(found.contains(&"static") && found.contains(&"brr") && found.contains(&"g"));
}

fn planted(name: &str, text: &str) -> Source {
    Source { name: name.to_string(), text: text.to_string() }
}

#[test]
fn a_planted_import_is_found_however_it_is_written() {
    for text in [
        "use crate::wire::Writer;",
        "use crate::{limits::A, wire::Writer};",
        "use crate::{disk::{self, Disk}, wire};",
        "fn f() { crate::wire::crc32c(b\"\") }",
        "use super::super::wire::Writer;",
        "#[cfg(test)]\nmod tests {\n use super::super::super::wire;\n}",
    ] {
        let broken = broken_imports(&planted("state/groups.rs", text));
        assert_eq!(broken.len(), 1, "{text}: {broken:?}");
        assert!(broken[0].ends_with("state imports wire"), "{broken:?}");
    }
    let fine = "use crate::{disk::Disk, state::x}; use super::wire; use crate::limits::WIRE;";
    assert_eq!(broken_imports(&planted("state/groups.rs", fine)), [""; 0]);
    let own = "#[cfg(test)]\nmod tests {\n use super::super::wire;\n}";
    assert_eq!(broken_imports(&planted("state/groups.rs", own)), [""; 0]);
    assert_eq!(broken_imports(&planted("newer/mod.rs", "")).len(), 1);
}

#[test]
fn a_planted_word_is_found_but_in_tests_where_it_may_stand() {
    let code = "fn f() { Instant::now(); }\n";
    let tests = "#[cfg(test)]\nmod tests { fn f() { Instant::now(); } }\n";
    assert_eq!(misplaced_words(&planted("storage/mod.rs", code)).len(), 1);
    assert_eq!(misplaced_words(&planted("storage/mod.rs", tests)), [""; 0]);
    assert_eq!(misplaced_words(&planted("server/mod.rs", code)), [""; 0]);
    let own = "#[cfg(test)]\nmod tests { fn f() { unsafe {} } }";
    assert_eq!(misplaced_words(&planted("server/mod.rs", own)).len(), 1);
}

#[test]
fn a_planted_size_and_a_bare_limit_are_found() {
    assert_eq!(wrong_sizes("a", &format!("//! x\n{}", "\n".repeat(LINES_MAX))).len(), 1);
    assert_eq!(wrong_sizes("a", &format!("//! {}\n", "é".repeat(COLUMNS_MAX - 4))), [""; 0]);
    assert_eq!(wrong_sizes("a", &format!("//! {}\n", "é".repeat(COLUMNS_MAX - 3))).len(), 1);
    assert_eq!(wrong_sizes("a", "use x;\n").len(), 1);
    let limits =
        "/// A.\n///\n/// Why: b.\npub const A: usize = 1;\n/// B.\npub const B: u8 = 2;\n";
    assert_eq!(bare_limits(limits).len(), 1);
}
