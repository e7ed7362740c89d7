//! Commands of consumer groups, and the topics that they read.

use std::sync::Arc;

use coordinator::GroupEffects;
use metadata::{ClusterImage, ImageDelta, MetadataRecord};
use protocol::messages::consumer_group_heartbeat_request::TopicPartitions;
use protocol::messages::{
    ConsumerGroupHeartbeatRequest, PartitionRecord, RegisterBrokerRecord, RemoveTopicRecord, TopicRecord,
};

use super::{Line, World, topic_id};

impl World {
    /// Makes a topic, or more partitions of it.
    pub(super) fn topic(&mut self, name: &str, partitions: usize, out: &mut GroupEffects) {
        let before = self.image.topic(name).map(|topic| topic.partitions.len());
        let mut records = Vec::new();
        if self.image.broker(0).is_none() {
            let record = RegisterBrokerRecord { broker_id: 0, fenced: false, ..Default::default() };
            records.push(MetadataRecord::RegisterBroker(record));
        }
        if before.is_none() {
            let record = TopicRecord { name: name.to_owned(), topic_id: topic_id(name), ..Default::default() };
            records.push(MetadataRecord::Topic(record));
        }
        for index in before.unwrap_or(0)..partitions {
            records.push(MetadataRecord::Partition(PartitionRecord {
                partition_id: i32::try_from(index).expect("few partitions"),
                topic_id: topic_id(name),
                replicas: vec![0],
                isr: vec![0],
                ..Default::default()
            }));
        }
        self.change_cluster(&records, out);
    }

    /// Removes a topic.
    pub(super) fn remove_topic(&mut self, name: &str, out: &mut GroupEffects) {
        let record = RemoveTopicRecord { topic_id: topic_id(name), ..Default::default() };
        self.change_cluster(&[MetadataRecord::RemoveTopic(record)], out);
    }

    fn change_cluster(&mut self, records: &[MetadataRecord], out: &mut GroupEffects) {
        let mut image = ClusterImage::clone(&self.image);
        let mut delta = ImageDelta::default();
        for record in records {
            image.apply(record, &mut delta).expect("a record that fits");
            image.provenance.last_offset += 1;
        }
        self.image = Arc::new(image);
        self.shard.metadata_changed(self.now_ms, &self.image, &delta, out);
    }

    /// `beat GROUP member=M epoch=E topics=a+b regex=R owned=t:0+1,u:2 instance=I assignor=A timeout=MS`.
    /// A member that joins says all; later it says what is given here.
    pub(super) fn beat(&mut self, group: &str, line: &Line<'_>, out: &mut GroupEffects) {
        let token = self.token();
        let epoch: i32 = line.number("epoch", 0);
        let joins = epoch == 0;
        let topics = line.optional("topics").or(joins.then(String::new));
        let owned = line.named.get("owned").copied().or(joins.then_some(""));
        let request = ConsumerGroupHeartbeatRequest {
            group_id: group.to_owned(),
            member_id: line.text("member", ""),
            member_epoch: epoch,
            instance_id: line.optional("instance"),
            rack_id: line.optional("rack"),
            rebalance_timeout_ms: line.number("timeout", if joins { 60_000 } else { -1 }),
            subscribed_topic_names: topics
                .map(|topics| topics.split('+').filter(|topic| !topic.is_empty()).map(str::to_owned).collect()),
            subscribed_topic_regex: line.optional("regex"),
            server_assignor: line.optional("assignor"),
            topic_partitions: owned.map(parse_owned),
            ..Default::default()
        };
        let context = self.context(line, 1);
        self.shard.consumer_group_heartbeat(&context, request, token, out);
    }
}

fn parse_owned(text: &str) -> Vec<TopicPartitions> {
    let topics = text.split(',').filter_map(|topic| topic.split_once(':'));
    topics
        .map(|(topic, partitions)| TopicPartitions {
            topic_id: topic_id(topic),
            partitions: partitions.split('+').map(|index| index.parse().expect("a partition")).collect(),
            ..Default::default()
        })
        .collect()
}
