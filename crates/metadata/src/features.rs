//! Features of a cluster: `metadata.version` with its releases, and those that depend on it (KIP-584, KIP-1022).

/// Name of the feature that decides which records exist.
pub const METADATA_VERSION: &str = "metadata.version";
/// Name of the feature of the quorum's own protocol.
pub const KRAFT_VERSION: &str = "kraft.version";
/// Name of the feature of eligible leader replicas (KIP-966).
pub const ELIGIBLE_LEADER_REPLICAS_VERSION: &str = "eligible.leader.replicas.version";

/// A level of `metadata.version`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MetadataVersion(i16);

const RELEASES: [&str; 25] = [
    "3.3-IV3", "3.4-IV0", "3.5-IV0", "3.5-IV1", "3.5-IV2", "3.6-IV0", "3.6-IV1", "3.6-IV2", "3.7-IV0", "3.7-IV1",
    "3.7-IV2", "3.7-IV3", "3.7-IV4", "3.8-IV0", "3.9-IV0", "4.0-IV0", "4.0-IV1", "4.0-IV2", "4.0-IV3", "4.1-IV0",
    "4.1-IV1", "4.2-IV0", "4.2-IV1", "4.3-IV0", "4.4-IV0",
];

impl MetadataVersion {
    /// The oldest that is supported, `3.3-IV3`.
    pub const MINIMUM: Self = Self(7);
    /// The newest, `4.3-IV0`.
    pub const LATEST: Self = Self(30);
    /// The newest that `unstable.feature.versions.enable` allows, `4.4-IV0`. It has no records of its own yet.
    pub const UNSTABLE: Self = Self(31);

    /// The version of a level.
    #[must_use]
    pub fn from_level(level: i16) -> Option<Self> {
        (Self::MINIMUM.0..=Self::UNSTABLE.0).contains(&level).then_some(Self(level))
    }

    /// The version of a name: `4.3-IV0`, or `4.3` for the last of the release.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        let released = &RELEASES[..=usize::from((Self::LATEST.0 - Self::MINIMUM.0).unsigned_abs())];
        let at = released.iter().rposition(|release| {
            *release == name
                || release.split_once("-IV").is_some_and(|(short, _)| short == name || is_patch_of(name, short))
        })?;
        Self::from_level(Self::MINIMUM.0 + i16::try_from(at).ok()?)
    }

    /// Its level.
    #[must_use]
    pub fn level(self) -> i16 {
        self.0
    }

    /// Its name, such as `4.3-IV0`.
    #[must_use]
    pub fn name(self) -> &'static str {
        RELEASES[usize::from((self.0 - Self::MINIMUM.0).unsigned_abs())]
    }

    /// Whether records changed after the version `before`.
    #[must_use]
    pub fn changed_since(self, before: Self) -> bool {
        /// Levels that brought new records or fields.
        const CHANGED: [i16; 9] = [7, 8, 11, 13, 14, 15, 17, 23, 30];
        CHANGED.iter().any(|level| (before.0 + 1..=self.0).contains(level))
    }

    fn is_elr_supported(self) -> bool {
        self.0 >= 23
    }

    /// Whether replicas know their log directories (KIP-858).
    #[must_use]
    pub fn is_directory_assignment_supported(self) -> bool {
        self.0 >= 17
    }

    /// Whether SCRAM credentials are kept in the metadata log (KIP-900).
    #[must_use]
    pub fn is_scram_supported(self) -> bool {
        self.0 >= 11
    }

    /// Whether bootstrap records are written as a transaction (KIP-868).
    #[must_use]
    pub fn is_transaction_supported(self) -> bool {
        self.0 >= 13
    }

    /// Whether log directories can be cordoned.
    #[must_use]
    pub fn is_cordoned_log_dirs_supported(self) -> bool {
        self.0 >= 30
    }

    /// Whether controllers register themselves (KIP-919).
    #[must_use]
    pub fn is_controller_registration_supported(self) -> bool {
        self.0 >= 15
    }

    /// Version of `RegisterBrokerRecord`.
    #[must_use]
    pub fn register_broker_record_version(self) -> i16 {
        match self.0 {
            30.. => 4,
            17.. => 3,
            8.. => 2,
            _ => 1,
        }
    }

    /// Version of `BrokerRegistrationChangeRecord`.
    #[must_use]
    pub fn broker_registration_change_record_version(self) -> i16 {
        match self.0 {
            30.. => 3,
            17.. => 2,
            _ => 1,
        }
    }

    /// Version of `PartitionRecord` and `PartitionChangeRecord`.
    #[must_use]
    pub fn partition_record_version(self) -> i16 {
        if self.is_elr_supported() { 2 } else { i16::from(self.is_directory_assignment_supported()) }
    }
}

fn is_patch_of(name: &str, short: &str) -> bool {
    name.strip_prefix(short).and_then(|rest| rest.strip_prefix('.')).is_some_and(|patch| patch.parse::<u16>().is_ok())
}

/// A feature besides `metadata.version`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Feature {
    /// Its name.
    pub name: &'static str,
    /// Its newest level; the oldest is 0.
    pub latest: i16,
    /// From which `metadata.version` level on a new cluster has which level of the feature.
    defaults: &'static [(i16, i16)],
    /// The least `metadata.version` that level 1 needs.
    needs: MetadataVersion,
}

/// All features besides `metadata.version`, in Kafka's order.
pub const FEATURES: [Feature; 6] = [
    Feature { name: KRAFT_VERSION, latest: 1, defaults: &[(21, 1)], needs: MetadataVersion::MINIMUM },
    Feature { name: "transaction.version", latest: 2, defaults: &[(24, 2)], needs: MetadataVersion::MINIMUM },
    Feature { name: "group.version", latest: 1, defaults: &[(22, 1)], needs: MetadataVersion::MINIMUM },
    Feature { name: ELIGIBLE_LEADER_REPLICAS_VERSION, latest: 1, defaults: &[(26, 1)], needs: MetadataVersion(23) },
    Feature { name: "share.version", latest: 1, defaults: &[(28, 1)], needs: MetadataVersion::MINIMUM },
    Feature { name: "streams.version", latest: 1, defaults: &[(29, 1)], needs: MetadataVersion::MINIMUM },
];

impl Feature {
    /// The feature of a name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<&'static Self> {
        FEATURES.iter().find(|feature| feature.name == name)
    }

    /// The level that a new cluster gets with a metadata version.
    #[must_use]
    pub fn default_level(&self, version: MetadataVersion) -> i16 {
        let reached = self.defaults.iter().rev().find(|(since, _)| version.level() >= *since);
        reached.map_or(0, |(_, level)| *level)
    }

    /// The least metadata version that a level of the feature needs.
    #[must_use]
    pub fn needed_metadata_version(&self, level: i16) -> MetadataVersion {
        if level > 0 { self.needs } else { MetadataVersion::MINIMUM }
    }
}

/// Names and level ranges of all features that this release supports, as brokers and controllers register them; `newest` is
/// [`MetadataVersion::LATEST`] where nothing else is configured.
pub fn supported_features(newest: MetadataVersion) -> impl Iterator<Item = (&'static str, i16, i16)> {
    let metadata = (METADATA_VERSION, MetadataVersion::MINIMUM.level(), newest.level());
    std::iter::once(metadata).chain(FEATURES.iter().map(|feature| (feature.name, 0, feature.latest)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_levels_agree() {
        assert_eq!(MetadataVersion::from_name("4.3").map(MetadataVersion::level), Some(30));
        assert_eq!(MetadataVersion::from_name("4.3.1").map(MetadataVersion::level), Some(30));
        assert_eq!(MetadataVersion::from_name("3.7-IV2").map(MetadataVersion::level), Some(17));
        assert_eq!(MetadataVersion::from_name("3.7").map(MetadataVersion::level), Some(19));
        assert_eq!(MetadataVersion::from_name("2.8"), None);
        assert_eq!(MetadataVersion::LATEST.name(), "4.3-IV0");
        assert_eq!(MetadataVersion::MINIMUM.name(), "3.3-IV3");
    }

    #[test]
    fn new_clusters_get_the_newest_features() {
        let levels: Vec<_> = FEATURES.iter().map(|feature| feature.default_level(MetadataVersion::LATEST)).collect();
        assert_eq!(levels, FEATURES.iter().map(|feature| feature.latest).collect::<Vec<_>>());
        let old = MetadataVersion::from_name("3.9").expect("known");
        assert_eq!(Feature::from_name("group.version").map(|feature| feature.default_level(old)), Some(0));
    }
}
