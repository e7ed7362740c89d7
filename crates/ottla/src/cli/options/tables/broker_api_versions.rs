//! The options of `broker-api-versions`, with the words in which Kafka 4.3.1 explains them.

use crate::cli::options::{Kind, Opt, flag, taking};

/// In the order in which Kafka declares them.
pub(crate) const OPTIONS: &[Opt] = &[
    flag("help", "Print usage information.").help(),
    flag("version", "Display Kafka version.").help(),
    taking(
        "command-config",
        Kind::Text,
        "command config property file",
        "A property file containing configs to be passed to Admin Client.",
    ),
    taking("bootstrap-server", Kind::Text, "server(s) to use for bootstrapping", "REQUIRED: The server to connect to."),
];
