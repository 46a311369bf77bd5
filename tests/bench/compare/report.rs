//! What the bench says: on standard output while it runs, and the same as a Markdown file.
//!
//! Promises: a table reads well in a terminal and is Markdown as it stands.

use std::fmt::Write;
use std::path::Path;

/// The text so far.
#[derive(Default)]
pub struct Report {
    text: String,
}

impl Report {
    /// Says one paragraph.
    pub fn say(&mut self, paragraph: &str) {
        println!("{paragraph}\n");
        self.text.push_str(paragraph);
        self.text.push_str("\n\n");
    }

    /// A table. The first column is text, the others are figures.
    pub fn table(&mut self, head: &[&str], rows: &[Vec<String>]) {
        let width = |column: usize| {
            let cells = rows.iter().filter_map(|row| row.get(column)).map(String::as_str);
            let cells = cells.chain(head.get(column).copied());
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..head.len()).map(width).collect();
        let mut text = String::new();
        let mut line = |cells: &mut dyn Iterator<Item = &str>| {
            for ((column, width), cell) in widths.iter().enumerate().zip(cells) {
                let gap = " ".repeat(width.saturating_sub(cell.chars().count()));
                let (left, right) = if column == 0 { ("", &*gap) } else { (&*gap, "") };
                write!(text, "| {left}{cell}{right} ").ok();
            }
            text.push_str("|\n");
        };
        line(&mut head.iter().copied());
        let rules: Vec<String> = widths
            .iter()
            .enumerate()
            .map(|(column, width)| match column {
                0 => "-".repeat(*width),
                _ => format!("{}:", "-".repeat(width.saturating_sub(1))),
            })
            .collect();
        line(&mut rules.iter().map(String::as_str));
        for row in rows {
            line(&mut row.iter().map(String::as_str));
        }
        self.say(text.trim_end());
    }

    /// Writes the file.
    pub fn write(&self, directory: &Path) {
        std::fs::create_dir_all(directory).expect("the directory of --out");
        let path = directory.join("report.md");
        std::fs::write(&path, &self.text).expect("the report is written");
        println!("report: {}", path.display());
    }
}

/// The machine and its noise.
pub fn machine() -> String {
    let read = |path| std::fs::read_to_string(path).unwrap_or_default();
    let cpu = read("/proc/cpuinfo");
    let named = |line: &&str| line.starts_with("model name") || line.starts_with("Model");
    let model = cpu.lines().find(named).and_then(|line| line.split_once(':'));
    let model = model.map_or("processor without a name", |(_, name)| name.trim());
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let kernel = read("/proc/sys/kernel/osrelease");
    let load = read("/proc/loadavg");
    let load = load.split(' ').next().unwrap_or("?");
    format!(
        "Machine: {cores} × {model}, Linux {}, {}; load at the start {load}. \
         Figures are medians of the rounds, in brackets the least and the greatest.",
        kernel.trim(),
        std::env::consts::ARCH,
    )
}
