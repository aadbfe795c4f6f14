//! The whole server as one router: paths, the access log and, for tests, the faults.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::connect_info::ConnectInfo;
use axum::extract::{Path, Request, State};
use axum::http::{Method, Uri};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use axum::{Extension, Router};
use serde::Deserialize;
use tower_http::cors::{AllowHeaders, Any, CorsLayer};

use super::cloud::{Cloud, SeenClient};
use super::config::Deployment;
use super::connection::Peer;
use super::errors::{self, ApiError};
use super::faults::{self, Fate, Faults};
use super::log::{AccessLog, Entry};
use super::{identity, oauth, orchestrator};

/// Puts everything together.
pub fn router(cloud: &Arc<Cloud>, log: Option<AccessLog>, faults: Option<Faults>) -> Router {
    let of_organization = oauth::routes()
        .merge(identity::routes(cloud))
        .route_layer(middleware::from_fn_with_state(Arc::clone(cloud), require_organization));
    let of_host = match cloud.deployment {
        Deployment::AutomationCloud => oauth::routes(),
        Deployment::AutomationSuite => oauth::routes().merge(identity::routes(cloud)),
    };
    let mut app = Router::new()
        .nest("/identity_", of_host)
        .nest("/{organization}/identity_", of_organization)
        .route("/{organization}/{tenant}/orchestrator_/{*rest}", any(orchestrator::answer).layer(for_scripts()))
        .fallback(unknown)
        .with_state(Arc::clone(cloud));
    if let Some(faults) = &faults {
        app = app.layer(middleware::from_fn_with_state(faults.clone(), faults::apply));
    }
    app = app.layer(middleware::from_fn_with_state(Arc::new(log), answer));
    match faults {
        Some(faults) => app.merge(faults::routes(faults)),
        None => app,
    }
}

/// Automation Cloud answers scripts of other origins at an address of its own, and the stand-in has but one. Orchestrator
/// looks at no cookie, so every origin may ask.
fn for_scripts() -> CorsLayer {
    CorsLayer::new()
        .allow_origin(Any)
        .allow_methods([Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE])
        .allow_headers(AllowHeaders::mirror_request())
        .max_age(Duration::from_mins(10))
}

#[derive(Deserialize)]
struct OrganizationPath {
    organization: String,
}

async fn require_organization(
    State(cloud): State<Arc<Cloud>>,
    Path(path): Path<OrganizationPath>,
    request: Request,
    next: Next,
) -> Response {
    if cloud.organization.is_named(&path.organization) {
        next.run(request).await
    } else {
        ApiError::NotFound.into_response()
    }
}

/// Whatever no route knows. Below `identity_` that is a web page with status 200, unless it is an API; calls of the
/// management API need the organization in front.
async fn unknown(State(cloud): State<Arc<Cloud>>, uri: Uri) -> Response {
    let path = uri.path().trim_start_matches('/');
    let (first, rest) = path.split_once('/').unwrap_or((path, ""));
    if first == "identity_" {
        return if rest.starts_with("api/") {
            ApiError::invalid_partition().into_response()
        } else {
            errors::web_page()
        };
    }
    match rest.strip_prefix("identity_/") {
        Some(rest) if cloud.organization.is_named(first) && !rest.starts_with("api/") => errors::web_page(),
        _ => ApiError::NotFound.into_response(),
    }
}

/// Runs a request to its end, whether or not its client still waits, and writes it to the access log before the
/// answer leaves. So a client that breaks off has no influence on what is done, nor on what is logged.
async fn answer(
    State(log): State<Arc<Option<AccessLog>>>,
    peer: Option<Extension<ConnectInfo<Peer>>>,
    mut request: Request,
    next: Next,
) -> Response {
    let seen = SeenClient::default();
    request.extensions_mut().insert(seen.clone());
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let task = tokio::spawn(async move {
        let response = next.run(request).await;
        if let Some(log) = log.as_ref() {
            let fate = response.extensions().get::<Fate>();
            let status = fate.is_none().then(|| response.status().as_u16());
            log.append(&Entry { method: method.as_str(), path: &path, status, client_id: seen.get() });
        }
        response
    });
    let response = task.await.unwrap_or_else(|_| ApiError::Internal.into_response());
    match response.extensions().get::<Fate>() {
        Some(Fate::Hang) => std::future::pending().await,
        Some(Fate::Close) => {
            if let Some(Extension(ConnectInfo(peer))) = peer {
                peer.scissors.cut();
            }
            response
        }
        None => response,
    }
}
