//! The operator dies, or an answer is lost, while a federated credential is made: there is one afterwards.

use super::*;

/// What is between says that the API server is at another address: the issuer is named as it stands in the tokens.
fn named_in_full(world: &World) -> String {
    format!(
        "  clientSecret: None\n  federatedCredentials:\n  - {{name: pod, audience: '{AUDIENCE}', issuer: '{}', subject: '{}'}}\n",
        world.plane.url(),
        subject(world, "worker")
    )
}

async fn whole(world: &World, name: &str) -> Result<()> {
    let app = world.until_ready(name).await?;
    let (told, there) = (federated(&app), at_the_server(world, &client_id(&app)).await?);
    assert_eq!(there.len(), 1, "{name}: {there:?}");
    assert_eq!((told.len(), json!(told[0].id)), (1, there[0]["id"].clone()), "{name}");
    assert_eq!(told[0].state, CredentialState::Active, "{name}");
    assert!(accepted(world, &client_id(&app), &token(world, "worker", AUDIENCE).await?).await?, "{name}");
    Ok(())
}

/// Stops at the creation of a federated credential.
async fn at_the_creation(stop: Stop, prefix: &str) -> Result<()> {
    let mut world = world(prefix, Variations { gated: true, ..Variations::uncounted() }).await?;
    let gate = world.gate.clone().context("the gate")?;
    gate.ambush(&Method::POST, "/FederatedCredentials", 1, stop);
    world.confidential(world.home.name(), "torn", &named_in_full(&world)).await?;
    gate.stopped(1, LIMIT).await?;
    if matches!(stop, Stop::Before | Stop::After) {
        world.operator.kill9()?;
        gate.thaw();
        world.operator.restart().await?;
    }
    whole(&world, "torn").await
}

#[tokio::test]
async fn killed_before_it_was_made() -> Result<()> {
    at_the_creation(Stop::Before, "fed-before").await
}

#[tokio::test]
async fn killed_after_it_was_made() -> Result<()> {
    at_the_creation(Stop::After, "fed-after").await
}

#[tokio::test]
async fn its_answer_breaks_off() -> Result<()> {
    at_the_creation(Stop::LoseAnswer, "fed-lost").await
}

#[tokio::test]
async fn its_answer_never_comes() -> Result<()> {
    at_the_creation(Stop::Cut, "fed-cut").await
}

#[tokio::test]
async fn a_gateway_gives_up_although_it_was_made() -> Result<()> {
    at_the_creation(Stop::LateError(503), "fed-late").await
}

#[tokio::test]
async fn a_gateway_gives_up_and_it_was_not_made() -> Result<()> {
    at_the_creation(Stop::Refuse(503), "fed-never").await
}

#[tokio::test]
async fn killed_before_the_status_names_it() -> Result<()> {
    let mut world = world("fed-status", Variations { gated: true, ..Variations::default() }).await?;
    let gate = world.gate.clone().context("the gate")?;
    gate.order(crate::support::gate::Effect::Status, 1, Stop::Before);
    world.confidential(world.home.name(), "torn", &named_in_full(&world)).await?;
    gate.stopped(1, LIMIT).await?;
    world.operator.kill9()?;
    gate.thaw();
    world.operator.restart().await?;
    whole(&world, "torn").await
}
