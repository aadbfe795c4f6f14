//! Requests in the operator's own name: with a token, within the budget, and once more after a 401.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use reqwest::header::HeaderValue;
use serde::Serialize;
use url::Url;

use super::answer::Reader;
use super::discovery::{Document, Metadata};
use super::operation::{DISCOVERY, Operation, Service, TOKEN};
use super::paths::Paths;
use super::readings;
use super::token::{self, NoToken, Token};
use crate::clock::Clock;
use crate::domain::registration::{ClientId, ClientSecret};
use crate::server::budget::{Budget, Budgeted};
use crate::server::http::{Answer, Body, Http, Request};
use crate::server::single_flight::SingleFlight;
use crate::server::{Lane, ServerError, ServerText};

/// A client of one organization.
pub(super) struct Session {
    pub(super) http: Http,
    pub(super) server: Url,
    pub(super) paths: Paths,
    pub(super) organization: String,
    pub(super) client_id: ClientId,
    pub(super) client_secret: ClientSecret,
    pub(super) clock: Clock,
    pub(super) metadata: SingleFlight<Metadata>,
    pub(super) identity: Access,
    pub(super) orchestrator: Access,
    /// Until when tokens and metadata are not asked for, because the server limits requests.
    pub(super) closed_until: Mutex<Option<Timestamp>>,
}

/// What one service is spoken to with.
pub(super) struct Access {
    /// The scopes to ask for, one request after the other until one is granted.
    scopes: &'static [&'static str],
    /// What to give the operator's application where none is.
    needed: &'static str,
    budget: Arc<Budget>,
    tokens: SingleFlight<Token>,
    /// Which of the scopes was granted last.
    granted: AtomicUsize,
}

impl Access {
    pub(super) fn new(scopes: &'static [&'static str], needed: &'static str, budget: Arc<Budget>) -> Self {
        Self { scopes, needed, budget, tokens: SingleFlight::default(), granted: AtomicUsize::new(0) }
    }
}

/// How long that is where the server does not say, and at the least.
const CLOSED: Duration = Duration::from_secs(5);
const CLOSED_AT_LEAST: Duration = Duration::from_secs(1);

/// The organization's GUID, for the requests that name it.
pub(super) type Organization<'a> = Result<&'a str, ServerError>;

/// Where to send a request, and what.
pub(super) struct Call {
    url: Url,
    body: Option<Body>,
    tenant: Option<HeaderValue>,
}

impl Call {
    pub(super) fn to(url: Url) -> Self {
        Self { url, body: None, tenant: None }
    }

    pub(super) fn with(url: Url, body: &impl Serialize) -> Result<Self, ServerError> {
        let unwritable = |_| ServerError::Unreachable { what: "the request cannot be written" };
        let bytes = Bytes::from(serde_json::to_vec(body).map_err(unwritable)?);
        Ok(Self { url, body: Some(Body { content_type: "application/json", bytes }), tenant: None })
    }

    /// Names the tenant beside the address, where that does not.
    pub(super) fn within(self, tenant: Option<HeaderValue>) -> Self {
        Self { tenant, ..self }
    }
}

impl Session {
    fn access(&self, service: Service) -> &Access {
        match service {
            Service::Identity => &self.identity,
            Service::Orchestrator => &self.orchestrator,
        }
    }

    /// Sends a request to one of the services and reads the answer. `prepare` is given the organization.
    ///
    /// A 401 was not executed: the token is replaced and the request sent once more. Of a request that creates,
    /// what fails before it is sent is definite, and what fails after is either a clear refusal or `Ambiguous`.
    pub(super) async fn call<T>(
        &self,
        operation: Operation,
        lane: Lane,
        prepare: impl Fn(Organization<'_>) -> Result<Call, ServerError>,
        read: impl Fn(&Reader<'_>, &Answer) -> Result<T, ServerError>,
    ) -> Result<T, ServerError> {
        let tokens = &self.access(operation.service).tokens;
        let (mut answer, mut token) = self.attempt(operation, lane, &prepare).await?;
        if answer.status == 401 {
            tokens.discard(&token).await;
            (answer, token) = self.attempt(operation, lane, &prepare).await?;
        }
        if answer.status == 403 {
            // A token lacks what was granted after it was issued: whoever comes next gets a new one.
            tokens.discard(&token).await;
        }
        let secrets = [self.client_secret.expose(), token.expose()];
        let result = read(&Reader { operation, secrets: &secrets }, &answer);
        if operation.creates { result.map_err(ServerError::of_a_create) } else { result }
    }

    async fn attempt(
        &self,
        operation: Operation,
        lane: Lane,
        prepare: impl Fn(Organization<'_>) -> Result<Call, ServerError>,
    ) -> Result<(Answer, Arc<Token>), ServerError> {
        let token = self.token_for(operation.service).await;
        let token = if operation.creates { token.map_err(ServerError::before_a_create) } else { token }?;
        let call = prepare(self.organization(&token))?;
        let mut request = request(operation, call);
        request.authorization = Some(token.bearer());
        let request = self.access(operation.service).budget.admit(request, lane)?;
        let answer = self.http.send(request).await;
        let answer = if operation.creates { answer.map_err(ServerError::of_a_create) } else { answer }?;
        Ok((answer, token))
    }

    /// The organization's GUID, as the token or the configuration names it.
    pub(super) fn organization<'a>(&'a self, token: &'a Token) -> Organization<'a> {
        readings::organization(token.organization.as_deref(), &self.organization).ok_or_else(|| ServerError::Rejected {
            text: ServerText::ours(
                "its tokens do not name the organization: set organization to the organization's GUID",
            ),
        })
    }

    /// The token for external applications: it also tells which organization this is.
    pub(super) async fn token(&self) -> Result<Arc<Token>, ServerError> {
        self.token_for(Service::Identity).await
    }

    async fn token_for(&self, service: Service) -> Result<Arc<Token>, ServerError> {
        let access = self.access(service);
        access.tokens.get(|token| token.is_usable(self.clock.now()), || self.fetch_token(access)).await
    }

    async fn fetch_token(&self, access: &Access) -> Result<Token, ServerError> {
        let metadata = self.metadata.get(|_| true, || self.fetch_metadata()).await?;
        let choices = access.scopes.len();
        let first = access.granted.load(Ordering::Relaxed);
        for choice in (first..first + choices).map(|choice| choice % choices) {
            let scope = access.scopes[choice];
            match self.ask_for_token(&metadata.token_endpoint, scope).await {
                Ok(token) => {
                    access.granted.store(choice, Ordering::Relaxed);
                    return Ok(token);
                }
                Err(NoToken::Scope) => {}
                Err(NoToken::Because(error)) => return Err(error),
            }
        }
        Err(ServerError::Forbidden { needed: access.needed })
    }

    async fn ask_for_token(&self, endpoint: &Url, scope: &str) -> Result<Token, NoToken> {
        let body = token::request_body(&self.client_id, &self.client_secret, Some(scope));
        let call = Call { url: endpoint.clone(), body: Some(body), tenant: None };
        let asked = self.clock.now();
        let answer = self.send_exempt(request(TOKEN, call)).await.map_err(NoToken::Because)?;
        token::read(&Reader { operation: TOKEN, secrets: &[self.client_secret.expose()] }, &answer, asked)
    }

    /// Sends what no budget counts. A 429 is obeyed all the same: every application needs a token, and each would ask.
    async fn send_exempt(&self, request: Request) -> Result<Answer, ServerError> {
        let closed_until = || self.closed_until.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.clock.now();
        let left = closed_until().and_then(|until| Duration::try_from(until.duration_since(now)).ok());
        if let Some(left) = left.filter(|left| !left.is_zero()) {
            return Err(ServerError::RateLimited { retry_after: Some(left) });
        }
        let answer = self.http.send(Budgeted::exempt(request)).await?;
        if answer.status == 429 {
            let closed = answer.retry_after.unwrap_or(CLOSED).max(CLOSED_AT_LEAST);
            *closed_until() = self.clock.now().checked_add(closed).ok();
        }
        Ok(answer)
    }

    pub(super) async fn fetch_metadata(&self) -> Result<Metadata, ServerError> {
        let request = request(DISCOVERY, Call::to(self.paths.discovery()));
        let answer = self.send_exempt(request).await?;
        let document: Document = Reader { operation: DISCOVERY, secrets: &[] }.json(&answer)?;
        document.checked(&self.server)
    }
}

fn request(operation: Operation, call: Call) -> Request {
    Request {
        operation: operation.name,
        template: operation.template,
        class: operation.class,
        url: call.url,
        authorization: None,
        tenant: call.tenant,
        body: call.body,
        repeatable: !operation.creates,
        limit: operation.limit,
    }
}
