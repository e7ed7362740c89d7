//! The one place that decides leaders: from the ISR, from the ELR if the ISR is empty (KIP-966), or from nobody.
//! A change is made from a registration and a wish, and comes out as one record or as nothing.

use metadata::{NO_LEADER, PartitionRegistration, TopicImage, VersionedRecord};
use protocol::Uuid;
use protocol::messages::PartitionChangeRecord;
use protocol::types::{BrokerId, PartitionIndex};

use crate::controller::Controller;

/// How a leader may be elected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Election {
    /// The first replica if it is in sync, else as `Online`.
    Preferred,
    /// The present leader if it is fine, else anybody in sync.
    Online,
    /// As `Online`, else anybody that is alive, though records get lost.
    Unclean,
}

/// What happens to a broker whose partitions get other leaders.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BrokerChange {
    /// It leaves the ISR and may not lead.
    Removed(BrokerId),
    /// It leaves the ISR and the ELR: nobody knows what it still has.
    UncleanShutdown(BrokerId),
    /// It may lead, though its registration still says that it is fenced.
    Added(BrokerId),
}

/// What the configurations of a topic say about its elections.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ElectionRules {
    min_isr: usize,
    unclean: bool,
    elr_enabled: bool,
}

impl ElectionRules {
    /// Whether a leader may be elected that lacks records.
    pub(crate) fn is_unclean(self) -> bool {
        self.unclean
    }

    pub(crate) fn of(controller: &Controller, topic: &TopicImage) -> Self {
        let min_isr = controller.topic_config_value(&topic.name, "min.insync.replicas");
        let min_isr = min_isr.and_then(|value| value.trim().parse().ok()).unwrap_or(1);
        let replicas = topic.partitions.first().map_or(1, |first| first.replicas.len());
        let unclean = controller.topic_config_value(&topic.name, "unclean.leader.election.enable");
        Self {
            min_isr: replicas.min(min_isr),
            unclean: unclean.as_deref() == Some("true"),
            elr_enabled: controller.image.is_elr_enabled(),
        }
    }
}

/// A change of one partition that is about to be decided.
#[derive(Debug)]
pub(crate) struct PartitionChange<'a> {
    partition: &'a PartitionRegistration,
    rules: ElectionRules,
    election: Election,
    isr: Vec<BrokerId>,
    elr: Vec<BrokerId>,
    unclean_shutdown: Option<BrokerId>,
}

impl<'a> PartitionChange<'a> {
    /// Nothing changes yet.
    pub(crate) fn new(rules: ElectionRules, partition: &'a PartitionRegistration) -> Self {
        Self {
            partition,
            rules,
            election: if rules.unclean { Election::Unclean } else { Election::Online },
            isr: partition.isr.to_vec(),
            elr: partition.elr.to_vec(),
            unclean_shutdown: None,
        }
    }

    pub(crate) fn election(mut self, election: Election) -> Self {
        self.election = election;
        self
    }

    pub(crate) fn isr(mut self, isr: Vec<BrokerId>) -> Self {
        self.isr = isr;
        self
    }

    /// Decides; none if nothing changes.
    pub(crate) fn decide(mut self, may_lead: &dyn Fn(BrokerId) -> bool) -> Option<PartitionChangeRecord> {
        let mut record = PartitionChangeRecord::default();
        self.refresh_elr();
        self.elect(&mut record, may_lead);
        let is_clean = record.isr.is_none();
        if !is_clean || !self.rules.elr_enabled {
            self.elr.clear();
        }
        if *self.elr != *self.partition.elr {
            record.eligible_leader_replicas = Some(self.elr.clone());
        }
        if is_clean && (!self.isr.is_empty() || self.rules.elr_enabled) && *self.isr != *self.partition.isr {
            record.isr = Some(self.isr.clone());
        }
        self.remember_last_leader(&mut record);
        (record != PartitionChangeRecord::default()).then_some(record)
    }

    /// Below min ISR those who leave the ISR stay eligible, unless they stopped uncleanly.
    fn refresh_elr(&mut self) {
        if !self.rules.elr_enabled {
            return;
        }
        if self.isr.len() >= self.rules.min_isr {
            self.elr.clear();
            return;
        }
        let mut elr: Vec<BrokerId> = self.elr.iter().chain(&*self.partition.isr).copied().collect();
        elr.sort_unstable();
        elr.dedup();
        elr.retain(|id| !self.isr.contains(id) && self.unclean_shutdown != Some(*id));
        self.elr = elr;
    }

    fn elect(&mut self, record: &mut PartitionChangeRecord, may_lead: &dyn Fn(BrokerId) -> bool) {
        let (leader, unclean) = self.choose(may_lead);
        if leader == self.partition.leader {
            return;
        }
        if self.elr.contains(&leader) {
            self.isr = vec![leader];
            self.elr.retain(|id| *id != leader);
        }
        record.leader = leader;
        if unclean {
            record.isr = Some(vec![leader]);
            if !self.partition.leader_recovering {
                record.leader_recovery_state = 1;
            }
        }
    }

    fn choose(&self, may_lead: &dyn Fn(BrokerId) -> bool) -> (BrokerId, bool) {
        let eligible =
            |id: BrokerId| (self.isr.contains(&id) || self.isr.is_empty() && self.elr.contains(&id)) && may_lead(id);
        let replicas = &self.partition.replicas;
        let preferred = replicas.first().copied().filter(|_| self.election == Election::Preferred);
        let mut clean = preferred.into_iter().chain([self.partition.leader]).chain(replicas.iter().copied());
        if let Some(leader) = clean.find(|id| eligible(*id)) {
            return (leader, false);
        }
        if let Some(leader) = self.last_known_leader().filter(|id| may_lead(*id)) {
            return (leader, true);
        }
        if self.election == Election::Unclean
            && let Some(leader) = replicas.iter().copied().find(|id| may_lead(*id))
        {
            return (leader, true);
        }
        (NO_LEADER, false)
    }

    /// The last leader of a partition that nobody is eligible for: most likely to have the most records.
    fn last_known_leader(&self) -> Option<BrokerId> {
        match *self.partition.last_known_elr {
            [leader] if self.rules.elr_enabled && self.elr.is_empty() && self.isr.is_empty() => Some(leader),
            _ => None,
        }
    }

    fn remember_last_leader(&self, record: &mut PartitionChangeRecord) {
        if !self.rules.elr_enabled {
            return;
        }
        let remembered = !self.partition.last_known_elr.is_empty();
        if record.leader == NO_LEADER && !remembered {
            record.last_known_elr = Some(vec![self.partition.leader]);
        } else if record.leader >= 0 && remembered {
            record.last_known_elr = Some(Vec::new());
        }
    }
}

impl Controller {
    /// Records that give partitions new leaders and in-sync replicas after a change of a broker. `affected` names the partitions.
    pub(crate) fn leader_and_isr_records(
        &self,
        change: BrokerChange,
        affected: impl Fn(&PartitionRegistration) -> bool,
    ) -> Vec<VersionedRecord> {
        let (leaving, added) = match change {
            BrokerChange::Removed(id) | BrokerChange::UncleanShutdown(id) => (Some(id), None),
            BrokerChange::Added(id) => (None, Some(id)),
        };
        let mut records = Vec::new();
        for topic in self.image.topics() {
            let mut rules = None;
            for (index, partition) in topic.partitions().filter(|(_, partition)| affected(partition)) {
                let rules = *rules.get_or_insert_with(|| ElectionRules::of(self, topic));
                let isr = partition.isr.iter().copied().filter(|id| Some(*id) != leaving).collect();
                let mut decision = PartitionChange::new(rules, partition).isr(isr);
                if let BrokerChange::UncleanShutdown(id) = change {
                    decision.unclean_shutdown = Some(id);
                }
                let may_lead = |id| {
                    Some(id) != leaving
                        && (Some(id) == added || self.is_active(id))
                        && self.has_online_dir(id, partition)
                };
                let record = decision.decide(&may_lead);
                records.extend(record.map(|record| self.partition_change_record(topic.id, index, record)));
            }
        }
        records
    }

    pub(crate) fn partition_change_record(
        &self,
        topic_id: Uuid,
        partition_id: PartitionIndex,
        record: PartitionChangeRecord,
    ) -> VersionedRecord {
        let record = PartitionChangeRecord { topic_id, partition_id, ..record };
        VersionedRecord::new(record, self.metadata_version().partition_record_version())
    }

    /// Whether a broker may lead a partition now.
    pub(crate) fn may_lead(&self, id: BrokerId, partition: &PartitionRegistration) -> bool {
        self.is_active(id) && self.has_online_dir(id, partition)
    }

    fn has_online_dir(&self, id: BrokerId, partition: &PartitionRegistration) -> bool {
        let (Some(broker), Some(directory)) = (self.image.broker(id), partition.directory(id)) else {
            return false;
        };
        broker.has_online_dir(directory)
    }

    pub(crate) fn has_leaderships(&self, id: BrokerId) -> bool {
        self.image.topics().any(|topic| topic.partitions.iter().any(|partition| partition.leader == id))
    }
}
