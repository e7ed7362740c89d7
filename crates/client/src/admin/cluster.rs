//! DescribeCluster.

use protocol::messages::DescribeClusterRequest;
use protocol::types::BrokerId;

use super::Admin;
use crate::{Broker, ClientError};

/// The brokers of a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterDescription {
    /// Id of the cluster.
    pub cluster_id: String,
    /// Broker that takes requests for the controller.
    pub controller: Option<BrokerId>,
    /// Brokers, and whether each is fenced.
    pub brokers: Vec<(Broker, bool)>,
}

impl Admin {
    /// The brokers of the cluster, those that are fenced only if `include_fenced`.
    /// # Errors
    /// Those of the request.
    pub async fn describe_cluster(&self, include_fenced: bool) -> Result<ClusterDescription, ClientError> {
        let request =
            DescribeClusterRequest { include_fenced_brokers: include_fenced, ..DescribeClusterRequest::default() };
        let response = self.client.send_to_any(&request).await?;
        ClientError::check(response.error_code, response.error_message.as_deref())?;
        let broker = |broker: protocol::messages::describe_cluster_response::DescribeClusterBroker| {
            let described = Broker { id: broker.broker_id, host: broker.host, port: broker.port, rack: broker.rack };
            (described, broker.is_fenced)
        };
        Ok(ClusterDescription {
            cluster_id: response.cluster_id,
            controller: (response.controller_id >= 0).then_some(response.controller_id),
            brokers: response.brokers.into_iter().map(broker).collect(),
        })
    }
}
