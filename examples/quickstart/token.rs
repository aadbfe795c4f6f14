//! Using the published credentials as a workload does: one plain HTTP request, whatever the Secret says.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

use crate::support::{Context, Error, Result};

/// Gets a token by client credentials and reads its claims. Neither secret nor token ever leaves this function.
pub async fn claims(secret: &BTreeMap<String, String>) -> Result<Value> {
    let of = |key: &str| secret.get(key).context(format!("the Secret has no key {key}"));
    let form = [
        ("grant_type", "client_credentials"),
        ("client_id", of("client-id")?),
        ("client_secret", of("client-secret")?),
        ("scope", of("scope")?),
    ];
    let response = reqwest::Client::new().post(of("token-uri")?).form(&form).send().await?;
    let status = response.status();
    let answer: Value = response.json().await?;
    let Some(token) = answer["access_token"].as_str() else {
        return Err(Error::new(format!("the token endpoint answered {status}: {}", answer["error"])));
    };
    claims_of(token)
}

/// What a token says, unverified.
pub fn claims_of(token: &str) -> Result<Value> {
    let payload = token.split('.').nth(1).context("the token is no JWT")?;
    let claims = URL_SAFE_NO_PAD.decode(payload).map_err(|_| Error::new("the token's claims are not base64"))?;
    Ok(serde_json::from_slice(&claims)?)
}

/// A claim as a person reads it.
pub fn shown(claim: &Value) -> String {
    match claim {
        Value::String(text) => text.clone(),
        Value::Array(many) => many.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" "),
        other => other.to_string(),
    }
}
