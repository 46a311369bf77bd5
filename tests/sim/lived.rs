//! What came of lives, in numbers: what never happens in any of them is not tested.

/// What came of lives.
#[derive(Clone, Copy, Debug, Default)]
pub struct Lived {
    pub virtual_ms: u64,
    pub records: u64,
    pub commits: u64,
    pub cuts: u64,
    pub kills: u64,
    pub failures: u64,
    pub full: u64,
    pub rotten: u64,
    pub aged_out: u64,
    pub dropped: u64,
    pub read_only: u64,
    pub without_room: u64,
}

impl Lived {
    /// Takes another's sums in.
    pub fn add(&mut self, other: &Lived) {
        self.virtual_ms += other.virtual_ms;
        self.records += other.records;
        self.commits += other.commits;
        self.cuts += other.cuts;
        self.kills += other.kills;
        self.failures += other.failures;
        self.full += other.full;
        self.rotten += other.rotten;
        self.aged_out += other.aged_out;
        self.dropped += other.dropped;
        self.read_only += other.read_only;
        self.without_room += other.without_room;
    }

    /// What never happened.
    pub fn rare(&self) -> Vec<&'static str> {
        let counts = [
            ("a record", self.records),
            ("a commit", self.commits),
            ("a power cut", self.cuts),
            ("a kill", self.kills),
            ("a failure of the disk", self.failures),
            ("a full disk", self.full),
            ("rot", self.rotten),
            ("records that had their time", self.aged_out),
            ("records that went for room", self.dropped),
            ("a broker that writes nothing more", self.read_only),
            ("a start without room", self.without_room),
        ];
        counts.into_iter().filter(|(_, count)| *count == 0).map(|(what, _)| what).collect()
    }
}
