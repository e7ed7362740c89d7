//! One step of a member from what it has towards its target: give up first, then take what nobody else has.
//! Pure. A partition is given to a member only when no member has it, so that it never has two owners.

use std::collections::{BTreeMap, BTreeSet};

use protocol::Uuid;
use protocol::messages::consumer_group_heartbeat_request::TopicPartitions;
use protocol::types::PartitionIndex;

use super::member::CurrentAssignment;
use crate::group::modern::assignment::{Assignment, EpochAssignment, MemberState};

/// What a member's next step depends on.
pub(crate) struct Step<'a> {
    pub(crate) target_epoch: i32,
    pub(crate) target: &'a Assignment,
    /// The topics that the member subscribes to now; its target may be of before.
    pub(crate) subscribed: &'a BTreeSet<Uuid>,
    pub(crate) subscription_changed: bool,
    /// What the member says that it has; nothing if it does not say.
    pub(crate) owned: Option<&'a [TopicPartitions]>,
}

/// The member has a state that this release does not know, and partitions: it must rejoin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct UnknownState;

impl Step<'_> {
    /// What `member` has after the step. `is_free` tells whether no member has a partition.
    pub(crate) fn take(
        &self,
        member: &CurrentAssignment,
        is_free: impl Fn(Uuid, PartitionIndex) -> bool,
    ) -> Result<CurrentAssignment, UnknownState> {
        Ok(match member.state {
            MemberState::Stable if member.epoch != self.target_epoch => self.advance(member, member.epoch, is_free),
            MemberState::UnrevokedPartitions if !self.owns_any(&member.revoking) => {
                self.advance(member, member.epoch, is_free)
            }
            MemberState::Stable | MemberState::UnrevokedPartitions if self.subscription_changed => {
                self.revoke_unsubscribed(member)
            }
            MemberState::Stable | MemberState::UnrevokedPartitions => member.clone(),
            MemberState::UnreleasedPartitions => self.advance(member, member.epoch, is_free),
            MemberState::Unknown if self.owned.is_none_or(|owned| !owned.is_empty()) => return Err(UnknownState),
            MemberState::Unknown => self.advance(member, self.target_epoch, is_free),
        })
    }

    /// Whether the member may still have any of these. A member that does not say may.
    fn owns_any(&self, partitions: &EpochAssignment) -> bool {
        let Some(owned) = self.owned else { return true };
        owned.iter().any(|topic| {
            let asked = partitions.get(&topic.topic_id);
            asked.is_some_and(|asked| topic.partitions.iter().any(|index| asked.contains_key(index)))
        })
    }

    /// Takes topics away that the member subscribes to no more, ahead of its next target.
    fn revoke_unsubscribed(&self, member: &CurrentAssignment) -> CurrentAssignment {
        let mut next = member.clone();
        next.assigned.retain(|topic, _| self.subscribed.contains(topic));
        if next.assigned.len() == member.assigned.len() {
            return next;
        }
        for (topic, partitions) in member.assigned.iter().filter(|(topic, _)| !self.subscribed.contains(topic)) {
            next.revoking.entry(*topic).or_default().extend(partitions);
        }
        set_epoch(&mut next, member.epoch);
        if self.owns_any(&next.revoking) {
            next.state = MemberState::UnrevokedPartitions;
        } else {
            next.revoking.clone_from(&member.revoking);
        }
        next
    }

    fn advance(
        &self,
        member: &CurrentAssignment,
        epoch: i32,
        is_free: impl Fn(Uuid, PartitionIndex) -> bool,
    ) -> CurrentAssignment {
        let plan = self.plan(member, is_free);
        let mut next = member.clone();
        if self.owns_any(&plan.revoked) && !plan.revoked.is_empty() {
            next.state = MemberState::UnrevokedPartitions;
            next.assigned = plan.kept;
            next.revoking = plan.revoked;
            set_epoch(&mut next, epoch);
            return next;
        }
        next.assigned = plan.kept;
        for (topic, partitions) in plan.added {
            let of_topic = next.assigned.entry(topic).or_default();
            of_topic.extend(partitions.into_iter().map(|index| (index, self.target_epoch)));
        }
        next.revoking.clear();
        next.state = if plan.waits { MemberState::UnreleasedPartitions } else { MemberState::Stable };
        set_epoch(&mut next, self.target_epoch);
        next
    }

    fn plan(&self, member: &CurrentAssignment, is_free: impl Fn(Uuid, PartitionIndex) -> bool) -> Plan {
        let nothing = BTreeSet::new();
        let mut plan = Plan::default();
        for (topic, partitions) in &member.assigned {
            let target = self.target.get(topic).filter(|_| self.subscribed.contains(topic)).unwrap_or(&nothing);
            let (kept, revoked): (BTreeMap<_, _>, BTreeMap<_, _>) =
                partitions.iter().map(|(index, epoch)| (*index, *epoch)).partition(|(index, _)| target.contains(index));
            insert(&mut plan.kept, *topic, kept);
            insert(&mut plan.revoked, *topic, revoked);
        }
        for (topic, target) in self.target.iter().filter(|(topic, _)| self.subscribed.contains(topic)) {
            let has = member.assigned.get(topic);
            let revoking = member.revoking.get(topic);
            let mut added = BTreeSet::new();
            for index in target.iter().filter(|index| has.is_none_or(|has| !has.contains_key(index))) {
                // What the member itself gives up, it may take back.
                if is_free(*topic, *index) || revoking.is_some_and(|revoking| revoking.contains_key(index)) {
                    added.insert(*index);
                } else {
                    plan.waits = true;
                }
            }
            if !added.is_empty() {
                plan.added.insert(*topic, added);
            }
        }
        plan
    }
}

/// What becomes of each partition.
#[derive(Default)]
struct Plan {
    kept: EpochAssignment,
    revoked: EpochAssignment,
    added: Assignment,
    /// Others have partitions that the member is to have.
    waits: bool,
}

fn insert(assignment: &mut EpochAssignment, topic: Uuid, partitions: BTreeMap<PartitionIndex, i32>) {
    if !partitions.is_empty() {
        assignment.insert(topic, partitions);
    }
}

fn set_epoch(member: &mut CurrentAssignment, epoch: i32) {
    member.previous_epoch = member.epoch;
    member.epoch = epoch;
}
