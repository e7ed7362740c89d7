//! The consumer protocol (`ConsumerProtocolSubscription`, `ConsumerProtocolAssignment`): a version, then the message.

use std::collections::BTreeMap;

use bytes::{BufMut, Bytes, BytesMut};
use protocol::messages::{
    ConsumerProtocolAssignment, ConsumerProtocolSubscription, Message, consumer_protocol_assignment,
    consumer_protocol_subscription,
};
use protocol::{DecodeError, EncodeError, Reader, TopicPartition};

use super::{Assignor, Member};

/// Version of what is sent; every version can be read by every other.
const SUBSCRIPTION_VERSION: i16 = ConsumerProtocolSubscription::MAX_VERSION;
const ASSIGNMENT_VERSION: i16 = ConsumerProtocolAssignment::MAX_VERSION;

/// What a member says about itself for one assignor.
pub(crate) fn subscription(assignor: Assignor, member: &Member, rack: &str) -> Result<Bytes, EncodeError> {
    let user_data = match assignor {
        Assignor::Range | Assignor::RoundRobin => None,
        Assignor::CooperativeSticky => Some(Bytes::copy_from_slice(&member.generation.to_be_bytes())),
        Assignor::Sticky => Some(sticky_user_data(member)),
    };
    // An eager member gave everything up before it joined; what it had is in the user data.
    let owned = if assignor == Assignor::Sticky { &[] } else { member.owned.as_slice() };
    let message = ConsumerProtocolSubscription {
        topics: member.topics.clone(),
        user_data,
        owned_partitions: by_topic(owned)
            .into_iter()
            .map(|(topic, partitions)| consumer_protocol_subscription::TopicPartition { topic, partitions })
            .collect(),
        generation_id: member.generation,
        rack_id: Some(rack.to_owned()).filter(|rack| !rack.is_empty()),
    };
    versioned(&message, SUBSCRIPTION_VERSION)
}

/// A member from what it said in `assignor`'s protocol.
pub(crate) fn decode_member(
    assignor: Assignor,
    id: String,
    instance_id: Option<String>,
    bytes: &Bytes,
) -> Result<Member, DecodeError> {
    let mut reader = Reader::new(bytes.clone());
    let version = reader.i16()?.clamp(ConsumerProtocolSubscription::MIN_VERSION, SUBSCRIPTION_VERSION);
    let message = ConsumerProtocolSubscription::decode(&mut reader, version)?;
    let owned = message.owned_partitions.iter();
    let owned = owned.flat_map(|topic| partitions(&topic.topic, &topic.partitions)).collect();
    let mut member = Member { id, instance_id, topics: message.topics, owned, generation: message.generation_id };
    if let Some(user_data) = message.user_data {
        match assignor {
            Assignor::Range | Assignor::RoundRobin => {}
            Assignor::CooperativeSticky if member.generation < 0 && user_data.len() >= 4 => {
                member.generation = Reader::new(user_data).i32()?;
            }
            Assignor::CooperativeSticky => {}
            Assignor::Sticky => read_sticky_user_data(&mut member, user_data)?,
        }
    }
    Ok(member)
}

/// What a member is told to consume.
pub(crate) fn encode_assignment(assigned: &[TopicPartition]) -> Result<Bytes, EncodeError> {
    let message = ConsumerProtocolAssignment {
        assigned_partitions: by_topic(assigned)
            .into_iter()
            .map(|(topic, partitions)| consumer_protocol_assignment::TopicPartition { topic, partitions })
            .collect(),
        user_data: None,
    };
    versioned(&message, ASSIGNMENT_VERSION)
}

/// Reads what [`encode_assignment`] wrote; nothing at all means no partitions.
pub(crate) fn decode_assignment(bytes: &Bytes) -> Result<Vec<TopicPartition>, DecodeError> {
    if bytes.is_empty() {
        return Ok(Vec::new());
    }
    let mut reader = Reader::new(bytes.clone());
    let version = reader.i16()?.clamp(ConsumerProtocolAssignment::MIN_VERSION, ASSIGNMENT_VERSION);
    let message = ConsumerProtocolAssignment::decode(&mut reader, version)?;
    let topics = message.assigned_partitions.iter();
    Ok(topics.flat_map(|topic| partitions(&topic.topic, &topic.partitions)).collect())
}

fn versioned<M: Message>(message: &M, version: i16) -> Result<Bytes, EncodeError> {
    let body = message.encode_to_bytes(version)?;
    let mut bytes = BytesMut::with_capacity(2 + body.len());
    bytes.put_i16(version);
    bytes.extend_from_slice(&body);
    Ok(bytes.freeze())
}

fn partitions(topic: &str, indexes: &[i32]) -> Vec<TopicPartition> {
    let topic: std::sync::Arc<str> = topic.into();
    indexes.iter().map(|index| TopicPartition::new(topic.clone(), *index)).collect()
}

fn by_topic(partitions: &[TopicPartition]) -> BTreeMap<String, Vec<i32>> {
    let mut topics: BTreeMap<String, Vec<i32>> = BTreeMap::new();
    for partition in partitions {
        topics.entry(partition.topic.to_string()).or_default().push(partition.partition);
    }
    topics
}

/// `StickyAssignorUserData` version 1: the previous assignment and its generation.
fn sticky_user_data(member: &Member) -> Bytes {
    let topics = by_topic(&member.owned);
    let mut bytes = BytesMut::new();
    bytes.put_i32(i32::try_from(topics.len()).unwrap_or(i32::MAX));
    for (topic, partitions) in topics {
        bytes.put_i16(i16::try_from(topic.len()).unwrap_or(i16::MAX));
        bytes.extend_from_slice(topic.as_bytes());
        bytes.put_i32(i32::try_from(partitions.len()).unwrap_or(i32::MAX));
        partitions.into_iter().for_each(|partition| bytes.put_i32(partition));
    }
    bytes.put_i32(member.generation);
    bytes.freeze()
}

fn read_sticky_user_data(member: &mut Member, user_data: Bytes) -> Result<(), DecodeError> {
    let mut reader = Reader::new(user_data);
    let topics = reader.array(false, 6, "previous_assignment", |reader| {
        let topic = reader.string(false, "topic")?;
        let indexes = reader.array(false, 4, "partitions", Reader::i32)?;
        Ok(partitions(&topic, &indexes))
    })?;
    member.owned = topics.into_iter().flatten().collect();
    // Version 0 ends before the generation.
    member.generation = if reader.remaining() >= 4 { reader.i32()? } else { -1 };
    Ok(())
}
