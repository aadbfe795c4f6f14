//! One pass over a `RoleAssignment`.

use std::sync::Arc;
use std::time::Duration;

use kube::runtime::controller::Action;
use kube::runtime::reflector::ObjectRef;

use super::Context;
use super::application::Error;
use super::kubernetes::is_conflict;
use super::servers::Server;
use crate::api::RoleAssignment;
use crate::domain::observed::{Finding, Retry, ServerSeen};
use crate::domain::permissions::{Outcome, finding, gate, has_finalizer, observes, was_settled};

mod execute;
mod farewell;
mod observe;
mod report;
pub mod watch;

pub use farewell::remaining;

/// Who found no turn is woken when there is one. Should that be lost, it asks again after this time.
const ASK_AGAIN: Duration = Duration::from_secs(30);

/// Brings the roles of one application in one tenant into line.
pub async fn reconcile(object: Arc<RoleAssignment>, ctx: Arc<Context>) -> Result<(Action, &'static str), Error> {
    let server = ctx.server_of(&object).map(|key| ctx.servers.get(&key));
    let Some(server) = &server else {
        return alone(&object, &ctx).await;
    };
    let Some(_turn) = server.permit_turns.take(&ObjectRef::from_obj(&*object)) else {
        return Ok((Action::requeue(ASK_AGAIN), "waiting"));
    };
    if object.metadata.deletion_timestamp.is_some() {
        return farewell::depart(&object, server, &ctx).await;
    }
    if too_early(server, &ctx) {
        return Ok((Action::await_change(), "waiting"));
    }
    if let Some(outcome) = farewell::move_away(&object, server, &ctx).await {
        return settle(&object, Ok(outcome), &ctx).await;
    }
    let seen = observe::around(&object, server, &ctx);
    let admitted = match gate(&object, &seen) {
        Ok(admitted) => admitted,
        Err(finding) => {
            let outcome = farewell::withdraw(&object, &seen, finding, server, &ctx).await;
            return settle(&object, Ok(outcome), &ctx).await;
        }
    };
    let settled = was_settled(&object, &admitted.client_id) && (observes(&object) || has_finalizer(&object));
    if settled && !is_suspect(&object, &ctx) {
        return Ok((Action::await_change(), "done"));
    }
    let outcome = execute::enforce(&object, admitted, settled, &seen, server, &ctx).await;
    match outcome {
        Ok(Outcome::Refused(finding)) if settled && !finding.stalled => {
            // A look that nobody waits for, and that came to nothing: it is as it was when it was last looked at.
            let uid = object.metadata.uid.as_deref().unwrap_or_default();
            Ok((ctx.retries.action(uid, finding.retry), "waiting"))
        }
        outcome => settle(&object, outcome, &ctx).await,
    }
}

/// An assignment of an application that does not exist, and that has never been at a server.
async fn alone(object: &Arc<RoleAssignment>, ctx: &Context) -> Result<(Action, &'static str), Error> {
    if object.metadata.deletion_timestamp.is_some() {
        return farewell::release(object, ctx).await;
    }
    let seen = observe::nowhere(object, ctx);
    match gate(object, &seen) {
        Err(finding) => settle(object, Ok(Outcome::Refused(finding)), ctx).await,
        // The application has come meanwhile: the watch wakes this again.
        Ok(_) => Ok((Action::await_change(), "waiting")),
    }
}

/// Reports, and says when to look again.
async fn settle(
    object: &Arc<RoleAssignment>,
    outcome: Result<Outcome, Error>,
    ctx: &Context,
) -> Result<(Action, &'static str), Error> {
    let told = async {
        let outcome = outcome?;
        report::report(object, &outcome, ctx).await?;
        Ok(next(object, &outcome, ctx))
    };
    match told.await {
        // Somebody wrote meanwhile: look again.
        Err(Error::Kubernetes(error)) if is_conflict(&error) => {
            Ok((Action::requeue(Duration::from_millis(200)), "waiting"))
        }
        other => other,
    }
}

/// Right after a start nothing is known of any server. Its first pass wakes those who have their effect there.
fn too_early(server: &Server, ctx: &Context) -> bool {
    matches!(server.seen(), ServerSeen::NotTried) && ctx.authorization_servers.get(&server.key.reference()).is_some()
}

fn is_suspect(object: &RoleAssignment, ctx: &Context) -> bool {
    ctx.is_suspect(object.metadata.uid.as_deref().unwrap_or_default())
}

/// When to look again.
fn next(object: &RoleAssignment, outcome: &Outcome, ctx: &Context) -> (Action, &'static str) {
    let uid = object.metadata.uid.as_deref().unwrap_or_default();
    let again = |finding: &Finding| ctx.retries.action(uid, finding.retry);
    match outcome {
        Outcome::Begun(_) => (ctx.retries.action(uid, Retry::Backoff), "waiting"),
        Outcome::Failed(_, finding) => (again(finding), "failed"),
        Outcome::Refused(finding) | Outcome::Withdrawn(finding) => {
            (again(finding), if finding.stalled { "refused" } else { "waiting" })
        }
        Outcome::Done(_) => {
            ctx.retries.forget(uid);
            ctx.clear_suspicion(uid);
            (Action::await_change(), if finding(outcome).is_some() { "refused" } else { "done" })
        }
    }
}
