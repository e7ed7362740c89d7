//! The options of `client-metrics`, with the words in which Kafka 4.3.1 explains them.

use crate::cli::options::{Kind, Opt, flag, taking};

/// In the order in which Kafka declares them.
pub(crate) const OPTIONS: &[Opt] = &[
    flag("help", "Print usage information.").help(),
    flag("version", "Display Kafka version.").help(),
    taking("bootstrap-server", Kind::Text, "server to connect to", "REQUIRED: The Kafka server to connect to."),
    taking("command-config", Kind::Text, "command config property file", "Property file containing configs to be passed to Admin Client."),
    flag("alter", "Alter the configuration for the client metrics resource."),
    flag("delete", "Delete the configuration for the client metrics resource."),
    flag("describe", "List configurations for the client metrics resource."),
    flag("list", "List the client metrics resources."),
    taking("name", Kind::Text, "name", "Name of client metrics configuration resource."),
    flag("generate-name", "Generate a UUID to use as the name."),
    taking("interval", Kind::Text, "push interval", "The metrics push interval in milliseconds.\nLeave empty to reset the interval."),
    taking("match", Kind::Text, "k1=v1,k2=v2", "Matching selector 'k1=v1,k2=v2'. The following is a list of valid selector names: \n\tclient_id\n\tclient_instance_id\n\tclient_software_name\n\tclient_software_version\n\tclient_source_address\n\tclient_source_port").separated_by(','),
    taking("metrics", Kind::Text, "m1,m2", "Telemetry metric name prefixes 'm1,m2'.").separated_by(','),
];
