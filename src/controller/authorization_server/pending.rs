//! Registrations whose objects are gone but which the server has not deleted yet: kept in the status of their
//! AuthorizationServer, and written by this module alone.

use jiff::SignedDuration;
use kube::api::{Api, Patch, PatchParams};
use serde_json::json;

use crate::api::AuthorizationServer;
use crate::api::authorization_server::PendingDeletion;
use crate::api::common::DeletionPolicy;
use crate::controller::Context;
use crate::controller::application::{Standing, revoke};
use crate::controller::events::Tone;
use crate::controller::kubernetes::is_conflict;
use crate::controller::servers::{Server, concerns_everybody};
use crate::domain::farewell::is_final;
use crate::domain::reason::Reason;
use crate::domain::registration::ClientId;
use crate::server::{AuthorizationServer as _, ServerError};

/// The most that one server keeps; the schema says the same.
const MOST: usize = 1_000;
/// How many are tried in one pass.
const TRIES: usize = 50;
/// How long a pass goes on with it: what is done has to be written down before the pass ends.
const PATIENCE: SignedDuration = SignedDuration::from_secs(12);

/// Adds one. `false` where the list is full: then the application waits on.
pub async fn add(server: &AuthorizationServer, entry: PendingDeletion, ctx: &Context) -> kube::Result<bool> {
    let mut listed = false;
    change(server, ctx, &mut |list| {
        let known = list.iter().any(|known| known.client_id == entry.client_id);
        if !known && list.len() < MOST {
            list.push(entry.clone());
        }
        listed = known || list.iter().any(|known| known.client_id == entry.client_id);
    })
    .await?;
    Ok(listed)
}

/// Reads the list, changes it and writes it on the version that was read; again if somebody else was faster.
async fn change(
    server: &AuthorizationServer,
    ctx: &Context,
    edit: &mut (dyn FnMut(&mut Vec<PendingDeletion>) + Send),
) -> kube::Result<()> {
    let namespace = server.metadata.namespace.as_deref().unwrap_or_default();
    let name = server.metadata.name.as_deref().unwrap_or_default();
    let api: Api<AuthorizationServer> = Api::namespaced(ctx.client.clone(), namespace);
    let mut attempts = 0;
    loop {
        let live = api.get(name).await?;
        let before = live.status.as_ref().map(|status| status.pending_deletions.clone()).unwrap_or_default();
        let mut list = before.clone();
        edit(&mut list);
        if list == before {
            return Ok(());
        }
        let patch = json!({
            "metadata": {"resourceVersion": live.metadata.resource_version, "uid": live.metadata.uid},
            "status": {"pendingDeletions": list}
        });
        let parameters = PatchParams { field_manager: Some("extapp-pending".into()), ..PatchParams::default() };
        ctx.metrics.wrote("AuthorizationServer", "pending");
        match api.patch_status(name, &parameters, &Patch::Merge(&patch)).await {
            Ok(_) => return Ok(()),
            Err(error) if is_conflict(&error) && attempts < 10 => attempts += 1,
            Err(error) => return Err(error),
        }
    }
}

/// Tries to delete what waits. What is done leaves the list.
pub async fn work_off(object: &AuthorizationServer, server: &Server, ctx: &Context) -> kube::Result<()> {
    let waiting = object.status.as_ref().map(|status| status.pending_deletions.clone()).unwrap_or_default();
    if waiting.is_empty() {
        return Ok(());
    }
    let mut done = Vec::new();
    let mut failed: Vec<(String, String)> = Vec::new();
    let mut tried = 0;
    let began = ctx.now();
    for entry in waiting.iter().take(TRIES) {
        if ctx.now().duration_since(began) > PATIENCE {
            break;
        }
        tried += 1;
        match act(entry, server, ctx).await {
            Ok(what) => {
                let note = format!(
                    "registration {} ({}), which had been left behind, {what}",
                    entry.client_id, entry.display_name
                );
                ctx.events.publish(object, Tone::Normal, Reason::Deleted, &note);
                done.push(entry.client_id.clone());
            }
            Err(error) if is_final(error.reason()) => {
                let note = format!(
                    "registration {} ({}), which had been left behind, stays at the server: {error}",
                    entry.client_id, entry.display_name
                );
                ctx.events.publish(object, Tone::Warning, Reason::Abandoned, &note);
                done.push(entry.client_id.clone());
            }
            Err(error) => {
                failed.push((entry.client_id.clone(), error.to_string()));
                // What the next one would meet just the same.
                let spent = matches!(error, ServerError::Budget { .. } | ServerError::RateLimited { .. });
                if spent || concerns_everybody(&error) {
                    break;
                }
            }
        }
    }
    change(object, ctx, &mut |list| {
        list.retain(|entry| !done.contains(&entry.client_id));
        for (id, error) in &failed {
            for entry in list.iter_mut().filter(|entry| entry.client_id == *id) {
                entry.last_error = Some(error.clone());
            }
        }
        // Where not all can be tried in one pass, those that failed by themselves come last in the next.
        if tried == TRIES {
            list.sort_by_key(|entry| failed.iter().any(|(id, _)| *id == entry.client_id));
        }
    })
    .await
}

/// A registration that an application stands for again, or that is the operator's own, is left alone. Gives back what
/// became of it.
async fn act(entry: &PendingDeletion, server: &Server, ctx: &Context) -> Result<&'static str, ServerError> {
    let id = ClientId::new(&entry.client_id);
    let connection = server.connection().ok_or(ServerError::Unreachable { what: "not connected" })?;
    let standing = Standing::of_all(server, ctx);
    if standing.wanted(&id) || standing.operators_own(&id) {
        return Ok("is left: it is in use again");
    }
    match entry.policy {
        DeletionPolicy::Revoke => revoke(server, &id).await.map(|()| "has no secrets any more"),
        _ => connection.client.delete(&id).await.map(|()| "is deleted"),
    }
}
