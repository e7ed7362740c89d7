//! Administration: thin typed operations over the requests, one file each.
//! Where an operation has several subjects, each has a result of its own; an error of the whole call means that nothing
//! is known of any of them.

mod alter_configs;
mod cluster;
mod create_partitions;
mod create_topics;
mod delete_groups;
mod delete_records;
mod delete_topics;
mod describe_configs;
mod describe_groups;
mod group_offsets;
mod list_groups;
mod list_offsets;
mod log_dirs;
mod quorum;
mod topics;

use std::collections::BTreeMap;
use std::time::Duration;

use protocol::ErrorCode;
use protocol::messages::Request;

use crate::offsets::follow_coordinator;
use crate::{Client, ClientError};

pub use alter_configs::{AlterConfigOp, ConfigChange};
pub use cluster::ClusterDescription;
pub use create_partitions::NewPartitions;
pub use create_topics::{CreatedTopic, NewTopic};
pub use describe_configs::{ConfigEntry, ConfigResource, ConfigResourceType, ConfigSource};
pub use describe_groups::{GroupDescription, MemberDescription};
pub use list_groups::GroupListing;
pub use log_dirs::{LogDir, ReplicaLog};
pub use quorum::{QuorumDescription, QuorumReplica};

/// One result for each subject, by its name.
pub type Results<T> = BTreeMap<String, Result<T, ClientError>>;

/// Administers one cluster; clones share the connections of the client.
#[derive(Debug, Clone)]
pub struct Admin {
    client: Client,
}

impl Admin {
    /// Operations on the cluster of `client`.
    #[must_use]
    pub fn new(client: Client) -> Self {
        Self { client }
    }

    /// The client below.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// How long brokers may take for an operation, as requests carry it.
    fn timeout_ms(&self) -> i32 {
        millis(self.client.config().request_timeout)
    }

    /// Sends to the controller, and again where it was the wrong one: `code` finds an error code in the response.
    async fn send_to_controller<R: Request>(
        &self,
        request: &R,
        code: fn(&R::Response) -> i16,
    ) -> Result<R::Response, ClientError> {
        let mut retries = self.client.retries("controller request");
        loop {
            let response = self.client.send_to_controller(request).await?;
            if ErrorCode::from_code(code(&response)) != ErrorCode::NotController {
                return Ok(response);
            }
            retries.pause(ClientError::broker(ErrorCode::NotController)).await?;
            self.client.metadata(Some(&[])).await?;
        }
    }

    /// Sends to a group's coordinator, and again where it was the wrong one or not ready: `code` finds an error code in
    /// the response.
    async fn send_to_coordinator<R: Request>(
        &self,
        group_id: &str,
        request: &R,
        code: fn(&R::Response) -> i16,
    ) -> Result<R::Response, ClientError> {
        let mut retries = self.client.retries("coordinator request");
        loop {
            let error = match self.client.send_to_coordinator(group_id, request).await {
                Err(error) => error,
                Ok(response) => match ErrorCode::from_code(code(&response)) {
                    passing @ (ErrorCode::NotCoordinator
                    | ErrorCode::CoordinatorNotAvailable
                    | ErrorCode::CoordinatorLoadInProgress) => ClientError::broker(passing),
                    _ => return Ok(response),
                },
            };
            follow_coordinator(&self.client, group_id, &error);
            retries.pause(error).await?;
        }
    }
}

fn millis(duration: Duration) -> i32 {
    i32::try_from(duration.as_millis()).unwrap_or(i32::MAX)
}
