//! Line charts as SVG, with both axes logarithmic.
//!
//! Promises: text and lines are grey or coloured so that they can be read on white and on black.
//! Absent: everything that three charts do not need.

use super::stats::{bytes, short};
use std::fmt::Write;

/// The whole picture.
const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 400.0;
/// Where the axes cross, and how far they go.
const LEFT: f64 = 70.0;
const RIGHT: f64 = 530.0;
const TOP: f64 = 40.0;
const BOTTOM: f64 = 350.0;
/// Of lines and names; told apart by people who see no red or no green, too.
const COLOURS: [&str; 5] = ["#0072b2", "#d55e00", "#cc79a7", "#009e73", "#999999"];
const GREY: &str = "#808080";

/// One line.
struct Line {
    name: String,
    points: Vec<(f64, f64)>,
}

/// What a number on the horizontal axis is.
#[derive(Clone, Copy, Debug)]
pub enum Unit {
    /// Written as KiB and MiB.
    Bytes,
    /// Written as it is.
    Count,
}

/// A chart that grows as figures come.
pub struct Plot {
    file: &'static str,
    title: String,
    across: &'static str,
    unit: Unit,
    lines: Vec<Line>,
}

impl Plot {
    /// An empty chart; `across` says what the horizontal axis is.
    pub fn new(file: &'static str, title: String, across: &'static str, unit: Unit) -> Plot {
        Plot { file, title, across, unit, lines: Vec::new() }
    }

    /// Its file's name.
    pub fn file(&self) -> &'static str {
        self.file
    }

    /// What it shows.
    pub fn title(&self) -> &str {
        &self.title
    }

    /// Adds a point to the line of this name.
    pub fn point(&mut self, name: &str, x: f64, y: f64) {
        if !(x > 0.0 && y > 0.0 && y.is_finite()) {
            return;
        }
        match self.lines.iter_mut().find(|line| line.name == name) {
            Some(line) => line.points.push((x, y)),
            None => self.lines.push(Line { name: name.to_owned(), points: vec![(x, y)] }),
        }
    }

    /// The picture.
    pub fn svg(&self) -> String {
        let all = || self.lines.iter().flat_map(|line| &line.points);
        let x = Axis::over(all().map(|point| point.0), LEFT, RIGHT, 2.0);
        let y = Axis::over(all().map(|point| point.1), BOTTOM, TOP, 10.0);
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
             font-family=\"sans-serif\" font-size=\"13\" fill=\"{GREY}\" stroke=\"none\">\n"
        );
        text(&mut svg, LEFT, TOP - 18.0, "start", &self.title);
        text(&mut svg, (LEFT + RIGHT) / 2.0, HEIGHT - 10.0, "middle", self.across);
        for value in x.ticks() {
            let name = match self.unit {
                Unit::Bytes => bytes(value as usize),
                Unit::Count => short(value).replace(".00", "").replace(".0", ""),
            };
            rule(&mut svg, (x.place(value), BOTTOM), (x.place(value), BOTTOM + 5.0));
            text(&mut svg, x.place(value), BOTTOM + 19.0, "middle", &name);
        }
        for value in y.ticks() {
            rule(&mut svg, (LEFT, y.place(value)), (RIGHT, y.place(value)));
            text(&mut svg, LEFT - 6.0, y.place(value) + 4.0, "end", &format!("{value}"));
        }
        for (line, colour) in self.lines.iter().zip(COLOURS.iter().cycle()) {
            self.line(&mut svg, line, colour, (&x, &y));
        }
        self.legend(&mut svg);
        svg.push_str("</svg>\n");
        svg
    }

    fn line(&self, svg: &mut String, line: &Line, colour: &str, (x, y): (&Axis, &Axis)) {
        let mut points = line.points.clone();
        points.sort_by(|a, b| a.0.total_cmp(&b.0));
        let places: Vec<String> =
            points.iter().map(|at| format!("{:.1},{:.1}", x.place(at.0), y.place(at.1))).collect();
        let path = places.join(" ");
        writeln!(
            svg,
            "<polyline points=\"{path}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>"
        )
        .ok();
        for (x_at, y_at) in places.iter().filter_map(|place| place.split_once(',')) {
            writeln!(svg, "<circle cx=\"{x_at}\" cy=\"{y_at}\" r=\"3.5\" fill=\"{colour}\"/>").ok();
        }
    }

    /// Names in the order in which the lines end, the topmost first.
    fn legend(&self, svg: &mut String) {
        let last = |line: &Line| line.points.last().map_or(0.0, |point| point.1);
        let mut order: Vec<(&Line, &&str)> =
            self.lines.iter().zip(COLOURS.iter().cycle()).collect();
        order.sort_by(|a, b| last(b.0).total_cmp(&last(a.0)));
        for (row, (line, colour)) in order.iter().enumerate() {
            let y = TOP + 10.0 + 22.0 * row as f64;
            writeln!(
                svg,
                "<circle cx=\"{}\" cy=\"{}\" r=\"5\" fill=\"{colour}\"/>",
                RIGHT + 18.0,
                y - 4.0
            )
            .ok();
            text(svg, RIGHT + 30.0, y, "start", &line.name);
        }
    }
}

fn text(svg: &mut String, x: f64, y: f64, anchor: &str, text: &str) {
    writeln!(svg, "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{text}</text>").ok();
}

fn rule(svg: &mut String, from: (f64, f64), to: (f64, f64)) {
    writeln!(
        svg,
        "<line x1=\"{:.1}\" y1=\"{:.1}\" x2=\"{:.1}\" y2=\"{:.1}\" stroke=\"{GREY}\" \
         stroke-opacity=\"0.4\"/>",
        from.0, from.1, to.0, to.1
    )
    .ok();
}

/// A logarithmic axis between two places of the picture.
struct Axis {
    low: f64,
    high: f64,
    from: f64,
    to: f64,
    base: f64,
}

impl Axis {
    fn over(values: impl Iterator<Item = f64>, from: f64, to: f64, base: f64) -> Axis {
        let (low, high) = values
            .fold((f64::MAX, f64::MIN), |(low, high), value| (low.min(value), high.max(value)));
        let low = base.powf(low.log(base).floor());
        let high = base.powf(high.log(base).ceil()).max(low * base);
        Axis { low, high, from, to, base }
    }

    fn place(&self, value: f64) -> f64 {
        let share = (value / self.low).ln() / (self.high / self.low).ln();
        self.from + (self.to - self.from) * share
    }

    /// Powers of the base, at most eight.
    fn ticks(&self) -> Vec<f64> {
        let steps = (self.high / self.low).log(self.base).round() as i32;
        let every = (steps + 7) / 8;
        (0..=steps).step_by(every.max(1) as usize).map(|n| self.low * self.base.powi(n)).collect()
    }
}
