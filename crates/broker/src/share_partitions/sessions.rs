//! Share sessions (KIP-932): which partitions a member fetches, so that it names only changes. A session belongs to one member
//! of one group and to the connection that it came by; there are at most `group.share.max.share.sessions`.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use parking_lot::Mutex;
use protocol::types::PartitionIndex;
use protocol::{ErrorCode, Uuid};

use crate::share_partition::Member;

/// Starts a session.
pub(crate) const INITIAL_EPOCH: i32 = 0;
/// Ends a session.
pub(crate) const FINAL_EPOCH: i32 = -1;

/// A partition as members name it.
pub(crate) type TopicIdPartition = (Uuid, PartitionIndex);

/// Whose session.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct SessionKey {
    /// The group.
    pub(crate) group_id: Arc<str>,
    /// The member.
    pub(crate) member: Member,
}

#[derive(Debug, Default)]
struct Session {
    epoch: i32,
    connection: u64,
    order: BTreeMap<u64, TopicIdPartition>,
    /// Where a partition is in the order, and whether the next response has to name it.
    partitions: HashMap<TopicIdPartition, (u64, bool)>,
    next: u64,
}

impl Session {
    fn put(&mut self, partition: TopicIdPartition, must_tell: bool) {
        if self.partitions.contains_key(&partition) {
            return;
        }
        self.order.insert(self.next, partition);
        self.partitions.insert(partition, (self.next, must_tell));
        self.next += 1;
    }

    fn remove(&mut self, partition: &TopicIdPartition) {
        if let Some((at, _)) = self.partitions.remove(partition) {
            self.order.remove(&at);
        }
    }
}

#[derive(Debug, Default)]
struct Sessions {
    by_member: HashMap<SessionKey, Session>,
    /// The sessions that came by a connection, and have not moved to another.
    by_connection: HashMap<u64, HashSet<SessionKey>>,
}

/// All sessions of a broker.
#[derive(Debug)]
pub(crate) struct ShareSessions {
    limit: usize,
    sessions: Mutex<Sessions>,
}

/// What a fetch is of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SessionContext {
    /// The partitions to fetch, in this order.
    pub(crate) partitions: Vec<TopicIdPartition>,
    /// The response names only partitions with news.
    pub(crate) incremental: bool,
}

/// What a response is to say of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct News {
    pub(crate) has_records: bool,
    pub(crate) has_error: bool,
}

/// What became of a connection's sessions.
#[derive(Debug, Default)]
pub(crate) struct Disconnected {
    /// Sessions that ended, and their partitions.
    pub(crate) ended: Vec<(SessionKey, Vec<TopicIdPartition>)>,
    /// Groups of the connection that have no session left.
    pub(crate) empty_groups: Vec<Arc<str>>,
}

fn next_epoch(epoch: i32) -> i32 {
    if epoch == i32::MAX { 1 } else { epoch + 1 }
}

impl ShareSessions {
    /// At most `limit` sessions.
    pub(crate) fn new(limit: usize) -> Self {
        Self { limit, sessions: Mutex::default() }
    }

    /// Starts a session, in place of one that the member may have.
    /// # Errors
    /// `ShareSessionLimitReached`.
    pub(crate) fn start(
        &self,
        key: &SessionKey,
        connection: u64,
        partitions: &[TopicIdPartition],
    ) -> Result<SessionContext, ErrorCode> {
        let mut sessions = self.sessions.lock();
        sessions.by_member.remove(key);
        if sessions.by_member.len() >= self.limit {
            return Err(ErrorCode::ShareSessionLimitReached);
        }
        let mut session = Session { epoch: next_epoch(INITIAL_EPOCH), connection, ..Session::default() };
        for partition in partitions {
            session.put(*partition, false);
        }
        let partitions = session.order.values().copied().collect();
        sessions.by_member.insert(key.clone(), session);
        let Sessions { by_member, by_connection } = &mut *sessions;
        let keys = by_connection.entry(connection).or_default();
        if keys.len() >= self.limit {
            keys.retain(|key| by_member.contains_key(key));
        }
        keys.insert(key.clone());
        Ok(SessionContext { partitions, incremental: false })
    }

    /// Goes on with a session.
    /// # Errors
    /// `ShareSessionNotFound`, `InvalidShareSessionEpoch`.
    pub(crate) fn resume(
        &self,
        key: &SessionKey,
        epoch: i32,
        added: &[TopicIdPartition],
        forgotten: &[TopicIdPartition],
    ) -> Result<SessionContext, ErrorCode> {
        let mut sessions = self.sessions.lock();
        let session = sessions.by_member.get_mut(key).ok_or(ErrorCode::ShareSessionNotFound)?;
        if session.epoch != epoch {
            return Err(ErrorCode::InvalidShareSessionEpoch);
        }
        for partition in added {
            session.put(*partition, true);
        }
        for partition in forgotten {
            session.remove(partition);
        }
        session.epoch = next_epoch(session.epoch);
        let mut partitions: Vec<_> = session.order.values().copied().collect();
        if let Some(at) = usize::try_from(epoch).ok().and_then(|epoch| epoch.checked_rem(partitions.len())) {
            partitions.rotate_left(at);
        }
        Ok(SessionContext { partitions, incremental: true })
    }

    /// Whether the member has a session.
    /// # Errors
    /// `ShareSessionNotFound`.
    pub(crate) fn check(&self, key: &SessionKey) -> Result<(), ErrorCode> {
        let found = self.sessions.lock().by_member.contains_key(key);
        if found { Ok(()) } else { Err(ErrorCode::ShareSessionNotFound) }
    }

    /// An acknowledgement is part of a session.
    /// # Errors
    /// `ShareSessionNotFound`, `InvalidShareSessionEpoch`.
    pub(crate) fn acknowledge(&self, key: &SessionKey, epoch: i32) -> Result<(), ErrorCode> {
        if epoch == INITIAL_EPOCH {
            return Err(ErrorCode::InvalidShareSessionEpoch);
        }
        let mut sessions = self.sessions.lock();
        let session = sessions.by_member.get_mut(key).ok_or(ErrorCode::ShareSessionNotFound)?;
        if epoch == FINAL_EPOCH {
            return Ok(());
        }
        if session.epoch != epoch {
            return Err(ErrorCode::InvalidShareSessionEpoch);
        }
        session.epoch = next_epoch(epoch);
        Ok(())
    }

    /// Whether the response to the request of an epoch names a partition, of which the member is told from now on. A partition
    /// with records goes to the end of the order, so that none starves.
    pub(crate) fn tells(&self, key: &SessionKey, partition: TopicIdPartition, news: News) -> bool {
        let mut sessions = self.sessions.lock();
        let Some(session) = sessions.by_member.get_mut(key) else { return news.has_records || news.has_error };
        let next = session.next;
        let Some((at, must_tell)) = session.partitions.get_mut(&partition) else {
            return news.has_records || news.has_error;
        };
        let tells = news.has_records || news.has_error || *must_tell;
        *must_tell = news.has_error;
        if news.has_records {
            let before = std::mem::replace(at, next);
            session.order.remove(&before);
            session.order.insert(next, partition);
            session.next += 1;
        }
        tells
    }

    /// Whether the session is still at the request of `epoch`: another request may have come meanwhile.
    pub(crate) fn is_at(&self, key: &SessionKey, epoch: i32) -> bool {
        self.sessions.lock().by_member.get(key).is_some_and(|session| session.epoch == next_epoch(epoch))
    }

    /// Ends a session, and gives its partitions.
    pub(crate) fn end(&self, key: &SessionKey) -> Option<Vec<TopicIdPartition>> {
        let session = self.sessions.lock().by_member.remove(key)?;
        Some(session.order.into_values().collect())
    }

    /// Ends the sessions that came by a connection.
    pub(crate) fn disconnected(&self, connection: u64) -> Disconnected {
        let mut sessions = self.sessions.lock();
        let mut gone = Disconnected::default();
        let Some(keys) = sessions.by_connection.remove(&connection) else { return gone };
        for key in keys {
            if sessions.by_member.get(&key).is_some_and(|session| session.connection == connection)
                && let Some(session) = sessions.by_member.remove(&key)
            {
                gone.ended.push((key.clone(), session.order.into_values().collect()));
            }
            if !sessions.by_member.keys().any(|other| other.group_id == key.group_id) {
                gone.empty_groups.push(key.group_id);
            }
        }
        gone
    }

    /// Ends all sessions.
    pub(crate) fn clear(&self) {
        self.sessions.lock().by_member.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(member: &str) -> SessionKey {
        SessionKey { group_id: "g".into(), member: member.into() }
    }

    const A: TopicIdPartition = (Uuid::ZERO, 0);
    const B: TopicIdPartition = (Uuid::ZERO, 1);

    #[test]
    fn a_session_counts_its_epochs() {
        let sessions = ShareSessions::new(2);
        assert_eq!(sessions.resume(&key("m"), 1, &[], &[]), Err(ErrorCode::ShareSessionNotFound));
        assert!(!sessions.start(&key("m"), 1, &[A]).expect("starts").incremental);
        let context = sessions.resume(&key("m"), 1, &[B], &[]).expect("goes on");
        assert_eq!(context.partitions, [B, A]);
        assert_eq!(sessions.resume(&key("m"), 1, &[], &[]), Err(ErrorCode::InvalidShareSessionEpoch));
        assert_eq!(sessions.acknowledge(&key("m"), 0), Err(ErrorCode::InvalidShareSessionEpoch));
        assert_eq!(sessions.acknowledge(&key("m"), 2), Ok(()));
        assert_eq!(sessions.resume(&key("m"), 3, &[], &[A]).expect("goes on").partitions, [B]);
        assert_eq!(sessions.end(&key("m")), Some(vec![B]));
        assert_eq!(sessions.acknowledge(&key("m"), -1), Err(ErrorCode::ShareSessionNotFound));
    }

    #[test]
    fn no_more_sessions_start_than_there_may_be() {
        let sessions = ShareSessions::new(1);
        assert!(sessions.start(&key("m"), 1, &[A]).is_ok());
        assert_eq!(sessions.start(&key("n"), 2, &[A]), Err(ErrorCode::ShareSessionLimitReached));
        assert!(sessions.start(&key("m"), 1, &[A]).is_ok());
    }

    #[test]
    fn a_session_ends_with_its_connection_unless_it_moved() {
        let sessions = ShareSessions::new(9);
        sessions.start(&key("m"), 1, &[A]).expect("starts");
        sessions.start(&key("m"), 2, &[A]).expect("starts again");
        let gone = sessions.disconnected(1);
        assert!(gone.ended.is_empty() && gone.empty_groups.is_empty());
        let gone = sessions.disconnected(2);
        assert_eq!(gone.ended, [(key("m"), vec![A])]);
        assert_eq!(gone.empty_groups.len(), 1);
    }

    #[test]
    fn partitions_are_told_of_once_and_whenever_they_have_news() {
        let sessions = ShareSessions::new(9);
        sessions.start(&key("m"), 1, &[A]).expect("starts");
        sessions.resume(&key("m"), 1, &[B], &[]).expect("goes on");
        let nothing = News { has_records: false, has_error: false };
        assert!(!sessions.tells(&key("m"), A, nothing));
        assert!(sessions.tells(&key("m"), B, nothing));
        assert!(!sessions.tells(&key("m"), B, nothing));
        assert!(sessions.tells(&key("m"), A, News { has_records: true, has_error: false }));
        assert_eq!(sessions.resume(&key("m"), 2, &[], &[]).expect("goes on").partitions, [B, A]);
    }
}
