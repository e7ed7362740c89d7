//! Consumer groups: members of KIP-848, and members of the classic protocol that are in such a group while it is upgraded.
//! The coordinator assigns; members learn of it by heartbeats and confirm what they have given up.

pub(crate) mod assign;
pub(crate) mod classic;
pub(crate) mod describe;
pub(crate) mod heartbeat;
pub(crate) mod leave;
pub(crate) mod lookup;
pub(crate) mod member;
pub(crate) mod migrate;
pub(crate) mod offsets;
pub(crate) mod reconcile;
pub(crate) mod records;
pub(crate) mod regex;
pub(crate) mod replay;
pub(crate) mod state;
