//! ListOffsets.

use std::collections::BTreeMap;

use protocol::TopicPartition;
use protocol::types::TimestampMs;

use super::Admin;
use crate::offsets::{self, ListedOffset, PerPartition};
use crate::{ClientError, IsolationLevel};

impl Admin {
    /// Offsets of the first records at or after these times. Special times are -1 (after the newest), -2 (the oldest),
    /// -3 (the record with the largest time), and with tiered storage -4 (the oldest on the broker's disk), -5 (the
    /// newest in the tier) and -6 (the oldest not yet in the tier).
    /// # Errors
    /// Those of the requests.
    pub async fn list_offsets(
        &self,
        times: BTreeMap<TopicPartition, TimestampMs>,
        isolation_level: IsolationLevel,
    ) -> Result<PerPartition<ListedOffset>, ClientError> {
        offsets::list_offsets(&self.client, times, isolation_level).await
    }
}
