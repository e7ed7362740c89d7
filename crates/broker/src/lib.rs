//! The broker: decides what to do with each request. It owns partitions, coordinators and the controller of its cluster.
//! It may give replies that come later, but never imports an async runtime: the server polls what it returns.

mod auto_create;
mod broker;
mod coordinators;
mod dispatch;
mod fetch_session;
mod flusher;
pub mod format;
mod handlers;
mod log_cleaner;
mod log_dir_failures;
mod log_manager;
mod managed_dir;
mod markers;
pub mod metadata_log;
mod partition;
mod partition_map;
mod producer_ids;
mod promise;
mod publisher;
mod purgatory;
mod quorum;
mod quotas;
mod rate;
mod replica_mover;
mod start_error;
pub mod startup;
mod telemetry;
mod timers;
mod topic_settings;
mod verification;

pub use broker::{Blocking, Broker, Features, Halt, Identity, Seams};
pub use coordinators::drive as drive_coordinators;
pub use dispatch::{Audience, BoxFuture, CloseReason, Connection, Handled, Reply, RequestContext, Response};
pub use log_cleaner::{LogCleaner, run as run_cleaner};
pub use log_manager::{LogManager, Schedule};
pub use partition::{Partition, Verification};
pub use promise::{Promise, Responder, promise};
pub use quotas::{Gate, Quotas};
pub use replica_mover::{ReplicaMover, run as run_replica_mover};
pub use start_error::StartError;
pub use telemetry::{MetricValue, Telemetry};
pub use timers::Timers;
