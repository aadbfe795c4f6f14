//! What stands in the way of one step keeps nothing else from being done, and nobody else's rotation.

use extapp::api::external_application::{CredentialState, ExternalApplicationStatus};
use extapp::api::{ExternalApplication, REVOKE_NOW, ROLLBACK, ROTATE};
use jiff::SignedDuration;
use kube::api::{Patch, PatchParams};
use reqwest::Method;
use serde_json::{Value, json};

use super::{
    AT_ONCE, at_server, kept, keys, lag, listed, made_of, message, says, until_revoked, until_rolled_back,
    until_rotated, until_says, variations,
};
use crate::support::forbidden::Forbidden;
use crate::support::timed::Timed;
use crate::support::world::{LIMIT, Variations, World};
use crate::support::{Error, Result, eventually};

/// A server at which one rotation goes at a time.
fn one_at_a_time() -> Variations {
    Variations { server: AT_ONCE.replace("concurrency: 100", "concurrency: 1"), ..variations() }
}

/// Two applications with this overlap, once they are Ready.
async fn two(world: &World, names: [&str; 2], overlap: &str) -> Result<()> {
    for name in names {
        world.confidential(world.home.name(), name, &format!("  rotation: {{overlap: {overlap}}}\n")).await?;
        world.until_ready(name).await?;
    }
    Ok(())
}

async fn patch(world: &World, name: &str, patch: Value) -> Result<()> {
    let api = world.applications(world.home.name());
    api.patch(name, &PatchParams::default(), &Patch::Merge(patch)).await?;
    Ok(())
}

/// Waits until the application says that an object could not be written.
pub async fn until_unwritten(world: &World, name: &str) -> Result<ExternalApplication> {
    let unwritten = |_: &ExternalApplication, status: &ExternalApplicationStatus| {
        let said = status.conditions.iter().find(|condition| condition.type_ == "Ready");
        said.is_some_and(|ready| ready.status == "False" && ready.reason == "OutputNotWritten")
            && says(status).is_some_and(|(state, _)| state == "False")
    };
    world.until(world.home.name(), name, unwritten).await
}

fn revoked(app: &ExternalApplication) -> Option<&str> {
    app.status.as_ref()?.rotation.as_ref()?.revoke_now.as_deref()
}

#[tokio::test]
async fn one_that_cannot_be_written_holds_up_no_other_and_is_done_once_it_can() -> Result<()> {
    let world = World::with("unwritable", one_at_a_time()).await?;
    two(&world, ["stuck", "other"], "1h").await?;
    let before = keys(&world, "stuck").await?;
    let forbidden = Forbidden::names(&world, "stuck-oauth").await?;
    world.annotate("stuck", ROTATE, "asked").await?;
    let app = until_unwritten(&world, "stuck").await?;
    assert!(message(&app).contains("not all of that is done yet"), "{}", message(&app));
    assert_eq!(keys(&world, "stuck").await?, before);
    assert!(world.works(&before).await?, "what is published works");
    world.annotate("other", ROTATE, "asked").await?;
    until_rotated(&world, "other", "asked").await?;
    forbidden.lift().await?;
    // The next try of its own accord may be minutes away.
    patch(&world, "stuck", json!({"spec": {"displayName": "looked at"}})).await?;
    until_rotated(&world, "stuck", "asked").await?;
    let after = keys(&world, "stuck").await?;
    assert!(after["client-secret"] != before["client-secret"] && world.works(&after).await?);
    assert_eq!(made_of(&world)?, 2, "one for each");
    Ok(())
}

#[tokio::test]
async fn one_that_is_suspended_before_its_secret_is_accepted_holds_up_no_other() -> Result<()> {
    let world = World::with("suspended-turn", one_at_a_time()).await?;
    two(&world, ["worker", "other"], "1h").await?;
    lag(&world).await?;
    world.annotate("worker", ROTATE, "asked").await?;
    until_says(&world, "worker", "False", "Proving").await?;
    patch(&world, "worker", json!({"spec": {"suspend": true}})).await?;
    let suspended = |_: &ExternalApplication, status: &ExternalApplicationStatus| {
        status.conditions.iter().any(|condition| condition.type_ == "Ready" && condition.reason == "Suspended")
    };
    world.until(world.home.name(), "worker", suspended).await?;
    world.cloud.countermand().await?;
    world.annotate("other", ROTATE, "asked").await?;
    until_rotated(&world, "other", "asked").await?;
    patch(&world, "worker", json!({"spec": {"suspend": false}})).await?;
    until_rotated(&world, "worker", "asked").await?;
    assert_eq!(made_of(&world)?, 2, "it went on with the one that it had");
    Ok(())
}

#[tokio::test]
async fn what_leaked_goes_although_one_of_two_objects_cannot_be_written_but_not_where_none_can() -> Result<()> {
    let world = World::with("leaked-obstructed", variations()).await?;
    let outputs = "  outputs: [{name: worker-oauth}, {name: elsewhere}]\n";
    world.confidential(world.home.name(), "worker", outputs).await?;
    world.until_ready("worker").await?;
    let leaked = keys(&world, "worker").await?;

    let none = Forbidden::names(&world, "worker-oauth|elsewhere").await?;
    world.annotate("worker", REVOKE_NOW, "leaked").await?;
    let app = until_unwritten(&world, "worker").await?;
    assert_eq!(revoked(&app), None);
    assert!(world.works(&leaked).await?, "it is all that workloads have");
    let one = Forbidden::names(&world, "elsewhere").await?;
    none.lift().await?;
    patch(&world, "worker", json!({"spec": {"displayName": "looked at"}})).await?;
    let gone = async || Ok((!world.works(&leaked).await?).then_some(()));
    eventually("what leaked is refused", LIMIT, gone).await?;
    let published = keys(&world, "worker").await?;
    assert!(world.works(&published).await?, "what could be written works");
    let app = world.applications(world.home.name()).get("worker").await?;
    assert_eq!(revoked(&app), None, "not all of it is done");
    until_unwritten(&world, "worker").await?;
    one.lift().await?;
    patch(&world, "worker", json!({"spec": {"displayName": "worker"}})).await?;
    let app = until_revoked(&world, "leaked").await?;
    assert_eq!(says(&app.status.clone().unwrap_or_default()), Some(("True", "Rotated")));
    let elsewhere = world.secret(world.home.name(), "elsewhere").await?;
    assert_eq!(elsewhere["client-secret"], keys(&world, "worker").await?["client-secret"]);
    assert_eq!(at_server(&world, "worker").await?, listed(&app, CredentialState::Active));
    Ok(())
}

#[tokio::test]
async fn what_leaked_is_not_written_into_an_object_that_is_renamed_at_the_same_time() -> Result<()> {
    let world = World::with("leaked-renamed", variations()).await?;
    world.confidential(world.home.name(), "worker", "").await?;
    world.until_ready("worker").await?;
    let leaked = keys(&world, "worker").await?;
    let both = json!({"metadata": {"annotations": {REVOKE_NOW: "leaked"}}, "spec": {"outputs": [{"name": "renamed"}]}});
    patch(&world, "worker", both).await?;
    until_revoked(&world, "leaked").await?;
    world.sweeps(3).await?;
    let renamed = world.secret(world.home.name(), "renamed").await?;
    assert!(renamed["client-secret"] != leaked["client-secret"] && world.works(&renamed).await?);
    assert!(!world.works(&leaked).await?);
    // The server may not show yet what an object carries: the operator gives it time to.
    let gone = async || Ok(keys(&world, "worker").await.is_err().then_some(()));
    eventually("the old name is gone", LIMIT, gone).await?;
    assert!(world.works(&world.secret(world.home.name(), "renamed").await?).await?);
    let app = world.until_ready("worker").await?;
    assert_eq!(at_server(&world, "worker").await?, listed(&app, CredentialState::Active));
    assert_eq!(made_of(&world)?, 1);
    Ok(())
}

#[tokio::test]
async fn what_leaked_so_soon_that_the_server_does_not_show_it_yet_goes_once_it_does() -> Result<()> {
    let world = World::with("leaked-young", variations()).await?;
    world.confidential(world.home.name(), "worker", "  rotation: {overlap: 1h}\n").await?;
    world.until_ready("worker").await?;
    let of = json!({"method": "POST", "path_contains": "/GenerateSecret"});
    world.cloud.faults(&json!({"match": of, "times": 1, "action": "unshown:3600000"})).await?;
    world.annotate("worker", ROTATE, "asked").await?;
    until_rotated(&world, "worker", "asked").await?;
    let leaked = keys(&world, "worker").await?;
    world.annotate("worker", REVOKE_NOW, "leaked").await?;
    let another = async || Ok((keys(&world, "worker").await? != leaked).then_some(()));
    eventually("another secret is published", LIMIT, another).await?;
    let app = until_says(&world, "worker", "False", "Progressing").await?;
    assert!(message(&app).contains("what leaked is not removed yet"), "{}", message(&app));
    assert!(revoked(&app).is_none() && world.works(&leaked).await?, "it is valid, and nothing else is said");
    world.cloud.countermand().await?;
    let app = until_revoked(&world, "leaked").await?;
    assert!(!world.works(&leaked).await?);
    assert_eq!(at_server(&world, "worker").await?, listed(&app, CredentialState::Active));
    Ok(())
}

#[tokio::test]
async fn a_secret_that_the_server_does_not_let_go_of_holds_up_nothing_and_goes_once_it_can() -> Result<()> {
    let world = World::with("unremovable", one_at_a_time()).await?;
    two(&world, ["worker", "other"], "2s").await?;
    let old = at_server(&world, "worker").await?;
    let of = json!({"method": "DELETE", "path_contains": format!("/secrets/{}", old[0])});
    world.cloud.faults(&json!({"match": of, "times": 100_000, "action": "status:500"})).await?;
    world.annotate("worker", ROTATE, "asked").await?;
    until_rotated(&world, "worker", "asked").await?;
    let failing = async || {
        let log = world.cloud.access_log()?;
        let tried = log.iter().filter(|line| line.contains("DELETE") && line.contains(&format!("/secrets/{}", old[0])));
        if tried.count() > 0 { Ok(Some(())) } else { Err(Error::new("not tried")) }
    };
    eventually("its removal is tried", LIMIT, failing).await?;
    patch(&world, "worker", json!({"spec": {"outputs": [{"name": "moved"}]}})).await?;
    let moved = async || Ok(world.secret(world.home.name(), "moved").await.ok());
    let moved = eventually("what else is asked for is done", LIMIT, moved).await?;
    assert!(world.works(&moved).await?);
    world.annotate("other", ROTATE, "asked").await?;
    until_rotated(&world, "other", "asked").await?;
    world.cloud.countermand().await?;
    patch(&world, "worker", json!({"spec": {"displayName": "worker"}})).await?;
    let alone = async || Ok((at_server(&world, "worker").await?.len() == 1).then_some(()));
    eventually("it goes once it can", LIMIT, alone).await?;
    assert!(!at_server(&world, "worker").await?.contains(&old[0]));
    Ok(())
}

#[tokio::test]
async fn where_nothing_can_be_kept_no_secret_is_made_and_the_message_says_what_is_in_the_way() -> Result<()> {
    let world = World::with("unkept", variations()).await?;
    world.confidential(world.home.name(), "worker", "").await?;
    world.until_ready("worker").await?;
    let before = keys(&world, "worker").await?;
    let forbidden = Forbidden::names(&world, "worker-rotation-.*").await?;
    world.annotate("worker", ROTATE, "asked").await?;
    let refused = world.until_refused(world.home.name(), "worker", "OutputNotWritten").await?;
    assert!(refused.contains("what a rotation needs could not be kept"), "{refused}");
    world.sweeps(2).await?;
    assert_eq!(made_of(&world)?, 0, "not again and again");
    assert!(world.works(&before).await?);
    forbidden.lift().await?;
    world.annotate("worker", ROTATE, "again").await?;
    until_rotated(&world, "worker", "again").await?;
    assert_eq!(made_of(&world)?, 1);
    Ok(())
}

#[tokio::test]
async fn the_secret_before_that_is_restored_in_the_overlap_is_written_over_without_another_rotation() -> Result<()> {
    let world = World::with("restored", variations()).await?;
    world.confidential(world.home.name(), "worker", "  rotation: {overlap: 1h}\n").await?;
    world.until_ready("worker").await?;
    let secrets = world.secrets(world.home.name());
    let backup = secrets.get("worker-oauth").await?;
    world.annotate("worker", ROTATE, "asked").await?;
    let rotated = until_rotated(&world, "worker", "asked").await?;
    let after = keys(&world, "worker").await?;
    let (made, there) = (made_of(&world)?, at_server(&world, "worker").await?);

    let restored = json!({"data": backup.data, "metadata": {"annotations": backup.metadata.annotations}});
    secrets.patch("worker-oauth", &PatchParams::default(), &Patch::Merge(restored)).await?;
    let written_over = async || Ok((keys(&world, "worker").await? == after).then_some(()));
    eventually("the one that replaced it is written again", LIMIT, written_over).await?;
    world.sweeps(2).await?;
    assert_eq!((made_of(&world)?, at_server(&world, "worker").await?), (made, there));
    let now = world.until_ready("worker").await?;
    for state in [CredentialState::Active, CredentialState::Retiring] {
        assert_eq!(listed(&now, state), listed(&rotated, state), "it ends when it would have");
    }
    let times = |app: &ExternalApplication| app.status.clone().and_then(|status| status.rotation);
    assert_eq!(times(&now), times(&rotated), "no other rotation");
    let metrics = world.operator.metrics().await?;
    assert!(metrics.contains("trigger=\"Requested\",outcome=\"published\"} 1"), "{metrics}");
    Ok(())
}

#[tokio::test]
async fn a_rollback_to_a_secret_that_somebody_has_removed_at_the_server_is_refused_at_once() -> Result<()> {
    let timed = Timed::with("rollback-removed", variations()).await?;
    let world = &timed.world;
    world.confidential(world.home.name(), "worker", "  rotation: {overlap: 1h}\n").await?;
    world.until_ready("worker").await?;
    let old = at_server(world, "worker").await?;
    world.annotate("worker", ROTATE, "asked").await?;
    until_rotated(world, "worker", "asked").await?;
    let published = keys(world, "worker").await?;
    let path = format!("ExternalClient/{}/secrets/{}", world.organization().await?, old[0]);
    world.identity(Method::DELETE, &path, None).await?;
    // What was just made is given time to show before it is taken for removed.
    timed.forward(SignedDuration::from_secs(30)).await?;
    world.annotate("worker", ROLLBACK, "back").await?;
    let app = until_rolled_back(world, "back").await?;
    assert_eq!(says(&app.status.clone().unwrap_or_default()), Some(("False", "RollbackImpossible")));
    assert_eq!(keys(world, "worker").await?, published);
    assert!(world.works(&published).await? && kept(world, "worker").await?.is_some());
    Ok(())
}
