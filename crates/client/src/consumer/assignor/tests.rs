//! Assignments of small groups.

use std::collections::BTreeMap;

use ::protocol::TopicPartition;

use super::{Assignments, Assignor, Member, decode_assignment, decode_member, encode_assignment, subscription};

fn topics(topics: &[(&str, usize)]) -> BTreeMap<String, usize> {
    topics.iter().map(|(topic, partitions)| ((*topic).to_owned(), *partitions)).collect()
}

fn member(id: &str, topics: &[&str]) -> Member {
    let topics = topics.iter().map(|topic| (*topic).to_owned()).collect();
    Member { id: id.to_owned(), topics, generation: -1, ..Member::default() }
}

fn owning(mut member: Member, generation: i32, owned: &[TopicPartition]) -> Member {
    member.owned = owned.to_vec();
    member.generation = generation;
    member
}

fn text(assignments: &Assignments) -> String {
    let mut members: Vec<String> = assignments
        .iter()
        .map(|(member, partitions)| {
            let mut partitions = partitions.clone();
            partitions.sort();
            let partitions: Vec<String> = partitions.iter().map(ToString::to_string).collect();
            format!("{member}: {}", partitions.join(" "))
        })
        .collect();
    members.sort();
    members.join("\n")
}

#[test]
fn range_gives_the_first_members_one_more_of_each_topic() {
    let members = [member("b", &["t", "u"]), member("a", &["t", "u"])];
    let assigned = Assignor::Range.assign(&topics(&[("t", 3), ("u", 3)]), &members);
    assert_eq!(text(&assigned), "a: t-0 t-1 u-0 u-1\nb: t-2 u-2");
}

#[test]
fn range_puts_static_members_first() {
    let mut members = [member("a", &["t"]), member("b", &["t"])];
    members[1].instance_id = Some("z".to_owned());
    assert_eq!(text(&Assignor::Range.assign(&topics(&[("t", 3)]), &members)), "a: t-2\nb: t-0 t-1");
}

#[test]
fn round_robin_goes_on_across_topics_and_skips_who_is_not_subscribed() {
    let members = [member("a", &["t", "u"]), member("b", &["u"])];
    let assigned = Assignor::RoundRobin.assign(&topics(&[("t", 2), ("u", 3)]), &members);
    assert_eq!(text(&assigned), "a: t-0 t-1 u-1\nb: u-0 u-2");
}

#[test]
fn members_without_topics_get_nothing() {
    for assignor in [Assignor::Range, Assignor::RoundRobin, Assignor::Sticky, Assignor::CooperativeSticky] {
        assert_eq!(text(&assignor.assign(&topics(&[("t", 2)]), &[member("a", &[])])), "a: ");
    }
}

#[test]
fn sticky_is_even_and_keeps_what_it_can_when_a_member_joins_and_leaves() {
    let all = topics(&[("t", 7)]);
    let first = Assignor::Sticky.assign(&all, &[member("a", &["t"]), member("b", &["t"])]);
    assert_eq!(first["a"].len().abs_diff(first["b"].len()), 1);
    let joined = Assignor::Sticky.assign(
        &all,
        &[
            owning(member("a", &["t"]), 1, &first["a"]),
            owning(member("b", &["t"]), 1, &first["b"]),
            member("c", &["t"]),
        ],
    );
    let mut sizes: Vec<usize> = joined.values().map(Vec::len).collect();
    sizes.sort_unstable();
    assert_eq!(sizes, [2, 2, 3]);
    assert!(["a", "b"].iter().all(|id| joined[*id].iter().all(|kept| first[*id].contains(kept))));
    let left = Assignor::Sticky
        .assign(&all, &[owning(member("a", &["t"]), 2, &joined["a"]), owning(member("c", &["t"]), 2, &joined["c"])]);
    assert!(["a", "c"].iter().all(|id| joined[*id].iter().all(|kept| left[*id].contains(kept))));
}

#[test]
fn sticky_balances_unequal_subscriptions() {
    let members = [member("a", &["t"]), member("b", &["t", "u"]), member("c", &["t", "u", "v"])];
    let assigned = Assignor::Sticky.assign(&topics(&[("t", 1), ("u", 2), ("v", 3)]), &members);
    assert_eq!(text(&assigned), "a: t-0\nb: u-0 u-1\nc: v-0 v-1 v-2");
}

#[test]
fn cooperative_sticky_moves_nothing_before_its_owner_let_go() {
    let owned: Vec<TopicPartition> = (0..4).map(|index| TopicPartition::new("t", index)).collect();
    let members = [owning(member("a", &["t"]), 1, &owned), member("b", &["t"])];
    let all = topics(&[("t", 4)]);
    let first = Assignor::CooperativeSticky.assign(&all, &members);
    assert_eq!((first["a"].len(), first["b"].len()), (2, 0));
    let members = [owning(member("a", &["t"]), 2, &first["a"]), member("b", &["t"])];
    let second = Assignor::CooperativeSticky.assign(&all, &members);
    assert_eq!(second["a"], first["a"]);
    assert_eq!(second["b"].len(), 2);
}

#[test]
fn an_older_generation_does_not_own() {
    let owned = [TopicPartition::new("t", 0)];
    let members = [owning(member("a", &["t"]), 3, &owned), owning(member("b", &["t"]), 4, &owned)];
    let assigned = Assignor::Sticky.assign(&topics(&[("t", 1)]), &members);
    assert_eq!(text(&assigned), "a: \nb: t-0");
}

#[test]
fn subscriptions_and_assignments_survive_the_wire() {
    let owned = [TopicPartition::new("t", 3), TopicPartition::new("u", 0)];
    let member = owning(member("a", &["t", "u"]), 5, &owned);
    for assignor in [Assignor::Sticky, Assignor::CooperativeSticky] {
        let bytes = subscription(assignor, &member, "").unwrap();
        assert_eq!(decode_member(assignor, "a".to_owned(), None, &bytes).unwrap(), member);
    }
    assert_eq!(decode_assignment(&encode_assignment(&owned).unwrap()).unwrap(), owned);
}
