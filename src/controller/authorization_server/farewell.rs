//! The end of a server: not before its applications, and not before what they left behind is deleted.

use std::time::Duration;

use jiff::SignedDuration;
use kube::runtime::controller::Action;

use super::connect::{self, Observed};
use super::{pending, report};
use crate::api::AuthorizationServer;
use crate::controller::application::Error;
use crate::controller::events::Tone;
use crate::controller::kubernetes::is_conflict;
use crate::controller::servers::Server;
use crate::controller::{Context, full_name};
use crate::domain::farewell::patience;
use crate::domain::observed::{Finding, Retry, may_have_registration, wants_abandon};
use crate::domain::permissions::holds;
use crate::domain::reason::Reason;
use crate::domain::server_status::{FINALIZER, ServerPass};

pub async fn depart(
    object: &AuthorizationServer,
    server: &Server,
    ctx: &Context,
) -> Result<(Action, &'static str), Error> {
    if !object.metadata.finalizers.iter().flatten().any(|name| name == FINALIZER) {
        ctx.servers.forget(&server.key);
        return Ok((Action::await_change(), "done"));
    }
    let abandon = wants_abandon(object.metadata.annotations.as_ref());
    let mut applications = ctx.applications_of(&server.key);
    // Naming the server is not using it: whoever was refused has nothing there.
    applications.retain(|app| may_have_registration(app));
    let left_behind = object.status.as_ref().map_or(0, |status| status.pending_deletions.len());
    if !abandon && !object.spec.suspend && (left_behind > 0 || !applications.is_empty()) {
        // Those who go with it still need the connection.
        let learnt = match connect::observe(object, server, ctx).await {
            Observed::Asked(asked) => server.settle(Some(asked.facts()), None),
            Observed::Trouble(finding) => server.settle(None, Some(finding)),
            Observed::NotDue => false,
        };
        if learnt {
            ctx.look_at_all_of(&server.key);
        }
        if !server.in_trouble() {
            pending::work_off(object, server, ctx).await?;
        }
    }
    if object.spec.suspend && server.settle(None, Some(super::suspended())) {
        ctx.look_at_all_of(&server.key);
    }
    let obstacle = if abandon { None } else { obstacle(object, &applications, left_behind, ctx) };
    if let Some(finding) = obstacle {
        let pass = ServerPass {
            endpoints: None,
            organization_id: None,
            applications: applications.len(),
            drifted: 0,
            finding: Some(&finding),
            swept_at: server.swept_at(),
            credential: None,
        };
        report::tell(object, &pass, ctx).await?;
        let uid = object.metadata.uid.as_deref().unwrap_or_default();
        return Ok((ctx.retries.action(uid, finding.retry), "waiting"));
    }
    if abandon && (left_behind > 0 || !applications.is_empty()) {
        let note =
            format!("{} applications and {left_behind} registrations are left to themselves", applications.len());
        ctx.events.publish(object, Tone::Warning, Reason::Abandoned, &note);
    }
    match ctx.kubernetes().release(object, FINALIZER).await {
        Ok(()) => {
            ctx.forget_server(&server.key);
            Ok((Action::await_change(), "done"))
        }
        Err(error) if is_conflict(&error) => Ok((Action::requeue(Duration::from_millis(200)), "waiting")),
        Err(error) => Err(error.into()),
    }
}

fn obstacle(
    object: &AuthorizationServer,
    applications: &[std::sync::Arc<crate::api::ExternalApplication>],
    left_behind: usize,
    ctx: &Context,
) -> Option<Finding> {
    let mut permits = ctx.permits_at(&super::key_of(object));
    permits.retain(|permit| holds(permit));
    if let (true, Some(permit)) = (applications.is_empty(), permits.first()) {
        let message = format!(
            "{} RoleAssignments still have roles to take away here ({}/{}, …): delete them first, or annotate with {}=true to leave them",
            permits.len(),
            permit.metadata.namespace.as_deref().unwrap_or_default(),
            permit.metadata.name.as_deref().unwrap_or_default(),
            crate::api::ABANDON
        );
        return Some(Finding::passing(Reason::InUse, message, Retry::Backoff));
    }
    if !applications.is_empty() {
        let names: Vec<String> = applications.iter().take(5).map(|app| full_name(app)).collect();
        let message = format!(
            "{} applications still use this server ({}{}): delete them first, or annotate with {}=true to leave their registrations to themselves",
            applications.len(),
            names.join(", "),
            if applications.len() > names.len() { ", …" } else { "" },
            crate::api::ABANDON
        );
        return Some(Finding::passing(Reason::InUse, message, Retry::Backoff));
    }
    if left_behind == 0 {
        return None;
    }
    let waited = object.metadata.deletion_timestamp.as_ref().map(|since| ctx.now().duration_since(since.0));
    let patience =
        SignedDuration::try_from(patience(None, object.spec.deletion.as_ref())).unwrap_or(SignedDuration::MAX);
    if waited.is_some_and(|waited| waited >= patience) {
        return None;
    }
    let message =
        format!("{left_behind} registrations still have to be deleted at the server: see status.pendingDeletions");
    Some(Finding::passing(Reason::DeletionsPending, message, Retry::Backoff))
}
