//! The options of `consumer-perf-test`, with the words in which Kafka 4.3.1 explains them.

use crate::cli::options::{Kind, Opt, flag, taking};

/// In the order in which Kafka declares them.
pub(crate) const OPTIONS: &[Opt] = &[
    flag("help", "Print usage information.").help(),
    flag("version", "Display Kafka version.").help(),
    taking("bootstrap-server", Kind::Text, "server to connect to", "REQUIRED: The server(s) to connect to."),
    taking("topic", Kind::Text, "topic", "The topic to consume from."),
    taking(
        "include",
        Kind::Text,
        "Java regex (String)",
        "Regular expression specifying list of topics to include for consumption.",
    ),
    taking("group", Kind::Text, "gid", "The group id to consume on.").default("perf-consumer"),
    taking("fetch-size", Kind::Int, "size", "The maximum amount of data to fetch from a single partition per request.")
        .default("1048576"),
    taking(
        "command-property",
        Kind::Text,
        "prop1=val1",
        "Kafka consumer related configuration properties like client.id. These configs take precedence over those passed via --command-config or --consumer.config.",
    ),
    flag(
        "from-latest",
        "If the consumer does not already have an established offset to consume from, start with the latest record present in the log rather than the earliest record.",
    ),
    taking("socket-buffer-size", Kind::Int, "size", "The size of the tcp RECV size.").default("2097152"),
    taking(
        "consumer.config",
        Kind::Text,
        "config file",
        "(DEPRECATED) Consumer config properties file. This option will be removed in a future version. Use --command-config instead.",
    ),
    taking("command-config", Kind::Text, "config file", "Config properties file."),
    flag("print-metrics", "Print out the metrics."),
    flag(
        "show-detailed-stats",
        "If set, stats are reported for each reporting interval as configured by reporting-interval.",
    ),
    taking("timeout", Kind::Long, "milliseconds", "The maximum allowed time in milliseconds between returned records.")
        .optional_argument()
        .default("10000"),
    taking(
        "messages",
        Kind::Long,
        "count",
        "(DEPRECATED) The number of records to consume. This option will be removed in a future version. Use --num-records instead.",
    ),
    taking("num-records", Kind::Long, "count", "REQUIRED: The number of records to consume."),
    taking(
        "reporting-interval",
        Kind::Long,
        "interval_ms",
        "Interval in milliseconds at which to print progress info.",
    )
    .default("5000"),
    taking(
        "date-format",
        Kind::Text,
        "date format",
        "The date format to use for formatting the time field. See java.text.SimpleDateFormat for options.",
    )
    .default("yyyy-MM-dd HH:mm:ss:SSS"),
    flag("hide-header", "If set, skips printing the header for the stats."),
];
