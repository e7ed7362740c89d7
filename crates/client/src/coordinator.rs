//! Which broker coordinates a group or a transactional id. The answers are kept until the broker denies being it.

use std::collections::HashMap;

use parking_lot::Mutex;
use protocol::ErrorCode;
use protocol::messages::find_coordinator_response::Coordinator;
use protocol::messages::{FindCoordinatorRequest, Request};
use protocol::types::BrokerId;

use crate::cluster::Lane;
use crate::{Broker, Client, ClientError, Connection};

/// First version of FindCoordinator that takes several keys.
const BATCHED_VERSION: i16 = 4;
/// Coordinators remembered; beyond that all are looked up again.
const MAX_KNOWN: usize = 100_000;

/// What a coordinator coordinates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CoordinatorType {
    /// A consumer group.
    Group,
    /// A transactional id.
    Transaction,
}

impl CoordinatorType {
    fn id(self) -> i8 {
        match self {
            Self::Group => 0,
            Self::Transaction => 1,
        }
    }
}

#[derive(Debug, Default)]
pub(crate) struct Coordinators {
    known: Mutex<HashMap<(CoordinatorType, String), BrokerId>>,
}

impl Client {
    /// Sends to the coordinator of a group. Where the response says `NOT_COORDINATOR` or `COORDINATOR_NOT_AVAILABLE` the
    /// caller forgets it ([`Client::forget_coordinator`]) and tries again.
    /// # Errors
    /// Those of [`Client::find_coordinator`] and [`Connection::send`].
    pub async fn send_to_coordinator<R: Request>(&self, group: &str, request: &R) -> Result<R::Response, ClientError> {
        self.coordinator(CoordinatorType::Group, group).await?.send(request).await
    }

    /// The connection to a coordinator.
    /// # Errors
    /// Those of [`Client::find_coordinator`] and [`Client::broker`]; after the latter the coordinator is looked up anew.
    pub async fn coordinator(&self, kind: CoordinatorType, key: &str) -> Result<Connection, ClientError> {
        self.coordinator_on(Lane::Coordinator, kind, key).await
    }

    /// As [`Client::coordinator`] on another lane, for what must not wait behind a JoinGroup.
    pub(crate) async fn coordinator_on(
        &self,
        lane: Lane,
        kind: CoordinatorType,
        key: &str,
    ) -> Result<Connection, ClientError> {
        let node = self.find_coordinator(kind, key).await?;
        let connection = self.broker(node, lane).await;
        if connection.is_err() {
            self.forget_coordinator(kind, key);
        }
        connection
    }

    /// The broker that coordinates `key`, from memory if it is there.
    /// # Errors
    /// [`ClientError::Broker`] with `COORDINATOR_NOT_AVAILABLE` while there is none, and those of [`Client::send_to_any`].
    pub async fn find_coordinator(&self, kind: CoordinatorType, key: &str) -> Result<BrokerId, ClientError> {
        if let Some(node) = self.coordinators().known.lock().get(&(kind, key.to_owned())) {
            return Ok(*node);
        }
        let mut retries = self.retries("find coordinator");
        loop {
            match self.look_up(kind, key).await {
                Err(error) => retries.pause(error).await?,
                found => return found,
            }
        }
    }

    /// Looks the coordinator of `key` up again when it is next needed.
    pub fn forget_coordinator(&self, kind: CoordinatorType, key: &str) {
        self.coordinators().known.lock().remove(&(kind, key.to_owned()));
    }

    async fn look_up(&self, kind: CoordinatorType, key: &str) -> Result<BrokerId, ClientError> {
        let connection = self.any_broker().await?;
        let version = connection.version::<FindCoordinatorRequest>(None)?;
        let mut request = FindCoordinatorRequest { key_type: kind.id(), ..FindCoordinatorRequest::default() };
        if version >= BATCHED_VERSION {
            request.coordinator_keys = vec![key.to_owned()];
        } else {
            key.clone_into(&mut request.key);
        }
        let response = connection.send_version(&request, version).await?;
        let found = if version >= BATCHED_VERSION {
            let found = response.coordinators.into_iter().next();
            found.ok_or(ClientError::broker(ErrorCode::CoordinatorNotAvailable))?
        } else {
            Coordinator {
                node_id: response.node_id,
                host: response.host,
                port: response.port,
                error_code: response.error_code,
                error_message: response.error_message,
                ..Coordinator::default()
            }
        };
        ClientError::check(found.error_code, found.error_message.as_deref())?;
        self.learn_broker(Broker { id: found.node_id, host: found.host, port: found.port, rack: None });
        let mut known = self.coordinators().known.lock();
        if known.len() >= MAX_KNOWN {
            known.clear();
        }
        known.insert((kind, key.to_owned()), found.node_id);
        Ok(found.node_id)
    }
}
