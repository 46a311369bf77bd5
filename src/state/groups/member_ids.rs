//! Member ids: `<client id or instance id>-<UUID>`, as Kafka makes them.
//!
//! They have to be different each time, also after a restart, and need not be secret: whoever can
//! reach the broker can list the members of a group anyway.

use crate::state::group::MemberId;
use core::fmt::Write as _;

/// Makes member ids: a name, a dash, and an UUID out of a generator that only has to be different
/// each time.
#[derive(Debug, Default)]
pub(super) struct MemberIds {
    state: u128,
}

impl MemberIds {
    pub(super) fn new(seed: u128) -> MemberIds {
        MemberIds { state: seed }
    }

    pub(super) fn next(&mut self, name: &str) -> MemberId {
        let uuid = u128::from(self.next_u64()) << 64 | u128::from(self.next_u64());
        // Version 4, variant 1, as `UUID.randomUUID` writes them.
        let uuid = uuid & !(0xf << 76) & !(0x3 << 62) | 0x4 << 76 | 0x2 << 62;
        let (a, b, c) = (uuid >> 96, uuid >> 80 & 0xffff, uuid >> 64 & 0xffff);
        let (d, e) = (uuid >> 48 & 0xffff, uuid & 0xffff_ffff_ffff);
        let mut id = MemberId::new();
        let written = write!(id, "{name}-{a:08x}-{b:04x}-{c:04x}-{d:04x}-{e:012x}");
        debug_assert!(written.is_ok(), "names are bounded");
        id
    }

    /// SplitMix64 over a 128-bit counter.
    fn next_u64(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
        let mut mixed = (self.state >> 64) as u64 ^ self.state as u64;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }
}
