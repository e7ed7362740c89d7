//! ConsumerGroupDescribe: what administrators see of a consumer group.

use std::collections::BTreeMap;

use metadata::ClusterImage;
use protocol::messages::ConsumerGroupDescribeResponse;
use protocol::messages::consumer_group_describe_response::{Assignment, DescribedGroup, Member, TopicPartitions};

use super::member::ConsumerMember;
use super::state::ConsumerGroup;
use crate::effects::{Effects, GroupResponse, ReplyToken};
use crate::group::modern::assignment::{Assignment as Partitions, without_epochs};
use crate::shard::GroupShard;

impl GroupShard {
    /// Describes groups in the order asked for.
    pub fn describe_consumer_groups(&mut self, group_ids: &[String], token: ReplyToken, out: &mut Effects) {
        let groups = group_ids.iter().map(|group_id| match self.existing_consumer_group(group_id) {
            Ok(group) => self.describe_consumer_group(group),
            Err(refusal) => DescribedGroup {
                group_id: group_id.clone(),
                error_code: refusal.code.code(),
                error_message: Some(refusal.message),
                ..Default::default()
            },
        });
        let response = ConsumerGroupDescribeResponse { groups: groups.collect(), ..Default::default() };
        self.reply_in_order(token, GroupResponse::ConsumerGroupDescribe(response), out);
    }

    fn describe_consumer_group(&self, group: &ConsumerGroup) -> DescribedGroup {
        let image = self.topics().image();
        let assignor = group.preferred_assignor();
        let assignor = assignor.unwrap_or_else(|| self.config().consumer_default_assignor().name());
        DescribedGroup {
            group_id: group.group_id.to_string(),
            group_state: group.state().name().to_owned(),
            group_epoch: group.epoch,
            assignment_epoch: group.target.epoch,
            assignor_name: assignor.to_owned(),
            members: group.members.values().map(|member| describe_member(group, member, image)).collect(),
            ..Default::default()
        }
    }
}

fn describe_member(group: &ConsumerGroup, member: &ConsumerMember, image: &ClusterImage) -> Member {
    let metadata = &member.metadata;
    let mut has = without_epochs(&member.current.assigned);
    for (topic, partitions) in &member.current.revoking {
        has.entry(*topic).or_default().extend(partitions.keys());
    }
    Member {
        member_id: member.member_id.to_string(),
        instance_id: metadata.instance_id.as_deref().map(str::to_owned),
        rack_id: metadata.rack_id.clone(),
        member_epoch: member.current.epoch,
        client_id: metadata.client_id.clone(),
        client_host: metadata.client_host.clone(),
        subscribed_topic_names: metadata.topics.iter().map(ToString::to_string).collect(),
        subscribed_topic_regex: metadata.regex.as_deref().map(str::to_owned),
        assignment: describe_assignment(&has, image),
        target_assignment: describe_assignment(group.target.of(&member.member_id), image),
        member_type: i8::from(!member.uses_classic_protocol()),
        ..Default::default()
    }
}

/// Topics that are gone are left out.
fn describe_assignment(assignment: &Partitions, image: &ClusterImage) -> Assignment {
    let mut topics: BTreeMap<&str, TopicPartitions> = BTreeMap::new();
    for (topic_id, partitions) in assignment {
        let Some(topic) = image.topic_by_id(*topic_id) else { continue };
        let described = TopicPartitions {
            topic_id: *topic_id,
            topic_name: topic.name.to_string(),
            partitions: partitions.iter().copied().collect(),
            ..Default::default()
        };
        topics.insert(&topic.name, described);
    }
    Assignment { topic_partitions: topics.into_values().collect(), ..Default::default() }
}
