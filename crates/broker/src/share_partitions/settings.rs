//! The settings of a share group: its own, or the broker's.

use metadata::config::{BrokerConfig, ConfigMap};
use metadata::{ClusterImage, ConfigResource};
use protocol::types::TimestampMs;

use crate::Broker;
use crate::share_partition::ShareSettings;

/// Where delivery begins if nobody has said so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OffsetReset {
    /// At the first record.
    Earliest,
    /// Behind the last record.
    Latest,
    /// At the first record that is not older.
    ByDuration(TimestampMs),
}

/// The settings of a share group.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ShareGroupSettings {
    /// Those that its share-partitions need.
    pub(crate) partition: ShareSettings,
    /// It reads committed records only.
    pub(crate) committed: bool,
    /// Where it begins.
    pub(crate) offset_reset: OffsetReset,
}

/// The settings of a group as of now.
pub(crate) fn of(broker: &Broker, group_id: &str) -> ShareGroupSettings {
    resolve(&broker.config(), overrides(&broker.image(), group_id))
}

fn overrides<'a>(image: &'a ClusterImage, group_id: &str) -> Option<&'a ConfigMap> {
    image.config(&ConfigResource::group(group_id)).map(|config| &**config)
}

fn resolve(config: &BrokerConfig, overrides: Option<&ConfigMap>) -> ShareGroupSettings {
    let own = |name: &str| overrides.and_then(|overrides| overrides.get(name)).map(String::as_str);
    let number = |name: &str, default: i32| own(name).and_then(|text| text.trim().parse().ok()).unwrap_or(default);
    let limit = number("share.delivery.count.limit", config.group_share_delivery_count_limit());
    let offset_reset = match own("share.auto.offset.reset").unwrap_or("latest") {
        "earliest" => OffsetReset::Earliest,
        text => {
            text.strip_prefix("by_duration:").and_then(duration_ms).map_or(OffsetReset::Latest, OffsetReset::ByDuration)
        }
    };
    ShareGroupSettings {
        partition: ShareSettings {
            lock_duration_ms: number("share.record.lock.duration.ms", config.group_share_record_lock_duration_ms())
                .into(),
            delivery_limit: i16::try_from(limit).unwrap_or(i16::MAX),
            max_record_locks: number(
                "share.partition.max.record.locks",
                config.group_share_partition_max_record_locks(),
            )
            .into(),
            renew_enabled: own("share.renew.acknowledge.enable").is_none_or(|text| text.eq_ignore_ascii_case("true")),
        },
        committed: own("share.isolation.level").is_some_and(|text| text.eq_ignore_ascii_case("read_committed")),
        offset_reset,
    }
}

/// Milliseconds of a duration as ISO 8601 writes it, in days, hours, minutes and seconds.
fn duration_ms(text: &str) -> Option<TimestampMs> {
    let (days, time) = text.strip_prefix('P')?.split_once('T').unwrap_or((text.strip_prefix('P')?, ""));
    let mut total = 0.0;
    for (mut part, units) in [(days, [('D', 86_400_000.0)].as_slice()), (time, &[('H', 3.6e6), ('M', 6e4), ('S', 1e3)])]
    {
        for (unit, ms) in units {
            if let Some((number, rest)) = part.split_once(*unit) {
                total += number.parse::<f64>().ok()? * ms;
                part = rest;
            }
        }
        if !part.is_empty() {
            return None;
        }
    }
    Some(total as TimestampMs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_java_does() {
        assert_eq!(duration_ms("P1DT2H3M4.5S"), Some(93_784_500));
        assert_eq!(duration_ms("PT1H"), Some(3_600_000));
        assert_eq!(duration_ms("P2D"), Some(172_800_000));
        assert_eq!(duration_ms("PT0S"), Some(0));
        assert_eq!(duration_ms("1H"), None);
        assert_eq!(duration_ms("PT5"), None);
    }
}
