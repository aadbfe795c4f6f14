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
use crate::controller::kubernetes::{is_conflict, is_not_found};
use crate::controller::servers::Server;
use crate::domain::farewell::{patience, policy};
use crate::domain::observed::{Finding, Retry, observes, wants_abandon};
use crate::domain::permissions::{FINALIZER, Outcome, Record, Seen, departure, has_finalizer, holds, status};
use crate::domain::reason::Reason;
use crate::domain::validate::{answering, open_for};

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
    let Err(finding) = remove(object, &seen, server, ctx).await else {
        let note = format!("what was assigned in tenant {} is taken away", object.spec.tenant);
        ctx.events.publish(&**object, Tone::Normal, Reason::RolesRemoved, &note);
        return release(object, ctx).await;
    };
    let deletion = seen.server.as_ref().and_then(|server| server.spec.deletion.clone());
    let own = seen.application.as_ref().and_then(|app| app.spec.deletion.clone());
    let waited = object.metadata.deletion_timestamp.as_ref().map(|since| ctx.now().duration_since(since.0));
    let waited = waited.and_then(|waited| Duration::try_from(waited).ok()).unwrap_or_default();
    let left = patience(own.as_ref(), deletion.as_ref()).saturating_sub(waited);
    if left.is_zero() || wants_abandon(object.metadata.annotations.as_ref()) {
        let principal = Record::of(object).principal.map(|principal| principal.to_string()).unwrap_or_default();
        let note = format!(
            "what was assigned to {principal} in tenant {} is left there: {}",
            object.spec.tenant, finding.message
        );
        ctx.events.publish(&**object, Tone::Warning, Reason::Abandoned, &note);
        return release(object, ctx).await;
    }
    tell_waiting(object, &finding, ctx).await?;
    let uid = object.metadata.uid.as_deref().unwrap_or_default();
    Ok((ctx.retries.action_within(uid, finding.retry, left), "waiting"))
}

async fn tell_waiting(object: &RoleAssignment, finding: &Finding, ctx: &Context) -> Result<(), Error> {
    let message = format!(
        "the roles are not taken away yet: {}. To stop waiting: kubectl annotate with {}=true",
        finding.message,
        crate::api::ABANDON
    );
    let waiting = Finding { message, stalled: false, ..finding.clone() };
    let Some(next) = status(object, &Outcome::Refused(waiting.clone()), ctx.now()) else { return Ok(()) };
    match ctx.kubernetes().status(object, &next, None).await {
        Err(error) if !is_not_found(&error) => return Err(error.into()),
        _ => {}
    }
    if is_news(object, &waiting) {
        ctx.events.publish(object, Tone::Warning, waiting.reason, &waiting.message);
    }
    Ok(())
}

/// Takes away everything that the record names.
async fn remove(object: &RoleAssignment, seen: &Seen, server: &Server, ctx: &Context) -> Result<(), Finding> {
    let record = Record::of(object);
    let Some(principal) = &record.principal else { return Ok(()) };
    let namespace = object.metadata.namespace.as_deref().unwrap_or_default();
    let authorization_server = open_for(namespace, &server.key.name, seen.server.as_deref(), seen.admitted)?;
    answering(authorization_server, &seen.seen)?;
    // No tenant, nothing in it.
    let Some(looked) = observe::look_back(object, principal, server, ctx).await? else { return Ok(()) };
    let Some(user) = looked.tenant.user(principal) else { return Ok(()) };
    let steps = departure(user, &record, &looked.view(), &seen.rivals);
    super::execute::take_away(object, &looked, &steps, server, ctx).await
}

/// What stands in the way of an assignment. Where that is the end of its application, what was assigned is taken away:
/// the registration is deleted after it.
pub async fn withdraw(
    object: &RoleAssignment,
    seen: &Seen,
    finding: Finding,
    server: &Server,
    ctx: &Context,
) -> Result<Outcome, Error> {
    if !holds(object) || !is_ending(seen) {
        return Ok(Outcome::Refused(finding));
    }
    Ok(match remove(object, seen, server, ctx).await {
        Ok(()) => {
            let note =
                format!("the application goes: what was assigned in tenant {} is taken away", object.spec.tenant);
            ctx.events.publish(object, Tone::Normal, Reason::RolesRemoved, &note);
            Outcome::Withdrawn(finding)
        }
        Err(obstacle) => Outcome::Refused(obstacle),
    })
}

/// Whether the application is being deleted, and its registration with it.
fn is_ending(seen: &Seen) -> bool {
    let Some(app) = seen.application.as_ref().filter(|app| app.metadata.deletion_timestamp.is_some()) else {
        return false;
    };
    let inherited = seen.server.as_ref().and_then(|server| server.spec.deletion.as_ref());
    policy(app.spec.deletion.as_ref(), inherited) == DeletionPolicy::Delete && !observes(app)
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
    Some(Finding::passing(Reason::RolesRemain, message, Retry::OnChange))
}
