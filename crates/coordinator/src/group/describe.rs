//! DescribeGroups and ListGroups: what administrators see.

use std::collections::BTreeSet;

use protocol::ErrorCode;
use protocol::messages::ListGroupsRequest;
use protocol::messages::describe_groups_response::DescribedGroup;
use protocol::messages::list_groups_response::ListedGroup;

use super::Group;
use super::classic::state::{ClassicGroup, DEAD, GroupState};
use crate::shard::GroupShard;

/// From this version on a group that does not exist is an error (KIP-1043).
const FIRST_VERSION_WITH_GROUP_ID_NOT_FOUND: i16 = 6;

impl GroupShard {
    /// Describes groups in the order asked for. Members' metadata is shown while a group is stable.
    #[must_use]
    pub fn describe_groups(&self, group_ids: &[String], api_version: i16) -> Vec<DescribedGroup> {
        group_ids
            .iter()
            .map(|group_id| match self.group(group_id) {
                Some(Group::Classic(group)) => group.describe(),
                Some(_) => missing(group_id, &format!("Group {group_id} is not a classic group."), api_version),
                None => missing(group_id, &format!("Group {group_id} not found."), api_version),
            })
            .collect()
    }

    /// Lists groups, sorted by id. An empty filter lets everything pass; names of states and types are matched in any case.
    #[must_use]
    pub fn list_groups(&self, request: &ListGroupsRequest) -> Vec<ListedGroup> {
        let states: BTreeSet<String> = request.states_filter.iter().map(|state| state.trim().to_lowercase()).collect();
        let types = &request.types_filter;
        let wants = |group: &&Group| {
            let of_type = types.is_empty() || types.iter().any(|name| name.eq_ignore_ascii_case(group.type_name()));
            of_type && (states.is_empty() || states.contains(&group.state_filter_name()))
        };
        self.group_ids().iter().filter_map(|id| self.group(id)).filter(wants).map(Group::list).collect()
    }
}

impl Group {
    fn list(&self) -> ListedGroup {
        ListedGroup {
            group_id: self.group_id().to_string(),
            protocol_type: self.protocol_type().to_owned(),
            group_state: self.state_name().to_owned(),
            group_type: self.type_name().to_owned(),
            ..Default::default()
        }
    }
}

impl ClassicGroup {
    fn describe(&self) -> DescribedGroup {
        let protocol = self.protocol_name.as_deref().filter(|_| self.is(GroupState::Stable));
        DescribedGroup {
            group_id: self.group_id.to_string(),
            group_state: self.state.name().to_owned(),
            protocol_type: self.protocol_type.clone().unwrap_or_default(),
            protocol_data: protocol.unwrap_or_default().to_owned(),
            members: self.members.values().map(|member| member.describe(protocol)).collect(),
            ..Default::default()
        }
    }
}

fn missing(group_id: &str, message: &str, api_version: i16) -> DescribedGroup {
    let mut described =
        DescribedGroup { group_id: group_id.to_owned(), group_state: DEAD.to_owned(), ..Default::default() };
    if api_version >= FIRST_VERSION_WITH_GROUP_ID_NOT_FOUND {
        described.error_code = ErrorCode::GroupIdNotFound.code();
        described.error_message = Some(message.to_owned());
    }
    described
}
