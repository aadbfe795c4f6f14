//! What an authorization request asks for, and whether it may (RFC 6749 section 4.1.1, OpenID Connect Core 3.1.2.1).

use serde::{Deserialize, Serialize};

use super::error_page::{INVALID_REDIRECT_URI, INVALID_STATE, Mistake};
use super::form::Form;
use super::refusal::Refusal;
use super::{pkce, redirect, scopes};
use crate::local_cloud::cloud::Organization;
use crate::local_cloud::store::applications::Application;

/// The longest values that are taken, in bytes: IdentityServer's limits.
const LONGEST_STATE: usize = 2000;
const LONGEST_NONCE: usize = 300;
const LONGEST_HINT: usize = 256;

/// What is kept of a request until a person has answered it.
#[derive(Debug, Serialize, Deserialize)]
pub struct Details {
    pub redirect_uri: String,
    pub state: Option<String>,
    pub scope: Vec<String>,
    pub nonce: Option<String>,
    pub challenge: Option<String>,
    pub login_hint: Option<String>,
}

/// How the person is to be asked.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Manner {
    /// Not at all.
    pub silent: bool,
    /// For the password, even if there is a session.
    pub must_sign_in: bool,
    /// For the password if the session is older than this, in seconds.
    pub max_age: Option<i64>,
}

/// A refusal that the client is told.
#[derive(Debug, PartialEq, Eq)]
pub struct Told {
    pub error: &'static str,
    pub description: String,
}

/// Where an answer goes. From here on a refusal can be told to the client.
pub fn destination(form: &Form, application: &Application) -> Result<(String, Option<String>), Mistake> {
    let uri = form.get("redirect_uri").ok_or(INVALID_REDIRECT_URI)?;
    let registered = application.registration.redirect_uri.as_deref();
    if !redirect::is_registered(uri, registered, application.confidential) {
        return Err(INVALID_REDIRECT_URI);
    }
    let state = form.get("state");
    if state.is_some_and(|state| state.len() > LONGEST_STATE) {
        return Err(INVALID_STATE);
    }
    Ok((uri.to_owned(), state.map(str::to_owned)))
}

/// Everything else.
pub fn judge(
    form: &Form,
    application: &Application,
    organization: &Organization,
    (redirect_uri, state): (String, Option<String>),
) -> Result<(Details, Manner), Told> {
    unsupported(form)?;
    let registered = &application.registration.scopes;
    if !scopes::serves_people(registered) {
        return Err(told("unauthorized_client", "The application has no user scopes"));
    }
    let challenge = challenge(form, application.confidential)?;
    let scope = scopes::for_people(registered, form.get("scope")).map_err(|refusal| match refusal {
        Refusal::InvalidRequest(description) => told("invalid_request", description.unwrap_or_default()),
        _ => told("invalid_scope", "A scope is missing, unknown or not registered as a user scope"),
    })?;
    let bounded = |name, longest| match form.get(name) {
        Some(value) if value.len() > longest => Err(told("invalid_request", format!("{name} is too long"))),
        value => Ok(value.map(str::to_owned)),
    };
    require_organization(form, organization)?;
    let manner = manner(form)?;
    let (nonce, login_hint) = (bounded("nonce", LONGEST_NONCE)?, bounded("login_hint", LONGEST_HINT)?);
    Ok((Details { redirect_uri, state, scope, nonce, challenge, login_hint }, manner))
}

/// What discovery does not promise.
fn unsupported(form: &Form) -> Result<(), Told> {
    for (name, error) in [
        ("request", "request_not_supported"),
        ("request_uri", "request_uri_not_supported"),
        ("registration", "registration_not_supported"),
    ] {
        if form.get(name).is_some() {
            return Err(told(error, format!("{name} is not supported")));
        }
    }
    match form.get("response_type") {
        Some("code") => {}
        Some(_) => return Err(told("unsupported_response_type", "Only response_type=code is supported")),
        None => return Err(told("invalid_request", "response_type is missing")),
    }
    match form.get("response_mode") {
        None | Some("query") => Ok(()),
        Some(_) => Err(told("invalid_request", "Only response_mode=query is supported")),
    }
}

/// S256 alone: a `plain` challenge protects nothing once the request is seen (RFC 9700 section 2.1.1).
fn challenge(form: &Form, confidential: bool) -> Result<Option<String>, Told> {
    let wrong = |description: &str| Err(told("invalid_request", description));
    match (form.get("code_challenge"), form.get("code_challenge_method")) {
        (None, None) if confidential => Ok(None),
        (None, None) => wrong("A non-confidential application must send code_challenge"),
        (None, Some(_)) => wrong("code_challenge_method comes without code_challenge"),
        (Some(challenge), Some("S256")) if pkce::is_challenge(challenge) => Ok(Some(challenge.to_owned())),
        (Some(_), Some("S256")) => wrong("code_challenge is no SHA-256 hash in base64url"),
        (Some(_), _) => wrong("code_challenge_method must be S256"),
    }
}

/// `acr_values=tenantName:NAME` chooses an organization at Automation Cloud; there is only one here. Other values are
/// wishes that need not be met.
fn require_organization(form: &Form, organization: &Organization) -> Result<(), Told> {
    let values = form.get("acr_values").unwrap_or_default().split(' ');
    let other = values.filter_map(|value| value.strip_prefix("tenantName:")).any(|name| !organization.is_named(name));
    if other { Err(told("invalid_request", "acr_values names another organization")) } else { Ok(()) }
}

/// `prompt` and `max_age`. Consent is asked for each time, so `consent` changes nothing.
fn manner(form: &Form) -> Result<Manner, Told> {
    let mut manner = Manner::default();
    let prompts: Vec<&str> = form.get("prompt").unwrap_or_default().split(' ').filter(|p| !p.is_empty()).collect();
    for prompt in &prompts {
        match *prompt {
            "none" if prompts.len() == 1 => manner.silent = true,
            "none" => return Err(told("invalid_request", "prompt=none goes with nothing else")),
            "login" | "select_account" => manner.must_sign_in = true,
            "consent" => {}
            _ => return Err(told("invalid_request", "prompt is unknown")),
        }
    }
    if let Some(text) = form.get("max_age") {
        let seconds = text.parse::<u32>().map_err(|_| told("invalid_request", "max_age is no number of seconds"))?;
        manner.max_age = Some(i64::from(seconds));
    }
    Ok(manner)
}

fn told(error: &'static str, description: impl Into<String>) -> Told {
    Told { error, description: description.into() }
}
