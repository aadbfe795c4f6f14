//! What is lost on the way, and what the operator makes of it.

use reqwest::Method;

use super::site::Site;
use crate::support::Result;
use crate::support::gate::Stop;
use crate::support::world::LIMIT;

const CLIENTS: &str = "/admin/clients";

#[tokio::test]
async fn a_create_whose_answer_is_lost_leads_to_one_client() -> Result<()> {
    let site = Site::new("hydra-lost").await?;
    for (name, stop) in [("cut", Stop::Cut), ("lost", Stop::LoseAnswer), ("late", Stop::LateError(504))] {
        site.gate.ambush(&Method::POST, CLIENTS, 1, stop);
        site.confidential(name, "").await?;
        site.until_complete(name).await?;
    }
    assert_eq!(site.hydra.clients("").await?.len(), 3);
    Ok(())
}

#[tokio::test]
async fn an_operator_that_dies_between_a_create_and_its_answer_finds_the_client_again() -> Result<()> {
    let mut site = Site::new("hydra-killed").await?;
    site.gate.ambush(&Method::POST, CLIENTS, 1, Stop::After);
    site.confidential("invoices", "").await?;
    site.gate.reached(LIMIT).await?;
    assert_eq!(site.hydra.clients("invoices").await?.len(), 1);
    site.world.operator.kill9()?;
    site.gate.thaw();
    site.world.operator.restart().await?;
    site.until_complete("invoices").await
}

#[tokio::test]
async fn an_operator_that_dies_while_it_replaces_a_secret_publishes_one_that_works() -> Result<()> {
    let mut site = Site::new("hydra-replaced").await?;
    site.confidential("invoices", "").await?;
    site.world.until_ready("invoices").await?;
    site.gate.ambush(&Method::PATCH, CLIENTS, 1, Stop::After);
    let secrets = site.world.secrets(site.world.home.name());
    secrets.delete("invoices-oauth", &kube::api::DeleteParams::default()).await?;
    site.gate.reached(LIMIT).await?;
    site.world.operator.kill9()?;
    site.gate.thaw();
    site.world.operator.restart().await?;
    site.until_complete("invoices").await
}

#[tokio::test]
async fn a_busy_database_is_asked_again_and_nobody_hears_of_it() -> Result<()> {
    let site = Site::new("hydra-busy").await?;
    site.confidential("invoices", "").await?;
    site.world.until_ready("invoices").await?;
    site.gate.ambush(&Method::PATCH, CLIENTS, 2, Stop::Refuse(500));
    site.confidential("invoices", "  displayName: Invoices\n").await?;
    site.until_client("invoices", "the client has its new name", |client| client["client_name"] == "Invoices").await?;
    assert_eq!(site.gate.stops(), 2);
    assert!(!site.world.operator.logs().contains("ServerFailed"));
    Ok(())
}
