//! ApiVersions: what this broker serves, in the ranges of Kafka 4.3.1 (KIP-35, KIP-511, KIP-584).

use std::sync::Arc;

use protocol::messages::ApiVersionsRequest;
use protocol::messages::api_versions_response::{
    ApiVersion, ApiVersionsResponse, FinalizedFeatureKey, SupportedFeatureKey,
};
use protocol::{ApiKey, ErrorCode};

use crate::Broker;
use crate::dispatch::{Reply, RequestContext, served};

pub(crate) fn handle(
    broker: &Arc<Broker>,
    context: &RequestContext,
    request: ApiVersionsRequest,
) -> Reply<ApiVersionsResponse> {
    if context.version >= 3 {
        if !(is_valid_name(&request.client_software_name) && is_valid_name(&request.client_software_version)) {
            let error_code = ErrorCode::InvalidRequest.code();
            return Reply::Now(ApiVersionsResponse { error_code, ..Default::default() });
        }
        let software = (request.client_software_name, request.client_software_version);
        *context.connection.software.lock() = Some(software);
    }
    let features = broker.features();
    // A client below version 4 cannot read a feature that starts at level 0 (KAFKA-17011).
    let supported = features.supported.iter().filter(|(_, range)| context.version >= 4 || *range.start() > 0);
    let supported_features = supported.map(|(name, range)| SupportedFeatureKey {
        name: name.clone(),
        min_version: *range.start(),
        max_version: *range.end(),
        ..Default::default()
    });
    let finalized_features = features.finalized.iter().map(|(name, level)| FinalizedFeatureKey {
        name: name.clone(),
        max_version_level: *level,
        min_version_level: *level,
        ..Default::default()
    });
    Reply::Now(ApiVersionsResponse {
        api_keys: served(broker, context.connection.audience).map(api_version).collect(),
        supported_features: supported_features.collect(),
        finalized_features_epoch: features.epoch,
        finalized_features: finalized_features.collect(),
        ..Default::default()
    })
}

/// The answer, in version 0, to a version that we do not know: the client then asks again in one that we do.
pub(crate) fn unsupported_version(_broker: &Broker) -> ApiVersionsResponse {
    let versions = api_version(ApiKey::ApiVersions);
    ApiVersionsResponse {
        error_code: ErrorCode::UnsupportedVersion.code(),
        api_keys: vec![versions],
        ..Default::default()
    }
}

fn api_version(api: ApiKey) -> ApiVersion {
    let versions = api.versions();
    // librdkafka decides by Produce v0 whether a broker speaks its protocol at all, so Kafka says 0 (KAFKA-18659).
    let min_version = if api == ApiKey::Produce { 0 } else { *versions.start() };
    ApiVersion { api_key: api.code(), min_version, max_version: *versions.end(), ..Default::default() }
}

/// `ApiVersionsRequest.SOFTWARE_NAME_VERSION_PATTERN`: letters, digits, dots and dashes, a letter or digit at both ends.
fn is_valid_name(name: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'.';
    let ends = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    name.bytes().all(inner) && ends(name.as_bytes().first()) && ends(name.as_bytes().last())
}
