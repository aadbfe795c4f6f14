//! The life of an application that has no secret: not at the server, not in the namespace, at no time.

use kube::api::{DeleteParams, ListParams, Patch, PatchParams, WatchEvent, WatchParams};
use serde_json::{Value, json};

use crate::support::world::{Keys, LIMIT, World, ready};
use crate::support::{Context, Result, eventually};

const CALLBACK: &str = "http://localhost:8080/callback";

/// What the server holds: name, scopes with their types, redirect URIs, and whether there is any secret.
#[derive(Debug, PartialEq, Eq)]
struct Held {
    confidential: Value,
    scopes: Vec<(String, i64)>,
    uris: Vec<String>,
    secrets: usize,
}

impl Held {
    /// One without a secret, with these user scopes.
    fn asked(scopes: &[&str], uris: &[&str]) -> Self {
        let scopes = scopes.iter().map(|scope| ((*scope).to_owned(), 0)).collect();
        let uris = uris.iter().map(|uri| (*uri).to_owned()).collect();
        Self { confidential: json!(false), scopes, uris, secrets: 0 }
    }

    fn of(registration: &Value) -> Self {
        let resources = registration["resources"].as_array().into_iter().flatten();
        let rows = resources.flat_map(|resource| resource["scopes"].as_array().into_iter().flatten());
        let named =
            |row: &Value| (row["name"].as_str().unwrap_or_default().to_owned(), row["type"].as_i64().unwrap_or(-1));
        let mut scopes: Vec<(String, i64)> = rows.map(named).collect();
        scopes.sort();
        let uris = registration["redirectUri"].as_str().unwrap_or_default();
        Self {
            confidential: registration["isConfidential"].clone(),
            scopes,
            uris: uris.split(',').filter(|uri| !uri.is_empty()).map(str::to_owned).collect(),
            secrets: registration["secrets"].as_array().map_or(0, Vec::len),
        }
    }
}

/// Changes the spec, and gives back what the server and the ConfigMap say then.
async fn edit(world: &World, spec: Value, display_name: &str) -> Result<(Value, Keys)> {
    let patch = Patch::Merge(json!({"spec": spec}));
    world.applications(world.home.name()).patch("desktop", &PatchParams::default(), &patch).await?;
    world.until_ready("desktop").await?;
    Ok((world.registration(display_name).await?, world.config_map("desktop-oauth").await?))
}

/// The names of all Secrets that came, changed or went since a version of the namespace's list, other than `marker`.
async fn secrets_since(world: &World, version: &str, marker: &str) -> Result<Vec<String>> {
    use futures::StreamExt;
    world.apply(&format!("apiVersion: v1\nkind: Secret\nmetadata: {{name: {marker}}}\n")).await?;
    let secrets = world.secrets(world.home.name());
    let mut events = Box::pin(secrets.watch(&WatchParams::default(), version).await?);
    let mut names = Vec::new();
    while let Some(event) = events.next().await {
        let (WatchEvent::Added(secret) | WatchEvent::Modified(secret) | WatchEvent::Deleted(secret)) = event? else {
            continue;
        };
        let name = secret.metadata.name.unwrap_or_default();
        if name == marker {
            return Ok(names);
        }
        names.push(name);
    }
    Err(crate::support::Error::new("the watch ended before the marker"))
}

#[tokio::test]
async fn every_field_of_a_non_confidential_application_reaches_the_server_and_no_secret_is_ever_made() -> Result<()> {
    let world = World::new("public").await?;
    let home = world.home.name().to_owned();
    let before = world.secrets(&home).list(&ListParams::default()).await?;
    let version = before.metadata.resource_version.context("a list has a version")?;
    world.non_confidential(&home, "desktop", "  displayName: Desktop\n").await?;
    let app = world.until_ready("desktop").await?;
    let made = world.registration("Desktop").await?;
    assert_eq!(Held::of(&made), Held::asked(&["OR.Jobs.Read"], &[CALLBACK]));
    let keys = world.config_map("desktop-oauth").await?;
    let names: Vec<&str> = keys.keys().map(String::as_str).collect();
    let public = "authorization-uri client-id issuer-uri jwk-set-uri provider redirect-uri token-uri type user-scope";
    assert_eq!(names.join(" "), public);
    assert_eq!(
        (keys["client-id"].as_str(), keys["user-scope"].as_str()),
        (made["id"].as_str().unwrap_or(""), "OR.Jobs.Read")
    );
    let status = app.status.unwrap_or_default();
    assert_eq!(status.binding.map(|binding| binding.name).as_deref(), Some("desktop-oauth"));
    assert!(status.credentials.is_empty(), "{:?}", status.credentials);

    let (renamed, _) = edit(&world, json!({"displayName": "Desktop 2"}), "Desktop 2").await?;
    assert_eq!((&renamed["id"], Held::of(&renamed)), (&made["id"], Held::of(&made)), "nothing but the name");
    assert!(world.registrations("Desktop").await?.is_empty());
    let uris = ["https://desktop.example.com/callback", CALLBACK];
    let (moved, keys) = edit(&world, json!({"redirectUris": uris}), "Desktop 2").await?;
    assert_eq!(Held::of(&moved), Held::asked(&["OR.Jobs.Read"], &[CALLBACK, uris[0]]));
    assert_eq!(keys["redirect-uri"], uris[0], "the first that is listed");
    let scopes = json!([{"name": "UiPath.Orchestrator", "userScopes": ["OR.Queues.Read", "OR.Assets"]}]);
    let (widened, keys) = edit(&world, json!({"resources": scopes}), "Desktop 2").await?;
    assert_eq!(Held::of(&widened), Held::asked(&["OR.Assets", "OR.Queues.Read"], &[CALLBACK, uris[0]]));
    assert_eq!(keys["user-scope"], "OR.Assets OR.Queues.Read");
    assert_eq!((&widened["id"], &keys["client-id"]), (&made["id"], &made["id"].as_str().unwrap_or("").to_owned()));

    world.applications(&home).delete("desktop", &DeleteParams::default()).await?;
    world.until_gone(&home, "desktop").await?;
    assert!(world.registrations("Desktop 2").await?.is_empty());
    assert!(secrets_since(&world, &version, "marker").await?.is_empty());
    let log = world.cloud.access_log()?;
    assert!(!log.iter().any(|line| line.to_lowercase().contains("secret")), "no secret was asked for or removed");
    Ok(())
}

#[tokio::test]
async fn each_deletion_policy_holds_without_a_secret_and_the_details_go_with_the_application() -> Result<()> {
    let world = World::new("public-end").await?;
    let home = world.home.name().to_owned();
    let policies = ["Delete", "Retain", "Revoke"].map(|policy| (policy.to_lowercase(), policy));
    for (name, policy) in &policies {
        world.non_confidential(&home, name, &format!("  deletion: {{policy: {policy}}}\n")).await?;
    }
    let mut made = Vec::new();
    for (name, _) in &policies {
        world.until_ready(name).await?;
        made.push(world.registration(name).await?);
        world.applications(&home).delete(name, &DeleteParams::default()).await?;
        world.until_gone(&home, name).await?;
    }
    assert!(world.registrations("delete").await?.is_empty());
    assert_eq!(world.registration("retain").await?, made[1]);
    assert_eq!(world.registration("revoke").await?, made[2], "there was no secret to remove");
    let maps = world.config_maps(&home);
    for (name, _) in &policies {
        let gone = async || Ok(maps.get_opt(&format!("{name}-oauth")).await?.is_none().then_some(()));
        eventually("the ConfigMap is gone", LIMIT, gone).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_foreign_config_map_in_the_way_is_left_alone_and_nothing_is_registered_meanwhile() -> Result<()> {
    let world = World::new("public-conflict").await?;
    let home = world.home.name().to_owned();
    world
        .apply("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: desktop-oauth}\ndata: {client-id: theirs}\n")
        .await?;
    let maps = world.config_maps(&home);
    let (foreign, writes) = (maps.get("desktop-oauth").await?, world.server_writes()?);
    world.non_confidential(&home, "desktop", "").await?;
    let message = world.until_refused(&home, "desktop", "SecretConflict").await?;
    assert!(message.contains("ConfigMap desktop-oauth") && message.contains("spec.outputs"), "{message}");
    assert_eq!(world.server_writes()?, writes, "no registration for details that cannot be delivered");
    assert_eq!(maps.get("desktop-oauth").await?, foreign);

    maps.delete("desktop-oauth", &DeleteParams::default()).await?;
    world.until_ready("desktop").await?;
    let id = world.registration("desktop").await?["id"].clone();
    assert_eq!(json!(world.config_map("desktop-oauth").await?["client-id"]), id);

    // One that comes into the way later: what was delivered stays, and what was asked for is not claimed.
    world.apply("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: taken}\ndata: {client-id: theirs}\n").await?;
    let foreign = maps.get("taken").await?;
    let rename = Patch::Merge(json!({"spec": {"outputs": [{"name": "taken"}]}}));
    world.applications(&home).patch("desktop", &PatchParams::default(), &rename).await?;
    world.until_refused(&home, "desktop", "SecretConflict").await?;
    assert_eq!(maps.get("taken").await?, foreign);
    assert_eq!(json!(world.config_map("desktop-oauth").await?["client-id"]), id);
    maps.delete("taken", &DeleteParams::default()).await?;
    let app = world.until_ready("desktop").await?;
    assert!(ready(&app.status.unwrap_or_default().conditions));
    assert_eq!(json!(world.config_map("taken").await?["client-id"]), id);
    let gone = async || Ok(maps.get_opt("desktop-oauth").await?.is_none().then_some(()));
    eventually("the old one is removed", LIMIT, gone).await
}
