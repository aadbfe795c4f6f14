//! Metadata (RFC 8414, at OpenID Connect's address) and public keys (RFC 7517).

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::HeaderValue;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use crate::local_cloud::catalogue::Catalogue;
use crate::local_cloud::cloud::Cloud;

/// `GET /.well-known/openid-configuration`: the same document with and without the organization in the path, as the
/// issuer has none.
pub async fn metadata(State(cloud): State<Arc<Cloud>>) -> Json<Value> {
    Json(document(&cloud.issuer, &cloud.catalogue))
}

/// Says what is implemented and no more. The authorization endpoint is named because published credentials name it;
/// that nothing can be authorized there shows in `response_types_supported` and `grant_types_supported`.
fn document(issuer: &str, catalogue: &Catalogue) -> Value {
    let resources = catalogue.resources().iter();
    let scopes: Vec<&str> = resources.flat_map(|resource| &resource.scopes).map(|scope| scope.name.as_str()).collect();
    json!({
        "issuer": issuer,
        "authorization_endpoint": format!("{issuer}/connect/authorize"),
        "token_endpoint": format!("{issuer}/connect/token"),
        "jwks_uri": format!("{issuer}/.well-known/openid-configuration/jwks"),
        "scopes_supported": scopes,
        "response_types_supported": [],
        "grant_types_supported": ["client_credentials"],
        "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
    })
}

/// `GET /.well-known/openid-configuration/jwks`.
pub async fn keys(State(cloud): State<Arc<Cloud>>) -> Response {
    let mut response = Json(cloud.keys.published()).into_response();
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/jwk-set+json"));
    response
}
