//! The OAuth endpoints: token (client credentials only), discovery and keys.

use std::sync::Arc;

use axum::Router;
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse};
use axum::routing::{get, post};

use super::cloud::Cloud;

mod client_auth;
mod discovery;
mod form;
mod token;

/// The routes, relative to `/identity_` and to `/{organization}/identity_`.
pub fn routes() -> Router<Arc<Cloud>> {
    Router::new()
        .route("/connect/token", post(token::issue))
        .route("/connect/authorize", get(authorize).post(authorize))
        .route("/.well-known/openid-configuration", get(discovery::metadata))
        .route("/.well-known/openid-configuration/jwks", get(discovery::keys))
}

/// The address is real, because published credentials of applications with user scopes name it.
async fn authorize() -> impl IntoResponse {
    let page = "<!doctype html>\n<html lang=\"en\"><head><title>Not implemented</title></head>\
                <body><p>Sign-in is not part of this version of extapp local-cloud.</p></body></html>\n";
    (StatusCode::NOT_IMPLEMENTED, Html(page))
}
