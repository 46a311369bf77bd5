//! IncrementalAlterConfigs (44): some of a topic's settings (KIP-339).
//!
//! Versions 0–1. v1 flexible. The work is done in [`alter_configs`].
//!
//! [`alter_configs`]: super::alter_configs

use super::alter_configs::{Way, alter};
use super::{Api, Context, Outcome, Reply};
use crate::wire::{ReadError, Reader};

/// The row.
pub const API: Api = Api {
    key: 44,
    name: "IncrementalAlterConfigs",
    versions: (0, 1),
    advertised_min: 0,
    flexible: 1,
    handle,
};

fn handle(
    context: &mut Context<'_>,
    r: Reader<'_>,
    reply: &mut Reply<'_>,
) -> Result<Outcome, ReadError> {
    alter(context, r, reply, Way::Incremental)
}
