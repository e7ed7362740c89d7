//! `kafka-consumer-groups.sh`: lists and describes consumer groups, deletes them, and moves their offsets.

mod delete;
mod describe;
pub(super) mod groups;
mod list;
mod offsets;
pub(super) mod reset;

use super::java::{Exception, Failure};
use super::options::{self, Parsed, tables::consumer_groups::OPTIONS};
use super::out::{self, Out};
use super::session;
use super::stop::Stop;

const ACTIONS: [&str; 6] = ["list", "describe", "delete", "reset-offsets", "delete-offsets", "validate-regex"];
const SCENARIOS: [&str; 8] =
    ["to-offset", "shift-by", "to-datetime", "by-duration", "to-earliest", "to-latest", "to-current", "from-file"];
/// What stands in a column without a value.
const MISSING: &str = "-";

/// Runs the tool.
pub(super) fn run(args: &[String], out: &mut Out) -> Result<(), Stop> {
    let parsed = options::parse(OPTIONS, args)?;
    check(&parsed)?;
    if ACTIONS.iter().filter(|action| parsed.has(action)).count() != 1 {
        let names: Vec<String> = ACTIONS.iter().map(|action| format!("--{action}")).collect();
        return Err(parsed.usage(&format!("Command must include exactly one action: {}", names.join(", "))));
    }
    if let Some(regex) = parsed.one("validate-regex")? {
        return match regex::Regex::new(regex) {
            Ok(_) => Ok(out.line(format_args!("The regular expression `{regex}` is valid."))?),
            Err(error) => {
                let reason = error.to_string();
                let reason = reason.lines().last().unwrap_or_default().trim_start_matches("error: ");
                Ok(out.line(format_args!("The regular expression `{regex}` is invalid: {reason}."))?)
            }
        };
    }
    session::run(async {
        execute(&parsed, out).await.or_else(|failure| match failure {
            Failure::Stop(stop) => Err(stop),
            Failure::Exception(error) if error.class.starts_with("joptsimple.") => Err(parsed.usage(&error.message)),
            Failure::Exception(error) if error.class == "java.lang.IllegalArgumentException" => {
                Err(parsed.usage(&error.message))
            }
            Failure::Exception(error) => {
                // The tool reports the failure and still exits with 0.
                let title = "\nError: Executing consumer group command failed due to";
                let direct = parsed.has("reset-offsets");
                let (reason, thrown) = if direct {
                    (error.message.clone(), error.to_string())
                } else {
                    (error.to_string(), format!("java.util.concurrent.ExecutionException: {error}"))
                };
                out.line(format_args!("{title} {reason}"))?;
                out.flush()?;
                out::error_text(&format!("{thrown}\n"));
                Ok(())
            }
        })
    })
}

async fn execute(parsed: &Parsed, out: &mut Out) -> Result<(), Failure> {
    let mut properties = session::optional_properties(parsed.one("command-config")?)?;
    let timeout = parsed.text("timeout")?.to_owned();
    properties.insert("default.api.timeout.ms".to_owned(), timeout);
    let client = session::connect(parsed.text("bootstrap-server")?, &properties).await?;
    if parsed.has("list") {
        list::list(&client, parsed, out).await
    } else if parsed.has("describe") {
        describe::describe(&client, parsed, out).await
    } else if parsed.has("delete") {
        delete::groups(&client, parsed, out).await
    } else if parsed.has("reset-offsets") {
        reset::reset(&client, parsed, out).await
    } else {
        delete::offsets(&client, parsed, out).await
    }
}

/// The groups that the options name, or all.
async fn selected(client: &client::Client, parsed: &Parsed) -> Result<Vec<String>, Exception> {
    if parsed.has("all-groups") {
        let listed = groups::list(client, &[], &[]).await?;
        return Ok(listed.into_iter().map(|group| group.group_id).collect());
    }
    Ok(parsed.all("group").into_iter().map(str::to_owned).collect())
}

fn check(parsed: &Parsed) -> Result<(), Stop> {
    parsed.help_or_version(
        "This tool helps to list all consumer groups, describe a consumer group, delete consumer group info, or reset \
         consumer group offsets.",
    )?;
    if !parsed.has("validate-regex") {
        parsed.require(&["bootstrap-server"])?;
    }
    let has_groups = parsed.has_any(&["group", "all-groups"]);
    let needs =
        |option: &str| parsed.usage(&format!("Option [{option}] takes one of these options: [group], [all-groups]"));
    if parsed.has("describe") {
        if !has_groups {
            return Err(needs("describe"));
        }
        if ["members", "offsets", "state"].iter().filter(|option| parsed.has(option)).count() > 1 {
            let message = "Option [describe] takes at most one of these options: [members], [offsets], [state]";
            return Err(parsed.usage(message));
        }
        if parsed.one("state")?.is_some() {
            return Err(parsed.usage("Option [describe] does not take a value for [state]"));
        }
    }
    if parsed.has("delete") {
        if !has_groups {
            return Err(needs("delete"));
        }
        if parsed.has("topic") {
            let message = "The consumer does not support topic-specific offset deletion from a consumer group.";
            return Err(parsed.usage(message));
        }
    }
    if parsed.has("delete-offsets") && !(parsed.has("group") && parsed.has("topic")) {
        let message = "Option [delete-offsets] takes the following options: [group], [topic]";
        return Err(parsed.usage(message));
    }
    if parsed.has("reset-offsets") {
        check_reset(parsed, has_groups, &needs)?;
    }
    parsed.forbid("group", &["all-groups"])?;
    parsed.forbid("group", &["list"])?;
    parsed.forbid("topic", &["list", "describe"])
}

fn check_reset(parsed: &Parsed, has_groups: bool, needs: &dyn Fn(&str) -> Stop) -> Result<(), Stop> {
    match (parsed.has("dry-run"), parsed.has("execute")) {
        (true, true) => {
            return Err(parsed.usage("Option [reset-offsets] only accepts one of [execute] and [dry-run]"));
        }
        (false, false) => out::error_text(
            "WARN: No action will be performed as the --execute option is missing. In version 5.0, this command will \
             require either --dry-run or --execute to be specified. You should add the --dry-run option explicitly if \
             you are scripting this command and want to keep the current default behavior without prompting.\n",
        ),
        _ => {}
    }
    if !has_groups {
        return Err(needs("reset-offsets"));
    }
    for scenario in SCENARIOS {
        let others: Vec<&str> = SCENARIOS.into_iter().filter(|other| *other != scenario).collect();
        parsed.forbid(scenario, &others)?;
    }
    Ok(())
}

/// Prints an error as the tool does: on stdout, after an empty line.
fn print_error(out: &mut Out, message: &str) -> Result<(), Failure> {
    Ok(out.line(format_args!("\nError: {message}"))?)
}
