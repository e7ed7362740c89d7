//! Where the replicas of new partitions go: striped over racks, then over the brokers of each rack (`StripedReplicaPlacer`).
//! The first replica is never on a fenced broker; the next partition starts at the next rack and the next broker.

use std::collections::BTreeMap;

use protocol::types::BrokerId;

use crate::ControllerError;
use crate::random::Random;

/// A broker that may get replicas.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct UsableBroker {
    pub(crate) id: BrokerId,
    pub(crate) rack: Option<String>,
    pub(crate) fenced: bool,
}

/// Places `partitions` partitions with `replicas` replicas each.
pub(crate) fn place(
    brokers: &[UsableBroker],
    partitions: usize,
    replicas: i16,
    random: &mut Random,
) -> Result<Vec<Vec<BrokerId>>, ControllerError> {
    let refuse = |reason: String| Err(ControllerError::InvalidReplicationFactor(reason));
    let replica_count = match usize::try_from(replicas) {
        Ok(count) if count > 0 => count,
        _ => {
            return refuse(format!("Invalid replication factor {replicas}: the replication factor must be positive."));
        }
    };
    if brokers.iter().all(|broker| broker.fenced) {
        return refuse("All brokers are currently fenced, or have all their log directories cordoned.".to_owned());
    }
    if replica_count > brokers.len() {
        return refuse(format!(
            "The target replication factor of {replicas} cannot be reached because only {} broker(s) are registered or \
             some brokers have all their log directories cordoned.",
            brokers.len()
        ));
    }
    let mut racks = Racks::new(brokers, random);
    Ok((0..partitions).map(|_| racks.place(replica_count, random)).collect())
}

/// Brokers in a circle. Each round starts one broker further.
#[derive(Debug, Default)]
struct Circle {
    brokers: Vec<BrokerId>,
    taken: usize,
    start: usize,
    round: usize,
}

impl Circle {
    fn new(mut brokers: Vec<BrokerId>, random: &mut Random) -> Self {
        brokers.sort_unstable();
        let start = if brokers.is_empty() { 0 } else { random.below(brokers.len()) };
        Self { brokers, taken: 0, start, round: 0 }
    }

    fn next(&mut self, round: usize) -> Option<BrokerId> {
        if self.round != round && !self.brokers.is_empty() {
            self.round = round;
            self.taken = 0;
            self.start = (self.start + 1) % self.brokers.len();
        }
        if self.taken >= self.brokers.len() {
            return None;
        }
        let broker = self.brokers[(self.taken + self.start) % self.brokers.len()];
        self.taken += 1;
        Some(broker)
    }
}

#[derive(Debug, Default)]
struct Rack {
    unfenced: Circle,
    fenced: Circle,
}

#[derive(Debug)]
struct Racks {
    racks: Vec<Rack>,
    unfenced_count: usize,
    round: usize,
    start: usize,
}

impl Racks {
    fn new(brokers: &[UsableBroker], random: &mut Random) -> Self {
        let mut by_rack: BTreeMap<Option<&str>, (Vec<BrokerId>, Vec<BrokerId>)> = BTreeMap::new();
        for broker in brokers {
            let (unfenced, fenced) = by_rack.entry(broker.rack.as_deref()).or_default();
            if broker.fenced { fenced.push(broker.id) } else { unfenced.push(broker.id) }
        }
        let racks: Vec<Rack> = by_rack
            .into_values()
            .map(|(unfenced, fenced)| Rack {
                unfenced: Circle::new(unfenced, random),
                fenced: Circle::new(fenced, random),
            })
            .collect();
        let unfenced_count = brokers.iter().filter(|broker| !broker.fenced).count();
        let start = random.below(racks.len());
        Self { racks, unfenced_count, round: 0, start }
    }

    fn place(&mut self, replica_count: usize, random: &mut Random) -> Vec<BrokerId> {
        // All brokers led once: other neighbours next time. With one broker there is nothing to shuffle.
        if self.round == self.unfenced_count && self.unfenced_count > 1 {
            self.shuffle(random);
            self.round = 0;
        }
        self.start %= self.racks.len();
        let (mut replicas, mut first_rack) = (Vec::with_capacity(replica_count), self.start);
        loop {
            if let Some(leader) = self.racks[first_rack].unfenced.next(self.round) {
                replicas.push(leader);
                break;
            }
            first_rack = (first_rack + 1) % self.racks.len();
        }
        let (mut rack, mut skip) = (self.start, Some(first_rack));
        while replicas.len() < replica_count {
            // The leader's rack is passed over once, so that the second replica is on another one if there is any.
            if skip == Some(rack) {
                skip = None;
            } else {
                let Rack { unfenced, fenced } = &mut self.racks[rack];
                replicas.extend(unfenced.next(self.round).or_else(|| fenced.next(self.round)));
            }
            rack = (rack + 1) % self.racks.len();
        }
        self.round += 1;
        self.start += 1;
        replicas
    }

    fn shuffle(&mut self, random: &mut Random) {
        random.shuffle(&mut self.racks);
        for rack in &mut self.racks {
            random.shuffle(&mut rack.unfenced.brokers);
            random.shuffle(&mut rack.fenced.brokers);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broker(id: BrokerId, rack: &str, fenced: bool) -> UsableBroker {
        UsableBroker { id, rack: Some(rack.to_owned()), fenced }
    }

    #[test]
    fn leaders_are_spread_evenly_and_replicas_over_racks() {
        let brokers: Vec<_> = (0..6).map(|id| broker(id, ["a", "b", "c"][id as usize % 3], false)).collect();
        let placed = place(&brokers, 60, 3, &mut Random::new([1, 2])).expect("placed");
        for id in 0..6 {
            let led = placed.iter().filter(|replicas| replicas[0] == id).count();
            assert!((5..=15).contains(&led), "{id} leads {led}");
        }
        for replicas in &placed {
            let racks: std::collections::BTreeSet<_> = replicas.iter().map(|id| id % 3).collect();
            assert_eq!(racks.len(), 3, "{replicas:?}");
        }
    }

    #[test]
    fn fenced_brokers_never_lead() {
        let brokers = [broker(0, "a", true), broker(1, "a", false), broker(2, "b", true)];
        for replicas in place(&brokers, 20, 2, &mut Random::new([3, 4])).expect("placed") {
            assert_eq!(replicas[0], 1);
        }
    }

    #[test]
    fn what_cannot_be_placed_is_refused_with_kafkas_text() {
        let brokers = [broker(0, "a", false)];
        let text = |brokers: &[UsableBroker], replicas| {
            place(brokers, 1, replicas, &mut Random::new([5, 6])).expect_err("refused").to_string()
        };
        assert_eq!(
            text(&brokers, 3),
            "The target replication factor of 3 cannot be reached because only 1 broker(s) are registered or some brokers \
             have all their log directories cordoned."
        );
        assert_eq!(text(&[], 1), "All brokers are currently fenced, or have all their log directories cordoned.");
        assert_eq!(place(&brokers, 5, 1, &mut Random::new([7, 8])).expect("placed"), vec![vec![0]; 5]);
    }
}
