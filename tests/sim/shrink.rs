//! Fewer steps that break the same promise: pieces are left out, halves first, while it breaks.

/// Runs that may be spent on one life.
const RUNS_MAX: usize = 400;

/// The kind of a verdict: its words without numbers and names.
fn kind(what: &str) -> String {
    let first = what.lines().next().unwrap_or_default();
    let words = first.split(|c: char| !c.is_ascii_alphabetic()).filter(|word| word.len() > 3);
    words.take(4).collect::<Vec<_>>().join(" ")
}

/// The fewest steps found for which `verdict` still says something like `what`, and what it says.
pub fn shrink<T: Clone>(
    steps: &[T],
    what: &str,
    mut verdict: impl FnMut(&[T]) -> Option<String>,
) -> (Vec<T>, String) {
    let (mut left, mut says) = (steps.to_vec(), what.to_owned());
    let (mut size, mut runs) = (left.len().div_ceil(2), 0);
    while size > 0 && runs < RUNS_MAX {
        let (mut at, mut smaller) = (0, false);
        while at < left.len() && runs < RUNS_MAX {
            runs += 1;
            let mut fewer = left.clone();
            fewer.drain(at..(at + size).min(fewer.len()));
            match verdict(&fewer).filter(|again| kind(again) == kind(what)) {
                Some(again) => (left, says, smaller) = (fewer, again, true),
                None => at += size,
            }
        }
        if !smaller || size > left.len() {
            size /= 2;
        }
    }
    (left, says)
}

#[test]
fn what_is_not_needed_is_left_out() {
    let steps: Vec<u32> = (0..100).collect();
    let both = |steps: &[u32]| {
        let there = |n: u32| steps.contains(&n);
        (there(17) && there(80)).then(|| format!("broken after {} steps", steps.len()))
    };
    let (left, says) = shrink(&steps, "broken after 100 steps", both);
    assert_eq!((left, says.as_str()), (vec![17, 80], "broken after 2 steps"));
}
