//! What the bench says: on standard output while it runs, and the same as a Markdown file.
//!
//! Promises: a table reads well in a terminal and is Markdown as it stands.

use super::broker::Broker;
use super::plot::Plot;
use std::fmt::Write;
use std::path::Path;

/// The text so far, and what of it goes into the README.
#[derive(Default)]
pub struct Report {
    text: String,
    figures: Vec<Vec<String>>,
    plots: Vec<Plot>,
}

/// Between these lines of the README stand the figures.
const BEGIN: &str = "<!-- figures -->\n";
const END: &str = "<!-- /figures -->";
/// Where the README's plots lie.
const PLOTS: &str = "tests/bench/plots";

/// A table in Markdown, aligned for the eye. The first column is text, the others are figures.
fn table(head: &[&str], rows: &[Vec<String>]) -> String {
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
    let rule = |(column, width): (usize, &usize)| match column {
        0 => "-".repeat(*width),
        _ => format!("{}:", "-".repeat(width.saturating_sub(1))),
    };
    let rules: Vec<String> = widths.iter().enumerate().map(rule).collect();
    line(&mut rules.iter().map(String::as_str));
    for row in rows {
        line(&mut row.iter().map(String::as_str));
    }
    text
}

impl Report {
    /// Says one paragraph.
    pub fn say(&mut self, paragraph: &str) {
        println!("{paragraph}\n");
        self.text.push_str(paragraph);
        self.text.push_str("\n\n");
    }

    /// Says a table. The first column is text, the others are figures.
    pub fn table(&mut self, head: &[&str], rows: &[Vec<String>]) {
        self.say(table(head, rows).trim_end());
    }

    /// A line of the README: what was measured, ottla's figure, and Apache Kafka's beside it.
    pub fn figure(&mut self, what: String, ottla: String, kafka: Option<String>) {
        self.figures.push(vec![what, ottla, kafka.unwrap_or_else(|| "–".to_owned())]);
    }

    /// Adds a plot.
    pub fn plot(&mut self, plot: Plot) {
        self.plots.push(plot);
    }

    /// Writes report and plots.
    pub fn write(&self, directory: &Path) {
        self.write_plots(directory);
        let links: Vec<String> =
            self.plots.iter().map(|plot| format!("![{0}]({0})\n", plot.file())).collect();
        let text = format!("{}{}", self.text, links.concat());
        let path = directory.join("report.md");
        std::fs::write(&path, text).expect("the report is written");
        println!("report: {}", path.display());
    }

    /// Writes the README's figures and the plots that it shows.
    pub fn write_readme(&self, machine: &str) {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        self.write_plots(&root.join(PLOTS));
        let path = root.join("README.md");
        let readme = std::fs::read_to_string(&path).expect("the README");
        let (before, rest) = readme.split_once(BEGIN).expect("the figures' begin");
        let (_, after) = rest.split_once(END).expect("the figures' end");
        let table = table(&["what", "ottla", "Apache Kafka 4.3.0"], &self.figures);
        let link = |plot: &Plot| format!("![{}]({PLOTS}/{})\n", plot.title(), plot.file());
        let plots: String = self.plots.iter().map(link).collect();
        let figures = format!("{machine}\n\n{table}\n{plots}");
        let updated = format!("{before}{BEGIN}{figures}{END}{after}");
        std::fs::write(path, updated).expect("the README is written");
    }

    fn write_plots(&self, directory: &Path) {
        std::fs::create_dir_all(directory).expect("a directory for the plots");
        for plot in &self.plots {
            std::fs::write(directory.join(plot.file()), plot.svg()).expect("a plot is written");
        }
    }
}

/// What to add to a figure of an Apache Kafka whose topics have settings.
pub fn settings_of(broker: &Broker) -> String {
    let setting = |(key, value): &(&str, &str)| format!(", {key}={value}");
    broker.topic_settings.iter().map(setting).collect()
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
