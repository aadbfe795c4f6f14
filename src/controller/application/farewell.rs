//! The end of an application: what happens at the server first, then the object may go.

use std::sync::Arc;

use jiff::Timestamp;
use kube::runtime::controller::Action;
use kube::runtime::reflector::ObjectRef;

use super::Error;
use super::observe::{admits, standing_for};
use super::report::is_news;
use crate::api::authorization_server::PendingDeletion;
use crate::api::common::DeletionPolicy;
use crate::api::{AuthorizationServer, ExternalApplication};
use crate::controller::authorization_server::pending;
use crate::controller::events::Tone;
use crate::controller::kubernetes::{is_conflict, is_not_found};
use crate::controller::servers::{Server, finding};
use crate::controller::{Context, server_key};
use crate::domain::credentials::whole;
use crate::domain::farewell::{Farewell, Leaving, decide, patience, policy, wait_or_hand_over};
use crate::domain::intent::{self, Settlement, settle};
use crate::domain::observed::{
    FINALIZER, Finding, Retry, ServerSeen, has_finalizer, named_by_output, observes, status_client_id,
    unsettled_intent, wants_abandon,
};
use crate::domain::reason::Reason;
use crate::domain::registration::ClientId;
use crate::domain::status::{Wanted, conditions};
use crate::server::{AuthorizationServer as _, Lane, ServerError};

/// One pass over an application that is being deleted.
pub async fn depart(app: &Arc<ExternalApplication>, ctx: &Context) -> Result<(Action, &'static str), Error> {
    if !has_finalizer(app) {
        ctx.forget_application(app);
        return Ok((Action::await_change(), "done"));
    }
    let server = ctx.servers.get(&server_key(app));
    let object = ctx.authorization_servers.get(&ObjectRef::new(&server.key.name).within(&server.key.namespace));
    let seen = if object.is_none() { ServerSeen::Absent } else { server.seen() };
    if matches!(seen, ServerSeen::NotTried) && !wants_abandon(app.metadata.annotations.as_ref()) {
        return Ok((Action::await_change(), "waiting"));
    }
    let now = ctx.now();
    let known = whose(app, object.as_deref(), &seen, &server, ctx, now).await?;
    let own = server.facts().map(|facts| facts.own_client_id);
    let shared = known.client_id.as_ref().and_then(|id| standing_for(id, app, &server, ctx));
    let deletion = object.as_ref().and_then(|object| object.spec.deletion.as_ref());
    let leaving = Leaving {
        policy: policy(app.spec.deletion.as_ref(), deletion),
        observe_only: observes(app),
        client_id: known.client_id.as_ref(),
        own_client_id: own.as_ref(),
        shared_with: shared.as_deref(),
        obstacle: known.obstacle,
        deleted_at: app.metadata.deletion_timestamp.as_ref().map_or(now, |time| time.0),
        give_up_after: patience(app.spec.deletion.as_ref(), deletion),
        abandon: wants_abandon(app.metadata.annotations.as_ref()),
        now,
    };
    let mut farewell = decide(&leaving);
    if let Farewell::Delete(id) | Farewell::Revoke(id) = &farewell {
        let done = if leaving.policy == DeletionPolicy::Revoke {
            revoke(&server, id).await
        } else {
            delete(&server, id).await
        };
        if let Err(error) = done {
            if server.report(&error) {
                ctx.wake_server(&server.key);
            }
            farewell = wait_or_hand_over(&leaving, &finding(&error));
        }
    }
    conclude(app, object.as_deref(), &leaving, farewell, ctx).await
}

async fn delete(server: &Server, id: &ClientId) -> Result<(), ServerError> {
    let connection = server.connection().ok_or(ServerError::Unreachable { what: "not connected" })?;
    connection.client.delete(id).await
}

/// Removes every secret of a registration and leaves the rest.
pub async fn revoke(server: &Server, id: &ClientId) -> Result<(), ServerError> {
    let connection = server.connection().ok_or(ServerError::Unreachable { what: "not connected" })?;
    let Some(actual) = connection.client.get(id, Lane::User).await? else { return Ok(()) };
    for secret in actual.secrets {
        connection.client.remove_secret(id, &secret.id).await?;
    }
    Ok(())
}

/// The registration that is to go, and what keeps us from it.
struct Known {
    client_id: Option<ClientId>,
    obstacle: Option<Finding>,
}

/// Finds out which registration belongs to the application: its status says so, or an object that we wrote, or the
/// outcome of an unsettled intent has to be looked for.
async fn whose(
    app: &Arc<ExternalApplication>,
    object: Option<&AuthorizationServer>,
    seen: &ServerSeen,
    server: &Server,
    ctx: &Context,
    now: Timestamp,
) -> Result<Known, Error> {
    let obstacle = obstacle(app, object, seen, ctx);
    let Some(intent) = unsettled_intent(app) else {
        return Ok(Known { client_id: status_client_id(app), obstacle });
    };
    let outputs = written(app, ctx).await?;
    if let Some(id) = named_by_output(&intent, &outputs) {
        return Ok(Known { client_id: Some(id), obstacle });
    }
    if obstacle.is_some() {
        return Ok(Known { client_id: None, obstacle });
    }
    let unknown = |finding| Ok(Known { client_id: None, obstacle: Some(finding) });
    let waiting = |left| {
        Finding::passing(
            Reason::OutcomeUnknown,
            "it is not known yet whether the registration exists",
            Retry::After(left),
        )
    };
    if let Some(left) = intent::hold(&intent, &ctx.settings.identity, now) {
        return unknown(waiting(left));
    }
    let search = match super::observe::search_for(app, &intent, server, ctx).await {
        Ok(search) => search,
        Err(error) => return unknown(finding(&error)),
    };
    match settle(&intent, &search, now) {
        Settlement::TakeOver(id) => Ok(Known { client_id: Some(id), obstacle: None }),
        Settlement::NothingHappened => Ok(Known { client_id: status_client_id(app), obstacle: None }),
        Settlement::Wait(left) => unknown(waiting(left)),
        Settlement::Ambiguous(ids) => {
            let names: Vec<&str> = ids.iter().take(10).map(ClientId::as_str).collect();
            let message = format!("it cannot be proven which registration is ours; look at {}", names.join(", "));
            unknown(Finding::passing(Reason::RegistrationAmbiguous, message, Retry::Backoff))
        }
    }
}

/// The objects that we have written for the application, if the cache knows of any.
async fn written(app: &ExternalApplication, ctx: &Context) -> Result<Vec<crate::domain::outputs::SeenOutput>, Error> {
    let mut outputs = Vec::new();
    for (kind, name) in ctx.owned.of(app.metadata.uid.as_deref().unwrap_or_default()).keys() {
        outputs.extend(ctx.kubernetes().read_output(app, *kind, name).await?);
    }
    Ok(outputs)
}

fn obstacle(
    app: &ExternalApplication,
    object: Option<&AuthorizationServer>,
    seen: &ServerSeen,
    ctx: &Context,
) -> Option<Finding> {
    let Some(object) = object else {
        let message = "its AuthorizationServer does not exist any more";
        return Some(Finding::passing(Reason::ServerNotFound, message, Retry::OnChange));
    };
    if !admits(object, app, ctx) {
        let message = "the AuthorizationServer does not admit this namespace any more";
        return Some(Finding::passing(Reason::NamespaceNotAllowed, message, Retry::OnChange));
    }
    if object.spec.suspend {
        return Some(Finding::passing(Reason::Suspended, "the AuthorizationServer is suspended", Retry::OnChange));
    }
    match seen {
        ServerSeen::Usable(_) => None,
        ServerSeen::Unusable(finding) => Some(finding.clone()),
        ServerSeen::Absent | ServerSeen::NotTried => Some(Finding::passing(
            Reason::ServerNotReady,
            "the AuthorizationServer has not connected yet",
            Retry::OnChange,
        )),
    }
}

async fn conclude(
    app: &ExternalApplication,
    object: Option<&AuthorizationServer>,
    leaving: &Leaving<'_>,
    farewell: Farewell,
    ctx: &Context,
) -> Result<(Action, &'static str), Error> {
    let uid = app.metadata.uid.as_deref().unwrap_or_default();
    match farewell {
        Farewell::Wait(finding) => {
            tell(app, &finding, ctx).await?;
            return Ok((ctx.retries.action(uid, finding.retry), "waiting"));
        }
        Farewell::Release(reason, note) => ctx.events.publish(app, Tone::Normal, reason, &note),
        Farewell::Delete(id) => {
            ctx.events.publish(app, Tone::Normal, Reason::Deleted, &format!("registration {id} is deleted"));
        }
        Farewell::Revoke(id) => {
            ctx.events.publish(
                app,
                Tone::Normal,
                Reason::Revoked,
                &format!("registration {id} is left without secrets"),
            );
        }
        Farewell::HandOver { client_id, because } => {
            if let (Some(id), Some(object)) = (&client_id, object) {
                let entry = PendingDeletion {
                    client_id: id.to_string(),
                    display_name: crate::domain::validate::desired(app).display_name,
                    policy: leaving.policy,
                    since: whole(leaving.now),
                    last_error: Some(because.clone()),
                };
                if !pending::add(object, entry, ctx).await? {
                    let full =
                        "status.pendingDeletions of the AuthorizationServer is full: its server must be back first";
                    let finding = Finding::passing(Reason::DeletionsPending, full, Retry::Backoff);
                    tell(app, &finding, ctx).await?;
                    return Ok((ctx.retries.action(uid, finding.retry), "waiting"));
                }
            }
            let what = client_id.map_or("a registration may exist at the server".into(), |id| {
                format!("registration {id} is left to its AuthorizationServer")
            });
            ctx.events.publish(app, Tone::Warning, Reason::Abandoned, &format!("{what}: {because}"));
        }
    }
    match ctx.kubernetes().release(app, FINALIZER).await {
        Ok(()) => {
            ctx.forget_application(app);
            Ok((Action::await_change(), "done"))
        }
        // Somebody wrote meanwhile: the watch brings the new version, and what was done at the server stays done.
        Err(error) if is_conflict(&error) => Ok((Action::requeue(std::time::Duration::from_millis(200)), "waiting")),
        Err(error) => Err(error.into()),
    }
}

async fn tell(app: &ExternalApplication, finding: &Finding, ctx: &Context) -> Result<(), Error> {
    let old = app.status.clone().unwrap_or_default();
    let said = || Some((true, finding.reason, finding.message.clone()));
    let wanted = [
        Wanted { kind: "Ready", state: Some((false, finding.reason, finding.message.clone())) },
        Wanted { kind: "Reconciling", state: said() },
        Wanted { kind: "Stalled", state: None },
    ];
    let mut next = old.clone();
    next.observed_generation = app.metadata.generation;
    next.conditions = conditions(&old.conditions, &wanted, app.metadata.generation, ctx.now());
    if next == old {
        return Ok(());
    }
    if is_news(app, finding) {
        ctx.events.publish(app, Tone::Warning, finding.reason, &finding.message);
    }
    match ctx.kubernetes().status(app, &next).await {
        Err(error) if is_not_found(&error) => Ok(()),
        other => Ok(other?),
    }
}
