//! Decisions about a `RoleAssignment`: whether it may be acted on, what has to change, and what is said of it.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::capabilities::PermissionScope;
use super::grants::{CLIENT_CREDENTIALS, grant_types};
use super::observed::{Finding, Retry, ServerSeen, status_client_id};
use super::reason::Reason;
use super::registration::{ClientId, PrincipalId};
use super::tenant::FolderId;
use super::validate::{answering, desired, open_to, suspended};
use crate::api::external_application::{ApplicationType, Management, ServerReference};
use crate::api::{AuthorizationServer, ExternalApplication, RoleAssignment};

mod assess;
mod judge;
mod report;

pub use assess::{Assessment, Known, Step, View, assess, departure};
pub use judge::Refusal;
#[cfg(test)]
pub use report::status;
pub use report::{Outcome, changes, finding, next_status};

/// The finalizer of an assignment that has, or may have, roles to take away.
pub const FINALIZER: &str = "extapp.dev/permissions";

/// The scope without which roles have no effect in a token.
const ROLE_BASED: &str = "OR.Default";

/// What a decision rests on before the server is asked.
pub struct Seen {
    pub application: Option<Arc<ExternalApplication>>,
    pub server: Option<Arc<AuthorizationServer>>,
    pub admitted: bool,
    pub seen: ServerSeen,
}

/// An application that roles may be given to. It can only come out of [`gate`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(clippy::manual_non_exhaustive, reason = "the proof is for this crate, not for others")]
pub struct Admitted {
    pub client_id: ClientId,
    /// The name under which the directory knows the application.
    pub display_name: String,
    /// The server, with its namespace.
    pub server: ServerReference,
    /// What the server can give.
    pub permissions: PermissionScope,
    /// Whether the application may ask for tokens in which roles have an effect.
    pub role_based: bool,
    _proof: (),
}

/// Checks in the order in which a person would want to hear of them.
pub fn gate(object: &RoleAssignment, seen: &Seen) -> Result<Admitted, Finding> {
    if object.spec.suspend {
        return Err(suspended("spec.suspend is true: nothing is done until it is false"));
    }
    let name = &object.spec.application_ref.name;
    let Some(app) = &seen.application else {
        let message = format!("there is no ExternalApplication {name} in this namespace: create it; the roles follow");
        return Err(Finding::passing(Reason::ApplicationNotFound, message, Retry::OnChange));
    };
    public(app)?;
    let server = open_to(app, seen.server.as_deref(), seen.admitted)?;
    let client_id = status_client_id(app).filter(|_| is_registered(app) && app.metadata.deletion_timestamp.is_none());
    let Some(client_id) = client_id else {
        let why = if app.metadata.deletion_timestamp.is_some() { "is being deleted" } else { "is not registered yet" };
        let message = format!("ExternalApplication {name} {why}: `kubectl describe extapp {name}` says why");
        return Err(Finding::passing(Reason::ApplicationNotReady, message, Retry::OnChange));
    };
    let permissions = answering(server, &seen.seen)?.capabilities.permissions;
    acts_alone(app, permissions)?;
    fits(object, permissions)?;
    Ok(Admitted::new(app, client_id, permissions))
}

impl Admitted {
    fn new(app: &ExternalApplication, client_id: ClientId, permissions: PermissionScope) -> Self {
        Self {
            client_id,
            display_name: desired(app).display_name,
            server: ServerReference {
                name: app.spec.server_ref.name.clone(),
                namespace: app.spec.server_ref.namespace.clone().or_else(|| app.metadata.namespace.clone()),
            },
            permissions,
            role_based: permissions == PermissionScope::Roles || asks_role_based(app),
            _proof: (),
        }
    }

    /// An application that may be going: to find out who it is, and nothing else.
    pub fn in_passing(app: &ExternalApplication) -> Option<Self> {
        Some(Self::new(app, status_client_id(app)?, PermissionScope::TenantsAndFolders))
    }
}

fn public(app: &ExternalApplication) -> Result<(), Finding> {
    if app.spec.r#type == ApplicationType::Confidential {
        return Ok(());
    }
    let message = "a NonConfidential application acts for the person who signs in, and cannot have roles of its own: give them to the people who use it";
    Err(Finding::stalled(Reason::ApplicationUnsuitable, message))
}

/// Whether the application ever asks for a token of its own.
fn acts_alone(app: &ExternalApplication, permissions: PermissionScope) -> Result<(), Finding> {
    let alone = match permissions {
        PermissionScope::Roles => grant_types(&desired(app)).contains(CLIENT_CREDENTIALS),
        _ => app.spec.resources.iter().any(|resource| !resource.application_scopes.is_empty()),
    };
    if alone {
        return Ok(());
    }
    let which = if permissions == PermissionScope::Roles { "" } else { ", OR.Default among them" };
    let message = format!(
        "the application has no application scopes, so it never acts by itself and cannot have roles: add applicationScopes{which}"
    );
    Err(Finding::stalled(Reason::ApplicationUnsuitable, message))
}

/// Whether the assignment says where the roles are, as far as there is a choice at this server.
fn fits(object: &RoleAssignment, permissions: PermissionScope) -> Result<(), Finding> {
    let (tenant, folders) = (object.spec.tenant.is_some(), !object.spec.folders.is_empty());
    let (reason, message) = match permissions {
        PermissionScope::TenantsAndFolders if !tenant => {
            (Reason::InvalidSpec, "spec.tenant: this server has tenants: say which one, in a new RoleAssignment")
        }
        PermissionScope::Roles if tenant => {
            (Reason::NotSupported, "spec.tenant: this server has no tenants: make another RoleAssignment without it")
        }
        PermissionScope::Roles if folders => {
            (Reason::NotSupported, "spec.folders: this server has no folders: list the roles in spec.roles")
        }
        PermissionScope::None => (Reason::NotSupported, "this kind of server has no roles for applications"),
        _ => return Ok(()),
    };
    Err(Finding::stalled(reason, message))
}

/// Whether an application asks for the scope without which roles have no effect in an Orchestrator.
fn asks_role_based(app: &ExternalApplication) -> bool {
    let wants = |scope: &String| scope == ROLE_BASED;
    app.spec.resources.iter().any(|resource| resource.application_scopes.iter().any(wants))
}

/// Whether the application says that its registration is there.
pub fn is_registered(app: &ExternalApplication) -> bool {
    app.status
        .iter()
        .flat_map(|status| &status.conditions)
        .any(|condition| condition.type_ == "Registered" && condition.status == "True")
}

pub fn observes(object: &RoleAssignment) -> bool {
    object.spec.management == Some(Management::Observe)
}

pub fn has_finalizer(object: &RoleAssignment) -> bool {
    object.metadata.finalizers.iter().flatten().any(|name| name == FINALIZER)
}

/// What the status says that this assignment has done, or was about to do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    pub principal: Option<PrincipalId>,
    pub client_id: Option<ClientId>,
    pub server: Option<ServerReference>,
    /// The operator's proof that it wrote this.
    pub seal: String,
    /// Folders by path and number.
    pub folders: Vec<(String, FolderId)>,
}

impl Record {
    /// Empty where nothing was ever assigned, as under management Observe.
    pub fn of(object: &RoleAssignment) -> Self {
        let Some((status, seal)) = object.status.as_ref().and_then(|status| Some((status, status.seal.clone()?)))
        else {
            return Self::default();
        };
        let numbered = status.folders.iter().filter_map(|folder| Some((folder.path.clone(), FolderId(folder.id?))));
        Self {
            principal: status.principal_id.as_deref().map(PrincipalId::new),
            client_id: status.client_id.as_deref().map(ClientId::new),
            server: status.server_ref.clone(),
            seal,
            folders: numbered.collect(),
        }
    }

    pub fn has(&self, id: FolderId) -> bool {
        self.folders.iter().any(|(_, known)| *known == id)
    }

    /// What the seal is of: whoever can write a status must not be able to name somebody else's identity in it.
    pub fn sealed_text(&self, object: &RoleAssignment) -> String {
        let text = |value: Option<&str>| value.unwrap_or_default().to_owned();
        let server = self.server.as_ref();
        let parts = [
            text(object.metadata.uid.as_deref()),
            object.spec.tenant.clone().unwrap_or_default(),
            text(server.and_then(|server| server.namespace.as_deref())),
            text(server.map(|server| server.name.as_str())),
            text(self.client_id.as_ref().map(ClientId::as_str)),
            text(self.principal.as_ref().map(PrincipalId::as_str)),
        ];
        format!("roles\n{}", parts.join("\n"))
    }
}

/// Whether something may be assigned that this object has to take away again.
pub fn holds(object: &RoleAssignment) -> bool {
    !observes(object) && Record::of(object).principal.is_some()
}

/// Whether the last report says that this very spec was brought about for this registration.
pub fn was_settled(object: &RoleAssignment, client_id: &ClientId) -> bool {
    let Some(status) = &object.status else { return false };
    status.observed_generation == object.metadata.generation
        && status.client_id.as_deref().map(ClientId::new).as_ref() == Some(client_id)
        && status.conditions.iter().any(|condition| {
            condition.type_ == "Ready" && condition.status == "True" && condition.reason != Reason::Suspended.as_str()
        })
}

fn tenant(object: &RoleAssignment) -> &str {
    object.spec.tenant.as_deref().unwrap_or_default()
}

/// Where the roles are, in words for people.
pub fn place(object: &RoleAssignment) -> String {
    match &object.spec.tenant {
        Some(tenant) => format!("in tenant {tenant}"),
        None => "in the realm".into(),
    }
}

/// Whether two assignments speak of the same application in the same tenant.
pub fn concern_the_same(one: &RoleAssignment, other: &RoleAssignment) -> bool {
    one.metadata.namespace == other.metadata.namespace
        && one.spec.application_ref == other.spec.application_ref
        && tenant(one).eq_ignore_ascii_case(tenant(other))
}

/// Whether the other one has to be heard before this one acts: it is about the same, and it stays.
pub fn is_rival(object: &RoleAssignment, other: &RoleAssignment) -> bool {
    concern_the_same(object, other)
        && object.metadata.uid != other.metadata.uid
        && other.metadata.deletion_timestamp.is_none()
}

/// Whether a rival says what the tenant's own roles are, while this one has nothing to say of them.
fn leaves_tenant_to(object: &RoleAssignment, rivals: &[Arc<RoleAssignment>]) -> bool {
    object.spec.roles.is_empty() && rivals.iter().any(|rival| !rival.spec.roles.is_empty())
}

/// Those whose word counts: one that only watches has none.
fn writing(rivals: &[Arc<RoleAssignment>]) -> impl Iterator<Item = &Arc<RoleAssignment>> + Clone {
    rivals.iter().filter(|rival| !observes(rival))
}

fn names<'a>(roles: impl IntoIterator<Item = &'a String>) -> BTreeSet<&'a str> {
    roles.into_iter().map(String::as_str).collect()
}

#[cfg(test)]
mod tests;
