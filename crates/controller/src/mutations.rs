//! The limit on how fast a client may create and delete partitions (KIP-599). The shell keeps the count; the controller asks
//! before each topic that it changes.

use crate::ControllerError;

/// Who allows a client its changes of partitions.
pub trait MutationQuota {
    /// Takes `partitions` from what the client may change.
    /// # Errors
    /// [`ControllerError::ThrottlingQuotaExceeded`] if the client is over its limit and is to be refused.
    fn take(&mut self, partitions: usize) -> Result<(), ControllerError>;
}

/// No limit: for the node's own requests, and where no quota is set.
#[derive(Debug, Clone, Copy)]
pub struct Unlimited;

impl MutationQuota for Unlimited {
    fn take(&mut self, _: usize) -> Result<(), ControllerError> {
        Ok(())
    }
}
