//! A number that stands for everything about a group's topics that its assignment depends on: ids, partitions and racks.
//! It is stored with the group's epoch, so that a coordinator that takes the group over sees whether anything changed.

use metadata::ClusterImage;
use protocol::Uuid;

use super::xxh3::xxh3_64;

/// Version of what is hashed of a topic.
const TOPIC_HASH_VERSION: u8 = 0;

/// The hash of a topic; none if there is no such topic.
pub(crate) fn topic_hash(image: &ClusterImage, name: &str) -> Option<u64> {
    let topic = image.topic(name)?;
    let mut bytes = vec![TOPIC_HASH_VERSION];
    put_id(&mut bytes, topic.id);
    put_text(&mut bytes, &topic.name);
    put_i32(&mut bytes, i32::try_from(topic.partitions.len()).unwrap_or(i32::MAX));
    for (index, partition) in topic.partitions() {
        put_i32(&mut bytes, index);
        let brokers = partition.replicas.iter().filter_map(|replica| image.broker(*replica));
        let mut racks: Vec<&str> = brokers.filter_map(|broker| broker.rack.as_deref()).collect();
        racks.sort_unstable();
        for rack in racks {
            put_i32(&mut bytes, i32::try_from(rack.encode_utf16().count()).unwrap_or(i32::MAX));
            put_text(&mut bytes, rack);
        }
    }
    Some(xxh3_64(&bytes))
}

/// The hash of a group that reads topics with these hashes, in the order of the topics' names.
pub(crate) fn group_hash(topic_hashes: impl Iterator<Item = u64>) -> i64 {
    let mut bytes = Vec::new();
    for hash in topic_hashes {
        bytes.extend_from_slice(&hash.to_le_bytes());
    }
    if bytes.is_empty() { 0 } else { xxh3_64(&bytes) as i64 }
}

fn put_id(bytes: &mut Vec<u8>, id: Uuid) {
    let (high, low) = id.as_bytes().split_at(8);
    bytes.extend(high.iter().rev());
    bytes.extend(low.iter().rev());
}

fn put_i32(bytes: &mut Vec<u8>, value: i32) {
    bytes.extend_from_slice(&value.to_le_bytes());
}

/// Java hashes the UTF-16 units of a text, and then their number.
fn put_text(bytes: &mut Vec<u8>, text: &str) {
    let before = bytes.len();
    bytes.extend(text.encode_utf16().flat_map(u16::to_le_bytes));
    put_i32(bytes, i32::try_from((bytes.len() - before) / 2).unwrap_or(i32::MAX));
}
