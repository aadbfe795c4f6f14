//! Requests to an API that speaks JSON: counted, sent once, and read as a value or a typed error.
//!
//! What is common to the servers that teams run themselves. UiPath has two services and shapes of its own.

use std::sync::Arc;

use bytes::Bytes;
use reqwest::header::HeaderValue;
use serde::Serialize;
use serde::de::DeserializeOwned;
use url::Url;

use super::budget::{Budget, Budgeted, Class};
use super::http::{Answer, BODY_LIMIT, Body, Http, Request};
use super::words::{is_html, message};
use super::{Lane, ServerError, ServerText};

/// One kind of request: what is the same about it, whoever asks.
#[derive(Clone, Copy, Debug)]
pub struct Operation {
    /// For metrics: a closed set of lower-case words.
    pub name: &'static str,
    /// For traces: the path without names and ids.
    pub template: &'static str,
    pub class: Class,
    /// What a 403 says to give the operator's credentials, for example `the role manage-clients`.
    pub needed: &'static str,
    /// Whether a 404 is about a thing that the request names. Otherwise it is about the address.
    pub names_thing: bool,
    /// Whether doing it twice makes two: then it is sent once, and an answer that is lost leaves the outcome unknown.
    pub creates: bool,
    /// The most that the answer may hold, in bytes.
    pub limit: usize,
}

impl Operation {
    /// A request that only reads, about a thing that it names.
    pub const fn read(name: &'static str, template: &'static str, needed: &'static str) -> Self {
        Self { name, template, class: Class::Get, needed, names_thing: true, creates: false, limit: BODY_LIMIT }
    }

    /// A request that sets a state, so that doing it twice is the same as doing it once.
    pub const fn write(name: &'static str, class: Class, template: &'static str, needed: &'static str) -> Self {
        Self { name, template, class, needed, names_thing: true, creates: false, limit: BODY_LIMIT }
    }

    /// A request that makes something new each time.
    pub const fn create(name: &'static str, template: &'static str, needed: &'static str) -> Self {
        Self { name, template, class: Class::Post, needed, names_thing: false, creates: true, limit: BODY_LIMIT }
    }
}

/// Where to send a request, and what.
pub struct Call {
    pub url: Url,
    pub bearer: Option<HeaderValue>,
    pub body: Option<Body>,
}

impl Call {
    pub fn to(url: Url) -> Self {
        Self { url, bearer: None, body: None }
    }

    /// With a body in JSON.
    pub fn json(url: Url, body: &impl Serialize) -> Result<Self, ServerError> {
        let unwritable = |_| ServerError::Unreachable { what: "the request cannot be written" };
        let bytes = Bytes::from(serde_json::to_vec(body).map_err(unwritable)?);
        Ok(Self { url, bearer: None, body: Some(Body { content_type: "application/json", bytes }) })
    }

    #[must_use]
    pub fn bearing(self, bearer: Option<HeaderValue>) -> Self {
        Self { bearer, ..self }
    }
}

/// A bearer token as a header that is never shown. `None` where it cannot stand in a header.
pub fn bearer(token: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(&format!("Bearer {token}")).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// A client of one API.
pub struct JsonApi {
    pub http: Http,
    pub budget: Arc<Budget>,
}

impl JsonApi {
    /// Sends a request and gives back whatever is answered. Of a request that creates, a lost answer is `Ambiguous`.
    pub async fn exchange(&self, operation: Operation, lane: Lane, call: Call) -> Result<Answer, ServerError> {
        let request = self.budget.admit(request(operation, call), lane)?;
        let answer = self.http.send(request).await;
        if operation.creates { answer.map_err(ServerError::of_a_create) } else { answer }
    }

    /// The same, never repeated: for what changes how the next request must be made.
    pub async fn exchange_once(&self, operation: Operation, lane: Lane, call: Call) -> Result<Answer, ServerError> {
        let request = Request { repeatable: false, ..request(operation, call) };
        self.http.send(self.budget.admit(request, lane)?).await
    }

    /// The same for what no budget counts: tokens and metadata.
    pub async fn exchange_exempt(&self, operation: Operation, call: Call) -> Result<Answer, ServerError> {
        self.http.send(Budgeted::exempt(request(operation, call))).await
    }

    /// Sends a request and gives back a success, or why it is none. `secrets`: what was sent in confidence and must not
    /// come back in an error.
    pub async fn call(
        &self,
        operation: Operation,
        lane: Lane,
        call: Call,
        secrets: &[&str],
    ) -> Result<Answer, ServerError> {
        let answer = self.exchange(operation, lane, call).await?;
        operation.check(&answer, secrets).map(|()| answer)
    }
}

fn request(operation: Operation, call: Call) -> Request {
    Request {
        operation: operation.name,
        template: operation.template,
        class: operation.class,
        url: call.url,
        authorization: call.bearer,
        tenant: None,
        body: call.body,
        repeatable: !operation.creates,
        limit: operation.limit,
    }
}

impl Operation {
    /// What an answer means. Of a request that creates, whatever is not a clear refusal is `Ambiguous`.
    pub fn check(self, answer: &Answer, secrets: &[&str]) -> Result<(), ServerError> {
        let result = match answer.status {
            200..=299 if is_html(answer) => Err(ServerError::Unintelligible { what: "HTML" }),
            200..=299 => Ok(()),
            300..=399 => Err(ServerError::Unintelligible { what: "a redirect" }),
            400..=499 => Err(self.refusal(answer, secrets)),
            500..=599 => Err(ServerError::Failed { status: answer.status }),
            _ => Err(ServerError::Unintelligible { what: "an unknown HTTP status" }),
        };
        if self.creates { result.map_err(ServerError::of_a_create) } else { result }
    }

    fn refusal(self, answer: &Answer, secrets: &[&str]) -> ServerError {
        match answer.status {
            401 => ServerError::Unauthorized,
            429 => ServerError::RateLimited { retry_after: answer.retry_after },
            _ if is_html(answer) => self.not_this_api("HTML"),
            403 => ServerError::Forbidden { needed: self.needed },
            // Something in between may answer 404 too, and what is taken for gone is forgotten: the APIs say so in the
            // manner of RFC 6749.
            404 if self.names_thing && is_own_absence(answer) => ServerError::NotFound,
            404 => self.not_this_api("404 Not Found"),
            409 => ServerError::Conflict { text: text(answer, secrets) },
            _ => ServerError::Rejected { text: text(answer, secrets) },
        }
    }

    /// A refusal by something else than the API. What creates was refused all the same: nothing is left behind.
    fn not_this_api(self, what: &'static str) -> ServerError {
        if self.creates {
            return ServerError::Rejected {
                text: ServerText::ours("this API is not at this address: check it in spec"),
            };
        }
        ServerError::Unintelligible { what }
    }
}

/// The words of a refusal, or its status.
pub fn text(answer: &Answer, secrets: &[&str]) -> ServerText {
    let words = message(answer).unwrap_or_else(|| format!("HTTP status {}", answer.status));
    ServerText::quote(&words, secrets)
}

/// Gateways have other fields, such as `message`, or `status` and `path` beside an `error`.
fn is_own_absence(answer: &Answer) -> bool {
    let Ok(body) = serde_json::from_slice::<serde_json::Value>(&answer.body) else { return false };
    body["error"].is_string() && ["path", "timestamp", "message", "status"].iter().all(|key| body.get(key).is_none())
}

/// The body of a success, decoded.
pub fn json<T: DeserializeOwned>(answer: &Answer) -> Result<T, ServerError> {
    if answer.body.is_empty() {
        return Err(ServerError::Unintelligible { what: "nothing in it" });
    }
    serde_json::from_slice(&answer.body).map_err(|error| ServerError::Unintelligible {
        what: if error.is_eof() { "JSON that breaks off" } else { "not the expected JSON" },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const GET: Operation = Operation::read("get", "/thing", "a role");
    const CREATE: Operation = Operation::create("create", "/things", "a role");

    fn answer(status: u16, body: &str) -> Answer {
        Answer {
            status,
            content_type: Some("application/json".into()),
            body: Bytes::copy_from_slice(body.as_bytes()),
            retry_after: None,
            link: None,
        }
    }

    fn error(operation: Operation, status: u16, body: &str) -> ServerError {
        operation.check(&answer(status, body), &["s3cret"]).expect_err("refused")
    }

    #[test]
    fn only_the_apis_own_absence_is_believed() {
        assert_eq!(error(GET, 404, r#"{"error":"not found"}"#), ServerError::NotFound);
        for body in [
            "",
            "not here",
            "<html></html>",
            "{}",
            r#"{"message":"no Route matched with those values"}"#,
            r#"{"error":{"code":404}}"#,
            r#"{"timestamp":"2026-01-01","status":404,"error":"Not Found","path":"/admin"}"#,
        ] {
            assert!(matches!(error(GET, 404, body), ServerError::Unintelligible { .. }), "{body}");
        }
    }

    #[test]
    fn a_create_is_refused_for_certain_or_its_outcome_is_unknown() {
        for status in [400, 401, 403, 404, 409, 429] {
            assert!(error(CREATE, status, "{}").is_definite(), "{status}");
        }
        for status in [302, 500, 502, 504] {
            assert_eq!(error(CREATE, status, "{}"), ServerError::Ambiguous, "{status}");
        }
        assert!(error(CREATE, 404, "<html>").is_definite());
    }

    #[test]
    fn a_refusal_is_told_in_the_servers_words_without_what_was_sent() {
        let oauth = error(GET, 400, r#"{"error":"invalid","error_description":"s3cret is bad"}"#);
        assert_eq!(oauth.to_string(), "the server refused the request: invalid: *** is bad");
        let keycloak = error(GET, 409, r#"{"errorMessage":"Client exists"}"#);
        assert_eq!(keycloak.to_string(), "the server refused the request as conflicting: Client exists");
        assert_eq!(
            error(GET, 403, "{}").to_string(),
            "the operator's credentials are not permitted to do this: give them a role"
        );
    }

    #[test]
    fn a_token_is_never_shown() {
        assert!(!format!("{:?}", bearer("canary")).contains("canary"));
        assert_eq!(bearer("two\nlines"), None);
    }
}
