//! Looking for drift: one list for all, and a bounded number of reads.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, PoisonError};

use jiff::SignedDuration;

use super::Asked;
use crate::api::external_application::{CredentialKind, CredentialStatus, FieldDifference};
use crate::api::{ExternalApplication, ExternalApplicationStatus, RoleAssignment};
use crate::controller::Context;
use crate::controller::application::{admits, contradicted};
use crate::controller::servers::{Connection, Server};
use crate::domain::credentials::marker;
use crate::domain::difference::{between, observed};
use crate::domain::observed::{observes, status_client_id};
use crate::domain::registration::{ClientId, Registered, SecretInfo};
use crate::domain::sweep::{Compared, READS, Swept, due, due_for_comparison, suspects};
use crate::domain::upkeep::is_held_back;
use crate::domain::validate::desired;
use crate::server::{AuthorizationServer as _, Lane, ServerError};

mod federation;

/// How long one sweep reads: the rest comes in the next.
const PATIENCE: SignedDuration = SignedDuration::from_secs(12);

/// Has every application looked at whose registration is not what it should be.
pub async fn sweep(server: &Server, asked: &Asked, ctx: &Context) {
    for app in ctx.applications_of(&server.key).iter().filter(|app| contradicted(app, ctx)) {
        ctx.look_later(app);
    }
    let watched: Vec<(ClientId, Arc<ExternalApplication>)> = ctx
        .applications_of(&server.key)
        .into_iter()
        .filter(|app| {
            (is_settled(app) || is_held_back(app)) && app.metadata.deletion_timestamp.is_none() && !app.spec.suspend
        })
        .filter(|app| consented(app, server, ctx))
        .filter_map(|app| Some((status_client_id(&app)?, app)))
        .collect();
    let told = told_whole(asked);
    let (by_row, unread): (Vec<_>, Vec<_>) = watched.into_iter().partition(|(id, _)| told.contains_key(id));
    for (id, app) in &by_row {
        if differs(app, told[id]) {
            wake(app, ctx);
        }
    }
    let by_list: Vec<Swept<'_, Arc<ExternalApplication>>> = unread
        .iter()
        // What is not corrected may differ for ever: it is read in its turn, or when it is gone.
        .filter(|(id, app)| !differs_for_good(app) || !asked.list.iter().any(|row| row.client_id == *id))
        .map(|(id, app)| Swept { key: app.clone(), client_id: id, desired: desired(app) })
        .collect();
    for app in suspects(&by_list, &asked.list) {
        wake(&app, ctx);
    }
    let Some(connection) = server.connection() else { return };
    // A row does not tell of federated credentials.
    let mut read = unread;
    read.extend(by_row.into_iter().filter(|(_, app)| federation::are_read(app, &connection)));
    read_some(server, &connection, asked, &told, &read, ctx).await;
}

/// Has assignments compared with their tenants. They share what is read, and take turns where that is too much. One that
/// is not as listed looks again anyway.
pub fn permits(server: &Server, ctx: &Context) {
    let mut permits = ctx.permits_at(&server.key);
    let named: HashSet<&str> = permits.iter().map(|object| object.spec.tenant.as_deref().unwrap_or_default()).collect();
    let there: HashSet<&str> = permits.iter().filter_map(|object| object.metadata.uid.as_deref()).collect();
    server.tenants.retain(|tenant| named.contains(tenant), |uid| there.contains(uid));
    permits.retain(|object| object.metadata.deletion_timestamp.is_none());
    let compared = |object: Arc<RoleAssignment>| Compared {
        tenant: object.spec.tenant.clone().unwrap_or_default(),
        folders: object.spec.folders.iter().map(|folder| folder.path.clone()).collect(),
        at: server.tenants.last_compared(object.metadata.uid.as_deref().unwrap_or_default()),
        key: object,
    };
    for object in due_for_comparison(permits.into_iter().map(compared).collect()) {
        ctx.suspect(object.metadata.uid.as_deref().unwrap_or_default());
        ctx.permit_later(&object);
    }
}

/// The registrations of which the list tells as much as a read.
fn told_whole(asked: &Asked) -> BTreeMap<&ClientId, &Registered> {
    asked.list.iter().filter_map(|row| Some((&row.client_id, row.whole.as_deref()?))).collect()
}

fn consented(app: &ExternalApplication, server: &Server, ctx: &Context) -> bool {
    ctx.authorization_servers.get(&server.key.reference()).is_some_and(|object| admits(&object, app, ctx))
}

async fn read_some(
    server: &Server,
    connection: &Connection,
    asked: &Asked,
    told: &BTreeMap<&ClientId, &Registered>,
    watched: &[(ClientId, Arc<ExternalApplication>)],
    ctx: &Context,
) {
    let by_id: BTreeMap<&ClientId, &Arc<ExternalApplication>> = watched.iter().map(|(id, app)| (id, app)).collect();
    let ids: Vec<ClientId> = by_id.keys().map(|id| (*id).clone()).collect();
    let turn = {
        let mut read_at = server.read_at.lock().unwrap_or_else(PoisonError::into_inner);
        read_at.retain(|id, _| by_id.contains_key(id));
        due(&ids, &read_at)
    };
    let (began, mut reads) = (ctx.now(), 0);
    for id in turn {
        if reads >= READS || ctx.now().duration_since(began) > PATIENCE {
            return;
        }
        let Some(app) = by_id.get(&id) else { continue };
        // Refused when only the people's share of the budget is left, or when the server has trouble: the next sweep
        // goes on where this one ended.
        let mut differs = false;
        if !told.contains_key(&id) {
            reads += 1;
            differs = match connection.client.get(&id, Lane::Resync).await {
                Ok(actual) => actual.is_none_or(|actual| self::differs(app, &actual)),
                // This one alone: it says so itself, and the others are read.
                Err(ServerError::OutOfReach { .. } | ServerError::Unsupported { .. }) => true,
                Err(_) => return,
            };
        }
        if !differs && federation::are_read(app, connection) {
            reads += 1;
            differs = match federation::differ(app, &id, connection, ctx).await {
                Ok(differs) => differs,
                Err(_) => return,
            };
        }
        server.read_at.lock().unwrap_or_else(PoisonError::into_inner).insert(id, asked.at);
        if differs {
            wake(app, ctx);
        }
    }
}

fn differs(app: &ExternalApplication, actual: &Registered) -> bool {
    let compare = if observes(app) { observed } else { between };
    let differences = compare(&desired(app), actual);
    let status = app.status.as_ref();
    let told = |status: &ExternalApplicationStatus| -> Vec<FieldDifference> {
        status.drift.iter().filter(|difference| difference.field != federation::FIELD).cloned().collect()
    };
    let news = status.is_none_or(|status| told(status) != differences);
    if observes(app) {
        return news;
    }
    let lost = |credential: &CredentialStatus| {
        credential.kind == CredentialKind::Secret
            && !actual.secrets.iter().any(|secret| secret.id.as_str() == credential.id)
    };
    // One that we added and that nobody knows of any more: its value was lost, or another process was faster.
    let marker = marker(app.metadata.uid.as_deref().unwrap_or_default());
    let stray = |secret: &SecretInfo| {
        secret.description.as_ref() == Some(&marker)
            && !status.is_some_and(|status| status.credentials.iter().any(|known| known.id == secret.id.as_str()))
    };
    // Where the server shows secrets, a newer one takes the place of the published one, which may still be valid for a while.
    let newest = actual.secrets.iter().filter(|secret| secret.value.is_some()).max_by_key(|secret| secret.created_at);
    let newer = newest.is_some_and(|secret| {
        !status.is_some_and(|status| status.credentials.iter().any(|known| known.id == secret.id.as_str()))
    });
    (if is_held_back(app) { news } else { !differences.is_empty() })
        || newer
        || actual.secrets.iter().any(stray)
        || status.is_some_and(|status| status.credentials.iter().any(lost))
}

/// Whether a difference is told of and not corrected.
fn differs_for_good(app: &ExternalApplication) -> bool {
    observes(app) || is_held_back(app)
}

fn is_settled(app: &ExternalApplication) -> bool {
    app.status
        .iter()
        .flat_map(|status| &status.conditions)
        .any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

fn wake(app: &ExternalApplication, ctx: &Context) {
    ctx.suspect(app.metadata.uid.as_deref().unwrap_or_default());
    ctx.look_later(app);
}
