//! `kafka-transactions.sh`: the transactional state of producers, and the end of transactions that hang (KIP-664).

mod hanging;

use client::{Client, CoordinatorType};
use protocol::messages::describe_producers_request::{DescribeProducersRequest, TopicRequest};
use protocol::messages::describe_producers_response::ProducerState;
use protocol::messages::describe_transactions_response::TransactionState;
use protocol::messages::list_transactions_response::TransactionState as Listed;
use protocol::messages::write_txn_markers_request::{
    WritableTxnMarker, WritableTxnMarkerTopic, WriteTxnMarkersRequest,
};
use protocol::messages::{DescribeTransactionsRequest, InitProducerIdRequest, ListTransactionsRequest};
use protocol::types::BrokerId;
use protocol::{ErrorCode, TopicPartition};

use super::java::{DEFAULT_CAPACITY, Exception, hash_order};
use super::options::argparse::{self, Arguments, Command, one, required, switch};
use super::out::Out;
use super::session;
use super::stop::Stop;

const TOOL: Command = Command {
    name: "kafka-transactions.sh",
    help: include_str!("options/help/transactions.txt"),
    arguments: &[switch(&["-v", "--version"]), one(&["--command-config"]), required(&["--bootstrap-server"])],
    groups: &[],
    subcommands: &[
        Command {
            name: "list",
            help: include_str!("options/help/transactions-list.txt"),
            arguments: &[one(&["--duration-filter"]), one(&["--transactional-id-pattern"])],
            groups: &[],
            subcommands: &[],
        },
        Command {
            name: "describe",
            help: include_str!("options/help/transactions-describe.txt"),
            arguments: &[required(&["--transactional-id"])],
            groups: &[],
            subcommands: &[],
        },
        Command {
            name: "describe-producers",
            help: include_str!("options/help/transactions-describe-producers.txt"),
            arguments: &[one(&["--broker-id"]), required(&["--topic"]), required(&["--partition"])],
            groups: &[],
            subcommands: &[],
        },
        Command {
            name: "abort",
            help: include_str!("options/help/transactions-abort.txt"),
            arguments: &[
                required(&["--topic"]),
                required(&["--partition"]),
                one(&["--start-offset"]),
                one(&["--producer-id"]),
                one(&["--producer-epoch"]),
                one(&["--coordinator-epoch"]),
            ],
            groups: &[],
            subcommands: &[],
        },
        Command {
            name: "find-hanging",
            help: include_str!("options/help/transactions-find-hanging.txt"),
            arguments: &[
                one(&["--broker-id"]),
                one(&["--max-transaction-timeout"]),
                one(&["--topic"]),
                one(&["--partition"]),
            ],
            groups: &[],
            subcommands: &[],
        },
        Command {
            name: "forceTerminateTransaction",
            help: include_str!("options/help/transactions-force-terminate.txt"),
            arguments: &[required(&["--transactionalId"])],
            groups: &[],
            subcommands: &[],
        },
    ],
};

/// Runs the tool.
pub(super) fn run(args: &[String], out: &mut Out) -> Result<(), Stop> {
    if args.first().is_some_and(|first| first == "-v" || first == "--version") {
        return Err(Stop::version());
    }
    let arguments = argparse::read(&TOOL, args).map_err(|refusal| refusal.stop(1))?;
    let numbers = Numbers::read(&arguments).map_err(|refusal| refusal.stop(1))?;
    session::run(execute(&arguments, &numbers, out))
}

/// The numbers of a command line.
struct Numbers {
    partition: Option<i32>,
    broker_id: Option<i32>,
    start_offset: Option<i64>,
    producer_id: Option<i64>,
    producer_epoch: Option<i16>,
    coordinator_epoch: Option<i32>,
    duration_ms: Option<i64>,
    max_timeout_minutes: Option<i32>,
}

impl Numbers {
    fn read(arguments: &Arguments) -> Result<Self, argparse::Refusal> {
        let chosen = TOOL.subcommands.iter().find(|command| command.name == arguments.command).unwrap_or(&TOOL);
        // Messages carry the usage of the subcommand and the name of the tool.
        let command = Command { name: TOOL.name, ..*chosen };
        let int = |name: &str| argparse::number(&command, arguments, name, "Integer");
        let long = |name: &str| argparse::number(&command, arguments, name, "Long");
        Ok(Self {
            partition: int("--partition")?,
            broker_id: int("--broker-id")?,
            start_offset: long("--start-offset")?,
            producer_id: long("--producer-id")?,
            producer_epoch: argparse::number(&command, arguments, "--producer-epoch", "Short")?,
            coordinator_epoch: int("--coordinator-epoch")?,
            duration_ms: long("--duration-filter")?,
            max_timeout_minutes: int("--max-transaction-timeout")?,
        })
    }
}

async fn execute(arguments: &Arguments, numbers: &Numbers, out: &mut Out) -> Result<(), Stop> {
    let properties = session::optional_properties(arguments.one("--command-config"))
        .map_err(|error| failed("Failed to load admin client properties", &error))?;
    let bootstrap = arguments.one("--bootstrap-server").unwrap_or_default();
    let client = session::connect(bootstrap, &properties).await.map_err(|error| error.traced())?;
    let topic = arguments.one("--topic").unwrap_or_default();
    let partition = TopicPartition::new(topic, numbers.partition.unwrap_or_default());
    match arguments.command {
        "list" => {
            let request = ListTransactionsRequest {
                duration_filter: numbers.duration_ms.unwrap_or(-1),
                transactional_id_pattern: arguments.one("--transactional-id-pattern").map(str::to_owned),
                ..Default::default()
            };
            list(&client, &request, out).await
        }
        "describe" => describe(&client, arguments.one("--transactional-id").unwrap_or_default(), out).await,
        "describe-producers" => describe_producers(&client, numbers.broker_id, &partition, out).await,
        "abort" => abort(&client, &partition, numbers).await,
        "find-hanging" => hanging::find(&client, arguments.one("--topic"), numbers, out).await,
        _ => terminate(&client, arguments.one("--transactionalId").unwrap_or_default()).await,
    }
}

/// The end of a tool that says what failed and why.
fn failed(what: &str, error: &Exception) -> Stop {
    Stop::error(&format!("{what}: {}. Enable debug logging for additional detail.", error.message))
}

async fn list(client: &Client, request: &ListTransactionsRequest, out: &mut Out) -> Result<(), Stop> {
    let listed = list_transactions(client, request).await;
    let listed = listed.map_err(|error| failed("Failed to list transactions", &error))?;
    let rows = listed.into_iter().map(|(broker, listed)| {
        let producer_id = listed.producer_id.to_string();
        vec![listed.transactional_id, broker.to_string(), producer_id, listed.transaction_state]
    });
    table(&["TransactionalId", "Coordinator", "ProducerId", "TransactionState"], rows.collect(), out)
}

async fn list_transactions(
    client: &Client,
    request: &ListTransactionsRequest,
) -> Result<Vec<(BrokerId, Listed)>, Exception> {
    let mut listed = Vec::new();
    let brokers: Vec<BrokerId> = client.cluster().brokers.keys().copied().collect();
    for broker in brokers {
        let response = client.retry("listTransactions", async || client.send_to(broker, request).await).await?;
        Exception::check(response.error_code, None)?;
        listed.extend(response.transaction_states.into_iter().map(|transaction| (broker, transaction)));
    }
    Ok(listed)
}

async fn describe_transaction(client: &Client, id: &str) -> Result<(BrokerId, TransactionState), Exception> {
    let request = DescribeTransactionsRequest { transactional_ids: vec![id.to_owned()], ..Default::default() };
    let coordinator = client.find_coordinator(CoordinatorType::Transaction, id).await?;
    let response = client.retry("describeTransactions", async || client.send_to(coordinator, &request).await).await?;
    let described = response.transaction_states.into_iter().next().unwrap_or_default();
    Exception::check(described.error_code, None)?;
    Ok((coordinator, described))
}

async fn describe(client: &Client, id: &str, out: &mut Out) -> Result<(), Stop> {
    let what = format!("Failed to describe transaction state of transactional-id `{id}`");
    let (coordinator, described) = describe_transaction(client, id).await.map_err(|error| failed(&what, &error))?;
    let start_ms = Some(described.transaction_start_time_ms).filter(|start_ms| *start_ms >= 0);
    let or_none = |number: Option<i64>| number.map_or_else(|| "None".to_owned(), |number| number.to_string());
    let mut partitions = partitions(&described);
    hash_order(&mut partitions, DEFAULT_CAPACITY, |partition| partition);
    let partitions: Vec<String> = partitions.iter().map(ToString::to_string).collect();
    let row = vec![
        coordinator.to_string(),
        id.to_owned(),
        described.producer_id.to_string(),
        described.producer_epoch.to_string(),
        described.transaction_state,
        described.transaction_timeout_ms.to_string(),
        or_none(start_ms),
        or_none(start_ms.map(|start_ms| super::time::now_ms() - start_ms)),
        partitions.join(","),
    ];
    let headers = [
        "CoordinatorId",
        "TransactionalId",
        "ProducerId",
        "ProducerEpoch",
        "TransactionState",
        "TransactionTimeoutMs",
        "CurrentTransactionStartTimeMs",
        "TransactionDurationMs",
        "TopicPartitions",
    ];
    table(&headers, vec![row], out)
}

fn partitions(described: &TransactionState) -> Vec<TopicPartition> {
    let topics = described.topics.iter();
    topics
        .flat_map(|topic| topic.partitions.iter().map(|index| TopicPartition::new(topic.topic.as_str(), *index)))
        .collect()
}

async fn describe_producers(
    client: &Client,
    broker: Option<BrokerId>,
    partition: &TopicPartition,
    out: &mut Out,
) -> Result<(), Stop> {
    let on = broker.map_or_else(|| "leader".to_owned(), |broker| format!("broker {broker}"));
    let what = format!("Failed to describe producers for partition {partition} on {on}");
    let producers = producers(client, broker, partition).await.map_err(|error| failed(&what, &error))?;
    let rows = producers.iter().map(|producer| {
        let start = Some(producer.current_txn_start_offset).filter(|offset| *offset >= 0);
        vec![
            producer.producer_id.to_string(),
            producer.producer_epoch.to_string(),
            producer.coordinator_epoch.to_string(),
            producer.last_sequence.to_string(),
            producer.last_timestamp.to_string(),
            start.map_or_else(|| "None".to_owned(), |offset| offset.to_string()),
        ]
    });
    let headers = [
        "ProducerId",
        "ProducerEpoch",
        "LatestCoordinatorEpoch",
        "LastSequence",
        "LastTimestamp",
        "CurrentTransactionStartOffset",
    ];
    table(&headers, rows.collect(), out)
}

async fn producers(
    client: &Client,
    broker: Option<BrokerId>,
    partition: &TopicPartition,
) -> Result<Vec<ProducerState>, Exception> {
    let broker = match broker {
        Some(broker) => broker,
        None => leader(client, partition).await?,
    };
    let topic = TopicRequest {
        name: partition.topic.to_string(),
        partition_indexes: vec![partition.partition],
        ..Default::default()
    };
    let request = DescribeProducersRequest { topics: vec![topic], ..Default::default() };
    let response = client.retry("describeProducers", async || client.send_to(broker, &request).await).await?;
    let described = response.topics.into_iter().flat_map(|topic| topic.partitions).next().unwrap_or_default();
    Exception::check(described.error_code, described.error_message.as_deref())?;
    Ok(described.active_producers)
}

async fn leader(client: &Client, partition: &TopicPartition) -> Result<BrokerId, Exception> {
    let cluster = client.metadata(Some(&[&partition.topic])).await?;
    let leader = cluster.leader(&partition.topic, partition.partition);
    leader.map(|(leader, _)| leader).ok_or_else(|| Exception::of_code(ErrorCode::UnknownTopicOrPartition, None))
}

async fn abort(client: &Client, partition: &TopicPartition, numbers: &Numbers) -> Result<(), Stop> {
    let marker = match (numbers.start_offset, numbers.producer_id) {
        (None, None) => {
            return Err(Stop::error(
                "The transaction to abort must be identified either with --start-offset (for brokers on 3.0 or above) \
                 or with --producer-id, --producer-epoch, and --coordinator-epoch (for older brokers)",
            ));
        }
        (None, Some(producer_id)) => {
            let missing = |name: &str| Stop::error(&format!("Missing required argument {name}"));
            WritableTxnMarker {
                producer_id,
                producer_epoch: numbers.producer_epoch.ok_or_else(|| missing("--producer-epoch"))?,
                coordinator_epoch: numbers.coordinator_epoch.ok_or_else(|| missing("--coordinator-epoch"))?.max(0),
                ..Default::default()
            }
        }
        (Some(start_offset), _) => {
            let what = format!("Failed to validate producer state for partition {partition}");
            let producers = producers(client, None, partition).await.map_err(|error| failed(&what, &error))?;
            let found = producers.iter().find(|producer| producer.current_txn_start_offset == start_offset);
            let found = found.ok_or_else(|| {
                Stop::error(&format!(
                    "Could not find any open transactions starting at offset {start_offset} on partition {partition}"
                ))
            })?;
            WritableTxnMarker {
                producer_id: found.producer_id,
                producer_epoch: i16::try_from(found.producer_epoch).unwrap_or(i16::MAX),
                coordinator_epoch: found.coordinator_epoch.max(0),
                ..Default::default()
            }
        }
    };
    let what = format!(
        "Failed to abort transaction AbortTransactionSpec(topicPartition={partition}, producerId={}, \
         producerEpoch={}, coordinatorEpoch={})",
        marker.producer_id, marker.producer_epoch, marker.coordinator_epoch
    );
    write_marker(client, partition, marker).await.map_err(|error| failed(&what, &error))
}

async fn write_marker(
    client: &Client,
    partition: &TopicPartition,
    mut marker: WritableTxnMarker,
) -> Result<(), Exception> {
    marker.topics = vec![WritableTxnMarkerTopic {
        name: partition.topic.to_string(),
        partition_indexes: vec![partition.partition],
        ..Default::default()
    }];
    let request = WriteTxnMarkersRequest { markers: vec![marker], ..Default::default() };
    let leader = leader(client, partition).await?;
    let response = client.retry("abortTransaction", async || client.send_to(leader, &request).await).await?;
    let topics = response.markers.into_iter().flat_map(|marker| marker.topics);
    let written = topics.flat_map(|topic| topic.partitions).next().unwrap_or_default();
    Exception::check(written.error_code, None)
}

async fn terminate(client: &Client, id: &str) -> Result<(), Stop> {
    let request = InitProducerIdRequest {
        transactional_id: Some(id.to_owned()),
        transaction_timeout_ms: i32::try_from(client.config().request_timeout.as_millis()).unwrap_or(i32::MAX),
        producer_id: -1,
        producer_epoch: -1,
        ..Default::default()
    };
    let fence = async {
        let coordinator = client.find_coordinator(CoordinatorType::Transaction, id).await?;
        let mut retries = client.retries("fenceProducer");
        loop {
            let response = client.send_to(coordinator, &request).await?;
            let code = ErrorCode::from_code(response.error_code);
            if code != ErrorCode::ConcurrentTransactions {
                return Exception::check(response.error_code, None);
            }
            retries.pause(client::ClientError::broker(code)).await?;
        }
    };
    let what = format!("Failed to force terminate transactionalId `{id}`");
    fence.await.map_err(|error: Exception| failed(&what, &error))
}

/// Prints rows below their headers, each column as wide as its widest cell.
fn table(headers: &[&str], rows: Vec<Vec<String>>, out: &mut Out) -> Result<(), Stop> {
    let headers = headers.iter().map(|header| (*header).to_owned()).collect();
    let rows: Vec<Vec<String>> = std::iter::once(headers).chain(rows).collect();
    let widths: Vec<usize> =
        (0..rows[0].len()).map(|column| rows.iter().map(|row| row[column].len()).max().unwrap_or(0)).collect();
    for row in rows {
        let cells: Vec<String> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}\t")).collect();
        out.line(cells.concat())?;
    }
    Ok(())
}
