//! Seeing: the Kubernetes API and the authorization server, read only.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use kube::api::Api;
use kube::runtime::reflector::ObjectRef;

use super::standing::Standing;
use super::turn::{self, Turned};
use super::{Error, restart};
use crate::api::ExternalApplication;
use crate::api::external_application::OutputKind;
use crate::controller::kubernetes::is_not_found;
use crate::controller::owned::Owned;
use crate::controller::servers::{Connection, Server, finding};
use crate::controller::{Context, server_key};
use crate::domain::capabilities::Secrets;
use crate::domain::consent::{self, Namespace};
use crate::domain::federation::{FederatedSeen, IssuerSeen};
use crate::domain::intent::{self, Intent, READ_LAG, SHOWN_AFTER, Search};
use crate::domain::observed::{
    LeftOver, Look, Observed, OutputRef, RegistrationSeen, ServerSeen, last_intent, look, status_client_id,
    unsettled_intent,
};
use crate::domain::outputs::{self, SeenOutput};
use crate::domain::registration::{ClientId, Listed, Registered};
use crate::domain::rotation;
use crate::domain::upkeep::is_held_back;
use crate::domain::validate::desired;
use crate::server::{AuthorizationServer as _, Lane, ServerError};

mod federation;

/// How old a list may be from which the namesakes of a new registration are taken.
const NAMESAKES: SignedDuration = SignedDuration::from_secs(10);

/// Everything that the decision rests on. Gives back the application too, which is read anew where the cache could
/// mislead: an intent without a client id is either unsettled or settled by a status that the cache does not have yet, and
/// a rotation that is due was perhaps carried out a moment ago.
pub async fn observe(
    mut app: Arc<ExternalApplication>,
    server: &Server,
    ctx: &Context,
    now: Timestamp,
) -> Result<(Arc<ExternalApplication>, Observed), Error> {
    if unsettled_intent(&app).is_some() || rotation::of_application(&app, now).is_some() {
        app = Arc::new(live(&app, ctx).await?);
    }
    let object = ctx.authorization_servers.get(&server.key.reference());
    let admitted = object.as_ref().is_some_and(|object| admits(object, &app, ctx));
    let seen = if object.is_none() { ServerSeen::Absent } else { server.seen() };
    let uid = app.metadata.uid.clone().unwrap_or_default();
    let (outputs, left_over, keeps) = outputs_of(&app, ctx).await?;
    let suspect = ctx.is_suspect(&uid);
    // Without consent, or while suspended, the server is not even read.
    let may_look = admitted
        && matches!(seen, ServerSeen::Usable(_))
        && !app.spec.suspend
        && !object.as_ref().is_some_and(|object| object.spec.suspend);
    let consumers = restart::observe(&app, may_look, ctx, now).await;
    let pacing = object.as_deref().filter(|_| may_look);
    let Turned { kept, unreadable, turn, begins } = turn::of(&app, keeps, pacing, server, ctx, now).await?;
    let reasons = Reasons { suspect, begins: begins || consumers.rolled };
    let mut registration = if may_look {
        registration(&app, &outputs, reasons, server, ctx, now).await
    } else {
        status_client_id(&app).map_or(RegistrationSeen::None { namesakes: Vec::new() }, RegistrationSeen::Unread)
    };
    let client_id = registration.client_id().cloned();
    let newcomer = newcomer(&app, client_id.as_ref());
    let newcomer = newcomer.as_ref().map(|id| (Standing::beside(&app, server, ctx), id));
    let possessed = possessed(&app, &registration, &outputs, server).await.unwrap_or_else(|error| {
        registration = RegistrationSeen::Unreadable(finding(&error));
        false
    });
    let (issuer, federated) = if may_look {
        federation::look(&app, &registration, suspect, server, ctx, now).await
    } else {
        <(IssuerSeen, FederatedSeen)>::default()
    };
    let observed = Observed {
        possessed,
        issuer,
        federated,
        kept,
        unreadable,
        turn,
        holders: consumers.holders,
        restarts: consumers.restarts,
        features: ctx.settings.features,
        admitted,
        seen,
        held: ctx.held(&uid, client_id.as_ref()),
        outputs,
        left_over,
        registration,
        older_siblings: object.as_ref().map_or(0, |object| older_siblings(&app, object, ctx)),
        claimant: newcomer.as_ref().and_then(|(standing, id)| standing.holder(id)),
        operators_own: newcomer.is_some_and(|(standing, id)| standing.operators_own(id)),
        unproven: app.spec.adopt.is_none() && is_unproven(&app, server),
        server: object,
    };
    Ok((app, observed))
}

/// Whether a Secret that is given to the application holds the secret of the registration that it is about to adopt.
async fn possessed(
    app: &ExternalApplication,
    registration: &RegistrationSeen,
    outputs: &[SeenOutput],
    server: &Server,
) -> Result<bool, ServerError> {
    let RegistrationSeen::Present(actual) = registration else { return Ok(false) };
    // Once it is taken over, the Secret is ours and no longer given.
    if app.spec.adopt.is_none() {
        return Ok(false);
    }
    let Some(secret) = outputs.iter().find_map(|output| output.given_secret(&actual.client_id)) else {
        return Ok(false);
    };
    let shown = actual.secrets.iter().filter_map(|info| info.value.as_ref());
    if shown.into_iter().any(|value| value.expose() == secret.expose()) {
        return Ok(true);
    }
    let connection = server.connection().ok_or(ServerError::Unreachable { what: "not connected" })?;
    connection.client.authenticates(&actual.client_id, &secret).await
}

pub async fn live(app: &ExternalApplication, ctx: &Context) -> Result<ExternalApplication, Error> {
    let namespace = app.metadata.namespace.as_deref().unwrap_or_default();
    let api: Api<ExternalApplication> = Api::namespaced(ctx.client.clone(), namespace);
    Ok(api.get(app.metadata.name.as_deref().unwrap_or_default()).await?)
}

/// Whether the server's owner lets this namespace use it.
pub fn admits(server: &crate::api::AuthorizationServer, app: &ExternalApplication, ctx: &Context) -> bool {
    admits_namespace(server, app.metadata.namespace.as_deref().unwrap_or_default(), ctx)
}

/// The same for a namespace.
pub fn admits_namespace(server: &crate::api::AuthorizationServer, name: &str, ctx: &Context) -> bool {
    let namespace = ctx.namespaces.get(&ObjectRef::new(name));
    let none = BTreeMap::new();
    let labels = namespace.as_ref().and_then(|namespace| namespace.metadata.labels.as_ref()).unwrap_or(&none);
    consent::admits(server, &Namespace { name, labels })
}

/// What gives reason to ask the server beyond what the application shows.
#[derive(Clone, Copy)]
struct Reasons {
    /// A sweep found a difference.
    suspect: bool,
    /// A rotation begins, or nobody has the secret before the current one any more.
    begins: bool,
}

/// The objects of the application, and whether something is kept for a rotation as far as the cache shows.
async fn outputs_of(app: &ExternalApplication, ctx: &Context) -> Result<(Vec<SeenOutput>, Vec<LeftOver>, bool), Error> {
    let mut owned = ctx.owned.of(app);
    let keeps = owned.values().any(|object| object.kept);
    owned.retain(|_, object| !object.kept);
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
        created_at: object.created_at,
        immutable: object.versioned
            && wanted.iter().any(|output| output.immutable && outputs::is_version_of(&output.name, name)),
    };
    let rest = owned.iter().filter(|((kind, name), _)| !named(*kind, name)).map(left_over).collect();
    Ok((seen, rest, keeps))
}

async fn registration(
    app: &ExternalApplication,
    outputs: &[SeenOutput],
    reasons: Reasons,
    server: &Server,
    ctx: &Context,
    now: Timestamp,
) -> RegistrationSeen {
    // What a sweep has found comes out of its own share of the server's budget.
    let unchanged = app.status.as_ref().is_some_and(|status| status.observed_generation == app.metadata.generation);
    let lane = if reasons.suspect || (unchanged && is_held_back(app)) { Lane::Resync } else { Lane::User };
    let looked = match look(app, outputs, reasons.suspect, reasons.begins, now) {
        Look::Nothing => Ok(match status_client_id(app) {
            Some(id) => RegistrationSeen::Unread(id),
            None => RegistrationSeen::None { namesakes: Vec::new() },
        }),
        Look::Namesakes => namesakes(app, server, now).await.map(|namesakes| RegistrationSeen::None { namesakes }),
        Look::Detail(id) => detail(app, id, outputs, lane, server, ctx).await,
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
    if connection.client.capabilities().marks {
        // What we make is known by its mark, whatever else has the name.
        return Ok(Vec::new());
    }
    let list = server.list(&connection, now - NAMESAKES, Lane::User).await?;
    Ok(named(&list, &desired(app).display_name))
}

fn named(list: &[Listed], name: &str) -> Vec<ClientId> {
    list.iter().filter(|row| row.display_name == name).map(|row| row.client_id.clone()).collect()
}

/// Reads one registration. That it is gone is believed only if a list taken after the read agrees, and that a secret is
/// gone which no status names yet, only if it is still missing when the server's reads have caught up.
async fn detail(
    app: &ExternalApplication,
    id: ClientId,
    outputs: &[SeenOutput],
    lane: Lane,
    server: &Server,
    ctx: &Context,
) -> Result<RegistrationSeen, ServerError> {
    let connection = server.connection().ok_or(ServerError::Unreachable { what: "not connected" })?;
    if let Some(mut actual) = connection.client.get(&id, lane).await? {
        recognise(app, &mut actual, outputs, &connection).await?;
        server.read_at.lock().unwrap_or_else(std::sync::PoisonError::into_inner).insert(id.clone(), ctx.now());
        if may_lag(app, &actual, outputs, ctx) {
            return Ok(RegistrationSeen::Lagging(id));
        }
        return Ok(RegistrationSeen::Present(Box::new(actual)));
    }
    let list = server.list(&connection, ctx.now(), lane).await?;
    if list.iter().any(|row| row.client_id == id) || just_registered(app, ctx.now()) {
        return Ok(RegistrationSeen::Lagging(id));
    }
    // Somebody may have given it another client id there.
    let uid = app.metadata.uid.as_deref().unwrap_or_default();
    if let Some(renamed) = list.iter().find(|row| row.owner.names(uid))
        && let Some(actual) = connection.client.get(&renamed.client_id, lane).await?
    {
        return Ok(RegistrationSeen::Present(Box::new(actual)));
    }
    let namesakes = named(&list, &desired(app).display_name);
    Ok(RegistrationSeen::Missing { id, namesakes })
}

/// Where a registration keeps one secret, which is not shown, somebody may have taken away what tells it from another one.
/// A published secret that still works is the one there is, and is not replaced.
async fn recognise(
    app: &ExternalApplication,
    actual: &mut Registered,
    outputs: &[SeenOutput],
    connection: &Connection,
) -> Result<(), ServerError> {
    let uid = app.metadata.uid.as_deref().unwrap_or_default();
    let one = connection.client.capabilities().secrets == Secrets::One;
    let ([only], true) = (actual.secrets.as_mut_slice(), one) else { return Ok(()) };
    let published = outputs.iter().find_map(|output| output.intact_secret(uid, &actual.client_id));
    let Some((id, secret)) = published.filter(|(id, _)| *id != only.id && only.value.is_none()) else { return Ok(()) };
    if connection.client.authenticates(&actual.client_id, &secret).await? {
        tracing::info!(registration = %actual.client_id, secret = %id, "the published secret works under another name");
        only.value = Some(Arc::new(secret));
    }
    Ok(())
}

/// Whether an object carries a secret that neither the server shows nor a status names, and which was missed only now.
fn may_lag(app: &ExternalApplication, actual: &Registered, outputs: &[SeenOutput], ctx: &Context) -> bool {
    let uid = app.metadata.uid.as_deref().unwrap_or_default();
    let recorded =
        |id: &str| app.status.iter().flat_map(|status| &status.credentials).any(|credential| credential.id == id);
    let missing = outputs
        .iter()
        .filter_map(|output| output.intact_secret(uid, &actual.client_id))
        .find(|(id, _)| !recorded(id.as_str()) && !actual.secrets.iter().any(|secret| secret.id == *id));
    missing.is_some_and(|(id, _)| {
        let now = ctx.now();
        younger(ctx.missing_since(uid, &id, now), READ_LAG, now)
    })
}

fn just_registered(app: &ExternalApplication, now: Timestamp) -> bool {
    let reported = app.status.iter().flat_map(|status| &status.conditions).any(|condition| {
        condition.type_ == "Registered"
            && condition.status == "True"
            && younger(condition.last_transition_time.0, READ_LAG, now)
    });
    reported || last_intent(app).is_some_and(|intent| younger(intent.at, SHOWN_AFTER, now))
}

fn younger(since: Timestamp, span: Duration, now: Timestamp) -> bool {
    SignedDuration::try_from(span).is_ok_and(|span| now.duration_since(since) < span)
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
    // What was to be replaced is there again, or always was.
    if let Some(replaced) = &intent.replaces {
        let connection = server.connection().ok_or(ServerError::Unreachable { what: "not connected" })?;
        if let Some(actual) = connection.client.get(replaced, Lane::User).await? {
            return Ok(RegistrationSeen::Present(Box::new(actual)));
        }
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
    let asked = ctx.now();
    let list = server.list(&connection, asked, Lane::User).await?;
    let uid = app.metadata.uid.as_deref().unwrap_or_default();
    let standing = Standing::beside(app, server, ctx);
    let taken = |id: &ClientId| standing.taken(id);
    let newcomers: Vec<ClientId> =
        intent::newcomers(intent, uid, &list, &taken).take(20).map(|row| row.client_id.clone()).collect();
    let (twins, namesakes) = (standing.twins(intent), named(&list, &desired(app).display_name));
    let mut candidates = Vec::new();
    for id in newcomers {
        candidates.extend(connection.client.get(&id, Lane::User).await?);
    }
    let empty_since = candidates.is_empty().then(|| ctx.empty_since(uid, intent, asked));
    let unproven = is_unproven(app, server);
    let blind = !connection.client.capabilities().lists;
    Ok(Search { candidates, twins, namesakes, empty_since, unproven, blind })
}

/// Whether there is an unsettled intent that was not written with the operator's credentials.
pub fn is_unproven(app: &ExternalApplication, server: &Server) -> bool {
    let uid = app.metadata.uid.as_deref().unwrap_or_default();
    let Some(intent) = unsettled_intent(app) else { return false };
    // Without credentials to make a seal with, registrations themselves say whose they are.
    server.connection().is_none() || server.recognises(&intent.sealed_text(uid), &intent.seal) == Some(false)
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

/// The registration that the application is about to stand for, where its status does not name it yet.
fn newcomer(app: &ExternalApplication, seen: Option<&ClientId>) -> Option<ClientId> {
    let adopted = app.spec.adopt.as_ref().map(|adopt| ClientId::new(&adopt.client_id));
    adopted.or_else(|| seen.cloned()).filter(|id| status_client_id(app).as_ref() != Some(id))
}
