//! Secrets that end: another one is made ahead of that. Where a server lets none be made, it comes with an update, if at
//! all.

use jiff::{SignedDuration, Timestamp};

use super::capabilities::Secrets;
use super::observed::Finding;
use super::reason::Reason;
use super::registration::{Registered, SecretId};
use super::validate::Valid;
use crate::api::external_application::{CredentialState, CredentialStatus};

/// How long before its end a secret is renewed, at the most; of one that does not last long, a third of its life.
const AHEAD: SignedDuration = SignedDuration::from_hours(24);

/// When a secret of these times is to be renewed.
pub(super) fn renewed_from(created_at: Option<Timestamp>, expires_at: Timestamp) -> Timestamp {
    let third = created_at.map_or(AHEAD, |created| expires_at.duration_since(created) / 3);
    expires_at.saturating_sub(third.clamp(SignedDuration::ZERO, AHEAD)).unwrap_or(expires_at)
}

/// Whether the published secret is to be renewed by an update: where the server lets no second one be made before.
pub fn is_due(valid: &Valid, actual: Option<&Registered>, current: Option<&SecretId>, now: Timestamp) -> bool {
    let fixed = valid.server.capabilities.secrets == Secrets::Fixed && valid.keeps_secret();
    let may_write = !valid.observe_only && valid.held_back.is_none();
    let secret = actual.zip(current).and_then(|(actual, id)| actual.secrets.iter().find(|secret| secret.id == *id));
    let ends = secret.and_then(|secret| Some((secret.created_at, secret.expires_at?)));
    fixed && may_write && ends.is_some_and(|(created, expires)| renewed_from(created, expires) <= now)
}

/// Whether a secret ends so soon that another one is made in its place: where the server lets one be made. Where it holds
/// several, that is a rotation ([`super::rotation`]), until the secret has ended.
pub fn is_replaced(valid: &Valid, actual: Option<&Registered>, id: &SecretId, now: Timestamp) -> bool {
    let may_make = valid.server.capabilities.secrets != Secrets::Fixed && !valid.observe_only;
    let secret = actual.and_then(|actual| actual.secrets.iter().find(|secret| secret.id == *id));
    let ends = secret.and_then(|secret| Some((secret.created_at, secret.expires_at?)));
    let until = |created, expires| match valid.server.capabilities.secrets {
        Secrets::Several => expires,
        Secrets::One | Secrets::Fixed => renewed_from(created, expires),
    };
    may_make && ends.is_some_and(|(created, expires)| until(created, expires) <= now)
}

/// Whether a credential of the status gives reason to look: it is to be renewed.
pub fn gives_reason_to_look(credentials: &[CredentialStatus], now: Timestamp) -> bool {
    active(credentials).any(|(created, expires)| renewed_from(created, expires) <= now)
}

/// When a credential of the status has to be looked at next: to renew it, or to say that it has ended.
pub fn next(credentials: &[CredentialStatus], now: Timestamp) -> Option<Timestamp> {
    let times = active(credentials).flat_map(|(created, expires)| [renewed_from(created, expires), expires]);
    times.filter(|time| *time > now).min()
}

fn active(credentials: &[CredentialStatus]) -> impl Iterator<Item = (Option<Timestamp>, Timestamp)> {
    let active = credentials.iter().filter(|credential| credential.state == CredentialState::Active);
    active.filter_map(|credential| {
        let created = credential.created_at.as_ref().map(|time| time.0);
        Some((created, credential.expires_at.as_ref()?.0))
    })
}

/// What is said where the published secret has ended and nothing renews it.
pub fn ended(valid: &Valid, credentials: &[CredentialStatus], now: Timestamp) -> Option<Finding> {
    if valid.server.capabilities.secrets != Secrets::Fixed {
        return None;
    }
    let expired = active(credentials).map(|(_, expires)| expires).find(|expires| *expires <= now)?;
    let message = format!(
        "the secret expired at {expired}, and this server gives no other for this registration: make a new ExternalApplication, or ask those who run the server for secrets that last"
    );
    Some(Finding::stalled(Reason::SecretExpired, message).looked_at_again())
}

#[cfg(test)]
mod tests;
