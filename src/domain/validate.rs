//! From a spec and what was seen to something that may be acted on, or to the finding that says why not.

use std::collections::BTreeSet;

use super::capabilities::Secrets;
use super::consent::setting_refused;
use super::consumers;
use super::federation::{self, Trust};
use super::observed::{Finding, Observed, Retry, ServerFacts, ServerSeen, keeps_secret, observes, status_client_id};
use super::outputs::{self, Facts, ResolvedOutput, SeenOutput};
use super::reason::Reason;
use super::registration::{ClientId, ClientType, Desired, Owner};
use super::rotation::Policy;
use super::{scopes, settings, upkeep};
use crate::api::AuthorizationServer;
use crate::api::external_application::{
    ApplicationType, ExternalApplication, OutputKind, ScopeStatus, ServerReference,
};
use jiff::Timestamp;

mod own_key;
mod registration;

pub use registration::unknowable;

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
    /// Whose tokens it authenticates with.
    pub trusts: Vec<Trust>,
    /// When and how its secret is replaced.
    pub rotation: Policy,
    /// Why the registration is left as it is, while everything else is looked after.
    pub held_back: Option<Finding>,
    _proof: (),
}

impl Valid {
    pub fn confidential(&self) -> bool {
        self.desired.client_type == ClientType::Confidential
    }

    /// Whether there is a client secret: one that is confidential may do without.
    pub fn keeps_secret(&self) -> bool {
        self.confidential() && !self.desired.secretless
    }

    /// Whether the secret is ever replaced without anybody asking: not where it is only watched or cannot be.
    pub fn rotates_by_itself(&self) -> bool {
        self.keeps_secret() && !self.observe_only && self.server.capabilities.secrets != Secrets::Fixed
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
    own_key::holds(app)?;
    if let Some(finding) = facts.capabilities.refusal(&desired(app)) {
        return Err(finding.into());
    }
    let trusts = federation::resolve(app, facts.capabilities.provider, facts.capabilities.federation, &seen.issuer)?;
    if let Some(message) = seen.server.as_deref().and_then(|server| {
        let namespace = app.metadata.namespace.as_deref().unwrap_or_default();
        setting_refused(server, namespace, &desired(app).settings)
    }) {
        return Err(Finding::stalled(Reason::SettingNotAllowed, message).looked_at_again().into());
    }
    within_limits(seen)?;
    let rotation = Policy::of(app)?;
    let refusal = rotation.refusal(&facts.capabilities).or_else(|| consumers::refusal(&rotation, seen.features));
    if let Some(finding) = refusal {
        return Err(finding.into());
    }
    let catalogue: &super::registration::Catalogue = &facts.catalogue;
    let allowed = seen.server.as_ref().and_then(|server| server.spec.allowed_scopes.clone());
    let verdicts =
        scopes::judge(&app.spec.resources, catalogue, allowed.as_deref(), facts.capabilities.scopes_per_grant);
    let refused = scopes::refusal(&verdicts);
    let valid = upkeep::scoped(assemble(app, facts, verdicts, rotation), refused, allowed.as_deref(), app, seen)?;
    outputs_can_be_written(&valid, seen)?;
    let taken_over = registration::is_clear(app, seen, &valid, now)?;
    Ok(Valid { taken_over, trusts, ..valid })
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
        secretless: app.spec.r#type == ApplicationType::Confidential && !keeps_secret(app),
        owner: Owner {
            uid: app.metadata.uid.clone().unwrap_or_default(),
            namespace: app.metadata.namespace.clone().unwrap_or_default(),
            name: app.metadata.name.clone().unwrap_or_default(),
        },
    }
}

fn assemble(app: &ExternalApplication, server: ServerFacts, scopes: Vec<ScopeStatus>, rotation: Policy) -> Valid {
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
        trusts: Vec::new(),
        rotation,
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
    if keeps_secret(app) && !outputs::resolve(app).iter().any(|output| output.kind == OutputKind::Secret) {
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

#[cfg(test)]
mod tests;
