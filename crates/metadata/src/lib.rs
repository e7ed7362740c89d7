//! What every node knows of the cluster: configuration, the image of the metadata log, features. Pure: no I/O, no clock.

pub mod config;
