//! The operator dies around the requests after which only a record helps.

use axum::http::Method;

use super::*;
use crate::support::gate::Stop;

async fn gated(prefix: &str) -> Result<(Stage, Gate)> {
    let variations = Variations { gated: true, ..Variations::default() };
    let stage = Stage::with(prefix, OidcProvider::builder(), variations, "").await?;
    let gate = stage.gate.clone().context("the gate")?;
    Ok((stage, gate))
}

impl Stage {
    /// Waits until everything stands still, and has the operator die there.
    async fn dies(&mut self, gate: &Gate) -> Result<()> {
        gate.reached(LIMIT).await?;
        self.world.operator.kill9()?;
        gate.thaw();
        self.world.operator.restart().await
    }
}

#[tokio::test]
async fn a_create_whose_answer_nobody_lived_to_see_is_told_of_and_never_repeated() -> Result<()> {
    let (mut stage, gate) = gated("dynamic-crash").await?;
    gate.ambush(&Method::POST, "/reg", 1, Stop::After);
    stage.confidential("worker", "").await?;
    stage.dies(&gate).await?;
    let message = stage.until_refused(stage.home.name(), "worker", "RegistrationAmbiguous").await?;
    assert!(message.contains("named worker") && message.contains("extapp.dev/pending"), "{message}");
    assert_eq!(stage.creates().await?, 1, "never a second one");
    // What the message says.
    let lost = stage.client_named("worker").await?;
    stage.provider.remove(lost["client_id"].as_str().context("an id")?).await?;
    let patch = Patch::Merge(json!({"metadata": {"annotations": {"extapp.dev/pending": null}}}));
    stage.applications(stage.home.name()).patch("worker", &PatchParams::default(), &patch).await?;
    stage.until_ready("worker").await?;
    stage.client_named("worker").await?;
    assert!(works(&stage.keys("worker").await?).await?);
    Ok(())
}

#[tokio::test]
async fn a_registration_whose_record_was_written_is_found_again_exactly() -> Result<()> {
    let (mut stage, gate) = gated("dynamic-found").await?;
    gate.ambush(&Method::PATCH, "/secrets/provider-", 1, Stop::After);
    stage.confidential("worker", "").await?;
    stage.dies(&gate).await?;
    stage.until_ready("worker").await?;
    let (client, keys) = (stage.client_named("worker").await?, stage.keys("worker").await?);
    assert_eq!(client["client_id"], keys["client-id"].as_str());
    assert_eq!(value(&stage.record().await?, "client-secret"), keys["client-secret"], "nothing is made anew");
    assert!(works(&keys).await?);
    assert_eq!(stage.creates().await?, 1);
    Ok(())
}

#[tokio::test]
async fn an_update_whose_answer_nobody_lived_to_see_leaves_a_working_registration_and_says_so() -> Result<()> {
    let (mut stage, gate) = gated("dynamic-cut").await?;
    stage.confidential("worker", "").await?;
    stage.until_ready("worker").await?;
    let keys = stage.keys("worker").await?;
    gate.ambush(&Method::PUT, "/reg/", 1, Stop::After);
    stage.rename("worker", "Renamed").await?;
    stage.dies(&gate).await?;
    let message = stage.until_refused(stage.home.name(), "worker", "RegistrationOutOfReach").await?;
    assert!(message.contains("make a new ExternalApplication"), "{message}");
    assert_eq!(stage.keys("worker").await?, keys);
    assert!(works(&keys).await?, "at every instant");
    assert_eq!((stage.creates().await?, stage.puts(&keys["client-id"]).await?), (1, 1));
    // The way out: it is deleted at the server, and the object goes without waiting.
    stage.provider.remove(&keys["client-id"]).await?;
    stage.applications(stage.home.name()).delete("worker", &DeleteParams::default()).await?;
    stage.until_gone(stage.home.name(), "worker").await?;
    assert!(stage.records().await?.is_empty());
    Ok(())
}

#[tokio::test]
async fn an_update_that_died_before_it_was_sent_is_sent_once() -> Result<()> {
    let (mut stage, gate) = gated("dynamic-early").await?;
    stage.confidential("worker", "").await?;
    stage.until_ready("worker").await?;
    let keys = stage.keys("worker").await?;
    gate.ambush(&Method::PUT, "/reg/", 1, Stop::Before);
    stage.rename("worker", "Renamed").await?;
    stage.dies(&gate).await?;
    stage.until_ready("worker").await?;
    assert_eq!(stage.client_named("Renamed").await?["client_id"], keys["client-id"].as_str());
    assert_eq!((stage.creates().await?, stage.puts(&keys["client-id"]).await?), (1, 1));
    assert!(works(&stage.keys("worker").await?).await?);
    Ok(())
}
