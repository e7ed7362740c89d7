//! `kafka-configs --describe --all` against Apache Kafka 4.3.1 with this file and these dynamic changes, captured: every
//! name, value, sensitivity and synonym is the same here.

use metadata::config::{
    BrokerConfig, ConfigEntry, ConfigMap, ConfigSource, DynamicBrokerConfig, describe_broker, describe_broker_defaults,
    describe_group, describe_topic,
};

const FILE: &str = "\
process.roles=broker,controller
node.id=1
controller.quorum.bootstrap.servers=localhost:19093
listeners=PLAINTEXT://localhost:19092,CONTROLLER://localhost:19093
controller.listener.names=CONTROLLER
log.dirs=/data
log.retention.hours=5
log.segment.bytes=2000000
ssl.key.password=secret
offsets.topic.replication.factor=1
my.plugin.setting=7
";

fn map(pairs: &[(&str, &str)]) -> ConfigMap {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn broker() -> DynamicBrokerConfig {
    let (file, _) = BrokerConfig::from_properties(FILE.as_bytes(), &[]).expect("valid");
    let mut config = DynamicBrokerConfig::new(file);
    let defaults = map(&[("log.segment.bytes", "3000000"), ("min.insync.replicas", "1")]);
    config.update(&map(&[("log.cleaner.threads", "2")]), &defaults).expect("valid");
    config
}

fn source_name(source: ConfigSource) -> &'static str {
    match source {
        ConfigSource::Topic => "DYNAMIC_TOPIC_CONFIG",
        ConfigSource::DynamicBroker => "DYNAMIC_BROKER_CONFIG",
        ConfigSource::DynamicDefaultBroker => "DYNAMIC_DEFAULT_BROKER_CONFIG",
        ConfigSource::StaticBroker => "STATIC_BROKER_CONFIG",
        ConfigSource::Default => "DEFAULT_CONFIG",
        ConfigSource::ClientMetrics => "CLIENT_METRICS_CONFIG",
        ConfigSource::Group => "DYNAMIC_GROUP_CONFIG",
    }
}

fn text(mut entries: Vec<ConfigEntry>) -> Vec<String> {
    entries.sort_by(|one, other| one.name.cmp(&other.name));
    let null = || "null".to_owned();
    let lines = entries.into_iter().map(|entry| {
        let synonyms = entry.synonyms.iter().map(|synonym| {
            let value = synonym.value.clone().unwrap_or_else(null);
            format!("{}:{}={value}", source_name(synonym.source), synonym.name)
        });
        let synonyms = synonyms.collect::<Vec<_>>().join(", ");
        let value = entry.value.unwrap_or_else(null);
        format!("  {}={value} sensitive={} synonyms={{{synonyms}}}", entry.name, entry.sensitive)
    });
    lines.collect()
}

fn check(golden: &str, entries: Vec<ConfigEntry>) {
    let expected: Vec<&str> = golden.lines().skip(1).collect();
    let actual = text(entries);
    for line in &expected {
        assert!(actual.iter().any(|other| other == line), "missing: {line}\nhave: {:?}", near(&actual, line));
    }
    for line in &actual {
        assert!(expected.contains(&line.as_str()), "not in Kafka: {line}");
    }
}

fn near<'a>(lines: &'a [String], wanted: &str) -> Option<&'a String> {
    let name = wanted.split('=').next().unwrap_or_default();
    lines.iter().find(|line| line.split('=').next() == Some(name))
}

#[test]
fn topics_are_described_as_kafka_describes_them() {
    check(include_str!("golden/describe_topic.txt"), describe_topic(&broker(), &map(&[("max.message.bytes", "1000")])));
}

#[test]
fn brokers_are_described_as_kafka_describes_them() {
    check(include_str!("golden/describe_broker.txt"), describe_broker(&broker()));
    check(include_str!("golden/describe_broker_defaults.txt"), describe_broker_defaults(&broker()));
}

#[test]
fn groups_are_described_as_kafka_describes_them() {
    check(include_str!("golden/describe_group.txt"), describe_group(&broker(), &ConfigMap::new()));
}
