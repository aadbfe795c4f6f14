//! What is to be seen with a real Ory Hydra.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::DeleteParams;

use crate::checks::Checks;
use crate::progress::heading;
use crate::stage::Stage;
use crate::support::{Context, Hydra, Result, eventually};
use crate::{report, token};

const LIMIT: Duration = Duration::from_mins(1);

fn sorted(names: &str) -> String {
    let mut names: Vec<_> = names.split(' ').collect();
    names.sort_unstable();
    names.join(" ")
}

pub async fn claims(secret: &BTreeMap<String, String>, worker: &str, checks: &mut Checks) -> Result<()> {
    heading(&format!("A token for {worker}, got with nothing but that Secret"));
    println!("  POST token-uri  grant_type=client_credentials, client_id, client_secret, scope");
    let claims = token::claims(secret).await?;
    let text = |claim: &str| token::shown(&claims[claim]);
    for claim in ["iss", "sub", "scp"] {
        println!("  {claim:<20}{}", text(claim));
    }
    let lifetime = claims["exp"].as_i64().zip(claims["iat"].as_i64()).map(|(end, start)| end - start);
    println!("  {:<20}{} s", "lifetime", lifetime.unwrap_or_default());
    let of = |key: &str| secret.get(key).cloned().unwrap_or_default();
    checks.equal("claim sub", &text("sub"), &of("client-id"));
    checks.equal("claim iss", &text("iss"), &of("issuer-uri"));
    checks.equal("claim scp", &sorted(&text("scp")), &sorted(&of("scope")));
    // The end counts from the request; the server's first token of this form waits for its key to be made.
    checks.that("it lives for 15 minutes", lifetime.is_some_and(|seconds| (840..=900).contains(&seconds)));
    Ok(())
}

/// What became of the application at the server.
pub async fn client(hydra: &Hydra, secret: &BTreeMap<String, String>, checks: &mut Checks) -> Result<()> {
    heading("What Hydra has: an OAuth2 client that says whose it is");
    let id = secret.get("client-id").context("the Secret has no key client-id")?;
    let client = hydra.client(id).await?.context("the client is not there")?;
    let shown = ["client_name", "owner", "grant_types", "scope", "audience", "token_endpoint_auth_method"];
    for field in shown.into_iter().chain(["client_credentials_grant_access_token_lifespan", "metadata"]) {
        println!("  {field:<48}{}", token::shown(&client[field]));
    }
    checks.equal("client_name", &token::shown(&client["client_name"]).as_str(), &"Ledger sync");
    checks.equal("owner", &token::shown(&client["owner"]).as_str(), &"extapp/finance/ledger-sync");
    checks.equal("grant_types", &token::shown(&client["grant_types"]).as_str(), &"client_credentials");
    checks.equal("clients at Hydra", &hydra.clients("").await?.len(), &2);
    Ok(())
}

/// Deletes the Secret, as a person who wants another client secret does.
pub async fn replacement(stage: &Stage, before: &BTreeMap<String, String>, checks: &mut Checks) -> Result<()> {
    let name = format!("{}-oauth", stage.scene.worker);
    heading("A new client secret: the Secret is deleted");
    println!("  $ kubectl delete secret {name} -n finance");
    let api: Api<Secret> = Api::namespaced(stage.client().await?, "finance");
    api.delete(&name, &DeleteParams::default()).await?;
    let changed = |after: &BTreeMap<String, String>| after.get("client-secret") != before.get("client-secret");
    let after = eventually("there is another client secret", LIMIT, async || {
        let (_, after) = report::published(stage).await?;
        Ok(changed(&after).then_some(after))
    })
    .await?;
    checks.that("the client stays", after.get("client-id") == before.get("client-id"));
    checks.that("the new secret gets a token", token::claims(&after).await.is_ok());
    let refused = token::claims(before).await.err().map(|error| error.to_string()).unwrap_or_default();
    println!("  the same client id, another client-secret; with the old one: {refused}");
    checks.that("the old secret is refused", refused.contains("invalid_client"));
    Ok(())
}
