//! Subscriptions by regular expression: which topics each expression of a group matches, and when to look again.
//! The syntax is RE2's, of which Kafka uses the Java port and Ottla a Rust one. They differ in what nobody needs for topic
//! names, which are ASCII: `\C` and `\z` with Java's flags, and Unicode classes by other names than `\p{..}`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use protocol::ErrorCode;
use protocol::types::TimestampMs;
use regex::Regex;

use super::records;
use super::state::{ConsumerGroup, ResolvedRegex};
use crate::error::Refusal;
use crate::group::modern::topics::Topics;
use crate::record::modern::Records;
use crate::shard::GroupShard;

/// Expressions are not looked at again more often than this.
const MIN_REFRESH_INTERVAL_MS: i64 = 10_000;

/// An expression that is to match whole names.
fn compile(regex: &str) -> Result<Regex, regex::Error> {
    // Compiled alone first: an unbalanced parenthesis would be balanced by the group.
    Regex::new(regex)?;
    Regex::new(&format!("^(?:{regex})$"))
}

/// # Errors
/// `InvalidRegularExpression`, if it is none.
pub(crate) fn validate(regex: &str) -> Result<(), Refusal> {
    compile(regex).map(drop).map_err(|error| {
        let reason = describe(regex, &error);
        let message = format!("SubscribedTopicRegex `{regex}` is not a valid regular expression: {reason}.");
        Refusal::new(ErrorCode::InvalidRegularExpression, message)
    })
}

/// What is wrong with an expression, in RE2's words.
fn describe(regex: &str, error: &regex::Error) -> &'static str {
    let text = error.to_string();
    let kinds = [
        ("unclosed group", "missing closing )"),
        ("unopened group", "unexpected )"),
        ("unclosed character class", "missing closing ]"),
        ("invalid character class range", "invalid character class range"),
        ("repetition operator missing expression", "missing argument to repetition operator"),
        ("repetition quantifier expects", "missing argument to repetition operator"),
        ("look-around", "invalid or unsupported Perl syntax"),
        ("backreferences are not supported", "invalid escape sequence"),
        ("unrecognized escape sequence", "invalid escape sequence"),
        ("incomplete escape sequence", "trailing \\ at end of expression"),
        ("Unicode property not found", "invalid character class range"),
        ("duplicate capture group name", "duplicate capture group name"),
        ("exceeds size limit", "expression too large"),
    ];
    let known = kinds.iter().find(|(ours, _)| text.contains(ours)).map(|(_, theirs)| *theirs);
    known.unwrap_or(if regex.is_empty() { "empty expression" } else { "invalid regular expression" })
}

impl GroupShard {
    /// Looks again at what the expressions of a group match, if one is new, topics came, or the last look is long ago.
    /// True if what the group reads has changed by it.
    pub(crate) fn refresh_regexes(&mut self, now_ms: TimestampMs, group_id: &str, records: &mut Records) -> bool {
        let interval_ms = i64::from(self.config().regex_refresh_interval_ms);
        let Some(group) = self.consumer_group(group_id) else { return false };
        if !is_due(group, self.topics(), now_ms, interval_ms) {
            return false;
        }
        let version = self.topics().version();
        let mut changed = false;
        let mut resolved = Vec::new();
        for (regex, topics) in matches(group, self.topics()) {
            changed |= group.resolved.get(&regex).map_or(!topics.is_empty(), |before| before.topics != topics);
            resolved.push((regex, ResolvedRegex { topics, version, timestamp_ms: now_ms }));
        }
        for (regex, resolved) in resolved {
            self.record(records::regex(group_id, &regex, Some(&resolved)), records);
        }
        changed
    }
}

fn is_due(group: &ConsumerGroup, topics: &Topics, now_ms: TimestampMs, interval_ms: i64) -> bool {
    if group.regexes().any(|regex| !group.resolved.contains_key(regex)) {
        return true;
    }
    let Some(last) = group.resolved.values().next() else { return false };
    let age_ms = now_ms.saturating_sub(last.timestamp_ms);
    age_ms > interval_ms || (age_ms > MIN_REFRESH_INTERVAL_MS && topics.came_after(last.version))
}

/// The topics that each expression of the group matches. One that cannot be read matches none.
fn matches(group: &ConsumerGroup, topics: &Topics) -> BTreeMap<Arc<str>, BTreeSet<Arc<str>>> {
    let of_regex = |regex: &Arc<str>| {
        let Ok(compiled) = compile(regex) else { return BTreeSet::new() };
        let names = topics.image().topics().map(|topic| &topic.name);
        names.filter(|name| compiled.is_match(name)).cloned().collect()
    };
    group.regexes().map(|regex| (Arc::clone(regex), of_regex(regex))).collect()
}
