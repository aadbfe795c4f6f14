//! From a spec and what was seen to something that may be acted on, or to the finding that says why not.

use std::collections::BTreeSet;

use super::consent::{allows_adoption, allows_scope, setting_refused};
use super::intent::{Settlement, settle};
use super::observed::{
    Finding, Observed, RegistrationSeen, Retry, ServerFacts, ServerSeen, observes, status_client_id, unsettled_intent,
};
use super::outputs::{self, Facts, ResolvedOutput, SeenOutput};
use super::reason::Reason;
use super::registration::{ClientId, ClientType, Desired, Mark, Owner, Registered};
use super::{scopes, settings, upkeep};
use crate::api::AuthorizationServer;
use crate::api::external_application::{
    ApplicationType, ExternalApplication, OutputKind, ScopeStatus, ServerReference,
};
use jiff::Timestamp;

/// A spec that may be acted on. It can only come out of `validate`.
#[allow(clippy::manual_non_exhaustive, reason = "the proof is for this crate, not for others")]
pub struct Valid {
    pub uid: String,
    pub name: String,
    pub namespace: String,
    pub desired: Desired,
    pub redirect_uris: Vec<String>,
    pub outputs: Vec<ResolvedOutput>,
    pub scopes: Vec<ScopeStatus>,
    pub observe_only: bool,
    /// Whether the spec takes over a registration that others made.
    pub adopts: bool,
    pub server: ServerFacts,
    /// The registration of a create whose answer was lost, where it is proven to be ours.
    pub taken_over: Option<ClientId>,
    /// Why the registration is left as it is, while everything else is looked after.
    pub held_back: Option<Finding>,
    _proof: (),
}

impl Valid {
    pub fn confidential(&self) -> bool {
        self.desired.client_type == ClientType::Confidential
    }

    /// What outputs are rendered from, once there is a client id.
    pub fn facts<'a>(&'a self, client_id: &'a ClientId) -> Facts<'a> {
        Facts {
            name: &self.name,
            namespace: &self.namespace,
            uid: &self.uid,
            provider: self.server.capabilities.provider,
            client_id,
            desired: &self.desired,
            redirect_uris: &self.redirect_uris,
            endpoints: &self.server.endpoints,
        }
    }
}

/// A spec that must not be acted on.
#[derive(Debug)]
pub struct Refusal {
    pub finding: Finding,
    /// A verdict for each scope, where it came to that.
    pub scopes: Option<Vec<ScopeStatus>>,
}

impl From<Finding> for Refusal {
    fn from(finding: Finding) -> Self {
        Self { finding, scopes: None }
    }
}

/// Checks in the order in which a person would want to hear of them.
pub fn validate(app: &ExternalApplication, seen: &Observed, now: Timestamp) -> Result<Valid, Refusal> {
    let facts = usable_server(app, seen)?;
    spec_holds(app)?;
    if let Some(finding) = facts.capabilities.refusal(&desired(app)) {
        return Err(finding.into());
    }
    if let Some(message) = seen.server.as_deref().and_then(|server| {
        let namespace = app.metadata.namespace.as_deref().unwrap_or_default();
        setting_refused(server, namespace, &desired(app).settings)
    }) {
        return Err(Finding::stalled(Reason::SettingNotAllowed, message).looked_at_again().into());
    }
    within_limits(seen)?;
    let catalogue: &super::registration::Catalogue = &facts.catalogue;
    let allowed = seen.server.as_ref().and_then(|server| server.spec.allowed_scopes.clone());
    let verdicts =
        scopes::judge(&app.spec.resources, catalogue, allowed.as_deref(), facts.capabilities.scopes_per_grant);
    let refused = scopes::refusal(&verdicts);
    let valid = upkeep::scoped(assemble(app, facts, verdicts), refused, allowed.as_deref(), app, seen)?;
    outputs_can_be_written(&valid, seen)?;
    let taken_over = registration_is_clear(app, seen, &valid, now)?;
    Ok(Valid { taken_over, ..valid })
}

/// The registration that a spec asks for.
pub fn desired(app: &ExternalApplication) -> Desired {
    Desired {
        display_name: app.spec.display_name.clone().unwrap_or_else(|| app.metadata.name.clone().unwrap_or_default()),
        client_type: match app.spec.r#type {
            ApplicationType::Confidential => ClientType::Confidential,
            ApplicationType::NonConfidential => ClientType::NonConfidential,
        },
        redirect_uris: app.spec.redirect_uris.iter().cloned().collect(),
        scopes: scopes::requested_set(&app.spec.resources),
        settings: app.spec.settings.as_ref().map(settings::settings).unwrap_or_default(),
        owner: Owner {
            uid: app.metadata.uid.clone().unwrap_or_default(),
            namespace: app.metadata.namespace.clone().unwrap_or_default(),
            name: app.metadata.name.clone().unwrap_or_default(),
        },
    }
}

fn assemble(app: &ExternalApplication, server: ServerFacts, scopes: Vec<ScopeStatus>) -> Valid {
    Valid {
        uid: app.metadata.uid.clone().unwrap_or_default(),
        name: app.metadata.name.clone().unwrap_or_default(),
        namespace: app.metadata.namespace.clone().unwrap_or_default(),
        desired: desired(app),
        redirect_uris: app.spec.redirect_uris.clone(),
        outputs: outputs::resolve(app),
        scopes,
        observe_only: observes(app),
        adopts: app.spec.adopt.is_some(),
        server,
        taken_over: None,
        held_back: None,
        _proof: (),
    }
}

fn usable_server(app: &ExternalApplication, seen: &Observed) -> Result<ServerFacts, Finding> {
    let server = open_to(app, seen.server.as_deref(), seen.admitted)?;
    if server.metadata.deletion_timestamp.is_some() && status_client_id(app).is_none() {
        let named = named(&app.spec.server_ref);
        let message = format!("AuthorizationServer {named} is being deleted: nothing new is registered there");
        return Err(Finding::stalled(Reason::ServerNotReady, message).looked_at_again());
    }
    if app.spec.suspend {
        return Err(suspended("spec.suspend is true: nothing is done until it is false"));
    }
    answering(server, &seen.seen)
}

fn named(reference: &ServerReference) -> String {
    match &reference.namespace {
        Some(namespace) => format!("{namespace}/{}", reference.name),
        None => reference.name.clone(),
    }
}

/// The server that an application names, if it is there and admits the application's namespace.
pub(super) fn open_to<'a>(
    app: &ExternalApplication,
    server: Option<&'a AuthorizationServer>,
    admitted: bool,
) -> Result<&'a AuthorizationServer, Finding> {
    open_for(app.metadata.namespace.as_deref().unwrap_or_default(), &named(&app.spec.server_ref), server, admitted)
}

/// The same for a namespace.
pub fn open_for<'a>(
    namespace: &str,
    named: &str,
    server: Option<&'a AuthorizationServer>,
    admitted: bool,
) -> Result<&'a AuthorizationServer, Finding> {
    // One and the same answer for a server that is not there and for one that does not admit the namespace would hide
    // more, but leave the owner of an application without a way out; names of servers are not secret.
    let Some(server) = server else {
        let message = format!(
            "there is no AuthorizationServer {named} in the namespaces that the operator watches: create it, or correct serverRef in a new application"
        );
        return Err(Finding::stalled(Reason::ServerNotFound, message));
    };
    if !admitted {
        let message = format!(
            "AuthorizationServer {named} does not admit namespace {namespace}: ask its owner to add it to allowedNamespaces"
        );
        return Err(Finding::stalled(Reason::NamespaceNotAllowed, message));
    }
    Ok(server)
}

/// What is known of a server that may be asked now.
pub fn answering(server: &AuthorizationServer, seen: &ServerSeen) -> Result<ServerFacts, Finding> {
    if server.spec.suspend {
        return Err(suspended("the AuthorizationServer is suspended: nothing is done until its spec.suspend is false"));
    }
    match seen {
        ServerSeen::Usable(facts) => Ok(facts.clone()),
        ServerSeen::Unusable(finding) => Err(finding.clone()),
        ServerSeen::Absent | ServerSeen::NotTried => {
            let name = server.metadata.name.as_deref().unwrap_or_default();
            let message = format!("AuthorizationServer {name} has not connected yet");
            Err(Finding::passing(Reason::ServerNotReady, message, Retry::OnChange))
        }
    }
}

pub(super) fn suspended(message: &str) -> Finding {
    Finding { reason: Reason::Suspended, message: message.into(), retry: Retry::OnChange, stalled: false }
}

/// What the schema's rules say, once more: a rule can be missing where an older definition is installed.
fn spec_holds(app: &ExternalApplication) -> Result<(), Finding> {
    let spec = &app.spec;
    let public = spec.r#type == ApplicationType::NonConfidential;
    let wants =
        |scopes: fn(&crate::api::external_application::RequestedResource) -> bool| spec.resources.iter().any(scopes);
    if public && wants(|resource| !resource.application_scopes.is_empty()) {
        let message = "spec.resources: a NonConfidential application must not have applicationScopes";
        return Err(Finding::stalled(Reason::InvalidSpec, message));
    }
    if wants(|resource| !resource.user_scopes.is_empty()) && spec.redirect_uris.is_empty() {
        let message = "spec.redirectUris: must not be empty when there are userScopes";
        return Err(Finding::stalled(Reason::InvalidSpec, message));
    }
    if spec.redirect_uris.iter().any(|uri| uri.contains(['*', '#', ',', ' '])) {
        let message = "spec.redirectUris: a redirect URI must not contain `*`, `#`, a comma or a space";
        return Err(Finding::stalled(Reason::InvalidSpec, message));
    }
    if !public && !outputs::resolve(app).iter().any(|output| output.kind == OutputKind::Secret) {
        let message = "spec.outputs: a Confidential application must have an output of kind Secret";
        return Err(Finding::stalled(Reason::InvalidSpec, message));
    }
    Ok(())
}

fn within_limits(seen: &Observed) -> Result<(), Finding> {
    let limits = seen.server.as_ref().and_then(|server| server.spec.limits.as_ref());
    let Some(limit) = limits.and_then(|limits| limits.applications_per_namespace) else { return Ok(()) };
    if usize::try_from(limit).is_ok_and(|limit| seen.older_siblings < limit) {
        return Ok(());
    }
    let message = format!(
        "the AuthorizationServer allows {limit} applications in a namespace and older ones have them: delete one, or ask its owner for more"
    );
    Err(Finding::stalled(Reason::LimitReached, message).looked_at_again())
}

fn outputs_can_be_written(valid: &Valid, seen: &Observed) -> Result<(), Finding> {
    let mut objects = BTreeSet::new();
    for output in &valid.outputs {
        if !objects.insert((output.kind, &output.name)) {
            let message = format!("spec.outputs: {} is listed twice", output.name);
            return Err(Finding::stalled(Reason::InvalidSpec, message));
        }
    }
    let stand_in = ClientId::new("client-id");
    outputs::check_templates(&valid.outputs, &valid.facts(&stand_in))
        .map_err(|error| Finding::stalled(Reason::TemplateInvalid, format!("spec.outputs: {error}")))?;
    let wanted = |kind, name: &str| {
        valid.outputs.iter().any(|output| !output.immutable && output.kind == kind && output.name == name)
    };
    // Nothing is taken but with a registration that is adopted, and from somebody who gives it.
    let taken = |object: &SeenOutput| object.ours || (valid.adopts && object.given);
    match seen.outputs.iter().find(|object| !taken(object) && wanted(object.kind, &object.name)) {
        None => Ok(()),
        Some(foreign) => {
            let kind = match foreign.kind {
                OutputKind::Secret => "Secret",
                OutputKind::ConfigMap => "ConfigMap",
            };
            let message = format!(
                "{kind} {} exists and does not belong to this application; it is left alone: remove it, or choose another name in spec.outputs; to hand it over with a registration that is adopted, annotate it with {}={}",
                foreign.name,
                crate::api::GIVEN_TO,
                valid.name
            );
            Err(Finding::stalled(Reason::SecretConflict, message).looked_at_again())
        }
    }
}

/// Whether it is clear which registration this application stands for; gives back one that a lost create made.
fn registration_is_clear(
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
            Retry::After(super::intent::READ_LAG),
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

#[cfg(test)]
mod tests;
