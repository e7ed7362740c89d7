//! What a change of the cluster means to groups: offsets of topics that are gone go, and groups of the newer protocols look
//! at their topics again with the next heartbeat.

use std::collections::BTreeSet;
use std::sync::Arc;

use metadata::{ClusterImage, ImageDelta};
use protocol::Uuid;
use protocol::types::TimestampMs;

use super::Group;
use crate::effects::Effects;
use crate::shard::GroupShard;

impl GroupShard {
    /// The cluster changed.
    pub fn metadata_changed(
        &mut self,
        now_ms: TimestampMs,
        image: &Arc<ClusterImage>,
        delta: &ImageDelta,
        out: &mut Effects,
    ) {
        let changed = self.topics_mut().changed(image, delta);
        if !changed.is_empty() {
            self.groups_mut().for_each(|group| group.topics_changed(&changed));
        }
        let deleted: Vec<(String, Uuid)> =
            delta.deleted_topics.iter().map(|(id, topic)| (topic.name.to_string(), *id)).collect();
        if !deleted.is_empty() {
            self.topics_deleted(now_ms, &deleted, out);
            self.share_topics_deleted(now_ms, deleted.iter().map(|(_, id)| *id).collect(), out);
        }
    }
}

impl Group {
    fn topics_changed(&mut self, changed: &BTreeSet<Arc<str>>) {
        match self {
            Self::Classic(_) => {}
            Self::Consumer(group) => {
                group.metadata_stale |= changed.iter().any(|topic| group.subscriptions.contains(topic));
            }
            Self::Share(group) => {
                let subscribed = group.subscribed_topics();
                group.metadata_checked &= !changed.iter().any(|topic| subscribed.contains(&**topic));
            }
            Self::Streams(group) => group.must_refresh_metadata |= group.names_any(changed),
        }
    }
}
