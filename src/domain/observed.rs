//! Everything that a decision about one application rests on, as plain data.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::capabilities::Capabilities;
use super::consumers::Features;
use super::federation::{FederatedSeen, IssuerSeen};
use super::intent::{Intent, Search};
use super::outputs::{ResolvedOutput, SeenOutput, resolve};
use super::reason::Reason;
use super::registration::{Catalogue, ClientId, ClientSecret, Endpoints, Registered, SecretId};
use super::renewal;
use super::restarts;
use super::rotation::Due;
use super::rotation::kept::{SeenKept, Unreadable};
use super::rotation::pacing::Turn;
use crate::api::external_application::{ApplicationType, CredentialState, OutputKind};
use crate::api::rotation::{ClientSecretPolicy, RestartTarget};
use crate::api::{ABANDON, AuthorizationServer, ExternalApplication, PENDING};

/// The finalizer of an application that has, or may have, a registration.
pub const FINALIZER: &str = "extapp.dev/registration";

/// When the operator looks again on its own account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// Nothing is due before something changes.
    OnChange,
    /// Once, after this time.
    After(Duration),
    /// Again and again, less and less often.
    Backoff,
}

/// Something that stands in the way, in the words that a person reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub reason: Reason,
    /// Says what to do; stable while nothing changes.
    pub message: String,
    pub retry: Retry,
    /// Whether only a person can help.
    pub stalled: bool,
}

impl Finding {
    /// Only a change by a person helps.
    pub fn stalled(reason: Reason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into(), retry: Retry::OnChange, stalled: true }
    }

    /// It may pass by itself.
    pub fn passing(reason: Reason, message: impl Into<String>, retry: Retry) -> Self {
        Self { reason, message: message.into(), retry, stalled: false }
    }

    /// Only a person can help, but what they do is not seen by a watch.
    #[must_use]
    pub fn looked_at_again(mut self) -> Self {
        self.retry = Retry::Backoff;
        self
    }
}

/// The server as an application sees it.
pub enum ServerSeen {
    /// No such object.
    Absent,
    /// The operator has just started and has not tried to connect.
    NotTried,
    /// It cannot be used now.
    Unusable(Finding),
    Usable(ServerFacts),
}

/// What a connected server is.
#[derive(Clone)]
pub struct ServerFacts {
    pub capabilities: Capabilities,
    pub endpoints: Arc<Endpoints>,
    pub catalogue: Arc<Catalogue>,
    /// What the operator itself authenticates with, where that is a registration.
    pub own_client_id: Option<ClientId>,
    /// The server's name for the organization, where it has one.
    pub organization_id: Option<String>,
}

impl ServerFacts {
    /// Whether both speak of the same registrations.
    pub fn same_organization(&self, other: &Self) -> bool {
        self.endpoints.issuer == other.endpoints.issuer && self.organization_id == other.organization_id
    }
}

/// The registration, as far as this pass had to look.
#[allow(clippy::large_enum_variant, reason = "a pass has one of it, and not for long")]
pub enum RegistrationSeen {
    /// There is none yet; these carry the name that it would get.
    None {
        namesakes: Vec<ClientId>,
    },
    /// The status names it, and nothing gave reason to read it.
    Unread(ClientId),
    Present(Box<Registered>),
    /// It was named and is gone: a read and a fresh list agree. These carry the name now.
    Missing {
        id: ClientId,
        namesakes: Vec<ClientId>,
    },
    /// It was named, and is not there to be read, but was made so recently that the server may lag.
    Lagging(ClientId),
    /// The outcome of a create is unknown.
    Unsettled {
        intent: Intent,
        hold: Option<Duration>,
        search: Search,
    },
    /// The look failed.
    Unreadable(Finding),
}

impl RegistrationSeen {
    /// The one that is there, as far as is known.
    pub fn client_id(&self) -> Option<&ClientId> {
        match self {
            Self::Unread(id) => Some(id),
            Self::Present(actual) => Some(&actual.client_id),
            _ => None,
        }
    }
}

/// A Secret or ConfigMap by name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OutputRef {
    pub kind: OutputKind,
    pub name: String,
    pub uid: String,
}

/// An object of ours that the spec does not name (any more).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftOver {
    pub output: OutputRef,
    /// The secret inside, by its identifier.
    pub credential: Option<String>,
    pub created_at: Option<Timestamp>,
    pub immutable: bool,
}

/// A secret that the server gave out and that no object carries yet. Its value is nowhere else.
#[derive(Clone, Debug)]
pub struct Held {
    pub id: SecretId,
    pub secret: Arc<ClientSecret>,
    /// The rotation that is done once it is published.
    pub rotation: Option<Due>,
}

/// All that one pass over one application has seen.
#[allow(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct Observed {
    pub server: Option<Arc<AuthorizationServer>>,
    /// Whether the server admits the application's namespace.
    pub admitted: bool,
    pub seen: ServerSeen,
    /// The objects that stand where outputs shall be, and those of ours with secrets.
    pub outputs: Vec<SeenOutput>,
    pub left_over: Vec<LeftOver>,
    pub held: Option<Held>,
    pub registration: RegistrationSeen,
    /// How many older applications of the namespace use the server.
    pub older_siblings: usize,
    /// The application, if any, that already stands for the registration that this one is about to stand for.
    pub claimant: Option<String>,
    /// Whether the registration that this one is about to stand for is an operator's own.
    pub operators_own: bool,
    /// Whether the recorded intent is not the operator's, so that it proves nothing.
    pub unproven: bool,
    /// Whether the application's namespace holds the secret of the registration that is to be adopted.
    pub possessed: bool,
    /// Who issues the tokens of the cluster's service accounts, where the spec needs it.
    pub issuer: IssuerSeen,
    /// The federated credentials of the registration.
    pub federated: FederatedSeen,
    /// What is kept for a rotation.
    pub kept: Option<SeenKept>,
    /// What stands in its place.
    pub unreadable: Option<Unreadable>,
    /// Where a rotation is due: whether it may begin.
    pub turn: Option<Turn>,
    /// How many running pods were started before the current secret was published and use an output, where that is known.
    pub holders: Option<usize>,
    /// Where workloads are to be restarted: for what, and how each of them stands.
    pub restarts: Option<(restarts::Due, Vec<(RestartTarget, restarts::Seen)>)>,
    /// What the operator was started to look after.
    pub features: Features,
}

/// What has to be asked of the server in this pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Look {
    Nothing,
    /// Which registrations carry the name that is about to be used.
    Namesakes,
    Detail(ClientId),
    Search(Intent),
}

impl RegistrationSeen {
    /// Whether the server shows that the registration has this secret, or was not asked: then what a status names is its.
    pub fn shows(&self, secret: &SecretId) -> bool {
        let has = |actual: &Registered| actual.secrets.iter().any(|known| known.id == *secret);
        match self {
            Self::Present(actual) => has(actual),
            Self::Unsettled { search, .. } => search.candidates.iter().any(has),
            Self::Unread(_) => true,
            _ => false,
        }
    }
}

/// The client id that the status names.
pub fn status_client_id(app: &ExternalApplication) -> Option<ClientId> {
    app.status.as_ref().and_then(|status| status.client_id.as_deref()).map(ClientId::new)
}

/// The intent that was recorded last, whether or not its outcome is known.
pub fn last_intent(app: &ExternalApplication) -> Option<Intent> {
    app.metadata.annotations.as_ref()?.get(PENDING).and_then(|annotation| Intent::parse(annotation))
}

/// The recorded intent, if its outcome is still unknown.
pub fn unsettled_intent(app: &ExternalApplication) -> Option<Intent> {
    last_intent(app).filter(|intent| intent.is_unsettled(status_client_id(app).as_ref()))
}

pub fn wants_abandon(annotations: Option<&std::collections::BTreeMap<String, String>>) -> bool {
    annotations.and_then(|annotations| annotations.get(ABANDON)).is_some_and(|value| value == "true")
}

pub fn has_finalizer(app: &ExternalApplication) -> bool {
    app.metadata.finalizers.as_ref().is_some_and(|finalizers| finalizers.iter().any(|name| name == FINALIZER))
}

/// Whether the application has, or may have, something at its server.
pub fn may_have_registration(app: &ExternalApplication) -> bool {
    has_finalizer(app) || status_client_id(app).is_some() || unsettled_intent(app).is_some()
}

/// Whether the last report says that this very spec was brought about.
pub fn was_settled(app: &ExternalApplication) -> bool {
    let Some(status) = &app.status else { return false };
    status.observed_generation == app.metadata.generation
        && status.conditions.iter().any(|condition| {
            // What was suspended is as it was then, and not as the spec says now.
            condition.type_ == "Ready" && condition.status == "True" && condition.reason != Reason::Suspended.as_str()
        })
}

/// Whether the objects that the spec asks for are there and the application's own, with the secret that the status names.
pub fn is_published(app: &ExternalApplication, outputs: &[SeenOutput]) -> bool {
    let present = |wanted: &ResolvedOutput| {
        let is_it = |object: &&SeenOutput| object.kind == wanted.kind && object.name == wanted.name;
        wanted.immutable || outputs.iter().find(is_it).is_some_and(|object| object.ours)
    };
    resolve(app).iter().all(present) && !secret_is_lost(app, outputs)
}

/// Whether the application is to have a client secret.
pub fn keeps_secret(app: &ExternalApplication) -> bool {
    app.spec.r#type == ApplicationType::Confidential
        && app.spec.client_secret.unwrap_or_default() == ClientSecretPolicy::Generate
}

/// Whether no object of a confidential application carries a secret that its status names.
fn secret_is_lost(app: &ExternalApplication, outputs: &[SeenOutput]) -> bool {
    keeps_secret(app) && !carried(app, outputs).any(|state| state.is_some())
}

/// Whether what the objects carry fits the status: one carries the published secret, and none a secret that the status does not
/// name. Such a one is the newest, if it was not reported yet; or it was removed at the server, if somebody brought it back
/// from a backup, or if its object is only about to be removed.
fn is_told(app: &ExternalApplication, outputs: &[SeenOutput]) -> bool {
    let states: Vec<_> = carried(app, outputs).collect();
    let published = states.contains(&Some(CredentialState::Active));
    !keeps_secret(app) || (published && states.iter().all(Option::is_some))
}

/// Of the secret in each object that is intact: its state, where the status names it.
fn carried(app: &ExternalApplication, outputs: &[SeenOutput]) -> impl Iterator<Item = Option<CredentialState>> {
    let uid = app.metadata.uid.as_deref().unwrap_or_default();
    let id = status_client_id(app);
    let intact = outputs.iter().filter_map(move |output| output.intact_secret(uid, id.as_ref()?));
    let credentials = app.status.as_ref().map_or(&[][..], |status| &status.credentials);
    intact.map(|(secret, _)| credentials.iter().find(|one| one.id == secret.as_str()).map(|one| one.state))
}

/// Decides what to ask the server. A settled application is asked about only where something speaks for it: there are
/// far more applications than requests to spend.
/// `begins`: whether a rotation begins in this pass, for which it has to be known which secrets there are.
pub fn look(app: &ExternalApplication, outputs: &[SeenOutput], suspect: bool, begins: bool, now: Timestamp) -> Look {
    let named_by_status = status_client_id(app);
    if let Some(adopt) = &app.spec.adopt
        && (named_by_status.is_none() || unsettled_intent(app).is_some())
    {
        return Look::Detail(ClientId::new(&adopt.client_id));
    }
    if let Some(intent) = unsettled_intent(app) {
        return match named_by_output(&intent, outputs) {
            Some(id) => Look::Detail(id),
            None => Look::Search(intent),
        };
    }
    let Some(id) = named_by_status else {
        return if observes(app) { Look::Nothing } else { Look::Namesakes };
    };
    let doubtful = !is_told(app, outputs);
    let ends = app.status.as_ref().is_some_and(|status| renewal::gives_reason_to_look(&status.credentials, now));
    if suspect || begins || doubtful || ends || !was_settled(app) || retirement_due(app, now) {
        Look::Detail(id)
    } else {
        Look::Nothing
    }
}

/// An object that we wrote after the create and before the status names the registration: proof enough.
pub fn named_by_output(intent: &Intent, outputs: &[SeenOutput]) -> Option<ClientId> {
    outputs
        .iter()
        .filter_map(SeenOutput::client_id)
        .find(|id| !intent.known.contains(id) && intent.replaces.as_ref() != Some(id))
}

pub fn observes(app: &ExternalApplication) -> bool {
    app.spec.management == Some(crate::api::external_application::Management::Observe)
}

/// Whether a secret is to go now. Where nothing is written at the server, none goes.
fn retirement_due(app: &ExternalApplication, now: Timestamp) -> bool {
    use crate::api::external_application::CredentialState::Retiring;
    if observes(app) {
        return false;
    }
    app.status.iter().flat_map(|status| &status.credentials).any(|credential| {
        credential.state == Retiring && credential.expires_at.as_ref().is_some_and(|end| end.0 <= now)
    })
}
