//! The token endpoint: `grant_type=client_credentials`.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Extension, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::client_auth::{self, Unusable};
use super::form::Form;
use crate::local_cloud::DEFAULT_SCOPE;
use crate::local_cloud::catalogue::{Catalogue, ScopeType};
use crate::local_cloud::clock;
use crate::local_cloud::cloud::{Claims, Cloud, SeenClient};
use crate::local_cloud::errors::{self, ApiError};
use crate::local_cloud::store::applications::{self, Client};

/// How long an access token is valid, in seconds.
const LIFETIME_SECONDS: i64 = 3600;

/// The longest scope string that is accepted, in bytes: the newest limit that is known of a server on premises.
const LONGEST_SCOPE: usize = 1250;

/// Why there is no token. Automation Cloud answers all of these with 400, the credentials' being wrong included.
#[derive(Debug, PartialEq, Eq)]
enum Refusal {
    InvalidClient,
    InvalidScope,
    UnauthorizedClient,
    UnsupportedGrantType,
    InvalidRequest(Option<String>),
}

enum Failure {
    Refused(Refusal),
    Internal(ApiError),
}

impl<E: Into<ApiError>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Internal(error.into())
    }
}

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
    let mut response = match grant(&cloud, &seen, &headers, &body).await {
        Ok(answer) => Json(answer).into_response(),
        Err(Failure::Refused(refusal)) => refusal.into_response(),
        Err(Failure::Internal(error)) => error.into_response(),
    };
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store, no-cache, max-age=0"));
    response.headers_mut().insert(header::PRAGMA, HeaderValue::from_static("no-cache"));
    response
}

async fn grant(
    cloud: &Cloud,
    seen: &SeenClient,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<serde_json::Value, Failure> {
    let form = Form::read(body).map_err(|_| Failure::Refused(Refusal::InvalidRequest(None)))?;
    let presented = client_auth::presented(headers, &form).map_err(|unusable| {
        Failure::Refused(match unusable {
            Unusable::Nothing => Refusal::InvalidClient,
            Unusable::Contradiction => Refusal::InvalidRequest(None),
        })
    })?;
    let (id, now) = (presented.client_id.to_ascii_lowercase(), cloud.clock.now_milliseconds());
    let client = cloud.store.read(move |store| applications::client(store, &id, now)).await?;
    let proven = client_auth::proves(&presented, client.as_ref());
    let client = client.filter(|_| proven).ok_or(Failure::Refused(Refusal::InvalidClient))?;
    seen.note(&client.id);
    let scopes = granted(&client, form.get("grant_type"), form.get("scope")).map_err(Failure::Refused)?;
    let claims = claims(cloud, &client.id, &scopes, now / 1000)?;
    let token = cloud.keys.sign(&claims)?;
    Ok(json!({
        "access_token": token,
        "expires_in": LIFETIME_SECONDS,
        "token_type": "Bearer",
        "scope": scopes.join(" "),
    }))
}

/// The scopes that `client` gets, in the order in which it asked for them.
///
/// A scope must be registered by that very name: `OR.Jobs.Read` and `OR.Jobs.Write` together are not `OR.Jobs`.
/// `OR.Default` is every client's. A request that names no scope is refused, the stricter reading.
fn granted(client: &Client, grant_type: Option<&str>, scope: Option<&str>) -> Result<Vec<String>, Refusal> {
    if grant_type != Some("client_credentials") {
        return Err(Refusal::UnsupportedGrantType);
    }
    let registered = |name: &str, kind| client.scopes.iter().any(|(scope, found)| scope == name && *found == kind);
    let may_act_alone = client.scopes.iter().any(|(_, kind)| *kind == ScopeType::Application);
    if !client.confidential || !may_act_alone {
        return Err(Refusal::UnauthorizedClient);
    }
    let requested = scope.ok_or(Refusal::InvalidScope)?;
    if requested.len() > LONGEST_SCOPE {
        return Err(Refusal::InvalidRequest(Some("Invalid scope".to_owned())));
    }
    let mut scopes: Vec<String> = Vec::new();
    for name in requested.split_ascii_whitespace() {
        if name == DEFAULT_SCOPE || registered(name, ScopeType::Application) {
            if !scopes.iter().any(|scope| scope == name) {
                scopes.push(name.to_owned());
            }
        } else if registered(name, ScopeType::User) {
            let message = format!("Client={} is not allowed to access User scopes", client.id);
            return Err(Refusal::InvalidRequest(Some(message)));
        } else {
            return Err(Refusal::InvalidScope);
        }
    }
    if scopes.is_empty() { Err(Refusal::InvalidScope) } else { Ok(scopes) }
}

fn claims(cloud: &Cloud, client_id: &str, scopes: &[String], now: i64) -> Result<Claims, ApiError> {
    Ok(Claims {
        iss: cloud.issuer.clone(),
        sub: client_id.to_owned(),
        sub_type: "service.external".to_owned(),
        client_id: client_id.to_owned(),
        prt_id: cloud.organization.id,
        aud: audiences(&cloud.catalogue, scopes),
        scope: scopes.to_vec(),
        iat: now,
        nbf: now,
        exp: now + LIFETIME_SECONDS,
        jti: clock::random_uuid()?.simple().to_string().to_ascii_uppercase(),
    })
}

fn audiences(catalogue: &Catalogue, scopes: &[String]) -> Vec<String> {
    let names: BTreeSet<&str> =
        scopes.iter().filter_map(|scope| catalogue.find(scope)).map(|(resource, _)| resource.name).collect();
    names.into_iter().map(str::to_owned).collect()
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let (error, description) = match self {
            Self::InvalidClient => ("invalid_client", None),
            Self::InvalidScope => ("invalid_scope", None),
            Self::UnauthorizedClient => ("unauthorized_client", None),
            Self::UnsupportedGrantType => ("unsupported_grant_type", None),
            Self::InvalidRequest(description) => ("invalid_request", description),
        };
        let body = match description {
            Some(description) => json!({ "error": error, "error_description": description }),
            None => json!({ "error": error }),
        };
        (StatusCode::BAD_REQUEST, Json(body)).into_response()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(confidential: bool, scopes: &[(&str, ScopeType)]) -> Client {
        Client {
            id: "app".to_owned(),
            confidential,
            scopes: scopes.iter().map(|(name, kind)| ((*name).to_owned(), *kind)).collect(),
            secrets: Vec::new(),
        }
    }

    fn ask(client: &Client, scope: &str) -> Result<Vec<String>, Refusal> {
        granted(client, Some("client_credentials"), Some(scope))
    }

    #[test]
    fn no_scope_implies_another_one() {
        let client =
            client(true, &[("OR.Jobs.Read", ScopeType::Application), ("OR.Jobs.Write", ScopeType::Application)]);
        assert_eq!(ask(&client, "OR.Jobs.Read").unwrap(), ["OR.Jobs.Read"]);
        assert_eq!(ask(&client, "OR.Jobs"), Err(Refusal::InvalidScope));
    }

    #[test]
    fn the_default_scope_is_everyones_and_order_is_kept() {
        let client = client(true, &[("OR.Jobs", ScopeType::Application)]);
        assert_eq!(ask(&client, "OR.Jobs OR.Default OR.Jobs").unwrap(), ["OR.Jobs", "OR.Default"]);
        assert_eq!(ask(&client, "OR.Default").unwrap(), ["OR.Default"]);
    }

    #[test]
    fn a_user_scope_is_refused_in_words() {
        let client = client(true, &[("OR.Jobs", ScopeType::Application), ("OR.Assets", ScopeType::User)]);
        let message = "Client=app is not allowed to access User scopes".to_owned();
        assert_eq!(ask(&client, "OR.Assets"), Err(Refusal::InvalidRequest(Some(message))));
        assert_eq!(ask(&client, "OR.Assets.Read"), Err(Refusal::InvalidScope));
        assert_eq!(ask(&client, "OR.Jobs offline_access"), Err(Refusal::InvalidScope));
    }

    #[test]
    fn the_grant_follows_from_the_registered_scopes() {
        let user_only = client(true, &[("OR.Jobs", ScopeType::User)]);
        let public = client(false, &[("OR.Jobs", ScopeType::User)]);
        assert_eq!(ask(&user_only, "OR.Jobs"), Err(Refusal::UnauthorizedClient));
        assert_eq!(ask(&public, "OR.Default"), Err(Refusal::UnauthorizedClient));
    }

    #[test]
    fn the_grant_type_must_be_said_and_a_scope_too() {
        let client = client(true, &[("OR.Jobs", ScopeType::Application)]);
        assert_eq!(granted(&client, None, Some("OR.Jobs")), Err(Refusal::UnsupportedGrantType));
        assert_eq!(granted(&client, Some("authorization_code"), None), Err(Refusal::UnsupportedGrantType));
        assert_eq!(granted(&client, Some("client_credentials"), None), Err(Refusal::InvalidScope));
    }

    #[test]
    fn a_scope_string_beyond_the_limit_is_an_invalid_request() {
        let client = client(true, &[("OR.Jobs", ScopeType::Application)]);
        let long = "OR.Jobs ".repeat(200);
        assert_eq!(ask(&client, &long), Err(Refusal::InvalidRequest(Some("Invalid scope".to_owned()))));
    }
}
