//! The options of `e2e-latency`, with the words in which Kafka 4.3.1 explains them.

use crate::cli::options::{Kind, Opt, flag, taking};

/// In the order in which Kafka declares them.
pub(crate) const OPTIONS: &[Opt] = &[
    flag("help", "Print usage information.").help(),
    flag("version", "Display Kafka version.").help(),
    taking(
        "bootstrap-server",
        Kind::Text,
        "bootstrap-server",
        "REQUIRED: The Kafka broker list string in the form HOST1:PORT1,HOST2:PORT2.",
    ),
    taking("topic", Kind::Text, "topic-name", "REQUIRED: The topic to use for the test."),
    taking("num-records", Kind::Int, "count", "REQUIRED: The number of messages to send."),
    taking("producer-acks", Kind::Text, "producer-acks", "REQUIRED: Producer acknowledgements. Must be '1' or 'all'."),
    taking("record-size", Kind::Int, "bytes", "REQUIRED: The size of each message payload in bytes."),
    taking(
        "record-key-size",
        Kind::Int,
        "bytes",
        "Optional: The size of the message key in bytes. If not set, messages are sent without a key.",
    )
    .optional_argument()
    .default("0"),
    taking(
        "record-header-key-size",
        Kind::Int,
        "bytes",
        "Optional: The size of the message header key in bytes. Used together with record-header-size.",
    )
    .optional_argument()
    .default("0"),
    taking(
        "record-header-size",
        Kind::Int,
        "bytes",
        "Optional: The size of message header value in bytes. Use -1 for null header value.",
    )
    .optional_argument()
    .default("0"),
    taking("num-headers", Kind::Int, "count", "Optional: The number of headers to include in each message.")
        .optional_argument()
        .default("0"),
    taking(
        "command-config",
        Kind::Text,
        "config-file",
        "Optional: A property file for Kafka producer/consumer/admin client configuration.",
    )
    .optional_argument(),
];
