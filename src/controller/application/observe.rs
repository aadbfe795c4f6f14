//! Seeing: the Kubernetes API and the authorization server, read only.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use kube::api::Api;
use kube::runtime::reflector::ObjectRef;

use super::Error;
use crate::api::ExternalApplication;
use crate::api::external_application::OutputKind;
use crate::controller::kubernetes::is_not_found;
use crate::controller::owned::Owned;
use crate::controller::servers::{Server, finding};
use crate::controller::{Context, server_key};
use crate::domain::consent::{self, Namespace};
use crate::domain::intent::{self, Intent, READ_LAG, Search};
use crate::domain::observed::{
    LeftOver, Look, Observed, OutputRef, RegistrationSeen, ServerSeen, look, status_client_id, unsettled_intent,
};
use crate::domain::outputs::{self, SeenOutput};
use crate::domain::registration::{ClientId, Listed};
use crate::domain::validate::desired;
use crate::server::{AuthorizationServer as _, Lane, ServerError};

/// How old a list may be from which the namesakes of a new registration are taken.
const NAMESAKES: SignedDuration = SignedDuration::from_secs(10);

/// Everything that the decision rests on. Gives back the application too, which is read anew where the cache could
/// mislead: an intent without a client id is either unsettled or settled by a status that the cache does not have yet.
pub async fn observe(
    mut app: Arc<ExternalApplication>,
    server: &Server,
    ctx: &Context,
    now: Timestamp,
) -> Result<(Arc<ExternalApplication>, Observed), Error> {
    if unsettled_intent(&app).is_some() {
        app = Arc::new(live(&app, ctx).await?);
    }
    let object = ctx.authorization_servers.get(&ObjectRef::new(&server.key.name).within(&server.key.namespace));
    let admitted = object.as_ref().is_some_and(|object| admits(object, &app, ctx));
    let seen = if object.is_none() { ServerSeen::Absent } else { server.seen() };
    let uid = app.metadata.uid.clone().unwrap_or_default();
    let (outputs, left_over) = outputs_of(&app, ctx).await?;
    let suspect = ctx.is_suspect(&uid);
    // Without consent, or while suspended, the server is not even read.
    let may_look = admitted
        && matches!(seen, ServerSeen::Usable(_))
        && !app.spec.suspend
        && !object.as_ref().is_some_and(|object| object.spec.suspend);
    let registration = if may_look {
        registration(&app, &outputs, suspect, server, ctx, now).await
    } else {
        status_client_id(&app).map_or(RegistrationSeen::None { namesakes: Vec::new() }, RegistrationSeen::Unread)
    };
    let client_id = match &registration {
        RegistrationSeen::Unread(id) => Some(id.clone()),
        RegistrationSeen::Present(actual) => Some(actual.client_id.clone()),
        _ => None,
    };
    let observed = Observed {
        admitted,
        seen,
        held: ctx.held(&uid, client_id.as_ref()),
        outputs,
        left_over,
        registration,
        older_siblings: object.as_ref().map_or(0, |object| older_siblings(&app, object, ctx)),
        claimant: claimant(&app, server, ctx),
        suspect,
        server: object,
    };
    Ok((app, observed))
}

async fn live(app: &ExternalApplication, ctx: &Context) -> Result<ExternalApplication, Error> {
    let namespace = app.metadata.namespace.as_deref().unwrap_or_default();
    let api: Api<ExternalApplication> = Api::namespaced(ctx.client.clone(), namespace);
    Ok(api.get(app.metadata.name.as_deref().unwrap_or_default()).await?)
}

/// Whether the server's owner lets this namespace use it.
pub fn admits(server: &crate::api::AuthorizationServer, app: &ExternalApplication, ctx: &Context) -> bool {
    let name = app.metadata.namespace.as_deref().unwrap_or_default();
    let namespace = ctx.namespaces.get(&ObjectRef::new(name));
    let none = BTreeMap::new();
    let labels = namespace.as_ref().and_then(|namespace| namespace.metadata.labels.as_ref()).unwrap_or(&none);
    consent::admits(server, &Namespace { name, labels })
}

async fn outputs_of(app: &ExternalApplication, ctx: &Context) -> Result<(Vec<SeenOutput>, Vec<LeftOver>), Error> {
    let owned = ctx.owned.of(app.metadata.uid.as_deref().unwrap_or_default());
    let wanted = outputs::resolve(app);
    let named = |kind: OutputKind, name: &str| {
        wanted.iter().any(|output| !output.immutable && output.kind == kind && output.name == name)
    };
    let mut slots: Vec<(OutputKind, String)> =
        wanted.iter().filter(|output| !output.immutable).map(|output| (output.kind, output.name.clone())).collect();
    slots.extend(owned.keys().filter(|(kind, name)| !named(*kind, name)).cloned());
    let reads = slots.iter().map(async |(kind, name)| ctx.kubernetes().read_output(app, *kind, name).await);
    let mut seen = Vec::new();
    for read in futures::future::join_all(reads).await {
        match read {
            Ok(output) => seen.extend(output),
            Err(error) if is_not_found(&error) => {}
            Err(error) => return Err(error.into()),
        }
    }
    let left_over = |((kind, name), object): (&(OutputKind, String), &Owned)| LeftOver {
        output: OutputRef { kind: *kind, name: name.clone(), uid: object.uid.clone() },
        credential: object.credential.clone(),
        immutable: object.versioned
            && wanted.iter().any(|output| output.immutable && is_version_of(&output.name, name)),
    };
    let rest = owned.iter().filter(|((kind, name), _)| !named(*kind, name)).map(left_over).collect();
    Ok((seen, rest))
}

/// Whether the name is the output's with a short hash.
fn is_version_of(output: &str, name: &str) -> bool {
    name.strip_prefix(output).and_then(|rest| rest.strip_prefix('-')).is_some_and(|hash| hash.len() == 8)
}

async fn registration(
    app: &ExternalApplication,
    outputs: &[SeenOutput],
    suspect: bool,
    server: &Server,
    ctx: &Context,
    now: Timestamp,
) -> RegistrationSeen {
    let looked = match look(app, outputs, suspect, now) {
        Look::Nothing => Ok(match status_client_id(app) {
            Some(id) => RegistrationSeen::Unread(id),
            None => RegistrationSeen::None { namesakes: Vec::new() },
        }),
        Look::Namesakes => namesakes(app, server, now).await.map(|namesakes| RegistrationSeen::None { namesakes }),
        Look::Detail(id) => detail(app, id, server, ctx).await,
        Look::Search(intent) => search(app, intent, server, ctx, now).await,
    };
    looked.unwrap_or_else(|error| {
        if server.report(&error) {
            ctx.wake_server(&server.key);
        }
        RegistrationSeen::Unreadable(finding(&error))
    })
}

async fn namesakes(app: &ExternalApplication, server: &Server, now: Timestamp) -> Result<Vec<ClientId>, ServerError> {
    let connection = server.connection().ok_or(ServerError::Unreachable { what: "not connected" })?;
    let list = server.list(&connection, now - NAMESAKES, Lane::User).await?;
    Ok(named(&list, &desired(app).display_name))
}

fn named(list: &[Listed], name: &str) -> Vec<ClientId> {
    list.iter().filter(|row| row.display_name == name).map(|row| row.client_id.clone()).collect()
}

/// Reads one registration. That it is gone is believed only if a list taken after the read agrees.
async fn detail(
    app: &ExternalApplication,
    id: ClientId,
    server: &Server,
    ctx: &Context,
) -> Result<RegistrationSeen, ServerError> {
    let connection = server.connection().ok_or(ServerError::Unreachable { what: "not connected" })?;
    if let Some(actual) = connection.client.get(&id, Lane::User).await? {
        server.read_at.lock().unwrap_or_else(std::sync::PoisonError::into_inner).insert(id, ctx.now());
        return Ok(RegistrationSeen::Present(Box::new(actual)));
    }
    let list = server.list(&connection, ctx.now(), Lane::User).await?;
    if list.iter().any(|row| row.client_id == id) || just_registered(app, ctx.now()) {
        return Ok(RegistrationSeen::Lagging(id));
    }
    let namesakes = named(&list, &desired(app).display_name);
    Ok(RegistrationSeen::Missing { id, namesakes })
}

fn just_registered(app: &ExternalApplication, now: Timestamp) -> bool {
    let lag = SignedDuration::try_from(READ_LAG).unwrap_or_default();
    app.status.iter().flat_map(|status| &status.conditions).any(|condition| {
        condition.type_ == "Registered"
            && condition.status == "True"
            && now.duration_since(condition.last_transition_time.0) < lag
    })
}

/// Looks for what a create of unknown outcome has led to.
async fn search(
    app: &ExternalApplication,
    intent: Intent,
    server: &Server,
    ctx: &Context,
    now: Timestamp,
) -> Result<RegistrationSeen, ServerError> {
    if let Some(left) = intent::hold(&intent, &ctx.settings.identity, now) {
        let hold: Option<Duration> = Some(left);
        return Ok(RegistrationSeen::Unsettled { intent, hold, search: Search::default() });
    }
    let search = search_for(app, &intent, server, ctx).await?;
    Ok(RegistrationSeen::Unsettled { intent, hold: None, search })
}

/// The registrations that an intent could have led to, from a list taken now, each read in full.
pub async fn search_for(
    app: &ExternalApplication,
    intent: &Intent,
    server: &Server,
    ctx: &Context,
) -> Result<Search, ServerError> {
    let connection = server.connection().ok_or(ServerError::Unreachable { what: "not connected" })?;
    let list = server.list(&connection, ctx.now(), Lane::User).await?;
    let uid = app.metadata.uid.as_deref().unwrap_or_default();
    let others: Vec<Arc<ExternalApplication>> = ctx
        .applications_of(&server.key)
        .into_iter()
        .filter(|other| other.metadata.uid.as_deref() != Some(uid))
        .collect();
    let claimed = |id: &ClientId| {
        server.claimant(id).is_some_and(|holder| holder != uid)
            || others.iter().any(|other| status_client_id(other).as_ref() == Some(id))
    };
    let mut candidates = Vec::new();
    for row in intent::newcomers(intent, &list, &claimed).take(20) {
        candidates.extend(connection.client.get(&row.client_id, Lane::User).await?);
    }
    let twin = |other: &&Arc<ExternalApplication>| {
        unsettled_intent(other).is_some_and(|theirs| theirs.name == intent.name && theirs.digest == intent.digest)
    };
    let twins = others.iter().filter(twin).count();
    let namesakes = named(&list, &desired(app).display_name);
    Ok(Search { candidates, twins, namesakes })
}

/// How many applications of the namespace were there before this one. Only counted where there is a limit.
fn older_siblings(app: &ExternalApplication, server: &crate::api::AuthorizationServer, ctx: &Context) -> usize {
    if server.spec.limits.as_ref().and_then(|limits| limits.applications_per_namespace).is_none() {
        return 0;
    }
    let age = |app: &ExternalApplication| {
        (app.metadata.creation_timestamp.clone().map(|time| time.0), app.metadata.name.clone())
    };
    let (key, mine) = (server_key(app), age(app));
    let sibling = |other: &&Arc<ExternalApplication>| {
        other.metadata.namespace == app.metadata.namespace && server_key(other) == key
    };
    ctx.applications.state().iter().filter(sibling).filter(|other| age(other) < mine).count()
}

/// Another application that already stands for the registration to be adopted.
fn claimant(app: &ExternalApplication, server: &Server, ctx: &Context) -> Option<String> {
    let id = ClientId::new(&app.spec.adopt.as_ref()?.client_id);
    standing_for(&id, app, server, ctx)
}

/// Another application, by namespace and name, whose registration this is.
pub fn standing_for(id: &ClientId, app: &ExternalApplication, server: &Server, ctx: &Context) -> Option<String> {
    let uid = app.metadata.uid.as_deref();
    let others = ctx.applications_of(&server.key);
    let theirs = |other: &&Arc<ExternalApplication>| {
        other.metadata.uid.as_deref() != uid && status_client_id(other).as_ref() == Some(id)
    };
    let by_status = others.iter().find(theirs);
    let by_claim = || {
        let holder = server.claimant(id).filter(|holder| Some(holder.as_str()) != uid)?;
        others.iter().find(|other| other.metadata.uid.as_deref() == Some(&holder))
    };
    by_status.or_else(by_claim).map(|other| {
        format!(
            "{}/{}",
            other.metadata.namespace.as_deref().unwrap_or(""),
            other.metadata.name.as_deref().unwrap_or("")
        )
    })
}
