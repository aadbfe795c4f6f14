//! Which registration an application stands for: its own, one that a lost create made, or one that it may adopt.

use jiff::Timestamp;

use super::Valid;
use crate::api::ExternalApplication;
use crate::domain::consent::{allows_adoption, allows_scope};
use crate::domain::intent::{READ_LAG, Settlement, settle};
use crate::domain::observed::{Finding, Observed, RegistrationSeen, Retry, status_client_id, unsettled_intent};
use crate::domain::reason::Reason;
use crate::domain::registration::{ClientId, Mark, Registered};

/// Whether it is clear which registration this application stands for; gives back one that a lost create made.
pub(super) fn is_clear(
    app: &ExternalApplication,
    seen: &Observed,
    valid: &Valid,
    now: Timestamp,
) -> Result<Option<ClientId>, Finding> {
    let adopted = app.spec.adopt.as_ref().map(|adopt| ClientId::new(&adopt.client_id));
    if let Some(id) = &adopted {
        adoption_holds(app, id)?;
    }
    if let Some(id) = adopted.or_else(|| found(seen)).filter(|id| status_client_id(app).as_ref() != Some(id)) {
        is_free(seen, &id)?;
    }
    match &seen.registration {
        RegistrationSeen::Unreadable(finding) => Err(finding.clone()),
        RegistrationSeen::Lagging(id) => Err(Finding::passing(
            Reason::Progressing,
            format!("registration {id} was just made and the server does not show it yet"),
            Retry::After(READ_LAG),
        )),
        RegistrationSeen::Missing { id, .. } if app.spec.adopt.is_some() || valid.observe_only => {
            let message = format!(
                "registration {id} does not exist at the server: correct adopt.clientId, or remove adopt and Observe to have a new one made"
            );
            Err(Finding::stalled(Reason::RegistrationMissing, message).looked_at_again())
        }
        RegistrationSeen::None { .. } if valid.observe_only => Err(nothing_to_observe()),
        RegistrationSeen::Present(actual) => {
            if status_client_id(app).as_ref() != Some(&actual.client_id) {
                newcomer_holds(app, seen, valid, actual)?;
            }
            type_matches(valid, actual).map(|()| None)
        }
        RegistrationSeen::Unsettled { hold: Some(left), .. } => Err(Finding::passing(
            Reason::Progressing,
            "another operator process has begun to register this application",
            Retry::After(*left),
        )),
        RegistrationSeen::Unsettled { intent, search, .. } => match settle(intent, search, now) {
            Settlement::TakeOver(id) => Ok(Some(id)),
            Settlement::NothingHappened if valid.observe_only => Err(nothing_to_observe()),
            Settlement::NothingHappened => Ok(None),
            Settlement::Wait(left) => Err(Finding::passing(
                Reason::OutcomeUnknown,
                "the answer to create was lost; waiting for the server to show whether the registration exists",
                Retry::After(left),
            )),
            Settlement::Ambiguous(ids) => Err(ambiguous(&ids)),
            Settlement::Unknowable => Err(unknowable(&valid.desired.display_name)),
        },
        _ => Ok(None),
    }
}

fn nothing_to_observe() -> Finding {
    let message = "there is no registration to observe: set adopt.clientId, or management Enforce";
    Finding::stalled(Reason::RegistrationMissing, message)
}

/// What can be said where a registration may have been made at a server that does not list what it has.
pub fn unknowable(name: &str) -> Finding {
    let message = format!(
        "the answer to create was lost, and this server does not list its registrations: look there for one named {name} and delete it, then remove the annotation {}",
        crate::api::PENDING
    );
    Finding::stalled(Reason::RegistrationAmbiguous, message).looked_at_again()
}

fn ambiguous(ids: &[ClientId]) -> Finding {
    let names: Vec<&str> = ids.iter().take(10).map(ClientId::as_str).collect();
    let message = format!(
        "the answer to create was lost, and it cannot be proven which registration of this name is ours: set adopt.clientId to one of {}, or delete them at the server",
        names.join(", ")
    );
    Finding::stalled(Reason::RegistrationAmbiguous, message).looked_at_again()
}

/// The registration that this pass read without an adoption asking for it.
fn found(seen: &Observed) -> Option<ClientId> {
    match &seen.registration {
        RegistrationSeen::Present(actual) => Some(actual.client_id.clone()),
        _ => None,
    }
}

/// Nobody else's registration is ever taken, however it was come by.
fn is_free(seen: &Observed, id: &ClientId) -> Result<(), Finding> {
    let refuse = |message: String| Err(Finding::stalled(Reason::AdoptionRefused, message).looked_at_again());
    if seen.operators_own {
        return refuse(format!("adopt.clientId: {id} is the operator's own registration"));
    }
    match &seen.claimant {
        Some(claimant) => refuse(format!("adopt.clientId: {id} already belongs to ExternalApplication {claimant}")),
        None => Ok(()),
    }
}

fn adoption_holds(app: &ExternalApplication, id: &ClientId) -> Result<(), Finding> {
    match status_client_id(app) {
        // One that is gone and was about to be replaced binds no longer: that is how a person settles an ambiguity.
        Some(current) if current != *id && !is_being_replaced(app, &current) => Err(Finding::stalled(
            Reason::AdoptionRefused,
            format!(
                "adopt.clientId: this application already stands for registration {current}; make another ExternalApplication for {id}"
            ),
        )),
        _ => Ok(()),
    }
}

/// What is not the application's yet must be proven to be, or be adopted; and an adoption must not get a namespace what
/// it may not ask for.
fn newcomer_holds(
    app: &ExternalApplication,
    seen: &Observed,
    valid: &Valid,
    actual: &Registered,
) -> Result<(), Finding> {
    if app.spec.adopt.is_none() {
        let proven = match &actual.owner {
            Mark::Unsupported => !seen.unproven,
            marked => marked.names(app.metadata.uid.as_deref().unwrap_or_default()),
        };
        return if proven { Ok(()) } else { Err(ambiguous(std::slice::from_ref(&actual.client_id))) };
    }
    let server = seen.server.as_deref();
    let guessable = valid.server.capabilities.guessable_ids;
    let consented = |server| allows_adoption(server, &valid.namespace, &actual.client_id, guessable);
    if !seen.possessed && !server.is_some_and(consented) {
        return Err(not_possessed(&actual.client_id, &valid.name));
    }
    let allowed = server.and_then(|server| server.spec.allowed_scopes.as_deref());
    match actual.scopes.iter().find(|scope| !allows_scope(allowed, &scope.name)) {
        None => Ok(()),
        Some(scope) => Err(Finding::stalled(
            Reason::AdoptionRefused,
            format!(
                "adopt.clientId: {} has the scope {}, which the AuthorizationServer does not allow: ask its owner to add it to allowedScopes, or remove it from the registration",
                actual.client_id, scope.name
            ),
        )
        .looked_at_again()),
    }
}

fn not_possessed(id: &ClientId, name: &str) -> Finding {
    let message = format!(
        "adopt.clientId: nothing shows that {id} belongs to this namespace: put its client id and client secret into a Secret that spec.outputs names and annotate that with {}={name}, or ask the owner of the AuthorizationServer to add the id to allowedAdoptions",
        crate::api::GIVEN_TO
    );
    Finding::stalled(Reason::AdoptionRefused, message).looked_at_again()
}

fn is_being_replaced(app: &ExternalApplication, id: &ClientId) -> bool {
    unsettled_intent(app).is_some_and(|intent| intent.replaces.as_ref() == Some(id))
}

fn type_matches(valid: &Valid, actual: &Registered) -> Result<(), Finding> {
    if valid.observe_only || valid.server.capabilities.changes_type || valid.desired.client_type == actual.client_type {
        return Ok(());
    }
    let message = format!(
        "registration {} is not of this type, and a server cannot change it: set spec.type as the registration has it in a new ExternalApplication",
        actual.client_id
    );
    Err(Finding::stalled(Reason::AdoptionRefused, message).looked_at_again())
}
