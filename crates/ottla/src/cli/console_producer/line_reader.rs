//! Lines to records: headers, key and value, each split off at a separator.

use std::io::BufRead;

use bytes::Bytes;
use protocol::record::Header;
use regex::Regex;

use crate::cli::java::Exception;
use crate::cli::session::Properties;

/// A line, taken apart.
#[derive(Debug, Default)]
pub(super) struct Line {
    pub(super) key: Option<String>,
    pub(super) value: Option<String>,
    pub(super) headers: Vec<Header>,
}

/// How lines are read; Kafka's `LineMessageReader`.
#[derive(Debug)]
pub(super) struct LineReader {
    parse_key: bool,
    key_separator: String,
    parse_headers: bool,
    headers_delimiter: String,
    headers_separator: Regex,
    headers_key_separator: String,
    ignore_error: bool,
    null_marker: Option<String>,
    line_number: u64,
    /// What is left of a line that had carriage returns in it.
    pending: Vec<String>,
}

fn kafka(message: impl Into<String>) -> Exception {
    Exception::new("org.apache.kafka.common.KafkaException", message)
}

impl LineReader {
    /// Reads the properties.
    /// # Errors
    /// For separators that cannot be told apart.
    pub(super) fn new(properties: &Properties) -> Result<Self, Exception> {
        let flag = |name: &str| properties.get(name).is_some_and(|value| value.trim().eq_ignore_ascii_case("true"));
        let text = |name: &str, default: &str| properties.get(name).cloned().unwrap_or_else(|| default.to_owned());
        let (key, delimiter) = (text("key.separator", "\t"), text("headers.delimiter", "\t"));
        let (separator, header_key) = (text("headers.separator", ","), text("headers.key.separator", ":"));
        let null_marker = properties.get("null.marker").cloned();
        for (left, left_name, right, right_name) in [
            (&delimiter, "headers.delimiter", &separator, "headers.separator"),
            (&delimiter, "headers.delimiter", &header_key, "headers.key.separator"),
            (&separator, "headers.separator", &header_key, "headers.key.separator"),
        ] {
            if left == right {
                return Err(kafka(format!("{left_name} and {right_name} may not be equal")));
            }
        }
        for (value, name) in [
            (&key, "key.separator"),
            (&separator, "headers.separator"),
            (&delimiter, "headers.delimiter"),
            (&header_key, "headers.key.separator"),
        ] {
            if Some(value) == null_marker.as_ref() {
                return Err(kafka(format!("null.marker and {name} may not be equal")));
            }
        }
        let pattern = Regex::new(&separator)
            .map_err(|error| Exception::new("java.util.regex.PatternSyntaxException", error.to_string()))?;
        Ok(Self {
            parse_key: flag("parse.key"),
            key_separator: key,
            parse_headers: flag("parse.headers"),
            headers_delimiter: delimiter,
            headers_separator: pattern,
            headers_key_separator: header_key,
            ignore_error: flag("ignore.error"),
            null_marker,
            line_number: 0,
            pending: Vec::new(),
        })
    }

    /// The next line; none at the end of the input.
    /// # Errors
    /// For a line without a separator that it should have.
    pub(super) fn read(&mut self, input: &mut impl BufRead) -> Result<Option<Line>, Exception> {
        self.line_number += 1;
        match self.next_line(input)? {
            Some(line) => self.parse(&line).map(Some),
            None => Ok(None),
        }
    }

    fn next_line(&mut self, input: &mut impl BufRead) -> Result<Option<String>, Exception> {
        if let Some(line) = self.pending.pop() {
            return Ok(Some(line));
        }
        let mut bytes = Vec::new();
        if input.read_until(b'\n', &mut bytes).map_err(|error| kafka(error.to_string()))? == 0 {
            return Ok(None);
        }
        if bytes.last() == Some(&b'\n') {
            bytes.pop();
        }
        if bytes.last() == Some(&b'\r') {
            bytes.pop();
        }
        let text =
            String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned());
        if !text.contains('\r') {
            return Ok(Some(text));
        }
        self.pending = text.split('\r').rev().map(str::to_owned).collect();
        Ok(self.pending.pop())
    }

    fn parse(&self, line: &str) -> Result<Line, Exception> {
        let mut rest = line;
        let mut part = |enabled: bool, separator: &str, name: &str| -> Result<Option<String>, Exception> {
            if !enabled {
                return Ok(None);
            }
            match rest.split_once(separator) {
                Some((part, after)) => {
                    rest = after;
                    Ok(Some(part.to_owned()))
                }
                None if self.ignore_error => Ok(None),
                None => Err(kafka(format!("No {name} found on line number {}: '{line}'", self.line_number))),
            }
        };
        let headers = part(self.parse_headers, &self.headers_delimiter, "headers delimiter")?;
        let key = part(self.parse_key, &self.key_separator, "key separator")?;
        let not_null = |text: String| Some(text).filter(|text| Some(text) != self.null_marker.as_ref());
        Ok(Line {
            key: key.and_then(not_null),
            value: not_null(rest.to_owned()),
            headers: match headers.and_then(not_null) {
                Some(headers) => self.headers(&headers)?,
                None => Vec::new(),
            },
        })
    }

    fn headers(&self, text: &str) -> Result<Vec<Header>, Exception> {
        let mut pairs: Vec<&str> = self.headers_separator.split(text).collect();
        while pairs.len() > 1 && pairs.last().is_some_and(|pair| pair.is_empty()) {
            pairs.pop();
        }
        pairs.into_iter().map(|pair| self.header(pair)).collect()
    }

    fn header(&self, pair: &str) -> Result<Header, Exception> {
        let bytes = |text: &str| Bytes::copy_from_slice(text.as_bytes());
        let Some((key, value)) = pair.split_once(self.headers_key_separator.as_str()) else {
            if self.ignore_error {
                return Ok((bytes(pair), None));
            }
            let line = self.line_number;
            return Err(kafka(format!("No header key separator found in pair '{pair}' on line number {line}")));
        };
        let null = self.null_marker.as_deref();
        if Some(key) == null {
            return Err(kafka(format!(
                "Header keys should not be equal to the null marker '{key}' as they can't be null"
            )));
        }
        Ok((bytes(key), (Some(value) != null).then(|| bytes(value))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(properties: &[(&str, &str)], line: &str) -> Result<Line, Exception> {
        let properties = properties.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let mut reader = LineReader::new(&properties)?;
        reader.read(&mut line.as_bytes()).map(|line| line.expect("one line"))
    }

    #[test]
    fn headers_key_and_value_are_split_off_in_order() {
        let properties = [("parse.headers", "true"), ("parse.key", "true"), ("null.marker", "NULL")];
        let line = read(&properties, "h1:v1,h2:NULL\tk\tNULL\n").expect("parses");
        assert_eq!((line.key.as_deref(), line.value.as_deref()), (Some("k"), None));
        assert_eq!(line.headers[1], (Bytes::from_static(b"h2"), None));
    }

    #[test]
    fn missing_separators_are_refused_unless_ignored() {
        let error = read(&[("parse.key", "true")], "value\n").expect_err("no key");
        assert_eq!(error.message, "No key separator found on line number 1: 'value'");
        let line = read(&[("parse.key", "true"), ("ignore.error", "true")], "value\n").expect("ignored");
        assert_eq!((line.key, line.value.as_deref()), (None, Some("value")));
    }
}
