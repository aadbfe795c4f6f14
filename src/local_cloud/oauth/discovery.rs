//! Metadata (RFC 8414, at OpenID Connect's address) and public keys (RFC 7517).

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::HeaderValue;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::scopes::OF_OPENID_CONNECT;
use crate::local_cloud::catalogue::Catalogue;
use crate::local_cloud::cloud::Cloud;

/// `GET /.well-known/openid-configuration`: the same document with and without the organization in the path, as the
/// issuer has none.
pub async fn metadata(State(cloud): State<Arc<Cloud>>) -> Json<Value> {
    Json(document(&cloud.issuer, &cloud.catalogue, cloud.keys.algorithm()))
}

/// Says what is implemented and no more (RFC 8414, RFC 9207, OpenID Connect Discovery). Federated credentials have no name
/// among the methods of authentication: `private_key_jwt` promises tokens that the application signs itself.
fn document(issuer: &str, catalogue: &Catalogue, algorithm: &str) -> Value {
    let resources = catalogue.resources().iter();
    let of_resources = resources.flat_map(|resource| &resource.scopes).map(|scope| scope.name.as_str());
    let scopes: Vec<&str> = OF_OPENID_CONNECT.into_iter().chain(of_resources).collect();
    let at = |path: &str| format!("{issuer}{path}");
    json!({
        "issuer": issuer,
        "authorization_endpoint": at("/connect/authorize"),
        "token_endpoint": at("/connect/token"),
        "userinfo_endpoint": at("/connect/userinfo"),
        "revocation_endpoint": at("/connect/revocation"),
        "introspection_endpoint": at("/connect/introspect"),
        "end_session_endpoint": at("/connect/endsession"),
        "jwks_uri": at("/.well-known/openid-configuration/jwks"),
        "scopes_supported": scopes,
        "claims_supported": ["sub", "name", "preferred_username", "email", "email_verified"],
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": ["authorization_code", "client_credentials", "refresh_token"],
        "code_challenge_methods_supported": ["S256"],
        "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post", "none"],
        "revocation_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post", "none"],
        "introspection_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": [algorithm],
        "prompt_values_supported": ["none", "login", "consent", "select_account"],
        "authorization_response_iss_parameter_supported": true,
        "claims_parameter_supported": false,
        "request_parameter_supported": false,
        "request_uri_parameter_supported": false,
    })
}

/// `GET /.well-known/openid-configuration/jwks`.
pub async fn keys(State(cloud): State<Arc<Cloud>>) -> Response {
    let mut response = Json(cloud.keys.published()).into_response();
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/jwk-set+json"));
    response
}
