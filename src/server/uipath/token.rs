//! The operator's own access token: how it is asked for, and what an answer means. Pure.

use std::fmt;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use jiff::Timestamp;
use reqwest::header::HeaderValue;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use url::form_urlencoded;

use super::answer::Reader;
use crate::domain::registration::{ClientId, ClientSecret};
use crate::server::ServerError;
use crate::server::http::{Answer, Body};
use crate::server::words::oauth_error;

/// A token is not used in its last minute, nor in its second half if it lives two minutes or less.
const MARGIN: Duration = Duration::from_mins(1);
/// What a token lives that does not say so (RFC 6749 section 5.1 only recommends to say it).
const UNSTATED_LIFETIME: Duration = Duration::from_mins(5);

/// An access token.
pub(super) struct Token {
    bearer: HeaderValue,
    text: SecretString,
    /// Claim `prt_id`: the GUID of the organization.
    pub(super) organization: Option<String>,
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

    /// The token itself: to keep it out of texts, for nothing else.
    pub(super) fn expose(&self) -> &str {
        self.text.expose_secret()
    }

    fn new(answer: TokenAnswer, now: Timestamp) -> Option<Self> {
        if answer.access_token.is_empty() {
            return None;
        }
        let mut bearer = HeaderValue::from_str(&format!("Bearer {}", answer.access_token)).ok()?;
        bearer.set_sensitive(true);
        let lifetime = answer.expires_in.map_or(UNSTATED_LIFETIME, |seconds| Duration::from_secs(seconds.into()));
        let usable = lifetime.saturating_sub(MARGIN.min(lifetime / 2));
        Some(Self {
            bearer,
            organization: organization(&answer.access_token),
            text: SecretString::from(answer.access_token),
            usable_until: now.checked_add(usable).unwrap_or(now),
        })
    }
}

#[derive(Deserialize)]
struct TokenAnswer {
    access_token: String,
    expires_in: Option<u32>,
}

/// Why there is no token.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NoToken {
    /// The application has not been given these scopes; others may do.
    Scope,
    Because(ServerError),
}

/// The body of a client-credentials request (RFC 6749 section 4.4.2). In a form: anything else is answered with a
/// page in HTML.
pub(super) fn request_body(client_id: &ClientId, client_secret: &ClientSecret, scope: &str) -> Body {
    let form = form_urlencoded::Serializer::new(String::new())
        .append_pair("grant_type", "client_credentials")
        .append_pair("client_id", client_id.as_str())
        .append_pair("client_secret", client_secret.expose())
        .append_pair("scope", scope)
        .finish();
    Body { content_type: "application/x-www-form-urlencoded", bytes: Bytes::from(form) }
}

/// The meaning of the token endpoint's answer.
pub(super) fn read(reader: &Reader<'_>, answer: &Answer, now: Timestamp) -> Result<Token, NoToken> {
    if (400..500).contains(&answer.status)
        && answer.status != 429
        && let Some((error, description)) = oauth_error(answer)
    {
        return Err(refusal(&error, description.as_deref()).unwrap_or_else(|| failure(reader, answer)));
    }
    let token = reader.json(answer).map_err(NoToken::Because)?;
    Token::new(token, now).ok_or(NoToken::Because(ServerError::Unintelligible { what: "no access token in it" }))
}

/// The errors of RFC 6749 section 5.2 that have a meaning of their own. `invalid_request` is how a user scope is
/// refused that the application cannot ask for by itself.
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

fn failure(reader: &Reader<'_>, answer: &Answer) -> NoToken {
    let unexplained = ServerError::Unintelligible { what: "no access token in it" };
    NoToken::Because(reader.done(answer).err().unwrap_or(unexplained))
}

/// Reads the claim without verifying the token: it came over TLS from the server that it is shown to, and only
/// that server will judge by it.
fn organization(token: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Claims {
        prt_id: Option<String>,
    }
    let payload = token.split('.').nth(1)?;
    let claims = URL_SAFE_NO_PAD.decode(payload.trim_end_matches('=')).ok()?;
    serde_json::from_slice::<Claims>(&claims).ok()?.prt_id.filter(|id| super::paths::is_segment(id))
}

#[cfg(test)]
mod tests {
    use super::super::operation::TOKEN;
    use super::*;

    fn noon() -> Timestamp {
        "2026-11-24T12:00:00Z".parse().unwrap()
    }

    fn read_at_noon(status: u16, body: &str) -> Result<Token, NoToken> {
        let body = Bytes::copy_from_slice(body.as_bytes());
        let answer =
            Answer { status, content_type: Some("application/json".into()), body, retry_after: None, link: None };
        read(&Reader { operation: TOKEN, secrets: &[] }, &answer, noon())
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
    fn the_organization_is_read_from_the_claim() {
        let jwt = |claims: &str| format!("e30.{}.sig", URL_SAFE_NO_PAD.encode(claims));
        assert_eq!(organization(&jwt(r#"{"prt_id":"org-1","sub":"x"}"#)).as_deref(), Some("org-1"));
        for nothing in
            [jwt("{}"), jwt(r#"{"prt_id":"../x y"}"#), jwt(r#"{"prt_id":".."}"#), "opaque".into(), "a.%%.c".into()]
        {
            assert_eq!(organization(&nothing), None, "{nothing}");
        }
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
        let body = request_body(&ClientId::new("id"), &ClientSecret::new("a&b=c+d %!"), "PM.OAuthApp");
        let pairs: Vec<_> = form_urlencoded::parse(&body.bytes).into_owned().collect();
        assert_eq!(pairs[2], ("client_secret".into(), "a&b=c+d %!".into()));
    }

    #[test]
    fn a_token_shows_nothing_of_itself() {
        let token = read_at_noon(200, r#"{"access_token":"canary"}"#).unwrap();
        assert!(!format!("{token:?} {:?}", token.bearer()).contains("canary"));
    }
}
