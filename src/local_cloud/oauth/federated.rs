//! Applications that authenticate with a token of somebody else's instead of a secret (RFC 7523 section 2.2).

use super::assertion::{Assertion, JWT_BEARER, Wrong};
use super::form::Form;
use super::refusal::{Failure, Refusal};
use crate::local_cloud::cloud::{Cloud, SeenClient};
use crate::local_cloud::store::applications::{self, Client};
use crate::local_cloud::store::federated;

/// Whether a request holds an assertion, or half of one.
pub fn is_presented(form: &Form) -> bool {
    form.get("client_assertion").is_some() || form.get("client_assertion_type").is_some()
}

/// Finds out which client sent a request with an assertion and with nothing else that authenticates, and notes it for the
/// access log. Whatever is wrong is `invalid_client` to the client; the log says which.
pub async fn authenticated(cloud: &Cloud, seen: &SeenClient, form: &Form) -> Result<Client, Failure> {
    let required = |name: &str| form.get(name).ok_or_else(|| Refusal::malformed(format!("{name} is missing")));
    let (kind, text) = (required("client_assertion_type")?, required("client_assertion")?);
    let id = form.get("client_id").map(str::to_ascii_lowercase);
    match proven(cloud, id.as_deref(), kind, text).await? {
        Ok(client) => {
            seen.note(&client.id);
            Ok(client)
        }
        Err(wrong) => {
            // A client id that nobody has may be anything; it is not repeated.
            tracing::warn!(reason = %wrong, "a client assertion was refused");
            Err(Refusal::InvalidClient { by_header: false }.into())
        }
    }
}

/// The costly steps come last: nothing is fetched for a token that fits no credential or has expired.
async fn proven(cloud: &Cloud, id: Option<&str>, kind: &str, text: &str) -> Result<Result<Client, Wrong>, Failure> {
    let Some(id) = id.map(str::to_owned) else { return Ok(Err(Wrong::NoClientId)) };
    let now = cloud.clock.now_milliseconds();
    let found = cloud.store.read(move |store| {
        let client = applications::client(store, &id, now)?;
        Ok((client, federated::list(store, &id)?))
    });
    let (client, credentials) = found.await?;
    let judged = || {
        if kind != JWT_BEARER {
            return Err(Wrong::Type);
        }
        let client = client.ok_or(Wrong::NoClient)?;
        let assertion = Assertion::read(text)?;
        assertion.fits(&credentials)?;
        assertion.current(now / 1000)?;
        Ok((client, assertion))
    };
    let (client, assertion) = match judged() {
        Ok(judged) => judged,
        Err(wrong) => return Ok(Err(wrong)),
    };
    let key = cloud.issuers.key(assertion.issuer(), assertion.key_id(), now).await;
    let verified = key.map_err(Wrong::Key).and_then(|key| assertion.is_signed_by(&key));
    Ok(verified.map(|()| client))
}
