//! Which entity the options of `kafka-configs.sh` name, and which combinations of them are refused.

use crate::cli::java::Exception;
use crate::cli::options::Parsed;

const KINDS: [&str; 8] = ["topics", "clients", "users", "brokers", "ips", "client-metrics", "groups", "broker-loggers"];
/// Options that name an entity and its kind at once.
const NAMED: [(&str, &str); 8] = [
    ("topic", "topics"),
    ("client", "clients"),
    ("user", "users"),
    ("broker", "brokers"),
    ("broker-logger", "broker-loggers"),
    ("ip", "ips"),
    ("client-metrics", "client-metrics"),
    ("group", "groups"),
];
const DEFAULTS: [(&str, &str); 4] = [
    ("client-defaults", "clients"),
    ("user-defaults", "users"),
    ("broker-defaults", "brokers"),
    ("ip-defaults", "ips"),
];

/// Kinds and names in the order given; an empty name is the default of its kind.
#[derive(Debug)]
pub(super) struct Entity {
    pub(super) kinds: Vec<String>,
    pub(super) names: Vec<String>,
}

impl Entity {
    /// Reads and checks the options.
    /// # Errors
    /// Kafka's words for what does not go together.
    pub(super) fn new(parsed: &Parsed) -> Result<Self, Exception> {
        let mut kinds: Vec<String> = parsed.all("entity-type").into_iter().map(str::to_owned).collect();
        let both = || NAMED.iter().chain(&DEFAULTS);
        kinds.extend(both().filter(|(option, _)| parsed.has(option)).map(|(_, kind)| (*kind).to_owned()));
        let mut names: Vec<String> = Vec::new();
        for (option, values) in parsed.given() {
            match option {
                "entity-name" => names.extend(values.iter().cloned()),
                "entity-default" => names.push(String::new()),
                _ => {}
            }
        }
        for (option, _) in NAMED.iter().filter(|(option, _)| parsed.has(option)) {
            names.push(parsed.text(option)?.to_owned());
        }
        names.extend(DEFAULTS.iter().filter(|(option, _)| parsed.has(option)).map(|_| String::new()));
        let entity = Self { kinds, names };
        entity.check_kinds(parsed)?;
        let generic = parsed.has_any(&["entity-name", "entity-type", "entity-default"]);
        if generic && both().any(|(option, _)| parsed.has(option)) {
            let message = "--entity-{type,name,default} should not be used in conjunction with specific entity flags";
            return Err(Exception::illegal_argument(message));
        }
        if parsed.has("bootstrap-server") && parsed.has("bootstrap-controller") {
            let message = "Only one of --bootstrap-server or --bootstrap-controller can be specified";
            return Err(Exception::illegal_argument(message));
        }
        entity.check_ids(parsed)?;
        if parsed.has("describe") {
            entity.check_describe(parsed)?
        } else {
            entity.check_alter(parsed)?
        }
        Ok(entity)
    }

    /// The first kind.
    pub(super) fn kind(&self) -> &str {
        self.kinds.first().map(String::as_str).unwrap_or_default()
    }

    fn is(&self, kind: &str) -> bool {
        self.kinds.iter().any(|candidate| candidate == kind)
    }

    fn has_defaults(&self) -> bool {
        ["users", "clients", "brokers", "ips"].iter().any(|kind| self.is(kind))
    }

    fn has_name(&self) -> bool {
        self.names.iter().any(|name| !name.is_empty())
    }

    fn check_kinds(&self, parsed: &Parsed) -> Result<(), Exception> {
        let mut seen: Vec<&String> = Vec::new();
        let repeated: Vec<&str> = self
            .kinds
            .iter()
            .filter(|kind| {
                let known = seen.contains(kind);
                seen.push(kind);
                known
            })
            .map(String::as_str)
            .collect();
        if !repeated.is_empty() {
            let message = format!("Duplicate entity type(s) specified: {}", repeated.join(","));
            return Err(Exception::illegal_argument(message));
        }
        if !parsed.has_any(&["bootstrap-server", "bootstrap-controller"]) {
            let message = "Either --bootstrap-server or --bootstrap-controller must be specified.";
            return Err(Exception::illegal_argument(message));
        }
        if let Some(kind) = self.kinds.iter().find(|kind| !KINDS.contains(&kind.as_str())) {
            let kinds = KINDS.join(", ");
            let with = "with a --bootstrap-server or --bootstrap-controller argument";
            let message = format!("Invalid entity type {kind}, the entity type must be one of {kinds} {with}");
            return Err(Exception::illegal_argument(message));
        }
        if self.kinds.is_empty() {
            return Err(Exception::illegal_argument("At least one entity type must be specified"));
        }
        if self.kinds.len() > 1 && !(self.is("users") && self.is("clients")) {
            let message = "Only 'users' and 'clients' entity types may be specified together";
            return Err(Exception::illegal_argument(message));
        }
        Ok(())
    }

    fn check_ids(&self, parsed: &Parsed) -> Result<(), Exception> {
        if !(self.is("brokers") || self.is("broker-loggers")) {
            return Ok(());
        }
        for option in ["entity-name", "broker", "broker-logger"].into_iter().filter(|option| parsed.has(option)) {
            let id = parsed.text(option)?;
            if self.has_name() && id.parse::<i32>().is_err() {
                let kind = self.kind();
                let message = format!("The entity name for {kind} must be a valid integer broker id, but it is: {id}");
                return Err(Exception::illegal_argument(message));
            }
        }
        Ok(())
    }

    fn check_describe(&self, parsed: &Parsed) -> Result<(), Exception> {
        let kinds = self.kinds.join(",");
        if !self.has_defaults() && parsed.has("entity-default") {
            let message = format!("--entity-default must not be specified with --describe of {kinds}");
            return Err(Exception::illegal_argument(message));
        }
        if self.is("broker-loggers") && !self.has_name() {
            let message = format!("An entity name must be specified with --describe of {kinds}");
            return Err(Exception::illegal_argument(message));
        }
        Ok(())
    }

    fn check_alter(&self, parsed: &Parsed) -> Result<(), Exception> {
        if self.has_defaults() && self.names.is_empty() {
            let message =
                "An entity-name or default entity must be specified with --alter of users, clients, brokers or ips";
            return Err(Exception::illegal_argument(message));
        }
        if !self.has_defaults() && !self.has_name() {
            let message = format!("An entity name must be specified with --alter of {}", self.kinds.join(","));
            return Err(Exception::illegal_argument(message));
        }
        if parsed.has("add-config") && parsed.has("add-config-file") {
            let message = "Only one of --add-config or --add-config-file must be specified";
            return Err(Exception::illegal_argument(message));
        }
        if !parsed.has_any(&["add-config", "add-config-file", "delete-config"]) {
            let message =
                "At least one of --add-config, --add-config-file, or --delete-config must be specified with --alter";
            return Err(Exception::illegal_argument(message));
        }
        Ok(())
    }
}
