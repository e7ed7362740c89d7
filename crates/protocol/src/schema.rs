//! Reads `schema/*.schema`: the protocol as data, one message a block, one field a line.
//! Shared by the build script, which generates the codecs, and by `json`, which interprets the same text at run time.

use std::ops::RangeInclusive;

/// A set of versions; `None` is the empty set. Open ends are cut to `i16::MAX`.
pub type Versions = Option<RangeInclusive<i16>>;

/// One message, header or record of the protocol.
#[derive(Debug, Clone)]
pub struct MessageSpec {
    /// `request`, `response`, `header`, `data`, `metadata`, `coordinator-key` or `coordinator-value`.
    pub kind: String,
    /// Kafka's name of the message.
    pub name: String,
    /// API key or record type.
    pub api_key: Option<i16>,
    /// Versions that exist.
    pub versions: RangeInclusive<i16>,
    /// Versions with compact lengths and tagged fields.
    pub flexible: Versions,
    /// Listeners that serve the request.
    pub listeners: Vec<String>,
    /// The newest version is not advertised.
    pub latest_unstable: bool,
    /// Fields in wire order.
    pub fields: Vec<FieldSpec>,
    /// Structures that several fields share.
    pub structs: Vec<StructSpec>,
}

/// A structure, shared or written below the field that holds it.
#[derive(Debug, Clone)]
pub struct StructSpec {
    /// Kafka's name of the structure.
    pub name: String,
    /// Fields in wire order.
    pub fields: Vec<FieldSpec>,
}

/// One field.
#[derive(Debug, Clone)]
pub struct FieldSpec {
    /// Kafka's name of the field.
    pub name: String,
    /// Its type.
    pub ty: Type,
    /// Versions that have the field, tagged or not.
    pub versions: Versions,
    /// Versions in which null is a value.
    pub nullable: Versions,
    /// Default value as written.
    pub default: Option<String>,
    /// Tag, and the versions in which the field is tagged.
    pub tag: Option<(u32, RangeInclusive<i16>)>,
    /// May be dropped silently in a version that lacks it.
    pub ignorable: bool,
    /// The field overrides the message's flexible versions with none.
    pub never_flexible: bool,
    /// Fields of the structure written below this field.
    pub fields: Vec<FieldSpec>,
}

/// The type of a field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Type {
    /// A number, string, uuid, bytes or records.
    Primitive(String),
    /// A structure by name.
    Struct(String),
    /// An array.
    Array(Box<Type>),
}

const PRIMITIVES: [&str; 13] = [
    "bool", "int8", "int16", "uint16", "int32", "uint32", "int64", "float64", "string", "bytes", "records", "uuid",
    "varint",
];

impl Type {
    fn parse(text: &str) -> Self {
        if let Some(element) = text.strip_prefix("[]") {
            Self::Array(Box::new(Self::parse(element)))
        } else if PRIMITIVES.contains(&text) {
            Self::Primitive(text.to_owned())
        } else {
            Self::Struct(text.to_owned())
        }
    }

    /// The structure's name, where this is a structure or an array of one.
    #[must_use]
    pub fn struct_name(&self) -> Option<&str> {
        match self {
            Self::Primitive(_) => None,
            Self::Struct(name) => Some(name),
            Self::Array(element) => element.struct_name(),
        }
    }
}

/// Whether `version` is one of `versions`.
#[must_use]
pub fn contains(versions: &Versions, version: i16) -> bool {
    versions.as_ref().is_some_and(|range| range.contains(&version))
}

fn parse_versions(text: &str) -> Versions {
    if text == "none" || text == "-" {
        return None;
    }
    let number = |digits: &str| digits.parse::<i16>().unwrap_or_else(|_| panic!("bad versions {text}"));
    Some(if let Some(first) = text.strip_suffix('+') {
        number(first)..=i16::MAX
    } else if let Some((first, last)) = text.split_once('-') {
        number(first)..=number(last)
    } else {
        number(text)..=number(text)
    })
}

/// Parses the text of one schema file.
///
/// # Panics
/// On text that is not a schema: it is part of this crate, so that is a build error.
#[must_use]
pub fn parse(text: &str) -> Vec<MessageSpec> {
    let lines: Vec<(usize, &str)> = text
        .lines()
        .filter(|line| !line.trim().is_empty())
        .map(|line| (line.len() - line.trim_start().len(), line.trim()))
        .collect();
    let mut messages = Vec::new();
    let mut at = 0;
    while at < lines.len() {
        let mut message = parse_message(lines[at].1);
        at += 1;
        while at < lines.len() && lines[at].0 == 2 {
            if let Some(head) = lines[at].1.strip_prefix("struct ") {
                let name = head.split(' ').next().unwrap_or_default().to_owned();
                at += 1;
                message.structs.push(StructSpec { name, fields: parse_fields(&lines, &mut at, 4) });
            } else {
                message.fields.push(parse_field(&lines, &mut at, 2));
            }
        }
        messages.push(message);
    }
    messages
}

fn parse_message(line: &str) -> MessageSpec {
    let mut words = line.split(' ');
    let mut message = MessageSpec {
        kind: words.next().unwrap_or_default().to_owned(),
        name: words.next().unwrap_or_default().to_owned(),
        api_key: None,
        versions: 0..=0,
        flexible: None,
        listeners: Vec::new(),
        latest_unstable: false,
        fields: Vec::new(),
        structs: Vec::new(),
    };
    for word in words {
        match word.split_once('=') {
            Some(("api", key)) => message.api_key = key.parse().ok(),
            Some(("versions", range)) => {
                message.versions = parse_versions(range).unwrap_or_else(|| panic!("no versions in {line}"));
            }
            Some(("flexible", range)) => message.flexible = parse_versions(range),
            Some(("listeners", names)) => message.listeners = names.split(',').map(str::to_owned).collect(),
            None if word == "latest-unstable" => message.latest_unstable = true,
            _ => panic!("unknown option {word} in {line}"),
        }
    }
    message
}

fn parse_fields(lines: &[(usize, &str)], at: &mut usize, indent: usize) -> Vec<FieldSpec> {
    let mut fields = Vec::new();
    while *at < lines.len() && lines[*at].0 == indent {
        fields.push(parse_field(lines, at, indent));
    }
    fields
}

fn parse_field(lines: &[(usize, &str)], at: &mut usize, indent: usize) -> FieldSpec {
    let line = lines[*at].1;
    let mut words = line.split(' ');
    let mut field = FieldSpec {
        name: words.next().unwrap_or_default().to_owned(),
        ty: Type::parse(words.next().unwrap_or_default()),
        versions: parse_versions(words.next().unwrap_or_default()),
        nullable: None,
        default: None,
        tag: None,
        ignorable: false,
        never_flexible: false,
        fields: Vec::new(),
    };
    for word in words {
        match word.split_once('=') {
            Some(("nullable", range)) => field.nullable = parse_versions(range),
            Some(("default", value)) => field.default = Some(value.to_owned()),
            Some(("tag", tag)) => {
                let (number, range) = tag.split_once('@').unwrap_or_else(|| panic!("bad tag in {line}"));
                let range = parse_versions(range).unwrap_or_else(|| panic!("bad tag in {line}"));
                field.tag = Some((number.parse().unwrap_or_else(|_| panic!("bad tag in {line}")), range));
            }
            Some(("flexible", _)) => field.never_flexible = true,
            Some(("entity", _)) => {}
            None if word == "ignorable" => field.ignorable = true,
            None if word == "key" || word == "zerocopy" => {}
            _ => panic!("unknown option {word} in {line}"),
        }
    }
    if field.versions.is_none() {
        field.versions = field.tag.as_ref().map(|(_, range)| range.clone());
    }
    *at += 1;
    field.fields = parse_fields(lines, at, indent + 2);
    field
}

impl FieldSpec {
    /// The tag of this field in `version`, where it is tagged there.
    #[must_use]
    pub fn tag_in(&self, version: i16) -> Option<u32> {
        self.tag.as_ref().filter(|(_, range)| range.contains(&version)).map(|(tag, _)| *tag)
    }

    /// Whether the default of this field is null.
    #[must_use]
    pub fn defaults_to_null(&self) -> bool {
        self.default.as_deref() == Some("null")
    }
}
