//! Make and delete client secrets.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use jiff::Timestamp;
use secrecy::ExposeSecret;
use serde::Deserialize;

use super::wire::{GenerateSecretRequest, SecretAnswer};
use super::{WRITE_SECRETS, json};
use crate::local_cloud::cloud::{Caller, Cloud};
use crate::local_cloud::errors::ApiError;
use crate::local_cloud::secrets::{self, SecretHash};
use crate::local_cloud::store::applications::{self, NewSecret};

#[derive(Deserialize)]
pub struct SecretPath {
    partition: String,
    secret: String,
}

/// `POST /api/ExternalClient/GenerateSecret`: a further secret; the ones before it stay valid.
pub async fn generate(
    State(cloud): State<Arc<Cloud>>,
    caller: Caller,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<SecretAnswer>, ApiError> {
    caller.require_administration(&cloud, WRITE_SECRETS).await?;
    let request: GenerateSecretRequest = json(&headers, &body)?;
    let partition = request.partition_global_id.ok_or_else(|| ApiError::required("partitionGlobalId"))?;
    cloud.require_partition(&partition)?;
    let client = request.client_id.ok_or_else(|| ApiError::required("clientId"))?.to_ascii_lowercase();
    let created = cloud.clock.now_milliseconds();
    let expires = request.expiry_time.map(|text| expiry(&text, created)).transpose()?;
    let key = client.clone();
    let found = cloud.store.read(move |store| applications::find(store, &key)).await?;
    if !found.ok_or(ApiError::NotFound)?.confidential {
        return Err(ApiError::business("InvalidRequest", "A non-confidential application has no secrets."));
    }
    let value = secrets::generate()?;
    let new = NewSecret { description: request.description, hash: SecretHash::of(&value), created, expires };
    let stored = cloud.store.write(move |store| applications::add_secret(store, &client, &new)).await?;
    let stored = stored.ok_or(ApiError::NotFound)?;
    Ok(Json(SecretAnswer::new(stored, Some(value.expose_secret().to_owned()))))
}

fn expiry(text: &str, now: i64) -> Result<i64, ApiError> {
    let time: Timestamp = text.parse().map_err(|_| ApiError::not_valid("expiryTime", text))?;
    let expires = time.as_millisecond();
    if expires <= now {
        return Err(ApiError::business("InvalidRequest", "The expiry time is in the past."));
    }
    Ok(expires)
}

/// `DELETE /api/ExternalClient/{partition}/secrets/{secret}`: the next token request with it fails.
pub async fn delete(
    State(cloud): State<Arc<Cloud>>,
    caller: Caller,
    Path(path): Path<SecretPath>,
) -> Result<StatusCode, ApiError> {
    caller.require_administration(&cloud, WRITE_SECRETS).await?;
    cloud.require_partition(&path.partition)?;
    let id: i64 = path.secret.parse().map_err(|_| ApiError::not_valid("secretId", &path.secret))?;
    let deleted = cloud.store.write(move |store| applications::delete_secret(store, id)).await?;
    if deleted { Ok(StatusCode::NO_CONTENT) } else { Err(ApiError::NotFound) }
}
