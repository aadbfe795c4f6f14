//! The life of an application, compared with what the server holds afterwards.

use extapp::api::ExternalApplication;
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::{Value, json};

use crate::support::world::{LIMIT, World, ready};
use crate::support::{Result, eventually};

/// The scopes of a registration as (name, type), sorted.
fn scopes(registration: &Value) -> Vec<(String, i64)> {
    let resources = registration["resources"].as_array().into_iter().flatten();
    let scopes = resources.flat_map(|resource| resource["scopes"].as_array().into_iter().flatten());
    let mut list: Vec<(String, i64)> = scopes
        .map(|scope| (scope["name"].as_str().unwrap_or_default().to_owned(), scope["type"].as_i64().unwrap_or(-1)))
        .collect();
    list.sort();
    list
}

async fn edit(world: &World, name: &str, patch: Value) -> Result<ExternalApplication> {
    let api: Api<ExternalApplication> = world.applications(world.home.name());
    api.patch(name, &PatchParams::default(), &Patch::Merge(json!({"spec": patch}))).await?;
    world.until_ready(name).await
}

#[tokio::test]
async fn every_field_of_a_confidential_application_reaches_the_server() -> Result<()> {
    let world = World::new("life").await?;
    world.confidential(world.home.name(), "worker", "  displayName: Invoice sync\n").await?;
    world.until_ready("worker").await?;
    let made = world.registration("Invoice sync").await?;
    assert_eq!(scopes(&made), [("OR.Queues".to_owned(), 1)]);
    assert_eq!((&made["isConfidential"], made["secrets"].as_array().map(Vec::len)), (&json!(true), Some(1)));

    edit(&world, "worker", json!({"displayName": "Invoice robot"})).await?;
    let renamed = world.registration("Invoice robot").await?;
    assert_eq!(renamed["id"], made["id"]);

    let both = json!([{"name": "UiPath.Orchestrator", "applicationScopes": ["OR.Queues", "OR.Default"], "userScopes": ["OR.Jobs.Read"]}]);
    let uris = json!(["https://b.example.com/callback", "https://a.example.com/callback/"]);
    edit(&world, "worker", json!({"redirectUris": uris, "resources": both})).await?;
    let changed = world.registration("Invoice robot").await?;
    let wanted = [("OR.Default", 1), ("OR.Jobs.Read", 0), ("OR.Queues", 1)].map(|(name, kind)| (name.to_owned(), kind));
    assert_eq!(scopes(&changed), wanted);
    assert_eq!(changed["redirectUri"], "https://a.example.com/callback/,https://b.example.com/callback");
    let keys = world.secret(world.home.name(), "worker-oauth").await?;
    assert_eq!(keys["redirect-uri"], "https://b.example.com/callback");
    assert_eq!((keys["scope"].as_str(), keys["user-scope"].as_str()), ("OR.Default OR.Queues", "OR.Jobs.Read"));
    assert!(world.works(&keys).await?);

    let alone = json!([{"name": "UiPath.Orchestrator", "applicationScopes": ["OR.Queues"]}]);
    edit(&world, "worker", json!({"redirectUris": null, "resources": alone})).await?;
    let narrowed = world.registration("Invoice robot").await?;
    assert_eq!(scopes(&narrowed), [("OR.Queues".to_owned(), 1)]);
    assert!(narrowed["redirectUri"].as_str().is_none_or(str::is_empty), "{narrowed}");
    assert!(!world.secret(world.home.name(), "worker-oauth").await?.contains_key("redirect-uri"));
    Ok(())
}

#[tokio::test]
async fn outputs_are_renamed_reformatted_versioned_and_removed() -> Result<()> {
    let world = World::new("outputs").await?;
    world.confidential(world.home.name(), "worker", "").await?;
    world.until_ready("worker").await?;
    let first = world.secret(world.home.name(), "worker-oauth").await?;
    let outputs = json!([
        {"name": "env", "format": "Env", "labels": {"team": "finance"}, "annotations": {"note": "x"}},
        {"name": "details", "kind": "ConfigMap", "format": "Template", "template": {"app.properties": "client={{ clientId }}"}}
    ]);
    let app = edit(&world, "worker", json!({"outputs": outputs})).await?;
    assert_eq!(app.status.and_then(|status| status.binding).map(|binding| binding.name).as_deref(), Some("env"));
    let env = world.secret(world.home.name(), "env").await?;
    assert_eq!(env["CLIENT_SECRET"], first["client-secret"], "the same secret under another name");
    assert_eq!(world.config_map("details").await?["app.properties"], format!("client={}", first["client-id"]));
    assert!(world.secrets(world.home.name()).get_opt("worker-oauth").await?.is_none(), "the old one is removed");
    let labels = world.secrets(world.home.name()).get("env").await?.metadata.labels.unwrap_or_default();
    assert_eq!(labels.get("team").map(String::as_str), Some("finance"));

    let versioned = json!([{"name": "versioned", "immutable": true}]);
    let app = edit(&world, "worker", json!({"outputs": versioned})).await?;
    let name = app.status.and_then(|status| status.binding).map(|binding| binding.name).unwrap_or_default();
    assert!(name.starts_with("versioned-"), "{name}");
    assert_eq!(world.secret(world.home.name(), &name).await?["client-secret"], first["client-secret"]);
    let scopes = json!([{"name": "UiPath.Orchestrator", "applicationScopes": ["OR.Queues", "OR.Default"]}]);
    let app = edit(&world, "worker", json!({"resources": scopes})).await?;
    let next = app.status.and_then(|status| status.binding).map(|binding| binding.name).unwrap_or_default();
    assert_ne!(next, name, "a change makes a new one");
    assert!(world.works(&world.secret(world.home.name(), &name).await?).await?, "what runs with the old one goes on");
    assert_eq!(world.registration("worker").await?["secrets"].as_array().map(Vec::len), Some(1));
    Ok(())
}

#[tokio::test]
async fn each_deletion_policy_does_at_the_server_what_its_name_says() -> Result<()> {
    let world = World::new("policies").await?;
    for policy in ["Delete", "Retain", "Revoke"] {
        let name = policy.to_lowercase();
        world.confidential(world.home.name(), &name, &format!("  deletion: {{policy: {policy}}}\n")).await?;
    }
    let mut keys = Vec::new();
    for name in ["delete", "retain", "revoke"] {
        world.until_ready(name).await?;
        keys.push(world.secret(world.home.name(), &format!("{name}-oauth")).await?);
        world.applications(world.home.name()).delete(name, &DeleteParams::default()).await?;
        world.until_gone(world.home.name(), name).await?;
    }
    assert!(world.registrations("delete").await?.is_empty());
    assert!(!world.works(&keys[0]).await?);
    assert!(world.works(&keys[1]).await?, "Retain leaves registration and secret");
    assert_eq!(world.registration("revoke").await?["secrets"].as_array().map(Vec::len), Some(0));
    assert!(!world.works(&keys[2]).await?);
    Ok(())
}

#[tokio::test]
async fn a_suspended_application_is_left_alone_until_it_is_not() -> Result<()> {
    let world = World::new("suspend").await?;
    world.confidential(world.home.name(), "worker", "  displayName: Before\n").await?;
    world.until_ready("worker").await?;
    let writes = world.server_writes()?;
    let api = world.applications(world.home.name());
    let patch = json!({"spec": {"suspend": true, "displayName": "After"}});
    api.patch("worker", &PatchParams::default(), &Patch::Merge(patch)).await?;
    world
        .until(world.home.name(), "worker", |_, status| {
            status.conditions.iter().any(|c| c.type_ == "Ready" && c.status == "True" && c.reason == "Suspended")
        })
        .await?;
    assert_eq!(world.server_writes()?, writes);
    edit(&world, "worker", json!({"suspend": false})).await?;
    let renamed = async || Ok((world.registrations("After").await?.len() == 1).then_some(()));
    eventually("the change is made now", LIMIT, renamed).await
}

#[tokio::test]
async fn an_adopted_registration_is_observed_first_and_then_taken_over_with_its_foreign_secrets_kept() -> Result<()> {
    let world = World::new("adopt").await?;
    let foreign = world.foreign_registration("made by hand").await?;
    let id = foreign["id"].as_str().unwrap_or_default().to_owned();
    let writes = world.server_writes()?;
    let more = format!("  displayName: Adopted\n  management: Observe\n  adopt: {{clientId: {id}}}\n");
    world.confidential(world.home.name(), "worker", &more).await?;
    let app = world.until(world.home.name(), "worker", |_, status| !status.drift.is_empty()).await?;
    let drift = app.status.map(|status| status.drift).unwrap_or_default();
    assert_eq!((drift[0].field.as_str(), drift[0].actual.as_str()), ("displayName", "made by hand"));
    assert_eq!(world.server_writes()?, writes, "nothing is written under Observe");

    let app = edit(&world, "worker", json!({"management": "Enforce"})).await?;
    assert_eq!(app.status.and_then(|status| status.client_id).as_deref(), Some(id.as_str()));
    let adopted = world.registration("Adopted").await?;
    assert_eq!(adopted["secrets"].as_array().map(Vec::len), Some(2), "the foreign one stays");
    let mut keys = world.secret(world.home.name(), "worker-oauth").await?;
    assert!(world.works(&keys).await?);
    keys.insert("client-secret".into(), foreign["secret"].as_str().unwrap_or_default().to_owned());
    assert!(world.works(&keys).await?);

    world.confidential(world.home.name(), "second", &format!("  adopt: {{clientId: {id}}}\n")).await?;
    let message = world.until_refused(world.home.name(), "second", "AdoptionRefused").await?;
    assert!(message.contains("already belongs to"), "{message}");
    let own = world.secret(world.home.name(), "local-cloud-admin").await?["client-id"].clone();
    world.confidential(world.home.name(), "third", &format!("  adopt: {{clientId: {own}}}\n")).await?;
    let message = world.until_refused(world.home.name(), "third", "AdoptionRefused").await?;
    assert!(message.contains("operator's own"), "{message}");
    Ok(())
}

#[tokio::test]
async fn foreign_objects_in_the_way_are_left_alone_and_nothing_is_registered_meanwhile() -> Result<()> {
    let world = World::new("conflict").await?;
    let foreign = "apiVersion: v1\nkind: Secret\nmetadata: {name: worker-oauth}\nstringData: {client-secret: theirs}\n";
    world.apply(foreign).await?;
    world.foreign_registration("worker").await?;
    let before = world.secrets(world.home.name()).get("worker-oauth").await?;
    let writes = world.server_writes()?;
    world.confidential(world.home.name(), "worker", "").await?;
    let message = world.until_refused(world.home.name(), "worker", "SecretConflict").await?;
    assert!(message.contains("worker-oauth") && message.contains("spec.outputs"), "{message}");
    assert_eq!(world.server_writes()?, writes, "no registration and no secret for an object that cannot be delivered");
    assert_eq!(world.secrets(world.home.name()).get("worker-oauth").await?, before);
    world.secrets(world.home.name()).delete("worker-oauth", &DeleteParams::default()).await?;
    world.until_ready("worker").await?;
    assert_eq!(world.registrations("worker").await?.len(), 2, "the foreign registration of the same name stays");
    assert!(world.works(&world.secret(world.home.name(), "worker-oauth").await?).await?);
    Ok(())
}

#[tokio::test]
async fn a_mistyped_scope_is_refused_with_a_suggestion_and_its_correction_registers() -> Result<()> {
    let world = World::new("typo").await?;
    let wrong = json!([{"name": "UiPath.Orchestrator", "applicationScopes": ["OR.Queue"]}]);
    world.confidential(world.home.name(), "worker", "  suspend: true\n").await?;
    let api = world.applications(world.home.name());
    let patch = json!({"spec": {"suspend": false, "resources": wrong}});
    api.patch("worker", &PatchParams::default(), &Patch::Merge(patch)).await?;
    let message = world.until_refused(world.home.name(), "worker", "UnknownScope").await?;
    assert_eq!(message, "OR.Queue: unknown; did you mean OR.Queues?");
    let stalled = api.get("worker").await?.status.unwrap_or_default();
    assert!(stalled.conditions.iter().any(|c| c.type_ == "Stalled" && c.status == "True"));
    assert!(world.registrations("worker").await?.is_empty());
    let right = json!([{"name": "UiPath.Orchestrator", "applicationScopes": ["OR.Queues"]}]);
    let app = edit(&world, "worker", json!({"resources": right})).await?;
    assert!(ready(&app.status.unwrap_or_default().conditions));
    Ok(())
}
