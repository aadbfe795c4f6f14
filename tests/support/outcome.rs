//! What has to be so once an application has come to rest, whatever happened on the way.

use std::collections::BTreeSet;

use extapp::api::external_application::CredentialState;
use extapp::api::rotation::RotationStatus;
use extapp::domain::observed::unsettled_intent;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::ResourceExt as _;
use kube::api::ListParams;
use serde_json::Value;

use super::error::{Error, Result};
use super::world::{World, ready};

/// One registration as wanted, one secret that works, and no other that nobody knows of. An error says what is missing:
/// for [`super::eventually`].
pub async fn complete(world: &World, namespace: &str, name: &str) -> Result<Option<()>> {
    let registrations = world.registrations(&display_name(world, namespace, name).await?).await?;
    complete_among(world, namespace, name, &registrations).await
}

/// The same of an application of any server, given the registrations of its name there.
pub async fn complete_among(world: &World, namespace: &str, name: &str, registrations: &[Value]) -> Result<Option<()>> {
    if registrations.len() != 1 {
        return Err(Error::new(format!("{} registrations of {name}", registrations.len())));
    }
    sound_among(world, namespace, name, registrations).await
}

/// The same without a word on registrations that the application does not name: for applications of one name.
pub async fn sound(world: &World, namespace: &str, name: &str) -> Result<Option<()>> {
    let registrations = world.registrations(&display_name(world, namespace, name).await?).await?;
    sound_among(world, namespace, name, &registrations).await
}

async fn sound_among(world: &World, namespace: &str, name: &str, registrations: &[Value]) -> Result<Option<()>> {
    let app = world.applications(namespace).get(name).await?;
    let unsettled = unsettled_intent(&app).is_some();
    let status = app.status.clone().unwrap_or_default();
    let keys = world.secret(namespace, &format!("{name}-oauth")).await.unwrap_or_default();
    let own = registrations.iter().find(|registration| registration["id"].as_str() == status.client_id.as_deref());
    let Some(own) = own else { return Err(Error::new(format!("no registration of its own: {status:?}"))) };
    let wanted: Vec<&String> = app.spec.resources.iter().flat_map(|resource| &resource.application_scopes).collect();
    let granted = own["resources"].to_string();
    let uris: BTreeSet<&str> = own["redirectUri"].as_str().unwrap_or_default().split(',').collect();
    let checks = [
        ("it is Ready", ready(&status.conditions) && status.observed_generation == app.metadata.generation),
        ("no create is unsettled", !unsettled),
        ("it has its scopes", wanted.iter().all(|scope| granted.contains(&format!("\"{scope}\"")))),
        ("it has its redirect URIs", app.spec.redirect_uris.iter().all(|uri| uris.contains(uri.as_str()))),
        ("every secret at the server is known", secrets(own) == known(&status)),
        ("the Secret is of the registration", keys.get("client-id") == status.client_id.as_ref()),
        ("the credential works", keys.contains_key("client-secret") && world.works(&keys).await?),
    ];
    let missing: Vec<&str> = checks.iter().filter(|(_, holds)| !holds).map(|(what, _)| *what).collect();
    if missing.is_empty() {
        return Ok(Some(()));
    }
    Err(Error::new(format!("not so: {}; the server has {:?}; {status:?}", missing.join(", "), secrets(own))))
}

/// The same of one whose secret somebody asked to replace, and nothing of the rotation is left: neither the secret before
/// nor what was kept.
pub async fn rotated(world: &World, name: &str, request: &str) -> Result<Option<()>> {
    ended(world, name, |rotation| rotation.rotate.as_deref() == Some(request)).await
}

/// The same of one whose secret was said to have leaked: none is left that there was before.
pub async fn revoked(world: &World, name: &str, request: &str) -> Result<Option<()>> {
    ended(world, name, |rotation| rotation.revoke_now.as_deref() == Some(request)).await
}

/// The same of one that somebody asked to go back to the secret before, `first`, while the other one is valid still.
pub async fn rolled_back(world: &World, name: &str, request: &str, first: &str) -> Result<Option<()>> {
    let home = world.home.name();
    complete(world, home, name).await?;
    let status = world.applications(home).get(name).await?.status.unwrap_or_default();
    let active = status.credentials.iter().find(|credential| credential.state == CredentialState::Active);
    let asked = status.rotation.as_ref().and_then(|rotation| rotation.rollback.as_deref()) == Some(request);
    if asked && active.is_some_and(|active| active.id == first) && status.credentials.len() == 2 {
        return Ok(Some(()));
    }
    Err(Error::new(format!("not back at {first}: {status:?}")))
}

async fn ended(world: &World, name: &str, settled: impl Fn(&RotationStatus) -> bool) -> Result<Option<()>> {
    let home = world.home.name();
    complete(world, home, name).await?;
    let status = world.applications(home).get(name).await?.status.unwrap_or_default();
    let secrets = world.secrets(home).list(&ListParams::default()).await?;
    let prefix = format!("{name}-rotation-");
    let said = |c: &Condition| c.type_ == "Rotated" && c.status == "True";
    let checks = [
        ("it was asked for", status.rotation.as_ref().is_some_and(settled)),
        ("the condition says so", status.conditions.iter().any(said)),
        ("there is one secret", status.credentials.len() == 1),
        ("nothing is kept", !secrets.iter().any(|secret| secret.name_any().starts_with(&prefix))),
    ];
    let missing: Vec<&str> = checks.iter().filter(|(_, holds)| !holds).map(|(what, _)| *what).collect();
    if missing.is_empty() {
        Ok(Some(()))
    } else {
        Err(Error::new(format!("not so: {}; {status:?}", missing.join(", "))))
    }
}

pub async fn display_name(world: &World, namespace: &str, name: &str) -> Result<String> {
    let app = world.applications(namespace).get(name).await?;
    Ok(app.spec.display_name.unwrap_or_else(|| name.to_owned()))
}

fn secrets(registration: &Value) -> BTreeSet<String> {
    registration["secrets"].as_array().into_iter().flatten().map(|secret| secret["id"].to_string()).collect()
}

fn known(status: &extapp::api::external_application::ExternalApplicationStatus) -> BTreeSet<String> {
    status.credentials.iter().map(|credential| credential.id.clone()).collect()
}

/// The last lines of an operator's log, for the text of a failure.
pub fn last_words(logs: &str) -> String {
    let lines: Vec<&str> = logs.lines().collect();
    lines[lines.len().saturating_sub(30)..].join("\n")
}
