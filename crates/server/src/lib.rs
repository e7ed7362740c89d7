//! The shell around the broker: sockets, threads, signals. tokio lives here.

mod connection;
mod listener;
mod response_writer;
mod start;
mod timer_driver;

pub use start::{Server, ServerOptions, StartError};
