//! Kafka's JSON form of its messages, as the `JsonConverter` classes of kafka-clients write and read it. Driven by the
//! schema text at run time: a second implementation of the protocol, which shares no code with the generated one.
//! One deviation: records are given as their bytes, where Kafka's converters always give none.

pub mod base64;
mod decode;
mod encode;

use std::collections::HashMap;
use std::sync::OnceLock;

use bytes::Bytes;
use serde_json::{Map, Value};

use crate::schema::{FieldSpec, MessageSpec, Type, contains, parse};

const SCHEMAS: [&str; 9] = [
    include_str!("../../schema/requests.schema"),
    include_str!("../../schema/client-data.schema"),
    include_str!("../../schema/raft.schema"),
    include_str!("../../schema/metadata-records.schema"),
    include_str!("../../schema/group-records.schema"),
    include_str!("../../schema/transaction-records.schema"),
    include_str!("../../schema/share-records.schema"),
    include_str!("../../schema/storage.schema"),
    include_str!("../../schema/streams.schema"),
];

/// Why bytes or JSON are not the message they should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JsonError {
    /// No schema has this name.
    #[error("there is no message {0}")]
    UnknownMessage(String),
    /// The message has no such version.
    #[error("{message} has no version {version}")]
    UnsupportedVersion {
        /// Name of the message.
        message: String,
        /// Version asked for.
        version: i16,
    },
    /// The bytes end inside the message, or a length in it is wrong.
    #[error("{0}: the bytes end before the value")]
    CutOff(String),
    /// A null where the version has none.
    #[error("{0} must not be null in this version")]
    UnexpectedNull(String),
    /// A varint of more than five bytes.
    #[error("a varint is too long")]
    VarintTooLong,
    /// A field that the version needs is not in the object.
    #[error("{message}: unable to locate field '{field}', which is mandatory in version {version}")]
    MissingField {
        /// Name of the message or structure.
        message: String,
        /// Name of the field.
        field: String,
        /// Version asked for.
        version: i16,
    },
    /// A value of another type, or out of its type's range.
    #[error("{field} expected {expected}")]
    WrongType {
        /// Name of the field.
        field: String,
        /// What it should have been.
        expected: String,
    },
    /// Bytes are left after the message.
    #[error("{0} bytes after the message")]
    TrailingBytes(usize),
}

/// The message in `bytes`, which it has to fill, as JSON. Numbers, `true` and `false` are themselves; bytes are
/// base64; ids are text; tagged fields are left out where they have their default.
/// # Errors
/// If there is no such message or version, or the bytes are not one.
pub fn decode(message: &str, version: i16, bytes: &Bytes) -> Result<Value, JsonError> {
    decode::message(&Context::of(message, version)?, bytes)
}

/// The bytes of the message that `value` is.
/// # Errors
/// If there is no such message or version, or the JSON is not one.
pub fn encode(message: &str, version: i16, value: &Value) -> Result<Bytes, JsonError> {
    encode::message(&Context::of(message, version)?, value)
}

/// The schema of a message, by Kafka's name of it.
#[must_use]
pub fn schema(message: &str) -> Option<&'static MessageSpec> {
    static MESSAGES: OnceLock<HashMap<String, MessageSpec>> = OnceLock::new();
    let messages = MESSAGES.get_or_init(|| {
        SCHEMAS.iter().flat_map(|text| parse(text)).map(|message| (message.name.clone(), message)).collect()
    });
    messages.get(message)
}

/// One message in one version.
struct Context {
    message: &'static MessageSpec,
    version: i16,
    flexible: bool,
}

impl Context {
    fn of(name: &str, version: i16) -> Result<Self, JsonError> {
        let message = schema(name).ok_or_else(|| JsonError::UnknownMessage(name.to_owned()))?;
        if !message.versions.contains(&version) {
            return Err(JsonError::UnsupportedVersion { message: name.to_owned(), version });
        }
        Ok(Self { message, version, flexible: contains(&message.flexible, version) })
    }

    /// Whether lengths of this field are compact.
    fn compact(&self, field: &FieldSpec) -> bool {
        self.flexible && !field.never_flexible
    }

    fn nullable(&self, field: &FieldSpec) -> bool {
        contains(&field.nullable, self.version)
    }

    /// The tag of this field, where it is tagged in this version.
    fn tag(&self, field: &FieldSpec) -> Option<u32> {
        field.tag_in(self.version).filter(|_| self.flexible)
    }

    /// The fields that this version has.
    fn present(&self, fields: &'static [FieldSpec]) -> impl Iterator<Item = &'static FieldSpec> + use<> {
        let version = self.version;
        fields.iter().filter(move |field| contains(&field.versions, version))
    }

    /// The fields of the structure `name`, which `field` is or holds.
    fn fields_of(&self, name: &str, field: &'static FieldSpec) -> &'static [FieldSpec] {
        if !field.fields.is_empty() {
            return &field.fields;
        }
        self.message.structs.iter().find(|known| known.name == name).map_or(&[], |known| &known.fields)
    }

    /// What the field is when nobody sets it.
    fn default(&self, field: &'static FieldSpec) -> Value {
        if field.defaults_to_null() {
            return Value::Null;
        }
        let text = field.default.as_deref();
        match &field.ty {
            Type::Array(_) => Value::Array(Vec::new()),
            Type::Struct(name) => {
                let fields = self.fields_of(name, field);
                let untagged = self.present(fields).filter(|field| self.tag(field).is_none());
                Value::Object(untagged.map(|field| (json_name(field), self.default(field))).collect::<Map<_, _>>())
            }
            Type::Primitive(ty) => match ty.as_str() {
                "bool" => Value::Bool(text == Some("true")),
                "string" | "bytes" | "records" => Value::from(text.map_or("", |text| text.trim_matches('"'))),
                "uuid" => Value::from(crate::Uuid::ZERO.to_string()),
                "float64" => Value::from(text.and_then(|text| text.parse::<f64>().ok()).unwrap_or(0.0)),
                _ => Value::from(text.map_or(0, integer)),
            },
        }
    }
}

fn integer(text: &str) -> i64 {
    let parsed = text.strip_prefix("0x").map_or_else(|| text.parse(), |hex| i64::from_str_radix(hex, 16));
    parsed.expect("the schema's defaults are part of this crate")
}

/// Kafka's name of a field in JSON: its first letter is small.
fn json_name(field: &FieldSpec) -> String {
    let (first, rest) = field.name.split_at(1);
    first.to_ascii_lowercase() + rest
}
