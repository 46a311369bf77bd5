//! What a member is called, packed into one string: its id, its instance id, and who its client is.

/// Member id, instance id, client id and client host, in this order.
pub(super) type Parts<'a> = [&'a str; 4];

/// Bytes of the parts, but for the last one, which ends with the string.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lengths {
    pub(super) member_id: u16,
    instance_id: u16,
    client_id: u16,
}

impl Lengths {
    pub(super) fn of(parts: &Parts<'_>) -> Lengths {
        // All parts are far shorter (`limits`).
        let length = |part: &str| u16::try_from(part.len()).unwrap_or(u16::MAX);
        let [member_id, instance_id, client_id, _] = parts.map(length);
        Lengths { member_id, instance_id, client_id }
    }
}

/// Bytes of all parts.
pub(super) fn bytes(parts: &Parts<'_>) -> usize {
    parts.iter().map(|part| part.len()).sum()
}

/// Writes the parts one behind the other.
pub(super) fn pack(parts: &Parts<'_>, mut room: &mut [u8]) {
    for part in parts {
        let (place, rest) = room.split_at_mut(part.len());
        place.copy_from_slice(part.as_bytes());
        room = rest;
    }
}

/// The parts of a string.
#[derive(Clone, Copy)]
pub(super) struct Names<'a> {
    packed: &'a [u8],
    lengths: Lengths,
}

impl<'a> Names<'a> {
    pub(super) fn new(packed: &'a [u8], lengths: Lengths) -> Names<'a> {
        Names { packed, lengths }
    }

    fn part(self, start: usize, end: usize) -> &'a str {
        let part = self.packed.get(start..end).unwrap_or_default();
        core::str::from_utf8(part).unwrap_or_default()
    }

    /// Whether that is its id; cheaper than reading it.
    pub(super) fn has_member_id(self, member_id: &str) -> bool {
        self.packed.get(..usize::from(self.lengths.member_id)) == Some(member_id.as_bytes())
    }

    pub(super) fn member_id(self) -> &'a str {
        self.part(0, self.lengths.member_id.into())
    }

    pub(super) fn instance_id(self) -> &'a str {
        let start = usize::from(self.lengths.member_id);
        self.part(start, start + usize::from(self.lengths.instance_id))
    }

    pub(super) fn client_id(self) -> &'a str {
        let start = usize::from(self.lengths.member_id) + usize::from(self.lengths.instance_id);
        self.part(start, start + usize::from(self.lengths.client_id))
    }

    pub(super) fn client_host(self) -> &'a str {
        let before = usize::from(self.lengths.member_id) + usize::from(self.lengths.instance_id);
        self.part(before + usize::from(self.lengths.client_id), self.packed.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_part_comes_back() {
        for parts in [["m-1", "i", "client", "/host"], ["m", "", "", ""], ["", "i", "", "/h"]] {
            let mut packed = vec![0; bytes(&parts)];
            pack(&parts, &mut packed);
            let names = Names::new(&packed, Lengths::of(&parts));
            let read =
                [names.member_id(), names.instance_id(), names.client_id(), names.client_host()];
            assert_eq!(read, parts);
            assert!(names.has_member_id(parts[0]) && !names.has_member_id("m-2"));
        }
    }
}
