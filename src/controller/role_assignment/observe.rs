//! Seeing: the objects around an assignment, and the tenant that it is about.

use std::sync::Arc;

use crate::api::RoleAssignment;
use crate::controller::Context;
use crate::controller::application::admits_namespace;
use crate::controller::servers::{Connection, Server};
use crate::controller::tenants::Question;
use crate::domain::observed::{Finding, Retry, ServerSeen};
use crate::domain::permissions::{Admitted, Record, Seen, View, is_rival};
use crate::domain::reason::Reason;
use crate::domain::registration::{ClientId, PrincipalId};
use crate::domain::tenant::{FolderId, Member, Principal, Tenant};
use crate::server::{Lane, Permissions as _, ServerError};

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
    let rivals = ctx.role_assignments.state().into_iter().filter(|other| is_rival(object, other)).collect();
    let application = ctx.application_of(object);
    Seen { application, server: None, admitted: false, seen: ServerSeen::Absent, rivals }
}

/// Everything of the tenant that one decision rests on.
pub struct Looked {
    pub principal: PrincipalId,
    pub tenant: Arc<Tenant>,
    pub members: std::collections::BTreeMap<FolderId, Arc<Vec<Member>>>,
}

impl Looked {
    pub fn view(&self) -> View<'_> {
        View { tenant: &self.tenant, members: &self.members }
    }
}

/// Looks at the tenant. What a sweep has found comes out of its own share of the server's budget.
pub async fn look(
    object: &RoleAssignment,
    admitted: &Admitted,
    server: &Server,
    ctx: &Context,
) -> Result<Looked, Finding> {
    let suspect = super::is_suspect(object, ctx);
    let lane = if suspect { Lane::Resync } else { Lane::User };
    let failed = |error: ServerError| failed(&error, object, server, ctx);
    let principal = match recorded(object, admitted, &Record::of(object)) {
        Some(principal) => principal,
        None => identity(object, admitted, server, lane).await.map_err(failed)??,
    };
    look_at(object, &principal, server, lane, suspect).await.map_err(failed)
}

/// Looks only at what the record names. `None`: there is no such tenant any more.
pub async fn look_back(
    object: &RoleAssignment,
    principal: &PrincipalId,
    server: &Server,
    ctx: &Context,
) -> Result<Option<Looked>, Finding> {
    match look_at(object, principal, server, Lane::User, false).await {
        Ok(looked) => Ok(Some(looked)),
        Err(ServerError::NotFound) => Ok(None),
        Err(error) => Err(failed(&error, object, server, ctx)),
    }
}

async fn look_at(
    object: &RoleAssignment,
    principal: &PrincipalId,
    server: &Server,
    lane: Lane,
    suspect: bool,
) -> Result<Looked, ServerError> {
    let connection = connection(server)?;
    let record = Record::of(object);
    let former = record.principal.as_ref().unwrap_or(principal);
    let since = if suspect { server.swept_at() } else { None };
    let principals = [principal, former];
    let question =
        Question { connection: &connection, tenant: &object.spec.tenant, principals: &principals, since, lane };
    let tenant = server.tenants.tenant(question).await?;
    let listed = object.spec.folders.iter().filter_map(|folder| tenant.folder(&folder.path)).map(|folder| folder.id);
    let recorded = record.folders.iter().map(|(_, id)| *id).filter(|id| tenant.has_folder(*id));
    let folders: std::collections::BTreeSet<FolderId> = listed.chain(recorded).collect();
    let members = server.tenants.members(question, folders).await?;
    Ok(Looked { principal: principal.clone(), tenant, members })
}

pub fn connection(server: &Server) -> Result<Arc<Connection>, ServerError> {
    server.connection().ok_or(ServerError::Unreachable { what: "not connected" })
}

/// The recorded identity, as long as the registration is the same.
fn recorded(object: &RoleAssignment, admitted: &Admitted, record: &Record) -> Option<PrincipalId> {
    let client_id = object.status.as_ref().and_then(|status| status.client_id.as_deref()).map(ClientId::new);
    record.principal.clone().filter(|_| client_id.as_ref() == Some(&admitted.client_id))
}

/// What the directory says who the application is.
async fn identity(
    object: &RoleAssignment,
    admitted: &Admitted,
    server: &Server,
    lane: Lane,
) -> Result<Result<PrincipalId, Finding>, ServerError> {
    let connection = connection(server)?;
    let name = &admitted.display_name;
    let found = connection.client.principal(&object.spec.tenant, &admitted.client_id, name, lane).await?;
    Ok(match found {
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
    })
}

/// What went wrong at the tenant, in the words of an assignment. What concerns everybody who uses the server is the
/// server's own to look into.
pub fn failed(error: &ServerError, object: &RoleAssignment, server: &Server, ctx: &Context) -> Finding {
    if server.report(error) {
        ctx.wake_server(&server.key);
    }
    if matches!(error, ServerError::NotFound) {
        let message = format!(
            "tenant {}: the organization has none of this name, or what it is asked about is gone; make another RoleAssignment with the right name",
            object.spec.tenant
        );
        return Finding::stalled(Reason::TenantNotFound, message).looked_at_again();
    }
    crate::controller::servers::finding(error)
}
