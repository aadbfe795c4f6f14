//! What others change is found and set right, and where nothing changed nothing is written.

use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams};
use reqwest::Method;
use serde_json::json;

use crate::support::world::{LIMIT, Variations, World};
use crate::support::{Result, eventually};

fn sweeping() -> Variations {
    Variations { server: "  driftInterval: 2s\n".into(), ..Variations::default() }
}

/// How many applications are looked after in the next test.
const APPLICATIONS: u8 = 8;
/// The passes over applications, whatever came of them.
const PASSES: &str = "extapp_reconciles_total{kind=\"ExternalApplication\"";

#[tokio::test]
async fn nothing_changed_means_nothing_written_through_sweeps_and_a_restart() -> Result<()> {
    let mut world = World::with("quiet", sweeping()).await?;
    let names: Vec<String> = (1..=APPLICATIONS).map(|number| format!("app-{number}")).collect();
    for (number, name) in names.iter().enumerate() {
        // What is written otherwise than the server shows it, and what is not alone.
        let more = match number {
            0 => {
                "  displayName: 'Zażółć, gęślą'\n  redirectUris: ['https://b.example.com', 'https://a.example.com/x/']\n"
            }
            2 => "  outputs: [{name: one}, {name: two, format: Env}, {name: three, immutable: true}]\n",
            _ => "",
        };
        match number % 2 {
            0 => world.confidential(world.home.name(), name, more).await?,
            _ => world.non_confidential(world.home.name(), name, more).await?,
        }
    }
    for name in &names {
        world.until_ready(name).await?;
    }
    // The counts of the server are brought up to date once after the applications came.
    let counted = async || {
        let status = world.servers().get("cloud").await?.status.unwrap_or_default();
        Ok((status.applications == Some(i32::from(APPLICATIONS))).then_some(()))
    };
    eventually("the server counts its applications", LIMIT, counted).await?;
    world.sweeps(1).await?;

    let (versions, writes) = (world.versions().await?, world.server_writes()?);
    let kubernetes = world.metric("extapp_kubernetes_writes_total").await?;
    let passes = world.metric(PASSES).await?;
    // The last one may be under way.
    world.sweeps(4).await?;
    assert_eq!(world.versions().await?, versions);
    assert_eq!(world.server_writes()?, writes);
    assert!((world.metric("extapp_kubernetes_writes_total").await? - kubernetes).abs() < 0.5);
    let more = world.metric(PASSES).await? - passes;
    assert!(passes > 0.0 && more < f64::from(APPLICATIONS), "{more} passes over {APPLICATIONS} applications");

    world.operator.stop().await?;
    world.operator.restart().await?;
    world.sweeps(2).await?;
    assert_eq!(world.versions().await?, versions, "after a restart");
    assert_eq!(world.server_writes()?, writes, "after a restart");
    assert!(world.metric("extapp_kubernetes_writes_total").await? < 0.5, "after a restart");
    Ok(())
}

#[tokio::test]
async fn a_registration_deleted_at_the_server_comes_back_with_a_secret_that_works() -> Result<()> {
    let world = World::with("recreated", Variations { server: sweeping().server, ..Variations::uncounted() }).await?;
    world.confidential(world.home.name(), "worker", "").await?;
    world.until_ready("worker").await?;
    let id = world.registration("worker").await?["id"].as_str().unwrap_or_default().to_owned();
    world.delete_registration(&id).await?;
    world
        .until(world.home.name(), "worker", move |_, status| {
            status.client_id.as_ref().is_some_and(|now| *now != id) && crate::support::world::ready(&status.conditions)
        })
        .await?;
    let keys = world.secret(world.home.name(), "worker-oauth").await?;
    assert_eq!(world.registration("worker").await?["id"], keys["client-id"]);
    assert!(world.works(&keys).await?);
    Ok(())
}

#[tokio::test]
async fn a_registration_edited_at_the_server_is_set_right() -> Result<()> {
    let world = World::with("edited", sweeping()).await?;
    world.confidential(world.home.name(), "worker", "").await?;
    world.until_ready("worker").await?;
    let before = world.registration("worker").await?;
    let (organization, id) = (world.organization().await?, before["id"].as_str().unwrap_or_default().to_owned());
    // A scope is not in the list of registrations: only a read shows it.
    let wider = json!({"name": "worker", "redirectUri": null, "scopes": [
        {"name": "OR.Queues", "type": 1}, {"name": "OR.Users", "type": 1}]});
    world.identity(Method::PUT, &format!("ExternalClient/{organization}/{id}"), Some(wider)).await?;
    let narrowed = async || Ok((world.registration("worker").await?["resources"] == before["resources"]).then_some(()));
    eventually("the scopes are narrowed again", LIMIT, narrowed).await?;
    let renamed = json!({"name": "else", "redirectUri": null, "scopes": [{"name": "OR.Queues", "type": 1}]});
    world.identity(Method::PUT, &format!("ExternalClient/{organization}/{id}"), Some(renamed)).await?;
    let back = async || Ok((world.registrations("worker").await?.len() == 1).then_some(()));
    eventually("the name is back", LIMIT, back).await?;
    assert!(world.works(&world.secret(world.home.name(), "worker-oauth").await?).await?, "the secret stayed");
    Ok(())
}

#[tokio::test]
async fn what_is_done_to_a_secret_is_repaired_at_once_without_a_sweep() -> Result<()> {
    let world = World::new("repaired").await?;
    world.confidential(world.home.name(), "worker", "").await?;
    world.until_ready("worker").await?;
    let api: Api<Secret> = world.secrets(world.home.name());
    let read = async || world.secret(world.home.name(), "worker-oauth").await;
    let first = read().await?;

    let edit = Patch::Merge(json!({"stringData": {"scope": "OR.Everything"}}));
    api.patch("worker-oauth", &PatchParams::default(), &edit).await?;
    let repaired = async || Ok((read().await? == first).then_some(()));
    eventually("the key is as it was, and so is the secret", LIMIT, repaired).await?;

    let edit = Patch::Merge(json!({"stringData": {"client-secret": "overwritten"}}));
    api.patch("worker-oauth", &PatchParams::default(), &edit).await?;
    let replaced = async || {
        let now = read().await?;
        Ok((now["client-secret"] != "overwritten" && world.works(&now).await?).then_some(now))
    };
    let second = eventually("an overwritten secret is replaced by one that works", LIMIT, replaced).await?;

    api.delete("worker-oauth", &DeleteParams::default()).await?;
    let back = async || {
        let Ok(now) = read().await else { return Ok(None) };
        Ok(world.works(&now).await?.then_some(now))
    };
    let third = eventually("a deleted Secret is back", LIMIT, back).await?;
    assert_eq!(third["client-id"], first["client-id"], "the registration was never replaced");
    // What still runs with a secret that was published can go on for a while.
    assert!(world.works(&first).await? && world.works(&second).await?);
    world.until(world.home.name(), "worker", |_, status| status.credentials.len() == 3).await?;
    Ok(())
}

#[tokio::test]
async fn an_edited_config_map_is_repaired() -> Result<()> {
    let world = World::new("map").await?;
    world.non_confidential(world.home.name(), "desktop", "").await?;
    world.until_ready("desktop").await?;
    let before = world.config_map("desktop-oauth").await?;
    assert!(!before.contains_key("client-secret"));
    let registration = world.registration("desktop").await?;
    assert!(registration["secrets"].as_array().is_none_or(Vec::is_empty), "{registration}");
    let api = world.config_maps(world.home.name());
    let edit = Patch::Merge(json!({"data": {"client-id": "someone-else"}}));
    api.patch("desktop-oauth", &PatchParams::default(), &edit).await?;
    let repaired = async || Ok((world.config_map("desktop-oauth").await? == before).then_some(()));
    eventually("the ConfigMap is as it was", LIMIT, repaired).await
}
