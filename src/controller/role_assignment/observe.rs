//! Seeing: the objects around an assignment, and the tenant that it is about.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::api::RoleAssignment;
use crate::controller::Context;
use crate::controller::application::admits_namespace;
use crate::controller::servers::{Connection, Server};
use crate::controller::tenants::Question;
use crate::domain::capabilities::PermissionScope;
use crate::domain::observed::{Finding, Retry, ServerSeen};
use crate::domain::permissions::{Admitted, Known, Record, Seen, View, is_rival};
use crate::domain::reason::Reason;
use crate::domain::registration::{ClientId, PrincipalId};
use crate::domain::tenant::{FolderId, Member, Principal, Tenant};
use crate::server::{AuthorizationServer as _, Lane, Permissions as _, ServerError};

/// What stands around the assignment in Kubernetes, and what is known of its server.
pub fn around(object: &RoleAssignment, server: &Server, ctx: &Context) -> Seen {
    let authorization_server = ctx.authorization_servers.get(&server.key.reference());
    let namespace = object.metadata.namespace.as_deref().unwrap_or_default();
    let admitted = authorization_server.as_ref().is_some_and(|found| admits_namespace(found, namespace, ctx));
    let seen = if authorization_server.is_some() { server.seen() } else { ServerSeen::Absent };
    Seen { admitted, seen, server: authorization_server, ..nowhere(object, ctx) }
}

/// The same, where there is no server.
pub fn nowhere(object: &RoleAssignment, ctx: &Context) -> Seen {
    let application = ctx.application_of(object);
    Seen { application, server: None, admitted: false, seen: ServerSeen::Absent }
}

/// Other assignments of the same application and tenant that stay. All are walked over: only where they are heard.
pub fn rivals(object: &RoleAssignment, ctx: &Context) -> Vec<Arc<RoleAssignment>> {
    ctx.role_assignments.state().into_iter().filter(|other| is_rival(object, other)).collect()
}

/// The tenant, as one decision needs it.
pub struct Looked {
    pub tenant: Arc<Tenant>,
    pub members: BTreeMap<FolderId, Arc<Vec<Member>>>,
}

impl Looked {
    pub fn view(&self) -> View<'_> {
        View { tenant: &self.tenant, members: &self.members }
    }
}

/// How an assignment is looked at: for a person, or because a sweep wants it compared.
#[derive(Clone, Copy)]
pub struct Occasion {
    pub lane: Lane,
    pub since: Option<jiff::Timestamp>,
}

impl Occasion {
    /// What is settled and only compared comes out of the sweeps' own share of the server's budget.
    pub fn of(settled: bool, server: &Server) -> Self {
        if settled {
            Self { lane: Lane::Resync, since: server.swept_at() }
        } else {
            Self { lane: Lane::User, since: None }
        }
    }
}

/// Looks at the tenant, and at every folder that is listed, or was.
pub async fn look(
    object: &RoleAssignment,
    known: &Known,
    server: &Server,
    occasion: Occasion,
) -> Result<Looked, Finding> {
    let failed = |error: ServerError| failed(&error, object);
    let connection = connection(server).map_err(failed)?;
    let roles: BTreeSet<String> = object.spec.roles.iter().cloned().collect();
    let question = Question {
        connection: &connection,
        tenant: object.spec.tenant.as_deref().unwrap_or_default(),
        roles: &roles,
        principal: &known.principal,
        since: occasion.since,
        lane: occasion.lane,
    };
    let tenant = server.tenants.tenant(question).await.map_err(failed)?;
    let listed = object.spec.folders.iter().filter_map(|folder| tenant.folder(&folder.path)).map(|folder| folder.id);
    // Also those that the list of folders does not show: the operator may not see them now.
    let recorded = known.record.folders.iter().map(|(_, id)| *id);
    let folders: BTreeSet<FolderId> = listed.chain(recorded).collect();
    let members = server.tenants.members(question, folders).await.map_err(failed)?;
    server.tenants.compared(object.metadata.uid.as_deref().unwrap_or_default());
    Ok(Looked { tenant, members })
}

pub fn connection(server: &Server) -> Result<Arc<Connection>, ServerError> {
    server.connection().ok_or(ServerError::Unreachable { what: "not connected" })
}

/// Whether the operator itself wrote what the status says.
pub fn is_proven(object: &RoleAssignment, record: &Record, server: &Server) -> bool {
    server.recognises(&record.sealed_text(object), &record.seal) == Some(true)
}

/// Who the application is, and what was written down about it: what the operator has not written is found out anew.
pub async fn identify(
    object: &RoleAssignment,
    admitted: &Admitted,
    server: &Server,
    lane: Lane,
) -> Result<Known, Finding> {
    let record = Record::of(object);
    let same = record.client_id.as_ref() == Some(&admitted.client_id);
    // A service account is made anew when somebody switches it off and on: there, to ask costs little.
    let lasting = admitted.permissions != PermissionScope::Roles;
    let believed = record.principal.clone().filter(|_| lasting && same && is_proven(object, &record, server));
    let principal = match believed {
        Some(principal) => principal,
        None => identity(object, admitted, server, lane).await?,
    };
    // What the directory confirms may be believed, too.
    let record = if record.principal.as_ref() == Some(&principal) { record } else { Record::default() };
    let written = Record {
        principal: Some(principal.clone()),
        client_id: Some(admitted.client_id.clone()),
        server: Some(admitted.server.clone()),
        ..Record::default()
    };
    let connection = connection(server).map_err(|error| failed(&error, object))?;
    let seal = connection.client.seal(&written.sealed_text(object)).unwrap_or_default();
    Ok(Known { principal, record, seal })
}

/// What the directory says who the application is.
pub async fn identity(
    object: &RoleAssignment,
    admitted: &Admitted,
    server: &Server,
    lane: Lane,
) -> Result<PrincipalId, Finding> {
    let connection = connection(server).map_err(|error| failed(&error, object))?;
    let name = &admitted.display_name;
    let found = connection
        .client
        .principal(object.spec.tenant.as_deref().unwrap_or_default(), &admitted.client_id, name, lane)
        .await;
    match found.map_err(|error| failed(&error, object))? {
        Principal::Known(principal) => Ok(principal),
        Principal::Unknown => {
            let message = format!("the directory does not know an application {name} yet; it is looked for again");
            Err(Finding::passing(Reason::PrincipalNotFound, message, Retry::Backoff))
        }
        Principal::Ambiguous => {
            let message = format!(
                "several applications are called {name}, and the directory does not tell them apart: give this one a displayName of its own"
            );
            Err(Finding::stalled(Reason::PrincipalAmbiguous, message).looked_at_again())
        }
    }
}

/// Whether the registration that was recorded still exists.
pub async fn is_registered(id: &ClientId, server: &Server) -> Result<bool, ServerError> {
    Ok(connection(server)?.client.get(id, Lane::Resync).await?.is_some())
}

/// What went wrong when the tenant was looked at, in the words of an assignment. It is the tenant's own affair: others at
/// the same server are served.
pub fn failed(error: &ServerError, object: &RoleAssignment) -> Finding {
    if matches!(error, ServerError::NotFound)
        && let Some(tenant) = &object.spec.tenant
    {
        let message = format!(
            "tenant {tenant}: the organization has none of this name; make another RoleAssignment with the right name"
        );
        return Finding::stalled(Reason::TenantNotFound, message).looked_at_again();
    }
    crate::controller::servers::finding(error)
}
