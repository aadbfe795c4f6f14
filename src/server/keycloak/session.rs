//! Requests in the operator's own name: with a token, within the budget, and once more after a 401.

use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;
use url::Url;

use super::operation::TOKEN;
use crate::clock::Clock;
use crate::domain::registration::{ClientId, ClientSecret};
use crate::server::http::Answer;
use crate::server::json_api::{Call, JsonApi, Operation, json};
use crate::server::single_flight::SingleFlight;
use crate::server::token::{self, NoToken, Token};
use crate::server::{Lane, ServerError};

/// A client of one realm.
pub(super) struct Session {
    pub(super) api: JsonApi,
    /// `{url}/realms/{realm}`: the issuer.
    pub(super) issuer: Url,
    /// `{url}/admin/realms/{realm}`.
    pub(super) admin: Url,
    pub(super) client_id: ClientId,
    pub(super) client_secret: ClientSecret,
    pub(super) clock: Clock,
    pub(super) tokens: SingleFlight<Token>,
}

/// Something below the realm in the admin API.
#[derive(Clone, Copy)]
pub(super) struct At<'a>(pub(super) &'a [&'a str]);

impl Session {
    /// The address of a thing, whatever is in its name: a segment stays one.
    pub(super) fn url(&self, At(segments): At<'_>) -> Result<Url, ServerError> {
        let dots = |segment: &&str| segment.is_empty() || segment.chars().all(|c| c == '.');
        let unwritable = ServerError::Unreachable { what: "the request cannot be written" };
        if segments.iter().any(dots) {
            return Err(unwritable);
        }
        under(&self.admin, segments).ok_or(unwritable)
    }

    /// Reads something.
    pub(super) async fn read<T: DeserializeOwned>(
        &self,
        operation: Operation,
        url: Url,
        lane: Lane,
    ) -> Result<T, ServerError> {
        json(&self.send(operation, lane, || Ok(Call::to(url.clone()))).await?)
    }

    /// Sends a request without a body.
    pub(super) async fn act(&self, operation: Operation, at: At<'_>) -> Result<Answer, ServerError> {
        let url = self.url(at)?;
        self.send(operation, Lane::User, || Ok(Call::to(url.clone()))).await
    }

    /// Sends something.
    pub(super) async fn write(
        &self,
        operation: Operation,
        at: At<'_>,
        body: &impl Serialize,
    ) -> Result<Answer, ServerError> {
        let url = self.url(at)?;
        self.send(operation, Lane::User, || Call::json(url.clone(), body)).await
    }

    /// A 401 was not executed: the token is replaced and the request sent once more. Of a request that creates, what fails
    /// before it is sent is definite, and what fails after is either a clear refusal or `Ambiguous`.
    async fn send(
        &self,
        operation: Operation,
        lane: Lane,
        prepare: impl Fn() -> Result<Call, ServerError>,
    ) -> Result<Answer, ServerError> {
        let (mut answer, mut token) = self.attempt(operation, lane, &prepare).await?;
        if answer.status == 401 {
            self.tokens.discard(&token).await;
            (answer, token) = self.attempt(operation, lane, &prepare).await?;
        }
        if answer.status == 403 {
            // A token lacks what was granted after it was issued: whoever comes next gets a new one.
            self.tokens.discard(&token).await;
        }
        operation.check(&answer, &[self.client_secret.expose(), token.expose()]).map(|()| answer)
    }

    async fn attempt(
        &self,
        operation: Operation,
        lane: Lane,
        prepare: impl Fn() -> Result<Call, ServerError>,
    ) -> Result<(Answer, Arc<Token>), ServerError> {
        let token = self.tokens.get(|token| token.is_usable(self.clock.now()), || self.fetch_token()).await;
        let token = if operation.creates { token.map_err(ServerError::before_a_create) } else { token }?;
        let call = prepare()?.bearing(Some(token.bearer()));
        Ok((self.api.exchange(operation, lane, call).await?, token))
    }

    async fn fetch_token(&self) -> Result<Token, ServerError> {
        let unwritable = ServerError::Unreachable { what: "the request cannot be written" };
        let url = under(&self.issuer, &["protocol", "openid-connect", "token"]).ok_or(unwritable)?;
        let body = token::request_body(&self.client_id, &self.client_secret, None);
        let asked = self.clock.now();
        let call = Call { url, bearer: None, body: Some(body) };
        let answer = self.api.exchange_exempt(TOKEN, call).await?;
        let secrets = [self.client_secret.expose()];
        let success = |answer: &Answer| TOKEN.check(answer, &secrets).and_then(|()| json(answer));
        token::read(&answer, asked, success, |answer| TOKEN.check(answer, &secrets).err()).map_err(|none| match none {
            NoToken::Because(error) => error,
            // It asks for none: the client has a default client scope that it may not have.
            NoToken::Scope => ServerError::Unauthorized,
        })
    }
}

/// Adds segments to an address; `None` for one that has no path.
pub(super) fn under(base: &Url, segments: &[&str]) -> Option<Url> {
    let mut url = base.clone();
    url.path_segments_mut().ok()?.pop_if_empty().extend(segments);
    Some(url)
}
