//! Changing the levels of features (KIP-584).

use metadata::features::{ELIGIBLE_LEADER_REPLICAS_VERSION, Feature, KRAFT_VERSION, METADATA_VERSION, MetadataVersion};
use metadata::{ConfigResource, ResourceType, VersionedRecord};
use protocol::ErrorCode;
use protocol::messages::update_features_request::FeatureUpdateKey;
use protocol::messages::update_features_response::UpdatableFeatureResult;
use protocol::messages::{FeatureLevelRecord, UpdateFeaturesRequest, UpdateFeaturesResponse};

use crate::ControllerError;
use crate::controller::{Controller, Outcome, config_record};

const UPGRADE: i8 = 1;
const UNSAFE_DOWNGRADE: i8 = 3;

impl Controller {
    /// Changes levels of features, all or none.
    pub fn update_features(&mut self, request: &UpdateFeaturesRequest) -> Outcome<UpdateFeaturesResponse> {
        let mut records = Vec::new();
        let metadata = request.feature_updates.iter().find(|update| update.feature == METADATA_VERSION);
        let metadata = metadata.map_or(self.metadata_version().level(), |update| update.max_version_level);
        for update in &request.feature_updates {
            match self.update_feature(update, metadata) {
                Ok(record) => records.push(record),
                Err(error) => {
                    let response = UpdateFeaturesResponse {
                        error_code: error.code().code(),
                        error_message: Some(format!(
                            "The update failed for all features since the following feature had an error: {error}"
                        )),
                        ..Default::default()
                    };
                    return self.answer(response);
                }
            }
        }
        let results = request.feature_updates.iter().map(|update| UpdatableFeatureResult {
            feature: update.feature.clone(),
            error_code: ErrorCode::None.code(),
            ..Default::default()
        });
        let response = UpdateFeaturesResponse { results: results.collect(), ..Default::default() };
        if request.validate_only {
            return self.answer(response);
        }
        let elr = |update: &FeatureUpdateKey| {
            update.feature == ELIGIBLE_LEADER_REPLICAS_VERSION && update.max_version_level > 0
        };
        if request.feature_updates.iter().any(elr) {
            records.splice(0..0, self.elr_safety_records());
        }
        self.commit(records, response, true)
    }

    /// With eligible leader replicas the whole cluster has one `min.insync.replicas`, and no broker has its own.
    fn elr_safety_records(&self) -> Vec<VersionedRecord> {
        const NAME: &str = "min.insync.replicas";
        let all = ConfigResource::all_brokers();
        let mut records = Vec::new();
        if !self.dynamic_config(&all).is_some_and(|configs| configs.contains_key(NAME)) {
            records.push(config_record(&all, NAME, Some(self.config.min_insync_replicas().to_string())));
        }
        let brokers = self.image.configs().filter(|(resource, configs)| {
            resource.resource_type == ResourceType::Broker && !resource.name.is_empty() && configs.contains_key(NAME)
        });
        records.extend(brokers.map(|(resource, _)| config_record(resource, NAME, None)));
        records
    }

    /// Checks one change. `metadata` is the level of `metadata.version` once all changes are made.
    fn update_feature(&self, update: &FeatureUpdateKey, metadata: i16) -> Result<VersionedRecord, ControllerError> {
        let (name, level) = (update.feature.as_str(), update.max_version_level);
        let refuse = |reason: String| {
            let reason = format!("Invalid update version {level} for feature {name}. {reason}");
            Err(ControllerError::InvalidUpdateVersion(reason))
        };
        if !(UPGRADE..=UNSAFE_DOWNGRADE).contains(&update.upgrade_type) {
            return refuse("The controller does not support the given upgrade type.".to_owned());
        }
        let current = self.image.feature_level(name);
        let (least, most) = match Feature::from_name(name) {
            Some(feature) => (0, feature.latest),
            None if name == METADATA_VERSION => {
                (MetadataVersion::MINIMUM.level(), self.config.newest_metadata_version().level())
            }
            None => (0, 0),
        };
        if level < 0 {
            return refuse("A feature version cannot be less than 0.".to_owned());
        }
        let node = self.config.node_id();
        if !(least..=most).contains(&level) {
            return refuse(match most {
                0 => format!("Local controller {node} does not support this feature."),
                _ => format!("Local controller {node} only supports versions {least}-{most}"),
            });
        }
        if level < current && update.upgrade_type == UPGRADE {
            let reason = "Can't downgrade the version of this feature without setting the upgrade type to either safe or unsafe downgrade.";
            return refuse(reason.to_owned());
        }
        if level > current && update.upgrade_type != UPGRADE {
            return refuse("Can't downgrade to a newer version.".to_owned());
        }
        if name == KRAFT_VERSION && level != current {
            return refuse("Can't change the version of this feature while the quorum runs.".to_owned());
        }
        if name == METADATA_VERSION {
            self.check_metadata_downgrade(level, update.upgrade_type == UNSAFE_DOWNGRADE)?;
        }
        let needed = Feature::from_name(name).map(|feature| feature.needed_metadata_version(level).level());
        if let Some(needed) = needed.filter(|needed| metadata < *needed) {
            let reason =
                format!("{name} could not be set to {level} because it depends on metadata.version level {needed}");
            return refuse(reason);
        }
        let record = FeatureLevelRecord { name: name.to_owned(), feature_level: level, ..Default::default() };
        Ok(VersionedRecord::new(record, 0))
    }

    /// A version below may be taken only if no record changed in between.
    fn check_metadata_downgrade(&self, level: i16, is_unsafe: bool) -> Result<(), ControllerError> {
        let current = self.metadata_version();
        let Some(target) = MetadataVersion::from_level(level).filter(|target| *target < current) else { return Ok(()) };
        if !current.changed_since(target) {
            return Ok(());
        }
        let reason = match is_unsafe {
            true => "Unsafe metadata downgrade is not supported in this version.",
            false => "Refusing to perform the requested downgrade because it might delete metadata information.",
        };
        let current = current.level();
        Err(ControllerError::InvalidUpdateVersion(format!(
            "Unsupported metadata.version downgrade from {current} to {level}. {reason}"
        )))
    }
}
