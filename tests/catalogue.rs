//! The server's catalogue as objects, and what becomes of applications when it changes.

use extapp::api::ApiResource;
use extapp::api::external_application::{ExternalApplicationStatus, ScopeState};
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::Api;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::gate::Gate;
use crate::support::world::{LIMIT, Variations, World, ready};
use crate::support::{Context, Result, eventually, wait_for};

const ORCHESTRATOR: &str = "cloud.uipath-orchestrator";
/// Where the server tells its catalogue.
const CATALOGUE: &str = "/api/ExternalApiResource";

/// A world in which the catalogue can be changed: what the operator is told of it passes the gate.
async fn world(drift_interval: &str) -> Result<World> {
    let server = format!("  driftInterval: {drift_interval}\n");
    World::with("catalogue", Variations { server, gated: true, ..Variations::default() }).await
}

fn gate(world: &World) -> &Gate {
    world.gate.as_ref().expect("a gated world")
}

/// Changes one resource of the catalogue, from now on.
fn change(world: &World, resource: &'static str, change: impl Fn(&mut Value) + Send + Sync + 'static) {
    gate(world).alter(CATALOGUE, move |catalogue| {
        let resources = catalogue.as_array_mut().into_iter().flatten();
        resources.filter(|known| known["name"] == resource).for_each(&change);
    });
}

/// Takes scopes of Orchestrator out of the catalogue.
fn take_out(world: &World, gone: &'static [&'static str]) {
    change(world, "UiPath.Orchestrator", |resource| {
        let scopes = resource["scopes"].as_array_mut().into_iter();
        scopes.for_each(|scopes| scopes.retain(|scope| !gone.iter().any(|name| scope["name"] == *name)));
    });
}

fn resources(world: &World) -> Api<ApiResource> {
    Api::namespaced(world.client.clone(), world.home.name())
}

async fn until_shown(
    world: &World,
    name: &str,
    wanted: impl Fn(&ApiResource) -> bool + Send + 'static,
) -> Result<ApiResource> {
    let holds = move |object: Option<&ApiResource>| object.is_some_and(&wanted);
    wait_for(resources(world), name, LIMIT, holds).await?.context("an object")
}

fn uses(object: &ApiResource) -> Option<i32> {
    object.status.as_ref().and_then(|status| status.applications)
}

fn told<'a>(status: &'a ExternalApplicationStatus, kind: &str) -> Option<&'a Condition> {
    status.conditions.iter().find(|condition| condition.type_ == kind)
}

/// The names of the scopes that the registration has.
fn granted(registration: &Value) -> Vec<&str> {
    let resources = registration["resources"].as_array().into_iter().flatten();
    let scopes = resources.flat_map(|resource| resource["scopes"].as_array().into_iter().flatten());
    let mut names: Vec<&str> = scopes.filter_map(|scope| scope["name"].as_str()).collect();
    names.sort_unstable();
    names
}

#[tokio::test]
async fn new_changed_and_removed_scopes_and_resources_show_after_a_sweep_without_a_restart() -> Result<()> {
    let world = world("1s").await?;
    let before = until_shown(&world, ORCHESTRATOR, |object| object.status.is_some()).await?;
    let scope = |name: &str| before.spec.scopes.iter().find(|scope| scope.name == name).cloned();
    assert_eq!(scope("OR.Jobs").context("a scope")?.grants.len(), 2);
    assert!(scope("OR.Brand.New").is_none());

    change(&world, "UiPath.Orchestrator", |resource| {
        if let Some(scopes) = resource["scopes"].as_array_mut() {
            scopes.retain(|scope| scope["name"] != "OR.Webhooks");
            scopes.push(json!({"name": "OR.Brand.New", "displayName": "New", "type": 1}));
            for scope in scopes.iter_mut().filter(|scope| scope["name"] == "OR.Jobs") {
                scope["type"] = json!(0);
            }
        }
    });
    let count = i32::try_from(before.spec.scopes.len()).ok();
    let changed = until_shown(&world, ORCHESTRATOR, move |object| {
        let named = |name: &str| object.spec.scopes.iter().find(|scope| scope.name == name);
        named("OR.Webhooks").is_none()
            && named("OR.Brand.New").is_some_and(|scope| scope.grants.len() == 1)
            && named("OR.Jobs").is_some_and(|scope| scope.grants.len() == 1)
            && object.status.as_ref().is_some_and(|status| status.scopes == count)
    });
    assert_eq!(changed.await?.metadata.uid, before.metadata.uid, "it is the same object");
    world.confidential(world.home.name(), "modern", "  displayName: modern\n").await?;
    let ask = json!([{"name": "UiPath.Orchestrator", "applicationScopes": ["OR.Jobs"]}]);
    edit(&world, "modern", json!({"resources": ask})).await?;
    let message = world.until_refused(world.home.name(), "modern", "WrongScopeType").await?;
    assert!(message.contains("OR.Jobs: only exists as a user scope"), "{message}");

    gate(&world).alter(CATALOGUE, |catalogue| {
        if let Some(resources) = catalogue.as_array_mut() {
            resources.retain(|resource| resource["name"] != "UiPath.Orchestrator");
            resources.push(json!({"name": "Acme.Invoices", "scopes": [{"name": "Invoices.Read", "type": 2}]}));
        }
    });
    until_shown(&world, "cloud.acme-invoices", |object| object.status.is_some()).await?;
    let gone = async || Ok(resources(&world).get_opt(ORCHESTRATOR).await?.is_none().then_some(()));
    eventually("the removed resource is gone", LIMIT, gone).await?;
    gate(&world).leave_unaltered();
    let back = until_shown(&world, ORCHESTRATOR, |object| object.status.is_some()).await?;
    assert_eq!(back.spec, before.spec);
    world.until_ready("modern").await?;
    Ok(())
}

async fn edit(world: &World, name: &str, spec: Value) -> Result<()> {
    let patch = Patch::Merge(json!({"spec": spec}));
    world.applications(world.home.name()).patch(name, &PatchParams::default(), &patch).await?;
    Ok(())
}

#[tokio::test]
async fn the_applications_of_each_resource_are_counted_and_the_count_follows_them() -> Result<()> {
    // Nothing but the applications themselves makes the operator count.
    let world = world("1h").await?;
    let home = world.home.name();
    let counts = async |orchestrator, insights| {
        until_shown(&world, ORCHESTRATOR, move |object| uses(object) == Some(orchestrator)).await?;
        until_shown(&world, "cloud.uipath-documentunderstanding", move |object| uses(object) == Some(insights)).await
    };
    counts(0, 0).await?;
    for name in ["one", "two"] {
        world.confidential(home, name, "").await?;
    }
    counts(2, 0).await?;
    let both = json!([
        {"name": "UiPath.Orchestrator", "applicationScopes": ["OR.Queues"]},
        {"name": "UiPath.DocumentUnderstanding", "applicationScopes": ["Du.Digitization.Api"]}
    ]);
    edit(&world, "one", json!({"resources": both})).await?;
    counts(2, 1).await?;
    let moved = json!([{"name": "UiPath.DocumentUnderstanding", "applicationScopes": ["Du.Digitization.Api"]}]);
    edit(&world, "two", json!({"resources": moved})).await?;
    counts(1, 2).await?;
    world.applications(home).delete("two", &DeleteParams::default()).await?;
    counts(1, 1).await?;
    Ok(())
}

/// An application that has two scopes, and a catalogue that then lacks one of them.
async fn bereft() -> Result<World> {
    let world = world("1s").await?;
    world.confidential(world.home.name(), "worker", "").await?;
    let two = json!([{"name": "UiPath.Orchestrator", "applicationScopes": ["OR.Queues", "OR.Default"]}]);
    edit(&world, "worker", json!({"resources": two})).await?;
    world.until_ready("worker").await?;
    take_out(&world, &["OR.Default"]);
    world.until_refused(world.home.name(), "worker", "UnknownScope").await?;
    Ok(world)
}

#[tokio::test]
async fn an_application_whose_scope_vanishes_keeps_what_it_has_and_says_which_scope_it_is() -> Result<()> {
    let world = world("1s").await?;
    let home = world.home.name();
    world.confidential(home, "worker", "").await?;
    let two = json!([{"name": "UiPath.Orchestrator", "applicationScopes": ["OR.Queues", "OR.Default"]}]);
    edit(&world, "worker", json!({"resources": two})).await?;
    world.until_ready("worker").await?;
    let (before, keys) = (world.registration("worker").await?, world.secret(home, "worker-oauth").await?);
    let writes = world.server_writes()?;

    take_out(&world, &["OR.Default"]);
    let message = world.until_refused(home, "worker", "UnknownScope").await?;
    assert!(message.contains("OR.Default: ") && message.contains("its credentials are kept"), "{message}");
    world.sweeps(2).await?;
    let status = world.applications(home).get("worker").await?.status.context("a status")?;
    let verdicts: Vec<_> = status.scopes.iter().map(|scope| (scope.name.as_str(), scope.state)).collect();
    assert_eq!(verdicts, [("OR.Default", ScopeState::Unknown), ("OR.Queues", ScopeState::Granted)]);
    assert!(status.scopes[0].reason.as_ref().is_some_and(|reason| !reason.is_empty()));
    for kind in ["Registered", "CredentialsPublished", "Stalled"] {
        assert!(told(&status, kind).is_some_and(|condition| condition.status == "True"), "{kind}: {status:?}");
    }
    assert_eq!(told(&status, "Drifted").map(|condition| condition.status.as_str()), Some("False"));
    assert_eq!(world.registration("worker").await?, before, "nothing was taken away at the server");
    assert_eq!(world.secret(home, "worker-oauth").await?, keys);
    assert!(world.works(&keys).await?);
    assert_eq!(world.server_writes()?, writes, "nothing was written");
    let events: Api<Event> = Api::namespaced(world.client.clone(), home);
    assert_eq!(events.list(&ListParams::default().fields("reason=UnknownScope")).await?.items.len(), 1, "said once");

    gate(&world).leave_unaltered();
    let status = world.until_ready("worker").await?.status.context("a status")?;
    assert!(status.scopes.iter().all(|scope| scope.state == ScopeState::Granted), "{status:?}");
    assert!(told(&status, "Stalled").is_none());
    assert_eq!((world.server_writes()?, world.secret(home, "worker-oauth").await?), (writes, keys));
    Ok(())
}

#[tokio::test]
async fn its_secret_is_still_repaired_whatever_is_lost() -> Result<()> {
    let world = bereft().await?;
    let home = world.home.name();
    let secrets = world.secrets(home);
    let first = world.secret(home, "worker-oauth").await?;
    secrets.delete("worker-oauth", &DeleteParams::default()).await?;
    let back = async || {
        let Ok(now) = world.secret(home, "worker-oauth").await else { return Ok(None) };
        Ok((now["client-secret"] != first["client-secret"] && world.works(&now).await?).then_some(now))
    };
    let second = eventually("a deleted Secret is back", LIMIT, back).await?;
    assert_eq!((&second["client-id"], &second["scope"]), (&first["client-id"], &first["scope"]));

    let wrong = Patch::Merge(json!({"stringData": {"token-uri": "https://evil.example/"}}));
    secrets.patch("worker-oauth", &PatchParams::default(), &wrong).await?;
    let repaired = async || Ok((world.secret(home, "worker-oauth").await? == second).then_some(()));
    eventually("an edited key is as it was", LIMIT, repaired).await?;

    let secrets_of = async || -> Result<Vec<String>> {
        let list = world.registration("worker").await?["secrets"].as_array().cloned().unwrap_or_default();
        Ok(list.iter().map(|secret| secret["id"].to_string()).collect())
    };
    let organization = world.organization().await?;
    for id in secrets_of().await? {
        world.identity(Method::DELETE, &format!("ExternalClient/{organization}/secrets/{id}"), None).await?;
    }
    let replaced = async || {
        let now = world.secret(home, "worker-oauth").await?;
        Ok((now["client-secret"] != second["client-secret"] && world.works(&now).await?).then_some(()))
    };
    eventually("a secret that was removed at the server is replaced", LIMIT, replaced).await?;
    let status = world.applications(home).get("worker").await?.status.context("a status")?;
    assert_eq!(told(&status, "Ready").map(|condition| condition.reason.as_str()), Some("UnknownScope"));
    Ok(())
}

#[tokio::test]
async fn what_differs_at_the_server_is_told_until_the_scope_is_known_again_and_then_set_right() -> Result<()> {
    let world = bereft().await?;
    let home = world.home.name();
    let (id, organization) = (world.registration("worker").await?["id"].clone(), world.organization().await?);
    let place = format!("ExternalClient/{organization}/{}", id.as_str().unwrap_or_default());
    // The server drops the scope from the registration as well, and somebody renames it.
    let narrowed = json!({"name": "else", "redirectUri": null, "scopes": [{"name": "OR.Queues", "type": 1}]});
    world.identity(Method::PUT, &place, Some(narrowed)).await?;
    let writes = world.server_writes()?;
    let told_of = |_: &extapp::api::ExternalApplication, status: &ExternalApplicationStatus| {
        let fields: Vec<&str> = status.drift.iter().map(|difference| difference.field.as_str()).collect();
        fields == ["displayName", "applicationScopes"] && told(status, "Drifted").is_some_and(|c| c.status == "True")
    };
    let app = world.until(home, "worker", told_of).await?;
    let unknown = app.status.context("a status")?.scopes.remove(0);
    assert_eq!((unknown.name.as_str(), unknown.state), ("OR.Default", ScopeState::Unknown));
    let published = async || Ok((world.secret(home, "worker-oauth").await?["scope"] == "OR.Queues").then_some(()));
    eventually("what is published can be asked for", LIMIT, published).await?;
    let counted = async || {
        let status = world.servers().get("cloud").await?.status.unwrap_or_default();
        Ok((status.drifted == Some(1)).then_some(()))
    };
    eventually("the server counts it among those that differ", LIMIT, counted).await?;
    let versions = world.versions().await?;
    world.sweeps(3).await?;
    assert_eq!(world.server_writes()?, writes, "nothing was written at the server");
    assert_eq!(world.versions().await?, versions, "and nothing anywhere once it was told");

    gate(&world).leave_unaltered();
    world.until_ready("worker").await?;
    assert_eq!(granted(&world.registration("worker").await?), ["OR.Default", "OR.Queues"]);
    assert_eq!(world.secret(home, "worker-oauth").await?["scope"], "OR.Default OR.Queues");
    Ok(())
}

#[tokio::test]
async fn it_can_be_mended_in_the_spec_and_deleted_at_any_time() -> Result<()> {
    let world = bereft().await?;
    let home = world.home.name();
    let one = json!([{"name": "UiPath.Orchestrator", "applicationScopes": ["OR.Queues"]}]);
    edit(&world, "worker", json!({"resources": one})).await?;
    world.until_ready("worker").await?;
    assert_eq!(granted(&world.registration("worker").await?), ["OR.Queues"]);
    take_out(&world, &["OR.Default", "OR.Queues"]);
    world.until_refused(home, "worker", "UnknownScope").await?;
    world.applications(home).delete("worker", &DeleteParams::default()).await?;
    world.until_gone(home, "worker").await?;
    assert!(world.registrations("worker").await?.is_empty());
    Ok(())
}

#[tokio::test]
async fn a_mistyped_scope_in_an_edit_leaves_everything_as_it_was_and_the_secret_in_care() -> Result<()> {
    let world = world("1h").await?;
    let home = world.home.name();
    world.confidential(home, "worker", "").await?;
    world.until_ready("worker").await?;
    let (before, keys) = (world.registration("worker").await?, world.secret(home, "worker-oauth").await?);
    let mistyped = json!([{"name": "UiPath.Orchestrator", "applicationScopes": ["OR.Queues", "OR.Job"]}]);
    edit(&world, "worker", json!({"displayName": "Renamed", "resources": mistyped})).await?;
    let message = world.until_refused(home, "worker", "UnknownScope").await?;
    assert!(message.starts_with("OR.Job: unknown; did you mean OR.Jobs?"), "{message}");
    assert_eq!((world.registration("worker").await?, world.secret(home, "worker-oauth").await?), (before, keys));
    world.secrets(home).delete("worker-oauth", &DeleteParams::default()).await?;
    let back = async || {
        let Ok(now) = world.secret(home, "worker-oauth").await else { return Ok(None) };
        Ok((now["scope"] == "OR.Queues" && world.works(&now).await?).then_some(()))
    };
    eventually("a deleted Secret is back", LIMIT, back).await
}

#[tokio::test]
async fn a_declared_catalogue_is_refused_where_the_server_has_its_own_and_changes_nothing() -> Result<()> {
    let world = world("1s").await?;
    let home = world.home.name();
    for management in ["Observe", "Enforce"] {
        let name = management.to_lowercase();
        let declared = format!(
            "apiVersion: extapp.dev/v1alpha1\nkind: ApiResource\nmetadata: {{name: {name}}}\nspec: {{serverRef: {{name: cloud}}, identifier: Acme.{management}, management: {management}, scopes: [{{name: Acme.Read, grants: [User, Application]}}]}}\n"
        );
        world.apply(&declared).await?;
        let refused = |object: &ApiResource| {
            let conditions = object.status.as_ref().map(|status| &status.conditions);
            let said = |kind: &str, value: &str| {
                conditions.into_iter().flatten().any(|condition| {
                    condition.type_ == kind && condition.status == value && condition.reason == "CatalogueNotDeclarable"
                })
            };
            said("Ready", "False") && said("Stalled", "True")
        };
        until_shown(&world, &name, refused).await?;
    }
    world.confidential(home, "worker", "").await?;
    let ask = json!([{"name": "Acme.Enforce", "applicationScopes": ["Acme.Read"]}]);
    edit(&world, "worker", json!({"resources": ask})).await?;
    let message = world.until_refused(home, "worker", "UnknownScope").await?;
    assert!(message.contains("resource Acme.Enforce: unknown"), "{message}");
    let events: Api<Event> = Api::namespaced(world.client.clone(), home);
    let said = async || {
        let about = events.list(&ListParams::default().fields("reason=CatalogueNotDeclarable")).await?;
        Ok((about.items.len() == 2).then_some(()))
    };
    eventually("each was told once", LIMIT, said).await?;
    world.sweeps(2).await?;
    assert_eq!(events.list(&ListParams::default().fields("reason=CatalogueNotDeclarable")).await?.items.len(), 2);
    let server = world.servers().get("cloud").await?.status.context("a status")?;
    assert!(ready(&server.conditions), "the server is well");
    Ok(())
}
