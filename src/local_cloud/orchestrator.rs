//! Orchestrator: tenants with folders, roles, users, and queue definitions as what the roles protect.
//!
//! Each request is judged and carried out in one transaction of the store, so that it sees one state and leaves
//! either all of its changes behind or none.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::PathRejection;
use axum::extract::{FromRequest, FromRequestParts, Path, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use rusqlite::Connection;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use self::errors::Refusal;
use self::odata::Query;
use self::path::Target;
use self::rights::Access;
use self::schema::Schema;
use super::cloud::{Caller, Cloud};
use super::config::Deployment;
use super::store::orchestrator::Tenant;

mod assignments;
mod directory;
mod errors;
mod filter;
mod folders;
mod odata;
mod path;
mod queues;
mod rights;
mod roles;
mod schema;
pub mod seed;
mod users;

/// The resource whose scopes these are.
const RESOURCE: &str = "UiPath.Orchestrator";

#[derive(Debug, Deserialize)]
pub struct OrchestratorPath {
    organization: String,
    tenant: String,
    rest: String,
}

/// One request, with everything that its handler may look at.
pub struct Call {
    tenant: Tenant,
    caller: Caller,
    method: Method,
    target: Target,
    query: Query,
    headers: HeaderMap,
    body: Bytes,
    /// The address without the query, as the client wrote it.
    url: String,
    deployment: Deployment,
    largest_page: usize,
    now: i64,
}

/// What a handler answers.
pub enum Answer {
    Json(StatusCode, Value),
    Empty(StatusCode),
}

impl Answer {
    fn ok(value: Value) -> Self {
        Self::Json(StatusCode::OK, value)
    }

    fn no_content() -> Self {
        Self::Empty(StatusCode::NO_CONTENT)
    }
}

/// Answers everything below `/{organization}/{tenant}/orchestrator_/`.
pub async fn answer(
    State(cloud): State<Arc<Cloud>>,
    path: Result<Path<OrchestratorPath>, PathRejection>,
    request: Request,
) -> Response {
    let mut response = match handle(&cloud, path, request).await {
        Ok(Answer::Json(status, value)) => (status, Json(value)).into_response(),
        Ok(Answer::Empty(status)) => status.into_response(),
        Err(refusal) => refusal.into_response(),
    };
    let version = HeaderValue::from_static(cloud.deployment.orchestrator_version());
    response.headers_mut().insert(HeaderName::from_static("api-supported-versions"), version);
    response
}

async fn handle(
    cloud: &Arc<Cloud>,
    path: Result<Path<OrchestratorPath>, PathRejection>,
    request: Request,
) -> Result<Answer, Refusal> {
    let Ok(Path(path)) = path else { return Err(Refusal::query("The address is not valid UTF-8.")) };
    let tenant = tenant(cloud, &path).ok_or(Refusal::NoSuchAddress)?;
    let now = cloud.clock.now_milliseconds();
    cloud.limiter.admit_tenant(tenant.id, now).map_err(Refusal::TooManyRequests)?;
    let target = Target::read(&path.rest)?;
    if target == Target::SearchForUsersAndGroups {
        cloud.limiter.admit_search(tenant.id, now).map_err(Refusal::TooManyRequests)?;
    }
    let (mut parts, body) = request.into_parts();
    let caller = Caller::from_request_parts(&mut parts, cloud).await.map_err(|_| Refusal::Unauthorized)?;
    let of_orchestrator =
        |scope: &str| cloud.catalogue.find(scope).is_some_and(|(resource, _)| resource.name == RESOURCE);
    if !caller.has_scope_where(of_orchestrator) {
        return Err(Refusal::Unauthorized);
    }
    let (url, query) = (address(cloud, &parts), Query::read(parts.uri.query().unwrap_or_default())?);
    let (method, headers) = (parts.method.clone(), parts.headers.clone());
    let body = Bytes::from_request(Request::from_parts(parts, body), &()).await.map_err(|_| Refusal::TooLarge)?;
    let (deployment, largest_page) = (cloud.deployment, cloud.largest_page);
    let call = Call { tenant, caller, method, target, query, headers, body, url, deployment, largest_page, now };
    cloud.store.transact(move |store| perform(&call, store)).await
}

fn tenant(cloud: &Cloud, path: &OrchestratorPath) -> Option<Tenant> {
    if !cloud.organization.is_named(&path.organization) {
        return None;
    }
    let named = |tenant: &&Tenant| tenant.name == path.tenant || tenant.key.eq_ignore_ascii_case(&path.tenant);
    cloud.tenants.iter().find(named).cloned()
}

/// Links lead back to where the client came from, which may be a forwarded port.
fn address(cloud: &Cloud, parts: &axum::http::request::Parts) -> String {
    let own = cloud.issuer.trim_start_matches("http://").trim_end_matches("/identity_");
    let host = parts.headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or(own);
    format!("http://{host}{}", parts.uri.path())
}

fn perform(call: &Call, store: &Connection) -> Result<Answer, Refusal> {
    let access = Access::of(call, store)?;
    match (call.method.as_str(), call.target) {
        ("GET", Target::Folders) => folders::list(call, &access, store),
        ("POST", Target::Folders) => folders::create(call, &access, store),
        ("GET", Target::Folder(id)) => folders::read(call, &access, id),
        ("PUT", Target::Folder(id)) => folders::replace(call, &access, store, id),
        ("DELETE", Target::Folder(id)) => folders::delete(&access, store, id),
        ("POST", Target::AssignUsers) => assignments::assign_users(call, &access, store),
        ("POST", Target::AssignDirectoryUser) => {
            assignments::assign_directory_user(call, &access, store, Deployment::AutomationCloud)
        }
        ("POST", Target::AssignDomainUser) => {
            assignments::assign_directory_user(call, &access, store, Deployment::AutomationSuite)
        }
        ("POST", Target::RemoveUserFromFolder(folder)) => assignments::remove(call, &access, store, folder),
        ("GET", Target::UsersForFolder { folder, inherited }) => {
            assignments::list(call, &access, store, folder, inherited)
        }
        ("GET", Target::Roles) => roles::list(call, &access, store),
        ("POST", Target::Roles) => roles::create(call, &access, store),
        ("GET", Target::Role(id)) => roles::read(call, &access, store, id),
        ("PUT", Target::Role(id)) => roles::replace(call, &access, store, id),
        ("DELETE", Target::Role(id)) => roles::delete(call, &access, store, id),
        ("GET", Target::Users) => users::list(call, &access, store),
        ("POST", Target::Users) => users::create(call, &access, store),
        ("GET", Target::User(id)) => users::read(call, &access, store, id),
        ("PUT", Target::User(id)) => users::replace(call, &access, store, id),
        ("PATCH", Target::User(id)) => users::change(call, &access, store, id),
        ("DELETE", Target::User(id)) => users::delete(call, &access, store, id),
        ("POST", Target::AssignRoles(id)) => users::assign_roles(call, &access, store, id),
        ("GET", Target::SearchForUsersAndGroups) => directory::search(call, &access, store),
        ("GET", Target::DomainUserId) => directory::user_id(call, &access, store),
        ("GET", Target::Domains) => directory::domains(&access),
        ("GET", Target::QueueDefinitions) => queues::list(call, &access, store),
        ("POST", Target::QueueDefinitions) => queues::create(call, &access, store),
        ("GET", Target::QueueDefinition(id)) => queues::read(call, &access, store, id),
        ("DELETE", Target::QueueDefinition(id)) => queues::delete(call, &access, store, id),
        _ => Err(Refusal::MethodNotAllowed),
    }
}

impl Call {
    /// The body of the request, which has to be a JSON object of `schema`.
    fn body<T: DeserializeOwned>(&self, schema: Schema) -> Result<T, Refusal> {
        let content_type = self.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let essence = content_type.unwrap_or_default().split(';').next().unwrap_or_default().trim();
        if !essence.eq_ignore_ascii_case("application/json") {
            return Err(Refusal::UnsupportedMediaType);
        }
        let value = serde_json::from_slice(&self.body).map_err(|_| Refusal::invalid("The body is not JSON."))?;
        let members = schema::checked(schema, value)?;
        serde_json::from_value(Value::Object(members)).map_err(|_| Refusal::invalid("A property is missing."))
    }

    fn page<T>(&self, entity: odata::Entity, items: &[T], row: impl Fn(&T) -> Value) -> Result<Answer, Refusal> {
        self.query.page(entity, items, row, (&self.url, self.largest_page)).map(Answer::ok)
    }

    fn entity(&self, entity: odata::Entity, status: StatusCode, row: Value) -> Result<Answer, Refusal> {
        Ok(Answer::Json(status, self.query.entity(entity, row, &self.url)?))
    }
}

/// Milliseconds since the Unix epoch as answers write them.
fn written(milliseconds: i64) -> String {
    jiff::Timestamp::from_millisecond(milliseconds).map_or_else(|_| String::new(), |time| format!("{time:.3}"))
}

#[cfg(test)]
mod tests;
