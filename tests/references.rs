//! What a reference across namespaces may reach, and what an application of one tenant can never touch.

use std::collections::BTreeSet;

use extapp::api::ExternalApplication;
use extapp::api::external_application::ExternalApplicationStatus;
use extapp::domain::intent::digest;
use extapp::domain::registration::{ClientType, Desired, Grant, Owner, Scope, Settings};
use kube::ResourceExt;
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::{Value, json};

use crate::support::world::{LIMIT, Variations, World, ready};
use crate::support::{Result, apply_yaml_in, eventually};

async fn consent(world: &World, allowed: Value) -> Result<()> {
    let patch = Patch::Merge(json!({"spec": {"allowedNamespaces": allowed}}));
    world.servers().patch("cloud", &PatchParams::default(), &patch).await?;
    Ok(())
}

async fn rename(world: &World, namespace: &str, name: &str, to: &str) -> Result<()> {
    let patch = Patch::Merge(json!({"spec": {"displayName": to}}));
    world.applications(namespace).patch(name, &PatchParams::default(), &patch).await?;
    Ok(())
}

/// How many requests named this registration.
fn requests_for(world: &World, client_id: &str) -> Result<usize> {
    Ok(world.cloud.access_log()?.iter().filter(|line| line.contains(client_id)).count())
}

#[tokio::test]
async fn consent_withdrawn_in_the_spec_stops_updates_and_restored_consent_makes_them() -> Result<()> {
    let server = "  allowedNamespaces: {from: All}\n".into();
    let world = World::with("withdrawn", Variations { tenants: 2, server, ..Variations::default() }).await?;
    let (one, two) = (world.tenants[0].name().to_owned(), world.tenants[1].name().to_owned());
    for tenant in [&one, &two] {
        world.confidential(tenant, "worker", &format!("  displayName: Of {tenant}\n")).await?;
    }
    for tenant in [&one, &two] {
        world.until(tenant, "worker", |_, status| ready(&status.conditions)).await?;
    }
    // Only the second one is still meant, by an expression.
    let expression = json!({"key": "kubernetes.io/metadata.name", "operator": "In", "values": [two]});
    consent(&world, json!({"from": "Selector", "selector": {"matchExpressions": [expression]}})).await?;
    let message = world.until_refused(&one, "worker", "NamespaceNotAllowed").await?;
    assert!(message.contains(&one), "{message}");
    rename(&world, &two, "worker", "Still served").await?;
    world.until(&two, "worker", |_, status| ready(&status.conditions)).await?;
    assert_eq!(world.registrations("Still served").await?.len(), 1);

    let keys = world.secret(&one, "worker-oauth").await?;
    let (before, secret) =
        (requests_for(&world, &keys["client-id"])?, world.secrets(&one).get("worker-oauth").await?.resource_version());
    rename(&world, &one, "worker", "Not yet").await?;
    world.until_refused(&one, "worker", "NamespaceNotAllowed").await?;
    consent(&world, json!({"from": "Same", "selector": null})).await?;
    world.until_refused(&two, "worker", "NamespaceNotAllowed").await?;
    assert_eq!(requests_for(&world, &keys["client-id"])?, before, "not even read");
    assert_eq!(world.secrets(&one).get("worker-oauth").await?.resource_version(), secret);
    assert!(world.registrations("Not yet").await?.is_empty());

    consent(&world, json!({"from": "All"})).await?;
    for tenant in [&one, &two] {
        world.until(tenant, "worker", |_, status| ready(&status.conditions)).await?;
    }
    assert_eq!(world.registration("Not yet").await?["id"], json!(keys["client-id"]), "the change is made now");
    Ok(())
}

#[tokio::test]
async fn a_deletion_without_consent_is_given_up_in_time_and_made_good_by_the_servers_owner() -> Result<()> {
    let server = "  driftInterval: 2s\n  allowedNamespaces: {from: All}\n".into();
    let world = World::with("givenup", Variations { tenants: 1, server, ..Variations::default() }).await?;
    let tenant = world.tenants[0].name().to_owned();
    world.confidential(&tenant, "worker", "  deletion: {giveUpAfter: 3s}\n").await?;
    world.until(&tenant, "worker", |_, status| ready(&status.conditions)).await?;
    consent(&world, json!({"from": "Same"})).await?;
    world.until_refused(&tenant, "worker", "NamespaceNotAllowed").await?;
    // The server takes no deletion now, so that the list of what is pending can be seen.
    let refuse = json!({"match": {"method": "DELETE"}, "times": 1000, "action": "status:503"});
    world.cloud.faults(&refuse).await?;
    world.applications(&tenant).delete("worker", &DeleteParams::default()).await?;
    world.until_gone(&tenant, "worker").await?;
    let listed = async || {
        let pending = world.servers().get("cloud").await?.status.unwrap_or_default().pending_deletions;
        Ok((pending.len() == 1 && pending[0].display_name == "worker").then_some(()))
    };
    eventually("the registration is listed as pending", LIMIT, listed).await?;
    assert_eq!(world.registrations("worker").await?.len(), 1);
    reqwest::Client::new().delete(format!("{}/__faults", world.cloud.base_url())).send().await?;
    let settled = async || {
        let pending = world.servers().get("cloud").await?.status.unwrap_or_default().pending_deletions;
        Ok((pending.is_empty() && world.registrations("worker").await?.is_empty()).then_some(()))
    };
    eventually("the server's own pass deletes it", LIMIT, settled).await
}

#[tokio::test]
async fn what_a_server_is_reached_with_is_taken_from_its_own_namespace_alone() -> Result<()> {
    let world = World::with("borrowed", Variations { tenants: 1, ..Variations::default() }).await?;
    let (home, tenant) = (world.home.name().to_owned(), world.tenants[0].name().to_owned());
    let borrowed = "  caRef: {name: authority, key: ca.crt}\n";
    world.apply("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: authority}\ndata: {ca.crt: x}\n").await?;
    let manifest = |name: &str, more: &str| world.server(more).replace("{name: cloud}", &format!("{{name: {name}}}"));
    let foreign = format!("{{name: local-cloud-admin, namespace: {home}}}");
    let mine = manifest("mine", "").replace("{name: local-cloud-admin}", &foreign);
    let servers: kube::Api<extapp::api::AuthorizationServer> = kube::Api::namespaced(world.client.clone(), &tenant);
    let refused = async |name: &str, reason: &str| {
        let seen = async || {
            let conditions = servers.get(name).await?.status.unwrap_or_default().conditions;
            Ok(conditions.into_iter().find(|c| c.type_ == "Ready" && c.status == "False" && c.reason == reason))
        };
        Ok::<_, crate::support::Error>(eventually(&format!("{name} is {reason}"), LIMIT, seen).await?.message)
    };
    // A namespace in the reference is not a field: it is dropped or refused, and never followed.
    let _ = apply_yaml_in(&world.client, &tenant, &mine).await;
    apply_yaml_in(&world.client, &tenant, &manifest("mine", "")).await?;
    let message = refused("mine", "CredentialsMissing").await?;
    assert!(message.contains(&tenant) && !message.contains(&home), "{message}");
    apply_yaml_in(&world.client, &tenant, &world.cloud.credentials_manifest()?).await?;
    apply_yaml_in(&world.client, &tenant, &manifest("certified", borrowed)).await?;
    let message = refused("certified", "CaInvalid").await?;
    assert!(message.contains(&tenant), "{message}");
    Ok(())
}

#[tokio::test]
async fn an_output_never_touches_what_another_owner_has() -> Result<()> {
    let world = World::new("owners").await?;
    let home = world.home.name().to_owned();
    world.confidential(&home, "first", "  outputs: [{name: shared}]\n").await?;
    world.until_ready("first").await?;
    let versions = async || {
        let mut versions = Vec::new();
        for name in ["shared", "local-cloud-admin"] {
            versions.push(world.secrets(&home).get(name).await?.resource_version());
        }
        Ok::<_, crate::support::Error>(versions)
    };
    let before = versions().await?;
    for (name, output) in [("second", "shared"), ("thief", "local-cloud-admin")] {
        world.confidential(&home, name, &format!("  outputs: [{{name: {output}}}]\n")).await?;
        let message = world.until_refused(&home, name, "SecretConflict").await?;
        assert!(message.contains(output), "{message}");
        assert!(world.registrations(name).await?.is_empty());
        world.applications(&home).delete(name, &DeleteParams::default()).await?;
        world.until_gone(&home, name).await?;
    }
    assert_eq!(versions().await?, before, "neither written nor removed with those who wanted them");
    assert!(world.works(&world.secret(&home, "shared").await?).await?);
    Ok(())
}

#[tokio::test]
async fn a_template_looks_nothing_up() -> Result<()> {
    let world = World::new("template").await?;
    let home = world.home.name().to_owned();
    let writes = world.server_writes()?;
    let attempts = [
        "{{ lookup('v1', 'Secret', 'kube-system', 'x') }}",
        "{% include '/etc/passwd' %}",
        "{% import '/proc/self/environ' as e %}{{ e }}",
        "{{ env('HOME') }}",
        "{{ env.HOME }}",
        "{{ clientSecret.__class__.x }}",
        "{{ debug() }}",
    ];
    for (index, attempt) in attempts.iter().enumerate() {
        let outputs = json!([{"name": format!("out-{index}"), "format": "Template", "template": {"x": attempt}}]);
        world.confidential(&home, &format!("try-{index}"), &format!("  outputs: {outputs}\n")).await?;
    }
    for (index, attempt) in attempts.iter().enumerate() {
        let message = world.until_refused(&home, &format!("try-{index}"), "TemplateInvalid").await?;
        assert!(!message.is_empty() && !message.contains("root:"), "{attempt}: {message}");
        assert!(world.secrets(&home).get_opt(&format!("out-{index}")).await?.is_none(), "{attempt}");
    }
    assert_eq!(world.server_writes()?, writes);
    Ok(())
}

#[tokio::test]
async fn a_place_that_a_deletion_frees_goes_to_the_next_oldest() -> Result<()> {
    let server = "  limits: {applicationsPerNamespace: 1}\n".into();
    let world = World::with("places", Variations { server, ..Variations::default() }).await?;
    let home = world.home.name().to_owned();
    world.confidential(&home, "first", "").await?;
    world.until_ready("first").await?;
    for name in ["second", "third"] {
        world.confidential(&home, name, "").await?;
        world.until_refused(&home, name, "LimitReached").await?;
    }
    world.applications(&home).delete("first", &DeleteParams::default()).await?;
    world.until_gone(&home, "first").await?;
    world.until_ready("second").await?;
    world.until_refused(&home, "third", "LimitReached").await?;
    assert!(world.registrations("third").await?.is_empty());
    Ok(())
}

/// What a create of ours would have recorded, but not sealed by the operator.
fn forged(registration: &Value) -> String {
    let desired = Desired {
        display_name: "victim".into(),
        client_type: ClientType::Confidential,
        redirect_uris: BTreeSet::new(),
        scopes: [Scope { name: "OR.Queues".into(), grant: Grant::Application }].into(),
        settings: Settings::new(),
        secretless: false,
        owner: Owner::default(),
    };
    let intent = json!({
        "name": "victim", "digest": digest(&desired), "known": [], "holder": "me", "at": "2026-01-01T00:00:00Z",
        "seal": registration["id"]
    });
    intent.to_string()
}

#[tokio::test]
async fn a_registration_is_not_taken_with_a_forged_intent_nor_with_a_forged_secret_nor_deleted() -> Result<()> {
    let world = World::new("forged").await?;
    let home = world.home.name();
    let victim = world.foreign_registration("victim").await?;
    let before = world.registration("victim").await?;
    world.confidential(home, "thief", "  displayName: victim\n  suspend: true\n").await?;
    let suspended = |_: &ExternalApplication, status: &ExternalApplicationStatus| {
        status.conditions.iter().any(|condition| condition.reason == "Suspended")
    };
    let thief = world.until(home, "thief", suspended).await?;
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {
            "name": "thief-oauth", "labels": {"app.kubernetes.io/managed-by": "extapp"},
            "annotations": {"extapp.dev/client-id": victim["id"]},
            "ownerReferences": [{
                "apiVersion": "extapp.dev/v1alpha1", "kind": "ExternalApplication", "name": "thief",
                "uid": thief.metadata.uid, "controller": true
            }]
        }
    });
    world.apply(&secret.to_string()).await?;
    let patch = json!({
        "metadata": {
            "annotations": {"extapp.dev/pending": forged(&victim)}, "finalizers": ["extapp.dev/registration"]
        },
        "spec": {"suspend": false}
    });
    let api = world.applications(home);
    api.patch("thief", &PatchParams::default(), &Patch::Merge(patch)).await?;
    world.until_refused(home, "thief", "RegistrationAmbiguous").await?;
    assert_eq!(world.registration("victim").await?, before, "nothing was done to it");

    api.delete("thief", &DeleteParams::default()).await?;
    world.until_refused(home, "thief", "RegistrationAmbiguous").await?;
    let abandon = json!({"metadata": {"annotations": {"extapp.dev/abandon": "true"}}});
    api.patch("thief", &PatchParams::default(), &Patch::Merge(abandon)).await?;
    world.until_gone(home, "thief").await?;
    let pending = world.servers().get("cloud").await?.status.unwrap_or_default().pending_deletions;
    assert!(pending.is_empty(), "{pending:?}");
    assert_eq!(world.registration("victim").await?, before, "nor was it deleted");
    Ok(())
}
