//! One pass over an `ExternalApplication`.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use kube::runtime::controller::Action;
use kube::runtime::reflector::ObjectRef;

use super::Context;
use super::kubernetes::is_conflict;
use super::servers::Server;
use crate::api::ExternalApplication;
use crate::domain::capabilities::Secrets;
use crate::domain::credentials::next_retirement;
use crate::domain::intent::READ_LAG;
use crate::domain::observed::{
    Finding, Observed, RegistrationSeen, Retry, ServerSeen, is_published, observes, was_settled,
};
use crate::domain::plan::{Circumstances, Plan, plan};
use crate::domain::reason::Reason;
use crate::domain::renewal;
use crate::domain::rotation;
use crate::domain::rotation::report::Progress;
use crate::domain::status::Outcome;
use crate::domain::validate::validate;

mod execute;
mod farewell;
mod observe;
mod report;
mod restart;
mod standing;
mod turn;

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
    let mut doubtful = false;
    let outcome = match validate(&app, &observed, now) {
        Ok(valid) => {
            let plan = plan(&app, &valid, &observed, Circumstances { identity: &ctx.settings.identity, now });
            doubtful = is_unshown(&plan, &observed);
            execute::execute(&app, valid, plan, &observed, &server, &ctx, now).await
        }
        Err(refusal) => Outcome::Refused { finding: refusal.finding, scopes: refusal.scopes },
    };
    let uid = app.metadata.uid.as_deref().unwrap_or_default();
    if app.spec.suspend || !observed.admitted {
        // It is not carried on: it holds up nobody.
        server.rotations().forget(uid);
    } else if observed.turn.is_some() && !is_rotating(&outcome) {
        server.rotations().ended(uid);
    }
    if execute::is_late(now, &ctx) {
        return Err(Error::Slow);
    }
    match report::report(&app, &observed, &outcome, &ctx).await {
        // Somebody wrote meanwhile: look again.
        Err(Error::Kubernetes(error)) if is_conflict(&error) => {
            Ok((Action::requeue(Duration::from_millis(200)), "waiting"))
        }
        Err(error) => Err(error),
        Ok(()) => {
            if let Some((valid, achieved)) = outcome.carried() {
                if !execute::tidy(&app, valid, achieved, &ctx).await {
                    return Ok((ctx.retries.action(&valid.uid, Retry::Backoff), "failed"));
                }
                if achieved.restarts.is_none() {
                    restart::end(&valid.uid, &ctx);
                }
            }
            Ok(next(&app, &outcome, doubtful, &ctx))
        }
    }
}

/// Whether a rotation has begun and its secret is not accepted, or waits for its turn. One that cannot be written keeps nobody
/// else from going on.
fn is_rotating(outcome: &Outcome) -> bool {
    let progress = outcome.carried().map(|(_, achieved)| &achieved.rotation);
    progress.is_some_and(|progress| matches!(progress, Progress::Waiting { .. } | Progress::Proving { .. }))
}

/// Whether the server does not show the secret that is published, although it holds several and lists them. If it was just
/// made, it may not show yet; if it was removed, it is only given up once that cannot be the reason.
fn is_unshown(plan: &Plan, seen: &Observed) -> bool {
    let (Some((secret, _)), RegistrationSeen::Present(actual)) = (&plan.secret, &seen.registration) else {
        return false;
    };
    let ServerSeen::Usable(facts) = &seen.seen else { return false };
    facts.capabilities.secrets == Secrets::Several && actual.secrets.iter().all(|known| known.id != *secret)
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

/// When to look again. `doubtful`: the server does not show the published secret.
fn next(app: &ExternalApplication, outcome: &Outcome, doubtful: bool, ctx: &Context) -> (Action, &'static str) {
    let uid = app.metadata.uid.as_deref().unwrap_or_default();
    let failed = |finding: &Finding| ctx.retries.action(uid, finding.retry);
    match outcome {
        Outcome::Silent => (ctx.retries.action(uid, Retry::After(Duration::from_millis(200))), "waiting"),
        Outcome::Failed { finding, .. } => (failed(finding), "failed"),
        Outcome::Refused { finding, .. } if finding.reason == Reason::Suspended => (Action::await_change(), "waiting"),
        Outcome::Refused { finding, .. } if !finding.stalled => (failed(finding), "waiting"),
        Outcome::Refused { finding, .. } => (failed(finding), "refused"),
        Outcome::Done { valid, achieved, .. } | Outcome::Held { valid, achieved, .. } => {
            ctx.retries.forget(uid);
            ctx.clear_suspicion(uid);
            ctx.at_rest(uid);
            if achieved.published {
                // The answer to the write of a new secret may have been lost: what is published needs no keeping.
                ctx.let_go(uid);
            }
            let (credentials, now) = (&achieved.credentials, ctx.now());
            if doubtful || rotation::report::is_perhaps_gone(&achieved.rotation, now) {
                // What is not accepted, or not shown, may have been removed: the next pass reads what is there.
                ctx.suspect(uid);
            }
            let rotation = rotation::report::next_look(app, valid, achieved, now);
            // Where nothing is written at the server, no secret goes.
            let retirement = next_retirement(credentials).filter(|_| !observes(app));
            let due = [retirement, renewal::next(credentials, now)].into_iter().flatten().min();
            let wait = |end: Timestamp| Duration::try_from(end.duration_since(now)).unwrap_or_default();
            let left = due.map(|end| wait(end) + Duration::from_secs(1)).into_iter().chain(rotation.map(wait));
            let left = left.chain(restart::next_look(app, achieved, ctx, now));
            let left = left.chain(doubtful.then_some(READ_LAG + Duration::from_secs(1))).min();
            let action = left.map_or_else(Action::await_change, Action::requeue);
            (action, if matches!(outcome, Outcome::Done { .. }) { "done" } else { "refused" })
        }
    }
}
