//! Secrets that are replaced while they are in use.

use extapp::api::ExternalApplication;
use extapp::api::external_application::{CredentialState, ExternalApplicationStatus};
use extapp::api::rotation::RotationStatus;
use kube::ResourceExt;
use kube::api::ListParams;
use serde_json::json;

use crate::support::world::{Keys, Variations, World};
use crate::support::{Error, Result};

mod disturbed;
mod fleet;
mod forged;
mod in_use;
mod obstructed;
mod one_secret;
mod requested;
mod secrecy;
mod unaccepted;
mod unusable;

/// Servers whose applications wait for nobody.
const AT_ONCE: &str = "  driftInterval: 2s\n  rotation: {concurrency: 100, spacing: 0s}\n";

fn variations() -> Variations {
    let limits = ["--rate-limit-put", "0", "--rate-limit-delete", "0"].map(str::to_owned).to_vec();
    Variations { server: AT_ONCE.into(), cloud: limits, ..Variations::uncounted() }
}

/// What the condition `Rotated` says: its status and its reason.
pub fn says(status: &ExternalApplicationStatus) -> Option<(&str, &str)> {
    let rotated = status.conditions.iter().find(|condition| condition.type_ == "Rotated")?;
    Some((rotated.status.as_str(), rotated.reason.as_str()))
}

fn message(app: &ExternalApplication) -> String {
    let conditions = app.status.iter().flat_map(|status| &status.conditions);
    conditions.filter(|condition| condition.type_ == "Rotated").map(|condition| condition.message.clone()).collect()
}

/// Waits until the condition `Rotated` says this.
async fn until_says(
    world: &World,
    name: &str,
    state: &'static str,
    reason: &'static str,
) -> Result<ExternalApplication> {
    world.until(world.home.name(), name, move |_, status| says(status) == Some((state, reason))).await
}

/// Waits until this value of `extapp.dev/rotate` has been carried out.
pub async fn until_rotated(world: &World, name: &str, request: &'static str) -> Result<ExternalApplication> {
    let carried_out = move |_: &ExternalApplication, status: &ExternalApplicationStatus| {
        let asked = status.rotation.as_ref().and_then(|rotation| rotation.rotate.as_deref());
        asked == Some(request) && says(status) == Some(("True", "Rotated"))
    };
    world.until(world.home.name(), name, carried_out).await
}

/// Waits until a rollback has been carried out or refused.
async fn until_rolled_back(world: &World, request: &'static str) -> Result<ExternalApplication> {
    until_settled(world, |rotation| rotation.rollback.as_deref() == Some(request)).await
}

/// Waits until what leaked is said to be gone.
async fn until_revoked(world: &World, request: &'static str) -> Result<ExternalApplication> {
    until_settled(world, |rotation| rotation.revoke_now.as_deref() == Some(request)).await
}

async fn until_settled(
    world: &World,
    settled: impl Fn(&RotationStatus) -> bool + Send + Sync + 'static,
) -> Result<ExternalApplication> {
    let is_settled = move |_: &ExternalApplication, status: &ExternalApplicationStatus| {
        status.rotation.as_ref().is_some_and(&settled)
    };
    world.until(world.home.name(), "worker", is_settled).await
}

async fn keys(world: &World, name: &str) -> Result<Keys> {
    world.secret(world.home.name(), &format!("{name}-oauth")).await
}

/// The identifiers of the secrets that the status lists in this state.
fn listed(app: &ExternalApplication, state: CredentialState) -> Vec<&str> {
    let credentials = app.status.iter().flat_map(|status| &status.credentials);
    credentials.filter(|credential| credential.state == state).map(|credential| credential.id.as_str()).collect()
}

/// The identifiers of the secrets that a registration has.
async fn at_server(world: &World, name: &str) -> Result<Vec<String>> {
    let registration = world.registration(name).await?;
    let secrets = registration["secrets"].as_array().into_iter().flatten();
    Ok(secrets.map(|secret| secret["id"].to_string()).collect())
}

/// What a rotation keeps of an application's secrets: the name of the object.
async fn kept(world: &World, name: &str) -> Result<Option<String>> {
    let secrets = world.secrets(world.home.name()).list(&ListParams::default()).await?;
    Ok(secrets.iter().map(ResourceExt::name_any).find(|other| other.starts_with(&format!("{name}-rotation-"))))
}

/// How many secrets the server was asked for, that of each registration aside.
fn made_of(world: &World) -> Result<usize> {
    Ok(world.cloud.access_log()?.iter().filter(|line| line.contains("/GenerateSecret")).count())
}

/// Has every new secret refused until the faults are lifted.
async fn lag(world: &World) -> Result<()> {
    let of = json!({"method": "POST", "path_contains": "/GenerateSecret"});
    world.cloud.faults(&json!({"match": of, "times": 100_000, "action": "lag:3600000"})).await
}

/// Waits until an Event about an application has this reason.
async fn until_event(world: &World, name: &str, reason: &str) -> Result<()> {
    use k8s_openapi::api::events::v1::Event;
    let events: kube::Api<Event> = kube::Api::namespaced(world.client.clone(), world.home.name());
    let told = async || {
        let events = events.list(&ListParams::default()).await?;
        let is_it = |event: &&Event| {
            let about = event.regarding.as_ref().and_then(|object| object.name.as_deref());
            about == Some(name) && event.reason.as_deref() == Some(reason)
        };
        let reasons = || events.iter().filter_map(|event| event.reason.clone()).collect::<Vec<_>>();
        if events.iter().any(|event| is_it(&event)) { Ok(Some(())) } else { Err(Error::new(reasons().join(", "))) }
    };
    crate::support::eventually(&format!("an Event says {reason}"), crate::support::world::LIMIT, told).await
}
