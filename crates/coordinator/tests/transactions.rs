//! Random producers, fences, timeouts, refused writes and crashes against one shard and the partitions that the transactions
//! write to. Whatever the order: what a producer was told is committed is seen once and whole, what it aborted or lost is
//! never seen, no producer commits after another took its transactional id, and at the end no transaction hangs.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::{BufMut, Bytes, BytesMut};
use coordinator::{
    CoordinatorRecord, EndTransaction, InitProducer, Markers, Producer, ReplyToken, StateMachine, TransactionAction,
    TransactionConfig, TransactionEffects, TransactionOutcome, TransactionResponse, TransactionShard, Write,
};
use proptest::prelude::*;
use protocol::messages::{Message, TransactionLogKey, TransactionLogValue};
use protocol::{ErrorCode, TopicPartition};

const CLIENTS: usize = 4;
const PARTITIONS: i32 = 3;
/// Clients 0 and 2 want the one, 1 and 3 the other; the second is about to use its epochs up.
const IDS: [&str; 2] = ["plain", "worn"];
const TIMEOUT_MS: i32 = 60_000;

#[derive(Debug, Clone)]
enum Step {
    Init(usize),
    Write(usize, i32),
    End(usize, TransactionOutcome),
    Tick(i64),
    Complete,
    Refuse,
    WriteMarkers,
    Crash,
}

fn step() -> impl Strategy<Value = Step> {
    let client = 0..CLIENTS;
    let outcome = prop_oneof![2 => Just(TransactionOutcome::Committed), 1 => Just(TransactionOutcome::Aborted)];
    prop_oneof![
        3 => client.clone().prop_map(Step::Init),
        8 => (client.clone(), 0..PARTITIONS).prop_map(|(client, partition)| Step::Write(client, partition)),
        6 => (client, outcome).prop_map(|(client, outcome)| Step::End(client, outcome)),
        1 => (0_i64..90_000).prop_map(Step::Tick),
        10 => Just(Step::Complete),
        1 => Just(Step::Refuse),
        8 => Just(Step::WriteMarkers),
        1 => Just(Step::Crash),
    ]
}

/// What became of a transaction, as far as its producer knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Open,
    Committed,
    Lost,
    /// The producer wanted to commit it and heard nothing.
    Unknown,
}

#[derive(Debug, Default, Clone)]
struct Client {
    producer: Option<Producer>,
    transaction: Option<usize>,
    /// It wants to end the transaction and was told to come again.
    ending: Option<TransactionOutcome>,
    /// Partitions that the coordinator knows to be in the transaction.
    added: BTreeSet<i32>,
    waits: bool,
}

#[derive(Debug, Clone, Copy)]
enum Asked {
    Init(usize),
    Write(usize, i32, usize),
    End(usize, TransactionOutcome),
}

#[derive(Debug, Clone, Copy)]
enum Entry {
    Data { producer: Producer, transaction: usize },
    Marker { producer: Producer, outcome: TransactionOutcome },
}

struct World {
    shard: TransactionShard,
    version: i16,
    now_ms: i64,
    tokens: u64,
    fresh: i64,
    clients: Vec<Client>,
    waiting: BTreeMap<ReplyToken, Asked>,
    writes: VecDeque<Write>,
    markers: VecDeque<Markers>,
    log: Vec<CoordinatorRecord>,
    partitions: Vec<Vec<Entry>>,
    fates: Vec<Fate>,
}

fn shard(version: i16) -> TransactionShard {
    let mut shard = <TransactionShard as StateMachine>::new(TransactionConfig::default());
    shard.set_version(version);
    shard
}

fn prefixed<M: Message>(prefix: i16, message: &M, version: i16) -> Bytes {
    let mut bytes = BytesMut::new();
    bytes.put_i16(prefix);
    bytes.extend_from_slice(&message.encode_to_bytes(version).unwrap());
    bytes.freeze()
}

fn worn() -> CoordinatorRecord {
    let value = TransactionLogValue {
        producer_id: 7,
        producer_epoch: i16::MAX - 4,
        transaction_timeout_ms: TIMEOUT_MS,
        transaction_start_timestamp_ms: -1,
        ..Default::default()
    };
    let key = TransactionLogKey { transactional_id: IDS[1].to_owned() };
    CoordinatorRecord { key: prefixed(0, &key, 0), value: Some(prefixed(0, &value, 0)) }
}

impl World {
    fn new(version: i16) -> Self {
        let mut world = Self {
            shard: shard(version),
            version,
            now_ms: 0,
            tokens: 0,
            fresh: 1_000,
            clients: vec![Client::default(); CLIENTS],
            waiting: BTreeMap::new(),
            writes: VecDeque::new(),
            markers: VecDeque::new(),
            log: vec![worn()],
            partitions: vec![Vec::new(); PARTITIONS as usize],
            fates: Vec::new(),
        };
        world.load();
        world
    }

    fn load(&mut self) {
        self.shard = shard(self.version);
        for record in &self.log {
            self.shard.replay(self.now_ms, 0, None, (Some(&record.key), record.value.as_ref())).unwrap();
        }
        let mut out = TransactionEffects::default();
        self.shard.loaded(self.now_ms, &std::sync::Arc::default(), &mut out);
        self.shard.set_version(self.version);
        self.take(out);
    }

    fn run(&mut self, step: &Step) {
        match *step {
            Step::Init(client) => self.init(client),
            Step::Write(client, partition) => self.write(client, partition),
            Step::End(client, outcome) => self.end(client, outcome),
            Step::Tick(ms) => self.tick(ms),
            Step::Complete => self.complete(None),
            Step::Refuse => self.complete(Some(ErrorCode::NotEnoughReplicas)),
            Step::WriteMarkers => self.write_markers(),
            Step::Crash => self.crash(),
        }
    }

    fn ask(
        &mut self,
        asked: Asked,
        request: impl Fn(&mut TransactionShard, i64, Option<i64>, ReplyToken, &mut TransactionEffects),
    ) {
        for fresh in [None, Some(self.fresh)] {
            self.tokens += 1;
            let token = ReplyToken(self.tokens);
            let mut out = TransactionEffects::default();
            request(&mut self.shard, self.now_ms, fresh, token, &mut out);
            if out.replies.contains(&(token, TransactionResponse::NeedsProducerId)) {
                assert!(fresh.is_none() && out.writes.is_empty(), "asked for an id that it has");
                self.fresh += 1;
                continue;
            }
            self.waiting.insert(token, asked);
            self.clients[asked.client()].waits = true;
            return self.take(out);
        }
        unreachable!("a fresh producer id is not enough");
    }

    fn init(&mut self, client: usize) {
        if self.clients[client].waits {
            return;
        }
        self.lose(client);
        let request = InitProducer {
            transactional_id: IDS[client % 2].to_owned(),
            timeout_ms: TIMEOUT_MS,
            enable_2pc: false,
            keep_prepared: false,
            expected: None,
        };
        self.ask(Asked::Init(client), move |shard, now_ms, fresh, token, out| {
            shard.init_producer(now_ms, &request, fresh, token, out);
        });
    }

    fn write(&mut self, client: usize, partition: i32) {
        let state = &mut self.clients[client];
        let (Some(producer), None, false) = (state.producer, state.ending, state.waits) else { return };
        let transaction = *state.transaction.get_or_insert_with(|| {
            self.fates.push(Fate::Open);
            self.fates.len() - 1
        });
        // Before version 2 the epoch stays, so the partition cannot tell the transaction from the one before: the client asks.
        let is_known = self.version >= 2 || state.added.contains(&partition);
        if is_known && self.is_open(partition, producer) {
            return self.append(client, partition, transaction);
        }
        let partitions = BTreeSet::from([TopicPartition::new("t", partition)]);
        let client_version = self.version;
        self.ask(Asked::Write(client, partition, transaction), move |shard, now_ms, _, token, out| {
            shard.add_partitions(now_ms, (IDS[client % 2], producer), (&partitions, client_version), token, out);
        });
    }

    fn end(&mut self, client: usize, outcome: TransactionOutcome) {
        let state = &mut self.clients[client];
        let (Some(producer), Some(_), false) = (state.producer, state.transaction, state.waits) else { return };
        let outcome = *state.ending.get_or_insert(outcome);
        let request = EndTransaction {
            transactional_id: IDS[client % 2].to_owned(),
            producer,
            outcome,
            client_version: self.version,
        };
        self.ask(Asked::End(client, outcome), move |shard, now_ms, fresh, token, out| {
            shard.end_transaction(now_ms, &request, fresh, token, out);
        });
    }

    fn tick(&mut self, ms: i64) {
        self.now_ms += ms;
        let mut out = TransactionEffects::default();
        self.shard.tick(self.now_ms, &mut out);
        self.take(out);
    }

    fn complete(&mut self, refused: Option<ErrorCode>) {
        let Some(write) = self.writes.pop_front() else { return };
        let outcome = refused.map_or(Ok(self.log.len() as i64), Err);
        if refused.is_none() {
            self.log.extend(write.records);
        }
        let mut out = TransactionEffects::default();
        self.shard.complete_write(self.now_ms, write.id, outcome, &mut out);
        self.take(out);
    }

    fn write_markers(&mut self) {
        let Some(markers) = self.markers.pop_front() else { return };
        for partition in &markers.partitions {
            let log = &mut self.partitions[partition.partition as usize];
            log.push(Entry::Marker { producer: markers.producer, outcome: markers.outcome });
        }
        let mut out = TransactionEffects::default();
        self.shard.markers_written(self.now_ms, &markers, Vec::new(), &mut out);
        self.take(out);
    }

    /// What was not in the log is gone, and so is every answer that had not left.
    fn crash(&mut self) {
        self.writes.clear();
        self.markers.clear();
        for asked in std::mem::take(&mut self.waiting).into_values() {
            self.clients[asked.client()].waits = false;
            match asked {
                Asked::End(client, TransactionOutcome::Committed) => self.doubt(client),
                Asked::End(..) | Asked::Init(_) | Asked::Write(..) => {}
            }
        }
        self.load();
    }

    fn take(&mut self, out: TransactionEffects) {
        self.writes.extend(out.writes);
        for action in out.actions {
            match action {
                TransactionAction::WriteMarkers(markers) => self.markers.push_back(markers),
                TransactionAction::AllocateProducerId { .. } => {
                    self.fresh += 1;
                    let mut out = TransactionEffects::default();
                    self.shard.give_producer_id(self.now_ms, self.fresh, &mut out);
                    self.take(out);
                }
            }
        }
        for (token, response) in out.replies {
            let asked = self.waiting.remove(&token).expect("a token is answered once");
            self.clients[asked.client()].waits = false;
            self.answered(asked, response);
        }
    }

    fn answered(&mut self, asked: Asked, response: TransactionResponse) {
        let client = asked.client();
        match (asked, response) {
            (Asked::Init(_), TransactionResponse::Done(producer)) => {
                self.clients[client] = Client { producer, ..Client::default() };
                // Whoever had the id before may not commit any more.
                for other in (0..CLIENTS).filter(|other| *other != client && other % 2 == client % 2) {
                    if self.clients[other].producer.is_some() && !self.clients[other].waits {
                        self.lose(other);
                    }
                }
            }
            (Asked::Write(_, partition, transaction), TransactionResponse::Done(_)) => {
                self.clients[client].added.insert(partition);
                self.append(client, partition, transaction);
            }
            (Asked::End(_, outcome), TransactionResponse::Done(producer)) => {
                let transaction = self.clients[client].transaction.take().expect("it ended one");
                let fate = match outcome {
                    TransactionOutcome::Committed => Fate::Committed,
                    TransactionOutcome::Aborted => Fate::Lost,
                };
                assert_ne!(self.fates[transaction], Fate::Lost, "a fenced producer committed");
                self.fates[transaction] = fate;
                self.clients[client].ending = None;
                self.clients[client].added.clear();
                if let Some(producer) = producer {
                    self.clients[client].producer = Some(producer);
                }
            }
            (
                Asked::Write(..) | Asked::End(..),
                TransactionResponse::Refused(ErrorCode::ConcurrentTransactions | ErrorCode::CoordinatorNotAvailable),
            )
            | (Asked::Init(_), TransactionResponse::Refused(_)) => {}
            (Asked::Write(..) | Asked::End(..), TransactionResponse::Refused(_)) => self.lose(client),
            (_, TransactionResponse::NeedsProducerId) => unreachable!("the request had one"),
        }
    }

    /// The producer gives up; what it wanted to commit and is in doubt stays so.
    fn lose(&mut self, client: usize) {
        let state = std::mem::take(&mut self.clients[client]);
        if let Some(transaction) = state.transaction
            && self.fates[transaction] == Fate::Open
        {
            self.fates[transaction] = Fate::Lost;
        }
    }

    fn doubt(&mut self, client: usize) {
        if let Some(transaction) = self.clients[client].transaction {
            self.fates[transaction] = Fate::Unknown;
        }
    }

    fn append(&mut self, client: usize, partition: i32, transaction: usize) {
        let Some(producer) = self.clients[client].producer else { return };
        let log = &mut self.partitions[partition as usize];
        let fenced = log.iter().any(|entry| {
            let (Entry::Data { producer: other, .. } | Entry::Marker { producer: other, .. }) = entry;
            other.id == producer.id && other.epoch > producer.epoch
        });
        if fenced {
            return self.lose(client);
        }
        log.push(Entry::Data { producer, transaction });
    }

    fn is_open(&self, partition: i32, producer: Producer) -> bool {
        let last = self.partitions[partition as usize].iter().rev().find_map(|entry| match entry {
            Entry::Data { producer: other, .. } if other.id == producer.id => Some(other.epoch == producer.epoch),
            Entry::Marker { producer: other, .. } if other.id == producer.id => Some(false),
            _ => None,
        });
        last.unwrap_or(false)
    }

    /// Lets everything end, then compares what readers see with what producers were told.
    fn check(&mut self) {
        for _ in 0..200 {
            while !(self.writes.is_empty() && self.markers.is_empty()) {
                self.complete(None);
                self.write_markers();
            }
            self.tick(20_000);
        }
        assert!(self.waiting.is_empty(), "everyone is answered");
        let mut seen: BTreeMap<usize, BTreeSet<bool>> = BTreeMap::new();
        for log in &self.partitions {
            for (at, entry) in log.iter().enumerate() {
                let Entry::Data { producer, transaction } = entry else { continue };
                let end = log[at..].iter().find_map(|entry| match entry {
                    Entry::Marker { producer: ends, outcome } if ends.id == producer.id => Some(*outcome),
                    _ => None,
                });
                let outcome = end.expect("no transaction hangs");
                seen.entry(*transaction).or_default().insert(outcome == TransactionOutcome::Committed);
            }
        }
        for (transaction, outcomes) in seen {
            match self.fates[transaction] {
                Fate::Committed => assert_eq!(outcomes, BTreeSet::from([true]), "{transaction} was committed"),
                Fate::Lost | Fate::Open => assert_eq!(outcomes, BTreeSet::from([false]), "{transaction} was not"),
                Fate::Unknown => assert_eq!(outcomes.len(), 1, "{transaction} is seen whole or not at all"),
            }
        }
    }
}

impl Asked {
    fn client(self) -> usize {
        match self {
            Self::Init(client) | Self::Write(client, ..) | Self::End(client, _) => client,
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn transactions_end_once_and_whole(version in 0_i16..=2, steps in prop::collection::vec(step(), 1..250)) {
        let mut world = World::new(version);
        for step in &steps {
            world.run(step);
        }
        world.check();
    }
}
