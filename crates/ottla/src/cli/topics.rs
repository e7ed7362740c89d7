//! `kafka-topics.sh`: creates, lists, describes, alters and deletes topics.

mod describe;

use client::Client;
use protocol::ErrorCode;
use protocol::messages::create_partitions_request::{CreatePartitionsAssignment, CreatePartitionsTopic};
use protocol::messages::create_topics_request::{CreatableReplicaAssignment, CreatableTopic, CreatableTopicConfig};
use protocol::messages::delete_topics_request::DeleteTopicState;
use protocol::messages::{CreatePartitionsRequest, CreateTopicsRequest, DeleteTopicsRequest};

use super::java::{Exception, Failure};
use super::options::{self, Parsed, tables::topics::OPTIONS};
use super::out::Out;
use super::session;
use super::stop::Stop;
use super::topic_filter::{IncludeList, is_internal};

const ACTIONS: [&str; 5] = ["create", "list", "alter", "describe", "delete"];
const REPORTS: [&str; 4] =
    ["under-replicated-partitions", "under-min-isr-partitions", "at-min-isr-partitions", "unavailable-partitions"];
const CONFIGS_TOOL: &str = " (To alter topic configurations, the kafka-configs tool can be used.)";

/// Runs the tool.
pub(super) fn run(args: &[String], out: &mut Out) -> Result<(), Stop> {
    let traced = |error: options::ParseError| Exception::new(error.class(), error.to_string()).traced();
    let parsed = options::parse(OPTIONS, args).map_err(traced)?;
    check(&parsed)?;
    let bootstrap = parsed.text("bootstrap-server").map_err(traced)?;
    let config = parsed.one("command-config").map_err(traced)?;
    let properties = session::optional_properties(config).map_err(|error| error.traced())?;
    session::run(async {
        let work = async {
            let client = session::connect(bootstrap, &properties).await?;
            execute(&client, &parsed, out).await
        };
        match work.await {
            Ok(()) => Ok(()),
            Err(Failure::Stop(stop)) => Err(stop),
            Err(Failure::Exception(error)) => Err(Stop {
                stdout: format!("Error while executing topic command : {}\n", error.message),
                stderr: format!("ERROR {error}\n (org.apache.kafka.tools.TopicCommand)\n"),
                code: 1,
            }),
        }
    })
}

fn check(parsed: &Parsed) -> Result<(), Stop> {
    if parsed.is_empty() {
        return Err(parsed.usage("Create, delete, describe, or change a topic."));
    }
    parsed.help_or_version("This tool helps to create, delete, describe, or change a topic.")?;
    if ACTIONS.iter().filter(|action| parsed.has(action)).count() != 1 {
        return Err(
            parsed.usage("Command must include exactly one action: --list, --describe, --create, --alter or --delete")
        );
    }
    if parsed.has("delete-config") {
        super::out::error_text(
            "delete-config option is no longer supported and deprecated since version 4.0. The config will be fully \
             removed in future releases.\n",
        );
    }
    if !parsed.has("bootstrap-server") {
        return Err(Exception::illegal_argument("--bootstrap-server must be specified").traced());
    }
    if parsed.has("describe") && parsed.has("if-exists") && !parsed.has_any(&["topic", "topic-id"]) {
        return Err(parsed.usage("--topic or --topic-id is required to describe a topic"));
    }
    if !parsed.has_any(&["list", "describe"]) {
        parsed.require(&["topic"])?;
    }
    if parsed.has("alter") {
        if parsed.has("config") {
            let options = "Option combination \"[[bootstrap-server], [config]]\"";
            return Err(parsed.usage(&format!("{options} can't be used with option \"[alter]\"{CONFIGS_TOOL}")));
        }
        parsed.require(&["partitions"])?;
    }
    check_combinations(parsed)
}

fn check_combinations(parsed: &Parsed) -> Result<(), Stop> {
    let only_with = |option: &str, actions: &[&str], reports: &[&str]| -> Result<(), Stop> {
        let others: Vec<&str> =
            ACTIONS.into_iter().filter(|action| !actions.contains(action)).chain(reports.iter().copied()).collect();
        parsed.forbid(option, &others)
    };
    only_with("config", &["alter", "create"], &[])?;
    only_with("partitions", &["alter", "create"], &[])?;
    only_with("replication-factor", &["create"], &[])?;
    only_with("replica-assignment", &["alter", "create"], &[])?;
    if parsed.has("create") {
        parsed.forbid("replica-assignment", &["partitions", "replication-factor"])?;
    }
    for report in REPORTS {
        only_with(report, &["describe"], &["topics-with-overrides"])?;
    }
    only_with("topics-with-overrides", &["describe"], &REPORTS)?;
    only_with("if-exists", &["alter", "delete", "describe"], &[])?;
    only_with("if-not-exists", &["create"], &[])?;
    only_with("exclude-internal", &["list", "describe"], &[])
}

async fn execute(client: &Client, parsed: &Parsed, out: &mut Out) -> Result<(), Failure> {
    if parsed.has("create") {
        create(client, parsed, out).await
    } else if parsed.has("alter") {
        alter(client, parsed).await
    } else if parsed.has("list") {
        let names = matching(client, parsed).await?;
        Ok(out.line(names.join("\n"))?)
    } else if parsed.has("describe") {
        describe::describe(client, parsed, out).await
    } else {
        delete(client, parsed).await
    }
}

/// Names of the topics that `--topic` means, sorted.
async fn matching(client: &Client, parsed: &Parsed) -> Result<Vec<String>, Exception> {
    let filter = parsed.one("topic")?.map(IncludeList::new).transpose()?;
    let without_internal = parsed.has("exclude-internal");
    let cluster = client.metadata(None).await?;
    let mut names: Vec<String> = cluster
        .topics
        .keys()
        .filter(|name| filter.as_ref().is_none_or(|filter| filter.allows(name)))
        .filter(|name| !(without_internal && is_internal(name)))
        .map(|name| name.to_string())
        .collect();
    names.sort_unstable();
    Ok(names)
}

fn ensure_found(parsed: &Parsed, found: &[String]) -> Result<(), Exception> {
    match parsed.one("topic")? {
        Some(topic) if !topic.is_empty() && found.is_empty() && !parsed.has("if-exists") => {
            Err(Exception::illegal_argument(format!("Topic '{topic}' does not exist as expected")))
        }
        _ => Ok(()),
    }
}

async fn create(client: &Client, parsed: &Parsed, out: &mut Out) -> Result<(), Failure> {
    let name = parsed.text("topic")?;
    let partitions: Option<i32> = parsed.number("partitions")?;
    let replication_factor: Option<i32> = parsed.number("replication-factor")?;
    let assignment = replica_assignment(parsed)?;
    let configs = configs(parsed)?;
    if name.contains(['.', '_']) {
        out.line(
            "WARNING: Due to limitations in metric names, topics with a period ('.') or underscore ('_') could collide. \
             To avoid issues it is best to use either, but not both.",
        )?;
    }
    if replication_factor.is_some_and(|factor| !(1..=i32::from(i16::MAX)).contains(&factor)) {
        return Err(Exception::illegal_argument("The replication factor must be between 1 and 32767 inclusive").into());
    }
    if partitions.is_some_and(|count| count < 1) {
        return Err(Exception::illegal_argument("The partitions must be greater than 0").into());
    }
    let default_count = if assignment.is_empty() { partitions.unwrap_or(-1) } else { -1 };
    let topic = CreatableTopic {
        name: name.to_owned(),
        num_partitions: default_count,
        replication_factor: replication_factor.and_then(|factor| i16::try_from(factor).ok()).unwrap_or(-1),
        assignments: (0..)
            .zip(assignment)
            .map(|(partition_index, broker_ids)| CreatableReplicaAssignment {
                partition_index,
                broker_ids,
                ..Default::default()
            })
            .collect(),
        configs,
        ..Default::default()
    };
    let request = CreateTopicsRequest { topics: vec![topic], timeout_ms: 60_000, ..Default::default() };
    let response = client.retry("createTopics", async || client.send_to_controller(&request).await).await?;
    for result in &response.topics {
        match Exception::check(result.error_code, result.error_message.as_deref()) {
            Err(error) if error.code == ErrorCode::TopicAlreadyExists && parsed.has("if-not-exists") => {}
            Err(error) => return Err(error.into()),
            Ok(()) => out.line(format_args!("Created topic {name}."))?,
        }
    }
    Ok(())
}

fn configs(parsed: &Parsed) -> Result<Vec<CreatableTopicConfig>, Exception> {
    let malformed = || {
        Exception::illegal_argument(
            "requirement failed: Invalid topic config: all configs to be added must be in the format \"key=val\".",
        )
    };
    let mut configs: Vec<CreatableTopicConfig> = Vec::new();
    for text in parsed.all("config") {
        let mut parts: Vec<&str> = text.split('=').map(str::trim).collect();
        while parts.last().is_some_and(|part| part.is_empty()) {
            parts.pop();
        }
        let [name, value] = parts.as_slice() else { return Err(malformed()) };
        configs.retain(|config| config.name != *name);
        configs.push(CreatableTopicConfig {
            name: (*name).to_owned(),
            value: Some((*value).to_owned()),
            ..Default::default()
        });
    }
    Ok(configs)
}

fn replica_assignment(parsed: &Parsed) -> Result<Vec<Vec<i32>>, Exception> {
    let text = parsed.one("replica-assignment")?.unwrap_or_default();
    if text.is_empty() {
        return Ok(Vec::new());
    }
    let mut assignment: Vec<Vec<i32>> = Vec::new();
    for (partition, list) in text.split(',').enumerate() {
        let mut brokers = Vec::new();
        for broker in list.split(':').map(str::trim) {
            let bad = || Exception::new("java.lang.NumberFormatException", format!("For input string: \"{broker}\""));
            let broker: i32 = broker.parse().map_err(|_| bad())?;
            if brokers.contains(&broker) {
                let message = format!("Partition replica lists may not contain duplicate entries: {broker}");
                return Err(Exception::new("org.apache.kafka.tools.AdminCommandFailedException", message));
            }
            brokers.push(broker);
        }
        if assignment.first().is_some_and(|first| first.len() != brokers.len()) {
            let message = format!("Partition {partition} has different replication factor: {brokers:?}");
            return Err(Exception::new("org.apache.kafka.tools.AdminOperationException", message));
        }
        assignment.push(brokers);
    }
    Ok(assignment)
}

async fn alter(client: &Client, parsed: &Parsed) -> Result<(), Failure> {
    let assignment = replica_assignment(parsed)?;
    let count: i32 = parsed.number("partitions")?.unwrap_or(-1);
    let names = matching(client, parsed).await?;
    ensure_found(parsed, &names)?;
    if names.is_empty() {
        return Ok(());
    }
    let cluster = client.cluster();
    let assignments = |name: &str| {
        let present = cluster.topic(name).map_or(0, |topic| topic.partitions.len());
        let added = assignment.iter().skip(present);
        let added =
            added.map(|brokers| CreatePartitionsAssignment { broker_ids: brokers.clone(), ..Default::default() });
        (!assignment.is_empty()).then(|| added.collect::<Vec<_>>())
    };
    let topics = names.iter().map(|name| CreatePartitionsTopic {
        name: name.clone(),
        count,
        assignments: assignments(name),
        ..Default::default()
    });
    let request = CreatePartitionsRequest { topics: topics.collect(), timeout_ms: 60_000, ..Default::default() };
    let response = client.retry("createPartitions", async || client.send_to_controller(&request).await).await?;
    for result in &response.results {
        Exception::check(result.error_code, result.error_message.as_deref())?;
    }
    Ok(())
}

async fn delete(client: &Client, parsed: &Parsed) -> Result<(), Failure> {
    let names = matching(client, parsed).await?;
    ensure_found(parsed, &names)?;
    if names.is_empty() {
        return Ok(());
    }
    let request = DeleteTopicsRequest {
        topics: names.iter().map(|name| DeleteTopicState { name: Some(name.clone()), ..Default::default() }).collect(),
        topic_names: names,
        timeout_ms: 60_000,
        ..Default::default()
    };
    let response = client.retry("deleteTopics", async || send_delete(client, &request).await).await?;
    for result in &response.responses {
        Exception::check(result.error_code, result.error_message.as_deref())?;
    }
    Ok(())
}

/// From version 6 on the request names its topics in another field.
async fn send_delete(
    client: &Client,
    request: &DeleteTopicsRequest,
) -> Result<protocol::messages::DeleteTopicsResponse, client::ClientError> {
    const STATES_VERSION: i16 = 6;
    let controller = client.cluster().controller;
    let connection = match controller {
        Some(node) => client.broker(node, client::Lane::Request).await?,
        None => client.any_broker().await?,
    };
    let version = connection.version::<DeleteTopicsRequest>(None)?;
    let mut request = request.clone();
    if version >= STATES_VERSION {
        request.topic_names.clear();
    } else {
        request.topics.clear();
    }
    connection.send_version(&request, version).await
}
