//! SCRAM credentials: checked, and written without the password (KIP-554).

use std::collections::BTreeMap;

use bytes::Bytes;
use metadata::VersionedRecord;
use metadata::scram::ScramMechanism;
use protocol::messages::alter_user_scram_credentials_request::{ScramCredentialDeletion, ScramCredentialUpsertion};
use protocol::messages::alter_user_scram_credentials_response::AlterUserScramCredentialsResult;
use protocol::messages::{
    AlterUserScramCredentialsRequest, AlterUserScramCredentialsResponse, RemoveUserScramCredentialRecord,
    UserScramCredentialRecord,
};

use crate::ControllerError;
use crate::controller::{Controller, Outcome, check_size};
use crate::error::code_and_message;

type Decision = Result<VersionedRecord, ControllerError>;

impl Controller {
    /// Sets and removes credentials; each user succeeds or fails for itself, and may be changed once.
    /// # Errors
    /// [`ControllerError::PolicyViolation`] for more changes than a request may make.
    pub fn alter_user_scram_credentials(
        &mut self,
        request: &AlterUserScramCredentialsRequest,
    ) -> Result<Outcome<AlterUserScramCredentialsResponse>, ControllerError> {
        let mut users: BTreeMap<&str, Decision> = BTreeMap::new();
        let deletions = request.deletions.iter().map(|deletion| (deletion.name.as_str(), self.delete_scram(deletion)));
        let upsertions =
            request.upsertions.iter().map(|upsertion| (upsertion.name.as_str(), self.upsert_scram(upsertion)));
        for (user, decision) in deletions.chain(upsertions) {
            let decision = match users.get(user) {
                Some(Ok(_)) => Err(ControllerError::DuplicateResource(
                    "A user credential cannot be altered twice in the same request",
                )),
                Some(Err(_)) => continue,
                None => decision,
            };
            users.insert(user, decision);
        }
        let mut records = Vec::new();
        let mut results = Vec::with_capacity(users.len());
        for (user, decision) in users {
            let (error_code, error_message) = code_and_message(&decision.map(|record| records.push(record)));
            let user = user.to_owned();
            results.push(AlterUserScramCredentialsResult { user, error_code, error_message, ..Default::default() });
        }
        check_size(&records)?;
        let response = AlterUserScramCredentialsResponse { results, ..Default::default() };
        Ok(self.commit(records, response, true))
    }

    fn check_scram(&self, user: &str, code: i8) -> Result<ScramMechanism, ControllerError> {
        if !self.metadata_version().is_scram_supported() {
            let reason = "The current metadata.version does not support SCRAM".to_owned();
            return Err(ControllerError::UnsupportedVersion(reason));
        }
        if user.is_empty() {
            return Err(ControllerError::UnacceptableCredential("Username must not be empty"));
        }
        ScramMechanism::from_code(code).ok_or(ControllerError::UnsupportedSaslMechanism("Unknown SCRAM mechanism"))
    }

    fn delete_scram(&self, deletion: &ScramCredentialDeletion) -> Decision {
        self.check_scram(&deletion.name, deletion.mechanism)?;
        if self.image.scram_credential(&deletion.name, deletion.mechanism).is_none() {
            let reason = "Attempt to delete a user credential that does not exist".to_owned();
            return Err(ControllerError::ResourceNotFound(reason));
        }
        let record = RemoveUserScramCredentialRecord {
            name: deletion.name.clone(),
            mechanism: deletion.mechanism,
            ..Default::default()
        };
        Ok(VersionedRecord::new(record, 0))
    }

    fn upsert_scram(&self, upsertion: &ScramCredentialUpsertion) -> Decision {
        let mechanism = self.check_scram(&upsertion.name, upsertion.mechanism)?;
        if upsertion.iterations < ScramMechanism::MIN_ITERATIONS {
            return Err(ControllerError::UnacceptableCredential("Too few iterations"));
        }
        if upsertion.iterations > ScramMechanism::MAX_ITERATIONS {
            return Err(ControllerError::UnacceptableCredential("Too many iterations"));
        }
        let keys = mechanism.keys(&upsertion.salted_password);
        let record = UserScramCredentialRecord {
            name: upsertion.name.clone(),
            mechanism: upsertion.mechanism,
            salt: upsertion.salt.clone(),
            stored_key: Bytes::from(keys.stored),
            server_key: Bytes::from(keys.server),
            iterations: upsertion.iterations,
            ..Default::default()
        };
        Ok(VersionedRecord::new(record, 0))
    }
}
