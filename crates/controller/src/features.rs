//! Changing the levels of features (KIP-584).

use metadata::VersionedRecord;
use metadata::features::{Feature, KRAFT_VERSION, METADATA_VERSION, MetadataVersion};
use protocol::ErrorCode;
use protocol::messages::update_features_request::FeatureUpdateKey;
use protocol::messages::update_features_response::UpdatableFeatureResult;
use protocol::messages::{FeatureLevelRecord, UpdateFeaturesRequest, UpdateFeaturesResponse};

use crate::ControllerError;
use crate::controller::{Controller, Outcome};

const UPGRADE: i8 = 1;

impl Controller {
    /// Changes levels of features, all or none.
    pub fn update_features(&mut self, request: &UpdateFeaturesRequest) -> Outcome<UpdateFeaturesResponse> {
        let mut records = Vec::new();
        for update in &request.feature_updates {
            match self.update_feature(update) {
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
        self.commit(records, response, true)
    }

    fn update_feature(&self, update: &FeatureUpdateKey) -> Result<VersionedRecord, ControllerError> {
        let (name, level) = (update.feature.as_str(), update.max_version_level);
        let refuse = |reason: String| {
            let reason = format!("Invalid update version {level} for feature {name}. {reason}");
            Err(ControllerError::InvalidUpdateVersion(reason))
        };
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
        if name == METADATA_VERSION && level < current {
            let reason = format!(
                "Unsupported metadata.version downgrade from {current} to {level}. Refusing to perform the requested downgrade \
                 because it might delete metadata information."
            );
            return Err(ControllerError::InvalidUpdateVersion(reason));
        }
        let needed = Feature::from_name(name).map(|feature| feature.needed_metadata_version(level));
        if let Some(needed) = needed.filter(|needed| self.metadata_version() < *needed) {
            let reason = format!(
                "{name} could not be set to {level} because it depends on metadata.version level {}",
                needed.level()
            );
            return refuse(reason);
        }
        let record = FeatureLevelRecord { name: name.to_owned(), feature_level: level, ..Default::default() };
        Ok(VersionedRecord::new(record, 0))
    }
}
