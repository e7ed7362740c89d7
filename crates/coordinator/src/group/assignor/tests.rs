//! What holds for every assignor, whatever the group: each partition of a subscribed topic has one owner, who subscribes.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

/// Partitions of each topic, and what each member subscribes to and has.
#[derive(Debug, Clone)]
struct Case {
    partitions: Vec<usize>,
    subscriptions: Vec<BTreeSet<usize>>,
    owners: Vec<Vec<usize>>,
}

fn topic_id(topic: usize) -> Uuid {
    Uuid::from_bytes((topic as u128 + 1).to_be_bytes())
}

fn case(homogeneous: bool) -> impl Strategy<Value = Case> {
    (1..5_usize, 1..12_usize).prop_flat_map(move |(topics, members)| {
        let subscription = proptest::collection::btree_set(0..topics, 1..=topics);
        let subscriptions = if homogeneous {
            subscription.prop_map(move |set| vec![set; members]).boxed()
        } else {
            proptest::collection::vec(subscription, members).boxed()
        };
        let partitions = proptest::collection::vec(1..25_usize, topics);
        let owners = proptest::collection::vec(proptest::collection::vec(0..members * 2, 25), topics);
        (partitions, subscriptions, owners).prop_map(|(partitions, subscriptions, owners)| Case {
            partitions,
            subscriptions,
            owners,
        })
    })
}

impl Case {
    /// What members have before: an owner that is no member has nothing.
    fn assigned(&self) -> Vec<Assignment> {
        let mut assigned = vec![Assignment::new(); self.subscriptions.len()];
        for (topic, count) in self.partitions.iter().enumerate() {
            for index in 0..*count {
                if let Some(assigned) = assigned.get_mut(self.owners[topic][index]) {
                    assigned.entry(topic_id(topic)).or_default().insert(index as i32);
                }
            }
        }
        assigned
    }

    fn assign(&self, assignor: Assignor, homogeneous: bool, assigned: &[Assignment]) -> Vec<Assignment> {
        let ids: Vec<String> = (0..assigned.len()).map(|index| format!("member-{index:02}")).collect();
        let members = assigned.iter().enumerate().map(|(index, assigned)| MemberSpec {
            member_id: &ids[index],
            instance_id: None,
            topics: Arc::new(self.subscriptions[index].iter().map(|topic| topic_id(*topic)).collect()),
            assigned,
        });
        let subscribed: BTreeSet<usize> = self.subscriptions.iter().flatten().copied().collect();
        let partitions = subscribed.iter().map(|topic| (topic_id(*topic), self.partitions[*topic])).collect();
        assignor.assign(&GroupSpec { members: members.collect(), partitions, homogeneous })
    }

    /// The owner of each partition.
    fn check(&self, assignments: &[Assignment]) -> BTreeMap<(Uuid, i32), usize> {
        let mut owners = BTreeMap::new();
        for (member, assignment) in assignments.iter().enumerate() {
            for (topic, partitions) in assignment {
                let subscribes = self.subscriptions[member].iter().any(|subscribed| topic_id(*subscribed) == *topic);
                assert!(subscribes, "member {member} does not subscribe to {topic}");
                assert!(!partitions.is_empty());
                for partition in partitions {
                    let other = owners.insert((*topic, *partition), member);
                    assert_eq!(other, None, "{topic}-{partition} has two owners");
                }
            }
        }
        let subscribed: BTreeSet<usize> = self.subscriptions.iter().flatten().copied().collect();
        let total: usize = subscribed.iter().map(|topic| self.partitions[*topic]).sum();
        assert_eq!(owners.len(), total, "partitions are left out");
        owners
    }
}

fn sizes(assignments: &[Assignment]) -> Vec<usize> {
    assignments.iter().map(|assignment| assignment.values().map(BTreeSet::len).sum()).collect()
}

fn kept(before: &[Assignment], after: &[Assignment]) -> usize {
    let pairs = before.iter().zip(after);
    let kept = pairs.flat_map(|(before, after)| {
        before.iter().filter_map(|(topic, partitions)| Some(partitions.intersection(after.get(topic)?).count()))
    });
    kept.sum()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) })]

    #[test]
    fn uniform_spreads_evenly_over_equal_members_and_moves_the_least(case in case(true)) {
        let before = case.assigned();
        let after = case.assign(Assignor::Uniform, true, &before);
        let owners = case.check(&after);
        let (least, most) = (owners.len() / after.len(), owners.len().div_ceil(after.len()));
        prop_assert!(sizes(&after).iter().all(|size| (least..=most).contains(size)), "{:?}", sizes(&after));
        // A member keeps what it had up to its share.
        let subscribed = &case.subscriptions[0];
        let had: Vec<usize> = before
            .iter()
            .map(|assignment| {
                subscribed.iter().filter_map(|topic| assignment.get(&topic_id(*topic))).map(BTreeSet::len).sum()
            })
            .collect();
        let at_least: usize = had.iter().map(|had| (*had).min(least)).sum();
        prop_assert!(kept(&before, &after) >= at_least);
        prop_assert_eq!(&case.assign(Assignor::Uniform, true, &after), &after, "a balanced assignment stays");
    }

    #[test]
    fn uniform_gives_each_partition_to_one_subscriber(case in case(false)) {
        let after = case.assign(Assignor::Uniform, false, &case.assigned());
        case.check(&after);
        let again = case.assign(Assignor::Uniform, false, &after);
        case.check(&again);
        let spread = |assignments: &[Assignment]| {
            let sizes = sizes(assignments);
            sizes.iter().max().copied().unwrap_or(0) - sizes.iter().min().copied().unwrap_or(0)
        };
        prop_assert!(spread(&again) <= spread(&after), "a second round is no worse");
    }

    #[test]
    fn subscribers_of_one_topic_are_balanced(partitions in 1..40_usize, members in 1..9_usize) {
        let case = Case {
            partitions: vec![partitions, 3],
            subscriptions: (0..members).map(|_| BTreeSet::from([0])).chain([BTreeSet::from([1])]).collect(),
            owners: vec![vec![0; 40], vec![members; 40]],
        };
        let after = case.assign(Assignor::Uniform, false, &case.assigned());
        case.check(&after);
        let sizes = &sizes(&after)[..members];
        prop_assert!(sizes.iter().all(|size| (partitions / members..=partitions.div_ceil(members)).contains(size)));
    }

    #[test]
    fn range_gives_ranges_of_equal_size(case in case(false)) {
        let after = case.assign(Assignor::Range, false, &case.assigned());
        case.check(&after);
        for partitions in after.iter().flat_map(BTreeMap::values) {
            let (first, last) = (partitions.first().copied(), partitions.last().copied());
            let width = last.zip(first).map_or(0, |(last, first)| last - first + 1);
            prop_assert_eq!(usize::try_from(width).ok(), Some(partitions.len()));
        }
    }
}

#[test]
fn static_members_keep_their_range_when_their_ids_change() {
    let assigned = [Assignment::new(), Assignment::new()];
    let topics = Arc::new(BTreeSet::from([topic_id(0)]));
    let assign = |ids: [&str; 2]| {
        let member = |index: usize, instance| MemberSpec {
            member_id: ids[index],
            instance_id: Some(instance),
            topics: Arc::clone(&topics),
            assigned: &assigned[index],
        };
        let members = vec![member(0, "b"), member(1, "a")];
        Assignor::Range.assign(&GroupSpec { members, partitions: [(topic_id(0), 3)].into(), homogeneous: true })
    };
    assert_eq!(assign(["x", "y"]), assign(["y", "x"]));
    assert_eq!(assign(["x", "y"])[1][&topic_id(0)], BTreeSet::from([0, 1]));
}
