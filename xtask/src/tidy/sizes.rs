//! Lengths of files and functions: what is above the house's limits.

use super::source::Source;

/// A file stops here.
const FILE_LINES: usize = 800;
/// A function stops here.
const FUNCTION_LINES: usize = 70;

/// Something above its limit.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Oversized {
    /// `PATH`, or `PATH FUNCTION`.
    pub(crate) what: String,
    /// Its length.
    pub(crate) lines: usize,
}

/// Everything above its limit, sorted.
pub(crate) fn oversized(sources: &[Source], others: &[(String, usize)]) -> Vec<Oversized> {
    let mut found = Vec::new();
    for (path, lines) in others {
        if *lines > FILE_LINES {
            found.push(Oversized { what: path.clone(), lines: *lines });
        }
    }
    for source in sources {
        let lines = source.text.lines().count();
        if lines > FILE_LINES {
            found.push(Oversized { what: source.path.clone(), lines });
        }
        for (name, lines) in functions(&source.code) {
            if lines > FUNCTION_LINES {
                found.push(Oversized { what: format!("{} {name}", source.path), lines });
            }
        }
    }
    found.sort();
    found
}

/// Names and lengths of the functions with a body, from `fn` to the closing brace.
fn functions(code: &str) -> Vec<(String, usize)> {
    let lines: Vec<&str> = code.lines().collect();
    let mut found = Vec::new();
    for (number, line) in lines.iter().enumerate() {
        if let Some(name) = function_name(line)
            && let Some(length) = body_length(&lines[number..])
        {
            found.push((name.to_owned(), length));
        }
    }
    found
}

fn function_name(line: &str) -> Option<&str> {
    let (before, after) = line.split_once("fn ")?;
    if !before.split_whitespace().all(|word| word.starts_with("pub") || MODIFIERS.contains(&word)) {
        return None;
    }
    let end = after.find(|c: char| !c.is_alphanumeric() && c != '_')?;
    (end > 0).then(|| &after[..end])
}

/// Words that may stand before `fn`; `extern "C"` has lost its string.
const MODIFIERS: [&str; 8] = ["const", "async", "unsafe", "extern", "default", "in", "super)", "crate)"];

fn body_length(lines: &[&str]) -> Option<usize> {
    let mut depth = 0_i32;
    for (number, line) in lines.iter().enumerate() {
        for c in line.chars() {
            match c {
                '{' => depth += 1,
                '}' => depth -= 1,
                ';' if depth == 0 && !line.contains('[') => return None,
                _ => {}
            }
            if depth == 0 && c == '}' {
                return Some(number + 1);
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_are_measured_from_their_name_to_their_brace() {
        let code = "trait T {\n    fn declared(&self);\n    pub(crate) async fn short() {}\n    fn long(\n        a: u8,\n    ) {\n        {\n        }\n    }\n}\n";
        assert_eq!(functions(code), [("short".to_owned(), 1), ("long".to_owned(), 6)]);
    }
}
