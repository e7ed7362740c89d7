//! What time does: transactions that are open for too long are aborted, transactional ids that are out of use forgotten.

use std::sync::Arc;

use protocol::types::TimestampMs;
use tracing::info;

use super::shard::TransactionShard;
use super::state::TransactionState;
use super::{TransactionAction, TransactionEffects};

/// Transactional ids that one write forgets.
const MAX_TOMBSTONES_PER_WRITE: usize = 1_000;

impl TransactionShard {
    /// Aborts the transactions that are open for longer than their producers wanted, and fences these.
    pub(super) fn abort_timed_out(&mut self, now_ms: TimestampMs, out: &mut TransactionEffects) {
        for id in self.ids(|entry| {
            let current = &entry.current;
            let deadline_ms = current.start_ms.saturating_add(i64::from(current.timeout_ms));
            current.state == TransactionState::Ongoing && !current.is_two_phase() && deadline_ms < now_ms
        }) {
            let Some(next_producer_id) = self.successor(&id, self.spare_producer_id) else {
                out.actions.push(TransactionAction::AllocateProducerId { transactional_id: id.to_string() });
                return;
            };
            if next_producer_id >= 0 {
                self.spare_producer_id = None;
            }
            let Some(entry) = self.entries.get(&id) else { continue };
            info!(transactional_id = %id, producer_id = entry.current.producer_id, "aborting a transaction that timed out");
            let next = entry.current.fence(self.version, next_producer_id, now_ms);
            self.write(&id, next, None, out);
        }
    }

    /// Forgets the transactional ids that nobody has used for `transactional.id.expiration.ms`.
    pub(super) fn expire(&mut self, now_ms: TimestampMs, out: &mut TransactionEffects) {
        let before_ms = now_ms - self.config.id_expiration_ms;
        let expired = self.ids(|entry| entry.current.state.is_idle() && entry.current.last_update_ms <= before_ms);
        for chunk in expired.chunks(MAX_TOMBSTONES_PER_WRITE) {
            self.write_expiry(chunk.to_vec(), out);
        }
    }

    /// The transactional ids that nothing is being done with, sorted.
    fn ids(&self, wanted: impl Fn(&super::shard::Entry) -> bool) -> Vec<Arc<str>> {
        let found = self.entries.iter().filter(|(_, entry)| !entry.is_changing && wanted(entry));
        let mut ids: Vec<Arc<str>> = found.map(|(id, _)| Arc::clone(id)).collect();
        ids.sort_unstable();
        ids
    }
}
