//! The records that groups of the newer protocols are made of: consumer groups (KIP-848), share groups (KIP-932) and
//! streams groups (KIP-1071).
//! Each kind is one line of the table below; encoding and decoding follow from it.

use bytes::Bytes;
use protocol::messages::{
    ConsumerGroupCurrentMemberAssignmentKey, ConsumerGroupCurrentMemberAssignmentValue, ConsumerGroupMemberMetadataKey,
    ConsumerGroupMemberMetadataValue, ConsumerGroupMetadataKey, ConsumerGroupMetadataValue,
    ConsumerGroupPartitionMetadataKey, ConsumerGroupPartitionMetadataValue, ConsumerGroupRegularExpressionKey,
    ConsumerGroupRegularExpressionValue, ConsumerGroupTargetAssignmentMemberKey,
    ConsumerGroupTargetAssignmentMemberValue, ConsumerGroupTargetAssignmentMetadataKey,
    ConsumerGroupTargetAssignmentMetadataValue, ShareGroupCurrentMemberAssignmentKey,
    ShareGroupCurrentMemberAssignmentValue, ShareGroupMemberMetadataKey, ShareGroupMemberMetadataValue,
    ShareGroupMetadataKey, ShareGroupMetadataValue, ShareGroupStatePartitionMetadataKey,
    ShareGroupStatePartitionMetadataValue, ShareGroupTargetAssignmentMemberKey, ShareGroupTargetAssignmentMemberValue,
    ShareGroupTargetAssignmentMetadataKey, ShareGroupTargetAssignmentMetadataValue,
    StreamsGroupCurrentMemberAssignmentKey, StreamsGroupCurrentMemberAssignmentValue, StreamsGroupMemberMetadataKey,
    StreamsGroupMemberMetadataValue, StreamsGroupMetadataKey, StreamsGroupMetadataValue,
    StreamsGroupTargetAssignmentMemberKey, StreamsGroupTargetAssignmentMemberValue,
    StreamsGroupTargetAssignmentMetadataKey, StreamsGroupTargetAssignmentMetadataValue, StreamsGroupTopologyKey,
    StreamsGroupTopologyValue,
};
use protocol::{EncodeError, Message, Reader};

use super::{KEY_VERSION, decode_value, prefixed};
use crate::error::ReplayError;
use crate::runtime::effects::CoordinatorRecord;

/// The version of every value here.
const VALUE_VERSION: i16 = 0;

macro_rules! group_records {
    ($($name:ident($key:ident, $value:ident),)*) => {
        /// A record of a group: its key, and its value or nothing for a tombstone.
        #[derive(Debug, Clone, PartialEq)]
        #[allow(clippy::enum_variant_names, reason = "the names are those of Kafka's records")]
        pub(crate) enum GroupRecord {
            $(
                #[doc = concat!("`", stringify!($value), "`.")]
                $name($key, Option<$value>),
            )*
        }

        impl GroupRecord {
            /// Its bytes.
            pub(crate) fn encode(&self) -> Result<CoordinatorRecord, EncodeError> {
                match self {
                    $(Self::$name(key, value) => encode($key::API_KEY_CODE, key, value.as_ref()),)*
                }
            }

            /// The record of a type; none if the type is not one of these.
            pub(crate) fn decode(
                record_type: i16,
                key: &mut Reader,
                value: Option<&Bytes>,
            ) -> Result<Option<Self>, ReplayError> {
                Ok(Some(match record_type {
                    $($key::API_KEY_CODE => Self::$name($key::decode(key, KEY_VERSION)?, decode_value(value)?),)*
                    _ => return Ok(None),
                }))
            }
        }
    };
}

group_records! {
    ConsumerGroupMetadata(ConsumerGroupMetadataKey, ConsumerGroupMetadataValue),
    ConsumerGroupPartitionMetadata(ConsumerGroupPartitionMetadataKey, ConsumerGroupPartitionMetadataValue),
    ConsumerGroupMemberMetadata(ConsumerGroupMemberMetadataKey, ConsumerGroupMemberMetadataValue),
    ConsumerGroupTargetAssignmentMetadata(
        ConsumerGroupTargetAssignmentMetadataKey, ConsumerGroupTargetAssignmentMetadataValue
    ),
    ConsumerGroupTargetAssignmentMember(
        ConsumerGroupTargetAssignmentMemberKey, ConsumerGroupTargetAssignmentMemberValue
    ),
    ConsumerGroupCurrentMemberAssignment(
        ConsumerGroupCurrentMemberAssignmentKey, ConsumerGroupCurrentMemberAssignmentValue
    ),
    ConsumerGroupRegularExpression(ConsumerGroupRegularExpressionKey, ConsumerGroupRegularExpressionValue),
    ShareGroupMemberMetadata(ShareGroupMemberMetadataKey, ShareGroupMemberMetadataValue),
    ShareGroupMetadata(ShareGroupMetadataKey, ShareGroupMetadataValue),
    ShareGroupTargetAssignmentMetadata(ShareGroupTargetAssignmentMetadataKey, ShareGroupTargetAssignmentMetadataValue),
    ShareGroupTargetAssignmentMember(ShareGroupTargetAssignmentMemberKey, ShareGroupTargetAssignmentMemberValue),
    ShareGroupCurrentMemberAssignment(ShareGroupCurrentMemberAssignmentKey, ShareGroupCurrentMemberAssignmentValue),
    ShareGroupStatePartitionMetadata(ShareGroupStatePartitionMetadataKey, ShareGroupStatePartitionMetadataValue),
    StreamsGroupMetadata(StreamsGroupMetadataKey, StreamsGroupMetadataValue),
    StreamsGroupMemberMetadata(StreamsGroupMemberMetadataKey, StreamsGroupMemberMetadataValue),
    StreamsGroupTargetAssignmentMetadata(
        StreamsGroupTargetAssignmentMetadataKey, StreamsGroupTargetAssignmentMetadataValue
    ),
    StreamsGroupTargetAssignmentMember(StreamsGroupTargetAssignmentMemberKey, StreamsGroupTargetAssignmentMemberValue),
    StreamsGroupCurrentMemberAssignment(
        StreamsGroupCurrentMemberAssignmentKey, StreamsGroupCurrentMemberAssignmentValue
    ),
    StreamsGroupTopology(StreamsGroupTopologyKey, StreamsGroupTopologyValue),
}

fn encode<K: Message, V: Message>(
    record_type: i16,
    key: &K,
    value: Option<&V>,
) -> Result<CoordinatorRecord, EncodeError> {
    let key = prefixed(record_type, key, KEY_VERSION)?;
    let value = value.map(|value| prefixed(VALUE_VERSION, value, VALUE_VERSION)).transpose()?;
    Ok(CoordinatorRecord { key, value })
}

/// The records of one request, in order. Each has changed the state already when it is put here.
#[derive(Debug, Default)]
pub(crate) struct Records {
    encoded: Vec<CoordinatorRecord>,
    failed: Option<EncodeError>,
}

impl Records {
    /// Adds a record.
    pub(crate) fn push(&mut self, record: Result<CoordinatorRecord, EncodeError>) {
        match record {
            Ok(record) => self.encoded.push(record),
            Err(error) => self.failed = Some(error),
        }
    }

    /// Whether nothing is to be written.
    pub(crate) fn is_empty(&self) -> bool {
        self.encoded.is_empty() && self.failed.is_none()
    }

    /// All of them.
    /// # Errors
    /// If one cannot be written.
    pub(crate) fn into_records(self) -> Result<Vec<CoordinatorRecord>, EncodeError> {
        self.failed.map_or(Ok(self.encoded), Err)
    }
}
