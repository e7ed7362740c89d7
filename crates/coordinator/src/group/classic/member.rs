//! One member of a classic group.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use protocol::Uuid;
use protocol::messages::describe_groups_response::DescribedGroupMember;
use protocol::messages::join_group_request::JoinGroupRequestProtocol;

use crate::effects::ReplyToken;

/// A protocol that a member supports, and what it says of itself in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MemberProtocol {
    pub(crate) name: String,
    pub(crate) metadata: Bytes,
}

/// The protocols of a request, in the member's order of preference.
/// Copied: a slice of the request would keep the whole read buffer alive as long as the member.
pub(crate) fn protocols_of(requested: &[JoinGroupRequestProtocol]) -> Vec<MemberProtocol> {
    requested
        .iter()
        .map(|protocol| MemberProtocol {
            name: protocol.name.clone(),
            metadata: Bytes::copy_from_slice(&protocol.metadata),
        })
        .collect()
}

/// A member id that nobody has: the client's or the instance's name and a random UUID as Java prints it.
pub(crate) fn new_member_id(prefix: &str, fresh_id: Uuid) -> Arc<str> {
    let mut bits = u128::from_be_bytes(*fresh_id.as_bytes());
    // RFC 9562: version 4, variant 10.
    bits = bits & !(0xf << 76) | 4 << 76;
    bits = bits & !(0b11 << 62) | 0b10 << 62;
    let hex = format!("{bits:032x}");
    format!("{prefix}-{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]).into()
}

/// A member.
#[derive(Debug, Clone)]
pub(crate) struct Member {
    pub(crate) member_id: Arc<str>,
    /// `group.instance.id` of a static member.
    pub(crate) instance_id: Option<Arc<str>>,
    pub(crate) client_id: String,
    pub(crate) client_host: String,
    pub(crate) rebalance_timeout_ms: i32,
    pub(crate) session_timeout_ms: i32,
    pub(crate) protocols: Vec<MemberProtocol>,
    pub(crate) assignment: Bytes,
    /// Its JoinGroup that waits for the others.
    pub(crate) awaiting_join: Option<ReplyToken>,
    /// Its SyncGroup that waits for the leader's.
    pub(crate) awaiting_sync: Option<ReplyToken>,
    /// It joined and was in no generation yet.
    pub(crate) is_new: bool,
}

impl Member {
    pub(crate) fn is_static(&self) -> bool {
        self.instance_id.is_some()
    }

    /// What the member says of itself in a protocol; empty if it does not support it.
    pub(crate) fn metadata(&self, protocol: &str) -> Bytes {
        let found = self.protocols.iter().find(|candidate| candidate.name == protocol);
        found.map(|protocol| protocol.metadata.clone()).unwrap_or_default()
    }

    /// Whether the member needs no heartbeat now, since a request of it waits here.
    /// A new member is not excused: its client may be gone, and nobody would notice.
    pub(crate) fn has_satisfied_heartbeat(&self) -> bool {
        !self.is_new && (self.awaiting_join.is_some() || self.awaiting_sync.is_some())
    }

    /// Whether a request names the same protocols in the same order.
    pub(crate) fn matches(&self, requested: &[JoinGroupRequestProtocol]) -> bool {
        self.protocols.len() == requested.len()
            && self
                .protocols
                .iter()
                .zip(requested)
                .all(|(ours, theirs)| ours.name == theirs.name && ours.metadata == theirs.metadata)
    }

    /// The names of its protocols, each once.
    pub(crate) fn protocol_names(&self) -> BTreeSet<&str> {
        self.protocols.iter().map(|protocol| protocol.name.as_str()).collect()
    }

    /// As DescribeGroups shows it, with its metadata in `protocol`.
    pub(crate) fn describe(&self, protocol: Option<&str>) -> DescribedGroupMember {
        DescribedGroupMember {
            member_id: self.member_id.to_string(),
            group_instance_id: self.instance_id.as_deref().map(str::to_owned),
            client_id: self.client_id.clone(),
            client_host: self.client_host.clone(),
            member_metadata: protocol.map(|name| self.metadata(name)).unwrap_or_default(),
            member_assignment: self.assignment.clone(),
            ..Default::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn member_ids_end_in_a_version_4_uuid() {
        let id = new_member_id("consumer-1", Uuid::from_bytes([0xff; 16]));
        assert_eq!(&*id, "consumer-1-ffffffff-ffff-4fff-bfff-ffffffffffff");
    }
}
