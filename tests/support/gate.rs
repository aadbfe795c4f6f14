//! A gate between the operator and everything that it writes to: it counts side effects over the API server and the
//! authorization server together, and stops the world at a chosen one.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderName, Method, StatusCode, header};
use axum::response::Response;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::{Notify, watch};

use super::error::{Context, Result};

/// What happens at the chosen effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// Everything stands still before the effect; the caller then kills the operator.
    Before,
    /// The effect happens, and everything stands still before its answer is given; the caller then kills the operator.
    After,
    /// The effect happens, and its answer breaks off in its body. Nothing else is disturbed.
    LoseAnswer,
    /// The effect happens, and the connection is cut before a word of its answer.
    Cut,
    /// The effect happens, and its answer is replaced by this status, as a gateway before the server does that lost
    /// patience.
    LateError(u16),
    /// The effect does not happen; this status is the answer.
    Refuse(u16),
    /// This request alone waits until [`Gate::release`], before its effect.
    HoldRequest,
    /// The effect happens, and this answer alone waits until [`Gate::release`].
    HoldAnswer,
}

/// A side effect by what it is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// A write of an application's finalizer or intent.
    Intent,
    /// The create of a registration.
    Register,
    AddSecret,
    RemoveSecret,
    /// A write of a Secret in the cluster.
    Publish,
    /// The create of the Secret that a rotation keeps its secrets in.
    Keep,
    /// The removal of a Secret in the cluster.
    Unpublish,
    /// A write of an application's status.
    Status,
    Other,
}

impl Effect {
    fn of(method: &Method, path: &str) -> Self {
        let path = path.split('?').next().unwrap_or_default();
        match method.as_str() {
            "PATCH" if path.contains("/externalapplications/") && path.ends_with("/status") => Self::Status,
            "PATCH" if path.contains("/externalapplications/") => Self::Intent,
            "PATCH" if path.contains("/api/v1/") && path.contains("/secrets/") => Self::Publish,
            "POST" if path.contains("/api/v1/") && path.ends_with("/secrets") => Self::Keep,
            "DELETE" if path.contains("/api/v1/") && path.contains("/secrets/") => Self::Unpublish,
            "POST" if path.ends_with("/api/ExternalClient") => Self::Register,
            "POST" if path.ends_with("/GenerateSecret") => Self::AddSecret,
            "DELETE" if path.contains("/api/ExternalClient/") && path.contains("/secrets/") => Self::RemoveSecret,
            _ => Self::Other,
        }
    }
}

/// What happens to the next effects of one kind.
struct Order {
    effect: Effect,
    left: usize,
    stop: Stop,
}

/// What happens to the next requests of one method whose path has one part, whether or not they have an effect.
struct Ambush {
    method: Method,
    part: String,
    left: usize,
    stop: Stop,
}

/// What is done to a JSON answer.
type Alteration = Box<dyn Fn(&mut Value) + Send + Sync>;

#[derive(Default)]
struct Shared {
    /// The answers to requests whose path has this part are altered.
    altered: Mutex<Option<(String, Alteration)>>,
    effects: AtomicUsize,
    seen: Mutex<Vec<Effect>>,
    armed: Mutex<Option<(usize, Stop)>>,
    orders: Mutex<Vec<Order>>,
    ambushes: Mutex<Vec<Ambush>>,
    frozen: AtomicBool,
    reached: Notify,
    /// How many stops have come about.
    stops: watch::Sender<usize>,
    /// How often what is held has been let go.
    releases: watch::Sender<usize>,
}

/// One count over several proxies.
#[derive(Clone, Default)]
pub struct Gate(Arc<Shared>);

#[derive(Clone)]
struct Proxy {
    gate: Gate,
    upstream: String,
    own: String,
    http: reqwest::Client,
}

impl Gate {
    /// Starts a proxy, and gives back its URL. What the upstream says of its own address is said of the proxy's.
    pub async fn in_front_of(&self, upstream: &str) -> Result<String> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let own = format!("http://{}", listener.local_addr()?);
        // The API server's certificate is its own; what is tested here is not TLS.
        let http = reqwest::Client::builder().danger_accept_invalid_certs(true).no_proxy().build()?;
        let proxy =
            Proxy { gate: self.clone(), upstream: upstream.trim_end_matches('/').into(), own: own.clone(), http };
        let router = Router::new().fallback(forward).with_state(proxy);
        tokio::spawn(async move { axum::serve(listener, router).await });
        Ok(own)
    }

    /// Begins to count anew; the k-th effect from now is the one.
    pub fn arm(&self, effect: usize, stop: Stop) {
        self.0.effects.store(0, Ordering::SeqCst);
        *locked(&self.0.armed) = Some((effect, stop));
    }

    pub fn count_anew(&self) {
        self.0.effects.store(0, Ordering::SeqCst);
        *locked(&self.0.armed) = None;
    }

    pub fn counted(&self) -> usize {
        self.0.effects.load(Ordering::SeqCst)
    }

    /// Waits until the chosen effect is reached.
    pub async fn reached(&self, limit: Duration) -> Result<()> {
        tokio::time::timeout(limit, self.0.reached.notified()).await.context("the chosen effect never came")
    }

    /// Does this to the next effects of one kind, and only to those.
    pub fn order(&self, effect: Effect, times: usize, stop: Stop) {
        locked(&self.0.orders).push(Order { effect, left: times, stop });
    }

    /// Does this to the next requests of this method whose path has this part, reads included.
    pub fn ambush(&self, method: &Method, part: &str, times: usize, stop: Stop) {
        locked(&self.0.ambushes).push(Ambush { method: method.clone(), part: part.into(), left: times, stop });
    }

    fn ambushed(&self, method: &Method, path: &str) -> Option<Stop> {
        let mut ambushes = locked(&self.0.ambushes);
        let hit = |ambush: &&mut Ambush| ambush.method == *method && path.contains(&ambush.part) && ambush.left > 0;
        let ambush = ambushes.iter_mut().find(hit)?;
        ambush.left -= 1;
        Some(ambush.stop)
    }

    /// Alters the JSON answers to requests whose path has this part, from now on and in place of any earlier alteration.
    pub fn alter(&self, path: &str, alteration: impl Fn(&mut Value) + Send + Sync + 'static) {
        *locked(&self.0.altered) = Some((path.to_owned(), Box::new(alteration)));
    }

    /// Lets every answer through as it is.
    pub fn leave_unaltered(&self) {
        *locked(&self.0.altered) = None;
    }

    fn is_altered(&self, path: &str) -> bool {
        locked(&self.0.altered).as_ref().is_some_and(|(part, _)| path.contains(part.as_str()))
    }

    fn altered(&self, text: &str) -> String {
        let Ok(mut answer) = serde_json::from_str(text) else { return text.to_owned() };
        if let Some((_, alteration)) = locked(&self.0.altered).as_ref() {
            alteration(&mut answer);
        }
        answer.to_string()
    }

    /// Forgets all orders.
    pub fn countermand(&self) {
        locked(&self.0.orders).clear();
        locked(&self.0.ambushes).clear();
    }

    /// Waits until so many stops have come about, of all since the start.
    pub async fn stopped(&self, count: usize, limit: Duration) -> Result<()> {
        let mut stops = self.0.stops.subscribe();
        let waited = tokio::time::timeout(limit, stops.wait_for(|stops| *stops >= count)).await;
        waited.context(format!("{} of {count} stops", *self.0.stops.borrow()))?.map(|_| ()).map_err(Into::into)
    }

    pub fn stops(&self) -> usize {
        *self.0.stops.borrow()
    }

    /// Lets go whatever is held.
    pub fn release(&self) {
        self.0.releases.send_modify(|releases| *releases += 1);
    }

    /// How many effects of one kind were let through, since the start.
    pub fn count_of(&self, effect: Effect) -> usize {
        locked(&self.0.seen).iter().filter(|seen| **seen == effect).count()
    }

    /// The last effects that were let through, in their order.
    pub fn latest(&self, count: usize) -> Vec<Effect> {
        let seen = locked(&self.0.seen);
        seen[seen.len().saturating_sub(count)..].to_vec()
    }

    /// Lets everything move again.
    pub fn thaw(&self) {
        *locked(&self.0.armed) = None;
        self.0.frozen.store(false, Ordering::SeqCst);
    }

    /// What to do with this request.
    fn decide(&self, method: &Method, path: &str) -> Option<Stop> {
        if let Some(stop) = self.ambushed(method, path) {
            return Some(stop);
        }
        if !is_effect(method, path) {
            return None;
        }
        let number = self.0.effects.fetch_add(1, Ordering::SeqCst) + 1;
        let kind = Effect::of(method, path);
        let armed = *locked(&self.0.armed);
        let stop = armed.filter(|(effect, _)| *effect == number).map(|(_, stop)| stop).or_else(|| {
            let mut orders = locked(&self.0.orders);
            let order = orders.iter_mut().find(|order| order.effect == kind && order.left > 0)?;
            order.left -= 1;
            Some(order.stop)
        });
        if !matches!(stop, Some(Stop::Before | Stop::Refuse(_))) {
            locked(&self.0.seen).push(kind);
        }
        stop
    }

    /// Tells that a stop has come about.
    fn tell(&self) {
        self.0.stops.send_modify(|stops| *stops += 1);
        self.0.reached.notify_one();
    }

    async fn hold(&self) {
        let mut releases = self.0.releases.subscribe();
        self.tell();
        // The sender lives as long as the gate.
        let _ = releases.changed().await;
    }

    fn freeze(&self) {
        self.0.frozen.store(true, Ordering::SeqCst);
        self.tell();
    }

    fn is_frozen(&self) -> bool {
        self.0.frozen.load(Ordering::SeqCst)
    }
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A write that concerns an application or its roles: what is written about servers and events comes when it comes.
fn is_effect(method: &Method, path: &str) -> bool {
    let concerns = [
        "/externalapplications/",
        "/roleassignments/",
        "/secrets/",
        "/secrets?",
        "/configmaps/",
        "/api/ExternalClient",
        "/orchestrator_/",
    ];
    // What is only asked for on trial has none.
    *method != Method::GET && !path.contains("dryRun=All") && concerns.iter().any(|part| path.contains(part))
}

async fn forward(State(proxy): State<Proxy>, request: Request) -> Response {
    if proxy.gate.is_frozen() {
        std::future::pending::<()>().await;
    }
    let (parts, body) = request.into_parts();
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
    let stop = proxy.gate.decide(&parts.method, &path);
    if stop == Some(Stop::Before) {
        proxy.gate.freeze();
        std::future::pending::<()>().await;
    }
    if let Some(Stop::Refuse(status)) = stop {
        proxy.gate.tell();
        return instead(status);
    }
    if stop == Some(Stop::HoldRequest) {
        proxy.gate.hold().await;
    }
    let Ok(body) = axum::body::to_bytes(body, 16 << 20).await else { return refused() };
    let mut sent = proxy.http.request(parts.method.clone(), format!("{}{path}", proxy.upstream)).body(body);
    for (name, value) in &parts.headers {
        if ![header::HOST, header::CONTENT_LENGTH, header::CONNECTION].contains(name) {
            sent = sent.header(name, value);
        }
    }
    let answer = sent.send().await;
    match stop {
        Some(Stop::After) => {
            proxy.gate.freeze();
            std::future::pending::<()>().await;
        }
        // A body that breaks off is a connection that is cut.
        Some(Stop::LoseAnswer) => {
            proxy.gate.tell();
            let broken = futures::stream::once(async { Err::<Bytes, _>(std::io::Error::other("cut")) });
            return Response::builder()
                .header(header::CONTENT_LENGTH, 100)
                .body(Body::from_stream(broken))
                .unwrap_or_else(|_| refused());
        }
        Some(Stop::Cut) => {
            proxy.gate.tell();
            // Ends the task of this connection without a message: what is left is a closed socket.
            std::panic::resume_unwind(Box::new("cut"));
        }
        Some(Stop::LateError(status)) => {
            proxy.gate.tell();
            return instead(status);
        }
        Some(Stop::HoldAnswer) => proxy.gate.hold().await,
        _ => {}
    }
    match answer {
        Ok(answer) => relay(&proxy, answer, &path).await,
        Err(_) => refused(),
    }
}

fn refused() -> Response {
    instead(502)
}

fn instead(status: u16) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY);
    response
}

/// Where a server says its own address: in its metadata, and where it tells of a registration where that is managed.
const SELF_DESCRIPTIONS: [&str; 4] = ["/.well-known/", "/reg/", "/oauth2/register", "/clients-registrations/"];

/// Headers that belong to one connection.
const HOP: [HeaderName; 3] = [header::CONTENT_LENGTH, header::TRANSFER_ENCODING, header::CONNECTION];

async fn relay(proxy: &Proxy, answer: reqwest::Response, path: &str) -> Response {
    let mut response = Response::builder().status(answer.status());
    for (name, value) in answer.headers().iter().filter(|(name, _)| !HOP.contains(name)) {
        response = response.header(name, value);
    }
    let body = if SELF_DESCRIPTIONS.iter().any(|part| path.contains(part)) || path == "/reg" {
        let text = answer.text().await.unwrap_or_default();
        let text = text.replace(&proxy.upstream, &proxy.own);
        Body::from(if proxy.gate.is_altered(path) { proxy.gate.altered(&text) } else { text })
    } else if proxy.gate.is_altered(path) {
        Body::from(proxy.gate.altered(&answer.text().await.unwrap_or_default()))
    } else {
        // Watches stream for as long as they live.
        Body::from_stream(answer.bytes_stream())
    };
    response.body(body).unwrap_or_else(|_| refused())
}
