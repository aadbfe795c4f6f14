//! Whether a secret works, asked of the token endpoint itself.

use bytes::Bytes;
use url::Url;

use super::ServerError;
use super::budget::{Budgeted, Class};
use super::grant::basic;
use super::http::{Answer, BODY_LIMIT, Body, Http, Request};
use super::token::request_body;
use super::words::oauth_error;
use crate::domain::registration::{ClientId, ClientSecret};

/// Asks for a token for the client itself, first with its secret in the header and then in the body (RFC 6749 section
/// 2.3.1): a server may have been told that a client uses one of them only. That the client may not have such a token is a
/// proof all the same: it was recognised.
///
/// `ServerError::Unintelligible` where the answers say neither yes nor no.
pub(super) async fn authenticates(
    http: &Http,
    token_endpoint: &Url,
    id: &ClientId,
    secret: &ClientSecret,
) -> Result<bool, ServerError> {
    let mut refused = false;
    for request in [in_header(token_endpoint, id, secret), in_body(token_endpoint, id, secret)] {
        let answer = http.send(Budgeted::exempt(request)).await?;
        match judge(&answer)? {
            Some(true) => return Ok(true),
            Some(false) => refused = true,
            None => {}
        }
    }
    if refused { Ok(false) } else { Err(ServerError::Unintelligible { what: "neither a token nor a refusal" }) }
}

/// What one answer says; `None`: nothing.
fn judge(answer: &Answer) -> Result<Option<bool>, ServerError> {
    match answer.status {
        200..=299 if has_token(answer) => Ok(Some(true)),
        // A gateway's page is not what was asked for.
        200..=299 => Ok(None),
        401 => Ok(Some(false)),
        429 => Err(ServerError::RateLimited { retry_after: answer.retry_after }),
        500..=599 => Err(ServerError::Failed { status: answer.status }),
        _ => Ok(match oauth_error(answer).as_ref().map(|(error, _)| error.as_str()) {
            Some("invalid_client") => Some(false),
            Some("unauthorized_client" | "invalid_scope" | "invalid_grant") => Some(true),
            _ => None,
        }),
    }
}

fn has_token(answer: &Answer) -> bool {
    let body: serde_json::Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    body["access_token"].as_str().is_some_and(|token| !token.is_empty())
}

fn in_header(endpoint: &Url, id: &ClientId, secret: &ClientSecret) -> Request {
    let bytes = Bytes::from_static(b"grant_type=client_credentials");
    let body = Body { content_type: "application/x-www-form-urlencoded", bytes };
    Request { authorization: basic(id, secret), ..request(endpoint, body) }
}

fn in_body(endpoint: &Url, id: &ClientId, secret: &ClientSecret) -> Request {
    request(endpoint, request_body(id, secret, None))
}

fn request(endpoint: &Url, body: Body) -> Request {
    Request {
        operation: "proof",
        template: "/token",
        class: Class::Post,
        url: endpoint.clone(),
        authorization: None,
        tenant: None,
        body: Some(body),
        repeatable: true,
        limit: BODY_LIMIT,
    }
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderValue;
    use url::form_urlencoded;

    use super::*;

    fn said(status: u16, error: &str) -> Result<Option<bool>, ServerError> {
        let body = Bytes::from(format!(r#"{{"error":"{error}"}}"#));
        judge(&Answer { status, content_type: None, body, retry_after: None, link: None })
    }

    #[test]
    fn a_client_that_may_not_have_a_token_was_recognised_and_one_that_was_not_is_a_no() {
        for (status, error, expected) in [
            (200, "", None),
            (400, "unauthorized_client", Some(true)),
            (400, "invalid_scope", Some(true)),
            (400, "invalid_client", Some(false)),
            (401, "invalid_client", Some(false)),
            (401, "unauthorized_client", Some(false)),
            (400, "invalid_request", None),
            (404, "", None),
        ] {
            assert_eq!(said(status, error), Ok(expected), "{status} {error}");
        }
        assert!(said(503, "").is_err() && said(429, "").is_err());
        let token = Bytes::from_static(br#"{"access_token":"t"}"#);
        let granted = Answer { status: 200, content_type: None, body: token, retry_after: None, link: None };
        assert_eq!(judge(&granted), Ok(Some(true)));
    }

    #[test]
    fn a_secret_stands_in_no_place_that_is_shown() {
        let (id, secret) = (ClientId::new("id"), ClientSecret::new("canary & more"));
        let endpoint = Url::parse("https://login.example.com/token").expect("a URL");
        let header = in_header(&endpoint, &id, &secret);
        assert!(header.authorization.as_ref().is_some_and(HeaderValue::is_sensitive));
        let body = in_body(&endpoint, &id, &secret).body.expect("a body");
        let pairs: Vec<_> = form_urlencoded::parse(&body.bytes).into_owned().collect();
        assert_eq!(pairs[2], ("client_secret".into(), "canary & more".into()));
        assert_eq!(header.url, endpoint);
    }
}
