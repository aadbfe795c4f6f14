//! One pass over an `ExternalApplication`.

use std::sync::Arc;
use std::time::Duration;

use kube::runtime::controller::Action;
use kube::runtime::reflector::ObjectRef;

use super::Context;
use super::kubernetes::is_conflict;
use super::servers::Server;
use crate::api::ExternalApplication;
use crate::domain::credentials::next_retirement;
use crate::domain::intent::READ_LAG;
use crate::domain::observed::{Finding, Observed, RegistrationSeen, Retry, ServerSeen, is_published, was_settled};
use crate::domain::plan::{Circumstances, plan};
use crate::domain::reason::Reason;
use crate::domain::renewal;
use crate::domain::status::Outcome;
use crate::domain::validate::validate;

mod execute;
mod farewell;
mod observe;
mod report;
mod standing;

pub use farewell::{orphaned, revoke};
pub use observe::{admits, admits_namespace};
pub use report::contradicted;
pub use standing::Standing;

/// Who found no turn is woken when there is one. Should that be lost, it asks again after this time.
const ASK_AGAIN: Duration = Duration::from_secs(30);

/// Why a pass could not even be reported. What stands in the way of a pass is an outcome, not an error.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the Kubernetes API failed: {}", super::kubernetes::say(.0))]
    Kubernetes(#[from] kube::Error),
    #[error("the pass took too long")]
    Slow,
}

/// Brings one application and its registration into line.
pub async fn reconcile(app: Arc<ExternalApplication>, ctx: Arc<Context>) -> Result<(Action, &'static str), Error> {
    let server = ctx.servers.get(&super::server_key(&app));
    let Some(_turn) = server.turns.take(&ObjectRef::from_obj(&*app)) else {
        return Ok((Action::requeue(ASK_AGAIN), "waiting"));
    };
    if app.metadata.deletion_timestamp.is_some() {
        return farewell::depart(&app, &server, &ctx).await;
    }
    if too_early(&app, &server, &ctx) {
        return Ok((Action::await_change(), "waiting"));
    }
    let now = ctx.now();
    let (app, observed) = observe::observe(app, &server, &ctx, now).await?;
    if app.metadata.deletion_timestamp.is_some() {
        // The cache did not know yet.
        return farewell::depart(&app, &server, &ctx).await;
    }
    if let Some(wait) = nothing_learnt(&app, &observed) {
        return Ok((Action::requeue(wait), "waiting"));
    }
    let outcome = match validate(&app, &observed, now) {
        Ok(valid) => {
            let plan = plan(&app, &valid, &observed, Circumstances { identity: &ctx.settings.identity, now });
            execute::execute(&app, valid, plan, &observed, &server, &ctx, now).await
        }
        Err(refusal) => Outcome::Refused { finding: refusal.finding, scopes: refusal.scopes },
    };
    if execute::is_late(now, &ctx) {
        return Err(Error::Slow);
    }
    match report::report(&app, &observed, &outcome, &ctx).await {
        // Somebody wrote meanwhile: look again.
        Err(Error::Kubernetes(error)) if is_conflict(&error) => {
            Ok((Action::requeue(Duration::from_millis(200)), "waiting"))
        }
        Err(error) => Err(error),
        Ok(()) => Ok(next(&app, &outcome, &ctx)),
    }
}

/// Right after a start nothing is known of any server: to say so in every status would be two writes for nothing. The
/// server's first pass wakes its applications.
fn too_early(app: &ExternalApplication, server: &Server, ctx: &Context) -> bool {
    let exists = || ctx.authorization_servers.get(&server.key.reference()).is_some();
    app.metadata.deletion_timestamp.is_none() && matches!(server.seen(), ServerSeen::NotTried) && exists()
}

/// An application that was well stays so while the server does not show what it has yet, or while a look that nobody
/// waits for does not fit into its budget. Gives back when to look again.
fn nothing_learnt(app: &ExternalApplication, seen: &Observed) -> Option<Duration> {
    let wait = match &seen.registration {
        RegistrationSeen::Unreadable(Finding { reason: Reason::RateLimited, retry: Retry::After(wait), .. }) => *wait,
        RegistrationSeen::Lagging(_) | RegistrationSeen::Unreadable(Finding { reason: Reason::RateLimited, .. }) => {
            READ_LAG
        }
        _ => return None,
    };
    (was_settled(app) && is_published(app, &seen.outputs)).then_some(wait)
}

/// When to look again.
fn next(app: &ExternalApplication, outcome: &Outcome, ctx: &Context) -> (Action, &'static str) {
    let uid = app.metadata.uid.as_deref().unwrap_or_default();
    let failed = |finding: &Finding| ctx.retries.action(uid, finding.retry);
    match outcome {
        Outcome::Silent => (ctx.retries.action(uid, Retry::After(Duration::from_millis(200))), "waiting"),
        Outcome::Failed { finding, .. } => (failed(finding), "failed"),
        Outcome::Refused { finding, .. } if finding.reason == Reason::Suspended => (Action::await_change(), "waiting"),
        Outcome::Refused { finding, .. } if !finding.stalled => (failed(finding), "waiting"),
        Outcome::Refused { finding, .. } => (failed(finding), "refused"),
        Outcome::Done { achieved, .. } | Outcome::Held { achieved, .. } => {
            ctx.retries.forget(uid);
            ctx.clear_suspicion(uid);
            ctx.at_rest(uid);
            let (credentials, now) = (&achieved.credentials, ctx.now());
            let due = [next_retirement(credentials), renewal::next(credentials, now)].into_iter().flatten().min();
            let left = due.and_then(|end| Duration::try_from(end.duration_since(now)).ok());
            let action = left.map_or_else(Action::await_change, |left| Action::requeue(left + Duration::from_secs(1)));
            (action, if matches!(outcome, Outcome::Done { .. }) { "done" } else { "refused" })
        }
    }
}
