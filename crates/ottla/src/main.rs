//! The single binary: a subcommand, or the name it was called by, chooses the tool.

fn main() {}
