//! DescribeGroups and ListGroups: what administrators see.

use std::collections::BTreeSet;

use protocol::ErrorCode;
use protocol::messages::ListGroupsRequest;
use protocol::messages::describe_groups_response::DescribedGroup;
use protocol::messages::list_groups_response::ListedGroup;

use super::classic::state::{ClassicGroup, DEAD, GroupState};
use crate::shard::GroupShard;

/// From this version on a group that does not exist is an error (KIP-1043).
const FIRST_VERSION_WITH_GROUP_ID_NOT_FOUND: i16 = 6;

/// The type of every group here.
const CLASSIC: &str = "classic";

impl GroupShard {
    /// Describes groups in the order asked for. Members' metadata is shown while a group is stable.
    #[must_use]
    pub fn describe_groups(&self, group_ids: &[String], api_version: i16) -> Vec<DescribedGroup> {
        group_ids
            .iter()
            .map(|group_id| match self.group(group_id) {
                Some(group) => group.describe(),
                None => missing(group_id, api_version),
            })
            .collect()
    }

    /// Lists groups, sorted by id. An empty filter lets everything pass; names of states and types are matched in any case.
    #[must_use]
    pub fn list_groups(&self, request: &ListGroupsRequest) -> Vec<ListedGroup> {
        let states: BTreeSet<String> = request.states_filter.iter().map(|state| state.trim().to_lowercase()).collect();
        let wants_classic = request.types_filter.is_empty()
            || request.types_filter.iter().any(|group_type| group_type.eq_ignore_ascii_case(CLASSIC));
        let wants = |group: &&ClassicGroup| {
            wants_classic && (states.is_empty() || states.contains(&group.state.name().to_lowercase()))
        };
        self.group_ids().iter().filter_map(|id| self.group(id)).filter(wants).map(ClassicGroup::list).collect()
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

    fn list(&self) -> ListedGroup {
        ListedGroup {
            group_id: self.group_id.to_string(),
            protocol_type: self.protocol_type.clone().unwrap_or_default(),
            group_state: self.state.name().to_owned(),
            group_type: CLASSIC.to_owned(),
            ..Default::default()
        }
    }
}

fn missing(group_id: &str, api_version: i16) -> DescribedGroup {
    let mut described =
        DescribedGroup { group_id: group_id.to_owned(), group_state: DEAD.to_owned(), ..Default::default() };
    if api_version >= FIRST_VERSION_WITH_GROUP_ID_NOT_FOUND {
        described.error_code = ErrorCode::GroupIdNotFound.code();
        described.error_message = Some(format!("Group {group_id} not found."));
    }
    described
}
