//! Names that topics may have (`org.apache.kafka.common.internals.Topic`).

use crate::ControllerError;

/// The log of the metadata quorum, which is no topic to clients.
pub const CLUSTER_METADATA: &str = "__cluster_metadata";

const LONGEST: usize = 249;

/// Checks the name of a topic.
/// # Errors
/// [`ControllerError::InvalidTopic`] with Kafka's text.
pub fn validate_topic_name(name: &str) -> Result<(), ControllerError> {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    let reason = match name {
        "" => "the empty string is not allowed".to_owned(),
        "." | ".." => format!("'{name}' is not allowed"),
        _ if name.encode_utf16().count() > LONGEST => {
            format!("the length of '{name}' is longer than the max allowed length {LONGEST}")
        }
        _ if !name.bytes().all(legal) => {
            format!("'{name}' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'")
        }
        _ => return Ok(()),
    };
    Err(ControllerError::InvalidTopic(format!("Topic name is invalid: {reason}")))
}

/// The name that all topics share whose metrics would have the same name; none if the name has neither `.` nor `_`.
pub(crate) fn collision_name(name: &str) -> Option<String> {
    name.contains(['.', '_']).then(|| name.replace('.', "_"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_names_are_refused_with_kafkas_text() {
        let text = |name: &str| validate_topic_name(name).expect_err("invalid").to_string();
        assert_eq!(text(""), "Topic name is invalid: the empty string is not allowed");
        assert_eq!(text(".."), "Topic name is invalid: '..' is not allowed");
        assert_eq!(
            text("a b"),
            "Topic name is invalid: 'a b' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'"
        );
        assert!(text(&"x".repeat(250)).ends_with("is longer than the max allowed length 249"));
        assert_eq!(validate_topic_name(&"x".repeat(249)), Ok(()));
    }

    #[test]
    fn dots_collide_with_underscores() {
        assert_eq!(collision_name("a.b"), collision_name("a_b"));
        assert_eq!(collision_name("ab"), None);
    }
}
