//! SCRAM credentials of users, as `kafka-configs.sh` shows and changes them. Passwords are salted here and never sent.

use bytes::Bytes;
use client::Client;
use metadata::scram::ScramMechanism;
use protocol::ErrorCode;
use protocol::messages::alter_user_scram_credentials_request::{ScramCredentialDeletion, ScramCredentialUpsertion};
use protocol::messages::describe_user_scram_credentials_request::UserName;
use protocol::messages::{AlterUserScramCredentialsRequest, DescribeUserScramCredentialsRequest};

use crate::cli::java::{Exception, Failure};
use crate::cli::out::Out;
use crate::cli::storage::random_salt;

/// Iterations where none are given.
const DEFAULT_ITERATIONS: i32 = ScramMechanism::MIN_ITERATIONS;

/// `[iterations=N,]password=TEXT`.
struct Given<'a> {
    iterations: i32,
    password: &'a str,
}

fn read<'a>(mechanism: ScramMechanism, text: &'a str) -> Result<Given<'a>, Exception> {
    let name = mechanism.name();
    // Kafka's own name of the mechanism, as its enumeration has it.
    let constant = name.replace('-', "_");
    let invalid = || Exception::illegal_argument(format!("Invalid credential property {constant}={text}"));
    let (iterations, rest) = match text.strip_prefix("iterations=") {
        Some(rest) => {
            let (number, rest) = rest.split_once(',').ok_or_else(invalid)?;
            (number, rest)
        }
        None => ("-1", text),
    };
    let password = rest.strip_prefix("password=").ok_or_else(invalid)?;
    let iterations = match iterations {
        "-1" => DEFAULT_ITERATIONS,
        number => number.parse().map_err(|_| invalid())?,
    };
    let least = ScramMechanism::MIN_ITERATIONS;
    if iterations < least {
        let message = format!("Iterations {iterations} is less than the minimum {least} required for {name}");
        return Err(Exception::illegal_argument(message));
    }
    Ok(Given { iterations, password })
}

/// Sets and removes the credentials of a user.
/// # Errors
/// The broker's, and what is wrong with the words.
pub(super) async fn alter(
    client: &Client,
    user: &str,
    added: &[(String, String)],
    deleted: &[&str],
) -> Result<(), Failure> {
    let deletions = deleted.iter().filter_map(|name| ScramMechanism::from_name(name));
    let deletions = deletions.map(|mechanism| ScramCredentialDeletion {
        name: user.to_owned(),
        mechanism: mechanism.code(),
        ..Default::default()
    });
    let mut upsertions = Vec::new();
    for (name, text) in added {
        let Some(mechanism) = ScramMechanism::from_name(name) else { continue };
        let Given { iterations, password } = read(mechanism, text)?;
        let salt = random_salt()?;
        upsertions.push(ScramCredentialUpsertion {
            name: user.to_owned(),
            mechanism: mechanism.code(),
            iterations,
            salted_password: Bytes::from(mechanism.salted_password(password.as_bytes(), &salt, iterations)),
            salt: Bytes::from(salt),
            ..Default::default()
        });
    }
    let request = AlterUserScramCredentialsRequest { deletions: deletions.collect(), upsertions, ..Default::default() };
    let response = client.retry("alterUserScramCredentials", async || client.send_to_any(&request).await).await?;
    for result in response.results {
        Exception::check(result.error_code, result.error_message.as_deref())?;
    }
    Ok(())
}

/// Prints who has credentials.
/// # Errors
/// The broker's.
pub(super) async fn describe(client: &Client, users: &[String], out: &mut Out) -> Result<(), Failure> {
    let asked = users.iter().map(|name| UserName { name: name.clone(), ..Default::default() }).collect();
    let request = DescribeUserScramCredentialsRequest { users: Some(asked), ..Default::default() };
    let response = client.retry("describeUserScramCredentials", async || client.send_to_any(&request).await).await?;
    Exception::check(response.error_code, response.error_message.as_deref())?;
    for result in response.results {
        let code = ErrorCode::from_code(result.error_code);
        if code == ErrorCode::ResourceNotFound {
            continue;
        }
        let user = &result.user;
        if code.is_error() {
            let message = result.error_message.unwrap_or_default();
            let class = code.exception();
            out.line(format_args!(
                "Error retrieving SCRAM credential configs for user-principal '{user}': {class}: {message}"
            ))?;
            continue;
        }
        let credentials: Vec<String> = result
            .credential_infos
            .iter()
            .map(|info| {
                let name = ScramMechanism::from_code(info.mechanism).map_or("UNKNOWN", ScramMechanism::name);
                format!("{name}=iterations={}", info.iterations)
            })
            .collect();
        out.line(format_args!("SCRAM credential configs for user-principal '{user}' are {}", credentials.join(", ")))?;
    }
    Ok(())
}
