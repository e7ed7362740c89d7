//! The cluster as the groups of a shard see it: its topics, their hashes, and since when there are no newer ones.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use metadata::config::ConfigMap;
use metadata::{ClusterImage, ConfigResource, ImageDelta};
use protocol::Uuid;
use protocol::types::Offset;

use super::metadata_hash::{group_hash, topic_hash};

/// Hashes of more topics than this are not kept.
const MAX_CACHED_HASHES: usize = 100_000;

/// The cluster's topics.
#[derive(Debug, Default)]
pub(crate) struct Topics {
    image: Arc<ClusterImage>,
    hashes: HashMap<Arc<str>, u64>,
    /// The version of the metadata that brought the last topic.
    newest_topics: Offset,
}

impl Topics {
    /// The cluster was read for the first time.
    pub(crate) fn loaded(&mut self, image: &Arc<ClusterImage>) {
        self.image = Arc::clone(image);
        self.hashes.clear();
        self.newest_topics = self.version();
    }

    /// The cluster changed. Gives the names of topics that came, went or changed.
    pub(crate) fn changed(&mut self, image: &Arc<ClusterImage>, delta: &ImageDelta) -> BTreeSet<Arc<str>> {
        self.image = Arc::clone(image);
        if !delta.created_topics.is_empty() {
            self.newest_topics = self.version();
        }
        let present = delta.changed_partitions.keys().chain(&delta.created_topics);
        let present = present.filter_map(|id| image.topic_by_id(*id)).map(|topic| Arc::clone(&topic.name));
        let gone = delta.deleted_topics.values().map(|topic| Arc::clone(&topic.name));
        let changed: BTreeSet<Arc<str>> = present.chain(gone).collect();
        for name in &changed {
            self.hashes.remove(name);
        }
        changed
    }

    /// The cluster.
    pub(crate) fn image(&self) -> &Arc<ClusterImage> {
        &self.image
    }

    /// The version of the metadata.
    pub(crate) fn version(&self) -> Offset {
        self.image.provenance.last_offset
    }

    /// Whether topics came after that version of the metadata.
    pub(crate) fn came_after(&self, version: Offset) -> bool {
        version < self.newest_topics
    }

    /// The ids of those topics that exist.
    pub(crate) fn ids<'a>(&self, names: impl IntoIterator<Item = &'a Arc<str>>) -> BTreeSet<Uuid> {
        names.into_iter().filter_map(|name| self.image.topic_id(name)).collect()
    }

    /// How many partitions a topic has; 0 if it does not exist.
    pub(crate) fn partition_count(&self, id: Uuid) -> usize {
        self.image.topic_by_id(id).map_or(0, |topic| topic.partitions.len())
    }

    /// What a group is configured to; none if nothing is.
    pub(crate) fn group_configs(&self, group_id: &str) -> Option<&ConfigMap> {
        self.image.config(&ConfigResource::group(group_id)).map(AsRef::as_ref)
    }

    /// The hash of a group that reads these topics, which come in the order of their names.
    pub(crate) fn metadata_hash<'a>(&mut self, names: impl Iterator<Item = &'a Arc<str>>) -> i64 {
        if self.hashes.len() > MAX_CACHED_HASHES {
            self.hashes.clear();
        }
        group_hash(names.filter_map(|name| {
            if let Some(hash) = self.hashes.get(name) {
                return Some(*hash);
            }
            let hash = topic_hash(&self.image, name)?;
            self.hashes.insert(Arc::clone(name), hash);
            Some(hash)
        }))
    }
}
