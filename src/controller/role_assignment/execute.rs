//! Doing: one step after the other, each of which may be done again.

use std::sync::Arc;

use super::observe::{self, Looked};
use crate::api::RoleAssignment;
use crate::controller::Context;
use crate::controller::application::Error;
use crate::controller::events::Tone;
use crate::controller::servers::{Connection, Server};
use crate::domain::observed::Finding;
use crate::domain::permissions::{
    Admitted, Assessment, FINALIZER, Outcome, Seen, Step, assess, differences, has_finalizer, observes, status,
    was_settled,
};
use crate::domain::reason::Reason;
use crate::domain::registration::PrincipalId;
use crate::domain::tenant::UserId;
use crate::server::{Assignee, Permissions as _, ServerError};

/// Looks at the tenant, and does what has to be done there.
pub async fn enforce(
    object: &Arc<RoleAssignment>,
    admitted: Admitted,
    seen: &Seen,
    server: &Server,
    ctx: &Context,
) -> Result<Outcome, Error> {
    let looked = match observe::look(object, &admitted, server, ctx).await {
        Ok(looked) => looked,
        Err(finding) => return Ok(Outcome::Refused(finding)),
    };
    let assessment = assess(object, admitted, looked.principal.clone(), &looked.view(), &seen.rivals);
    if observes(object) {
        return Ok(Outcome::Done(Box::new(assessment)));
    }
    let object = if has_finalizer(object) {
        object.clone()
    } else {
        Arc::new(ctx.kubernetes().guard(&**object, FINALIZER, None).await?)
    };
    match perform(&object, &assessment, server, ctx).await? {
        Ok(()) => {
            announce(&object, &assessment, ctx);
            Ok(Outcome::Done(Box::new(assessment)))
        }
        Err(finding) => Ok(Outcome::Failed(Box::new(assessment), finding)),
    }
}

/// Does the steps of an assessment, until one fails.
async fn perform(
    object: &RoleAssignment,
    assessment: &Assessment,
    server: &Server,
    ctx: &Context,
) -> Result<Result<(), Finding>, Error> {
    let (before, after) = split(&assessment.steps);
    let work = Work { object, principal: &assessment.principal, server, ctx };
    if let Err(finding) = work.all(before).await {
        return Ok(Err(finding));
    }
    if assessment.steps.contains(&Step::Record) {
        let begun = Outcome::Begun(Box::new(assessment.clone()));
        if let Some(status) = status(object, &begun, ctx.now()) {
            // On the version that was read: of two operators, one loses.
            ctx.kubernetes().status(object, &status, object.metadata.resource_version.as_deref()).await?;
        }
    }
    Ok(work.all(after).await)
}

/// The steps before and after the record is written.
fn split(steps: &[Step]) -> (&[Step], &[Step]) {
    match steps.iter().position(|step| *step == Step::Record) {
        Some(at) => (&steps[..at], &steps[at + 1..]),
        None => (&[], steps),
    }
}

/// Takes away what an assignment has given, as planned.
pub async fn take_away(
    object: &RoleAssignment,
    looked: &Looked,
    steps: &[Step],
    server: &Server,
    ctx: &Context,
) -> Result<(), Finding> {
    Work { object, principal: &looked.principal, server, ctx }.all(steps).await
}

struct Work<'a> {
    object: &'a RoleAssignment,
    principal: &'a PrincipalId,
    server: &'a Server,
    ctx: &'a Context,
}

impl Work<'_> {
    async fn all(&self, steps: &[Step]) -> Result<(), Finding> {
        if steps.is_empty() {
            return Ok(());
        }
        let result = self.each(steps).await;
        // Whatever became of it: what was read before is no longer what is there.
        let tenant = &self.object.spec.tenant;
        self.server.tenants.changed(tenant, self.principal);
        if let Some(former) = crate::domain::permissions::Record::of(self.object).principal {
            self.server.tenants.changed(tenant, &former);
        }
        result.map_err(|error| observe::failed(&error, self.object, self.server, self.ctx))
    }

    async fn each(&self, steps: &[Step]) -> Result<(), ServerError> {
        let connection = observe::connection(self.server)?;
        let mut admitted = None;
        for step in steps {
            if let Some(user) = self.one(step, admitted, &connection).await? {
                admitted = Some(user);
            }
        }
        Ok(())
    }

    /// `admitted`: the user that an earlier step has made.
    async fn one(
        &self,
        step: &Step,
        admitted: Option<UserId>,
        connection: &Connection,
    ) -> Result<Option<UserId>, ServerError> {
        let (client, tenant) = (&connection.client, self.object.spec.tenant.as_str());
        match step {
            Step::Record => {}
            Step::Admit { roles } => return client.admit(tenant, self.principal, roles).await.map(Some),
            Step::SetTenantRoles { user, roles } => client.set_tenant_roles(tenant, *user, roles).await?,
            Step::SetFolderRoles { user, folders } => {
                let assignee = match user.or(admitted) {
                    Some(user) => Assignee::User(user),
                    None => Assignee::Principal(self.principal.clone()),
                };
                client.set_folder_roles(tenant, &assignee, folders).await?;
            }
            Step::Leave { user, folder } => client.leave(tenant, *folder, *user).await?,
            Step::Expel { user } => client.expel(tenant, *user).await?,
        }
        Ok(None)
    }
}

/// One Event for what was changed.
fn announce(object: &RoleAssignment, assessment: &Assessment, ctx: &Context) {
    if !assessment.differs() {
        return;
    }
    let drift = was_settled(object, &assessment.admitted.client_id);
    let reason = if drift { Reason::DriftCorrected } else { Reason::RolesChanged };
    let note = format!("in tenant {}: {}", object.spec.tenant, differences(assessment));
    ctx.events.publish(object, Tone::Normal, reason, &note);
}
