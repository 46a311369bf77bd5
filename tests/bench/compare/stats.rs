//! Medians and spreads of a few rounds.
//!
//! Promises: a ratio is taken within each round, where both sides saw the same noise, and only
//! then is the median taken. Absent: means, which one disturbed round would move.

use std::fmt;

/// One figure per round.
#[derive(Clone, Debug, Default)]
pub struct Series(Vec<f64>);

impl Series {
    /// Adds a round's figure.
    pub fn push(&mut self, value: f64) {
        self.0.push(value);
    }

    /// The figure in the middle; NaN if there is none.
    pub fn median(&self) -> f64 {
        quantile(&self.0, 0.5)
    }

    /// Every figure times `factor`.
    pub fn scaled(&self, factor: f64) -> Series {
        self.0.iter().map(|value| value * factor).collect()
    }

    /// Round by round, this times `other`.
    pub fn times(&self, other: &Series) -> Series {
        Series(self.0.iter().zip(&other.0).map(|(a, b)| a * b).collect())
    }

    /// Adds the rounds of `other`.
    pub fn extend(&mut self, other: &Series) {
        self.0.extend(&other.0);
    }

    /// Round by round, this divided by `other`.
    pub fn ratio(&self, other: &Series) -> Series {
        Series(self.0.iter().zip(&other.0).map(|(a, b)| a / b).collect())
    }
}

impl FromIterator<f64> for Series {
    fn from_iter<I: IntoIterator<Item = f64>>(values: I) -> Series {
        Series(values.into_iter().collect())
    }
}

impl fmt::Display for Series {
    /// The median, and how far the rounds lie apart.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("–");
        }
        let (low, high) = (quantile(&self.0, 0.0), quantile(&self.0, 1.0));
        write!(f, "{} ({}–{})", short(self.median()), short(low), short(high))
    }
}

/// The figure below which `share` of all figures lie.
pub fn quantile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = (sorted.len().saturating_sub(1) as f64 * share).round() as usize;
    sorted.get(at).copied().unwrap_or(f64::NAN)
}

/// A number with three digits that mean something.
pub fn short(value: f64) -> String {
    let digits = match value.abs() {
        size if !size.is_finite() => return "–".to_owned(),
        size if size >= 99.95 => 0,
        size if size >= 9.995 => 1,
        _ => 2,
    };
    format!("{value:.digits$}")
}

/// A number of bytes as people write it.
pub fn bytes(count: usize) -> String {
    match count {
        count if count >= 1 << 20 && count % (1 << 20) == 0 => format!("{} MiB", count >> 20),
        count if count >= 1 << 10 && count % (1 << 10) == 0 => format!("{} KiB", count >> 10),
        count => format!("{count} B"),
    }
}
