//! Servers that keep one secret for each registration.

use extapp::api::external_application::ExternalApplicationStatus;
use extapp::api::{ExternalApplication, REVOKE_NOW, ROLLBACK, ROTATE};
use kube::api::{Patch, PatchParams};
use serde_json::json;

use super::obstructed::until_unwritten;
use super::{message, says, until_revoked, until_rolled_back};
use crate::hydra::site::Site;
use crate::keycloak::stage::{Stage, TO_REGISTER};
use crate::support::Result;
use crate::support::forbidden::Forbidden;
use crate::support::world::World;

/// Says before the first rotation that there is a gap, refuses an overlap, and rotates when asked; the rest is the server's.
async fn states_the_gap(world: &World) -> Result<()> {
    let home = world.home.name();
    let api = world.applications(home);
    let set = async |rotation: serde_json::Value| -> Result<()> {
        let patch = Patch::Merge(json!({"spec": {"rotation": rotation}}));
        api.patch("worker", &PatchParams::default(), &patch).await?;
        Ok(())
    };
    set(json!({"interval": "30d", "overlap": "1h"})).await?;
    let refused = world.until_refused(home, "worker", "NotSupported").await?;
    assert!(refused.contains("spec.rotation.overlap") && refused.contains("0s"), "{refused}");
    set(json!({"interval": "30d", "overlap": null, "retire": "WhenConsumersRolled"})).await?;
    let refused = world.until_refused(home, "worker", "NotSupported").await?;
    assert!(refused.contains("spec.rotation.retire"), "{refused}");
    set(json!({"interval": "30d", "overlap": "0s", "retire": null})).await?;
    world.until_ready("worker").await?;
    let app = world.until(home, "worker", |_, status| says(status) == Some(("True", "Rotated"))).await?;
    assert!(message(&app).contains("keeps one secret"), "{}", message(&app));
    Ok(())
}

async fn until_asked(world: &World, request: &'static str) -> Result<ExternalApplication> {
    let settled = move |_: &ExternalApplication, status: &ExternalApplicationStatus| {
        status.rotation.as_ref().and_then(|rotation| rotation.rotate.as_deref()) == Some(request)
    };
    world.until(world.home.name(), "worker", settled).await
}

async fn cannot_go_back(world: &World) -> Result<()> {
    world.annotate("worker", ROLLBACK, "back").await?;
    let app = until_rolled_back(world, "back").await?;
    assert_eq!(says(&app.status.clone().unwrap_or_default()), Some(("False", "NotSupported")));
    assert!(message(&app).contains("one secret"), "{}", message(&app));
    Ok(())
}

#[tokio::test]
async fn at_a_keycloak_the_secret_is_replaced_in_one_step_and_the_gap_is_stated_before() -> Result<()> {
    let stage = Stage::set("rotation", TO_REGISTER).await?;
    let before = stage.worker().await?;
    states_the_gap(&stage.world).await?;
    assert_eq!(stage.secret("worker").await?, before, "nothing was due");
    stage.world.annotate("worker", ROTATE, "asked").await?;
    let app = until_asked(&stage.world, "asked").await?;
    assert_eq!(says(&app.status.clone().unwrap_or_default()), Some(("True", "Rotated")), "{:?}", app.status);
    let after = stage.secret("worker").await?;
    assert_ne!(after["client-secret"], before["client-secret"]);
    assert!(stage.works(&after).await? && !stage.works(&before).await?);
    assert!(message(&app).contains("keeps one secret"), "{}", message(&app));
    cannot_go_back(&stage.world).await
}

#[tokio::test]
async fn at_a_hydra_the_secret_is_replaced_in_one_step_and_the_gap_is_stated_before() -> Result<()> {
    let site = Site::new("rotation").await?;
    site.confidential("worker", "").await?;
    site.world.until_ready("worker").await?;
    let before = site.keys("worker").await?;
    states_the_gap(&site.world).await?;
    assert_eq!(site.keys("worker").await?, before, "nothing was due");
    site.world.annotate("worker", ROTATE, "asked").await?;
    let app = until_asked(&site.world, "asked").await?;
    assert_eq!(says(&app.status.clone().unwrap_or_default()), Some(("True", "Rotated")), "{:?}", app.status);
    let after = site.keys("worker").await?;
    assert_ne!(after["client-secret"], before["client-secret"]);
    assert!(site.works(&after).await? && !site.works(&before).await?);
    cannot_go_back(&site.world).await
}

#[tokio::test]
async fn a_rotation_is_not_said_to_be_done_while_the_secret_that_took_the_place_of_the_last_cannot_be_written()
-> Result<()> {
    let site = Site::new("unwritable-one").await?;
    let world = &site.world;
    site.confidential("worker", "").await?;
    world.until_ready("worker").await?;
    let before = site.keys("worker").await?;
    let forbidden = Forbidden::names(world, "worker-oauth").await?;
    world.annotate("worker", REVOKE_NOW, "leaked").await?;
    let app = until_unwritten(world, "worker").await?;
    assert_eq!(app.status.clone().and_then(|status| status.rotation), None, "{:?}", app.status);
    assert!(message(&app).contains("not all of that is done yet"), "{}", message(&app));
    assert!(!site.works(&before).await?, "the one before has ended");
    forbidden.lift().await?;
    // The next try of its own accord may be minutes away.
    let patch = Patch::Merge(json!({"spec": {"displayName": "looked at"}}));
    world.applications(world.home.name()).patch("worker", &PatchParams::default(), &patch).await?;
    let app = until_revoked(world, "leaked").await?;
    assert_eq!(says(&app.status.unwrap_or_default()), Some(("True", "Rotated")));
    let after = site.keys("worker").await?;
    assert!(after["client-secret"] != before["client-secret"] && site.works(&after).await?);
    let metrics = world.operator.metrics().await?;
    assert!(metrics.contains("trigger=\"Leaked\",outcome=\"published\"} 1"), "{metrics}");
    Ok(())
}
