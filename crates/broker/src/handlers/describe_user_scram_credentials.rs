//! DescribeUserScramCredentials: which users have credentials, never what they are (KIP-554).

use std::collections::BTreeMap;
use std::sync::Arc;

use metadata::ClusterImage;
use protocol::ErrorCode;
use protocol::messages::describe_user_scram_credentials_response::{
    CredentialInfo, DescribeUserScramCredentialsResult,
};
use protocol::messages::{DescribeUserScramCredentialsRequest, DescribeUserScramCredentialsResponse};

use crate::Broker;
use crate::dispatch::{Reply, RequestContext};

pub(crate) fn handle(
    broker: &Arc<Broker>,
    _: &RequestContext,
    request: DescribeUserScramCredentialsRequest,
) -> Reply<DescribeUserScramCredentialsResponse> {
    let image = broker.image();
    // How often each user is asked for.
    let mut users: BTreeMap<&str, usize> = BTreeMap::new();
    match request.users.as_deref() {
        None | Some([]) => users.extend(image.scram_credentials().map(|credential| (credential.name.as_str(), 1))),
        Some(asked) => asked.iter().for_each(|user| *users.entry(user.name.as_str()).or_default() += 1),
    }
    let results = users.into_iter().map(|(user, times)| describe(&image, user, times)).collect();
    Reply::Now(DescribeUserScramCredentialsResponse { results, ..Default::default() })
}

fn describe(image: &ClusterImage, user: &str, times: usize) -> DescribeUserScramCredentialsResult {
    let mut result = DescribeUserScramCredentialsResult { user: user.to_owned(), ..Default::default() };
    let mut fail = |code: ErrorCode, message: &str| {
        (result.error_code, result.error_message) = (code.code(), Some(format!("{message}{user}")));
    };
    let credentials = image.scram_credentials().filter(|credential| credential.name == user);
    let infos: Vec<CredentialInfo> = credentials
        .map(|credential| CredentialInfo {
            mechanism: credential.mechanism,
            iterations: credential.iterations,
            ..Default::default()
        })
        .collect();
    if times > 1 {
        let message = "Cannot describe SCRAM credentials for the same user twice in a single request: ";
        fail(ErrorCode::DuplicateResource, message);
    } else if infos.is_empty() {
        fail(ErrorCode::ResourceNotFound, "Attempt to describe a user credential that does not exist: ");
    } else {
        result.credential_infos = infos;
    }
    result
}
