//! Who may use what: consent, limits, and how objects and namespaces go.

use extapp::api::authorization_server::PendingDeletion;
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{DeleteParams, Patch, PatchParams};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};

use crate::support::world::{LIMIT, Variations, World};
use crate::support::{Result, eventually};

async fn consent(world: &World, allowed: Value) -> Result<()> {
    let patch = Patch::Merge(json!({"spec": {"allowedNamespaces": allowed}}));
    world.servers().patch("cloud", &PatchParams::default(), &patch).await?;
    Ok(())
}

async fn pending(world: &World) -> Result<Vec<PendingDeletion>> {
    Ok(world.servers().get("cloud").await?.status.unwrap_or_default().pending_deletions)
}

#[tokio::test]
async fn without_consent_nothing_is_asked_of_the_server_and_withdrawn_consent_stops_writes() -> Result<()> {
    let world = World::with("consent", Variations { tenants: 1, ..Variations::default() }).await?;
    let tenant = world.tenants[0].name().to_owned();
    let writes = world.server_writes()?;
    world.confidential(&tenant, "worker", "").await?;
    let message = world.until_refused(&tenant, "worker", "NamespaceNotAllowed").await?;
    assert!(message.contains(&tenant) && message.contains("allowedNamespaces"), "{message}");
    assert_eq!(world.server_writes()?, writes);
    let app = world.applications(&tenant).get("worker").await?;
    assert!(app.finalizers().is_empty() && app.metadata.annotations.is_none(), "nothing but its status is written");

    // Consent by a label of the namespace.
    let selector = json!({"from": "Selector", "selector": {"matchLabels": {"oauth": "yes"}}});
    consent(&world, selector).await?;
    let label = |value: Value| Patch::Merge(json!({"metadata": {"labels": {"oauth": value}}}));
    let namespaces: Api<Namespace> = Api::all(world.client.clone());
    namespaces.patch(&tenant, &PatchParams::default(), &label(json!("yes"))).await?;
    world.until(&tenant, "worker", |_, status| crate::support::world::ready(&status.conditions)).await?;

    namespaces.patch(&tenant, &PatchParams::default(), &label(Value::Null)).await?;
    world.until_refused(&tenant, "worker", "NamespaceNotAllowed").await?;
    let writes = world.server_writes()?;
    let rename = Patch::Merge(json!({"spec": {"displayName": "Renamed"}}));
    world.applications(&tenant).patch("worker", &PatchParams::default(), &rename).await?;
    world.until_refused(&tenant, "worker", "NamespaceNotAllowed").await?;
    assert_eq!(world.server_writes()?, writes);
    let keys = world.secret(&tenant, "worker-oauth").await?;
    assert!(world.works(&keys).await?, "what was given stays");

    // A deletion without consent waits, and is left to the owner of the server when told to stop waiting.
    let api = world.applications(&tenant);
    api.delete("worker", &DeleteParams::default()).await?;
    let waiting = world.until_refused(&tenant, "worker", "NamespaceNotAllowed").await?;
    assert!(waiting.contains("not deleted yet"), "{waiting}");
    let abandon = Patch::Merge(json!({"metadata": {"annotations": {"extapp.dev/abandon": "true"}}}));
    api.patch("worker", &PatchParams::default(), &abandon).await?;
    world.until_gone(&tenant, "worker").await?;
    let left = pending(&world).await?;
    let listed: Vec<&str> = left.iter().map(|entry| entry.client_id.as_str()).collect();
    assert_eq!(listed, [keys["client-id"].as_str()], "its server takes care of what the namespace may not touch");
    assert_eq!(world.registrations("worker").await?.len(), 1, "not yet");
    consent(&world, json!({"from": "All", "selector": null})).await?;
    let gone = async || Ok(world.registrations("worker").await?.is_empty().then_some(()));
    eventually("the server's owner's pass deletes what was left", LIMIT, gone).await
}

#[tokio::test]
async fn same_names_in_two_namespaces_share_nothing() -> Result<()> {
    let server = "  allowedNamespaces: {from: All}\n".into();
    let world = World::with("twins", Variations { tenants: 2, server, ..Variations::default() }).await?;
    let names: Vec<String> = world.tenants.iter().map(|tenant| tenant.name().to_owned()).collect();
    for tenant in &names {
        world.confidential(tenant, "worker", "").await?;
    }
    let mut keys = Vec::new();
    for tenant in &names {
        world.until(tenant, "worker", |_, status| crate::support::world::ready(&status.conditions)).await?;
        keys.push(world.secret(tenant, "worker-oauth").await?);
    }
    assert_ne!(keys[0]["client-id"], keys[1]["client-id"]);
    world.applications(&names[0]).delete("worker", &DeleteParams::default()).await?;
    world.until_gone(&names[0], "worker").await?;
    assert!(!world.works(&keys[0]).await? && world.works(&keys[1]).await?);
    Ok(())
}

#[tokio::test]
async fn limits_and_allowed_scopes_hold_and_the_oldest_win() -> Result<()> {
    let server = "  limits: {applicationsPerNamespace: 1}\n  allowedScopes: ['OR.Q*']\n".into();
    let world = World::with("limits", Variations { server, ..Variations::default() }).await?;
    let home = world.home.name().to_owned();
    world.confidential(&home, "a-first", "").await?;
    world.until_ready("a-first").await?;
    world.confidential(&home, "b-second", "").await?;
    let message = world.until_refused(&home, "b-second", "LimitReached").await?;
    assert!(message.contains("allows 1"), "{message}");
    let other = Patch::Merge(json!({"spec": {"resources": [
        {"name": "UiPath.Orchestrator", "applicationScopes": ["OR.Jobs"]}]}}));
    world.applications(&home).patch("a-first", &PatchParams::default(), &other).await?;
    let message = world.until_refused(&home, "a-first", "ScopeNotAllowed").await?;
    assert!(message.contains("allowedScopes"), "{message}");
    assert!(world.works(&world.secret(&home, "a-first-oauth").await?).await?, "what was registered stays as it was");
    Ok(())
}

#[tokio::test]
async fn a_server_in_use_is_not_deleted_and_a_namespace_goes_with_all_that_is_in_it() -> Result<()> {
    let world = World::new("going").await?;
    let home = world.home.name().to_owned();
    world.confidential(&home, "worker", "").await?;
    world.until_ready("worker").await?;
    let (organization, id) = (world.organization().await?, world.registration("worker").await?["id"].clone());
    world.servers().delete("cloud", &DeleteParams::default()).await?;
    let refused = async || {
        let status = world.servers().get("cloud").await?.status.unwrap_or_default();
        let ready = status.conditions.into_iter().find(|condition| condition.type_ == "Ready");
        Ok(ready.filter(|ready| ready.reason == "InUse"))
    };
    let ready = eventually("the server says who uses it", LIMIT, refused).await?;
    assert!(ready.message.contains(&format!("{home}/worker")), "{}", ready.message);

    let admin = world.secret(&home, "local-cloud-admin").await?;
    let namespaces: Api<Namespace> = Api::all(world.client.clone());
    namespaces.delete(&home, &DeleteParams::default()).await?;
    let gone = async || Ok(namespaces.get_opt(&home).await?.is_none().then_some(()));
    eventually("the namespace is gone", LIMIT, gone).await?;
    let form = [
        ("grant_type", "client_credentials"),
        ("client_id", &admin["client-id"]),
        ("client_secret", &admin["client-secret"]),
        ("scope", "PM.OAuthApp"),
    ];
    let http = reqwest::Client::new();
    let base = world.cloud.base_url();
    let token: Value = http.post(format!("{base}/identity_/connect/token")).form(&form).send().await?.json().await?;
    let url = format!(
        "{}/identity_/api/ExternalClient/{organization}/{}",
        world.cloud.url(),
        id.as_str().unwrap_or_default()
    );
    let answer = http.get(url).bearer_auth(token["access_token"].as_str().unwrap_or_default()).send().await?;
    assert_eq!(answer.status(), 404, "the registration went too");
    Ok(())
}

#[tokio::test]
async fn while_the_server_is_down_a_deletion_waits_gives_up_and_is_made_good_later() -> Result<()> {
    let operator = vec!["--request-timeout".into(), "2".into()];
    let mut world = World::with("down", Variations { operator, ..Variations::default() }).await?;
    let home = world.home.name().to_owned();
    world.confidential(&home, "worker", "  deletion: {giveUpAfter: 3s}\n").await?;
    world.until_ready("worker").await?;
    world.cloud.kill9()?;
    world.applications(&home).delete("worker", &DeleteParams::default()).await?;
    world.until_gone(&home, "worker").await?;
    let listed = pending(&world).await?;
    assert_eq!(listed.iter().map(|entry| entry.display_name.as_str()).collect::<Vec<_>>(), ["worker"]);
    world.confidential(&home, "newcomer", "").await?;
    world
        .until(&home, "newcomer", |_, status| {
            status
                .conditions
                .iter()
                .any(|c| c.type_ == "Ready" && c.status == "False" && c.reason.starts_with("Server"))
        })
        .await?;
    world.cloud.restart().await?;
    let gone = async || Ok(world.registrations("worker").await?.is_empty().then_some(()));
    eventually("it is deleted now that the server is back", LIMIT, gone).await?;
    world.until_ready("newcomer").await?;
    let emptied = async || Ok(pending(&world).await?.is_empty().then_some(()));
    eventually("the list is empty", LIMIT, emptied).await
}

#[tokio::test]
async fn a_namespace_goes_while_the_server_is_down_and_what_it_left_is_made_good_later() -> Result<()> {
    let operator = vec!["--request-timeout".into(), "2".into()];
    let server = "  allowedNamespaces: {from: All}\n".into();
    let mut world = World::with("away", Variations { tenants: 1, server, operator, ..Variations::default() }).await?;
    let tenant = world.tenants[0].name().to_owned();
    let policies = ["Delete", "Revoke", "Retain"].map(|policy| (policy.to_lowercase(), policy));
    for (name, policy) in &policies {
        let more = format!("  deletion: {{policy: {policy}, giveUpAfter: 3s}}\n");
        world.confidential(&tenant, name, &more).await?;
    }
    let mut keys = Vec::new();
    for (name, _) in &policies {
        world.until(&tenant, name, |_, status| crate::support::world::ready(&status.conditions)).await?;
        keys.push(world.secret(&tenant, &format!("{name}-oauth")).await?);
    }
    world.cloud.kill9()?;
    let namespaces: Api<Namespace> = Api::all(world.client.clone());
    namespaces.delete(&tenant, &DeleteParams::default()).await?;
    let gone = async || Ok(namespaces.get_opt(&tenant).await?.is_none().then_some(()));
    eventually("the namespace is gone", LIMIT, gone).await?;

    let listed = pending(&world).await?.into_iter();
    let mut left: Vec<_> = listed.map(|entry| (entry.display_name, entry.client_id)).collect();
    left.sort();
    let named = |index: usize| (policies[index].0.clone(), keys[index]["client-id"].clone());
    assert_eq!(left, [named(0), named(1)], "the two for which something is still to be done");

    world.cloud.restart().await?;
    let emptied = async || Ok(pending(&world).await?.is_empty().then_some(()));
    eventually("nothing is pending any more", LIMIT, emptied).await?;
    assert!(world.registrations("delete").await?.is_empty());
    assert_eq!(world.registration("revoke").await?["secrets"].as_array().map(Vec::len), Some(0));
    assert!(world.works(&keys[2]).await?, "Retain leaves registration and secret");
    Ok(())
}
