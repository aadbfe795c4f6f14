//! What people and other operators do in the middle of a rotation: it comes to its end all the same, and the published
//! secret works.

use std::time::Duration;

use extapp::api::external_application::{CredentialState, ExternalApplicationStatus};
use extapp::api::{ExternalApplication, ROTATE};
use futures::future::try_join_all;
use kube::api::{DeleteParams, Patch, PatchParams};
use reqwest::Method;
use serde_json::{Value, json};

use super::{at_server, kept, keys, lag, listed, until_rotated, until_says, variations};
use crate::support::gate::{Effect, Stop};
use crate::support::outcome::{complete, last_words, rotated};
use crate::support::world::{Keys, LIMIT, Variations, World, ready};
use crate::support::{Context, Error, Result, eventually};

/// A secret whose value was lost goes only after a minute.
const SETTLED: Duration = Duration::from_mins(3);

/// An application whose next secret is not accepted yet.
struct Middle {
    world: World,
    before: Keys,
    old: String,
    new: String,
}

impl Middle {
    async fn reached(prefix: &str) -> Result<Self> {
        let world = World::with(prefix, variations()).await?;
        world.confidential(world.home.name(), "worker", "  rotation: {overlap: 2s}\n").await?;
        world.until_ready("worker").await?;
        let before = keys(&world, "worker").await?;
        lag(&world).await?;
        world.annotate("worker", ROTATE, "asked").await?;
        let app = until_says(&world, "worker", "False", "Proving").await?;
        let [old, new] = [CredentialState::Active, CredentialState::Pending]
            .map(|state| listed(&app, state).first().copied().unwrap_or_default().to_owned());
        Ok(Self { world, before, old, new })
    }

    async fn patch(&self, patch: Value) -> Result<()> {
        let api = self.world.applications(self.world.home.name());
        api.patch("worker", &PatchParams::default(), &Patch::Merge(patch)).await?;
        Ok(())
    }

    async fn edit_secret(&self, name: &str, patch: Value) -> Result<()> {
        let api = self.world.secrets(self.world.home.name());
        api.patch(name, &PatchParams::default(), &Patch::Merge(patch)).await?;
        Ok(())
    }

    /// Waits until the rotation goes on with another secret than the one that was to be published.
    async fn begins_anew(&self) -> Result<()> {
        let first = self.new.clone();
        let another = move |app: &ExternalApplication, _: &ExternalApplicationStatus| {
            listed(app, CredentialState::Pending).first().is_some_and(|pending| *pending != first)
        };
        self.world.until(self.world.home.name(), "worker", another).await.map(|_| ())
    }

    async fn remove_at_server(&self, secret: &str) -> Result<()> {
        let path = format!("ExternalClient/{{organization}}/secrets/{secret}");
        self.world
            .identity(Method::DELETE, &path.replace("{organization}", &self.world.organization().await?), None)
            .await
            .map(|_| ())
    }

    /// Lets the server accept everything, and waits until the rotation has come to its end and nothing of it is left.
    async fn ends_well(&self) -> Result<Keys> {
        self.world.cloud.countermand().await?;
        let end = eventually("the rotation ends", SETTLED, async || rotated(&self.world, "worker", "asked").await);
        end.await.map_err(|error| Error::new(format!("{error}\n{}", last_words(&self.world.operator.logs()))))?;
        let now = keys(&self.world, "worker").await?;
        assert_ne!(now["client-secret"], self.before["client-secret"], "it was replaced");
        assert!(!self.world.works(&self.before).await?, "the secret before is gone");
        Ok(now)
    }
}

#[tokio::test]
async fn a_secret_that_is_edited_by_hand_meanwhile_is_repaired() -> Result<()> {
    let middle = Middle::reached("edited").await?;
    middle.edit_secret("worker-oauth", json!({"stringData": {"scope": "OR.Everything"}})).await?;
    let repaired = async || Ok((keys(&middle.world, "worker").await? == middle.before).then_some(()));
    eventually("it is as it was, with the secret that works", LIMIT, repaired).await?;
    middle.ends_well().await.map(|_| ())
}

#[tokio::test]
async fn a_secret_whose_value_is_overwritten_meanwhile_gets_one_that_works() -> Result<()> {
    let middle = Middle::reached("overwritten").await?;
    middle.edit_secret("worker-oauth", json!({"stringData": {"client-secret": "overwritten"}})).await?;
    middle.ends_well().await.map(|_| ())
}

#[tokio::test]
async fn a_secret_that_is_deleted_meanwhile_comes_back_with_one_that_works() -> Result<()> {
    let middle = Middle::reached("deleted-secret").await?;
    let secrets = middle.world.secrets(middle.world.home.name());
    secrets.delete("worker-oauth", &DeleteParams::default()).await?;
    middle.ends_well().await.map(|_| ())
}

#[tokio::test]
async fn when_what_is_kept_is_deleted_another_secret_is_made_and_the_lost_one_goes() -> Result<()> {
    let middle = Middle::reached("kept-deleted").await?;
    let name = kept(&middle.world, "worker").await?.context("nothing is kept")?;
    middle.world.secrets(middle.world.home.name()).delete(&name, &DeleteParams::default()).await?;
    middle.begins_anew().await?;
    middle.ends_well().await?;
    assert!(!at_server(&middle.world, "worker").await?.contains(&middle.new));
    Ok(())
}

#[tokio::test]
async fn when_what_is_kept_is_edited_what_was_written_there_is_never_published() -> Result<()> {
    let middle = Middle::reached("kept-edited").await?;
    let name = kept(&middle.world, "worker").await?.context("nothing is kept")?;
    middle.edit_secret(&name, json!({"stringData": {"next-secret": "written by hand"}})).await?;
    middle.begins_anew().await?;
    let now = middle.ends_well().await?;
    assert_ne!(now["client-secret"], "written by hand");
    assert!(!at_server(&middle.world, "worker").await?.contains(&middle.new));
    Ok(())
}

#[tokio::test]
async fn a_spec_that_is_changed_meanwhile_counts_for_what_is_published() -> Result<()> {
    let middle = Middle::reached("respecified").await?;
    let home = middle.world.home.name();
    middle
        .patch(json!({"spec": {
            "outputs": [{"name": "elsewhere"}],
            "resources": [{"name": "UiPath.Orchestrator", "applicationScopes": ["OR.Queues", "OR.Default"]}]
        }}))
        .await?;
    let moved = async || Ok(middle.world.secret(home, "elsewhere").await.ok());
    let moved = eventually("the output has its new name", LIMIT, moved).await?;
    assert_eq!(moved["client-secret"], middle.before["client-secret"], "the next one is not accepted yet");
    assert!(middle.world.works(&moved).await?);
    middle.world.cloud.countermand().await?;
    let app = until_rotated(&middle.world, "worker", "asked").await?;
    assert_eq!(listed(&app, CredentialState::Active), [middle.new.as_str()], "it is the same rotation");
    let now = middle.world.secret(home, "elsewhere").await?;
    assert_ne!(now["client-secret"], middle.before["client-secret"]);
    assert!(middle.world.works(&now).await? && now["scope"].contains("OR.Default"), "{:?}", now["scope"]);
    let single = async || Ok((at_server(&middle.world, "worker").await? == [middle.new.clone()]).then_some(()));
    eventually("the secret before is gone", LIMIT, single).await?;
    let nothing = async || Ok(kept(&middle.world, "worker").await?.is_none().then_some(()));
    eventually("nothing is kept", LIMIT, nothing).await
}

#[tokio::test]
async fn one_that_is_suspended_meanwhile_goes_on_when_it_is_resumed() -> Result<()> {
    let middle = Middle::reached("suspended").await?;
    middle.patch(json!({"spec": {"suspend": true}})).await?;
    let suspended = |_: &ExternalApplication, status: &ExternalApplicationStatus| {
        status.conditions.iter().any(|condition| condition.type_ == "Ready" && condition.reason == "Suspended")
    };
    middle.world.until(middle.world.home.name(), "worker", suspended).await?;
    middle.world.cloud.countermand().await?;
    middle.world.sweeps(2).await?;
    assert_eq!(keys(&middle.world, "worker").await?, middle.before, "nothing is done while it is suspended");
    assert!(middle.world.works(&middle.before).await?);
    let mut both = vec![middle.old.clone(), middle.new.clone()];
    both.sort();
    assert_eq!(at_server(&middle.world, "worker").await?, both);
    middle.patch(json!({"spec": {"suspend": false}})).await?;
    middle.ends_well().await?;
    assert_eq!(at_server(&middle.world, "worker").await?, std::slice::from_ref(&middle.new), "it is the same rotation");
    Ok(())
}

#[tokio::test]
async fn one_that_is_deleted_meanwhile_leaves_nothing() -> Result<()> {
    let middle = Middle::reached("deleted").await?;
    let world = &middle.world;
    world.applications(world.home.name()).delete("worker", &DeleteParams::default()).await?;
    world.until_gone(world.home.name(), "worker").await?;
    assert!(world.registrations("worker").await?.is_empty());
    let nothing = async || Ok(kept(world, "worker").await?.is_none().then_some(()));
    eventually("nothing is kept", LIMIT, nothing).await?;
    assert!(!world.works(&middle.before).await?);
    Ok(())
}

#[tokio::test]
async fn when_the_next_secret_is_removed_at_the_server_meanwhile_another_one_is_made() -> Result<()> {
    let middle = Middle::reached("next-gone").await?;
    middle.remove_at_server(&middle.new).await?;
    let published = middle.ends_well().await?;
    assert!(middle.world.works(&published).await?);
    assert!(!at_server(&middle.world, "worker").await?.contains(&middle.new));
    Ok(())
}

#[tokio::test]
async fn when_the_published_secret_is_removed_at_the_server_meanwhile_there_is_one_that_works() -> Result<()> {
    let middle = Middle::reached("published-gone").await?;
    middle.remove_at_server(&middle.old).await?;
    middle.world.cloud.countermand().await?;
    let works = async || {
        let now = keys(&middle.world, "worker").await?;
        Ok((now != middle.before && middle.world.works(&now).await?).then_some(()))
    };
    eventually("the published secret works again", LIMIT, works).await?;
    middle.ends_well().await.map(|_| ())
}

#[tokio::test]
async fn a_replaced_secret_that_is_already_gone_at_the_server_is_forgotten() -> Result<()> {
    let world = World::with("gone", variations()).await?;
    world.confidential(world.home.name(), "worker", "  rotation: {overlap: 6s}\n").await?;
    world.until_ready("worker").await?;
    world.annotate("worker", ROTATE, "asked").await?;
    let app = until_rotated(&world, "worker", "asked").await?;
    let retiring = listed(&app, CredentialState::Retiring);
    let path = format!("ExternalClient/{}/secrets/{}", world.organization().await?, retiring[0]);
    world.identity(Method::DELETE, &path, None).await?;
    eventually("it is forgotten", LIMIT, async || rotated(&world, "worker", "asked").await).await
}

#[tokio::test]
async fn two_operators_at_once_carry_every_request_out_once_each() -> Result<()> {
    let world = World::with("two-rotate", Variations { gated: true, ..variations() }).await?;
    let gate = world.gate.clone().context("the gate")?;
    let other = world.another_operator("the-other").await?;
    let names: Vec<String> = (0..6).map(|number| format!("app-{number}")).collect();
    let home = world.home.name();
    let more = "  rotation: {overlap: 2s}\n";
    try_join_all(names.iter().map(|name| world.confidential(home, name, more))).await?;
    for name in &names {
        eventually("it is complete", LIMIT, async || complete(&world, home, name).await).await?;
    }
    for request in ["first", "second"] {
        let before = gate.count_of(Effect::AddSecret);
        try_join_all(names.iter().map(|name| world.annotate(name, ROTATE, request))).await?;
        for name in &names {
            let done = eventually("it is rotated", SETTLED, async || rotated(&world, name, request).await).await;
            let logs = || [&world.operator, &other].map(|operator| last_words(&operator.logs())).join("\n---\n");
            done.map_err(|error| Error::new(format!("{error}\n{}", logs())))?;
        }
        // Each operator may make one: of the two that are kept, one loses, and takes its secret back.
        let made = gate.count_of(Effect::AddSecret) - before;
        assert!(made <= 2 * names.len(), "{made} secrets were made for {} requests", names.len());
    }
    Ok(())
}

#[tokio::test]
async fn an_operator_that_was_frozen_before_it_published_does_no_harm_when_it_comes_back() -> Result<()> {
    let mut world = World::with("frozen-rotate", Variations { gated: true, ..variations() }).await?;
    let gate = world.gate.clone().context("the gate")?;
    let home = world.home.name().to_owned();
    world.confidential(&home, "worker", "  rotation: {overlap: 2s}\n").await?;
    world.until_ready("worker").await?;
    gate.order(Effect::Publish, 1, Stop::HoldRequest);
    world.annotate("worker", ROTATE, "asked").await?;
    gate.stopped(1, LIMIT).await?;
    signal(&mut world, "STOP")?;
    let other = world.another_operator("the-other").await?;
    eventually("the other one goes on", SETTLED, async || rotated(&world, "worker", "asked").await).await?;
    let after = keys(&world, "worker").await?;
    gate.release();
    signal(&mut world, "CONT")?;
    world.sweeps(3).await?;
    assert_eq!(keys(&world, "worker").await?, after, "the published secret is left alone");
    assert!(world.works(&after).await?);
    assert_eq!(gate.count_of(Effect::AddSecret), 1);
    let app = world.applications(&home).get("worker").await?;
    assert!(app.status.is_some_and(|status| ready(&status.conditions)));
    drop(other);
    Ok(())
}

fn signal(world: &mut World, signal: &str) -> Result<()> {
    let pid = world.operator.process().pid().to_string();
    let sent = std::process::Command::new("/bin/sh").args(["-c", r#"kill "-$1" "$2""#, "sh", signal, &pid]).status()?;
    if sent.success() { Ok(()) } else { Err(Error::new(format!("cannot send {signal}"))) }
}
