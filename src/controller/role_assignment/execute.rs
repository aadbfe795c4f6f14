//! Doing: one step after the other, each of which may be done again.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::farewell;
use super::observe::{self, Occasion};
use crate::api::RoleAssignment;
use crate::controller::Context;
use crate::controller::application::Error;
use crate::controller::events::Tone;
use crate::controller::servers::{Connection, Server, finding};
use crate::domain::observed::{Finding, Retry};
use crate::domain::permissions::{
    Admitted, Assessment, FINALIZER, Outcome, Record, Refusal, Seen, Step, assess, changes, gate, has_finalizer,
    observes, place,
};
use crate::domain::reason::Reason;
use crate::domain::registration::PrincipalId;
use crate::domain::tenant::{FolderId, RoleId, UserId};
use crate::server::{Assignee, Permissions as _, ServerError};

/// Looks at the tenant, and does what has to be done there. `settled`: it was as listed when it was last looked at.
pub async fn enforce(
    object: &Arc<RoleAssignment>,
    admitted: Admitted,
    settled: bool,
    seen: &Seen,
    server: &Server,
    ctx: &Context,
) -> Result<Outcome, Error> {
    let occasion = Occasion::of(settled, server);
    let known = match observe::identify(object, &admitted, server, occasion.lane).await {
        Ok(known) => known,
        Err(finding) => return Ok(Outcome::Refused(finding)),
    };
    // The application was registered anew: what its former identity has goes first, while the record still names it.
    let former = Record::of(object).principal.is_some_and(|principal| principal != known.principal);
    if former
        && !observes(object)
        && let Err(finding) = farewell::remove(object, seen, &[], server, ctx).await
    {
        return Ok(Outcome::Refused(finding));
    }
    let looked = match observe::look(object, &known, server, occasion).await {
        Ok(looked) => looked,
        Err(finding) => return Ok(Outcome::Refused(finding)),
    };
    let assessment = assess(object, admitted, known, &looked.view(), &observe::rivals(object, ctx));
    if observes(object) {
        return Ok(Outcome::Done(Box::new(assessment)));
    }
    let object = if has_finalizer(object) {
        object.clone()
    } else {
        Arc::new(ctx.kubernetes().guard(&**object, FINALIZER, None).await?)
    };
    // The application may have gone while the tenant was looked at: then nothing is assigned to it any more.
    if let Err(finding) = gate(&object, &observe::around(&object, server, ctx)) {
        return Ok(Outcome::Refused(finding));
    }
    let done = perform(&object, &assessment, server, ctx).await?;
    if assessment.differs() && !matches!(&done, Err(failure) if failure.refused.is_empty()) {
        let note = format!("{}: {}", place(&object), changes(&assessment));
        let reason = if settled { Reason::DriftCorrected } else { Reason::RolesChanged };
        ctx.events.publish(&*object, Tone::Normal, reason, &note);
    }
    Ok(match done {
        Ok(()) => Outcome::Done(Box::new(assessment)),
        Err(Failure { finding, refused }) if refused.is_empty() => Outcome::Failed(Box::new(assessment), finding),
        Err(Failure { finding, refused }) => Outcome::Failed(Box::new(assessment.partly(&refused)), finding),
    })
}

/// Why not all steps were done.
pub struct Failure {
    pub finding: Finding,
    /// Folders that were refused one by one, while the others were not.
    refused: Vec<(FolderId, Refusal)>,
}

/// Does the steps of an assessment, until one fails.
async fn perform(
    object: &RoleAssignment,
    assessment: &Assessment,
    server: &Server,
    ctx: &Context,
) -> Result<Result<(), Failure>, Error> {
    if assessment.steps.contains(&Step::Record) {
        let begun = Outcome::Begun(Box::new(assessment.clone()));
        // On the version that was read: of two operators, one loses.
        super::report::write(object, &begun, object.metadata.resource_version.as_deref(), ctx).await?;
    }
    let path = |id: FolderId| assessment.folders.iter().find(|folder| folder.id == Some(id)).map(|folder| &folder.path);
    let work = Work { object, principal: &assessment.principal, server };
    Ok(match work.all(&assessment.steps).await {
        Ok(refused) if refused.is_empty() => Ok(()),
        Ok(refused) => Err(refusals(&refused, path)),
        Err(error) => Err(Failure { finding: midway(&error), refused: Vec::new() }),
    })
}

/// Folders that the server refused, by what it said.
fn refusals<'a>(refused: &[(FolderId, ServerError)], path: impl Fn(FolderId) -> Option<&'a String>) -> Failure {
    let named: Vec<(FolderId, Refusal)> = refused
        .iter()
        .map(|(id, error)| {
            let finding = midway(error);
            let path = path(*id).map_or_else(|| id.to_string(), Clone::clone);
            (*id, Refusal { reason: finding.reason, message: format!("folder {path}: {}", finding.message) })
        })
        .collect();
    let said: Vec<&str> = named.iter().take(8).map(|(_, refusal)| refusal.message.as_str()).collect();
    let reason = named.first().map_or(Reason::RejectedByServer, |(_, refusal)| refusal.reason);
    let finding = Finding::stalled(reason, said.join("; ")).looked_at_again();
    Failure { finding, refused: named }
}

/// What went wrong in the middle: the tenant is there.
fn midway(error: &ServerError) -> Finding {
    if matches!(error, ServerError::NotFound) {
        let message = "a folder, a role or the user vanished in the tenant meanwhile; it is looked at again";
        return Finding::passing(Reason::ServerConflict, message, Retry::Backoff);
    }
    finding(error)
}

/// Takes away what an assignment has given, as planned.
pub async fn take_away(
    object: &RoleAssignment,
    principal: &PrincipalId,
    steps: &[Step],
    server: &Server,
) -> Result<(), Finding> {
    Work { object, principal, server }.all(steps).await.map(|_| ()).map_err(|error| midway(&error))
}

struct Work<'a> {
    object: &'a RoleAssignment,
    principal: &'a PrincipalId,
    server: &'a Server,
}

impl Work<'_> {
    /// Gives back the folders that were refused one by one.
    async fn all(&self, steps: &[Step]) -> Result<Vec<(FolderId, ServerError)>, ServerError> {
        if steps.iter().all(|step| *step == Step::Record) {
            return Ok(Vec::new());
        }
        let _changing = self.server.tenants.changing(self.tenant(), self.principal);
        let connection = observe::connection(self.server)?;
        let (mut admitted, mut refused) = (None, Vec::new());
        for step in steps {
            match step {
                Step::Record => {}
                Step::Admit { roles } => admitted = Some(self.admit(roles, &connection).await?),
                Step::SetFolderRoles { user, folders } => {
                    let assignee = match user.clone().or_else(|| admitted.clone()) {
                        Some(user) => Assignee::User(user),
                        None => Assignee::Principal(self.principal.clone()),
                    };
                    refused.extend(self.assign(&assignee, folders, &connection).await?);
                }
                Step::SetTenantRoles { user, roles } => {
                    connection.client.set_tenant_roles(self.tenant(), user, roles).await?;
                }
                Step::Leave { user, folder } => connection.client.leave(self.tenant(), *folder, user).await?,
                Step::Expel { user } => connection.client.expel(self.tenant(), user).await?,
            }
        }
        Ok(refused)
    }

    fn tenant(&self) -> &str {
        self.object.spec.tenant.as_deref().unwrap_or_default()
    }

    /// Somebody may have been faster, perhaps this very request when it was sent before: then the user is there.
    async fn admit(&self, roles: &BTreeSet<String>, connection: &Connection) -> Result<UserId, ServerError> {
        let client = &connection.client;
        match client.admit(self.tenant(), self.principal, roles).await {
            Err(refusal @ (ServerError::Conflict { .. } | ServerError::Rejected { .. })) => {
                match client.user(self.tenant(), self.principal, crate::server::Lane::User).await? {
                    // The next look sees its roles.
                    Some(user) if user.roles == *roles => Ok(user.id),
                    Some(_) => Err(ServerError::NotFound),
                    None => Err(refusal),
                }
            }
            other => other,
        }
    }

    /// All folders in one request; where that is refused, one by one, so that one does not stand in the way of the others.
    async fn assign(
        &self,
        assignee: &Assignee,
        folders: &[(FolderId, Vec<RoleId>)],
        connection: &Connection,
    ) -> Result<Vec<(FolderId, ServerError)>, ServerError> {
        let set = async |some: &[(FolderId, Vec<RoleId>)]| {
            connection.client.set_folder_roles(self.tenant(), assignee, some).await
        };
        match set(folders).await {
            Err(error) if is_refusal(&error) && folders.len() > 1 => {}
            Err(error) if is_refusal(&error) => return Ok(vec![(folders[0].0, error)]),
            other => return other.map(|()| Vec::new()),
        }
        let mut refused = Vec::new();
        for folder in folders {
            match set(std::slice::from_ref(folder)).await {
                Ok(()) => {}
                Err(error) if is_refusal(&error) => refused.push((folder.0, error)),
                Err(error) => return Err(error),
            }
        }
        Ok(refused)
    }
}

/// Whether the server has understood, and will not.
fn is_refusal(error: &ServerError) -> bool {
    matches!(
        error,
        ServerError::Forbidden { .. }
            | ServerError::NotFound
            | ServerError::Conflict { .. }
            | ServerError::Rejected { .. }
    )
}
