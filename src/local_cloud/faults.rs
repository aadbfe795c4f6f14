//! Faults on request, for tests of clients. The switch does not exist unless the configuration opens it.
//!
//! `POST /__faults` takes one fault or an array of them, `GET` shows what is left, `DELETE` forgets the rest.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use futures::stream;
use serde::{Deserialize, Serialize};

use super::errors::{self, ApiError};

mod lag;
mod unshown;

use lag::Lagging;
use unshown::Unshown;

/// How many bytes the action `big` sends unless it says so itself.
const BIG: usize = 32 << 20;

/// One kind of fault and how often it happens yet.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// Which requests; every one if it says nothing.
    #[serde(default, rename = "match")]
    pub matches: Match,
    /// How many requests yet; 1 if it says nothing.
    #[serde(default = "once")]
    pub times: u32,
    /// Whether it happens instead of the request (the default) or after it was executed.
    #[serde(default = "yes")]
    pub before: bool,
    /// `status:500`, `close`, `hang`, `html`, `truncate`, `big`, `big:BYTES`, `delay:MILLISECONDS`, `lag:MILLISECONDS`:
    /// the secret that the answer gives out is accepted only then; `unshown:MILLISECONDS`: reads show it only then; or `not-in-partition`: the refusal that a federated
    /// credential of a new application gets until the organization knows the application.
    pub action: String,
    /// The value of `Retry-After` for `status`, in seconds.
    #[serde(default)]
    pub retry_after: Option<u64>,
}

/// Which requests a fault happens to.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Match {
    /// The exact HTTP method.
    pub method: Option<String>,
    /// A part of the path, without the query.
    pub path_contains: Option<String>,
    /// A part of the query, as it was sent: tells the pages of a collection apart.
    pub query_contains: Option<String>,
}

fn once() -> u32 {
    1
}

fn yes() -> bool {
    true
}

impl Fault {
    fn hits(&self, method: &Method, uri: &Uri) -> bool {
        let method = self.matches.method.as_ref().is_none_or(|wanted| wanted == method.as_str());
        let has = |text: &str, part: &Option<String>| part.as_ref().is_none_or(|part| text.contains(part.as_str()));
        let query = uri.query().unwrap_or_default();
        method && has(uri.path(), &self.matches.path_contains) && has(query, &self.matches.query_contains)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    Status(StatusCode),
    Close,
    Hang,
    Html,
    Truncate,
    Big(usize),
    Delay(Duration),
    Lag(Duration),
    Unshown(Duration),
    NotInPartition,
}

impl Action {
    fn read(text: &str) -> Option<Self> {
        let (name, value) = text.split_once(':').map_or((text, None), |(name, value)| (name, Some(value)));
        match (name, value) {
            ("status", Some(value)) => StatusCode::from_bytes(value.as_bytes()).ok().map(Self::Status),
            ("close", None) => Some(Self::Close),
            ("hang", None) => Some(Self::Hang),
            ("html", None) => Some(Self::Html),
            ("truncate", None) => Some(Self::Truncate),
            ("not-in-partition", None) => Some(Self::NotInPartition),
            ("big", None) => Some(Self::Big(BIG)),
            ("big", Some(value)) => value.parse().ok().map(Self::Big),
            ("delay", Some(value)) => value.parse().ok().map(|ms| Self::Delay(Duration::from_millis(ms))),
            ("unshown", Some(value)) => value.parse().ok().map(|ms| Self::Unshown(Duration::from_millis(ms))),
            ("lag", Some(value)) => value.parse().ok().map(|ms| Self::Lag(Duration::from_millis(ms))),
            _ => None,
        }
    }
}

/// What becomes of the answer; found by the front of the server in the answer's extensions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// The connection is cut without an answer.
    Close,
    /// The answer never comes.
    Hang,
}

/// The faults that are still to happen, and the secrets that lag behind: those that are not accepted yet, and those that are not
/// shown yet.
#[derive(Clone, Debug, Default)]
pub struct Faults(Arc<Mutex<Vec<Fault>>>, Lagging, Unshown);

impl Faults {
    fn with<T>(&self, work: impl FnOnce(&mut Vec<Fault>) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Takes one turn of the first fault that hits this request.
    fn take(&self, method: &Method, uri: &Uri) -> Option<Fault> {
        self.with(|faults| {
            let index = faults.iter().position(|fault| fault.hits(method, uri))?;
            let fault = faults[index].clone();
            faults[index].times -= 1;
            faults.retain(|fault| fault.times > 0);
            Some(fault)
        })
    }
}

/// The switch itself, which neither faults nor the access log apply to.
pub fn routes(faults: Faults) -> Router {
    Router::new().route("/__faults", get(show).post(queue).delete(forget)).with_state(faults)
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(Fault),
    Many(Vec<Fault>),
}

async fn queue(State(faults): State<Faults>, Json(new): Json<OneOrMany>) -> Response {
    let mut new = match new {
        OneOrMany::One(fault) => vec![fault],
        OneOrMany::Many(faults) => faults,
    };
    if let Some(fault) = new.iter().find(|fault| Action::read(&fault.action).is_none()) {
        return (StatusCode::BAD_REQUEST, format!("unknown action {:?}\n", fault.action)).into_response();
    }
    new.retain(|fault| fault.times > 0);
    faults.with(|faults| faults.append(&mut new));
    StatusCode::NO_CONTENT.into_response()
}

async fn show(State(faults): State<Faults>) -> Json<Vec<Fault>> {
    Json(faults.with(|faults| faults.clone()))
}

async fn forget(State(faults): State<Faults>) -> StatusCode {
    faults.with(Vec::clear);
    faults.1.forget();
    faults.2.forget();
    StatusCode::NO_CONTENT
}

/// Lets the next fault happen to a request that it matches.
pub async fn apply(State(faults): State<Faults>, request: Request, next: Next) -> Response {
    let (method, uri) = (request.method().clone(), request.uri().clone());
    let answer = happen(&faults, request, next).await;
    faults.2.show(&method, &uri, answer).await
}

async fn happen(faults: &Faults, request: Request, next: Next) -> Response {
    let request = match faults.1.admit(request).await {
        Ok(request) => request,
        Err(refusal) => return refusal,
    };
    let era = faults.1.era();
    let Some(fault) = faults.take(request.method(), request.uri()) else { return next.run(request).await };
    let Some(action) = Action::read(&fault.action) else { return next.run(request).await };
    if let Action::Delay(time) = action {
        if fault.before {
            tokio::time::sleep(time).await;
            return next.run(request).await;
        }
        let response = next.run(request).await;
        tokio::time::sleep(time).await;
        return response;
    }
    if let Action::Lag(time) = action {
        return faults.1.hold_back(next.run(request).await, time, era).await;
    }
    if let Action::Unshown(time) = action {
        return faults.2.hide(next.run(request).await, time).await;
    }
    let executed = if fault.before && action != Action::Truncate { None } else { Some(next.run(request).await) };
    spoiled(action, fault.retry_after, executed).await
}

async fn spoiled(action: Action, retry_after: Option<u64>, executed: Option<Response>) -> Response {
    match action {
        Action::Status(status) => {
            let mut response = status.into_response();
            if let Some(seconds) = retry_after {
                response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
            }
            response
        }
        Action::Close => fated(Fate::Close),
        Action::Hang => fated(Fate::Hang),
        Action::Html => errors::web_page(),
        Action::NotInPartition => ApiError::not_in_partition().into_response(),
        Action::Truncate => truncated(executed.unwrap_or_default()).await,
        Action::Big(length) => {
            let body = Bytes::from(format!("[\"{}\"]", "a".repeat(length.saturating_sub(4))));
            ([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], body).into_response()
        }
        Action::Delay(_) | Action::Lag(_) | Action::Unshown(_) => executed.unwrap_or_default(),
    }
}

fn fated(fate: Fate) -> Response {
    let mut response = Response::default();
    response.extensions_mut().insert(fate);
    response
}

/// Announces the whole answer, sends half of it and breaks off.
async fn truncated(response: Response) -> Response {
    let (mut parts, body) = response.into_parts();
    let body = axum::body::to_bytes(body, usize::MAX).await.unwrap_or_default();
    let half = body.slice(..body.len() / 2);
    parts.headers.insert(header::CONTENT_LENGTH, HeaderValue::from(body.len().max(1)));
    // The pause between the half and the failure lets the half go out first.
    let chunks = stream::unfold(0, move |step| {
        let half = half.clone();
        async move {
            match step {
                0 => Some((Ok(half), 1)),
                1 => {
                    tokio::task::yield_now().await;
                    Some((Err(std::io::Error::from(std::io::ErrorKind::ConnectionReset)), 2))
                }
                _ => None,
            }
        }
    });
    Response::from_parts(parts, Body::from_stream(chunks))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_hits_its_requests_as_often_as_it_says() {
        let faults = Faults::default();
        let fault = r#"{"match": {"method": "POST", "path_contains": "Client"}, "times": 2, "action": "close"}"#;
        faults.with(|faults| faults.push(serde_json::from_str(fault).unwrap()));
        let (clients, token) = (Uri::from_static("/api/ExternalClient"), Uri::from_static("/connect/token"));
        assert!(faults.take(&Method::GET, &clients).is_none());
        assert!(faults.take(&Method::POST, &token).is_none());
        assert!(faults.take(&Method::POST, &clients).is_some_and(|fault| fault.before));
        assert!(faults.take(&Method::POST, &clients).is_some());
        assert!(faults.take(&Method::POST, &clients).is_none());
    }

    #[test]
    fn actions_are_read_with_their_values() {
        assert_eq!(Action::read("status:503"), Some(Action::Status(StatusCode::SERVICE_UNAVAILABLE)));
        assert_eq!(Action::read("delay:20"), Some(Action::Delay(Duration::from_millis(20))));
        assert_eq!(Action::read("lag:20"), Some(Action::Lag(Duration::from_millis(20))));
        assert_eq!(Action::read("big"), Some(Action::Big(BIG)));
        assert_eq!(Action::read("not-in-partition"), Some(Action::NotInPartition));
        for wrong in ["status", "status:x", "close:1", "lag", "explode", ""] {
            assert_eq!(Action::read(wrong), None, "{wrong}");
        }
    }
}
