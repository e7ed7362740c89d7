//! The options of `log-dirs`, with the words in which Kafka 4.3.1 explains them.

use crate::cli::options::{Kind, Opt, flag, taking};

/// In the order in which Kafka declares them.
pub(crate) const OPTIONS: &[Opt] = &[
    flag("help", "Print usage information.").help(),
    flag("version", "Display Kafka version.").help(),
    taking("bootstrap-server", Kind::Text, "The server(s) to use for bootstrapping", "REQUIRED: the server(s) to use for bootstrapping"),
    taking("command-config", Kind::Text, "Admin client property file", "Property file containing configs to be passed to Admin Client."),
    flag("describe", "Describe the specified log directories on the specified brokers."),
    taking("topic-list", Kind::Text, "Topic list", "The list of topics to be queried in the form \"topic1,topic2,topic3\". All topics will be queried if no topic list is specified").default(""),
    taking("broker-list", Kind::Text, "Broker list", "The list of brokers to be queried in the form \"0,1,2\". All brokers in the cluster will be queried if no broker list is specified").default(""),
];
