//! What the rules leave open: a step is run once for each way in which it can go on.

/// Picks one of several outcomes, a different one each time the step is run again.
#[derive(Default)]
pub struct Choices {
    taken: Vec<(usize, usize)>,
    next: usize,
}

impl Choices {
    /// One of `count`.
    pub fn pick(&mut self, count: usize) -> usize {
        if self.next == self.taken.len() {
            self.taken.push((0, count));
        }
        self.next += 1;
        self.taken[self.next - 1].0
    }

    /// Goes on to the next combination, if there is one.
    pub fn advance(&mut self) -> bool {
        self.next = 0;
        while let Some((chosen, count)) = self.taken.pop() {
            if chosen + 1 < count {
                self.taken.push((chosen + 1, count));
                return true;
            }
        }
        false
    }
}
