//! New secrets that the server does not accept, not yet, or does not make at all.

use extapp::api::ROTATE;
use extapp::api::external_application::CredentialState;
use jiff::SignedDuration;
use serde_json::json;

use super::{
    at_server, kept, keys, lag, listed, made_of, message, says, until_event, until_rotated, until_says, variations,
};
use crate::support::outcome::{complete, rotated};
use crate::support::timed::Timed;
use crate::support::world::{LIMIT, World, ready};
use crate::support::{Result, eventually};

#[tokio::test]
async fn a_secret_that_is_not_accepted_yet_is_published_only_once_it_is() -> Result<()> {
    let world = World::with("lagging", variations()).await?;
    world.confidential(world.home.name(), "worker", "  rotation: {overlap: 1h}\n").await?;
    world.until_ready("worker").await?;
    let before = keys(&world, "worker").await?;
    lag(&world).await?;
    world.annotate("worker", ROTATE, "first").await?;
    let app = until_says(&world, "worker", "False", "Proving").await?;
    let (old, new) = (listed(&app, CredentialState::Active), listed(&app, CredentialState::Pending));
    assert!(old.len() == 1 && new.len() == 1, "{:?}", app.status);
    assert!(message(&app).contains(new[0]), "{}", message(&app));
    assert!(app.status.as_ref().is_some_and(|status| ready(&status.conditions)), "what is published works");
    assert_eq!(keys(&world, "worker").await?, before);
    assert!(world.works(&before).await?);
    assert!(kept(&world, "worker").await?.is_some(), "a crash does not lose it");

    world.cloud.countermand().await?;
    let done = until_rotated(&world, "worker", "first").await?;
    assert_eq!((listed(&done, CredentialState::Active), listed(&done, CredentialState::Retiring)), (new, old));
    let after = keys(&world, "worker").await?;
    assert!(after["client-secret"] != before["client-secret"] && world.works(&after).await?);
    assert!(world.works(&before).await?, "the overlap has not passed");
    for reason in ["SecretAdded", "SecretProven", "Rotated"] {
        until_event(&world, "worker", reason).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_secret_that_is_never_accepted_is_withdrawn_and_tried_again_after_an_hour_or_when_asked() -> Result<()> {
    let timed = Timed::with("withdrawn", variations()).await?;
    let world = &timed.world;
    world.confidential(world.home.name(), "scheduled", "  rotation: {interval: 10h, overlap: 1h}\n").await?;
    world.confidential(world.home.name(), "asked", "").await?;
    let names = ["scheduled", "asked"];
    let mut before = Vec::new();
    for name in names {
        world.until_ready(name).await?;
        before.push((keys(world, name).await?, at_server(world, name).await?));
    }
    lag(world).await?;
    timed.forward(SignedDuration::from_hours(10)).await?;
    world.annotate("asked", ROTATE, "first").await?;
    for name in names {
        until_says(world, name, "False", "Proving").await?;
    }
    timed.forward(SignedDuration::from_mins(4)).await?;
    timed.forward(SignedDuration::from_secs(61)).await?;
    for (name, (keys_before, secrets)) in names.into_iter().zip(&before) {
        let app = until_says(world, name, "False", "ProofFailed").await?;
        assert!(message(&app).contains("withdrawn") && message(&app).contains(ROTATE), "{}", message(&app));
        until_event(world, name, "ProofFailed").await?;
        assert_eq!(keys(world, name).await?, *keys_before, "what was published stays");
        assert!(world.works(keys_before).await?);
        assert_eq!(at_server(world, name).await?, *secrets, "the new one is gone");
        assert_eq!(kept(world, name).await?, None);
    }
    // Not within the hour; what would make one shows itself in the same pass as something else that is asked for.
    let made_before = made_of(world)?;
    timed.forward(SignedDuration::from_mins(50)).await?;
    let patch = kube::api::Patch::Merge(json!({"spec": {"displayName": "renamed"}}));
    for name in names {
        let api = world.applications(world.home.name());
        api.patch(name, &kube::api::PatchParams::default(), &patch).await?;
        world.until(world.home.name(), name, |_, status| says(status) == Some(("False", "ProofFailed"))).await?;
    }
    assert_eq!(made_of(world)?, made_before, "nothing is tried within the hour");
    world.cloud.countermand().await?;
    world.annotate("asked", ROTATE, "second").await?;
    until_rotated(world, "asked", "second").await?;
    assert_eq!(made_of(world)?, made_before + 1, "a new request is carried out at once");
    timed.forward(SignedDuration::from_mins(20)).await?;
    until_says(world, "scheduled", "True", "Rotated").await?;
    assert_eq!(made_of(world)?, made_before + 2);
    for (name, (keys_before, _)) in names.into_iter().zip(&before) {
        let now = keys(world, name).await?;
        assert!(now["client-secret"] != keys_before["client-secret"] && world.works(&now).await?);
    }
    Ok(())
}

#[tokio::test]
async fn a_server_that_refuses_another_secret_is_told_of_and_the_published_one_stays() -> Result<()> {
    let world = World::with("refused", variations()).await?;
    world.confidential(world.home.name(), "worker", "  rotation: {overlap: 2s}\n").await?;
    world.until_ready("worker").await?;
    let before = keys(&world, "worker").await?;
    let of = json!({"method": "POST", "path_contains": "/GenerateSecret"});
    world.cloud.faults(&json!({"match": of, "times": 100_000, "action": "status:400"})).await?;
    world.annotate("worker", ROTATE, "first").await?;
    let text = world.until_refused(world.home.name(), "worker", "RejectedByServer").await?;
    assert!(!text.is_empty());
    assert_eq!(keys(&world, "worker").await?, before);
    assert!(world.works(&before).await?);
    assert_eq!(at_server(&world, "worker").await?.len(), 1);
    world.cloud.countermand().await?;
    // The next try of its own accord may be minutes away.
    world.annotate("worker", ROTATE, "second").await?;
    eventually("it is rotated", LIMIT, async || rotated(&world, "worker", "second").await).await?;
    assert!(complete(&world, world.home.name(), "worker").await?.is_some());
    Ok(())
}
