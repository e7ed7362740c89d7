//! `kafka-metadata-quorum.sh`: the state of the KRaft quorum.

mod voters;

use client::Client;
use protocol::messages::DescribeQuorumRequest;
use protocol::messages::describe_quorum_request::{PartitionData as AskedPartition, TopicData as AskedTopic};
use protocol::messages::describe_quorum_response::{DescribeQuorumResponse, PartitionData, ReplicaState};

use super::java::{Exception, Failure};
use super::options::argparse::{self, Arguments, Command, Group, one, required, switch};
use super::out::Out;
use super::stop::Stop;
use super::{cluster, session};

const TOOL: Command = Command {
    name: "kafka-metadata-quorum",
    help: include_str!("options/help/metadata-quorum.txt"),
    arguments: &[one(&["--bootstrap-server"]), one(&["--bootstrap-controller"]), one(&["--command-config"])],
    groups: &[Group { names: &["--bootstrap-server", "--bootstrap-controller"], required: true }],
    subcommands: &[
        Command {
            name: "describe",
            help: include_str!("options/help/metadata-quorum-describe.txt"),
            arguments: &[switch(&["--status"]), switch(&["--replication"]), switch(&["--human-readable"])],
            groups: &[],
            subcommands: &[],
        },
        Command {
            name: "add-controller",
            help: include_str!("options/help/metadata-quorum-add-controller.txt"),
            arguments: &[switch(&["--dry-run"])],
            groups: &[],
            subcommands: &[],
        },
        Command {
            name: "remove-controller",
            help: include_str!("options/help/metadata-quorum-remove-controller.txt"),
            arguments: &[
                required(&["--controller-id", "-i"]),
                required(&["--controller-directory-id", "-d"]),
                switch(&["--dry-run"]),
            ],
            groups: &[],
            subcommands: &[],
        },
    ],
};
const HEADERS: [&str; 7] =
    ["NodeId", "DirectoryId", "LogEndOffset", "Lag", "LastFetchTimestamp", "LastCaughtUpTimestamp", "Status"];

/// Runs the tool.
pub(super) fn run(args: &[String], out: &mut Out) -> Result<(), Stop> {
    let arguments = argparse::read(&TOOL, args).map_err(|refusal| refusal.stop(0))?;
    session::run(async { execute(&arguments, out).await.map_err(Failure::traced) })
}

async fn execute(arguments: &Arguments, out: &mut Out) -> Result<(), Failure> {
    let config = arguments.one("--command-config");
    if let Some(path) = config.filter(|path| !std::path::Path::new(path).exists()) {
        return Err(Stop::error(&format!("Properties file {path} does not exists!")).into());
    }
    let properties = session::optional_properties(config)?;
    let bootstrap = arguments.one("--bootstrap-server").or_else(|| arguments.one("--bootstrap-controller"));
    let bootstrap = bootstrap.unwrap_or_default();
    match arguments.command {
        "add-controller" if config.is_none() => {
            let message = "You must supply the configuration file of the controller you are adding when using \
                           add-controller.";
            return Err(Stop::error(message).into());
        }
        "add-controller" => {
            let client = session::connect(bootstrap, &properties).await?;
            return voters::add(&client, arguments, &properties, out).await;
        }
        "remove-controller" => {
            let client = session::connect(bootstrap, &properties).await?;
            return voters::remove(&client, arguments, out).await;
        }
        _ => {}
    }
    let (status, replication) = (arguments.has("--status"), arguments.has("--replication"));
    let human_readable = arguments.has("--human-readable");
    let refused = match (status, replication, human_readable) {
        (true, true, _) => "Only one of --status or --replication should be specified with describe sub-command",
        (true, _, true) => "The option --human-readable is only supported along with --replication",
        (false, false, _) => "One of --status or --replication must be specified with describe sub-command",
        _ => "",
    };
    if !refused.is_empty() {
        return Err(Stop::error(refused).into());
    }
    let client = session::connect(bootstrap, &properties).await?;
    let (response, partition) = describe_quorum(&client).await?;
    if replication {
        print_replication(&partition, human_readable, out)
    } else {
        let cluster = cluster::describe(&client, arguments.has("--bootstrap-controller"), false).await?;
        print_status(&cluster.cluster_id, &response, &partition, out)
    }
}

async fn describe_quorum(client: &Client) -> Result<(DescribeQuorumResponse, PartitionData), Exception> {
    let partition = AskedPartition { partition_index: 0, ..Default::default() };
    let topic =
        AskedTopic { topic_name: "__cluster_metadata".to_owned(), partitions: vec![partition], ..Default::default() };
    let request = DescribeQuorumRequest { topics: vec![topic], ..Default::default() };
    let response = client.retry("describeMetadataQuorum", async || client.send_to_any(&request).await).await?;
    Exception::check(response.error_code, response.error_message.as_deref())?;
    let missing = || {
        let message = "Expected 1 topic and 1 partition in the DescribeQuorum response";
        Exception::of_code(protocol::ErrorCode::UnknownServerError, Some(message))
    };
    let partition = response.topics.first().and_then(|topic| topic.partitions.first()).cloned();
    let partition = partition.ok_or_else(missing)?;
    Exception::check(partition.error_code, partition.error_message.as_deref())?;
    Ok((response, partition))
}

fn leader(partition: &PartitionData) -> Result<&ReplicaState, Exception> {
    let leader = partition.current_voters.iter().find(|voter| voter.replica_id == partition.leader_id);
    leader.ok_or_else(|| Exception::new("java.util.NoSuchElementException", "No value present"))
}

fn print_status(
    cluster_id: &str,
    response: &DescribeQuorumResponse,
    partition: &PartitionData,
    out: &mut Out,
) -> Result<(), Failure> {
    let leader = leader(partition)?;
    let slowest = partition.current_voters.iter().min_by_key(|voter| voter.log_end_offset).unwrap_or(leader);
    let lag_ms = if slowest.replica_id == leader.replica_id {
        0
    } else if leader.last_caught_up_timestamp >= 0 && slowest.last_caught_up_timestamp >= 0 {
        leader.last_caught_up_timestamp - slowest.last_caught_up_timestamp
    } else {
        -1
    };
    let replicas = |replicas: &[ReplicaState]| {
        let nodes: Vec<String> = replicas.iter().map(|replica| node(response, replica)).collect();
        format!("[{}]", nodes.join(", "))
    };
    out.line(format_args!("ClusterId:              {cluster_id}"))?;
    out.line(format_args!("LeaderId:               {}", partition.leader_id))?;
    out.line(format_args!("LeaderEpoch:            {}", partition.leader_epoch))?;
    out.line(format_args!("HighWatermark:          {}", partition.high_watermark))?;
    out.line(format_args!("MaxFollowerLag:         {}", leader.log_end_offset - slowest.log_end_offset))?;
    out.line(format_args!("MaxFollowerLagTimeMs:   {lag_ms}"))?;
    out.line(format_args!("CurrentVoters:          {}", replicas(&partition.current_voters)))?;
    out.line(format_args!("CurrentObservers:       {}", replicas(&partition.observers)))?;
    Ok(())
}

fn node(response: &DescribeQuorumResponse, replica: &ReplicaState) -> String {
    let mut text = format!("{{\"id\": {}", replica.replica_id);
    if !replica.replica_directory_id.is_zero() {
        text.push_str(&format!(", \"directoryId\": \"{}\"", replica.replica_directory_id));
    }
    let node = response.nodes.iter().find(|node| node.node_id == replica.replica_id);
    let endpoints: Vec<String> = node
        .iter()
        .flat_map(|node| &node.listeners)
        .map(|listener| format!("\"{}://{}:{}\"", listener.name, listener.host, listener.port))
        .collect();
    if !endpoints.is_empty() {
        text.push_str(&format!(", \"endpoints\": [{}]", endpoints.join(", ")));
    }
    text.push('}');
    text
}

fn print_replication(partition: &PartitionData, human_readable: bool, out: &mut Out) -> Result<(), Failure> {
    let leader = leader(partition)?;
    let mut rows = vec![HEADERS.map(str::to_owned)];
    let followers = partition.current_voters.iter().filter(|voter| voter.replica_id != leader.replica_id);
    let replicas = std::iter::once((leader, "Leader"))
        .chain(followers.map(|voter| (voter, "Follower")))
        .chain(partition.observers.iter().map(|observer| (observer, "Observer")));
    for (replica, status) in replicas {
        rows.push([
            replica.replica_id.to_string(),
            replica.replica_directory_id.to_string(),
            replica.log_end_offset.to_string(),
            (leader.log_end_offset - replica.log_end_offset).to_string(),
            timestamp(replica.last_fetch_timestamp, human_readable),
            timestamp(replica.last_caught_up_timestamp, human_readable),
            status.to_owned(),
        ]);
    }
    let widths: Vec<usize> =
        (0..HEADERS.len()).map(|column| rows.iter().map(|row| row[column].len()).max().unwrap_or(0)).collect();
    for row in rows {
        let cells: Vec<String> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}\t")).collect();
        out.line(cells.concat())?;
    }
    Ok(())
}

fn timestamp(timestamp: i64, human_readable: bool) -> String {
    match timestamp {
        -1 => "-1".to_owned(),
        timestamp if human_readable => format!("{} ms ago", super::time::now_ms() - timestamp),
        timestamp => timestamp.to_string(),
    }
}
