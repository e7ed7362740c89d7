//! Command lines of the tools that Apache Kafka reads with argparse4j: named arguments, one level of subcommands,
//! groups that exclude each other, and its messages, wrapped and justified as it does.
//! The help texts are files, for argparse4j's layout of them is of no other use.

use std::str::FromStr;

use super::help::words;
use crate::cli::stop::Stop;

const WIDTH: usize = 75;

/// How many words follow the name of an argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Arity {
    /// None.
    Flag,
    /// One.
    One,
    /// All until the next name, at least one.
    Many,
}

/// A named argument.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Named {
    /// Its names with their dashes; the first identifies it.
    pub(crate) names: &'static [&'static str],
    /// What follows it.
    pub(crate) arity: Arity,
    /// Whether it has to be there.
    pub(crate) required: bool,
}

/// An argument with one value.
pub(crate) const fn one(names: &'static [&'static str]) -> Named {
    Named { names, arity: Arity::One, required: false }
}

/// An argument with a value that has to be there.
pub(crate) const fn required(names: &'static [&'static str]) -> Named {
    Named { names, arity: Arity::One, required: true }
}

/// An argument without a value.
pub(crate) const fn switch(names: &'static [&'static str]) -> Named {
    Named { names, arity: Arity::Flag, required: false }
}

/// An argument with several values.
pub(crate) const fn many(names: &'static [&'static str]) -> Named {
    Named { names, arity: Arity::Many, required: false }
}

/// Arguments of which at most one may be there.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Group {
    /// First names.
    pub(crate) names: &'static [&'static str],
    /// Whether one of them has to be there.
    pub(crate) required: bool,
}

/// A tool, or a subcommand of one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Command {
    /// Name of the tool in messages, or of the subcommand.
    pub(crate) name: &'static str,
    /// What `--help` prints, the usage first and an empty line after it.
    pub(crate) help: &'static str,
    /// Arguments; required ones are missed in this order.
    pub(crate) arguments: &'static [Named],
    /// Exclusive groups.
    pub(crate) groups: &'static [Group],
    /// Subcommands, of which one has to be chosen.
    pub(crate) subcommands: &'static [Command],
}

/// What was read.
#[derive(Debug, Default)]
pub(crate) struct Arguments {
    /// The subcommand.
    pub(crate) command: &'static str,
    found: Vec<(&'static str, Vec<String>)>,
}

/// Why nothing was read.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// Help was asked for.
    Help(&'static str),
    /// The text for stderr, and the message in it, which some tools print in their own way.
    Wrong { text: String, message: String },
}

impl Refusal {
    /// The end of a tool whose `--help` exits with `help_code`.
    pub(crate) fn stop(self, help_code: u8) -> Stop {
        match self {
            Self::Help(text) => Stop { stdout: text.to_owned(), ..Stop::silent(help_code) },
            Self::Wrong { text, .. } => Stop { stderr: text, ..Stop::silent(1) },
        }
    }
}

impl Arguments {
    /// Whether the argument was given.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.found.iter().any(|(found, _)| *found == name)
    }

    /// Its last value.
    pub(crate) fn one(&self, name: &str) -> Option<&str> {
        self.all(name).last().copied()
    }

    /// All its values.
    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        let values = self.found.iter().filter(|(found, _)| *found == name);
        values.flat_map(|(_, values)| values.iter().map(String::as_str)).collect()
    }
}

struct Reader<'a> {
    tool: &'static str,
    words: &'a [String],
    at: usize,
}

/// Reads the words of a tool.
/// # Errors
/// [`Refusal`].
pub(crate) fn read(tool: &'static Command, words: &[String]) -> Result<Arguments, Refusal> {
    let mut reader = Reader { tool: tool.name, words, at: 0 };
    let mut arguments = Arguments::default();
    reader.command(tool, &mut arguments)?;
    Ok(arguments)
}

/// The end for a wrong value of an argument.
pub(crate) fn wrong(tool: &Command, message: &str) -> Refusal {
    let usage = tool.help.split("\n\n").next().unwrap_or_default();
    let text = format!("{usage}\n{}\n", wrap(&format!("{}: error: {message}", tool.name)));
    Refusal::Wrong { text, message: message.to_owned() }
}

/// The number that an argument has; `java` is the name of its type in messages.
/// # Errors
/// [`Refusal`].
pub(crate) fn number<N: FromStr>(
    tool: &Command,
    arguments: &Arguments,
    name: &str,
    java: &str,
) -> Result<Option<N>, Refusal> {
    let Some(text) = arguments.one(name) else { return Ok(None) };
    let bad = || format!("argument {name}: could not convert '{text}' to {java} (For input string: \"{text}\")");
    text.parse().map(Some).map_err(|_| wrong(tool, &bad()))
}

impl Reader<'_> {
    fn command(&mut self, command: &'static Command, arguments: &mut Arguments) -> Result<(), Refusal> {
        let tool = self.tool;
        let fail = |message: String| Err(wrong(&Command { name: tool, ..*command }, &message));
        let mut chosen = None;
        while let Some(word) = self.words.get(self.at) {
            self.at += 1;
            if word == "-h" || word == "--help" {
                return Err(Refusal::Help(command.help));
            }
            if word.len() > 1 && word.starts_with('-') {
                let (named, inline) = match find(command, word) {
                    Ok(found) => found,
                    Err(message) => return fail(message),
                };
                let values = match take(named, inline, self.words, &mut self.at) {
                    Ok(values) => values,
                    Err(message) => return fail(message),
                };
                if let Some(other) = excluded(command, arguments, named) {
                    return fail(format!("argument {}: not allowed with argument {other}", named.names.join("/")));
                }
                arguments.found.push((named.names[0], values));
            } else if let Some(subcommand) = command.subcommands.iter().find(|candidate| candidate.name == word) {
                chosen = Some(subcommand);
                break;
            } else if command.subcommands.is_empty() {
                return fail(format!("unrecognized arguments: '{word}'"));
            } else {
                let names: Vec<String> = command.subcommands.iter().map(|one| format!("'{}'", one.name)).collect();
                return fail(format!("invalid choice: '{word}' (choose from {})", names.join(", ")));
            }
        }
        if let Some(subcommand) = chosen {
            arguments.command = subcommand.name;
            self.command(subcommand, arguments)?;
        } else if !command.subcommands.is_empty() {
            return fail("too few arguments".to_owned());
        }
        match missing(command, arguments) {
            Some(message) => fail(message),
            None => Ok(()),
        }
    }
}

fn find<'a>(command: &'static Command, word: &'a str) -> Result<(&'static Named, Option<&'a str>), String> {
    let (name, value) = match word.split_once('=') {
        Some((name, value)) => (name, Some(value)),
        None => (word, None),
    };
    let all = || command.arguments.iter().flat_map(|named| named.names.iter().map(move |known| (*known, named)));
    if let Some((_, named)) = all().find(|(known, _)| *known == name) {
        return Ok((named, value));
    }
    if !name.starts_with("--") {
        let short = all().find(|(known, _)| known.len() == 2 && word.starts_with(known));
        return match short {
            Some((_, named)) if named.arity != Arity::Flag => Ok((named, Some(&word[2..]))),
            _ => Err(format!("unrecognized arguments: '{word}'")),
        };
    }
    let candidates: Vec<_> = all().filter(|(known, _)| known.starts_with(name)).collect();
    match candidates.as_slice() {
        [(_, named)] => Ok((named, value)),
        [] => Err(format!("unrecognized arguments: '{word}'")),
        several => {
            let names: Vec<&str> = several.iter().map(|(known, _)| *known).collect();
            Err(format!("ambiguous option: {name} could match {}", names.join(", ")))
        }
    }
}

fn take(named: &Named, inline: Option<&str>, words: &[String], at: &mut usize) -> Result<Vec<String>, String> {
    let is_value = |word: &&String| {
        !word.starts_with('-') || *word == "-" || word[1..].starts_with(|first: char| first.is_ascii_digit())
    };
    match (named.arity, inline) {
        (Arity::Flag, _) => Ok(Vec::new()),
        (_, Some(value)) => Ok(vec![value.to_owned()]),
        (Arity::One, None) => match words.get(*at).filter(is_value) {
            Some(word) => {
                *at += 1;
                Ok(vec![word.clone()])
            }
            None => Err(format!("argument {}: expected one argument", named.names.join("/"))),
        },
        (Arity::Many, None) => {
            let values: Vec<String> = words[*at..].iter().take_while(is_value).cloned().collect();
            *at += values.len();
            if values.is_empty() {
                return Err(format!("argument {}: expected at least one argument", named.names.join("/")));
            }
            Ok(values)
        }
    }
}

fn excluded(command: &Command, arguments: &Arguments, named: &Named) -> Option<String> {
    let group = command.groups.iter().find(|group| group.names.contains(&named.names[0]))?;
    let other = group.names.iter().find(|name| **name != named.names[0] && arguments.has(name))?;
    let other = command.arguments.iter().find(|named| named.names[0] == *other)?;
    Some(other.names.join("/"))
}

fn missing(command: &Command, arguments: &Arguments) -> Option<String> {
    let absent = command.arguments.iter().find(|named| named.required && !arguments.has(named.names[0]));
    if let Some(named) = absent {
        return Some(format!("argument {} is required", named.names.join("/")));
    }
    let group =
        command.groups.iter().find(|group| group.required && !group.names.iter().any(|it| arguments.has(it)))?;
    let of_group = |name: &&str| command.arguments.iter().find(|named| named.names[0] == *name);
    let names: Vec<String> = group.names.iter().filter_map(of_group).map(|named| named.names.join("/")).collect();
    Some(format!("one of the arguments {} is required", names.join(" ")))
}

/// Breaks `text` into lines of 75 characters and stretches all but the last to that width.
fn wrap(text: &str) -> String {
    let mut lines = Vec::new();
    let mut line = String::new();
    // The line break at the end of the text counts as a character of the last word.
    let text = format!("{text}\u{a0}");
    for word in words(&text) {
        if line.chars().count() + word.chars().count() > WIDTH {
            lines.push(justify(&line));
            line.clear();
        }
        line.push_str(word);
    }
    lines.push(line.trim_end_matches('\u{a0}').to_owned());
    lines.join("\n")
}

/// Widens the gaps between words evenly; what is left over goes to those in the middle.
fn justify(line: &str) -> String {
    let parts: Vec<&str> = line.trim_end().split(' ').collect();
    let gaps = parts.len() - 1;
    let missing = WIDTH.saturating_sub(line.trim_end().chars().count());
    if gaps == 0 {
        return line.trim_end().to_owned();
    }
    let (each, left_over) = (missing / gaps, missing % gaps);
    let first = (gaps - left_over).div_ceil(2);
    let mut justified = parts[0].to_owned();
    for (gap, part) in parts[1..].iter().enumerate() {
        let more = usize::from((first..first + left_over).contains(&gap));
        justified.push_str(&" ".repeat(1 + each + more));
        justified.push_str(part);
    }
    justified
}

#[cfg(test)]
mod tests {
    use super::wrap;

    #[test]
    fn messages_are_justified_as_argparse4j_does() {
        for message in [
            "kafka-cluster:  error:  one  of   the  arguments  --bootstrap-server/-b  --\nbootstrap-controller/-C is required",
            "kafka-producer-perf-test: error:  one  of  the  arguments  --record-size --\npayload-file --payload-monotonic is required",
            "kafka-producer-perf-test: error: argument  --throughput:  could not convert\n'a' to Double (For input string: \"a\")",
            "kafka-metadata-quorum: error: one  of  the  arguments --bootstrap-server --\nbootstrap-controller is required",
            "kafka-storage: error: invalid choice: 'foo'  (choose from 'info', 'format',\n'version-mapping', 'feature-dependencies', 'random-uuid')",
        ] {
            let separator = if message.contains("--\n") { "" } else { " " };
            let plain: Vec<&str> = message.split('\n').collect();
            let plain = plain.join(separator).split_whitespace().collect::<Vec<_>>().join(" ");
            assert_eq!(wrap(&plain), message);
        }
    }
}
