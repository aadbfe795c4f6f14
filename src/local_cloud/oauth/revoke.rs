//! Revocation (RFC 7009).

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Extension, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};

use super::client_auth;
use super::form::Form;
use super::refusal::{Failure, Refusal, not_stored};
use crate::local_cloud::cloud::{Cloud, SeenClient};
use crate::local_cloud::secrets::SecretHash;
use crate::local_cloud::store::grants;

/// `POST /connect/revocation`.
pub async fn revoke(
    State(cloud): State<Arc<Cloud>>,
    Extension(seen): Extension<SeenClient>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    not_stored(match act(&cloud, &seen, &headers, &body).await {
        Ok(()) => StatusCode::OK.into_response(),
        Err(failure) => failure.into_response(),
    })
}

/// A refresh token takes its family and the access tokens of its grant along, an access token only itself. A token that
/// is of no use already is revoked, as the client wanted. The hint is not needed: the two kinds look different.
async fn act(cloud: &Cloud, seen: &SeenClient, headers: &HeaderMap, body: &[u8]) -> Result<(), Failure> {
    let form = Form::of_client(headers, body)?;
    let client = client_auth::authenticated(cloud, seen, headers, &form).await?;
    let token = form.get("token").ok_or_else(|| Refusal::malformed("token is missing"))?;
    let now = cloud.clock.now_milliseconds();
    if let Some(claims) = cloud.verified(token).await? {
        if claims.client_id != client.id {
            return Err(Refusal::InvalidGrant.into());
        }
        return Ok(cloud.store.write(move |store| grants::revoke_access(store, &claims.jti, now)).await?);
    }
    let hash = SecretHash::of_text(token);
    let own = cloud.store.write(move |store| {
        let Some((grant, _)) = grants::by_refresh(store, &hash, now)? else { return Ok(true) };
        if grant.client != client.id {
            return Ok(false);
        }
        grants::revoke(store, &grant.id, now)?;
        Ok(true)
    });
    if own.await? { Ok(()) } else { Err(Refusal::InvalidGrant.into()) }
}
