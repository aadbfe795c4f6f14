//! The Identity management API: external applications, their secrets and federated credentials, and the catalogue of scopes.

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use serde::de::DeserializeOwned;

use super::cloud::Cloud;
use super::errors::ApiError;

mod applications;
mod directory;
mod federated;
mod resources;
mod secrets;
mod validate;
mod wire;

/// Scopes that may read applications.
const READ: &[&str] = &["PM.OAuthApp", "PM.OAuthApp.Read"];
/// Scopes that may change applications.
const WRITE: &[&str] = &["PM.OAuthApp", "PM.OAuthApp.Write"];
/// Scopes that may make and delete secrets.
const WRITE_SECRETS: &[&str] = &["PM.OAuthApp", "PM.OAuthApp.Write", "PM.OAuthAppSecret.Write"];

/// The routes, relative to `/{organization}/identity_`, with the rate limits in front of them.
pub fn routes(cloud: &Arc<Cloud>) -> Router<Arc<Cloud>> {
    Router::new()
        .route("/api/ExternalClient", post(applications::create))
        .route("/api/ExternalClient/GenerateSecret", post(secrets::generate))
        .route("/api/ExternalClient/{partition}", get(applications::list))
        .route(
            "/api/ExternalClient/{partition}/{client}",
            get(applications::read).put(applications::replace).delete(applications::delete),
        )
        .route("/api/ExternalClient/{partition}/secrets/{secret}", delete(secrets::delete))
        .route(
            "/api/ExternalClient/{partition}/{client}/FederatedCredentials",
            get(federated::list).post(federated::create),
        )
        .route(
            "/api/ExternalClient/{partition}/{client}/FederatedCredentials/{credential}",
            get(federated::read).put(federated::replace).delete(federated::delete),
        )
        .route("/api/ExternalApiResource", get(resources::list))
        .route("/api/Directory/BulkResolveByName/{partition}", post(directory::resolve_by_name))
        .route_layer(middleware::from_fn_with_state(Arc::clone(cloud), limit))
}

/// Counts the request before anything looks at it, as a gateway does: a bad token costs quota too.
async fn limit(State(cloud): State<Arc<Cloud>>, request: Request, next: Next) -> Response {
    match cloud.limiter.admit(request.method(), cloud.clock.now_milliseconds()) {
        Ok(()) => next.run(request).await,
        Err(exceeded) => ApiError::TooManyRequests(exceeded).into_response(),
    }
}

/// Reads a JSON body.
fn json<T: DeserializeOwned>(headers: &HeaderMap, body: &Bytes) -> Result<T, ApiError> {
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    if !essence.eq_ignore_ascii_case("application/json") {
        return Err(ApiError::UnsupportedMediaType);
    }
    serde_json::from_slice(body).map_err(|error| ApiError::Binding {
        field: "$",
        message: format!(
            "The JSON value could not be converted. LineNumber: {} | Column: {}.",
            error.line(),
            error.column()
        ),
    })
}
