//! The state that all handlers share, and who is calling.

use std::sync::{Arc, OnceLock};

use axum::extract::FromRequestParts;
use axum::http::{header, request};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::catalogue::Catalogue;
use super::clock::Clock;
use super::config::Deployment;
use super::errors::ApiError;
use super::issuers::Issuers;
use super::keys::{SigningKeys, TokenType};
use super::limits::RateLimiter;
use super::oauth::Attempts;
use super::store::orchestrator::Tenant;
use super::store::{Store, StoreError, grants, people};

/// The organization that a stand-in plays.
#[derive(Clone, Debug)]
pub struct Organization {
    /// Its name as it stands in URLs.
    pub name: String,
    /// Its identifier, `partitionGlobalId` and claim `prt_id`.
    pub id: Uuid,
}

impl Organization {
    /// Whether the first segment of a path means this organization, by name or by identifier.
    #[must_use]
    pub fn is_named(&self, segment: &str) -> bool {
        segment == self.name || Uuid::parse_str(segment).is_ok_and(|id| id == self.id)
    }
}

/// A running stand-in.
#[derive(Debug)]
pub struct Cloud {
    pub organization: Organization,
    /// Where the OAuth endpoints are: the base URL and `/identity_`.
    pub issuer: String,
    pub store: Store,
    pub keys: SigningKeys,
    pub catalogue: Catalogue,
    pub limiter: RateLimiter,
    /// Attempts to sign in.
    pub attempts: Attempts,
    /// Where the keys of other people's tokens are found.
    pub issuers: Issuers,
    /// The name of the cookie that knows a browser again.
    pub cookie: String,
    pub clock: Clock,
    /// Orchestrator's tenants; new ones come with a new start only.
    pub tenants: Vec<Tenant>,
    pub deployment: Deployment,
    /// How many entities a page of Orchestrator's has at most.
    pub largest_page: usize,
}

impl Cloud {
    /// Checks a `partitionGlobalId`: only the organization's own identifier will do, its name will not.
    pub fn require_partition(&self, value: &str) -> Result<(), ApiError> {
        let id = Uuid::parse_str(value).map_err(|_| ApiError::not_valid("partitionGlobalId", value))?;
        if id == self.organization.id { Ok(()) } else { Err(ApiError::invalid_partition()) }
    }

    /// The claims of an access token that is valid here and now and has not been revoked.
    pub async fn verified(&self, token: &str) -> Result<Option<Claims>, StoreError> {
        let Some(claims) = self.keys.verify::<Claims>(TokenType::Access, token) else { return Ok(None) };
        let now = self.clock.now_milliseconds() / 1000;
        let current = claims.nbf <= now && now < claims.exp;
        if claims.iss != self.issuer || claims.prt_id != self.organization.id || !current {
            return Ok(None);
        }
        let (token, grant) = (claims.jti.clone(), claims.grant_id.clone());
        let revoked = self.store.read(move |store| grants::is_revoked(store, &token, grant.as_deref())).await?;
        Ok((!revoked).then_some(claims))
    }
}

/// The `sub_type` of a token that acts for a person.
const PERSON: &str = "user";

/// What an access token says. `scope` is an array, as in UiPath's tokens, not RFC 9068's string.
#[derive(Debug, Serialize, Deserialize)]
pub struct Claims {
    pub iss: String,
    pub sub: String,
    pub sub_type: String,
    pub client_id: String,
    pub prt_id: Uuid,
    pub aud: Vec<String>,
    pub scope: Vec<String>,
    /// Seconds since the Unix epoch, as are the next two.
    pub iat: i64,
    pub nbf: i64,
    pub exp: i64,
    pub jti: String,
    /// The session of the person, in a person's token only, as are the next two.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sid: Option<String>,
    /// When the person gave the password, in seconds since the Unix epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth_time: Option<i64>,
    /// What the token comes from, so that it ends when that is revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grant_id: Option<String>,
}

/// Where a handler leaves the client id for the access log.
#[derive(Clone, Debug, Default)]
pub struct SeenClient(Arc<OnceLock<String>>);

impl SeenClient {
    /// Notes who is calling; the first note stays.
    pub fn note(&self, client_id: &str) {
        let _ = self.0.set(client_id.to_owned());
    }

    /// Who was calling, if anybody noted it.
    #[must_use]
    pub fn get(&self) -> Option<&str> {
        self.0.get().map(String::as_str)
    }
}

/// The client whose access token came with a request.
///
/// A token is judged by itself, unless it was revoked in so many words: deleting a client or its secret does not end
/// the tokens that it already has.
#[derive(Debug)]
pub struct Caller {
    scopes: Vec<String>,
    subject: String,
    person: bool,
    client_id: String,
}

impl Caller {
    /// Refuses the request unless the token has one of `scopes`, and whoever it is about may administer the organization:
    /// an application by its scope alone, a person only as an administrator. No scope stands for another one.
    pub async fn require_administration(&self, cloud: &Cloud, scopes: &[&str]) -> Result<(), ApiError> {
        if !self.has_any(scopes) {
            return Err(ApiError::Forbidden);
        }
        if !self.person {
            return Ok(());
        }
        let id = self.subject.clone();
        let person = cloud.store.read(move |store| people::find(store, &id)).await?;
        if person.is_some_and(|person| person.administrator) { Ok(()) } else { Err(ApiError::Forbidden) }
    }

    /// Whether the token has one of `scopes`.
    pub fn has_any(&self, scopes: &[&str]) -> bool {
        self.has_scope_where(|scope| scopes.contains(&scope))
    }

    /// Whether the token has a scope that meets `condition`.
    pub fn has_scope_where(&self, condition: impl Fn(&str) -> bool) -> bool {
        self.scopes.iter().any(|scope| condition(scope))
    }

    /// Whom the token is about: a person's identifier, or the client id again.
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// Whether the client acts for a person who signed in.
    pub fn is_person(&self) -> bool {
        self.person
    }

    /// The client that got the token.
    pub fn client_id(&self) -> &str {
        &self.client_id
    }
}

impl FromRequestParts<Arc<Cloud>> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut request::Parts, cloud: &Arc<Cloud>) -> Result<Self, ApiError> {
        let value = parts.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let (scheme, token) = value.and_then(|value| value.split_once(' ')).ok_or(ApiError::Unauthorized)?;
        if !scheme.eq_ignore_ascii_case("Bearer") {
            return Err(ApiError::Unauthorized);
        }
        let claims = cloud.verified(token.trim()).await?.ok_or(ApiError::Unauthorized)?;
        if let Some(seen) = parts.extensions.get::<SeenClient>() {
            seen.note(&claims.client_id);
        }
        let person = claims.sub_type == PERSON;
        Ok(Self { scopes: claims.scope, subject: claims.sub, person, client_id: claims.client_id })
    }
}
