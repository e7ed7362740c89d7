//! `kafka-groups.sh`: lists groups of all types.

use protocol::messages::ListGroupsRequest;
use protocol::messages::list_groups_response::ListedGroup;

use super::java::{DEFAULT_CAPACITY, Exception, Failure, hash_order};
use super::options::{self, Parsed, tables::groups::OPTIONS};
use super::out::Out;
use super::session;
use super::stop::Stop;

const TYPES: [&str; 4] = ["Classic", "Consumer", "Share", "Streams"];
const ABOUT: &str = "This tool helps to list groups of all types.";

/// Runs the tool.
pub(super) fn run(args: &[String], out: &mut Out) -> Result<(), Stop> {
    let parsed = options::parse(OPTIONS, args).map_err(|error| options::usage(OPTIONS, &error.to_string()))?;
    if !parsed.has("help") && !parsed.has("version") && !parsed.has("bootstrap-server") {
        return Err(parsed.usage("Missing required option(s) [bootstrap-server]"));
    }
    let wanted = check(&parsed)?;
    session::run(async {
        let listed = list(&parsed).await;
        let listed = listed.and_then(|groups| print(&parsed, wanted, groups, out));
        match listed {
            Ok(()) => Ok(()),
            Err(Failure::Stop(stop)) => Err(stop),
            Err(Failure::Exception(error)) => {
                out.line(format_args!("Error while executing groups command : {}", error.message))?;
                Err(Stop::silent(1))
            }
        }
    })
}

fn check(parsed: &Parsed) -> Result<Option<&'static str>, Stop> {
    parsed.help_or_version(ABOUT)?;
    if !parsed.has("list") {
        return Err(parsed.usage("Command must include exactly one action: --list."));
    }
    let mut wanted = None;
    if let Some(name) = parsed.one("group-type")? {
        wanted = TYPES.into_iter().find(|kind| kind.eq_ignore_ascii_case(name));
        if wanted.is_none() {
            return Err(Exception::illegal_argument("--group-type must be a valid group type.").traced());
        }
    }
    parsed.forbid("consumer", &["group-type", "protocol", "share", "streams"])?;
    parsed.forbid("share", &["consumer", "group-type", "protocol", "streams"])?;
    parsed.forbid("streams", &["consumer", "group-type", "protocol", "share"])?;
    Ok(wanted)
}

async fn list(parsed: &Parsed) -> Result<Vec<ListedGroup>, Failure> {
    let properties = session::optional_properties(parsed.one("command-config")?)?;
    let client = session::connect(parsed.text("bootstrap-server")?, &properties).await?;
    Ok(list_all(&client, ListGroupsRequest::default()).await?)
}

/// The groups of all brokers that a request lets through.
/// # Errors
/// The first broker's that has one.
pub(super) async fn list_all(
    client: &client::Client,
    request: ListGroupsRequest,
) -> Result<Vec<ListedGroup>, Exception> {
    let brokers: Vec<i32> = client.metadata(Some(&[])).await?.brokers.keys().copied().collect();
    let mut groups: Vec<ListedGroup> = Vec::new();
    for broker in brokers {
        let response = client.retry("listGroups", async || client.send_to(broker, &request).await).await?;
        Exception::check(response.error_code, None)?;
        groups.extend(response.groups);
    }
    hash_order(&mut groups, DEFAULT_CAPACITY, |group| &group.group_id);
    Ok(groups)
}

fn print(parsed: &Parsed, wanted: Option<&str>, groups: Vec<ListedGroup>, out: &mut Out) -> Result<(), Failure> {
    let protocol = parsed.one("protocol")?;
    let is = |group: &ListedGroup, kind: &str| group.group_type.eq_ignore_ascii_case(kind);
    let passes = |group: &ListedGroup| {
        let speaks = |protocol: &str| group.protocol_type == protocol;
        if let Some(kind) = wanted {
            return is(group, kind) && protocol.is_none_or(speaks);
        }
        if let Some(protocol) = protocol {
            return speaks(protocol);
        }
        if parsed.has("consumer") {
            return matches!(group.protocol_type.as_str(), "consumer" | "") || is(group, "Consumer");
        }
        (!parsed.has("share") || is(group, "Share")) && (!parsed.has("streams") || is(group, "Streams"))
    };
    let kind_of = |group: &ListedGroup| {
        TYPES.into_iter().find(|kind| is(group, kind)).unwrap_or(if group.group_type.is_empty() {
            ""
        } else {
            "Unknown"
        })
    };
    let rows: Vec<[&str; 3]> = groups
        .iter()
        .filter(|group| passes(group))
        .map(|group| [group.group_id.as_str(), kind_of(group), group.protocol_type.as_str()])
        .collect();
    let width = rows.iter().flatten().map(|cell| cell.chars().count()).max().unwrap_or(0).max(20);
    out.line(format_args!("{:<width$} {:<width$} {:<width$}", "GROUP", "TYPE", "PROTOCOL"))?;
    for row in rows {
        for cell in row {
            out.text(format_args!("{cell:<width$} "))?;
        }
        out.line("")?;
    }
    Ok(())
}
