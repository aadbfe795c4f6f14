//! Two operators over the same applications, as while a Deployment rolls or after a node came back: each registration is
//! made once, whoever makes it.

use std::process::Command;
use std::time::Duration;

use futures::future::try_join_all;
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::json;

use crate::support::gate::{Effect, Gate, Stop};
use crate::support::outcome::{complete, last_words};
use crate::support::world::{LIMIT, Variations, World};
use crate::support::{Context, Error, Operator, Result, eventually};

const APPLICATIONS: usize = 20;
/// One operator leaves the other's unfinished create alone for a while.
const PATIENCE: Duration = Duration::from_mins(5);

async fn world(prefix: &str) -> Result<(World, Gate)> {
    let server = "  driftInterval: 2s\n".into();
    let cloud = vec!["--rate-limit-put".into(), "0".into(), "--rate-limit-delete".into(), "0".into()];
    let variations = Variations { gated: true, server, cloud, ..Variations::uncounted() };
    let world = World::with(prefix, variations).await?;
    let gate = world.gate.clone().context("the gate")?;
    Ok((world, gate))
}

/// Waits until an application has come to rest; otherwise says what both operators said.
async fn at_rest(world: &World, name: &str, operators: [&Operator; 2]) -> Result<()> {
    let home = world.home.name();
    let rest = eventually(&format!("{name} is complete"), PATIENCE, async || complete(world, home, name).await).await;
    rest.map_err(|error| Error::new(format!("{error}\n{}", said_of(name, operators))))
}

/// What both operators have logged about an application.
fn said_of(name: &str, operators: [&Operator; 2]) -> String {
    let [one, other] = operators.map(|operator| {
        let (logs, object) = (operator.logs(), format!("\"object\":\"{name}\""));
        let lines: Vec<&str> = logs.lines().filter(|line| line.contains(&object)).collect();
        last_words(&lines.join("\n"))
    });
    format!("one operator:\n{one}\nthe other:\n{other}")
}

async fn widen(world: &World, name: &str) -> Result<()> {
    let resources = json!([{"name": "UiPath.Orchestrator", "applicationScopes": ["OR.Queues", "OR.Default"]}]);
    let patch = json!({"spec": {"resources": resources, "redirectUris": ["https://a.example.com/callback"]}});
    world.applications(world.home.name()).patch(name, &PatchParams::default(), &Patch::Merge(patch)).await?;
    Ok(())
}

fn signal(operator: &mut Operator, signal: &str) -> Result<()> {
    let pid = operator.process().pid().to_string();
    let sent = Command::new("/bin/sh").args(["-c", r#"kill "-$1" "$2""#, "sh", signal, &pid]).status()?;
    if sent.success() { Ok(()) } else { Err(Error::new(format!("cannot send {signal}"))) }
}

#[tokio::test]
async fn twenty_applications_made_edited_and_deleted_under_two_operators_come_out_once_each() -> Result<()> {
    let (world, gate) = world("two").await?;
    let other = world.another_operator("the-other").await?;
    let names: Vec<String> = (0..APPLICATIONS).map(|number| format!("app-{number}")).collect();
    let home = world.home.name();
    try_join_all(names.iter().map(|name| world.confidential(home, name, ""))).await?;
    // In the middle of it: some are edited, some go.
    let (going, staying) = names.split_at(APPLICATIONS / 4);
    try_join_all(staying.iter().step_by(2).map(|name| widen(&world, name))).await?;
    let applications = world.applications(home);
    let parameters = DeleteParams::default();
    try_join_all(going.iter().map(|name| applications.delete(name, &parameters))).await?;
    for name in staying {
        at_rest(&world, name, [&world.operator, &other]).await?;
    }
    // Once more with all of them, and with secrets to replace.
    try_join_all(staying.iter().map(|name| widen(&world, name))).await?;
    for name in staying.iter().step_by(3) {
        world.secrets(home).delete(&format!("{name}-oauth"), &parameters).await?;
    }
    for name in staying {
        at_rest(&world, name, [&world.operator, &other]).await?;
    }
    for name in going {
        world.until_gone(home, name).await?;
        // An object can vanish before its finalizer counts; then its registration goes a moment later.
        let nothing_left = async || Ok(world.registrations(name).await?.is_empty().then_some(()));
        let gone = eventually(&format!("nothing of {name} is left at the server"), LIMIT, nothing_left).await;
        gone.map_err(|error| Error::new(format!("{error}\n{}", said_of(name, [&world.operator, &other]))))?;
    }
    assert!(gate.count_of(Effect::Register) <= APPLICATIONS, "more registrations were made than applications");
    Ok(())
}

/// Freezes the operator while one effect of a create is under way, lets another one take over, and thaws it.
async fn frozen_at(effect: Effect, hold: Stop) -> Result<()> {
    let (mut world, gate) = world("frozen").await?;
    gate.order(effect, 1, hold);
    world.confidential(world.home.name(), "worker", "").await?;
    gate.stopped(1, LIMIT).await?;
    signal(&mut world.operator, "STOP")?;
    // What was under way goes on without it: the network does not know that it is frozen.
    gate.release();
    let other = world.another_operator("the-other").await?;
    at_rest(&world, "worker", [&world.operator, &other]).await?;
    let keys = world.secret(world.home.name(), "worker-oauth").await?;

    signal(&mut world.operator, "CONT")?;
    // It lives again once it has dealt with something new.
    world.sweeps(3).await?;
    world.confidential(world.home.name(), "canary", "").await?;
    at_rest(&world, "canary", [&world.operator, &other]).await?;
    at_rest(&world, "worker", [&world.operator, &other]).await?;
    let now = world.secret(world.home.name(), "worker-oauth").await?;
    assert_eq!(now, keys, "the credential that was published is left alone ({effect:?})");
    Ok(())
}

#[tokio::test]
async fn an_operator_that_was_frozen_in_mid_create_does_no_harm_when_it_comes_back() -> Result<()> {
    let (intent, sent, answered, published) = tokio::join!(
        frozen_at(Effect::Intent, Stop::HoldAnswer),
        frozen_at(Effect::Register, Stop::HoldRequest),
        frozen_at(Effect::Register, Stop::HoldAnswer),
        frozen_at(Effect::Publish, Stop::HoldAnswer),
    );
    intent.context("frozen after the intent")?;
    sent.context("frozen before the create took effect")?;
    answered.context("frozen before the answer to the create")?;
    published.context("frozen after the Secret")
}
