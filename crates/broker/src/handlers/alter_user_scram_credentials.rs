//! AlterUserScramCredentials: the controller decides; the answer comes when the credentials are committed (KIP-554).

use std::collections::BTreeSet;
use std::sync::Arc;

use protocol::messages::alter_user_scram_credentials_response::AlterUserScramCredentialsResult;
use protocol::messages::{AlterUserScramCredentialsRequest, AlterUserScramCredentialsResponse};

use crate::Broker;
use crate::dispatch::{Reply, RequestContext};
use crate::quorum::Refusal;

pub(crate) fn handle(
    broker: &Arc<Broker>,
    _: &RequestContext,
    request: AlterUserScramCredentialsRequest,
) -> Reply<AlterUserScramCredentialsResponse> {
    let altered = broker.blocking(move |broker| {
        let altered = broker.quorum().submit(broker, |controller, _| controller.alter_user_scram_credentials(&request));
        altered.unwrap_or_else(|refusal| refused(&request, &refusal))
    });
    Reply::Later(Box::pin(async move { altered.await.unwrap_or_default() }))
}

fn refused(request: &AlterUserScramCredentialsRequest, refusal: &Refusal) -> AlterUserScramCredentialsResponse {
    let deleted = request.deletions.iter().map(|deletion| &deletion.name);
    let users: BTreeSet<&String> = deleted.chain(request.upsertions.iter().map(|upsertion| &upsertion.name)).collect();
    let results = users.into_iter().map(|user| AlterUserScramCredentialsResult {
        user: user.clone(),
        error_code: refusal.code.code(),
        error_message: Some(refusal.message.clone()),
        ..Default::default()
    });
    AlterUserScramCredentialsResponse { results: results.collect(), ..Default::default() }
}
