//! The end of an assignment, or of its application: what was assigned is taken away first.

use std::sync::Arc;
use std::time::Duration;

use kube::runtime::controller::Action;

use super::observe;
use super::report::is_news;
use crate::api::RoleAssignment;
use crate::api::common::DeletionPolicy;
use crate::controller::Context;
use crate::controller::application::Error;
use crate::controller::events::Tone;
use crate::controller::kubernetes::is_conflict;
use crate::controller::servers::{Server, ServerKey};
use crate::domain::farewell::{patience, policy};
use crate::domain::observed::{Finding, Retry, observes, wants_abandon};
use crate::domain::permissions::{Admitted, FINALIZER, Outcome, Record, Seen, departure, has_finalizer, holds, place};
use crate::domain::reason::Reason;
use crate::domain::validate::{answering, open_for};
use crate::server::{Lane, Permissions as _};

/// How long taking away may take: less than a pass, so that what stands in the way can still be told.
const PATIENCE: Duration = Duration::from_secs(25);

/// One pass over an assignment that is being deleted.
pub async fn depart(
    object: &Arc<RoleAssignment>,
    server: &Server,
    ctx: &Context,
) -> Result<(Action, &'static str), Error> {
    if !holds(object) {
        return release(object, ctx).await;
    }
    let seen = observe::around(object, server, ctx);
    let deletion = seen.server.as_ref().and_then(|server| server.spec.deletion.clone());
    let own = seen.application.as_ref().and_then(|app| app.spec.deletion.clone());
    let waited = object.metadata.deletion_timestamp.as_ref().map(|since| ctx.now().duration_since(since.0));
    let waited = waited.and_then(|waited| Duration::try_from(waited).ok()).unwrap_or_default();
    let left = patience(own.as_ref(), deletion.as_ref()).saturating_sub(waited);
    let ends = left.is_zero() || wants_abandon(object.metadata.annotations.as_ref());
    if !ends && super::too_early(server, ctx) {
        return Ok((Action::requeue(left), "waiting"));
    }
    let finding = match remove(object, &seen, &observe::rivals(object, ctx), server, ctx).await {
        Ok(removed) => {
            if removed {
                tell_removed(object, "", ctx);
            }
            return release(object, ctx).await;
        }
        Err(finding) => finding,
    };
    if ends {
        let principal = Record::of(object).principal.map(|principal| principal.to_string()).unwrap_or_default();
        let note = format!("what was assigned to {principal} {} is left there: {}", place(object), finding.message);
        ctx.events.publish(&**object, Tone::Warning, Reason::Abandoned, &note);
        return release(object, ctx).await;
    }
    tell_waiting(object, &finding, ctx).await?;
    let uid = object.metadata.uid.as_deref().unwrap_or_default();
    Ok((ctx.retries.action_within(uid, finding.retry, left), "waiting"))
}

fn tell_removed(object: &RoleAssignment, why: &str, ctx: &Context) {
    let note = format!("{why}what was assigned {} is taken away", place(object));
    ctx.events.publish(object, Tone::Normal, Reason::RolesRemoved, &note);
}

async fn tell_waiting(object: &RoleAssignment, finding: &Finding, ctx: &Context) -> Result<(), Error> {
    let message = format!(
        "the roles are not taken away yet: {}. To stop waiting: kubectl annotate with {}=true",
        finding.message,
        crate::api::ABANDON
    );
    let waiting = Finding { message, stalled: false, ..finding.clone() };
    let refused = Outcome::Refused(waiting.clone());
    match super::report::write(object, &refused, object.metadata.resource_version.as_deref(), ctx).await {
        // Somebody wrote meanwhile: the watch brings the new version.
        Err(Error::Kubernetes(error)) if is_conflict(&error) => return Ok(()),
        Ok(false) => return Ok(()),
        Err(error) => return Err(error),
        Ok(true) => {}
    }
    if is_news(object, &waiting) {
        ctx.events.publish(object, Tone::Warning, waiting.reason, &waiting.message);
    }
    Ok(())
}

/// Takes away everything that the record names; gives back whether there was anything. `keepers`: other assignments,
/// whose share stays.
pub async fn remove(
    object: &RoleAssignment,
    seen: &Seen,
    keepers: &[Arc<RoleAssignment>],
    server: &Server,
    ctx: &Context,
) -> Result<bool, Finding> {
    let removed = tokio::time::timeout(PATIENCE, remove_now(object, seen, keepers, server, ctx)).await;
    let late = || Finding::passing(Reason::ServerTimeout, "the tenant does not answer in time", Retry::Backoff);
    removed.unwrap_or_else(|_| Err(late()))
}

async fn remove_now(
    object: &RoleAssignment,
    seen: &Seen,
    keepers: &[Arc<RoleAssignment>],
    server: &Server,
    ctx: &Context,
) -> Result<bool, Finding> {
    let record = Record::of(object);
    let Some(principal) = &record.principal else { return Ok(false) };
    let namespace = object.metadata.namespace.as_deref().unwrap_or_default();
    let authorization_server = open_for(namespace, &server.key.name, seen.server.as_deref(), seen.admitted)?;
    answering(authorization_server, &seen.seen)?;
    if !is_ours(object, &record, seen, server).await? {
        let note = "status.principalId is not the operator's word: nothing is taken away from it";
        ctx.events.publish(object, Tone::Warning, Reason::PrincipalNotFound, note);
        return Ok(false);
    }
    let failed = |error| observe::failed(&error, object);
    let connection = observe::connection(server).map_err(failed)?;
    let user = connection
        .client
        .user(object.spec.tenant.as_deref().unwrap_or_default(), principal, Lane::User)
        .await
        .map_err(failed)?;
    let Some(user) = user else { return Ok(false) };
    let steps = departure(object, &record, &user, keepers);
    super::execute::take_away(object, principal, &steps, server).await?;
    Ok(!steps.is_empty())
}

/// Whether the recorded identity is the application's: the operator's seal says so, or the directory.
async fn is_ours(object: &RoleAssignment, record: &Record, seen: &Seen, server: &Server) -> Result<bool, Finding> {
    if observe::is_proven(object, record, server) {
        return Ok(true);
    }
    // Neither is there to be asked: to let go would leave the roles where they are without a word.
    let Some(admitted) = seen.application.as_deref().and_then(Admitted::in_passing) else {
        let message = "status.principalId cannot be proven to be the operator's word, because its own credentials were replaced since, and the application is gone";
        return Err(Finding::passing(Reason::PrincipalNotFound, message, Retry::Backoff));
    };
    match observe::identity(object, &admitted, server, Lane::User).await {
        Ok(principal) => Ok(record.principal.as_ref() == Some(&principal)),
        Err(finding) if finding.reason == Reason::PrincipalNotFound => Ok(false),
        Err(finding) => Err(finding),
    }
}

/// What stands in the way of an assignment. Where that is the end of its application, what was assigned is taken away:
/// the registration is deleted after it.
pub async fn withdraw(
    object: &RoleAssignment,
    seen: &Seen,
    finding: Finding,
    server: &Server,
    ctx: &Context,
) -> Outcome {
    if !holds(object) || !is_ending(object, seen, server).await {
        return Outcome::Refused(finding);
    }
    match remove(object, seen, &[], server, ctx).await {
        Ok(removed) => {
            if removed {
                tell_removed(object, "the application goes: ", ctx);
            }
            Outcome::Withdrawn(finding)
        }
        Err(obstacle) => Outcome::Refused(obstacle),
    }
}

/// The application stands at another server now: what was assigned at the former one goes first. `None`: it does not.
pub async fn move_away(object: &RoleAssignment, server: &Server, ctx: &Context) -> Option<Outcome> {
    let own = || object.metadata.namespace.clone().unwrap_or_default();
    let former = Record::of(object).server.filter(|_| holds(object))?;
    let key = ServerKey { namespace: former.namespace.unwrap_or_else(own), name: former.name };
    if key == server.key {
        return None;
    }
    let former = ctx.servers.get(&key);
    let seen = observe::around(object, &former, ctx);
    Some(match remove(object, &seen, &[], &former, ctx).await {
        Ok(_) => {
            let message = format!("what was assigned at AuthorizationServer {key} is taken away; the new one is next");
            Outcome::Withdrawn(Finding::passing(Reason::Progressing, message, Retry::After(Duration::from_secs(1))))
        }
        Err(obstacle) => Outcome::Refused(obstacle),
    })
}

/// Whether the registration goes, or is gone.
async fn is_ending(object: &RoleAssignment, seen: &Seen, server: &Server) -> bool {
    let Some(app) = &seen.application else {
        // A registration that was left at the server when its object went keeps its roles.
        let Some(id) = Record::of(object).client_id else { return false };
        return seen.admitted && matches!(observe::is_registered(&id, server).await, Ok(false));
    };
    let inherited = seen.server.as_ref().and_then(|server| server.spec.deletion.as_ref());
    app.metadata.deletion_timestamp.is_some()
        && policy(app.spec.deletion.as_ref(), inherited) == DeletionPolicy::Delete
        && !observes(app)
}

/// Lets the object go.
pub async fn release(object: &RoleAssignment, ctx: &Context) -> Result<(Action, &'static str), Error> {
    if has_finalizer(object) {
        match ctx.kubernetes().release(object, FINALIZER).await {
            Ok(()) => {}
            Err(error) if is_conflict(&error) => return Ok((Action::requeue(Duration::from_millis(200)), "waiting")),
            Err(error) => return Err(error.into()),
        }
    }
    super::watch::forget(object, ctx);
    Ok((Action::await_change(), "done"))
}

/// Why the registration of an application that goes has to wait: roles are still assigned to it.
pub fn remaining(app: &crate::api::ExternalApplication, ctx: &Context) -> Option<Finding> {
    let holding: Vec<Arc<RoleAssignment>> = ctx.permits_of(app).into_iter().filter(|object| holds(object)).collect();
    if holding.is_empty() {
        return None;
    }
    let names: Vec<&str> = holding.iter().take(5).filter_map(|object| object.metadata.name.as_deref()).collect();
    let message = format!("roles are taken away first (RoleAssignment {})", names.join(", "));
    Some(Finding::passing(Reason::RolesRemain, message, Retry::Backoff))
}
