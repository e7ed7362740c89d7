//! The least and the most loaded of some members, one after the other, while partitions move from these to those.
//! Members are taken from a range of equals at either end; a range grows when each of its members had its turn.

/// Members in the order of their loads when the balancer was made. What moves since is known by the turns.
pub(super) struct Balancer {
    /// Load and member.
    members: Vec<(isize, usize)>,
    /// The least loaded are `..least_end`; their load, and who is next.
    least_end: usize,
    least_load: isize,
    next_least: usize,
    /// The most loaded are `most_start..most_end`; their load, and one after who is next.
    most_start: usize,
    most_end: usize,
    most_load: isize,
    after_next_most: usize,
}

impl Balancer {
    /// A balancer of `members`, of which there is at least one. `loads` is by member.
    pub(super) fn new(loads: &[usize], members: &[usize]) -> Self {
        let load = |member: usize| isize::try_from(loads[member]).unwrap_or(isize::MAX);
        let mut members: Vec<(isize, usize)> = members.iter().map(|member| (load(*member), *member)).collect();
        members.sort_unstable();
        let least_load = members.first().map_or(0, |(load, _)| *load) - 1;
        let most_load = members.last().map_or(0, |(load, _)| *load) + 1;
        Self {
            least_end: 0,
            least_load,
            next_least: 0,
            most_start: members.len(),
            most_end: members.len(),
            most_load,
            after_next_most: members.len(),
            members,
        }
    }

    /// How much more the most loaded has than the least loaded.
    pub(super) fn imbalance(&self) -> isize {
        let load = |member: Option<&(isize, usize)>| member.map_or(0, |(load, _)| *load);
        load(self.members.last()) - load(self.members.first())
    }

    /// Who gets the next partition.
    pub(super) fn next_least(&mut self) -> usize {
        if self.next_least >= self.least_end {
            self.least_load += 1;
            while self.members.get(self.least_end).is_some_and(|(load, _)| *load == self.least_load) {
                self.least_end += 1;
            }
            self.next_least = 0;
        }
        self.next_least += 1;
        self.members[self.next_least - 1].1
    }

    /// Who gives the next partition; nobody if all that could have nothing to give.
    pub(super) fn next_most(&mut self) -> Option<usize> {
        if self.after_next_most <= self.most_start {
            if self.most_end <= self.most_start && self.most_start > 0 {
                self.most_load = self.members[self.most_start - 1].0;
            } else {
                self.most_load -= 1;
            }
            while self.most_start > 0 && self.members[self.most_start - 1].0 == self.most_load {
                self.most_start -= 1;
            }
            self.after_next_most = self.most_end;
        }
        self.after_next_most = self.after_next_most.checked_sub(1)?;
        Some(self.members[self.after_next_most].1)
    }

    /// The member that was to give has nothing: it is asked no more.
    pub(super) fn exclude_most(&mut self) {
        self.most_end -= 1;
        self.members.swap(self.after_next_most, self.most_end);
    }

    /// Whether moving a partition from the most to the least loaded would gain nothing.
    pub(super) fn is_balanced(&self) -> bool {
        self.most_load - self.least_load <= 1
    }
}
