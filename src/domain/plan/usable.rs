//! Which secret workloads are given, of all whose value is known.

use jiff::Timestamp;

use super::{credentials_of, is_kept};
use crate::api::ExternalApplication;
use crate::api::external_application::CredentialState;
use crate::domain::capabilities::Secrets;
use crate::domain::intent::READ_LAG;
use crate::domain::observed::Observed;
use crate::domain::registration::{ClientId, ClientSecret, Registered, SecretId};
use crate::domain::renewal;
use crate::domain::rotation::current;
use crate::domain::validate::Valid;

/// The secret that is published, or that the server gave out and that only has to be written.
pub(super) fn usable_secret(
    app: &ExternalApplication,
    valid: &Valid,
    id: &ClientId,
    actual: Option<&Registered>,
    seen: &Observed,
    now: Timestamp,
) -> Option<(SecretId, ClientSecret)> {
    let published = seen.outputs.iter().filter_map(|output| output.intact_secret(&valid.uid, id));
    let held = seen.held.as_ref().map(|held| (held.id.clone(), ClientSecret::new(held.secret.expose())));
    // Versions of an immutable object carry secrets of several ages. One that the status does not list yet is the newest, and
    // so is one that was to be published and has been, in one object or in all. But where a server holds several, what is made
    // is held or kept, or takes the place of one that cannot be used: beside the published one, one that nobody knows is one
    // that was removed, whatever a read that lags shows.
    let several = valid.server.capabilities.secrets == Secrets::Several;
    let is_held = |secret: &SecretId| seen.held.as_ref().is_some_and(|held| held.id == *secret);
    let age = |secret: &SecretId| {
        let rank = match credentials_of(app, id).iter().find(|credential| credential.id == secret.as_str()) {
            None if several && !is_held(secret) && !is_kept(seen, secret) => 1,
            None => 3,
            Some(credential) if credential.state == CredentialState::Pending => 3,
            Some(credential) if credential.state == CredentialState::Active => 2,
            Some(_) => 0,
        };
        let known = actual.and_then(|actual| actual.secrets.iter().find(|known| known.id == *secret));
        (rank, known.and_then(|known| known.created_at))
    };
    // Comes last: of two values for one secret the last one counts, and that is the server's.
    let shown = actual.into_iter().flat_map(|actual| &actual.secrets).filter_map(|info| {
        let value = info.value.as_ref()?;
        Some((info.id.clone(), ClientSecret::new(value.expose())))
    });
    // What came with the registration is the one secret that it has, where it has one.
    let only = actual.and_then(|actual| match actual.secrets.as_slice() {
        [only] if seen.possessed => Some(&only.id),
        _ => None,
    });
    let given = seen.outputs.iter().filter_map(|output| Some((only?.clone(), output.given_secret(id)?)));
    // What is to be published next serves where nothing else does. Once it is published, it is written again over the one
    // before that somebody has restored.
    let lost = || !seen.outputs.iter().any(|output| output.intact_secret(&valid.uid, id).is_some());
    let is_current =
        |next: &SecretId| current(credentials_of(app, id)).is_some_and(|listed| listed.id == next.as_str());
    let next = seen.kept.as_ref().filter(|seen| seen.kept.client_id == *id).and_then(|seen| seen.kept.next.as_ref());
    let kept = next
        .filter(|next| is_current(&next.id) || lost())
        .map(|next| (next.id.clone(), ClientSecret::new(next.value.expose())));
    kept.into_iter()
        .chain(published)
        .chain(given)
        .chain(held)
        .chain(shown)
        .filter(|(secret, _)| !gone_at_server(app, id, secret, actual, now))
        .filter(|(secret, _)| !renewal::is_replaced(valid, actual, secret, now))
        .max_by_key(|(secret, _)| age(secret))
}

/// Whether the server no longer has the secret. One that was just made is given time to show.
pub(super) fn gone_at_server(
    app: &ExternalApplication,
    id: &ClientId,
    secret: &SecretId,
    actual: Option<&Registered>,
    now: Timestamp,
) -> bool {
    let Some(actual) = actual else { return false };
    if actual.secrets.iter().any(|known| known.id == *secret) {
        return false;
    }
    let all = credentials_of(app, id);
    let recorded = all.iter().find(|credential| credential.id == secret.as_str());
    let lag = jiff::SignedDuration::try_from(READ_LAG).unwrap_or_default();
    match recorded {
        Some(credential) => credential.created_at.as_ref().is_none_or(|created| now.duration_since(created.0) > lag),
        // Written before the first report, or brought back from a backup long after it was removed.
        None => !all.is_empty(),
    }
}
