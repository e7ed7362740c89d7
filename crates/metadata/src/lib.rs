//! The `metadata` room.
