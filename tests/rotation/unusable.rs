//! A published secret that cannot be used any more: another one is made at once, and it is said why.

use extapp::api::external_application::ExternalApplicationStatus;
use kube::api::DeleteParams;
use reqwest::Method;

use super::{keys, says, variations};
use crate::support::world::{LIMIT, World};
use crate::support::{Result, eventually};

/// Waits until another secret than this one is published and works, and the status says why it is.
async fn until_replaced(world: &World, before: &str, trigger: &'static str) -> Result<()> {
    let replaced = async || {
        let now = keys(world, "worker").await?;
        Ok((now["client-secret"] != before && world.works(&now).await?).then_some(()))
    };
    eventually("another secret is published and works", LIMIT, replaced).await?;
    let because = move |_: &extapp::api::ExternalApplication, status: &ExternalApplicationStatus| {
        let last = status.rotation.as_ref().and_then(|rotation| rotation.last_trigger.as_deref());
        last == Some(trigger) && says(status) == Some(("True", "Rotated"))
    };
    world.until(world.home.name(), "worker", because).await?;
    let counted = format!("trigger=\"{trigger}\",outcome=\"published\"}} 1");
    let metrics = world.operator.metrics().await?;
    assert!(metrics.contains(&counted), "{metrics}");
    Ok(())
}

#[tokio::test]
async fn one_whose_secret_is_deleted_and_one_that_is_removed_at_the_server_are_replaced_and_counted() -> Result<()> {
    let world = World::with("unusable", variations()).await?;
    world.confidential(world.home.name(), "worker", "").await?;
    let app = world.until_ready("worker").await?;
    assert!(app.status.and_then(|status| status.rotation).is_none(), "the first secret is no rotation");

    let first = keys(&world, "worker").await?;
    world.secrets(world.home.name()).delete("worker-oauth", &DeleteParams::default()).await?;
    let second = async || Ok(keys(&world, "worker").await.ok());
    eventually("the Secret comes back", LIMIT, second).await?;
    until_replaced(&world, &first["client-secret"], "Lost").await?;
    assert!(world.works(&first).await?, "pods that have read it go on for an hour");

    let second = keys(&world, "worker").await?;
    let app = world.until_ready("worker").await?;
    let active = super::listed(&app, extapp::api::external_application::CredentialState::Active);
    let path = format!("ExternalClient/{}/secrets/{}", world.organization().await?, active[0]);
    // What was just made is given time to show before it is taken for removed.
    world.identity(Method::DELETE, &path, None).await?;
    until_replaced(&world, &second["client-secret"], "Gone").await
}
