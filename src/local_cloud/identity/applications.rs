//! Create, list, read, replace and delete external applications.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use super::wire::{ApplicationAnswer, CreateRequest, RegistrationRequest};
use super::{READ, WRITE, json, validate};
use crate::local_cloud::clock;
use crate::local_cloud::cloud::{Caller, Cloud};
use crate::local_cloud::errors::ApiError;
use crate::local_cloud::secrets::{self, SecretHash};
use crate::local_cloud::store::applications::{self, NewApplication, NewSecret};

#[derive(Deserialize)]
pub struct PartitionPath {
    partition: String,
}

#[derive(Deserialize)]
pub struct ClientPath {
    partition: String,
    client: String,
}

/// `POST /api/ExternalClient`: 201 with the secret, which is never shown again. Not idempotent: names are not unique.
pub async fn create(
    State(cloud): State<Arc<Cloud>>,
    caller: Caller,
    headers: HeaderMap,
    body: Bytes,
) -> Result<(StatusCode, Json<ApplicationAnswer>), ApiError> {
    caller.require_administration(&cloud, WRITE).await?;
    let request: CreateRequest = json(&headers, &body)?;
    let partition = request.partition_global_id.ok_or_else(|| ApiError::required("partitionGlobalId"))?;
    cloud.require_partition(&partition)?;
    let confidential = request.is_confidential.ok_or_else(|| ApiError::required("isConfidential"))?;
    let registration = validate::registration(request.registration, confidential, &cloud.catalogue)?;
    let value = (confidential && request.generate_first_secret).then(secrets::generate).transpose()?;
    let new = NewApplication {
        id: clock::random_uuid()?.to_string(),
        directory_id: clock::random_uuid()?.to_string(),
        confidential,
        administrator: false,
        registration,
        secret: value.as_ref().map(|value| first_secret(value, &cloud)),
    };
    let application = cloud.store.write(move |store| applications::insert(store, &new)).await?;
    let value = value.map(|value| value.expose_secret().to_owned());
    Ok((StatusCode::CREATED, Json(ApplicationAnswer::new(application, value, &cloud.catalogue))))
}

fn first_secret(value: &SecretString, cloud: &Cloud) -> NewSecret {
    NewSecret { description: None, hash: SecretHash::of(value), created: cloud.clock.now_milliseconds(), expires: None }
}

/// `GET /api/ExternalClient/{partition}`: all of them at once, without scopes and secrets.
pub async fn list(
    State(cloud): State<Arc<Cloud>>,
    caller: Caller,
    Path(path): Path<PartitionPath>,
) -> Result<Json<Vec<ApplicationAnswer>>, ApiError> {
    caller.require_administration(&cloud, READ).await?;
    cloud.require_partition(&path.partition)?;
    let applications = cloud.store.read(applications::list).await?;
    let answer = |application| ApplicationAnswer::new(application, None, &cloud.catalogue);
    Ok(Json(applications.into_iter().map(answer).collect()))
}

/// `GET /api/ExternalClient/{partition}/{client}`.
pub async fn read(
    State(cloud): State<Arc<Cloud>>,
    caller: Caller,
    Path(path): Path<ClientPath>,
) -> Result<Json<ApplicationAnswer>, ApiError> {
    caller.require_administration(&cloud, READ).await?;
    cloud.require_partition(&path.partition)?;
    let found = cloud.store.read(move |store| applications::find(store, &path.client.to_ascii_lowercase())).await?;
    let application = found.ok_or(ApiError::NotFound)?;
    Ok(Json(ApplicationAnswer::new(application, None, &cloud.catalogue)))
}

/// `PUT /api/ExternalClient/{partition}/{client}`: replaces name, redirect URIs and scopes. Whether an application is
/// confidential never changes.
pub async fn replace(
    State(cloud): State<Arc<Cloud>>,
    caller: Caller,
    Path(path): Path<ClientPath>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<ApplicationAnswer>, ApiError> {
    caller.require_administration(&cloud, WRITE).await?;
    cloud.require_partition(&path.partition)?;
    let request: RegistrationRequest = json(&headers, &body)?;
    let id = path.client.to_ascii_lowercase();
    let key = id.clone();
    let found = cloud.store.read(move |store| applications::find(store, &key)).await?;
    let confidential = found.ok_or(ApiError::NotFound)?.confidential;
    let registration = validate::registration(request, confidential, &cloud.catalogue)?;
    let replaced = cloud.store.write(move |store| applications::replace(store, &id, &registration)).await?;
    let application = replaced.ok_or(ApiError::NotFound)?;
    Ok(Json(ApplicationAnswer::new(application, None, &cloud.catalogue)))
}

/// `DELETE /api/ExternalClient/{partition}/{client}`. Nothing keeps a client from deleting itself.
pub async fn delete(
    State(cloud): State<Arc<Cloud>>,
    caller: Caller,
    Path(path): Path<ClientPath>,
) -> Result<StatusCode, ApiError> {
    caller.require_administration(&cloud, WRITE).await?;
    cloud.require_partition(&path.partition)?;
    let id = path.client.to_ascii_lowercase();
    let deleted = cloud.store.write(move |store| applications::delete(store, &id)).await?;
    if deleted { Ok(StatusCode::NO_CONTENT) } else { Err(ApiError::NotFound) }
}
