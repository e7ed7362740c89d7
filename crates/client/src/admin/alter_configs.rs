//! IncrementalAlterConfigs.

use std::collections::BTreeMap;

use protocol::messages::IncrementalAlterConfigsRequest;
use protocol::messages::incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};

use super::{Admin, ConfigResource};
use crate::ClientError;

/// What to do with a setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i8)]
pub enum AlterConfigOp {
    /// Set it.
    Set = 0,
    /// Go back to the default.
    Delete = 1,
    /// Add to a list.
    Append = 2,
    /// Remove from a list.
    Subtract = 3,
}

/// A change of one setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigChange {
    /// Its name.
    pub name: String,
    /// What to do.
    pub op: AlterConfigOp,
    /// The value; `None` with [`AlterConfigOp::Delete`].
    pub value: Option<String>,
}

impl Admin {
    /// Changes settings, or only says whether they could be if `validate_only`.
    /// # Errors
    /// Those of the requests.
    pub async fn alter_configs(
        &self,
        changes: &BTreeMap<ConfigResource, Vec<ConfigChange>>,
        validate_only: bool,
    ) -> Result<BTreeMap<ConfigResource, Result<(), ClientError>>, ClientError> {
        let mut altered = BTreeMap::new();
        for (resource, changes) in changes {
            let request = request(resource, changes, validate_only);
            let response = match resource.broker() {
                Some(broker) => self.client.send_to(broker, &request).await?,
                None => {
                    let code = |response: &protocol::messages::IncrementalAlterConfigsResponse| {
                        response.responses.first().map_or(0, |result| result.error_code)
                    };
                    self.send_to_controller(&request, code).await?
                }
            };
            for result in response.responses {
                let checked = ClientError::check(result.error_code, result.error_message.as_deref());
                altered.insert(resource.clone(), checked);
            }
        }
        Ok(altered)
    }
}

fn request(resource: &ConfigResource, changes: &[ConfigChange], validate_only: bool) -> IncrementalAlterConfigsRequest {
    let config = |change: &ConfigChange| AlterableConfig {
        name: change.name.clone(),
        config_operation: change.op as i8,
        value: change.value.clone(),
        ..AlterableConfig::default()
    };
    let resource = AlterConfigsResource {
        resource_type: resource.kind as i8,
        resource_name: resource.name.clone(),
        configs: changes.iter().map(config).collect(),
        ..AlterConfigsResource::default()
    };
    IncrementalAlterConfigsRequest {
        resources: vec![resource],
        validate_only,
        ..IncrementalAlterConfigsRequest::default()
    }
}
