//! Topic patterns of the command line: none takes long, and none that is read matches wrongly.

use ottla::cli::pattern::Pattern;

/// Up to the first zero byte: the pattern; behind it: names, each up to a zero byte.
pub fn run(data: &[u8]) {
    let mut parts = data.split(|byte| *byte == 0);
    let source = String::from_utf8_lossy(parts.next().unwrap_or_default());
    if source.len() > 256 {
        return;
    }
    let names: Vec<_> = parts.map(String::from_utf8_lossy).filter(|n| n.len() <= 300).collect();
    let names: Vec<&str> = names.iter().take(8).map(|name| &**name).collect();
    literal_matches_itself(&source);
    let Ok(pattern) = Pattern::new(&source) else { return };
    let selected = pattern.select(names.iter().copied());
    for name in &names {
        assert_eq!(selected.contains(name), pattern.matches(name), "{source:?} and {name:?}");
    }
    // A choice matches what either of its parts does.
    let either = Pattern::new(&format!("{source}|other")).expect("a choice of two patterns");
    for name in &names {
        assert_eq!(either.matches(name), pattern.matches(name) || *name == "other", "{source:?}");
    }
    let group = Pattern::new(&format!("({source})"));
    if let Ok(group) = group {
        for name in &names {
            assert_eq!(group.matches(name), pattern.matches(name), "({source:?}) and {name:?}");
        }
    }
}

fn literal_matches_itself(name: &str) {
    let escaped: String = name.chars().flat_map(|c| ['\\', c]).collect();
    if let Ok(pattern) = Pattern::new(&escaped) {
        assert!(pattern.matches(name), "{name:?} does not match itself as {escaped:?}");
    }
}
