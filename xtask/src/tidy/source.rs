//! A Rust file, with a copy in which comments, strings and characters are blank: what is left is code, at the same lines.

/// One Rust source.
#[derive(Debug)]
pub(crate) struct Source {
    /// From the root of the workspace.
    pub(crate) path: String,
    /// As written.
    pub(crate) text: String,
    /// The code alone: as many lines, the rest replaced by spaces.
    pub(crate) code: String,
}

impl Source {
    /// Reads `text`.
    pub(crate) fn new(path: String, text: &str) -> Self {
        Self { path, text: text.to_owned(), code: blank(text) }
    }
}

/// Replaces what is no code by spaces.
fn blank(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut code = String::with_capacity(text.len());
    let mut at = 0;
    while at < chars.len() {
        let end = at + skipped(&chars, at);
        if end == at {
            code.push(chars[at]);
            at += 1;
        }
        for c in &chars[at..end.max(at)] {
            code.push(if *c == '\n' { '\n' } else { ' ' });
        }
        at = end.max(at);
    }
    code
}

/// How many characters from `at` on are a comment, a string or a character; 0 for code.
fn skipped(chars: &[char], at: usize) -> usize {
    let rest = &chars[at..];
    let previous = if at == 0 { ' ' } else { chars[at - 1] };
    match rest {
        ['/', '/', ..] => rest.iter().take_while(|c| **c != '\n').count(),
        ['/', '*', ..] => block_comment(rest),
        ['"', ..] => quoted(rest, '"'),
        ['r', '"' | '#', ..] if !is_word(previous) || previous == 'b' => raw_string(rest),
        ['\'', '\\', ..] => quoted(rest, '\''),
        ['\'', _, '\'', ..] => 3,
        _ => 0,
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn block_comment(rest: &[char]) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < rest.len() {
        match &rest[at..] {
            ['/', '*', ..] => (depth, at) = (depth + 1, at + 2),
            ['*', '/', ..] if depth == 1 => return at + 2,
            ['*', '/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
    }
    rest.len()
}

fn quoted(rest: &[char], quote: char) -> usize {
    let mut at = 1;
    while at < rest.len() {
        match rest[at] {
            '\\' => at += 2,
            c if c == quote => return at + 1,
            _ => at += 1,
        }
    }
    rest.len()
}

fn raw_string(rest: &[char]) -> usize {
    let hashes = rest[1..].iter().take_while(|c| **c == '#').count();
    if rest.get(1 + hashes) != Some(&'"') {
        return 0;
    }
    let mut at = 2 + hashes;
    while at < rest.len() {
        if rest[at] == '"' && rest[at + 1..].iter().take(hashes).filter(|c| **c == '#').count() == hashes {
            return at + 1 + hashes;
        }
        at += 1;
    }
    rest.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_comments_and_characters_become_blank() {
        assert_eq!(blank("a(\"}\\\"\") // {\nb"), "a(     )     \nb");
        assert_eq!(blank("f::<'a>('{', r#\"{\"#) /* { /* */ */ x"), "f::<'a>(   ,       )               x");
    }
}
