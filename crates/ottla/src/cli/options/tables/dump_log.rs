//! The options of `dump-log`, with the words in which Kafka 4.3.1 explains them.

use crate::cli::options::{Kind, Opt, flag, taking};

/// In the order in which Kafka declares them.
pub(crate) const OPTIONS: &[Opt] = &[
    flag("help", "Print usage information.").help(),
    flag("version", "Display Kafka version.").help(),
    flag("print-data-log", "If set, printing the messages content when dumping data logs. Automatically set if any decoder option is specified."),
    flag("verify-index-only", "If set, just verify the index log without printing its content."),
    flag("index-sanity-check", "If set, just checks the index sanity without printing its content. This is the same check that is executed on broker startup to determine if an index needs rebuilding or not."),
    taking("files", Kind::Text, "file1, file2, ...", "REQUIRED: The comma separated list of data and index log files to be dumped."),
    taking("max-message-size", Kind::Int, "size", "Size of largest message.").default("5242880"),
    taking("max-bytes", Kind::Int, "size", "Limit the amount of total batches read in bytes avoiding reading the whole .log file(s).").default("2147483647"),
    flag("deep-iteration", "If set, uses deep instead of shallow iteration. Automatically set if print-data-log is enabled."),
    taking("value-decoder-class", Kind::Text, "", "If set, used to deserialize the messages. This class should implement org.apache.kafka.tools.api.Decoder trait. Custom jar should be available in kafka/libs directory.").optional_argument().default("org.apache.kafka.tools.api.StringDecoder"),
    taking("key-decoder-class", Kind::Text, "", "If set, used to deserialize the keys. This class should implement org.apache.kafka.tools.api.Decoder trait. Custom jar should be available in kafka/libs directory.").optional_argument().default("org.apache.kafka.tools.api.StringDecoder"),
    flag("offsets-decoder", "If set, log data will be parsed as offset data from the __consumer_offsets topic."),
    flag("transaction-log-decoder", "If set, log data will be parsed as transaction metadata from the __transaction_state topic."),
    flag("cluster-metadata-decoder", "If set, log data will be parsed as cluster metadata records."),
    flag("remote-log-metadata-decoder", "If set, log data will be parsed as TopicBasedRemoteLogMetadataManager (RLMM) metadata records. Instead, the value-decoder-class option can be used if a custom RLMM implementation is configured."),
    flag("share-group-state-decoder", "If set, log data will be parsed as share group state data from the __share_group_state topic."),
    flag("skip-record-metadata", "Skip metadata when printing records. This flag also skips control records."),
];
