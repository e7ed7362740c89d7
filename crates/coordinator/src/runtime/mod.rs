//! What any coordinator needs around its state machine: timeouts, writes in flight, and loading from the log.

pub(crate) mod load;
pub(crate) mod pending;
pub(crate) mod timers;
