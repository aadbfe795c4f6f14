//! Interruptions that last, that come together, or that are announced.

use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::json;

use crate::support::gate::{Effect, Gate, Stop};
use crate::support::outcome::{complete, last_words, sound};
use crate::support::world::{LIMIT, Variations, World, ready};
use crate::support::{Context, Error, Result, eventually};

async fn world(prefix: &str, tenants: usize) -> Result<(World, Gate)> {
    let server = "  allowedNamespaces: {from: All}\n".into();
    let world = World::with(prefix, Variations { gated: true, server, tenants, ..Variations::default() }).await?;
    let gate = world.gate.clone().context("the gate")?;
    Ok((world, gate))
}

async fn until_complete(world: &World, name: &str) -> Result<()> {
    let home = world.home.name();
    let done = eventually(&format!("{name} is complete"), LIMIT, async || complete(world, home, name).await).await;
    done.map_err(|error| Error::new(format!("{error}\n{}", last_words(&world.operator.logs()))))
}

async fn is_ready(world: &World, name: &str) -> Result<bool> {
    let app = world.applications(world.home.name()).get(name).await?;
    Ok(app.status.is_some_and(|status| ready(&status.conditions)))
}

#[tokio::test]
async fn while_the_secret_cannot_be_written_nothing_is_registered_again_and_ready_is_not_claimed() -> Result<()> {
    let (mut world, gate) = world("unwritable", 0).await?;
    gate.order(Effect::Publish, 3, Stop::Refuse(500));
    world.confidential(world.home.name(), "worker", "").await?;
    gate.stopped(3, LIMIT).await?;
    assert!(!is_ready(&world, "worker").await?);
    // The secret that only this process knew dies with it.
    world.operator.kill9()?;
    gate.order(Effect::Publish, 2, Stop::Refuse(500));
    world.operator.restart().await?;
    gate.stopped(5, LIMIT).await?;
    assert!(!is_ready(&world, "worker").await?);
    until_complete(&world, "worker").await?;
    assert_eq!(gate.count_of(Effect::Register), 1);
    Ok(())
}

#[tokio::test]
async fn a_secret_that_cannot_be_written_is_not_minted_again_at_every_try() -> Result<()> {
    let (world, gate) = world("minting", 0).await?;
    world.confidential(world.home.name(), "worker", "").await?;
    until_complete(&world, "worker").await?;
    gate.order(Effect::Publish, 4, Stop::Refuse(500));
    world.secrets(world.home.name()).delete("worker-oauth", &DeleteParams::default()).await?;
    gate.stopped(3, LIMIT).await?;
    assert!(!is_ready(&world, "worker").await?, "there is no credential");
    until_complete(&world, "worker").await?;
    assert_eq!((gate.count_of(Effect::Register), gate.count_of(Effect::AddSecret)), (1, 1));
    Ok(())
}

#[tokio::test]
async fn lost_answers_to_several_new_secrets_leave_none_behind() -> Result<()> {
    let (world, gate) = world("lost-secrets", 0).await?;
    world.confidential(world.home.name(), "worker", "").await?;
    until_complete(&world, "worker").await?;
    gate.order(Effect::AddSecret, 1, Stop::Cut);
    gate.order(Effect::AddSecret, 1, Stop::LateError(504));
    gate.order(Effect::AddSecret, 1, Stop::LoseAnswer);
    world.secrets(world.home.name()).delete("worker-oauth", &DeleteParams::default()).await?;
    gate.stopped(3, LIMIT).await?;
    until_complete(&world, "worker").await?;
    assert_eq!(gate.count_of(Effect::Register), 1);
    Ok(())
}

#[tokio::test]
async fn twins_whose_creates_were_under_way_when_the_operator_died_get_one_registration_each() -> Result<()> {
    let (mut world, gate) = world("twins", 2).await?;
    gate.order(Effect::Register, 2, Stop::HoldAnswer);
    let homes: Vec<String> = world.tenants.iter().map(|tenant| tenant.name().to_owned()).collect();
    for home in &homes {
        world.confidential(home, "worker", "  displayName: Twin\n").await?;
    }
    gate.stopped(2, LIMIT).await?;
    world.operator.kill9()?;
    gate.release();
    assert_eq!(world.registrations("Twin").await?.len(), 2);
    world.operator.restart().await?;
    for home in &homes {
        eventually("the twin is sound", LIMIT, async || sound(&world, home, "worker").await)
            .await
            .map_err(|error| Error::new(format!("{error}\n{}", last_words(&world.operator.logs()))))?;
    }
    let mut ids = Vec::new();
    for home in &homes {
        let app = world.applications(home).get("worker").await?;
        ids.extend(app.status.and_then(|status| status.client_id));
    }
    assert_ne!(ids[0], ids[1]);
    assert_eq!(world.registrations("Twin").await?.len(), 2);
    assert_eq!(gate.count_of(Effect::Register), 2);
    // Each stands for its own: the end of one is not the end of the other.
    world.applications(&homes[0]).delete("worker", &DeleteParams::default()).await?;
    world.until_gone(&homes[0], "worker").await?;
    let left = world.registrations("Twin").await?;
    assert_eq!(left.iter().map(|left| left["id"].as_str()).collect::<Vec<_>>(), [Some(ids[1].as_str())]);
    assert_eq!(sound(&world, &homes[1], "worker").await?, Some(()));
    Ok(())
}

#[tokio::test]
async fn an_application_that_is_gone_when_its_create_is_answered_leaves_nothing_at_the_server() -> Result<()> {
    let (world, gate) = world("vanished", 0).await?;
    gate.order(Effect::Register, 1, Stop::HoldAnswer);
    world.confidential(world.home.name(), "worker", "").await?;
    gate.stopped(1, LIMIT).await?;
    assert_eq!(world.registrations("worker").await?.len(), 1, "the answer is on its way");
    // As the API server does it, too, where the deletion began just before the finalizer was written.
    let applications = world.applications(world.home.name());
    let no_finalizer = Patch::Merge(json!({"metadata": {"finalizers": null}}));
    applications.patch("worker", &PatchParams::default(), &no_finalizer).await?;
    applications.delete("worker", &DeleteParams::default()).await?;
    world.until_gone(world.home.name(), "worker").await?;
    gate.release();
    let gone = async || Ok(world.registrations("worker").await?.is_empty().then_some(()));
    eventually("the registration is gone", LIMIT, gone).await
}

#[tokio::test]
async fn told_to_stop_in_the_middle_of_a_create_it_finishes_and_ends_well() -> Result<()> {
    let (mut world, gate) = world("told", 0).await?;
    gate.order(Effect::Register, 1, Stop::HoldAnswer);
    world.confidential(world.home.name(), "worker", "").await?;
    gate.stopped(1, LIMIT).await?;
    let log = world.operator.process().log().to_owned();
    let letting_go = async {
        let said = async || {
            let log = std::fs::read_to_string(&log)?;
            Ok(log.contains("the operator ends").then_some(()))
        };
        eventually("the operator says that it ends", LIMIT, said).await?;
        gate.release();
        Ok(())
    };
    let (status, released): (_, Result<()>) = tokio::join!(world.operator.stop(), letting_go);
    released?;
    assert!(status?.success());
    // Without an operator: nothing is left to be done.
    complete(&world, world.home.name(), "worker").await?;
    assert_eq!(gate.count_of(Effect::AddSecret), 0, "the first secret was not lost");
    Ok(())
}

#[tokio::test]
async fn told_to_stop_among_many_creates_it_leaves_nothing_half_done() -> Result<()> {
    let (mut world, gate) = world("told-many", 0).await?;
    let names: Vec<String> = (0..12).map(|number| format!("app-{number}")).collect();
    for name in &names {
        world.confidential(world.home.name(), name, "").await?;
        if *name == names[6] {
            // The rest comes to an operator that is on its way out, or to the next one.
            let pid = world.operator.process().pid().to_string();
            std::process::Command::new("/bin/sh").args(["-c", r#"kill -TERM "$1""#, "sh", &pid]).status()?;
        }
    }
    assert!(world.operator.process().wait_exit(LIMIT).await?.success());
    assert_eq!(gate.count_of(Effect::Register), gate.count_of(Effect::Publish), "every secret was published");
    world.operator.restart().await?;
    for name in &names {
        until_complete(&world, name).await?;
    }
    assert_eq!(gate.count_of(Effect::Register), names.len());
    Ok(())
}
