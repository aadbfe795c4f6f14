//! What the backend takes for granted of the admin API, asked of the real one.

use std::collections::BTreeSet;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::hydra::{Hydra, shared};
use crate::support::{Context, Result};

/// A client of a test's own.
async fn client(hydra: &Hydra, body: Value) -> Result<String> {
    let answer = hydra.administer(Method::POST, "clients", Some(&body)).await?;
    Ok(answer["client_id"].as_str().context("no client id")?.to_owned())
}

async fn patch(hydra: &Hydra, id: &str, operations: Value) -> Result<Value> {
    hydra.administer(Method::PATCH, &format!("clients/{id}"), Some(&operations)).await
}

#[tokio::test]
async fn a_new_secret_ends_the_old_one_at_once_and_no_read_shows_either() -> Result<()> {
    let hydra = shared().await?;
    let body = json!({"client_secret": "the-first-one", "grant_types": ["client_credentials"], "scope": "a"});
    let id = client(hydra, body).await?;
    assert_eq!(hydra.token(&id, "the-first-one", "a").await?.0, StatusCode::OK);
    patch(hydra, &id, json!([{"op": "add", "path": "/client_secret", "value": "the-second-one"}])).await?;
    assert_eq!(hydra.token(&id, "the-first-one", "a").await?.0, StatusCode::UNAUTHORIZED);
    assert_eq!(hydra.token(&id, "the-second-one", "a").await?.0, StatusCode::OK);
    // Another change leaves the secret as it is.
    patch(hydra, &id, json!([{"op": "add", "path": "/client_name", "value": "renamed"}])).await?;
    assert_eq!(hydra.token(&id, "the-second-one", "a").await?.0, StatusCode::OK);
    let read = hydra.client(&id).await?.context("the client")?;
    assert!(!read.to_string().contains("the-second-one"), "{read}");
    Ok(())
}

#[tokio::test]
async fn a_patch_leaves_other_fields_and_other_peoples_metadata_alone() -> Result<()> {
    let hydra = shared().await?;
    let body = json!({"contacts": ["team@example.com"], "metadata": {"team": "billing"}});
    let id = client(hydra, body).await?;
    let operations = json!([
        {"op": "add", "path": "/client_name", "value": "renamed"},
        {"op": "add", "path": "/metadata/extapp.dev~1uid", "value": "u-1"},
    ]);
    let read = patch(hydra, &id, operations).await?;
    assert_eq!(read["contacts"], json!(["team@example.com"]));
    assert_eq!(read["metadata"], json!({"team": "billing", "extapp.dev/uid": "u-1"}));
    Ok(())
}

#[tokio::test]
async fn default_scopes_take_the_place_of_no_scopes_but_not_of_a_space() -> Result<()> {
    let hydra = shared().await?;
    let scope = async |sent: &str| {
        Ok::<_, crate::support::Error>({
            let id = client(hydra, json!({"scope": sent})).await?;
            hydra.client(&id).await?.context("the client")?["scope"].clone()
        })
    };
    assert_eq!(scope("").await?, "openid");
    assert_eq!(scope(" ").await?, " ");
    Ok(())
}

#[tokio::test]
async fn pages_are_walked_by_the_link_to_the_next_one() -> Result<()> {
    let hydra = Hydra::start().await?;
    for number in 0..501 {
        client(&hydra, json!({"client_name": format!("client {number}")})).await?;
    }
    let names: BTreeSet<String> = hydra.clients("").await?.iter().map(|row| row["client_name"].to_string()).collect();
    assert_eq!(names.len(), 501);
    Ok(())
}
