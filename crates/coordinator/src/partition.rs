//! Which partition of `__consumer_offsets` a group lives in.

use protocol::types::PartitionIndex;

/// The partition of `group_id` among `partitions`: the hash of Java's `String`, which counts UTF-16 units.
/// Zero if there are no partitions.
#[must_use]
pub fn partition_for(group_id: &str, partitions: PartitionIndex) -> PartitionIndex {
    let hash = group_id.encode_utf16().fold(0_i32, |hash, unit| hash.wrapping_mul(31).wrapping_add(i32::from(unit)));
    // The smallest integer has no absolute value; Kafka takes zero for it.
    let positive = hash.checked_abs().unwrap_or(0);
    positive.checked_rem(partitions).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_live_where_java_hashes_them() {
        assert_eq!(partition_for("", 50), 0);
        assert_eq!(partition_for("my-group", 50), 12);
        assert_eq!(partition_for("console-consumer-12345", 50), 6);
        assert_eq!(partition_for("polygenelubricants", 50), 0);
        assert_eq!(partition_for("group", 0), 0);
    }
}
