//! ListGroups, of all brokers.

use std::collections::BTreeMap;

use protocol::messages::ListGroupsRequest;

use super::Admin;
use crate::ClientError;

/// First version that tells and filters states.
const STATES_VERSION: i16 = 4;
/// First version that tells and filters types.
const TYPES_VERSION: i16 = 5;

/// A group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupListing {
    /// Its id.
    pub group_id: String,
    /// `consumer`, `connect`, or nothing for a group that only keeps offsets.
    pub protocol_type: String,
    /// Its state, such as `Stable`; empty if the broker is too old to tell.
    pub state: String,
    /// Its type, such as `classic`; empty if the broker is too old to tell.
    pub group_type: String,
}

impl Admin {
    /// The groups in one of `states` and of one of `types`, in order of their ids; an empty filter lets all pass.
    /// # Errors
    /// Those of the requests; a broker that cannot filter is an error if there is a filter.
    pub async fn list_groups(&self, states: &[&str], types: &[&str]) -> Result<Vec<GroupListing>, ClientError> {
        let owned = |filter: &[&str]| filter.iter().map(|name| (*name).to_owned()).collect();
        let request = ListGroupsRequest {
            states_filter: owned(states),
            types_filter: owned(types),
            ..ListGroupsRequest::default()
        };
        let mut groups = BTreeMap::new();
        let brokers: Vec<i32> = self.client.metadata(Some(&[])).await?.brokers.keys().copied().collect();
        for broker in brokers {
            let connection = self.client.broker(broker, crate::Lane::Request).await?;
            let version = connection.version::<ListGroupsRequest>(None)?;
            let response = connection.send_version(&request, version).await?;
            ClientError::check(response.error_code, None)?;
            for group in response.groups {
                let listing = GroupListing {
                    group_id: group.group_id.clone(),
                    protocol_type: group.protocol_type,
                    state: if version >= STATES_VERSION { group.group_state } else { String::new() },
                    group_type: if version >= TYPES_VERSION { group.group_type } else { String::new() },
                };
                groups.insert(group.group_id, listing);
            }
        }
        Ok(groups.into_values().collect())
    }
}
