//! How a record is printed.

use bytes::Bytes;
use client::ConsumerRecord;
use protocol::Uuid;
use serde_json::json;

use crate::cli::dump_log::Coordinator;
use crate::cli::java::{Exception, Failure};
use crate::cli::out::{self, Out};
use crate::cli::session::Properties;

/// Kafka's deserializers that give text.
#[derive(Debug, Clone, Copy)]
enum Deserializer {
    Text,
    Short,
    Integer,
    Long,
    Float,
    Double,
    Boolean,
    Uuid,
}

#[derive(Debug)]
struct Style {
    timestamp: bool,
    key: bool,
    value: bool,
    partition: bool,
    offset: bool,
    delivery: bool,
    epoch: bool,
    headers: bool,
    key_separator: Vec<u8>,
    line_separator: Vec<u8>,
    headers_separator: Vec<u8>,
    null_literal: Vec<u8>,
    key_deserializer: Option<Deserializer>,
    value_deserializer: Option<Deserializer>,
    headers_deserializer: Option<Deserializer>,
}

/// A formatter.
#[derive(Debug)]
pub(in crate::cli) struct Formatter {
    kind: Kind,
    style: Style,
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Default,
    Nothing,
    /// Records of these types.
    Coordinator(Coordinator, &'static [i16]),
}

impl Formatter {
    /// For the class of this name, without its package, and its properties.
    pub(in crate::cli) fn new(class: &str, formatting: &Properties) -> Self {
        let kind = match class {
            "NoOpMessageFormatter" => Kind::Nothing,
            "OffsetsMessageFormatter" => Kind::Coordinator(Coordinator::Group, &[0, 1]),
            "GroupMetadataMessageFormatter" => Kind::Coordinator(Coordinator::Group, &[2]),
            "TransactionLogMessageFormatter" => Kind::Coordinator(Coordinator::Transaction, &[0]),
            _ => Kind::Default,
        };
        Self { kind, style: Style::new(formatting) }
    }

    /// Prints a record.
    /// # Errors
    /// For a value that cannot be read, and when nobody reads what is printed.
    pub(in crate::cli) fn write(
        &mut self,
        record: &ConsumerRecord,
        delivery_count: Option<i16>,
        out: &mut Out,
    ) -> Result<(), Failure> {
        match self.kind {
            Kind::Default => self.style.write(record, delivery_count, out),
            Kind::Nothing => Ok(()),
            Kind::Coordinator(coordinator, types) => write_coordinator(coordinator, types, record, out),
        }
    }
}

fn write_coordinator(
    coordinator: Coordinator,
    types: &[i16],
    record: &ConsumerRecord,
    out: &mut Out,
) -> Result<(), Failure> {
    let Some(key) = &record.key else { return Ok(()) };
    let failed = |error: String| {
        let message = format!("Could not read record at offset {} due to: {error}", record.offset);
        Exception::new("java.lang.RuntimeException", message)
    };
    let Some((kind, key)) = coordinator.key(key).map_err(failed)? else { return Ok(()) };
    if !types.contains(&kind) {
        return Ok(());
    }
    let value = match &record.value {
        Some(value) => {
            let (version, data) = coordinator.value(kind, value).map_err(failed)?;
            json!({ "version": version, "data": data })
        }
        None => serde_json::Value::Null,
    };
    out.text(json!({ "key": { "type": kind, "data": key }, "value": value }))?;
    Ok(())
}

impl Style {
    fn new(properties: &Properties) -> Self {
        let flag = |name: &str, default: bool| {
            properties.get(name).map_or(default, |value| value.trim().eq_ignore_ascii_case("true"))
        };
        let bytes =
            |name: &str, default: &str| properties.get(name).map_or(default, String::as_str).as_bytes().to_vec();
        let deserializer = |name: &str| properties.get(name).and_then(|class| Deserializer::of(class));
        Self {
            timestamp: flag("print.timestamp", false),
            key: flag("print.key", false),
            value: flag("print.value", true),
            partition: flag("print.partition", false),
            offset: flag("print.offset", false),
            delivery: flag("print.delivery", false),
            epoch: flag("print.epoch", false),
            headers: flag("print.headers", false),
            key_separator: bytes("key.separator", "\t"),
            line_separator: bytes("line.separator", "\n"),
            headers_separator: bytes("headers.separator", ","),
            null_literal: bytes("null.literal", "null"),
            key_deserializer: deserializer("key.deserializer"),
            value_deserializer: deserializer("value.deserializer"),
            headers_deserializer: deserializer("headers.deserializer"),
        }
    }

    fn write(&self, record: &ConsumerRecord, delivery_count: Option<i16>, out: &mut Out) -> Result<(), Failure> {
        let columns = [self.timestamp, self.partition, self.offset, self.delivery, self.epoch, self.headers, self.key];
        for (column, shown) in columns.into_iter().enumerate() {
            if !shown {
                continue;
            }
            match column {
                0 => out.text(format_args!("{}:{}", record.timestamp_type.name(), record.timestamp))?,
                1 => out.text(format_args!("Partition:{}", record.partition))?,
                2 => out.text(format_args!("Offset:{}", record.offset))?,
                3 => match delivery_count {
                    Some(count) => out.text(format_args!("Delivery:{count}"))?,
                    None => out.text("Delivery:NOT_PRESENT")?,
                },
                4 => out.text("Epoch:NOT_PRESENT")?,
                5 => self.write_headers(record, out)?,
                _ => self.write_bytes(self.key_deserializer, record.key.as_ref(), out)?,
            }
            let more = self.value || columns[column + 1..].iter().any(|shown| *shown);
            out.bytes(if more { &self.key_separator } else { &self.line_separator })?;
        }
        if self.value {
            self.write_bytes(self.value_deserializer, record.value.as_ref(), out)?;
            out.bytes(&self.line_separator)?;
        }
        Ok(())
    }

    fn write_headers(&self, record: &ConsumerRecord, out: &mut Out) -> Result<(), Failure> {
        if record.headers.is_empty() {
            return Ok(out.text("NO_HEADERS")?);
        }
        for (at, (key, value)) in record.headers.iter().enumerate() {
            if at > 0 {
                out.bytes(&self.headers_separator)?;
            }
            out.bytes(key)?;
            out.text(":")?;
            self.write_bytes(self.headers_deserializer, value.as_ref(), out)?;
        }
        Ok(())
    }

    fn write_bytes(
        &self,
        deserializer: Option<Deserializer>,
        bytes: Option<&Bytes>,
        out: &mut Out,
    ) -> Result<(), Failure> {
        let bytes = bytes.map_or(self.null_literal.as_slice(), |bytes| bytes);
        match deserializer {
            None => out.bytes(bytes)?,
            Some(deserializer) => out.text(deserializer.text(bytes)?)?,
        }
        Ok(())
    }
}

impl Deserializer {
    fn of(class: &str) -> Option<Self> {
        let simple = class.strip_prefix("org.apache.kafka.common.serialization.").unwrap_or_default();
        let found = match simple {
            "StringDeserializer" => Self::Text,
            "ShortDeserializer" => Self::Short,
            "IntegerDeserializer" => Self::Integer,
            "LongDeserializer" => Self::Long,
            "FloatDeserializer" => Self::Float,
            "DoubleDeserializer" => Self::Double,
            "BooleanDeserializer" => Self::Boolean,
            "UUIDDeserializer" => Self::Uuid,
            _ => {
                out::error_text(&format!(
                    "ERROR Unable to instantiate a deserializer from {class} \
                     (org.apache.kafka.tools.consumer.DefaultMessageFormatter)\n"
                ));
                return None;
            }
        };
        Some(found)
    }

    fn text(self, bytes: &[u8]) -> Result<String, Exception> {
        let invalid = |message: &str| Exception::new("org.apache.kafka.common.errors.SerializationException", message);
        fn exact<const N: usize>(bytes: &[u8]) -> Option<[u8; N]> {
            bytes.try_into().ok()
        }
        let number = |text: Option<String>, kind: &str, length: usize| {
            text.ok_or_else(|| invalid(&format!("Size of data received by {kind}Deserializer is not {length}")))
        };
        match self {
            Self::Text => Ok(String::from_utf8_lossy(bytes).into_owned()),
            Self::Short => number(exact(bytes).map(|bytes| i16::from_be_bytes(bytes).to_string()), "Short", 2),
            Self::Integer => number(exact(bytes).map(|bytes| i32::from_be_bytes(bytes).to_string()), "Integer", 4),
            Self::Long => number(exact(bytes).map(|bytes| i64::from_be_bytes(bytes).to_string()), "Long", 8),
            Self::Float => {
                number(exact(bytes).map(|bytes| format!("{:?}", f32::from_be_bytes(bytes))), "Deserializer", 4)
            }
            Self::Double => {
                number(exact(bytes).map(|bytes| format!("{:?}", f64::from_be_bytes(bytes))), "Deserializer", 8)
            }
            Self::Boolean => match bytes {
                [0] => Ok("false".to_owned()),
                [1] => Ok("true".to_owned()),
                _ => Err(invalid("Unexpected byte received by BooleanDeserializer")),
            },
            Self::Uuid => {
                let text = String::from_utf8_lossy(bytes).into_owned();
                let hex: String = text.chars().filter(|c| *c != '-').collect();
                let is_uuid =
                    hex.len() == 2 * Uuid::ZERO.as_bytes().len() && hex.bytes().all(|b| b.is_ascii_hexdigit());
                if is_uuid { Ok(text.to_lowercase()) } else { Err(invalid("Error parsing data into UUID")) }
            }
        }
    }
}
