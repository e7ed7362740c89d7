//! StreamsGroupHeartbeat: members of streams groups join, confirm, and learn which tasks they are to run (KIP-1071).
//! The topics inside of a topology are created here.

use std::collections::BTreeMap;
use std::sync::Arc;

use controller::validate_topic_name;
use coordinator::GroupResponse;
use protocol::ErrorCode;
use protocol::messages::create_topics_request::CreatableTopic;
use protocol::messages::streams_group_heartbeat_request::Topology;
use protocol::messages::{StreamsGroupHeartbeatRequest, StreamsGroupHeartbeatResponse};

use crate::Broker;
use crate::coordinators::coordinator_context;
use crate::dispatch::{Reply, RequestContext};
use crate::topic_settings::is_internal;

/// `StreamsGroupHeartbeatResponse.Status.MISSING_INTERNAL_TOPICS`.
const MISSING_INTERNAL_TOPICS: i8 = 3;

/// How many topics a client is told of that could not be created.
const MAX_ERRORS_TOLD: usize = 3;

pub(crate) fn handle(
    broker: &Arc<Broker>,
    context: &RequestContext,
    request: StreamsGroupHeartbeatRequest,
) -> Reply<StreamsGroupHeartbeatResponse> {
    if !broker.serves_streams_groups() {
        return Reply::Now(refuse(ErrorCode::UnsupportedVersion, None));
    }
    if let Some(message) = request.topology.as_ref().and_then(wrong_names) {
        return Reply::Now(refuse(ErrorCode::StreamsInvalidTopology, Some(message)));
    }
    let context = coordinator_context(broker, context);
    let group_id = request.group_id.clone();
    let answer = broker.coordinators().groups().ask(broker, &group_id, |groups, token, out| {
        groups.streams_group_heartbeat(&context, &request, token, out);
    });
    let broker = Arc::clone(broker);
    Reply::Later(Box::pin(async move {
        match answer.wait().await {
            Ok(GroupResponse::StreamsGroupHeartbeat(response, missing)) if missing.is_empty() => response,
            Ok(GroupResponse::StreamsGroupHeartbeat(response, missing)) => created(&broker, response, missing).await,
            Ok(other) => unreachable!("StreamsGroupHeartbeat is not answered with {other:?}"),
            Err(code) => refuse(code, None),
        }
    }))
}

/// What is wrong with the names of a topology's topics.
fn wrong_names(topology: &Topology) -> Option<String> {
    let mut names: Vec<&str> = Vec::new();
    for subtopology in &topology.subtopologies {
        let sources = subtopology.repartition_source_topics.iter().chain(&subtopology.state_changelog_topics);
        let named = subtopology.source_topics.iter().chain(&subtopology.repartition_sink_topics);
        names.extend(named.map(String::as_str).chain(sources.map(|topic| topic.name.as_str())));
    }
    let listed = |is_wrong: &dyn Fn(&str) -> bool| {
        let mut listed: Vec<&str> = Vec::new();
        for name in names.iter().filter(|name| is_wrong(name)) {
            if !listed.contains(name) {
                listed.push(name);
            }
        }
        (!listed.is_empty()).then(|| listed.join(","))
    };
    let internal = listed(&is_internal)
        .map(|names| format!("Use of Kafka internal topics {names} in a Kafka Streams topology is prohibited."));
    internal.or_else(|| {
        listed(&|name| validate_topic_name(name).is_err())
            .map(|names| format!("Topic names {names} are not valid topic names."))
    })
}

/// Creates the topics that a group waits for. What cannot be created is told, and tried again with the next heartbeat.
async fn created(
    broker: &Arc<Broker>,
    mut response: StreamsGroupHeartbeatResponse,
    missing: BTreeMap<String, CreatableTopic>,
) -> StreamsGroupHeartbeatResponse {
    let failed = broker.create_streams_topics(missing.into_values().collect()).await;
    let statuses = response.status.get_or_insert_default();
    let told = statuses.iter_mut().find(|status| status.status_code == MISSING_INTERNAL_TOPICS);
    if let Some(status) = told.filter(|_| !failed.is_empty()) {
        let first: Vec<String> =
            failed.iter().take(MAX_ERRORS_TOLD).map(|(topic, error)| format!("{topic} ({error})")).collect();
        let more = match failed.len().checked_sub(MAX_ERRORS_TOLD) {
            Some(more) if more > 0 => format!(" and {more} more"),
            _ => String::new(),
        };
        status.status_detail.push_str(&format!("; Creation failed: {}{more}.", first.join(", ")));
    }
    response
}

fn refuse(code: ErrorCode, message: Option<String>) -> StreamsGroupHeartbeatResponse {
    StreamsGroupHeartbeatResponse {
        error_code: code.code(),
        error_message: Some(message.unwrap_or_else(|| code.message().to_owned())),
        status: Some(Vec::new()),
        ..Default::default()
    }
}
