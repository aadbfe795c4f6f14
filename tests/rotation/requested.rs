//! What people ask for: the secret before again, or that one which has leaked is worth nothing.

use extapp::api::external_application::CredentialState;
use extapp::api::{ExternalApplication, REVOKE_NOW, ROLLBACK, ROTATE};
use jiff::SignedDuration;

use super::{
    at_server, kept, keys, lag, listed, made_of, message, says, until_event, until_revoked, until_rolled_back,
    until_rotated, until_says, variations,
};
use crate::support::timed::Timed;
use crate::support::world::{Keys, LIMIT, World};
use crate::support::{Result, eventually};

async fn world(prefix: &str, more: &str) -> Result<(World, Keys)> {
    let world = World::with(prefix, variations()).await?;
    world.confidential(world.home.name(), "worker", more).await?;
    world.until_ready("worker").await?;
    let keys = keys(&world, "worker").await?;
    Ok((world, keys))
}

#[tokio::test]
async fn within_the_overlap_the_secret_before_is_published_again_byte_for_byte_and_back_again() -> Result<()> {
    let (world, first) = world("rollback", "  rotation: {overlap: 1h}\n").await?;
    world.annotate("worker", ROTATE, "asked").await?;
    let rotated = until_rotated(&world, "worker", "asked").await?;
    let second = keys(&world, "worker").await?;
    assert_ne!(first, second);
    let secrets = at_server(&world, "worker").await?;

    world.annotate("worker", ROLLBACK, "back").await?;
    let back = until_rolled_back(&world, "back").await?;
    assert_eq!(keys(&world, "worker").await?, first, "byte for byte");
    assert_eq!(listed(&back, CredentialState::Active), listed(&rotated, CredentialState::Retiring));
    assert_eq!(listed(&back, CredentialState::Retiring), listed(&rotated, CredentialState::Active));
    let status = back.status.clone().unwrap_or_default();
    assert_eq!(status.rotation.and_then(|rotation| rotation.last_trigger).as_deref(), Some("RolledBack"));
    until_event(&world, "worker", "RolledBack").await?;

    world.annotate("worker", ROLLBACK, "and forth").await?;
    until_rolled_back(&world, "and forth").await?;
    assert_eq!(keys(&world, "worker").await?, second, "byte for byte");
    assert!(world.works(&first).await? && world.works(&second).await?);
    assert_eq!(at_server(&world, "worker").await?, secrets, "no secret was made for it");
    Ok(())
}

#[tokio::test]
async fn a_rollback_that_comes_too_late_is_refused_and_changes_nothing() -> Result<()> {
    let timed = Timed::with("late", variations()).await?;
    let world = &timed.world;
    world.confidential(world.home.name(), "worker", "  rotation: {overlap: 1h}\n").await?;
    world.until_ready("worker").await?;
    world.annotate("worker", ROLLBACK, "nothing before").await?;
    let app = until_rolled_back(world, "nothing before").await?;
    assert_eq!(says(&app.status.unwrap_or_default()), Some(("False", "RollbackImpossible")));
    world.annotate("worker", ROTATE, "asked").await?;
    until_rotated(world, "worker", "asked").await?;
    let published = keys(world, "worker").await?;
    timed.forward(SignedDuration::from_mins(61)).await?;
    let alone = async || Ok((at_server(world, "worker").await?.len() == 1).then_some(()));
    eventually("the secret before is gone", LIMIT, alone).await?;
    world.annotate("worker", ROLLBACK, "back").await?;
    let app = until_rolled_back(world, "back").await?;
    assert_eq!(says(&app.status.clone().unwrap_or_default()), Some(("False", "RollbackImpossible")));
    assert!(message(&app).contains(ROTATE), "{}", message(&app));
    assert_eq!(keys(world, "worker").await?, published);
    assert!(world.works(&published).await?);
    Ok(())
}

/// The leaked ones get no token once the status says that it is carried out, and the published one does.
async fn is_revoked(world: &World, leaked: &[&Keys]) -> Result<ExternalApplication> {
    let app = until_revoked(world, "leaked").await?;
    for leaked in leaked {
        assert!(!world.works(leaked).await?, "what leaked still works: {:?}", app.status);
    }
    assert!(world.works(&keys(world, "worker").await?).await?);
    let status = app.status.clone().unwrap_or_default();
    assert_eq!(says(&status), Some(("True", "Rotated")), "{status:?}");
    assert_eq!(status.rotation.and_then(|rotation| rotation.last_trigger).as_deref(), Some("Leaked"));
    Ok(app)
}

/// There is the published secret, and no trace of another one; and so it stays.
async fn is_alone(world: &World, app: &ExternalApplication) -> Result<()> {
    let nothing = async || Ok(kept(world, "worker").await?.is_none().then_some(()));
    eventually("nothing of it is kept", LIMIT, nothing).await?;
    world.sweeps(2).await?;
    assert_eq!(at_server(world, "worker").await?, listed(app, CredentialState::Active));
    Ok(())
}

#[tokio::test]
async fn a_leaked_secret_is_refused_once_the_status_says_so() -> Result<()> {
    let (world, leaked) = world("leaked", "  rotation: {overlap: 1h}\n").await?;
    world.annotate("worker", REVOKE_NOW, "leaked").await?;
    let app = is_revoked(&world, &[&leaked]).await?;
    is_alone(&world, &app).await
}

#[tokio::test]
async fn what_leaked_within_an_overlap_takes_the_secret_before_with_it() -> Result<()> {
    let (world, first) = world("leaked-overlap", "  rotation: {overlap: 1h}\n").await?;
    world.annotate("worker", ROTATE, "asked").await?;
    until_rotated(&world, "worker", "asked").await?;
    let second = keys(&world, "worker").await?;
    assert!(world.works(&first).await? && world.works(&second).await?);
    world.annotate("worker", REVOKE_NOW, "leaked").await?;
    let app = is_revoked(&world, &[&first, &second]).await?;
    is_alone(&world, &app).await
}

#[tokio::test]
async fn what_leaked_while_another_rotation_is_under_way_goes_and_what_was_under_way_too() -> Result<()> {
    let (world, leaked) = world("leaked-middle", "  rotation: {overlap: 1h}\n").await?;
    lag(&world).await?;
    world.annotate("worker", ROTATE, "asked").await?;
    let app = until_says(&world, "worker", "False", "Proving").await?;
    let pending = listed(&app, CredentialState::Pending).first().map(|id| (*id).to_owned()).unwrap_or_default();
    assert!(at_server(&world, "worker").await?.contains(&pending));
    world.annotate("worker", REVOKE_NOW, "leaked").await?;
    let another = async || Ok((made_of(&world)? > 1).then_some(()));
    eventually("another secret is made in its place", LIMIT, another).await?;
    world.cloud.countermand().await?;
    is_revoked(&world, &[&leaked]).await?;
    assert!(!at_server(&world, "worker").await?.contains(&pending), "it was in the same hands");
    // Somebody asked for a rotation, too: it has a turn of its own.
    until_rotated(&world, "worker", "asked").await.map(|_| ())
}
