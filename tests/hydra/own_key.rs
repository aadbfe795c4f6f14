//! Applications that sign with a key of their own at a Hydra, from YAML to token.

use serde_json::{Value, json};

use super::site::Site;
use crate::support::keys::SigningKey;
use crate::support::world::LIMIT;
use crate::support::{Result, eventually};

fn signing(keys: &[&SigningKey]) -> String {
    let keys = SigningKey::set(keys);
    format!("  clientSecret: None\n  settings:\n    tokenEndpointAuthMethod: private_key_jwt\n    jwks: '{keys}'\n")
}

async fn signs(site: &Site, key: &SigningKey) -> Result<bool> {
    let keys = site.keys("invoices").await?;
    key.authenticates(&keys["client-id"], &keys["token-uri"], &keys["token-uri"], "invoices.read").await
}

async fn until_signs(site: &Site, what: &str, key: &SigningKey) -> Result<()> {
    eventually(what, LIMIT, async || Ok(signs(site, key).await?.then_some(()))).await
}

#[tokio::test]
async fn an_application_without_a_secret_gets_tokens_with_its_key_and_the_key_is_replaced_by_an_edit() -> Result<()> {
    let site = Site::new("hydra-key").await?;
    let (first, second) = (SigningKey::new()?, SigningKey::new()?);
    site.confidential("invoices", &signing(&[&first])).await?;
    let app = site.world.until_ready("invoices").await?;
    assert_eq!(app.status.map(|status| status.credentials), Some(vec![]));
    let keys = site.keys("invoices").await?;
    assert!(!keys.contains_key("client-secret"), "{:?}", keys.keys());
    assert_eq!(site.client("invoices").await?["token_endpoint_auth_signing_alg"], "ES256");
    assert!(signs(&site, &first).await? && !signs(&site, &second).await?);

    let (writes, listed) = (site.hydra.writes(), site.hydra.requests().len());
    eventually("some sweeps", LIMIT, async || Ok((site.hydra.requests().len() > listed + 3).then_some(()))).await?;
    assert_eq!(site.hydra.writes(), writes, "keys that the server spells in its way are no difference");

    site.confidential("invoices", &signing(&[&second])).await?;
    until_signs(&site, "the new key is taken", &second).await?;
    assert!(!signs(&site, &first).await?);
    let theirs: Value = serde_json::from_str(&SigningKey::set(&[&first]))?;
    site.patch(&keys["client-id"], json!([{"op": "add", "path": "/jwks", "value": theirs}])).await?;
    let right = |client: &Value| {
        client["jwks"]["keys"][0]["kid"].as_str().is_some_and(|kid| SigningKey::set(&[&second]).contains(kid))
    };
    site.until_client("invoices", "a key that somebody else put there is gone", right).await?;
    assert!(signs(&site, &second).await? && !signs(&site, &first).await?);
    Ok(())
}

#[tokio::test]
async fn an_application_goes_from_a_secret_to_a_key_and_back_to_another_secret() -> Result<()> {
    let site = Site::new("hydra-key-and-secret").await?;
    let key = SigningKey::new()?;
    site.confidential("invoices", "").await?;
    site.world.until_ready("invoices").await?;
    let before = site.keys("invoices").await?;
    assert!(site.works(&before).await?);

    site.confidential("invoices", &signing(&[&key])).await?;
    until_signs(&site, "the key is taken", &key).await?;
    let without = async || Ok((!site.keys("invoices").await?.contains_key("client-secret")).then_some(()));
    eventually("the Secret carries no client secret", LIMIT, without).await?;
    assert!(!site.works(&before).await?);

    site.confidential("invoices", "").await?;
    let works = async || {
        let keys = site.keys("invoices").await?;
        Ok((keys.contains_key("client-secret") && site.works(&keys).await?).then_some(keys))
    };
    let after = eventually("a secret is published that works", LIMIT, works).await?;
    assert_eq!(after["client-id"], before["client-id"]);
    assert_ne!(after["client-secret"], before["client-secret"]);
    assert!(!site.works(&before).await? && !signs(&site, &key).await?);
    site.world.until_ready("invoices").await?;
    Ok(())
}

#[tokio::test]
async fn keys_that_are_none_and_a_key_beside_a_secret_are_refused_with_the_way_out() -> Result<()> {
    let site = Site::new("hydra-key-refused").await?;
    let home = site.world.home.name();
    let wrong = "  clientSecret: None\n  settings: {tokenEndpointAuthMethod: private_key_jwt, jwks: '{\"keys\": [{\"kty\": \"oct\", \"k\": \"c2VjcmV0\"}]}'}\n";
    site.confidential("symmetric", wrong).await?;
    let message = site.world.until_refused(home, "symmetric", "InvalidSpec").await?;
    assert!(message.starts_with("spec.settings.jwks: key 1: it has the private member k"), "{message}");
    assert_eq!(site.hydra.clients("").await?.len(), 0);
    Ok(())
}
