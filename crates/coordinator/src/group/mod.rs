//! Groups: their members, generations or epochs, and committed offsets. A group is of one type at a time ([`Group`]); what
//! any type has is asked here, what only one has is in that type's room.

pub(crate) mod assignor;
pub(crate) mod classic;
pub(crate) mod commit;
pub(crate) mod completion;
pub(crate) mod consumer;
pub(crate) mod delete;
pub(crate) mod describe;
pub(crate) mod expire;
pub(crate) mod fetch;
mod load;
mod metadata;
pub(crate) mod modern;
pub(crate) mod offsets;
pub(crate) mod share;
mod state_machine;
pub(crate) mod streams;
pub(crate) mod timer;
mod transaction;

use std::sync::Arc;

use protocol::EncodeError;

use crate::effects::CoordinatorRecord;
use crate::group::timer::{GroupTimers, TimerKey};
use crate::record;
use classic::state::{CONSUMER, ClassicGroup};
use consumer::state::ConsumerGroup;
use share::state::{SHARE, ShareGroup};
use streams::state::StreamsGroup;

/// A group of any type.
#[derive(Debug)]
pub(crate) enum Group {
    /// Its members agree among themselves who reads what (JoinGroup and SyncGroup).
    Classic(ClassicGroup),
    /// The coordinator assigns partitions to consumers (KIP-848).
    Consumer(ConsumerGroup),
    /// Its members share the records of partitions (KIP-932).
    Share(ShareGroup),
    /// The coordinator assigns tasks of a topology to members that run it (KIP-1071).
    Streams(Box<StreamsGroup>),
}

impl Group {
    /// Its id. Two groups that have the same id one after the other have different ones in memory.
    pub(crate) fn group_id(&self) -> &Arc<str> {
        match self {
            Self::Classic(group) => &group.group_id,
            Self::Consumer(group) => &group.group_id,
            Self::Share(group) => &group.group_id,
            Self::Streams(group) => &group.group_id,
        }
    }

    /// Kafka's name of its type.
    pub(crate) fn type_name(&self) -> &'static str {
        match self {
            Self::Classic(_) => "classic",
            Self::Consumer(_) => "consumer",
            Self::Share(_) => SHARE,
            Self::Streams(_) => "streams",
        }
    }

    /// Kafka's name of its state.
    pub(crate) fn state_name(&self) -> &'static str {
        match self {
            Self::Classic(group) => group.state.name(),
            Self::Consumer(group) => group.state().name(),
            Self::Share(group) => group.state(),
            Self::Streams(group) => group.state().name(),
        }
    }

    /// The name of its state in filters, in lower case.
    pub(crate) fn state_filter_name(&self) -> String {
        match self {
            Self::Streams(group) => group.state().filter_name().to_owned(),
            Self::Classic(_) | Self::Consumer(_) | Self::Share(_) => self.state_name().to_lowercase(),
        }
    }

    /// What its members speak; empty if that was never said.
    pub(crate) fn protocol_type(&self) -> &str {
        match self {
            Self::Classic(group) => group.protocol_type.as_deref().unwrap_or_default(),
            Self::Consumer(_) => CONSUMER,
            Self::Share(_) => SHARE,
            Self::Streams(_) => "streams",
        }
    }

    /// Whether it has no members, so that it may be deleted.
    pub(crate) fn is_empty(&self) -> bool {
        match self {
            Self::Classic(group) => group.is_empty(),
            Self::Consumer(group) => group.members.is_empty(),
            Self::Share(group) => group.members.is_empty(),
            Self::Streams(group) => group.is_empty(),
        }
    }

    /// Whether a member may read the topic.
    pub(crate) fn is_subscribed_to(&self, topic: &str) -> bool {
        match self {
            Self::Classic(group) => group.is_subscribed_to(topic),
            Self::Consumer(group) => group.subscriptions.contains(topic),
            Self::Share(group) => group.members.values().any(|member| member.topics.contains(topic)),
            Self::Streams(group) => group.is_subscribed_to(topic),
        }
    }

    /// Forgets all its deadlines.
    pub(crate) fn cancel_timers(&self, timers: &mut GroupTimers) {
        match self {
            Self::Classic(group) => group.cancel_timers(timers),
            Self::Consumer(group) => {
                for member_id in group.members.keys() {
                    TimerKey::of_member(&group.group_id, member_id).iter().for_each(|key| timers.cancel(key));
                }
            }
            Self::Share(group) => {
                for member_id in group.members.keys() {
                    TimerKey::of_member(&group.group_id, member_id).iter().for_each(|key| timers.cancel(key));
                }
            }
            Self::Streams(group) => {
                for member in group.members() {
                    TimerKey::of_member(&group.group_id, &member.member_id).iter().for_each(|key| timers.cancel(key));
                }
                timers.cancel(&TimerKey::InitialRebalance { group: Arc::clone(&group.group_id) });
            }
        }
    }

    /// The records that end it.
    pub(crate) fn tombstones(&self) -> Vec<Result<CoordinatorRecord, EncodeError>> {
        match self {
            Self::Classic(group) => vec![record::group_tombstone(&group.group_id)],
            Self::Consumer(group) => {
                consumer::records::without_group(group).iter().map(record::modern::GroupRecord::encode).collect()
            }
            Self::Share(group) => group.tombstones().iter().map(record::modern::GroupRecord::encode).collect(),
            Self::Streams(group) => {
                streams::record::without_group(group).iter().map(record::modern::GroupRecord::encode).collect()
            }
        }
    }
}
