//! Heartbeat: a member is still there, and learns whether it must rejoin.

use protocol::messages::{HeartbeatRequest, HeartbeatResponse};

use super::rebalance::Scope;
use super::state::{ClassicGroup, GroupState};
use crate::effects::{Effects, RequestContext};
use crate::error::GroupError;
use crate::shard::GroupShard;

impl GroupShard {
    /// Answers a heartbeat. Never waits and never writes.
    pub fn heartbeat(&mut self, context: &RequestContext, request: &HeartbeatRequest) -> HeartbeatResponse {
        let answer = if request.group_id.is_empty() {
            Err(GroupError::InvalidGroupId)
        } else if self.consumer_group(&request.group_id).is_some() {
            self.heartbeat_consumer_group(context.now_ms, request)
        } else {
            let mut out = Effects::default();
            let heartbeat = |group: &mut ClassicGroup, scope: &mut Scope<'_>| group.heartbeat(request, scope);
            self.in_group(context.now_ms, &request.group_id, &mut out, heartbeat)
                .unwrap_or(Err(GroupError::UnknownMember))
        };
        let error_code = answer.err().map_or(0, |error| error.code().code());
        HeartbeatResponse { error_code, ..Default::default() }
    }
}

impl ClassicGroup {
    fn heartbeat(&mut self, request: &HeartbeatRequest, scope: &mut Scope<'_>) -> Result<(), GroupError> {
        self.validate_member(&request.member_id, request.group_instance_id.as_deref())?;
        if request.generation_id != self.generation {
            return Err(GroupError::IllegalGeneration);
        }
        match self.state {
            GroupState::Empty => Err(GroupError::UnknownMember),
            GroupState::PreparingRebalance => {
                self.renew_session(&request.member_id, scope);
                Err(GroupError::RebalanceInProgress)
            }
            GroupState::CompletingRebalance | GroupState::Stable => {
                self.renew_session(&request.member_id, scope);
                Ok(())
            }
        }
    }
}
