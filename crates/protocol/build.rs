//! Generates the message codecs from `schema/*.schema`.
fn main() {}
