//! Blocks of producer ids: a broker gives out ids of its block, and no block is ever given out twice.

use metadata::VersionedRecord;
use protocol::messages::{AllocateProducerIdsRequest, AllocateProducerIdsResponse, ProducerIdsRecord};

use crate::ControllerError;
use crate::controller::{Controller, Outcome};

/// Ids in a block.
const BLOCK_SIZE: i32 = 1000;

impl Controller {
    /// Gives a broker its next block of producer ids.
    /// # Errors
    /// A broker that is not registered with this epoch, or no ids left.
    pub fn allocate_producer_ids(
        &mut self,
        request: &AllocateProducerIdsRequest,
    ) -> Result<Outcome<AllocateProducerIdsResponse>, ControllerError> {
        self.check_broker_epoch(request.broker_id, request.broker_epoch)?;
        let producer_id_start = self.image.next_producer_id().max(0);
        let next_producer_id =
            producer_id_start.checked_add(i64::from(BLOCK_SIZE)).ok_or(ControllerError::ProducerIdsExhausted)?;
        let record = ProducerIdsRecord {
            broker_id: request.broker_id,
            broker_epoch: request.broker_epoch,
            next_producer_id,
            ..Default::default()
        };
        let response =
            AllocateProducerIdsResponse { producer_id_start, producer_id_len: BLOCK_SIZE, ..Default::default() };
        Ok(self.commit(vec![VersionedRecord::new(record, 0)], response, true))
    }
}
