//! Incremental fetch sessions (KIP-227): the partitions that a fetcher asked for, so that it names only changes.
//! Owned by the broker; a session belongs to whoever knows its id and epoch. Evicted by the rules of the KIP.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use parking_lot::Mutex;
use protocol::messages::fetch_request::{FetchPartition, FetchTopic, ForgottenTopic};
use protocol::{ErrorCode, Uuid};

/// A session may be evicted for another that needs the slot after this time without use, in milliseconds.
const MIN_EVICTION_MS: i64 = 120_000;

/// Partitions of one request with those of its session. A node has far fewer; each takes up to a kilobyte until it is answered.
pub(crate) const MAX_PARTITIONS: usize = 100_000;
/// Partitions of all sessions together; a fetch that would start one beyond that is served without.
const MAX_CACHED_PARTITIONS: usize = 500_000;

/// `FetchMetadata.INITIAL_EPOCH`: start a session.
pub(crate) const INITIAL_EPOCH: i32 = 0;
/// `FetchMetadata.FINAL_EPOCH`: no session, or the end of one.
pub(crate) const FINAL_EPOCH: i32 = -1;

/// A partition as the fetcher names it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct FetchKey {
    /// Name; empty where the version has ids.
    pub(crate) topic: Arc<str>,
    /// Id; zero where the version has names.
    pub(crate) topic_id: Uuid,
    /// Index.
    pub(crate) partition: i32,
}

/// What is fetched of a partition, and what the fetcher was last told.
#[derive(Debug, Clone)]
pub(crate) struct FetchEntry {
    pub(crate) fetch_offset: i64,
    pub(crate) max_bytes: i32,
    pub(crate) current_leader_epoch: i32,
    pub(crate) last_fetched_epoch: i32,
    /// Told last; -1 before the first response.
    pub(crate) high_watermark: i64,
    /// Told last; -1 before the first response.
    pub(crate) log_start_offset: i64,
}

impl FetchEntry {
    fn new(partition: &FetchPartition) -> Self {
        Self {
            fetch_offset: partition.fetch_offset,
            max_bytes: partition.partition_max_bytes,
            current_leader_epoch: partition.current_leader_epoch,
            last_fetched_epoch: partition.last_fetched_epoch,
            high_watermark: -1,
            log_start_offset: -1,
        }
    }
}

/// Partitions in the order in which they are served.
#[derive(Debug, Default)]
pub(crate) struct SessionPartitions {
    order: BTreeMap<u64, FetchKey>,
    entries: HashMap<FetchKey, (u64, FetchEntry)>,
    next: u64,
}

impl SessionPartitions {
    fn put(&mut self, key: FetchKey, partition: &FetchPartition) {
        if let Some((_, entry)) = self.entries.get_mut(&key) {
            let told = (entry.high_watermark, entry.log_start_offset);
            *entry = FetchEntry::new(partition);
            (entry.high_watermark, entry.log_start_offset) = told;
        } else {
            self.order.insert(self.next, key.clone());
            self.entries.insert(key, (self.next, FetchEntry::new(partition)));
            self.next += 1;
        }
    }

    fn remove(&mut self, key: &FetchKey) {
        if let Some((at, _)) = self.entries.remove(key) {
            self.order.remove(&at);
        }
    }

    /// The partitions in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&FetchKey, &FetchEntry)> {
        self.order.values().filter_map(|key| self.entries.get(key).map(|(_, entry)| (key, entry)))
    }

    /// What is known of one partition.
    pub(crate) fn entry(&self, key: &FetchKey) -> Option<&FetchEntry> {
        self.entries.get(key).map(|(_, entry)| entry)
    }

    /// Remembers what the fetcher is told. A partition that had records goes to the end, so that none starves.
    pub(crate) fn told(&mut self, key: &FetchKey, high_watermark: i64, log_start_offset: i64, had_records: bool) {
        let Some((at, entry)) = self.entries.get_mut(key) else { return };
        (entry.high_watermark, entry.log_start_offset) = (high_watermark, log_start_offset);
        if had_records {
            self.order.remove(at);
            *at = self.next;
            self.order.insert(self.next, key.clone());
            self.next += 1;
        }
    }

    /// How many partitions there are.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }
}

/// A session, or the partitions of one fetch without a session.
#[derive(Debug, Default)]
pub(crate) struct Session {
    /// 0 where there is no session.
    pub(crate) id: i32,
    epoch: i32,
    pub(crate) uses_topic_ids: bool,
    /// The partitions.
    pub(crate) partitions: SessionPartitions,
}

/// How a request relates to its session.
#[derive(Debug, Clone)]
pub(crate) struct FetchContext {
    /// The partitions to fetch.
    pub(crate) session: Arc<Mutex<Session>>,
    /// Id for the response; 0 for none.
    pub(crate) session_id: i32,
    /// The response names only partitions with news.
    pub(crate) incremental: bool,
}

#[derive(Debug)]
struct Slot {
    session: Arc<Mutex<Session>>,
    created: i64,
    last_used: i64,
    size: usize,
}

/// The sessions of a broker; at most `max.incremental.fetch.session.cache.slots`.
#[derive(Debug)]
pub(crate) struct FetchSessions {
    limit: usize,
    slots: Mutex<HashMap<i32, Slot>>,
}

/// The parts of a fetch request that concern its session.
#[derive(Debug)]
pub(crate) struct SessionRequest<'a> {
    pub(crate) id: i32,
    pub(crate) epoch: i32,
    pub(crate) topics: &'a [FetchTopic],
    pub(crate) forgotten: &'a [ForgottenTopic],
    pub(crate) uses_topic_ids: bool,
}

fn next_epoch(epoch: i32) -> i32 {
    if epoch == i32::MAX { 1 } else { epoch + 1 }
}

impl FetchSessions {
    /// A cache of at most `limit` sessions.
    pub(crate) fn new(limit: usize) -> Self {
        Self { limit, slots: Mutex::new(HashMap::new()) }
    }

    /// Finds or makes the session of a request.
    /// # Errors
    /// `FetchSessionIdNotFound`, `InvalidFetchSessionEpoch`, `FetchSessionTopicIdError`; `InvalidRequest` above
    /// [`MAX_PARTITIONS`].
    pub(crate) fn resolve(
        &self,
        request: &SessionRequest<'_>,
        now: i64,
        new_id: impl FnMut() -> i32,
    ) -> Result<FetchContext, ErrorCode> {
        let named: usize = request.topics.iter().map(|topic| topic.partitions.len()).sum();
        if named > MAX_PARTITIONS {
            return Err(ErrorCode::InvalidRequest);
        }
        if request.epoch == INITIAL_EPOCH || request.epoch == FINAL_EPOCH {
            if request.id != 0 {
                self.slots.lock().remove(&request.id);
            }
            return Ok(self.start(request, now, new_id));
        }
        let mut slots = self.slots.lock();
        let slot = slots.get_mut(&request.id).ok_or(ErrorCode::FetchSessionIdNotFound)?;
        let mut session = slot.session.lock();
        if session.epoch != request.epoch {
            return Err(ErrorCode::InvalidFetchSessionEpoch);
        }
        if session.uses_topic_ids != request.uses_topic_ids {
            return Err(ErrorCode::FetchSessionTopicIdError);
        }
        if session.partitions.len() + named > MAX_PARTITIONS {
            return Err(ErrorCode::InvalidRequest);
        }
        update(&mut session.partitions, request);
        session.epoch = next_epoch(session.epoch);
        slot.last_used = now;
        slot.size = session.partitions.len();
        if slot.size == 0 {
            let session_id = session.id;
            drop(session);
            let session = Arc::clone(&slot.session);
            slots.remove(&session_id);
            return Ok(FetchContext { session, session_id: 0, incremental: false });
        }
        let session_id = session.id;
        drop(session);
        Ok(FetchContext { session: Arc::clone(&slot.session), session_id, incremental: true })
    }

    /// Drops a session that its fetcher was not told of.
    pub(crate) fn forget(&self, id: i32) {
        self.slots.lock().remove(&id);
    }

    fn start(&self, request: &SessionRequest<'_>, now: i64, mut new_id: impl FnMut() -> i32) -> FetchContext {
        let mut session = Session { uses_topic_ids: request.uses_topic_ids, ..Session::default() };
        update(&mut session.partitions, request);
        let size = session.partitions.len();
        if request.epoch == INITIAL_EPOCH && size > 0 {
            let mut slots = self.slots.lock();
            if self.make_room(&mut slots, size, now) {
                let mut id = new_id();
                while id <= 0 || slots.contains_key(&id) {
                    id = new_id();
                }
                session.id = id;
                session.epoch = next_epoch(INITIAL_EPOCH);
                let session = Arc::new(Mutex::new(session));
                slots.insert(id, Slot { session: Arc::clone(&session), created: now, last_used: now, size });
                return FetchContext { session, session_id: id, incremental: false };
            }
        }
        FetchContext { session: Arc::new(Mutex::new(session)), session_id: 0, incremental: false }
    }

    /// Evicts one session if the cache is full: a stale one, or one that is smaller and has had its time.
    fn make_room(&self, slots: &mut HashMap<i32, Slot>, size: usize, now: i64) -> bool {
        let cached: usize = slots.values().map(|slot| slot.size).sum();
        if cached + size > MAX_CACHED_PARTITIONS {
            return false;
        }
        if slots.len() < self.limit {
            return true;
        }
        let stale = slots
            .iter()
            .min_by_key(|(_, slot)| slot.last_used)
            .filter(|(_, slot)| now - slot.last_used > MIN_EVICTION_MS);
        let smallest = || {
            let settled = slots.iter().filter(|(_, slot)| now - slot.created > MIN_EVICTION_MS);
            settled.min_by_key(|(_, slot)| slot.size).filter(|(_, slot)| slot.size < size)
        };
        let Some(id) = stale.or_else(smallest).map(|(id, _)| *id) else { return false };
        slots.remove(&id);
        true
    }
}

fn update(partitions: &mut SessionPartitions, request: &SessionRequest<'_>) {
    for topic in request.topics {
        let name: Arc<str> = topic.topic.as_str().into();
        for partition in &topic.partitions {
            let key = FetchKey { topic: Arc::clone(&name), topic_id: topic.topic_id, partition: partition.partition };
            partitions.put(key, partition);
        }
    }
    for topic in request.forgotten {
        let name: Arc<str> = topic.topic.as_str().into();
        for partition in &topic.partitions {
            partitions.remove(&FetchKey { topic: Arc::clone(&name), topic_id: topic.topic_id, partition: *partition });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topics() -> Vec<FetchTopic> {
        let partitions = vec![FetchPartition::default()];
        vec![FetchTopic { topic: "t".into(), partitions, ..Default::default() }]
    }

    fn request<'a>(id: i32, epoch: i32, topics: &'a [FetchTopic]) -> SessionRequest<'a> {
        SessionRequest { id, epoch, topics, forgotten: &[], uses_topic_ids: false }
    }

    #[test]
    fn a_session_counts_its_epochs() {
        let sessions = FetchSessions::new(10);
        let topics = topics();
        let first = sessions.resolve(&request(0, 0, &topics), 0, || 5).expect("starts");
        assert_eq!((first.session_id, first.incremental), (5, false));
        let second = sessions.resolve(&request(5, 1, &[]), 0, || 6).expect("goes on");
        assert!(second.incremental);
        assert_eq!(second.session.lock().partitions.len(), 1);
        let stale = sessions.resolve(&request(5, 1, &[]), 0, || 6);
        assert_eq!(stale.err(), Some(ErrorCode::InvalidFetchSessionEpoch));
        let unknown = sessions.resolve(&request(9, 1, &[]), 0, || 6);
        assert_eq!(unknown.err(), Some(ErrorCode::FetchSessionIdNotFound));
    }

    #[test]
    fn a_session_does_not_grow_without_bound() {
        let sessions = FetchSessions::new(10);
        let named = |from: usize, to: usize| -> Vec<FetchTopic> {
            let partition = |index: usize| FetchPartition {
                partition: i32::try_from(index).expect("it is small"),
                ..Default::default()
            };
            let partitions = (from..to).map(partition).collect();
            vec![FetchTopic { topic: "t".into(), partitions, ..Default::default() }]
        };
        let all = named(0, MAX_PARTITIONS);
        for id in 1..=5 {
            assert_eq!(sessions.resolve(&request(0, 0, &all), 0, || id).expect("is cached").session_id, id);
        }
        assert_eq!(sessions.resolve(&request(0, 0, &all), 0, || 6).expect("is served").session_id, 0);
        let more = named(MAX_PARTITIONS, MAX_PARTITIONS + 1);
        assert_eq!(sessions.resolve(&request(5, 1, &more), 0, || 6).err(), Some(ErrorCode::InvalidRequest));
        let too_many = named(0, MAX_PARTITIONS + 1);
        assert_eq!(sessions.resolve(&request(0, -1, &too_many), 0, || 6).err(), Some(ErrorCode::InvalidRequest));
    }

    #[test]
    fn a_full_cache_serves_without_a_session() {
        let sessions = FetchSessions::new(1);
        let topics = topics();
        assert_eq!(sessions.resolve(&request(0, 0, &topics), 0, || 1).expect("first").session_id, 1);
        assert_eq!(sessions.resolve(&request(0, 0, &topics), 0, || 2).expect("second").session_id, 0);
        let later = MIN_EVICTION_MS + 1;
        assert_eq!(sessions.resolve(&request(0, 0, &topics), later, || 3).expect("third").session_id, 3);
    }
}
