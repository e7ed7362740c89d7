//! Messages -> structures with `decode` and `encode`.
//! The rules are those of Kafka's `org.apache.kafka.message.MessageDataGenerator`.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::ops::RangeInclusive;

use super::schema::{FieldSpec, MessageSpec, Type, Versions, contains};

/// The source of all messages, one module each, and the table of them.
pub(crate) fn generate(messages: &[MessageSpec]) -> String {
    let mut out = String::new();
    let mut table = String::new();
    for message in messages {
        Message::new(message).generate(&mut out);
        let _ = writeln!(
            table,
            "    MessageEntry {{ kind: {:?}, name: {:?}, versions: {}..={}, recode: recode::<{}> }},",
            message.kind,
            message.name,
            message.versions.start(),
            message.versions.end(),
            message.name
        );
    }
    let _ = writeln!(
        out,
        "/// Every message, for tests and tools that go over all of them.\npub const ALL: [MessageEntry; {}] = [\n{table}];",
        messages.len()
    );
    out
}

struct Message<'a> {
    spec: &'a MessageSpec,
    structs: HashMap<&'a str, &'a [FieldSpec]>,
}

fn snake(name: &str) -> String {
    let letters: Vec<char> = name.chars().collect();
    let mut out = String::new();
    for (at, letter) in letters.iter().enumerate() {
        let boundary = at > 0
            && letter.is_uppercase()
            && (letters[at - 1].is_lowercase()
                || letters[at - 1].is_ascii_digit()
                || (letters.get(at + 1).is_some_and(|next| next.is_lowercase()) && letters[at - 1] != '_'));
        if boundary {
            out.push('_');
        }
        out.extend(letter.to_lowercase());
    }
    if matches!(out.as_str(), "type" | "match") { out + "_" } else { out }
}

/// A Rust condition for `versions` among the message's own, or `None` where it always holds.
fn condition(versions: &Versions, all: &RangeInclusive<i16>) -> Option<String> {
    let Some(range) = versions else {
        return Some("false".to_owned());
    };
    let (first, last) = (*range.start(), *range.end());
    if last < *all.start() || first > *all.end() {
        return Some("false".to_owned());
    }
    match (first <= *all.start(), last >= *all.end()) {
        (true, true) => None,
        (false, true) => Some(format!("version >= {first}")),
        (true, false) => Some(format!("version <= {last}")),
        (false, false) if first == last => Some(format!("version == {first}")),
        (false, false) => Some(format!("({first}..={last}).contains(&version)")),
    }
}

impl<'a> Message<'a> {
    fn new(spec: &'a MessageSpec) -> Self {
        let mut structs = HashMap::new();
        for shared in &spec.structs {
            structs.insert(shared.name.as_str(), shared.fields.as_slice());
            collect_structs(&shared.fields, &mut structs);
        }
        collect_structs(&spec.fields, &mut structs);
        Self { spec, structs }
    }

    fn generate(&self, out: &mut String) {
        let spec = self.spec;
        let module = snake(&spec.name);
        let _ =
            writeln!(out, "/// `{}` and its structures.\npub mod {module} {{\n    use super::prelude::*;\n", spec.name);
        self.structure(out, &spec.name, &spec.fields);
        let mut names: Vec<&&str> = self.structs.keys().collect();
        names.sort();
        for name in names {
            self.structure(out, name, self.structs[*name]);
        }
        self.message_impl(out);
        let _ = writeln!(out, "}}\npub use {module}::{};", spec.name);
    }

    fn message_impl(&self, out: &mut String) {
        let spec = self.spec;
        let (name, first, last) = (&spec.name, spec.versions.start(), spec.versions.end());
        let _ = writeln!(
            out,
            "    impl Message for {name} {{
        const NAME: &'static str = {name:?};
        const MIN_VERSION: i16 = {first};
        const MAX_VERSION: i16 = {last};
        fn decode(r: &mut Reader, version: i16) -> Result<Self, DecodeError> {{
            check_decode::<Self>(version)?;
            Self::read(r, version)
        }}
        fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {{
            check_encode::<Self>(version)?;
            self.write(w, version)
        }}{}
    }}",
            if spec.kind == "response" { self.throttle_fns() } else { "" }
        );
        if spec.kind == "request" {
            let base = name.trim_end_matches("Request");
            let _ = writeln!(
                out,
                "    impl Request for {name} {{
        const API_KEY: ApiKey = ApiKey::{base};
        type Response = super::{base}Response;
    }}"
            );
        } else if let (Some(key), true) = (spec.api_key, spec.kind != "response") {
            let _ = writeln!(
                out,
                "    impl {name} {{
        /// The record's type in its log.
        pub const API_KEY_CODE: i16 = {key};
    }}"
            );
        }
    }

    /// Access to the field that tells a client for how long it is muted, where the response has it.
    fn throttle_fns(&self) -> &'static str {
        if !self.spec.fields.iter().any(|field| field.name == "ThrottleTimeMs") {
            return "";
        }
        "
        fn throttle_time_ms(&self) -> i32 {
            self.throttle_time_ms
        }
        fn set_throttle_time_ms(&mut self, throttle_time_ms: i32) {
            self.throttle_time_ms = throttle_time_ms;
        }"
    }

    fn is_flexible_ever(&self) -> bool {
        self.spec.flexible.as_ref().is_some_and(|range| range.start() <= self.spec.versions.end())
    }

    fn rust_type(&self, ty: &Type) -> String {
        match ty {
            Type::Primitive(name) => match name.as_str() {
                "bool" => "bool",
                "int8" => "i8",
                "int16" => "i16",
                "uint16" => "u16",
                "int32" => "i32",
                "uint32" => "u32",
                "int64" => "i64",
                "float64" => "f64",
                "string" => "String",
                "bytes" => "Bytes",
                "records" => "Records",
                "uuid" => "Uuid",
                other => panic!("unknown type {other}"),
            }
            .to_owned(),
            Type::Struct(name) => name.clone(),
            Type::Array(element) => format!("Vec<{}>", self.rust_type(element)),
        }
    }

    fn is_option(field: &FieldSpec) -> bool {
        field.nullable.is_some() && field.ty != Type::Primitive("records".to_owned())
    }

    fn default(&self, field: &FieldSpec) -> String {
        let value = match (&field.ty, field.default.as_deref()) {
            _ if field.defaults_to_null() => {
                return if Self::is_option(field) { "None" } else { "Records::Null" }.to_owned();
            }
            (Type::Primitive(name), Some(value)) if name == "string" => {
                format!("{}.to_owned()", quoted(value))
            }
            (Type::Primitive(name), None) if name == "string" => "String::new()".to_owned(),
            (Type::Primitive(name), Some(value)) if name != "uuid" && name != "bytes" => value.to_owned(),
            (Type::Primitive(name), None) if name == "bool" => "false".to_owned(),
            (Type::Primitive(name), None) if name == "float64" => "0.0".to_owned(),
            (Type::Primitive(name), None) if name.contains("int") => "0".to_owned(),
            (Type::Array(_), _) => "Vec::new()".to_owned(),
            (Type::Primitive(name), _) if name == "records" => return "Records::Null".to_owned(),
            _ => "Default::default()".to_owned(),
        };
        if Self::is_option(field) { format!("Some({value})") } else { value }
    }

    /// An expression that tells whether `self.field` differs from its default.
    fn is_set(&self, field: &FieldSpec) -> String {
        let name = format!("self.{}", snake(&field.name));
        let option = Self::is_option(field);
        if field.defaults_to_null() {
            return if option { format!("{name}.is_some()") } else { format!("{name} != Records::Null") };
        }
        match (&field.ty, option) {
            (Type::Array(_), false) => format!("!{name}.is_empty()"),
            (Type::Array(_), true) => {
                format!("{name}.as_ref().is_none_or(|value| !value.is_empty())")
            }
            (Type::Primitive(ty), false) if ty == "bytes" => format!("!{name}.is_empty()"),
            (Type::Primitive(ty), true) if ty == "bytes" => {
                format!("{name}.as_ref().is_none_or(|value| !value.is_empty())")
            }
            (Type::Primitive(ty), false) if ty == "string" => {
                format!("{name} != {}", quoted(field.default.as_deref().unwrap_or("\"\"")))
            }
            (Type::Primitive(ty), true) if ty == "string" => {
                format!("{name}.as_deref() != Some({})", quoted(field.default.as_deref().unwrap_or("\"\"")))
            }
            (Type::Primitive(ty), _) if ty == "records" => format!("{name} != Records::Null"),
            (Type::Primitive(ty), false) if ty == "bool" => match field.default.as_deref() {
                Some("true") => format!("!{name}"),
                _ => name,
            },
            (Type::Primitive(ty), false) if ty == "uuid" => format!("{name} != Uuid::ZERO"),
            (Type::Struct(ty), false) => format!("{name} != {ty}::default()"),
            _ => format!("{name} != {}", self.default(field)),
        }
    }

    fn structure(&self, out: &mut String, name: &str, fields: &[FieldSpec]) {
        let _ = writeln!(
            out,
            "    /// `{name}` of `{}`.\n    #[derive(Debug, Clone, PartialEq)]\n    pub struct {name} {{",
            self.spec.name
        );
        for field in fields {
            let ty = self.rust_type(&field.ty);
            let ty = if Self::is_option(field) { format!("Option<{ty}>") } else { ty };
            let _ = writeln!(
                out,
                "        /// `{}`, versions {}.\n        pub {}: {ty},",
                field.name,
                shown(&field.versions),
                snake(&field.name)
            );
        }
        if self.is_flexible_ever() {
            let _ = writeln!(
                out,
                "        /// Tagged fields that the schema does not name.\n        pub unknown_tagged_fields: Vec<RawTaggedField>,"
            );
        }
        let _ = writeln!(
            out,
            "    }}\n    #[allow(clippy::derivable_impls, reason = \"generated\")]\n    impl Default for {name} {{\n        fn default() -> Self {{\n            Self {{"
        );
        for field in fields {
            let _ = writeln!(out, "                {}: {},", snake(&field.name), self.default(field));
        }
        if self.is_flexible_ever() {
            out.push_str("                unknown_tagged_fields: Vec::new(),\n");
        }
        let _ = writeln!(out, "            }}\n        }}\n    }}\n    impl {name} {{");
        self.read_fn(out, fields);
        self.write_fn(out, fields);
        out.push_str("    }\n");
    }

    fn flexible_expression(&self, field: &FieldSpec) -> String {
        if field.never_flexible || !self.is_flexible_ever() {
            return "false".to_owned();
        }
        match condition(&self.spec.flexible, &self.spec.versions) {
            None => "true".to_owned(),
            Some(_) => "flexible".to_owned(),
        }
    }

    fn flexible_let(&self) -> String {
        match condition(&self.spec.flexible, &self.spec.versions) {
            Some(condition) if self.is_flexible_ever() => {
                format!("            let flexible = {condition};\n")
            }
            _ => String::new(),
        }
    }

    fn read_fn(&self, out: &mut String, fields: &[FieldSpec]) {
        out.push_str("        #[allow(unused, clippy::all, reason = \"generated for every shape of structure\")]\n        pub(super) fn read(r: &mut Reader, version: i16) -> Result<Self, DecodeError> {\n");
        out.push_str(&self.flexible_let());
        out.push_str("            let mut it = Self::default();\n");
        for field in fields {
            let inline = untagged(field);
            if inline.is_none() {
                continue;
            }
            let read = format!("it.{} = {};", snake(&field.name), self.read_expression(field));
            match condition(&inline, &self.spec.versions) {
                None => {
                    let _ = writeln!(out, "            {read}");
                }
                Some(condition) => {
                    let _ = writeln!(out, "            if {condition} {{ {read} }}");
                }
            }
        }
        if self.is_flexible_ever() {
            self.read_tags(out, fields);
        }
        out.push_str("            Ok(it)\n        }\n");
    }

    fn read_tags(&self, out: &mut String, fields: &[FieldSpec]) {
        let mut arms = String::new();
        for field in fields {
            if let Some((tag, range)) = &field.tag {
                let guard = condition(&Some(range.clone()), &self.spec.versions)
                    .map_or(String::new(), |text| format!(" if {text}"));
                let _ = writeln!(
                    arms,
                    "                {tag}{guard} => {{ it.{} = {}; Ok(true) }}",
                    snake(&field.name),
                    self.read_expression(field)
                );
            }
        }
        let body = format!(
            "let unknown = r.tagged_fields(|tag, r| match tag {{\n{arms}                _ => Ok(false),\n            }})?;\n            it.unknown_tagged_fields = unknown;"
        );
        match condition(&self.spec.flexible, &self.spec.versions) {
            None => {
                let _ = writeln!(out, "            {body}");
            }
            Some(_) => {
                let _ = writeln!(out, "            if flexible {{ {body} }}");
            }
        }
    }

    fn read_expression(&self, field: &FieldSpec) -> String {
        let flexible = self.flexible_expression(field);
        let name = &field.name;
        if !Self::is_option(field) {
            return self.read_value(&field.ty, &flexible, name);
        }
        let nullable = self.read_nullable(field, &flexible);
        match condition(&field.nullable, &self.spec.versions) {
            None => nullable,
            Some(condition) => format!(
                "if {condition} {{ {nullable} }} else {{ Some({}) }}",
                self.read_value(&field.ty, &flexible, name)
            ),
        }
    }

    fn read_nullable(&self, field: &FieldSpec, flexible: &str) -> String {
        match &field.ty {
            Type::Primitive(ty) if ty == "string" => format!("r.nullable_string({flexible})?"),
            Type::Primitive(ty) if ty == "bytes" => format!("r.nullable_bytes({flexible})?"),
            // Kafka marks a null structure by another number where it is tagged.
            Type::Struct(ty) if field.tag.is_some() => {
                format!("if r.uvarint()? == 0 {{ None }} else {{ Some({ty}::read(r, version)?) }}")
            }
            Type::Struct(ty) => {
                format!("if r.i8()? < 0 {{ None }} else {{ Some({ty}::read(r, version)?) }}")
            }
            Type::Array(element) => format!(
                "r.nullable_array({flexible}, {}, |r| Ok({}))?",
                self.smallest(element, &mut Vec::new()),
                self.read_value(element, flexible, &field.name)
            ),
            Type::Primitive(other) => panic!("nullable {other}"),
        }
    }

    fn read_value(&self, ty: &Type, flexible: &str, name: &str) -> String {
        match ty {
            Type::Primitive(ty) => match ty.as_str() {
                "int8" => "r.i8()?".to_owned(),
                "int16" => "r.i16()?".to_owned(),
                "uint16" => "r.u16()?".to_owned(),
                "int32" => "r.i32()?".to_owned(),
                "uint32" => "r.u32()?".to_owned(),
                "int64" => "r.i64()?".to_owned(),
                "float64" => "r.f64()?".to_owned(),
                "records" => format!("r.records({flexible})?"),
                "string" | "bytes" => format!("r.{ty}({flexible}, {name:?})?"),
                other => format!("r.{other}()?"),
            },
            Type::Struct(ty) => format!("{ty}::read(r, version)?"),
            Type::Array(element) => format!(
                "r.array({flexible}, {}, {name:?}, |r| Ok({}))?",
                self.smallest(element, &mut Vec::new()),
                self.read_value(element, flexible, name)
            ),
        }
    }

    /// The least number of bytes that a value of `ty` takes on the wire in any version.
    fn smallest(&self, ty: &Type, seen: &mut Vec<String>) -> usize {
        match ty {
            Type::Primitive(name) => match name.as_str() {
                "int16" | "uint16" => 2,
                "int32" | "uint32" => 4,
                "int64" | "float64" => 8,
                "uuid" => 16,
                _ => 1,
            },
            Type::Array(_) => 1,
            Type::Struct(name) => {
                if seen.contains(name) {
                    return 1;
                }
                seen.push(name.clone());
                let fields = self.structs[name.as_str()];
                let size = |version: i16, seen: &mut Vec<String>| -> usize {
                    fields
                        .iter()
                        .filter(|field| field.tag_in(version).is_none() && contains(&field.versions, version))
                        .map(|field| if Self::is_option(field) { 1 } else { self.smallest(&field.ty, seen) })
                        .sum()
                };
                let least = self
                    .spec
                    .versions
                    .clone()
                    .map(|version| size(version, &mut seen.clone()))
                    .filter(|size| *size > 0)
                    .min();
                least.unwrap_or(1).max(1)
            }
        }
    }

    fn write_fn(&self, out: &mut String, fields: &[FieldSpec]) {
        out.push_str("        #[allow(unused, clippy::all, reason = \"generated for every shape of structure\")]\n        pub(super) fn write(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {\n");
        out.push_str(&self.flexible_let());
        for field in fields {
            self.write_field(out, field);
        }
        if self.is_flexible_ever() {
            self.write_tags(out, fields);
        }
        out.push_str("            Ok(())\n        }\n");
    }

    fn write_field(&self, out: &mut String, field: &FieldSpec) {
        let refuse = format!(
            "if {} {{ return Err(EncodeError::UnsupportedField {{ field: {:?}, version }}); }}",
            self.is_set(field),
            field.name
        );
        let absent = condition(&field.versions, &self.spec.versions);
        let inline = untagged(field);
        if inline.is_some() {
            let write = self.write_statement(field);
            match condition(&inline, &self.spec.versions) {
                None => {
                    let _ = writeln!(out, "            {write}");
                }
                Some(condition) => {
                    let _ = writeln!(out, "            if {condition} {{ {write} }}");
                }
            }
        }
        if let (Some(condition), false) = (absent, field.ignorable) {
            let _ = writeln!(out, "            if !({condition}) {{ {refuse} }}");
        }
    }

    fn write_tags(&self, out: &mut String, fields: &[FieldSpec]) {
        let mut tagged: Vec<&FieldSpec> = fields.iter().filter(|field| field.tag.is_some()).collect();
        tagged.sort_by_key(|field| field.tag.as_ref().map(|(tag, _)| *tag));
        let mut body = "let mut known = Vec::new();\n".to_owned();
        for field in tagged {
            let Some((tag, range)) = &field.tag else {
                continue;
            };
            let version = condition(&Some(range.clone()), &self.spec.versions)
                .map_or(String::new(), |text| format!("{text} && "));
            let _ = writeln!(
                body,
                "                if {version}({}) {{ let mut inner = Writer::default(); {{ let w = &mut inner; {} }} known.push(({tag}, inner)); }}",
                self.is_set(field),
                self.write_statement(field)
            );
        }
        body.push_str("                w.put_tagged_fields(known, &self.unknown_tagged_fields);");
        if fields.iter().all(|field| field.tag.is_none()) {
            body = "w.put_tagged_fields(Vec::new(), &self.unknown_tagged_fields);".to_owned();
        }
        match condition(&self.spec.flexible, &self.spec.versions) {
            None => {
                let _ = writeln!(out, "            {body}");
            }
            Some(_) => {
                let _ = writeln!(
                    out,
                    "            if flexible {{ {body} }} else if !self.unknown_tagged_fields.is_empty() {{ return Err(EncodeError::UnsupportedField {{ field: \"_tagged_fields\", version }}); }}"
                );
            }
        }
    }

    fn write_statement(&self, field: &FieldSpec) -> String {
        let flexible = self.flexible_expression(field);
        let place = format!("self.{}", snake(&field.name));
        if !Self::is_option(field) {
            return self.write_value(&field.ty, &flexible, &Place::owned(&place));
        }
        let some = self.write_value(&field.ty, &flexible, &Place::reference("value"));
        let (marker, null) = match &field.ty {
            Type::Primitive(ty) if ty == "string" => {
                (String::new(), format!("w.put_nullable_string(None, {flexible})?;"))
            }
            Type::Primitive(_) => (String::new(), format!("w.put_nullable_bytes(None, {flexible})?;")),
            Type::Struct(_) if field.tag.is_some() => ("w.put_uvarint(1); ".to_owned(), "w.put_uvarint(0);".to_owned()),
            Type::Struct(_) => ("w.put_i8(1); ".to_owned(), "w.put_i8(-1);".to_owned()),
            Type::Array(_) => (String::new(), format!("w.put_null_array({flexible});")),
        };
        let refuse = format!("return Err(EncodeError::UnexpectedNull({:?}));", field.name);
        let (marker, null) = match condition(&field.nullable, &self.spec.versions) {
            None => (marker, null),
            Some(condition) => (
                if marker.is_empty() { marker } else { format!("if {condition} {{ {marker} }} ") },
                format!("if {condition} {{ {null} }} else {{ {refuse} }}"),
            ),
        };
        format!("match &{place} {{ Some(value) => {{ {marker}{some} }} None => {{ {null} }} }}")
    }

    fn write_value(&self, ty: &Type, flexible: &str, place: &Place) -> String {
        let (value, reference) = (&place.value, &place.reference);
        match ty {
            Type::Primitive(ty) => match ty.as_str() {
                "int8" => format!("w.put_i8({value});"),
                "int16" => format!("w.put_i16({value});"),
                "uint16" => format!("w.put_u16({value});"),
                "int32" => format!("w.put_i32({value});"),
                "uint32" => format!("w.put_u32({value});"),
                "int64" => format!("w.put_i64({value});"),
                "float64" => format!("w.put_f64({value});"),
                "string" => format!("w.put_string({reference}, {flexible})?;"),
                "bytes" => format!("w.put_nullable_bytes(Some({reference}), {flexible})?;"),
                "records" => format!("w.put_records({reference}, {flexible})?;"),
                other => format!("w.put_{other}({value});"),
            },
            Type::Struct(_) => format!("({reference}).write(w, version)?;"),
            Type::Array(element) => format!(
                "w.put_array_length(({reference}).len(), {flexible})?; for item in {reference} {{ {} }}",
                self.write_value(element, flexible, &Place::reference("item"))
            ),
        }
    }
}

/// How to name a value in generated code: by value, and by reference.
struct Place {
    value: String,
    reference: String,
}

impl Place {
    fn owned(place: &str) -> Self {
        Self { value: place.to_owned(), reference: format!("&{place}") }
    }

    fn reference(name: &str) -> Self {
        Self { value: format!("*{name}"), reference: name.to_owned() }
    }
}

fn collect_structs<'a>(fields: &'a [FieldSpec], structs: &mut HashMap<&'a str, &'a [FieldSpec]>) {
    for field in fields {
        if let (Some(name), false) = (field.ty.struct_name(), field.fields.is_empty()) {
            structs.insert(name, &field.fields);
            collect_structs(&field.fields, structs);
        }
    }
}

/// The versions in which `field` stands in line with the others.
fn untagged(field: &FieldSpec) -> Versions {
    let versions = field.versions.clone()?;
    let Some((_, tagged)) = &field.tag else {
        return Some(versions);
    };
    (versions.start() < tagged.start()).then(|| *versions.start()..=(*tagged.start() - 1).min(*versions.end()))
}

fn quoted(value: &str) -> String {
    if value.starts_with('"') { value.to_owned() } else { format!("{value:?}") }
}

fn shown(versions: &Versions) -> String {
    match versions {
        None => "none".to_owned(),
        Some(range) if *range.end() == i16::MAX => format!("{}+", range.start()),
        Some(range) => format!("{}-{}", range.start(), range.end()),
    }
}
