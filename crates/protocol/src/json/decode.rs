//! Bytes to JSON.

use bytes::{Buf, Bytes};
use serde_json::{Map, Value};

use super::{Context, JsonError, base64, json_name};
use crate::Uuid;
use crate::schema::{FieldSpec, Type};

pub(super) fn message(context: &Context, bytes: &Bytes) -> Result<Value, JsonError> {
    let mut decoder = Decoder { context, input: bytes.clone(), unknown_fields: 0 };
    let value = decoder.structure(&context.message.fields)?;
    match decoder.input.len() {
        0 => Ok(value),
        left => Err(JsonError::TrailingBytes(left)),
    }
}

struct Decoder<'a> {
    context: &'a Context,
    input: Bytes,
    /// Tagged fields that the schema does not name: no structure with one is a default, though JSON shows none.
    unknown_fields: usize,
}

impl Decoder<'_> {
    fn structure(&mut self, fields: &'static [FieldSpec]) -> Result<Value, JsonError> {
        let context = self.context;
        let mut values: Vec<(&'static FieldSpec, Option<Value>)> = Vec::new();
        for field in context.present(fields) {
            let value = match context.tag(field) {
                None => Some(self.field(field)?),
                Some(_) => None,
            };
            values.push((field, value));
        }
        if context.flexible {
            self.tagged_fields(&mut values)?;
        }
        let named = values.into_iter().filter_map(|(field, value)| Some((json_name(field), value?)));
        Ok(Value::Object(named.collect::<Map<_, _>>()))
    }

    fn tagged_fields(&mut self, values: &mut [(&'static FieldSpec, Option<Value>)]) -> Result<(), JsonError> {
        for _ in 0..self.uvarint()? {
            let tag = self.uvarint()?;
            let size = self.uvarint()? as usize;
            let payload = self.take(size, "tagged field")?;
            let Some((field, value)) = values.iter_mut().find(|(field, _)| self.context.tag(field) == Some(tag)) else {
                self.unknown_fields += 1;
                continue;
            };
            let mut inner = Decoder { context: self.context, input: payload, unknown_fields: 0 };
            let decoded = inner.field(field)?;
            let is_default = inner.unknown_fields == 0 && decoded == self.context.default(field);
            *value = (!is_default).then_some(decoded);
            self.unknown_fields += inner.unknown_fields;
        }
        Ok(())
    }

    fn field(&mut self, field: &'static FieldSpec) -> Result<Value, JsonError> {
        self.value(field, &field.ty)
    }

    fn value(&mut self, field: &'static FieldSpec, ty: &'static Type) -> Result<Value, JsonError> {
        match ty {
            Type::Primitive(ty) => self.primitive(field, ty),
            Type::Struct(name) => {
                let is_element = matches!(field.ty, Type::Array(_));
                if !is_element && self.context.nullable(field) && self.null_marker(field)? {
                    return Ok(Value::Null);
                }
                self.structure(self.context.fields_of(name, field))
            }
            Type::Array(element) => {
                let Some(count) = self.length(field, 4)? else {
                    return self.null(field);
                };
                // No element is smaller than a byte.
                if count > self.input.len() {
                    return Err(JsonError::CutOff(field.name.clone()));
                }
                let elements: Result<Vec<_>, _> = (0..count).map(|_| self.value(field, element)).collect();
                Ok(Value::Array(elements?))
            }
        }
    }

    /// Kafka marks a null structure by a negative byte, or by a varint of 0 where it is tagged.
    fn null_marker(&mut self, field: &FieldSpec) -> Result<bool, JsonError> {
        if self.context.tag(field).is_some() {
            return Ok(self.uvarint()? == 0);
        }
        Ok(self.take(1, &field.name)?.get_i8() < 0)
    }

    fn primitive(&mut self, field: &'static FieldSpec, ty: &str) -> Result<Value, JsonError> {
        let name = &field.name;
        Ok(match ty {
            "bool" => Value::Bool(self.take(1, name)?.get_u8() != 0),
            "int8" => Value::from(self.take(1, name)?.get_i8()),
            "int16" => Value::from(self.take(2, name)?.get_i16()),
            "uint16" => Value::from(self.take(2, name)?.get_u16()),
            "int32" => Value::from(self.take(4, name)?.get_i32()),
            "uint32" => Value::from(self.take(4, name)?.get_u32()),
            "int64" => Value::from(self.take(8, name)?.get_i64()),
            "float64" => float(self.take(8, name)?.get_f64()),
            "uuid" => {
                let mut id = [0; 16];
                self.take(16, name)?.copy_to_slice(&mut id);
                Value::from(Uuid::from_bytes(id).to_string())
            }
            text_or_bytes => {
                let prefix = if text_or_bytes == "string" { 2 } else { 4 };
                let Some(length) = self.length(field, prefix)? else {
                    return self.null(field);
                };
                let bytes = self.take(length, name)?;
                if text_or_bytes == "string" {
                    Value::from(String::from_utf8_lossy(&bytes))
                } else {
                    Value::from(base64::encode(&bytes))
                }
            }
        })
    }

    fn null(&self, field: &FieldSpec) -> Result<Value, JsonError> {
        if self.context.nullable(field) { Ok(Value::Null) } else { Err(JsonError::UnexpectedNull(field.name.clone())) }
    }

    /// A length field of `prefix` bytes where it is not compact; `None` is null.
    fn length(&mut self, field: &FieldSpec, prefix: usize) -> Result<Option<usize>, JsonError> {
        if self.context.compact(field) {
            return Ok((self.uvarint()? as usize).checked_sub(1));
        }
        let length = self.take(prefix, &field.name)?.get_int(prefix);
        Ok(usize::try_from(length).ok())
    }

    fn uvarint(&mut self) -> Result<u32, JsonError> {
        let mut value = 0;
        for shift in [0, 7, 14, 21, 28] {
            let byte = self.take(1, "varint")?.get_u8();
            value |= u32::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(JsonError::VarintTooLong)
    }

    fn take(&mut self, size: usize, field: &str) -> Result<Bytes, JsonError> {
        if self.input.len() < size {
            return Err(JsonError::CutOff(field.to_owned()));
        }
        Ok(self.input.split_to(size))
    }
}

/// Java's names for what JSON has no number for.
fn float(number: f64) -> Value {
    if number.is_finite() {
        Value::from(number)
    } else if number.is_nan() {
        Value::from("NaN")
    } else {
        Value::from(if number > 0.0 { "Infinity" } else { "-Infinity" })
    }
}
