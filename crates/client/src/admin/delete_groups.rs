//! DeleteGroups.

use protocol::messages::{DeleteGroupsRequest, DeleteGroupsResponse};

use super::{Admin, Results};
use crate::ClientError;

impl Admin {
    /// Deletes groups without members, with their offsets.
    /// # Errors
    /// None that holds for all groups: the type leaves room for it.
    pub async fn delete_groups(&self, groups: &[&str]) -> Result<Results<()>, ClientError> {
        let mut deleted = Results::new();
        for group_id in groups {
            deleted.insert((*group_id).to_owned(), self.delete_group(group_id).await);
        }
        Ok(deleted)
    }

    async fn delete_group(&self, group_id: &str) -> Result<(), ClientError> {
        let request = DeleteGroupsRequest { groups_names: vec![group_id.to_owned()], ..DeleteGroupsRequest::default() };
        let code = |response: &DeleteGroupsResponse| response.results.first().map_or(0, |group| group.error_code);
        let response = self.send_to_coordinator(group_id, &request, code).await?;
        response.results.first().map_or(Ok(()), |group| ClientError::check(group.error_code, None))
    }
}
