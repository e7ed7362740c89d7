//! The options of the tools that jopt-simple reads in Apache Kafka, one module a tool.

pub(crate) mod broker_api_versions;
pub(crate) mod client_metrics;
pub(crate) mod configs;
pub(crate) mod console_consumer;
pub(crate) mod console_producer;
pub(crate) mod console_share_consumer;
pub(crate) mod consumer_groups;
pub(crate) mod consumer_perf_test;
pub(crate) mod delete_records;
pub(crate) mod dump_log;
pub(crate) mod e2e_latency;
pub(crate) mod get_offsets;
pub(crate) mod groups;
pub(crate) mod leader_election;
pub(crate) mod log_dirs;
pub(crate) mod share_consumer_perf_test;
pub(crate) mod share_groups;
pub(crate) mod topics;
