//! Java's `.properties` files: comments, continuation lines, escapes; line numbers are kept.
//! UTF-8 where the bytes are UTF-8, Latin-1 otherwise, as Java reads them.

/// One entry of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Property {
    /// Line on which the entry starts, counted from 1.
    pub line: usize,
    /// The name.
    pub name: String,
    /// The value; empty if there is none.
    pub value: String,
}

/// Reads a file. Every input is valid: a line without separator is a name with an empty value.
#[must_use]
pub fn parse(bytes: &[u8]) -> Vec<Property> {
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => bytes.iter().map(|byte| char::from(*byte)).collect(),
    };
    logical_lines(&text).into_iter().map(|(line, text)| property(line, &text)).collect()
}

/// Lines with their continuations joined, without comments and blank lines.
fn logical_lines(text: &str) -> Vec<(usize, String)> {
    let mut lines = Vec::new();
    let mut open: Option<(usize, String)> = None;
    let normalized = text.replace("\r\n", "\n").replace('\r', "\n");
    for (at, line) in normalized.split('\n').enumerate() {
        let line = line.trim_start_matches([' ', '\t', '\u{c}']);
        if open.is_none() && (line.is_empty() || line.starts_with(['#', '!'])) {
            continue;
        }
        let (number, mut joined) = open.take().unwrap_or((at + 1, String::new()));
        let backslashes = line.len() - line.trim_end_matches('\\').len();
        if backslashes % 2 == 1 {
            joined.push_str(&line[..line.len() - 1]);
            open = Some((number, joined));
        } else {
            joined.push_str(line);
            lines.push((number, joined));
        }
    }
    lines.extend(open);
    lines
}

fn property(line: usize, text: &str) -> Property {
    let mut escaped = false;
    let mut end = text.len();
    for (at, character) in text.char_indices() {
        if escaped {
            escaped = false;
        } else if character == '\\' {
            escaped = true;
        } else if matches!(character, '=' | ':' | ' ' | '\t' | '\u{c}') {
            end = at;
            break;
        }
    }
    let blank = [' ', '\t', '\u{c}'];
    let rest = text[end..].trim_start_matches(blank);
    let value = rest.strip_prefix(['=', ':']).unwrap_or(rest).trim_start_matches(blank);
    Property { line, name: unescape(&text[..end]), value: unescape(value) }
}

fn unescape(text: &str) -> String {
    let mut units: Vec<u16> = Vec::with_capacity(text.len());
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        let plain = match character {
            '\\' => match characters.next() {
                Some('t') => '\t',
                Some('n') => '\n',
                Some('r') => '\r',
                Some('f') => '\u{c}',
                Some('u') => {
                    let digits: String = characters.clone().take(4).collect();
                    if let (4, Ok(unit)) = (digits.len(), u16::from_str_radix(&digits, 16)) {
                        units.push(unit);
                        characters.nth(3);
                        continue;
                    }
                    'u'
                }
                Some(other) => other,
                None => continue,
            },
            other => other,
        };
        units.extend_from_slice(plain.encode_utf16(&mut [0; 2]));
    }
    String::from_utf16_lossy(&units)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(text: &str) -> Vec<(usize, String, String)> {
        parse(text.as_bytes()).into_iter().map(|entry| (entry.line, entry.name, entry.value)).collect()
    }

    #[test]
    fn separators_comments_and_continuations_are_javas() {
        let file = "# comment\n! too\n\n  a=1\nb : 2 \nc 3\nlist=x,\\\n    y,\\\n    z\nlast\n";
        let expected = [(4, "a", "1"), (5, "b", "2 "), (6, "c", "3"), (7, "list", "x,y,z"), (10, "last", "")];
        assert_eq!(pairs(file), expected.map(|(line, name, value)| (line, name.to_owned(), value.to_owned())));
    }

    #[test]
    fn escapes_work_in_names_and_values() {
        assert_eq!(pairs(r"a\=b\:c=\u00e9\t\\x"), [(1, "a=b:c".to_owned(), "é\t\\x".to_owned())]);
        assert_eq!(parse(b"a=\xe9")[0].value, "é");
    }

    #[test]
    fn a_backslash_at_the_end_of_a_comment_continues_nothing() {
        assert_eq!(pairs("# c\\\na=1").len(), 1);
    }
}
