//! The options of `delete-records`, with the words in which Kafka 4.3.1 explains them.

use crate::cli::options::{Kind, Opt, flag, taking};

/// In the order in which Kafka declares them.
pub(crate) const OPTIONS: &[Opt] = &[
    flag("help", "Print usage information.").help(),
    flag("version", "Display Kafka version.").help(),
    taking("bootstrap-server", Kind::Text, "server(s) to use for bootstrapping", "REQUIRED: The server to connect to."),
    taking(
        "offset-json-file",
        Kind::Text,
        "Offset json file path",
        "REQUIRED: The JSON file with offset per partition. The format to use is:\n{\"partitions\":\n  [{\"topic\": \"foo\", \"partition\": 1, \"offset\": 1}],\n \"version\":1\n}",
    ),
    taking(
        "command-config",
        Kind::Text,
        "command config property file path",
        "A property file containing configs to be passed to Admin Client.",
    ),
];
