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
use tokio::net::TcpListener;
use tokio::sync::Notify;

use super::error::{Context, Result};

/// What happens at the chosen effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// Everything stands still before the effect; the caller then kills the operator.
    Before,
    /// The effect happens, and everything stands still before its answer is given; the caller then kills the operator.
    After,
    /// The effect happens, and its answer is lost. Nothing else is disturbed.
    LoseAnswer,
}

#[derive(Default)]
struct Shared {
    effects: AtomicUsize,
    armed: Mutex<Option<(usize, Stop)>>,
    frozen: AtomicBool,
    reached: Notify,
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
        *self.0.armed.lock().unwrap_or_else(PoisonError::into_inner) = Some((effect, stop));
    }

    pub fn count_anew(&self) {
        self.0.effects.store(0, Ordering::SeqCst);
        *self.0.armed.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    pub fn counted(&self) -> usize {
        self.0.effects.load(Ordering::SeqCst)
    }

    /// Waits until the chosen effect is reached.
    pub async fn reached(&self, limit: Duration) -> Result<()> {
        tokio::time::timeout(limit, self.0.reached.notified()).await.context("the chosen effect never came")
    }

    /// Lets everything move again.
    pub fn thaw(&self) {
        *self.0.armed.lock().unwrap_or_else(PoisonError::into_inner) = None;
        self.0.frozen.store(false, Ordering::SeqCst);
    }

    /// What to do with this request.
    fn decide(&self, method: &Method, path: &str) -> Option<Stop> {
        if !is_effect(method, path) {
            return None;
        }
        let number = self.0.effects.fetch_add(1, Ordering::SeqCst) + 1;
        let armed = *self.0.armed.lock().unwrap_or_else(PoisonError::into_inner);
        armed.filter(|(effect, _)| *effect == number).map(|(_, stop)| stop)
    }

    fn freeze(&self) {
        self.0.frozen.store(true, Ordering::SeqCst);
        self.0.reached.notify_one();
    }

    fn is_frozen(&self) -> bool {
        self.0.frozen.load(Ordering::SeqCst)
    }
}

/// A write that concerns an application: what is written about servers and events comes when it comes.
fn is_effect(method: &Method, path: &str) -> bool {
    let concerns = ["/externalapplications/", "/secrets/", "/configmaps/", "/api/ExternalClient"];
    *method != Method::GET && concerns.iter().any(|part| path.contains(part))
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
            proxy.gate.0.reached.notify_one();
            let broken = futures::stream::once(async { Err::<Bytes, _>(std::io::Error::other("cut")) });
            return Response::builder()
                .header(header::CONTENT_LENGTH, 100)
                .body(Body::from_stream(broken))
                .unwrap_or_else(|_| refused());
        }
        _ => {}
    }
    match answer {
        Ok(answer) => relay(&proxy, answer, &path).await,
        Err(_) => refused(),
    }
}

fn refused() -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::BAD_GATEWAY;
    response
}

/// Headers that belong to one connection.
const HOP: [HeaderName; 3] = [header::CONTENT_LENGTH, header::TRANSFER_ENCODING, header::CONNECTION];

async fn relay(proxy: &Proxy, answer: reqwest::Response, path: &str) -> Response {
    let mut response = Response::builder().status(answer.status());
    for (name, value) in answer.headers().iter().filter(|(name, _)| !HOP.contains(name)) {
        response = response.header(name, value);
    }
    let body = if path.contains("/.well-known/") {
        let text = answer.text().await.unwrap_or_default();
        Body::from(text.replace(&proxy.upstream, &proxy.own))
    } else {
        // Watches stream for as long as they live.
        Body::from_stream(answer.bytes_stream())
    };
    response.body(body).unwrap_or_else(|_| refused())
}
