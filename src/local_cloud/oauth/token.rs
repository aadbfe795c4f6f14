//! The token endpoint.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Extension, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use secrecy::ExposeSecret;
use serde_json::Value;

use super::client_auth;
use super::form::Form;
use super::pkce;
use super::refusal::{Failure, Refusal, not_stored};
use super::scopes::{self, OFFLINE_ACCESS};
use super::tokens;
use crate::local_cloud::cloud::{Cloud, SeenClient};
use crate::local_cloud::errors;
use crate::local_cloud::secrets::{self, SecretHash};
use crate::local_cloud::store::applications::Client;
use crate::local_cloud::store::grants::{self, Rotated};

/// `POST /connect/token`. A body that isn't a form gets a web page with status 200.
pub async fn issue(
    State(cloud): State<Arc<Cloud>>,
    Extension(seen): Extension<SeenClient>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    if !Form::is_announced(&headers) {
        return errors::web_page();
    }
    not_stored(match grant(&cloud, &seen, &headers, &body).await {
        Ok(answer) => Json(answer).into_response(),
        Err(failure) => failure.into_response(),
    })
}

async fn grant(cloud: &Cloud, seen: &SeenClient, headers: &HeaderMap, body: &[u8]) -> Result<Value, Failure> {
    let form = Form::of_client(headers, body)?;
    let grant_type = form.get("grant_type");
    let client = match grant_type {
        Some("client_credentials") => client_auth::authenticated_for_itself(cloud, seen, headers, &form).await?,
        _ => client_auth::authenticated(cloud, seen, headers, &form).await?,
    };
    match grant_type {
        Some("client_credentials") => {
            let scopes = scopes::for_itself(&client, form.get("scope"))?;
            Ok(tokens::for_itself(cloud, &client.id, &scopes)?)
        }
        Some("authorization_code") => redeem(cloud, &client, &form).await,
        Some("refresh_token") => refresh(cloud, &client, &form).await,
        Some(_) => Err(Refusal::UnsupportedGrantType.into()),
        None => Err(Refusal::malformed("grant_type is missing").into()),
    }
}

/// RFC 6749 section 4.1.3. The redirect URI must be the one of the authorization request, byte for byte.
async fn redeem(cloud: &Cloud, client: &Client, form: &Form) -> Result<Value, Failure> {
    if !scopes::serves_people(&client.scopes) {
        return Err(Refusal::UnauthorizedClient.into());
    }
    let required = |name: &str| form.get(name).ok_or_else(|| Refusal::malformed(format!("{name} is missing")));
    let (code, redirect_uri) = (SecretHash::of_text(required("code")?), required("redirect_uri")?.to_owned());
    let verifier = form.get("code_verifier").map(str::to_owned);
    let refresh = secrets::opaque()?;
    let (id, refresh_hash, now) = (client.id.clone(), SecretHash::of(&refresh), cloud.clock.now_milliseconds());
    let work = move |store: &rusqlite::Transaction<'_>| {
        let granted = grants::redeem(store, &code, &id, now, |bound| {
            bound.redirect_uri == redirect_uri && pkce::proves(verifier.as_deref(), bound.challenge.as_deref())
        })?;
        if let Some(grant) = granted.as_ref().filter(|grant| offline(&grant.scope)) {
            grants::add_refresh(store, &grant.id, &refresh_hash, now)?;
        }
        Ok(granted)
    };
    let grant = cloud.store.write(work).await?.ok_or(Refusal::InvalidGrant)?;
    let scopes = still_allowed(client, &grant.scope).ok_or(Refusal::InvalidScope)?;
    let refresh = offline(&grant.scope).then(|| refresh.expose_secret());
    Ok(tokens::for_person(cloud, &grant, &scopes, grant.nonce.clone(), refresh)?)
}

/// RFC 6749 section 6, with rotation. A narrower scope is for the access token; the family keeps what was granted.
async fn refresh(cloud: &Cloud, client: &Client, form: &Form) -> Result<Value, Failure> {
    if !scopes::serves_people(&client.scopes) {
        return Err(Refusal::UnauthorizedClient.into());
    }
    let token = form.get("refresh_token").ok_or_else(|| Refusal::malformed("refresh_token is missing"))?;
    let wanted = form.get("scope").map(scopes::names).transpose()?;
    let next = secrets::opaque()?;
    let (token, next_hash) = (SecretHash::of_text(token), SecretHash::of(&next));
    let (client, now) = (client.clone(), cloud.clock.now_milliseconds());
    let work = move |store: &rusqlite::Transaction<'_>| {
        grants::rotate(store, &token, &client.id, &next_hash, now, |grant| match &wanted {
            Some(wanted) if wanted.iter().any(|name| !grant.scope.contains(name)) => None,
            wanted => still_allowed(&client, wanted.as_ref().unwrap_or(&grant.scope)),
        })
    };
    match cloud.store.write(work).await? {
        Rotated::Granted(grant, scopes) => {
            Ok(tokens::for_person(cloud, &grant, &scopes, None, Some(next.expose_secret()))?)
        }
        Rotated::Refused => Err(Refusal::InvalidGrant.into()),
        Rotated::Widened => Err(Refusal::InvalidScope.into()),
    }
}

fn offline(scope: &[String]) -> bool {
    scope.iter().any(|name| name == OFFLINE_ACCESS)
}

/// What is left of a granted scope if the registration has lost some of it since; `None` if that is nothing.
fn still_allowed(client: &Client, granted: &[String]) -> Option<Vec<String>> {
    let allowed = granted.iter().filter(|name| scopes::allowed_for_people(&client.scopes, name));
    let left: Vec<String> = allowed.cloned().collect();
    (!left.is_empty() && left != [OFFLINE_ACCESS]).then_some(left)
}
