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
use crate::quotas::QuotaKind;

/// What the broker knows of a client's connection.
#[derive(Debug)]
pub struct Connection {
    /// Unique among the connections of this process.
    pub id: u64,
    /// Address of the client.
    pub peer: IpAddr,
    /// Port of the client.
    pub peer_port: u16,
    /// Name of the listener that accepted it.
    pub listener: String,
    /// What the listener is for.
    pub audience: Audience,
    /// Name and version of the client's software, from ApiVersions.
    pub software: Mutex<Option<(String, String)>>,
}

/// Which APIs a listener serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
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
    /// Bytes of the request, its header included.
    pub size: usize,
    /// When its handling began, in monotonic nanoseconds; only told while somebody's time is limited.
    pub(crate) started_nanos: Option<u64>,
}

/// A frame to send, and the file ranges that its external chunks name by index.
#[derive(Debug, Default)]
pub struct Response {
    /// The frame.
    pub frame: Encoded,
    /// The ranges.
    pub files: Vec<FileSlice>,
    /// For how many milliseconds the connection is not read once this is on its way (KIP-219).
    pub mute_ms: u32,
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
    /// The client wants none, and is not read for so many milliseconds.
    Muted(u32),
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
    /// Send nothing, and do not read for so many milliseconds.
    Muted(u32),
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

/// The table of what is served: each API with the module of its handler. Fetch and ShareFetch answer with file ranges,
/// so they make their frames themselves.
macro_rules! served {
    ($($api:ident => $module:ident,)*) => {
        /// The APIs that this broker serves, in the versions of the protocol's table.
        pub(crate) const SERVED: &[ApiKey] = &[ApiKey::Fetch, ApiKey::ShareFetch, $(ApiKey::$api,)*];

        impl Broker {
            fn route(self: &Arc<Self>, context: RequestContext, reader: Reader) -> Handled {
                match context.api {
                    ApiKey::Fetch => handlers::fetch::handle_frame(self, context, reader),
                    ApiKey::ShareFetch => handlers::share_fetch::handle_frame(self, context, reader),
                    $(ApiKey::$api => self.call(context, reader, handlers::$module::handle),)*
                    api => Handled::Close(CloseReason::Unsupported { api, version: context.version }),
                }
            }
        }
    };
}

served! {
    Produce => produce,
    ListOffsets => list_offsets,
    Metadata => metadata,
    OffsetCommit => offset_commit,
    OffsetFetch => offset_fetch,
    FindCoordinator => find_coordinator,
    JoinGroup => join_group,
    Heartbeat => heartbeat,
    LeaveGroup => leave_group,
    SyncGroup => sync_group,
    DescribeGroups => describe_groups,
    ListGroups => list_groups,
    DeleteGroups => delete_groups,
    OffsetDelete => offset_delete,
    ConsumerGroupHeartbeat => consumer_group_heartbeat,
    ConsumerGroupDescribe => consumer_group_describe,
    StreamsGroupHeartbeat => streams_group_heartbeat,
    StreamsGroupDescribe => streams_group_describe,
    ApiVersions => api_versions,
    DeleteRecords => delete_records,
    InitProducerId => init_producer_id,
    OffsetForLeaderEpoch => offset_for_leader_epoch,
    AlterReplicaLogDirs => alter_replica_log_dirs,
    AddPartitionsToTxn => add_partitions_to_txn,
    AddOffsetsToTxn => add_offsets_to_txn,
    EndTxn => end_txn,
    WriteTxnMarkers => write_txn_markers,
    TxnOffsetCommit => txn_offset_commit,
    DescribeLogDirs => describe_log_dirs,
    DescribeQuorum => describe_quorum,
    DescribeCluster => describe_cluster,
    DescribeProducers => describe_producers,
    DescribeTransactions => describe_transactions,
    ListTransactions => list_transactions,
    ListConfigResources => list_config_resources,
    DescribeTopicPartitions => describe_topic_partitions,
    ShareGroupHeartbeat => share_group_heartbeat,
    ShareGroupDescribe => share_group_describe,
    ShareAcknowledge => share_acknowledge,
    InitializeShareGroupState => initialize_share_group_state,
    ReadShareGroupState => read_share_group_state,
    WriteShareGroupState => write_share_group_state,
    DeleteShareGroupState => delete_share_group_state,
    ReadShareGroupStateSummary => read_share_group_state_summary,
    DescribeShareGroupOffsets => describe_share_group_offsets,
    AlterShareGroupOffsets => alter_share_group_offsets,
    DeleteShareGroupOffsets => delete_share_group_offsets,
    CreateTopics => create_topics,
    DeleteTopics => delete_topics,
    CreatePartitions => create_partitions,
    DescribeConfigs => describe_configs,
    AlterConfigs => alter_configs,
    IncrementalAlterConfigs => incremental_alter_configs,
    ElectLeaders => elect_leaders,
    ListPartitionReassignments => list_partition_reassignments,
    UpdateFeatures => update_features,
    DescribeClientQuotas => describe_client_quotas,
    AlterClientQuotas => alter_client_quotas,
    GetTelemetrySubscriptions => get_telemetry_subscriptions,
    PushTelemetry => push_telemetry,
    AddRaftVoter => add_raft_voter,
    AlterPartitionReassignments => alter_partition_reassignments,
    AlterUserScramCredentials => alter_user_scram_credentials,
    CreateAcls => create_acls,
    CreateDelegationToken => create_delegation_token,
    DeleteAcls => delete_acls,
    DescribeAcls => describe_acls,
    DescribeDelegationToken => describe_delegation_token,
    DescribeUserScramCredentials => describe_user_scram_credentials,
    ExpireDelegationToken => expire_delegation_token,
    RemoveRaftVoter => remove_raft_voter,
    RenewDelegationToken => renew_delegation_token,
    SaslAuthenticate => sasl_authenticate,
    SaslHandshake => sasl_handshake,
    UnregisterBroker => unregister_broker,
}

/// The APIs that a listener serves. Telemetry is offered only where somebody receives it.
pub(crate) fn served(broker: &Broker, audience: Audience) -> impl Iterator<Item = ApiKey> {
    let telemetry = broker.telemetry().is_enabled();
    SERVED.iter().copied().filter(move |api| match (audience, api) {
        (_, ApiKey::GetTelemetrySubscriptions | ApiKey::PushTelemetry) if !telemetry => false,
        (Audience::Clients, api) => api.on_broker(),
        (Audience::Controllers, api) => api.on_controller() && *api != ApiKey::Fetch,
    })
}

fn serves(broker: &Broker, audience: Audience, api: ApiKey, version: i16) -> bool {
    api.versions().contains(&version) && served(broker, audience).any(|other| other == api)
}

impl Broker {
    /// Handles one frame (without its length). Appends happen before this returns, so the order of a connection's
    /// requests is the order of the calls.
    pub fn handle(self: &Arc<Self>, connection: &Arc<Connection>, frame: Bytes) -> Handled {
        let (api, header, reader) = match decode_request_header(&frame) {
            Ok(decoded) => decoded,
            Err(error) => return Handled::Close(error.into()),
        };
        let size = frame.len();
        // The reader has the bytes as long as they are needed; a large frame must not outlive it.
        drop(frame);
        let context = RequestContext {
            connection: Arc::clone(connection),
            client_id: header.client_id.unwrap_or_default(),
            api,
            version: header.request_api_version,
            correlation_id: header.correlation_id,
            size,
            started_nanos: self.quotas().is_enabled(QuotaKind::Request).then(|| self.monotonic_nanos()),
        };
        if !serves(self, connection.audience, api, context.version) {
            if api == ApiKey::ApiVersions {
                return respond(&context, 0, &handlers::api_versions::unsupported_version(self));
            }
            return Handled::Close(CloseReason::Unsupported { api, version: context.version });
        }
        self.route(context, reader)
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
            Reply::Now(mut response) => {
                self.limit_time(&context, &mut response);
                respond(&context, context.version, &response)
            }
            Reply::Later(later) => {
                let broker = context.started_nanos.map(|_| Arc::clone(self));
                Handled::Later(Box::pin(async move {
                    let mut response = later.await;
                    if let Some(broker) = broker {
                        broker.limit_time(&context, &mut response);
                    }
                    encode(&context, context.version, &response)
                        .inspect_err(|reason| error!(%reason, "could not write a response"))
                        .ok()
                }))
            }
            Reply::Nothing => Handled::Nothing,
            Reply::Muted(mute_ms) => Handled::Muted(mute_ms),
            Reply::Close => Handled::Close(CloseReason::Handler),
        }
    }

    /// Throttles a client whose requests take more of the node's time than its quota allows.
    fn limit_time<M: Message>(&self, context: &RequestContext, response: &mut M) {
        let throttle_ms = self.time_throttle_ms(context);
        if throttle_ms > response.throttle_time_ms() {
            response.set_throttle_time_ms(throttle_ms);
        }
    }

    /// Counts the time that a request took; for how many milliseconds its client is to be throttled.
    pub(crate) fn time_throttle_ms(&self, context: &RequestContext) -> i32 {
        let Some(started) = context.started_nanos.filter(|_| !UNLIMITED_IN_TIME.contains(&context.api)) else {
            return 0;
        };
        let percent = self.monotonic_nanos().saturating_sub(started) as f64 * 100.0 / 1e9;
        let over = self.quotas().record(QuotaKind::Request, &context.client_id, percent, self.monotonic_ms());
        i32::try_from(over).unwrap_or(i32::MAX)
    }
}

/// Requests between brokers: throttling them would throttle other clients.
const UNLIMITED_IN_TIME: [ApiKey; 1] = [ApiKey::WriteTxnMarkers];

fn encode<M: Message>(context: &RequestContext, version: i16, response: &M) -> Result<Response, CloseReason> {
    encode_response(context.api, version, context.correlation_id, response)
        .map(|frame| Response { frame, files: Vec::new(), mute_ms: mute_ms(response) })
        .map_err(|source| CloseReason::Encode { api: context.api, version, source })
}

/// A throttled client is not read for as long as it is told to pause.
pub(crate) fn mute_ms<M: Message>(response: &M) -> u32 {
    u32::try_from(response.throttle_time_ms()).unwrap_or(0)
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
