//! Random values of every message, as JSON, from the schemas.

use protocol::Uuid;
use protocol::schema::{FieldSpec, MessageSpec, Type, contains};
use serde_json::{Map, Value};

/// A small generator of random numbers (xorshift64*): the same values for the same seed.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed | 1)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    /// A number below `limit`.
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        (self.next() >> 11) % limit
    }

    fn number(&mut self) -> i64 {
        match self.below(6) {
            0 => 0,
            1 => -1,
            2 => self.below(200).cast_signed(),
            3 => i64::MAX,
            4 => i64::MIN,
            _ => self.next().cast_signed(),
        }
    }

    fn length(&mut self) -> u64 {
        if self.below(40) == 0 { 100 + self.below(200) } else { self.below(12) }
    }

    pub(crate) fn text(&mut self) -> String {
        const LETTERS: [char; 8] = ['a', 'Z', '0', '"', '\n', 'ß', '水', '🦀'];
        (0..self.length()).map(|_| LETTERS[self.below(8) as usize]).collect()
    }

    /// Base64 of random bytes.
    fn bytes(&mut self) -> String {
        const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let mut text: String = (0..self.length() * 4).map(|_| char::from(DIGITS[self.below(64) as usize])).collect();
        match self.below(3) {
            0 => text.push_str("QQ=="),
            1 => text.push_str("QUI="),
            _ => {}
        }
        text
    }
}

/// Makes the values of one message in one version.
pub(crate) struct Values<'a> {
    pub(crate) message: &'a MessageSpec,
    pub(crate) version: i16,
    pub(crate) random: &'a mut Random,
}

impl Values<'_> {
    pub(crate) fn message(&mut self) -> Value {
        let message = self.message;
        self.structure(&message.fields)
    }

    fn structure(&mut self, fields: &[FieldSpec]) -> Value {
        let mut object = Map::new();
        let version = self.version;
        for field in fields.iter().filter(|field| contains(&field.versions, version)) {
            let tagged = field.tag_in(self.version).is_some() && contains(&self.message.flexible, self.version);
            if tagged && self.random.below(2) == 0 {
                continue;
            }
            let name = field.name[..1].to_ascii_lowercase() + &field.name[1..];
            let value = self.field(field);
            object.insert(name, value);
        }
        Value::Object(object)
    }

    fn field(&mut self, field: &FieldSpec) -> Value {
        if contains(&field.nullable, self.version) && self.random.below(4) == 0 {
            return Value::Null;
        }
        self.value(field, &field.ty)
    }

    fn value(&mut self, field: &FieldSpec, ty: &Type) -> Value {
        match ty {
            Type::Array(element) => {
                let count = self.random.below(4);
                Value::Array((0..count).map(|_| self.value(field, element)).collect())
            }
            Type::Struct(name) => {
                let message = self.message;
                let shared = || message.structs.iter().find(|known| known.name == *name).expect("a known structure");
                self.structure(if field.fields.is_empty() { &shared().fields } else { &field.fields })
            }
            Type::Primitive(ty) => self.primitive(ty),
        }
    }

    fn primitive(&mut self, ty: &str) -> Value {
        let number = self.random.number();
        match ty {
            "bool" => Value::from(number & 1 == 0),
            "int8" => Value::from(number as i8),
            "int16" => Value::from(number as i16),
            "uint16" => Value::from(number as u16),
            "int32" => Value::from(number as i32),
            "uint32" => Value::from(number as u32),
            "int64" => Value::from(number),
            "float64" => Value::from((number >> 20) as f64 / 4.0),
            "string" => Value::from(self.random.text()),
            "uuid" => {
                let halves = [number.to_be_bytes(), self.random.number().to_be_bytes()].concat();
                Value::from(Uuid::from_bytes(halves.try_into().expect("two times 8 bytes")).to_string())
            }
            "bytes" | "records" => Value::from(self.random.bytes()),
            other => panic!("unknown type {other}"),
        }
    }
}
