//! The UiPath backend against servers that behave and servers that do not.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use extapp::clock::Clock;
use extapp::domain::registration::{ClientId, ClientSecret, ClientType, Desired, Grant, Owner, Scope, Settings};
use extapp::server::budget::{Budget, Limits};
use extapp::server::http::{RequestObserver, Timeouts, Transport};
use extapp::server::uipath::{Config, Deployment, Uipath};
use jiff::Timestamp;
use serde_json::{Value, json};
use url::Url;
use wiremock::matchers::{method, path, path_regex};
use wiremock::{Mock, MockServer, ResponseTemplate};

mod budget;
mod calls;
mod creates;
mod federation;
mod raw;
mod refusals;
mod stand_in;
mod tokens;

const OPERATOR: &str = "0perator-1111-4222-8333-1234567890ab";
const SECRET: &str = "Canary!S3cret+with punctuation";
const ORGANIZATION: &str = "7e0e2f9a-1111-4222-8333-1234567890ab";
const ID: &str = "5a0c0000-1111-4222-8333-1234567890ab";
const DISCOVERY: &str = "/identity_/.well-known/openid-configuration";
const TOKEN: &str = "/identity_/connect/token";

/// What the backend told its observer: operation and outcome.
#[derive(Default)]
struct Observed(Mutex<Vec<(&'static str, &'static str)>>);

impl RequestObserver for Observed {
    fn request(&self, operation: &'static str, outcome: &'static str, _: Duration) {
        self.0.lock().unwrap().push((operation, outcome));
    }
}

/// A clock that stands still unless it is moved.
#[derive(Clone, Default)]
struct Hand(Arc<AtomicI64>);

impl Hand {
    fn clock(&self) -> Clock {
        let seconds = Arc::clone(&self.0);
        Clock::from_fn(move || noon() + jiff::SignedDuration::from_secs(seconds.load(Ordering::SeqCst)))
    }

    fn forward(&self, seconds: i64) {
        self.0.fetch_add(seconds, Ordering::SeqCst);
    }
}

fn noon() -> Timestamp {
    "2026-11-24T12:00:00Z".parse().unwrap()
}

/// A cloud of one organization, `acme`, whose token endpoint works.
struct Cloud {
    server: MockServer,
    hand: Hand,
    observed: Arc<Observed>,
}

impl Cloud {
    async fn start() -> Self {
        let cloud = Self::without_tokens().await;
        cloud.on("POST", TOKEN, ResponseTemplate::new(200).set_body_json(token_body(3600))).await;
        cloud
    }

    async fn without_tokens() -> Self {
        let cloud = Self::without_metadata().await;
        let url = cloud.server.uri();
        let metadata = json!({"issuer": format!("{url}/identity_"), "token_endpoint": format!("{url}{TOKEN}"),
            "authorization_endpoint": format!("{url}/identity_/connect/authorize"),
            "jwks_uri": format!("{url}{DISCOVERY}/jwks")});
        cloud.on("GET", DISCOVERY, ResponseTemplate::new(200).set_body_json(metadata)).await;
        cloud
    }

    async fn without_metadata() -> Self {
        Self { server: MockServer::start().await, hand: Hand::default(), observed: Arc::default() }
    }

    async fn on(&self, verb: &str, at: &str, answer: ResponseTemplate) {
        Mock::given(method(verb)).and(path(at)).respond_with(answer).mount(&self.server).await;
    }

    /// Answers only the first request of its kind.
    async fn once(&self, verb: &str, at: &str, answer: ResponseTemplate) {
        Mock::given(method(verb)).and(path(at)).respond_with(answer).up_to_n_times(1).mount(&self.server).await;
    }

    /// Answers whatever is asked of the management API.
    async fn always(&self, answer: ResponseTemplate) {
        Mock::given(path_regex("/api/")).respond_with(answer).mount(&self.server).await;
    }

    fn config(&self) -> Config {
        config(self.server.uri().parse().unwrap(), &self.hand, Limits::unlimited(), Arc::clone(&self.observed) as _)
    }

    fn client(&self) -> Uipath {
        Uipath::new(self.config()).unwrap()
    }

    fn limited(&self, limits: Limits) -> Uipath {
        Uipath::new(Config { budget: Budget::new(limits, self.hand.clock()), ..self.config() }).unwrap()
    }

    /// How many requests came for this path.
    async fn count(&self, verb: &str, at: &str) -> usize {
        let all = self.server.received_requests().await.unwrap();
        all.iter().filter(|request| request.method.as_str() == verb && request.url.path() == at).count()
    }

    async fn bodies(&self, verb: &str, at: &str) -> Vec<Value> {
        let all = self.server.received_requests().await.unwrap();
        let matching = all.iter().filter(|request| request.method.as_str() == verb && request.url.path() == at);
        matching.map(|request| serde_json::from_slice(&request.body).unwrap_or(Value::Null)).collect()
    }
}

fn config(url: Url, hand: &Hand, limits: Limits, observer: Arc<dyn RequestObserver>) -> Config {
    Config {
        url,
        organization: "acme".into(),
        deployment: Deployment::AutomationCloud,
        client_id: ClientId::new(OPERATOR),
        client_secret: ClientSecret::new(SECRET),
        transport: Transport {
            ca_pem: None,
            insecure_hosts: Vec::new(),
            timeouts: Timeouts::default(),
            clock: hand.clock(),
            observer,
        },
        budget: Budget::new(limits, hand.clock()),
        orchestrator_budget: Budget::new(Limits::unlimited(), hand.clock()),
    }
}

fn token_body(expires_in: u32) -> Value {
    let claims = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(json!({"prt_id": ORGANIZATION}).to_string());
    json!({"access_token": format!("canary-header-that-is-long-enough.{claims}.canary-signature-that-is-long-enough"), "expires_in": expires_in, "token_type": "Bearer"})
}

fn api(rest: &str) -> String {
    format!("/acme/identity_/api/{rest}")
}

fn list_path() -> String {
    api(&format!("ExternalClient/{ORGANIZATION}"))
}

fn client_path() -> String {
    api(&format!("ExternalClient/{ORGANIZATION}/{ID}"))
}

fn empty_list() -> ResponseTemplate {
    ResponseTemplate::new(200).set_body_json(json!([]))
}

fn id() -> ClientId {
    ClientId::new(ID)
}

fn desired() -> Desired {
    Desired {
        display_name: "Invoice sync".into(),
        client_type: ClientType::Confidential,
        redirect_uris: BTreeSet::new(),
        scopes: BTreeSet::from([Scope { name: "OR.Queues".into(), grant: Grant::Application }]),
        settings: Settings::new(),
        secretless: false,
        owner: Owner::default(),
    }
}

fn client_body() -> Value {
    json!({"id": ID, "name": "Invoice sync", "isConfidential": true, "redirectUri": null, "secret": "n3w",
        "resources": [{"name": "UiPath.Orchestrator", "scopes": [{"name": "OR.Queues", "type": 1}]}],
        "secrets": [{"id": 42, "description": "first", "creationTime": "2026-11-24T12:00:00Z", "expiryTime": null}]})
}
