//! Decisions about a `RoleAssignment`: whether it may be acted on, what has to change, and what is said of it.

use std::collections::BTreeSet;
use std::sync::Arc;

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

pub use assess::{Assessment, Step, View, assess, departure};
pub use report::{Outcome, differences, finding, status};

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
    /// Other assignments of the same application and tenant that write, and stay.
    pub rivals: Vec<Arc<RoleAssignment>>,
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
    suitable(app)?;
    let server = open_to(app, seen.server.as_deref(), seen.admitted)?;
    let client_id = status_client_id(app).filter(|_| is_registered(app) && app.metadata.deletion_timestamp.is_none());
    let Some(client_id) = client_id else {
        let why = if app.metadata.deletion_timestamp.is_some() { "is being deleted" } else { "is not registered yet" };
        let message = format!("ExternalApplication {name} {why}: `kubectl describe extapp {name}` says why");
        return Err(Finding::passing(Reason::ApplicationNotReady, message, Retry::OnChange));
    };
    answering(server, &seen.seen)?;
    let wants = |scope: &String| scope == ROLE_BASED;
    Ok(Admitted {
        client_id,
        display_name: desired(app).display_name,
        server: ServerReference {
            name: app.spec.server_ref.name.clone(),
            namespace: app.spec.server_ref.namespace.clone().or_else(|| app.metadata.namespace.clone()),
        },
        role_based: app.spec.resources.iter().any(|resource| resource.application_scopes.iter().any(wants)),
        _proof: (),
    })
}

fn suitable(app: &ExternalApplication) -> Result<(), Finding> {
    let message = if app.spec.r#type == ApplicationType::NonConfidential {
        "a NonConfidential application acts for the person who signs in, and cannot have roles of its own: give them to the people who use it"
    } else if app.spec.resources.iter().all(|resource| resource.application_scopes.is_empty()) {
        "the application has no application scopes, so it never acts by itself and cannot have roles: add applicationScopes, OR.Default among them"
    } else {
        return Ok(());
    };
    Err(Finding::stalled(Reason::ApplicationUnsuitable, message))
}

fn is_registered(app: &ExternalApplication) -> bool {
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
    /// Folders by path and number.
    pub folders: Vec<(String, FolderId)>,
}

impl Record {
    pub fn of(object: &RoleAssignment) -> Self {
        let Some(status) = &object.status else { return Self::default() };
        let numbered = status.folders.iter().filter_map(|folder| Some((folder.path.clone(), FolderId(folder.id?))));
        Self { principal: status.principal_id.as_deref().map(PrincipalId::new), folders: numbered.collect() }
    }

    pub fn has(&self, id: FolderId) -> bool {
        self.folders.iter().any(|(_, known)| *known == id)
    }
}

/// Whether something may be assigned that this object has to take away again.
pub fn holds(object: &RoleAssignment) -> bool {
    !observes(object) && has_finalizer(object) && Record::of(object).principal.is_some()
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

/// Whether two assignments speak of the same application in the same tenant.
pub fn concern_the_same(one: &RoleAssignment, other: &RoleAssignment) -> bool {
    one.metadata.namespace == other.metadata.namespace
        && one.spec.application_ref == other.spec.application_ref
        && one.spec.tenant == other.spec.tenant
}

/// Whether the other one has to be heard before this one acts: it writes, and it stays.
pub fn is_rival(object: &RoleAssignment, other: &RoleAssignment) -> bool {
    concern_the_same(object, other)
        && object.metadata.uid != other.metadata.uid
        && other.metadata.deletion_timestamp.is_none()
        && !observes(other)
}

fn names<'a>(roles: impl IntoIterator<Item = &'a String>) -> BTreeSet<&'a str> {
    roles.into_iter().map(String::as_str).collect()
}

#[cfg(test)]
mod tests;
