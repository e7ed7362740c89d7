//! The options of `groups`, with the words in which Kafka 4.3.1 explains them.

use crate::cli::options::{Kind, Opt, flag, taking};

/// In the order in which Kafka declares them.
pub(crate) const OPTIONS: &[Opt] = &[
    flag("help", "Print usage information.").help(),
    flag("version", "Display Kafka version.").help(),
    taking("bootstrap-server", Kind::Text, "server to connect to", "REQUIRED: The Kafka server to connect to.")
        .required(),
    taking(
        "command-config",
        Kind::Text,
        "command config property file",
        "Property file containing configs to be passed to Admin Client.",
    ),
    flag("list", "List the groups."),
    taking(
        "group-type",
        Kind::Text,
        "type",
        "Filter the groups based on group type. Valid types are: 'classic', 'consumer', 'share' and 'streams'.",
    ),
    taking("protocol", Kind::Text, "protocol", "Filter the groups based on protocol type."),
    flag(
        "consumer",
        "Filter the groups to show all kinds of consumer groups, including classic and simple consumer groups. This matches group type 'consumer', and group type 'classic' where the protocol type is 'consumer' or empty.",
    ),
    flag("share", "Filter the groups to show share groups."),
    flag("streams", "Filter the groups to show streams groups."),
];
