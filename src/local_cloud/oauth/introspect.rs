//! Introspection (RFC 7662). A client learns of its own tokens only: there are no resource servers registered that would
//! have a reason to look at others', and whoever finds a token shall not learn from here what it is good for.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Extension, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::client_auth;
use super::form::Form;
use super::refusal::{Failure, Refusal, not_stored};
use crate::local_cloud::cloud::{Cloud, SeenClient};
use crate::local_cloud::secrets::SecretHash;
use crate::local_cloud::store::{grants, people};

/// `POST /connect/introspect`.
pub async fn introspect(
    State(cloud): State<Arc<Cloud>>,
    Extension(seen): Extension<SeenClient>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    not_stored(match look(&cloud, &seen, &headers, &body).await {
        Ok(answer) => Json(answer).into_response(),
        Err(failure) => failure.into_response(),
    })
}

async fn look(cloud: &Cloud, seen: &SeenClient, headers: &HeaderMap, body: &[u8]) -> Result<Value, Failure> {
    let form = Form::of_client(headers, body)?;
    let client = match client_auth::authenticated(cloud, seen, headers, &form).await {
        // RFC 7662 section 2.3 knows no other status than 401 here.
        Err(Failure::Refused(Refusal::InvalidClient { .. })) => {
            return Err(Refusal::InvalidClient { by_header: true }.into());
        }
        other => other?,
    };
    if !client.confidential {
        // It has proven nothing.
        return Err(Refusal::InvalidClient { by_header: true }.into());
    }
    let token = form.get("token").ok_or_else(|| Refusal::malformed("token is missing"))?;
    let found = match of_access_token(cloud, &client.id, token).await? {
        Some(found) => Some(found),
        None => of_refresh_token(cloud, client.id, token).await?,
    };
    Ok(found.unwrap_or_else(|| json!({ "active": false })))
}

async fn of_access_token(cloud: &Cloud, client: &str, token: &str) -> Result<Option<Value>, Failure> {
    let Some(claims) = cloud.verified(token).await?.filter(|claims| claims.client_id == client) else {
        return Ok(None);
    };
    let id = claims.sub.clone();
    let person = cloud.store.read(move |store| people::find(store, &id)).await?;
    let mut answer = json!({
        "active": true,
        "token_type": "Bearer",
        "scope": claims.scope.join(" "),
        "client_id": claims.client_id,
        "sub": claims.sub,
        "sub_type": claims.sub_type,
        "aud": claims.aud,
        "iss": claims.iss,
        "jti": claims.jti,
        "iat": claims.iat,
        "nbf": claims.nbf,
        "exp": claims.exp,
    });
    if let Some(person) = person {
        answer["username"] = person.email.into();
    }
    Ok(Some(answer))
}

async fn of_refresh_token(cloud: &Cloud, client: String, token: &str) -> Result<Option<Value>, Failure> {
    let (hash, now, issuer) = (SecretHash::of_text(token), cloud.clock.now_milliseconds(), cloud.issuer.clone());
    let found = cloud.store.read(move |store| {
        let found = grants::by_refresh(store, &hash, now)?;
        let Some((grant, _)) = found.filter(|(grant, used)| !used && grant.client == client) else { return Ok(None) };
        let expires = grants::refresh_expires(store, &hash)?;
        Ok(Some(json!({
            "active": true,
            "scope": grant.scope.join(" "),
            "client_id": grant.client,
            "sub": grant.person,
            "iss": issuer,
            "exp": expires.map(|milliseconds| milliseconds / 1000),
        })))
    });
    Ok(found.await?)
}
