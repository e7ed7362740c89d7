//! `kafka-share-groups.sh`: lists and describes share groups, deletes them, and moves where they start.

mod delete;
mod describe;
mod offsets;
mod reset;

use client::Client;
use protocol::messages::ListGroupsRequest;
use protocol::messages::list_groups_response::ListedGroup;

use super::groups;
use super::java::{Exception, Failure};
use super::options::{self, Parsed, tables::share_groups::OPTIONS};
use super::out::{self, Out};
use super::session;
use super::stop::Stop;

const ACTIONS: [&str; 5] = ["list", "describe", "delete", "reset-offsets", "delete-offsets"];
const SCENARIOS: [&str; 3] = ["to-datetime", "to-earliest", "to-latest"];
/// States of a share group, in the order in which Java's set has them.
const STATES: [&str; 3] = ["Dead", "Empty", "Stable"];
/// What stands in a column without a value.
const MISSING: &str = "-";

/// Runs the tool.
pub(super) fn run(args: &[String], out: &mut Out) -> Result<(), Stop> {
    let parsed = options::parse(OPTIONS, args)?;
    check(&parsed)?;
    if ACTIONS.iter().filter(|action| parsed.has(action)).count() != 1 {
        let names: Vec<String> = ACTIONS.iter().map(|action| format!("--{action}")).collect();
        return Err(parsed.usage(&format!("Command must include exactly one action: {}.", names.join(", "))));
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
                let execution = format!("java.util.concurrent.ExecutionException: {error}");
                let (reason, thrown) = if parsed.has("reset-offsets") {
                    (error.message.clone(), error.to_string())
                } else if parsed.has("describe") {
                    (error.to_string(), execution)
                } else {
                    (execution.clone(), format!("java.lang.RuntimeException: {execution}"))
                };
                print_error(out, &format!("Executing share group command failed due to {reason}"))?;
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
        list(&client, parsed, out).await
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

fn check(parsed: &Parsed) -> Result<(), Stop> {
    parsed.help_or_version("This tool helps to list, describe, reset and delete share groups.")?;
    parsed.require(&["bootstrap-server"])?;
    let has_groups = parsed.has_any(&["group", "all-groups"]);
    if parsed.has("describe") {
        if !has_groups {
            return Err(parsed.usage("Option [describe] takes one of these options: [all-groups], [group]"));
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
            return Err(parsed.usage("Option [delete] takes the options [group] or [all-groups]"));
        }
        if parsed.has("group") && parsed.has("all-groups") {
            return Err(parsed.usage("Option [delete] takes either [group] or [all-groups], not both."));
        }
        if parsed.has("topic") {
            return Err(parsed.usage("Option [delete] does not take the option: [topic]"));
        }
    }
    if parsed.has("delete-offsets") && !(parsed.has("group") && parsed.has("topic")) {
        return Err(parsed.usage("Option [delete-offsets] takes the following options: [group], [topic]"));
    }
    if parsed.has("reset-offsets") {
        check_reset(parsed)?;
    }
    parsed.forbid("group", &["all-groups"])?;
    parsed.forbid("group", &["list"])?;
    parsed.forbid("topic", &["list", "describe"])
}

fn check_reset(parsed: &Parsed) -> Result<(), Stop> {
    let refuse = |message: &str| Err(parsed.usage(&format!("Option [reset-offsets] {message}")));
    match (parsed.has("dry-run"), parsed.has("execute")) {
        (true, true) => return refuse("only accepts one of [execute] and [dry-run]"),
        (false, false) => return refuse("takes the option: [execute] or [dry-run]"),
        _ => {}
    }
    if !parsed.has("group") {
        return refuse("takes the option: [group]");
    }
    if !parsed.has_any(&["topic", "all-topics"]) {
        return refuse("takes one of these options: [all-topics], [topic]");
    }
    if !parsed.has_any(&SCENARIOS) {
        return refuse("takes one of these options: [to-datetime], [to-earliest], [to-latest]");
    }
    for scenario in SCENARIOS {
        let others: Vec<&str> = SCENARIOS.into_iter().filter(|other| *other != scenario).collect();
        parsed.forbid(scenario, &others)?;
    }
    Ok(())
}

/// The share groups in these states, or all.
async fn listed(client: &Client, states: Vec<String>) -> Result<Vec<ListedGroup>, Exception> {
    let types_filter = vec!["Share".to_owned()];
    let request = ListGroupsRequest { states_filter: states, types_filter, ..ListGroupsRequest::default() };
    groups::list_all(client, request).await
}

/// The groups that the options name, or all.
async fn selected(client: &Client, parsed: &Parsed) -> Result<Vec<String>, Exception> {
    if parsed.has("all-groups") {
        return Ok(listed(client, Vec::new()).await?.into_iter().map(|group| group.group_id).collect());
    }
    Ok(parsed.all("group").into_iter().map(str::to_owned).collect())
}

async fn list(client: &Client, parsed: &Parsed, out: &mut Out) -> Result<(), Failure> {
    if !parsed.has("state") {
        for group in listed(client, Vec::new()).await? {
            out.line(group.group_id)?;
        }
        return Ok(());
    }
    let groups = listed(client, states(parsed.one("state")?.unwrap_or_default())?).await?;
    let width = groups.iter().map(|group| group.group_id.chars().count()).max().unwrap_or(0).max(15);
    out.line(format_args!("{:<width$} STATE", "GROUP"))?;
    for group in groups {
        out.line(format_args!("{:<width$} {}", group.group_id, group.group_state))?;
    }
    Ok(())
}

fn states(text: &str) -> Result<Vec<String>, Exception> {
    if text.is_empty() {
        return Ok(Vec::new());
    }
    let known = |state: &str| STATES.into_iter().find(|known| known.eq_ignore_ascii_case(state.trim()));
    let parsed = text.split(',').map(|state| known(state).map(str::to_owned));
    parsed.collect::<Option<Vec<_>>>().ok_or_else(|| {
        let valid = STATES.join(", ");
        Exception::illegal_argument(format!("Invalid state list '{text}'. Valid states are: {valid}"))
    })
}

/// Prints an error as the tool does: on stdout, after an empty line.
fn print_error(out: &mut Out, message: &str) -> Result<(), std::io::Error> {
    out.line(format_args!("\nError: {message}"))
}
