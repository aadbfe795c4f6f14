//! One pass over an `ExternalApplication`.

use std::sync::Arc;

use kube::runtime::controller::Action;

use super::Context;
use crate::api::ExternalApplication;
use crate::domain::observed::{Finding, Retry, ServerSeen};
use crate::domain::plan::{Circumstances, plan};
use crate::domain::reason::Reason;
use crate::domain::status::Outcome;
use crate::domain::validate::validate;

mod execute;
mod farewell;
mod observe;
mod report;

pub use farewell::revoke;
pub use observe::admits;

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
    if app.metadata.deletion_timestamp.is_some() {
        return farewell::depart(&app, &ctx).await;
    }
    let server = ctx.servers.get(&super::server_key(&app));
    let Ok(_slot) = server.slots.try_acquire() else {
        // Others of this server are under way; those of other servers must not wait for them.
        return Ok((
            Action::requeue(super::retry::spread(
                std::time::Duration::from_millis(300),
                app.metadata.uid.as_deref().unwrap_or(""),
                0,
            )),
            "waiting",
        ));
    };
    let now = ctx.now();
    let (app, observed) = observe::observe(app, &server, &ctx, now).await?;
    if too_early(&observed.seen) {
        return Ok((Action::await_change(), "waiting"));
    }
    let outcome = match validate(&app, &observed, now) {
        Ok(valid) => {
            let plan = plan(&app, &valid, &observed, Circumstances { identity: &ctx.settings.identity, now });
            execute::execute(&app, valid, plan, &observed, &server, &ctx).await
        }
        Err(refusal) => Outcome::Refused { finding: refusal.finding, scopes: refusal.scopes },
    };
    report::report(&app, &observed, &outcome, &ctx).await?;
    Ok(next(&app, &outcome, &ctx))
}

/// Right after a start nothing is known of any server: to say so in every status would be two writes for nothing.
fn too_early(seen: &ServerSeen) -> bool {
    matches!(seen, ServerSeen::NotTried)
}

/// When to look again.
fn next(app: &ExternalApplication, outcome: &Outcome, ctx: &Context) -> (Action, &'static str) {
    let uid = app.metadata.uid.as_deref().unwrap_or_default();
    let failed = |finding: &Finding| ctx.retries.action(uid, finding.retry);
    match outcome {
        Outcome::Silent => (ctx.retries.action(uid, Retry::After(std::time::Duration::from_millis(200))), "waiting"),
        Outcome::Failed { finding, .. } => (failed(finding), "failed"),
        Outcome::Refused { finding, .. } if finding.reason == Reason::Suspended => (Action::await_change(), "waiting"),
        Outcome::Refused { finding, .. } if !finding.stalled => (failed(finding), "waiting"),
        Outcome::Refused { finding, .. } => (failed(finding), "refused"),
        Outcome::Done { achieved, .. } => {
            ctx.retries.forget(uid);
            ctx.clear_suspicion(uid);
            let retirement = crate::domain::credentials::next_retirement(&achieved.credentials);
            let left = retirement.and_then(|end| std::time::Duration::try_from(end.duration_since(ctx.now())).ok());
            (
                left.map_or_else(Action::await_change, |left| {
                    Action::requeue(left + std::time::Duration::from_secs(1))
                }),
                "done",
            )
        }
    }
}
