//! `kafka-storage.sh version-mapping` and `feature-dependencies`.

use metadata::features::{FEATURES, Feature, METADATA_VERSION, MetadataVersion};

use crate::cli::options::argparse::Arguments;
use crate::cli::out::Out;
use crate::cli::stop::Stop;

/// Prints the features that a release starts with.
pub(in crate::cli) fn version_mapping(arguments: &Arguments, out: &mut Out) -> Result<(), Stop> {
    let release = arguments.one("--release-version").unwrap_or(MetadataVersion::LATEST.name());
    let version = release_version(release, true)?;
    out.line(format_args!("{METADATA_VERSION}={} ({release})", version.level()))?;
    for feature in FEATURES {
        out.line(format_args!("{}={}", feature.name, feature.default_level(version)))?;
    }
    Ok(())
}

/// The metadata version that a release is known by. The tool that only maps versions knows the one to come, too.
/// # Errors
/// Kafka's words for a release that there is not.
pub(in crate::cli) fn release_version(release: &str, with_unstable: bool) -> Result<MetadataVersion, Stop> {
    MetadataVersion::from_name(release).ok_or_else(|| {
        let levels = MetadataVersion::MINIMUM.level()..=MetadataVersion::LATEST.level();
        let mut names: Vec<&str> = levels.filter_map(MetadataVersion::from_level).map(MetadataVersion::name).collect();
        if with_unstable {
            names.push("4.4-IV0");
        }
        let supported = names.join(", ");
        Stop::error(&format!("Unknown metadata.version '{release}'. Supported metadata.version are: {supported}"))
    })
}

/// Prints what features need.
pub(in crate::cli) fn dependencies(arguments: &Arguments, out: &mut Out) -> Result<(), Stop> {
    for text in arguments.all("--feature") {
        let Some((name, level)) = text.split_once('=') else {
            return Err(Stop::error(&format!(
                "Invalid feature format: {text}. Expected format: 'feature=version' (e.g. 'group.version=1')"
            )));
        };
        let (name, level_text) = (name.trim(), level.trim());
        let Ok(level) = level_text.parse::<i16>() else {
            return Err(Stop::error(&format!("Invalid version format: {level_text} for feature {name}")));
        };
        if name == METADATA_VERSION {
            let version = MetadataVersion::from_level(level);
            let version = version.ok_or_else(|| Stop::error(&format!("Unknown metadata.version {level}")))?;
            out.line(format_args!("{name}={level} ({}) has no dependencies.", version.name()))?;
            continue;
        }
        let feature = Feature::from_name(name).ok_or_else(|| Stop::error(&format!("Unknown feature: {name}")))?;
        if !(0..=feature.latest).contains(&level) {
            let message = format!("Feature level {level} is not supported for feature {name}");
            return Err(Stop::error(&message));
        }
        let needed = feature.needed_metadata_version(level);
        if needed == MetadataVersion::MINIMUM {
            out.line(format_args!("{name}={level} has no dependencies."))?;
        } else {
            out.line(format_args!("{name}={level} requires:"))?;
            out.line(format_args!("    {METADATA_VERSION}={} ({})", needed.level(), needed.name()))?;
        }
    }
    Ok(())
}
