//! The way of a member from what it has to what the target assignment gives it. It gives up first; then it gets what
//! nobody else has; what others still have comes when they have given it up. No task is active at two members at once.

use super::error::StreamsError;
use super::member::{MemberState, StreamsMember};
use super::owners::TaskOwners;
use super::tasks::{AssignedTasks, EpochTaskSet, TaskSet, Tasks};

/// What a member is to have.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Target<'a> {
    pub(crate) epoch: i32,
    pub(crate) tasks: &'a Tasks,
}

/// The next state of a member. `owned` is what the member says that it has, if it says so.
///
/// # Errors
/// [`StreamsError::UnknownState`] if the member is in a state of a later release and owns something: it has to rejoin.
pub(crate) fn reconciled(
    member: &StreamsMember,
    target: Target<'_>,
    owners: &TaskOwners,
    owned: Option<&Tasks>,
) -> Result<StreamsMember, StreamsError> {
    let from_epoch = match member.state {
        MemberState::Stable if member.epoch == target.epoch => return Ok(member.clone()),
        MemberState::Stable | MemberState::UnreleasedTasks => member.epoch,
        MemberState::UnrevokedTasks => {
            if owned.is_none_or(|owned| owned.contains_any(&member.pending_revocation)) {
                return Ok(member.clone());
            }
            member.epoch + 1
        }
        MemberState::Unknown => {
            if owned.is_none_or(|owned| !owned.is_empty()) {
                return Err(StreamsError::UnknownState);
            }
            target.epoch
        }
    };
    Ok(next(member, from_epoch, target, owners, owned))
}

fn next(
    member: &StreamsMember,
    from_epoch: i32,
    target: Target<'_>,
    owners: &TaskOwners,
    owned: Option<&Tasks>,
) -> StreamsMember {
    let process = member.process_id.as_str();
    let is_here = |id: &str, partition: i32| {
        owners.is_standby_of(id, partition, process) || owners.is_warmup_of(id, partition, process)
    };
    let mut change = Change::default();
    change.active(&member.assigned.active, target, |id, partition| {
        owners.active(id, partition).is_some() || is_here(id, partition)
    });
    let is_in_process =
        |id: &str, partition: i32| owners.active(id, partition) == Some(process) || is_here(id, partition);
    let roles = [
        (&member.assigned.standby, &target.tasks.standby, Role::Standby),
        (&member.assigned.warmup, &target.tasks.warmup, Role::Warmup),
    ];
    for (current, wanted, role) in roles {
        change.inactive(role, current, wanted, is_in_process);
    }
    change.applied(member, from_epoch, target.epoch, owned)
}

#[derive(Debug, Clone, Copy)]
enum Role {
    Standby,
    Warmup,
}

/// The difference between what a member has and what it is to have.
#[derive(Debug, Default)]
struct Change {
    kept: AssignedTasks,
    revoked: AssignedTasks,
    added: AssignedTasks,
    has_unreleased: bool,
}

impl Change {
    fn active(&mut self, current: &EpochTaskSet, target: Target<'_>, is_unreleased: impl Fn(&str, i32) -> bool) {
        for (id, partitions) in current {
            for (partition, epoch) in partitions {
                let is_wanted = target.tasks.active.get(id).is_some_and(|wanted| wanted.contains(partition));
                let into = if is_wanted { &mut self.kept } else { &mut self.revoked };
                into.active.entry(id.clone()).or_default().insert(*partition, *epoch);
            }
        }
        for (id, partition) in missing(&target.tasks.active, |id, partition| {
            current.get(id).is_some_and(|partitions| partitions.contains_key(&partition))
        }) {
            if is_unreleased(id, partition) {
                self.has_unreleased = true;
            } else {
                self.added.active.entry(id.to_owned()).or_default().insert(partition, target.epoch);
            }
        }
    }

    fn inactive(&mut self, role: Role, current: &TaskSet, wanted: &TaskSet, is_unreleased: impl Fn(&str, i32) -> bool) {
        let contains =
            |set: &TaskSet, id: &str, partition: i32| set.get(id).is_some_and(|set| set.contains(&partition));
        for (id, partitions) in current {
            for &partition in partitions {
                let into = if contains(wanted, id, partition) { &mut self.kept } else { &mut self.revoked };
                insert(into, role, id, partition);
            }
        }
        for (id, partition) in missing(wanted, |id, partition| contains(current, id, partition)) {
            if is_unreleased(id, partition) {
                self.has_unreleased = true;
            } else {
                insert(&mut self.added, role, id, partition);
            }
        }
    }

    fn applied(
        self,
        member: &StreamsMember,
        from_epoch: i32,
        target_epoch: i32,
        owned: Option<&Tasks>,
    ) -> StreamsMember {
        let mut next = member.clone();
        next.previous_epoch = member.epoch;
        let must_revoke = !self.revoked.is_empty() && owned.is_none_or(|owned| owned.contains_any(&self.revoked));
        if must_revoke {
            next.state = MemberState::UnrevokedTasks;
            next.epoch = from_epoch;
            next.assigned = self.kept;
            next.pending_revocation = self.revoked;
        } else {
            next.state = if self.has_unreleased { MemberState::UnreleasedTasks } else { MemberState::Stable };
            next.epoch = target_epoch;
            next.assigned = self.kept.merged(self.added);
            next.pending_revocation = AssignedTasks::default();
        }
        next
    }
}

fn missing<'a>(wanted: &'a TaskSet, is_there: impl Fn(&str, i32) -> bool + 'a) -> impl Iterator<Item = (&'a str, i32)> {
    wanted
        .iter()
        .flat_map(|(id, partitions)| partitions.iter().map(|partition| (id.as_str(), *partition)))
        .filter(move |(id, partition)| !is_there(id, *partition))
}

fn insert(tasks: &mut AssignedTasks, role: Role, id: &str, partition: i32) {
    let set = match role {
        Role::Standby => &mut tasks.standby,
        Role::Warmup => &mut tasks.warmup,
    };
    set.entry(id.to_owned()).or_default().insert(partition);
}
