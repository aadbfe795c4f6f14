//! The end of an application: what happens at the server first, then the object may go.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use kube::runtime::controller::Action;

use super::Error;
use super::observe::{admits, is_unproven};
use super::report::is_news;
use super::standing::Standing;
use crate::api::authorization_server::PendingDeletion;
use crate::api::common::DeletionPolicy;
use crate::api::{AuthorizationServer, ExternalApplication};
use crate::controller::authorization_server::pending;
use crate::controller::events::Tone;
use crate::controller::kubernetes::{is_conflict, is_not_found};
use crate::controller::servers::{Server, finding};
use crate::controller::{Context, full_name, role_assignment, server_key};
use crate::domain::credentials::{passing, whole};
use crate::domain::farewell::{Farewell, Leaving, after_failure, decide, patience, policy};
use crate::domain::intent::{self, Settlement, settle};
use crate::domain::observed::{
    FINALIZER, Finding, Retry, ServerSeen, has_finalizer, named_by_output, observes, status_client_id,
    unsettled_intent, wants_abandon,
};
use crate::domain::reason::Reason;
use crate::domain::registration::{ClientId, ClientType};
use crate::domain::status::{Wanted, conditions};
use crate::domain::validate::{self, unknowable};
use crate::server::{AuthorizationServer as _, Federating as _, Lane, ServerError};

/// One pass over an application that is being deleted.
pub async fn depart(
    app: &Arc<ExternalApplication>,
    server: &Server,
    ctx: &Context,
) -> Result<(Action, &'static str), Error> {
    server.rotations().forget(app.metadata.uid.as_deref().unwrap_or_default());
    if !has_finalizer(app) {
        ctx.forget_application(app);
        return Ok((Action::await_change(), "done"));
    }
    let object = ctx.authorization_servers.get(&server.key.reference());
    let seen = if object.is_none() { ServerSeen::Absent } else { server.seen() };
    let now = ctx.now();
    if matches!(seen, ServerSeen::NotTried) && !wants_abandon(app.metadata.annotations.as_ref()) {
        let deletion = object.as_ref().and_then(|object| object.spec.deletion.as_ref());
        let waited = app.metadata.deletion_timestamp.as_ref().map(|since| now.duration_since(since.0));
        let waited = waited.and_then(|waited| Duration::try_from(waited).ok()).unwrap_or_default();
        let left = patience(app.spec.deletion.as_ref(), deletion).saturating_sub(waited);
        if !left.is_zero() {
            return Ok((Action::requeue(left), "waiting"));
        }
    }
    let known = whose(app, object.as_deref(), &seen, server, ctx, now).await?;
    let standing = known.client_id.as_ref().map(|id| (id, Standing::beside(app, server, ctx)));
    let shared = standing.as_ref().and_then(|(id, standing)| standing.holder(id));
    let own = standing.filter(|(id, standing)| standing.operators_own(id)).map(|(id, _)| id);
    let deletion = object.as_ref().and_then(|object| object.spec.deletion.as_ref());
    let policy = policy(app.spec.deletion.as_ref(), deletion);
    let deletes = policy == DeletionPolicy::Delete && !observes(app);
    let roles = || deletes.then(|| role_assignment::remaining(app, ctx)).flatten();
    let leaving = Leaving {
        policy,
        observe_only: observes(app),
        client_id: known.client_id.as_ref(),
        passing: passing(app.status.as_ref().map_or(&[][..], |status| &status.credentials)),
        own_client_id: own,
        shared_with: shared.as_deref(),
        obstacle: known.obstacle.or_else(roles),
        deleted_at: app.metadata.deletion_timestamp.as_ref().map_or(now, |time| time.0),
        give_up_after: patience(app.spec.deletion.as_ref(), deletion),
        abandon: wants_abandon(app.metadata.annotations.as_ref()),
        now,
    };
    let mut farewell = decide(&leaving);
    if let Farewell::Delete(id) | Farewell::Revoke(id) = &farewell
        && let Err(error) = act(server, leaving.policy, id).await
    {
        if server.report(&error) {
            ctx.wake_server(&server.key);
        }
        farewell = after_failure(&leaving, &finding(&error));
    }
    conclude(app, object.as_deref(), &leaving, farewell, ctx).await
}

/// The object is gone although our finalizer was on it: the API server may carry a deletion out that began just before
/// the finalizer was written. What it had at the server goes the way its policy says, from here or from the list of its
/// AuthorizationServer. `made`: the registration that a pass has just made for it.
pub async fn orphaned(app: &ExternalApplication, made: Option<&ClientId>, ctx: &Context) -> Result<(), Error> {
    let server = ctx.servers.get(&server_key(app));
    let Some(object) = ctx.authorization_servers.get(&server.key.reference()) else { return Ok(()) };
    let uid = app.metadata.uid.as_deref().unwrap_or_default();
    let Some(id) = made.cloned().or_else(|| status_client_id(app)).or_else(|| server.claimed_by(uid)) else {
        return Ok(());
    };
    let (own, inherited) = (app.spec.deletion.as_ref(), object.spec.deletion.as_ref());
    let standing = Standing::beside(app, &server, ctx);
    let leaving = Leaving {
        policy: policy(own, inherited),
        observe_only: observes(app),
        client_id: Some(&id),
        passing: Vec::new(),
        own_client_id: standing.operators_own(&id).then_some(&id),
        shared_with: standing.holder(&id).as_deref().map(|_| "another application"),
        obstacle: obstacle(app, Some(&object), &server.seen(), ctx),
        deleted_at: ctx.now(),
        give_up_after: patience(own, inherited),
        abandon: true,
        now: ctx.now(),
    };
    let mut farewell = decide(&leaving);
    if matches!(farewell, Farewell::Delete(_) | Farewell::Revoke(_))
        && let Err(error) = act(&server, leaving.policy, &id).await
    {
        farewell = after_failure(&leaving, &finding(&error));
    }
    let whose = full_name(app);
    match farewell {
        Farewell::HandOver { because, .. } => {
            pending::add(&object, entry(app, &id, &leaving, because), ctx).await?;
        }
        Farewell::Delete(_) | Farewell::Revoke(_) => {
            let note = format!("{whose} vanished before its registration {id} could be deleted; it is deleted now");
            ctx.events.publish(&*object, Tone::Warning, Reason::Deleted, &note);
        }
        Farewell::Leave { client_id, because } => {
            let note = format!("{whose} vanished, and its registration {client_id} is left at the server: {because}");
            ctx.events.publish(&*object, Tone::Warning, Reason::Abandoned, &note);
        }
        Farewell::Release(..) | Farewell::Wait { .. } => {}
    }
    server.release(uid);
    Ok(())
}

fn entry(app: &ExternalApplication, id: &ClientId, leaving: &Leaving<'_>, because: String) -> PendingDeletion {
    PendingDeletion {
        client_id: id.to_string(),
        display_name: validate::desired(app).display_name,
        policy: leaving.policy,
        since: whole(leaving.now),
        last_error: Some(because),
    }
}

/// What a policy does at the server.
async fn act(server: &Server, policy: DeletionPolicy, id: &ClientId) -> Result<(), ServerError> {
    if policy == DeletionPolicy::Revoke { revoke(server, id).await } else { delete(server, id).await }
}

async fn delete(server: &Server, id: &ClientId) -> Result<(), ServerError> {
    let connection = server.connection().ok_or(ServerError::Unreachable { what: "not connected" })?;
    connection.client.delete(id).await
}

/// Removes every credential of a registration and leaves the rest.
pub async fn revoke(server: &Server, id: &ClientId) -> Result<(), ServerError> {
    let connection = server.connection().ok_or(ServerError::Unreachable { what: "not connected" })?;
    let Some(actual) = connection.client.get(id, Lane::User).await? else { return Ok(()) };
    for secret in actual.secrets {
        connection.client.remove_secret(id, &secret.id).await?;
    }
    // What is not confidential has nothing to authenticate with, and servers refuse to be asked for it.
    if actual.client_type == ClientType::Confidential && connection.client.capabilities().federation.is_some() {
        let all = match connection.client.federated(id, Lane::User).await {
            // A server without them has none to remove.
            Err(ServerError::Unsupported { .. }) => Vec::new(),
            all => all?,
        };
        for federated in all {
            connection.client.remove_federated(id, &federated.id).await?;
        }
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
    let marks = server.connection().is_some_and(|connection| connection.client.capabilities().marks);
    if !marks && is_unproven(app, server) {
        let message = "the intent on this object is not the operator's: it is not known which registration is its own";
        let unproven = Finding::passing(Reason::RegistrationAmbiguous, message, Retry::Backoff);
        return Ok(Known { client_id: status_client_id(app), obstacle: obstacle.or(Some(unproven)) });
    }
    // Anybody may write an object that names a registration. The sealed intent makes it proof; a mark at the server is more.
    let outputs = if marks { Vec::new() } else { written(app, ctx).await? };
    if let Some(id) = named_by_output(&intent, &outputs) {
        return Ok(Known { client_id: Some(id), obstacle });
    }
    if obstacle.is_some() {
        return Ok(Known { client_id: status_client_id(app), obstacle });
    }
    let unknown = |finding| Ok(Known { client_id: status_client_id(app), obstacle: Some(finding) });
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
        Settlement::Unknowable => unknown(unknowable(&validate::desired(app).display_name)),
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
    for (kind, name) in ctx.owned.of(app).keys() {
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
        Farewell::Wait { finding, left } => {
            tell(app, &finding, ctx).await?;
            return Ok((ctx.retries.action_within(uid, finding.retry, left), "waiting"));
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
        Farewell::Leave { client_id, because } => {
            let note = format!("registration {client_id} is left at the server: {because}");
            ctx.events.publish(app, Tone::Warning, Reason::Abandoned, &note);
        }
        Farewell::HandOver { client_id, because } => {
            if let (Some(id), Some(object)) = (&client_id, object)
                && !pending::add(object, entry(app, id, leaving, because.clone()), ctx).await?
            {
                let full = "status.pendingDeletions of the AuthorizationServer is full: its server must be back first";
                let finding = Finding::passing(Reason::DeletionsPending, full, Retry::Backoff);
                tell(app, &finding, ctx).await?;
                return Ok((ctx.retries.action(uid, finding.retry), "waiting"));
            }
            let what = match (client_id, object) {
                (Some(id), Some(_)) => format!("registration {id} is left to its AuthorizationServer"),
                (Some(id), None) => format!("registration {id} is left at the server: nobody will delete it"),
                (None, _) => format!(
                    "a registration named {} may be left at the server: nobody will delete it",
                    validate::desired(app).display_name
                ),
            };
            ctx.events.publish(app, Tone::Warning, Reason::Abandoned, &format!("{what}: {because}"));
        }
    }
    match ctx.kubernetes().release(app, FINALIZER).await {
        Ok(()) => {
            ctx.forget_application(app);
            Ok((Action::await_change(), "done"))
        }
        // Somebody wrote meanwhile: the watch brings the new version, and what was done at the server stays done.
        Err(error) if is_conflict(&error) => Ok((Action::requeue(Duration::from_millis(200)), "waiting")),
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
    // On the version that was read: another process may just have said which registration there is.
    match ctx.kubernetes().status(app, &next, app.metadata.resource_version.as_deref()).await {
        Err(error) if is_not_found(&error) || is_conflict(&error) => return Ok(()),
        other => other?,
    }
    super::report::remember(app, &next, ctx);
    if is_news(app, finding) {
        ctx.events.publish(app, Tone::Warning, finding.reason, &finding.message);
    }
    Ok(())
}
