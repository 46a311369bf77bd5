//! A fuzzer's bytes, taken one by one: what is not there any more is zero.
//!
//! Promises: every byte string is an input, and one with more behind it begins the same way, so
//! that a fuzzer which changes one byte changes one choice.

/// The bytes that are left.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    /// All of them.
    pub fn new(bytes: &'a [u8]) -> Input<'a> {
        Input(bytes)
    }

    /// Whether none is left.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The next byte.
    pub fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    /// The next two bytes.
    pub fn word(&mut self) -> u16 {
        u16::from(self.byte()) << 8 | u16::from(self.byte())
    }

    /// The next four bytes.
    pub fn long(&mut self) -> u32 {
        u32::from(self.word()) << 16 | u32::from(self.word())
    }

    /// One of `0..end`, from one byte.
    pub fn below(&mut self, end: usize) -> usize {
        usize::from(self.byte()) % end.max(1)
    }

    /// One of these.
    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    /// The next `count` bytes, or as many as there are.
    pub fn take(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        taken
    }

    /// Everything that is left.
    pub fn rest(&mut self) -> &'a [u8] {
        self.take(usize::MAX)
    }

    /// A number of `bits` as it is dangerous: near zero, near the ends, or any.
    pub fn integer(&mut self, bits: u32) -> i64 {
        let highest = i64::MAX >> (64 - bits);
        let near = |base: i64, byte: u8| base.saturating_add(i64::from(byte % 16) - 8);
        let kind = self.byte();
        let value = match kind >> 5 {
            0..=3 => i64::from(kind & 0x7f) - 2,
            4 => near(highest, kind),
            5 => near(-highest, kind),
            6 => i64::from(self.word()),
            _ => i64::from(self.long()) << 32 | i64::from(self.long()),
        };
        value << (64 - bits) >> (64 - bits)
    }
}
