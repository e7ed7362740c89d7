//! Groups: their members, generations and committed offsets.

pub(crate) mod classic;
pub(crate) mod commit;
pub(crate) mod completion;
pub(crate) mod delete;
pub(crate) mod describe;
pub(crate) mod expire;
pub(crate) mod fetch;
mod load;
pub(crate) mod offsets;
mod state_machine;
pub(crate) mod timer;
