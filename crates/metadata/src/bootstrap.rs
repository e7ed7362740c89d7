//! What a cluster is formatted with: feature levels, and for a dynamic quorum its first voters.

use std::collections::BTreeMap;
use std::fmt;

use bytes::Bytes;
use protocol::Uuid;
use protocol::messages::voters_record::{Endpoint, KRaftVersionFeature, Voter};
use protocol::messages::{FeatureLevelRecord, KRaftVersionRecord, UserScramCredentialRecord, VotersRecord};
use protocol::record::ControlRecord;
use protocol::types::{BrokerId, TimestampMs};

use crate::MetadataError;
use crate::checkpoint::{CheckpointWriter, read_checkpoint};
use crate::features::{FEATURES, Feature, KRAFT_VERSION, METADATA_VERSION, MetadataVersion};
use crate::record::{MetadataRecord, VersionedRecord};

/// Name of the file with a cluster's first records.
pub const BOOTSTRAP_CHECKPOINT: &str = "bootstrap.checkpoint";
/// Name of the snapshot with a dynamic quorum's first voters, in the folder of the metadata log.
pub const INITIAL_SNAPSHOT: &str = "00000000000000000000-0000000000.checkpoint";

/// Why a cluster cannot be formatted as asked, in the words of `kafka-storage`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FormatError {
    /// There is no such feature.
    #[error("Unsupported feature: {name}. Supported features are: {supported}")]
    UnsupportedFeature {
        /// Its name.
        name: String,
        /// Those that there are.
        supported: String,
    },
    /// The feature has no such level.
    #[error("No feature:{name} with feature level {level}")]
    UnknownLevel {
        /// Its name.
        name: String,
        /// The level.
        level: i16,
    },
    /// The feature needs a newer metadata version.
    #[error("{name} could not be set to {level} because it depends on metadata.version level {needed}")]
    Dependency {
        /// Its name.
        name: String,
        /// The level.
        level: i16,
        /// The metadata version that it needs.
        needed: i16,
    },
    /// The metadata version is given twice.
    #[error("Use --release-version instead of --feature metadata.version=X to avoid ambiguity.")]
    Ambiguous,
    /// There is no such metadata version.
    #[error("Unknown metadata.version '{0}'")]
    UnknownMetadataVersion(String),
}

/// The first records of a cluster (`BootstrapMetadata`).
#[derive(Debug, Clone, PartialEq)]
pub struct BootstrapMetadata {
    /// The records, `metadata.version` first.
    pub records: Vec<VersionedRecord>,
    source: String,
}

impl BootstrapMetadata {
    /// Records of a new cluster: features that `levels` does not have get their default for the version.
    /// # Errors
    /// An unknown feature or level, or one that needs a newer metadata version.
    pub fn new(version: MetadataVersion, levels: &BTreeMap<String, i16>, source: &str) -> Result<Self, FormatError> {
        for (name, level) in levels {
            check_level(name, *level, version)?;
        }
        let mut names: Vec<&Feature> = FEATURES.iter().filter(|feature| feature.name != KRAFT_VERSION).collect();
        names.sort_unstable_by_key(|feature| feature.name);
        let mut records = vec![feature_record(METADATA_VERSION, version.level())];
        for feature in names {
            let level = levels.get(feature.name).copied().unwrap_or_else(|| feature.default_level(version));
            if level > 0 {
                records.push(feature_record(feature.name, level));
            }
        }
        Ok(Self { records, source: source.to_owned() })
    }

    /// Records of a data directory that has no bootstrap file: the newest metadata version and nothing else.
    #[must_use]
    pub fn without_file() -> Self {
        let records = vec![feature_record(METADATA_VERSION, MetadataVersion::LATEST.level())];
        Self { records, source: "the default bootstrap".to_owned() }
    }

    /// Records of a `bootstrap.checkpoint`.
    /// # Errors
    /// A file that cannot be read.
    pub fn read(file: &Bytes, path: &str) -> Result<Self, MetadataError> {
        let records = read_checkpoint(file)?.records;
        Ok(Self { records, source: format!("the binary bootstrap metadata file: {path}") })
    }

    /// The contents of `bootstrap.checkpoint`.
    /// # Errors
    /// None that happen: feature levels can always be written.
    pub fn to_file(&self, now: TimestampMs) -> Result<Bytes, MetadataError> {
        let mut writer = CheckpointWriter::new(now, 0, 0, &[])?;
        self.records.iter().try_for_each(|record| writer.append(record))?;
        writer.finish()
    }

    /// The level of a feature, 0 if it is not set.
    #[must_use]
    pub fn feature_level(&self, name: &str) -> i16 {
        let levels = self.records.iter().filter_map(|record| match &record.record {
            MetadataRecord::FeatureLevel(record) if record.name == name => Some(record.feature_level),
            _ => None,
        });
        levels.last().unwrap_or(0)
    }
}

impl fmt::Display for BootstrapMetadata {
    /// As `kafka-storage format` prints it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BootstrapMetadata(records=[")?;
        for (at, record) in self.records.iter().enumerate() {
            let separator = if at > 0 { ", " } else { "" };
            write!(f, "{separator}ApiMessageAndVersion(")?;
            match &record.record {
                MetadataRecord::FeatureLevel(feature) => {
                    write!(f, "FeatureLevelRecord(name='{}', featureLevel={})", feature.name, feature.feature_level)?;
                }
                MetadataRecord::UserScramCredential(credential) => write_credential(credential, f)?,
                other => write!(f, "{other:?}")?,
            }
            write!(f, " at version {})", record.version)?;
        }
        write!(f, "], metadataVersionLevel={}, source={})", self.feature_level(METADATA_VERSION), self.source)
    }
}

/// As Java prints the record: bytes as signed numbers.
fn write_credential(credential: &UserScramCredentialRecord, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let signed = |bytes: &Bytes| -> Vec<i8> { bytes.iter().map(|byte| byte.cast_signed()).collect() };
    write!(
        f,
        "UserScramCredentialRecord(name='{}', mechanism={}, salt={:?}, storedKey={:?}, serverKey={:?}, iterations={})",
        credential.name,
        credential.mechanism,
        signed(&credential.salt),
        signed(&credential.stored_key),
        signed(&credential.server_key),
        credential.iterations
    )
}

fn feature_record(name: &str, feature_level: i16) -> VersionedRecord {
    VersionedRecord::new(FeatureLevelRecord { name: name.to_owned(), feature_level, ..Default::default() }, 0)
}

fn check_level(name: &str, level: i16, version: MetadataVersion) -> Result<(), FormatError> {
    let Some(feature) = Feature::from_name(name) else {
        let mut names: Vec<&str> = FEATURES.iter().map(|feature| feature.name).collect();
        names.sort_unstable();
        return Err(FormatError::UnsupportedFeature { name: name.to_owned(), supported: names.join(", ") });
    };
    if !(0..=feature.latest).contains(&level) {
        return Err(FormatError::UnknownLevel { name: name.to_owned(), level });
    }
    let needed = feature.needed_metadata_version(level);
    if version < needed {
        return Err(FormatError::Dependency { name: name.to_owned(), level, needed: needed.level() });
    }
    Ok(())
}

/// A voter of a new quorum.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InitialVoter {
    /// Its `node.id`.
    pub id: BrokerId,
    /// Id of the directory of its metadata log.
    pub directory_id: Uuid,
    /// Its host.
    pub host: String,
    /// Its port.
    pub port: u16,
}

/// The contents of [`INITIAL_SNAPSHOT`] (KIP-853): the voters, which listen under the name of the first controller listener.
/// # Errors
/// If the voters cannot be written.
pub fn initial_snapshot(
    now: TimestampMs,
    kraft_version: i16,
    controller_listener: &str,
    voters: &[InitialVoter],
) -> Result<Bytes, MetadataError> {
    let mut control = Vec::new();
    if kraft_version > 0 {
        let version = KRaftVersionRecord { k_raft_version: kraft_version, ..Default::default() };
        control.push(ControlRecord::KRaftVersion(version));
        let voters = voters.iter().map(|voter| Voter {
            voter_id: voter.id,
            voter_directory_id: voter.directory_id,
            endpoints: vec![Endpoint {
                name: controller_listener.to_uppercase(),
                host: voter.host.clone(),
                port: voter.port,
                ..Default::default()
            }],
            k_raft_version_feature: KRaftVersionFeature {
                min_supported_version: 0,
                max_supported_version: 1,
                ..Default::default()
            },
            ..Default::default()
        });
        let voters = VotersRecord { voters: voters.collect(), ..Default::default() };
        control.push(ControlRecord::KRaftVoters(voters));
    }
    CheckpointWriter::new(now, 0, now, &control)?.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bootstrap_file_reads_back() {
        let metadata =
            BootstrapMetadata::new(MetadataVersion::LATEST, &BTreeMap::new(), "format command").expect("valid");
        let file = metadata.to_file(1_000).expect("writes");
        let read = BootstrapMetadata::read(&file, "x").expect("reads");
        assert_eq!(read.records, metadata.records);
        assert!(read_checkpoint(&file).expect("reads").is_complete);
        assert_eq!(metadata.feature_level("group.version"), 1);
        assert!(metadata.to_string().starts_with(
            "BootstrapMetadata(records=[ApiMessageAndVersion(FeatureLevelRecord(name='metadata.version', featureLevel=30) at version 0), \
             ApiMessageAndVersion(FeatureLevelRecord(name='eligible.leader.replicas.version', featureLevel=1) at version 0)"
        ));
    }

    #[test]
    fn features_are_checked() {
        let with = |name: &str, level: i16, version: &str| {
            let version = MetadataVersion::from_name(version).expect("known");
            let levels = BTreeMap::from([(name.to_owned(), level)]);
            BootstrapMetadata::new(version, &levels, "x").map(|_| ()).map_err(|error| error.to_string())
        };
        assert_eq!(with("group.version", 2, "4.3"), Err("No feature:group.version with feature level 2".to_owned()));
        assert_eq!(
            with("eligible.leader.replicas.version", 1, "3.9"),
            Err("eligible.leader.replicas.version could not be set to 1 because it depends on metadata.version level 23".to_owned())
        );
        assert!(
            with("nonsense", 1, "4.3").expect_err("unknown").starts_with("Unsupported feature: nonsense. Supported")
        );
        assert_eq!(with("group.version", 0, "4.3"), Ok(()));
    }

    #[test]
    fn the_first_snapshot_names_the_voters() {
        let voter =
            InitialVoter { id: 1, directory_id: Uuid::METADATA_TOPIC_ID, host: "localhost".to_owned(), port: 9093 };
        let file = initial_snapshot(5, 1, "controller", &[voter]).expect("writes");
        let checkpoint = read_checkpoint(&file).expect("reads");
        assert!(checkpoint.is_complete && checkpoint.records.is_empty() && checkpoint.last_contained == 5);
        match &checkpoint.control[..] {
            [ControlRecord::KRaftVersion(version), ControlRecord::KRaftVoters(voters)] => {
                assert_eq!((version.k_raft_version, voters.voters[0].endpoints[0].name.as_str()), (1, "CONTROLLER"));
            }
            other => panic!("{other:?}"),
        }
    }
}
