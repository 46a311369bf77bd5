//! Ids that are unlike all others: topic ids and the cluster id.
//!
//! The seed comes from the operating system at start; from there on it is arithmetic (splitmix64),
//! so that the simulated broker is the same from the same seed. Unique, not secret.

/// A source of ids.
#[derive(Debug)]
pub struct Ids {
    state: [u64; 2],
}

fn splitmix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

impl Ids {
    /// A source that depends on nothing but `seed`.
    pub fn new(seed: u128) -> Ids {
        Ids { state: [seed as u64, (seed >> 64) as u64] }
    }

    /// A random UUID (version 4), never zero.
    pub fn uuid(&mut self) -> [u8; 16] {
        let [low, high] = &mut self.state;
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&splitmix(low).to_be_bytes());
        bytes[8..].copy_from_slice(&splitmix(high).to_be_bytes());
        bytes[6] = (bytes[6] & 0x0f) | 0x40;
        bytes[8] = (bytes[8] & 0x3f) | 0x80;
        bytes
    }

    /// A cluster id as Kafka writes it: a UUID in 22 characters of URL-safe base64.
    pub fn cluster_id(&mut self) -> String {
        base64(&self.uuid())
    }
}

/// URL-safe base64 without padding: how Kafka prints UUIDs.
pub fn base64(bytes: &[u8; 16]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let value = u128::from_be_bytes(*bytes);
    (0..22)
        .map(|n| {
            let digit = if n < 21 { value >> (122 - 6 * n) } else { value << 4 };
            char::from(DIGITS[(digit & 63) as usize])
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_kafkas() {
        // Uuid.METADATA_TOPIC_ID and Uuid.ZERO_UUID as Kafka's toString prints them.
        assert_eq!(base64(&1u128.to_be_bytes()), "AAAAAAAAAAAAAAAAAAAAAQ");
        assert_eq!(base64(&[0; 16]), "AAAAAAAAAAAAAAAAAAAAAA");
        assert_eq!(base64(&[0xff; 16]), "_____________________w");
    }

    #[test]
    fn ids_differ() {
        let mut ids = Ids::new(7);
        let (a, b) = (ids.uuid(), ids.uuid());
        assert_ne!(a, b);
        assert_eq!(Ids::new(7).uuid(), a);
    }
}
