//! Which topics a tool means: Kafka's include lists, and the topics that are Kafka's own.

use regex::Regex;

use super::java::Exception;

const INTERNAL_TOPICS: [&str; 3] = ["__consumer_offsets", "__transaction_state", "__share_group_state"];

/// Whether the topic is one of Kafka's own.
pub(crate) fn is_internal(topic: &str) -> bool {
    INTERNAL_TOPICS.contains(&topic)
}

/// A regular expression for whole names; a comma means "or".
#[derive(Debug, Clone)]
pub(crate) struct IncludeList {
    regex: Regex,
}

impl IncludeList {
    /// Reads the expression.
    /// # Errors
    /// If it is none.
    pub(crate) fn new(raw: &str) -> Result<Self, Exception> {
        let quotes = ['"', '\''];
        let text = raw.trim().replace(',', "|").replace(' ', "");
        let text = text.trim_start_matches(quotes).trim_end_matches(quotes);
        let regex = Regex::new(&format!("^(?:{text})$"))
            .map_err(|_| Exception::new("java.lang.RuntimeException", format!("{text} is an invalid regex.")))?;
        Ok(Self { regex })
    }

    /// Whether it means the topic.
    pub(crate) fn allows(&self, topic: &str) -> bool {
        self.regex.is_match(topic)
    }
}
