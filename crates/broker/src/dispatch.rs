//! From a frame to a reply: header, version check, decoding, the handler of the API, encoding.
//! [`SERVED`] is what ApiVersions advertises; an API that is not in it is refused.

use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use protocol::frame::{Encoded, HeaderError, decode_request_header, encode_response};
use protocol::{ApiKey, DecodeError, EncodeError, Message, Reader, Request};
use storage::FileSlice;
use tracing::error;

use crate::Broker;
use crate::handlers;

/// What the broker knows of a client's connection.
#[derive(Debug)]
pub struct Connection {
    /// Unique among the connections of this process.
    pub id: u64,
    /// Address of the client.
    pub peer: IpAddr,
    /// Name of the listener that accepted it.
    pub listener: String,
    /// What the listener is for.
    pub audience: Audience,
    /// Name and version of the client's software, from ApiVersions.
    pub software: Mutex<Option<(String, String)>>,
}

/// Which APIs a listener serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Audience {
    /// Those of a broker.
    Clients,
    /// Those of a controller.
    Controllers,
}

/// One request: who sent it, and how it is to be answered.
#[derive(Debug, Clone)]
pub struct RequestContext {
    /// The connection it came by.
    pub connection: Arc<Connection>,
    /// `client.id`.
    pub client_id: String,
    /// The API.
    pub api: ApiKey,
    /// Version of the request.
    pub version: i16,
    /// Number of the request on its connection.
    pub correlation_id: i32,
}

/// A frame to send, and the file ranges that its external chunks name by index.
#[derive(Debug, Default)]
pub struct Response {
    /// The frame.
    pub frame: Encoded,
    /// The ranges.
    pub files: Vec<FileSlice>,
}

/// A future that the shell polls.
pub type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// What a handler gives back.
pub enum Reply<T> {
    /// The answer.
    Now(T),
    /// The answer comes later; requests behind it on the connection go on meanwhile.
    Later(BoxFuture<T>),
    /// The client wants none (`acks=0`).
    Nothing,
    /// The client breaks the protocol, or `acks=0` failed: the connection is to be closed.
    Close,
}

/// What became of a frame.
pub enum Handled {
    /// Send this.
    Now(Response),
    /// Send what comes of this. `None` closes the connection.
    Later(BoxFuture<Option<Response>>),
    /// Send nothing.
    Nothing,
    /// Close the connection, as Kafka does on a request that it cannot read.
    Close(CloseReason),
}

/// Why a connection is closed.
#[derive(Debug, thiserror::Error)]
pub enum CloseReason {
    /// The header cannot be read.
    #[error(transparent)]
    Header(#[from] HeaderError),
    /// The request cannot be read.
    #[error("{api:?} version {version}: {source}")]
    Decode {
        /// The API.
        api: ApiKey,
        /// The version.
        version: i16,
        /// What is wrong.
        source: DecodeError,
    },
    /// The API is not served here, or not in that version.
    #[error("{api:?} version {version} is not supported")]
    Unsupported {
        /// The API.
        api: ApiKey,
        /// The version.
        version: i16,
    },
    /// The response cannot be written in the version asked for.
    #[error("response to {api:?} version {version}: {source}")]
    Encode {
        /// The API.
        api: ApiKey,
        /// The version.
        version: i16,
        /// What is wrong.
        source: EncodeError,
    },
    /// The handler asked for it.
    #[error("the handler closed the connection")]
    Handler,
}

/// The APIs that this broker serves, in the versions of the protocol's table.
pub(crate) const SERVED: &[ApiKey] = &[
    ApiKey::Produce,
    ApiKey::Fetch,
    ApiKey::ListOffsets,
    ApiKey::Metadata,
    ApiKey::OffsetCommit,
    ApiKey::OffsetFetch,
    ApiKey::FindCoordinator,
    ApiKey::JoinGroup,
    ApiKey::Heartbeat,
    ApiKey::LeaveGroup,
    ApiKey::SyncGroup,
    ApiKey::DescribeGroups,
    ApiKey::ListGroups,
    ApiKey::DeleteGroups,
    ApiKey::OffsetDelete,
    ApiKey::ConsumerGroupHeartbeat,
    ApiKey::ConsumerGroupDescribe,
    ApiKey::ApiVersions,
    ApiKey::DeleteRecords,
    ApiKey::InitProducerId,
    ApiKey::OffsetForLeaderEpoch,
    ApiKey::DescribeLogDirs,
    ApiKey::DescribeQuorum,
    ApiKey::DescribeCluster,
    ApiKey::DescribeProducers,
    ApiKey::ListConfigResources,
    ApiKey::DescribeTopicPartitions,
    ApiKey::CreateTopics,
    ApiKey::DeleteTopics,
    ApiKey::CreatePartitions,
    ApiKey::DescribeConfigs,
    ApiKey::AlterConfigs,
    ApiKey::IncrementalAlterConfigs,
    ApiKey::ElectLeaders,
    ApiKey::ListPartitionReassignments,
    ApiKey::UpdateFeatures,
];

/// The APIs that a listener serves.
pub(crate) fn served(audience: Audience) -> impl Iterator<Item = ApiKey> {
    SERVED.iter().copied().filter(move |api| match audience {
        Audience::Clients => api.on_broker(),
        Audience::Controllers => api.on_controller() && *api != ApiKey::Fetch,
    })
}

fn serves(audience: Audience, api: ApiKey, version: i16) -> bool {
    api.versions().contains(&version) && served(audience).any(|other| other == api)
}

impl Broker {
    /// Handles one frame (without its length). Appends happen before this returns, so the order of a connection's
    /// requests is the order of the calls.
    pub fn handle(self: &Arc<Self>, connection: &Arc<Connection>, frame: Bytes) -> Handled {
        let (api, header, reader) = match decode_request_header(&frame) {
            Ok(decoded) => decoded,
            Err(error) => return Handled::Close(error.into()),
        };
        // The reader has the bytes as long as they are needed; a large frame must not outlive it.
        drop(frame);
        let context = RequestContext {
            connection: Arc::clone(connection),
            client_id: header.client_id.unwrap_or_default(),
            api,
            version: header.request_api_version,
            correlation_id: header.correlation_id,
        };
        if !serves(connection.audience, api, context.version) {
            if api == ApiKey::ApiVersions {
                return respond(&context, 0, &handlers::api_versions::unsupported_version(self));
            }
            return Handled::Close(CloseReason::Unsupported { api, version: context.version });
        }
        self.route(context, reader)
    }

    fn route(self: &Arc<Self>, context: RequestContext, reader: Reader) -> Handled {
        use handlers as h;
        match context.api {
            ApiKey::Produce => self.call(context, reader, h::produce::handle),
            ApiKey::Fetch => h::fetch::handle_frame(self, context, reader),
            ApiKey::ListOffsets => self.call(context, reader, h::list_offsets::handle),
            ApiKey::Metadata => self.call(context, reader, h::metadata::handle),
            ApiKey::OffsetCommit => self.call(context, reader, h::offset_commit::handle),
            ApiKey::OffsetFetch => self.call(context, reader, h::offset_fetch::handle),
            ApiKey::FindCoordinator => self.call(context, reader, h::find_coordinator::handle),
            ApiKey::JoinGroup => self.call(context, reader, h::join_group::handle),
            ApiKey::Heartbeat => self.call(context, reader, h::heartbeat::handle),
            ApiKey::LeaveGroup => self.call(context, reader, h::leave_group::handle),
            ApiKey::SyncGroup => self.call(context, reader, h::sync_group::handle),
            ApiKey::DescribeGroups => self.call(context, reader, h::describe_groups::handle),
            ApiKey::ListGroups => self.call(context, reader, h::list_groups::handle),
            ApiKey::DeleteGroups => self.call(context, reader, h::delete_groups::handle),
            ApiKey::OffsetDelete => self.call(context, reader, h::offset_delete::handle),
            ApiKey::ConsumerGroupHeartbeat => self.call(context, reader, h::consumer_group_heartbeat::handle),
            ApiKey::ConsumerGroupDescribe => self.call(context, reader, h::consumer_group_describe::handle),
            ApiKey::ApiVersions => self.call(context, reader, h::api_versions::handle),
            ApiKey::DeleteRecords => self.call(context, reader, h::delete_records::handle),
            ApiKey::InitProducerId => self.call(context, reader, h::init_producer_id::handle),
            ApiKey::OffsetForLeaderEpoch => self.call(context, reader, h::offset_for_leader_epoch::handle),
            ApiKey::DescribeLogDirs => self.call(context, reader, h::describe_log_dirs::handle),
            ApiKey::DescribeQuorum => self.call(context, reader, h::describe_quorum::handle),
            ApiKey::DescribeCluster => self.call(context, reader, h::describe_cluster::handle),
            ApiKey::DescribeProducers => self.call(context, reader, h::describe_producers::handle),
            ApiKey::ListConfigResources => self.call(context, reader, h::list_config_resources::handle),
            ApiKey::DescribeTopicPartitions => self.call(context, reader, h::describe_topic_partitions::handle),
            ApiKey::CreateTopics => self.call(context, reader, h::create_topics::handle),
            ApiKey::DeleteTopics => self.call(context, reader, h::delete_topics::handle),
            ApiKey::CreatePartitions => self.call(context, reader, h::create_partitions::handle),
            ApiKey::DescribeConfigs => self.call(context, reader, h::describe_configs::handle),
            ApiKey::AlterConfigs => self.call(context, reader, h::alter_configs::handle),
            ApiKey::IncrementalAlterConfigs => self.call(context, reader, h::incremental_alter_configs::handle),
            ApiKey::ElectLeaders => self.call(context, reader, h::elect_leaders::handle),
            ApiKey::ListPartitionReassignments => self.call(context, reader, h::list_partition_reassignments::handle),
            ApiKey::UpdateFeatures => self.call(context, reader, h::update_features::handle),
            api => Handled::Close(CloseReason::Unsupported { api, version: context.version }),
        }
    }

    fn call<R: Request>(
        self: &Arc<Self>,
        context: RequestContext,
        mut reader: Reader,
        handler: impl FnOnce(&Arc<Self>, &RequestContext, R) -> Reply<R::Response>,
    ) -> Handled
    where
        R::Response: Send + 'static,
    {
        let request = match R::decode(&mut reader, context.version) {
            Ok(request) => request,
            Err(source) => {
                return Handled::Close(CloseReason::Decode { api: context.api, version: context.version, source });
            }
        };
        match handler(self, &context, request) {
            Reply::Now(response) => respond(&context, context.version, &response),
            Reply::Later(later) => Handled::Later(Box::pin(async move {
                let response = later.await;
                encode(&context, context.version, &response)
                    .inspect_err(|reason| error!(%reason, "could not write a response"))
                    .ok()
            })),
            Reply::Nothing => Handled::Nothing,
            Reply::Close => Handled::Close(CloseReason::Handler),
        }
    }
}

fn encode<M: Message>(context: &RequestContext, version: i16, response: &M) -> Result<Response, CloseReason> {
    encode_response(context.api, version, context.correlation_id, response)
        .map(|frame| Response { frame, files: Vec::new() })
        .map_err(|source| CloseReason::Encode { api: context.api, version, source })
}

fn respond<M: Message>(context: &RequestContext, version: i16, response: &M) -> Handled {
    match encode(context, version, response) {
        Ok(response) => Handled::Now(response),
        Err(reason) => {
            error!(%reason, "could not write a response");
            Handled::Close(reason)
        }
    }
}
