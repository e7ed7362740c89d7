//! Random members, acknowledgements, lock timeouts, refused writes and crashes against one share-partition and its coordinator,
//! and what must hold whatever the order: a record that was accepted and stored is never delivered again; without a crash
//! no record is delivered more often than the limit; what the coordinator knows is what the share-partition knows; and at the
//! end all is done with.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use coordinator::share::{ShareAnswer, ShareConfig, ShareKey, ShareResponse, ShareShard};
use coordinator::{CoordinatorRecord, EffectsOf, ReplyToken, StateMachine, Write};
use metadata::{ClusterImage, ImageDelta, VersionedRecord};
use proptest::prelude::*;
use protocol::messages::{PartitionRecord, TopicRecord};
use protocol::types::Offset;
use protocol::{ErrorCode, Uuid};

use super::acknowledge::AcknowledgeError;
use super::*;

const MEMBERS: usize = 4;
const LOCK_MS: i64 = 1_000;
const LIMIT: i16 = 4;
const LOCKS: i64 = 60;
const RECORDS: Offset = 300;

#[derive(Debug, Clone)]
enum Step {
    Fetch {
        member: usize,
        records: i64,
        exact: bool,
    },
    /// Says something of the first range that the member has: one type for all, or one for each by a pattern.
    Say {
        member: usize,
        kind: i8,
        each: bool,
        part: bool,
    },
    Leave {
        member: usize,
    },
    Wait {
        ms: i64,
    },
    /// The oldest write under way is stored, or refused.
    Stored,
    Refused,
    Crash,
}

fn step(crashes: bool) -> impl Strategy<Value = Step> {
    let member = 0..MEMBERS;
    prop_oneof![
        6 => (member.clone(), 1..40_i64, any::<bool>())
            .prop_map(|(member, records, exact)| Step::Fetch { member, records, exact }),
        8 => (member.clone(), 0..5_i8, any::<bool>(), any::<bool>())
            .prop_map(|(member, kind, each, part)| Step::Say { member, kind, each, part }),
        1 => member.prop_map(|member| Step::Leave { member }),
        2 => (1..LOCK_MS).prop_map(|ms| Step::Wait { ms }),
        8 => Just(Step::Stored),
        u32::from(crashes) => Just(Step::Refused),
        u32::from(crashes) => Just(Step::Crash),
    ]
}

/// The coordinator with its log.
struct Store {
    shard: ShareShard,
    log: Vec<CoordinatorRecord>,
    /// Writes under way.
    writes: VecDeque<Write>,
    answers: Vec<(ReplyToken, ShareResponse)>,
    last_token: u64,
}

fn key() -> ShareKey {
    ShareKey { group_id: "g".into(), topic_id: Uuid::from_bytes([7; 16]), partition: 0 }
}

fn image() -> Arc<ClusterImage> {
    let topic_id = key().topic_id;
    let records = [
        VersionedRecord::new(TopicRecord { name: "t".to_owned(), topic_id, ..Default::default() }, 0),
        VersionedRecord::new(
            PartitionRecord {
                topic_id,
                partition_id: 0,
                replicas: vec![1],
                isr: vec![1],
                leader: 1,
                ..Default::default()
            },
            2,
        ),
    ];
    let (mut image, mut delta) = (ClusterImage::default(), ImageDelta::default());
    for record in &records {
        image.apply(&record.record, &mut delta).expect("applies");
    }
    Arc::new(image)
}

fn config() -> ShareConfig {
    ShareConfig { updates_per_snapshot: 5, cold_snapshot_interval_ms: 60_000, prune_interval_ms: 60_000 }
}

impl Store {
    fn new() -> Self {
        let mut store = Self {
            shard: ShareShard::new(config()),
            log: Vec::new(),
            writes: VecDeque::new(),
            answers: Vec::new(),
            last_token: 0,
        };
        store.load();
        let started = store.ask(|shard, token, out| shard.initialize(0, &key(), (1, 0), token, out));
        store.complete(Ok(()));
        assert!(matches!(store.answer(started), Some(Ok(ShareAnswer::Done))));
        store
    }

    /// Reads the log into a new shard.
    fn load(&mut self) {
        self.writes.clear();
        self.shard = ShareShard::new(config());
        for (offset, record) in (0..).zip(&self.log) {
            let pair = (Some(&record.key), record.value.as_ref());
            self.shard.replay(0, offset, None, pair).expect("reads what was written");
        }
        let mut out = EffectsOf::<ShareShard>::default();
        self.shard.loaded(0, &image(), &mut out);
        assert!(out.writes.is_empty());
    }

    fn ask(&mut self, request: impl FnOnce(&mut ShareShard, ReplyToken, &mut EffectsOf<ShareShard>)) -> ReplyToken {
        self.last_token += 1;
        let token = ReplyToken(self.last_token);
        let mut out = EffectsOf::<ShareShard>::default();
        request(&mut self.shard, token, &mut out);
        self.writes.extend(out.writes);
        self.answers.extend(out.replies);
        token
    }

    fn complete(&mut self, outcome: Result<(), ErrorCode>) {
        let Some(write) = self.writes.pop_front() else { return };
        let mut out = EffectsOf::<ShareShard>::default();
        let base_offset = self.log.len() as Offset;
        if outcome.is_ok() {
            self.log.extend(write.records);
        }
        self.shard.complete_write(0, write.id, outcome.map(|()| base_offset), &mut out);
        self.answers.extend(out.replies);
        if out.reload {
            self.load();
        }
    }

    fn answer(&mut self, token: ReplyToken) -> Option<ShareResponse> {
        let at = self.answers.iter().position(|(other, _)| *other == token)?;
        Some(self.answers.swap_remove(at).1)
    }

    fn state(&mut self) -> ShareState {
        while !self.writes.is_empty() {
            self.complete(Ok(()));
        }
        let read = self.ask(|shard, token, out| shard.read(0, &key(), -1, token, out));
        match self.answer(read) {
            Some(Ok(ShareAnswer::State(state))) => *state,
            other => panic!("no state: {other:?}"),
        }
    }
}

struct World {
    store: Store,
    partition: SharePartition,
    log: Vec<FetchedBatch>,
    now_ms: i64,
    has: [Vec<AcquiredRange>; MEMBERS],
    deliveries: BTreeMap<Offset, i16>,
    /// Accepted, and stored.
    accepted: BTreeMap<Offset, bool>,
    under_way: VecDeque<(ReplyToken, WriteId, Vec<Offset>)>,
    crashed: bool,
}

fn settings() -> ShareSettings {
    ShareSettings { lock_duration_ms: LOCK_MS, delivery_limit: LIMIT, max_record_locks: LOCKS, renew_enabled: true }
}

impl World {
    fn new() -> Self {
        let mut store = Store::new();
        let partition = SharePartition::new(settings(), 0, 0, &store.state()).expect("takes over");
        let mut log = Vec::new();
        let mut base_offset = 0;
        while base_offset < RECORDS {
            let last_offset = base_offset + (base_offset * 7 + 3) % 11;
            log.push(FetchedBatch {
                base_offset,
                last_offset,
                transactional: None,
                aborts: false,
                position: 0,
                size: 0,
            });
            base_offset = last_offset + 1;
        }
        Self {
            store,
            partition,
            log,
            now_ms: 0,
            has: Default::default(),
            deliveries: BTreeMap::new(),
            accepted: BTreeMap::new(),
            under_way: VecDeque::new(),
            crashed: false,
        }
    }

    fn run(&mut self, step: Step) {
        match step {
            Step::Fetch { member, records, exact } => self.fetch(member, records, exact),
            Step::Say { member, kind, each, part } => self.say(member, kind, each, part),
            Step::Leave { member } => {
                self.has[member].clear();
                let persist = self.partition.release_all(&name(member));
                self.store(persist, Vec::new());
            }
            Step::Wait { ms } => {
                self.now_ms += ms;
                let persist = self.partition.expire(self.now_ms);
                self.store(persist, Vec::new());
            }
            Step::Stored => self.complete(Ok(())),
            Step::Refused => {
                self.crashed = true;
                self.complete(Err(ErrorCode::NotEnoughReplicas));
            }
            Step::Crash => self.crash(),
        }
    }

    fn fetch(&mut self, member: usize, records: i64, exact: bool) {
        if !self.partition.can_acquire() {
            return;
        }
        let fetch_offset = self.partition.next_fetch_offset();
        let from = self.log.partition_point(|batch| batch.last_offset < fetch_offset);
        let mode = if exact { AcquireMode::RecordLimit } else { AcquireMode::BatchOptimized };
        let acquired = self.partition.acquire(&AcquireRequest {
            member: &name(member),
            mode,
            batch_size: 10,
            max_records: records,
            fetch_offset,
            batches: &self.log[from..self.log.len().min(from + 12)],
            aborted: &[],
            now_ms: self.now_ms,
        });
        let mut count = 0;
        for range in &acquired.ranges {
            for offset in range.first_offset..=range.last_offset {
                count += 1;
                let deliveries = self.deliveries.entry(offset).or_default();
                *deliveries += 1;
                assert!(!self.accepted.get(&offset).copied().unwrap_or(false), "{offset} was accepted");
                assert!(range.delivery_count <= LIMIT);
                if !self.crashed {
                    assert_eq!(*deliveries, range.delivery_count, "deliveries of {offset}");
                }
            }
        }
        assert_eq!(count, acquired.count);
        assert!(!exact || count <= records);
        assert!(self.partition.in_flight() <= LOCKS + 12);
        self.has[member].extend(acquired.ranges);
    }

    fn say(&mut self, member: usize, kind: i8, each: bool, part: bool) {
        let Some(mut range) = self.has[member].pop() else { return };
        if part && range.last_offset > range.first_offset {
            self.has[member].push(AcquiredRange { last_offset: range.first_offset, ..range });
            range.first_offset += 1;
        }
        let count = range.last_offset - range.first_offset + 1;
        let kinds = (0..count).map(|at| if each { (at % 4) as i8 } else { kind });
        let mut types: Vec<_> = kinds.map(|kind| AcknowledgeType::from_code(kind).expect("a type")).collect();
        if kind == 4 || !each {
            types = vec![AcknowledgeType::from_code(kind).expect("a type")];
        }
        let (first_offset, last_offset) = (range.first_offset, range.last_offset);
        let accepted = (first_offset..=last_offset).zip(types.iter().cycle());
        let accepted =
            accepted.filter(|(_, kind)| **kind == AcknowledgeType::Accept).map(|(offset, _)| offset).collect();
        if types == [AcknowledgeType::Renew] {
            self.has[member].push(range);
        }
        let said = [Acknowledgement { first_offset, last_offset, types }];
        let before = format!("{:?}", self.partition.batches.len());
        // A member may have lost its records meanwhile.
        match self.partition.acknowledge(&name(member), &said, self.now_ms) {
            Ok(persist) => self.store(persist, accepted),
            Err(_) => assert_eq!(before, format!("{:?}", self.partition.batches.len())),
        }
    }

    fn store(&mut self, persist: Option<Persist>, accepted: Vec<Offset>) {
        let Some(Persist { id, write }) = persist else { return };
        let token = self.store.ask(|shard, token, out| shard.write(0, &key(), &write, token, out));
        self.under_way.push_back((token, id, accepted));
    }

    fn complete(&mut self, outcome: Result<(), ErrorCode>) {
        self.store.complete(outcome);
        while let Some((token, id, accepted)) = self.under_way.front().cloned() {
            let Some(response) = self.store.answer(token) else { break };
            self.under_way.pop_front();
            self.partition.persisted(id, response.is_ok(), self.now_ms);
            if response.is_ok() {
                self.accepted.extend(accepted.into_iter().map(|offset| (offset, true)));
            }
        }
    }

    /// The broker forgets what it did not store.
    fn crash(&mut self) {
        self.crashed = true;
        self.under_way.clear();
        self.store.load();
        let state = self.store.state();
        self.partition = SharePartition::new(settings(), 0, state.start_offset.max(0), &state).expect("takes over");
        self.has = Default::default();
    }

    /// What was stored is what is known.
    fn check_stored(&mut self) {
        while !self.under_way.is_empty() {
            self.complete(Ok(()));
        }
        let state = self.store.state();
        let loaded = SharePartition::new(settings(), 0, state.start_offset.max(0), &state).expect("takes over");
        let from = self.partition.start_offset().max(loaded.start_offset());
        let stored = done(&loaded, from);
        assert_eq!(stored, done(&self.partition, from));
    }

    fn finish(&mut self) {
        for _ in 0..2_000 {
            for member in 0..MEMBERS {
                self.has[member].clear();
                self.fetch(member, 40, false);
                while !self.has[member].is_empty() {
                    self.say(member, 1, false, false);
                }
            }
            while !self.under_way.is_empty() {
                self.complete(Ok(()));
            }
            self.run(Step::Wait { ms: LOCK_MS });
            if self.partition.start_offset() > self.log.last().map_or(0, |batch| batch.last_offset) {
                return;
            }
        }
        panic!("stuck at {}: {:?}", self.partition.start_offset(), self.partition);
    }
}

fn name(member: usize) -> Member {
    format!("m{member}").into()
}

/// Which records from an offset on are done with.
fn done(partition: &SharePartition, from: Offset) -> Vec<Offset> {
    let parts = partition.batches.values().flat_map(InFlightBatch::parts);
    let done = parts.filter(|(_, record)| record.is_settled()).flat_map(|((first, last), _)| first..=last);
    done.filter(|offset| *offset >= from).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn records_are_delivered_up_to_the_limit_and_never_after_they_were_accepted(
        steps in prop::collection::vec(step(false), 0..200),
    ) {
        let mut world = World::new();
        for step in steps {
            world.run(step);
        }
        world.check_stored();
        world.finish();
    }

    #[test]
    fn what_was_stored_survives_crashes_and_refused_writes(steps in prop::collection::vec(step(true), 0..200)) {
        let mut world = World::new();
        for step in steps {
            world.run(step);
        }
        world.finish();
    }
}

fn fetched(ranges: &[(Offset, Offset)]) -> Vec<FetchedBatch> {
    let batch = |(base_offset, last_offset): &(Offset, Offset)| FetchedBatch {
        base_offset: *base_offset,
        last_offset: *last_offset,
        transactional: None,
        aborts: false,
        position: 0,
        size: 0,
    };
    ranges.iter().map(batch).collect()
}

fn acquire(
    partition: &mut SharePartition,
    member: &str,
    max_records: i64,
    batches: &[FetchedBatch],
) -> Vec<(Offset, Offset, i16)> {
    let fetch_offset = partition.next_fetch_offset();
    let acquired = partition.acquire(&AcquireRequest {
        member: &member.into(),
        mode: AcquireMode::BatchOptimized,
        batch_size: 500,
        max_records,
        fetch_offset,
        batches,
        aborted: &[],
        now_ms: 0,
    });
    acquired.ranges.iter().map(|range| (range.first_offset, range.last_offset, range.delivery_count)).collect()
}

#[test]
fn a_lock_that_ends_gives_its_records_to_others() {
    let mut partition = SharePartition::new(settings(), 0, 0, &ShareState::default()).expect("new");
    let log = fetched(&[(0, 4), (5, 9)]);
    assert_eq!(acquire(&mut partition, "a", 5, &log), [(0, 4, 1)]);
    assert_eq!(acquire(&mut partition, "b", 5, &log[1..]), [(5, 9, 1)]);
    assert!(partition.expire(LOCK_MS - 1).is_none());
    let persist = partition.expire(LOCK_MS).expect("both");
    assert_eq!(persist.write.state_batches.len(), 1);
    assert_eq!(acquire(&mut partition, "c", 100, &log), [(0, 4, 2), (5, 9, 2)]);
    let said = [Acknowledgement { first_offset: 0, last_offset: 4, types: vec![AcknowledgeType::Accept] }];
    assert_eq!(partition.acknowledge("a", &said, LOCK_MS), Err(AcknowledgeError::NotOwnerOfBatch));
}

#[test]
fn gaps_of_a_loaded_state_are_fetched_again() {
    let batches = vec![StateBatch { first_offset: 5, last_offset: 9, delivery_state: 2, delivery_count: 1 }];
    let state = ShareState { state_batches: batches, ..ShareState::default() };
    let mut partition = SharePartition::new(settings(), 0, 0, &state).expect("loads");
    assert_eq!(partition.next_fetch_offset(), 0);
    assert_eq!(acquire(&mut partition, "a", 100, &fetched(&[(0, 14)])), [(0, 4, 1), (10, 14, 1)]);
    let said = [Acknowledgement { first_offset: 0, last_offset: 4, types: vec![AcknowledgeType::Accept] }];
    let persist = partition.acknowledge("a", &said, 0).expect("has it").expect("to store");
    partition.persisted(persist.id, true, 0);
    assert_eq!(partition.start_offset(), 10);
}

#[test]
fn records_below_the_start_of_the_log_are_gone() {
    let mut partition = SharePartition::new(settings(), 0, 0, &ShareState::default()).expect("new");
    acquire(&mut partition, "a", 10, &fetched(&[(0, 9)]));
    partition.log_start_moved(5);
    let said = [Acknowledgement { first_offset: 0, last_offset: 9, types: vec![AcknowledgeType::Release] }];
    let persist = partition.acknowledge("a", &said, 0).expect("has it").expect("to store");
    let stored: Vec<_> =
        persist.write.state_batches.iter().map(|batch| (batch.first_offset, batch.last_offset)).collect();
    assert_eq!((persist.write.start_offset, stored), (5, vec![(5, 9)]));
    partition.persisted(persist.id, true, 0);
    assert_eq!(partition.next_fetch_offset(), 5);
}

#[test]
fn aborted_batches_are_archived() {
    let mut partition = SharePartition::new(settings(), 0, 0, &ShareState::default()).expect("new");
    let batches = fetched(&[(0, 4), (5, 9), (10, 14)]);
    let acquired = partition.acquire(&AcquireRequest {
        member: &"a".into(),
        mode: AcquireMode::BatchOptimized,
        batch_size: 500,
        max_records: 100,
        fetch_offset: 0,
        batches: &batches,
        aborted: &batches[1..2],
        now_ms: 0,
    });
    let ranges: Vec<_> = acquired.ranges.iter().map(|range| (range.first_offset, range.last_offset)).collect();
    assert_eq!((ranges, acquired.count), (vec![(0, 4), (10, 14)], 10));
}

#[test]
fn a_record_on_its_last_delivery_comes_alone() {
    let mut partition = SharePartition::new(settings(), 0, 0, &ShareState::default()).expect("new");
    let log = fetched(&[(0, 7)]);
    let mut seen = Vec::new();
    let mut now_ms = 0;
    for _ in 0..12 {
        seen.push(acquire(&mut partition, "a", 100, &log));
        now_ms += 10 * LOCK_MS;
        drop(partition.expire(now_ms));
    }
    assert_eq!(seen[0], [(0, 7, 1)]);
    assert_eq!(seen[1], [(0, 7, 2)]);
    assert_eq!(seen[2], [(0, 3, 3)]);
    assert_eq!(seen[3], [(0, 0, 4)]);
}
