//! The project's own tasks: `cargo xtask ci`, `fix`, `tidy`, `test`, `interop`, `bench`, `apache-kafka`.

fn main() {}
