//! A Produce request in pieces comes to the same as one that is here as a whole.

use super::gateway::{Asking, Gateway, frame, header_bytes};
use super::input::Input;
use super::schema;

/// The pieces that are tried of one request.
const STEPS_MAX: usize = 4_000;

/// First byte: version, and whether the request is made of fields; then how it is cut, and what it
/// is made of.
pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let choice = input.byte();
    let version = 3 + i16::from(choice >> 1) % 7;
    let count = input.below(24) + 1;
    let cuts = input.take(count);
    let body = if choice & 1 == 0 {
        input.rest().to_vec()
    } else {
        let Some(mut body) = schema::request(0, version, &mut input) else { return };
        body.extend(input.take(3));
        body
    };
    let frame = frame(0, version, |w| w.raw(&body));
    let (mut whole, mut cut) = (Gateway::prepared(), Gateway::prepared());
    let expected = whole.ask(1, &frame);
    let found = in_pieces(&mut cut, &frame, cuts);
    match (&expected, &found) {
        (Ok(expected), Ok(found)) => assert_eq!(found, expected, "another answer"),
        (Err(_), Err(_)) => {}
        _ => panic!("{found:?} in pieces, and {expected:?} as a whole"),
    }
    for (topic, partition) in [("t", 0), ("t", 1), ("u", 0), ("probe", 0)] {
        let end = |gateway: &Gateway| {
            let view = gateway.broker.find_partition(topic, partition);
            view.map(|(_, view)| (view.log_start_offset, view.log_end_offset))
        };
        assert_eq!(end(&cut), end(&whole), "another end of {topic}-{partition}");
    }
    cut.still_serves();
}

fn in_pieces(
    gateway: &mut Gateway,
    frame: &[u8],
    cuts: &[u8],
) -> Result<Option<Vec<u8>>, ottla::api::Broken> {
    let header = header_bytes(frame).expect("it has a good header");
    let mut asking = Asking::new(1, frame);
    let mut here = header;
    for step in 0..STEPS_MAX {
        let piece = usize::from(cuts.get(step % cuts.len().max(1)).copied().unwrap_or(1));
        here = (here + piece.max(1)).max(asking.wants()).min(frame.len());
        if let Some(answer) = asking.step(gateway, here)? {
            return Ok(answer);
        }
        if asking.is_parked() {
            asking.wait(gateway);
        } else {
            assert!(here < frame.len(), "all of it is here, and it wants more");
        }
    }
    panic!("it does not come to an end");
}
