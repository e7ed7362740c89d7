//! The options of `share-groups`, with the words in which Kafka 4.3.1 explains them.

use crate::cli::options::{Kind, Opt, flag, taking};

/// In the order in which Kafka declares them.
pub(crate) const OPTIONS: &[Opt] = &[
    flag("help", "Print usage information.").help(),
    flag("version", "Display Kafka version.").help(),
    taking("bootstrap-server", Kind::Text, "server to connect to", "REQUIRED: The server(s) to connect to."),
    taking("group", Kind::Text, "share group", "The share group we wish to act on."),
    taking("topic", Kind::Text, "topic", "The topic whose offset information should be deleted or included in the reset offset process. When resetting offsets, partitions can be specified using this format: 'topic1:0,1,2', where 0,1,2 are the partitions to be included."),
    flag("all-topics", "Consider all topics assigned to a share group in the 'reset-offsets' process."),
    flag("list", "List all share groups."),
    flag("describe", "Describe share group, members and offset information."),
    flag("all-groups", "Apply to all share groups."),
    flag("delete", "Delete share group."),
    taking("timeout", Kind::Long, "timeout (ms)", "The timeout that can be set for some use cases. For example, it can be used when describing the group to specify the maximum amount of time in milliseconds to wait before the group stabilizes.").default("30000"),
    taking("command-config", Kind::Text, "command config property file", "Property file containing configs to be passed to Admin Client."),
    flag("reset-offsets", "Reset offsets of share group. Supports one share group at the time, and instances must be inactive.\nHas 2 execution options: --dry-run to plan which offsets to reset, and --execute to reset the offsets. \nYou must choose one of the following reset specifications: --to-datetime, --to-earliest, --to-latest.\nTo define the scope use --all-topics or --topic.\nFails if neither '--dry-run' nor '--execute' is specified."),
    flag("delete-offsets", "Delete offsets of share group. Supports one share group at the time, and multiple topics."),
    flag("dry-run", "Only show results without executing changes on share groups. Supported operations: reset-offsets."),
    flag("execute", "Execute operation. Supported operations: reset-offsets."),
    taking("to-datetime", Kind::Text, "datetime", "Reset offsets to offset from datetime. Format: 'YYYY-MM-DDThh:mm:ss.sss'"),
    flag("to-earliest", "Reset offsets to earliest offset."),
    flag("to-latest", "Reset offsets to latest offset."),
    flag("members", "Describe members of the group. This option may be used with the '--describe' option only."),
    flag("offsets", "Describe the group and list all topic partitions in the group along with their offset information. This is the default sub-action and may be used with the '--describe' option only."),
    taking("state", Kind::Text, "", "When specified with '--describe', includes the state of the group.\nWhen specified with '--list', it displays the state of all groups. It can also be used to list groups with specific states. Valid values are Empty, Stable and Dead.").optional_argument(),
    flag("verbose", "Provide additional information, if any, when describing the group. This option may be used with the '--describe' option only."),
];
