//! What goes on for an application that is registered while a scope that it asks for cannot be had: its registration is
//! left as it is, and what was published is kept and repaired.
//!
//! A server takes a registration's scopes as a whole. To leave out the one that it does not know (any more) would take it
//! away; to ask for it would be refused. So nothing is changed there until the scope is known again or the spec is mended.

use super::consent::allows_scope;
use super::observed::{Finding, Observed, RegistrationSeen, status_client_id};
use super::reason::Reason;
use super::registration::{Desired, Registered, Scope};
use super::validate::{Refusal, Valid};
use crate::api::ExternalApplication;
use crate::api::api_resource::GrantKind;
use crate::api::external_application::{ScopeState, ScopeStatus};

/// What may be done for a spec whose scopes were judged: all of it, upkeep alone, or nothing.
pub fn scoped(
    mut valid: Valid,
    refused: Option<(Reason, String)>,
    allowed: Option<&[String]>,
    app: &ExternalApplication,
    seen: &Observed,
) -> Result<Valid, Refusal> {
    let Some((reason, message)) = refused else { return Ok(valid) };
    if !is_kept(app, seen, &valid.scopes, allowed) {
        return Err(Refusal { finding: Finding::stalled(reason, message), scopes: Some(valid.scopes) });
    }
    if let RegistrationSeen::Present(actual) = &seen.registration {
        stand_by(&mut valid, actual);
    }
    let message = format!("{message}; until then the registration is left as it is, and its credentials are kept");
    valid.held_back = Some(Finding::stalled(reason, message));
    Ok(valid)
}

/// Whether an application is one of those whose spec cannot be brought about now although they are registered.
pub fn is_held_back(app: &ExternalApplication) -> bool {
    let reasons = [Reason::UnknownScope.as_str(), Reason::WrongScopeType.as_str()];
    let Some(status) = &app.status else { return false };
    let said = |kind: &str, value: &str| {
        status.conditions.iter().find(|condition| condition.type_ == kind && condition.status == value)
    };
    said("Registered", "True").is_some()
        && said("Ready", "False").is_some_and(|ready| reasons.contains(&ready.reason.as_str()))
        && status.scopes.iter().all(|scope| scope.state != ScopeState::NotAllowed)
}

/// The registration is there, or may be, and it is only the catalogue that stands in the way. What the owner of the server
/// does not allow is another matter, whether the spec asks for it or the registration has it: no credential is made for it.
fn is_kept(app: &ExternalApplication, seen: &Observed, verdicts: &[ScopeStatus], allowed: Option<&[String]>) -> bool {
    let named = status_client_id(app);
    let registered = named.is_some()
        && match &seen.registration {
            RegistrationSeen::Unread(id) => named.as_ref() == Some(id),
            RegistrationSeen::Present(actual) => named.as_ref() == Some(&actual.client_id),
            RegistrationSeen::Lagging(_) | RegistrationSeen::Unreadable(_) => true,
            RegistrationSeen::None { .. } | RegistrationSeen::Missing { .. } | RegistrationSeen::Unsettled { .. } => {
                false
            }
        };
    let has_only_allowed = match &seen.registration {
        RegistrationSeen::Present(actual) => actual.scopes.iter().all(|scope| allows_scope(allowed, &scope.name)),
        _ => true,
    };
    let asks_only_allowed =
        |verdict: &ScopeStatus| verdict.state != ScopeState::NotAllowed && allows_scope(allowed, &verdict.name);
    registered && has_only_allowed && verdicts.iter().all(asks_only_allowed)
}

/// What is published speaks of the registration as it is, so that everything in it can be used.
fn stand_by(valid: &mut Valid, actual: &Registered) {
    for verdict in valid.scopes.iter_mut().filter(|verdict| verdict.state == ScopeState::Unknown) {
        let is_it = |scope: &Scope| scope.name == verdict.name && GrantKind::from(scope.grant) == verdict.r#type;
        if actual.scopes.iter().any(is_it) {
            verdict.reason = Some(format!(
                "{}: no longer in the server's catalogue, although the registration has it; remove it here if it is not needed",
                verdict.name
            ));
        }
    }
    // The spec's order, as far as it speaks of what is there; nothing else of it has been brought about.
    valid.redirect_uris.retain(|uri| actual.redirect_uris.contains(uri));
    let others = actual.redirect_uris.iter().filter(|uri| !valid.redirect_uris.contains(uri));
    let others: Vec<String> = others.cloned().collect();
    valid.redirect_uris.extend(others);
    // Of one set of scopes nothing tells which grant each is for; the spec does.
    let scopes = match &actual.grant_types {
        Some(_) => valid.desired.scopes.intersection(&actual.scopes).cloned().collect(),
        None => actual.scopes.clone(),
    };
    valid.desired = Desired {
        display_name: actual.display_name.clone(),
        client_type: valid.desired.client_type,
        redirect_uris: actual.redirect_uris.clone(),
        scopes,
        settings: valid.desired.settings.clone(),
        owner: valid.desired.owner.clone(),
        secretless: valid.desired.secretless,
    };
}

#[cfg(test)]
mod tests;
