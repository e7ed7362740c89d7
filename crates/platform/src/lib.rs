//! The `platform` room.
