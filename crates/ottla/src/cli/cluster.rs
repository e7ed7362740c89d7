//! `kafka-cluster.sh`: the id of a cluster, its endpoints, and brokers that leave it for good.

use std::fmt::Display;

use client::Client;
use protocol::ErrorCode;
use protocol::messages::{DescribeClusterRequest, DescribeClusterResponse, UnregisterBrokerRequest};

use super::java::{Exception, Failure};
use super::options::argparse::{self, Arguments, Command, Group, Named, Refusal, one, required, switch};
use super::out::Out;
use super::session;
use super::stop::Stop;

const CONNECTION: &[Group] = &[Group { names: &["--bootstrap-server", "--bootstrap-controller"], required: true }];
const SERVER: Named = one(&["--bootstrap-server", "-b"]);
const CONTROLLER: Named = one(&["--bootstrap-controller", "-C"]);
const CONFIG: Named = one(&["--config"]);
const COMMAND_CONFIG: Named = one(&["--command-config", "-c"]);

const TOOL: Command = Command {
    name: "kafka-cluster",
    help: include_str!("options/help/cluster.txt"),
    arguments: &[],
    groups: &[],
    subcommands: &[
        Command {
            name: "cluster-id",
            help: include_str!("options/help/cluster-cluster-id.txt"),
            arguments: &[SERVER, CONTROLLER, CONFIG, COMMAND_CONFIG],
            groups: CONNECTION,
            subcommands: &[],
        },
        Command {
            name: "unregister",
            help: include_str!("options/help/cluster-unregister.txt"),
            arguments: &[required(&["--id", "-i"]), SERVER, CONTROLLER, CONFIG, COMMAND_CONFIG],
            groups: CONNECTION,
            subcommands: &[],
        },
        Command {
            name: "list-endpoints",
            help: include_str!("options/help/cluster-list-endpoints.txt"),
            arguments: &[SERVER, CONTROLLER, CONFIG, COMMAND_CONFIG, switch(&["--include-fenced-brokers"])],
            groups: CONNECTION,
            subcommands: &[],
        },
    ],
};
/// `EndpointType.CONTROLLER`.
const CONTROLLERS: i8 = 2;
/// `EndpointType.BROKER`.
const BROKERS: i8 = 1;

/// Runs the tool.
pub(super) fn run(args: &[String], out: &mut Out) -> Result<(), Stop> {
    let refuse = |refusal: Refusal| refusal.stop(1);
    let arguments = argparse::read(&TOOL, args).map_err(refuse)?;
    let mut config = arguments.one("--command-config");
    if let Some(old) = arguments.one("--config") {
        if config.is_some() {
            let message = "--config and --command-config cannot be specified together.";
            return Err(argparse::wrong(&TOOL, message).stop(1));
        }
        let warning = "Option --config has been deprecated and will be removed in a future version.";
        out.line(format_args!("{warning} Use --command-config instead."))?;
        config = Some(old);
    }
    let id = argparse::number(&TOOL, &arguments, "--id", "Integer").map_err(refuse)?;
    session::run(async { execute(&arguments, config, id, out).await.map_err(Failure::traced) })
}

async fn execute(arguments: &Arguments, config: Option<&str>, id: Option<i32>, out: &mut Out) -> Result<(), Failure> {
    let properties = session::optional_properties(config)?;
    let bootstrap = arguments.one("--bootstrap-server").or_else(|| arguments.one("--bootstrap-controller"));
    let client = session::connect(bootstrap.unwrap_or_default(), &properties).await?;
    let controllers = arguments.has("--bootstrap-controller");
    let with_fenced = arguments.has("--include-fenced-brokers");
    match arguments.command {
        "cluster-id" => {
            let cluster = describe(&client, controllers, false).await?;
            Ok(out.line(format_args!("Cluster ID: {}", cluster.cluster_id))?)
        }
        "unregister" => unregister(&client, id.unwrap_or(-1), out).await,
        _ if controllers && with_fenced => {
            let message = "The option --include-fenced-brokers is only supported with --bootstrap-server option";
            Err(Exception::illegal_argument(message).into())
        }
        _ => {
            let cluster = describe(&client, controllers, with_fenced).await?;
            list_endpoints(&cluster, controllers, out)
        }
    }
}

/// Asks for the cluster and its brokers, or its controllers.
/// # Errors
/// The broker's.
pub(super) async fn describe(
    client: &Client,
    controllers: bool,
    include_fenced_brokers: bool,
) -> Result<DescribeClusterResponse, Exception> {
    let request = DescribeClusterRequest {
        endpoint_type: if controllers { CONTROLLERS } else { BROKERS },
        include_fenced_brokers,
        ..Default::default()
    };
    let response = client.retry("listNodes", async || client.send_to_any(&request).await).await?;
    Exception::check(response.error_code, response.error_message.as_deref())?;
    Ok(response)
}

async fn unregister(client: &Client, broker_id: i32, out: &mut Out) -> Result<(), Failure> {
    let request = UnregisterBrokerRequest { broker_id, ..Default::default() };
    let answer = client.retry("unregisterBroker", async || client.send_to_any(&request).await).await;
    match answer {
        Ok(response) => {
            let checked = Exception::check(response.error_code, response.error_message.as_deref());
            checked.map_err(Exception::executed)?;
            out.line(format_args!("Broker {broker_id} is no longer registered."))?;
        }
        Err(error) if error.code() == ErrorCode::UnsupportedVersion => {
            out.line("The target cluster does not support the broker unregistration API.")?;
        }
        Err(error) => return Err(error.into()),
    }
    Ok(())
}

fn list_endpoints(cluster: &DescribeClusterResponse, controllers: bool, out: &mut Out) -> Result<(), Failure> {
    let mut brokers: Vec<_> = cluster.brokers.iter().collect();
    brokers.sort_by_key(|broker| broker.broker_id);
    let widest = |lengths: &mut dyn Iterator<Item = usize>, default| lengths.max().unwrap_or(default);
    let host = widest(&mut brokers.iter().map(|broker| broker.host.len()), 100);
    let rack = widest(&mut brokers.iter().filter_map(|broker| broker.rack.as_ref().map(String::len)), 10);
    let mut row = |cells: [&dyn Display; 6]| -> Result<(), Failure> {
        let [id, name, port, rack_name, state, kind] = cells.map(ToString::to_string);
        if controllers {
            out.line(format_args!("{id:<10} {name:<host$} {port:<10} {rack_name:<rack$} {kind:<15}"))?;
        } else {
            out.line(format_args!("{id:<10} {name:<host$} {port:<10} {rack_name:<rack$} {state:<10} {kind:<15}"))?;
        }
        Ok(())
    };
    row([&"ID", &"HOST", &"PORT", &"RACK", &"STATE", &"ENDPOINT_TYPE"])?;
    let kind = if controllers { "controller" } else { "broker" };
    for broker in brokers {
        let state = if broker.is_fenced { "fenced" } else { "unfenced" };
        let rack_name = broker.rack.as_deref().unwrap_or("null");
        row([&broker.broker_id, &broker.host, &broker.port, &rack_name, &state, &kind])?;
    }
    Ok(())
}
