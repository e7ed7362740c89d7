//! Answers and records of consumer groups, as text.

use coordinator::CoordinatorRecord;
use protocol::messages::consumer_group_current_member_assignment_value as current;
use protocol::messages::consumer_group_describe_response::{Assignment, DescribedGroup};
use protocol::messages::{
    ConsumerGroupCurrentMemberAssignmentKey, ConsumerGroupCurrentMemberAssignmentValue, ConsumerGroupHeartbeatResponse,
    ConsumerGroupMemberMetadataKey, ConsumerGroupMemberMetadataValue, ConsumerGroupMetadataKey,
    ConsumerGroupMetadataValue, ConsumerGroupPartitionMetadataKey, ConsumerGroupPartitionMetadataValue,
    ConsumerGroupRegularExpressionKey, ConsumerGroupRegularExpressionValue, ConsumerGroupTargetAssignmentMemberKey,
    ConsumerGroupTargetAssignmentMemberValue, ConsumerGroupTargetAssignmentMetadataKey,
    ConsumerGroupTargetAssignmentMetadataValue,
};
use protocol::{Message, Reader, Uuid};

use super::show::name;

/// The name that an id of these tests is made of.
fn topic(id: Uuid) -> String {
    String::from_utf8_lossy(id.as_bytes()).trim_end_matches('\0').to_owned()
}

fn partitions(id: Uuid, indexes: &[i32]) -> String {
    let indexes: Vec<String> = indexes.iter().map(ToString::to_string).collect();
    format!("{}:{}", topic(id), indexes.join("+"))
}

/// The answer to a heartbeat.
pub(crate) fn heartbeat(response: &ConsumerGroupHeartbeatResponse) -> String {
    if response.error_code != 0 {
        return format!("{} {}", name(response.error_code), response.error_message.as_deref().unwrap_or_default());
    }
    let assignment = response.assignment.as_ref().map_or("unchanged".to_owned(), |assignment| {
        let topics = assignment.topic_partitions.iter().map(|topic| partitions(topic.topic_id, &topic.partitions));
        format!("[{}]", topics.collect::<Vec<_>>().join(","))
    });
    format!("member={} epoch={} {assignment}", response.member_id.as_deref().unwrap_or("null"), response.member_epoch)
}

fn described_assignment(assignment: &Assignment) -> String {
    let topics = assignment.topic_partitions.iter().map(|topic| partitions(topic.topic_id, &topic.partitions));
    topics.collect::<Vec<_>>().join(",")
}

/// A described group.
pub(crate) fn described(group: &DescribedGroup) -> String {
    if group.error_code != 0 {
        return format!("{} {}", name(group.error_code), group.error_message.as_deref().unwrap_or_default());
    }
    let members = group.members.iter().map(|member| {
        format!(
            " {}@{}[{}]->[{}]{}",
            member.member_id,
            member.member_epoch,
            described_assignment(&member.assignment),
            described_assignment(&member.target_assignment),
            if member.member_type == 0 { " classic" } else { "" }
        )
    });
    format!(
        "{} {} epoch={}/{} {}{}",
        group.group_id,
        group.group_state,
        group.group_epoch,
        group.assignment_epoch,
        group.assignor_name,
        members.collect::<String>()
    )
}

fn value<M: Message>(record: &CoordinatorRecord) -> Option<M> {
    let mut reader = Reader::new(record.value.clone()?);
    let version = reader.i16().expect("a version");
    Some(M::decode(&mut reader, version).expect("a value"))
}

fn held(topics: &[current::TopicPartitions]) -> String {
    let topics = topics.iter().map(|topic| {
        let epochs = topic.assignment_epochs.as_deref().unwrap_or_default();
        let each = topic.partitions.iter().zip(epochs).map(|(index, epoch)| format!("{index}@{epoch}"));
        format!("{}:{}", super::show_consumer::topic(topic.topic_id), each.collect::<Vec<_>>().join("+"))
    });
    topics.collect::<Vec<_>>().join(",")
}

/// A record of a consumer group; nothing if it is another's.
pub(crate) fn record(record: &CoordinatorRecord) -> Option<String> {
    let mut reader = Reader::new(record.key.clone());
    let record_type = reader.i16().expect("a record type");
    Some(match record_type {
        ConsumerGroupMetadataKey::API_KEY_CODE => {
            let key = ConsumerGroupMetadataKey::decode(&mut reader, 0).expect("a key");
            let value = value::<ConsumerGroupMetadataValue>(record);
            // The hash of what a group reads says nothing to a reader of the script, but whether there is one does.
            let told =
                value.map(|value| format!("{}{}", value.epoch, if value.metadata_hash == 0 { " no hash" } else { "" }));
            format!("epoch {}: {}", key.group_id, told.as_deref().unwrap_or("gone"))
        }
        ConsumerGroupPartitionMetadataKey::API_KEY_CODE => {
            let key = ConsumerGroupPartitionMetadataKey::decode(&mut reader, 0).expect("a key");
            let gone = value::<ConsumerGroupPartitionMetadataValue>(record).is_none();
            format!("partition-metadata {}: {}", key.group_id, if gone { "gone" } else { "there" })
        }
        ConsumerGroupMemberMetadataKey::API_KEY_CODE => {
            let key = ConsumerGroupMemberMetadataKey::decode(&mut reader, 0).expect("a key");
            let told = value::<ConsumerGroupMemberMetadataValue>(record).map(|value| member(&value));
            format!("member {} {}: {}", key.group_id, key.member_id, told.as_deref().unwrap_or("gone"))
        }
        ConsumerGroupTargetAssignmentMetadataKey::API_KEY_CODE => {
            let key = ConsumerGroupTargetAssignmentMetadataKey::decode(&mut reader, 0).expect("a key");
            let told = value::<ConsumerGroupTargetAssignmentMetadataValue>(record)
                .map(|value| format!("{} at {}", value.assignment_epoch, value.assignment_timestamp));
            format!("target-epoch {}: {}", key.group_id, told.as_deref().unwrap_or("gone"))
        }
        ConsumerGroupTargetAssignmentMemberKey::API_KEY_CODE => {
            let key = ConsumerGroupTargetAssignmentMemberKey::decode(&mut reader, 0).expect("a key");
            let told = value::<ConsumerGroupTargetAssignmentMemberValue>(record).map(|value| {
                let topics = value.topic_partitions.iter().map(|topic| partitions(topic.topic_id, &topic.partitions));
                format!("[{}]", topics.collect::<Vec<_>>().join(","))
            });
            format!("target {} {}: {}", key.group_id, key.member_id, told.as_deref().unwrap_or("gone"))
        }
        ConsumerGroupCurrentMemberAssignmentKey::API_KEY_CODE => {
            let key = ConsumerGroupCurrentMemberAssignmentKey::decode(&mut reader, 0).expect("a key");
            let told = value::<ConsumerGroupCurrentMemberAssignmentValue>(record).map(|value| {
                format!(
                    "{}<-{} state={} [{}] revoking [{}]",
                    value.member_epoch,
                    value.previous_member_epoch,
                    value.state,
                    held(&value.assigned_partitions),
                    held(&value.partitions_pending_revocation)
                )
            });
            format!("current {} {}: {}", key.group_id, key.member_id, told.as_deref().unwrap_or("gone"))
        }
        ConsumerGroupRegularExpressionKey::API_KEY_CODE => {
            let key = ConsumerGroupRegularExpressionKey::decode(&mut reader, 0).expect("a key");
            let told = value::<ConsumerGroupRegularExpressionValue>(record)
                .map(|value| format!("[{}] v{} at {}", value.topics.join(","), value.version, value.timestamp));
            format!("regex {} {}: {}", key.group_id, key.regular_expression, told.as_deref().unwrap_or("gone"))
        }
        _ => return None,
    })
}

fn member(value: &ConsumerGroupMemberMetadataValue) -> String {
    let mut told = format!("topics=[{}]", value.subscribed_topic_names.join(","));
    let mut add = |name: &str, text: Option<&str>| {
        if let Some(text) = text {
            told.push_str(&format!(" {name}={text}"));
        }
    };
    add("regex", value.subscribed_topic_regex.as_deref());
    add("instance", value.instance_id.as_deref());
    add("rack", value.rack_id.as_deref());
    add("assignor", value.server_assignor.as_deref());
    add("classic", value.classic_member_metadata.as_ref().map(|_| "yes"));
    told
}
