//! One pass over an `AuthorizationServer`: connect, learn, publish the catalogue, compare, and tell.

use std::sync::Arc;
use std::time::Duration;

use kube::runtime::controller::Action;

use super::Context;
use super::application::Error;
use super::servers::{Server, ServerKey};
use crate::api::{AuthorizationServer, ROTATE};
use crate::domain::observed::{Finding, Retry};
use crate::domain::reason::Reason;
use crate::domain::server_status::FINALIZER;

mod catalogue;
mod connect;
mod farewell;
mod own_credential;
pub mod pending;
mod report;
mod sweep;

pub use connect::seconds;
use connect::{Asked, Observed};
use own_credential::Upkeep;

/// How often a server is compared where its spec does not say.
const DRIFT_INTERVAL: Duration = Duration::from_mins(10);

/// Brings one server's connection, catalogue and status into line, and looks for drift.
pub async fn reconcile(object: Arc<AuthorizationServer>, ctx: Arc<Context>) -> Result<(Action, &'static str), Error> {
    let server = ctx.servers.get(&key_of(&object));
    if object.metadata.deletion_timestamp.is_some() {
        return farewell::depart(&object, &server, &ctx).await;
    }
    if !object.metadata.finalizers.iter().flatten().any(|name| name == FINALIZER) {
        ctx.kubernetes().guard(&*object, FINALIZER, None).await?;
    }
    if server.saw_terms(terms(&object)) {
        ctx.look_at_all_of(&server.key);
    }
    let mut obstacle = None;
    let observed = if object.spec.suspend {
        Observed::Trouble(suspended())
    } else {
        connect::observe(&object, &server, &ctx).await
    };
    if let Observed::Asked(_) | Observed::NotDue = &observed {
        // First, so that what applications are told they may ask for is there.
        obstacle = catalogue::enforce(&object, &server, matches!(observed, Observed::Asked(_)), &ctx).await;
    }
    if let Observed::Trouble(finding) = &observed
        && server.first_sign(finding)
    {
        return Ok((Action::requeue(Duration::from_secs(1)), "failed"));
    }
    let learnt = learn(&observed, &object, &server, &ctx);
    if learnt {
        ctx.look_at_all_of(&server.key);
    }
    let upkeep = match &observed {
        Observed::Asked(_) => own_credential::look_after(&object, &server, true, &ctx).await,
        Observed::NotDue => own_credential::look_after(&object, &server, false, &ctx).await,
        Observed::Trouble(_) => Upkeep::default(),
    };
    let observed = match observed {
        Observed::Asked(asked) => {
            pending::work_off(&object, &server, &ctx).await?;
            sweep::sweep(&server, &asked, &ctx).await;
            sweep::permits(&server, &ctx);
            shown(Observed::Asked(asked), &object, &server, &ctx).await
        }
        // Somebody may have changed or removed what shows the catalogue.
        Observed::NotDue => shown(Observed::NotDue, &object, &server, &ctx).await,
        trouble @ Observed::Trouble(_) => trouble,
    };
    let observed = match (observed, obstacle.or(server.own.caution())) {
        (Observed::Asked(_) | Observed::NotDue, Some(finding)) => Observed::Trouble(finding),
        (observed, _) => observed,
    };
    report::report(&object, &server, &observed, upkeep.told.as_ref(), &ctx).await?;
    Ok(next(&object, &server, &observed, upkeep.again, &ctx))
}

/// Takes in what a pass saw; gives back whether applications should look again.
fn learn(observed: &Observed, object: &AuthorizationServer, server: &Server, ctx: &Context) -> bool {
    match observed {
        Observed::Asked(asked) => {
            server.has_catalogue(asked.catalogue.clone());
            server.settle(Some(catalogue::completed(asked.facts(), &asked.catalogue, object, ctx)), None)
        }
        // What goes wrong with the catalogue or the list need not concern those who are served already.
        Observed::Trouble(finding) if server.facts().is_some() && !concerns_applications(finding.reason) => false,
        Observed::Trouble(finding) => server.settle(None, Some(finding.clone())),
        // What is declared may have changed.
        Observed::NotDue => match (server.facts(), server.own_catalogue()) {
            (Some(facts), Some(own)) => server.settle(Some(catalogue::completed(facts, &own, object, ctx)), None),
            _ => false,
        },
    }
}

/// Has the catalogue shown. Applications are served whether or not that succeeds; the server says so if it does not.
async fn shown(observed: Observed, object: &AuthorizationServer, server: &Server, ctx: &Context) -> Observed {
    let Some(catalogue) = server.own_catalogue() else { return observed };
    match catalogue::publish(object, &catalogue, ctx).await {
        Ok(()) => observed,
        Err(error) => Observed::Trouble(not_shown(&error)),
    }
}

fn not_shown(error: &Error) -> Finding {
    let message = format!("the catalogue could not be written as ApiResource objects: {error}");
    Finding::passing(Reason::KubernetesRefused, message, Retry::Backoff)
}

/// Whether applications cannot be served either.
fn concerns_applications(reason: Reason) -> bool {
    !matches!(
        reason,
        Reason::ServerFailed
            | Reason::UnexpectedAnswer
            | Reason::ServerConflict
            | Reason::RejectedByServer
            | Reason::PermissionDenied
            | Reason::RateLimited
            | Reason::KubernetesRefused
    )
}

/// The namespace and name of a server.
pub fn key_of(object: &AuthorizationServer) -> ServerKey {
    ServerKey {
        namespace: object.metadata.namespace.clone().unwrap_or_default(),
        name: object.metadata.name.clone().unwrap_or_default(),
    }
}

/// A digest of all of the spec that matters to applications: how often drift is looked for does not, nor how long the
/// operator's own previous secret lives.
fn terms(object: &AuthorizationServer) -> u64 {
    let mut spec = object.spec.clone();
    (spec.drift_interval, spec.credentials_overlap) = (None, None);
    super::changes::digest(&serde_json::to_string(&spec).unwrap_or_default())
}

fn suspended() -> Finding {
    let message = "spec.suspend is true: nothing is asked of the server until it is false".into();
    Finding { reason: Reason::Suspended, message, retry: Retry::OnChange, stalled: false }
}

/// How often a server is compared.
fn interval(object: &AuthorizationServer) -> Duration {
    object.spec.drift_interval.as_ref().and_then(crate::api::common::HumanDuration::parse).unwrap_or(DRIFT_INTERVAL)
}

/// What about a server is a reason to look: also that somebody asks for new credentials of the operator's own.
pub fn acted_on(object: &AuthorizationServer) -> u64 {
    let asked = object.metadata.annotations.as_ref().and_then(|annotations| annotations.get(ROTATE));
    super::changes::digest(&(super::changes::acted_on(object), asked))
}

/// `again`: when something else is due.
fn next(
    object: &AuthorizationServer,
    server: &Server,
    observed: &Observed,
    again: Option<Duration>,
    ctx: &Context,
) -> (Action, &'static str) {
    let uid = object.metadata.uid.as_deref().unwrap_or_default();
    let again = again.unwrap_or(Duration::MAX).max(Duration::from_millis(100));
    match observed {
        Observed::Trouble(finding) if finding.reason == Reason::Suspended => (Action::await_change(), "waiting"),
        Observed::Trouble(finding) => {
            // What helps may be at the server, which is not watched: never only a change of the object.
            let retry = if finding.retry == Retry::OnChange { Retry::Backoff } else { finding.retry };
            let outcome = if finding.stalled { "refused" } else { "failed" };
            (ctx.retries.action_within(uid, retry, again), outcome)
        }
        Observed::Asked(_) | Observed::NotDue => {
            ctx.retries.forget(uid);
            let since = server
                .swept_at()
                .map_or(Duration::ZERO, |at| Duration::try_from(ctx.now().duration_since(at)).unwrap_or_default());
            let left = super::retry::spread(interval(object), uid, 0).saturating_sub(since);
            (Action::requeue(left.max(Duration::from_millis(100)).min(again)), "done")
        }
    }
}
