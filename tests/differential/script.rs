//! The script: what is asked, in `tests/differential/script/`, a file per API.
//!
//! ```text
//! for Produce 3-9: title of the block        run once for each version; $v tells which
//! topic NAME [partitions N] [key=value …]    created and waited for; not recorded
//! Produce "title" MODIFIER… {…}              a request in the block's version
//! Fetch/11 "title" {…}                       a request in this version
//! setup Fetch/11 {…}                         not recorded, but it must not fail
//! await NAME                                 the answer that connection NAME still owes
//! ```
//!
//! Modifiers: `on NAME` (connection), `later` (do not wait for the answer), `versions 3-5` (of the
//! block's), `among ARRAY PREFIX` (elements that are recorded), `without ARRAY` (elements that are
//! not), `until PATH=VALUE` (again until it is so), `let NAME = PATH` (captures; a part of a path
//! is a field's name or an element's number), `raw "hex"` instead of the body,
//! `trailing "hex"` behind it, `silent` (an answer is not expected), `unanswered` (Apache
//! Kafka never answers this, for a mistake of its own).
//!
//! Promises: a step's title is its own within the block. Absent: any deed; `play` does them.

use super::cursor::{Cursor, Versions, versions};
use super::value::{Expression, read};
use std::path::Path;

/// The file of one API.
pub struct Script {
    /// The file's name.
    pub name: String,
    pub blocks: Vec<Block>,
}

/// Steps that are run once for each version.
pub struct Block {
    pub title: String,
    pub versions: Versions,
    pub steps: Vec<Step>,
}

pub enum Step {
    Topic { name: String, partitions: i32, settings: Vec<(String, String)> },
    Ask(Box<Ask>),
    Await { connection: String },
}

/// One request.
pub struct Ask {
    pub api: String,
    /// `None`: the block's.
    pub version: Option<i16>,
    /// `None`: is not recorded.
    pub title: Option<String>,
    pub connection: String,
    pub later: bool,
    pub silent: bool,
    pub unanswered: bool,
    pub only: Option<Versions>,
    /// What is below an array of this name is not recorded.
    pub without: Option<String>,
    /// Of this array only elements whose key begins so are recorded.
    pub among: Option<(String, String)>,
    pub until: Option<(String, String)>,
    pub captures: Vec<(String, String)>,
    pub body: Body,
    pub trailing: String,
}

pub enum Body {
    Fields(Expression),
    /// Hexadecimal.
    Raw(String),
}

/// All files of `script/`.
pub fn read_all(directory: &Path) -> Vec<Script> {
    let mut scripts = Vec::new();
    for (name, text) in super::texts(&directory.join("script")) {
        let mut r = Cursor::new(&name, &text);
        let mut blocks: Vec<Block> = Vec::new();
        while !r.is_done() {
            let block = read_block(&mut r);
            let same = |other: &Block| other.title == block.title;
            assert!(!blocks.iter().any(same), "{name}: two blocks {:?}", block.title);
            blocks.push(block);
        }
        scripts.push(Script { name, blocks });
    }
    scripts
}

fn read_block(r: &mut Cursor<'_>) -> Block {
    if !r.take_word("for") {
        r.fail("a block begins with `for`");
    }
    let api = r.word().to_owned();
    let versions = versions(r);
    r.expect(':');
    let title = r.line().to_owned();
    let mut steps: Vec<Step> = Vec::new();
    while !r.is_done() && r.peek_word() != "for" {
        let step = read_step(r);
        if let Step::Ask(ask) = &step {
            if ask.version.is_none() && ask.api != api {
                r.fail(&format!("{} needs a version: the block is {api}'s", ask.api));
            }
            let same = |step: &Step| matches!(step, Step::Ask(other) if other.title == ask.title);
            if ask.title.is_some() && steps.iter().any(same) {
                r.fail(&format!("there is another step {:?}", ask.title));
            }
        }
        steps.push(step);
    }
    Block { title, versions, steps }
}

fn read_step(r: &mut Cursor<'_>) -> Step {
    if r.take_word("topic") {
        return read_topic(r);
    }
    if r.take_word("await") {
        return Step::Await { connection: r.word().to_owned() };
    }
    let setup = r.take_word("setup");
    let word = r.word();
    let (api, version) = match word.split_once('/') {
        None => (word, None),
        Some((api, version)) => match version.parse() {
            Ok(version) => (api, Some(version)),
            Err(_) => r.fail("a version is a number"),
        },
    };
    let mut ask = Ask {
        api: api.to_owned(),
        version,
        title: (!setup).then(|| r.quoted()),
        connection: "main".to_owned(),
        later: false,
        silent: false,
        unanswered: false,
        only: None,
        without: None,
        among: None,
        until: None,
        captures: Vec::new(),
        body: Body::Raw(String::new()),
        trailing: String::new(),
    };
    while r.peek() != Some('{') {
        if r.take_word("raw") {
            ask.body = Body::Raw(r.quoted());
            read_captures(r, &mut ask);
            return Step::Ask(Box::new(ask));
        }
        read_modifier(r, &mut ask);
    }
    ask.body = Body::Fields(read(r));
    read_captures(r, &mut ask);
    Step::Ask(Box::new(ask))
}

fn read_modifier(r: &mut Cursor<'_>, ask: &mut Ask) {
    match r.word() {
        "on" => ask.connection = r.word().to_owned(),
        "later" => ask.later = true,
        "unanswered" => ask.unanswered = true,
        "silent" => ask.silent = true,
        "versions" => ask.only = Some(versions(r)),
        "among" => ask.among = Some((r.word().to_owned(), r.word().to_owned())),
        "without" => ask.without = Some(r.word().to_owned()),
        "trailing" => ask.trailing = r.quoted(),
        "until" => {
            let path = r.word().to_owned();
            r.expect('=');
            ask.until = Some((path, r.token().to_owned()));
        }
        other => r.fail(&format!("{other} is no modifier")),
    }
}

fn read_captures(r: &mut Cursor<'_>, ask: &mut Ask) {
    while r.take_word("let") {
        let name = r.word().to_owned();
        r.expect('=');
        ask.captures.push((name, r.word().to_owned()));
    }
}

fn read_topic(r: &mut Cursor<'_>) -> Step {
    let line = r.line();
    let mut words = line.split_whitespace();
    let name = words.next().unwrap_or_else(|| r.fail("a topic has a name")).to_owned();
    let mut partitions = 1;
    let mut settings = Vec::new();
    while let Some(word) = words.next() {
        match (word, word.split_once('=')) {
            ("partitions", _) => {
                let count = words.next().and_then(|word| word.parse().ok());
                partitions = count.unwrap_or_else(|| r.fail("how many partitions?"));
            }
            (_, Some((key, value))) => settings.push((key.to_owned(), value.to_owned())),
            _ => r.fail(&format!("{word} is nothing of a topic")),
        }
    }
    Step::Topic { name, partitions, settings }
}
