//! From a committed change of the metadata to what this broker does, in a fixed order:
//! image, configurations, deleted partitions, led partitions, coordinators.
//! Called by the quorum alone, one change after another.

use std::sync::Arc;

use metadata::ImageDelta;
use metadata::config::{DynamicBrokerConfig, TopicConfig};
use metadata::{ClusterImage, ConfigResource, ResourceType};
use metadata::{PartitionRegistration, directory_id};
use parking_lot::Mutex;
use protocol::{TopicPartition, Uuid};
use tracing::{error, info, warn};

use crate::Broker;
use crate::log_manager::WantedLog;
use crate::partition::Partition;
use crate::share_partitions::SHARE_VERSION;
use crate::topic_settings::TopicSettings;

/// What the publisher remembers between changes.
pub(crate) struct Publisher {
    config: Mutex<DynamicBrokerConfig>,
    /// Settings of the topics without overrides, which share them.
    defaults: Mutex<Arc<TopicSettings>>,
}

impl Publisher {
    pub(crate) fn new(config: DynamicBrokerConfig) -> Self {
        let defaults = Arc::new(TopicSettings::new(&TopicConfig::resolve(config.current(), &Default::default())));
        Self { config: Mutex::new(config), defaults: Mutex::new(defaults) }
    }

    /// The configuration with its dynamic layers.
    pub(crate) fn dynamic_config(&self) -> &Mutex<DynamicBrokerConfig> {
        &self.config
    }
}

/// Publishes `after`.
pub(crate) fn publish(broker: &Arc<Broker>, before: &ClusterImage, after: Arc<ClusterImage>, delta: &ImageDelta) {
    broker.set_image(Arc::clone(&after));
    apply_configs(broker, &after, delta);
    if delta.quotas_changed {
        broker.quotas().set(&after);
    }
    let changes = delta.local_changes(broker.identity().node_id, before, &after);
    delete_topics(broker, delta);
    for (name, topic_id, registration) in changes.leaders {
        lead(broker, &after, &name, topic_id, &registration);
    }
    // Without a leader there is nothing to follow: this broker was fenced, and leads again once it is not.
    for (name, _, _) in changes.followers.iter().filter(|(_, _, registration)| registration.leader >= 0) {
        error!(partition = %name, "this broker cannot follow: replication is not there yet");
    }
    broker.coordinators().metadata_changed(broker, delta);
    if before.feature_level(SHARE_VERSION) > 0 && after.feature_level(SHARE_VERSION) == 0 {
        broker.share_partitions().clear();
    }
}

fn delete_topics(broker: &Arc<Broker>, delta: &ImageDelta) {
    for topic in delta.deleted_topics.values() {
        broker.coordinators().topic_deleted(&topic.name);
        broker.share_partitions().topic_deleted(topic.id);
        for partition in broker.partitions().remove_topic(&topic.name) {
            broker.cleaner().forget(broker, &partition);
            broker.logs().delete(&partition, broker.random_uuid(), broker.wall_ms());
            info!(partition = %partition.topic_partition, "deleted a partition");
        }
    }
}

fn lead(
    broker: &Arc<Broker>,
    image: &ClusterImage,
    name: &TopicPartition,
    topic_id: Uuid,
    registration: &PartitionRegistration,
) {
    if let Some(partition) = broker.partitions().get(&name.topic, name.partition) {
        partition.set_leader_epoch(registration.leader_epoch);
        return;
    }
    let settings = settings_of(broker, image, &name.topic);
    let wanted = WantedLog {
        topic_id,
        settings: &settings,
        assigned: registration.directory(broker.identity().node_id).unwrap_or(directory_id::UNASSIGNED),
        is_new: registration.leader_epoch == 0,
        cordoned: broker.logs().cordoned(&broker.config()),
        unique: broker.random_uuid(),
    };
    match broker.logs().open_log(name, &wanted, broker.wall_ms()) {
        Ok((log, future)) => {
            let partition =
                Partition::new(name.clone(), topic_id, log, registration.leader_epoch, Arc::clone(&settings));
            let moves = future.is_some();
            *partition.future().lock() = future;
            broker.partitions().insert(Arc::new(partition));
            if moves {
                broker.mover().wake();
            }
        }
        Err(cause) => error!(partition = %name, %cause, "could not open a log; the partition is offline"),
    }
}

fn settings_of(broker: &Broker, image: &ClusterImage, topic: &str) -> Arc<TopicSettings> {
    match image.config(&ConfigResource::topic(topic)) {
        Some(overrides) if !overrides.is_empty() => {
            let config = broker.config();
            Arc::new(TopicSettings::new(&TopicConfig::resolve(&config, overrides)))
        }
        _ => Arc::clone(&broker.publisher().defaults.lock()),
    }
}

fn apply_configs(broker: &Arc<Broker>, image: &ClusterImage, delta: &ImageDelta) {
    if delta.changed_configs.iter().any(|resource| resource.resource_type == ResourceType::Broker) {
        apply_broker_configs(broker, image);
    }
    if delta.changed_configs.iter().any(|resource| resource.resource_type == ResourceType::ClientMetrics) {
        broker.telemetry().set(image);
    }
    for resource in delta.changed_configs.iter().filter(|resource| resource.resource_type == ResourceType::Topic) {
        let settings = settings_of(broker, image, &resource.name);
        for partition in broker.partitions().of_topic(&resource.name) {
            partition.set_settings(Arc::clone(&settings));
        }
    }
}

fn apply_broker_configs(broker: &Arc<Broker>, image: &ClusterImage) {
    let empty = Arc::default();
    let of = |resource: &ConfigResource| image.config(resource).unwrap_or(&empty).clone();
    let per_broker = of(&ConfigResource::broker(broker.identity().node_id));
    let defaults = of(&ConfigResource::all_brokers());
    let publisher = broker.publisher();
    let current = {
        let mut config = publisher.config.lock();
        if let Err(cause) = config.update(&per_broker, &defaults) {
            warn!(%cause, "ignored dynamic configurations that are not valid here");
        }
        Arc::clone(config.current())
    };
    *publisher.defaults.lock() = Arc::new(TopicSettings::new(&TopicConfig::resolve(&current, &Default::default())));
    broker.set_config(current);
    for partition in broker.partitions().all() {
        let settings = settings_of(broker, image, &partition.topic_partition.topic);
        partition.set_settings(settings);
    }
}
