//! The OAuth and OpenID Connect endpoints: authorization with its pages, tokens and what becomes of them, discovery.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::{Method, header};
use axum::routing::{get, post};
use tower_http::cors::{Any, CorsLayer};

use super::cloud::Cloud;

mod assertion;
mod attempts;
mod authorize;
mod bearer;
mod browser;
mod client_auth;
mod consent;
mod discovery;
mod error_page;
mod federated;
mod form;
mod interaction;
mod introspect;
mod login;
mod pkce;
mod redirect;
mod refusal;
mod request;
mod revoke;
mod scopes;
mod sign_out;
mod token;
mod tokens;
mod userinfo;

pub use attempts::Attempts;
pub use client_auth::presented_secret;
pub use refusal::Refusal;

/// The longest body that is read, in bytes.
const LONGEST_BODY: usize = 64 * 1024;

/// The routes, relative to `/identity_` and to `/{organization}/identity_`.
pub fn routes() -> Router<Arc<Cloud>> {
    for_scripts().merge(for_people()).layer(DefaultBodyLimit::max(LONGEST_BODY))
}

/// What applications that run in a browser call from scripts. Nothing here looks at cookies, so every origin may ask.
fn for_scripts() -> Router<Arc<Cloud>> {
    let cors = CorsLayer::new()
        .allow_origin(Any)
        .allow_methods([Method::GET, Method::POST])
        .allow_headers([header::AUTHORIZATION, header::CONTENT_TYPE])
        .max_age(Duration::from_mins(10));
    Router::new()
        .route("/connect/token", post(token::issue))
        .route("/connect/userinfo", get(userinfo::show).post(userinfo::show))
        .route("/connect/revocation", post(revoke::revoke))
        .route("/.well-known/openid-configuration", get(discovery::metadata))
        .route("/.well-known/openid-configuration/jwks", get(discovery::keys))
        .route_layer(cors)
}

/// What people's browsers and confidential applications call. No script of another origin may read the answers.
fn for_people() -> Router<Arc<Cloud>> {
    Router::new()
        .route("/connect/authorize", get(authorize::by_query).post(authorize::by_form))
        .route("/connect/introspect", post(introspect::introspect))
        .route("/connect/endsession", get(sign_out::show).post(sign_out::receive))
        .route("/web/", get(error_page::show))
        .route("/web/login", get(login::show).post(login::receive))
        .route("/web/consent", get(consent::show).post(consent::receive))
}
