//! A token for an application, asked for as the application itself does: with its own credential and no other.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bytes::Bytes;
use reqwest::header::HeaderValue;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde_json::{Map, Value};
use url::{Url, form_urlencoded};

use super::budget::{Budgeted, Class};
use super::http::{Answer, Body, Http, Request};
use super::json_api::text;
use super::words::{is_html, oauth_error};
use super::{ServerError, ServerText};
use crate::domain::registration::{ClientId, ClientSecret};

/// The most that an answer may hold, in bytes.
const LIMIT: usize = 64 << 10;
/// The longest code of an error that is shown, in characters.
const CODE: usize = 64;
/// What an assertion is (RFC 7523 section 2.2).
const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// How an application says who it is.
pub enum Authentication {
    /// A secret in the body of the request (RFC 6749 section 2.3.1).
    InBody(ClientSecret),
    /// A secret in the Authorization header.
    InHeader(ClientSecret),
    /// A token of another issuer (RFC 7523).
    Assertion(SecretString),
    /// By its client id alone.
    Public,
}

impl fmt::Debug for Authentication {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::InBody(_) => "InBody(redacted)",
            Self::InHeader(_) => "InHeader(redacted)",
            Self::Assertion(_) => "Assertion(redacted)",
            Self::Public => "Public",
        })
    }
}

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub enum Grant<'a> {
    /// A token for the application itself (RFC 6749 section 4.4). Without a scope: what it has by default.
    ClientCredentials { scope: Option<&'a str> },
    /// A token for a code that nobody was given (RFC 6749 section 4.1.3). It is refused in any case; the refusal tells
    /// whether the client was recognised.
    NoCode { redirect_uri: &'a str, verifier: &'a str },
}

/// What the token endpoint said.
#[derive(Debug)]
pub enum Answered {
    Granted(Access),
    /// The code of RFC 6749 section 5.2 if there is one, and the server's words.
    Refused {
        code: Option<String>,
        text: ServerText,
    },
}

/// An access token and what the answer says of it. The token itself does not leave this module.
pub struct Access {
    token: SecretString,
    pub token_type: Option<String>,
    /// In seconds from now.
    pub expires_in: Option<u64>,
    /// Space-separated; absent where it is what was asked for.
    pub scope: Option<String>,
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Access(redacted)")
    }
}

impl Access {
    #[cfg(test)]
    pub fn of(token: &str, scope: Option<&str>, expires_in: Option<u64>) -> Self {
        Self { token: SecretString::from(token), token_type: None, expires_in, scope: scope.map(Into::into) }
    }

    /// The claims of a token that is a JWT (RFC 7519). They are not verified: the token came from its issuer over TLS, and is
    /// shown, not trusted.
    pub fn claims(&self) -> Option<Map<String, Value>> {
        claims(self.token.expose_secret())
    }
}

/// The claims of a JWT; `None` where it is none.
pub fn claims(token: &str) -> Option<Map<String, Value>> {
    let mut parts = token.split('.');
    let (_, payload, _) = (parts.next()?, parts.next()?, parts.next()?);
    let bytes = URL_SAFE_NO_PAD.decode(payload.trim_end_matches('=')).ok()?;
    serde_json::from_slice(&bytes).ok().filter(|_| parts.next().is_none())
}

/// Asks once. `ServerError` where there is no answer, or none of a token endpoint.
pub async fn ask(
    http: &Http,
    token_endpoint: &Url,
    client_id: &ClientId,
    authentication: &Authentication,
    grant: Grant<'_>,
) -> Result<Answered, ServerError> {
    let answer = http.send(Budgeted::exempt(request(token_endpoint, client_id, authentication, grant))).await?;
    read(&answer, authentication)
}

fn request(endpoint: &Url, id: &ClientId, authentication: &Authentication, grant: Grant<'_>) -> Request {
    let mut form = form_urlencoded::Serializer::new(String::new());
    match grant {
        Grant::ClientCredentials { scope } => {
            form.append_pair("grant_type", "client_credentials");
            form.extend_pairs(scope.map(|scope| ("scope", scope)));
        }
        Grant::NoCode { redirect_uri, verifier } => {
            form.append_pair("grant_type", "authorization_code").append_pair("code", "none");
            form.append_pair("redirect_uri", redirect_uri).append_pair("code_verifier", verifier);
        }
    }
    let mut authorization = None;
    match authentication {
        Authentication::InHeader(secret) => authorization = basic(id, secret),
        Authentication::InBody(secret) => {
            form.append_pair("client_id", id.as_str()).append_pair("client_secret", secret.expose());
        }
        Authentication::Assertion(token) => {
            form.append_pair("client_id", id.as_str()).append_pair("client_assertion_type", JWT_BEARER);
            form.append_pair("client_assertion", token.expose_secret());
        }
        Authentication::Public => {
            form.append_pair("client_id", id.as_str());
        }
    }
    Request {
        operation: "verify",
        template: "/token",
        class: Class::Post,
        url: endpoint.clone(),
        authorization,
        tenant: None,
        body: Some(Body { content_type: "application/x-www-form-urlencoded", bytes: Bytes::from(form.finish()) }),
        repeatable: true,
        limit: LIMIT,
    }
}

/// The header for a client id and a secret: both are encoded before they are joined (RFC 6749 section 2.3.1).
pub(super) fn basic(id: &ClientId, secret: &ClientSecret) -> Option<HeaderValue> {
    let encoded = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    let pair = format!("{}:{}", encoded(id.as_str()), encoded(secret.expose()));
    let mut header = HeaderValue::from_str(&format!("Basic {}", STANDARD.encode(pair))).ok()?;
    header.set_sensitive(true);
    Some(header)
}

fn read(answer: &Answer, authentication: &Authentication) -> Result<Answered, ServerError> {
    #[derive(Deserialize)]
    struct Body {
        access_token: String,
        token_type: Option<String>,
        expires_in: Option<u64>,
        scope: Option<String>,
    }
    let sent = match authentication {
        Authentication::InBody(secret) | Authentication::InHeader(secret) => secret.expose(),
        Authentication::Assertion(token) => token.expose_secret(),
        Authentication::Public => "",
    };
    match answer.status {
        _ if is_html(answer) => Err(ServerError::Unintelligible { what: "HTML" }),
        200..=299 => {
            let body: Option<Body> = serde_json::from_slice(&answer.body).ok();
            let body = body.filter(|body| !body.access_token.is_empty());
            let body = body.ok_or(ServerError::Unintelligible { what: "no access token in it" })?;
            Ok(Answered::Granted(Access {
                token: SecretString::from(body.access_token),
                token_type: body.token_type,
                expires_in: body.expires_in,
                scope: body.scope,
            }))
        }
        300..=399 => Err(ServerError::Unintelligible { what: "a redirect" }),
        429 => Err(ServerError::RateLimited { retry_after: answer.retry_after }),
        400..=499 => {
            let code = oauth_error(answer).map(|(code, _)| code).filter(|code| is_code(code));
            Ok(Answered::Refused { code, text: text(answer, &[sent]) })
        }
        _ => Err(ServerError::Failed { status: answer.status }),
    }
}

/// Whether this is the code of an error rather than something that was put in its place.
fn is_code(text: &str) -> bool {
    text.len() <= CODE && text.chars().all(|c| c.is_ascii_lowercase() || c == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint() -> Url {
        Url::parse("https://login.example.com/token").expect("a URL")
    }

    fn form(request: &Request) -> Vec<(String, String)> {
        let body = request.body.as_ref().expect("a body");
        form_urlencoded::parse(&body.bytes).into_owned().collect()
    }

    fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn said(status: u16, body: &str) -> Result<Answered, ServerError> {
        let body = Bytes::copy_from_slice(body.as_bytes());
        let answer =
            Answer { status, content_type: Some("application/json".into()), body, retry_after: None, link: None };
        read(&answer, &Authentication::InBody(ClientSecret::new("canary")))
    }

    #[test]
    fn each_way_to_authenticate_has_the_fields_of_its_standard() {
        let id = ClientId::new("id");
        let all = Grant::ClientCredentials { scope: Some("a b") };
        let body = request(&endpoint(), &id, &Authentication::InBody(ClientSecret::new("s&=")), all);
        let expected =
            [("grant_type", "client_credentials"), ("scope", "a b"), ("client_id", "id"), ("client_secret", "s&=")];
        assert_eq!(form(&body), pairs(&expected));
        let header = request(&endpoint(), &id, &Authentication::InHeader(ClientSecret::new("s%")), all);
        assert_eq!(form(&header), pairs(&[("grant_type", "client_credentials"), ("scope", "a b")]));
        let value = header.authorization.expect("a header");
        assert!(value.is_sensitive());
        assert_eq!(value.to_str().ok(), Some(format!("Basic {}", STANDARD.encode("id:s%25")).as_str()));
        let token = Authentication::Assertion(SecretString::from("jwt"));
        let assertion = request(&endpoint(), &id, &token, Grant::ClientCredentials { scope: None });
        let expected = [
            ("grant_type", "client_credentials"),
            ("client_id", "id"),
            ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
            ("client_assertion", "jwt"),
        ];
        assert_eq!(form(&assertion), pairs(&expected));
        let code = Grant::NoCode { redirect_uri: "https://a.example/cb", verifier: "v" };
        let public = request(&endpoint(), &id, &Authentication::Public, code);
        let expected = [
            ("grant_type", "authorization_code"),
            ("code", "none"),
            ("redirect_uri", "https://a.example/cb"),
            ("code_verifier", "v"),
            ("client_id", "id"),
        ];
        assert_eq!(form(&public), pairs(&expected));
    }

    #[test]
    fn a_token_is_known_by_its_claims_and_shows_nothing_else() {
        let jwt = format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(r#"{"sub":"me","exp":1}"#));
        let Ok(Answered::Granted(access)) = said(200, &format!(r#"{{"access_token":"{jwt}","expires_in":60}}"#)) else {
            panic!("granted");
        };
        assert_eq!(access.claims().expect("claims")["sub"], "me");
        assert_eq!((access.expires_in, access.scope.as_deref()), (Some(60), None));
        assert!(!format!("{access:?}").contains("e30"));
        for opaque in ["opaque", "a.b", "a.b.c.d", "e30.%%.c"] {
            assert!(claims(opaque).is_none(), "{opaque}");
        }
    }

    #[test]
    fn a_refusal_has_its_code_and_no_secret() {
        let Ok(Answered::Refused { code, text }) =
            said(400, r#"{"error":"invalid_client","error_description":"canary is wrong"}"#)
        else {
            panic!("refused");
        };
        assert_eq!((code.as_deref(), text.as_str()), (Some("invalid_client"), "invalid_client: *** is wrong"));
        let Ok(Answered::Refused { code, .. }) = said(400, r#"{"error":"Canary 1"}"#) else { panic!("refused") };
        assert_eq!(code, None);
    }

    #[test]
    fn what_is_no_answer_of_a_token_endpoint_is_an_error() {
        for (status, body) in [(200, "{}"), (200, r#"{"access_token":""}"#), (302, ""), (503, ""), (200, "<html>")] {
            assert!(said(status, body).is_err(), "{status} {body}");
        }
        assert_eq!(said(429, "{}").err(), Some(ServerError::RateLimited { retry_after: None }));
    }

    #[test]
    fn debug_output_shows_no_credential() {
        let secret = || ClientSecret::new("canary");
        let assertion = Authentication::Assertion(SecretString::from("canary"));
        for one in [Authentication::InBody(secret()), Authentication::InHeader(secret()), assertion] {
            assert!(!format!("{one:?}").contains("canary"));
        }
    }
}
