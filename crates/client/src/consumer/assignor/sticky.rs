//! The sticky assignor: shares differ by as little as the subscriptions allow, and members keep what they own as far as
//! that allows (KIP-54).

use std::collections::{BTreeMap, HashMap};

use protocol::TopicPartition;

use super::{Assignments, Member, partition};

/// A member's index.
type Place = usize;

pub(super) fn assign(topics: &BTreeMap<String, usize>, members: &[&Member]) -> Assignments {
    let mut state = State::new(topics, members);
    state.keep_owned();
    state.place_unassigned();
    state.balance();
    members.iter().zip(state.shares).map(|(member, share)| (member.id.clone(), share)).collect()
}

/// Who owns each partition. Where several claim one, the youngest generation is right; two of the same generation
/// cannot both be, so neither is.
pub(super) fn owners(members: &[&Member]) -> HashMap<TopicPartition, Place> {
    let mut claims: HashMap<&TopicPartition, (i32, Option<Place>)> = HashMap::new();
    for (place, member) in members.iter().enumerate() {
        for owned in &member.owned {
            let claim = claims.entry(owned).or_insert((i32::MIN, None));
            if member.generation > claim.0 {
                *claim = (member.generation, Some(place));
            } else if member.generation == claim.0 {
                claim.1 = None;
            }
        }
    }
    claims.into_iter().filter_map(|(owned, (_, place))| Some((owned.clone(), place?))).collect()
}

struct State<'a> {
    topics: &'a BTreeMap<String, usize>,
    members: &'a [&'a Member],
    /// Members subscribed to each topic.
    subscribed: BTreeMap<&'a str, Vec<Place>>,
    shares: Vec<Vec<TopicPartition>>,
    unassigned: Vec<TopicPartition>,
}

impl<'a> State<'a> {
    fn new(topics: &'a BTreeMap<String, usize>, members: &'a [&'a Member]) -> Self {
        let mut subscribed: BTreeMap<&str, Vec<Place>> = BTreeMap::new();
        for (place, member) in members.iter().enumerate() {
            for topic in member.topics.iter().filter_map(|topic| topics.get_key_value(topic)) {
                subscribed.entry(topic.0.as_str()).or_default().push(place);
            }
        }
        Self { topics, members, subscribed, shares: vec![Vec::new(); members.len()], unassigned: Vec::new() }
    }

    fn keep_owned(&mut self) {
        let owners = owners(self.members);
        for (topic, subscribed) in &self.subscribed {
            for index in 0..self.topics[*topic] {
                let partition = partition(topic, index);
                match owners.get(&partition).filter(|owner| subscribed.contains(owner)) {
                    Some(owner) => self.shares[*owner].push(partition),
                    None => self.unassigned.push(partition),
                }
            }
        }
    }

    /// Gives each partition without an owner to the least loaded member, those with the fewest candidates first.
    fn place_unassigned(&mut self) {
        let mut unassigned = std::mem::take(&mut self.unassigned);
        unassigned.sort_by_key(|partition| self.subscribed[&*partition.topic].len());
        for partition in unassigned {
            let candidates = &self.subscribed[&*partition.topic];
            if let Some(place) = candidates.iter().min_by_key(|place| self.shares[**place].len()) {
                self.shares[*place].push(partition);
            }
        }
    }

    /// Moves partitions from the most loaded member to a less loaded one while that makes shares more equal. Each move
    /// lowers the sum of the squares of the loads, so this ends.
    fn balance(&mut self) {
        let mut by_load: Vec<Place> = (0..self.members.len()).collect();
        loop {
            by_load.sort_by_key(|place| std::cmp::Reverse(self.shares[*place].len()));
            let Some((from, at, to)) = by_load.iter().find_map(|from| self.move_from(*from)) else { return };
            let moved = self.shares[from].remove(at);
            self.shares[to].push(moved);
        }
    }

    fn move_from(&self, from: Place) -> Option<(Place, usize, Place)> {
        let load = self.shares[from].len();
        // The last ones are the newest: what was kept stays.
        for (at, partition) in self.shares[from].iter().enumerate().rev() {
            let candidates = &self.subscribed[&*partition.topic];
            let least = candidates.iter().min_by_key(|place| self.shares[**place].len());
            if let Some(to) = least.filter(|place| self.shares[**place].len() + 1 < load) {
                return Some((from, at, *to));
            }
        }
        None
    }
}
