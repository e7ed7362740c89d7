//! A fetch session with one broker (KIP-227): the broker remembers the partitions, and only changes are sent.

use std::collections::BTreeMap;

use protocol::messages::FetchResponse;
use protocol::types::{LeaderEpoch, Offset};
use protocol::{ErrorCode, TopicPartition, Uuid};

/// Epoch of a request that opens a session.
const INITIAL_EPOCH: i32 = 0;

/// What to fetch of one partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FetchTarget {
    pub(super) topic_id: Uuid,
    pub(super) offset: Offset,
    pub(super) leader_epoch: LeaderEpoch,
    pub(super) max_bytes: i32,
}

/// What a request has to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SessionRequest {
    pub(super) session_id: i32,
    pub(super) epoch: i32,
    /// Topics may be named by id.
    pub(super) by_id: bool,
    pub(super) targets: Vec<(TopicPartition, FetchTarget)>,
    pub(super) forgotten: Vec<(TopicPartition, Uuid)>,
}

/// The client's side of a session.
#[derive(Debug, Default)]
pub(super) struct FetchSession {
    session_id: i32,
    epoch: i32,
    by_id: bool,
    known: BTreeMap<TopicPartition, FetchTarget>,
}

impl FetchSession {
    /// The request that makes the session fetch exactly `targets`.
    pub(super) fn request(&mut self, targets: BTreeMap<TopicPartition, FetchTarget>) -> SessionRequest {
        let by_id = targets.values().all(|target| !target.topic_id.is_zero());
        if by_id != self.by_id {
            self.restart();
            self.by_id = by_id;
        }
        if self.epoch == INITIAL_EPOCH {
            self.known = targets;
            let targets = self.known.iter().map(|(partition, target)| (partition.clone(), *target)).collect();
            // The session that is left behind, if any, is closed by the same request.
            return SessionRequest {
                session_id: self.session_id,
                epoch: INITIAL_EPOCH,
                by_id,
                targets,
                forgotten: vec![],
            };
        }
        let forgotten = self.known.iter().filter(|(partition, known)| {
            targets.get(*partition).is_none_or(|target| target.topic_id != known.topic_id)
        });
        let forgotten = forgotten.map(|(partition, known)| (partition.clone(), known.topic_id)).collect();
        let changed = targets.iter().filter(|(partition, target)| self.known.get(*partition) != Some(target));
        let changed = changed.map(|(partition, target)| (partition.clone(), *target)).collect();
        self.known = targets;
        SessionRequest { session_id: self.session_id, epoch: self.epoch, by_id, targets: changed, forgotten }
    }

    /// Goes on with the session as a response says.
    pub(super) fn answered(&mut self, response: &FetchResponse) {
        match ErrorCode::from_code(response.error_code) {
            ErrorCode::None if response.session_id != 0 => {
                self.session_id = response.session_id;
                self.epoch = self.epoch.checked_add(1).unwrap_or(1);
            }
            ErrorCode::FetchSessionIdNotFound => *self = Self { by_id: self.by_id, ..Self::default() },
            _ => self.restart(),
        }
    }

    /// Opens a new session with the next request, as nobody knows what the broker knows.
    pub(super) fn restart(&mut self) {
        self.epoch = INITIAL_EPOCH;
        self.known.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn targets(offsets: &[(i32, Offset)]) -> BTreeMap<TopicPartition, FetchTarget> {
        let target = |offset| FetchTarget { topic_id: Uuid::METADATA_TOPIC_ID, offset, leader_epoch: 0, max_bytes: 1 };
        offsets.iter().map(|(index, offset)| (TopicPartition::new("t", *index), target(*offset))).collect()
    }

    fn indexes(request: &SessionRequest) -> (Vec<i32>, Vec<i32>) {
        (
            request.targets.iter().map(|(partition, _)| partition.partition).collect(),
            request.forgotten.iter().map(|(partition, _)| partition.partition).collect(),
        )
    }

    #[test]
    fn only_changes_are_sent_once_a_session_is_open() {
        let mut session = FetchSession::default();
        let first = session.request(targets(&[(0, 0), (1, 0)]));
        assert_eq!((first.session_id, first.epoch, indexes(&first)), (0, 0, (vec![0, 1], vec![])));
        session.answered(&FetchResponse { session_id: 9, ..FetchResponse::default() });
        let second = session.request(targets(&[(0, 5), (2, 0)]));
        assert_eq!((second.session_id, second.epoch, indexes(&second)), (9, 1, (vec![0, 2], vec![1])));
        let refused = ErrorCode::InvalidFetchSessionEpoch.code();
        session.answered(&FetchResponse { error_code: refused, ..FetchResponse::default() });
        let third = session.request(targets(&[(0, 5)]));
        assert_eq!((third.session_id, third.epoch, indexes(&third)), (9, 0, (vec![0], vec![])));
        session.answered(&FetchResponse {
            error_code: ErrorCode::FetchSessionIdNotFound.code(),
            ..FetchResponse::default()
        });
        assert_eq!(session.request(targets(&[(0, 5)])).session_id, 0);
    }

    #[test]
    fn a_broker_without_sessions_gets_everything_each_time() {
        let mut session = FetchSession::default();
        for _ in 0..2 {
            let request = session.request(targets(&[(0, 0)]));
            assert_eq!((request.epoch, indexes(&request)), (0, (vec![0], vec![])));
            session.answered(&FetchResponse::default());
        }
    }
}
