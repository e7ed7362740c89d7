//! Command lines as Kafka's tools read them: jopt-simple's rules, messages and help tables, with the options as data.
//! Nothing here prints or exits; a tool decides what a [`ParseError`] means to it, as Kafka's tools differ in that.

pub(crate) mod argparse;
mod help;
pub(crate) mod tables;

pub(crate) use help::help_table;

use crate::cli::stop::Stop;

/// What the argument of an option has to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Any text.
    Text,
    /// A number of 32 bits.
    Int,
    /// A number of 64 bits.
    Long,
    /// One of these names, in brackets.
    Choice(&'static str),
}

/// Whether an option has an argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Argument {
    /// It has none.
    None,
    /// It may stand alone.
    Optional(Kind),
    /// It must have one.
    Required(Kind),
}

/// One option of a tool.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Opt {
    /// Name without the leading dashes.
    pub(crate) name: &'static str,
    /// Its argument.
    pub(crate) argument: Argument,
    /// Name of the argument in the help.
    pub(crate) argument_name: &'static str,
    /// Explanation in the help.
    pub(crate) description: &'static str,
    /// Value where the option or its argument is absent.
    pub(crate) default: Option<&'static str>,
    /// Splits one argument into several.
    pub(crate) separator: Option<char>,
    /// Its presence waives what is required.
    pub(crate) for_help: bool,
    /// Whether the help marks it as one that has to be there.
    pub(crate) required: bool,
}

/// An option without an argument.
pub(crate) const fn flag(name: &'static str, description: &'static str) -> Opt {
    Opt {
        name,
        argument: Argument::None,
        argument_name: "",
        description,
        default: None,
        separator: None,
        for_help: false,
        required: false,
    }
}

/// An option with an argument.
pub(crate) const fn taking(
    name: &'static str,
    kind: Kind,
    argument_name: &'static str,
    description: &'static str,
) -> Opt {
    Opt { argument: Argument::Required(kind), argument_name, ..flag(name, description) }
}

impl Opt {
    /// The argument may be left out.
    pub(crate) const fn optional_argument(mut self) -> Self {
        if let Argument::Required(kind) = self.argument {
            self.argument = Argument::Optional(kind);
        }
        self
    }

    /// The value where none is given.
    pub(crate) const fn default(mut self, value: &'static str) -> Self {
        self.default = Some(value);
        self
    }

    /// One argument carries several values.
    pub(crate) const fn separated_by(mut self, separator: char) -> Self {
        self.separator = Some(separator);
        self
    }

    /// Asks for help or the version.
    pub(crate) const fn help(mut self) -> Self {
        self.for_help = true;
        self
    }

    /// It has to be there.
    pub(crate) const fn required(mut self) -> Self {
        self.required = true;
        self
    }

    fn kind(&self) -> Option<Kind> {
        match self.argument {
            Argument::None => None,
            Argument::Optional(kind) | Argument::Required(kind) => Some(kind),
        }
    }

    fn accepts(&self, value: &str) -> bool {
        match self.kind() {
            Some(Kind::Int) => value.parse::<i32>().is_ok(),
            Some(Kind::Long) => value.parse::<i64>().is_ok(),
            Some(Kind::Text | Kind::Choice(_)) | None => true,
        }
    }
}

/// A command line that cannot be read. The messages are jopt-simple's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ParseError {
    /// No such option.
    #[error("{0} is not a recognized option")]
    Unrecognized(String),
    /// The argument is missing.
    #[error("Option {0} requires an argument")]
    MissingArgument(String),
    /// The argument is of the wrong kind.
    #[error("Cannot parse argument '{value}' of option {option}")]
    BadArgument {
        /// The option.
        option: String,
        /// The argument.
        value: String,
    },
    /// Several arguments where one is asked for.
    #[error("Found multiple arguments for option {0}, but you asked for only one")]
    Multiple(String),
}

impl ParseError {
    /// Name of the exception that Kafka's tools die of here.
    pub(crate) fn class(&self) -> &'static str {
        match self {
            Self::Unrecognized(_) => "joptsimple.UnrecognizedOptionException",
            Self::MissingArgument(_) => "joptsimple.OptionMissingRequiredArgumentException",
            Self::BadArgument { .. } => "joptsimple.OptionArgumentConversionException",
            Self::Multiple(_) => "joptsimple.MultipleArgumentsForOptionException",
        }
    }
}

impl From<ParseError> for Stop {
    fn from(error: ParseError) -> Self {
        Self::uncaught(error.class(), &error)
    }
}

/// A command line, read.
#[derive(Debug)]
pub(crate) struct Parsed {
    options: &'static [Opt],
    /// Options in the order they were given, with their values.
    found: Vec<(&'static Opt, Vec<String>)>,
    /// Words that belong to no option.
    pub(crate) rest: Vec<String>,
    empty: bool,
}

/// Reads a command line.
/// # Errors
/// [`ParseError`].
pub(crate) fn parse(options: &'static [Opt], args: &[String]) -> Result<Parsed, ParseError> {
    let mut parsed = Parsed { options, found: Vec::new(), rest: Vec::new(), empty: args.is_empty() };
    let mut at = 0;
    while at < args.len() {
        let word = args[at].as_str();
        at += 1;
        if word == "--" {
            parsed.rest.extend(args[at..].iter().cloned());
            break;
        }
        if let Some(long) = word.strip_prefix("--") {
            let (name, value) = split_pair(long);
            let option = lookup(options, name)?;
            at += parsed.take(option, value, args.get(at))?;
        } else if word.len() > 1 && word.starts_with('-') {
            // jopt-simple takes a long name behind one dash as well, and otherwise a cluster of letters.
            let (name, value) = split_pair(&word[1..]);
            let first = name.chars().next().map(String::from).unwrap_or_default();
            let option = lookup(options, name).map_err(|_| ParseError::Unrecognized(first))?;
            at += parsed.take(option, value, args.get(at))?;
        } else {
            parsed.rest.push(word.to_owned());
        }
    }
    Ok(parsed)
}

fn split_pair(text: &str) -> (&str, Option<&str>) {
    match text.split_once('=') {
        Some((name, value)) => (name, Some(value)),
        None => (text, None),
    }
}

fn lookup(options: &'static [Opt], name: &str) -> Result<&'static Opt, ParseError> {
    options.iter().find(|option| option.name == name).ok_or_else(|| ParseError::Unrecognized(name.to_owned()))
}

impl Parsed {
    /// Notes `option` and returns how many of the next words it took.
    fn take(&mut self, option: &'static Opt, inline: Option<&str>, next: Option<&String>) -> Result<usize, ParseError> {
        let inline = inline.filter(|value| !value.is_empty());
        let (value, taken) = match (option.argument, inline) {
            (Argument::None, _) => (None, 0),
            (_, Some(value)) => (Some(value), 0),
            (Argument::Required(_), None) => {
                let next = next.ok_or_else(|| ParseError::MissingArgument(option.name.to_owned()))?;
                (Some(next.as_str()), 1)
            }
            (Argument::Optional(kind), None) => match next {
                Some(next) if option.accepts(next) && (!next.starts_with('-') || kind != Kind::Text) => {
                    (Some(next.as_str()), 1)
                }
                _ => (None, 0),
            },
        };
        let values = match (value, option.separator) {
            (None, _) => Vec::new(),
            (Some(value), None) => vec![value.to_owned()],
            (Some(value), Some(separator)) => {
                value.split(separator).filter(|part| !part.is_empty()).map(str::to_owned).collect()
            }
        };
        self.found.push((option, values));
        Ok(taken)
    }

    /// Whether the option was given.
    pub(crate) fn has(&self, name: &str) -> bool {
        debug_assert!(self.options.iter().any(|option| option.name == name), "no option {name}");
        self.found.iter().any(|(option, _)| option.name == name)
    }

    /// Whether one of the options was given.
    pub(crate) fn has_any(&self, names: &[&str]) -> bool {
        names.iter().any(|name| self.has(name))
    }

    /// All values of the option, without its default.
    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        debug_assert!(self.options.iter().any(|option| option.name == name), "no option {name}");
        self.found
            .iter()
            .filter(|(option, _)| option.name == name)
            .flat_map(|(_, values)| values.iter().map(String::as_str))
            .collect()
    }

    /// Every option as often as it was given, with its values.
    pub(crate) fn given(&self) -> impl Iterator<Item = (&str, &[String])> {
        self.found.iter().map(|(option, values)| (option.name, values.as_slice()))
    }

    /// The value of the option, or its default.
    /// # Errors
    /// If it was given more than once.
    pub(crate) fn one(&self, name: &str) -> Result<Option<&str>, ParseError> {
        match self.all(name).as_slice() {
            [] => Ok(self.options.iter().find(|option| option.name == name).and_then(|option| option.default)),
            [value] => Ok(Some(value)),
            _ => Err(ParseError::Multiple(name.to_owned())),
        }
    }

    /// The value of an option that has a default or was checked to be there.
    /// # Errors
    /// If it was given more than once.
    pub(crate) fn text(&self, name: &str) -> Result<&str, ParseError> {
        Ok(self.one(name)?.unwrap_or_default())
    }

    /// The number that the option has.
    /// # Errors
    /// If it was given more than once.
    pub(crate) fn number<N: std::str::FromStr>(&self, name: &str) -> Result<Option<N>, ParseError> {
        let Some(value) = self.one(name)? else { return Ok(None) };
        let bad = || ParseError::BadArgument { option: name.to_owned(), value: value.to_owned() };
        value.parse().map(Some).map_err(|_| bad())
    }

    /// Whether there was not a single word.
    pub(crate) fn is_empty(&self) -> bool {
        self.empty
    }

    /// Ends with `message` and the help table, as for a wrong command line.
    pub(crate) fn usage(&self, message: &str) -> Stop {
        usage(self.options, message)
    }

    /// Ends for `--help`, an empty command line or `--version`.
    /// # Errors
    /// The end.
    pub(crate) fn help_or_version(&self, message: &str) -> Result<(), Stop> {
        if self.empty || self.has("help") {
            return Err(self.usage(message));
        }
        if self.has("version") {
            return Err(Stop::version());
        }
        Ok(())
    }

    /// Every one of the options has to be there.
    /// # Errors
    /// The usage.
    pub(crate) fn require(&self, names: &[&str]) -> Result<(), Stop> {
        match names.iter().find(|name| !self.has(name)) {
            Some(name) => Err(self.usage(&format!("Missing required argument \"[{name}]\""))),
            None => Ok(()),
        }
    }

    /// None of `others` may go with `used`.
    /// # Errors
    /// The usage.
    pub(crate) fn forbid(&self, used: &str, others: &[&str]) -> Result<(), Stop> {
        if !self.has(used) {
            return Ok(());
        }
        match others.iter().find(|name| self.has(name)) {
            Some(name) => Err(self.usage(&format!("Option \"[{used}]\" can't be used with option \"[{name}]\""))),
            None => Ok(()),
        }
    }

    /// Exactly one of the options has to be there.
    /// # Errors
    /// The usage.
    pub(crate) fn exactly_one(&self, names: &[&str]) -> Result<(), Stop> {
        if names.iter().filter(|name| self.has(name)).count() == 1 {
            return Ok(());
        }
        let names: Vec<String> = names.iter().map(|name| format!("[{name}]")).collect();
        Err(self.usage(&format!("Exactly one of the following arguments is required: {}", names.join(", "))))
    }
}

/// `message` and the help table on stderr, exit code 1.
pub(crate) fn usage(options: &[Opt], message: &str) -> Stop {
    Stop::error(&format!("{message}\n{}", help_table(options).trim_end_matches('\n')))
}

#[cfg(test)]
mod tests;
