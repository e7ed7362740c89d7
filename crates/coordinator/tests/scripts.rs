//! Each script is a story: lines that start with `> ` are commands, the lines below say what must come of them.
//! `UPDATE_GOLDEN=1` rewrites the expectations; review the diff.

mod world;

use std::path::Path;

use coordinator::GroupConfig;
use world::World;

fn check(name: &str) {
    check_with(name, GroupConfig::default());
}

fn check_with(name: &str, config: GroupConfig) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scripts").join(name);
    let script = std::fs::read_to_string(&path).expect("the script");
    let mut world = World::new(config);
    let mut told = String::new();
    for line in script.lines() {
        if let Some(command) = line.strip_prefix("> ") {
            told.push_str(&format!("> {command}\n"));
            for outcome in world.run(command) {
                told.push_str(&format!("{outcome}\n"));
            }
        } else if line.is_empty() || line.starts_with("# ") {
            told.push_str(&format!("{line}\n"));
        }
    }
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, &told).expect("the script is written");
        return;
    }
    pretty_assertions(&script, &told, name);
}

fn pretty_assertions(expected: &str, told: &str, name: &str) {
    for (number, (expected, told)) in expected.lines().zip(told.lines()).enumerate() {
        assert_eq!(expected, told, "{name}:{}", number + 1);
    }
    assert_eq!(expected.lines().count(), told.lines().count(), "{name}: {told}");
}

#[test]
fn members_join_sync_and_leave() {
    check("join_sync_leave.txt");
}

#[test]
fn a_member_must_join_with_the_id_that_it_was_given() {
    check("member_id_required.txt");
}

#[test]
fn the_first_rebalance_waits_for_more_members() {
    check("initial_delay.txt");
}

#[test]
fn silent_members_are_removed() {
    check("timeouts.txt");
}

#[test]
fn static_members_keep_their_place() {
    check("static_members.txt");
}

#[test]
fn requests_that_do_not_fit_the_group_are_refused() {
    check("refusals.txt");
}

#[test]
fn members_agree_on_a_protocol() {
    check("protocols.txt");
}

#[test]
fn a_full_group_takes_nobody() {
    check_with("max_size.txt", GroupConfig { max_size: 2, initial_rebalance_delay_ms: 0, ..Default::default() });
}

#[test]
fn offsets_are_committed_and_fetched() {
    check("offsets.txt");
}

#[test]
fn offsets_and_groups_are_deleted() {
    check("deletes.txt");
}

#[test]
fn old_offsets_expire() {
    check_with("expiry.txt", GroupConfig { offsets_retention_ms: 3_600_000, ..Default::default() });
}

#[test]
fn nothing_counts_before_it_is_stored() {
    check("writes_in_flight.txt");
}

#[test]
fn consumer_groups_move_partitions_one_owner_at_a_time() {
    check("consumer/reconcile.txt");
}

#[test]
fn consumer_group_members_are_checked() {
    check("consumer/refusals.txt");
}

#[test]
fn static_members_of_consumer_groups_keep_their_place() {
    check("consumer/static_members.txt");
}

#[test]
fn regular_expressions_are_matched_by_the_coordinator() {
    check("consumer/regex.txt");
}

#[test]
fn silent_members_of_consumer_groups_are_fenced() {
    check("consumer/timeouts.txt");
}

#[test]
fn groups_migrate_between_the_protocols() {
    check("consumer/migration.txt");
}

#[test]
fn a_consumer_group_is_what_its_log_says() {
    check("consumer/reload.txt");
}

#[test]
fn offsets_of_consumer_groups_are_checked_by_epoch() {
    check("consumer/offsets.txt");
}

#[test]
fn a_shard_is_what_its_log_says() {
    check("reload.txt");
}
