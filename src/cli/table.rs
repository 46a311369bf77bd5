//! Columns as Kafka's tools print them: left-aligned, padded, one space between.

/// One line of cells, each padded to its width; a width of 0 leaves the cell as it is.
pub fn row(cells: &[(&str, usize)]) -> String {
    let padded: Vec<String> =
        cells.iter().map(|(text, width)| format!("{text:<width$}", width = *width)).collect();
    padded.join(" ")
}

/// The width of a column: the longest of its cells, but at least `least`.
pub fn width<'a>(least: usize, cells: impl IntoIterator<Item = &'a str>) -> usize {
    cells.into_iter().map(|cell| cell.chars().count()).fold(least, usize::max)
}

/// A number, or `-` where there is none.
pub fn or_dash(number: Option<i64>) -> String {
    number.map_or_else(|| "-".to_owned(), |number| number.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_padded_as_kafka_pads_them() {
        let header = row(&[("GROUP", 15), ("PARTITION", 10), ("CLIENT-ID", 0)]);
        assert_eq!(header, "GROUP           PARTITION  CLIENT-ID");
        assert_eq!(width(15, ["a", "console-consumer-87253"]), 22);
        assert_eq!(width(15, ["a"]), 15);
    }
}
