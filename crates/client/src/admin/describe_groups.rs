//! DescribeGroups, for classic groups.

use protocol::messages::DescribeGroupsRequest;
use protocol::messages::describe_groups_response::{DescribedGroup, DescribedGroupMember};
use protocol::types::BrokerId;
use protocol::{ErrorCode, TopicPartition};

use super::{Admin, Results};
use crate::consumer::decode_assignment;
use crate::{ClientError, CoordinatorType};

/// A member of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberDescription {
    /// Its id.
    pub member_id: String,
    /// Its `group.instance.id`, if it is static.
    pub group_instance_id: Option<String>,
    /// Its `client.id`.
    pub client_id: String,
    /// Where it connects from.
    pub host: String,
    /// Partitions that it reads; empty for groups that are not of consumers.
    pub assignment: Vec<TopicPartition>,
}

/// A group with its members.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupDescription {
    /// Its id.
    pub group_id: String,
    /// Its state, such as `Stable`.
    pub state: String,
    /// What its members are: `consumer`, `connect`.
    pub protocol_type: String,
    /// The assignor in use.
    pub assignor: String,
    /// Its members.
    pub members: Vec<MemberDescription>,
    /// The broker that coordinates it.
    pub coordinator: BrokerId,
}

impl Admin {
    /// Groups with their members. A group that does not exist is an error or in the state `Dead`, by the age of the
    /// broker.
    /// # Errors
    /// Those of the requests that hold for all groups.
    pub async fn describe_groups(&self, groups: &[&str]) -> Result<Results<GroupDescription>, ClientError> {
        let mut described = Results::new();
        for group_id in groups {
            described.insert((*group_id).to_owned(), self.describe_group(group_id).await);
        }
        Ok(described)
    }

    async fn describe_group(&self, group_id: &str) -> Result<GroupDescription, ClientError> {
        let request = DescribeGroupsRequest { groups: vec![group_id.to_owned()], ..DescribeGroupsRequest::default() };
        let code = |response: &protocol::messages::DescribeGroupsResponse| {
            response.groups.first().map_or(0, |group| group.error_code)
        };
        let response = self.send_to_coordinator(group_id, &request, code).await?;
        let coordinator = self.client.find_coordinator(CoordinatorType::Group, group_id).await?;
        let group = response.groups.into_iter().next();
        let group = group.ok_or(ClientError::broker(ErrorCode::UnknownServerError))?;
        ClientError::check(group.error_code, group.error_message.as_deref())?;
        describe(group, coordinator)
    }
}

fn describe(group: DescribedGroup, coordinator: BrokerId) -> Result<GroupDescription, ClientError> {
    let of_consumers = group.protocol_type == "consumer";
    let member = |member: DescribedGroupMember| {
        let assigned = of_consumers.then(|| decode_assignment(&member.member_assignment));
        Ok(MemberDescription {
            member_id: member.member_id,
            group_instance_id: member.group_instance_id,
            client_id: member.client_id,
            host: member.client_host,
            assignment: assigned.transpose()?.unwrap_or_default(),
        })
    };
    Ok(GroupDescription {
        group_id: group.group_id,
        state: group.group_state,
        protocol_type: group.protocol_type,
        assignor: group.protocol_data,
        members: group.members.into_iter().map(member).collect::<Result<_, ClientError>>()?,
        coordinator,
    })
}
