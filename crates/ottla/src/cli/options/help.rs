//! The help table: two columns in 80 characters, broken as Java's line break iterator and jopt-simple break them.

use super::{Argument, Kind, Opt};

const WIDTH: usize = 80;
const SEPARATOR: usize = 2;
const INDENT: &str = "  ";

/// The table that Kafka prints for these options, sorted by name.
pub(crate) fn help_table(options: &[Opt]) -> String {
    let mut sorted: Vec<&Opt> = options.iter().collect();
    sorted.sort_by_key(|option| option.name);
    let title = if options.iter().any(|option| option.required) { "Option (* = required)" } else { "Option" };
    let mut rows =
        vec![(title.to_owned(), "Description".to_owned()), ("-".repeat(title.len()), "-----------".to_owned())];
    rows.extend(sorted.into_iter().map(|option| (option_cell(option), description_cell(option))));
    let (left, right) = widths(&rows);
    let fitted: Vec<(String, String)> = rows.iter().flat_map(|row| fit(row, left, right)).collect();
    let (left, right) = widths(&fitted);
    let mut table = String::new();
    for (option, description) in fitted {
        table.push_str(&format!("{option:<left$}{:SEPARATOR$}{description:<right$}\n", ""));
    }
    table
}

fn widths(rows: &[(String, String)]) -> (usize, usize) {
    let widest = |column: fn(&(String, String)) -> &String| rows.iter().map(|row| column(row).chars().count()).max();
    let left = widest(|row| &row.0).unwrap_or(0).min((WIDTH - SEPARATOR) / 2);
    let right = widest(|row| &row.1).unwrap_or(0).min(WIDTH - left - SEPARATOR);
    (left, right)
}

fn option_cell(option: &Opt) -> String {
    let mark = if option.required { "* " } else { "" };
    let dashes = format!("{mark}{}", if option.name.len() == 1 { "-" } else { "--" });
    let (open, close, kind) = match option.argument {
        Argument::None => return format!("{dashes}{}", option.name),
        Argument::Optional(kind) => ('[', ']', kind),
        Argument::Required(kind) => ('<', '>', kind),
    };
    let kind = match kind {
        Kind::Text => "String",
        Kind::Int => "Integer",
        Kind::Long => "Long",
        Kind::Choice(names) => names,
    };
    let name = if option.argument_name.is_empty() { String::new() } else { format!(": {}", option.argument_name) };
    format!("{dashes}{} {open}{kind}{name}{close}", option.name)
}

fn description_cell(option: &Opt) -> String {
    match option.default {
        None => option.description.to_owned(),
        Some(default) => format!("{} (default: {default})", option.description).trim().to_owned(),
    }
}

fn fit(row: &(String, String), left: usize, right: usize) -> Vec<(String, String)> {
    let (options, descriptions) = (pieces(&row.0, left), pieces(&row.1, right));
    let cell = |pieces: &[String], at: usize| pieces.get(at).cloned().unwrap_or_default();
    (0..options.len().max(descriptions.len())).map(|at| (cell(&options, at), cell(&descriptions, at))).collect()
}

fn pieces(text: &str, width: usize) -> Vec<String> {
    let mut pieces = Vec::new();
    // Java's `split` drops empty strings at the end.
    for line in text.trim().split('\n') {
        let mut piece = String::new();
        for word in words(line) {
            if piece.chars().count() + word.chars().count() > width {
                pieces.push(piece.trim_end().to_owned());
                piece = format!("{INDENT}{word}");
            } else {
                piece.push_str(word);
            }
        }
        if !piece.is_empty() {
            pieces.push(piece);
        }
    }
    pieces
}

/// Splits where a line may be broken, by the rules of `java.text.BreakIterator` that show in Kafka's texts.
pub(super) fn words(line: &str) -> Vec<&str> {
    let chars: Vec<(usize, char)> = line.char_indices().collect();
    let mut words = Vec::new();
    let mut start = 0;
    for at in 1..chars.len() {
        let before = (at > 1).then(|| chars[at - 2].1);
        if may_break(before, chars[at - 1].1, chars[at].1) {
            words.push(&line[start..chars[at].0]);
            start = chars[at].0;
        }
    }
    if start < line.len() {
        words.push(&line[start..]);
    }
    words
}

fn may_break(before: Option<char>, left: char, right: char) -> bool {
    let number_sign = !before.is_some_and(char::is_alphanumeric);
    match (left, right) {
        (_, ' ' | '\t') => false,
        (' ' | '\t', _) => true,
        ('-', '0'..='9') => !number_sign,
        ('-', right) => right.is_alphabetic() || right == ',',
        ('.', right) => right.is_alphabetic() || right == '\\',
        (',', right) => right.is_alphabetic(),
        (':', right) => right.is_alphanumeric() || right == '(' || right == '-',
        (')', right) => matches!(right, '(' | '-' | '|'),
        ('=', '[') | (']', '*') | ('|', '(') | ('0'..='9', '`' | '>') => true,
        (left, '(') => left.is_alphabetic(),
        _ => false,
    }
}
