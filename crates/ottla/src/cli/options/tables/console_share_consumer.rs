//! The options of `console-share-consumer`, with the words in which Kafka 4.3.1 explains them.

use crate::cli::options::{Kind, Opt, flag, taking};

/// In the order in which Kafka declares them.
pub(crate) const OPTIONS: &[Opt] = &[
    flag("help", "Print usage information.").help(),
    flag("version", "Display Kafka version.").help(),
    taking("topic", Kind::Text, "topic", "The topic to consume from."),
    taking(
        "consumer-property",
        Kind::Text,
        "consumer_prop",
        "(DEPRECATED) Consumer config properties in the form key=value. This option will be removed in a future version. Use --command-property instead.",
    ),
    taking("command-property", Kind::Text, "consumer_prop", "Consumer config properties in the form key=value."),
    taking(
        "consumer-config",
        Kind::Text,
        "config file",
        "(DEPRECATED) Consumer config properties file. Note that [command-property] takes precedence over this config. This option will be removed in a future version. Use --command-config instead.",
    ),
    taking(
        "command-config",
        Kind::Text,
        "config file",
        "Consumer config properties file. Note that [command-property] takes precedence over this config.",
    ),
    taking("formatter", Kind::Text, "class", "The name of a class to use for formatting Kafka messages for display.")
        .default("org.apache.kafka.tools.consumer.DefaultMessageFormatter"),
    taking(
        "property",
        Kind::Text,
        "prop",
        "(DEPRECATED) The properties to initialize the message formatter. Default properties include: \n print.timestamp=true|false\n print.key=true|false\n print.offset=true|false\n print.delivery=true|false\n print.epoch=true|false\n print.partition=true|false\n print.headers=true|false\n print.value=true|false\n key.separator=<key.separator>\n line.separator=<line.separator>\n headers.separator=<headers.separator>\n null.literal=<null.literal>\n key.deserializer=<key.deserializer>\n value.deserializer=<value.deserializer>\n header.deserializer=<header.deserializer>\n\nUsers can also pass in customized properties for their formatter; more specifically, users can pass in properties keyed with 'key.deserializer.', 'value.deserializer.' and 'headers.deserializer.' prefixes to configure their deserializers. \nThis option will be removed in a future version. Use --formatter-property instead.",
    ),
    taking(
        "formatter-property",
        Kind::Text,
        "prop",
        "The properties to initialize the message formatter. Default properties include: \n print.timestamp=true|false\n print.key=true|false\n print.offset=true|false\n print.delivery=true|false\n print.epoch=true|false\n print.partition=true|false\n print.headers=true|false\n print.value=true|false\n key.separator=<key.separator>\n line.separator=<line.separator>\n headers.separator=<headers.separator>\n null.literal=<null.literal>\n key.deserializer=<key.deserializer>\n value.deserializer=<value.deserializer>\n header.deserializer=<header.deserializer>\n\nUsers can also pass in customized properties for their formatter; more specifically, users can pass in properties keyed with 'key.deserializer.', 'value.deserializer.' and 'headers.deserializer.' prefixes to configure their deserializers.",
    ),
    taking(
        "formatter-config",
        Kind::Text,
        "config file",
        "Config properties file to initialize the message formatter. Note that [formatter-property] takes precedence over this config.",
    ),
    taking(
        "max-messages",
        Kind::Int,
        "num_messages",
        "The maximum number of messages to consume before exiting. If not set, consumption is continual.",
    ),
    taking(
        "timeout-ms",
        Kind::Int,
        "timeout_ms",
        "If specified, exit if no message is available for consumption for the specified interval.",
    ),
    flag("reject", "If specified, messages are rejected as they are consumed."),
    flag("release", "If specified, messages are released as they are consumed."),
    flag("reject-message-on-error", "If there is an error when processing a message, reject it instead of halting."),
    taking("bootstrap-server", Kind::Text, "server to connect to", "REQUIRED: The server(s) to connect to."),
    taking(
        "key-deserializer",
        Kind::Text,
        "deserializer for keys",
        "The name of the class to use for deserializing keys.",
    ),
    taking(
        "value-deserializer",
        Kind::Text,
        "deserializer for values",
        "The name of the class to use for deserializing values.",
    ),
    taking("group", Kind::Text, "share group id", "The share group id of the consumer."),
    flag(
        "enable-systest-events",
        "Log lifecycle events of the share consumer in addition to logging consumed messages. (This is specific for system tests.)",
    ),
];
