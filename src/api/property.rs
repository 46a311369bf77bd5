//! For all rows of the table: whatever bytes a request holds, no handler panics.
//!
//! One valid request per API and version, filled in from the schemas of kafka-clients 4.3.0, is
//! taken as it is, cut off at every byte, with bytes changed, and with noise in its place. A valid
//! one must be read; one that is cut off must be refused.
//! Absent: what the answers say; the handlers' own tests look at that.

use super::testing::{TestBroker, hex, peer, random, request};
use super::{API_VERSIONS_KEY, Broken, Buffers, Frame, Outcome, TABLE, answer};
use core::ops::RangeInclusive;

/// Randomness that is the same in every run.
struct Noise(u64);

impl Noise {
    fn below(&mut self, end: usize) -> usize {
        (random(&mut self.0) % end as u64) as usize
    }

    /// Bytes as they are dangerous: many of them zero, small, or the largest there is.
    fn byte(&mut self) -> u8 {
        match self.below(4) {
            0 => [0, 1, 2, 0x7f, 0x80, 0xff][self.below(6)],
            _ => random(&mut self.0) as u8,
        }
    }
}

/// What becomes of one request; answers nothing that is not whole.
fn send(test: &mut TestBroker, frame: &[u8]) -> Result<Outcome, Broken> {
    let (mut bytes, mut pieces) = (Vec::new(), Vec::new());
    let buffers = Buffers { bytes: &mut bytes, pieces: &mut pieces };
    let whole = Frame::whole(frame);
    let result = answer(&mut test.broker, test.now, peer(0), None, None, whole, buffers);
    match result {
        Ok(Outcome::Now | Outcome::AfterWrite(_) | Outcome::AfterSync(_) | Outcome::Partly(_)) => {
            assert!(bytes.len() >= 8, "{frame:02x?}");
        }
        _ => assert!(bytes.is_empty() && pieces.is_empty(), "{frame:02x?}"),
    }
    test.broker.connection_closed(0);
    test.now.mono = test.now.mono.saturating_add(1);
    result
}

/// A broker with the topic that the valid requests name, and records in it.
fn broker() -> TestBroker {
    let mut test = TestBroker::new();
    test.topic("t", 1);
    test.three_records("t", 0);
    test
}

#[test]
fn a_valid_request_is_read_and_a_cut_one_refused_in_every_version_of_every_api() {
    for api in TABLE {
        for version in api.versions.0..=api.versions.1 {
            let at = |row: &&Valid| row.0 == api.key && row.1.contains(&version);
            let (_, _, body) = VALID.iter().find(at).expect("every version has a valid request");
            let body = hex(body);
            let whole = request(api.key, version, |w| w.raw(&body));
            let head = whole.len() - body.len();
            let result = send(&mut broker(), &whole);
            assert!(result.is_ok(), "{} v{version}: {result:?}", api.name);
            let mut test = broker();
            for end in 0..whole.len() {
                let result = send(&mut test, &whole[..end]);
                // ApiVersions is answered whatever its body says; Fetch has no use for what stands
                // behind the topics since version 7, which sessions would need; OffsetDelete
                // refuses an unknown group before it looks at topics.
                let lenient = end >= head
                    && match api.key {
                        FETCH_KEY => version >= 7,
                        key => matches!(key, API_VERSIONS_KEY | OFFSET_DELETE_KEY),
                    };
                assert!(lenient || result.is_err(), "{} v{version} cut at {end}", api.name);
            }
        }
    }
}

#[test]
fn changed_bytes_and_noise_never_panic() {
    let mut noise = Noise(1);
    for (key, versions, body) in VALID {
        for version in versions.clone() {
            let whole = request(*key, version, |w| w.raw(&hex(body)));
            let head = whole.len() - hex(body).len();
            let mut test = broker();
            for round in 0..ROUNDS {
                let mut frame = whole.clone();
                if round % 4 == 0 {
                    frame.truncate(head);
                    frame.extend((0..noise.below(64)).map(|_| noise.byte()));
                } else if frame.len() > head {
                    for _ in 0..=noise.below(3) {
                        let at = head + noise.below(frame.len() - head);
                        frame[at] = noise.byte();
                    }
                }
                send(&mut test, &frame).ok();
                if round % 16 == 0 {
                    test.sync();
                    test.broker.checkpoint(false, false, test.now).ok();
                    test.sync();
                }
            }
        }
    }
}

const FETCH_KEY: i16 = 1;
const OFFSET_DELETE_KEY: i16 = 47;

/// Changed requests per API and version.
const ROUNDS: usize = 120;

/// API key, versions, and the body of a valid request.
type Valid = (i16, RangeInclusive<i16>, &'static str);

const VALID: &[Valid] = &[
    (
        0,
        3..=8,
        "ffffffff000027100000000100017400000001000000000000004600000000000000000000003affffff\
         ff02716a618900000000000000000000000003e800000000000003e8ffffffffffffffffffffffffffff\
         0000000110000000026b027600",
    ),
    (
        0,
        9..=9,
        "00ffff0000271002027402000000004700000000000000000000003affffffff02716a61890000000000\
         0000000000000003e800000000000003e8ffffffffffffffffffffffffffff0000000110000000026b02\
         7600000000",
    ),
    (
        1,
        3..=3,
        "000000000000000000100000001000000000000100017400000001000000000000000000000000001000\
         00",
    ),
    (
        1,
        4..=4,
        "000000000000000000100000001000000100000001000174000000010000000000000000000000000010\
         0000",
    ),
    (
        1,
        5..=6,
        "000000000000000000100000001000000100000001000174000000010000000000000000000000000000\
         00000000000000100000",
    ),
    (
        1,
        7..=8,
        "000000000000000000100000001000000100000000ffffffff0000000100017400000001000000000000\
         000000000000000000000000000000100000000000010001740000000100000000",
    ),
    (
        1,
        9..=10,
        "000000000000000000100000001000000100000000ffffffff000000010001740000000100000000ffff\
         ffff0000000000000000000000000000000000100000000000010001740000000100000000",
    ),
    (
        1,
        11..=11,
        "000000000000000000100000001000000100000000ffffffff000000010001740000000100000000ffff\
         ffff0000000000000000000000000000000000100000000000010001740000000100000000000167",
    ),
    (
        1,
        12..=12,
        "000000000000000000100000001000000100000000ffffffff0202740200000000ffffffff0000000000\
         000000ffffffff0000000000000000001000000000020274020000000000026700",
    ),
    (2, 1..=1, "00000000000000010001740000000100000000ffffffffffffffff"),
    (2, 2..=3, "0000000001000000010001740000000100000000ffffffffffffffff"),
    (2, 4..=5, "0000000001000000010001740000000100000000ffffffffffffffffffffffff"),
    (2, 6..=7, "00000000010202740200000000ffffffffffffffffffffffff000000"),
    (3, 0..=3, "00000001000174"),
    (3, 4..=7, "0000000100017401"),
    (3, 8..=8, "00000001000174010101"),
    (3, 9..=9, "0202740001010100"),
    (3, 10..=10, "0228efe333b2664103ae789e6aa1b965f402740001010100"),
    (3, 11..=12, "0228efe333b2664103ae789e6aa1b965f4027400010100"),
    (
        8,
        2..=4,
        "000167ffffffff0001670000000000000000000000010001740000000100000000000000000000000000\
         0167",
    ),
    (8, 5..=5, "000167ffffffff0001670000000100017400000001000000000000000000000000000167"),
    (8, 6..=6, "000167ffffffff0001670000000100017400000001000000000000000000000000ffffffff000167"),
    (
        8,
        7..=7,
        "000167ffffffff000167ffff0000000100017400000001000000000000000000000000ffffffff000167",
    ),
    (8, 8..=8, "0267ffffffff02670002027402000000000000000000000000ffffffff0267000000"),
    (9, 1..=5, "000167000000010001740000000100000000"),
    (9, 6..=6, "026702027402000000000000"),
    (9, 7..=7, "02670202740200000000000100"),
    (9, 8..=8, "020267020274020000000000000100"),
    (10, 0..=0, "000167"),
    (10, 1..=2, "00016701"),
    (10, 3..=3, "02670100"),
    (10, 4..=4, "0102026700"),
    (11, 0..=0, "000167000027100001670008636f6e73756d657200000001000174000000020102"),
    (11, 1..=4, "00016700002710000027100001670008636f6e73756d657200000001000174000000020102"),
    (11, 5..=5, "0001670000271000002710000167ffff0008636f6e73756d657200000001000174000000020102"),
    (11, 6..=7, "0267000027100000271002670009636f6e73756d65720202740301020000"),
    (11, 8..=9, "0267000027100000271002670009636f6e73756d657202027403010200026700"),
    (12, 0..=2, "00016700000000000167"),
    (12, 3..=3, "00016700000000000167ffff"),
    (12, 4..=4, "02670000000002670000"),
    (13, 0..=2, "000167000167"),
    (13, 3..=3, "00016700000001000167ffff"),
    (13, 4..=4, "0267020267000000"),
    (13, 5..=5, "02670202670002670000"),
    (14, 0..=2, "0001670000000000016700000001000167000000020102"),
    (14, 3..=3, "00016700000000000167ffff00000001000167000000020102"),
    (14, 4..=4, "0267000000000267000202670301020000"),
    (14, 5..=5, "02670000000002670009636f6e73756d657202670202670301020000"),
    (15, 0..=2, "00000001000167"),
    (15, 3..=4, "0000000100016701"),
    (15, 5..=5, "0202670100"),
    (16, 0..=2, ""),
    (16, 3..=3, "00"),
    (16, 4..=4, "02026700"),
    (18, 0..=2, ""),
    (18, 3..=4, "0267026700"),
    (
        19,
        2..=4,
        "00000001000174ffffffffffff0000000100000000000000010000000100000001000174000131000027\
         1001",
    ),
    (19, 5..=7, "020274ffffffffffff020000000002000000010002027402310000000027100100"),
    (20, 1..=3, "0000000100017400002710"),
    (20, 4..=5, "0202740000271000"),
    (20, 6..=6, "02027428efe333b2664103ae789e6aa1b965f4000000271000"),
    (21, 0..=1, "000000010001740000000100000000000000000000000000002710"),
    (21, 2..=2, "0202740200000000000000000000000000000000271000"),
    (22, 0..=1, "ffff00002710"),
    (22, 2..=2, "000000271000"),
    (22, 3..=4, "00000027100000000000000000000100"),
    (23, 2..=2, "000000010001740000000100000000ffffffffffffffff"),
    (23, 3..=3, "00000000000000010001740000000100000000ffffffffffffffff"),
    (23, 4..=4, "000000000202740200000000ffffffffffffffff000000"),
    (32, 1..=2, "00000001020001740000000100016701"),
    (32, 3..=3, "0000000102000174000000010001670101"),
    (32, 4..=4, "0202027402026700010100"),
    (33, 0..=1, "00000001020001740000000100017400013101"),
    (33, 2..=2, "02020274020274023100000100"),
    (37, 0..=1, "00000001000174000000020000000100000001000000010000271001"),
    (37, 2..=3, "020274000000020202000000010000000027100100"),
    (42, 0..=1, "00000001000167"),
    (42, 2..=2, "02026700"),
    (44, 0..=0, "0000000102000174000000010001740100013101"),
    (44, 1..=1, "0202027402027401023100000100"),
    (47, 0..=0, "000167000000010001740000000100000000"),
    (60, 0..=0, "0100"),
    (60, 1..=1, "010100"),
    (61, 0..=0, "02027402000000000000"),
    (75, 0..=0, "0202740000000000010274000000000000"),
];
