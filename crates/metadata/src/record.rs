//! Records of `__cluster_metadata` and their frame: version of the frame, type, version, body (`MetadataRecordSerde`).

use bytes::Bytes;
use protocol::messages::{
    AbortTransactionRecord, AccessControlEntryRecord, BeginTransactionRecord, BrokerRegistrationChangeRecord,
    ClearElrRecord, ClientQuotaRecord, ConfigRecord, DelegationTokenRecord, EndTransactionRecord, FeatureLevelRecord,
    FenceBrokerRecord, NoOpRecord, PartitionChangeRecord, PartitionRecord, ProducerIdsRecord, RegisterBrokerRecord,
    RegisterControllerRecord, RemoveAccessControlEntryRecord, RemoveDelegationTokenRecord, RemoveTopicRecord,
    RemoveUserScramCredentialRecord, TopicRecord, UnfenceBrokerRecord, UnregisterBrokerRecord,
    UserScramCredentialRecord, ZkMigrationStateRecord,
};
use protocol::{Message, Reader, Writer};

use crate::MetadataError;

const FRAME_VERSION: u32 = 1;

macro_rules! metadata_records {
    ($($variant:ident($message:ident),)*) => {
        /// One metadata record.
        #[derive(Debug, Clone, PartialEq)]
        pub enum MetadataRecord {
            $(
                #[doc = concat!("`", stringify!($message), "`.")]
                $variant($message),
            )*
        }

        impl MetadataRecord {
            /// Type of the record.
            #[must_use]
            pub fn api_key(&self) -> i16 {
                match self {
                    $(Self::$variant(_) => $message::API_KEY_CODE,)*
                }
            }

            /// Name of the record, such as `TopicRecord`.
            #[must_use]
            pub fn name(&self) -> &'static str {
                match self {
                    $(Self::$variant(_) => $message::NAME,)*
                }
            }

            fn encode_body(&self, writer: &mut Writer, version: i16) -> Result<(), MetadataError> {
                match self {
                    $(Self::$variant(record) => record.encode(writer, version)?,)*
                }
                Ok(())
            }

            fn decode_body(record_type: u32, reader: &mut Reader, version: i16) -> Result<Self, MetadataError> {
                match i16::try_from(record_type) {
                    $(Ok($message::API_KEY_CODE) => match $message::decode(reader, version) {
                        Ok(record) => Ok(Self::$variant(record)),
                        Err(source) => Err(MetadataError::Decode { record_type: $message::API_KEY_CODE, source }),
                    },)*
                    _ => Err(MetadataError::UnknownType(record_type)),
                }
            }
        }

        $(
            impl From<$message> for MetadataRecord {
                fn from(record: $message) -> Self {
                    Self::$variant(record)
                }
            }
        )*
    };
}

metadata_records! {
    RegisterBroker(RegisterBrokerRecord),
    UnregisterBroker(UnregisterBrokerRecord),
    Topic(TopicRecord),
    Partition(PartitionRecord),
    Config(ConfigRecord),
    PartitionChange(PartitionChangeRecord),
    FenceBroker(FenceBrokerRecord),
    UnfenceBroker(UnfenceBrokerRecord),
    RemoveTopic(RemoveTopicRecord),
    DelegationToken(DelegationTokenRecord),
    UserScramCredential(UserScramCredentialRecord),
    FeatureLevel(FeatureLevelRecord),
    ClientQuota(ClientQuotaRecord),
    ProducerIds(ProducerIdsRecord),
    BrokerRegistrationChange(BrokerRegistrationChangeRecord),
    AccessControlEntry(AccessControlEntryRecord),
    RemoveAccessControlEntry(RemoveAccessControlEntryRecord),
    NoOp(NoOpRecord),
    ZkMigrationState(ZkMigrationStateRecord),
    RemoveUserScramCredential(RemoveUserScramCredentialRecord),
    BeginTransaction(BeginTransactionRecord),
    EndTransaction(EndTransactionRecord),
    AbortTransaction(AbortTransactionRecord),
    RemoveDelegationToken(RemoveDelegationTokenRecord),
    RegisterController(RegisterControllerRecord),
    ClearElr(ClearElrRecord),
}

/// A record and the version in which it is written (`ApiMessageAndVersion`).
#[derive(Debug, Clone, PartialEq)]
pub struct VersionedRecord {
    /// The record.
    pub record: MetadataRecord,
    /// Its version.
    pub version: i16,
}

impl VersionedRecord {
    /// A record in a version.
    #[must_use]
    pub fn new(record: impl Into<MetadataRecord>, version: i16) -> Self {
        Self { record: record.into(), version }
    }

    /// The bytes that are the value of a record of the log.
    /// # Errors
    /// [`MetadataError::Encode`] if the version cannot carry what is set.
    pub fn encode(&self) -> Result<Bytes, MetadataError> {
        let mut writer = Writer::new();
        writer.put_uvarint(FRAME_VERSION);
        writer.put_uvarint(u32::from(self.record.api_key().unsigned_abs()));
        writer.put_uvarint(u32::from(self.version.unsigned_abs()));
        self.record.encode_body(&mut writer, self.version)?;
        Ok(writer.into_bytes())
    }

    /// Reads the value of a record of the log.
    /// # Errors
    /// Anything that is not one known record in a known version.
    pub fn decode(bytes: &Bytes) -> Result<Self, MetadataError> {
        let mut reader = Reader::new(bytes.clone());
        let frame_version = reader.uvarint().map_err(MetadataError::Frame)?;
        if frame_version != FRAME_VERSION {
            return Err(MetadataError::FrameVersion(frame_version));
        }
        let record_type = reader.uvarint().map_err(MetadataError::Frame)?;
        let version = reader.uvarint().map_err(MetadataError::Frame)?;
        let version = i16::try_from(version).unwrap_or(i16::MAX);
        let record = MetadataRecord::decode_body(record_type, &mut reader, version)?;
        match reader.remaining() {
            0 => Ok(Self { record, version }),
            left => Err(MetadataError::Garbage(left)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_version_type_version_body() {
        let record =
            FeatureLevelRecord { name: "metadata.version".to_owned(), feature_level: 30, ..Default::default() };
        let record = VersionedRecord::new(record, 0);
        let bytes = record.encode().expect("encodes");
        assert_eq!(&bytes[..3], [1, 12, 0]);
        assert_eq!(VersionedRecord::decode(&bytes), Ok(record));
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_decoding_panic(record_type in 0u8..30, version in 0u8..5, body: Vec<u8>) {
            let frame = [&[1, record_type, version], &body[..]].concat();
            if let Ok(record) = VersionedRecord::decode(&frame.into()) {
                let mut delta = crate::ImageDelta::default();
                let mut image = crate::ClusterImage::default();
                drop(image.apply(&record.record, &mut delta));
                drop(crate::snapshot_records(&image));
            }
        }
    }

    #[test]
    fn garbage_and_unknown_types_are_refused() {
        assert_eq!(VersionedRecord::decode(&Bytes::from_static(&[0, 1, 0])), Err(MetadataError::FrameVersion(0)));
        assert_eq!(VersionedRecord::decode(&Bytes::from_static(&[1, 99, 0])), Err(MetadataError::UnknownType(99)));
        assert_eq!(VersionedRecord::decode(&Bytes::from_static(&[1, 20, 0, 0, 7])), Err(MetadataError::Garbage(1)));
        assert!(matches!(VersionedRecord::decode(&Bytes::from_static(&[1, 2, 0])), Err(MetadataError::Decode { .. })));
    }
}
