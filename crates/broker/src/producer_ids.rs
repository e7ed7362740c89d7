//! The block of producer ids that the controller gave this broker (`ProducerIdManager`).

use parking_lot::Mutex;
use protocol::types::ProducerId;

/// The ids that are left of the current block.
#[derive(Debug, Default)]
pub(crate) struct ProducerIds(Mutex<std::ops::Range<ProducerId>>);

impl ProducerIds {
    /// The next id, if the block has one.
    pub(crate) fn next_in_block(&self) -> Option<ProducerId> {
        self.0.lock().next()
    }

    /// Takes over a new block.
    pub(crate) fn refill(&self, block: std::ops::Range<ProducerId>) {
        let mut left = self.0.lock();
        if left.is_empty() {
            *left = block;
        }
    }
}
