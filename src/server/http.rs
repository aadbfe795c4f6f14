//! The wire: one connection pool per server, and requests that cannot be sent before they are counted.
//!
//! Nothing is followed (redirects), nothing is buffered beyond a limit, and nothing is repeated but a request that may
//! be made twice, once, when its connection broke before an answer.

use std::error::Error as _;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use reqwest::{Method, redirect};
use url::Url;

use super::ServerError;
use super::budget::{Budgeted, Class, Counted};
use crate::clock::Clock;
use crate::domain::reason::Reason;

mod retry_after;
mod url_permitted;

pub use url_permitted::{UrlRefused, url_permitted};

/// The most that an answer may hold unless a request says otherwise.
pub const BODY_LIMIT: usize = 1 << 20;

/// How long an unused connection is kept: less than common servers and balancers keep one, so that a create does
/// not meet a connection that is being closed, which would leave its outcome unknown.
const IDLE: Duration = Duration::from_secs(30);

/// Told of every request on the wire: for a counter by operation and outcome. Must not block.
pub trait RequestObserver: Send + Sync {
    /// `operation`: a closed set of lower-case words, such as `list`. `outcome`: `Ok` or a word of
    /// [`crate::domain::reason::Reason`]. The duration is that of the whole exchange, the body included.
    fn request(&self, operation: &'static str, outcome: &'static str, duration: Duration);
}

/// Nobody counts.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unobserved;

impl RequestObserver for Unobserved {
    fn request(&self, _: &'static str, _: &'static str, _: Duration) {}
}

/// How long to wait for a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// For a connection, TLS included.
    pub connect: Duration,
    /// For a whole exchange, from the connection to the last byte of the body.
    pub total: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self { connect: Duration::from_secs(3), total: Duration::from_secs(10) }
    }
}

/// How servers are reached: the same for every kind.
pub struct Transport {
    /// Certificates that are trusted beside the platform's own.
    pub ca_pem: Option<Vec<u8>>,
    /// Hosts that may be spoken to without TLS: from the operator's own flag, never from an object.
    pub insecure_hosts: Vec<String>,
    pub timeouts: Timeouts,
    pub clock: Clock,
    pub observer: Arc<dyn RequestObserver>,
}

impl Transport {
    /// Whether credentials may go to this address.
    pub fn permits(&self, url: &Url) -> Result<(), UrlRefused> {
        url_permitted(url, &self.insecure_hosts)
    }

    /// A client for the server at this address, with a connection pool of its own.
    pub fn http(&self, server: &Url) -> Result<Http, ClientError> {
        let (observer, clock) = (Arc::clone(&self.observer), self.clock.clone());
        Http::new(server, self.ca_pem.as_deref(), self.timeouts, observer, clock)
    }
}

/// Why no client can be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClientError {
    #[error("the certificate authority is not PEM: give certificates that begin with -----BEGIN CERTIFICATE-----")]
    NotPem,
    #[error("the certificate authority holds no certificate")]
    NoCertificate,
    #[error("TLS cannot be set up: check the certificate authority and the platform's root certificates")]
    Tls,
}

/// What to send. It cannot be sent itself, only once it is [`Budgeted`].
pub struct Request {
    /// For metrics: a closed set.
    pub operation: &'static str,
    /// For traces: the path without names and ids.
    pub template: &'static str,
    pub class: Class,
    pub url: Url,
    /// The header of this name.
    pub authorization: Option<HeaderValue>,
    /// The tenant, where the address does not name it.
    pub tenant: Option<HeaderValue>,
    pub body: Option<Body>,
    /// Whether doing it twice is the same as doing it once.
    pub repeatable: bool,
    /// The most that the answer may hold, in bytes.
    pub limit: usize,
}

impl Counted for Request {
    fn class(&self) -> Class {
        self.class
    }
}

/// A body, encoded.
pub struct Body {
    pub content_type: &'static str,
    pub bytes: Bytes,
}

/// A whole answer, whatever its status.
pub struct Answer {
    pub status: u16,
    pub content_type: Option<String>,
    pub body: Bytes,
    /// Of a 429: how long the class is closed.
    pub retry_after: Option<Duration>,
    /// The header `Link` (RFC 8288), as it came: where the next page of a list is.
    pub link: Option<String>,
}

/// A client for one server.
pub struct Http {
    client: reqwest::Client,
    observer: Arc<dyn RequestObserver>,
    clock: Clock,
}

impl Http {
    /// `ca_pem`: certificates that are trusted beside the platform's own. Proxies are taken from the environment
    /// (`HTTPS_PROXY`, `NO_PROXY`), never for a server on this machine.
    pub fn new(
        server: &Url,
        ca_pem: Option<&[u8]>,
        timeouts: Timeouts,
        observer: Arc<dyn RequestObserver>,
        clock: Clock,
    ) -> Result<Self, ClientError> {
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("extapp/", env!("CARGO_PKG_VERSION")))
            .redirect(redirect::Policy::none())
            .retry(reqwest::retry::never())
            .pool_idle_timeout(IDLE)
            .connect_timeout(timeouts.connect)
            .timeout(timeouts.total);
        if url_permitted::is_loopback(server) {
            builder = builder.no_proxy();
        }
        if let Some(pem) = ca_pem {
            let authorities = reqwest::Certificate::from_pem_bundle(pem).map_err(|_| ClientError::NotPem)?;
            if authorities.is_empty() {
                return Err(ClientError::NoCertificate);
            }
            builder = builder.tls_certs_merge(authorities);
        }
        let client = builder.build().map_err(|_| ClientError::Tls)?;
        Ok(Self { client, observer, clock })
    }

    /// Sends the request, and once more if the connection broke before an answer and a repetition does no harm.
    ///
    /// `ServerError::Unreachable` if it was never sent; `Timeout` if no whole answer came; `Unintelligible` if the
    /// answer is larger than the request allows. Any status is an answer.
    pub async fn send(&self, request: Budgeted<Request>) -> Result<Answer, ServerError> {
        let answer = match self.attempt(&request).await {
            Err(Failure::Broken) if request.request().repeatable && request.again() => self.attempt(&request).await,
            first => first,
        };
        let mut answer = answer.map_err(ServerError::from)?;
        if answer.status == 429 {
            answer.retry_after = request.refused(answer.retry_after);
        } else {
            request.taken();
        }
        Ok(answer)
    }

    async fn attempt(&self, budgeted: &Budgeted<Request>) -> Result<Answer, Failure> {
        let request = budgeted.request();
        let started = Instant::now();
        let result = self.exchange(request).await;
        let outcome = match &result {
            Ok(answer) => outcome(answer.status),
            Err(failure) => ServerError::from(*failure).reason().as_str(),
        };
        let duration = started.elapsed();
        self.observer.request(request.operation, outcome, duration);
        tracing::debug!(
            method = request.class.as_str(),
            path = request.template,
            outcome,
            ?duration,
            "request to the authorization server"
        );
        result
    }

    async fn exchange(&self, request: &Request) -> Result<Answer, Failure> {
        let mut builder =
            self.client.request(method(request.class), request.url.clone()).header(ACCEPT, "application/json");
        if let Some(authorization) = &request.authorization {
            builder = builder.header(reqwest::header::AUTHORIZATION, authorization.clone());
        }
        if let Some(tenant) = &request.tenant {
            builder = builder.header("x-uipath-tenantname", tenant.clone());
        }
        if let Some(body) = &request.body {
            builder = builder.header(CONTENT_TYPE, body.content_type).body(body.bytes.clone());
        }
        let response = builder.send().await.map_err(|error| unsent(&error))?;
        let text = |name| response.headers().get(name).and_then(|value| value.to_str().ok());
        let content_type = text(CONTENT_TYPE).map(str::to_ascii_lowercase);
        let retry_after = text(RETRY_AFTER).and_then(|value| retry_after::parse(value, self.clock.now()));
        let link = text(reqwest::header::LINK).map(str::to_owned);
        let status = response.status().as_u16();
        let body = match bounded(response, request.limit).await {
            // A refusal is a fact whether or not its reasons came through.
            Err(_) if status >= 400 => Bytes::new(),
            body => body?,
        };
        Ok(Answer { status, content_type, body, retry_after, link })
    }
}

/// Why there is no whole answer.
#[derive(Clone, Copy, Debug)]
enum Failure {
    Unsent(&'static str),
    Timeout,
    /// The connection broke after the request may have been sent, before the status came.
    Broken,
    /// The status came, the rest did not.
    Cut,
    TooLarge,
}

impl From<Failure> for ServerError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Unsent(what) => Self::Unreachable { what },
            Failure::Timeout | Failure::Broken | Failure::Cut => Self::Timeout,
            Failure::TooLarge => Self::Unintelligible { what: "too large" },
        }
    }
}

fn unsent(error: &reqwest::Error) -> Failure {
    if error.is_builder() {
        Failure::Unsent("the request cannot be written")
    } else if error.is_connect() {
        Failure::Unsent(why_no_connection(error))
    } else if error.is_timeout() {
        Failure::Timeout
    } else {
        Failure::Broken
    }
}

/// One of a few words, never the error's own text: it may name addresses behind a proxy.
fn why_no_connection(error: &reqwest::Error) -> &'static str {
    if error.is_timeout() {
        return "no connection in time";
    }
    let mut source = error.source();
    while let Some(cause) = source {
        if cause.downcast_ref::<io::Error>().is_some_and(|io| io.kind() == io::ErrorKind::ConnectionRefused) {
            return "connection refused";
        }
        // The types behind these two are private to the HTTP client; only their texts tell.
        let text = cause.to_string();
        if text.contains("certificate") {
            return "its TLS certificate is not trusted: check caRef";
        }
        if text.starts_with("dns error") {
            return "its host name cannot be resolved";
        }
        source = cause.source();
    }
    "no connection"
}

/// Reads a body as it comes and stops at the limit: what a server sends beyond is never in memory.
async fn bounded(mut response: reqwest::Response, limit: usize) -> Result<Bytes, Failure> {
    let announced = response.content_length().unwrap_or(0);
    if announced > limit as u64 {
        return Err(Failure::TooLarge);
    }
    let mut body = BytesMut::new();
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) if body.len() + chunk.len() > limit => return Err(Failure::TooLarge),
            Ok(Some(chunk)) => body.extend_from_slice(&chunk),
            Ok(None) => return Ok(body.freeze()),
            Err(error) if error.is_timeout() => return Err(Failure::Timeout),
            Err(_) => return Err(Failure::Cut),
        }
    }
}

fn method(class: Class) -> Method {
    match class {
        Class::Get => Method::GET,
        Class::Post => Method::POST,
        Class::Put => Method::PUT,
        Class::Patch => Method::PATCH,
        Class::Delete => Method::DELETE,
    }
}

fn outcome(status: u16) -> &'static str {
    let reason = match status {
        200..=299 => return "Ok",
        401 => Reason::CredentialsRefused,
        403 => Reason::PermissionDenied,
        404 => Reason::RegistrationMissing,
        409 => Reason::ServerConflict,
        429 => Reason::RateLimited,
        400..=499 => Reason::RejectedByServer,
        500.. => Reason::ServerFailed,
        _ => Reason::UnexpectedAnswer,
    };
    reason.as_str()
}
