//! The userinfo endpoint (OpenID Connect Core section 5.3).

use std::sync::Arc;

use axum::Json;
use axum::extract::{Extension, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::bearer::{self, Refused};
use super::refusal::not_stored;
use super::scopes::{EMAIL, OPENID, PROFILE};
use crate::local_cloud::cloud::{Cloud, SeenClient};
use crate::local_cloud::errors::ApiError;
use crate::local_cloud::store::people;

/// `GET` and `POST /connect/userinfo`.
pub async fn show(
    State(cloud): State<Arc<Cloud>>,
    Extension(seen): Extension<SeenClient>,
    headers: HeaderMap,
) -> Response {
    not_stored(match claims(&cloud, &seen, &headers).await {
        Ok(Ok(claims)) => Json(claims).into_response(),
        Ok(Err(refused)) => refused.into_response(),
        Err(error) => error.into_response(),
    })
}

async fn claims(cloud: &Cloud, seen: &SeenClient, headers: &HeaderMap) -> Result<Result<Value, Refused>, ApiError> {
    let token = match bearer::token(headers) {
        Ok(token) => token,
        Err(refused) => return Ok(Err(refused)),
    };
    let Some(token) = cloud.verified(token).await? else { return Ok(Err(Refused::InvalidToken)) };
    seen.note(&token.client_id);
    let has = |name: &str| token.scope.iter().any(|scope| scope == name);
    if !has(OPENID) {
        return Ok(Err(Refused::Needs(OPENID)));
    }
    let id = token.sub.clone();
    let Some(person) = cloud.store.read(move |store| people::find(store, &id)).await? else {
        return Ok(Err(Refused::InvalidToken));
    };
    let mut claims = json!({ "sub": person.id });
    if has(PROFILE) {
        claims["name"] = person.name.into();
        claims["preferred_username"] = person.email.clone().into();
    }
    if has(EMAIL) {
        // Nobody has checked that the address is the person's own.
        claims["email"] = person.email.into();
        claims["email_verified"] = false.into();
    }
    Ok(Ok(claims))
}
