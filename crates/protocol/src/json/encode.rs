//! JSON to bytes.

use bytes::{BufMut, Bytes};
use serde_json::Value;

use super::{Context, JsonError, base64, json_name};
use crate::Uuid;
use crate::schema::{FieldSpec, Type};

pub(super) fn message(context: &Context, value: &Value) -> Result<Bytes, JsonError> {
    let mut encoder = Encoder { context, out: Vec::new() };
    encoder.structure(&context.message.name, &context.message.fields, value)?;
    Ok(Bytes::from(encoder.out))
}

struct Encoder<'a> {
    context: &'a Context,
    out: Vec<u8>,
}

impl Encoder<'_> {
    fn structure(&mut self, name: &str, fields: &'static [FieldSpec], value: &Value) -> Result<(), JsonError> {
        let object = value.as_object().ok_or_else(|| wrong(name, "a JSON object"))?;
        let context = self.context;
        let mut tagged: Vec<(u32, &'static FieldSpec, &Value)> = Vec::new();
        for field in context.present(fields) {
            let value = object.get(&json_name(field));
            match (context.tag(field), value) {
                (Some(tag), Some(value)) => tagged.push((tag, field, value)),
                (Some(_), None) => {}
                (None, Some(value)) => self.value(field, &field.ty, value)?,
                (None, None) => {
                    return Err(JsonError::MissingField {
                        message: name.to_owned(),
                        field: json_name(field),
                        version: context.version,
                    });
                }
            }
        }
        if context.flexible {
            tagged.retain(|(_, field, value)| context.default(field) != **value);
            tagged.sort_by_key(|(tag, ..)| *tag);
            self.length_or_tag(tagged.len())?;
            for (tag, field, value) in tagged {
                self.tagged_field(tag, field, value)?;
            }
        }
        Ok(())
    }

    fn tagged_field(&mut self, tag: u32, field: &'static FieldSpec, value: &Value) -> Result<(), JsonError> {
        let mut inner = Encoder { context: self.context, out: Vec::new() };
        inner.value(field, &field.ty, value)?;
        self.uvarint(tag);
        self.length_or_tag(inner.out.len())?;
        self.out.extend_from_slice(&inner.out);
        Ok(())
    }

    fn value(&mut self, field: &'static FieldSpec, ty: &'static Type, value: &Value) -> Result<(), JsonError> {
        match ty {
            Type::Primitive(ty) => self.primitive(field, ty, value),
            Type::Struct(name) => {
                let is_element = matches!(field.ty, Type::Array(_));
                if !is_element && self.context.nullable(field) {
                    let null = if self.context.tag(field).is_some() { 0 } else { -1 };
                    self.out.put_i8(if value.is_null() { null } else { 1 });
                    if value.is_null() {
                        return Ok(());
                    }
                }
                self.structure(name, self.context.fields_of(name, field), value)
            }
            Type::Array(element) => {
                if value.is_null() {
                    return self.null(field, 4);
                }
                let elements = value.as_array().ok_or_else(|| wrong(&field.name, "a JSON array"))?;
                self.length(field, 4, elements.len())?;
                elements.iter().try_for_each(|value| self.value(field, element, value))
            }
        }
    }

    fn primitive(&mut self, field: &'static FieldSpec, ty: &str, value: &Value) -> Result<(), JsonError> {
        let name = &field.name;
        match ty {
            "bool" => self.out.put_u8(value.as_bool().ok_or_else(|| wrong(name, "true or false"))?.into()),
            "int8" => self.out.put_i8(number(field, value)?),
            "int16" => self.out.put_i16(number(field, value)?),
            "uint16" => self.out.put_u16(number(field, value)?),
            "int32" => self.out.put_i32(number(field, value)?),
            "uint32" => self.out.put_u32(number(field, value)?),
            "int64" => self.out.put_i64(number(field, value)?),
            "float64" => self.out.put_f64(value.as_f64().ok_or_else(|| wrong(name, "a number"))?),
            "uuid" => {
                let id: Option<Uuid> = value.as_str().and_then(|text| text.parse().ok());
                self.out.extend_from_slice(id.ok_or_else(|| wrong(name, "a uuid"))?.as_bytes());
            }
            "string" => {
                let Some(text) = value.as_str() else {
                    return self.null_or_wrong(field, value, 2);
                };
                self.length(field, 2, text.len())?;
                self.out.extend_from_slice(text.as_bytes());
            }
            _ => {
                let Some(text) = value.as_str() else {
                    return self.null_or_wrong(field, value, 4);
                };
                let bytes = base64::decode(text).ok_or_else(|| wrong(name, "base64"))?;
                self.length(field, 4, bytes.len())?;
                self.out.extend_from_slice(&bytes);
            }
        }
        Ok(())
    }

    fn null_or_wrong(&mut self, field: &FieldSpec, value: &Value, prefix: usize) -> Result<(), JsonError> {
        if value.is_null() { self.null(field, prefix) } else { Err(wrong(&field.name, "a string")) }
    }

    fn null(&mut self, field: &FieldSpec, prefix: usize) -> Result<(), JsonError> {
        if !self.context.nullable(field) {
            return Err(JsonError::UnexpectedNull(field.name.clone()));
        }
        if self.context.compact(field) {
            self.uvarint(0);
        } else {
            self.out.put_int(-1, prefix);
        }
        Ok(())
    }

    fn length(&mut self, field: &FieldSpec, prefix: usize, length: usize) -> Result<(), JsonError> {
        if self.context.compact(field) {
            return self.length_or_tag(length + 1);
        }
        let limit = if prefix == 2 { i16::MAX.unsigned_abs().into() } else { i32::MAX.unsigned_abs() };
        match u32::try_from(length) {
            Ok(length) if length <= limit => self.out.put_int(i64::from(length), prefix),
            _ => return Err(wrong(&field.name, "fewer elements or bytes")),
        }
        Ok(())
    }

    fn length_or_tag(&mut self, length: usize) -> Result<(), JsonError> {
        self.uvarint(u32::try_from(length).map_err(|_| wrong("length", "fewer elements or bytes"))?);
        Ok(())
    }

    fn uvarint(&mut self, value: u32) {
        let mut rest = value;
        while rest >= 0x80 {
            self.out.push((rest as u8) | 0x80);
            rest >>= 7;
        }
        self.out.push(rest as u8);
    }
}

fn number<T: TryFrom<i64>>(field: &FieldSpec, value: &Value) -> Result<T, JsonError> {
    let expected = || wrong(&field.name, "a number in the range of its type");
    T::try_from(value.as_i64().ok_or_else(expected)?).map_err(|_| expected())
}

fn wrong(field: &str, expected: &str) -> JsonError {
    JsonError::WrongType { field: field.to_owned(), expected: expected.to_owned() }
}
