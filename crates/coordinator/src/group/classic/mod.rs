//! The classic group protocol: members join, a leader among them assigns, everyone syncs, heartbeats keep a member in.

mod heartbeat;
mod join;
mod join_static;
pub(crate) mod leave;
pub(crate) mod member;
pub(crate) mod rebalance;
pub(crate) mod state;
pub(crate) mod sync;
