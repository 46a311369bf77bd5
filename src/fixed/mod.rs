//! Containers that are allocated once and never grow: what every table and buffer is made of.
//!
//! Promises: `new` allocates all the memory that a container will ever have, untouched, so that the
//! kernel gives it page by page as it is used; afterwards nothing allocates and nothing frees. What
//! does not fit is handed back to the caller, who knows what a client gets then. `memory` says what
//! `new` takes, so that a ledger can be drawn up before anything is allocated.
//! Absent: which sizes (`limits::Sizes`), locks, and destructors that would be run by handles.

mod list;
mod map;
mod ring;
mod slab;
mod texts;
mod words;

pub use list::List;
pub use map::Map;
pub use ring::Ring;
pub use slab::Slab;
pub use texts::{Text, Texts};
pub use words::Words;

/// A buffer of `count` zeros, its pages untouched.
pub fn bytes(count: usize) -> Box<[u8]> {
    vec![0; count].into_boxed_slice()
}
