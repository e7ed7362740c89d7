//! Which topics the members of a group subscribe to, and how many members each: by name, or by a regular expression that
//! matches the topic.

use std::collections::BTreeMap;
use std::sync::Arc;

/// How often a topic is subscribed to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct SubscriptionCount {
    /// By members that name it.
    pub(crate) by_name: usize,
    /// By regular expressions that match it.
    pub(crate) by_regex: usize,
}

impl SubscriptionCount {
    fn is_zero(self) -> bool {
        self == Self::default()
    }
}

/// All topics of a group. A topic that nobody subscribes to is not there.
#[derive(Debug, Default)]
pub(crate) struct Subscriptions {
    topics: BTreeMap<Arc<str>, SubscriptionCount>,
}

impl Subscriptions {
    /// A member names these topics.
    pub(crate) fn add_names<'a>(&mut self, names: impl IntoIterator<Item = &'a Arc<str>>) {
        names.into_iter().for_each(|name| self.change(name, |count| count.by_name += 1));
    }

    /// A member names these topics no more.
    pub(crate) fn remove_names<'a>(&mut self, names: impl IntoIterator<Item = &'a Arc<str>>) {
        names.into_iter().for_each(|name| self.change(name, |count| count.by_name = count.by_name.saturating_sub(1)));
    }

    /// A regular expression matches these topics.
    pub(crate) fn add_matches<'a>(&mut self, names: impl IntoIterator<Item = &'a Arc<str>>) {
        names.into_iter().for_each(|name| self.change(name, |count| count.by_regex += 1));
    }

    /// A regular expression matches these topics no more.
    pub(crate) fn remove_matches<'a>(&mut self, names: impl IntoIterator<Item = &'a Arc<str>>) {
        names.into_iter().for_each(|name| self.change(name, |count| count.by_regex = count.by_regex.saturating_sub(1)));
    }

    /// Whether anyone subscribes to the topic.
    pub(crate) fn contains(&self, topic: &str) -> bool {
        self.topics.contains_key(topic)
    }

    /// All topics, in the order of their names.
    pub(crate) fn names(&self) -> impl Iterator<Item = &Arc<str>> {
        self.topics.keys()
    }

    /// How often each topic is subscribed to.
    pub(crate) fn counts(&self) -> impl Iterator<Item = SubscriptionCount> {
        self.topics.values().copied()
    }

    fn change(&mut self, name: &Arc<str>, change: impl FnOnce(&mut SubscriptionCount)) {
        let count = match self.topics.get_mut(name) {
            Some(count) => count,
            None => self.topics.entry(Arc::clone(name)).or_default(),
        };
        change(count);
        if count.is_zero() {
            self.topics.remove(name);
        }
    }
}
