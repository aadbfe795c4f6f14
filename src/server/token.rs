//! The operator's own access token at a server: how it is asked for, and what an answer means. Pure.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use reqwest::header::HeaderValue;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use url::form_urlencoded;

use super::ServerError;
use super::http::{Answer, Body};
use super::json_api::bearer;
use super::words::oauth_error;
use crate::domain::registration::{ClientId, ClientSecret};

/// A token is not used in its last minute, nor in its second half if it lives two minutes or less.
const MARGIN: Duration = Duration::from_mins(1);
/// What a token lives that does not say so (RFC 6749 section 5.1 only recommends to say it).
const UNSTATED_LIFETIME: Duration = Duration::from_mins(5);

/// An access token.
pub(super) struct Token {
    bearer: HeaderValue,
    text: SecretString,
    usable_until: Timestamp,
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(redacted)")
    }
}

impl Token {
    pub(super) fn is_usable(&self, now: Timestamp) -> bool {
        now < self.usable_until
    }

    pub(super) fn bearer(&self) -> HeaderValue {
        self.bearer.clone()
    }

    /// The token itself: to keep it out of texts, and to read its claims.
    pub(super) fn expose(&self) -> &str {
        self.text.expose_secret()
    }

    fn new(answer: TokenAnswer, now: Timestamp) -> Option<Self> {
        if answer.access_token.is_empty() {
            return None;
        }
        let lifetime = answer.expires_in.map_or(UNSTATED_LIFETIME, |seconds| Duration::from_secs(seconds.into()));
        let usable = lifetime.saturating_sub(MARGIN.min(lifetime / 2));
        Some(Self {
            bearer: bearer(&answer.access_token)?,
            text: SecretString::from(answer.access_token),
            usable_until: now.checked_add(usable).unwrap_or(now),
        })
    }
}

#[derive(Deserialize)]
pub(super) struct TokenAnswer {
    access_token: String,
    expires_in: Option<u32>,
}

/// Why there is no token.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NoToken {
    /// The client has not been given these scopes; others may do.
    Scope,
    Because(ServerError),
}

/// The body of a client-credentials request (RFC 6749 section 4.4.2). In a form: UiPath answers anything else with a
/// page in HTML. Without a scope, the client gets those that it has by default.
pub(super) fn request_body(client_id: &ClientId, client_secret: &ClientSecret, scope: Option<&str>) -> Body {
    let mut form = form_urlencoded::Serializer::new(String::new());
    form.append_pair("grant_type", "client_credentials")
        .append_pair("client_id", client_id.as_str())
        .append_pair("client_secret", client_secret.expose());
    if let Some(scope) = scope {
        form.append_pair("scope", scope);
    }
    Body { content_type: "application/x-www-form-urlencoded", bytes: Bytes::from(form.finish()) }
}

/// The meaning of the token endpoint's answer. `success` decodes one; `failure` says why there is none.
pub(super) fn read(
    answer: &Answer,
    now: Timestamp,
    success: impl FnOnce(&Answer) -> Result<TokenAnswer, ServerError>,
    failure: impl FnOnce(&Answer) -> Option<ServerError>,
) -> Result<Token, NoToken> {
    let nothing = ServerError::Unintelligible { what: "no access token in it" };
    if (400..500).contains(&answer.status)
        && answer.status != 429
        && let Some((error, description)) = oauth_error(answer)
    {
        let refusal = refusal(&error, description.as_deref());
        return Err(refusal.unwrap_or_else(|| NoToken::Because(failure(answer).unwrap_or(nothing))));
    }
    let token = success(answer).map_err(NoToken::Because)?;
    Token::new(token, now).ok_or(NoToken::Because(nothing))
}

/// The errors of RFC 6749 section 5.2 that have a meaning of their own. `invalid_request` is how UiPath refuses a user
/// scope that the application cannot ask for by itself.
fn refusal(error: &str, description: Option<&str>) -> Option<NoToken> {
    match error {
        "invalid_client" | "unauthorized_client" => Some(NoToken::Because(ServerError::Unauthorized)),
        "invalid_scope" => Some(NoToken::Scope),
        "invalid_request" if description.is_some_and(|text| text.to_ascii_lowercase().contains("scope")) => {
            Some(NoToken::Scope)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::json_api::{Operation, json};
    use super::*;
    use crate::server::budget::Class;

    const TOKEN: Operation = Operation::write("token", Class::Post, "/token", "nothing");

    fn noon() -> Timestamp {
        "2026-11-24T12:00:00Z".parse().unwrap()
    }

    fn read_at_noon(status: u16, body: &str) -> Result<Token, NoToken> {
        let body = Bytes::copy_from_slice(body.as_bytes());
        let answer =
            Answer { status, content_type: Some("application/json".into()), body, retry_after: None, link: None };
        let success = |answer: &Answer| TOKEN.check(answer, &[]).and_then(|()| json(answer));
        read(&answer, noon(), success, |answer| TOKEN.check(answer, &[]).err())
    }

    fn seconds_usable(body: &str) -> i64 {
        read_at_noon(200, body).unwrap().usable_until.duration_since(noon()).as_secs()
    }

    #[test]
    fn a_token_is_not_used_in_its_last_minute() {
        assert_eq!(seconds_usable(r#"{"access_token":"t","expires_in":3600}"#), 3540);
        assert_eq!(seconds_usable(r#"{"access_token":"t","expires_in":60}"#), 30);
        assert_eq!(seconds_usable(r#"{"access_token":"t"}"#), 240);
        assert_eq!(seconds_usable(r#"{"access_token":"t","expires_in":0}"#), 0);
    }

    #[test]
    fn refusals_of_the_token_endpoint_have_their_meaning() {
        let because = |error| Some(NoToken::Because(error));
        let table = [
            (400, r#"{"error":"invalid_client"}"#, because(ServerError::Unauthorized)),
            (401, r#"{"error":"invalid_client"}"#, because(ServerError::Unauthorized)),
            (400, r#"{"error":"unauthorized_client"}"#, because(ServerError::Unauthorized)),
            (400, r#"{"error":"invalid_scope"}"#, Some(NoToken::Scope)),
            (
                400,
                r#"{"error":"invalid_request","error_description":"Client=x is not allowed to access User scopes"}"#,
                Some(NoToken::Scope),
            ),
            (503, "{}", because(ServerError::Failed { status: 503 })),
            (200, "<html>", because(ServerError::Unintelligible { what: "HTML" })),
            (200, r#"{"access_token":""}"#, because(ServerError::Unintelligible { what: "no access token in it" })),
        ];
        for (status, body, expected) in table {
            assert_eq!(read_at_noon(status, body).err(), expected, "{status} {body}");
        }
        let other = read_at_noon(400, r#"{"error":"invalid_request","error_description":"no"}"#);
        assert!(matches!(other, Err(NoToken::Because(ServerError::Rejected { .. }))));
    }

    #[test]
    fn a_secret_with_punctuation_survives_the_form() {
        let body = request_body(&ClientId::new("id"), &ClientSecret::new("a&b=c+d %!"), Some("PM.OAuthApp"));
        let pairs: Vec<_> = form_urlencoded::parse(&body.bytes).into_owned().collect();
        assert_eq!(pairs[2], ("client_secret".into(), "a&b=c+d %!".into()));
    }

    #[test]
    fn a_token_shows_nothing_of_itself() {
        let token = read_at_noon(200, r#"{"access_token":"canary"}"#).unwrap();
        assert!(!format!("{token:?} {:?}", token.bearer()).contains("canary"));
    }
}
