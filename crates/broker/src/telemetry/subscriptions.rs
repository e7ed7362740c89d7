//! Which metrics a client is to push, and how often: the union of all subscriptions that match it (KIP-714).

use std::collections::BTreeSet;

use metadata::config::{ConfigMap, describe_client_metrics};
use metadata::{ClusterImage, ResourceType};
use regex::Regex;

/// What a client is asked for if nothing says otherwise.
const DEFAULT_INTERVAL_MS: i32 = 300_000;

/// All metrics.
const ALL: &str = "*";

/// What subscriptions look at: names such as `client_id`, with values where they are known.
pub(crate) type Attributes = Vec<(&'static str, Option<String>)>;

#[derive(Debug)]
struct Subscription {
    metrics: Vec<String>,
    interval_ms: i32,
    patterns: Vec<(String, Regex)>,
}

/// All subscriptions of the cluster.
#[derive(Debug, Default)]
pub(crate) struct Subscriptions(Vec<Subscription>);

/// What one client is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) metrics: BTreeSet<String>,
    pub(crate) interval_ms: i32,
}

impl Subscriptions {
    pub(crate) fn new(image: &ClusterImage) -> Self {
        let all = image.configs().filter(|(resource, _)| resource.resource_type == ResourceType::ClientMetrics);
        Self(all.map(|(_, configs)| Subscription::new(configs)).collect())
    }

    pub(crate) fn wanted_of(&self, client: &Attributes) -> Wanted {
        let mut wanted = Wanted { metrics: BTreeSet::new(), interval_ms: DEFAULT_INTERVAL_MS };
        for subscription in self.0.iter().filter(|subscription| subscription.matches(client)) {
            wanted.metrics.extend(subscription.metrics.iter().cloned());
            wanted.interval_ms = wanted.interval_ms.min(subscription.interval_ms);
        }
        if wanted.metrics.contains(ALL) {
            wanted.metrics.retain(|metric| metric == ALL);
        }
        wanted
    }
}

impl Subscription {
    fn new(configs: &ConfigMap) -> Self {
        let entries = describe_client_metrics(configs);
        let value = |name: &str| {
            entries.iter().find(|entry| entry.name == name).and_then(|entry| entry.value.clone()).unwrap_or_default()
        };
        let list = |text: String| -> Vec<String> {
            text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(str::to_owned).collect()
        };
        let patterns = list(value("match")).into_iter().filter_map(|pattern| {
            let (name, value) = pattern.split_once('=')?;
            // Patterns match whole values. They were checked when they were set.
            Some((name.trim().to_owned(), Regex::new(&format!("^(?:{})$", value.trim())).ok()?))
        });
        Self {
            metrics: list(value("metrics")),
            interval_ms: value("interval.ms").parse().unwrap_or(DEFAULT_INTERVAL_MS),
            patterns: patterns.collect(),
        }
    }

    fn matches(&self, client: &Attributes) -> bool {
        self.patterns.iter().all(|(name, pattern)| {
            let attribute = client.iter().find(|(other, _)| other == name);
            attribute.and_then(|(_, value)| value.as_ref()).is_some_and(|value| pattern.is_match(value))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subscription(configs: &[(&str, &str)]) -> Subscription {
        Subscription::new(&configs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
    }

    #[test]
    fn a_client_is_asked_for_what_all_matching_subscriptions_want() {
        let subscriptions = Subscriptions(vec![
            subscription(&[("metrics", "a.,b."), ("interval.ms", "5000"), ("match", "client_id=app-.*")]),
            subscription(&[("metrics", "b.,c.")]),
            subscription(&[("metrics", "*"), ("match", "client_software_name=apache-kafka-java")]),
        ]);
        let client = |id: &str, software: Option<&str>| {
            vec![("client_id", Some(id.to_owned())), ("client_software_name", software.map(str::to_owned))]
        };
        let wanted = subscriptions.wanted_of(&client("app-1", None));
        assert_eq!((wanted.metrics.len(), wanted.interval_ms), (3, 5000));
        let wanted = subscriptions.wanted_of(&client("my-app-1", Some("apache-kafka-java")));
        assert_eq!(
            (wanted.metrics.into_iter().collect::<Vec<_>>(), wanted.interval_ms),
            (vec!["*".to_owned()], 300_000)
        );
    }
}
