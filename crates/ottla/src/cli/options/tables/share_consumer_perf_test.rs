//! The options of `share-consumer-perf-test`, with the words in which Kafka 4.3.1 explains them.

use crate::cli::options::{Kind, Opt, flag, taking};

/// In the order in which Kafka declares them.
pub(crate) const OPTIONS: &[Opt] = &[
    flag("help", "Print usage information.").help(),
    flag("version", "Display Kafka version.").help(),
    taking("bootstrap-server", Kind::Text, "server to connect to", "REQUIRED. The server(s) to connect to."),
    taking("topic", Kind::Text, "topic", "REQUIRED: The topic to consume from."),
    taking("group", Kind::Text, "gid", "The group id to consume on.").default("perf-share-consumer"),
    taking("fetch-size", Kind::Int, "size", "The amount of data to fetch in a single request.").default("1048576"),
    taking(
        "command-property",
        Kind::Text,
        "prop1=val1",
        "Kafka share consumer related configuration properties like client.id. These configs take precedence over those passed via --command-config or --consumer.config.",
    ),
    taking("socket-buffer-size", Kind::Int, "size", "The size of the tcp RECV size.").default("2097152"),
    taking(
        "consumer.config",
        Kind::Text,
        "config file",
        "(DEPRECATED) Share consumer config properties file. This option will be removed in a future version. Use --command-config instead.",
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
    taking("threads", Kind::Int, "count", "The number of share consumers to use for sharing the load.").default("1"),
    flag("show-consumer-stats", "If set, stats are reported for each share consumer depending on the no. of threads."),
];
