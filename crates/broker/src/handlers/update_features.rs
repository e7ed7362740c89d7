//! UpdateFeatures: changes the levels of features, all or none (KIP-584).

use std::sync::Arc;

use metadata::features::KRAFT_VERSION;
use protocol::messages::{UpdateFeaturesRequest, UpdateFeaturesResponse};

use crate::Broker;
use crate::dispatch::{Reply, RequestContext};

pub(crate) fn handle(
    broker: &Arc<Broker>,
    context: &RequestContext,
    mut request: UpdateFeaturesRequest,
) -> Reply<UpdateFeaturesResponse> {
    const UPGRADE: i8 = 1;
    const SAFE_DOWNGRADE: i8 = 2;
    if context.version == 0 {
        for update in &mut request.feature_updates {
            update.upgrade_type = if update.allow_downgrade { SAFE_DOWNGRADE } else { UPGRADE };
        }
    }
    // The quorum's own level is not the controller's; asking for what it is already changes nothing.
    let level = broker.quorum().kraft_version();
    request.feature_updates.retain(|update| update.feature != KRAFT_VERSION || update.max_version_level != level);
    let with_results = context.version <= 1;
    let updated = broker.blocking(move |broker| {
        let updated = broker.quorum().submit(broker, |controller, _| Ok(controller.update_features(&request)));
        let mut response = updated.unwrap_or_else(|refusal| UpdateFeaturesResponse {
            error_code: refusal.code.code(),
            error_message: Some(refusal.message),
            ..Default::default()
        });
        // Later versions succeed or fail as a whole.
        if !with_results {
            response.results.clear();
        }
        response
    });
    Reply::Later(Box::pin(async move { updated.await.unwrap_or_default() }))
}
